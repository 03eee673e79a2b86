//! A request as the commands see it: a name, and a cursor that walks the arguments and complains
//! in Redis's own words.
//!
//! Nothing here allocates on the good path, and nothing knows a command: which words follow which
//! is said where the command is.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::number;
use super::reply::Reply;
use super::stream_id::{self, StreamId};

/// Longest option or command that [`Word`] knows; none of Redis is longer.
const WORD_BYTES_MAX: usize = 32;
/// How much of a client's text an error message repeats, as in Redis.
const ECHO_BYTES_MAX: usize = 128;

/// One request of a client.
///
/// Name and arguments share one buffer with the requests around them: what is kept for long must
/// be copied, or a few bytes hold on to the whole read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As sent, in any case.
    pub name: Bytes,
    pub args: Vec<Bytes>,
}

impl Request {
    /// The name as a word to match on.
    pub fn word(&self) -> Word {
        Word::new(&self.name)
    }

    pub fn arguments(&self) -> Arguments<'_> {
        Arguments { rest: &self.args }
    }

    /// Bytes of name and arguments.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.args.iter().map(Bytes::len).sum::<usize>()
    }

    /// A copy that shares its bytes with no other request.
    pub fn detached(&self) -> Request {
        let mut all = BytesMut::with_capacity(self.bytes());
        for part in std::iter::once(&self.name).chain(&self.args) {
            all.extend_from_slice(part);
        }
        let mut all = all.freeze();
        let mut copy = |part: &Bytes| all.split_to(part.len());
        Request { name: copy(&self.name), args: self.args.iter().map(copy).collect() }
    }

    /// Redis's answer to a name that is no command.
    pub fn unknown_command(&self) -> Reply {
        let mut text = b"ERR unknown command '".to_vec();
        text.extend_from_slice(echo(&self.name, ECHO_BYTES_MAX));
        text.extend_from_slice(b"', with args beginning with: ");
        let start = text.len();
        for arg in &self.args {
            let used = text.len() - start;
            if used >= ECHO_BYTES_MAX {
                break;
            }
            text.push(b'\'');
            text.extend_from_slice(echo(arg, ECHO_BYTES_MAX - used));
            text.extend_from_slice(b"' ");
        }
        Reply::error(text)
    }

    /// Redis's answer to arguments that are not understood.
    pub fn malformed(&self, malformed: Malformed) -> Reply {
        match malformed {
            Malformed::Unrecognized { left } => {
                let mut text = b"ERR Unrecognized XCLAIM option '".to_vec();
                text.extend_from_slice(echo(self.argument_before(left), ECHO_BYTES_MAX));
                text.push(b'\'');
                Reply::error(text)
            }
            Malformed::Unsupported { left } => {
                let mut text = b"ERR Unsupported option ".to_vec();
                text.extend_from_slice(echo(self.argument_before(left), ECHO_BYTES_MAX));
                Reply::error(text)
            }
            Malformed::Subcommand(command) => self.unknown_subcommand(command),
            Malformed::SubcommandSyntax(command) => {
                let mut text =
                    b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
                let given = self.args.first().unwrap_or(&self.name);
                text.extend_from_slice(echo(given, ECHO_BYTES_MAX));
                text.extend_from_slice(
                    format!("'. Try {} HELP.", command.to_uppercase()).as_bytes(),
                );
                Reply::error(text)
            }
            other => Reply::from(other),
        }
    }

    /// The argument with so many behind it.
    fn argument_before(&self, left: usize) -> &Bytes {
        let at = self.args.len().checked_sub(left + 1);
        at.and_then(|at| self.args.get(at)).unwrap_or(&self.name)
    }

    /// Redis's answer to a first argument that is no subcommand of `command`.
    pub fn unknown_subcommand(&self, command: &str) -> Reply {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend_from_slice(echo(self.args.first().unwrap_or(&self.name), ECHO_BYTES_MAX));
        text.extend_from_slice(format!("'. Try {} HELP.", command.to_uppercase()).as_bytes());
        Reply::error(text)
    }
}

/// The part of `text` that a message may repeat.
fn echo(text: &[u8], bytes_max: usize) -> &[u8] {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    &text[..end.min(bytes_max)]
}

