//! Whatever comes, the pure parts answer with a value.
//!
//! What must stay true: neither bytes nor arguments make the decoder, the parser or the probe
//! panic; how bytes are cut makes no difference; a request that is refused only when it is its turn
//! is understood the same way twice.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{OF_CONNECTION, Scope, Wrong, entries, parse};
use crate::base::time::Time;
use crate::front::resp::frame::{Decoder, FrameError, Limits};
use crate::front::resp::reply::Reply;
use crate::front::resp::request::Request;
use crate::front::resp::writer::Protocol;

const LIMITS: Limits = Limits {
    argument_bytes_max: 300,
    arguments_max: 12,
    request_bytes_max: 900,
    inline_bytes_max: 200,
};

/// Words that mean something somewhere, numbers at their ends, and ids of all forms.
const WORDS: &[&str] = &[
    "STREAMS",
    "GROUP",
    "COUNT",
    "BLOCK",
    "NOACK",
    "CLAIM",
    "MAXLEN",
    "MINID",
    "~",
    "=",
    "LIMIT",
    "NOMKSTREAM",
    "KEEPREF",
    "DELREF",
    "ACKED",
    "IDS",
    "CREATE",
    "SETID",
    "DESTROY",
    "DELCONSUMER",
    "CREATECONSUMER",
    "MKSTREAM",
    "ENTRIESREAD",
    "ENTRIESADDED",
    "MAXDELETEDID",
    "STREAM",
    "FULL",
    "GROUPS",
    "CONSUMERS",
    "HELP",
    "IDLE",
    "TIME",
    "RETRYCOUNT",
    "FORCE",
    "JUSTID",
    "LASTID",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "KEEPTTL",
    "NX",
    "XX",
    "GT",
    "LT",
    "GET",
    "PERSIST",
    "MATCH",
    "TYPE",
    "-",
    "+",
    "*",
    "$",
    ">",
    "(",
    "(5",
    "0",
    "1",
    "-1",
    "5",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "0-0",
    "5-1",
    "5-*",
    "18446744073709551615-18446744073709551615",
    "k",
    "s",
    "g",
    "",
    "\r\n",
    "\0",
];

fn scope() -> Scope {
    Scope { db: 3, now: Time(1_700_000_000_000) }
}

fn names() -> Vec<&'static str> {
    entries().map(|entry| entry.name).chain(OF_CONNECTION.iter().map(|one| one.0)).collect()
}

fn argument() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => prop::sample::select(WORDS).prop_map(|word| Bytes::from_static(word.as_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let args = prop::collection::vec(argument(), 0..14);
    (prop::sample::select(names()), args)
        .prop_map(|(name, args)| Request { name: Bytes::from_static(name.as_bytes()), args })
}

/// Bytes that are nearly a request.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(&[
            "*2\r\n", "*1\r\n", "*0\r\n", "*-1\r\n", "*99\r\n", "$3\r\n", "$0\r\n", "$-1\r\n",
            "GET", "SET k v\r\n", "\"", "'", "\r\n", "\r", "\n", "$1\r\nk\r\n", "$4\r\nPING\r\n",
        ][..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// All that comes of `bytes` when they arrive in pieces of so many.
fn decoded(bytes: &[u8], piece: usize) -> (Vec<Request>, Option<FrameError>) {
    let (mut decoder, mut buffer) = (Decoder::new(LIMITS), BytesMut::new());
    let mut requests = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn check(request: &Request) -> Result<(), TestCaseError> {
    let asked = parse(request, scope());
    prop_assert_eq!(format!("{asked:?}"), format!("{:?}", parse(&request.detached(), scope())));
    let reply = match asked {
        Ok(_) => return Ok(()),
        Err(Wrong::Unknown) => request.unknown_command(),
        Err(Wrong::AtOnce(malformed) | Wrong::WhenDone(malformed)) => request.malformed(malformed),
    };
    let mut out = BytesMut::new();
    reply.encode(Protocol::Resp2, &mut out);
    let is_one_line = out.iter().filter(|byte| **byte == b'\n').count() == 1;
    prop_assert!(matches!(reply, Reply::Error(_)) && is_one_line, "{out:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_arguments_are_answered(request in request()) {
        check(&request)?;
    }

    #[test]
    fn any_bytes_are_answered(bytes in bytes(), piece in 1_usize..9) {
        let (whole, error) = decoded(&bytes, bytes.len());
        prop_assert_eq!(&(whole.clone(), error), &decoded(&bytes, piece));
        for request in &whole {
            check(request)?;
        }
    }
}
