//! What must be true of schedules after every act: windows are made once, counts are those of the
//! slots, and whoever has something to do has its timer.

use std::collections::BTreeSet;

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::run::Run;
use crate::model::schedule::{Got, ROUNDS_KEPT, Round, RoundState};
use crate::store::key::last_id;
use crate::store::kinds::{round as rounds, schedule as rows};
use crate::store::rows::Rows;
use crate::store::tables::Table;

use super::invariants::table;

/// Gives the timers of all schedules.
pub fn check<'a>(view: &dyn Rows, runs: impl Iterator<Item = &'a Run>) -> BTreeSet<(Time, Id)> {
    let mut made = BTreeSet::new();
    for run in runs.filter(|run| run.replay_of.is_none()) {
        let about: Option<serde_json::Value> =
            run.metadata.as_ref().and_then(|text| serde_json::from_str(text).ok());
        let Some(about) = about.filter(|about| about["window"].is_string()) else { continue };
        let window = (run.org.clone(), about["schedule"].to_string(), about["window"].to_string());
        assert!(made.insert(window.clone()), "two runs of {window:?}");
    }
    let mut timers = BTreeSet::new();
    for (key, _) in table(view, Table::ScheduleProgress) {
        let id = last_id(&key).unwrap();
        let progress = rows::progress(view, id).unwrap().unwrap();
        let about = format!("schedule {}", progress.name);
        timers.extend(progress.due_at.map(|at| (at, id)));
        if progress.deleted {
            continue;
        }
        assert_eq!(rows::get(view, &progress.name).unwrap().unwrap().id, id, "{about}");
        assert!(progress.next.is_none_or(|next| next > progress.passed), "{about}: next window");
        let all = rounds::newest(view, id, usize::MAX).unwrap();
        let windows: Vec<Time> = all.iter().filter_map(|round| round.window).collect();
        assert!(windows.windows(2).all(|two| two[0] > two[1]), "{about}: {windows:?}");
        assert!(windows.iter().all(|window| *window <= progress.passed), "{about}: {windows:?}");
        let open: BTreeSet<Id> =
            all.iter().filter(|r| r.state == RoundState::Open).map(|r| r.id).collect();
        let known = [progress.round, progress.manual].into_iter().flatten().collect();
        assert_eq!(open, known, "{about}: open rounds");
        for round in all.iter().take(ROUNDS_KEPT) {
            check_round(view, round, &about);
        }
    }
    timers
}

fn check_round(view: &dyn Rows, round: &Round, about: &str) {
    let slots = rounds::slots(view, round, None, usize::MAX).unwrap();
    let failing = slots.iter().filter(|slot| slot.got.is_nothing()).count();
    assert_eq!(failing, round.failing as usize, "{about}: failing");
    assert_eq!(slots.len() - failing, round.made as usize, "{about}: made");
    let got: BTreeSet<Id> = slots
        .iter()
        .filter_map(|slot| match slot.got {
            Got::Run(id) | Got::Sharded(id) => Some(id),
            Got::Nothing { .. } => None,
        })
        .collect();
    assert_eq!(got.len(), round.made as usize, "{about}: two orgs have one run");
    assert!(round.state != RoundState::Done || failing == 0, "{about}: done");
    assert_eq!(round.ended_at.is_none(), round.state == RoundState::Open, "{about}: its end");
}
