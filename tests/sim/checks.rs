//! Small questions asked of a whole snapshot: rows, indexes, timers and counters must tell the
//! same story. Each is counted again here from the rows alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tidegate::base::id::{Id, RunId};
use tidegate::base::name::Name;
use tidegate::ledger::runs::save::lane_of;
use tidegate::ledger::verify::verify;
use tidegate::model::delivery::{Lane, OutboxRow, Purpose, RowState, Timer};
use tidegate::model::run::{Mirror, Run, Status};
use tidegate::model::task::Task;
use tidegate::store::key::{Key, KeyReader, last_id};
use tidegate::store::kinds::count::Total;
use tidegate::store::kinds::{
    count, due, event, idem, outbox as outbox_rows, ready, run as run_rows, run_index,
    task as tasks,
};
use tidegate::store::rows::{Rows, Span, counter};
use tidegate::store::tables::Table;

use crate::batches;
use crate::buffered::{self, Losses};
use crate::lost::{self, Lost};
use crate::recount;
use crate::reference::check_keys;
use crate::scheduling;
use crate::sharded;
use crate::slice::Heads;
use crate::swept;

pub type Keys = BTreeSet<Vec<u8>>;

/// Everything that the questions need, read once.
struct Picture<'a> {
    rows: &'a dyn Rows,
    runs: BTreeMap<RunId, Run>,
    /// Entries of the burst buffer.
    entries: Heads,
    /// Those of them whose head cannot be read, and these with the ones whose turn came.
    lost: Losses,
    gone: BTreeMap<RunId, Status>,
    outbox: BTreeMap<Id, OutboxRow>,
    tasks: BTreeMap<Name, Task>,
    /// Runs that retention removed.
    removed: usize,
}

/// Asks all questions; panics with what is wrong.
/// `unbound`: keys may have lost their binding.
pub fn check(rows: &dyn Rows, unbound: bool) {
    check_after(rows, unbound, 0);
}

/// Like [`check`], where retention removed so many runs.
pub fn check_after(rows: &dyn Rows, unbound: bool, removed: usize) {
    let picture = Picture { removed, ..Picture::of(rows) };
    picture.runs_agree_with_themselves();
    picture.open_runs_have_one_delivery();
    picture.indexes_equal_rows();
    picture.follow_ups_hold_their_runs();
    picture.ready_index_equals_rows();
    picture.lanes_with_work_are_marked();
    picture.timers_belong_to_rows();
    picture.counters_equal_a_recount();
    picture.dead_letters_pair_up();
    picture.keys_bind_one_run(unbound);
    batches::check(rows, &picture.all_runs(), &picture.gone);
    buffered::check(rows, &picture.entries, &picture.runs, &picture.outbox, &picture.lost);
    swept::check(rows);
    recount::check(rows, &picture.runs);
    sharded::check(rows, &picture.runs);
    if picture.gone.is_empty() {
        // What operators verify says the same.
        let report = verify(rows, &mut |_| Ok(())).expect("the store can be read");
        assert_eq!(report.summary(), None, "verified");
    }
}

/// All runs that are real.
pub fn runs(rows: &dyn Rows) -> BTreeMap<RunId, Run> {
    Picture::of(rows).runs
}

/// Runs that are not final.
pub fn open_runs(rows: &dyn Rows) -> Vec<Run> {
    let picture = Picture::of(rows);
    picture.all_runs().into_values().filter(|run| !run.status.is_final()).cloned().collect()
}

pub fn scan(rows: &dyn Rows, table: Table, mut visit: impl FnMut(&[u8], &[u8])) {
    rows.scan(&Span::prefix(&Key::new(table)), &mut |key, value| {
        visit(key, value);
        Ok(ControlFlow::Continue(()))
    })
    .expect("the store can be read");
}

pub fn keys(rows: &dyn Rows, table: Table) -> Keys {
    let mut found = Keys::new();
    scan(rows, table, |key, _| found.extend([key.to_vec()]));
    found
}

pub fn same(what: &str, expected: &Keys, found: &Keys) {
    let text = |keys: Vec<&Vec<u8>>| {
        keys.iter().map(|key| key.escape_ascii().to_string()).collect::<Vec<_>>().join("\n  ")
    };
    let missing: Vec<_> = expected.difference(found).collect();
    let spare: Vec<_> = found.difference(expected).collect();
    assert!(
        missing.is_empty() && spare.is_empty(),
        "{what}: missing\n  {}\nspare\n  {}",
        text(missing),
        text(spare)
    );
}

