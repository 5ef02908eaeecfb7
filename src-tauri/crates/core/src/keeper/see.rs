//! What a look at a store means: who is new, who renewed, who is gone.
//!
//! An entry that is gone from a store that is there was signed out by the user: nothing of it is kept.
//! A store that is away or cannot be read says nothing: unreadable is not empty. Where the store's file
//! alone is gone, its entries are not there any more, and nothing that was kept for them is destroyed.

use alloc::{borrow::ToOwned, collections::BTreeMap, sync::Arc, vec::Vec};

use super::{Event, Failure, Keeper, grant::Grant, naming};
use crate::{
    facts::{GrantFacts, Renewer},
    ids::{GrantId, StoreId, Target, TokenMark},
    oauth::discovery::Anchor,
    store::{Entry, SignIns, StoreFault, StoreView, TokenPair},
    time::Wall,
};

impl Keeper {
    /// Takes in one look at one store.
    pub(super) fn see(&mut self, store: &StoreId, mut seen: Result<StoreView, StoreFault>) {
        self.leave_finished(store);
        let is_known = self.grants.in_store(store).next().is_some();
        let mut is_missing = false;
        if let Ok(view) = &mut seen {
            self.narrow(store, view);
        }
        match &mut seen {
            Ok(view) if view.is_there() => {
                let mut entries = core::mem::take(&mut view.entries);
                self.fill_clients_in(store, &mut entries);
                self.see_entries(store, entries);
            }
            Ok(view) if is_known => {
                if view.sign_ins == SignIns::None && self.was_missing_before(store) {
                    self.all_vanished(store);
                } else {
                    is_missing = view.sign_ins == SignIns::None;
                    seen = Err(self.absent(store));
                }
            }
            Ok(_) | Err(_) => {}
        }
        self.note_unreadable(store, &seen, is_missing);
        if let Some(unseen) = &mut self.unseen {
            unseen.remove(store);
        }
        let before = self.stores.remove(store);
        self.touch_seen(store, before.as_ref(), &seen);
        let is_back = matches!((&before, &seen), (Some(Err(_)), Ok(view)) if view.is_there());
        self.stores.insert(store.clone(), seen);
        if is_back {
            self.can_be_used_again(store);
        }
        self.nothing_was_made(store);
        self.wait_no_longer(store);
    }

    /// A store that is as it was when a first sign-in was announced, and has no entry for it: whoever
    /// announced it made nothing. What is written there from now on says nothing of that sign-in.
    fn nothing_was_made(&mut self, store: &StoreId) {
        // One that is away, or whose file is, says nothing of that.
        let Some(Ok(view)) = self.stores.get(store).filter(|_| self.is_readable(store)) else {
            return;
        };
        let versions = [view.version, view.version_before];
        let unmade = self.spares.in_store(store).filter(|(target, spare)| {
            let over = spare.record.written_over;
            let is_as_it_was = over.is_some() && versions.contains(&over);
            is_as_it_was && !spare.flying && !self.grants.contains(target)
        });
        let unmade: Vec<_> = unmade.map(|(_, spare)| spare.record.id.clone()).collect();
        for id in unmade {
            self.spares.edit(&id, |spare| spare.record.written_over = None);
            self.spares.was_edited(&id);
        }
    }

    /// What failed for this store's sake need not wait any more.
    fn can_be_used_again(&mut self, store: &StoreId) {
        for target in self.targets_in(store) {
            let failed = self
                .grants
                .get(&target)
                .is_some_and(|grant| matches!(grant.failure, Some(Failure::Store(_))));
            if let Some(grant) = self.grants.get_mut(&target).filter(|_| failed) {
                (grant.failure, grant.wait_until, grant.attempts) = (None, None, 0);
            }
        }
    }

