//! The servers that Claude Code's configuration names: user, local, project, plugin and managed.
//!
//! Only remote ones that sign in by OAuth and that the user has neither disabled nor left
//! unapproved. Nothing here is run: `headersHelper` stays unread. A file that cannot be read hides
//! only itself, and is said. What a repository brings must decide nothing about a grant: [`Word`] says
//! who speaks, [`Said`] what of it counts.
//!
//! Read next: `trust`, for whose projects are read at all, and whose approval counts.

mod expand;
mod trust;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use lamplighter_core::{
    ids::EntryKey,
    secret::Secret,
    store::{ClientCredentials, SignInConfig},
};
use serde_json::{Map, Value};

use super::{
    folder::{Folder, shown},
    key::entry_key,
    surroundings::{Content, Reading, Readings},
};
use crate::{deadline::Answer, paths::Env, regular_file::LARGEST};
use expand::Expander;
pub(super) use trust::Word;
use trust::{Approvals, Records};

const NOT_SHOWN: &str = "its servers are not shown";
const LAST_COUNTS: &str = "what it said last counts";

/// So many servers are looked at in one file that a project or a plugin brings.
const MOST_IN_A_FILE: usize = 200;
/// And so many are kept of all that the user names, and as many of all that is brought.
const MOST_IN_ALL: usize = 2_000;

/// One configured server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub name: String,
    /// Who says so.
    pub word: Word,
    /// The folder of the repository that brings it, for people.
    pub project: Option<String>,
    /// As it is shown and contacted: after expansion, but for what a repository or a plugin brings. The
    /// value of a variable that only they name is nothing to show, and nothing to send to their host.
    pub url: String,
    /// Whether `url` is whole: every variable in it is known here, and its value may be shown.
    pub url_is_known: bool,
    /// After expansion in any case: only ever compared with the URL of an entry.
    expanded_url: Option<String>,
    /// Streamable HTTP, and not the older SSE transport.
    pub is_http: bool,
    /// After expansion; `None` where a variable is not known here, or a helper makes them.
    pub headers: Option<Map<String, Value>>,
    /// The key its entry would have; `None` where a variable is not known here.
    pub key: Option<EntryKey>,
    /// `oauth.clientId`.
    pub client_id: Option<String>,
    /// `oauth.callbackPort`.
    pub callback_port: Option<u16>,
    /// `oauth.authServerMetadataUrl`, HTTPS only.
    pub metadata_url: Option<String>,
    /// `oauth.xaa`: an enterprise signs in for the user.
    pub enterprise: bool,
}

/// Everything that configuration says.
#[derive(Debug, Clone, Default)]
pub(super) struct Configured {
    pub servers: Vec<Server>,
    /// What a person should know: a file that could not be read.
    pub advice: Vec<String>,
    /// What the other places say while a managed file can't be read: it counts only where it leaves an
    /// entry to the client.
    unheard: Option<Box<Configured>>,
}

impl Server {
    /// How a first sign-in to it is configured; the secret is kept apart, in the store's text. Whoever
    /// names the metadata decides where tokens go, and that is never a repository. A client is named by
    /// whoever has the user's word for it; the secret that the user configured goes with no other.
    pub(super) fn sign_in(&self, secret: Option<Secret>) -> SignInConfig {
        let approved = self.word != Word::Shown;
        let secret = secret.filter(|_| self.word != Word::Plugin);
        SignInConfig {
            client: self
                .client_id
                .clone()
                .filter(|_| approved)
                .map(|id| ClientCredentials { id, secret }),
            callback_port: self.callback_port.filter(|_| approved),
            metadata_url: self.metadata_url.clone().filter(|_| self.word <= Word::Plugin),
        }
    }

    /// Whether an entry with this name and URL is this server's.
    fn is_of(&self, name: &str, url: &str) -> bool {
        self.name == name && self.expanded_url.as_deref() == Some(url)
    }

