//! Writes replies piece by piece, in the protocol that the connection agreed on.
//!
//! [`super::reply::Reply`] is a value and is written through this; a long reply (a range of a
//! stream) can be written directly and needs no tree. Whoever opens an array says how many parts
//! follow and must write exactly those.

use bytes::{BufMut, BytesMut};

use super::number::{self, DIGITS_MAX};
use super::stream_id::StreamId;

/// The version of the protocol that a connection speaks; every one starts with the older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Protocol {
    /// By the number that HELLO takes.
    pub fn from_number(number: i64) -> Option<Protocol> {
        match number {
            2 => Some(Protocol::Resp2),
            3 => Some(Protocol::Resp3),
            _ => None,
        }
    }

    pub fn number(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// A sign, digits with their own sign, and the end of the line.
const HEADER_BYTES_MAX: usize = 1 + 1 + DIGITS_MAX + 2;
const CRLF: &[u8] = b"\r\n";

/// Appends replies to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut BytesMut, protocol: Protocol) -> Writer<'a> {
        Writer { out, protocol }
    }

    /// A status such as `OK`; line ends in it become blanks.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error, which starts with its code; line ends in it become blanks.
    pub fn error(&mut self, text: &[u8]) {
        let end = text.iter().rposition(|byte| !is_line_end(*byte)).map_or(0, |last| last + 1);
        self.line(b'-', &text[..end]);
    }

    pub fn integer(&mut self, value: i64) {
        self.header(b':', value < 0, value.unsigned_abs());
    }

    pub fn bulk(&mut self, data: &[u8]) {
        self.out.reserve(HEADER_BYTES_MAX + data.len() + CRLF.len());
        self.length(b'$', data.len());
        self.out.put_slice(data);
        self.out.put_slice(CRLF);
    }

    /// An id of a stream as a bulk string.
    pub fn id(&mut self, id: StreamId) {
        let mut text = [0; DIGITS_MAX * 2 + 1];
        let mut len = 0;
        for (part, end) in [(id.ms, &b"-"[..]), (id.seq, b"")] {
            let mut room = [0; DIGITS_MAX];
            for piece in [number::unsigned_text(part, &mut room), end] {
                text[len..len + piece.len()].copy_from_slice(piece);
                len += piece.len();
            }
        }
        self.bulk(&text[..len]);
    }

    /// Nothing, where a string or a number was asked for.
    pub fn null(&mut self) {
        self.out.extend_from_slice(self.either(b"$-1\r\n", b"_\r\n"));
    }

    /// Nothing, where a list was asked for; the older protocol tells the two apart.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(self.either(b"*-1\r\n", b"_\r\n"));
    }

    /// `count` replies follow.
    pub fn array(&mut self, count: usize) {
        self.length(b'*', count);
    }

    /// `pairs` times key and value follow; a flat array in the older protocol.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', pairs * 2),
            Protocol::Resp3 => self.length(b'%', pairs),
        }
    }

    /// `count` replies follow, in no order and without doubles.
    pub fn set(&mut self, count: usize) {
        self.length(self.either(b'*', b'~'), count);
    }

    /// `count` replies follow that nobody asked for.
    pub fn push(&mut self, count: usize) {
        self.length(self.either(b'*', b'>'), count);
    }

    /// A floating point number; its text as a bulk string in the older protocol.
    pub fn double(&mut self, value: f64) {
        let text = number::float_text(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// 1 or 0 in the older protocol.
    pub fn boolean(&mut self, value: bool) {
        let new: &[u8] = if value { b"#t\r\n" } else { b"#f\r\n" };
        let old: &[u8] = if value { b":1\r\n" } else { b":0\r\n" };
        self.out.extend_from_slice(self.either(old, new));
    }

    /// Text for people, such as that of INFO; a bulk string in the older protocol.
    pub fn verbatim(&mut self, text: &[u8]) {
        const FORMAT: &[u8] = b"txt:";
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.out.reserve(HEADER_BYTES_MAX + FORMAT.len() + text.len() + CRLF.len());
                self.length(b'=', FORMAT.len() + text.len());
                self.out.put_slice(FORMAT);
                self.out.put_slice(text);
                self.out.put_slice(CRLF);
            }
        }
    }

    fn either<T>(&self, old: T, new: T) -> T {
        match self.protocol {
            Protocol::Resp2 => old,
            Protocol::Resp3 => new,
        }
    }

    fn length(&mut self, sign: u8, count: usize) {
        self.header(sign, false, count as u64);
    }

    fn header(&mut self, sign: u8, negative: bool, value: u64) {
        let mut room = [0; DIGITS_MAX];
        let digits = number::unsigned_text(value, &mut room);
        // Put together in place: each append to the buffer costs more than the copy.
        let mut line = [0; HEADER_BYTES_MAX];
        line[0] = sign;
        line[1] = b'-';
        let start = if negative { 2 } else { 1 };
        let end = start + digits.len();
        line[start..end].copy_from_slice(digits);
        line[end..end + CRLF.len()].copy_from_slice(CRLF);
        self.out.extend_from_slice(&line[..end + CRLF.len()]);
    }

    /// One line, whatever `text` holds: a client's text in an error must not pass for a reply.
    fn line(&mut self, sign: u8, text: &[u8]) {
        self.out.reserve(1 + text.len() + CRLF.len());
        self.out.put_u8(sign);
        let start = self.out.len();
        self.out.put_slice(text);
        for byte in &mut self.out[start..] {
            if is_line_end(*byte) {
                *byte = b' ';
            }
        }
        self.out.put_slice(CRLF);
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}
