"""The same random requests to two servers, every reply compared.

    differential.py --a redis://HOST:PORT --b redis://HOST:PORT [--seed N] [--commands N]

Both servers are emptied. The requests are made by `commands.py`, in sequences that start with
empty servers; what may differ stands in `differences.py`. The first sequence with a difference is
shortened as far as the difference stays, and printed with both replies. The same seed sends the
same requests again; `--sequence` repeats only that one of it. `--without` leaves requests out that
match a pattern, to look behind a difference that is known already.
"""

import argparse
import random
import re
import sys
import time
from collections import Counter

from commands import Generator
from differences import normal
from wire import Closed, Reply, Wire, encode, plain

RUNS = 80
"""Runs of requests in a sequence."""
SHORTEN_S = 60
"""How long a failing sequence is sent again and again to shorten it."""
PROTOCOLS = [2, 3, 2]
"""What the connections speak at first."""


class Side:
    """One of the two servers, with a few connections."""

    def __init__(self, url):
        self.url = url
        self.wires = []
        with Wire(url) as wire:
            lines = wire.call("INFO", "server").splitlines()
            version = next(line for line in lines if line.startswith("redis_version:"))
            self.version = tuple(map(int, version.split(":")[1].split(".")[:2]))
            self.newer = not wire.ask("XACKDEL", "s", "g", "IDS", 1, "1-1").is_error

    def restart(self):
        """Fresh connections to an empty server."""
        for wire in self.wires:
            wire.close()
        self.wires = [Wire(self.url, protocol) for protocol in PROTOCOLS]
        self.wires[0].call("FLUSHALL")

    def send(self, connection, requests):
        """All in one write."""
        self.wires[connection].raw(b"".join(encode(request) for request in requests))

    def reply(self, connection, request):
        wire = self.wires[connection]
        try:
            reply = wire.read()
            if request[0].upper() == "SCAN" and reply.kind == "*":
                return scan_on(wire, request, reply)
            return reply
        except (Closed, TimeoutError) as error:
            return Reply("broken", repr(error))


def dated(request, now_ms):
    """The request with its times: `@5` in seconds, `@@5` in milliseconds from now."""
    times = {
        arg: now_ms + int(arg[2:]) if arg.startswith("@@") else now_ms // 1000 + int(arg[1:])
        for arg in request
        if arg.startswith("@")
    }
    return tuple(str(times.get(arg, arg)) for arg in request)


def scan_on(wire, request, reply):
    """Scans to the end; which keys come in which call is the server's own affair."""
    met = set()
    while not reply.is_error:
        cursor, some = reply.value
        met |= {key.value for key in some.value}
        if cursor.value == b"0":
            return Reply("all keys", sorted(met))
        reply = wire.ask("SCAN", cursor.value, *request[2:])
    return reply


class Queues:
    """The requests that each connection has queued, so that the replies of EXEC find theirs."""

    def __init__(self):
        self.open = {}

    def requests_of(self, connection, request, reply):
        """The requests that this reply answers: one, or those of the transaction."""
        name, queue = request[0].upper(), self.open.get(connection)
        if queue is None:
            if name == "MULTI" and not reply.is_error:
                self.open[connection] = []
            return None
        if reply == ("+", "QUEUED"):
            queue.append(request)
        elif name in ("EXEC", "DISCARD") and not refused_arguments(reply):
            del self.open[connection]
            if reply.kind == "*":
                return queue
        return None


def refused_arguments(reply):
    return reply.is_error and "wrong number of arguments" in reply.value


def compared(request, queue, reply, versions, deletes):
    if queue is None:
        return normal(request, reply, versions, deletes)
    if reply.kind != "*" or len(queue) != len(reply.value):
        return reply
    answers = zip(queue, reply.value)
    return [normal(one, answer, versions, deletes) for one, answer in answers]


