//! What an entry recorded of the server that its sign-in was made at, kept beside the token that was
//! seen with it.
//!
//! A client may rewrite these records while the tokens stay, led by the configuration of the folder it
//! was started in. The tokens still belong to the server that was recorded first, so another one is shown
//! to a person before anything goes there. What the records lead to is judged in
//! [`discovery::trust`](super::discovery::trust), in any case.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::{url::host, url::origin, url::same_but_slash};
use crate::{ids::TokenMark, oauth::profile::Profile, store::Entry};

/// Where the holder of a token signed in, as its entry recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedAnchor {
    /// The refresh token that the entry held, or the access token where there is no other.
    pub mark: TokenMark,
    /// The authorization server.
    #[serde(default)]
    pub authorization_server: Option<String>,
    /// Its issuer.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The metadata document.
    #[serde(default)]
    pub metadata_url: Option<String>,
}

/// The entry records another server than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorMoved {
    /// The name recorded first: a host, or the whole address where the hosts are the same.
    pub known: String,
    /// The name recorded now.
    pub now: String,
}

impl RecordedAnchor {
    /// What this entry records, for the token of this mark.
    pub fn of(entry: &Entry, mark: TokenMark) -> Self {
        Self {
            mark,
            authorization_server: entry.authorization_server.clone(),
            issuer: entry.issuer.clone(),
            metadata_url: entry.metadata_url.clone(),
        }
    }

    /// The same with what the entry records besides. For an entry that has not moved.
    #[must_use]
    pub fn completed(&self, entry: &Entry, mark: TokenMark) -> Self {
        let either = |known: &Option<String>, now: &Option<String>| known.clone().or(now.clone());
        Self {
            mark,
            authorization_server: either(&self.authorization_server, &entry.authorization_server),
            issuer: either(&self.issuer, &entry.issuer),
            metadata_url: either(&self.metadata_url, &entry.metadata_url),
        }
    }