impl<'a> Picture<'a> {
    fn of(rows: &'a dyn Rows) -> Picture<'a> {
        let (mut runs, mut outbox) = (BTreeMap::new(), BTreeMap::new());
        scan(rows, Table::Run, |key, value| {
            let id = last_id(key).expect("the key of a run ends with its id");
            runs.insert(id, run_rows::read(id, value).expect("a run can be read"));
        });
        scan(rows, Table::Outbox, |key, _| {
            let id = last_id(key).expect("the key of a row ends with its id");
            let row = outbox_rows::get(rows, id).expect("a row can be read");
            outbox.insert(id, row.expect("a row that was scanned is there"));
        });
        let tasks = tasks::list(rows, None, usize::MAX).expect("tasks can be read");
        let tasks = tasks.into_iter().map(|task| (task.name.clone(), task)).collect();
        let (entries, lost) = buffered::read(rows);
        let dead = lost::dead(rows).expect("the store can be read");
        let waiting = lost.iter().map(|(id, lost)| (*id, lost.status));
        let gone = waiting.chain(dead.keys().map(|id| (*id, Status::SystemFailure))).collect();
        Picture { rows, runs, entries, lost, gone, outbox, tasks, removed: 0 }
    }

    /// Runs and those that wait in the buffer to become some, in the order of their ids.
    fn all_runs(&self) -> BTreeMap<RunId, &Run> {
        let waiting = self.entries.values().map(|entry| &entry.run);
        self.runs.values().chain(waiting).map(|run| (run.id, run)).collect()
    }

    fn runs_agree_with_themselves(&self) {
        for (id, run) in &self.all_runs() {
            let is_final = run.status.is_final();
            assert_eq!(is_final, run.finished_at.is_some(), "{id}: final without its time");
            assert_eq!(run.deadline.is_some(), run.status.holds_slot(), "{id}: deadline");
            assert_eq!(
                run.mirror == Mirror::Live,
                run.remote_id.is_some(),
                "{id} is {} with {:?} and {:?}",
                run.status.as_str(),
                run.mirror,
                run.remote_id
            );
            let lines = event::list(self.rows, *id, usize::MAX).expect("a timeline can be read");
            assert_eq!(lines.len() as u32, run.events, "{id}: lines of its timeline");
        }
    }

    fn open_runs_have_one_delivery(&self) {
        for (id, run) in &self.runs {
            let row = self.outbox.get(id);
            let state = row.map(|row| row.state);
            let live = run.mirror == Mirror::Live;
            let pulled = run.stream.is_some();
            let fits = match (run.status, state) {
                // Its entry is looked at with the streams.
                (_, state) if pulled => state.is_none(),
                (Status::Delayed, Some(RowState::Waiting)) => true,
                (Status::Queued, Some(RowState::Ready | RowState::Waiting)) => true,
                (Status::Executing | Status::Canceling, Some(RowState::Leased { .. })) => !live,
                (Status::Executing | Status::Canceling, None) => live,
                (status, None) => status.is_final(),
                (_, Some(_)) => false,
            };
            assert!(
                fits,
                "{id} is {}, {:?}, and its row {state:?}",
                run.status.as_str(),
                run.mirror
            );
        }
        for (id, row) in &self.outbox {
            let run = match &row.purpose {
                Purpose::Run => id,
                Purpose::Hook { run, .. } => run,
            };
            let run = self.runs.get(run).unwrap_or_else(|| panic!("row {id} has no run"));
            if let (Purpose::Run, Some(task)) = (&row.purpose, self.tasks.get(&run.task)) {
                assert_eq!(row.lane, lane_of(Some(task), run), "{id} stands in the wrong lane");
                assert_eq!(row.ordered, task.is_ordered(), "{id} has the wrong order");
            }
        }
    }

    fn indexes_equal_rows(&self) {
        let runs = || self.runs.values();
        let set = |keys: &mut dyn Iterator<Item = Key>| keys.map(Key::into_bytes).collect::<Keys>();
        let by_status = set(&mut runs().map(|run| run_index::by_status(run.status).id(run.id)));
        same("by status", &by_status, &keys(self.rows, Table::ByStatus));
        let by_task = set(&mut runs().map(|run| run_index::by_task(&run.task).id(run.id)));
        same("by task", &by_task, &keys(self.rows, Table::ByTask));
        let by_env = set(&mut runs().map(|run| run_index::by_env(&run.org, &run.env).id(run.id)));
        same("by env", &by_env, &keys(self.rows, Table::ByEnv));
        let by_tag = set(&mut runs().flat_map(|run| {
            let key = |tag: &String| run_index::by_tag(&run.org, &run.env, tag).id(run.id);
            run.tags.iter().map(key).collect::<Vec<_>>()
        }));
        same("by tag", &by_tag, &keys(self.rows, Table::ByTag));
        let remote = set(&mut runs().filter_map(|run| {
            let number = run.remote_id? as u64;
            Some(Key::new(Table::Remote).u64(number).text(run.task.as_str()).id(run.id))
        }));
        same("by the agent's number", &remote, &keys(self.rows, Table::Remote));
    }

    fn follow_ups_hold_their_runs(&self) {
        let hooks = self.outbox.values().filter_map(|row| match &row.purpose {
            Purpose::Hook { run, .. } => Some(Key::new(Table::HookOf).id(*run).id(row.id)),
            Purpose::Run => None,
        });
        let expected = hooks.map(Key::into_bytes).collect();
        same("follow-ups of runs", &expected, &keys(self.rows, Table::HookOf));
    }

    /// In line are rows that may go, and in an ordered lane also the one that is out or backs off.
    fn in_line(row: &OutboxRow) -> bool {
        match row.state {
            RowState::Ready => true,
            RowState::Waiting => row.ordered && row.attempts > 0,
            RowState::Leased { .. } => row.ordered,
        }
    }

    fn ready_index_equals_rows(&self) {
        let place = |endpoint: &str, lane: &Lane, id: Id| {
            let key = Key::new(Table::Ready).text(endpoint);
            key.text(&lane.org).text(&lane.env).text(&lane.key).id(id).into_bytes()
        };
        let in_line = self.outbox.values().filter(|row| Self::in_line(row));
        let expected = in_line.map(|row| place(row.endpoint.as_str(), &row.lane, row.id)).collect();
        let mut found = Keys::new();
        scan(self.rows, Table::Ready, |key, _| {
            let (endpoint, lane, id) = read_place(key);
            assert!(found.insert(place(&endpoint, &lane, id)), "{id} is twice in the ready index");
        });
        same("ready index", &expected, &found);
    }

    /// A lane whose head may go is marked, unless its own limit holds it back.
    fn lanes_with_work_are_marked(&self) {
        let mut heads: BTreeMap<(String, Lane), Id> = BTreeMap::new();
        scan(self.rows, Table::Ready, |key, _| {
            let (endpoint, lane, id) = read_place(key);
            heads.entry((endpoint, lane)).or_insert(id);
        });
        for ((endpoint, lane), head) in heads {
            let name = Name::new(&endpoint).expect("an endpoint has a name");
            let marked = ready::is_marked(self.rows, &name, &lane).expect("a mark can be read");
            if marked || self.outbox[&head].state != RowState::Ready {
                continue;
            }
            let limit = self.tasks.get(&name).and_then(|task| task.concurrency);
            let taken = counter(self.rows, &count::lane_slots(&name, &lane)).expect("a counter");
            let full = !lane.key.is_empty() && limit.is_some_and(|max| taken >= i64::from(max));
            assert!(full, "lane {lane:?} of {endpoint} has work, is not full and not marked");
        }
    }

    fn timers_belong_to_rows(&self) {
        let mut expected: BTreeSet<_> = buffered::timers(&self.entries).into_iter().collect();
        for row in self.outbox.values() {
            match row.state {
                RowState::Ready => {}
                RowState::Waiting => expected.extend([(Timer::Deliver, row.due_at, row.id)]),
                RowState::Leased { until } => expected.extend([(Timer::Lease, until, row.id)]),
            }
        }
        for run in self.runs.values() {
            let waits = matches!(run.status, Status::Delayed | Status::Queued);
            if let (true, None, Some(at)) = (waits, run.started_at, run.expires_at) {
                expected.insert((Timer::Expire, at, run.id));
            }
            if let (true, Some(at)) = (run.status.holds_slot(), run.deadline) {
                expected.insert((Timer::Deadline, at, run.id));
            }
            if run.stream.is_some() && run.status == Status::Delayed {
                expected.insert((Timer::Enqueue, run.due_at, run.id));
            }
        }
        let schedules = scheduling::timers(self.rows);
        expected.extend(schedules.into_iter().map(|(at, id)| (Timer::Schedule, at, id)));
        let mut found = BTreeSet::new();
        // Those that wake readers are looked at with the streams.
        for timer in Timer::ALL.into_iter().filter(|timer| *timer != Timer::Again) {
            let timers = due::after(self.rows, timer, None, usize::MAX).expect("timers");
            // Nobody knows the timers of an entry that cannot be read; they ring in vain.
            let known = timers.into_iter().filter(|(_, id)| !self.gone.contains_key(id));
            found.extend(known.map(|(at, id)| (timer, at, id)));
        }
        let missing: Vec<_> = expected.difference(&found).collect();
        let spare: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && spare.is_empty(),
            "timers: missing {missing:?}, spare {spare:?}"
        );
    }

