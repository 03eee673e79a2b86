"""Many requests in one write, and MULTI EXEC DISCARD: one commit."""

import pytest
import redis

from kit import fill, ids, refused, streams


@pytest.fixture
def w(wire):
    return wire()


def test_pipeline_answers_in_order(r):
    with r.pipeline(transaction=False) as pipeline:
        for n in range(2_000):
            pipeline.set(f"k{n % 7}", n)
            pipeline.get(f"k{n % 7}")
        answers = pipeline.execute()
    assert answers[1::2] == [str(n) for n in range(2_000)]


def test_error_in_a_pipeline_stays_in_its_slot(r):
    with r.pipeline(transaction=False) as pipeline:
        pipeline.set("k", "v").xadd("k", {"a": 1}).get("k")
        answers = pipeline.execute(raise_on_error=False)
    assert answers[0] is True and answers[2] == "v"
    assert isinstance(answers[1], redis.ResponseError) and "WRONGTYPE" in str(answers[1])


def test_s26_next_stage_ack_and_delete_are_one_step(r):
    fill(r, "a", 3)
    r.xgroup_create("a", "g", "0")
    taken = streams(r.xreadgroup("g", "c", {"a": ">"}))["a"]
    with r.pipeline(transaction=True) as step:
        for entry_id, fields in taken:
            step.xadd("b", fields)
        step.xack("a", "g", *ids(taken)).xdel("a", *ids(taken))
        answers = step.execute()
    assert answers[-2:] == [3, 3] and answers[0] < answers[1] < answers[2]
    assert [fields for _, fields in r.xrange("b")] == [{"n": "1"}, {"n": "2"}, {"n": "3"}]
    assert (r.xlen("a"), r.xpending("a", "g")["pending"]) == (0, 0)


def test_s34_one_missing_stream_does_not_fail_the_snapshot(r):
    """The monitor's question: every stream in one MULTI, slots may fail on their own."""
    fill(r, "s", 2)
    r.xgroup_create("s", "g", "0")
    with r.pipeline(transaction=True) as step:
        for name in ("s", "missing"):
            step.xlen(name).xpending(name, "g").xinfo_consumers(name, "g")
        answers = step.execute(raise_on_error=False)
    assert answers[0] == 2 and answers[1]["pending"] == 0 and answers[2] == []
    assert answers[3] == 0
    assert "NOGROUP" in str(answers[4]) and "no such key" in str(answers[5])


def test_requests_are_queued_and_run_together(w, r):
    assert w.call("MULTI") == "OK"
    assert w.call("XADD", "s", "1-1", "a", "b") == "QUEUED"
    assert w.call("SET", "k", "v") == "QUEUED"
    assert r.exists("s", "k") == 0, "nothing has happened yet"
    assert w.call("EXEC") == ["1-1", "OK"]
    assert r.exists("s", "k") == 2


def test_failing_request_does_not_stop_the_others(w):
    w.call("MULTI")
    for request in (("SET", "k", "v"), ("XLEN", "k"), ("INCR", "k"), ("SET", "l", "w")):
        assert w.call(*request) == "QUEUED"
    answers = w.call("EXEC")
    assert (answers[0], answers[3]) == ("OK", "OK")
    assert answers[1].startswith("(error) WRONGTYPE")
    assert answers[2] == "(error) ERR value is not an integer or out of range"
    assert w.call("MGET", "k", "l") == ["v", "w"]


@pytest.mark.parametrize("bad", [("NOSUCH",), ("GET",), ("XADD", "s")])
def test_malformed_request_aborts_the_whole(w, bad):
    w.call("MULTI")
    assert w.call("SET", "k", "v") == "QUEUED"
    assert w.call(*bad).startswith("(error) ERR ")
    assert w.call("SET", "l", "w") == "QUEUED"
    said = w.call("EXEC")
    assert said == "(error) EXECABORT Transaction discarded because of previous errors."
    assert w.call("MGET", "k", "l") == [None, None]
    assert w.call("EXEC") == "(error) ERR EXEC without MULTI"


def test_library_knows_an_aborted_transaction(r):
    with r.pipeline(transaction=True) as step:
        step.set("k", "v").execute_command("NOSUCH")
        with pytest.raises(redis.ResponseError):
            step.execute()
    assert r.get("k") is None


def test_discard_forgets(w):
    w.call("MULTI")
    w.call("SET", "k", "v")
    assert w.call("DISCARD") == "OK"
    assert w.call("GET", "k") is None
    assert w.call("DISCARD") == "(error) ERR DISCARD without MULTI"


