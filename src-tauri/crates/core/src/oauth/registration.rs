//! A client of our own at an authorization server: dynamic registration (RFC 7591), or a Client ID
//! Metadata Document where one is configured.
//!
//! A registration belongs to one entry and one issuer and is never shared. Read next:
//! [`super::authorize`] for what the client then asks.

use alloc::{string::String, vec, vec::Vec};

use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::{
    auth_method::AuthMethod, discovery::Discovered, metadata::AuthorizationServer,
    token::ErrorCode, wire::member,
};
use crate::{
    http::{Answer, Method, Request},
    oauth::profile::Profile,
    secret::Secret,
    store::ClientCredentials,
    time::{Millis, Wall},
};

/// The name that the consent page shows.
pub const CLIENT_NAME: &str = "Lamplighter (for Claude Code)";

/// How long before its end a client's secret is no longer begun with.
const SECRET_MARGIN: Millis = Millis::minutes(10);

impl AuthMethod {
    /// The method to register with: none where the server allows it or does not say, because a
    /// secret on a desktop is none. `None`: it takes only methods that are not spoken here.
    pub fn to_register(supported: &[String], profile: &Profile) -> Option<Self> {
        let lists = |method: Self| supported.iter().any(|m| m == method.name());
        match profile.auth_method {
            Some(method) => Some(method),
            None if profile.needs_secret == Some(true) && supported.is_empty() => Some(Self::Basic),
            None if supported.is_empty() => Some(Self::None),
            None => [Self::None, Self::Basic, Self::Post]
                .into_iter()
                .filter(|method| *method != Self::None || profile.needs_secret != Some(true))
                .find(|method| lists(*method)),
        }
    }

    /// The method for a client that was made elsewhere: by hand, or by its own program.
    pub fn of_given(client: &ClientCredentials, supported: &[String], profile: &Profile) -> Self {
        match profile.auth_method {
            Some(method) if client.secret.is_some() => method,
            Some(_) | None => Self::choose(client, supported),
        }
    }
}

/// The Client ID Metadata Document to sign in with: `configured`, where the server takes such
/// documents and the address is one (HTTPS with a path).
pub fn metadata_document<'a>(
    configured: Option<&'a str>,
    server: &AuthorizationServer,
) -> Option<&'a str> {
    let url = configured.filter(|_| server.takes_metadata_documents)?;
    let parsed = Url::parse(url).ok()?;
    let usable = parsed.scheme() == "https"
        && parsed.path() != "/"
        && parsed.fragment().is_none()
        && parsed.username().is_empty()
        && parsed.password().is_none();
    usable.then_some(url)
}

/// Where a client may register itself; `None` where the metadata names no place, or the profile knows
/// that nothing comes of it.
pub fn endpoint<'a>(server: &'a AuthorizationServer, profile: &Profile) -> Option<&'a str> {
    server.registration_endpoint.as_deref().filter(|_| profile.registration != Some(false))
}

/// What a registration is made of.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The registration endpoint.
    pub endpoint: &'a str,
    /// Every redirect URI that is wanted, the loopback one always among them.
    pub redirect_uris: &'a [String],
    /// The scopes that will be asked for; empty: not said.
    pub scopes: &'a [String],
    /// How the client will prove itself.
    pub method: AuthMethod,
    /// The MCP server this is for.
    pub on_behalf_of: &'a str,
}

