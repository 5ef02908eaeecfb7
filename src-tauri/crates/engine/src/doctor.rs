//! Looks at everything around the grants and says what is wrong and what to do: for people, and for
//! bug reports. Nothing it finds is a secret.
//!
//! It must not take a lock, send anything, or make or change anything: no file, no key. The keyring is
//! asked without a dialog.

use std::{fs, path::Path, sync::Arc, time::Duration};

use lamplighter_core::{
    store::{SignIns, StoreFault},
    text,
};
use serde::Serialize;

use crate::{
    clock::{Clock, SystemClock},
    deadline,
    journal::{Journal, JournalState},
    keyring::{self, KeyringAnswer},
    lock::{EngineLock, LockFault},
    open::Place,
    state::State,
    stores::{self, Store},
};

/// How long the folder of a store is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// Something does not work until somebody acts.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, stable for scripts: `store`, `keyring`, …
    pub about: &'static str,
    /// What is not as it should be, stable for scripts and in the README's table:
    /// `store_broken`, `keyring_locked`, …; nothing where all is fine.
    pub code: Option<&'static str>,
    /// How much it matters.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do, where there is something to do.
    pub advice: Option<String>,
    /// The exit code it gives: 0, 1, or 12 for a store.
    #[serde(skip)]
    pub exit: u8,
}

impl Finding {
    fn fine(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, code: None, grade: Grade::Fine, found: shown(found), advice: None, exit: 0 }
    }

    fn note(
        (about, code): (&'static str, &'static str),
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (code, advice) = (Some(code), Some(shown(advice)));
        Self { about, code, grade: Grade::Note, found: shown(found), advice, exit: 0 }
    }

    fn wrong(
        about: (&'static str, &'static str),
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { grade: Grade::Wrong, exit: 1, ..Self::note(about, found, advice) }
    }

    fn of_store(mut self) -> Self {
        if self.exit != 0 {
            self.exit = lamplighter_core::health::EXIT_STORE;
        }
        self
    }
}

/// What names files, folders and servers of others is made harmless for whoever shows it.
fn shown(text: impl Into<String>) -> String {
    text::harmless(&text.into(), text::LONGEST_SENTENCE)
}

/// Looks at everything, in the order a person would ask.
pub fn examine(place: &Place) -> Vec<Finding> {
    let mut findings = vec![Finding::fine("version", env!("CARGO_PKG_VERSION"))];
    findings.extend(folders(place));
    findings.extend(place.stores.iter().flat_map(store_findings));
    findings.extend(place.offered.iter().map(|folder| {
        Finding::note(
            ("store", "store_offered"),
            format!("{} holds another store, which is not looked at", folder.display()),
            format!("add it to [stores.claude-code] folders in {}", place.paths.settings.display()),
        )
    }));
    if let Some(why) = crate::watch::why_deaf(&place.stores) {
        findings.push(Finding::note(
            ("watch", "not_watched"),
            format!("the system does not say when a store changes ({why})"),
            "stores are looked at each 30 s instead; on Linux a higher fs.inotify.max_user_instances \
             or fs.inotify.max_user_watches mends that",
        ));
    }
    if place.stores.is_empty() {
        findings.push(Finding::note(
            ("store", "store_none"),
            "no client's store is looked at",
            format!("see [stores.claude-code] in {}", place.paths.settings.display()),
        ));
    }
    findings.push(engine(place));
    let answer = keyring::find_journal_key(&place.settings, &place.env, &place.paths);
    findings.push(keyring_finding(&answer));
    findings.push(journal(place, &answer));
    findings.extend(place.unfinished().into_iter().map(|unfinished| {
        let found = format!(
            "{} keeps what came for {} in {}, which can't be opened ({})",
            place.paths.journal_file().display(),
            unfinished.client,
            unfinished.place,
            unfinished.why
        );
        Finding::wrong(("journal", "journal_unfinished"), found, unfinished.advice).of_store()
    }));
    findings.push(facts(place));
    findings.push(clock(place));
    findings.extend(network(place));
    findings
}

fn folders(place: &Place) -> Vec<Finding> {
    let settings = &place.paths.settings;
    let settings = if settings.exists() {
        format!("{}", settings.display())
    } else {
        format!("{} (not there, so everything is as shipped)", settings.display())
    };
    vec![
        Finding::fine("settings", settings),
        Finding::fine("state folder", place.paths.state.display().to_string()),
    ]
}

