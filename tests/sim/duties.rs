//! Clients of streams, workers, and the duties that look after streams, each as a turn.

use tidegate::base::entropy::Entropy;
use tidegate::base::time::Span;
use tidegate::ledger::keys::command::Command as Request;
use tidegate::ledger::streams::requeue::{Floors, look};
use tidegate::model::stream::KeyName;

use crate::command::Command;
use crate::entries::stream_at;
use crate::mix::{once_in, one};
use crate::recount;
use crate::streams::{PLAIN, PULL, TEXTS};
use crate::workers::{Wish, Workers};
use crate::world::{Who, World};

pub fn floors(entropy: &mut Entropy) -> Floors {
    let mut floors = Floors { max_deliveries: 1 + entropy.below(4), ..Floors::default() };
    if once_in(entropy, 2) {
        floors.of.insert(PLAIN[0].to_owned(), Span::from_secs(one(entropy, &[0, 3, 600])));
    }
    floors
}

impl World {
    pub fn client_of_streams(&mut self) {
        let now = self.now();
        let known = &self.reference.entries;
        if let Some(command) = self.streams.next(&mut self.entropy, known, now) {
            let deaf = once_in(&mut self.entropy, 8);
            let who = if deaf { Who::DeafClient } else { Who::Client };
            self.ask(Command::Keys(Box::new(command)), who);
        }
    }

    pub fn worker(&mut self) {
        let now = self.now();
        let Some((name, wish)) = self.workers.next(&mut self.entropy, now) else {
            let workers = &self.workers;
            self.blocked.retain(|(_, who, _)| !is_gone(workers, *who));
            return;
        };
        match wish {
            Wish::Ask(command) => {
                let deaf = once_in(&mut self.entropy, 12) && !matches!(command, Command::Wait(..));
                self.ask(command, if deaf { Who::DeafClient } else { Who::Worker(name) });
            }
            Wish::Leave(token) => {
                self.trace.note(format!("{name:?} waits no longer ({token})"));
                if !self.workers.lives(name) {
                    // Its connection is seen to be gone, now or when it is to be served.
                    let workers = &self.workers;
                    self.blocked.retain(|(_, who, _)| !is_gone(workers, *who));
                    self.queue.retain(|(_, who)| !is_gone(workers, *who));
                }
                self.parked.leave(token);
                self.release(Vec::new(), &[]);
            }
        }
    }

    /// The duty that gives back what nobody works on.
    pub fn requeue(&mut self) {
        let (now, disk) = (self.now(), self.machine.disk());
        let found = disk.calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            let view = self.machine.store().snapshot().ok()?;
            let alive = |_: &_, _: &_, consumer: &[u8]| self.workers.alive(consumer);
            look(&view, now, &self.floors, &alive).ok()
        });
        let Some(found) = found else { return };
        self.look_at = found.next;
        if !found.lost.is_empty() {
            let command = Command::GiveBack(found.lost, self.floors.max_deliveries);
            self.ask(command, Who::Duty);
        }
    }

    /// The duty that removes what was cut off.
    pub fn purge(&mut self) {
        if std::mem::take(&mut self.purging) {
            self.ask(Command::Purge, Who::Duty);
        }
    }

    /// Readers look again: nobody knows what a failed commit changed.
    pub fn try_blocked(&mut self) {
        if !self.parked.is_empty() {
            let job = self.parked.look_again();
            self.run_jobs(vec![job], Vec::new(), &[]);
        }
    }

    /// All workers live from now on, and every group is there.
    pub fn heal_workers(&mut self) {
        let now = self.now();
        for token in self.workers.heal(now) {
            self.parked.leave(token);
        }
        self.release(Vec::new(), &[]);
        self.purging = true;
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        // Strings under names of streams go, and streams under names of strings.
        let names = PLAIN.iter().chain(&PULL).map(|name| (KeyName::of(name), true));
        let names = names.chain(TEXTS.iter().map(|name| (KeyName::of(name), false)));
        let wrong = names.filter(|(key, stream)| stream_at(&view, key).is_some() != *stream);
        let keys = wrong.map(|(key, _)| key).collect();
        drop(view);
        let remove = Request::Remove { keys };
        self.ask(Command::Keys(Box::new(remove)), Who::Client);
    }

    /// What workers and duties do once all is well.
    pub fn work(&mut self) {
        for command in self.workers.groups() {
            self.ask(command, Who::Client);
        }
        for (name, command) in self.workers.work(self.now()) {
            self.ask(command, Who::Worker(name));
        }
        if self.look_at.is_none_or(|at| at <= self.now()) {
            self.requeue();
        }
        self.purge();
    }

    /// Entries that nobody has read or answered.
    pub fn open_entries(&self) -> String {
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        recount::open_entries(&view).concat()
    }
}

/// A worker that asked and does not live any more hears nothing.
fn is_gone(workers: &Workers, who: Who) -> bool {
    matches!(who, Who::Worker(name) if !workers.lives(name))
}
