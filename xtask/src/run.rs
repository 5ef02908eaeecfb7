//! `cargo xtask run`: the program on this machine.
//!
//! It must not touch anything of its own accord: what is read and written, `lamplighter` does.
//! Where to read next: `demo`.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cargo::{self, Programs};
use crate::demo;

/// Builds the command line; keeps what is here signed in, or gives the demo.
pub(crate) fn run(install: bool) -> Result<bool> {
    // The command line needs no system package; the tray will.
    let _: bool = install;
    let programs = Programs::build(&[])?;
    let mut status = cargo::program(&programs.lamplighter, &["status", "--json"]);
    let output = status.output().context("cannot start lamplighter")?;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let servers = document.get("servers").and_then(Value::as_array);
    let mut signed_in = servers.into_iter().flatten().filter(|s| s["health"] != "not_signed_in");
    let some = signed_in.next().is_some();
    // With nothing listed, only a success means that nothing is there: a store may be unreadable.
    if !some && output.status.success() {
        println!("No MCP sign-in was found on this machine, so here is the demo.");
        return demo::show(&programs);
    }
    if !some {
        return cargo::succeeds(&mut cargo::program(&programs.lamplighter, &["status"]));
    }
    println!("Keeping the sign-ins of this machine; Ctrl-C ends it.");
    cargo::succeeds(&mut cargo::program(&programs.lamplighter, &["keep"]))
}
