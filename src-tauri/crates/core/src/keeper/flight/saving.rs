//! What happens to new tokens: written where they belong, read back, marked as saved.
//!
//! A store that cannot take them keeps the record owed; an entry that is gone means that they are
//! given back; another pair in the store means that theirs stays and ours is a spare.

use alloc::{collections::VecDeque, vec::Vec};

use super::{Ending, Flight, Step, Views, Work};
use crate::{
    facts::Renewer,
    ids::Target,
    journal::{JournalFault, Record, Stage},
    keeper::{Effect, Event, Failure, Keeper, Pending, grant::Asked, spare::RESTORES},
    store::{Change, StoreFault, TokenPair, Written},
};

impl Keeper {
    /// The new tokens are written down, or could not be: then the store is the only place left.
    pub(super) fn journaled(&mut self, mut flight: Flight, kept: Result<(), JournalFault>) {
        if flight.for_copy {
            return match kept {
                Ok(()) => self.take_lock(flight),
                Err(fault) => self.land(flight, Ending::Failed(Failure::Journal(fault))),
            };
        }
        flight.only_here = kept.is_err();
        let Work::Refresh(presenting) = &flight.work else {
            return self.let_go(flight);
        };
        let Some(record) = presenting.record.clone() else {
            return self.let_go(flight);
        };
        let left = record.replaced.iter().cloned().collect();
        self.grants.touch_holders(Some(record.mark));
        flight.work = Work::Save { record, restoring: false };
        self.write_next(flight, left);
    }

    /// Tokens of an earlier run, or ones that were overwritten: written only where what we replaced stands,
    /// or an older pair of the same sign-in, or an emptied entry.
    pub(super) fn save_where_it_belongs(&mut self, mut flight: Flight, record: &Record) {
        let Some(new) = record.stage.tokens().map(crate::store::NewTokens::pair) else {
            return self.unlock(flight, Ending::Adopted);
        };
        keep_scope(&mut flight);
        let mut left = VecDeque::new();
        let mut gone = 0;
        for (target, replaced) in &record.replaced {
            if flight.left_out.iter().any(|(out, _)| out == target) {
                continue;
            }
            match self.grants.get(target).map(|grant| grant.entry.pair.clone()) {
                // A first sign-in makes the entry.
                None if record.enrolment.is_some() && *replaced == TokenPair::default() => {
                    if self.was_made(target, record) {
                        gone += 1;
                    } else {
                        left.push_back((target.clone(), TokenPair::default()));
                    }
                }
                None => gone += 1,
                Some(pair) if pair == new => flight.saved.push(target.clone()),
                Some(pair)
                    if pair.is_wiped() || self.gives_way(record, target, replaced, &pair) =>
                {
                    left.push_back((target.clone(), pair));
                }
                Some(_) => {}
            }
        }
        if gone == record.replaced.len() {
            let restores = matches!(flight.work, Work::Save { restoring: true, .. });
            if !restores {
                self.go_to_heirs(&mut flight);
            }
            return self.unlock(flight, Ending::SignedOut);
        }
        self.announce(flight, left);
    }

    /// Whether a first sign-in made this entry already, as far as can be told: the store was written since
    /// it was about to be. An entry that is not there was signed out of then.
    fn was_made(&self, target: &Target, record: &Record) -> bool {
        let view = self.stores.get(&target.store).and_then(|seen| seen.as_ref().ok());
        let Some((over, now)) = record.written_over.zip(view.and_then(|view| view.version)) else {
            return false;
        };
        // A write that changed nothing in it made no entry.
        over != now && view.and_then(|view| view.version_before) != Some(over)
    }

    fn store_version(&self, target: &Target) -> Option<u64> {
        self.stores.get(&target.store)?.as_ref().ok()?.version
    }

    /// Before an entry gets its first tokens, it is written down over which version of its store. A
    /// journal that can't take that costs no sign-in.
    fn announce(&mut self, mut flight: Flight, left: VecDeque<(Target, TokenPair)>) {
        let first = left.iter().find(|(_, stands)| *stands == TokenPair::default());
        let version = first.and_then(|(target, _)| self.store_version(target));
        match &mut flight.work {
            Work::Save { record, .. } if version.is_some() && record.written_over != version => {
                record.written_over = version;
                let record = record.clone();
                self.go(flight, Step::Announcing(left), |ticket, _| Effect::Journal {
                    ticket,
                    record,
                });
            }
            Work::Save { .. } | Work::Refresh(_) | Work::SignOut(_) => {
                self.write_next(flight, left);
            }
        }
    }

