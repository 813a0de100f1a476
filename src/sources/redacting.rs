//! A source whose deliveries are kept without secrets: it proves them over what was sent, tells them apart by what was sent, and
//! reads them as they are to be kept, so that neither log nor workflow sees what was taken out.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_actors::event::{Delivery, Facts, Headers, Reading, SourceName};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::{Proof, Source};

use crate::redaction::Redaction;

/// The header that says how a body is written.
const CONTENT_TYPE: &str = "content-type";

/// The source, and what is taken out.
pub struct Redacting {
    inner: Arc<dyn Source>,
    redaction: Arc<Redaction>,
}

impl Redacting {
    /// The same source where nothing is taken out, so that it costs nothing.
    pub fn around(inner: Arc<dyn Source>, redaction: &Arc<Redaction>) -> Arc<dyn Source> {
        if redaction.is_none() {
            return inner;
        }
        Arc::new(Self { inner, redaction: Arc::clone(redaction) })
    }

    /// What was read, as it may be kept. By its delivery id and its fingerprint, of which the log claims hashes, it stays what was
    /// sent: a redelivery is known again, also after the configuration was changed.
    fn redacted(&self, delivery: &Delivery, mut reading: Reading) -> Reading {
        for (_, value) in &mut reading.headers {
            if let Some((text, count)) = self.redaction.text(value) {
                *value = text;
                reading.redacted += count;
            }
        }
        let found = std::str::from_utf8(&reading.payload).ok().and_then(|text| self.redaction.json(text));
        if let Some((text, count)) = found {
            reading.payload = Bytes::from(text);
            reading.redacted += count;
            reading.facts = self.facts(delivery, reading.payload.clone()).unwrap_or_default();
        }
        reading
    }

    /// What the payload says that is kept. Facts are taken from nothing else, so that none says what was taken out.
    fn facts(&self, delivery: &Delivery, payload: Bytes) -> Option<Facts> {
        let mut headers = Headers::default();
        // A form's payload is JSON by itself now.
        for name in self.inner.headers().into_iter().filter(|name| *name != CONTENT_TYPE) {
            if let Some(value) = delivery.headers.text(name) {
                headers.push(name, Bytes::copy_from_slice(value.as_bytes()));
            }
        }
        headers.push(CONTENT_TYPE, Bytes::from_static(b"application/json"));
        let kept = Delivery { headers, body: payload, ..delivery.clone() };
        self.inner.read(&kept).ok().map(|reading| reading.facts)
    }
}

impl Source for Redacting {
    fn name(&self) -> &SourceName {
        self.inner.name()
    }

    fn inspect(&self, headers: &Headers) -> Result<(), Refusal> {
        self.inner.inspect(headers)
    }

    fn authenticate(&self, delivery: &Delivery, now: Timestamp) -> Result<Proof, Refusal> {
        self.inner.authenticate(delivery, now)
    }

    fn proved(&self, proof: Proof, at: Timestamp) {
        self.inner.proved(proof, at);
    }

    fn read(&self, delivery: &Delivery) -> Result<Reading, Refusal> {
        self.inner.read(delivery).map(|reading| self.redacted(delivery, reading))
    }

    fn headers(&self) -> Vec<&str> {
        self.inner.headers()
    }
}
