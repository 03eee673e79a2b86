//! The turn loop: at each turn the seed picks what happens next. The real ledger, engine, store
//! and dispatcher core run in one thread, over a disk that fails and a clock that jumps.
//!
//! What must hold, whatever happens:
//!
//! - every run that was acknowledged is there, with the fields that were told;
//! - one idempotency key gives one run while it holds, also when an answer was unknown;
//! - an agent sees one request under one id, and never two claims of a run, or of an ordered
//!   lane, at once; a later run of an ordered lane never passes an earlier one in line;
//! - an open run has exactly one delivery or is live; a final one has none;
//! - nothing goes back from a final status, but by a revival that someone asked for;
//! - counters equal a recount, indexes and timers equal the rows;
//! - a result that was taken is in the log of attempts;
//! - an idle power cut changes nothing, and a fault only ever comes from the disk;
//! - an entry that was added is there until someone asks for its end, is acknowledged once, and
//!   what a dead worker had goes to a living one or among the dead letters;
//! - what the burst buffer took becomes a run, in the order of its env and with regard for the
//!   others, and is the same run on both sides; an entry that cannot be read is kept under its id;
//! - the gate follows what people set, and the stale sweep counts what a recount counts;
//! - a batch that was told of is there with all of its runs, any other one whole or not at all; it is
//!   done when they have ended, and called back once;
//! - a sharded run that was told of has all its items in order, each in one run or in its plan, a
//!   window has one, a valid delivery stays, and of a plan that was not sealed nothing is left;
//! - an org has one run of a window of a schedule, none of the time of a pause, and of windows that
//!   were missed what the schedule says;
//! - a value of history that was acknowledged is there once, packed or not, and a run counts once;
//! - a backup that is begun at any moment, and written whenever, restores to exactly what was
//!   committed at that moment;
//! - once all is well, every run becomes final and every entry is answered.

use std::io::ErrorKind;

use tidegate::base::entropy::Entropy;
use tidegate::base::id::{Id, Minter};
use tidegate::base::time::Time;
use tidegate::engine::batch::{Job, run_batch};
use tidegate::engine::parked::Parked;
use tidegate::ledger::streams::requeue::Floors;
use tidegate::model::notice::Notice;
use tidegate::store::fault::Fault;
use tidegate::store::key::last_id;
use tidegate::store::kinds::outbox;
use tidegate::store::rows::collect;

use crate::answers::Waiting;
use crate::backing::Backing;
use crate::batches::Batches;
use crate::burst::Burst;
use crate::command::Command;
use crate::disk::Trouble;
use crate::driver::Driver;
use crate::duties;
use crate::machine::{End, Machine};
use crate::mix::{Mix, once_in, one};
use crate::receivers::Receivers;
use crate::recording::Recording;
use crate::reference::Reference;
use crate::scheduling::Scheduling;
use crate::shape::Shape;
use crate::sharding::Sharding;
use crate::streams::Streams;
use crate::trace::Trace;
use crate::workers::{self, Workers};
use crate::workload::Workload;

const START: i64 = 1_700_000_000_000;

#[derive(Clone, Copy, Debug)]
pub enum Turn {
    Client,
    Engine,
    Answers,
    Calls,
    Time,
    ClockForward,
    ClockBack,
    PowerLater,
    PowerNow,
    Kill,
    Stop,
    FullOnce,
    FullLasting,
    ErrorOnce,
    ErrorLasting,
    Check,
    Streams,
    Workers,
    Requeue,
    Purge,
    Burst,
    EditBuffered,
    ReadBuffered,
    Drain,
    DrainerOff,
    Spoil,
    Set,
    Sweep,
    Rot,
    Batch,
    BatchDuty,
    CancelBatch,
    Shard,
    Dispatch,
    Deliver,
    Schedule,
    Backup,
    History,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Client,
    /// Its connection is gone: the answer is not heard.
    DeafClient,
    Driver,
    Worker(workers::Name),
    /// Creates a batch, step by step.
    Batcher,
    /// The duty that empties the burst buffer.
    Drainer,
    /// A request that writes a plan in parts.
    Planner,
    /// The duty that gives shards their runs.
    Dispatcher,
    /// One of the other duties.
    Duty,
}