    /// Whether the entry records another server now. A record that is only added, and lies at the
    /// server known so far, is none; nor is a document that the user configured, which has to fit that
    /// server anyway.
    pub fn moved(&self, entry: &Entry, profile: &Profile) -> Option<AnchorMoved> {
        let known = self.authorization_server.as_deref().or(self.issuer.as_deref());
        let home = known.unwrap_or(&entry.server_url);
        let server = entry.authorization_server.as_deref();
        let (issuer, document) = (entry.issuer.as_deref(), entry.metadata_url.as_deref());
        let near = |url: &str, to: Option<&str>| {
            origin(url).is_some() && origin(url) == to.and_then(origin)
        };
        let vouched = |url: &str| {
            let mut origins = profile.issuers.iter().chain(&profile.token_origins);
            origins.any(|vouched| near(url, Some(vouched)))
        };
        let added = |url: &str| near(url, Some(home)) || vouched(url);
        let same = |url: &str, known: Option<&str>| match known {
            Some(known) => same_but_slash(url, known) || vouched(url),
            None => added(url),
        };
        let server = server.filter(|url| !same(url, self.authorization_server.as_deref()));
        let issuer = issuer.filter(|url| match self.issuer.as_deref() {
            // What the recorded server calls itself is its own word.
            None if entry.authorization_server.is_some() => false,
            known => !same(url, known),
        });
        let document = document.filter(|url| {
            let is_known = self.metadata_url.as_deref() == Some(url);
            let is_configured = entry.sign_in.metadata_url.as_deref() == Some(url);
            !(is_known || is_configured || added(url) || near(url, self.issuer.as_deref()))
        });
        let now = server.or(issuer).or(document)?;
        let of_hosts = AnchorMoved { known: host(home), now: host(now) };
        let whole = || AnchorMoved { known: home.into(), now: now.into() };
        Some(if of_hosts.known == of_hosts.now { whole() } else { of_hosts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::EntryKey,
        store::{ClientFrom, SignInConfig, TokenPair},
    };

    const HONEST: &str = "https://as.example";
    const OTHER: &str = "https://evil.example";
    const MARK: TokenMark = TokenMark([0; 16]);

    fn entry(server: Option<&str>, issuer: Option<&str>, document: Option<&str>) -> Entry {
        Entry {
            key: EntryKey::from("rig|0"),
            server_name: "rig".into(),
            server_url: "https://mcp.example/mcp".into(),
            pair: TokenPair::default(),
            scope: None,
            client: None,
            client_from: ClientFrom::Nobody { project: None },
            configured_secret: None,
            issuer: issuer.map(String::from),
            authorization_server: server.map(String::from),
            metadata_url: document.map(String::from),
            redirect_uri: None,
            sign_in: SignInConfig::default(),
            left_alone: None,
        }
    }

    fn moved(before: &Entry, after: &Entry) -> Option<(String, String)> {
        let moved = RecordedAnchor::of(before, MARK).moved(after, &Profile::default());
        moved.map(|moved| (moved.known, moved.now))
    }

    #[test]
    fn what_a_client_only_adds_to_its_records_is_no_move() {
        let before = entry(Some(HONEST), None, None);
        for after in [
            entry(Some(HONEST), None, None),
            entry(Some("https://as.example/"), None, None),
            entry(Some(HONEST), Some(HONEST), None),
            entry(Some(HONEST), Some("https://tenant.example/"), None),
            entry(Some(HONEST), None, Some("https://as.example/.well-known/m")),
            entry(None, Some("https://as.example/"), None),
            entry(None, None, None),
        ] {
            assert_eq!(moved(&before, &after), None, "{after:?}");
        }
        // The document is not known any more, or was null from the start.
        let with_document = entry(Some(HONEST), None, Some("https://docs.example/m"));
        assert_eq!(moved(&with_document, &before), None);
        assert_eq!(moved(&with_document, &with_document), None);
        let bare = entry(None, None, None);
        assert_eq!(moved(&bare, &entry(Some("https://mcp.example"), None, None)), None);
        let named = entry(None, Some(HONEST), None);
        assert_eq!(moved(&named, &before), None);
    }

    #[test]
    fn another_server_issuer_or_document_for_the_same_token_is_a_move() {
        let hosts = |known: &str| Some((known.into(), String::from("evil.example")));
        let document = "https://evil.example/m";
        let before = entry(Some(HONEST), Some(HONEST), None);
        for after in [
            entry(Some(OTHER), Some(OTHER), Some(document)),
            entry(Some(HONEST), Some(HONEST), Some(document)),
            entry(Some(HONEST), Some(OTHER), None),
            entry(None, Some(OTHER), None),
            entry(Some(OTHER), None, None),
        ] {
            assert_eq!(moved(&before, &after), hosts("as.example"), "{after:?}");
        }
        let unnamed = entry(Some(HONEST), None, None);
        assert_eq!(moved(&unnamed, &entry(None, Some(OTHER), None)), hosts("as.example"));
        let bare = entry(None, None, None);
        assert_eq!(moved(&bare, &entry(Some(OTHER), None, None)), hosts("mcp.example"));
        let tenant = moved(&before, &entry(Some("https://as.example/evil"), None, None));
        assert_eq!(tenant, Some((HONEST.into(), "https://as.example/evil".into())));
    }

    #[test]
    fn what_is_not_recorded_for_a_while_is_not_forgotten() {
        let before = RecordedAnchor::of(&entry(Some(HONEST), None, None), MARK);
        let meanwhile = before.completed(&entry(None, None, None), MARK);
        assert!(meanwhile.moved(&entry(Some(OTHER), None, None), &Profile::default()).is_some());
        let more = before.completed(&entry(Some("https://as.example/"), Some(HONEST), None), MARK);
        assert_eq!(more.authorization_server.as_deref(), Some(HONEST));
        assert_eq!(more.issuer.as_deref(), Some(HONEST));
    }

    #[test]
    fn a_document_that_the_user_configured_and_a_server_that_the_profile_vouches_for_are_no_move() {
        let document = "https://docs.example/m";
        let mut after = entry(Some(HONEST), None, Some(document));
        assert!(moved(&entry(Some(HONEST), None, None), &after).is_some());
        after.sign_in.metadata_url = Some(document.into());
        assert_eq!(moved(&entry(Some(HONEST), None, None), &after), None);
        let profile = Profile { issuers: alloc::vec![OTHER.into()], ..Profile::default() };
        let before = RecordedAnchor::of(&entry(Some(HONEST), None, None), MARK);
        assert_eq!(before.moved(&entry(Some(OTHER), Some(OTHER), None), &profile), None);
    }
}
