//! A large sharded run: how fast it is planned and dispatched beside plain creates of the same
//! appliance, and how long its page takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::figures::Figures;
use super::stages::{Times, name};
use super::wire::Client;
use crate::appliance::Appliance;
use crate::appliance::intake::{Created, Submit};
use crate::appliance::runs::Scope;
use crate::base::id::Id;
use crate::base::time::Stopwatch;
use crate::model::shard::ShardState;

/// Items of the sharded run, and of each shard.
const ITEMS: u32 = 100_000;
const SHARD_SIZE: u32 = 5;
const SHARDS: u32 = ITEMS / SHARD_SIZE;
/// Plain creates that it is compared with, and those who send them.
const CLIENTS: u64 = 64;
/// Times that a page is asked for.
const PAGES: usize = 200;
/// How often the measurement is repeated: plain, sharded, plain, sharded.
const ROUNDS: usize = 2;

/// What the stage needs to know.
pub struct Shards {
    pub appliance: Appliance,
    pub http: SocketAddr,
    pub payload: Arc<str>,
}

impl Shards {
    pub async fn run(&self, show: impl Fn(Figures)) -> Result<(), String> {
        let mut last = None;
        for _ in 0..ROUNDS {
            let plain = self.plain().await;
            let rate = plain.per_second();
            show(plain);
            let (id, planned, whole) = self.sharded().await?;
            show(planned);
            let share = whole.per_second() / rate.max(1e-9) * 100.0;
            show(whole.with_note(format!("{share:.0} % of plain creates")));
            last = Some(id);
        }
        let Some(id) = last else { return Ok(()) };
        for (what, path) in [
            ("page of a sharded run", format!("/sharded-runs/{id}")),
            ("sharded run over HTTP", format!("/v1/sharded-runs/{id}")),
            ("page of sharded runs", "/sharded-runs".to_owned()),
        ] {
            show(self.pages(what, &path).await?);
        }
        Ok(())
    }

    /// As many plain creates as there are shards.
    async fn plain(&self) -> Figures {
        let whole = Stopwatch::start();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let appliance = self.appliance.clone();
            let payload = self.payload.as_bytes().to_vec();
            let submit =
                Submit::plain(name("held"), name("default"), name("default"), Some(payload));
            tasks.spawn(async move {
                let mut times = Times::default();
                for _ in 0..u64::from(SHARDS) / CLIENTS {
                    let one = Stopwatch::start();
                    let created = appliance.create(submit.clone(), false).await;
                    times.note(one, matches!(created, Ok(Created::Kept { .. })));
                }
                times
            });
        }
        super::stages::gather("plain creates, Rust boundary", CLIENTS as usize, whole, tasks).await
    }

    /// Items that make a shard about as large as a plain payload.
    fn body(&self) -> String {
        let filler = "x".repeat((self.payload.len() / SHARD_SIZE as usize).saturating_sub(22));
        let items: Vec<String> =
            (0..ITEMS).map(|n| format!(r#"{{"id":{n},"text":"{filler}"}}"#)).collect();
        let items = items.join(",");
        format!(r#"{{"task":"held","items":[{items}],"shard_size":{SHARD_SIZE}}}"#)
    }

    /// From the request to its answer, and until every shard has its run.
    async fn sharded(&self) -> Result<(Id, Figures, Figures), String> {
        let body = self.body();
        let mut client = Client::connect(self.http).await.map_err(|error| error.to_string())?;
        let watch = Stopwatch::start();
        let (status, answer) =
            client.post("/v1/sharded-runs", &body).await.map_err(|error| error.to_string())?;
        let answered = watch.elapsed();
        let answer = serde_json::from_slice::<serde_json::Value>(answer);
        let id = answer.ok().and_then(|json| json["id"].as_str()?.parse::<Id>().ok());
        let Some(id) = id.filter(|_| status == 201) else {
            return Err(format!("the sharded run was answered with {status}"));
        };
        loop {
            let told = self.appliance.sharded(id, &Scope::default());
            let told = told.map_err(|refusal| refusal.to_string())?;
            if told.shards_in(ShardState::Planned) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let of =
            |what, took| Figures::of(what, 1, took, Vec::new(), 0).with_count(u64::from(SHARDS));
        let planned = of("shards planned, HTTP", answered);
        Ok((id, planned, of("shards planned and dispatched", watch.elapsed())))
    }

    async fn pages(&self, what: &str, path: &str) -> Result<Figures, String> {
        let mut client = Client::connect(self.http).await.map_err(|error| error.to_string())?;
        let (whole, mut times) = (Stopwatch::start(), Times::default());
        for _ in 0..PAGES {
            let one = Stopwatch::start();
            times.note(one, matches!(client.get(path).await, Ok((200, _))));
        }
        Ok(Figures::of(what, 1, whole.elapsed(), times.micros, times.errors))
    }
}
