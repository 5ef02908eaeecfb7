//! JSON in the one form that the keychain's tool gives back as it was put in: compact, and printable
//! ASCII throughout.
//!
//! `security -w` prints a value in hexadecimal if a single byte of it is not printable (measured
//! elsewhere: on macOS 26 a line break is enough). Claude Code cannot read that, and overwrites the
//! item as if it were empty. So characters beyond ASCII become `\uXXXX`, which means the same inside
//! a string, and they stand nowhere else in JSON; white space between values goes. Numbers, escapes,
//! key order and doubles stay as they stand.

use lamplighter_core::hex::hex;

/// The same JSON in that form. `json` must be valid: what is not in a string is taken to be one of
/// JSON's own characters.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 64);
    let mut in_string = false;
    let mut escaped = false;
    for c in json.chars() {
        if !in_string && c.is_ascii_whitespace() {
            continue;
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
        if matches!(c, ' '..='~') {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str("\\u");
            out.push_str(&hex(&unit.to_be_bytes()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn white_space_between_values_goes_and_everything_else_stays() {
        let text =
            "{ \"a\\\" b\" :\t[1e3, 1.0 ,\r\n \"\\\\\" ] , \"\u{e9}\u{1F600}\u{7f}\":-0.0 }\n";
        let compacted = r#"{"a\" b":[1e3,1.0,"\\"],"\u00e9\ud83d\ude00\u007f":-0.0}"#;
        assert_eq!(compact(text), compacted);
        assert_eq!(compact(compacted), compacted);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_means_the_same_and_every_byte_can_be_printed(
            members in prop::collection::hash_map(".{0,12}", prop::collection::vec(".{0,12}", 0..3), 0..6),
            pretty in any::<bool>(),
        ) {
            let value = serde_json::json!(members);
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let out = compact(&text.unwrap());
            prop_assert!(out.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), value);
        }
    }
}
