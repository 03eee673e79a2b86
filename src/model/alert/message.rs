//! What people are told: the words of a message, for each kind of channel.

use super::advice::{ALERTS_PAGE, Advice};
use super::rules::Rules;
use super::{Severity, What};
use crate::base::human::exact;
use crate::base::id::Id;
use crate::base::text::cut;
use crate::base::time::Time;

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

/// Where a message comes from.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Whose alert it is, in the operator's words.
    pub server: &'a str,
    /// The address under which people reach the pages, without a slash at its end.
    pub url: &'a str,
    /// The rules in force: they know which page shows an alert, and what to do.
    pub rules: &'a Rules,
}

impl Site<'_> {
    fn page(&self, page: &str) -> String {
        format!("{}{page}", self.url)
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

    fn is_over(&self) -> bool {
        matches!(self.what, What::Resolved | What::Dropped)
    }

    /// What was found and since when, for one alert on one line.
    fn found(&self, item: &Item) -> String {
        let (word, began) = match self.is_over() {
            true => ("resolved", "began"),
            false => (item.severity.as_str(), "since"),
        };
        let since = exact(item.since);
        plain(&format!("[{word}] {}: {} ({began} {since})", item.rule, item.detail))
    }

    /// Below it, a line each: where to look, and what to do. What holds for the next alert too stands
    /// below that one.
    fn around(&self, at: usize, site: &Site<'_>) -> Vec<String> {
        let advice_of = |item: &Item| Advice::of(site.rules, &item.rule, &item.subject);
        let (item, next) = (&self.items[at], self.items.get(at + 1));
        let advice = advice_of(item);
        let mut lines = Vec::new();
        if next.is_none_or(|next| advice_of(next).page != advice.page) {
            lines.push(site.page(&advice.page));
        }
        let is_last = next.is_none_or(|next| next.rule != item.rule);
        if is_last && !self.is_over() && !advice.todo.is_empty() {
            lines.push(advice.todo.to_owned());
        }
        lines
    }

    fn more_line(&self) -> Option<String> {
        (self.more > 0).then(|| format!("and {} more", self.more))
    }

    /// The body of a mail.
    pub fn mail_text(&self, id: Id, site: &Site<'_>) -> String {
        let mut lines = vec![self.title()];
        for (at, item) in self.items.iter().enumerate() {
            // A blank line behind what belongs together.
            if lines.last().is_some_and(|last| !last.starts_with('[')) {
                lines.push(String::new());
            }
            lines.push(self.found(item));
            lines.extend(self.around(at, site).into_iter().map(|line| format!("  {line}")));
        }
        lines.extend(self.more_line().into_iter().flat_map(|line| [String::new(), line]));
        let all = site.page(ALERTS_PAGE);
        lines.extend([String::new(), site.server.to_owned(), format!("All alerts: {all}")]);
        format!("{}\nMessage {id}\n", lines.join("\n"))
    }

    /// The text of a Slack message. What has a meaning there is escaped: a name mentions nobody.
    pub fn slack_text(&self, site: &Site<'_>) -> String {
        let escaped =
            |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let emoji = match (self.what, self.severity()) {
            (What::Resolved | What::Dropped, _) => ":white_check_mark:",
            (_, Severity::Critical) => ":rotating_light:",
            (_, Severity::Warning) => ":warning:",
            (_, Severity::Info) => ":information_source:",
        };
        let mut lines = vec![format!("{emoji} *{}*", escaped(&self.title()))];
        for (at, item) in self.items.iter().enumerate() {
            lines.push(format!("• {}", escaped(&self.found(item))));
            lines.extend(self.around(at, site).iter().map(|line| format!("    {}", escaped(line))));
        }
        lines.extend(self.more_line());
        let (server, all) = (escaped(site.server), escaped(&site.page(ALERTS_PAGE)));
        format!("{}\n_{server}_ · {all}", lines.join("\n"))
    }

    /// The body of a signed webhook.
    pub fn webhook_json(&self, id: Id, at: Time, site: &Site<'_>) -> serde_json::Value {
        let alerts: Vec<serde_json::Value> = self
            .items
            .iter()
            .map(|item| {
                let advice = Advice::of(site.rules, &item.rule, &item.subject);
                serde_json::json!({
                    "rule": item.rule, "subject": item.subject,
                    "severity": item.severity.as_str(), "detail": item.detail,
                    "since": item.since, "todo": advice.todo, "url": site.page(&advice.page),
                })
            })
            .collect();
        serde_json::json!({
            "id": id, "type": format!("alert.{}", self.what.as_str()), "at": at,
            "severity": self.severity().as_str(), "title": self.title(),
            "server": site.server, "url": site.page(ALERTS_PAGE),
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

    fn site(rules: &Rules) -> Site<'_> {
        Site { server: "the lab", url: "http://x", rules }
    }

    #[test]
    fn s32_names_mean_nothing_in_a_channel() {
        let rules = Rules::default();
        let items = vec![item("gone", "<!channel>&", Severity::Critical)];
        let text = Draft { what: What::Firing, items, more: 0 }.slack_text(&site(&rules));
        assert!(text.starts_with(":rotating_light: *critical: gone: &lt;!channel&gt;&amp;*\n"));
        assert!(!text.contains('<'), "{text}");
    }

    #[test]
    fn mails_say_what_where_since_when_and_what_to_do() {
        let rules = Rules::default();
        let items = ["a b", "c"].map(|of| item("stream-backlog", of, Severity::Warning)).to_vec();
        let mut draft = Draft { what: What::Firing, items, more: 1 };
        let told = "warning: stream-backlog: a b, c and 1 more\n\n\
                    [warning] stream-backlog: `a b` is bad (since 2023-11-14 22:13:20.000 UTC)\n  \
                    http://x/streams/a%20b\n\n\
                    [warning] stream-backlog: `c` is bad (since 2023-11-14 22:13:20.000 UTC)\n  \
                    http://x/streams/c\n  \
                    See whether its workers are there and keep up; start more, or stop what adds \
                    so much.\n\n\
                    and 1 more\n\nthe lab\nAll alerts: http://x/alerts\nMessage ";
        let text = draft.mail_text(Id::MIN, &site(&rules));
        assert_eq!(text, format!("{told}{}\n", Id::MIN));
        // Who is told that it is over has nothing to do.
        (draft.what, draft.more) = (What::Resolved, 0);
        draft.items.truncate(1);
        let told = "resolved: stream-backlog: a b\n\n[resolved] stream-backlog: `a b` is bad \
                    (began 2023-11-14 22:13:20.000 UTC)\n  http://x/streams/a%20b\n\nthe lab";
        assert!(draft.mail_text(Id::MIN, &site(&rules)).starts_with(told));
    }

    #[test]
    fn workers_that_go_together_share_link_and_advice() {
        let rules = Rules::default();
        let items = ["a", "b"].map(|of| item("workers-gone", of, Severity::Critical)).to_vec();
        let text = Draft { what: What::Firing, items, more: 0 }.slack_text(&site(&rules));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("• [critical]") && lines[2].starts_with("• [critical]"));
        assert_eq!(lines[3].trim(), "http://x/workers");
        assert!(lines[4].trim().starts_with("Start a worker again"), "{text}");
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn webhooks_carry_the_alerts_in_parts() {
        let rules = Rules::default();
        let draft =
            Draft { what: What::Reminder, items: vec![item("r", "s:t", Severity::Info)], more: 1 };
        let json = draft.webhook_json(Id::MIN, Time(0), &site(&rules));
        assert_eq!(json["type"], "alert.reminder");
        assert_eq!(json["alerts"][0]["subject"], "s:t");
        assert_eq!(json["alerts"][0]["url"], "http://x/alerts");
        assert_eq!((json["more"].as_u64(), json["severity"].as_str()), (Some(1), Some("info")));
    }
}
