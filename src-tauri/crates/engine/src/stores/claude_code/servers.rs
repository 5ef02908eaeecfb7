//! The servers that Claude Code's configuration names: user, local, project, plugin and managed.
//!
//! Only remote ones that sign in by OAuth and that the user has neither disabled nor left
//! unapproved. Nothing here is run: `headersHelper` stays unread. A file that cannot be read hides
//! only itself, and is said.

mod expand;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use lamplighter_core::{
    ids::EntryKey,
    secret::Secret,
    store::{ClientCredentials, SignInConfig},
};
use serde_json::{Map, Value};

use super::{folder::Folder, key::entry_key};
use crate::paths::Env;
use expand::Expander;

/// One configured server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub name: String,
    /// After expansion.
    pub url: String,
    /// Whether every variable in the URL is known here.
    pub url_is_known: bool,
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
#[derive(Debug, Default)]
pub(super) struct Configured {
    pub servers: Vec<Server>,
    /// What a person should know: a file that could not be read.
    pub advice: Vec<String>,
}

impl Server {
    /// How a sign-in to it is configured; the secret is kept apart, in the store's text.
    pub(super) fn sign_in(&self, secret: Option<Secret>) -> SignInConfig {
        SignInConfig {
            client: self.client_id.clone().map(|id| ClientCredentials { id, secret }),
            callback_port: self.callback_port,
            metadata_url: self.metadata_url.clone(),
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
    /// Reads every place. A managed file, where there is one, is the only one that counts.
    pub(super) fn read(folder: &Folder, managed: &Path, env: &Env) -> Self {
        let mut read = Self::default();
        let expander = Expander(env);
        if let Some(managed) = read.file(managed) {
            read.add(managed.get("mcpServers"), "", &expander, |_| true);
            return read;
        }
        let settings = read.file(&folder.config.join("settings.json")).unwrap_or_default();
        read.plugins(folder, &settings, &expander);
        let Some(main) = read.file(&folder.servers) else { return read };
        read.add(main.get("mcpServers"), "", &expander, |_| true);
        let projects = main.get("projects").and_then(Value::as_object);
        for (path, project) in projects.into_iter().flatten() {
            let disabled = names(project.get("disabledMcpServers"));
            read.add(project.get("mcpServers"), "", &expander, |name| !disabled.contains(name));
            read.project(Path::new(path), project, &settings, &expander);
        }
        read
    }

    /// The configured server that an entry belongs to: by key, else by name and URL. By name alone
    /// only where the configured URL depends on a variable that is not known here: a URL that is
    /// known and another one is another server, and nothing of it is this entry's.
    pub(super) fn of_entry(&self, key: &str, name: &str, url: &str) -> Option<&Server> {
        let by_key =
            self.servers.iter().find(|s| s.key.as_ref().is_some_and(|k| k.as_str() == key));
        by_key.or_else(|| self.servers.iter().find(|s| s.name == name && s.url == url)).or_else(
            || {
                let mut named = self.servers.iter().filter(|s| s.name == name);
                let first = named.next().filter(|first| !first.url_is_known)?;
                named.all(|other| other.url == first.url).then_some(first)
            },
        )
    }

    /// `.mcp.json` of one project: only what the user has approved.
    fn project(&mut self, path: &Path, project: &Value, user: &Value, expander: &Expander<'_>) {
        let Some(shared) = self.file(&path.join(".mcp.json")) else { return };
        let own = self.file(&path.join(".claude/settings.json")).unwrap_or_default();
        let local = self.file(&path.join(".claude/settings.local.json")).unwrap_or_default();
        let says = [project, user, &own, &local];
        let collect = |member: &str| -> BTreeSet<String> {
            says.iter().flat_map(|settings| names(settings.get(member))).collect()
        };
        let (enabled, disabled) =
            (collect("enabledMcpjsonServers"), collect("disabledMcpjsonServers"));
        let all = says
            .iter()
            .any(|s| s.get("enableAllProjectMcpServers").and_then(Value::as_bool) == Some(true));
        let switched_off = names(project.get("disabledMcpServers"));
        self.add(shared.get("mcpServers"), "", expander, |name| {
            (all || enabled.contains(name))
                && !disabled.contains(name)
                && !switched_off.contains(name)
        });
    }

    /// Servers of installed and enabled plugins are called `plugin:PLUGIN:SERVER`.
    fn plugins(&mut self, folder: &Folder, settings: &Value, expander: &Expander<'_>) {
        let list = folder.config.join("plugins/installed_plugins.json");
        let Some(installed) = self.file(&list) else { return };
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
                if let Some(own) = self.file(&path.join(".mcp.json")) {
                    let wrapped = own.get("mcpServers").cloned();
                    self.add(Some(&wrapped.unwrap_or(own)), &prefix, expander, |_| true);
                }
                let manifest = self.file(&path.join(".claude-plugin/plugin.json"));
                if let Some(manifest) = manifest {
                    self.add(manifest.get("mcpServers"), &prefix, expander, |_| true);
                }
            }
        }
    }

