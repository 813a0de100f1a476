//! Requests byte by byte, as no client of ours would send them, and what comes back.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::server::sign;

/// A request that is changed bit by bit before it is sent.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: &'static str,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Request {
    /// With nothing but what HTTP asks for. The server closes the connection after its answer.
    pub fn new(method: &str, target: &str) -> Self {
        let plain = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            body: Vec::new(),
        };
        plain.with("host", "localhost").with("connection", "close")
    }

    /// A delivery of GitHub that would be taken.
    pub fn github(id: &str) -> Self {
        let plain = Self::new("POST", "/webhooks/github").with("content-type", "application/json");
        let plain = plain.with("x-github-event", "push").with("x-github-delivery", id);
        plain.signed(br#"{"ref":"refs/heads/main"}"#)
    }

    /// The same with this body and its signature.
    pub fn signed(self, body: &[u8]) -> Self {
        let signature = sign(body);
        self.set("x-hub-signature-256", &signature).carrying(body)
    }

    /// The same with this body and its length.
    pub fn carrying(self, body: &[u8]) -> Self {
        let length = body.len().to_string();
        Self { body: body.to_vec(), ..self.set("content-length", &length) }
    }

    /// The same with one header more.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The same without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// The same with this value of a header.
    pub fn set(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// The same to another target.
    pub fn to(self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self }
    }

    /// The same by another method.
    pub fn by(self, method: &str) -> Self {
        Self { method: method.to_owned(), ..self }
    }

    /// The same with a body in chunks, written as it stands here.
    pub fn in_chunks(self, chunks: &[u8]) -> Self {
        Self { body: chunks.to_vec(), ..self.without("content-length").with("transfer-encoding", "chunked") }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The statuses of all answers on the connection.
    pub statuses: Vec<u16>,
    /// All of it.
    pub text: String,
}

/// Nobody waits longer for an answer: a server that leaves a connection open with nothing said has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends bytes on a connection of their own, says that there are no more, and reads until the server closes.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server that has refused already need not read on.
    let _ = connection.write_all(bytes);
    let _ = connection.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = connection.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the connection was left open");
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = |rest: &str| rest.get(..3)?.parse().ok();
    let statuses = text.split("HTTP/1.1 ").skip(1).filter_map(status).collect();
    Reply { statuses, text }
}
