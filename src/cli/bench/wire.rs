//! The bench's own ends of HTTP: a client that keeps its connection, and an agent that accepts
//! everything. Both do as little as possible, so that what is measured is the appliance.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    pub async fn post(&mut self, path: &str, body: &str) -> io::Result<(u16, &[u8])> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.exchange(head.as_bytes()).await
    }

    pub async fn get(&mut self, path: &str) -> io::Result<(u16, &[u8])> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.exchange(head.as_bytes()).await
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (start, length) = read_message(&mut self.stream, &mut self.buffer).await?;
        let status =
            std::str::from_utf8(&self.buffer[9..12]).ok().and_then(|text| text.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status line"))?;
        Ok((status, &self.buffer[start..start + length]))
    }
}

/// Reads head and body; gives where the body starts and how long it is.
async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<(usize, usize)> {
    loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            let start = end + 4;
            let length = content_length(&buffer[..end]);
            while buffer.len() < start + length {
                if stream.read_buf(buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            return Ok((start, length));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head);
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    line.unwrap_or(0)
}

/// Starts an agent that completes every run at once.
pub async fn agent() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let next = Arc::new(AtomicI64::new(1));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, next.clone()));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream, next: Arc<AtomicI64>) {
    // Without this each answer waits for the other side's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        buffer.clear();
        if read_message(&mut stream, &mut buffer).await.is_err() {
            return;
        }
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = format!("{{\"run_id\":{number},\"done\":true,\"output\":{{\"ok\":true}}}}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
