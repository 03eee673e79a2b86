"""Frames as no library sends them: cut, oversized, nested, binary, mixed."""

import pytest

from kit import URL
from wire import Wire, encode

PING = encode(["PING"])


@pytest.fixture
def one():
    with Wire(URL) as wire:
        yield wire


@pytest.fixture(autouse=True)
def others_are_served(empty_server):
    yield
    with Wire(URL) as other:
        assert other.call("PING") == "PONG"


def assert_protocol_error(data, words):
    """The server says why, and hangs up."""
    with Wire(URL) as wire:
        wire.raw(data)
        assert wire.read() == ("-", f"ERR Protocol error: {words}")
        assert wire.closes()


def used_memory(wire):
    lines = wire.call("INFO", "memory").splitlines()
    return int(next(line for line in lines if line.startswith("used_memory:")).split(":")[1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*2\r\n$4\r\nPING\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
    ],
)
def test_malformed_frame_ends_the_connection(data, words):
    assert_protocol_error(data, words)


def test_nested_arrays_are_refused_at_any_depth():
    assert_protocol_error(b"*1\r\n" + PING, "expected '$', got '*'")
    assert_protocol_error(b"*1\r\n" * 100_000, "expected '$', got '*'")


def test_endless_headers_are_refused():
    digits = b"1" * 70_000
    assert_protocol_error(b"*" + digits, "too big mbulk count string")
    assert_protocol_error(b"*1\r\n$" + digits, "too big bulk count string")
    assert_protocol_error(b"P" * 70_000, "too big inline request")


def test_what_came_before_the_error_is_answered(one):
    one.raw(PING + encode(["SET", "k", "v"]) + b"*1\r\n!\r\n" + encode(["SET", "k", "w"]))
    assert one.read() == ("+", "PONG") and one.read() == ("+", "OK")
    assert one.read() == ("-", "ERR Protocol error: expected '$', got '!'")
    assert one.closes()
    with Wire(URL) as other:
        assert other.call("GET", "k") == "v", "nothing after it is carried out"


def test_frames_may_come_byte_by_byte(one):
    for byte in encode(["SET", "k", b"\r\n$5\r\n"]) + encode(["GET", "k"]):
        one.raw(bytes([byte]))
    assert one.read() == ("+", "OK")
    assert one.read() == ("$", b"\r\n$5\r\n")


def test_half_a_request_does_nothing(one):
    whole = encode(["SET", "k", "value"])
    for end in range(1, len(whole)):
        with Wire(URL) as cut:
            cut.raw(whole[:end])
    assert one.call("EXISTS", "k") == 0


def test_announced_and_never_sent_costs_nothing(newer):
    """Headers promise half a gigabyte on each of many connections; nobody reserves it."""
    with Wire(URL) as other:
        before = used_memory(other)
        waiting = [Wire(URL) for _ in range(40)]
        for wire in waiting:
            wire.raw(b"*1000000\r\n$536870912\r\nx")
        assert other.call("SET", "k", "v") == "OK"
        if newer:  # 7.0 reserves what is announced.
            assert used_memory(other) - before < 100_000_000
    for wire in waiting:
        wire.close()


def test_empty_arrays_are_skipped(one):
    one.raw(b"*0\r\n*-1\r\n\r\n" + PING)
    assert one.read() == ("+", "PONG")


def test_inline_requests_are_understood(one):
    one.raw(b"PING\r\nset k 'two words'\nGET k\r\n  \r\nPING hello\r\n")
    assert one.read() == ("+", "PONG") and one.read() == ("+", "OK")
    assert one.read() == ("$", b"two words") and one.read() == ("$", b"hello")
    one.raw(b"SET k 'unbalanced\r\n")
    assert one.read() == ("-", "ERR Protocol error: unbalanced quotes in request")
    assert one.closes()


def test_request_of_a_browser_is_cut_off():
    """A web page that posts to the port must not get its body carried out."""
    with Wire(URL) as wire:
        wire.raw(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nSET k v\r\n")
        assert wire.closes()
    with Wire(URL) as other:
        assert other.call("EXISTS", "k") == 0


def test_names_of_commands_are_bytes_too(one):
    for name in (b"", b"\x00", b"\xff" * 100, b"GET\x00", b"x" * 10_000):
        reply = one.ask(name, "a")
        assert reply.kind == "-" and reply.value.startswith("ERR unknown command "), name
        assert "\r" not in reply.value and "\n" not in reply.value
    assert len(one.ask(b"NO\r\nSUCH", b"a\r\nb").value) < 400
    assert one.call("PING") == "PONG", "no reply was torn into two"


def test_long_unknown_command_is_shortened(one):
    said = one.ask("n" * 1_000, *["a" * 1_000] * 100).value
    assert said.startswith("ERR unknown command 'nnn") and len(said) < 400


def test_values_of_many_sizes_arrive_whole(one):
    for size in (0, 1, 63, 64, 4_095, 4_096, 16_383, 16_384, 65_536, 1_000_000, 8_000_000):
        value = bytes(n * 31 % 251 for n in range(1_000)) * (size // 1_000 + 1)
        one.send("SET", "k", value[:size])
        one.send("GET", "k")
        assert one.read() == ("+", "OK")
        assert one.read().value == value[:size]


def test_many_requests_in_one_write(one):
    one.raw(encode(["INCR", "n"]) * 20_000)
    assert [one.read().value for _ in range(20_000)] == list(range(1, 20_001))


def test_requests_with_many_arguments(one):
    names = [f"k{n}" for n in range(50_000)]
    assert one.call("DEL", *names) == 0
    assert one.call("MGET", *names) == [None] * 50_000
