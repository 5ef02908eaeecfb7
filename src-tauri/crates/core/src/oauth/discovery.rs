//! Finds the token endpoint of a grant's own authorization server, and says whether it may be trusted.
//!
//! One pure sub-machine: [`Discovery::request`] names the next document, [`Discovery::answer`] takes
//! what came. It must never lead a refresh token to a server that the sign-in did not name: see
//! [`trust`] and `SECURITY.md`. A sign-in begins with less and asks for more: [`SignInDiscovery`].

use alloc::{collections::VecDeque, format, string::String, vec::Vec};

use super::{
    fault::DiscoveryFault,
    metadata::{
        ResourceMetadata, ServerMetadata, document_request, resource_places, server_places,
    },
    url::{host, is_plain_issuer, origin, same_but_slash},
};
use crate::{
    http::{Answer, Fault, Request},
    oauth::{pin::Pin, profile::Profile},
    store::Entry,
};

mod sign_in;

#[cfg(test)]
pub(crate) use sign_in::tests as sign_in_tests;
pub use sign_in::{Discovered, DiscoverySource, SignInDiscovery, Start};

/// Where a search starts.
#[derive(Debug, Clone, Copy)]
pub struct Anchor<'a> {
    /// The MCP server.
    pub server_url: &'a str,
    /// The authorization server that the client signed in at.
    pub authorization_server: Option<&'a str>,
    /// The metadata document that the client recorded. It must fit the recorded server too: a client
    /// rewrites it by the configuration of whatever folder it was started in.
    pub metadata_url: Option<&'a str>,
    /// The metadata document that the user configured. It must fit the recorded server.
    pub configured_url: Option<&'a str>,
}

impl<'a> Anchor<'a> {
    /// What an entry records, and what is configured for it.
    pub fn of(entry: &'a Entry) -> Self {
        let recorded = entry.authorization_server.as_deref();
        Self {
            server_url: &entry.server_url,
            authorization_server: recorded.or(entry.issuer.as_deref()),
            metadata_url: entry.metadata_url.as_deref(),
            configured_url: entry.sign_in.metadata_url.as_deref(),
        }
    }

    /// The first thing that is asked. What was found from another one says nothing about this entry: a
    /// person may have signed in elsewhere since, under the same name.
    pub fn beginning(&self) -> &'a str {
        let document = self.configured_url.or(self.metadata_url);
        document.or(self.authorization_server).unwrap_or(self.server_url)
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The metadata.
    pub metadata: ServerMetadata,
    /// The issuer identifier that was asked for, or that the document has to fit; `None` where the
    /// document itself was named and nothing was recorded.
    pub asked: Option<String>,
    /// No document says so: these are the fixed places of the 2025-03-26 text.
    pub guessed: bool,
    /// The document lies at another host than the server it speaks for, so that its word for its
    /// issuer proves nothing about its endpoints.
    pub foreign: bool,
}

