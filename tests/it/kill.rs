//! The real binary, killed in the middle of its work, again and again.
//!
//! What must hold, whenever the kill came:
//! - a run that was acknowledged exists, once, and is completed in the end;
//! - a key, also of a request whose answer was lost, has one run;
//! - an agent sees a run under one id, and no attempt number twice: an attempt is on disk before
//!   it is sent;
//! - every run that the store lists was asked for by someone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::base::entropy::Entropy;
use tidegate::base::time::{Clock, Stopwatch, SystemClock};
use tokio::task::block_in_place;

use crate::process::Process;
use crate::world::{Client, Gate, Receiver, Reply, eventually, id_of, task_body};

const KILLS: usize = 24;
const CLIENTS: usize = 6;
/// Between two runs of one client.
const PACE: Duration = Duration::from_millis(15);

/// The real binary over a directory, and a client of it.
pub async fn start(dir: &Path) -> (Process, Client) {
    let process = block_in_place(|| Process::start(dir)).expect("it starts after a kill");
    let client = Client::new(process.url.clone());
    (process, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a20_kill_before_the_commit_repeats_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let (process, client) = start(dir.path()).await;
    let task = task_body(&format!("{}/t", receiver.url), json!({}));
    client.put("/v1/tasks/t", task).await.is(201);
    let gate = Gate::closed();
    receiver.script("/t", [Reply::live().behind(&gate), Reply::live()]);
    let id = client.run("t").await;
    receiver.wait("/t", 1).await;
    block_in_place(|| process.kill());
    gate.open();
    let (_process, client) = start(dir.path()).await;
    let run = client.live(&id).await;
    assert_eq!((&run["attempts"], &run["remote_id"]), (&json!(2), &json!(1000)));
    let seen = receiver.seen("/t");
    assert_eq!((seen[0].key(), seen[1].key()), (id.clone(), id.clone()));
    let history = client.get(&format!("/v1/runs/{id}/events")).await.is(200);
    assert_eq!(history["attempts"][1]["class"], "interrupted", "{history:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_follow_up_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let (process, client) = start(dir.path()).await;
    let task = task_body(&format!("{}/t", receiver.url), json!({}));
    client.put("/v1/tasks/t", task).await.is(201);
    let gate = Gate::closed();
    let flags = json!({ "has_explorer_index": false, "done": true });
    receiver.script("/t", [Reply::with(flags), Reply::done().behind(&gate), Reply::done()]);
    let id = client.run("t").await;
    receiver.wait("/t", 2).await;
    block_in_place(|| process.kill());
    let (_process, client) = start(dir.path()).await;
    let seen = receiver.wait("/t", 3).await;
    assert_eq!(seen[1].key(), seen[2].key());
    assert_eq!(seen[2].json()["hook"], "explorer_index");
    let run = client.get(&format!("/v1/runs/{id}")).await.is(200);
    assert_eq!((&run["status"], &run["attempts"]), (&json!("completed"), &json!(1)));
    gate.open();
}

/// What the clients share.
struct Load {
    url: RwLock<String>,
    stop: AtomicBool,
    lost_answers: AtomicUsize,
}

/// What a client was told, by the number of its request.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<String, String>,
    /// Without a key and without an answer: there may be a run or not.
    unsure: BTreeSet<String>,
}

impl Load {
    fn client(&self) -> Client {
        Client::new(self.url.read().unwrap().clone())
    }

    /// Creates run after run; every other one has a key, and asks again until it has an answer.
    async fn work(&self, number: usize) -> Told {
        let mut told = Told::default();
        let mut client = self.client();
        for n in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("{number}-{n}");
            let mut body = json!({ "task": "t", "payload": { "name": name } });
            let keyed = n % 2 == 0;
            if keyed {
                body["idempotency_key"] = json!(name);
            }
            loop {
                let call = client.call("POST", "/v1/runs").json(&body);
                match call.try_send().await {
                    Ok(answer) if matches!(answer.status, 200 | 201) => {
                        told.acknowledged.insert(name, id_of(&answer.json()));
                        break;
                    }
                    // Refused before anything was done, or unknown: the key makes both harmless.
                    Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                    Err(_) => drop(self.lost_answers.fetch_add(1, Ordering::Relaxed)),
                }
                if !keyed {
                    told.unsure.insert(name);
                    break;
                }
                tokio::time::sleep(PACE).await;
                client = self.client();
            }
            if !keyed {
                client = self.client();
            }
            tokio::time::sleep(PACE).await;
        }
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    // Some are slow, some fail; a run of bad luck must not trip the breaker.
    let pattern = (0..60_000).map(|n| match n % 10 {
        3 => Reply::status(503),
        6 => Reply::done().slow(Duration::from_millis(150)),
        8 => Reply::cut(),
        _ => Reply::done(),
    });
    receiver.script("/t", pattern);
    let (mut process, client) = start(dir.path()).await;
    let retry = json!({ "max_attempts": 1000, "delays": ["50ms"] });
    let task = task_body(&format!("{}/t", receiver.url), json!({ "retry": retry }));
    client.put("/v1/tasks/t", task).await.is(201);
    let load = Arc::new(Load {
        url: RwLock::new(process.url.clone()),
        stop: AtomicBool::new(false),
        lost_answers: AtomicUsize::new(0),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let load = load.clone();
            tokio::spawn(async move { load.work(number).await })
        })
        .collect();
    let seed = SystemClock.now().0 as u64;
    let (mut entropy, watch) = (Entropy::from_seed(seed), Stopwatch::start());
    let mut ready = Vec::new();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(100 + entropy.below(1_000))).await;
        block_in_place(|| process.kill());
        process = start(dir.path()).await.0;
        *load.url.write().unwrap() = process.url.clone();
        ready.push(process.ready_after);
    }
    load.stop.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    for client in clients {
        let mut one = client.await.expect("no client met an answer that it may not get");
        told.acknowledged.append(&mut one.acknowledged);
        told.unsure.append(&mut one.unsure);
    }
    let client = load.client();
    eventually("the end of all runs", async || {
        let status = client.status().await;
        let open: i64 = ["delayed", "queued", "executing", "canceling"]
            .iter()
            .map(|word| status["runs"][word].as_i64().expect("a count"))
            .sum();
        if open == 0 { Ok(()) } else { Err(format!("seed {seed}: {status:#}")) }
    })
    .await;
    let runs = list_all(&client).await;
    println!(
        "seed {seed}: {} runs, {KILLS} kills, {} deliveries, {} answers lost, ready after {:?} to \
         {:?}, {:?} in all",
        runs.len(),
        receiver.seen("/t").len(),
        load.lost_answers.load(Ordering::Relaxed),
        ready.iter().min().unwrap(),
        ready.iter().max().unwrap(),
        watch.elapsed(),
    );
    check_runs(&runs, &told);
    check_deliveries(&runs, &receiver);
    check_counters(&client.status().await, &runs);
    check_log(&client, &runs).await;
    assert_eq!(block_in_place(|| process.terminate()), 0);
}

