//! Replies as bytes, and the same bytes read by a foreign decoder.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode_bytes as foreign_decode2;
use redis_protocol::resp2::types::BytesFrame as Frame2;
use redis_protocol::resp3::decode::complete::decode_bytes as foreign_decode3;
use redis_protocol::resp3::types::{BytesFrame as Frame3, VerbatimStringFormat};

use super::*;
use crate::base::time::Stopwatch;
use crate::front::resp::number;

fn encoded(reply: &Reply, protocol: Protocol) -> Bytes {
    let mut out = BytesMut::new();
    reply.encode(protocol, &mut out);
    out.freeze()
}

#[test]
fn replies_look_as_in_redis() {
    let entry = Reply::array([
        Reply::Id(StreamId::new(1526919030474, 55)),
        Reply::array(["field", "value"]),
    ]);
    for (reply, old, new) in [
        (Reply::OK, "+OK\r\n", "+OK\r\n"),
        (Reply::error("ERR no"), "-ERR no\r\n", "-ERR no\r\n"),
        (Reply::from(-7), ":-7\r\n", ":-7\r\n"),
        (Reply::from(0), ":0\r\n", ":0\r\n"),
        (Reply::from(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        (Reply::from(i64::MAX), ":9223372036854775807\r\n", ":9223372036854775807\r\n"),
        (Reply::text("hi"), "$2\r\nhi\r\n", "$2\r\nhi\r\n"),
        (Reply::text("\r\n"), "$2\r\n\r\n\r\n", "$2\r\n\r\n\r\n"),
        (Reply::text(""), "$0\r\n\r\n", "$0\r\n\r\n"),
        (Reply::Null, "$-1\r\n", "_\r\n"),
        (Reply::NullArray, "*-1\r\n", "_\r\n"),
        (Reply::from(None::<i64>), "$-1\r\n", "_\r\n"),
        (Reply::EMPTY, "*0\r\n", "*0\r\n"),
        (Reply::from(true), ":1\r\n", "#t\r\n"),
        (Reply::from(false), ":0\r\n", "#f\r\n"),
        (Reply::Double(2.5), "$3\r\n2.5\r\n", ",2.5\r\n"),
        (Reply::Double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (Reply::Verbatim("a:1".into()), "$3\r\na:1\r\n", "=7\r\ntxt:a:1\r\n"),
        (
            Reply::Id(StreamId::MAX),
            "$41\r\n18446744073709551615-18446744073709551615\r\n",
            "$41\r\n18446744073709551615-18446744073709551615\r\n",
        ),
        (Reply::Id(StreamId::MIN), "$3\r\n0-0\r\n", "$3\r\n0-0\r\n"),
        (
            entry,
            "*2\r\n$16\r\n1526919030474-55\r\n*2\r\n$5\r\nfield\r\n$5\r\nvalue\r\n",
            "*2\r\n$16\r\n1526919030474-55\r\n*2\r\n$5\r\nfield\r\n$5\r\nvalue\r\n",
        ),
        (
            Reply::map([("proto", 3.into()), ("role", "master".into())]),
            "*4\r\n$5\r\nproto\r\n:3\r\n$4\r\nrole\r\n$6\r\nmaster\r\n",
            "%2\r\n$5\r\nproto\r\n:3\r\n$4\r\nrole\r\n$6\r\nmaster\r\n",
        ),
        (Reply::Set(vec![1.into(), 2.into()]), "*2\r\n:1\r\n:2\r\n", "~2\r\n:1\r\n:2\r\n"),
        (Reply::Push(vec!["message".into()]), "*1\r\n$7\r\nmessage\r\n", ">1\r\n$7\r\nmessage\r\n"),
    ] {
        assert_eq!(encoded(&reply, Protocol::Resp2), old, "{reply:?}");
        assert_eq!(encoded(&reply, Protocol::Resp3), new, "{reply:?}");
    }
}

#[test]
fn errors_stay_on_one_line() {
    for (text, line) in [
        ("ERR a\r\n+OK\r\n", "-ERR a  +OK\r\n"),
        ("ERR a\nb\rc", "-ERR a b c\r\n"),
        ("ERR begins with: 'a' ", "-ERR begins with: 'a' \r\n"),
        ("\r\n", "-\r\n"),
    ] {
        assert_eq!(encoded(&Reply::error(text), Protocol::Resp3), line);
    }
    assert_eq!(encoded(&Reply::Simple("a\r\nb"), Protocol::Resp2), "+a  b\r\n");
}

#[test]
fn protocols_are_named_by_number() {
    for (number, protocol) in [(2, Some(Protocol::Resp2)), (3, Some(Protocol::Resp3))] {
        assert_eq!(Protocol::from_number(number), protocol);
        assert_eq!(protocol.map(Protocol::number), Some(number));
    }
    assert_eq!(Protocol::from_number(9), None);
    assert_eq!(Protocol::default(), Protocol::Resp2);
}

/// What a RESP2 client should find.
fn as_old(reply: &Reply) -> Frame2 {
    let array = |parts: &[Reply]| Frame2::Array(parts.iter().map(as_old).collect());
    let bulk = |text: String| Frame2::BulkString(text.into());
    match reply {
        Reply::Simple(text) => Frame2::SimpleString((*text).into()),
        Reply::Error(text) => Frame2::Error(std::str::from_utf8(text).unwrap().into()),
        Reply::Integer(value) => Frame2::Integer(*value),
        Reply::Boolean(value) => Frame2::Integer((*value).into()),
        Reply::Bulk(data) | Reply::Verbatim(data) => Frame2::BulkString(data.clone()),
        Reply::Id(id) => bulk(id.to_string()),
        Reply::Double(value) => bulk(number::float_text(*value)),
        Reply::Null | Reply::NullArray => Frame2::Null,
        Reply::Array(parts) | Reply::Set(parts) | Reply::Push(parts) => array(parts),
        Reply::Map(pairs) => Frame2::Array(
            pairs.iter().flat_map(|(key, value)| [as_old(key), as_old(value)]).collect(),
        ),
    }
}

/// What a RESP3 client should find.
fn as_new(reply: &Reply) -> Frame3 {
    let attributes = None;
    let all = |parts: &[Reply]| parts.iter().map(as_new).collect::<Vec<_>>();
    match reply {
        Reply::Simple(text) => Frame3::SimpleString { data: (*text).into(), attributes },
        Reply::Error(text) => {
            Frame3::SimpleError { data: std::str::from_utf8(text).unwrap().into(), attributes }
        }
        Reply::Integer(data) => Frame3::Number { data: *data, attributes },
        Reply::Boolean(data) => Frame3::Boolean { data: *data, attributes },
        Reply::Bulk(data) => Frame3::BlobString { data: data.clone(), attributes },
        Reply::Verbatim(data) => Frame3::VerbatimString {
            data: data.clone(),
            format: VerbatimStringFormat::Text,
            attributes,
        },
        Reply::Id(id) => Frame3::BlobString { data: id.to_string().into(), attributes },
        Reply::Double(data) => Frame3::Double { data: *data, attributes },
        Reply::Null | Reply::NullArray => Frame3::Null,
        Reply::Array(parts) => Frame3::Array { data: all(parts), attributes },
        Reply::Push(parts) => Frame3::Push { data: all(parts), attributes },
        Reply::Set(parts) => Frame3::Set { data: all(parts).into_iter().collect(), attributes },
        Reply::Map(pairs) => Frame3::Map {
            data: pairs.iter().map(|(key, value)| (as_new(key), as_new(value))).collect(),
            attributes,
        },
    }
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        Just(Reply::OK),
        "[A-Z]{3,9} [ -~]{0,39}[!-~]".prop_map(Reply::error),
        any::<i64>().prop_map(Reply::Integer),
        bytes().prop_map(Reply::Bulk),
        bytes().prop_map(Reply::Verbatim),
        any::<(u64, u64)>().prop_map(|(ms, seq)| Reply::Id(StreamId::new(ms, seq))),
        any::<f64>().prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Boolean),
        Just(Reply::Null),
        Just(Reply::NullArray),
    ];
    let tree = leaf.prop_recursive(4, 40, 6, |part| {
        // The foreign decoder keeps maps and sets by their keys, so those are single here.
        prop_oneof![
            vec(part.clone(), 0..6).prop_map(Reply::Array),
            btree_set(bytes(), 0..6)
                .prop_map(|parts| Reply::Set(parts.into_iter().map(Reply::Bulk).collect())),
            btree_map(bytes(), part, 0..6).prop_map(|pairs| {
                Reply::Map(
                    pairs.into_iter().map(|(key, value)| (Reply::Bulk(key), value)).collect(),
                )
            }),
        ]
    });
    prop_oneof![8 => tree.clone(), 1 => vec(tree, 1..4).prop_map(Reply::Push)]
}

proptest! {
    #[test]
    fn foreign_decoder_reads_the_same(reply in reply()) {
        let old = encoded(&reply, Protocol::Resp2);
        let (frame, len) = foreign_decode2(&old).unwrap().unwrap();
        prop_assert_eq!((frame, len), (as_old(&reply), old.len()));
        let new = encoded(&reply, Protocol::Resp3);
        let (frame, len) = foreign_decode3(&new).unwrap().unwrap();
        prop_assert_eq!((frame, len), (as_new(&reply), new.len()));
    }

    #[test]
    fn any_error_is_one_line(text in vec(any::<u8>(), 0..60)) {
        let line = encoded(&Reply::error(text), Protocol::Resp2);
        prop_assert!(line.starts_with(b"-") && line.ends_with(b"\r\n"));
        prop_assert!(!line[..line.len() - 2].iter().any(|byte| b"\r\n".contains(byte)));
    }
}

/// Prints how fast a batch for a busy consumer is built and written; run it with
/// `cargo test --release --lib -- --ignored --nocapture entries_per_second`.
#[test]
#[ignore = "a measurement, not a test"]
fn entries_per_second() {
    const COUNT: u64 = 100;
    const ROUNDS: u64 = 30_000;
    let payload = Bytes::from(vec![b'x'; 200]);
    let mut out = BytesMut::with_capacity(64 * 1_024);
    let watch = Stopwatch::start();
    for _ in 0..ROUNDS {
        let entry = |seq| {
            let fields = Reply::Array(vec![Reply::text("payload"), Reply::Bulk(payload.clone())]);
            Reply::Array(vec![Reply::Id(StreamId::new(1_526_919_030_474, seq)), fields])
        };
        Reply::Array((0..COUNT).map(entry).collect()).encode(Protocol::Resp3, &mut out);
        std::hint::black_box(&out);
        out.clear();
    }
    let tree = watch.elapsed();
    let watch = Stopwatch::start();
    for _ in 0..ROUNDS {
        let mut writer = Writer::new(&mut out, Protocol::Resp3);
        writer.array(COUNT as usize);
        for seq in 0..COUNT {
            writer.array(2);
            writer.id(StreamId::new(1_526_919_030_474, seq));
            writer.array(2);
            writer.bulk(b"payload");
            writer.bulk(&payload);
        }
        std::hint::black_box(&out);
        out.clear();
    }
    let direct = watch.elapsed();
    for (name, elapsed) in [("as a value", tree), ("written directly", direct)] {
        let each = elapsed.as_nanos() as f64 / (COUNT * ROUNDS) as f64;
        println!("{name}: {:.2} million entries/s, {each:.0} ns each", 1e3 / each);
    }
}
