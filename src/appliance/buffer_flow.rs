//! How each env stands in the buffer, in memory: how fast it fills and is drained over the last
//! seconds, and, as of the latest look, how many wait and since when. The gate asks here, so that a
//! burst does not read the store once more for each of its runs.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::buffer::BufferSettings;

/// Whole seconds that a rate looks back on.
const SECONDS: i64 = 10;
/// The running second as well.
const BUCKETS: usize = SECONDS as usize + 1;
/// Envs that are remembered; beyond them those forgotten first that were idle.
const ENVS_MAX: usize = 10_000;

/// Counts by env and second.
#[derive(Debug, Default)]
pub struct Flow {
    envs: Mutex<HashMap<(Name, Name), Buckets>>,
}

/// Per second, over the last ten.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowRates {
    pub accepted: f64,
    pub drained: f64,
}

/// What waits of an env.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub waiting: u64,
    /// As of the latest look.
    pub bytes: u64,
    /// When the oldest was accepted.
    pub oldest_at: Option<Time>,
}

impl Backlog {
    /// Whether one more run would be refused: what waits is too much or too old.
    pub fn is_full(&self, settings: &BufferSettings, now: Time) -> bool {
        let too_old = self.oldest_at.is_some_and(|at| now.since(at) > settings.age_max);
        self.waiting >= settings.env_max || self.bytes >= settings.env_bytes_max || too_old
    }
}

#[derive(Debug, Default)]
struct Buckets {
    backlog: Backlog,
    /// The second of the latest count.
    latest: i64,
    accepted: [u32; BUCKETS],
    drained: [u32; BUCKETS],
}

impl Buckets {
    /// Empties the seconds in which nothing was counted. A clock that steps back starts anew.
    fn move_to(&mut self, second: i64) {
        if second < self.latest || second - self.latest >= BUCKETS as i64 {
            (self.accepted, self.drained) = Default::default();
        } else {
            for passed in self.latest + 1..=second {
                let at = passed.rem_euclid(BUCKETS as i64) as usize;
                (self.accepted[at], self.drained[at]) = (0, 0);
            }
        }
        self.latest = second;
    }

    fn rates(&self, second: i64) -> FlowRates {
        if second < self.latest {
            return FlowRates::default();
        }
        let whole = (second - SECONDS).max(self.latest - SECONDS)..second.min(self.latest + 1);
        let sum = |of: &[u32; BUCKETS]| {
            let counts = whole.clone().map(|at| of[at.rem_euclid(BUCKETS as i64) as usize]);
            counts.map(f64::from).sum::<f64>() / SECONDS as f64
        };
        FlowRates { accepted: sum(&self.accepted), drained: sum(&self.drained) }
    }
}

impl Flow {
    /// So many runs were accepted; so many of their env wait by now.
    pub fn accepted(&self, of: (&Name, &Name), now: Time, runs: u32, waiting: u64) {
        self.count(of, now, |buckets, at| {
            buckets.accepted[at] = buckets.accepted[at].saturating_add(runs);
            buckets.backlog.waiting = waiting;
            if waiting <= u64::from(runs) {
                buckets.backlog.oldest_at = Some(now);
            }
        });
    }

    /// So many runs became real.
    pub fn drained(&self, of: (&Name, &Name), now: Time, taken: u32) {
        self.count(of, now, |buckets, at| {
            buckets.drained[at] = buckets.drained[at].saturating_add(taken);
            buckets.backlog.waiting = buckets.backlog.waiting.saturating_sub(u64::from(taken));
        });
    }

    fn count(
        &self,
        (org, env): (&Name, &Name),
        now: Time,
        change: impl FnOnce(&mut Buckets, usize),
    ) {
        let second = now.0.div_euclid(1_000);
        let mut envs = self.envs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (org.clone(), env.clone());
        if envs.len() >= ENVS_MAX && !envs.contains_key(&key) {
            envs.retain(|_, buckets| (0..=SECONDS).contains(&(second - buckets.latest)));
            if envs.len() >= ENVS_MAX {
                return;
            }
        }
        let buckets = envs.entry(key).or_default();
        buckets.move_to(second);
        change(buckets, second.rem_euclid(BUCKETS as i64) as usize);
    }

    /// What a look at the store found. When it was at all envs, others have nothing waiting.
    pub fn looked(&self, found: HashMap<(Name, Name), Backlog>, at_all: bool, now: Time) {
        let mut envs = self.envs.lock().unwrap_or_else(PoisonError::into_inner);
        for (env, buckets) in envs.iter_mut() {
            if at_all && !found.contains_key(env) {
                buckets.backlog = Backlog::default();
            }
        }
        for (env, backlog) in found {
            if envs.len() < ENVS_MAX || envs.contains_key(&env) {
                let buckets = envs.entry(env).or_default();
                buckets.move_to(now.0.div_euclid(1_000));
                buckets.backlog = backlog;
            }
        }
    }

