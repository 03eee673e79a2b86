"""Readers that wait: who is woken by what, in which order, and what they are told."""

import time

import pytest
import redis

from kit import fill, ids, streams, wait_blocked

LONG_MS = 4_000
"""Longer than any wake-up takes, shorter than the library's own patience."""


@pytest.fixture
def g(r):
    """An empty stream `s` with a group `g`."""
    r.xgroup_create("s", "g", "$", mkstream=True)
    return r


@pytest.fixture
def reader(connect, later, r):
    """Readers of group `g`; each is waiting before the next one starts."""
    waiting = 0

    def start(consumer, stream="s", block=LONG_MS, **options):
        nonlocal waiting
        client, given = connect(), {stream: ">"} if isinstance(stream, str) else stream
        one = later(client.xreadgroup, "g", consumer, given, block=block, **options)
        waiting += 1
        wait_blocked(r, waiting)
        return one

    return start


def test_add_wakes_a_group_reader(g, reader):
    waiting = reader("a")
    g.xadd("s", {"n": 1}, id="1-0")
    assert streams(waiting.result()) == {"s": [("1-0", {"n": "1"})]}
    assert g.xpending("s", "g")["consumers"] == [{"name": "a", "pending": 1}]


def test_add_wakes_every_plain_reader(r, connect, later):
    fill(r, "s", 2)
    waiting = [later(connect().xread, {"s": "$"}, block=LONG_MS) for _ in range(3)]
    wait_blocked(r, 3)
    r.xadd("s", {"n": 3}, id="3-0")
    for one in waiting:
        assert streams(one.result()) == {"s": [("3-0", {"n": "3"})]}


def test_plain_reader_waits_for_a_stream_to_come(r, connect, later):
    waiting = later(connect().xread, {"s": "0", "t": "$"}, block=LONG_MS)
    wait_blocked(r, 1)
    fill(r, "t", 1)
    assert streams(waiting.result()) == {"t": [("1-0", {"n": "1"})]}


@pytest.mark.parametrize("block", [1, 150])
def test_time_runs_out(g, block):
    started = time.monotonic()
    assert not g.xreadgroup("g", "a", {"s": ">"}, block=block)
    assert not g.xread({"s": "$"}, block=block)
    assert 2 * block / 1000 <= time.monotonic() - started + 0.002 < 10


def test_timeout_is_nil(g, wire, protocol):
    for command in (("XREADGROUP", "GROUP", "g", "a"), ("XREAD",)):
        last = ">" if "g" in command else "$"
        reply = wire().ask(*command, "BLOCK", 20, "STREAMS", "s", last)
        assert (reply.kind, reply.value) == ("_" if protocol == 3 else "*", None)


def test_zero_waits_until_something_comes(g, reader):
    waiting = reader("a", block=0)
    assert not g.xread({"s": "$"}, block=200) and not waiting.done
    g.xadd("s", {"n": 1}, id="1-0")
    assert ids(streams(waiting.result())["s"]) == ["1-0"]


def test_readers_are_served_in_order_of_arrival(g, reader):
    waiting = [reader(name, count=1) for name in ("third", "first", "second")]
    for n in (1, 2, 3):
        g.xadd("s", {"n": n}, id=f"{n}-0")
    assert [ids(streams(one.result())["s"]) for one in waiting] == [["1-0"], ["2-0"], ["3-0"]]


def test_one_batch_goes_to_the_first_reader(g, reader):
    first, second = reader("first"), reader("second")
    with g.pipeline(transaction=True) as batch:
        for n in (1, 2, 3):
            batch.xadd("s", {"n": n}, id=f"{n}-0")
        batch.execute()
    assert ids(streams(first.result())["s"]) == ["1-0", "2-0", "3-0"]
    assert not second.done
    g.xadd("s", {"n": 4}, id="4-0")
    assert ids(streams(second.result())["s"]) == ["4-0"]


def test_each_group_has_its_own_readers(g, connect, later, reader):
    g.xgroup_create("s", "h", "$")
    in_g = reader("a")
    in_h = later(connect().xreadgroup, "h", "a", {"s": ">"}, block=LONG_MS)
    wait_blocked(g, 2)
    g.xadd("s", {"n": 1}, id="1-0")
    assert streams(in_g.result()) == streams(in_h.result()) == {"s": [("1-0", {"n": "1"})]}


def test_reader_of_many_streams_gets_the_one_that_grew(g, reader):
    for name in ("t", "u"):
        g.xgroup_create(name, "g", "$", mkstream=True)
    waiting = reader("a", stream={"s": ">", "t": ">", "u": ">"})
    g.xadd("u", {"n": 1}, id="1-0")
    assert streams(waiting.result()) == {"u": [("1-0", {"n": "1"})]}


