//! Each store stands for itself: an entry whose store can't be locked, read or written is left out of a
//! flight, and the others go on.
//!
//! Its token is spent by then. When its store can be used again it is given the newer one: `copies`.

use super::{Ending, Flight, Views, Work};
use crate::{
    ids::{StoreId, Target},
    keeper::{Failure, Keeper, grant::Grant, plan::is_passing},
    store::{StoreFault, StoreView, TokenPair},
};

impl Keeper {
    /// The client's lock of one entry could not be taken.
    pub(super) fn not_locked(&mut self, mut flight: Flight, store: &StoreId, fault: StoreFault) {
        let lead = flight.targets.first().map(|lead| lead.store.clone());
        let is_alone = flight.targets.iter().all(|target| target.store == *store);
        // Whoever holds the lock of a copy may be presenting this very token.
        if is_alone || is_passing(&fault) {
            return self.land(flight, Ending::Failed(Failure::Store(fault)));
        }
        self.leave_store_out(&mut flight, store, &fault);
        if matches!(flight.work, Work::Refresh(_)) && lead.as_ref() == Some(store) {
            return self.land(flight, Ending::Overtaken);
        }
        self.take_lock(flight);
    }

    /// Takes in what was read, and leaves out what could not be; a fault, where nothing is left.
    pub(super) fn leave_unreadable_out(
        &mut self,
        flight: &mut Flight,
        views: Views,
    ) -> Option<StoreFault> {
        let mut lost = None;
        let mut first = None;
        for (store, seen) in views {
            if let Err(fault) = &seen
                && is_passing(fault)
            {
                // Of our own lock: nothing is known of the store.
                lost.get_or_insert_with(|| fault.clone());
                continue;
            }
            self.see(&store, seen);
            let Some(fault) = self.fault_for(flight, &store) else { continue };
            first.get_or_insert_with(|| fault.clone());
            if !matches!(flight.work, Work::SignOut(_)) {
                self.leave_store_out(flight, &store, &fault);
            }
        }
        let nothing_left = flight.targets.is_empty() || matches!(flight.work, Work::SignOut(_));
        lost.or_else(|| first.filter(|_| nothing_left))
    }

    /// Why this store is of no use to a flight now. A first sign-in may make the store.
    fn fault_for(&self, flight: &Flight, store: &StoreId) -> Option<StoreFault> {
        match self.stores.get(store)? {
            Ok(view) if view.is_there() => None,
            _ if self.makes(flight, store) => None,
            Ok(StoreView { .. }) => Some(self.absent(store)),
            Err(fault) => Some(fault.clone()),
        }
    }

    /// Whether a flight saves a first sign-in to a store that is not there, and may make that store.
    pub(super) fn makes(&self, flight: &Flight, store: &StoreId) -> bool {
        !self.is_readable(store)
            && flight.record().is_some_and(|record| {
                record.enrolment.is_some()
                    && record.replaced.iter().all(|(_, pair)| *pair == TokenPair::default())
                    && self.may_make(store, record)
            })
    }

    fn leave_store_out(&mut self, flight: &mut Flight, store: &StoreId, fault: &StoreFault) {
        let of_store = flight.targets.iter().filter(|target| target.store == *store);
        for target in of_store.cloned().collect::<alloc::vec::Vec<_>>() {
            self.leave_out(flight, &target, fault.clone());
        }
    }

    /// This entry's store can't be used: it has no part in the flight any more.
    pub(super) fn leave_out(&mut self, flight: &mut Flight, target: &Target, fault: StoreFault) {
        flight.targets.retain(|other| other != target);
        self.set_flight(target, None);
        self.landed_failed(target, &Failure::Store(fault.clone()));
        flight.left_out.push((target.clone(), fault));
    }

    /// Whether it failed for its own store's sake and is tried again later.
    pub(super) fn waits_for_its_store(&self, grant: &Grant) -> bool {
        let own = matches!(grant.failure, Some(Failure::Store(_)));
        own && grant.wait_until.is_some_and(|until| until > self.now.boot)
    }
}
