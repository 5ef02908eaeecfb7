//! The token endpoint and the revocation endpoint (RFC 6749 §3.2, RFC 7009).
//!
//! What it is: every check a careful server makes, in the order in which a wrong request would do
//! harm, and a record of each refresh.
//!
//! What it must not do: word the answer, or spoil it.
//!
//! Where to read next: `dialect` for the words, `perform` for the faults, `ledger` for rotation.

use hyper::{Method, StatusCode, header};

use crate::dialect::{self, Grant, Granted, Refusal};
use crate::habits::Offline;
use crate::ledger::{Pair, Used};
use crate::options::{ClientAuth, Prm};
use crate::secrets::{now_ms, s256, short_id};
use crate::sign_in::OFFLINE;
use crate::town::{Outcome, Seen, Town};
use crate::wire::{self, Call, Reply};

const FORM: &str = "application/x-www-form-urlencoded";

fn refuse<T>(code: &'static str, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { code, why })
}

/// Answers a token request. With a fault that comes first, `process` is false and all that
/// happens is the record.
pub(crate) fn token(
    town: &mut Town,
    call: &Call,
    fault: Option<&'static str>,
    process: bool,
) -> Option<Reply> {
    let form = wire::pairs(&call.body);
    let grant = match wire::one(&form, "grant_type") {
        Some("authorization_code") => Some(Grant::Code),
        Some("refresh_token") => Some(Grant::Refresh),
        _ => None,
    };
    let mut reuse = false;
    let mut outcome = Outcome::Issued;
    let reply = process.then(|| match answer(town, call, &form, grant, &mut reuse) {
        Ok(reply) => reply,
        Err(refusal) => {
            outcome = Outcome::Refused(refusal.code.to_owned());
            dialect::refusal(&town.options, grant, call, &refusal)
        }
    });
    if let (Some(Grant::Code), Some(code)) = (grant, wire::one(&form, "code")) {
        town.codes_seen.push(short_id(code));
    }
    if grant == Some(Grant::Refresh) {
        let basic = call.basic().map(|(id, _)| id);
        town.refreshes.push(Seen {
            user_agent: call.user_agent(),
            refresh_token_short_id: wire::one(&form, "refresh_token")
                .map(short_id)
                .unwrap_or_default(),
            client_id: basic
                .or_else(|| wire::one(&form, "client_id").map(str::to_owned))
                .unwrap_or_default(),
            outcome: fault.map_or(outcome, Outcome::Fault),
            reuse,
            resource: wire::one(&form, "resource").map(str::to_owned),
        });
    }
    reply
}

fn answer(
    town: &mut Town,
    call: &Call,
    form: &[(String, String)],
    grant: Option<Grant>,
    reuse: &mut bool,
) -> Result<Reply, Refusal> {
    well_formed(town, call, form, "/token")?;
    let client_id = authenticate(town, call, form)?;
    let Some(grant) = grant else {
        return match wire::one(form, "grant_type") {
            Some(_) => refuse("unsupported_grant_type", "Only codes and refresh tokens"),
            None => refuse("invalid_request", "grant_type is missing"),
        };
    };
    let now = now_ms();
    let (pair, scope, renewable) = match grant {
        Grant::Code => exchange(town, form, &client_id, now)?,
        Grant::Refresh => refresh(town, form, &client_id, now, reuse)?,
    };
    let registered = town.ledger.clients.get(&client_id).is_some_and(|c| c.may_refresh);
    let granted = Granted {
        grant,
        pair: &pair,
        scope: &scope,
        may_refresh: registered && renewable,
        account: &town.account,
        client_id: &client_id,
        issuer: &town.issuer(),
        now_ms: now,
    };
    Ok(dialect::tokens(&town.options, call, &granted))
}

fn well_formed(
    town: &mut Town,
    call: &Call,
    form: &[(String, String)],
    path: &str,
) -> Result<(), Refusal> {
    if call.method != Method::POST {
        town.violation(format!("{} on {path}", call.method));
        return refuse("invalid_request", "POST only");
    }
    if call.content_type() != FORM {
        town.violation(format!("wrong content type on {path}: {:?}", call.content_type()));
        return refuse("invalid_request", "The body is a form");
    }
    // RFC 6749 §3.2; `resource` may repeat (RFC 8707 §2).
    let repeated = form
        .iter()
        .enumerate()
        .any(|(i, (key, _))| key != "resource" && form[..i].iter().any(|(k, _)| k == key));
    if repeated {
        town.violation(format!("a parameter sent twice on {path}"));
        return refuse("invalid_request", "A parameter was sent twice");
    }
    Ok(())
}

/// RFC 6749 §2.3.1, held against how the client registered.
fn authenticate(
    town: &mut Town,
    call: &Call,
    form: &[(String, String)],
) -> Result<String, Refusal> {
    let in_header = call.basic();
    if in_header.is_none() && call.headers.contains_key(header::AUTHORIZATION) {
        return refuse("invalid_client", "Authorization is not HTTP Basic");
    }
    let in_body = wire::one(form, "client_secret");
    let named = wire::one(form, "client_id");
    if in_header.is_some() && in_body.is_some() {
        town.violation("secret sent twice");
        return refuse("invalid_request", "One way of authentication only");
    }
    let client_id = match (&in_header, named) {
        (Some((user, _)), Some(id)) if user != id => {
            return refuse("invalid_request", "Two client ids");
        }
        (Some((user, _)), _) => user.clone(),
        (None, Some(id)) => id.to_owned(),
        (None, None) => {
            town.violation("client_id missing");
            return refuse("invalid_client", "client_id is missing");
        }
    };
    let Some(client) = town.ledger.clients.get(&client_id) else {
        return refuse("invalid_client", "Unknown client");
    };
    let way_allowed = match client.auth {
        ClientAuth::None => in_header.is_none() && in_body.is_none(),
        ClientAuth::Basic => in_header.is_some(),
        ClientAuth::Post => in_body.is_some(),
        ClientAuth::Either => in_header.is_some() || in_body.is_some(),
    };
    if !way_allowed {
        return refuse("invalid_client", "Not the registered way of authentication");
    }
    let shown = in_header.as_ref().map(|(_, secret)| secret.as_str()).or(in_body);
    if client.secret.as_deref() != shown {
        return refuse("invalid_client", "Wrong secret");
    }
    Ok(client_id)
}

