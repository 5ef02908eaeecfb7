//! What a person may send to who helps: everything of a row that is no secret.

use alloc::{
    format,
    string::{String, ToString},
};

use crate::{
    snapshot::{Row, Snapshot},
    time::Wall,
};

/// A row as text; `time` words a moment. Hosts stay, paths and accounts do not.
pub fn diagnostics(snapshot: &Snapshot, row: &Row, time: impl Fn(Wall) -> String) -> String {
    let moment = |at: Option<Wall>| at.map_or_else(|| String::from("unknown"), &time);
    let yes = |it: bool| if it { "yes" } else { "no" };
    let store = snapshot.stores.iter().find(|store| store.id == row.store);
    let client = store.and_then(|store| store.client_version.as_deref());
    let host = url::Url::parse(&row.url).ok();
    let host = host.as_ref().and_then(url::Url::host_str).unwrap_or("unknown");
    let health = serde_json::to_value(row.health).ok();
    let health = health.as_ref().and_then(|health| health.as_str()).unwrap_or_default();
    let renewed_by = match row.renewed_by {
        Some(crate::facts::Renewer::Lamplighter) => "Lamplighter",
        Some(crate::facts::Renewer::Client) => "the client",
        None => "nobody",
    };
    let tools = row.tools.map_or_else(|| String::from("unknown"), |tools| tools.to_string());
    format!(
        "Lamplighter {version}\n\
         server: {name} at {host}\n\
         client: {client_name} {client}\n\
         health: {health}\n\
         reason: {reason}\n\
         token ends: {ends}\n\
         next renewal: {next}\n\
         last renewal: {last}, by {renewed_by}\n\
         sign-in ends: {sign_in_ends}\n\
         refresh token: {refresh}\n\
         issuer: {issuer}\n\
         scopes: {scopes}\n\
         tools: {tools}\n",
        version = env!("CARGO_PKG_VERSION"),
        name = row.name,
        client_name = row.client,
        client = client.unwrap_or("of unknown version"),
        reason = row.reason.as_deref().unwrap_or("none"),
        ends = moment(row.expires_at),
        next = moment(row.next_renewal_at),
        last = moment(row.last_renewal_at),
        sign_in_ends = moment(row.sign_in_ends_at),
        refresh = yes(row.has_refresh_token),
        issuer = row.issuer.as_deref().unwrap_or("unknown"),
        scopes =
            if row.scopes.is_empty() { String::from("none named") } else { row.scopes.join(" ") },
    )
}
