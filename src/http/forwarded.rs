//! Who has sent a request, when it came through proxies. Pure.
//!
//! Every proxy adds whom it was called by at the right end, and anybody can write what is left of that. So only proxies that
//! the configuration trusts are believed, from right to left, up to the first address that is none of them; and only in the one
//! header that they write, because they hand on the other as it came.
//!
//! Rules: RFC 7239 for `Forwarded`; `X-Forwarded-For` is a convention of proxies (developer.mozilla.org, "X-Forwarded-For").

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{FORWARDED, HOST, HeaderMap, HeaderName, X_FORWARDED_FOR};
use ipnet::IpNet;

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Their addresses.
    pub trusted: Vec<IpNet>,
    /// What they write.
    pub header: ForwardedHeader,
}

/// The header in which proxies say whom they were called by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, which almost all of them know.
    #[default]
    XForwardedFor,
    /// `Forwarded`.
    Forwarded,
}

/// Nobody has more proxies before a server.
const MOST_HOPS: usize = 32;

impl Proxies {
    /// Who has sent a request that came from `peer`.
    pub fn sender(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut sender = peer.to_canonical();
        if !self.trusts(sender) {
            return sender;
        }
        for hop in self.hops(headers).iter().rev().take(MOST_HOPS) {
            // A proxy that does not say whom it was called by is the last that anybody knows.
            let Some(address) = address(hop) else { break };
            sender = address;
            if !self.trusts(sender) {
                break;
            }
        }
        sender
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// What the proxies wrote, from left to right; what cannot be read is there as a hop that nobody knows.
    fn hops(&self, headers: &HeaderMap) -> Vec<String> {
        let name: HeaderName = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => FORWARDED,
        };
        // What is no text is a hop that nobody knows, and makes none of the others one.
        let lines: Vec<_> = headers.get_all(name).map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let lines = lines.iter();
        match self.header {
            ForwardedHeader::XForwardedFor => {
                lines.flat_map(|line| line.split(',')).map(|hop| hop.trim().to_owned()).collect()
            }
            ForwardedHeader::Forwarded => lines
                .flat_map(|line| split(line, ',').unwrap_or_else(unknown))
                .map(|element| for_of(&element))
                .collect(),
        }
    }
}

/// Whether a program on this machine means this machine. A proxy on it hands on what anybody sends, and says so; a page in a
/// browser on it has another host in the request, by whatever address it found its way here (DNS rebinding).
pub fn is_from_here(request: &HttpRequest) -> bool {
    let is_proxys =
        |name: &str| name == "forwarded" || name == "via" || name == "x-real-ip" || name.starts_with("x-forwarded-");
    let is_handed_on = request.headers().keys().any(|name| is_proxys(name.as_str()));
    // A target may name the host as well (RFC 9112, section 3.2.2).
    let named = request.headers().get_all(HOST).map(|host| host.to_str().unwrap_or_default());
    let mut hosts = request.uri().authority().map(|target| target.as_str()).into_iter().chain(named).peekable();
    let is_peer = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    is_peer && !is_handed_on && hosts.peek().is_some() && hosts.all(is_this_machine)
}

fn is_this_machine(host: &str) -> bool {
    let port = |(_, port): &(&str, &str)| port.bytes().all(|c| c.is_ascii_digit());
    let host = host.rsplit_once(':').filter(port).map_or(host, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The node that `for` names in an element of `Forwarded`; nothing if it names none.
fn for_of(element: &str) -> String {
    let pairs = split(element, ';').unwrap_or_default();
    let mut values = pairs.iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| unquoted(value.trim()))
    });
    // Twice the same parameter is no element (section 4).
    match (values.next(), values.next()) {
        (Some(value), None) => value,
        _ => String::new(),
    }
}

/// A line that nobody can read is one hop that nobody knows: a quote that a sender has left open would else swallow what the
/// proxy has added.
fn unknown() -> Vec<String> {
    vec![String::new()]
}

/// Splits at `separator`, but not within quotes; nothing when a quote does not end.
fn split(text: &str, separator: char) -> Option<Vec<String>> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    (!quoted).then_some(parts)
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut characters = inner.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

/// The address of a hop: bare, with a port, and of IPv6 in brackets or not.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn check(header: ForwardedHeader, peer: &str, lines: &[(HeaderName, &str)], expect: &str) {
        let trusted = ["10.0.0.0/8", "2001:db8:5::/48"].map(|network| network.parse().unwrap()).to_vec();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        let sender = Proxies { trusted, header }.sender(peer.parse().unwrap(), &headers);
        assert_eq!(sender, expect.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
    }

    #[test]
    fn the_first_stranger_from_the_right_is_the_sender() {
        let check = |peer, lines: &[&str], expect| {
            let lines: Vec<_> = lines.iter().map(|line| (X_FORWARDED_FOR, *line)).collect();
            check(ForwardedHeader::XForwardedFor, peer, &lines, expect);
        };
        check("198.51.100.7", &["203.0.113.1"], "198.51.100.7");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["203.0.113.1"], "203.0.113.1");
        check("::ffff:10.0.0.1", &["::ffff:203.0.113.1"], "203.0.113.1");
        check("10.0.0.1", &["192.30.252.1, 203.0.113.1"], "203.0.113.1");
        check("10.0.0.1", &["192.30.252.1, 203.0.113.1, 10.0.0.2"], "203.0.113.1");
        check("10.0.0.1", &["192.30.252.1", "203.0.113.1"], "203.0.113.1");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &["203.0.113.1:4711"], "203.0.113.1");
        check("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("10.0.0.1", &["2001:db8::1, 2001:db8:5::9"], "2001:db8::1");
        check("10.0.0.1", &["192.30.252.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &["192.30.252.1,"], "10.0.0.1");
        check("10.0.0.1", &["192.30.252.1, \u{e9}"], "10.0.0.1");
        check("10.0.0.1", &["\u{e9}, 203.0.113.1"], "203.0.113.1");
        check("10.0.0.1", &[&vec!["10.0.0.2"; 5_000].join(",")], "10.0.0.2");
    }

    #[test]
    fn forwarded_is_read_as_its_standard_says() {
        let check = |value, expect| check(ForwardedHeader::Forwarded, "10.0.0.1", &[(FORWARDED, value)], expect);
        check("for=203.0.113.1", "203.0.113.1");
        check("For=\"[2001:db8::1]:4711\";proto=https, for=10.0.0.2;by=10.0.0.1", "2001:db8::1");
        check("for=192.30.252.1;for=203.0.113.1", "10.0.0.1");
        check("for=203.0.113.1;by=\"a,b;for=192.30.252.1\"", "203.0.113.1");
        check("for=\"192.30.252.1\\\", for=203.0.113.1", "10.0.0.1");
        check("for=192.30.252.1;x=\", for=203.0.113.1;proto=https", "10.0.0.1");
        check("for=_hidden", "10.0.0.1");
        check("proto=https", "10.0.0.1");
    }

    #[test]
    fn what_the_proxies_do_not_write_is_not_believed() {
        let both = [(X_FORWARDED_FOR, "203.0.113.1"), (FORWARDED, "for=192.30.252.1")];
        check(ForwardedHeader::XForwardedFor, "10.0.0.1", &both, "203.0.113.1");
        check(ForwardedHeader::Forwarded, "10.0.0.1", &both, "192.30.252.1");
    }
}
