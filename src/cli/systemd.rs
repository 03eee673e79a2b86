//! What a service manager is told, and what it hands over: `sd_notify` and socket activation, both by
//! hand. Without their variables in the environment nothing here does anything.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::app::Sockets;
use crate::appliance::Appliance;
use crate::base::time::monotonic_micros;

/// The first of the sockets that were handed over.
const FIRST_SOCKET: RawFd = 3;
/// Sockets that could be meant: one for each door.
const SOCKETS_MAX: usize = 2;
/// While the store recovers, this much more time is asked for, and asked for this often; more often
/// under a watchdog that is fed more often.
const MORE_TIME: Duration = Duration::from_secs(60);
const MORE_TIME_EVERY: Duration = Duration::from_secs(15);
/// The watchdog is fed so many times in its time.
const FEEDS_PER_TIMEOUT: u32 = 3;

/// The way to the service manager.
pub struct Manager {
    notify: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment describes it.
    pub fn from_env() -> Manager {
        let notify = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let opened = address(&name).and_then(|to| Ok((UnixDatagram::unbound()?, to)));
            opened
                .inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told"))
                .ok()
        });
        let mine = std::env::var("WATCHDOG_PID").map_or(true, |pid| is_mine(&pid));
        let micros = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        let watchdog = micros.filter(|_| mine).map(Duration::from_micros);
        Manager { notify, watchdog: watchdog.filter(|timeout| !timeout.is_zero()) }
    }

    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The settings are read again; [`ready`](Manager::ready) says when that is done.
    pub fn reloading(&self) {
        let micros = monotonic_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the settings"));
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is under way");
    }

    /// The start takes longer than usual, and goes on; told for ever.
    pub async fn ask_for_time(&self) -> Infallible {
        let feeds = self.watchdog.map(|timeout| timeout / FEEDS_PER_TIMEOUT);
        let every = feeds.map_or(MORE_TIME_EVERY, |every| every.min(MORE_TIME_EVERY));
        let micros = MORE_TIME.as_micros();
        loop {
            tokio::time::sleep(every).await;
            self.tell(&format!("EXTEND_TIMEOUT_USEC={micros}\nSTATUS=opening the store"));
        }
    }

    /// Feeds the watchdog for as long as the writer answers; for ever.
    pub async fn watch(&self, appliance: Appliance) {
        let Some(timeout) = self.watchdog else { return std::future::pending().await };
        loop {
            // A writer that hangs does not answer, and the watchdog starves.
            if appliance.writer_answers().await {
                self.tell("WATCHDOG=1");
            }
            tokio::time::sleep(timeout / FEEDS_PER_TIMEOUT).await;
        }
    }

    fn tell(&self, what: &str) {
        let Some((socket, to)) = &self.notify else { return };
        if let Err(error) = socket.send_to_addr(what.as_bytes(), to) {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

/// A path, or with `@` before it a name that no file has.
fn address(name: &OsString) -> std::io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(name),
    }
}

fn is_mine(pid: &str) -> bool {
    pid.parse() == Ok(std::process::id())
}

/// The sockets that were handed over: by their names `http` and `redis`, else in this order.
pub fn sockets() -> std::io::Result<Sockets> {
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    let mut sockets = Sockets::default();
    if !is_mine(&of("LISTEN_PID")) {
        return Ok(sockets);
    }
    let count = of("LISTEN_FDS").parse::<usize>().unwrap_or(0).min(SOCKETS_MAX);
    let names = of("LISTEN_FDNAMES");
    for (at, door) in doors(&names, count).into_iter().enumerate() {
        let listener = take(FIRST_SOCKET + at as RawFd)?;
        match door {
            Door::Http => sockets.http = Some(listener),
            Door::Redis => sockets.redis = Some(listener),
        }
    }
    Ok(sockets)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Http,
    Redis,
}

fn doors(names: &str, count: usize) -> Vec<Door> {
    let mut names = names.split(':');
    let of = |at: usize, name: Option<&str>| match (name, at) {
        (Some("http"), _) => Door::Http,
        (Some("redis"), _) => Door::Redis,
        (_, 0) => Door::Http,
        (_, _) => Door::Redis,
    };
    (0..count).map(|at| of(at, names.next())).collect()
}

#[expect(unsafe_code, reason = "a number is all that the service manager hands over")]
fn take(number: RawFd) -> std::io::Result<TcpListener> {
    // SAFETY: the manager says that these numbers are open and meant for this process, and they are
    // taken once, at the start, before anything else could own them.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let listener = TcpListener::from(socket);
    // Fails on what is no listening socket of the internet.
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_go_by_name_or_order() {
        for (names, count, expected) in [
            ("", 0, &[][..]),
            ("", 2, &[Door::Http, Door::Redis]),
            ("redis", 1, &[Door::Redis]),
            ("redis:http", 2, &[Door::Redis, Door::Http]),
            ("tidegate.socket:tidegate.socket", 2, &[Door::Http, Door::Redis]),
        ] {
            assert_eq!(doors(names, count), expected, "{names} {count}");
        }
    }

    #[test]
    fn abstract_names_have_no_file() {
        let abstract_name = address(&OsString::from("@tidegate/x")).unwrap();
        assert_eq!(abstract_name.as_abstract_name(), Some(&b"tidegate/x"[..]));
        let path = address(&OsString::from("/run/notify")).unwrap();
        assert_eq!(path.as_pathname(), Some(std::path::Path::new("/run/notify")));
    }
}
