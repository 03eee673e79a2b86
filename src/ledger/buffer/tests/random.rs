//! Any acts in any order: after each of them the whole store adds up, and in the end every accepted
//! id is a run.

use super::{Buffering, roomy};
use crate::base::entropy::Entropy;
use crate::base::time::Span;
use crate::ledger::runs::cancel::cancel;
use crate::ledger::runs::edit::{add_tags, reschedule, set_metadata};
use crate::ledger::testing::*;

#[test]
fn every_accepted_id_becomes_a_run_whatever_happens() {
    for seed in 0..60 {
        lives(seed);
    }
}

fn lives(seed: u64) {
    let mut entropy = Entropy::from_seed(seed);
    let mut world = World::seeded(seed);
    world.register(push_task("work"));
    world.register(pull_task("pull"));
    if entropy.below(2) == 0 {
        world.take_name("pull");
    }
    let mut ids = Vec::new();
    for _ in 0..120 {
        let pick = |entropy: &mut Entropy, ids: &[crate::base::id::RunId]| {
            (!ids.is_empty()).then(|| ids[entropy.below(ids.len() as u64) as usize])
        };
        match entropy.below(9) {
            0..3 => {
                let task = ["work", "pull"][entropy.below(2) as usize];
                let org = ["acme", "globex", "initech"][entropy.below(3) as usize];
                let ttl = (entropy.below(4) == 0).then(|| Span::from_secs(3));
                let delay = (entropy.below(4) == 0).then(|| Span::from_secs(2));
                let key = (entropy.below(3) == 0).then(|| format!("k{}", entropy.below(5)));
                let receipt = world.accept_with(task, &roomy(), |run| {
                    run.org = n(org);
                    (run.ttl, run.delay, run.idempotency_key) = (ttl, delay, key);
                });
                ids.extend(receipt.ok().map(|receipt| receipt.run.id));
            }
            3 => drop(world.drain(1 + entropy.below(4) as usize)),
            4 => drop(world.after(Span(entropy.below(3_000) as i64))),
            5 => {
                if let Some(id) = pick(&mut entropy, &ids) {
                    let _ = world.act(|tx| cancel(tx, id, None, "api"));
                }
            }
            6 => {
                if let Some(id) = pick(&mut entropy, &ids) {
                    let tag = format!("t{}", entropy.below(12));
                    let _ = world.act(|tx| add_tags(tx, id, vec![tag]));
                }
            }
            7 => {
                if let Some(id) = pick(&mut entropy, &ids) {
                    let _ = world.act(|tx| set_metadata(tx, id, Some("{}".to_owned()), None));
                    let _ = world.act(|tx| reschedule(tx, id, Span::from_secs(1)));
                }
            }
            _ => drop(world.submit("work")),
        }
    }
    for _ in 0..20 {
        world.after(Span::from_secs(60));
        world.drain(200);
    }
    for id in ids {
        assert!(!world.run(id).buffered, "seed {seed}: {id} is still in the buffer");
    }
}
