//! What each outcome does to run and row: live, another try, failed, dead.

use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::runs::save as runs;
use crate::model::breaker::{Allow, Notice as Health, Reason};
use crate::model::delivery::{DeadLetter, Line, OutboxRow, Purpose, RowState};
use crate::model::notice::Notice as Hint;
use crate::model::outcome::{Case, Hook, Outcome, outcome};
use crate::model::retry::{Next, Trouble, next_delay};
use crate::model::run::{Event, Mirror, Run, RunError, Status};
use crate::model::task::MAX_DURATION_DEFAULT;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::count::Total;
use crate::store::kinds::{
    count, endpoint as endpoints, event, outbox as rows, run as run_rows, run_index, task as tasks,
};
use crate::store::tx::Tx;

use super::save::{hooks_lane, save};
use super::settle::{Report, log_attempt};

/// `exhausted` is told at most this often for one endpoint.
const EXHAUSTED_TOLD_EVERY: Span = Span::from_hours(1);

/// Rows 1-9: nothing was sent.
pub(super) fn before_sending(
    tx: &mut Tx<'_>,
    row: OutboxRow,
    run: Option<Run>,
    unsent: Outcome,
) -> Result<(), Stop> {
    let Some(before) = run else { return Ok(save(tx, Some(&row), None)?) };
    match unsent {
        Outcome::Terminal { code, detail, .. } | Outcome::Dead { code, detail } => {
            if row.purpose == Purpose::Run {
                let mut run = before.clone();
                run.step(Event::Fail, tx.now()).map_err(runs::refuse)?;
                run.error = Some(RunError { code: code.to_owned(), message: detail });
                runs::save(tx, &before, &run)?;
                Ok(save(tx, Some(&row), None)?)
            } else {
                hook_failed(tx, row, code, detail)
            }
        }
        Outcome::Nothing { repair: true } if before.status == Status::Queued => {
            // Row 2: the agent has it, so it executes.
            let mut run = before.clone();
            run.step(Event::Claim, tx.now()).map_err(runs::refuse)?;
            run.mirror = Mirror::Live;
            run.started_at.get_or_insert(tx.now());
            let task = tasks::get(tx, &run.task)?;
            let span = task.map_or(MAX_DURATION_DEFAULT, |task| task.max_duration);
            run.deadline = Some(tx.now().plus(span));
            runs::save(tx, &before, &run)?;
            Ok(save(tx, Some(&row), None)?)
        }
        Outcome::Nothing { .. }
        | Outcome::Send { .. }
        | Outcome::Live { .. }
        | Outcome::Retry { .. } => Ok(save(tx, Some(&row), None)?),
    }
}

/// Rows 10-30: an answer is here, its fence is right.
pub(super) fn after_sending(
    tx: &mut Tx<'_>,
    row: OutboxRow,
    run: Run,
    report: Report,
) -> Result<(), Stop> {
    match (&row.purpose, report.outcome.clone()) {
        (Purpose::Run, Outcome::Live { remote_id, output, done, hooks }) => {
            log_attempt(tx, &report, None, false);
            live(tx, &row, &run, Alive { remote_id, output, done, hooks })?;
        }
        (Purpose::Hook { .. }, Outcome::Live { .. }) | (_, Outcome::Nothing { .. }) => {
            log_attempt(tx, &report, None, false);
            save(tx, Some(&row), None)?;
        }
        (_, Outcome::Retry { code, detail, retry_after }) => {
            let why = Why { code, detail, retry_after, trouble: report.trouble };
            let next_at = again(tx, row, run, why)?;
            log_attempt(tx, &report, next_at, false);
        }
        (Purpose::Run, Outcome::Terminal { code, detail, .. }) => {
            log_attempt(tx, &report, None, false);
            fail(tx, &row, &run, code, detail)?;
        }
        (Purpose::Hook { .. }, Outcome::Terminal { code, detail, .. }) => {
            log_attempt(tx, &report, None, false);
            hook_failed(tx, row, code, detail)?;
        }
        (_, Outcome::Dead { code, detail }) => {
            log_attempt(tx, &report, None, false);
            die(tx, row, run, code, detail)?;
        }
        (_, Outcome::Send { .. }) => {
            return Err(Fault::Corrupt("an answer was taken for a row to send".into()).into());
        }
    }
    Ok(())
}

struct Alive {
    remote_id: i64,
    output: Option<Vec<u8>>,
    done: bool,
    hooks: Vec<Hook>,
}

