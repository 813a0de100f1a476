//! What catching up needs from a provider: what it tried to deliver through a hook, and another try.

use std::pin::Pin;

use bytes::Bytes;

use super::missed::Attempt;
use crate::event::{Headers, SourceName};
use crate::executor::failure::Failure;

/// What a provider says, later.
pub type Said<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// A provider that remembers what it tried to deliver. It decides nothing: it lists, and does what it is asked.
///
/// A failure that says what to do says it to the operator who set the hook up.
pub trait Deliveries: Send + Sync + 'static {
    /// The source that its deliveries belong to.
    fn source(&self) -> &SourceName;

    /// The hooks that are watched, by the names that the other functions take.
    fn hooks(&self) -> Vec<String>;

    /// Attempts, the newest first. Without a cursor it is the first page.
    fn page(&self, hook: &str, cursor: Option<&str>) -> Said<AttemptsPage>;

    /// Has a delivery sent again to where the hook points. It comes by itself, later, or fails again.
    fn redeliver(&self, hook: &str, attempt: u64) -> Said<()>;

    /// What an attempt carried.
    fn fetch(&self, hook: &str, attempt: u64) -> Said<Carried>;
}

/// A part of the attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptsPage {
    /// The attempts.
    pub items: Vec<Attempt>,
    /// Where older ones are; absent at the end.
    pub next: Option<String>,
}

/// What an attempt carried, as a source reads it.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The headers that say what it is. No signature is among them: the bytes that it signed are gone.
    pub headers: Headers,
    /// The body, in JSON.
    pub body: Bytes,
}
