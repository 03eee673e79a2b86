//! The binary under a service manager: what it tells, and sockets that it is handed.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::world::PATIENCE;

fn serve(dir: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["serve", "--http", "127.0.0.1:0", "--redis", "127.0.0.1:0", "--data-dir"])
        .arg(dir)
        .env("TIDEGATE_LOG", "warn")
        .stdout(Stdio::null());
    command
}

/// The next datagram that holds `wanted`.
fn hear(socket: &UnixDatagram, wanted: &str) -> String {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 512];
    loop {
        let length = socket.recv(&mut bytes).unwrap_or_else(|why| panic!("no {wanted}: {why}"));
        let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if said.lines().any(|line| line == wanted || line.starts_with(wanted)) {
            return said;
        }
    }
}

fn end(mut child: Child) -> i32 {
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(told.unwrap().success());
    child.wait().unwrap().code().unwrap_or(-1)
}

#[test]
fn manager_is_told_of_start_life_and_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let by_path = UnixDatagram::bind(&path).unwrap();
    let name = format!("tidegate-test-{}", std::process::id());
    let by_name = SocketAddr::from_abstract_name(&name).unwrap();
    let by_name = UnixDatagram::bind_addr(&by_name).unwrap();
    for (socket, place) in
        [(by_path, path.to_str().unwrap().to_owned()), (by_name, format!("@{name}"))]
    {
        let child = serve(&dir.path().join("data"))
            .env("NOTIFY_SOCKET", place)
            .env("WATCHDOG_USEC", "300000")
            .spawn()
            .unwrap();
        let ready = hear(&socket, "READY=1");
        assert!(ready.contains("STATUS=http://127.0.0.1:"), "{ready}");
        for _ in 0..3 {
            hear(&socket, "WATCHDOG=1");
        }
        let hung_up = Command::new("kill").args(["-HUP", &child.id().to_string()]).status();
        assert!(hung_up.unwrap().success());
        let reloading = hear(&socket, "RELOADING=1");
        let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(since.is_some_and(|micros| micros.parse::<u64>().is_ok()), "{reloading}");
        hear(&socket, "READY=1");
        let ended = std::thread::spawn(move || end(child));
        hear(&socket, "STOPPING=1");
        assert_eq!(ended.join().unwrap(), 0);
    }
}

/// The file of the lock is a pipe here: it opens once there is somebody at its other end, so the
/// start takes as long as the test wants.
#[test]
fn more_time_is_asked_for_while_the_store_opens() {
    let dir = tempfile::tempdir().unwrap();
    let notify = dir.path().join("notify");
    let socket = UnixDatagram::bind(&notify).unwrap();
    let data = dir.path().join("data");
    let once = || serve(&data).env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "30000").spawn();
    let child = once().unwrap();
    hear(&socket, "READY=1");
    assert_eq!(end(child), 0);
    hear(&socket, "STOPPING=1");
    let lock = data.join("lock");
    std::fs::remove_file(&lock).unwrap();
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let child = once().unwrap();
    for _ in 0..3 {
        let asked = hear(&socket, "");
        assert_eq!(asked, "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=opening the store");
    }
    let other_end = std::fs::File::open(&lock).unwrap();
    hear(&socket, "READY=1");
    assert_eq!(end(child), 0);
    drop(other_end);
    // From then on it is the watchdog's turn.
    let said = hear(&socket, "");
    assert!(!said.contains("EXTEND_TIMEOUT_USEC"), "{said}");
}

#[test]
fn watchdog_of_another_process_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let child = serve(&dir.path().join("data"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1")
        .spawn()
        .unwrap();
    hear(&socket, "READY=1");
    assert_eq!(end(child), 0);
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut bytes = [0; 512];
    while let Ok(length) = socket.recv(&mut bytes) {
        assert!(!bytes[..length].starts_with(b"WATCHDOG"), "it fed what is not its own");
    }
}

/// The address in the configuration is not bound: the socket that is handed over counts.
#[test]
fn sockets_that_are_handed_over_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let notify = dir.path().join("notify");
    let socket = UnixDatagram::bind(&notify).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A shell puts it where the manager would, and says that it is meant for who takes its place.
    let script =
        "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=redis exec \"$@\"";
    let serve = serve(&dir.path().join("data"));
    let child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(serve.get_program())
        .args(serve.get_args())
        .env("NOTIFY_SOCKET", &notify)
        .env("TIDEGATE_LOG", "warn")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = hear(&socket, "READY=1");
    assert!(ready.contains(&format!("redis://{address}")), "{ready}");
    let mut redis = TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut redis, b"PING\r\n").unwrap();
    let mut pong = [0; 7];
    redis.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
    drop(redis);
    assert_eq!(end(child), 0);
}
