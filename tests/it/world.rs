//! A world for one test: an appliance in this process over a fresh directory, an agent, a client.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::app::{self, App, StartError};
use tidegate::base::time::{Clock, Span, Stopwatch, SystemClock, Time};
use tidegate::cli::beside::{Ask, Place};
use tidegate::cli::exit::Failure;
use tidegate::config::settings::Written;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use crate::receiver::{Gate, PATIENCE, Receiver, Reply, Seen};

/// Between two looks at something that is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The machine's clock, set forward and back by a test.
#[derive(Default)]
pub struct SetClock(AtomicI64);

impl SetClock {
    pub fn set_forward(&self, by: Span) {
        self.0.fetch_add(by.0, Ordering::SeqCst);
    }

    pub fn set_back(&self, by: Span) {
        self.0.fetch_sub(by.0, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Time {
        SystemClock.now().plus(Span(self.0.load(Ordering::SeqCst)))
    }
}

/// What the world is made of, before it starts.
pub struct Build {
    written: Written,
    dir: TempDir,
}

impl Build {
    /// Without `push.allow`: the receiver on loopback may not be called.
    pub fn guarded(mut self) -> Build {
        self.written.push.allow.clear();
        self
    }

    /// How long a synchronous create waits.
    pub fn sync_budget(mut self, text: &str) -> Build {
        self.written.push.sync_budget = Some(serde_json::from_value(json!(text)).expect("a span"));
        self
    }

    /// A push task in the configuration file.
    pub fn configured(mut self, name: &str, body: Value) -> Build {
        let task = serde_json::from_value(body).expect("a task");
        self.written.tasks.insert(name.to_owned(), task);
        self
    }

    /// With the burst buffer on; orgs are still off.
    pub fn buffered(mut self) -> Build {
        self.written.buffer.enabled = Some(true);
        self
    }

    /// With the stale sweep, every second and for whatever waits longer than that.
    pub fn sweeping(mut self) -> Build {
        let sweep = json!({ "enabled": true, "interval": "1s", "stale_after": "1s" });
        self.written.buffer.sweep = Some(serde_json::from_value(sweep).expect("settings"));
        self
    }

    pub fn retention(mut self, kept: tidegate::model::retention::Retention) -> Build {
        self.written.retention = kept;
        self
    }

    /// With settings of its own.
    pub fn configure(mut self, change: impl FnOnce(&mut Written)) -> Build {
        change(&mut self.written);
        self
    }

    /// `[alerts]` of the configuration.
    pub fn alerts(mut self, alerts: Value) -> Build {
        self.written.alerts = serde_json::from_value(alerts).expect("settings of alerts");
        self
    }

    /// A directory on a file system of its own.
    pub fn data_dir(mut self, path: &std::path::Path) -> Build {
        self.written.server.data_dir = Some(path.to_owned());
        self
    }

    pub async fn start(self) -> World {
        let mut world = World {
            receiver: Receiver::start().await,
            client: Client::new(String::new()),
            redis: None,
            app: None,
            faults: Arc::default(),
            clock: Arc::default(),
            written: self.written,
            _dir: self.dir,
        };
        world.start().await;
        world
    }
}

/// An appliance with an agent and a client.
pub struct World {
    pub receiver: Receiver,
    pub client: Client,
    /// Where the Redis protocol is spoken.
    pub redis: Option<std::net::SocketAddr>,
    pub app: Option<App>,
    /// Faults that would have ended a process.
    faults: Arc<Mutex<Vec<String>>>,
    pub clock: Arc<SetClock>,
    written: Written,
    _dir: TempDir,
}

/// Calls go to the appliance: `world.get("/v1/runs")`.
impl std::ops::Deref for World {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl World {
    pub fn build() -> Build {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut written = Written::default();
        written.server.http = Some("127.0.0.1:0".to_owned());
        written.server.redis = Some("127.0.0.1:0".to_owned());
        written.server.data_dir = Some(dir.path().join("data"));
        written.store.cache_mib = Some(8);
        written.push.allow = vec!["127.0.0.0/8".to_owned()];
        Build { written, dir }
    }

    pub async fn new() -> World {
        World::build().start().await
    }

    /// Starts what was stopped, over the same directory.
    pub async fn start(&mut self) {
        self.try_start().await.expect("the appliance starts");
    }

    pub async fn try_start(&mut self) -> Result<(), StartError> {
        assert!(self.app.is_none(), "it runs already");
        let faults = self.faults.clone();
        let on_fault = Box::new(move |fault: &tidegate::store::fault::Fault| {
            faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault.to_string());
        });
        let settings = self.written.clone().check().expect("the settings are good");
        let app = app::start_by(self.clock.clone(), settings, on_fault).await?;
        self.client = Client::new(format!("http://{}", app.http));
        self.redis = Some(app.redis);
        self.app = Some(app);
        Ok(())
    }

    pub fn data_dir(&self) -> std::path::PathBuf {
        self.written.server.data_dir.clone().expect("it is set")
    }

    /// The answer to a line of the Redis protocol, as it came.
    pub async fn redis(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.redis.expect("it runs")).await.expect("a socket");
        let request = format!("{line}\r\nPING\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"+PONG\r\n") {
            assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "{answer:?}");
        }
        String::from_utf8_lossy(&answer[..answer.len() - b"+PONG\r\n".len()]).into_owned()
    }

