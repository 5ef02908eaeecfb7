//! What is said of a URL: where it leads, whether anybody may be led there, and how it is shown.
//!
//! Read next: [`super::metadata`], which refuses documents by these rules.

use alloc::{format, string::String};

use url::{Host, Url};

use crate::http::PlainHttp;

/// Whether a browser or a request may be led to `url` for the MCP server at `server_url`: HTTPS, or
/// plain HTTP on loopback where the MCP server itself is on loopback; no user info, no fragment, and
/// nothing that a parser would silently repair.
pub(crate) fn may_lead_to(url: &str, server_url: &str, plain_http: &PlainHttp) -> bool {
    let repaired = |c: char| c.is_ascii_control() || c.is_whitespace() || c == '\\';
    let Ok(parsed) = Url::parse(url) else { return false };
    let allowed = match parsed.scheme() {
        "https" => true,
        "http" if is_loopback(&parsed) => Url::parse(server_url).is_ok_and(|s| is_loopback(&s)),
        "http" => plain_http.lets_in(&parsed),
        _ => false,
    };
    allowed
        && parsed.has_host()
        && parsed.fragment().is_none()
        && bare_of_user(&parsed)
        && !url.contains(repaired)
}

/// Whether an issuer is an address and nothing else: it is shown to people who are to decide by it, so
/// nothing in it may hide or rewrite what stands beside it (RFC 3986 §2: a URL is graphic ASCII).
pub(crate) fn is_plain_issuer(issuer: &str) -> bool {
    issuer.bytes().all(|byte| byte.is_ascii_graphic())
        && Url::parse(issuer).is_ok_and(|parsed| parsed.has_host())
}

/// The server's address as `resource` (RFC 8707 §2), where no document names a better one: no
/// fragment, no final slash. Its query and user info stay out, because they may be secrets.
pub(super) fn canonical(server_url: &str) -> String {
    split(server_url).map_or_else(|| server_url.into(), |(base, path)| format!("{base}{path}"))
}

/// Whether the host is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

pub(super) fn bare_of_user(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

pub(super) fn split(url: &str) -> Option<(String, String)> {
    let parsed = Url::parse(url).ok()?;
    Some((origin(url)?, parsed.path().trim_end_matches('/').into()))
}

/// Scheme, host and port of a URL; `None` where it has no host.
pub fn origin(url: &str) -> Option<String> {
    let origin = Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// The host of a URL with its port where it is not the usual one, for people.
pub fn host(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|u| {
        let host = u.host_str()?;
        Some(u.port().map_or_else(|| host.into(), |port| format!("{host}:{port}")))
    });
    host.unwrap_or_else(|| String::from("an unreadable address"))
}

/// Whether two addresses differ by one final slash at most.
pub(crate) fn same_but_slash(a: &str, b: &str) -> bool {
    a.strip_suffix('/').unwrap_or(a) == b.strip_suffix('/').unwrap_or(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_of_our_own_making_has_no_slash_query_or_user() {
        assert_eq!(canonical("https://MCP.example/"), "https://mcp.example");
        assert_eq!(canonical("https://u:p@mcp.example/mcp/?key=s#f"), "https://mcp.example/mcp");
    }

    #[test]
    fn an_issuer_that_could_rewrite_what_stands_beside_it_is_none() {
        for plain in
            ["https://as.example", "https://as.example:8443/tenant/v2.0/", "http://[::1]:1"]
        {
            assert!(is_plain_issuer(plain), "{plain}");
        }
        for other in
            ["", "as.example", "https://a\u{1b}[2K", "https://a\u{202e}b.example", "https://a b"]
        {
            assert!(!is_plain_issuer(other), "{other:?}");
        }
    }
}
