"""Random requests that collide: few keys, groups and consumers, ids that often exist.

A sequence is a list of runs, a run is what one connection sends in one write: `(connection,
[request, ...])`. Each sequence leaves some kinds of requests out, so that rare mixtures occur.
About one request in eight is spoilt: an argument too few or too many, swapped, or nonsense.

`@5` as an argument is the time in 5 seconds, `@@5` in 5 milliseconds: see `differential.py`.
"""

STREAMS, STRINGS = ["s1", "s2", "s3"], ["k1", "k2"]
KEYS = STREAMS + STRINGS
GROUPS, CONSUMERS = ["g1", "g2"], ["c1", "c2", "c3"]
DATABASES = 3
CONNECTIONS = 3

SPOILT = 0.12
LEFT_OUT = 0.2
UNDELETED = 0.25
"""The share of sequences that delete no entries, because those show more: see `no_lag`."""
SOON_S = 1_000
"""Expiries below this would come true during a run."""
NONSENSE = """
    x -1 0 1-1-1 1-x $ + - > (1-1 = ~ COUNT STREAMS größe 18446744073709551616
    9223372036854775808 9223372036854775807 18446744073709551615-18446744073709551615
""".split() + ["", "\r\n"]


class Generator:
    """Makes runs out of a `random.Random`; the same one makes the same runs."""

    def __init__(self, random, newer):
        self.random = random
        kinds = [kind for kind in KINDS if newer or kind not in NEWER]
        if random.random() < UNDELETED:
            kinds = [kind for kind in kinds if kind not in DELETING]
        self.kinds = [kind for kind in kinds if random.random() >= LEFT_OUT] or kinds
        self.weights = [KINDS[kind] for kind in self.kinds]
        self.deletes = any(kind in DELETING for kind in self.kinds)
        self.clock = self.expiries = 0
        self.open = [False] * CONNECTIONS

    def first_run(self):
        """Groups to begin with, or most requests would find none."""
        found = [(name, group) for name in STREAMS for group in GROUPS]
        some = [where for where in found if self.random.random() < 0.8]
        return 0, [("XGROUP", "CREATE", *where, "0", "MKSTREAM") for where in some] + [("PING",)]

    def run(self):
        connection = self.random.randrange(CONNECTIONS)
        requests = []
        for _ in range(self.one([1, 1, 2, 5])):
            request = self.request(connection)
            if request[0].upper() == "SCAN":
                # It goes on with what it answers, and nothing may change meanwhile.
                return connection, requests or [request]
            requests.append(request)
        return connection, requests

    def request(self, connection):
        if self.open[connection] and self.random.random() < 0.25:
            self.open[connection] = False
            return ("EXEC",) if self.random.random() < 0.8 else ("DISCARD",)
        while True:
            kind = self.random.choices(self.kinds, weights=self.weights)[0]
            request = tuple(str(arg) for arg in kind(self))
            if kind not in UNSPOILT and self.random.random() < SPOILT:
                request = self.spoilt(request)
            # In the middle of a transaction nobody changes the protocol.
            if is_repeatable(request) and not (self.open[connection] and is_hello(request)):
                break
        if request[0].upper() == "MULTI":
            self.open[connection] = True
        return request

    def spoilt(self, request):
        args = list(request)
        at, how = self.random.randrange(len(args)), self.random.randrange(5)
        if at == 0 or how == 0:
            args[at] = args[at].swapcase()
        elif how == 1:
            del args[at]
        elif how == 2:
            args.insert(at + 1, self.one(NONSENSE))
        elif how == 3:
            other = self.random.randrange(1, len(args))
            args[at], args[other] = args[other], args[at]
        else:
            args[at] = self.one(NONSENSE)
        return tuple(args)

    # Arguments.

    def one(self, choices):
        return choices[self.random.randrange(len(choices))]

    def chance(self, share, *args):
        """The arguments, or none."""
        return args if self.random.random() < share else ()

    def stream(self):
        return self.one(STRINGS if self.random.random() < 0.03 else STREAMS)

    def string(self):
        return self.one(STREAMS if self.random.random() < 0.05 else STRINGS)

    def key(self):
        return self.one(KEYS + 3 * STRINGS)

    def member(self):
        """A stream, a group, a consumer."""
        return [self.stream(), self.one(GROUPS), self.one(CONSUMERS)]

    def group(self):
        return self.member()[:2]

    def new_id(self):
        self.clock += self.one([0, 1, 1, 2])
        return f"{self.clock}-{self.one(['0', '1', '5', '*'])}"

    def old_id(self):
        ms = self.random.randint(max(0, self.clock - 12), self.clock + 1)
        return f"{ms}{self.one(['-0', '-1', '-5', ''])}"

    def old_ids(self):
        return [self.old_id() for _ in range(self.one([1, 1, 2, 4]))]

    def end(self, whole):
        text = whole if self.random.random() < 0.4 else self.old_id()
        return f"({text}" if self.random.random() < 0.1 else text

    def count(self):
        return self.one([0, 1, 1, 2, 3, 10])

    def number(self):
        return self.one([-10, -1, 0, 1, 7, 1_000])

    def idle(self):
        return self.one([0, 0, 0, 500_000, 2_500_000])

    def trim(self):
        if self.random.random() < 0.3:
            roughly = self.one([["MAXLEN", "~", 5_000], ["MINID", "~", 0]])
            return [*roughly, *self.chance(0.5, "LIMIT", self.one([0, 10]))]
        strategy = self.one([["MAXLEN", self.one([0, 1, 3, 8])], ["MINID", self.old_id()]])
        return [strategy[0], *self.chance(0.5, "="), strategy[1], *self.chance(0.05, "LIMIT", 10)]

    def expiry(self):
        far = self.random.randint(2, 9) * SOON_S
        ways = ["EX", far], ["PX", far * 1000], ["EXAT", f"@{far}"], ["PXAT", f"@@{far * 1000}"]
        return self.one(ways + (["KEEPTTL"], ["PERSIST"], ["EX", 0], ["PX", -5]))


