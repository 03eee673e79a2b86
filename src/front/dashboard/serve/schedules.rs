//! `GET /schedules` and `GET /schedules/{name}`, and the buttons on them.

use axum::extract::{Path, State};
use axum::response::Response;

use super::form::Form;
use super::html;
use super::look::Look;
use crate::appliance::schedules::{ORGS_TOLD, Told, ToldSlot};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::front::dashboard::parts::{Badge, Pager, RunLink, Tone, When};
use crate::front::dashboard::schedules::{
    Marks, RoundRow, SchedulePage, ScheduleRow, SchedulesPage, SlotRow,
};
use crate::front::dashboard::text;
use crate::front::http::error::{Answer, Error};
use crate::front::http::query::Query;
use crate::front::http::schedules::{cursor, known_name};
use crate::front::http::state::Front;
use crate::model::refusal::Refusal;
use crate::model::schedule::{Got, Round, RoundState, Work};

/// Schedules of a page.
const ROWS: usize = 50;
const BY: &str = "operator";

pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let after = cursor(&mut query)?;
    query.end()?;
    Ok(html(200, &list_page(&front, after.as_ref())?))
}

fn list_page(front: &Front, after: Option<&Name>) -> Result<SchedulesPage, Refusal> {
    let look = Look::take(front)?;
    let (page, next) = front.appliance.schedules(after, ROWS)?;
    let href = |name: &Name| text::link("/schedules", &[("cursor", name.as_str())]);
    let here = after.map_or("/schedules".to_owned(), href);
    let mut shell = look.shell(front, "Schedules", "/schedules", here);
    shell.live = after.is_none();
    let first_curl = match page.is_empty() && after.is_none() {
        true => text::curl_put(
            &format!("{}/v1/schedules/nightly", front.about.address),
            r#"{"cron": "0 22 * * *", "timezone": "Europe/Berlin", "task": "resize"}"#,
        ),
        false => String::new(),
    };
    Ok(SchedulesPage {
        shell,
        rows: page.iter().map(|told| row(told, look.now)).collect(),
        pager: Pager {
            newest: after.is_some().then(|| "/schedules".to_owned()),
            older: next.as_ref().map(href),
            partial: None,
        },
        first_curl,
    })
}

/// Orgs of the last round that got nothing.
fn failing(told: &Told) -> u32 {
    told.last_round().map_or(0, |round| round.failing)
}

fn state(told: &Told) -> Badge {
    Badge::schedule(told.progress.paused.is_some(), failing(told) > 0)
}

fn row(told: &Told, now: Time) -> ScheduleRow {
    let (schedule, failing) = (&told.schedule, failing(told));
    let paused = told.progress.paused.is_some();
    ScheduleRow {
        name: schedule.name.to_string(),
        state: state(told),
        paused,
        words: told.words.clone(),
        task: schedule.wanted.task.to_string(),
        orgs: schedule.wanted.orgs.len() as u64,
        next: When::maybe(told.upcoming.first().copied().filter(|_| !paused), now),
        last: When::maybe(told.last_round().map(|round| round.begun.at), now),
        marks: Marks::of(told.rounds.iter().rev().map(mark)),
        error: match failing {
            0 => String::new(),
            1 => "1 org got no run".to_owned(),
            _ => format!("{failing} orgs got no run"),
        },
    }
}

fn title(round: &Round) -> String {
    round.window.map_or("by hand".to_owned(), text::exact)
}

fn mark(round: &Round) -> (Tone, String) {
    let Round { made, failing, missed, .. } = round;
    let went = match round.state {
        RoundState::Skipped => format!("skipped, {missed} missed"),
        RoundState::Open => format!("under way, {made} made, {failing} failed"),
        RoundState::Done => format!("{made} made"),
        RoundState::GivenUp => format!("{made} made, {failing} failed"),
    };
    (Badge::round(round.state.as_str()).tone, format!("{}: {went}", title(round)))
}

pub async fn show(State(front): State<Front>, Path(name): Path<String>, query: Query) -> Answer {
    query.end()?;
    Ok(html(200, &page(&front, &known_name(&name)?)?))
}

