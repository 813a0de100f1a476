//! pointsman, the library that its binary and its tests are made of.

#![cfg_attr(not(test), deny(clippy::print_stdout))]

pub mod access;
pub mod actions;
pub mod addresses;
pub mod alive;
pub mod boot;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod files;
pub mod http;
pub mod in_force;
pub mod integrations;
pub mod process;
pub mod redaction;
pub mod reload;
pub mod sources;
pub mod stores;
pub mod telemetry;
pub mod tls;
pub mod workflows;
