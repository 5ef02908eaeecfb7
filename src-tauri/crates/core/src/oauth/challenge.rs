//! What a server's 401 or 403 asks for: its `WWW-Authenticate` headers (RFC 9110 §11.6.1).
//!
//! Read by our own small reader, because the headers of real servers bend the grammar in ways a
//! strict parser refuses as a whole. It takes any bytes in linear time. The free texts
//! (`error_description`, `realm`) are not kept at all, so that nothing can show them.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

/// The longest header that is read, in bytes; what stands behind is ignored.
const LONGEST_HEADER: usize = 16 * 1024;
/// The most challenges that are read.
const MOST_CHALLENGES: usize = 32;
/// The most scopes that are taken from anyone's list.
pub(super) const MOST_SCOPES: usize = 256;

/// The Bearer challenge of an answer (RFC 6750 §3, RFC 9728 §5.1), as far as it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// `resource_metadata`: where the server's metadata lies. Not checked yet.
    pub resource_metadata: Option<String>,
    /// `scope`: what this request needs; empty where it names none.
    pub scopes: Vec<String>,
    /// `error`.
    pub error: Option<BearerError>,
}

/// `error` of a Bearer challenge (RFC 6750 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerError {
    /// `invalid_request`.
    InvalidRequest,
    /// `invalid_token`: expired, revoked, or never good.
    InvalidToken,
    /// `insufficient_scope`: good, and not enough for this.
    InsufficientScope,
    /// Any other word.
    Other,
}

impl Challenge {
    /// The Bearer challenge among an answer's `WWW-Authenticate` headers; `None` where there is none.
    ///
    /// Where a server sends several, the first that names a metadata document is taken, else the
    /// first that says anything, else the first.
    pub fn bearer(headers: &[String]) -> Option<Self> {
        let mut found: Option<Self> = None;
        for raw in read(headers).iter().filter(|raw| raw.scheme.eq_ignore_ascii_case("bearer")) {
            let challenge = Self::of(raw);
            let better = found.as_ref().is_none_or(|best| challenge.rank() > best.rank());
            if better {
                found = Some(challenge);
            }
        }
        found
    }

    /// Whether the server asks for more scopes than the token has.
    pub fn asks_for_more(&self) -> bool {
        self.error == Some(BearerError::InsufficientScope)
    }

    fn of(raw: &Raw) -> Self {
        let error = raw.param("error").map(|word| match word {
            "invalid_request" => BearerError::InvalidRequest,
            "invalid_token" => BearerError::InvalidToken,
            "insufficient_scope" => BearerError::InsufficientScope,
            _ => BearerError::Other,
        });
        Self {
            resource_metadata: raw.param("resource_metadata").map(ToOwned::to_owned),
            scopes: raw.param("scope").map(scope_tokens).unwrap_or_default(),
            error,
        }
    }

    const fn rank(&self) -> u8 {
        if self.resource_metadata.is_some() {
            2
        } else if self.error.is_some() || !self.scopes.is_empty() {
            1
        } else {
            0
        }
    }
}

/// The scope tokens of a text (RFC 6749 §3.3), each once, in their order; what no token may hold is
/// left out.
pub(super) fn scope_tokens(text: &str) -> Vec<String> {
    each_once(text.split(' '))
}

/// Scope tokens, each once, in their order.
pub(super) fn each_once<'a>(tokens: impl Iterator<Item = &'a str>) -> Vec<String> {
    let allowed = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    let mut kept: Vec<String> = Vec::new();
    for token in tokens.filter(|t| !t.is_empty() && t.chars().all(allowed)) {
        if kept.len() == MOST_SCOPES {
            break;
        }
        if !kept.iter().any(|k| k == token) {
            kept.push(token.to_owned());
        }
    }
    kept
}

/// One challenge as it stood: a scheme with its parameters.
#[derive(Debug)]
struct Raw {
    scheme: String,
    params: Vec<(String, String)>,
}

impl Raw {
    /// A parameter's value. One that stands twice with different values means nothing.
    fn param(&self, name: &str) -> Option<&str> {
        let mut values = self.params.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let first = values.next()?;
        values.all(|other| other == first).then_some(first)
    }
}

fn read(headers: &[String]) -> Vec<Raw> {
    let mut all = Vec::new();
    for header in headers {
        let mut reader = Reader { rest: cut(header), open: None };
        while all.len() < MOST_CHALLENGES {
            let Some(raw) = reader.next() else { break };
            all.push(raw);
        }
    }
    all
}