/// The body (RFC 7591 §2).
#[derive(Serialize)]
struct Body<'a> {
    client_name: &'static str,
    redirect_uris: &'a [String],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    application_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl Registration<'_> {
    /// The request.
    pub fn request(&self) -> Request {
        let body = Body {
            client_name: CLIENT_NAME,
            redirect_uris: self.redirect_uris,
            // Without this some servers register a client that never gets a refresh token.
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: self.method.name(),
            // Without this some servers refuse loopback and private schemes.
            application_type: "native",
            scope: (!self.scopes.is_empty()).then(|| self.scopes.join(" ")),
        };
        let header = |name: &str, value: &str| (name.into(), Zeroizing::new(value.into()));
        Request {
            method: Method::Post,
            url: self.endpoint.into(),
            headers: vec![
                header("accept", "application/json"),
                header("content-type", "application/json"),
            ],
            // Texts and lists of texts always have a JSON form.
            body: Zeroizing::new(serde_json::to_vec(&body).unwrap_or_default()),
            on_behalf_of: self.on_behalf_of.into(),
            follow_redirects: false,
        }
    }

    /// Reads the answer.
    pub fn read(
        &self,
        answer: &Answer,
        server: &AuthorizationServer,
        profile: &Profile,
    ) -> Result<Registered, RegistrationFault> {
        let wire = serde_json::from_slice::<Wire>(&answer.body).ok();
        if let Some(error) = wire.as_ref().and_then(|wire| wire.error.as_deref()) {
            return Err(refused(error, answer));
        }
        if !matches!(answer.status, 200..=299) {
            return Err(refused_by_status(answer));
        }
        let wire = wire.ok_or(RegistrationFault::Unreadable)?;
        let id = wire.client_id.ok_or(RegistrationFault::Unreadable)?;
        let secret = wire.client_secret.map(Secret::new);
        let client = ClientCredentials { id, secret };
        let said = wire.token_endpoint_auth_method.as_deref().and_then(AuthMethod::named);
        Ok(Registered {
            method: self.method_of(&client, said, server, profile),
            secret_ends: wire
                .client_secret_expires_at
                .filter(|seconds| *seconds > 0 && client.secret.is_some())
                .map(|seconds| Wall(0) + Millis::seconds(seconds)),
            redirect_uris: wire.redirect_uris.unwrap_or_else(|| self.redirect_uris.to_vec()),
            client,
        })
    }

    /// How the new client proves itself: as the answer says, unless that contradicts a secret that
    /// came with it. Some servers give one, call the method "none" and want the secret all the same.
    fn method_of(
        &self,
        client: &ClientCredentials,
        said: Option<AuthMethod>,
        server: &AuthorizationServer,
        profile: &Profile,
    ) -> AuthMethod {
        if client.secret.is_none() {
            return AuthMethod::None;
        }
        let lists_none = server.token_auth_methods.iter().any(|m| m == AuthMethod::None.name());
        match (profile.auth_method, said) {
            (Some(method), _) => method,
            (None, Some(method @ (AuthMethod::Basic | AuthMethod::Post))) => method,
            (None, Some(AuthMethod::None)) if lists_none => AuthMethod::None,
            (None, None) if self.method != AuthMethod::None => self.method,
            (None, Some(AuthMethod::None) | None) => {
                AuthMethod::choose(client, &server.token_auth_methods)
            }
        }
    }
}

/// A client of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its id and secret.
    pub client: ClientCredentials,
    /// How it proves itself at the token endpoint.
    pub method: AuthMethod,
    /// When the secret ends (`client_secret_expires_at`); `None`: never, or there is none.
    pub secret_ends: Option<Wall>,
    /// The redirect URIs it really has: the server's echo, else those asked for.
    pub redirect_uris: Vec<String>,
}

impl Registered {
    /// Whether a sign-in may still begin with it. Whether the server still knows it, only the server
    /// can tell.
    pub fn is_still_valid(&self, now: Wall) -> bool {
        self.secret_ends.is_none_or(|end| now + SECRET_MARGIN < end)
    }

    /// Whether it has this redirect URI, byte for byte.
    pub fn takes(&self, redirect_uri: &str) -> bool {
        self.redirect_uris.iter().any(|uri| uri == redirect_uri)
    }
}

