//! Tags, metadata, delay.

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::runs::edit::{add_tags, reschedule, set_metadata};
use crate::ledger::testing::*;
use crate::model::refusal::{Code, Refusal};

fn tag(world: &mut World, id: RunId, tags: &[&str]) -> Result<usize, Refusal> {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    world.act(|tx| add_tags(tx, id, tags)).map(|(_, new)| new)
}

#[test]
fn tags_are_added_all_or_none() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    assert_eq!(tag(&mut world, id, &["a", "b", "a"]), Ok(2));
    assert_eq!(tag(&mut world, id, &["b", "c"]), Ok(1));
    let seven = ["c", "1", "2", "3", "4", "5", "6"];
    assert_eq!(tag(&mut world, id, &seven), Ok(6));
    let before = world.dump();
    assert_refused(tag(&mut world, id, &["7", "8"]), Code::TooManyTags);
    assert_eq!(tag(&mut world, id, &["a", "6"]), Ok(0));
    assert_eq!(world.dump(), before);
    assert_eq!(tag(&mut world, id, &["7"]), Ok(1));
    assert_eq!(world.run(id).tags.len(), 10);
}

#[test]
fn metadata_changes_under_its_version() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let mut set = |text: &str, version| {
        let text = Some(text.to_owned());
        world.act(|tx| set_metadata(tx, id, text, version)).map(|run| run.metadata_version)
    };
    assert_eq!(set("{}", Some(0)), Ok(1));
    assert_eq!(set("{\"a\":1}", None), Ok(2));
    let refusal = set("{\"b\":1}", Some(1)).unwrap_err();
    assert_eq!(refusal.code, Code::VersionConflict);
    assert_eq!(refusal.details.unwrap()["metadata_version"], 2);
    assert_eq!(world.run(id).metadata.as_deref(), Some("{\"a\":1}"));
}

#[test]
fn b21_only_delayed_runs_are_rescheduled() {
    let mut world = World::with(push_task("work"));
    let moved =
        |world: &mut World, id, secs| world.act(|tx| reschedule(tx, id, Span::from_secs(secs)));
    let queued = world.submit("work");
    assert_refused(moved(&mut world, queued, 60), Code::NotAllowedInState);
    let out = world.claim_one("work");
    assert_refused(moved(&mut world, queued, 60), Code::NotAllowedInState);
    world.answer(&out, done(1));
    assert_refused(moved(&mut world, queued, 60), Code::NotAllowedInState);

    let delay = |run: &mut crate::ledger::runs::submit::Submit| {
        (run.delay, run.ttl) = (Some(Span::from_secs(60)), Some(Span::from_secs(5)));
    };
    let id = world.submit_with("work", delay).unwrap().run.id;
    let later = moved(&mut world, id, 600).unwrap();
    assert_eq!(later.due_at, START.plus(Span::from_secs(600)));
    assert_eq!(later.expires_at, Some(START.plus(Span::from_secs(605))));
    assert!(world.after(Span::from_secs(60)).claim("work").is_empty());
    moved(&mut world, id, 0).unwrap();
    assert_eq!(world.fire().claim_one("work").run.id, id);
}
