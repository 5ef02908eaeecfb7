//! What the user decides: one TOML file, documented by [`Settings::example`].
//!
//! A missing file means the defaults. A file that does not parse, or names a key that does not exist,
//! is refused as a whole with its line: guessing what was meant could renew what should be left. It is
//! never moved, and no fault repeats what stands in it, which may be a secret.
//!
//! Read next: [`live`] for a file that changes while somebody keeps, [`edit`] for changes of ours,
//! [`keys`] for single settings by their key.

pub mod edit;
pub mod keys;
pub mod live;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lamplighter_core::{
    http::{Hosts, PlainHttp},
    oauth::profile::Profiles,
};
use serde::{Deserialize, Serialize};

use crate::{
    clock::SystemClock,
    deadline,
    http::{Client, Limits, Network, ProxyChoice, SystemNames},
    paths::Env,
    regular_file::{self, LARGEST, ReadError},
};

/// How long the file is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest wait for the keyring that makes sense.
const LONGEST_WAIT: u64 = 60;

/// Why the settings can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {what}", .place.display(), .at.map(|(line, column)| format!(", line {line}, column {column}")).unwrap_or_default())]
pub struct SettingsFault {
    /// The file.
    pub place: PathBuf,
    /// Line and column, counted from 1, where they are known.
    pub at: Option<(usize, usize)>,
    /// What is wrong, without a word of what stands there.
    pub what: String,
}

/// Whether the journal is sealed with a key from the system's keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyringUse {
    /// Where there is one.
    Auto,
    /// Never ask it.
    Off,
}

/// What the user has said to the tray's one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// Keep them signed in.
    Keep,
    /// Only watch.
    Watch,
}

/// Settings of the Claude Code store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaudeCodeSettings {
    /// Whether it is looked at at all.
    pub enabled: bool,
    /// Config folders besides the usual one, absolute.
    pub folders: Vec<PathBuf>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The seal on the journal.
    pub keyring: KeyringUse,
    /// How long the keyring may take to answer.
    pub keyring_wait: Duration,
    /// What was answered; `None`: not asked yet.
    pub consent: Option<Consent>,
    /// Whether notices are shown.
    pub notices: bool,
    /// Whether servers are asked if they accept their tokens.
    pub probe: bool,
    /// The address of the user's own Client ID Metadata Document, used where a server takes one.
    pub client_metadata_url: Option<String>,
    /// The user's own command for news, program and arguments; empty: none.
    pub on_change: Vec<String>,
    /// The Claude Code store.
    pub claude_code: ClaudeCodeSettings,
    /// The way out.
    pub network: Network,
    /// The shipped provider profiles with the user's overrides.
    pub profiles: Profiles,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keyring: KeyringUse::Auto,
            keyring_wait: Duration::from_secs(2),
            consent: None,
            notices: true,
            probe: true,
            client_metadata_url: None,
            on_change: Vec::new(),
            claude_code: ClaudeCodeSettings { enabled: true, folders: Vec::new() },
            network: Network::default(),
            profiles: Profiles::default(),
        }
    }
}

impl Settings {
    /// Reads the file at `place`; the defaults where there is none.
    pub fn read(place: &Path, env: &Env) -> Result<Self, SettingsFault> {
        Self::of_text(Self::text(place)?.as_deref(), place, env)
    }

    /// What stands in the file at `place`; `None` where there is none.
    fn text(place: &Path) -> Result<Option<String>, SettingsFault> {
        let file = place.to_owned();
        told(place, deadline::within(PATIENCE, move || read_text(&file)))
    }

    /// As [`read`](Self::read), of `text` that was read already.
    fn of_text(text: Option<&str>, place: &Path, env: &Env) -> Result<Self, SettingsFault> {
        text.map_or_else(|| Ok(Self::default()), |text| Self::parse(text, place, env))
    }

    /// Whether a keeper can go out by what is set about the network: `Err` says what is in the way, a
    /// file of certificates that has gone or a proxy that is no URL.
    fn check_network(&self, place: &Path, env: &Env) -> Result<(), SettingsFault> {
        let (clock, names) = (Arc::new(SystemClock::new()), Arc::new(SystemNames));
        let client = Client::new(&self.network, env, names, clock, Limits::default());
        client.map(drop).map_err(|fault| SettingsFault {
            place: place.into(),
            at: None,
            what: format!("[network]: {fault}"),
        })
    }

