//! A story each.

mod bad_input;
mod deliveries;
mod full_disk;
mod operators;
mod supervision;
mod validation;