    fn has_key(&self, key: &str) -> bool {
        self.key.as_ref().is_some_and(|own| own.as_str() == key)
    }
}

/// What configuration says about one entry, as far as it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The OAuth client of an entry that names none itself.
    pub client_id: Option<String>,
    /// That client, where the user's own files name it.
    pub own_client_id: Option<String>,
    /// Configurations name different clients, so that none is known.
    pub clients_differ: bool,
    /// A project that names a client and whose word does not count.
    pub project: Option<String>,
    pub callback_port: Option<u16>,
    pub metadata_url: Option<String>,
    pub enterprise: bool,
}

impl Said {
    /// Of these servers, which all are the entry's.
    fn by(servers: &[&Server]) -> Self {
        let of = |word| servers.iter().filter(move |server: &&&Server| server.word == word);
        let clients = |word| {
            of(word).filter_map(|server| server.client_id.as_deref()).collect::<BTreeSet<_>>()
        };
        // A plugin that the user enabled is asked where their own files name no client.
        let mut own = clients(Word::User);
        if own.is_empty() && of(Word::User).next().is_none() {
            own = clients(Word::Plugin);
        }
        let adopted = clients(Word::Adopted);
        // Where the user's files name the server and no client, a repository adds none to it.
        let silent = own.is_empty() && of(Word::User).next().is_some();
        // The user's own word stands, whatever a repository names beside it.
        let named = if own.is_empty() { &adopted } else { &own };
        let clients_differ = named.len() > 1 || (silent && !adopted.is_empty());
        let only = |ids: &BTreeSet<&str>| {
            ids.first().filter(|_| ids.len() == 1).map(|id| String::from(*id))
        };
        let places: BTreeSet<&str> = of(Word::User)
            .filter(|server| server.url_is_known)
            .filter_map(|server| server.metadata_url.as_deref())
            .collect();
        let mut unheard = of(Word::Shown).filter(|server| server.client_id.is_some());
        let mut ports = of(Word::User).chain(of(Word::Plugin));
        Self {
            client_id: only(named).filter(|_| !clients_differ),
            own_client_id: only(&own),
            clients_differ,
            project: unheard.find_map(|server| server.project.clone()),
            callback_port: ports.find_map(|server| server.callback_port),
            metadata_url: only(&places),
            enterprise: of(Word::User).any(|server| server.enterprise),
        }
    }
}

/// Where an organisation's own configuration lies.
pub(super) fn managed_file() -> PathBuf {
    if cfg!(target_os = "macos") {
        "/Library/Application Support/ClaudeCode/managed-mcp.json".into()
    } else if cfg!(windows) {
        r"C:\Program Files\ClaudeCode\managed-mcp.json".into()
    } else {
        "/etc/claude-code/managed-mcp.json".into()
    }
}

impl Configured {
    /// Reads every place. A managed file, where there is one, is the only one that counts, also where it
    /// can't be read: what it forbids is not known then. Who an entry was left to before keeps it meanwhile.
    pub(super) fn read(folder: &Folder, managed: &Path, env: &Env, files: Readings<'_>) -> Self {
        let Readings { own, .. } = files;
        let mut read = Self::default();
        let expander = Expander(env);
        match read.content(own, managed, LARGEST).as_deref() {
            Some(Content::Nothing) => {}
            Some(Content::Json(json)) => {
                let at = (managed, MOST_IN_ALL);
                read.add(at, json.get("mcpServers"), "", &expander, |_| Some(Word::User));
                return read;
            }
            Some(Content::Unusable(_)) | None => {
                let mut others = Self::default();
                others.others(folder, &expander, files);
                read.unheard = Some(Box::new(others));
                return read;
            }
        }
        read.others(folder, &expander, files);
        read
    }

