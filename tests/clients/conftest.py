"""What every test gets: clients that are closed, both protocols, an empty server.

`CLIENTS_URL` names the server. Every test starts by emptying it.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from kit import URL, wait_blocked
from wire import PATIENCE_S, Wire


def pytest_report_header():
    return f"redis-py {redis.__version__} against a server that says {server_version()}"


def server_version():
    with redis.Redis.from_url(URL) as client:
        return client.info("server")["redis_version"]


@pytest.fixture(scope="session")
def newer():
    """Whether the server claims 7.2 or later; Debian's 7.0 is what these tests were tried on."""
    return tuple(map(int, server_version().split(".")[:2])) >= (7, 2)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request):
    return request.param


@pytest.fixture(autouse=True)
def empty_server():
    with redis.Redis.from_url(URL) as client:
        client.flushall()
        # Those of the test before may not be noticed as gone yet.
        wait_blocked(client, 0)


@pytest.fixture
def connect(protocol):
    """Makes clients of the library, closed when the test ends."""
    clients = []

    def make(**options):
        options = {"protocol": protocol, "decode_responses": True} | options
        clients.append(redis.Redis.from_url(URL, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def r(connect):
    return connect()


@pytest.fixture
def wire(protocol):
    """Plain connections that speak the protocol of the test."""
    wires = []

    def make(**options):
        wires.append(Wire(URL, **({"protocol": protocol} | options)))
        return wires[-1]

    yield make
    for one in wires:
        one.close()


@pytest.fixture
def later():
    """Runs a blocking call beside the test; `.result()` of what it returns has a deadline."""
    with ThreadPoolExecutor(max_workers=8) as pool:

        class Later:
            def __init__(self, call, *args, **options):
                self.future = pool.submit(call, *args, **options)

            def result(self):
                return self.future.result(PATIENCE_S)

            @property
            def done(self):
                return self.future.done()

        yield Later
