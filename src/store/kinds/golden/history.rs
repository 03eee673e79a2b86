//! Golden rows of history.

use std::collections::BTreeMap;

use crate::model::history::{Latency, Resolution, Scope, Slot, Tier};
use crate::model::sample::{Metric, Series};
use crate::store::kinds::history::{self as rows, Known, Named, State};
use crate::store::kinds::times;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn latency() -> Latency {
    let mut latency = Latency::default();
    latency.wait.record(0);
    [7, 31, 32, 65, 1_000, 86_400_000].into_iter().for_each(|ms| latency.run.record(ms));
    latency
}

fn named() -> [Named; 2] {
    let series = Series::new(Metric::StreamLength, "a:b");
    [Named::Value(series), Named::Times(Scope::Env, "acme/prod".to_owned())]
}

fn slots(resolution: Resolution) -> Vec<Option<Slot>> {
    let mut slots = vec![None; resolution.block_steps()];
    slots[0] = Some(Slot::one(7.0));
    slots[1] = Some(Slot::one(7.0));
    slots[4] = Some(Slot::one(-2.125));
    if resolution != Resolution::Raw {
        slots[5] = Some(Slot { mean: 1.5, max: 9.0, count: 10 });
    }
    slots
}

const RESOLUTIONS: [Resolution; 3] = [Resolution::Raw, Resolution::Fine, Resolution::Coarse];

pub fn write(tx: &mut Tx<'_>) {
    let [values, lengths] = named();
    rows::put_known(tx, &values, Known { number: 5, seen_day: 19_675 });
    rows::put_known(tx, &lengths, Known { number: 6, seen_day: 19_676 });
    rows::put_state(tx, &State { next_number: 7, known: 2, hour: 472_222, after: 5 });
    rows::put_tick(tx, 56_666_666, &vec![(5, 3.0), (300, 0.25), (301, -1e9)]);
    times::add(tx, 56_666_666, vec![(6, latency())]).unwrap();
    for resolution in RESOLUTIONS {
        rows::put_block(tx, resolution, 19_675, 5, &slots(resolution));
    }
    for tier in [Tier::FiveMinutes, Tier::Hour, Tier::FourHours] {
        times::put_block(tx, tier, 19_675, 6, &BTreeMap::from([(3, latency())]));
    }
}

pub fn check(rows: &dyn Rows) {
    let [values, lengths] = named();
    assert_eq!(
        rows::list(rows, None, 9).unwrap(),
        [
            (values, Known { number: 5, seen_day: 19_675 }),
            (lengths, Known { number: 6, seen_day: 19_676 }),
        ]
    );
    let state = State { next_number: 7, known: 2, hour: 472_222, after: 5 };
    assert_eq!(rows::state(rows).unwrap(), state);
    let range = 56_666_666..56_666_667;
    let ticks = vec![(56_666_666, vec![(5, 3.0), (300, 0.25), (301, -1e9)])];
    assert_eq!(rows::ticks(rows, range.clone(), 9).unwrap(), ticks);
    let lengths = vec![(56_666_666, vec![(6, latency())])];
    assert_eq!(times::ticks(rows, range, 9, &|_| true).unwrap(), lengths);
    for resolution in RESOLUTIONS {
        let found = rows::block(rows, resolution, 19_675, 5).unwrap();
        assert_eq!(found, slots(resolution));
    }
    check_times(rows, Tier::FiveMinutes);
    check_times(rows, Tier::Hour);
}

pub fn check_times(rows: &dyn Rows, tier: Tier) {
    let steps = times::block(rows, tier, 19_675, 6).unwrap();
    assert_eq!(steps, BTreeMap::from([(3, latency())]));
    assert_eq!(times::runs(rows, tier, 19_675, 6).unwrap(), [(3, 6)]);
}