/// Row 29: live, perhaps done at once; hooks become rows in this very transaction.
fn live(tx: &mut Tx<'_>, row: &OutboxRow, before: &Run, alive: Alive) -> Result<(), Stop> {
    let mut run = before.clone();
    let event = if alive.done { Event::Complete } else { Event::Accept };
    run.step(event, tx.now()).map_err(runs::refuse)?;
    run.mirror = Mirror::Live;
    run.remote_id = Some(alive.remote_id);
    run.last_failure = None;
    run_index::add_remote(tx, alive.remote_id, row.endpoint.as_str(), run.id);
    if let Some(output) = alive.output {
        run_rows::put_output(tx, run.id, output);
        run.has_output = true;
    }
    runs::save(tx, before, &run)?;
    save(tx, Some(row), None)?;
    for hook in alive.hooks {
        let follow_up = OutboxRow {
            id: tx.mint(),
            endpoint: row.endpoint.clone(),
            purpose: Purpose::Hook { run: run.id, hook },
            lane: hooks_lane(&run.org),
            ordered: false,
            priority: 0,
            created_at: tx.now(),
            due_at: tx.now(),
            state: RowState::Ready,
            attempts: 0,
            first_attempt_at: None,
            fence: 0,
            conflicts: 0,
            malformed: 0,
            last_code: None,
            last_detail: None,
        };
        save(tx, None, Some(&follow_up))?;
    }
    Ok(())
}

/// Why there is to be another try.
pub struct Why {
    pub code: &'static str,
    pub detail: String,
    pub retry_after: Option<Span>,
    pub trouble: Trouble,
}

/// When the schedule of task and run wants the next try of a row that was just out.
pub(super) fn next_try(
    tx: &mut Tx<'_>,
    row: &OutboxRow,
    run: &Run,
    retry_after: Option<Span>,
    trouble: Trouble,
) -> Result<Next, Fault> {
    let policy = tasks::get(tx, &row.endpoint)?.map(|task| task.retry).unwrap_or_default();
    let age = row.first_attempt_at.map_or(Span::ZERO, |first| tx.now().since(first));
    if row.purpose == Purpose::Run && run.max_attempts.is_some_and(|max| row.attempts >= max) {
        return Ok(Next::Exhausted);
    }
    Ok(next_delay(&policy, row.attempts, age, retry_after, trouble, tx.entropy()))
}

/// Another try, or the end of tries. Gives the moment of the next one.
pub fn again(tx: &mut Tx<'_>, row: OutboxRow, before: Run, why: Why) -> Result<Option<Time>, Stop> {
    let now = tx.now();
    let hook = row.purpose != Purpose::Run;
    let delay = match next_try(tx, &row, &before, why.retry_after, why.trouble)? {
        Next::Retry(delay) => delay,
        Next::Exhausted => {
            let last = format!("{}: {}", why.code, why.detail);
            let case = Case::Exhausted { attempts: row.attempts, last: &last };
            let Outcome::Dead { code, detail } = outcome(&case) else {
                return Err(Fault::Corrupt("exhausted attempts are not dead".into()).into());
            };
            die(tx, row, before, code, detail)?;
            return Ok(None);
        }
    };
    let mut waiting = row.clone();
    waiting.due_at = now.plus(delay);
    waiting.state = RowState::Waiting;
    waiting.conflicts += u32::from(why.code == crate::model::outcome::code::CONFLICT);
    waiting.malformed += u32::from(matches!(
        why.code,
        crate::model::outcome::code::INVALID_JSON_BODY
            | crate::model::outcome::code::MISSING_RUN_ID
            | crate::model::outcome::code::INVALID_RUN_ID
    ));
    waiting.last_code = Some(why.code.to_owned());
    waiting.last_detail = Some(why.detail.clone());
    if hook {
        save(tx, Some(&row), Some(&waiting))?;
        return Ok(Some(waiting.due_at));
    }
    let mut run = before.clone();
    run.step(Event::Retry, now).map_err(runs::refuse)?;
    if run.status.is_final() {
        runs::save(tx, &before, &run)?;
        save(tx, Some(&row), None)?;
        return Ok(None);
    }
    run.due_at = waiting.due_at;
    run.deadline = None;
    run.last_failure = Some(RunError { code: why.code.to_owned(), message: why.detail });
    runs::save(tx, &before, &run)?;
    save(tx, Some(&row), Some(&waiting))?;
    Ok(Some(waiting.due_at))
}

/// Terminal: the run fails, the row goes.
fn fail(
    tx: &mut Tx<'_>,
    row: &OutboxRow,
    before: &Run,
    code: &str,
    detail: String,
) -> Result<(), Stop> {
    let mut run = before.clone();
    run.step(Event::Fail, tx.now()).map_err(runs::refuse)?;
    if run.error.is_none() {
        run.error = Some(RunError { code: code.to_owned(), message: detail });
    }
    runs::save(tx, before, &run)?;
    Ok(save(tx, Some(row), None)?)
}

