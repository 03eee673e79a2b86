//! What follows from a look: which alerts change, what is written down, who is told what.
//!
//! People are told that something fires once, then at every reminder, then that it is well again.
//! A second message that it fires never comes within the cooldown of the one before, so an alert
//! that flaps stays pending meanwhile. What fires during a silence is told when the silence ends,
//! if it still fires. Rules on workers wait for the end of the grace after a start, and then for
//! the debounce, so that workers that go together are one message.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Draft, ITEMS_MAX, Item};
use super::reading::{Breach, Key, Reading, could_tell};
use super::rule::{Condition, Rule};
use super::rules::Rules;
use super::said::grown_words;
use super::silence::Quiet;
use super::{Alert, Line, Mark, Phase, What};
use crate::base::human;
use crate::base::time::{Span, Time};
use crate::model::sample::Sample;

/// Most alerts with a state at once; what comes beyond has to wait.
pub const ALERTS_MAX: usize = 2_000;

/// One look.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    pub rules: &'a Rules,
    pub sample: &'a Sample,
    pub reading: &'a Reading,
    pub quiet: Quiet<'a>,
    /// The start is so young that nobody is missed yet.
    pub grace: bool,
    pub debounce: Span,
    pub now: Time,
}

/// What is known from before.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub alerts: &'a BTreeMap<Key, Alert>,
    pub marks: &'a BTreeMap<Key, Mark>,
}

/// What changes. `None` is a state that is no more.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub alerts: BTreeMap<Key, Option<Alert>>,
    pub marks: BTreeMap<Key, Option<Mark>>,
    /// Lines of the history, and which of the messages told of each.
    pub lines: Vec<(Line, Option<usize>)>,
    pub messages: Vec<Draft>,
}

/// The states after a look, and what people are to know of them.
#[derive(Default)]
struct Work {
    after: BTreeMap<Key, Alert>,
    lines: Vec<(What, Key)>,
    /// Lines of alerts that nobody is told of.
    quiet: Vec<(What, Key)>,
}

/// Takes every alert one look further.
pub fn step(look: &Look<'_>, known: Known<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let grown = grown(look, known.marks, &mut outcome);
    let breach_of = |key: &Key| grown.get(key).or_else(|| look.reading.breaches.get(key));
    let mut keys: BTreeSet<&Key> = known.alerts.keys().collect();
    let fresh: Vec<&Key> = look
        .reading
        .breaches
        .keys()
        .chain(grown.keys())
        .filter(|key| !known.alerts.contains_key(*key))
        .take(ALERTS_MAX.saturating_sub(keys.len()))
        .collect();
    keys.extend(fresh);
    let mut work = Work::default();
    for key in keys {
        let was = known.alerts.get(key).map(|was| was.not_after(look.now));
        let Some(rule) = look.rules.get(&key.0).filter(|rule| look.knows(rule, &key.1)) else {
            if let Some(was) = was.filter(|was| was.phase == Phase::Firing) {
                outcome.lines.push((look.line(&was, What::Dropped, false), None));
            }
            continue;
        };
        let breach = breach_of(key);
        let after = match (was, breach) {
            (Some(was), None) if !could_tell(rule, &key.1, look.sample) => Some(was),
            (was, breach) => look.advance(rule, key, was, breach, &mut work),
        };
        if let Some(after) = after {
            work.after.insert(key.clone(), after);
        }
    }
    look.tell(&mut work);
    outcome.write(look, work, known.alerts);
    outcome
}

/// Rules on growth: moves their marks and gives those that grew.
fn grown(
    look: &Look<'_>,
    marks: &BTreeMap<Key, Mark>,
    outcome: &mut Outcome,
) -> BTreeMap<Key, Breach> {
    let mut found = BTreeMap::new();
    for (key, value) in &look.reading.grown {
        let Some(rule) = look.rules.get(&key.0) else { continue };
        let Condition::Growing { metric, by, window, .. } = &rule.condition else { continue };
        let mark = match marks.get(key) {
            None => Mark { value: *value, grew_at: None },
            Some(mark) if *value > mark.value + by => {
                Mark { value: *value, grew_at: Some(look.now) }
            }
            Some(mark) => Mark {
                value: mark.value.min(*value),
                grew_at: mark.grew_at.map(|at| at.min(look.now)),
            },
        };
        if mark.grew_at.is_some_and(|at| look.now.since(at) < *window) {
            let before = marks.get(key).map(|mark| mark.value).filter(|before| before < value);
            let detail = grown_words(*metric, &key.1, before, *value);
            let breach =
                Breach { severity: rule.severity, detail, since: mark.grew_at, over: false };
            found.insert(key.clone(), breach);
        }
        if marks.get(key) != Some(&mark) {
            outcome.marks.insert(key.clone(), Some(mark));
        }
    }
    for key in marks.keys().filter(|key| !look.reading.grown.contains_key(*key)) {
        let rule = look.rules.get(&key.0);
        if rule.is_none_or(|rule| could_tell(rule, &key.1, look.sample)) {
            outcome.marks.insert(key.clone(), None);
        }
    }
    found
}

