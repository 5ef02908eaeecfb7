//! Every record that still matters, and what finds one without looking at all: by the entry it is
//! about, and by when something is to be done about it.
//!
//! It must not decide anything. A record is changed by [`Spares::edit`] alone, which notes whose
//! grants may now stand otherwise.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{
    grants::first_in,
    spare::{Hold, Spare},
};
use crate::{
    ids::{RecordId, StoreId, Target},
    time::Boot,
};

/// All spares, in the order of their records.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Spares {
    all: BTreeMap<RecordId, Spare>,
    about: BTreeSet<(Target, RecordId)>,
    agenda: BTreeSet<(Boot, RecordId)>,
    owed: BTreeSet<RecordId>,
    only_here: BTreeSet<RecordId>,
    held: BTreeSet<RecordId>,
    /// Entries whose records changed.
    changed: BTreeSet<Target>,
    /// Records that the journal may have otherwise.
    edited: BTreeSet<RecordId>,
    /// Stores that a forgotten record was about.
    forgotten: BTreeSet<StoreId>,
    /// Records of which it was not asked since their last change whether they are moot.
    unweighed: BTreeSet<RecordId>,
}

impl Spares {
    pub(super) fn get(&self, id: &RecordId) -> Option<&Spare> {
        self.all.get(id)
    }

    pub(super) fn insert(&mut self, spare: Spare) {
        self.remove(&spare.record.id.clone());
        self.add(spare);
    }

    pub(super) fn remove(&mut self, id: &RecordId) -> Option<Spare> {
        let spare = self.all.remove(id)?;
        for (target, _) in &spare.record.replaced {
            self.about.remove(&(target.clone(), id.clone()));
            self.changed.insert(target.clone());
        }
        if let Some(at) = spare.next_at() {
            self.agenda.remove(&(at, id.clone()));
        }
        self.owed.remove(id);
        self.only_here.remove(id);
        self.held.remove(id);
        self.unweighed.remove(id);
        Some(spare)
    }

    fn add(&mut self, spare: Spare) {
        let id = &spare.record.id;
        for (target, _) in &spare.record.replaced {
            self.about.insert((target.clone(), id.clone()));
            self.changed.insert(target.clone());
        }
        if let Some(at) = spare.next_at() {
            self.agenda.insert((at, id.clone()));
        }
        if spare.is_owed() {
            self.owed.insert(id.clone());
        }
        if spare.only_here {
            self.only_here.insert(id.clone());
        }
        if spare.hold == Hold::Held {
            self.held.insert(id.clone());
        }
        self.unweighed.insert(id.clone());
        self.all.insert(id.clone(), spare);
    }

    /// Changes a record in place.
    pub(super) fn edit<R>(
        &mut self,
        id: &RecordId,
        edit: impl FnOnce(&mut Spare) -> R,
    ) -> Option<R> {
        let mut spare = self.remove(id)?;
        let result = edit(&mut spare);
        self.add(spare);
        Some(result)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Spare> {
        self.all.values()
    }

    pub(super) fn ids(&self) -> Vec<RecordId> {
        self.all.keys().cloned().collect()
    }

    /// The records about this entry, in order.
    pub(super) fn about<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = &'a Spare> {
        let from = (target.clone(), RecordId(alloc::string::String::new()));
        let about = self.about.range(from..).take_while(move |(of, _)| of == target);
        about.filter_map(|(_, id)| self.all.get(id))
    }

    /// The records about entries of this store, each once for every entry.
    pub(super) fn in_store<'a>(
        &'a self,
        store: &'a StoreId,
    ) -> impl Iterator<Item = (&'a Target, &'a Spare)> {
        let from = (first_in(store), RecordId(alloc::string::String::new()));
        let about = self.about.range(from..).take_while(move |(of, _)| of.store == *store);
        about.filter_map(|(of, id)| Some((of, self.all.get(id)?)))
    }

    /// What is to be done something about by now, and what was held up, in order.
    pub(super) fn due(&self, now: Boot) -> Vec<RecordId> {
        let due = self.agenda.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id);
        let mut due: Vec<RecordId> = due.chain(&self.held).cloned().collect();
        due.sort_unstable();
        due
    }

    /// When something is to be done next.
    pub(super) fn first_at(&self) -> Option<Boot> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// The records of new tokens that no store holds yet.
    pub(super) fn owed(&self) -> impl Iterator<Item = &Spare> {
        self.owed.iter().filter_map(|id| self.all.get(id))
    }

    pub(super) fn any_only_here(&self) -> bool {
        !self.only_here.is_empty()
    }

    /// The records that exist only in this process.
    pub(super) fn only_here(&self) -> impl Iterator<Item = &Spare> {
        self.only_here.iter().filter_map(|id| self.all.get(id))
    }

    /// Entries whose records changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> BTreeSet<Target> {
        core::mem::take(&mut self.changed)
    }

    /// A record is forgotten.
    pub(super) fn was_forgotten(&mut self, spare: &Spare) {
        let stores = spare.record.replaced.iter().map(|(target, _)| target.store.clone());
        self.forgotten.extend(stores);
    }

    /// Stores of which no record speaks since this was last asked.
    pub(super) fn take_finished_stores(&mut self) -> BTreeSet<StoreId> {
        let mut stores = core::mem::take(&mut self.forgotten);
        stores.retain(|store| self.in_store(store).next().is_none());
        stores
    }

    /// A record is about fewer entries now.
    pub(super) fn was_edited(&mut self, id: &RecordId) {
        self.edited.insert(id.clone());
    }

    /// Records that were edited since this was last asked.
    pub(super) fn take_edited(&mut self) -> BTreeSet<RecordId> {
        core::mem::take(&mut self.edited)
    }

    /// The entry stands otherwise: its records may be moot.
    pub(super) fn weigh_again(&mut self, target: &Target) {
        let ids: Vec<RecordId> = self.about(target).map(|spare| spare.record.id.clone()).collect();
        self.unweighed.extend(ids);
    }

    /// The records that may be moot, in order, each named once.
    pub(super) fn take_unweighed(&mut self) -> BTreeSet<RecordId> {
        core::mem::take(&mut self.unweighed)
    }

    /// What finds records finds all of them.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let all = || self.all.values();
        let id = |spare: &Spare| spare.record.id.clone();
        let about =
            all().flat_map(|s| s.record.replaced.iter().map(move |(t, _)| (t.clone(), id(s))));
        assert_eq!(self.about, about.collect());
        let agenda = all().filter_map(|spare| Some((spare.next_at()?, id(spare))));
        assert_eq!(self.agenda, agenda.collect());
        assert_eq!(self.owed, all().filter(|s| s.is_owed()).map(id).collect());
        assert_eq!(self.only_here, all().filter(|s| s.only_here).map(id).collect());
        assert_eq!(self.held, all().filter(|s| s.hold == Hold::Held).map(id).collect());
    }
}
