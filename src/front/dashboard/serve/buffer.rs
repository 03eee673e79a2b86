//! `GET /buffer`: what waits in the burst buffer, why it came there, and how it is set.

use axum::extract::State;

use super::buffer_concerns::{self, LATE};
use super::buffer_settings as settings_rows;
use super::html;
use super::look::Look;
use crate::appliance::buffer::{BufferFigures, BufferState, DEAD_SHOWN_MAX, Dead, EnvState};
use crate::appliance::buffer_settings::{GateKeeper, KeptOrg};
use crate::base::id::RunId;
use crate::base::time::{Span, Time};
use crate::front::dashboard::buffer::{
    BufferPage, DeadRow, DecisionFigures, EnvRow, Figures, OrgRow, Quiet, TripRow,
};
use crate::front::dashboard::parts::{Badge, Tone, When};
use crate::front::dashboard::text;
use crate::front::http::buffer_json::drainer_state;
use crate::front::http::error::Answer;
use crate::front::http::state::Front;
use crate::model::buffer::BufferSettings;
use crate::model::gate::{Decisions, Reason, TripRecord};
use crate::model::refusal::Refusal;

/// Orgs with a switch that are shown.
const ORGS_SHOWN: usize = 100;

pub async fn show(State(front): State<Front>) -> Answer {
    Ok(html(200, &page(&front)?))
}

fn page(front: &Front) -> Result<BufferPage, Refusal> {
    let look = Look::take(front)?;
    let (appliance, now) = (&front.appliance, look.now);
    let (gate, kept) = (appliance.gate(), appliance.buffer_settings());
    let settings = &kept.settings;
    let state = appliance.buffer_state()?;
    let mut orgs = appliance.buffer_orgs(ORGS_SHOWN + 1)?;
    let orgs_more = orgs.len() > ORGS_SHOWN;
    orgs.truncate(ORGS_SHOWN);
    let trips = gate.trips();
    let mut shell = look.shell(front, "Buffer", "/buffer", "/buffer".to_owned());
    shell.banners.extend(buffer_concerns::of(&state.figures, front, now));
    let org = example_org(&state, &orgs, &trips);
    let address = &front.about.address;
    let quiet = (state.figures.depth == 0).then(|| quiet(settings, gate.orgs_on(), address, &org));
    let mut commands = Vec::new();
    // The words of a quiet buffer bring the commands along that switch it on.
    if quiet.as_ref().is_none_or(|quiet| quiet.commands.is_empty()) {
        commands.push(settings_rows::switch(address, !settings.enabled));
        commands.push(settings_rows::org_switch(address, &org.0, !org.1));
    }
    commands.push(settings_rows::drainer_switch(address, !settings.drainer.enabled));
    commands.push(settings_rows::numbers(address, settings));
    Ok(BufferPage {
        shell,
        state: master_badge(settings),
        drainer: drainer_badge(drainer_state(settings, state.figures.depth)),
        figures: figures(&state.figures, settings, now),
        decisions: decisions(gate.decisions()),
        quiet,
        envs: state.envs.iter().map(|env| env_row(env, gate, settings, now)).collect(),
        envs_more: state.envs_more,
        trips: trips.iter().map(|trip| trip_row(trip, now)).collect(),
        dead_more: state.dead.len() >= DEAD_SHOWN_MAX,
        dead: state.dead.iter().map(|dead| dead_row(dead, now)).collect(),
        commands,
        orgs: orgs.iter().map(|org| org_row(org, now)).collect(),
        orgs_more,
        settings: settings_rows::rows(settings),
        set_at: When::maybe(kept.set_at, now),
        set_by: kept.set_by,
    })
}

/// An org to show commands with, and whether it is on: one that made a burst, if any did.
fn example_org(state: &BufferState, orgs: &[KeptOrg], trips: &[TripRecord]) -> (String, bool) {
    let bursts = trips.iter().map(|trip| &trip.org);
    let waiting = state.envs.iter().map(|env| &env.org);
    let known = orgs.iter().map(|org| &org.org);
    let Some(org) = bursts.chain(waiting).chain(known).next() else {
        return ("default".to_owned(), false);
    };
    let on = orgs.iter().any(|kept| kept.org == *org && kept.switch.enabled);
    (org.to_string(), on)
}

fn master_badge(settings: &BufferSettings) -> Badge {
    match (settings.enabled, settings.shadow) {
        (false, _) => Badge::new(Tone::Gray, "dot", "off"),
        (true, false) => Badge::new(Tone::Green, "check", "on"),
        (true, true) => Badge::new(Tone::Green, "check", "on, with shadow"),
    }
}

fn drainer_badge(state: &str) -> Badge {
    let (tone, icon) = match state {
        "draining" => (Tone::Cyan, "play"),
        "off" => (Tone::Yellow, "pause"),
        _ => (Tone::Gray, "check"),
    };
    Badge::new(tone, icon, state)
}

fn figures(state: &BufferFigures, settings: &BufferSettings, now: Time) -> Figures {
    Figures {
        depth: state.depth,
        bytes: state.bytes,
        full: settings.enabled && state.is_full(settings),
        oldest: age(state.oldest_at, now),
        oldest_late: is_late(state.oldest_at, now),
        inflow: text::rate(state.rates.accepted),
        outflow: text::rate(state.rates.drained),
        empty_in: state.empty_in().map_or(String::new(), text::span),
        stale: settings.sweep.enabled.then_some(state.stale),
    }
}

