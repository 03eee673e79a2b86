"""Entries of a stream without groups: XADD XLEN XRANGE XREVRANGE XREAD XDEL XTRIM XSETID."""

import pytest

from kit import fill, ids, refused, streams

TOP = 2**64 - 1


def test_added_entries_come_back_in_order(r):
    first = r.xadd("s", {"a": "1", "b": "2"})
    second = r.xadd("s", {"a": "3"})
    ms, seq = map(int, first.split("-"))
    assert ms > 1_600_000_000_000 and seq >= 0
    assert tuple(map(int, second.split("-"))) > (ms, seq)
    assert r.xrange("s") == [(first, {"a": "1", "b": "2"}), (second, {"a": "3"})]
    assert r.xlen("s") == 2
    assert r.type("s") == "stream"


def test_ids_may_be_given_in_full_or_in_half(r):
    assert r.xadd("s", {"a": 1}, id="5-3") == "5-3"
    assert r.xadd("s", {"a": 1}, id="5-*") == "5-4"
    assert r.xadd("s", {"a": 1}, id="6-*") == "6-0"
    assert r.xadd("s", {"a": 1}, id="7") == "7-0"
    assert r.xadd("s", {"a": 1}, id=f"{TOP}-{TOP - 1}") == f"{TOP}-{TOP - 1}"
    assert r.xadd("s", {"a": 1}) == f"{TOP}-{TOP}"
    with refused("The stream has exhausted the last possible ID, unable to add more items"):
        r.xadd("s", {"a": 1})


def test_small_ids_are_refused(r):
    with refused("The ID specified in XADD must be greater than 0-0"):
        r.xadd("s", {"a": 1}, id="0-0")
    assert r.exists("s") == 0, "a refusal creates nothing"
    r.xadd("s", {"a": 1}, id="5-3")
    for small in ("5-3", "5-2", "4-9"):
        with refused(
            "The ID specified in XADD is equal or smaller than the target stream top item"
        ):
            r.xadd("s", {"a": 1}, id=small)


@pytest.mark.parametrize("bad", ["x", "1-x", "-1", "1-1-1", "18446744073709551616-0", "", "1-"])
def test_malformed_ids_are_refused(r, bad):
    with refused("Invalid stream ID specified as stream command argument"):
        r.execute_command("XADD", "s", bad, "a", "b")
    r.xadd("s", {"a": 1}, id="1-1")
    for command in (("XDEL", "s", bad), ("XRANGE", "s", bad, "+"), ("XREAD", "STREAMS", "s", bad)):
        with refused("Invalid stream ID specified as stream command argument"):
            r.execute_command(*command)


def test_nomkstream_makes_no_stream(r):
    assert r.xadd("s", {"a": 1}, nomkstream=True) is None
    assert r.exists("s") == 0
    r.xadd("s", {"a": 1}, id="1-1")
    assert r.xadd("s", {"a": 1}, id="2-1", nomkstream=True) == "2-1"


def test_add_trims_by_length_and_by_id(r):
    fill(r, "s", 10)
    r.xadd("s", {"a": 1}, id="11-0", maxlen=5, approximate=False)
    assert ids(r.xrange("s")) == [f"{n}-0" for n in range(7, 12)]
    r.xadd("s", {"a": 1}, id="12-0", minid="10", approximate=False)
    assert ids(r.xrange("s")) == ["10-0", "11-0", "12-0"]
    r.xadd("s", {"a": 1}, id="13-0", maxlen=0, approximate=False)
    assert r.xlen("s") == 0 and r.exists("s") == 1


def test_rough_trimming_never_removes_too_much(r):
    fill(r, "s", 500)
    r.xadd("s", {"a": 1}, id="501-0", maxlen=100)
    assert 100 <= r.xlen("s") <= 501
    r.xadd("s", {"a": 1}, id="502-0", minid="450", limit=1000)
    assert ids(r.xrange("s", min="450")) == [f"{n}-0" for n in range(450, 503)]
    assert r.xtrim("s", maxlen=10, limit=0) >= 0
    assert r.xlen("s") >= 10


