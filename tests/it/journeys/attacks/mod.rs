//! What strangers try at the front door, each with the answer to it. Every row is sent to the real server, byte by byte.
//!
//! A row is a name, what is sent, and what must come back: the statuses of all answers on the connection, and the code of the
//! error, if the answer has one. After all rows of a table it is looked whether anything got in that should not have.

mod operators;
mod outward;
mod senders;
mod wire;

use self::wire::{Request, exchange};
use crate::server::{SECRET, TOKEN, TestServer};

/// What is sent, and what must come back.
struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    statuses: &'static [u16],
    code: &'static str,
}

fn row(name: &'static str, request: &Request, status: &'static [u16], code: &'static str) -> Row {
    Row { name, bytes: request.bytes(), statuses: status, code }
}

/// The same, and then something that is right.
async fn try_all(server: &TestServer, rows: Vec<Row>) {
    try_rows(server, rows).await;
    assert_eq!(server.github("ping", "afterwards", "1", b"{}").await.status, 200, "the server goes on");
}

/// Sends each row to a server and fails with all that were answered otherwise.
async fn try_rows(server: &TestServer, rows: Vec<Row>) {
    let address = server.server.as_ref().unwrap().address;
    let number = rows.len();
    let tried = tokio::task::spawn_blocking(move || {
        let wrong = rows.into_iter().filter_map(|row| {
            let reply = exchange(address, &row.bytes);
            for secret in [SECRET, TOKEN] {
                assert!(!reply.text.contains(secret), "{}: {}", row.name, reply.text);
            }
            let has_code = row.code.is_empty() || reply.text.contains(&format!("\"error\":\"{}\"", row.code));
            let is_right = reply.statuses == row.statuses && has_code;
            (!is_right).then(|| {
                format!(
                    "{}: expected {:?} {}, got {:?} {}",
                    row.name, row.statuses, row.code, reply.statuses, reply.text
                )
            })
        });
        wrong.collect::<Vec<_>>()
    });
    let wrong = tried.await.unwrap();
    assert!(wrong.is_empty(), "{} of {number} rows:\n{}", wrong.len(), wrong.join("\n"));
}
