//! Where the real peers lie that `cargo xtask` installs: `target/peers/NAME-VERSION`.
//!
//! It must not install anything: a test that finds a peer missing says which command brings it.
//! Where to read next: `xtask/src/peers.rs`, which does install, and holds the same versions.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

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

/// What the peers' scripts run on.
pub fn node() -> PathBuf {
    installed("node-22.23.3").join(".bin/node")
}

/// The packages of a peer, as `node_modules`.
pub fn installed(name: &str) -> PathBuf {
    there(folder().join(name).join("node_modules"))
}

/// The Python that has a peer's packages.
pub fn python(name: &str) -> PathBuf {
    there(folder().join(name).join("bin/python"))
}

/// Where the screens of tests that fail are left.
pub fn pictures() -> PathBuf {
    let folder = folder().with_file_name("pictures");
    std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    folder
}

fn there(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is not there: `cargo xtask test` installs what its parts need",
        path.display()
    );
    path
}

/// Ends the test where real peers could reach anything but this machine.
pub fn require_isolation() {
    assert!(
        std::env::var_os(ISOLATED).is_some_and(|value| value == "1"),
        "real programs run only where there is no network: run `cargo xtask test`"
    );
    // The word of a variable is not enough: a namespace of our own has no other interface.
    let interfaces = std::fs::read_to_string("/proc/net/dev").expect("/proc/net/dev");
    let names =
        interfaces.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    let others: Vec<&str> = names.filter(|name| *name != "lo").collect();
    assert!(others.is_empty(), "this namespace has a network: {others:?}");
}

/// Whether real peers may run; says so if not, and that is no failure: plain `cargo test` has none.
pub fn may_run(test: &str) -> bool {
    if std::env::var_os(ISOLATED).is_none_or(|value| value != "1") {
        let said = "SKIPPED: real programs run only where nothing but loopback exists";
        let _ = writeln!(std::io::stderr().lock(), "{said} ({test})");
        return false;
    }
    require_isolation();
    true
}

fn folder() -> PathBuf {
    match std::env::var_os(FOLDER) {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
    }
}
