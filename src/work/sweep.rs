//! The duty of the stale sweep: one pass over the burst buffer every interval, a warning for each
//! entry that waits too long. It is apart from the drain, since it has to notice when that is dead.
//!
//! It looks at its settings in between, so that a change counts without a restart. The first pass
//! comes an interval after the start: what waited while the process was down is drained meanwhile,
//! and a restart raises no alert. A pass is a row of slices, each a transaction, with the writer free
//! in between; a stop waits for the slice in flight, and the next process goes on behind it.

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::base::time::Span;
use crate::ledger::buffer::sweep::{LOGGED_MAX, Pass, SliceLimits, SweepNumbers};
use crate::model::buffer::BufferSettings;

/// A new interval, or the switch, is noticed after this time at the latest.
const LOOK: Span = Span::from_secs(5);
/// Shortest time between two passes: the settings have a limit of their own, this one only keeps
/// the duty from spinning.
const INTERVAL_MIN: Span = Span::from_millis(1);

/// What is set for the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub enabled: bool,
    pub interval: Span,
    pub numbers: SweepNumbers,
}

impl From<&BufferSettings> for Turn {
    /// The master switch is above the sweep's own.
    fn from(settings: &BufferSettings) -> Turn {
        let sweep = &settings.sweep;
        Turn {
            enabled: settings.enabled && sweep.enabled,
            interval: sweep.interval,
            numbers: SweepNumbers {
                stale_after: sweep.stale_after,
                orgs_per_pass: sweep.orgs_per_pass as usize,
                entries_per_env: sweep.entries_per_env as usize,
                slice: SliceLimits::default(),
            },
        }
    }
}

/// Sweeps until `stop`, as `turn` says at each look.
pub async fn run(appliance: Appliance, turn: impl Fn() -> Turn, stop: CancellationToken) {
    let mut waited = Span::ZERO;
    loop {
        let turn = turn();
        let interval = turn.interval.max(INTERVAL_MIN);
        if waited < interval {
            let wait = Span(interval.0 - waited.0).min(LOOK);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait.to_duration()) => {}
            }
            waited = Span(waited.0 + wait.0);
            continue;
        }
        waited = Span::ZERO;
        once(&appliance, &turn, &stop).await;
        if stop.is_cancelled() {
            return;
        }
    }
}

/// One pass. Its slices are not abandoned on a stop: whoever waits for the duty waits for the one in
/// flight.
async fn once(appliance: &Appliance, turn: &Turn, stop: &CancellationToken) {
    let mut numbers = turn.numbers;
    let mut whole = Pass::default();
    loop {
        match appliance.sweep_buffer(turn.enabled, numbers).await {
            Ok(slice) => {
                numbers.orgs_per_pass = numbers.orgs_per_pass.saturating_sub(slice.orgs);
                add(&mut whole, slice);
            }
            // The writer may have been asked to stop too: nothing is amiss then.
            Err(refusal) if stop.is_cancelled() => {
                tracing::debug!(error = %refusal, "the stale sweep ends");
                break;
            }
            Err(refusal) => {
                tracing::warn!(error = %refusal, "a pass of the stale sweep failed");
                break;
            }
        }
        if !whole.unfinished || numbers.orgs_per_pass == 0 || stop.is_cancelled() {
            break;
        }
        // Whatever else a task of this thread has to do comes in between.
        tokio::task::yield_now().await;
    }
    tell(&whole, turn.numbers.stale_after);
}

/// Adds what the next slice found.
fn add(whole: &mut Pass, slice: Pass) {
    whole.orgs += slice.orgs;
    whole.envs += slice.envs;
    whole.stale_entries += slice.stale_entries;
    whole.stale_now = slice.stale_now;
    whole.wrapped = slice.wrapped;
    whole.unfinished = slice.unfinished;
    let room = LOGGED_MAX - whole.logged.len();
    whole.logged.extend(slice.logged.into_iter().take(room));
}

