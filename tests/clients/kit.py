"""What the tests are built of: the server's address, filling streams, reading answers, waiting."""

import os
import re

import pytest
import redis

from wire import until

URL = os.environ["CLIENTS_URL"]


def wait_blocked(r, count):
    """Until that many clients wait in a blocking command."""
    until(f"{count} blocked clients", lambda: r.info("clients")["blocked_clients"] == count)


def refused(text):
    """The server says no, with these words."""
    return pytest.raises(redis.ResponseError, match=re.escape(text))


def streams(reply):
    """XREAD and XREADGROUP in one form, `{stream: entries}`: RESP3 maps carry one list more."""
    if isinstance(reply, dict):
        return {name: sum(batches, []) for name, batches in reply.items()}
    return dict(reply)


def ids(entries):
    return [entry_id for entry_id, _ in entries]


def fill(r, stream, count, start=1):
    """Entries `1-0`, `2-0`, ... with the field n."""
    pipeline = r.pipeline(transaction=False)
    for n in range(start, start + count):
        pipeline.xadd(stream, {"n": n}, id=f"{n}-0")
    return pipeline.execute()
