//! HTTP requests and answers as values: core builds and reads them, the engine carries them.

use alloc::{string::String, vec::Vec};
use core::fmt;

use zeroize::Zeroizing;

use crate::time::Millis;

/// The largest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// The methods core uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// A request to carry. Its headers and body may hold secrets, so `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The absolute URL. Never holds a secret.
    pub url: String,
    /// Header names in lower case with their values.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// The body; empty for none.
    pub body: Zeroizing<Vec<u8>>,
    /// The MCP server this is done for. A private address is allowed only where this one is private.
    pub on_behalf_of: String,
    /// Whether redirects may be followed (metadata: yes, each hop checked; tokens: never).
    pub follow_redirects: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// An answer as it came. Its body may hold secrets, so `Debug` shows only its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// `Retry-After` (RFC 9110 §10.2.3), turned into a length of time.
    pub retry_after: Option<Millis>,
    /// Every `WWW-Authenticate` header.
    pub challenges: Vec<String>,
    /// `Location`, as sent; where redirects are followed, that of the last answer.
    pub location: Option<String>,
    /// The body, at most [`MAX_ANSWER`] bytes.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why no answer came. The line that matters is whether the server may have acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The name did not resolve.
    #[error("its name could not be looked up")]
    Dns,
    /// The connection was refused or could not be made.
    #[error("it could not be reached")]
    Connect,
    /// TLS failed: nothing of the request was sent.
    #[error("its TLS certificate or handshake was refused")]
    Tls,
    /// We refused: not HTTPS, a private address, a bad URL. Nothing was sent.
    #[error("its address is not one Lamplighter sends to")]
    Forbidden,
    /// The connection ended after bytes had left.
    #[error("the connection broke before the answer was complete")]
    Cut,
    /// No answer in time after bytes had left.
    #[error("it did not answer in time")]
    Timeout,
    /// The answer was larger than [`MAX_ANSWER`].
    #[error("its answer was too large")]
    TooLarge,
}

impl Fault {
    /// Whether the server may have received and acted on the request.
    pub const fn perhaps_processed(self) -> bool {
        match self {
            Self::Dns | Self::Connect | Self::Tls | Self::Forbidden => false,
            Self::Cut | Self::Timeout | Self::TooLarge => true,
        }
    }
}