/// Whether `text` is `word`, in any case.
pub fn is_word(text: &[u8], word: &str) -> bool {
    text.eq_ignore_ascii_case(word.as_bytes())
}

/// A word of a request in capitals, kept in place, so that a `match` can tell all cases apart.
#[derive(Clone, Copy)]
pub struct Word {
    bytes: [u8; WORD_BYTES_MAX],
    len: u8,
}

impl Word {
    pub fn new(text: &[u8]) -> Word {
        let mut word = Word { bytes: [0; WORD_BYTES_MAX], len: 0 };
        // Whatever is longer or not ASCII is no word of ours, and so becomes the empty one.
        if text.len() <= WORD_BYTES_MAX && text.is_ascii() {
            word.bytes[..text.len()].copy_from_slice(text);
            word.bytes[..text.len()].make_ascii_uppercase();
            word.len = text.len() as u8;
        }
        word
    }

    /// In capitals; empty for what cannot be a word.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Walks the arguments of a request from left to right.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    rest: &'a [Bytes],
}

impl<'a> Arguments<'a> {
    pub fn new(args: &'a [Bytes]) -> Arguments<'a> {
        Arguments { rest: args }
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn peek(&self) -> Option<&'a Bytes> {
        self.rest.first()
    }

    /// The next argument; a missing one is a syntax error, since arity was checked before.
    #[expect(clippy::should_implement_trait, reason = "a missing argument is an error here")]
    pub fn next(&mut self) -> Result<&'a Bytes, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed::Syntax)?;
        self.rest = rest;
        Ok(first)
    }

    /// The next argument as a word to match on.
    pub fn next_word(&mut self) -> Result<Word, Malformed> {
        self.next().map(|text| Word::new(text))
    }

    /// Steps over the next argument if it is `word`.
    pub fn accept(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|text| is_word(text, word));
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    pub fn next_i64(&mut self) -> Result<i64, Malformed> {
        number::integer(self.next()?).ok_or(Malformed::Integer)
    }

    pub fn next_u64(&mut self) -> Result<u64, Malformed> {
        number::unsigned(self.next()?).ok_or(Malformed::Integer)
    }

    pub fn next_f64(&mut self) -> Result<f64, Malformed> {
        number::float(self.next()?).ok_or(Malformed::Float)
    }

    /// An exact id; a bare number of milliseconds means the first id in it.
    pub fn next_id(&mut self) -> Result<StreamId, Malformed> {
        stream_id::exact(self.next()?, 0)
    }

    /// The next `count` arguments; fewer are a syntax error.
    pub fn take(&mut self, count: usize) -> Result<&'a [Bytes], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Syntax)?;
        self.rest = rest;
        Ok(taken)
    }

    /// All that are left.
    pub fn rest(&mut self) -> &'a [Bytes] {
        std::mem::take(&mut self.rest)
    }

    /// Anything left is a syntax error.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed::Syntax) }
    }
}

