//! Whether a server really takes the private-use scheme as a redirect, told before a person sees a
//! page (RFC 8252 §7.1).
//!
//! Servers differ: some refuse the scheme at registration, some only at the sign-in page, by a 400, by
//! a page with 200, by a redirect to an error page. So the same page is asked with the scheme and
//! with a redirect URI that was never registered. Where the two answers differ, the scheme is taken;
//! with any doubt loopback is, which works everywhere.

use alloc::string::String;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::http::Answer;

/// Where the browser comes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirect {
    /// The private-use scheme.
    Scheme,
    /// A listener on this machine.
    Loopback,
}

/// A redirect URI of the scheme's form that is never registered anywhere, for the question to compare
/// with.
pub const NEVER_REGISTERED: &str = "dev.lamplighter:/never/registered";

/// Bodies whose lengths differ by less than this, or by a tenth, are alike: they may name the client
/// or the redirect.
const ROUGHLY: usize = 64;

/// What matters of an answer of the sign-in page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreflightResult {
    status: u16,
    place: Place,
    /// The content type without its parameters, in lower case.
    kind: String,
    length: usize,
}

/// Where an answer leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Nowhere: it is a page.
    Here,
    /// Straight back to the redirect URI: whatever it brings, the redirect is taken.
    Back,
    /// To another page: origin and path with identifiers masked.
    There(String),
}

impl PreflightResult {
    /// What matters of `answer`, which a request for `asked` with `redirect_uri` got.
    pub fn of(answer: &Answer, asked: &str, redirect_uri: &str) -> Self {
        let is_redirect = matches!(answer.status, 300..=399);
        let location = answer.location.as_deref().filter(|_| is_redirect);
        let kind = answer.content_type.as_deref().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        Self {
            status: answer.status,
            place: location.map_or(Place::Here, |to| place(to, asked, redirect_uri)),
            kind: kind.trim().to_ascii_lowercase(),
            length: answer.body.len(),
        }
    }

    /// Whether two answers are the same to a person.
    fn is_like(&self, other: &Self) -> bool {
        // The body of a redirect is for nobody, and its type with it.
        let same_page = self.place != Place::Here
            || (self.kind == other.kind && roughly(self.length, other.length));
        self.status == other.status && self.place == other.place && same_page
    }

    /// Whether two answers differ in more than their length, which a server may vary at random.
    fn differs_in_kind_from(&self, other: &Self) -> bool {
        self.status != other.status || self.place != other.place || self.kind != other.kind
    }
}

/// Chooses the redirect. `scheme`, `loopback` and `never` are what the sign-in page answered to a
/// request with each; `None` where nothing came or nothing was asked.
pub fn choose(
    scheme: Option<&PreflightResult>,
    loopback: Option<&PreflightResult>,
    never: Option<&PreflightResult>,
) -> Redirect {
    let (Some(scheme), Some(never)) = (scheme, never) else { return Redirect::Loopback };
    let busy = |glimpse: &PreflightResult| glimpse.status == 429 || glimpse.status >= 500;
    if scheme.status >= 400 || busy(never) || loopback.is_some_and(busy) {
        return Redirect::Loopback;
    }
    let taken = match loopback {
        Some(loopback) => scheme.is_like(loopback) && !scheme.is_like(never),
        None => scheme.differs_in_kind_from(never),
    };
    if taken && never.place != Place::Back { Redirect::Scheme } else { Redirect::Loopback }
}

fn roughly(a: usize, b: usize) -> bool {
    a.abs_diff(b) <= ROUGHLY.max(a.max(b) / 10)
}

fn place(location: &str, asked: &str, redirect_uri: &str) -> Place {
    let back = location.strip_prefix(redirect_uri);
    if back.is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '#'])) {
        return Place::Back;
    }
    let to = Url::parse(asked).and_then(|base| base.join(location));
    let Ok(to) = to else { return Place::There(String::new()) };
    let mut shown = String::from(to.scheme());
    shown.push(':');
    shown.push_str(to.host_str().unwrap_or_default());
    for segment in to.path().split('/') {
        shown.push('/');
        shown.push_str(if is_identifier(segment) { "*" } else { segment });
    }
    Place::There(shown)
}

