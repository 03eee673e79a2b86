//! One client: reads requests, lets those of one pipeline share a commit, writes the replies.
//!
//! Whatever is not a plain command of the store (an answer of the connection's own, a transaction,
//! a reader that waits) comes after all that was gathered before it. A silent client may stay for
//! ever; a request that has begun has to end within a limit, counted from its first byte. Where
//! clients have to prove who they are, one that has not yet may stay no longer than that and send no
//! more than a proof takes: strangers hold neither seats nor memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::asked::{Ask, Asked, Shape};
use super::door::{Door, loading};
use super::encode::encode;
use super::frame::Decoder;
use super::multi::{Multi, Queued};
use super::needs::barred;
use super::parse::{Scope, Wrong, parse};
use super::reply::Reply;
use super::request::{Request, is_word};
use super::session::Session;
use super::socket::Socket;
use super::writer::{Protocol, Writer};
use crate::appliance::caller::as_caller;
use crate::appliance::presence::Places;
use crate::appliance::requests::{Answers, Command, unknown_outcome};
use crate::base::time::Stopwatch;
use crate::front::stream::Stream;

mod steps;
#[cfg(test)]
mod tests;
mod transaction;

/// Requests of one pipeline that are answered together.
const PIPELINE_MAX: usize = 1_024;
/// Commands with long answers among them.
const LONG_ANSWERS_MAX: usize = 8;
/// Bytes of replies from which they are sent before further ones are made.
const OUT_BYTES: usize = 256 * 1_024;

/// Serves a client until it goes, breaks the protocol, or the server stops.
pub async fn serve(stream: Stream, address: String, door: Arc<Door>, stop: CancellationToken) {
    let session = Session::new(door.next_id(), address.clone(), &door);
    door.note(&session);
    let _listed = Listed { door: &door, id: session.id };
    let mut connection = Connection {
        socket: Socket::new(stream, door.settings.write_stall_timeout),
        session,
        decoder: Decoder::new(door.settings.limits),
        begun: None,
        stranger_since: None,
        door: door.clone(),
        stop,
    };
    let client = &address;
    let why = match connection.run().await {
        Ok(()) => return connection.socket.close().await,
        Err(End::Gone) => return,
        Err(End::Deaf) => "it does not read its replies",
        Err(End::Late) => "it does not finish its request, or its login",
        Err(End::Foreign) => "it speaks HTTP",
    };
    // A line for each would let clients fill the disk.
    match door.dropped.is_due() {
        true => tracing::warn!(%client, why, "a client was dropped; others may have been since"),
        false => tracing::debug!(%client, why, "a client was dropped"),
    }
}

/// Takes a client off the list, however its connection ends.
struct Listed<'a> {
    door: &'a Door,
    id: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.door.forget(self.id);
    }
}

/// Why a connection ended early.
enum End {
    Gone,
    /// It took nothing of its replies for too long.
    Deaf,
    /// Its request, or its proof, took too long to arrive.
    Late,
    /// A browser that was sent here by a page.
    Foreign,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Gone
    }
}

struct Connection {
    socket: Socket,
    session: Session,
    decoder: Decoder,
    /// Since when a request is under way that is not complete.
    begun: Option<Stopwatch>,
    /// Since when it has to prove who it is.
    stranger_since: Option<Stopwatch>,
    door: Arc<Door>,
    stop: CancellationToken,
}

/// The place of a reply among those of a pipeline.
enum Slot {
    Ready(Reply, Protocol),
    /// The next answer of the store.
    Data(Shape, Protocol),
}

/// What a pipeline asks of the store so far, and the places of the replies.
#[derive(Default)]
struct Group {
    commands: Vec<Command>,
    slots: VecDeque<Slot>,
    long: usize,
}

impl Connection {
    async fn run(&mut self) -> Result<(), End> {
        tokio::select! {
            () = self.door.opens() => {}
            () = self.stop.cancelled() => {}
        }
        while !self.session.closing {
            let answered = self.turn().await?;
            self.flush().await?;
            if !answered && !self.session.closing {
                self.read().await?;
            }
        }
        Ok(())
    }

