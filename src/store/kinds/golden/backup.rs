//! Golden rows of backups.

use super::{id, name};
use crate::base::time::Time;
use crate::model::backup::Backup;
use crate::store::kinds::backup;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn a_backup() -> Backup {
    Backup {
        id: id(31),
        name: name("nightly.tidegate"),
        by: "schedule".to_owned(),
        started_at: Time(3001),
        finished_at: Time(3002),
        sequence: 3003,
        rows: 3004,
        file_bytes: 3005,
        digest: "00ff".to_owned(),
        error: Some("no room".to_owned()),
        verified_at: Some(Time(3006)),
        damage: Some("torn".to_owned()),
    }
}

pub fn write(tx: &mut Tx<'_>) {
    backup::put(tx, &a_backup());
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(backup::get(rows, id(31)).unwrap(), Some(a_backup()));
    assert_eq!(backup::list(rows, 9).unwrap(), [a_backup()]);
}
