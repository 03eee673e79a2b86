"""Groups and their readers: XGROUP XREADGROUP XACK XINFO."""

import pytest

from kit import fill, ids, refused, streams


@pytest.fixture
def s(r):
    """A stream `s` of three entries with a group `g` that has read none of them."""
    fill(r, "s", 3)
    r.xgroup_create("s", "g", "0")
    return r


def read(r, consumer, since=">", stream="s", **options):
    return streams(r.xreadgroup("g", consumer, {stream: since}, **options)).get(stream, [])


def test_group_is_created_once(r):
    with refused("The XGROUP subcommand requires the key to exist."):
        r.xgroup_create("s", "g", "$")
    assert r.xgroup_create("s", "g", "$", mkstream=True) is True
    assert (r.xlen("s"), r.type("s")) == (0, "stream")
    with refused("BUSYGROUP Consumer Group name already exists"):
        r.xgroup_create("s", "g", "0")
    with refused("Invalid stream ID"):
        r.xgroup_create("s", "h", "x")
    with refused("value for ENTRIESREAD must be positive or -1"):
        r.xgroup_create("s", "h", "0", entries_read=-2)
    assert [group["name"] for group in r.xinfo_groups("s")] == ["g"]


def test_group_starts_where_it_is_told(r):
    fill(r, "s", 3)
    for start, rest in (("0", 3), ("2-0", 1), ("$", 0)):
        r.xgroup_create("s", f"from {start}", start)
        found = streams(r.xreadgroup(f"from {start}", "c", {"s": ">"})).get("s", [])
        assert len(found) == rest


def test_each_entry_goes_to_one_consumer(s):
    first = read(s, "a", count=2)
    assert first == [("1-0", {"n": "1"}), ("2-0", {"n": "2"})]
    assert ids(read(s, "b")) == ["3-0"]
    assert not read(s, "a")


def test_own_entries_can_be_read_again(s):
    read(s, "a", count=2)
    read(s, "b")
    assert ids(read(s, "a", "0")) == ["1-0", "2-0"]
    assert ids(read(s, "a", "1-0")) == ["2-0"]
    assert ids(read(s, "a", "0", count=1)) == ["1-0"]
    assert ids(read(s, "b", "0", block=10_000)) == ["3-0"], "history never waits"
    assert read(s, "b", "3-0", block=10_000) == []
    rows = s.xpending_range("s", "g", "-", "+", 9)
    counts = {row["message_id"]: row["times_delivered"] for row in rows}
    assert counts == {"1-0": 3, "2-0": 3, "3-0": 2}


def test_history_names_the_stream_even_when_empty(s, wire, protocol):
    reply = wire().call("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0")
    assert reply == ({"s": []} if protocol == 3 else [["s", []]])


def test_deleted_entry_stays_in_the_history(s, wire):
    read(s, "a")
    s.xdel("s", "2-0")
    reply = wire(protocol=2).call("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0")
    assert reply == [["s", [["1-0", ["n", "1"]], ["2-0", None], ["3-0", ["n", "3"]]]]]
    assert ids(read(s, "a", "0")) == ["1-0", "2-0", "3-0"], "and the library reads it"
    rows = s.xpending_range("s", "g", "-", "+", 9)
    counts = {row["message_id"]: row["times_delivered"] for row in rows}
    assert counts == {"1-0": 3, "2-0": 1, "3-0": 3}, "what is gone is not delivered again"


def test_noack_leaves_nothing_pending(s):
    assert len(read(s, "a", noack=True)) == 3
    assert s.xpending("s", "g")["pending"] == 0
    assert not read(s, "a", "0")
    assert s.xinfo_groups("s")[0]["last-delivered-id"] == "3-0"


def test_several_streams_in_one_read(s):
    fill(s, "t", 2)
    s.xgroup_create("t", "g", "0")
    found = streams(s.xreadgroup("g", "a", {"s": ">", "t": ">"}, count=1))
    assert {name: ids(entries) for name, entries in found.items()} == {"s": ["1-0"], "t": ["1-0"]}
    found = streams(s.xreadgroup("g", "a", {"t": ">", "s": "0"}))
    assert {name: ids(entries) for name, entries in found.items()} == {"t": ["2-0"], "s": ["1-0"]}


