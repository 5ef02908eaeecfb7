//! What CI runs, in order: one table.
//!
//! A part must not depend on another having run. To add one, add a line to `PARTS`.
//! Where to read next: `test`, which runs them and counts.

use std::cell::OnceCell;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{self, AS_FOR_TESTS, Programs, cargo};
use crate::namespace::Namespace;
use crate::peers::{self, CLAUDE_CODE, OIDC, Peer, SERVERS};
use crate::system::{
    self, CHROMEDRIVER, CHROMIUM, DBUS, DESKTOP_FILES, DUNST, GIO, IMAGEMAGICK, IP, KEYRING, NODE,
    NOTIFY_SEND, NPM, OPENBOX, PANEL, PIP, PKG_CONFIG, Tool, UNSHARE, WEBKIT, WEBKIT_DRIVER,
    XDG_UTILS, XDOTOOL, XFCONF, XVFB,
};
use crate::{conformance, deny};

/// How a part ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It could not run here, for this reason.
    Skipped(String),
}

/// One part of what CI runs.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// What it examines, in a few words.
    pub(crate) about: &'static str,
    /// The commands from system packages that it cannot do without.
    tools: &'static [&'static Tool],
    what: What,
    /// Whether most of its time it waits, so that it costs little beside another.
    pub(crate) waits: bool,
}

#[derive(Debug)]
enum What {
    /// `cargo` with these words, and with this in the environment.
    Cargo(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// The licences, by `cargo-deny`.
    Deny,
    /// A test binary of `tests/tests`.
    Binary(&'static str),
    /// A test binary that runs these peers, and therefore without any network; so many of its tests
    /// run at once.
    Isolated(&'static str, &'static [Peer], u8),
    /// The page in a real browser, by the Node program beside its tests.
    Page,
    /// A test binary that runs the tray on a desktop of its own, with these peers.
    Tray(&'static str, &'static [Peer], u8),
    /// The official conformance suite, with our client.
    Conformance,
}

const fn part(
    name: &'static str,
    about: &'static str,
    tools: &'static [&'static Tool],
    what: What,
) -> Part {
    Part { name, about, tools, what, waits: false }
}

/// A part that mostly waits.
const fn waiting(
    name: &'static str,
    about: &'static str,
    tools: &'static [&'static Tool],
    what: What,
) -> Part {
    Part { name, about, tools, what, waits: true }
}

const CLIPPY: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
const DOC: &[&str] = &["doc", "--workspace", "--no-deps", "--document-private-items"];
/// The whole workspace each time: with part of it cargo would choose other features of what several
/// need, and build all of that once more.
const TEST: &[&str] = &["test", "--workspace", "--lib", "--bins"];
const EXAMPLES: &[&str] = &["test", "--workspace", "--doc"];
const DENY_WARNINGS: &[(&str, &str)] = &[("RUSTDOCFLAGS", "-D warnings")];
/// A real keyring, where the system has the one that the tests know.
const UNIT: &[&Tool] =
    if cfg!(target_os = "linux") { &[&DBUS, &KEYRING, &PKG_CONFIG, &WEBKIT] } else { &[] };
/// What the tray's window is built with, on systems that do not bring it.
pub(crate) const WINDOW: &[&Tool] =
    if cfg!(target_os = "linux") { &[&PKG_CONFIG, &WEBKIT] } else { &[] };
/// A real keyring on a bus of its own.
const HOMES: &[&Tool] = if cfg!(target_os = "linux") { &[&DBUS, &KEYRING] } else { &[] };
const NETWORK: &[&Tool] = &[&DBUS, &IP, &UNSHARE];
const PEERS: &[&Tool] = &[&NODE, &NPM, &IP, &UNSHARE];
const PYTHON_PEERS: &[&Tool] = &[&NODE, &NPM, &PIP, &IP, &UNSHARE];

/// A screen, a bus and a window manager, and a browser that a person's program opens.
#[rustfmt::skip]
const BROWSER: &[&Tool] = &[
    &NODE, &NPM, &IP, &UNSHARE, &DBUS, &XVFB, &OPENBOX, &XDOTOOL, &IMAGEMAGICK, &XDG_UTILS,
    &DESKTOP_FILES, &CHROMIUM, &CHROMEDRIVER,
];
/// What a desktop has besides.
#[rustfmt::skip]
const DESKTOP: &[&Tool] = &[
    &IP, &UNSHARE, &DBUS, &XVFB, &OPENBOX, &XDOTOOL, &IMAGEMAGICK, &XDG_UTILS, &DESKTOP_FILES,
    &PANEL, &XFCONF, &DUNST, &NOTIFY_SEND, &KEYRING, &WEBKIT_DRIVER,
];

