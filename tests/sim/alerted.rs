//! Alerts while the power goes whenever it likes: whoever is said to have been told gets a message,
//! there is no second one within the cooldown, and one that it is well again for each firing.
//!
//! The receiver here knows messages by their id, as a good one does; deliveries that were made and
//! not settled come again and are the same message.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate::base::entropy::Entropy;
use tidegate::base::id::Id;
use tidegate::base::time::{Span, Time};
use tidegate::ledger::alerts::deliver::{Failed, next_due, settle};
use tidegate::ledger::alerts::look::{Look, look};
use tidegate::ledger::fleet::tick::tick;
use tidegate::ledger::fleet::{Beat, beat, shutdown};
use tidegate::model::alert::message::Message;
use tidegate::model::alert::rule::Written;
use tidegate::model::alert::rules::Rules;
use tidegate::model::alert::{Channel, Phase, Settings, What, reading};
use tidegate::model::retry::Trouble;
use tidegate::model::sample::{Metric, Sample};
use tidegate::store::kinds::{alert as rows, alert_message as messages};

use crate::disk::Trouble as DiskTrouble;
use crate::keep::Process;
use crate::mix::{once_in, one};

const SEEDS: u64 = 60;
const TURNS: u32 = 150;
const COOLDOWN: Span = Span::from_secs(60);
/// Looks and deliveries after which everything must have come to rest.
const QUIET_TURNS: u32 = 100;
const STREAMS: [&str; 2] = ["a", "b:c"];

fn settings() -> Arc<Settings> {
    let rule = |text: &str| {
        toml::from_str::<Written>(text).expect("it can be read").check().expect("it is good")
    };
    let rules = Rules::only(vec![
        rule(
            "name = 'backlog'\nmetric = 'stream_length'\nstream = '*'\nthreshold = 5\n\
             duration = '10s'\ncooldown = '60s'\nreminder = '5m'",
        ),
        rule("name = 'gone'\ntype = 'workers_gone'\nworker = '*'\ncooldown = '60s'\nreminder = 0"),
    ]);
    Arc::new(Settings { rules, channels: vec![Channel::Slack], ..Settings::default() })
}

/// What happens to one seed.
struct Life {
    process: Process,
    entropy: Entropy,
    settings: Arc<Settings>,
    sample: Sample,
    watched_since: Time,
    /// What the receiver got, by id.
    received: BTreeMap<Id, Message>,
    repeats: u32,
    failing: bool,
}

impl Life {
    fn begin(seed: u64) -> Life {
        let process = Process::start();
        let watched_since = process.now;
        Life {
            process,
            entropy: Entropy::from_seed(seed),
            settings: settings(),
            sample: Sample::default(),
            watched_since,
            received: BTreeMap::new(),
            repeats: 0,
            failing: false,
        }
    }

    fn turn(&mut self) {
        match self.entropy.below(12) {
            0 => {
                let value = one(&mut self.entropy, &[0.0, 9.0]);
                let stream = one(&mut self.entropy, &STREAMS);
                self.sample.put(Metric::StreamLength, stream, value);
            }
            1 => self.beat(),
            2 => self.part(),
            3 => self.failing = once_in(&mut self.entropy, 3),
            4 => {
                let nth = 1 + self.entropy.below(9);
                self.process.machine.disk().fail_at(nth, DiskTrouble::PowerOff);
            }
            5..=8 => self.look(),
            _ => self.deliver(),
        }
        let step = one(&mut self.entropy, &[0, 1, 3, 20]);
        self.process.now = self.process.now.plus(Span::from_secs(step));
    }

