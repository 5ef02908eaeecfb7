//! Every grant, and what finds one without looking at all: by its name, by the token it holds, by
//! who was asked for, and by the moment at which something about it changes.
//!
//! It must not decide anything. Whoever changes a grant gets it by [`Grants::get_mut`] or one of the
//! setters here, which touch it: only what was touched is looked at again.
//!
//! Read next: `touch` for what is done with what was touched.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};

use super::grant::{Asked, Grant};
use crate::{
    ids::{EntryKey, GrantId, MarkKey, StoreId, Target, TokenMark},
    store::Entry,
    time::{Boot, Now, Wall},
};

/// What a grant is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    /// A renewal, with the words for the log.
    Renewal(&'static str),
    /// Its server is asked.
    Probe,
}

/// When a grant is looked at again although nothing about it was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moments {
    /// Wakes that are asked for.
    pub calls: Vec<(Boot, Call)>,
    /// The next moment at which the wall clock alone changes something: no wake is asked for it.
    pub turn: Option<Wall>,
}

/// All grants, in the order of their targets.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Grants {
    all: BTreeMap<Arc<Target>, Grant>,
    by_id: BTreeSet<(GrantId, Arc<Target>)>,
    by_mark: BTreeSet<(TokenMark, Arc<Target>)>,
    asked: BTreeSet<Arc<Target>>,
    /// Those whose refresh token is spent.
    older: BTreeSet<Arc<Target>>,
    moments: BTreeMap<Arc<Target>, Moments>,
    calls: BTreeSet<(Boot, Call, Arc<Target>)>,
    turns: BTreeSet<(Wall, Arc<Target>)>,
    touched: BTreeSet<Arc<Target>>,
}

impl Grants {
    pub(super) fn get(&self, target: &Target) -> Option<&Grant> {
        self.all.get(target)
    }

    /// The grant, to be changed in anything but its entry, its name and whether it is asked for.
    pub(super) fn get_mut(&mut self, target: &Target) -> Option<&mut Grant> {
        self.touch(target);
        self.all.get_mut(target)
    }

    pub(super) fn contains(&self, target: &Target) -> bool {
        self.all.contains_key(target)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<Target>, &Grant)> {
        self.all.iter()
    }

