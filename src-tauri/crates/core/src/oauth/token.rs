//! The requests to the token endpoint, code exchange (RFC 6749 §4.1.3) and refresh (§6), and their
//! answer; revocation (RFC 7009).
//!
//! The answer is read by what it says, not by its status: real servers send errors with 200 and
//! successes with 201. What cannot be told apart from a lost answer is called one.

use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::cell::RefCell;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope, TokenUrl,
    basic::{BasicClient, BasicErrorResponse},
};
use zeroize::Zeroizing;

use super::auth_method::AuthMethod;
pub use super::wire::scopes;
use super::wire::{Members, jwt_claims, jwt_expiry};
use crate::{
    http::{Answer, Method, Request},
    oauth::profile::Profile,
    secret::Secret,
    store::ClientCredentials,
    text::is_visible,
    time::{Millis, Wall},
};

/// What a refresh request is made of.
#[derive(Debug)]
pub struct Refresh<'a> {
    /// The token endpoint.
    pub endpoint: &'a str,
    /// The client the grant belongs to.
    pub client: &'a ClientCredentials,
    /// How it proves itself.
    pub method: AuthMethod,
    /// The token to present.
    pub token: &'a Secret,
    /// `resource` (RFC 8707), if it is sent.
    pub resource: Option<&'a str>,
    /// `scope`, if it is repeated.
    pub scope: Option<&'a str>,
    /// The MCP server this is for.
    pub on_behalf_of: &'a str,
}

/// The token endpoint, or the redirect URI, is not a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token endpoint in the server's metadata is not a URL")]
pub struct BadEndpoint;

#[derive(Debug, thiserror::Error)]
#[error("captured")]
struct Captured;

type TokenClient =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A client that knows only the token endpoint and how to prove itself there.
fn client_at(
    endpoint: &str,
    client: &ClientCredentials,
    method: AuthMethod,
) -> Result<TokenClient, BadEndpoint> {
    let endpoint = TokenUrl::new(endpoint.into()).map_err(|_| BadEndpoint)?;
    let mut known = BasicClient::new(ClientId::new(client.id.clone())).set_token_uri(endpoint);
    if let Some(secret) = &client.secret {
        known = known.set_client_secret(ClientSecret::new(secret.expose().into()));
    }
    Ok(known.set_auth_type(match method {
        AuthMethod::Basic => AuthType::BasicAuth,
        AuthMethod::None | AuthMethod::Post => AuthType::RequestBody,
    }))
}

/// What the `oauth2` crate would have sent: `send` is called with a carrier that keeps the request.
fn captured<T>(
    on_behalf_of: &str,
    send: impl FnOnce(
        &dyn Fn(HttpRequest) -> Result<HttpResponse, Captured>,
    ) -> Result<T, RequestTokenError<Captured, BasicErrorResponse>>,
) -> Result<Request, BadEndpoint> {
    let kept = RefCell::new(None);
    let keep = |request: HttpRequest| -> Result<HttpResponse, Captured> {
        kept.replace(Some(request));
        Err(Captured)
    };
    match send(&keep) {
        Ok(_) | Err(RequestTokenError::ServerResponse(_) | RequestTokenError::Parse(..)) => {}
        Err(RequestTokenError::Request(Captured)) => {}
        Err(RequestTokenError::Other(_)) => return Err(BadEndpoint),
    }
    let request = kept.into_inner().ok_or(BadEndpoint)?;
    Ok(carried(request, on_behalf_of))
}

impl Refresh<'_> {
    /// The request, built by the `oauth2` crate and handed over instead of being sent.
    pub fn request(&self) -> Result<Request, BadEndpoint> {
        let client = client_at(self.endpoint, self.client, self.method)?;
        let token = RefreshToken::new(self.token.expose().into());
        let mut refresh = client.exchange_refresh_token(&token);
        if let Some(scope) = self.scope {
            refresh = refresh.add_scopes(scopes(scope).into_iter().map(Scope::new));
        }
        if let Some(resource) = self.resource {
            refresh = refresh.add_extra_param("resource", Cow::Borrowed(resource));
        }
        captured(self.on_behalf_of, |keep| refresh.request(&keep))
    }
}

