//! Everything that can happen to core, as one closed enum.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    facts::{Facts, Renewer},
    http,
    ids::{Door, EntryKey, GrantId, MarkKey, StoreId, Ticket},
    journal::{JournalFault, Record},
    keeper::{AtServer, ProbeFinding},
    oauth::{authorize::Entropy, profile::Profiles},
    secret::Secret,
    signin::{PortFault, RedirectWish},
    snapshot::NewAddress,
    store::{StoreFault, StoreInfo, StoreView, Written},
    time::Millis,
};

/// What core is given once, before anything else.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The stores it may look at.
    pub stores: Vec<StoreInfo>,
    /// What was remembered.
    pub facts: Facts,
    /// What the journal holds.
    pub journal: Vec<Record>,
    /// Provider profiles, the user's overrides applied.
    pub profiles: Profiles,
    /// The key of this machine's token marks.
    pub mark_key: MarkKey,
    /// Spreads wake-ups between machines. Never used for anything secret.
    pub seed: u64,
    /// What may be done unasked.
    pub mode: Mode,
    /// Whether servers may be asked unasked if they accept their tokens.
    pub probes: bool,
    /// What this machine has for signing in.
    pub sign_in_means: SignInMeans,
    /// Whom the user lets in without TLS.
    pub plain_http: http::PlainHttp,
}

/// What a machine has for signing in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignInMeans {
    /// Somebody here hands callbacks of our private-use scheme to us.
    pub scheme_served: bool,
    /// The address of our own Client ID Metadata Document, where one is configured.
    pub metadata_document: Option<String>,
}

/// What may be done unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Look, say, and do nothing: no lock, no network, no recovery.
    WatchOnly,
    /// Act only on what is asked for: one-shot commands. Recovery of the journal included.
    OnRequest,
    /// Keep every grant fresh.
    Keep,
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A store was looked at.
    StoreSeen {
        /// Which.
        store: StoreId,
        /// What was found.
        seen: Result<StoreView, StoreFault>,
    },
    /// A person or a shell asks for something.
    Act(Action),
    /// A wake came due.
    Tick,
    /// Time passed that we did not see, or the world changed: every backoff is cleared.
    Woke(WokeWhy),
    /// The machine is about to sleep: nothing new starts, what is in the air comes home. Ends when it
    /// has resumed, or a minute later where nobody says so.
    FallingAsleep,
    /// Whether this machine has a way out to any network. It words what failed, and decides nothing:
    /// a server on this very machine needs none.
    Network(bool),
    /// The process is about to end: nothing new starts, what is in the air comes home.
    Stopping,
    /// A browser came back, or a person brought what it showed: the callback's query.
    CalledBack(Door, Secret),
    /// The journal could be opened after all: what it holds from an earlier run.
    JournalOpened(Vec<Record>),
    /// An effect ended.
    Done(Ticket, Outcome),
    /// Facts could not be kept.
    RememberFailed(JournalFault),
}

/// Why everything is planned anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WokeWhy {
    /// The machine slept.
    Resumed,
    /// The wall clock stepped.
    ClockStepped,
    /// A route to the network appeared or changed.
    RouteChanged,
}

/// How an effect ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Of Lock; with the store whose lock could not be taken.
    Locked(Result<(), (StoreId, StoreFault)>),
    /// Of Read and `ReadBack`: one result a store, in the order asked.
    Read(Vec<(StoreId, Result<StoreView, StoreFault>)>),
    /// Of Intent, Journal and Forget.
    Kept(Result<(), JournalFault>),
    /// Of Send.
    Answered(Result<http::Answer, SendFault>),
    /// Of Write and Remove.
    Wrote(Result<Written, StoreFault>),
    /// Of Unlock.
    Unlocked,
    /// Of Fetch.
    Fetched(Result<http::Answer, http::Fault>),
    /// Of Withdraw: whether a verdict was withdrawn.
    Withdrawn(Result<bool, StoreFault>),
    /// Of Probe.
    Probed(ProbeFinding),
    /// Of Draw.
    Drawn(Entropy),
    /// Of Listen: the port.
    Listening(Result<u16, PortFault>),
}

