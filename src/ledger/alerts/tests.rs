//! Acts on alerts over a store in memory.

use std::sync::Arc;

use super::deliver::{Failed, next_due, retry, settle};
use super::look::{Look, look};
use super::silences::{Create, Until, create, end};
use super::*;
use crate::base::id::Id;
use crate::base::time::Time;
use crate::ledger::fleet::{Beat, beat, shutdown, tick::tick};
use crate::ledger::testing::World;
use crate::model::alert::message::Message;
use crate::model::alert::{Channel, Settings, reading};
use crate::model::refusal::Code;
use crate::model::retry::Trouble;
use crate::model::sample::{Metric, Sample};
use crate::store::kinds::{alert as rows, alert_message as messages, silence as silence_rows};

/// A world whose dead letters, callbacks and workers are looked at.
struct House {
    world: World,
    settings: Arc<Settings>,
    sample: Sample,
    watched_since: Time,
}

impl House {
    fn new() -> House {
        let channels = vec![Channel::Slack, Channel::Webhook];
        let settings = Arc::new(Settings { channels, ..Settings::default() });
        let world = World::new();
        let watched_since = world.now.minus(Span::from_hours(1));
        House { world, settings, sample: Sample::default(), watched_since }
    }

    fn value(&mut self, metric: Metric, value: f64) -> &mut House {
        self.sample.put(metric, "", value);
        self
    }

    fn after(&mut self, span: Span) -> &mut House {
        self.world.now = self.world.now.plus(span);
        self
    }

    /// A look; gives how many messages it made.
    fn look(&mut self) -> usize {
        let (settings, sample) = (self.settings.clone(), Arc::new(self.sample.clone()));
        let reading = reading::read(&settings.rules, &sample);
        let wanted = Look { settings, sample, reading, watched_since: self.watched_since };
        self.world.act(|tx| look(tx, wanted)).unwrap()
    }

    fn messages(&self, channel: Channel) -> Vec<Message> {
        self.world.ask(|view| messages::list(view, channel, MESSAGES_MAX).unwrap())
    }

    fn titles(&self) -> Vec<String> {
        self.messages(Channel::Slack).iter().map(|message| message.draft.title()).collect()
    }

    fn settle(&mut self, id: Id, outcome: Result<(), Failed>) {
        self.world.act(|tx| settle(tx, Channel::Slack, id, outcome)).unwrap();
    }

    fn beat(&mut self, consumer: &str) {
        let beat_of = Beat {
            stream: "arax".to_owned(),
            consumer: consumer.to_owned(),
            started_at: None,
            task_limit: 1,
            info: None,
        };
        self.world.act(|tx| beat(tx, beat_of)).unwrap();
        self.judge();
    }

    fn judge(&mut self) {
        let since = self.watched_since;
        self.world.act(|tx| tick(tx, &Default::default(), since)).unwrap();
    }
}

fn refused() -> Failed {
    let error = "it answered 500: no".to_owned();
    Failed { error, trouble: Trouble::Other, retry_after: None }
}

#[test]
fn s29_state_and_message_are_one_transaction() {
    let mut house = House::new();
    house.value(Metric::Callbacks, 101.0);
    assert_eq!(house.look(), 0);
    house.after(Span::from_mins(2));
    assert_eq!(house.look(), 1);
    for channel in [Channel::Slack, Channel::Webhook] {
        assert_eq!(house.messages(channel).len(), 1, "{channel:?}");
    }
    assert_eq!(house.messages(Channel::Mail), [], "it is not configured");
    let line = house.world.ask(|view| messages::lines(view, None, 9).unwrap()).remove(0).1;
    assert_eq!(line.message, Some(house.messages(Channel::Slack)[0].id));
    assert_eq!(house.messages(Channel::Slack)[0].id, house.messages(Channel::Webhook)[0].id);
}

/// 35: the same look twice tells nothing twice, and one without a change leaves no trace.
#[test]
fn s35_the_same_look_twice_changes_nothing() {
    let mut house = House::new();
    house.value(Metric::BackupAgeSeconds, 1e6).value(Metric::OutboxDead, 3.0);
    assert_eq!(house.look(), 1);
    let before = house.world.dump();
    assert_eq!(house.look(), 0);
    house.after(Span::from_secs(3)).look();
    assert_eq!(house.world.dump(), before);
}