fn exchange(
    town: &mut Town,
    form: &[(String, String)],
    client_id: &str,
    now: i64,
) -> Result<(Pair, String, bool), Refusal> {
    check_resource(town, form, false)?;
    let Some(code) = wire::one(form, "code") else {
        return refuse("invalid_request", "code is missing");
    };
    let Some(known) = town.ledger.codes.get(code).cloned() else {
        return refuse("invalid_grant", "Unknown code");
    };
    if known.client_id != client_id {
        town.violation("code presented by another client");
        return refuse("invalid_grant", "Another client's code");
    }
    if known.used {
        // RFC 6749 §4.1.2: and what it gave is to be revoked.
        town.violation("code used twice");
        if let Some(family) = known.family {
            town.ledger.kill_family(family);
        }
        return refuse("invalid_grant", "The code was used before");
    }
    let Some(verifier) = wire::one(form, "code_verifier") else {
        town.violation("PKCE missing: no code_verifier");
        return refuse("invalid_grant", "code_verifier is missing");
    };
    if s256(verifier) != known.challenge {
        return refuse("invalid_grant", "code_verifier doesn't match");
    }
    if wire::one(form, "redirect_uri").is_some_and(|uri| uri != known.redirect_uri) {
        return refuse("invalid_grant", "Another redirect_uri");
    }
    if let (Some(asked), Some(granted)) = (wire::one(form, "resource"), &known.resource)
        && asked != granted
    {
        return refuse("invalid_target", "Another resource than authorized");
    }
    if known.expires_at_ms <= now {
        return refuse("invalid_grant", "The code has expired");
    }
    let life = town.options.life_seconds;
    let (family, pair) = town.ledger.begin(client_id, &known.scope, life, now, &town.options);
    if let Some(entry) = town.ledger.codes.get_mut(code) {
        entry.used = true;
        entry.family = Some(family);
    }
    Ok((pair, known.scope, known.renewable))
}

fn refresh(
    town: &mut Town,
    form: &[(String, String)],
    client_id: &str,
    now: i64,
    reuse: &mut bool,
) -> Result<(Pair, String, bool), Refusal> {
    check_resource(town, form, true)?;
    if !town.ledger.clients.get(client_id).is_some_and(|c| c.may_refresh) {
        return refuse("unauthorized_client", "Not registered for refresh_token");
    }
    let Some(token) = wire::one(form, "refresh_token") else {
        return refuse("invalid_request", "refresh_token is missing");
    };
    // RFC 6749 §6: not more than was granted. Checked first, so that it spends nothing.
    if let (Some(asked), Some(family)) = (wire::one(form, "scope"), town.ledger.family_of(token))
        && !asked.split(' ').all(|s| family.scope.split(' ').any(|g| g == s))
    {
        return refuse("invalid_scope", "More than was granted");
    }
    let Used { pair, scope, reuse: again, foreign } =
        town.ledger.refresh(token, client_id, now, &town.options);
    *reuse = again;
    if foreign {
        town.violation("refresh token presented by another client");
    }
    match pair {
        Some(pair) => {
            let asked = wire::one(form, "scope");
            let asked = asked.is_none_or(|asked| asked.split(' ').any(|scope| scope == OFFLINE));
            Ok((pair, scope, asked || town.options.habits.offline != Offline::ByScope))
        }
        None => refuse("invalid_grant", "Not a live refresh token of this client"),
    }
}

/// RFC 8707 §2. Where the resource publishes nothing, a client can't know what to send.
fn check_resource(town: &mut Town, form: &[(String, String)], record: bool) -> Result<(), Refusal> {
    let expected = town.resource();
    let unwanted = town.options.habits.refuses_resource;
    let sent: Vec<&str> =
        form.iter().filter(|(k, v)| k == "resource" && !v.is_empty()).map(|(_, v)| &**v).collect();
    let required = town.options.require_resource;
    if unwanted {
        return match sent.as_slice() {
            [] => Ok(()),
            [..] => refuse("invalid_target", "The resource doesn't fit the scopes"),
        };
    }
    if sent.is_empty() {
        if record && (required || town.options.prm != Prm::Nowhere) {
            town.violation("resource missing on a refresh");
        }
        if required {
            return refuse("invalid_target", "resource is missing");
        }
    } else if sent.iter().any(|r| *r != expected) {
        if record {
            town.violation(format!("resource wrong on a refresh: {sent:?}"));
        }
        if required {
            return refuse("invalid_target", "Not a resource of this server");
        }
    }
    Ok(())
}

/// RFC 7009 §2.2: 200 for a token it doesn't know as well.
pub(crate) fn revoke(town: &mut Town, call: &Call) -> Reply {
    let form = wire::pairs(&call.body);
    let outcome = well_formed(town, call, &form, "/revoke").and_then(|()| {
        let client_id = authenticate(town, call, &form)?;
        let Some(token) = wire::one(&form, "token") else {
            return refuse("invalid_request", "token is missing");
        };
        town.ledger.revoke(token, &client_id);
        Ok(())
    });
    match outcome {
        Ok(()) => Reply::empty(StatusCode::OK),
        Err(why) => dialect::refusal(&town.options, None, call, &why),
    }
}
