//! The duty that removes what was cut off streams, and the rows of streams that are gone.
//!
//! It is woken by a hint and looks once at the start, so that what a crash left behind goes too.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;

/// Between two commits of a purge: others come first.
const PAUSE: Duration = Duration::from_millis(3);
/// After a refusal (the queue is full, the disk is full) it is tried again this much later.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Purges until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match appliance.purge().await {
            Ok(true) => Some(PAUSE),
            Ok(false) => None,
            Err(_) => Some(REFUSED_PAUSE),
        };
        let again = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                // A hint that came since the last look is kept.
                None => appliance.hub().purge.notified().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = again => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::appliance::{Settings, start::start};
    use crate::base::time::{ManualClock, Time};
    use crate::model::notice::Notice;
    use crate::store::changes::Changes;
    use crate::store::disk::Disk;
    use crate::store::key::Key;
    use crate::store::rows::{Span, first_key};
    use crate::store::tables::Table;

    /// A stream of which nothing but its rows and the mark for their removal is left.
    fn leave_behind(disk: &Disk, stream: u64, rows: u64) {
        let mut changes = Changes::default();
        for ms in 0..rows {
            let key = Key::new(Table::Entry).u64(stream).u64(ms).u64(0);
            changes.rows.insert(key.into_bytes(), Some(vec![1, 0, 0, 0]));
        }
        let mark = Key::new(Table::Purge).u64(stream).u8(0);
        changes.rows.insert(mark.into_bytes(), Some(Vec::new()));
        disk.commit(changes).unwrap();
    }

    async fn everything_goes(disk: &Disk) {
        for _ in 0..10_000 {
            let view = disk.snapshot().unwrap();
            let left = |table| first_key(&view, &Span::prefix(&Key::new(table))).unwrap();
            if left(Table::Entry).is_none() && left(Table::Purge).is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("rows are left");
    }

    #[tokio::test]
    async fn rows_go_at_start_and_on_a_hint() {
        let disk = Arc::new(Disk::in_memory().unwrap());
        leave_behind(&disk, 7, 5_000);
        let clock = Arc::new(ManualClock::at(Time(1_000)));
        let on_fault = Box::new(|fault: &_| panic!("{fault}"));
        let (appliance, writer) =
            start(disk.clone(), clock, Settings::default(), on_fault).unwrap();
        let stop = CancellationToken::new();
        let duty = tokio::spawn(run(appliance.clone(), stop.clone()));
        everything_goes(&disk).await;

        leave_behind(&disk, 8, 10);
        appliance.hub().publish(&[Notice::Purge]);
        everything_goes(&disk).await;

        stop.cancel();
        duty.await.unwrap();
        drop(appliance);
        writer.stop();
    }
}
