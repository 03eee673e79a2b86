//! Who is served when something changes: in order of arrival, each once, within the same batch.

use std::sync::{Arc, Mutex};

use super::*;
use crate::base::entropy::Entropy;
use crate::engine::parked::PARKED_MAX;
use crate::store::key::Key;
use crate::store::tables::Table;

/// What jobs say, in order.
type Heard = Arc<Mutex<Vec<String>>>;

fn row(name: &str) -> Key {
    Key::new(Table::Meta).text(name)
}

/// Takes the row of one of its keys, or waits for one.
struct Taker {
    name: &'static str,
    token: Token,
    keys: Vec<&'static str>,
    line: Option<Bytes>,
    heard: Heard,
    found: Option<&'static str>,
    /// How often takers were tried.
    tried: Arc<Mutex<usize>>,
}

impl Job for Taker {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<Ran, Fault> {
        *self.tried.lock().unwrap() += 1;
        let keys = self.keys.clone();
        let found = batch.act(|tx| {
            for key in keys {
                if tx.get(row(key).bytes())?.is_some() {
                    tx.remove(row(key));
                    return Ok(Some(key));
                }
            }
            Ok(None)
        })?;
        self.found = found.expect("nothing is refused here");
        Ok(match self.found {
            Some(_) => Ran::Done,
            None => Ran::Park {
                token: self.token,
                keys: self.keys.iter().map(|key| KeyName::of(key)).collect(),
                line: self.line.clone(),
            },
        })
    }

    fn bytes(&self) -> usize {
        0
    }

    fn release(self: Box<Self>, instead: Option<Refusal>) {
        let what = match (instead, self.found) {
            (Some(refusal), _) => refusal.code.as_str(),
            (None, Some(found)) => found,
            (None, None) => "nothing",
        };
        self.heard.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

/// Puts rows, and tells of each.
struct Giver {
    name: &'static str,
    keys: Vec<&'static str>,
    heard: Heard,
}

impl Job for Giver {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<Ran, Fault> {
        for key in &self.keys {
            let given = batch.act(|tx| {
                tx.mark(row(key));
                tx.notify(Notice::Key(KeyName::of(key)));
                Ok(())
            })?;
            given.expect("nothing is refused here");
        }
        Ok(Ran::Done)
    }

    fn bytes(&self) -> usize {
        0
    }

    fn release(self: Box<Self>, instead: Option<Refusal>) {
        let what = instead.map_or("gave", |refusal| refusal.code.as_str());
        self.heard.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

struct Bench {
    disk: Disk,
    parked: Parked,
    minter: Minter,
    heard: Heard,
    tried: Arc<Mutex<usize>>,
    tokens: Token,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            disk: Disk::in_memory().unwrap(),
            parked: Parked::default(),
            minter: Minter::new(Entropy::from_seed(1)),
            heard: Heard::default(),
            tried: Arc::default(),
            tokens: 0,
        }
    }

    fn taker(&mut self, name: &'static str, keys: &[&'static str]) -> Box<dyn Job> {
        self.taker_of(name, keys, None)
    }

    fn in_line(
        &mut self,
        name: &'static str,
        key: &'static str,
        line: &'static str,
    ) -> Box<dyn Job> {
        self.taker_of(name, &[key], Some(Bytes::from_static(line.as_bytes())))
    }

    fn taker_of(
        &mut self,
        name: &'static str,
        keys: &[&'static str],
        line: Option<Bytes>,
    ) -> Box<dyn Job> {
        self.tokens += 1;
        let (heard, tried) = (self.heard.clone(), self.tried.clone());
        let (token, keys) = (self.tokens, keys.to_vec());
        Box::new(Taker { name, token, keys, line, heard, found: None, tried })
    }

    fn giver(&mut self, name: &'static str, keys: &[&'static str]) -> Box<dyn Job> {
        Box::new(Giver { name, keys: keys.to_vec(), heard: self.heard.clone() })
    }

    fn run(&mut self, jobs: Vec<Box<dyn Job>>) {
        run_batch(&self.disk, jobs, &mut self.parked, Time(1), &mut self.minter).unwrap();
    }

    /// What was said since the last question.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    fn nobody_waits(&self) -> bool {
        let keys = [KeyName::of("a"), KeyName::of("b")];
        self.parked.is_empty() && self.parked.concerned(keys.iter()).is_empty()
    }

    fn has(&self, key: &str) -> bool {
        self.disk.snapshot().unwrap().get(row(key).bytes()).unwrap().is_some()
    }
}

