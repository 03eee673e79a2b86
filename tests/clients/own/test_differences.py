"""Documented differences are masked between the versions that they lie between, only there."""

import pytest

from differences import DOCUMENTED, OURS, Between, normal
from wire import Reply


ALIKE, APART = Between([(7, 0), (7, 0)]), Between([(7, 0), (7, 4)])


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
        (("SELECT", "9" * 20), error("ERR value is out of range"), error("ERR DB index")),
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
    if since == OURS:
        apart, alikes = Between([(7, 4)] * 2, ours=True), [APART]
    else:
        apart, alikes = Between([(7, 0), since]), [ALIKE, Between([since, since])]
    assert normal(request, old, apart, True) == normal(request, new, apart, True)
    for alike in alikes:
        assert normal(request, old, alike, True) != normal(request, new, alike, True)


def test_lag_counts_where_nothing_was_deleted():
    request, old, new = cases(2)[-1]
    assert normal(request, old, APART, False) != normal(request, new, APART, False)


def test_times_are_rounded_and_still_count():
    def row(idle):
        return array(array(bulk("1-0"), bulk("c"), number(idle), number(1)))

    request = ("XPENDING", "s", "g", "-", "+", "10")
    assert normal(request, row(3), ALIKE, True) == normal(request, row(25_000), ALIKE, True)
    assert normal(request, row(3), ALIKE, True) != normal(request, row(3_000_000), ALIKE, True)


def test_reply_of_another_shape_is_compared_as_it_is():
    requests = ("XINFO", "STREAM", "s"), ("XPENDING", "s", "g", "-", "+", "1"), ("KEYS", "*")
    for reply in (number(1), bulk("x"), array(array(number(1))), Reply("*", None)):
        for request in requests:
            assert normal(request, reply, APART, True) == reply
