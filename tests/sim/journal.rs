//! What the store promises with a journal in front of redb: whatever fails, and whenever the power
//! goes, a reopened store holds all that was acknowledged, at most the one batch more that was
//! under way, and no batch by halves.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use tidegate::base::entropy::Entropy;
use tidegate::store::changes::Changes;
use tidegate::store::fault::Fault;
use tidegate::store::rows::{Rows, Span};

use crate::disk::Trouble;
use crate::machine::{End, Machine};

type Held = BTreeMap<Vec<u8>, Vec<u8>>;

const LIVES: u64 = 250;

/// Rows that come, change and go, and a counter of the rows that are there.
fn batch(entropy: &mut Entropy, held: &Held) -> (Changes, Held) {
    let (mut changes, mut next) = (Changes::default(), held.clone());
    let rows_max = [4, 60][usize::from(entropy.below(4) == 0)];
    let rows = 1 + entropy.below(rows_max);
    for _ in 0..rows {
        let key = [&[ROWS][..], &entropy.below(300).to_be_bytes()].concat();
        let bytes_max = if entropy.below(30) == 0 { 9_000 } else { 200 };
        let bytes = entropy.below(bytes_max);
        let value = (entropy.below(3) > 0).then(|| vec![entropy.next_u64() as u8; bytes as usize]);
        match &value {
            Some(value) => next.insert(key.clone(), value.clone()),
            None => next.remove(&key),
        };
        changes.rows.insert(key, value);
    }
    let delta = rows_of(&next) - rows_of(held);
    changes.counts.insert(COUNT.to_vec(), delta);
    match rows_of(&next) {
        0 => next.remove(COUNT),
        count => next.insert(COUNT.to_vec(), count.to_le_bytes().to_vec()),
    };
    (changes, next)
}

/// First bytes of keys that the store has no use for.
const ROWS: u8 = 200;
const COUNT: &[u8] = &[201];

fn rows_of(held: &Held) -> i64 {
    held.keys().filter(|key| key[0] == ROWS).count() as i64
}

fn contents(machine: &Machine) -> Result<Held, Fault> {
    let mut held = Held::new();
    let all = Span { lo: vec![1], hi: vec![0xff], newest_first: false };
    machine.store().snapshot()?.scan(&all, &mut |key, value| {
        held.insert(key.to_vec(), value.to_vec());
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(held)
}

/// Whatever is found must be what was acknowledged, or that and the batch under way.
struct Model {
    acknowledged: Held,
    under_way: Option<Held>,
}

impl Model {
    fn settle(&mut self, found: Held, story: &str) {
        let fits = found == self.acknowledged || self.under_way.as_ref() == Some(&found);
        assert!(fits, "{story}: an acknowledged commit is lost, or one is there by halves");
        (self.acknowledged, self.under_way) = (found, None);
    }
}

fn trouble(entropy: &mut Entropy) -> Trouble {
    match entropy.below(6) {
        0 => Trouble::Once(ErrorKind::StorageFull),
        1 => Trouble::Lasting(ErrorKind::StorageFull),
        2 => Trouble::Once(ErrorKind::Other),
        _ => Trouble::PowerOff,
    }
}

fn lives(seed: u64) -> u64 {
    let mut entropy = Entropy::from_seed(seed);
    let mut machine = Machine::new([0, 1 << 20][entropy.below(2) as usize]);
    let mut model =
        Model { acknowledged: contents(&machine).expect("the image opens"), under_way: None };
    let mut acknowledged = 0;
    for life in 0..LIVES {
        let story = format!("seed {seed}, life {life}");
        let operations_max = [30, 600][usize::from(entropy.below(4) > 0)];
        let trouble = trouble(&mut entropy);
        let failures = machine.disk().failures();
        machine.disk().fail_at(1 + entropy.below(operations_max), trouble);
        loop {
            let (changes, next) = batch(&mut entropy, &model.acknowledged);
            model.under_way = Some(next);
            let done = match entropy.below(40) {
                0 => machine.store().checkpoint().and_then(|()| machine.store().commit(changes)),
                1 => machine
                    .store()
                    .checkpoint_when_idle()
                    .and_then(|()| machine.store().commit(changes)),
                _ => machine.store().commit(changes),
            };
            if done.is_err() {
                break;
            }
            model.acknowledged = model.under_way.take().expect("it was set above");
            acknowledged += 1;
            // redb may pass over a single failure.
            if machine.disk().failures() > failures && machine.disk().is_healthy() {
                break;
            }
        }
        let disk = machine.disk();
        if matches!(trouble, Trouble::Once(_) | Trouble::Lasting(_)) && entropy.below(2) == 0 {
            // As the engine does when the disk was full.
            disk.heal();
            machine.store().reopen().unwrap_or_else(|fault| panic!("{story}: {fault}"));
            model.settle(contents(&machine).expect("the image opens"), &story);
            continue;
        }
        let how = [End::Power, End::Kill, End::Stop][entropy.below(3) as usize];
        machine.end(how, &mut entropy);
        while entropy.below(4) == 0 {
            // The power goes again, while the store is opened.
            machine.disk().fail_at(1 + entropy.below(40), Trouble::PowerOff);
            let _ = machine.open();
            machine.end(End::Power, &mut entropy);
        }
        machine.open().unwrap_or_else(|fault| panic!("{story}: {fault}"));
        model.settle(contents(&machine).expect("the image opens"), &story);
    }
    acknowledged
}

#[test]
fn journaled_commits_survive_all_trouble() {
    for seed in 0..6 {
        let acknowledged = lives(seed);
        assert!(acknowledged > 2 * LIVES, "seed {seed}: {acknowledged} commits in {LIVES} lives");
    }
}
