//! How long things are kept that are over: ages and counts, and the limits within which they may
//! stand. Whatever is still under way is kept for as long as it is.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::base::time::Span;

use super::buffer::within;
use super::refusal::Refusal;

/// Short ages are for tests and demos; what is read by nobody within ten years is no history.
const AGE: RangeInclusive<Span> = Span::from_secs(1)..=Span::from_days(3_650);
const COUNT: RangeInclusive<u64> = 0..=1_000_000_000;
const LETTERS: RangeInclusive<u64> = 1..=10_000_000;
const BYTES: RangeInclusive<u64> = 1_024..=1 << 40;

/// What is kept, and for how long; also `[retention]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Runs, counted from their end, with all that belongs to them, their idempotency keys too; also
    /// those that failed, and so their retry tokens.
    pub runs: Span,
    /// Most runs that are over; the oldest go first. 0 is no limit.
    pub runs_max: u64,
    /// Lines of the attempts log, counted from the start of the attempt. They go with their run at
    /// the latest.
    pub attempts: Span,
    /// What is left of a follow-up once it is delivered: its attempts.
    pub delivered: Span,
    /// Dead letters, counted from their death.
    pub dead_letters: Span,
    /// Most dead letters, and their bytes in all; the oldest go first.
    pub dead_letters_max: u64,
    pub dead_letters_bytes: u64,
    /// Operational events.
    pub notices: Span,
    /// Bulk jobs that have ended.
    pub jobs: Span,
    /// Batches that are done, counted from their end. They stay for as long as a run of them does.
    pub batches: Span,
    /// Sharded runs that are finished, with what was delivered of their shards; likewise.
    pub sharded_runs: Span,
    /// The audit log.
    pub audit: Span,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            runs: Span::from_days(30),
            runs_max: 0,
            attempts: Span::from_days(30),
            delivered: Span::from_days(7),
            dead_letters: Span::from_days(30),
            dead_letters_max: 100_000,
            dead_letters_bytes: 1 << 30,
            notices: Span::from_days(30),
            jobs: Span::from_days(30),
            batches: Span::from_days(30),
            sharded_runs: Span::from_days(30),
            audit: Span::from_days(90),
        }
    }
}

impl Retention {
    /// Checks each number against its limits; the refusal names the field.
    pub fn validate(&self) -> Result<(), Refusal> {
        within("runs", self.runs, &AGE)?;
        within("runs_max", self.runs_max, &COUNT)?;
        within("attempts", self.attempts, &AGE)?;
        within("delivered", self.delivered, &AGE)?;
        within("dead_letters", self.dead_letters, &AGE)?;
        within("dead_letters_max", self.dead_letters_max, &LETTERS)?;
        within("dead_letters_bytes", self.dead_letters_bytes, &BYTES)?;
        within("notices", self.notices, &AGE)?;
        within("jobs", self.jobs, &AGE)?;
        within("batches", self.batches, &AGE)?;
        within("sharded_runs", self.sharded_runs, &AGE)?;
        within("audit", self.audit, &AGE)
    }

    /// The shortest age: how exactly it must be kept.
    pub fn shortest(&self) -> Span {
        let of_runs = [self.runs, self.batches, self.sharded_runs];
        let others = [self.attempts, self.delivered, self.dead_letters, self.notices, self.audit];
        of_runs.into_iter().chain(others).fold(self.jobs, Span::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_row_of_section_7_is_the_default() {
        let kept = Retention::default();
        kept.validate().unwrap();
        assert_eq!(kept.delivered, Span::from_days(7));
        assert_eq!(kept.attempts, Span::from_days(30));
        assert_eq!(kept.dead_letters, Span::from_days(30));
        assert_eq!(kept.runs, Span::from_days(30));
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let short = Span::from_millis(999);
        for (field, kept) in [
            ("runs", Retention { runs: short, ..Retention::default() }),
            ("attempts", Retention { attempts: short, ..Retention::default() }),
            ("delivered", Retention { delivered: short, ..Retention::default() }),
            ("dead_letters", Retention { dead_letters: short, ..Retention::default() }),
            ("dead_letters_max", Retention { dead_letters_max: 0, ..Retention::default() }),
            ("dead_letters_bytes", Retention { dead_letters_bytes: 1, ..Retention::default() }),
            ("notices", Retention { notices: short, ..Retention::default() }),
            ("jobs", Retention { jobs: short, ..Retention::default() }),
            ("batches", Retention { batches: short, ..Retention::default() }),
            ("sharded_runs", Retention { sharded_runs: short, ..Retention::default() }),
            ("audit", Retention { audit: short, ..Retention::default() }),
        ] {
            let refusal = kept.validate().expect_err(field);
            assert_eq!(refusal.details, Some(serde_json::json!({ "field": field })));
        }
    }
}