#[test]
fn failed_messages_are_tried_again_and_then_given_up() {
    let mut house = House::new();
    house.value(Metric::DiskUsedPercent, 85.0);
    house.look();
    house.after(Span::from_mins(2)).look();
    let id = house.messages(Channel::Slack)[0].id;
    let mut attempts = 0;
    while house.messages(Channel::Slack)[0].dead_at.is_none() {
        let (due, next) =
            house.world.ask(|view| next_due(view, Channel::Slack, house.world.now).unwrap());
        match due {
            Some(message) => {
                attempts += 1;
                house.settle(message.id, Err(refused()));
            }
            None => house.world.now = next.expect("it is tried again"),
        }
        assert!(attempts < 100, "it is given up some day");
    }
    let dead = house.messages(Channel::Slack).remove(0);
    assert_eq!((dead.id, dead.last_error.as_str()), (id, "it answered 500: no"));
    assert!(dead.attempts > 20, "for a day: {}", dead.attempts);
    // The other channel knows nothing of it.
    assert_eq!(house.messages(Channel::Webhook)[0].attempts, 0);
    let health = house.world.ask(|view| rows::health(view, Channel::Slack).unwrap());
    assert_eq!((health.sent, health.last_error.as_str()), (0, "it answered 500: no"));
}

#[test]
fn messages_that_were_given_up_can_be_tried_again() {
    let mut house = House::new();
    house.value(Metric::BackupAgeSeconds, 1e6);
    house.look();
    let id = house.messages(Channel::Slack)[0].id;
    while house.messages(Channel::Slack)[0].dead_at.is_none() {
        house.settle(id, Err(refused()));
        house.after(Span::from_hours(1));
    }
    let only_slack = [Channel::Slack];
    assert_eq!(house.world.act(|tx| retry(tx, &only_slack, id)).unwrap(), only_slack);
    let told = house.messages(Channel::Slack).remove(0);
    assert_eq!((told.dead_at, told.attempts, told.due_at), (None, 0, house.world.now));
    assert_eq!(told.last_error, "it answered 500: no", "it stays to be seen");
    // Asked twice, and of one that waits: it goes out at once, and its attempts count on.
    house.settle(id, Err(refused()));
    let both = [Channel::Slack, Channel::Webhook];
    assert_eq!(house.world.act(|tx| retry(tx, &both, id)).unwrap(), both);
    let told = house.messages(Channel::Slack).remove(0);
    assert_eq!((told.attempts, told.due_at), (1, house.world.now));
    // What was delivered is gone.
    house.settle(id, Ok(()));
    let refusal = house.world.act(|tx| retry(tx, &only_slack, id)).unwrap_err();
    assert_eq!(refusal.code, Code::AlertMessageNotFound);
}

#[test]
fn delivered_messages_go_and_a_repeat_is_harmless() {
    let mut house = House::new();
    house.value(Metric::DiskUsedPercent, 85.0);
    house.look();
    house.after(Span::from_mins(2)).look();
    let id = house.messages(Channel::Slack)[0].id;
    house.settle(id, Ok(()));
    house.settle(id, Err(refused()));
    assert_eq!(house.messages(Channel::Slack), []);
    let health = house.world.ask(|view| rows::health(view, Channel::Slack).unwrap());
    assert_eq!(health.sent, 1);
}

#[test]
fn s13_crash_and_stop_are_told_by_the_fleet() {
    for (says_so, word) in [(false, "crashed"), (true, "stopped")] {
        let mut house = House::new();
        house.beat("w1");
        assert_eq!(house.look(), 0);
        if says_so {
            house.world.act(|tx| shutdown(tx, "arax", "w1")).unwrap();
        } else {
            house.after(Span::from_secs(20));
        }
        house.judge();
        assert_eq!(house.look(), 0, "the debounce");
        house.after(Span::from_secs(6));
        assert_eq!(house.look(), 1);
        let draft = house.messages(Channel::Slack).remove(0).draft;
        assert_eq!(draft.title(), "critical: workers-gone: arax");
        assert!(draft.items[0].detail.contains(word), "{:?}", draft.items);
        house.beat("w2");
        assert_eq!(house.look(), 1);
        assert_eq!(house.titles()[1], "resolved: workers-gone: arax");
    }
}