/// The part of a header that is read.
fn cut(header: &str) -> &str {
    let mut end = header.len().min(LONGEST_HEADER);
    while !header.is_char_boundary(end) {
        end -= 1;
    }
    &header[..end]
}

/// Reads one header from its front.
struct Reader<'a> {
    rest: &'a str,
    /// The scheme that was read while its predecessor was being finished.
    open: Option<Raw>,
}

impl Reader<'_> {
    /// The next challenge of this header.
    fn next(&mut self) -> Option<Raw> {
        let mut current = self.open.take();
        loop {
            self.skip(|c| c == ',' || c == ' ' || c == '\t');
            if self.rest.is_empty() {
                return current;
            }
            let word = self.take(is_token);
            if word.is_empty() {
                // Not a token: a stray sign or quoted text; neither starts anything.
                self.skip_item();
                continue;
            }
            let before = self.rest;
            self.skip(|c| c == ' ' || c == '\t');
            if self.rest.starts_with('=') && current.is_some() {
                self.rest = &self.rest[1..];
                self.skip(|c| c == ' ' || c == '\t');
                let value = self.value();
                if let Some(raw) = &mut current {
                    raw.params.push((word.to_ascii_lowercase(), value));
                }
                continue;
            }
            self.rest = before;
            let begun = Raw { scheme: word, params: Vec::new() };
            self.skip_token68();
            if let Some(done) = current.replace(begun) {
                self.open = current;
                return Some(done);
            }
        }
    }

    fn take(&mut self, of: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !of(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }

    fn skip(&mut self, over: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(over);
    }

    /// A quoted text, or whatever stands up to the next comma or space.
    fn value(&mut self) -> String {
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        self.take(|c| c != ',' && c != ' ' && c != '\t')
    }

    /// A quoted text with its escapes undone. One that never ends, ends with the header.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut escaped = false;
        let mut signs = self.rest.char_indices().skip(1);
        let end = loop {
            let Some((at, sign)) = signs.next() else { break self.rest.len() };
            match sign {
                _ if escaped => {
                    text.push(sign);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => break at + 1,
                _ => text.push(sign),
            }
        };
        self.rest = &self.rest[end..];
        text
    }

    /// Everything to the next comma, quoted commas not counted.
    fn skip_item(&mut self) {
        while let Some(sign) = self.rest.chars().next() {
            match sign {
                ',' => return,
                '"' => drop(self.quoted()),
                _ => self.rest = &self.rest[sign.len_utf8()..],
            }
        }
    }

    /// The credentials form that some schemes have instead of parameters: it means nothing here.
    fn skip_token68(&mut self) {
        let in_token68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let Some(spaced) = self.rest.strip_prefix([' ', '\t']) else { return };
        let text = spaced.trim_start_matches([' ', '\t']);
        let after = text.trim_start_matches(in_token68);
        if after.len() == text.len() {
            return;
        }
        let after = after.trim_start_matches('=').trim_start_matches([' ', '\t']);
        if after.is_empty() || after.starts_with(',') {
            self.rest = after;
        }
    }
}

