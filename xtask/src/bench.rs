//! `cargo xtask bench`: figures, beside something that makes them comparable.
//!
//! It must not assert anything: a slow machine is no mistake. Real peers run in a namespace only.
//! Where to read next: `town`, `program` for the longest of them.

#[cfg(target_os = "linux")]
mod program;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::cargo::{self, Programs};
use crate::namespace::Namespace;
use crate::parts;
use crate::peers;
use crate::town::{self, Home, Town};

/// A bench: what it is called, and what it does.
type Bench = (&'static str, fn() -> Result<()>);

const BENCHES: [Bench; 6] = [
    ("status", status),
    ("renewal", renewal),
    ("store-write", store_write),
    ("keeper", keeper),
    ("program", program),
    ("tray", parts::bench_tray),
];
const RUNS: usize = 20;
const PEER_RUNS: usize = 3;
const SERVERS: usize = 50;
/// What is written beside a renewal: about as much as a store has.
const DURABLE_BYTES: usize = 4096;
const HOUR_MS: i64 = 3_600_000;

/// Runs the benches that are named, or all.
pub(crate) fn run(names: &[String]) -> Result<bool> {
    if let Some(name) = names.iter().find(|name| BENCHES.iter().all(|bench| bench.0 != **name)) {
        let known: Vec<&str> = BENCHES.iter().map(|bench| bench.0).collect();
        bail!("no bench {name:?}; there are: {}", known.join(" "));
    }
    for (name, bench) in BENCHES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            outln!("\n== {name}");
            bench()?;
        }
    }
    Ok(true)
}

/// A cold look at many servers, beside what the client itself offers.
fn status() -> Result<()> {
    let programs = Programs::build(&["--release"])?;
    let home = Home::new()?;
    let names: Vec<String> = (0..SERVERS).map(|number| format!("server-{number:02}")).collect();
    // Nobody listens on the discard port; a status asks nobody either.
    let url = "http://127.0.0.1:9/mcp";
    let entry = |name: &String| (town::key(name), town::entry(name, url, url, HOUR_MS));
    home.write(&names.iter().map(entry).collect::<BTreeMap<_, _>>())?;
    let settings = names.iter().map(|name| (name.clone(), json!({"type": "http", "url": url})));
    let settings: serde_json::Map<_, _> = settings.collect();
    fs::write(home.path().join(".claude.json"), json!({"mcpServers": settings}).to_string())?;

    let took = times(RUNS, || measure(&mut home.command(&programs.lamplighter, &["status"])))?;
    figures(&format!("lamplighter status, {SERVERS} servers"), took);

    let peer = peers::program(peers::NEWEST);
    let label =
        format!("claude {} mcp list, the same home (it also tries each server)", peers::NEWEST);
    if !peer.exists() {
        outln!("{label}: not installed; `cargo xtask test claude-code` does it");
        return Ok(());
    }
    match Namespace::find() {
        Ok(namespace) => {
            let took = times(PEER_RUNS, || {
                let mut command = namespace.command(&peer);
                home.dress(command.args(["mcp", "list"]));
                measure(&mut command)
            })?;
            figures(&label, took);
        }
        Err(why) => outln!("{label}: {why}"),
    }
    Ok(())
}

/// A whole renewal, from the start of the process to its end, beside one durable write.
fn renewal() -> Result<()> {
    const NAME: &str = "bench";
    let programs = Programs::build(&["--release"])?;
    let town = Town::start(&programs.rehearsal, 3600, 1)?;
    let home = Home::new()?;
    home.write(&town.entries(&[NAME], HOUR_MS))?;
    let renew = || measure(&mut home.command(&programs.lamplighter, &["renew", NAME, "--json"]));
    figures("the first renewal of a store", vec![renew()?]);
    figures("lamplighter renew, the whole process", times(RUNS, renew)?);
    let label = format!("write + fsync + rename of {DURABLE_BYTES} bytes, the same disk");
    figures(&label, times(RUNS, || durable_write(home.path()))?);
    Ok(())
}

/// The engine's own bench, which prints its figures itself.
fn store_write() -> Result<()> {
    let args = ["test", "--release", "-p", "lamplighter-engine", "--"];
    let mut command = cargo::cargo(&args);
    command.args(["--ignored", "bench_store_write", "--nocapture"]);
    cargo::must(&mut command)
}

/// Core's own bench, which prints its figures itself.
fn keeper() -> Result<()> {
    let mut command = cargo::cargo(&["bench", "-p", "lamplighter-core", "--bench", "keeper"]);
    cargo::must(&mut command)
}

/// The keeper that people run, with 50, 200 and 1,000 sign-ins.
#[cfg(target_os = "linux")]
fn program() -> Result<()> {
    program::program()
}

/// The figures come from `/proc` and inotify.
#[cfg(not(target_os = "linux"))]
fn program() -> Result<()> {
    writeln!(std::io::stdout(), "only on Linux: it reads /proc, and counts writes by inotify")?;
    Ok(())
}

/// One file, durable under its name.
fn durable_write(folder: &Path) -> Result<Duration> {
    let started = Instant::now();
    let unfinished = folder.join("durable.new");
    let mut file = File::create(&unfinished)?;
    file.write_all(&[b'x'; DURABLE_BYTES])?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join("durable"))?;
    File::open(folder)?.sync_all()?;
    Ok(started.elapsed())
}

/// How long a command takes; what it prints is of no interest unless it fails.
fn measure(command: &mut Command) -> Result<Duration> {
    let shown = cargo::shown(command);
    command.stdin(Stdio::null());
    let started = Instant::now();
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    let took = started.elapsed();
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        outln!("note: {shown}: {}: {text}", output.status);
    }
    Ok(took)
}

/// So many times the same.
fn times(runs: usize, mut once: impl FnMut() -> Result<Duration>) -> Result<Vec<Duration>> {
    (0..runs).map(|_| once()).collect()
}

/// The least, the middle and the most.
fn figures(label: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let ms = |at: usize| took.get(at).map_or(0.0, |it| it.as_secs_f64() * 1000.0);
    let last = took.len().saturating_sub(1);
    if took.len() == 1 {
        return outln!("{label}: {:.2} ms", ms(0));
    }
    outln!(
        "{label}: min {:.2} ms, median {:.2} ms, max {:.2} ms ({} runs)",
        ms(0),
        ms(took.len() / 2),
        ms(last),
        took.len(),
    );
}
