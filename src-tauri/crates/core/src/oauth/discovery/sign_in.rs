//! Finds where a server signs people in, starting from nothing but its address and its 401.
//!
//! The same documents as for a refresh, and more of what they say: first the server's own
//! (RFC 9728: named by the challenge, at its path, at its root), then the authorization server's
//! (RFC 8414 and OIDC, in the specification's order), then the fixed places of the 2025-03-26
//! text. A document that must not be used is passed over, and its reason is the answer if none can be.

use alloc::{collections::VecDeque, string::String, vec::Vec};

use super::super::{
    challenge::Challenge,
    fault::SignInFault,
    metadata::{
        AuthorizationServer, Demands, ResourceMetadata, ServerDocument, document_request,
        resource_places, server_places,
    },
    url::canonical,
    url::host,
    url::is_plain_issuer,
    url::may_lead_to,
    url::origin,
    url::same_but_slash,
};
use crate::{
    http::{Answer, Fault, PlainHttp, Request},
    oauth::profile::Profile,
};

/// The most authorization servers of one resource that are asked.
const MOST_SERVERS: usize = 4;

/// Where a search starts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start<'a> {
    /// The MCP server.
    pub server_url: &'a str,
    /// The Bearer challenge of its 401.
    pub challenge: Option<&'a Challenge>,
    /// The metadata document that the user configured.
    pub metadata_url: Option<&'a str>,
    /// The authorization server of the last sign-in: taken first where the resource still names it.
    pub recorded: Option<&'a str>,
    /// An issuer that a person has seen and confirmed although it differs from its address.
    pub confirmed_issuer: Option<&'a str>,
    /// Whom the user lets in without TLS.
    pub plain_http: Option<&'a PlainHttp>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// `resource` (RFC 8707): the server's own word for itself, else its address. Whether it is sent
    /// is the profile's matter.
    pub resource: String,
    /// The scopes that the challenge named.
    pub challenge_scopes: Vec<String>,
    /// The scopes that the resource's metadata lists.
    pub resource_scopes: Vec<String>,
    /// Every authorization server that the resource names.
    pub authorization_servers: Vec<String>,
    /// The one that was found.
    pub server: AuthorizationServer,
    /// How it was found.
    pub source: DiscoverySource,
}

/// How an authorization server was found, as a client keeps it to find it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoverySource {
    /// The identifier that the metadata was asked for: the anchor of every later refresh.
    pub authorization_server: String,
    /// Where the resource's metadata was.
    pub resource_metadata_url: Option<String>,
    /// That place came from the challenge.
    pub from_challenge: bool,
    /// There is authorization server metadata.
    pub metadata_found: bool,
    /// The metadata document that the user configured, if that was used.
    pub configured_metadata_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Document {
    /// Protected resource metadata at the challenge's place.
    Challenged,
    /// Protected resource metadata at a place of our own making.
    Resource,
    /// Authorization server metadata.
    Server(Asked),
}

/// Whose metadata is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// The authorization server that the resource named.
    Named(String),
    /// The MCP server's own origin: nobody gave us this identifier.
    OwnOrigin(String),
    /// Whoever's lies at the place that the user configured.
    Configured(String),
}

/// One search, for one sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInDiscovery {
    server_url: String,
    metadata_url: Option<String>,
    recorded: Option<String>,
    vouched_issuers: Vec<String>,
    vouched_resources: Vec<String>,
    s256_vouched: bool,
    challenge_scopes: Vec<String>,
    queue: VecDeque<(String, Document)>,
    /// The resource's metadata with its place, and whether the challenge named it.
    resource: Option<(ResourceMetadata, String, bool)>,
    /// Authorization servers that have not been asked.
    waiting: VecDeque<String>,
    /// Why the first document that was passed over may not be used.
    refused: Option<SignInFault>,
    saw_unwell: bool,
    plain_http: PlainHttp,
}

impl SignInDiscovery {
    /// A search for where `start`'s server signs people in.
    pub fn new(start: Start<'_>, profile: &Profile) -> Self {
        let named = start.challenge.and_then(|c| c.resource_metadata.as_deref());
        let plain_http = start.plain_http.cloned().unwrap_or_default();
        let named = named.filter(|url| may_lead_to(url, start.server_url, &plain_http));
        let mut queue = VecDeque::new();
        queue.extend(named.map(|url| (url.into(), Document::Challenged)));
        for place in resource_places(start.server_url) {
            if named != Some(place.as_str()) {
                queue.push_back((place, Document::Resource));
            }
        }
        let confirmed = start.confirmed_issuer.map(String::from);
        Self {
            server_url: start.server_url.into(),
            metadata_url: start.metadata_url.map(String::from),
            recorded: start.recorded.map(String::from),
            vouched_issuers: profile.issuers.iter().cloned().chain(confirmed).collect(),
            vouched_resources: profile.resources.clone(),
            s256_vouched: profile.s256 == Some(true),
            challenge_scopes: start.challenge.map(|c| c.scopes.clone()).unwrap_or_default(),
            queue,
            resource: None,
            waiting: VecDeque::new(),
            refused: None,
            saw_unwell: false,
            plain_http,
        }
    }

