//! A connection as HTTP sees it: bytes, until it has to make way or lets us wait too long.
//!
//! actix-http waits for the first head of a connection with a time limit, and for a further one without: whoever has been
//! answered once could send a byte of the next head now and then for ever. So the limit is kept here, below TLS and HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::connections::Place;

/// A socket that holds a place among the connections.
pub struct Guarded {
    io: TcpStream,
    place: Arc<Place>,
    head_timeout: Duration,
    /// The head that must be there in time.
    head: Option<Head>,
    /// Goes off when an earlier head had to be there, or this one.
    timer: Pin<Box<Sleep>>,
}

/// The head of the request after so many.
struct Head {
    after: u64,
    until: Instant,
}

/// A connection, with TLS or without.
pub enum Stream {
    /// Without.
    Plain(Guarded),
    /// With, after its handshake.
    Tls(Box<TlsStream<Guarded>>),
}

impl Guarded {
    /// A socket whose first request must be there after `first`, and each head that follows `head_timeout` after its first byte.
    pub fn new(io: TcpStream, place: Arc<Place>, first: Duration, head_timeout: Duration) -> Self {
        let timer = Box::pin(sleep(first));
        let head = Some(Head { after: 0, until: timer.deadline() });
        Self { io, place, head_timeout, head, timer }
    }

    fn told(&self, context: &mut Context<'_>) -> io::Result<()> {
        if self.place.poll_told(context).is_ready() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// A byte has come: when none of a request had, its head must be there in time.
    fn begin_head(&mut self) {
        let Some(after) = self.place.waits_after() else { return };
        if self.head.as_ref().is_none_or(|head| head.after != after) {
            self.head = Some(Head { after, until: Instant::now() + self.head_timeout });
        }
    }

    /// Nothing has come: an error when a head should have.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Head { after, until }) = self.head else { return Poll::Pending };
        if self.place.waits_after() != Some(after) {
            self.head = None;
            return Poll::Pending;
        }
        if self.timer.deadline() > until {
            self.timer.as_mut().reset(until);
        }
        // It is set to a later head only when it goes off: almost all heads are there long before.
        while self.timer.as_mut().poll(context).is_ready() {
            if until <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl Stream {
    /// The place that it holds.
    pub fn place(&self) -> &Arc<Place> {
        match self {
            Self::Plain(socket) => &socket.place,
            Self::Tls(stream) => &stream.get_ref().0.place,
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.told(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        if read.is_pending() {
            return this.wait(context);
        }
        if buffer.filled().len() > before {
            this.begin_head();
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.told(context)?;
        Pin::new(&mut this.io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.told(context)?;
        Pin::new(&mut this.io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.told(context)?;
        Pin::new(&mut this.io).poll_shutdown(context)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
