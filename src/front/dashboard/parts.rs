//! Small shared pieces: badges, moments, ids, tabs, facts, paging, attempts, documents.
//!
//! [`Badge`], [`When`] and [`RunLink`] print themselves as finished markup, so a page template
//! writes `{{ row.state }}` and no page can colour a state differently.

use askama::Template;
use askama::filters::HtmlSafe;

use super::filters;
use super::text;
use crate::base::time::{Span, Time};

/// A colour with a meaning. Never the only carrier of it: a badge has an icon and a word too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Resting: paused, expired, nothing to say.
    #[default]
    Gray,
    /// Waiting.
    Blue,
    /// Waiting for a moment that is known.
    Indigo,
    /// At work.
    Cyan,
    /// Good.
    Green,
    /// Needs patience: retry, half open.
    Yellow,
    /// Needs a person.
    Red,
    /// Cancelled.
    Violet,
}

impl Tone {
    /// The class that carries the colour.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Gray => "gray",
            Tone::Blue => "blue",
            Tone::Indigo => "indigo",
            Tone::Cyan => "cyan",
            Tone::Green => "green",
            Tone::Yellow => "yellow",
            Tone::Red => "red",
            Tone::Violet => "violet",
        }
    }
}

/// A state as a coloured word with an icon. Icons are the symbols of `parts/icons.html`.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/badge.html")]
pub struct Badge {
    pub tone: Tone,
    pub icon: &'static str,
    pub label: String,
}

impl HtmlSafe for Badge {}

impl Badge {
    pub fn new(tone: Tone, icon: &'static str, label: impl Into<String>) -> Badge {
        Badge { tone, icon, label: label.into() }
    }

    /// A run's status, as the interface spells it.
    pub fn run(status: &str) -> Badge {
        let (tone, icon) = match status {
            "delayed" => (Tone::Indigo, "clock"),
            "queued" => (Tone::Blue, "queue"),
            "executing" => (Tone::Cyan, "play"),
            "canceling" => (Tone::Violet, "clock"),
            "completed" => (Tone::Green, "check"),
            "failed" => (Tone::Red, "cross"),
            "canceled" => (Tone::Violet, "ban"),
            "expired" => (Tone::Gray, "hourglass"),
            "system_failure" => (Tone::Red, "warn"),
            _ => (Tone::Gray, "dot"),
        };
        Badge::new(tone, icon, status.replace('_', " "))
    }

    /// The state of an outbox row: `due`, `delayed`, `retrying`, `leased`, `dead`.
    pub fn outbox(state: &str) -> Badge {
        let (tone, icon) = match state {
            "due" => (Tone::Blue, "queue"),
            "delayed" => (Tone::Indigo, "clock"),
            "retrying" => (Tone::Yellow, "retry"),
            "leased" => (Tone::Cyan, "play"),
            "dead" => (Tone::Red, "cross"),
            _ => (Tone::Gray, "dot"),
        };
        Badge::new(tone, icon, state)
    }

    /// The state of an endpoint: `closed`, `open`, `half-open`, `disabled`, `paused`.
    pub fn endpoint(state: &str) -> Badge {
        let (tone, icon) = match state {
            "closed" => (Tone::Green, "check"),
            "open" => (Tone::Red, "cross"),
            "half-open" | "half_open" => (Tone::Yellow, "retry"),
            "disabled" => (Tone::Red, "ban"),
            "paused" => (Tone::Gray, "pause"),
            _ => (Tone::Gray, "dot"),
        };
        Badge::new(tone, icon, state.replace('_', "-"))
    }

    /// A run that waits in the burst buffer.
    pub fn buffered() -> Badge {
        Badge::new(Tone::Indigo, "hourglass", "buffered")
    }

    /// The class of an attempt: `success`, `nothing`, or the code of its outcome. `again` says that
    /// there is another attempt.
    pub fn outcome(class: &str, again: bool) -> Badge {
        let (tone, icon) = match (class, again) {
            ("success" | "nothing", _) => (Tone::Green, "check"),
            (_, true) => (Tone::Yellow, "retry"),
            (_, false) => (Tone::Red, "cross"),
        };
        Badge::new(tone, icon, class.replace('_', " "))
    }
}

/// A moment, shown relative, exact on hover and for machines; or a dash.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/when.html")]
pub struct When {
    /// RFC 3339; empty for no moment.
    pub datetime: String,
    pub exact: String,
    pub relative: String,
}

impl HtmlSafe for When {}

impl When {
    pub fn at(at: Time, now: Time) -> When {
        When {
            datetime: at.to_rfc3339(),
            exact: text::exact(at),
            relative: text::relative(at, now),
        }
    }

    /// A dash for `None`.
    pub fn maybe(at: Option<Time>, now: Time) -> When {
        at.map_or_else(When::default, |at| When::at(at, now))
    }

    /// Shows the time of day instead of the distance: for timelines.
    pub fn clock(at: Time) -> When {
        When { datetime: at.to_rfc3339(), exact: text::exact(at), relative: text::clock_ms(at) }
    }

    pub fn is_some(&self) -> bool {
        !self.datetime.is_empty()
    }
}

/// A run's short id: links to its page, copies the whole id; or a dash when it is empty.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/run_link.html")]
pub struct RunLink {
    pub id: String,
}