def play(sides, runs, deletes, seen=None):
    """Sends the runs to both; the first difference as `(request, reply, reply)`, or None."""
    versions, queues = [side.version for side in sides], Queues()
    for side in sides:
        side.restart()
    for connection, requests in runs:
        now_ms = int(time.time() * 1000)
        sent = [dated(request, now_ms) for request in requests]
        # Both at once: some requests wait for their time to run out.
        for side in sides:
            side.send(connection, sent)
        answers = [[side.reply(connection, one) for one in requests] for side in sides]
        for request, first, second in zip(requests, *answers):
            if seen is not None:
                seen[request[0].upper(), first.is_error] += 1
            queue = queues.requests_of(connection, request, first)
            one, other = (
                compared(request, queue, reply, versions, deletes) for reply in (first, second)
            )
            if one != other or first.kind == "broken":
                return request, first, second
    return None


def shortened(sides, runs, deletes, found):
    """As few runs as still end in a difference at a request of the same name."""

    def fails(candidate):
        again = play(sides, candidate, deletes)
        return again if again and again[0][0].upper() == found[0][0].upper() else None

    single = [(connection, [request]) for connection, requests in runs for request in requests]
    if again := fails(single):
        runs, found = single, again
    deadline = time.monotonic() + SHORTEN_S
    size = len(runs) // 2
    while size and time.monotonic() < deadline:
        at = 0
        while at < len(runs) and time.monotonic() < deadline:
            candidate = runs[:at] + runs[at + size :]
            if again := fails(candidate):
                runs, found = candidate, again
            else:
                at += size
        size //= 2
    return runs, found


def left(requests, without):
    """The requests that match none of the patterns."""
    return [one for one in requests if not any(re.search(no, quoted(one), re.I) for no in without)]


def quoted(request):
    return " ".join(arg if arg.isprintable() and arg else repr(arg) for arg in request)


def report(seed, number, sides, runs, found):
    request, first, second = found
    print(f"difference: --seed {seed} --sequence {number}, shortened to:\n")
    for connection, requests in runs:
        for one in requests:
            print(f"  [{connection}] {quoted(one)}")
    print(f"\nat {quoted(request)}")
    for side, reply in zip(sides, (first, second)):
        version = ".".join(map(str, side.version))
        print(f"  {side.url} ({version}): {reply.kind} {plain_text(reply)}")
    print(f"\nconnections speak RESP {PROTOCOLS}; @n and @@n are the time in n s and n ms")


def plain_text(reply):
    return plain(reply) if len(reply.kind) == 1 else reply.value


def summary(seen, sequences):
    total = sum(seen.values())
    print(f"{total} requests in {sequences} sequences, no difference; how many of them refused:")
    names = sorted({name for name, _ in seen if name.isascii() and name.isalpha()})
    texts = [f"{name} {seen[name, False] + seen[name, True]}/{seen[name, True]}" for name in names]
    print("  " + "  ".join(texts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--a", required=True, help="redis:// of one server")
    parser.add_argument("--b", required=True, help="redis:// of the other server")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--commands", type=int, default=20_000, help="how many requests at least")
    parser.add_argument("--sequence", type=int, help="only this one")
    parser.add_argument("--without", action="append", default=[], help="a pattern of requests")
    options = parser.parse_args()
    sides = [Side(options.a), Side(options.b)]
    newer = all(side.newer for side in sides)
    print(f"--seed {options.seed}", flush=True)
    seen, number = Counter(), options.sequence or 0
    while sum(seen.values()) < options.commands:
        generator = Generator(random.Random(f"{options.seed}/{number}"), newer)
        runs = [generator.first_run()] + [generator.run() for _ in range(RUNS)]
        runs = [(connection, left(requests, options.without)) for connection, requests in runs]
        found = play(sides, runs, generator.deletes, seen)
        if found:
            report(options.seed, number, sides, *shortened(sides, runs, generator.deletes, found))
            return 1
        number += 1
        if options.sequence is not None:
            break
    summary(seen, number if options.sequence is None else 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