impl ServerMetadata {
    /// Where tokens are given back (RFC 7009). It is not pinned by itself, so it has to lie where the
    /// issuer or the token endpoint does; `Err`: it does not.
    pub fn revocation_at_home(&self, pin: &Pin) -> Result<Option<&str>, Elsewhere> {
        let Some(endpoint) = &self.revocation_endpoint else { return Ok(None) };
        let there = origin(endpoint);
        let at_home = there.is_some()
            && (there == origin(&pin.issuer) || there.as_ref() == Some(&pin.token_origin));
        if at_home { Ok(Some(endpoint)) } else { Err(Elsewhere) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Document {
    /// Protected resource metadata (RFC 9728).
    Resource,
    /// Authorization server metadata of this issuer.
    Server { asked: String },
    /// Authorization server metadata that the user configured or the entry names; with the recorded
    /// server that it has to fit, where one is recorded.
    Named { recorded: Option<String> },
}

/// One search, for one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    server_url: String,
    queue: VecDeque<(String, Document)>,
    vouched: Vec<String>,
    trusted: Vec<String>,
    /// That the server was unwell, and how long it asked to be left alone.
    unwell: Option<DiscoveryFault>,
}

impl Discovery {
    /// A search for the token endpoint of an existing grant. `trusted`: new hosts that a person has
    /// seen and trusts; another one than these is not followed.
    pub fn for_refresh(anchor: Anchor<'_>, profile: &Profile, trusted: &[String]) -> Self {
        let queue = if let Some(url) = anchor.configured_url.or(anchor.metadata_url) {
            let recorded = anchor.authorization_server.map(String::from);
            VecDeque::from([(url.into(), Document::Named { recorded })])
        } else if let Some(issuer) = anchor.authorization_server {
            server_documents(issuer)
        } else {
            resource_documents(anchor.server_url)
        };
        Self {
            server_url: anchor.server_url.into(),
            queue,
            vouched: profile.issuers.iter().chain(&profile.token_origins).cloned().collect(),
            trusted: trusted.to_vec(),
            unwell: None,
        }
    }

    /// The next document to fetch. A queue that ran dry has been answered with an end.
    pub fn request(&self) -> Option<Request> {
        let (url, _) = self.queue.front()?;
        Some(document_request(url, &self.server_url))
    }

    /// Takes what came; `None`: ask on with [`Discovery::request`].
    pub fn answer(
        &mut self,
        answer: Result<&Answer, Fault>,
    ) -> Option<Result<Found, DiscoveryFault>> {
        let (place, document) = self.queue.pop_front()?;
        // The other documents lie on the same host, or behind the same network.
        let answer = match answer {
            Ok(answer) => answer,
            Err(Fault::PrivateAddress) => {
                return Some(Err(DiscoveryFault::PrivateAddress { host: host(&place) }));
            }
            Err(Fault::Forbidden) => return Some(Err(DiscoveryFault::Nothing)),
            Err(_) => return Some(Err(DiscoveryFault::Unreachable)),
        };
        if answer.status >= 500 || answer.status == 429 {
            let before = match self.unwell {
                Some(DiscoveryFault::Unwell { retry_after }) => retry_after,
                _ => None,
            };
            let retry_after = before.max(answer.retry_after);
            self.unwell = Some(DiscoveryFault::Unwell { retry_after });
        }
        let readable = answer.status == 200;
        let metadata = || {
            let metadata = serde_json::from_slice::<ServerMetadata>(&answer.body).ok();
            metadata.filter(|found| readable && is_plain_issuer(&found.issuer))
        };
        match document {
            Document::Server { asked } => {
                if let Some(metadata) = metadata() {
                    let asked = Some(asked);
                    return Some(Ok(Found { metadata, asked, guessed: false, foreign: false }));
                }
                self.queue.is_empty().then(|| self.nothing_found(asked))
            }
            Document::Named { recorded: asked } => Some(match metadata() {
                Some(metadata) => {
                    let at = |url: &str| origin(url).is_some() && origin(url) == origin(&place);
                    let at_home = asked.as_deref().is_none_or(at) || at(&metadata.issuer);
                    Ok(Found { metadata, asked, guessed: false, foreign: !at_home })
                }
                None => Err(self.unwell.take().unwrap_or(DiscoveryFault::Nothing)),
            }),
            Document::Resource => {
                let named = readable.then(|| first_server(&answer.body)).flatten();
                if let Some(named) = named {
                    return self.follow(&named).err().map(Err);
                }
                if self.queue.is_empty() {
                    // A server of the 2025-03-26 text: it is its own authorization server.
                    self.queue = server_documents(&origin(&self.server_url).unwrap_or_default());
                }
                None
            }
        }
    }

    /// Goes on with the authorization server that the resource named, if nothing recorded speaks
    /// for another.
    fn follow(&mut self, named: &str) -> Result<(), DiscoveryFault> {
        let own = origin(named).is_some() && origin(named) == origin(&self.server_url);
        if own
            || self.trusted.contains(&host(named))
            || self.vouched.iter().any(|v| v == named || origin(v) == origin(named))
        {
            self.queue = server_documents(named);
            return Ok(());
        }
        Err(DiscoveryFault::Elsewhere { server: host(&self.server_url), other: host(named) })
    }

    /// No document anywhere: the 2025-03-26 text puts the endpoints at fixed places, but only a
    /// server that answered may be taken at that word.
    fn nothing_found(&self, issuer: String) -> Result<Found, DiscoveryFault> {
        if let Some(unwell) = &self.unwell {
            return Err(unwell.clone());
        }
        let base = origin(&issuer).ok_or(DiscoveryFault::Nothing)?;
        Ok(Found {
            metadata: ServerMetadata {
                issuer: issuer.clone(),
                token_endpoint: format!("{base}/token"),
                revocation_endpoint: None,
                token_auth_methods: Vec::new(),
            },
            asked: Some(issuer),
            guessed: true,
            foreign: false,
        })
    }
}

/// An endpoint that lies at another host than what is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elsewhere;

/// Whether a refresh token may go where the metadata says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Yes, and from now on only there.
    Fine(Pin),
    /// Not before a person has seen both hosts.
    Approval {
        /// The host known so far.
        known: String,
        /// The host it would go to now.
        now: String,
    },
}

/// Judges what a search found against what the sign-in recorded, the pin, the profile and the names
/// that a person was shown and trusts: exactly those, and nobody else who answers in their place.
pub fn trust(
    found: &Found,
    recorded_issuer: Option<&str>,
    pin: Option<&Pin>,
    profile: &Profile,
    trusted: &[String],
) -> Trust {
    let approval = |known: String, now: String| {
        if trusted.contains(&now) { None } else { Some(Trust::Approval { known, now }) }
    };
    let metadata = &found.metadata;
    let token_origin = origin(&metadata.token_endpoint).unwrap_or_default();
    let here = Pin { issuer: metadata.issuer.clone(), token_origin: token_origin.clone() };
    if let Some(pin) = pin {
        if *pin == here {
            return Trust::Fine(here);
        }
        let moved = pin.token_origin != here.token_origin;
        let asked = if moved {
            approval(host(&pin.token_origin), host(&token_origin))
        } else {
            approval(pin.issuer.clone(), here.issuer.clone())
        };
        return asked.unwrap_or(Trust::Fine(here));
    }
    let vouched = profile.issuers.contains(&metadata.issuer);
    let as_recorded = recorded_issuer.is_none_or(|r| same_but_slash(r, &metadata.issuer));
    let as_asked = match &found.asked {
        Some(asked) => *asked == metadata.issuer,
        // This very document was named.
        None => true,
    };
    let exact = as_asked || recorded_issuer == Some(metadata.issuer.as_str());
    let slash_only = found.asked.as_ref().is_some_and(|a| same_but_slash(a, &metadata.issuer));
    let asked_origin = found.asked.as_deref().and_then(origin);
    let at_home = asked_origin.as_deref() == Some(token_origin.as_str());
    let listed = profile.token_origins.contains(&token_origin);
    if !vouched && !(as_recorded && (exact || slash_only)) {
        let known = recorded_issuer.or(found.asked.as_deref()).map(host).unwrap_or_default();
        if let Some(asked) = approval(known, host(&metadata.issuer)) {
            return asked;
        }
        // The issuer is trusted now, its own host with it, and no further one at its word.
        if origin(&metadata.issuer).as_deref() == Some(token_origin.as_str()) {
            return Trust::Fine(here);
        }
    }
    // What an issuer publishes at its own host is its word. Elsewhere anybody may write its name.
    let published = !found.foreign && (vouched || (exact && as_recorded));
    let at_issuer = origin(&metadata.issuer).as_deref() == Some(token_origin.as_str());
    if at_home || at_issuer || listed || published {
        return Trust::Fine(here);
    }
    let known = found.asked.as_deref().map(host).unwrap_or_default();
    approval(known, host(&token_origin)).unwrap_or(Trust::Fine(here))
}

/// Whether a pin was made for another server than the one that the entry records, which answered for
/// itself and takes the token itself: earlier versions let a repository's document be pinned. The record is
/// the anchor.
pub fn is_pinned_elsewhere(
    found: &Found,
    anchor: Anchor<'_>,
    issuer: Option<&str>,
    pin: &Pin,
) -> bool {
    let Some(recorded) = anchor.authorization_server else { return false };
    let metadata = &found.metadata;
    let home = origin(recorded);
    let is_its_own = same_but_slash(recorded, &metadata.issuer)
        && issuer.is_none_or(|issuer| same_but_slash(issuer, &metadata.issuer))
        && origin(&metadata.token_endpoint) == home;
    let is_elsewhere = origin(&pin.issuer) != home && Some(&pin.token_origin) != home.as_ref();
    home.is_some() && is_its_own && is_elsewhere && !found.guessed && !found.foreign
}

/// The places of an authorization server's metadata, as documents to ask for.
fn server_documents(issuer: &str) -> VecDeque<(String, Document)> {
    let document = Document::Server { asked: issuer.into() };
    server_places(issuer).into_iter().map(|place| (place, document.clone())).collect()
}

/// The places of a protected resource's metadata, as documents to ask for.
fn resource_documents(server_url: &str) -> VecDeque<(String, Document)> {
    resource_places(server_url).into_iter().map(|place| (place, Document::Resource)).collect()
}

fn first_server(body: &[u8]) -> Option<String> {
    ResourceMetadata::read(body)?.authorization_servers.into_iter().next()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

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

    fn metadata(issuer: &str) -> String {
        format!(r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/t","x":1}}"#)
    }

    /// Runs a search against `site`, a function from URL to status and body; returns the end and the
    /// URLs asked, in order.
    fn search(
        anchor: Anchor<'_>,
        site: impl Fn(&str) -> (u16, String),
    ) -> (Result<Found, DiscoveryFault>, Vec<String>) {
        let mut discovery = Discovery::for_refresh(anchor, &Profile::default(), &[]);
        let mut asked = vec![];
        while let Some(request) = discovery.request() {
            let (status, body) = site(&request.url);
            asked.push(request.url);
            if let Some(end) = discovery.answer(Ok(&answer(status, &body))) {
                return (end, asked);
            }
        }
        (Err(DiscoveryFault::Nothing), asked)
    }

    fn at(authorization_server: &str) -> Anchor<'_> {
        Anchor {
            server_url: "https://mcp.example/mcp",
            authorization_server: Some(authorization_server),
            metadata_url: None,
            configured_url: None,
        }
    }

    const BARE: Anchor<'_> = Anchor {
        server_url: "https://mcp.example/mcp",
        authorization_server: None,
        metadata_url: None,
        configured_url: None,
    };

