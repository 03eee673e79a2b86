"""What two servers may answer differently, and why. Everything else must be equal.

`normal` brings a reply into the form in which it is compared. Times are rounded so far that only
what was asked for shows (`XCLAIM ... IDLE 3000000`), orders that nobody promises are sorted, and
the differences of the table below are masked, each only between versions that it lies between.
"""

from typing import Callable, NamedTuple

from wire import Reply

ROUND_MS = 1_000_000
"""Commands name times in multiples of this; a run takes far less."""


class Difference(NamedTuple):
    """A reply that changed between versions of Redis; Tidegate follows 7.4."""

    since: tuple
    """The first version that answers in the new way."""
    why: str
    masks: Callable
    """`masks(request, reply, deletes)` gives the reply without what changed."""


def normal(request, reply, versions, deletes):
    """`reply` to `request` as it is compared between servers of these two versions.

    `deletes`: entries may have been deleted or counters been set before.
    """
    if reply.kind == "+":
        return reply
    try:
        form = steady(request, reply)
        for difference in DOCUMENTED:
            if min(versions) < difference.since <= max(versions):
                form = difference.masks(request, form, deletes)
        return form
    except (AttributeError, IndexError, StopIteration, TypeError, ValueError):
        # Not of the shape that this request has: the other server will differ, or agree.
        return reply


def is_command(request, *words):
    return [word.upper() for word in request[: len(words)]] == list(words)


# Times, orders and prose: different at every run, or nobody's business.


def steady(request, reply):
    if reply.is_error:
        return reply
    if [word.upper() for word in request[1:]] == ["HELP"]:
        return Reply(reply.kind, "prose")
    if is_command(request, "KEYS") and reply.kind == "*":
        return Reply(reply.kind, sorted(reply.value))
    if is_command(request, "SCAN") and reply.kind == "*":
        return Reply("masked", "a part of the keys")
    if is_command(request, "TTL") and reply.value > 0:
        return Reply(":", rounded(reply.value * 1000))
    if is_command(request, "PTTL") and reply.value > 0:
        return Reply(":", rounded(reply.value))
    if is_command(request, "HELLO"):
        return without(reply, "version", "id")
    if is_command(request, "XADD") and "*" in request and reply.value is not None:
        return Reply(reply.kind, "an id of this moment")
    if is_command(request, "XPENDING") and len(request) > 3:
        return each(reply, lambda row: replaced(row, 2, rounded))
    if is_command(request, "XINFO", "CONSUMERS"):
        return each(reply, lambda row: field(row, {"idle": rounded, "inactive": rounded}))
    if is_command(request, "XINFO", "STREAM"):
        return steady_stream(reply)
    return reply


def steady_stream(reply):
    """XINFO STREAM: nodes of the radix tree are how Redis stores it, not what is stored."""
    return changed(
        without(reply, "radix-tree-keys", "radix-tree-nodes"),
        {"groups": lambda groups: each(groups, steady_group)},
    )


def steady_group(group):
    rows = {"pending": lambda rows: each(rows, lambda row: replaced(row, 2, rounded))}
    consumers = {"consumers": lambda consumers: each(consumers, steady_consumer)}
    return changed(group, rows | consumers)


def steady_consumer(consumer):
    rows = {"pending": lambda rows: each(rows, lambda row: replaced(row, 1, rounded))}
    return field(changed(consumer, rows), {"seen-time": rounded, "active-time": rounded})


def rounded(ms):
    """To the whole, so that neither a moment more nor less matters."""
    return ms if ms < 0 else round(ms / ROUND_MS)


# Differences between versions.


def no_inactive(request, reply, _deletes):
    if is_command(request, "XINFO", "CONSUMERS") and not reply.is_error:
        return each(reply, lambda row: without(row, "inactive"))
    return reply


def no_active_time(request, reply, _deletes):
    if not is_command(request, "XINFO", "STREAM") or reply.is_error:
        return reply
    timeless = {"consumers": lambda rows: each(rows, lambda row: without(row, "active-time"))}
    return changed(reply, {"groups": lambda rows: each(rows, lambda row: changed(row, timeless))})