const PAGE: &[&Tool] = &[&NODE, &NPM, &CHROMIUM];
/// All that a person's whole desktop has.
#[rustfmt::skip]
const TRAY: &[&Tool] = &[
    &NODE, &NPM, &IP, &UNSHARE, &DBUS, &XVFB, &OPENBOX, &XDOTOOL, &IMAGEMAGICK, &XDG_UTILS,
    &DESKTOP_FILES, &CHROMIUM, &CHROMEDRIVER, &PANEL, &XFCONF, &DUNST, &NOTIFY_SEND, &KEYRING,
    &WEBKIT_DRIVER, &PKG_CONFIG, &WEBKIT, &GIO,
];

/// Everything, in the order in which it runs.
#[rustfmt::skip]
pub(crate) const PARTS: &[Part] = &[
    part("fmt", "every file is formatted", &[], What::Cargo(&["fmt", "--all", "--check"], &[])),
    part("clippy", "no lint speaks", WINDOW, What::Cargo(CLIPPY, &[])),
    part("doc", "the documentation builds, private items too", WINDOW, What::Cargo(DOC, DENY_WARNINGS)),
    part("deny", "licences and sources of all dependencies", &[&PIP], What::Deny),
    part("unit", "the tests inside the crates", UNIT, What::Cargo(TEST, &[])),
    part("examples", "what the documentation shows works, or fails as it says", &[], What::Cargo(EXAMPLES, &[])),
    part("layering", "nothing points up", &[], What::Binary("layering")),
    part("contract", "every store keeps the contract", &[], What::Binary("contract")),
    part("keychain", "the keychain form, against a stand-in", &[], What::Binary("keychain")),
    waiting("cli", "the command line: words, documents, exit codes", &[], What::Binary("cli")),
    waiting("weather", "bad networks, disks and clocks", &[], What::Binary("weather")),
    waiting("disks", "dead disks, odd files, one folder under two names, no watcher", &[], What::Binary("disks")),
    waiting("crash", "ends in every gap of a renewal", &[], What::Binary("crash")),
    waiting("keep", "the keeper in the foreground", &[], What::Binary("keep")),
    waiting("output", "readers, terminals and disks that go away", &[], What::Binary("output")),
    waiting("stores", "copied, broken and absent folders", &[], What::Binary("stores")),
    waiting("children", "programs that are started for a person", &[], What::Binary("children")),
    waiting("reconnect", "signing in, in the browser", &[], What::Binary("reconnect")),
    waiting("sign-out", "signing out, and what is asked before", &[], What::Binary("sign_out")),
    waiting("providers", "providers that go their own way", &[], What::Binary("providers")),
    waiting("odd-servers", "servers that do one thing otherwise", &[], What::Binary("odd_servers")),
    waiting("hostile", "hostile servers at a sign-in", &[], What::Binary("hostile")),
    waiting("trust", "a repository that was cloned, against everything that it names", &[], What::Binary("trust")),
    waiting("network", "no network, a network that comes back, sleep and wake", NETWORK, What::Isolated("network", &[], 3)),
    waiting("leave", "service, on_change, and leaving without a trace", &[], What::Binary("leave")),
    waiting("homes", "several Lamplighters beside each other, each in a home of its own", HOMES, What::Binary("homes")),
    part("claude-code", "the real Claude Code, without a network", PEERS, What::Isolated("claude_code", CLAUDE_CODE, 3)),
    part("beside", "the real Claude Code beside the keeper", PEERS, What::Isolated("beside", CLAUDE_CODE, 3)),
    part("soak", "several of the real Claude Code, and Lamplighter in their midst", PEERS, What::Isolated("soak", CLAUDE_CODE, 2)),
    waiting("oidc", "a certified authorization server, without a network", PEERS, What::Isolated("oidc", OIDC, 16)),
    waiting("servers", "what MCP servers are built on, without a network", PYTHON_PEERS, What::Isolated("servers", SERVERS, 16)),
    part("browser", "Chromium at a certified authorization server, without a network", BROWSER, What::Isolated("browser", OIDC, 2)),
    part("desktop", "what the desktop's own tests see and do", DESKTOP, What::Isolated("desktop", &[], 2)),
    part("page", "the tray's page: types, every state, keyboard, contrast", PAGE, What::Page),
    part("tray", "the tray on a real desktop, without a network", TRAY, What::Tray("tray", peers::TRAY, 1)),
    part("desktop-faults", "a desktop that hangs, ends or comes late, and the tray", TRAY, What::Tray("desktop_faults", &[], 1)),
    part("window", "the tray's real window, by keys alone, without a network", TRAY, What::Tray("window", peers::WINDOW, 1)),
    part("conformance", "the official MCP suite, without a network", PEERS, What::Conformance),
];

