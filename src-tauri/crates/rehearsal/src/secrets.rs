//! Random values, their short names, and the time they are stamped with.
//!
//! What it must not do: print a whole token. Logs carry [`short_id`] only.
//!
//! Where to read next: `ledger`, which hands the values out.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// A short name for a token that doesn't give the token away: 10 hex digits of its SHA-256.
pub fn short_id(token: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = Sha256::digest(token.as_bytes());
    let mut out = String::with_capacity(10);
    for byte in hash.iter().take(5) {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// The S256 challenge for a verifier (RFC 7636 §4.2).
pub(crate) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Makes unguessable values: 192 bits of the system's randomness, or, should the system refuse,
/// the start value and a counter hashed, so that minting can't fail.
#[derive(Debug)]
pub(crate) struct Source {
    seed: [u8; 32],
    count: u64,
}

impl Source {
    pub(crate) fn new() -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(Self { seed, count: 0 })
    }

    pub(crate) fn value(&mut self, prefix: &str) -> String {
        self.count += 1;
        let mut fresh = [0; 24];
        if getrandom::fill(&mut fresh).is_err() {
            let hash = Sha256::new()
                .chain_update(self.seed)
                .chain_update(self.count.to_be_bytes())
                .finalize();
            fresh.copy_from_slice(&hash[..24]);
        }
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(fresh))
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
