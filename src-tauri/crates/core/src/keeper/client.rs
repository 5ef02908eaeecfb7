//! Which OAuth client an entry is renewed as that names none itself (Claude Code 2.1.119 leaves it to
//! configuration).
//!
//! A refresh token belongs to the client that it was given to (RFC 6749 §6). As soon as one renewal has
//! succeeded, that client is known for as long as the sign-in goes on, in every copy of it; configuration,
//! which a repository may bring and change, is asked only where nothing is known. Only the identifier is
//! remembered, which is public, and never a secret.
//!
//! Read next: `ClientFrom` in [`store`](crate::store) for who else may name one.

use alloc::vec::Vec;

use super::{Failure, Keeper};
use crate::{
    facts::ProvenClient,
    ids::{StoreId, Target, TokenMark},
    store::{ClientCredentials, ClientFrom, Entry},
};

impl Keeper {
    /// Gives entries that name no client the one that their sign-in was renewed as.
    pub(super) fn fill_clients_in(&self, store: &StoreId, entries: &mut [Entry]) {
        for entry in entries.iter_mut().filter(|entry| entry.client_from != ClientFrom::Entry) {
            let target = Target { store: store.clone(), key: entry.key.clone() };
            let known = self.grants.get(&target);
            let known = known.filter(|known| known.entry.pair.refresh == entry.pair.refresh);
            let of = |token| TokenMark::of(&self.mark_key, token);
            let mark = match known {
                Some(known) => known.refresh_mark,
                None => entry.pair.refresh.as_ref().map(of),
            };
            if let Some(proven) = mark.and_then(|mark| self.proven_client(&target, mark)) {
                fill(entry, &proven.id);
            }
        }
    }

    /// A renewal succeeded as this client, and brought the refresh token of this mark.
    pub(super) fn note_client(&mut self, target: &Target, id: &str, mark: TokenMark) {
        let proven = Some(ProvenClient { mark, id: id.into() });
        if self.facts_of(target).client != proven {
            self.facts_mut(target).client = proven;
        }
        for copy in self.copies_of(target) {
            let Some(grant) = self.grants.get(&copy) else { continue };
            let (entry, mark) = (&grant.entry, grant.refresh_mark);
            if matches!(entry.client_from, ClientFrom::Entry | ClientFrom::Renewal) {
                continue;
            }
            if let Some(id) = mark.and_then(|m| Some(self.proven_client(&copy, m)?.id.clone()))
                && let Some(grant) = self.grants.get_mut(&copy)
            {
                fill(&mut grant.entry, &id);
                self.has_another_client(&copy);
            }
        }
    }

    /// What is known of the client goes with the sign-in, and ends with it.
    pub(super) fn follow_client(&mut self, target: &Target) {
        let Some(mark) = self.grants.get(target).and_then(|grant| grant.refresh_mark) else {
            return;
        };
        let proven = self.proven_client(target, mark);
        let now = proven.map(|proven| ProvenClient { mark, id: proven.id.clone() });
        if self.facts_of(target).client != now {
            self.facts_mut(target).client = now;
        }
    }

    /// What another client met says nothing about this one.
    pub(super) fn has_another_client(&mut self, target: &Target) {
        let Some(grant) = self.grants.get_mut(target) else { return };
        if matches!(
            grant.failure,
            Some(
                Failure::ClientRefused(_)
                    | Failure::ClientRefusedOnce(_)
                    | Failure::GrantRefused(_)
                    | Failure::GrantRefusedOnce(_)
            )
        ) {
            (grant.failure, grant.wait_until, grant.attempts) = (None, None, 0);
        }
    }

    /// The client that a renewal of this sign-in succeeded as: here, or in a copy.
    fn proven_client(&self, target: &Target, mark: TokenMark) -> Option<&ProvenClient> {
        let of_this_sign_in = |target: &Target| {
            let proven = self.facts_of(target).client.as_ref()?;
            self.facts.are_of_one_sign_in(proven.mark, mark).then_some(proven)
        };
        let copies = || self.copies_of(target).into_iter();
        of_this_sign_in(target).or_else(|| copies().find_map(|copy| of_this_sign_in(&copy)))
    }

    /// The entries of the same server in every store, this one first.
    fn copies_of(&self, target: &Target) -> Vec<Target> {
        let others = self.infos.keys().filter(|store| **store != target.store);
        let others = others.map(|store| Target { store: store.clone(), key: target.key.clone() });
        core::iter::once(target.clone()).chain(others).collect()
    }
}

fn fill(entry: &mut Entry, id: &str) {
    entry.client_from = ClientFrom::Renewal;
    if entry.client.as_ref().is_none_or(|client| client.id != id) {
        let secret = entry.configured_secret.clone();
        entry.client = Some(ClientCredentials { id: id.into(), secret });
    }
}
