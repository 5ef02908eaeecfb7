//! The official MCP conformance suite, its client side: it plays a server and judges the client that
//! a command runs.
//!
//! It must not be asked for a whole suite where single scenarios matter: they run all at once there,
//! and one that runs out of time can be printed as passed. Where to read next: `tests/conformance.rs`.

use crate::{
    home::{Home, Ran, run},
    peers,
};

/// How long the client may take in one scenario, in milliseconds.
const PATIENCE_MS: &str = "90000";

/// Judges a command by one scenario. A shell runs it, with the server's address as its last word; the
/// exit code is 0 if every check passed.
pub fn judge(home: &Home, command: &str, scenario: &str) -> Ran {
    let results = home.path().join("conformance");
    let results = results.to_string_lossy();
    let args = ["--command", command, "--scenario", scenario, "--timeout", PATIENCE_MS];
    suite(home, &[&["client", "--output-dir", &results], args.as_slice()].concat())
}

/// The scenarios for clients, by name.
pub fn scenarios(home: &Home) -> Vec<String> {
    let listed = suite(home, &["list", "--client"]).succeeded().out;
    let names = listed.lines().filter_map(|line| line.trim().strip_prefix("- "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn suite(home: &Home, args: &[&str]) -> Ran {
    let packages = peers::installed("conformance-0.2.0-alpha.12");
    let mut command = home.command(&peers::node());
    command.arg(packages.join("@modelcontextprotocol/conformance/dist/index.js")).args(args);
    run(command)
}
