//! The duties of alerts: the look after each sample, and one for each channel that delivers what is
//! due, one message after another.
//!
//! A message is settled after its attempt. Whoever dies in between sends it once more, under the
//! same id, by which a receiver drops the repeat.

pub mod channels;
mod mail;

pub use mail::{MailSettings, TlsMode};

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::channels::{Channels, Told};
use super::pace::{Refused, pause};
use crate::appliance::Appliance;
use crate::appliance::alerts::Failed;
use crate::base::entropy::Entropy;
use crate::base::id::Minter;
use crate::base::time::Stopwatch;
use crate::model::alert::Channel;
use crate::model::alert::message::test_draft;
use crate::model::refusal::Refusal;
use crate::model::sample::Sample;

/// Between two looks at what is due while nobody calls: the clock may have been set.
const IDLE_LONGEST: Duration = Duration::from_secs(30);

/// Looks at all alerts after a sample.
pub async fn look(appliance: &Appliance, sample: Arc<Sample>) {
    if let Err(refusal) = appliance.look_at_alerts(sample).await {
        tracing::debug!(error = %refusal, "alerts wait for the next look");
    }
}

/// Delivers the messages of one channel until `stop`. What is out is waited for: its time is bounded.
pub async fn deliver(
    appliance: Appliance,
    channels: Arc<Channels>,
    channel: Channel,
    stop: CancellationToken,
) {
    let mut refused = Refused::default();
    while !stop.is_cancelled() {
        match turn(&appliance, &channels, channel, &stop).await {
            Ok(None) => refused = Refused::default(),
            Ok(Some(span)) => tokio::select! {
                () = stop.cancelled() => return,
                () = appliance.alert_called(channel) => {}
                () = tokio::time::sleep(span) => {}
            },
            Err(refusal) => {
                tracing::debug!(error = %refusal, "messages of alerts wait");
                pause(&stop, refused.again()).await;
            }
        }
    }
}

/// Delivers the next message; how long to wait when none is due.
async fn turn(
    appliance: &Appliance,
    channels: &Channels,
    channel: Channel,
    stop: &CancellationToken,
) -> Result<Option<Duration>, Refusal> {
    // Messages of a channel that is configured no more wait until it is again.
    if !appliance.alert_settings().channels.contains(&channel) {
        return Ok(Some(IDLE_LONGEST));
    }
    let (due, next) = appliance.alert_due(channel)?;
    let Some(message) = due else {
        let wait = next.map_or(IDLE_LONGEST, |at| at.since(appliance.now()).to_duration());
        return Ok(Some(wait.min(IDLE_LONGEST)));
    };
    let settings = appliance.alert_settings();
    let told = Told {
        id: message.id,
        at: message.created_at,
        draft: &message.draft,
        rules: &settings.rules,
    };
    let outcome = channels.send(channel, told).await;
    if let Err(failed) = &outcome {
        let (channel, error) = (channel.as_str(), &failed.error);
        tracing::warn!(channel, error, id = %message.id, "an alert could not be delivered");
    }
    // Asked again instead of sent again: on a full disk the same message would go out every few
    // seconds.
    let mut refused = Refused::default();
    while !stop.is_cancelled() {
        match appliance.settle_alert(channel, message.id, outcome.clone()).await {
            Ok(()) => break,
            Err(refusal) => {
                tracing::debug!(error = %refusal, "a message of an alert cannot be settled yet");
                pause(stop, refused.again()).await;
            }
        }
    }
    Ok(None)
}

/// What a test of a channel came to.
#[derive(Clone, Debug)]
pub struct Tested {
    pub channel: Channel,
    pub outcome: Result<(), Failed>,
    pub elapsed_ms: u32,
}

/// Sends a test message at once, past the queue.
pub async fn test(appliance: &Appliance, channels: &Channels, channel: Channel) -> Tested {
    let (watch, now) = (Stopwatch::start(), appliance.now());
    let id = Minter::new(Entropy::from_system()).mint(now);
    let (draft, settings) = (test_draft(now), appliance.alert_settings());
    let told = Told { id, at: now, draft: &draft, rules: &settings.rules };
    let outcome = channels.send(channel, told).await;
    let elapsed_ms = u32::try_from(watch.elapsed().as_millis()).unwrap_or(u32::MAX);
    if let Err(refusal) = appliance.note_channel(channel, outcome.clone()).await {
        // The test was made; that it cannot be written down is no answer to it.
        tracing::debug!(error = %refusal, "a test of a channel is not noted");
    }
    Tested { channel, outcome, elapsed_ms }
}
