//! Claude Code's store, file form: `.credentials.json` with its two locks, and the cache of "needs
//! auth" verdicts beside it.
//!
//! Measured with 2.1.119, 2.1.220 and 2.1.330. It must never touch `claudeAiOauth` or anything else
//! that is not an MCP grant, never write what it could not read, and never re-print a byte that is
//! not ours. On macOS the store is a keychain item and on Windows it may be the Credential Manager:
//! both are left untouched here.
//!
//! Read next: `folder` (where things lie), `entry` (one grant), `servers` (what configuration says),
//! `verdicts` (what hides a server although its token is good).

mod entry;
mod folder;
mod key;
mod servers;
mod verdicts;
mod version;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use lamplighter_core::{
    ids::EntryKey,
    secret::Secret,
    store::{
        Change, ConfiguredServer, Entry, StoreFault, StoreInfo, StoreView, TokenPair, Written,
    },
    time::{Millis, Wall},
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    RefreshLock, Store, atomic, denied_or_io,
    dirlock::{DirLock, Manner},
    splice::{Edits, NotJson, Object},
};
use crate::paths::Env;
pub use folder::Folder;
use servers::Configured;

/// Claude Code renews by itself when no more than this is left (measured: 290 s yes, 320 s no).
const CLIENT_MARGIN: Millis = Millis::minutes(5);
/// 2.1.330 calls a refresh lock stale after this long; the older ones sooner.
const REFRESH_STALE: Duration = Duration::from_secs(60);
/// The write lock: stale after 15 s, waited for 7.5 s, as the program does.
const WRITE_LOCK: Manner = Manner {
    stale: Duration::from_secs(15),
    patience: Duration::from_millis(7_500),
    after_wake: false,
};
/// A store larger than this is not one.
const LARGEST: u64 = 64 * 1024 * 1024;
/// How often a store that changes between reading and renaming is tried again: 2.1.119 takes no lock.
const TRIES: usize = 5;

/// Claude Code's store in one config folder.
pub struct ClaudeCode {
    folder: Folder,
    env: Env,
    managed: PathBuf,
}

impl ClaudeCode {
    /// The store in this folder. `env` expands variables in configured URLs and finds the program.
    pub fn new(folder: Folder, env: Env) -> Self {
        Self { folder, env, managed: servers::managed_file() }
    }

    /// The same, with an organisation's configuration somewhere else: for tests.
    #[must_use]
    pub fn with_managed_file(mut self, managed: PathBuf) -> Self {
        self.managed = managed;
        self
    }

    /// A form of the store that this version leaves untouched, if it is in use here.
    fn unsupported(&self) -> Option<StoreFault> {
        let what = if cfg!(target_os = "macos") {
            "the macOS keychain form is not supported yet; nothing is touched"
        } else if cfg!(windows) && credential_manager(&self.env, &self.folder.servers) {
            "Windows Credential Manager is in use, which is not supported; nothing is touched"
        } else {
            return None;
        };
        Some(StoreFault::Unsupported { place: self.folder.shown(), what: what.into() })
    }

