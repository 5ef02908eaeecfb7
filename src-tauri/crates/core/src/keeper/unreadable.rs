//! Stores that can't be read now: when they are looked at again.
//!
//! After 1, 5 and 30 seconds, then each minute, at every wake, and before anything that a person asks
//! for there, so that nobody is told of a fault that is over.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{Action, Effect, Keeper, Mode, Outcome, Pending};
use crate::{
    facts::GrantFacts,
    ids::{GrantId, StoreId, Ticket},
    journal::Record,
    store::{SignIns, StoreFault, StoreView, TokenPair},
    time::{Boot, Millis},
};

/// When a store is looked at again, after the first look that failed; then each minute.
const AGAIN: [Millis; 3] = [Millis::seconds(1), Millis::seconds(5), Millis::seconds(30)];
const EACH: Millis = Millis::minutes(1);

/// The stores that can't be read, and what people asked for that waits for a look at them.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Unreadable {
    stores: BTreeMap<StoreId, Looks>,
    asked: BTreeMap<Ticket, Action>,
}

/// The looks that failed in a row.
#[derive(Debug, Clone, Copy)]
struct Looks {
    since: Boot,
    count: u32,
    /// Since when the store's file alone has been missing.
    missing: Option<Boot>,
}

impl Looks {
    fn next(&self, now: Boot) -> Boot {
        let last = AGAIN[AGAIN.len() - 1];
        let first = AGAIN.into_iter().find(|after| self.since + *after > now);
        let minutes = (self.since + last).until(now).0 / EACH.0 + 1;
        self.since + first.unwrap_or(Millis(last.0 + minutes * EACH.0))
    }
}

impl Keeper {
    /// Whether a store's file was found missing a second ago or earlier, and ever since.
    pub(super) fn was_missing_before(&self, store: &StoreId) -> bool {
        let missing = self.unreadable.stores.get(store).and_then(|looks| looks.missing);
        missing.is_some_and(|since| since + AGAIN[0] <= self.now.boot)
    }

    /// Takes in whether a look failed, and plans the next one.
    pub(super) fn note_unreadable(
        &mut self,
        store: &StoreId,
        seen: &Result<StoreView, StoreFault>,
        is_missing: bool,
    ) {
        let fails = match seen {
            Ok(view) => view.sign_ins == SignIns::Away && self.was_known(store),
            Err(StoreFault::Absent { .. }) => self.was_known(store),
            Err(StoreFault::Unsupported { .. }) => false,
            Err(_) => true,
        };
        if !fails {
            self.unreadable.stores.remove(store);
            return;
        }
        let now = self.now.boot;
        let new = Looks { since: now, count: 0, missing: None };
        let looks = self.unreadable.stores.entry(store.clone()).or_insert(new);
        looks.count = looks.count.saturating_add(1);
        looks.missing = is_missing.then(|| looks.missing.unwrap_or(now));
        let (count, next) = (looks.count, looks.next(now));
        if self.mode == Mode::Keep {
            self.relooks.sooner(store, next);
        }
        if count <= 2 {
            self.touch_store(store);
        }
    }

    /// Whether a second look failed too: what is over in a moment is no news.
    pub(super) fn failed_twice(&self, store: &StoreId) -> bool {
        self.unreadable.stores.get(store).is_some_and(|looks| looks.count > 1)
    }

    /// Whether entries of this store were ever known.
    fn was_known(&self, store: &StoreId) -> bool {
        self.grants.in_store(store).next().is_some()
            || self.spares.in_store(store).next().is_some()
            || self.facts.each().any(|(target, _)| target.store == *store)
    }

    /// Whether a store where people were signed in is not there now.
    pub(super) fn is_away(&self, store: &StoreId) -> bool {
        let is_missing = match self.stores.get(store) {
            Some(Ok(view)) => view.sign_ins == SignIns::Away,
            Some(Err(fault)) => matches!(fault, StoreFault::Absent { .. }),
            None => false,
        };
        // What is remembered of a first sign-in that is still to be saved says nothing of its store.
        let was_seen = |facts: &GrantFacts| facts.recorded.is_some() || facts.refresh.is_some();
        let held = |record: &Record| {
            record.replaced.iter().any(|(t, p)| t.store == *store && *p != TokenPair::default())
        };
        is_missing
            && (self.grants.in_store(store).next().is_some()
                || self.facts.store(store).is_some_and(|facts| facts.first_write_at.is_some())
                || self.facts.each().any(|(t, facts)| t.store == *store && was_seen(facts))
                || self.spares.in_store(store).any(|(_, spare)| held(&spare.record)))
    }

    /// That a store which was there is not there now.
    pub(super) fn absent(&self, store: &StoreId) -> StoreFault {
        let place = self.infos.get(store).map(|info| info.place.clone());
        StoreFault::Absent { place: place.unwrap_or_else(|| store.as_str().into()) }
    }

    /// What failed while nobody looked may be over: all is looked at now, and then as after a first
    /// failure.
    pub(super) fn look_at_unreadable(&mut self) {
        let now = self.now.boot;
        for (store, looks) in &mut self.unreadable.stores {
            looks.since = now;
            self.relooks.sooner(store, now);
        }
    }

    /// The stores that are looked at before this is done.
    fn to_look_at_first(&self, action: &Action) -> Vec<StoreId> {
        match action {
            Action::Renew(_)
            | Action::RenewDue
            | Action::Look
            | Action::Check(_)
            | Action::Review(_)
            | Action::Trust(_)
            | Action::Reconnect(_)
            | Action::SignOut(_) => {}
            // It is noted at once, and means nothing for a store.
            Action::Pause(_)
            | Action::Resume(_)
            | Action::AnotherWay(_)
            | Action::CancelSignIn(_) => return Vec::new(),
        }
        let of = action.grant().and_then(|id| self.grants.named(id)).map(|target| &target.store);
        let concerned = |store: &&StoreId| of.is_none_or(|of| of == *store);
        self.unreadable.stores.keys().filter(concerned).cloned().collect()
    }

    /// A person asks for something where a store could not be read: it is looked at first. Says
    /// whether that was needed.
    pub(super) fn looks_first(&mut self, action: &Action) -> bool {
        let stores = self.to_look_at_first(action);
        if stores.is_empty() || self.mode == Mode::WatchOnly || self.stopping {
            return false;
        }
        let ticket = self.ticket(Pending::LookFirst);
        self.unreadable.asked.insert(ticket, action.clone());
        self.effects.push_back(Effect::Read { ticket, flight: None, stores });
        true
    }

    /// The look is over: what was asked for is done with what it found.
    pub(super) fn looked_first(&mut self, ticket: Ticket, outcome: Outcome) {
        self.looked(&BTreeSet::new(), outcome);
        if let Some(action) = self.unreadable.asked.remove(&ticket) {
            self.act_now(action);
        }
    }

    /// A sign-in that waits for a look first is not begun after all. Says whether there was one.
    pub(super) fn forget_asked_sign_in(&mut self, grant: &GrantId) -> bool {
        let before = self.unreadable.asked.len();
        self.unreadable
            .asked
            .retain(|_, action| !matches!(action, Action::Reconnect(wish) if wish.grant == *grant));
        self.unreadable.asked.len() < before
    }

    /// Whether something that was asked for waits for a look first.
    pub fn is_looking_first(&self) -> bool {
        !self.unreadable.asked.is_empty()
    }

    /// Whether something that was asked for this grant, or for all, waits for a look first.
    pub(super) fn is_looking_first_for(&self, id: &GrantId) -> bool {
        self.unreadable.asked.values().any(|action| action.grant().is_none_or(|grant| grant == id))
    }
}