    /// Every grant, to be changed in anything but its entry, its name and whether it is asked for.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Grant> {
        self.touch_all();
        self.all.values_mut()
    }

    /// Every grant in a store, in order.
    pub(super) fn in_store<'a>(
        &'a self,
        store: &'a StoreId,
    ) -> impl Iterator<Item = (&'a Arc<Target>, &'a Grant)> {
        self.all.range(first_in(store)..).take_while(move |(target, _)| target.store == *store)
    }

    /// The first grant of this name.
    pub(super) fn named(&self, id: &GrantId) -> Option<&Arc<Target>> {
        let from = (id.clone(), least());
        let (found, target) = self.by_id.range(from..).next()?;
        (found == id).then_some(target)
    }

    /// Every grant of this server in this store, in order.
    pub(super) fn of_server(&self, store: &StoreId, server: &str) -> Vec<Arc<Target>> {
        // A tie is told apart by what follows the plain identifier.
        let stem = GrantId::of(store, server);
        let from = (stem.clone(), least());
        let begins = |(id, _): &&(GrantId, _)| id.as_str().starts_with(stem.as_str());
        let named = self.by_id.range(from..).take_while(begins);
        let mut found: Vec<Arc<Target>> = named
            .filter(|(_, target)| {
                let grant = self.all.get(target);
                target.store == *store && grant.is_some_and(|g| g.entry.server_name == server)
            })
            .map(|(_, target)| target.clone())
            .collect();
        found.sort_unstable();
        found
    }

    /// Every grant that holds the refresh token of this mark, in order.
    pub(super) fn holding(&self, mark: TokenMark) -> impl Iterator<Item = &Arc<Target>> {
        let from = self.by_mark.range((mark, least())..);
        from.take_while(move |(held, _)| *held == mark).map(|(_, target)| target)
    }

    /// Takes up a grant that was not known.
    pub(super) fn insert(&mut self, target: Target, grant: Grant) {
        let target = Arc::new(target);
        self.by_id.insert((grant.id.clone(), target.clone()));
        let mark = grant.refresh_mark;
        if let Some(mark) = mark {
            self.by_mark.insert((mark, target.clone()));
        }
        self.all.insert(target.clone(), grant);
        self.touched.insert(target);
        self.touch_holders(mark);
    }

    /// Lets go of a grant.
    pub(super) fn remove(&mut self, target: &Target) -> Option<Grant> {
        let (target, grant) = self.all.remove_entry(target)?;
        self.set_moments(&target, Moments::default());
        self.by_id.remove(&(grant.id.clone(), target.clone()));
        if let Some(mark) = grant.refresh_mark {
            self.by_mark.remove(&(mark, target.clone()));
        }
        self.asked.remove(&target);
        self.older.remove(&target);
        self.touched.insert(target);
        self.touch_holders(grant.refresh_mark);
        Some(grant)
    }

    /// The store holds another entry than before, or calls it otherwise; returns the old one.
    pub(super) fn replace(
        &mut self,
        target: &Target,
        id: GrantId,
        entry: Entry,
        key: &MarkKey,
    ) -> Option<Entry> {
        let target = self.all.get_key_value(target)?.0.clone();
        let grant = self.all.get_mut(&target)?;
        if grant.id != id {
            self.by_id.remove(&(core::mem::replace(&mut grant.id, id.clone()), target.clone()));
            self.by_id.insert((id, target.clone()));
        }
        let before = grant.refresh_mark;
        let old = grant.take_entry(entry, key);
        let after = grant.refresh_mark;
        if before != after {
            if let Some(mark) = before {
                self.by_mark.remove(&(mark, target.clone()));
            }
            if let Some(mark) = after {
                self.by_mark.insert((mark, target.clone()));
            }
            self.touch_holders(before);
            self.touch_holders(after);
        }
        self.touched.insert(target);
        Some(old)
    }

    pub(super) fn set_asked(&mut self, target: &Target, asked: Asked) {
        self.touch(target);
        let Some((target, _)) = self.all.get_key_value(target) else {
            return;
        };
        let target = target.clone();
        if let Some(grant) = self.all.get_mut(&target) {
            grant.asked = asked;
        }
        if asked == Asked::No {
            self.asked.remove(&target);
        } else {
            self.asked.insert(target);
        }
    }

    /// What was asked for and is not settled.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.asked.iter()
    }

    /// Something about this entry may be different now.
    pub(super) fn touch(&mut self, target: &Target) {
        if !self.touched.contains(target) {
            let known = self.all.get_key_value(target).map(|(target, _)| target.clone());
            self.touched.insert(known.unwrap_or_else(|| Arc::new(target.clone())));
        }
    }

    pub(super) fn touch_all(&mut self) {
        self.touched.extend(self.all.keys().cloned());
    }

    /// Whoever holds this token.
    pub(super) fn touch_holders(&mut self, mark: Option<TokenMark>) {
        let holders: Vec<_> =
            mark.into_iter().flat_map(|mark| self.holding(mark)).cloned().collect();
        self.touched.extend(holders);
    }

    /// Whoever holds the refresh token of this mark holds a spent one, or (`false`) a good one.
    pub(super) fn set_older(&mut self, mark: TokenMark, is_spent: bool) {
        let holders: Vec<_> = self.holding(mark).cloned().collect();
        for target in holders {
            if is_spent {
                self.older.insert(target.clone());
            } else {
                self.older.remove(&target);
            }
            self.touched.insert(target);
        }
    }

    /// The same of this one alone.
    pub(super) fn set_older_one(&mut self, target: &Target, is_spent: bool) {
        let Some((target, _)) = self.all.get_key_value(target).filter(|_| is_spent) else {
            self.older.remove(target);
            return;
        };
        self.older.insert(target.clone());
    }

    /// Those that hold a spent token.
    pub(super) fn older(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.older.iter()
    }

    /// They may stand otherwise.
    pub(super) fn touch_older(&mut self) {
        self.touched.extend(self.older.iter().cloned());
    }

    /// Touches whatever has its moment now.
    pub(super) fn touch_due(&mut self, now: Now) {
        let calls = self.calls.iter().take_while(|(at, ..)| *at <= now.boot);
        let turns = self.turns.iter().take_while(|(at, _)| *at <= now.wall);
        let due = calls.map(|(_, _, target)| target).chain(turns.map(|(_, target)| target));
        self.touched.extend(due.cloned());
    }

    pub(super) const fn touched(&self) -> &BTreeSet<Arc<Target>> {
        &self.touched
    }

    /// What was touched so far, handed over.
    pub(super) fn take_touched(&mut self) -> BTreeSet<Arc<Target>> {
        core::mem::take(&mut self.touched)
    }

    /// When this grant is looked at again by the clock alone.
    pub(super) fn set_moments(&mut self, target: &Arc<Target>, moments: Moments) {
        let old = if moments == Moments::default() {
            self.moments.remove(target)
        } else {
            if self.moments.get(target) == Some(&moments) {
                return;
            }
            self.moments.insert(target.clone(), moments.clone())
        };
        for (at, call) in old.iter().flat_map(|old| &old.calls) {
            self.calls.remove(&(*at, *call, target.clone()));
        }
        if let Some(at) = old.and_then(|old| old.turn) {
            self.turns.remove(&(at, target.clone()));
        }
        for (at, call) in moments.calls {
            self.calls.insert((at, call, target.clone()));
        }
        if let Some(at) = moments.turn {
            self.turns.insert((at, target.clone()));
        }
    }

    /// The first wake that is asked for.
    pub(super) fn first_call(&self) -> Option<(Boot, Call, &Grant)> {
        let (at, call, target) = self.calls.first()?;
        Some((*at, *call, self.all.get(target)?))
    }

    /// Everything that follows from the grants themselves, and when each is looked at again.
    #[cfg(test)]
    pub(super) fn check(&self) -> &BTreeMap<Arc<Target>, Moments> {
        let all = || self.all.iter();
        let ids = all().map(|(target, grant)| (grant.id.clone(), target.clone()));
        assert_eq!(self.by_id, ids.collect());
        let marks = all().filter_map(|(t, grant)| Some((grant.refresh_mark?, t.clone())));
        assert_eq!(self.by_mark, marks.collect());
        let asked = all().filter(|(_, grant)| grant.asked != Asked::No).map(|(t, _)| t.clone());
        assert_eq!(self.asked, asked.collect());
        let moments = || self.moments.iter();
        let calls =
            moments().flat_map(|(t, m)| m.calls.iter().map(|(at, call)| (*at, *call, t.clone())));
        assert_eq!(self.calls, calls.collect());
        let turns = moments().filter_map(|(t, m)| Some((m.turn?, t.clone())));
        assert_eq!(self.turns, turns.collect());
        &self.moments
    }
}

/// Not behind any target.
fn least() -> Arc<Target> {
    Arc::new(first_in(&StoreId(String::new())))
}

/// Not behind any target in this store.
pub(super) fn first_in(store: &StoreId) -> Target {
    Target { store: store.clone(), key: EntryKey(String::new()) }
}
