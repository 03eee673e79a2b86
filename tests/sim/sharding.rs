//! Sharded runs as a seed lives them: requests that plan whole or in parts, repeats of windows,
//! resumes, deliveries, and the duty that dispatches. Crashes fall between any two of them.
//!
//! What was told must stay true: a sharded run that somebody was told of has all of its items, in
//! their order, each in the payload of one run or still in its plan; a window has one sharded run; a
//! valid delivery stays what it was.

use std::collections::BTreeMap;

use tidegate::base::entropy::Entropy;
use tidegate::base::id::{Id, RunId};
use tidegate::ledger::shards::deliver::{Delivery, Reported};
use tidegate::ledger::shards::plan::{Part, Plan};
use tidegate::model::refusal::Code;
use tidegate::model::shard::{Delivered, Phase, Wishes, sizes};
use tidegate::store::kinds::{delivered, run as run_rows, shard, sharded, task};
use tidegate::store::rows::Rows;
use tidegate::store::tables::Table;

use crate::checks::keys;
use crate::command::{Answer, Command, Said};
use crate::mix::{once_in, one};
use crate::workload::name;
use crate::world::{Turn, Who, World};

/// Requests for sharded runs of one seed.
const PLANS_MAX: u32 = 6;
/// Items of one of them.
const ITEMS_MAX: u64 = 7;

/// Org, task or schedule, window.
type Window = (String, String, String);

/// A plan that is written in parts.
struct Writing {
    plan: Plan,
    rest: Vec<Part>,
    next: u32,
    id: Option<Id>,
}

/// What the seeds of a test met, so that it can tell whether they met enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    /// Plans that were written at once, and in parts.
    whole: usize,
    sealed: usize,
    /// Plans that a start found without their seal.
    unsealed: usize,
    /// A window brought what was there.
    repeated: usize,
    /// Shards that got their run, that did not, and that did later.
    made: usize,
    held: usize,
    resumed: usize,
    delivered: usize,
    repeated_deliveries: usize,
}

impl Met {
    fn all(&mut self) -> [&mut usize; 9] {
        let Met {
            whole,
            sealed,
            unsealed,
            repeated,
            made,
            held,
            resumed,
            delivered,
            repeated_deliveries,
        } = self;
        [whole, sealed, unsealed, repeated, made, held, resumed, delivered, repeated_deliveries]
    }

    pub fn add(&mut self, mut other: Met) {
        for (mine, others) in self.all().into_iter().zip(other.all()) {
            *mine += *others;
        }
    }

    pub fn is_enough(mut self) -> bool {
        self.all().into_iter().all(|met| *met > 0)
    }
}

#[derive(Default)]
pub struct Sharding {
    pub met: Met,
    on: bool,
    asked: u32,
    /// Items are numbered over all of them.
    item: u64,
    writing: Option<Writing>,
    /// A slice is under way.
    busy: bool,
    after: Option<Id>,
    told: BTreeMap<Id, Vec<u64>>,
    windows: BTreeMap<Window, Id>,
    delivered: BTreeMap<(RunId, String), Delivered>,
}

impl Sharding {
    pub fn random(entropy: &mut Entropy) -> Sharding {
        Sharding { on: !once_in(entropy, 3), ..Sharding::default() }
    }

    /// What happens under a seed that shards.
    pub fn turns(&self) -> Vec<(Turn, u64)> {
        match self.on {
            true => vec![(Turn::Shard, 4), (Turn::Dispatch, 8), (Turn::Deliver, 4)],
            false => Vec::new(),
        }
    }

    /// The process starts: who wrote a plan is gone, and the duty knows nothing.
    pub fn restarted(&mut self) {
        self.writing = None;
        self.busy = false;
        self.after = None;
    }

    fn request(
        &mut self,
        entropy: &mut Entropy,
        tasks: &[tidegate::model::task::Task],
    ) -> (Plan, Vec<Part>) {
        let items = entropy.below(ITEMS_MAX + 1) as usize;
        let shard_size = 1 + entropy.below(3) as u32;
        let parts: Vec<Part> = sizes(items, shard_size)
            .map(|size| {
                let numbers: Vec<u64> = (1..=size as u64).map(|n| self.item + n).collect();
                self.item += size as u64;
                let text = serde_json::to_vec(&numbers).expect("numbers are JSON");
                Part { size: size as u32, text }
            })
            .collect();
        let window = once_in(entropy, 2).then(|| format!("w{}", entropy.below(2)));
        let schedule = (window.is_some() && once_in(entropy, 3)).then(|| "nightly".to_owned());
        let plan = Plan {
            task: one(entropy, tasks).name,
            org: name(one(entropy, &["acme", "blue"])),
            env: name(one(entropy, &["prod", "test"])),
            shard_size,
            items: items as u32,
            shards: parts.len() as u32,
            window,
            schedule,
            idempotency_key: None,
            fingerprint: self.item,
            wishes: Wishes { tags: vec!["born".to_owned()], ..Wishes::default() },
        };
        (plan, parts)
    }

