//! Which role each command takes, in one table, and the words for those who may not.

use super::reply::Reply;
use super::request::{Request, Word};
use crate::model::access::{Needs, Who};

/// What a command takes, by its name in small letters; `None` for one that nobody knows.
///
/// Streams and keys belong to the whole appliance, so a token that is bound to an org or env gets no
/// further than the handshake.
pub fn needs_of(name: &str) -> Option<Needs> {
    Some(match name {
        "auth" | "hello" | "quit" | "reset" => Needs::Nothing,
        "client" | "command" | "config" | "discard" | "echo" | "exec" | "info" | "lastsave"
        | "memory" | "multi" | "ping" | "select" | "time" | "wait" => Needs::Read,
        "xlen" | "xrange" | "xrevrange" | "xread" | "xinfo" | "xpending" | "exists" | "type"
        | "ttl" | "pttl" | "expiretime" | "pexpiretime" | "scan" | "keys" | "dbsize" | "get"
        | "mget" | "strlen" | "getrange" | "substr" | "touch" | "randomkey" | "object" => {
            Needs::Read
        }
        "xadd" => Needs::Feed,
        "xreadgroup" | "xgroup" | "xack" | "xackdel" | "xdel" | "xdelex" | "xclaim"
        | "xautoclaim" | "xtrim" | "xsetid" => Needs::Work,
        "set" | "mset" | "msetnx" | "setex" | "psetex" | "setnx" | "getset" | "getdel"
        | "getex" | "incr" | "decr" | "incrby" | "decrby" | "incrbyfloat" | "append"
        | "setrange" | "del" | "unlink" | "expire" | "pexpire" | "expireat" | "pexpireat"
        | "persist" | "rename" | "renamenx" | "copy" => Needs::Feed,
        "flushall" | "flushdb" | "debug" | "function" => Needs::Operate,
        _ => return None,
    })
}

/// Why a caller may not, in the words of Redis; `None` for one that may. `who` is nobody before
/// AUTH.
pub fn barred(request: &Request, who: Option<&Who>) -> Option<Reply> {
    let name = request.word().as_str().to_ascii_lowercase();
    // A command without an entry would be a hole: it is for operators.
    let needs = needs_of(&name).unwrap_or(Needs::Operate);
    if needs == Needs::Nothing {
        return None;
    }
    let Some(who) = who else { return Some(Reply::error("NOAUTH Authentication required.")) };
    let is_handshake =
        super::parse::OF_CONNECTION.iter().any(|(own, _)| *own == name) && needs == Needs::Read;
    if who.role.may(needs) && (is_handshake || who.bounds.is_everything()) {
        return None;
    }
    Some(Reply::error(format!(
        "NOPERM User {} has no permissions to run the '{}' command",
        who.name,
        full_name(&name, request)
    )))
}

/// With the subcommand, as Redis names those that have some.
fn full_name(name: &str, request: &Request) -> String {
    match (name, request.args.first()) {
        ("xgroup" | "xinfo" | "client" | "config" | "memory" | "function", Some(sub)) => {
            format!("{name}|{}", Word::new(sub).as_str().to_ascii_lowercase())
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::resp::parse::{OF_CONNECTION, entries};

    /// What each command takes, to be read.
    #[test]
    fn every_command_has_its_role() {
        let names = entries().map(|entry| entry.name).chain(OF_CONNECTION.iter().map(|(n, _)| *n));
        for name in names {
            assert!(needs_of(name).is_some(), "`{name}` has no role: give it one");
        }
    }
}
