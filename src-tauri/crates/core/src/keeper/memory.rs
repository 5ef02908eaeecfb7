//! The facts as the keeper holds them, with what has changed in them since they were last handed
//! over to be kept.
//!
//! It must not hand over what is as it was: writing facts costs a durable file.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::{Facts, FactsChange, GrantFacts, Spent, StoreFacts},
    ids::{StoreId, Target, TokenMark},
    time::{Boot, Millis, Wall},
};

/// How soon facts that could not be kept are handed over again: a disk has space again when somebody
/// makes room, and nothing tells of it.
const OFFERED_AGAIN: Millis = Millis::minutes(1);

/// What is remembered, and what of it is news.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Memory {
    facts: Facts,
    /// What is remembered of a grant of which nothing is.
    nothing: GrantFacts,
    /// Grants that may have changed, as they were when last handed over.
    grants: BTreeMap<Target, Option<GrantFacts>>,
    stores: BTreeSet<StoreId>,
    told: BTreeMap<alloc::string::String, bool>,
    spent: BTreeMap<TokenMark, Option<Spent>>,
    lost: BTreeMap<TokenMark, Option<Wall>>,
    /// What was handed over could not be kept: everything is handed over again then, or with the next
    /// change before.
    unkept: Option<Boot>,
}

impl Memory {
    pub(super) fn new(facts: Facts) -> Self {
        Self { facts, ..Self::default() }
    }

    #[cfg(test)]
    pub(super) const fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn of(&self, target: &Target) -> &GrantFacts {
        self.facts.grants.get(target).unwrap_or(&self.nothing)
    }

    /// What is remembered of every grant, in order.
    pub(super) fn of_all(&self) -> impl Iterator<Item = &GrantFacts> {
        self.facts.grants.values()
    }

    /// The same, each with its grant.
    pub(super) fn each(&self) -> impl Iterator<Item = (&Target, &GrantFacts)> {
        self.facts.grants.iter()
    }

    /// [`Keeper::facts_mut`](super::Keeper::facts_mut) also touches the grant.
    pub(super) fn of_mut(&mut self, target: &Target) -> &mut GrantFacts {
        self.before(target);
        self.facts.grants.entry(target.clone()).or_default()
    }

    /// Forgets all about a grant, or all but this.
    pub(super) fn forget(
        &mut self,
        target: &Target,
        but: impl FnOnce(GrantFacts) -> Option<GrantFacts>,
    ) {
        self.before(target);
        let kept = self.facts.grants.remove(target).and_then(but);
        if let Some(kept) = kept {
            self.facts.grants.insert(target.clone(), kept);
        }
    }

    /// What is remembered of a store and its grants is about this one, which was called otherwise.
    pub(super) fn rename_store(&mut self, from: &StoreId, to: &StoreId) {
        let grants = self.facts.grants.keys();
        let targets: BTreeSet<Target> = grants.filter(|t| t.store == *from).cloned().collect();
        let is_known = self.facts.grants.keys().any(|target| target.store == *to);
        if targets.is_empty() || is_known {
            return;
        }
        for target in targets {
            let facts = self.of(&target).clone();
            self.forget(&target, |_| None);
            *self.of_mut(&Target { store: to.clone(), key: target.key }) = facts;
        }
        if let Some(earlier) = self.store(from).cloned() {
            self.edit_store(to, |facts| *facts = earlier);
        }
    }

    fn before(&mut self, target: &Target) {
        if !self.grants.contains_key(target) {
            let before = self.facts.grants.get(target).cloned();
            self.grants.insert(target.clone(), before);
        }
    }

    pub(super) fn store(&self, store: &StoreId) -> Option<&StoreFacts> {
        self.facts.stores.get(store)
    }

    /// Changes the facts of a store; says whether they are others now.
    pub(super) fn edit_store(
        &mut self,
        store: &StoreId,
        edit: impl FnOnce(&mut StoreFacts),
    ) -> bool {
        let known = self.facts.stores.get(store);
        let mut facts = known.cloned().unwrap_or_default();
        edit(&mut facts);
        let changed = known != Some(&facts);
        if changed {
            self.facts.stores.insert(store.clone(), facts);
            self.stores.insert(store.clone());
        }
        changed
    }

    /// The causes that a person was told of.
    pub(super) const fn told(&self) -> &BTreeSet<alloc::string::String> {
        &self.facts.told
    }

