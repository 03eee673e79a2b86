//! The measurements themselves.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::burst::Burst;
use super::figures::Figures;
use super::shards::Shards;
use super::wire::{self, Client};
use crate::app::App;
use crate::appliance::Appliance;
use crate::appliance::intake::{Created, Submit};
use crate::appliance::runs::{Filter, Scope};
use crate::base::id::RunId;
use crate::base::name::Name;
use crate::base::time::{Span, Stopwatch};
use crate::model::delivery::PauseScope;
use crate::model::run::Status;
use crate::model::task::Task;

/// Runs of the cycle that may be under way: enough to keep everything busy, few enough to see a
/// backlog grow.
const CYCLE_OPEN_MAX: u64 = 2_000;
/// One of this many runs of the cycle is timed from its request to its end.
const CYCLE_SAMPLED: u64 = 50;
/// Requests of one list measurement.
const LIST_REQUESTS: usize = 200;

/// What the stages share.
pub struct World {
    appliance: Appliance,
    http: SocketAddr,
    seconds: Duration,
    payload: Arc<str>,
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("names of the bench are plain")
}

fn submit(task: &str, payload: &str) -> Submit {
    let payload = Some(payload.as_bytes().to_vec());
    Submit::plain(name(task), name("default"), name("default"), payload)
}

/// 4 KiB overwritten and synced for a second.
pub fn fsync(dir: &Path) -> io::Result<Figures> {
    let path = dir.join("tmp-fsync");
    let mut file = File::create(&path)?;
    file.write_all(&[0; 4_096])?;
    file.sync_all()?;
    let (whole, mut micros) = (Stopwatch::start(), Vec::new());
    while whole.elapsed() < Duration::from_secs(1) {
        let one = Stopwatch::start();
        file.rewind()?;
        file.write_all(&[1; 4_096])?;
        file.sync_data()?;
        micros.push(one.elapsed().as_micros() as u32);
    }
    let figures = Figures::of("fsync of 4 KiB", 1, whole.elapsed(), micros, 0);
    std::fs::remove_file(path)?;
    Ok(figures)
}

impl World {
    pub async fn prepare(app: &App, seconds: f64, payload_bytes: usize) -> Result<World, String> {
        let agent = wire::agent().await.map_err(|error| error.to_string())?;
        let appliance = app.appliance.clone();
        // Runs of `held` stay queued: creating is measured without delivering.
        for known in ["held", "cycle"] {
            let url = format!("http://{agent}/run");
            let task = Task::pushed(name(known), url, appliance.now());
            appliance.put_task(task).await.map_err(|refusal| refusal.to_string())?;
        }
        let scope = PauseScope::Task(name("held"));
        let paused = appliance.pause(scope, "bench".to_owned(), None).await;
        paused.map_err(|refusal| refusal.to_string())?;
        let filler = "x".repeat(payload_bytes.saturating_sub(12));
        Ok(World {
            appliance,
            http: app.http,
            seconds: Duration::from_secs_f64(seconds),
            payload: format!("{{\"filler\":\"{filler}\"}}").into(),
        })
    }

