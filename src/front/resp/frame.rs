//! Cuts requests out of the bytes that a client sent: arrays of bulk strings, and inline lines.
//!
//! The decoder never waits and never fails for want of bytes: a request that is not complete is
//! `None`, and the next call goes on where this one stopped, so that a large argument arriving in
//! small pieces is not read again and again. Arguments are slices of the buffer, not copies.
//!
//! Every length is held against its limit when it is declared, before anything is set aside for
//! it. What the decoder holds grows only with bytes that have arrived.
//!
//! Errors have Redis's words. After one the place of the next request is unknown, so the decoder
//! stays failed; the connection tells its client and closes.
//!
//! ```
//! use bytes::BytesMut;
//! use tidegate::front::resp::frame::{Decoder, Limits};
//!
//! let mut decoder = Decoder::new(Limits::default());
//! let mut buffer = BytesMut::from("*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n*1\r\n$4\r\nPI");
//! let echo = decoder.decode(&mut buffer).unwrap().unwrap();
//! assert_eq!((echo.name, echo.args), ("ECHO".into(), vec!["hi".into()]));
//! assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap().name, "PING");
//! assert_eq!(decoder.decode(&mut buffer), Ok(None));
//! buffer.extend_from_slice(b"NG\r\n");
//! assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap().name, "PING");
//! ```

use std::borrow::Cow;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::inline;
use super::number;
use super::reply::Reply;
use super::request::Request;

/// Arguments, the name among them, that a client may send before it has logged in, as in Redis.
const LOGIN_ARGUMENTS_MAX: usize = 10;
/// Bytes of an argument that a client may send before it has logged in, as in Redis.
const LOGIN_ARGUMENT_BYTES_MAX: usize = 16 * 1_024;
/// Room for marks of arguments that is kept from one request to the next.
const MARKS_KEPT_MAX: usize = 1_024;
/// Most digits of a length that is read the quick way; any number of them fits an `i64`.
const QUICK_DIGITS_MAX: usize = 9;
/// Room to read into while nothing is known of what comes.
const READ_BYTES: usize = 16 * 1_024;

/// What one request may take. A request is flat by nature, so depth needs no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument.
    pub argument_bytes_max: usize,
    /// Arguments, the name among them.
    pub arguments_max: usize,
    /// Bytes of a whole request as sent; never more than 4 GiB.
    pub request_bytes_max: usize,
    /// Bytes of an inline request, and of any line that should be a number.
    pub inline_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            argument_bytes_max: 16 * 1_024 * 1_024,
            arguments_max: 65_536,
            request_bytes_max: 32 * 1_024 * 1_024,
            inline_bytes_max: 64 * 1_024,
        }
    }
}

/// Why a connection has to end. Prints without the code; as a [`Reply`] it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The number of arguments is no number, or above its limit.
    MultibulkLength,
    /// The length of an argument is no number, below zero, or above its limit.
    BulkLength,
    /// Something else than an argument.
    NotABulk(u8),
    /// An argument is longer than was said.
    BulkEnd,
    MultibulkLineTooBig,
    BulkLineTooBig,
    InlineTooBig,
    RequestTooBig,
    UnbalancedQuotes,
    /// Too many arguments for a client that has not logged in.
    LoginMultibulk,
    /// Too long an argument for a client that has not logged in.
    LoginBulk,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            FrameError::MultibulkLength => "invalid multibulk length",
            FrameError::BulkLength => "invalid bulk length",
            FrameError::NotABulk(got) if got.is_ascii_graphic() || *got == b' ' => {
                return write!(f, "expected '$', got '{}'", char::from(*got));
            }
            FrameError::NotABulk(got) => {
                return write!(f, "expected '$', got '{}'", got.escape_ascii());
            }
            FrameError::BulkEnd => "expected CRLF after bulk",
            FrameError::MultibulkLineTooBig => "too big mbulk count string",
            FrameError::BulkLineTooBig => "too big bulk count string",
            FrameError::InlineTooBig => "too big inline request",
            FrameError::RequestTooBig => "too big request",
            FrameError::UnbalancedQuotes => "unbalanced quotes in request",
            FrameError::LoginMultibulk => "unauthenticated multibulk length",
            FrameError::LoginBulk => "unauthenticated bulk length",
        })
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for Reply {
    fn from(error: FrameError) -> Reply {
        Reply::error(format!("ERR {error}"))
    }
}

