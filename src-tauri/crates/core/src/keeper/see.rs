//! What a look at a store means: who is new, who renewed, who is gone.
//!
//! An entry that is gone was signed out by the user: nothing of it is kept. A store that cannot be
//! read says nothing: unreadable is not empty.

use alloc::{string::String, vec::Vec};

use super::{Event, Keeper, grant::Grant, naming};
use crate::{
    facts::{GrantFacts, Renewer},
    ids::{EntryKey, StoreId, Target, TokenMark},
    store::{Entry, StoreFault, StoreView, TokenPair},
    time::Wall,
};

impl Keeper {
    /// Takes in one look at one store.
    pub(super) fn see(&mut self, store: &StoreId, seen: Result<StoreView, StoreFault>) {
        match &seen {
            Ok(view) => self.see_entries(store, &view.entries),
            // No store at all: every entry it held is gone with it.
            Err(StoreFault::Absent { .. }) => self.see_entries(store, &[]),
            Err(_) => {}
        }
        self.stores.insert(store.clone(), seen);
    }

    fn see_entries(&mut self, store: &StoreId, entries: &[Entry]) {
        let names = naming::names(store, entries.iter().map(|e| (&e.key, e.server_name.as_str())));
        let here: Vec<Target> = self.targets_in(store);
        for target in here {
            if !names.contains_key(&target.key) {
                self.signed_out(&target);
            }
        }
        for entry in entries {
            let Some(id) = names.get(&entry.key).cloned() else {
                continue;
            };
            let target = Target { store: store.clone(), key: entry.key.clone() };
            let known = self.grants.get_mut(&target).map(|grant| {
                grant.id = id.clone();
                core::mem::replace(&mut grant.entry, entry.clone()).pair
            });
            match known {
                Some(pair) if pair == entry.pair => {}
                Some(_) => self.pair_changed(&target),
                None => {
                    self.signed_out.remove(&(store.clone(), entry.server_name.clone()));
                    self.grants.insert(target.clone(), Grant::new(id, entry.clone(), self.now));
                    self.met_first(&target);
                }
            }
        }
    }

    /// First seen in this run: the client may have renewed while nobody watched.
    fn met_first(&mut self, target: &Target) {
        let facts = self.facts_of(target);
        let access = self.grants.get(target).and_then(|g| g.access_mark(&self.mark_key));
        if facts.access.is_some() && access.is_some() && facts.access != access {
            self.pair_changed(target);
        }
    }

    /// The pair in the store is another than before: ours, an old copy, emptied, or the client's own.
    fn pair_changed(&mut self, target: &Target) {
        let Some(grant) = self.grants.get(target) else {
            return;
        };
        let pair = grant.entry.pair.clone();
        let id = grant.id.clone();
        if self.is_ours_or_older(target, &pair) || pair.access.is_none() {
            return;
        }
        let access = grant.access_mark(&self.mark_key);
        let expires_at = pair.expires_at;
        let now = self.now.wall;
        let facts = self.facts_mut(target);
        adopt(facts, access, expires_at, now);
        if let Some(grant) = self.grants.get_mut(target) {
            grant.failure = None;
            grant.attempts = 0;
            grant.wait_until = None;
            grant.probe = None;
        }
        self.tell(Event::Renewed { grant: id, by: Renewer::Client, expires_at });
    }

    /// Whether the pair is one that this program received, or one that it replaced.
    fn is_ours_or_older(&self, target: &Target, pair: &TokenPair) -> bool {
        let spent = pair.refresh.as_ref().map(|token| TokenMark::of(&self.mark_key, token));
        let access = pair.access.as_ref().map(|token| TokenMark::of(&self.mark_key, token));
        let facts = self.grants.get(target).map(|_| self.facts_of(target)).unwrap_or_default();
        let in_spare = self.spares.values().any(|spare| spare.knows(target, pair));
        let in_flight = self.flights.values().any(|flight| flight.knows(target, pair));
        in_spare
            || in_flight
            || (facts.access.is_some() && facts.access == access)
            || spent.is_some_and(|mark| facts.spent.contains(&mark))
    }

    /// The user signed out: no restore, no notice, nothing kept, new tokens given back.
    pub(super) fn signed_out(&mut self, target: &Target) {
        let Some(grant) = self.grants.remove(target) else {
            return;
        };
        self.drop_spares_of(target, &grant.entry);
        let by_us = self.sign_outs.contains_key(target);
        // All is forgotten but what was spent: an old copy may still come back. Who signed out here
        // also finds the same registration again, and the way that the browser came back.
        if let Some(facts) = self.facts.grants.remove(target) {
            let kept = GrantFacts {
                spent: facts.spent,
                registration: facts.registration.filter(|kept| by_us && kept.is_public()),
                redirect: facts.redirect.filter(|_| by_us),
                ..GrantFacts::default()
            };
            if kept != GrantFacts::default() {
                self.facts.grants.insert(target.clone(), kept);
            }
        }
        let held_tokens = grant.entry.pair != TokenPair::default();
        if held_tokens {
            let name = (target.store.clone(), grant.entry.server_name);
            if by_us {
                self.signed_out.remove(&name);
            } else {
                self.signed_out.insert(name);
            }
            self.tell(Event::SignedOut { grant: grant.id });
        }
    }

    /// Every entry known in a store.
    pub(super) fn targets_in(&self, store: &StoreId) -> Vec<Target> {
        let first = Target { store: store.clone(), key: EntryKey(String::new()) };
        let from = self.grants.range(first..).take_while(|(target, _)| target.store == *store);
        from.map(|(target, _)| target.clone()).collect()
    }
}

/// The client renewed: its token is good, and the life we last learned is likely this one's too.
fn adopt(facts: &mut GrantFacts, access: Option<TokenMark>, expires_at: Option<Wall>, now: Wall) {
    facts.access = access;
    facts.issued_at = match (expires_at, facts.life) {
        (Some(end), Some(life)) => Some((end - life).min(now)),
        _ => None,
    };
    facts.renewed_at = Some(facts.issued_at.unwrap_or(now));
    facts.renewed_by = Some(Renewer::Client);
    facts.failing_since = None;
    facts.refusal = None;
    facts.lost = None;
}
