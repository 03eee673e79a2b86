"""Documented differences are masked between the versions that they lie between, only there."""

import pytest

from differences import DOCUMENTED, normal
from wire import Reply


def bulk(text):
    return Reply("$", text.encode())


def number(value):
    return Reply(":", value)


def array(*values):
    return Reply("*", list(values))


def table(protocol, **fields):
    """A map: flat in RESP2."""
    pairs = [(bulk(name.replace("_", "-")), value) for name, value in fields.items()]
    if protocol == 3:
        return Reply("%", pairs)
    return array(*(one for pair in pairs for one in pair))


def error(text):
    return Reply("-", text)


def cases(protocol):
    """For each row of the table: a request, the reply of old, the reply of today."""

    def map_(**fields):
        return table(protocol, **fields)

    def full(**more):
        seen = {"name": bulk("c"), "seen_time": number(1_000), "pel_count": number(1)}
        consumer = map_(**seen, pending=array(), **more)
        return map_(groups=array(map_(name=bulk("g"), pending=array(), consumers=array(consumer))))

    row = {"name": bulk("c"), "pending": number(1), "idle": number(3)}
    idle = {"name": bulk("d"), "pending": number(0), "idle": number(3)}
    return [
        (
            ("XINFO", "CONSUMERS", "s", "g"),
            array(map_(**row)),
            array(map_(**row, inactive=number(3))),
        ),
        (("xinfo", "stream", "s", "full"), full(), full(active_time=number(1_000))),
        (("XINFO", "CONSUMERS", "s", "g"), array(map_(**row)), array(map_(**row), map_(**idle))),
        (("XREAD", "STREAMS", "s"), error("ERR Unbalanced XREAD"), error("ERR Unbalanced 'xread'")),
        (("XREAD", "STREAMS", "s", "+"), error("ERR Invalid stream ID"), array(bulk("s"), array())),
        (
            ("XINFO", "GROUPS", "s"),
            array(map_(name=bulk("g"), entries_read=number(2), lag=Reply("_", None))),
            array(map_(name=bulk("g"), entries_read=number(3), lag=number(1))),
        ),
    ]


@pytest.mark.parametrize("at", range(len(DOCUMENTED)), ids=[row.why for row in DOCUMENTED])
@pytest.mark.parametrize("protocol", [2, 3])
def test_masked_between_its_versions_only(at, protocol):
    request, old, new = cases(protocol)[at]
    since = DOCUMENTED[at].since
    apart, older, newer = [(7, 0), since], [(7, 0), (7, 0)], [since, since]
    assert normal(request, old, apart, True) == normal(request, new, apart, True)
    for alike in (older, newer):
        assert normal(request, old, alike, True) != normal(request, new, alike, True)


def test_lag_counts_where_nothing_was_deleted():
    request, old, new = cases(2)[-1]
    apart = [(7, 0), (7, 4)]
    assert normal(request, old, apart, False) != normal(request, new, apart, False)


def test_times_are_rounded_and_still_count():
    def row(idle):
        return array(array(bulk("1-0"), bulk("c"), number(idle), number(1)))

    request, alike = ("XPENDING", "s", "g", "-", "+", "10"), [(7, 0), (7, 0)]
    assert normal(request, row(3), alike, True) == normal(request, row(25_000), alike, True)
    assert normal(request, row(3), alike, True) != normal(request, row(3_000_000), alike, True)


def test_reply_of_another_shape_is_compared_as_it_is():
    requests = ("XINFO", "STREAM", "s"), ("XPENDING", "s", "g", "-", "+", "1"), ("KEYS", "*")
    for reply in (number(1), bulk("x"), array(array(number(1))), Reply("*", None)):
        for request in requests:
            assert normal(request, reply, [(7, 0), (7, 4)], True) == reply
