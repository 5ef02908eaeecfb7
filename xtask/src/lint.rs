//! `cargo xtask lint`: the parts of `test` that read the source and run nothing of it.
//!
//! It must not have checks of its own. Where to read next: `parts`.

use anyhow::Result;

use crate::cargo;
use crate::parts::LINT;
use crate::test::{self, Ways};

/// Lets the tools change what they can, if wanted, then checks.
pub(crate) fn run(fix: bool, install: bool) -> Result<bool> {
    if fix {
        cargo::must(&mut cargo::cargo(&["fmt", "--all"]))?;
        let clippy = ["clippy", "--fix", "--allow-dirty", "--workspace", "--all-targets"];
        // What it can't mend, the check below reports.
        cargo::succeeds(&mut cargo::cargo(&clippy))?;
        cargo::must(&mut cargo::cargo(&["fmt", "--all"]))?;
    }
    test::run(&LINT.map(str::to_owned), Ways { install, ..Ways::default() })
}
