"""Pending rows and who takes them over: XPENDING XCLAIM XAUTOCLAIM XACKDEL XDELEX."""

import time

import pytest

from kit import fill, ids, refused, streams
from wire import until


@pytest.fixture
def s(r):
    """A stream `s` of five entries, all delivered in group `g`: three to `a`, two to `b`."""
    fill(r, "s", 5)
    r.xgroup_create("s", "g", "0")
    r.xreadgroup("g", "a", {"s": ">"}, count=3)
    r.xreadgroup("g", "b", {"s": ">"})
    return r


def rows(r, **options):
    """Owner and delivery count of each pending row."""
    found = r.xpending_range("s", "g", "-", "+", 100, **options)
    return {row["message_id"]: (row["consumer"], row["times_delivered"]) for row in found}


def age(r, idle_ms, *entry_ids):
    """Makes rows look as if they were delivered a while ago; the owner stays."""
    for entry_id in entry_ids:
        owner, count = rows(r)[entry_id]
        options = {"idle": idle_ms, "retrycount": count, "justid": True}
        assert r.xclaim("s", "g", owner, 0, [entry_id], **options) == [entry_id]


def test_s19_real_client_parses_pending_summary(s):
    assert s.xpending("s", "g") == {
        "pending": 5,
        "min": "1-0",
        "max": "5-0",
        "consumers": [{"name": "a", "pending": 3}, {"name": "b", "pending": 2}],
    }


def test_s19_real_client_parses_pending_rows(s):
    found = s.xpending_range("s", "g", "-", "+", 10)
    assert [row["message_id"] for row in found] == [f"{n}-0" for n in range(1, 6)]
    assert all(0 <= row.pop("time_since_delivered") < 15_000 for row in found)
    assert found[0] == {"message_id": "1-0", "consumer": "a", "times_delivered": 1}


def test_summary_of_nothing_pending(s, wire):
    s.xack("s", "g", *rows(s))
    assert s.xpending("s", "g") == {"pending": 0, "min": None, "max": None, "consumers": []}
    reply = wire(protocol=2).ask("XPENDING", "s", "g").value
    kinds = [(one.kind, one.value) for one in reply]
    assert kinds == [(":", 0), ("$", None), ("$", None), ("*", None)]


def test_counts_in_the_summary_are_text(s, wire):
    assert wire().call("XPENDING", "s", "g")[3] == [["a", "3"], ["b", "2"]]


def test_rows_by_range_count_and_consumer(s):
    assert list(rows(s, consumername="b")) == ["4-0", "5-0"]
    assert rows(s, consumername="nobody") == {}
    found = s.xpending_range("s", "g", "(1-0", "4", 2)
    assert [row["message_id"] for row in found] == ["2-0", "3-0"]
    assert s.xpending_range("s", "g", "-", "+", 0) == []


def test_rows_by_idle_time(s):
    age(s, 60_000, "2-0", "5-0")
    assert list(rows(s, idle=30_000)) == ["2-0", "5-0"]
    assert list(rows(s, idle=30_000, consumername="b")) == ["5-0"]
    row = s.xpending_range("s", "g", "2-0", "2-0", 1)[0]
    assert 60_000 <= row["time_since_delivered"] < 75_000


def test_pending_arguments_are_checked(s):
    for args, words in [
        (("s", "nogroup"), "NOGROUP No such key 's' or consumer group 'nogroup'"),
        (("nostream", "g"), "NOGROUP No such key 'nostream' or consumer group 'g'"),
        (("s", "g", "IDLE", "1"), "syntax error"),
        (("s", "g", "-", "+"), "syntax error"),
        (("s", "g", "IDLE", "1", "-", "+"), "syntax error"),
        (("s", "g", "-", "+", "x"), "value is not an integer or out of range"),
        (("s", "g", "x", "+", "1"), "Invalid stream ID specified as stream command argument"),
    ]:
        with refused(words):
            s.execute_command("XPENDING", *args)


def test_claiming_moves_rows(s):
    assert s.xclaim("s", "g", "c", 0, ["1-0", "4-0"]) == [("1-0", {"n": "1"}), ("4-0", {"n": "4"})]
    assert s.xclaim("s", "g", "c", 0, ["2-0"], justid=True) == ["2-0"]
    after = rows(s)
    assert (after["1-0"], after["4-0"], after["2-0"]) == (("c", 2), ("c", 2), ("c", 1))
    assert ids(streams(s.xreadgroup("g", "c", {"s": "0"}))["s"]) == ["1-0", "2-0", "4-0"]


def test_claiming_respects_the_idle_time(s):
    age(s, 60_000, "1-0")
    assert ids(s.xclaim("s", "g", "c", 30_000, ["1-0", "2-0"])) == ["1-0"]
    assert s.xclaim("s", "g", "d", 30_000, ["1-0"]) == [], "the claim began a new idle time"


