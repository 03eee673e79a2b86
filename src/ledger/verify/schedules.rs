//! Schedules: each has its timer, its windows stand in order and once, and a round counts its slots.

use std::collections::BTreeSet;

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::delivery::Timer;
use crate::model::schedule::{Got, ORGS_MAX, Progress, ROUNDS_KEPT, Round, RoundState};
use crate::store::fault::Fault;
use crate::store::key::last_id;
use crate::store::kinds::{round as rounds, schedule as schedules};
use crate::store::tables::Table;

use super::Check;

impl Check<'_> {
    pub fn check_schedules(&mut self) -> Result<(), Fault> {
        self.each(Table::ScheduleProgress, &mut |check, key, _| {
            let id = last_id(key)?;
            let Some(progress) = schedules::progress(check.rows, id)? else { return Ok(()) };
            if let Some(at) = progress.due_at {
                check.timer(Timer::Schedule, at, id)?;
            }
            // What a deleted one leaves is cleared away.
            if !progress.deleted {
                check.check_schedule(id, &progress)?;
            }
            Ok(())
        })
    }

    fn check_schedule(&mut self, id: Id, progress: &Progress) -> Result<(), Fault> {
        let what = || format!("schedule `{}`", progress.name);
        let found = schedules::get(self.rows, &progress.name)?.map(|found| found.id);
        self.same(found, Some(id), what);
        let is_ahead = progress.next.is_none_or(|next| next > progress.passed);
        self.expect(is_ahead, || format!("{}: its next window is dealt with", what()));
        // Surplus ones go one by one, after a new one was begun.
        let all = rounds::newest(self.rows, id, ROUNDS_KEPT)?;
        let windows: Vec<Time> = all.iter().filter_map(|round| round.window).collect();
        let in_order = windows.windows(2).all(|two| two[0] > two[1]);
        let are_passed = windows.iter().all(|window| *window <= progress.passed);
        self.expect(in_order && are_passed, || format!("{}: its windows {windows:?}", what()));
        let known: BTreeSet<Id> = [progress.round, progress.manual].into_iter().flatten().collect();
        for round in &all {
            let is_open = round.state == RoundState::Open;
            self.same(known.contains(&round.id), is_open, || {
                format!("{}: round {} is open", what(), round.id)
            });
            self.check_round(round, &what())?;
        }
        Ok(())
    }

    fn check_round(&mut self, round: &Round, about: &str) -> Result<(), Fault> {
        let what = || format!("{about}, round {}", round.id);
        let slots = rounds::slots(self.rows, round, None, ORGS_MAX + 1)?;
        let failing = slots.iter().filter(|slot| slot.got.is_nothing()).count();
        self.same(failing, round.failing as usize, || format!("{}: failing", what()));
        let got: BTreeSet<Id> = slots
            .iter()
            .filter_map(|slot| match slot.got {
                Got::Run(id) | Got::Sharded(id) => Some(id),
                Got::Nothing { .. } => None,
            })
            .collect();
        self.same(got.len(), round.made as usize, || format!("{}: made, each its own", what()));
        let is_open = round.state == RoundState::Open;
        let is_right = (round.state != RoundState::Done || failing == 0)
            && round.ended_at.is_none() == is_open;
        self.expect(is_right, || format!("{}: its end", what()));
        Ok(())
    }
}
