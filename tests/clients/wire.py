"""RESP over a plain socket, for what a client library would hide or refuse to send.

A reply is kept as it came: `Reply(kind, value)` with the type byte as kind, so that a null bulk
string, a null array and a RESP3 null are three different things. `plain` gives the values only.
"""

import socket
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PATIENCE_S = 15.0
"""How long anything may take that must happen."""


class Reply(NamedTuple):
    """One reply: `+ - : $ * _ # , ( ! = % ~ >` and what it holds."""

    kind: str
    value: Any

    @property
    def is_error(self):
        return self.kind in "-!"


class Closed(ConnectionError):
    """The server closed the connection."""


def address(url):
    """Host and port of a redis:// URL."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 6379


def encode(args):
    """A request: an array of bulk strings."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, bytes) else str(arg).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(out)


def plain(reply):
    """The values of a reply: text, numbers, lists, dicts, None; an error is `(error) its text`."""
    kind, value = reply
    if kind in "-!":
        return f"(error) {value}"
    if kind in "*~>":
        return None if value is None else [plain(one) for one in value]
    if kind == "%":
        return {plain(key): plain(one) for key, one in value}
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def pairs(value):
    """A map that RESP2 sends as a flat array."""
    return value if isinstance(value, dict) else dict(zip(value[::2], value[1::2]))


def until(what, look):
    """Looks again and again until `look` gives something true, and returns it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited in vain for {what}; last seen: {found!r}"
        time.sleep(0.005)


class Wire:
    """A connection that sends whatever it is told and reads what comes back."""

    def __init__(self, url, protocol=2, db=0, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes is not None:
            # Before connecting, or the window is already larger.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(address(url))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.at = 0
        password = urlsplit(url).password
        if password:
            self.call("AUTH", password)
        if protocol == 3:
            self.call("HELLO", 3)
        if db:
            self.call("SELECT", db)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, *args):
        self.raw(encode(args))

    def ask(self, *args):
        """One request, its reply with all types."""
        self.send(*args)
        return self.read()

    def call(self, *args):
        """One request, the plain values of its reply."""
        return plain(self.ask(*args))

    def closes(self):
        """Whether the server closes the connection, whatever it still says before."""
        try:
            while True:
                self.read()
        except Closed:
            return True
        except TimeoutError:
            return False

    def read(self):
        line = self._line()
        kind, rest = chr(line[0]), line[1:]
        if kind in "+-(,":
            return Reply(kind, rest.decode("utf-8", "backslashreplace"))
        if kind == ":":
            return Reply(kind, int(rest))
        if kind == "#":
            return Reply(kind, rest == b"t")
        if kind == "_":
            return Reply(kind, None)
        size = int(rest)
        if size < 0:
            return Reply(kind, None)
        if kind in "$!=":
            data = self._take(size + 2)[:-2]
            return Reply(kind, data.decode() if kind == "!" else data)
        if kind in "*~>":
            return Reply(kind, [self.read() for _ in range(size)])
        if kind == "%":
            return Reply(kind, [(self.read(), self.read()) for _ in range(size)])
        raise AssertionError(f"no reply starts with {line!r}")

    def _more(self):
        if self.at:
            del self.buffer[: self.at]
            self.at = 0
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed("the server closed the connection")
        self.buffer += data

    def _line(self):
        while (end := self.buffer.find(b"\r\n", self.at)) < 0:
            self._more()
        line = bytes(self.buffer[self.at : end])
        self.at = end + 2
        return line

    def _take(self, size):
        while len(self.buffer) - self.at < size:
            self._more()
        data = bytes(self.buffer[self.at : self.at + size])
        self.at += size
        return data
