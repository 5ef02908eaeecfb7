//! Whose name the consent page shows: which OAuth client a sign-in uses.
//!
//! The order is the MCP specification's with one addition: registered by hand in the client program's
//! configuration, a Client ID Metadata Document, our own registration for this very entry, a new one,
//! and last the one that the entry has, on its exact redirect. No other program's client is ever
//! shipped.

use alloc::string::String;

use super::Subject;
use crate::{
    oauth::{
        auth_method::AuthMethod,
        authorize::loopback_port as port_of,
        discovery::Discovered,
        metadata::{AuthorizationServer, host, origin, same_but_slash},
        profile::Profile,
        registration::{OwnRegistration, RegistrationFault, metadata_document},
    },
    store::ClientCredentials,
    time::Wall,
};

/// The registration that the store's entry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The client.
    pub client: ClientCredentials,
    /// Its redirect URI, where the entry tells.
    pub redirect_uri: Option<String>,
    /// The issuer that gave it, where the entry tells.
    pub issuer: Option<String>,
    /// The authorization server that was asked then, where the entry tells.
    pub authorization_server: Option<String>,
}

impl Stored {
    /// Whether what was found is who gave it. An older entry names nobody: then a client without a
    /// secret has nothing to lose, and one with it goes to the MCP server's own origin alone.
    fn is_of(&self, subject: &Subject, found: &Discovered) -> bool {
        match (&self.issuer, &self.authorization_server) {
            (Some(issuer), _) => *issuer == found.server.issuer,
            (None, Some(asked)) => {
                *asked == found.trail.authorization_server || *asked == found.server.issuer
            }
            (None, None) => {
                let own = origin(&subject.server_url);
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
    /// To be registered.
    Register {
        method: AuthMethod,
    },
}

/// The client to sign in with; `None`: this server takes only clients that it knows.
pub(super) fn choose(subject: &Subject, found: &Discovered, now: Wall) -> Option<Client> {
    if let Some(client) = &subject.configured {
        let fixed = subject.profile.redirect_uri.clone();
        let stored = subject.stored.as_ref().filter(|stored| stored.client.id == client.id);
        let stored = stored.and_then(|stored| stored.redirect_uri.clone());
        let configured = subject.callback_port.map(crate::oauth::authorize::loopback_redirect);
        let redirect_uri = configured.or(fixed).or(stored);
        return Some(Client::Given { client: client.clone(), redirect_uri, configured: true });
    }
    if let Some(url) = metadata_document(subject.metadata_document.as_deref(), &found.server) {
        return Some(Client::Document { url: url.into() });
    }
    let kept = subject.kept.clone().filter(|kept| kept.is_good_at(found, now));
    let asked = |kept: &OwnRegistration| {
        let own = kept.redirect_uris.iter().find_map(|uri| port_of(uri));
        subject.port.is_none_or(|port| own == Some(port))
    };
    if let Some(kept) = kept.filter(asked) {
        return Some(Client::OwnRegistration(kept));
    }
    to_register(subject, found).or_else(|| stored(subject, found))
}

/// Who the configured client was used with before, if what was found is somebody else: an app that
/// was made at one sign-in server is nobody's at another, and its secret is not for that one's ears.
pub(super) fn configured_elsewhere<'a>(
    subject: &'a Subject,
    found: &Discovered,
) -> Option<&'a str> {
    let client = subject.configured.as_ref()?;
    let stored = subject.stored.as_ref().filter(|stored| stored.client.id == client.id)?;
    let confirmed = subject.confirmed_issuer.as_ref() == Some(&found.server.issuer);
    let same = confirmed
        || subject.profile.issuers.contains(&found.server.issuer)
        || stored.is_of(subject, found);
    stored.giver().filter(|_| !same)
}

/// A configured document that does not fit the server which the last sign-in recorded: the host known so
/// far, the host that it leads to, and its issuer where that is what differs.
///
/// A document that lies at neither's host may claim any issuer, so each of its addresses is looked at.
pub(super) fn misfit(
    subject: &Subject,
    found: &Discovered,
) -> Option<(String, String, Option<String>)> {
    let document = found.trail.configured_metadata_url.as_deref()?;
    let stored = subject.stored.as_ref().and_then(Stored::giver);
    let recorded = stored.or(subject.recorded.as_deref())?;
    let (server, profile) = (&found.server, &subject.profile);
    let issuer = &server.issuer;
    let asked = subject.recorded.as_deref().is_some_and(|asked| same_but_slash(asked, issuer));
    let fits = asked
        || same_but_slash(recorded, issuer)
        || profile.issuers.contains(issuer)
        || subject.confirmed_issuer.as_ref() == Some(issuer);
    if !fits {
        return Some((host(recorded), host(issuer), Some(issuer.clone())));
    }
    let homes = [Some(recorded), Some(issuer), subject.recorded.as_deref()];
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
        !at_home(url) && !listed && !subject.trusted.contains(&host(url))
    })?;
    Some((host(recorded), host(elsewhere), None))
}

