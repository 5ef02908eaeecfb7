//! The two documents that say where a server signs in, and what may be taken from them: protected
//! resource metadata (RFC 9728) and authorization server metadata (RFC 8414, OIDC discovery).
//!
//! A document that names an endpoint which nobody should be led to is refused here, before anyone
//! could be. Read next: [`super::discovery`] for the search that reads them.

use alloc::{format, string::String, vec, vec::Vec};

use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::{
    challenge::each_once,
    fault::SignInFault,
    url::{bare_of_user, host, may_lead_to, origin, split},
    wire::member,
};
use crate::{
    http::{Method, PlainHttp, Request},
    oauth::pin::Pin,
};

/// Authorization server metadata (RFC 8414 §2), as far as it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// `issuer`, byte for byte.
    pub issuer: String,
    /// `token_endpoint`.
    pub token_endpoint: String,
    /// `revocation_endpoint` (RFC 7009).
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// `token_endpoint_auth_methods_supported`; empty where the document has none.
    #[serde(default, rename = "token_endpoint_auth_methods_supported")]
    pub token_auth_methods: Vec<String>,
}

/// The protocol version named on discovery requests, as the 2025-03-26 text asks.
const PROTOCOL_VERSION: &str = "2025-11-25";

/// A request for a metadata document.
pub(super) fn document_request(url: &str, on_behalf_of: &str) -> Request {
    let header = |name: &str, value: &str| (name.into(), Zeroizing::new(value.into()));
    Request {
        method: Method::Get,
        url: url.into(),
        headers: vec![
            header("accept", "application/json"),
            header("mcp-protocol-version", PROTOCOL_VERSION),
        ],
        body: Zeroizing::new(Vec::new()),
        on_behalf_of: on_behalf_of.into(),
        follow_redirects: true,
    }
}

/// The places of a protected resource's metadata (RFC 9728 §3.1): with its path, then at the root.
pub(super) fn resource_places(server_url: &str) -> Vec<String> {
    let Some((base, path)) = split(server_url) else {
        return Vec::new();
    };
    let root = format!("{base}/.well-known/oauth-protected-resource");
    if path.is_empty() { vec![root] } else { vec![format!("{root}{path}"), root] }
}

/// The places of an authorization server's metadata, in the specification's order.
pub(super) fn server_places(issuer: &str) -> Vec<String> {
    let Some((base, path)) = split(issuer) else {
        return Vec::new();
    };
    if path.is_empty() {
        vec![
            format!("{base}/.well-known/oauth-authorization-server"),
            format!("{base}/.well-known/openid-configuration"),
        ]
    } else {
        vec![
            format!("{base}/.well-known/oauth-authorization-server{path}"),
            format!("{base}/.well-known/openid-configuration{path}"),
            format!("{base}{path}/.well-known/openid-configuration"),
        ]
    }
}

/// Protected resource metadata (RFC 9728 §2), as far as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourceMetadata {
    /// `resource`, byte for byte.
    pub(super) resource: Option<String>,
    /// `authorization_servers`, in their order.
    pub(super) authorization_servers: Vec<String>,
    /// `scopes_supported`.
    pub(super) scopes: Vec<String>,
}

impl ResourceMetadata {
    /// Reads a document. `None` where it is something else: HTML, or JSON about another matter.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default, deserialize_with = "member::text")]
            resource: Option<String>,
            #[serde(default, deserialize_with = "member::texts")]
            authorization_servers: Option<Vec<String>>,
            #[serde(default, deserialize_with = "member::texts")]
            scopes_supported: Option<Vec<String>>,
        }
        let wire = serde_json::from_slice::<Wire>(body).ok()?;
        if wire.resource.is_none() && wire.authorization_servers.is_none() {
            return None;
        }
        let scopes = wire.scopes_supported.unwrap_or_default();
        Some(Self {
            resource: wire.resource,
            authorization_servers: wire.authorization_servers.unwrap_or_default(),
            scopes: each_once(scopes.iter().map(String::as_str)),
        })
    }

    /// Whether the document speaks for the server at `server_url` (RFC 9728 §3.3): the same origin,
    /// and its path or one above it. Many servers name their origin alone. One that names nothing
    /// was found at the server's own place.
    pub(super) fn covers(&self, server_url: &str) -> bool {
        let Some(resource) = &self.resource else { return true };
        if resource == server_url {
            return true;
        }
        let (Ok(resource), Ok(server)) = (Url::parse(resource), Url::parse(server_url)) else {
            return false;
        };
        let above = resource.path().trim_end_matches('/');
        let below = server.path().strip_prefix(above);
        resource.origin().is_tuple()
            && resource.origin() == server.origin()
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && (resource.query().is_none() || resource.query() == server.query())
            && resource.fragment().is_none()
            && bare_of_user(&resource)
    }
}

