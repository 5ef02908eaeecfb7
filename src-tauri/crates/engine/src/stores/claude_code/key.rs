//! The key of an entry: the server's name and a fingerprint of its configuration.
//!
//! `NAME|` and the first 16 hexadecimal digits of the SHA-256 of
//! `{"type":…,"url":…,"headers":{…}}`, compact, in that order, headers as configured (measured with
//! 2.1.119 and 2.1.330).

use lamplighter_core::hex::hex;
use lamplighter_core::ids::EntryKey;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

#[derive(Serialize)]
struct Hashed<'a> {
    r#type: &'a str,
    url: &'a str,
    headers: &'a Map<String, Value>,
}

/// The key that Claude Code gives to this configuration. `kind` is `http` or `sse`.
pub(super) fn entry_key(
    name: &str,
    kind: &str,
    url: &str,
    headers: &Map<String, Value>,
) -> Option<EntryKey> {
    let hashed = serde_json::to_string(&Hashed { r#type: kind, url, headers }).ok()?;
    let digest = hex(&Sha256::digest(hashed.as_bytes()));
    Some(EntryKey(format!("{name}|{}", &digest[..16])))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str, kind: &str, url: &str, headers: &Value) -> String {
        entry_key(name, kind, url, headers.as_object().unwrap()).unwrap().0
    }

    #[test]
    fn keys_are_the_ones_that_the_program_writes() {
        let none = json!({});
        let rig = "http://127.0.0.1:8765/mcp";
        assert_eq!(key("rig", "http", rig, &none), "rig|c52143f84584caf9");
        assert_eq!(
            key("slack-frends", "http", "https://mcp.slack.com/mcp", &none),
            "slack-frends|38801a7d845718b3"
        );
        assert_eq!(
            key("linear", "sse", "https://mcp.linear.app/sse", &none),
            "linear|56dfdedec9c25030"
        );
        assert_eq!(
            key("added", "http", rig, &json!({"X-B": "2", "X-A": "1"})),
            "added|cfe4c44370dfa269"
        );
        assert_eq!(key("sse", "sse", rig, &none), "sse|cc8852c3ed66256a");
        assert_eq!(
            key("envhdr", "http", rig, &json!({"X-T": "sekrit"})),
            "envhdr|db7844b5570c03a9"
        );
    }
}
