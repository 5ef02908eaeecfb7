//! `lamplighter` itself, as a person runs it: one command, its output, its exit code.
//!
//! It must not be built here: `cargo xtask test` builds it first and says where it lies, so that no
//! stale program is ever examined. Where to read next: `home`.

use std::{path::PathBuf, process::Command};

use crate::home::{Home, Ran, run};

/// Where `cargo xtask test` says that the program lies.
const PROGRAM: &str = "LAMPLIGHTER_BIN";

/// `lamplighter ARGS…` in this home.
pub fn lamplighter(home: &Home, args: &[&str]) -> Ran {
    run(command(home, args))
}

/// The same, not yet started.
pub fn command(home: &Home, args: &[&str]) -> Command {
    let program = std::env::var_os(PROGRAM).map(PathBuf::from);
    let program = program.unwrap_or_else(|| {
        panic!("{PROGRAM} is not set: run `cargo xtask test`, which builds what its tests run")
    });
    let mut command = home.command(&program);
    command.args(args);
    command
}
