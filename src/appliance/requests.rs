//! Commands of the Redis protocol: a pipeline of them shares one commit, and a reader that finds
//! nothing may wait for it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::engine::batch::{Batch, Job, Ran, unknown};
use crate::engine::parked::Token;
use crate::ledger::keys;
use crate::ledger::streams::fix_ends;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::KeyName;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::count;
use crate::store::rows::counter;

use super::caller::{self, Caller};
use super::{Appliance, unreadable};

pub use crate::ledger::keys::command;
pub use crate::ledger::keys::command::{Answer, Command};
pub use crate::ledger::streams::groups::BELOW_DELETED;

/// What each command of a pipeline came to.
pub type Answers = Vec<Result<Answer, Refusal>>;

/// What is answered when an answer did not come.
pub fn unknown_outcome() -> Refusal {
    unknown()
}

impl Appliance {
    /// Keys of a database.
    pub fn key_count(&self, db: u8) -> Result<i64, Refusal> {
        let snapshot = self.snapshot()?;
        counter(&snapshot, &count::keys(db)).map_err(unreadable)
    }

    /// Runs commands in order, in one commit. Within a transaction nobody comes in between; else
    /// readers that wait are served after each command.
    pub async fn requests(&self, commands: Vec<Command>, transaction: bool) -> Answers {
        let count = commands.len();
        let all = |refusal: Refusal| vec![Err(refusal); count];
        if commands.iter().all(Command::only_reads) {
            return self.read(&commands).unwrap_or_else(all);
        }
        let (reply, answers) = oneshot::channel();
        let bytes = commands.iter().map(Command::bytes).sum();
        let (caller, answers_room) = (caller::pending(), Vec::with_capacity(count));
        let job = Pipeline { commands, transaction, bytes, caller, answers: answers_room, reply };
        match self.handle.send_job(Box::new(job)) {
            Ok(()) => answers.await.unwrap_or_else(|_| Err(unknown())).unwrap_or_else(all),
            Err(refusal) => all(refusal),
        }
    }

    /// Answers commands that only read.
    fn read(&self, commands: &[Command]) -> Result<Answers, Refusal> {
        let snapshot = self.snapshot()?;
        let now = self.now();
        let ask = |command| match keys::ask(&snapshot, now, command) {
            Ok(answer) => Ok(answer),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Failed(fault)) => Err(unreadable(fault)),
        };
        Ok(commands.iter().map(ask).collect())
    }

    /// A reading command that waits until there is something for it, `enough` is ready, or one of
    /// its keys goes. Dropping the future takes the reader back.
    pub async fn read_blocking(
        &self,
        command: Command,
        enough: impl Future<Output = ()>,
    ) -> Result<Answer, Refusal> {
        let token = self.handle.token();
        let (reader, mut answer) = waiting_reader(command, token);
        self.handle.send_job(reader)?;
        let mut leaving = Leaving { appliance: self, token, waits: true };
        tokio::select! {
            biased;
            answer = &mut answer => {
                leaving.waits = false;
                return answer.unwrap_or_else(|_| Err(unknown()));
            }
            () = enough => {}
        }
        // Served in this very moment or not: the writer knows, and answers either way.
        drop(leaving);
        answer.await.unwrap_or_else(|_| Err(unknown()))
    }
}

/// Takes a reader back when its connection goes.
struct Leaving<'a> {
    appliance: &'a Appliance,
    token: Token,
    waits: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.appliance.handle.leave(self.token);
        }
    }
}

/// The commands of one pipeline.
struct Pipeline {
    commands: Vec<Command>,
    transaction: bool,
    bytes: usize,
    /// Whose doing the audit log tells of, with the same commit.
    caller: Option<Arc<Caller>>,
    answers: Answers,
    reply: oneshot::Sender<Result<Answers, Refusal>>,
}