    pub(super) fn write_next(&mut self, flight: Flight, mut left: VecDeque<(Target, TokenPair)>) {
        let Work::Save { record, .. } = &flight.work else {
            return self.let_go(flight);
        };
        let Some(new) = record.stage.tokens().cloned() else {
            return self.let_go(flight);
        };
        let (client_id, enrolment) = (record.client_id.clone(), record.enrolment.clone());
        let Some((at, expect)) = left.pop_front() else {
            if let (true, Some((_, fault))) = (flight.saved.is_empty(), flight.left_out.first()) {
                let failure = Failure::Store(fault.clone());
                return self.owe(flight, failure);
            }
            if flight.for_copy && flight.saved.is_empty() {
                return self.unlock(flight, Ending::Adopted);
            }
            return self.go(flight, Step::ReadingBack, |ticket, flight| Effect::ReadBack {
                ticket,
                flight: flight.id,
                stores: flight.stores(),
            });
        };
        let store = at.store.clone();
        let change = Change { key: at.key.clone(), expect, client_id, new, enrolment };
        self.go(flight, Step::Writing { at, left }, |ticket, flight| Effect::Write {
            ticket,
            flight: flight.id,
            store,
            change,
        });
    }

    /// A store answered.
    pub(super) fn wrote(
        &mut self,
        mut flight: Flight,
        at: &Target,
        mut left: VecDeque<(Target, TokenPair)>,
        wrote: Result<Written, StoreFault>,
    ) {
        match wrote {
            Ok(Written::Saved) => flight.saved.push(at.clone()),
            // While ours was on its way the client met the spent token and emptied the entry, or somebody
            // wrote an older one back.
            Ok(Written::Conflict(pair)) if self.may_write_over(&flight, at, &pair) => {
                flight.overwritten.push(at.clone());
                left.push_front((at.clone(), pair));
            }
            Ok(Written::Conflict(_)) => {}
            Ok(Written::Gone) => self.signed_out(at),
            // Its copies elsewhere would go on with a token that is spent.
            Err(fault) => self.leave_out(&mut flight, at, fault),
        }
        self.write_next(flight, left);
    }

    /// Whether what was met in an entry in place of what was expected gives way too: at most twice.
    fn may_write_over(&self, flight: &Flight, at: &Target, pair: &TokenPair) -> bool {
        let times = flight.overwritten.iter().filter(|target| *target == at).count();
        times < usize::from(RESTORES)
            && flight.record().is_some_and(|record| {
                let mut replaced = record.replaced.iter().filter(|(target, _)| target == at);
                pair.is_wiped() || replaced.any(|(_, old)| self.gives_way(record, at, old, pair))
            })
    }

    /// The store was read back, still under the client's lock.
    pub(super) fn read_back(&mut self, mut flight: Flight, views: Views) {
        if let Work::SignOut(_) = &flight.work {
            return self.removed_read_back(flight, views);
        }
        if let Some(fault) = self.leave_unreadable_out(&mut flight, views) {
            return self.owe(flight, Failure::Store(fault));
        }
        let all_gone = flight.targets.iter().all(|target| !self.grants.contains(target));
        if all_gone && flight.left_out.is_empty() {
            return self.give_up_tokens(flight);
        }
        if flight.saved.is_empty() && flight.left_out.is_empty() && self.go_to_heirs(&mut flight) {
            return self.unlock(flight, Ending::Adopted);
        }
        if let Some(record) = flight.record().filter(|_| !flight.for_copy).cloned() {
            self.owe_elsewhere(&record, &flight.left_out);
        }
        let now = self.now.wall;
        let Work::Save { record, restoring } = &mut flight.work else {
            return self.let_go(flight);
        };
        let restores = match &record.stage {
            Stage::Saved { restores, .. } => restores + u8::from(*restoring),
            Stage::Intent | Stage::Raw(_) | Stage::Answered(_) => 0,
        };
        let Some(tokens) = record.stage.tokens().cloned() else {
            return self.let_go(flight);
        };
        record.stage = Stage::Saved { tokens, at: now, looks: 0, restores };
        // What else was left out holds a spent token, and is given the newer one later.
        record.replaced.retain(|(target, _)| flight.targets.contains(target));
        let record = record.clone();
        self.go(flight, Step::Marking, |ticket, _| Effect::Journal { ticket, record });
    }

    /// The user signed out while the tokens were on their way: nothing of them is kept.
    fn give_up_tokens(&mut self, mut flight: Flight) {
        let Work::Save { record, .. } = &flight.work else {
            return self.let_go(flight);
        };
        let record = record.clone();
        if self.go_to_heirs(&mut flight) {
            return self.unlock(flight, Ending::SignedOut);
        }
        if let (Some(at), Some(entry)) = (&flight.given_back_at, &flight.lead) {
            self.give_back(at, &record, entry, &flight.targets);
        }
        let mut records = self.spares.remove(&record.id).map_or_else(Vec::new, |s| s.instead_of);
        records.push(record.id);
        flight.only_here = false;
        flight.ending = Some(Ending::SignedOut);
        self.go(flight, Step::Forgetting, |ticket, _| Effect::Forget { ticket, records });
    }

