//! An agent that answers as it is told and remembers what it was sent.
//!
//! Written over plain TCP, because much of what it has to do (cutting a connection, an answer
//! without an end, a body shorter than announced) no server library would agree to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the appliance sends JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The idempotency key; a body without one has the empty key.
    pub fn key(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["external_idempotency_key"].as_str().unwrap_or_default().to_owned()
    }
}

/// What is answered to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    gate: Option<Gate>,
    delay: Duration,
}

#[derive(Clone, Debug)]
enum Body {
    Bytes(Vec<u8>),
    /// An object with the `run_id` of the request's key, and these fields.
    Accepted(Value),
    /// Chunks without an end.
    Endless,
    /// Half of what was announced, then the end of the connection.
    Short,
    /// No answer at all: the connection is cut.
    Cut,
}

impl Reply {
    fn of(status: u16, body: Body) -> Reply {
        Reply { status, headers: Vec::new(), body, gate: None, delay: Duration::ZERO }
    }

    /// The agent has the run and will report its end later.
    pub fn live() -> Reply {
        Reply::of(200, Body::Accepted(json!({})))
    }

    /// The agent has the run and is done with it.
    pub fn done() -> Reply {
        Reply::of(200, Body::Accepted(json!({ "done": true })))
    }

    /// Accepted under the id of the request's key, with more fields.
    pub fn with(fields: Value) -> Reply {
        Reply::of(200, Body::Accepted(fields))
    }

    pub fn status(status: u16) -> Reply {
        Reply::of(status, Body::Bytes(format!("status {status}").into_bytes()))
    }

    pub fn json(body: Value) -> Reply {
        Reply::bytes(200, body.to_string())
    }

    pub fn bytes(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply::of(status, Body::Bytes(body.into()))
    }

    pub fn endless() -> Reply {
        Reply::of(200, Body::Endless)
    }

    pub fn short() -> Reply {
        Reply::of(200, Body::Short)
    }

    pub fn cut() -> Reply {
        Reply::of(200, Body::Cut)
    }

    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An agent that takes its time.
    pub fn slow(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    /// Not before the gate is open.
    pub fn behind(mut self, gate: &Gate) -> Reply {
        self.gate = Some(gate.clone());
        self
    }
}

/// Holds answers back until it is opened.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub fn closed() -> Gate {
        Gate(Arc::new(watch::Sender::new(false)))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn pass(&self) {
        // The sender lives in this very value, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// The agent. Unscripted requests are answered with [`Reply::done`].
pub struct Receiver {
    /// Without a slash at its end.
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    count: watch::Sender<usize>,
    scripts: Mutex<HashMap<String, Script>>,
    /// A good agent knows a key again.
    ids: Mutex<HashMap<String, i64>>,
}

#[derive(Default)]
struct Script {
    next: VecDeque<Reply>,
    always: Option<Reply>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            count: watch::Sender::new(0),
            scripts: Mutex::default(),
            ids: Mutex::default(),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = accepting.clone();
                tokio::spawn(async move { converse(stream, &shared).await });
            }
        });
        Receiver { url: format!("http://{address}"), shared }
    }

    /// Answers of `path` (with its slash) one after the other; after them what was said before.
    pub fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.shared.scripts).entry(path.to_owned()).or_default().next.extend(replies);
    }

    /// The answer of `path` whenever its script is through.
    pub fn always(&self, path: &str, reply: Reply) {
        lock(&self.shared.scripts).entry(path.to_owned()).or_default().always = Some(reply);
    }

    /// What came to `path`, in order of arrival.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        lock(&self.shared.seen).iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// Everything that came.
    pub fn all(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Waits until `path` was called `count` times.
    pub async fn wait(&self, path: &str, count: usize) -> Vec<Seen> {
        let mut counts = self.shared.count.subscribe();
        let enough = async {
            loop {
                counts.mark_unchanged();
                let seen = self.seen(path);
                if seen.len() >= count {
                    return seen;
                }
                counts.changed().await.expect("the receiver outlives its waiters");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, enough).await;
        waited.unwrap_or_else(|_| panic!("`{path}` was not called {count} times in time"))
    }
}

impl Shared {
    fn reply_to(&self, seen: &Seen) -> Reply {
        let mut scripts = lock(&self.scripts);
        let Some(script) = scripts.get_mut(&seen.path) else { return Reply::done() };
        let next = script.next.pop_front().or_else(|| script.always.clone());
        next.unwrap_or_else(Reply::done)
    }

    fn id_of(&self, key: String) -> i64 {
        let mut ids = lock(&self.ids);
        let fresh = ids.len() as i64 + 1_000;
        *ids.entry(key).or_insert(fresh)
    }
}

async fn converse(stream: TcpStream, shared: &Shared) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read_request(&mut stream).await {
        let reply = shared.reply_to(&seen);
        let key = seen.key();
        lock(&shared.seen).push(seen);
        shared.count.send_modify(|count| *count += 1);
        if let Some(gate) = &reply.gate {
            gate.pass().await;
        }
        tokio::time::sleep(reply.delay).await;
        // A caller that went away ends the conversation.
        match write_reply(&mut stream, reply, || shared.id_of(key)).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
    }
}

/// `None` when the connection ends.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { path, headers, body })
}

/// False when the connection is to end.
async fn write_reply(
    stream: &mut BufReader<TcpStream>,
    reply: Reply,
    id: impl FnOnce() -> i64,
) -> std::io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let body = match reply.body {
        Body::Cut => return Ok(false),
        Body::Short => {
            stream.write_all((head + "content-length: 100\r\n\r\n{\"run_id\":").as_bytes()).await?;
            return Ok(false);
        }
        Body::Endless => {
            stream.write_all((head + "transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
            let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        Body::Bytes(bytes) => bytes,
        Body::Accepted(mut fields) => {
            fields["run_id"] = json!(id());
            fields.to_string().into_bytes()
        }
    };
    stream.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.flush().await?;
    Ok(true)
}
