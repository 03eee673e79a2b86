//! A key takes another name; its number, and with it the rows of a stream, stay.

use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::KeyName;
use crate::store::fault::Stop;
use crate::store::kinds::key as keys;
use crate::store::tx::Tx;

use super::command::Answer;
use super::space::{refuse_runs, remove, take};

/// Renames a key within its database; what was under the new name is gone, its expiry included.
/// A stream that holds runs keeps its name: the task that pulls them knows it by that.
pub(super) fn rename(
    tx: &mut Tx<'_>,
    from: &KeyName,
    to: &KeyName,
    only_if_missing: bool,
) -> Result<Answer, Stop> {
    let Some(entry) = take(tx, from)? else {
        return Err(Refusal::new(Code::KeyNotFound, "no such key").into());
    };
    if from == to {
        return Ok(if only_if_missing { Answer::NotDone } else { Answer::Done });
    }
    let target = take(tx, to)?;
    if only_if_missing && target.is_some() {
        return Ok(Answer::NotDone);
    }
    refuse_runs(from, &entry)?;
    if let Some(target) = target {
        remove(tx, to, &target)?;
    }
    keys::save(tx, from, Some(&entry), None);
    keys::save(tx, to, None, Some(&entry));
    // Readers of the old name find it gone, those of the new one may have something to read.
    tx.notify(Notice::Key(from.clone()));
    tx.notify(Notice::Key(to.clone()));
    Ok(Answer::Done)
}
