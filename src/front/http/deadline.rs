//! How long a client may take: deadlines around a connection and a request's body.
//!
//! hyper has one timer, for heads, and it runs while a connection is idle too. One limit cannot
//! serve both: ten seconds are too long for a head that is on its way and too short for a
//! connection kept for later. So a [`Phase`] says what the connection is doing, and a [`Watchdog`]
//! beside it gives each phase its own limit:
//!
//! ```text
//! head --request is here--> busy --answer has ended--> idle --first byte--> head
//! ```
//!
//! Nothing is timed while busy: how long an answer takes is its handler's business, and what the
//! client does meanwhile has limits of its own ([`TimedBody`], and the write side of
//! [`WatchedSocket`]). The watchdog does not sit in the socket's reads, because hyper does not
//! ask again for bytes once it knows that there are none.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection is doing, shared by its socket, its service and its watchdog.
///
/// Holds the phase in the two lowest bits and above them a count of changes, so that the watchdog
/// sees a phase that was left and entered again.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<AtomicU64>);

/// A head is being read, or awaited on a fresh connection.
const HEAD: u64 = 0;
/// A request is being answered.
const BUSY: u64 = 1;
/// Between two requests.
const IDLE: u64 = 2;

const PHASE_MASK: u64 = 3;
const ONE_CHANGE: u64 = 4;

impl Phase {
    /// A request is here.
    pub(super) fn busy(&self) {
        self.enter(BUSY);
    }

    // Mostly one task reads and writes it; a lost change of a count would lengthen one limit.
    fn enter(&self, phase: u64) {
        let count = self.get() & !PHASE_MASK;
        self.0.store(count.wrapping_add(ONE_CHANGE) | phase, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn is(&self, phase: u64) -> bool {
        self.get() & PHASE_MASK == phase
    }
}

/// A timer that is made at the first wait and set again at later ones.
#[derive(Debug, Default)]
struct Timer {
    /// Kept for the next time: setting it again is cheaper than making another.
    sleep: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Timer {
    fn stop(&mut self) {
        self.running = false;
    }

    /// Ready once `after` has passed since the first call after a [`Timer::stop`].
    fn poll(&mut self, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if !self.running {
                    sleep.as_mut().reset(Instant::now() + after);
                }
                sleep
            }
            none => none.insert(Box::pin(sleep_until(Instant::now() + after))),
        };
        self.running = true;
        sleep.as_mut().poll(cx)
    }
}

/// Notices that a client takes too long for a head, or stays idle too long.
#[derive(Debug)]
pub(super) struct Watchdog {
    phase: Phase,
    head: Duration,
    idle: Duration,
    /// What the timer runs for: a phase and its count.
    seen: u64,
    timer: Timer,
}

impl Watchdog {
    pub(super) fn new(phase: Phase, head: Duration, idle: Duration) -> Watchdog {
        Watchdog { seen: phase.get(), phase, head, idle, timer: Timer::default() }
    }

    /// Ready with the reason when the connection should be closed. To be asked whenever the
    /// connection has to wait.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        let now = self.phase.get();
        if now != self.seen {
            self.seen = now;
            self.timer.stop();
        }
        match now & PHASE_MASK {
            HEAD => self.timer.poll(self.head, cx).map(|()| "the head of a request took too long"),
            IDLE => self.timer.poll(self.idle, cx).map(|()| "no further request"),
            _ => Poll::Pending,
        }
    }
}

/// A socket that tells what it does to its [`Phase`], and fails a write that is not taken.
#[derive(Debug)]
pub(super) struct WatchedSocket<T> {
    io: T,
    phase: Phase,
    write_stall: Duration,
    write_timer: Timer,
    /// The connection's place under the cap; here, so that it is given back with the socket even
    /// when an upgrade takes that elsewhere.
    _seat: OwnedSemaphorePermit,
}

impl<T> WatchedSocket<T> {
    pub(super) fn new(
        io: T,
        phase: Phase,
        write_stall: Duration,
        seat: OwnedSemaphorePermit,
    ) -> WatchedSocket<T> {
        WatchedSocket { io, phase, write_stall, write_timer: Timer::default(), _seat: seat }
    }

    fn written<R>(
        &mut self,
        result: Poll<io::Result<R>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if result.is_pending() {
            return self.write_timer.poll(self.write_stall, cx).map(|()| {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))
            });
        }
        self.write_timer.stop();
        // The tail of a long answer is written after its body has ended: idle begins anew.
        if self.phase.is(IDLE) {
            self.phase.enter(IDLE);
        }
        result
    }
}

impl<T: Read + Unpin> Read for WatchedSocket<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_read(cx, buf);
        if result.is_ready() && this.phase.is(IDLE) {
            this.phase.enter(HEAD);
        }
        result
    }
}

impl<T: Write + Unpin> Write for WatchedSocket<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write(cx, buf);
        this.written(result, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.written(result, cx)
    }
}

/// The request's body did not arrive in time. Handlers find it among the causes of a failed read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body of the request took too long")]
pub struct BodyTooSlow;

/// A request's body that must be complete within a limit, counted from the first wait for it.
#[derive(Debug)]
pub(super) struct TimedBody {
    inner: Incoming,
    limit: Duration,
    timer: Timer,
}

impl TimedBody {
    pub(super) fn wrap(inner: Incoming, limit: Duration) -> Body {
        if inner.is_end_stream() {
            return Body::empty();
        }
        Body::new(TimedBody { inner, limit, timer: Timer::default() })
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            // The timer is never stopped: bytes that trickle do not buy time.
            Poll::Pending => {
                let limit = self.limit;
                self.timer.poll(limit, cx).map(|()| Some(Err(BodyTooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body that makes its connection idle when hyper is through with it.
#[derive(Debug)]
pub(super) struct AnswerBody {
    inner: Body,
    phase: Phase,
}

impl AnswerBody {
    pub(super) fn new(inner: Body, phase: Phase) -> AnswerBody {
        AnswerBody { inner, phase }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.phase.enter(IDLE);
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
