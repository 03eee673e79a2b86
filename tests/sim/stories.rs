//! Rare meetings told step by step, which seeds would find too seldom.

use tidegate::base::entropy::Entropy;
use tidegate::base::id::Minter;
use tidegate::base::time::Time;
use tidegate::engine::batch::{Call, run_batch};
use tidegate::engine::parked::Parked;
use tidegate::ledger::outbox::claim::{Claim, Claimed, claim};
use tidegate::ledger::outbox::settle::{Report, settle};
use tidegate::ledger::runs::submit::submit;
use tidegate::model::breaker::State;
use tidegate::model::notice::Notice;
use tidegate::model::outcome::{Hook, Outcome};
use tidegate::model::retry::Trouble;
use tidegate::store::fault::Stop;
use tidegate::store::kinds::endpoint;
use tidegate::store::tx::Tx;

use crate::command::Command;
use crate::machine::Machine;
use crate::shape::Shape;
use crate::workload::Workload;

const NOW: Time = Time(1_700_000_000_000);

/// One command in a batch of its own: its answer, and the hints of its commit.
fn one<T: Send + 'static>(
    machine: &Machine,
    minter: &mut Minter,
    act: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send + 'static,
) -> (T, Vec<Notice>) {
    let (call, mut answer) = Call::new(act);
    let done =
        run_batch(machine.store(), vec![Box::new(call)], &mut Parked::default(), NOW, minter);
    let answer = answer.try_recv().expect("a batch answers").expect("nothing is refused here");
    (answer, done.expect("the disk is healthy").notices)
}

fn report(claimed: &Claimed, outcome: Outcome) -> Report {
    let [delivery] = &claimed.deliveries[..] else { panic!("one claim: {claimed:?}") };
    Report {
        id: delivery.row.id,
        endpoint: delivery.row.endpoint.clone(),
        fence: delivery.row.fence,
        attempt: delivery.row.attempts,
        outcome,
        trouble: Trouble::Other,
        status: None,
        body: Vec::new(),
        started_at: NOW,
        elapsed_ms: 1,
    }
}

/// The breaker is open, its one probe is a hook, and the hook fails. No run is freed by that, so
/// nothing else tells the dispatcher that there will be another probe: the others would wait for
/// the hook's own retry, or for ever.
#[test]
fn failed_hook_probe_wakes_its_endpoint() {
    let (machine, mut minter) = (Machine::new(1 << 20), Minter::new(Entropy::from_seed(1)));
    let mut entropy = Entropy::from_seed(3);
    let mut workload = Workload::random(&mut entropy, Shape::Push);
    let task = workload.tasks[0].clone();
    let name = task.name.clone();
    one(&machine, &mut minter, {
        let command = Command::PutTask(Box::new(task));
        move |tx| command.run(tx)
    });
    let request = loop {
        if let Some(Command::Submit(submit)) = workload.next(&mut entropy, &[], &[], NOW)
            && (&submit.task, submit.delay) == (&name, None)
        {
            break *submit;
        }
    };
    let first = request.clone();
    one(&machine, &mut minter, move |tx| submit(tx, first));
    let ask = Claim { endpoint: name.clone(), max: 1, turn: Default::default() };
    let (claimed, _) = one(&machine, &mut minter, move |tx| claim(tx, ask));
    let live =
        Outcome::Live { remote_id: 1, output: None, done: true, hooks: vec![Hook::ExplorerIndex] };
    let live = report(&claimed, live);
    one(&machine, &mut minter, move |tx| settle(tx, live));
    one(&machine, &mut minter, {
        let name = name.clone();
        move |tx| {
            let mut open = endpoint::get(tx, &name)?.expect("a push task has an endpoint");
            open.breaker.state = State::Open { until: NOW };
            endpoint::put(tx, &open);
            Ok(())
        }
    });
    let ask = Claim { endpoint: name.clone(), max: 64, turn: Default::default() };
    let (probe, _) = one(&machine, &mut minter, move |tx| claim(tx, ask));
    assert_eq!((probe.more, probe.wake_at), (false, None), "a claim of one probe");
    one(&machine, &mut minter, move |tx| submit(tx, request));
    let broken = Outcome::Retry { code: "server_error", detail: String::new(), retry_after: None };
    let broken = report(&probe, broken);
    let (_, notices) = one(&machine, &mut minter, move |tx| settle(tx, broken));
    assert!(notices.contains(&Notice::Work(name)), "nobody looks again: {notices:?}");
}
