//! Rules of the burst buffer, by name.

mod drain;
mod fair;
mod held;
mod random;

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::keys::command::{Command, Expiry, SetIf};
use crate::ledger::runs::submit::{Receipt, Submit};
use crate::ledger::testing::*;
use crate::model::refusal::Refusal;
use crate::model::stream::KeyName;

use super::accept::{Caps, accept};
use super::drain::{Drained, drain};
use super::rotate::Rotation;

/// Room for everything.
pub(super) fn roomy() -> Caps {
    Caps {
        env_max: 1_000_000,
        total_max: 1_000_000,
        env_bytes_max: 1 << 40,
        total_bytes_max: 1 << 40,
        retry_after: Span::from_secs(1),
    }
}

/// How the tests speak of the buffer.
pub(super) trait Buffering {
    fn accept_with(
        &mut self,
        task: &str,
        caps: &Caps,
        change: impl FnOnce(&mut Submit),
    ) -> Result<Receipt, Refusal>;
    fn accept(&mut self, task: &str) -> RunId;
    /// Takes out at most `count`, with a rotation that goes on.
    fn drain_on(&mut self, rotation: &mut Rotation, count: usize) -> Drained;
    fn drain(&mut self, count: usize) -> Drained;
    /// Gives a name to a string: no stream can have it then.
    fn take_name(&mut self, name: &str);
    fn free_name(&mut self, name: &str);
}

impl Buffering for World {
    fn accept_with(
        &mut self,
        task: &str,
        caps: &Caps,
        change: impl FnOnce(&mut Submit),
    ) -> Result<Receipt, Refusal> {
        let mut command = request(task);
        change(&mut command);
        self.act(|tx| accept(tx, command, caps)).map(|accepted| accepted.receipt)
    }

    fn accept(&mut self, task: &str) -> RunId {
        self.accept_with(task, &roomy(), |_| {}).unwrap().run.id
    }

    fn drain_on(&mut self, rotation: &mut Rotation, count: usize) -> Drained {
        let before = rotation.clone();
        let (drained, after) = self.act(|tx| drain(tx, before, count, 3)).unwrap();
        *rotation = after;
        drained
    }

    fn drain(&mut self, count: usize) -> Drained {
        self.drain_on(&mut Rotation::default(), count)
    }

    fn take_name(&mut self, name: &str) {
        let (key, value) = (KeyName::of(name), "taken".into());
        let (when, expiry, get) = (SetIf::Always, Expiry::None, false);
        self.ask_for(Command::Set { key, value, when, expiry, get }).unwrap();
    }

    fn free_name(&mut self, name: &str) {
        self.ask_for(Command::Remove { keys: vec![KeyName::of(name)] }).unwrap();
    }
}