    /// No entry that the tokens were got for took them: they go on to those that still hold the spent one.
    fn go_to_heirs(&mut self, flight: &mut Flight) -> bool {
        let Work::Save { record, .. } = &flight.work else {
            return false;
        };
        let heirs = self.heirs(record, &flight.targets);
        if heirs.is_empty() || flight.for_copy {
            return false;
        }
        flight.only_here = false;
        self.readdress(record.clone(), heirs);
        true
    }

    /// The store cannot take the tokens now: they stay in the journal (or here) and are owed.
    fn owe(&mut self, mut flight: Flight, failure: Failure) {
        if flight.for_copy {
            return self.unlock(flight, Ending::Failed(failure));
        }
        let Work::Save { record, .. } = &mut flight.work else {
            return self.let_go(flight);
        };
        // What was announced did not come about.
        let announced = record.written_over.take_if(|_| flight.saved.is_empty()).is_some();
        let mut record = record.clone();
        // Where others have theirs, only what was left out waits.
        let waits = |target: &Target| flight.left_out.iter().any(|(out, _)| out == target);
        if record.replaced.iter().any(|(target, _)| waits(target)) {
            record.replaced.retain(|(target, _)| waits(target) || flight.targets.contains(target));
        }
        if announced {
            let ticket = self.ticket(Pending::Rewrite(record.id.clone()));
            self.effects.push_back(Effect::Journal { ticket, record: record.clone() });
        }
        self.keep_spare(record, true);
        if let Work::Save { record, .. } = &flight.work {
            self.spares.edit(&record.id, |spare| {
                spare.only_here = flight.only_here;
                spare.flying = true;
            });
        }
        flight.only_here = false;
        self.unlock(flight, Ending::Failed(failure));
    }

    /// Saved, and marked as such where the journal could take it.
    pub(super) fn marked(&mut self, mut flight: Flight, kept: Result<(), JournalFault>) {
        // In the store, and read back: a journal that fails now costs only the later looks.
        drop(kept);
        flight.only_here = false;
        let Work::Save { record, .. } = &flight.work else {
            return self.let_go(flight);
        };
        let record = record.clone();
        let now = self.now.wall;
        for target in &flight.saved {
            self.edit_store_facts(&target.store, |facts| {
                facts.first_write_at.get_or_insert(now);
            });
        }
        self.keep_spare(record, false);
        let ending = if flight.saved.is_empty() { Ending::Adopted } else { Ending::Saved };
        self.unlock(flight, ending);
    }

    /// A grant whose new tokens are in the store.
    pub(super) fn landed_saved(&mut self, target: &Target, flight: &Flight) {
        let (restoring, signed_in) = match &flight.work {
            Work::Save { record, restoring } => (*restoring, record.enrolment.is_some()),
            Work::Refresh(_) | Work::SignOut(_) => (false, false),
        };
        let now = self.now.wall;
        if !flight.saved.contains(target) {
            return self.landed_adopted(target);
        }
        if let Some(record) = flight.record().filter(|_| flight.for_copy) {
            self.was_given(target, record.mark);
        }
        let Some(grant) = self.grants.get_mut(target) else {
            return;
        };
        grant.failure = None;
        grant.attempts = 0;
        grant.wait_until = None;
        let (id, expires_at) = (grant.id.clone(), grant.entry.pair.expires_at);
        let asked = grant.asked;
        let facts = self.facts_mut(target);
        facts.failing_since = None;
        if restoring {
            self.tell(Event::Restored { grant: id });
            return;
        }
        facts.renewed_at = Some(now);
        facts.renewed_by = Some(Renewer::Lamplighter);
        if signed_in {
            self.note_recorded_anew(target);
            // Told when the server has been asked.
            return;
        }
        let event = Event::Renewed { grant: id, by: Renewer::Lamplighter, expires_at };
        if asked == Asked::No {
            self.tell(event);
        } else {
            self.settle(target, event);
        }
        self.prove_renewal(target);
    }
}

/// An answer that says nothing of its scope was given the old one.
fn keep_scope(flight: &mut Flight) {
    let Some(scope) = flight.lead.as_ref().and_then(|entry| entry.scope.clone()) else {
        return;
    };
    if let Work::Save { record, .. } = &mut flight.work
        && let Stage::Answered(tokens) = &mut record.stage
        && record.enrolment.is_none()
    {
        tokens.scope.get_or_insert(scope);
    }
}