/// Why a refresh got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendFault {
    /// The lock was no longer ours: nothing was sent.
    LockLost(StoreFault),
    /// HTTP.
    Http(http::Fault),
}

/// What a person can do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action", content = "grant")]
pub enum Action {
    /// Renew this grant now.
    Renew(GrantId),
    /// Renew everything that is due and withdraw stale verdicts.
    RenewDue,
    /// Look again at every store that could not be read.
    Look,
    /// Ask the server whether it accepts the access token, and renew it once if it does not.
    Check(GrantId),
    /// Leave this grant to the client.
    Pause(GrantId),
    /// Take it up again.
    Resume(GrantId),
    /// Look where this grant's server signs in now: asks for metadata and sends nothing else.
    Review(GrantId),
    /// Accept that a grant's server now signs in where the person was shown it does.
    Trust(Trusted),
    /// Sign in, again or for the first time.
    Reconnect(Reconnect),
    /// The sign-in page shows an error: let the browser come back by the other way, where there is
    /// one. The first page stays good until one of the two answers.
    AnotherWay(GrantId),
    /// Give a sign-in up that waits for the browser.
    CancelSignIn(GrantId),
    /// Sign out: the entry leaves its store, and its server is asked to end the grant.
    SignOut(SignOut),
}

/// A new address that a person was shown and trusts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trusted {
    /// The grant.
    pub grant: GrantId,
    /// What was shown as new, word for word ([`NewAddress::now`](crate::snapshot::NewAddress)): if
    /// it is another one by now, nothing is accepted.
    pub now: String,
}

/// A wish to sign out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SignOut {
    /// The grant.
    pub grant: GrantId,
    /// Whether its server is asked to end it (RFC 7009).
    #[serde(default = "yes")]
    pub revoke: bool,
}

const fn yes() -> bool {
    true
}

/// A wish to sign in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reconnect {
    /// The grant, or a server that only the configuration names.
    pub grant: GrantId,
    /// The server, where the store and the configuration may not know it yet.
    #[serde(default)]
    pub server: Option<NamedServer>,
    /// Where the browser is to come back to.
    #[serde(default)]
    pub redirect: RedirectWish,
    /// The loopback port to use, for this once.
    #[serde(default)]
    pub port: Option<u16>,
    /// Scopes that a server asked for beyond those it granted (RFC 6750 §3.1,
    /// `insufficient_scope`): asked for together with what was granted.
    #[serde(default)]
    pub more_scopes: Vec<String>,
    /// How long the browser is waited for, in milliseconds.
    #[serde(default = "five_minutes")]
    pub patience: Millis,
}

/// A server as a person names it for a first sign-in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedServer {
    /// The store that is to hold it.
    pub store: StoreId,
    /// The key that the client would give its entry.
    pub key: EntryKey,
    /// What it is to be called there.
    pub name: String,
    /// Its URL.
    pub url: String,
}

impl Trusted {
    /// This grant's new address, as it was shown.
    pub fn new(grant: impl Into<GrantId>, now: &str) -> Self {
        Self { grant: grant.into(), now: now.into() }
    }
}

impl Reconnect {
    /// The usual way.
    pub const fn of(grant: GrantId) -> Self {
        Self {
            grant,
            server: None,
            redirect: RedirectWish::Automatic,
            port: None,
            more_scopes: Vec::new(),
            patience: five_minutes(),
        }
    }
}

const fn five_minutes() -> Millis {
    Millis::minutes(5)
}