def test_nothing_new_is_nil(s, wire, protocol):
    read(s, "a")
    reply = wire().ask("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    assert (reply.kind, reply.value) == ("_" if protocol == 3 else "*", None)


def test_missing_group_or_stream_is_named(s):
    for group, stream in (("nogroup", "s"), ("g", "nostream")):
        named = f"NOGROUP No such key '{stream}' or consumer group '{group}' in XREADGROUP with"
        with refused(f"{named} GROUP option"):
            s.xreadgroup(group, "c", {stream: ">"})
    with refused("NOGROUP"):
        s.xreadgroup("g", "c", {"s": ">", "nostream": ">"})
    assert len(read(s, "c")) == 3, "the refused read took nothing"


def test_read_options_are_checked(s):
    for args, words in [
        (("GROUP", "g", "c", "STREAMS", "s", "t", ">"), "Unbalanced 'xreadgroup' list of streams"),
        (("COUNT", "1", "BLOCK", "1", "STREAMS", "s", ">"), "Missing GROUP option for XREADGROUP"),
        (("GROUP", "g", "c", "STREAMS", "s", "$"), "The $ ID is meaningless in the context of"),
        (("GROUP", "g", "c", "BLOCK", "-1", "STREAMS", "s", ">"), "timeout is negative"),
        (("GROUP", "g", "c", "BLOCK", "x", "STREAMS", "s", ">"), "timeout is not an integer"),
        (("GROUP", "g", "c", "COUNT", "x", "STREAMS", "s", ">"), "not an integer or out of range"),
        (("GROUP", "g", "c", "NOSUCH", "1", "STREAMS", "s", ">"), "syntax error"),
    ]:
        with pytest.raises(Exception) as refusal:
            s.execute_command("XREADGROUP", *args)
        said = str(refusal.value).replace("XREAD list", "'xreadgroup' list")
        assert words in said, said


def test_acknowledging_counts_each_entry_once(s):
    read(s, "a")
    assert s.xack("s", "g", "1-0", "9-9") == 1
    assert s.xack("s", "g", "1-0") == 0
    assert s.xack("s", "nogroup", "2-0") == s.xack("nostream", "g", "2-0") == 0
    with refused("Invalid stream ID"):
        s.xack("s", "g", "2-0", "x")
    assert s.xpending("s", "g")["pending"] == 2, "a bad id acknowledges nothing"
    assert s.xack("s", "g", "2-0", "3-0") == 2
    assert s.xlen("s") == 3, "acknowledging deletes nothing"


def test_groups_do_not_disturb_each_other(s):
    s.xgroup_create("s", "h", "0")
    read(s, "a")
    assert len(streams(s.xreadgroup("h", "a", {"s": ">"}))["s"]) == 3
    s.xack("s", "g", "1-0", "2-0", "3-0")
    assert (s.xpending("s", "g")["pending"], s.xpending("s", "h")["pending"]) == (0, 3)


def test_set_back_group_delivers_again(s):
    read(s, "a")
    read(s, "a", "0")
    assert s.xgroup_setid("s", "g", "1-0") is True
    assert ids(read(s, "b")) == ["2-0", "3-0"]
    rows = {row["message_id"]: row for row in s.xpending_range("s", "g", "-", "+", 9)}
    assert (rows["1-0"]["consumer"], rows["1-0"]["times_delivered"]) == ("a", 2)
    assert (rows["2-0"]["consumer"], rows["2-0"]["times_delivered"]) == ("b", 1)
    assert s.xgroup_setid("s", "g", "$", entries_read=3) is True
    assert s.xinfo_groups("s")[0]["entries-read"] == 3
    with refused("NOGROUP No such consumer group 'nogroup' for key name 's'"):
        s.xgroup_setid("s", "nogroup", "0")


def test_destroying_a_group_forgets_it(s):
    read(s, "a")
    assert s.xgroup_destroy("s", "g") == 1
    assert s.xgroup_destroy("s", "g") == 0
    with refused("The XGROUP subcommand requires the key to exist."):
        s.xgroup_destroy("nostream", "g")
    assert s.xlen("s") == 3
    with refused("NOGROUP"):
        read(s, "a")


def test_consumers_come_and_go(s):
    assert s.xgroup_createconsumer("s", "g", "a") == 1
    assert s.xgroup_createconsumer("s", "g", "a") == 0
    read(s, "a", count=2)
    read(s, "b")
    assert s.xgroup_delconsumer("s", "g", "a") == 2, "what was pending is told"
    assert s.xgroup_delconsumer("s", "g", "a") == 0
    assert s.xpending("s", "g")["pending"] == 1
    with refused("NOGROUP No such consumer group 'nogroup' for key name 's'"):
        s.xgroup_createconsumer("s", "nogroup", "a")
    with refused("NOGROUP No such consumer group 'nogroup' for key name 's'"):
        s.xgroup_delconsumer("s", "nogroup", "a")


def test_info_of_the_stream(s):
    s.xdel("s", "1-0")
    info = s.xinfo_stream("s")
    assert list(info) == [
        "length", "radix-tree-keys", "radix-tree-nodes", "last-generated-id",
        "max-deleted-entry-id", "entries-added", "recorded-first-entry-id", "groups",
        "first-entry", "last-entry",
    ]
    assert (info["length"], info["groups"], info["entries-added"]) == (2, 1, 3)
    assert (info["last-generated-id"], info["max-deleted-entry-id"]) == ("3-0", "1-0")
    assert info["recorded-first-entry-id"] == "2-0"
    assert (info["first-entry"], info["last-entry"]) == (("2-0", {"n": "2"}), ("3-0", {"n": "3"}))
    with refused("no such key"):
        s.xinfo_stream("nostream")


def test_info_of_an_emptied_stream_has_no_entries(s):
    s.xdel("s", "1-0", "2-0", "3-0")
    info = s.xinfo_stream("s")
    assert (info["first-entry"], info["last-entry"]) == (None, None)
    assert (info["recorded-first-entry-id"], info["last-generated-id"]) == ("0-0", "3-0")


def test_full_info_shows_groups_and_pending_rows(s, newer):
    read(s, "a", count=2)
    info = s.xinfo_stream("s", full=True)
    assert info["entries"] == {"1-0": {"n": "1"}, "2-0": {"n": "2"}, "3-0": {"n": "3"}}
    group = info["groups"][0]
    assert (group["name"], group["last-delivered-id"], group["pel-count"]) == ("g", "2-0", 2)
    assert (group["entries-read"], group["lag"]) == (2, 1)
    owned = [(row[0], row[1], row[3]) for row in group["pending"]]
    assert owned == [("1-0", "a", 1), ("2-0", "a", 1)]
    consumer = group["consumers"][0]
    assert (consumer["name"], consumer["pel-count"]) == ("a", 2)
    assert [(row[0], row[2]) for row in consumer["pending"]] == [("1-0", 1), ("2-0", 1)]
    delivered = group["pending"][0][2]
    assert delivered > 1_600_000_000_000 and abs(consumer["seen-time"] - delivered) < 15_000
    assert ("active-time" in consumer) == newer


def test_full_info_has_a_count(s, wire):
    for count, shown in ((1, 1), (0, 3), (-1, 3)):
        reply = wire(protocol=3).call("XINFO", "STREAM", "s", "FULL", "COUNT", count)
        assert len(reply["entries"]) == shown
    assert len(reply) == 9
    with refused("unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP."):
        s.execute_command("XINFO", "STREAM", "s", "NOSUCH")


def test_info_of_consumers(s, newer):
    s.xgroup_createconsumer("s", "g", "never")
    read(s, "a", count=2)
    rows = {row["name"]: row for row in s.xinfo_consumers("s", "g")}
    assert (rows["a"]["pending"], rows["never"]["pending"]) == (2, 0)
    assert 0 <= rows["a"]["idle"] < 15_000
    if newer:
        assert rows["never"]["inactive"] == -1 and 0 <= rows["a"]["inactive"] < 15_000
    with refused("NOGROUP No such consumer group 'nogroup' for key name 's'"):
        s.xinfo_consumers("s", "nogroup")
    with refused("no such key"):
        s.xinfo_consumers("nostream", "g")


def test_empty_read_counts_as_seen_not_as_active(s, newer):
    if not newer:
        pytest.skip("inactive came with 7.2")
    read(s, "a")
    assert not read(s, "a", block=60)
    row = s.xinfo_consumers("s", "g")[0]
    assert row["inactive"] >= 50 and row["inactive"] >= row["idle"]
    assert not read(s, "b")
    assert {row["name"]: row["inactive"] for row in s.xinfo_consumers("s", "g")}["b"] == -1


def test_lag_counts_what_is_ahead(s):
    def lag():
        group = s.xinfo_groups("s")[0]
        return group["entries-read"], group["lag"]

    assert lag() == (None, 3)
    read(s, "a", count=1)
    assert lag() == (1, 2)
    fill(s, "s", 2, start=4)
    assert lag() == (1, 4)
    read(s, "a")
    assert lag() == (5, 0)
    assert s.xinfo_groups("s")[0]["consumers"] == 1


def test_lag_is_unknown_over_a_hole(s):
    read(s, "a", count=1)
    s.xdel("s", "2-0")
    assert s.xinfo_groups("s")[0]["lag"] is None
    s.xgroup_create("s", "behind", "0")
    s.xdel("s", "1-0")
    behind = {group["name"]: group for group in s.xinfo_groups("s")}["behind"]
    assert behind["lag"] == 1, "all that is left is ahead of it"


def test_info_lists_all_groups(s):
    assert s.xinfo_groups("s")[0] == {
        "name": "g", "consumers": 0, "pending": 0, "last-delivered-id": "0-0",
        "entries-read": None, "lag": 3,
    }
    fill(s, "plain", 1)
    assert s.xinfo_groups("plain") == []
    with refused("no such key"):
        s.xinfo_groups("nostream")


def test_subcommands_have_help_and_refusals(r):
    for command in ("XGROUP", "XINFO"):
        lines = r.execute_command(command, "HELP")
        assert lines[0].startswith(f"{command} <subcommand>") and len(lines) > 5
        with refused(f"unknown subcommand 'NOSUCH'. Try {command} HELP."):
            r.execute_command(command, "NOSUCH", "s", "g")
    with refused("wrong number of arguments for 'xgroup|create' command"):
        r.execute_command("XGROUP", "CREATE", "s")
    with refused("unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP."):
        r.execute_command("XGROUP", "CREATE", "s", "g", "$", "NOSUCH")
