//! Retention and bulk jobs at random, between runs that come and end, with the power going now and
//! then. After every command the whole store is compared with the moment before: whatever went was
//! over for long enough, and every replay is one that a job has counted.

use std::collections::BTreeMap;

use tidegate::base::entropy::Entropy;
use tidegate::base::id::RunId;
use tidegate::base::time::Span;
use tidegate::ledger::ask::list::Filter;
use tidegate::ledger::jobs;
use tidegate::ledger::retain::{Round, look, remove};
use tidegate::ledger::runs::cancel::cancel;
use tidegate::ledger::runs::submit::{Submit, submit};
use tidegate::model::job::{Action, Job, JobState};
use tidegate::model::refusal::Refusal;
use tidegate::model::retention::Retention;
use tidegate::model::run::{Run, Status};
use tidegate::store::fault::Stop;
use tidegate::store::kinds::job as job_rows;
use tidegate::store::tx::Tx;

use crate::checks;
use crate::disk::Trouble;
use crate::keep::Process;
use crate::mix::{once_in, one};
use crate::workload::name;

const SEEDS: u64 = 6;
const TURNS: u32 = 150;
/// Runs in the store beyond which no more are made.
const RUNS_MAX: usize = 250;
const KEPT: Retention = Retention {
    runs: Span::from_hours(2),
    runs_max: 0,
    attempts: Span::from_hours(1),
    delivered: Span::from_hours(1),
    dead_letters: Span::from_hours(3),
    dead_letters_max: 10,
    dead_letters_bytes: 1 << 30,
    notices: Span::from_hours(1),
    // Jobs stay, so that what they did can be added up.
    jobs: Span::from_days(999),
    batches: Span::from_hours(2),
    sharded_runs: Span::from_hours(2),
    audit: Span::from_hours(1),
};

/// What is known of the world.
struct Life {
    process: Process,
    entropy: Entropy,
    before: BTreeMap<RunId, Run>,
    /// Fresh runs that were ever seen, by the run that they repeat.
    replays: u64,
    removed: usize,
    round: Round,
}

impl Life {
    fn begin(seed: u64) -> Life {
        let mut process = Process::start();
        process.register();
        Life {
            process,
            entropy: Entropy::from_seed(seed),
            before: BTreeMap::new(),
            replays: 0,
            removed: 0,
            round: Round::default(),
        }
    }

    fn turn(&mut self) {
        match self.entropy.below(12) {
            0 | 1 if self.before.len() < RUNS_MAX => self.submit(),
            0..=2 => self.end_some(),
            3 => self.start_job(),
            4 => self.settle_job(),
            5..=7 => self.work(),
            8 | 9 => self.retain(),
            10 => {
                let step = one(&mut self.entropy, &[60_000, 3_600_000]);
                self.process.now = self.process.now.plus(Span(step));
            }
            _ => {
                let nth = 1 + self.entropy.below(12);
                self.process.machine.disk().fail_at(nth, Trouble::PowerOff);
            }
        }
        self.compare();
    }

    /// A command that may be refused; the power may go meanwhile.
    fn act<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> Option<Result<T, Refusal>> {
        self.process.act(move |tx| tx.attempt(act).map_err(Stop::Failed))
    }

    fn submit(&mut self) {
        let count = 1 + self.entropy.below(20);
        let delay = once_in(&mut self.entropy, 3).then(|| Span::from_hours(5));
        let tag = one(&mut self.entropy, &["even", "odd"]).to_owned();
        self.act(move |tx| {
            for _ in 0..count {
                let mut wanted = Submit::plain(name("work"), name("acme"), name("prod"), None);
                (wanted.tags, wanted.delay) = (vec![tag.clone()], delay);
                submit(tx, wanted)?;
            }
            Ok(())
        });
    }

    fn end_some(&mut self) {
        let open: Vec<RunId> =
            self.before.values().filter(|r| !r.status.is_final()).map(|r| r.id).collect();
        if open.is_empty() {
            return;
        }
        for _ in 0..5 {
            let id = one(&mut self.entropy, &open);
            self.act(move |tx| cancel(tx, id, None, "api").map(drop));
        }
    }

