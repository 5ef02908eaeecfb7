//! Words the answers of the token endpoint as the chosen kind of provider does.
//!
//! What it must not do: decide an outcome. It gets tokens or an error and shapes them.
//!
//! Where to read next: [`Dialect`]; `token`, which decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::ledger::Pair;
use crate::options::{Dialect, ExpiresIn, Options};
use crate::secrets::short_id;
use crate::sign_in::OFFLINE;
use crate::wire::{Call, Reply};

/// Which grant is answered; some dialects tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    Code,
    Refresh,
}

/// An error of RFC 6749 §5.2.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) why: &'static str,
}

/// What goes into an answer with tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted<'a> {
    pub(crate) grant: Grant,
    pub(crate) pair: &'a Pair,
    pub(crate) scope: &'a str,
    pub(crate) may_refresh: bool,
    pub(crate) account: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) now_ms: i64,
}

pub(crate) fn tokens(options: &Options, call: &Call, granted: &Granted<'_>) -> Reply {
    let Granted { grant, pair, scope, may_refresh, now_ms, .. } = *granted;
    let mut body = Map::new();
    body.insert("access_token".into(), pair.access.as_str().into());
    let token_type = match options.dialect {
        Dialect::Standard | Dialect::Created201 | Dialect::Google | Dialect::Entra => "Bearer",
        Dialect::Slack => "user",
        Dialect::GitHub => "bearer",
    };
    body.insert("token_type".into(), token_type.into());
    // What is left, not what it had: the grace answer repeats an older pair.
    let left = (pair.expires_at_ms - now_ms) / 1000;
    let expires_in = match options.expires_in {
        ExpiresIn::Number => Some(json!(left)),
        ExpiresIn::Missing => None,
        ExpiresIn::Zero => Some(json!(0)),
        ExpiresIn::Negative => Some(json!(-1)),
        #[expect(clippy::cast_precision_loss, reason = "a life in seconds is small")]
        ExpiresIn::Float => Some(json!(left as f64)),
        ExpiresIn::Text => Some(json!(left.to_string())),
    };
    if let Some(expires_in) = expires_in {
        body.insert("expires_in".into(), expires_in);
    }
    // Left out on a refresh only: it has to get out once.
    if may_refresh && (grant == Grant::Code || !options.omit_refresh_token) {
        body.insert("refresh_token".into(), pair.refresh.as_str().into());
        if let Some(seconds) = options.refresh_token_expires_in {
            body.insert("refresh_token_expires_in".into(), seconds.into());
        }
    }
    if !options.omit_scope {
        let scope = match options.dialect {
            Dialect::Slack | Dialect::GitHub => scope.replace(' ', ","),
            Dialect::Standard | Dialect::Created201 | Dialect::Google => scope.to_owned(),
            Dialect::Entra => {
                let listed = scope.split(' ').filter(|scope| *scope != OFFLINE);
                listed.collect::<Vec<_>>().join(" ")
            }
        };
        body.insert("scope".into(), scope.into());
    }
    match options.dialect {
        Dialect::Standard => Reply::json(StatusCode::OK, &Value::Object(body)),
        Dialect::Google | Dialect::Entra => {
            if scope.split(' ').any(|scope| scope == "openid") {
                body.insert("id_token".into(), id_token(granted).into());
            }
            Reply::json(StatusCode::OK, &Value::Object(body))
        }
        Dialect::Created201 => Reply::json(StatusCode::CREATED, &Value::Object(body)),
        Dialect::Slack => {
            let body = match grant {
                Grant::Refresh => {
                    body.insert("ok".into(), true.into());
                    Value::Object(body)
                }
                Grant::Code => {
                    body.insert("id".into(), "ULAMP".into());
                    let team = json!({ "id": "TLAMP", "name": granted.account });
                    json!({ "ok": true, "app_id": "ALAMP", "authed_user": body, "team": team })
                }
            };
            Reply::json(StatusCode::OK, &body)
        }
        Dialect::GitHub => json_or_form(options, call, &body),
    }
    .unstored()
}

