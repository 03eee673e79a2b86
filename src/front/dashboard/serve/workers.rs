//! `GET /workers`: the fleet by type, everyone in it, and who came and went.

use axum::extract::State as Has;

use super::html;
use super::look::Look;
use super::streams::redis_cli;
use crate::appliance::fleet::{TypeView, WorkerView};
use crate::base::time::Time;
use crate::front::dashboard::names::{shown, stream_href};
use crate::front::dashboard::parts::When;
use crate::front::dashboard::workers::{
    ConsumerRow, ScalingEvent, Utilisation, WorkerCard, WorkersPage, caption, state_badge,
};
use crate::front::http::error::Answer;
use crate::front::http::state::Front;
use crate::model::refusal::Refusal;
use crate::model::worker::{EventKind, FleetEvent, State};

/// Consumers that are shown: those of the first types, the living of each first.
const CONSUMERS_SHOWN: usize = 200;
/// Events that are shown.
const EVENTS_SHOWN: usize = 100;

pub async fn show(Has(front): Has<Front>) -> Answer {
    Ok(html(200, &page(&front)?))
}

fn page(front: &Front) -> Result<WorkersPage, Refusal> {
    let look = Look::take(front)?;
    let types = by_need(front.appliance.workers()?);
    let events = front.appliance.fleet_events(None, EVENTS_SHOWN)?;
    let mut consumers: Vec<&WorkerView> = Vec::new();
    for kind in &types {
        let mut of_type: Vec<&WorkerView> = kind.workers.iter().collect();
        of_type.sort_by_key(|view| view.worker.state);
        consumers.extend(of_type);
    }
    let more = consumers.len().saturating_sub(CONSUMERS_SHOWN);
    let row = |view: &&WorkerView| consumer_row(view, look.now);
    Ok(WorkersPage {
        shell: look.shell(front, "Workers", "/workers", "/workers".to_owned()),
        cards: types.iter().map(|kind| card(kind, look.now)).collect(),
        consumers: consumers.iter().take(CONSUMERS_SHOWN).map(row).collect(),
        consumers_more: more as u64,
        events: events.iter().map(|(_, event)| event_row(event, look.now)).collect(),
        first_worker: first_worker(front),
    })
}

fn first_worker(front: &Front) -> String {
    let cli = redis_cli(front);
    format!(
        "{cli} XGROUP CREATE greetings workers 0 MKSTREAM\n\
         {cli} XREADGROUP GROUP workers me BLOCK 0 STREAMS greetings '>'"
    )
}

/// Types of workers with those that ask for attention first: crashed ones, then those with more before
/// them than they can take.
pub fn by_need(mut types: Vec<TypeView>) -> Vec<TypeView> {
    // The sort is stable, so cards change places only when their state does.
    types.sort_by_key(|view| match view.kind.state {
        State::Crashed => 0,
        _ if view.utilization() >= 1.0 => 1,
        State::Alive | State::Stopped => 2,
    });
    types
}

pub fn card(view: &TypeView, now: Time) -> WorkerCard {
    let kind = &view.kind;
    let state = kind.state_word();
    let crashed = view.workers.iter().filter(|view| view.worker.state == State::Crashed).count();
    let capacity = (view.capacity > 0).then_some(view.capacity);
    // The living that name no limit: how much of it is taken is not known.
    let share = (capacity.is_some() || kind.alive == 0).then(|| view.utilization());
    // A name that was no text cannot be found again by what is left of it.
    let readable = !kind.stream.contains(char::REPLACEMENT_CHARACTER);
    WorkerCard {
        name: shown(kind.stream.as_bytes()),
        href: if readable { stream_href(kind.stream.as_bytes()) } else { String::new() },
        state: state_badge(state),
        alive: u64::from(kind.alive),
        backlog: view.backlog,
        lag: view.lag,
        pending: view.pending,
        capacity,
        used: Utilisation::new(share, kind.state == State::Crashed),
        caption: caption(state, crashed as u64, Some(kind.seen_alive_at), now),
        since: When::at(kind.changed_at, now),
    }
}

fn consumer_row(view: &WorkerView, now: Time) -> ConsumerRow {
    let worker = &view.worker;
    let read_at = view.idle.map(|idle| now.minus(idle));
    ConsumerRow {
        name: shown(worker.consumer.as_bytes()),
        worker: shown(worker.stream.as_bytes()),
        state: state_badge(worker.state.as_str()),
        since: When::at(worker.changed_at, now),
        last_seen: When::maybe(worker.beat_at.max(read_at), now),
        pending: view.pending,
        task_limit: (worker.task_limit > 0).then(|| u64::from(worker.task_limit)),
        connected: view.connected,
    }
}

pub fn event_row(event: &FleetEvent, now: Time) -> ScalingEvent {
    let state = match (event.kind, event.state) {
        (EventKind::Crash, _) | (_, State::Crashed) => "crashed",
        (EventKind::ScaleDown, State::Stopped) => "scaled_down",
        _ => "alive",
    };
    ScalingEvent {
        at: When::at(event.at, now),
        worker: shown(event.worker.as_bytes()),
        what: ScalingEvent::pill(u64::from(event.from), u64::from(event.to), state),
        detail: event.detail(),
    }
}
