//! Claude Code's store with its two locks, and the cache of "needs auth" verdicts beside it. The store
//! is one JSON text: the file `.credentials.json`, or on macOS the value of a keychain item while
//! there is one.
//!
//! Measured with 2.1.119, 2.1.220 and 2.1.330. It must never touch `claudeAiOauth` or anything else
//! that is not an MCP grant, never write what it could not read, never re-print a byte that is not
//! ours (in the keychain: never change what it means), and never write the file while the item
//! exists. On Windows the store may be the Credential Manager, which is left untouched here.
//!
//! Read next: `folder` (where things lie), `keychain` (the item), `entry` (one grant), `surroundings`
//! (what is read outside locks), `servers` (what configuration says), `writing` (how it is changed), `verdicts` (what hides a server although its token is good).

mod ascii;
mod entry;
pub(super) mod folder;
mod key;
mod keychain;
mod running;
mod servers;
mod surroundings;
mod verdicts;
mod version;
mod writing;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use lamplighter_core::{
    ids::EntryKey,
    secret::Secret,
    store::{
        AuthVerdict, Change, ConfiguredServer, Entry, NO_FILE, SignIns, StoreFault, StoreInfo,
        StoreView, TokenPair, Written,
    },
    time::{Millis, Wall},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    Location, RefreshLock, Spot, Store, absent_or,
    dirlock::{DirLock, Manner},
    splice::{NotJson, Object},
};
use crate::{
    deadline::Question,
    identity::Identity,
    paths::Env,
    regular_file::{self, ReadError},
};
pub use folder::Folder;
use key::entry_key;
use keychain::Keychain;
pub use keychain::{Native, Tools};
use servers::Configured;
use surroundings::{Content, Files, Readings, Surroundings};

/// Claude Code renews by itself when no more than this is left (measured: 290 s yes, 320 s no).
const CLIENT_MARGIN: Millis = Millis::minutes(5);
/// 2.1.330 calls a refresh lock stale after this long; the older ones sooner.
const REFRESH_STALE: Duration = Duration::from_secs(60);
/// A text that does not parse is read again after this time before it is called broken.
const TORN: Duration = Duration::from_millis(200);
/// Longer than all steps of a renewal together may take.
const REFRESH_LONGEST: Duration = Duration::from_secs(180);
/// A store larger than this is not one.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The grants, by their keys.
const GRANTS: &str = "mcpOAuth";
/// The secrets of clients that the user configured, by the same keys.
const CLIENTS: &str = "mcpOAuthClientConfig";
const READING: &str = "reading it";

/// Where Claude Code keeps its secrets on this system.
#[derive(Clone)]
pub enum Form {
    /// In the file.
    File,
    /// In a keychain item, and in the file where there is none.
    Keychain(Tools),
}

impl Form {
    /// This system's.
    #[cfg(target_os = "macos")]
    pub fn usual() -> Self {
        Self::Keychain(Tools::system())
    }

    /// This system's.
    #[cfg(not(target_os = "macos"))]
    pub const fn usual() -> Self {
        Self::File
    }
}

/// The store's text, and what holds it now.
#[derive(PartialEq, Eq)]
struct Blob {
    text: Zeroizing<String>,
    in_keychain: bool,
}

/// Claude Code's store in one config folder.
pub struct ClaudeCode {
    folder: Folder,
    env: Env,
    managed: PathBuf,
    keychain: Option<Keychain>,
    /// Until when other programs are given time to touch their locks.
    waking_until: Mutex<Option<Instant>>,
    /// What lies in the client's own folder, which no project that hangs may keep from being read.
    own_files: Files,
    /// What projects and plugins bring.
    files: Files,
    version: Arc<Question<Option<String>>>,
    cache: Arc<Question<Vec<AuthVerdict>>>,
    /// As they were read last; `None` before that.
    surroundings: Mutex<Option<Arc<Surroundings>>>,
}