/// What a code exchange is made of.
#[derive(Debug)]
pub struct CodeExchange<'a> {
    /// The token endpoint.
    pub endpoint: &'a str,
    /// The client that the authorization request named.
    pub client: &'a ClientCredentials,
    /// How it proves itself.
    pub method: AuthMethod,
    /// The code from the callback.
    pub code: &'a Secret,
    /// The authorization request's redirect URI, byte for byte.
    pub redirect_uri: &'a str,
    /// The PKCE verifier.
    pub verifier: &'a Secret,
    /// `resource` (RFC 8707), if it is sent.
    pub resource: Option<&'a str>,
    /// The MCP server this is for.
    pub on_behalf_of: &'a str,
}

impl CodeExchange<'_> {
    /// The request. Its answer is [`read`] like a refresh's; a code is good for one try.
    pub fn request(&self) -> Result<Request, BadEndpoint> {
        let redirect = RedirectUrl::new(self.redirect_uri.into()).map_err(|_| BadEndpoint)?;
        let client = client_at(self.endpoint, self.client, self.method)?;
        let mut exchange = client
            .exchange_code(AuthorizationCode::new(self.code.expose().into()))
            .set_pkce_verifier(PkceCodeVerifier::new(self.verifier.expose().into()))
            .set_redirect_uri(Cow::Owned(redirect));
        if let Some(resource) = self.resource {
            exchange = exchange.add_extra_param("resource", Cow::Borrowed(resource));
        }
        captured(self.on_behalf_of, |keep| exchange.request(&keep))
    }
}

/// An `http` request as the engine carries it.
fn carried(request: HttpRequest, on_behalf_of: &str) -> Request {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = value.to_str().unwrap_or_default();
        (String::from(name.as_str()), Zeroizing::new(String::from(value)))
    });
    Request {
        method: if parts.method == http::Method::GET { Method::Get } else { Method::Post },
        url: format!("{}", parts.uri),
        headers: headers.collect(),
        body: Zeroizing::new(body),
        on_behalf_of: on_behalf_of.into(),
        follow_redirects: false,
    }
}

/// What a revocation request (RFC 7009 §2.1) is made of.
#[derive(Debug)]
pub struct Revocation<'a> {
    /// The revocation endpoint.
    pub endpoint: &'a str,
    /// The client that the token was given to.
    pub client: &'a ClientCredentials,
    /// How it proves itself.
    pub method: AuthMethod,
    /// The token that is to end.
    pub token: &'a Secret,
    /// Which of the two it is.
    pub kind: TokenKind,
    /// The MCP server this is for.
    pub on_behalf_of: &'a str,
}

/// Which token it is: `token_type_hint` (RFC 7009 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `access_token`.
    Access,
    /// `refresh_token`.
    Refresh,
}

impl Revocation<'_> {
    /// The request. The `oauth2` crate has no form of it for a server on loopback.
    pub fn request(&self) -> Request {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", self.token.expose());
        form.append_pair(
            "token_type_hint",
            match self.kind {
                TokenKind::Access => "access_token",
                TokenKind::Refresh => "refresh_token",
            },
        );
        let header = |name: &str, value: String| (name.into(), Zeroizing::new(value));
        let form_type = header("content-type", "application/x-www-form-urlencoded".into());
        let mut headers = Vec::from([form_type]);
        match (self.method, &self.client.secret) {
            (AuthMethod::Basic, Some(secret)) => {
                // RFC 6749 §2.3.1: both parts are encoded before they are joined.
                let encoded = |text: &str| -> String {
                    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
                };
                let secret = Zeroizing::new(encoded(secret.expose()));
                let both = Zeroizing::new([&encoded(&self.client.id), ":", &secret].concat());
                let credentials = Zeroizing::new(STANDARD.encode(both.as_bytes()));
                headers.push(header("authorization", ["Basic ", &credentials].concat()));
            }
            (AuthMethod::None | AuthMethod::Post, Some(secret)) => {
                form.append_pair("client_id", &self.client.id);
                form.append_pair("client_secret", secret.expose());
            }
            (_, None) => {
                form.append_pair("client_id", &self.client.id);
            }
        }
        Request {
            method: Method::Post,
            url: self.endpoint.into(),
            headers,
            body: Zeroizing::new(form.finish().into_bytes()),
            on_behalf_of: self.on_behalf_of.into(),
            follow_redirects: false,
        }
    }
}

