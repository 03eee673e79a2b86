//! Batches as a seed lives them: clients that create them slice by slice and may be cut off between
//! any two, that cancel what is left, and the duty that goes on with what nobody else does.
//!
//! What was told of a batch stays true: it is there with all of its runs. What was not told is there
//! whole or not at all, and is called back once.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::entropy::Entropy;
use tidegate::base::hash::Fnv;
use tidegate::base::id::{Id, RunId};
use tidegate::ledger::batches::create::{Opening, Order};
use tidegate::ledger::buffer::accept::Caps;
use tidegate::ledger::runs::submit::Submit;
use tidegate::model::batch::Batch;
use tidegate::model::run::{Run, Status};
use tidegate::store::fault::Fault;
use tidegate::store::key::{Key, last_id};
use tidegate::store::kinds::batch as rows;
use tidegate::store::kinds::{count, run as run_rows};
use tidegate::store::rows::{Rows, Span, collect_keys};
use tidegate::store::tables::Table;

use crate::checks::{keys, scan};
use crate::command::{Answer, Command, Said};
use crate::mix::{once_in, one};
use crate::slice::bytes_of;
use crate::world::{Turn, Who, World};

/// Batches of one seed.
const BATCHES_MAX: usize = 8;

/// What the seeds of a test met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub created: usize,
    pub buffered: usize,
    pub refused: usize,
    /// Clients that were cut off before they heard the end.
    pub cut_off: usize,
    pub canceled: usize,
    /// Slices of the duty before a seal and behind it.
    pub cleared: usize,
    pub made: usize,
}

impl Met {
    pub fn add(&mut self, other: &Met) {
        self.created += other.created;
        self.buffered += other.buffered;
        self.refused += other.refused;
        self.cut_off += other.cut_off;
        self.canceled += other.canceled;
        self.cleared += other.cleared;
        self.made += other.made;
    }

    pub fn is_enough(&self) -> bool {
        let Met { created, buffered, refused, cut_off, canceled, cleared, made } = *self;
        [created, buffered, refused, cut_off, canceled, cleared, made].iter().all(|met| *met > 0)
    }
}

/// A batch that a client is creating.
struct Making {
    id: Option<Id>,
    order: Order,
    items: Vec<Submit>,
    staged: usize,
    caps: Option<Caps>,
}

pub struct Batches {
    pub on: bool,
    making: Option<Making>,
    begun: usize,
    /// Those that their client was told of, with how many items.
    told: BTreeMap<Id, u32>,
    pub met: Met,
}

impl Batches {
    pub fn random(entropy: &mut Entropy) -> Batches {
        let (told, met) = (BTreeMap::new(), Met::default());
        Batches { on: once_in(entropy, 2), making: None, begun: 0, told, met }
    }

    pub fn turns(&self) -> Vec<(Turn, u64)> {
        match self.on {
            true => vec![(Turn::Batch, 8), (Turn::BatchDuty, 8), (Turn::CancelBatch, 2)],
            false => Vec::new(),
        }
    }

    /// The process ends: its clients hear nothing more.
    pub fn cut_off(&mut self) {
        if self.making.take().is_some() {
            self.met.cut_off += 1;
        }
    }

    /// Keys may have lost their binding: a batch that took them over was cleared away.
    pub fn may_unbind(&self) -> bool {
        self.met.cleared > 0
    }

    fn heard(&mut self, command: &Command, answer: &Answer) {
        let Some(making) = &mut self.making else { return };
        match (command, answer) {
            (_, Err(_)) => {
                self.met.refused += 1;
                self.making = None;
            }
            (Command::OpenBatch(_), Ok(Said::Opened(Opening::New(id)))) => making.id = Some(*id),
            (Command::OpenBatch(_), Ok(Said::Opened(Opening::Known(_)))) => self.making = None,
            (Command::StageBatch(_, slice), Ok(_)) => making.staged += slice.len(),
            (Command::SealBatch(_, caps), Ok(_)) => {
                self.met.buffered += usize::from(caps.is_some());
            }
            _ => {}
        }
    }

