//! A home with Claude Code's store in it, and the rehearsed server whose grants it holds.
//!
//! It must not start any program: the tests do. Where to read next: `program`, and the parts
//! `cli`, `weather` and `crash`, which play on it.

use lamplighter_rehearsal::{Builder, Control, Mint, Minted, Rehearsal, Seen};
use serde_json::{Map, Value, json};

use crate::{
    home::{Home, Ran},
    program::lamplighter,
    store::{self, CREDENTIALS},
};

/// The stage.
#[derive(Debug)]
pub struct Stage {
    /// The user's home.
    pub home: Home,
    /// The server.
    pub town: Rehearsal,
    /// What the server is told, and what it saw.
    pub control: Control,
    entries: Map<String, Value>,
}

impl Stage {
    /// An empty store and a server built like this.
    pub fn new(builder: Builder) -> Self {
        let town = builder.start_blocking().expect("a server on loopback");
        let control = town.control();
        Self { home: Home::new(), town, control, entries: Map::new() }
    }

    /// The same with one server, `rig`, whose token has ended a second ago.
    pub fn with_rig(builder: Builder) -> (Self, Minted) {
        let mut stage = Self::new(builder);
        let minted = stage.sign_in("rig", -1);
        (stage, minted)
    }

    /// Signs `name` in: a live grant at the server, its entry in the store.
    pub fn sign_in(&mut self, name: &str, access_life_seconds: i64) -> Minted {
        self.sign_in_as(name, Mint { access_life_seconds, ..Mint::default() })
    }

    /// The same, with every detail.
    pub fn sign_in_as(&mut self, name: &str, mint: Mint) -> Minted {
        let minted = self.control.mint(mint);
        let entry = self.entry_for(name, &minted);
        self.entries.insert(self.key(name), entry);
        self.write_store();
        minted
    }

    /// The entry that Claude Code would have left for this grant.
    pub fn entry_for(&self, name: &str, minted: &Minted) -> Value {
        let mut entry = json!({
            "serverName": name,
            "serverUrl": self.town.mcp_url(),
            "accessToken": minted.access_token,
            "discoveryState": {
                "authorizationServerUrl": minted.issuer,
                "oauthMetadataFound": true
            },
            "clientId": minted.client_id,
            "redirectUri": "http://localhost:3118/callback",
            "refreshToken": minted.refresh_token,
            "expiresAt": minted.expires_at_ms,
            "scope": minted.scope,
        });
        if let Some(secret) = &minted.client_secret {
            entry["clientSecret"] = secret.clone().into();
        }
        entry
    }

    /// Changes an entry and writes the store.
    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let key = self.key(name);
        change(self.entries.get_mut(&key).expect("a server that was signed in"));
        self.write_store();
    }

    /// Writes the store as it was laid out.
    pub fn write_store(&self) {
        let text = json!({"claudeAiOauth": {"accessToken": "own-login"}, "mcpOAuth": self.entries});
        store::write(&self.home, CREDENTIALS, &text.to_string());
    }

    /// The store's key of a server.
    pub fn key(&self, name: &str) -> String {
        store::key(name, &self.town.mcp_url())
    }

    /// The entry as the store has it now.
    pub fn entry(&self, name: &str) -> Value {
        store::entry(&self.home, &self.key(name))
    }

    /// The tokens as the store has them now: access, refresh.
    pub fn pair(&self, name: &str) -> (String, String) {
        let entry = self.entry(name);
        let text = |member: &str| entry[member].as_str().unwrap_or_default().to_owned();
        (text("accessToken"), text("refreshToken"))
    }

    /// Whether the store holds tokens of this server that the authorization server would accept.
    pub fn holds_live_pair(&self, name: &str) -> bool {
        let (access, refresh) = self.pair(name);
        self.control.is_access_live(&access) && self.control.is_refresh_live(&refresh)
    }

    /// Runs `lamplighter ARGS…` here.
    pub fn run(&self, args: &[&str]) -> Ran {
        lamplighter(&self.home, args)
    }

    /// `lamplighter status --json`, parsed.
    pub fn status(&self) -> Value {
        let ran = self.run(&["status", "--json"]);
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err))
    }

    /// One server's member of that.
    pub fn server(&self, name: &str) -> Value {
        let status = self.status();
        let servers = status["servers"].as_array().expect("a list");
        let found = servers.iter().find(|server| server["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {status}")).clone()
    }

    /// Every refresh that was asked for by Lamplighter.
    pub fn refreshes(&self) -> Vec<Seen> {
        let all = self.control.refreshes().into_iter();
        all.filter(|seen| seen.user_agent.starts_with("Lamplighter/")).collect()
    }

    /// Ends the test if a spent token was presented or a rule of the protocol broken.
    pub fn nothing_was_broken(&self) {
        assert_eq!(self.control.violations(), Vec::<String>::new());
        let reused = self.refreshes().into_iter().filter(|seen| seen.reuse).count();
        assert_eq!(reused, 0, "a spent refresh token was presented");
    }
}
