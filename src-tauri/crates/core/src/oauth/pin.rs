//! The pin of a grant: the one authorization server that its refresh token may be sent to.
//!
//! Read next: [`super::discovery`], which compares what it finds with it.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// Where a grant's refresh token may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// The origin of its token endpoint.
    pub token_origin: String,
}
