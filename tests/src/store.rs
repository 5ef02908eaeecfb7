//! Claude Code's own files, written and read by hand: what it would have left behind.
//!
//! It must not share code with the engine's store, or both would share a mistake.
//! Where to read next: `tests/claude_code.rs`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::home::Home;

/// The file with the tokens.
pub const CREDENTIALS: &str = ".credentials.json";
/// The file with the verdicts.
pub const VERDICTS: &str = "mcp-needs-auth-cache.json";

/// The key of a server without headers of its own.
pub fn key(name: &str, url: &str) -> String {
    // Written out, because the order of these three members is part of the key.
    let config = format!(r#"{{"type":"http","url":{},"headers":{{}}}}"#, Value::from(url));
    let digest = Sha256::digest(config.as_bytes());
    let start = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{name}|{start:016x}")
}

/// Milliseconds since 1970, as the store counts.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

/// Writes a file of `~/.claude` as the client does: whole, readable by its user only.
pub fn write(home: &Home, name: &str, text: &str) {
    let path = home.claude(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("~/.claude");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all(text.as_bytes()).expect("a written file");
}

/// The text of a file of `~/.claude`.
pub fn read(home: &Home, name: &str) -> String {
    read_text(&home.claude(name))
}

/// A verdict of this moment: the client believes that this server needs a sign-in.
pub fn write_verdict(home: &Home, server: &str) {
    write(home, VERDICTS, &json!({server: {"timestamp": now_ms()}}).to_string());
}

/// The names of the servers that the client believes to need a sign-in.
pub fn verdicts(home: &Home) -> Vec<String> {
    let path = home.claude(VERDICTS);
    if !path.exists() {
        return Vec::new();
    }
    let value: Value = serde_json::from_str(&read_text(&path)).expect("verdicts are JSON");
    value.as_object().expect("an object").keys().cloned().collect()
}

/// The entry of one server.
pub fn entry(home: &Home, key: &str) -> Value {
    let store: Value = serde_json::from_str(&read(home, CREDENTIALS)).expect("the store is JSON");
    store["mcpOAuth"][key].clone()
}

fn read_text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_is_the_one_that_claude_code_wrote_for_this_server() {
        assert_eq!(super::key("rig", "http://127.0.0.1:8765/mcp"), "rig|c52143f84584caf9");
    }
}
