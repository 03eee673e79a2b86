"""A fleet of workers over three stages, killed at random: nothing is lost, nothing is done twice.

    tests/fleet/run.py --url redis://HOST:PORT [--http http://HOST:PORT] [--messages N]
                       [--workers N] [--kills N] [--seed N] [--self-reclaim]

Messages go through the stages a, b and c. Meanwhile workers are ended, some with SIGKILL and some
with SIGTERM, and replaced. Whose work a killed worker held is taken over by others: the server has
to see to that, or with `--self-reclaim` the workers. In the end:
- each message came out of the last stage once;
- each was acknowledged once in each stage, as far as a killed worker could still tell;
- streams and pending rows are gone;
- with `--http`, each killed worker is known as crashed and each ended one as stopped.

The libraries are those of `tests/clients/run --install --only redis-py-5`.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or HERE.parent.parent / "target")
LIBRARIES = TARGET / "clients" / "py-5"
sys.path.insert(0, str(LIBRARIES))

import redis  # noqa: E402

from records import Records  # noqa: E402
from worker import FINISHED, GROUP  # noqa: E402

STAGES = ["a", "b", "c"]
PATIENCE_S = 180.0
"""How long the whole may stand still."""
LOOK_EVERY_S = 0.05
CATCH_WITHIN_S = 2.0
FEED_BATCH = 1_000
KILLS_TELLING = 4
"""From so many kills on, one must have hit a worker with work in hand."""


class Member:
    """One process of the fleet."""

    def __init__(self, stage, folder, options):
        self.stage, self.name = stage, uuid.uuid4().hex[:8]
        self.record = folder / f"{stage}.{self.name}"
        command = [sys.executable, HERE / "worker.py", "--url", options.url, "--stream", stage]
        command += ["--consumer", self.name, "--record", self.record]
        command += ["--batch", str(options.batch), "--heartbeat", str(options.heartbeat)]
        command += ["--floor-ms", str(options.floor_ms)]
        command += ["--self-reclaim"] if options.self_reclaim else []
        environment = os.environ | {"PYTHONPATH": str(LIBRARIES)}
        self.process = subprocess.Popen(command, env=environment)

    def end(self, how):
        """Gives the exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def is_up(self, client):
        """Before its first heartbeat it does not know yet how to stop."""
        return client.exists(f"worker:heartbeat:{self}") == 1

    def in_hand(self, client):
        """How many messages it has, of those that fit in one batch."""
        rows = client.xpending_range(self.stage, GROUP, "-", "+", 1_000, consumername=self.name)
        return len(rows)

    def __str__(self):
        return f"{self.stage}:{self.name}"


