//! Requests that take their time: a reader that waits, and a database that is emptied.

use std::collections::VecDeque;

use tokio::time::sleep;

use super::{Connection, End, Slot};
use crate::appliance::requests::{Answer, Command, unknown_outcome};
use crate::base::time::Span;
use crate::front::resp::asked::{Ask, Shape};
use crate::front::resp::encode::words;
use crate::front::resp::reply::Reply;
use crate::front::resp::request::{Request, is_word};
use crate::model::refusal::Refusal;

/// Keys that FLUSHDB removes in one commit.
const FLUSHED_TOGETHER: usize = 10_000;

impl Connection {
    /// Reads for the client until there is something, its patience ends, or the server stops. When
    /// the client goes the reader is taken back at once, and nothing is delivered to nobody.
    pub(super) async fn wait(&mut self, ask: Ask, limit: Option<Span>) -> Result<(), End> {
        self.flush().await?;
        let (door, stop) = (self.door.clone(), self.stop.clone());
        let Some(appliance) = door.appliance() else { return Ok(()) };
        let unknown = self.session.is_unknown(&door);
        let enough = async {
            let over = async {
                match limit {
                    Some(span) => sleep(span.to_duration()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                () = unknown => {}
                // Asked for its answer all the same: an entry may be its consumer's by now.
                () = stop.cancelled() => {}
            }
        };
        let mut read = std::pin::pin!(appliance.read_blocking(ask.command, enough));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut read => break answer,
                more = self.socket.read_ahead() => {
                    if more? == 0 {
                        return Err(End::Gone);
                    }
                }
            }
        };
        self.session.closing |= self.stop.is_cancelled();
        let slots = VecDeque::from([Slot::Data(ask.shape, self.session.protocol)]);
        self.write(slots, vec![answer]).await
    }

    /// Removes the keys of one database or of all, part by part.
    pub(super) async fn flush_keys(&self, request: &Request) -> Reply {
        let db = match flushed(request, self.session.db) {
            Ok(db) => db,
            Err(reply) => return reply,
        };
        loop {
            let flush = Command::Flush { db, limit: FLUSHED_TOGETHER };
            match self.ask(vec![flush], false).await.pop() {
                Some(Ok(Answer::Count(removed))) if removed as usize >= FLUSHED_TOGETHER => {}
                Some(Ok(_)) => return Reply::OK,
                Some(Err(refusal)) => return refused(&refusal),
                None => return refused(&unknown_outcome()),
            }
        }
    }
}

/// What FLUSHALL and FLUSHDB empty: one database or all.
pub(super) fn flushed(request: &Request, db: u8) -> Result<Option<u8>, Reply> {
    match &request.args[..] {
        [] => {}
        [how] if is_word(how, "ASYNC") || is_word(how, "SYNC") => {}
        _ => return Err(Reply::error("ERR syntax error")),
    }
    Ok((!is_word(&request.name, "FLUSHALL")).then_some(db))
}

fn refused(refusal: &Refusal) -> Reply {
    Reply::error(words(refusal, &Shape::Plain))
}
