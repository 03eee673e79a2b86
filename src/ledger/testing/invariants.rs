//! What must be true of the whole store after every act, by counting everything again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::ledger::outbox::save::is_hooks_lane;
use crate::ledger::runs::save::lane_of;
use crate::ledger::verify::verify;
use crate::model::delivery::{Lane, OutboxRow, Purpose, RowState, Timer};
use crate::model::run::{Mirror, Run, Status};
use crate::model::task::Task;
use crate::store::key::{Key, KeyReader, last_id};
use crate::store::kinds::buffered::{self, Entry};
use crate::store::kinds::{count, outbox, ready, run as run_rows, run_index, task as tasks};
use crate::store::rows::{Rows, Span, collect, counter};
use crate::store::tables::Table;
use crate::store::tx::Tx;

struct Facts {
    runs: BTreeMap<Id, Run>,
    buffered: BTreeMap<Id, Entry>,
    rows: BTreeMap<Id, OutboxRow>,
    dead: BTreeSet<Id>,
    tasks: BTreeMap<String, Task>,
}

pub fn check(rows: &dyn Rows) {
    let facts = Facts::read(rows);
    for run in facts.runs.values() {
        check_run(&facts, run);
    }
    for row in facts.rows.values() {
        if row.purpose == Purpose::Run
            && let Some(run) = facts.runs.get(&row.id)
        {
            assert!(!run.status.is_final(), "{} run {} has a row", run.status.as_str(), run.id);
            assert_eq!(row.fence, run.fence, "fences of row and run {}", run.id);
        }
    }
    check_counters(rows, &facts);
    check_indexes(rows, &facts);
    check_lanes(rows, &facts);
    check_timers(rows, &facts);
    check_buffer(rows, &facts);
    super::batches::check(rows, facts.all_runs());
    super::shards::check(rows, &facts.runs);
    super::keys::check(rows);
    super::pull::check(rows, facts.runs.values());
    // What operators verify says the same.
    assert_eq!(verify(rows, &mut |_| Ok(())).unwrap().summary(), None, "verified");
}

impl Facts {
    fn read(rows: &dyn Rows) -> Facts {
        let all = table(rows, Table::Run);
        let runs = all.iter().map(|(key, value)| {
            let id = last_id(key).unwrap();
            (id, run_rows::read(id, value).unwrap())
        });
        let open = table(rows, Table::Outbox);
        let open = open.iter().map(|(key, _)| last_id(key).unwrap());
        let letters: BTreeSet<Id> = table(rows, Table::Dead)
            .iter()
            .map(|(key, value)| outbox::read_dead(key, value).unwrap().row.id)
            .collect();
        let by_id = table(rows, Table::DeadById);
        let by_id: BTreeSet<Id> = by_id.iter().map(|(key, _)| last_id(key).unwrap()).collect();
        assert_eq!(letters, by_id, "dead letters by time and by id");
        let waiting = table(rows, Table::Buffered);
        let waiting = waiting.iter().map(|(key, _)| last_id(key).unwrap());
        let known = tasks::list(rows, None, usize::MAX).unwrap();
        Facts {
            runs: runs.collect(),
            buffered: waiting
                .filter_map(|id| Some((id, buffered::get(rows, id).unwrap()?)))
                .collect(),
            rows: open.map(|id| (id, outbox::get(rows, id).unwrap().unwrap())).collect(),
            dead: letters,
            tasks: known.into_iter().map(|task| (task.name.to_string(), task)).collect(),
        }
    }

    fn all_runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().chain(self.buffered.values().map(|entry| &entry.run))
    }

    fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.get(name)
    }
}

fn check_run(facts: &Facts, run: &Run) {
    let about = format!("{} run {}", run.status.as_str(), run.id);
    let row = facts.rows.get(&run.id);
    assert_eq!(run.mirror == Mirror::Live, run.remote_id.is_some(), "{about}: live and remote id");
    assert_eq!(run.status.is_final(), run.finished_at.is_some(), "{about}: finished_at");
    assert_eq!(run.status.holds_slot(), run.deadline.is_some(), "{about}: deadline");
    assert!(run.error.is_none() || run.status.is_final(), "{about}: an error before the end");
    assert!(row.is_none() || !facts.dead.contains(&run.id), "{about}: a row and a dead letter");
    if run.stream.is_some() {
        assert!(row.is_none(), "{about} is pulled and has a row");
        let dead = facts.dead.contains(&run.id);
        assert!(!dead || run.status == Status::Failed, "{about} has a dead letter");
        return;
    }
    match run.status {
        Status::Delayed => {
            assert_eq!(row.map(|row| row.state), Some(RowState::Waiting), "{about}");
            assert!(run.fence == 0 && run.attempts == 0, "{about}: attempts before the start");
        }
        Status::Queued => {
            let state = row.unwrap_or_else(|| panic!("{about} has no row")).state;
            assert!(matches!(state, RowState::Ready | RowState::Waiting), "{about}: {state:?}");
        }
        Status::Executing | Status::Canceling => {
            let out = row.is_some_and(|row| matches!(row.state, RowState::Leased { .. }));
            assert_eq!(out, row.is_some(), "{about}: its row must be leased");
            assert_eq!(out, run.mirror == Mirror::Pending, "{about}: a row unless it is live");
        }
        Status::Failed => assert!(row.is_none() && run.error.is_some(), "{about}: row or no error"),
        Status::Completed | Status::Canceled | Status::Expired | Status::SystemFailure => {
            assert!(row.is_none() && !facts.dead.contains(&run.id), "{about} has a row or letter");
        }
    }
    if let Some(row) = row {
        assert_eq!(row.lane, lane_of(facts.task(run.task.as_str()), run), "{about}: lane");
    }
}

