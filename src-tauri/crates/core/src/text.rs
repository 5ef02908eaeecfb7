//! Text of others, made harmless: whoever names a server must not draw on a terminal, break a line, turn
//! the direction of a sentence, hide letters, or fill a screen.
//!
//! [`harmless`] is the one function for it. Whatever leaves core for people has been through it (see
//! `keeper/harmless.rs`), so that no shell can forget it. Markup is another matter: only the place that
//! knows whether its receiver reads any can escape it, by [`for_markup`]. [`encoded`] is for identifiers, which must stay apart as well.

use alloc::{format, string::String, vec::Vec};
use core::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::hex::unhex;

/// The longest name that is shown whole.
pub const LONGEST_NAME: usize = 100;
/// The longest sentence that is shown whole.
pub const LONGEST_SENTENCE: usize = 2_000;

/// The longest encoded name that is an identifier by itself.
const LONGEST_ENCODED: usize = 100;
/// As much of a longer one as is kept before its digest.
const KEPT: usize = 60;

/// A text of somebody else's as it may be shown: what can't be seen is written out (`\u{202e}`), and
/// after `longest` characters it is cut, visibly.
pub fn harmless(text: &str, longest: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(longest));
    for (count, letter) in text.chars().enumerate() {
        if count == longest {
            shown.push('…');
            break;
        }
        if is_visible(letter) {
            shown.push(letter);
        } else {
            shown.extend(written_out(letter));
        }
    }
    shown
}

/// A name as an identifier shows it: different names never look the same.
///
/// What an identifier means something by (`/`, `~`), what can't be seen and every space but the plain one
/// inside are percent-encoded; a name that is still too long ends with a digest of all of it.
pub fn encoded(name: &str) -> String {
    let encoded = percent_encoded(name, "/~…");
    if encoded.is_empty() {
        // No letter is ever encoded like this.
        return "%".into();
    }
    if encoded.chars().count() > LONGEST_ENCODED {
        let kept: String = encoded.chars().take(KEPT).collect();
        return format!("{kept}…{}", hex(&Sha256::digest(name.as_bytes())[..16]));
    }
    encoded
}

/// A text for a receiver that reads markup: none of it is any.
pub fn for_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A folder's path as an identifier shows it, whatever bytes it is made of: different ones never look
/// the same.
pub fn encoded_path(path: &[u8]) -> String {
    let chunks = path.utf8_chunks().map(|chunk| {
        let invalid = chunk.invalid().iter().map(|byte| format!("%{byte:02X}"));
        percent_encoded(chunk.valid(), "") + &invalid.collect::<String>()
    });
    chunks.collect()
}

/// With these letters encoded, and all that can't be seen.
fn percent_encoded(text: &str, with: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut encoded = String::with_capacity(text.len());
    for (place, letter) in text.chars().enumerate() {
        let at_an_end = place == 0 || place == last;
        let is_space = letter.is_whitespace() && (letter != ' ' || at_an_end);
        if is_space || letter == '%' || with.contains(letter) || !is_visible(letter) {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // A `String` takes every letter.
                let _ = write!(encoded, "%{byte:02X}");
            }
        } else {
            encoded.push(letter);
        }
    }
    encoded
}

/// The identifier that a link names. Whoever made the link may have encoded letters that a URL can't hold,
/// and never one that an identifier encodes: that stands as it is, so that a link means one row.
pub fn identifier_in_link(path: &str) -> String {
    let mut id = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(letter) = rest.chars().next() {
        let (bytes, after) = escapes(rest);
        if bytes.is_empty() {
            id.push(letter);
            rest = &rest[letter.len_utf8()..];
            continue;
        }
        let ends = after.is_empty() || after.starts_with('/');
        for chunk in bytes.utf8_chunks() {
            for (at, letter) in chunk.valid().char_indices() {
                let is_last = ends && at + 1 == chunk.valid().len() && chunk.invalid().is_empty();
                let is_inside = !id.is_empty() && !id.ends_with('/') && !is_last;
                if letter == ' ' && is_inside {
                    id.push(letter);
                } else {
                    id.push_str(&percent_encoded(letter.encode_utf8(&mut [0; 4]), "/~…"));
                }
            }
            id.extend(chunk.invalid().iter().map(|byte| format!("%{byte:02X}")));
        }
        rest = after;
    }
    id
}

