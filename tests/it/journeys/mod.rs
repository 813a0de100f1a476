//! A story each.

mod bad_input;
mod control;
mod definitions;
mod deliveries;
mod full_disk;
mod generic_actions;
mod operators;
mod process;
mod sources;
mod supervision;
mod validation;
