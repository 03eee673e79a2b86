//! The bench's own end of the Redis protocol: sends what is ready made, counts what comes back.
//!
//! It does as little as possible, so that what is measured is the server. An error among the
//! replies ends the measurement: a load of which a part is refused is another load.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::request;
use super::scan::{Scanner, Value};
use super::server::Server;

/// Room to read into: two full answers to a reader.
const READ_BYTES: usize = 64 << 10;

pub struct Connection {
    server: String,
    stream: TcpStream,
    scanner: Scanner,
    buffer: Box<[u8]>,
    /// The part of the buffer that is read and not scanned.
    start: usize,
    end: usize,
}

/// What can be asked of the answer to a single request: its first number and its first text.
#[derive(Debug, Default)]
pub struct Answer {
    pub integer: Option<i64>,
    pub text: String,
}

impl Connection {
    /// Connects, and logs in where the address says how.
    pub async fn open(server: &Server) -> Result<Connection, String> {
        let stream = TcpStream::connect(&server.address).await;
        let stream = stream.map_err(|error| format!("`{server}` cannot be reached: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("`{server}`: {error}"))?;
        let mut connection = Connection {
            server: server.to_string(),
            stream,
            scanner: Scanner::default(),
            buffer: vec![0; READ_BYTES].into(),
            start: 0,
            end: 0,
        };
        match &server.login {
            None => {}
            Some((None, password)) => {
                connection.call(&["AUTH", password]).await?;
            }
            Some((Some(user), password)) => {
                connection.call(&["AUTH", user, password]).await?;
            }
        }
        Ok(connection)
    }

    /// As many as the shape of a load wants.
    pub async fn open_many(server: &Server, count: usize) -> Result<Vec<Connection>, String> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Connection::open(server).await?);
        }
        Ok(connections)
    }

    /// One request and its answer, for what is not measured.
    pub async fn call(&mut self, parts: &[&str]) -> Result<Answer, String> {
        self.send(&request::of(parts)).await?;
        let (mut integer, mut text) = (None, None);
        self.reply(|value| match value {
            Value::Integer(value) => integer = integer.or(Some(value)),
            Value::Simple(bytes) | Value::Bulk(bytes) => {
                text.get_or_insert_with(|| String::from_utf8_lossy(bytes).into_owned());
            }
            Value::Error(_) | Value::Null | Value::Array(_) => {}
        })
        .await?;
        Ok(Answer { integer, text: text.unwrap_or_default() })
    }

    pub async fn send(&mut self, requests: &[u8]) -> Result<(), String> {
        let sent = self.stream.write_all(requests).await;
        sent.map_err(|error| self.broken(&error))
    }

    /// Waits for as many replies, of which only their being no errors matters.
    pub async fn replies(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            self.reply(|_| ()).await?;
        }
        Ok(())
    }

    /// Waits for one reply and shows each of its parts to `see`.
    pub async fn reply(&mut self, mut see: impl FnMut(Value<'_>)) -> Result<(), String> {
        loop {
            let mut input = &self.buffer[self.start..self.end];
            loop {
                let part = match self.scanner.next(&mut input) {
                    Ok(Some(part)) => part,
                    Ok(None) => break,
                    Err(malformed) => return Err(format!("`{}`: {malformed}", self.server)),
                };
                self.start = self.end - input.len();
                if let Value::Error(message) = part.value {
                    let message = String::from_utf8_lossy(message);
                    return Err(format!("`{}` answered: {message}", self.server));
                }
                see(part.value);
                if part.ends_reply {
                    return Ok(());
                }
            }
            (self.start, self.end) = (0, 0);
            self.end = match self.stream.read(&mut self.buffer).await {
                Ok(0) => return Err(self.broken(&io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(error) => return Err(self.broken(&error)),
            };
        }
    }

    fn broken(&self, error: &io::Error) -> String {
        format!("`{}`: the connection is broken: {error}", self.server)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A connection to a server that takes one request and answers with these pieces.
    async fn connected(pieces: &'static [&'static str]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut request = [0; 1_024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        Connection::open(&format!("redis://{address}").parse().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn answer_keeps_first_number_and_text() {
        let mut connection = connected(&["*3\r\n:7\r", "\n$3\r\n1-0\r\n$3\r\n1-", "1\r\n"]).await;
        let answer = connection.call(&["XPENDING", "s", "g"]).await.unwrap();
        assert_eq!((answer.integer, answer.text.as_str()), (Some(7), "1-0"));
    }

    #[tokio::test]
    async fn error_among_replies_ends_the_load() {
        let mut connection = connected(&["+OK\r\n-ERR ", "full\r\n+OK\r\n"]).await;
        connection.send(&request::of(&["PING"]).repeat(3)).await.unwrap();
        let refused = connection.replies(3).await.unwrap_err();
        assert!(refused.ends_with("answered: ERR full"), "{refused}");
    }

    #[tokio::test]
    async fn closed_connection_is_told() {
        let mut connection = connected(&["+OK\r\n"]).await;
        let broken = connection.call(&["PING"]).await;
        assert!(broken.is_ok());
        assert!(connection.replies(1).await.unwrap_err().contains("is broken"));
    }
}