    fn counters_equal_a_recount(&self) {
        let mut counts: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let of_shards = sharded::counts(self.rows, &self.runs);
        let of_buffer = buffered::counts(&self.entries, &self.lost);
        for (key, by) in of_buffer.into_iter().chain(of_shards) {
            *counts.entry(key.into_bytes()).or_default() += by;
        }
        let runs = self.all_runs();
        for (key, by) in batches::counts(self.rows, &runs, &self.gone) {
            *counts.entry(key.into_bytes()).or_default() += by;
        }
        let mut add = |key: Key| *counts.entry(key.into_bytes()).or_default() += 1;
        for Lost { env: (org, env), task, status, .. } in self.lost.values() {
            add(count::all(*status));
            add(count::task(task, *status));
            add(count::env(org, env, *status));
        }
        for run in runs.values() {
            add(count::all(run.status));
            add(count::task(&run.task, run.status));
            add(count::env(&run.org, &run.env, run.status));
            if run.status.holds_slot() {
                add(count::slots(&run.task));
                let lane = lane_of(self.tasks.get(&run.task), run);
                if !lane.key.is_empty() {
                    add(count::lane_slots(&run.task, &lane));
                }
            }
        }
        for row in self.outbox.values() {
            add(count::outbox_state(row.state));
        }
        for _ in keys(self.rows, Table::Dead) {
            add(count::outbox_dead());
        }
        let total =
            |which| counter(self.rows, &count::total(which)).expect("a counter can be read");
        let created = runs.len() + self.gone.len() + self.removed;
        assert_eq!(total(Total::Created), created as i64, "runs created");
        let completed = self.runs.values().filter(|run| run.status == Status::Completed).count();
        let removed = total(Total::Completed) - completed as i64;
        assert!((0..=self.removed as i64).contains(&removed), "runs completed");
        let attempts: i64 = self.runs.values().map(|run| i64::from(run.attempts)).sum();
        assert!(total(Total::Attempts) >= attempts, "attempts made");
        let totals = count::total(Total::Created).into_bytes();
        let totals = &totals[..totals.len() - 1];
        scan(self.rows, Table::Count, |key, value| {
            if !key.starts_with(totals) && !recount::counts_keys(key) {
                let bytes = value.try_into().expect("a counter has 8 bytes");
                let (found, expected) = (i64::from_le_bytes(bytes), counts.remove(key));
                let text = key.escape_ascii();
                assert_eq!(Some(found), expected, "counter {text} (recounted on the right)");
            }
        });
        assert!(counts.is_empty(), "counters that are not there: {counts:?}");
    }