    fn text(&self) -> Result<Zeroizing<String>, StoreFault> {
        if let Some(fault) = self.unsupported() {
            return Err(fault);
        }
        let path = self.folder.credentials();
        let place = || path.display().to_string();
        let found = fs::metadata(&path).map_err(|error| read_fault(&path, &error))?;
        if found.len() > LARGEST {
            return Err(StoreFault::Broken { place: place(), what: "it is far too large".into() });
        }
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(StoreFault::Broken { place: place(), what: "it is not text".into() })
            }
            Err(error) => Err(read_fault(&path, &error)),
        }
    }

    fn whole(&self, text: &str) -> Result<Object, StoreFault> {
        Object::whole(text).map_err(|fault| self.broken(&fault))
    }

    fn broken(&self, fault: &NotJson) -> StoreFault {
        let place = self.folder.credentials().display().to_string();
        StoreFault::Broken { place, what: fault.to_string() }
    }

    /// The object that holds the grants; `None` where the file has none.
    fn grants(&self, text: &str, whole: &Object) -> Result<Option<Object>, StoreFault> {
        match (whole.value(text, "mcpOAuth"), whole.object(text, "mcpOAuth")) {
            (None | Some("null"), _) => Ok(None),
            (Some(_), Some(grants)) => Ok(Some(grants)),
            (Some(_), None) => Err(self.broken(&NotJson::Shape { what: "mcpOAuth" })),
        }
    }

    fn entries(&self, text: &str, configured: &Configured) -> Result<Vec<Entry>, StoreFault> {
        let whole = self.whole(text)?;
        let Some(grants) = self.grants(text, &whole)? else { return Ok(Vec::new()) };
        let secrets = whole.object(text, "mcpOAuthClientConfig");
        let entries = grants.members(text).map(|(key, value)| {
            let (name, url) = name_and_url(key, value);
            let server = configured.of_entry(key, &name, &url);
            let secret = secrets.as_ref().and_then(|all| {
                let own = all.object(text, key)?;
                let secret: String = serde_json::from_str(own.value(text, "clientSecret")?).ok()?;
                Some(Secret::new(secret))
            });
            entry::read(key, value, server, secret)
        });
        Ok(entries.collect())
    }

    /// One attempt to write; `None`: somebody else wrote in between, try again.
    fn try_write(&self, change: &Change) -> Result<Option<Written>, StoreFault> {
        let path = self.folder.credentials();
        let text = match self.text() {
            Ok(text) => text,
            // No store: the user signed out of everything.
            Err(StoreFault::Absent { .. }) => return Ok(Some(Written::Gone)),
            Err(fault) => return Err(fault),
        };
        let whole = self.whole(&text)?;
        let Some(grants) = self.grants(&text, &whole)? else { return Ok(Some(Written::Gone)) };
        let Some(value) = grants.value(&text, change.key.as_str()) else {
            return Ok(Some(Written::Gone));
        };
        let stands = entry::read(change.key.as_str(), value, None, None);
        let Some(object) = grants.object(&text, change.key.as_str()) else {
            return Ok(Some(Written::Conflict(TokenPair::default())));
        };
        if stands.pair == change.new.pair() {
            return Ok(Some(Written::Saved));
        }
        let other_client = stands.client.is_some_and(|client| client.id != change.client_id);
        if other_client || stands.pair != change.expect || stands.left_alone.is_some() {
            return Ok(Some(Written::Conflict(stands.pair)));
        }
        let mut edits = Edits::default();
        entry::put(&text, &object, change, &mut edits);
        let content = Zeroizing::new(edits.apply(&text));
        let ready = atomic::prepare(&path, content.as_bytes())?;
        // Compared with what was read, byte for byte, at the last moment before it is replaced.
        match self.text() {
            Ok(now) if *now == *text => ready.commit()?,
            Ok(_) | Err(StoreFault::Absent { .. }) => return Ok(None),
            Err(fault) => return Err(fault),
        }
        // Read back: a writer without locks may have renamed its own file over ours.
        let back = self.text()?;
        Ok((*back == *content).then_some(Written::Saved))
    }
}

impl Store for ClaudeCode {
    fn info(&self) -> StoreInfo {
        StoreInfo {
            id: self.folder.id.clone(),
            client: "Claude Code".into(),
            place: self.folder.shown(),
            client_margin: CLIENT_MARGIN,
        }
    }

