//! What kind of server is rehearsed: every choice a test or the demo can make, and its default.
//!
//! What it must not do: act. The values are read by `ledger`, `metadata`, `dialect` and `token`.
//!
//! Where to read next: [`crate::Builder`], which collects them.

use crate::habits::Habits;

/// What happens to the refresh token when it is used (RFC 9700 §4.14.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// A new one each time; presenting a spent one ends the whole family, access tokens included.
    #[default]
    Strict,
    /// As `Strict`, but the immediately previous one is still taken for a while.
    Grace {
        /// For how many milliseconds after it was spent.
        ms: u64,
        /// What the second use gets.
        answer: GraceAnswer,
    },
    /// The previous one stays good until the new one is used for the first time.
    PreviousUntilUse,
    /// The refresh token never changes.
    None,
}

/// What a refresh token gets that is used again within its grace time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GraceAnswer {
    /// The very pair the first use got.
    #[default]
    SamePair,
    /// One more new pair; the one in between is spent.
    NewPair,
}

/// How the token endpoint words its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 6749 §5.1 and §5.2.
    #[default]
    Standard,
    /// Always 200; `ok` says how it went; scopes with commas; a code's tokens in `authed_user`.
    Slack,
    /// Errors with 200; form-encoded unless `Accept: application/json`.
    GitHub,
    /// As `Standard`, but success is 201.
    Created201,
    /// As `Standard`, with an ID token for the scope `openid`.
    Google,
    /// As `Google`, with a number of its own in front of each description of an error.
    Entra,
}

/// The shape of `expires_in`. What the server really keeps is always its life in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiresIn {
    /// A whole number, as RFC 6749 §5.1 has it.
    #[default]
    Number,
    /// Left out.
    Missing,
    /// `0`.
    Zero,
    /// `-1`.
    Negative,
    /// `3600.0`.
    Float,
    /// `"3600"`.
    Text,
}

/// Where the metadata of the authorization server can be found, and nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `/.well-known/oauth-authorization-server` + issuer path (RFC 8414 §3.1).
    #[default]
    Inserted,
    /// `/.well-known/openid-configuration` + issuer path (RFC 8414 §5).
    OidcInserted,
    /// Issuer path + `/.well-known/openid-configuration` (`OpenID` Connect Discovery §4).
    OidcAppended,
    /// Not published.
    Nothing,
}

/// Where the metadata of the protected resource can be found (RFC 9728 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prm {
    /// `/.well-known/oauth-protected-resource/mcp`.
    #[default]
    Path,
    /// `/.well-known/oauth-protected-resource`.
    Root,
    /// Not published, and a 401 doesn't name it.
    Nowhere,
}

/// How a client proves who it is at the token endpoint (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// It is public; a secret is refused.
    None,
    /// The secret in the `Authorization` header only.
    Basic,
    /// The secret in the body only.
    Post,
    /// The secret in either, never in both.
    Either,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent switch of the builder")]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) life_seconds: i64,
    pub(crate) asks: bool,
    pub(crate) rotation: Rotation,
    pub(crate) revoke_old_access: bool,
    pub(crate) dialect: Dialect,
    pub(crate) expires_in: ExpiresIn,
    pub(crate) omit_scope: bool,
    pub(crate) omit_refresh_token: bool,
    pub(crate) refresh_token_expires_in: Option<i64>,
    pub(crate) require_resource: bool,
    pub(crate) layout: Layout,
    pub(crate) prm: Prm,
    pub(crate) issuer_path: String,
    pub(crate) metadata_issuer: Option<String>,
    pub(crate) token_endpoint_elsewhere: bool,
    pub(crate) habits: Habits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            life_seconds: 3600,
            asks: false,
            rotation: Rotation::Strict,
            revoke_old_access: false,
            dialect: Dialect::Standard,
            expires_in: ExpiresIn::Number,
            omit_scope: false,
            omit_refresh_token: false,
            refresh_token_expires_in: None,
            require_resource: false,
            layout: Layout::Inserted,
            prm: Prm::Path,
            issuer_path: String::new(),
            metadata_issuer: None,
            token_endpoint_elsewhere: false,
            habits: Habits::default(),
        }
    }
}
