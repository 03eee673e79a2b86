"""Keys of any type: DEL EXISTS TYPE EXPIRE TTL PERSIST SCAN KEYS RENAME FLUSHDB DBSIZE."""

import time

import pytest

from kit import fill, refused
from wire import until

FAR = 2**63 - 1


def test_keys_are_counted_and_deleted(r):
    r.mset({"a": 1, "b": 2})
    fill(r, "s", 1)
    assert r.dbsize() == 3
    assert r.exists("a", "a", "s", "missing") == 3, "a key named twice counts twice"
    assert r.delete("a", "s", "missing") == 2
    assert (r.dbsize(), r.exists("a", "s")) == (1, 0)


def test_types_have_names(r):
    r.set("k", "v")
    fill(r, "s", 1)
    assert [r.type(key) for key in ("k", "s", "missing")] == ["string", "stream", "none"]


def test_keys_expire(r):
    r.set("k", "v")
    fill(r, "s", 1)
    assert r.pexpire("k", 30) is True and r.pexpire("s", 30) is True
    assert r.expire("missing", 10) is False
    until("both keys to expire", lambda: r.exists("k", "s") == 0)
    assert (r.get("k"), r.keys()) == (None, [])
    until("the count to follow", lambda: r.dbsize() == 0)
    assert r.xadd("s", {"n": 1}, id="1-0") == "1-0", "a new stream, which knows no ids"


def test_time_to_live_is_told(r):
    r.set("k", "v")
    assert (r.ttl("k"), r.pttl("k")) == (-1, -1)
    assert (r.ttl("missing"), r.pttl("missing")) == (-2, -2)
    r.expire("k", 100)
    assert 85 <= r.ttl("k") <= 100 and 85_000 < r.pttl("k") <= 100_000
    assert r.persist("k") is True and r.persist("k") is False and r.persist("missing") is False
    assert r.ttl("k") == -1


def test_writing_keeps_or_drops_the_expiry(r):
    r.set("k", "1", ex=100)
    r.incr("k")
    r.append("k", "0")
    assert r.ttl("k") > 80
    r.set("k", "v", keepttl=True)
    assert r.ttl("k") > 80
    r.set("k", "v")
    assert r.ttl("k") == -1
    fill(r, "s", 1)
    r.expire("s", 100)
    fill(r, "s", 1, start=2)
    assert r.ttl("s") > 80


def test_expiry_conditions(r):
    r.set("k", "v")
    assert r.expire("k", 100, xx=True) is False
    assert r.expire("k", 100, gt=True) is False, "no expiry counts as an endless one"
    assert r.expire("k", 100, nx=True) is True
    assert r.expire("k", 50, nx=True) is False
    assert r.expire("k", 50, gt=True) is False
    assert r.expire("k", 200, gt=True) is True
    assert r.expire("k", 50, lt=True) is True
    assert 35 <= r.ttl("k") <= 50
    with refused("NX and XX, GT or LT options at the same time are not compatible"):
        r.execute_command("EXPIRE", "k", "1", "NX", "XX")
    with refused("Unsupported option NOSUCH"):
        r.execute_command("EXPIRE", "k", "1", "NOSUCH")


def test_expiry_in_the_past_deletes(r):
    r.mset({"a": 1, "b": 1})
    assert r.expire("a", -1) is True and r.pexpire("b", 0) is True
    assert r.exists("a", "b") == 0


def test_impossible_expiries_are_refused(r):
    r.set("k", "v")
    with refused("invalid expire time in 'expire' command"):
        r.execute_command("EXPIRE", "k", FAR)
    with refused("invalid expire time in 'pexpire' command"):
        r.execute_command("PEXPIRE", "k", FAR)
    with refused("value is not an integer or out of range"):
        r.execute_command("EXPIRE", "k", "soon")
    assert r.ttl("k") == -1


def test_keys_are_found_by_pattern(r):
    names = ["hello", "hallo", "hxllo", "hllo", "worker:a:1", "worker:b:1", "a*b", "a[b"]
    r.mset({name: 1 for name in names})
    for pattern, found in {
        "*": names,
        "h?llo": ["hello", "hallo", "hxllo"],
        "h*llo": ["hello", "hallo", "hxllo", "hllo"],
        "h[ae]llo": ["hello", "hallo"],
        "h[^e]llo": ["hallo", "hxllo"],
        "h[a-e]llo": ["hello", "hallo"],
        "worker:*:1": ["worker:a:1", "worker:b:1"],
        "a\\*b": ["a*b"],
        "a\\[b": ["a[b"],
        "nothing": [],
    }.items():
        assert sorted(r.keys(pattern)) == sorted(found), pattern
        assert sorted(r.scan_iter(match=pattern)) == sorted(found), pattern