def is_hello(request):
    return request[0].upper() == "HELLO"


def is_repeatable(request):
    """Whether two servers can do it at different times and still answer the same."""
    name, args = request[0].upper(), [arg.upper() for arg in request[1:]]
    for at, (word, value) in enumerate(zip(args, args[1:] + [""])):
        number = int(value) if value.isascii() and value.isdigit() else None
        if word == "BLOCK" and number is not None and number not in (1, 2):
            return False
        if word == "EX" and number and number < SOON_S:
            return False
        if word == "PX" and number and number < SOON_S * 1000:
            return False
        if word == "~" and (at == 0 or [args[at - 1], value] not in HARMLESS_TRIMS):
            return False
    if name in ("EXPIRE", "PEXPIRE", "SETEX", "PSETEX") and len(args) > 1 and args[1].isdigit():
        return args[1] == "0" or int(args[1]) >= SOON_S * (1000 if name[0] == "P" else 1)
    if name == "SCAN" and args and any(sign.isdigit() for sign in args[0]):
        return args[0] == "0"
    if name == "XADD" and "*" in args:
        return args[0] == "AUTO" or args[:2] == ["NOSTREAM", "NOMKSTREAM"]
    return "AUTO" not in args or name in ("XLEN", "XTRIM")


HARMLESS_TRIMS = [["MAXLEN", "5000"], ["MINID", "0"]]


def xadd(g):
    fields = g.one([["f", g.number()], ["f", "1", "f", ""]])
    return ["XADD", g.stream(), *g.chance(0.1, "NOMKSTREAM"), g.new_id(), *fields]


def xadd_trim(g):
    options = [*g.chance(0.1, "NOMKSTREAM"), *g.trim()]
    return ["XADD", g.stream(), *options, g.new_id(), "f", g.number()]


def xadd_now(g):
    missing = ["XADD", "nostream", "NOMKSTREAM", "*", "f", 1]
    return g.one([["XADD", "auto", "*", "f", 1], missing, ["XLEN", "auto"]])


