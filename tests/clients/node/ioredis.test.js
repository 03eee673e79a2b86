// ioredis: its handshake, its two ways to show RESP3 maps, every stream command, waiting, MULTI.
"use strict";

const assert = require("node:assert/strict");
const { after, afterEach, beforeEach, describe, test } = require("node:test");
const Redis = require("ioredis");
const { bounded, isNewer, until, untilBlocked, url } = require("./kit.js");

const MODES = {
  resp2: { protocol: 2 },
  "resp3 legacy": { protocol: 3 },
  "resp3 maps": { protocol: 3, replyMapping: "resp3" },
};

/** A map in one form: plain objects stay, flat arrays become objects. */
const map = (reply) => {
  if (!Array.isArray(reply)) return { ...reply };
  const object = {};
  for (let at = 0; at < reply.length; at += 2) object[reply[at]] = reply[at + 1];
  return object;
};
/** XREAD in one form: `{stream: entries}`. */
const streams = (reply) => (Array.isArray(reply) ? Object.fromEntries(reply) : { ...reply });
const ids = (entries) => entries.map(([id]) => id);

for (const [mode, options] of Object.entries(MODES)) {
  describe(`ioredis ${mode}`, bounded, () => {
    let r;
    const clients = [];
    const connect = (more) => {
      clients.push(new Redis(url, { ...options, ...more }));
      return clients.at(-1);
    };
    /** Entries 1-0, 2-0, ... with the field n. */
    const fill = async (stream, count, start = 1) => {
      for (let n = start; n < start + count; n++) await r.xadd(stream, `${n}-0`, "n", n);
    };
    const blocked = (count) => untilBlocked((section) => r.info(section), count);

    const close = () => clients.splice(0).forEach((client) => client.disconnect());

    beforeEach(async () => {
      r = connect();
      await r.flushall();
      await blocked(0);
    });
    afterEach(close);
    // A test that skips itself has no afterEach in Node 20.
    after(close);

    test("connects, is ready, quits", async () => {
      const named = connect({ connectionName: "worker-1", db: 3 });
      await until("ready", () => named.status === "ready");
      assert.equal(await named.client("GETNAME"), "worker-1");
      await named.set("k", "v");
      assert.deepEqual([await named.get("k"), await r.get("k")], ["v", null]);
      assert.equal(await named.quit(), "OK");
    });

    test("entries are added, ranged, trimmed, deleted", async () => {
      assert.match(await r.xadd("t", "*", "a", "1"), /^\d{13}-\d+$/);
      assert.equal(await r.xadd("missing", "NOMKSTREAM", "*", "a", "1"), null);
      await fill("s", 5);
      assert.equal(await r.xlen("s"), 5);
      const middle = [["2-0", ["n", "2"]], ["3-0", ["n", "3"]]];
      assert.deepEqual(await r.xrange("s", "(1-0", "3"), middle);
      assert.deepEqual(ids(await r.xrevrange("s", "+", "-", "COUNT", 2)), ["5-0", "4-0"]);
      assert.equal(await r.xdel("s", "2-0", "9-9"), 1);
      assert.equal(await r.xtrim("s", "MAXLEN", "=", 2), 2);
      assert.equal(await r.xtrim("s", "MINID", "5-0"), 1);
      await r.xadd("s", "MAXLEN", "=", 1, "6-0", "n", 6);
      assert.deepEqual(ids(await r.xrange("s", "-", "+")), ["6-0"]);
      assert.equal(await r.xsetid("s", "9-0"), "OK");
      await assert.rejects(r.xadd("s", "9-0", "a", "1"), /equal or smaller than the target stream/);
      await assert.rejects(r.xadd("s", "x", "a", "1"), /^ReplyError: ERR Invalid stream ID/);
    });

    test("groups read, re-read and acknowledge", async () => {
      await fill("s", 3);
      assert.equal(await r.xgroup("CREATE", "s", "g", "0"), "OK");
      await assert.rejects(r.xgroup("CREATE", "s", "g", "0"), /BUSYGROUP/);
      const taken = await r.xreadgroup("GROUP", "g", "a", "COUNT", 2, "STREAMS", "s", ">");
      assert.deepEqual(streams(taken), { s: [["1-0", ["n", "1"]], ["2-0", ["n", "2"]]] });
      const noack = ["GROUP", "g", "b", "NOACK", "STREAMS", "s", ">"];
      assert.deepEqual(ids(streams(await r.xreadgroup(...noack)).s), ["3-0"]);
      assert.equal(await r.xreadgroup("GROUP", "g", "b", "STREAMS", "s", ">"), null);
      await r.xdel("s", "1-0");
      const history = streams(await r.xreadgroup("GROUP", "g", "a", "STREAMS", "s", "0")).s;
      assert.deepEqual(history, [["1-0", null], ["2-0", ["n", "2"]]]);
      assert.deepEqual(ids(streams(await r.xread("COUNT", 1, "STREAMS", "s", "2")).s), ["3-0"]);
      assert.equal(await r.xack("s", "g", "1-0", "2-0", "9-9"), 2);
      assert.equal(await r.xgroup("SETID", "s", "g", "$"), "OK");
      assert.equal(await r.xgroup("CREATECONSUMER", "s", "g", "c"), 1);
      assert.equal(await r.xgroup("DELCONSUMER", "s", "g", "c"), 0);
      assert.equal(await r.xgroup("DESTROY", "s", "g"), 1);
      await assert.rejects(r.xreadgroup("GROUP", "g", "a", "STREAMS", "s", ">"), /NOGROUP/);
    });

    test("pending rows are shown and claimed", async () => {
      await fill("s", 4);
      await r.xgroup("CREATE", "s", "g", "0");
      await r.xreadgroup("GROUP", "g", "a", "STREAMS", "s", ">");
      assert.deepEqual(await r.xpending("s", "g"), [4, "1-0", "4-0", [["a", "4"]]]);
      const rows = await r.xpending("s", "g", "IDLE", 0, "-", "+", 2, "a");
      assert.deepEqual(rows.map(([id, owner, , count]) => [id, owner, count]), [
        ["1-0", "a", 1],
        ["2-0", "a", 1],
      ]);
      assert.deepEqual(await r.xclaim("s", "g", "b", 0, "1-0", "JUSTID"), ["1-0"]);
      const options = ["IDLE", 60_000, "RETRYCOUNT", 5, "FORCE"];
      assert.deepEqual(ids(await r.xclaim("s", "g", "b", 0, "2-0", ...options)), ["2-0"]);
      assert.deepEqual(ids(await r.xclaim("s", "g", "c", 30_000, "1-0", "2-0")), ["2-0"]);
      await r.xdel("s", "3-0");
      const first = await r.xautoclaim("s", "g", "d", 0, "0", "COUNT", 2);
      assert.deepEqual([first[0], ids(first[1]), first[2]], ["3-0", ["1-0", "2-0"], []]);
      const last = await r.xautoclaim("s", "g", "d", 0, first[0], "JUSTID");
      assert.deepEqual(last, ["0-0", ["4-0"], ["3-0"]]);
    });

    test("information is complete", async () => {
      await fill("s", 3);
      await r.xgroup("CREATE", "s", "g", "0");
      await r.xreadgroup("GROUP", "g", "a", "COUNT", 1, "STREAMS", "s", ">");
      const stream = map(await r.xinfo("STREAM", "s"));
      assert.deepEqual([stream.length, stream["last-generated-id"], stream.groups], [3, "3-0", 1]);
      assert.deepEqual(stream["first-entry"], ["1-0", ["n", "1"]]);
      const group = map((await r.xinfo("GROUPS", "s"))[0]);
      assert.deepEqual(group, {
        name: "g", consumers: 1, pending: 1, "last-delivered-id": "1-0", "entries-read": 1, lag: 2,
      });
      const consumer = map((await r.xinfo("CONSUMERS", "s", "g"))[0]);
      assert.deepEqual([consumer.name, consumer.pending], ["a", 1]);
      const full = map(await r.xinfo("STREAM", "s", "FULL", "COUNT", 1));
      assert.deepEqual(ids(full.entries), ["1-0"]);
      assert.equal(map(map(full.groups[0]).consumers[0]).name, "a");
    });

    test("acknowledging and deleting in one command", async (t) => {
      if (!isNewer(await r.info("server"))) return t.skip("newer than 7.0");
      await fill("s", 2);
      await r.xgroup("CREATE", "s", "g", "0");
      await r.xreadgroup("GROUP", "g", "a", "STREAMS", "s", ">");
      assert.deepEqual(await r.call("XACKDEL", "s", "g", "IDS", 2, "1-0", "9-9"), [1, -1]);
      assert.deepEqual(await r.call("XDELEX", "s", "DELREF", "IDS", 1, "2-0"), [1]);
      assert.deepEqual([await r.xlen("s"), (await r.xpending("s", "g"))[0]], [0, 0]);
    });

    test("waiting readers are woken, served in order, and time out", async () => {
      await r.xgroup("CREATE", "s", "g", "$", "MKSTREAM");
      const read = (name) =>
        connect().xreadgroup("GROUP", "g", name, "COUNT", 1, "BLOCK", 0, "STREAMS", "s", ">");
      const first = read("first");
      await blocked(1);
      const second = read("second");
      await blocked(2);
      await fill("s", 2);
      assert.deepEqual(ids(streams(await first).s), ["1-0"]);
      assert.deepEqual(ids(streams(await second).s), ["2-0"]);
      assert.equal(await r.xread("BLOCK", 30, "STREAMS", "s", "$"), null);
      const destroyed = read("first");
      const told = assert.rejects(destroyed, /NOGROUP/);
      await blocked(1);
      await r.xgroup("DESTROY", "s", "g");
      await told;
    });

    test("pipelines and transactions answer in order", async () => {
      const many = r.pipeline();
      for (let n = 0; n < 500; n++) many.incr("n");
      assert.deepEqual((await many.exec()).map(([, value]) => value).at(-1), 500);
      await fill("a", 1);
      await r.xgroup("CREATE", "a", "g", "0");
      await r.xreadgroup("GROUP", "g", "c", "STREAMS", "a", ">");
      const step = r.multi().xadd("b", "1-1", "n", 1).xack("a", "g", "1-0").xdel("a", "1-0");
      assert.deepEqual(await step.get("missing").exec(), [
        [null, "1-1"], [null, 1], [null, 1], [null, null],
      ]);
      const failing = await r.multi().set("k", "v").xlen("k").exec();
      assert.match(failing[1][0].message, /WRONGTYPE/);
      await assert.rejects(r.multi().set("k", "w").call("NOSUCH").exec(), /EXECABORT/);
      assert.equal(await r.get("k"), "v");
    });

    test("keys and strings", async () => {
      assert.equal(await r.set("k", "1", "PX", 100_000, "NX"), "OK");
      assert.equal(await r.set("k", "2", "NX"), null);
      assert.equal(await r.set("k", "2", "KEEPTTL", "GET"), "1");
      assert.ok((await r.pttl("k")) > 80_000 && (await r.ttl("k")) > 80);
      const counted = [await r.incrby("k", 5), await r.decr("k"), await r.append("k", "0")];
      assert.deepEqual(counted, [7, 6, 2]);
      assert.deepEqual([await r.persist("k"), await r.ttl("k"), await r.strlen("k")], [1, -1, 2]);
      await r.mset({ a: 1, b: 2 });
      assert.deepEqual(await r.mget("a", "missing", "b"), ["1", null, "2"]);
      assert.deepEqual((await r.keys("?")).sort(), ["a", "b", "k"]);
      const met = [];
      for await (const keys of r.scanStream({ match: "[ab]", count: 1 })) met.push(...keys);
      assert.deepEqual([...new Set(met)].sort(), ["a", "b"]);
      assert.equal(await r.rename("a", "c"), "OK");
      const left = [await r.exists("a", "c"), await r.del("b", "c"), await r.dbsize()];
      assert.deepEqual(left, [1, 2, 1]);
      assert.equal(await r.getex("k", "EX", 100), "60");
      assert.equal(await r.getdel("k"), "60");
      assert.ok(Buffer.from([0, 255, 13, 10]).equals(await binary(r)));
    });
  });
}

async function binary(r) {
  await r.set("bytes", Buffer.from([0, 255, 13, 10]));
  return r.getBuffer("bytes");
}