    /// The next step of the plan that is written in parts.
    fn step(&self) -> Option<Command> {
        let writing = self.writing.as_ref()?;
        Some(match (writing.id, writing.rest.first()) {
            (None, _) => Command::BeginPlan(Box::new(writing.plan.clone())),
            (Some(id), Some(part)) => Command::AddToPlan(id, writing.next, vec![part.clone()]),
            (Some(id), None) => Command::SealPlan(id),
        })
    }

    /// The answer to such a step; gives the next.
    pub fn heard_step(&mut self, command: &Command, answer: &Answer) -> Option<Command> {
        let writing = self.writing.as_mut()?;
        match (command, answer) {
            (Command::BeginPlan(_), Ok(Said::Planned(planned))) if !planned.cached => {
                writing.id = Some(planned.head.id);
            }
            (Command::AddToPlan(..), Ok(_)) => {
                writing.rest.remove(0);
                writing.next += 1;
            }
            (Command::SealPlan(id), Ok(Said::Planned(planned))) if planned.cached => {
                self.writing = None;
                return Some(Command::DiscardPlan(*id));
            }
            // It is done, or it is given up: what is left of it goes now, or at the next start.
            (Command::DiscardPlan(id), Ok(Said::Discarded(true))) => {
                return Some(Command::DiscardPlan(*id));
            }
            (Command::AddToPlan(id, ..) | Command::SealPlan(id), Err(_)) => {
                self.writing = None;
                return Some(Command::DiscardPlan(*id));
            }
            _ => {
                self.writing = None;
                return None;
            }
        }
        self.step()
    }

    /// A start removed a plan.
    pub fn discarded(&mut self) {
        self.met.unsealed += 1;
    }

    pub fn heard_slice(&mut self, answer: &Answer) {
        self.busy = false;
        if let Ok(Said::Dispatched(slice)) = answer {
            self.met.made += slice.made as usize;
            self.met.held += slice.failed as usize;
        }
        if let Err(refusal) = answer {
            let passing = matches!(refusal.code, Code::Unknown | Code::ReadOnly);
            assert!(passing, "a slice of dispatch was refused: {refusal}");
        }
    }

    /// Whatever anybody was told.
    pub fn told(&mut self, command: &Command, said: &Said) {
        match (command, said) {
            (Command::Plan(plan, parts), Said::Planned(planned)) => {
                self.met.whole += usize::from(!planned.cached);
                self.met.repeated += usize::from(planned.cached);
                self.planned(plan, planned.head.id, &items_of(parts), planned.cached);
            }
            (Command::SealPlan(_), Said::Planned(planned)) if !planned.cached => {
                self.met.sealed += 1;
                let head = &planned.head;
                self.told.entry(head.id).or_default();
                if let Some(window) = &head.window {
                    let of = head.schedule.clone().unwrap_or_else(|| format!("task {}", head.task));
                    self.bind((head.org.to_string(), of, window.clone()), head.id);
                }
            }
            (Command::ResumeSharded(_), Said::Resumed(head)) => {
                self.met.resumed += usize::from(head.held > 0);
            }
            (Command::Deliver(run, _), Said::Taken(taken)) if taken.delivered.is_valid() => {
                self.met.delivered += usize::from(!taken.cached);
                self.met.repeated_deliveries += usize::from(taken.cached);
                let key = (*run, taken.delivered.key.clone());
                let first = self.delivered.entry(key).or_insert_with(|| taken.delivered.clone());
                assert_eq!(*first, taken.delivered, "a delivery of {run} was taken twice");
            }
            _ => {}
        }
    }

    fn planned(&mut self, plan: &Plan, id: Id, items: &[u64], cached: bool) {
        if let Some(window) = &plan.window {
            let of = plan.schedule.clone().unwrap_or_else(|| format!("task {}", plan.task));
            self.bind((plan.org.to_string(), of, window.clone()), id);
        }
        if !cached {
            self.told.insert(id, items.to_vec());
        }
    }

    fn bind(&mut self, window: Window, id: Id) {
        let first = *self.windows.entry(window.clone()).or_insert(id);
        assert_eq!(first, id, "window {window:?} has two sharded runs");
    }

    /// Everything that was told is there.
    pub fn check(&self, rows: &dyn Rows) {
        for (id, items) in &self.told {
            let head = sharded::get(rows, *id).expect("the store can be read");
            let head = head.unwrap_or_else(|| panic!("the sharded run {id} is lost"));
            let found = all_items(rows, *id);
            assert_eq!(found.len() as u32, head.items, "{id}: items");
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{id}: order of {found:?}");
            assert!(items.is_empty() || found == *items, "{id} has {found:?}, told of {items:?}");
        }
        for ((run, key), told) in &self.delivered {
            let kept = delivered::get(rows, *run, "verdict", key).expect("the store can be read");
            assert_eq!(kept.as_ref(), Some(told), "delivery {key} of {run}");
        }
    }
}

