//! What may stand otherwise after an input, and is therefore looked at again: nothing else is.
//!
//! A grant is touched when anything changes that its plan, its notice or its next moment is made
//! from: its own entry and facts, its store, its copies elsewhere, its records, what is in the air
//! for it, or the clock. After every input what was touched is planned, and its moments are noted
//! anew; what is not touched would come out as it was. The tests hold each keeper, after every
//! input, to one that looks at everything.

use alloc::{collections::BTreeSet, sync::Arc, vec::Vec};

use super::{
    Keeper, Mode,
    grant::{Asked, CONFIRM_AFTER, Grant},
    grants::{Call, Moments},
    notice::{DEFINITE_AFTER, GIVE_UP_AFTER},
    plan::Next,
    probing::APART,
    refused::JUST_RENEWED,
    spare::LAST_LOOK,
    view::NEAR_END,
};
use crate::{
    ids::{StoreId, Target},
    store::{StoreFault, StoreView},
    time::{Boot, Millis, Now, Wall},
};

/// As long as the two clocks have parted by no more than this, the time of day is counted on by the
/// boot clock, so that a moment is the same moment on both; then all is planned anew.
const DRIFT: Millis = Millis::seconds(1);

/// How far the clock may be set back before what was noted by it counts as wrong.
pub(super) const CLOCK_STEP: Millis = Millis::minutes(1);

/// How far the wall clock is ahead of the boot clock, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset(i64);

impl Keeper {
    /// Everything in a store stands otherwise.
    pub(super) fn touch_store(&mut self, store: &StoreId) {
        let grants = self.grants.in_store(store).map(|(target, _)| target.clone());
        let spares = self.spares.in_store(store).map(|(target, _)| Arc::new(target.clone()));
        let targets: Vec<Arc<Target>> = grants.chain(spares).collect();
        for target in targets {
            self.grants.touch(&target);
        }
    }

    /// Also what holds a copy of a sign-in in this store, wherever it lies.
    fn touch_store_and_copies(&mut self, store: &StoreId) {
        self.touch_store(store);
        let marks: BTreeSet<_> =
            self.grants.in_store(store).filter_map(|(_, grant)| grant.refresh_mark).collect();
        for mark in marks {
            self.grants.touch_holders(Some(mark));
        }
    }

    /// While a store has its first write looked at, who waits there depends on all that flies there.
    pub(super) fn touch_if_on_probation(&mut self, store: &StoreId) {
        let facts = self.facts.store(store);
        let proven = facts.is_some_and(|facts| facts.proven);
        let first = facts.and_then(|facts| facts.first_write_at);
        if !proven && first.is_none_or(|first| self.now.wall < first + LAST_LOOK) {
            self.touch_store(store);
        }
    }

    /// A look at a store found something else than the last one.
    pub(super) fn touch_seen(
        &mut self,
        store: &StoreId,
        before: Option<&Result<StoreView, StoreFault>>,
        seen: &Result<StoreView, StoreFault>,
    ) {
        match (before, seen) {
            (Some(Err(before)), Err(fault)) if before == fault => {}
            (Some(Ok(before)), Ok(view)) => {
                // Records of what is not known here wait for a store that is there.
                if before.sign_ins != view.sign_ins {
                    self.touch_store(store);
                }
                if before.wiper != view.wiper {
                    self.touch_store_and_copies(store);
                }
                if before.verdicts != view.verdicts {
                    let both = before.verdicts.iter().chain(&view.verdicts);
                    let servers: BTreeSet<&str> = both.map(|v| v.server_name.as_str()).collect();
                    for server in servers {
                        self.touch_server(store, server);
                    }
                }
            }
            _ => self.touch_store_and_copies(store),
        }
    }

    pub(super) fn touch_server(&mut self, store: &StoreId, server: &str) {
        for target in self.grants.of_server(store, server) {
            self.grants.touch(&target);
        }
    }