    fn look(&self) -> Result<StoreView, StoreFault> {
        let configured = Configured::read(&self.folder, &self.managed, &self.env);
        let entries = match self.text() {
            Ok(text) => self.entries(&text, &configured)?,
            // Servers may be configured before anybody has signed in.
            Err(StoreFault::Absent { .. }) if !configured.servers.is_empty() => Vec::new(),
            Err(fault) => return Err(fault),
        };
        let taken: Vec<(String, String)> = entries
            .iter()
            .filter_map(|entry| {
                let (key, name) = (entry.key.as_str(), &entry.server_name);
                configured.of_entry(key, name, &entry.server_url)
            })
            .map(|server| (server.name.clone(), server.url.clone()))
            .collect();
        let mut left: Vec<ConfiguredServer> = Vec::new();
        for server in &configured.servers {
            let listed = ConfiguredServer { name: server.name.clone(), url: server.url.clone() };
            let has_entry = taken.contains(&(server.name.clone(), server.url.clone()));
            if !has_entry && !left.contains(&listed) {
                left.push(listed);
            }
        }
        let client_version = version::installed(&self.env, &self.folder.home);
        let mut advice = configured.advice;
        // Only who is signed in can lose a sign-in.
        let told = client_version.as_deref().filter(|_| !entries.is_empty());
        advice.extend(told.and_then(version::advice));
        Ok(StoreView {
            entries,
            servers: left,
            verdicts: verdicts::read(&self.folder.verdicts()),
            client_version,
            advice,
        })
    }

    fn lock(
        &self,
        key: &EntryKey,
        patience: Duration,
        after_wake: bool,
    ) -> Result<Box<dyn RefreshLock>, StoreFault> {
        if let Some(fault) = self.unsupported() {
            return Err(fault);
        }
        let manner = Manner { stale: REFRESH_STALE, patience, after_wake };
        let lock = DirLock::take(&self.folder.refresh_lock(key.as_str()), manner)?;
        Ok(Box::new(lock))
    }

    fn write(&self, change: &Change) -> Result<Written, StoreFault> {
        let lock_path = self.folder.write_lock();
        let _lock = match DirLock::take(&lock_path, WRITE_LOCK) {
            Ok(lock) => lock,
            // Not even the folder is there any more.
            Err(StoreFault::Io { .. }) if !self.folder.secure.is_dir() => return Ok(Written::Gone),
            Err(fault) => return Err(fault),
        };
        for _ in 0..TRIES {
            if let Some(written) = self.try_write(change)? {
                return Ok(written);
            }
        }
        Err(StoreFault::Busy { lock: lock_path.display().to_string() })
    }

    fn withdraw(&self, server_name: &str, at: Wall) -> Result<bool, StoreFault> {
        verdicts::withdraw(&self.folder.verdicts(), server_name, at)
    }

    fn headers(&self, key: &EntryKey) -> Option<BTreeMap<String, String>> {
        let configured = Configured::read(&self.folder, &self.managed, &self.env);
        let text = self.text().ok()?;
        let whole = self.whole(&text).ok()?;
        let grants = self.grants(&text, &whole).ok()??;
        let (name, url) = name_and_url(key.as_str(), grants.value(&text, key.as_str())?);
        match configured.of_entry(key.as_str(), &name, &url) {
            Some(server) if !server.is_http => None,
            Some(server) => server.headers.as_ref().map(servers::sendable),
            // Removed from the configuration: what is known is the entry's URL alone.
            None => Some(BTreeMap::new()),
        }
    }

    fn watched(&self) -> Vec<PathBuf> {
        vec![self.folder.credentials(), self.folder.verdicts(), self.folder.servers.clone()]
    }
}

/// Whether Claude Code on Windows keeps its secrets in the Credential Manager: told to, or by a gate
/// in its own file (2.1.330).
fn credential_manager(env: &Env, servers: &Path) -> bool {
    if env.get("CLAUDE_CODE_FORCE_WINDOWS_CREDMAN").is_some_and(|on| on == "1") {
        return true;
    }
    let main = fs::read(servers).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let features = main.as_ref().and_then(|main| {
        main.get("cachedGrowthBookFeatures").or_else(|| main.get("cachedFeatureFlags"))
    });
    features.and_then(|features| features.get("tengu_windows_credman")) == Some(&Value::Bool(true))
}

fn name_and_url(key: &str, value: &str) -> (String, String) {
    let entry = entry::read(key, value, None, None);
    (entry.server_name, entry.server_url)
}

fn read_fault(path: &Path, error: &io::Error) -> StoreFault {
    if error.kind() == io::ErrorKind::NotFound {
        StoreFault::Absent { place: path.display().to_string() }
    } else {
        denied_or_io(path, "reading it", error)
    }
}

#[cfg(test)]
mod tests;
