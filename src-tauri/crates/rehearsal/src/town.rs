//! Everything one server knows, behind one lock: its options, ledger, waiting faults and records.
//!
//! What it must not do: wait. It is locked by handlers and by the test at the same time, so each
//! hold is short and never spans an await.
//!
//! Where to read next: `ledger` for the tokens, `control` for what a test may ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fault::Queue;
use crate::ledger::Ledger;
use crate::options::Options;

/// How a refresh request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New tokens were sent.
    Issued,
    /// The OAuth error code, in the words of RFC 6749 §5.2 whatever the dialect.
    Refused(String),
    /// The name of the fault that spoilt it; see [`crate::Fault::processes`].
    Fault(&'static str),
}

/// One refresh request as the token endpoint saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The `User-Agent`, empty without one.
    pub user_agent: String,
    /// [`crate::short_id`] of the refresh token presented.
    pub refresh_token_short_id: String,
    /// Who the client said it was, empty if it didn't.
    pub client_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The refresh token had been used before.
    pub reuse: bool,
    /// The `resource` parameter (RFC 8707 §2).
    pub resource: Option<String>,
}

/// One JSON-RPC message as the MCP endpoint saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpSeen {
    /// The `User-Agent`, empty without one.
    pub user_agent: String,
    /// The JSON-RPC method, empty if there was none to read.
    pub method: String,
    /// The name of the tool, for `tools/call`.
    pub tool: Option<String>,
    /// [`crate::short_id`] of the access token, empty without one.
    pub access_short_id: String,
    /// Whether the access token was good.
    pub accepted: bool,
}

#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) options: Options,
    pub(crate) origin: String,
    /// Where `/token` is, when it isn't at the origin.
    pub(crate) token_origin: Option<String>,
    pub(crate) ledger: Ledger,
    /// Who signs in: a workspace or a person's address.
    pub(crate) account: String,
    /// How often a client tried to register itself.
    pub(crate) registrations: u32,
    /// What the metadata says instead of where the token endpoint is.
    pub(crate) token_lie: Option<String>,
    /// The short names of the codes that were presented.
    pub(crate) codes_seen: Vec<String>,
    pub(crate) token_faults: Queue,
    pub(crate) metadata_faults: Queue,
    pub(crate) mcp_faults: Queue,
    pub(crate) refreshes: Vec<Seen>,
    pub(crate) mcp_calls: Vec<McpSeen>,
    pub(crate) violations: Vec<String>,
}

impl Town {
    pub(crate) fn issuer(&self) -> String {
        let slash = if self.options.habits.issuer_slash { "/" } else { "" };
        format!("{}{}{slash}", self.origin, self.options.issuer_path)
    }

    pub(crate) fn mcp_url(&self) -> String {
        format!("{}/mcp", self.origin)
    }

    /// What the MCP server calls itself (RFC 9728 §2), and so what `resource` is.
    pub(crate) fn resource(&self) -> String {
        if self.options.habits.resource_is_origin { self.origin.clone() } else { self.mcp_url() }
    }

    pub(crate) fn token_endpoint(&self) -> String {
        format!("{}/token", self.token_origin.as_ref().unwrap_or(&self.origin))
    }

    pub(crate) fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }
}

/// The town, shared. A panic elsewhere in a test must not hide what was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Town>>);

impl Shared {
    pub(crate) fn new(town: Town) -> Self {
        Self(Arc::new(Mutex::new(town)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Town> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
