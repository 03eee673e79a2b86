//! Pages for tests and for looking at: empty, full, and full with hostile texts.
//!
//! `dress` stands around every text that can come from outside; for the hostile pages it puts
//! [`HOSTILE`] in front.

use super::chart::{Chart, Series};
use super::docs::{DocsPage, ErrorCode, Operation, Parameter, Response, Section};
use super::endpoints::{EndpointRow, EndpointsPage, NewSecret, TestResult};
use super::error::ErrorPage;
use super::outbox::{
    OutboxFacts, OutboxPage, OutboxRow, OutboxRowPage, PauseRow, PauseScope, ReplayForm,
    ReplayResult,
};
use super::overview::{
    EndpointLine, FailureLine, OutboxCard, OverviewPage, StatusCard, StoreCard, TaskLine,
};
use super::parts::{self, Attempt, Badge, Document, Link, Pager, RunLink, Tab, Tone, When};
use super::run::{LateResult, RelatedRun, RunActions, RunError, RunFacts, RunPage, Step};
use super::runs::{RunRow, RunsFilter, RunsPage};
use super::shell::{Banner, Shell, navigation};
use super::text;
use crate::base::time::{Span, Time};
use crate::model::refusal::Code;
use askama::Template;

pub const HOSTILE: &str = "<b>\"&'";
pub const NOW: Time = Time(1_790_000_000_123);
const STATUSES: [(&str, u64); 9] = [
    ("delayed", 1_204),
    ("queued", 48_213),
    ("executing", 12),
    ("canceling", 1),
    ("completed", 10_482_911),
    ("failed", 37),
    ("canceled", 112),
    ("expired", 4),
    ("system_failure", 0),
];

