//! `GET /alerts`, the form of silences, and tests of channels, whose answer is shown once.

use std::collections::BTreeMap;

use axum::extract::{Path, State};

use super::form::Form;
use super::html;
use super::look::Look;
use crate::appliance::alerts::{ChannelView, Create, LINES_KEPT};
use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::front::dashboard::alerts::{
    AlertRow, AlertsPage, ChannelRow, DeadMessage, LineRow, RuleRow, SilenceRow, TestRow,
    channel_badge, length, severity_badge, what_badge,
};
use crate::front::dashboard::parts::{Badge, Tone, When};
use crate::front::dashboard::text;
use crate::front::http::alerts::{TestedJson, read_until, retry_message, send_test};
use crate::front::http::error::Answer;
use crate::front::http::outbox::parse_id;
use crate::front::http::state::Front;
use crate::model::alert::rule::{Condition, Rule};
use crate::model::alert::rules::Rules;
use crate::model::alert::said::value_with_unit;
use crate::model::alert::silence::{SILENCE_MAX, Silence, Window};
use crate::model::alert::{Alert, Line, Phase};
use crate::model::cron::words as cron_words;
use crate::model::refusal::Refusal;
use crate::model::sample::{Metric, Sample};

/// Who asks through pages, unless they say so.
const BY: &str = "operator";
/// Messages that were given up, for each channel.
const DEAD_SHOWN: usize = 5;
/// Alerts of one rule.
const SHOWN_OF_RULE: u64 = 20;
/// Lines of the history.
const LINES_SHOWN: usize = 100;
const _: () = assert!(LINES_SHOWN <= LINES_KEPT);

pub async fn show(State(front): State<Front>) -> Answer {
    Ok(html(200, &page(&front)?))
}

pub async fn test(State(front): State<Front>, Form { mut fields, .. }: Form) -> Answer {
    let channel = fields.text("channel");
    fields.end()?;
    let tested = send_test(&front, channel.as_deref()).await?;
    let mut page = page(&front)?;
    page.shell.live = false;
    page.tests = tested.into_iter().map(test_row).collect();
    Ok(html(200, &page))
}

pub async fn retry(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { mut fields, back, .. }: Form,
) -> Answer {
    let channel = fields.text("channel");
    fields.end()?;
    retry_message(&front, channel.as_deref(), &id).await?;
    Ok(back.or("/alerts#channels"))
}

pub async fn silence(State(front): State<Front>, Form { mut fields, back, .. }: Form) -> Answer {
    let (rule, subject) = (fields.text("rule"), fields.text("subject"));
    let until = read_until(None, fields.span("for", SILENCE_MAX)?)?;
    let reason = fields.text("reason").unwrap_or_default();
    let by = fields.text("by").unwrap_or_else(|| BY.to_owned());
    fields.end()?;
    let command = Create { rule, subject, from: None, until, reason, by };
    front.appliance.create_silence(command).await?;
    Ok(back.or("/alerts#silences"))
}

pub async fn end_silence(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    fields.end()?;
    front.appliance.end_silence(parse_id(&id)?).await?;
    Ok(back.or("/alerts#silences"))
}

fn page(front: &Front) -> Result<AlertsPage, Refusal> {
    let look = Look::take(front)?;
    let (view, now) = (front.appliance.alerts(LINES_SHOWN)?, look.now);
    let settings = front.appliance.alert_settings();
    let of = |phase| {
        let found = view.alerts.iter().filter(move |alert| alert.phase == phase);
        rows(front, found, now)
    };
    let (firing, firing_more) = first_of_each(of(Phase::Firing));
    Ok(AlertsPage {
        shell: look.shell(front, "Alerts", "/alerts", "/alerts".to_owned()),
        firing,
        firing_more,
        pending: of(Phase::Pending),
        can_test: view.channels.iter().any(|channel| channel.configured),
        channels: view.channels.iter().map(|channel| channel_row(channel, now)).collect(),
        tests: Vec::new(),
        silences: view
            .silences
            .iter()
            .map(|silence| silence_row(silence, now))
            .chain(settings.maintenance.iter().map(|window| window_row(window, now)))
            .collect(),
        rules: settings.rules.iter().map(rule_row).collect(),
        rules_off: settings.rules.off().to_vec(),
        history: view.lines.iter().map(|line| line_row(line, now)).collect(),
    })
}

/// Alerts as pages show them, with what is measured now.
pub fn rows<'a>(front: &Front, found: impl Iterator<Item = &'a Alert>, now: Time) -> Vec<AlertRow> {
    let (settings, sample) = (front.appliance.alert_settings(), front.appliance.newest_sample());
    let with_current = |alert| AlertRow {
        current: current(&settings.rules, sample.as_deref(), alert),
        ..row(alert, now)
    };
    found.map(with_current).collect()
}

/// The first alerts of each rule, and how many more each has: three hundred workers must not hide a disk.
pub fn first_of_each(rows: Vec<AlertRow>) -> (Vec<AlertRow>, Vec<(String, u64)>) {
    let (mut shown, mut seen) = (Vec::new(), BTreeMap::<String, u64>::new());
    for row in rows {
        let seen = seen.entry(row.rule.clone()).or_default();
        *seen += 1;
        if *seen <= SHOWN_OF_RULE {
            shown.push(row);
        }
    }
    let more = seen.into_iter().filter(|(_, seen)| *seen > SHOWN_OF_RULE);
    (shown, more.map(|(rule, seen)| (rule, seen - SHOWN_OF_RULE)).collect())
}

