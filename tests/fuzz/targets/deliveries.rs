//! What a sender controls: headers, signatures and bodies, of every kind of source.
//!
//! The input is a byte that chooses the source and whether the delivery is signed properly, lines of headers, each a byte that
//! chooses the name and the value, an empty line, and the body.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pointsman::sources::{Algorithm, Secret};
use pointsman_actors::event::{Delivery, Headers};
use pointsman_actors::time::Timestamp;
use pointsman_fuzz::{SECRET, sources};

/// A moment of this century.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let (name, source) = &sources()[usize::from(choice & 0x7f) % sources().len()];
    let is_signed = choice & 0x80 != 0;
    let end = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
    let (head, body) = (&rest[..end], rest.get(end + 2..).unwrap_or_default());
    let names = source.headers();
    let mut headers = Headers::default();
    for (number, value) in head.split(|byte| *byte == b'\n').filter_map(|line| line.split_first()) {
        headers.push(names[usize::from(*number) % names.len()], Bytes::copy_from_slice(value));
    }
    if is_signed {
        sign(&mut headers, name.as_str(), body);
    }
    let _ = source.inspect(&headers);
    let body = Bytes::copy_from_slice(body);
    let delivery = Delivery { source: name.clone(), headers, body, peer: None, received_at: NOW };
    let authentic = source.authenticate(&delivery, NOW);
    assert!(is_signed || authentic.is_err(), "nobody has signed this");
    let Ok(reading) = source.read(&delivery) else { return };
    assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&reading.payload).is_ok(), "what is read is JSON");
    assert!(reading.facts.correlation_keys.iter().all(|key| key.contains(':')), "a key says of which kind it is");
});

/// Adds what proves a delivery of the source.
fn sign(headers: &mut Headers, source: &str, body: &[u8]) {
    let secret = Secret::new(SECRET);
    let hex: String = secret.sign(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let proofs = match source {
        "github" => vec![("x-hub-signature-256", format!("sha256={hex}"))],
        "linear" => vec![("linear-signature", hex)],
        "codegen" => vec![("x-codegen-signature", format!("sha256={hex}"))],
        "claude-code" => vec![("x-claude-signature", format!("sha256={hex}"))],
        "coded" => vec![("x-signature", format!("v0={}", STANDARD.encode(secret.sign_with(Algorithm::Sha512, body))))],
        "opened" => vec![("x-token", SECRET.to_owned())],
        _ => {
            let code = STANDARD.encode(secret.sign_standard(&[b"id.1800000000.", body]));
            vec![
                ("svix-id", "id".to_owned()),
                ("svix-timestamp", "1800000000".to_owned()),
                ("svix-signature", format!("v1,{code}")),
            ]
        }
    };
    for (name, value) in proofs {
        headers.push(name, Bytes::from(value));
    }
}
