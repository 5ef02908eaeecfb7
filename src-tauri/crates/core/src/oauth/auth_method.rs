//! How a client proves who it is at the token endpoint.
//!
//! Read next: [`super::registration`] for the method that a client registers with.

use alloc::string::String;

use serde::Deserialize;

use crate::store::ClientCredentials;

/// How the client proves who it is at the token endpoint (RFC 6749 §2.3, RFC 7591 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum AuthMethod {
    /// `none`: a public client names itself in the body.
    #[serde(rename = "none")]
    None,
    /// `client_secret_basic`.
    #[serde(rename = "client_secret_basic")]
    Basic,
    /// `client_secret_post`.
    #[serde(rename = "client_secret_post")]
    Post,
}

impl AuthMethod {
    /// What the server's metadata and the client's credentials ask for: Basic where a secret exists
    /// and nothing speaks against it, as RFC 8414 §2 has it by default.
    pub fn choose(client: &ClientCredentials, supported: &[String]) -> Self {
        let lists = |method: &str| supported.iter().any(|m| m == method);
        if client.secret.is_none() {
            Self::None
        } else if supported.is_empty() || lists("client_secret_basic") {
            Self::Basic
        } else {
            Self::Post
        }
    }

    /// The other way to send the same secret; `None` where there is no secret.
    pub const fn other(self) -> Option<Self> {
        match self {
            Self::None => None,
            Self::Basic => Some(Self::Post),
            Self::Post => Some(Self::Basic),
        }
    }

    /// The name it has in metadata and registrations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    /// The method with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::None, Self::Basic, Self::Post].into_iter().find(|method| method.name() == name)
    }
}