    /// What its client asks for next.
    fn next(&self, last: &Command, said: &Said, entropy: &mut Entropy) -> Option<Command> {
        let making = self.making.as_ref()?;
        let id = making.id?;
        match last {
            Command::OpenBatch(_) | Command::StageBatch(..) => {
                let left = &making.items[making.staged..];
                let most = 1 + entropy.below(3) as usize;
                Some(match left.is_empty() {
                    false => Command::StageBatch(id, left[..most.min(left.len())].to_vec()),
                    true => Command::SealBatch(id, making.caps),
                })
            }
            Command::SealBatch(..) => Some(Command::MakeBatch(id, 1 + entropy.below(3) as usize)),
            Command::MakeBatch(_, most) if matches!(said, Said::More(true)) => {
                Some(Command::MakeBatch(id, *most))
            }
            _ => None,
        }
    }

    /// Everything that was told is there.
    pub fn check(&self, view: &dyn Rows) {
        for (id, items) in &self.told {
            let batch = rows::get(view, *id).expect("the store can be read");
            let batch = batch.unwrap_or_else(|| panic!("batch {id} was told of and is lost"));
            assert!(batch.is_whole() && batch.items == *items, "{batch:?} of {items}");
        }
    }
}

impl World {
    /// A client begins a batch, unless one is at it.
    pub fn begin_batch(&mut self) {
        if self.batches.making.is_some() || self.batches.begun == BATCHES_MAX {
            return;
        }
        let most = 1 + self.entropy.below(6);
        let mut items = self.workload.burst(&mut self.entropy, most);
        let Some(first) = items.first() else { return };
        let (org, env) = (first.org.clone(), first.env.clone());
        // A key of another env would be another key.
        items.retain(|item| (&item.org, &item.env) == (&org, &env));
        self.batches.begun += 1;
        let tasks = &self.workload.tasks;
        let callback = once_in(&mut self.entropy, 2)
            .then(|| one(&mut self.entropy, tasks))
            .filter(|task| task.push().is_some())
            .map(|task| task.name);
        let key = once_in(&mut self.entropy, 3).then(|| format!("b{}", self.entropy.below(2)));
        let hash = |hash: Fnv, item: &Submit| hash.write(&item.fingerprint.to_le_bytes());
        let order = Order {
            org,
            env,
            items: items.len() as u32,
            idempotency_key: key,
            fingerprint: items.iter().fold(Fnv::default(), hash).finish(),
            callback,
        };
        let diverted = self.burst.on && once_in(&mut self.entropy, 2);
        let caps = diverted.then_some(self.burst.caps());
        self.ask(Command::OpenBatch(Box::new(order.clone())), Who::Batcher);
        self.batches.making = Some(Making { id: None, order, items, staged: 0, caps });
    }

    /// The answer to whoever creates a batch, and the next step.
    pub fn heard_by_batcher(&mut self, command: &Command, answer: &Answer) {
        self.batches.heard(command, answer);
        let Ok(said) = answer else { return };
        if let Some(next) = self.batches.next(command, said, &mut self.entropy) {
            self.ask(next, Who::Batcher);
        } else if matches!(said, Said::More(false)) {
            self.told_of_batch();
        }
    }

    fn told_of_batch(&mut self) {
        let Some(making) = self.batches.making.take() else { return };
        let Some(id) = making.id else { return };
        self.batches.met.created += 1;
        self.batches.told.insert(id, making.order.items);
        let disk = self.machine.disk();
        let found = disk.calmly(|| {
            let view = self.machine.store().snapshot().expect("a store that took a commit");
            let items = rows::items(&view, id, 0, usize::MAX).expect("the store can be read");
            let rotten = &self.reference.rotten;
            let run = |id: RunId| match run_rows::get(&view, id) {
                Err(_) if rotten.contains(&id) => None,
                found => found.expect("the store can be read"),
            };
            items.into_iter().map(|item| (item, run(item.run))).collect::<Vec<_>>()
        });
        assert_eq!(found.len(), making.items.len(), "items of batch {id}");
        for ((item, run), submit) in found.iter().zip(&making.items) {
            let Some(run) = run else {
                // It waited in the buffer, and its entry was spoiled before its creator heard of it.
                assert!(self.reference.rotten.contains(&item.run), "{} of {id} is lost", item.run);
                continue;
            };
            assert_eq!(run.batch == Some((id, item.index)), item.own, "{item:?} of {id}");
            // As it stands behind later commands of the same commit: looked at when these were heard.
            self.reference.submitted(submit, run, !item.own);
        }
    }