/// Why there is no registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationFault {
    /// `invalid_redirect_uri` (RFC 7591 §3.2.2).
    #[error("the sign-in server refused the address that the browser would come back to")]
    RedirectRefused,
    /// Another definite error.
    #[error("the sign-in server refused to register a client ({})", .0.0)]
    Refused(ErrorCode),
    /// Registration is not for everyone there: 401 or 403.
    #[error("the sign-in server registers only clients that it knows ({})", .0.0)]
    Closed(ErrorCode),
    /// There is no registration, although an endpoint is named.
    #[error("the sign-in server does not register clients ({})", .0.0)]
    NotOffered(ErrorCode),
    /// Later, perhaps.
    #[error("the sign-in server is too busy to register a client")]
    Busy(Option<Millis>),
    /// The server is unwell.
    #[error("the sign-in server failed to register a client ({})", .0.0)]
    Unwell(ErrorCode),
    /// A success without a client id.
    #[error("the sign-in server's answer to the registration can't be read")]
    Unreadable,
}

impl RegistrationFault {
    /// Whether the scopes may be the reason, so that none are worth another try: saying any is
    /// optional (RFC 7591 §2).
    pub fn may_be_the_scopes(&self) -> bool {
        let Self::Refused(code) = self else { return false };
        ["invalid_client_metadata", "invalid_scope"].contains(&code.0.as_str())
    }

    /// Whether the redirect URIs may be the reason, so that fewer of them are worth another try:
    /// servers say it in several ways.
    pub fn may_be_the_redirect(&self) -> bool {
        match self {
            Self::RedirectRefused => true,
            Self::Refused(code) => {
                ["invalid_client_metadata", "invalid_request", "other", "http_400", "http_422"]
                    .contains(&code.0.as_str())
            }
            // A server may stumble over a scheme that it does not expect.
            Self::Unwell(code) => code.0 == "http_500",
            Self::Closed(_) | Self::NotOffered(_) | Self::Busy(_) | Self::Unreadable => false,
        }
    }
}

/// Codes of RFC 7591 §3.2.2 and RFC 6749 §5.2 that may be repeated as they are.
const KNOWN: &[&str] = &[
    "access_denied",
    "invalid_client_metadata",
    "invalid_redirect_uri",
    "invalid_request",
    "invalid_scope",
    "invalid_software_statement",
    "invalid_token",
    "server_error",
    "temporarily_unavailable",
    "too_many_requests",
    "unapproved_software_statement",
    "unauthorized_client",
];

fn refused(error: &str, answer: &Answer) -> RegistrationFault {
    let code = ErrorCode::listed(error, KNOWN);
    match error {
        "invalid_redirect_uri" => RegistrationFault::RedirectRefused,
        "temporarily_unavailable" | "too_many_requests" => {
            RegistrationFault::Busy(answer.retry_after)
        }
        _ if answer.status == 429 => RegistrationFault::Busy(answer.retry_after),
        "server_error" => RegistrationFault::Unwell(code),
        _ if answer.status >= 500 => RegistrationFault::Unwell(code),
        _ if matches!(answer.status, 401 | 403) => RegistrationFault::Closed(code),
        _ if matches!(answer.status, 404 | 405 | 501) => RegistrationFault::NotOffered(code),
        _ => RegistrationFault::Refused(code),
    }
}

fn refused_by_status(answer: &Answer) -> RegistrationFault {
    let code = ErrorCode::http(answer.status);
    match answer.status {
        429 => RegistrationFault::Busy(answer.retry_after),
        503 if answer.retry_after.is_some() => RegistrationFault::Busy(answer.retry_after),
        401 | 403 => RegistrationFault::Closed(code),
        404 | 405 | 410 | 501 => RegistrationFault::NotOffered(code),
        500.. => RegistrationFault::Unwell(code),
        _ => RegistrationFault::Refused(code),
    }
}

/// The answer (RFC 7591 §3.2), success or error.
#[derive(Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "member::name")]
    client_id: Option<String>,
    #[serde(default, deserialize_with = "member::text")]
    client_secret: Option<String>,
    #[serde(default, deserialize_with = "member::number")]
    client_secret_expires_at: Option<u64>,
    #[serde(default, deserialize_with = "member::text")]
    token_endpoint_auth_method: Option<String>,
    #[serde(default, deserialize_with = "member::texts")]
    redirect_uris: Option<Vec<String>>,
    #[serde(default, deserialize_with = "member::text")]
    error: Option<String>,
}

