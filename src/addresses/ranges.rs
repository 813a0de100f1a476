//! The ranges from which GitHub delivers: which, since when, and from where they are known. Pure.
//!
//! Rule: docs.github.com, "REST API endpoints for meta data": `hooks` lists them in CIDR notation, of IPv4 and IPv6. They
//! change now and then.

use std::net::IpAddr;

use ipnet::IpNet;
use pointsman_actors::current::Current;
use pointsman_actors::time::Timestamp;

/// What GitHub said on [`BUILT_IN_AT`], where nothing newer is known.
const BUILT_IN: [&str; 6] =
    ["192.30.252.0/22", "185.199.108.0/22", "140.82.112.0/20", "143.55.64.0/20", "2a0a:a440::/29", "2606:50c0::/32"];

/// 2026-11-23, in milliseconds since the Unix epoch.
const BUILT_IN_AT: Timestamp = Timestamp::from_millis(1_795_392_000_000);

/// Most ranges that a list may have: GitHub has named six for years.
const MOST: usize = 1_000;

/// Shortest prefix of IPv4 that is taken: no company has more than a /8, and GitHub's widest is a /20.
const WIDEST_V4: u8 = 8;

/// The same of IPv6: registries give providers a /32, to few of them more, and GitHub's widest is a /29.
const WIDEST_V6: u8 = 16;

/// Ranges, and from where they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// The ranges.
    pub networks: Vec<IpNet>,
    /// From where they are known.
    pub origin: Origin,
    /// What GitHub calls this list.
    pub etag: Option<String>,
    /// When GitHub gave them.
    pub fetched_at: Timestamp,
    /// When GitHub last said that they are still so; absent when it was not asked since this process started.
    pub confirmed_at: Option<Timestamp>,
    /// Why they are not up to date, if it is not known that they are.
    pub failing: Option<String>,
}

/// From where ranges are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From GitHub, which this process has asked.
    Provider,
    /// From GitHub, which a former process has asked.
    Kept,
    /// They are part of this program.
    BuiltIn,
}

impl Origin {
    /// The name that metrics and messages use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "github",
            Self::Kept => "kept",
            Self::BuiltIn => "built-in",
        }
    }
}

impl Ranges {
    /// Those that are part of this program.
    pub fn built_in() -> Self {
        Self {
            networks: BUILT_IN.iter().filter_map(|text| text.parse().ok()).collect(),
            origin: Origin::BuiltIn,
            etag: None,
            fetched_at: BUILT_IN_AT,
            confirmed_at: None,
            failing: None,
        }
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// In words, for operators.
    pub fn in_words(&self) -> String {
        let from = match self.origin {
            Origin::Provider => "named at",
            Origin::Kept => "kept since",
            Origin::BuiltIn => "built in, as of",
        };
        format!("{} ranges of GitHub ({from} {})", self.networks.len(), self.fetched_at)
    }
}

/// Why a list is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nobody could deliver any more.
    #[error("it names no range from which hooks are delivered")]
    Empty,
    /// More than anybody has.
    #[error("it names {0} ranges, more than anybody has")]
    TooMany(usize),
    /// Not a range.
    #[error("`{0}` is not a range")]
    NotARange(String),
    /// Nearly everybody could deliver.
    #[error("`{0}` is wider than anybody's range")]
    TooWide(IpNet),
}

/// Reads a list as GitHub gives it, whole or not at all.
pub fn read<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> Result<Vec<IpNet>, Unusable> {
    if texts.len() > MOST {
        return Err(Unusable::TooMany(texts.len()));
    }
    let mut networks: Vec<IpNet> = Vec::new();
    for text in texts {
        let network: IpNet = text.parse().map_err(|_| Unusable::NotARange(text.chars().take(50).collect()))?;
        let widest = if matches!(network, IpNet::V4(_)) { WIDEST_V4 } else { WIDEST_V6 };
        if network.prefix_len() < widest {
            return Err(Unusable::TooWide(network));
        }
        networks.push(network.trunc());
    }
    if networks.is_empty() { Err(Unusable::Empty) } else { Ok(networks) }
}

/// The ranges that are in force.
pub type CurrentRanges = Current<Ranges>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_a_list_that_would_be_taken() {
        let ranges = Ranges::built_in();
        assert_eq!(read(BUILT_IN.into_iter()), Ok(ranges.networks.clone()));
        assert_eq!(ranges.networks.len(), BUILT_IN.len());
        assert_eq!(BUILT_IN_AT, Timestamp::from_rfc3339("2026-11-23T00:00:00Z").unwrap());
        let words = "6 ranges of GitHub (built in, as of 2026-11-23T00:00:00.000Z)";
        assert_eq!(ranges.in_words(), words);
    }

    #[test]
    fn a_list_is_taken_whole_or_not_at_all() {
        let check = |texts: &[&str], expect: Result<&[&str], &str>| {
            let read = read(texts.iter().copied());
            let shown = read.map(|networks| networks.iter().map(ToString::to_string).collect::<Vec<_>>());
            let expect = expect.map(|texts| texts.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(shown.map_err(|unusable| unusable.to_string()), expect.map_err(str::to_owned), "{texts:?}");
        };
        check(&["192.30.252.0/22", "2a0a:a440::/29"], Ok(&["192.30.252.0/22", "2a0a:a440::/29"]));
        check(&["192.30.253.7/22"], Ok(&["192.30.252.0/22"]));
        check(&["192.30.252.1/32"], Ok(&["192.30.252.1/32"]));
        check(&[], Err("it names no range from which hooks are delivered"));
        check(&["192.30.252.0/22", "0.0.0.0/0"], Err("`0.0.0.0/0` is wider than anybody's range"));
        check(&["::/0"], Err("`::/0` is wider than anybody's range"));
        check(&["128.0.0.0/7"], Err("`128.0.0.0/7` is wider than anybody's range"));
        check(&["10.0.0.0/8", "2a00::/16"], Ok(&["10.0.0.0/8", "2a00::/16"]));
        check(&["2a00::/15"], Err("`2a00::/15` is wider than anybody's range"));
        check(&["192.30.252.0/22", "hooks"], Err("`hooks` is not a range"));
        check(&["192.30.252.0/33"], Err("`192.30.252.0/33` is not a range"));
        check(&vec!["10.0.0.1/32"; MOST + 1], Err("it names 1001 ranges, more than anybody has"));
    }
}
