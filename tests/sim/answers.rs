//! What becomes of a batch: answers reach those who wait for them, and every run that changed is
//! looked at.

use std::collections::BTreeSet;

use tidegate::base::id::Id;
use tidegate::ledger::outbox::claim::Delivery;
use tidegate::model::delivery::Purpose;
use tidegate::model::notice::Notice;
use tidegate::model::refusal::Code;
use tidegate::store::kinds::{batch as batches, outbox as rows, ready, run as run_rows};
use tidegate::store::rows::Rows;

use crate::command::{Answer, Command, Reply, Said};
use crate::mix::once_in;
use crate::world::{Who, World};

pub type Waiting = (Command, Who, Reply);

impl World {
    /// Answers reach those who wait for them.
    pub fn release(&mut self, waiting: Vec<Waiting>, in_line: &[(Vec<u8>, Id)]) {
        let now = self.now();
        let moved: BTreeSet<Id> =
            waiting.iter().filter_map(|(command, ..)| moves(command)).collect();
        // Readers that waited before are told first: what they were given others may end already.
        let waited = std::mem::take(&mut self.blocked);
        for (command, who, mut reply) in waited.into_iter().chain(waiting) {
            let Some(answer) = reply.try_recv() else {
                assert!(
                    matches!(command, Command::Wait(..)),
                    "{} has no answer",
                    command.to_text()
                );
                self.blocked.push((command, who, reply));
                continue;
            };
            self.hear(&command, who, &answer);
            if let (Ok(_), Command::PutTask(task)) = (&answer, &command) {
                self.workload.tasks.retain(|known| known.name != task.name);
                self.workload.tasks.push((**task).clone());
            }
            if who != Who::Driver {
                continue;
            }
            let insist = self.healed || once_in(&mut self.entropy, 2);
            let led = self.driver.answered(&command, answer, insist, now);
            self.want(led.commands);
            if led.deliveries.is_empty() {
                continue;
            }
            let (disk, tick) = (self.machine.disk(), self.tick);
            disk.calmly(|| {
                let view = self.machine.store().snapshot().expect("a store that took a commit");
                for delivery in led.deliveries {
                    passes_nobody(&delivery, &view, in_line, &moved);
                    self.receivers.take(delivery, &view, now, tick, &mut self.entropy);
                }
            });
        }
    }

    /// Somebody hears an answer, or nobody.
    pub fn hear(&mut self, command: &Command, who: Who, answer: &Answer) {
        let text = match answer {
            Ok(said) => said.to_text(),
            Err(refusal) => refusal.to_string(),
        };
        self.trace.note(format!("{:?} {who:?} {} => {text}", self.now(), command.to_text()));
        if let (Ok(said), true) = (answer, who != Who::DeafClient) {
            self.reference.told(command, said);
            self.sharding.told(command, said);
            self.scheduling.told(command, said, self.now());
        }
        self.burst.heard(command, answer);
        self.recording.heard(command, answer);
        if matches!(command, Command::SetBuffer(..) | Command::SetOrgBuffer(..)) {
            let (disk, store) = (self.machine.disk(), self.machine.store());
            let view = disk.calmly(|| store.snapshot().ok());
            let view = view.as_ref().map(|view| view as &dyn Rows);
            disk.calmly(|| self.burst.gate.heard(view, command, answer));
        }
        match who {
            Who::Client | Who::DeafClient | Who::Driver => {}
            Who::Batcher => self.heard_by_batcher(command, answer),
            Who::Drainer => self.burst.heard_slice(answer),
            Who::Dispatcher => self.sharding.heard_slice(answer),
            Who::Planner => {
                let next = self.sharding.heard_step(command, answer);
                next.into_iter().for_each(|command| self.ask(command, Who::Planner));
            }
            Who::Worker(name) => self.workers.heard(name, command, answer),
            Who::Duty => {
                let passing = answer
                    .as_ref()
                    .err()
                    .is_none_or(|refusal| matches!(refusal.code, Code::Unknown | Code::ReadOnly));
                assert!(passing, "{} was refused: {text}", command.to_text());
                self.purging |= matches!(answer, Ok(Said::Purged(true)) | Err(_));
            }
        }
    }

    /// The ready index before a batch: who is in line.
    pub fn in_line(&self) -> Vec<(Vec<u8>, Id)> {
        if !self.workload.tasks.iter().any(|task| task.is_ordered()) {
            return Vec::new();
        }
        // After trouble the store takes no more reads; then the batch fails as well.
        self.machine.disk().calmly(|| {
            let view = self.machine.store().snapshot().ok();
            view.and_then(|view| ready::page(&view, None, 1_000).ok()).unwrap_or_default()
        })
    }

    /// Looks at every run that a commit says has changed.
    pub fn watch(&mut self, notices: &[Notice]) {
        let changed: BTreeSet<Id> = notices
            .iter()
            .filter_map(|notice| if let Notice::Run(id) = notice { Some(*id) } else { None })
            .collect();
        let disk = self.machine.disk();
        disk.calmly(|| {
            let view = self.machine.store().snapshot().expect("a store that took a commit");
            for id in changed {
                let batch = batches::get(&view, id).expect("a store that took a commit");
                let run = run_rows::get(&view, id).expect("a store that took a commit");
                match run {
                    Some(run) => self.reference.saw(&run),
                    None if batch.is_some() => {}
                    None => {
                        assert!(self.reference.rotten.contains(&id), "{id} changed and is gone");
                    }
                }
            }
        });
    }
}

/// A run that a command of this batch may have put into line or taken out of it.
fn moves(command: &Command) -> Option<Id> {
    match command {
        Command::Fail { run, .. } => Some(*run),
        Command::RetryNow(id) => Some(*id),
        _ => None,
    }
}

/// The first attempt of an ordered run goes out only when nobody in line was ahead of it.
fn passes_nobody(new: &Delivery, view: &dyn Rows, in_line: &[(Vec<u8>, Id)], moved: &BTreeSet<Id>) {
    if !new.row.ordered || new.row.attempts != 1 || new.row.purpose != Purpose::Run {
        return;
    }
    for (_, id) in in_line.iter().filter(|(_, id)| *id < new.row.id && !moved.contains(id)) {
        let row = rows::get(view, *id).expect("the store can be read after a commit");
        let ahead = row.is_some_and(|row| {
            (&row.endpoint, &row.lane) == (&new.row.endpoint, &new.row.lane) && row.ordered
        });
        assert!(!ahead, "{} of an ordered lane passed {id}", new.row.id);
    }
}
