//! Provider profiles: what real servers do differently, as data.
//!
//! The shipped ones are in `providers.toml`; a user's settings override single fields. A profile
//! never holds a client id: no other program's identity is shipped.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::Deserialize;

use crate::{oauth::auth_method::AuthMethod, time::Millis};

const SHIPPED: &str = include_str!("providers.toml");

/// One provider's differences; the default is a server that follows the RFCs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// What people call it.
    pub name: String,
    /// MCP server hosts it is recognised by; a host also stands for its subdomains.
    pub hosts: Vec<String>,
    /// Issuers vouched for although they differ from the address they were asked at.
    pub issuers: Vec<String>,
    /// Origins a refresh token may go to besides the authorization server's own.
    pub token_origins: Vec<String>,
    /// Its words for `invalid_grant`.
    pub grant_refused: Vec<String>,
    /// Its words for `invalid_client`.
    pub client_refused: Vec<String>,
    /// Its words for "try later", certainly not acted on.
    pub not_processed: Vec<String>,
    /// Its words for "something broke", possibly after the rotation.
    pub perhaps_processed: Vec<String>,
    /// The life of an access token in seconds, where neither answer nor token tells.
    pub access_life_seconds: Option<u64>,
    /// The life of a refresh token in days.
    pub sign_in_life_days: Option<u64>,
    /// Whether `resource` is sent, at sign-in and at refresh; `None` means yes.
    pub send_resource: Option<bool>,
    /// Whether the granted scope is repeated at refresh; `None` means no.
    pub send_scope: Option<bool>,
    /// Whether a refresh leaves the older access token alive.
    pub keeps_old_access: Option<bool>,
    /// Values of `resource` in its metadata that are taken although they don't cover the server.
    pub resources: Vec<String>,
    /// Scopes asked for where neither the challenge nor the metadata names any.
    pub scopes: Vec<String>,
    /// Whether `offline_access` is asked for; `None`: where the metadata lists it.
    pub offline_access: Option<bool>,
    /// Whether `prompt=consent` goes with `offline_access`; `None` means yes.
    pub consent_prompt: Option<bool>,
    /// More parameters of the authorization request. They can't replace one of ours.
    pub authorize_params: BTreeMap<String, String>,
    /// The one redirect URI that its pre-registered clients have.
    pub redirect_uri: Option<String>,
    /// Whether it does PKCE with S256 although its metadata does not say so; `None` means no.
    pub s256: Option<bool>,
    /// Whether clients may register themselves (RFC 7591); `None`: the metadata tells.
    pub registration: Option<bool>,
    /// Whether a client needs a secret although it is a desktop program; `None` means no.
    pub needs_secret: Option<bool>,
    /// How a client proves itself at the token endpoint, where the metadata misleads.
    pub auth_method: Option<AuthMethod>,
}

impl Profile {
    /// The planned life of an access token that says nothing about itself.
    pub fn access_life(&self) -> Option<Millis> {
        self.access_life_seconds.map(Millis::seconds)
    }
}

/// A profile text that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider profiles: {0}")]
pub struct ProfileFault(String);

/// All profiles, by short name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiles {
    by_name: BTreeMap<String, Profile>,
    plain: Profile,
}

impl Profiles {
    /// The shipped profiles with the user's `[profiles.NAME]` tables laid over them, field by field.
    ///
    /// `overrides` is a TOML text whose top-level tables are profile names; empty for none.
    pub fn with_overrides(overrides: &str) -> Result<Self, ProfileFault> {
        let mut tables = parse(SHIPPED)?;
        for (name, over) in parse(overrides)? {
            let table =
                tables.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let (toml::Value::Table(table), toml::Value::Table(over)) = (table, over) {
                table.extend(over);
            }
        }
        let mut by_name = BTreeMap::new();
        for (name, table) in tables {
            let profile = Profile::deserialize(table)
                .map_err(|fault| ProfileFault(alloc::format!("[{name}]: {}", fault.message())))?;
            by_name.insert(name, profile);
        }
        Ok(Self { by_name, plain: Profile::default() })
    }