    fn dead_letters_pair_up(&self) {
        let mut letters = BTreeSet::new();
        scan(self.rows, Table::Dead, |key, value| {
            let letter = outbox_rows::read_dead(key, value).expect("a dead letter can be read");
            let id = letter.row.id;
            assert!(letters.insert(id), "{id} died twice");
            let found = outbox_rows::dead(self.rows, id).expect("a dead letter can be read");
            assert_eq!(found.as_ref(), Some(&letter), "{id}: found by its id");
            assert!(!self.outbox.contains_key(&id), "{id} is dead and in the outbox");
            if letter.row.purpose == Purpose::Run {
                assert_eq!(self.runs[&id].status, Status::Failed, "{id} has a dead letter");
            }
        });
        assert_eq!(keys(self.rows, Table::DeadById).len(), letters.len(), "dead letters by id");
    }

    fn keys_bind_one_run(&self, unbound: bool) {
        // What a batch will make holds its keys already.
        let staged = batches::staged(self.rows);
        let mut runs = self.all_runs();
        runs.extend(staged.iter().map(|(id, run)| (*id, run)));
        if self.gone.is_empty() {
            // A key whose run is lost is free, whatever the clock did since.
            check_keys(runs.values().copied());
        }
        let mut newest: BTreeMap<(&Name, &Name, &str), &Run> = BTreeMap::new();
        for run in runs.into_values() {
            if let Some(key) = &run.idempotency_key {
                newest.insert((&run.org, &run.env, key), run);
            }
        }
        for ((org, env, key), run) in &newest {
            let binding = idem::get(self.rows, org, env, key).expect("a binding can be read");
            let Some(binding) = binding else {
                assert!(unbound, "key {key} of {} is not bound", run.id);
                continue;
            };
            if !self.gone.contains_key(&binding.run) {
                assert_eq!((binding.run, binding.fingerprint), (run.id, run.fingerprint));
            }
        }
        let bound = keys(self.rows, Table::Idem).len();
        let lost = lost::bound(self.rows, &self.gone);
        let most = if unbound { usize::MAX } else { bound };
        assert!((bound - lost..=most).contains(&newest.len()), "bindings without a run");
    }
}

fn read_place(key: &[u8]) -> (String, Lane, Id) {
    let mut reader = KeyReader::new(key);
    let mut text = || reader.text().expect("a key of the ready index");
    let endpoint = text();
    let lane = Lane { org: text(), env: text(), key: text() };
    (endpoint, lane, last_id(key).expect("a key of the ready index ends with an id"))
}
