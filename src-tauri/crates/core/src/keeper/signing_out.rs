//! Sign-outs that a person asked for: the entry leaves its store, then its server is asked to end the
//! grant (RFC 7009), best effort.
//!
//! Nothing is revoked before the store has let the entry go, nothing that another entry still holds,
//! and nothing anywhere but at the pinned issuer's own endpoint. A crash in between leaves a grant that
//! nobody holds, and no more. What waits in the journal for the entry is destroyed with it; our
//! registration stays, for the next sign-in.
//!
//! Read next: `flight`, which carries it, and `see`, which learns that the entry is gone.

use alloc::{
    boxed::Box,
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::{
    Effect, Event, Keeper, Mode, Outcome, Pending, SignOut,
    flight::{Ending, Flight, SigningOut, Work},
};
use crate::{
    http::Request,
    ids::{GrantId, Target},
    oauth::{auth_method::AuthMethod, token::Revocation},
    secret::Secret,
    store::TokenPair,
};

/// What came of asking a server to end a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtServer {
    /// It has ended it.
    Revoked,
    /// It has no way to.
    NotOffered,
    /// Another entry holds the same grant: it was not asked.
    Shared,
    /// It signs in at another address now, or names one: nothing was sent there.
    Elsewhere,
    /// It did not answer, or refused.
    Failed,
}

impl AtServer {
    /// In words, without its name.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Revoked => "its server has ended the sign-in",
            Self::NotOffered => "its server has no way to end a sign-in; this one ends by itself",
            Self::Shared => "another entry holds the same sign-in, so it was not ended",
            Self::Elsewhere => {
                "it names another address for ending a sign-in than it was signed in at; nothing was sent"
            }
            Self::Failed => "its server could not be asked to end the sign-in; it ends by itself",
        }
    }
}

/// One sign-out under way.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Leaving {
    grant: GrantId,
    /// Whether the server is to be asked.
    revoke: bool,
    stage: LeaveStage,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum LeaveStage {
    /// Until what is in the air for this entry has come home.
    Waiting,
    Flying,
    Revoking {
        left: VecDeque<Request>,
        outcome: Option<AtServer>,
    },
}

impl Leaving {
    pub(super) fn is_for(&self, grant: &GrantId) -> bool {
        self.grant == *grant
    }
}

impl Keeper {
    /// A person asks to sign out.
    pub(super) fn sign_out(&mut self, wish: &SignOut) {
        if self.mode == Mode::WatchOnly {
            return;
        }
        let grant = wish.grant.clone();
        let target = self.target_of(&grant);
        let entry = target.as_ref().and_then(|target| Some(&self.grants.get(target)?.entry));
        let (Some(target), Some(entry)) = (target.clone(), entry) else {
            return self.nobody_is_signed_in(grant);
        };
        if entry.left_alone.is_some() {
            let why = "this sign-in belongs to the client; sign out there".into();
            return self.tell(Event::SignOutFailed { grant, code: "not_possible".into(), why });
        }
        if entry.pair == TokenPair::default() {
            return self.nobody_is_signed_in(grant);
        }
        if self.sign_outs.contains_key(&target) {
            return;
        }
        // Nobody waits for a browser to sign in where a person signs out.
        let sign_ins = self.sign_ins_of(&target);
        self.cancel_sign_ins(sign_ins);
        let leaving = Leaving { grant, revoke: wish.revoke, stage: LeaveStage::Waiting };
        self.grants.touch(&target);
        self.sign_outs.insert(target, leaving);
    }

    fn nobody_is_signed_in(&mut self, grant: GrantId) {
        let why = "nobody is signed in".into();
        self.tell(Event::Unchanged { grant, why, next: None });
    }

    /// Starts those sign-outs that nothing in the air stands in the way of.
    pub(super) fn plan_sign_outs(&mut self) {
        let waiting: Vec<Target> = self
            .sign_outs
            .iter()
            .filter(|(_, leaving)| matches!(leaving.stage, LeaveStage::Waiting))
            .map(|(target, _)| target.clone())
            .collect();
        for target in waiting {
            let Some(grant) = self.grants.get(&target) else {
                // The client was quicker, and that was told.
                self.take_sign_out(&target);
                continue;
            };
            let busy = grant.flight.is_some() || !self.sign_ins_of(&target).is_empty();
            if self.stopping {
                self.sign_out_failed(&target, "cancelled", "Lamplighter ends".into());
            } else if !busy && !self.holds_back() {
                self.start_sign_out(&target);
            }
        }
    }

