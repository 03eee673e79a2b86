//! How the process goes down and comes back: a full disk, power cuts, kills, orderly ends, and the
//! day when everything is well again.

use tidegate::base::entropy::Entropy;
use tidegate::base::id::Minter;
use tidegate::engine::batch::{look_again, run_batch};
use tidegate::engine::parked::Parked;
use tidegate::model::refusal::{Code, Refusal};
use tidegate::store::fault::Fault;
use tidegate::store::kinds::{ready, sharded};

use crate::buffered;
use crate::checks;
use crate::command::{Command, Said};
use crate::disk::Trouble;
use crate::driver::Driver;
use crate::machine::End;
use crate::mix::once_in;
use crate::sharding;
use crate::world::{Who, World};

/// Turns after healing within which everything must end.
const HEALING_TURNS_MAX: u32 = 20_000;

impl World {
    /// As the writer: refuses everything and reopens until there is room.
    pub fn wait_for_room(&mut self) {
        self.backing.abandon();
        loop {
            let now = self.now();
            let waiting: Vec<(Command, Who)> = self.queue.drain(..).collect();
            for (command, who) in waiting {
                let answer = Err(Refusal::new(Code::ReadOnly, "the disk is full"));
                self.hear(&command, who, &answer);
                if who == Who::Driver {
                    let led = self.driver.answered(&command, answer, false, now);
                    self.want(led.commands);
                }
            }
            self.tick += 500;
            if once_in(&mut self.entropy, 2) {
                self.machine.disk().heal();
            }
            let store = self.machine.store();
            let reopened = store.reopen().and_then(|()| store.checkpoint());
            match reopened.and_then(|()| look_again(store)) {
                Ok(notices) => {
                    self.burst.hints(&notices);
                    let commands = self.driver.hints(&notices, self.now());
                    self.want(commands);
                    break;
                }
                Err(Fault::Full(_) | Fault::Closed) => {}
                Err(fault) => {
                    self.trace.note(format!("fault while full: {fault}"));
                    return self.restart(End::Power, None);
                }
            }
        }
        self.trace.note("room again".to_owned());
        self.try_blocked();
        self.check();
    }

    /// The process ends while nothing is written: everything must be there afterwards.
    pub fn idle_end(&mut self, how: End) {
        let before = self.machine.disk().calmly(|| self.machine.contents().ok());
        self.restart(how, before);
    }

    /// The process ends and starts again, perhaps several times until it stays.
    pub fn restart(&mut self, how: End, mut before: Option<u64>) {
        self.trace.note(format!("the process ends: {how:?}"));
        self.backing.abandon();
        self.machine.end(how, &mut self.entropy);
        self.queue.clear();
        self.parked = Parked::default();
        self.blocked.clear();
        self.workers.hang_up();
        self.receivers.hang_up();
        self.burst.restarted();
        self.batches.cut_off();
        self.sharding.restarted();
        self.recording.restarted();
        let mut tries = 0;
        while let Err(fault) = self.start(before.take()) {
            self.trace.note(format!("the start fails: {fault}"));
            tries += 1;
            let disk = self.machine.disk();
            assert!(
                !disk.is_healthy() || disk.failures() > 0,
                "no start on a healthy disk: {fault}"
            );
            self.machine.end(End::Power, &mut self.entropy);
            assert!(tries < 20, "the process does not start any more: {fault}");
        }
        self.check();
    }

