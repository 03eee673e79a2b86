//! The duty that goes on with batches: it makes what a crash interrupted, clears away what was never
//! sealed, and cancels the rest of those that are to be canceled, a slice per commit.
//!
//! It looks once at the start, when somebody rings, and now and then: the store says what there is.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;

/// Between two slices: others come first.
const PAUSE: Duration = Duration::from_millis(3);
/// After a refusal (the queue is full, the disk is full) it is tried again this much later.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Nobody rang for so long: it looks anyway.
const IDLE_PAUSE: Duration = Duration::from_secs(5);

/// Goes on with batches until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match turn(&appliance, &stop).await {
            Turn::Done => IDLE_PAUSE,
            Turn::More => PAUSE,
            Turn::Refused => REFUSED_PAUSE,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            // A ring that came since the last look is kept.
            () = appliance.creating().work.notified(), if pause == IDLE_PAUSE => {}
        }
    }
}

enum Turn {
    Done,
    More,
    Refused,
}

/// A slice for each batch that has work, so that a long one does not hold up the others.
async fn turn(appliance: &Appliance, stop: &CancellationToken) -> Turn {
    let Ok(batches) = appliance.batches_with_work() else { return Turn::Refused };
    let mut turn = Turn::Done;
    for id in batches {
        if stop.is_cancelled() {
            return Turn::Done;
        }
        match appliance.go_on_with_batch(id).await {
            Ok(true) => turn = Turn::More,
            Ok(false) => {}
            Err(refusal) => {
                tracing::warn!(batch = %id, %refusal, "a batch is left for later");
                return Turn::Refused;
            }
        }
    }
    turn
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::appliance::batches::{Filter, Order, Page};
    use crate::appliance::intake::Submit;
    use crate::appliance::runs::Scope;
    use crate::appliance::{Settings, start::start};
    use crate::base::entropy::Entropy;
    use crate::base::id::Minter;
    use crate::base::name::Name;
    use crate::base::time::{ManualClock, Time};
    use crate::engine::writer::Writer;
    use crate::ledger::batches::create::{Opening, open, stage};
    use crate::model::task::Task;
    use crate::store::changes::Changes;
    use crate::store::disk::Disk;
    use crate::store::key::Key;
    use crate::store::rows::{Span, first_key};
    use crate::store::tables::Table;
    use crate::store::tx::Tx;

    /// More than two slices.
    const MANY: u32 = 600;

    fn n(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn order(items: u32) -> Order {
        let (org, env) = (n("acme"), n("prod"));
        Order { org, env, items, idempotency_key: None, fingerprint: 7, callback: None }
    }

    fn items(count: u32) -> Vec<Submit> {
        let item = Submit::plain(n("work"), n("acme"), n("prod"), None);
        vec![item; count as usize]
    }

    async fn started() -> (Arc<Disk>, Appliance, Writer) {
        let disk = Arc::new(Disk::in_memory().unwrap());
        let clock = Arc::new(ManualClock::at(Time(1_000_000)));
        let on_fault = Box::new(|fault: &_| panic!("{fault}"));
        let (appliance, writer) =
            start(disk.clone(), clock, Settings::default(), on_fault).unwrap();
        let url = "https://agent.example/run".to_owned();
        appliance.put_task(Task::pushed(n("work"), url, appliance.now())).await.unwrap();
        (disk, appliance, writer)
    }

    fn batches(appliance: &Appliance) -> Page {
        appliance.batches(&Filter::default(), 9, None).unwrap()
    }

    /// What a process leaves that was killed before the seal.
    fn leave_behind(disk: &Disk) {
        let (view, batch) = (disk.snapshot().unwrap(), Changes::default());
        let mut minter = Minter::new(Entropy::from_seed(1));
        let mut tx = Tx::new(&view, &batch, Time(1_000_001), &mut minter);
        let Opening::New(id) = open(&mut tx, &order(MANY)).unwrap() else { panic!("it is new") };
        stage(&mut tx, id, items(MANY - 1)).unwrap();
        let changes = tx.into_changes();
        drop(view);
        disk.commit(changes).unwrap();
    }

    #[tokio::test]
    async fn what_was_never_sealed_is_cleared_away() {
        let (disk, appliance, writer) = started().await;
        leave_behind(&disk);
        let stop = CancellationToken::new();
        let duty = tokio::spawn(run(appliance.clone(), stop.clone()));
        let tables = [Table::Batch, Table::BatchStaged, Table::BatchRun, Table::BatchWork];
        let left = || {
            let view = disk.snapshot().unwrap();
            let first = |table: &Table| first_key(&view, &Span::prefix(&Key::new(*table))).unwrap();
            tables.iter().any(|table| first(table).is_some())
        };
        while left() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        duty.await.unwrap();
        drop(appliance);
        writer.stop();
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_stops_nothing() {
        let (_disk, appliance, writer) = started().await;
        let mut creating = Box::pin(appliance.create_batch(order(MANY), items(MANY)));
        tokio::select! {
            biased;
            done = &mut creating => panic!("it took no time: {done:?}"),
            () = std::future::ready(()) => {}
        }
        drop(creating);
        // There is no duty here: whoever began it goes on.
        while !batches(&appliance).batches.iter().any(|counted| counted.batch.is_whole()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(batches(&appliance).batches[0].open(), u64::from(MANY));
        drop(appliance);
        writer.stop();
    }

    #[tokio::test]
    async fn a_cancellation_rings_for_the_rest() {
        let (_disk, appliance, writer) = started().await;
        let made = appliance.create_batch(order(MANY), items(MANY)).await.unwrap();
        let id = made.batch.batch.id;
        let stop = CancellationToken::new();
        let duty = tokio::spawn(run(appliance.clone(), stop.clone()));
        let scope = Scope::default();
        let asked = appliance.cancel_batch(id, None, "api", &scope).await.unwrap();
        assert!(asked.cancelable() > 0, "a slice is not all: {asked:?}");
        let span = crate::base::time::Span::from_secs(60);
        let done = appliance.batch_done(id, &scope, span).await.unwrap();
        assert!(done.batch.is_done() && done.open() == 0, "{done:?}");
        stop.cancel();
        duty.await.unwrap();
        drop(appliance);
        writer.stop();
    }
}