/// New tokens as the server gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The access token.
    pub access: Secret,
    /// The new refresh token; `None`: the old one stays (RFC 6749 §6).
    pub refresh: Option<Secret>,
    /// The access token's life, where the answer says one that makes sense.
    pub life: Option<Millis>,
    /// The access token's own `exp`, where it is a JWT.
    pub jwt_expiry: Option<Wall>,
    /// The scope, as sent; `None`: the old one stays.
    pub scope: Option<String>,
    /// How long the refresh token lasts, where the answer says so.
    pub sign_in_life: Option<Millis>,
}

impl Granted {
    /// When the access token ends, if anything but a guess tells. A new token that says it has ended
    /// already says that one of two clocks is wrong, and nothing about its life.
    pub fn expires_at(&self, received: Wall) -> Option<Wall> {
        let own = self.jwt_expiry.filter(|end| *end > received);
        self.life.map(|life| received + life).or(own)
    }
}

/// What an answer of the token endpoint means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Success.
    Granted(Granted),
    /// `invalid_grant`, or the profile's word for it.
    GrantRefused(ErrorCode),
    /// `invalid_client`, or the profile's word for it.
    ClientRefused(ErrorCode),
    /// `invalid_target` (RFC 8707 §2).
    TargetRefused,
    /// Another definite error: the request was understood and refused.
    Refused(ErrorCode),
    /// Certainly not acted on.
    NotProcessed(ErrorCode, Option<Millis>),
    /// Perhaps acted on: the same as no answer.
    Unclear(ErrorCode),
}

/// An error code that may be shown and logged: from a closed list, never a server's free text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode(pub String);

impl ErrorCode {
    pub(super) fn http(status: u16) -> Self {
        Self(format!("http_{status}"))
    }

    /// The code of a callback (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6, RFC 8707).
    pub(super) fn of_callback(error: &str) -> Self {
        Self::listed(error, KNOWN_IN_CALLBACK)
    }

    /// The code, if `known` has it.
    pub(super) fn listed(error: &str, known: &[&str]) -> Self {
        Self(if known.contains(&error) { error.into() } else { "other".into() })
    }
}

/// Codes of a callback that may be repeated as they are.
const KNOWN_IN_CALLBACK: &[&str] = &[
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "login_required",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_response_type",
];

/// Codes of RFC 6749 §5.2, RFC 8707, RFC 8628 and what servers add, that may be repeated as they are.
const KNOWN: &[&str] = &[
    "access_denied",
    "expired_token",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "too_many_requests",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// Reads an answer of the token endpoint.
pub fn read(answer: &Answer, profile: &Profile) -> Reading {
    let members = Members::read(&answer.body, answer.content_type.as_deref());
    let error = members.as_ref().and_then(|m| m.text("error"));
    match (members, error) {
        (Some(_), Some(error)) => read_error(&error, answer, profile),
        (Some(members), None) if is_success(answer.status) && !members.says_not_ok() => granted(
            &members.tokens(),
        )
        .map_or_else(|| Reading::Unclear(ErrorCode("no_token_in_answer".into())), Reading::Granted),
        _ => read_status(answer),
    }
}

/// Who signed in, as a person would say it. For display only: nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// A workspace's or a person's name; no control characters, at most 80 characters.
    pub label: String,
}

/// Who signed in, if the answer to a code exchange says: Slack's workspace, or the claims of an ID
/// token (OIDC Core §5.1).
pub fn account(answer: &Answer) -> Option<Account> {
    let members = Members::read(&answer.body, answer.content_type.as_deref())?;
    let claims = members.secret("id_token").and_then(|token| jwt_claims(&token));
    let claimed = claims.and_then(|claims| {
        let names = ["email", "preferred_username", "name", "sub"];
        names.iter().find_map(|name| claims.text(name))
    });
    let label = members.team().or(claimed)?;
    let shown = label.chars().filter(|c| is_visible(*c)).take(80).collect::<String>();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| Account { label: shown.into() })
}

