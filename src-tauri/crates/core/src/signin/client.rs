//! Whose name the consent page shows: which OAuth client a sign-in uses.
//!
//! The order is the MCP specification's with one addition: registered by hand in the client program's
//! configuration, a Client ID Metadata Document, our own registration for this very entry, a new one,
//! and last the one that the entry has, on its exact redirect. No other program's client is ever
//! shipped.

use alloc::string::String;

use super::SignInRequest;
use crate::{
    oauth::{
        auth_method::AuthMethod,
        authorize::loopback_port as port_of,
        discovery::Discovered,
        metadata::AuthorizationServer,
        profile::Profile,
        registration::{OwnRegistration, RegistrationFault, metadata_document},
        url::{host, origin, same_but_slash},
    },
    store::ClientCredentials,
    time::Wall,
};

/// The registration that the store's entry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRegistration {
    /// The client.
    pub client: ClientCredentials,
    /// Its redirect URI, where the entry tells.
    pub redirect_uri: Option<String>,
    /// The issuer that gave it, where the entry tells.
    pub issuer: Option<String>,
    /// The authorization server that was asked then, where the entry tells.
    pub authorization_server: Option<String>,
}

impl EntryRegistration {
    /// Whether what was found is who gave it. An older entry names nobody: then a client without a
    /// secret has nothing to lose, and one with it goes to the MCP server's own origin alone.
    fn is_of(&self, request: &SignInRequest, found: &Discovered) -> bool {
        match (&self.issuer, &self.authorization_server) {
            (Some(issuer), _) => *issuer == found.server.issuer,
            (None, Some(asked)) => {
                *asked == found.source.authorization_server || *asked == found.server.issuer
            }
            (None, None) => {
                let own = origin(&request.server_url);
                self.client.secret.is_none() || origin(&found.server.token_endpoint) == own
            }
        }
    }

    /// What it names as who gave it.
    fn giver(&self) -> Option<&str> {
        self.issuer.as_deref().or(self.authorization_server.as_deref())
    }
}

/// Whose name a consent page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Lamplighter's.
    Ours,
    /// That of the client program, or of an app that the user made for it.
    Clients,
}

/// The client of one attempt.
#[derive(Debug, Clone)]
pub(super) enum Client {
    /// Made by hand, or by the client program: it has one redirect URI.
    Given {
        client: ClientCredentials,
        /// Byte for byte, where it is known.
        redirect_uri: Option<String>,
        /// Its secret stands in the user's configuration and is not written anywhere else.
        configured: bool,
    },
    /// A Client ID Metadata Document.
    Document {
        url: String,
    },
    OwnRegistration(OwnRegistration),
}

/// How a sign-in gets its client.
#[derive(Debug, Clone)]
pub(super) enum Choice {
    Known(Client),
    /// It is to be registered, to prove itself by this method.
    Register(AuthMethod),
}

/// The client to sign in with; `None`: this server takes only clients that it knows.
pub(super) fn choose(request: &SignInRequest, found: &Discovered, now: Wall) -> Option<Choice> {
    if let Some(client) = &request.configured {
        let fixed = request.profile.redirect_uri.clone();
        let stored = request.stored.as_ref().filter(|stored| stored.client.id == client.id);
        let stored = stored.and_then(|stored| stored.redirect_uri.clone());
        let configured = request.callback_port.map(crate::oauth::authorize::loopback_redirect);
        let redirect_uri = configured.or(fixed).or(stored);
        let client = Client::Given { client: client.clone(), redirect_uri, configured: true };
        return Some(Choice::Known(client));
    }
    if let Some(url) = metadata_document(request.metadata_document.as_deref(), &found.server) {
        return Some(Choice::Known(Client::Document { url: url.into() }));
    }
    let kept = request.kept.clone().filter(|kept| kept.is_good_at(found, now));
    let asked = |kept: &OwnRegistration| {
        let own = kept.redirect_uris.iter().find_map(|uri| port_of(uri));
        request.port.is_none_or(|port| own == Some(port))
    };
    if let Some(kept) = kept.filter(asked) {
        return Some(Choice::Known(Client::OwnRegistration(kept)));
    }
    to_register(request, found).or_else(|| stored(request, found).map(Choice::Known))
}