fn check_counters(rows: &dyn Rows, facts: &Facts) {
    let mut expected: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    let mut add = |key: Key| *expected.entry(key.into_bytes()).or_default() += 1;
    for run in facts.all_runs() {
        add(count::all(run.status));
        add(count::task(&run.task, run.status));
        add(count::env(&run.org, &run.env, run.status));
        if run.status.holds_slot() {
            add(count::slots(&run.task));
            let lane = lane_of(facts.task(run.task.as_str()), run);
            if !lane.key.is_empty() {
                add(count::lane_slots(&run.task, &lane));
            }
        }
    }
    for row in facts.rows.values() {
        add(count::outbox_state(row.state));
    }
    for _ in &facts.dead {
        add(count::outbox_dead());
    }
    for _ in table(rows, Table::Callback) {
        add(count::callbacks());
    }
    for Entry { run, bytes, .. } in facts.buffered.values() {
        let entries = [count::buffered(), count::buffered_of(&run.org, &run.env)];
        let sizes = [count::buffered_bytes(), count::buffered_bytes_of(&run.org, &run.env)];
        for (keys, by) in [(entries, 1), (sizes, *bytes as i64)] {
            for key in keys {
                *expected.entry(key.into_bytes()).or_default() += by;
            }
        }
    }
    for (key, by) in super::batches::counts(rows, facts.all_runs()) {
        *expected.entry(key.into_bytes()).or_default() += by;
    }
    expected.extend(super::keys::expected_counts(rows));
    expected.extend(super::shards::expected_counts(rows, &facts.runs));
    let totals = count::total(count::Total::Created).bytes()[..2].to_vec();
    let numbers = count::key_numbers().into_bytes();
    let pending = count::pending_all(0).bytes()[..2].to_vec();
    let found: BTreeMap<Vec<u8>, i64> = table(rows, Table::Count)
        .into_iter()
        .filter(|(key, _)| !key.starts_with(&totals) && *key != numbers)
        // Looked at with their groups.
        .filter(|(key, _)| !key.starts_with(&pending))
        .map(|(key, value)| (key, i64::from_le_bytes(value.try_into().unwrap())))
        .collect();
    assert_eq!(found, expected, "counters");
}

fn check_indexes(rows: &dyn Rows, facts: &Facts) {
    let mut expected: BTreeSet<Vec<u8>> = BTreeSet::new();
    for run in facts.runs.values() {
        let mut add = |key: Key| assert!(expected.insert(key.id(run.id).into_bytes()));
        add(run_index::by_status(run.status));
        add(run_index::by_task(&run.task));
        add(run_index::by_env(&run.org, &run.env));
        for tag in &run.tags {
            add(run_index::by_tag(&run.org, &run.env, tag));
        }
        if let Some(number) = run.remote_id {
            add(Key::new(Table::Remote).u64(number as u64).text(run.task.as_str()));
        }
    }
    let mut found = BTreeSet::new();
    for row in facts.rows.values() {
        if let Purpose::Hook { run, .. } = &row.purpose {
            expected.insert(Key::new(Table::HookOf).id(*run).id(row.id).into_bytes());
        }
    }
    let of_runs = [Table::ByStatus, Table::ByTask, Table::ByEnv, Table::ByTag, Table::Remote];
    for index in of_runs.into_iter().chain([Table::HookOf]) {
        found.extend(table(rows, index).into_iter().map(|(key, _)| key));
    }
    assert!(found == expected, "indexes of runs");
}

/// Ready rows are those of the outbox, and a lane that could give something now is marked.
fn check_lanes(rows: &dyn Rows, facts: &Facts) {
    let mut lanes: BTreeMap<(Name, Lane), BTreeSet<Id>> = BTreeMap::new();
    let mut expected = 0;
    for row in facts.rows.values() {
        let stays = match row.state {
            RowState::Ready => true,
            RowState::Waiting => row.ordered && row.attempts > 0,
            RowState::Leased { .. } => row.ordered,
        };
        if stays {
            expected += 1;
            lanes.entry((row.endpoint.clone(), row.lane.clone())).or_default().insert(row.id);
        }
    }
    assert_eq!(ready::page(rows, None, usize::MAX).unwrap().len(), expected, "ready rows");
    for ((endpoint, lane), ids) in &lanes {
        let line = ready::head(rows, endpoint, lane, usize::MAX).unwrap();
        assert_eq!(&line.iter().copied().collect::<BTreeSet<_>>(), ids, "ready rows of {lane:?}");
        let head = &facts.rows[&line[0]];
        let out = line.iter().filter(|id| matches!(facts.rows[id].state, RowState::Leased { .. }));
        assert!(!head.ordered || out.count() <= 1, "two are out in the ordered lane {lane:?}");
        let limit = facts.task(endpoint.as_str()).and_then(|task| task.concurrency);
        let room = match limit {
            Some(limit) if !lane.key.is_empty() && !is_hooks_lane(lane) => {
                let taken = counter(rows, &count::lane_slots(endpoint, lane)).unwrap();
                taken < i64::from(limit)
            }
            // A limit of the whole task leaves the marks.
            Some(_) | None => true,
        };
        if head.state == RowState::Ready && room {
            let marked = ready::is_marked(rows, endpoint, lane).unwrap();
            assert!(marked, "the lane {lane:?} of `{endpoint}` is forgotten");
        }
    }
}