def test_trim_options_are_checked(r):
    fill(r, "s", 3)
    for options, words in [
        (("MAXLEN", "1", "MINID", "2"), "syntax error, MAXLEN and MINID options at the same time"),
        (("MAXLEN", "=", "1", "LIMIT", "5"), "LIMIT cannot be used without the special ~ option"),
        (("MAXLEN", "-1"), "The MAXLEN argument must be >= 0."),
        (("MAXLEN", "x"), "value is not an integer or out of range"),
        (("MAXLEN", "~", "1", "LIMIT", "-1"), "The LIMIT argument must be >= 0."),
        (("MINID", "x"), "Invalid stream ID specified as stream command argument"),
    ]:
        with refused(words):
            r.execute_command("XTRIM", "s", *options)
        with refused(words):
            r.execute_command("XADD", "s", *options, "*", "a", "b")
    with refused("syntax error, LIMIT cannot be used without specifying a trimming strategy"):
        r.execute_command("XTRIM", "s", "LIMIT", "5")
    assert r.xlen("s") == 3


def test_trim_counts_what_it_removes(r):
    fill(r, "s", 10)
    assert r.xtrim("s", maxlen=7, approximate=False) == 3
    assert r.xtrim("s", minid="6-0", approximate=False) == 2
    assert r.xtrim("s", minid="6-0", approximate=False) == 0
    assert ids(r.xrange("s")) == [f"{n}-0" for n in range(6, 11)]
    assert r.xtrim("missing", maxlen=1) == 0


def test_ranges_take_both_ends_and_a_count(r):
    fill(r, "s", 5)
    r.xadd("s", {"a": 1}, id="5-7")
    assert ids(r.xrange("s", "2", "4")) == ["2-0", "3-0", "4-0"]
    assert ids(r.xrange("s", "(2-0", "(4-0")) == ["3-0"]
    assert ids(r.xrange("s", "5", "5")) == ["5-0", "5-7"], "a bare time covers all its entries"
    assert ids(r.xrange("s", count=2)) == ["1-0", "2-0"]
    assert ids(r.xrevrange("s", "4", "2")) == ["4-0", "3-0", "2-0"]
    assert ids(r.xrevrange("s", "(4-0", "(2-0")) == ["3-0"]
    assert ids(r.xrevrange("s", count=1)) == ["5-7"]
    assert r.xrange("s", "4", "2") == r.xrange("missing") == r.xrevrange("missing") == []


def test_ranges_beyond_the_last_id_are_refused(r):
    fill(r, "s", 1)
    with refused("invalid start ID for the interval"):
        r.xrange("s", f"({TOP}-{TOP}", "+")
    with refused("invalid end ID for the interval"):
        r.xrange("s", "-", "(0-0")
    with refused("value is not an integer or out of range"):
        r.execute_command("XRANGE", "s", "-", "+", "COUNT", "x")
    with refused("syntax error"):
        r.execute_command("XRANGE", "s", "-", "+", "NOSUCH", "1")


def test_range_count_of_zero_differs_from_none(wire):
    one = wire()
    one.call("XADD", "s", "1-1", "a", "b")
    empty = one.ask("XRANGE", "s", "-", "+", "COUNT", "0")
    assert (empty.kind, empty.value or None) == (empty.kind, None) and empty.kind in "*_"


def test_read_gives_what_is_after_the_id(r):
    fill(r, "s", 3)
    fill(r, "t", 2)
    after = [("2-0", {"n": "2"}), ("3-0", {"n": "3"})]
    assert streams(r.xread({"s": "1", "t": "2"})) == {"s": after}
    one_each = {"s": [("1-0", {"n": "1"})], "t": [("1-0", {"n": "1"})]}
    assert streams(r.xread({"s": "0", "t": "0"}, count=1)) == one_each
    assert not r.xread({"s": "$", "t": "$", "missing": "0"})


def test_read_of_the_last_entry(r, newer):
    if not newer:
        pytest.skip("XREAD + came with 7.4")
    fill(r, "s", 3)
    assert ids(streams(r.xread({"s": "+"}))["s"]) == ["3-0"]
    assert not r.xread({"missing": "+"})