/// Who the configured client was used with before, if what was found is somebody else: an app that
/// was made at one sign-in server is nobody's at another, and its secret is not for that one's ears.
pub(super) fn configured_elsewhere<'a>(
    request: &'a SignInRequest,
    found: &Discovered,
) -> Option<&'a str> {
    let client = request.configured.as_ref()?;
    let stored = request.stored.as_ref().filter(|stored| stored.client.id == client.id)?;
    let confirmed = request.confirmed_issuer.as_ref() == Some(&found.server.issuer);
    let same = confirmed
        || request.profile.issuers.contains(&found.server.issuer)
        || stored.is_of(request, found);
    stored.giver().filter(|_| !same)
}

/// A configured document that does not fit the server which the last sign-in recorded: the host known so
/// far, the host that it leads to, and its issuer where that is what differs.
///
/// A document that lies at neither's host may claim any issuer, so each of its addresses is looked at.
pub(super) fn misfit(
    request: &SignInRequest,
    found: &Discovered,
) -> Option<(String, String, Option<String>)> {
    let document = found.source.configured_metadata_url.as_deref()?;
    let stored = request.stored.as_ref().and_then(EntryRegistration::giver);
    let recorded = stored.or(request.recorded.as_deref())?;
    let (server, profile) = (&found.server, &request.profile);
    let issuer = &server.issuer;
    let asked = request.recorded.as_deref().is_some_and(|asked| same_but_slash(asked, issuer));
    let fits = asked
        || same_but_slash(recorded, issuer)
        || profile.issuers.contains(issuer)
        || request.confirmed_issuer.as_ref() == Some(issuer);
    if !fits {
        return Some((host(recorded), host(issuer), Some(issuer.clone())));
    }
    let homes = [Some(recorded), Some(issuer), request.recorded.as_deref()];
    let at_home = |url: &str| {
        let there = origin(url);
        there.is_some() && homes.iter().flatten().any(|home| origin(home) == there)
    };
    if at_home(document) {
        return None;
    }
    let places = [&server.token_endpoint, &server.authorization_endpoint];
    let elsewhere = places.into_iter().chain(&server.registration_endpoint).find(|url| {
        let listed = origin(url).is_some_and(|origin| profile.token_origins.contains(&origin));
        !at_home(url) && !listed && !request.trusted.contains(&host(url))
    })?;
    Some((host(recorded), host(elsewhere), None))
}

/// A new registration, where the server offers it.
pub(super) fn to_register(request: &SignInRequest, found: &Discovered) -> Option<Choice> {
    let offered = request.profile.registration != Some(false);
    found.server.registration_endpoint.as_ref().filter(|_| offered)?;
    let method = AuthMethod::to_register(&found.server.token_auth_methods, &request.profile)?;
    Some(Choice::Register(method))
}

/// The entry's own registration, where its issuer and its redirect are known to fit.
pub(super) fn stored(request: &SignInRequest, found: &Discovered) -> Option<Client> {
    let stored = request.stored.as_ref()?;
    let redirect_uri = stored.redirect_uri.clone().filter(|uri| port_of(uri).is_some())?;
    stored.is_of(request, found).then(|| Client::Given {
        client: stored.client.clone(),
        redirect_uri: Some(redirect_uri),
        configured: false,
    })
}

impl Choice {
    /// The loopback port it has to have, or had before; `None`: any.
    pub(super) fn port(&self, request: &SignInRequest) -> Option<u16> {
        match self {
            Self::Known(Client::Given { redirect_uri, .. }) => {
                redirect_uri.as_deref().and_then(port_of).or(request.port)
            }
            Self::Known(Client::OwnRegistration(kept)) => {
                kept.redirect_uris.iter().find_map(|uri| port_of(uri))
            }
            Self::Known(Client::Document { .. }) => request.port.or(request.callback_port),
            Self::Register(_) => {
                let stored = request.stored.as_ref().and_then(|s| s.redirect_uri.as_deref());
                request.port.or(request.callback_port).or_else(|| stored.and_then(port_of))
            }
        }
    }