impl HtmlSafe for RunLink {}

impl RunLink {
    pub fn to(id: impl Into<String>) -> RunLink {
        RunLink { id: id.into() }
    }
}

/// A sentence in which the words between backticks are code, as in the messages of refusals.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/prose.html")]
pub struct Prose {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Piece {
    code: bool,
    text: String,
}

impl HtmlSafe for Prose {}

impl Prose {
    pub fn new(text: &str) -> Prose {
        let paired = text.matches('`').count() / 2 * 2;
        let pieces = text.splitn(paired + 1, '`').enumerate();
        let piece = |(at, text): (usize, &str)| Piece { code: at % 2 == 1, text: text.to_owned() };
        Prose { pieces: pieces.map(piece).collect() }
    }
}

/// A link with its words.
#[derive(Clone, Debug, Default)]
pub struct Link {
    pub label: String,
    pub href: String,
}

impl Link {
    pub fn new(label: impl Into<String>, href: impl Into<String>) -> Link {
        Link { label: label.into(), href: href.into() }
    }
}

/// One tab of a list: a state with its count.
#[derive(Clone, Debug, Default)]
pub struct Tab {
    pub label: String,
    pub href: String,
    /// As shown, for example `10,000+`; empty for none.
    pub count: String,
    /// Class of the dot before the label; `None` for no dot.
    pub tone: Option<Tone>,
    pub current: bool,
}

/// Where a list goes on.
#[derive(Clone, Debug, Default)]
pub struct Pager {
    /// Back to the first page, from any other.
    pub newest: Option<String>,
    pub older: Option<String>,
    /// What was searched when the page is partial, for example `this page looked at 2,000 runs`.
    pub partial: Option<String>,
}

/// A larger text of a run: payload, context, metadata, output.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub name: &'static str,
    /// JSON as [`super::json::pretty`] gives it, or any other text.
    pub body: String,
    /// Size of the original.
    pub bytes: u64,
    /// The page shows only its beginning.
    pub cut: bool,
}

impl Document {
    /// Longest part of a document that a page shows.
    pub const SHOWN_BYTES_MAX: usize = 200_000;

    /// Takes the stored text; indents it when it is JSON, and cuts it for the page.
    pub fn new(name: &'static str, stored: &str) -> Document {
        let pretty = super::json::pretty(stored);
        let shown = crate::base::text::cut(&pretty, Document::SHOWN_BYTES_MAX);
        Document {
            name,
            bytes: stored.len() as u64,
            cut: shown.len() < pretty.len(),
            body: shown.to_owned(),
        }
    }
}

/// One try, of a run or of an outbox row.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    pub number: u64,
    pub started: When,
    /// As [`text::span`] gives it; a dash while it is out.
    pub duration: String,
    /// How the answer was classified.
    pub class: Badge,
    /// HTTP status, `timeout`, `connect`; empty for none.
    pub status: String,
    /// What was said, for example `bad gateway`.
    pub detail: String,
    pub next_retry: When,
    /// Beginning of the answer's body; empty for none.
    pub body: String,
    /// Size of what is kept of the body.
    pub body_bytes: u64,
    /// `body` is only the beginning.
    pub body_cut: bool,
}

/// `waited 2 s`-style text for a phase, empty when either end is missing.
pub fn phase(from: Option<Time>, to: Option<Time>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => text::span(to.since(from)),
        _ => String::new(),
    }
}

/// `+1.2 s`: how far a step lies behind the first one.
pub fn offset(first: Time, at: Time) -> String {
    match at.since(first) {
        Span(0) => "+0".to_owned(),
        length => format!("+{}", text::span(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_escape_what_they_show() {
        let now = Time(1_700_000_000_000);
        assert!(Badge::run("<i>").to_string().contains("&#60;i&#62;"));
        let link = RunLink::to("<\"x\">").to_string();
        assert!(!link.contains("<\""), "{link}");
        assert!(When::at(now, now).to_string().contains("2023-11-14 22:13:20.000 UTC"));
        assert!(When::default().to_string().contains('–'));
    }

    #[test]
    fn backticks_become_code() {
        assert_eq!(
            Prose::new("no task `<a>`; `x").to_string().trim_end(),
            "no task <code>&#60;a&#62;</code>; `x"
        );
        assert_eq!(Prose::new("").to_string().trim_end(), "");
    }

    #[test]
    fn every_status_has_its_own_look() {
        let looks: Vec<(&str, &str)> = [
            "delayed",
            "queued",
            "executing",
            "canceling",
            "completed",
            "failed",
            "canceled",
            "expired",
            "system_failure",
        ]
        .iter()
        .map(|status| {
            let badge = Badge::run(status);
            assert_ne!(badge.icon, "dot", "{status}");
            (badge.tone.class(), badge.icon)
        })
        .collect();
        let mut unique = looks.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), looks.len());
    }

    #[test]
    fn long_documents_are_cut() {
        let long = format!("\"{}\"", "x".repeat(Document::SHOWN_BYTES_MAX + 10));
        let document = Document::new("payload", &long);
        assert!(document.cut && document.body.len() == Document::SHOWN_BYTES_MAX);
        assert_eq!(document.bytes, long.len() as u64);
    }
}
