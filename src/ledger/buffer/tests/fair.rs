//! Shares of orgs and envs.

use std::collections::BTreeMap;

use super::{Buffering, roomy};
use crate::base::id::RunId;
use crate::base::name::Name;
use crate::ledger::buffer::rotate::{Rotation, plan};
use crate::ledger::testing::*;
use crate::store::kinds::buffered;

/// Fills queues without heads: the order of turns reads nothing else.
fn fill(world: &mut World, loads: &[(String, String, usize)]) {
    world.checking = false;
    let mut number = 0u64;
    for (org, env, count) in loads {
        let (org, env) = (n(org), n(env));
        world
            .act(|tx| {
                for _ in 0..*count {
                    number += 1;
                    tx.mark(buffered::queue(&org, &env).id(id_of(number)));
                }
                Ok(())
            })
            .unwrap();
    }
}

fn id_of(number: u64) -> RunId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    crate::base::id::Id(bytes)
}

/// Takes `count` turns in slices, as the duty does, and says whose they were.
fn turns(
    world: &mut World,
    rotation: &mut Rotation,
    count: usize,
    slice: usize,
) -> Vec<(Name, Name)> {
    let mut served = Vec::new();
    while served.len() < count {
        let picks = world.ask(|rows| plan(rows, rotation, slice)).unwrap();
        if picks.is_empty() {
            break;
        }
        world
            .act(|tx| {
                for pick in &picks {
                    buffered::dequeue(tx, &pick.org, &pick.env, pick.run);
                }
                Ok(())
            })
            .unwrap();
        served.extend(picks.into_iter().map(|pick| (pick.org, pick.env)));
    }
    served
}

fn shares(served: &[(Name, Name)]) -> BTreeMap<(Name, Name), usize> {
    let mut shares = BTreeMap::new();
    for env in served {
        *shares.entry(env.clone()).or_default() += 1;
    }
    shares
}

fn load(org: &str, env: &str, count: usize) -> (String, String, usize) {
    (org.to_owned(), env.to_owned(), count)
}

#[test]
fn a_light_env_waits_for_as_many_turns_as_it_has_entries() {
    let mut world = World::new();
    fill(&mut world, &[load("a", "prod", 100_000), load("b", "prod", 10)]);
    let mut rotation = Rotation::default();
    let served = turns(&mut world, &mut rotation, 400, 50);
    let last_of_b = served.iter().rposition(|(org, _)| org.as_str() == "b").unwrap();
    let before: usize = served[..last_of_b].iter().filter(|(org, _)| org.as_str() == "a").count();
    assert!(before < 200, "{before} of a went before the last of b");
    assert_eq!(shares(&served)[&(n("b"), n("prod"))], 10);
}

#[test]
fn an_org_gains_nothing_by_its_number_of_envs() {
    let mut world = World::new();
    let mut loads: Vec<_> = (0..6).map(|env| load("many", &format!("e{env}"), 1_000)).collect();
    loads.push(load("one", "prod", 1_000));
    fill(&mut world, &loads);
    let mut rotation = Rotation::default();
    let served = turns(&mut world, &mut rotation, 1_000, 50);
    let of_one = served.iter().filter(|(org, _)| org.as_str() == "one").count();
    assert!((495..=505).contains(&of_one), "{of_one} of 1,000");
    let envs = shares(&served);
    let many: Vec<_> = envs.iter().filter(|((org, _), _)| org.as_str() == "many").collect();
    assert!(many.iter().all(|(_, count)| (80..=86).contains(*count)), "{many:?}");
}

/// 1,000 orgs with 3 envs each: whichever 10,000 turns are looked at, each env that still waits has
/// its three or four of them.
#[test]
fn shares_are_equal_over_any_ten_thousand() {
    let mut world = World::new();
    let mut loads = Vec::new();
    for org in 0..1_000 {
        for env in 0..3 {
            loads.push(load(
                &format!("o{org:04}"),
                &format!("e{env}"),
                12 + (org * 7 + env * 13) % 40,
            ));
        }
    }
    fill(&mut world, &loads);
    let mut rotation = Rotation::default();
    let served = turns(&mut world, &mut rotation, 30_000, 500);
    for from in (0..=20_000).step_by(1_000) {
        let window = shares(&served[from..from + 10_000]);
        assert_eq!(window.len(), 3_000);
        let (least, most) = (window.values().min().unwrap(), window.values().max().unwrap());
        assert!(*least >= 3 && *most <= 4, "from {from}: {least} to {most}");
    }
}

#[test]
fn small_slices_reach_everybody() {
    let mut world = World::new();
    let loads: Vec<_> = (0..40).map(|org| load(&format!("o{org:02}"), "prod", 20)).collect();
    fill(&mut world, &loads);
    let mut rotation = Rotation::default();
    let served = turns(&mut world, &mut rotation, 119, 7);
    let shares = shares(&served);
    assert_eq!((served.len(), shares.len()), (119, 40));
    assert!(shares.values().all(|count| (2..=3).contains(count)), "{shares:?}");
}

#[test]
fn a_restart_begins_its_turns_anew() {
    let mut world = World::with(push_task("work"));
    for _ in 0..4 {
        world.accept_with("work", &roomy(), |_| {}).unwrap();
    }
    let mut rotation = Rotation::default();
    assert_eq!(world.drain_on(&mut rotation, 2).made, 2);
    assert_eq!(world.drain_on(&mut Rotation::default(), 9).made, 2);
}