    /// Whether no other port will do.
    pub(super) const fn is_fixed(&self, request: &SignInRequest) -> bool {
        match self {
            Self::Known(Client::Given { redirect_uri, .. }) => {
                redirect_uri.is_some() || request.port.is_some()
            }
            Self::Known(Client::OwnRegistration(_) | Client::Document { .. })
            | Self::Register(_) => request.port.is_some() || request.callback_port.is_some(),
        }
    }

    /// Whether the provider is known to refuse it for being public, so that no page is worth opening.
    pub(super) fn lacks_secret(&self, profile: &Profile) -> bool {
        match self {
            Self::Known(Client::Given { client, .. }) => {
                profile.needs_secret == Some(true) && client.secret.is_none()
            }
            Self::Known(Client::Document { .. } | Client::OwnRegistration(_))
            | Self::Register(_) => false,
        }
    }
}

impl Client {
    /// Its id.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Given { client, .. } => &client.id,
            Self::Document { url } => url,
            Self::OwnRegistration(kept) => &kept.client_id,
        }
    }

    pub(super) const fn whose(&self) -> Whose {
        match self {
            Self::Given { .. } => Whose::Clients,
            Self::Document { .. } | Self::OwnRegistration(_) => Whose::Ours,
        }
    }

    /// Whether it has this redirect URI, byte for byte.
    pub(super) fn takes(&self, redirect_uri: &str) -> bool {
        match self {
            Self::OwnRegistration(kept) => kept.redirect_uris.iter().any(|uri| uri == redirect_uri),
            Self::Given { redirect_uri: own, .. } => own.as_deref() == Some(redirect_uri),
            Self::Document { .. } => false,
        }
    }

    /// The one redirect URI that a client has which was made elsewhere.
    pub(super) fn own_redirect(&self) -> Option<String> {
        match self {
            Self::Given { redirect_uri, .. } => redirect_uri.clone(),
            Self::Document { .. } | Self::OwnRegistration(_) => None,
        }
    }

    /// Who it is at the token endpoint, and how it proves that.
    pub(super) fn proves(
        &self,
        server: &AuthorizationServer,
        profile: &Profile,
    ) -> (ClientCredentials, AuthMethod) {
        let of_given = |client: &ClientCredentials| {
            AuthMethod::of_given(client, &server.token_auth_methods, profile)
        };
        match self {
            Self::Given { client, .. } => (client.clone(), of_given(client)),
            Self::Document { url } => {
                (ClientCredentials { id: url.clone(), secret: None }, AuthMethod::None)
            }
            Self::OwnRegistration(kept) => {
                let (id, secret) = (kept.client_id.clone(), kept.secret.clone());
                let client = ClientCredentials { id, secret };
                let named = AuthMethod::named(&kept.method);
                let method = named.unwrap_or_else(|| of_given(&client));
                (client, method)
            }
        }
    }

    /// What goes into the entry: a secret that stands in the configuration stays there alone.
    pub(super) fn to_store(&self, client: ClientCredentials) -> ClientCredentials {
        match self {
            Self::Given { configured: true, .. } => ClientCredentials { secret: None, ..client },
            Self::Given { .. } | Self::Document { .. } | Self::OwnRegistration(_) => client,
        }
    }

    /// What is remembered of it, if it is our own.
    pub(super) fn kept(&self) -> Option<OwnRegistration> {
        match self {
            Self::OwnRegistration(kept) => Some(kept.clone()),
            Self::Given { .. } | Self::Document { .. } => None,
        }
    }
}

impl RegistrationFault {
    /// Whether asking once more would change nothing.
    pub(super) const fn is_final(&self) -> bool {
        match self {
            Self::RedirectRefused | Self::Refused(_) | Self::Closed(_) | Self::NotOffered(_) => {
                true
            }
            Self::Busy(_) | Self::Unwell(_) | Self::Unreadable => false,
        }
    }
}
