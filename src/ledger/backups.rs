//! Remembering backups: what was written, and what verifying it said.

use crate::base::id::Id;
use crate::model::backup::Backup;
use crate::store::fault::Stop;
use crate::store::kinds::backup as rows;
use crate::store::tx::Tx;

/// Backups that are remembered; the oldest are forgotten, their files stay where they are.
pub const REMEMBERED_MAX: usize = 100;

/// Remembers a backup under a fresh id.
pub fn remember(tx: &mut Tx<'_>, backup: Backup) -> Result<Backup, Stop> {
    let backup = Backup { id: tx.mint(), ..backup };
    rows::put(tx, &backup);
    // One more than fits, and one that an earlier bound may have left.
    for old in rows::list(tx, REMEMBERED_MAX + 2)?.into_iter().skip(REMEMBERED_MAX) {
        rows::remove(tx, old.id);
    }
    Ok(backup)
}

/// What verifying it said: nothing, or what is wrong.
pub fn verified(tx: &mut Tx<'_>, id: Id, damage: Option<String>) -> Result<(), Stop> {
    // One that was forgotten meanwhile stays forgotten.
    if let Some(mut backup) = rows::get(tx, id)? {
        (backup.verified_at, backup.damage) = (Some(tx.now()), damage);
        rows::put(tx, &backup);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Name;
    use crate::base::time::Time;
    use crate::ledger::testing::World;

    fn backup(n: u64) -> Backup {
        Backup {
            id: Id([0; 16]),
            name: Name::new(&format!("b{n}.tidegate")).unwrap(),
            by: "api".to_owned(),
            started_at: Time(1),
            finished_at: Time(2),
            sequence: n,
            rows: 3,
            file_bytes: 4,
            digest: "00".to_owned(),
            error: None,
            verified_at: None,
            damage: None,
        }
    }

    #[test]
    fn oldest_backups_are_forgotten() {
        let mut world = World::new();
        for n in 0..REMEMBERED_MAX as u64 + 5 {
            world.act(|tx| remember(tx, backup(n))).unwrap();
        }
        let kept = world.ask(|all| rows::list(all, usize::MAX)).unwrap();
        assert_eq!(kept.len(), REMEMBERED_MAX);
        assert_eq!(kept[0].sequence, REMEMBERED_MAX as u64 + 4, "newest first");
        let id = kept[0].id;
        world.act(|tx| verified(tx, id, Some("torn".to_owned()))).unwrap();
        let found = world.ask(|all| rows::get(all, id)).unwrap().unwrap();
        assert!(found.verified_at.is_some() && !found.is_good());
        world.act(|tx| verified(tx, Id([9; 16]), None)).unwrap();
    }
}
