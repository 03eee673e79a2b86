//! One client: reads requests, lets those of one pipeline share a commit, writes the replies.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::asked::{Ask, Asked, Shape};
use super::door::Door;
use super::encode::encode;
use super::frame::Decoder;
use super::parse::{Scope, Wrong, parse};
use super::reply::Reply;
use super::request::Request;
use super::session::{Multi, QUEUED_MAX, Queued, Session};
use super::writer::{Protocol, Writer};
use crate::appliance::requests::{Answer, Answers, Command};
use crate::base::time::Span;
use crate::model::refusal::Refusal;

/// Requests of one pipeline that are answered together.
const PIPELINE_MAX: usize = 1_024;
/// Commands with long answers among them.
const LONG_ANSWERS_MAX: usize = 8;
/// Bytes of replies from which they are sent before further ones are made.
const OUT_BYTES: usize = 256 * 1_024;
/// Room of a buffer that is kept while the client is silent.
const ROOM_KEPT: usize = 32 * 1_024;
/// Bytes that are read ahead while a client waits in a blocking command.
const READ_AHEAD_MAX: usize = 1 << 20;
/// Keys that FLUSHDB removes in one commit.
const FLUSHED_TOGETHER: usize = 10_000;

/// Serves a client until it goes, breaks the protocol, or the server stops.
pub async fn serve(socket: TcpStream, address: String, door: Arc<Door>, stop: CancellationToken) {
    let session = Session::new(door.next_id(), address, &door);
    door.note(&session);
    let id = session.id;
    let mut connection = Connection {
        socket,
        session,
        decoder: Decoder::new(door.settings.limits),
        input: BytesMut::new(),
        output: BytesMut::new(),
        door: door.clone(),
        stop,
    };
    match connection.run().await {
        Ok(()) => {}
        Err(End::Gone) => {}
        Err(End::Slow) => {
            let client = &connection.session.address;
            tracing::warn!(%client, "a client that does not read its replies was dropped");
        }
        Err(End::Foreign) => {
            let client = &connection.session.address;
            tracing::warn!(%client, "something that speaks HTTP was turned away");
        }
    }
    door.forget(id);
}

/// Why a connection ended early.
enum End {
    Gone,
    /// It took nothing for too long.
    Slow,
    /// A browser that was sent here by a page.
    Foreign,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Gone
    }
}

