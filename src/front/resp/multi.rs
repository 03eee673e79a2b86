//! A transaction while it is queued: its commands, their bounds, and what spoils it.

use super::asked::Ask;
use super::reply::Reply;
use super::request::Request;
use super::writer::Protocol;
use crate::appliance::requests::Answer;
use crate::model::refusal::{Class, Code, Refusal};

/// Commands that one MULTI may queue, and bytes of their arguments.
pub const QUEUED_MAX: usize = 65_536;
pub const QUEUED_BYTES_MAX: usize = 32 << 20;

/// A command of a transaction.
#[derive(Debug)]
pub enum Queued {
    Ask(Box<Ask>),
    /// Answered already, or not understood: told when it is its turn.
    Ready(Reply),
}

/// A transaction that is being queued.
#[derive(Debug)]
pub struct Multi {
    pub queued: Vec<Queued>,
    bytes: usize,
    /// A command was refused while queueing: EXEC does nothing.
    pub broken: bool,
    /// Database and protocol before it, which come back when nothing is done.
    pub before: (u8, Protocol),
}

impl Multi {
    pub fn new(before: (u8, Protocol)) -> Multi {
        Multi { queued: Vec::new(), bytes: 0, broken: false, before }
    }

    /// Queues a command; the reply is what its client is told.
    pub fn add(&mut self, request: &Request, queued: Queued) -> Reply {
        if self.broken {
            // Nothing of it will be done: nothing of it is kept.
            return Reply::QUEUED;
        }
        self.bytes += request.bytes();
        if self.queued.len() >= QUEUED_MAX || self.bytes > QUEUED_BYTES_MAX {
            self.spoil();
            return Reply::error(format!(
                "ERR a transaction holds at most {QUEUED_MAX} commands and {QUEUED_BYTES_MAX} bytes"
            ));
        }
        self.queued.push(queued);
        Reply::QUEUED
    }

    /// A command was refused: EXEC will do nothing.
    pub fn spoil(&mut self) {
        self.broken = true;
        self.queued = Vec::new();
    }
}

/// Why none of a transaction was done, if that is so: all of its commands were turned away at the
/// writer's door, for the same reason.
pub fn turned_away(answers: &[Result<Answer, Refusal>]) -> Option<&Refusal> {
    let Some(Err(first)) = answers.first() else { return None };
    let not_done = matches!(first.code.class(), Class::Busy | Class::Unavailable)
        && first.code != Code::Unknown;
    let same = |answer: &Result<Answer, Refusal>| answer.as_ref().err() == Some(first);
    (not_done && answers.iter().all(same)).then_some(first)
}