/// Cuts the requests of one connection out of its buffer.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The client has yet to log in, so little is taken from it.
    pub login_required: bool,
    /// Arguments of the request under way that are still to come; 0 between requests.
    missing: usize,
    /// How much of the buffer is read and understood.
    at: usize,
    /// Length of the argument at `at`, once its own line is read.
    bulk: Option<usize>,
    /// How much of the buffer was searched for the end of a line.
    searched: usize,
    /// Start and end of the arguments read so far.
    marks: Vec<(u32, u32)>,
    failed: Option<FrameError>,
}

impl Decoder {
    pub fn new(limits: Limits) -> Decoder {
        // Marks are kept small; a larger request could not be marked.
        let request_bytes_max = limits.request_bytes_max.min(u32::MAX as usize);
        Decoder {
            limits: Limits { request_bytes_max, ..limits },
            login_required: false,
            missing: 0,
            at: 0,
            bulk: None,
            searched: 0,
            marks: Vec::new(),
            failed: None,
        }
    }

    /// Takes the next request from the front of `buffer`; `None` until it is complete.
    ///
    /// Between calls the buffer may only grow at its end. Requests without any argument are
    /// skipped, as Redis does.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let decoded = self.decode_next(buffer);
        if let Err(error) = decoded {
            self.failed = Some(error);
            self.marks = Vec::new();
        }
        decoded
    }

    /// How much room to make before the next read, with `buffered` bytes at hand. A large
    /// argument gets room in proportion to what has arrived: a declared length alone costs nothing.
    pub fn room_wanted(&self, buffered: usize) -> usize {
        let lacking = self.bulk.map_or(0, |length| (self.at + length + 2).saturating_sub(buffered));
        lacking.min(buffered).max(READ_BYTES)
    }

    fn decode_next(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, FrameError> {
        while self.missing == 0 {
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some((count, end)) = self.read_count(buffer)? else { return Ok(None) };
                    if count == 0 {
                        buffer.advance(end);
                        self.searched = 0;
                    } else {
                        (self.missing, self.at) = (count, end);
                    }
                }
                Some(_) => {
                    let Some(line) = self.take_line(buffer)? else { return Ok(None) };
                    let request = self.split_line(&line)?;
                    if request.is_some() {
                        return Ok(request);
                    }
                }
            }
        }
        if self.read_arguments(buffer)? { Ok(Some(self.take_request(buffer))) } else { Ok(None) }
    }

    /// The number of arguments, and where the first one starts.
    fn read_count(&mut self, bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let line = self.read_number(bytes, FrameError::MultibulkLength);
        let Some((count, end)) = line? else { return Ok(None) };
        // Redis takes a negative number for none.
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        if count > self.limits.arguments_max {
            return Err(FrameError::MultibulkLength);
        }
        if self.login_required && count > LOGIN_ARGUMENTS_MAX {
            return Err(FrameError::LoginMultibulk);
        }
        Ok(Some((count, end)))
    }

    /// Marks the arguments that are complete; whether that is all of them.
    fn read_arguments(&mut self, bytes: &[u8]) -> Result<bool, FrameError> {
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.read_length(bytes)? {
                    Some(length) => length,
                    None => return Ok(false),
                },
            };
            let end = self.at + length;
            match bytes.get(end..end + 2) {
                Some(b"\r\n") => {}
                Some(_) => return Err(FrameError::BulkEnd),
                None => {
                    self.bulk = Some(length);
                    return Ok(false);
                }
            }
            self.marks.push((self.at as u32, end as u32));
            self.at = end + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        Ok(true)
    }

    /// The length of the argument that comes now; `at` moves to its first byte.
    fn read_length(&mut self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        match bytes.get(self.at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(FrameError::NotABulk(*other)),
        }
        let line = self.read_number(bytes, FrameError::BulkLength);
        let Some((length, start)) = line? else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| FrameError::BulkLength)?;
        if length > self.limits.argument_bytes_max {
            return Err(FrameError::BulkLength);
        }
        if self.login_required && length > LOGIN_ARGUMENT_BYTES_MAX {
            return Err(FrameError::LoginBulk);
        }
        if start.saturating_add(length).saturating_add(2) > self.limits.request_bytes_max {
            return Err(FrameError::RequestTooBig);
        }
        self.at = start;
        Ok(Some(length))
    }

    /// The number in the line at `at`, behind its sign, and where the next line starts.
    fn read_number(
        &mut self,
        bytes: &[u8],
        invalid: FrameError,
    ) -> Result<Option<(i64, usize)>, FrameError> {
        let start = self.at + 1;
        match quick_number(&bytes[start..]) {
            Some((value, len)) => Ok(Some((value, start + len))),
            None => self.read_number_slowly(bytes, start, invalid),
        }
    }

    /// As [`Decoder::read_number`], for lines that are cut off, odd or wrong.
    #[cold]
    fn read_number_slowly(
        &mut self,
        bytes: &[u8],
        start: usize,
        invalid: FrameError,
    ) -> Result<Option<(i64, usize)>, FrameError> {
        let Some(end) = self.find(b'\r', start, bytes) else {
            if bytes.len() - start <= self.limits.inline_bytes_max {
                return Ok(None);
            }
            return Err(match invalid {
                FrameError::MultibulkLength => FrameError::MultibulkLineTooBig,
                _ => FrameError::BulkLineTooBig,
            });
        };
        match bytes.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => match number::integer(&bytes[start..end]) {
                Some(value) => Ok(Some((value, end + 2))),
                None => Err(invalid),
            },
            Some(_) => Err(invalid),
        }
    }

    /// Where `byte` is in the line that begins at `start`, as far as a line may reach. What was
    /// searched in vain is not searched again when more has arrived.
    fn find(&mut self, byte: u8, start: usize, bytes: &[u8]) -> Option<usize> {
        let from = self.searched.max(start);
        let to = bytes.len().min(start.saturating_add(self.limits.inline_bytes_max + 1));
        let found = bytes.get(from..to)?.iter().position(|other| *other == byte);
        self.searched = found.map_or(to, |offset| from + offset);
        found.map(|offset| from + offset)
    }

    /// An inline request, without the end of its line.
    fn take_line(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let Some(end) = self.find(b'\n', 0, buffer) else {
            let too_big = buffer.len() > self.limits.inline_bytes_max;
            return if too_big { Err(FrameError::InlineTooBig) } else { Ok(None) };
        };
        self.searched = 0;
        let mut line = buffer.split_to(end + 1).freeze();
        line.truncate(if line[..end].ends_with(b"\r") { end - 1 } else { end });
        Ok(Some(line))
    }

    fn split_line(&self, line: &Bytes) -> Result<Option<Request>, FrameError> {
        let parts = inline::split(line).map_err(|_| FrameError::UnbalancedQuotes)?;
        if parts.len() > self.limits.arguments_max {
            return Err(FrameError::InlineTooBig);
        }
        let mut parts = parts.into_iter().map(|part| match part {
            Cow::Borrowed(part) => line.slice_ref(part),
            Cow::Owned(part) => Bytes::from(part),
        });
        let Some(name) = parts.next() else { return Ok(None) };
        Ok(Some(Request { name, args: parts.collect() }))
    }

    /// Cuts the request off whose arguments are all marked.
    fn take_request(&mut self, buffer: &mut BytesMut) -> Request {
        let mut name = buffer.split_to(self.at).freeze();
        let slice = |(start, end): &(u32, u32)| name.slice(*start as usize..*end as usize);
        let args = self.marks.iter().skip(1).map(slice).collect();
        // The name takes over the frame: each slice costs two atomic steps in its life.
        let (start, end) = self.marks.first().copied().unwrap_or_default();
        name.truncate(end as usize);
        name.advance(start as usize);
        self.marks.clear();
        // One huge request must not make the connection hold on to its marks for ever.
        self.marks.shrink_to(MARKS_KEPT_MAX);
        (self.at, self.searched) = (0, 0);
        Request { name, args }
    }
}

/// The number that opens `bytes`, and the length of its line, if that line is complete and short,
/// as nearly all are.
fn quick_number(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(QUICK_DIGITS_MAX + 1).enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'\r' => {
                let plain = bytes[0] != b'0' || at == 1;
                let ends = bytes.get(at + 1) == Some(&b'\n');
                return (at > 0 && plain && ends).then_some((value, at + 2));
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
