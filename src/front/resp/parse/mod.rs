//! From a request to what it asks for. One function a command, which reads its arguments in the
//! order in which Redis does, so that the first thing wrong is the one that is told.

mod groups;
mod keys;
mod probe;
mod streams;
mod strings;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::asked::{Ask, Asked, Shape};
use super::request::{Arguments, Malformed, Request};
use crate::base::time::Time;
use crate::model::stream::{KeyName, NAME_BYTES_MAX};

/// What parsing a request needs to know of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub db: u8,
    pub now: Time,
}

impl Scope {
    fn key(&self, name: &Bytes) -> Result<KeyName, Malformed> {
        Ok(KeyName::new(self.db, checked(name)?))
    }

    fn keys(&self, names: &[Bytes]) -> Result<Vec<KeyName>, Malformed> {
        names.iter().map(|name| self.key(name)).collect()
    }
}

/// A name of a key, group or consumer.
fn checked(name: &Bytes) -> Result<Bytes, Malformed> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Malformed::Text("ERR name is longer than 1024 bytes"));
    }
    Ok(name.clone())
}

/// How many arguments a command takes, its name among them; below zero for at least so many.
type Arity = i32;
type Parse = fn(&mut Arguments<'_>, Scope) -> Result<Asked, Malformed>;

/// A command of the store.
pub struct Entry {
    /// In small letters, as Redis names it in errors.
    pub name: &'static str,
    pub arity: Arity,
    parse: Parse,
}

/// Every command that asks something of the store.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    streams::TABLE.iter().chain(groups::TABLE).chain(keys::TABLE).chain(strings::TABLE)
}

/// Commands that a connection answers itself, with their arity.
pub const OF_CONNECTION: &[(&str, Arity)] = &[
    ("auth", -2),
    ("client", -2),
    ("command", -1),
    ("config", -2),
    ("debug", -2),
    ("discard", 1),
    ("echo", 2),
    ("exec", 1),
    ("flushall", -1),
    ("flushdb", -1),
    ("function", -2),
    ("hello", -1),
    ("info", -1),
    ("lastsave", 1),
    ("memory", -2),
    ("multi", 1),
    ("ping", -1),
    ("quit", -1),
    ("reset", 1),
    ("select", 2),
    ("time", 1),
    ("wait", 3),
];

/// What is wrong with a request.
#[derive(Debug)]
pub enum Wrong {
    Unknown,
    /// Known from name and number of arguments alone: refused also where commands are queued.
    AtOnce(Malformed),
    /// Found when it is its turn.
    WhenDone(Malformed),
}

impl From<Malformed> for Wrong {
    fn from(malformed: Malformed) -> Wrong {
        match malformed {
            Malformed::Subcommand(_) => Wrong::AtOnce(malformed),
            // Subcommands have a number of arguments of their own.
            Malformed::Arity(name) if name.contains('|') => Wrong::AtOnce(malformed),
            _ => Wrong::WhenDone(malformed),
        }
    }
}

/// Finds the command of a request and reads its arguments.
pub fn parse(request: &Request, scope: Scope) -> Result<Asked, Wrong> {
    let word = request.word();
    let found = find(word.as_str());
    match found {
        Some(Found::Data(entry)) => {
            check_arity(entry.name, entry.arity, request).map_err(Wrong::AtOnce)?;
            match (entry.parse)(&mut request.arguments(), scope) {
                Ok(asked) => Ok(asked),
                Err(malformed) => match Wrong::from(malformed) {
                    Wrong::WhenDone(_) => {
                        let ask = probe::probe(entry.name, request, scope, malformed);
                        ask.map(Asked::Data).ok_or(Wrong::WhenDone(malformed))
                    }
                    wrong => Err(wrong),
                },
            }
        }
        Some(Found::Connection(name, arity)) => {
            check_arity(name, arity, request).map_err(Wrong::AtOnce)?;
            Ok(Asked::Connection)
        }
        None => Err(Wrong::Unknown),
    }
}

enum Found {
    Data(&'static Entry),
    Connection(&'static str, Arity),
}

/// `word` is in capitals.
fn find(word: &str) -> Option<Found> {
    let is = |name: &str| name.eq_ignore_ascii_case(word);
    if let Some(entry) = entries().find(|entry| is(entry.name)) {
        return Some(Found::Data(entry));
    }
    let found = OF_CONNECTION.iter().find(|(name, _)| is(name));
    found.map(|(name, arity)| Found::Connection(name, *arity))
}

fn check_arity(name: &'static str, arity: Arity, request: &Request) -> Result<(), Malformed> {
    let given = request.args.len() + 1;
    let wanted = arity.unsigned_abs() as usize;
    let fits = if arity < 0 { given >= wanted } else { given == wanted };
    if fits { Ok(()) } else { Err(Malformed::Arity(name)) }
}

fn shaped(command: crate::appliance::requests::Command, shape: Shape) -> Result<Asked, Malformed> {
    Ok(Asked::Data(Ask { command, shape }))
}

fn plain(command: crate::appliance::requests::Command) -> Result<Asked, Malformed> {
    shaped(command, Shape::Plain)
}
