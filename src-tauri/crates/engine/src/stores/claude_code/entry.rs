//! One entry of `mcpOAuth`: what the file says, and what it means.
//!
//! A shape that is not known is read as far as it goes and never written.

use lamplighter_core::{
    ids::EntryKey,
    secret::Secret,
    store::{
        Change, ClientCredentials, ClientFrom, Enrolment, Entry, LeftAlone, SignInConfig, TokenPair,
    },
    time::Wall,
};
use serde::Deserialize;
use serde_json::Number;

use super::servers::Said;
use crate::stores::splice::{Edits, Object, quoted};

/// An entry as the file has it. Members not named here are not ours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    server_name: Option<String>,
    server_url: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_at: Option<Number>,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    redirect_uri: Option<String>,
    issuer: Option<String>,
    discovery_state: Option<DiscoveryState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryState {
    authorization_server_url: Option<String>,
    auth_server_metadata_url: Option<String>,
    xaa_pinned: Option<bool>,
}

/// Reads one entry; `said` is what its configuration says, `config_secret` the secret that was
/// configured for it.
pub(super) fn read(key: &str, text: &str, said: &Said, config_secret: Option<Secret>) -> Entry {
    let Ok(wire) = serde_json::from_str::<Wire>(text) else { return unknown(key) };
    let (Some(server_name), Some(server_url)) = (wire.server_name, wire.server_url) else {
        return unknown(key);
    };
    let discovery = wire.discovery_state;
    let own_id = full(wire.client_id);
    // Whoever has a client already is not given another one by a repository.
    let adopted = said.client_id.as_ref().filter(|_| own_id.is_none());
    let to_sign_in = said.own_client_id.as_ref().or(adopted);
    let sign_in = SignInConfig {
        client: to_sign_in
            .cloned()
            .map(|id| ClientCredentials { id, secret: config_secret.clone() }),
        callback_port: said.callback_port,
        metadata_url: said.metadata_url.clone(),
    };
    let client_from = if own_id.is_some() {
        ClientFrom::Entry
    } else if said.clients_differ {
        ClientFrom::Disputed
    } else if said.client_id.is_some() {
        ClientFrom::Configuration
    } else {
        ClientFrom::Nobody { project: said.project.clone() }
    };
    let of_nobody = own_id.is_none() && said.own_client_id.is_none();
    let configured_secret = config_secret.clone().filter(|_| of_nobody);
    let own_secret = full(wire.client_secret).map(Secret::new);
    let client = match (own_id, said.client_id.clone()) {
        (Some(own), _) => {
            // The configured secret belongs to the configured client alone.
            let same = said.own_client_id.as_ref().is_none_or(|configured| *configured == own);
            let secret = own_secret.or(config_secret.filter(|_| same));
            Some(ClientCredentials { id: own, secret })
        }
        (None, Some(id)) => Some(ClientCredentials { id, secret: config_secret }),
        (None, None) => None,
    };
    let enterprise = discovery.as_ref().and_then(|d| d.xaa_pinned) == Some(true) || said.enterprise;
    Entry {
        key: EntryKey(key.into()),
        server_name,
        server_url,
        pair: TokenPair {
            access: full(wire.access_token).map(Secret::new),
            refresh: full(wire.refresh_token).map(Secret::new),
            expires_at: wire.expires_at.as_ref().and_then(milliseconds),
        },
        scope: wire.scope,
        client,
        client_from,
        configured_secret,
        issuer: full(wire.issuer),
        metadata_url: discovery.as_ref().and_then(|d| full(d.auth_server_metadata_url.clone())),
        authorization_server: discovery.and_then(|d| full(d.authorization_server_url)),
        redirect_uri: full(wire.redirect_uri),
        sign_in,
        left_alone: enterprise.then_some(LeftAlone::EnterpriseManaged),
    }
}

/// Something stands under this key, and it is not for us to touch.
fn unknown(key: &str) -> Entry {
    let name = key.split_once('|').map_or(key, |(name, _)| name);
    Entry {
        key: EntryKey(key.into()),
        server_name: name.into(),
        server_url: String::new(),
        pair: TokenPair::default(),
        scope: None,
        client: None,
        client_from: ClientFrom::Nobody { project: None },
        configured_secret: None,
        issuer: None,
        authorization_server: None,
        metadata_url: None,
        redirect_uri: None,
        sign_in: SignInConfig::default(),
        left_alone: Some(LeftAlone::UnknownShape),
    }
}