#[test]
fn waiting_jobs_are_served_in_order() {
    let mut bench = Bench::new();
    let jobs = vec![
        bench.taker("first", &["a"]),
        bench.taker("second", &["b", "a"]),
        bench.taker("third", &["a"]),
    ];
    bench.run(jobs);
    assert!(bench.heard().is_empty());
    assert_eq!(bench.parked.len(), 3);
    let giver = bench.giver("giver", &["a"]);
    bench.run(vec![giver]);
    assert_eq!(bench.heard(), ["giver gave", "first a"]);
    assert!(!bench.has("a"));
    // Tried in vain, the others kept their places.
    let giver = bench.giver("giver", &["b", "a"]);
    bench.run(vec![giver]);
    assert_eq!(bench.heard(), ["giver gave", "second b", "third a"]);
    assert!(bench.nobody_waits());
}

#[test]
fn waiting_jobs_come_before_later_ones() {
    let mut bench = Bench::new();
    let jobs = vec![
        bench.taker("early", &["a"]),
        bench.giver("giver", &["a"]),
        bench.taker("late", &["a"]),
    ];
    bench.run(jobs);
    assert_eq!(bench.heard(), ["giver gave", "early a"]);
    assert_eq!(bench.parked.len(), 1);
    // Who comes when there is something does not wait.
    let jobs = vec![bench.giver("giver", &["b"]), bench.taker("other", &["b"])];
    bench.run(jobs);
    assert_eq!(bench.heard(), ["giver gave", "other b"]);
}

#[test]
fn job_of_several_keys_is_served_once() {
    let mut bench = Bench::new();
    let jobs = vec![bench.taker("one", &["a", "b"]), bench.giver("giver", &["b", "a"])];
    bench.run(jobs);
    assert_eq!(bench.heard(), ["giver gave", "one a"]);
    assert!(bench.has("b"));
    assert!(bench.nobody_waits());
}

/// Each entry that was added tried every reader that waited for its group: with ten thousand of
/// them an addition took 200 ms of the writer's time.
#[test]
fn line_is_tried_as_far_as_it_is_served() {
    let mut bench = Bench::new();
    let jobs = vec![
        bench.in_line("first", "a", "g"),
        bench.taker("alone", &["a", "b"]),
        bench.in_line("second", "a", "g"),
        bench.in_line("other", "a", "h"),
        bench.in_line("third", "a", "g"),
    ];
    bench.run(jobs);
    *bench.tried.lock().unwrap() = 0;
    for (served, tried) in [("first", 4), ("alone", 3), ("second", 3), ("other", 2), ("third", 1)] {
        let giver = bench.giver("giver", &["a"]);
        bench.run(vec![giver]);
        assert_eq!(bench.heard(), ["giver gave".to_owned(), format!("{served} a")]);
        assert_eq!(std::mem::take(&mut *bench.tried.lock().unwrap()), tried, "{served}");
    }
    assert!(bench.nobody_waits());
}

#[test]
fn line_goes_on_when_its_head_leaves() {
    let mut bench = Bench::new();
    let jobs = vec![bench.in_line("goes", "a", "g"), bench.in_line("stays", "a", "g")];
    bench.run(jobs);
    bench.parked.leave(1);
    let jobs = vec![bench.giver("giver", &["a"])];
    bench.run(jobs);
    assert_eq!(bench.heard(), ["goes nothing", "giver gave", "stays a"]);
}

#[test]
fn job_that_leaves_hears_nothing() {
    let mut bench = Bench::new();
    let jobs = vec![bench.taker("goes", &["a"]), bench.taker("stays", &["a"])];
    bench.run(jobs);
    bench.parked.leave(1);
    bench.parked.leave(1);
    bench.parked.leave(99);
    assert_eq!(bench.heard(), ["goes nothing"]);
    let giver = bench.giver("giver", &["a"]);
    bench.run(vec![giver]);
    assert_eq!(bench.heard(), ["giver gave", "stays a"]);
}

#[test]
fn change_of_other_keys_wakes_nobody() {
    let mut bench = Bench::new();
    let jobs = vec![bench.taker("one", &["a"]), bench.giver("giver", &["b"])];
    bench.run(jobs);
    assert_eq!(bench.heard(), ["giver gave"]);
    assert_eq!(bench.parked.len(), 1);
}

#[test]
fn too_many_waiting_are_refused() {
    let mut bench = Bench::new();
    for _ in 0..PARKED_MAX {
        let taker = bench.taker("one", &["a"]);
        bench.tokens += 1;
        let token = bench.tokens;
        assert!(bench.parked.add(taker, token, vec![KeyName::of("a")], None));
    }
    let taker = bench.taker("more", &["a"]);
    bench.run(vec![taker]);
    assert_eq!(bench.heard(), [format!("more {}", Code::LimitWaiting.as_str())]);
    let refusal = Refusal::new(Code::ShuttingDown, "it stops");
    bench.parked.refuse_all(&refusal);
    assert_eq!(bench.heard().len(), PARKED_MAX);
    assert!(bench.nobody_waits());
}
