//! Which services are not to be called now. Pure vocabulary of decisions.

use std::collections::BTreeSet;

use super::failure::{ErrorClass, Failure};
use super::port::Outcome;

/// The services that nobody is to call, and those that one call may probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    out: BTreeSet<String>,
    probed: BTreeSet<String>,
}

impl Outages {
    /// Nobody is to call those that are `out`, and no more than one those that are `probed`.
    pub fn new(out: BTreeSet<String>, probed: BTreeSet<String>) -> Self {
        Self { out, probed }
    }

    /// The first of these services that nobody is to call.
    pub fn of<'a>(&self, services: &[&'a str]) -> Option<&'a str> {
        services.iter().copied().find(|service| self.out.contains(*service))
    }

    /// Whether nobody is to call this one.
    pub fn include(&self, service: &str) -> bool {
        self.out.contains(service)
    }

    /// Whether one call may pass to it, and no other one before that has ended.
    pub fn let_one_pass(&self, service: &str) -> bool {
        self.probed.contains(service)
    }
}

/// The service that a failure is about: the one that it names, or the only one that the action calls.
pub fn culprit<'a>(services: &[&'a str], failure: &'a Failure) -> Option<&'a str> {
    let only = match services {
        [only] => Some(*only),
        _ => None,
    };
    failure.service.as_deref().or(only)
}

/// What the end of an attempt says of the services that it calls: whether each has failed. Of those that are
/// left out it says nothing: of those that an action calls in parts of its work it has told them itself.
pub fn observed(services: &[&str], outcome: &Outcome) -> Vec<(String, bool)> {
    match outcome {
        Ok(_) => services.iter().map(|service| ((*service).to_owned(), false)).collect(),
        Err(failure) => {
            let failed = match failure.class {
                class if class.is_outage() => true,
                // It is well enough to say so, or it is our fault.
                ErrorClass::RateLimit | ErrorClass::Temporary | ErrorClass::Internal => return Vec::new(),
                _ => false,
            };
            let culprit = culprit(services, failure).filter(|service| services.contains(service));
            culprit.map(|service| (service.to_owned(), failed)).into_iter().collect()
        }
    }
}

impl FromIterator<String> for Outages {
    fn from_iter<T: IntoIterator<Item = String>>(services: T) -> Self {
        Self::new(services.into_iter().collect(), BTreeSet::new())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::executor::port::Success;

    #[test]
    fn the_end_of_an_attempt_says_who_is_well_and_who_is_not() {
        let check = |services: &[&str], outcome: Outcome, expect: &[(&str, bool)]| {
            let said = observed(services, &outcome);
            assert_eq!(said.iter().map(|(service, failed)| (service.as_str(), *failed)).collect::<Vec<_>>(), expect);
        };
        let failure = |class| Failure::new(class, "x");
        let (one, both) = (&["github"][..], &["github", "claude"][..]);
        check(both, Ok(Success::Done(json!({}))), &[("github", false), ("claude", false)]);
        check(one, Err(failure(ErrorClass::Network)), &[("github", true)]);
        check(both, Err(failure(ErrorClass::Network)), &[]);
        check(both, Err(failure(ErrorClass::Timeout).of("claude")), &[("claude", true)]);
        check(one, Err(failure(ErrorClass::Network).of("part")), &[]);
        check(one, Err(failure(ErrorClass::NotFound)), &[("github", false)]);
        check(one, Err(failure(ErrorClass::RateLimit)), &[]);
        check(one, Err(failure(ErrorClass::Internal)), &[]);
    }
}
