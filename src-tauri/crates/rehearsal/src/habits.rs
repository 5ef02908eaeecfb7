//! What servers do at a sign-in that the RFCs don't ask for, each a switch of its own; and four
//! providers made of such switches, as their documents and their users tell of them.
//!
//! What it must not do: act. The values are read by `metadata`, `sign_in`, `token` and `dialect`.
//!
//! Where to read next: [`Habits`]; [`Builder::slack`], the strangest of the four.

use crate::builder::Builder;
use crate::options::{Dialect, GraceAnswer, Layout, Prm, Rotation};

/// How a client comes to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// By itself (RFC 7591), answered with 201.
    #[default]
    Open,
    /// By itself, answered with 200 and every number as a text.
    Loose,
    /// By itself, with a secret only: the metadata doesn't know `none`, and a public client is
    /// refused.
    WithSecret,
    /// By itself, but one redirect URI that is neither HTTPS nor loopback sinks all of it.
    WebOnly,
    /// There is an endpoint, and it refuses everybody with 422.
    Refused,
    /// By hand only: there is no endpoint.
    ByHand,
}

/// Whether an answer in the browser names its issuer (RFC 9207).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamesItself {
    /// Always, and the metadata says so.
    #[default]
    Advertised,
    /// Always, and the metadata is silent.
    Unadvertised,
    /// Never.
    Never,
}

/// What is answered where there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nothing {
    /// 404.
    #[default]
    NotFound,
    /// A page of HTML with 200.
    Page,
    /// A redirect to such a page.
    ToPage,
}

/// What a refresh token has to be asked for with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offline {
    /// Nothing: it comes by itself.
    #[default]
    Always,
    /// `access_type=offline` and `prompt=consent`; the scope `offline_access` is refused.
    ByParameters,
    /// The scope `offline_access`, again at each refresh that names scopes. It is not listed among
    /// what was granted, and `prompt=consent` is refused: an administrator consents for everybody.
    ByScope,
}

/// What a server does differently. The default is as the RFCs have it.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent switch")]
pub struct Habits {
    /// How a client comes to be known.
    pub registration: Registration,
    /// A loopback redirect needs the very port that was registered.
    pub exact_redirects: bool,
    /// Whether an answer in the browser names its issuer.
    pub names_itself: NamesItself,
    /// What a refresh token has to be asked for with.
    pub offline: Offline,
    /// A request in the browser without scopes is refused.
    pub needs_scope: bool,
    /// `resource` (RFC 8707) is refused with `invalid_target`.
    pub refuses_resource: bool,
    /// Answers of the token endpoint are forms, whatever `Accept` says; a dialect of forms only.
    pub forms_only: bool,
    /// The metadata does not mention PKCE.
    pub silent_on_pkce: bool,
    /// What is answered where there is nothing.
    pub nothing: Nothing,
    /// The issuer ends with a slash, wherever it is named.
    pub issuer_slash: bool,
    /// The protected resource names the issuer with a slash at its end that the issuer has not.
    pub named_with_slash: bool,
    /// The protected resource calls itself by its origin alone.
    pub resource_is_origin: bool,
    /// What the protected resource's metadata lists as `scopes_supported`.
    pub scopes: Vec<&'static str>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            exact_redirects: false,
            names_itself: NamesItself::Advertised,
            offline: Offline::Always,
            needs_scope: false,
            refuses_resource: false,
            forms_only: false,
            silent_on_pkce: false,
            nothing: Nothing::NotFound,
            issuer_slash: false,
            named_with_slash: false,
            resource_is_origin: false,
            scopes: vec!["read", "write"],
        }
    }
}

impl Builder {
    /// Slack: 200 for everything, tokens nested, scopes with commas and never left out; apps made by
    /// hand with one exact redirect; an issuer that is not the address it is asked at.
    pub fn slack(self) -> Self {
        let habits = Habits {
            registration: Registration::ByHand,
            exact_redirects: true,
            names_itself: NamesItself::Never,
            needs_scope: true,
            nothing: Nothing::ToPage,
            resource_is_origin: true,
            scopes: Vec::new(),
            ..Habits::default()
        };
        self.dialect(Dialect::Slack)
            .life_seconds(43_200)
            .rotation(Rotation::Strict)
            .prm(Prm::Root)
            .metadata_issuer("https://slack.com")
            .token_endpoint_elsewhere(true)
            .habits(habits)
    }

    /// GitHub, with an app whose tokens end: errors with 200, answers that are forms, apps made by
    /// hand, an issuer with a path.
    pub fn github(self) -> Self {
        let habits = Habits {
            registration: Registration::Refused,
            names_itself: NamesItself::Never,
            forms_only: true,
            ..Habits::default()
        };
        self.dialect(Dialect::GitHub)
            .life_seconds(28_800)
            .refresh_token_expires_in(15_811_200)
            .issuer_path("/login/oauth")
            .habits(habits)
    }

    /// Google: a refresh token only for who asks in its own way, and never another; clients made by
    /// hand, with a secret; an issuer with and without a slash; an ID token.
    pub fn google(self) -> Self {
        let habits = Habits {
            registration: Registration::ByHand,
            names_itself: NamesItself::Unadvertised,
            offline: Offline::ByParameters,
            named_with_slash: true,
            scopes: vec!["openid", "email", "drive"],
            ..Habits::default()
        };
        self.dialect(Dialect::Google)
            .rotation(Rotation::None)
            .omit_refresh_token(true)
            .layout(Layout::OidcAppended)
            .token_endpoint_elsewhere(true)
            .habits(habits)
    }

    /// Entra: a tenant in the issuer's path, nothing said of PKCE, `resource` refused, a refresh token
    /// only for the scope `offline_access`, errors with numbers in their words, an ID token.
    pub fn entra(self) -> Self {
        let habits = Habits {
            registration: Registration::ByHand,
            names_itself: NamesItself::Never,
            offline: Offline::ByScope,
            refuses_resource: true,
            silent_on_pkce: true,
            scopes: vec!["openid", "email", "api://lamp/tools"],
            ..Habits::default()
        };
        // An older refresh token stays good for days.
        let rotation = Rotation::Grace { ms: 86_400_000, answer: GraceAnswer::NewPair };
        self.dialect(Dialect::Entra)
            .rotation(rotation)
            .layout(Layout::OidcAppended)
            .issuer_path("/7d1c0a5e-lamp/v2.0")
            .habits(habits)
    }
}
