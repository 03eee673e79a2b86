//! Counters, counted again from the rows.

use crate::base::name::Name;
use crate::ledger::runs::save::lane_of;
use crate::model::run::Run;
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::kinds::{count, task as tasks};
use crate::store::tables::Table;

use super::{COUNTERS_MAX, Check};

impl Check<'_> {
    pub fn add(&mut self, key: Key, by: i64) {
        if let Some(counters) = &mut self.counters {
            *counters.entry(key.into_bytes()).or_default() += by;
            if counters.len() > COUNTERS_MAX {
                self.counters = None;
                let why = format!("counters: there are more than {COUNTERS_MAX}");
                self.report.left_out.push(why);
            }
        }
    }

    pub fn count_run(&mut self, run: &Run) -> Result<(), Fault> {
        self.add(count::all(run.status), 1);
        self.add(count::task(&run.task, run.status), 1);
        self.add(count::env(&run.org, &run.env, run.status), 1);
        if run.status.holds_slot() {
            self.add(count::slots(&run.task), 1);
            let lane = lane_of(tasks::get(self.rows, &run.task)?.as_ref(), run);
            if !lane.key.is_empty() {
                self.add(count::lane_slots(&run.task, &lane), 1);
            }
        }
        if let Some((batch, _)) = run.batch {
            self.add(count::batch(batch, run.status), 1);
            if !run.status.is_final() {
                self.add(count::batch_open(batch), 1);
            }
        }
        Ok(())
    }

    /// One that takes room in the buffer.
    pub fn count_buffered(&mut self, (org, env): (&Name, &Name), bytes: i64) {
        self.add(count::buffered(), 1);
        self.add(count::buffered_of(org, env), 1);
        self.add(count::buffered_bytes(), bytes);
        self.add(count::buffered_bytes_of(org, env), bytes);
    }

    /// What was counted is what stands there. What only grows cannot be counted again, and pending
    /// entries are counted with their groups.
    pub fn check_counters(&mut self) -> Result<(), Fault> {
        if self.unreadable > 0 {
            let why = format!("counters: {} entries of the buffer cannot be read", self.unreadable);
            self.report.left_out.push(why);
            return Ok(());
        }
        let Some(mut expected) = self.counters.take() else { return Ok(()) };
        let apart =
            [count::total(count::Total::Created), count::key_numbers(), count::pending_all(0)];
        self.each(Table::Count, &mut |check, key, value| {
            if apart.iter().any(|of| key.starts_with(&of.bytes()[..2])) {
                return Ok(());
            }
            let found = <[u8; 8]>::try_from(value).map(i64::from_le_bytes);
            let found =
                found.map_err(|_| Fault::Corrupt(format!("it has {} bytes", value.len())))?;
            let expected = expected.remove(key).unwrap_or(0);
            check.same(found, expected, || format!("counter {}", key[1..].escape_ascii()));
            Ok(())
        })?;
        for (key, by) in expected.into_iter().filter(|(_, by)| *by != 0) {
            self.problem(format!(
                "counter {} is not there, expected {by}",
                key[1..].escape_ascii()
            ));
        }
        Ok(())
    }
}
