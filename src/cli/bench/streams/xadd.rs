//! How many entries a server takes, and how long one pipeline of them waits for its answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Load;
use super::connection::Connection;
use super::ground::{Ground, length};
use super::request::Adds;
use super::server::Server;
use super::shape::Shape;
use crate::base::time::Stopwatch;
use crate::cli::bench::figures::Figures;

pub async fn measure(
    server: &Server,
    load: &Load,
    ground: Ground,
    shape: Shape,
) -> Result<Figures, String> {
    let mut control = Connection::open(server).await?;
    let before = ground.prepare(&mut control, false).await?;
    let adds = Arc::new(Adds::new(shape.pipeline, &load.payload));
    let connections = Connection::open_many(server, shape.connections).await?;
    let mut tasks = JoinSet::new();
    let whole = Stopwatch::start();
    for connection in connections {
        tasks.spawn(add(connection, adds.clone(), shape.pipeline, whole, load.seconds));
    }
    let mut micros = Vec::new();
    while let Some(done) = tasks.join_next().await {
        micros.extend(done.expect("a task of the bench neither panics nor is cancelled")?);
    }
    let took = whole.elapsed();
    let added = (micros.len() * shape.pipeline) as u64;
    let there = length(&mut control).await?;
    if there != before + added {
        return Err(format!(
            "`{server}`: {added} entries were acknowledged and {} are there",
            there.saturating_sub(before)
        ));
    }
    Ok(Figures::of("", shape.connections, took, micros, 0).with_count(added))
}

/// One connection: the times of its pipelines.
async fn add(
    mut connection: Connection,
    adds: Arc<Adds>,
    pipeline: usize,
    whole: Stopwatch,
    limit: Duration,
) -> Result<Vec<u32>, String> {
    let mut micros = Vec::new();
    while whole.elapsed() < limit {
        let one = Stopwatch::start();
        connection.send(adds.all()).await?;
        connection.replies(pipeline).await?;
        micros.push(u32::try_from(one.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(micros)
}
