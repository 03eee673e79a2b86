//! What helps whoever is woken: the page that shows it, and what to do first.

use super::rule::Condition;
use super::rules::Rules;
use crate::base::text::percent_encoded;
use crate::model::sample::Metric;

/// Where to look, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// A sentence; empty for nothing.
    pub todo: &'static str,
    /// The path of a page.
    pub page: String,
}

/// The page of all alerts.
pub const ALERTS_PAGE: &str = "/alerts";

impl Advice {
    /// Of one alert. For a rule that is gone there is the page of alerts.
    pub fn of(rules: &Rules, rule: &str, subject: &str) -> Advice {
        let (todo, page) = match rules.get(rule).map(|rule| &rule.condition) {
            Some(Condition::Threshold { metric, .. } | Condition::Growing { metric, .. }) => {
                of_metric(*metric, subject)
            }
            Some(Condition::HeartbeatLost { .. }) => (
                "Look at that process: it hangs, is overloaded or cut off from here. Others get what \
                 it held, by themselves.",
                "/workers".to_owned(),
            ),
            Some(Condition::WorkersGone { .. }) => (
                "Start a worker again; after a crash its own log says why. Nothing is lost: what it \
                 held waits for the next one.",
                "/workers".to_owned(),
            ),
            None => ("", ALERTS_PAGE.to_owned()),
        };
        Advice { todo, page }
    }
}

fn of_metric(metric: Metric, subject: &str) -> (&'static str, String) {
    let encoded = |text: &str| percent_encoded(text.as_bytes());
    match metric {
        Metric::StreamLength
        | Metric::StreamPending
        | Metric::StreamLag
        | Metric::StreamOldestPendingSeconds
        | Metric::StreamAddedPerSecond
        | Metric::StreamConsumers
        | Metric::StreamOldestUnreadSeconds => (
            "See whether its workers are there and keep up; start more, or stop what adds so much.",
            match subject {
                "" | "." | ".." => "/streams".to_owned(),
                subject => format!("/streams/{}", encoded(subject)),
            },
        ),
        Metric::WorkersAlive
        | Metric::WorkersStale
        | Metric::WorkerBacklog
        | Metric::WorkerCapacity
        | Metric::WorkerUtilization => {
            ("See whether its workers keep up; start more.", "/workers".to_owned())
        }
        Metric::OutboxDue | Metric::OutboxLeased | Metric::OutboxOldestSeconds => (
            "See what the first rows wait for: a receiver that fails, a pause, or a limit.",
            "/outbox?state=due".to_owned(),
        ),
        Metric::OutboxDead => (
            "Read there why receivers refused, mend that, and send them again.",
            "/outbox?state=dead".to_owned(),
        ),
        Metric::EndpointState => (
            "Mend the receiver, send it a test call, and enable it again: until then its runs wait.",
            match subject.rsplit_once('/') {
                Some((name, _)) => format!("/endpoints#endpoint-{}", encoded(name)),
                None => "/endpoints".to_owned(),
            },
        ),
        Metric::BufferDepth | Metric::BufferStale | Metric::BufferOldestSeconds => {
            ("See whether the drainer is on, and what holds it up.", "/buffer".to_owned())
        }
        Metric::Callbacks | Metric::CallbackOldestSeconds => (
            "See which runs wait for an answer from outside, and who owes it.",
            "/runs?status=executing".to_owned(),
        ),
        Metric::Connections => (
            "See which clients open connections and keep them; at the limit new ones are refused.",
            "/live".to_owned(),
        ),
        Metric::CommitP50Ms
        | Metric::CommitP99Ms
        | Metric::CommitsPerSecond
        | Metric::BatchMean
        | Metric::SyncP99Ms => (
            "Look at the disk: something else keeps it busy, or it is about to fail.",
            "/history?range=6h".to_owned(),
        ),
        Metric::StoreBytes | Metric::DiskFreeBytes | Metric::DiskUsedPercent => (
            "Make room on that disk: once it is full, nothing new is taken.",
            "/history?range=24h".to_owned(),
        ),
        Metric::BackupAgeSeconds => {
            ("Make one now, and see why none was made by itself.", "/settings/backups".to_owned())
        }
        Metric::FailedTotal | Metric::FailedPerSecond => {
            ("Read there why they failed.", "/runs?status=failed,system_failure,expired".to_owned())
        }
        Metric::Runs | Metric::TaskQueued | Metric::TaskExecuting => ("", "/runs".to_owned()),
        Metric::CreatedPerSecond
        | Metric::FinishedPerSecond
        | Metric::CreatedTotal
        | Metric::FinishedTotal
        | Metric::MemoryBytes
        | Metric::OrgQueued
        | Metric::OrgExecuting => ("", "/live".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_comes_with_tidegate_says_what_to_do() {
        let rules = Rules::default();
        for rule in rules.iter() {
            let advice = Advice::of(&rules, &rule.name, "a b/c");
            assert!(advice.todo.ends_with('.'), "{}", rule.name);
            assert!(advice.page.starts_with('/') && !advice.page.contains(' '), "{}", advice.page);
        }
    }

    #[test]
    fn names_are_escaped_in_paths() {
        let rules = Rules::default();
        let page = |rule, subject| Advice::of(&rules, rule, subject).page;
        assert_eq!(page("stream-backlog", "a/b c"), "/streams/a%2Fb%20c");
        assert_eq!(page("endpoint-disabled", "agent<1/disabled"), "/endpoints#endpoint-agent%3C1");
        assert_eq!(page("no-such-rule", "x"), "/alerts");
    }
}
