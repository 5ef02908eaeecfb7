//! The browser's part: the authorization URL that leaves (RFC 6749 §4.1.1, RFC 7636, RFC 8707) and
//! the callback that comes back (§4.1.2, RFC 9207).
//!
//! A callback may come from anyone who can open a URL on this machine. It is routed by its `state`
//! and nothing else, and what it says cannot be looked at before its issuer was judged: the outcome
//! is private until [`Callback::open`].

use alloc::{
    borrow::{Cow, ToOwned},
    format,
    string::String,
    vec::Vec,
};
use core::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2::{
    AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    basic::BasicClient,
};
use sha2::{Digest, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::{metadata::AuthorizationServer, scopes::OFFLINE_ACCESS, token::ErrorCode};
use crate::{
    http::{Method, Request},
    oauth::profile::Profile,
    secret::Secret,
};

/// The private-use scheme's redirect URI (RFC 8252 §7.1).
pub const SCHEME_REDIRECT: &str = "dev.lamplighter:/oauth/callback";

/// The longest callback that is read, in bytes.
const LONGEST_CALLBACK: usize = 16 * 1024;

/// What of a request is ours alone to say; neither an endpoint's own query nor a profile may.
const OURS: &[&str] = &[
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "request",
    "request_uri",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// Bytes from the operating system's random source, for one attempt and never again.
#[derive(Clone, PartialEq, Eq)]
pub struct Entropy(pub Zeroizing<[u8; 64]>);

impl Entropy {
    /// Takes the bytes in.
    pub fn new(bytes: [u8; 64]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[entropy]")
    }
}

/// What proves that a callback and its code belong to one attempt: `state` and the PKCE verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    state: Secret,
    verifier: Secret,
}

impl Proof {
    /// A new proof: 32 bytes for `state`, 32 for the verifier.
    pub fn new(entropy: &Entropy) -> Self {
        let (state, verifier) = entropy.0.split_at(32);
        Self {
            state: Secret::new(URL_SAFE_NO_PAD.encode(state)),
            verifier: Secret::new(URL_SAFE_NO_PAD.encode(verifier)),
        }
    }

    /// The proof of the other way of one attempt, of its own so that neither answer can stand for the
    /// other's: from the same bytes by a one-way step.
    pub fn another(entropy: &Entropy) -> Self {
        Self::derived(entropy, b"lamplighter another way", 0)
    }

    /// A proof for the preflight's question number `question`, which nobody will ever exchange: from
    /// the same bytes by a one-way step, so that it tells nothing of the real one.
    pub fn throw_away(entropy: &Entropy, question: u8) -> Self {
        Self::derived(entropy, b"lamplighter preflight", question)
    }

    fn derived(entropy: &Entropy, what_for: &[u8], number: u8) -> Self {
        let part = |label: u8| {
            let seed = Sha256::new()
                .chain_update(what_for)
                .chain_update([number, label])
                .chain_update(entropy.0.as_slice());
            Secret::new(URL_SAFE_NO_PAD.encode(seed.finalize()))
        };
        Self { state: part(0), verifier: part(1) }
    }

    /// The PKCE verifier (RFC 7636 §4.1), for the code exchange.
    pub const fn verifier(&self) -> &Secret {
        &self.verifier
    }

    /// `state`, as the callback must bring it back.
    pub const fn state(&self) -> &Secret {
        &self.state
    }
}

/// What an authorization request is made of.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// Where the person signs in.
    pub server: &'a AuthorizationServer,
    /// The client.
    pub client_id: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// The scopes; empty: `scope` is not sent.
    pub scopes: &'a [String],
    /// The search's `resource`. Sent unless the profile says otherwise.
    pub resource: &'a str,
    /// What this provider does differently.
    pub profile: &'a Profile,
}

/// The authorization endpoint can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthorization {
    /// It, or the redirect URI, is not a URL.
    #[error("the sign-in page's or the redirect's address is not a URL")]
    NotAUrl,
    /// Its query already says what only this program may say.
    #[error("the sign-in page's address already holds a parameter of the request")]
    Occupied,
}