    fn start_job(&mut self) {
        let action = one(&mut self.entropy, Action::ALL);
        let statuses = one(&mut self.entropy, &[vec![], vec![Status::Queued, Status::Canceled]]);
        let tag = Some(one(&mut self.entropy, &["even", "odd"]).to_owned());
        let filter = Filter { statuses, tag, ..Filter::default() };
        let replays = action == Action::Replay && self.before.len() >= RUNS_MAX;
        let dry_run = replays || once_in(&mut self.entropy, 3);
        let create = jobs::Create { action, filter, dry_run, by: "api" };
        self.act(move |tx| jobs::create(tx, create));
    }

    fn jobs(&self) -> Vec<Job> {
        self.process.ask(|rows| job_rows::list(rows, None, usize::MAX)).expect("jobs can be read")
    }

    /// A preview is confirmed, or a job stopped.
    fn settle_job(&mut self) {
        let open: Vec<Job> = self.jobs().into_iter().filter(|job| !job.state.is_over()).collect();
        if open.is_empty() {
            return;
        }
        let job = one(&mut self.entropy, &open);
        let confirm = !once_in(&mut self.entropy, 3) && self.before.len() < RUNS_MAX;
        self.act(move |tx| match confirm {
            true => jobs::confirm(tx, job.id),
            false => jobs::cancel(tx, job.id),
        });
    }

    fn work(&mut self) {
        let open = self.process.ask(|rows| job_rows::open(rows, jobs::OPEN_MAX));
        for id in open.expect("jobs can be read") {
            self.act(move |tx| jobs::step(tx, id));
        }
    }

    fn retain(&mut self) {
        let (now, mut round) = (self.process.now, std::mem::take(&mut self.round));
        let view = self.process.machine.store().snapshot();
        let Ok(due) = view.and_then(|view| look(&view, now, &KEPT, &mut round)) else { return };
        if due.more {
            self.round = round;
        }
        self.act(move |tx| remove(tx, &due, &KEPT));
    }

    /// Whatever went was over for long enough; whatever came as a replay is a new one.
    fn compare(&mut self) {
        let (now, after) = (self.process.now, self.process.runs());
        for (id, run) in &self.before {
            if after.contains_key(id) {
                continue;
            }
            let ended = run.finished_at.unwrap_or_else(|| panic!("{id} was open and is gone"));
            assert!(now.since(ended) >= KEPT.runs, "{id} ended {ended:?} and is gone at {now:?}");
            self.removed += 1;
        }
        let fresh = after.values().filter(|run| !self.before.contains_key(&run.id));
        self.replays += fresh.filter(|run| run.replay_of.is_some()).count() as u64;
        self.before = after;
    }

    fn check(&self) {
        self.process.ask(|rows| checks::check_after(rows, false, self.removed));
        let jobs = self.jobs();
        let done = jobs.iter().filter(|job| job.action == Action::Replay).map(|job| job.done);
        assert_eq!(done.sum::<u64>(), self.replays, "replays that jobs have counted, and all");
        for job in &jobs {
            let left = self.process.ask(|rows| job_rows::runs(rows, job.id, usize::MAX));
            let left = left.expect("a set can be read").len() as u64;
            if matches!(job.state, JobState::Running | JobState::Counting) {
                assert_eq!(left, job.left(), "{job:?}");
            }
            assert!(job.state != JobState::Done || job.dry_run || job.left() == 0, "{job:?}");
        }
    }
}

#[test]
fn jobs_and_retention_keep_their_promises_at_random() {
    let (mut removed, mut replays) = (0, 0);
    for seed in 0..SEEDS {
        let mut life = Life::begin(seed);
        for turn in 0..TURNS {
            life.turn();
            if turn % 10 == 9 {
                life.check();
            }
        }
        life.check();
        removed += life.removed;
        replays += life.replays;
    }
    assert!(removed > 200 && replays > 200, "{removed} removed, {replays} replayed: too little");
}