    fn start(&mut self, before: Option<u64>) -> Result<(), Fault> {
        if !self.healed && once_in(&mut self.entropy, 6) {
            let nth = 1 + self.entropy.below(80);
            self.machine.disk().fail_at(nth, Trouble::PowerOff);
        }
        self.machine.open()?;
        self.machine.check_format()?;
        if let Some(before) = before {
            assert_eq!(self.machine.contents()?, before, "an idle end of the process changed rows");
        }
        self.minter = Minter::new(Entropy::from_seed(self.entropy.next_u64()));
        if let Some(newest) = self.machine.newest()? {
            self.minter.stay_above(newest);
        }
        let now = self.now();
        loop {
            let (job, mut answer) = Command::Recover.to_job();
            run_batch(
                self.machine.store(),
                vec![job],
                &mut Parked::default(),
                now,
                &mut self.minter,
            )?;
            match answer.try_recv().expect("a batch answers all of its commands") {
                Ok(Said::Recovered(0)) => break,
                Ok(Said::Recovered(_)) => {}
                other => panic!("recovery was answered by {other:?}"),
            }
        }
        // What was planned and not sealed goes before anybody comes in.
        while let Some(id) = sharded::oldest_plan(&self.machine.store().snapshot()?)? {
            let (job, mut answer) = Command::DiscardPlan(id).to_job();
            let (store, parked) = (self.machine.store(), &mut Parked::default());
            run_batch(store, vec![job], parked, now, &mut self.minter)?;
            let answer = answer.try_recv().expect("a batch answers all of its commands");
            assert!(matches!(answer, Ok(Said::Discarded(_))), "a plan stays: {answer:?}");
            self.sharding.discarded();
        }
        let view = self.machine.store().snapshot()?;
        let endpoints = ready::endpoints(&view, 10_000)?;
        self.machine.disk().calmly(|| self.burst.load_gate(&mut self.entropy, &view));
        drop(view);
        self.machine.disk().heal();
        let (driver, commands) = Driver::start(endpoints, now);
        self.driver = driver;
        self.want(commands);
        // What a crash left behind goes too.
        self.purging = true;
        Ok(())
    }

    pub fn check(&mut self) {
        // Questions are asked of a healthy disk: what they find is not what they test.
        let disk = self.machine.disk();
        disk.calmly(|| {
            // After trouble the store takes no more reads, until it is opened again.
            if let Ok(view) = self.machine.store().snapshot() {
                self.reference.check(&view, &self.receivers.outputs);
                self.batches.check(&view);
                self.sharding.check(&view);
                self.scheduling.check(&view, &checks::runs(&view));
                self.recording.check(&view);
                checks::check(&view, self.batches.may_unbind());
                buffered::check_caps(&view, &self.burst.caps_max);
                self.burst.gate.check(&view);
            }
        });
    }

    /// Everything is well from now on: what is open must end.
    pub fn heal(&mut self) {
        self.healed = true;
        self.trace.note("healing".to_owned());
        self.machine.disk().heal();
        self.receivers.heal();
        // Whatever is still asked for comes first; a fault may have waited in the store.
        self.batch(usize::MAX);
        if self.machine.store().snapshot().is_err() {
            self.restart(End::Kill, None);
        }
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        let commands = self.workload.healing(&view);
        drop(view);
        for command in commands {
            self.ask(command, Who::Client);
        }
        self.let_out();
        self.heal_workers();
        self.heal_shards();
        self.heal_schedules();
        for turn in 0.. {
            assert!(turn < HEALING_TURNS_MAX, "no end after {turn} turns: {}", self.open());
            self.answers();
            self.calls();
            self.work();
            self.drain_on();
            self.batch_duty();
            self.dispatch_shards();
            self.end_schedules();
            let commands = self.driver.tick(self.now());
            self.want(commands);
            if !self.queue.is_empty() {
                self.batch(usize::MAX);
            } else if let Some(at) = self.next_at() {
                self.tick = self.tick.max(at);
            } else {
                break;
            }
        }
        assert!(self.open().is_empty(), "nothing will happen any more, yet {}", self.open());
        self.sweep_up();
        self.end_history();
    }

    fn open(&self) -> String {
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        let open = checks::open_runs(&view);
        let runs = open.iter().map(|run| format!("{} is {}; ", run.id, run.status.as_str()));
        let heads = sharding::unfinished(&view).into_iter();
        let heads = heads.map(|head| format!("{} is {}; ", head.id, head.phase.as_str()));
        let others = [self.open_entries(), self.open_batches(), self.open_schedules()];
        runs.chain(heads).chain(others).collect()
    }
}