fn age(since: Option<Time>, now: Time) -> String {
    since.map_or(String::new(), |at| text::span(now.since(at)))
}

fn is_late(since: Option<Time>, now: Time) -> bool {
    since.is_some_and(|at| now.since(at) > LATE)
}

fn decisions(of: Decisions) -> DecisionFigures {
    DecisionFigures {
        passed: of.passed,
        env_rate: of.diverted(Reason::EnvRate),
        backlog: of.diverted(Reason::Backlog),
        engine: of.diverted(Reason::Engine),
        shadow: of.shadowed,
    }
}

/// Why nothing waits: the first switch on the way of a run that is off.
fn quiet(settings: &BufferSettings, orgs_on: usize, address: &str, org: &(String, bool)) -> Quiet {
    let mut org_on = settings_rows::org_switch(address, &org.0, true);
    org_on.id = "begin-org";
    let mut on = settings_rows::switch(address, true);
    on.id = "begin-enabled";
    match (settings.enabled, orgs_on) {
        (false, 0) => Quiet {
            title: "The buffer is off.",
            text: "Every run goes straight in. Switched on, it takes the runs of a burst with a \
                   small durable write each and makes them real in turn; only those of orgs that \
                   opt in."
                .to_owned(),
            commands: vec![on, org_on],
        },
        (false, _) => Quiet {
            title: "The buffer is off.",
            text: format!("Every run goes straight in, also those of {}.", orgs_words(orgs_on)),
            commands: vec![on],
        },
        (true, 0) => Quiet {
            title: "The buffer is on, and no org has opted in.",
            text: "Every run goes straight in until its org is switched on.".to_owned(),
            commands: vec![org_on],
        },
        (true, _) => Quiet {
            title: "Nothing waits.",
            text: format!(
                "The buffer is on for {}. Their runs go straight in until an env makes more than \
                 {} within {}.",
                orgs_words(orgs_on),
                text::count(u64::from(settings.threshold)),
                text::span(settings.window)
            ),
            commands: Vec::new(),
        },
    }
}

fn orgs_words(orgs_on: usize) -> String {
    match orgs_on {
        1 => "the 1 org that opted in".to_owned(),
        n => format!("the {} orgs that opted in", text::count(n as u64)),
    }
}

fn env_row(env: &EnvState, gate: &GateKeeper, settings: &BufferSettings, now: Time) -> EnvRow {
    let (new_runs, because) = new_runs(env, gate, settings, now);
    EnvRow {
        org: env.org.to_string(),
        env: env.env.to_string(),
        href: text::link(
            "/runs",
            &[("status", "queued"), ("org", env.org.as_str()), ("env", env.env.as_str())],
        ),
        depth: env.depth,
        bytes: env.bytes,
        oldest: age(env.oldest_at, now),
        oldest_late: is_late(env.oldest_at, now),
        inflow: text::rate(env.rates.accepted),
        outflow: text::rate(env.rates.drained),
        empty_in: env.empty_in().map_or(String::new(), text::span),
        stale: settings.sweep.enabled.then_some(env.stale),
        new_runs,
        because,
    }
}

/// Where new runs of an env go, and why.
fn new_runs(
    env: &EnvState,
    gate: &GateKeeper,
    settings: &BufferSettings,
    now: Time,
) -> (Badge, String) {
    let backlog_max = u64::from(settings.backlog_max);
    let diverted = |because: String| match env.is_full(settings, now) {
        true => (EnvRow::refused(), "what waits is too much or too old".to_owned()),
        false => (EnvRow::diverted(), because),
    };
    if !settings.enabled {
        (EnvRow::straight_in(), "the buffer is off".to_owned())
    } else if !gate.org(&env.org).enabled {
        (EnvRow::straight_in(), "the org is off".to_owned())
    } else if let Some(until) = env.held_until {
        diverted(format!("over its rate, held until {}", text::clock(until)))
    } else if backlog_max > 0 && env.depth > backlog_max {
        diverted(format!("until at most {} wait", text::count(backlog_max)))
    } else {
        (EnvRow::straight_in(), String::new())
    }
}

fn trip_row(trip: &TripRecord, now: Time) -> TripRow {
    let over = trip.held_until <= now;
    let lasted = Span(trip.held_until.since(trip.began_at).0.max(0));
    TripRow {
        began: When::at(trip.began_at, now),
        org: trip.org.to_string(),
        env: trip.env.to_string(),
        lasted: if over { text::span(lasted) } else { String::new() },
        count_max: u64::from(trip.count_max),
        diverted: trip.diverted,
        shadow: trip.shadowed,
    }
}

fn dead_row((id, dead): &(RunId, Dead), now: Time) -> DeadRow {
    DeadRow {
        id: id.to_string(),
        org: dead.org.clone(),
        env: dead.env.clone(),
        why: text::first_line(&dead.why, 300),
        at: When::at(Time(dead.at), now),
        bytes: dead.bytes.len() as u64,
    }
}

fn org_row(kept: &KeptOrg, now: Time) -> OrgRow {
    OrgRow {
        org: kept.org.to_string(),
        state: OrgRow::state(kept.switch.enabled, kept.switch.shadow),
        set_at: When::at(kept.set_at, now),
        set_by: kept.set_by.clone(),
    }
}
