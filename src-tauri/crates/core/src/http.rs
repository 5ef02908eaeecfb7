//! HTTP requests and answers as values: core builds and reads them, the engine carries them.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use url::{Host, Url};
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

/// Hosts that the user names in the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(BTreeSet<String>);

impl Hosts {
    /// Names or addresses without port; `Err`: which of them is not one, counted from 0.
    pub fn new(hosts: &[String]) -> Result<Self, usize> {
        let read = hosts.iter().enumerate().map(|(place, host)| {
            // As they stand in a URL, where an IPv6 address has brackets.
            let parsed = Host::parse(host).or_else(|_| Host::parse(&format!("[{host}]")));
            parsed.map(|host| host.to_string()).map_err(|_| place)
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the URL's host is one of them.
    pub fn have(&self, url: &Url) -> bool {
        url.host().is_some_and(|host| self.0.contains(&host.to_string()))
    }
}

/// The hosts that may be spoken to without TLS besides this machine: those that the user lets in. Whoever
/// can read a network reads the tokens that travel to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlainHttp(Hosts);

impl PlainHttp {
    /// Lets these hosts in, names or addresses without port; `Err`: which of them is not one, counted
    /// from 0.
    pub fn new(hosts: &[String]) -> Result<Self, usize> {
        Hosts::new(hosts).map(Self)
    }

    /// Whether the user has let its host in.
    pub fn lets_in(&self, url: &Url) -> bool {
        self.0.have(url)
    }

    /// The host of an address that must not be spoken to for lack of TLS.
    pub fn refused(&self, url: &str) -> Option<String> {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
        let host = url.host()?;
        (!is_this_machine(&host) && !self.lets_in(&url)).then(|| host.to_string())
    }
}

/// Whether a URL's host is this machine by what is written (RFC 6761 §6.3).
pub(crate) fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
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
    /// We refused: not HTTPS, or a bad URL. Nothing was sent.
    #[error("its address is not one Lamplighter sends to")]
    Forbidden,
    /// We refused: it is nearer to this machine than the MCP server on whose behalf it is asked. Nothing
    /// was sent.
    #[error("it has a private address and the MCP server has none")]
    PrivateAddress,
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
            Self::Dns | Self::Connect | Self::Tls | Self::Forbidden | Self::PrivateAddress => false,
            Self::Cut | Self::Timeout | Self::TooLarge => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_for_the_hosts_that_are_let_in() {
        let hosts = ["192.168.77.5", "NAS.lan", "fd00::7"].map(String::from);
        let plain = PlainHttp::new(&hosts).unwrap();
        for url in [
            "http://192.168.77.5:8080/mcp",
            "http://nas.lan/mcp",
            "http://[fd00::7]/mcp",
            "http://127.0.0.1/mcp",
            "http://[::1]/mcp",
            "http://localhost:1/mcp",
            "http://app.localhost/mcp",
            "https://10.0.0.9/mcp",
            "no address",
        ] {
            assert_eq!(plain.refused(url), None, "{url}");
        }
        for (url, host) in [
            ("http://192.168.77.6/mcp", "192.168.77.6"),
            ("http://nas.lan.evil.example/mcp", "nas.lan.evil.example"),
            ("http://192.168.77.5.evil.example/", "192.168.77.5.evil.example"),
            ("http://u:p@as.example/", "as.example"),
        ] {
            assert_eq!(plain.refused(url).as_deref(), Some(host), "{url}");
        }
    }

    #[test]
    fn what_is_no_host_is_told_by_its_place() {
        for wrong in ["http://nas.lan", "nas.lan:80", "nas.lan/mcp", "a b", ""] {
            assert_eq!(PlainHttp::new(&["nas.lan".into(), wrong.into()]), Err(1), "{wrong}");
        }
    }
}