    fn start_sign_out(&mut self, target: &Target) {
        let Some(leaving) = self.sign_outs.get_mut(target) else { return };
        leaving.stage = LeaveStage::Flying;
        let revoke = leaving.revoke;
        let flight = self.new_flight(Vec::from([target.clone()]), Work::SignOut(Box::default()));
        self.set_flight(target, Some(flight.id));
        if revoke {
            self.find_endpoint(flight);
        } else {
            self.take_lock(flight);
        }
    }

    /// The locks are let go: now, and not before, the server may be asked.
    pub(super) fn sign_out_landed(&mut self, flight: Flight, ending: &Ending) {
        let (Some(target), Work::SignOut(out)) = (flight.targets.first(), flight.work) else {
            return;
        };
        match ending {
            Ending::SignedOut => self.revoke(target, *out),
            Ending::Failed(failure) => {
                self.sign_out_failed(target, failure.code(), failure.to_string());
            }
            Ending::PutOff => self.sign_out_failed(target, "cancelled", "Lamplighter ends".into()),
            Ending::Saved | Ending::Adopted | Ending::Overtaken => {
                let why = "another program keeps on changing it; that one stays".into();
                self.sign_out_failed(target, "overtaken", why);
            }
        }
    }

    /// A sign-out is over: its grant, where it is still there, stands otherwise.
    fn take_sign_out(&mut self, target: &Target) -> Option<Leaving> {
        self.grants.touch(target);
        self.sign_outs.remove(target)
    }

    fn sign_out_failed(&mut self, target: &Target, code: &str, why: String) {
        if let Some(leaving) = self.take_sign_out(target) {
            self.tell(Event::SignOutFailed { grant: leaving.grant, code: code.into(), why });
        }
    }

    fn revoke(&mut self, target: &Target, out: SigningOut) {
        let wanted = self.sign_outs.get(target).is_some_and(|leaving| leaving.revoke);
        let held = out.held.filter(|held| wanted && !held.tokens.is_empty());
        let Some(held) = held else {
            self.take_sign_out(target);
            return;
        };
        let elsewhere = |token: &Secret| {
            let mut pairs = self.grants.iter().map(|(_, grant)| &grant.entry.pair);
            pairs.any(|p| p.refresh.as_ref().or(p.access.as_ref()) == Some(token))
        };
        let refresh =
            held.refresh.filter(|mark| self.others_share(*mark, core::slice::from_ref(target)));
        let shared = refresh.is_some() || held.tokens.iter().any(|(token, _)| elsewhere(token));
        let (left, outcome) = match (shared, held.client, out.asks_at) {
            (true, _, _) => (VecDeque::new(), Some(AtServer::Shared)),
            (false, Some(client), Some((endpoint, methods))) => {
                let method = AuthMethod::choose(&client, &methods);
                let requests = held.tokens.iter().map(|(token, kind)| {
                    Revocation {
                        endpoint: &endpoint,
                        client: &client,
                        method,
                        token,
                        kind: *kind,
                        on_behalf_of: &held.server_url,
                    }
                    .request()
                });
                (requests.collect(), None)
            }
            (false, _, _) => (VecDeque::new(), out.cannot.or(Some(AtServer::Failed))),
        };
        if let Some(leaving) = self.sign_outs.get_mut(target) {
            leaving.stage = LeaveStage::Revoking { left, outcome };
        }
        self.revoke_next(target);
    }

    /// Asks for the next token; where none is left, says what came of the first: with a refresh token
    /// that has ended, its access tokens end by themselves (RFC 7009 §2.1).
    fn revoke_next(&mut self, target: &Target) {
        let Some(leaving) = self.sign_outs.get_mut(target) else { return };
        let LeaveStage::Revoking { left, outcome } = &mut leaving.stage else { return };
        if let Some(request) = left.pop_front() {
            let ticket = self.ticket(Pending::SignOut(target.clone()));
            self.effects.push_back(Effect::Fetch { ticket, request });
            return;
        }
        let outcome = outcome.unwrap_or(AtServer::Failed);
        let grant = leaving.grant.clone();
        self.take_sign_out(target);
        self.tell(Event::Revocation { grant, outcome });
    }

    /// The server answered a revocation, or not.
    pub(super) fn revoked(&mut self, target: &Target, answer: &Outcome) {
        let Some(leaving) = self.sign_outs.get_mut(target) else { return };
        let LeaveStage::Revoking { outcome, .. } = &mut leaving.stage else { return };
        let worked =
            matches!(answer, Outcome::Fetched(Ok(answer)) if (200..300).contains(&answer.status));
        outcome.get_or_insert(if worked { AtServer::Revoked } else { AtServer::Failed });
        self.revoke_next(target);
    }
}
