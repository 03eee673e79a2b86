//! Random requests and random bytes against the Redis door of a whole appliance.
//!
//! What must stay true: every request has exactly one reply, and every reply is well formed, in
//! both protocols; bytes that are no requests hurt nobody but their sender; the engine never ends.
//!
//! A short run is part of the tests. A long one takes `TIDEGATE_FUZZ_SECONDS`, a minute unless set:
//! `cargo test --test it fuzz_frames -- --ignored --nocapture`. A failure names its seed, and
//! `TIDEGATE_FUZZ_SEED` starts from there.

use std::time::Duration;

use tidegate::base::entropy::Entropy;
use tidegate::base::time::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{PATIENCE, World};

/// Requests of one connection.
const REQUESTS: u64 = 64;

/// Commands that leave the connection as it was; some twice, since they prepare the ground.
const COMMANDS: &[&str] = &[
    "XADD",
    "XADD",
    "XADD",
    "XGROUP",
    "XGROUP",
    "XREADGROUP",
    "XREADGROUP",
    "XREADGROUP",
    "XACK",
    "XREAD",
    "XDEL",
    "XLEN",
    "XRANGE",
    "XREVRANGE",
    "XTRIM",
    "XPENDING",
    "XCLAIM",
    "XAUTOCLAIM",
    "XACKDEL",
    "XDELEX",
    "XINFO",
    "XSETID",
    "DEL",
    "UNLINK",
    "EXISTS",
    "TYPE",
    "EXPIRE",
    "PEXPIRE",
    "EXPIREAT",
    "PEXPIREAT",
    "TTL",
    "PTTL",
    "EXPIRETIME",
    "PEXPIRETIME",
    "PERSIST",
    "SCAN",
    "KEYS",
    "RENAME",
    "RENAMENX",
    "DBSIZE",
    "GET",
    "SET",
    "MGET",
    "MSET",
    "MSETNX",
    "SETNX",
    "SETEX",
    "PSETEX",
    "GETSET",
    "GETDEL",
    "GETEX",
    "INCR",
    "DECR",
    "INCRBY",
    "DECRBY",
    "APPEND",
    "STRLEN",
    "GETRANGE",
    "SUBSTR",
    "MULTI",
    "EXEC",
    "DISCARD",
    "SELECT",
    "HELLO",
    "AUTH",
    "CLIENT",
    "PING",
    "ECHO",
    "COMMAND",
    "CONFIG",
    "INFO",
    "TIME",
    "LASTSAVE",
    "WAIT",
    "FUNCTION",
    "DEBUG",
    "MEMORY",
    "RESET",
    "FLUSHDB",
    "NOPE",
    "",
];

/// What follows them: keys, words, numbers and ids at their ends. None waits for long.
const WORDS: &[&str] = &[
    "k",
    "s",
    "s",
    "s",
    "t",
    "g",
    "g",
    "g",
    "c",
    "f",
    "v",
    "STREAMS s >",
    "STREAMS s 0",
    "STREAMS s t 0 0",
    "STREAMS s $",
    "GROUP g c",
    "COUNT 2",
    "BLOCK 1",
    "NOACK",
    "CLAIM 0",
    "MAXLEN 2",
    "MAXLEN ~ 1",
    "MINID 5",
    "LIMIT 1",
    "NOMKSTREAM",
    "KEEPREF",
    "DELREF",
    "ACKED",
    "IDS 1 1-0",
    "IDS 2 1-0 5-0",
    "CREATE s g 0 MKSTREAM",
    "CREATE",
    "SETID",
    "DESTROY",
    "DELCONSUMER s g c",
    "CREATECONSUMER",
    "ENTRIESREAD 3",
    "ENTRIESADDED 9",
    "MAXDELETEDID 3-0",
    "STREAM s FULL",
    "STREAM",
    "FULL",
    "GROUPS s",
    "CONSUMERS s g",
    "HELP",
    "IDLE 5",
    "TIME 5",
    "RETRYCOUNT 3",
    "FORCE",
    "JUSTID",
    "LASTID 9-0",
    "EX 5",
    "PX 1",
    "EXAT 1",
    "PXAT",
    "KEEPTTL",
    "NX",
    "XX",
    "GT",
    "LT",
    "GET",
    "PERSIST",
    "MATCH *",
    "TYPE stream",
    "-",
    "+",
    "- + 10",
    "*",
    "* f v",
    "* f v",
    "5-* f v",
    "$",
    ">",
    "(",
    "(5",
    "0",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "1-0",
    "5-1",
    "18446744073709551615-18446744073709551615",
    "18446744073709551615-18446744073709551614",
    "SETNAME x",
    "LIST",
    "INFO",
    "ON",
    "",
    "\r\n",
    "\0",
    "é",
];

