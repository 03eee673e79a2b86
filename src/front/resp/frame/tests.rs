//! The decoder against all ways to cut its input, a foreign encoder, and bytes without sense.

use bytes::BufMut;
use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::resp2::encode::extend_encode as foreign_encode;
use redis_protocol::resp2::types::BytesFrame;

use super::*;
use crate::base::time::Stopwatch;
use crate::front::resp::writer::{Protocol, Writer};

type Words = Vec<Vec<u8>>;

fn small() -> Limits {
    Limits {
        argument_bytes_max: 40,
        arguments_max: 5,
        request_bytes_max: 104,
        inline_bytes_max: 30,
    }
}

/// All requests of `chunks`, read one after the other, and the error that ends them.
fn decode_with(mut decoder: Decoder, chunks: &[&[u8]]) -> (Vec<Words>, Option<FrameError>) {
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(request)) => {
                    let args = request.args.iter().map(|arg| arg.to_vec());
                    found.push([request.name.to_vec()].into_iter().chain(args).collect());
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buffer), Err(error), "it stays failed");
                    return (found, Some(error));
                }
            }
        }
    }
    (found, None)
}

fn decode(limits: Limits, chunks: &[&[u8]]) -> (Vec<Words>, Option<FrameError>) {
    decode_with(Decoder::new(limits), chunks)
}

/// `SET k v|PING !error`: one word per argument, requests apart by `|`.
fn shown((requests, error): (Vec<Words>, Option<FrameError>)) -> String {
    let word = |word: &Vec<u8>| word.escape_ascii().to_string();
    let request = |words: &Words| words.iter().map(word).collect::<Vec<_>>().join(" ");
    let mut text = requests.iter().map(request).collect::<Vec<_>>().join("|");
    if let Some(error) = error {
        text.push('!');
        text.push_str(error.to_string().strip_prefix("Protocol error: ").unwrap());
    }
    text
}

/// Decodes `input` whole, in bytes, and cut in two at every place, always with the same result.
fn check(limits: Limits, input: &[u8], expected: &str) {
    let name = input.escape_ascii().to_string();
    assert_eq!(shown(decode(limits, &[input])), expected, "{name}");
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(shown(decode(limits, &bytes)), expected, "{name} byte by byte");
    for at in 0..input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(shown(decode(limits, &[first, second])), expected, "{name} cut at {at}");
    }
}