    fn add(
        &mut self,
        servers: Option<&Value>,
        prefix: &str,
        expander: &Expander<'_>,
        wanted: impl Fn(&str) -> bool,
    ) {
        for (name, server) in servers.and_then(Value::as_object).into_iter().flatten() {
            let read =
                wanted(name).then(|| read_server(&format!("{prefix}{name}"), server, expander));
            if let Some(server) = read.flatten()
                && !self.servers.contains(&server)
            {
                self.servers.push(server);
            }
        }
    }

    /// A JSON file as a value; `None` where there is none, or where it says nothing that can be
    /// used, which is then told.
    fn file(&mut self, path: &Path) -> Option<Value> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.advice
                    .push(format!("{} can't be read; its servers are not shown", path.display()));
                return None;
            }
            Err(_) => return None,
        };
        let value = serde_json::from_slice::<Value>(&text);
        if let Err(error) = &value {
            let (line, column) = (error.line(), error.column());
            self.advice.push(format!(
                "{} is not valid JSON at line {line}, column {column}; its servers are not shown",
                path.display()
            ));
        }
        value.ok()
    }
}

fn read_server(name: &str, server: &Value, expander: &Expander<'_>) -> Option<Server> {
    let kind = match server.get("type").and_then(Value::as_str)? {
        "http" | "streamable-http" => "http",
        "sse" => "sse",
        _ => return None,
    };
    let url = expander.text(server.get("url").and_then(Value::as_str)?);
    let empty = Map::new();
    let configured = server.get("headers").and_then(Value::as_object).unwrap_or(&empty);
    // A header that signs in by itself turns OAuth off for that server (2.1.330).
    if configured.keys().any(|header| header.eq_ignore_ascii_case("authorization")) {
        return None;
    }
    let url_is_known = url.known;
    let mut known = url_is_known;
    let mut headers = Map::new();
    for (header, value) in configured {
        let value = expander.text(value.as_str()?);
        known &= value.known;
        headers.insert(header.clone(), value.text.into());
    }
    let oauth = |member: &str| server.get("oauth").and_then(|oauth| oauth.get(member));
    let text = |member: &str| oauth(member).and_then(Value::as_str).filter(|s| !s.is_empty());
    let port = oauth("callbackPort").and_then(Value::as_u64);
    Some(Server {
        name: name.into(),
        is_http: kind == "http",
        // A key is never made up for what cannot be expanded here: the user's shell may know more.
        key: known.then(|| entry_key(name, kind, &url.text, &headers)).flatten(),
        url: url.text,
        url_is_known,
        headers: (known && server.get("headersHelper").is_none()).then_some(headers),
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
pub(super) fn sendable(headers: &Map<String, Value>) -> BTreeMap<String, String> {
    let texts = headers.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    texts.map(|(name, value)| (name.clone(), value.into())).collect()
}

#[cfg(test)]
mod tests;
