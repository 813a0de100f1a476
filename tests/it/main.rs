//! The product through its front door: a real server on loopback, real signed requests.

#![allow(missing_docs, reason = "tests are read, not linked")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test falls loudly"
)]

mod documents;
mod journeys;
mod requests;
mod server;
mod site;
mod tidy;
