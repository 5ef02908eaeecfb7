//! A sign-out's own steps of a flight: the entry is read under the lock, removed, and looked for again.
//!
//! What it held is kept in memory until the locks are let go, for the revocation. It must not take
//! anything away but what was read a moment before.

use alloc::{string::String, vec::Vec};

use super::{Ending, Flight, Step, Views, Work};
use crate::{
    ids::{Target, TokenMark},
    keeper::{AtServer, Effect, Failure, Keeper},
    oauth::{
        discovery::Elsewhere, fault::DiscoveryFault, metadata::ServerMetadata, pin::Pin,
        token::TokenKind,
    },
    secret::Secret,
    store::{ClientCredentials, Entry, StoreFault, Written},
};

/// How often an entry that changes under our hands is read again before somebody else's stays.
const TRIES: u8 = 3;

/// What a flight needs to take an entry away.
#[derive(Debug, Clone, Default)]
pub(in crate::keeper) struct SigningOut {
    /// The revocation endpoint, with how clients prove themselves to this server.
    pub asks_at: Option<(String, Vec<String>)>,
    /// Why it can't be asked.
    pub cannot: Option<AtServer>,
    /// What the entry held when it was read under the lock, and who held it.
    pub held: Option<Held>,
    tries: u8,
}

/// What is to be revoked once the store has let it go.
#[derive(Debug, Clone)]
pub(in crate::keeper) struct Held {
    pub client: Option<ClientCredentials>,
    pub server_url: String,
    pub tokens: Vec<(Secret, TokenKind)>,
    /// The mark of the refresh token that the entry held, spent or not.
    pub refresh: Option<TokenMark>,
}

impl SigningOut {
    /// No token may be sent anywhere.
    pub(super) const fn cannot_ask(&mut self, failure: &Failure) {
        self.cannot = Some(match failure {
            Failure::Approval { .. } | Failure::Discovery(DiscoveryFault::Elsewhere { .. }) => {
                AtServer::Elsewhere
            }
            Failure::Discovery(DiscoveryFault::Nothing) => AtServer::NotOffered,
            Failure::Discovery(
                DiscoveryFault::Unreachable
                | DiscoveryFault::Unwell { .. }
                | DiscoveryFault::PrivateAddress { .. },
            )
            | Failure::Store(_)
            | Failure::Journal(_)
            | Failure::BadEndpoint(_)
            | Failure::NotSent(_)
            | Failure::NotProcessed(..)
            | Failure::Lost { .. }
            | Failure::Refused(_)
            | Failure::GrantRefusedOnce(_)
            | Failure::GrantRefused(_)
            | Failure::ClientRefusedOnce(_)
            | Failure::ClientRefused(_)
            | Failure::PlainHttp(_)
            | Failure::PrivateAddress(_) => AtServer::Failed,
        });
    }

    /// The server's metadata, trusted and pinned.
    pub(super) fn may_ask(&mut self, metadata: &ServerMetadata, pin: &Pin) {
        match metadata.revocation_at_home(pin) {
            Ok(Some(endpoint)) => {
                self.asks_at = Some((endpoint.into(), metadata.token_auth_methods.clone()));
            }
            Ok(None) => self.cannot = Some(AtServer::NotOffered),
            Err(Elsewhere) => self.cannot = Some(AtServer::Elsewhere),
        }
    }
}

impl Keeper {
    /// Looked at again under the lock: what stands there now is what goes.
    pub(super) fn remove_entry(&mut self, mut flight: Flight) {
        let target = flight.targets.first().cloned();
        let entry = target.and_then(|t| Some((t.clone(), self.grants.get(&t)?.entry.clone())));
        let Some((target, entry)) = entry else {
            return self.unlock(flight, Ending::SignedOut);
        };
        if self.stopping {
            return self.unlock(flight, Ending::PutOff);
        }
        let held = self.held(&target, &entry);
        let Work::SignOut(leaving) = &mut flight.work else { return self.let_go(flight) };
        leaving.held = Some(held);
        let (store, key, expect) = (target.store, target.key, entry.pair);
        self.go(flight, Step::Removing, |ticket, flight| Effect::Remove {
            ticket,
            flight: flight.id,
            store,
            key,
            expect,
        });
    }

    /// The tokens of an entry, newest first: those that no store has yet, and its own where they are
    /// not spent.
    fn held(&self, target: &Target, entry: &Entry) -> Held {
        let newer = self.spares.about(target).find(|spare| spare.is_owed());
        let newer = newer.filter(|spare| spare.record.replaced.iter().all(|(t, _)| t == target));
        let mut held = Held {
            client: entry.client.clone(),
            server_url: entry.server_url.clone(),
            tokens: Vec::new(),
            refresh: entry.pair.refresh.as_ref().map(|token| TokenMark::of(&self.mark_key, token)),
        };
        let mut take = |token: Option<&Secret>, kind| {
            held.tokens.extend(token.map(|token| (token.clone(), kind)));
        };
        if let Some(tokens) = newer.and_then(|spare| spare.record.stage.tokens()) {
            take(tokens.refresh.as_ref(), TokenKind::Refresh);
            take(Some(&tokens.access), TokenKind::Access);
        }
        let spent = |token: &&Secret| {
            let mark = TokenMark::of(&self.mark_key, token);
            self.facts.is_spent(mark) || newer.is_some_and(|spare| spare.record.mark == mark)
        };
        let refresh = entry.pair.refresh.as_ref().filter(|token| !spent(token));
        take(refresh, TokenKind::Refresh);
        take(entry.pair.access.as_ref(), TokenKind::Access);
        // A sign-in that is not saved yet has a client of its own.
        let enrolled = newer.and_then(|spare| spare.record.enrolment.as_ref());
        held.client = enrolled.map(|e| e.client.clone()).or(held.client);
        held
    }

    /// The store answered.
    pub(super) fn removed(&mut self, flight: Flight, wrote: Result<Written, StoreFault>) {
        match wrote {
            // Gone: by the client's hand, or by ours and looked for a second time.
            Ok(Written::Saved | Written::Gone) => {
                self.go(flight, Step::ReadingBack, |ticket, flight| Effect::ReadBack {
                    ticket,
                    flight: flight.id,
                    stores: flight.stores(),
                });
            }
            Ok(Written::Conflict(_)) => self.remove_again(flight),
            Err(fault) => self.unlock(flight, Ending::Failed(Failure::Store(fault))),
        }
    }

    /// Something else stands there than what was read: that is what the person means, unless it goes
    /// on changing.
    fn remove_again(&mut self, mut flight: Flight) {
        let Work::SignOut(leaving) = &mut flight.work else { return self.let_go(flight) };
        leaving.tries += 1;
        if leaving.tries >= TRIES {
            return self.unlock(flight, Ending::Adopted);
        }
        self.read_under_lock(flight);
    }

    /// The store was read back, still under the client's lock.
    pub(super) fn removed_read_back(&mut self, mut flight: Flight, views: Views) {
        if let Some(fault) = self.leave_unreadable_out(&mut flight, views) {
            return self.unlock(flight, Ending::Failed(Failure::Store(fault)));
        }
        if flight.targets.iter().any(|target| self.grants.contains(target)) {
            return self.remove_again(flight);
        }
        self.unlock(flight, Ending::SignedOut);
    }
}