    /// The duty: a slice for every batch that nobody creates.
    pub fn batch_duty(&mut self) {
        let disk = self.machine.disk();
        let found = disk.calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            let view = self.machine.store().snapshot().ok()?;
            let ids = rows::with_work(&view, 100).ok()?;
            let heads = ids.into_iter().filter_map(|id| rows::get(&view, id).ok().flatten());
            Some(heads.collect::<Vec<Batch>>())
        });
        let mine = self.batches.making.as_ref().map(|making| making.id);
        // Whoever was told that it is open has not named it yet.
        if mine == Some(None) {
            return;
        }
        for batch in found.unwrap_or_default() {
            if mine == Some(Some(batch.id)) {
                continue;
            }
            match batch.sealed_at {
                None => self.batches.met.cleared += 1,
                Some(_) if !batch.is_whole() => self.batches.met.made += 1,
                Some(_) => {}
            }
            let most = 1 + self.entropy.below(3) as usize;
            self.ask(Command::GoOnBatch(batch.id, most), Who::Duty);
        }
    }

    /// Someone cancels what is left of a batch.
    pub fn cancel_batch(&mut self) {
        let known: Vec<Id> = self.batches.told.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let id = one(&mut self.entropy, &known);
        self.batches.met.canceled += 1;
        let most = 1 + self.entropy.below(3) as usize;
        self.ask(Command::CancelBatch(id, most), Who::Client);
    }

    /// Batches that are not what they must be once all is well.
    pub fn open_batches(&self) -> String {
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        let open = all(&view).into_iter().filter(|batch| !batch.is_done() || batch.has_work());
        open.map(|batch| format!("{batch:?}; ")).collect()
    }
}

/// Every batch, sealed or not.
fn all(view: &dyn Rows) -> Vec<Batch> {
    let mut found = Vec::new();
    scan(view, Table::Batch, |key, value| {
        let id = last_id(key).expect("the key of a batch ends with its id");
        found.push(rows::read(id, value).expect("a batch can be read"));
    });
    found
}

/// Runs that stand where nobody looks.
pub fn staged(view: &dyn Rows) -> BTreeMap<RunId, Run> {
    let ids = keys(view, Table::BatchStaged);
    let ids = ids.iter().map(|key| last_id(key).expect("the key ends with a run"));
    ids.map(|id| (id, rows::staged(view, id).expect("it can be read").expect("it is there")))
        .collect()
}

/// All or nothing; done if and only if all were made and have ended; called back once.
pub fn check(view: &dyn Rows, runs: &BTreeMap<RunId, &Run>, gone: &BTreeMap<RunId, Status>) {
    let mut staged: BTreeSet<RunId> = staged(view).into_keys().collect();
    let mut of: BTreeMap<Id, Vec<&Run>> = BTreeMap::new();
    for run in runs.values() {
        if let Some((batch, _)) = run.batch {
            of.entry(batch).or_default().push(run);
        }
    }
    let with_work = rows::with_work(view, usize::MAX).expect("the store can be read");
    for batch in all(view) {
        let id = batch.id;
        let items = rows::items(view, id, 0, usize::MAX).expect("the store can be read");
        assert_eq!(with_work.contains(&id), batch.has_work(), "{id}: open work");
        let own = || items.iter().filter(|item| item.own);
        let made = of.remove(&id).unwrap_or_default();
        let ready = |index: u32| batch.sealed_at.is_some() && index < batch.made;
        for item in own() {
            assert_eq!(staged.remove(&item.run), !ready(item.index), "{item:?} of {batch:?}");
            let run = runs.get(&item.run).filter(|run| run.batch == Some((id, item.index)));
            let is_there = run.is_some() || gone.contains_key(&item.run);
            assert_eq!(is_there, ready(item.index), "{item:?} of {batch:?}");
        }
        let lost: Vec<_> = own().filter_map(|item| gone.get(&item.run)).collect();
        let there = made.len() + lost.len();
        assert_eq!(there, own().filter(|item| ready(item.index)).count(), "{id}: runs");
        if batch.sealed_at.is_some() {
            let indexes = items.iter().map(|item| item.index);
            assert!(indexes.eq(0..batch.items), "{id}: items");
            assert_eq!(own().count(), batch.total as usize, "{id}: total");
        }
        let ended = made.iter().map(|run| &run.status).chain(lost).all(|status| status.is_final());
        assert_eq!(batch.is_done(), batch.is_whole() && ended, "{id}: done");
        check_callback(view, &batch, runs);
    }
    assert!(staged.is_empty(), "staged for no batch: {staged:?}");
    assert!(of.is_empty(), "runs of no batch: {:?}", of.keys());
}

