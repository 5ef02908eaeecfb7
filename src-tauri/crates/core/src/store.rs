//! What a client's store holds, as core sees it, and what may go wrong with one.
//!
//! The engine's `stores` modules translate each client's format into these types and back. Absent,
//! locked, broken and busy are different faults and look different to a person: unreadable is not
//! empty.

use alloc::{string::String, vec::Vec};

use crate::{
    ids::{EntryKey, StoreId},
    secret::Secret,
    time::{Millis, Wall},
};

/// What is fixed about a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    /// Its name.
    pub id: StoreId,
    /// The client's name as people say it: `Claude Code`.
    pub client: String,
    /// The folder or item it lies in, for people.
    pub place: String,
    /// How early the client refreshes by itself.
    pub client_margin: Millis,
}

/// The version of a store that has no file.
pub const NO_FILE: u64 = 0;

/// Everything one look at a store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreView {
    /// Every OAuth entry that belongs to an MCP server, in the store's order.
    pub entries: Vec<Entry>,
    /// Servers known from configuration that have no entry. Nothing contacts them before a click.
    pub servers: Vec<ConfiguredServer>,
    /// "Needs auth" verdicts that hide a server from new sessions.
    pub verdicts: Vec<AuthVerdict>,
    /// The version of the client that is installed, where it can be told.
    pub client_version: Option<String>,
    /// What a person should know about this client: an old version that loses sign-ins, say.
    pub advice: Vec<String>,
    /// A client at work that would wipe what it meets renewed, if there is one.
    pub wiper: Option<Wiper>,
    /// Whether there was anything to read.
    pub sign_ins: SignIns,
    /// Another number each time anybody writes the store, where that can be told; [`NO_FILE`] where
    /// there is none yet.
    pub version: Option<u64>,
    /// Its version before a write of this process that changed nothing in it, while that write is the
    /// last one.
    pub version_before: Option<u64>,
}

impl StoreView {
    /// Whether the store itself was read, and not only what is configured beside it.
    pub fn is_there(&self) -> bool {
        self.sign_ins == SignIns::Read
    }
}

/// Whether the file or item that holds the sign-ins was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SignIns {
    /// It was read.
    #[default]
    Read,
    /// It is not there, and the folder that it belongs in is: somebody signed out of everything, or
    /// nobody ever signed in.
    None,
    /// Its folder is not there, or is empty: a disk may be away. Nothing follows from that.
    Away,
}

/// A running client that reads its store through a cache and writes back from it: where a renewal
/// ends the older access token at once, it presents a refresh token that is spent, is refused, and
/// empties the entry (Claude Code below 2.1.190 on macOS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiper {
    /// Its version, where it can be told.
    pub version: Option<String>,
}

/// One grant in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The store's key.
    pub key: EntryKey,
    /// The server's name as configured.
    pub server_name: String,
    /// The MCP server's URL, which is also the `resource` (RFC 8707) the client sends at refresh.
    pub server_url: String,
    /// The tokens.
    pub pair: TokenPair,
    /// Granted scopes, space separated (RFC 6749 §3.3).
    pub scope: Option<String>,
    /// The OAuth client that the grant belongs to: the entry's own, else the one that a renewal of this
    /// sign-in succeeded as, else the configured one.
    pub client: Option<ClientCredentials>,
    /// Whose word that is.
    pub client_from: ClientFrom,
    /// The secret that the user configured for an entry that names no client, where their configuration
    /// names none either that it would belong to.
    pub configured_secret: Option<Secret>,
    /// The authorization server's issuer, where the client recorded it.
    pub issuer: Option<String>,
    /// The authorization server the client signed in at: the trust anchor.
    pub authorization_server: Option<String>,
    /// The metadata document that the client used at sign-in, where it recorded one. What is
    /// configured now is in [`Entry::sign_in`], and must fit what was recorded.
    pub metadata_url: Option<String>,
    /// The redirect URI of the client's registration.
    pub redirect_uri: Option<String>,
    /// How a sign-in to its server is configured.
    pub sign_in: SignInConfig,
    /// Why this entry is not ours to renew, if it is not.
    pub left_alone: Option<LeftAlone>,
}

/// What is compared together, always: all three or nothing changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenPair {
    /// `None` where the store holds none or an empty text.
    pub access: Option<Secret>,
    /// `None` where the store holds none or an empty text.
    pub refresh: Option<Secret>,
    /// When the access token ends, as the store says it. `None`: unknown. Zero: wiped by the client.
    pub expires_at: Option<Wall>,
}

impl TokenPair {
    /// The client met a refusal and emptied the entry: no access token, expiry zero.
    pub fn is_wiped(&self) -> bool {
        self.access.is_none() && self.expires_at == Some(Wall(0))
    }
}

/// The OAuth client of a grant (RFC 6749 §2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// `client_id`.
    pub id: String,
    /// `client_secret`, if it has one.
    pub secret: Option<Secret>,
}

/// Who says which OAuth client an entry belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrom {
    /// The entry itself.
    Entry,
    /// A renewal of the same sign-in that succeeded: no store says this, core remembers it.
    Renewal,
    /// Configuration that counts.
    Configuration,
    /// Nobody: configurations name different clients, and none is guessed.
    Disputed,
    /// Nobody whose word counts.
    Nobody {
        /// The folder of a project that would name one, if one does, for people.
        project: Option<String>,
    },
}