fn store_findings(store: &Arc<dyn Store>) -> Vec<Finding> {
    let info = store.info();
    let name = format!("{} in {}", info.client, info.place);
    let mut findings = Vec::new();
    match stores::look_patiently(store) {
        Ok(view) => {
            let renewable = view.entries.iter().filter(|e| e.pair.refresh.is_some()).count();
            let (entries, servers) = (view.entries.len(), view.servers.len());
            let found = match view.sign_ins {
                SignIns::Read => format!(
                    "{name}: {entries} sign-ins, {renewable} with a refresh token, {servers} servers \
                     without one"
                ),
                SignIns::None => format!("{name}: nobody signed in, {servers} servers configured"),
                SignIns::Away => format!("{name}: it is not there, {servers} servers configured"),
            };
            findings.push(Finding::fine("store", found));
            if !view.verdicts.is_empty() {
                let names: Vec<_> =
                    view.verdicts.iter().map(|verdict| verdict.server_name.as_str()).collect();
                findings.push(Finding::note(
                    ("verdicts", "verdicts_cached"),
                    format!("{} hides from new sessions: {}", info.client, names.join(", ")),
                    "`lamplighter renew` withdraws the ones that are stale",
                ));
            }
            match view.client_version {
                Some(version) => {
                    findings.push(Finding::fine("client", format!("{} {version}", info.client)));
                }
                None => findings.push(Finding::fine(
                    "client",
                    format!("no {} was found on the path", info.client),
                )),
            }
            if let Some(wiper) = view.wiper {
                let version = wiper.version.map(|v| format!(" {v}")).unwrap_or_default();
                findings.push(Finding::note(
                    ("client", "client_wipes"),
                    format!("{}{version} is open and could lose what is renewed", info.client),
                    "renewals wait until it is closed or a token ends; `claude update` mends that",
                ));
            }
            for advice in view.advice {
                findings.push(Finding::note(
                    ("client", "client_advice"),
                    info.client.clone(),
                    advice,
                ));
            }
        }
        Err(fault @ StoreFault::Absent { .. }) => {
            findings.push(Finding::fine("store", format!("{name}: nobody signed in ({fault})")));
        }
        Err(fault @ StoreFault::Unsupported { .. }) => findings.push(Finding::note(
            ("store", "store_unsupported"),
            format!("{name}: {fault}"),
            "this version leaves it to the client",
        )),
        Err(fault) => {
            let (code, advice) = store_advice(&fault);
            let found = format!("{name}: {fault}");
            findings.push(Finding::wrong(("store", code), found, advice).of_store());
        }
    }
    let file = store.watched().into_iter().next();
    let around = deadline::within(PATIENCE, move || {
        let permissions = file.iter().filter_map(|file| permissions(file));
        permissions.chain(file.iter().filter_map(|file| file.parent()).flat_map(locks)).collect()
    });
    findings.extend(around.unwrap_or_else(Vec::new));
    findings
}

/// Locks that stand in a store's folder: held now, or left behind by a process that was killed.
fn locks(folder: &Path) -> Vec<Finding> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let standing = entries.flatten().filter_map(|entry| {
        let path = entry.path();
        let is_lock = path.is_dir() && path.extension().is_some_and(|ending| ending == "lock");
        let touched = entry.metadata().ok()?.modified().ok()?;
        let age = touched.elapsed().unwrap_or_default().as_secs();
        is_lock.then(|| {
            Finding::note(
                ("lock", if age < 60 { "lock_held" } else { "lock_left" }),
                format!("{} stands, last touched {age} s ago", path.display()),
                if age < 60 {
                    "a renewal is under way; it goes by itself"
                } else {
                    "its holder is gone; the next renewal takes it over"
                },
            )
        })
    });
    standing.collect()
}

/// The code of a fault, and what to do.
const fn store_advice(fault: &StoreFault) -> (&'static str, &'static str) {
    match fault {
        StoreFault::Broken { .. } => (
            "store_broken",
            "nothing was changed; mend the file or restore a backup of it, then sign in where needed",
        ),
        StoreFault::Locked { .. } => {
            ("store_locked", "unlock it; renewals go on by themselves then")
        }
        StoreFault::Denied { .. } => {
            ("store_denied", "run Lamplighter as the user who owns the file")
        }
        StoreFault::DiskFull { .. } => ("disk_full", "make room on that disk"),
        StoreFault::Busy { .. } | StoreFault::LockLost { .. } => {
            ("store_busy", "another program is at work there; try again in a minute")
        }
        StoreFault::Absent { .. } | StoreFault::Unsupported { .. } | StoreFault::Io { .. } => {
            ("store_unreadable", "see what the system says")
        }
    }
}

#[cfg(unix)]
fn permissions(file: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        Finding::note(
            ("permissions", "store_readable_by_others"),
            format!("{} can be read by others (mode {mode:o})", file.display()),
            format!("chmod 600 {}; the next renewal does it by itself", file.display()),
        )
    })
}

#[cfg(not(unix))]
fn permissions(file: &Path) -> Option<Finding> {
    // Windows keeps a user's profile from others by itself.
    fs::metadata(file).err().and(None)
}