type Dress = fn(&str) -> String;
type Rendered = (&'static str, String);

/// The dress of ordinary pages.
pub fn plain(text: &str) -> String {
    text.to_owned()
}

/// The dress of hostile pages.
pub fn hostile(text: &str) -> String {
    format!("{HOSTILE}{text}")
}

fn id(n: u64) -> String {
    format!("019a0c3f-52d1-7c44-9e1b-{:012x}", 0x7d3a_91c2_0000_u64 + n * 7_919)
}

fn ago(ms: i64) -> When {
    When::at(Time(NOW.0 - ms), NOW)
}

fn shell(title: &str, href: &str, here: &str) -> Shell {
    Shell {
        title: title.to_owned(),
        nav: navigation(href),
        durability: "fsync per commit".to_owned(),
        version: "0.1.0".to_owned(),
        address: "127.0.0.1:5440".to_owned(),
        now: NOW,
        live: true,
        here: here.to_owned(),
        ..Shell::default()
    }
}

fn first_run() -> String {
    text::curl_post(
        "http://127.0.0.1:5440/v1/runs",
        r#"{"task": "resize", "payload": {"hello": "world"}}"#,
    )
}

/// Every page without any data.
pub fn empty() -> Vec<Rendered> {
    let overview = OverviewPage {
        shell: shell("Overview", "/", "/"),
        statuses: cards(|_| 0),
        created_per_s: "0".to_owned(),
        finished_per_s: "0".to_owned(),
        chart: Chart::rates("rates", "Runs per second, last 30 minutes", NOW, Span(0), &[]),
        store: store(),
        first_run_curl: first_run(),
        no_runs: true,
        ..OverviewPage::default()
    };
    let runs = RunsPage {
        shell: shell("Runs", "/runs", "/runs"),
        tabs: run_tabs(|_| String::new()),
        first_run_curl: first_run(),
        ..RunsPage::default()
    };
    let run = RunPage { shell: shell("Run", "/runs", "/runs/x"), id: id(0), ..RunPage::default() };
    let outbox = OutboxPage {
        shell: shell("Outbox", "/outbox", "/outbox"),
        tabs: outbox_tabs("due", ["0", "0", "0"]),
        state: "due".to_owned(),
        ..OutboxPage::default()
    };
    let row = OutboxRowPage { shell: shell("Row", "/outbox", "/outbox/x"), ..Default::default() };
    let endpoints =
        EndpointsPage { shell: shell("Endpoints", "/endpoints", "/"), ..Default::default() };
    vec![
        ("overview", overview.render().unwrap()),
        ("runs", runs.render().unwrap()),
        ("run", run.render().unwrap()),
        ("outbox", outbox.render().unwrap()),
        ("outbox_row", row.render().unwrap()),
        ("endpoints", endpoints.render().unwrap()),
        ("error", ErrorPage { status: 404, ..ErrorPage::default() }.render().unwrap()),
        ("docs", DocsPage::default().render().unwrap()),
    ]
}

/// Every page with data, every outside text in `dress`.
pub fn full(dress: Dress) -> Vec<Rendered> {
    let mut previewed = outbox(dress, "dead");
    previewed.shell.live = false;
    previewed.replay_result = Some(ReplayResult {
        dry_run: true,
        matched: 10_000,
        capped: true,
        sample: previewed.rows.iter().take(3).cloned().collect(),
        ..ReplayResult::default()
    });
    let mut done = endpoints(dress);
    done.shell.live = false;
    done.new_secret = Some(NewSecret {
        endpoint: dress("resize"),
        secret: dress("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        old_valid_until: When::at(NOW.plus(Span::from_hours(24)), NOW),
    });
    done.test_result = Some(TestResult {
        endpoint: dress("resize"),
        class: Badge::outcome("retry"),
        status: dress("503"),
        duration: "212 ms".to_owned(),
        detail: dress("http_5xx: upstream is restarting"),
        body: dress("{\"error\":\"restarting\"}"),
    });
    vec![
        ("overview", overview(dress).render().unwrap()),
        ("runs", runs(dress).render().unwrap()),
        ("run", run(dress).render().unwrap()),
        ("run_waiting", run_waiting(dress).render().unwrap()),
        ("outbox_due", outbox(dress, "due").render().unwrap()),
        ("outbox_dead", outbox(dress, "dead").render().unwrap()),
        ("outbox_preview", previewed.render().unwrap()),
        ("outbox_row", outbox_row(dress).render().unwrap()),
        ("endpoints", endpoints(dress).render().unwrap()),
        ("endpoints_done", done.render().unwrap()),
        ("error", error(dress).render().unwrap()),
        ("docs", docs(dress).render().unwrap()),
    ]
}

fn cards(count: fn(u64) -> u64) -> Vec<StatusCard> {
    STATUSES
        .iter()
        .map(|(status, n)| StatusCard {
            state: Badge::run(status),
            count: count(*n),
            href: text::link("/runs", &[("status", status)]),
            alert: matches!(*status, "failed" | "system_failure") && count(*n) > 0,
        })
        .collect()
}

fn run_tabs(count: fn(u64) -> String) -> Vec<Tab> {
    let all = Tab { label: "All".to_owned(), href: "/runs".to_owned(), ..Tab::default() };
    let mut tabs = vec![Tab { current: true, ..all }];
    tabs.extend(STATUSES.iter().map(|(status, n)| {
        let badge = Badge::run(status);
        Tab {
            label: badge.label,
            href: text::link("/runs", &[("status", status)]),
            count: count(*n),
            tone: Some(badge.tone),
            current: false,
        }
    }));
    tabs
}

fn outbox_tabs(current: &str, counts: [&str; 3]) -> Vec<Tab> {
    ["due", "leased", "dead"]
        .iter()
        .zip(counts)
        .map(|(state, count)| Tab {
            label: (*state).to_owned(),
            href: text::link("/outbox", &[("state", state)]),
            count: count.to_owned(),
            tone: Some(Badge::outbox(state).tone),
            current: *state == current,
        })
        .collect()
}

fn store() -> StoreCard {
    StoreCard {
        file_bytes: 1_843_000_000,
        disk_free_bytes: Some(212_000_000_000),
        commit_p50: text::micros(820),
        commit_p99: text::micros(6_412),
        batch_size: "41".to_owned(),
        uptime: text::span(Span(443_000_000)),
        memory_bytes: Some(71_300_000),
    }
}

fn rates() -> Chart {
    let wave = |base: f64, swing: f64, phase: f64| -> Vec<f64> {
        (0..180)
            .map(|at| {
                let angle = f64::from(at) / 11.0 + phase;
                base + swing * angle.sin() + swing * 0.4 * (angle * 3.7).sin()
            })
            .collect()
    };
    let series = [
        Series { name: "created".to_owned(), tone: Tone::Blue, values: wave(42.0, 18.0, 0.0) },
        Series { name: "completed".to_owned(), tone: Tone::Green, values: wave(38.0, 12.0, -0.6) },
        Series { name: "failed".to_owned(), tone: Tone::Red, values: wave(1.2, 1.0, 2.0) },
    ];
    let step = Span::from_secs(10);
    Chart::rates("rates", "Runs per second, last 30 minutes", NOW, step, &series)
}

fn overview(dress: Dress) -> OverviewPage {
    let mut shell = shell("Overview", "/", "/");
    shell.nav[2].alerts = 37;
    shell.durability = dress("fsync every 50 ms");
    shell.durability_weak = true;
    shell.banners = vec![
        Banner::new(
            Tone::Red,
            "Read-only: the disk is full.",
            dress(
                "Nothing new is accepted; reads go on. Free at least 200 MB on /var/lib/tidegate.",
            ),
        ),
        Banner::new(
            Tone::Red,
            "Endpoint disabled.",
            dress("resize was tripped 10 times in a row."),
        )
        .with_link("Endpoints", "/endpoints"),
        Banner::new(Tone::Yellow, "Paused.", dress("2 scopes are paused: lookup, resize."))
            .with_link("Pauses", "/outbox#pauses"),
        Banner::new(Tone::Blue, "No access control.", "Only this machine can reach Tidegate."),
    ];
    let task = |name: &str, delivery: &str, waiting, executing, failed, limit| TaskLine {
        name: dress(name),
        delivery: dress(delivery),
        waiting,
        oldest_waiting: if waiting > 0 { "3 min 20 s".to_owned() } else { String::new() },
        executing,
        failed,
        limit,
    };
    OverviewPage {
        shell,
        statuses: cards(|n| n),
        created_per_s: "42".to_owned(),
        finished_per_s: "38".to_owned(),
        chart: rates(),
        outbox: OutboxCard {
            due: 48_213,
            leased: 12,
            dead: 37,
            paused_scopes: 2,
            oldest_due: "3 min 20 s".to_owned(),
            oldest_late: true,
        },
        endpoints: vec![
            endpoint_line(dress, "lookup", "closed", "99.9 %", ""),
            endpoint_line(dress, "resize", "open", "12 %", "http_5xx: 503 upstream is restarting"),
            endpoint_line(dress, "summarise", "half-open", "64 %", "timeout after 30 s"),
            endpoint_line(dress, "transcode", "disabled", "–", "gone: 410, endpoint disabled"),
            endpoint_line(dress, "notify", "paused", "100 %", ""),
        ],
        tasks: vec![
            task("lookup", "push, sync", 0, 3, 0, Some(50)),
            task("resize", "push, async", 47_912, 8, 31, Some(8)),
            task("summarise", "push, async", 301, 1, 6, None),
            task("transcode", "pull transcode", 1_204, 0, 0, Some(4)),
        ],
        store: store(),
        failures: (0..10)
            .map(|n| FailureLine {
                run: RunLink::to(dress(&id(n))),
                task: dress("resize"),
                state: Badge::run(if n == 4 { "system_failure" } else { "failed" }),
                finished: ago(4_000 + 61_000 * i64::try_from(n).unwrap()),
                error: dress("retries_exhausted: 503 from the agent after 8 attempts, last answer: upstream is restarting, try again later"),
            })
            .collect(),
        first_run_curl: first_run(),
        no_runs: false,
    }
}

fn endpoint_line(dress: Dress, name: &str, state: &str, success: &str, last: &str) -> EndpointLine {
    EndpointLine {
        name: dress(name),
        state: Badge::endpoint(state),
        success: success.to_owned(),
        in_flight: 3,
        last_error: dress(last),
    }
}

fn runs(dress: Dress) -> RunsPage {
    let row = |n: usize, status: &str| RunRow {
        run: RunLink::to(dress(&id(n as u64))),
        task: dress(["resize", "lookup", "transcode.video.hd"][n % 3]),
        state: Badge::run(status),
        org: dress("acme"),
        env: dress("production"),
        attempt: (n as u64) % 4,
        attempts_max: 8,
        created: ago(1_500 + 47_000 * n as i64),
        duration: if n < 3 { text::NOTHING.to_owned() } else { "1.4 s".to_owned() },
        tags: ["nightly", "customer:4711", "eu"].iter().take(n % 4).map(|tag| dress(tag)).collect(),
        error: match status {
            "failed" => dress(
                "retries_exhausted: 503 from the agent after 8 attempts, last answer: upstream is restarting",
            ),
            "system_failure" => dress("internal: the stored payload could not be read"),
            _ => String::new(),
        },
        waiting_because: match status {
            "queued" => dress("the breaker of resize is open; next probe in 12 s"),
            "delayed" => dress("due in 4 min"),
            _ => String::new(),
        },
        buffered: n == 1,
    };
    let order = [1, 1, 0, 2, 4, 4, 5, 4, 3, 6, 4, 7, 8, 4, 4, 5, 4, 4];
    let mut filter = RunsFilter { tag: dress("eu"), q: dress("restarting"), ..Default::default() };
    filter.from = dress("2h");
    RunsPage {
        shell: shell("Runs", "/runs", &filter.href_for("")),
        tabs: run_tabs(|n| text::capped(n, 1_000_000)),
        filter,
        filter_error: Some(dress("`to`: expected a UTC time or a length such as `2h`, given `x`")),
        tasks: vec![dress("resize"), dress("lookup")],
        rows: order.iter().enumerate().map(|(n, at)| row(n, STATUSES[*at].0)).collect(),
        pager: Pager {
            newer: Some("/runs".to_owned()),
            older: Some(text::link("/runs", &[("cursor", &dress("abc"))])),
            partial: Some(dress("only the newest 10,000 runs, back to 06:12 UTC")),
        },
        first_run_curl: first_run(),
    }
}

fn attempts(dress: Dress) -> Vec<Attempt> {
    let attempt = |number, class: &str, status: &str, detail: &str, body: &str| Attempt {
        number,
        started: ago(400_000 / number as i64),
        duration: "212 ms".to_owned(),
        class: Badge::outcome(class),
        status: dress(status),
        detail: dress(detail),
        next_retry: When::maybe((class == "retry").then_some(Time(NOW.0 - 30_000)), NOW),
        body: if body.is_empty() { String::new() } else { dress(body) },
        body_bytes: 41_212,
        body_cut: number == 2,
        by: dress("agent.internal:8080"),
    };
    vec![
        attempt(
            4,
            "terminal",
            "422",
            "rejected: width must be positive",
            "{\"error\":\"width must be positive\",\"trace\":[\"resize.rs:41\",\"main.rs:7\"]}",
        ),
        attempt(3, "retry", "timeout", "timeout: no answer within 30 s", ""),
        attempt(
            2,
            "retry",
            "503",
            "http_5xx: upstream is restarting",
            "<html><head><title>503</title></head><body>upstream is restarting and will be back in a moment</body></html>",
        ),
        attempt(1, "retry", "connect", "connect: connection refused", ""),
    ]
}

fn step(dress: Dress, ms: i64, what: Badge, detail: &str, attempt: Option<u64>) -> Step {
    let first = Time(NOW.0 - 402_000);
    let at = first.plus(Span(ms));
    Step {
        at: When::clock(at),
        offset: parts::offset(first, at),
        what,
        detail: dress(detail),
        attempt,
        by: if ms == 0 { dress("token ci") } else { String::new() },
    }
}

fn run(dress: Dress) -> RunPage {
    let payload = dress(
        r#"{"image":"s3://photos/2026/08/IMG_2041.jpg","width":1280,"height":null,"ids":[12345678901234567890,1.10],"options":{"keep_metadata":true,"formats":["webp","avif"]}}"#,
    );
    RunPage {
        shell: shell("Run …91c20000", "/runs", "/runs/x"),
        id: dress(&id(0)),
        state: Badge::run("failed"),
        actions: RunActions { cancel: true, replay: true, retry: true },
        error: Some(RunError {
            code: dress("rejected"),
            message: dress(
                "width must be positive\n  at resize (resize.rs:41)\n  at main (main.rs:7)",
            ),
        }),
        waiting_because: String::new(),
        facts: RunFacts {
            task: dress("resize"),
            org: dress("acme"),
            env: dress("production"),
            tags: vec![dress("nightly"), dress("customer:4711")],
            delivery: dress("push, async"),
            created: ago(402_000),
            due: ago(402_000),
            started: ago(400_000),
            finished: ago(100_000),
            waited: "2.0 s".to_owned(),
            ran: "5 min".to_owned(),
            total: "5 min 2 s".to_owned(),
            attempts: 4,
            attempts_max: 8,
            expires: When::at(NOW.plus(Span::from_hours(1)), NOW),
            max_duration: "15 min".to_owned(),
            priority: "0".to_owned(),
            concurrency_key: dress("acme"),
            idempotency_key: dress("resize:IMG_2041:1280"),
            remote_id: Some(0),
            mirror: dress("failed"),
            fence: Some(4),
            outbox_row: dress(&id(9)),
            parent: RunLink::to(dress(&id(5))),
            replay_of: RunLink::to(dress(&id(6))),
            batch: dress(&id(7)),
            shard: dress("3 of 12"),
            step: dress("step 2 of 4: encode"),
            buffered: true,
        },
        timeline: vec![
            step(
                dress,
                0,
                Badge::new(Tone::Blue, "queue", "created"),
                "queued for push delivery",
                None,
            ),
            step(dress, 2_000, Badge::new(Tone::Cyan, "play", "attempt started"), "", Some(1)),
            step(
                dress,
                2_212,
                Badge::outcome("retry"),
                "connect: connection refused; again in 1 s",
                Some(1),
            ),
            step(
                dress,
                3_300,
                Badge::outcome("retry"),
                "http_5xx: upstream is restarting; again in 5 s",
                Some(2),
            ),
            step(
                dress,
                38_400,
                Badge::outcome("retry"),
                "timeout: no answer within 30 s; again in 30 s",
                Some(3),
            ),
            step(dress, 302_000, Badge::run("failed"), "rejected: width must be positive", Some(4)),
        ],
        attempts: attempts(dress),
        documents: vec![
            Document::new("payload", &payload),
            Document::new(
                "context",
                &dress("{\"trace\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-01\"}"),
            ),
            Document::new("metadata", &dress("{}")),
            Document { cut: true, ..Document::new("output", &dress("[1,2,3]")) },
        ],
        late_results: vec![LateResult { at: ago(90_000), fence: 3, body: dress("{\"ok\":true}") }],
        curl: text::curl_post("http://127.0.0.1:5440/v1/runs", &payload),
        related: vec![
            related(dress, "parent", "executing", 5),
            related(dress, "replay of", "failed", 6),
            related(dress, "replayed as", "queued", 8),
        ],
    }
}

fn related(dress: Dress, relation: &str, status: &str, n: u64) -> RelatedRun {
    RelatedRun {
        relation: relation.to_owned(),
        run: RunLink::to(dress(&id(n))),
        task: dress("resize"),
        state: Badge::run(status),
        created: ago(500_000),
    }
}

fn run_waiting(dress: Dress) -> RunPage {
    RunPage {
        id: dress(&id(1)),
        state: Badge::run("queued"),
        actions: RunActions { cancel: true, replay: false, retry: true },
        error: None,
        waiting_because: dress(
            "the breaker of resize is open after 14 failures; next probe in 12 s",
        ),
        attempts: Vec::new(),
        late_results: Vec::new(),
        related: Vec::new(),
        documents: vec![Document::new("payload", "{}")],
        facts: RunFacts {
            task: dress("resize"),
            org: dress("acme"),
            env: dress("production"),
            created: ago(2_000),
            attempts_max: 8,
            ..RunFacts::default()
        },
        ..run(dress)
    }
}

fn outbox(dress: Dress, state: &str) -> OutboxPage {
    let row = |n: u64| OutboxRow {
        id: dress(&id(100 + n)),
        kind: dress("run.deliver"),
        task: dress(["resize", "lookup"][n as usize % 2]),
        lane: dress(&format!("resize/acme/customer-{n}")),
        run: RunLink::to(dress(&id(n))),
        state: Badge::outbox(if state == "due" && n % 3 == 1 { "retrying" } else { state }),
        attempts: n % 9,
        attempts_max: 8,
        when: ago(if state == "dead" { 3_600_000 } else { -4_000 } + 31_000 * n as i64),
        last: (n % 3 != 0).then(|| Badge::outcome(if state == "dead" { "dead" } else { "retry" })),
        detail: dress(if n % 3 == 0 {
            ""
        } else {
            "http_5xx: 503 upstream is restarting, please come back later when it is up"
        }),
    };
    let mut shell = shell("Outbox", "/outbox", &text::link("/outbox", &[("state", state)]));
    shell.nav[2].alerts = 37;
    OutboxPage {
        shell,
        tabs: outbox_tabs(state, ["10,000+", "12", "37"]),
        state: state.to_owned(),
        lane: dress("resize/acme"),
        rows: (0..12).map(row).collect(),
        pager: Pager { older: Some("/outbox?cursor=x".to_owned()), ..Pager::default() },
        replay: ReplayForm {
            task: dress("resize"),
            limit: "1000".to_owned(),
            ..Default::default()
        },
        pauses: vec![
            pause(dress, "task:resize", "", Some(NOW.plus(Span::from_mins(30)))),
            pause(dress, "org:acme", "resize/acme/customer-7", None),
        ],
        pause_scopes: vec![
            PauseScope { value: "all".to_owned(), label: "everything".to_owned() },
            PauseScope { value: dress("task:resize"), label: dress("task resize") },
        ],
        form_error: if state == "due" { String::new() } else { dress("`from`: expected a time") },
        ..OutboxPage::default()
    }
}

fn pause(dress: Dress, scope: &str, lane: &str, until: Option<Time>) -> PauseRow {
    PauseRow {
        scope: dress(scope),
        lane: if lane.is_empty() { String::new() } else { dress(lane) },
        reason: dress("the agent is being moved to another machine"),
        since: ago(900_000),
        until: When::maybe(until, NOW),
        held: "1,204".to_owned(),
    }
}

fn outbox_row(dress: Dress) -> OutboxRowPage {
    OutboxRowPage {
        shell: shell("Outbox row", "/outbox", "/outbox/x"),
        id: dress(&id(100)),
        state: Badge::outbox("dead"),
        can_retry: true,
        waiting_because: dress("the scope task:resize is paused until 08:30 UTC"),
        facts: OutboxFacts {
            kind: dress("run.deliver"),
            task: dress("resize"),
            lane: dress("resize/acme/customer-7"),
            run: RunLink::to(dress(&id(0))),
            url: dress("http://agent.internal:8080/run"),
            attempts: 8,
            attempts_max: 8,
            created: ago(402_000),
            due: ago(402_000),
            lease_until: When::default(),
            dead_since: ago(100_000),
            gives_up: When::at(NOW.plus(Span::from_hours(5)), NOW),
            fence: Some(8),
            ordering: dress("key"),
        },
        attempts: attempts(dress),
    }
}

fn endpoints(dress: Dress) -> EndpointsPage {
    let row = |name: &str, state: &str, reason: &str, success: &str, attempts| EndpointRow {
        name: dress(name),
        url: dress(&format!("https://agent.internal:8443/{name}/run")),
        state: Badge::endpoint(state),
        disabled: state == "disabled",
        reason: if reason.is_empty() { String::new() } else { dress(reason) },
        success: success.to_owned(),
        attempts,
        in_flight: attempts % 7,
        last_success: ago(2_000),
        last_error_at: if reason.is_empty() { When::default() } else { ago(12_000) },
        last_error: if reason.is_empty() {
            String::new()
        } else {
            dress("http_5xx: 503 upstream is restarting")
        },
        next_probe: When::maybe((state == "open").then(|| NOW.plus(Span::from_secs(12))), NOW),
    };
    EndpointsPage {
        shell: shell("Endpoints", "/endpoints", "/endpoints"),
        rows: vec![
            row("lookup", "closed", "", "99.9 %", 4_812),
            row("resize", "open", "14 of 20 failed within 5 min", "12 %", 1_204),
            row("summarise", "half-open", "one delivery is let through", "64 %", 31),
            row("transcode", "disabled", "410 from the agent", "–", 0),
            row("notify", "paused", "paused by hand", "100 %", 1),
        ],
        ..EndpointsPage::default()
    }
}

fn error(dress: Dress) -> ErrorPage {
    ErrorPage {
        shell: Shell { live: false, ..shell("Not found", "", "/runs/x") },
        status: 404,
        title: ErrorPage::title_of(404).to_owned(),
        message: dress("no run `019a0c3f-52d1-7c44-9e1b-000000000000` in this org and env"),
        code: dress("run_not_found"),
        retry_after: Some(2),
        request_id: dress("req-8c1f"),
        links: vec![Link::new("All runs", "/runs"), Link::new("Overview", "/")],
    }
}

fn docs(dress: Dress) -> DocsPage {
    let parameter = |name: &str, place: &str, kind: &str, required, meaning: &str| Parameter {
        name: dress(name),
        place: place.to_owned(),
        kind: dress(kind),
        required,
        meaning: dress(meaning),
    };
    let response = |status: &str, meaning: &str| Response {
        status: status.to_owned(),
        meaning: dress(meaning),
    };
    let operation = |method: &str, path: &str, anchor: &str, summary: &str| Operation {
        anchor: anchor.to_owned(),
        method: method.to_owned(),
        path: dress(path),
        summary: dress(summary),
        notes: vec![dress("The answer comes after the run is on disk.")],
        parameters: vec![
            parameter("task", "body", "name", true, "A registered task."),
            parameter("payload", "body", "any JSON", false, "Handed to the agent as it is."),
            parameter("Idempotency-Key", "header", "string", false, "One key gives one run."),
        ],
        example: dress("{\n  \"task\": \"resize\",\n  \"payload\": {\"width\": 1280}\n}"),
        responses: vec![response("201", "The run."), response("422", "`idempotency_mismatch`")],
    };
    DocsPage {
        shell: Shell { live: false, ..shell("API reference", "/docs", "/docs") },
        first_run_curl: first_run(),
        sections: vec![
            Section {
                anchor: "tasks".to_owned(),
                title: dress("Tasks"),
                intro: dress("A task says how its runs are delivered, retried and limited."),
                operations: vec![
                    operation("PUT", "/v1/tasks/{name}", "put-task", "Register or change a task"),
                    operation("DELETE", "/v1/tasks/{name}", "delete-task", "Remove a task"),
                ],
            },
            Section {
                anchor: "runs".to_owned(),
                title: dress("Runs"),
                intro: String::new(),
                operations: vec![
                    operation("POST", "/v1/runs", "create-run", "Create a run"),
                    operation("GET", "/v1/runs/{id}", "get-run", "One run; waits with ?wait=30s"),
                ],
            },
        ],
        errors: Code::ALL
            .iter()
            .map(|code| ErrorCode {
                code: dress(code.as_str()),
                status: code.class().http_status().into(),
                meaning: dress(code.meaning()),
            })
            .collect(),
    }
}