    /// Reads `text`, which stands in the file at `place`.
    pub fn parse(text: &str, place: &Path, env: &Env) -> Result<Self, SettingsFault> {
        let fault = |at, what| SettingsFault { place: place.into(), at, what };
        let at = |error: &toml::de::Error| error.span().map(|span| position(text, span.start));
        toml::from_str::<toml::Table>(text)
            .map_err(|error| fault(at(&error), "this is not TOML, or a key stands twice".into()))?;
        let wire: Wire = toml::from_str(text)
            .map_err(|error| fault(at(&error), without_content(error.message())))?;
        let folders = |key: &str, folders: Vec<String>| {
            let absolute = |(number, folder): (usize, String)| {
                let known = absolute(&folder, env);
                known.ok_or_else(|| {
                    fault(None, format!("{key}: number {} is not an absolute path", number + 1))
                })
            };
            folders.into_iter().enumerate().map(absolute).collect::<Result<Vec<_>, _>>()
        };
        let no_host = |key: &str, place: usize| {
            let what = "is not a host; leave scheme, port and path out";
            fault(None, format!("{key}: number {} {what}", place + 1))
        };
        if !(1..=LONGEST_WAIT).contains(&wire.keyring_wait_seconds) {
            let what = format!("keyring_wait_seconds must be from 1 to {LONGEST_WAIT}");
            return Err(fault(None, what));
        }
        if wire.on_change.first().is_some_and(|program| program.trim().is_empty()) {
            return Err(fault(None, "on_change must begin with the name of a program".into()));
        }
        let overrides = wire.profiles.to_string();
        Ok(Self {
            keyring: wire.keyring,
            keyring_wait: Duration::from_secs(wire.keyring_wait_seconds),
            consent: wire.consent,
            notices: wire.notices,
            probe: wire.probe,
            client_metadata_url: wire.client_metadata_url,
            on_change: wire.on_change,
            claude_code: ClaudeCodeSettings {
                enabled: wire.stores.claude_code.enabled,
                folders: folders("stores.claude-code.folders", wire.stores.claude_code.folders)?,
            },
            network: Network {
                proxy: proxy(wire.network.proxy),
                extra_ca: folders("network.extra_ca", wire.network.extra_ca)?,
                plain_http: PlainHttp::new(&wire.network.allow_http)
                    .map_err(|place| no_host("network.allow_http", place))?,
                allow_private: Hosts::new(&wire.network.allow_private)
                    .map_err(|place| no_host("network.allow_private", place))?,
            },
            profiles: Profiles::with_overrides(&overrides).map_err(|wrong| {
                fault(None, format!("[profiles]: {}", without_content(&wrong.to_string())))
            })?,
        })
    }

    /// Whether a keeper that goes by these has to begin anew to go by the others. Whether notices are
    /// shown and what the one question was answered with are a desktop's alone.
    pub fn differs_for_a_keeper(&self, others: &Self) -> bool {
        let keepers = |settings: &Self| Self { notices: true, consent: None, ..settings.clone() };
        keepers(self) != keepers(others)
    }

    /// The documented file: every setting with its default, commented out.
    pub const fn example() -> &'static str {
        include_str!("settings.example.toml")
    }
}

/// What stands in the file; `Err`: why it can't be read. May wait for ever.
fn read_text(file: &Path) -> Result<Option<String>, String> {
    match regular_file::read_text(file, LARGEST) {
        Ok(text) => Ok(Some(text.to_string())),
        // What it leads to may be a disk that is not there yet.
        Err(refused) if refused.is_absent() => match leads_nowhere(file) {
            Some(link) if link == file => Err("the link there leads to no file".into()),
            Some(link) => Err(format!("the link {} leads nowhere", link.display())),
            None => Ok(None),
        },
        Err(ReadError::NotText) => Err("this is not text in UTF-8".into()),
        Err(refused) => Err(format!("can't be read: {refused}")),
    }
}

/// The link that keeps a file that is absent from being found: at its place, or at a folder above it.
fn leads_nowhere(file: &Path) -> Option<&Path> {
    let there = file.ancestors().find(|place| place.symlink_metadata().is_ok())?;
    (there.is_symlink() && !there.exists()).then_some(there)
}