def test_scan_meets_every_key(r):
    r.mset({f"k{n}": n for n in range(300)})
    fill(r, "s", 1)
    cursor, met, calls = 0, [], 0
    while calls == 0 or cursor != 0:
        cursor, some = r.scan(cursor, count=20)
        met += some
        calls += 1
    assert set(met) == {f"k{n}" for n in range(300)} | {"s"}
    assert calls > 1
    assert list(r.scan_iter(_type="stream")) == ["s"]
    assert len(set(r.scan_iter(match="k1*", count=7, _type="string"))) == 111


def test_scan_meets_what_stays_while_others_go(r):
    r.mset({f"stays{n}": n for n in range(150)} | {f"goes{n}": n for n in range(150)})
    cursor, met = r.scan(0, count=10)
    met = set(met)
    while cursor:
        r.delete(*[f"goes{n}" for n in range(150)])
        r.set(f"new{cursor}", 1)
        cursor, some = r.scan(cursor, count=10)
        met |= set(some)
    assert {f"stays{n}" for n in range(150)} <= met


def test_scan_arguments_are_checked(r):
    for args, words in [
        (("x",), "invalid cursor"),
        (("0", "COUNT", "0"), "syntax error"),
        (("0", "COUNT", "x"), "value is not an integer or out of range"),
        (("0", "NOSUCH", "x"), "syntax error"),
    ]:
        with refused(words):
            r.execute_command("SCAN", *args)


def test_scan_of_nothing_ends_at_once(r):
    assert r.scan() == (0, [])


def test_rename_moves_value_expiry_and_groups(r):
    fill(r, "s", 2)
    r.xgroup_create("s", "g", "0")
    r.xreadgroup("g", "c", {"s": ">"})
    r.expire("s", 100)
    r.set("t", "in the way")
    assert r.rename("s", "t") is True
    assert (r.exists("s"), r.type("t"), r.xlen("t")) == (0, "stream", 2)
    assert r.ttl("t") > 80 and r.xpending("t", "g")["pending"] == 2
    assert r.rename("t", "t") is True
    with refused("no such key"):
        r.rename("missing", "t")


def test_flush_empties_one_or_all(connect, r):
    other = connect(db=1)
    for client in (r, other):
        client.set("k", "v")
    assert r.flushdb() is True
    assert (r.dbsize(), other.dbsize()) == (0, 1)
    r.set("k", "v")
    assert r.flushall() is True
    assert (r.dbsize(), other.dbsize()) == (0, 0)
    assert r.execute_command("FLUSHALL", "ASYNC") in (True, "OK")
    with refused("syntax error"):
        r.execute_command("FLUSHDB", "NOSUCH")


def test_names_may_be_any_bytes(connect):
    raw = connect(decode_responses=False)
    odd = [b"", b"\x00", b"\r\n", bytes(range(256)), b"a:b:c", "größe".encode(), b"x" * 1_000]
    for name in odd:
        raw.set(name, name)
    assert sorted(raw.keys()) == sorted(odd)
    assert sorted(raw.scan_iter()) == sorted(odd)
    assert raw.mget(odd) == odd
    assert raw.delete(*odd) == len(odd)


def test_heartbeat_and_marker_keys_live_and_die(r):
    """What a worker and its monitor do with them."""
    heartbeat = "worker:heartbeat:s:0a1b2c3d"
    r.set(heartbeat, '{"task_limit": 10}', ex=15)
    r.set("worker:shutdown:s:0a1b2c3d", "{}", ex=120)
    assert list(r.scan_iter(match="worker:heartbeat:s:*", count=200)) == [heartbeat]
    r.set(heartbeat, '{"task_limit": 10}', px=50)
    until("the heartbeat to end", lambda: r.get(heartbeat) is None)
    assert r.keys("worker:*") == ["worker:shutdown:s:0a1b2c3d"]


@pytest.mark.parametrize("key", ["k", "s"])
def test_expiry_is_not_early(r, key):
    r.set("k", "v")
    fill(r, "s", 1)
    # From before it is asked for: its answer may be late.
    started = time.monotonic()
    r.pexpire(key, 120)
    until(f"{key} to expire", lambda: not r.exists(key))
    assert time.monotonic() - started >= 0.1
