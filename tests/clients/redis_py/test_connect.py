"""Connecting: what each version of the library sends first, names, databases, INFO."""

from urllib.parse import urlsplit

import pytest
import redis

from kit import URL, refused

SECURED = bool(urlsplit(URL).password)


def test_library_connects_with_its_defaults():
    with redis.Redis.from_url(URL) as client:
        assert client.ping() is True
        assert client.set("k", "v") is True
        assert client.get("k") == b"v"


def test_both_protocols_answer(r, protocol):
    assert r.ping() is True
    assert r.echo("hello") == "hello"
    assert r.connection_pool.connection_kwargs["protocol"] == protocol


def test_hello_describes_the_server(wire):
    with_map = wire(protocol=3).call("HELLO", 3)
    assert set(with_map) >= {"server", "version", "proto", "id", "mode", "role", "modules"}
    assert (with_map["server"], with_map["proto"]) == ("redis", 3)
    assert (with_map["mode"], with_map["role"], with_map["modules"]) == ("standalone", "master", [])
    flat = wire(protocol=2).call("HELLO", 2)
    assert flat[flat.index("proto") + 1] == 2
    assert flat[::2] == list(with_map)


def test_hello_switches_and_refuses(wire):
    one = wire(protocol=2)
    assert one.call("HELLO", 9) == "(error) NOPROTO unsupported protocol version"
    assert one.call("HELLO", "x").startswith("(error) ERR Protocol version is not an integer")
    assert one.ask("GET", "missing").kind == "$"
    assert one.call("HELLO", 3, "SETNAME", "w1")["proto"] == 3
    assert one.ask("GET", "missing").kind == "_"
    assert one.call("CLIENT", "GETNAME") == "w1"
    assert isinstance(one.call("HELLO"), dict)
    one.call("HELLO", 2)
    assert one.ask("GET", "missing").kind == "$"


@pytest.mark.skipif(SECURED, reason="the server has a password")
def test_needless_password_has_its_own_words(wire):
    said = wire(protocol=2).call("AUTH", "secret")
    assert said == (
        "(error) ERR AUTH <password> called without any password configured for the default user. "
        "Are you sure your configuration is correct?"
    )


@pytest.mark.skipif(SECURED, reason="the server has a password")
def test_needless_password_is_an_authentication_error(connect):
    with pytest.raises(redis.AuthenticationError):
        connect(protocol=2, password="secret").ping()


def test_clients_have_names_and_ids(connect):
    named = connect(client_name="worker-1", single_connection_client=True)
    assert named.client_getname() == "worker-1"
    assert named.client_setname("worker-2") is True
    assert named.client_getname() == "worker-2"
    listed = {client["name"]: client for client in connect().client_list()}
    assert int(listed["worker-2"]["id"]) == named.client_id()
    with refused("Client names cannot contain spaces, newlines or special characters."):
        named.client_setname("two words")


def test_new_connections_have_new_ids(connect):
    first, second = connect().client_id(), connect().client_id()
    assert 0 < first < second


def test_handshake_extras_are_tolerated(wire, newer):
    one = wire()
    for extra in (
        ("CLIENT", "SETINFO", "LIB-NAME", "probe"),
        ("client", "setinfo", "lib-ver", "1.0"),
        ("CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "internal-ip"),
    ):
        said = one.call(*extra)
        assert said == "OK" or said.startswith("(error) ERR "), said
    if newer:
        assert one.call("CLIENT", "SETINFO", "LIB-NAME", "probe") == "OK"
    assert one.call("PING") == "PONG"
    assert isinstance(one.call("COMMAND"), list)


def test_databases_are_apart(connect):
    for db in (0, 1, 2, 3):
        connect(db=db).set("k", db)
    for db in (0, 1, 2, 3):
        client = connect(db=db)
        assert (client.get("k"), client.dbsize()) == (str(db), 1)
    connect(db=1).flushdb()
    assert [connect(db=db).dbsize() for db in (0, 1, 2, 3)] == [1, 0, 1, 1]


def test_streams_live_in_their_database(connect):
    connect(db=2).xadd("s", {"a": "b"}, id="1-1")
    connect(db=2).xgroup_create("s", "g", "0")
    assert connect(db=0).exists("s") == 0
    with refused("NOGROUP"):
        connect(db=0).xreadgroup("g", "c", {"s": ">"})
    assert connect(db=2).xlen("s") == 1


def test_unknown_database_is_refused(connect):
    with refused("DB index is out of range"):
        connect(db=100_000).ping()


def test_info_has_what_monitors_read(r):
    info = r.info()
    assert info["redis_version"].count(".") == 2
    assert info["arch_bits"] in (32, 64)
    assert (info["cluster_enabled"], info["loading"]) == (0, 0)
    assert len(info["run_id"]) == 40
    assert info["used_memory"] > 0 and info["used_memory_human"][-1] in "BKMG"
    assert info["connected_clients"] >= 1 and info["blocked_clients"] == 0
    assert info["instantaneous_ops_per_sec"] >= 0 and info["uptime_in_seconds"] >= 0
    assert r.info()["run_id"] == info["run_id"], "it changes with a restart only"


def test_info_section_is_only_that_section(r):
    section = r.info("clients")
    assert "blocked_clients" in section and "redis_version" not in section


def test_client_reconnects_after_quit(wire, r):
    one = wire()
    assert one.call("QUIT") == "OK"
    assert one.closes()
    r.set("k", "v")
    r.connection_pool.disconnect()
    assert r.get("k") == "v"


def test_health_check_pings_between_commands(connect):
    client = connect(health_check_interval=1, single_connection_client=True)
    client.ping()
    client.connection.next_health_check = 0
    assert client.ping() is True


def test_unknown_commands_have_redis_words(r):
    with refused("unknown command 'NOSUCH', with args beginning with: 'a' 'b' "):
        r.execute_command("NOSUCH", "a", "b")
    with refused("unknown subcommand 'NOSUCH'. Try CLIENT HELP."):
        r.execute_command("CLIENT", "NOSUCH")
