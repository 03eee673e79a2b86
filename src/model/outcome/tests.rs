//! The table row by row, as text; then the acceptance rules that live at this level.

use super::*;

const NOW: &str = "1994-11-06T08:49:37Z";

fn run() -> RunBefore {
    RunBefore {
        remote_id: None,
        finished: false,
        task: TaskBefore::Push,
        payload: Some(b"{}".to_vec()),
        context: None,
    }
}

fn before(run: RunBefore) -> Outcome {
    outcome(&Case::Before(&Before { run: Some(run) }))
}

fn with_payload(payload: &[u8]) -> Outcome {
    before(RunBefore { payload: Some(payload.to_vec()), ..run() })
}

fn with_context(context: &[u8]) -> Outcome {
    before(RunBefore { context: Some(context.to_vec()), ..run() })
}

fn failure(kind: FailureKind, detail: &str) -> Answer {
    Answer::Failure { kind, detail: detail.to_owned() }
}

fn response(status: u16, body: &[u8]) -> Answer {
    Answer::Response {
        status,
        retry_after: None,
        location: None,
        body: body.to_vec(),
        over_limit: false,
    }
}

fn redirect(status: u16, to: Option<&str>) -> Outcome {
    answered(&Answer::Response {
        status,
        retry_after: None,
        location: to.map(str::to_owned),
        body: Vec::new(),
        over_limit: false,
    })
}

fn answered(answer: &Answer) -> Outcome {
    after(answer, 0, 0, 0)
}

fn after(answer: &Answer, conflicts: u32, malformed: u32, malformed_max: u32) -> Outcome {
    let now_ms = Time::parse(NOW).unwrap().0;
    outcome(&Case::Answered { answer, now_ms, conflicts, malformed, malformed_max })
}

fn good(body: &str) -> Outcome {
    answered(&response(200, body.as_bytes()))
}

fn show(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Nothing { repair: false } => "nothing".to_owned(),
        Outcome::Nothing { repair: true } => "nothing, but must be live".to_owned(),
        Outcome::Send { context: false } => "send".to_owned(),
        Outcome::Send { context: true } => "send with context".to_owned(),
        Outcome::Live { remote_id, output, done, hooks } => {
            let output = output.as_deref().map(String::from_utf8_lossy);
            let output = output.map_or(String::new(), |output| format!(", output {output}"));
            let done = if *done { ", done" } else { "" };
            let hooks = hooks.iter().map(|hook| format!(", {hook:?}")).collect::<String>();
            format!("live {remote_id}{output}{done}{hooks}")
        }
        Outcome::Retry { code, detail, retry_after: None } => format!("retry {code}: {detail}"),
        Outcome::Retry { code, detail, retry_after: Some(span) } => {
            format!("retry {code} in {span}: {detail}")
        }
        Outcome::Terminal { code, detail, disable_endpoint } => {
            let disable = if *disable_endpoint { " and disable" } else { "" };
            format!("terminal{disable} {code}: {detail}")
        }
        Outcome::Dead { code, detail } => format!("dead {code}: {detail}"),
    }
}

/// The code of an outcome that must be terminal.
fn terminal_code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Terminal { code, disable_endpoint: false, .. } => code,
        other => panic!("expected terminal, got {}", show(other)),
    }
}