/// Authorization server metadata (RFC 8414 §2), as a sign-in needs it. Every endpoint in it may be
/// used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationServer {
    /// `issuer`, byte for byte.
    pub issuer: String,
    /// `authorization_endpoint`.
    pub authorization_endpoint: String,
    /// `token_endpoint`.
    pub token_endpoint: String,
    /// `registration_endpoint` (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// `revocation_endpoint` (RFC 7009).
    pub revocation_endpoint: Option<String>,
    /// `code_challenge_methods_supported`.
    pub code_challenge_methods: Vec<String>,
    /// `token_endpoint_auth_methods_supported`; empty where the document has none.
    pub token_auth_methods: Vec<String>,
    /// `grant_types_supported`; empty where the document has none.
    pub grant_types: Vec<String>,
    /// `scopes_supported`; empty where the document has none.
    pub scopes: Vec<String>,
    /// `client_id_metadata_document_supported`.
    pub takes_metadata_documents: bool,
    /// `authorization_response_iss_parameter_supported` (RFC 9207): a callback without `iss` is
    /// refused.
    pub always_names_itself: bool,
    /// A document says so; false where the 2025-03-26 text's fixed places stand in for one.
    pub published: bool,
}

/// A document as it came.
#[derive(Deserialize)]
pub(super) struct ServerDocument {
    #[serde(default, deserialize_with = "member::text")]
    pub(super) issuer: Option<String>,
    #[serde(default, deserialize_with = "member::text")]
    authorization_endpoint: Option<String>,
    #[serde(default, deserialize_with = "member::text")]
    token_endpoint: Option<String>,
    #[serde(default, deserialize_with = "member::text")]
    registration_endpoint: Option<String>,
    #[serde(default, deserialize_with = "member::text")]
    revocation_endpoint: Option<String>,
    #[serde(default, deserialize_with = "member::texts")]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "member::texts")]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "member::texts")]
    grant_types_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "member::texts")]
    scopes_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "member::flag")]
    client_id_metadata_document_supported: bool,
    #[serde(default, deserialize_with = "member::flag")]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default, deserialize_with = "member::flag")]
    require_pushed_authorization_requests: bool,
}

/// What a document is held to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demands<'a> {
    /// The MCP server: plain HTTP is for loopback, and only where the server itself is there.
    pub(super) server_url: &'a str,
    /// The profile says that the server does PKCE although it does not say so.
    pub(super) s256_vouched: bool,
    /// Whom the user lets in without TLS.
    pub(super) plain_http: &'a PlainHttp,
}

impl ServerDocument {
    /// Reads a document. `None` where it is something else.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let document = serde_json::from_slice::<Self>(body).ok()?;
        let speaks = document.issuer.is_some()
            || document.authorization_endpoint.is_some()
            || document.token_endpoint.is_some();
        speaks.then_some(document)
    }

    /// What a sign-in may use of it, as `issuer`.
    pub(super) fn checked(
        self,
        issuer: String,
        demands: Demands<'_>,
    ) -> Result<AuthorizationServer, SignInFault> {
        let endpoint = |what: &'static str, url: Option<String>| {
            let url = url.ok_or(SignInFault::Incomplete { what })?;
            if may_lead_to(&url, demands.server_url, demands.plain_http) {
                Ok(url)
            } else {
                Err(SignInFault::Address { what, host: host(&url) })
            }
        };
        let optional = |url: Option<String>| {
            url.filter(|u| may_lead_to(u, demands.server_url, demands.plain_http))
        };
        let server = AuthorizationServer {
            issuer,
            authorization_endpoint: endpoint("sign-in page", self.authorization_endpoint)?,
            token_endpoint: endpoint("token endpoint", self.token_endpoint)?,
            registration_endpoint: optional(self.registration_endpoint),
            revocation_endpoint: optional(self.revocation_endpoint),
            code_challenge_methods: self.code_challenge_methods_supported.unwrap_or_default(),
            token_auth_methods: self.token_endpoint_auth_methods_supported.unwrap_or_default(),
            grant_types: self.grant_types_supported.unwrap_or_default(),
            scopes: self.scopes_supported.unwrap_or_default(),
            takes_metadata_documents: self.client_id_metadata_document_supported,
            always_names_itself: self.authorization_response_iss_parameter_supported,
            published: true,
        };
        if !demands.s256_vouched && !server.code_challenge_methods.iter().any(|m| m == "S256") {
            return Err(SignInFault::NoS256);
        }
        if self.require_pushed_authorization_requests {
            return Err(SignInFault::PushedRequests);
        }
        Ok(server)
    }
}