fn check_timers(rows: &dyn Rows, facts: &Facts) {
    let mut expected = BTreeSet::new();
    for row in facts.rows.values() {
        match row.state {
            RowState::Ready => {}
            RowState::Waiting => assert!(expected.insert((Timer::Deliver, row.due_at, row.id))),
            RowState::Leased { until } => {
                assert!(expected.insert((Timer::Lease, until, row.id)));
            }
        }
    }
    for Entry { run, waits_until, .. } in facts.buffered.values() {
        expected.extend(run.expires_at.map(|at| (Timer::Expire, at, run.id)));
        expected.extend(waits_until.map(|at| (Timer::Buffer, at, run.id)));
    }
    for run in facts.runs.values() {
        if let (Status::Delayed | Status::Queued, None, Some(at)) =
            (run.status, run.started_at, run.expires_at)
        {
            expected.insert((Timer::Expire, at, run.id));
        }
        if let (true, Some(at)) = (run.status.holds_slot(), run.deadline) {
            expected.insert((Timer::Deadline, at, run.id));
        }
        if run.stream.is_some() && run.status == Status::Delayed {
            expected.insert((Timer::Enqueue, run.due_at, run.id));
        }
    }
    let schedules = super::schedules::check(rows, facts.runs.values());
    expected.extend(schedules.into_iter().map(|(at, id)| (Timer::Schedule, at, id)));
    let found: BTreeSet<_> = table(rows, Table::Due)
        .into_iter()
        .map(|(key, _)| {
            let mut reader = KeyReader::new(&key);
            let number = reader.u8().unwrap();
            let timer = Timer::ALL.into_iter().find(|timer| *timer as u8 == number).unwrap();
            (timer, reader.time().unwrap(), reader.id().unwrap())
        })
        // A wake-up of readers is no promise: the entries wait in an index of their own.
        .filter(|(timer, _, _)| *timer != Timer::Again)
        .collect();
    assert_eq!(found, expected, "timers");
}

/// Every entry stands in its queue or backs off, and is no run as well.
fn check_buffer(rows: &dyn Rows, facts: &Facts) {
    let (mut queued, mut backing_off) = (BTreeSet::new(), BTreeSet::new());
    for Entry { run, waits_until, .. } in facts.buffered.values() {
        let about = format!("buffered {} run {}", run.status.as_str(), run.id);
        assert!(!facts.runs.contains_key(&run.id), "{about} is a run as well");
        assert!(matches!(run.status, Status::Delayed | Status::Queued), "{about}");
        assert!(run.attempts == 0 && run.entry.is_none(), "{about} has begun");
        assert!(!facts.rows.contains_key(&run.id), "{about} has a row");
        match waits_until {
            None => queued.insert(buffered::queue(&run.org, &run.env).id(run.id).into_bytes()),
            Some(_) => {
                backing_off.insert(buffered::waits(&run.org, &run.env).id(run.id).into_bytes())
            }
        };
    }
    let keys = |of| table(rows, of).into_iter().map(|(key, _)| key).collect::<BTreeSet<_>>();
    assert_eq!(keys(Table::BufferQueue), queued, "queues of the buffer");
    assert_eq!(keys(Table::BufferWaits), backing_off, "entries that back off");
}

pub(super) fn table(rows: &dyn Rows, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    collect(rows, &Span::prefix(&Key::new(table)), usize::MAX).unwrap()
}

pub fn dump(rows: &dyn Rows) -> String {
    let mut text = String::new();
    for number in Table::ALL {
        for (key, value) in table(rows, *number) {
            let _ = writeln!(text, "{number:?} {key:02x?} {value:02x?}");
        }
    }
    text
}

/// Removes a run with all that stands beside it, but for its outbox row.
pub fn erase(tx: &mut Tx<'_>, run: &Run) {
    tx.remove(run_rows::key(run.id));
    tx.remove(run_index::by_status(run.status).id(run.id));
    tx.remove(run_index::by_task(&run.task).id(run.id));
    tx.remove(run_index::by_env(&run.org, &run.env).id(run.id));
    count::move_status(tx, (&run.task, &run.org, &run.env), Some(run.status), None);
}