/// Why an entry is listed and not renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftAlone {
    /// Enterprise-managed sign-in (XAA): another protocol, owned by the client.
    EnterpriseManaged,
    /// The entry has a shape this version does not know: read, never written.
    UnknownShape,
    /// It speaks HTTP without TLS to another machine, and the user has not let that in.
    PlainHttp,
}

/// A server that configuration names and no entry stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredServer {
    /// Its name.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The key that the client would give its entry. `None`: that depends on variables which only
    /// the client can know, or an enterprise signs in for the user.
    pub key: Option<EntryKey>,
    /// How a sign-in to it is configured.
    pub sign_in: SignInConfig,
}

/// What the user configured for signing in to a server. A metadata document that only a repository
/// names is never in here: it would decide where tokens go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignInConfig {
    /// A client that was registered by hand.
    pub client: Option<ClientCredentials>,
    /// The loopback port of its redirect URI.
    pub callback_port: Option<u16>,
    /// Where the authorization server's metadata is.
    pub metadata_url: Option<String>,
}

/// A cached "needs auth": while it is fresh, new sessions do not contact the server at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthVerdict {
    /// The server's name.
    pub server_name: String,
    /// When it was written.
    pub at: Wall,
    /// It belongs to the client's own account (`lapsedCcrSignInKey`): left.
    pub left_alone: bool,
}

/// New tokens for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTokens {
    /// The new access token.
    pub access: Secret,
    /// The refresh token to store: the new one, else the old one. `None`: a sign-in brought none.
    pub refresh: Option<Secret>,
    /// When the access token ends. `None`: the server did not say and nothing tells: the store's
    /// field is removed, never guessed.
    pub expires_at: Option<Wall>,
    /// The scopes to store: the answer's, else the old ones.
    pub scope: Option<String>,
}

impl NewTokens {
    /// As the store will hold it.
    pub fn pair(&self) -> TokenPair {
        TokenPair {
            access: Some(self.access.clone()),
            refresh: self.refresh.clone(),
            expires_at: self.expires_at,
        }
    }
}

/// One change of one entry, made only if the entry still is what core saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The entry.
    pub key: EntryKey,
    /// What must still stand there, all three fields together.
    pub expect: TokenPair,
    /// The OAuth client id that the entry must still have, where it records one.
    pub client_id: String,
    /// What replaces it.
    pub new: NewTokens,
    /// A sign-in: the entry is made where there is none, and everything in here is written too.
    pub enrolment: Option<Enrolment>,
}

/// What a sign-in writes beside its tokens, so that the client program can go on with them by itself,
/// and sign in by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The server's name as configured.
    pub server_name: String,
    /// The MCP server's URL.
    pub server_url: String,
    /// The OAuth client. Without a secret where that stands in the user's configuration.
    pub client: ClientCredentials,
    /// A loopback redirect URI of that client's.
    pub redirect_uri: String,
    /// The issuer, byte for byte.
    pub issuer: String,
    /// The identifier of the authorization server that its metadata was found with.
    pub authorization_server: String,
    /// Where the resource's metadata was (RFC 9728), if it has any.
    pub resource_metadata_url: Option<String>,
    /// Whether there is authorization server metadata.
    pub metadata_found: bool,
    /// The metadata document that the user configured.
    pub metadata_url: Option<String>,
}

/// How a change ended, short of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Written, and read back the same under the store's lock.
    Saved,
    /// Something else stands there now; nothing was written.
    Conflict(TokenPair),
    /// The entry is gone from a store that is there: the user signed out. Nothing was written.
    Gone,
}

/// Why a store could not be read or written. Paths, never content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// There is no store: nobody signed in on this machine, or the disk that it lies on is away.
    #[error("{place} does not exist")]
    Absent {
        /// Where it would be.
        place: String,
    },
    /// It needs a person to unlock it (a keychain).
    #[error("{place} is locked")]
    Locked {
        /// What is locked.
        place: String,
    },
    /// It does not parse, or has a shape this version does not know. Never written.
    #[error("{place} can't be read: {what}")]
    Broken {
        /// The file.
        place: String,
        /// What is wrong, without content: `not valid JSON at line 3, column 7`.
        what: String,
    },
    /// Another process holds the lock.
    #[error("{lock} is held by another program")]
    Busy {
        /// The lock.
        lock: String,
    },
    /// Our own lock was taken from us while we held it.
    #[error("{lock} was taken over by another program")]
    LockLost {
        /// The lock.
        lock: String,
    },
    /// The system refuses: permissions, another owner, a read-only file system.
    #[error("{place}: {what}")]
    Denied {
        /// The file or folder.
        place: String,
        /// What was being done and what the system said.
        what: String,
    },
    /// No space left.
    #[error("no space left to write {place}")]
    DiskFull {
        /// The file.
        place: String,
    },
    /// A form of this store that this version leaves untouched.
    #[error("{place}: {what}")]
    Unsupported {
        /// The store.
        place: String,
        /// Which form.
        what: String,
    },
    /// Anything else the system said.
    #[error("{place}: {what}")]
    Io {
        /// The file.
        place: String,
        /// What was being done and what the system said.
        what: String,
    },
}