/// A line for each stale entry that the pass names, at most [`LOGGED_MAX`], and one for all others.
fn tell(pass: &Pass, threshold: Span) {
    for entry in &pass.logged {
        tracing::warn!(
            run = %entry.run,
            org = %entry.org,
            env = %entry.env,
            dwell_ms = entry.dwell.as_millis(),
            threshold_ms = threshold.as_millis(),
            "buffer entry is stale"
        );
    }
    let more = pass.stale_entries.saturating_sub(pass.logged.len() as u64);
    if more > 0 {
        tracing::warn!(more, "more buffer entries are stale than are named");
    }
    if pass.envs > 0 {
        let Pass { orgs, envs, stale_now, wrapped, .. } = pass;
        tracing::debug!(orgs, envs, stale_now, wrapped, "the buffer was swept");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::appliance::{Settings, start::start};
    use crate::base::id::Id;
    use crate::base::name::Name;
    use crate::base::time::{ManualClock, Time};
    use crate::engine::writer::Writer;
    use crate::ledger::buffer::sweep;
    use crate::store::changes::Changes;
    use crate::store::disk::Disk;
    use crate::store::kinds::buffered;

    const NOW: Time = Time(1_750_000_000_000);

    /// A place in a queue for each of `count` entries that were accepted six minutes ago.
    fn queue_up(disk: &Disk, count: u8) {
        let mut changes = Changes::default();
        for n in 0..count {
            let mut id = Id::floor_of(NOW.minus(Span::from_mins(6)));
            id.0[15] = n;
            let queue = buffered::queue(&Name::new("acme").unwrap(), &Name::new("prod").unwrap());
            changes.rows.insert(queue.id(id).into_bytes(), Some(Vec::new()));
        }
        disk.commit(changes).unwrap();
    }

    fn started(disk: &Arc<Disk>) -> (Appliance, Writer) {
        let clock = Arc::new(ManualClock::at(NOW));
        let on_fault = Box::new(|fault: &_| panic!("{fault}"));
        start(disk.clone(), clock, Settings::default(), on_fault).unwrap()
    }

    fn turn(enabled: bool) -> Turn {
        let mut settings = BufferSettings { enabled, ..BufferSettings::default() };
        (settings.sweep.enabled, settings.sweep.interval) = (enabled, Span(1));
        Turn::from(&settings)
    }

    fn stale(disk: &Disk) -> u64 {
        sweep::stale(&disk.snapshot().unwrap()).unwrap()
    }

    /// What is written to the log from here on by this thread.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn start() -> (Log, tracing::subscriber::DefaultGuard) {
            let log = Log::default();
            let sink = log.clone();
            let lines =
                tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone());
            (log, tracing::subscriber::set_default(lines.finish()))
        }

        fn lines_with(&self, words: &str) -> usize {
            let bytes = self.0.lock().unwrap();
            String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(words)).count()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a13_stop_waits_for_the_pass_in_flight() {
        let disk = Arc::new(Disk::in_memory().unwrap());
        queue_up(&disk, 3);
        let (appliance, writer) = started(&disk);
        let (log, _guard) = Log::start();
        let (stop, looks) = (CancellationToken::new(), Cell::new(0));
        // The stop comes when the pass is about to be sent: it is awaited all the same.
        let settings = || {
            looks.set(looks.get() + 1);
            if looks.get() == 2 {
                stop.cancel();
            }
            turn(true)
        };
        run(appliance.clone(), settings, stop.clone()).await;
        assert_eq!((stale(&disk), looks.get()), (3, 2));
        assert_eq!((log.lines_with("buffer entry is stale"), log.lines_with("failed")), (3, 0));
        drop(appliance);
        writer.stop();
    }

    #[tokio::test]
    async fn settings_are_read_at_each_turn() {
        let disk = Arc::new(Disk::in_memory().unwrap());
        queue_up(&disk, 3);
        let (appliance, writer) = started(&disk);
        let (stop, looks, most) = (CancellationToken::new(), Cell::new(0), Cell::new(0));
        // A pass comes at every second look; the third pass finds the sweep switched off.
        let settings = || {
            looks.set(looks.get() + 1);
            most.set(most.get().max(stale(&disk)));
            if looks.get() == 6 {
                stop.cancel();
            }
            turn(looks.get() < 6)
        };
        run(appliance.clone(), settings, stop.clone()).await;
        assert_eq!((most.get(), stale(&disk)), (3, 0));
        drop(appliance);
        writer.stop();
    }

    #[tokio::test]
    async fn a_failed_pass_is_logged_and_swallowed() {
        let disk = Arc::new(Disk::in_memory().unwrap());
        let (appliance, writer) = started(&disk);
        writer.stop();
        let (log, _guard) = Log::start();
        let (stop, looks) = (CancellationToken::new(), Cell::new(0));
        let settings = || {
            looks.set(looks.get() + 1);
            if looks.get() == 6 {
                stop.cancel();
            }
            turn(true)
        };
        run(appliance, settings, stop.clone()).await;
        assert_eq!(log.lines_with("a pass of the stale sweep failed"), 2, "the last is no failure");
    }

    #[test]
    fn lines_of_a_pass_are_bounded() {
        let (log, _guard) = Log::start();
        let entry = sweep::StaleEntry {
            run: Id::MIN,
            org: Name::new("acme").unwrap(),
            env: Name::new("prod").unwrap(),
            dwell: Span::from_mins(6),
        };
        let logged = vec![entry; sweep::LOGGED_MAX];
        tell(&Pass { logged, stale_entries: 107, envs: 1, ..Pass::default() }, Span::from_mins(5));
        assert_eq!(log.lines_with("buffer entry is stale"), sweep::LOGGED_MAX);
        let line = format!("run={} org=acme env=prod dwell_ms=360000 threshold_ms=300000", Id::MIN);
        assert_eq!(log.lines_with(&line), sweep::LOGGED_MAX);
        assert_eq!(log.lines_with("more buffer entries are stale than are named more=7"), 1);
    }

    #[test]
    fn b05_master_switch_is_above_the_sweep() {
        let mut settings = BufferSettings::default();
        assert!(!Turn::from(&settings).enabled);
        settings.enabled = true;
        assert!(!Turn::from(&settings).enabled, "nothing else switches it on");
        settings.sweep.enabled = true;
        assert!(Turn::from(&settings).enabled);
        settings.enabled = false;
        assert!(!Turn::from(&settings).enabled);
    }
}