impl Job for Pipeline {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<Ran, Fault> {
        if let Some(caller) = self.caller.take() {
            batch
                .act(|tx| {
                    caller.write(tx);
                    Ok(())
                })?
                .ok();
        }
        for command in std::mem::take(&mut self.commands) {
            self.answers.push(batch.act(|tx| keys::apply(tx, command))?);
            if !self.transaction {
                batch.serve()?;
            }
        }
        Ok(Ran::Done)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn release(self: Box<Self>, instead: Option<Refusal>) {
        // A client that went away hears nothing; what was done stays done.
        let _ = self.reply.send(instead.map_or(Ok(self.answers), Err));
    }
}

/// The job of a reader that waits when there is nothing, and where its answer arrives.
pub fn waiting_reader(
    command: Command,
    token: Token,
) -> (Box<dyn Job>, oneshot::Receiver<Result<Answer, Refusal>>) {
    let (reply, answer) = oneshot::channel();
    (Box::new(Reader { command, token, tried: false, answer: None, reply }), answer)
}

/// A reader that waits when there is nothing.
struct Reader {
    command: Command,
    token: Token,
    tried: bool,
    answer: Option<Result<Answer, Refusal>>,
    reply: oneshot::Sender<Result<Answer, Refusal>>,
}

impl Job for Reader {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<Ran, Fault> {
        if self.reply.is_closed() {
            // Its client is gone: nothing is to be delivered to it.
            return Ok(Ran::Done);
        }
        if let (Command::Read { keys, .. }, false) = (&mut self.command, self.tried) {
            // What was the end when the reader came stays its place.
            batch.act(|tx| fix_ends(tx, keys))?.ok();
        }
        let waited = std::mem::replace(&mut self.tried, true);
        let command = self.command.clone();
        let answer = match batch.act(|tx| keys::apply(tx, command))? {
            Err(refusal) if waited && refusal.code == Code::WrongType => {
                self.read_streams(batch, refusal)?
            }
            answer => answer,
        };
        match answer {
            Ok(Answer::Read(found)) if found.is_empty() => {
                Ok(Ran::Park { token: self.token, keys: self.keys(), line: self.line() })
            }
            answer => {
                self.answer = Some(answer);
                Ok(Ran::Done)
            }
        }
    }

    fn bytes(&self) -> usize {
        0
    }

    fn release(self: Box<Self>, instead: Option<Refusal>) {
        let nothing = || Ok(Answer::Read(Vec::new()));
        let _ = self.reply.send(match instead {
            Some(refusal) => Err(refusal),
            None => self.answer.unwrap_or_else(nothing),
        });
    }
}

impl Reader {
    /// New entries of one group are the same for all who want them. What is idle is not: each has
    /// its own idea of how long.
    fn line(&self) -> Option<Bytes> {
        match &self.command {
            Command::ReadGroup(read) if read.keys.len() == 1 && read.claim.is_none() => {
                Some(Bytes::copy_from_slice(&read.group))
            }
            _ => None,
        }
    }

    /// One of the keys became something else than a stream. A plain reader waits on, and the others
    /// may serve it meanwhile; one of a group is told, since its group is gone.
    fn read_streams(
        &self,
        batch: &mut Batch<'_>,
        refusal: Refusal,
    ) -> Result<Result<Answer, Refusal>, Fault> {
        let Command::Read { keys, count } = &self.command else { return Ok(Err(refusal)) };
        for (place, key) in keys.iter().enumerate() {
            let command = Command::Read { keys: vec![key.clone()], count: *count };
            if let Ok(Answer::Read(mut found)) = batch.act(|tx| keys::apply(tx, command))?
                && let Some((_, entries)) = found.pop()
            {
                return Ok(Ok(Answer::Read(vec![(place, entries)])));
            }
        }
        Ok(Ok(Answer::Read(Vec::new())))
    }

    fn keys(&self) -> Vec<KeyName> {
        match &self.command {
            Command::Read { keys, .. } => keys.iter().map(|(key, _)| key.detached()).collect(),
            Command::ReadGroup(read) => read.keys.iter().map(|(key, _)| key.detached()).collect(),
            _ => Vec::new(),
        }
    }
}