/// Every run, by its id.
async fn list_all(client: &Client) -> BTreeMap<String, Value> {
    let (mut runs, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/runs?limit=200&cursor={cursor}")).await.is(200);
        for run in page["runs"].as_array().unwrap() {
            let twice = runs.insert(id_of(run), run.clone());
            assert!(twice.is_none(), "listed twice: {run:#}");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return runs,
        }
    }
}

fn name_of(run: &Value) -> &str {
    run["payload"]["name"].as_str().expect("every run has its name")
}

/// One run for each acknowledged request, at most one for each that is unsure, no other.
fn check_runs(runs: &BTreeMap<String, Value>, told: &Told) {
    assert!(told.acknowledged.len() > 500, "there was load: {}", told.acknowledged.len());
    for (name, id) in &told.acknowledged {
        let run = runs.get(id).unwrap_or_else(|| panic!("acknowledged and lost: {name} {id}"));
        assert_eq!(name_of(run), name);
    }
    let mut names = BTreeSet::new();
    for run in runs.values() {
        assert_eq!(run["status"], "completed", "{run:#}");
        let name = name_of(run);
        assert!(names.insert(name.to_owned()), "two runs for {name}");
        let asked_for = told.acknowledged.contains_key(name) || told.unsure.contains(name);
        assert!(asked_for, "nobody asked for {name}");
    }
}

/// One id per run towards the agent, no attempt number twice, none above what the run counted.
fn check_deliveries(runs: &BTreeMap<String, Value>, receiver: &Receiver) {
    let (mut attempts, mut ids) = (BTreeSet::new(), BTreeMap::new());
    for seen in receiver.seen("/t") {
        let (key, message) = (seen.key(), seen.json());
        let run = runs.get(&key).unwrap_or_else(|| panic!("delivered and not kept: {key}"));
        assert_eq!(message["payload"], run["payload"]);
        let number = message["run"]["attempt"].as_u64().unwrap();
        assert!(number <= run["attempts"].as_u64().unwrap(), "{number} of {run:#}");
        assert!(attempts.insert((key.clone(), number)), "attempt {number} of {key} came twice");
        let name = message["payload"]["name"].as_str().unwrap().to_owned();
        let known = ids.entry(name).or_insert_with(|| key.clone());
        assert_eq!(*known, key, "one payload under two ids");
    }
    assert_eq!(ids.len(), runs.len(), "every run was delivered");
}

fn check_counters(status: &Value, runs: &BTreeMap<String, Value>) {
    assert_eq!(status["runs"]["completed"], json!(runs.len()));
    assert_eq!(status["totals"]["created"], json!(runs.len()));
    assert_eq!(status["totals"]["completed"], json!(runs.len()));
    let attempts: u64 = runs.values().map(|run| run["attempts"].as_u64().unwrap()).sum();
    assert_eq!(status["totals"]["attempts"], json!(attempts));
    for state in ["due", "leased", "dead"] {
        assert_eq!(status["outbox"][state], 0, "{state}");
    }
}

/// The log tells every attempt, also those that a kill cut off.
async fn check_log(client: &Client, runs: &BTreeMap<String, Value>) {
    let tried_again = runs.values().filter(|run| run["attempts"].as_u64() > Some(1));
    for run in tried_again.take(300) {
        let history = client.get(&format!("/v1/runs/{}/events", id_of(run))).await.is(200);
        let numbers: Vec<u64> = history["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| attempt["number"].as_u64().unwrap())
            .collect();
        let expected: Vec<u64> = (1..=run["attempts"].as_u64().unwrap()).rev().collect();
        assert_eq!(numbers, expected, "{history:#}");
    }
}
