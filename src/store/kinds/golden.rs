//! The bytes on disk, pinned: every kind of row, written by this version, as text in
//! `data/golden`. A file there is made once and never edited; whatever it holds must be readable
//! for ever, and the newest one is what is written today.
//!
//! A change of a row makes the first test fail. If the change is meant, raise the row's version,
//! teach it to read the old bytes, and write a new file beside the old ones with
//! `TIDEGATE_GOLDEN=format-1-b cargo test --lib golden`.

mod access;
mod alerts;
mod backup;
mod batch;
mod buffer;
mod clock;
mod fleet;
mod history;
mod keep;
mod schedules;
mod shards;
mod streams;
mod trace;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{attempt, count, due, endpoint, event, idem, outbox, pause, run, run_index, task};
use crate::base::entropy::Entropy;
use crate::base::id::{Id, Minter};
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::model::breaker::{Breaker, Reason, Sample, State};
use crate::model::delivery::{
    Attempt, DeadLetter, Lane, Line, OutboxRow, Pause, PauseScope, Purpose, RowState, Timer,
};
use crate::model::endpoint::Endpoint;
use crate::model::history::Tier;
use crate::model::outcome::Hook;
use crate::model::retry::RetryPolicy;
use crate::model::run::{Mirror, Run, RunError, Status};
use crate::model::signature::{Secret, Secrets};
use crate::model::task::{Delivery, Flush, KeyRule, Ordering, Push, Source, Task};
use crate::store::changes::Changes;
use crate::store::kinds::idem::Binding;
use crate::store::kinds::run::Body;
use crate::store::memory::Memory;
use crate::store::rows::{Rows, Span as Keys, collect};
use crate::store::tx::Tx;

/// The newest file.
const NEWEST: &str = "format-1-k";
/// The first file with keys and streams.
const STREAMS_SINCE: &str = "format-1-b";
/// The first file that holds rows of the fleet.
const FLEET_SINCE: &str = "format-1-c";
/// The first file that holds rows of the burst buffer.
const BUFFER_SINCE: &str = "format-1-d";
/// The first file in which they say what they are counted as, and who set what; and that holds rows
/// of batches, sharded runs, retention and bulk jobs.
const BATCHES_SINCE: &str = "format-1-e";
/// The first file that holds schedules.
const SCHEDULES_SINCE: &str = "format-1-f";
/// The first file that holds history, alerts, access control and backups.
const MONITOR_SINCE: &str = "format-1-g";
/// The first file in which a run has all of the trace context of its caller.
const TRACE_SINCE: &str = "format-1-h";
/// The file with lengths of time of four hours, which earlier ones lack.
const FOUR_HOURS_SINCE: &str = "format-1-j";
/// The file with the clock.
const CLOCK_SINCE: &str = "format-1-k";