/// What reading the file at `place` came to; `None`: it has not answered.
fn told<T>(place: &Path, read: Option<Result<T, String>>) -> Result<T, SettingsFault> {
    let fault = |what| SettingsFault { place: place.into(), at: None, what };
    read.unwrap_or_else(|| Err("it does not answer".into())).map_err(fault)
}

fn proxy(text: String) -> ProxyChoice {
    match text.as_str() {
        "auto" => ProxyChoice::Automatic,
        "none" | "" => ProxyChoice::Off,
        _ => ProxyChoice::Url(text),
    }
}

/// A path as a person writes it: `~/` stands for the home folder. `None` where it begins elsewhere.
pub(crate) fn absolute(folder: &str, env: &Env) -> Option<PathBuf> {
    let path = match folder.strip_prefix("~/") {
        Some(below) => env.home()?.join(below),
        None => PathBuf::from(folder),
    };
    path.is_absolute().then_some(path)
}

/// What is wrong with a key or a value, by a deserializer's message, which quotes what it found. Only
/// what it expected is repeated: that is ours.
fn without_content(message: &str) -> String {
    let kinds = [
        ("unknown field", "this key is not known"),
        ("unknown variant", "this value is not known"),
        ("invalid type", "this value is of another kind"),
        ("invalid value", "this value can't be"),
        ("invalid length", "this list has another length"),
    ];
    let found = kinds.iter().filter_map(|(kind, words)| Some((message.find(kind)?, *words))).min();
    let Some((_, words)) = found else { return "this can't be understood".into() };
    // What was found may hold anything, also these words; what was expected comes last.
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{words}; expected {expected}"),
        None => words.into(),
    }
}

/// Line and column of a byte, both counted from 1, the column in characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    keyring: KeyringUse,
    keyring_wait_seconds: u64,
    consent: Option<Consent>,
    notices: bool,
    probe: bool,
    client_metadata_url: Option<String>,
    on_change: Vec<String>,
    stores: WireStores,
    network: WireNetwork,
    profiles: toml::Table,
}

