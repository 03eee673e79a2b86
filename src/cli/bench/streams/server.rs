//! The server that is measured: where it listens, how to log in, and the memory that it takes.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde_json::json;

use super::connection::Connection;

const PORT: u16 = 6_379;

/// `redis://[USER:PASSWORD@]HOST[:PORT]`. Prints without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Host and port, as connecting takes them.
    pub address: String,
    /// User, if not the default one, and password.
    pub login: Option<(Option<String>, String)>,
    /// The process, where its memory is asked for.
    pub pid: Option<u32>,
    /// It is the appliance in this process, which figures need not name.
    here: bool,
}

impl Server {
    /// The appliance in this process. The memory of the process is also that of the load.
    pub fn here(address: SocketAddr) -> Server {
        let pid = Some(std::process::id());
        Server { address: address.to_string(), login: None, pid, here: true }
    }

    /// What stands beside figures: nothing for the appliance in this process.
    pub fn told(&self) -> String {
        if self.here { String::new() } else { self.to_string() }
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Server, String> {
        // The text may hold a password, so it is not repeated.
        let wrong = || "expected `redis://[USER:PASSWORD@]HOST[:PORT]`".to_owned();
        let url: url::Url = text.parse().map_err(|_| wrong())?;
        let plain = matches!(url.path(), "" | "/") && url.query().is_none();
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(wrong());
        };
        if url.scheme() != "redis" || !plain || url.fragment().is_some() {
            return Err(wrong());
        }
        let user = (!url.username().is_empty()).then(|| url.username().to_owned());
        let login = match (user, url.password()) {
            (user, Some(password)) => Some((user, password.to_owned())),
            (None, None) => None,
            (Some(_), None) => return Err(wrong()),
        };
        let port = url.port().unwrap_or(PORT);
        Ok(Server { address: format!("{host}:{port}"), login, pid: None, here: false })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://{}", self.address)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The memory of a server at one moment; what is not known is left out.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What the server says of itself.
    used_bytes: Option<u64>,
    /// What the kernel says of its process.
    resident_bytes: Option<u64>,
}

impl Memory {
    pub async fn of(server: &Server) -> Result<Memory, String> {
        let mut connection = Connection::open(server).await?;
        let answer = connection.call(&["INFO", "memory"]).await?;
        let used_bytes = line_value(&answer.text, "used_memory:").and_then(|n| n.parse().ok());
        Ok(Memory { used_bytes, resident_bytes: server.pid.and_then(resident_bytes) })
    }

    pub fn print(&self, server: &Server, entries: u64, json: bool) {
        if json {
            say!(
                "{}",
                json!({
                    "what": "memory", "server": server.told(), "entries": entries,
                    "used_bytes": self.used_bytes, "resident_bytes": self.resident_bytes,
                })
            );
            return;
        }
        let mib = |bytes: Option<u64>| match bytes {
            Some(bytes) => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
            None => "unknown".to_owned(),
        };
        say!(
            "{:<34} used {}, resident {}   {}",
            format!("memory with {entries} entries"),
            mib(self.used_bytes),
            mib(self.resident_bytes),
            server.told(),
        );
    }
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: u64 = line_value(&status, "VmRSS:")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// What follows `name` at the start of a line.
fn line_value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_urls() {
        for (text, address, login) in [
            ("redis://127.0.0.1:6380", "127.0.0.1:6380", None),
            ("redis://localhost/", "localhost:6379", None),
            ("redis://[::1]:1", "[::1]:1", None),
            ("redis://:secret@a:1", "a:1", Some((None, "secret".to_owned()))),
            ("redis://me:secret@a:1", "a:1", Some((Some("me".to_owned()), "secret".to_owned()))),
        ] {
            let server: Server = text.parse().unwrap();
            assert_eq!((server.address.as_str(), server.login.clone()), (address, login), "{text}");
            assert_eq!(server.to_string(), format!("redis://{address}"));
            assert!(!format!("{server:?}").contains("secret"), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "",
            "127.0.0.1:6379",
            "http://a:1",
            "rediss://a:1",
            "redis://",
            "redis://a:1/0",
            "redis://a:99999",
            "redis://me@a:1",
            "redis://a:1?db=1",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_found_in_its_line() {
        let info = "# Memory\r\nused_memory:1234\r\nused_memory_human:1.2K\r\n";
        assert_eq!(line_value(info, "used_memory:"), Some("1234"));
        assert_eq!(line_value(info, "maxmemory:"), None);
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 1 << 20));
    }
}
