//! What the benchmarks and the crash driver share.

pub mod process;

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret that drivers and servers under load share.
pub const SECRET: &str = "load";

/// GitHub's signature of `body`: `sha256=` and lower-case hex.
pub fn signature(body: &[u8]) -> anyhow::Result<String> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?.chain_update(body);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

/// The time that `percent` of these, which are sorted, do not exceed; `None` of none.
pub fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let check = |millis: &[u64], percent, expect: Option<u64>| {
            let times: Vec<Duration> = millis.iter().copied().map(Duration::from_millis).collect();
            assert_eq!(quantile(&times, percent), expect.map(Duration::from_millis), "{millis:?} {percent}");
        };
        check(&[], 50, None);
        check(&[7], 99, Some(7));
        check(&[1, 2, 3, 4], 50, Some(3));
        check(&[1, 2, 3, 4], 99, Some(4));
        check(&[1, 2, 3, 4], 100, Some(4));
    }
}
