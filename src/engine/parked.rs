//! Commands that wait for a key to change: readers that block.
//!
//! They wait here, on the writer's side, so that a reader is served in the very batch that brought
//! what it waits for: one commit later it has its answer, in the order in which readers came. There
//! is no moment between looking and waiting in which a change could be missed.
//!
//! Readers of one group of one stream stand in a line. What the first of them does not find is not
//! there for those behind either, so a change costs as many tries as it serves readers, and one:
//! a fleet that waits does not slow down whoever adds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::notice::Notice;
use bytes::Bytes;

use crate::model::refusal::Refusal;
use crate::model::stream::KeyName;

use super::batch::{Call, Job};

/// Readers that may wait at once.
pub const PARKED_MAX: usize = 20_000;

/// Names a parked job for whoever wants it back.
pub type Token = u64;

/// The readers that wait.
#[derive(Default)]
pub struct Parked {
    jobs: BTreeMap<u64, Waiting>,
    by_key: HashMap<KeyName, Places>,
    by_token: HashMap<Token, u64>,
    arrivals: u64,
}

/// A job that waits: its place in the order of arrival, and what for.
pub(super) struct Waiting {
    pub job: Box<dyn Job>,
    place: u64,
    token: Token,
    keys: Vec<KeyName>,
    line: Option<Bytes>,
}

/// Those who wait for one key.
#[derive(Default)]
struct Places {
    alone: BTreeSet<u64>,
    lines: BTreeMap<Bytes, BTreeSet<u64>>,
}

impl Places {
    fn add(&mut self, line: Option<&Bytes>, place: u64) {
        match line {
            None => drop(self.alone.insert(place)),
            Some(line) => match self.lines.get_mut(line) {
                Some(places) => drop(places.insert(place)),
                None => drop(self.lines.insert(line.clone(), BTreeSet::from([place]))),
            },
        }
    }

    fn remove(&mut self, line: Option<&Bytes>, place: u64) {
        match line {
            None => drop(self.alone.remove(&place)),
            Some(line) => {
                if let Some(places) = self.lines.get_mut(line) {
                    places.remove(&place);
                    if places.is_empty() {
                        self.lines.remove(line);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.lines.is_empty()
    }

    /// Who is tried first: everyone who stands alone, and the head of each line.
    fn heads(&self) -> impl Iterator<Item = u64> {
        let heads = self.lines.values().filter_map(BTreeSet::first);
        self.alone.iter().chain(heads).copied()
    }
}

impl Parked {
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// A job arrives; false when there is no room, and the job is to be refused. A job that stands
    /// in a line waits for one key.
    pub(super) fn add(
        &mut self,
        job: Box<dyn Job>,
        token: Token,
        keys: Vec<KeyName>,
        line: Option<Bytes>,
    ) -> bool {
        assert!(line.is_none() || keys.len() == 1, "a line is one of a key");
        if self.jobs.len() >= PARKED_MAX {
            job.release(Some(too_many()));
            return false;
        }
        self.arrivals += 1;
        let place = self.arrivals;
        self.put_back(Waiting { job, place, token, keys, line });
        true
    }

    /// A job that was tried in vain takes its old place.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        for key in &waiting.keys {
            let line = waiting.line.as_ref();
            match self.by_key.get_mut(key) {
                Some(places) => places.add(line, waiting.place),
                None => self.by_key.entry(key.clone()).or_default().add(line, waiting.place),
            }
        }
        self.by_token.insert(waiting.token, waiting.place);
        self.jobs.insert(waiting.place, waiting);
    }

    /// A job that lets every reader look again, when nobody knows what changed.
    pub fn look_again(&self) -> Box<dyn Job> {
        let keys: Vec<KeyName> = self.by_key.keys().cloned().collect();
        let (call, _) = Call::new(move |tx| {
            keys.into_iter().for_each(|key| tx.notify(Notice::Key(key)));
            Ok(())
        });
        Box::new(call)
    }

    /// Whom a change of these keys concerns first, in order of arrival.
    pub(super) fn concerned<'k>(&self, keys: impl Iterator<Item = &'k KeyName>) -> BTreeSet<u64> {
        keys.filter_map(|key| self.by_key.get(key)).flat_map(Places::heads).collect()
    }

    /// Who is next in the line of a job that was served.
    pub(super) fn behind(&self, served: &Waiting) -> Option<u64> {
        let (line, key) = (served.line.as_ref()?, served.keys.first()?);
        self.by_key.get(key)?.lines.get(line)?.first().copied()
    }

    pub(super) fn take(&mut self, place: u64) -> Option<Waiting> {
        let waiting = self.jobs.remove(&place)?;
        self.by_token.remove(&waiting.token);
        for key in &waiting.keys {
            if let Some(places) = self.by_key.get_mut(key) {
                places.remove(waiting.line.as_ref(), place);
                if places.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        Some(waiting)
    }

    /// The reader waits no longer: it gets the answer of someone who found nothing. One that was
    /// served meanwhile has its answer already.
    pub fn leave(&mut self, token: Token) {
        if let Some(place) = self.by_token.get(&token).copied()
            && let Some(waiting) = self.take(place)
        {
            waiting.job.release(None);
        }
    }

    /// Sends everyone away.
    pub(super) fn refuse_all(&mut self, refusal: &Refusal) {
        self.by_key.clear();
        self.by_token.clear();
        for (_, waiting) in std::mem::take(&mut self.jobs) {
            waiting.job.release(Some(refusal.clone()));
        }
    }
}

fn too_many() -> Refusal {
    Refusal::new(
        crate::model::refusal::Code::LimitWaiting,
        format!("{PARKED_MAX} readers wait already"),
    )
    .retry_after(crate::base::time::Span::from_secs(5))
}