fn pick<'w>(random: &mut Entropy, words: &[&'w str]) -> &'w str {
    words[random.below(words.len() as u64) as usize]
}

fn request(random: &mut Entropy) -> Vec<u8> {
    let mut words = vec![pick(random, COMMANDS)];
    for _ in 0..random.below(7) {
        words.extend(pick(random, WORDS).split(' '));
    }
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

/// A request with some of its bytes changed, doubled or gone.
fn bent(random: &mut Entropy) -> Vec<u8> {
    let mut bytes = request(random);
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes[at] = random.next_u64() as u8,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, b"*$\r\n-0"[random.below(6) as usize]),
            _ => drop(bytes.remove(at)),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Where the reply ends that begins at `start`; `None` while it is not complete.
fn end_of_reply(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start..];
    let line = rest.windows(2).position(|two| two == b"\r\n")?;
    let (text, behind) = (&rest[1..line], start + line + 2);
    let number = || -> i64 {
        let text = std::str::from_utf8(text).unwrap();
        text.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
    };
    let many = |count: i64| (0..count).try_fold(behind, |at, _| end_of_reply(bytes, at));
    match rest[0] {
        b'$' | b'=' if number() >= 0 => {
            let end = behind + number() as usize;
            let is_there = bytes.get(end..end + 2)?;
            assert_eq!(is_there, b"\r\n", "a string ends where it says");
            Some(end + 2)
        }
        b'$' => Some(behind),
        b'*' | b'~' | b'>' => many(number()),
        b'%' => many(number() * 2),
        b':' => {
            number();
            Some(behind)
        }
        b'+' | b'-' | b'_' | b',' | b'#' => Some(behind),
        other => panic!("no reply begins with {:?}", char::from(other)),
    }
}

/// Every request has its reply.
async fn ask(world: &World, random: &mut Entropy) {
    let mut socket = TcpStream::connect(world.redis.unwrap()).await.unwrap();
    if random.below(2) == 0 {
        socket.write_all(b"HELLO 3\r\n").await.unwrap();
    } else {
        socket.write_all(b"PING\r\n").await.unwrap();
    }
    let requests: Vec<_> = (0..REQUESTS).map(|_| request(random)).collect();
    socket.write_all(&requests.concat()).await.unwrap();
    let (mut seen, mut at) = (Vec::new(), 0);
    for place in 0..=REQUESTS {
        at = loop {
            if let Some(end) = end_of_reply(&seen, at) {
                break end;
            }
            let read = socket.read_buf(&mut seen).await.unwrap();
            let asked = place.checked_sub(1).map(|place| &requests[place as usize]);
            let asked = asked.map(|request| String::from_utf8_lossy(request));
            assert_ne!(read, 0, "closed at {asked:?}");
        };
    }
    assert_eq!(at, seen.len(), "more replies than requests");
}

/// Bytes that are no requests get an answer or none, and then an end.
async fn babble(world: &World, random: &mut Entropy) {
    let mut socket = TcpStream::connect(world.redis.unwrap()).await.unwrap();
    for _ in 0..random.below(5) {
        // It may have hung up already.
        let _ = socket.write_all(&bent(random)).await;
    }
    let _ = socket.shutdown().await;
    let mut seen = Vec::new();
    let _ = socket.read_to_end(&mut seen).await;
    let mut at = 0;
    while at < seen.len() {
        at = end_of_reply(&seen, at).expect("whole replies");
    }
}

async fn fuzz(length: Duration) {
    let world = World::new().await;
    let first: u64 = match std::env::var("TIDEGATE_FUZZ_SEED") {
        Ok(seed) => seed.parse().expect("`TIDEGATE_FUZZ_SEED` is a number"),
        Err(_) => Entropy::from_system().below(1 << 32),
    };
    let watch = Stopwatch::start();
    let mut seed = first;
    while watch.elapsed() < length {
        // Shown when the test fails.
        println!("seed {seed}");
        let mut random = Entropy::from_seed(seed);
        let round = async {
            ask(&world, &mut random).await;
            babble(&world, &mut random).await;
        };
        timeout(PATIENCE, round).await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
        world.assert_no_fault();
        seed += 1;
    }
    println!("{} rounds of {REQUESTS} requests", seed - first);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_requests_are_answered() {
    fuzz(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs as long as it is told to"]
async fn fuzz_frames() {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").ok();
    let seconds = seconds.map_or(60, |text| text.parse().expect("a number of seconds"));
    fuzz(Duration::from_secs(seconds)).await;
}