    /// The next document to fetch. `None` at once: the server's address is not one.
    pub fn request(&self) -> Option<Request> {
        let (url, _) = self.queue.front()?;
        Some(document_request(url, &self.server_url))
    }

    /// Takes what came; `None`: ask on with [`SignInDiscovery::request`].
    pub fn answer(
        &mut self,
        answer: Result<&Answer, Fault>,
    ) -> Option<Result<Discovered, SignInFault>> {
        let Some((place, document)) = self.queue.pop_front() else {
            return Some(Err(SignInFault::Nothing));
        };
        let body = match answer {
            Ok(answer) => {
                self.saw_unwell |= answer.status >= 500 || answer.status == 429;
                (answer.status == 200).then_some(answer.body.as_slice())
            }
            // Whatever is this large is no metadata.
            Err(Fault::TooLarge) => None,
            Err(fault) => return self.unanswered(&place, &document, fault),
        };
        match document {
            Document::Challenged | Document::Resource => {
                let from_challenge = document == Document::Challenged;
                match body.and_then(ResourceMetadata::read) {
                    Some(found) => self.follow(found, place, from_challenge),
                    None if self.queue.is_empty() => self.ask_own_origin(),
                    None => None,
                }
            }
            Document::Server(asked) => {
                let found = body.and_then(ServerDocument::read);
                match found.map(|found| self.judge(found, &asked)) {
                    Some(Ok(server)) => Some(Ok(self.discovered(server, &asked))),
                    Some(Err(fault)) => {
                        self.refused.get_or_insert(fault);
                        self.next_server(&asked)
                    }
                    None => self.next_server(&asked),
                }
            }
        }
    }

    /// Nothing came. The other documents lie on the same host, or behind the same network: only
    /// another host is worth asking.
    fn unanswered(
        &mut self,
        place: &str,
        document: &Document,
        fault: Fault,
    ) -> Option<Result<Discovered, SignInFault>> {
        match document {
            Document::Challenged if origin(place) != origin(&self.server_url) => {
                self.saw_unwell |= !matches!(fault, Fault::Forbidden | Fault::PrivateAddress);
                None
            }
            Document::Challenged | Document::Resource => Some(Err(SignInFault::Unreachable)),
            Document::Server(asked) => {
                let (what, host) = ("sign-in server", host(place));
                match fault {
                    Fault::Forbidden => {
                        self.refused.get_or_insert(SignInFault::Address { what, host });
                    }
                    Fault::PrivateAddress => {
                        self.refused.get_or_insert(SignInFault::PrivateAddress { host });
                    }
                    Fault::Dns
                    | Fault::Connect
                    | Fault::Tls
                    | Fault::Cut
                    | Fault::Timeout
                    | Fault::TooLarge => self.saw_unwell = true,
                }
                self.queue.clear();
                self.next_server(asked)
            }
        }
    }

    /// Goes on with what the resource's metadata says.
    fn follow(
        &mut self,
        found: ResourceMetadata,
        place: String,
        from_challenge: bool,
    ) -> Option<Result<Discovered, SignInFault>> {
        let vouched = found.resource.as_ref().is_some_and(|r| self.vouched_resources.contains(r));
        if !vouched && !found.covers(&self.server_url) {
            return Some(Err(SignInFault::ResourceMismatch {
                server: host(&self.server_url),
                named: found.resource.as_deref().map(host).unwrap_or_default(),
            }));
        }
        let mut named = found.authorization_servers.clone();
        // A stable sort: the recorded one first, the rest as the server has them.
        named.sort_by_key(|n| Some(n) != self.recorded.as_ref());
        self.waiting = named.into_iter().take(MOST_SERVERS).collect();
        self.resource = Some((found, place, from_challenge));
        if self.waiting.is_empty() { self.ask_own_origin() } else { self.ask_next() }
    }

    /// The server names no other: it is its own authorization server.
    fn ask_own_origin(&mut self) -> Option<Result<Discovered, SignInFault>> {
        if self.metadata_url.is_some() {
            return self.ask_next();
        }
        let base = origin(&self.server_url).unwrap_or_default();
        let document = Document::Server(Asked::OwnOrigin(base.clone()));
        let places = server_places(&base);
        self.queue = places.into_iter().map(|place| (place, document.clone())).collect();
        self.queue.is_empty().then_some(Err(SignInFault::Nothing))
    }

