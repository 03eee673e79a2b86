//! Agents: what comes back for a delivery, and when, and what an agent reports by its own call.
//! They keep their side of the contract (one number per key) but for the faults of the mixture,
//! and they check Tidegate's side of it: one run under one id, never two claims of it at once.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::entropy::Entropy;
use tidegate::base::id::{Id, RunId};
use tidegate::base::time::{Span, Time};
use tidegate::ledger::outbox::claim::Delivery;
use tidegate::ledger::outbox::settle::Report;
use tidegate::model::delivery::{Purpose, RowState};
use tidegate::model::outcome::{Answer, Case, FailureKind, outcome};
use tidegate::model::retry::Trouble;
use tidegate::store::kinds::outbox as rows;
use tidegate::store::rows::Rows;

use crate::command::Command;
use crate::mix::{Mix, once_in, one};
use crate::scheduling::schedule_of;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Live,
    LiveWithHooks,
    Done,
    Unusable,
    Refused,
    Conflict,
    Gone,
    Broken,
    Busy,
    Silent,
    Unreachable,
    /// The work is done and reported by an own call; the answer is lost.
    DoneUnheard,
    AfterLease,
    StolenNumber,
}

/// A request that is out.
struct Flight {
    delivery: Delivery,
    mood: Mood,
    /// When its answer arrives, on the clock that never steps.
    at: i64,
    /// How long the answer took.
    took: i64,
}

pub struct Receivers {
    mix: Mix<Mood>,
    /// Agents want hooks and fail every one of them.
    hooks_fail: bool,
    healed: bool,
    flights: Vec<Flight>,
    /// Calls that agents will make.
    calls: Vec<(i64, Command)>,
    /// The number under which an agent knows a run.
    numbers: BTreeMap<RunId, i64>,
    /// Under which ids the request of a payload was seen, with the creation of each.
    requests: BTreeMap<Vec<u8>, BTreeMap<RunId, Time>>,
    /// Every output that an agent ever gave for a run.
    pub outputs: BTreeMap<RunId, BTreeSet<Vec<u8>>>,
}

impl Receivers {
    pub fn random(entropy: &mut Entropy) -> Receivers {
        let always = [(Mood::Live, 2), (Mood::Done, 2)];
        let sometimes = [
            (Mood::LiveWithHooks, 1),
            (Mood::Unusable, 1),
            (Mood::Refused, 1),
            (Mood::Conflict, 1),
            (Mood::Broken, 3),
            (Mood::Busy, 1),
            (Mood::Silent, 2),
            (Mood::Unreachable, 2),
            (Mood::DoneUnheard, 1),
            (Mood::AfterLease, 1),
            (Mood::StolenNumber, 1),
        ];
        let mut mix = Mix::random(entropy, &always, &sometimes);
        let hooks_fail = once_in(entropy, 4);
        match entropy.below(8) {
            0 => mix = Mix::random(entropy, &[(Mood::Gone, 1), (Mood::Live, 8)], &sometimes),
            // A bad day: the breaker opens.
            1 | 2 => {
                let bad = [(Mood::Broken, 9), (Mood::Unreachable, 3), (Mood::LiveWithHooks, 2)];
                mix = Mix::random(entropy, &bad, &[(Mood::Live, 1), (Mood::DoneUnheard, 2)]);
            }
            _ if hooks_fail => {
                let wants = [(Mood::LiveWithHooks, 4), (Mood::Live, 1)];
                mix = Mix::random(entropy, &wants, &sometimes);
            }
            _ => {}
        }
        Receivers {
            mix,
            hooks_fail,
            healed: false,
            flights: Vec::new(),
            calls: Vec::new(),
            numbers: BTreeMap::new(),
            requests: BTreeMap::new(),
            outputs: BTreeMap::new(),
        }
    }