impl ClaudeCode {
    /// The store in this folder. `env` expands variables in configured URLs and finds the program.
    pub fn new(folder: Folder, env: Env) -> Self {
        let store = Self {
            folder,
            env,
            managed: servers::managed_file(),
            keychain: None,
            waking_until: Mutex::default(),
            own_files: Files::own(),
            files: Files::default(),
            version: Arc::default(),
            cache: Arc::default(),
            surroundings: Mutex::default(),
        };
        store.with_form(Form::usual())
    }

    /// The same in this form, whatever the system: for tests, which must never meet the keychain of
    /// whoever runs them.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.keychain = match form {
            Form::File => None,
            Form::Keychain(tools) => Some(Keychain::new(tools, &self.env, &self.folder.service)),
        };
        self
    }

    /// The same, with an organisation's configuration somewhere else: for tests.
    #[must_use]
    pub fn with_managed_file(mut self, managed: PathBuf) -> Self {
        self.managed = managed;
        self
    }

    /// The surroundings as they were read last, and read now if they never were.
    fn surroundings(&self) -> Arc<Surroundings> {
        let known = self.surroundings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| self.survey())
    }

    /// Reads the surroundings anew.
    fn survey(&self) -> Arc<Surroundings> {
        let reading = self.own_files.reading();
        let (path, env, home) =
            (self.folder.verdicts(), self.env.clone(), self.folder.home.clone());
        let verdicts = reading.ask(&self.cache, move || verdicts::read(&path));
        let client_version = reading.ask(&self.version, move || version::installed(&env, &home));
        let brought = self.files.reading();
        let files = Readings { own: &reading, brought: &brought };
        let configured = Configured::read(&self.folder, &self.managed, &self.env, files);
        let read = Arc::new(Surroundings {
            configured,
            verdicts,
            client_version,
            programs: self
                .keychain
                .as_ref()
                .filter(|keychain| !keychain.is_locked())
                .and_then(Keychain::programs),
            unsupported: cfg!(windows) && self.uses_credential_manager(&reading),
        });
        let mut known = self.surroundings.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::clone(&read));
        read
    }

    /// A verdict that was withdrawn is not shown again before the surroundings are read anew.
    fn forget_verdict(&self, server_name: &str) {
        let mut known = self.surroundings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(around) = known.as_mut().map(Arc::make_mut) {
            around.verdicts.retain(|verdict| verdict.server_name != server_name);
        }
    }

    fn uses_credential_manager(&self, reading: &surroundings::Reading<'_>) -> bool {
        let main = reading.file(&self.folder.servers, LARGEST);
        let main = main.last();
        let value = match main.as_deref() {
            Some(Content::Json(value)) => Some(value),
            Some(Content::Nothing | Content::Unusable(_)) | None => None,
        };
        credential_manager(&self.env, value)
    }

    /// A form of the store that this version leaves untouched, if it is in use here.
    fn unsupported(&self) -> Option<StoreFault> {
        if !(cfg!(windows) && self.surroundings().unsupported) {
            return None;
        }
        let what =
            "Windows Credential Manager is in use, which is not supported; nothing is touched";
        Some(StoreFault::Unsupported { place: self.folder.shown(), what: what.into() })
    }

    /// The text: the item's while there is an item, else the file's.
    fn blob(&self) -> Result<Blob, StoreFault> {
        if let Some(fault) = self.unsupported() {
            return Err(fault);
        }
        let Some(keychain) = &self.keychain else { return self.file() };
        if let Some(text) = keychain.read()? {
            return Ok(Blob { text, in_keychain: true });
        }
        match self.file() {
            // Neither of the two. Claude Code takes a file over into an item and removes it, so it may
            // have gone to where it was not a moment ago.
            Err(StoreFault::Absent { .. }) => match keychain.read()? {
                Some(text) => Ok(Blob { text, in_keychain: true }),
                None => Err(StoreFault::Absent { place: keychain.shown() }),
            },
            read => read,
        }
    }

    fn file(&self) -> Result<Blob, StoreFault> {
        let path = self.folder.credentials();
        match regular_file::read_text(&path, LARGEST) {
            Ok(text) => Ok(Blob { text, in_keychain: false }),
            Err(ReadError::Io(error)) => Err(absent_or(&path, READING, &error)),
            Err(refused) => Err(StoreFault::Broken {
                place: path.display().to_string(),
                what: refused.to_string(),
            }),
        }
    }

    /// A number for the file as it is now: every write makes a new file. `None` where no number can be had;
    /// [`NO_FILE`] where there is none yet.
    fn file_version(&self) -> Option<u64> {
        let found = match fs::metadata(self.folder.credentials()) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(NO_FILE),
            Err(_) => return None,
        };
        let written = found.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let mut digest = Sha256::new();
        digest.update(written.as_nanos().to_le_bytes());
        digest.update(found.len().to_le_bytes());
        #[cfg(unix)]
        digest.update(std::os::unix::fs::MetadataExt::ino(&found).to_le_bytes());
        version_of(digest)
    }

    /// The same for the keychain's item, of which every write sets the time; and what it was before a
    /// proof that was the last one. Another process knows of no proof, so the first is the time as it is.
    fn item_versions(&self) -> Option<(Option<u64>, Option<u64>)> {
        let (now, before) = self.keychain.as_ref()?.written_at()?;
        let version = |written: String| version_of(Sha256::new_with_prefix(written));
        Some((version(now), before.and_then(version)))
    }

    fn whole(&self, blob: &Blob) -> Result<Object, StoreFault> {
        Object::whole(&blob.text).map_err(|fault| self.broken(blob, &fault))
    }

    fn broken(&self, blob: &Blob, fault: &NotJson) -> StoreFault {
        let item = self.keychain.as_ref().filter(|_| blob.in_keychain);
        let place =
            item.map_or_else(|| self.folder.credentials().display().to_string(), Keychain::shown);
        StoreFault::Broken { place, what: fault.to_string() }
    }

    /// The object that holds the grants; `None` where the text has none.
    fn grants(&self, blob: &Blob, whole: &Object) -> Result<Option<Object>, StoreFault> {
        let text = &blob.text;
        match (whole.value(text, GRANTS), whole.object(text, GRANTS)) {
            (None | Some("null"), _) => Ok(None),
            (Some(_), Some(grants)) => Ok(Some(grants)),
            (Some(_), None) => Err(self.broken(blob, &NotJson::Shape { what: GRANTS })),
        }
    }

    fn entries(&self, blob: &Blob, configured: &Configured) -> Result<Vec<Entry>, StoreFault> {
        let whole = self.whole(blob)?;
        let Some(grants) = self.grants(blob, &whole)? else { return Ok(Vec::new()) };
        let text = blob.text.as_str();
        let secrets = whole.object(text, CLIENTS);
        let entries = grants.members(text).map(|(key, value)| {
            let (name, url) = name_and_url(key, value);
            let said = configured.about(key, &name, &url);
            entry::read(key, value, &said, config_secret(text, secrets.as_ref(), key))
        });
        Ok(entries.collect())
    }

    /// Configured servers that none of these entries belongs to, each once.
    fn without_entry(
        &self,
        blob: Option<&Blob>,
        configured: &Configured,
        entries: &[Entry],
    ) -> Result<Vec<ConfiguredServer>, StoreFault> {
        let text = blob.map_or("", |blob| blob.text.as_str());
        let whole = blob.map(|blob| self.whole(blob)).transpose()?;
        let secrets = whole.and_then(|whole| whole.object(text, CLIENTS));
        let secret = |key: &EntryKey| config_secret(text, secrets.as_ref(), key.as_str());
        let mut listed: BTreeSet<(&str, &str)> = entries
            .iter()
            .flat_map(|entry| {
                let (key, name) = (entry.key.as_str(), &entry.server_name);
                configured.of_entry(key, name, &entry.server_url)
            })
            .map(|server| (server.name.as_str(), server.url.as_str()))
            .collect();
        let left = configured.servers.iter().filter(|s| listed.insert((&s.name, &s.url)));
        let left = left.map(|server| ConfiguredServer {
            name: server.name.clone(),
            url: server.url.clone(),
            key: server.key.clone().filter(|_| server.url_is_known && !server.enterprise),
            sign_in: server.sign_in(server.key.as_ref().and_then(secret)),
        });
        Ok(left.collect())
    }

    /// Reads the store once.
    fn read_once(&self) -> Result<StoreView, StoreFault> {
        let around = self.surroundings();
        let configured = &around.configured;
        // Before it is read: what is written in between is another version.
        let file_version = self.file_version();
        let item_versions = self.item_versions();
        let (blob, sign_ins) = match self.blob() {
            Ok(blob) => (Some(blob), SignIns::Read),
            // Servers may be configured before anybody has signed in.
            Err(StoreFault::Absent { .. }) if self.has_folder() => (None, SignIns::None),
            Err(StoreFault::Absent { .. }) if !configured.servers.is_empty() => {
                (None, SignIns::Away)
            }
            Err(fault) => return Err(fault),
        };
        let entries = blob.as_ref().map(|blob| self.entries(blob, configured)).transpose()?;
        let entries = entries.unwrap_or_default();
        let servers = self.without_entry(blob.as_ref(), configured, &entries)?;
        let in_keychain = blob.is_some_and(|blob| blob.in_keychain);
        let of_item = item_versions.filter(|_| in_keychain).unwrap_or_default();
        let (version, version_before) = if in_keychain { of_item } else { (file_version, None) };
        let client_version = around.client_version.clone();
        let mut advice = configured.advice.clone();
        // Only who is signed in can lose a sign-in.
        let told = client_version.as_deref().filter(|_| !entries.is_empty());
        advice.extend(told.and_then(version::advice));
        let keychain = self.keychain.as_ref().filter(|_| !entries.is_empty());
        if keychain.is_some() && !in_keychain {
            let file = self.folder.credentials();
            advice
                .push(format!("nothing is in the keychain; {} holds the sign-ins", file.display()));
        }
        let wiper = keychain
            .and_then(|_| running::wiper(around.programs.as_deref(), client_version.as_deref()));
        Ok(StoreView {
            entries,
            servers,
            verdicts: around.verdicts.clone(),
            client_version,
            advice,
            wiper,
            sign_ins,
            version,
            version_before,
        })
    }

    /// Whether the place that the sign-ins belong in is there, whatever it holds. An empty folder may
    /// be one that a disk is usually mounted on.
    fn has_folder(&self) -> bool {
        let is_lock = |name: &OsStr| Path::new(name).extension().is_some_and(|e| e == "lock");
        let holds_anything = || {
            let mut held = fs::read_dir(&self.folder.secure).ok()?.flatten();
            held.find(|entry| !is_lock(&entry.file_name()))
        };
        self.keychain.is_some() || holds_anything().is_some()
    }
}

