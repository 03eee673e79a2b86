"""A worker as Shepherd has them: heartbeat, blocking reads, a clean stop at SIGTERM.

It reads a batch of its stage, and in one transaction adds each message to the stage that its
workflow names next, acknowledges the batch and deletes it. What it is about to do and what it was
answered goes to a file, so that `run.py` can tell afterwards what a killed worker had done.

It never claims what others left behind, except with `--self-reclaim`, for a server that does not
do that by itself: then it claims as Shepherd's workers do, only from owners without a heartbeat.
"""

import argparse
import json
import math
import os
import signal
import threading
import time

import redis

GROUP = "consumer"
FINISHED = "finish"
"""The stream of what went through all stages."""
BLOCK_MS = 500
HEARTBEATS_MISSED_MAX = 3
MARKER_S = 120
RECLAIM_EVERY_S = 0.5


class Worker:
    def __init__(self, options):
        self.stream, self.name = options.stream, options.consumer
        self.batch, self.heartbeat_s = options.batch, options.heartbeat
        self.floor_ms = options.floor_ms if options.self_reclaim else None
        self.redis = redis.Redis.from_url(options.url, decode_responses=True)
        self.record = os.open(options.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.stopping = threading.Event()
        self.started, self.reclaimed = time.time(), 0.0
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())

    def run(self):
        self.join_group()
        self.beat()
        beats = threading.Thread(target=self.keep_beating, daemon=True)
        beats.start()
        while not self.stopping.is_set():
            if messages := self.abandoned():
                self.handle(messages)
            if messages := self.fresh():
                self.handle(messages)
        beats.join()
        self.say_goodbye()

    def join_group(self):
        try:
            self.redis.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def fresh(self):
        found = self.redis.xreadgroup(
            GROUP, self.name, {self.stream: ">"}, count=self.batch, block=BLOCK_MS
        )
        return found[0][1] if found else []

    def abandoned(self):
        """Idle beyond the floor, and the owner has no heartbeat: both, or a slow one is robbed."""
        if self.floor_ms is None or time.monotonic() - self.reclaimed < RECLAIM_EVERY_S:
            return []
        self.reclaimed = time.monotonic()
        where, all_of_it = (self.stream, GROUP), ("-", "+", self.batch)
        rows = self.redis.xpending_range(*where, *all_of_it, idle=self.floor_ms)
        dead = {row["consumer"] for row in rows if not self.is_alive(row["consumer"])}
        found = [row["message_id"] for row in rows if row["consumer"] in dead]
        return self.redis.xclaim(*where, self.name, self.floor_ms, found) if found else []

    def is_alive(self, consumer):
        return self.redis.exists(f"worker:heartbeat:{self.stream}:{consumer}")

    def handle(self, messages):
        """Next stage, acknowledgement and deletion: one commit, whenever the kill comes."""
        ids = [entry_id for entry_id, _ in messages]
        self.write({"about": [int(fields["query_id"]) for _, fields in messages]})
        with self.redis.pipeline(transaction=True) as step:
            for _, fields in messages:
                rest = json.loads(fields["workflow"])[1:]
                target = rest[0] if rest else FINISHED
                step.xadd(target, fields | {"workflow": json.dumps(rest)})
            step.xack(self.stream, GROUP, *ids).xdel(self.stream, *ids)
            *_, acknowledged, deleted = step.execute()
        self.write({"acknowledged": acknowledged, "deleted": deleted})

    def write(self, line):
        """Straight to the file: a kill takes nothing back."""
        os.write(self.record, json.dumps(line).encode() + b"\n")

    # Signs of life.

    def key(self, kind):
        return f"worker:{kind}:{self.stream}:{self.name}"

    def beat(self):
        state = {"stream": self.stream, "consumer": self.name, "started_at": self.started}
        state |= {"last_seen": time.time(), "task_limit": self.batch}
        ttl = math.ceil(self.heartbeat_s * HEARTBEATS_MISSED_MAX)
        self.redis.set(self.key("heartbeat"), json.dumps(state), ex=ttl)

    def keep_beating(self):
        while not self.stopping.wait(self.heartbeat_s):
            self.beat()

    def say_goodbye(self):
        state = {"stream": self.stream, "consumer": self.name, "signum": signal.SIGTERM}
        marker = json.dumps(state | {"ts": time.time()})
        self.redis.set(self.key("shutdown"), marker, ex=MARKER_S)
        self.redis.delete(self.key("heartbeat"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="redis://HOST:PORT")
    parser.add_argument("--stream", required=True, help="the stage that it works on")
    parser.add_argument("--consumer", required=True, help="its name in the group")
    parser.add_argument("--record", required=True, help="the file that it writes to")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--heartbeat", type=float, default=5.0, help="seconds between two")
    parser.add_argument("--self-reclaim", action="store_true")
    parser.add_argument("--floor-ms", type=int, default=4_000, help="idle for a claim at least")
    Worker(parser.parse_args()).run()


if __name__ == "__main__":
    main()
