//! `cargo xtask test`: runs parts one after the other, and counts.
//!
//! It must not stop at a part that failed. Where to read next: `parts`.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::parts::{Outcome, PARTS, Part, Shared};
use crate::system;

/// Says which parts there are.
pub(crate) fn list(names: &[String]) -> Result<bool> {
    for part in chosen(names)? {
        println!("{:<12} {}", part.name, part.about);
    }
    Ok(true)
}

/// Runs the parts that are named, or all.
pub(crate) fn run(names: &[String], install: bool, long: bool) -> Result<bool> {
    let parts = chosen(names)?;
    let tools: Vec<_> = parts.iter().flat_map(|part| part.tools()).copied().collect();
    system::ensure(&tools, install)?;
    let shared = Shared::new(install, long);
    let mut rows = Vec::new();
    for part in parts {
        println!("\n== {}: {}", part.name, part.about);
        let started = Instant::now();
        let outcome = part.run(&shared).unwrap_or_else(|error| {
            eprintln!("xtask: {error:#}");
            Outcome::Failed
        });
        let seconds = started.elapsed().as_secs_f64();
        println!("-- {}: {} ({seconds:.1} s)", part.name, word(&outcome));
        rows.push((part.name, outcome, seconds));
    }
    println!();
    for (name, outcome, seconds) in &rows {
        println!("{name:<12} {seconds:>7.1} s  {}", word(outcome));
    }
    let failed = rows.iter().filter(|row| matches!(row.1, Outcome::Failed)).count();
    let skipped = rows.iter().filter(|row| matches!(row.1, Outcome::Skipped(_))).count();
    let passed = rows.len() - failed - skipped;
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

/// The parts that are named, in the table's order; all, if none is.
fn chosen(names: &[String]) -> Result<Vec<&'static Part>> {
    if let Some(name) = names.iter().find(|name| PARTS.iter().all(|part| part.name != **name)) {
        let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        bail!("no part {name:?}; there are: {}", known.join(" "));
    }
    let wanted = |part: &&Part| names.is_empty() || names.iter().any(|name| name == part.name);
    Ok(PARTS.iter().filter(wanted).collect())
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "passed".to_owned(),
        Outcome::Failed => "FAILED".to_owned(),
        Outcome::Skipped(why) => format!("skipped ({why})"),
    }
}