/// Whether a part of a path names one attempt and not a page: long, or with two digits and more.
fn is_identifier(segment: &str) -> bool {
    segment.len() >= 16 || segment.bytes().filter(u8::is_ascii_digit).count() >= 2
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use zeroize::Zeroizing;

    use super::*;

    const ASKED: &str = "https://as.example/authorize?x=1";
    const SCHEME: &str = "dev.lamplighter:/oauth/callback";
    const LOOPBACK: &str = "http://localhost:3118/callback";

    fn seen(
        redirect_uri: &str,
        status: u16,
        location: Option<&str>,
        kind: &str,
        length: usize,
    ) -> PreflightResult {
        let answer = Answer {
            status,
            content_type: (!kind.is_empty()).then(|| kind.into()),
            retry_after: None,
            challenges: vec![],
            location: location.map(Into::into),
            body: Zeroizing::new(vec![b'x'; length]),
        };
        PreflightResult::of(&answer, ASKED, redirect_uri)
    }

    fn page(status: u16, kind: &str, length: usize) -> PreflightResult {
        seen(SCHEME, status, None, kind, length)
    }

    fn to(status: u16, location: &str) -> PreflightResult {
        seen(SCHEME, status, Some(location), "", 0)
    }

    fn chosen(
        scheme: &PreflightResult,
        loopback: &PreflightResult,
        never: &PreflightResult,
    ) -> Redirect {
        choose(Some(scheme), Some(loopback), Some(never))
    }

    #[test]
    fn the_servers_that_were_measured_are_told_right() {
        // oidc-provider: to its login, under a name that is new each time; a page for a refusal.
        let login = |id: &str| to(303, &format!("/interaction/{id}"));
        let refused = page(400, "text/html; charset=utf-8", 1200);
        let one = login("Zx_kQvbhTyUdGfHjKlPo-");
        assert_eq!(chosen(&one, &login("a1b2c3d4e5f6g7h8i9j0k"), &refused), Redirect::Scheme);
        // The MCP SDK's router with a provider that approves at once: straight back.
        let back = seen(SCHEME, 302, Some("dev.lamplighter:/oauth/callback?code=c&state=s"), "", 0);
        let home = seen(LOOPBACK, 302, Some("http://localhost:3118/callback?code=c"), "", 0);
        let json = page(400, "application/json", 80);
        assert_eq!(chosen(&back, &home, &json), Redirect::Scheme);
        // workers-oauth-provider: a page.
        let consent = page(200, "text/html", 444);
        let refused = page(400, "text/plain", 30);
        assert_eq!(chosen(&consent, &page(200, "text/html", 448), &refused), Redirect::Scheme);
    }

    #[test]
    fn a_refusal_as_a_redirect_to_an_error_page_is_seen() {
        let (login, error) = (to(302, "/login?id=1"), to(302, "/error?id=2"));
        assert_eq!(chosen(&login, &login, &error), Redirect::Scheme);
        assert_eq!(chosen(&error, &login, &error), Redirect::Loopback);
        // Another error for the scheme than for what was never registered is still not the login.
        assert_eq!(chosen(&to(302, "/blocked"), &login, &error), Redirect::Loopback);
        assert_eq!(
            chosen(&to(302, "https://other.example/login"), &login, &error),
            Redirect::Loopback
        );
    }

    #[test]
    fn a_refusal_as_a_page_with_200_is_seen() {
        let (consent, refusal) = (page(200, "text/html", 9000), page(200, "text/html", 1500));
        assert_eq!(
            chosen(&consent, &page(200, "TEXT/HTML;charset=x", 9050), &refusal),
            Redirect::Scheme
        );
        assert_eq!(chosen(&refusal, &consent, &refusal), Redirect::Loopback);
        // Without loopback beside it, a length alone is a doubt.
        assert_eq!(choose(Some(&consent), None, Some(&refusal)), Redirect::Loopback);
    }

    #[test]
    fn a_server_that_answers_everything_alike_gets_loopback() {
        let login = page(200, "text/html", 5000);
        assert_eq!(chosen(&login, &login, &page(200, "text/html", 5040)), Redirect::Loopback);
        let login = to(302, "/login");
        assert_eq!(chosen(&login, &login, &login), Redirect::Loopback);
        // It sends a code wherever it is asked to.
        let back = seen(SCHEME, 302, Some("dev.lamplighter:/oauth/callback?code=c"), "", 0);
        let never = format!("{NEVER_REGISTERED}?code=c");
        let never = seen(NEVER_REGISTERED, 302, Some(&never), "", 0);
        assert_eq!(chosen(&back, &back, &never), Redirect::Loopback);
    }

    #[test]
    fn any_doubt_means_loopback() {
        let (good, refused) = (page(200, "text/html", 500), page(400, "text/plain", 20));
        assert_eq!(choose(None, Some(&good), Some(&refused)), Redirect::Loopback);
        assert_eq!(choose(Some(&good), Some(&good), None), Redirect::Loopback);
        assert_eq!(choose(Some(&good), None, Some(&refused)), Redirect::Scheme);
        assert_eq!(chosen(&refused, &good, &page(403, "text/plain", 20)), Redirect::Loopback);
        assert_eq!(chosen(&refused, &refused, &good), Redirect::Loopback);
        for status in [429, 500, 503] {
            assert_eq!(chosen(&good, &good, &page(status, "", 0)), Redirect::Loopback, "{status}");
            assert_eq!(chosen(&good, &page(status, "", 0), &refused), Redirect::Loopback);
            assert_eq!(chosen(&page(status, "", 0), &good, &refused), Redirect::Loopback);
        }
        // It goes back to where nobody registered: then a page for the scheme shows nothing.
        let astray = seen(NEVER_REGISTERED, 302, Some(NEVER_REGISTERED), "", 0);
        assert_eq!(chosen(&good, &good, &astray), Redirect::Loopback);
        let taken = page(200, "text/html", 500);
        assert_eq!(chosen(&taken, &page(200, "text/html", 5000), &refused), Redirect::Loopback);
    }

    #[test]
    fn an_error_that_comes_back_by_the_scheme_shows_that_it_is_taken() {
        let back =
            seen(SCHEME, 302, Some("dev.lamplighter:/oauth/callback?error=invalid_scope"), "", 0);
        let home =
            seen(LOOPBACK, 302, Some("http://localhost:3118/callback?error=invalid_scope"), "", 0);
        assert_eq!(chosen(&back, &home, &page(400, "text/html", 99)), Redirect::Scheme);
        // What only begins like the redirect is another place.
        let other = to(302, "dev.lamplighter:/oauth/callback-error");
        assert_eq!(chosen(&other, &home, &page(400, "text/html", 99)), Redirect::Loopback);
    }

    #[test]
    fn places_are_compared_without_query_and_identifiers() {
        let same = |a: &str, b: &str| to(302, a).is_like(&to(302, b));
        assert!(same("/login?x=1", "https://as.example/login?x=2#y"));
        assert!(same("/i/12ab", "/i/34cd"));
        assert!(same("/v2/login", "/v2/login"));
        assert!(!same("/v1/login", "/v2/login"));
        assert!(!same("/login", "/error"));
        assert!(!same("https://a.example/login", "https://b.example/login"));
        assert!(!to(302, "/login").is_like(&to(303, "/login")));
        // Whatever stands in Location is read without harm.
        for odd in ["", "http://[", "\u{0}", "//", "javascript:alert(1)"] {
            assert!(same(odd, odd), "{odd}");
        }
    }
}