/// A token sign (RFC 9110 §5.6.2).
fn is_token(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(sign)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(headers: &[&str]) -> Option<Challenge> {
        let headers: Vec<String> = headers.iter().map(|h| (*h).into()).collect();
        Challenge::bearer(&headers)
    }

    fn metadata(header: &str) -> Option<String> {
        bearer(&[header]).and_then(|c| c.resource_metadata)
    }

    #[test]
    fn a_challenge_says_where_metadata_lies_and_what_it_needs() {
        let challenge = bearer(&[
            r#"Bearer realm="x, y", error="insufficient_scope", scope="files:read files:write", resource_metadata="https://m.example/.well-known/oauth-protected-resource", error_description="no""#,
        ])
        .unwrap();
        assert_eq!(
            challenge.resource_metadata.as_deref(),
            Some("https://m.example/.well-known/oauth-protected-resource")
        );
        assert_eq!(challenge.scopes, ["files:read", "files:write"]);
        assert!(challenge.asks_for_more());
        assert!(!alloc::format!("{challenge:?}").contains("no\""));
    }

    #[test]
    fn the_scheme_and_the_names_are_read_in_any_case_and_values_in_any_form() {
        assert_eq!(metadata("bEARER Resource_Metadata=https://m/x"), Some("https://m/x".into()));
        assert_eq!(metadata(r#"Bearer resource_metadata = "a""#), Some("a".into()));
        assert_eq!(
            metadata(r#"Bearer  realm="",resource_metadata="a\"\\b""#),
            Some("a\"\\b".into())
        );
        assert_eq!(
            bearer(&["Bearer error=invalid_token"]).unwrap().error,
            Some(BearerError::InvalidToken)
        );
        assert_eq!(
            bearer(&["Bearer error=\"who knows\""]).unwrap().error,
            Some(BearerError::Other)
        );
        // No comma between: not the grammar, and seen.
        assert_eq!(metadata(r#"Bearer realm="x" resource_metadata="a""#), Some("a".into()));
    }

    #[test]
    fn bearer_is_found_among_several_challenges_and_headers() {
        let several = r#"Basic realm="a, Bearer resource_metadata=no", Negotiate, NTLM TlRMTVNT==, Bearer resource_metadata="yes", Digest nonce="Bearer""#;
        assert_eq!(metadata(several), Some("yes".into()));
        let found = bearer(&[
            "Negotiate abc=",
            "Bearer",
            r#"Bearer error="invalid_token""#,
            r#"Bearer resource_metadata="m""#,
        ]);
        assert_eq!(found.unwrap().resource_metadata, Some("m".into()));
        assert_eq!(bearer(&["Bearer"]), Some(Challenge::default()));
        assert_eq!(bearer(&["Basic realm=\"x\""]), None);
        // Another scheme's credentials are not a scheme.
        assert_eq!(bearer(&["Negotiate Bearer", "NTLM Bearer==, Basic x=y"]), None);
        assert_eq!(bearer(&[]), None);
    }

    #[test]
    fn a_parameter_that_contradicts_itself_means_nothing() {
        assert_eq!(metadata(r#"Bearer resource_metadata="a", resource_metadata="b""#), None);
        assert_eq!(
            metadata(r#"Bearer resource_metadata="a", resource_metadata="a""#),
            Some("a".into())
        );
        // Another challenge's parameter is not this one's.
        assert_eq!(metadata(r#"Bearer realm="x", DPoP resource_metadata="b""#), None);
    }

    #[test]
    fn scopes_hold_only_what_a_scope_may_hold_each_once() {
        let scopes = |text: &str| bearer(&[text]).unwrap().scopes;
        assert_eq!(scopes(r#"Bearer scope="a  b a""#), ["a", "b"]);
        assert_eq!(scopes(r#"Bearer scope="a	b é ok c\"d""#), ["ok"]);
        assert!(scopes(r#"Bearer scope="""#).is_empty());
        let many = (0..2000).map(|n| alloc::format!("s{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(scopes(&alloc::format!("Bearer scope=\"{many}\"")).len(), MOST_SCOPES);
    }

    #[test]
    fn broken_and_hostile_headers_end_quietly() {
        assert_eq!(metadata(r#"Bearer resource_metadata="never ends"#), Some("never ends".into()));
        assert_eq!(
            metadata(r#"Bearer resource_metadata="ends in a backslash\"#),
            Some("ends in a backslash".into())
        );
        assert_eq!(bearer(&["=,=,\"Bearer x=y\",,;"]), None);
        for part in ["Bearer ", ",", "a=", "\"", "\\", "é", "Bearer a=\"b\", ", "= "] {
            let _ = bearer(&[&part.repeat(10_000)]);
        }
        let long = alloc::format!("Bearer x=\"{}\", resource_metadata=\"m\"", "y".repeat(10_000));
        assert_eq!(metadata(&long), Some("m".into()));
        let too_long =
            alloc::format!("Bearer x=\"{}\", resource_metadata=\"m\"", "é".repeat(10_000));
        assert_eq!(metadata(&too_long), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(headers in proptest::collection::vec(".{0,80}", 0..4)) {
            let _ = Challenge::bearer(&headers);
        }

        #[test]
        fn what_was_quoted_is_read_back(value in "[ -~]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let header = alloc::format!("Basic x=\"y\", Bearer resource_metadata=\"{quoted}\", a=b");
            prop_assert_eq!(metadata(&header), Some(value));
        }
    }
}
