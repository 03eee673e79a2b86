//! Which of two errors is told first. Some commands look at their key before they read all of their
//! arguments: when those are wrong, the key is asked all the same.

use bytes::Bytes;

use super::Scope;
use crate::appliance::requests::Command;
use crate::front::resp::asked::{Ask, Shape};
use crate::front::resp::encode::REQUIRES_KEY;
use crate::front::resp::reply::Reply;
use crate::front::resp::request::{Malformed, Request, is_word};
use crate::front::resp::stream_id::{Position, position};
use crate::model::stream::KeyName;

/// What to ask before the error of a request is told; nothing for most commands.
pub fn probe(name: &str, request: &Request, scope: Scope, malformed: Malformed) -> Option<Ask> {
    let args = &request.args;
    let reply = request.malformed(malformed);
    let key = |at: usize| args.get(at).map(|name| KeyName::new(scope.db, name.clone()));
    let ask = |command, missing| {
        let reply = reply.clone();
        Some(Ask { command, shape: Shape::Refused { reply, missing } })
    };
    let group = |keys: Vec<KeyName>, group: Option<&Bytes>| {
        Some(Command::HasGroup { keys, group: group?.clone() })
    };
    let zero = Some(Reply::Integer(0));
    match name {
        "xdel" => ask(Command::Type { key: key(0)? }, zero),
        "xack" => ask(group(vec![key(0)?], args.get(1))?, zero),
        "xclaim" => ask(group(vec![key(0)?], args.get(1))?, None),
        "xreadgroup" if is_of_ids(malformed) => {
            let (named, streams) = places(args)?;
            let (keys, ids) = args[streams + 1..].split_at((args.len() - streams - 1) / 2);
            let bad = ids.iter().position(|id| !is_group_place(id))?;
            let keys = keys.get(..=bad)?.iter();
            let keys = keys.map(|key| KeyName::new(scope.db, key.clone()));
            let command = group(keys.collect(), args.get(named + 1))?;
            Some(Ask { command, shape: Shape::RefusedRead { reply } })
        }
        "xgroup" if malformed == Malformed::StreamId && is_word(&args[0], "SETID") => {
            let command = Command::ConsumersInfo { key: key(1)?, group: args.get(2)?.clone() };
            Some(Ask { command, shape: Shape::RefusedGroup { reply } })
        }
        "xgroup" if malformed == Malformed::StreamId => {
            let creates = args.iter().skip(4).any(|word| is_word(word, "MKSTREAM"));
            let missing = (!creates).then(|| Reply::error(REQUIRES_KEY));
            ask(Command::Type { key: key(1)? }, missing)
        }
        "xinfo" => {
            let shape = Shape::RefusedInfo { reply };
            Some(Ask { command: Command::StreamInfo { key: key(1)? }, shape })
        }
        "getex" if malformed != Malformed::Syntax => {
            ask(Command::Get { key: key(0)? }, Some(Reply::Null))
        }
        _ => None,
    }
}

fn is_group_place(id: &[u8]) -> bool {
    matches!(position(id), Ok(Position::New | Position::After(_)))
}

/// Whether it is an id that is wrong.
fn is_of_ids(malformed: Malformed) -> bool {
    match malformed {
        Malformed::StreamId => true,
        Malformed::Text(text) => text.contains("meaningless"),
        _ => false,
    }
}

/// Where GROUP and STREAMS stand among the options of XREADGROUP.
fn places(args: &[Bytes]) -> Option<(usize, usize)> {
    let (mut at, mut group) = (0, None);
    loop {
        let word = args.get(at)?;
        if is_word(word, "STREAMS") {
            return group.map(|group| (group, at));
        }
        if is_word(word, "GROUP") {
            group = Some(at);
        }
        at += match () {
            () if is_word(word, "GROUP") => 3,
            () if is_word(word, "NOACK") => 1,
            () => 2,
        };
    }
}
