//! What surrounds every page: title, navigation, banners, header and footer.

use super::assets;
use super::parts::{Link, Tone};
use super::text;
use crate::base::time::Time;

/// The frame of a page; each page struct holds one in its field `shell`.
#[derive(Clone, Debug, Default)]
pub struct Shell {
    /// Stands in the browser's tab before the product's name.
    pub title: String,
    pub nav: Vec<NavItem>,
    /// What an operator must know first; empty is the good case.
    pub banners: Vec<Banner>,
    /// Durability in words, for example `fsync per commit`.
    pub durability: String,
    /// The level is weaker than the default, so the header warns.
    pub durability_weak: bool,
    pub version: String,
    /// The address in use, for example `127.0.0.1:5440`.
    pub address: String,
    /// Who is signed in; empty for nobody.
    pub user: String,
    /// The moment of the snapshot that the page shows.
    pub now: Time,
    /// The page refreshes itself. False for later pages of a list and for answers to forms.
    pub live: bool,
    /// Path and query of this page; forms send it as `back`.
    pub here: String,
    /// The pages of Settings that the reader may open.
    pub settings: Vec<Link>,
    /// The reader may look and change nothing: forms that would be refused are not shown.
    pub looks_only: bool,
}

impl Shell {
    /// Path of an asset by its plain name.
    pub fn asset(&self, name: &str) -> &'static str {
        assets::url(name)
    }

    /// Time of day of the snapshot.
    pub fn clock(&self) -> String {
        text::clock(self.now)
    }

    /// Date and time of the snapshot.
    pub fn exact(&self) -> String {
        text::exact(self.now)
    }
}

/// One entry of the navigation.
#[derive(Clone, Debug, Default)]
pub struct NavItem {
    pub label: String,
    pub href: String,
    pub current: bool,
    /// A number that asks for attention, for example dead letters; 0 shows nothing.
    pub alerts: u64,
}

impl NavItem {
    pub fn new(label: &str, href: &str) -> NavItem {
        NavItem { label: label.to_owned(), href: href.to_owned(), ..NavItem::default() }
    }
}

/// The navigation of today, with the entry of `current_href` marked; `""` marks none.
pub fn navigation(current_href: &str) -> Vec<NavItem> {
    let mut items = vec![
        NavItem::new("Overview", "/"),
        NavItem::new("Live", "/live"),
        NavItem::new("History", "/history"),
        NavItem::new("Runs", "/runs"),
        NavItem::new("Batches", "/batches"),
        NavItem::new("Sharded runs", "/sharded-runs"),
        NavItem::new("Schedules", "/schedules"),
        NavItem::new("Streams", "/streams"),
        NavItem::new("Workers", "/workers"),
        NavItem::new("Buffer", "/buffer"),
        NavItem::new("Outbox", "/outbox"),
        NavItem::new("Endpoints", "/endpoints"),
        NavItem::new("Alerts", "/alerts"),
        NavItem::new("Settings", "/settings"),
        NavItem::new("Manual", "/manual"),
        NavItem::new("Docs", "/docs"),
    ];
    for item in &mut items {
        item.current = item.href == current_href;
    }
    items
}

/// The pages of Settings that `may_open` lets its reader have.
pub fn settings(may_open: impl Fn(&str) -> bool) -> Vec<Link> {
    let all = [
        ("About", "/settings"),
        ("Tokens", "/settings/tokens"),
        ("Users", "/settings/users"),
        ("Backups", "/settings/backups"),
        ("Configuration", "/settings/configuration"),
        ("Audit log", "/settings/audit"),
        ("You", "/settings/you"),
    ];
    let open = all.iter().filter(|(_, href)| may_open(href));
    open.map(|(label, href)| Link::new(*label, *href)).collect()
}

/// A line across the top of a page.
#[derive(Clone, Debug, Default)]
pub struct Banner {
    /// Red: broken now. Yellow: weaker than it should be. Blue: to know. Green: done.
    pub tone: Tone,
    /// A few words in bold.
    pub title: String,
    /// What it means and what to do.
    pub text: String,
    pub link: Option<Link>,
}

impl Banner {
    pub fn new(tone: Tone, title: impl Into<String>, text: impl Into<String>) -> Banner {
        Banner { tone, title: title.into(), text: text.into(), link: None }
    }

    pub fn with_link(mut self, label: &str, href: &str) -> Banner {
        self.link = Some(Link::new(label, href));
        self
    }

    /// Symbol that goes with the tone.
    pub fn icon(&self) -> &'static str {
        match self.tone {
            Tone::Red => "cross",
            Tone::Yellow => "warn",
            Tone::Green => "check",
            _ => "info",
        }
    }
}
