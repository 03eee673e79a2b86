//! The burst buffer as a seed lives it: clients that come in bursts and edit what waits, readers,
//! a name that is taken from a stream for a while, and the duty that drains.
//!
//! The duty is the one of the product by hand: one slice at a time, its turns kept in memory and
//! lost with the process, woken by hints. Before all is healed it also looks without a hint now and
//! then, and stalls while it is switched off; afterwards only hints wake it.

use std::collections::BTreeSet;

use tidegate::base::entropy::Entropy;
use tidegate::base::id::RunId;
use tidegate::base::time::{Span, Time};
use tidegate::ledger::ask::list::{Filter, list};
use tidegate::ledger::ask::waiting::because;
use tidegate::ledger::buffer::accept::Caps;
use tidegate::ledger::buffer::rotate::Rotation;
use tidegate::ledger::buffer::sweep::SweepNumbers;
use tidegate::ledger::keys::command::{Command as Request, Expiry, SetIf};
use tidegate::model::notice::Notice;
use tidegate::model::refusal::Code;
use tidegate::model::stream::KeyName;
use tidegate::store::kinds::key as keys;
use tidegate::store::kinds::key::Value;
use tidegate::store::kinds::run as run_rows;
use tidegate::store::rows::Rows;
use tidegate::store::tables::Table;

use crate::command::{Answer, Command, Said};
use crate::fair::Waits;
use crate::gate::{self, Gate};
use crate::lost;
use crate::mix::{once_in, one};
use crate::shape::Shape;
use crate::slice::places;
use crate::streams::SPOILED;
use crate::swept;
use crate::world::{Turn, Who, World};

/// What the seeds of a test met, so that it can tell whether they met enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub accepted: usize,
    /// A key brought a run that was still in the buffer.
    pub repeated: usize,
    pub full: usize,
    /// Entries that became runs, and of these the ones that ended by it.
    pub made: usize,
    pub failed: usize,
    pub backed_off: usize,
    /// Runs in the buffer that someone changed.
    pub edited: usize,
    pub longest_wait: usize,
    /// Runs that went straight in although their env was over its rate.
    pub shadowed: usize,
    /// Entries that could not be read.
    pub dead: usize,
    /// Passes of the sweep that found something.
    pub stale: usize,
}

impl Met {
    pub fn add(&mut self, other: &Met) {
        self.accepted += other.accepted;
        self.repeated += other.repeated;
        self.full += other.full;
        self.made += other.made;
        self.failed += other.failed;
        self.backed_off += other.backed_off;
        self.edited += other.edited;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.shadowed += other.shadowed;
        self.dead += other.dead;
        self.stale += other.stale;
    }

    pub fn is_enough(&self) -> bool {
        let Met {
            accepted, repeated, full, made, failed, backed_off, edited, longest_wait, ..
        } = self;
        let all = [accepted, repeated, full, made, failed, backed_off, edited];
        let more = [&self.shadowed, &self.dead, &self.stale];
        all.iter().chain(&more).all(|met| **met > 0) && *longest_wait > 1
    }
}

pub struct Burst {
    /// Nobody uses the buffer under some seeds.
    pub on: bool,
    pub gate: Gate,
    /// The widest limits that were ever in force.
    pub caps_max: Caps,
    /// Whether the sweep is switched on, and its numbers.
    pub sweeps: bool,
    pub sweep_numbers: SweepNumbers,
    /// Whether heads become unreadable.
    rots: bool,
    rotation: Rotation,
    /// There may be something to drain.
    hinted: bool,
    /// A slice is under way.
    busy: bool,
    /// Looks that the duty leaves out, because it is switched off.
    off: u64,
    waits: Waits,
    pub met: Met,
}

impl Burst {
    pub fn random(entropy: &mut Entropy, rows: &dyn Rows) -> Burst {
        let gate = Gate::load(rows, gate::file(entropy));
        Burst {
            on: !once_in(entropy, 3),
            caps_max: gate.caps(),
            gate,
            sweeps: !once_in(entropy, 4),
            sweep_numbers: swept::numbers(entropy),
            rots: once_in(entropy, 3),
            rotation: Rotation::default(),
            hinted: true,
            busy: false,
            off: 0,
            waits: Waits::default(),
            met: Met::default(),
        }
    }

    /// What happens under a seed that uses the buffer.
    pub fn turns(&self, shape: Shape) -> Vec<(Turn, u64)> {
        let length = u64::from(shape.length());
        match self.on {
            true => vec![
                (Turn::Burst, 6),
                (Turn::EditBuffered, 4),
                (Turn::Drain, 12),
                (Turn::DrainerOff, 1),
                (Turn::ReadBuffered, 1),
                (Turn::Spoil, (length - 1) / 2),
                (Turn::Set, 2),
                (Turn::Sweep, 3),
                (Turn::Rot, u64::from(self.rots)),
            ],
            false => Vec::new(),
        }
    }

