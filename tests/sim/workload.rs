//! What clients and operators do: runs they ask for, repeat, edit, cancel, finish and try again,
//! pauses, tasks that change. Which of it happens, and how often, is the mixture of the seed.

use tidegate::base::entropy::Entropy;
use tidegate::base::hash::Fnv;
use tidegate::base::id::{Id, RunId};
use tidegate::base::name::Name;
use tidegate::base::time::{Span, Time};
use tidegate::ledger::runs::submit::Submit;
use tidegate::model::breaker::State;
use tidegate::model::delivery::PauseScope;
use tidegate::model::retry::RetryPolicy;
use tidegate::model::task::{Delivery, Flush, KeyRule, Ordering, Push, Source, Task};
use tidegate::store::kinds::run::Body;
use tidegate::store::kinds::{endpoint, pause};
use tidegate::store::rows::Rows;

use crate::command::Command;
use crate::mix::{Mix, once_in, one};
use crate::shape::Shape;
use crate::streams::{PULL, SPOILED};

/// Runs of one seed: enough for rare meetings, few enough to check often.
const RUNS_MAX: u64 = 40;
/// Further ones that come in bursts.
const BURST_RUNS_MAX: u64 = 40;

#[derive(Clone, Copy, Debug)]
enum Act {
    Submit,
    SubmitWithKey,
    Repeat,
    AddTags,
    SetMetadata,
    Reschedule,
    Cancel,
    Complete,
    Fail,
    RetryNow,
    Replay,
    Pause,
    Resume,
    ChangeTask,
    RemoveTask,
    Switch,
}

pub struct Workload {
    mix: Mix<Act>,
    pub tasks: Vec<Task>,
    /// Requests with a key: these may be repeated, whatever was heard of them.
    keyed: Vec<Submit>,
    /// The number of the latest request; it is in its payload, so receivers can tell requests apart.
    number: u64,
    runs_max: u64,
    burst_runs: u64,
    /// Everything that was ever paused, lifted or not.
    paused: Vec<PauseScope>,
}

impl Workload {
    pub fn random(entropy: &mut Entropy, shape: Shape) -> Workload {
        let always = [(Act::Submit, 3)];
        let sometimes = [
            (Act::SubmitWithKey, 5),
            (Act::Repeat, 4),
            (Act::AddTags, 1),
            (Act::SetMetadata, 1),
            (Act::Reschedule, 1),
            (Act::Cancel, 1),
            (Act::Complete, 1),
            (Act::Fail, 1),
            (Act::RetryNow, 3),
            (Act::Replay, 1),
            (Act::Pause, 1),
            (Act::Resume, 1),
            (Act::ChangeTask, 1),
            (Act::RemoveTask, 1),
            (Act::Switch, 1),
        ];
        let mix = Mix::random(entropy, &always, &sometimes);
        let count = 1 + entropy.below(3);
        let tasks = (0..count)
            .map(|n| {
                let pulled = match shape {
                    Shape::Push => false,
                    Shape::Pull => true,
                    Shape::Both => n == 0 || once_in(entropy, 3),
                };
                task(&format!("task{n}"), pulled, entropy)
            })
            .collect();
        let runs_max = if shape == Shape::Push { RUNS_MAX } else { 2 * RUNS_MAX };
        Workload {
            mix,
            tasks,
            keyed: Vec::new(),
            number: 0,
            runs_max,
            burst_runs: 0,
            paused: Vec::new(),
        }
    }

