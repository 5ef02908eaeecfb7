//! `cargo xtask bench program`: what the real keeper costs, with few sign-ins and with many.
//!
//! Each size gets a rehearsal server, a home and a `lamplighter keep` of its own. The span has two
//! halves: in the first the keeper is left alone while processor time and bytes are counted, in the
//! second it is asked something every 50 ms. It must not assert anything, nor touch a keyring.
//! Where to read next: `keeper` for the process, `written` for how bytes are counted.

mod keeper;
mod table;
mod written;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{DURABLE_BYTES, RUNS, durable_write, figures, times};
use crate::cargo::{self, Programs};
use crate::town::{self, Home, Town};
use keeper::{Answers, Keeper, Sample};
use written::Written;

const SIGN_INS: [u32; 3] = [50, 200, 1_000];
/// How many seconds each size is measured for, for whoever tries the bench itself.
const SECONDS: &str = "LAMPLIGHTER_BENCH_SECONDS";
const USUAL_SECONDS: u32 = 120;
/// The keeper renews no token twice within five seconds, so no shorter life makes sense.
const LEAST_SECONDS: u32 = 20;
/// The keeper renews a token whose whole life it does not know yet this long before its end.
const UNKNOWN_LIFE_REST_MS: i64 = 15 * 60 * 1000;
/// What passes between the writing of the store and the keeper's first look.
const HEAD_START_MS: i64 = 4_000;
/// Where the program's own files lie below the home.
const STATE_FOLDER: &str = ".local/state/lamplighter";
const STORE: &str = "claude-code";

/// How long things take.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// The life of an access token in seconds, which is as long as half of the span.
    life: u32,
}

impl Span {
    fn from_environment() -> Result<Self> {
        let seconds = match env::var(SECONDS) {
            Ok(text) => text.parse().with_context(|| format!("{SECONDS} is not a number"))?,
            Err(_) => USUAL_SECONDS,
        };
        if seconds < LEAST_SECONDS {
            bail!("{SECONDS} must be {LEAST_SECONDS} or more");
        }
        Ok(Self { life: seconds / 2 })
    }

    fn half(self) -> Duration {
        Duration::from_secs(u64::from(self.life))
    }

    fn whole(self) -> Duration {
        self.half() * 2
    }
}

/// What one size came to.
#[derive(Debug)]
struct Column {
    sign_ins: u32,
    /// How many sign-ins had been renewed at least once, after how long.
    first: (usize, Duration),
    before: Sample,
    after: Sample,
    answers: Answers,
    /// When the keeper had been asked for the second half of the span.
    end: Sample,
    /// The most memory that was resident at any time, in bytes.
    peak: u64,
    load: String,
    /// What passed between SIGTERM and the end of the process.
    ending: Duration,
}

/// Measures every size and prints the table.
pub(super) fn program() -> Result<()> {
    let span = Span::from_environment()?;
    let programs = Programs::build(&["--release"])?;
    preface(span)?;
    let mut columns = Vec::new();
    for sign_ins in SIGN_INS {
        columns.push(measure(&programs, sign_ins, span)?);
    }
    table::print(&columns, span);
    Ok(())
}

fn preface(span: Span) -> Result<()> {
    let life = span.life;
    outln!(
        "`lamplighter keep` as released, its sign-ins at one `lamplighter-rehearsal` on loopback.\n\
         An access token lives {life} s, so the keeper renews each after about {} s. No keyring is \
         asked:\nthe journal is not sealed. One renewal proves the store, then the store's record \
         in state.json is\nset to proven, so nothing waits for 65 s. The first renewals are spread \
         over {} s and not counted.\nThen the keeper is left alone for {life} s: renewals, \
         processor time and bytes are of these. For the\n{life} s after them it is asked on its \
         socket every 50 ms; asking costs processor time too.",
        life / 2,
        life / 2,
    );
    outln!("Processors: {}. Load average now: {}.", processors(), load()?);
    let home = Home::new()?;
    let label = format!("write + fsync + rename of {DURABLE_BYTES} bytes, the same disk");
    figures(&label, times(RUNS, || durable_write(home.path()))?);
    Ok(())
}

/// One size, from an empty home to the end of its keeper.
fn measure(programs: &Programs, sign_ins: u32, span: Span) -> Result<Column> {
    let town = Town::start(&programs.rehearsal, span.life, sign_ins)?;
    let home = Home::new()?;
    let settings = home.path().join(".config/lamplighter");
    fs::create_dir_all(&settings)?;
    fs::write(settings.join("settings.toml"), "keyring = \"off\"\n")?;
    let names: Vec<String> = (0..sign_ins).map(|number| format!("server-{number:04}")).collect();
    home.write(&entries(&town, &names, span))?;
    let state = home.path().join(STATE_FOLDER);
    let first = names.first().context("a size without sign-ins")?;
    prove_store(&programs.lamplighter, &home, first, &state)?;

    let written = Written::watch(&state, &home.path().join(".claude"))?;
    let mut keeper = Keeper::start(&programs.lamplighter, &home, state.join("run/keeper.sock"))?;
    let first = keeper.first_renewals(usize::try_from(sign_ins)?, span.whole())?;
    let before = keeper.sample(&written)?;
    thread::sleep(span.half());
    let after = keeper.sample(&written)?;
    let answers = keeper.ask_for(span.half())?;
    let end = keeper.sample(&written)?;
    let peak = keeper.peak_memory()?;
    let load = load()?;
    let ending = keeper.end()?;
    outln!("{sign_ins} sign-ins: measured");
    Ok(Column { sign_ins, first, before, after, answers, end, peak, load, ending })
}

/// The store's entries. Their ends make the first renewals due one after the other, so that the
/// keeper has the steady work of every day and not a start on which all are due at once.
fn entries(town: &Town, names: &[String], span: Span) -> BTreeMap<String, Value> {
    let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut entries = town.entries(&borrowed, UNKNOWN_LIFE_REST_MS + HEAD_START_MS);
    let all = i64::try_from(names.len()).unwrap_or(i64::MAX).max(1);
    for (number, name) in (0_i64..).zip(names) {
        let later = i64::from(span.life) * 500 * number / all;
        if let Some(end) = entries.get_mut(&town::key(name)).map(|entry| &mut entry["expiresAt"]) {
            *end = (end.as_i64().unwrap_or_default() + later).into();
        }
    }
    entries
}

/// Renews one sign-in, so that the program makes its own files, and records that the write was
/// looked at long enough: otherwise all others would wait for 65 s.
fn prove_store(lamplighter: &Path, home: &Home, name: &str, state: &Path) -> Result<()> {
    let mut command = home.command(lamplighter, &["renew", name, "--json"]);
    let shown = cargo::shown(&command);
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let file = state.join("state.json");
    let text = fs::read(&file).with_context(|| format!("no {}", file.display()))?;
    let mut facts: Value = serde_json::from_slice(&text)?;
    let proven = facts.pointer_mut(&format!("/stores/{STORE}/proven"));
    *proven.context("state.json does not say whether the store is proven")? = Value::Bool(true);
    fs::write(&file, facts.to_string())?;
    Ok(())
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The load average of the last minute.
fn load() -> Result<String> {
    let text = fs::read_to_string(PathBuf::from("/proc/loadavg"))?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