/// What is wrong with the arguments of a request; prints as Redis's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Syntax,
    /// Not a whole number, or out of range.
    Integer,
    Float,
    StreamId,
    /// Nothing lies behind an exclusive start.
    RangeStart,
    /// Nothing lies before an exclusive end.
    RangeEnd,
    /// Too few or too many arguments for this command, named in small letters as `xadd` or
    /// `xgroup|create`.
    Arity(&'static str),
    /// A whole message that only one command has.
    Text(&'static str),
    /// An option that XCLAIM does not know, with so many arguments behind it.
    Unrecognized {
        left: usize,
    },
    /// An option that EXPIRE does not know, with so many arguments behind it.
    Unsupported {
        left: usize,
    },
    /// A subcommand that this command does not know.
    Subcommand(&'static str),
    /// What follows this subcommand of a command is not understood.
    SubcommandSyntax(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Syntax => "ERR syntax error",
            Malformed::Integer => "ERR value is not an integer or out of range",
            Malformed::Float => "ERR value is not a valid float",
            Malformed::StreamId => "ERR Invalid stream ID specified as stream command argument",
            Malformed::RangeStart => "ERR invalid start ID for the interval",
            Malformed::RangeEnd => "ERR invalid end ID for the interval",
            Malformed::Arity(command) => {
                return write!(f, "ERR wrong number of arguments for '{command}' command");
            }
            Malformed::Text(text) => text,
            Malformed::Unrecognized { .. } => "ERR Unrecognized XCLAIM option",
            Malformed::Unsupported { .. } => "ERR Unsupported option",
            Malformed::Subcommand(command) | Malformed::SubcommandSyntax(command) => {
                return write!(f, "ERR unknown subcommand of '{command}'");
            }
        })
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for Reply {
    fn from(malformed: Malformed) -> Reply {
        match malformed {
            Malformed::Text(text) => Reply::error(text),
            other => Reply::error(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&'static str]) -> Request {
        let mut words = words.iter().map(|word| Bytes::from_static(word.as_bytes()));
        Request { name: words.next().unwrap(), args: words.collect() }
    }

    #[test]
    fn words_match_in_any_case() {
        assert!(is_word(b"mAxLen", "MAXLEN"));
        assert!(!is_word(b"maxlen2", "MAXLEN"));
        assert_eq!(Word::new(b"xReadGroup").as_str(), "XREADGROUP");
        assert_eq!(Word::new(&[b'a'; 32]).as_str(), "A".repeat(32));
        for no_word in [&[b'a'; 33][..], b"", b"\xc3\xa4", b"\xff"] {
            assert_eq!(Word::new(no_word).as_str(), "");
        }
    }

    #[test]
    fn cursor_walks_arguments_in_order() {
        let request = request(&["xadd", "k", "maxLEN", "~", "10", "-5", "1.5", "7-1", "a", "b"]);
        let mut args = request.arguments();
        assert_eq!(request.word().as_str(), "XADD");
        assert_eq!(args.len(), 9);
        assert_eq!(args.next().unwrap(), "k");
        assert!(!args.accept("MINID"));
        assert!(args.accept("MAXLEN"));
        assert_eq!(args.next_word().unwrap().as_str(), "~");
        assert_eq!(args.next_u64(), Ok(10));
        assert_eq!(args.next_i64(), Ok(-5));
        assert_eq!(args.next_f64(), Ok(1.5));
        assert_eq!(args.next_id(), Ok(StreamId::new(7, 1)));
        assert_eq!(args.end(), Err(Malformed::Syntax));
        assert_eq!(args.take(3), Err(Malformed::Syntax));
        assert_eq!(args.clone().take(2), Ok(&request.args[7..]));
        assert_eq!(args.rest(), &request.args[7..]);
        assert!(args.is_empty() && args.peek().is_none() && args.end().is_ok());
        assert_eq!(args.next(), Err(Malformed::Syntax));
    }

    #[test]
    fn bad_arguments_have_redis_words() {
        let request = request(&["x", "-1"]);
        let args = || request.arguments();
        for (malformed, text) in [
            (args().next_u64().unwrap_err(), "ERR value is not an integer or out of range"),
            (
                args().next_id().unwrap_err(),
                "ERR Invalid stream ID specified as stream command argument",
            ),
            (Malformed::Float, "ERR value is not a valid float"),
            (Malformed::Syntax, "ERR syntax error"),
            (Malformed::Arity("xadd"), "ERR wrong number of arguments for 'xadd' command"),
            (Malformed::Text("ERR timeout is negative"), "ERR timeout is negative"),
        ] {
            assert_eq!(malformed.to_string(), text);
            assert_eq!(Reply::from(malformed), Reply::error(text));
        }
    }

    #[test]
    fn unknown_commands_are_repeated_shortened() {
        for (words, text) in [
            (vec!["nope"], "ERR unknown command 'nope', with args beginning with: "),
            (
                vec!["nope", "a", "b\0c"],
                "ERR unknown command 'nope', with args beginning with: 'a' 'b' ",
            ),
        ] {
            assert_eq!(request(&words).unknown_command(), Reply::error(text));
        }
        let long = "x".repeat(1000).leak();
        let Reply::Error(text) = request(&[long, long, long]).unknown_command() else { panic!() };
        assert_eq!(
            text.len(),
            128 + 128 + "ERR unknown command '', with args beginning with: '' ".len()
        );
        assert_eq!(
            request(&["xgroup", "nope"]).unknown_subcommand("xgroup"),
            Reply::error("ERR unknown subcommand 'nope'. Try XGROUP HELP.")
        );
    }
}
