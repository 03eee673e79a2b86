"""The asyncio client of the same library: a worker as people write it today."""

import asyncio

import pytest
import redis.asyncio

from kit import URL, ids, streams
from wire import PATIENCE_S

STREAM, GROUP = "resize", "consumer"


@pytest.fixture
def run(protocol):
    """Runs a coroutine that gets a function which makes clients."""

    def start(story):
        async def whole():
            clients = []

            def connect(**options):
                options = {"protocol": protocol, "decode_responses": True} | options
                clients.append(redis.asyncio.Redis.from_url(URL, **options))
                return clients[-1]

            try:
                return await asyncio.wait_for(story(connect), PATIENCE_S)
            finally:
                for client in clients:
                    await client.aclose()

        return asyncio.run(whole())

    return start


def test_connects_and_names_itself(run):
    async def story(connect):
        client = connect(client_name="worker-1", db=3)
        assert await client.ping() is True
        assert await client.client_getname() == "worker-1"
        await client.set("k", "v")
        assert (await client.get("k"), await connect().get("k")) == ("v", None)

    run(story)


def test_every_kind_of_read(run):
    async def story(connect):
        r = connect()
        for n in (1, 2, 3):
            await r.xadd(STREAM, {"n": n}, id=f"{n}-0")
        await r.xgroup_create(STREAM, GROUP, id="0")
        with pytest.raises(redis.ResponseError, match="BUSYGROUP"):
            await r.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        taken = streams(await r.xreadgroup(GROUP, "a", {STREAM: ">"}, count=2))[STREAM]
        assert taken == [("1-0", {"n": "1"}), ("2-0", {"n": "2"})]
        assert ids(streams(await r.xread({STREAM: "1-0"}))[STREAM]) == ["2-0", "3-0"]
        summary = await r.xpending(STREAM, GROUP)
        assert (summary["pending"], summary["min"], summary["max"]) == (2, "1-0", "2-0")
        rows = await r.xpending_range(STREAM, GROUP, "-", "+", 10)
        assert [row["message_id"] for row in rows] == ["1-0", "2-0"]
        assert ids(await r.xclaim(STREAM, GROUP, "b", 0, ["1-0"])) == ["1-0"]
        cursor, claimed, deleted = await r.xautoclaim(STREAM, GROUP, "b", 0, "0")
        assert (cursor, ids(claimed), deleted) == ("0-0", ["1-0", "2-0"], [])
        assert (await r.xinfo_stream(STREAM))["length"] == 3
        assert (await r.xinfo_groups(STREAM))[0]["pending"] == 2
        assert len(await r.xinfo_consumers(STREAM, GROUP)) == 2
        assert await r.xack(STREAM, GROUP, "1-0", "2-0") == 2
        assert await r.xtrim(STREAM, maxlen=1, approximate=False) == 2
        assert ids(await r.xrevrange(STREAM)) == ["3-0"]

    run(story)


def test_reader_waits_while_others_work(run):
    async def story(connect):
        r = connect()
        await r.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        waiting = asyncio.create_task(
            connect().xreadgroup(GROUP, "a", {STREAM: ">"}, count=1, block=4_000)
        )
        while (await r.info("clients"))["blocked_clients"] != 1:
            await asyncio.sleep(0.005)
        assert await r.ping() is True and not waiting.done()
        await r.xadd(STREAM, {"n": 1}, id="1-0")
        assert streams(await waiting) == {STREAM: [("1-0", {"n": "1"})]}
        assert not await r.xreadgroup(GROUP, "a", {STREAM: ">"}, block=30)

    run(story)


def test_cancelled_reader_loses_nothing(run):
    """A worker is stopped while it waits: what comes next goes to the others."""

    async def story(connect):
        r, stopped = connect(), connect(single_connection_client=True)
        await r.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        await stopped.ping()
        waiting = asyncio.create_task(stopped.xreadgroup(GROUP, "gone", {STREAM: ">"}, block=0))
        while (await r.info("clients"))["blocked_clients"] != 1:
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await stopped.connection.disconnect()
        while (await r.info("clients"))["blocked_clients"] != 0:
            await asyncio.sleep(0.005)
        await r.xadd(STREAM, {"n": 1}, id="1-0")
        taken = streams(await r.xreadgroup(GROUP, "here", {STREAM: ">"}, block=1_000))
        assert ids(taken[STREAM]) == ["1-0"]

    run(story)


def test_pipeline_is_one_step(run):
    async def story(connect):
        r = connect()
        async with r.pipeline(transaction=True) as step:
            answers = await step.xadd("s", {"n": 1}, id="1-0").xlen("s").set("k", "v").execute()
        assert answers == ["1-0", 1, True]
        async with r.pipeline(transaction=False) as many:
            for n in range(500):
                many.incr("n")
            assert await many.execute() == list(range(1, 501))

    run(story)


def test_s01_many_workers_leave_nothing_behind(run):
    """Four workers of one process take 400 entries and acknowledge and delete each in one step."""

    async def story(connect):
        r, total = connect(), 400
        await r.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        done = []

        async def work(name):
            client = connect()
            while len(done) < total:
                found = await client.xreadgroup(GROUP, name, {STREAM: ">"}, count=5, block=100)
                taken = ids(streams(found).get(STREAM, []))
                async with client.pipeline(transaction=True) as step:
                    if taken:
                        step.xack(STREAM, GROUP, *taken).xdel(STREAM, *taken)
                        assert await step.execute() == [len(taken), len(taken)]
                        done.extend(taken)

        async def feed():
            for n in range(1, total + 1):
                await r.xadd(STREAM, {"n": n}, id=f"{n}-0")

        await asyncio.gather(feed(), *(work(f"w{n}") for n in range(4)))
        assert sorted(done) == sorted(f"{n}-0" for n in range(1, total + 1))
        assert await r.xlen(STREAM) == 0
        assert (await r.xpending(STREAM, GROUP))["pending"] == 0

    run(story)
