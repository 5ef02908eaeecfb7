//! Asking before something is done that can't be taken back: on a terminal, or not at all.

use std::io::{BufRead, IsTerminal};

use lamplighter_engine::output;

/// Whether somebody is here to ask.
pub(crate) fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks; everything but a yes is a no.
pub(crate) fn agreed(question: &str) -> std::io::Result<bool> {
    output::err().text(&format!("{question} [y/N] "));
    output::err().flush(None);
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
