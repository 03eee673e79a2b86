//! What a request asks for once it was understood: a command of the store with the shape of its
//! reply, or something of the connection itself.

use bytes::Bytes;

use super::reply::Reply;
use crate::appliance::requests::Command;
use crate::base::time::Span;

/// A request that was understood.
#[derive(Clone, Debug)]
pub enum Asked {
    Data(Ask),
    /// Reads, and waits when there is nothing: so long, or for ever.
    Wait(Ask, Option<Span>),
    /// Lines of help.
    Text(&'static [&'static str]),
    /// About the connection, by the name of the command.
    Connection,
}

/// A command, and how its answer looks.
#[derive(Clone, Debug)]
pub struct Ask {
    pub command: Command,
    pub shape: Shape,
}

/// How an answer looks, where the answer alone does not tell.
#[derive(Clone, Debug)]
pub enum Shape {
    /// As its kind of answer looks everywhere.
    Plain,
    /// OK, however much was done.
    Ok,
    /// 1 or 0 for done or not.
    Flag,
    /// Nothing for not done, or for no value before.
    OrNull,
    /// The ids of claimed entries alone.
    Ids,
    /// Entries under the names of their streams.
    Read {
        names: Vec<Bytes>,
        of_group: bool,
    },
    /// Time to live, or when it ends, in seconds or milliseconds.
    Ttl {
        millis: bool,
        absolute: bool,
    },
    /// The value before, whatever became of the command.
    Before,
    /// A page of keys: those that fit, and the cursor behind.
    Scan {
        pattern: Option<Bytes>,
        kind: Option<Bytes>,
    },
    /// As `Plain`; a missing key or group is told in the words of XGROUP.
    OfGroup,
    /// As `Plain`; a missing key is told in the words of XINFO.
    OfInfo,
    /// An error, unless the key tells another one; or `missing` when there is no key.
    Refused {
        reply: Reply,
        missing: Option<Reply>,
    },
    /// Such an error of XREADGROUP, or of XINFO.
    RefusedRead {
        reply: Reply,
    },
    RefusedGroup {
        reply: Reply,
    },
    RefusedInfo {
        reply: Reply,
    },
    /// A value cut to a range of its bytes.
    Slice {
        from: i64,
        to: i64,
    },
}

impl Ask {
    pub fn plain(command: Command) -> Ask {
        Ask { command, shape: Shape::Plain }
    }
}