    /// Answers the requests that are here; false when there was none.
    async fn turn(&mut self) -> Result<bool, End> {
        let mut group = Group::default();
        let mut count = 0;
        self.session.look_again(&self.door);
        while count < PIPELINE_MAX && !self.session.closing {
            self.decoder.login_required = self.is_stranger();
            let request = match self.decoder.decode(&mut self.socket.input) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(broken) => {
                    tracing::debug!(client = %self.session.address, %broken, "not understood");
                    group.slots.push_back(Slot::Ready(broken.into(), self.session.protocol));
                    self.session.closing = true;
                    break;
                }
            };
            (count, self.begun) = (count + 1, None);
            self.take(request, &mut group).await?;
        }
        self.door.requests.fetch_add(count as u64, Ordering::Relaxed);
        self.finish(group).await?;
        Ok(count > 0)
    }

    /// Whether it has yet to prove who it is.
    fn is_stranger(&self) -> bool {
        self.session.who.is_none() && self.door.wants_proof()
    }

    /// Takes one request into the group, or answers it after what came before.
    async fn take(&mut self, mut request: Request, group: &mut Group) -> Result<(), End> {
        let scope = Scope { db: self.session.db, now: self.door.now() };
        if self.is_kept(&request) {
            request = request.detached();
        }
        let asked = match parse(&request, scope) {
            Ok(_) | Err(Wrong::WhenDone(_)) if self.is_barred(&request, group) => return Ok(()),
            Ok(asked) => asked,
            Err(_) if is_word(&request.name, "POST") || is_word(&request.name, "HOST:") => {
                return Err(End::Foreign);
            }
            Err(wrong) => {
                let reply = self.wrong(&request, wrong);
                group.slots.push_back(Slot::Ready(reply, self.session.protocol));
                return Ok(());
            }
        };
        if self.door.appliance().is_none() && needs_store(&request, &asked) {
            if let Some(multi) = &mut self.session.multi {
                multi.spoil();
            }
            group.slots.push_back(Slot::Ready(loading(), self.session.protocol));
            return Ok(());
        }
        if self.session.multi.is_some() && self.queue(&request, &asked, group) {
            return Ok(());
        }
        match asked {
            Asked::Data(ask) => {
                self.stand_for(&ask.command);
                group.add(ask, self.session.protocol);
                if group.long >= LONG_ANSWERS_MAX {
                    self.finish(std::mem::take(group)).await?;
                }
            }
            Asked::Wait(ask, limit) => {
                self.stand_for(&ask.command);
                self.finish(std::mem::take(group)).await?;
                self.wait(ask, limit).await?;
            }
            Asked::Text(lines) => {
                group.slots.push_back(Slot::Ready(help(lines), self.session.protocol));
            }
            Asked::Connection => match request.word().as_str() {
                "EXEC" => {
                    self.finish(std::mem::take(group)).await?;
                    self.exec().await?;
                }
                "FLUSHALL" | "FLUSHDB" => {
                    self.finish(std::mem::take(group)).await?;
                    let caller = Arc::new(self.session.caller(request.word().as_str()));
                    let reply = as_caller(caller, self.flush_keys(&request)).await;
                    self.reply(&reply);
                }
                word => {
                    let protocol_before = self.session.protocol;
                    let reply = self.of_connection(word, &request);
                    // HELLO answers in the protocol that it chose.
                    let protocol = self.session.protocol;
                    let protocol = if word == "RESET" { protocol_before } else { protocol };
                    group.slots.push_back(Slot::Ready(reply, protocol));
                }
            },
        }
        Ok(())
    }

    /// Tells a client that may not do so; within a transaction that spoils all of it.
    fn is_barred(&mut self, request: &Request, group: &mut Group) -> bool {
        if !self.door.wants_proof() {
            return false;
        }
        let Some(reply) = barred(request, self.session.who.as_deref()) else { return false };
        if let Some(multi) = &mut self.session.multi {
            multi.spoil();
        }
        group.slots.push_back(Slot::Ready(reply, self.session.protocol));
        true
    }

    /// Whether a request may stay for long: then it must not hold on to the buffer it came in.
    fn is_kept(&self, request: &Request) -> bool {
        self.session.multi.is_some()
            || is_word(&request.name, "XREAD")
            || is_word(&request.name, "XREADGROUP")
    }

    /// What a request that is not understood is told; within a transaction perhaps later.
    fn wrong(&mut self, request: &Request, wrong: Wrong) -> Reply {
        let (reply, later) = match wrong {
            Wrong::Unknown => (request.unknown_command(), false),
            Wrong::AtOnce(malformed) => (request.malformed(malformed), false),
            Wrong::WhenDone(malformed) => (request.malformed(malformed), true),
        };
        match &mut self.session.multi {
            Some(multi) if later => multi.add(request, Queued::Ready(reply)),
            Some(multi) => {
                multi.spoil();
                reply
            }
            None => reply,
        }
    }

    fn of_connection(&mut self, word: &str, request: &Request) -> Reply {
        match word {
            "MULTI" if self.session.multi.is_some() => {
                Reply::error("ERR MULTI calls can not be nested")
            }
            "MULTI" => {
                let before = (self.session.db, self.session.protocol);
                self.session.multi = Some(Multi::new(before));
                Reply::OK
            }
            "DISCARD" => match self.session.multi.take() {
                Some(multi) => {
                    (self.session.db, self.session.protocol) = multi.before;
                    Reply::OK
                }
                None => Reply::error("ERR DISCARD without MULTI"),
            },
            _ => {
                let door = self.door.clone();
                let reply = self.session.answer(request, &door);
                if matches!(word, "CLIENT" | "HELLO" | "SELECT" | "RESET") {
                    door.note(&self.session);
                }
                reply
            }
        }
    }

    /// Does what the group asks and writes its replies.
    async fn finish(&mut self, group: Group) -> Result<(), End> {
        let answers = self.ask(group.commands, false).await;
        self.write(group.slots, answers).await
    }

    /// Sends commands to the store.
    async fn ask(&self, commands: Vec<Command>, transaction: bool) -> Answers {
        match self.door.appliance() {
            Some(appliance) if !commands.is_empty() => {
                appliance.requests(commands, transaction).await
            }
            _ => Answers::new(),
        }
    }

    async fn write(&mut self, slots: VecDeque<Slot>, answers: Answers) -> Result<(), End> {
        let now = self.door.now();
        let mut answers = answers.into_iter();
        for slot in slots {
            match slot {
                Slot::Ready(reply, protocol) => reply.encode(protocol, &mut self.socket.output),
                Slot::Data(shape, protocol) => {
                    let answer = answers.next().unwrap_or_else(|| Err(unknown_outcome()));
                    let mut writer = Writer::new(&mut self.socket.output, protocol);
                    encode(&answer, &shape, protocol, now, &mut writer);
                }
            }
            if self.socket.output.len() >= OUT_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn reply(&mut self, reply: &Reply) {
        reply.encode(self.session.protocol, &mut self.socket.output);
    }

    /// Sends what is written. A client that takes nothing for too long is dropped.
    async fn flush(&mut self) -> Result<(), End> {
        self.socket.flush().await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => End::Deaf,
            _ => End::Gone,
        })
    }

    /// Waits for more input. Half a request is not waited for without an end.
    async fn read(&mut self) -> Result<(), End> {
        let wanted = self.decoder.room_wanted(self.socket.input.len());
        let patience = self.door.settings.request_timeout;
        let since = |begun: &mut Option<Stopwatch>| {
            patience.saturating_sub(begun.get_or_insert_with(Stopwatch::start).elapsed())
        };
        let under_way = (!self.socket.input.is_empty()).then(|| since(&mut self.begun));
        let proof = match self.is_stranger() {
            true => Some(since(&mut self.stranger_since)),
            false => {
                self.stranger_since = None;
                None
            }
        };
        let left = under_way.into_iter().chain(proof).min();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                self.session.closing = true;
                Ok(())
            }
            // Before the bytes: who sends one each moment has no more time than others.
            () = sleep(left.unwrap_or_default()), if left.is_some() => Err(End::Late),
            read = self.socket.fill(wanted) => match read? {
                0 => Err(End::Gone),
                _ => Ok(()),
            },
        }
    }

    /// A connection that reads for a consumer stands for it until it closes.
    fn stand_for(&mut self, command: &Command) {
        if let (Command::ReadGroup(read), Some(appliance)) = (command, self.door.appliance()) {
            let presence = || Places::new(appliance.presence().clone());
            let places = self.session.places.get_or_insert_with(presence);
            for (key, _) in &read.keys {
                places.stand_for(key, &read.group, &read.consumer);
            }
        }
    }
}

/// Whether a request has to wait for the store to be open. PING does, as in Redis: who asks for
/// life means the service, not the socket.
fn needs_store(request: &Request, asked: &Asked) -> bool {
    let of_store = ["FLUSHALL", "FLUSHDB", "PING", "WAIT", "FUNCTION", "MEMORY"];
    match asked {
        Asked::Connection => of_store.contains(&request.word().as_str()),
        Asked::Data(_) | Asked::Wait(..) | Asked::Text(_) => true,
    }
}

fn help(lines: &'static [&'static str]) -> Reply {
    Reply::array(lines.iter().map(|line| Reply::Simple(line)))
}

impl Group {
    fn add(&mut self, ask: Ask, protocol: Protocol) {
        self.long += usize::from(matches!(
            ask.command,
            Command::Range { .. }
                | Command::Read { .. }
                | Command::ReadGroup(_)
                | Command::StreamFull { .. }
                | Command::GetMany { .. }
        ));
        self.commands.push(ask.command);
        self.slots.push_back(Slot::Data(ask.shape, protocol));
    }
}
