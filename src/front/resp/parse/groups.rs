//! Commands of groups, and what can be asked of a stream.

use bytes::Bytes;

use super::{Entry, Scope, checked, shaped};
use crate::appliance::requests::Command;
use crate::front::resp::asked::{Asked, Shape};
use crate::front::resp::request::{Arguments, Malformed};
use crate::front::resp::stream_id;
use crate::model::stream::Start;

type Parsed = Result<Asked, Malformed>;

pub(super) const TABLE: &[Entry] = &[
    Entry { name: "xgroup", arity: -2, parse: xgroup },
    Entry { name: "xinfo", arity: -2, parse: xinfo },
    Entry { name: "xsetid", arity: -3, parse: xsetid },
];

/// Entries and pending rows of XINFO STREAM FULL unless told otherwise.
const FULL_COUNT: u64 = 10;

/// Where a group starts: an id, or `$`.
fn group_start(text: &Bytes) -> Result<Start, Malformed> {
    match &text[..] {
        b"$" => Ok(Start::End),
        _ => stream_id::exact(text, 0).map(Start::After),
    }
}

fn entries_read(args: &mut Arguments<'_>) -> Result<Option<u64>, Malformed> {
    match args.next_i64()? {
        -1 => Ok(None),
        count => u64::try_from(count)
            .map(Some)
            .map_err(|_| Malformed::Text("ERR value for ENTRIESREAD must be positive or -1")),
    }
}

fn xgroup(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let word = args.next_word()?;
    let given = args.len();
    let arity = |fits: bool, name: &'static str| {
        if fits { Ok(()) } else { Err(Malformed::Arity(name)) }
    };
    let command = match word.as_str() {
        "HELP" if given == 0 => return help(XGROUP_HELP),
        "CREATE" => {
            arity(given >= 3, "xgroup|create")?;
            let key = scope.key(args.next()?)?;
            let group = checked(args.next()?)?;
            let start = args.next()?;
            let (mut create_stream, mut read) = (false, None);
            while !args.is_empty() {
                if args.accept("MKSTREAM") {
                    create_stream = true;
                } else if args.len() > 1 && args.accept("ENTRIESREAD") {
                    read = entries_read(args)?;
                } else {
                    return Err(Malformed::SubcommandSyntax("xgroup"));
                }
            }
            let start = group_start(start)?;
            Command::GroupCreate { key, group, start, create_stream, entries_read: read }
        }
        "SETID" => {
            arity(given >= 3, "xgroup|setid")?;
            let key = scope.key(args.next()?)?;
            let group = checked(args.next()?)?;
            let start = args.next()?;
            let mut read = None;
            if !args.is_empty() {
                if args.len() != 2 || !args.accept("ENTRIESREAD") {
                    return Err(Malformed::SubcommandSyntax("xgroup"));
                }
                read = entries_read(args)?;
                args.end().map_err(|_| Malformed::SubcommandSyntax("xgroup"))?;
            }
            let start = group_start(start)?;
            Command::GroupSetId { key, group, start, entries_read: read }
        }
        "DESTROY" => {
            arity(given == 2, "xgroup|destroy")?;
            Command::GroupDestroy { key: scope.key(args.next()?)?, group: checked(args.next()?)? }
        }
        "CREATECONSUMER" => {
            arity(given == 3, "xgroup|createconsumer")?;
            let (key, group) = (scope.key(args.next()?)?, checked(args.next()?)?);
            Command::ConsumerCreate { key, group, consumer: checked(args.next()?)? }
        }
        "DELCONSUMER" => {
            arity(given == 3, "xgroup|delconsumer")?;
            let (key, group) = (scope.key(args.next()?)?, checked(args.next()?)?);
            Command::ConsumerDelete { key, group, consumer: checked(args.next()?)? }
        }
        _ => return Err(Malformed::Subcommand("xgroup")),
    };
    shaped(command, Shape::OfGroup)
}

fn xinfo(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let word = args.next_word()?;
    let given = args.len();
    let command = match word.as_str() {
        "HELP" if given == 0 => return help(XINFO_HELP),
        "STREAM" => {
            if given == 0 {
                return Err(Malformed::Arity("xinfo|stream"));
            }
            let key = scope.key(args.next()?)?;
            if args.is_empty() {
                return shaped(Command::StreamInfo { key }, Shape::OfInfo);
            }
            let syntax = Malformed::SubcommandSyntax("xinfo");
            let full = args.accept("FULL");
            if !full || !matches!(args.len(), 0 | 2) {
                return Err(syntax);
            }
            let mut count = FULL_COUNT;
            if !args.is_empty() {
                if !args.accept("COUNT") {
                    return Err(syntax);
                }
                count = u64::try_from(args.next_i64()?).unwrap_or(FULL_COUNT);
            }
            Command::StreamFull { key, count }
        }
        "GROUPS" => {
            if given != 1 {
                return Err(Malformed::Arity("xinfo|groups"));
            }
            Command::GroupsInfo { key: scope.key(args.next()?)? }
        }
        "CONSUMERS" => {
            if given != 2 {
                return Err(Malformed::Arity("xinfo|consumers"));
            }
            Command::ConsumersInfo { key: scope.key(args.next()?)?, group: checked(args.next()?)? }
        }
        _ => return Err(Malformed::Subcommand("xinfo")),
    };
    shaped(command, Shape::OfInfo)
}

fn xsetid(args: &mut Arguments<'_>, scope: Scope) -> Parsed {
    let key = scope.key(args.next()?)?;
    let last = args.next_id()?;
    let (mut added, mut max_deleted) = (None, None);
    while !args.is_empty() {
        match args.next_word()?.as_str() {
            "ENTRIESADDED" if !args.is_empty() => {
                let text = Malformed::Text("ERR entries_added must be positive");
                added = Some(u64::try_from(args.next_i64()?).map_err(|_| text)?);
            }
            "MAXDELETEDID" if !args.is_empty() => {
                let id = args.next_id()?;
                if last < id {
                    return Err(Malformed::Text(
                        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                    ));
                }
                max_deleted = Some(id);
            }
            _ => return Err(Malformed::Syntax),
        }
    }
    shaped(Command::SetId { key, last, added, max_deleted }, Shape::OfInfo)
}

const XGROUP_HELP: &[&str] = &[
    "XGROUP <subcommand> [<arg> ...], where the subcommands are:",
    "CREATE key group id|$ [MKSTREAM] [ENTRIESREAD n]: a new group that starts behind id",
    "SETID key group id|$ [ENTRIESREAD n]: moves the position of a group",
    "DESTROY key group: removes a group with all that is pending",
    "CREATECONSUMER key group consumer: a consumer before its first read",
    "DELCONSUMER key group consumer: removes a consumer with what it has pending",
    "HELP: these lines",
];

const XINFO_HELP: &[&str] = &[
    "XINFO <subcommand> [<arg> ...], where the subcommands are:",
    "STREAM key: length, ids and both ends of a stream",
    "STREAM key FULL [COUNT n]: with its entries, groups, consumers and what is pending",
    "GROUPS key: the groups of a stream",
    "CONSUMERS key group: the consumers of a group",
    "HELP: these lines",
];

fn help(lines: &'static [&'static str]) -> Parsed {
    Ok(Asked::Text(lines))
}
