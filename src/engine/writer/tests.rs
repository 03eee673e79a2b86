//! The writer's thread over a store in memory: who hears what, and when.

use std::sync::mpsc;

use super::*;
use crate::base::entropy::Entropy;
use crate::base::time::{ManualClock, Time};
use crate::store::fault::Stop;
use crate::store::key::Key;
use crate::store::rows::Rows;
use crate::store::tables::Table;
use crate::store::tx::Tx;

struct Bench {
    handle: Handle,
    writer: Writer,
    faults: mpsc::Receiver<Fault>,
}

fn bench() -> Bench {
    let disk = Arc::new(Disk::in_memory().unwrap());
    let clock = Arc::new(ManualClock::at(Time(1_000)));
    let (told, faults) = mpsc::channel();
    let on_fault: OnFault = Box::new(move |fault| told.send(fault.clone()).unwrap());
    let minter = Minter::new(Entropy::from_seed(1));
    let (handle, writer) = start(disk, clock, minter, on_fault);
    Bench { handle, writer, faults }
}

fn key(text: &str) -> Key {
    Key::new(Table::Meta).text(text)
}

fn write(text: &'static str) -> impl FnOnce(&mut Tx<'_>) -> Result<(), Stop> + Send {
    move |tx| {
        tx.mark(key(text));
        Ok(())
    }
}

fn has(handle: &Handle, text: &str) -> bool {
    handle.snapshot().unwrap().get(key(text).bytes()).unwrap().is_some()
}

/// Holds the writer until the sender is dropped, so that what follows shares one batch.
fn hold(handle: &Handle) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (entered, ready) = mpsc::channel();
    let reply = handle.send(move |_| {
        entered.send(()).unwrap();
        // Ends when the sender is gone.
        let _ = held.recv();
        Ok(())
    });
    drop(reply.unwrap());
    ready.recv().unwrap();
    release
}

#[test]
fn refused_command_leaves_no_rows_in_a_batch() {
    let Bench { handle, writer, .. } = bench();
    let release = hold(&handle);
    let first = handle.send(write("first")).unwrap();
    let refused = handle
        .send(|tx| -> Result<(), Stop> {
            tx.mark(key("refused"));
            tx.count(key("count"), 1);
            Err(Refusal::new(Code::Conflict, "no").into())
        })
        .unwrap();
    let second = handle
        .send(|tx| {
            // A later command of the batch sees the first, and nothing of the refused one.
            assert!(tx.get(key("first").bytes())?.is_some());
            assert!(tx.get(key("refused").bytes())?.is_none());
            assert_eq!(tx.counter(&key("count"))?, 0);
            tx.mark(key("second"));
            Ok(())
        })
        .unwrap();
    drop(release);
    assert_eq!(first.blocking_recv().unwrap(), Ok(()));
    assert_eq!(refused.blocking_recv().unwrap().unwrap_err().code, Code::Conflict);
    assert_eq!(second.blocking_recv().unwrap(), Ok(()));
    assert!(has(&handle, "first") && has(&handle, "second") && !has(&handle, "refused"));
    writer.stop();
}

#[test]
fn panic_of_a_command_ends_the_engine_and_frees_all_callers() {
    let Bench { handle, faults, .. } = bench();
    let release = hold(&handle);
    let before = handle.send(write("before")).unwrap();
    let broken = handle.send(|_| -> Result<(), Stop> { panic!("a broken invariant") }).unwrap();
    let after = handle.send(write("after")).unwrap();
    drop(release);
    for reply in [before, broken, after] {
        assert_eq!(reply.blocking_recv().unwrap().unwrap_err().code, Code::Unknown);
    }
    let fault = faults.recv().unwrap();
    assert!(matches!(&fault, Fault::Panicked(why) if why == "a broken invariant"), "{fault}");
    assert_eq!(handle.send(write("late")).unwrap_err().code, Code::ShuttingDown);
    assert!(!has(&handle, "before") && !has(&handle, "after"));
}

#[test]
fn full_queue_refuses_at_once() {
    let Bench { handle, writer, .. } = bench();
    let release = hold(&handle);
    let replies: Vec<_> = (0..QUEUE_MAX).map(|_| handle.send(write("row")).unwrap()).collect();
    let refusal = handle.send(write("row")).unwrap_err();
    assert_eq!(refusal.code, Code::Busy);
    assert!(refusal.retry_after.is_some());
    assert_eq!(handle.gauges().look().refused_busy, 1);
    drop(release);
    for reply in replies {
        assert_eq!(reply.blocking_recv().unwrap(), Ok(()));
    }
    writer.stop();
}

#[test]
fn stop_commits_what_waits() {
    let Bench { handle, writer, .. } = bench();
    let release = hold(&handle);
    let reply = handle.send(write("last")).unwrap();
    let watched = handle.snapshot().unwrap();
    let stopping = std::thread::spawn(move || writer.stop());
    drop(release);
    assert_eq!(reply.blocking_recv().unwrap(), Ok(()));
    stopping.join().unwrap();
    drop(watched);
    assert_eq!(handle.send(write("late")).unwrap_err().code, Code::ShuttingDown);
}
