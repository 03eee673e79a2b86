//! The outbox: rows and their places in line, lanes that have work, dead letters.

use crate::base::id::Id;
use crate::ledger::outbox::save::is_hooks_lane;
use crate::model::delivery::{Lane, OutboxRow, Purpose, RowState, Timer};
use crate::model::run::Status;
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, last_id};
use crate::store::kinds::{count, outbox as rows, ready, run as run_rows, task as tasks};
use crate::store::rows::counter;
use crate::store::tables::Table;

use super::Check;

impl Check<'_> {
    pub fn check_outbox(&mut self) -> Result<(), Fault> {
        self.each(Table::Outbox, &mut |check, key, _| {
            let id = last_id(key)?;
            let Some(row) = rows::get(check.rows, id)? else { return Ok(()) };
            check.add(count::outbox_state(row.state), 1);
            match row.state {
                RowState::Ready => {}
                RowState::Waiting => check.timer(Timer::Deliver, row.due_at, id)?,
                RowState::Leased { until } => check.timer(Timer::Lease, until, id)?,
            }
            if keeps_place(&row) {
                *check.indexed.entry(Table::Ready).or_default() += 1;
            }
            match &row.purpose {
                Purpose::Run => {
                    let run = run_rows::get(check.rows, id)?;
                    let is_open = run.is_some_and(|run| !run.status.is_final());
                    check.expect(is_open, || format!("row {id} has no run that is open"));
                }
                Purpose::Hook { run, .. } => {
                    let key = Key::new(Table::HookOf).id(*run).id(id);
                    check.indexed(Table::HookOf, key, || format!("follow-up {id}"))?;
                }
            }
            Ok(())
        })
    }

    /// Whoever stands in line is in the outbox, and a lane that could give something now is marked.
    pub fn check_ready(&mut self) -> Result<(), Fault> {
        let mut lane_before = Vec::new();
        self.each(Table::Ready, &mut |check, key, _| {
            let id = last_id(key)?;
            let row = rows::get(check.rows, id)?;
            let Some(row) = row.filter(keeps_place) else {
                return Err(Fault::Corrupt("no row of the outbox keeps this place".to_owned()));
            };
            let mut reader = KeyReader::new(key);
            let endpoint = reader.text()?;
            let lane = Lane { org: reader.text()?, env: reader.text()?, key: reader.text()? };
            let is_its = endpoint == row.endpoint.as_str() && lane == row.lane;
            check.expect(is_its, || format!("row {id} stands in line in another lane"));
            let of_lane = key[..key.len() - reader.rest().len()].to_vec();
            if of_lane != lane_before {
                check.check_head(&row, id)?;
                lane_before = of_lane;
            }
            Ok(())
        })
    }

    fn check_head(&mut self, head: &OutboxRow, id: Id) -> Result<(), Fault> {
        if head.state != RowState::Ready || ready::is_marked(self.rows, &head.endpoint, &head.lane)?
        {
            return Ok(());
        }
        let limit = tasks::get(self.rows, &head.endpoint)?.and_then(|task| task.concurrency);
        let is_full = match limit {
            Some(limit) if !head.lane.key.is_empty() && !is_hooks_lane(&head.lane) => {
                let taken = count::lane_slots(&head.endpoint, &head.lane);
                counter(self.rows, &taken)? >= i64::from(limit)
            }
            // A limit of the whole task leaves the marks.
            Some(_) | None => false,
        };
        self.expect(is_full, || {
            format!("the lane of row {id} of `{}` is forgotten", head.endpoint)
        });
        Ok(())
    }

    pub fn check_letters(&mut self) -> Result<(), Fault> {
        self.each(Table::Dead, &mut |check, key, value| {
            let letter = rows::read_dead(key, value)?;
            let id = letter.row.id;
            let by_id = Key::new(Table::DeadById).id(id);
            check.indexed(Table::DeadById, by_id, || format!("dead letter {id}"))?;
            check.add(count::outbox_dead(), 1);
            let is_open = rows::get(check.rows, id)?.is_some();
            check.expect(!is_open, || format!("{id} is dead and in the outbox"));
            if letter.row.purpose == Purpose::Run {
                let status = run_rows::get(check.rows, id)?.map(|run| run.status);
                check.same(status, Some(Status::Failed), || format!("dead letter {id}: its run"));
            }
            Ok(())
        })
    }
}

/// Ordered rows keep their place while they are out or back off.
fn keeps_place(row: &OutboxRow) -> bool {
    match row.state {
        RowState::Ready => true,
        RowState::Waiting => row.ordered && row.attempts > 0,
        RowState::Leased { .. } => row.ordered,
    }
}