impl Store for ClaudeCode {
    fn info(&self) -> StoreInfo {
        StoreInfo {
            id: self.folder.id.clone(),
            client: "Claude Code".into(),
            place: self.keychain.as_ref().map_or_else(|| self.folder.shown(), Keychain::shown),
            client_margin: CLIENT_MARGIN,
        }
    }

    fn location(&self) -> Option<Location> {
        self.folder.location()
    }

    fn read_surroundings(&self) {
        self.survey();
    }

    fn tell_when_late(&self, tell: Arc<dyn Fn() + Send + Sync>) {
        self.own_files.tell_when_late(Arc::clone(&tell));
        self.files.tell_when_late(tell);
    }

    fn read_store(&self) -> Result<StoreView, StoreFault> {
        match self.read_once() {
            // A writer that does not replace the file may be in the middle of it.
            Err(StoreFault::Broken { .. }) => {
                thread::sleep(TORN);
                self.read_once()
            }
            seen => seen,
        }
    }

    fn make_folder(&self) -> Result<(), StoreFault> {
        self.unsupported().map_or_else(|| self.make_lock_folder(true), Err)
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
        let manner =
            Manner { stale: REFRESH_STALE, patience, after_wake, longest: REFRESH_LONGEST };
        self.make_lock_folder(false)?;
        let lock = DirLock::take(&self.folder.refresh_lock(key.as_str()), manner)
            .map_err(|fault| self.or_away(fault))?;
        self.prove_keychain()?;
        Ok(Box::new(lock))
    }

