//! Where the real peers lie that `cargo xtask` installs: `target/peers/NAME-VERSION`.
//!
//! It must not install anything: a test that finds a peer missing says which command brings it.
//! Where to read next: `xtask/src/peers.rs`, which does install, and holds the same versions.

use std::path::{Path, PathBuf};

/// Set by `cargo xtask test` once it has made a network namespace that has only loopback.
pub const ISOLATED: &str = "LAMPLIGHTER_IN_NAMESPACE";

/// Where peers lie, if not in the workspace's own target folder.
const FOLDER: &str = "LAMPLIGHTER_PEERS";

/// The program of one version of Claude Code.
pub fn claude_code(version: &str) -> PathBuf {
    let folder = folder().join(format!("claude-code-{version}"));
    let program = folder.join("node_modules/.bin/claude");
    assert!(
        program.exists(),
        "Claude Code {version} is not installed in {}: run `cargo xtask test claude-code`",
        folder.display()
    );
    program
}

/// Ends the test where real peers could reach anything but this machine.
pub fn require_isolation() {
    assert!(
        std::env::var_os(ISOLATED).is_some_and(|value| value == "1"),
        "real programs run only where there is no network: run `cargo xtask test claude-code`"
    );
    // The word of a variable is not enough: a namespace of our own has no other interface.
    let interfaces = std::fs::read_to_string("/proc/net/dev").expect("/proc/net/dev");
    let names =
        interfaces.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    let others: Vec<&str> = names.filter(|name| *name != "lo").collect();
    assert!(others.is_empty(), "this namespace has a network: {others:?}");
}

fn folder() -> PathBuf {
    match std::env::var_os(FOLDER) {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
    }
}
