//! What the benchmarks and the crash driver share.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret that drivers and servers under load share.
pub const SECRET: &str = "load";

/// GitHub's signature of `body`: `sha256=` and lower-case hex.
pub fn signature(body: &[u8]) -> anyhow::Result<String> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?.chain_update(body);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}
