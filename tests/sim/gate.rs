//! The gate as a seed lives it: the real one decides which runs wait, from the windows of their
//! envs, what waits already and how much the writer has to do; and people change its numbers and
//! switches all the time.
//!
//! - Nothing is diverted while the master switch or that of the org is off, whatever else is set.
//! - Each run that the gate was asked about is counted once.
//! - A run that would have been diverted, but for shadow, goes straight in.
//! - What the gate follows is what stands in the store, after every accident.

use tidegate::appliance::buffer_settings::{Call, GateKeeper};
use tidegate::base::entropy::Entropy;
use tidegate::base::time::Span;
use tidegate::ledger::buffer::accept::{Caps, HEAD_BYTES};
use tidegate::ledger::buffer::settings::{current, current_org};
use tidegate::ledger::runs::submit::Submit;
use tidegate::model::buffer::{
    BufferSettings, DrainerPatch, DrainerSettings, EngineGate, EnginePatch, OrgPatch, Patch,
};
use tidegate::model::gate::{Decision, EngineLoad};
use tidegate::store::kinds::count;
use tidegate::store::rows::{Rows, counter};

use crate::command::{Answer, Command, Said};
use crate::mix::{once_in, one};
use crate::workload::name;
use crate::world::{Who, World};

const ORGS: [&str; 3] = ["acme", "blue", "coral"];

/// What the gate was asked, by what it said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub passed: u64,
    pub diverted: u64,
    pub shadowed: u64,
}

pub struct Gate {
    keeper: GateKeeper,
    /// What the configuration file says.
    pub file: BufferSettings,
    /// Since the start of the process.
    asked: Asked,
    /// A change whose outcome nobody knows; the next look does.
    pub in_doubt: bool,
}

/// Numbers that make most envs wait, as a configuration file would have them.
pub fn file(entropy: &mut Entropy) -> BufferSettings {
    let bytes = |entries: u64| entries * (HEAD_BYTES + 12);
    let defaults = BufferSettings::default();
    let queue = one(entropy, &[0, 0, 3, 30]);
    let attempts = one(entropy, &[1, 2, 3, 4]);
    BufferSettings {
        enabled: !once_in(entropy, 5),
        shadow: once_in(entropy, 4),
        window: Span::from_millis(one(entropy, &[10, 1_000, 60_000])),
        threshold: one(entropy, &[1, 1, 1, 2, 4]),
        hold: Span::from_millis(one(entropy, &[1, 500, 600_000])),
        backlog_max: one(entropy, &[0, 1, 3]),
        engine: EngineGate { queue, commit: Span::from_millis(50) },
        env_max: one(entropy, &[1, 4, 12, 30]),
        total_max: one(entropy, &[6, 25, 60]),
        env_bytes_max: bytes(one(entropy, &[3, 12, 40])),
        total_bytes_max: bytes(one(entropy, &[8, 30, 80])),
        drainer: DrainerSettings { max_attempts: attempts, ..defaults.drainer },
        ..defaults
    }
}

impl Gate {
    /// As at the start of the process.
    pub fn load(rows: &dyn Rows, file: BufferSettings) -> Gate {
        let keeper = GateKeeper::load(rows, &file).expect("the settings can be read");
        Gate { keeper, file, asked: Asked::default(), in_doubt: false }
    }

    pub fn settings(&self) -> BufferSettings {
        self.keeper.settings()
    }

    pub fn caps(&self) -> Caps {
        let settings = self.settings();
        Caps {
            env_max: settings.env_max,
            total_max: settings.total_max,
            env_bytes_max: settings.env_bytes_max,
            total_bytes_max: settings.total_bytes_max,
            retry_after: Span::from_secs(2),
        }
    }

    /// What people change next.
    pub fn change(&self, entropy: &mut Entropy) -> Command {
        if once_in(entropy, 2) {
            let patch = OrgPatch {
                enabled: once_in(entropy, 2).then(|| !once_in(entropy, 3)),
                shadow: once_in(entropy, 3).then(|| once_in(entropy, 2)),
            };
            return Command::SetOrgBuffer(name(one(entropy, &ORGS)), patch);
        }
        let other = file(entropy);
        let mut some = || once_in(entropy, 5);
        let patch = Patch {
            enabled: some().then_some(other.enabled),
            shadow: some().then_some(other.shadow),
            window: some().then_some(other.window),
            threshold: some().then_some(other.threshold),
            hold: some().then_some(other.hold),
            backlog_max: some().then_some(other.backlog_max),
            engine: some().then_some(EnginePatch { queue: Some(other.engine.queue), commit: None }),
            env_max: some().then_some(other.env_max),
            total_max: some().then_some(other.total_max),
            drainer: some().then_some(DrainerPatch {
                enabled: Some(other.enabled),
                concurrency: None,
                max_attempts: Some(other.drainer.max_attempts),
            }),
            ..Patch::default()
        };
        Command::SetBuffer(Box::new(self.file), Box::new(patch))
    }