def test_multi_cannot_be_nested(w):
    w.call("MULTI")
    assert w.call("MULTI") == "(error) ERR MULTI calls can not be nested"
    assert w.call("PING") == "QUEUED"
    assert w.call("EXEC") == ["PONG"]
    assert w.call("MULTI") == "OK" and w.call("EXEC") == []


def test_closed_connection_forgets_its_queue(wire, r):
    gone = wire()
    gone.call("MULTI")
    gone.call("SET", "k", "v")
    gone.close()
    assert r.get("k") is None


def test_blocking_read_in_multi_does_not_wait(w, r, protocol):
    r.xgroup_create("s", "g", "$", mkstream=True)
    w.call("MULTI")
    w.call("XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">")
    w.call("XREAD", "BLOCK", "0", "STREAMS", "s", "$")
    answers = w.ask("EXEC").value
    assert [(one.kind, one.value) for one in answers] == [("_" if protocol == 3 else "*", None)] * 2


def test_reads_inside_see_the_writes_before_them(w):
    w.call("MULTI")
    for request in (
        ("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"), ("XADD", "s", "1-1", "a", "b"),
        ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"), ("XACK", "s", "g", "1-1"),
        ("XDEL", "s", "1-1"), ("XLEN", "s"), ("INCR", "n"), ("INCR", "n"), ("GET", "n"),
        ("DEL", "s", "n"), ("EXISTS", "s", "n"),
    ):
        assert w.call(*request) == "QUEUED"
    answers = w.call("EXEC")
    assert answers[:2] == ["OK", "1-1"] and answers[2]
    assert answers[3:] == [1, 1, 0, 1, 2, "2", 2, 0]


def test_flush_inside_a_transaction(w):
    w.call("SET", "k", "v")
    w.call("MULTI")
    for request in (("FLUSHDB",), ("SET", "l", "w"), ("DBSIZE",), ("FLUSHALL",), ("DBSIZE",)):
        assert w.call(*request) == "QUEUED"
    assert w.call("EXEC") == ["OK", "OK", 1, "OK", 0]


def test_keys_can_be_listed_inside_a_transaction(w):
    w.call("MULTI")
    for request in (("SET", "k", "v"), ("KEYS", "*"), ("SCAN", "0"), ("XINFO", "HELP")):
        assert w.call(*request) == "QUEUED"
    answers = w.call("EXEC")
    assert answers[:3] == ["OK", ["k"], ["0", ["k"]]] and len(answers[3]) > 5


def test_bad_value_fails_alone(w):
    """Only what is no request at all aborts the whole; a bad id is found when its turn comes."""
    w.call("MULTI")
    for request in (("SET", "k", "v"), ("XRANGE", "s", "x", "+"), ("SET", "l", "w", "EX", "0")):
        assert w.call(*request) == "QUEUED"
    answers = w.call("EXEC")
    assert answers[0] == "OK" and answers[1].startswith("(error) ERR Invalid stream ID")
    assert answers[2] == "(error) ERR invalid expire time in 'set' command"
    assert w.call("GET", "k") == "v"


def test_select_inside_a_transaction_counts(w, connect):
    w.call("MULTI")
    for request in (("SET", "k", "0"), ("SELECT", "1"), ("SET", "k", "1")):
        w.call(*request)
    assert w.call("EXEC") == ["OK", "OK", "OK"]
    assert w.call("GET", "k") == "1", "the connection stays where it went"
    assert (connect(db=0).get("k"), connect(db=1).get("k")) == ("0", "1")


def test_large_transaction_is_one_step(r):
    with r.pipeline(transaction=True) as step:
        for n in range(1, 1_001):
            step.xadd("s", {"n": n}, id=f"{n}-0")
        answers = step.execute()
    assert answers == [f"{n}-0" for n in range(1, 1_001)]
    assert r.xlen("s") == 1_000


def test_other_clients_never_see_half_a_step(r, connect, later):
    def move():
        client = connect()
        for n in range(200):
            with client.pipeline(transaction=True) as step:
                step.set("a", n).set("b", n).execute()
        return True

    r.mset({"a": 0, "b": 0})
    mover = later(move)
    while not mover.done:
        a, b = r.mget("a", "b")
        assert a == b
    assert mover.result()


def test_library_helper_runs_a_transaction(r):
    with r.pipeline() as step:
        step.multi()
        step.set("k", "v")
        step.get("k")
        assert step.execute() == [True, "v"]
    with refused("EXEC without MULTI"):
        r.execute_command("EXEC")