fn read_error(error: &str, answer: &Answer, profile: &Profile) -> Reading {
    let is_one_of = |words: &[String]| words.iter().any(|word| word == error);
    let known = KNOWN.contains(&error)
        || [
            &profile.grant_refused,
            &profile.client_refused,
            &profile.not_processed,
            &profile.perhaps_processed,
        ]
        .into_iter()
        .any(|words| is_one_of(words));
    let code = ErrorCode(if known { error.into() } else { "other".into() });
    if error == "invalid_grant" || is_one_of(&profile.grant_refused) {
        Reading::GrantRefused(code)
    } else if error == "invalid_client" || is_one_of(&profile.client_refused) {
        Reading::ClientRefused(code)
    } else if error == "invalid_target" {
        Reading::TargetRefused
    } else if error == "server_error" || is_one_of(&profile.perhaps_processed) {
        Reading::Unclear(code)
    } else if ["temporarily_unavailable", "too_many_requests", "slow_down"].contains(&error)
        || is_one_of(&profile.not_processed)
        || answer.status == 429
    {
        Reading::NotProcessed(code, answer.retry_after)
    } else if answer.status >= 500 {
        Reading::Unclear(code)
    } else {
        Reading::Refused(code)
    }
}

fn read_status(answer: &Answer) -> Reading {
    let code = ErrorCode::http(answer.status);
    match answer.status {
        429 => Reading::NotProcessed(code, answer.retry_after),
        503 if answer.retry_after.is_some() => Reading::NotProcessed(code, answer.retry_after),
        // A request time-out and every server error may come after the rotation; a success that
        // cannot be read certainly may.
        200..=299 | 408 | 500.. => Reading::Unclear(code),
        _ => Reading::Refused(code),
    }
}

