//! Changes to a run that do not move it through its states: tags, metadata, delay.

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::outbox;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Event, Run};
use crate::store::fault::Stop;
use crate::store::kinds::{outbox as outbox_rows, run_index};
use crate::store::tx::Tx;

use super::save;

/// Most tags of a run.
pub const TAGS_MAX: usize = 10;

/// Adds tags, all or none; gives the run and how many of them were new.
pub fn add_tags(tx: &mut Tx<'_>, id: RunId, tags: Vec<String>) -> Result<(Run, usize), Stop> {
    let before = save::must_get(tx, id)?;
    let mut run = before.clone();
    let mut added = Vec::new();
    for tag in tags {
        if !run.tags.contains(&tag) {
            run.tags.push(tag.clone());
            added.push(tag);
        }
    }
    if run.tags.len() > TAGS_MAX {
        return Err(too_many_tags(run.tags.len()).into());
    }
    if !added.is_empty() {
        if !run.buffered {
            run_index::add_tags(tx, &run, &added);
        }
        save::note(tx, &mut run, "tags_added", added.join(", "), "api");
        save::save(tx, &before, &run)?;
    }
    Ok((run, added.len()))
}

pub fn too_many_tags(count: usize) -> Refusal {
    Refusal::new(
        Code::TooManyTags,
        format!("a run has at most {TAGS_MAX} tags, this makes {count}"),
    )
}

/// Replaces the metadata; with `version`, only when it still has that version.
pub fn set_metadata(
    tx: &mut Tx<'_>,
    id: RunId,
    metadata: Option<String>,
    version: Option<u64>,
) -> Result<Run, Stop> {
    let before = save::must_get(tx, id)?;
    if let Some(version) = version
        && version != before.metadata_version
    {
        let found = before.metadata_version;
        return Err(Refusal::new(
            Code::VersionConflict,
            format!("the metadata has version {found} by now, not {version}"),
        )
        .with_details(serde_json::json!({ "metadata_version": found }))
        .into());
    }
    let mut run = before.clone();
    run.metadata = metadata;
    run.metadata_version += 1;
    let detail = format!("version {}", run.metadata_version);
    save::note(tx, &mut run, "metadata_set", detail, "api");
    save::save(tx, &before, &run)?;
    Ok(run)
}

/// Moves the start of a delayed run to `delay` from now; zero starts it at once.
pub fn reschedule(tx: &mut Tx<'_>, id: RunId, delay: Span) -> Result<Run, Stop> {
    let before = save::must_get(tx, id)?;
    let mut run = before.clone();
    run.step(Event::Reschedule, tx.now()).map_err(save::refuse)?;
    let moved = tx.now().plus(delay);
    if let Some(expires_at) = &mut run.expires_at {
        // The time to live counts from the moment it may start.
        expires_at.0 += moved.0 - run.due_at.0;
    }
    run.due_at = moved;
    let detail = format!("to {}", run.due_at.to_rfc3339());
    save::note(tx, &mut run, "rescheduled", detail, "api");
    save::save(tx, &before, &run)?;
    if let Some(row) = outbox_rows::get(tx, id)? {
        let mut moved = row.clone();
        moved.due_at = run.due_at;
        outbox::save::save(tx, Some(&row), Some(&moved))?;
    }
    Ok(run)
}
