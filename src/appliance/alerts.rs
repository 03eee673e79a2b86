//! Alerts as doors and duties see them: the look, what fires, what waits for delivery, silences.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::base::id::Id;
use crate::base::time::Time;
use crate::ledger::alerts::{MESSAGES_MAX, SILENCES_MAX, deliver, look, silences};
use crate::model::alert::message::Message;
use crate::model::alert::reading;
use crate::model::alert::silence::Silence;
use crate::model::alert::{Alert, Channel, ChannelHealth, Line, Phase, Settings};
use crate::model::refusal::{Code, Refusal};
use crate::model::sample::Sample;
use crate::store::fault::Fault;
use crate::store::kinds::{alert as rows, alert_message as messages, silence as silence_rows};
use crate::store::rows::Rows;

use super::{Appliance, unreadable};

pub use crate::ledger::alerts::LINES_KEPT;
pub use crate::ledger::alerts::deliver::Failed;
pub use crate::ledger::alerts::silences::{Create, Until};

/// What alerts need besides the store.
pub struct Alerting {
    watched_since: Time,
    /// Wakes the duty of each channel.
    wake: [Notify; Channel::ALL.len()],
}

impl Alerting {
    pub fn new(watched_since: Time) -> Alerting {
        Alerting { watched_since, wake: Default::default() }
    }
}

/// A channel and how it does.
#[derive(Clone, Debug)]
pub struct ChannelView {
    pub channel: Channel,
    pub configured: bool,
    pub health: ChannelHealth,
    /// Messages that wait, oldest first.
    pub waiting: Vec<Message>,
    /// Messages that were given up, oldest first.
    pub dead: Vec<Message>,
}

/// All of it at one moment.
#[derive(Clone, Debug)]
pub struct AlertsView {
    pub alerts: Vec<Alert>,
    pub silences: Vec<Silence>,
    pub channels: Vec<ChannelView>,
    /// Newest first.
    pub lines: Vec<(Id, Line)>,
}

impl Appliance {
    pub fn alert_settings(&self) -> Arc<Settings> {
        self.settings().alerts.clone()
    }

    /// Takes every alert further by what a sample says, and wakes whoever delivers messages.
    pub async fn look_at_alerts(&self, sample: Arc<Sample>) -> Result<(), Refusal> {
        let Alerting { watched_since, wake } = &self.alerting;
        let (settings, watched_since) = (self.alert_settings(), *watched_since);
        let reading = reading::read(&settings.rules, &sample);
        let wanted = look::Look { settings, sample, reading, watched_since };
        if self.call(move |tx| look::look(tx, wanted)).await? > 0 {
            wake.iter().for_each(Notify::notify_one);
        }
        Ok(())
    }

    /// Everything about alerts, with at most so many lines of the history.
    pub fn alerts(&self, lines_max: usize) -> Result<AlertsView, Refusal> {
        self.read_alerts(&self.snapshot()?, lines_max).map_err(unreadable)
    }

    fn read_alerts(&self, view: &dyn Rows, lines_max: usize) -> Result<AlertsView, Fault> {
        let settings = self.alert_settings();
        let channel = |channel: Channel| {
            let all = messages::list(view, channel, MESSAGES_MAX)?;
            let (dead, waiting) = all.into_iter().partition(|message| message.dead_at.is_some());
            Ok(ChannelView {
                channel,
                configured: settings.channels.contains(&channel),
                health: rows::health(view, channel)?,
                waiting,
                dead,
            })
        };
        let now = self.now();
        let mut silences = silence_rows::list(view, SILENCES_MAX)?;
        silences.retain(|silence| silence.until > now);
        let mut alerts = look::alerts(view)?;
        // The worst first; a stable order, so that a page does not jump.
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
        Ok(AlertsView {
            alerts,
            silences,
            channels: Channel::ALL.iter().copied().map(channel).collect::<Result<_, Fault>>()?,
            lines: messages::lines(view, None, lines_max.min(LINES_KEPT))?,
        })
    }

    /// What fires now.
    pub fn firing_alerts(&self) -> Result<Vec<Alert>, Refusal> {
        let mut alerts = look::alerts(&self.snapshot()?).map_err(unreadable)?;
        alerts.retain(|alert| alert.phase == Phase::Firing);
        Ok(alerts)
    }

    pub async fn create_silence(&self, command: Create) -> Result<Silence, Refusal> {
        self.call(move |tx| silences::create(tx, command)).await
    }

    pub async fn end_silence(&self, id: Id) -> Result<(), Refusal> {
        self.call(move |tx| silences::end(tx, id)).await
    }

    /// Waits until a channel may have something new to deliver; a call since the last wait counts.
    pub async fn alert_called(&self, channel: Channel) {
        self.alerting.wake[channel as usize - 1].notified().await;
    }

    /// Lets the duty of a channel look again.
    pub fn call_channel(&self, channel: Channel) {
        self.alerting.wake[channel as usize - 1].notify_one();
    }

    /// The oldest message of a channel that is due, and otherwise when the next one is.
    pub fn alert_due(&self, channel: Channel) -> Result<(Option<Message>, Option<Time>), Refusal> {
        deliver::next_due(&self.snapshot()?, channel, self.now()).map_err(unreadable)
    }

    pub async fn settle_alert(
        &self,
        channel: Channel,
        id: Id,
        outcome: Result<(), Failed>,
    ) -> Result<(), Refusal> {
        self.call(move |tx| deliver::settle(tx, channel, id, outcome)).await
    }

    /// Lets a message go out once more, to the channel that is asked for or to all that gave it up;
    /// gives those that it goes to.
    pub async fn retry_alert(
        &self,
        asked: Option<Channel>,
        id: Id,
    ) -> Result<Vec<Channel>, Refusal> {
        let channels = self.channels_to_use(asked)?;
        let found = self.call(move |tx| deliver::retry(tx, &channels, id)).await?;
        found.iter().for_each(|channel| self.call_channel(*channel));
        Ok(found)
    }

    /// Writes down what a test of a channel came to.
    pub async fn note_channel(
        &self,
        channel: Channel,
        outcome: Result<(), Failed>,
    ) -> Result<(), Refusal> {
        self.call(move |tx| deliver::note(tx, channel, &outcome)).await
    }

    /// The one channel that is asked for, or all that are configured.
    pub fn channels_to_use(&self, asked: Option<Channel>) -> Result<Vec<Channel>, Refusal> {
        let settings = self.alert_settings();
        let configured = &settings.channels;
        let found: Vec<Channel> =
            configured.iter().copied().filter(|c| asked.is_none_or(|asked| asked == *c)).collect();
        if found.is_empty() {
            let which = asked.map_or("slack", Channel::as_str);
            let message =
                format!("no such channel of alerts is configured: set `[alerts.{which}]`");
            return Err(Refusal::new(Code::NoChannel, message));
        }
        Ok(found)
    }
}
