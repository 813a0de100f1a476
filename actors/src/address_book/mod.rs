//! The address book: keeps what is known of the networks from which a provider delivers.

pub mod actor;
pub mod pace;
pub mod port;
