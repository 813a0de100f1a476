//! A story each.

mod bad_input;
mod breakers;
mod control;
mod dead_letters;
mod definitions;
mod deliveries;
mod full_disk;
mod generic_actions;
mod operators;
mod process;
mod retention;
mod sources;
mod supervision;
mod validation;
mod waits;