    /// What a verb of the command line asks, beside the running appliance or without it.
    pub async fn ask(&self, ask: Ask) -> Result<Value, Failure> {
        let place = Place { data_dir: Some(self.data_dir()), config: None };
        let asked = tokio::task::spawn_blocking(move || place.ask(ask)).await;
        asked.expect("it does not panic")
    }

    /// Changes the settings of the next start.
    pub fn configure(&mut self, change: impl FnOnce(&mut Written)) {
        change(&mut self.written);
    }

    /// Stops in order: intake ends, what is out comes home.
    pub async fn stop(&mut self) {
        self.app.take().expect("it runs").stop().await;
        self.assert_no_fault();
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    pub fn assert_no_fault(&self) {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(faults.is_empty(), "the engine ended: {faults:?}");
    }

    /// Registers a push task whose agent is the receiver's path of the same name. Fields of
    /// `more` replace those of the task, fields of `more.push` those of its delivery.
    pub async fn task(&self, name: &str, more: Value) -> Value {
        let body = task_body(&format!("{}/{name}", self.receiver.url), more);
        let answer = self.put(&format!("/v1/tasks/{name}"), body).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        answer.json()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_no_fault();
        }
    }
}

/// A task with quick retries.
pub fn task_body(url: &str, more: Value) -> Value {
    let mut push = json!({ "url": url, "timeout": "5s" });
    let mut body = json!({ "retry": { "max_attempts": 10, "delays": ["20ms"] } });
    let Value::Object(more) = more else { panic!("`more` is an object") };
    for (key, value) in more {
        match (key.as_str(), value) {
            ("push", Value::Object(fields)) => {
                for (key, value) in fields {
                    push[key] = value;
                }
            }
            (_, value) => body[key] = value,
        }
    }
    body["delivery"] = json!({ "push": push });
    body
}

/// A client of one appliance.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub url: String,
}

impl Client {
    pub fn new(url: String) -> Client {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build();
        Client { http: http.expect("a client"), url }
    }

    pub fn call(&self, method: &str, path: &str) -> Call {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        Call(self.http.request(method, format!("{}{path}", self.url)))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path).json(&body).send().await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path).json(&body).send().await
    }

    /// Creates a run that must be taken.
    pub async fn create(&self, body: Value) -> Value {
        self.post("/v1/runs", body).await.is(201)
    }

    /// The id of a fresh run of `task`.
    pub async fn run(&self, task: &str) -> String {
        id_of(&self.create(json!({ "task": task, "payload": { "n": 1 } })).await)
    }

    /// The run once it is final.
    pub async fn finished(&self, id: &str) -> Value {
        let run = self.get(&format!("/v1/runs/{id}?wait=20s")).await.is(200);
        assert!(run["finished_at"].is_string(), "not final in time: {run:#}");
        run
    }

    /// The run once it is live.
    pub async fn live(&self, id: &str) -> Value {
        self.until(&format!("/v1/runs/{id}"), |run| run["mirror"] == "live").await
    }

    pub async fn status(&self) -> Value {
        self.get("/v1/status").await.is(200)
    }

    /// Looks until `enough` says so.
    pub async fn until(&self, path: &str, enough: impl Fn(&Value) -> bool) -> Value {
        eventually(path, async || {
            let found = self.get(path).await.json();
            if enough(&found) { Ok(found) } else { Err(format!("{found:#}")) }
        })
        .await
    }
}

/// Asks again and again until there is an answer; the last error says what is missing.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let watch = Stopwatch::start();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(why) => assert!(watch.elapsed() < PATIENCE, "waited in vain for {what}: {why}"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The id of a run or row.
pub fn id_of(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

/// A request that is being put together.
pub struct Call(reqwest::RequestBuilder);

impl Call {
    pub fn header(self, name: &str, value: &str) -> Call {
        Call(self.0.header(name, value))
    }

    pub fn json(self, body: &Value) -> Call {
        self.header("content-type", "application/json").bytes(body.to_string())
    }

    pub fn bytes(self, body: impl Into<Vec<u8>>) -> Call {
        Call(self.0.body(body.into()))
    }

    pub async fn send(self) -> Answer {
        self.try_send().await.expect("the appliance answers")
    }

    /// Fails when there was no whole answer.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("plain text"))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The refusal with this status and code, in the one shape that all have.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let error = self.is(status)["error"].clone();
        assert_eq!(error["code"], code, "{self:?}");
        let message = error["message"].as_str().expect("a message");
        assert!(!message.is_empty() && !message.ends_with('.'), "{self:?}");
        if matches!(status, 429 | 503) {
            assert!(self.header("retry-after").parse::<u64>().is_ok(), "{:?}", self.headers);
        }
        error
    }
}
