//! pointsman, the library that its binary and its tests are made of.

pub mod http;
pub mod process;
pub mod stores;
