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
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::connections::Place;

/// A socket that holds a place among the connections.
pub struct Guarded {
    io: TcpStream,
    place: Arc<Place>,
    head_timeout: Duration,
    /// When the head of the request after so many must be there.
    head: Option<(u64, Pin<Box<Sleep>>)>,
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
        Self { io, place, head_timeout, head: Some((0, Box::pin(sleep(first)))) }
    }

    fn told(&self, context: &mut Context<'_>) -> io::Result<()> {
        if self.place.poll_told(context).is_ready() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// A byte has come: when none of a request had, its head must be there in time.
    fn begin_head(&mut self) {
        let Some(after) = self.place.waits_after() else { return };
        if self.head.as_ref().is_none_or(|(waited_after, _)| *waited_after != after) {
            self.head = Some((after, Box::pin(sleep(self.head_timeout))));
        }
    }

    /// Nothing has come: an error when a head should have.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((after, timer)) = &mut self.head else { return Poll::Pending };
        if self.place.waits_after() != Some(*after) {
            self.head = None;
            return Poll::Pending;
        }
        timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