    /// A person was told of a cause, or that it is over; says whether that is news.
    pub(super) fn tell(&mut self, cause: &str, holds: bool) -> bool {
        let told = self.facts.told.contains(cause);
        if told == holds {
            return false;
        }
        if holds {
            self.facts.told.insert(cause.into());
        } else {
            self.facts.told.remove(cause);
        }
        // There and back again is no news for the file.
        if self.told.remove(cause).is_none() {
            self.told.insert(cause.into(), holds);
        }
        true
    }

    /// Whether the refresh token of this mark was answered with success.
    pub(super) fn is_spent(&self, mark: TokenMark) -> bool {
        self.facts.spent.contains_key(&mark)
    }

    /// When it was, on the wall clock; `None`: it was not.
    pub(super) fn spent_at(&self, mark: TokenMark) -> Option<Wall> {
        self.facts.spent.get(&mark).map(|spent| spent.at)
    }

    /// Whether the one refresh token came in the place of the other.
    pub(super) fn are_of_one_sign_in(&self, one: TokenMark, other: TokenMark) -> bool {
        self.facts.are_of_one_sign_in(one, other)
    }

    /// The newest refresh token that took the place of this spent one, as far as that is known.
    pub(super) fn newest_after(&self, mark: TokenMark) -> Option<TokenMark> {
        self.facts.newest_after(mark)
    }

    /// Notes that a refresh token was answered with success, or (`None`) that it is a good one after
    /// all: a server may give an old one again.
    pub(super) fn set_spent(&mut self, mark: TokenMark, spent: Option<Spent>) {
        let before = match spent {
            Some(spent) => self.facts.spent.insert(mark, spent),
            None => self.facts.spent.remove(&mark),
        };
        if before == spent {
            return;
        }
        self.spent.insert(mark, spent);
        for (mark, spent) in self.facts.crowded_out() {
            match spent {
                Some(spent) => self.facts.spent.insert(mark, spent),
                None => self.facts.spent.remove(&mark),
            };
            self.spent.insert(mark, spent);
        }
    }

    /// Every refresh token whose answer was lost, with when that was.
    pub(super) const fn lost(&self) -> &BTreeMap<TokenMark, Wall> {
        &self.facts.lost
    }

    /// Notes that an answer was lost, or (`None`) that it is not waited for any more; says whether that
    /// is news.
    pub(super) fn set_lost(&mut self, mark: TokenMark, lost: Option<Wall>) -> bool {
        let before = match lost {
            Some(at) => self.facts.lost.insert(mark, at),
            None => self.facts.lost.remove(&mark),
        };
        let changed = before != lost;
        if changed {
            self.lost.insert(mark, lost);
        }
        changed
    }

    /// What was handed over last could not be kept.
    pub(super) fn not_kept(&mut self, now: Boot) {
        self.unkept = Some(now + OFFERED_AGAIN);
    }

    /// What could not be kept is handed over now, for there may be no later.
    pub(super) fn offer_at_once(&mut self, now: Boot) {
        self.unkept = self.unkept.map(|_| now);
    }

    /// When what could not be kept is handed over again; `None`: nothing waits for that.
    pub(super) const fn offered_at(&self) -> Option<Boot> {
        self.unkept
    }

    /// What has changed since this was last asked, or everything where that is due.
    pub(super) fn take_change(&mut self, now: Boot) -> Option<FactsChange> {
        let grants = core::mem::take(&mut self.grants);
        let changed = grants.into_iter().filter_map(|(target, before)| {
            let now = self.facts.grants.get(&target);
            (now != before.as_ref()).then(|| (target, now.cloned()))
        });
        let stores = core::mem::take(&mut self.stores).into_iter().filter_map(|store| {
            let facts = self.facts.stores.get(&store)?.clone();
            Some((store, facts))
        });
        let change = FactsChange {
            afresh: false,
            grants: changed.collect(),
            stores: stores.collect(),
            told: core::mem::take(&mut self.told),
            spent: core::mem::take(&mut self.spent),
            lost: core::mem::take(&mut self.lost),
        };
        let is_due = self.unkept.is_some_and(|at| at <= now);
        if change == FactsChange::default() && !is_due {
            return None;
        }
        if self.unkept.take().is_some() {
            return Some(FactsChange::afresh(self.facts.clone()));
        }
        Some(change)
    }
}