impl Default for Wire {
    fn default() -> Self {
        let Settings { keyring, keyring_wait, consent, notices, probe, on_change, .. } =
            Settings::default();
        Self {
            keyring,
            keyring_wait_seconds: keyring_wait.as_secs(),
            consent,
            notices,
            probe,
            client_metadata_url: None,
            on_change,
            stores: WireStores::default(),
            network: WireNetwork::default(),
            profiles: toml::Table::new(),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WireStores {
    #[serde(rename = "claude-code")]
    claude_code: WireClaudeCode,
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WireClaudeCode {
    enabled: bool,
    folders: Vec<String>,
}

impl Default for WireClaudeCode {
    fn default() -> Self {
        Self { enabled: true, folders: Vec::new() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WireNetwork {
    proxy: String,
    extra_ca: Vec<String>,
    allow_http: Vec<String>,
    allow_private: Vec<String>,
}

impl Default for WireNetwork {
    fn default() -> Self {
        Self {
            proxy: "auto".into(),
            extra_ca: Vec::new(),
            allow_http: Vec::new(),
            allow_private: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_core::time::Millis;

    use super::*;

    fn parse(text: &str) -> Result<Settings, SettingsFault> {
        let env = Env::fixed([("HOME", "/home/ada"), ("USERPROFILE", "C:\\Users\\ada")]);
        Settings::parse(text, Path::new("/c/settings.toml"), &env)
    }

    fn refused(text: &str, expected: &str) {
        let fault = parse(text).unwrap_err().to_string();
        assert!(fault.starts_with("/c/settings.toml") && fault.contains(expected), "{fault}");
    }

    #[test]
    fn a_missing_file_means_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::fixed::<&str, &str>([]);
        let read = Settings::read(&folder.path().join("settings.toml"), &env);
        assert_eq!(read, Ok(Settings::default()));
        assert!(Settings::read(folder.path(), &env).is_err());
    }

    #[test]
    fn the_example_says_what_the_defaults_are() {
        assert_eq!(parse(Settings::example()), Ok(Settings::default()));
    }

    #[test]
    #[cfg(unix)]
    fn every_line_of_the_example_works_when_it_is_uncommented() {
        // A setting is commented out by `#` alone, prose by `# `.
        let live: String = Settings::example()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let settings = parse(&live).unwrap();
        assert_eq!(settings.claude_code.folders, [Path::new("/home/ada/team/.claude")]);
        assert_eq!(settings.network.extra_ca, [Path::new("/etc/ssl/corp.pem")]);
        assert_eq!(settings.network.plain_http.refused("http://192.168.77.5/mcp"), None);
        assert_eq!(settings.on_change, ["notify-my-phone", "--json"]);
        let slack = settings.profiles.of("https://mcp.slack.com/mcp").1;
        assert_eq!(slack.access_life(), Some(Millis::hours(12)));
    }

    #[test]
    fn settings_are_read() {
        let settings = parse(
            "keyring = 'off'\nnotices = false\nconsent = 'watch'\n[stores.claude-code]\n\
             enabled = false\n[network]\nproxy = 'none'\n[profiles.slack]\naccess_life_seconds = 60\n",
        )
        .unwrap();
        assert_eq!((settings.keyring, settings.notices), (KeyringUse::Off, false));
        assert_eq!((settings.consent, settings.claude_code.enabled), (Some(Consent::Watch), false));
        assert_eq!(settings.network.proxy, ProxyChoice::Off);
        let slack = settings.profiles.of("https://mcp.slack.com/mcp").1;
        assert_eq!((slack.access_life(), &*slack.name), (Some(Millis::minutes(1)), "Slack"));
    }

    #[test]
    fn an_unknown_key_is_told_by_its_line_and_by_what_is_known() {
        let known = "this key is not known; expected one of `keyring`";
        refused("notices = true\nkeyrin = 'off'\n", &format!("line 2, column 1: {known}"));
        refused("[network]\n\n  porxy = 'x'\n", "line 3, column 3: this key is not known");
        refused("[stores.cursor]\n", "this key is not known; expected `claude-code`");
        refused("[profiles.slack]\nlief = 1\n", "[profiles]: this key is not known");
    }

    #[test]
    fn what_is_not_toml_is_refused_with_line_and_column() {
        refused("notices = true\nkeyring = \n", "line 2, column 11: this is not TOML");
        refused(
            "keyring = 'maybe'\n",
            "line 1, column 11: this value is not known; expected `auto`",
        );
        refused("keyring_wait_seconds = 0\n", "from 1 to 60");
        refused("on_change = ['']\n", "on_change must begin with the name of a program");
        refused(
            "on_change = 'notify --json'\n",
            "line 1, column 13: this value is of another kind",
        );
        refused("[network]\nextra_ca = ['corp.pem']\n", "extra_ca: number 1 is not an absolute");
        refused("[network]\nallow_http = ['nas.lan:80']\n", "allow_http: number 1 is not a host");
        let url = "[network]\nallow_private = ['a.corp', 'https://b.corp']\n";
        refused(url, "allow_private: number 2 is not a host");
    }

    #[test]
    fn no_fault_repeats_a_word_of_the_file() {
        // A token, also one that looks like a deserializer's own words.
        for secret in ["xoxb-hush", "hush, expected hush", "hush`, expected one of `hush"] {
            let quoted = toml::Value::from(secret).to_string();
            for text in [
                format!("on_change = {quoted}\n"),
                format!("on_change = [1, {quoted}]\n"),
                format!("on_change = [{quoted}\n"),
                format!("on_change = [\"a\"]\non_change = [{quoted}]\n"),
                format!("{secret}\n"),
                format!("{quoted} = 1\n"),
                format!("notices = {quoted}\n"),
                format!("consent = {quoted}\n"),
                format!("keyring_wait_seconds = {quoted}\n"),
                format!("[network]\nproxy = [{quoted}]\n"),
                format!("[network]\nextra_ca = [{quoted}]\n"),
                format!("[network]\nallow_http = ['nas.lan', 'a b', {quoted}]\n"),
                format!("[stores.claude-code]\nfolders = [{quoted}]\n"),
                format!("[stores.{quoted}]\n"),
                format!("[profiles.{quoted}]\nlief = 1\n"),
                format!("[profiles.slack]\n{quoted} = 1\n"),
                format!("[profiles.slack]\nauth_method = {quoted}\n"),
                format!("profiles = {quoted}\n"),
            ] {
                let fault = parse(&text).unwrap_err();
                let shown = format!("{fault} {fault:?}");
                assert!(!shown.contains("hush"), "{text} gives {shown}");
            }
        }
    }

    #[test]
    fn a_column_counts_characters() {
        assert_eq!(position("a = 1\nä = ü", 9), (2, 3));
        assert_eq!(position("", 0), (1, 1));
    }
}