    /// Most looks find what the last one found, or one entry changed: those are told apart first.
    fn see_entries(&mut self, store: &StoreId, entries: Vec<Entry>) {
        let entries = match self.changed_among(store, entries) {
            Ok(changed) => {
                for (id, entry) in changed {
                    self.see_entry(store, id, entry);
                }
                return;
            }
            Err(entries) => entries,
        };
        let names = naming::names(store, entries.iter().map(|e| (&e.key, e.server_name.as_str())));
        let here = self.targets_in(store);
        for target in here {
            if !names.contains_key(&target.key) {
                self.signed_out(&target);
            }
        }
        for entry in entries {
            if let Some(id) = names.get(&entry.key) {
                self.see_entry(store, id.clone(), entry);
            }
        }
    }

    /// What is not as it was, in the store's order, each with its name; everything back where the
    /// entries are not the same ones as before, so that names may change.
    fn changed_among(
        &self,
        store: &StoreId,
        entries: Vec<Entry>,
    ) -> Result<Vec<(GrantId, Entry)>, Vec<Entry>> {
        let mut sorted: Vec<(usize, &Entry)> = entries.iter().enumerate().collect();
        sorted.sort_unstable_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        let mut known = self.grants.in_store(store);
        let mut changed = BTreeMap::new();
        for (place, entry) in sorted {
            match known.next() {
                Some((target, grant))
                    if target.key == entry.key && grant.entry.server_name == entry.server_name =>
                {
                    if grant.entry != *entry {
                        changed.insert(place, grant.id.clone());
                    }
                }
                Some(_) | None => return Err(entries),
            }
        }
        if known.next().is_some() {
            return Err(entries);
        }
        let places = entries.into_iter().enumerate();
        Ok(places.filter_map(|(place, entry)| Some((changed.remove(&place)?, entry))).collect())
    }

    fn see_entry(&mut self, store: &StoreId, id: GrantId, entry: Entry) {
        let target = Target { store: store.clone(), key: entry.key.clone() };
        let pair = entry.pair.clone();
        if !self.grants.contains(&target) {
            self.signed_out.remove(&(store.clone(), entry.server_name.clone()));
            let grant = Grant::new(id, entry, &self.mark_key, self.now);
            self.grants.insert(target.clone(), grant);
            let held_before = self.holds_now(&target);
            self.met_first(&target, held_before);
            return;
        }
        let client = entry.client.clone();
        let beginning = Anchor::of(&entry).beginning().to_owned();
        let before = self.grants.replace(&target, id, entry, &self.mark_key);
        if before.as_ref().is_some_and(|before| Anchor::of(before).beginning() != beginning) {
            self.looks_elsewhere(&target);
        }
        if before.as_ref().is_some_and(|before| before.client != client) {
            self.has_another_client(&target);
        }
        let held_before = self.holds_now(&target);
        if before.is_some_and(|before| before.pair != pair) {
            self.pair_changed(&target, held_before);
        }
    }

    /// Notes which refresh token the entry holds, and whether that is a spent one; says whether it held
    /// the same one when it was last seen.
    fn holds_now(&mut self, target: &Target) -> bool {
        let mark = self.grants.get(target).and_then(|grant| grant.refresh_mark);
        let is_spent = mark.is_some_and(|mark| self.facts.is_spent(mark));
        self.grants.set_older_one(target, is_spent);
        let before = self.facts_of(target).refresh;
        if before != mark {
            self.facts_mut(target).refresh = mark;
            if let Some(before) = before {
                self.forget_lost_unless_held(before);
            }
        }
        self.note_recorded(target);
        self.follow_client(target);
        before == mark
    }

    /// What was met at another beginning says nothing about this one.
    fn looks_elsewhere(&mut self, target: &Target) {
        let Some(grant) = self.grants.get_mut(target) else { return };
        if matches!(
            grant.failure,
            Some(
                Failure::Approval { .. }
                    | Failure::Discovery(_)
                    | Failure::PlainHttp(_)
                    | Failure::PrivateAddress(_)
            )
        ) {
            grant.failure = None;
            grant.wait_until = None;
        }
    }

