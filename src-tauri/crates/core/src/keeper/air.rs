//! What is in the air: flights, and tickets whose answers have not come.
//!
//! It must not decide anything; it counts, so that nobody has to look at all of it.

use alloc::{collections::BTreeMap, string::String};

use super::{Pending, flight::Flight, probing::Probe};
use crate::ids::{FlightId, StoreId, Target, Ticket};

/// The flights in the air.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Flights {
    all: BTreeMap<FlightId, Flight>,
    in_store: BTreeMap<StoreId, usize>,
}

impl Flights {
    pub(super) fn insert(&mut self, flight: Flight) {
        for store in flight.stores() {
            *self.in_store.entry(store).or_default() += 1;
        }
        self.all.insert(flight.id, flight);
    }

    pub(super) fn remove(&mut self, id: FlightId) -> Option<Flight> {
        let flight = self.all.remove(&id)?;
        for store in flight.stores() {
            less(&mut self.in_store, &store);
        }
        Some(flight)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Flight> {
        self.all.values()
    }

    /// Every flight, to be changed in anything but its entries.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Flight> {
        self.all.values_mut()
    }

    /// Whether one is about an entry of this store.
    pub(super) fn touch(&self, store: &StoreId) -> bool {
        self.in_store.contains_key(store)
    }
}

/// The tickets whose answers have not come.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Tickets {
    all: BTreeMap<Ticket, Pending>,
    probes: BTreeMap<Target, usize>,
    withdrawals: BTreeMap<(StoreId, String), usize>,
}

impl Tickets {
    pub(super) fn insert(&mut self, ticket: Ticket, pending: Pending) {
        if let Pending::Probe(Probe { target, .. }) = &pending {
            *self.probes.entry(target.clone()).or_default() += 1;
        }
        if let Pending::Withdraw(store, server) = &pending {
            *self.withdrawals.entry((store.clone(), server.clone())).or_default() += 1;
        }
        self.all.insert(ticket, pending);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.all.remove(&ticket)?;
        if let Pending::Probe(Probe { target, .. }) = &pending {
            less(&mut self.probes, target);
        }
        if let Pending::Withdraw(store, server) = &pending {
            less(&mut self.withdrawals, &(store.clone(), server.clone()));
        }
        Some(pending)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether this entry's server is being asked.
    pub(super) fn probe(&self, target: &Target) -> bool {
        self.probes.contains_key(target)
    }

    /// Whether a verdict on this server is being withdrawn.
    pub(super) fn withdraw(&self, store: &StoreId, server: &str) -> bool {
        !self.withdrawals.is_empty()
            && self.withdrawals.contains_key(&(store.clone(), server.into()))
    }
}

/// One fewer; none is not kept.
fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
