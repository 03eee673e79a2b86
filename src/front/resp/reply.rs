//! A reply as a value: what a command answers, before anyone says in which protocol.
//!
//! Commands return replies, tests compare them, MULTI collects them; how each looks on the wire
//! is `writer.rs`.

use bytes::{Bytes, BytesMut};

use super::stream_id::StreamId;
use super::writer::{Protocol, Writer};

/// An answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A status.
    Simple(&'static str),
    /// An error: its code, a blank, and the message. Bytes, since it may repeat a client's key.
    Error(Bytes),
    Integer(i64),
    Bulk(Bytes),
    /// An id of a stream, a bulk string on the wire; this way it costs no allocation.
    Id(StreamId),
    /// Nothing, where a string or a number was asked for.
    Null,
    /// Nothing, where a list was asked for.
    NullArray,
    Array(Vec<Reply>),
    /// A flat array in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// An array in RESP2.
    Set(Vec<Reply>),
    /// A bulk string in RESP2.
    Double(f64),
    /// 1 or 0 in RESP2.
    Boolean(bool),
    /// Text for people; a bulk string in RESP2.
    Verbatim(Bytes),
    /// A message that answers no request; an array in RESP2.
    Push(Vec<Reply>),
}

impl Reply {
    pub const OK: Reply = Reply::Simple("OK");
    pub const QUEUED: Reply = Reply::Simple("QUEUED");
    pub const PONG: Reply = Reply::Simple("PONG");
    pub const EMPTY: Reply = Reply::Array(Vec::new());

    /// `text` starts with its code: `ERR`, `WRONGTYPE`, `NOGROUP` and so on.
    pub fn error(text: impl Into<Bytes>) -> Reply {
        Reply::Error(text.into())
    }

    pub fn bulk(data: impl Into<Bytes>) -> Reply {
        Reply::Bulk(data.into())
    }

    pub fn text(text: &'static str) -> Reply {
        Reply::Bulk(Bytes::from_static(text.as_bytes()))
    }

    pub fn array<R: Into<Reply>>(parts: impl IntoIterator<Item = R>) -> Reply {
        Reply::Array(parts.into_iter().map(Into::into).collect())
    }

    /// A map whose keys are words of ours.
    pub fn map<const N: usize>(pairs: [(&'static str, Reply); N]) -> Reply {
        Reply::Map(pairs.into_iter().map(|(key, value)| (Reply::text(key), value)).collect())
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Appends the reply to `out`.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        self.write(&mut Writer::new(out, protocol));
    }

    /// Recursion is bounded by the commands: no reply of theirs nests deeper than a handful.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Reply::Simple(text) => writer.simple(text),
            Reply::Error(text) => writer.error(text),
            Reply::Integer(value) => writer.integer(*value),
            Reply::Bulk(data) => writer.bulk(data),
            Reply::Id(id) => writer.id(*id),
            Reply::Null => writer.null(),
            Reply::NullArray => writer.null_array(),
            Reply::Double(value) => writer.double(*value),
            Reply::Boolean(value) => writer.boolean(*value),
            Reply::Verbatim(text) => writer.verbatim(text),
            Reply::Array(parts) => {
                writer.array(parts.len());
                write_all(parts, writer);
            }
            Reply::Set(parts) => {
                writer.set(parts.len());
                write_all(parts, writer);
            }
            Reply::Push(parts) => {
                writer.push(parts.len());
                write_all(parts, writer);
            }
            Reply::Map(pairs) => {
                writer.map(pairs.len());
                for (key, value) in pairs {
                    key.write(writer);
                    value.write(writer);
                }
            }
        }
    }
}

fn write_all(parts: &[Reply], writer: &mut Writer<'_>) {
    for part in parts {
        part.write(writer);
    }
}

impl From<i64> for Reply {
    fn from(value: i64) -> Reply {
        Reply::Integer(value)
    }
}

impl From<bool> for Reply {
    fn from(value: bool) -> Reply {
        Reply::Boolean(value)
    }
}

impl From<Bytes> for Reply {
    fn from(data: Bytes) -> Reply {
        Reply::Bulk(data)
    }
}

impl From<&'static str> for Reply {
    fn from(text: &'static str) -> Reply {
        Reply::text(text)
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Reply {
        Reply::bulk(text)
    }
}

impl From<StreamId> for Reply {
    fn from(id: StreamId) -> Reply {
        Reply::Id(id)
    }
}

/// An absent value is nothing, not an error.
impl<T: Into<Reply>> From<Option<T>> for Reply {
    fn from(value: Option<T>) -> Reply {
        value.map_or(Reply::Null, Into::into)
    }
}

#[cfg(test)]
mod tests;
