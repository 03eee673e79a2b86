//! Commands of streams.

use bytes::Bytes;

use super::{Entry, Scope, checked, plain, shaped};
use crate::appliance::requests::Command;
use crate::appliance::requests::command::{
    Add, AutoClaim, Claim, PendingRange, ReadGroup, Refs, Trim, TrimBy,
};
use crate::base::time::{Span, Time};
use crate::front::resp::asked::{Ask, Asked, Shape};
use crate::front::resp::number;
use crate::front::resp::request::{Arguments, Malformed, Word};
use crate::front::resp::stream_id::{self, Position};
use crate::model::stream::{Fields, GroupStart, Start, StreamId};

type Parsed = Result<Asked, Malformed>;

pub(super) const TABLE: &[Entry] = &[
    Entry { name: "xadd", arity: -5, parse: xadd },
    Entry { name: "xreadgroup", arity: -7, parse: xreadgroup },
    Entry { name: "xack", arity: -4, parse: xack },
    Entry { name: "xread", arity: -4, parse: xread },
    Entry { name: "xdel", arity: -3, parse: xdel },
    Entry { name: "xlen", arity: 2, parse: xlen },
    Entry { name: "xrange", arity: -4, parse: xrange },
    Entry { name: "xrevrange", arity: -4, parse: xrevrange },
    Entry { name: "xtrim", arity: -4, parse: xtrim },
    Entry { name: "xpending", arity: -3, parse: xpending },
    Entry { name: "xclaim", arity: -6, parse: xclaim },
    Entry { name: "xautoclaim", arity: -6, parse: xautoclaim },
    Entry { name: "xackdel", arity: -6, parse: xackdel },
    Entry { name: "xdelex", arity: -5, parse: xdelex },
];

/// Entries that an automatic claim takes unless told otherwise.
const AUTO_CLAIM_COUNT: u64 = 100;

/// The options that XADD and XTRIM share, read one by one.
#[derive(Default)]
struct TrimOptions {
    by: Option<TrimBy>,
    roughly: bool,
    limit: Option<u64>,
    refs: Refs,
}