def xlen(g):
    return ["XLEN", g.stream()]


def xrange(g):
    count = g.chance(0.4, "COUNT", g.count())
    if g.random.random() < 0.5:
        return ["XRANGE", g.stream(), g.end("-"), g.end("+"), *count]
    return ["XREVRANGE", g.stream(), g.end("+"), g.end("-"), *count]


def xdel(g):
    return ["XDEL", g.stream(), *g.old_ids()]


def xtrim(g):
    return ["XTRIM", g.stream(), *g.trim()]


def xsetid(g):
    added = g.chance(0.3, "ENTRIESADDED", g.one([0, 5, 100]))
    deleted = g.chance(0.3, "MAXDELETEDID", f"{g.clock + g.one([-1, 0, 2])}-0")
    # Above all that was ever there: see `differences.py`.
    g.clock += 1
    return ["XSETID", g.stream(), f"{g.clock}-{g.one([0, 9])}", *added, *deleted]


def reading(g, last):
    """The end of XREAD and XREADGROUP: how much, of what, since when."""
    options = [*g.chance(0.4, "COUNT", g.count()), *g.chance(0.1, "BLOCK", g.one([1, 2]))]
    names = g.random.sample(STREAMS, g.one([1, 1, 1, 2]))
    since = [last if g.random.random() < 0.7 else g.old_id() for _ in names]
    return [*options, "STREAMS", *names, *since]


def xread(g):
    return ["XREAD", *reading(g, g.one(["$", "0", "+"]))]


def xreadgroup(g):
    who = g.member()[1:]
    return ["XREADGROUP", "GROUP", *who, *g.chance(0.1, "NOACK"), *reading(g, g.one("0>>>>"))]


def xack(g):
    return ["XACK", *g.group(), *g.old_ids()]


def xpending(g):
    if g.random.random() < 0.4:
        return ["XPENDING", *g.group()]
    stream, group, consumer = g.member()
    rows = [g.end("-"), g.end("+"), g.count(), *g.chance(0.4, consumer)]
    return ["XPENDING", stream, group, *g.chance(0.4, "IDLE", g.idle()), *rows]


def xclaim(g):
    times = ["TIME", "@@-2000000"], ["TIME", "@@5000000"], ["IDLE", 0], ["IDLE", 3_000_000]
    options = [
        *g.chance(0.4, *g.one(times)), *g.chance(0.3, "RETRYCOUNT", g.one([0, 5, -1])),
        *g.chance(0.3, "FORCE"), *g.chance(0.3, "JUSTID"), *g.chance(0.1, "LASTID", g.old_id()),
    ]
    return ["XCLAIM", *g.member(), g.idle(), *g.old_ids(), *options]


def xautoclaim(g):
    options = [*g.chance(0.5, "COUNT", g.one([1, 2, 10])), *g.chance(0.3, "JUSTID")]
    return ["XAUTOCLAIM", *g.member(), g.idle(), g.end("-"), *options]


def xgroup_create(g):
    at = g.one(["0", "0", "0", "$", g.old_id()])
    return ["XGROUP", "CREATE", *g.group(), at, *g.chance(0.8, "MKSTREAM")]


def xgroup(g):
    consumers = [g.one(["CREATECONSUMER", "DELCONSUMER"]), *g.member()]
    others = g.one([["DESTROY", *g.group()], ["HELP"]])
    return ["XGROUP", *g.one([others, consumers, consumers, consumers])]


def xgroup_setid(g):
    read = g.chance(0.3, "ENTRIESREAD", g.one([-1, 0, 3]))
    return ["XGROUP", "SETID", *g.group(), g.one(["0", "$", g.old_id()]), *read]


def xinfo(g):
    full = g.chance(0.5, "FULL", *g.chance(0.5, "COUNT", g.count()))
    groups, consumers = ["GROUPS", g.stream()], ["CONSUMERS", *g.group()]
    return ["XINFO", *g.one([["STREAM", g.stream(), *full], groups, consumers, ["HELP"]])]


