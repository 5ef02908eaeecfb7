//! Names for stores, entries, grants, flights and tickets.
//!
//! A newtype for every string that means something, so that one cannot stand where another belongs.

use alloc::{format, string::String};
use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    hex::{hex, unhex},
    secret::Secret,
    text,
};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        #[cfg_attr(test, ts(type = "string"))]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

text_id! {
    /// One store of one client: `claude-code`, or `claude-code@DIR` for another config folder.
    StoreId
}
text_id! {
    /// The key under which a store keeps one entry, byte for byte as the client wrote it.
    EntryKey
}
text_id! {
    /// What a person calls one server in one store: `claude-code/slack`.
    GrantId
}
text_id! {
    /// One record of the journal, unique for all time on this machine.
    RecordId
}

impl StoreId {
    /// What this store was called by versions that did not encode what can't be seen in a folder's name;
    /// `None` where that is the same.
    pub fn before_encoding(&self) -> Option<Self> {
        let earlier = text::decoded(&self.0);
        (earlier != self.0).then_some(Self(earlier))
    }
}

impl GrantId {
    /// What a server of this name is called where it is the only one of its store.
    pub fn of(store: &StoreId, server_name: &str) -> Self {
        Self(format!("{store}/{}", text::encoded(server_name)))
    }
}

/// One entry in one store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Which store.
    pub store: StoreId,
    /// Which entry in it.
    pub key: EntryKey,
}

/// One refresh in the air; names the locks that are held for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(pub u64);

/// One effect, answered by one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One sign-in in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignInId(pub u64);

/// Where a callback came in, and its answer goes out: a browser tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Door(pub u64);

/// A keyed fingerprint of a token: tells whether two are the same without keeping either.
///
/// HMAC-SHA-256 under a key of this machine, cut to 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenMark(pub [u8; 16]);

impl TokenMark {
    /// The mark of `token` under `key`.
    pub fn of(key: &MarkKey, token: &Secret) -> Self {
        // HMAC takes a key of any length; the type says it could fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else {
            return Self([0; 16]);
        };
        mac.update(token.expose().as_bytes());
        let whole = mac.finalize().into_bytes();
        let mut cut = [0; 16];
        cut.copy_from_slice(&whole[..16]);
        Self(cut)
    }
}

impl From<TokenMark> for String {
    fn from(mark: TokenMark) -> Self {
        hex(&mark.0)
    }
}

impl TryFrom<String> for TokenMark {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = unhex(&text).ok_or("a token mark is 32 hexadecimal digits")?;
        Ok(Self(bytes.try_into().map_err(|_| "a token mark is 32 hexadecimal digits")?))
    }
}

/// The key of this machine's token marks: 32 bytes of OS entropy, made once.
#[derive(Clone, PartialEq, Eq)]
pub struct MarkKey(pub [u8; 32]);

impl fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[mark key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_tokens_apart_and_survives_its_text_form() {
        let key = MarkKey([7; 32]);
        let mark = TokenMark::of(&key, &Secret::new("rt-1"));
        assert_eq!(mark, TokenMark::of(&key, &Secret::new("rt-1")));
        assert_ne!(mark, TokenMark::of(&key, &Secret::new("rt-2")));
        assert_ne!(mark, TokenMark::of(&MarkKey([8; 32]), &Secret::new("rt-1")));
        assert_eq!(TokenMark::try_from(String::from(mark)), Ok(mark));
        assert!(TokenMark::try_from(String::from("0g")).is_err());
    }
}
