//! Schedules as a seed lives them: set, changed, paused, run by hand and deleted, while clocks jump
//! and the process ends in the middle of their rounds.
//!
//! What must hold: an org has one run of a window, also of a schedule that was deleted and made
//! anew; windows never go back; none begins while its schedule is paused, or for that time
//! afterwards; of missed ones the last is begun, or none where they are skipped.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::entropy::Entropy;
use tidegate::base::id::{Id, RunId};
use tidegate::base::name::Name;
use tidegate::base::time::{Span, Time};
use tidegate::ledger::schedules::set::Put;
use tidegate::model::run::Run;
use tidegate::model::schedule::{
    Got, LATE_MAX, Missed, Progress, ROUNDS_KEPT, Round, RoundState, Stamp, Wanted, Work,
};
use tidegate::model::task::Task;
use tidegate::store::key::last_id;
use tidegate::store::kinds::{round as rounds, schedule as rows, sharded, task as task_rows};
use tidegate::store::rows::Rows;
use tidegate::store::tables::Table;

use crate::checks::keys;
use crate::command::{Command, Said};
use crate::mix::{once_in, one};
use crate::workload::name;
use crate::world::{Turn, Who, World};

/// Each has a policy of its own, and keeps it.
const NAMES: [(&str, Missed); 2] = [("makes-up", Missed::Once), ("skips", Missed::Skip)];
/// It fires so rarely that it fires no more.
const HARDLY_EVER: &str = "0 0 29 2 */7";

/// What the seeds of a test met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    begun: usize,
    made_up: usize,
    skipped: usize,
    by_hand: usize,
    failing: usize,
    given_up: usize,
    paused: usize,
}

impl Met {
    fn all(&mut self) -> [&mut usize; 7] {
        let Met { begun, made_up, skipped, by_hand, failing, given_up, paused } = self;
        [begun, made_up, skipped, by_hand, failing, given_up, paused]
    }

    pub fn add(&mut self, mut other: Met) {
        for (mine, others) in self.all().into_iter().zip(other.all()) {
            *mine += *others;
        }
    }

    pub fn is_enough(mut self) -> bool {
        self.all().into_iter().all(|met| *met > 0)
    }
}

#[derive(Default)]
pub struct Scheduling {
    pub met: Met,
    on: bool,
    healing: bool,
    /// Up to where windows were seen to be dealt with, and must stay so.
    passed: BTreeMap<Name, Time>,
    /// How a schedule stood when it was seen paused.
    paused: BTreeMap<Name, (Stamp, Time)>,
    seen: BTreeSet<(Id, u8)>,
}

impl Scheduling {
    pub fn random(entropy: &mut Entropy) -> Scheduling {
        Scheduling { on: once_in(entropy, 2), ..Scheduling::default() }
    }

    /// What happens under a seed with schedules.
    pub fn turns(&self) -> Vec<(Turn, u64)> {
        if self.on { vec![(Turn::Schedule, 5)] } else { Vec::new() }
    }

    fn put(&self, entropy: &mut Entropy, tasks: &[Task]) -> Put {
        let (text, missed) = one(entropy, &NAMES);
        let (cron, timezone) = one(
            entropy,
            &[("0 * * * *", "UTC"), ("30 2,14 * * *", "Europe/Berlin"), ("*/20 * * * *", "UTC")],
        );
        let orgs = ["acme", "blue", "cyan"].map(name);
        let count = 1 + entropy.below(3) as usize;
        let items = Work::Items { text: b"[1,2,3]".to_vec(), items: 3, shard_size: Some(2) };
        let wanted = Wanted {
            cron: cron.to_owned(),
            timezone: timezone.to_owned(),
            task: one(entropy, tasks).name,
            work: one(entropy, &[Work::Payload(None), Work::Payload(None), items]),
            orgs: orgs[..count].to_vec(),
            env: name("prod"),
            spread: one(entropy, &[Span::ZERO, Span::from_mins(15)]),
            missed,
        };
        let paused = one(entropy, &[None, None, Some(false), Some(true)]);
        Put { name: name(text), wanted, paused, by: "api".to_owned() }
    }

