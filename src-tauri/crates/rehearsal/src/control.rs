//! What a test may ask of the server and do to it, from any thread.
//!
//! What it must not do: wait for the network. The one method that waits for the server's thread is
//! [`Control::refuse_connections`], and that thread never waits for a test.
//!
//! Where to read next: [`Fault`] for what can be injected, [`Seen`] for what is recorded.

use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::fault::Fault;
use crate::ledger::Client;
use crate::options::ClientAuth;
use crate::secrets::now_ms;
use crate::serve::Order;
use crate::town::{McpSeen, Seen, Shared};

/// A grant to make without a browser.
#[derive(Clone, Debug)]
pub struct Mint {
    /// How long the first access token lives; negative means that it has expired already.
    pub access_life_seconds: i64,
    /// The client; `None` registers a new one. A known one keeps its registration.
    pub client_id: Option<String>,
    /// The secret of a new client.
    pub client_secret: Option<String>,
    /// How a new client authenticates; by default either way with a secret, none without.
    pub auth: Option<ClientAuth>,
    /// Whether a new client is registered for `refresh_token`.
    pub may_refresh: bool,
    /// What is granted, divided by spaces.
    pub scope: String,
    /// The redirect address of a new client.
    pub redirect_uri: String,
}

impl Default for Mint {
    fn default() -> Self {
        Self {
            access_life_seconds: 3600,
            client_id: None,
            client_secret: None,
            auth: None,
            may_refresh: true,
            scope: "read write".to_owned(),
            redirect_uri: "http://localhost:3118/callback".to_owned(),
        }
    }
}

/// A grant as the client would hold it after signing in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The client.
    pub client_id: String,
    /// Its secret, if it isn't public.
    pub client_secret: Option<String>,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// When the access token expires, in milliseconds since 1970.
    pub expires_at_ms: i64,
    /// What is granted, divided by spaces.
    pub scope: String,
    /// The issuer.
    pub issuer: String,
}

/// Handle to a running server. After the server has stopped the records stay readable.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) shared: Shared,
    pub(crate) orders: UnboundedSender<Order>,
}

impl Control {
    /// Makes a live grant.
    pub fn mint(&self, mint: Mint) -> Minted {
        let mut town = self.shared.lock();
        let town = &mut *town;
        let client_id = mint.client_id.unwrap_or_else(|| town.ledger.source.value("lamp_client_"));
        let secret = mint.client_secret;
        let client = town.ledger.clients.entry(client_id.clone()).or_insert_with(|| Client {
            auth: mint.auth.unwrap_or(match secret {
                Some(_) => ClientAuth::Either,
                None => ClientAuth::None,
            }),
            secret,
            redirect_uris: vec![mint.redirect_uri],
            may_refresh: mint.may_refresh,
            name: None,
        });
        let client_secret = client.secret.clone();
        let (_, pair) = town.ledger.begin(
            &client_id,
            &mint.scope,
            mint.access_life_seconds,
            now_ms(),
            &town.options,
        );
        Minted {
            client_id,
            client_secret,
            access_token: pair.access,
            refresh_token: pair.refresh,
            expires_at_ms: pair.expires_at_ms,
            scope: mint.scope,
            issuer: town.issuer(),
        }
    }

    /// How long access tokens live that are issued from now on.
    pub fn set_life_seconds(&self, seconds: i64) {
        self.shared.lock().options.life_seconds = seconds;
    }

    /// Who signs in from now on: the name of a workspace, or a person's address.
    pub fn set_account(&self, account: impl Into<String>) {
        self.shared.lock().account = account.into();
    }

    /// Leads clients elsewhere: the metadata names this address as the token endpoint from now on.
    pub fn lead_tokens_to(&self, address: impl Into<String>) {
        self.shared.lock().token_lie = Some(address.into());
    }

    /// [`crate::short_id`] of each code that was presented, oldest first.
    pub fn codes_seen(&self) -> Vec<String> {
        self.shared.lock().codes_seen.clone()
    }

    /// How often a client tried to register itself.
    pub fn registrations(&self) -> u32 {
        self.shared.lock().registrations
    }

    /// Ends the family of this refresh token, as an operator would.
    pub fn revoke_family_of(&self, refresh_token: &str) {
        self.shared.lock().ledger.kill_family_of(refresh_token);
    }

    /// Ends every access token there is; the refresh tokens stay good.
    pub fn kill_access_tokens(&self) {
        self.shared.lock().ledger.kill_access_tokens();
    }

    /// Forgets a registration, so that its client gets `invalid_client`.
    pub fn forget_client(&self, client_id: &str) {
        self.shared.lock().ledger.clients.remove(client_id);
    }

    /// Whether the MCP server would take it now.
    pub fn is_access_live(&self, access_token: &str) -> bool {
        self.shared.lock().ledger.access_live(access_token, now_ms())
    }

    /// Whether its client would get tokens for it now.
    pub fn is_refresh_live(&self, refresh_token: &str) -> bool {
        self.shared.lock().ledger.refresh_live(refresh_token, now_ms())
    }

    /// The newest access and refresh token of the family of any of its refresh tokens, spent ones
    /// included. Both are empty for a token that was never issued.
    pub fn newest_pair_of(&self, any_refresh_of_family: &str) -> (String, String) {
        self.shared.lock().ledger.newest_pair(any_refresh_of_family).unwrap_or_default()
    }

    /// Spoils this many of the next token requests, after those already waiting.
    pub fn inject(&self, fault: Fault, times: u32) {
        self.shared.lock().token_faults.push(fault, times);
    }

    /// Spoils this many of the next requests below `/.well-known/`.
    pub fn inject_metadata(&self, fault: Fault, times: u32) {
        self.shared.lock().metadata_faults.push(fault, times);
    }

    /// Spoils this many of the next requests to `/mcp`.
    pub fn inject_mcp(&self, fault: Fault, times: u32) {
        self.shared.lock().mcp_faults.push(fault, times);
    }

    /// Drops every fault that still waits.
    pub fn clear_faults(&self) {
        let mut town = self.shared.lock();
        town.token_faults.clear();
        town.metadata_faults.clear();
        town.mcp_faults.clear();
    }

    /// Closes the ports and every open connection, or takes connections again on the same ports.
    /// Returns when it is so.
    pub fn refuse_connections(&self, refuse: bool) {
        let (done, wait) = mpsc::channel();
        if self.orders.send(Order::Refuse(refuse, done)).is_ok() {
            // Fails at once when the server stopped meanwhile.
            let _ = wait.recv_timeout(Duration::from_secs(10));
        }
    }

    /// The refresh requests so far, oldest first.
    pub fn refreshes(&self) -> Vec<Seen> {
        self.shared.lock().refreshes.clone()
    }

    /// The MCP messages so far, oldest first.
    pub fn mcp_calls(&self) -> Vec<McpSeen> {
        self.shared.lock().mcp_calls.clone()
    }

    /// What clients did that no conforming client does, oldest first.
    pub fn violations(&self) -> Vec<String> {
        self.shared.lock().violations.clone()
    }
}
