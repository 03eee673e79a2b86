"""Before and after the suites: the server answers and holds nothing of anybody else.

`prepare.py URL` refuses a server with keys, because every test empties it. `--flush` empties it.
"""

import sys

from wire import Wire

DATABASES = 16


def main():
    flush, url = "--flush" in sys.argv, sys.argv[-1]
    try:
        wire = Wire(url)
        said = wire.call("PING")
    except OSError as error:
        return f"no answer from {url}: {error}"
    if said != "PONG":
        return f"{url} says {said!r} to PING: expected PONG"
    if flush:
        wire.call("FLUSHALL")
        return None
    for db in range(DATABASES):
        wire.call("SELECT", db)
        if wire.call("DBSIZE") != 0:
            return f"{url} holds keys in database {db}, and these tests delete all: add --flush"
    return None


sys.exit(main())
