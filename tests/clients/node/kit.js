// What the Node tests share: the server's address, emptying it, waiting for conditions.
"use strict";

const PATIENCE_MS = 15_000;
const url = process.env.CLIENTS_URL;

const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** Looks again and again until `look` gives something true, and returns it. */
async function until(what, look) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(5);
  }
}

/** Until that many clients wait in a blocking command; `info` asks the server for a section. */
function untilBlocked(info, count) {
  const line = `blocked_clients:${count}\r`;
  return until(`${count} blocked clients`, async () => (await info("clients")).includes(line));
}

/** Whether the server claims 7.2 or later. */
function isNewer(info) {
  const [major, minor] = /redis_version:(\d+)\.(\d+)/.exec(info).slice(1).map(Number);
  return major > 7 || (major === 7 && minor >= 2);
}

/** Options of every test: no test may hang. */
const bounded = { timeout: 2 * PATIENCE_MS };

module.exports = { url, until, untilBlocked, isNewer, bounded };
