//! What a sign-in is asked to do, and what is known before its first request.
//!
//! Read next: [`super::client`] for whose name the consent page shows.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use super::EntryRegistration;
use crate::{
    http::PlainHttp,
    oauth::{
        discovery::Discovered, pin::Pin, preflight::Redirect, profile::Profile,
        registration::OwnRegistration, scopes,
    },
    store::ClientCredentials,
};

/// Where the browser is to come back to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectWish {
    /// The scheme where it is served here and the server takes it, else loopback.
    #[default]
    Automatic,
    /// The scheme, whatever the server shows.
    Scheme,
    /// Loopback.
    Loopback,
}

/// What is known before the first request.
#[derive(Debug, Clone)]
pub struct SignInRequest {
    /// The MCP server.
    pub server_url: String,
    /// Its name in the client's store.
    pub server_name: String,
    /// The client that the user registered by hand, from the client program's configuration.
    pub configured: Option<ClientCredentials>,
    /// The loopback port that the user configured for it.
    pub callback_port: Option<u16>,
    /// The metadata document that the user configured.
    pub metadata_url: Option<String>,
    /// The registration that the store's entry has.
    pub stored: Option<EntryRegistration>,
    /// The registration of our own for this very entry.
    pub kept: Option<OwnRegistration>,
    /// Scopes that are asked for beyond those granted.
    pub more_scopes: Vec<String>,
    /// What was granted before.
    pub granted_scope: Option<String>,
    /// Where the last sign-in was.
    pub recorded: Option<String>,
    /// Where the last sign-in's tokens may go.
    pub pin: Option<Pin>,
    /// New hosts for them that a person was shown and trusts.
    pub trusted: Vec<String>,
    /// An issuer that a person has confirmed.
    pub confirmed_issuer: Option<String>,
    /// What this provider does differently.
    pub profile: Profile,
    /// Where the browser is to come back to.
    pub wish: RedirectWish,
    /// The port that was asked for, for this once.
    pub port: Option<u16>,
    /// Somebody on this machine hands callbacks of the scheme to us.
    pub scheme_served: bool,
    /// Which way the browser came back before, by issuer.
    pub redirects_known: BTreeMap<String, Redirect>,
    /// Our own Client ID Metadata Document, where one is configured.
    pub metadata_document: Option<String>,
    /// Whom the user lets in without TLS.
    pub plain_http: PlainHttp,
}

impl SignInRequest {
    /// The scopes to ask for at this authorization server.
    pub(super) fn scopes(&self, found: &Discovered) -> Vec<String> {
        // More was asked for: what was granted before stays granted.
        if !self.more_scopes.is_empty() {
            let challenge_scopes = self.more_scopes.clone();
            let found = Discovered { challenge_scopes, ..found.clone() };
            return scopes::step_up(self.granted_scope.as_deref(), &found, &self.profile);
        }
        scopes::choose(found, &self.profile)
    }

    /// Whether the scheme may be among a registration's redirect URIs.
    pub(super) const fn may_use_scheme(&self) -> bool {
        match self.wish {
            RedirectWish::Automatic => self.scheme_served,
            RedirectWish::Scheme => true,
            RedirectWish::Loopback => false,
        }
    }
}
