//! The well-known documents of the authorization server and the protected resource.
//!
//! What it must not do: promise what the other modules don't keep, except where the builder asked
//! for a lie (`metadata_issuer`).
//!
//! Where to read next: RFC 8414 §3, RFC 9728 §3, and [`Layout`] for where they lie.

use hyper::{Method, StatusCode, header};
use serde_json::json;

use crate::habits::{NamesItself, Nothing, Registration};
use crate::options::{Layout, Prm};
use crate::town::Town;
use crate::wire::{Call, Reply};

const AS: &str = "/.well-known/oauth-authorization-server";
const OIDC: &str = "/.well-known/openid-configuration";
const PAGE: &str = "/workspace";
const PRM: &str = "/.well-known/oauth-protected-resource";

/// Where the protected resource metadata is, if it is published.
pub(crate) fn prm_path(town: &Town) -> Option<String> {
    match town.options.prm {
        Prm::Path => Some(format!("{PRM}/mcp")),
        Prm::Root => Some(PRM.to_owned()),
        Prm::Nowhere => None,
    }
}

fn server_path(town: &Town) -> Option<String> {
    let issuer_path = &town.options.issuer_path;
    match town.options.layout {
        Layout::Inserted => Some(format!("{AS}{issuer_path}")),
        Layout::OidcInserted => Some(format!("{OIDC}{issuer_path}")),
        Layout::OidcAppended => Some(format!("{issuer_path}{OIDC}")),
        Layout::Nothing => None,
    }
}

/// Whether this path is one where a client may look for metadata, found or not.
pub(crate) fn is_metadata(path: &str) -> bool {
    path.contains("/.well-known/")
}

pub(crate) fn metadata(town: &Town, call: &Call) -> Reply {
    if call.method != Method::GET {
        return Reply::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let habits = &town.options.habits;
    let slash = if habits.named_with_slash { "/" } else { "" };
    if prm_path(town).is_some_and(|path| path == call.path) {
        return Reply::json(
            StatusCode::OK,
            &json!({
                "resource": town.resource(),
                "authorization_servers": [format!("{}{slash}", town.issuer())],
                "bearer_methods_supported": ["header"],
                "scopes_supported": habits.scopes,
            }),
        );
    }
    if server_path(town).is_some_and(|path| path == call.path) {
        let origin = &town.origin;
        let issuer = town.options.metadata_issuer.clone().unwrap_or_else(|| town.issuer());
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": town.token_lie.clone().unwrap_or_else(|| town.token_endpoint()),
            "registration_endpoint": format!("{origin}/register"),
            "revocation_endpoint": format!("{origin}/revoke"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported":
                ["none", "client_secret_basic", "client_secret_post"],
            "revocation_endpoint_auth_methods_supported":
                ["none", "client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["read", "write"],
            "authorization_response_iss_parameter_supported": true,
        });
        let Some(members) = document.as_object_mut() else {
            return nothing_there(town, &call.path);
        };
        if habits.registration == Registration::ByHand {
            members.remove("registration_endpoint");
        }
        if habits.registration == Registration::WithSecret {
            let methods = json!(["client_secret_basic", "client_secret_post"]);
            members.insert("token_endpoint_auth_methods_supported".to_owned(), methods);
        }
        if habits.silent_on_pkce {
            members.remove("code_challenge_methods_supported");
        }
        if habits.names_itself != NamesItself::Advertised {
            members.remove("authorization_response_iss_parameter_supported");
        }
        return Reply::json(StatusCode::OK, &document);
    }
    nothing_there(town, &call.path)
}

/// What is answered where there is nothing.
pub(crate) fn nothing_there(town: &Town, path: &str) -> Reply {
    let page = "<!doctype html><title>Workspace</title><p>Sign in to your workspace.</p>";
    match town.options.habits.nothing {
        Nothing::NotFound => Reply::empty(StatusCode::NOT_FOUND),
        Nothing::ToPage if path != PAGE => {
            Reply::empty(StatusCode::FOUND).with(header::LOCATION, PAGE)
        }
        Nothing::Page | Nothing::ToPage => {
            Reply::typed(StatusCode::OK, "text/html; charset=utf-8", page)
        }
    }
}
