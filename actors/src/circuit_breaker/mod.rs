//! Whether a service may be called: one that fails again and again is given a rest, and nobody's attempts are
//! used up by it meanwhile.

pub mod actor;
pub mod board;
pub mod circuit;
