//! Retention as its duty and operators see it: a slice of it, and what it did since the start.

use std::sync::{Mutex, PoisonError};

use crate::base::time::{Span, Time};
use crate::ledger::retain::{Due, look, remove};
use crate::model::refusal::Refusal;
use crate::model::retention::Retention;

use super::{Appliance, unreadable};

pub use crate::ledger::retain::{Removed, Round};

/// What retention did since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionFigures {
    /// When everything was last passed over; `None` before the first time.
    pub passed_at: Option<Time>,
    pub removed: Removed,
    /// How long ago the oldest run that is still here should have gone; zero when nothing is late.
    pub behind: Span,
}

/// What a slice came to.
#[derive(Clone, Debug)]
pub struct Retained {
    pub round: Round,
    /// The round goes on.
    pub more: bool,
    /// Nothing was due: it only looked.
    pub idle: bool,
}

/// The figures, shared by all handles.
#[derive(Debug, Default)]
pub struct Kept(Mutex<RetentionFigures>);

impl Kept {
    fn change<T>(&self, change: impl FnOnce(&mut RetentionFigures) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Appliance {
    pub fn retention(&self) -> Retention {
        self.settings().retention
    }

    pub fn retention_figures(&self) -> RetentionFigures {
        self.kept.change(|figures| *figures)
    }

    /// One slice of a round.
    pub async fn retain(&self, mut round: Round) -> Result<Retained, Refusal> {
        let kept = self.retention();
        let now = self.now();
        let before = round.clone();
        let due = look(&self.snapshot()?, now, &kept, &mut round).map_err(unreadable)?;
        let Due { more, behind, .. } = due;
        let idle = due.is_empty();
        let removed = match idle {
            true => Removed::default(),
            false => self.call(move |tx| remove(tx, &due, &kept)).await?,
        };
        if removed.cut {
            round.step_back(&before);
        }
        self.kept.change(|figures| {
            figures.removed.add(&removed);
            figures.behind = behind;
            if !more {
                figures.passed_at = Some(now);
            }
        });
        Ok(Retained { round, more, idle })
    }
}