def test_claim_sets_idle_time_and_count(s):
    s.xclaim("s", "g", "c", 0, ["1-0"], idle=60_000, retrycount=7)
    row = s.xpending_range("s", "g", "1-0", "1-0", 1)[0]
    assert (row["consumer"], row["times_delivered"]) == ("c", 7)
    assert row["time_since_delivered"] >= 60_000
    an_hour_ago = int(time.time() * 1000) - 3_600_000
    s.xclaim("s", "g", "c", 0, ["1-0"], time=an_hour_ago, justid=True)
    row = s.xpending_range("s", "g", "1-0", "1-0", 1)[0]
    assert row["time_since_delivered"] >= 3_500_000 and row["times_delivered"] == 7


def test_claim_of_what_nobody_has_needs_force(r):
    fill(r, "s", 3)
    r.xgroup_create("s", "g", "0")
    assert r.xclaim("s", "g", "c", 0, ["1-0", "9-9"]) == []
    assert ids(r.xclaim("s", "g", "c", 0, ["1-0", "9-9"], force=True)) == ["1-0"]
    assert rows(r)["1-0"][0] == "c"
    r.execute_command("XCLAIM", "s", "g", "c", 0, "1-0", "LASTID", "2-0")
    assert ids(streams(r.xreadgroup("g", "c", {"s": ">"}))["s"]) == ["3-0"]


def test_claim_drops_rows_of_deleted_entries(s):
    s.xdel("s", "2-0")
    assert "2-0" in rows(s)
    assert ids(s.xclaim("s", "g", "c", 0, ["1-0", "2-0"])) == ["1-0"]
    assert "2-0" not in rows(s)


def test_claim_makes_the_consumer(s, newer):
    s.xclaim("s", "g", "c", 0, ["9-9"])
    names = [row["name"] for row in s.xinfo_consumers("s", "g")]
    assert names == (["a", "b", "c"] if newer else ["a", "b"])


def test_claim_arguments_are_checked(s):
    for args, words in [
        (("s", "nogroup", "c", "0", "1-0"), "NOGROUP No such key 's' or consumer group 'nogroup'"),
        (("nostream", "g", "c", "0", "1-0"), "NOGROUP No such key 'nostream' or consumer"),
        (("s", "g", "c", "x", "1-0"), "Invalid min-idle-time argument for XCLAIM"),
        (("s", "g", "c", "0", "1-0", "NOSUCH"), "Unrecognized XCLAIM option 'NOSUCH'"),
        (("s", "g", "c", "0", "1-0", "IDLE", "x"), "Invalid IDLE option argument for XCLAIM"),
        (("s", "g", "c", "0", "1-0", "TIME", "x"), "Invalid TIME option argument for XCLAIM"),
        (("s", "g", "c", "0", "1-0", "RETRYCOUNT", "x"), "Invalid RETRYCOUNT option argument"),
        (("s", "g", "c", "0", "1-0", "LASTID", "x"), "Invalid stream ID"),
    ]:
        with refused(words):
            s.execute_command("XCLAIM", *args)
    assert rows(s)["1-0"] == ("a", 1)


def test_autoclaim_walks_in_batches(s):
    cursor, claimed, deleted = s.xautoclaim("s", "g", "c", 0, "0", count=2)
    assert (cursor, ids(claimed), deleted) == ("3-0", ["1-0", "2-0"], [])
    cursor, claimed, _ = s.xautoclaim("s", "g", "c", 0, cursor, count=2)
    assert (cursor, ids(claimed)) == ("5-0", ["3-0", "4-0"])
    cursor, claimed, _ = s.xautoclaim("s", "g", "c", 0, cursor, count=2)
    assert (cursor, claimed) == ("0-0", [("5-0", {"n": "5"})])
    assert set(rows(s).values()) == {("c", 2)}


def test_autoclaim_takes_only_idle_rows(s):
    age(s, 60_000, "2-0", "4-0")
    assert s.xautoclaim("s", "g", "c", 30_000, "(2-0", justid=True) == ["4-0"]
    assert s.xautoclaim("s", "g", "c", 30_000, "0")[1] == [("2-0", {"n": "2"})]
    assert rows(s) == {
        "1-0": ("a", 1), "2-0": ("c", 2), "3-0": ("a", 1), "4-0": ("c", 1), "5-0": ("b", 1),
    }


def test_autoclaim_tells_deleted_entries(s):
    s.xdel("s", "2-0", "4-0")
    cursor, claimed, deleted = s.xautoclaim("s", "g", "c", 0, "0")
    assert (cursor, ids(claimed), deleted) == ("0-0", ["1-0", "3-0", "5-0"], ["2-0", "4-0"])
    assert set(rows(s)) == {"1-0", "3-0", "5-0"}