    /// The age of the oldest run of an env, as a look at it alone found it.
    pub fn looked_at_one(&self, (org, env): (&Name, &Name), oldest_at: Option<Time>) {
        let mut envs = self.envs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buckets) = envs.get_mut(&(org.clone(), env.clone())) {
            buckets.backlog.oldest_at = oldest_at;
        }
    }

    /// Envs that take no more, the fullest first.
    pub fn full(&self, settings: &BufferSettings, now: Time) -> Vec<(Name, Name)> {
        let envs = self.envs.lock().unwrap_or_else(PoisonError::into_inner);
        let full = envs.iter().filter(|(_, buckets)| buckets.backlog.is_full(settings, now));
        let mut found: Vec<_> =
            full.map(|(env, buckets)| (Reverse(buckets.backlog.waiting), env.clone())).collect();
        found.sort();
        found.into_iter().map(|(_, env)| env).collect()
    }

    pub fn backlog(&self, (org, env): (&Name, &Name)) -> Backlog {
        let envs = self.envs.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = envs.get(&(org.clone(), env.clone()));
        buckets.map_or_else(Backlog::default, |buckets| buckets.backlog)
    }

    pub fn rates(&self, (org, env): (&Name, &Name), now: Time) -> FlowRates {
        let envs = self.envs.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = envs.get(&(org.clone(), env.clone()));
        buckets.map_or_else(FlowRates::default, |buckets| buckets.rates(now.0.div_euclid(1_000)))
    }

    /// Of all envs together.
    pub fn all(&self, now: Time) -> FlowRates {
        let second = now.0.div_euclid(1_000);
        let envs = self.envs.lock().unwrap_or_else(PoisonError::into_inner);
        envs.values().map(|buckets| buckets.rates(second)).fold(FlowRates::default(), |sum, of| {
            FlowRates { accepted: sum.accepted + of.accepted, drained: sum.drained + of.drained }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> (Name, Name) {
        (Name::new("acme").unwrap(), Name::new("prod").unwrap())
    }

    #[test]
    fn rates_are_over_the_last_whole_seconds() {
        let (flow, (org, env)) = (Flow::default(), env());
        let of = (&org, &env);
        let at = |second: i64| Time(second * 1_000 + 500);
        assert_eq!(flow.rates(of, at(100)), FlowRates::default());
        for second in 100..110 {
            for waiting in 1..=30 {
                flow.accepted(of, at(second), 1, waiting);
            }
            flow.drained(of, at(second), 10);
        }
        // The running second does not count, or every rate would begin low.
        assert_eq!(flow.rates(of, at(109)), FlowRates { accepted: 27.0, drained: 9.0 });
        assert_eq!(flow.rates(of, at(110)), FlowRates { accepted: 30.0, drained: 10.0 });
        assert_eq!(flow.rates(of, at(115)).accepted, 15.0);
        assert_eq!(flow.rates(of, at(121)), FlowRates::default());
        flow.drained(of, at(200), 10);
        assert_eq!(flow.rates(of, at(201)), FlowRates { accepted: 0.0, drained: 1.0 });
        flow.drained((&env, &org), at(200), 20);
        assert_eq!(flow.all(at(201)), FlowRates { accepted: 0.0, drained: 3.0 });
    }

    #[test]
    fn clock_that_steps_back_starts_anew() {
        let (flow, (org, env)) = (Flow::default(), env());
        flow.drained((&org, &env), Time(500_000), 100);
        assert_eq!(flow.rates((&org, &env), Time(100_000)), FlowRates::default());
        flow.drained((&org, &env), Time(100_000), 10);
        assert_eq!(flow.rates((&org, &env), Time(101_000)).drained, 1.0);
    }

    #[test]
    fn full_envs_are_told_fullest_first() {
        let (flow, name) = (Flow::default(), |text: &str| Name::new(text).unwrap());
        let settings =
            BufferSettings { env_max: 5, env_bytes_max: 2_000, ..BufferSettings::default() };
        let now = Time(10_000_000);
        let late = now.minus(settings.age_max).minus(crate::base::time::Span(1));
        let found = [
            ("many", Backlog { waiting: 5, bytes: 1, oldest_at: Some(now) }),
            ("heavy", Backlog { waiting: 2, bytes: 2_000, oldest_at: Some(now) }),
            ("old", Backlog { waiting: 1, bytes: 1, oldest_at: Some(late) }),
            ("fine", Backlog { waiting: 4, bytes: 1_999, oldest_at: Some(now) }),
        ];
        let found = found.map(|(org, backlog)| ((name(org), name("prod")), backlog));
        flow.looked(HashMap::from(found), true, now);
        let full = flow.full(&settings, now);
        let orgs: Vec<&str> = full.iter().map(|(org, _)| org.as_str()).collect();
        assert_eq!(orgs, ["many", "heavy", "old"]);
        flow.looked_at_one((&name("old"), &name("prod")), Some(now));
        assert_eq!(flow.full(&settings, now).len(), 2);
    }

    #[test]
    fn a_look_sets_right_what_was_counted() {
        let (flow, (org, env)) = (Flow::default(), env());
        let of = (&org, &env);
        flow.accepted(of, Time(1_000), 1, 1);
        flow.accepted(of, Time(2_000), 1, 2);
        let counted = Backlog { waiting: 2, bytes: 0, oldest_at: Some(Time(1_000)) };
        assert_eq!(flow.backlog(of), counted);
        flow.drained(of, Time(2_500), 5);
        assert_eq!(flow.backlog(of).waiting, 0);
        flow.looked(HashMap::from([((org.clone(), env.clone()), counted)]), true, Time(3_000));
        assert_eq!(flow.backlog(of), counted);
        flow.looked(HashMap::new(), false, Time(4_000));
        assert_eq!(flow.backlog(of), counted, "others were looked at");
        flow.looked(HashMap::new(), true, Time(4_000));
        assert_eq!(flow.backlog(of), Backlog::default());
    }
}