    fn lock_identity(&self, key: &EntryKey) -> Identity {
        let lock = self.folder.refresh_lock(key.as_str());
        let name = lock.file_name().unwrap_or_default();
        Identity::of(&self.folder.secure).join(name.as_ref())
    }

    fn write(&self, change: &Change) -> Result<Written, StoreFault> {
        self.write_change(change)
    }

    fn remove(&self, key: &EntryKey, expect: &TokenPair) -> Result<Written, StoreFault> {
        self.remove_entry(key.as_str(), expect)
    }

    fn withdraw(&self, server_name: &str, at: Wall) -> Result<bool, StoreFault> {
        let withdrawn = verdicts::withdraw(&self.folder.verdicts(), server_name, at)?;
        if withdrawn {
            self.forget_verdict(server_name);
        }
        Ok(withdrawn)
    }

    fn headers(&self, key: &EntryKey) -> Option<BTreeMap<String, String>> {
        let around = self.survey();
        let configured = &around.configured;
        let blob = self.blob().ok()?;
        let whole = self.whole(&blob).ok()?;
        let grants = self.grants(&blob, &whole).ok()??;
        let (name, url) = name_and_url(key.as_str(), grants.value(&blob.text, key.as_str())?);
        configured.headers_of(key.as_str(), &name, &url)
    }

