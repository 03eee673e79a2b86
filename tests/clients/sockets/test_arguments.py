"""What is asked for wrongly: too few arguments, wrong types, numbers and ids out of range."""

import pytest

from kit import URL
from wire import Wire

WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_A_NUMBER = "ERR value is not an integer or out of range"
BAD_ID = "ERR Invalid stream ID specified as stream command argument"
TOP = 2**64 - 1

ARGUMENTS_MIN = {
    "ping": 0, "echo": 1, "select": 1, "hello": 0, "get": 1, "set": 2, "mget": 1, "mset": 2,
    "setex": 3, "psetex": 3, "setnx": 2, "getdel": 1, "getex": 1, "incr": 1, "decr": 1,
    "incrby": 2, "append": 2, "strlen": 1, "del": 1, "exists": 1, "type": 1, "expire": 2,
    "pexpire": 2, "ttl": 1, "pttl": 1, "persist": 1, "scan": 1, "keys": 1, "rename": 2,
    "flushdb": 0, "flushall": 0, "dbsize": 0, "multi": 0, "exec": 0, "discard": 0,
    "xadd": 4, "xlen": 1, "xrange": 3, "xrevrange": 3, "xdel": 2, "xtrim": 3, "xread": 3,
    "xreadgroup": 6, "xack": 3, "xpending": 2, "xclaim": 5, "xautoclaim": 5, "xsetid": 2,
    "xgroup": 1, "xinfo": 1, "auth": 1,
}
"""The fewest arguments that each command takes."""

NO_MORE = {
    "echo", "select", "get", "setex", "psetex", "setnx", "getdel", "incr", "decr", "incrby",
    "append", "strlen", "type", "ttl", "pttl", "persist", "keys", "rename", "dbsize", "multi",
    "discard", "xlen",
}
"""Those that take exactly as many."""


@pytest.fixture
def one():
    with Wire(URL) as wire:
        yield wire


@pytest.mark.parametrize("name", [name for name, least in ARGUMENTS_MIN.items() if least > 0])
def test_too_few_arguments(one, name):
    words = f"(error) ERR wrong number of arguments for '{name}' command"
    for count in range(ARGUMENTS_MIN[name]):
        assert one.call(name.upper(), *["0"] * count) == words


@pytest.mark.parametrize("name", sorted(NO_MORE))
def test_too_many_arguments(one, name):
    words = f"(error) ERR wrong number of arguments for '{name}' command"
    assert one.call(name, *["0"] * (ARGUMENTS_MIN[name] + 1)) == words


@pytest.mark.parametrize(
    ("command", "least"),
    [
        ("xgroup|create", 3), ("xgroup|setid", 3), ("xgroup|destroy", 2), ("xinfo|groups", 1),
        ("xgroup|createconsumer", 3), ("xgroup|delconsumer", 3), ("xinfo|stream", 1),
        ("xinfo|consumers", 2), ("client|setname", 1),
    ],
)
def test_too_few_arguments_of_a_subcommand(one, command, least):
    words = f"(error) ERR wrong number of arguments for '{command}' command"
    for count in range(least):
        assert one.call(*command.upper().split("|"), *["0"] * count) == words


@pytest.mark.parametrize(
    "request_text",
    [
        "XADD k * a b", "XADD k NOMKSTREAM * a b", "XLEN k", "XRANGE k - +", "XREVRANGE k + -",
        "XDEL k 1-1", "XTRIM k MAXLEN 1", "XREAD STREAMS k 0", "XREAD BLOCK 10 STREAMS k $",
        "XREADGROUP GROUP g c STREAMS k >", "XACK k g 1-1", "XPENDING k g",
        "XPENDING k g - + 1", "XCLAIM k g c 0 1-1", "XAUTOCLAIM k g c 0 0", "XSETID k 1-1",
        "XGROUP CREATE k g 0", "XGROUP CREATE k g 0 MKSTREAM", "XGROUP SETID k g 0",
        "XGROUP DESTROY k g", "XGROUP CREATECONSUMER k g c", "XGROUP DELCONSUMER k g c",
        "XINFO STREAM k", "XINFO GROUPS k", "XINFO CONSUMERS k g",
    ],
)
def test_stream_commands_refuse_a_string(one, request_text):
    one.call("SET", "k", "v")
    assert one.call(*request_text.split()) == f"(error) {WRONGTYPE}"
    assert one.call("GET", "k") == "v"


