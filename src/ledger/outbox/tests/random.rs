//! Random sequences of acts. After each of them the whole store is counted again (see
//! `testing::invariants`); at the end the agents are well and every run must reach its end:
//! no lane is forgotten, no place leaks, no timer is lost.

use proptest::prelude::*;

use crate::base::id::Id;
use crate::base::time::Span;
use crate::ledger::outbox::claim::Delivery;
use crate::ledger::outbox::{endpoints, revive};
use crate::ledger::runs::{edit, replay};
use crate::ledger::testing::{World, asking_for, done, good, http, n, ordered, push_task, timeout};
use crate::model::delivery::{Lane, PauseScope};
use crate::model::outcome::{Answer, FailureKind};
use crate::model::task::{KeyRule, Ordering, Task};
use crate::store::key::last_id;
use crate::store::kinds::{due, pause, run as run_rows, task as tasks};
use crate::store::rows::{Span as Keys, collect};

const TASKS: [&str; 6] = ["free", "few", "keyed", "by-org", "in-key", "strict"];

fn task(name: &str) -> Task {
    let mut task = match name {
        "in-key" => ordered(name, Ordering::Key),
        "strict" => ordered(name, Ordering::Strict),
        _ => push_task(name),
    };
    match name {
        "few" => task.concurrency = Some(2),
        "keyed" => task.concurrency = Some(1),
        "by-org" => {
            task.concurrency = Some(2);
            task.concurrency_key = Some(KeyRule::Org);
            task.retry_malformed = 1;
        }
        "in-key" => task.concurrency = Some(3),
        _ => {}
    }
    task.max_duration = Span::from_mins(10);
    task
}

struct Play {
    world: World,
    out: Vec<Delivery>,
}

impl Play {
    fn new(seed: u64) -> Play {
        let mut world = World::seeded(seed);
        for name in TASKS {
            world.register(task(name));
        }
        Play { world, out: Vec::new() }
    }

    fn runs(&self) -> Vec<Id> {
        let all = Keys::prefix(&run_rows::all());
        let rows = self.world.ask(|rows| collect(rows, &all, usize::MAX)).unwrap();
        rows.iter().map(|(key, _)| last_id(key).unwrap()).collect()
    }

    fn pick(&self, a: u8) -> Option<Id> {
        let runs = self.runs();
        (!runs.is_empty()).then(|| runs[runs.len() - 1 - usize::from(a) % runs.len()])
    }

    fn answer_of(&mut self, b: u8) -> Answer {
        let fresh = self.world.fresh_remote();
        match b % 16 {
            0..=4 => good(fresh),
            5 | 6 => done(fresh),
            7 => good(7),
            8 => http(200, &format!("{{\"run_id\":{fresh},\"has_explorer_index\":false}}")),
            9 => http(400, "no"),
            10 => http(200, "<html>"),
            11 => asking_for(503, "90"),
            12 => http(409, "busy"),
            13 => timeout(),
            14 => Answer::Failure { kind: FailureKind::Connect, detail: "refused".to_owned() },
            _ => http(500, "down"),
        }
    }