/// The parts that `cargo xtask lint` runs.
pub(crate) const LINT: [&str; 4] = ["fmt", "clippy", "doc", "deny"];

/// How many tests that mostly wait run at once.
const WAITING_AT_ONCE: u8 = 8;

/// What all parts of one call share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Whether system packages and peers may be installed.
    install: bool,
    /// Whether more cases are wanted.
    long: bool,
    programs: OnceCell<Programs>,
}

impl Shared {
    /// What a call asks for.
    pub(crate) fn new(install: bool, long: bool) -> Self {
        Self { install, long, programs: OnceCell::new() }
    }

    /// What the tests run, built once a call and never before it.
    fn programs(&self) -> Result<&Programs> {
        if let Some(programs) = self.programs.get() {
            return Ok(programs);
        }
        let programs = Programs::build(&AS_FOR_TESTS)?;
        Ok(self.programs.get_or_init(|| programs))
    }

    /// Builds and installs what these need, so that two of them never do at once.
    pub(crate) fn prepare(&self, parts: &[&Part]) -> Result<()> {
        outln!("\n== what the others need");
        self.programs()?;
        cargo::must(&mut cargo(&["test", "--workspace", "--tests", "--no-run"]))?;
        for part in parts {
            if let What::Isolated(_, peers, _) | What::Tray(_, peers, _) = part.what
                && part.cannot().is_none()
            {
                peers::ensure(peers, self.install)?;
            }
        }
        Ok(())
    }

    /// Adds what every test binary is told.
    fn tell(&self, command: &mut Command) -> Result<()> {
        let programs = self.programs()?;
        command.env("LAMPLIGHTER_BIN", &programs.lamplighter);
        command.env("LAMPLIGHTER_REHEARSAL_BIN", &programs.rehearsal);
        command.env("LAMPLIGHTER_PEERS", peers::folder());
        if self.long {
            command.env("LAMPLIGHTER_LONG", "1");
        }
        Ok(())
    }
}

impl Part {
    /// What has to be there before any part starts; nothing if this one will be skipped anyway.
    pub(crate) fn tools(&self) -> &'static [&'static Tool] {
        if self.cannot().is_some() { &[] } else { self.tools }
    }

    /// Runs it, with its output shown.
    pub(crate) fn run(&self, shared: &Shared) -> Result<Outcome> {
        if let Some(why) = self.cannot() {
            return Ok(Outcome::Skipped(why));
        }
        let passed = match self.what {
            What::Cargo(args, env) => {
                let mut command = cargo(args);
                command.envs(env.iter().copied());
                if shared.long {
                    command.env("LAMPLIGHTER_LONG", "1");
                }
                cargo::succeeds(&mut command)
            }
            What::Deny => deny::check(),
            What::Binary(file) => {
                let mut command = cargo(&["test", "--workspace", "--test", file]);
                if self.waits {
                    command.args(["--", &format!("--test-threads={WAITING_AT_ONCE}")]);
                }
                shared.tell(&mut command)?;
                cargo::succeeds(&mut command)
            }
            What::Isolated(file, peers, at_once) => {
                return isolated(file, self.tools, peers, at_once, shared, None, &[]);
            }
            What::Page => page(self.tools, shared),
            What::Tray(file, peers, at_once) => {
                system::ensure(self.tools, shared.install)?;
                let tray = ["build", "--workspace", "--bin", "lamplighter-tray"];
                let built = cargo::build(&[&tray[..], &AS_FOR_TESTS].concat())?;
                let tray = cargo::pick(&built, "lamplighter-tray")?;
                return isolated(file, self.tools, peers, at_once, shared, Some(&tray), &[]);
            }
            What::Conformance => return conformance(shared),
        };
        Ok(if passed? { Outcome::Passed } else { Outcome::Failed })
    }

    /// Why it can't run here whatever is installed, if so.
    fn cannot(&self) -> Option<String> {
        match self.what {
            What::Binary(_) | What::Cargo(..) | What::Deny | What::Page => return None,
            What::Isolated(..) | What::Tray(..) | What::Conformance => {}
        }
        if !cfg!(target_os = "linux") {
            return Some("network namespaces need Linux".to_owned());
        }
        let built_for = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        (!built_for).then(|| "the peers are built for x86-64 and ARM64 only".to_owned())
    }
}

