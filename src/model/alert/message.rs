//! What people are told: the words of a message, for each kind of channel.

use super::{Severity, What};
use crate::base::id::Id;
use crate::base::text::cut;
use crate::base::time::{Span, Time};

/// Most alerts that one message lists; the rest is a number.
pub const ITEMS_MAX: usize = 50;
/// Longest title, in bytes: it is the subject of a mail.
const TITLE_BYTES_MAX: usize = 180;
/// Subjects that a title names.
const TITLE_NAMES_MAX: usize = 3;

/// One alert of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub rule: String,
    pub subject: String,
    pub severity: Severity,
    pub detail: String,
    pub since: Time,
}

/// A message before it has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub what: What,
    pub items: Vec<Item>,
    /// Alerts that are not listed.
    pub more: u64,
}

/// A message for one channel, until it is delivered or given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same for every channel and every attempt: a receiver drops a repeat by it.
    pub id: Id,
    pub draft: Draft,
    pub created_at: Time,
    pub due_at: Time,
    pub attempts: u32,
    pub first_attempt_at: Option<Time>,
    /// Empty for none.
    pub last_error: String,
    /// It was given up then.
    pub dead_at: Option<Time>,
}

/// A length of time for people: whole seconds, then minutes, then hours.
pub fn about(span: Span) -> String {
    let secs = span.as_millis() / 1_000;
    match secs {
        0..=119 => format!("{secs} s"),
        120..=7_199 => format!("{} min", secs / 60),
        _ => format!("{} h", secs / 3_600),
    }
}

/// Without line breaks and other control characters: nothing from outside ends a header.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl Draft {
    /// The highest of its alerts.
    pub fn severity(&self) -> Severity {
        self.items.iter().map(|item| item.severity).max().unwrap_or_default()
    }

    fn word(&self) -> &'static str {
        match self.what {
            What::Firing => self.severity().as_str(),
            What::Reminder => "still firing",
            What::Resolved | What::Dropped => "resolved",
        }
    }

    /// One line: how bad, which rules, what they are about.
    pub fn title(&self) -> String {
        let mut rules: Vec<&str> = self.items.iter().map(|item| item.rule.as_str()).collect();
        rules.dedup();
        let names: Vec<&str> = self
            .items
            .iter()
            .map(|item| item.subject.as_str())
            .filter(|subject| !subject.is_empty())
            .collect();
        let shown = names.iter().take(TITLE_NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
        let hidden = names.len().saturating_sub(TITLE_NAMES_MAX) as u64 + self.more;
        let of = match (shown.as_str(), hidden) {
            ("", _) => String::new(),
            (shown, 0) => format!(": {shown}"),
            (shown, more) => format!(": {shown} and {more} more"),
        };
        let title = plain(&format!("{}: {}{of}", self.word(), rules.join(", ")));
        cut(&title, TITLE_BYTES_MAX).to_owned()
    }

    /// A line for each alert.
    pub fn lines(&self) -> Vec<String> {
        let line = |item: &Item| {
            let (severity, since) = (item.severity.as_str(), item.since.to_rfc3339());
            plain(&format!("[{severity}] {}: {} (since {since})", item.rule, item.detail))
        };
        let mut lines: Vec<String> = self.items.iter().map(line).collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines
    }

    /// The body of a mail. `server` says whose alert it is.
    pub fn mail_text(&self, id: Id, server: &str) -> String {
        format!("{}\n\n{}\n\n{server}\nMessage {id}\n", self.title(), self.lines().join("\n"))
    }

    /// The text of a Slack message. What has a meaning there is escaped: a name mentions nobody.
    pub fn slack_text(&self, server: &str) -> String {
        let escaped =
            |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let emoji = match (self.what, self.severity()) {
            (What::Resolved | What::Dropped, _) => ":white_check_mark:",
            (_, Severity::Critical) => ":rotating_light:",
            (_, Severity::Warning) => ":warning:",
            (_, Severity::Info) => ":information_source:",
        };
        let lines: Vec<String> =
            self.lines().iter().map(|line| format!("• {}", escaped(line))).collect();
        let (title, server) = (escaped(&self.title()), escaped(server));
        format!("{emoji} *{title}*\n{}\n_{server}_", lines.join("\n"))
    }

    /// The body of a signed webhook.
    pub fn webhook_json(&self, id: Id, at: Time, server: &str) -> serde_json::Value {
        let alerts: Vec<serde_json::Value> = self
            .items
            .iter()
            .map(|item| {
                serde_json::json!({
                    "rule": item.rule, "subject": item.subject,
                    "severity": item.severity.as_str(), "detail": item.detail,
                    "since": item.since,
                })
            })
            .collect();
        serde_json::json!({
            "id": id, "type": format!("alert.{}", self.what.as_str()), "at": at,
            "severity": self.severity().as_str(), "title": self.title(), "server": server,
            "alerts": alerts, "more": self.more,
        })
    }
}

/// The message of a test.
pub fn test_draft(now: Time) -> Draft {
    let item = Item {
        rule: "test".to_owned(),
        subject: String::new(),
        severity: Severity::Info,
        detail: "this is a test: alerts of Tidegate arrive here".to_owned(),
        since: now,
    };
    Draft { what: What::Firing, items: vec![item], more: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(rule: &str, subject: &str, severity: Severity) -> Item {
        let detail = format!("`{subject}` is bad");
        let (rule, subject) = (rule.to_owned(), subject.to_owned());
        Item { rule, subject, severity, detail, since: Time(1_700_000_000_000) }
    }

    #[test]
    fn titles_name_the_first_few() {
        let mut draft = Draft {
            what: What::Firing,
            items: ["a", "b", "c", "d"].map(|of| item("gone", of, Severity::Warning)).to_vec(),
            more: 2,
        };
        assert_eq!(draft.title(), "warning: gone: a, b, c and 3 more");
        draft.items[2].severity = Severity::Critical;
        assert_eq!(draft.title(), "critical: gone: a, b, c and 3 more");
        draft.what = What::Resolved;
        draft.items.truncate(1);
        draft.more = 0;
        assert_eq!(draft.title(), "resolved: gone: a");
        draft.items[0].subject = "x\r\nBcc: all@example.org".to_owned();
        assert_eq!(draft.title(), "resolved: gone: x??Bcc: all@example.org");
    }

    #[test]
    fn s32_names_mean_nothing_in_a_channel() {
        let items = vec![item("gone", "<!channel>&", Severity::Critical)];
        let text = Draft { what: What::Firing, items, more: 0 }.slack_text("http://x");
        assert!(text.starts_with(":rotating_light: *critical: gone: &lt;!channel&gt;&amp;*\n"));
        assert!(!text.contains('<'), "{text}");
    }

    #[test]
    fn webhooks_carry_the_alerts_in_parts() {
        let draft =
            Draft { what: What::Reminder, items: vec![item("r", "s:t", Severity::Info)], more: 1 };
        let json = draft.webhook_json(Id::MIN, Time(0), "http://x");
        assert_eq!(json["type"], "alert.reminder");
        assert_eq!(json["alerts"][0]["subject"], "s:t");
        assert_eq!((json["more"].as_u64(), json["severity"].as_str()), (Some(1), Some("info")));
    }
}
