//! Every edit of a buffered run against the drain that takes it out, in both orders, in one batch
//! and in two, with the power going at each operation of the disk in turn. Whatever was told holds
//! afterwards, the run is there once, and everything adds up.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::entropy::Entropy;
use tidegate::base::id::{Id, Minter, RunId};
use tidegate::base::time::{Span, Time};
use tidegate::engine::batch::run_batch;
use tidegate::engine::parked::Parked;
use tidegate::ledger::buffer::accept::Caps;
use tidegate::ledger::buffer::rotate::Rotation;
use tidegate::ledger::runs::submit::Submit;
use tidegate::store::kinds::run as run_rows;

use crate::checks;
use crate::command::{Answer, Command, Reply};
use crate::disk::Trouble;
use crate::machine::{End, Machine};
use crate::reference::Reference;
use crate::shape::Shape;
use crate::workload::Workload;

const NOW: Time = Time(1_700_000_000_000);
const ROOMY: Caps = Caps {
    env_max: 100,
    total_max: 100,
    env_bytes_max: 1 << 30,
    total_bytes_max: 1 << 30,
    retry_after: Span(0),
};

/// A store with one buffered run in it, and what was told of it.
struct Story {
    machine: Machine,
    minter: Minter,
    reference: Reference,
    submit: Box<Submit>,
    id: RunId,
}

impl Story {
    fn begin() -> Story {
        let mut entropy = Entropy::from_seed(3);
        let mut workload = Workload::random(&mut entropy, Shape::Push);
        let task = workload.tasks[0].clone();
        let mut submit = loop {
            if let Some(Command::Submit(submit)) = workload.next(&mut entropy, &[], &[], NOW)
                && submit.task == task.name
            {
                break submit;
            }
        };
        submit.delay = Some(Span::from_secs(600));
        submit.idempotency_key = Some("key".to_owned());
        let mut story = Story {
            machine: Machine::new(1 << 20),
            minter: Minter::new(Entropy::from_seed(1)),
            reference: Reference::default(),
            submit,
            id: Id::MIN,
        };
        let accept = Command::Accept(story.submit.clone(), ROOMY);
        story.batch(&[Command::PutTask(Box::new(task)), accept]);
        story.id = story.reference.known[0];
        story
    }

    /// One batch; what is answered is told. Whether it was taken.
    fn batch(&mut self, commands: &[Command]) -> bool {
        for command in commands {
            self.reference.asked(command);
        }
        let made: Vec<_> = commands.iter().map(Command::to_job).collect();
        let (jobs, replies): (Vec<_>, Vec<Reply>) = made.into_iter().unzip();
        let parked = &mut Parked::default();
        if run_batch(self.machine.store(), jobs, parked, NOW, &mut self.minter).is_err() {
            return false;
        }
        for (command, mut reply) in commands.iter().zip(replies) {
            let answer: Answer = reply.try_recv().expect("a batch answers all of its commands");
            if let Ok(said) = answer {
                self.reference.told(command, &said);
            }
        }
        true
    }

    /// The power goes, and comes back.
    fn power_cut(&mut self, entropy: &mut Entropy) {
        self.machine.end(End::Power, entropy);
        self.machine.open().expect("a healthy disk opens");
        let newest = self.machine.newest().expect("a healthy disk can be read");
        self.minter.stay_above(newest.expect("there is a run"));
    }

    fn check(&mut self) {
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        checks::check(&view, false);
        let by_call = BTreeMap::from([(self.id, BTreeSet::from([b"1".to_vec()]))]);
        self.reference.check(&view, &by_call);
    }

    fn is_buffered(&self) -> bool {
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        let run = run_rows::get(&view, self.id).expect("a healthy disk can be read");
        run.expect("it was accepted").buffered
    }

    fn edits(&self) -> Vec<Command> {
        let (run, output) = (self.id, Some(b"1".to_vec()));
        vec![
            Command::AddTags(run, vec!["late".to_owned()]),
            Command::SetMetadata(run, r#"{"m":1}"#.to_owned()),
            Command::Reschedule(run, Span::from_secs(5)),
            Command::Cancel(run),
            Command::Complete { run, output, fence: None },
            Command::Replay(run),
            Command::Submit(self.submit.clone()),
            Command::Accept(self.submit.clone(), ROOMY),
            Command::RemoveTask(self.submit.task.clone()),
        ]
    }
}

fn drain() -> Command {
    Command::Drain { rotation: Rotation::default(), count: 5, attempts_max: 3 }
}

/// Lives the story with the power going at this operation; whether it came so far.
fn lives(edit: usize, edit_first: bool, together: bool, nth: u64) -> bool {
    let mut story = Story::begin();
    let mut commands = [story.edits()[edit].clone(), drain()];
    if !edit_first {
        commands.reverse();
    }
    story.machine.disk().fail_at(nth, Trouble::PowerOff);
    let taken = match together {
        true => story.batch(&commands),
        false => commands.iter().all(|command| story.batch(std::slice::from_ref(command))),
    };
    let failed = story.machine.disk().failures() > 0;
    assert!(taken || failed, "a batch failed while the disk was well");
    story.power_cut(&mut Entropy::from_seed(nth));
    story.check();
    assert!(story.batch(&[drain()]), "a healthy disk takes a commit");
    story.check();
    assert!(!story.is_buffered(), "it is drained");
    failed
}

#[test]
fn edits_race_the_drain_at_every_step() {
    let edits = Story::begin().edits().len();
    for edit in 0..edits {
        for (edit_first, together) in [(true, true), (true, false), (false, true), (false, false)] {
            let steps = (1..).take_while(|nth| lives(edit, edit_first, together, *nth)).count();
            assert!(steps > 1, "edit {edit} was over before anything could fail");
        }
    }
}
