//! Retention as tests run it: a whole round at once.

use crate::ledger::retain::{Removed, Round, look, remove};
use crate::model::retention::Retention;

use super::World;

impl World {
    /// A round to its end; gives what went, and how many slices it took.
    pub fn retain(&mut self, kept: &Retention) -> (Removed, usize) {
        let (mut round, mut removed, mut slices) = (Round::default(), Removed::default(), 0);
        loop {
            let (now, before) = (self.now, round.clone());
            let due = self.ask(|rows| look(rows, now, kept, &mut round)).unwrap();
            slices += 1;
            assert!(slices < 1_000, "a round never ends");
            let done = self.act(|tx| remove(tx, &due, kept)).unwrap();
            removed.add(&done);
            if done.cut {
                round.step_back(&before);
            }
            if !due.more && !done.cut {
                return (removed, slices);
            }
        }
    }
}