    /// First seen in this run: the client may have renewed while nobody watched.
    fn met_first(&mut self, target: &Target, held_before: bool) {
        self.forget_tomorrow(target);
        let facts = self.facts_of(target);
        let access = self.grants.get(target).and_then(|g| g.access_mark);
        if facts.access.is_some() && access.is_some() && facts.access != access {
            self.pair_changed(target, held_before);
        }
    }

    /// The pair in the store is another than before: ours, an old copy, emptied, or the client's own.
    fn pair_changed(&mut self, target: &Target, held_before: bool) {
        let Some(grant) = self.grants.get(target) else {
            return;
        };
        let pair = grant.entry.pair.clone();
        let id = grant.id.clone();
        if self.is_ours_or_older(target, &pair) || pair.access.is_none() {
            return;
        }
        let access = grant.access_mark;
        let refresh = grant.refresh_mark.filter(|_| held_before);
        let expires_at = pair.expires_at;
        let now = self.now.wall;
        let facts = self.facts_mut(target);
        adopt(facts, access, expires_at, now);
        if let Some(refresh) = refresh {
            // It brought another access token and stayed: this server does not rotate.
            self.is_lost_no_longer(refresh);
        }
        if let Some(grant) = self.grants.get_mut(target) {
            grant.failure = None;
            grant.attempts = 0;
            grant.wait_until = None;
        }
        self.tell(Event::Renewed { grant: id, by: Renewer::Client, expires_at });
    }

    /// Whether the pair is one that this program received, or one that it replaced.
    fn is_ours_or_older(&self, target: &Target, pair: &TokenPair) -> bool {
        let spent = pair.refresh.as_ref().map(|token| TokenMark::of(&self.mark_key, token));
        let access = pair.access.as_ref().map(|token| TokenMark::of(&self.mark_key, token));
        let facts = self.facts_of(target);
        (facts.access.is_some() && facts.access == access)
            || spent.is_some_and(|mark| self.facts.is_spent(mark))
            || self.spares.about(target).any(|spare| spare.knows(target, pair))
            || self.flights.values().any(|flight| flight.knows(target, pair))
    }

    /// The user signed out: no restore, no notice, nothing kept, new tokens given back.
    pub(super) fn signed_out(&mut self, target: &Target) {
        let Some(grant) = self.grants.remove(target) else {
            return;
        };
        self.drop_spares_of(target, &grant.entry);
        let by_us = self.sign_outs.contains_key(target);
        // All is forgotten but what was spent, which is no entry's own. Who signed out here also finds the same registration again, and the way that the browser came back.
        self.facts.forget(target, |facts| {
            let kept = GrantFacts {
                registration: facts.registration.filter(|kept| by_us && kept.is_public()),
                redirect: facts.redirect.filter(|_| by_us),
                ..GrantFacts::default()
            };
            (kept != GrantFacts::default()).then_some(kept)
        });
        if let Some(mark) = grant.refresh_mark {
            self.forget_lost_unless_held(mark);
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

    /// The store's file is gone, and its folder is there: nobody is signed in. A file comes back more
    /// easily than a sign-in, so all that is kept for its entries stays: it is of use to exactly those,
    /// and to nobody who signs in anew.
    fn all_vanished(&mut self, store: &StoreId) {
        for target in self.targets_in(store) {
            let Some(grant) = self.grants.remove(&target) else { continue };
            if grant.entry.pair != TokenPair::default() {
                self.signed_out.insert((store.clone(), grant.entry.server_name));
                self.tell(Event::SignedOut { grant: grant.id });
            }
        }
    }

    /// Every entry known in a store.
    fn targets_in(&self, store: &StoreId) -> Vec<Arc<Target>> {
        self.grants.in_store(store).map(|(target, _)| target.clone()).collect()
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
    facts.refused_access = None;
    facts.unproven_access = None;
}
