//! Alerts: what fires, the rules, the history, the channels; tests and silences.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{JsonBody, OptionalBody};
use super::error::Answer;
use super::outbox::parse_id;
use super::path::Path;
use super::query::Query;
use super::state::Front;
use crate::appliance::alerts::{ChannelView, Create, LINES_KEPT, Until};
use crate::base::id::Id;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::model::alert::message::Message;
use crate::model::alert::rule::Rule;
use crate::model::alert::silence::{Silence, Window};
use crate::model::alert::{Alert, Channel, Line, Phase};
use crate::model::refusal::Refusal;

/// Who asks through this door, unless the request says so.
const BY: &str = "api";
/// Lines of the history unless asked otherwise.
const LINES_DEFAULT: usize = 50;

/// An alert that fires, or is about to.
#[derive(Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertJson {
    rule: String,
    /// What it is about; empty where there is only one.
    subject: String,
    severity: &'static str,
    detail: String,
    /// Since when it is breached without a break.
    #[schema(value_type = String)]
    since: Time,
    #[schema(value_type = Option<String>)]
    fired_at: Option<Time>,
    /// When people were told; null while nobody was.
    #[schema(value_type = Option<String>)]
    told_at: Option<Time>,
    silenced: bool,
}

impl AlertJson {
    fn of(alert: Alert) -> AlertJson {
        let Alert { rule, subject, detail, since, fired_at, told_at, silenced, .. } = alert;
        let severity = alert.severity.as_str();
        AlertJson { rule, subject, severity, detail, since, fired_at, told_at, silenced }
    }
}

/// A rule in force.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertRule)]
pub struct RuleJson {
    name: String,
    /// A sentence.
    condition: String,
    severity: &'static str,
    #[schema(value_type = String)]
    duration: Span,
    #[schema(value_type = String)]
    cooldown: Span,
    /// Null for none.
    #[schema(value_type = Option<String>)]
    reminder: Option<Span>,
    resolved: bool,
    message: String,
    /// It comes with Tidegate and was not replaced.
    built_in: bool,
}

impl RuleJson {
    fn of(rule: &Rule) -> RuleJson {
        RuleJson {
            name: rule.name.clone(),
            condition: rule.condition.words(),
            severity: rule.severity.as_str(),
            duration: rule.duration,
            cooldown: rule.cooldown,
            reminder: rule.reminder,
            resolved: rule.resolved,
            message: rule.message.clone(),
            built_in: rule.built_in,
        }
    }
}

/// A line of the history.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertLine)]
pub struct LineJson {
    #[schema(value_type = String)]
    id: Id,
    #[schema(value_type = String)]
    at: Time,
    /// `firing`, `reminder`, `resolved` or `dropped`.
    what: &'static str,
    rule: String,
    subject: String,
    severity: &'static str,
    detail: String,
    /// Nobody was told.
    silenced: bool,
    /// Id of the message; the same in every channel.
    #[schema(value_type = Option<String>)]
    message: Option<Id>,
}

impl LineJson {
    fn of((id, line): (Id, Line)) -> LineJson {
        let (what, severity) = (line.what.as_str(), line.severity.as_str());
        let Line { at, rule, subject, detail, silenced, message, .. } = line;
        LineJson { id, at, what, rule, subject, severity, detail, silenced, message }
    }
}

/// A message that was not delivered yet, or was given up.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertMessage)]
pub struct MessageJson {
    #[schema(value_type = String)]
    id: Id,
    title: String,
    #[schema(value_type = String)]
    created_at: Time,
    attempts: u32,
    /// When it is tried next; null once it was given up.
    #[schema(value_type = Option<String>)]
    due_at: Option<Time>,
    #[schema(value_type = Option<String>)]
    dead_at: Option<Time>,
    last_error: String,
}

impl MessageJson {
    fn of(message: Message) -> MessageJson {
        MessageJson {
            id: message.id,
            title: message.draft.title(),
            created_at: message.created_at,
            attempts: message.attempts,
            due_at: message.dead_at.is_none().then_some(message.due_at),
            dead_at: message.dead_at,
            last_error: message.last_error,
        }
    }
}

/// A channel and how it does.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertChannel)]
pub struct ChannelJson {
    /// `slack`, `mail` or `webhook`.
    channel: &'static str,
    configured: bool,
    sent: u64,
    #[schema(value_type = Option<String>)]
    last_success_at: Option<Time>,
    #[schema(value_type = Option<String>)]
    last_error_at: Option<Time>,
    last_error: String,
    waiting: Vec<MessageJson>,
    dead: Vec<MessageJson>,
}