/// The value by the newest sample, if that is another than what was found.
fn current(rules: &Rules, sample: Option<&Sample>, alert: &Alert) -> String {
    let metric = match rules.get(&alert.rule).map(|rule| &rule.condition) {
        // The state of an endpoint has no value to tell.
        Some(Condition::Threshold { metric, .. } | Condition::Growing { metric, .. })
            if *metric != Metric::EndpointState =>
        {
            *metric
        }
        _ => return String::new(),
    };
    let value = sample.and_then(|sample| sample.get(metric, &alert.subject));
    let value = value.map(|value| value_with_unit(metric, value));
    value.filter(|value| !alert.detail.contains(value.as_str())).unwrap_or_default()
}

/// A subject as a pattern that fits nothing else.
fn pattern_of(subject: &str) -> String {
    let special = |c| matches!(c, '*' | '?' | '[' | ']' | '\\');
    subject.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn row(alert: &Alert, now: Time) -> AlertRow {
    let why_not = match (alert.told_at, alert.silenced) {
        (Some(_), _) => "",
        (None, true) => "silenced",
        (None, false) => "not yet",
    };
    AlertRow {
        severity: severity_badge(alert.severity.as_str()),
        rule: alert.rule.clone(),
        subject: alert.subject.clone(),
        pattern: pattern_of(&alert.subject),
        current: String::new(),
        detail: alert.detail.clone(),
        since: When::at(alert.since, now),
        told: When::maybe(alert.told_at, now),
        why_not: why_not.to_owned(),
    }
}

fn channel_row(view: &ChannelView, now: Time) -> ChannelRow {
    let health = &view.health;
    let failing = health.last_error_at > health.last_success_at;
    let dead = view.dead.iter().rev().take(DEAD_SHOWN).map(|message| DeadMessage {
        id: message.id.to_string(),
        title: message.draft.title(),
        at: When::maybe(message.dead_at, now),
        error: message.last_error.clone(),
        attempts: u64::from(message.attempts),
    });
    ChannelRow {
        name: view.channel.as_str(),
        state: channel_badge(view.configured, failing),
        configured: view.configured,
        sent: health.sent,
        last_success: When::maybe(health.last_success_at, now),
        last_error_at: When::maybe(health.last_error_at, now),
        last_error: text::first_line(&health.last_error, 300),
        waiting: view.waiting.len() as u64,
        next_try: When::maybe(view.waiting.iter().map(|message| message.due_at).min(), now),
        dead: dead.collect(),
    }
}

fn test_row(tested: TestedJson) -> TestRow {
    let state = match tested.ok {
        true => Badge::new(Tone::Green, "check", "sent"),
        false => Badge::new(Tone::Red, "cross", "failed"),
    };
    TestRow {
        channel: tested.channel,
        state,
        duration: text::span(Span(i64::from(tested.duration_ms))),
        error: tested.error.unwrap_or_default(),
    }
}

fn silence_row(silence: &Silence, now: Time) -> SilenceRow {
    let state = match silence.is_active(now) {
        true => Badge::new(Tone::Yellow, "pause", "in force"),
        false => Badge::new(Tone::Indigo, "clock", "planned"),
    };
    SilenceRow {
        id: silence.id.to_string(),
        state,
        rule: silence.rule.clone().unwrap_or_else(|| "every rule".to_owned()),
        subject: silence.subject.clone().unwrap_or_else(|| "everything".to_owned()),
        from: When::at(silence.from, now),
        until: When::at(silence.until, now),
        reason: silence.reason.clone(),
        by: silence.by.clone(),
    }
}

/// A window of the configuration, among the silences.
fn window_row(window: &Window, now: Time) -> SilenceRow {
    let state = match window.began(now) {
        Some(_) => Badge::new(Tone::Yellow, "pause", "in force"),
        None => Badge::new(Tone::Indigo, "clock", "planned"),
    };
    let from = window.turn(now);
    SilenceRow {
        id: String::new(),
        state,
        rule: window.rule.clone().unwrap_or_else(|| "every rule".to_owned()),
        subject: window.subject.clone().unwrap_or_else(|| "everything".to_owned()),
        from: When::maybe(from, now),
        until: When::maybe(from.map(|from| from.plus(window.length)), now),
        reason: format!("maintenance: {}", cron_words(&window.cron, &window.zone)),
        by: "configuration".to_owned(),
    }
}

fn rule_row(rule: &Rule) -> RuleRow {
    RuleRow {
        name: rule.name.clone(),
        severity: severity_badge(rule.severity.as_str()),
        condition: rule.condition.words(),
        duration: length(Some(rule.duration).filter(|span| *span != Span::ZERO)),
        cooldown: length(Some(rule.cooldown)),
        reminder: length(rule.reminder),
        built_in: rule.built_in,
    }
}

fn line_row((_, line): &(Id, Line), now: Time) -> LineRow {
    LineRow {
        at: When::at(line.at, now),
        what: what_badge(line.what.as_str()),
        severity: severity_badge(line.severity.as_str()),
        rule: line.rule.clone(),
        subject: line.subject.clone(),
        detail: line.detail.clone(),
        silenced: line.silenced,
    }
}