fn granted(members: &Members) -> Option<Granted> {
    let access = members.secret("access_token")?;
    let jwt_expiry = jwt_expiry(&access).map(Wall);
    let sign_in_life = ["refresh_token_expires_in", "refresh_expires_in"]
        .iter()
        .find_map(|name| members.seconds(name))
        .map(Millis);
    Some(Granted {
        access,
        refresh: members.secret("refresh_token"),
        life: members.seconds("expires_in").map(Millis),
        jwt_expiry,
        scope: members.words("scope"),
        sign_in_life,
    })
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, body: &str) -> Answer {
        Answer {
            status,
            content_type: Some(content_type.into()),
            retry_after: None,
            challenges: vec![],
            location: None,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    fn json(status: u16, body: &str) -> Reading {
        read(&answer(status, "application/json", body), &Profile::default())
    }

    fn ok(body: &str) -> Granted {
        let reading = json(200, body);
        let Reading::Granted(granted) = reading else { panic!("{reading:?}") };
        granted
    }

    fn client(secret: Option<&str>) -> ClientCredentials {
        ClientCredentials { id: "cl 1".into(), secret: secret.map(Secret::new) }
    }

    fn request(method: AuthMethod, secret: Option<&str>) -> (String, Vec<String>) {
        let request = Refresh {
            endpoint: "https://as.example/token?x=1",
            client: &client(secret),
            method,
            token: &Secret::new("rt-1"),
            resource: Some("https://mcp.example/mcp"),
            scope: None,
            on_behalf_of: "https://mcp.example/mcp",
        }
        .request()
        .unwrap();
        assert_eq!(request.url, "https://as.example/token?x=1");
        assert!(!request.follow_redirects);
        let headers = request.headers.iter();
        (
            String::from_utf8(request.body.to_vec()).unwrap(),
            headers.map(|(n, v)| format!("{n}: {}", v.as_str())).collect(),
        )
    }

    #[test]
    fn a_public_client_names_itself_in_the_body() {
        let (body, headers) = request(AuthMethod::None, None);
        assert!(body.contains("grant_type=refresh_token"), "{body}");
        assert!(body.contains("refresh_token=rt-1") && body.contains("client_id=cl+1"), "{body}");
        assert!(body.contains("resource=https%3A%2F%2Fmcp.example%2Fmcp"), "{body}");
        assert!(headers.contains(&"accept: application/json".into()), "{headers:?}");
        assert!(!headers.iter().any(|h| h.starts_with("authorization")));
    }

    #[test]
    fn a_secret_travels_once_by_header_or_by_body() {
        let (body, headers) = request(AuthMethod::Basic, Some("s3"));
        assert!(headers.iter().any(|h| h.starts_with("authorization: Basic ")), "{headers:?}");
        assert!(!body.contains("s3") && !body.contains("client_secret"), "{body}");
        let (body, headers) = request(AuthMethod::Post, Some("s3"));
        assert!(body.contains("client_secret=s3"), "{body}");
        assert!(!headers.iter().any(|h| h.starts_with("authorization")));
    }

    #[test]
    fn a_revocation_names_its_token_and_proves_its_client_as_the_server_wants() {
        let request = |method, secret: Option<&str>| {
            let request = Revocation {
                endpoint: "https://as.example/revoke",
                client: &client(secret),
                method,
                token: &Secret::new("rt+1"),
                kind: TokenKind::Refresh,
                on_behalf_of: "https://mcp.example/mcp",
            }
            .request();
            assert!(!request.follow_redirects);
            let proof = request.headers.iter().find(|(name, _)| name == "authorization");
            let proof = proof.map(|(_, value)| value.as_str().to_owned());
            (String::from_utf8(request.body.to_vec()).unwrap(), proof)
        };
        let token = "token=rt%2B1&token_type_hint=refresh_token";
        assert_eq!(request(AuthMethod::None, None), (format!("{token}&client_id=cl+1"), None));
        let (body, proof) = request(AuthMethod::Post, Some("s:3"));
        assert_eq!((body, proof), (format!("{token}&client_id=cl+1&client_secret=s%3A3"), None));
        // cl+1:s%3A3
        let basic = String::from("Basic Y2wrMTpzJTNBMw==");
        assert_eq!(request(AuthMethod::Basic, Some("s:3")), (token.into(), Some(basic)));
    }

    fn exchange(method: AuthMethod, secret: Option<&str>) -> (String, Vec<String>) {
        let request = CodeExchange {
            endpoint: "https://as.example/token?x=1",
            client: &client(secret),
            method,
            code: &Secret::new("co/de+1"),
            redirect_uri: "dev.lamplighter:/oauth/callback",
            verifier: &Secret::new("v".repeat(43)),
            resource: Some("https://mcp.example/mcp"),
            on_behalf_of: "https://mcp.example/mcp",
        }
        .request()
        .unwrap();
        assert_eq!(
            (request.url.as_str(), request.method),
            ("https://as.example/token?x=1", Method::Post)
        );
        assert!(!request.follow_redirects);
        let headers = request.headers.iter();
        (
            String::from_utf8(request.body.to_vec()).unwrap(),
            headers.map(|(n, v)| format!("{n}: {}", v.as_str())).collect(),
        )
    }

    #[test]
    fn a_code_is_exchanged_with_verifier_redirect_and_resource() {
        let (body, headers) = exchange(AuthMethod::None, None);
        let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes())
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        pairs.sort();
        let verifier = "v".repeat(43);
        let expected = [
            ("client_id", "cl 1"),
            ("code", "co/de+1"),
            ("code_verifier", &verifier),
            ("grant_type", "authorization_code"),
            ("redirect_uri", "dev.lamplighter:/oauth/callback"),
            ("resource", "https://mcp.example/mcp"),
        ];
        let expected = expected.map(|(k, v)| (String::from(k), String::from(v)));
        assert_eq!(pairs, expected);
        assert!(headers.contains(&"accept: application/json".into()), "{headers:?}");
    }

    #[test]
    fn a_code_exchange_sends_a_secret_once() {
        let (body, headers) = exchange(AuthMethod::Basic, Some("s3"));
        assert!(headers.iter().any(|h| h.starts_with("authorization: Basic ")), "{headers:?}");
        assert!(!body.contains("s3"), "{body}");
        let (body, headers) = exchange(AuthMethod::Post, Some("s3"));
        assert!(body.contains("client_secret=s3"), "{body}");
        assert!(!headers.iter().any(|h| h.starts_with("authorization")));
    }

    #[test]
    fn an_endpoint_that_is_no_url_sends_nothing() {
        let bad = |endpoint: &str, redirect_uri: &str| {
            CodeExchange {
                endpoint,
                client: &client(None),
                method: AuthMethod::None,
                code: &Secret::new("c"),
                redirect_uri,
                verifier: &Secret::new("v"),
                resource: None,
                on_behalf_of: "https://mcp.example",
            }
            .request()
            .err()
        };
        assert_eq!(bad("/token", "dev.lamplighter:/x"), Some(BadEndpoint));
        assert_eq!(bad("https://as.example/t", "callback"), Some(BadEndpoint));
    }

    fn account_of(body: &str) -> Option<String> {
        account(&answer(200, "application/json", body)).map(|account| account.label)
    }

    #[test]
    fn the_account_is_slacks_workspace_or_what_an_id_token_claims() {
        let slack = r#"{"ok":true,"team":{"id":"T1","name":"Harbour"},"authed_user":{"id":"U1"}}"#;
        assert_eq!(account_of(slack).as_deref(), Some("Harbour"));
        assert_eq!(account_of(r#"{"team":{"id":"T1"}}"#).as_deref(), Some("T1"));
        // {"sub":"42","email":"ada@example.org"} and {"sub":"42"}
        let email = r#"{"id_token":"e30.eyJzdWIiOiI0MiIsImVtYWlsIjoiYWRhQGV4YW1wbGUub3JnIn0.x"}"#;
        assert_eq!(account_of(email).as_deref(), Some("ada@example.org"));
        let sub = r#"{"id_token":"e30.eyJzdWIiOiI0MiJ9.x"}"#;
        assert_eq!(account_of(sub).as_deref(), Some("42"));
        for none in ["{}", r#"{"id_token":"x"}"#, r#"{"team":7}"#, "<html>"] {
            assert_eq!(account_of(none), None, "{none}");
        }
    }

    #[test]
    fn an_accounts_name_cannot_draw_on_the_page() {
        let evil = r#"{"team":{"name":"a\u001b[2J\u202eb\n"}}"#;
        assert_eq!(account_of(evil).as_deref(), Some("a[2Jb"));
        let long = format!(r#"{{"team":{{"name":"{}"}}}}"#, "é".repeat(10_000));
        assert_eq!(account_of(&long).unwrap().chars().count(), 80);
        assert_eq!(account_of(r#"{"team":{"name":"\u0000 "}}"#), None);
    }

    #[test]
    fn the_method_follows_secret_and_metadata() {
        let post = ["client_secret_post".into()];
        assert_eq!(AuthMethod::choose(&client(None), &post), AuthMethod::None);
        assert_eq!(AuthMethod::choose(&client(Some("s")), &post), AuthMethod::Post);
        assert_eq!(AuthMethod::choose(&client(Some("s")), &[]), AuthMethod::Basic);
    }

    #[test]
    fn expires_in_is_read_in_every_shape_that_makes_sense() {
        let life =
            |value: &str| ok(&format!(r#"{{"access_token":"a","expires_in":{value}}}"#)).life;
        assert_eq!(life("3600"), Some(Millis::hours(1)));
        assert_eq!(life("3600.5"), Some(Millis(3_600_500)));
        assert_eq!(life("\"3600\""), Some(Millis::hours(1)));
        for nonsense in ["0", "-1", "null", "\"soon\"", "1e300", "\"\"", "[]", "\"NaN\""] {
            assert_eq!(life(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_jwt_tells_its_end_where_the_answer_does_not() {
        // {"exp":2000000000}
        let granted = ok(r#"{"access_token":"x.eyJleHAiOjIwMDAwMDAwMDB9.y"}"#);
        assert_eq!(granted.expires_at(Wall(0)), Some(Wall(2_000_000_000_000)));
        assert_eq!(granted.expires_at(Wall(2_000_000_000_000)), None, "a clock is wrong");
        assert_eq!(ok(r#"{"access_token":"x.!!.y"}"#).expires_at(Wall(0)), None);
    }

    #[test]
    fn slack_says_errors_with_200_and_nests_tokens() {
        let profiles = crate::oauth::profile::Profiles::default();
        let slack = profiles.of("https://mcp.slack.com/mcp").1;
        let read = |body: &str| read(&answer(200, "application/json", body), slack);
        assert_eq!(
            read(r#"{"ok":false,"error":"invalid_refresh_token"}"#),
            Reading::GrantRefused(ErrorCode("invalid_refresh_token".into()))
        );
        assert!(matches!(read(r#"{"ok":false,"error":"internal_error"}"#), Reading::Unclear(_)));
        assert!(matches!(read(r#"{"ok":false,"error":"ratelimited"}"#), Reading::NotProcessed(..)));
        let Reading::Granted(granted) = read(
            r#"{"ok":true,"authed_user":{"access_token":"xoxe.xoxp-1","refresh_token":"xoxe-1",
                "token_type":"user","scope":"a,b","expires_in":43200}}"#,
        ) else {
            panic!("nested tokens not found")
        };
        assert_eq!(granted.life, Some(Millis::hours(12)));
        assert_eq!(scopes(&granted.scope.unwrap()), ["a", "b"]);
    }

    #[test]
    fn github_says_errors_with_200_and_answers_with_forms() {
        let profiles = crate::oauth::profile::Profiles::default();
        let github = profiles.of("https://api.githubcopilot.com/mcp/").1;
        let form = |body: &str| {
            read(&answer(200, "application/x-www-form-urlencoded; charset=utf-8", body), github)
        };
        assert!(matches!(form("error=bad_refresh_token&x=1"), Reading::GrantRefused(_)));
        let Reading::Granted(granted) = form(
            "access_token=ghu_1&expires_in=28800&refresh_token=ghr_2&scope=&refresh_token_expires_in=15811200",
        ) else {
            panic!("form not read")
        };
        assert_eq!(granted.refresh, Some(Secret::new("ghr_2")));
        assert_eq!(granted.sign_in_life, Some(Millis::seconds(15_811_200)));
        assert_eq!(granted.scope, None);
    }

    #[test]
    fn errors_go_by_their_word_and_not_by_their_status() {
        for status in [200, 400, 401, 403, 500] {
            let reading = json(status, r#"{"error":"invalid_grant"}"#);
            assert!(matches!(reading, Reading::GrantRefused(_)), "{status}");
        }
        assert!(matches!(json(401, r#"{"error":"invalid_client"}"#), Reading::ClientRefused(_)));
        assert_eq!(json(400, r#"{"error":"invalid_target"}"#), Reading::TargetRefused);
        assert!(matches!(json(400, r#"{"error":"invalid_request"}"#), Reading::Refused(_)));
    }

    #[test]
    fn a_word_nobody_knows_is_not_repeated() {
        assert_eq!(
            json(400, r#"{"error":"your token xoxe-1 is bad"}"#),
            Reading::Refused(ErrorCode("other".into()))
        );
    }

    #[test]
    fn what_may_have_been_acted_on_is_called_unclear() {
        for (status, body) in [
            (200, "<html>"),
            (200, ""),
            (200, "{\"access_tok"),
            (200, "{}"),
            (200, r#"{"access_token":""}"#),
            (500, ""),
            (502, "<html>"),
            (503, ""),
            (504, ""),
            (500, r#"{"error":"oops"}"#),
            (400, r#"{"error":"server_error"}"#),
        ] {
            assert!(matches!(json(status, body), Reading::Unclear(_)), "{status} {body}");
        }
    }

    #[test]
    fn what_was_certainly_not_acted_on_keeps_its_retry_after() {
        let mut busy = answer(503, "text/plain", "");
        busy.retry_after = Some(Millis::seconds(7));
        let reading = read(&busy, &Profile::default());
        assert_eq!(
            reading,
            Reading::NotProcessed(ErrorCode("http_503".into()), Some(Millis::seconds(7)))
        );
        assert!(matches!(json(429, ""), Reading::NotProcessed(_, None)));
        assert!(matches!(json(307, ""), Reading::Refused(_)));
        assert!(matches!(json(404, "<html>"), Reading::Refused(_)));
    }

    #[test]
    fn a_201_is_a_success_and_a_missing_refresh_token_is_not_an_error() {
        let Reading::Granted(granted) = json(201, r#"{"access_token":"a"}"#) else { panic!() };
        assert_eq!((granted.refresh, granted.scope), (None, None));
    }
}