    /// Reads every place but the managed file.
    fn others(&mut self, folder: &Folder, expander: &Expander<'_>, files: Readings<'_>) {
        let Readings { own, brought } = files;
        let settings = self.file(own, &folder.config.join("settings.json")).unwrap_or_default();
        self.plugins(files, folder, &settings, expander);
        // The program's own file holds far more than servers.
        let main = self.file_within(own, &folder.servers, super::LARGEST);
        let Some(main) = main else { return };
        let at = (folder.servers.as_path(), MOST_IN_ALL);
        self.add(at, main.get("mcpServers"), "", expander, |_| Some(Word::User));
        let projects = main.get("projects").and_then(Value::as_object);
        for (_, project) in projects.into_iter().flatten() {
            let disabled = names(project.get("disabledMcpServers"));
            self.add(at, project.get("mcpServers"), "", expander, |name| {
                (!disabled.contains(name)).then_some(Word::User)
            });
        }
        let records = Records { projects, home: &folder.home };
        for (path, project) in projects.into_iter().flatten() {
            // Nothing of a folder is read that Claude Code would not work in without asking.
            if records.is_trusted(path, brought) {
                let before = self.servers.len();
                self.project(brought, Path::new(path), project, &settings, expander);
                for server in &mut self.servers[before..] {
                    server.project = Some(shown(Path::new(path), &folder.home));
                }
            }
        }
        // Who looks for a server finds the user's own word first.
        self.servers.sort_by_key(|server| server.word);
    }

    /// The configured servers that an entry belongs to: by key, else by name and URL. By name alone only
    /// where the user's own URL depends on a variable that is not known here: a URL that is known and
    /// another one is another server, and nothing of it is this entry's.
    pub(super) fn of_entry(&self, key: &str, name: &str, url: &str) -> Vec<&Server> {
        let found: Vec<&Server> = self.servers.iter().filter(|s| s.has_key(key)).collect();
        if !found.is_empty() {
            return found;
        }
        let found: Vec<&Server> = self.servers.iter().filter(|s| s.is_of(name, url)).collect();
        if !found.is_empty() {
            return found;
        }
        let own = |server: &&Server| server.name == name && server.word == Word::User;
        let named: Vec<&Server> = self.servers.iter().filter(own).collect();
        let first = named.first().filter(|first| !first.url_is_known);
        let alike = first.is_some_and(|first| named.iter().all(|other| other.url == first.url));
        if alike { named } else { Vec::new() }
    }

    /// What counts of all that is said about an entry.
    pub(super) fn about(&self, key: &str, name: &str, url: &str) -> Said {
        let mut said = Said::by(&self.of_entry(key, name, url));
        said.enterprise |=
            self.unheard.as_ref().is_some_and(|others| others.about(key, name, url).enterprise);
        said
    }

    /// The headers that are configured for an entry, for a probe. `None`: they can't be known, or its
    /// transport is not probed. Another server's are never sent along, whatever it is called.
    pub(super) fn headers_of(
        &self,
        key: &str,
        name: &str,
        url: &str,
    ) -> Option<BTreeMap<String, String>> {
        let all = self.of_entry(key, name, url);
        let own = || all.iter().copied().filter(|server| server.word == Word::User);
        let mut its: Vec<&Server> = own().filter(|server| server.has_key(key)).collect();
        if its.is_empty() {
            // Who else names it can keep no probe from being made: what they leave open does not count.
            let others = all.iter().copied().filter(|server| server.has_key(key));
            its = others.filter(|s| s.word != Word::User && s.headers.is_some()).collect();
        }
        if its.is_empty() {
            // Its headers have changed since it was signed in to: the user's word for the new ones.
            its = own().collect();
        }
        // Removed from the configuration: what is known is the entry's URL alone.
        let Some(first) = its.first() else { return Some(BTreeMap::new()) };
        let alike = its.iter().all(|s| s.is_http && s.headers == first.headers);
        first.headers.as_ref().filter(|_| alike).map(sendable)
    }