fn check_callback(view: &dyn Rows, batch: &Batch, runs: &BTreeMap<RunId, &Run>) {
    let mark = format!(r#""id":"{}""#, batch.id);
    let calls = |id: &&RunId| {
        let body = run_rows::body(view, **id).expect("the store can be read");
        String::from_utf8_lossy(&body.payload.unwrap_or_default()).contains(&mark)
    };
    // A replay of it is somebody's wish.
    let sent: Vec<RunId> =
        runs.keys().filter(|id| runs[id].replay_of.is_none()).filter(calls).copied().collect();
    let told = batch.callback.as_ref().and_then(|callback| callback.run);
    assert_eq!(sent, told.into_iter().collect::<Vec<_>>(), "callbacks of {batch:?}");
    if batch.is_done() {
        assert!(batch.callback.iter().all(|callback| callback.is_over()), "{batch:?}");
    }
}

/// The counters of batches, and what they have taken of the buffer ahead of their entries. A run
/// that nobody can read counts with the status that is known of it.
pub fn counts(
    view: &dyn Rows,
    runs: &BTreeMap<RunId, &Run>,
    gone: &BTreeMap<RunId, Status>,
) -> Vec<(Key, i64)> {
    let mut members: Vec<(Id, Status)> =
        runs.values().filter_map(|run| Some((run.batch?.0, run.status))).collect();
    for batch in all(view) {
        let items = rows::items(view, batch.id, 0, usize::MAX).expect("the store can be read");
        let own = items.iter().filter(|item| item.own);
        members.extend(own.filter_map(|item| Some((batch.id, *gone.get(&item.run)?))));
    }
    let mut counts = Vec::new();
    for (batch, status) in members {
        counts.push((count::batch(batch, status), 1));
        if !status.is_final() {
            counts.push((count::batch_open(batch), 1));
        }
    }
    for (run, bytes) in reserved(view).expect("the store can be read") {
        counts.push((count::buffered(), 1));
        counts.push((count::buffered_of(&run.org, &run.env), 1));
        counts.push((count::buffered_bytes(), bytes as i64));
        counts.push((count::buffered_bytes_of(&run.org, &run.env), bytes as i64));
    }
    counts
}

/// Runs that have their room in the buffer and no entry yet, with their bytes. Asked within
/// transactions too, whose disk may fail.
pub fn reserved(view: &dyn Rows) -> Result<Vec<(Run, u64)>, Fault> {
    let mut found = Vec::new();
    for key in collect_keys(view, &Span::prefix(&Key::new(Table::BatchStaged)), usize::MAX)? {
        let Some(run) = rows::staged(view, last_id(&key)?)? else { continue };
        let Some((batch, _)) = run.batch else { continue };
        if rows::get(view, batch)?.is_some_and(|batch| batch.buffered) {
            let bytes = bytes_of(&run_rows::body(view, run.id)?);
            found.push((run, bytes));
        }
    }
    Ok(found)
}