/// 31: an event between two looks is not lost, and no look takes it twice.
#[test]
fn s31_events_between_looks_are_told_once() {
    let mut house = House::new();
    house.beat("w1");
    house.look();
    house.after(Span::from_secs(20)).judge();
    house.beat("w2");
    house.look();
    house.after(Span::from_secs(6));
    assert_eq!(house.look(), 1);
    let draft = house.messages(Channel::Slack).remove(0).draft;
    assert!(draft.items[0].detail.contains("there are workers again"), "{:?}", draft.items);
    for _ in 0..10 {
        house.after(Span::from_secs(3));
        house.beat("w2");
        assert_eq!(house.look(), 0);
    }
}

#[test]
fn s14_nobody_is_missed_during_the_grace() {
    let mut house = House::new();
    house.beat("w1");
    house.look();
    // The appliance was off for an hour, and so were its workers.
    house.after(Span::from_hours(1));
    house.watched_since = house.world.now;
    for _ in 0..29 {
        house.after(Span::from_secs(3)).judge();
        assert_eq!(house.look(), 0);
    }
    house.after(Span::from_secs(3)).look();
    house.after(Span::from_secs(6));
    assert_eq!(house.look(), 1, "still gone when the grace ends");
}

#[test]
fn history_is_bounded_by_count_and_age() {
    let mut house = House::new();
    for round in 0..150 {
        house.value(Metric::BackupAgeSeconds, f64::from(round % 2) * 1e6);
        house.after(Span::from_mins(30)).look();
        house.value(Metric::DiskUsedPercent, f64::from(round % 2) * 95.0);
    }
    let lines = |house: &House| house.world.ask(|view| messages::lines(view, None, 999).unwrap());
    let many = lines(&house).len();
    assert!((100..=LINES_KEPT).contains(&many), "{many}");
    house.sample = Sample::default();
    house.after(Span::from_days(31)).look();
    house.after(Span::from_secs(3)).look();
    assert!(lines(&house).len() <= 2, "{:?}", lines(&house).len());
}

#[test]
fn messages_of_a_dead_channel_are_bounded() {
    let mut house = House::new();
    for round in 0..700 {
        house.value(Metric::BackupAgeSeconds, f64::from(round % 2) * 1e6);
        house.after(Span::from_mins(11)).look();
    }
    let all = house.messages(Channel::Slack);
    let dead = all.iter().filter(|message| message.dead_at.is_some()).count();
    assert_eq!((all.len() - dead, dead), (WAITING_MAX, DEAD_KEPT));
    // One that is tried again takes the place of the oldest that waits.
    let again = all.iter().rfind(|message| message.dead_at.is_some()).unwrap().id;
    house.world.act(|tx| retry(tx, &[Channel::Slack], again)).unwrap();
    let all = house.messages(Channel::Slack);
    let dead = all.iter().filter(|message| message.dead_at.is_some()).count();
    assert_eq!((all.len() - dead, dead), (WAITING_MAX, DEAD_KEPT - 1));
    assert!(all.iter().any(|message| message.id == again && message.dead_at.is_none()));
    // Once a channel is not configured any more, nothing waits for it.
    house.settings = Arc::new(Settings::default());
    house.look();
    let left = house.messages(Channel::Slack);
    assert!(left.iter().all(|m| m.dead_at.is_some()) && left.len() <= DEAD_KEPT, "{}", left.len());
}

#[test]
fn silences_begin_and_end() {
    let mut house = House::new();
    let wanted = |until| Create {
        rule: Some("backup-old".to_owned()),
        subject: None,
        from: None,
        until,
        reason: "move".to_owned(),
        by: "ann".to_owned(),
    };
    let hour = Until::For(Span::from_hours(1));
    let silence = house.world.act(|tx| create(tx, wanted(hour))).unwrap();
    house.value(Metric::BackupAgeSeconds, 1e6);
    assert_eq!(house.look(), 0);
    house.world.act(|tx| end(tx, silence.id)).unwrap();
    assert_eq!(house.look(), 1);
    let refusal = house.world.act(|tx| end(tx, silence.id)).unwrap_err();
    assert_eq!(refusal.code, Code::SilenceNotFound);

    let past = Until::At(house.world.now);
    assert_eq!(
        house.world.act(|tx| create(tx, wanted(past))).unwrap_err().code,
        Code::InvalidField
    );
    for _ in 0..SILENCES_MAX {
        house.world.act(|tx| create(tx, wanted(hour))).unwrap();
    }
    let refusal = house.world.act(|tx| create(tx, wanted(hour))).unwrap_err();
    assert_eq!(refusal.code, Code::TooManySilences);
    house.after(Span::from_hours(1)).look();
    assert_eq!(house.world.ask(|view| silence_rows::list(view, 9).unwrap()), []);
}
