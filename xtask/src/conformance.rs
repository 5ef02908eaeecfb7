//! `cargo xtask conformance`: the official MCP conformance suite against a client that signs in by
//! our flow.
//!
//! It must run where there is only loopback, and must not excuse a failure: every scenario that a
//! revision of the specification scores has to pass. The suite runs extensions besides (grants other
//! than the authorization code), says that they are not scored, and leaves them out of its verdict.
//! Where to read next: `tests/src/conformance.rs`.

use std::process::Stdio;

use anyhow::Result;

use crate::{
    cargo::{self, AS_FOR_TESTS},
    namespace::Namespace,
    peers,
};

/// What the suite is asked for, and by which way the browser comes back.
const RUNS: [(&[&str], &str); 5] = [
    (&["--suite", "auth"], "loopback"),
    (&["--suite", "auth"], "scheme"),
    (&["--suite", "backcompat"], "loopback"),
    (&["--requirements", "2025-11-25"], "loopback"),
    (&["--requirements", "2026-07-28"], "loopback"),
];

const CLIENT: [&str; 4] = ["build", "--workspace", "--bin", "conformance-client"];

/// What the suite says of a client that it had to end. It counts that one by what it had done.
const LATE: &str = "Client timed out after";

/// Runs all of it; whether each run passed.
pub(crate) fn run(namespace: Namespace) -> Result<bool> {
    let built = cargo::build(&[&CLIENT[..], &AS_FOR_TESTS].concat())?;
    let client = cargo::pick(&built, "conformance-client")?;
    let folder = peers::folder();
    let node = folder.join("node-22.23.3/node_modules/.bin/node");
    let suite = folder.join("conformance-0.2.0-alpha.12/node_modules/@modelcontextprotocol");
    let mut well = true;
    for (what, redirect) in RUNS {
        outln!("\n-- {} by {redirect}", what.join(" "));
        let mut command = namespace.command(&node);
        command.arg(suite.join("conformance/dist/index.js")).arg("client").args(what);
        command.args(["--timeout", "90000", "--command"]);
        command.arg(format!("{} --redirect {redirect}", client.display()));
        let output = command.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let summary = text.split_once("=== SUITE SUMMARY ===").map_or(&*text, |(_, rest)| rest);
        outln!("{}", summary.trim());
        let told = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || told.contains(LATE) {
            outln!("{told}");
            well = false;
        }
    }
    Ok(well)
}
