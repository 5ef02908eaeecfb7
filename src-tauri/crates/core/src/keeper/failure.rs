//! Everything that can keep a renewal from succeeding, and the one place that decides what follows.

use alloc::{format, string::String};

use super::WokeWhy;
use crate::{
    http,
    journal::JournalFault,
    oauth::{
        fault::{DiscoveryFault, private_address_words},
        token::{BadEndpoint, ErrorCode},
    },
    store::StoreFault,
    time::Millis,
};

/// Why a renewal did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A store could not be locked, read or written.
    #[error("{0}")]
    Store(StoreFault),
    /// The journal could not be written, so nothing was sent.
    #[error("Lamplighter's journal can't be written, so nothing was sent ({0})")]
    Journal(JournalFault),
    /// The token endpoint could not be found.
    #[error("{0}")]
    Discovery(DiscoveryFault),
    /// The token endpoint found is not a URL.
    #[error("{0}")]
    BadEndpoint(BadEndpoint),
    /// The request certainly did not reach the server.
    #[error("{0}")]
    NotSent(http::Fault),
    /// The server certainly did not act on it.
    #[error("it asked to be left alone for a while ({})", .0.0)]
    NotProcessed(ErrorCode, Option<Millis>),
    /// The server may have acted on it, and no answer could be read, twice.
    #[error("its answer was lost ({why})")]
    Lost {
        /// What came instead of an answer that can be read.
        why: String,
        /// Whether the network caused it, and no answer of the server.
        by_network: bool,
        /// How long the server asked to be left alone, the second time.
        retry_after: Option<Millis>,
    },
    /// Understood and refused for a reason that says nothing about the grant.
    #[error("it refused the request ({})", .0.0)]
    Refused(ErrorCode),
    /// The refresh token was refused once.
    #[error("it refused the sign-in ({}); asked once more to be sure", .0.0)]
    GrantRefusedOnce(ErrorCode),
    /// The refresh token was refused, and refused again.
    #[error("it ended the sign-in ({})", .0.0)]
    GrantRefused(ErrorCode),
    /// The server did not know the OAuth client, once.
    #[error("it did not know the client that signed in ({}); asked once more to be sure", .0.0)]
    ClientRefusedOnce(ErrorCode),
    /// The server did not know the OAuth client, and again did not know it.
    #[error("it no longer knows the client that signed in ({})", .0.0)]
    ClientRefused(ErrorCode),
    /// The server signs in at another address now.
    #[error("it now signs in at another address: {known} → {now}; nothing was sent")]
    Approval {
        /// The host known so far.
        known: String,
        /// The host it would go to now.
        now: String,
    },
    /// Its tokens would travel without TLS.
    #[error("{}", plain_http_words(.0))]
    PlainHttp(String),
    /// They would travel to this host, which has a private address although the MCP server has none.
    #[error("{}", private_address_words(.0))]
    PrivateAddress(String),
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may heal by itself: try again, no sooner than the server asked.
    Retry(Option<Millis>),
    /// Ask once more, at least a minute later.
    Confirm,
    /// The same token is presented again only when there is little left to lose, and no sooner than the
    /// server asked.
    AwaitEnd(Option<Millis>),
    /// Only a person helps.
    Person,
}

impl Failure {
    /// The only place that decides between waiting and a person.
    pub(super) const fn verdict(&self) -> Verdict {
        match self {
            Self::Store(
                StoreFault::Absent { .. }
                | StoreFault::Locked { .. }
                | StoreFault::Broken { .. }
                | StoreFault::Busy { .. }
                | StoreFault::LockLost { .. }
                | StoreFault::Denied { .. }
                | StoreFault::DiskFull { .. }
                | StoreFault::Unsupported { .. }
                | StoreFault::Io { .. },
            ) => Verdict::Retry(None),
            Self::Journal(_) | Self::BadEndpoint(_) | Self::NotSent(_) => Verdict::Retry(None),
            Self::Discovery(DiscoveryFault::Unreachable | DiscoveryFault::Nothing) => {
                Verdict::Retry(None)
            }
            Self::Discovery(DiscoveryFault::Unwell { retry_after }) => Verdict::Retry(*retry_after),
            Self::Discovery(
                DiscoveryFault::Elsewhere { .. } | DiscoveryFault::PrivateAddress { .. },
            )
            | Self::Approval { .. }
            | Self::PlainHttp(_)
            | Self::PrivateAddress(_) => Verdict::Person,
            Self::NotProcessed(_, retry_after) => Verdict::Retry(*retry_after),
            Self::Refused(_) => Verdict::Retry(None),
            Self::Lost { retry_after, .. } => Verdict::AwaitEnd(*retry_after),
            Self::GrantRefusedOnce(_) | Self::ClientRefusedOnce(_) => Verdict::Confirm,
            Self::GrantRefused(_) | Self::ClientRefused(_) => Verdict::Person,
        }
    }

    /// Whether its grant is shown as left to its client: its tokens may not travel where they would have
    /// to, unless the user says so. That is tried again each hour, for it may have been mended.
    pub(super) const fn leaves_alone(&self) -> bool {
        matches!(
            self,
            Self::PlainHttp(_)
                | Self::PrivateAddress(_)
                | Self::Discovery(DiscoveryFault::PrivateAddress { .. })
        )
    }

    /// The same where an earlier presentation may have spent the token.
    pub(super) fn lost(&self) -> Self {
        let by_network = matches!(self, Self::NotSent(_));
        let retry_after =
            if let Self::NotProcessed(_, retry_after) = self { *retry_after } else { None };
        Self::Lost { why: format!("{self}"), by_network, retry_after }
    }

