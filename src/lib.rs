//! pointsman, the library that its binary and its tests are made of.

pub mod stores;
