//! The documents that scripts read. Their members are part of the interface: see the README.

use lamplighter_core::{
    facts::Renewer,
    health::{Button, Health},
    snapshot::{Row, Snapshot, Unfinished},
    time::Wall,
};
use serde::Serialize;

use crate::reader::{Reader, rfc3339};

/// `lamplighter status --json`.
#[derive(Debug, Serialize)]
pub struct Document {
    schema: u32,
    generated_at: Option<String>,
    servers: Vec<Server>,
    unfinished: Vec<Left>,
}

/// Something in the journal for a store that cannot be reached.
#[derive(Debug, Serialize)]
pub struct Left {
    store: String,
    client: String,
    place: String,
    sign_ins: usize,
    why: String,
    advice: String,
}

/// One server in it.
#[derive(Debug, Serialize)]
pub struct Server {
    id: String,
    client: String,
    profile: Option<String>,
    name: String,
    url: String,
    health: Health,
    phrase: String,
    expires_at: Option<String>,
    next_renewal_at: Option<String>,
    last_renewal_at: Option<String>,
    renewed_by: Option<Renewer>,
    sign_in_ends_at: Option<String>,
    has_refresh_token: bool,
    issuer: Option<String>,
    account: Option<String>,
    scopes: Vec<String>,
    tools: Option<u32>,
    reason: Option<String>,
    actions: Vec<Button>,
}

impl Document {
    /// The document of one snapshot.
    pub fn of(snapshot: &Snapshot, reader: &Reader) -> Self {
        Self {
            schema: 1,
            generated_at: rfc3339(reader.now),
            servers: snapshot.rows.iter().map(|row| Server::of(row, reader)).collect(),
            unfinished: snapshot.unfinished.iter().map(Left::of).collect(),
        }
    }
}

impl Left {
    fn of(unfinished: &Unfinished) -> Self {
        Self {
            store: unfinished.store.to_string(),
            client: unfinished.client.clone(),
            place: unfinished.place.clone(),
            sign_ins: unfinished.sign_ins,
            why: unfinished.why.clone(),
            advice: unfinished.advice.clone(),
        }
    }
}

impl Server {
    /// The server of one row.
    pub fn of(row: &Row, reader: &Reader) -> Self {
        let time = |at: Option<Wall>| at.and_then(rfc3339);
        Self {
            id: row.id.to_string(),
            client: row.client.clone(),
            profile: row.profile.clone(),
            name: row.name.clone(),
            url: row.url.clone(),
            health: row.health,
            phrase: reader.phrase(&row.phrase),
            expires_at: time(row.expires_at),
            next_renewal_at: time(row.next_renewal_at),
            last_renewal_at: time(row.last_renewal_at),
            renewed_by: row.renewed_by,
            sign_in_ends_at: time(row.sign_in_ends_at),
            has_refresh_token: row.has_refresh_token,
            issuer: row.issuer.clone(),
            account: row.account.clone(),
            scopes: row.scopes.clone(),
            tools: row.tools,
            reason: row.reason.clone(),
            actions: row.buttons.clone(),
        }
    }
}