    /// `.mcp.json` of one project that is trusted: only what the user has approved.
    fn project(
        &mut self,
        files: &Reading<'_>,
        path: &Path,
        record: &Value,
        user: &Value,
        expander: &Expander<'_>,
    ) {
        let shared_at = path.join(".mcp.json");
        let Some(shared) = self.file(files, &shared_at) else { return };
        let brought = self.file(files, &path.join(".claude/settings.json")).unwrap_or_default();
        let local = self.file(files, &path.join(".claude/settings.local.json"));
        let local = local.unwrap_or_default();
        let approvals = Approvals::of(&[record, user], &local, &brought);
        let switched_off = names(record.get("disabledMcpServers"));
        let at = (shared_at.as_path(), MOST_IN_A_FILE);
        self.add(at, shared.get("mcpServers"), "", expander, |name| {
            approvals.word(name).filter(|_| !switched_off.contains(name))
        });
    }

    /// Servers of installed and enabled plugins are called `plugin:PLUGIN:SERVER`.
    fn plugins(
        &mut self,
        files: Readings<'_>,
        folder: &Folder,
        settings: &Value,
        expander: &Expander<'_>,
    ) {
        let list = folder.config.join("plugins/installed_plugins.json");
        let Some(installed) = self.file(files.own, &list) else { return };
        let plugins = installed.get("plugins").and_then(Value::as_object);
        for (id, places) in plugins.into_iter().flatten() {
            let enabled = settings.get("enabledPlugins").and_then(|enabled| enabled.get(id));
            if enabled.and_then(Value::as_bool) != Some(true) {
                continue;
            }
            let plugin = id.split_once('@').map_or(id.as_str(), |(plugin, _)| plugin);
            let prefix = format!("plugin:{plugin}:");
            for place in places.as_array().into_iter().flatten() {
                let Some(path) = place.get("installPath").and_then(Value::as_str) else { continue };
                let path = Path::new(path);
                if let Some(own) = self.file(files.brought, &path.join(".mcp.json")) {
                    let wrapped = own.get("mcpServers").cloned();
                    let own = wrapped.unwrap_or(own);
                    self.add((path, MOST_IN_A_FILE), Some(&own), &prefix, expander, |_| {
                        Some(Word::Plugin)
                    });
                }
                let manifest = self.file(files.brought, &path.join(".claude-plugin/plugin.json"));
                if let Some(manifest) = manifest {
                    let servers = manifest.get("mcpServers");
                    self.add((path, MOST_IN_A_FILE), servers, &prefix, expander, |_| {
                        Some(Word::Plugin)
                    });
                }
            }
        }
    }

    /// Takes in the first `most` of the servers that `file` names, as far as there is room; more than that
    /// would take too long, and are told.
    fn add(
        &mut self,
        (file, most): (&Path, usize),
        servers: Option<&Value>,
        prefix: &str,
        expander: &Expander<'_>,
        word: impl Fn(&str) -> Option<Word>,
    ) {
        let Some(servers) = servers.and_then(Value::as_object) else { return };
        let mut is_full = servers.len() > most;
        for (name, server) in servers.iter().take(most) {
            let read = word(name)
                .and_then(|word| read_server(&format!("{prefix}{name}"), word, server, expander));
            let Some(server) = read.filter(|server| !self.servers.contains(server)) else {
                continue;
            };
            let own = server.word == Word::User;
            let alike = self.servers.iter().filter(|other| (other.word == Word::User) == own);
            if alike.count() >= MOST_IN_ALL {
                is_full = true;
                break;
            }
            self.servers.push(server);
        }
        if is_full {
            let file = file.display();
            self.advice.push(format!("{file} names too many servers; some are not shown"));
        }
    }

    /// A JSON file as a value; `None` where there is none, or where it says nothing that can be
    /// used, which is then told.
    fn file(&mut self, files: &Reading<'_>, path: &Path) -> Option<Value> {
        self.file_within(files, path, LARGEST)
    }

