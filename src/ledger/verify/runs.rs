//! Runs, and entries of the burst buffer: each agrees with itself, its indexes, its timers and its
//! row in the outbox.

use crate::base::id::Id;
use crate::base::time::Time;
use crate::ledger::runs::save::lane_of;
use crate::model::delivery::{OutboxRow, RowState, Timer};
use crate::model::run::{Mirror, Run, Status};
use crate::model::stream::{Content, KeyName};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::kinds::buffered::{self, Held};
use crate::store::kinds::key::{self as keys, Value};
use crate::store::kinds::{
    batch as batches, callback, count, due, entry, outbox, run as run_rows, run_index,
    task as tasks,
};
use crate::store::tables::Table;

use super::Check;

impl Check<'_> {
    pub fn check_runs(&mut self) -> Result<(), Fault> {
        self.each(Table::Run, &mut |check, key, value| {
            let run = run_rows::read(last_id(key)?, value)?;
            check.check_self(&run);
            check.check_row(&run)?;
            check.check_run_indexes(&run)?;
            check.check_run_timers(&run)?;
            check.check_callbacks(&run)?;
            check.check_entry(&run)?;
            check.count_run(&run)
        })
    }

    fn check_self(&mut self, run: &Run) {
        let status = run.status;
        let mut is = |so: bool, what: &str| {
            self.expect(so, || format!("{}: {what}", about(run)));
        };
        is((run.mirror == Mirror::Live) == run.remote_id.is_some(), "live without a remote id");
        is(status.is_final() == run.finished_at.is_some(), "finished_at");
        is(status.holds_slot() == run.deadline.is_some(), "deadline");
        is(run.error.is_none() || status.is_final(), "an error before the end");
        if status == Status::Delayed {
            is(run.fence == 0 && run.attempts == 0, "attempts before the start");
        }
        if status == Status::Failed {
            is(run.error.is_some(), "failed without an error");
        }
    }

    /// An open run that is pushed has one delivery, a closed one none.
    fn check_row(&mut self, run: &Run) -> Result<(), Fault> {
        let row = outbox::get(self.rows, run.id)?;
        let letter = Key::new(Table::DeadById).id(run.id);
        let is_dead = self.rows.get(letter.bytes())?.is_some();
        let is_right = match (&row, run.stream.is_some(), run.status) {
            (Some(_), true, _) => false,
            (None, true, status) => !is_dead || status == Status::Failed,
            (Some(row), _, Status::Delayed) => row.state == RowState::Waiting,
            (Some(row), _, Status::Queued) => {
                matches!(row.state, RowState::Ready | RowState::Waiting)
            }
            (None, _, Status::Delayed | Status::Queued) => false,
            (row, _, Status::Executing | Status::Canceling) => {
                let is_out = |row: &OutboxRow| matches!(row.state, RowState::Leased { .. });
                row.as_ref().is_none_or(is_out) && row.is_some() == (run.mirror == Mirror::Pending)
            }
            (row, _, Status::Failed) => row.is_none(),
            (
                row,
                _,
                Status::Completed | Status::Canceled | Status::Expired | Status::SystemFailure,
            ) => row.is_none() && !is_dead,
        };
        let state = row.as_ref().map(|row| row.state);
        self.expect(is_right, || {
            format!("{}: its row is {state:?}, its dead letter {is_dead}", about(run))
        });
        if let Some(row) = row {
            self.same(row.fence, run.fence, || format!("{}: fence of its row", about(run)));
            let task = tasks::get(self.rows, &run.task)?;
            let lane = lane_of(task.as_ref(), run);
            self.same(row.lane, lane, || format!("{}: lane of its row", about(run)));
        }
        Ok(())
    }

    fn check_run_indexes(&mut self, run: &Run) -> Result<(), Fault> {
        let id = run.id;
        let of = |key: Key| key.id(id);
        let what = || about(run);
        self.indexed(Table::ByStatus, of(run_index::by_status(run.status)), what)?;
        self.indexed(Table::ByTask, of(run_index::by_task(&run.task)), what)?;
        self.indexed(Table::ByEnv, of(run_index::by_env(&run.org, &run.env)), what)?;
        for tag in &run.tags {
            self.indexed(Table::ByTag, of(run_index::by_tag(&run.org, &run.env, tag)), what)?;
        }
        if let Some(number) = run.remote_id {
            let key = Key::new(Table::Remote).u64(number as u64).text(run.task.as_str());
            self.indexed(Table::Remote, of(key), what)?;
        }
        if let Some((batch, _)) = run.batch {
            let there = batches::get(self.rows, batch)?.is_some();
            self.expect(there, || format!("{}: no batch {batch}", about(run)));
        }
        Ok(())
    }

    fn check_run_timers(&mut self, run: &Run) -> Result<(), Fault> {
        let waits = matches!(run.status, Status::Delayed | Status::Queued);
        if let (true, None, Some(at)) = (waits, run.started_at, run.expires_at) {
            self.timer(Timer::Expire, at, run.id)?;
        }
        if let (true, Some(at)) = (run.status.holds_slot(), run.deadline) {
            self.timer(Timer::Deadline, at, run.id)?;
        }
        if run.stream.is_some() && run.status == Status::Delayed {
            self.timer(Timer::Enqueue, run.due_at, run.id)?;
        }
        Ok(())
    }

    /// A timer that must be set, and is counted.
    pub fn timer(&mut self, timer: Timer, at: Time, id: Id) -> Result<(), Fault> {
        *self.indexed.entry(Table::Due).or_default() += 1;
        let is_set = due::is_set(self.rows, timer, at, id)?;
        self.expect(is_set, || format!("{id} has no timer {timer:?} at {}", at.to_rfc3339()));
        Ok(())
    }

    fn check_callbacks(&mut self, run: &Run) -> Result<(), Fault> {
        if run.callbacks == 0 {
            return Ok(());
        }
        let found = callback::of_run(self.rows, run.id, run.callbacks as usize + 1)?.len();
        self.same(found, run.callbacks as usize, || format!("{}: callbacks", about(run)));
        self.expect(!run.status.is_final(), || format!("{} has ended and waits", about(run)));
        *self.indexed.entry(Table::CallbackOf).or_default() += u64::from(run.callbacks);
        self.add(count::callbacks(), i64::from(run.callbacks));
        Ok(())
    }

    /// A run that is pulled has an entry while it waits or is out.
    fn check_entry(&mut self, run: &Run) -> Result<(), Fault> {
        let out = [Status::Queued, Status::Executing, Status::Canceling].contains(&run.status);
        let stands = run.stream.is_some() && out;
        self.same(run.entry.is_some(), stands, || format!("{}: an entry", about(run)));
        let (Some(name), Some(id)) = (&run.stream, run.entry) else { return Ok(()) };
        let key = keys::get(self.rows, &KeyName::of(name))?;
        let content = match key.map(|key| key.value) {
            Some(Value::Stream(stream)) => entry::get(self.rows, stream.number, id)?,
            _ => None,
        };
        let is_mine =
            content.is_some_and(|content| matches!(content, Content::Run(of) if of == run.id));
        self.expect(is_mine, || format!("{}: its entry {id} of `{name}`", about(run)));
        Ok(())
    }

    /// Entries stand in a queue or back off, and are no runs as well.
    pub fn check_buffer(&mut self) -> Result<(), Fault> {
        self.each(Table::BufferDead, &mut |check, _, _| {
            check.unreadable += 1;
            Ok(())
        })?;
        self.each(Table::Buffered, &mut |check, key, _| {
            let id = last_id(key)?;
            let entry = match buffered::held(check.rows, id)? {
                Some(Held::Entry(entry)) => entry,
                Some(Held::Unreadable(_, why)) => {
                    check.unreadable += 1;
                    return Err(Fault::Corrupt(why));
                }
                None => return Ok(()),
            };
            let run = &entry.run;
            let what = || format!("buffered {}", about(run));
            let is_run = check.rows.get(run_rows::key(id).bytes())?.is_some();
            check.expect(!is_run, || format!("{} is a run as well", what()));
            let waits = matches!(run.status, Status::Delayed | Status::Queued);
            let fresh = run.attempts == 0 && run.entry.is_none();
            check.expect(waits && fresh, || format!("{} has begun", what()));
            match entry.waits_until {
                None => {
                    let place = buffered::queue(&run.org, &run.env).id(id);
                    check.indexed(Table::BufferQueue, place, what)?;
                }
                Some(at) => {
                    let place = buffered::waits(&run.org, &run.env).id(id);
                    check.indexed(Table::BufferWaits, place, what)?;
                    check.timer(Timer::Buffer, at, id)?;
                }
            }
            if let Some(at) = run.expires_at {
                check.timer(Timer::Expire, at, id)?;
            }
            check.count_buffered((&run.org, &run.env), entry.bytes as i64);
            check.count_run(run)
        })
    }
}

pub fn about(run: &Run) -> String {
    format!("{} run {}", run.status.as_str(), run.id)
}
