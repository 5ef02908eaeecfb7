//! `cargo xtask test`: runs parts, and counts.
//!
//! It must not stop at a part that failed. In a whole run the parts that mostly wait run beside those
//! that mostly work. Where to read next: `parts`.

use std::fs::{self, File};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::cargo::cargo;
use crate::parts::{Outcome, PARTS, Part, Shared};
use crate::system;

/// What a call asks for besides names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ways {
    /// Whether system packages and peers may be installed.
    pub(crate) install: bool,
    /// Whether more cases are wanted.
    pub(crate) long: bool,
    /// Whether every part waits for the one before it.
    pub(crate) in_turn: bool,
}

/// Gigabytes that a whole run takes on a clean clone: what is built, and the peers.
const WHOLE_RUN: u64 = 8;

/// How one part went.
struct Row {
    name: &'static str,
    outcome: Outcome,
    seconds: f64,
}

/// Says which parts there are.
pub(crate) fn list(names: &[String]) -> Result<bool> {
    for part in chosen(names)? {
        outln!("{:<12} {}", part.name, part.about);
    }
    Ok(true)
}

/// Runs the parts that are named, or all.
pub(crate) fn run(names: &[String], ways: Ways) -> Result<bool> {
    let parts = chosen(names)?;
    let tools: Vec<_> = parts.iter().flat_map(|part| part.tools()).copied().collect();
    system::ensure(&tools, ways.install)?;
    if names.is_empty() {
        system::warn_of_a_full_disk(WHOLE_RUN);
    }
    let shared = Shared::new(ways.install, ways.long);
    let side_by_side = names.is_empty() && !ways.in_turn;
    let mut rows = Vec::new();
    let mut aside = None;
    for part in &parts {
        if side_by_side && part.waits {
            // At the first of them: what was before is fast, or keeps every core at work.
            if aside.is_none() {
                shared.prepare(&parts)?;
                let waiting = parts.iter().filter(|part| part.waits).copied().collect();
                aside = Some(Aside::start(waiting, ways));
            }
            continue;
        }
        let row = here(part, &shared);
        rows.push(row);
        rows.extend(aside.iter().flat_map(Aside::ended));
    }
    rows.extend(aside.into_iter().flat_map(Aside::rest));
    rows.sort_by_key(|row| PARTS.iter().position(|part| part.name == row.name));
    outln!("");
    for row in &rows {
        outln!("{:<12} {:>7.1} s  {}", row.name, row.seconds, word(&row.outcome));
    }
    let failed = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed)).count();
    let skipped = rows.iter().filter(|row| matches!(row.outcome, Outcome::Skipped(_))).count();
    let passed = rows.len() - failed - skipped;
    if failed > 0 {
        system::warn_of_a_full_disk(1);
    }
    outln!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

/// Runs one part with its output shown.
fn here(part: &Part, shared: &Shared) -> Row {
    outln!("\n== {}: {}", part.name, part.about);
    let started = Instant::now();
    let outcome = part.run(shared).unwrap_or_else(|error| {
        errln!("xtask: {error:#}");
        Outcome::Failed
    });
    let row = Row { name: part.name, outcome, seconds: started.elapsed().as_secs_f64() };
    outln!("{}", last_line(&row));
    row
}

/// Parts that run one after the other beside the others, each by a call of its own; what one says is
/// kept and shown in one piece.
struct Aside {
    ended: Receiver<(Row, String)>,
}

impl Aside {
    fn start(parts: Vec<&'static Part>, ways: Ways) -> Self {
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || {
            for part in parts {
                let started = Instant::now();
                let (outcome, said) = elsewhere(part, ways).unwrap_or_else(|error| {
                    (Outcome::Failed, format!("\n== {}\nxtask: {error:#}\n", part.name))
                });
                let seconds = started.elapsed().as_secs_f64();
                let row = Row { name: part.name, outcome, seconds };
                if tell.send((row, said)).is_err() {
                    return;
                }
            }
        });
        Self { ended }
    }

    /// Those that have ended meanwhile, shown.
    fn ended(&self) -> Vec<Row> {
        self.ended.try_iter().map(shown).collect()
    }

    /// Waits for the others.
    fn rest(self) -> Vec<Row> {
        self.ended.into_iter().map(shown).collect()
    }
}

fn shown((row, said): (Row, String)) -> Row {
    outln!("{}", said.trim_end());
    row
}

/// Runs one part by a call of its own, and says what that printed.
fn elsewhere(part: &Part, ways: Ways) -> Result<(Outcome, String)> {
    let folder = tempfile::tempdir().context("a folder for what a part says")?;
    let path = folder.path().join("said");
    let file = File::create(&path).context("a file for what a part says")?;
    let mut command = cargo(&["run", "--quiet", "--package", "xtask", "--", "test", part.name]);
    command.args((!ways.install).then_some("--no-install"));
    command.args(ways.long.then_some("--long"));
    command.stdout(file.try_clone()?).stderr(file);
    let well = command.status().context("cannot start cargo")?.success();
    let whole = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    // Without the count of one.
    let end = whole.lines().find(|line| line.starts_with(&last_line_start(part.name)));
    let said = match end.and_then(|end| whole.split_once(end).map(|(before, _)| (before, end))) {
        Some((before, end)) => format!("{before}{end}\n"),
        None => whole.clone(),
    };
    let skipped = end.and_then(|end| {
        let (_, why) = end.split_once(": skipped (")?;
        Some(why.rsplit_once(") (")?.0.to_owned())
    });
    let outcome = match skipped {
        Some(why) => Outcome::Skipped(why),
        None if well => Outcome::Passed,
        None => Outcome::Failed,
    };
    Ok((outcome, said))
}

fn last_line_start(name: &str) -> String {
    format!("-- {name}: ")
}

fn last_line(row: &Row) -> String {
    format!("{}{} ({:.1} s)", last_line_start(row.name), word(&row.outcome), row.seconds)
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
