//! Several changes of streams that belong together: all of them are done, or none.
//!
//! A worker that acknowledges its entry, deletes it and adds the one of the next step does so in
//! one transaction: a crash at any point neither loses work nor doubles it.

use bytes::Bytes;

use crate::ledger::keys::command::{Add, Answer, Refs};
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{Fields, KeyName, NewId, StreamId};
use crate::store::fault::Stop;
use crate::store::tx::Tx;

use super::open::{Opened, no_stream};
use super::{ack, add};

/// What a worker is done with, and what follows from it.
#[derive(Clone, Debug)]
pub struct HandOver {
    pub key: KeyName,
    pub group: Bytes,
    pub ids: Vec<StreamId>,
    /// Entries that every group is done with leave the stream.
    pub delete: bool,
    /// The entry of the next step.
    pub next: Option<(KeyName, Fields)>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandedOver {
    pub acked: usize,
    pub deleted: usize,
    pub next: Option<StreamId>,
}

/// Adds entries, all or none; gives their ids.
pub fn add_all(tx: &mut Tx<'_>, key: &KeyName, all: Vec<Fields>) -> Result<Vec<StreamId>, Stop> {
    all.into_iter().map(|fields| add_one(tx, key, fields)).collect()
}

fn add_one(tx: &mut Tx<'_>, key: &KeyName, fields: Fields) -> Result<StreamId, Stop> {
    let command = Add { key: key.clone(), create: true, trim: None, id: NewId::Any, fields };
    let added = add::add(tx, command)?;
    Ok(added.ok_or_else(|| no_stream(key))?)
}

/// Acknowledges, deletes and adds. Where something is to follow, it follows only when every entry
/// was pending: otherwise another worker has done it, or will.
pub fn hand_over(tx: &mut Tx<'_>, command: HandOver) -> Result<HandedOver, Stop> {
    let HandOver { key, group, mut ids, delete, next } = command;
    ids.sort_unstable();
    ids.dedup();
    let opened = Opened::find(tx, &key)?.ok_or_else(|| super::open::no_group(&key, &group))?;
    opened.group(tx, &group)?;
    let mut done = HandedOver::default();
    if delete {
        let Answer::Each(each) = ack::ack_delete(tx, &key, &group, Refs::Acked, &ids)? else {
            return Ok(done);
        };
        done.acked = each.iter().filter(|what| **what > 0).count();
        done.deleted = each.iter().filter(|what| **what == 1).count();
    } else {
        done.acked = ack::ack(tx, &key, &group, &ids)?.unsigned_abs() as usize;
    }
    let Some((stream, fields)) = next else { return Ok(done) };
    if done.acked < ids.len() {
        return Err(not_all(ids.len() - done.acked, ids.len()).into());
    }
    done.next = Some(add_one(tx, &stream, fields)?);
    Ok(done)
}

fn not_all(missing: usize, all: usize) -> Refusal {
    let message = format!(
        "{missing} of {all} entries are not pending any more, so nothing was acknowledged and \
         nothing added: another worker has them, or is done with them"
    );
    Refusal::new(Code::Conflict, message)
}