def busy_consumers(request, reply, _deletes):
    if is_command(request, "XGROUP", "CREATECONSUMER") and not reply.is_error:
        return Reply("masked", "made or known")
    if reply.is_error:
        return reply
    if is_command(request, "XINFO", "CONSUMERS"):
        return with_rows(reply, "pending")
    if is_command(request, "XINFO", "GROUPS"):
        return each(reply, lambda group: without(group, "consumers"))
    if is_command(request, "XINFO", "STREAM"):
        busy = {"consumers": lambda consumers: with_rows(consumers, "pel-count")}
        return changed(reply, {"groups": lambda rows: each(rows, lambda row: changed(row, busy))})
    return reply


def with_rows(consumers, count):
    """Only the consumers that have something pending."""
    some = [one for one in consumers.value if value_of(one, count) != 0]
    return Reply(consumers.kind, some)


def no_lag(request, reply, deletes):
    if not deletes or reply.is_error:
        return reply
    if is_command(request, "XINFO", "GROUPS"):
        return each(reply, without_lag)
    if is_command(request, "XINFO", "STREAM"):
        return changed(reply, {"groups": lambda groups: each(groups, without_lag)})
    return reply


def without_lag(group):
    return without(group, "lag", "entries-read")


def no_last_entry(request, reply, _deletes):
    if request[0].upper() in ("XREAD", "XREADGROUP") and "+" in request:
        return Reply("masked", "an answer about +")
    return reply


def same_unbalanced(_request, reply, _deletes):
    if reply.is_error and reply.value.startswith("ERR Unbalanced "):
        return Reply(reply.kind, "ERR Unbalanced list of streams")
    return reply


DOCUMENTED = [
    Difference((7, 2), "XINFO CONSUMERS got `inactive`, the time since a delivery", no_inactive),
    Difference((7, 2), "XINFO STREAM FULL got `active-time` of consumers", no_active_time),
    Difference((7, 2), "a read or a claim of nothing makes the consumer too", busy_consumers),
    Difference((7, 2), "the text for unbalanced streams names the command", same_unbalanced),
    Difference((7, 4), "XREAD takes `+` for the last entry", no_last_entry),
    Difference((7, 4), "lag and entries-read are right also after deletions", no_lag),
]
"""Further differences never come up, because `commands.py` does not ask: XACKDEL and XDELEX unless
both know them; an XSETID below what was deleted before, refused since 7.2; `~` trims only where
nothing may go, since how much goes depends on the nodes of the tree; readers that wait while the
stream goes (7.2) are the matter of test_blocking.py."""


# Replies as trees.


def each(reply, change):
    if not isinstance(reply.value, list):
        return reply
    return Reply(reply.kind, [change(one) for one in reply.value])


def replaced(row, at, change):
    """The number at that place of a row, changed."""
    cells = list(row.value)
    cells[at] = Reply(cells[at].kind, change(cells[at].value))
    return Reply(row.kind, cells)


def pairs(reply):
    """Names and values of a map, which is a flat array in RESP2."""
    if reply.kind == "%":
        return reply.value
    if not isinstance(reply.value, list):
        raise TypeError("no map")
    return list(zip(reply.value[::2], reply.value[1::2], strict=True))


def value_of(reply, wanted):
    return next(value.value for name, value in pairs(reply) if name.value.decode() == wanted)


def rebuilt(reply, found):
    if reply.kind == "%":
        return Reply("%", found)
    return Reply(reply.kind, [one for pair in found for one in pair])


def changed(reply, changes):
    """A map with some of its values changed; a value that is no list of rows stays."""
    found = []
    for name, value in pairs(reply):
        change = changes.get(name.value.decode())
        found.append((name, change(value) if change else value))
    return rebuilt(reply, found)


def field(reply, changes):
    """A map with some of its numbers changed."""
    by_number = {
        name: lambda value, change=change: Reply(value.kind, change(value.value))
        for name, change in changes.items()
    }
    return changed(reply, by_number)


def without(reply, *names):
    found = [(name, value) for name, value in pairs(reply) if name.value.decode() not in names]
    return rebuilt(reply, found)
