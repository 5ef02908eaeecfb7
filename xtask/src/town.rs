//! A running `lamplighter-rehearsal`, and a home with a store that points at it.
//!
//! It must not write outside the home it made, nor leave a server behind.
//! Where to read next: `demo`, `bench`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The honest server; it ends with this value.
#[derive(Debug)]
pub(crate) struct Town {
    child: Child,
    /// What it said of itself when it started.
    told: Value,
}

impl Town {
    /// Starts it with so many grants that live so many seconds.
    pub(crate) fn start(program: &Path, life: u32, grants: u32) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--life", &life.to_string(), "--grants", &grants.to_string(), "--control"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("the rehearsal has no output")?;
        let mut town = Self { child, told: Value::Null };
        let mut first = String::new();
        BufReader::new(out).read_line(&mut first)?;
        town.told = serde_json::from_str(&first).context("the rehearsal said no address")?;
        Ok(town)
    }

    /// One of the addresses it told.
    pub(crate) fn address(&self, name: &str) -> &str {
        self.told.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// An entry for each grant, as Claude Code keeps it; `left_ms` until its access token ends.
    pub(crate) fn entries(&self, names: &[&str], left_ms: i64) -> BTreeMap<String, Value> {
        let grants = self.told.get("grants").and_then(Value::as_array).cloned();
        let pairs = names.iter().zip(grants.unwrap_or_default());
        let entries = pairs.map(|(name, grant)| {
            let mut entry = entry(name, self.address("mcp_url"), self.address("issuer"), left_ms);
            for (ours, theirs) in FIELDS {
                entry[ours] = grant.get(theirs).cloned().unwrap_or_default();
            }
            (key(name), entry)
        });
        entries.collect()
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        // Its input closes, and that ends it.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// What the store calls it, and what the server calls it.
const FIELDS: [(&str, &str); 4] = [
    ("accessToken", "access_token"),
    ("refreshToken", "refresh_token"),
    ("scope", "scope"),
    ("clientId", "client_id"),
];

/// An entry as Claude Code keeps it, with tokens that no server knows.
pub(crate) fn entry(name: &str, url: &str, issuer: &str, left_ms: i64) -> Value {
    json!({
        "serverName": name,
        "serverUrl": url,
        "accessToken": format!("access-{name}"),
        "expiresAt": now_ms().saturating_add(left_ms),
        "refreshToken": format!("refresh-{name}"),
        "scope": "mcp",
        "clientId": "demo",
        "discoveryState": {"authorizationServerUrl": issuer},
    })
}

/// The key of an entry: the name, and sixteen digits that stand for the server's settings.
pub(crate) fn key(name: &str) -> String {
    let digits = name
        .bytes()
        .fold(0x6c61_6d70_6c69_6768_u64, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
    format!("{name}|{digits:016x}")
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A temporary home; removed with this value.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    /// An empty one.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("lamplighter-xtask-").tempdir()?;
        fs::create_dir(folder.path().join(".claude"))?;
        Ok(Self { folder })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the store: what these entries say, readable by its user only.
    pub(crate) fn write(&self, entries: &BTreeMap<String, Value>) -> Result<()> {
        let path: PathBuf = self.path().join(".claude").join(".credentials.json");
        let file = tempfile::NamedTempFile::new_in(self.path())?;
        serde_json::to_writer(&file, &json!({"mcpOAuth": entries}))?;
        file.persist(path)?;
        Ok(())
    }

    /// A command that knows this home and nothing of the person who started it.
    pub(crate) fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        self.dress(command.args(args));
        command
    }

    /// Takes the environment away, but for this home and the path.
    pub(crate) fn dress(&self, command: &mut Command) {
        let path: OsString = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", self.path());
        command.current_dir(self.path()).stdin(Stdio::null());
    }
}