def xackdel(g):
    found = g.old_ids()
    policy = g.one([[], ["KEEPREF"], ["DELREF"], ["ACKED"]])
    where = g.one([["XACKDEL", *g.group()], ["XDELEX", g.stream()]])
    return [*where, *policy, "IDS", len(found), *found]


def set_(g):
    value = g.one(["", "v", "10", "-3", "größe", "9223372036854775807"])
    options = [*g.one([[], [], ["NX"], ["XX"]]), *g.chance(0.2, "GET")]
    return ["SET", g.string(), value, *options, *g.chance(0.3, *g.expiry())]


def strings(g):
    key, value = g.string(), g.one(["", "v", "10"])
    simple = [[name, key] for name in ("GET", "STRLEN", "GETDEL", "INCR", "DECR")]
    return g.one(simple + [
        ["SETNX", key, value], ["APPEND", key, value], ["INCRBY", key, g.number()],
        ["MGET", key, g.one(KEYS)], ["MSET", key, value, g.one(STRINGS), g.number()],
        ["GETEX", key, *g.chance(0.8, *g.expiry())], ["SETEX", key, 5 * SOON_S, value],
        # Not with SET: Redis counts such a key in DBSIZE until it finds it.
        ["GETEX", key, "EXAT", 1_000_000_000],
        ["PSETEX", key, 5_000 * SOON_S, value],
    ])


def keys(g):
    key = g.key()
    simple = [[name, key] for name in ("TYPE", "TTL", "PTTL", "PERSIST", "DEL")]
    return g.one(simple + [
        ["DEL", key, g.key()], ["EXISTS", key, g.key()], ["DBSIZE"],
        ["RENAME", key, g.key()], ["KEYS", g.one(["*", "s*", "?1", "[^s]*"])],
    ])


def expire(g):
    # No two are the same, or GT and LT would compare moments.
    g.expiries += 1
    far = g.one([50 + g.expiries, 1_000 - g.expiries]) * SOON_S
    at = far if g.random.random() < 0.9 else g.one([-1, 0])
    name, time = g.one([["EXPIRE", at], ["PEXPIRE", at * 1000]])
    return [name, g.key(), time, *g.one([[], [], ["NX"], ["XX"], ["GT"], ["LT"]])]


def scan(g):
    match = g.chance(0.5, "MATCH", g.one(["s*", "?1", "x"]))
    return ["SCAN", "0", *g.chance(0.5, "COUNT", 2), *match, *g.chance(0.3, "TYPE", "stream")]


def session(g):
    select = ["SELECT", g.random.randrange(DATABASES)]
    hello = ["HELLO", *g.chance(0.8, g.one([2, 3]))]
    odd = ["NOSUCH", "a", "b"], ["EXEC"], ["DISCARD"], ["PING", *g.chance(0.5, "x")], ["ECHO", "x"]
    return g.one([select, ["SELECT", 0], ["SELECT", 0], hello, *odd])


def multi(_):
    return ["MULTI"]


def flush(g):
    return [g.one(["FLUSHDB", "FLUSHDB", "FLUSHALL"])]


KINDS = {
    xadd: 20, xadd_trim: 2, xadd_now: 1, xlen: 2, xrange: 6, xdel: 4, xtrim: 2, xsetid: 2,
    xread: 4, xreadgroup: 16, xack: 8, xpending: 8, xclaim: 8, xautoclaim: 4, xgroup_create: 7,
    xgroup: 2, xgroup_setid: 2, xinfo: 9, xackdel: 4, set_: 4, strings: 8, keys: 6, expire: 3,
    scan: 4, session: 3, multi: 3, flush: 0.2,
}
"""How often each is asked for."""
NEWER = {xackdel}
"""Only where both servers know them."""
UNSPOILT = {xsetid}
DELETING = {xadd_trim, xdel, xtrim, xsetid, xgroup_setid, xackdel}
"""They delete entries or set counters."""
