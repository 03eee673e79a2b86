//! Rules of schedules, by name, and the words that these tests share.

mod missed;
mod orgs;
mod windows;

use crate::base::id::RunId;
use crate::base::name::Name;
use crate::base::time::Time;
use crate::ledger::testing::*;
use crate::model::refusal::Refusal;
use crate::model::schedule::{Got, Missed, Progress, Round, Slot, Wanted, Work};
use crate::store::kinds::{round as rounds, run as run_rows, schedule as rows};

use super::set::{self, Put};
use super::told;

/// A moment of the day on which these tests begin.
fn at(text: &str) -> Time {
    Time::parse(&format!("2026-11-21T{text}:00Z")).unwrap()
}

fn wanted(cron: &str) -> Wanted {
    Wanted {
        cron: cron.to_owned(),
        timezone: "UTC".to_owned(),
        task: n("triage"),
        work: Work::Payload(Some(b"{}".to_vec())),
        orgs: vec![n("acme")],
        env: n("prod"),
        spread: crate::base::time::Span::ZERO,
        missed: Missed::Once,
    }
}

fn org_names(count: usize) -> Vec<Name> {
    (0..count).map(|at| n(&format!("org-{at:03}"))).collect()
}

/// A world at 08:00 with a task and a schedule of this name that fires at 10:00 and 22:00.
fn world() -> World {
    world_with(|_| {})
}

fn world_with(change: impl FnOnce(&mut Wanted)) -> World {
    let mut world = World::with(push_task("triage"));
    world.now = at("08:00");
    let mut wanted = wanted("0 10,22 * * *");
    change(&mut wanted);
    world.put("nightly", wanted).unwrap();
    world
}

impl World {
    fn put(&mut self, name: &str, wanted: Wanted) -> Result<bool, Refusal> {
        let put = Put { name: n(name), wanted, paused: None, by: "api".to_owned() };
        self.act(|tx| set::put(tx, put))
    }

    fn change(&mut self, change: impl FnOnce(&mut Wanted)) {
        let found = self.ask(|view| rows::get(view, &n("nightly"))).unwrap().unwrap();
        let mut wanted = found.wanted;
        change(&mut wanted);
        assert!(!self.put("nightly", wanted).unwrap());
    }

    fn pause_it(&mut self, paused: bool) {
        self.act(|tx| set::pause(tx, &n("nightly"), paused, "operator")).unwrap();
    }

    fn run_now(&mut self) -> Result<Round, Refusal> {
        self.act(|tx| set::run_now(tx, &n("nightly"), "api"))
    }

    fn delete_it(&mut self) {
        self.act(|tx| set::delete(tx, &n("nightly"))).unwrap();
    }

    /// The clock shows this, and whatever is due fires.
    fn at(&mut self, now: Time) -> &mut World {
        self.now = now;
        self.fire()
    }

    fn progress(&self) -> Progress {
        let found = self.ask(|view| rows::get(view, &n("nightly"))).unwrap().unwrap();
        self.ask(|view| rows::progress(view, found.id)).unwrap().unwrap()
    }

    /// Newest first.
    fn rounds(&self) -> Vec<Round> {
        let id = self.progress().id;
        self.ask(|view| rounds::newest(view, id, 100)).unwrap()
    }

    fn slots(&self, round: &Round) -> Vec<Slot> {
        self.ask(|view| rounds::slots(view, round, None, 2_000)).unwrap()
    }

    /// What was told of every round, newest first: window, state, made, failing, missed.
    fn history(&self) -> Vec<String> {
        let tell = |round: &Round| {
            let window =
                round.window.map_or("by hand".to_owned(), |at| at.to_rfc3339()[5..16].to_owned());
            let Round { made, failing, missed, .. } = round;
            format!("{window} {} {made}+{failing} missed {missed}", round.state.as_str())
        };
        self.rounds().iter().map(tell).collect()
    }

    /// Runs that schedules made, oldest first.
    fn made(&self) -> Vec<RunId> {
        let mut runs: Vec<RunId> = self
            .rounds()
            .iter()
            .flat_map(|round| self.slots(round))
            .filter_map(|slot| match slot.got {
                Got::Run(id) => Some(id),
                Got::Sharded(_) | Got::Nothing { .. } => None,
            })
            .collect();
        runs.sort();
        runs
    }

    fn count_runs(&self) -> usize {
        let all = crate::ledger::ask::list::Filter::default();
        self.ask(|view| crate::ledger::ask::list::list(view, &all, 200, None)).unwrap().runs.len()
    }

    fn metadata(&self, run: RunId) -> String {
        let run = self.ask(|view| run_rows::get(view, run)).unwrap().unwrap();
        run.metadata.unwrap()
    }

    fn tell_it(&self) -> told::Told {
        let found = self.ask(|view| rows::get(view, &n("nightly"))).unwrap().unwrap();
        self.ask(|view| told::tell(view, found)).unwrap()
    }
}
