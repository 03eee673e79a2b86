// node-redis: its handshake, RESP2 and RESP3, every stream command by its own name, waiting, MULTI.
"use strict";

const assert = require("node:assert/strict");
const { after, afterEach, beforeEach, describe, test } = require("node:test");
const { createClient } = require("redis");
const { bounded, isNewer, untilBlocked, url } = require("./kit.js");

const ids = (entries) => entries.map(({ id }) => id);
/** Replies have no prototype; in comparisons they get one. */
const same = (found, expected) =>
  assert.deepEqual(JSON.parse(JSON.stringify(found)), JSON.parse(JSON.stringify(expected)));
/** XREAD in one form: `{stream: entries}`. */
const streams = (reply) => Object.fromEntries(reply.map(({ name, messages }) => [name, messages]));

for (const RESP of [2, 3]) {
  describe(`node-redis resp${RESP}`, bounded, () => {
    let r;
    const clients = [];
    const connect = async (more) => {
      clients.push(createClient({ url, RESP, ...more }));
      clients.at(-1).on("error", () => {});
      return clients.at(-1).connect();
    };
    const fill = async (stream, count, start = 1) => {
      for (let n = start; n < start + count; n++) await r.xAdd(stream, `${n}-0`, { n: `${n}` });
    };
    const read = (client, consumer, options, id = ">") =>
      client.xReadGroup("g", consumer, [{ key: "s", id }], options);
    const blocked = (count) => untilBlocked((section) => r.info(section), count);

    const close = () =>
      clients.splice(0).forEach((client) => client.isOpen && client.destroy());

    beforeEach(async () => {
      r = await connect();
      await r.flushAll();
      await blocked(0);
    });
    afterEach(close);
    // A test that skips itself has no afterEach in Node 20.
    after(close);

    test("connects, names itself, closes", async () => {
      const named = await connect({ name: "worker-1", database: 3 });
      assert.equal(await named.clientGetName(), "worker-1");
      await named.set("k", "v");
      same([await named.get("k"), await r.get("k")], ["v", null]);
      assert.equal(await named.ping(), "PONG");
      await named.close();
    });

    test("entries are added, ranged, trimmed, deleted", async () => {
      assert.match(await r.xAdd("t", "*", { a: "1" }), /^\d{13}-\d+$/);
      assert.equal(await r.xAddNoMkStream("missing", "*", { a: "1" }), null);
      await fill("s", 5);
      assert.equal(await r.xLen("s"), 5);
      same(await r.xRange("s", "(1-0", "3"), [
        { id: "2-0", message: { n: "2" } },
        { id: "3-0", message: { n: "3" } },
      ]);
      same(ids(await r.xRevRange("s", "+", "-", { COUNT: 2 })), ["5-0", "4-0"]);
      assert.equal(await r.xDel("s", ["2-0", "9-9"]), 1);
      assert.equal(await r.xTrim("s", "MAXLEN", 2, { strategyModifier: "=" }), 2);
      assert.equal(await r.xTrim("s", "MINID", 5, { strategyModifier: "=" }), 1);
      const TRIM = { strategy: "MAXLEN", strategyModifier: "=", threshold: 1 };
      await r.xAdd("s", "6-0", { n: "6" }, { TRIM });
      same(ids(await r.xRange("s", "-", "+")), ["6-0"]);
      const set = { ENTRIESADDED: 10, MAXDELETEDID: "8-0" };
      assert.equal(await r.xSetId("s", "9-0", set), "OK");
      await assert.rejects(r.xAdd("s", "9-0", { a: "1" }), /equal or smaller than the target/);
      await assert.rejects(r.xAdd("s", "x", { a: "1" }), /ERR Invalid stream ID/);
    });

    test("groups read, re-read and acknowledge", async () => {
      await fill("s", 3);
      assert.equal(await r.xGroupCreate("s", "g", "0"), "OK");
      await assert.rejects(r.xGroupCreate("s", "g", "0", { MKSTREAM: true }), /BUSYGROUP/);
      const taken = streams(await read(r, "a", { COUNT: 2 })).s;
      same(taken, [{ id: "1-0", message: { n: "1" } }, { id: "2-0", message: { n: "2" } }]);
      same(ids(streams(await read(r, "b", { NOACK: true })).s), ["3-0"]);
      assert.equal(await read(r, "b"), null);
      same(ids(streams(await read(r, "a", {}, "1-0")).s), ["2-0"]);
      same(ids(streams(await r.xRead({ key: "s", id: "2" }, { COUNT: 1 })).s), ["3-0"]);
      assert.equal(await r.xAck("s", "g", ["1-0", "2-0", "9-9"]), 2);
      assert.equal(await r.xGroupSetId("s", "g", "$"), "OK");
      assert.equal(await r.xGroupCreateConsumer("s", "g", "c"), 1);
      assert.equal(await r.xGroupDelConsumer("s", "g", "c"), 0);
      assert.equal(await r.xGroupDestroy("s", "g"), 1);
      await assert.rejects(read(r, "a"), /NOGROUP/);
    });

    test("pending rows are shown and claimed", async () => {
      await fill("s", 4);
      await r.xGroupCreate("s", "g", "0");
      await read(r, "a");
      same(await r.xPending("s", "g"), {
        pending: 4, firstId: "1-0", lastId: "4-0", consumers: [{ name: "a", deliveriesCounter: 4 }],
      });
      const rows = await r.xPendingRange("s", "g", "-", "+", 2, { IDLE: 0, consumer: "a" });
      same(rows.map((row) => [row.id, row.consumer, row.deliveriesCounter]), [
        ["1-0", "a", 1],
        ["2-0", "a", 1],
      ]);
      same(await r.xClaimJustId("s", "g", "b", 0, ["1-0"]), ["1-0"]);
      const options = { IDLE: 60_000, RETRYCOUNT: 5, FORCE: true };
      same(ids(await r.xClaim("s", "g", "b", 0, ["2-0"], options)), ["2-0"]);
      same(ids(await r.xClaim("s", "g", "c", 30_000, ["1-0", "2-0"])), ["2-0"]);
      await r.xDel("s", "3-0");
      const first = await r.xAutoClaim("s", "g", "d", 0, "0", { COUNT: 2 });
      same([first.nextId, ids(first.messages)], ["3-0", ["1-0", "2-0"]]);
      const last = await r.xAutoClaimJustId("s", "g", "d", 0, first.nextId);
      same([last.nextId, last.messages, last.deletedMessages], ["0-0", ["4-0"], ["3-0"]]);
    });

    test("nothing pending is shown as such", async () => {
      await r.xGroupCreate("s", "g", "$", { MKSTREAM: true });
      same(await r.xPending("s", "g"), {
        pending: 0, firstId: null, lastId: null, consumers: null,
      });
      same(await r.xPendingRange("s", "g", "-", "+", 10), []);
    });

    test("information is complete", async () => {
      await fill("s", 3);
      await r.xGroupCreate("s", "g", "0");
      await read(r, "a", { COUNT: 1 });
      const stream = await r.xInfoStream("s");
      same([stream.length, stream["last-generated-id"], stream.groups], [3, "3-0", 1]);
      same(stream["first-entry"], { id: "1-0", message: { n: "1" } });
      same((await r.xInfoGroups("s"))[0], {
        name: "g", consumers: 1, pending: 1, "last-delivered-id": "1-0", "entries-read": 1, lag: 2,
      });
      const consumer = (await r.xInfoConsumers("s", "g"))[0];
      same([consumer.name, consumer.pending], ["a", 1]);
    });

    test("acknowledging and deleting in one command", async (t) => {
      if (!isNewer(await r.info("server"))) return t.skip("newer than 7.0");
      await fill("s", 3);
      await r.xGroupCreate("s", "g", "0");
      await read(r, "a");
      same(await r.xAckDel("s", "g", ["1-0", "9-9"]), [1, -1]);
      same(await r.xDelEx("s", ["2-0"], "DELREF"), [1]);
      same(await r.xAckDel("s", "g", ["3-0"], "ACKED"), [1]);
      same([await r.xLen("s"), (await r.xPending("s", "g")).pending], [0, 0]);
    });

    test("waiting readers are woken, served in order, and time out", async () => {
      await r.xGroupCreate("s", "g", "$", { MKSTREAM: true });
      const first = read(await connect(), "first", { COUNT: 1, BLOCK: 0 });
      await blocked(1);
      const second = read(await connect(), "second", { COUNT: 1, BLOCK: 0 });
      await blocked(2);
      await fill("s", 2);
      same(ids(streams(await first).s), ["1-0"]);
      same(ids(streams(await second).s), ["2-0"]);
      assert.equal(await r.xRead({ key: "s", id: "$" }, { BLOCK: 30 }), null);
      const told = assert.rejects(read(await connect(), "first", { BLOCK: 0 }), /NOGROUP/);
      await blocked(1);
      await r.xGroupDestroy("s", "g");
      await told;
    });

    test("pipelines and transactions answer in order", async () => {
      const many = await Promise.all(Array.from({ length: 500 }, () => r.incr("n")));
      same([many[0], many[499]], [1, 500]);
      await fill("a", 1);
      await r.xGroupCreate("a", "g", "0");
      await r.xReadGroup("g", "c", { key: "a", id: ">" });
      const step = r.multi().xAdd("b", "1-1", { n: "1" }).xAck("a", "g", "1-0").xDel("a", "1-0");
      same(await step.get("missing").exec(), ["1-1", 1, 1, null]);
      await assert.rejects(r.multi().set("k", "v").xLen("k").exec(), /1 commands failed/);
      await assert.rejects(r.multi().set("k", "w").addCommand(["NOSUCH"]).exec());
      assert.equal(await r.get("k"), "v");
    });

    test("keys and strings", async () => {
      const soon = { expiration: { type: "PX", value: 100_000 } };
      assert.equal(await r.set("k", "1", { ...soon, condition: "NX" }), "OK");
      assert.equal(await r.set("k", "2", { condition: "NX" }), null);
      assert.equal(await r.set("k", "2", { expiration: "KEEPTTL", GET: true }), "1");
      assert.ok((await r.pTTL("k")) > 80_000 && (await r.ttl("k")) > 80);
      same([await r.incrBy("k", 5), await r.decr("k"), await r.append("k", "0")], [7, 6, 2]);
      same([await r.persist("k"), await r.ttl("k"), await r.strLen("k")], [1, -1, 2]);
      await r.mSet({ a: "1", b: "2" });
      same(await r.mGet(["a", "missing", "b"]), ["1", null, "2"]);
      same((await r.keys("?")).sort(), ["a", "b", "k"]);
      const met = new Set();
      for await (const keys of r.scanIterator({ MATCH: "[ab]", COUNT: 1 })) {
        for (const key of keys) met.add(key);
      }
      same([...met].sort(), ["a", "b"]);
      assert.equal(await r.rename("a", "c"), "OK");
      same([await r.exists(["a", "c"]), await r.del(["b", "c"]), await r.dbSize()], [1, 2, 1]);
      assert.equal(await r.getEx("k", { type: "EX", value: 100 }), "60");
      same([await r.expire("k", 50), await r.type("k"), await r.getDel("k")], [1, "string", "60"]);
    });
  });
}
