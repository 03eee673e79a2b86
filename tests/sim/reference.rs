//! What clients were told. Whatever was told must stay true, through every accident; what was not
//! told may be one way or the other, but not half.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::id::{Id, RunId};
use tidegate::base::time::{Span, Time};
use tidegate::ledger::outbox::settle::Settled;
use tidegate::ledger::runs::report::Reported;
use tidegate::ledger::runs::submit::{Receipt, Submit};
use tidegate::model::run::{Run, Status};
use tidegate::store::kinds::{attempt as attempts, run as run_rows};
use tidegate::store::rows::Rows;

use crate::command::{Command, Said};
use crate::entries::Entries;
use crate::lost;

/// How long a key holds.
const KEY_HOLDS: Span = Span::from_hours(24);

/// What was told of one run.
#[derive(Default)]
struct Told {
    /// What was asked for; none for a replay.
    submit: Option<Submit>,
    tags: BTreeSet<String>,
    metadata: Option<(u64, Option<String>)>,
    /// The run as it was last seen durable.
    seen: Option<Run>,
}

#[derive(Default)]
pub struct Reference {
    runs: BTreeMap<RunId, Told>,
    /// Runs in the order in which they were told of.
    pub known: Vec<RunId>,
    /// The run that a key was last told to be bound to.
    keys: BTreeMap<(String, String, String), Run>,
    /// Someone asked for another try, so a failed run may live again.
    revived: BTreeSet<Id>,
    /// Attempts whose result was taken, and whose result was kept aside.
    settled: BTreeSet<(Id, u32, bool)>,
    /// Runs whose entry in the buffer may have become unreadable.
    pub rotten: BTreeSet<RunId>,
    pub entries: Entries,
}

impl Reference {
    /// Someone asks; whether it is done may never be known.
    pub fn asked(&mut self, command: &Command) {
        match command {
            Command::RetryNow(id) => drop(self.revived.insert(*id)),
            Command::Rot(id, _) => drop(self.rotten.insert(*id)),
            Command::Keys(command) | Command::Wait(command, _) => self.entries.asked(command),
            _ => {}
        }
    }

    /// The answer to a command was heard.
    pub fn told(&mut self, command: &Command, said: &Said) {
        match (command, said) {
            (Command::Submit(submit) | Command::Accept(submit, _), Said::Receipt(receipt)) => {
                self.check_fresh(receipt);
                self.submitted(submit, &receipt.run, receipt.cached);
                self.saw(&receipt.run);
            }
            (Command::Replay(of), Said::Receipt(receipt)) => {
                assert!(!receipt.cached, "a replay is a fresh run");
                self.check_fresh(receipt);
                assert_eq!(receipt.run.replay_of, Some(*of));
                self.meet(receipt.run.id);
                self.saw(&receipt.run);
            }
            (Command::AddTags(id, tags), Said::Run(run)) => {
                self.meet(*id).tags.extend(tags.iter().cloned());
                self.saw(run);
            }
            (Command::SetMetadata(id, text), Said::Run(run)) => {
                self.meet(*id).metadata = Some((run.metadata_version, Some(text.clone())));
                self.saw(run);
            }
            (Command::Cancel(_), Said::Run(run)) => {
                assert!(
                    matches!(run.status, Status::Canceling | Status::Canceled),
                    "told `{}` after a cancel",
                    run.status.as_str()
                );
                self.saw(run);
            }
            (Command::Keys(command) | Command::Wait(command, _), Said::Keys(answer)) => {
                self.entries.told(command, answer);
            }
            (_, Said::Run(run)) => self.saw(run),
            (_, Said::Reported(reported)) => {
                let (Reported::Applied(run) | Reported::Late { run, .. }) = &**reported;
                self.saw(run);
            }
            (Command::Settle(report), Said::Settled(settled)) => {
                let late = *settled == Settled::Late;
                self.settled.insert((report.id, report.attempt, late));
            }
            _ => {}
        }
    }

    fn meet(&mut self, id: RunId) -> &mut Told {
        if !self.runs.contains_key(&id) {
            self.known.push(id);
        }
        self.runs.entry(id).or_default()
    }

    /// Ids only grow, whatever the clock does and wherever the newest run stands.
    fn check_fresh(&self, receipt: &Receipt) {
        let newest = self.runs.last_key_value().map(|(id, _)| *id);
        let id = receipt.run.id;
        assert!(receipt.cached || newest < Some(id), "{id} was minted after {newest:?}");
    }

    /// A run that was made for a request, or found for it.
    pub fn submitted(&mut self, submit: &Submit, run: &Run, cached: bool) {
        assert_eq!(run.fingerprint, submit.fingerprint, "told of a run of another request");
        assert!(!cached || submit.idempotency_key.is_some(), "cached without a key");
        if let Some(key) = &submit.idempotency_key {
            let key = (submit.org.to_string(), submit.env.to_string(), key.clone());
            if let Some(earlier) = self.keys.get(&key) {
                // A batch is told of when its last run is made, whenever its first was.
                let apart = run.created_at.since(earlier.created_at);
                let over = apart.max(earlier.created_at.since(run.created_at)) >= KEY_HOLDS;
                assert!(
                    run.id == earlier.id || over || self.rotten.contains(&earlier.id),
                    "key {key:?} gave {} and, while it held, {}",
                    earlier.id,
                    run.id
                );
            }
            self.keys.insert(key, run.clone());
        }
        self.meet(run.id).submit = Some(submit.clone());
    }