    fn next(&self, entropy: &mut Entropy, tasks: &[Task]) -> Command {
        let (text, _) = one(entropy, &NAMES);
        match entropy.below(10) {
            0 => Command::PauseSchedule(name(text), true),
            1 | 2 => Command::PauseSchedule(name(text), false),
            3 | 4 => Command::RunSchedule(name(text)),
            5 => Command::DeleteSchedule(name(text)),
            _ => Command::PutSchedule(Box::new(self.put(entropy, tasks))),
        }
    }

    /// Whatever anybody was told.
    pub fn told(&mut self, command: &Command, said: &Said, now: Time) {
        match (command, said) {
            (Command::PauseSchedule(name, false), Said::Unpaused(was)) if *was => {
                let passed = self.passed.entry(name.clone()).or_default();
                *passed = (*passed).max(now);
                self.met.paused += 1;
            }
            (Command::RunSchedule(_), Said::Round(round)) => {
                assert!(round.made + round.failing > 0, "a run by hand tried nobody: {round:?}");
            }
            _ => {}
        }
    }

    /// Looks at every schedule that there is.
    pub fn check(&mut self, view: &dyn Rows, runs: &BTreeMap<RunId, Run>) {
        one_run_of_a_window(view, runs);
        for progress in all(view) {
            if progress.deleted {
                continue;
            }
            let about = format!("schedule {}", progress.name);
            let passed = self.passed.entry(progress.name.clone()).or_default();
            assert!(*passed <= progress.passed, "{about}: windows went back from {passed:?}");
            *passed = progress.passed;
            self.check_pause(&progress);
            let schedule = rows::get(view, &progress.name).expect("a schedule can be read");
            let schedule = schedule.unwrap_or_else(|| panic!("{about} has only its progress"));
            let found = rounds::newest(view, progress.id, ROUNDS_KEPT).expect("rounds");
            for round in &found {
                self.saw(round);
                check_round(view, round, schedule.wanted.missed, runs);
            }
        }
    }

    fn check_pause(&mut self, progress: &Progress) {
        let Some(stamp) = &progress.paused else {
            self.paused.remove(&progress.name);
            return;
        };
        let now = (stamp.clone(), progress.passed);
        let first = self.paused.entry(progress.name.clone()).or_insert_with(|| now.clone());
        // Another pause, or a change of its times, begins to count anew.
        if first.0 != now.0 {
            *first = now;
        } else {
            assert!(progress.next.is_none_or(|next| next > progress.passed));
        }
    }

    fn saw(&mut self, round: &Round) {
        let mut first = |what: u8, is: bool| is && self.seen.insert((round.id, what));
        let is_window = round.window.is_some();
        self.met.begun += usize::from(first(0, is_window));
        self.met.made_up +=
            usize::from(first(1, round.missed > 0 && round.state != RoundState::Skipped));
        self.met.skipped += usize::from(first(2, round.state == RoundState::Skipped));
        self.met.by_hand += usize::from(first(3, !is_window));
        self.met.failing += usize::from(first(4, round.failing > 0));
        self.met.given_up += usize::from(first(5, round.state == RoundState::GivenUp));
    }
}

fn all(view: &dyn Rows) -> Vec<Progress> {
    let ids = keys(view, Table::ScheduleProgress).into_iter();
    let read = |key: Vec<u8>| rows::progress(view, last_id(&key).expect("an id"));
    ids.filter_map(|key| read(key).expect("progress can be read")).collect()
}

/// The timers of schedules.
pub fn timers(view: &dyn Rows) -> Vec<(Time, Id)> {
    all(view).into_iter().filter_map(|found| Some((found.due_at?, found.id))).collect()
}

/// Counted over all runs and sharded runs that there are, whatever rounds say.
fn one_run_of_a_window(view: &dyn Rows, runs: &BTreeMap<RunId, Run>) {
    let mut seen = BTreeSet::new();
    for run in runs.values().filter(|run| run.replay_of.is_none()) {
        let Some((schedule, window)) = schedule_of(run) else { continue };
        let window = window.map(|window| (run.org.to_string(), schedule, window));
        assert!(window.clone().is_none_or(|one| seen.insert(one)), "two runs of {window:?}");
    }
    for head in sharded::newest(view, None, usize::MAX).expect("sharded runs can be read") {
        if let (Some(schedule), Some(window)) = (head.schedule, head.window) {
            let one = (head.org.to_string(), schedule, window);
            assert!(seen.insert(one.clone()), "a run and a sharded run, or two, of {one:?}");
        }
    }
}

