//! Four servers for a demo, each with a life of its own, and the store of a client signed in to all.
//!
//! It must not write anything: where the store lies is the caller's affair, who also ends the
//! sign-in of `notes` when its time has come.

use serde_json::{Map, Value, json};

use crate::{Fault, Mint, Minted, Rehearsal};

/// How long the servers' access tokens live, in seconds.
const LIFE: i64 = 60;
/// What the first tokens have left, in seconds: enough to be renewed in peace.
const LEFT: i64 = 90;
/// How long the token that can't be renewed lives, in seconds.
const FILES_LIFE: i64 = 180;

/// The four servers; they end with this value.
pub struct Demo {
    calendar: (Rehearsal, Minted),
    tickets: (Rehearsal, Minted),
    notes: (Rehearsal, Minted),
    files: (Rehearsal, Minted),
}

impl Demo {
    /// When the server ends the sign-in of `notes`, in seconds after the start.
    pub const NOTES_END_SECONDS: u64 = 120;

    /// Starts them: `calendar` is well, `tickets` answers 503 for a while, `notes` will be ended,
    /// `files` has no refresh token. Whoever signs in again is asked in the browser.
    pub fn start() -> std::io::Result<Self> {
        let server = |left| -> std::io::Result<(Rehearsal, Minted)> {
            let server = Rehearsal::builder().life_seconds(LIFE).asks().start_blocking()?;
            let mint = Mint { access_life_seconds: left, ..Mint::default() };
            let minted = server.control().mint(mint);
            Ok((server, minted))
        };
        let demo = Self {
            calendar: server(LEFT)?,
            tickets: server(LEFT)?,
            notes: server(LEFT)?,
            files: server(FILES_LIFE)?,
        };
        demo.tickets.0.control().inject(Fault::RetryAfter { status: 503, seconds: 10 }, 4);
        Ok(demo)
    }

    /// The server ends the sign-in of `notes`.
    pub fn end_notes(&self) {
        let (server, minted) = &self.notes;
        server.control().revoke_family_of(&minted.refresh_token);
    }

    /// The store of a client that signed in to all four.
    pub fn store(&self) -> Value {
        let all = [
            ("calendar", &self.calendar),
            ("tickets", &self.tickets),
            ("notes", &self.notes),
            ("files", &self.files),
        ];
        let mut entries = Map::new();
        for (number, (name, (server, minted))) in all.into_iter().enumerate() {
            let mut entry = json!({
                "serverName": name,
                "serverUrl": server.mcp_url(),
                "accessToken": minted.access_token,
                "refreshToken": minted.refresh_token,
                "expiresAt": minted.expires_at_ms,
                "scope": minted.scope,
                "clientId": minted.client_id,
                "discoveryState": {"authorizationServerUrl": minted.issuer},
            });
            if let (Value::Object(members), "files") = (&mut entry, name) {
                members.remove("refreshToken");
            }
            entries.insert(format!("{name}|{number:016x}"), entry);
        }
        json!({ "mcpOAuth": entries })
    }
}