    /// A delivery goes out. `rows` is the store after the claim.
    pub fn take(
        &mut self,
        delivery: Delivery,
        rows: &dyn Rows,
        now: Time,
        tick: i64,
        entropy: &mut Entropy,
    ) {
        self.check_claim(&delivery, rows, now);
        self.check_identity(&delivery);
        let is_hook = delivery.row.purpose != Purpose::Run;
        let mood = match self.mix.pick(entropy) {
            _ if self.healed => Mood::Done,
            _ if self.hooks_fail && is_hook => Mood::Broken,
            mood => mood,
        };
        let timeout = delivery.timeout.0;
        let took = match mood {
            Mood::Silent => timeout,
            Mood::AfterLease => timeout + 61_000 + entropy.below(60_000) as i64,
            _ => entropy.below(timeout as u64) as i64,
        };
        if delivery.row.purpose == Purpose::Run {
            self.plan_calls(&delivery, mood, tick + took, entropy);
        }
        self.flights.push(Flight { delivery, mood, at: tick + took, took });
    }

    /// Never two claims of a run at once, never two of an ordered lane: as long as a claim holds
    /// in the store, nothing else goes out beside it.
    fn check_claim(&self, new: &Delivery, view: &dyn Rows, now: Time) {
        for old in self.flights.iter().map(|flight| &flight.delivery) {
            let same_lane = new.row.ordered
                && (&old.row.endpoint, &old.row.lane) == (&new.row.endpoint, &new.row.lane);
            if old.row.id != new.row.id && !same_lane {
                continue;
            }
            let row = rows::get(view, old.row.id).expect("the store can be read after a commit");
            let holds = row.is_some_and(|row| {
                row.fence == old.row.fence && matches!(row.state, RowState::Leased { .. })
            });
            assert!(
                !holds,
                "{} goes out with fence {} at {now:?} while {} is out with fence {}",
                new.row.id, new.row.fence, old.row.id, old.row.fence
            );
        }
    }

    /// One request is seen under one id. A key that has run out makes a second run; so does a
    /// replay, which somebody asked for.
    fn check_identity(&mut self, delivery: &Delivery) {
        let run = &delivery.run;
        if delivery.row.purpose == Purpose::Run {
            assert_eq!(delivery.row.id, run.id, "the key of a delivery is the id of its run");
            assert_eq!(delivery.row.fence, run.fence, "row and run disagree on the attempt");
        }
        // Runs of schedules are counted by their windows.
        if run.replay_of.is_some() || schedule_of(run).is_some() {
            return;
        }
        let payload = delivery.body.payload.clone().expect("every request has a payload");
        let seen = self.requests.entry(payload).or_default();
        seen.insert(run.id, run.created_at);
        let times: Vec<Time> = seen.values().copied().collect();
        let apart = times.windows(2).all(|two| two[1].since(two[0]) >= Span::from_hours(24));
        assert!(apart, "one request was delivered under several ids: {seen:?}");
    }

