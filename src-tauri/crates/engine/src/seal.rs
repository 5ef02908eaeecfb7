//! The seal on the journal: XChaCha20-Poly1305 under a key that lies in the system's keyring.
//!
//! Its 24-byte nonces are drawn at random for each write, which is safe for any number of writes.

use std::fmt;

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{AeadInOut, KeyInit},
};
use lamplighter_core::{
    ids::{MarkKey, TokenMark},
    secret::Secret,
};
use zeroize::Zeroizing;

/// The length of a key in bytes.
pub const KEY_BYTES: usize = 32;

/// Bound to every sealed text, so that none can stand in for another kind.
const PURPOSE: &[u8] = b"lamplighter journal 1";

/// The journal's key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Key {
    /// A new key from the system's entropy.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// A key that was kept; `None` where it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The key itself.
    ///
    /// # Security
    /// Only for what keeps it in the keyring.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Tells keys apart without saying anything about either.
    pub(crate) fn name(&self) -> String {
        TokenMark::of(&MarkKey(*self.0), &Secret::new("lamplighter journal key")).into()
    }

    /// Seals `text` in place and returns the nonce.
    pub(crate) fn seal(&self, text: &mut Vec<u8>) -> Result<[u8; 24], SealFault> {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|_| SealFault)?;
        let sealed = self.cipher().encrypt_in_place(&XNonce::from(nonce), PURPOSE, text);
        sealed.map(|()| nonce).map_err(|_| SealFault)
    }

    /// Opens `text` in place.
    pub(crate) fn open(&self, nonce: [u8; 24], text: &mut Vec<u8>) -> Result<(), SealFault> {
        let opened = self.cipher().decrypt_in_place(&XNonce::from(nonce), PURPOSE, text);
        opened.map_err(|_| SealFault)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[journal key]")
    }
}

/// A seal could not be made, or does not fit its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealFault;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_the_same_key_and_no_other() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let mut text = b"hush".to_vec();
        let nonce = key.seal(&mut text).unwrap();
        assert!(!text.windows(4).any(|part| part == b"hush"));
        assert_eq!(other.open(nonce, &mut text.clone()), Err(SealFault));
        let mut bent = text.clone();
        bent[0] ^= 1;
        assert_eq!(key.open(nonce, &mut bent), Err(SealFault));
        key.open(nonce, &mut text).unwrap();
        assert_eq!(text, b"hush");
    }

    #[test]
    fn keys_are_told_apart_by_name_and_never_shown() {
        let key = Key::from_bytes(&[7; KEY_BYTES]).unwrap();
        assert_eq!(key.name(), Key::from_bytes(&[7; KEY_BYTES]).unwrap().name());
        assert_ne!(key.name(), Key::from_bytes(&[8; KEY_BYTES]).unwrap().name());
        assert_eq!(format!("{key:?}"), "[journal key]");
        assert_eq!(Key::from_bytes(b"short"), None);
    }
}
