//! Retention and bulk jobs where the power goes at every operation of the disk, one after another:
//! what is removed is removed whole, nothing that lives is touched, and a job acts on each run of
//! its set exactly once.

use std::collections::BTreeMap;

use tidegate::base::entropy::Entropy;
use tidegate::base::id::{Id, Minter, RunId};
use tidegate::base::time::{Span, Time};
use tidegate::engine::batch::{Call, run_batch};
use tidegate::engine::parked::Parked;
use tidegate::ledger::ask::list::Filter;
use tidegate::ledger::jobs;
use tidegate::ledger::retain::{Round, look, remove};
use tidegate::ledger::runs::cancel::cancel;
use tidegate::ledger::runs::submit::{Submit, submit};
use tidegate::model::job::{Action, Job, JobState};
use tidegate::model::retention::Retention;
use tidegate::model::run::{Run, Status};
use tidegate::model::task::Task;
use tidegate::store::fault::Stop;
use tidegate::store::kinds::{job as job_rows, run as run_rows};
use tidegate::store::rows::{Rows, Span as Keys};
use tidegate::store::tables::Table;
use tidegate::store::tx::Tx;

use crate::checks;
use crate::command::Command;
use crate::disk::Trouble;
use crate::machine::{End, Machine};
use crate::workload::name;

const NOW: Time = Time(1_700_000_000_000);
/// More than two slices of either kind.
const RUNS: usize = 70;
/// Operations after which a story must have met its end.
const OPERATIONS_MAX: u64 = 5_000;

/// A store, and the process that writes to it.
pub struct Process {
    pub machine: Machine,
    minter: Minter,
    entropy: Entropy,
    pub now: Time,
    cuts: u32,
}

impl Process {
    pub fn start() -> Process {
        Process {
            machine: Machine::new(1 << 20),
            minter: Minter::new(Entropy::from_seed(1)),
            entropy: Entropy::from_seed(2),
            now: NOW,
            cuts: 0,
        }
    }

    /// One command in a batch of its own; `None` when the power went, and it is up again.
    pub fn act<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> Option<T> {
        let (call, mut answer) = Call::new(act);
        let (store, now) = (self.machine.store(), self.now);
        let jobs: Vec<Box<dyn tidegate::engine::batch::Job>> = vec![Box::new(call)];
        let done = run_batch(store, jobs, &mut Parked::default(), now, &mut self.minter);
        if done.is_ok() && !self.machine.has_failed() {
            return Some(answer.try_recv().expect("an answer").expect("nothing is refused here"));
        }
        self.cuts += 1;
        self.machine.end(End::Power, &mut self.entropy);
        self.machine.open().expect("a healthy disk opens");
        let newest = self.machine.newest().expect("a healthy disk can be read");
        newest.into_iter().for_each(|id| self.minter.stay_above(id));
        None
    }

    fn must<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> T {
        self.act(act).expect("the disk is healthy")
    }

    pub fn ask<T>(&self, question: impl FnOnce(&dyn Rows) -> T) -> T {
        question(&self.machine.store().snapshot().expect("a healthy disk can be read"))
    }

    /// How often the power went.
    pub fn cuts(&self) -> u32 {
        self.cuts
    }

    /// The task of all runs.
    pub fn register(&mut self) {
        let task = Task::pushed(name("work"), "https://agent.example/run".to_owned(), NOW);
        self.must(move |tx| Command::PutTask(Box::new(task)).run(tx));
    }

    /// A task, and so many runs of it.
    fn submit(&mut self, count: usize, delay: Option<Span>) -> Vec<RunId> {
        self.register();
        self.must(move |tx| {
            let mut ids = Vec::new();
            for number in 0..count {
                let payload = Some(format!("{{\"n\":{number}}}").into_bytes());
                let mut wanted = Submit::plain(name("work"), name("acme"), name("prod"), payload);
                wanted.tags = vec!["some".to_owned()];
                wanted.delay = delay;
                wanted.idempotency_key = delay.is_none().then(|| format!("key{number}"));
                ids.push(submit(tx, wanted)?.run.id);
            }
            Ok(ids)
        })
    }

    pub fn runs(&self) -> BTreeMap<RunId, Run> {
        let mut found = BTreeMap::new();
        self.ask(|rows| {
            checks::scan(rows, Table::Run, |key, value| {
                let id = tidegate::store::key::last_id(key).expect("a key ends with an id");
                found.insert(id, run_rows::read(id, value).expect("a run can be read"));
            });
        });
        found
    }
}