fn whole_table() -> Vec<(u8, Outcome)> {
    let busy = Answer::Response {
        status: 429,
        retry_after: Some("120".to_owned()),
        location: None,
        body: b"slow down".to_vec(),
        over_limit: false,
    };
    let huge = Answer::Response {
        status: 200,
        retry_after: None,
        location: None,
        body: vec![b' '; 1_048_576],
        over_limit: true,
    };
    let taken = Case::IdTaken { remote_id: 7, owner: Id::MAX, ours: Id::MIN };
    vec![
        (1, outcome(&Case::Before(&Before { run: None }))),
        (2, before(RunBefore { remote_id: Some(0), ..run() })),
        (3, before(RunBefore { finished: true, ..run() })),
        (4, with_payload(b"{\"a\":")),
        (5, before(RunBefore { task: TaskBefore::Unknown("gone".to_owned()), ..run() })),
        (6, before(RunBefore { task: TaskBefore::NotPush("pull".to_owned()), ..run() })),
        (7, before(run())),
        (7, with_context(b"null")),
        (8, with_context(b" { } ")),
        (9, with_context(b"[1]")),
        (10, answered(&failure(FailureKind::Connect, "refused"))),
        (11, answered(&failure(FailureKind::Timeout, "no response within 30s"))),
        (12, answered(&failure(FailureKind::Blocked, "a link-local address"))),
        (13, redirect(302, Some("http://169.254.169.254/latest?token=x"))),
        (14, answered(&response(400, b"bad\ninput"))),
        (15, answered(&busy)),
        (16, after(&response(409, b""), 4, 0, 0)),
        (16, after(&response(409, b""), 5, 0, 0)),
        (17, answered(&response(410, b"gone"))),
        (18, answered(&response(503, b"<h1>down</h1>"))),
        (19, good("<html>Welcome</html>")),
        (20, answered(&response(200, b"\xff\xfe"))),
        (21, good("[]")),
        (22, answered(&response(204, b""))),
        (23, good(r#"{"error": "x", "id": 7}"#)),
        (24, good(r#"{"run_id": 0}"#)),
        (25, good(r#"{"run_id": "7"}"#)),
        (26, outcome(&taken)),
        (27, answered(&huge)),
        (28, outcome(&Case::CommitFailed)),
        (29, good(r#"{"run_id": 7, "output": {"a": 1}, "done": true}"#)),
        (30, outcome(&Case::Exhausted { attempts: 12, last: "502 with an empty body" })),
    ]
}

const TABLE: &str = "\
1 nothing
2 nothing, but must be live
3 nothing
4 terminal invalid_payload: the payload is not JSON: EOF while parsing a value at line 1 column 5
5 terminal unknown_type: no task is named `gone`
6 terminal unsupported_type: the task `pull` is not delivered by push
7 send
7 send
8 send
9 terminal invalid_payload: the context is an array, expected an object or null
10 retry connection_failed: connection: refused
11 retry timeout: no response within 30s
12 terminal blocked_target: a link-local address
13 terminal redirect_refused: 302 to host `169.254.169.254`
14 terminal terminal_failure: 400 with body `bad?input`
15 retry try_later in 2m: 429 with body `slow down`
16 retry conflict: 409 with an empty body
16 terminal conflict: 409 with an empty body, 5 retries used
17 terminal and disable terminal_failure: 410 with body `gone`
18 retry server_error: 503 with body `<h1>down</h1>`
19 terminal invalid_json_body: 200 with malformed JSON: expected value at line 1 column 1; sha256 HASH; body `<html>Welcome</html>`
20 terminal invalid_json_body: 200 with a body that is not UTF-8; in base64 `//4=`
21 terminal invalid_json_body: 200 with an array, expected an object
22 terminal invalid_json_body: 204 with an empty body
23 terminal missing_run_id: 200 with no `run_id`; keys present: `error`, `id`
24 live 0
25 terminal invalid_run_id: 200 with `run_id` `\"7\"`, expected a whole number from 0 to 2^63-1
26 terminal remote_id_conflict: `run_id` 7 belongs to run ffffffff-ffff-ffff-ffff-ffffffffffff already; this is run 00000000-0000-0000-0000-000000000000
27 terminal response_too_large: 200 with a body over the limit of 1048576 bytes
28 retry commit_failed: the answer was good, but it could not be committed
29 live 7, output {\"a\": 1}, done
30 dead retries_exhausted: gave up after 12 attempts; last: 502 with an empty body
";

#[test]
fn whole_table_reads_as_text() {
    let lines =
        whole_table().into_iter().map(|(row, outcome)| format!("{row} {}\n", show(&outcome)));
    let table = lines.collect::<String>();
    assert_eq!(table, TABLE.replace("HASH", &short_hash(b"<html>Welcome</html>")), "\n{table}");
}

#[test]
fn a01_malformed_body_never_retries() {
    for status in [200, 201, 202, 204, 206, 299] {
        let said = answered(&response(status, b"{\"run_id\": 1"));
        assert_eq!(terminal_code(&said), code::INVALID_JSON_BODY, "{status}");
    }
}

#[test]
fn a02_bad_bodies_are_terminal() {
    for body in [
        "{\"run_id\": 1", // truncated
        "{\"run_id\":",
        "<!doctype html><title>502</title>",
        "",
        " \r\n",
        "\u{feff}{\"run_id\": 1}", // byte order mark
        "NaN",
        "{\"run_id\": NaN}",
        "{\"run_id\": 1, \"x\": NaN}",
        "{\"run_id\": Infinity}",
        "{\"run_id\": 01}",
        "{\"run_id\": 1,}",
        "{\"run_id\": 1} {}",
        "{'run_id': 1}",
        "{run_id: 1}",
        "{\"run_id\": 1, \"x\": \"\n\"}",
        "{\"\\ud800\": 1, \"run_id\": 1}", // a key with half a surrogate
    ] {
        assert_eq!(terminal_code(&good(body)), code::INVALID_JSON_BODY, "{body:?}");
    }
}

#[test]
fn a03_bytes_beyond_utf8_are_terminal() {
    for body in [&b"\xff\xfe"[..], b"{\"run_id\": 1, \"x\": \"\xff\"}", b"\xff\xfe{\x00}\x00"] {
        let said = answered(&response(200, body));
        assert_eq!(terminal_code(&said), code::INVALID_JSON_BODY, "{body:?}");
    }
}

#[test]
fn a04_other_json_kinds_are_terminal() {
    for (body, kind) in [
        ("[]", "an array"),
        ("1", "a number"),
        ("-1.5", "a number"),
        ("\"x\"", "a string"),
        ("null", "null"),
        ("true", "a boolean"),
    ] {
        let expected = format!("terminal invalid_json_body: 200 with {kind}, expected an object");
        assert_eq!(show(&good(body)), expected);
    }
}

#[test]
fn a05_missing_or_null_id_is_terminal() {
    for body in ["{}", "{\"run_id\": null}", "{\"RUN_ID\": 1}", "{\"data\": {\"run_id\": 1}}"] {
        assert_eq!(terminal_code(&good(body)), code::MISSING_RUN_ID, "{body}");
    }
}

#[test]
fn a06_zero_is_an_id() {
    assert_eq!(show(&good("{\"run_id\":0}")), "live 0");
    // The second drain sends nothing, whatever the row says.
    for remote_id in [0, 7] {
        let lagging = RunBefore { remote_id: Some(remote_id), payload: Some(vec![0xff]), ..run() };
        assert_eq!(show(&before(lagging.clone())), "nothing, but must be live");
        assert_eq!(show(&before(RunBefore { finished: true, ..lagging })), "nothing");
    }
}

#[test]
fn a07_task_without_push_is_terminal() {
    let task = TaskBefore::NotPush("pull".to_owned());
    assert_eq!(terminal_code(&before(RunBefore { task, ..run() })), code::UNSUPPORTED_TYPE);
}

#[test]
fn a08_malformed_row_sends_nothing() {
    for payload in [&b""[..], b"{", b"\xff", b"NaN", b"\xef\xbb\xbf{}", b"{} {}", b"\"\xff\""] {
        assert_eq!(terminal_code(&with_payload(payload)), code::INVALID_PAYLOAD, "{payload:?}");
    }
    let task = TaskBefore::Unknown("a`\n<b>".to_owned());
    let said = show(&before(RunBefore { task, ..run() }));
    assert_eq!(said, "terminal unknown_type: no task is named `a??<b>`");
    for payload in [&b"{}"[..], b"[1]", b"null", b"0", b" \"x\" ", b"{\"body\": 1}"] {
        assert_eq!(with_payload(payload), Outcome::Send { context: false }, "{payload:?}");
    }
    let none = before(RunBefore { payload: None, ..run() });
    assert_eq!(none, Outcome::Send { context: false });
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(with_payload(deep.as_bytes()), Outcome::Send { context: false });
}

#[test]
fn a09_empty_contexts_are_not_sent() {
    assert_eq!(before(run()), Outcome::Send { context: false });
    for (context, sent) in [
        (&b"null"[..], false),
        (b" null\n", false),
        (b"{}", false),
        (b"{ \n }", false),
        (b"{\"user\": 1}", true),
        (b"{\"\": {}}", true),
    ] {
        assert_eq!(with_context(context), Outcome::Send { context: sent }, "{context:?}");
    }
    for context in [&b"[]"[..], b"1", b"\"x\"", b"true", b"", b"{", b"\xff", b"nul"] {
        assert_eq!(terminal_code(&with_context(context)), code::INVALID_PAYLOAD, "{context:?}");
    }
}

#[test]
fn a13_missing_id_lists_keys() {
    let many = (0..25).map(|n| format!("\"k{n:02}\": 1")).collect::<Vec<_>>().join(",");
    for (body, tail) in [
        ("{}".to_owned(), "no keys present"),
        ("{\"run_id\": null, \"ok\": true}".to_owned(), "keys present: `ok`, `run_id`"),
        (format!("{{{many}}}"), "`k18`, `k19` and 5 more"),
        ("{\"a\\nb\": 1}".to_owned(), "keys present: `a?b`"),
    ] {
        let said = show(&good(&body));
        assert!(said.starts_with("terminal missing_run_id: 200 with no `run_id`; "), "{said}");
        assert!(said.ends_with(tail), "{said}");
    }
}

#[test]
fn ids_of_row_25_are_refused() {
    for raw in [
        "true",
        "false",
        "1.0",
        "0.0",
        "1e3",
        "\"7\"",
        "\"\"",
        "-1",
        "-0",
        "9223372036854775808",
        "18446744073709551616",
        "[1]",
        "{}",
    ] {
        let said = good(&format!("{{\"run_id\": {raw}}}"));
        assert_eq!(terminal_code(&said), code::INVALID_RUN_ID, "{raw}");
    }
    let long = show(&good(&format!("{{\"run_id\": \"{}\"}}", "x".repeat(500))));
    assert!(long.contains("x…`"), "{long}");
    assert_eq!(show(&good("{\"run_id\":9223372036854775807}")), "live 9223372036854775807");
    // Of a key given twice the last one counts.
    assert_eq!(show(&good("{\"run_id\": \"x\", \"run_id\": 7}")), "live 7");
}

#[test]
fn only_exact_values_trigger() {
    for (fields, expected) in [
        ("", "live 7"),
        (", \"has_explorer_index\": false", "live 7, ExplorerIndex"),
        (", \"has_org_project_context\":false", "live 7, OrgProjectContext"),
        (
            ", \"has_org_project_context\": false, \"has_explorer_index\": false",
            "live 7, ExplorerIndex, OrgProjectContext",
        ),
        (", \"has_explorer_index\": null, \"has_org_project_context\": true", "live 7"),
        (", \"has_explorer_index\": 0, \"has_org_project_context\": \"false\"", "live 7"),
        (", \"done\": true", "live 7, done"),
        (", \"done\": 1", "live 7"),
        (", \"done\": \"true\", \"output\": null", "live 7"),
        (", \"output\": [1,  2.50]", "live 7, output [1,  2.50]"),
        (", \"output\": \"ä\"", "live 7, output \"ä\""),
        (", \"output\": false, \"done\": false", "live 7, output false"),
    ] {
        assert_eq!(show(&good(&format!("{{\"run_id\": 7{fields}}}"))), expected, "{fields}");
    }
}

#[test]
fn statuses_fall_into_their_rows() {
    for (statuses, kind) in [
        (&[100, 101, 199, 300, 301, 302, 304, 307, 308, 399][..], "terminal redirect_refused"),
        (&[400, 401, 403, 404, 405, 413, 415, 418, 422, 451, 499], "terminal terminal_failure"),
        (&[408, 425, 429], "retry try_later"),
        (&[409], "retry conflict"),
        (&[410], "terminal and disable terminal_failure"),
        (&[500, 501, 502, 503, 504, 511, 599], "retry server_error"),
        (&[0, 99, 600, 999], "retry server_error"),
    ] {
        for status in statuses {
            // A good body does not save a bad status.
            let said = show(&answered(&response(*status, b"{\"run_id\": 7}")));
            assert!(said.starts_with(&format!("{kind}: {status} ")), "{said}");
        }
    }
}

#[test]
fn failures_fall_into_their_rows() {
    for (kind, expected) in [
        (FailureKind::Dns, "retry connection_failed: name look-up: x"),
        (FailureKind::Connect, "retry connection_failed: connection: x"),
        (FailureKind::Tls, "retry connection_failed: tls: x"),
        (FailureKind::Protocol, "retry connection_failed: http: x"),
        (FailureKind::Timeout, "retry timeout: x"),
        (FailureKind::Blocked, "terminal blocked_target: x"),
    ] {
        assert_eq!(show(&answered(&failure(kind, "x"))), expected);
    }
}

#[test]
fn a48_redirect_shows_only_its_host() {
    for (location, expected) in [
        (Some("http://10.0.0.1:8080/secret?token=x"), "to host `10.0.0.1`"),
        (Some("https://user:pass@evil.example/x"), "to host `evil.example`"),
        (Some("//evil.example/x"), "to host `evil.example`"),
        (Some("/elsewhere?token=x"), "to the same host"),
        (Some("data:text/plain,x"), "to no host"),
        (Some("http://[::1"), "with a malformed location"),
        (None, "without a location"),
    ] {
        let said = show(&redirect(307, location));
        assert_eq!(said, format!("terminal redirect_refused: 307 {expected}"));
    }
}

#[test]
fn a50_retry_after_is_read_and_capped() {
    for (raw, expected) in [
        ("120", Some("2m")),
        ("Sun, 06 Nov 1994 08:51:37 GMT", Some("2m")),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some("0s")),
        ("86400", Some("1d")),
        ("999999", Some("1d")),
        ("-1", None),
        ("soon", None),
        ("", None),
    ] {
        for status in [408, 409, 425, 429, 500, 503] {
            let said = answered(&Answer::Response {
                status,
                retry_after: Some(raw.to_owned()),
                location: None,
                body: Vec::new(),
                over_limit: false,
            });
            let Outcome::Retry { retry_after, .. } = said else { panic!("{}", show(&said)) };
            let shown = retry_after.map(|span| span.to_string());
            assert_eq!(shown.as_deref(), expected, "{status} {raw:?}");
        }
    }
}

#[test]
fn conflicts_are_retried_five_times() {
    let codes: Vec<&str> = (0..7)
        .map(|conflicts| match after(&response(409, b""), conflicts, 0, 0) {
            Outcome::Retry { .. } => "R",
            Outcome::Terminal { .. } => "T",
            _ => "?",
        })
        .collect();
    assert_eq!(codes.concat(), "RRRRRTT");
}

#[test]
fn malformed_answers_retry_only_if_asked() {
    for body in ["<html>", "", "[]", "{}", "{\"run_id\": true}"] {
        let answer = response(200, body.as_bytes());
        let shown = [(0, 0), (0, 2), (1, 2), (2, 2), (3, 2)].map(|(malformed, max)| {
            matches!(after(&answer, 0, malformed, max), Outcome::Retry { .. })
        });
        assert_eq!(shown, [false, true, true, false, false], "{body}");
    }
    let mut huge = response(200, b"{\"run_id\": 7}");
    if let Answer::Response { over_limit, .. } = &mut huge {
        *over_limit = true;
    }
    assert_eq!(terminal_code(&after(&huge, 0, 0, 2)), code::RESPONSE_TOO_LARGE);
    // Refused statuses have nothing to do with it.
    let refused = after(&response(400, b"<html>"), 0, 0, 2);
    assert_eq!(terminal_code(&refused), code::TERMINAL_FAILURE);
}

#[test]
fn long_details_are_cut() {
    let body = "ä\n".repeat(10_000);
    for answer in [
        response(200, body.as_bytes()),
        response(500, body.as_bytes()),
        response(200, &vec![0xff; 10_000]),
        failure(FailureKind::Connect, &body),
    ] {
        let said = show(&answered(&answer));
        assert!(said.len() < 400, "{} bytes: {said}", said.len());
    }
}

#[test]
fn codes_are_distinct_and_explained() {
    let mut codes: Vec<&str> = code::ALL.iter().map(|(code, _)| *code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 18);
    assert!(code::ALL.iter().all(|(_, meaning)| meaning.ends_with('.')));
}