    /// What the agent will report by its own call.
    fn plan_calls(&mut self, delivery: &Delivery, mood: Mood, at: i64, entropy: &mut Entropy) {
        let run = delivery.run.id;
        let works = match mood {
            Mood::Live | Mood::LiveWithHooks | Mood::AfterLease => !once_in(entropy, 5),
            Mood::DoneUnheard => true,
            _ => false,
        };
        if !works {
            return;
        }
        let fence = (!once_in(entropy, 4)).then_some(delivery.row.fence);
        let mut when = at + entropy.below(300_000) as i64 - 5_000;
        if once_in(entropy, 4) {
            self.calls.push((when, Command::Heartbeat(run, delivery.row.fence)));
            when += entropy.below(30_000) as i64;
        }
        let output = format!(r#"{{"fence":{}}}"#, delivery.row.fence).into_bytes();
        let call = match entropy.below(5) {
            0 => Command::Fail { run, retryable: true, fence },
            1 => Command::Fail { run, retryable: false, fence },
            _ => {
                self.outputs.entry(run).or_default().insert(output.clone());
                Command::Complete { run, output: Some(output), fence }
            }
        };
        self.calls.push((when, call));
    }

    /// The earliest thing that will happen here.
    pub fn next_at(&self) -> Option<i64> {
        let answers = self.flights.iter().map(|flight| flight.at);
        answers.chain(self.calls.iter().map(|(at, _)| *at)).min()
    }

    /// Answers that have arrived, as the driver reports them.
    pub fn answers(&mut self, now: Time, tick: i64, entropy: &mut Entropy) -> Vec<Report> {
        let mut reports = Vec::new();
        let mut at = 0;
        while at < self.flights.len() {
            if self.flights[at].at <= tick {
                let flight = self.flights.remove(at);
                reports.push(self.report(flight, now, entropy));
            } else {
                at += 1;
            }
        }
        reports
    }

    /// Calls that agents make now.
    pub fn calls(&mut self, tick: i64) -> Vec<Command> {
        let (due, later) = self.calls.drain(..).partition(|(at, _)| *at <= tick);
        self.calls = later;
        let due: Vec<(i64, Command)> = due;
        due.into_iter().map(|(_, command)| command).collect()
    }

    /// The process ended: nobody waits for what is out. Agents go on.
    pub fn hang_up(&mut self) {
        self.flights.clear();
    }

    /// From now on everything is done at once. What is out still ends as it was to end, but does
    /// not disable an endpoint again.
    pub fn heal(&mut self) {
        self.healed = true;
        for flight in self.flights.iter_mut().filter(|flight| flight.mood == Mood::Gone) {
            flight.mood = Mood::Done;
        }
    }

    /// As the real driver classifies an answer.
    fn report(&mut self, flight: Flight, now: Time, entropy: &mut Entropy) -> Report {
        let Flight { delivery, mood, took, .. } = flight;
        let answer = self.answer(&delivery, mood, entropy);
        let row = &delivery.row;
        let case = Case::Answered {
            answer: &answer,
            now_ms: now.0,
            conflicts: row.conflicts,
            malformed: row.malformed,
            malformed_max: delivery.retry_malformed,
        };
        let (status, body) = match &answer {
            Answer::Response { status, body, .. } => (Some(*status), body.clone()),
            Answer::Failure { .. } => (None, Vec::new()),
        };
        Report {
            id: row.id,
            endpoint: row.endpoint.clone(),
            fence: row.fence,
            attempt: match row.purpose {
                Purpose::Run => delivery.run.attempts,
                Purpose::Hook { .. } => row.attempts,
            },
            outcome: outcome(&case),
            trouble: Trouble::of(&answer, Span::from_millis(took)),
            status,
            body,
            started_at: delivery.started_at,
            elapsed_ms: took as u32,
        }
    }

    fn answer(&mut self, delivery: &Delivery, mood: Mood, entropy: &mut Entropy) -> Answer {
        let run = delivery.run.id;
        let fresh = self.numbers.len() as i64;
        let number = match mood {
            Mood::StolenNumber => entropy.below(self.numbers.len() as u64 + 1) as i64,
            _ => *self.numbers.entry(run).or_insert(fresh),
        };
        let body = |rest: &str| format!(r#"{{"run_id":{number}{rest}}}"#);
        let failure = |kind| Answer::Failure { kind, detail: "as planned".to_owned() };
        match mood {
            Mood::Live | Mood::AfterLease | Mood::StolenNumber => response(200, None, &body("")),
            Mood::LiveWithHooks => response(
                201,
                None,
                &body(r#","has_explorer_index":false,"has_org_project_context":false"#),
            ),
            Mood::Done => {
                if delivery.row.purpose == Purpose::Run {
                    self.outputs.entry(run).or_default().insert(output_of(run));
                }
                let output = String::from_utf8_lossy(&output_of(run)).into_owned();
                response(200, None, &body(&format!(r#","done":true,"output":{output}"#)))
            }
            Mood::Unusable => {
                response(200, None, one(entropy, &["", "<html>", "[1]", "{}", r#"{"run_id":-1}"#]))
            }
            Mood::Refused => response(one(entropy, &[400, 404, 422, 302]), None, "no"),
            Mood::Conflict => response(409, None, "again"),
            Mood::Gone => response(410, None, "gone"),
            Mood::Broken => response(one(entropy, &[500, 503]), None, "oops"),
            Mood::Busy => response(429, Some(one(entropy, &["3", "90", "100000", "soon"])), "busy"),
            Mood::Silent => failure(FailureKind::Timeout),
            Mood::Unreachable => failure(FailureKind::Connect),
            Mood::DoneUnheard => failure(FailureKind::Protocol),
        }
    }
}

fn output_of(run: Id) -> Vec<u8> {
    format!(r#""{run}""#).into_bytes()
}

fn response(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
    Answer::Response {
        status,
        retry_after: retry_after.map(str::to_owned),
        location: None,
        body: body.as_bytes().to_vec(),
        over_limit: false,
    }
}
