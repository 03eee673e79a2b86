//! What became of an attempt to deliver a message: delivered, tried again later, or given up.

use crate::base::id::Id;
use crate::base::text::cut;
use crate::base::time::{Span, Time};
use crate::model::alert::Channel;
use crate::model::alert::message::Message;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::retry::{Next, RetryPolicy, Trouble, next_delay};
use crate::model::retry_after::RETRY_AFTER_MAX;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{alert as rows, alert_message as messages};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::MESSAGES_MAX;
use super::look::{bury, make_room};

/// Alerts are tried as deliveries are for which somebody waits: soon at first, for a day in all.
const RETRY: RetryPolicy = RetryPolicy::Interactive;
/// Bytes kept of an error.
const ERROR_BYTES_MAX: usize = 400;

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub error: String,
    pub trouble: Trouble,
    /// When the other side wants to be asked again.
    pub retry_after: Option<Span>,
}

/// Settles an attempt. A message that is not there any more was settled before.
pub fn settle(
    tx: &mut Tx<'_>,
    channel: Channel,
    id: Id,
    outcome: Result<(), Failed>,
) -> Result<(), Stop> {
    let Some(mut message) = messages::get(tx, channel, id)?.filter(|m| m.dead_at.is_none()) else {
        return Ok(());
    };
    note(tx, channel, &outcome)?;
    let Err(failed) = outcome else {
        messages::remove(tx, channel, id);
        return Ok(());
    };
    let now = tx.now();
    let first = *message.first_attempt_at.get_or_insert(now);
    message.attempts += 1;
    message.last_error = cut(&failed.error, ERROR_BYTES_MAX).to_owned();
    let (attempts, age) = (message.attempts, now.since(first));
    let next = next_delay(&RETRY, attempts, age, failed.retry_after, failed.trouble, tx.entropy());
    match next {
        Next::Retry(delay) => {
            message.due_at = now.plus(delay);
            messages::put(tx, channel, &message);
        }
        Next::Exhausted => bury(tx, channel, message)?,
    }
    Ok(())
}

/// Lets a message go out once more, at once and with all its attempts: to those of `channels` that
/// gave it up. Where it still waits it is due at once, so that asking twice does no harm. Gives the
/// channels that it goes to.
pub fn retry(tx: &mut Tx<'_>, channels: &[Channel], id: Id) -> Result<Vec<Channel>, Stop> {
    let (now, mut found) = (tx.now(), Vec::new());
    for &channel in channels {
        let Some(mut message) = messages::get(tx, channel, id)? else { continue };
        if message.dead_at.take().is_some() {
            make_room(tx, channel)?;
            (message.attempts, message.first_attempt_at) = (0, None);
        }
        message.due_at = now;
        messages::put(tx, channel, &message);
        found.push(channel);
    }
    if found.is_empty() {
        let message =
            format!("no message `{id}` waits or was given up: it may have been delivered");
        return Err(Refusal::new(Code::AlertMessageNotFound, message).into());
    }
    tx.notify(Notice::Page);
    Ok(found)
}

/// Writes down how a channel does; also after a test.
pub fn note(tx: &mut Tx<'_>, channel: Channel, outcome: &Result<(), Failed>) -> Result<(), Stop> {
    let mut health = rows::health(tx, channel)?;
    match outcome {
        Ok(()) => {
            health.sent += 1;
            health.last_success_at = Some(tx.now());
        }
        Err(failed) => {
            health.last_error_at = Some(tx.now());
            health.last_error = cut(&failed.error, ERROR_BYTES_MAX).to_owned();
        }
    }
    rows::put_health(tx, channel, &health);
    tx.notify(Notice::Page);
    Ok(())
}

/// The oldest message of a channel that is due, and when to look again otherwise.
pub fn next_due(
    rows: &dyn Rows,
    channel: Channel,
    now: Time,
) -> Result<(Option<Message>, Option<Time>), Fault> {
    let mut waiting = messages::list(rows, channel, MESSAGES_MAX)?;
    waiting.retain(|message| message.dead_at.is_none());
    let next = waiting.iter().map(|message| message.due_at).min();
    // Nothing is put off for longer than that: the clock was put back.
    let is_due =
        |message: &Message| message.due_at <= now || message.due_at.since(now) > RETRY_AFTER_MAX;
    Ok((waiting.into_iter().find(is_due), next))
}