fn folder() -> PathBuf {
    PathBuf::from("data/golden")
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn id(n: u8) -> Id {
    Id([n; 16])
}

fn a_run() -> Run {
    Run {
        id: id(1),
        status: Status::Failed,
        task: name("resize"),
        org: name("acme"),
        env: name("prod"),
        tags: vec!["urgent".into(), "käse".into()],
        metadata: Some("{\"a\":1}".into()),
        metadata_version: 3,
        idempotency_key: Some("k-1".into()),
        fingerprint: 0xfeed_beef_0123_4567,
        priority: -7,
        concurrency_key: Some("user".into()),
        attempts: 4,
        max_attempts: Some(5),
        fence: 6,
        created_at: Time(1_700_000_000_123),
        due_at: Time(1_700_000_000_456),
        started_at: Some(Time(1_700_000_001_000)),
        finished_at: Some(Time(1_700_000_009_000)),
        expires_at: Some(Time(1_700_000_099_000)),
        deadline: None,
        mirror: Mirror::Live,
        remote_id: Some(0),
        error: Some(RunError { code: "terminal_failure".into(), message: "no".into() }),
        last_failure: None,
        parent: Some(id(2)),
        replay_of: None,
        batch: Some((id(3), 7)),
        shard: Some((id(4), 8)),
        steps: vec!["one".into()],
        step: 1,
        trace: Some(trace::a_parent()),
        payload_bytes: 9,
        has_context: true,
        has_output: true,
        cancel_reason: Some("enough".into()),
        events: 2,
        stream: None,
        entry: None,
        attempt_at: None,
        series_from: 0,
        series_at: Some(Time(1_700_000_001_000)),
        callbacks: 0,
        buffered: false,
    }
}

fn an_outbox_row() -> OutboxRow {
    OutboxRow {
        id: id(5),
        endpoint: name("resize"),
        purpose: Purpose::Hook { run: id(1), hook: Hook::OrgProjectContext },
        lane: Lane { org: "acme".into(), env: "prod".into(), key: "user".into() },
        ordered: true,
        priority: 100,
        created_at: Time(1),
        due_at: Time(2),
        state: RowState::Leased { until: Time(3) },
        attempts: 4,
        first_attempt_at: Some(Time(5)),
        fence: 6,
        conflicts: 7,
        malformed: 8,
        last_code: Some("timeout".into()),
        last_detail: Some("30 s".into()),
    }
}

fn a_letter() -> DeadLetter {
    let row =
        OutboxRow { id: id(6), purpose: Purpose::Run, state: RowState::Waiting, ..an_outbox_row() };
    DeadLetter { row, died_at: Time(77), code: "retries_exhausted".into(), detail: "ten".into() }
}

fn an_attempt() -> Attempt {
    Attempt {
        number: 2,
        started_at: Time(10),
        elapsed_ms: 11,
        status: Some(502),
        class: "server_error".into(),
        detail: "502".into(),
        body: vec![0, 255, 1],
        next_at: Some(Time(12)),
        late: false,
    }
}

fn a_line() -> Line {
    let (what, detail, by) = ("canceled".into(), "why".into(), "api".into());
    Line { at: Time(20), what, detail, by, attempt: Some(3) }
}

fn a_task() -> Task {
    Task {
        name: name("resize"),
        delivery: Delivery::Push(Push {
            url: "https://agent.example/run".into(),
            flush: Flush::Sync,
            timeout: Span::from_secs(30),
            ordering: Ordering::Key,
        }),
        retry: RetryPolicy::Custom { max_attempts: 3, delays: vec![Span::from_secs(1)] },
        max_duration: Span::from_mins(15),
        ttl: Some(Span::from_hours(1)),
        concurrency: Some(10),
        concurrency_key: Some(KeyRule::Org),
        shard_size: Some(5),
        max_deliveries: Some(6),
        retry_malformed: 1,
        source: Source::File,
        created_at: Time(30),
        updated_at: Time(31),
    }
}

fn a_pull_task() -> Task {
    let delivery = Delivery::Pull { stream: "s".into(), lease: Span::from_secs(60) };
    Task { name: name("pulled"), delivery, retry: RetryPolicy::Webhook, ..a_task() }
}

fn an_endpoint() -> Endpoint {
    let mut samples = [Sample::default(); crate::model::breaker::WINDOW_SAMPLES];
    samples[3] = Sample { slot: 1, ok: 2, failed: 3, refused: 1 };
    Endpoint {
        name: name("resize"),
        secrets: Secrets {
            current: Secret::from_bytes(&[7; 32]).unwrap(),
            previous: Some(Secret::from_bytes(&[8; 24]).unwrap()),
            previous_until: Time(40),
        },
        breaker: Breaker {
            state: State::Disabled { reason: Reason::Gone, since: Time(41) },
            samples,
            trips: 1,
            tripping_since: Some(Time(42)),
            failures_in_row: 2,
            suspect_since: Some(Time(43)),
            failed_at: Some(Time(44)),
            failing_since: Some(Time(45)),
            owner_told: true,
            warned_at: Some(Time(46)),
            paused_until: Some(Time(47)),
        },
        last_success_at: Some(Time(48)),
        last_error: Some((Time(49), "timeout".into(), "30 s".into())),
        exhausted_told_at: Some(Time(50)),
        delivered: 51,
        failed: 52,
    }
}

fn a_pause() -> Pause {
    let scope = PauseScope::Lane { task: name("resize"), lane: an_outbox_row().lane };
    Pause { scope, reason: "moving".into(), since: Time(60), until: Some(Time(61)) }
}

fn a_body() -> Body {
    Body { payload: Some(b"{\"n\": 1}".to_vec()), context: Some(b"{\"u\":2}".to_vec()) }
}

fn a_binding() -> Binding {
    Binding { run: id(1), fingerprint: 9, bound_at: Time(70) }
}

/// Every kind of row, by the functions that the product writes with.
fn written() -> Memory {
    let (base, batch) = (Memory::default(), Changes::default());
    let mut minter = Minter::new(Entropy::from_seed(1));
    let mut tx = Tx::new(&base, &batch, Time(1_700_000_000_000), &mut minter);
    let mut noted = a_run();
    run::put(&mut tx, &a_run());
    run::put_body(&mut tx, id(1), &a_body());
    run::put_output(&mut tx, id(1), b"[3]".to_vec());
    run_index::add(&mut tx, &a_run());
    run_index::add_remote(&mut tx, 0, "resize", id(1));
    outbox::put(&mut tx, &an_outbox_row());
    outbox::put_dead(&mut tx, &a_letter());
    attempt::put(&mut tx, id(5), &an_attempt());
    event::add(&mut tx, &mut noted, &a_line());
    event::announce(&mut tx, &a_line());
    task::put(&mut tx, &a_task());
    task::put(&mut tx, &a_pull_task());
    endpoint::put(&mut tx, &an_endpoint());
    pause::put(&mut tx, &a_pause());
    idem::put(&mut tx, &name("acme"), &name("prod"), "k-1", &a_binding());
    due::set(&mut tx, Timer::Deadline, Time(80), id(1));
    tx.count(count::total(count::Total::Created), 81);
    streams::write(&mut tx);
    fleet::write(&mut tx);
    buffer::write(&mut tx);
    batch::write(&mut tx);
    shards::write(&mut tx);
    keep::write(&mut tx);
    schedules::write(&mut tx);
    access::write(&mut tx);
    alerts::write(&mut tx);
    history::write(&mut tx);
    backup::write(&mut tx);
    clock::write(&mut tx);
    trace::write(&mut tx);
    let mut memory = Memory::default();
    memory.apply(&tx.into_changes()).unwrap();
    memory
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

fn to_text(rows: &dyn Rows) -> String {
    let everything = Keys { lo: vec![0], hi: vec![0xff], newest_first: false };
    let rows = collect(rows, &everything, usize::MAX).unwrap();
    rows.iter().map(|(key, value)| format!("{} {}\n", hex(key), hex(value))).collect()
}

#[test]
fn golden_rows_are_what_is_written() {
    let text = to_text(&written());
    if let Ok(file) = std::env::var("TIDEGATE_GOLDEN") {
        std::fs::create_dir_all(folder()).unwrap();
        let path = folder().join(file);
        assert!(!path.exists(), "a golden file is never edited");
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(folder().join(NEWEST)).unwrap();
    assert_eq!(text, golden, "the bytes on disk changed: see the header of this file");
}

#[test]
fn golden_rows_of_every_age_are_readable() {
    let mut ages = 0;
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let rows: BTreeMap<Vec<u8>, Option<Vec<u8>>> = text
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(key, value)| (unhex(key), Some(unhex(value))))
            .collect();
        let mut memory = Memory::default();
        memory.apply(&Changes { rows, ..Changes::default() }).unwrap();
        check(&memory);
        if path.file_name().unwrap() >= STREAMS_SINCE {
            streams::check(&memory);
        }
        if path.file_name().unwrap() >= FLEET_SINCE {
            fleet::check(&memory);
        }
        if path.file_name().unwrap() >= BUFFER_SINCE {
            let says_more = path.file_name().unwrap() >= BATCHES_SINCE;
            buffer::check(&memory, says_more);
        }
        if path.file_name().unwrap() >= BATCHES_SINCE {
            batch::check(&memory);
            shards::check(&memory);
            keep::check(&memory);
        }
        if path.file_name().unwrap() >= SCHEDULES_SINCE {
            schedules::check(&memory);
        }
        if path.file_name().unwrap() >= MONITOR_SINCE {
            access::check(&memory);
            alerts::check(&memory);
            history::check(&memory);
            backup::check(&memory);
        }
        if path.file_name().unwrap() >= TRACE_SINCE {
            trace::check(&memory);
        }
        if path.file_name().unwrap() >= FOUR_HOURS_SINCE {
            history::check_times(&memory, Tier::FourHours);
        }
        if path.file_name().unwrap() >= CLOCK_SINCE {
            clock::check(&memory);
        }
        ages += 1;
    }
    assert!(ages > 0);
}

fn check(rows: &dyn Rows) {
    assert_eq!(run::get(rows, id(1)).unwrap(), Some(a_run()));
    assert_eq!(run::body(rows, id(1)).unwrap(), a_body());
    assert_eq!(run::output(rows, id(1)).unwrap(), Some(b"[3]".to_vec()));
    assert_eq!(run_index::remote_owner(rows, 0, "resize").unwrap(), Some(id(1)));
    assert_eq!(outbox::get(rows, id(5)).unwrap(), Some(an_outbox_row()));
    assert_eq!(outbox::dead(rows, id(6)).unwrap(), Some(a_letter()));
    assert_eq!(attempt::latest(rows, id(5), 9).unwrap(), [an_attempt()]);
    assert_eq!(event::list(rows, id(1), 9).unwrap(), [a_line()]);
    assert_eq!(event::announced(rows, 9).unwrap()[0].1, a_line());
    assert_eq!(task::list(rows, None, 9).unwrap(), [a_pull_task(), a_task()]);
    let found = endpoint::get(rows, &name("resize")).unwrap().unwrap();
    assert_eq!(found.breaker, an_endpoint().breaker);
    assert_eq!(found.secrets.current.reveal(), an_endpoint().secrets.current.reveal());
    assert_eq!(
        found.secrets.previous.map(|s| s.reveal()),
        an_endpoint().secrets.previous.map(|s| s.reveal())
    );
    assert_eq!(
        (found.last_success_at, found.last_error),
        (an_endpoint().last_success_at, an_endpoint().last_error)
    );
    assert_eq!((found.exhausted_told_at, found.delivered, found.failed), (Some(Time(50)), 51, 52));
    assert_eq!(pause::list(rows).unwrap(), [a_pause()]);
    let bound = idem::get(rows, &name("acme"), &name("prod"), "k-1").unwrap();
    assert_eq!(bound, Some(a_binding()));
    assert_eq!(due::after(rows, Timer::Deadline, None, 9).unwrap(), [(Time(80), id(1))]);
}
