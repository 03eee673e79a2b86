"""The differential test can fail: a server that answers or does something else is found.

Two servers of the same kind, one of them behind a liar that changes requests or replies.
"""

import random
import shutil
import socket
import subprocess

import pytest

from commands import Generator
from differential import RUNS, Side, play, shortened
from wire import Reply, until

SEQUENCES_MAX = 60
SHORTENED_MAX = 12
"""Runs that a shortened sequence has at most."""


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    servers, urls = [], []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        place = ["--port", port, "--bind", "127.0.0.1", "--dir", tmp_path_factory.mktemp("redis")]
        quiet = ["--save", "", "--appendonly", "no", "--loglevel", "warning", "--hz", "100"]
        servers.append(subprocess.Popen(["redis-server", *place, *quiet]))
        urls.append(f"redis://127.0.0.1:{port}")
    for url in urls:
        until(f"{url} to answer", lambda: answers(url))
    yield urls
    for server in servers:
        server.kill()
        server.wait()


def answers(url):
    try:
        return Side(url)
    except OSError:
        return None


class Liar(Side):
    """Changes what is sent and what comes back."""

    def __init__(self, url, request=None, reply=None):
        super().__init__(url)
        self.change_request = request or (lambda request: request)
        self.change_reply = reply or (lambda request, reply: reply)

    def send(self, connection, requests):
        super().send(connection, [self.change_request(request) for request in requests])

    def reply(self, connection, request):
        return self.change_reply(request, super().reply(connection, request))


def first_difference(sides, seed):
    """The first sequence with a difference, shortened, and the difference."""
    for number in range(SEQUENCES_MAX):
        generator = Generator(random.Random(f"{seed}/{number}"), newer=False)
        runs = [generator.first_run()] + [generator.run() for _ in range(RUNS)]
        if found := play(sides, runs, generator.deletes):
            return shortened(sides, runs, generator.deletes, found)
    return None


def lost(word, count=1):
    """Requests lose an option and its values."""

    def change(request):
        if word not in request[3:]:
            return request
        at = request.index(word, 3)
        return request[:at] + request[at + count :]

    return change


def only_first_id(name, at):
    """Requests of this name lose all ids but the first."""
    return lambda request: request[: at + 1] if request[0] == name else request


REQUESTS = {
    "claim never forces": lost("FORCE"),
    "claim keeps the idle time": lost("IDLE", 2),
    "claim counts no deliveries": lost("RETRYCOUNT", 2),
    "claim moves no last id": lost("LASTID", 2),
    "read is not limited": lost("COUNT", 2),
    "noack is ignored": lost("NOACK"),
    "group forgets what it read": lost("ENTRIESREAD", 2),
    "stream forgets what was added": lost("ENTRIESADDED", 2),
    "stream forgets what was deleted": lost("MAXDELETEDID", 2),
    "only one is deleted": only_first_id("XDEL", 2),
    "only one is acknowledged": only_first_id("XACK", 3),
    "expiry is dropped": lost("PX", 2),
}


@pytest.mark.parametrize("lie", REQUESTS)
def test_server_that_does_something_else_is_found(urls, lie):
    sides = [Side(urls[0]), Liar(urls[1], request=REQUESTS[lie])]
    found = first_difference(sides, seed=lie)
    assert found is not None, "nobody noticed"
    runs, _ = found
    assert len(runs) <= SHORTENED_MAX, runs


def numbers_off(request, reply):
    return Reply(":", reply.value + 1) if reply.kind == ":" else reply


def other_nil(request, reply):
    return Reply("*", None) if reply == ("$", None) else reply


def other_words(request, reply):
    return Reply("-", reply.value.replace("consumer group", "group")) if reply.is_error else reply


def lost_map(request, reply):
    return Reply("*", [one for pair in reply.value for one in pair]) if reply.kind == "%" else reply


def turned_round(request, reply):
    return Reply("*", reply.value[::-1]) if request[0] == "XRANGE" and reply.value else reply


def last_of_many(request, reply):
    """In transactions only."""
    if request[0] != "EXEC" or reply.kind != "*" or len(reply.value) < 2:
        return reply
    return Reply("*", [*reply.value[:-1], Reply("+", "lost")])


def pending_row_off(request, reply):
    if request[0] != "XPENDING" or len(request) == 3 or reply.kind != "*" or not reply.value:
        return reply
    row = reply.value[0].value
    return Reply("*", [Reply("*", [*row[:3], Reply(":", row[3].value + 1)]), *reply.value[1:]])


REPLIES = [
    numbers_off, other_nil, other_words, lost_map, turned_round, last_of_many, pending_row_off,
]


@pytest.mark.parametrize("lie", REPLIES, ids=lambda lie: lie.__name__)
def test_server_that_answers_something_else_is_found(urls, lie):
    sides = [Side(urls[0]), Liar(urls[1], reply=lie)]
    found = first_difference(sides, seed=lie.__name__)
    assert found is not None, "nobody noticed"
    assert len(found[0]) <= SHORTENED_MAX, found[0]


def test_honest_servers_agree(urls):
    assert first_difference([Side(url) for url in urls], seed=1) is None


def test_same_seed_gives_the_same_requests():
    def runs():
        generator = Generator(random.Random("1/2"), newer=True)
        return [generator.run() for _ in range(200)]

    assert runs() == runs()