impl Look<'_> {
    /// Workers that were forgotten are neither there nor gone.
    fn knows(&self, rule: &Rule, subject: &str) -> bool {
        !rule.condition.is_down() || self.reading.workers.contains(subject)
    }

    fn is_quiet(&self, alert: &Alert) -> bool {
        self.quiet.covers(&alert.rule, &alert.subject, self.now)
    }

    /// A message of this rule for this subject is so young that another one has to wait.
    fn cools_down(&self, rule: &Rule, alert: &Alert) -> bool {
        alert.messaged_at.is_some_and(|at| self.now.since(at) < rule.cooldown)
    }

    fn may_fire(&self, rule: &Rule, alert: &Alert) -> bool {
        let in_grace = rule.condition.is_down() && self.grace;
        let lasted = self.now.since(alert.since) >= rule.duration;
        lasted && !in_grace && !self.cools_down(rule, alert)
    }

    /// One alert, one look further; `None` is one that is well and forgotten.
    fn advance(
        &self,
        rule: &Rule,
        key: &Key,
        was: Option<Alert>,
        breach: Option<&Breach>,
        work: &mut Work,
    ) -> Option<Alert> {
        let phase = was.as_ref().map(|was| was.phase);
        match (phase, breach) {
            (None | Some(Phase::Resolved), Some(breach)) => {
                self.begin(rule, key, was, breach, work)
            }
            (Some(Phase::Pending), Some(breach)) if !breach.over => {
                let pending = was?;
                Some(self.fire_if_due(rule, pending, breach, work))
            }
            (Some(Phase::Firing), Some(breach)) if !breach.over => {
                let firing = Alert { resolved_at: None, ..was? };
                Some(self.go_on(rule, firing, breach, work))
            }
            (Some(Phase::Firing), _) => self.end(rule, was?, work),
            (Some(Phase::Pending | Phase::Resolved), _) => self.rest(rule, was?),
            (None, None) => None,
        }
    }

    /// The first look that finds it breached.
    fn begin(
        &self,
        rule: &Rule,
        key: &Key,
        was: Option<Alert>,
        breach: &Breach,
        work: &mut Work,
    ) -> Option<Alert> {
        let pending = Alert {
            rule: key.0.clone(),
            subject: key.1.clone(),
            phase: Phase::Pending,
            severity: breach.severity,
            since: breach.since.unwrap_or(self.now).min(self.now),
            fired_at: None,
            resolved_at: None,
            told_at: None,
            messaged_at: was.as_ref().and_then(|was| was.messaged_at),
            silenced: false,
            detail: breach.detail.clone(),
        };
        if !breach.over {
            return Some(self.fire_if_due(rule, pending, breach, work));
        }
        // It was over before it could be seen: told if nothing but seeing was in the way.
        if rule.duration > Span::ZERO || !self.may_fire(rule, &pending) {
            return was.and_then(|was| self.rest(rule, was));
        }
        let fired = self.fire_if_due(rule, pending, breach, work);
        self.end(rule, fired, work)
    }

    fn fire_if_due(&self, rule: &Rule, pending: Alert, breach: &Breach, work: &mut Work) -> Alert {
        if !self.may_fire(rule, &pending) {
            return pending;
        }
        let mut firing = Alert {
            phase: Phase::Firing,
            fired_at: Some(self.now),
            severity: breach.severity,
            detail: breach.detail.clone(),
            ..pending
        };
        if self.is_quiet(&firing) {
            firing.silenced = true;
            work.quiet.push((What::Firing, firing.key()));
        }
        firing
    }

    /// It fires and goes on firing.
    fn go_on(&self, rule: &Rule, mut firing: Alert, breach: &Breach, work: &mut Work) -> Alert {
        if firing.told_at.is_none() {
            firing.silenced |= self.is_quiet(&firing);
            return firing;
        }
        let reminder_due = rule.reminder.is_some_and(|reminder| {
            firing.messaged_at.is_none_or(|at| self.now.since(at) >= reminder)
        });
        if reminder_due && !self.is_quiet(&firing) {
            firing.messaged_at = Some(self.now);
            // What was found hours ago may be far from how it is.
            firing.detail.clone_from(&breach.detail);
            work.lines.push((What::Reminder, firing.key()));
        }
        firing
    }

    /// It fired and is well again.
    fn end(&self, rule: &Rule, firing: Alert, work: &mut Work) -> Option<Alert> {
        let firing = Alert { resolved_at: firing.resolved_at.or(Some(self.now)), ..firing };
        let quiet = self.is_quiet(&firing);
        let is_untold = firing.told_at.is_none();
        if is_untold && rule.condition.is_down() && !firing.silenced && !quiet {
            // The message that waits for the end of the debounce says that it is over.
            return Some(firing);
        }
        let key = firing.key();
        match is_untold || quiet || !rule.resolved {
            true => work.quiet.push((What::Resolved, key)),
            false => work.lines.push((What::Resolved, key)),
        }
        Some(Alert { phase: Phase::Resolved, ..firing })
    }

    /// Well, and remembered while its cooldown lasts.
    fn rest(&self, rule: &Rule, was: Alert) -> Option<Alert> {
        self.cools_down(rule, &was).then_some(Alert { phase: Phase::Resolved, ..was })
    }

    /// Marks those as told whose message goes out with this look.
    fn tell(&self, work: &mut Work) {
        let is_down = |alert: &Alert| {
            self.rules.get(&alert.rule).is_some_and(|rule| rule.condition.is_down())
        };
        let waits = |alert: &Alert| {
            alert.phase == Phase::Firing && alert.told_at.is_none() && !self.is_quiet(alert)
        };
        let is_over =
            |alert: &Alert| alert.fired_at.is_some_and(|at| self.now.since(at) >= self.debounce);
        let debounced = work.after.values().any(|a| waits(a) && is_down(a) && is_over(a));
        for (key, alert) in &mut work.after {
            if waits(alert) && (debounced || !is_down(alert)) {
                alert.told_at = Some(self.now);
                alert.messaged_at = Some(self.now);
                alert.silenced = false;
                if alert.resolved_at.is_some() {
                    alert.phase = Phase::Resolved;
                }
                work.lines.push((What::Firing, key.clone()));
            }
        }
    }

    fn line(&self, alert: &Alert, what: What, silenced: bool) -> Line {
        Line {
            at: self.now,
            what,
            rule: alert.rule.clone(),
            subject: alert.subject.clone(),
            severity: alert.severity,
            detail: words(alert, what, self.now),
            silenced,
            message: None,
        }
    }

    fn item(&self, alert: &Alert, what: What) -> Item {
        let found = words(alert, what, self.now);
        let said = self.rules.get(&alert.rule).map_or("", |rule| rule.message.as_str());
        Item {
            rule: alert.rule.clone(),
            subject: alert.subject.clone(),
            severity: alert.severity,
            detail: if said.is_empty() { found } else { format!("{said}: {found}") },
            since: alert.since,
        }
    }
}

