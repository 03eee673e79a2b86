//! A world for tests of this door: a real appliance over a store in memory, and clients on sockets.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::door::{Door, Settings};
use super::server;
use crate::appliance::{self, Appliance};
use crate::base::time::{Clock, SystemClock};
use crate::engine::writer::Writer;
use crate::store::disk::Disk;

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub door: Arc<Door>,
    pub stop: CancellationToken,
    pub server: JoinHandle<()>,
    address: std::net::SocketAddr,
    writer: Writer,
    appliance: Appliance,
}

/// An open door with settings of its own.
pub async fn world(settings: Settings) -> World {
    let world = closed(settings).await;
    world.open();
    world
}

pub async fn default_world() -> World {
    world(Settings::default()).await
}

/// A door whose store is not open yet.
pub async fn closed(settings: Settings) -> World {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (appliance, writer) = appliance::start::start(
        Arc::new(Disk::in_memory().unwrap()),
        clock.clone(),
        appliance::Settings::default(),
        Box::new(|fault| panic!("the writer stopped: {fault}")),
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = Arc::new(Door::new(clock, settings, "f".repeat(40), address.port()));
    let stop = CancellationToken::new();
    let server = tokio::spawn(server::serve(listener, door.clone(), stop.clone()));
    World { door, stop, server, address, writer, appliance }
}

impl World {
    pub fn open(&self) {
        self.door.open(self.appliance.clone());
    }

    pub fn appliance(&self) -> &Appliance {
        &self.appliance
    }

    pub async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn client(&self) -> Client {
        Client { socket: self.socket().await, seen: Vec::new() }
    }

    /// A client that speaks the newer protocol.
    pub async fn client3(&self) -> Client {
        let mut client = self.client().await;
        assert!(client.ask("HELLO 3").await.starts_with("%7|"));
        client
    }

    /// Returns once so many readers wait.
    pub async fn parked(&self, count: usize) {
        self.until(|| self.appliance.writer_figures().parked == count).await;
    }

    /// Returns once something is so; what is looked at has no signal of its own.
    pub async fn until(&self, is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it never became so");
    }

    /// Stops the writer, but no connection.
    pub async fn stop_writer(self, client: Client) -> Client {
        tokio::task::spawn_blocking(|| self.writer.stop()).await.unwrap();
        client
    }

    pub async fn stops(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.server).await.unwrap().unwrap();
        tokio::task::spawn_blocking(|| self.writer.stop()).await.unwrap();
    }
}

pub struct Client {
    pub socket: TcpStream,
    seen: Vec<u8>,
}

impl Client {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a request as clients do: its words are parted by blanks.
    pub async fn say(&mut self, request: &str) {
        self.send(frame(request)).await;
    }

    /// Sends a request and gives its reply as it came, with bars for the ends of lines.
    pub async fn ask(&mut self, request: &str) -> String {
        self.say(request).await;
        self.reply().await
    }

    /// Sends requests one by one, and compares the reply to each.
    pub async fn story(&mut self, lines: &[(&str, &str)]) {
        for (request, reply) in lines {
            assert_eq!(self.ask(request).await, *reply, "{request}");
        }
    }

    /// The next reply, with bars for the ends of lines.
    pub async fn reply(&mut self) -> String {
        let reading = async {
            loop {
                if let Some(end) = end_of_reply(&self.seen, 0) {
                    let reply: Vec<u8> = self.seen.drain(..end).collect();
                    return String::from_utf8_lossy(&reply).replace("\r\n", "|");
                }
                let read = self.socket.read_buf(&mut self.seen).await.unwrap();
                assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&self.seen));
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a reply")
    }

    /// Everything until the server closes.
    pub async fn rest(mut self) -> String {
        // A reset is a close too.
        let read = self.socket.read_to_end(&mut self.seen);
        let _ = tokio::time::timeout(PATIENCE, read).await.expect("the server closes");
        String::from_utf8_lossy(&self.seen).replace("\r\n", "|")
    }
}

/// The bytes of a request.
pub fn frame(request: &str) -> Vec<u8> {
    let words: Vec<_> = request.split(' ').collect();
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out += &format!("${}\r\n{word}\r\n", word.len());
    }
    out.into_bytes()
}

/// Where the reply ends that begins at `start`, if it is complete.
fn end_of_reply(bytes: &[u8], start: usize) -> Option<usize> {
    let line = bytes[start..].windows(2).position(|two| two == b"\r\n")? + start;
    let behind = line + 2;
    let number = || std::str::from_utf8(&bytes[start + 1..line]).unwrap().parse::<i64>().unwrap();
    let many = |count: i64| (0..count).try_fold(behind, |at, _| end_of_reply(bytes, at));
    match bytes[start] {
        b'$' | b'=' if number() >= 0 => {
            let end = behind + number() as usize + 2;
            (end <= bytes.len()).then_some(end)
        }
        b'*' | b'~' | b'>' => many(number()),
        b'%' => many(number() * 2),
        _ => Some(behind),
    }
}