    /// The same, with another limit to its size.
    fn file_within(&mut self, files: &Reading<'_>, path: &Path, largest: u64) -> Option<Value> {
        match self.content(files, path, largest)?.as_ref() {
            Content::Json(value) => Some(value.clone()),
            Content::Nothing | Content::Unusable(_) => None,
        }
    }

    /// What lies at a path; what can't be used is told. What does not answer is what it was last time, and
    /// so is one of the client's own files that can't be used; `None` where it never answered.
    fn content(&mut self, files: &Reading<'_>, path: &Path, largest: u64) -> Option<Arc<Content>> {
        let (content, answered) = match files.file(path, largest) {
            Answer::Now(content) => (Some(content), true),
            Answer::Silent(last) => (last, false),
        };
        let shown = path.display();
        if !answered {
            let left = if content.is_some() { LAST_COUNTS } else { NOT_SHOWN };
            self.advice.push(format!("{shown} does not answer; {left}"));
        }
        if let Some(Content::Unusable(why)) = content.as_deref() {
            let good = files.last_good(path);
            let left = if good.is_some() { LAST_COUNTS } else { NOT_SHOWN };
            self.advice.push(format!("{shown} {why}; {left}"));
            return good.or(content);
        }
        content
    }
}

fn read_server(name: &str, word: Word, server: &Value, expander: &Expander<'_>) -> Option<Server> {
    let kind = match server.get("type").and_then(Value::as_str)? {
        "http" | "streamable-http" => "http",
        "sse" => "sse",
        _ => return None,
    };
    let written = server.get("url").and_then(Value::as_str)?;
    let url = expander.text(written);
    let empty = Map::new();
    let configured = server.get("headers").and_then(Value::as_object).unwrap_or(&empty);
    // A header that signs in by itself turns OAuth off for that server (2.1.330).
    if configured.keys().any(|header| header.eq_ignore_ascii_case("authorization")) {
        return None;
    }
    let mut known = url.known;
    // What somebody else names of the environment is theirs neither to show nor to send.
    let own = word == Word::User;
    let mut is_open = own || url.is_as_written;
    let shown_url = if is_open { url.text.clone() } else { written.into() };
    let url_is_known = url.known && is_open;
    let mut headers = Map::new();
    for (header, value) in configured {
        let value = expander.text(value.as_str()?);
        known &= value.known;
        is_open &= own || value.is_as_written;
        headers.insert(header.clone(), value.text.into());
    }
    let oauth = |member: &str| server.get("oauth").and_then(|oauth| oauth.get(member));
    let text = |member: &str| oauth(member).and_then(Value::as_str).filter(|s| !s.is_empty());
    let port = oauth("callbackPort").and_then(Value::as_u64);
    Some(Server {
        name: name.into(),
        word,
        project: None,
        is_http: kind == "http",
        // A key is never made up for what cannot be expanded here: the user's shell may know more.
        key: known.then(|| entry_key(name, kind, &url.text, &headers)).flatten(),
        url: shown_url,
        url_is_known,
        expanded_url: url.known.then_some(url.text),
        headers: (known && is_open && server.get("headersHelper").is_none()).then_some(headers),
        client_id: text("clientId").map(Into::into),
        callback_port: port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0),
        metadata_url: text("authServerMetadataUrl")
            .filter(|url| url.starts_with("https://"))
            .map(Into::into),
        enterprise: oauth("xaa").is_some_and(|xaa| *xaa != Value::Bool(false)),
    })
}

fn names(list: Option<&Value>) -> BTreeSet<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(Into::into).collect()
}

/// Headers as a probe sends them.
fn sendable(headers: &Map<String, Value>) -> BTreeMap<String, String> {
    let texts = headers.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    texts.map(|(name, value)| (name.clone(), value.into())).collect()
}

#[cfg(test)]
mod tests;