    #[test]
    fn an_issuer_with_a_path_is_looked_for_in_three_places_in_order() {
        let (end, asked) = search(at("https://as.example/t/1/"), |_| (404, String::new()));
        assert_eq!(
            asked,
            [
                "https://as.example/.well-known/oauth-authorization-server/t/1",
                "https://as.example/.well-known/openid-configuration/t/1",
                "https://as.example/t/1/.well-known/openid-configuration",
            ]
        );
        assert_eq!(end.unwrap().metadata.token_endpoint, "https://as.example/token");
    }

    #[test]
    fn html_with_200_is_not_metadata() {
        let (end, asked) = search(at("https://as.example"), |url| {
            if url.ends_with("openid-configuration") {
                (200, metadata("https://as.example"))
            } else {
                (200, "<html>".into())
            }
        });
        assert_eq!(asked.len(), 2);
        assert_eq!(end.unwrap().metadata.token_endpoint, "https://as.example/t");
    }

    #[test]
    fn an_unwell_server_is_not_taken_for_an_old_one() {
        let (end, _) = search(at("https://as.example"), |_| (502, String::new()));
        assert_eq!(end, Err(DiscoveryFault::Unwell { retry_after: None }));
        let mut discovery =
            Discovery::for_refresh(at("https://as.example"), &Profile::default(), &[]);
        let end = discovery.answer(Err(Fault::Dns));
        assert_eq!(end, Some(Err(DiscoveryFault::Unreachable)));
    }

