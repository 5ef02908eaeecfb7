//! One sign-in, from the click to new tokens: challenge, discovery, client, browser, code exchange.
//!
//! ```text
//!  challenge ─► discovery ─► client ─► listen ─► register ─► preflight ─► browser ─► exchange ─► gained
//! ```
//!
//! A pure machine: it says what it wants next ([`Next`]) and is told what came. It must not store
//! anything, never mix two attempts (a callback is routed by its `state` alone), and never show what
//! a callback says before its issuer was judged. The old grant stays as it is until the keeper has
//! saved what this brings.
//!
//! Each step owns what it has. A step that is answered is taken apart, and what comes of it makes the
//! next one.
//!
//! Read next: `client` for whose name the consent page shows, `oauth` for the messages, and
//! `keeper/signing` for what happens to the tokens.

mod authorize;
mod challenge;
mod client;
mod exchange;
mod failure;
mod page;
mod register;
mod request;

use alloc::{boxed::Box, vec::Vec};
use core::mem;

pub use client::EntryRegistration;
pub use exchange::SignInResult;
pub use failure::{PortFault, SignInFailure};
pub use page::{Invitation, Page};
pub use request::{RedirectWish, SignInRequest};

use crate::{
    http::{Answer, Fault, Request},
    oauth::{
        authorize::{Callback, Entropy},
        challenge::Challenge,
        discovery::{Discovered, SignInDiscovery, Start},
        preflight::{PreflightResult, Redirect},
        url::host,
    },
    time::Wall,
};
use authorize::{OpenedPage, Ready};
use challenge::{Opener, challenge_request};
use register::{Chosen, Registering};

/// What the machine wants.
#[derive(Debug)]
pub enum Next {
    /// Carry this request; answer with [`SignIn::answered`].
    Fetch(Request),
    /// Listen on loopback: on this port, or on any that the client program might use itself.
    Listen(Option<u16>),
    /// Show this to who began it, and wait for the browser.
    Invite(Invitation),
    /// New tokens.
    Gained(Box<SignInResult>),
    /// Go on waiting for the browser: what came was not ours to look at.
    Wait,
    /// It is over.
    Failed(SignInFailure),
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Step {
    Challenging(Opener),
    Discovering(Box<SignInDiscovery>),
    /// A loopback port is waited for.
    Listening(Box<Chosen>),
    Registering(Box<Registering>),
    /// What the sign-in page said so far, one answer a redirect URI.
    Preflighting(Box<Ready>, Vec<Option<PreflightResult>>),
    /// For whichever of the pages answers first; the second is there once another way was asked for.
    Waiting(Box<Ready>, Vec<OpenedPage>),
    Exchanging(Box<Ready>, Redirect),
    /// It has ended, or what it has is in the hands of the step that is being taken.
    Over,
}

/// One attempt.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct SignIn {
    request: SignInRequest,
    entropy: Entropy,
    step: Step,
}

impl SignIn {
    /// Begins; the first thing to do comes with it.
    pub fn begin(request: SignInRequest, entropy: Entropy) -> (Self, Next) {
        let opener = Opener::Initialize;
        let first = Next::Fetch(challenge_request(&request.server_url, opener));
        (Self { request, entropy, step: Step::Challenging(opener) }, first)
    }

    /// Whether this callback belongs to it, and it still waits for one.
    pub fn awaits(&self, callback: &Callback) -> bool {
        matches!(&self.step, Step::Waiting(_, pages) if pages.iter().any(|page| page.is_for(callback)))
    }

    /// Whether it waits for a person, so that nothing is lost if it ends now.
    pub const fn can_end(&self) -> bool {
        !matches!(self.step, Step::Exchanging(..))
    }

    /// Whether the browser has been asked for.
    pub const fn is_waiting(&self) -> bool {
        matches!(self.step, Step::Waiting(..))
    }

    /// A request was answered.
    pub fn answered(&mut self, answer: Result<&Answer, Fault>, now: Wall) -> Next {
        match mem::replace(&mut self.step, Step::Over) {
            Step::Challenging(opener) => self.challenged(answer, opener),
            Step::Discovering(mut search) => match search.answer(answer) {
                None => self.search_on(search),
                Some(Err(fault)) => Next::Failed(SignInFailure::Discovery(fault)),
                Some(Ok(found)) => match self.moved(&found) {
                    Some(moved) => Next::Failed(moved),
                    None => self.choose_client(found, now),
                },
            },
            Step::Registering(asked) => self.registered(answer, *asked),
            Step::Preflighting(ready, answers) => self.preflighted(answer.ok(), ready, answers),
            Step::Exchanging(ready, redirect) => self.exchanged(answer, &ready, redirect),
            Step::Listening(_) | Step::Waiting(..) | Step::Over => {
                Next::Failed(SignInFailure::OutOfTurn)
            }
        }
    }

    fn challenged(&mut self, answer: Result<&Answer, Fault>, opener: Opener) -> Next {
        let challenge = match answer {
            Ok(answer) if matches!(answer.status, 401 | 403) => {
                Challenge::bearer(&answer.challenges)
            }
            Ok(_) if opener == Opener::Initialize => {
                self.step = Step::Challenging(Opener::ListTools);
                let again = challenge_request(&self.request.server_url, Opener::ListTools);
                return Next::Fetch(again);
            }
            Ok(_) => None,
            // It answered before: what it says about itself may still be had.
            Err(_) if opener == Opener::ListTools => None,
            Err(fault) => return Next::Failed(SignInFailure::Unreachable(fault)),
        };
        let start = Start {
            server_url: &self.request.server_url,
            challenge: challenge.as_ref(),
            metadata_url: self.request.metadata_url.as_deref(),
            recorded: self.request.recorded.as_deref(),
            confirmed_issuer: self.request.confirmed_issuer.as_deref(),
            plain_http: Some(&self.request.plain_http),
        };
        let search = SignInDiscovery::new(start, &self.request.profile);
        self.search_on(Box::new(search))
    }

    fn search_on(&mut self, search: Box<SignInDiscovery>) -> Next {
        let Some(request) = search.request() else {
            return Next::Failed(SignInFailure::BadAddress);
        };
        self.step = Step::Discovering(search);
        Next::Fetch(request)
    }

    /// A token endpoint that is not where it was gets neither a code nor a client's secret before a
    /// person has seen both hosts.
    fn moved(&self, found: &Discovered) -> Option<SignInFailure> {
        if let Some(known) = client::configured_elsewhere(&self.request, found) {
            return Some(SignInFailure::Moved {
                known: host(known),
                now: host(&found.server.issuer),
                issuer: Some(found.server.issuer.clone()),
                server_name: self.request.server_name.clone(),
            });
        }
        if let Some((known, now, issuer)) = client::misfit(&self.request, found) {
            let server_name = self.request.server_name.clone();
            return Some(SignInFailure::Moved { known, now, issuer, server_name });
        }
        let pin = self.request.pin.as_ref()?;
        let here = found.server.pin();
        let moved = pin.issuer == here.issuer && pin.token_origin != here.token_origin;
        let listed = self.request.profile.token_origins.contains(&here.token_origin)
            || self.request.trusted.contains(&host(&here.token_origin));
        (moved && !listed).then(|| SignInFailure::Moved {
            known: host(&pin.token_origin),
            now: host(&here.token_origin),
            issuer: None,
            server_name: self.request.server_name.clone(),
        })
    }

    fn needs_client(&self) -> Next {
        let server_name = self.request.server_name.clone();
        Next::Failed(SignInFailure::NeedsClient { server_name })
    }
}