/// What is remembered of a registration of our own; its secret is in the store's entry alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRegistration {
    /// The client id.
    pub client_id: String,
    /// The issuer that gave it: it is never used at another.
    pub issuer: String,
    /// Every redirect URI it has.
    pub redirect_uris: Vec<String>,
    /// How it proves itself, by the name it has in metadata.
    pub method: String,
    /// When its secret ends, if it does.
    pub secret_ends: Option<Wall>,
    /// Its secret, while this is in memory.
    #[serde(skip)]
    pub secret: Option<Secret>,
}

impl OwnRegistration {
    /// Of what this issuer has answered.
    pub(crate) fn of(registered: Registered, issuer: String) -> Self {
        Self {
            client_id: registered.client.id,
            issuer,
            redirect_uris: registered.redirect_uris,
            method: registered.method.name().into(),
            secret_ends: registered.secret_ends,
            secret: registered.client.secret,
        }
    }

    /// Whether it has no secret, so that nothing of it is lost with the store's entry.
    pub fn is_public(&self) -> bool {
        AuthMethod::named(&self.method) == Some(AuthMethod::None)
    }

    pub(crate) fn is_good_at(&self, found: &Discovered, now: Wall) -> bool {
        self.issuer == found.server.issuer
            && self.secret_ends.is_none_or(|end| now + SECRET_MARGIN < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::{discovery::sign_in_tests::discovered, profile::Profiles};

    const SCHEME: &str = "dev.lamplighter:/oauth/callback";
    const LOOPBACK: &str = "http://localhost:3118/callback";

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            content_type: None,
            retry_after: None,
            challenges: vec![],
            location: None,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    fn server(methods: &[&str]) -> AuthorizationServer {
        let mut server = discovered("https://as.example").server;
        server.token_auth_methods = methods.iter().map(|m| (*m).into()).collect();
        server
    }

    fn with<T>(method: AuthMethod, then: impl FnOnce(Registration<'_>) -> T) -> T {
        then(Registration {
            endpoint: "https://as.example/register",
            redirect_uris: &[LOOPBACK.into(), SCHEME.into()],
            scopes: &["a".into(), "b".into()],
            method,
            on_behalf_of: "https://mcp.example/mcp",
        })
    }

    fn read(status: u16, body: &str) -> Result<Registered, RegistrationFault> {
        with(AuthMethod::None, |asked| {
            asked.read(&answer(status, body), &server(&[]), &Profile::default())
        })
    }

    #[test]
    fn the_request_says_all_that_servers_need_to_hear() {
        let request = with(AuthMethod::None, |asked| asked.request());
        let body = serde_json::from_slice::<serde_json::Value>(&request.body).unwrap();
        let expected = serde_json::json!({
            "client_name": "Lamplighter (for Claude Code)",
            "redirect_uris": [LOOPBACK, SCHEME],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
            "scope": "a b",
        });
        assert_eq!(body, expected);
        assert_eq!((request.method, request.follow_redirects), (Method::Post, false));
        let silent =
            with(AuthMethod::Post, |asked| Registration { scopes: &[], ..asked }.request());
        let body = serde_json::from_slice::<serde_json::Value>(&silent.body).unwrap();
        assert_eq!(body.get("scope"), None);
        assert_eq!(body["token_endpoint_auth_method"], "client_secret_post");
    }

    #[test]
    fn a_public_client_is_preferred_and_a_confidential_one_made_where_it_must_be() {
        let choose = |methods: &[&str]| {
            AuthMethod::to_register(&server(methods).token_auth_methods, &Profile::default())
        };
        assert_eq!(choose(&[]), Some(AuthMethod::None));
        assert_eq!(choose(&["client_secret_post", "none"]), Some(AuthMethod::None));
        assert_eq!(choose(&["client_secret_post", "client_secret_basic"]), Some(AuthMethod::Basic));
        assert_eq!(choose(&["client_secret_post"]), Some(AuthMethod::Post));
        assert_eq!(choose(&["private_key_jwt"]), None);
        let secret = Profile { needs_secret: Some(true), ..Profile::default() };
        let choose = |methods: &[&str]| {
            AuthMethod::to_register(&server(methods).token_auth_methods, &secret)
        };
        assert_eq!(choose(&[]), Some(AuthMethod::Basic));
        assert_eq!(choose(&["none", "client_secret_post"]), Some(AuthMethod::Post));
        assert_eq!(choose(&["none"]), None);
    }

    #[test]
    fn an_answer_is_read_at_200_and_201_in_any_shape() {
        let full = read(
            201,
            r#"{"client_id":"c","client_secret":"s","client_secret_expires_at":"1795419739",
                "token_endpoint_auth_method":"client_secret_post","redirect_uris":["http://localhost:3118/callback"]}"#,
        )
        .unwrap();
        assert_eq!(full.client.secret, Some(Secret::new("s")));
        assert_eq!(full.method, AuthMethod::Post);
        assert_eq!(full.secret_ends, Some(Wall(1_795_419_739_000)));
        assert!(full.takes(LOOPBACK) && !full.takes(SCHEME));
        let odd = read(
            200,
            r#"{"client_id":42,"client_secret":null,"client_secret_expires_at":null,
                "token_endpoint_auth_method":null,"redirect_uris":null}"#,
        )
        .unwrap();
        assert_eq!((odd.client.id.as_str(), odd.client.secret.as_ref()), ("42", None));
        assert_eq!((odd.method, odd.secret_ends), (AuthMethod::None, None));
        assert!(odd.takes(LOOPBACK) && odd.takes(SCHEME));
    }

    #[test]
    fn a_secret_that_never_ends_is_always_valid() {
        let with_end = |end: &str| {
            let body = format!(
                r#"{{"client_id":"c","client_secret":"s","client_secret_expires_at":{end}}}"#
            );
            read(201, &body).unwrap()
        };
        for never in ["0", "\"0\"", "null", "-1", "\"soon\"", "[]", "1e300"] {
            assert!(with_end(never).is_still_valid(Wall(i64::MAX)), "{never}");
        }
        let ends = with_end("2000000.9");
        assert!(ends.is_still_valid(Wall(1_000_000_000)));
        assert!(!ends.is_still_valid(Wall(2_000_000_000) - Millis::minutes(5)));
        let without_secret =
            read(201, r#"{"client_id":"c","client_secret_expires_at":1}"#).unwrap();
        assert!(without_secret.is_still_valid(Wall(2_000_000_000)));
    }

    #[test]
    fn a_secret_that_came_unasked_is_used_unless_the_server_means_none() {
        let unasked =
            r#"{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"none"}"#;
        let method = |methods: &[&str], profile: &Profile| {
            with(AuthMethod::None, |asked| {
                asked.read(&answer(201, unasked), &server(methods), profile).unwrap().method
            })
        };
        let plain = Profile::default();
        assert_eq!(method(&["none", "client_secret_post"], &plain), AuthMethod::None);
        assert_eq!(method(&["client_secret_post"], &plain), AuthMethod::Post);
        let profiles = Profiles::default();
        let figma = profiles.of("https://mcp.figma.com/mcp").1;
        assert_eq!(method(&["none"], figma), AuthMethod::Post);
        assert_eq!(
            read(201, r#"{"client_id":"c","client_secret":"s"}"#).unwrap().method,
            AuthMethod::Basic
        );
        let asked = with(AuthMethod::Post, |asked| {
            let body = r#"{"client_id":"c","client_secret":"s"}"#;
            asked.read(&answer(201, body), &server(&[]), &plain).unwrap().method
        });
        assert_eq!(asked, AuthMethod::Post);
    }

    #[test]
    fn a_given_client_proves_itself_as_profile_and_metadata_say() {
        let secret = ClientCredentials { id: "c".into(), secret: Some(Secret::new("s")) };
        let public = ClientCredentials { id: "c".into(), secret: None };
        let post = Profile { auth_method: Some(AuthMethod::Post), ..Profile::default() };
        assert_eq!(AuthMethod::of_given(&secret, &[], &post), AuthMethod::Post);
        assert_eq!(AuthMethod::of_given(&public, &[], &post), AuthMethod::None);
        let plain = Profile::default();
        assert_eq!(AuthMethod::of_given(&secret, &[], &plain), AuthMethod::Basic);
    }

    #[test]
    fn errors_are_definite_and_go_by_their_word_at_any_status() {
        for status in [200, 201, 400, 403, 500] {
            let fault = read(status, r#"{"error":"invalid_redirect_uri"}"#).unwrap_err();
            assert_eq!(fault, RegistrationFault::RedirectRefused);
            assert!(fault.may_be_the_redirect());
        }
        let metadata = read(400, r#"{"error":"invalid_client_metadata"}"#).unwrap_err();
        assert_eq!(
            metadata,
            RegistrationFault::Refused(ErrorCode("invalid_client_metadata".into()))
        );
        assert!(metadata.may_be_the_redirect() && metadata.may_be_the_scopes());
        let unknown = read(400, r#"{"error":"secret xoxe"}"#).unwrap_err();
        assert_eq!(unknown, RegistrationFault::Refused(ErrorCode("other".into())));
        assert!(matches!(read(403, r#"{"error":"x"}"#), Err(RegistrationFault::Closed(_))));
        assert!(matches!(read(429, r#"{"error":"x"}"#), Err(RegistrationFault::Busy(None))));
        assert!(matches!(
            read(400, r#"{"error":"server_error"}"#),
            Err(RegistrationFault::Unwell(_))
        ));
    }

    #[test]
    fn without_a_word_the_status_tells() {
        for (status, body) in
            [(200, "<html>"), (201, "{}"), (201, ""), (200, r#"{"client_id":""}"#)]
        {
            assert_eq!(read(status, body), Err(RegistrationFault::Unreadable), "{status} {body}");
        }
        let doubled = r#"{"client_id":"a","client_id":"b"}"#;
        assert_eq!(read(201, doubled), Err(RegistrationFault::Unreadable));
        assert!(matches!(read(403, "<html>"), Err(RegistrationFault::Closed(_))));
        assert!(matches!(read(404, ""), Err(RegistrationFault::NotOffered(_))));
        assert!(matches!(read(422, "{}"), Err(RegistrationFault::Refused(_))));
        assert!(matches!(read(307, ""), Err(RegistrationFault::Refused(_))));
        assert!(matches!(read(502, ""), Err(RegistrationFault::Unwell(_))));
        let mut busy = answer(503, "");
        busy.retry_after = Some(Millis::seconds(5));
        let fault = with(AuthMethod::None, |a| a.read(&busy, &server(&[]), &Profile::default()));
        assert_eq!(fault, Err(RegistrationFault::Busy(Some(Millis::seconds(5)))));
    }

    #[test]
    fn a_metadata_document_is_used_only_where_it_is_taken_and_is_one() {
        let mut server = server(&[]);
        let url = Some("https://client.example/client.json");
        assert_eq!(metadata_document(url, &server), None);
        server.takes_metadata_documents = true;
        assert_eq!(metadata_document(url, &server), url);
        assert_eq!(metadata_document(None, &server), None);
        for wrong in
            ["https://client.example", "https://client.example/", "http://c.example/x", "x"]
        {
            assert_eq!(metadata_document(Some(wrong), &server), None, "{wrong}");
        }
    }

    #[test]
    fn a_profile_may_know_that_registration_leads_nowhere() {
        let mut server = server(&[]);
        assert_eq!(endpoint(&server, &Profile::default()), None);
        server.registration_endpoint = Some("https://as.example/register".into());
        assert_eq!(endpoint(&server, &Profile::default()), Some("https://as.example/register"));
        let profiles = Profiles::default();
        assert_eq!(endpoint(&server, profiles.of("https://mcp.asana.com/v2/mcp").1), None);
    }

    #[test]
    fn no_secret_is_printed() {
        let registered = read(201, r#"{"client_id":"c","client_secret":"hush"}"#).unwrap();
        assert!(!format!("{registered:?}").contains("hush"));
    }
}
