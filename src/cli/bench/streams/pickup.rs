//! How soon a waiting worker has a message: from sending XADD to the entry at a blocked reader.
//!
//! One message is under way at a time, and the next is added only when every reader waits again.
//! That a reader waits cannot be seen from outside, so its request is followed by a PING of the
//! producer: a server that takes its connections in turn has read both when it answers.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Load;
use super::connection::Connection;
use super::ground::Ground;
use super::request::{self, Adds, GROUP, KEY};
use super::scan::Value;
use super::server::Server;
use crate::base::time::Stopwatch;
use crate::cli::bench::figures::Figures;

/// Messages without which no p99 is told.
const MESSAGES_MIN: usize = 2_000;

/// What a reader tells the producer.
enum Told {
    /// It has asked and waits.
    Waits,
    /// An entry arrived, so many microseconds after the start of the measurement.
    Picked(u64),
    Failed(String),
}

pub async fn measure(
    server: &Server,
    load: &Load,
    ground: Ground,
    readers: usize,
) -> Result<Figures, String> {
    let mut producer = Connection::open(server).await?;
    ground.prepare(&mut producer, true).await?;
    let clock = Stopwatch::start();
    let (tell, mut told) = mpsc::channel(2 * readers);
    // Dropped at the end, which ends the readers: they wait for ever.
    let mut tasks = JoinSet::new();
    for (index, connection) in Connection::open_many(server, readers).await?.into_iter().enumerate()
    {
        let (consumer, tell) = (format!("c{index}"), tell.clone());
        tasks.spawn(async move {
            let Err(message) = read(connection, &consumer, clock, &tell).await;
            // A producer that is gone needs no message.
            let _ = tell.send(Told::Failed(message)).await;
        });
    }
    let adds = Adds::new(1, &load.payload);
    let ping = request::of(&["PING"]);
    let (whole, mut micros) = (Stopwatch::start(), Vec::new());
    let mut waiting = 0;
    while micros.len() < MESSAGES_MIN || whole.elapsed() < load.seconds {
        while waiting < readers {
            match next(&mut told).await? {
                Told::Waits => waiting += 1,
                Told::Picked(_) | Told::Failed(_) => {
                    return Err(format!("`{server}`: an entry arrived that nobody has added"));
                }
            }
        }
        producer.send(&ping).await?;
        producer.replies(1).await?;
        let sent = clock.elapsed().as_micros() as u64;
        producer.send(adds.all()).await?;
        producer.replies(1).await?;
        let Told::Picked(at) = next(&mut told).await? else {
            return Err(format!("`{server}`: a reader was answered twice"));
        };
        waiting -= 1;
        micros.push(u32::try_from(at - sent).unwrap_or(u32::MAX));
    }
    Ok(Figures::of("", readers, whole.elapsed(), micros, 0))
}

async fn next(told: &mut mpsc::Receiver<Told>) -> Result<Told, String> {
    match told.recv().await.expect("the producer holds a sender itself") {
        Told::Failed(message) => Err(message),
        told => Ok(told),
    }
}

/// One reader, until something fails.
async fn read(
    mut connection: Connection,
    consumer: &str,
    clock: Stopwatch,
    tell: &mpsc::Sender<Told>,
) -> Result<std::convert::Infallible, String> {
    let gone = |_| "the producer is gone".to_owned();
    let ask = request::read(consumer, 1, 0);
    loop {
        connection.send(&ask).await?;
        tell.send(Told::Waits).await.map_err(gone)?;
        let (mut strings, mut id) = (0, String::new());
        connection
            .reply(|value| {
                let Value::Bulk(text) = value else { return };
                // Behind the name of the stream.
                if strings == 1 {
                    id = String::from_utf8_lossy(text).into_owned();
                }
                strings += 1;
            })
            .await?;
        tell.send(Told::Picked(clock.elapsed().as_micros() as u64)).await.map_err(gone)?;
        connection.call(&["XACK", KEY, GROUP, &id]).await?;
    }
}
