//! How long runs waited and ran, gathered in memory behind the commits that made it so.
//!
//! History takes it every half minute. Counting here instead of in rows keeps a hot path free of
//! further writes; a kill loses the lengths of the last half minute, never a run.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::base::name::Name;
use crate::model::history::{Latency, Part, Took};

/// Tasks of envs that are told apart between two looks; the others are gathered without names.
const KEYS_MAX: usize = 4_096;

/// Whose lengths of time they are; `None` for all beyond [`KEYS_MAX`].
pub type Whose = Option<(Name, Name, Name, Option<String>)>;

/// Lengths of time since the last look.
#[derive(Debug, Default)]
pub struct Timings(Mutex<HashMap<Whose, Latency>>);

impl Timings {
    pub fn add(&self, took: Vec<Took>) {
        if took.is_empty() {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Took { task, org, env, stream, part, span } in took {
            let mut whose = Some((task, org, env, stream));
            if all.len() >= KEYS_MAX && !all.contains_key(&whose) {
                whose = None;
            }
            let latency = all.entry(whose).or_default();
            let histogram = match part {
                Part::Wait => &mut latency.wait,
                Part::Run => &mut latency.run,
            };
            histogram.record(u64::try_from(span.as_millis()).unwrap_or(0));
        }
    }

    /// Takes what was gathered: nobody else gets it.
    pub fn take(&self) -> HashMap<Whose, Latency> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Span;

    fn took(task: usize) -> Took {
        let name = |text: &str| Name::new(text).unwrap();
        Took {
            task: name(&format!("t{task}")),
            org: name("acme"),
            env: name("prod"),
            stream: None,
            part: Part::Run,
            span: Span(5),
        }
    }

    #[test]
    fn keys_are_bounded_and_nothing_is_lost() {
        let timings = Timings::default();
        timings.add((0..KEYS_MAX + 10).map(took).collect());
        timings.add(vec![took(0)]);
        let all = timings.take();
        assert_eq!(all.len(), KEYS_MAX + 1);
        assert_eq!(all[&None].run.count(), 10);
        assert_eq!(
            all.values().map(|latency| latency.run.count()).sum::<u64>(),
            KEYS_MAX as u64 + 11
        );
        assert!(timings.take().is_empty());
    }
}
