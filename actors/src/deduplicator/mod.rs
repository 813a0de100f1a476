//! Recognises deliveries and occurrences that were seen before. It computes the keys; the store decides.

pub mod actor;
pub mod fingerprint;