fn page(front: &Front, name: &Name) -> Result<SchedulePage, Refusal> {
    let look = Look::take(front)?;
    let now = look.now;
    let told = front.appliance.schedule(name)?;
    let last = told.last_round();
    let slots = last.map_or(Ok(Vec::new()), |round| front.appliance.schedule_slots(round))?;
    let mut shell = look.shell(front, "Schedule", "/schedules", format!("/schedules/{name}"));
    shell.live = true;
    let (schedule, paused) = (&told.schedule, &told.progress.paused);
    let wanted = &schedule.wanted;
    let work = match &wanted.work {
        Work::Payload(_) => "one run".to_owned(),
        Work::Items { items, .. } => {
            format!("one sharded run over {} items", text::count(u64::from(*items)))
        }
    };
    Ok(SchedulePage {
        shell,
        name: name.to_string(),
        state: state(&told),
        paused: paused.is_some(),
        paused_by: paused.as_ref().map_or(String::new(), |stamp| stamp.by.clone()),
        paused_at: When::maybe(paused.as_ref().map(|stamp| stamp.at), now),
        words: told.words.clone(),
        cron: wanted.cron.clone(),
        timezone: wanted.timezone.clone(),
        task: wanted.task.to_string(),
        work,
        env: wanted.env.to_string(),
        orgs: wanted.orgs.len() as u64,
        spread: match wanted.spread.0 {
            0 => String::new(),
            _ => text::span(wanted.spread),
        },
        missed: wanted.missed.as_str(),
        revision: u64::from(schedule.revision),
        set: When::at(schedule.set_at, now),
        set_by: schedule.set_by.clone(),
        created: When::at(schedule.created_at, now),
        last: When::maybe(told.progress.last, now),
        next: match paused {
            Some(_) => Vec::new(),
            None => told.upcoming.iter().map(|at| When::at(*at, now)).collect(),
        },
        silent_until: told.silent_until(now).map(|at| When::at(at, now)),
        slots_of: last.map_or(String::new(), title),
        slots_more: last.is_some_and(|round| (round.made + round.failing) as usize > ORGS_TOLD),
        rounds: told.rounds.iter().map(|round| round_row(round, now)).collect(),
        slots: slots.iter().map(|told| slot_row(told, now)).collect(),
    })
}

fn round_row(round: &Round, now: Time) -> RoundRow {
    RoundRow {
        state: Badge::round(round.state.as_str()),
        window: When::maybe(round.window, now),
        begun: When::at(round.begun.at, now),
        by: round.begun.by.clone(),
        made: u64::from(round.made),
        failing: u64::from(round.failing),
        missed: u64::from(round.missed),
    }
}

fn slot_row(told: &ToldSlot, now: Time) -> SlotRow {
    let slot = &told.slot;
    let (run, sharded, error) = match &slot.got {
        Got::Run(id) => (id.to_string(), String::new(), String::new()),
        Got::Sharded(id) => (String::new(), id.to_string(), String::new()),
        Got::Nothing { message, .. } => (String::new(), String::new(), message.clone()),
    };
    let badge = if sharded.is_empty() { Badge::run } else { Badge::sharded };
    SlotRow {
        org: slot.org.to_string(),
        run: RunLink::to(run),
        sharded,
        state: told.status.map(badge),
        at: When::at(slot.at, now),
        tries: u64::from(slot.tries),
        error,
    }
}

pub async fn run(
    State(front): State<Front>,
    Path(name): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    let name = known_name(&name)?;
    fields.end()?;
    front.appliance.run_schedule(name.clone(), BY).await?;
    Ok(back.or(&format!("/schedules/{name}")))
}

pub async fn pause(State(front): State<Front>, Path(name): Path<String>, form: Form) -> Answer {
    set_paused(&front, &name, form, true).await
}

pub async fn resume(State(front): State<Front>, Path(name): Path<String>, form: Form) -> Answer {
    set_paused(&front, &name, form, false).await
}

async fn set_paused(
    front: &Front,
    name: &str,
    Form { fields, back, .. }: Form,
    paused: bool,
) -> Result<Response, Error> {
    let name = known_name(name)?;
    fields.end()?;
    front.appliance.pause_schedule(name.clone(), paused, BY).await?;
    Ok(back.or(&format!("/schedules/{name}")))
}
