//! Silences: begun and ended by people.

use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::model::alert::rule::SUBJECT_BYTES_MAX;
use crate::model::alert::silence::{BY_BYTES_MAX, REASON_BYTES_MAX, SILENCE_MAX, Silence};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::Stop;
use crate::store::kinds::silence as rows;
use crate::store::tx::Tx;

use super::SILENCES_MAX;

/// A request for a silence.
#[derive(Clone, Debug)]
pub struct Create {
    /// Patterns; `None` is any.
    pub rule: Option<String>,
    pub subject: Option<String>,
    /// At once unless given.
    pub from: Option<Time>,
    pub until: Until,
    pub reason: String,
    pub by: String,
}

/// When a silence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    At(Time),
    /// After its begin.
    For(Span),
}

pub fn create(tx: &mut Tx<'_>, command: Create) -> Result<Silence, Stop> {
    let now = tx.now();
    let from = command.from.unwrap_or(now).max(now);
    let (field, until) = match command.until {
        Until::At(until) => ("until", until),
        Until::For(span) => ("for", from.plus(span)),
    };
    if until <= from || until.since(now) > SILENCE_MAX {
        let message = format!("expected an end after its begin and within {SILENCE_MAX} from now");
        return Err(Refusal::field(field, message).into());
    }
    let patterns = [("rule", &command.rule), ("subject", &command.subject)];
    let short = [("reason", &command.reason, REASON_BYTES_MAX), ("by", &command.by, BY_BYTES_MAX)];
    let texts = patterns
        .into_iter()
        .filter_map(|(field, text)| text.as_ref().map(|text| (field, text, SUBJECT_BYTES_MAX)));
    if let Some((field, _, most)) = texts.chain(short).find(|(_, text, most)| text.len() > *most) {
        return Err(Refusal::field(field, format!("at most {most} bytes")).into());
    }
    if rows::list(tx, SILENCES_MAX)?.len() >= SILENCES_MAX {
        let message = format!("there are {SILENCES_MAX} silences already; end one");
        return Err(Refusal::new(Code::TooManySilences, message).into());
    }
    let Create { rule, subject, reason, by, .. } = command;
    let silence =
        Silence { id: tx.mint(), rule, subject, from, until, reason, by, created_at: now };
    rows::put(tx, &silence);
    tx.notify(Notice::Page);
    Ok(silence)
}

pub fn end(tx: &mut Tx<'_>, id: Id) -> Result<(), Stop> {
    if !rows::exists(tx, id)? {
        let message = format!("no silence `{id}`: it was ended, or it is over");
        return Err(Refusal::new(Code::SilenceNotFound, message).into());
    }
    rows::remove(tx, id);
    tx.notify(Notice::Page);
    Ok(())
}