    /// The process starts: its duty knows nothing.
    pub fn restarted(&mut self) {
        self.rotation = Rotation::default();
        self.hinted = true;
        self.busy = false;
        self.waits.forget();
    }

    /// The process has started, perhaps with another configuration file.
    pub fn load_gate(&mut self, entropy: &mut Entropy, rows: &dyn Rows) {
        let file = if once_in(entropy, 4) { gate::file(entropy) } else { self.gate.file };
        self.gate = Gate::load(rows, file);
    }

    /// The limits in force.
    pub fn caps(&mut self) -> Caps {
        let (caps, most) = (self.gate.caps(), self.caps_max);
        self.caps_max = Caps {
            env_max: most.env_max.max(caps.env_max),
            total_max: most.total_max.max(caps.total_max),
            env_bytes_max: most.env_bytes_max.max(caps.env_bytes_max),
            total_bytes_max: most.total_bytes_max.max(caps.total_bytes_max),
            ..caps
        };
        caps
    }

    pub fn hints(&mut self, notices: &[Notice]) {
        self.hinted |= notices.contains(&Notice::Buffer);
    }

    /// The next slice, unless one is under way.
    fn next(&mut self, count: usize) -> Option<Command> {
        if std::mem::replace(&mut self.busy, true) {
            return None;
        }
        let rotation = self.rotation.clone();
        let attempts_max = self.gate.settings().drainer.max_attempts;
        Some(Command::Drain { rotation, count, attempts_max })
    }

    /// The answer to a slice.
    pub fn heard_slice(&mut self, answer: &Answer) {
        self.busy = false;
        match answer {
            Ok(Said::Slice(slice)) => {
                self.waits.saw(slice);
                self.met.longest_wait = self.waits.longest;
                self.met.made += slice.drained.made;
                self.met.failed += slice.drained.failed;
                self.met.backed_off += slice.drained.retried;
                self.met.dead += slice.drained.dead;
                self.hinted = slice.drained.total() > 0;
                self.rotation = slice.rotation.clone();
            }
            Err(refusal) => {
                let passing = matches!(refusal.code, Code::Unknown | Code::ReadOnly);
                assert!(passing, "a slice was refused: {refusal}");
                // It may have been taken all the same.
                self.waits.forget();
            }
            Ok(other) => panic!("a slice was answered by {other:?}"),
        }
    }

    /// Any answer.
    pub fn heard(&mut self, command: &Command, answer: &Answer) {
        match (command, answer) {
            (Command::Accept(..), Ok(Said::Receipt(receipt))) if receipt.run.buffered => {
                let cached = usize::from(receipt.cached);
                self.met.accepted += 1 - cached;
                self.met.repeated += cached;
            }
            (Command::Accept(..), Err(refusal)) if refusal.code == Code::LimitBuffer => {
                self.met.full += 1;
            }
            (Command::Sweep(..), Ok(Said::Swept(pass))) => {
                self.met.stale += usize::from(pass.stale_now > 0);
            }
            (_, Ok(Said::Run(run))) if run.buffered => self.met.edited += 1,
            _ => {}
        }
    }
}

impl World {
    /// Many runs at once; some go past the buffer, and keys meet on both ways.
    pub fn burst(&mut self) {
        let most = 1 + self.entropy.below(7);
        for submit in self.workload.burst(&mut self.entropy, most) {
            let submit = Box::new(submit);
            let command = match self.entropy.below(8) {
                // Some go past the gate, and some were before it when it followed other settings.
                0 => Command::Submit(submit),
                1..4 => Command::Accept(submit, self.burst.caps()),
                _ => self.route(submit),
            };
            let deaf = once_in(&mut self.entropy, 8);
            self.ask(command, if deaf { Who::DeafClient } else { Who::Client });
        }
    }

