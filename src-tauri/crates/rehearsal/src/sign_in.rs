//! Registration and authorization: everything before the first token.
//!
//! What it is: RFC 7591 §3 and RFC 6749 §4.1 with PKCE (RFC 7636). Nobody is asked, since there is
//! nobody: a valid request is approved at once.
//!
//! What it must not do: redirect to an address that wasn't registered.
//!
//! Where to read next: `token`, where the code is exchanged.

use hyper::{Method, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::habits::{NamesItself, Offline, Registration};
use crate::ledger::{Client, Code};
use crate::metadata;
use crate::options::ClientAuth;
use crate::secrets::now_ms;
use crate::town::Town;
use crate::wire::{self, Call, Reply};

const CODE_LIFE_MS: i64 = 60_000;
const DEFAULT_SCOPE: &str = "read write";
/// The scope that asks for a refresh token (OIDC Core §11).
pub(crate) const OFFLINE: &str = "offline_access";

pub(crate) fn register(town: &mut Town, call: &Call) -> Reply {
    if call.method != Method::POST {
        return Reply::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let refuse = |code: &str, why: &str| {
        Reply::json(StatusCode::BAD_REQUEST, &json!({ "error": code, "error_description": why }))
    };
    town.registrations += 1;
    let habit = town.options.habits.registration;
    match habit {
        Registration::ByHand => return metadata::nothing_there(town, &call.path),
        Registration::Refused => {
            let said = json!({ "message": "Validation Failed" });
            return Reply::json(StatusCode::UNPROCESSABLE_ENTITY, &said);
        }
        Registration::Open
        | Registration::Loose
        | Registration::WithSecret
        | Registration::WebOnly => {}
    }
    let asked = match serde_json::from_slice::<Value>(&call.body) {
        Ok(value) if value.is_object() && call.content_type() == "application/json" => value,
        _ => return refuse("invalid_client_metadata", "The body is a JSON object"),
    };
    let name = asked["client_name"].as_str().map(str::to_owned);
    let redirect_uris = texts(&asked["redirect_uris"]);
    if redirect_uris.is_empty() || !redirect_uris.iter().all(|uri| redirect_allowed(uri)) {
        return refuse("invalid_redirect_uri", "https, loopback or a scheme of the program's own");
    }
    if habit == Registration::WebOnly && !redirect_uris.iter().all(|uri| is_web(uri)) {
        return refuse("invalid_redirect_uri", "HTTPS or loopback only");
    }
    // RFC 7591 §2: left out means authorization_code alone, so no refresh token.
    let mut grant_types = texts(&asked["grant_types"]);
    if grant_types.is_empty() {
        grant_types.push("authorization_code".to_owned());
    }
    let method = asked["token_endpoint_auth_method"].as_str().unwrap_or("client_secret_basic");
    let auth = match method {
        "none" if habit == Registration::WithSecret => {
            return refuse("invalid_client_metadata", "Confidential clients only");
        }
        "none" => ClientAuth::None,
        "client_secret_basic" => ClientAuth::Basic,
        "client_secret_post" => ClientAuth::Post,
        _ => return refuse("invalid_client_metadata", "token_endpoint_auth_method"),
    };
    let client_id = town.ledger.source.value("lamp_client_");
    let secret = (auth != ClientAuth::None).then(|| town.ledger.source.value("lamp_secret_"));
    let mut answer = json!({
        "client_id": client_id,
        "client_id_issued_at": now_ms() / 1000,
        "redirect_uris": redirect_uris,
        "grant_types": grant_types,
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
    });
    for echoed in ["client_name", "client_uri", "scope"] {
        if let Some(text) = asked[echoed].as_str() {
            answer[echoed] = text.into();
        }
    }
    if let Some(secret) = &secret {
        answer["client_secret"] = secret.as_str().into();
        answer["client_secret_expires_at"] = 0.into();
    }
    let may_refresh = grant_types.iter().any(|g| g == "refresh_token");
    let client = Client { secret, auth, redirect_uris, may_refresh, name };
    town.ledger.clients.insert(client_id, client);
    if habit != Registration::Loose {
        return Reply::json(StatusCode::CREATED, &answer).unstored();
    }
    for number in ["client_id_issued_at", "client_secret_expires_at"] {
        if let Some(value) = answer[number].as_i64() {
            answer[number] = value.to_string().into();
        }
    }
    Reply::json(StatusCode::OK, &answer).unstored()
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// OAuth 2.1 §2.3.1 and RFC 8252 §7: no plain HTTP beyond loopback, no fragment.
fn redirect_allowed(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    if url.fragment().is_some() {
        return false;
    }
    match url.scheme() {
        "http" => is_loopback(&url),
        "javascript" | "data" | "file" => false,
        _ => true,
    }
}

/// Whether a client that lives in a browser or on a web server could have it.
fn is_web(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// Exactly the registered one; unless `exact`, the port of a loopback address may differ (RFC 8252
/// §7.3).
fn same_redirect(registered: &str, asked: &str, exact: bool) -> bool {
    if registered == asked || exact {
        return registered == asked;
    }
    let (Ok(mut left), Ok(mut right)) = (Url::parse(registered), Url::parse(asked)) else {
        return false;
    };
    is_loopback(&left)
        && left.set_port(None).is_ok()
        && right.set_port(None).is_ok()
        && left == right
}

pub(crate) fn authorize(town: &mut Town, call: &Call) -> Reply {
    if call.method != Method::GET {
        return Reply::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let get = |name: &str| wire::one(&call.query, name);
    let page = |why: &str| {
        Reply::typed(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", why.to_owned())
    };
    // RFC 6749 §4.1.2.1: without a good client and address there is nowhere safe to redirect to.
    let Some(client) = get("client_id").and_then(|id| town.ledger.clients.get(id)) else {
        return page("Unknown client.");
    };
    let exact = town.options.habits.exact_redirects;
    let redirect_uri = match (get("redirect_uri"), client.redirect_uris.as_slice()) {
        (Some(asked), known) if known.iter().any(|k| same_redirect(k, asked, exact)) => {
            asked.to_owned()
        }
        (None, [only]) => only.clone(),
        _ => return page("Not a registered redirect_uri."),
    };
    // Some show a page where others would go back with an error.
    if town.options.habits.needs_scope && get("scope").is_none() {
        return page("No scopes requested.");
    }
    let offline_scope = get("scope").is_some_and(|scope| scope.split(' ').any(|s| s == OFFLINE));
    if town.options.habits.offline == Offline::ByParameters && offline_scope {
        return page("Some requested scopes were invalid.");
    }
    let Ok(mut back) = Url::parse(&redirect_uri) else { return page("Not an address.") };
    let outcome = match (town.options.asks, get("answer")) {
        (false, _) | (true, Some("allow")) => approve(town, call, &redirect_uri),
        (true, Some("deny")) => Err(("access_denied", "The person said no")),
        (true, _) => return consent_page(&client_name(town, get("client_id"))),
    };
    {
        let mut query = back.query_pairs_mut();
        match outcome {
            Ok(code) => query.append_pair("code", &code),
            Err((error, why)) => {
                query.append_pair("error", error).append_pair("error_description", why)
            }
        };
        if let Some(state) = get("state") {
            query.append_pair("state", state);
        }
        // RFC 9207 §2.
        if town.options.habits.names_itself != NamesItself::Never {
            query.append_pair("iss", &town.issuer());
        }
    }
    Reply::empty(StatusCode::FOUND).with(header::LOCATION, back.to_string()).unstored()
}

fn client_name(town: &Town, id: Option<&str>) -> String {
    let client = id.and_then(|id| town.ledger.clients.get(id));
    client.and_then(|client| client.name.clone()).unwrap_or_else(|| "An app".to_owned())
}

/// What a person says yes or no to. The form comes back to this very address, one member richer.
fn consent_page(client: &str) -> Reply {
    let escaped: String = client
        .chars()
        .map(|c| match c {
            '<' => "&lt;".to_owned(),
            '&' => "&amp;".to_owned(),
            c => c.to_string(),
        })
        .collect();
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sign in to the demo</title>\
         <style>body{{font:16px system-ui;max-width:26em;margin:15vh auto;padding:0 1em}}\
         button{{font:inherit;padding:.5em 1.2em;margin-right:.6em}}</style>\
         <h1>Sign in to the demo</h1><p><b>{escaped}</b> wants to use this demo server. \
         It runs on your own machine and knows nothing of you.</p>\
         <p><button id=\"allow\" autofocus>Allow</button><button id=\"deny\">Don’t allow</button></p>\
         <script>for (const b of document.querySelectorAll('button')) b.onclick = () => \
         location.replace(location.href + '&answer=' + b.id);</script></html>"
    );
    Reply::typed(StatusCode::OK, "text/html; charset=utf-8", html).unstored()
}

fn approve(
    town: &mut Town,
    call: &Call,
    redirect_uri: &str,
) -> Result<String, (&'static str, &'static str)> {
    let get = |name: &str| wire::one(&call.query, name);
    match get("response_type") {
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "Only code")),
        None => return Err(("invalid_request", "response_type is missing")),
    }
    let Some(challenge) = get("code_challenge") else {
        town.violation("PKCE missing: no code_challenge");
        return Err(("invalid_request", "code_challenge is missing"));
    };
    // RFC 7636 §4.3: left out means plain.
    if get("code_challenge_method") != Some("S256") {
        town.violation("PKCE plain");
        return Err(("invalid_request", "S256 only"));
    }
    let resource = get("resource").map(str::to_owned);
    let mismatch = match &resource {
        Some(resource) => *resource != town.resource(),
        None => true,
    };
    if town.options.habits.refuses_resource && resource.is_some() {
        return Err(("invalid_target", "The resource doesn't fit the scopes"));
    }
    if town.options.require_resource && mismatch {
        return Err(("invalid_target", "resource is missing or not of this server"));
    }
    // Scopes it doesn't know, such as offline_access, are granted without meaning.
    let scope = get("scope").unwrap_or(DEFAULT_SCOPE).to_owned();
    let has_offline_scope = scope.split(' ').any(|s| s == OFFLINE);
    let renewable = match town.options.habits.offline {
        Offline::Always => true,
        Offline::ByParameters => {
            get("access_type") == Some("offline") && get("prompt") == Some("consent")
        }
        Offline::ByScope if get("prompt") == Some("consent") => {
            return Err(("consent_required", "An administrator consents for everybody"));
        }
        Offline::ByScope => has_offline_scope,
    };
    let code = town.ledger.source.value("lamp_code_");
    let entry = Code {
        client_id: get("client_id").unwrap_or_default().to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        challenge: challenge.to_owned(),
        scope,
        resource,
        renewable,
        expires_at_ms: now_ms() + CODE_LIFE_MS,
        family: None,
        used: false,
    };
    town.ledger.codes.insert(code.clone(), entry);
    Ok(code)
}
