//! A small world on loopback: a GitHub, a Linear, a Codegen, a Slack, a Discord, a receiver of signed webhooks, a `claude`, its API, an
//! AgentAPI and somebody of whom nothing is known, that keep state, write every call into a ledger, are strict where the real ones are, and
//! misbehave by plan.
//!
//! [`Sandbox`] serves it; tests in the same process look at it through [`World`], other processes through
//! `/_control` ([`control`]). What is not here is not pretended: an unknown path is a 404 in the ledger.

pub mod agentapi;
pub mod anthropic;
pub mod claude;
pub mod codegen;
pub mod control;
pub mod discord;
pub mod echo;
pub mod faults;
pub mod github;
pub mod linear;
pub mod receiver;
pub mod server;
pub mod slack;
pub mod world;

pub use faults::{Fault, FaultKind};
pub use server::Sandbox;
pub use world::{Call, PullRequest, Status, World};

/// The token that the sandbox's GitHub accepts.
pub const TOKEN: &str = "sandbox-token";

/// The path of the one Slack webhook that there is.
pub const SLACK_PATH: &str = "/slack/services/T000/B000/XXXX";

/// The path of the one Discord webhook that there is.
pub const DISCORD_PATH: &str = "/discord/api/webhooks/7/hunter2-token";