def test_reader_in_another_database_is_left_alone(g, connect, reader):
    waiting = reader("a")
    connect(db=1).xadd("s", {"n": 9}, id="9-0")
    g.xadd("s", {"n": 1}, id="1-0")
    assert ids(streams(waiting.result())["s"]) == ["1-0"]


def test_gone_reader_takes_nothing(g, wire, reader):
    gone = wire()
    gone.send("XREADGROUP", "GROUP", "g", "gone", "BLOCK", "0", "STREAMS", "s", ">")
    wait_blocked(g, 1)
    gone.close()
    wait_blocked(g, 0)
    waiting = reader("here")
    g.xadd("s", {"n": 1}, id="1-0")
    assert ids(streams(waiting.result())["s"]) == ["1-0"]
    assert g.xpending("s", "g")["consumers"] == [{"name": "here", "pending": 1}]


def test_waiting_reader_holds_up_nobody_else(g, wire):
    pipelined = wire()
    pipelined.send("XREADGROUP", "GROUP", "g", "a", "BLOCK", "0", "STREAMS", "s", ">")
    pipelined.send("PING")
    wait_blocked(g, 1)
    assert g.ping() is True
    g.xadd("s", {"n": 1}, id="1-0")
    assert pipelined.read().value, "the entry comes first"
    assert pipelined.read() == ("+", "PONG"), "then the answer to what was asked behind it"


WAKERS = {
    "deleted": lambda r: r.delete("s"),
    "flushed": lambda r: r.flushdb(),
    "flushed with all": lambda r: r.flushall(),
    "renamed": lambda r: r.rename("s", "t"),
    "expired": lambda r: r.pexpire("s", 20),
    "overwritten by a stream": lambda r: r.xadd("t", {"n": 1}) and r.rename("t", "s"),
    "destroyed": lambda r: r.xgroup_destroy("s", "g"),
}


@pytest.mark.parametrize("how", WAKERS)
def test_reader_is_told_that_its_group_is_gone(g, reader, newer, how):
    waiting = reader("a")
    WAKERS[how](g)
    with pytest.raises(redis.ResponseError) as said:
        waiting.result()
    if newer:
        named = "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"
        assert str(said.value) == named
    else:
        assert str(said.value).split()[0] in ("UNBLOCKED", "NOGROUP")


@pytest.mark.parametrize("how", ["set", "rename"])
def test_reader_is_told_that_the_type_changed(g, reader, newer, how):
    waiting = reader("a")
    if how == "set":
        g.set("s", "v")
    else:
        g.set("t", "v")
        g.rename("t", "s")
    with pytest.raises(redis.ResponseError) as said:
        waiting.result()
    assert str(said.value).split()[0] == ("WRONGTYPE" if newer else "UNBLOCKED")


def test_plain_reader_waits_on_when_the_stream_goes(r, connect, later):
    fill(r, "s", 1)
    waiting = later(connect().xread, {"s": "1-0"}, block=LONG_MS)
    wait_blocked(r, 1)
    r.delete("s")
    assert not r.xread({"t": "$"}, block=50) and not waiting.done
    fill(r, "s", 1, start=2)
    assert ids(streams(waiting.result())["s"]) == ["2-0"]


def test_stream_that_moves_in_is_read(g, reader, newer):
    if not newer:
        pytest.skip("7.0 gives up when the stream is replaced")
    g.xgroup_create("t", "g", "0", mkstream=True)
    fill(g, "t", 1)
    waiting = reader("a")
    g.rename("t", "s")
    assert ids(streams(waiting.result())["s"]) == ["1-0"]


def test_added_and_deleted_in_one_step_wakes_nobody(g, reader, newer):
    if not newer:
        pytest.skip("7.0 answers with an empty list")
    waiting = reader("a")
    with g.pipeline(transaction=True) as step:
        step.xadd("s", {"n": 1}, id="1-0").xdel("s", "1-0").execute()
    assert not g.xread({"s": "$"}, block=100) and not waiting.done
    g.xadd("s", {"n": 2}, id="2-0")
    assert ids(streams(waiting.result())["s"]) == ["2-0"]


def test_worker_loops_take_everything_once(g, connect, later):
    """Four workers with blocking reads, adds that come while they wait and while they work."""

    def work(name):
        client, done = connect(), []
        while batch := streams(client.xreadgroup("g", name, {"s": ">"}, count=3, block=1_000)):
            done += ids(batch["s"])
            client.xack("s", "g", *ids(batch["s"]))
        return done

    workers = [later(work, f"w{n}") for n in range(4)]
    wait_blocked(g, 4)
    for start in range(1, 200, 10):
        fill(g, "s", 10, start=start)
    done = [entry_id for worker in workers for entry_id in worker.result()]
    assert sorted(done) == sorted(f"{n}-0" for n in range(1, 201))
    assert g.xpending("s", "g")["pending"] == 0
