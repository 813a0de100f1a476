//! What the address book needs from a provider.

use std::pin::Pin;

use crate::executor::failure::Failure;

/// What comes of asking, later.
pub type Asked = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A provider that says from which networks it delivers, and whoever goes by that.
pub trait Ranges: Send + Sync + 'static {
    /// Asks the provider and puts what it says in force. After a failure what was in force before stays.
    fn renew(&self) -> Asked;
}