impl ChannelJson {
    fn of(view: ChannelView) -> ChannelJson {
        let ChannelView { channel, configured, health, waiting, dead } = view;
        ChannelJson {
            channel: channel.as_str(),
            configured,
            sent: health.sent,
            last_success_at: health.last_success_at,
            last_error_at: health.last_error_at,
            last_error: health.last_error,
            waiting: waiting.into_iter().map(MessageJson::of).collect(),
            dead: dead.into_iter().map(MessageJson::of).collect(),
        }
    }
}

/// A silence.
#[derive(Serialize, ToSchema)]
#[schema(as = Silence)]
pub struct SilenceJson {
    #[schema(value_type = String)]
    id: Id,
    /// Pattern of the rules; null for all.
    rule: Option<String>,
    /// Pattern of the subjects; null for all.
    subject: Option<String>,
    #[schema(value_type = String)]
    from: Time,
    #[schema(value_type = String)]
    until: Time,
    /// It is in force now.
    active: bool,
    reason: String,
    by: String,
    #[schema(value_type = String)]
    created_at: Time,
}

impl SilenceJson {
    fn of(silence: Silence, now: Time) -> SilenceJson {
        let active = silence.is_active(now);
        let Silence { id, rule, subject, from, until, reason, by, created_at } = silence;
        SilenceJson { id, rule, subject, from, until, active, reason, by, created_at }
    }
}

/// Times that come again and in which nobody is told, from the configuration.
#[derive(Serialize, ToSchema)]
#[schema(as = MaintenanceWindow)]
pub struct MaintenanceJson {
    cron: String,
    timezone: String,
    #[schema(value_type = String)]
    length: Span,
    /// Pattern of the rules; null for all.
    rule: Option<String>,
    /// Pattern of the subjects; null for all.
    subject: Option<String>,
    /// It is in force now.
    active: bool,
    /// When it began, or begins next.
    #[schema(value_type = Option<String>)]
    from: Option<Time>,
}

impl MaintenanceJson {
    fn of(window: &Window, now: Time) -> MaintenanceJson {
        MaintenanceJson {
            cron: window.cron.as_str().to_owned(),
            timezone: window.zone.name().to_owned(),
            length: window.length,
            rule: window.rule.clone(),
            subject: window.subject.clone(),
            active: window.began(now).is_some(),
            from: window.turn(now),
        }
    }
}

/// Everything about alerts.
#[derive(Serialize, ToSchema)]
#[schema(as = Alerts)]
pub struct AlertsJson {
    firing: Vec<AlertJson>,
    /// Breached, but not for long enough, or too soon after the last message.
    pending: Vec<AlertJson>,
    rules: Vec<RuleJson>,
    /// Rules that come with Tidegate and are switched off.
    rules_off: Vec<String>,
    silences: Vec<SilenceJson>,
    maintenance: Vec<MaintenanceJson>,
    channels: Vec<ChannelJson>,
    /// Newest first.
    history: Vec<LineJson>,
}

/// Everything about alerts; asking changes nothing.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let limit = query.number("limit", LINES_KEPT)?.unwrap_or(LINES_DEFAULT);
    query.end()?;
    let (view, now) = (front.appliance.alerts(limit)?, front.appliance.now());
    let settings = front.appliance.alert_settings();
    let rules = &settings.rules;
    let (firing, others): (Vec<Alert>, Vec<Alert>) =
        view.alerts.into_iter().partition(|alert| alert.phase == Phase::Firing);
    let pending = others.into_iter().filter(|alert| alert.phase == Phase::Pending);
    let silences = view.silences.into_iter();
    let windows = settings.maintenance.iter();
    Ok(Json(AlertsJson {
        firing: firing.into_iter().map(AlertJson::of).collect(),
        pending: pending.map(AlertJson::of).collect(),
        rules: rules.iter().map(RuleJson::of).collect(),
        rules_off: rules.off().to_vec(),
        silences: silences.map(|silence| SilenceJson::of(silence, now)).collect(),
        maintenance: windows.map(|window| MaintenanceJson::of(window, now)).collect(),
        channels: view.channels.into_iter().map(ChannelJson::of).collect(),
        history: view.lines.into_iter().map(LineJson::of).collect(),
    })
    .into_response())
}