    /// Takes in what time it is. Everything is touched when the clocks have parted.
    pub(super) fn tell_time(&mut self, now: Now, stepped: bool) {
        let Boot(boot) = now.boot;
        let offset = offset(now);
        let parted = stepped || offset.0.abs_diff(self.offset.0) > DRIFT.0;
        if parted {
            self.offset = offset;
            self.grants.touch_all();
        }
        self.now = Now { wall: Wall(self.offset.0.saturating_add_unsigned(boot)), boot: now.boot };
        if parted {
            let now = self.now.wall;
            for grant in self.grants.values_mut() {
                grant.first_seen = grant.first_seen.min(now);
                grant.probed_verdict = grant.probed_verdict.map(|at| at.min(now));
            }
            let targets: Vec<Arc<Target>> =
                self.grants.iter().map(|(target, _)| target.clone()).collect();
            for target in targets {
                self.forget_tomorrow(&target);
            }
            self.forget_tomorrows_writes();
            self.forget_tomorrows_losses();
        }
    }

    /// What was noted while the clock was ahead says nothing, now that it has been set back: neither
    /// when the token came, nor, written down by the same clock, when it ends. Only a renewal tells,
    /// so one is due.
    pub(super) fn forget_tomorrow(&mut self, target: &Target) {
        let now = self.now.wall;
        self.forget_tomorrows_waits(target);
        let facts = self.facts_of(target);
        let noted = [facts.issued_at, facts.renewed_at, facts.proof_at, facts.probed_at];
        let latest = noted.into_iter().flatten().max();
        if latest.is_none_or(|latest| latest <= now + CLOCK_STEP) {
            return;
        }
        let facts = self.facts_mut(target);
        let ahead = facts.issued_at.filter(|at| *at > now + CLOCK_STEP);
        facts.issued_at = ahead.map_or(facts.issued_at, |_| Some(Wall(0)));
        for noted in [&mut facts.renewed_at, &mut facts.proof_at, &mut facts.probed_at] {
            *noted = noted.map(|at| at.min(now));
        }
    }

    /// What was noted while the clock was ahead holds nothing up longer than if it had been noted now, and
    /// a document noted then is as good as one of long ago.
    fn forget_tomorrows_waits(&mut self, target: &Target) {
        let ahead = self.now.wall + CLOCK_STEP;
        let facts = self.facts_of(target);
        let noted = [
            facts.refusal.as_ref().map(|refusal| refusal.at),
            facts.refused_access.as_ref().map(|refused| refused.at),
            facts.metadata.as_ref().map(|(_, at)| *at),
            facts.failing_since,
        ];
        if noted.into_iter().flatten().all(|at| at <= ahead) {
            return;
        }
        let now = self.now.wall;
        let facts = self.facts_mut(target);
        let before = facts.refusal.as_mut().and_then(|refusal| refusal.before.as_mut());
        if let Some(before) = before {
            before.at = before.at.min(now);
        }
        let waits = [
            facts.refusal.as_mut().map(|refusal| &mut refusal.at),
            facts.refused_access.as_mut().map(|refused| &mut refused.at),
            facts.failing_since.as_mut(),
        ];
        for at in waits.into_iter().flatten() {
            *at = (*at).min(now);
        }
        if let Some((_, at)) = facts.metadata.as_mut().filter(|(_, at)| *at > ahead) {
            *at = Wall(0);
        }
    }

    /// The same for what was noted of stores.
    pub(super) fn forget_tomorrows_writes(&mut self) {
        let now = self.now.wall;
        let first_write = |store: &StoreId| self.facts.store(store)?.first_write_at;
        let ahead = |store: &&StoreId| first_write(store).is_some_and(|at| at > now + CLOCK_STEP);
        let stores: Vec<StoreId> = self.infos.keys().filter(ahead).cloned().collect();
        for store in stores {
            self.edit_store_facts(&store, |facts| facts.first_write_at = Some(now));
        }
    }

    /// Everything, when a sleep begins or ends; else what has its moment now.
    pub(super) fn touch_by_clock(&mut self) {
        let held = self.holds_back();
        if held != self.held {
            self.held = held;
            self.grants.touch_all();
        }
        self.grants.touch_due(self.now);
    }