/// The claims of an ID token (OIDC Core §2) without a signature that anybody could check: it comes
/// straight from the token endpoint, where nobody has to (§3.1.3.7).
fn id_token(granted: &Granted<'_>) -> String {
    let claims = json!({
        "iss": granted.issuer,
        "aud": granted.client_id,
        "sub": short_id(granted.account),
        "email": granted.account,
        "iat": granted.now_ms / 1000,
        "exp": granted.pair.expires_at_ms / 1000,
    });
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(&header), part(&claims), URL_SAFE_NO_PAD.encode([0; 32]))
}

pub(crate) fn refusal(
    options: &Options,
    grant: Option<Grant>,
    call: &Call,
    refusal: &Refusal,
) -> Reply {
    // RFC 6749 §5.2: 401 and a challenge, if the client tried the Authorization header.
    let challenged = refusal.code == "invalid_client";
    let status = if challenged { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    let reply = shaped(options, grant, call, status, refusal.code, refusal.why);
    if challenged && call.authorization("basic").is_some() && reply.status == status {
        return reply.with(header::WWW_AUTHENTICATE, "Basic realm=\"rehearsal\"");
    }
    reply
}

/// An error with a status of its own, for an injected one.
pub(crate) fn error(options: &Options, call: &Call, status: StatusCode, code: &str) -> Reply {
    let mut reply = shaped(options, None, call, status, code, "Injected");
    reply.status = status;
    reply
}

fn shaped(
    options: &Options,
    grant: Option<Grant>,
    call: &Call,
    status: StatusCode,
    code: &str,
    why: &str,
) -> Reply {
    match options.dialect {
        Dialect::Standard | Dialect::Created201 | Dialect::Google => {
            Reply::json(status, &json!({ "error": code, "error_description": why }))
        }
        Dialect::Entra => {
            let number = match (code, grant) {
                ("invalid_grant", Some(Grant::Refresh)) => 70_008,
                ("invalid_grant", _) => 54_005,
                ("invalid_client", _) => 700_016,
                ("invalid_target", _) => 9_010_010,
                (_, _) => 900_144,
            };
            let said = json!({
                "error": code,
                "error_description": format!("AADSTS{number}: {why}. Trace ID: 0 Timestamp: 0"),
                "error_codes": [number],
            });
            Reply::json(status, &said)
        }
        Dialect::Slack => {
            let code = match (code, grant) {
                ("invalid_grant", Some(Grant::Refresh)) => "invalid_refresh_token",
                ("invalid_grant", Some(Grant::Code)) => "invalid_code",
                ("invalid_client", _) => "invalid_client_id",
                (other, _) => other,
            };
            Reply::json(StatusCode::OK, &json!({ "ok": false, "error": code }))
        }
        Dialect::GitHub => {
            let code = match (code, grant) {
                ("invalid_grant", Some(Grant::Refresh)) => "bad_refresh_token",
                ("invalid_grant", Some(Grant::Code)) => "bad_verification_code",
                ("invalid_client", _) => "incorrect_client_credentials",
                (other, _) => other,
            };
            let mut body = Map::new();
            body.insert("error".into(), code.into());
            body.insert("error_description".into(), why.into());
            json_or_form(options, call, &body)
        }
    }
    .unstored()
}

fn json_or_form(options: &Options, call: &Call, body: &Map<String, Value>) -> Reply {
    let accept = call.header(header::ACCEPT).unwrap_or_default().to_ascii_lowercase();
    if accept.contains("application/json") && !options.habits.forms_only {
        return Reply::json(StatusCode::OK, &Value::Object(body.clone()));
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (key, value) in body {
        form.append_pair(key, value.as_str().unwrap_or(&value.to_string()));
    }
    Reply::typed(StatusCode::OK, "application/x-www-form-urlencoded; charset=utf-8", form.finish())
}
