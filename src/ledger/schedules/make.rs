//! What an org gets of a round: its run or its sharded run, made with the slot that says so.

use crate::base::hash::Fnv;
use crate::base::json;
use crate::base::name::Name;
use crate::ledger::runs::submit::{self, Submit};
use crate::ledger::shards::plan::{self, Part, Plan};
use crate::model::refusal::Refusal;
use crate::model::schedule::{Got, Round, Schedule, Slot, Work};
use crate::model::shard::{ITEM_DEPTH_MAX, ITEMS_MAX, Wishes};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::round as rounds;
use crate::store::kinds::task as task_rows;
use crate::store::tx::Tx;

/// Every run of a schedule has this tag.
pub fn tag(schedule: &Name) -> String {
    format!("schedule:{schedule}")
}

/// What the orgs of a schedule get, read once for all orgs of a slice.
pub(super) struct Job<'a> {
    schedule: &'a Schedule,
    what: What<'a>,
}

enum What<'a> {
    Run(Option<&'a [u8]>),
    Shards(Shards),
}

struct Shards {
    shard_size: u32,
    items: u32,
    parts: Vec<Part>,
    fingerprint: u64,
}

impl<'a> Job<'a> {
    pub fn of(tx: &Tx<'_>, schedule: &'a Schedule) -> Result<Job<'a>, Fault> {
        let (text, shard_size) = match &schedule.wanted.work {
            Work::Items { text, shard_size, .. } => (text, shard_size),
            Work::Payload(payload) => {
                return Ok(Job { schedule, what: What::Run(payload.as_deref()) });
            }
        };
        let task = task_rows::get(tx, &schedule.wanted.task)?;
        let shard_size = plan::shard_size(*shard_size, task.and_then(|task| task.shard_size));
        let mut text = text.clone();
        let items = json::items(&mut text, ITEM_DEPTH_MAX, ITEMS_MAX).map_err(|_| {
            Fault::Corrupt(format!("the items of schedule `{}` are no array", schedule.name))
        })?;
        let shards = Shards {
            shard_size,
            items: items.len() as u32,
            parts: plan::cut(&text, &items, shard_size).collect(),
            fingerprint: Fnv::default().write_json(&text).finish(),
        };
        Ok(Job { schedule, what: What::Shards(shards) })
    }

    /// Runs and shards that one org costs.
    pub fn weight(&self) -> usize {
        match &self.what {
            What::Run(_) => 1,
            What::Shards(shards) => shards.parts.len().max(1),
        }
    }

    /// Gives an org what it gets of this round, unless it has it. A refusal becomes its slot, so
    /// one org holds up no other.
    pub fn give(&self, tx: &mut Tx<'_>, round: &mut Round, org: &Name) -> Result<(), Fault> {
        let known = rounds::slot(tx, round, org)?;
        if known.as_ref().is_some_and(|slot| !slot.got.is_nothing()) {
            return Ok(());
        }
        let got = match tx.attempt(|tx| self.make(tx, round, org))? {
            Ok(got) => got,
            Err(Refusal { code, message, .. }) => {
                Got::Nothing { code: code.as_str().to_owned(), message }
            }
        };
        round.failing = round.failing - u32::from(known.is_some()) + u32::from(got.is_nothing());
        round.made += u32::from(!got.is_nothing());
        let tries = known.map_or(0, |slot| slot.tries) + 1;
        rounds::put_slot(tx, round, &Slot { org: org.clone(), at: tx.now(), tries, got });
        Ok(())
    }

    fn make(&self, tx: &mut Tx<'_>, round: &Round, org: &Name) -> Result<Got, Stop> {
        let Schedule { name, wanted, .. } = self.schedule;
        let (task, org, env) = (wanted.task.clone(), org.clone(), wanted.env.clone());
        let tags = vec![tag(name)];
        match &self.what {
            What::Run(payload) => {
                let about = serde_json::json!({ "schedule": name, "window": round.window });
                let command = Submit {
                    tags,
                    metadata: Some(about.to_string()),
                    ..Submit::plain(task, org, env, payload.map(<[u8]>::to_vec))
                };
                Ok(Got::Run(submit::submit(tx, command)?.run.id))
            }
            What::Shards(shards) => {
                let command = Plan {
                    task,
                    org,
                    env,
                    shard_size: shards.shard_size,
                    items: shards.items,
                    shards: shards.parts.len() as u32,
                    window: round.window.map(|at| at.to_rfc3339()),
                    schedule: Some(name.to_string()),
                    idempotency_key: None,
                    fingerprint: shards.fingerprint,
                    wishes: Wishes { tags, ..Wishes::default() },
                };
                Ok(Got::Sharded(plan::plan(tx, command, shards.parts.clone())?.head.id))
            }
        }
    }
}