def test_read_options_are_checked(r):
    for args, words in [
        (("STREAMS", "s", "t", "0"), "Unbalanced 'xread' list of streams"),
        (("COUNT", "x", "STREAMS", "s", "0"), "value is not an integer or out of range"),
        (("BLOCK", "-1", "STREAMS", "s", "0"), "timeout is negative"),
        (("BLOCK", "x", "STREAMS", "s", "0"), "timeout is not an integer or out of range"),
        (("STREAMS", "s", ">"), "The > ID can be specified only when calling XREADGROUP"),
        (("GROUP", "g", "c", "STREAMS", "s", "0"), "GROUP option is only supported by XREADGROUP"),
        (("NOACK", "STREAMS", "s", "0"), "NOACK option is only supported by XREADGROUP"),
        (("NOSUCH", "STREAMS", "s", "0"), "syntax error"),
    ]:
        with pytest.raises(Exception) as refusal:
            r.execute_command("XREAD", *args)
        # 7.0 and 7.2 write the name of the command in their own ways here.
        said = str(refusal.value).replace("XREAD list", "'xread' list")
        assert words in said, said


def test_deleting_the_last_entry_keeps_the_stream(r):
    fill(r, "s", 2)
    assert r.xdel("s", "1-0", "9-9") == 1
    assert r.xdel("s", "1-0", "2-0") == 1
    assert (r.xlen("s"), r.exists("s")) == (0, 1)
    with refused("equal or smaller"):
        r.xadd("s", {"a": 1}, id="2-0")
    assert r.xdel("missing", "1-0") == 0


def test_delete_checks_all_ids_first(r):
    fill(r, "s", 2)
    with refused("Invalid stream ID"):
        r.xdel("s", "1-0", "x")
    assert r.xlen("s") == 2


def test_last_id_can_be_set(r):
    fill(r, "s", 3)
    given = ("10-0", "ENTRIESADDED", 50, "MAXDELETEDID", "9-0")
    assert r.execute_command("XSETID", "s", *given) in ("OK", True)
    info = r.xinfo_stream("s")
    assert (info["last-generated-id"], info["entries-added"]) == ("10-0", 50)
    assert info["max-deleted-entry-id"] == "9-0"
    for args, words in [
        (("s", "2-0"), "The ID specified in XSETID is smaller than"),
        (("s", "11-0", "ENTRIESADDED", "1"), "The entries_added specified in XSETID is smaller"),
        (("s", "11-0", "ENTRIESADDED", "-1"), "entries_added must be positive"),
        (("s", "11-0", "MAXDELETEDID", "12-0"), "smaller than the provided max_deleted_entry_id"),
        (("missing", "1-0"), "no such key"),
    ]:
        with refused(words):
            r.execute_command("XSETID", *args)


def test_any_bytes_may_be_stored(connect):
    raw = connect(decode_responses=False)
    every = bytes(range(256))
    large = b"\r\n" * 300_000
    raw.xadd(every, {every: large, b"": b""}, id="1-1")
    assert raw.xrange(every) == [(b"1-1", {every: large, b"": b""})]


def test_fields_keep_their_order_and_repeat(wire):
    one = wire()
    one.call("XADD", "s", "1-1", "b", "1", "a", "2", "b", "3")
    reply = one.ask("XRANGE", "s", "-", "+")
    assert reply.value[0].kind == reply.value[0].value[1].kind == "*", "flat also in RESP3"
    assert one.call("XRANGE", "s", "-", "+") == [["1-1", ["b", "1", "a", "2", "b", "3"]]]


def test_other_types_are_refused(r):
    r.set("k", "v")
    for command in (
        ("XADD", "k", "*", "a", "b"), ("XLEN", "k"), ("XRANGE", "k", "-", "+"),
        ("XREVRANGE", "k", "+", "-"), ("XDEL", "k", "1-1"), ("XTRIM", "k", "MAXLEN", "1"),
        ("XREAD", "STREAMS", "k", "0"), ("XSETID", "k", "1-1"), ("XINFO", "STREAM", "k"),
    ):
        with refused("WRONGTYPE Operation against a key holding the wrong kind of value"):
            r.execute_command(*command)
    assert r.xlen("missing") == 0
