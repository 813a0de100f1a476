//! The product through its front door: a real server on loopback, real signed requests.

#![allow(missing_docs, reason = "tests are read, not linked")]

mod journeys;
mod server;
mod tidy;
