//! Idempotency keys: which run a key of an org and env belongs to.

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::store::codec::Record;
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::rows::{Rows, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// What a key is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub run: RunId,
    pub fingerprint: u64,
    pub bound_at: Time,
}

#[derive(Encode, Decode)]
struct IdemRow {
    run: [u8; 16],
    fingerprint: u64,
    bound_at: i64,
}

impl Record for IdemRow {
    const KIND: &'static str = "idempotency key";
}

fn key(org: &Name, env: &Name, text: &str) -> Key {
    Key::new(Table::Idem).text(org.as_str()).text(env.as_str()).text(text)
}

pub fn get(rows: &dyn Rows, org: &Name, env: &Name, text: &str) -> Result<Option<Binding>, Fault> {
    load_at(rows, &key(org, env, text))
}

pub fn put(tx: &mut Tx<'_>, org: &Name, env: &Name, text: &str, binding: &Binding) {
    put_at(tx, key(org, env, text), binding);
}

/// Frees a key.
pub fn remove(tx: &mut Tx<'_>, org: &Name, env: &Name, text: &str) {
    tx.remove(key(org, env, text));
}

/// Keys of other things than runs have the same rows in tables of their own.
pub(super) fn load_at(rows: &dyn Rows, key: &Key) -> Result<Option<Binding>, Fault> {
    Ok(load::<IdemRow>(rows, key)?.map(|row| Binding {
        run: Id(row.run),
        fingerprint: row.fingerprint,
        bound_at: Time(row.bound_at),
    }))
}

pub(super) fn put_at(tx: &mut Tx<'_>, key: Key, binding: &Binding) {
    let row = IdemRow {
        run: binding.run.0,
        fingerprint: binding.fingerprint,
        bound_at: binding.bound_at.0,
    };
    tx.put(key, &row);
}