#[test]
fn requests_come_out_in_order() {
    for (input, expected) in [
        (&b""[..], ""),
        (b"*1\r\n$4\r\nPING\r\n", "PING"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", "SET k "),
        (b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n", "PING|ECHO hi|PING"),
        (b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n$1\r\n", r"ECHO \r\n$1"),
        (b"*2\r\n$3\r\n\xff\0\n\r\n$1\r\n*\r\n", r"\xff\x00\n *"),
        (b"*1\r\n$0\r\n\r\n", ""),
        (b"*1\r\n$4\r\nPI", ""),
        (b"*0\r\n*-1\r\n*-99\r\n*1\r\n$4\r\nPING\r\n", "PING"),
        (b"\r\n\n  \r\nPING\r\n\r\n", "PING"),
        (b"set k \"a b\"\nget 'k'\r\n", "set k a b|get k"),
        (b"$4\r\nPING\r\n", "$4|PING"),
        (b"PING\r\r\n", r"PING"),
        (b"\0PING\r\n", r"\x00PING"),
    ] {
        check(small(), input, expected);
    }
}

#[test]
fn broken_frames_have_redis_words() {
    for (input, expected) in [
        (&b"*x\r\n"[..], "!invalid multibulk length"),
        (b"*\r\n", "!invalid multibulk length"),
        (b"*+1\r\n", "!invalid multibulk length"),
        (b"*01\r\n", "!invalid multibulk length"),
        (b"*1 \r\n", "!invalid multibulk length"),
        (b"*1\rx", "!invalid multibulk length"),
        (b"*3000000000\r\n", "!invalid multibulk length"),
        (b"*1152921504606846976\r\n", "!invalid multibulk length"),
        (b"*99999999999999999999999\r\n", "!invalid multibulk length"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "!expected '$', got 'f'"),
        (b"*1\r\nfoo\r\n", "!expected '$', got 'f'"),
        (b"*1\r\n:1\r\n", "!expected '$', got ':'"),
        (b"*1\r\n*1\r\n$1\r\na\r\n", "!expected '$', got '*'"),
        (b"*1\r\n'\r\n", "!expected '$', got '''"),
        (b"*1\r\n\r\n", "!expected '$', got '\\r'"),
        (b"*1\r\n\xff\r\n", "!expected '$', got '\\xff'"),
        (b"*1\r\n$-1\r\n", "!invalid bulk length"),
        (b"*1\r\n$-10\r\n", "!invalid bulk length"),
        (b"*1\r\n$2000000000\r\n", "!invalid bulk length"),
        (b"*1\r\n$1152921504606846976\r\n", "!invalid bulk length"),
        (b"*1\r\n$blabla\r\n", "!invalid bulk length"),
        (b"*1\r\n$\r\n", "!invalid bulk length"),
        (b"*1\r\n$4\r\r\n", "!invalid bulk length"),
        (b"*1\r\n$4\r\nPINGxx", "!expected CRLF after bulk"),
        (b"PING\n*1\r\n$2\r\nPING\r\n", "PING!expected CRLF after bulk"),
        (b"set \"\"\"test-key\"\"\" test-value\r\n", "!unbalanced quotes in request"),
        (b"PING\r\nget \"k\r\nPING\r\n", "PING!unbalanced quotes in request"),
    ] {
        check(small(), input, expected);
    }
}

#[test]
fn each_limit_holds_to_the_byte() {
    let bulk = |len: usize| format!("${len}\r\n{}\r\n", "a".repeat(len));
    let long = |len: usize| "b".repeat(len);
    for (input, expected) in [
        (format!("*1\r\n{}", bulk(40)), "a".repeat(40)),
        ("*1\r\n$41\r\n".into(), "!invalid bulk length".into()),
        (format!("*5\r\n{}", bulk(1).repeat(5)), "a a a a a".into()),
        ("*6\r\n".into(), "!invalid multibulk length".into()),
        (format!("*3\r\n{0}{0}{1}", bulk(40), bulk(0)), format!("{0} {0} ", "a".repeat(40))),
        (format!("*3\r\n{0}{0}$1\r\n", bulk(40)), "!too big request".into()),
        (format!("{}\n", long(30)), long(30)),
        (long(31), "!too big inline request".into()),
        (format!("{}\n", long(31)), "!too big inline request".into()),
        ("a ".repeat(6) + "\n", "!too big inline request".into()),
        (format!("*{}\r\n", long(30)), "!invalid multibulk length".into()),
        (format!("*{}", long(31)), "!too big mbulk count string".into()),
        (format!("*1\r\n${}\r\n", long(30)), "!invalid bulk length".into()),
        (format!("*1\r\n${}", long(31)), "!too big bulk count string".into()),
        (format!("*{}", "1".repeat(31)), "!too big mbulk count string".into()),
    ] {
        check(small(), input.as_bytes(), &expected);
    }
}

#[test]
fn strangers_may_send_little() {
    let limits = Limits::default();
    let shown_to_stranger = |input: &str| {
        let mut decoder = Decoder::new(limits);
        decoder.login_required = true;
        shown(decode_with(decoder, &[input.as_bytes()]))
    };
    let hello = format!("*10\r\n{}", "$1\r\na\r\n".repeat(10));
    assert_eq!(shown_to_stranger(&hello), "a a a a a a a a a a");
    assert_eq!(shown_to_stranger("*11\r\n"), "!unauthenticated multibulk length");
    assert_eq!(shown_to_stranger("*1\r\n$16384\r\n"), "");
    assert_eq!(shown_to_stranger("*1\r\n$16385\r\n"), "!unauthenticated bulk length");
    check(limits, b"*11\r\n", "");
}

#[test]
fn errors_become_replies_with_code() {
    let reply = Reply::from(FrameError::NotABulk(b'x'));
    assert_eq!(reply, Reply::error("ERR Protocol error: expected '$', got 'x'"));
}

#[test]
fn declared_lengths_cost_nothing() {
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = BytesMut::with_capacity(64);
    buffer.extend_from_slice(b"*65536\r\n$16777216\r\n");
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert_eq!(decoder.marks.capacity(), 0);
    assert_eq!(buffer.capacity(), 64);
    assert_eq!(decoder.room_wanted(buffer.len()), READ_BYTES);
    // Room follows what has come, and ends with the argument.
    assert_eq!(decoder.room_wanted(1_000_000), 1_000_000);
    assert_eq!(decoder.room_wanted(16_700_000), 16_777_216 + 21 - 16_700_000);
    assert_eq!(decoder.room_wanted(20_000_000), READ_BYTES);
}

#[test]
fn marks_of_a_huge_request_are_let_go() {
    let input = format!("*65536\r\n{}", "$0\r\n\r\n".repeat(65_536));
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = BytesMut::from(input.as_bytes());
    assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap().args.len(), 65_535);
    assert!(buffer.is_empty());
    assert!(decoder.marks.capacity() <= MARKS_KEPT_MAX);
}

/// A large argument in small pieces: quadratic work would take minutes here.
#[test]
fn large_arguments_are_not_read_again() {
    let length = 8 * 1_024 * 1_024;
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = BytesMut::from(format!("*1\r\n${length}\r\n").as_bytes());
    for _ in 0..length / 16 {
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        buffer.put_bytes(b'a', 16);
    }
    buffer.extend_from_slice(b"\r\n");
    assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap().name.len(), length);
}

#[test]
fn arguments_are_slices_of_the_buffer() {
    let mut buffer = BytesMut::from(&b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\necho hi\r\n"[..]);
    let all = buffer.as_ptr_range();
    let mut decoder = Decoder::new(Limits::default());
    for _ in 0..2 {
        let request = decoder.decode(&mut buffer).unwrap().unwrap();
        assert!(all.contains(&request.name.as_ptr()) && all.contains(&request.args[0].as_ptr()));
    }
}

fn write(requests: &[Words]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut writer = Writer::new(&mut out, Protocol::Resp2);
    for words in requests {
        writer.array(words.len());
        words.iter().for_each(|word| writer.bulk(word));
    }
    out
}

/// Cuts `input` at `places`, taken as parts of its length.
fn cut<'a>(mut input: &'a [u8], places: &[u16]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for place in places {
        let (chunk, rest) = input.split_at(input.len() * usize::from(*place) / (1 << 16));
        chunks.push(chunk);
        input = rest;
    }
    chunks.push(input);
    chunks
}

fn words() -> impl Strategy<Value = Words> {
    vec(prop_oneof![4 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 100..3_000)], 1..8)
}

