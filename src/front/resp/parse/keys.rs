//! Commands of keys as such.

use super::{Entry, Scope, plain, shaped};
use crate::appliance::requests::Command;
use crate::appliance::requests::command::ExpireIf;
use crate::base::time::Time;
use crate::front::resp::asked::{Asked, Shape};
use crate::front::resp::number;
use crate::front::resp::request::{Arguments, Malformed};

type Parsed = Result<Asked, Malformed>;

pub(super) const TABLE: &[Entry] = &[
    Entry { name: "del", arity: -2, parse: del },
    Entry { name: "unlink", arity: -2, parse: del },
    Entry { name: "exists", arity: -2, parse: exists },
    Entry { name: "type", arity: 2, parse: type_of },
    Entry { name: "expire", arity: -3, parse: expire },
    Entry { name: "pexpire", arity: -3, parse: pexpire },
    Entry { name: "expireat", arity: -3, parse: expireat },
    Entry { name: "pexpireat", arity: -3, parse: pexpireat },
    Entry { name: "ttl", arity: 2, parse: ttl },
    Entry { name: "pttl", arity: 2, parse: pttl },
    Entry { name: "expiretime", arity: 2, parse: expiretime },
    Entry { name: "pexpiretime", arity: 2, parse: pexpiretime },
    Entry { name: "persist", arity: 2, parse: persist },
    Entry { name: "scan", arity: -2, parse: scan },
    Entry { name: "keys", arity: 2, parse: keys },
    Entry { name: "rename", arity: 3, parse: rename },
    Entry { name: "renamenx", arity: 3, parse: renamenx },
    Entry { name: "dbsize", arity: 1, parse: dbsize },
];

/// Keys that a SCAN looks at unless told otherwise, and at most.
const SCAN_COUNT: u64 = 10;
const SCAN_COUNT_MAX: u64 = 10_000;

fn del(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Remove { keys: scope.keys(args.rest())? })
}

fn exists(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Exists { keys: scope.keys(args.rest())? })
}

fn type_of(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Type { key: scope.key(args.next()?)? })
}

/// The moment that an expiry names, in milliseconds.
pub(super) fn moment(
    given: i64,
    unit: i64,
    since: Time,
    text: &'static str,
) -> Result<Time, Malformed> {
    let at = given.checked_mul(unit).and_then(|millis| millis.checked_add(since.0));
    at.map(Time).ok_or(Malformed::Text(text))
}

fn expire_in(
    args: &mut Arguments<'_>,
    scope: Scope,
    unit: i64,
    since: Time,
    invalid: &'static str,
) -> Parsed {
    let key = scope.key(args.next()?)?;
    let given = args.next()?;
    let mut when = ExpireIf::default();
    while !args.is_empty() {
        match args.next_word()?.as_str() {
            "NX" => when.none = true,
            "XX" => when.some = true,
            "GT" => when.later = true,
            "LT" => when.earlier = true,
            _ => return Err(Malformed::Unsupported { left: args.len() }),
        }
    }
    if when.none && (when.some || when.later || when.earlier) {
        return Err(Malformed::Text(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if when.later && when.earlier {
        return Err(Malformed::Text("ERR GT and LT options at the same time are not compatible"));
    }
    let given = number::integer(given).ok_or(Malformed::Integer)?;
    let at = moment(given, unit, since, invalid)?;
    plain(Command::Expire { key, at, when })
}

fn expire(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    expire_in(args, scope, 1_000, scope.now, "ERR invalid expire time in 'expire' command")
}

fn pexpire(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    expire_in(args, scope, 1, scope.now, "ERR invalid expire time in 'pexpire' command")
}

fn expireat(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    expire_in(args, scope, 1_000, Time(0), "ERR invalid expire time in 'expireat' command")
}

fn pexpireat(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    expire_in(args, scope, 1, Time(0), "ERR invalid expire time in 'pexpireat' command")
}

fn expires(args: &mut Arguments<'_>, scope: Scope, millis: bool, absolute: bool) -> Parsed {
    let command = Command::Expires { key: scope.key(args.next()?)? };
    shaped(command, Shape::Ttl { millis, absolute })
}

fn ttl(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    expires(args, scope, false, false)
}

fn pttl(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    expires(args, scope, true, false)
}

fn expiretime(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    expires(args, scope, false, true)
}

fn pexpiretime(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    expires(args, scope, true, true)
}

fn persist(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Persist { key: scope.key(args.next()?)? })
}

fn scan(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let text = args.next()?;
    // An empty cursor is 0, as in Redis.
    let after = number::digits(text).ok_or(Malformed::Text("ERR invalid cursor"))?;
    let (mut pattern, mut kind, mut count) = (None, None, SCAN_COUNT);
    while !args.is_empty() {
        let word = args.next_word()?;
        match word.as_str() {
            "COUNT" if !args.is_empty() => {
                let given = args.next_i64()?;
                if given < 1 {
                    return Err(Malformed::Syntax);
                }
                count = given.unsigned_abs().min(SCAN_COUNT_MAX);
            }
            "MATCH" if !args.is_empty() => pattern = Some(args.next()?.clone()),
            "TYPE" if !args.is_empty() => kind = Some(args.next()?.clone()),
            _ => return Err(Malformed::Syntax),
        }
    }
    shaped(Command::Scan { db: scope.db, after, count }, Shape::Scan { pattern, kind })
}

fn keys(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Keys { db: scope.db, pattern: args.next()?.clone() })
}

fn rename(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let (from, to) = (scope.key(args.next()?)?, scope.key(args.next()?)?);
    plain(Command::Rename { from, to, only_if_missing: false })
}

fn renamenx(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let (from, to) = (scope.key(args.next()?)?, scope.key(args.next()?)?);
    shaped(Command::Rename { from, to, only_if_missing: true }, Shape::Flag)
}

fn dbsize(_: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Size { db: scope.db })
}
