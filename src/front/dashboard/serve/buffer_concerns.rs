//! What the first page says about the burst buffer: only what an operator should know now.

use crate::appliance::buffer::{BufferFigures, DEAD_SHOWN_MAX};
use crate::appliance::buffer_settings::GateKeeper;
use crate::base::time::{Span, Time};
use crate::front::dashboard::parts::Tone;
use crate::front::dashboard::shell::Banner;
use crate::front::dashboard::text;
use crate::front::http::state::Front;
use crate::model::buffer::BufferSettings;

/// A run that waits for longer deserves a look.
pub const LATE: Span = Span::from_mins(1);

/// Banners without a link, the worst first.
pub fn of(state: &BufferFigures, front: &Front, now: Time) -> Vec<Banner> {
    let gate = front.appliance.gate();
    let settings = gate.settings();
    let all = [dead(state), full(state, gate), waits(state, &settings, now)];
    all.into_iter().flatten().collect()
}

fn dead(state: &BufferFigures) -> Option<Banner> {
    let (they, verb) = match state.dead {
        0 => return None,
        1 => ("1 run was".to_owned(), "it cannot become real"),
        n => (
            format!("{} runs were", text::capped(n as u64, DEAD_SHOWN_MAX as u64)),
            "they cannot become real",
        ),
    };
    let text = format!(
        "{they} accepted in a burst and cannot be read any more, so {verb}. What is left of them is \
         kept."
    );
    Some(Banner::new(Tone::Red, "Lost in the buffer.", text))
}

fn full(state: &BufferFigures, gate: &GateKeeper) -> Option<Banner> {
    let settings = gate.settings();
    if !settings.enabled {
        return None;
    }
    let envs: Vec<_> = state.full.iter().filter(|(org, _)| gate.org(org).enabled).collect();
    let whose = match (state.is_full(&settings), envs.first()) {
        (true, _) => "of every env".to_owned(),
        (false, None) => return None,
        (false, Some((org, env))) => match envs.len() {
            1 => format!("of `{org}/{env}`"),
            2 => format!("of `{org}/{env}` and 1 more env"),
            n => format!("of `{org}/{env}` and {} more envs", n - 1),
        },
    };
    let text = format!(
        "What waits is too much or too old: runs {whose} that would go into the buffer are refused \
         (`limit_buffer`) until there is room."
    );
    Some(Banner::new(Tone::Red, "The buffer is full.", text))
}

fn waits(state: &BufferFigures, settings: &BufferSettings, now: Time) -> Option<Banner> {
    let age = state.oldest_at.map_or(Span::ZERO, |at| now.since(at));
    let diverts = state.rates.accepted > 0.0;
    let held_back = !settings.drainer.enabled && state.depth > 0;
    let stale = state.stale;
    if !diverts && !held_back && age <= LATE && stale == 0 {
        return None;
    }
    let mut text = match state.depth {
        0 => "All of them are real by now.".to_owned(),
        1 => format!("1 run is kept and waits to become real, for {}.", text::span(age)),
        n => format!(
            "{} runs are kept and wait to become real, the oldest for {}.",
            text::count(n),
            text::span(age)
        ),
    };
    if stale > 0 {
        let (count, after) = (text::count(stale), settings.sweep.stale_after);
        text.push_str(&format!(" {count} of them for longer than `{after}`."));
    }
    if held_back {
        text.push_str(" The drainer is off: nothing leaves the buffer until it is switched on.");
    } else if let Some(left) = state.empty_in() {
        text.push_str(&format!(" At this pace it is empty in {}.", text::span(left)));
    } else if state.depth > 0 && diverts {
        text.push_str(" More come in than leave.");
    }
    let late = held_back || age > LATE || stale > 0;
    Some(match late {
        true => Banner::new(Tone::Yellow, "Runs wait in the buffer.", text),
        false => Banner::new(Tone::Blue, "A burst goes through the buffer.", text),
    })
}