class Fleet:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.redis = redis.Redis.from_url(options.url, decode_responses=True)
        self.random = random.Random(options.seed)
        self.killed, self.ended, self.stranded, self.wrong = [], [], 0, []
        self.members = [self.start(stage) for stage in STAGES for _ in range(options.workers)]
        self.allowed = 0
        """Up to which message they may be fed: no kill comes after the work."""

    def start(self, stage):
        return Member(stage, self.folder, self.options)

    def feed(self):
        workflow = json.dumps(STAGES)
        for start in range(0, self.options.messages, FEED_BATCH):
            while start > self.allowed:
                time.sleep(LOOK_EVERY_S)
            with self.redis.pipeline(transaction=False) as batch:
                for number in range(start, min(start + FEED_BATCH, self.options.messages)):
                    batch.xadd(STAGES[0], {"query_id": number, "workflow": workflow})
                batch.execute()

    def progress(self):
        return self.redis.xlen(FINISHED)

    def replace_one(self, how):
        """Ends one at random and starts another."""
        at = self.random.randrange(len(self.members))
        member = self.members[at]
        while not member.is_up(self.redis):
            time.sleep(LOOK_EVERY_S)
        if how == signal.SIGKILL:
            self.stranded += self.caught_at_work(member)
            member.end(how)
            self.killed.append(member)
        else:
            self.check_stopped(member, member.end(how))
        self.members[at] = self.start(member.stage)

    def caught_at_work(self, member):
        """Holds it between a read and its transaction; how many messages it has in hand then."""
        deadline = time.monotonic() + CATCH_WITHIN_S
        while True:
            member.process.send_signal(signal.SIGSTOP)
            # What it had sent before may still be carried out, and counts then.
            counts = [member.in_hand(self.redis)]
            while len(counts) < 3 or counts[-1] != counts[-2]:
                time.sleep(LOOK_EVERY_S)
                counts.append(member.in_hand(self.redis))
            if counts[-1] or time.monotonic() > deadline:
                return counts[-1]
            member.process.send_signal(signal.SIGCONT)

    def check_stopped(self, member, code):
        self.ended.append(member)
        if code != 0:
            self.wrong.append(f"{member} ended with {code} at SIGTERM")
        if not self.redis.exists(f"worker:shutdown:{member}"):
            self.wrong.append(f"{member} left no marker")
        if self.redis.exists(f"worker:heartbeat:{member}"):
            self.wrong.append(f"{member} left its heartbeat")

    def is_quiet(self):
        """Everything is through; counted only when it may be, for it costs the server."""
        if self.progress() < self.options.messages:
            return False
        return all(
            self.redis.xlen(stage) == 0 and self.redis.xpending(stage, GROUP)["pending"] == 0
            for stage in STAGES
        )

    def watch(self):
        """Kills while the work goes on, each at its share of the whole."""
        kinds = [signal.SIGKILL, signal.SIGTERM] * self.options.kills
        kinds = kinds[: self.options.kills]
        self.random.shuffle(kinds)
        share = self.options.messages / (self.options.kills + 1)
        due = [share * (at + self.random.random()) for at in range(len(kinds))]
        last, moved = -1, time.monotonic()
        while not self.is_quiet():
            done = self.progress()
            # The next kill, and enough behind it to have work in hand then.
            self.allowed = due[0] + 2 * share if due else self.options.messages
            if due and done >= due[0]:
                due.pop(0)
                self.replace_one(kinds.pop())
            for member in self.members:
                if member.process.poll() is not None:
                    raise SystemExit(f"worker {member} ended by itself: {member.process.poll()}")
            if done != last:
                last, moved = done, time.monotonic()
            if time.monotonic() - moved > self.options.patience:
                raise SystemExit(f"stands still with {done} of {self.options.messages} finished")
            time.sleep(LOOK_EVERY_S)

    def stop(self):
        while not all(member.is_up(self.redis) for member in self.members):
            time.sleep(LOOK_EVERY_S)
        for member in self.members:
            member.process.send_signal(signal.SIGTERM)
        for member in self.members:
            self.check_stopped(member, member.process.wait(PATIENCE_S))

    def kill_all(self):
        for member in self.members:
            member.process.kill()
            member.process.wait()

    def check_outcome(self):
        came = Counter()
        last = "-"
        while entries := self.redis.xrange(FINISHED, min=last, count=10_000):
            came.update(int(fields["query_id"]) for _, fields in entries)
            last = f"({entries[-1][0]}"
        every = range(self.options.messages)
        lost = [number for number in every if number not in came]
        twice = [number for number, times in came.items() if times > 1]
        if lost:
            self.wrong.append(f"{len(lost)} messages never came out, for example {lost[:10]}")
        if twice:
            self.wrong.append(f"{len(twice)} messages came out twice, for example {twice[:10]}")
        for stage in STAGES:
            self.wrong += Records.of(stage, self.folder).faults(every)
        kills = len(self.killed)
        if kills >= KILLS_TELLING and self.stranded == 0:
            self.wrong.append(f"none of {kills} kills hit a worker with work in hand")


def states_over_http(http):
    with urllib.request.urlopen(f"{http}/v1/workers", timeout=10) as answer:
        workers = json.load(answer)["workers"]
    return {
        (worker["name"], consumer["consumer"]): consumer["state"]
        for worker in workers
        for consumer in worker["consumers"]
    }


def check_states(fleet, http):
    """The monitor tells a crash from a clean stop, for each consumer on its own."""
    expected = {(member.stage, member.name): "crashed" for member in fleet.killed}
    expected |= {(member.stage, member.name): "stopped" for member in fleet.ended}
    deadline = time.monotonic() + fleet.options.patience
    while True:
        found = states_over_http(http)
        differ = {who: found.get(who) for who, state in expected.items() if found.get(who) != state}
        if not differ:
            return
        if time.monotonic() > deadline:
            for who, state in list(differ.items())[:10]:
                fleet.wrong.append(f"{':'.join(who)} is {state}, and not {expected[who]}")
            return
        time.sleep(LOOK_EVERY_S)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="redis://HOST:PORT")
    parser.add_argument("--http", help="http://HOST:PORT of the same appliance")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2, help="of each stage")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--heartbeat", type=float, default=1.0, help="seconds between two")
    parser.add_argument("--self-reclaim", action="store_true", help="the workers claim, not we")
    parser.add_argument("--floor-ms", type=int, default=4_000)
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds")
    return parser.parse_args()


def main():
    options = parsed()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        with redis.Redis.from_url(options.url) as client:
            if client.exists(FINISHED, *STAGES):
                return f"{options.url} holds streams named {STAGES} or {FINISHED}: expected none"
        fleet = Fleet(options, Path(folder))
        feeder = threading.Thread(target=fleet.feed, daemon=True)
        try:
            feeder.start()
            fleet.watch()
            took = time.monotonic() - started
            fleet.stop()
        finally:
            fleet.kill_all()
        fleet.check_outcome()
        if options.http:
            check_states(fleet, options.http)
        fleet.redis.delete(FINISHED, *STAGES)
    print(
        f"--seed {options.seed}: {options.messages} messages through {len(STAGES)} stages in "
        f"{took:.0f} s, {len(fleet.killed)} workers killed with {fleet.stranded} messages in hand, "
        f"{len(fleet.ended)} stopped"
    )
    return "\n".join(fleet.wrong) or None


if __name__ == "__main__":
    sys.exit(main())
