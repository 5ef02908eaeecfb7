//! `cargo xtask run`: the program on this machine, with its tray where there is a desktop.
//!
//! It must not touch anything of its own accord: what is read and written, the programs do.
//! Where to read next: `demo`, `bundle`.

use std::env;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cargo::{self, Programs};
use crate::parts::WINDOW;
use crate::{bundle, demo, system};

/// Builds the tray and starts it; without a desktop the command line, in the foreground. Where nothing
/// is signed in on this machine, the demo.
pub(crate) fn run(install: bool) -> Result<bool> {
    let programs = Programs::build(&[])?;
    let found = Found::on_this_machine(&programs)?;
    if let Found::Unreadable = found {
        return cargo::succeeds(&mut cargo::program(&programs.lamplighter, &["status"]));
    }
    if let Found::Nothing = found {
        outln!("No MCP sign-in was found on this machine, so here is the demo.");
    }
    match desktop(install) {
        Ok(()) => tray(&found),
        Err(why) => {
            outln!("{why}; the same without a window:");
            headless(&programs, &found)
        }
    }
}

/// What there is to keep.
enum Found {
    SignIns,
    Nothing,
    /// Something is there that can't be read.
    Unreadable,
}

impl Found {
    fn on_this_machine(programs: &Programs) -> Result<Self> {
        let mut status = cargo::program(&programs.lamplighter, &["status", "--json"]);
        let output = status.output().context("cannot start lamplighter")?;
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let servers = document.get("servers").and_then(Value::as_array);
        let mut signed_in =
            servers.into_iter().flatten().filter(|s| s["health"] != "not_signed_in");
        Ok(match (signed_in.next(), output.status.success()) {
            (Some(_), _) => Self::SignIns,
            // With nothing listed, only a success means that nothing is there.
            (None, true) => Self::Nothing,
            (None, false) => Self::Unreadable,
        })
    }
}

/// Whether a window can be built and shown here; why not, in words.
fn desktop(install: bool) -> Result<(), String> {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let linux = cfg!(target_os = "linux");
    if linux && !set("DISPLAY") && !set("WAYLAND_DISPLAY") {
        return Err("There is no display here".to_owned());
    }
    system::ensure(WINDOW, install).map_err(|why| format!("{why:#}"))
}

fn tray(found: &Found) -> Result<bool> {
    outln!("Building the tray; the first time this takes some minutes.");
    let built = cargo::build(&["build", "--workspace", "--bin", "lamplighter-tray"])?;
    let program = cargo::pick(&built, "lamplighter-tray")?;
    let args: &[&str] = if let Found::Nothing = found { &["--demo"] } else { &[] };
    if cfg!(target_os = "macos") {
        return bundle::open(&program, args);
    }
    outln!("Lamplighter's icon is in your panel; Quit in its menu, or Ctrl-C here, ends it.");
    cargo::succeeds(&mut cargo::program(&program, args))
}

fn headless(programs: &Programs, found: &Found) -> Result<bool> {
    if let Found::Nothing = found {
        return demo::show(programs);
    }
    outln!("Keeping the sign-ins of this machine; Ctrl-C ends it.");
    cargo::succeeds(&mut cargo::program(&programs.lamplighter, &["keep"]))
}