impl AuthorizationServer {
    /// The endpoints of a server that publishes nothing, where the 2025-03-26 text puts them.
    /// `None` where `base` is no address to lead anyone to.
    pub(super) fn at_fixed_places(
        base: &str,
        server_url: &str,
        plain_http: &PlainHttp,
    ) -> Option<Self> {
        may_lead_to(base, server_url, plain_http).then(|| Self {
            issuer: base.into(),
            authorization_endpoint: format!("{base}/authorize"),
            token_endpoint: format!("{base}/token"),
            registration_endpoint: Some(format!("{base}/register")),
            revocation_endpoint: None,
            code_challenge_methods: Vec::new(),
            token_auth_methods: Vec::new(),
            grant_types: Vec::new(),
            scopes: Vec::new(),
            takes_metadata_documents: false,
            always_names_itself: false,
            published: false,
        })
    }

    /// What a later refresh needs of it.
    pub fn for_refresh(&self) -> ServerMetadata {
        ServerMetadata {
            issuer: self.issuer.clone(),
            token_endpoint: self.token_endpoint.clone(),
            revocation_endpoint: self.revocation_endpoint.clone(),
            token_auth_methods: self.token_auth_methods.clone(),
        }
    }

    /// Where this sign-in's refresh token may go from now on.
    pub fn pin(&self) -> Pin {
        Pin {
            issuer: self.issuer.clone(),
            token_origin: origin(&self.token_endpoint).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://mcp.example/a/mcp";

    fn resource(resource: &str) -> ResourceMetadata {
        let body = format!(r#"{{"resource":"{resource}","authorization_servers":[]}}"#);
        ResourceMetadata::read(body.as_bytes()).unwrap()
    }

    fn server(members: &str) -> Result<AuthorizationServer, SignInFault> {
        let body = format!(
            r#"{{"issuer":"https://as.example","authorization_endpoint":"https://as.example/a",
                "token_endpoint":"https://as.example/t"{members}}}"#
        );
        let document = ServerDocument::read(body.as_bytes()).unwrap();
        let plain_http = &PlainHttp::default();
        let demands = Demands { server_url: SERVER, s256_vouched: false, plain_http };
        document.checked("https://as.example".into(), demands)
    }

    const S256: &str = r#","code_challenge_methods_supported":["plain","S256"]"#;

    #[test]
    fn a_resource_speaks_for_its_own_origin_at_or_below_its_path() {
        for fine in [
            "https://mcp.example/a/mcp",
            "https://mcp.example/a/mcp/",
            "https://mcp.example/a",
            "https://mcp.example",
            "https://MCP.example:443/",
        ] {
            assert!(resource(fine).covers(SERVER), "{fine}");
        }
        for wrong in [
            "https://mcp.example/a/mc",
            "https://mcp.example/b",
            "https://mcp.example/a/mcp/x",
            "https://mcp.example.evil/a/mcp",
            "https://evil.example/a/mcp",
            "http://mcp.example/a/mcp",
            "https://mcp.example:8443/a/mcp",
            "https://mcp.example@evil.example/a/mcp",
            "https://u@mcp.example/a/mcp",
            "https://mcp.example/a/mcp?tenant=2",
            "https://mcp.example/a/mcp#x",
            "https://mcp.example/%61/mcp",
            "urn:mcp",
            "not a url",
        ] {
            assert!(!resource(wrong).covers(SERVER), "{wrong}");
        }
        assert!(resource("https://m.example/x?t=1").covers("https://m.example/x?t=1"));
        let silent = ResourceMetadata::read(br#"{"authorization_servers":["https://a"]}"#).unwrap();
        assert!(silent.covers(SERVER));
    }

    #[test]
    fn documents_are_read_leniently_and_a_doubled_member_is_refused() {
        let lenient = ResourceMetadata::read(
            br#"{"resource":null,"authorization_servers":"https://a https://b",
                "scopes_supported":["r",7,"r","w x","w"],"other":{}}"#,
        )
        .unwrap();
        assert_eq!(lenient.authorization_servers, ["https://a", "https://b"]);
        assert_eq!((lenient.resource, lenient.scopes), (None, vec!["r".into(), "w".into()]));
        for other in ["<html>", "{}", "[]", "", "null", r#"{"resource":1}"#] {
            assert_eq!(ResourceMetadata::read(other.as_bytes()), None, "{other}");
        }
        let doubled = br#"{"resource":"https://a","resource":"https://b"}"#;
        assert_eq!(ResourceMetadata::read(doubled), None);
        let doubled = br#"{"issuer":"https://a","token_endpoint":"x","issuer":"https://b"}"#;
        assert!(ServerDocument::read(doubled).is_none());
        let nested = "[".repeat(100_000);
        assert!(ServerDocument::read(nested.as_bytes()).is_none());
    }

    #[test]
    fn everything_a_sign_in_needs_is_taken() {
        let found = server(&format!(
            r#"{S256},"registration_endpoint":"https://as.example/r","revocation_endpoint":null,
            "token_endpoint_auth_methods_supported":["none"],"scopes_supported":["a","offline_access"],
            "grant_types_supported":["authorization_code"],"client_id_metadata_document_supported":true,
            "authorization_response_iss_parameter_supported":"true""#
        ))
        .unwrap();
        assert_eq!(found.registration_endpoint.as_deref(), Some("https://as.example/r"));
        assert_eq!((found.revocation_endpoint.as_ref(), found.published), (None, true));
        assert!(found.takes_metadata_documents && found.always_names_itself);
        assert_eq!(found.scopes, ["a", "offline_access"]);
        assert_eq!(found.for_refresh().token_auth_methods, ["none"]);
        assert_eq!(found.pin().token_origin, "https://as.example");
    }

    #[test]
    fn without_s256_or_with_pushed_requests_it_is_refused() {
        assert_eq!(server(""), Err(SignInFault::NoS256));
        let plain = r#","code_challenge_methods_supported":["plain"]"#;
        assert_eq!(server(plain), Err(SignInFault::NoS256));
        let pushed = format!(r#"{S256},"require_pushed_authorization_requests":true"#);
        assert_eq!(server(&pushed), Err(SignInFault::PushedRequests));
    }

    #[test]
    fn nobody_is_led_to_an_address_that_is_not_a_sign_in_page() {
        for url in [
            "javascript:alert(1)//https://as.example",
            "java\nscript:alert(1)",
            " https://as.example/a",
            "https://as.example/a\n",
            "https:\\\\as.example",
            "data:text/html,x",
            "file:///etc/passwd",
            "http://as.example/a",
            "http://127.0.0.1/a",
            "http://localhost.evil.example/a",
            "https://as.example@evil.example/",
            "https://as.example/a#fragment",
            "//as.example/a",
            "https:",
            "vscode://as.example",
            "",
        ] {
            assert!(!may_lead_to(url, SERVER, &PlainHttp::default()), "{url:?}");
        }
        assert!(may_lead_to("https://as.example/a?x=1", SERVER, &PlainHttp::default()));
        for here in ["http://127.0.0.1:9/a", "http://[::1]:9/a", "http://localhost:9/a"] {
            assert!(may_lead_to(here, "http://127.0.0.1:8/mcp", &PlainHttp::default()), "{here}");
        }
        assert!(!may_lead_to(
            "http://192.168.0.1/a",
            "http://127.0.0.1:8/mcp",
            &PlainHttp::default()
        ));
        let evil =
            r#","registration_endpoint":"file:///r","revocation_endpoint":"http://as.example/v""#;
        let found = server(&format!("{S256}{evil}")).unwrap();
        assert_eq!((found.registration_endpoint, found.revocation_endpoint), (None, None));
    }
}