impl Authorization<'_> {
    /// The URL for the browser. Secret, because it holds `state`: it goes only to who began the flow.
    pub fn url(&self, proof: &Proof) -> Result<Secret, BadAuthorization> {
        let endpoint = AuthUrl::new(self.server.authorization_endpoint.clone())
            .map_err(|_| BadAuthorization::NotAUrl)?;
        if !matches!(endpoint.url().scheme(), "https" | "http") {
            return Err(BadAuthorization::NotAUrl);
        }
        let redirect =
            RedirectUrl::new(self.redirect_uri.into()).map_err(|_| BadAuthorization::NotAUrl)?;
        let said: Vec<String> =
            endpoint.url().query_pairs().map(|(name, _)| name.into_owned()).collect();
        if said.iter().any(|name| OURS.contains(&name.as_str())) {
            return Err(BadAuthorization::Occupied);
        }
        let client = BasicClient::new(ClientId::new(self.client_id.into()))
            .set_auth_uri(endpoint)
            .set_redirect_uri(redirect);
        let verifier = PkceCodeVerifier::new(proof.verifier.expose().into());
        let mut request = client
            .authorize_url(|| CsrfToken::new(proof.state.expose().into()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new));
        if self.profile.send_resource != Some(false) {
            request = request.add_extra_param("resource", Cow::Borrowed(self.resource));
        }
        for (name, value) in self.more() {
            if !said.iter().any(|s| s == name) {
                request = request.add_extra_param(Cow::Borrowed(name), Cow::Borrowed(value));
            }
        }
        let (url, _) = request.url();
        Ok(Secret::new(String::from(url)))
    }

    /// A throw-away request for the same page, to see what it answers: own proof, no cookies, no
    /// redirects followed. Never log its URL.
    pub fn preflight(
        &self,
        proof: &Proof,
        on_behalf_of: &str,
    ) -> Result<Request, BadAuthorization> {
        let header = |name: &str, value: &str| (name.into(), Zeroizing::new(value.into()));
        Ok(Request {
            method: Method::Get,
            url: self.url(proof)?.expose().into(),
            headers: Vec::from([header("accept", "text/html, */*")]),
            body: Zeroizing::new(Vec::new()),
            on_behalf_of: on_behalf_of.into(),
            follow_redirects: false,
        })
    }

    /// What the provider wants besides. `offline_access` without a consent page is ignored
    /// (OIDC Core §11), unless the provider is known to mind the page.
    fn more(&self) -> impl Iterator<Item = (&str, &str)> {
        let params = &self.profile.authorize_params;
        let offline = self.scopes.iter().any(|scope| scope == OFFLINE_ACCESS);
        let consent =
            offline && self.profile.consent_prompt != Some(false) && !params.contains_key("prompt");
        let theirs = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        theirs
            .filter(|(name, _)| !OURS.contains(name))
            .chain(consent.then_some(("prompt", "consent")))
    }
}

/// What came back from a browser.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    state: Secret,
    issuer: Option<String>,
    outcome: Outcome,
}

#[derive(Clone, PartialEq, Eq)]
enum Outcome {
    Code(Secret),
    Error(ErrorCode),
}

impl fmt::Debug for Callback {
    /// Only that there is one: neither its code, its state nor its error may be read unjudged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

/// A callback that cannot belong to any attempt. It is dropped, and the attempts go on waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackFault {
    /// `state`, `code`, `iss` or `error` stands twice.
    #[error("the callback says the same thing twice")]
    Doubled,
    /// There is no `state`.
    #[error("the callback does not say which sign-in it belongs to")]
    NoState,
    /// Neither `code` nor `error`, or both.
    #[error("the callback says neither yes nor no")]
    NoOutcome,
    /// Longer than any callback.
    #[error("the callback is too long")]
    TooLong,
}

/// Why an attempt's own callback brings no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackRefused {
    /// `iss` is missing where the server promised it, or is another's: what the callback says may be
    /// somebody else's word, so none of it is shown (RFC 9207 §2.4).
    #[error("the answer in the browser came from another sign-in server")]
    Issuer,
    /// The server says no.
    #[error("the sign-in server refused ({})", .0.0)]
    Server(ErrorCode),
}

