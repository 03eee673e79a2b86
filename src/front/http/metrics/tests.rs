//! The text, read by a parser that takes OpenMetrics at its word.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::sample::Series;

/// A sample line: name, labels, value.
type Line = (String, BTreeMap<String, String>, f64);

/// Families by name: type, unit and lines. Panics on whatever the format does not allow.
fn parse(text: &str) -> BTreeMap<String, (String, String, Vec<Line>)> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with `# EOF`");
    let mut families: BTreeMap<String, (String, String, Vec<Line>)> = BTreeMap::new();
    let mut current = String::new();
    for row in body.lines() {
        if let Some(rest) = row.strip_prefix("# ") {
            let (word, rest) = rest.split_once(' ').expect("a word");
            let (name, rest) = rest.split_once(' ').expect("a name");
            assert!(is_name(name), "{row}");
            match word {
                "TYPE" => {
                    let family = (rest.to_owned(), String::new(), Vec::new());
                    let before = families.insert(name.to_owned(), family);
                    assert!(before.is_none(), "{name} is told twice");
                    name.clone_into(&mut current);
                }
                "UNIT" => {
                    assert!(name.ends_with(&format!("_{rest}")), "{row}");
                    assert!(families[name].2.is_empty(), "{row}");
                    rest.clone_into(&mut families.get_mut(name).unwrap().1);
                }
                "HELP" => assert!(!rest.is_empty(), "{row}"),
                _ => panic!("{row}"),
            }
            assert_eq!(name, current, "{row}");
            continue;
        }
        let line = parse_line(row);
        let family = families.get_mut(&current).expect("a family");
        let suffixes: &[&str] = match family.0.as_str() {
            "gauge" => &[""],
            "counter" => &["_total"],
            "info" => &["_info"],
            "summary" => &["", "_sum", "_count"],
            "histogram" => &["_bucket", "_sum", "_count"],
            kind => panic!("no type {kind}"),
        };
        let fits = suffixes.iter().any(|suffix| line.0 == format!("{current}{suffix}"));
        assert!(fits, "{row} in {current}");
        assert!(family.0 == "gauge" || line.2 >= 0.0, "{row}");
        family.2.push(line);
    }
    for (name, (kind, _, lines)) in &families {
        let mut seen = BTreeSet::new();
        for (full, labels, _) in lines {
            assert!(seen.insert((full, labels)), "{name}: {labels:?} twice");
        }
        assert!(!lines.is_empty(), "{name} has no values");
        assert!(kind != "summary" || lines.iter().all(|line| line.1.contains_key("quantile")));
    }
    families
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn parse_line(row: &str) -> Line {
    let at = row.find(['{', ' ']).expect("a value");
    let (name, mut rest) = row.split_at(at);
    assert!(is_name(name), "{row}");
    let mut labels = BTreeMap::new();
    if rest.starts_with('{') {
        loop {
            let (label, text) = rest[1..].split_once("=\"").expect("a label");
            assert!(is_name(label), "{row}");
            let (mut value, mut chars) = (String::new(), text.char_indices());
            let end = loop {
                match chars.next().expect("an end of the label") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("something behind the backslash").1 {
                        'n' => value.push('\n'),
                        escaped @ ('\\' | '"') => value.push(escaped),
                        other => panic!("`\\{other}` in {row}"),
                    },
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{row}");
            rest = &text[end + 1..];
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            assert!(rest.starts_with(','), "{row}");
        }
    }
    let value = rest.strip_prefix(' ').expect("a blank before the value");
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{row}")))
}

fn everything() -> Sample {
    let at = crate::base::time::Time(1_700_000_000_500);
    let mut sample = Sample { at, ..Sample::default() };
    for metric in Metric::ALL {
        let subject = match metric {
            Metric::EndpointState => "work/half_open",
            Metric::OrgQueued | Metric::OrgExecuting => "acme/prod",
            Metric::Connections => "http",
            _ => "odd \"name\"\\ with\nlines",
        };
        sample.values.insert(Series::new(*metric, subject), 2.5);
    }
    sample.put(Metric::OrgQueued, "acme", 9.0);
    sample
}

const COUNTED: Counted = Counted { commands: 7, failed_attempts: 3, listeners: 2 };

#[test]
fn text_is_strict_openmetrics() {
    let mut latency = Latency::default();
    for ms in [1, 7, 700, 7_000_000] {
        latency.run.record(ms);
    }
    let durations = BTreeMap::from([("resize".to_owned(), latency)]);
    let families = parse(&text(&everything(), &durations, "1.2.3", COUNTED));
    assert_eq!(families["tidegate_commands"].2[0].2, 7.0);
    // A scrape that gets old values can tell.
    assert_eq!(families["tidegate_measured_timestamp_seconds"].2[0].2, 1_700_000_000.5);
    let (kind, unit, lines) = &families["tidegate_run_duration_seconds"];
    assert_eq!((kind.as_str(), unit.as_str()), ("histogram", "seconds"));
    let mut last = 0.0;
    for (_, labels, count) in lines.iter().filter(|line| line.0.ends_with("_bucket")) {
        assert!(*count >= last, "{labels:?}: buckets count up");
        last = *count;
    }
    let of = |suffix: &str| lines.iter().find(|line| line.0.ends_with(suffix)).unwrap().2;
    assert_eq!((last, of("_count"), of("_sum")), (4.0, 4.0, 7_000.708));
    assert!(!families.contains_key("tidegate_run_wait_seconds"), "nothing waited");
    let envs = &families["tidegate_env_runs"].2;
    assert_eq!(envs.len(), 2, "sums of orgs would count runs twice: {envs:?}");
    let breaker = &families["tidegate_endpoint_breaker"].2;
    assert_eq!(breaker.iter().map(|line| line.2).sum::<f64>(), 1.0);
    let streams = &families["tidegate_stream_entries"].2;
    assert_eq!(streams[0].1["stream"], "odd \"name\"\\ with\nlines");
    assert_eq!(families["tidegate_commit_duration_seconds"].2[0].2, 0.0025);
}

/// Whatever is measured and is no rate is told, so that nobody forgets a new one.
#[test]
fn every_metric_has_a_family() {
    let rates = [
        Metric::CreatedPerSecond,
        Metric::FinishedPerSecond,
        Metric::FailedPerSecond,
        Metric::StreamAddedPerSecond,
        Metric::CommitsPerSecond,
        // Told once, as entries of the stream.
        Metric::WorkerBacklog,
    ];
    for metric in Metric::ALL.iter().filter(|metric| !rates.contains(metric)) {
        let told = FAMILIES.iter().any(|family| family.4.iter().any(|one| one.0 == *metric));
        assert!(told || *metric == Metric::EndpointState, "{}", metric.as_str());
    }
}

#[test]
fn nothing_measured_is_still_whole() {
    let families = parse(&text(&Sample::default(), &BTreeMap::new(), "0", COUNTED));
    assert_eq!(families.len(), 5);
}

/// The board that is shipped asks for nothing that is not told.
#[test]
fn board_asks_for_what_there_is() {
    let board = include_str!("../../../../packaging/grafana/tidegate.json");
    let mut latency = Latency::default();
    latency.run.record(1);
    latency.wait.record(1);
    let durations = BTreeMap::from([("resize".to_owned(), latency)]);
    let text = text(&everything(), &durations, "0", COUNTED);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut asked = BTreeSet::new();
    for rest in board.split("tidegate_").skip(1) {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        asked.insert(format!("tidegate_{}", &rest[..end]));
    }
    assert!(asked.len() > 15, "{asked:?}");
    for name in asked {
        assert!(
            text.lines().any(|line| line.starts_with(&format!("{name}{{"))
                || line.starts_with(&format!("{name} "))),
            "{name}"
        );
    }
}
