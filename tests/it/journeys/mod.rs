//! A story each.

mod auditor;
mod bad_input;
mod breakers;
mod built_in;
mod children;
pub mod codegen;
mod command_line;
mod control;
mod dead_letters;
mod debounce;
mod definitions;
mod deliveries;
mod full_disk;
mod generic_actions;
mod github_actions;
mod github_app;
mod github_runs;
pub mod linear;
mod operators;
mod parallel;
mod process;
mod retention;
mod sources;
mod supervision;
mod undo;
mod validation;
mod waits;
