"""Strings: GET SET and its options, many at once, counting, appending."""

import time

import pytest

from kit import fill, refused

MAX, MIN = 2**63 - 1, -(2**63)


def in_100_seconds():
    """The four ways to say when."""
    then = int(time.time()) + 100
    return {"ex": 100}, {"px": 100_000}, {"exat": then}, {"pxat": then * 1000}


def test_values_come_back(connect):
    raw = connect(decode_responses=False)
    for value in (b"", b"v", bytes(range(256)), b"\r\n" * 500_000):
        assert raw.set("k", value) is True
        assert raw.get("k") == value
        assert raw.strlen("k") == len(value)
    assert raw.get("missing") is None and raw.strlen("missing") == 0


def test_set_only_if_absent_or_present(r):
    assert r.set("k", "1", xx=True) is None
    assert r.set("k", "1", nx=True) is True
    assert r.set("k", "2", nx=True) is None
    assert r.set("k", "3", xx=True) is True
    assert r.get("k") == "3"


def test_set_returns_what_was_there(r):
    assert r.set("k", "1", get=True) is None
    assert r.set("k", "2", get=True) == "1"
    assert r.set("k", "3", nx=True, get=True) == "2"
    assert r.get("k") == "2", "it was there, so nothing was set"
    fill(r, "s", 1)
    with refused("WRONGTYPE"):
        r.set("s", "v", get=True)
    assert r.type("s") == "stream"


def test_set_with_expiry(r):
    for options in in_100_seconds():
        assert r.set("k", "v", **options) is True
        assert 80 <= r.ttl("k") <= 101, options
    r.set("k", "v", exat=1_000_000_000)
    assert r.exists("k") == 0


def test_set_replaces_any_type(r):
    fill(r, "s", 1)
    assert r.set("s", "v") is True
    assert (r.type("s"), r.get("s")) == ("string", "v")


def test_set_options_are_checked(r):
    for args, words in [
        (("NX", "XX"), "syntax error"),
        (("EX", "1", "PX", "1"), "syntax error"),
        (("EX", "1", "KEEPTTL"), "syntax error"),
        (("EX",), "syntax error"),
        (("NOSUCH",), "syntax error"),
        (("EX", "x"), "value is not an integer or out of range"),
        (("EX", "0"), "invalid expire time in 'set' command"),
        (("PX", "-1"), "invalid expire time in 'set' command"),
        (("EX", MAX), "invalid expire time in 'set' command"),
    ]:
        with refused(words):
            r.execute_command("SET", "k", "v", *args)
    assert r.exists("k") == 0


def test_setex_and_setnx(r):
    # By name: the newer library wants SET instead, workers of today send these.
    assert r.execute_command("SETEX", "k", 100, "v") and 80 <= r.ttl("k") <= 100
    assert r.execute_command("PSETEX", "k", 100_000, "w") and 80 <= r.ttl("k") <= 100
    assert r.setnx("k", "x") is False and r.setnx("l", "x") is True
    assert r.mget("k", "l") == ["w", "x"]
    with refused("invalid expire time in 'setex' command"):
        r.execute_command("SETEX", "k", 0, "v")
    with refused("invalid expire time in 'psetex' command"):
        r.execute_command("PSETEX", "k", -5, "v")


def test_many_at_once(r, wire):
    assert r.mset({"a": 1, "b": "", "c": 3}) is True
    fill(r, "s", 1)
    assert r.mget("a", "missing", "b", "s", "c") == ["1", None, "", None, "3"]
    assert wire().call("MSET", "a", "1", "a", "2") == "OK"
    assert r.get("a") == "2"
    with refused("wrong number of arguments for 'mset' command"):
        r.execute_command("MSET", "a", "1", "b")


def test_getdel_takes_away(r):
    r.set("k", "v")
    assert r.getdel("k") == "v" and r.getdel("k") is None
    fill(r, "s", 1)
    with refused("WRONGTYPE"):
        r.getdel("s")
    assert r.exists("s") == 1


def test_getex_changes_only_the_expiry(r):
    r.set("k", "v")
    for options in in_100_seconds():
        assert r.getex("k", **options) == "v"
        assert 80 <= r.ttl("k") <= 101, options
    assert r.getex("k") == "v" and r.ttl("k") > 0
    assert r.getex("k", persist=True) == "v" and r.ttl("k") == -1
    assert r.getex("k", exat=1_000_000_000) == "v" and r.exists("k") == 0
    assert r.getex("missing", ex=10) is None
    for args in (("EX", "1", "PERSIST"), ("NOSUCH",), ("KEEPTTL",), ("NX",)):
        with refused("syntax error"):
            r.execute_command("GETEX", "k", *args)


def test_counting(r):
    assert [r.incr("n"), r.incr("n", 10), r.decr("n"), r.decr("n", -5)] == [1, 11, 10, 15]
    assert r.execute_command("INCR", "n") == 16 and r.execute_command("DECR", "n") == 15
    assert r.get("n") == "15"
    r.set("n", "-5")
    assert r.incrby("n", 3) == -2


@pytest.mark.parametrize(
    "value", ["", "x", "1.5", " 1", "1 ", "+1", "01", "9223372036854775808", "-0"]
)
def test_only_whole_numbers_count(r, value):
    r.set("n", value)
    with refused("value is not an integer or out of range"):
        r.incr("n")
    assert r.get("n") == value


def test_counting_never_wraps(r):
    r.set("n", MAX)
    with refused("increment or decrement would overflow"):
        r.incr("n")
    assert r.get("n") == str(MAX)
    r.set("n", MIN)
    with refused("increment or decrement would overflow"):
        r.decr("n")
    assert r.incrby("n", MAX) == -1
    with refused("value is not an integer or out of range"):
        r.execute_command("INCRBY", "n", "9223372036854775808")


def test_appending(r):
    assert [r.append("k", "ab"), r.append("k", ""), r.append("k", "c")] == [2, 2, 3]
    assert r.get("k") == "abc" and r.strlen("k") == 3


def test_other_types_are_refused(r):
    fill(r, "s", 1)
    for command in (
        ("GET", "s"), ("INCR", "s"), ("DECR", "s"), ("INCRBY", "s", "1"), ("APPEND", "s", "x"),
        ("STRLEN", "s"), ("GETDEL", "s"), ("GETEX", "s"), ("SET", "s", "v", "GET"),
    ):
        with refused("WRONGTYPE Operation against a key holding the wrong kind of value"):
            r.execute_command(*command)
    assert r.setnx("s", "v") is False


def test_lock_with_set_nx_and_time(r, connect):
    """The lock of Shepherd and taskiq: one holder, and it ends by itself."""
    assert r.set("lock", "me", nx=True, ex=45) is True
    assert connect().set("lock", "you", nx=True, ex=45) is None
    assert r.get("lock") == "me" and 30 < r.ttl("lock") <= 45
    assert r.delete("lock") == 1
    assert connect().set("lock", "you", nx=True, px=45_000) is True
