//! Stores that this process does not look after, and that the journal still holds something for: another
//! process wrote it down, or the person has taken a folder out of the settings since.
//!
//! Such a store is visited: its records are finished there and nothing else is done. It must never renew,
//! ask a server, withdraw a verdict or show a row there that the journal does not speak of. What cannot
//! even be visited is shown, with what to do.

use alloc::vec::Vec;

use super::{Keeper, spare::Spare};
use crate::{
    health::EXIT_STORE,
    ids::{StoreId, Target},
    journal::{Record, Stage},
    snapshot::Unfinished,
    store::{StoreFault, StoreInfo, StoreView},
};

impl Keeper {
    /// From now on this store is visited, to finish what the journal holds for it. It is looked at like any
    /// other. It may have been out of reach before.
    pub fn visit(&mut self, info: StoreInfo) {
        if let Some(unseen) = &mut self.unseen {
            unseen.insert(info.id.clone());
        }
        self.unreachable.remove(&info.id);
        self.visited.insert(info.id.clone());
        self.infos.insert(info.id.clone(), info);
    }

    /// The journal holds something for a store that cannot be visited.
    pub fn cannot_visit(&mut self, unfinished: Unfinished) {
        self.unreachable.insert(unfinished.store.clone(), unfinished);
    }

    /// The stores that could not be visited. They may be there again later.
    pub fn out_of_reach(&self) -> impl Iterator<Item = &StoreId> {
        self.unreachable.keys()
    }

    pub(super) fn is_visited(&self, store: &StoreId) -> bool {
        self.visited.contains(store)
    }

    /// Nothing is unfinished in a store of which no record speaks any more.
    pub(super) fn leave_unreachable(&mut self) {
        for store in self.spares.take_finished_stores() {
            self.unreachable.remove(&store);
        }
    }

    /// Tokens that some of a record's entries have now stay owed to those that were left out in a store
    /// that nobody looks after: no newer ones are copied there.
    pub(super) fn owe_elsewhere(&mut self, record: &Record, left_out: &[(Target, StoreFault)]) {
        let is_elsewhere = |target: &Target| {
            let store = &target.store;
            let is_left_out = left_out.iter().any(|(out, _)| out == target);
            is_left_out && (self.is_visited(store) || self.unreachable.contains_key(store))
        };
        let mut rest = record.clone();
        rest.replaced.retain(|(target, _)| is_elsewhere(target));
        let Some(tokens) = rest.stage.tokens().cloned().filter(|_| !rest.replaced.is_empty())
        else {
            return;
        };
        rest.stage = Stage::Answered(tokens);
        rest.id = self.record_id(rest.mark);
        let id = rest.id.clone();
        self.keep_spare(rest, true);
        self.keep_in_journal(&id);
    }

    /// Entries of a visited store that the journal speaks of no more are left to whoever looks after it:
    /// what becomes of them is told to nobody here.
    pub(super) fn leave_finished(&mut self, store: &StoreId) {
        if !self.is_visited(store) {
            return;
        }
        let known = self.grants.in_store(store);
        let finished: Vec<_> = known
            .filter(|(target, grant)| {
                grant.flight.is_none() && self.spares.about(target).next().is_none()
            })
            .map(|(target, _)| target.clone())
            .collect();
        for target in finished {
            self.grants.remove(&target);
        }
    }

    /// What of a look at a visited store matters: the entries that the journal speaks of, and those that
    /// it spoke of before, so that none is taken for gone.
    pub(super) fn narrow(&self, store: &StoreId, view: &mut StoreView) {
        if !self.is_visited(store) {
            return;
        }
        view.entries.retain(|entry| {
            let target = Target { store: store.clone(), key: entry.key.clone() };
            self.grants.contains(&target) || self.spares.about(&target).next().is_some()
        });
        view.servers.clear();
        view.verdicts.clear();
        view.advice.clear();
    }

    /// Whether anything of this store is shown: a visited one only while new tokens wait for it.
    pub(super) fn is_shown(&self, store: &StoreId) -> bool {
        !self.is_visited(store) || self.spares.in_store(store).any(|(_, spare)| spare.is_owed())
    }

    /// The same for one of its entries.
    pub(super) fn is_row_shown(&self, target: &Target) -> bool {
        !self.is_visited(&target.store) || self.spares.about(target).any(Spare::is_owed)
    }

    /// What nothing here can finish.
    pub(super) fn unfinished(&self) -> Vec<Unfinished> {
        self.unreachable.values().cloned().collect()
    }

    /// New tokens that nobody can save need a person.
    pub(super) fn unfinished_exit(&self) -> u8 {
        let waits = self.unreachable.values().any(|unfinished| unfinished.sign_ins > 0);
        if waits { EXIT_STORE } else { crate::health::EXIT_FINE }
    }
}
