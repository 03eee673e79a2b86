//! How long an env of the buffer may wait for its turn.
//!
//! The bound follows from the turns themselves: orgs go round by name from the one that was served
//! last, and so do the envs within each. While an env has entries, every other env of its org is
//! served at most once before it; so its org is served at most as often as it has other envs, and
//! before each of these turns and its own every other org at most once. Failures of the process
//! lose the turns, and the count begins anew.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::name::Name;

use crate::slice::{Env, Slice};

/// What an env saw go by while it had entries.
#[derive(Default)]
struct Passed {
    /// Turns of other envs of its org.
    envs: BTreeMap<Name, usize>,
    /// Turns of other orgs.
    orgs: BTreeMap<Name, usize>,
    /// Envs of its org that had entries meanwhile, itself included.
    own: BTreeSet<Name>,
}

#[derive(Default)]
pub struct Waits {
    waiting: BTreeMap<Env, Passed>,
    /// The most turns that one waited for.
    pub longest: usize,
}

impl Waits {
    /// Nobody knows any more whose turn it was.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }

    /// A slice was taken, durably.
    pub fn saw(&mut self, slice: &Slice) {
        let mut left = slice.stood.clone();
        self.waiting.retain(|env, _| left.contains_key(env));
        self.meet(&left);
        for pick in &slice.took {
            let turn = (pick.org.clone(), pick.env.clone());
            let stood = left.get_mut(&turn).expect("a turn of an env with entries");
            *stood -= 1;
            if *stood == 0 {
                left.remove(&turn);
            }
            self.waiting.remove(&turn);
            for ((org, env), passed) in &mut self.waiting {
                passed.by(&turn, org, env);
                self.longest = self.longest.max(passed.total());
            }
            self.meet(&left);
        }
    }

    fn meet(&mut self, left: &BTreeMap<Env, usize>) {
        for env in left.keys() {
            let passed = self.waiting.entry(env.clone()).or_default();
            let same_org = left.keys().filter(|(org, _)| *org == env.0);
            passed.own.extend(same_org.map(|(_, env)| env.clone()));
        }
    }
}

impl Passed {
    fn by(&mut self, turn: &Env, org: &Name, env: &Name) {
        if turn.0 == *org {
            let times = self.envs.entry(turn.1.clone()).or_default();
            *times += 1;
            assert!(*times <= 1, "{org}/{env} waits while {} has {times} turns", turn.1);
        } else {
            let times = self.orgs.entry(turn.0.clone()).or_default();
            *times += 1;
            let most = self.own.len();
            assert!(*times <= most, "{org}/{env} waits while {} has {times} turns", turn.0);
        }
    }

    fn total(&self) -> usize {
        self.envs.values().chain(self.orgs.values()).sum()
    }
}