struct Connection {
    socket: TcpStream,
    session: Session,
    decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
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
        while !self.session.closing {
            let answered = self.turn().await?;
            self.flush().await?;
            if !answered && !self.session.closing {
                self.read().await?;
            }
        }
        let _ = self.socket.shutdown().await;
        Ok(())
    }

    /// Answers the requests that are here; false when there was none.
    async fn turn(&mut self) -> Result<bool, End> {
        let mut group = Group::default();
        let mut count = 0;
        while count < PIPELINE_MAX && !self.session.closing {
            let request = match self.decoder.decode(&mut self.input) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(broken) => {
                    group.slots.push_back(Slot::Ready(broken.into(), self.session.protocol));
                    self.session.closing = true;
                    break;
                }
            };
            count += 1;
            self.take(request, &mut group).await?;
        }
        self.door.requests.fetch_add(count as u64, Ordering::Relaxed);
        self.finish(group).await?;
        Ok(count > 0)
    }

    /// Takes one request into the group, or answers it after what came before.
    async fn take(&mut self, request: Request, group: &mut Group) -> Result<(), End> {
        let scope = Scope { db: self.session.db, now: self.door.appliance.now() };
        let asked = match parse(&request, scope) {
            Ok(asked) => asked,
            Err(wrong) => {
                if request.name.eq_ignore_ascii_case(b"POST")
                    || request.name.eq_ignore_ascii_case(b"HOST:")
                {
                    return Err(End::Foreign);
                }
                let reply = self.wrong(&request, wrong);
                group.slots.push_back(Slot::Ready(reply, self.session.protocol));
                return Ok(());
            }
        };
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
                let reply = Reply::array(lines.iter().map(|line| Reply::Simple(line)));
                group.slots.push_back(Slot::Ready(reply, self.session.protocol));
            }
            Asked::Connection => match request.word().as_str() {
                "EXEC" => {
                    self.finish(std::mem::take(group)).await?;
                    self.exec().await?;
                }
                "FLUSHALL" | "FLUSHDB" => {
                    self.finish(std::mem::take(group)).await?;
                    let reply = self.flush_keys(&request).await;
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

    /// What a request that is not understood is told; within a transaction perhaps later.
    fn wrong(&mut self, request: &Request, wrong: Wrong) -> Reply {
        let (reply, later) = match wrong {
            Wrong::Unknown => (request.unknown_command(), false),
            Wrong::AtOnce(malformed) => (request.malformed(malformed), false),
            Wrong::WhenDone(malformed) => (request.malformed(malformed), true),
        };
        match &mut self.session.multi {
            Some(multi) if later && multi.queued.len() < QUEUED_MAX => {
                multi.queued.push(Queued::Ready(reply));
                Reply::QUEUED
            }
            Some(multi) => {
                multi.broken = true;
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
                self.session.multi = Some(Multi { before, ..Multi::default() });
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

    /// Queues a request of a transaction; false for those that are done at once.
    fn queue(&mut self, request: &Request, asked: &Asked, group: &mut Group) -> bool {
        let protocol = self.session.protocol;
        let Some(multi) = &mut self.session.multi else { return false };
        let ask = match asked {
            // Within a transaction nobody waits.
            Asked::Data(ask) | Asked::Wait(ask, _) => ask.clone(),
            Asked::Text(_) => return false,
            Asked::Connection => match request.word().as_str() {
                "EXEC" | "DISCARD" | "MULTI" | "RESET" | "QUIT" => return false,
                "FLUSHALL" => flush_ask(None),
                "FLUSHDB" => flush_ask(Some(self.session.db)),
                // Nobody else sees it: what it changes may change now.
                _ => {
                    let door = self.door.clone();
                    let reply = self.session.answer(request, &door);
                    if let Some(multi) = &mut self.session.multi {
                        multi.queued.push(Queued::Ready(reply));
                    }
                    group.slots.push_back(Slot::Ready(Reply::QUEUED, protocol));
                    return true;
                }
            },
        };
        let reply = match multi.queued.len() < QUEUED_MAX {
            true => {
                multi.queued.push(Queued::Ask(ask));
                Reply::QUEUED
            }
            false => {
                multi.broken = true;
                Reply::error(format!("ERR a transaction holds at most {QUEUED_MAX} commands"))
            }
        };
        group.slots.push_back(Slot::Ready(reply, protocol));
        true
    }

    async fn exec(&mut self) -> Result<(), End> {
        let Some(multi) = self.session.multi.take() else {
            self.reply(&Reply::error("ERR EXEC without MULTI"));
            return Ok(());
        };
        if multi.broken {
            (self.session.db, self.session.protocol) = multi.before;
            let text = "EXECABORT Transaction discarded because of previous errors.";
            self.reply(&Reply::error(text));
            return Ok(());
        }
        let protocol = self.session.protocol;
        let (mut commands, mut group) = (Vec::new(), Group::default());
        for queued in multi.queued {
            match queued {
                Queued::Ask(ask) => {
                    self.stand_for(&ask.command);
                    commands.push(ask.command);
                    group.slots.push_back(Slot::Data(ask.shape, protocol));
                }
                Queued::Ready(reply) => group.slots.push_back(Slot::Ready(reply, protocol)),
            }
        }
        let answers = match commands.is_empty() {
            true => Answers::new(),
            false => self.door.appliance.requests(commands, true).await,
        };
        Writer::new(&mut self.output, protocol).array(group.slots.len());
        self.write(group.slots, answers).await
    }

    /// Does what the group asks and writes its replies.
    async fn finish(&mut self, group: Group) -> Result<(), End> {
        let answers = match group.commands.is_empty() {
            true => Answers::new(),
            false => self.door.appliance.requests(group.commands, false).await,
        };
        self.write(group.slots, answers).await
    }

    async fn write(&mut self, slots: VecDeque<Slot>, answers: Answers) -> Result<(), End> {
        let now = self.door.appliance.now();
        let mut answers = answers.into_iter();
        for slot in slots {
            match slot {
                Slot::Ready(reply, protocol) => reply.encode(protocol, &mut self.output),
                Slot::Data(shape, protocol) => {
                    let missing = || Err(crate::appliance::requests::unknown_outcome());
                    let answer = answers.next().unwrap_or_else(missing);
                    let mut writer = Writer::new(&mut self.output, protocol);
                    encode(&answer, &shape, protocol, now, &mut writer);
                }
            }
            if self.output.len() >= OUT_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn reply(&mut self, reply: &Reply) {
        reply.encode(self.session.protocol, &mut self.output);
    }

    /// Sends what is written. A client that takes nothing for too long is dropped.
    async fn flush(&mut self) -> Result<(), End> {
        while !self.output.is_empty() {
            let sent = self.socket.write_buf(&mut self.output);
            match timeout(self.door.settings.write_stall_timeout, sent).await {
                Ok(Ok(0)) => return Err(End::Gone),
                Ok(sent) => drop(sent?),
                Err(_) => return Err(End::Slow),
            }
        }
        if self.output.capacity() > OUT_BYTES {
            self.output = BytesMut::new();
        }
        Ok(())
    }

    /// Waits for more input.
    async fn read(&mut self) -> Result<(), End> {
        // An idle client costs no buffer.
        if self.input.is_empty() && self.input.capacity() > ROOM_KEPT {
            self.input = BytesMut::new();
        }
        let wanted = self.decoder.room_wanted(self.input.len());
        self.input.reserve(wanted);
        let started = !self.input.is_empty();
        let patience = self.door.settings.request_timeout;
        tokio::select! {
            read = self.socket.read_buf(&mut self.input) => match read? {
                0 => Err(End::Gone),
                _ => Ok(()),
            },
            // Half a request is not waited for without an end.
            () = sleep(patience), if started => Err(End::Gone),
            () = self.stop.cancelled() => {
                self.session.closing = true;
                Ok(())
            }
        }
    }

    /// Reads for the client until there is something, its patience ends, or it goes.
    async fn wait(&mut self, ask: Ask, limit: Option<Span>) -> Result<(), End> {
        self.flush().await?;
        let enough = async {
            match limit {
                Some(span) => sleep(std::time::Duration::from_millis(span.0.unsigned_abs())).await,
                None => std::future::pending().await,
            }
        };
        let appliance = self.door.appliance.clone();
        let read = appliance.read_blocking(ask.command, enough);
        tokio::pin!(read);
        let answer = loop {
            let room = self.input.len() < READ_AHEAD_MAX;
            if room {
                self.input.reserve(ROOM_KEPT.min(4_096));
            }
            tokio::select! {
                biased;
                answer = &mut read => break answer,
                more = self.socket.read_buf(&mut self.input), if room => {
                    if more? == 0 {
                        // Dropping the read takes the reader back.
                        return Err(End::Gone);
                    }
                }
                () = self.stop.cancelled() => {
                    self.session.closing = true;
                    break Ok(Answer::Read(Vec::new()));
                }
            }
        };
        let protocol = self.session.protocol;
        let slots = VecDeque::from([Slot::Data(ask.shape, protocol)]);
        self.write(slots, vec![answer]).await
    }

    /// A connection that reads for a consumer stands for it until it closes.
    fn stand_for(&mut self, command: &Command) {
        if let Command::ReadGroup(read) = command {
            for (key, _) in &read.keys {
                self.session.places.stand_for(key, &read.group, &read.consumer);
            }
        }
    }

    async fn one(&self, command: Command) -> Result<Answer, Refusal> {
        let answers = self.door.appliance.requests(vec![command], false).await;
        answers.into_iter().next().unwrap_or(Err(crate::appliance::requests::unknown_outcome()))
    }

    /// Removes the keys of one database or of all, part by part.
    async fn flush_keys(&self, request: &Request) -> Reply {
        let all = request.word().as_str() == "FLUSHALL";
        let fits = match &request.args[..] {
            [] => true,
            [how] => how.eq_ignore_ascii_case(b"ASYNC") || how.eq_ignore_ascii_case(b"SYNC"),
            _ => false,
        };
        if !fits {
            return Reply::error("ERR syntax error");
        }
        let db = (!all).then_some(self.session.db);
        loop {
            match self.one(Command::Flush { db, limit: FLUSHED_TOGETHER }).await {
                Ok(Answer::Count(removed)) if removed as usize >= FLUSHED_TOGETHER => {}
                Ok(_) => return Reply::OK,
                Err(refusal) => return Reply::error(super::encode::words(&refusal, &Shape::Plain)),
            }
        }
    }
}

fn flush_ask(db: Option<u8>) -> Ask {
    Ask { command: Command::Flush { db, limit: FLUSHED_TOGETHER }, shape: Shape::Ok }
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