/// Bytes that often look like frames.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => proptest::sample::select(vec![
            "*", "$", "\r\n", "*1\r\n", "*3\r\n", "$1\r\n", "$3\r\n", "SET", "a", "0", "-1", "\"", "'",
            "\\", " ", "\n", "\r", "\0", "9999999999", "$3\r\nabc\r\n", "PING\r\n", "*65536\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn requests_survive_any_cut(requests in vec(words(), 0..6), places in vec(any::<u16>(), 0..12)) {
        let bytes = write(&requests);
        prop_assert_eq!(decode(Limits::default(), &cut(&bytes, &places)), (requests, None));
    }

    #[test]
    fn foreign_encodings_are_read(requests in vec(words(), 0..6)) {
        let mut bytes = BytesMut::new();
        for words in &requests {
            let word = |word: &Vec<u8>| BytesFrame::BulkString(word.clone().into());
            let frame = BytesFrame::Array(words.iter().map(word).collect());
            foreign_encode(&mut bytes, &frame, true).unwrap();
        }
        prop_assert_eq!(decode(Limits::default(), &[&bytes]), (requests, None));
    }

    #[test]
    fn any_bytes_decode_alike_however_cut(input in noise(), places in vec(any::<u16>(), 0..12)) {
        for limits in [small(), Limits::default()] {
            let whole = decode(limits, &[&input]);
            prop_assert_eq!(&whole, &decode(limits, &cut(&input, &places)));
            prop_assert_eq!(&whole, &decode(limits, &input.chunks(1).collect::<Vec<_>>()));
        }
    }

    /// What is held follows what has arrived: a mark takes 8 bytes and stands for 6 or more, and a
    /// vector doubles.
    #[test]
    fn any_bytes_take_bounded_memory(input in noise()) {
        let mut decoder = Decoder::new(Limits::default());
        let mut buffer = BytesMut::from(&input[..]);
        let capacity = buffer.capacity();
        while let Ok(Some(request)) = decoder.decode(&mut buffer) {
            let bytes: usize = request.args.iter().map(Bytes::len).sum();
            prop_assert!(bytes + request.name.len() <= input.len());
            prop_assert!(request.args.len() < input.len());
            prop_assert!(request.args.capacity() <= request.args.len().max(4));
        }
        prop_assert!(buffer.capacity() <= capacity);
        prop_assert!(decoder.marks.capacity() * size_of::<(u32, u32)>() <= input.len() * 8 / 3 + 64);
    }
}

/// Prints how fast requests like those of a busy producer are read; run it with
/// `cargo test --release --lib -- --ignored --nocapture requests_per_second`.
#[test]
#[ignore = "a measurement, not a test"]
fn requests_per_second() {
    const PIPELINE: usize = 16;
    const ROUNDS: usize = 200_000;
    let payload = vec![b'x'; 200];
    let words: Words = ["XADD", "jobs", "*", "payload"].map(|w| w.as_bytes().to_vec()).to_vec();
    let request: Words = words.into_iter().chain([payload]).collect();
    let bytes = write(&vec![request; PIPELINE]);
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = BytesMut::new();
    let mut arguments = 0;
    let watch = Stopwatch::start();
    for _ in 0..ROUNDS {
        buffer.reserve(READ_BYTES);
        buffer.extend_from_slice(&bytes);
        while let Some(request) = decoder.decode(&mut buffer).unwrap() {
            arguments += std::hint::black_box(request).args.len();
        }
    }
    let elapsed = watch.elapsed();
    assert_eq!(arguments, ROUNDS * PIPELINE * 4);
    let count = (ROUNDS * PIPELINE) as f64;
    println!(
        "{:.2} million requests/s, {:.0} ns each, {:.2} GB/s",
        count / elapsed.as_secs_f64() / 1e6,
        elapsed.as_nanos() as f64 / count,
        (bytes.len() * ROUNDS) as f64 / elapsed.as_secs_f64() / 1e9
    );
}
