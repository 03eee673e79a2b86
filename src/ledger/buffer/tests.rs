//! Rules of the burst buffer, by name. Each is a test here, or one where its matter lies: of the
//! sweep, the gate, the settings, the duties, the routes (`grep -rE "fn [abc][0-9]{2}_" src tests`);
//! and all of them together live in the simulator. The others cannot be broken here:
//!
//! | rule | why |
//! |---|---|
//! | A-01 A-02 A-14 | Runs have no spans: a trace context is passed on, nothing is emitted. A canceled run is a row at once. |
//! | A-05 | No metric has labels from names; figures by env are answers of the API. |
//! | A-08 | The failure row is written by the transaction that closes the entry: none, or both. |
//! | A-15 | Nothing runs, connects or spawns when it is built: duties are functions that `app` starts. |
//! | B-07 B-08 C-14 | There are no claims and nobody waits for an entry: keys are bound, and edits done, by one transaction. |
//! | B-11 | No call resets a key; one whose run is gone is free (B-12). |
//! | B-13 | Ids are minted by the act, never brought along; a key that is bound gives its run (B-09). |
//! | B-14 | No cache of requests; a look-up needs an id by its type. |
//! | B-17 | No edit waits, so nothing polls. |
//! | B-22 | A parent is a field of the head that is read, not a second look-up; there are no operations on it. |
//! | B-26 | One duty drains, by one transaction at a time. |
//! | B-33 | No loop of ours is run by many: one drainer, one sweep; clients are told `Retry-After`. |

mod drain;
mod fair;
mod held;
mod random;
mod rules;

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
