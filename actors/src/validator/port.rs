//! What the validator needs from a source: proof that a delivery is authentic, and what it says.

use crate::event::{Delivery, Headers, Reading, SourceName};
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// What has proved a delivery: which of the source's secrets, counted from 0; none where nothing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof(pub Option<usize>);

/// One kind of sender. Implementations are pure: they see bytes and a point in time; all that
/// they keep is what is noted by [`Source::proved`].
pub trait Source: Send + Sync {
    /// Its name.
    fn name(&self) -> &SourceName;

    /// What can be refused from the headers alone, before a body is read: a missing or malformed
    /// signature, a missing required header, a content type that it does not take.
    fn inspect(&self, headers: &Headers) -> Result<(), Refusal>;

    /// Proves that whoever sent the delivery knows a secret that is valid at `now`, over the raw bytes of
    /// the body and in constant time, and that a signed timestamp is within the tolerance of `now`.
    /// Nothing in the body may be believed before.
    fn authenticate(&self, delivery: &Delivery, now: Timestamp) -> Result<Proof, Refusal>;

    /// Takes note that a delivery was proved, so that people see which secrets are still used.
    fn proved(&self, proof: Proof, at: Timestamp);

    /// Reads an authentic delivery. Refuses only what is not JSON; unknown types, missing or
    /// mistyped fields give fewer facts.
    fn read(&self, delivery: &Delivery) -> Result<Reading, Refusal>;

    /// The request headers, in lower case, that this source looks at; no other is copied. Asked once, at the start.
    fn headers(&self) -> Vec<&str>;
}
