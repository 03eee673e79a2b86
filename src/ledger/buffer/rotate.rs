//! Whose turn it is: org after org, and within each org env after env, one entry at a time.
//!
//! So the share of an org does not grow with the number of its envs, and one that has a hundred
//! thousand entries waits for one that has ten no longer than ten turns. A restart begins anew: the
//! order of turns is no promise, the evenness is.

use std::collections::{BTreeMap, VecDeque};

use crate::base::id::RunId;
use crate::base::name::Name;
use crate::store::fault::Fault;
use crate::store::kinds::buffered;
use crate::store::rows::Rows;

/// Orgs of which one plan takes notice; the next one goes on behind them.
pub const ORGS_MAX: usize = 500;
/// Orgs whose latest env is remembered; beyond them all begin anew with their first.
const REMEMBERED_MAX: usize = 10_000;
/// Entries of an env that are looked up at once.
const CHUNK: usize = 32;

/// Where the turns stand.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// The org that was served last.
    org: Option<Name>,
    /// The env of each org that was served last; of orgs that had entries at the latest look.
    envs: BTreeMap<Name, Name>,
}

/// An entry whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    pub org: Name,
    pub env: Name,
    pub run: RunId,
}

/// The queue of an env, read piece by piece.
struct Queue {
    env: Name,
    ahead: VecDeque<RunId>,
    after: Option<RunId>,
    is_read: bool,
}

impl Queue {
    fn next(&mut self, rows: &dyn Rows, org: &Name) -> Result<Option<RunId>, Fault> {
        if self.ahead.is_empty() && !self.is_read {
            let found = buffered::next(rows, (org, &self.env), self.after, CHUNK)?;
            self.is_read = found.len() < CHUNK;
            self.after = found.last().copied().or(self.after);
            self.ahead = found.into();
        }
        Ok(self.ahead.pop_front())
    }
}

/// The next `count` entries, and the rotation behind them.
pub fn plan(rows: &dyn Rows, rotation: &mut Rotation, count: usize) -> Result<Vec<Pick>, Fault> {
    let mut turns = orgs_from(rows, rotation.org.as_ref(), count.min(ORGS_MAX))?;
    let known = |org: &Name| turns.iter().any(|(name, _)| name == org);
    if turns.len() < ORGS_MAX.min(count) {
        // All orgs that have entries are here: the others are forgotten.
        rotation.envs.retain(|org, _| known(org));
    }
    if rotation.envs.len() > REMEMBERED_MAX {
        rotation.envs.clear();
    }
    let mut picks = Vec::with_capacity(count);
    while picks.len() < count
        && let Some((org, mut queues)) = turns.pop_front()
    {
        if queues.is_empty() {
            queues = envs_from(rows, &org, rotation.envs.get(&org), count)?;
        }
        while let Some(mut queue) = queues.pop_front() {
            let Some(run) = queue.next(rows, &org)? else { continue };
            rotation.envs.insert(org.clone(), queue.env.clone());
            rotation.org = Some(org.clone());
            picks.push(Pick { org: org.clone(), env: queue.env.clone(), run });
            queues.push_back(queue);
            break;
        }
        if !queues.is_empty() {
            turns.push_back((org, queues));
        }
    }
    Ok(picks)
}

type Turn = (Name, VecDeque<Queue>);

/// At most `limit` orgs with entries, in the order of their turns.
fn orgs_from(rows: &dyn Rows, after: Option<&Name>, limit: usize) -> Result<VecDeque<Turn>, Fault> {
    let mut orgs = buffered::orgs(rows, after, limit)?;
    if let Some(after) = after
        && orgs.len() < limit
    {
        let wrapped = buffered::orgs(rows, None, limit - orgs.len())?;
        orgs.extend(wrapped.into_iter().take_while(|org| org <= after));
    }
    Ok(orgs.into_iter().map(|org| (org, VecDeque::new())).collect())
}

/// At most `limit` envs of an org with entries, in the order of their turns.
fn envs_from(
    rows: &dyn Rows,
    org: &Name,
    after: Option<&Name>,
    limit: usize,
) -> Result<VecDeque<Queue>, Fault> {
    let mut envs = buffered::envs(rows, org, after, limit)?;
    if let Some(after) = after
        && envs.len() < limit
    {
        let wrapped = buffered::envs(rows, org, None, limit - envs.len())?;
        envs.extend(wrapped.into_iter().take_while(|env| env <= after));
    }
    let queue = |env| Queue { env, ahead: VecDeque::new(), after: None, is_read: false };
    Ok(envs.into_iter().map(queue).collect())
}
