//! What is said of whom a request was handed on for. Whatever strangers wrote, whom a trusted proxy was called by is the sender.

#![no_main]

use std::net::IpAddr;

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderValue, X_FORWARDED_FOR};
use libfuzzer_sys::fuzz_target;
use pointsman::http::{ForwardedHeader, Proxies};

fuzz_target!(|data: &[u8]| {
    let proxy: IpAddr = [10, 0, 0, 1].into();
    let stranger: IpAddr = [203, 0, 113, 7].into();
    for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        let proxies = Proxies { trusted: vec!["10.0.0.0/8".parse().expect("a network")], header };
        let mut headers = HeaderMap::new();
        let name = if header == ForwardedHeader::Forwarded { FORWARDED } else { X_FORWARDED_FOR };
        for line in data.split(|byte| *byte == b'\n') {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(name.clone(), value);
            }
        }
        assert_eq!(proxies.sender(stranger, &headers), stranger, "a stranger is not believed");
        let _ = proxies.sender(proxy, &headers);
        let written = if header == ForwardedHeader::Forwarded { "for=203.0.113.7" } else { "203.0.113.7" };
        headers.append(name, HeaderValue::from_static(written));
        assert_eq!(proxies.sender(proxy, &headers), stranger, "the proxy is");
    }
});
