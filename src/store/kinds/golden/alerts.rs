//! Golden rows of alerts.

use super::id;
use crate::base::time::Time;
use crate::model::alert::message::{Draft, Item, Message};
use crate::model::alert::silence::Silence;
use crate::model::alert::{Alert, Channel, ChannelHealth, Line, Mark, Phase, Severity, What};
use crate::store::kinds::{alert, alert_message, silence};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn an_alert() -> Alert {
    Alert {
        rule: "stream-backlog".to_owned(),
        subject: "a:b,c".to_owned(),
        phase: Phase::Firing,
        severity: Severity::Critical,
        since: Time(1_101),
        fired_at: Some(Time(1_102)),
        resolved_at: Some(Time(1_103)),
        told_at: Some(Time(1_104)),
        messaged_at: Some(Time(1_105)),
        silenced: true,
        detail: "much".to_owned(),
    }
}

fn a_mark() -> Mark {
    Mark { value: 1.5, grew_at: Some(Time(1_106)) }
}

fn a_line() -> Line {
    Line {
        at: Time(1_107),
        what: What::Dropped,
        rule: "stream-backlog".to_owned(),
        subject: "a:b,c".to_owned(),
        severity: Severity::Info,
        detail: "much".to_owned(),
        silenced: true,
        message: Some(id(31)),
    }
}

fn a_message() -> Message {
    let item = Item {
        rule: "stream-backlog".to_owned(),
        subject: "a:b,c".to_owned(),
        severity: Severity::Warning,
        detail: "much".to_owned(),
        since: Time(1_108),
    };
    Message {
        id: id(31),
        draft: Draft { what: What::Reminder, items: vec![item], more: 1_109 },
        created_at: Time(1_110),
        due_at: Time(1_111),
        attempts: 1_112,
        first_attempt_at: Some(Time(1_113)),
        last_error: "no".to_owned(),
        dead_at: Some(Time(1_114)),
    }
}

fn a_health() -> ChannelHealth {
    ChannelHealth {
        sent: 1_115,
        last_success_at: Some(Time(1_116)),
        last_error_at: Some(Time(1_117)),
        last_error: "no".to_owned(),
    }
}

fn a_silence() -> Silence {
    Silence {
        id: id(32),
        rule: Some("disk-*".to_owned()),
        subject: Some("a".to_owned()),
        from: Time(1_118),
        until: Time(1_119),
        reason: "move".to_owned(),
        by: "ann".to_owned(),
        created_at: Time(1_120),
    }
}

pub fn write(tx: &mut Tx<'_>) {
    alert::put(tx, &an_alert());
    alert::put_mark(tx, &an_alert().key(), &a_mark());
    alert::put_health(tx, Channel::Webhook, &a_health());
    alert::put_cursor(tx, id(33));
    alert_message::tell(tx, &a_line());
    alert_message::put(tx, Channel::Mail, &a_message());
    silence::put(tx, &a_silence());
}

pub fn check(rows: &dyn Rows) {
    let key = an_alert().key();
    assert_eq!(alert::list(rows, 9).unwrap().get(&key), Some(&an_alert()));
    assert_eq!(alert::marks(rows, 9).unwrap().get(&key), Some(&a_mark()));
    assert_eq!(alert::health(rows, Channel::Webhook).unwrap(), a_health());
    assert_eq!(alert::cursor(rows).unwrap(), Some(id(33)));
    assert_eq!(alert_message::lines(rows, None, 9).unwrap()[0].1, a_line());
    assert_eq!(alert_message::list(rows, Channel::Mail, 9).unwrap(), [a_message()]);
    assert_eq!(silence::list(rows, 9).unwrap(), [a_silence()]);
}
