//! Looks whether every run that is not over stands for a reason: recomputed from storage, whatever the
//! components believe. It changes nothing; what it finds is an alarm.

pub mod actor;
pub mod audit;
