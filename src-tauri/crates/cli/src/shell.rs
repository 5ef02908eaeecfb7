//! `lamplighter completions` and `lamplighter man`: made from the same description as the help.

use std::{io::Write, path::Path};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;

/// Prints the completion script of this shell.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lamplighter", &mut script);
    print(&script)
}

/// Prints the manual page of the command; with a folder, writes one page a command into it.
pub(crate) fn man(out: Option<&Path>) -> anyhow::Result<u8> {
    let Some(out) = out else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page).context("making the manual page")?;
        return print(&page);
    };
    let failed = || format!("writing manual pages to {}", out.display());
    std::fs::create_dir_all(out).with_context(failed)?;
    clap_mangen::generate_to(Cli::command(), out).with_context(failed)?;
    Ok(0)
}

/// A reader that has seen enough is no failure.
fn print(bytes: &[u8]) -> anyhow::Result<u8> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(0),
    }
}
