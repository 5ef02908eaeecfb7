//! `lamplighter completions` and `lamplighter man`: made from the same description as the help.

use std::path::Path;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use lamplighter_engine::output;

use crate::args::Cli;

/// Prints the completion script of this shell.
pub(crate) fn completions(shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lamplighter", &mut script);
    output::out().bytes(&script);
    0
}

/// Prints the manual page of the command; with a folder, writes one page a command into it.
pub(crate) fn man(out: Option<&Path>) -> anyhow::Result<u8> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(out) = out else {
        output::out().text(&page(&command)?.1);
        return Ok(0);
    };
    let failed = || format!("writing manual pages to {}", out.display());
    std::fs::create_dir_all(out).with_context(failed)?;
    let mut commands = vec![&command];
    while let Some(command) = commands.pop() {
        let (name, text) = page(command)?;
        std::fs::write(out.join(name), text).with_context(failed)?;
        commands.extend(command.get_subcommands().filter(|command| !command.is_hide_set()));
    }
    Ok(0)
}

/// One command's page, with the name of its file.
fn page(command: &Command) -> anyhow::Result<(String, String)> {
    let source = concat!("lamplighter ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source);
    let mut page = Vec::new();
    man.render(&mut page).context("making a manual page")?;
    // What follows the options in the help is examples, first of all.
    let text = String::from_utf8(page)?.replace(".SH EXTRA", ".SH EXAMPLES");
    Ok((man.get_filename(), text))
}