impl CallbackRefused {
    /// Whether the person (or who decides for them) said no, so that nothing is wrong.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Server(code) if code.0 == "access_denied")
    }
}

impl Callback {
    /// Reads the query of a callback. Unknown parameters are ignored.
    pub fn read(query: &str) -> Result<Self, CallbackFault> {
        if query.len() > LONGEST_CALLBACK {
            return Err(CallbackFault::TooLong);
        }
        let (mut state, mut code, mut issuer, mut error) = (None, None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut state,
                "code" => &mut code,
                "iss" => &mut issuer,
                "error" => &mut error,
                _ => continue,
            };
            if place.replace(Zeroizing::new(value.into_owned())).is_some() {
                return Err(CallbackFault::Doubled);
            }
        }
        let filled = |value: Option<Zeroizing<String>>| value.filter(|v| !v.is_empty());
        let state = filled(state).ok_or(CallbackFault::NoState)?;
        let outcome = match (filled(code), filled(error)) {
            (Some(code), None) => Outcome::Code(Secret::new(code.as_str())),
            (None, Some(error)) => Outcome::Error(ErrorCode::of_callback(&error)),
            (Some(_), Some(_)) | (None, None) => return Err(CallbackFault::NoOutcome),
        };
        Ok(Self {
            state: Secret::new(state.as_str()),
            issuer: issuer.map(|issuer| issuer.as_str().to_owned()),
            outcome,
        })
    }

    /// Reads what a person pasted: the whole URL from the browser's address line, or its query.
    pub fn read_pasted(text: &str) -> Result<Self, CallbackFault> {
        let text = text.trim();
        let before_fragment = text.split('#').next().unwrap_or_default();
        let query = match before_fragment.split_once('?') {
            Some((_, query)) => query,
            None => before_fragment,
        };
        Self::read(query)
    }

    /// Whether this belongs to the attempt with `proof`; compared in constant time.
    pub fn is_for(&self, proof: &Proof) -> bool {
        self.state == proof.state
    }

    /// The code, if the attempt's own server sent it (RFC 9207 §2.4). To be called only for the
    /// attempt that [`Callback::is_for`] named; `server` is what that attempt began with.
    pub fn open(self, server: &AuthorizationServer) -> Result<Secret, CallbackRefused> {
        let its_own = match &self.issuer {
            Some(issuer) => *issuer == server.issuer,
            None => !server.always_names_itself,
        };
        if !its_own {
            return Err(CallbackRefused::Issuer);
        }
        match self.outcome {
            Outcome::Code(code) => Ok(code),
            Outcome::Error(error) => Err(CallbackRefused::Server(error)),
        }
    }
}

/// The loopback redirect URI for a port; the client programs know exactly this form.
pub fn loopback_redirect(port: u16) -> String {
    format!("http://localhost:{port}/callback")
}

