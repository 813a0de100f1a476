//! How often whom nobody can verify may come, and verified deliveries where somebody limits them; and who it is that comes.

use std::time::Duration;

use pointsman_actors::event::SourceName;
use pointsman_actors::rate_limiter::adaptive::Adaptive;
use pointsman_actors::rate_limiter::limits::{Burst, Policy, SlowDown};

use super::settings::Checker;
use super::webhooks::WebhookSettings;
use crate::http::{ForwardedHeader, Proxies};

/// The longest that an answer is put off.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

impl Checker<'_> {
    /// The limits; absent when they are off.
    pub(super) fn rate_limits(&mut self, webhooks: &[WebhookSettings]) -> Option<Policy> {
        self.bounds();
        if !self.flag("validator.rate_limiting") {
            return None;
        }
        let burst =
            Burst { limit: self.number("rate_limiter.burst_limit"), window: self.span("rate_limiter.burst_window") };
        let slow_down = SlowDown {
            from: self.ratio("rate_limiter.slow_down_threshold"),
            delay: self.span("rate_limiter.slow_down_delay"),
            most: usize::try_from(self.count("rate_limiter.slow_down_at_most")).unwrap_or(usize::MAX),
        };
        let full = self.ratio("rate_limiter.backpressure_threshold");
        let adaptive = Adaptive {
            floor: self.ratio("rate_limiter.adaptive_floor"),
            recovery: self.span("rate_limiter.adaptive_window"),
            slow: self.span("rate_limiter.adaptive_latency"),
            full,
        };
        let limited = webhooks.iter().filter_map(|source| Some((SourceName::new(&source.name), source.max_requests?)));
        Some(Policy {
            window: self.span("rate_limiter.window"),
            per_address: self.number("rate_limiter.max_requests"),
            per_source: self.number("rate_limiter.max_requests_per_source"),
            in_all: self.number("rate_limiter.max_requests_in_all"),
            burst: self.flag("rate_limiter.burst").then_some(burst),
            slow_down: self.flag("rate_limiter.slow_down").then_some(slow_down),
            backpressure: self.flag("rate_limiter.backpressure").then_some(full),
            adaptive: self.flag("rate_limiter.adaptive").then_some(adaptive),
            most_addresses: usize::try_from(self.count("rate_limiter.max_addresses")).unwrap_or(usize::MAX),
            verified: limited.collect(),
        })
    }

    pub(super) fn proxies(&mut self) -> Proxies {
        let header = match self.text("server.forwarded_header").as_deref() {
            Some("forwarded") => ForwardedHeader::Forwarded,
            _ => ForwardedHeader::XForwardedFor,
        };
        let trusted = self.networks("server.trusted_proxies");
        if trusted.iter().any(|network| network.prefix_len() == 0) {
            let reason = "with all addresses trusted anybody could say who he is; name the proxies' own networks";
            self.wrong("server.trusted_proxies", reason.to_owned());
        }
        Proxies { trusted, header }
    }

    fn bounds(&mut self) {
        if self.span("rate_limiter.slow_down_delay") > LONGEST_DELAY {
            let reason = "at most 1m: nobody waits longer for an answer, and whoever has gone is not noticed";
            self.wrong("rate_limiter.slow_down_delay", reason.to_owned());
        }
        for path in [
            "rate_limiter.max_requests",
            "rate_limiter.max_requests_per_source",
            "rate_limiter.max_requests_in_all",
            "rate_limiter.burst_limit",
            "rate_limiter.max_addresses",
        ] {
            if self.count(path) == 0 {
                self.wrong(
                    path,
                    "must be at least 1; `validator.rate_limiting = false` switches limits off".to_owned(),
                );
            }
        }
        for path in ["rate_limiter.window", "rate_limiter.burst_window"] {
            if self.span(path).is_zero() {
                self.wrong(path, "must be longer than nothing".to_owned());
            }
        }
        for path in
            ["rate_limiter.backpressure_threshold", "rate_limiter.slow_down_threshold", "rate_limiter.adaptive_floor"]
        {
            if !(0.0..=1.0).contains(&self.ratio(path)) {
                self.wrong(path, "must be within 0 and 1".to_owned());
            }
        }
    }

    pub(super) fn number(&self, path: &str) -> u32 {
        u32::try_from(self.count(path)).unwrap_or(u32::MAX)
    }
}