    fn step(&mut self, kind: u8, a: u8, b: u8) {
        let name = TASKS[usize::from(a) % TASKS.len()];
        let picked = self.pick(b);
        let fence = |world: &World, id| (!a.is_multiple_of(3)).then(|| world.run(id).fence);
        match (kind, picked) {
            (0..=4 | 28..=33, _) => {
                let _ = self.world.submit_with(name, |run| {
                    run.org = n(["acme", "umbrella"][usize::from(b) % 2]);
                    run.env = n(["prod", "test"][usize::from(b / 2) % 2]);
                    run.priority = (b % 5) as i8 - 2;
                    run.delay = b.is_multiple_of(7).then_some(Span::from_secs(i64::from(a)));
                    run.ttl = b.is_multiple_of(5).then_some(Span::from_secs(60));
                    run.max_attempts = b.is_multiple_of(11).then_some(1);
                    let keyed =
                        matches!(name, "keyed" | "in-key" | "by-org") && !b.is_multiple_of(3);
                    run.concurrency_key = keyed.then(|| format!("k{}", b % 3));
                    run.idempotency_key = b.is_multiple_of(13).then(|| format!("i{a}"));
                });
            }
            (5..=7 | 34..=39, _) => {
                let claimed = self.world.claim_some(name, 1 + usize::from(b) % 12);
                self.out.extend(claimed.deliveries);
            }
            (8..=10 | 40..=45, _) if !self.out.is_empty() => {
                let delivery = self.out.remove(usize::from(a) % self.out.len());
                let answer = self.answer_of(b);
                self.world.answer(&delivery, answer.clone());
                if a.is_multiple_of(9) {
                    self.world.answer(&delivery, answer);
                }
            }
            (11, _) => drop(self.world.fire()),
            (12, _) => drop(self.world.after(Span::from_secs(i64::from(b)))),
            (13, _) => drop(self.world.after(Span::from_mins(i64::from(b) / 8))),
            (14, Some(id)) => drop(self.world.cancel(id)),
            (15, Some(id)) => {
                let fence = fence(&self.world, id);
                drop(self.world.complete(id, fence));
            }
            (16 | 17, Some(id)) => {
                let fence = fence(&self.world, id);
                drop(self.world.fail(id, a.is_multiple_of(2), fence));
            }
            (18, Some(id)) => drop(self.world.retry_now(id)),
            (19, Some(id)) => drop(self.world.act(|tx| replay::replay(tx, id, None))),
            (20, _) => self.pause_or_resume(name, b),
            (21, _) => drop(self.world.restart()),
            (22, Some(id)) => {
                let delay = Span::from_secs(i64::from(a));
                drop(self.world.act(|tx| edit::reschedule(tx, id, delay)));
            }
            (23, _) => {
                let filter = revive::Filter::default();
                drop(self.world.act(|tx| revive::replay(tx, &filter, b.is_multiple_of(2))));
            }
            (24, _) => {
                let mut changed = task(name);
                changed.concurrency = changed.concurrency.map(|_| u32::from(b) % 4);
                drop(self.world.try_register(changed));
            }
            (25, Some(id)) => {
                let fence = self.world.run(id).fence;
                drop(self.world.heartbeat(id, fence));
            }
            (26, _) => drop(self.world.act(|tx| {
                if b.is_multiple_of(4) {
                    endpoints::disable(tx, &n(name))
                } else {
                    endpoints::enable(tx, &n(name))
                }
            })),
            (27, _) => {
                self.world.batching = !self.world.batching;
                self.world.commit();
            }
            _ => {}
        }
    }

    fn pause_or_resume(&mut self, name: &str, b: u8) {
        let lane = Lane { org: "acme".into(), env: "prod".into(), key: String::new() };
        let scope = match b % 4 {
            0 => PauseScope::All,
            1 => PauseScope::Task(n(name)),
            2 => PauseScope::Org(n("acme")),
            _ => PauseScope::Lane { task: n(name), lane },
        };
        if b.is_multiple_of(3) {
            let _ = self.world.act(|tx| crate::ledger::outbox::pauses::resume(tx, &scope));
        } else {
            let until = b.is_multiple_of(2).then(|| self.world.now.plus(Span::from_secs(40)));
            self.world.pause(scope, until);
        }
    }

    /// Everything is well from now on: all that is open must come to an end.
    fn finish(mut self) {
        self.world.batching = false;
        self.world.commit();
        for pause in self.world.ask(pause::list).unwrap() {
            self.world.resume(&pause.scope);
        }
        for task in self.world.ask(|rows| tasks::list(rows, None, 100)).unwrap() {
            let mut task = task;
            task.concurrency = task.concurrency.map(|limit| limit.max(1));
            self.world.act(|tx| endpoints::enable(tx, &task.name)).unwrap();
            self.world.register(task);
        }
        self.out.clear();
        for _ in 0..500 {
            self.world.fire();
            let mut quiet = true;
            for name in TASKS {
                for delivery in self.world.claim(name) {
                    let remote = self.world.fresh_remote();
                    self.world.answer(&delivery, done(remote));
                    quiet = false;
                }
            }
            if !quiet {
                continue;
            }
            let open = |id: &Id| !self.world.run(*id).status.is_final();
            if !self.runs().iter().any(open) {
                return;
            }
            // What is left waits for a timer: a lease, a delay, a deadline, a breaker.
            let next = self.world.ask(due::next).unwrap();
            let soon = self.world.now.plus(Span::from_secs(30));
            self.world.now = next.map_or(soon, |at| at.max(self.world.now)).max(soon);
        }
        for id in self.runs() {
            let run = self.world.run(id);
            assert!(run.status.is_final(), "never ends: {run:?}, row {:?}", self.world.row(id));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_acts_keep_the_store_whole(
        seed in 0u64..1_000,
        steps in proptest::collection::vec((0u8..46, any::<u8>(), any::<u8>()), 1..150),
    ) {
        let mut play = Play::new(seed);
        for (kind, a, b) in steps {
            play.step(kind, a, b);
        }
        play.finish();
    }
}
