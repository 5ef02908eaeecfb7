//! A home of its own, whose client program has the one server that is examined.
//!
//! It must not hold a sign-in that the engine did not make. Where to read next: `sign_in`.

use std::{fs, path::Path};

use lamplighter_core::secret::Secret;
use lamplighter_engine::{open::Place, paths::Env};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Failure;

/// The client program's store.
const CREDENTIALS: &str = ".claude/.credentials.json";
/// The keyring is the machine's, not this home's.
const SETTINGS: &str = "keyring = \"off\"\n\
    client_metadata_url = \"https://conformance-test.local/client-metadata.json\"\n";

/// The home; gone when it is dropped.
pub(super) struct Home(TempDir);

impl Home {
    /// A home for the server at `url`, with the credentials that the scenario hands out.
    pub(super) fn lay_out(url: &str, context: &Value) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("lamplighter-conformance-").tempdir()?;
        let home = Self(folder);
        let mut server = json!({"type": "http", "url": url});
        if let Some(id) = context["client_id"].as_str() {
            server["oauth"] = json!({"clientId": id});
        }
        let servers = json!({"mcpServers": {"examined": server}});
        fs::create_dir_all(home.path().join(".claude"))?;
        fs::write(home.path().join(".claude.json"), servers.to_string())?;
        if let Some(secret) = context["client_secret"].as_str() {
            let view = home.place()?.stores.first().ok_or("no store")?.look()?;
            let key = view.servers.first().and_then(|server| server.key.clone()).ok_or("no key")?;
            let text = json!({"mcpOAuthClientConfig": {key.as_str(): {"clientSecret": secret}}});
            fs::write(home.path().join(CREDENTIALS), text.to_string())?;
        }
        fs::create_dir_all(home.path().join("ours"))?;
        fs::write(home.place()?.paths.settings, SETTINGS)?;
        Ok(home)
    }

    /// The environment that leads here.
    pub(super) fn env(&self) -> Env {
        let ours = self.path().join("ours");
        Env::fixed([("HOME", self.path().as_os_str()), ("LAMPLIGHTER_HOME", ours.as_os_str())])
    }

    /// Where the engine finds everything.
    pub(super) fn place(&self) -> Result<Place, Failure> {
        Ok(Place::find(self.env())?)
    }

    /// The access token in the client program's store, where the engine put it.
    pub(super) fn token(&self) -> Result<Option<Secret>, Failure> {
        let path = self.path().join(CREDENTIALS);
        if !path.exists() {
            return Ok(None);
        }
        let store: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let entry = store["mcpOAuth"].as_object().and_then(|entries| entries.values().next());
        Ok(entry.and_then(|entry| entry["accessToken"].as_str()).map(Secret::new))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}