    #[test]
    fn without_an_anchor_only_the_servers_own_origin_is_followed() {
        let resource = |named: &str| format!(r#"{{"authorization_servers":["{named}"]}}"#);
        let (end, asked) = search(BARE, |url| {
            if url.ends_with("oauth-protected-resource/mcp") {
                (404, String::new())
            } else if url.contains("protected-resource") {
                (200, resource("https://mcp.example"))
            } else {
                (200, metadata("https://mcp.example"))
            }
        });
        assert_eq!(asked.len(), 3);
        assert_eq!(end.unwrap().asked.as_deref(), Some("https://mcp.example"));
        let (end, _) = search(BARE, |_| (200, resource("https://evil.example")));
        assert!(matches!(end, Err(DiscoveryFault::Elsewhere { .. })));
    }

    #[test]
    fn a_server_without_any_metadata_is_its_own_authorization_server() {
        let (end, asked) = search(BARE, |_| (404, String::new()));
        assert_eq!(asked.len(), 4);
        assert_eq!(end.unwrap().metadata.token_endpoint, "https://mcp.example/token");
    }

    fn found(asked: &str, issuer: &str, token_endpoint: &str) -> Found {
        Found {
            metadata: ServerMetadata {
                issuer: issuer.into(),
                token_endpoint: token_endpoint.into(),
                revocation_endpoint: None,
                token_auth_methods: vec![],
            },
            asked: Some(asked.into()),
            guessed: false,
            foreign: false,
        }
    }

    fn judged(found: &Found, recorded: Option<&str>, pin: Option<&Pin>) -> bool {
        matches!(trust(found, recorded, pin, &Profile::default(), &[]), Trust::Fine(_))
    }

    #[test]
    fn an_issuer_that_matches_may_have_its_token_endpoint_elsewhere() {
        let other_host = found("https://as.example", "https://as.example", "https://t.example/t");
        assert!(judged(&other_host, None, None));
        let trailing = found("https://as.example/", "https://as.example", "https://as.example/t");
        assert!(judged(&trailing, None, None));
        let trailing_elsewhere =
            found("https://as.example/", "https://as.example", "https://t.example/t");
        assert!(!judged(&trailing_elsewhere, None, None));
    }

    #[test]
    fn another_issuer_needs_the_record_the_profile_or_a_person() {
        let slack = found(
            "https://mcp.slack.com",
            "https://slack.com",
            "https://slack.com/api/oauth.v2.user.access",
        );
        assert!(!judged(&slack, None, None));
        assert!(judged(&slack, Some("https://slack.com"), None));
        let profiles = crate::oauth::profile::Profiles::default();
        let profile = profiles.of("https://mcp.slack.com/mcp").1;
        assert!(matches!(trust(&slack, None, None, profile, &[]), Trust::Fine(_)));
        let recorded_otherwise =
            found("https://as.example", "https://as.example", "https://as.example/t");
        assert!(!judged(&recorded_otherwise, Some("https://old.example"), None));
    }

    #[test]
    fn a_pin_is_held_to_the_byte() {
        let pin =
            Pin { issuer: "https://as.example".into(), token_origin: "https://as.example".into() };
        let same = found("https://as.example", "https://as.example", "https://as.example/new");
        assert!(judged(&same, None, Some(&pin)));
        let moved = found("https://as.example", "https://as.example", "https://evil.example/t");
        assert_eq!(
            trust(&moved, None, Some(&pin), &Profile::default(), &[]),
            Trust::Approval { known: "as.example".into(), now: "evil.example".into() }
        );
        let renamed = found("https://as.example/", "https://as.example/", "https://as.example/t");
        assert!(!judged(&renamed, None, Some(&pin)));
    }

    /// What a configured document at `place` comes to, for a sign-in that recorded `https://as.example`.
    fn configured(place: &str, issuer: &str, token_endpoint: &str) -> Trust {
        let anchor = Anchor { configured_url: Some(place), ..at("https://as.example") };
        let (end, asked) = search(anchor, |_| {
            (200, format!(r#"{{"issuer":"{issuer}","token_endpoint":"{token_endpoint}"}}"#))
        });
        assert_eq!(asked, [place]);
        trust(&end.unwrap(), None, None, &Profile::default(), &[])
    }

    #[test]
    fn a_configured_document_must_fit_the_recorded_server() {
        let own = "https://as.example/.well-known/other";
        let fine = configured(own, "https://as.example", "https://t.example/t");
        assert!(matches!(fine, Trust::Fine(_)), "{fine:?}");
        let now = |place: &str, issuer: &str, token: &str| match configured(place, issuer, token) {
            Trust::Approval { known, now } => {
                assert_eq!(known, "as.example");
                Some(now)
            }
            Trust::Fine(_) => None,
        };
        let evil = "https://evil.example/m";
        let said = "evil.example";
        assert_eq!(
            now(evil, "https://evil.example", "https://evil.example/t").as_deref(),
            Some(said)
        );
        // Anybody may write the recorded issuer's name into a document of their own.
        assert_eq!(
            now(evil, "https://as.example", "https://evil.example/t").as_deref(),
            Some(said)
        );
        assert_eq!(now(evil, "https://as.example", "https://as.example/t"), None);
    }

    #[test]
    fn a_configured_document_that_is_gone_is_not_replaced_by_a_guess() {
        let anchor =
            Anchor { configured_url: Some("https://docs.example/m"), ..at("https://as.example") };
        let (end, _) = search(anchor, |_| (404, String::new()));
        assert_eq!(end, Err(DiscoveryFault::Nothing));
        let (end, _) = search(anchor, |_| (503, String::new()));
        assert_eq!(end, Err(DiscoveryFault::Unwell { retry_after: None }));
    }

    #[test]
    fn an_issuer_of_the_profile_claimed_elsewhere_opens_no_other_host() {
        let profiles = crate::oauth::profile::Profiles::default();
        let profile = profiles.of("https://mcp.slack.com/mcp").1;
        let claimed = Found {
            foreign: true,
            ..found("https://mcp.slack.com", "https://slack.com", "https://evil.example/t")
        };
        let judged = trust(&claimed, None, None, profile, &[]);
        assert!(matches!(judged, Trust::Approval { now, .. } if now == "evil.example"));
    }

    #[test]
    fn a_trusted_name_is_good_for_itself_alone() {
        let profile = Profile::default();
        let judge = |found: &Found, recorded: Option<&str>, trusted: &[&str]| {
            let trusted: Vec<String> = trusted.iter().map(|&name| name.into()).collect();
            match trust(found, recorded, None, &profile, &trusted) {
                Trust::Fine(_) => None,
                Trust::Approval { now, .. } => Some(now),
            }
        };
        // The old place names another issuer, and a token endpoint at a third host.
        let old = Some("https://old.example");
        let moved = found("https://old.example", "https://new.example", "https://third.example/t");
        assert_eq!(judge(&moved, old, &[]).as_deref(), Some("new.example"));
        assert_eq!(judge(&moved, old, &["new.example"]).as_deref(), Some("third.example"));
        assert_eq!(judge(&moved, old, &["third.example"]).as_deref(), Some("new.example"));
        assert_eq!(judge(&moved, old, &["new.example", "third.example"]), None);
        let whole = found("https://old.example", "https://new.example", "https://new.example/t");
        assert_eq!(judge(&whole, old, &["new.example"]), None);
        assert_eq!(judge(&whole, old, &["other.example"]).as_deref(), Some("new.example"));
    }
}