    /// The next thing that someone wants; `known` are runs that someone was told of, `dead` the
    /// dead letters that an operator sees.
    pub fn next(
        &mut self,
        entropy: &mut Entropy,
        known: &[RunId],
        dead: &[Id],
        now: Time,
    ) -> Option<Command> {
        let run = (!known.is_empty()).then(|| one(entropy, known));
        Some(match self.mix.pick(entropy) {
            Act::Submit => Command::Submit(Box::new(self.submit(entropy, false)?)),
            Act::SubmitWithKey => {
                let submit = self.submit(entropy, true)?;
                self.keyed.push(submit.clone());
                Command::Submit(Box::new(submit))
            }
            Act::Repeat if !self.keyed.is_empty() => {
                Command::Submit(Box::new(one(entropy, &self.keyed)))
            }
            Act::Repeat => return None,
            Act::AddTags => {
                let tag = |n| format!("tag{n}");
                let tags = (0..=entropy.below(3)).map(|_| tag(entropy.below(12))).collect();
                Command::AddTags(run?, tags)
            }
            Act::SetMetadata => {
                Command::SetMetadata(run?, format!(r#"{{"m":{}}}"#, entropy.below(1_000)))
            }
            Act::Reschedule => {
                Command::Reschedule(run?, Span::from_secs(entropy.below(600) as i64))
            }
            Act::Cancel => Command::Cancel(run?),
            Act::Complete => {
                let output = once_in(entropy, 2).then(|| b"\"by call\"".to_vec());
                Command::Complete { run: run?, output, fence: fence(entropy) }
            }
            Act::Fail => {
                Command::Fail { run: run?, retryable: once_in(entropy, 2), fence: fence(entropy) }
            }
            Act::RetryNow if !dead.is_empty() && !once_in(entropy, 3) => {
                Command::RetryNow(one(entropy, dead))
            }
            Act::RetryNow => Command::RetryNow(run?),
            Act::Replay if self.number < self.runs_max => {
                self.number += 1;
                Command::Replay(run?)
            }
            Act::Replay => return None,
            Act::Pause => {
                let scope = match entropy.below(4) {
                    0 => PauseScope::All,
                    1 => PauseScope::Org(name("acme")),
                    _ => PauseScope::Task(one(entropy, &self.tasks).name),
                };
                self.paused.push(scope.clone());
                let span =
                    once_in(entropy, 2).then(|| Span::from_secs(1 + entropy.below(900) as i64));
                Command::Pause(scope, span)
            }
            Act::Resume if self.paused.is_empty() => return None,
            Act::Resume => Command::Resume(one(entropy, &self.paused)),
            Act::ChangeTask => {
                let at = entropy.below(self.tasks.len() as u64) as usize;
                let old = &self.tasks[at];
                // Now and then from push to pull or back.
                let pulled = old.push().is_none() != once_in(entropy, 6);
                let mut changed = task(old.name.as_str(), pulled, entropy);
                if once_in(entropy, 2) {
                    // Small steps are allowed at any time.
                    changed.delivery = old.delivery.clone();
                    changed.concurrency_key = old.concurrency_key;
                }
                changed.updated_at = now;
                Command::PutTask(Box::new(changed))
            }
            Act::RemoveTask => Command::RemoveTask(one(entropy, &self.tasks).name),
            Act::Switch => {
                let name = one(entropy, &self.tasks).name;
                if once_in(entropy, 4) { Command::Disable(name) } else { Command::Enable(name) }
            }
        })
    }

    /// What an operator does when all is well again: endpoints on, pauses lifted.
    ///
    /// Nothing else is touched: whoever waits for something else must be woken by it.
    pub fn healing(&mut self, view: &dyn Rows) -> Vec<Command> {
        let lifted = pause::list(view).expect("a healthy disk can be read");
        let resumes = lifted.into_iter().map(|pause| Command::Resume(pause.scope));
        let names = self.tasks.iter().map(|task| task.name.clone());
        let disabled = names.filter(|name| {
            let endpoint = endpoint::get(view, name).expect("a healthy disk can be read");
            endpoint.is_some_and(|e| matches!(e.breaker.state, State::Disabled { .. }))
        });
        resumes.chain(disabled.map(Command::Enable)).collect()
    }

    /// What one client asks for at once, mostly of one env.
    pub fn burst(&mut self, entropy: &mut Entropy, most: u64) -> Vec<Submit> {
        // Bursts have room of their own, so that single requests still find some.
        self.runs_max += most.min(BURST_RUNS_MAX - self.burst_runs);
        self.burst_runs = (self.burst_runs + most).min(BURST_RUNS_MAX);
        let envs = ["prod", "test", "dev"];
        let hot = (one(entropy, &["acme", "blue", "coral"]), one(entropy, &envs));
        let mut wanted = Vec::new();
        for _ in 0..most {
            if !self.keyed.is_empty() && once_in(entropy, 4) {
                wanted.push(one(entropy, &self.keyed));
                continue;
            }
            let keyed = once_in(entropy, 3);
            let Some(mut submit) = self.submit(entropy, keyed) else { break };
            if !once_in(entropy, 4) {
                (submit.org, submit.env) = (name(hot.0), name(hot.1));
            }
            if keyed {
                self.keyed.push(submit.clone());
            }
            wanted.push(submit);
        }
        wanted
    }

    fn submit(&mut self, entropy: &mut Entropy, keyed: bool) -> Option<Submit> {
        if self.number >= self.runs_max {
            return None;
        }
        self.number += 1;
        let task = one(entropy, &self.tasks);
        let payload = format!(r#"{{"n":{}}}"#, self.number);
        let secs = |entropy: &mut Entropy, below| Span::from_secs(entropy.below(below) as i64);
        Some(Submit {
            task: task.name.clone(),
            org: name(one(entropy, &["acme", "blue"])),
            env: name(one(entropy, &["prod", "test"])),
            fingerprint: Fnv::default().write_json(payload.as_bytes()).finish(),
            body: Body {
                payload: Some(payload.into_bytes()),
                context: once_in(entropy, 4).then(|| br#"{"c":1}"#.to_vec()),
            },
            // Few keys, so that different requests meet under one.
            idempotency_key: keyed.then(|| format!("key{}", entropy.below(12))),
            tags: once_in(entropy, 2).then(|| "born".to_owned()).into_iter().collect(),
            metadata: once_in(entropy, 4).then(|| "{}".to_owned()),
            delay: once_in(entropy, 4).then(|| secs(entropy, 120)),
            ttl: once_in(entropy, 6).then(|| secs(entropy, 900)),
            priority: [0, 0, 0, 5, -5][entropy.below(5) as usize],
            max_attempts: once_in(entropy, 3).then(|| 1 + entropy.below(3) as u32),
            concurrency_key: once_in(entropy, 3).then(|| format!("lane{}", entropy.below(2))),
            parent: None,
            replay_of: None,
            trace: None,
            steps: match task.push() {
                None if once_in(entropy, 2) => {
                    let count = 1 + entropy.below(3);
                    (0..count).map(|_| one(entropy, &PULL).to_owned()).collect()
                }
                _ => Vec::new(),
            },
        })
    }
}

/// A fence that an agent might hold, right or wrong.
fn fence(entropy: &mut Entropy) -> Option<u32> {
    once_in(entropy, 2).then(|| entropy.below(4) as u32)
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("the names of the workload are valid")
}

fn task(text: &str, pulled: bool, entropy: &mut Entropy) -> Task {
    let retry = match entropy.below(4) {
        0 => RetryPolicy::Interactive,
        1 => RetryPolicy::Webhook,
        _ => RetryPolicy::Custom {
            max_attempts: 1 + entropy.below(4) as u32,
            delays: vec![Span::from_secs(1), Span::from_secs(20)],
        },
    };
    Task {
        name: name(text),
        delivery: if pulled { pull(entropy) } else { push(entropy) },
        retry,
        max_duration: Span::from_mins(one(entropy, &[2, 15, 60])),
        ttl: once_in(entropy, 5).then(|| Span::from_mins(10)),
        concurrency: once_in(entropy, 2).then(|| 1 + entropy.below(3) as u32),
        concurrency_key: one(entropy, &[None, None, Some(KeyRule::Org), Some(KeyRule::Env)]),
        shard_size: None,
        max_deliveries: once_in(entropy, 2).then(|| 1 + entropy.below(4) as u32),
        retry_malformed: entropy.below(2) as u32,
        source: Source::Http,
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
    }
}

fn push(entropy: &mut Entropy) -> Delivery {
    Delivery::Push(Push {
        url: "https://agent.example/run".to_owned(),
        flush: one(entropy, &[Flush::Async, Flush::Async, Flush::Async, Flush::Sync]),
        timeout: Span::from_secs(one(entropy, &[5, 30])),
        ordering: one(entropy, &[Ordering::None, Ordering::None, Ordering::Key, Ordering::Strict]),
    })
}

fn pull(entropy: &mut Entropy) -> Delivery {
    let stream = if once_in(entropy, 4) { SPOILED } else { one(entropy, &PULL) }.to_owned();
    Delivery::Pull { stream, lease: Span::from_secs(one(entropy, &[5, 60])) }
}
