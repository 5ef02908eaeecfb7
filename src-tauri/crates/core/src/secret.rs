//! The one type that holds a token, a client secret or anything else nobody may read.
//!
//! It must not be printed, serialized or compared in variable time. See `SECURITY.md`.

use alloc::string::String;
use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text, wiped from memory when dropped.
///
/// There is no `Display`:
/// ```compile_fail
/// println!("{}", lamplighter_core::secret::Secret::new("hush"));
/// ```
/// and no `Serialize`:
/// ```compile_fail
/// serde_json::to_string(&lamplighter_core::secret::Secret::new("hush"));
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    ///
    /// # Security
    /// Only for what sends it to its own server or writes it to its own store.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_a_fixed_word() {
        assert_eq!(format!("{:?}", Secret::new("xoxe-1")), "[secret]");
        assert_eq!(format!("{:#?}", Some(Secret::new("xoxe-1"))), "Some(\n    [secret],\n)");
    }

    #[test]
    fn equal_texts_are_equal_and_others_are_not() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("ab"));
    }
}