fn items_of(parts: &[Part]) -> Vec<u64> {
    let read = |part: &Part| -> Vec<u64> { serde_json::from_slice(&part.text).expect("numbers") };
    parts.iter().flat_map(read).collect()
}

/// The items of a sharded run, out of the payloads of its shards.
fn all_items(rows: &dyn Rows, id: Id) -> Vec<u64> {
    let mut found = Vec::new();
    for shard in shard::list(rows, id, 0, usize::MAX).expect("shards can be read") {
        let body = run_rows::body(rows, shard.planned_run).expect("a body can be read");
        let text = body.payload.expect("a shard has its items, with or without a run");
        let payload: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(payload["shard"]["index"], shard.index, "{id}: a shard and its payload");
        let items: Vec<u64> = serde_json::from_value(payload["items"].clone()).expect("numbers");
        assert_eq!(items.len() as u32, shard.size, "size of shard {} of {id}", shard.index);
        found.extend(items);
    }
    found
}

/// Sharded runs that are not finished.
pub fn unfinished(rows: &dyn Rows) -> Vec<tidegate::model::shard::ShardedRun> {
    let all = sharded::newest(rows, None, usize::MAX).expect("sharded runs can be read");
    all.into_iter().filter(|head| head.phase != Phase::Finished).collect()
}

impl World {
    /// Someone wants a sharded run, in one go or in parts, or resumes one.
    pub fn shard(&mut self) {
        let deaf = if once_in(&mut self.entropy, 8) { Who::DeafClient } else { Who::Client };
        if once_in(&mut self.entropy, 4) {
            let known: Vec<Id> = self.sharding.told.keys().copied().collect();
            if !known.is_empty() {
                let id = one(&mut self.entropy, &known);
                self.ask(Command::ResumeSharded(id), deaf);
            }
            return;
        }
        if self.sharding.asked >= PLANS_MAX {
            return;
        }
        self.sharding.asked += 1;
        let tasks = self.workload.tasks.clone();
        let (plan, parts) = self.sharding.request(&mut self.entropy, &tasks);
        if self.sharding.writing.is_some() || once_in(&mut self.entropy, 2) {
            self.ask(Command::Plan(Box::new(plan), parts), deaf);
        } else {
            self.sharding.writing = Some(Writing { plan, rest: parts, next: 0, id: None });
            self.write_on();
        }
    }

    fn write_on(&mut self) {
        let step = self.sharding.step();
        step.into_iter().for_each(|command| self.ask(command, Who::Planner));
    }

    /// The duty gives some shards their runs.
    pub fn dispatch_shards(&mut self) {
        if self.sharding.busy {
            return;
        }
        let (after, disk) = (self.sharding.after, self.machine.disk());
        let next = disk.calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            let view = self.machine.store().snapshot().ok()?;
            sharded::next_open(&view, after).ok().flatten()
        });
        self.sharding.after = next;
        if let Some(id) = next {
            self.sharding.busy = true;
            let most = 1 + self.entropy.below(3) as usize;
            self.ask(Command::DispatchShards(id, most), Who::Dispatcher);
        }
    }

    /// An agent delivers something of a run of a shard.
    pub fn deliver(&mut self) {
        let runs: Vec<RunId> = self.machine.disk().calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            let view = self.machine.store().snapshot().ok();
            let found = view.map(|view| keys(&view, Table::ShardOfRun)).unwrap_or_default();
            found.iter().filter_map(|key| tidegate::store::key::last_id(key).ok()).collect()
        });
        if runs.is_empty() {
            return;
        }
        let entropy = &mut self.entropy;
        let number = entropy.below(1_000);
        let result = (!once_in(entropy, 4)).then(|| format!("[{number}]").into_bytes());
        let delivery = Delivery {
            kind: "verdict".to_owned(),
            key: format!("k{}", entropy.below(3)),
            result,
            error: once_in(entropy, 4).then(Reported::default),
        };
        let command = Command::Deliver(one(entropy, &runs), delivery);
        let deaf = if once_in(entropy, 8) { Who::DeafClient } else { Who::Client };
        self.ask(command, deaf);
    }

    /// All is well from now on: tasks are there, and what has no run is tried again.
    pub fn heal_shards(&mut self) {
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        let open = unfinished(&view);
        let missing = self.workload.tasks.iter().filter(|wanted| {
            let found = task::get(&view, &wanted.name).expect("a task can be read");
            found.is_none() && self.sharding.on
        });
        let missing: Vec<_> = missing.cloned().collect();
        drop(view);
        for task in missing {
            self.ask(Command::PutTask(Box::new(task)), Who::Client);
        }
        for head in open {
            self.ask(Command::ResumeSharded(head.id), Who::Client);
        }
    }
}
