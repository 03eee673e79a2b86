//! Deliveries: what an agent says of a run under a kind and a key of its own.
//!
//! A kind and key of a run take one valid result; whoever delivers it again is given what is there,
//! and nothing follows from it a second time. An error, or a result that is none, is kept under its
//! name until a valid result replaces it. Both are told to the shard of the run, and to no other:
//! what was said of one shard says nothing of its siblings or of the whole.

use crate::base::id::{Id, RunId};
use crate::base::text::cut;
use crate::ledger::runs::save as runs;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::shard::{Delivered, Shard, ShardError, ShardState};
use crate::store::fault::Stop;
use crate::store::kinds::{count, delivered as rows, shard as shard_rows};
use crate::store::tx::Tx;

use super::save;

/// Deliveries of one run.
pub const DELIVERIES_MAX: i64 = 1_000;
/// Bytes of one result.
pub const RESULT_BYTES_MAX: usize = 256 << 10;
/// Bytes of all results of one run.
pub const DELIVERIES_BYTES_MAX: i64 = 4 << 20;
/// Bytes of the message of an error; the rest is cut.
pub const MESSAGE_BYTES_MAX: usize = 2_048;
/// Bytes of the code of an error; the rest is cut.
const CODE_BYTES_MAX: usize = 100;

/// What an agent delivers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    pub kind: String,
    pub key: String,
    /// JSON text; `null` counts as none.
    pub result: Option<Vec<u8>>,
    pub error: Option<Reported>,
}

/// An error as an agent reports it; what it leaves out gets a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    pub code: Option<String>,
    pub message: Option<String>,
}

/// What a delivery came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub delivered: Delivered,
    /// It was there already, and nothing changed.
    pub cached: bool,
    /// The shard that it was told to.
    pub shard: Option<(Id, u32)>,
}

/// Takes a delivery for a run that must exist, in whatever state.
pub fn deliver(tx: &mut Tx<'_>, id: RunId, delivery: Delivery) -> Result<Taken, Stop> {
    runs::must_get(tx, id)?;
    let shard = shard_rows::of_run(tx, id)?;
    let before = rows::get(tx, id, &delivery.kind, &delivery.key)?;
    let error = verdict(&delivery);
    if let Some(before) = before.as_ref().filter(|before| before.is_valid() || error.is_some()) {
        return Ok(Taken { delivered: before.clone(), cached: true, shard });
    }
    let Delivery { kind, key, result, .. } = delivery;
    let delivered = Delivered { kind, key, at: tx.now(), result, error };
    check_room(tx, id, before.as_ref(), &delivered)?;
    rows::put(tx, id, &delivered);
    if let Some((sharded, index)) = shard {
        tell(tx, sharded, index, &delivered)?;
    }
    tx.notify(Notice::Run(id));
    Ok(Taken { delivered, cached: false, shard })
}

/// Moves the state of the one shard that a delivery is about.
fn tell(tx: &mut Tx<'_>, sharded: Id, index: u32, delivered: &Delivered) -> Result<(), Stop> {
    let before = save::must_get(tx, sharded, index)?;
    let state = if delivered.is_valid() { ShardState::Delivered } else { ShardState::Failed };
    let after = Shard { state, error: delivered.error.clone(), ..before.clone() };
    if after != before {
        save::save(tx, &before, &after);
    }
    Ok(())
}

/// Why a delivery is no valid result; there is always a message.
fn verdict(delivery: &Delivery) -> Option<ShardError> {
    let error =
        |code: &str, message: &str| Some(ShardError::new(ShardError::DELIVERY, code, message));
    if let Some(reported) = &delivery.error {
        let given = |text: &Option<String>, bytes_max: usize| {
            let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty());
            text.map(|text| cut(text, bytes_max).to_owned())
        };
        let code = given(&reported.code, CODE_BYTES_MAX);
        let message = given(&reported.message, MESSAGE_BYTES_MAX);
        return error(
            code.as_deref().unwrap_or("delivery_error"),
            message.as_deref().unwrap_or("the agent reported an error and did not say which"),
        );
    }
    let text = delivery.result.as_deref().unwrap_or_default();
    let mut tokens = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
    match (tokens.next(), tokens.next()) {
        (Some(b'{' | b'['), Some(b'}' | b']')) => {
            error("empty_result", "the agent delivered an empty result")
        }
        (Some(b'{' | b'['), _) => None,
        (None | Some(b'n'), _) => {
            error("no_result", "the agent delivered neither result nor error")
        }
        (Some(_), _) => {
            error("invalid_result", "the agent delivered a result that is no object and no array")
        }
    }
}

/// Counts a delivery towards the limits of its run.
fn check_room(
    tx: &mut Tx<'_>,
    id: RunId,
    before: Option<&Delivered>,
    after: &Delivered,
) -> Result<(), Stop> {
    let size = |delivered: &Delivered| delivered.result.as_ref().map_or(0, Vec::len) as i64;
    let (deliveries, bytes) = count::delivered(id);
    let more = size(after) - before.map_or(0, size);
    if before.is_none() && tx.counter(&deliveries)? >= DELIVERIES_MAX {
        let message = format!("the run has {DELIVERIES_MAX} deliveries, which is the most");
        return Err(Refusal::new(Code::TooManyDeliveries, message).into());
    }
    if more > 0 && tx.counter(&bytes)? + more > DELIVERIES_BYTES_MAX {
        let message = format!(
            "with this one the deliveries of the run have more than {DELIVERIES_BYTES_MAX} bytes"
        );
        return Err(Refusal::new(Code::TooLarge, message)
            .with_details(serde_json::json!({ "bytes_max": DELIVERIES_BYTES_MAX }))
            .into());
    }
    tx.count(deliveries, i64::from(before.is_none()));
    tx.count(bytes, more);
    Ok(())
}
