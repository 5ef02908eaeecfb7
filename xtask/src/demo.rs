//! `cargo xtask demo`: the demo, built first.
//!
//! It must not touch anything of the person who runs it; `lamplighter demo` keeps that.
//! Where to read next: `lamplighter`'s own `demo`.

use anyhow::Result;

use crate::cargo::{self, Programs};

/// Builds what it needs, then shows it.
pub(crate) fn run() -> Result<bool> {
    show(&Programs::build(&[])?)
}

/// The keeper at work on servers of its own, until Ctrl-C.
pub(crate) fn show(programs: &Programs) -> Result<bool> {
    cargo::succeeds(&mut cargo::program(&programs.lamplighter, &["demo"]))
}
