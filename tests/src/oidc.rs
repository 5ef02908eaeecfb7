//! `oidc-provider`, a certified authorization server, with an MCP server behind it.
//!
//! Its refresh tokens rotate, and one that is used twice ends its grant. It must not be told
//! anything that an operator couldn't do. Where to read next: `tests/peers/oidc/server.mjs`.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{script::Script, sign_in::SignIn};

/// What a test chooses.
#[derive(Clone, Debug)]
pub struct Choices {
    /// How long access tokens live.
    pub life_seconds: u32,
    /// For how long a spent refresh token is taken once more; the provider itself has no grace, so
    /// that this is what its storage tells it.
    pub grace_ms: u32,
    /// Another origin in front of it, which it then calls its own.
    pub front: Option<String>,
    /// Whether it shows its own pages of login and consent; otherwise everybody is signed in at once.
    pub asks: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self { life_seconds: 3600, grace_ms: 0, front: None, asks: false }
    }
}

/// One refresh request as the token endpoint saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The `User-Agent`.
    pub agent: String,
    /// `issued`, or the error and the provider's own reason for it.
    pub outcome: String,
    /// The refresh token had been answered with success before.
    pub reuse: bool,
    /// A digest of the refresh token.
    pub token: String,
}

/// What a person saw and where it led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The headings of the pages, in order.
    pub pages: Vec<String>,
    /// The address that the last redirect named, with the code or the error in it.
    pub callback: String,
}

/// The running server.
#[derive(Debug)]
pub struct OidcProvider {
    /// `None` only while it restarts.
    script: Option<Script>,
    options: Value,
    /// What it was asked before the last restart.
    earlier: Vec<Asked>,
    folder: TempDir,
}

impl OidcProvider {
    /// Starts it on a free loopback port.
    pub fn start(choices: Choices) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let options = json!({
            "asks": choices.asks,
            "grace_ms": choices.grace_ms,
            "issuer": choices.front,
            "life_seconds": choices.life_seconds,
            "store": folder.path().join("kept.json"),
        });
        let script = Some(run(&options));
        Self { script, options, earlier: Vec::new(), folder }
    }

    /// Ends it and starts it again at the same place, with what it remembers or without.
    pub fn restart(&mut self, remembering: bool) {
        self.earlier = self.asked();
        self.options["port"] = self.port().into();
        // It must have let go of its port before the next one takes it.
        self.script.take();
        if !remembering {
            fs::remove_file(self.folder.path().join("kept.json")).expect("what it remembered");
        }
        self.script = Some(run(&self.options));
    }

    /// Where the MCP server is.
    pub fn server_url(&self) -> &str {
        self.script().ready("server_url")
    }

    /// What it calls itself.
    pub fn issuer(&self) -> &str {
        self.script().ready("issuer")
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.script().port()
    }

    /// Signs in as a client does: registration, authorization, exchange.
    pub fn sign_in(&self) -> SignIn {
        SignIn::told(self.server_url(), &self.script().just("sign_in"))
    }

    /// Ends the grant of this refresh token, as an operator would.
    pub fn revoke(&self, refresh_token: &str) {
        self.script().ask("revoke", json!({"refresh_token": refresh_token}));
    }

    /// Ends every grant there is.
    pub fn revoke_all(&self) {
        self.script().just("revoke_all");
    }

    /// Signs in at a server that has this one behind it.
    pub(crate) fn sign_in_at(&self, origin: &str, server_url: &str) -> SignIn {
        SignIn::told(server_url, &self.script().ask("sign_in", json!({"at": origin})))
    }

    /// Goes through its pages from this address on, as a person with a browser, back to the client;
    /// one who `cancels` does so on the page of consent.
    pub fn walk(&self, page: &str, cancels: bool, redirect_uri: &str) -> Walk {
        let asked = json!({"cancels": cancels, "until": redirect_uri, "url": page});
        let walk = self.script().ask("walk", asked);
        let pages = walk["pages"].as_array().expect("a list").iter();
        Walk {
            pages: pages.map(|page| page.as_str().unwrap_or_default().to_owned()).collect(),
            callback: walk["callback"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Forgets a registration.
    pub fn forget(&self, client_id: &str) {
        self.script().ask("forget", json!({"client_id": client_id}));
    }

    /// Whether it would accept both of these now.
    pub fn is_live(&self, (access, refresh): &(String, String)) -> bool {
        let pair = json!({"access_token": access, "refresh_token": refresh});
        self.script().ask("is_live", pair) == true
    }

    /// Every refresh that was asked for, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        let log = self.script().just("log");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let asked = log.as_array().expect("a list").iter().map(|seen| Asked {
            agent: text(&seen["agent"]),
            outcome: text(&seen["outcome"]),
            reuse: seen["reuse"] == true,
            token: text(&seen["token"]),
        });
        self.earlier.iter().cloned().chain(asked).collect()
    }

    fn script(&self) -> &Script {
        self.script.as_ref().expect("it is running")
    }
}

fn run(options: &Value) -> Script {
    Script::node("oidc", "oidc-provider-9.13.3", options)
}