/// The port of a loopback redirect URI, if it is one that this machine can listen for.
pub fn loopback_port(redirect_uri: &str) -> Option<u16> {
    let url = Url::parse(redirect_uri).ok()?;
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    (url.scheme() == "http" && here).then(|| url.port_or_known_default()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oauth::{discovery::sign_in_tests::discovered, profile::Profiles};

    fn server() -> AuthorizationServer {
        discovered("https://as.example").server
    }

    fn proof(byte: u8) -> Proof {
        Proof::new(&Entropy::new([byte; 64]))
    }

    fn url_with(
        server: &AuthorizationServer,
        profile: &Profile,
        scopes: &[&str],
    ) -> Result<Url, BadAuthorization> {
        let scopes: Vec<String> = scopes.iter().map(|s| (*s).into()).collect();
        let authorization = Authorization {
            server,
            client_id: "cl &1",
            redirect_uri: "dev.lamplighter:/oauth/callback",
            scopes: &scopes,
            resource: "https://mcp.example/mcp",
            profile,
        };
        authorization.url(&proof(7)).map(|url| Url::parse(url.expose()).unwrap())
    }

    fn pairs(url: &Url) -> Vec<(String, String)> {
        let mut pairs: Vec<_> =
            url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        pairs.sort();
        pairs
    }

    fn value(url: &Url, name: &str) -> Option<String> {
        let mut values = url.query_pairs().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, v)| v.into_owned());
        assert_eq!(values.next(), None, "{name} stands twice");
        value
    }

    #[test]
    fn the_request_holds_all_that_the_specification_asks() {
        let url = url_with(&server(), &Profile::default(), &["a", "b"]).unwrap();
        let proof = proof(7);
        let expected = [
            ("client_id", "cl &1"),
            // SHA-256 of 43 signs, from another implementation.
            ("code_challenge", "3Ev4DHdHPRMPoN6GukAY_pi7IUAF5qWJHRK6kURvnoE"),
            ("code_challenge_method", "S256"),
            ("redirect_uri", "dev.lamplighter:/oauth/callback"),
            ("resource", "https://mcp.example/mcp"),
            ("response_type", "code"),
            ("scope", "a b"),
            ("state", proof.state().expose()),
        ];
        let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        assert_eq!(pairs(&url), expected);
        assert_eq!(proof.verifier().expose().len(), 43);
    }

    #[test]
    fn the_challenge_is_the_one_of_rfc_7636() {
        let verifier = PkceCodeVerifier::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(
            PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn state_and_verifier_are_different_and_never_printed() {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let (one, other) = (Proof::new(&Entropy::new(bytes)), proof(0));
        assert_ne!(one.state(), other.state());
        assert_eq!(one.verifier(), other.verifier());
        assert_eq!(format!("{:?}", Entropy::new(bytes)), "[entropy]");
        assert!(!format!("{one:?}").contains(one.state().expose()));
    }

    #[test]
    fn a_throw_away_proof_is_like_no_other() {
        let entropy = Entropy::new([7; 64]);
        let all = [
            Proof::new(&entropy),
            Proof::throw_away(&entropy, 0),
            Proof::throw_away(&entropy, 1),
            Proof::throw_away(&Entropy::new([8; 64]), 0),
        ];
        let mut texts: Vec<&str> =
            all.iter().flat_map(|p| [p.state().expose(), p.verifier().expose()]).collect();
        assert!(texts.iter().all(|text| text.len() == 43));
        texts.sort_unstable();
        texts.dedup();
        // The first proof's halves are the same here, because its entropy is.
        assert_eq!(texts.len(), 7);
        assert_eq!(Proof::throw_away(&entropy, 1), all[2]);
    }

    #[test]
    fn the_endpoints_own_query_stays_and_may_not_speak_for_us() {
        let at = |endpoint: &str| {
            let server =
                AuthorizationServer { authorization_endpoint: endpoint.into(), ..server() };
            url_with(&server, &Profile::default(), &[])
        };
        let url = at("https://as.example/a?tenant=1%262&empty=").unwrap();
        assert_eq!(value(&url, "tenant").as_deref(), Some("1&2"));
        assert_eq!(value(&url, "empty").as_deref(), Some(""));
        assert_eq!(value(&url, "scope"), None);
        for name in ["state", "redirect_uri", "%73tate", "client_id", "resource", "request_uri"] {
            let url = at(&format!("https://as.example/a?{name}=evil"));
            assert_eq!(url, Err(BadAuthorization::Occupied), "{name}");
        }
        for endpoint in ["javascript:alert(1)", "file:///a", "data:text/html,a", "", "/a"] {
            assert_eq!(at(endpoint), Err(BadAuthorization::NotAUrl), "{endpoint}");
        }
    }

    #[test]
    fn a_consent_page_is_asked_for_with_offline_access() {
        let profiles = Profiles::default();
        let prompt = |profile: &Profile, scopes: &[&str]| {
            value(&url_with(&server(), profile, scopes).unwrap(), "prompt")
        };
        let plain = Profile::default();
        assert_eq!(prompt(&plain, &["a", OFFLINE_ACCESS]).as_deref(), Some("consent"));
        assert_eq!(prompt(&plain, &["a"]), None);
        let entra = profiles.of("https://mcp.dev.azure.com/x").1;
        assert_eq!(prompt(entra, &["a", OFFLINE_ACCESS]), None);
        let google = profiles.of("https://drive.googleapis.com/mcp").1;
        assert_eq!(prompt(google, &["a", OFFLINE_ACCESS]).as_deref(), Some("consent"));
    }

    #[test]
    fn a_profile_adds_parameters_and_replaces_none_of_ours() {
        let profiles = Profiles::default();
        let google = profiles.of("https://drive.googleapis.com/mcp").1;
        let url = url_with(&server(), google, &[]).unwrap();
        assert_eq!(value(&url, "access_type").as_deref(), Some("offline"));
        let entra = profiles.of("https://mcp.dev.azure.com/x").1;
        assert_eq!(value(&url_with(&server(), entra, &[]).unwrap(), "resource"), None);
        let evil = [("state", "x"), ("redirect_uri", "https://evil.example"), ("audience", "a")];
        let evil = Profile {
            authorize_params: evil.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..Profile::default()
        };
        let url = url_with(&server(), &evil, &[]).unwrap();
        assert_eq!(value(&url, "state").as_deref(), Some(proof(7).state().expose()));
        assert_eq!(value(&url, "audience").as_deref(), Some("a"));
        let own = AuthorizationServer {
            authorization_endpoint: "https://as.example/a?audience=own".into(),
            ..server()
        };
        assert_eq!(value(&url_with(&own, &evil, &[]).unwrap(), "audience").as_deref(), Some("own"));
    }

    #[test]
    fn a_preflight_follows_nothing_and_brings_no_cookie() {
        let (server, profile) = (server(), Profile::default());
        let authorization = Authorization {
            server: &server,
            client_id: "c",
            redirect_uri: "http://localhost:3118/callback",
            scopes: &[],
            resource: "r",
            profile: &profile,
        };
        let request = authorization.preflight(&proof(1), "https://mcp.example").unwrap();
        assert!(!request.follow_redirects && request.body.is_empty());
        assert!(!request.headers.iter().any(|(name, _)| name == "cookie"));
        assert!(request.url.contains("redirect_uri=http%3A%2F%2Flocalhost%3A3118%2Fcallback"));
    }

    fn state_of(byte: u8) -> String {
        proof(byte).state().expose().into()
    }

    fn opened(query: &str, server: &AuthorizationServer) -> Result<Secret, CallbackRefused> {
        Callback::read(query).unwrap().open(server)
    }

    #[test]
    fn a_callback_is_routed_by_its_state_alone() {
        let query = format!("x=1&code=c%2B1&state={}&session_state=2&x=3", state_of(1));
        let callback = Callback::read(&query).unwrap();
        assert!(callback.is_for(&proof(1)));
        assert!(!callback.is_for(&proof(2)));
        assert_eq!(callback.open(&server()), Ok(Secret::new("c+1")));
        let cut = &state_of(1)[1..];
        assert!(!Callback::read(&format!("code=c&state={cut}")).unwrap().is_for(&proof(1)));
    }

    #[test]
    fn what_stands_twice_is_refused_however_it_is_written() {
        for query in [
            "state=a&code=b&state=a",
            "state=a&code=b&%73tate=a",
            "state=a&code=b&code=b",
            "state=a&error=b&error=c",
            "state=a&code=b&iss=x&is%73=x",
            "state=&state=a&code=b",
        ] {
            assert_eq!(Callback::read(query), Err(CallbackFault::Doubled), "{query}");
        }
    }

    #[test]
    fn a_callback_needs_a_state_and_one_outcome() {
        for query in ["", "code=c", "state=&code=c", "State=a&code=c", "state[]=a&code=c"] {
            assert_eq!(Callback::read(query), Err(CallbackFault::NoState), "{query}");
        }
        for query in ["state=a", "state=a&code=", "state=a&code=c&error=e", "state=a&error="] {
            assert_eq!(Callback::read(query), Err(CallbackFault::NoOutcome), "{query}");
        }
        let long = format!("state=a&code={}", "c".repeat(LONGEST_CALLBACK));
        assert_eq!(Callback::read(&long), Err(CallbackFault::TooLong));
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        let quiet = server();
        let naming = AuthorizationServer { always_names_itself: true, ..server() };
        let own = "state=a&code=c&iss=https%3A%2F%2Fas.example";
        for server in [&quiet, &naming] {
            assert_eq!(opened(own, server), Ok(Secret::new("c")));
            for wrong in [
                "https://as.example/",
                "https://AS.example",
                "https://as.example:443",
                "https%253A%252F%252Fas.example",
                "https://evil.example",
                "null",
                "",
            ] {
                let query = format!("state=a&code=c&iss={wrong}");
                assert_eq!(opened(&query, server), Err(CallbackRefused::Issuer), "{wrong}");
            }
        }
        assert_eq!(opened("state=a&code=c", &quiet), Ok(Secret::new("c")));
        assert_eq!(opened("state=a&code=c", &naming), Err(CallbackRefused::Issuer));
    }

    #[test]
    fn an_error_from_another_issuer_is_never_seen() {
        let naming = AuthorizationServer { always_names_itself: true, ..server() };
        for query in [
            "state=a&error=access_denied&error_description=evil",
            "state=a&error=access_denied&iss=https://evil.example",
        ] {
            let refused = opened(query, &naming).unwrap_err();
            assert_eq!(refused, CallbackRefused::Issuer);
            assert!(!refused.is_denial());
        }
    }

    #[test]
    fn an_error_is_told_by_its_known_code_and_never_by_its_description() {
        let error = |error: &str| {
            let query = format!("state=a&error={error}&error_description=xoxe-secret&error_uri=u");
            opened(&query, &server()).unwrap_err()
        };
        assert!(error("access_denied").is_denial());
        assert_eq!(
            error("invalid_scope"),
            CallbackRefused::Server(ErrorCode("invalid_scope".into()))
        );
        assert_eq!(error("<b>call+us</b>"), CallbackRefused::Server(ErrorCode("other".into())));
        assert!(!error("invalid_scope").to_string().contains("xoxe"));
    }

    #[test]
    fn a_pasted_address_is_read_whole_or_by_its_query() {
        let expected = Callback::read("code=c&state=s").unwrap();
        for pasted in [
            "  http://localhost:3118/callback?code=c&state=s\n",
            "dev.lamplighter:/oauth/callback?code=c&state=s#_=_",
            "code=c&state=s",
            "?code=c&state=s",
        ] {
            assert_eq!(Callback::read_pasted(pasted), Ok(expected.clone()), "{pasted}");
        }
        assert_eq!(Callback::read_pasted("http://localhost:3118/"), Err(CallbackFault::NoState));
    }

    #[test]
    fn a_callback_prints_nothing_of_itself() {
        let callback = Callback::read("code=hush&state=quiet&iss=loud").unwrap();
        assert_eq!(format!("{callback:?}"), "Callback { .. }");
    }

    #[test]
    fn loopback_redirects_have_one_form_and_any_port() {
        assert_eq!(loopback_redirect(3118), "http://localhost:3118/callback");
        assert_eq!(loopback_port("http://localhost:3118/callback"), Some(3118));
        assert_eq!(loopback_port("http://127.0.0.1/x"), Some(80));
        assert_eq!(loopback_port("http://[::1]:9/"), Some(9));
        for other in
            ["https://localhost:1/", "http://localhost.evil.example:1/", "dev.lamplighter:/x", ""]
        {
            assert_eq!(loopback_port(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_harm(query in ".{0,200}") {
            let _ = Callback::read(&query);
            let _ = Callback::read_pasted(&query);
        }

        #[test]
        fn a_code_survives_its_way(code in "[ -~]{1,60}") {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs([("state", "s"), ("code", &code)])
                .finish();
            prop_assert_eq!(opened(&query, &server()), Ok(Secret::new(code)));
        }
    }
}
