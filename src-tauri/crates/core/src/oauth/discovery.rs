//! Finds the token endpoint of a grant's own authorization server.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

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
    #[serde(default)]
    pub token_auth_methods: Vec<String>,
}