pub struct World {
    pub entropy: Entropy,
    shape: Shape,
    mix: Mix<Turn>,
    pub machine: Machine,
    pub minter: Minter,
    pub parked: Parked,
    /// Readers that wait for something to read.
    pub blocked: Vec<Waiting>,
    pub driver: Driver,
    pub workload: Workload,
    pub burst: Burst,
    pub batches: Batches,
    pub sharding: Sharding,
    pub scheduling: Scheduling,
    pub backing: Backing,
    pub recording: Recording,
    pub streams: Streams,
    pub workers: Workers,
    /// Deliveries of a plain entry after which it is a dead letter, and floors of streams.
    pub floors: Floors,
    /// When the duty that gives back looks again.
    pub look_at: Option<Time>,
    /// Rows wait for their removal.
    pub purging: bool,
    pub receivers: Receivers,
    pub reference: Reference,
    pub queue: Vec<(Command, Who)>,
    /// Milliseconds on the clock that never steps, and how far the wall clock is off.
    pub tick: i64,
    offset: i64,
    pub healed: bool,
    pub trace: Trace,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut entropy = Entropy::from_seed(seed);
        let always =
            [(Turn::Client, 30), (Turn::Engine, 40), (Turn::Answers, 25), (Turn::Time, 25)];
        let sometimes = [
            (Turn::Calls, 10),
            (Turn::ClockForward, 2),
            (Turn::ClockBack, 2),
            (Turn::PowerLater, 3),
            (Turn::PowerNow, 1),
            (Turn::Kill, 1),
            (Turn::Stop, 1),
            (Turn::FullOnce, 2),
            (Turn::FullLasting, 1),
            (Turn::ErrorOnce, 1),
            (Turn::ErrorLasting, 1),
            (Turn::Check, 2),
            (Turn::Backup, 2),
        ];
        let shape = one(&mut entropy, &[Shape::Push, Shape::Pull, Shape::Both, Shape::Both]);
        let (mut always, more) = shape.turns(&always);
        let machine = Machine::new(one(&mut entropy, &[0, 1 << 20]));
        let view = machine.store().snapshot().expect("a healthy disk can be read");
        let burst = Burst::random(&mut entropy, &view);
        drop(view);
        always.extend(burst.turns(shape));
        let batches = Batches::random(&mut entropy);
        always.extend(batches.turns());
        let sharding = Sharding::random(&mut entropy);
        always.extend(sharding.turns());
        let scheduling = Scheduling::random(&mut entropy);
        always.extend(scheduling.turns());
        let recording = Recording::random(&mut entropy);
        always.extend(recording.turns());
        let sometimes: Vec<_> = sometimes.into_iter().chain(more).collect();
        let mix = Mix::random(&mut entropy, &always, &sometimes);
        let workload = Workload::random(&mut entropy, shape);
        let streams = Streams::random(&mut entropy);
        let workers = Workers::random(&mut entropy);
        let floors = duties::floors(&mut entropy);
        let receivers = Receivers::random(&mut entropy);
        let minter = Minter::new(Entropy::from_seed(entropy.next_u64()));
        let (driver, first) = Driver::start(Vec::new(), Time(START));
        let mut world = World {
            entropy,
            shape,
            mix,
            machine,
            minter,
            parked: Parked::default(),
            blocked: Vec::new(),
            driver,
            workload,
            burst,
            batches,
            sharding,
            scheduling,
            backing: Backing::default(),
            recording,
            streams,
            workers,
            floors,
            look_at: None,
            purging: false,
            receivers,
            reference: Reference::default(),
            queue: Vec::new(),
            tick: 0,
            offset: 0,
            healed: false,
            trace: Trace::default(),
        };
        world.want(first);
        for task in world.workload.tasks.clone() {
            world.ask(Command::PutTask(Box::new(task)), Who::Client);
        }
        if shape != Shape::Push && !once_in(&mut world.entropy, 5) {
            for command in workers::groups() {
                world.ask(command, Who::Client);
            }
        }
        if world.burst.on {
            world.switch_on();
        }
        world.batch(usize::MAX);
        world
    }

    /// Lives for about `turns`, then heals everything and waits for the end.
    pub fn run(&mut self, turns: u32) {
        let turns = turns * self.shape.length();
        for _ in 0..turns / 3 + self.entropy.below(u64::from(turns)) as u32 {
            self.turn();
        }
        self.heal();
        self.check();
    }

    /// Equal for equal runs: all disk operations and all events.
    pub fn hash(&self) -> (u64, u64) {
        (self.machine.hash(), self.trace.hash())
    }

    pub fn now(&self) -> Time {
        Time(START + self.tick + self.offset)
    }

    fn turn(&mut self) {
        let turn = self.mix.pick(&mut self.entropy);
        let nth = 1 + self.entropy.below(60);
        match turn {
            Turn::Client => self.client(),
            Turn::Engine => {
                let most = one(&mut self.entropy, &[1, 2, 5, 100]);
                self.batch(most);
            }
            Turn::Answers => self.answers(),
            Turn::Calls => self.calls(),
            Turn::Time => self.time(),
            Turn::ClockForward => self.shift(1 + nth as i64 / 2),
            Turn::ClockBack => self.shift(-1 - nth as i64 / 2),
            Turn::PowerLater => self.fail_at(nth, Trouble::PowerOff),
            Turn::PowerNow => self.idle_end(End::Power),
            Turn::Kill => self.idle_end(End::Kill),
            Turn::Stop => self.idle_end(End::Stop),
            Turn::FullOnce => self.fail_at(nth, Trouble::Once(ErrorKind::StorageFull)),
            Turn::FullLasting => self.fail_at(nth, Trouble::Lasting(ErrorKind::StorageFull)),
            Turn::ErrorOnce => self.fail_at(nth, Trouble::Once(ErrorKind::Other)),
            Turn::ErrorLasting => self.fail_at(nth, Trouble::Lasting(ErrorKind::Other)),
            Turn::Check => self.check(),
            Turn::Streams => self.client_of_streams(),
            Turn::Workers => self.worker(),
            Turn::Requeue => self.requeue(),
            Turn::Purge => self.purge(),
            Turn::Burst => self.burst(),
            Turn::EditBuffered => self.edit_buffered(),
            Turn::ReadBuffered => self.read_buffered(),
            Turn::Drain => self.drain(),
            Turn::DrainerOff => self.drainer_off(),
            Turn::Spoil => self.spoil(),
            Turn::Set => self.set(),
            Turn::Sweep => self.sweep(),
            Turn::Rot => self.rot(),
            Turn::Batch => self.begin_batch(),
            Turn::BatchDuty => self.batch_duty(),
            Turn::CancelBatch => self.cancel_batch(),
            Turn::Shard => self.shard(),
            Turn::Dispatch => self.dispatch_shards(),
            Turn::Deliver => self.deliver(),
            Turn::Schedule => self.schedule(),
            Turn::Backup => self.back_up(),
            Turn::History => self.record(),
        }
    }

    fn fail_at(&mut self, nth: u64, trouble: Trouble) {
        self.trace.note(format!("operation {nth}: {trouble:?}"));
        self.machine.disk().fail_at(nth, trouble);
    }

    /// The wall clock steps, by hours or by less.
    fn shift(&mut self, hours: i64) {
        let unit = one(&mut self.entropy, &[1_000, 60_000, 3_600_000]);
        self.offset = (self.offset + hours * unit).max(-START / 2);
        self.trace.note(format!("the clock steps to {:?}", self.now()));
    }

    fn client(&mut self) {
        let now = self.now();
        let (known, dead) = (&self.reference.known, self.dead());
        let Some(command) = self.workload.next(&mut self.entropy, known, &dead, now) else {
            return;
        };
        let command = match command {
            Command::Submit(submit) if self.burst.on && once_in(&mut self.entropy, 2) => {
                self.route(submit)
            }
            other => other,
        };
        let deaf = once_in(&mut self.entropy, 8);
        self.ask(command, if deaf { Who::DeafClient } else { Who::Client });
    }

    /// Dead letters, of runs and of hooks.
    fn dead(&self) -> Vec<Id> {
        self.machine.disk().calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            let view = self.machine.store().snapshot().ok();
            view.and_then(|view| collect(&view, &outbox::dead_page(None), 100).ok())
                .map_or_else(Vec::new, |found| {
                    found.iter().filter_map(|(key, _)| last_id(key).ok()).collect()
                })
        })
    }

    pub fn ask(&mut self, command: Command, who: Who) {
        self.reference.asked(&command);
        self.queue.push((command, who));
    }

    /// What the dispatcher wants.
    pub fn want(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.ask(command, Who::Driver);
        }
    }

    /// Receivers whose time has come answer; the results are reported.
    pub fn answers(&mut self) {
        let reports = self.receivers.answers(self.now(), self.tick, &mut self.entropy);
        self.want(reports.into_iter().map(|report| Command::Settle(Box::new(report))).collect());
    }

    pub fn calls(&mut self) {
        for command in self.receivers.calls(self.tick) {
            self.ask(command, Who::Client);
        }
    }

    /// Time passes: a little, or until something is due.
    fn time(&mut self) {
        let step = match self.entropy.below(4) {
            0 => self.entropy.below(1_000) as i64,
            1 => self.entropy.below(60_000) as i64,
            _ => self.next_at().map_or(1_000, |at| (at - self.tick).clamp(0, 3_600_000)),
        };
        self.tick += step;
        let commands = self.driver.tick(self.now());
        self.want(commands);
        if self.look_at.is_some_and(|at| at <= self.now()) {
            self.requeue();
        }
    }

    /// The tick at which something happens by itself.
    pub fn next_at(&self) -> Option<i64> {
        let wake = self.driver.wake_at().map(|at| at.0 - START - self.offset);
        let look = self.look_at.map(|at| at.0 - START - self.offset);
        wake.into_iter().chain(look).chain(self.receivers.next_at()).min()
    }

    /// One batch of the engine, as its thread runs it.
    pub fn batch(&mut self, most: usize) {
        let take = most.min(self.queue.len());
        if take == 0 {
            return;
        }
        let mut jobs = Vec::new();
        let mut waiting: Vec<Waiting> = Vec::new();
        for (command, who) in self.queue.drain(..take) {
            let (job, answer) = command.to_job();
            jobs.push(job);
            waiting.push((command, who, answer));
        }
        let in_line = self.in_line();
        self.run_jobs(jobs, waiting, &in_line);
    }

    pub fn run_jobs(
        &mut self,
        jobs: Vec<Box<dyn Job>>,
        waiting: Vec<Waiting>,
        in_line: &[(Vec<u8>, Id)],
    ) {
        let now = self.now();
        self.workers.saw(now);
        self.recording.about_to_run(&waiting, now);
        match run_batch(self.machine.store(), jobs, &mut self.parked, now, &mut self.minter) {
            Ok(done) => {
                self.release(waiting, in_line);
                self.watch(&done.notices);
                self.purging |= done.notices.contains(&Notice::Purge);
                self.burst.hints(&done.notices);
                let commands = self.driver.hints(&done.notices, now);
                self.want(commands);
            }
            Err(fault) => {
                assert!(self.machine.has_failed(), "a fault without trouble: {fault}");
                self.trace.note(format!("fault: {fault}"));
                match fault {
                    Fault::Full(_) => {
                        self.release(waiting, in_line);
                        self.wait_for_room();
                    }
                    Fault::Io(_) | Fault::Closed => {
                        let how = one(&mut self.entropy, &[End::Power, End::Kill]);
                        self.restart(how, None);
                    }
                    Fault::Corrupt(_) | Fault::Newer(_) => panic!("the store is damaged: {fault}"),
                    Fault::Panicked(_) => panic!("a command broke an invariant: {fault}"),
                }
            }
        }
    }
}
