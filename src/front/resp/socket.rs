//! The socket of one connection: a buffer to read into and one to write out of, with limits.
//!
//! While nothing is to be read and nothing is buffered no buffer is held: ten thousand silent
//! connections cost little. A client that takes nothing of its replies is given up after a while;
//! until then what it sends is read on, up to a limit, because many clients send a whole pipeline
//! before they read the first reply, and both sides would wait for each other for ever.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::front::stream::Stream;

/// Bytes that are read ahead while the connection is busy: with a reader that waits, or with a
/// client that does not read.
pub const AHEAD_BYTES_MAX: usize = 8 << 20;
/// Room for each piece that is read ahead.
const AHEAD_BYTES: usize = 16 << 10;
/// How much of what a client still sends is thrown away when its connection is closed, and how
/// long that may take. Closing over unread bytes would reset the connection, and a reset may
/// overtake the last reply.
const LINGER_BYTES_MAX: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    pub input: BytesMut,
    pub output: BytesMut,
    /// How long a client may take nothing of its replies.
    write_stall_timeout: Duration,
}

impl Socket {
    pub fn new(stream: Stream, write_stall_timeout: Duration) -> Socket {
        Socket { stream, input: BytesMut::new(), output: BytesMut::new(), write_stall_timeout }
    }

    /// Waits for bytes and reads them into a buffer with at least so much room; 0 is the end.
    pub async fn fill(&mut self, room: usize) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(room, cx)).await
    }

    fn poll_fill(&mut self, room: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let polled = match self.stream.poll_read_ready(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ready) => {
                ready?;
                self.input.reserve(room);
                pin!(self.stream.read_buf(&mut self.input)).poll(cx)
            }
        };
        if polled.is_pending() {
            self.release();
        }
        polled
    }

    /// Gives buffers back that hold nothing.
    fn release(&mut self) {
        for buffer in [&mut self.input, &mut self.output] {
            if buffer.is_empty() && buffer.capacity() > 0 {
                *buffer = BytesMut::new();
            }
        }
    }

    /// Reads ahead while there is room, else waits for ever; 0 is the end.
    pub async fn read_ahead(&mut self) -> io::Result<usize> {
        if self.input.len() >= AHEAD_BYTES_MAX {
            return std::future::pending().await;
        }
        self.fill(AHEAD_BYTES).await
    }

    /// Writes all that is there. A client that takes nothing for too long is a time-out.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.output.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let written = self.write_some().await?;
                    self.output.advance(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        // Under TLS the last record may still wait to be sent; elsewhere there is nothing to do.
        timeout(self.write_stall_timeout, self.stream.flush()).await.map_err(stalled)?
    }

    /// Writes something once that is possible, and reads ahead meanwhile.
    async fn write_some(&mut self) -> io::Result<usize> {
        // What its client has said when it says no more is still answered: it may be listening.
        let (mut open, stall) = (true, self.write_stall_timeout);
        let written = poll_fn(|cx| {
            if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                return Poll::Ready(match written? {
                    0 => Err(io::ErrorKind::WriteZero.into()),
                    written => Ok(written),
                });
            }
            while open && self.input.len() < AHEAD_BYTES_MAX {
                match self.poll_fill(AHEAD_BYTES, cx) {
                    Poll::Ready(read) => open = read? > 0,
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        });
        timeout(stall, written).await.map_err(stalled)?
    }

    /// Closes the connection such that what was written arrives.
    pub async fn close(mut self) {
        let lingering = async {
            self.stream.shutdown().await?;
            let mut taken = 0;
            while taken < LINGER_BYTES_MAX {
                self.input.clear();
                match self.fill(AHEAD_BYTES).await? {
                    0 => break,
                    read => taken += read,
                }
            }
            io::Result::Ok(())
        };
        // Whatever goes wrong, the connection ends now.
        let _ = timeout(LINGER, lingering).await;
    }
}

fn stalled(_: tokio::time::error::Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}
