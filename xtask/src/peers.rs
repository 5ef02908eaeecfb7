//! The real Claude Code, in every version that is examined: `target/peers/claude-code-VERSION`.
//!
//! It must not run one: only `namespace` does, where there is no network. Each is installed once.
//! Where to read next: `tests/src/peers.rs`, which finds them, and `tests/tests/claude_code.rs`.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::{cargo, system};

/// The versions, each a different way of keeping a sign-in.
pub(crate) const VERSIONS: [&str; 3] = ["2.1.119", "2.1.220", "2.1.330"];
/// The one beside which `bench status` puts its figures.
pub(crate) const NEWEST: &str = "2.1.330";
const PACKAGE: &str = "@anthropic-ai/claude-code";
const LEAST_NODE: u32 = 20;

/// Where all peers lie.
pub(crate) fn folder() -> PathBuf {
    cargo::target().join("peers")
}

/// The program of one version, whether or not it is installed.
pub(crate) fn program(version: &str) -> PathBuf {
    folder().join(format!("claude-code-{version}/node_modules/.bin/claude"))
}

/// Installs the versions that are not there yet.
pub(crate) fn install() -> Result<()> {
    system::require_node(LEAST_NODE)?;
    for (index, version) in VERSIONS.iter().enumerate() {
        let step = format!("[{}/{}] Claude Code {version}", index + 1, VERSIONS.len());
        if program(version).exists() {
            println!("{step}: there already");
            continue;
        }
        println!("{step}: installing");
        let started = Instant::now();
        let folder = folder().join(format!("claude-code-{version}"));
        fs::create_dir_all(&folder)?;
        let mut npm = cargo::program("npm", &["install", "--no-audit", "--no-fund", "--prefix"]);
        npm.arg(&folder).arg(format!("{PACKAGE}@{version}"));
        cargo::must(&mut npm)?;
        if !program(version).exists() {
            bail!("npm installed Claude Code {version} without a program");
        }
        println!("{step}: installed in {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}
