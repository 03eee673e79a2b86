//! Where HTTP connections come from, and who is at their other end.
//!
//! A port serves everyone who proves who they are. The socket in the data directory serves whoever
//! may open that file: its mode lets nobody in but the appliance's own user, who could read the
//! store as well, so its peers are trusted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::front::stream::Stream;
use crate::front::tls::Tls;

/// Name of the socket in the data directory.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// May read every file anyway.
const ROOT: u32 = 0;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Remote(SocketAddr),
    /// Came through the socket in the data directory, as this user of the machine.
    Local(u32),
    /// This very process, over a data directory that no appliance serves.
    Process,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Remote(address) => address.fmt(f),
            Peer::Local(user) => write!(f, "local user {user}"),
            Peer::Process => f.write_str("command line"),
        }
    }
}

/// Something that takes connections.
#[derive(Debug)]
pub enum Listening {
    /// Behind TLS, if there is a certificate.
    Port(TcpListener, Option<Tls>),
    /// With the user whose appliance it is.
    Local(UnixListener, u32),
}

impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Listening {
        Listening::Port(listener, None)
    }
}

impl Listening {
    /// The socket in `dir`. Whoever holds the lock of the directory may replace one that is there.
    pub fn in_dir(dir: &Path) -> io::Result<Listening> {
        let path = dir.join(ADMIN_SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let short = ShortPath::of(dir)?;
        let listener = UnixListener::bind(short.path())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(&path)?.uid();
        Ok(Listening::Local(listener, owner))
    }

    /// What connections of it shake hands with.
    pub fn tls(&self) -> Option<Tls> {
        match self {
            Listening::Port(_, tls) => tls.clone(),
            Listening::Local(..) => None,
        }
    }

    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listening::Port(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are written whole; waiting to fill a packet only delays their last one.
                // Fails only on a connection that is gone, which the first read will notice.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Peer::Remote(peer)))
            }
            Listening::Local(listener, owner) => loop {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred()?.uid();
                // Somebody else may have come in the moment before the file had its mode.
                if user == ROOT || user == *owner {
                    return Ok((Stream::Unix(stream), Peer::Local(user)));
                }
                tracing::warn!(user, "another user of this machine was turned away");
            },
        }
    }
}

/// The socket by a path of any directory that is short enough: addresses of sockets have some
/// hundred bytes, paths of data directories may have more.
pub enum ShortPath {
    /// As it is; the way around wants `/proc`, which is not everywhere.
    Plain(PathBuf),
    Long(std::fs::File),
}

/// Bytes of a path that an address of a socket has room for on every Unix.
const SOCKET_PATH_BYTES_MAX: usize = 100;

impl ShortPath {
    pub fn of(dir: &Path) -> io::Result<ShortPath> {
        let plain = dir.join(ADMIN_SOCKET);
        match plain.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            true => Ok(ShortPath::Plain(plain)),
            false => Ok(ShortPath::Long(std::fs::File::open(dir)?)),
        }
    }

    /// Good for as long as this value lives.
    pub fn path(&self) -> PathBuf {
        match self {
            ShortPath::Plain(path) => path.clone(),
            ShortPath::Long(dir) => {
                PathBuf::from(format!("/proc/self/fd/{}/{ADMIN_SOCKET}", dir.as_raw_fd()))
            }
        }
    }
}