/// One channel, or all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfChannel {
    /// `slack`, `mail` or `webhook`; all that are configured unless given.
    channel: Option<String>,
}

/// What a test of a channel came to.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertTestResult)]
pub struct TestedJson {
    pub channel: &'static str,
    pub ok: bool,
    /// Null when it was taken.
    pub error: Option<String>,
    pub duration_ms: u32,
}

/// Results of a test.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertTestResults)]
pub struct TestsJson {
    results: Vec<TestedJson>,
}

fn read_channel(channel: Option<&str>) -> Result<Option<Channel>, Refusal> {
    let asked = channel.map(|word| {
        Channel::parse(word).ok_or_else(|| {
            let expected = "expected `slack`, `mail` or `webhook`";
            Refusal::field("channel", format!("{expected}, got {}", quote(word)))
        })
    });
    asked.transpose()
}

/// Sends test messages and tells what came of them.
pub async fn send_test(front: &Front, channel: Option<&str>) -> Result<Vec<TestedJson>, Refusal> {
    let wanted = front.appliance.channels_to_use(read_channel(channel)?)?;
    let tested = (front.channel_test)(wanted).await.into_iter();
    let result = tested.map(|tested| TestedJson {
        channel: tested.channel.as_str(),
        ok: tested.error.is_none(),
        error: tested.error,
        duration_ms: tested.elapsed_ms,
    });
    Ok(result.collect())
}

pub async fn test(
    State(front): State<Front>,
    OptionalBody(body): OptionalBody<OfChannel>,
) -> Answer {
    let results = send_test(&front, body.channel.as_deref()).await?;
    Ok(Json(TestsJson { results }).into_response())
}

/// Where a message goes once more.
#[derive(Serialize, ToSchema)]
#[schema(as = RetriedAlert)]
pub struct RetriedJson {
    channels: Vec<&'static str>,
}

/// Lets a message go out once more.
pub async fn retry_message(
    front: &Front,
    channel: Option<&str>,
    id: &str,
) -> Result<Vec<Channel>, Refusal> {
    let (asked, id) = (read_channel(channel)?, parse_id(id)?);
    front.appliance.retry_alert(asked, id).await
}

pub async fn retry(
    State(front): State<Front>,
    Path(id): Path,
    OptionalBody(body): OptionalBody<OfChannel>,
) -> Answer {
    let channels = retry_message(&front, body.channel.as_deref(), &id).await?;
    let channels = channels.into_iter().map(Channel::as_str).collect();
    Ok(Json(RetriedJson { channels }).into_response())
}

/// A silence that is wanted. Without rule and subject it is a maintenance window for everything.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSilence {
    /// Name of a rule, or a pattern with `*`; every rule unless given.
    rule: Option<String>,
    /// A subject, or a pattern with `*`; every subject unless given.
    subject: Option<String>,
    /// When it begins; now unless given.
    #[schema(value_type = Option<String>)]
    from: Option<Time>,
    /// When it ends; this or `for`.
    #[schema(value_type = Option<String>)]
    until: Option<Time>,
    /// How long it lasts, at most 366 days.
    #[schema(value_type = Option<String>)]
    r#for: Option<Span>,
    reason: String,
    /// Who wants it.
    by: Option<String>,
}

/// The end of a silence: one of its two forms.
pub fn read_until(until: Option<Time>, length: Option<Span>) -> Result<Until, Refusal> {
    match (until, length) {
        (Some(until), None) => Ok(Until::At(until)),
        (None, Some(length)) => Ok(Until::For(length)),
        (None, None) => Err(Refusal::field("until", "this or `for` is required")),
        (Some(_), Some(_)) => Err(Refusal::field("for", "`until` says the same already")),
    }
}

pub async fn create_silence(
    State(front): State<Front>,
    JsonBody(body): JsonBody<CreateSilence>,
) -> Answer {
    let command = Create {
        until: read_until(body.until, body.r#for)?,
        rule: body.rule,
        subject: body.subject,
        from: body.from,
        reason: body.reason,
        by: body.by.unwrap_or_else(|| BY.to_owned()),
    };
    let silence = front.appliance.create_silence(command).await?;
    let json = SilenceJson::of(silence, front.appliance.now());
    Ok((StatusCode::CREATED, Json(json)).into_response())
}

pub async fn end_silence(State(front): State<Front>, Path(id): Path) -> Answer {
    front.appliance.end_silence(parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