/// The tray's figures, measured on the desktop that its tests have.
pub(crate) fn bench_tray() -> Result<()> {
    system::ensure(TRAY, true)?;
    let args = ["build", "--profile", "tray", "-p", "lamplighter-tray", "--features"];
    let built = cargo::build(&[&args[..], &["lamplighter-tray/custom-protocol"]].concat())?;
    let tray = cargo::pick(&built, "lamplighter-tray")?;
    let shared = Shared::new(true, false);
    let only = &["--ignored", "--exact", "bench_tray"];
    match isolated("window", TRAY, &[], 1, &shared, Some(&tray), only)? {
        Outcome::Passed => Ok(()),
        Outcome::Skipped(why) => {
            outln!("skipped: {why}");
            Ok(())
        }
        Outcome::Failed => anyhow::bail!("the tray could not be measured"),
    }
}

/// Runs a test binary where there is only loopback; peers are installed before, with the network.
fn isolated(
    file: &str,
    tools: &[&Tool],
    peers: &[Peer],
    at_once: u8,
    shared: &Shared,
    tray: Option<&Path>,
    only: &[&str],
) -> Result<Outcome> {
    system::ensure(tools, shared.install)?;
    let namespace = match Namespace::find() {
        Ok(namespace) => namespace,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    peers::ensure(peers, shared.install)?;
    let built = cargo::build(&["test", "--workspace", "--test", file, "--no-run"])?;
    let mut command = namespace.command(&cargo::pick(&built, file)?);
    // Most of their time they wait, so more of them than there are cores may run at once.
    command.args([&format!("--test-threads={at_once}"), "--nocapture"]).args(only);
    shared.tell(&mut command)?;
    if let Some(tray) = tray {
        command.env("LAMPLIGHTER_TRAY_BIN", tray);
    }
    // As cargo would start it.
    command.current_dir(cargo::root().join("tests"));
    command.env("CARGO_MANIFEST_DIR", cargo::root().join("tests"));
    let passed = cargo::succeeds(&mut command)?;
    Ok(if passed { Outcome::Passed } else { Outcome::Failed })
}

/// Runs the page's tests, whose packages are put beside them first.
fn page(tools: &[&Tool], shared: &Shared) -> Result<bool> {
    system::ensure(tools, shared.install)?;
    let folder = "tests/page";
    let there = cargo::root().join(folder).join("node_modules/typescript").exists();
    if !there {
        anyhow::ensure!(
            shared.install,
            "missing: the packages of {folder}; npm ci --prefix {folder}"
        );
        outln!("Installing the packages of {folder}");
        cargo::must(&mut cargo::program(
            "npm",
            &["ci", "--no-fund", "--no-audit", "--prefix", folder],
        ))?;
    }
    let mut command = cargo::program("node", &["tests/page/run.mjs", "--pictures"]);
    cargo::succeeds(command.arg(cargo::target().join("pictures/page")))
}

/// Runs the official suite where there is only loopback; each of its runs has to pass.
fn conformance(shared: &Shared) -> Result<Outcome> {
    system::ensure(PEERS, shared.install)?;
    let namespace = match Namespace::find() {
        Ok(namespace) => namespace,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    peers::ensure(peers::CONFORMANCE, shared.install)?;
    conformance::run(namespace).map(|well| if well { Outcome::Passed } else { Outcome::Failed })
}
