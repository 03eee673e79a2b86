//! Commands of strings.

use super::keys::moment;
use super::{Entry, Scope, plain, shaped};
use crate::appliance::requests::Command;
use crate::appliance::requests::command::{Expiry, SetIf};
use crate::base::time::Time;
use crate::front::resp::asked::{Asked, Shape};
use crate::front::resp::number;
use crate::front::resp::request::{Arguments, Malformed};

type Parsed = Result<Asked, Malformed>;

pub(super) const TABLE: &[Entry] = &[
    Entry { name: "get", arity: 2, parse: get },
    Entry { name: "set", arity: -3, parse: set },
    Entry { name: "mget", arity: -2, parse: mget },
    Entry { name: "mset", arity: -3, parse: mset },
    Entry { name: "msetnx", arity: -3, parse: msetnx },
    Entry { name: "setnx", arity: 3, parse: setnx },
    Entry { name: "setex", arity: 4, parse: setex },
    Entry { name: "psetex", arity: 4, parse: psetex },
    Entry { name: "getset", arity: 3, parse: getset },
    Entry { name: "getdel", arity: 2, parse: getdel },
    Entry { name: "getex", arity: -2, parse: getex },
    Entry { name: "incr", arity: 2, parse: incr },
    Entry { name: "decr", arity: 2, parse: decr },
    Entry { name: "incrby", arity: 3, parse: incrby },
    Entry { name: "decrby", arity: 3, parse: decrby },
    Entry { name: "append", arity: 3, parse: append },
    Entry { name: "strlen", arity: 2, parse: strlen },
    Entry { name: "getrange", arity: 4, parse: getrange },
    Entry { name: "substr", arity: 4, parse: getrange },
];

fn get(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Get { key: scope.key(args.next()?)? })
}

fn mget(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::GetMany { keys: scope.keys(args.rest())? })
}

/// An expiry option as it was written: its unit, from when it counts, and its number.
#[derive(Clone, Copy)]
struct Until<'a> {
    unit: i64,
    since: Time,
    number: &'a [u8],
}

impl<'a> Until<'a> {
    /// `None` when the word is no such option.
    fn accept(
        word: &str,
        args: &mut Arguments<'a>,
        scope: Scope,
    ) -> Result<Option<Until<'a>>, Malformed> {
        let (unit, since) = match word {
            "EX" => (1_000, scope.now),
            "PX" => (1, scope.now),
            "EXAT" => (1_000, Time(0)),
            "PXAT" => (1, Time(0)),
            _ => return Ok(None),
        };
        Ok(Some(Until { unit, since, number: args.next()? }))
    }

    /// Its number is read last, when all else is known to be right.
    fn read(self, invalid: &'static str) -> Result<Expiry, Malformed> {
        let given = number::integer(self.number).ok_or(Malformed::Integer)?;
        if given <= 0 {
            return Err(Malformed::Text(invalid));
        }
        Ok(Expiry::At(moment(given, self.unit, self.since, invalid)?))
    }
}

fn set(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let value = args.next()?.clone();
    let (mut when, mut keep, mut get, mut until) = (SetIf::Always, false, false, None);
    while !args.is_empty() {
        let word = args.next_word()?;
        match word.as_str() {
            "NX" if when != SetIf::Exists => when = SetIf::Missing,
            "XX" if when != SetIf::Missing => when = SetIf::Exists,
            "GET" => get = true,
            "KEEPTTL" if until.is_none() => keep = true,
            word if until.is_none() && !keep && !args.is_empty() => {
                until = Some(Until::accept(word, args, scope)?.ok_or(Malformed::Syntax)?);
            }
            _ => return Err(Malformed::Syntax),
        }
    }
    let expiry = match until {
        Some(until) => until.read("ERR invalid expire time in 'set' command")?,
        None if keep => Expiry::Keep,
        None => Expiry::None,
    };
    let shape = if get { Shape::Before } else { Shape::OrNull };
    shaped(Command::Set { key, value, when, expiry, get }, shape)
}

fn mset_pairs(
    args: &mut Arguments<'_>,
    scope: Scope,
    name: &'static str,
    only_if_all_missing: bool,
) -> Result<Command, Malformed> {
    let given = args.rest();
    if given.len() % 2 == 1 {
        return Err(Malformed::Arity(name));
    }
    let pair = |pair: &[bytes::Bytes]| Ok((scope.key(&pair[0])?, pair[1].clone()));
    let pairs = given.chunks_exact(2).map(pair).collect::<Result<Vec<_>, Malformed>>()?;
    Ok(Command::SetMany { pairs, only_if_all_missing })
}

fn mset(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(mset_pairs(args, scope, "mset", false)?)
}

fn msetnx(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    shaped(mset_pairs(args, scope, "msetnx", true)?, Shape::Flag)
}

fn setnx(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let value = args.next()?.clone();
    let when = SetIf::Missing;
    shaped(Command::Set { key, value, when, expiry: Expiry::None, get: false }, Shape::Flag)
}

fn set_expiring(
    args: &mut Arguments<'_>,
    scope: Scope,
    unit: i64,
    invalid: &'static str,
) -> Parsed {
    let key = scope.key(args.next()?)?;
    let given = args.next_i64()?;
    let value = args.next()?.clone();
    if given <= 0 {
        return Err(Malformed::Text(invalid));
    }
    let expiry = Expiry::At(moment(given, unit, scope.now, invalid)?);
    plain(Command::Set { key, value, when: SetIf::Always, expiry, get: false })
}

fn setex(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    set_expiring(args, scope, 1_000, "ERR invalid expire time in 'setex' command")
}

fn psetex(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    set_expiring(args, scope, 1, "ERR invalid expire time in 'psetex' command")
}

fn getset(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let value = args.next()?.clone();
    let (when, expiry) = (SetIf::Always, Expiry::None);
    shaped(Command::Set { key, value, when, expiry, get: true }, Shape::Before)
}

fn getdel(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Take { key: scope.key(args.next()?)? })
}

fn getex(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let (mut persist, mut until) = (false, None);
    while !args.is_empty() {
        let word = args.next_word()?;
        match word.as_str() {
            "PERSIST" if until.is_none() => persist = true,
            word if until.is_none() && !persist && !args.is_empty() => {
                until = Some(Until::accept(word, args, scope)?.ok_or(Malformed::Syntax)?);
            }
            _ => return Err(Malformed::Syntax),
        }
    }
    let expiry = match until {
        Some(until) => Some(until.read("ERR invalid expire time in 'getex' command")?),
        None => persist.then_some(Expiry::None),
    };
    plain(Command::GetExpire { key, expiry })
}

fn incr(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Increase { key: scope.key(args.next()?)?, by: 1 })
}

fn decr(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Increase { key: scope.key(args.next()?)?, by: -1 })
}

fn incrby(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    plain(Command::Increase { key, by: args.next_i64()? })
}

fn decrby(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let by = args.next_i64()?.checked_neg();
    plain(Command::Increase { key, by: by.ok_or(Malformed::Text("ERR decrement would overflow"))? })
}

fn append(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    plain(Command::Append { key, value: args.next()?.clone() })
}

fn strlen(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::StringLength { key: scope.key(args.next()?)? })
}

fn getrange(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let (from, to) = (args.next_i64()?, args.next_i64()?);
    shaped(Command::Get { key }, Shape::Slice { from, to })
}