    /// Passes on what records and flights changed.
    pub(super) fn gather(&mut self) {
        for target in self.spares.take_changed() {
            self.grants.touch(&target);
            self.touch_if_on_probation(&target.store);
        }
        self.touch_older();
    }

    /// What was touched before this input's plan and during it, in order.
    pub(super) fn all_touched(&self) -> Vec<Arc<Target>> {
        let both: BTreeSet<_> = self.batch.union(self.grants.touched()).cloned().collect();
        both.into_iter().collect()
    }

    /// The first that was touched behind `last`.
    pub(super) fn next_touched(&self, last: Option<&Arc<Target>>) -> Option<Arc<Target>> {
        use core::ops::Bound::{Excluded, Unbounded};
        let from = last.map_or(Unbounded, |last| Excluded(last.clone()));
        let of = |set: &BTreeSet<Arc<Target>>| set.range((from.clone(), Unbounded)).next().cloned();
        of(&self.batch).into_iter().chain(of(self.grants.touched())).min()
    }

    /// Notes when each grant that was touched is looked at again. What the plan itself touched stays
    /// for the next input, as it would be looked at then.
    pub(super) fn note_moments(&mut self) {
        self.gather();
        for target in self.all_touched() {
            let moments = self.grants.get(&target).map(|grant| self.moments(&target, grant));
            if let Some((moments, is_due)) = moments {
                self.grants.set_moments(&target, moments);
                if is_due {
                    self.grants.touch(&target);
                }
            }
        }
        self.batch.clear();
        if self.mode == Mode::WatchOnly {
            self.grants.take_touched();
        }
    }

    /// When this grant is looked at again, and whether it would start at once if it were.
    fn moments(&self, target: &Target, grant: &Grant) -> (Moments, bool) {
        let mut calls = Vec::new();
        let mut is_due = false;
        if self.mode == Mode::Keep || grant.asked != Asked::No {
            match self.next(target, grant) {
                Next::At(at, why) => calls.push((at, Call::Renewal(why.words()))),
                Next::StandBy(Some(at)) => {
                    calls.push((at, Call::Renewal("a renewal that stands by is weighed again")));
                }
                Next::Review(at) if at > self.now.boot => {
                    calls.push((at, Call::Renewal("an address that moved is looked at again")));
                }
                Next::Give(at) if at > self.now.boot => {
                    calls.push((at, Call::Renewal("a copy is given its newer tokens")));
                }
                Next::Now | Next::Review(_) | Next::Give(_) => is_due = !self.holds_back(),
                Next::StandBy(None) | Next::After(_) | Next::Never => {}
            }
        }
        if let Some(at) = self.probe_at(target, grant) {
            calls.push((at, Call::Probe));
        }
        (Moments { calls, turn: self.turn(target, grant) }, is_due)
    }

    /// The next moment at which the wall clock alone changes how this grant stands.
    fn turn(&self, target: &Target, grant: &Grant) -> Option<Wall> {
        let facts = self.facts.of(target);
        let end = grant.entry.pair.expires_at;
        let worked_until = grant.works_until(facts);
        let failing = facts.failing_since.zip(worked_until).map(|(since, end)| since.max(end));
        let locked = matches!(self.stores.get(&target.store), Some(Err(_)));
        let verdict = self.unasked_verdict(target, grant).is_some();
        let moments = [
            end,
            end.filter(|_| locked).map(|end| end - NEAR_END),
            Some(self.due(target, grant)),
            failing.map(|since| since + DEFINITE_AFTER),
            failing.map(|since| since + GIVE_UP_AFTER),
            facts.refusal.as_ref().map(|refusal| refusal.at + CONFIRM_AFTER),
            facts.issued_at.filter(|_| facts.unproven_access.is_some()).map(|at| at + JUST_RENEWED),
            facts.probed_at,
            facts.probed_at.filter(|_| verdict).map(|last| last + APART),
        ];
        moments.into_iter().flatten().filter(|at| *at > self.now.wall).min()
    }
}

/// How the two clocks stand to each other now.
pub(super) const fn offset(now: Now) -> Offset {
    let Boot(boot) = now.boot;
    Offset(now.wall.0.saturating_sub_unsigned(boot))
}