    /// The profile of the server at `url`, with its short name; the plain one where none is known.
    pub fn of(&self, url: &str) -> (Option<&str>, &Profile) {
        let host = url::Url::parse(url).ok().and_then(|u| u.host_str().map(String::from));
        let known = host.and_then(|host| {
            self.by_name.iter().find(|(_, p)| p.hosts.iter().any(|h| covers(h, &host)))
        });
        known.map_or((None, &self.plain), |(name, profile)| (Some(name.as_str()), profile))
    }
}

impl Default for Profiles {
    /// The shipped profiles. A test reads them, so they parse.
    fn default() -> Self {
        Self::with_overrides("")
            .unwrap_or_else(|_| Self { by_name: BTreeMap::new(), plain: Profile::default() })
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, toml::Value>, ProfileFault> {
    toml::from_str(text).map_err(|fault| ProfileFault(fault.message().into()))
}

fn covers(pattern: &str, host: &str) -> bool {
    host == pattern || host.strip_suffix(pattern).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_profiles_parse_and_know_slack() {
        let profiles = Profiles::with_overrides("").unwrap();
        let (name, slack) = profiles.of("https://mcp.slack.com/mcp");
        assert_eq!(name, Some("slack"));
        assert_eq!(slack.access_life(), Some(Millis::hours(12)));
        assert_eq!(profiles.of("https://evilmcp.slack.com.example/mcp").0, None);
        assert_eq!(profiles.of("https://drive.googleapis.com/mcp").0, Some("google"));
        assert_eq!(profiles.of("https://evilgoogleapis.com/mcp").0, None);
    }

    #[test]
    fn an_override_changes_its_field_and_leaves_the_rest() {
        let profiles = Profiles::with_overrides(
            "[slack]\naccess_life_seconds = 60\n[mine]\nhosts = [\"mcp.example\"]\n",
        )
        .unwrap();
        let slack = profiles.of("https://mcp.slack.com/mcp").1;
        assert_eq!(slack.access_life(), Some(Millis::minutes(1)));
        assert_eq!(slack.name, "Slack");
        assert_eq!(profiles.of("http://mcp.example:1/").0, Some("mine"));
    }

    #[test]
    fn what_a_sign_in_needs_to_know_is_read() {
        let profiles = Profiles::default();
        let of = |url: &str| profiles.of(url).1.clone();
        let slack = of("https://mcp.slack.com/mcp");
        assert_eq!(slack.redirect_uri.as_deref(), Some("http://localhost:3118/callback"));
        assert_eq!(slack.registration, Some(false));
        let google = of("https://drive.googleapis.com/mcp");
        assert_eq!(google.authorize_params["access_type"], "offline");
        assert_eq!((google.offline_access, google.needs_secret), (Some(false), Some(true)));
        let entra = of("https://mcp.dev.azure.com/org");
        assert_eq!((entra.send_resource, entra.offline_access), (Some(false), Some(true)));
        assert_eq!((entra.s256, entra.consent_prompt), (Some(true), Some(false)));
        assert_eq!(of("https://mcp.figma.com/mcp").auth_method, Some(AuthMethod::Post));
    }

    #[test]
    fn a_user_may_override_how_a_sign_in_is_made() {
        let profiles = Profiles::with_overrides(
            "[mine]\nhosts = ['mcp.example']\nscopes = ['a']\nauth_method = 'client_secret_basic'\n\
             [mine.authorize_params]\naudience = 'x'\n",
        )
        .unwrap();
        let mine = profiles.of("https://mcp.example").1;
        assert_eq!(mine.auth_method, Some(AuthMethod::Basic));
        assert_eq!(mine.authorize_params["audience"], "x");
        let wrong = Profiles::with_overrides("[slack]\nauth_method = 'jwt'\n").unwrap_err();
        assert!(wrong.to_string().contains("client_secret_post"), "{wrong}");
    }

    #[test]
    fn no_profile_holds_a_client() {
        assert!(!SHIPPED.contains("client_id ="));
        assert!(Profiles::with_overrides("[slack]\nclient_id = 'x'\n").is_err());
    }

    #[test]
    fn an_unknown_field_is_named() {
        let fault = Profiles::with_overrides("[slack]\nlief = 1\n").unwrap_err();
        assert!(fault.to_string().contains("lief"), "{fault}");
    }
}
