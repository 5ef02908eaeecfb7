//! Why it was not found where a server signs people in, or where a refresh token may go.
//!
//! No sentence repeats what a server said: hosts are named, and nothing else of an address.

use alloc::{format, string::String};

use super::url::host;
use crate::time::Millis;

/// Why a search for the token endpoint of an existing grant found nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryFault {
    /// The server did not answer.
    #[error("the sign-in server could not be asked")]
    Unreachable,
    /// The server answered that it cannot answer now.
    #[error("the sign-in server is out of order or busy")]
    Unwell {
        /// How long it asked to be left alone.
        retry_after: Option<Millis>,
    },
    /// The server answered, and nowhere is metadata.
    #[error("the sign-in server publishes no metadata that can be used")]
    Nothing,
    /// The server's name leads to a private address, and the MCP server's does not.
    #[error("{}", private_address_words(.host))]
    PrivateAddress {
        /// The server's host.
        host: String,
    },
    /// No sign-in server is recorded, and the MCP server names one elsewhere.
    #[error("{server} names a sign-in server at {other}, which the sign-in did not record")]
    Elsewhere {
        /// The MCP server's host.
        server: String,
        /// The other host.
        other: String,
    },
}

/// Why nothing is sent to a host with a private address, and what lets it in.
pub(crate) fn private_address_words(host: &str) -> String {
    format!(
        "the sign-in server {host} has a private address and the MCP server has none, so nothing was sent; \
         to have it renewed all the same, add the host to [network] allow_private in the settings"
    )
}

/// Why a sign-in can't begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInFault {
    /// A server did not answer, or answered that it is unwell.
    #[error("the sign-in server could not be asked")]
    Unreachable,
    /// All answered, and nowhere is metadata.
    #[error("the sign-in server publishes no metadata that can be used")]
    Nothing,
    /// The resource's metadata speaks for another server (RFC 9728 §3.3).
    #[error("{server} says that its sign-in is for {named}, which is another server")]
    ResourceMismatch {
        /// The MCP server's host.
        server: String,
        /// The other host.
        named: String,
    },
    /// The metadata's issuer is not the address it was asked at (RFC 8414 §3.3). May be confirmed by
    /// a person.
    #[error("{}", mismatch(.asked, .issuer))]
    IssuerMismatch {
        /// The identifier that was asked for.
        asked: String,
        /// The issuer that the document names, byte for byte.
        issuer: String,
    },
    /// No S256 in `code_challenge_methods_supported`.
    #[error("the sign-in server does not say that it protects sign-ins with PKCE (S256)")]
    NoS256,
    /// `require_pushed_authorization_requests` (RFC 9126).
    #[error("the sign-in server demands pushed authorization requests, which are not supported")]
    PushedRequests,
    /// The metadata lacks what no sign-in can do without.
    #[error("the sign-in server's metadata names no {what}")]
    Incomplete {
        /// What is missing.
        what: &'static str,
    },
    /// The server's name leads to a private address, and the MCP server's does not.
    #[error("{}", private_address_words(.host))]
    PrivateAddress {
        /// The server's host.
        host: String,
    },
    /// An address that nobody may be led to: not HTTPS, not a web address, this machine.
    #[error("the {what} at {host} is not an address that Lamplighter opens")]
    Address {
        /// What lies there.
        what: &'static str,
        /// Its host.
        host: String,
    },
}

/// Two addresses that should be one, in words: hosts only, because the rest is the server's free text.
fn mismatch(asked: &str, issuer: &str) -> String {
    let (asked, issuer) = (host(asked), host(issuer));
    if asked == issuer {
        format!(
            "the sign-in server at {asked} writes its own address in another way, which can't be checked"
        )
    } else {
        format!("the sign-in server at {asked} calls itself {issuer}, which can't be checked")
    }
}