impl Action {
    /// The grant it is about; `None` where it is about all.
    pub const fn grant(&self) -> Option<&GrantId> {
        match self {
            Self::Renew(id)
            | Self::Check(id)
            | Self::Pause(id)
            | Self::Resume(id)
            | Self::Review(id)
            | Self::AnotherWay(id)
            | Self::CancelSignIn(id) => Some(id),
            Self::Reconnect(wish) => Some(&wish.grant),
            Self::SignOut(wish) => Some(&wish.grant),
            Self::Trust(wish) => Some(&wish.grant),
            Self::RenewDue | Self::Look => None,
        }
    }
}

/// News for whoever listens: the command line, the log, `on_change`. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A refresh was planned and waits for something first.
    Waiting {
        /// The grant.
        grant: GrantId,
        /// For what, in words.
        why: String,
        /// Until when, if known: milliseconds since 1970.
        until: Option<crate::time::Wall>,
    },
    /// A refresh began.
    Renewing {
        /// The grant.
        grant: GrantId,
    },
    /// New tokens are in the store.
    Renewed {
        /// The grant.
        grant: GrantId,
        /// By whom.
        by: Renewer,
        /// When the access token ends, if known.
        expires_at: Option<crate::time::Wall>,
    },
    /// Nothing had to be done.
    Unchanged {
        /// The grant.
        grant: GrantId,
        /// Why, in words.
        why: String,
        /// When it is renewed by itself, if it is planned.
        next: Option<crate::time::Wall>,
    },
    /// A refresh did not succeed this time.
    Failed {
        /// The grant.
        grant: GrantId,
        /// A stable code.
        code: String,
        /// In words, without content.
        why: String,
        /// When it is tried again by itself; `None` if a person is needed or nothing is planned.
        next: Option<crate::time::Wall>,
    },
    /// A server was asked whether it accepts the access token.
    Checked {
        /// The grant.
        grant: GrantId,
        /// Whether it does; `None` where nothing could be proven.
        accepted: Option<bool>,
        /// How many tools it offers, where it said so.
        tools: Option<u32>,
    },
    /// A stale verdict was withdrawn: open sessions may need a reconnect of their own.
    VerdictWithdrawn {
        /// The store.
        store: StoreId,
        /// The server's name.
        server: String,
    },
    /// The client wrote an old copy back and the new tokens were put there again.
    Restored {
        /// The grant.
        grant: GrantId,
    },
    /// Somebody looked where a server signs in now.
    Reviewed {
        /// The grant.
        grant: GrantId,
        /// Both hosts, where that is another address or name than was trusted.
        moved: Option<NewAddress>,
    },
    /// A sign-in goes on.
    SigningIn {
        /// The grant.
        grant: GrantId,
        /// What happens, in words.
        step: String,
    },
    /// A sign-in brought new tokens, and they are in the store.
    SignedIn {
        /// The grant.
        grant: GrantId,
        /// The server's name in the client program.
        #[serde(default)]
        server: String,
        /// How many tools the server offers, where it said so.
        tools: Option<u32>,
        /// The server refuses the new token all the same.
        refused: bool,
        /// Who signed in, where the server says.
        account: Option<String>,
        /// That is somebody else than before.
        other_account: bool,
    },
    /// A sign-in ended without tokens; everything is as it was.
    SignInFailed {
        /// The grant.
        grant: GrantId,
        /// A stable code.
        code: String,
        /// In words, without content.
        why: String,
    },
    /// The user signed out; nothing of the grant is kept.
    SignedOut {
        /// The grant.
        grant: GrantId,
    },
    /// A person signed out, the store has let the entry go, and this came of asking the server to
    /// end the grant.
    Revocation {
        /// The grant.
        grant: GrantId,
        /// What came of it.
        outcome: AtServer,
    },
    /// A sign-out did not succeed.
    SignOutFailed {
        /// The grant.
        grant: GrantId,
        /// A stable code.
        code: String,
        /// In words, without content.
        why: String,
    },
    /// A person should know, once.
    Notice(crate::notice::Notice),
    /// What a notice said no longer holds.
    NoticeWithdrawn {
        /// The notice's cause.
        cause: String,
    },
}