fn engine(place: &Place) -> Finding {
    match EngineLock::holder(&place.paths) {
        None => Finding::fine("engine", "no other Lamplighter is at work"),
        Some(held @ LockFault::Held { .. }) => Finding::fine("engine", held.to_string()),
        Some(fault @ LockFault::Io { .. }) => Finding::wrong(
            ("engine", "state_folder"),
            fault.to_string(),
            "Lamplighter needs its state folder for itself",
        ),
    }
}

fn keyring_finding(answer: &KeyringAnswer) -> Finding {
    let unsealed = "until then the journal, which holds new tokens for about a minute, is a plain \
                    file that only you can read";
    match answer {
        KeyringAnswer::Present(_) | KeyringAnswer::Created(_) => {
            Finding::fine("keyring", "it holds the journal's key")
        }
        KeyringAnswer::NotThere => {
            Finding::fine("keyring", "it holds no key yet; the first renewal makes one")
        }
        KeyringAnswer::Locked => {
            let advice =
                format!("unlock it, which a keeper that runs finds out by itself; {unsealed}");
            Finding::note(("keyring", "keyring_locked"), "it is locked", advice)
        }
        KeyringAnswer::Absent(why) => Finding::note(
            ("keyring", "keyring_absent"),
            format!("there is none to ask: {why}"),
            format!("fine on a server; {unsealed}"),
        ),
        KeyringAnswer::TimedOut => Finding::note(
            ("keyring", "keyring_silent"),
            "it did not answer in time",
            format!("see whether it hangs; {unsealed}"),
        ),
        KeyringAnswer::Off => Finding::note(
            ("keyring", "keyring_off"),
            "the settings say not to ask it",
            format!("keyring = \"auto\"; {unsealed}"),
        ),
    }
}

fn journal(place: &Place, answer: &KeyringAnswer) -> Finding {
    let file = place.paths.journal_file();
    if !file.exists() {
        return Finding::fine("journal", format!("{}: empty", file.display()));
    }
    // Only read: a file that would be set aside is told about, and left.
    match Journal::peek(&file, answer.key().cloned()) {
        (count, JournalState::Sealed) => {
            Finding::fine("journal", format!("{}: {count} records, sealed", file.display()))
        }
        (count, JournalState::Unsealed) => {
            Finding::fine("journal", format!("{}: {count} records, not sealed", file.display()))
        }
        (_, JournalState::SetAside { .. }) => Finding::wrong(
            ("journal", "journal_unreadable"),
            format!("{} can't be read", file.display()),
            "the next run sets it aside untouched and begins a new one",
        ),
        (_, JournalState::Closed(why)) => Finding::wrong(
            ("journal", "journal_closed"),
            format!("{}: {why}", file.display()),
            "nothing is renewed until it can be opened",
        ),
    }
}

fn facts(place: &Place) -> Finding {
    let file = place.paths.state_file();
    match State::read(&file) {
        Ok(Some((_, facts))) => Finding::fine(
            "facts",
            format!("{}: {} grants remembered", file.display(), facts.grants.len()),
        ),
        Ok(None) => Finding::fine("facts", format!("{}: nothing yet", file.display())),
        Err(fault) => Finding::wrong(
            ("facts", "facts_unreadable"),
            fault.to_string(),
            "the next run sets it aside and starts afresh",
        ),
    }
}

/// A clock that is far off makes every end look wrong. The store's own file was written by now, by
/// somebody: a time after now is a clock that was set back.
fn clock(place: &Place) -> Finding {
    let now = SystemClock::new().now().wall;
    let files: Vec<_> = place.stores.iter().flat_map(|store| store.watched()).collect();
    let newest = deadline::within(PATIENCE, move || {
        files
            .iter()
            .filter_map(|file| fs::metadata(file).ok()?.modified().ok())
            .filter_map(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
            .filter_map(|since| i64::try_from(since.as_millis()).ok())
            .max()
    });
    match newest.flatten().filter(|newest| *newest > now.0 + 60_000) {
        Some(newest) => Finding::wrong(
            ("clock", "clock_behind"),
            format!("a store was written {} s after now", (newest - now.0) / 1_000),
            "set this machine's clock; ends of tokens are told by it",
        ),
        None => Finding::fine("clock", "nothing speaks against it"),
    }
}

fn network(place: &Place) -> Vec<Finding> {
    let clock = std::sync::Arc::new(SystemClock::new());
    let client = crate::http::Client::new(
        &place.settings.network,
        &place.env,
        std::sync::Arc::new(crate::http::SystemNames),
        clock,
        crate::http::Limits::default(),
    );
    match client {
        Ok(client) => client
            .advice()
            .map(|advice| Finding::note(("network", "network_advice"), "it can be used", advice))
            .into_iter()
            .collect(),
        Err(fault) => vec![Finding::wrong(
            ("network", "network_settings"),
            fault.to_string(),
            format!("see [network] in {}", place.paths.settings.display()),
        )],
    }
}
