//! Every way a sign-in can end without tokens, as a code for scripts and a sentence for people.
//!
//! A sentence never repeats what a server said: codes come from closed lists.

use alloc::string::String;

use crate::{
    commands, http,
    oauth::{
        authorize::CallbackRefused, fault::SignInFault, registration::RegistrationFault,
        token::ErrorCode,
    },
    text::{LONGEST_NAME, harmless},
};

/// A loopback port can't be listened on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("port {port} can't be listened on: {what}")]
pub struct PortFault {
    /// Which; zero where any would have done.
    pub port: u16,
    /// Why, and who has it where the system tells.
    pub what: String,
}

/// Why a sign-in ended without tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInFailure {
    /// Nobody is known by that name, or it can't be signed in to from here.
    #[error("{0}")]
    Impossible(String),
    /// The server's address is not one.
    #[error("the server's address is not one that can be signed in to")]
    BadAddress,
    /// No answer.
    #[error("{}", unreachable(*.0))]
    Unreachable(http::Fault),
    /// Where to sign in could not be found, or must not be used.
    #[error("{0}")]
    Discovery(SignInFault),
    /// The token endpoint of the same issuer lies elsewhere now, or the app that was made at one issuer
    /// would be used at another. May be confirmed by a person.
    #[error(
        "its sign-ins would be completed at another address now: {known} → {now}. Nothing was sent; \
         to accept that, `lamplighter trust {}`",
        commands::quoted(&harmless(server_name, LONGEST_NAME))
    )]
    Moved {
        /// The host known so far.
        known: String,
        /// The host it would be now.
        now: String,
        /// The other issuer, if it is another.
        issuer: Option<String>,
        /// The server's name in the client program.
        server_name: String,
    },
    /// A port is taken that has to be free.
    #[error("{0}")]
    Port(PortFault),
    /// There is no registration.
    #[error("{0}")]
    Registration(RegistrationFault),
    /// Only clients that the server knows are let in.
    #[error(
        "this server lets only apps in that it knows; sign in with {}, or configure a client id of \
         your own",
        commands::sign_in(server_name)
    )]
    NeedsClient {
        /// The server's name in the client program.
        server_name: String,
    },
    /// The configured client is public, and this provider takes none of those.
    #[error(
        "{provider} lets an app in only with its secret, and none is configured for {server_name}; \
         add it with `claude mcp add --client-secret`"
    )]
    NeedsSecret {
        /// What people call the provider.
        provider: String,
        /// The server's name in the client program.
        server_name: String,
    },
    /// The registration that was given has no loopback redirect: the client program could not use it.
    #[error("the sign-in server did not register the redirect that the client program needs")]
    NoLoopback,
    /// The scheme was asked for and the client is not registered for it.
    #[error("this sign-in can't come back by the custom scheme; leave --redirect out")]
    NoScheme,
    /// The sign-in page's address can't be used.
    #[error("the address of the sign-in page can't be used")]
    BadPage,
    /// What the browser brought.
    #[error("{0}")]
    Callback(CallbackRefused),
    /// The code was refused.
    #[error("the sign-in server refused to hand out tokens ({})", .0.0)]
    Exchange(ErrorCode),
    /// The answer with the tokens never came.
    #[error("the answer with the tokens was lost; sign in once more")]
    AnswerLost,
    /// Nobody came back from the browser.
    #[error("nobody came back from the browser in time")]
    TimedOut,
    /// The person, or a newer attempt, ended it.
    #[error("it was ended; everything is as it was")]
    Cancelled,
    /// The store holds something newer, or the entry no more.
    #[error("its entry was removed or changed meanwhile, and stays as it is")]
    Overtaken,
    /// The engine answered another question than was asked.
    #[error("an answer came out of turn")]
    OutOfTurn,
}

impl SignInFailure {
    /// A stable code for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Impossible(_) => "not_possible",
            Self::BadAddress | Self::BadPage => "bad_address",
            Self::Unreachable(_) => "server_unreachable",
            Self::Discovery(fault) => match fault {
                SignInFault::Unreachable => "server_unreachable",
                SignInFault::Nothing | SignInFault::Incomplete { .. } => "no_metadata",
                SignInFault::ResourceMismatch { .. } => "resource_mismatch",
                SignInFault::IssuerMismatch { .. } => "issuer_mismatch",
                SignInFault::NoS256 => "no_pkce",
                SignInFault::PushedRequests => "pushed_requests",
                SignInFault::Address { .. } => "bad_address",
                SignInFault::PrivateAddress { .. } => "private_address",
            },
            Self::Moved { .. } => "approval_required",
            Self::Port(_) => "port_taken",
            Self::Registration(_) => "registration_refused",
            Self::NeedsClient { .. } => "client_needed",
            Self::NeedsSecret { .. } => "secret_needed",
            Self::NoLoopback | Self::NoScheme => "redirect_refused",
            Self::Callback(CallbackRefused::Issuer) => "wrong_issuer",
            Self::Callback(refused) if refused.is_denial() => "denied",
            Self::Callback(CallbackRefused::Server(_)) => "refused",
            Self::Exchange(_) => "exchange_refused",
            Self::AnswerLost => "answer_lost",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Overtaken => "overtaken",
            Self::OutOfTurn => "internal",
        }
    }
}

fn unreachable(fault: http::Fault) -> String {
    alloc::format!("the server could not be asked: {fault}")
}
