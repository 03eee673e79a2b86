"""Clients that behave badly towards the others: deaf, many, sudden, slow."""

import resource
import socket
import time

import pytest

from kit import URL
from wire import Wire, encode, until

DEAF_BYTES = 48_000_000
"""What is asked for and never read; far more than any socket buffer holds."""
IDLE_CLIENTS = 400


@pytest.fixture
def one():
    with Wire(URL) as wire:
        yield wire


def connected(wire):
    lines = wire.call("INFO", "clients").splitlines()
    return int(next(line for line in lines if line.startswith("connected_clients:")).split(":")[1])


def ask_without_reading(wire, request, times):
    """Sends until everything is sent or the server takes no more; how many went out."""
    wire.socket.settimeout(0.5)
    for sent in range(times):
        try:
            wire.raw(request)
        except (TimeoutError, ConnectionError):
            return sent
    return times


def test_deaf_client_does_not_harm_the_others(one):
    one.call("SET", "large", b"x" * 100_000)
    before = connected(one)
    with Wire(URL, receive_bytes=4_096) as deaf:
        ask_without_reading(deaf, encode(["GET", "large"]) * 10, DEAF_BYTES // 1_000_000)
        slowest = 0
        for n in range(200):
            started = time.monotonic()
            assert one.call("INCR", "n") == n + 1
            slowest = max(slowest, time.monotonic() - started)
        assert slowest < 5
    until("the deaf client to be forgotten", lambda: connected(one) <= before)


def test_slow_reader_gets_everything_in_the_end(one):
    one.call("SET", "large", b"x" * 100_000)
    with Wire(URL, receive_bytes=4_096) as slow:
        slow.raw(encode(["GET", "large"]) * 100)
        assert one.call("PING") == "PONG"
        for _ in range(100):
            assert len(slow.read().value) == 100_000


def test_many_idle_clients_cost_little(one):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * IDLE_CLIENTS)), hard))
    idle = [Wire(URL) for _ in range(IDLE_CLIENTS)]
    until("all to be taken in", lambda: connected(one) > IDLE_CLIENTS)
    started = time.monotonic()
    for n in range(100):
        assert one.call("INCR", "n") == n + 1
    assert time.monotonic() - started < 10
    for wire in idle[::40]:
        assert wire.call("PING") == "PONG"
    for wire in idle:
        wire.close()
    until("the idle clients to be gone", lambda: connected(one) < IDLE_CLIENTS // 40)


def test_many_waiting_readers_each_get_one(one):
    one.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    waiting = [Wire(URL) for _ in range(100)]
    for n, wire in enumerate(waiting):
        wire.send(*f"XREADGROUP GROUP g c{n} COUNT 1 BLOCK 0 STREAMS s >".split())
    until("all to wait", lambda: "blocked_clients:100\r" in one.call("INFO", "clients"))
    one.raw(b"".join(encode(["XADD", "s", f"{n}-0", "n", n]) for n in range(1, 101)))
    assert [one.read().value for _ in waiting] == [b"%d-0" % n for n in range(1, 101)]
    got = [wire.read().value[0].value[1].value[0].value[0].value for wire in waiting]
    assert sorted(got) == sorted(b"%d-0" % n for n in range(1, 101))
    for wire in waiting:
        wire.close()


def test_waiting_clients_may_vanish(one):
    one.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    waiting = [Wire(URL) for _ in range(50)]
    for wire in waiting:
        wire.send(*"XREADGROUP GROUP g gone BLOCK 0 STREAMS s >".split())
    until("all to wait", lambda: "blocked_clients:50\r" in one.call("INFO", "clients"))
    for n, wire in enumerate(waiting):
        if n % 2:
            # Reset instead of an orderly end.
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))
        wire.close()
    until("nobody to wait", lambda: "blocked_clients:0\r" in one.call("INFO", "clients"))
    one.call("XADD", "s", "1-1", "a", "b")
    reply = one.call("XREADGROUP", "GROUP", "g", "here", "STREAMS", "s", ">")
    assert reply == [["s", [["1-1", ["a", "b"]]]]]


def test_connections_come_and_go_quickly(one):
    before = connected(one)
    for n in range(500):
        with Wire(URL) as wire:
            if n % 3 == 0:
                wire.send("INCR", "n")
            elif n % 3 == 1:
                assert wire.call("PING") == "PONG"
    until("all to be gone", lambda: connected(one) <= before)


def test_requests_behind_a_vanished_client_are_whole(one):
    """Each request is carried out wholly or not at all, whenever its client vanished."""
    for n in range(100):
        with Wire(URL) as wire:
            wire.raw(encode(["MULTI"]) + encode(["INCR", "a"]) + encode(["INCR", "b"]))
            wire.raw(encode(["EXEC"])[: n % 15])
    a, b = one.call("MGET", "a", "b")
    assert a == b