def test_autoclaim_arguments_are_checked(s):
    for args, words in [
        (("s", "nogroup", "c", "0", "0"), "NOGROUP No such key 's' or consumer group 'nogroup'"),
        (("s", "g", "c", "0", "0", "COUNT", "0"), "COUNT must be > 0"),
        (("s", "g", "c", "x", "0"), "Invalid min-idle-time argument for XAUTOCLAIM"),
        (("s", "g", "c", "0", "x"), "Invalid stream ID"),
        (("s", "g", "c", "0", "0", "NOSUCH"), "syntax error"),
    ]:
        with refused(words):
            s.execute_command("XAUTOCLAIM", *args)


def test_s09_two_claimers_never_share_an_entry(s, connect, later):
    fill(s, "s", 95, start=6)
    s.xreadgroup("g", "a", {"s": ">"})
    age(s, 60_000, *rows(s))

    def take(name):
        client, taken, cursor = connect(), [], "0"
        while cursor != "0-0":
            cursor, batch, _ = client.xautoclaim("s", "g", name, 30_000, cursor, count=7)
            taken += ids(batch)
        return taken

    takers = [later(take, f"taker-{n}") for n in range(4)]
    taken = [entry_id for taker in takers for entry_id in taker.result()]
    assert sorted(taken) == sorted(rows(s)) and len(taken) == 100


def test_s07_rows_of_a_dead_worker_are_taken_over(s):
    """What a worker of today does: page the idle rows, claim those whose owner has no heartbeat."""
    s.set("worker:heartbeat:s:b", "{}", ex=15)
    age(s, 60_000, "1-0", "2-0", "4-0")
    idle = s.xpending_range("s", "g", "-", "+", 50, idle=30_000)
    owners = {row["consumer"] for row in idle}
    alive = {name for name in owners if s.exists(f"worker:heartbeat:s:{name}")}
    dead = [row["message_id"] for row in idle if row["consumer"] not in alive]
    assert ids(s.xclaim("s", "g", "c", 30_000, dead)) == ["1-0", "2-0"]
    assert rows(s)["4-0"] == ("b", 1), "a slow worker that is alive keeps its entry"


def test_idle_time_grows_by_itself(s):
    until("an idle time of 30 ms", lambda: len(rows(s, idle=30)) == 5)


def ackdel(r, *args):
    return r.execute_command("XACKDEL", *args)


def delex(r, *args):
    return r.execute_command("XDELEX", *args)


def test_ackdel_acknowledges_and_deletes(s, newer):
    if not newer:
        pytest.skip("XACKDEL is newer than 7.0")
    s.xgroup_create("s", "h", "0")
    s.xreadgroup("h", "c", {"s": ">"})
    assert ackdel(s, "s", "g", "IDS", 2, "1-0", "9-9") == [1, -1]
    assert ids(s.xrange("s")) == ["2-0", "3-0", "4-0", "5-0"]
    assert s.xpending("s", "h")["pending"] == 5, "KEEPREF leaves the rows of other groups"
    assert ackdel(s, "s", "g", "DELREF", "IDS", 1, "2-0") == [1]
    assert s.xpending("s", "h")["pending"] == 4
    assert ackdel(s, "s", "g", "ACKED", "IDS", 1, "3-0") == [2], "`h` still needs it"
    assert "3-0" not in rows(s) and "3-0" in ids(s.xrange("s"))
    assert ackdel(s, "s", "h", "ACKED", "IDS", 1, "3-0") == [1]
    assert ids(s.xrange("s")) == ["4-0", "5-0"]
    assert ackdel(s, "nostream", "g", "IDS", 2, "1-0", "2-0") == [-1, -1]


def test_delex_deletes_by_reference(s, newer):
    if not newer:
        pytest.skip("XDELEX is newer than 7.0")
    assert delex(s, "s", "IDS", 2, "1-0", "9-9") == [1, -1]
    assert "1-0" in rows(s), "KEEPREF leaves the row"
    assert delex(s, "s", "DELREF", "IDS", 1, "2-0") == [1]
    assert "2-0" not in rows(s)
    assert delex(s, "s", "ACKED", "IDS", 1, "3-0") == [2]
    s.xack("s", "g", "3-0")
    assert delex(s, "s", "ACKED", "IDS", 1, "3-0") == [1]
    assert ids(s.xrange("s")) == ["4-0", "5-0"]
    assert delex(s, "nostream", "KEEPREF", "IDS", 1, "1-0") == [-1]


def test_ackdel_and_delex_arguments_are_checked(s, newer):
    if not newer:
        pytest.skip("XACKDEL and XDELEX are newer than 7.0")
    for command in (("XACKDEL", "s", "g"), ("XDELEX", "s")):
        for args in (("IDS", "2", "1-0"), ("IDS", "x", "1-0"), ("NOSUCH", "IDS", "1", "1-0")):
            with refused(""):
                s.execute_command(*command, *args)
        with refused("Invalid stream ID specified as stream command argument"):
            s.execute_command(*command, "IDS", "2", "1-0", "x")
    assert len(rows(s)) == 5 and s.xlen("s") == 5