/// Schedule and window that a run says it is of.
pub fn schedule_of(run: &Run) -> Option<(String, Option<String>)> {
    let about: serde_json::Value = serde_json::from_str(run.metadata.as_ref()?).ok()?;
    let schedule = about.get("schedule")?.as_str()?.to_owned();
    Some((schedule, about["window"].as_str().map(str::to_owned)))
}

fn check_round(view: &dyn Rows, round: &Round, missed: Missed, runs: &BTreeMap<RunId, Run>) {
    let about = format!("{round:?}");
    if let Some(window) = round.window {
        let late = round.begun.at.since(window);
        assert!(window <= round.begun.at, "begun before its time: {about}");
        let is_skipped = round.state == RoundState::Skipped;
        match missed {
            Missed::Once => assert!(!is_skipped, "{about}"),
            Missed::Skip => assert_eq!(is_skipped, late > LATE_MAX, "{about}"),
        }
    }
    let slots = rounds::slots(view, round, None, usize::MAX).expect("slots can be read");
    let failing = slots.iter().filter(|slot| slot.got.is_nothing()).count();
    assert_eq!(failing, round.failing as usize, "failing of {about}");
    assert_eq!(slots.len() - failing, round.made as usize, "made of {about}");
    assert!(round.state != RoundState::Done || failing == 0, "{about}");
    for slot in slots {
        match slot.got {
            Got::Run(id) => {
                let run = runs.get(&id).unwrap_or_else(|| panic!("run {id} is lost: {about}"));
                assert_eq!(run.org, slot.org, "{about}");
            }
            Got::Sharded(id) => {
                let head = sharded::get(view, id).expect("a sharded run can be read");
                assert_eq!(head.map(|head| head.org), Some(slot.org), "{about}");
            }
            Got::Nothing { .. } => {}
        }
    }
}

impl World {
    /// Someone does something about a schedule.
    pub fn schedule(&mut self) {
        let deaf = if once_in(&mut self.entropy, 8) { Who::DeafClient } else { Who::Client };
        let tasks = self.workload.tasks.clone();
        let command = self.scheduling.next(&mut self.entropy, &tasks);
        self.ask(command, deaf);
    }

    /// All is well from now on: tasks are there, nothing is paused, and no window begins any more.
    pub fn heal_schedules(&mut self) {
        if !self.scheduling.on {
            return;
        }
        self.scheduling.healing = true;
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        let mut commands = Vec::new();
        for task in &self.workload.tasks {
            if task_rows::get(&view, &task.name).expect("a task can be read").is_none() {
                commands.push(Command::PutTask(Box::new(task.clone())));
            }
        }
        for schedule in rows::list(&view, None, usize::MAX - 1).expect("schedules can be read") {
            let cron = HARDLY_EVER.to_owned();
            let (wanted, by) = (Wanted { cron, ..schedule.wanted }, "api".to_owned());
            let put = Put { name: schedule.name, wanted, paused: Some(false), by };
            commands.push(Command::PutSchedule(Box::new(put)));
        }
        drop(view);
        for command in commands {
            self.ask(command, Who::Client);
        }
    }

    /// Once every org of its open rounds has its run, a schedule goes.
    pub fn end_schedules(&mut self) {
        if !self.scheduling.healing || !self.queue.is_empty() {
            return;
        }
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        let idle: Vec<Name> = all(&view)
            .into_iter()
            .filter(|found| !found.deleted && found.round.is_none() && found.manual.is_none())
            .map(|found| found.name)
            .collect();
        drop(view);
        for name in idle {
            self.ask(Command::DeleteSchedule(name), Who::Client);
        }
    }

    /// Schedules that are not over.
    pub fn open_schedules(&self) -> String {
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        all(&view).iter().map(|found| format!("{found:?}; ")).collect()
    }
}