/// Row 30: the run fails, the row becomes a dead letter.
fn die(
    tx: &mut Tx<'_>,
    row: OutboxRow,
    before: Run,
    code: &str,
    detail: String,
) -> Result<(), Stop> {
    if row.purpose != Purpose::Run {
        return hook_failed(tx, row, code, detail);
    }
    let mut run = before.clone();
    run.step(Event::Fail, tx.now()).map_err(runs::refuse)?;
    run.error = Some(RunError { code: code.to_owned(), message: detail.clone() });
    runs::save(tx, &before, &run)?;
    save(tx, Some(&row), None)?;
    if run.status == Status::Failed {
        bury(tx, row, code, detail)?;
    }
    Ok(())
}

/// A hook's failure never fails its run (A12): it is counted, told, and kept as a dead letter.
fn hook_failed(tx: &mut Tx<'_>, row: OutboxRow, code: &str, detail: String) -> Result<(), Stop> {
    tx.count(count::total(Total::HooksFailed), 1);
    save(tx, Some(&row), None)?;
    Ok(bury(tx, row, code, detail)?)
}

/// Keeps a row that gave up, with its reason.
pub fn bury(tx: &mut Tx<'_>, row: OutboxRow, code: &str, detail: String) -> Result<(), Fault> {
    let now = tx.now();
    if let Some(mut endpoint) = endpoints::get(tx, &row.endpoint)? {
        let told = endpoint.exhausted_told_at;
        if told.is_none_or(|at| now.since(at) >= EXHAUSTED_TOLD_EVERY) {
            endpoint.exhausted_told_at = Some(now);
            endpoints::put(tx, &endpoint);
            let detail = format!("deliveries to `{}` end as dead letters: {detail}", row.endpoint);
            announce(tx, "exhausted", detail);
        }
    }
    tx.count(count::outbox_dead(), 1);
    let letter = DeadLetter { row, died_at: now, code: code.to_owned(), detail };
    rows::put_dead(tx, &letter);
    Ok(())
}

/// Feeds breaker and health of the endpoint, pauses it when it asked for that, and tells people
/// what is news.
pub(super) fn record_health(tx: &mut Tx<'_>, name: &Name, outcome: &Outcome) -> Result<(), Fault> {
    use crate::model::outcome::code::{COMMIT_FAILED, CONFLICT};
    let Some(mut endpoint) = endpoints::get(tx, name)? else { return Ok(()) };
    let now = tx.now();
    let mut news = Vec::new();
    match outcome {
        Outcome::Live { .. } | Outcome::Nothing { .. } | Outcome::Send { .. } => {
            endpoint.delivered += 1;
            endpoint.last_success_at = Some(now);
            news.extend(endpoint.breaker.record(now, true));
        }
        Outcome::Retry { code, detail, retry_after } => {
            endpoint.failed += 1;
            endpoint.last_error = Some((now, (*code).to_owned(), detail.clone()));
            // A conflict concerns its own run only: the endpoint is well.
            let concerns_run_only = *code == CONFLICT || *code == COMMIT_FAILED;
            news.extend(endpoint.breaker.record(now, concerns_run_only));
            if let (Some(span), false) = (retry_after, concerns_run_only) {
                endpoint.breaker.pause_until(now, now.plus(*span));
            }
        }
        Outcome::Terminal { code, detail, disable_endpoint } => {
            endpoint.failed += 1;
            endpoint.last_error = Some((now, (*code).to_owned(), detail.clone()));
            // It answered, so it is alive; unless it says that it is gone.
            news.extend(endpoint.breaker.record_refused(now));
            if *disable_endpoint {
                news.extend(endpoint.breaker.disable(now, Reason::Gone));
            }
        }
        Outcome::Dead { .. } => {}
    }
    if endpoint.breaker.allow(now) != Allow::Yes {
        // Whoever claims learns from the next claim when to come back.
        tx.notify(Hint::Work(name.clone()));
    }
    endpoints::put(tx, &endpoint);
    for item in news {
        tell(tx, name, item);
    }
    Ok(())
}

/// Puts an endpoint's news where people read it.
pub(super) fn tell(tx: &mut Tx<'_>, name: &Name, news: Health) {
    let (what, detail) = match news {
        Health::Warned => ("endpoint_failing", format!("deliveries to `{name}` keep failing")),
        Health::Opened { until } => (
            "breaker_opened",
            format!("deliveries to `{name}` stop until {}: too many fail", until.to_rfc3339()),
        ),
        Health::Closed => ("breaker_closed", format!("deliveries to `{name}` go on")),
        Health::Disabled { reason } => {
            ("endpoint_disabled", format!("endpoint `{name}` is {}", reason.as_str()))
        }
        Health::Recovered => {
            ("endpoint_recovered", format!("deliveries to `{name}` succeed again"))
        }
    };
    if matches!(news, Health::Closed | Health::Recovered) {
        tx.notify(Hint::Work(name.clone()));
    }
    announce(tx, what, detail);
}

fn announce(tx: &mut Tx<'_>, what: &str, detail: String) {
    let line = Line {
        at: tx.now(),
        what: what.to_owned(),
        detail,
        by: "tidegate".to_owned(),
        attempt: None,
    };
    event::announce(tx, &line);
}
