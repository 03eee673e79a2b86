//! What every page must know first: is anything wrong, and the frame that says so.

use crate::appliance::caller;
use crate::appliance::outbox::EndpointView;
use crate::appliance::overview::OutboxFigures;
use crate::base::time::Time;
use crate::front::dashboard::parts::Tone;
use crate::front::dashboard::shell::{Banner, Shell, navigation, settings};
use crate::front::dashboard::text;
use crate::front::http::configuration::RefusedReload;
use crate::front::http::outbox::scope_text;
use crate::front::http::state::Front;
use crate::model::access::{Known, Needs, Who};
use crate::model::alert::{Alert, Severity};
use crate::model::delivery::Pause;
use crate::model::refusal::{Class, Refusal};

use super::{counted, may_open};

pub use crate::front::http::endpoints::ENDPOINTS_MAX;
/// Names that a banner lists.
const NAMES_MAX: usize = 3;

/// The state of the house at one moment.
pub struct Look {
    pub now: Time,
    pub read_only: bool,
    pub outbox: OutboxFigures,
    pub endpoints: Vec<EndpointView>,
    pub pauses: Vec<Pause>,
    /// Entries of the buffer that cannot be read, as far as they are shown.
    pub buffer_dead: usize,
    /// Alerts that fire.
    pub firing: Vec<Alert>,
    /// Settings that were read again and could not be used.
    pub refused: Option<RefusedReload>,
}

impl Look {
    pub fn take(front: &Front) -> Result<Look, Refusal> {
        Ok(Look {
            now: front.appliance.now(),
            read_only: front.appliance.writer_figures().read_only,
            outbox: front.appliance.outbox_figures()?,
            endpoints: front.appliance.endpoints(ENDPOINTS_MAX)?,
            pauses: front.appliance.pauses()?,
            buffer_dead: front.appliance.buffer_dead()?,
            firing: front.appliance.firing_alerts()?,
            refused: front.configuration.get().refused.clone(),
        })
    }

    /// The frame of a page: `href` is its entry of the navigation, `here` its path and query.
    pub fn shell(&self, front: &Front, title: &str, href: &str, here: String) -> Shell {
        let mut shell = bare(title, href);
        shell.durability.clone_from(&front.about.durability);
        shell.version = front.about.version.to_owned();
        shell.address.clone_from(&front.about.address);
        shell.now = self.now;
        shell.live = true;
        shell.here = here;
        shell.user = signed_in_as();
        shell.settings = settings(may_open);
        shell.looks_only =
            caller::current().is_some_and(|caller| !caller.who.role.may(Needs::Operate));
        for item in &mut shell.nav {
            item.alerts = match item.href.as_str() {
                "/buffer" => self.buffer_dead as u64,
                "/outbox" => counted(self.outbox.dead),
                "/alerts" => self.firing.len() as u64,
                "/endpoints" => self.disabled().len() as u64,
                _ => 0,
            };
        }
        if self.read_only {
            shell.banners.push(Banner::new(
                Tone::Red,
                "Read-only: the disk is full.",
                "Nothing new is accepted; reads go on. Free some room and writes come back.",
            ));
        }
        shell
    }

    fn disabled(&self) -> Vec<&str> {
        let disabled = self.endpoints.iter().filter(|view| view.state_word() == "disabled");
        disabled.map(|view| view.endpoint.name.as_str()).collect()
    }

    /// The alerts that fire, in a line.
    fn alerts(&self) -> Option<Banner> {
        let worst = self.firing.iter().map(|alert| alert.severity).max()?;
        let tone = if worst == Severity::Critical { Tone::Red } else { Tone::Yellow };
        let mut rules: Vec<&str> = self.firing.iter().map(|alert| alert.rule.as_str()).collect();
        rules.dedup();
        let title = match self.firing.len() {
            1 => "An alert fires.".to_owned(),
            count => format!("{} alerts fire.", text::count(count as u64)),
        };
        Some(Banner::new(tone, title, list(&rules)).with_link("Alerts", "/alerts"))
    }

    /// What the first page says besides: everything that waits for a person.
    pub fn concerns(&self) -> Vec<Banner> {
        let mut banners = Vec::new();
        banners.extend(self.alerts());
        if let Some(refused) = &self.refused {
            let RefusedReload { at, key, message } = refused;
            let when = text::relative(*at, self.now);
            let text = format!("`{key}`: {message}. Those from before are in force ({when}).");
            let banner = Banner::new(Tone::Yellow, "The settings could not be read again.", text);
            let configuration = "/settings/configuration";
            banners.push(match may_open(configuration) {
                true => banner.with_link("Configuration", configuration),
                false => banner,
            });
        }
        let disabled = self.disabled();
        if !disabled.is_empty() {
            let text = format!("{}: nothing is sent there until it is enabled.", list(&disabled));
            banners.push(
                Banner::new(Tone::Red, "Endpoint disabled.", text)
                    .with_link("Endpoints", "/endpoints"),
            );
        }
        if !self.pauses.is_empty() {
            let scopes: Vec<String> =
                self.pauses.iter().map(|pause| scope_text(&pause.scope).0).collect();
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let text = format!("{}: deliveries wait and use up no attempts.", list(&scopes));
            banners.push(
                Banner::new(Tone::Yellow, "Paused.", text).with_link("Pauses", "/outbox#pauses"),
            );
        }
        let dead = counted(self.outbox.dead);
        if dead > 0 {
            let text = match dead {
                1 => "1 delivery was given up and waits for a decision.".to_owned(),
                _ => {
                    format!(
                        "{} deliveries were given up and wait for a decision.",
                        text::count(dead)
                    )
                }
            };
            banners.push(
                Banner::new(Tone::Yellow, "Dead letters.", text)
                    .with_link("Look at them", "/outbox?state=dead"),
            );
        }
        banners
    }
}

/// The user who looks; tokens and the open door have no name to show.
fn signed_in_as() -> String {
    let caller = caller::current().map(|caller| caller.who.clone());
    match caller.as_deref() {
        Some(Who { known: Known::User(name), .. }) => name.to_string(),
        _ => String::new(),
    }
}

/// Whether a refusal is about what was typed: then it is shown beside the form.
pub fn inner_form(refusal: &Refusal) -> bool {
    matches!(refusal.code.class(), Class::Invalid | Class::Conflict | Class::NotAllowed)
}

/// A frame that needs no store.
pub fn bare(title: &str, href: &str) -> Shell {
    Shell {
        title: title.to_owned(),
        nav: navigation(href),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Shell::default()
    }
}

/// The first names in backticks, and how many more there are.
fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