    /// A run as it stands durably: it never goes back from what was seen before.
    pub fn saw(&mut self, run: &Run) {
        self.entries.saw(run);
        let revived = self.revived.contains(&run.id);
        let seen = &mut self.runs.entry(run.id).or_default().seen;
        if let Some(before) = seen {
            let (from, to) = (before.status, run.status);
            let stays = !from.is_final() || from == to || (from == Status::Failed && revived);
            assert!(stays, "{} was {} and is {}", run.id, from.as_str(), to.as_str());
            assert!(
                from != Status::Canceling || matches!(to, Status::Canceling | Status::Canceled),
                "{} was canceling and is {}",
                run.id,
                to.as_str()
            );
            for (what, was, is) in [
                ("fence", before.fence, run.fence),
                ("attempts", before.attempts, run.attempts),
                ("events", before.events, run.events),
                ("tags", before.tags.len() as u32, run.tags.len() as u32),
            ] {
                assert!(was <= is, "{}: {what} went back from {was} to {is}", run.id);
            }
            assert_eq!(before.created_at, run.created_at, "{} was created again", run.id);
            assert!(before.buffered || !run.buffered, "{} went back into the buffer", run.id);
            assert!(before.metadata_version <= run.metadata_version, "metadata went back");
            if from.is_final() && !revived {
                let end = |run: &Run| {
                    (run.finished_at, run.attempts, run.fence, run.error.clone(), run.has_output)
                };
                assert_eq!(end(before), end(run), "{} changed after its end", run.id);
            }
        }
        *seen = Some(run.clone());
    }

    /// Everything that was told is there.
    pub fn check(&mut self, rows: &dyn Rows, outputs: &BTreeMap<RunId, BTreeSet<Vec<u8>>>) {
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
        let lost = lost::all(rows);
        assert!(lost.is_subset(&self.rotten), "entries that nobody spoiled: {lost:?}");
        for id in ids {
            let run = run_rows::get(rows, id).expect("the store can be read");
            let Some(run) = run else {
                assert!(lost.contains(&id), "run {id} was told of and is lost");
                continue;
            };
            self.saw(&run);
            self.runs[&id].check(&run, rows);
            if let Some(output) = run_rows::output(rows, id).expect("the store can be read") {
                let by_agent = outputs.get(&id).is_some_and(|given| given.contains(&output));
                assert!(by_agent || output == b"\"by call\"", "{id} has an output nobody gave");
                assert!(run.has_output, "{id} does not know of its output");
            }
        }
        self.entries.check(rows);
        for (id, number, late) in &self.settled {
            let log = attempts::latest(rows, *id, usize::MAX).expect("the store can be read");
            assert!(
                log.iter().any(|line| line.number == *number && (!late || line.late)),
                "attempt {number} of {id} was settled (late: {late}) and is not in the log"
            );
        }
    }
}

impl Told {
    fn check(&self, run: &Run, rows: &dyn Rows) {
        for tag in &self.tags {
            assert!(run.tags.contains(tag), "{} lost its tag {tag}", run.id);
        }
        if let Some((version, text)) = &self.metadata {
            let newer = run.metadata_version > *version;
            assert!(newer || run.metadata == *text, "{} lost its metadata", run.id);
            assert!(run.metadata_version >= *version, "{} lost its metadata", run.id);
        }
        let Some(submit) = &self.submit else { return };
        assert_eq!(
            (&run.task, &run.org, &run.env, run.priority, run.max_attempts),
            (&submit.task, &submit.org, &submit.env, submit.priority, submit.max_attempts),
        );
        assert_eq!(run.idempotency_key, submit.idempotency_key);
        assert_eq!(run.concurrency_key, submit.concurrency_key);
        let body = run_rows::body(rows, run.id).expect("the store can be read");
        assert_eq!(body, submit.body, "{} has another body than was asked for", run.id);
        assert!(submit.tags.iter().all(|tag| run.tags.contains(tag)), "{} lost tags", run.id);
    }
}

/// When each key was bound: creations of its runs must lie apart. Used over all runs of a store.
pub fn check_keys<'a>(runs: impl Iterator<Item = &'a Run>) {
    let mut bound: BTreeMap<(&str, &str, &str), (RunId, Time)> = BTreeMap::new();
    for run in runs {
        let Some(key) = &run.idempotency_key else { continue };
        let key = (run.org.as_str(), run.env.as_str(), key.as_str());
        if let Some((earlier, at)) = bound.insert(key, (run.id, run.created_at)) {
            let apart = run.created_at.since(at) >= KEY_HOLDS;
            assert!(apart, "key {key:?} has two runs, {earlier} and {}", run.id);
        }
    }
}