/// Tells a story with the power going at each operation in turn, until it is through without.
pub fn at_every_operation(story: impl Fn(u64) -> u32) {
    for nth in 1..OPERATIONS_MAX {
        if story(nth) == 0 {
            assert!(nth > 5, "the story was over after {nth} operations");
            return;
        }
    }
    panic!("the story never ends");
}

fn mentions(rows: &dyn Rows, id: Id) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let all = Keys { lo: vec![1], hi: vec![0xff], newest_first: false };
    rows.scan(&all, &mut |key, value| {
        let has = |bytes: &[u8]| bytes.windows(16).any(|window| window == id.0);
        if has(key) || has(value) {
            found.push(key.to_vec());
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .expect("a healthy disk can be read");
    found
}

#[test]
fn retention_removes_whole_runs_whenever_the_power_goes() {
    at_every_operation(|nth| {
        let mut process = Process::start();
        let old = process.submit(RUNS, None);
        let ended = old.clone();
        process.must(move |tx| {
            ended.into_iter().try_for_each(|id| cancel(tx, id, None, "api").map(drop))
        });
        let open = process.submit(3, Some(Span::from_days(90)));
        process.now = NOW.plus(Span::from_days(31));
        process.machine.disk().fail_at(nth, Trouble::PowerOff);
        let kept = Retention::default();
        let mut round = Round::default();
        loop {
            let now = process.now;
            let view = process.machine.store().snapshot();
            let found = view.and_then(|view| look(&view, now, &kept, &mut round));
            // A read that failed is seen by the next command.
            let due = found.unwrap_or_default();
            let more = due.more;
            match process.act(move |tx| remove(tx, &due, &kept)) {
                Some(_) if !more => break,
                Some(_) => {}
                None => round = Round::default(),
            }
        }
        let left = process.runs();
        assert!(open.iter().all(|id| left[id].status == Status::Delayed), "cut at {nth}");
        assert_eq!(left.len(), open.len(), "cut at {nth}");
        process.ask(|rows| {
            checks::check_after(rows, false, old.len());
            for id in [old[0], old[RUNS / 2], old[RUNS - 1]] {
                assert!(mentions(rows, id).is_empty(), "cut at {nth}: {:?}", mentions(rows, id));
            }
        });
        process.cuts
    });
}

/// Begins a job and works until it is over, whatever happens meanwhile.
fn work(process: &mut Process, action: Action) -> Job {
    loop {
        let known = process.ask(|rows| job_rows::list(rows, None, 2)).expect("jobs can be read");
        match &known[..] {
            [job] if job.state.is_over() => return job.clone(),
            [job] => {
                let id = job.id;
                process.act(move |tx| jobs::step(tx, id));
            }
            [] => {
                let filter = Filter { tag: Some("some".to_owned()), ..Filter::default() };
                let create = jobs::Create { action, filter, dry_run: false, by: "api" };
                process.act(move |tx| jobs::create(tx, create));
            }
            _ => panic!("two jobs: {known:?}"),
        }
    }
}

#[test]
fn replay_job_makes_one_fresh_run_of_each_whenever_the_power_goes() {
    at_every_operation(|nth| {
        let mut process = Process::start();
        let old = process.submit(RUNS, None);
        process.machine.disk().fail_at(nth, Trouble::PowerOff);
        let job = work(&mut process, Action::Replay);
        assert_eq!((job.state, job.matched, job.done), (JobState::Done, 70, 70), "cut at {nth}");
        let mut fresh: BTreeMap<RunId, u32> = BTreeMap::new();
        for run in process.runs().into_values() {
            run.replay_of.into_iter().for_each(|of| *fresh.entry(of).or_default() += 1);
        }
        assert!(old.iter().all(|id| fresh.get(id) == Some(&1)), "cut at {nth}: {fresh:?}");
        assert_eq!(fresh.len(), old.len());
        process.ask(|rows| {
            checks::check(rows, false);
            let open = [Table::JobRun, Table::JobOpen].map(|table| checks::keys(rows, table).len());
            assert_eq!(open, [0, 0], "cut at {nth}");
        });
        process.cuts
    });
}

#[test]
fn cancel_job_ends_its_runs_whenever_the_power_goes() {
    at_every_operation(|nth| {
        let mut process = Process::start();
        process.submit(RUNS, None);
        process.machine.disk().fail_at(nth, Trouble::PowerOff);
        let job = work(&mut process, Action::Cancel);
        assert_eq!((job.done, job.skipped, job.failed), (70, 0, 0), "cut at {nth}");
        assert!(process.runs().values().all(|run| run.status == Status::Canceled));
        process.ask(|rows| checks::check(rows, false));
        process.cuts
    });
}