/// A text without its percent-encoding; what is no letter becomes the sign for that.
pub fn decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let (bytes, after) = escapes(rest);
        if bytes.is_empty() {
            decoded.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[letter.len_utf8()..];
        } else {
            decoded.extend(bytes);
            rest = after;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The bytes that a text begins with in percent-encoded form, and what follows them.
fn escapes(text: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(byte) = rest.strip_prefix('%').and_then(|digits| unhex(digits.get(..2)?)) {
        bytes.extend(byte);
        rest = &rest[3..];
    }
    (bytes, rest)
}

fn written_out(letter: char) -> impl Iterator<Item = char> {
    // Short forms exist for line breaks and the tabulator.
    let short = matches!(letter, '\n' | '\r' | '\t');
    let (plain, long) = (letter.escape_default(), letter.escape_unicode());
    plain.filter(move |_| short).chain(long.filter(move |_| !short))
}

/// Whether a letter shows itself and nothing else changes by it. Unicode's format characters, fillers
/// and separators do not (Unicode 16, general categories Cc, Cf, Zl, Zp, and what renders as nothing).
pub(crate) fn is_visible(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_draws_breaks_turns_or_hides_is_written_out() {
        for (text, shown) in [
            ("slack", "slack"),
            ("Büro 🏢 日本 عربي", "Büro 🏢 日本 عربي"),
            ("a\u{1b}[2J", "a\\u{1b}[2J"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("txt.\u{202e}exe", "txt.\\u{202e}exe"),
            ("a\u{2066}b\u{200b}c\u{feff}", "a\\u{2066}b\\u{200b}c\\u{feff}"),
            ("a\u{2028}b", "a\\u{2028}b"),
            ("\u{e0041}\u{ad}", "\\u{e0041}\\u{ad}"),
        ] {
            assert_eq!(harmless(text, LONGEST_NAME), shown);
        }
    }

    #[test]
    fn what_is_very_long_is_cut_where_it_can_be_seen() {
        assert_eq!(harmless("abcdef", 3), "abc…");
        assert_eq!(harmless("abc", 3), "abc");
        let endless = "x".repeat(1_000_000);
        assert_eq!(harmless(&endless, LONGEST_NAME).chars().count(), LONGEST_NAME + 1);
    }

    #[test]
    fn nothing_in_a_text_for_markup_is_markup() {
        assert_eq!(for_markup("<a href='x'>R&D</a>"), "&lt;a href='x'&gt;R&amp;D&lt;/a&gt;");
        assert_eq!(for_markup("&lt;b&gt;"), "&amp;lt;b&amp;gt;");
    }

    #[test]
    fn an_everyday_name_is_its_own_identifier() {
        for name in ["slack", "plugin:slack:slack", "my server", "Büro-2", "a.b_c"] {
            assert_eq!(encoded(name), name);
        }
        assert_eq!(encoded("slack~998a"), "slack%7E998a");
        assert_eq!(encoded("team/slack"), "team%2Fslack");
        assert_eq!(encoded(" a "), "%20a%20");
        assert_eq!(encoded("a\u{1b}"), "a%1B");
    }

    /// Letters with which names could be made to look alike.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["[a~%/… .\u{1b}\u{202e}\u{a0}2F7E]{0,6}", "[ab~%]{95,140}", any::<String>(),]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_that_is_shown_can_do_anything(text in any::<String>(), longest in 1..50_usize) {
            let shown = harmless(&text, longest);
            prop_assert!(shown.chars().all(is_visible), "{shown:?}");
            prop_assert!(shown.chars().count() <= longest * 10 + 1);
            prop_assert_eq!(harmless(&shown, usize::MAX), shown, "it is done once");
        }

        #[test]
        fn different_folders_are_different_identifiers(
            one in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'%'), Just(b'F')], 0..8),
            other in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'%'), Just(b'F')], 0..8),
        ) {
            prop_assert_eq!(encoded_path(&one) == encoded_path(&other), one == other);
            prop_assert!(encoded_path(&one).chars().all(is_visible));
        }

        #[test]
        fn an_identifier_in_a_link_is_itself(name in name()) {
            let id = format!("claude-code/{}", encoded(&name));
            prop_assert_eq!(identifier_in_link(&id), id);
        }

        #[test]
        fn different_names_are_different_identifiers(names in prop::collection::vec(name(), 1..60)) {
            let mut seen: BTreeMap<String, &String> = BTreeMap::new();
            for name in &names {
                let id = encoded(name);
                let letters: Vec<char> = id.chars().collect();
                prop_assert!(letters.iter().all(|c| is_visible(*c) && !"/~".contains(*c)), "{id}");
                prop_assert!(letters.len() <= LONGEST_ENCODED);
                if let Some(other) = seen.insert(id.clone(), name) {
                    prop_assert_eq!(other, name, "both are {}", id);
                }
            }
        }
    }
}