@pytest.mark.parametrize("bad", ["x", "", "1.5", " 1", "9223372036854775808", "0x10"])
@pytest.mark.parametrize(
    "request_text",
    [
        "SELECT {}", "EXPIRE k {}", "PEXPIRE k {}", "INCRBY k {}", "SETEX k {} v", "SET k v PX {}",
        "SCAN 0 COUNT {}", "XRANGE s - + COUNT {}", "XREAD COUNT {} STREAMS s 0",
        "XPENDING s g - + {}", "XPENDING s g IDLE {} - + 1", "XTRIM s MAXLEN {}",
        "XTRIM s MAXLEN ~ 1 LIMIT {}", "XSETID s 9-9 ENTRIESADDED {}",
        "XGROUP CREATE s h 0 ENTRIESREAD {}", "XINFO STREAM s FULL COUNT {}",
    ],
)
def test_numbers_are_checked(one, request_text, bad):
    one.call("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    said = one.call(*[bad if part == "{}" else part for part in request_text.split()])
    assert said == f"(error) {NOT_A_NUMBER}"
    assert one.call("EXISTS", "k") == 0


@pytest.mark.parametrize("bad", ["x", "1-x", "-1", f"{TOP + 1}", f"1-{TOP + 1}", "1-2-3", "1 -1"])
@pytest.mark.parametrize(
    "request_text",
    [
        "XADD s {} a b", "XDEL s {}", "XDEL s 1-1 {}", "XRANGE s {} +", "XRANGE s - {}",
        "XRANGE s ({} +", "XREVRANGE s + {}", "XTRIM s MINID {}", "XREAD STREAMS s {}",
        "XREADGROUP GROUP g c STREAMS s {}", "XACK s g {}", "XACK s g 1-1 {}",
        "XPENDING s g {} + 1", "XPENDING s g - {} 1", "XCLAIM s g c 0 1-1 LASTID {}",
        "XAUTOCLAIM s g c 0 {}", "XSETID s {}", "XSETID s 9-9 MAXDELETEDID {}",
        "XGROUP CREATE s h {}", "XGROUP SETID s g {}",
    ],
)
def test_ids_are_checked(one, request_text, bad):
    one.call("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    one.call("XADD", "s", "1-1", "a", "b")
    parts = [part.replace("{}", bad) for part in request_text.split()]
    assert one.call(*parts) == f"(error) {BAD_ID}"
    assert one.call("XLEN", "s") == 1


def test_extreme_ids_work(one):
    for entry_id in ("0-1", f"0-{TOP}", f"{TOP - 1}-0", f"{TOP}-0", f"{TOP}-{TOP}"):
        assert one.call("XADD", "s", entry_id, "a", "b") == entry_id
    assert len(one.call("XRANGE", "s", "-", "+")) == 5
    assert len(one.call("XRANGE", "s", f"{TOP}", f"{TOP}")) == 2
    one.call("XGROUP", "CREATE", "s", "g", f"{TOP}-0")
    entries = one.call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")[0][1]
    assert [entry[0] for entry in entries] == [f"{TOP}-{TOP}"]
    assert one.call("XPENDING", "s", "g")[:3] == [1, f"{TOP}-{TOP}", f"{TOP}-{TOP}"]
    assert one.call("XDEL", "s", f"{TOP}-0") == 1
    assert one.call("XTRIM", "s", "MINID", f"{TOP}-{TOP}") == 3
    assert one.call("XTRIM", "s", "MAXLEN", "0") == 1


def test_commands_are_found_in_any_case(one):
    assert one.call("xAdD", "s", "nomkstream", "1-1", "a", "b") is None
    assert one.call("xadd", "s", "MaxLen", "~", "5", "1-1", "a", "b") == "1-1"
    assert one.call("xgroup", "create", "s", "g", "0", "mkstream") == "OK"
    assert one.call("set", "k", "v", "nx", "px", "100000") == "OK"
    assert one.call("xinfo", "groups", "s")[0][:2] == ["name", "g"]


def test_refusals_leave_no_trace(one):
    for request in (
        ("XADD", "s", "0-0", "a", "b"), ("XADD", "s", "*", "a"), ("XREAD", "STREAMS", "s"),
        ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"), ("XGROUP", "CREATE", "s", "g", "x"),
        ("XGROUP", "CREATE", "s", "g", "x", "MKSTREAM"), ("XCLAIM", "s", "g", "c", "0", "1-1"),
        ("SET", "k", "v", "EX", "0"), ("INCRBY", "k", "x"), ("RENAME", "missing", "k"),
    ):
        assert one.ask(*request).is_error, request
    assert one.call("KEYS", "*") == []