    /// Asks the configured document, else the next authorization server that may be asked.
    fn ask_next(&mut self) -> Option<Result<Discovered, SignInFault>> {
        if let Some(url) = self.metadata_url.clone() {
            self.waiting.clear();
            if !may_lead_to(&url, &self.server_url, &self.plain_http) {
                let what = "configured metadata";
                return Some(Err(SignInFault::Address { what, host: host(&url) }));
            }
            self.queue = VecDeque::from([(url.clone(), Document::Server(Asked::Configured(url)))]);
            return None;
        }
        while let Some(named) = self.waiting.pop_front() {
            if may_lead_to(&named, &self.server_url, &self.plain_http) && !named.contains('?') {
                let document = Document::Server(Asked::Named(named.clone()));
                let places = server_places(&named);
                self.queue = places.into_iter().map(|place| (place, document.clone())).collect();
                return None;
            }
            let what = "sign-in server";
            self.refused.get_or_insert(SignInFault::Address { what, host: host(&named) });
        }
        let refused = self.refused.take();
        Some(Err(refused.unwrap_or(if self.saw_unwell {
            SignInFault::Unreachable
        } else {
            SignInFault::Nothing
        })))
    }

    /// Whether a document may be used, and what a sign-in takes from it.
    fn judge(
        &self,
        found: ServerDocument,
        asked: &Asked,
    ) -> Result<AuthorizationServer, SignInFault> {
        let (asked, said) = match asked {
            Asked::Named(asked) => (asked, found.issuer.clone()),
            // Servers of the 2025-03-26 text need not name themselves, and the slash is ours.
            Asked::OwnOrigin(asked) => match &found.issuer {
                Some(said) if same_but_slash(said, asked) => (said, found.issuer.clone()),
                Some(_) => (asked, found.issuer.clone()),
                None => (asked, Some(asked.clone())),
            },
            // The user named this very document.
            Asked::Configured(url) => match &found.issuer {
                Some(said) => (said, found.issuer.clone()),
                None => (url, None),
            },
        };
        let asked = asked.clone();
        let issuer = said.filter(|issuer| is_plain_issuer(issuer));
        let issuer = issuer.ok_or(SignInFault::Incomplete { what: "issuer" })?;
        if issuer != asked && !self.vouched_issuers.contains(&issuer) {
            return Err(SignInFault::IssuerMismatch { asked, issuer });
        }
        let demands = Demands {
            server_url: &self.server_url,
            s256_vouched: self.s256_vouched,
            plain_http: &self.plain_http,
        };
        found.checked(issuer, demands)
    }

    /// This document is none. The next, the next server, or the end.
    fn next_server(&mut self, asked: &Asked) -> Option<Result<Discovered, SignInFault>> {
        if !self.queue.is_empty() {
            return None;
        }
        let has_own_word = self.refused.is_some() || self.saw_unwell || self.metadata_url.is_some();
        let base = match asked {
            Asked::OwnOrigin(base) => Some(base.clone()),
            Asked::Named(named) => {
                origin(named).filter(|o| Some(o) == origin(&self.server_url).as_ref())
            }
            Asked::Configured(_) => None,
        };
        // Nothing anywhere: the 2025-03-26 text puts the endpoints at fixed places of the server's
        // own origin, but only a server that answered may be taken at that word.
        let fixed = base.filter(|_| !has_own_word && self.waiting.is_empty()).and_then(|base| {
            AuthorizationServer::at_fixed_places(&base, &self.server_url, &self.plain_http)
        });
        if let Some(mut server) = fixed {
            if let Asked::Named(named) = asked {
                server.issuer.clone_from(named);
            }
            return Some(Ok(self.discovered(server, asked)));
        }
        self.metadata_url = None;
        self.ask_next()
    }

    fn discovered(&self, server: AuthorizationServer, asked: &Asked) -> Discovered {
        let (authorization_server, configured_metadata_url) = match asked {
            Asked::Named(named) => (named.clone(), None),
            Asked::OwnOrigin(_) => (server.issuer.clone(), None),
            Asked::Configured(url) => (server.issuer.clone(), Some(url.clone())),
        };
        let document = self.resource.as_ref().map(|(document, ..)| document);
        Discovered {
            resource: document
                .and_then(|d| d.resource.clone())
                .unwrap_or_else(|| canonical(&self.server_url)),
            challenge_scopes: self.challenge_scopes.clone(),
            resource_scopes: document.map(|d| d.scopes.clone()).unwrap_or_default(),
            authorization_servers: document
                .map(|d| d.authorization_servers.clone())
                .unwrap_or_default(),
            source: DiscoverySource {
                authorization_server,
                resource_metadata_url: self.resource.as_ref().map(|(_, url, _)| url.clone()),
                from_challenge: self.resource.as_ref().is_some_and(|(.., named)| *named),
                metadata_found: server.published,
                configured_metadata_url,
            },
            server,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