    /// A command; a process that lost its power begins a new grace.
    fn act<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut tidegate::store::tx::Tx<'_>) -> Result<T, tidegate::store::fault::Stop>
        + Send
        + 'static,
    ) -> Option<T> {
        let done = self.process.act(act);
        if done.is_none() {
            self.watched_since = self.process.now;
        }
        done
    }

    fn beat(&mut self) {
        let stream = one(&mut self.entropy, &STREAMS).to_owned();
        let sign =
            Beat { stream, consumer: "w".to_owned(), started_at: None, task_limit: 1, info: None };
        self.act(move |tx| beat(tx, sign).map(drop));
        self.judge();
    }

    /// A worker says that it goes, if it ever came.
    fn part(&mut self) {
        let stream = one(&mut self.entropy, &STREAMS);
        self.act(move |tx| Ok(tx.attempt(|tx| shutdown(tx, stream, "w").map(drop))?.is_ok()));
        self.judge();
    }

    fn judge(&mut self) {
        let since = self.watched_since;
        self.act(move |tx| tick(tx, &Default::default(), since).map(drop));
    }

    fn look(&mut self) {
        self.judge();
        let (settings, sample) = (self.settings.clone(), Arc::new(self.sample.clone()));
        let reading = reading::read(&settings.rules, &sample);
        let wanted = Look { settings, sample, reading, watched_since: self.watched_since };
        self.act(move |tx| look(tx, wanted).map(drop));
    }

    /// One attempt, which may fail, and may be forgotten after it was made.
    fn deliver(&mut self) {
        let now = self.process.now;
        let due = self.process.ask(|view| next_due(view, Channel::Slack, now));
        let Ok((Some(message), _)) = due else { return };
        let outcome = if self.failing {
            let error = "it answered 500".to_owned();
            Err(Failed { error, trouble: Trouble::Other, retry_after: None })
        } else {
            self.repeats += u32::from(self.received.insert(message.id, message.clone()).is_some());
            Ok(())
        };
        self.act(move |tx| settle(tx, Channel::Slack, message.id, outcome));
    }

    /// Everything works again, and what is breached stays so.
    fn come_to_rest(&mut self) {
        self.process.machine.disk().heal();
        self.failing = false;
        for _ in 0..QUIET_TURNS {
            self.look();
            for _ in 0..3 {
                self.deliver();
            }
            self.process.now = self.process.now.plus(Span::from_secs(3));
        }
        // What failed often waits for longer.
        let next = |life: &Life| {
            let now = life.process.now;
            life.process.ask(|view| next_due(view, Channel::Slack, now)).expect("messages").1
        };
        while let Some(due) = next(self) {
            self.process.now = self.process.now.max(due);
            self.deliver();
        }
    }

    /// Messages by alert, in the order in which they were made.
    fn told(&self) -> BTreeMap<(String, String), Vec<(Time, What)>> {
        let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for message in self.received.values() {
            for item in &message.draft.items {
                let key = (item.rule.clone(), item.subject.clone());
                told.entry(key).or_default().push((message.created_at, message.draft.what));
            }
        }
        told
    }

    fn check(&self, seed: u64) {
        let lines = self.process.ask(|view| messages::lines(view, None, 200)).expect("lines");
        for (_, line) in &lines {
            let id = line.message.expect("nothing is silenced here");
            assert!(self.received.contains_key(&id), "seed {seed}: nobody got {line:?}");
        }
        for (key, told) in self.told() {
            let mut last: Option<Time> = None;
            let mut is_told = false;
            for (at, what) in &told {
                match what {
                    What::Firing => {
                        let spaced = last.is_none_or(|last| at.since(last) >= COOLDOWN);
                        assert!(spaced, "seed {seed}: {key:?} within its cooldown: {told:?}");
                        (last, is_told) = (Some(*at), true);
                    }
                    What::Reminder => {
                        assert!(is_told, "seed {seed}: {key:?}: {told:?}");
                        last = Some(*at);
                    }
                    What::Resolved => {
                        assert!(is_told, "seed {seed}: {key:?} is well twice: {told:?}");
                        is_told = false;
                    }
                    What::Dropped => panic!("seed {seed}: no rule is removed"),
                }
            }
        }
        let alerts = self.process.ask(|view| rows::list(view, 99)).expect("alerts");
        for stream in STREAMS {
            let breached = self.sample.get(Metric::StreamLength, stream) == Some(9.0);
            let alert = alerts.get(&("backlog".to_owned(), stream.to_owned()));
            let fires = alert.is_some_and(|a| a.phase == Phase::Firing && a.told_at.is_some());
            assert_eq!(fires, breached, "seed {seed}: {stream} in the end: {alert:?}");
        }
        let waiting = self.process.ask(|view| messages::list(view, Channel::Slack, 99));
        assert!(waiting.expect("messages").is_empty(), "seed {seed}: something still waits");
    }
}

#[test]
fn s29_whoever_is_told_gets_a_message_whenever_the_power_goes() {
    let (mut received, mut repeats) = (0, 0);
    for seed in 0..crate::setting("TIDEGATE_SIM_SEEDS").unwrap_or(SEEDS).max(SEEDS) {
        let mut life = Life::begin(seed);
        for _ in 0..TURNS {
            life.turn();
        }
        life.come_to_rest();
        life.check(seed);
        received += life.received.len();
        repeats += life.repeats;
    }
    assert!(received > 200 && repeats > 5, "it met too little: {received} {repeats}");
}
