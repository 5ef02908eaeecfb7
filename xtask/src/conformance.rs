//! `cargo xtask conformance`: the official MCP conformance suite against our sign-in flow.
//!
//! It must run where there is only loopback. What a full MCP client would have to do besides signing
//! in is named, with the reason, in `tests/conformance-expected.yml`: a failure that is not in there
//! fails the run, and so does a success that is.
//! Where to read next: `tests/src/bin/conformance-client.rs`.

use std::process::Stdio;

use anyhow::Result;

use crate::{cargo, namespace::Namespace, peers};

/// What the suite is asked for, and by which way the browser comes back.
const RUNS: [(&[&str], &str); 5] = [
    (&["--suite", "auth"], "loopback"),
    (&["--suite", "auth"], "scheme"),
    (&["--suite", "backcompat"], "loopback"),
    (&["--requirements", "2025-11-25"], "loopback"),
    (&["--requirements", "2026-07-28"], "loopback"),
];

/// Runs all of it; whether each run passed.
pub(crate) fn run(namespace: Namespace) -> Result<bool> {
    let built = cargo::build(&["build", "-p", "lamplighter-tests", "--bins"])?;
    let client = cargo::pick(&built, "conformance-client")?;
    let folder = peers::folder();
    let node = folder.join("node-22.23.3/node_modules/.bin/node");
    let suite = folder.join("conformance-0.2.0-alpha.12/node_modules/@modelcontextprotocol");
    let expected = cargo::root().join("tests/conformance-expected.yml");
    let mut well = true;
    for (what, redirect) in RUNS {
        println!("\n-- {} by {redirect}", what.join(" "));
        let mut command = namespace.command(&node);
        command.arg(suite.join("conformance/dist/index.js")).arg("client").args(what);
        command.args(["--timeout", "90000", "--command"]);
        command.arg(format!("{} --redirect {redirect}", client.display()));
        if what[0] == "--requirements" {
            command.arg("--expected-failures").arg(&expected);
        }
        let output = command.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let summary = text.split_once("=== SUITE SUMMARY ===").map_or(&*text, |(_, rest)| rest);
        println!("{}", summary.trim());
        if !output.status.success() {
            println!("{}", String::from_utf8_lossy(&output.stderr));
            well = false;
        }
    }
    Ok(well)
}