/// What is said of an alert.
fn words(alert: &Alert, what: What, now: Time) -> String {
    let lasted = human::span(alert.resolved_at.unwrap_or(now).since(alert.since));
    match what {
        What::Firing if alert.resolved_at.is_some() => {
            format!("{}; it was over after {lasted}", alert.detail)
        }
        What::Firing | What::Dropped => alert.detail.clone(),
        What::Reminder => format!("{}; for {lasted} now", alert.detail),
        What::Resolved => format!("well again after {lasted}; it was: {}", alert.detail),
    }
}

impl Alert {
    pub fn key(&self) -> Key {
        (self.rule.clone(), self.subject.clone())
    }

    /// With no moment after `now`: a clock that was put back must not make a cooldown of days.
    fn not_after(&self, now: Time) -> Alert {
        let past = |at: Option<Time>| at.map(|at| at.min(now));
        Alert {
            since: self.since.min(now),
            fired_at: past(self.fired_at),
            resolved_at: past(self.resolved_at),
            told_at: past(self.told_at),
            messaged_at: past(self.messaged_at),
            ..self.clone()
        }
    }
}

impl Outcome {
    /// Turns what people are to know into lines and messages, and keeps what changed.
    fn write(&mut self, look: &Look<'_>, work: Work, before: &BTreeMap<Key, Alert>) {
        let alert_of = |key: &Key| work.after.get(key).or_else(|| before.get(key));
        for (what, key) in &work.quiet {
            if let Some(alert) = alert_of(key) {
                self.lines.push((look.line(alert, *what, true), None));
            }
        }
        // One message for each rule; rules on workers share theirs, whichever of them it was.
        let mut of_group: BTreeMap<(What, &str), usize> = BTreeMap::new();
        for (what, key) in &work.lines {
            let Some(alert) = alert_of(key) else { continue };
            let rule = look.rules.get(&key.0);
            let is_down = rule.is_some_and(|rule| rule.condition.is_down());
            let group = (*what, if is_down { "" } else { key.0.as_str() });
            let at = *of_group.entry(group).or_insert_with(|| {
                self.messages.push(Draft { what: *what, items: Vec::new(), more: 0 });
                self.messages.len() - 1
            });
            let draft = &mut self.messages[at];
            match draft.items.len() < ITEMS_MAX {
                true => draft.items.push(look.item(alert, *what)),
                false => draft.more += 1,
            }
            self.lines.push((look.line(alert, *what, false), Some(at)));
        }
        for (key, alert) in &work.after {
            if before.get(key) != Some(alert) {
                self.alerts.insert(key.clone(), Some(alert.clone()));
            }
        }
        for key in before.keys().filter(|key| !work.after.contains_key(*key)) {
            self.alerts.insert(key.clone(), None);
        }
    }
}

#[cfg(test)]
mod tests;