    /// A stable code for scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Store(fault) => store_code(fault),
            Self::Journal(_) => "journal_unwritable",
            Self::Discovery(DiscoveryFault::Unreachable | DiscoveryFault::Unwell { .. }) => {
                "server_unreachable"
            }
            Self::Discovery(DiscoveryFault::Nothing) => "no_metadata",
            Self::Discovery(DiscoveryFault::Elsewhere { .. }) | Self::Approval { .. } => {
                "approval_required"
            }
            Self::PlainHttp(_) => "plain_http",
            Self::PrivateAddress(_) | Self::Discovery(DiscoveryFault::PrivateAddress { .. }) => {
                "private_address"
            }
            Self::BadEndpoint(_) => "no_metadata",
            Self::NotSent(_) => "server_unreachable",
            Self::NotProcessed(..) => "server_busy",
            Self::Lost { .. } => "answer_lost",
            Self::Refused(_) => "server_refused",
            Self::GrantRefusedOnce(_) => "sign_in_refused_once",
            Self::GrantRefused(_) => "sign_in_ended",
            Self::ClientRefusedOnce(_) => "client_refused_once",
            Self::ClientRefused(_) => "client_forgotten",
        }
    }

    /// In words, with the server's name in front where the server is the cause.
    pub fn told(&self, server: &str) -> String {
        match self {
            Self::Store(_)
            | Self::Journal(_)
            | Self::Discovery(_)
            | Self::PlainHttp(_)
            | Self::PrivateAddress(_) => format!("{self}"),
            Self::NotSent(http::Fault::Dns) => format!("{server}'s name could not be looked up"),
            Self::BadEndpoint(_) => format!("{self}"),
            Self::NotSent(fault) => by_name(server, &format!("{fault}")),
            Self::NotProcessed(..)
            | Self::Lost { .. }
            | Self::Refused(_)
            | Self::GrantRefusedOnce(_)
            | Self::GrantRefused(_)
            | Self::ClientRefusedOnce(_)
            | Self::ClientRefused(_)
            | Self::Approval { .. } => by_name(server, &format!("{self}")),
        }
    }

    /// Whether the wait that it began goes on although the machine woke, its clock was set or it moved to
    /// another network. A new network ends only what the old one caused, and what a server asked for
    /// is kept to in any case: its time is counted by a clock that knows of sleep and of no time of day.
    pub(super) const fn outlasts(&self, why: WokeWhy) -> bool {
        match why {
            WokeWhy::Resumed | WokeWhy::ClockStepped => {
                matches!(
                    self,
                    Self::NotProcessed(_, Some(_))
                        | Self::Lost { retry_after: Some(_), .. }
                        | Self::Discovery(DiscoveryFault::Unwell { retry_after: Some(_) })
                )
            }
            WokeWhy::RouteChanged => match self {
                // Which address a name has may be another matter in each network.
                Self::NotSent(_)
                | Self::Discovery(
                    DiscoveryFault::Unreachable | DiscoveryFault::PrivateAddress { .. },
                )
                | Self::PrivateAddress(_)
                | Self::Lost { by_network: true, .. } => false,
                Self::Store(_)
                | Self::Journal(_)
                | Self::Discovery(
                    DiscoveryFault::Nothing
                    | DiscoveryFault::Unwell { .. }
                    | DiscoveryFault::Elsewhere { .. },
                )
                | Self::Lost { by_network: false, .. }
                | Self::BadEndpoint(_)
                | Self::NotProcessed(..)
                | Self::Refused(_)
                | Self::GrantRefusedOnce(_)
                | Self::GrantRefused(_)
                | Self::ClientRefusedOnce(_)
                | Self::ClientRefused(_)
                | Self::Approval { .. }
                | Self::PlainHttp(_) => true,
            },
        }
    }

    /// Whether the request certainly never reached the server, as without a network.
    pub(super) const fn never_left(&self) -> bool {
        matches!(
            self,
            Self::NotSent(http::Fault::Dns | http::Fault::Connect)
                | Self::Discovery(DiscoveryFault::Unreachable)
        )
    }

    /// Whether it is a definite OAuth error, which no amount of waiting is likely to heal.
    pub(super) const fn is_definite(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Discovery(DiscoveryFault::Nothing))
    }
}

/// Why a server in the network is left to its client, and what lets it in.
pub(super) fn plain_http_words(host: &str) -> String {
    format!(
        "its tokens would travel to {host} without TLS, where others in the network can read them; to \
         have it renewed all the same, add the host to [network] allow_http in the settings"
    )
}

/// A sentence about "it", with the server's name where that stands.
fn by_name(server: &str, sentence: &str) -> String {
    if let Some(rest) = sentence.strip_prefix("it ") {
        format!("{server} {rest}")
    } else if let Some(rest) = sentence.strip_prefix("its ") {
        format!("{server}'s {rest}")
    } else {
        format!("{server}: {sentence}")
    }
}

const fn store_code(fault: &StoreFault) -> &'static str {
    match fault {
        StoreFault::Absent { .. } => "store_absent",
        StoreFault::Locked { .. } => "store_locked",
        StoreFault::Broken { .. } => "store_broken",
        StoreFault::Busy { .. } => "store_busy",
        StoreFault::LockLost { .. } => "lock_lost",
        StoreFault::Denied { .. } => "store_denied",
        StoreFault::DiskFull { .. } => "disk_full",
        StoreFault::Unsupported { .. } => "store_unsupported",
        StoreFault::Io { .. } => "store_failed",
    }
}
