//! Sources that the configuration describes: `kind = "generic"`.

use std::collections::BTreeSet;
use std::sync::Arc;

use pointsman_actors::expression::Expression;

use super::merged::{Origin, Problem};
use super::settings::Checker;
use crate::sources::{Algorithm, Encoding, Recipe, Scheme, StandardHeaders};

/// Headers in which senders show what is secret, whatever the source asks for.
const PRIVATE: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
/// What an expression may name.
const SEEN: [&str; 2] = ["payload", "headers"];

impl Checker<'_> {
    /// How deliveries of the source prove themselves, and where their facts stand; nothing if that cannot be used.
    pub(super) fn recipe(&mut self, name: &str, origin: &Origin) -> Option<Arc<Recipe>> {
        let key = |key: &str| format!("webhooks.{name}.{key}");
        if !is_name(name) {
            let reason = "a source's name has small letters, digits and `-` only, and no more than 40";
            self.problems.push(Problem {
                key: format!("webhooks.{name}"),
                origin: origin.clone(),
                reason: reason.to_owned(),
            });
        }
        let before = self.problems.len();
        let scheme = self.scheme(name, origin);
        let mut headers = BTreeSet::new();
        let [event_type, action, delivery_id, subject, timestamp] =
            ["event_type", "action", "delivery_id", "subject", "timestamp"].map(|fact| {
                let text = self.text(&key(fact))?;
                self.expression(&key(fact), &text, &mut headers)
            });
        let keys = self.list(&key("correlation_keys"));
        let correlation_keys =
            keys.iter().filter_map(|text| self.expression(&key("correlation_keys"), text, &mut headers)).collect();
        let scheme = scheme?;
        if let Some(timestamp) = &timestamp {
            let is_signed = matches!(scheme, Scheme::Hmac { .. });
            if !is_signed {
                self.wrong(&key("timestamp"), "only an HMAC signs one; leave it out".to_owned());
            } else if timestamp.names("headers") {
                self.wrong(&key("timestamp"), "headers are not signed; take it from `payload`".to_owned());
            }
        }
        for header in &headers {
            let lower = header.to_ascii_lowercase();
            if PRIVATE.contains(&lower.as_str()) || scheme.headers().contains(&lower.as_str()) {
                let reason = format!("an expression names the header `{header}`, which is what proves a delivery");
                self.problems.push(Problem { key: format!("webhooks.{name}"), origin: origin.clone(), reason });
            }
        }
        let headers = headers.into_iter().collect();
        let recipe = Recipe { scheme, event_type, action, delivery_id, subject, correlation_keys, timestamp, headers };
        (self.problems.len() == before).then(|| Arc::new(recipe))
    }

    fn scheme(&mut self, name: &str, origin: &Origin) -> Option<Scheme> {
        let key = |key: &str| format!("webhooks.{name}.{key}");
        let header = self.text(&key("header")).map(|header| header.to_ascii_lowercase());
        let prefix = self.text(&key("prefix")).unwrap_or_default();
        let scheme = self.text(&key("scheme")).unwrap_or_default();
        let strays: &[&str] = match scheme.as_str() {
            "standard" => &["prefix", "algorithm", "encoding"],
            "token" => &["algorithm", "encoding"],
            _ => &[],
        };
        for stray in strays.iter().filter(|stray| self.merged.entry(&key(stray)).is_some()) {
            self.wrong(&key(stray), format!("the scheme `{scheme}` has none; leave it out"));
        }
        if scheme == "standard" {
            let known = StandardHeaders::signed_in(header.as_deref().unwrap_or(StandardHeaders::WEBHOOK.signature));
            if known.is_none() {
                self.wrong(&key("header"), "must be webhook-signature or svix-signature".to_owned());
            }
            return known.map(Scheme::Standard);
        }
        if scheme.is_empty() {
            self.lacks(key("scheme"), origin, "it is missing; give standard, hmac or token");
            return None;
        }
        let Some(header) = header else {
            self.lacks(key("header"), origin, "it is missing; give the header that proves a delivery");
            return None;
        };
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !header.bytes().all(is_token) || ["content-type", "user-agent"].contains(&header.as_str()) {
            self.wrong(&key("header"), format!("`{header}` cannot be it; give a name such as x-signature"));
        }
        if scheme == "token" {
            return Some(Scheme::Token { header, prefix });
        }
        let algorithm = match self.text(&key("algorithm")).as_deref() {
            Some("sha1") => Algorithm::Sha1,
            Some("sha512") => Algorithm::Sha512,
            _ => Algorithm::Sha256,
        };
        let is_base64 = self.text(&key("encoding")).as_deref() == Some("base64");
        let encoding = if is_base64 { Encoding::Base64 } else { Encoding::Hex };
        Some(Scheme::Hmac { header, prefix, algorithm, encoding })
    }

    fn lacks(&mut self, key: String, origin: &Origin, reason: &str) {
        // What is there and wrong has been said.
        if !self.problems.iter().any(|problem| problem.key == key) {
            self.problems.push(Problem { key, origin: origin.clone(), reason: reason.to_owned() });
        }
    }

    fn expression(&mut self, key: &str, text: &str, headers: &mut BTreeSet<String>) -> Option<Expression> {
        let allowed = |name: &str| name.split('.').next().is_some_and(|variable| SEEN.contains(&variable));
        match Expression::compile(text, &allowed) {
            Ok(expression) => match expression.items_of("headers") {
                Some(named) => {
                    headers.extend(named);
                    Some(expression)
                }
                None => {
                    let reason = format!("`{text}`: write out which header, such as `headers['x-event']`");
                    self.wrong(key, reason);
                    None
                }
            },
            Err(error) => {
                self.wrong(key, format!("{error}; an expression sees `payload` and `headers['…']`"));
                None
            }
        }
    }
}

/// It becomes a part of a path, of variables and of keys.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=40).contains(&name.len()) && name.chars().all(fits)
}