impl TrimOptions {
    /// Takes one option; false when it is none of these.
    fn accept(&mut self, word: Word, args: &mut Arguments<'_>) -> Result<bool, Malformed> {
        match word.as_str() {
            "MAXLEN" | "MINID" => {
                if self.by.is_some() {
                    return Err(Malformed::Text(
                        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                    ));
                }
                args.next()?;
                // A lone sign is taken for the number.
                let signed = args.len() >= 2;
                self.roughly = signed && args.accept("~");
                if signed && !self.roughly {
                    args.accept("=");
                }
                self.by = Some(match word.as_str() {
                    "MAXLEN" => TrimBy::Length(match args.next_i64()? {
                        below if below < 0 => {
                            return Err(Malformed::Text("ERR The MAXLEN argument must be >= 0."));
                        }
                        length => length.unsigned_abs(),
                    }),
                    _ => TrimBy::MinId(args.next_id()?),
                });
            }
            "LIMIT" if args.len() > 1 => {
                args.next()?;
                let limit = args.next_i64()?;
                let below = Malformed::Text("ERR The LIMIT argument must be >= 0.");
                self.limit = Some(u64::try_from(limit).map_err(|_| below)?);
            }
            "KEEPREF" | "DELREF" | "ACKED" => {
                args.next()?;
                self.refs = refs(word.as_str());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Option<Trim>, Malformed> {
        if self.limit.is_some() && self.by.is_none() {
            return Err(Malformed::Text(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.limit.is_some() && !self.roughly {
            return Err(Malformed::Text(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let (roughly, limit, refs) = (self.roughly, self.limit, self.refs);
        Ok(self.by.map(|by| Trim { by, roughly, limit, refs }))
    }
}

fn refs(word: &str) -> Refs {
    match word {
        "DELREF" => Refs::Delete,
        "ACKED" => Refs::Acked,
        _ => Refs::Keep,
    }
}

fn xadd(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let mut create = true;
    let mut options = TrimOptions::default();
    loop {
        let word = Word::new(args.peek().ok_or(Malformed::Arity("xadd"))?);
        if word.as_str() == "NOMKSTREAM" {
            args.next()?;
            create = false;
        } else if !options.accept(word, args)? {
            break;
        }
    }
    let id = stream_id::new_id(args.next()?)?;
    let trim = options.finish()?;
    let fields = args.rest();
    if fields.is_empty() || fields.len() % 2 == 1 {
        return Err(Malformed::Arity("xadd"));
    }
    let fields = Fields::from_parts(fields);
    plain(Command::Add(Add { key, create, trim, id, fields }))
}

fn xtrim(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let mut options = TrimOptions::default();
    while let Some(text) = args.peek() {
        if !options.accept(Word::new(text), args)? {
            return Err(Malformed::Syntax);
        }
    }
    let by = options.by.is_some();
    match options.finish()? {
        Some(trim) if by => plain(Command::Trim { key, trim }),
        _ => {
            Err(Malformed::Text("ERR syntax error, XTRIM must be called with a trimming strategy"))
        }
    }
}

fn ids(args: &[Bytes]) -> Result<Vec<StreamId>, Malformed> {
    args.iter().map(|id| stream_id::exact(id, 0)).collect()
}

fn xack(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let group = checked(args.next()?)?;
    plain(Command::Ack { key, group, ids: ids(args.rest())? })
}

fn xdel(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    plain(Command::Delete { key, ids: ids(args.rest())? })
}

/// `[KEEPREF | DELREF | ACKED] IDS n id ...`
fn refs_and_ids(args: &mut Arguments<'_>) -> Result<(Refs, Vec<StreamId>), Malformed> {
    let (mut policy, mut listed) = (Refs::Keep, None);
    while let Some(text) = args.peek() {
        let word = Word::new(text);
        args.next()?;
        match word.as_str() {
            "KEEPREF" | "DELREF" | "ACKED" => policy = refs(word.as_str()),
            "IDS" => {
                let count = args.next_i64().ok().filter(|count| *count > 0);
                let count =
                    count.ok_or(Malformed::Text("ERR Number of IDs must be a positive integer"))?;
                if count as usize > args.len() {
                    return Err(Malformed::Text(
                        "ERR The `numids` parameter must match the number of arguments",
                    ));
                }
                listed = Some(ids(args.take(count as usize)?)?);
            }
            _ => return Err(Malformed::Syntax),
        }
    }
    Ok((policy, listed.ok_or(Malformed::Syntax)?))
}

fn xackdel(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let group = checked(args.next()?)?;
    let (refs, ids) = refs_and_ids(args)?;
    plain(Command::AckDelete { key, group, refs, ids })
}

fn xdelex(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let (refs, ids) = refs_and_ids(args)?;
    plain(Command::DeleteWith { key, refs, ids })
}

fn xlen(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    plain(Command::Length { key: scope.key(args.next()?)? })
}

fn range(args: &mut Arguments<'_>, scope: Scope, newest_first: bool) -> Parsed {
    let key = scope.key(args.next()?)?;
    let (first, second) = (args.next()?, args.next()?);
    let (from, to) = if newest_first { (second, first) } else { (first, second) };
    let (from, to) = (stream_id::range_start(from)?, stream_id::range_end(to)?);
    let mut count = None;
    while !args.is_empty() {
        if !args.accept("COUNT") {
            return Err(Malformed::Syntax);
        }
        count = Some(args.next_i64()?.max(0).unsigned_abs());
    }
    plain(Command::Range { key, from, to, newest_first, count })
}

fn xrange(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    range(args, scope, false)
}

fn xrevrange(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    range(args, scope, true)
}

/// What XREAD and XREADGROUP have in common.
#[derive(Default)]
struct Reading<'a> {
    group: Option<(Bytes, Bytes)>,
    count: Option<u64>,
    block: Option<Option<Span>>,
    no_ack: bool,
    claim: Option<Span>,
    keys: &'a [Bytes],
    ids: &'a [Bytes],
}

fn reading<'a>(
    args: &mut Arguments<'a>,
    now: Time,
    of_group: bool,
) -> Result<Reading<'a>, Malformed> {
    let mut reading = Reading::default();
    while !args.is_empty() {
        let word = args.next_word()?;
        match word.as_str() {
            "BLOCK" if !args.is_empty() => {
                let text = Malformed::Text("ERR timeout is not an integer or out of range");
                let millis = number::integer(args.next()?).ok_or(text)?;
                if millis < 0 {
                    return Err(Malformed::Text("ERR timeout is negative"));
                }
                if millis > i64::MAX - now.0 {
                    return Err(Malformed::Text("ERR timeout is out of range"));
                }
                reading.block = Some((millis > 0).then_some(Span(millis)));
            }
            "COUNT" if !args.is_empty() => {
                // Zero and below mean no limit.
                reading.count = u64::try_from(args.next_i64()?).ok().filter(|count| *count > 0);
            }
            "GROUP" if args.len() >= 2 => {
                if !of_group {
                    return Err(Malformed::Text(
                        "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                reading.group = Some((checked(args.next()?)?, checked(args.next()?)?));
            }
            "NOACK" => {
                if !of_group {
                    return Err(Malformed::Text(
                        "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                reading.no_ack = true;
            }
            "CLAIM" if of_group && !args.is_empty() => {
                let millis = args.next_i64()?;
                reading.claim = Some(Span(millis.max(0)));
            }
            "STREAMS" if !args.is_empty() => {
                let rest = args.rest();
                if rest.len() % 2 == 1 {
                    return Err(Malformed::Text(if of_group {
                        "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID, '>', or '$' must be specified."
                    } else {
                        "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified."
                    }));
                }
                (reading.keys, reading.ids) = rest.split_at(rest.len() / 2);
            }
            _ => return Err(Malformed::Syntax),
        }
    }
    if reading.keys.is_empty() {
        return Err(Malformed::Syntax);
    }
    if of_group && reading.group.is_none() {
        return Err(Malformed::Text("ERR Missing GROUP option for XREADGROUP"));
    }
    Ok(reading)
}

fn xread(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let reading = reading(args, scope.now, false)?;
    let mut keys = Vec::with_capacity(reading.keys.len());
    for (name, id) in reading.keys.iter().zip(reading.ids) {
        let start = match stream_id::position(id)? {
            Position::After(id) => Start::After(id),
            Position::End => Start::End,
            Position::Last => Start::Last,
            Position::New => {
                return Err(Malformed::Text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
                ));
            }
        };
        keys.push((scope.key(name)?, start));
    }
    let names = reading.keys.to_vec();
    let shape = Shape::Read { names, of_group: false };
    let ask = Ask { command: Command::Read { keys, count: reading.count }, shape };
    Ok(match reading.block {
        Some(block) => Asked::Wait(ask, block),
        None => Asked::Data(ask),
    })
}

fn xreadgroup(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let reading = reading(args, scope.now, true)?;
    let mut keys = Vec::with_capacity(reading.keys.len());
    for (name, id) in reading.keys.iter().zip(reading.ids) {
        let start = match stream_id::position(id)? {
            // The highest id is how Redis writes `>` itself.
            Position::New | Position::After(StreamId::MAX) => GroupStart::New,
            Position::After(id) => GroupStart::Own(id),
            Position::End => {
                return Err(Malformed::Text(
                    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
                ));
            }
            Position::Last => {
                return Err(Malformed::Text(
                    "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
                ));
            }
        };
        keys.push((scope.key(name)?, start));
    }
    // A consumer's own entries are answered at once, with nothing if there is nothing.
    let own = keys.iter().any(|(_, start)| matches!(start, GroupStart::Own(_)));
    let (group, consumer) = reading.group.unwrap_or_default();
    let names = reading.keys.to_vec();
    let command = Command::ReadGroup(ReadGroup {
        group,
        consumer,
        keys,
        count: reading.count,
        no_ack: reading.no_ack,
        claim: reading.claim,
    });
    let ask = Ask { command, shape: Shape::Read { names, of_group: true } };
    Ok(match reading.block {
        Some(block) if !own => Asked::Wait(ask, block),
        Some(_) | None => Asked::Data(ask),
    })
}

fn xpending(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let group = checked(args.next()?)?;
    if args.is_empty() {
        return plain(Command::PendingSummary { key, group });
    }
    if !(3..=6).contains(&args.len()) {
        return Err(Malformed::Syntax);
    }
    let mut min_idle = Span::ZERO;
    if args.accept("IDLE") {
        min_idle = Span(args.next_i64()?);
        if args.len() < 3 {
            return Err(Malformed::Syntax);
        }
    }
    let (from, to) = (args.next()?, args.next()?);
    let count = u64::try_from(args.next_i64()?).unwrap_or(0);
    let (from, to) = (stream_id::range_start(from)?, stream_id::range_end(to)?);
    let consumer = args.peek().map(checked).transpose()?;
    plain(Command::PendingRange(PendingRange { key, group, min_idle, from, to, count, consumer }))
}

fn min_idle(args: &mut Arguments<'_>, text: &'static str) -> Result<Span, Malformed> {
    let millis = number::integer(args.next()?).ok_or(Malformed::Text(text))?;
    Ok(Span(millis.max(0)))
}

fn xclaim(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let group = checked(args.next()?)?;
    let consumer = checked(args.next()?)?;
    let min_idle = min_idle(args, "ERR Invalid min-idle-time argument for XCLAIM")?;
    let mut ids = Vec::new();
    while let Some(Ok(id)) = args.peek().map(|text| stream_id::exact(text, 0)) {
        ids.push(id);
        args.next()?;
    }
    let mut claim = Claim {
        key,
        group,
        consumer,
        min_idle,
        ids,
        delivered_at: None,
        deliveries: None,
        force: false,
        just_ids: false,
        last_id: None,
    };
    while !args.is_empty() {
        let text = args.next()?;
        let more = !args.is_empty();
        match Word::new(text).as_str() {
            "FORCE" => claim.force = true,
            "JUSTID" => claim.just_ids = true,
            "IDLE" if more => {
                let text = Malformed::Text("ERR Invalid IDLE option argument for XCLAIM");
                let idle = number::integer(args.next()?).ok_or(text)?;
                claim.delivered_at = Some(Time(scope.now.0.saturating_sub(idle)));
            }
            "TIME" if more => {
                let text = Malformed::Text("ERR Invalid TIME option argument for XCLAIM");
                claim.delivered_at = Some(Time(number::integer(args.next()?).ok_or(text)?));
            }
            "RETRYCOUNT" if more => {
                let text = Malformed::Text("ERR Invalid RETRYCOUNT option argument for XCLAIM");
                let count = number::integer(args.next()?).ok_or(text)?;
                claim.deliveries = u64::try_from(count).ok();
            }
            "LASTID" if more => claim.last_id = Some(args.next_id()?),
            _ => return Err(Malformed::Unrecognized { left: args.len() }),
        }
    }
    let shape = if claim.just_ids { Shape::Ids } else { Shape::Plain };
    shaped(Command::Claim(claim), shape)
}

fn xautoclaim(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let group = checked(args.next()?)?;
    let consumer = checked(args.next()?)?;
    let min_idle = min_idle(args, "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
    let start = stream_id::range_start(args.next()?)?;
    let (mut count, mut just_ids) = (AUTO_CLAIM_COUNT, false);
    while !args.is_empty() {
        match args.next_word()?.as_str() {
            "COUNT" if !args.is_empty() => {
                let text = Malformed::Text("ERR COUNT must be > 0");
                let given = number::integer(args.next()?)
                    .filter(|count| (1..=i64::MAX / 16).contains(count));
                count = given.ok_or(text)?.unsigned_abs();
            }
            "JUSTID" => just_ids = true,
            _ => return Err(Malformed::Syntax),
        }
    }
    let command = AutoClaim { key, group, consumer, min_idle, start, count, just_ids };
    let shape = if just_ids { Shape::Ids } else { Shape::Plain };
    shaped(Command::AutoClaim(command), shape)
}