/// A new registration, where the server offers it.
pub(super) fn to_register(subject: &Subject, found: &Discovered) -> Option<Client> {
    let offered = subject.profile.registration != Some(false);
    found.server.registration_endpoint.as_ref().filter(|_| offered)?;
    let method = AuthMethod::to_register(&found.server.token_auth_methods, &subject.profile)?;
    Some(Client::Register { method })
}

/// The entry's own registration, where its issuer and its redirect are known to fit.
pub(super) fn stored(subject: &Subject, found: &Discovered) -> Option<Client> {
    let stored = subject.stored.as_ref()?;
    let redirect_uri = stored.redirect_uri.clone().filter(|uri| port_of(uri).is_some())?;
    stored.is_of(subject, found).then(|| Client::Given {
        client: stored.client.clone(),
        redirect_uri: Some(redirect_uri),
        configured: false,
    })
}

impl Client {
    /// The loopback port it has to have, or had before; `None`: any.
    pub(super) fn port(&self, subject: &Subject) -> Option<u16> {
        match self {
            Self::Given { redirect_uri, .. } => {
                redirect_uri.as_deref().and_then(port_of).or(subject.port)
            }
            Self::OwnRegistration(kept) => kept.redirect_uris.iter().find_map(|uri| port_of(uri)),
            Self::Document { .. } => subject.port.or(subject.callback_port),
            Self::Register { .. } => {
                let stored = subject.stored.as_ref().and_then(|s| s.redirect_uri.as_deref());
                subject.port.or(subject.callback_port).or_else(|| stored.and_then(port_of))
            }
        }
    }

    /// Whether no other port will do.
    pub(super) fn is_fixed(&self, subject: &Subject) -> bool {
        match self {
            Self::Given { redirect_uri, .. } => redirect_uri.is_some() || subject.port.is_some(),
            Self::OwnRegistration(_) | Self::Document { .. } | Self::Register { .. } => {
                subject.port.is_some() || subject.callback_port.is_some()
            }
        }
    }

    /// Whether the provider is known to refuse it for being public, so that no page is worth opening.
    pub(super) fn lacks_secret(&self, profile: &Profile) -> bool {
        match self {
            Self::Given { client, .. } => {
                profile.needs_secret == Some(true) && client.secret.is_none()
            }
            Self::Document { .. } | Self::OwnRegistration(_) | Self::Register { .. } => false,
        }
    }

    /// Its id; `None` before it is registered.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Given { client, .. } => Some(&client.id),
            Self::Document { url } => Some(url),
            Self::OwnRegistration(kept) => Some(&kept.client_id),
            Self::Register { .. } => None,
        }
    }

    pub(super) const fn whose(&self) -> Whose {
        match self {
            Self::Given { .. } => Whose::Clients,
            Self::Document { .. } | Self::OwnRegistration(_) | Self::Register { .. } => Whose::Ours,
        }
    }

    /// Whether it has this redirect URI, byte for byte.
    pub(super) fn takes(&self, redirect_uri: &str) -> bool {
        match self {
            Self::OwnRegistration(kept) => kept.redirect_uris.iter().any(|uri| uri == redirect_uri),
            Self::Given { redirect_uri: own, .. } => own.as_deref() == Some(redirect_uri),
            Self::Document { .. } | Self::Register { .. } => false,
        }
    }

    /// The one redirect URI that a client has which was made elsewhere.
    pub(super) fn own_redirect(&self) -> Option<String> {
        match self {
            Self::Given { redirect_uri, .. } => redirect_uri.clone(),
            Self::Document { .. } | Self::OwnRegistration(_) | Self::Register { .. } => None,
        }
    }

    /// Who it is at the token endpoint, and how it proves that.
    pub(super) fn proves(
        &self,
        server: &AuthorizationServer,
        profile: &Profile,
    ) -> Option<(ClientCredentials, AuthMethod)> {
        match self {
            Self::Given { client, .. } => Some((
                client.clone(),
                AuthMethod::of_given(client, &server.token_auth_methods, profile),
            )),
            Self::Document { url } => {
                Some((ClientCredentials { id: url.clone(), secret: None }, AuthMethod::None))
            }
            Self::OwnRegistration(kept) => {
                let secret = kept.secret.clone();
                let client = ClientCredentials { id: kept.client_id.clone(), secret };
                let method = AuthMethod::named(&kept.method);
                let method = method.unwrap_or_else(|| {
                    AuthMethod::of_given(&client, &server.token_auth_methods, profile)
                });
                Some((client, method))
            }
            Self::Register { .. } => None,
        }
    }

    /// What goes into the entry: a secret that stands in the configuration stays there alone.
    pub(super) fn to_store(&self, client: ClientCredentials) -> ClientCredentials {
        match self {
            Self::Given { configured: true, .. } => ClientCredentials { secret: None, ..client },
            Self::Given { .. }
            | Self::Document { .. }
            | Self::OwnRegistration(_)
            | Self::Register { .. } => client,
        }
    }

    /// What is remembered of it, if it is our own.
    pub(super) fn kept(&self) -> Option<OwnRegistration> {
        match self {
            Self::OwnRegistration(kept) => Some(kept.clone()),
            Self::Given { .. } | Self::Document { .. } | Self::Register { .. } => None,
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