/// Splices new tokens in, and what a sign-in brings beside them: our fields and nothing else.
pub(super) fn put(text: &str, entry: &Object, change: &Change, edits: &mut Edits) {
    let mut changes = tokens(change);
    let stands = entry.value(text, "scope").and_then(|s| serde_json::from_str::<String>(s).ok());
    if stands == change.new.scope {
        changes.retain(|(field, _)| *field != "scope");
    }
    let discovery = entry.object(text, "discoveryState");
    if let Some(enrolment) = &change.enrolment {
        changes.push(("serverName", Some(quoted(&enrolment.server_name))));
        changes.extend(registration(enrolment));
        if discovery.is_none() {
            changes.push(("discoveryState", Some(object(discovered(enrolment)))));
        }
    }
    entry.change(text, edits, changes);
    if let Some(discovery) = discovery {
        // Left by a refusal (2.1.330): while it is young, new sessions do not dial the server.
        let mut changes = vec![("tokenlessRejectedAt", None)];
        if let Some(enrolment) = &change.enrolment {
            changes.extend(discovered(enrolment));
            // The same for a server that took no new clients.
            changes.push(("registrationNotOfferedAt", None));
            // Documents that older versions kept; they may be another authorization server's.
            changes.extend([("resourceMetadata", None), ("authorizationServerMetadata", None)]);
        }
        discovery.change(text, edits, changes);
    }
}

/// The text of an entry that a sign-in makes, its fields in the order that Claude Code has them.
pub(super) fn made(change: &Change, enrolment: &Enrolment) -> String {
    let named = [
        ("serverName", Some(quoted(&enrolment.server_name))),
        ("serverUrl", Some(quoted(&enrolment.server_url))),
        ("discoveryState", Some(object(discovered(enrolment)))),
    ];
    object(named.into_iter().chain(registration(enrolment)).chain(tokens(change)))
}

type Field = (&'static str, Option<String>);

/// The fields that every new token changes.
fn tokens(change: &Change) -> Vec<Field> {
    let new = &change.new;
    let mut fields = vec![
        ("accessToken", Some(quoted(new.access.expose()))),
        ("refreshToken", new.refresh.as_ref().map(|refresh| quoted(refresh.expose()))),
        // Unknown is absent, as the program itself has it; a guess would be a lie.
        ("expiresAt", new.expires_at.map(|at| at.0.to_string())),
    ];
    // Not told is not none: what stands there stays.
    fields.extend(new.scope.as_ref().map(|scope| ("scope", Some(quoted(scope)))));
    fields
}

/// Who the tokens were given to, and by whom.
fn registration(enrolment: &Enrolment) -> [Field; 4] {
    let client = &enrolment.client;
    [
        ("clientId", Some(quoted(&client.id))),
        ("clientSecret", client.secret.as_ref().map(|secret| quoted(secret.expose()))),
        ("issuer", Some(quoted(&enrolment.issuer))),
        ("redirectUri", Some(quoted(&enrolment.redirect_uri))),
    ]
}

/// How the authorization server was found.
fn discovered(enrolment: &Enrolment) -> [Field; 4] {
    let metadata_url = enrolment.metadata_url.as_deref();
    [
        ("authorizationServerUrl", Some(quoted(&enrolment.authorization_server))),
        ("resourceMetadataUrl", enrolment.resource_metadata_url.as_deref().map(quoted)),
        ("oauthMetadataFound", Some(enrolment.metadata_found.to_string())),
        // Not configured is null, and not absent.
        ("authServerMetadataUrl", Some(metadata_url.map_or_else(|| "null".into(), quoted))),
    ]
}

/// The text of a new object with the fields that have a value.
pub(super) fn object<'k>(fields: impl IntoIterator<Item = (&'k str, Option<String>)>) -> String {
    let fields = fields.into_iter().filter_map(|(key, json)| Some((key, json?)));
    let members: Vec<_> = fields.map(|(key, json)| format!("{}:{json}", quoted(key))).collect();
    format!("{{{}}}", members.join(","))
}

fn full(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A number as the file has it, whole or not, as a moment.
#[expect(clippy::cast_possible_truncation, reason = "a moment beyond the year 100,000 is not one")]
fn milliseconds(number: &Number) -> Option<Wall> {
    number
        .as_i64()
        .or_else(|| number.as_f64().filter(|ms| ms.abs() < 4e15).map(|ms| ms as i64))
        .map(Wall)
}