    /// Finished runs, made by the cycle itself.
    pub async fn preload(&self, count: u64) -> Result<Figures, String> {
        let watch = Stopwatch::start();
        let target = self.finished()? + count;
        let mut tasks = JoinSet::new();
        let gate = Gate::start(self.appliance.clone());
        for _ in 0..64 {
            let (appliance, payload, gate) =
                (self.appliance.clone(), self.payload.clone(), gate.clone());
            tasks.spawn(async move {
                while gate.finished.load(Ordering::Relaxed) + CYCLE_OPEN_MAX < target {
                    gate.wait().await;
                    if appliance.create(submit("cycle", &payload), false).await.is_ok() {
                        gate.created.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        tasks.join_all().await;
        gate.drained().await;
        gate.stop();
        let took = watch.elapsed();
        Ok(Figures::of("preload of finished runs", 64, took, Vec::new(), 0).with_count(count))
    }

    fn finished(&self) -> Result<u64, String> {
        let totals = self.appliance.totals().map_err(|refusal| refusal.to_string())?;
        Ok(totals.finished as u64)
    }

    /// What the burst is measured with.
    pub fn burst(&self) -> Burst {
        let (appliance, payload) = (self.appliance.clone(), self.payload.clone());
        Burst { appliance, http: self.http, payload }
    }

    /// What sharded runs are measured with.
    pub fn shards(&self) -> Shards {
        let (appliance, payload) = (self.appliance.clone(), self.payload.clone());
        Shards { appliance, http: self.http, payload }
    }

    pub async fn create(&self, clients: usize) -> Result<Figures, String> {
        let mut tasks = JoinSet::new();
        let whole = Stopwatch::start();
        for _ in 0..clients {
            let (appliance, payload, limit) =
                (self.appliance.clone(), self.payload.clone(), self.seconds);
            tasks.spawn(async move {
                let mut times = Times::default();
                while whole.elapsed() < limit {
                    let one = Stopwatch::start();
                    let created = appliance.create(submit("held", &payload), false).await;
                    times.note(one, matches!(created, Ok(Created::Kept { .. })));
                }
                times
            });
        }
        Ok(gather("durable create, Rust boundary", clients, whole, tasks).await)
    }

    pub async fn create_http(&self, clients: usize) -> Result<Figures, String> {
        let body = format!("{{\"task\":\"held\",\"payload\":{}}}", self.payload);
        self.over_http("durable create, HTTP", clients, move |_| {
            ("/v1/runs".to_owned(), Some(body.clone()))
        })
        .await
    }

    /// Runs by id, spread over the newest 200.
    pub async fn get(&self, clients: usize) -> Result<Figures, String> {
        let page = self.appliance.runs(&Filter::default(), 200, None);
        let ids: Vec<RunId> = page
            .map_err(|refusal| refusal.to_string())?
            .runs
            .into_iter()
            .map(|run| run.id)
            .collect();
        if ids.is_empty() {
            return Err("there are no runs to read; add the stage `create`".to_owned());
        }
        self.over_http("get by id, HTTP", clients, move |n| {
            (format!("/v1/runs/{}", ids[n as usize % ids.len()]), None)
        })
        .await
    }

    async fn over_http(
        &self,
        what: &str,
        clients: usize,
        request: impl Fn(u64) -> (String, Option<String>) + Send + Sync + 'static,
    ) -> Result<Figures, String> {
        let request = Arc::new(request);
        let mut tasks = JoinSet::new();
        let whole = Stopwatch::start();
        for client in 0..clients {
            let (http, limit, request) = (self.http, self.seconds, request.clone());
            tasks.spawn(async move {
                let mut times = Times::default();
                let Ok(mut connection) = Client::connect(http).await else {
                    times.errors += 1;
                    return times;
                };
                let mut n = client as u64 * 31;
                while whole.elapsed() < limit {
                    n += 1;
                    let (path, body) = request(n);
                    let one = Stopwatch::start();
                    let answer = match &body {
                        Some(body) => connection.post(&path, body).await,
                        None => connection.get(&path).await,
                    };
                    let good = matches!(answer, Ok((200..=299, _)));
                    times.note(one, good);
                    if !good {
                        return times;
                    }
                }
                times
            });
        }
        Ok(gather(what, clients, whole, tasks).await)
    }

    /// Created over HTTP, delivered, completed; with the backlog at the end.
    pub async fn cycle(&self, clients: usize) -> Result<Vec<Figures>, String> {
        let gate = Gate::start(self.appliance.clone());
        let before = gate.finished.load(Ordering::Relaxed);
        let sampled = Arc::new(AtomicU64::new(0));
        let body: Arc<str> = format!("{{\"task\":\"cycle\",\"payload\":{}}}", self.payload).into();
        let mut tasks = JoinSet::new();
        let whole = Stopwatch::start();
        for _ in 0..clients {
            let (appliance, http, limit) = (self.appliance.clone(), self.http, self.seconds);
            let (gate, body, sampled) = (gate.clone(), body.clone(), sampled.clone());
            tasks.spawn(async move {
                let mut times = Times::default();
                let Ok(mut connection) = Client::connect(http).await else { return times };
                while whole.elapsed() < limit {
                    gate.wait().await;
                    let one = Stopwatch::start();
                    let Ok((201, answer)) = connection.post("/v1/runs", &body).await else {
                        times.errors += 1;
                        return times;
                    };
                    gate.created.fetch_add(1, Ordering::Relaxed);
                    if sampled.fetch_add(1, Ordering::Relaxed).is_multiple_of(CYCLE_SAMPLED) {
                        let id = id_of(answer);
                        let end =
                            appliance.run_final(id, &Scope::default(), Span::from_secs(30)).await;
                        times.note(one, end.is_ok_and(|run| run.run.status == Status::Completed));
                    }
                }
                times
            });
        }
        let mut figures = gather("create, deliver, complete", clients, whole, tasks).await;
        let done = gate.finished_now() - before;
        let open = gate.created.load(Ordering::Relaxed).saturating_sub(done);
        figures = figures.with_count(done).with_note(format!("{open} still open at the end"));
        let drain = Stopwatch::start();
        gate.drained().await;
        gate.stop();
        let drained = Figures::of("  drained afterwards", clients, drain.elapsed(), Vec::new(), 0);
        Ok(vec![figures, drained.with_count(open)])
    }

    /// First page of every filter, and page 1,000 of the whole list.
    pub async fn lists(&self) -> Result<Vec<Figures>, String> {
        let mut connection = Client::connect(self.http).await.map_err(|error| error.to_string())?;
        let deep = self.deep_cursor(1_000).await?;
        let paths = [
            ("list, first page", "/v1/runs".to_owned()),
            ("list, status=completed", "/v1/runs?status=completed".to_owned()),
            ("list, status=failed (none)", "/v1/runs?status=failed".to_owned()),
            ("list, task=cycle", "/v1/runs?task=cycle".to_owned()),
            ("list, org=default", "/v1/runs?org=default".to_owned()),
            ("list, org and env", "/v1/runs?org=default&env=default".to_owned()),
            ("list, tag (none)", "/v1/runs?tag=none".to_owned()),
            (
                "list, q=status:completed task:cycle",
                "/v1/runs?q=status:completed%20task:cycle".to_owned(),
            ),
            ("list, from 1h ago", "/v1/runs?from=1h".to_owned()),
            ("list, page 1,000", format!("/v1/runs?cursor={deep}")),
            ("overview page", "/".to_owned()),
        ];
        let mut all = Vec::new();
        for (what, path) in paths {
            let (whole, mut times) = (Stopwatch::start(), Times::default());
            for _ in 0..LIST_REQUESTS {
                let one = Stopwatch::start();
                let answer = connection.get(&path).await;
                times.note(one, matches!(answer, Ok((200, _))));
            }
            all.push(Figures::of(what, 1, whole.elapsed(), times.micros, times.errors));
        }
        Ok(all)
    }

    /// The cursor behind `pages` pages of 50, or the end of a shorter list.
    async fn deep_cursor(&self, pages: usize) -> Result<String, String> {
        let mut before = None;
        for _ in 0..pages.div_ceil(4) {
            let page = self.appliance.runs(&Filter::default(), 200, before);
            match page.map_err(|refusal| refusal.to_string())?.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        Ok(before.unwrap_or(RunId::MAX).to_string())
    }
}

fn id_of(answer: &[u8]) -> RunId {
    let text = answer.get(7..43).and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(RunId::MIN)
}

/// Times and errors of one client.
#[derive(Default)]
pub struct Times {
    pub micros: Vec<u32>,
    pub errors: u64,
}

impl Times {
    pub fn note(&mut self, watch: Stopwatch, good: bool) {
        if good {
            self.micros.push(u32::try_from(watch.elapsed().as_micros()).unwrap_or(u32::MAX));
        } else {
            self.errors += 1;
        }
    }
}

pub async fn gather(
    what: &str,
    clients: usize,
    whole: Stopwatch,
    tasks: JoinSet<Times>,
) -> Figures {
    let mut micros = Vec::new();
    let mut errors = 0;
    for times in tasks.join_all().await {
        micros.extend(times.micros);
        errors += times.errors;
    }
    Figures::of(what, clients, whole.elapsed(), micros, errors)
}

/// Holds creators back while too many runs are open; reads the counters 100 times a second.
struct Gate {
    appliance: Appliance,
    start: u64,
    created: AtomicU64,
    finished: AtomicU64,
    stopped: AtomicBool,
}

impl Gate {
    fn start(appliance: Appliance) -> Arc<Gate> {
        let start = appliance.totals().map_or(0, |totals| totals.finished as u64);
        let gate = Arc::new(Gate {
            appliance,
            start,
            created: AtomicU64::new(0),
            finished: AtomicU64::new(start),
            stopped: AtomicBool::new(false),
        });
        let watched = gate.clone();
        tokio::spawn(async move {
            while !watched.stopped.load(Ordering::Relaxed) {
                watched.finished_now();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        gate
    }

    fn finished_now(&self) -> u64 {
        if let Ok(totals) = self.appliance.totals() {
            self.finished.store(totals.finished as u64, Ordering::Relaxed);
        }
        self.finished.load(Ordering::Relaxed)
    }

    fn open(&self) -> u64 {
        let done = self.finished.load(Ordering::Relaxed) - self.start;
        self.created.load(Ordering::Relaxed).saturating_sub(done)
    }

    async fn wait(&self) {
        while self.open() > CYCLE_OPEN_MAX {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn drained(&self) {
        while self.open() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
