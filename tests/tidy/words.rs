//! Who may name what: each outside thing has one home, waiting starts at floor 4, and nothing is
//! left for later.

use crate::floors::{floor_of, module_of};
use crate::source::File;

/// A word of `src` and the only place that may name it.
struct Home {
    words: &'static [&'static str],
    /// A file, or a folder with `/` at its end.
    at: &'static str,
    instead: &'static str,
}

const HOMES: &[Home] = &[
    Home {
        words: &["redb"],
        at: "src/store/",
        instead: "go through the types of `store`, so that a new redb stays one module's work",
    },
    Home {
        words: &["bincode"],
        at: "src/store/",
        instead: "encode in `store`, so that the codec can be exchanged in one place",
    },
    Home {
        words: &["SystemTime"],
        at: "src/base/time.rs",
        instead: "take a `Time` as an argument, or a `Clock` where something waits",
    },
    Home {
        words: &["Instant", "::", "now"],
        at: "src/base/time.rs",
        instead: "measure with `base::time::Stopwatch`",
    },
    Home {
        words: &["axum"],
        at: "src/front/",
        instead: "return plain values and let the front turn them into responses",
    },
    Home {
        words: &["askama"],
        at: "src/front/dashboard/",
        instead: "put the view struct beside its page in `front/dashboard`",
    },
];

/// Who may name a word away from its home, and why: the sample agent of the demo is a stranger's
/// program, no door of ours; deadlines of sockets are set on tokio's own clock.
const GUESTS: &[(&str, &str)] =
    &[("src/cli/demo/agent.rs", "axum"), ("src/front/http/deadline.rs", "Instant::now")];

/// An exception says so, within this many lines above the word, with its reason.
const EXCEPTION: &str = "#[expect(clippy::disallowed_methods";
const EXCEPTION_LINES: usize = 3;

pub fn check_homes(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        let lines: Vec<&str> = file.text.lines().collect();
        for home in HOMES {
            let as_file = home.at.strip_suffix('/').map(|folder| format!("{folder}.rs"));
            let guest = GUESTS.contains(&(file.path.as_str(), home.words.concat().as_str()));
            if guest || file.path.starts_with(home.at) || Some(&file.path) == as_file.as_ref() {
                continue;
            }
            for line in file.lines_of(home.words) {
                let above = &lines[line.saturating_sub(1 + EXCEPTION_LINES)..line];
                if !above.iter().any(|above| above.contains(EXCEPTION)) {
                    wrong.push(format!(
                        "{}:{line}: only `{}` may name `{}`: {}",
                        file.path,
                        home.at,
                        home.words.concat(),
                        home.instead
                    ));
                }
            }
        }
    }
    wrong
}

/// The lowest floor that may wait.
const FLOOR_AWAITS_MIN: u8 = 4;
/// The files below that hand out something to wait on (replies, hints), and all they may name for
/// it; the waiting itself is done above.
const HANDLES: &[&str] = &["src/engine/batch.rs", "src/engine/handle.rs", "src/engine/hub.rs"];
const HANDLES_MAY_NAME: &[&str] = &["tokio", "::", "sync", "::"];

pub fn check_waiting(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let floor = module_of(&file.path).and_then(floor_of);
        if floor.is_none_or(|floor| floor >= FLOOR_AWAITS_MIN) {
            continue;
        }
        for (at, word) in file.words.iter().enumerate() {
            let waits = ["async", "await", "tokio"].contains(&word.text.as_str());
            if waits
                && !(HANDLES.contains(&file.path.as_str()) && file.matches(at, HANDLES_MAY_NAME))
            {
                wrong.push(format!(
                    "{}:{}: `{}` below floor {FLOOR_AWAITS_MIN}: keep this synchronous and let a \
                     driver above do the waiting (only {HANDLES:?} may name `{}`)",
                    file.path,
                    word.line,
                    word.text,
                    HANDLES_MAY_NAME.concat()
                ));
            }
        }
    }
    wrong
}

/// Built from halves, so that this file passes its own check.
const MARKERS: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("TO", "DO"),
];

pub fn check_markers(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with("data/")) {
        for (index, line) in file.text.lines().enumerate() {
            for marker in MARKERS.iter().filter(|marker| has_word(line, marker)) {
                wrong.push(format!(
                    "{}:{}: `{marker}` is left over: do it now, or write it down where the work \
                     is planned",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    wrong
}

/// `word` stands in `line`, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_name) && !line[at + word.len()..].starts_with(is_name)
    })
}

#[test]
fn word_outside_its_home_is_reported() {
    for (path, text, wrong) in [
        ("src/ledger/runs.rs", "use redb::Database;", 1),
        ("src/store/disk.rs", "use redb::Database;", 0),
        ("src/store.rs", "use redb::Database;", 0),
        ("src/model/run.rs", "/// Like redb does.\nconst A: &str = \"redb\";", 0),
        ("src/front/http/runs.rs", "#[derive(bincode::Encode)] struct Row;", 1),
        ("src/model/run.rs", "let now = std::time::SystemTime::now();", 1),
        ("src/work/sweep.rs", "let now = Instant :: now();", 1),
        ("src/work/sweep.rs", "fn f(at: Instant) {}", 0),
        (
            "src/work/a.rs",
            "#[expect(clippy::disallowed_methods, reason = \"x\")]\nInstant::now()",
            0,
        ),
        ("src/base/time.rs", "SystemTime::now()", 0),
        ("src/appliance/runs.rs", "use axum::Json;", 1),
        ("src/front/http/runs.rs", "use askama::Template;", 1),
        ("src/front/dashboard/runs.rs", "use askama::Template; use axum::Json;", 0),
        ("tests/sim/disk.rs", "use redb::Database;", 0),
    ] {
        let found = check_homes(&[File::new(path, text)]);
        assert_eq!(found.len(), wrong, "{path}: {text}: {found:?}");
    }
}

#[test]
fn waiting_below_its_floor_is_reported() {
    for (path, text, wrong) in [
        ("src/ledger/runs.rs", "async fn f() { g().await }", 2),
        ("src/engine/writer.rs", "use tokio::sync::oneshot;", 1),
        ("src/engine/handle.rs", "use tokio::sync::oneshot; tokio::spawn(f());", 1),
        ("src/engine/handle.rs", "reply.await", 1),
        ("src/store/tx.rs", "// async, tokio\nlet asynchronous = 1;", 0),
        ("src/appliance/runs.rs", "async fn f() { g().await }", 0),
    ] {
        let found = check_waiting(&[File::new(path, text)]);
        assert_eq!(found.len(), wrong, "{path}: {text}: {found:?}");
    }
}

#[test]
fn left_over_marker_is_reported() {
    for marker in MARKERS {
        assert_eq!(check_markers(&[File::new("src/a.rs", &format!("\n// {marker} x"))]).len(), 1);
    }
    let longer = concat!("mktemp run.XX", "XXXX; a_TO", "DO_b");
    assert!(check_markers(&[File::new("tests/run", longer)]).is_empty());
}
