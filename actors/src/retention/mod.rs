//! Retention: what is finished goes by age and by number, in the background and a little at a time.

pub mod actor;
pub mod dossier;
pub mod policy;