    /// What follows a change, as the appliance does it, also when nobody waits for the answer.
    pub fn heard(&mut self, rows: Option<&dyn Rows>, command: &Command, answer: &Answer) {
        match (command, answer, rows) {
            (Command::SetBuffer(..), Ok(Said::Kept(kept)), Some(rows)) => {
                self.keeper
                    .refresh(|| Ok(current(rows, &self.file).expect("the store can be read")))
                    .expect("the store can be read");
                assert!(kept.settings.validate().is_ok(), "{kept:?} is in force");
            }
            (Command::SetOrgBuffer(org, _), Ok(Said::KeptOrg(_)), Some(rows)) => {
                self.keeper
                    .refresh_org(|| Ok(current_org(rows, org).expect("the store can be read")))
                    .expect("the store can be read");
            }
            (Command::SetBuffer(..) | Command::SetOrgBuffer(..), ..) => {
                self.keeper.doubt();
                self.in_doubt = true;
            }
            _ => {}
        }
    }

    /// The look that the duty of the drain takes at the store.
    pub fn look(&mut self, rows: &dyn Rows) {
        self.in_doubt = false;
        self.keeper.settle(rows, &self.file).expect("the store can be read");
    }

    /// What the gate follows is what stands in the store.
    pub fn check(&self, rows: &dyn Rows) {
        if self.in_doubt {
            return;
        }
        let kept = current(rows, &self.file).expect("the store can be read");
        assert_eq!(self.keeper.kept(), kept, "settings in force, and those in the store");
        for org in ORGS.map(name) {
            let kept = current_org(rows, &org).expect("the store can be read");
            let switch = kept.map(|kept| kept.switch).unwrap_or_default();
            assert_eq!(self.keeper.org(&org), switch, "switch of {org}");
        }
        let said = self.keeper.decisions();
        let diverted = said.diverted.iter().sum();
        let found = Asked { passed: said.passed, diverted, shadowed: said.shadowed };
        assert_eq!(found, self.asked, "decisions since the start");
    }
}

impl World {
    /// The way in that the gate sends a run.
    pub fn route(&mut self, submit: Box<Submit>) -> Command {
        let disk = self.machine.disk();
        let waiting = disk.calmly(|| {
            let key = count::buffered_of(&submit.org, &submit.env);
            // After trouble the store takes no more reads, until it is opened again.
            let view = self.machine.store().snapshot().ok()?;
            counter(&view, &key).ok()
        });
        let commit = Span::from_millis(one(&mut self.entropy, &[1, 1, 1, 80]));
        let call = Call {
            org: &submit.org,
            env: &submit.env,
            is_batch_item: once_in(&mut self.entropy, 20),
            waits_for_delivery: false,
            backlog: waiting.unwrap_or_default().unsigned_abs(),
            load: EngineLoad { queued: self.queue.len() as u64, commit },
        };
        let now = self.now();
        let gate = &mut self.burst.gate;
        let (settings, switch) = (gate.settings(), gate.keeper.org(call.org));
        let decision = gate.keeper.decide(&call, now);
        let asked = settings.enabled && !call.is_batch_item;
        let may = asked && (switch.enabled || switch.shadow || settings.shadow);
        match decision {
            Decision::Pass => gate.asked.passed += u64::from(asked),
            Decision::Divert(reason) => {
                assert!(may && switch.enabled, "diverted for {reason:?}: {call:?}");
                gate.asked.diverted += 1;
            }
            Decision::Shadow(reason) => {
                assert!(may && !switch.enabled, "shadowed for {reason:?}: {call:?}");
                gate.asked.shadowed += 1;
            }
        }
        self.trace.note(format!("the gate says {decision:?}"));
        self.burst.met.shadowed += usize::from(matches!(decision, Decision::Shadow(_)));
        match decision {
            Decision::Divert(_) => Command::Accept(submit, self.burst.caps()),
            Decision::Pass | Decision::Shadow(_) => Command::Submit(submit),
        }
    }

    /// Someone sets something, or the file is another one at the next start.
    pub fn set(&mut self) {
        let command = self.burst.gate.change(&mut self.entropy);
        let deaf = once_in(&mut self.entropy, 8);
        self.ask(command, if deaf { Who::DeafClient } else { Who::Client });
    }

    /// Orgs are switched on, once, so that most seeds buffer something.
    pub fn switch_on(&mut self) {
        for org in ORGS {
            let enabled = Some(!once_in(&mut self.entropy, 4));
            let patch = OrgPatch { enabled, shadow: None };
            self.ask(Command::SetOrgBuffer(name(org), patch), Who::Client);
        }
    }

    /// The operator lets everything out.
    pub fn let_out(&mut self) {
        let drainer = DrainerPatch { enabled: Some(true), ..DrainerPatch::default() };
        let patch = Patch { drainer: Some(drainer), ..Patch::default() };
        let file = Box::new(self.burst.gate.file);
        self.ask(Command::SetBuffer(file, Box::new(patch)), Who::Client);
    }
}
