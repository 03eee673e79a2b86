//! Which consumers have a connection open: the sign of life of a worker that sends no heartbeats.
//!
//! A connection that has read as a consumer stands for it until it closes. Nothing of this is
//! durable: after a start nobody is here yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::model::stream::KeyName;

/// A consumer of a group of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    pub stream: KeyName,
    pub group: Bytes,
    pub consumer: Bytes,
}

/// How many connections stand for each consumer. Bounded by connections times
/// [`PLACES_MAX`].
#[derive(Debug, Default)]
pub struct Presence {
    open: Mutex<HashMap<Who, usize>>,
}

/// Consumers that one connection can stand for; it stands for the first of them only.
pub const PLACES_MAX: usize = 64;

impl Presence {
    /// Whether a connection stands for this consumer.
    pub fn is_here(&self, who: &Who) -> bool {
        lock(&self.open).contains_key(who)
    }

    /// Everyone who is here.
    pub fn all(&self) -> Vec<Who> {
        lock(&self.open).keys().cloned().collect()
    }
}

/// The consumers that one connection stands for; closing it is dropping this.
#[derive(Debug)]
pub struct Places {
    presence: Arc<Presence>,
    mine: Vec<Who>,
}

impl Places {
    pub fn new(presence: Arc<Presence>) -> Places {
        Places { presence, mine: Vec::new() }
    }

    /// This connection reads as this consumer.
    pub fn stand_for(&mut self, stream: &KeyName, group: &[u8], consumer: &[u8]) {
        let same =
            |who: &Who| who.stream == *stream && who.group == group && who.consumer == consumer;
        if self.mine.len() >= PLACES_MAX || self.mine.iter().any(same) {
            return;
        }
        let who = Who {
            stream: stream.detached(),
            group: Bytes::copy_from_slice(group),
            consumer: Bytes::copy_from_slice(consumer),
        };
        *lock(&self.presence.open).entry(who.clone()).or_default() += 1;
        self.mine.push(who);
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut open = lock(&self.presence.open);
        for who in self.mine.drain(..) {
            if let Some(count) = open.get_mut(&who) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&who);
                }
            }
        }
    }
}

fn lock(open: &Mutex<HashMap<Who, usize>>) -> MutexGuard<'_, HashMap<Who, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
