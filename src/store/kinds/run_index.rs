//! The ways to find runs: by status, task, env, tag and the agent's number. Keys end with the run
//! id, so each index is in order of creation.

use crate::base::id::RunId;
use crate::base::name::Name;
use crate::model::run::{Run, Status};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, last_id};
use crate::store::rows::{Rows, Span, collect};
use crate::store::tables::Table;
use crate::store::tx::Tx;

pub fn by_status(status: Status) -> Key {
    Key::new(Table::ByStatus).u8(status as u8)
}

pub fn by_task(task: &Name) -> Key {
    Key::new(Table::ByTask).text(task.as_str())
}

pub fn by_env(org: &Name, env: &Name) -> Key {
    Key::new(Table::ByEnv).text(org.as_str()).text(env.as_str())
}

/// All envs of an org; in order of creation only within each env.
pub fn by_tag(org: &Name, env: &Name, tag: &str) -> Key {
    Key::new(Table::ByTag).text(org.as_str()).text(env.as_str()).text(tag)
}

/// Adds a new run to every index.
pub fn add(tx: &mut Tx<'_>, run: &Run) {
    tx.mark(by_status(run.status).id(run.id));
    tx.mark(by_task(&run.task).id(run.id));
    tx.mark(by_env(&run.org, &run.env).id(run.id));
    add_tags(tx, run, &run.tags);
}

pub fn add_tags(tx: &mut Tx<'_>, run: &Run, tags: &[String]) {
    for tag in tags {
        tx.mark(by_tag(&run.org, &run.env, tag).id(run.id));
    }
}

/// Takes a run out of every index.
pub fn remove(tx: &mut Tx<'_>, run: &Run) {
    tx.remove(by_status(run.status).id(run.id));
    tx.remove(by_task(&run.task).id(run.id));
    tx.remove(by_env(&run.org, &run.env).id(run.id));
    for tag in &run.tags {
        tx.remove(by_tag(&run.org, &run.env, tag).id(run.id));
    }
    if let Some(number) = run.remote_id {
        remove_remote(tx, number, run.task.as_str(), run.id);
    }
}

/// Moves a run from one status to another.
pub fn move_status(tx: &mut Tx<'_>, id: RunId, from: Status, to: Status) {
    tx.remove(by_status(from).id(id));
    tx.mark(by_status(to).id(id));
}

fn remote_key(number: i64, endpoint: &str) -> Key {
    Key::new(Table::Remote).u64(number as u64).text(endpoint)
}

/// Which run an endpoint knows under `number`.
pub fn remote_owner(rows: &dyn Rows, number: i64, endpoint: &str) -> Result<Option<RunId>, Fault> {
    let found = collect(rows, &Span::prefix(&remote_key(number, endpoint)), 1)?;
    found.first().map(|(key, _)| last_id(key)).transpose()
}

/// At most `limit` runs that agents know under `number`, with their endpoints.
pub fn remote_all(
    rows: &dyn Rows,
    number: i64,
    limit: usize,
) -> Result<Vec<(String, RunId)>, Fault> {
    let span = Span::prefix(&Key::new(Table::Remote).u64(number as u64));
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, _)| {
            let mut reader = KeyReader::new(key);
            reader.u64()?;
            Ok((reader.text()?, reader.id()?))
        })
        .collect()
}

pub fn add_remote(tx: &mut Tx<'_>, number: i64, endpoint: &str, id: RunId) {
    tx.mark(remote_key(number, endpoint).id(id));
}

pub fn remove_remote(tx: &mut Tx<'_>, number: i64, endpoint: &str, id: RunId) {
    tx.remove(remote_key(number, endpoint).id(id));
}