    fn spot(&self, name: &str, url: &str) -> Result<Spot, StoreFault> {
        if let Some(fault) = self.unsupported() {
            return Err(fault);
        }
        if !self.is_in_use() {
            return Err(StoreFault::Absent { place: self.folder.config.display().to_string() });
        }
        let around = self.survey();
        let known = around.configured.servers.iter().find(|s| s.name == name && s.url == url);
        let key = match known {
            Some(server) => {
                let theirs = server.enterprise && server.word == servers::Word::User;
                server.key.clone().filter(|_| !theirs)
            }
            None => entry_key(name, "http", url, &serde_json::Map::new()),
        };
        let unknown = || StoreFault::Unsupported {
            place: self.folder.servers.display().to_string(),
            what: format!("what {name} is there depends on what only the client knows"),
        };
        Ok(Spot { key: key.ok_or_else(unknown)?, configured: known.is_some() })
    }

    fn just_woke(&self, grace: Duration) {
        let mut until = self.waking_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(Instant::now() + grace);
    }

    fn watched(&self) -> Vec<PathBuf> {
        let mut watched =
            vec![self.folder.credentials(), self.folder.verdicts(), self.folder.servers.clone()];
        if self.keychain.is_some() {
            // Any item's change is one of this file: a look more costs little.
            watched.push(self.folder.home.join("Library/Keychains/login.keychain-db"));
        }
        watched
    }
}

/// Whether Claude Code on Windows keeps its secrets in the Credential Manager: told to, or by a gate
/// in its own file (2.1.330).
fn credential_manager(env: &Env, main: Option<&Value>) -> bool {
    if env.get("CLAUDE_CODE_FORCE_WINDOWS_CREDMAN").is_some_and(|on| on == "1") {
        return true;
    }
    let features = main.and_then(|main| {
        main.get("cachedGrowthBookFeatures").or_else(|| main.get("cachedFeatureFlags"))
    });
    features.and_then(|features| features.get("tengu_windows_credman")) == Some(&Value::Bool(true))
}

fn version_of(digest: Sha256) -> Option<u64> {
    let start = digest.finalize().first_chunk::<8>().copied()?;
    Some(u64::from_le_bytes(start).max(NO_FILE + 1))
}

/// The secret of the client that the user configured for this entry: `mcp add --client-secret`.
fn config_secret(text: &str, secrets: Option<&Object>, key: &str) -> Option<Secret> {
    let own = secrets?.object(text, key)?;
    let secret: String = serde_json::from_str(own.value(text, "clientSecret")?).ok()?;
    (!secret.is_empty()).then(|| Secret::new(secret))
}

fn name_and_url(key: &str, value: &str) -> (String, String) {
    let entry = entry::read(key, value, &servers::Said::default(), None);
    (entry.server_name, entry.server_url)
}

#[cfg(test)]
mod tests;