    /// One of the runs that wait in the buffer.
    fn some_buffered(&mut self) -> Option<RunId> {
        let disk = self.machine.disk();
        let found = disk.calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            let view = self.machine.store().snapshot().ok()?;
            crate::slice::stock(&view).ok()
        })?;
        let ids: Vec<RunId> = found.0.into_keys().chain(found.1.into_keys()).collect();
        (!ids.is_empty()).then(|| one(&mut self.entropy, &ids))
    }

    /// Someone changes runs that wait, before, after and in the batch that drains them.
    pub fn edit_buffered(&mut self) {
        for _ in 0..=self.entropy.below(3) {
            let Some(id) = self.some_buffered() else { return };
            let entropy = &mut self.entropy;
            let number = entropy.below(1_000);
            let command = match entropy.below(8) {
                0 | 1 => Command::AddTags(id, vec![format!("tag{}", number % 14)]),
                2 | 3 => Command::SetMetadata(id, format!(r#"{{"m":{number}}}"#)),
                4 => Command::Reschedule(id, Span::from_secs(number as i64 % 100)),
                5 => Command::Replay(id),
                6 => Command::Complete { run: id, output: None, fence: None },
                _ => Command::Cancel(id),
            };
            let deaf = once_in(&mut self.entropy, 8);
            self.ask(command, if deaf { Who::DeafClient } else { Who::Client });
            if once_in(&mut self.entropy, 3) {
                self.drain();
            }
        }
    }

    /// The head of one of them becomes unreadable.
    pub fn rot(&mut self) {
        if let Some(id) = self.some_buffered() {
            let how = self.entropy.below(3) as u8;
            self.ask(Command::Rot(id, how), Who::DeafClient);
        }
    }

    /// What the gate knows of the store is brought in line with it.
    fn look_at_buffer(&mut self) {
        let disk = self.machine.disk();
        disk.calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            if let Ok(view) = self.machine.store().snapshot() {
                self.burst.gate.look(&view);
            }
        });
    }

    /// The duty looks.
    pub fn drain(&mut self) {
        self.look_at_buffer();
        if !self.burst.gate.settings().drainer.enabled {
            return;
        }
        if self.burst.off > 0 {
            self.burst.off -= 1;
            return;
        }
        let idle = !self.burst.hinted && !once_in(&mut self.entropy, 8);
        if !idle {
            let count = 1 + self.entropy.below(5) as usize;
            let command = self.burst.next(count);
            command.into_iter().for_each(|command| self.ask(command, Who::Drainer));
        }
    }

    pub fn drainer_off(&mut self) {
        self.burst.off = one(&mut self.entropy, &[3, 10, 40]);
    }

    /// A string takes the name of a stream, or gives it back.
    pub fn spoil(&mut self) {
        let key = KeyName::of(SPOILED);
        let taken = self.machine.disk().calmly(|| {
            let view = self.machine.store().snapshot().ok();
            let found = view.and_then(|view| keys::get(&view, &key).ok()).flatten();
            found.is_some_and(|found| matches!(found.value, Value::Text(_)))
        });
        let request = match taken && once_in(&mut self.entropy, 3) {
            true => Request::Remove { keys: vec![key] },
            false => {
                let (when, expiry, get) = (SetIf::Always, Expiry::None, false);
                Request::Set { key, value: "taken".into(), when, expiry, get }
            }
        };
        self.ask(Command::Keys(Box::new(request)), Who::Client);
    }

    /// A reader finds each run once, the buffered ones included.
    pub fn read_buffered(&mut self) {
        let now = self.now();
        self.machine.disk().calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            if let Ok(view) = self.machine.store().snapshot() {
                check_reads(&view, now);
            }
        });
    }

    /// What the duty does once all is well.
    pub fn drain_on(&mut self) {
        self.burst.off = 0;
        self.look_at_buffer();
        if self.burst.hinted {
            let count = 1 + self.entropy.below(5) as usize;
            let command = self.burst.next(count);
            command.into_iter().for_each(|command| self.ask(command, Who::Drainer));
        }
    }
}

fn check_reads(rows: &dyn Rows, now: Time) {
    let ids = |table| places(rows, table).into_iter().map(|key| last_of(&key));
    let lost = lost::all(rows);
    let buffered = || ids(Table::Buffered).filter(|id| !lost.contains(id));
    let expected: BTreeSet<RunId> = ids(Table::Run).chain(buffered()).collect();
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = list(rows, &Filter::default(), 7, before).expect("the store can be read");
        found.extend(page.runs.iter().map(|run| run.id));
        let Some(next) = page.next else { break };
        before = Some(next);
    }
    assert!(found.iter().rev().eq(&expected), "a list shows {found:?}, there are {expected:?}");
    for id in buffered() {
        let run = run_rows::get(rows, id).expect("the store can be read").expect("it is there");
        let why = because(rows, &run, now).expect("the store can be read");
        assert!(run.buffered && why.is_some(), "{id} does not say why it waits");
        let body = run_rows::body(rows, id).expect("the store can be read");
        assert!(body.payload.is_some(), "{id} has no payload");
    }
}

fn last_of(key: &[u8]) -> RunId {
    tidegate::store::key::last_id(key).expect("the key ends with an id")
}
