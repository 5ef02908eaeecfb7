//! What the journal holds after a refresh: tokens that are owed to a store, tokens that are saved
//! and looked at a few times more, and answers that were lost.
//!
//! Restored only where the pair we replaced came back, or an older one of the same sign-in, or where the
//! entry was emptied and the server accepts ours; at most twice. An entry that is gone was signed out: never restored.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use super::{
    Effect, Failure, Keeper, Mode, Outcome, Pending, ProbeFinding,
    copies::Newer,
    flight::{Ending, Work},
    plan::is_passing,
    schedule,
};
use crate::{
    facts::GrantFacts,
    http::Answer,
    ids::{RecordId, StoreId, Target, TokenMark},
    journal::{Record, Stage},
    oauth::{
        auth_method::AuthMethod,
        metadata::ServerMetadata,
        pin::Pin,
        profile::Profile,
        token::{self, Reading, Revocation, TokenKind},
    },
    store::{Entry, NO_FILE, NewTokens, StoreFault, TokenPair},
    time::{Boot, Millis},
};

/// When a saved entry is looked at again, after it was read back. Clients that cache their store for
/// 30 s, or write back what they read before, do so within the last of these.
const LOOKS: [Millis; 4] =
    [Millis::seconds(1), Millis::seconds(10), Millis::seconds(35), LAST_LOOK];
/// The last look, so long after a store was written: from then on the client is known to live with it.
pub const LAST_LOOK: Millis = Millis::seconds(65);
/// How often tokens are put back at most.
pub(super) const RESTORES: u8 = 2;

/// How soon tokens are saved again where another program holds the store, which lets go by itself or is
/// found dead within a minute.
const WHILE_BUSY: Millis = Millis::seconds(3);
/// When it is looked again for the tokens that took the place of those which wait for a store.
const UNTIL_IN_REACH: Millis = Millis::minutes(1);

/// How often they are tried so soon.
const TRIES_WHILE_BUSY: u32 = 40;

/// How often it is tried to write down an answer that can't be read, so soon after one another, before a
/// process ends without it.
const TRIES_OF_THE_JOURNAL: u32 = 4;

/// How often a visited store is tried before a command ends without it.
const TRIES_WHILE_VISITING: u32 = 2;

/// Whether something can be done about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// It can.
    Free,
    /// Not until one of its stores was looked at, or a flight there has ended.
    Held,
}

/// A journal record that still matters.
#[derive(Debug, Clone)]
pub(super) struct Spare {
    pub record: Record,
    /// New tokens that no store holds yet.
    owed: bool,
    /// The journal could not take them: they exist only in this process.
    pub only_here: bool,
    /// A flight, a look or a probe is on its way for it, or it is being written down.
    pub flying: bool,
    /// Records of the same tokens that the journal loses once it holds this one.
    pub instead_of: Vec<RecordId>,
    pub hold: Hold,
    /// Why a store did not take it.
    pub unsaved: Option<Failure>,
    /// When it was saved, on the boot clock.
    saved_at: Boot,
    pub wait_until: Option<Boot>,
    attempts: u32,
}

impl Spare {
    /// New tokens that no store holds yet.
    pub(super) const fn is_owed(&self) -> bool {
        self.owed
    }

    /// An answer that never came or could not be read.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.record.stage, Stage::Intent | Stage::Raw(_))
    }

    /// Whether it may still be saved, or written down, soon.
    pub(super) const fn is_hopeful(&self) -> bool {
        self.owed || self.attempts < TRIES_OF_THE_JOURNAL
    }

    /// Whether another program holds the store, and will let go.
    fn waits_for_another(&self) -> bool {
        matches!(&self.unsaved, Some(Failure::Store(fault)) if is_passing(fault))
    }

    /// Whether a store has not taken them although it was tried.
    pub(super) const fn was_tried(&self) -> bool {
        self.attempts > 0
    }

    pub(super) fn is_about(&self, target: &Target) -> bool {
        self.record.replaced.iter().any(|(t, _)| t == target)
    }

    /// Whether it is still waiting for its last look in this store.
    pub(super) fn touches(&self, store: &StoreId) -> bool {
        let waits = self.owed || matches!(self.record.stage, Stage::Saved { .. });
        waits && self.record.replaced.iter().any(|(t, _)| t.store == *store)
    }

    pub(super) fn knows(&self, target: &Target, pair: &TokenPair) -> bool {
        let replaced = self.record.replaced.iter().any(|(t, p)| t == target && p == pair);
        let ours = self.record.stage.tokens().is_some_and(|tokens| tokens.pair() == *pair);
        replaced || (ours && self.is_about(target))
    }

    /// When something is to be done about it; `None`: nothing by itself, or something is under way.
    pub(super) fn next_at(&self) -> Option<Boot> {
        if self.flying || self.hold == Hold::Held {
            return None;
        }
        let due = match &self.record.stage {
            _ if self.owed => Boot(0),
            Stage::Saved { looks, .. } => self.saved_at + *LOOKS.get(usize::from(*looks))?,
            Stage::Raw(_) if self.only_here => Boot(0),
            Stage::Intent | Stage::Raw(_) | Stage::Answered(_) => return None,
        };
        Some(due.max(self.wait_until.unwrap_or(Boot(0))))
    }
}

/// Where tokens that no store took are given back, and how a client may say who it is there.
#[derive(Debug, Clone)]
pub(super) struct GivenBackAt {
    endpoint: String,
    methods: Vec<String>,
}

impl GivenBackAt {
    /// As the metadata has it, if that is where the tokens came from.
    pub(super) fn of(metadata: &ServerMetadata, pin: &Pin) -> Option<Self> {
        let endpoint = metadata.revocation_at_home(pin).ok()??.into();
        Some(Self { endpoint, methods: metadata.token_auth_methods.clone() })
    }

    /// As it is known of a grant.
    pub(super) fn by(facts: &GrantFacts) -> Option<Self> {
        let (metadata, _) = facts.metadata.as_ref()?;
        Self::of(metadata, facts.pin.as_ref()?)
    }
}

impl Keeper {
    /// What an earlier run left behind.
    pub(super) fn take_up_journal(&mut self, journal: Vec<Record>) {
        for mut record in journal {
            // Where the facts are gone, so is the key of the marks, and this one was made with another.
            if let Some(mark) = self.presented_mark(&record) {
                record.mark = mark;
            }
            if let Some(tokens) = readable_now(&record) {
                record.stage = Stage::Answered(tokens);
            }
            match &record.stage {
                Stage::Intent | Stage::Raw(_) => {
                    let mark = record.mark;
                    if !self.facts.is_spent(mark) && !self.facts.lost().contains_key(&mark) {
                        // A clock that was ahead then holds nothing up longer than one that is right.
                        self.note_lost(mark, record.at.min(self.now.wall));
                    }
                }
                Stage::Answered(tokens) | Stage::Saved { tokens, .. } => {
                    let key = self.mark_key.clone();
                    let refresh = tokens.refresh.as_ref().map(|r| TokenMark::of(&key, r));
                    let rotated = record.enrolment.is_none() && refresh != Some(record.mark);
                    let access = TokenMark::of(&key, &tokens.access);
                    if rotated && !self.facts.is_spent(record.mark) {
                        self.spend(record.mark, refresh);
                    }
                    // The end may have come before the facts of a sign-in were written.
                    let is_newer = |mark: &TokenMark| {
                        self.facts.spent_at(*mark).is_some_and(|spent| spent <= record.at)
                    };
                    if let Some(refresh) =
                        refresh.filter(is_newer).filter(|_| record.enrolment.is_some())
                    {
                        self.receive(refresh);
                    }
                    self.is_lost_no_longer(record.mark);
                    for (target, _) in &record.replaced {
                        let facts = self.facts_mut(target);
                        // The facts of this answer may not have been written before the end.
                        if facts.issued_at.is_some_and(|at| at >= record.at) {
                            continue;
                        }
                        facts.access = Some(access);
                        facts.issued_at = Some(record.at);
                        facts.life = tokens.expires_at.map(|end| record.at.until(end));
                        if let Some(refresh) = refresh.filter(|_| record.enrolment.is_none()) {
                            self.note_client(target, &record.client_id, refresh);
                        }
                    }
                }
            }
            let owed = matches!(record.stage, Stage::Answered(_));
            self.keep_spare(record, owed);
        }
    }

    /// The mark, by today's key, of the refresh token that a renewal's record is about.
    fn presented_mark(&self, record: &Record) -> Option<TokenMark> {
        let (_, replaced) = record.replaced.first().filter(|_| record.enrolment.is_none())?;
        replaced.refresh.as_ref().map(|token| TokenMark::of(&self.mark_key, token))
    }

    /// The journal was closed until now. What it held is taken up as at a start, and what waited for a
    /// journal waits no longer.
    pub(super) fn journal_opened(&mut self, mut records: Vec<Record>) {
        records.retain(|record| self.spares.get(&record.id).is_none());
        self.take_up_journal(records);
        self.flights_look_again();
        for grant in self.grants.values_mut() {
            if matches!(grant.failure, Some(Failure::Journal(_))) {
                grant.failure = None;
                grant.wait_until = None;
                grant.attempts = 0;
            }
        }
    }

    /// Keeps a record; older ones of the same sign-in are moot, their tokens spent. Older ones of another
    /// give way where both are about an entry, and stay for their other entries. Which one is older is said by the tokens
    /// themselves where they can, for a clock may have been set back.
    pub(super) fn keep_spare(&mut self, record: Record, owed: bool) {
        let about = record.replaced.iter().flat_map(|(target, _)| self.spares.about(target));
        let mut older = BTreeSet::new();
        let mut shared = BTreeSet::new();
        let mut is_moot = false;
        for spare in about.filter(|spare| !is_part_of(&spare.record, &record)) {
            if follows(&spare.record, &record) {
                is_moot |= spare.record.stage.tokens().is_some();
            } else if follows(&record, &spare.record) {
                older.insert(spare.record.id.clone());
            } else if self.takes_the_place_of(&record, owed, spare) {
                let all = are_of_one_token(&record, &spare.record);
                let gives_way = if all { &mut older } else { &mut shared };
                gives_way.insert(spare.record.id.clone());
            }
        }
        if is_moot {
            return self.forget(Vec::from([record.id]));
        }
        if record.stage.tokens().is_some() {
            let targets: Vec<Target> = record.replaced.iter().map(|(t, _)| t.clone()).collect();
            older.extend(shared.into_iter().filter(|id| self.take_out(id, &targets)));
            self.forget(older.into_iter().collect());
        }
        let known = self.spares.get(&record.id);
        let attempts = known.map_or(0, |spare| spare.attempts);
        let unsaved = known.and_then(|spare| spare.unsaved.clone());
        let instead_of = known.map_or_else(Vec::new, |spare| spare.instead_of.clone());
        let mut record = record;
        let mut saved_at = self.now.boot;
        if let Stage::Saved { at, looks, .. } = &mut record.stage {
            let since = at.until(self.now.wall);
            saved_at = Boot(self.now.boot.0.saturating_sub(since.0));
            // What was missed is not caught up: one look tells all that several would have.
            let missed = LOOKS.iter().filter(|look| **look <= since).count();
            let last = LOOKS.len() - 1;
            *looks = (*looks).max(u8::try_from(missed.saturating_sub(1).min(last)).unwrap_or(0));
        }
        let spare = Spare {
            owed,
            only_here: false,
            flying: false,
            instead_of,
            hold: Hold::Free,
            unsaved,
            saved_at,
            wait_until: None,
            attempts,
            record,
        };
        self.spares.insert(spare);
    }

    /// Whether a record counts in place of one that it does not follow, for the entries that both are about.
    fn takes_the_place_of(&self, record: &Record, owed: bool, spare: &Spare) -> bool {
        let older = &spare.record;
        if record.enrolment.is_some() && older.enrolment.is_none() && !owed {
            let mut replaced = record.replaced.iter().filter_map(|(_, pair)| pair.refresh.as_ref());
            let mark = |token| TokenMark::of(&self.mark_key, token);
            if replaced.any(|token| self.facts.are_of_one_sign_in(mark(token), older.mark)) {
                return true;
            }
        }
        // What is not in a store yet is not given up at a clock's word, and a person's new sign-in not for
        // a renewal of the old one that comes home.
        let is_awaited = older.enrolment.is_some() && record.enrolment.is_none();
        older.at <= record.at && (!spare.is_owed() || (owed && !is_awaited))
    }

    /// Takes entries out of a record; says whether none is left in it.
    fn take_out(&mut self, id: &RecordId, out: &[Target]) -> bool {
        let is_empty = self.spares.edit(id, |spare| {
            spare.record.replaced.retain(|(target, _)| !out.contains(target));
            spare.record.replaced.is_empty()
        });
        self.spares.was_edited(id);
        is_empty == Some(true)
    }

    /// Writes records down anew that were edited: another run must fill no entry that they are no longer
    /// about, nor miss one that they are about now.
    fn write_edited(&mut self) {
        for id in self.spares.take_edited() {
            let Some(record) = self.spares.get(&id).map(|spare| spare.record.clone()) else {
                continue;
            };
            let ticket = self.ticket(Pending::Rewrite(id));
            self.effects.push_back(Effect::Journal { ticket, record });
        }
    }

    pub(super) fn forget(&mut self, mut records: Vec<RecordId>) {
        if records.is_empty() {
            return;
        }
        let mut instead_of = Vec::new();
        for record in &records {
            if let Some(spare) = self.spares.remove(record) {
                self.forget_lost_unless_held(spare.record.mark);
                self.spares.was_forgotten(&spare);
                instead_of.extend(spare.instead_of);
            }
        }
        records.extend(instead_of);
        let ticket = self.ticket(Pending::Forget);
        self.effects.push_back(Effect::Forget { ticket, records });
    }

    /// Starts what is due for the records that still matter.
    pub(super) fn plan_spares(&mut self) {
        self.forget_moot();
        self.leave_unreachable();
        self.write_edited();
        let mut looks = BTreeSet::new();
        let mut stores = BTreeSet::new();
        for id in self.spares.due(self.now.boot) {
            self.hold_or_free(&id);
            let is_due = |spare: &&Spare| spare.next_at().is_some_and(|at| at <= self.now.boot);
            let Some(spare) = self.spares.get(&id).filter(is_due) else {
                continue;
            };
            let is_for_the_journal = spare.only_here && !self.can_be_reached(&spare.record);
            if spare.owed && !is_for_the_journal {
                self.save_spare(&id, false);
                continue;
            }
            if spare.only_here {
                self.keep_in_journal(&id);
                continue;
            }
            stores.extend(spare.record.replaced.iter().map(|(t, _)| t.store.clone()));
            self.spares.edit(&id, |spare| spare.flying = true);
            looks.insert(id);
        }
        if !looks.is_empty() {
            let ticket = self.ticket(Pending::Look(looks));
            let stores = stores.into_iter().collect();
            self.effects.push_back(Effect::Read { ticket, flight: None, stores });
        }
    }

    /// Whether something else must end before anything can be done about a record. It asks for no wake
    /// meanwhile: what it waits for is told.
    fn hold_or_free(&mut self, id: &RecordId) {
        let Some(spare) = self.spares.get(id) else {
            return;
        };
        let mut targets = spare.record.replaced.iter().map(|(target, _)| target);
        let busy = |target| self.grants.get(target).is_some_and(|grant| grant.flight.is_some());
        // To be written down it needs no store.
        let is_kept = !spare.only_here;
        let is_busy = (spare.owed || is_kept) && targets.any(busy);
        let waits = is_busy || (is_kept && !self.can_be_reached(&spare.record));
        let hold = if waits { Hold::Held } else { Hold::Free };
        if hold != spare.hold {
            self.spares.edit(id, |spare| spare.hold = hold);
        }
    }

    /// Whether one of a record's stores can be read, or is to be made by a first sign-in.
    fn can_be_reached(&self, record: &Record) -> bool {
        record.replaced.iter().any(|(target, pair)| {
            let is_first = record.enrolment.is_some() && *pair == TokenPair::default();
            self.is_readable(&target.store) || (is_first && self.may_make(&target.store, record))
        })
    }

    /// Whether a first sign-in may make its store, which was not there at the last look. One that is away
    /// must not be made anew: whatever it holds would count as signed out.
    pub(super) fn may_make(&self, store: &StoreId, record: &Record) -> bool {
        let is_missing =
            matches!(self.stores.get(store), Some(Ok(_) | Err(StoreFault::Absent { .. })));
        // Over a store that was there, the entry may have been made and signed out of.
        let was_there = record.written_over.is_some_and(|version| version != NO_FILE);
        is_missing && !was_there && !self.is_away(store)
    }

    /// A store was looked at: what waited for it may go on.
    pub(super) fn wait_no_longer(&mut self, store: &StoreId) {
        let waiting = self.spares.in_store(store).map(|(_, spare)| spare);
        let is_held = |spare: &&Spare| spare.hold == Hold::Held;
        let waiting = waiting.filter(|spare| is_held(spare) && self.can_be_reached(&spare.record));
        let waiting: BTreeSet<RecordId> = waiting.map(|spare| spare.record.id.clone()).collect();
        for id in waiting {
            self.spares.edit(&id, |spare| spare.wait_until = None);
        }
    }

    /// Whether new tokens are owed to a store that can be read. A visited store that did not take them is
    /// waited for by nobody who asked for something else, once the journal holds them.
    pub(super) fn owes_within_reach(&self) -> bool {
        self.spares.owed().any(|spare| {
            let mut targets = spare.record.replaced.iter().map(|(target, _)| target);
            let is_hopeful = spare.only_here
                || spare.waits_for_another()
                || spare.attempts < TRIES_WHILE_VISITING
                || targets.any(|target| !self.is_visited(&target.store));
            is_hopeful && self.can_be_reached(&spare.record)
        })
    }

    /// A lost answer is moot once the store holds another token than the one that was presented.
    fn forget_moot(&mut self) {
        let unweighed = self.spares.take_unweighed();
        let spares = unweighed.iter().filter_map(|id| self.spares.get(id));
        let moot = spares.filter(|spare| {
            let here = |target: &Target| self.is_readable(&target.store);
            let all_seen = spare.record.replaced.iter().all(|(target, _)| here(target));
            // An answer that a later version may read goes into an entry that its client emptied.
            let is_raw = matches!(spare.record.stage, Stage::Raw(_));
            let still = spare.record.replaced.iter().any(|(target, _)| {
                let grant = self.grants.get(target);
                grant.is_some_and(|g| {
                    let is_emptied = g.refresh_mark.is_none() && g.entry.pair.is_wiped();
                    g.flight.is_some()
                        || g.refresh_mark.is_some_and(|held| self.leads_to(held, spare.record.mark))
                        || (is_raw && is_emptied)
                })
            });
            spare.is_lost() && all_seen && !still && !spare.flying
        });
        let moot = moot.map(|spare| spare.record.id.clone()).collect();
        self.forget(moot);
    }

    /// Puts a record's tokens into the store, under the client's locks like any other write.
    fn save_spare(&mut self, id: &RecordId, restoring: bool) {
        let Some(spare) = self.spares.get(id) else {
            return;
        };
        let targets: Vec<Target> = spare.record.replaced.iter().map(|(t, _)| t.clone()).collect();
        let busy = targets.iter().any(|t| self.grants.get(t).is_some_and(|g| g.flight.is_some()));
        if busy {
            return;
        }
        let (record, only_here) = (spare.record.clone(), spare.only_here);
        if !restoring && self.was_spent_meanwhile(&record) {
            return;
        }
        self.spares.edit(id, |spare| spare.flying = true);
        if only_here {
            let ticket = self.ticket(Pending::Rewrite(id.clone()));
            self.effects.push_back(Effect::Journal { ticket, record: record.clone() });
        }
        let mut flight = self.new_flight(targets, Work::Save { record, restoring });
        flight.only_here = only_here;
        for target in &flight.targets {
            self.set_flight(target, Some(flight.id));
        }
        self.take_lock(flight);
    }

    /// Whether the tokens of a record that waited for its store were spent meanwhile. It goes on with those
    /// that took their place, once they are in reach and the journal has them; where nobody holds any, it
    /// is of no use.
    fn was_spent_meanwhile(&mut self, record: &Record) -> bool {
        let refresh = record.stage.tokens().and_then(|tokens| tokens.refresh.as_ref());
        let mark = refresh.map(|token| TokenMark::of(&self.mark_key, token));
        // A person's new sign-in is what was received last.
        let mark = mark.filter(|mark| record.enrolment.is_none() && self.facts.is_spent(*mark));
        let Some(mark) = mark else { return false };
        let is_its_own = |target: &Target| record.replaced.iter().any(|(t, _)| t == target);
        match self.newest(mark, &record.client_id, &is_its_own) {
            Some(Newer::Known(tokens, _)) => {
                self.spares.edit(&record.id, |spare| spare.record.stage = Stage::Answered(*tokens));
                self.keep_in_journal(&record.id);
            }
            None if !self.may_be_held(mark) => self.forget(Vec::from([record.id.clone()])),
            Some(Newer::OutOfReach) | None => {
                let again = self.now.boot + UNTIL_IN_REACH;
                self.spares.edit(&record.id, |spare| spare.wait_until = Some(again));
            }
        }
        true
    }

    pub(super) fn rewritten(&mut self, record: &RecordId, outcome: &Outcome) {
        if matches!(outcome, Outcome::Kept(Ok(()))) {
            let instead_of = self.spares.edit(record, |spare| {
                spare.only_here = false;
                core::mem::take(&mut spare.instead_of)
            });
            // It may have been forgotten before the journal took it.
            let is_known = self.is_kept_or_in_flight(record);
            let itself = (!is_known).then(|| record.clone()).into_iter();
            self.forget(instead_of.into_iter().flatten().chain(itself).collect());
        }
    }

    /// A lost answer stays. It may exist only here.
    pub(super) fn keep_lost(&mut self, record: Record, only_here: bool) {
        let (id, mark) = (record.id.clone(), record.mark);
        self.keep_spare(record, false);
        self.spares.edit(&id, |spare| spare.only_here = only_here);
        self.thin_out_lost(mark);
    }

    /// Writes a record down before anything else is done about it.
    pub(super) fn keep_in_journal(&mut self, id: &RecordId) {
        let record = self.spares.edit(id, |spare| {
            spare.flying = true;
            spare.record.clone()
        });
        let Some(record) = record else { return };
        let ticket = self.ticket(Pending::Keep(id.clone()));
        self.effects.push_back(Effect::Journal { ticket, record });
    }

    /// The process ends: answers that can't be read are written down now or never.
    pub(super) fn try_the_journal_again(&mut self) {
        let unwritten = self.spares.only_here().map(|spare| spare.record.id.clone());
        let unwritten: Vec<RecordId> = unwritten.collect();
        for id in unwritten {
            self.spares.edit(&id, |spare| (spare.attempts, spare.wait_until) = (0, None));
        }
    }

    pub(super) fn kept(&mut self, id: &RecordId, outcome: &Outcome) {
        let is_kept = matches!(outcome, Outcome::Kept(Ok(())));
        self.spares.edit(id, |spare| {
            spare.flying = false;
            // That an answer was lost is among the facts too.
            spare.only_here |= !is_kept && !matches!(spare.record.stage, Stage::Intent);
            if !is_kept {
                spare.attempts = spare.attempts.saturating_add(1);
                let spread = schedule::spread(self.seed, id.as_str(), spare.attempts);
                let wait = if spare.is_hopeful() {
                    WHILE_BUSY
                } else {
                    schedule::backoff(spare.attempts, None, spread)
                };
                spare.wait_until = Some(self.now.boot + wait);
            }
        });
        self.rewritten(id, outcome);
    }

    /// A flight that saved a record came home.
    pub(super) fn spare_landed(&mut self, id: &RecordId, ending: &Ending) {
        let now = self.now.boot;
        match ending {
            Ending::SignedOut | Ending::Adopted => {
                if self.spares.get(id).is_some_and(|spare| spare.owed || spare.flying) {
                    self.forget(Vec::from([id.clone()]));
                }
            }
            Ending::Saved => {}
            Ending::Failed(failure @ (Failure::Store(_) | Failure::Journal(_))) => {
                self.spares.edit(id, |spare| {
                    spare.unsaved = Some(failure.clone());
                    spare.flying = false;
                    spare.attempts = spare.attempts.saturating_add(1);
                    let spread = schedule::spread(self.seed, id.as_str(), spare.attempts);
                    let wait = if spare.waits_for_another() && spare.attempts < TRIES_WHILE_BUSY {
                        WHILE_BUSY
                    } else {
                        schedule::backoff(spare.attempts, None, spread)
                    };
                    spare.wait_until = Some(now + wait);
                });
            }
            Ending::PutOff | Ending::Overtaken | Ending::Failed(_) => {
                self.spares.edit(id, |spare| spare.flying = false);
            }
        }
    }

    /// The stores were looked at again.
    pub(super) fn looked(&mut self, records: &BTreeSet<RecordId>, outcome: Outcome) {
        let Outcome::Read(views) = outcome else {
            return;
        };
        for (store, seen) in views {
            self.see(&store, seen);
        }
        for id in records {
            let again = self.now.boot + Millis::seconds(10);
            let record = self.spares.get(id).map(|spare| &spare.record);
            let readable = record.is_some_and(|record| self.can_be_reached(record));
            let known = self.spares.edit(id, |spare| {
                spare.flying = false;
                if !readable {
                    spare.wait_until = Some(again);
                }
            });
            if known.is_some() && readable {
                self.judge_look(id);
            }
        }
    }

    /// One look: as we left it, as it was before, emptied, or somebody else's.
    fn judge_look(&mut self, id: &RecordId) {
        let Some(spare) = self.spares.get(id) else {
            return;
        };
        let Stage::Saved { tokens, looks, restores, .. } = &spare.record.stage else {
            return;
        };
        let (looks, may_restore) = (*looks, *restores < RESTORES);
        let (new, access) = (tokens.pair(), tokens.access.clone());
        let mut back = None;
        let mut emptied = None;
        for (target, replaced) in &spare.record.replaced {
            let Some(grant) = self.grants.get(target) else {
                continue;
            };
            let same_client = self.is_of_client(&spare.record, target);
            if grant.entry.pair == new || !same_client {
            } else if self.gives_way(&spare.record, target, replaced, &grant.entry.pair) {
                back = Some(target.clone());
            } else if grant.entry.pair.is_wiped() {
                emptied = Some((target.clone(), grant.entry.server_url.clone()));
            }
        }
        match (back, emptied) {
            (Some(_), _) if may_restore => self.save_spare(id, true),
            (None, Some((target, url))) if may_restore => {
                self.spares.edit(id, |spare| spare.flying = true);
                let ticket = self.ticket(Pending::ProbeSpare(id.clone()));
                self.effects.push_back(Effect::Probe { ticket, target, url, access });
            }
            _ => self.look_passed(id, looks + 1),
        }
    }

    /// The server was asked whether it still accepts what the client emptied.
    pub(super) fn spare_probed(&mut self, id: &RecordId, outcome: &Outcome) {
        let looks = self.spares.edit(id, |spare| {
            spare.flying = false;
            match &spare.record.stage {
                Stage::Saved { looks, .. } => Some(*looks),
                Stage::Intent | Stage::Raw(_) | Stage::Answered(_) => None,
            }
        });
        let Some(looks) = looks.flatten() else {
            return;
        };
        if matches!(outcome, Outcome::Probed(ProbeFinding::Accepted(_))) {
            self.save_spare(id, true);
        } else {
            self.look_passed(id, looks + 1);
        }
    }

    fn look_passed(&mut self, id: &RecordId, passed: u8) {
        let is_last = usize::from(passed) >= LOOKS.len();
        if let Some(offered_at) = self.facts.offered_at().filter(|_| is_last) {
            // Nothing else outlives this process that says which token is spent.
            let again = offered_at + Millis::seconds(1);
            self.spares.edit(id, |spare| spare.wait_until = Some(again));
            return;
        }
        let stores = self.spares.edit(id, |spare| {
            if let Stage::Saved { looks, .. } = &mut spare.record.stage {
                *looks = passed;
            }
            spare.record.replaced.iter().map(|(t, _)| t.store.clone()).collect::<Vec<_>>()
        });
        let Some(stores) = stores.filter(|_| is_last) else {
            return;
        };
        for store in stores {
            self.edit_store_facts(&store, |facts| facts.proven = true);
        }
        self.forget(Vec::from([id.clone()]));
    }

    /// The user signed out of this entry: its records are destroyed, owed tokens given back.
    pub(super) fn drop_spares_of(&mut self, target: &Target, entry: &Entry) {
        let at = GivenBackAt::by(self.facts_of(target));
        let mut moot = Vec::new();
        let mut give_back = Vec::new();
        let about: Vec<RecordId> =
            self.spares.about(target).map(|spare| spare.record.id.clone()).collect();
        for id in about {
            if self.take_out(&id, core::slice::from_ref(target)) {
                let spare = self.spares.get(&id).filter(|spare| spare.owed);
                give_back.extend(spare.map(|spare| spare.record.clone()));
                moot.push(id);
            }
        }
        let mut heirs = Vec::new();
        give_back.retain(|record: &Record| {
            let found = self.heirs(record, core::slice::from_ref(target));
            let goes_on = !found.is_empty();
            if goes_on {
                heirs.push((record.clone(), found));
            }
            !goes_on
        });
        moot.retain(|id| heirs.iter().all(|(record, _)| record.id != *id));
        for (record, found) in heirs {
            self.readdress(record, found);
        }
        self.forget(moot);
        // Who signs out here says what is to become of them.
        if self.mode == Mode::WatchOnly || self.sign_outs.contains_key(target) {
            return;
        }
        let Some(at) = at else { return };
        for record in give_back {
            self.give_back(&at, &record, entry, core::slice::from_ref(target));
        }
    }

    /// Gives a record's tokens back to their server (RFC 7009), best effort: in the name of the client
    /// they were given to, which after a sign-in is another one than the entry's. Not where another
    /// entry than `of` holds the same sign-in: it would end there too.
    pub(super) fn give_back(
        &mut self,
        at: &GivenBackAt,
        record: &Record,
        entry: &Entry,
        of: &[Target],
    ) {
        let refresh = record.stage.tokens().and_then(|tokens| tokens.refresh.as_ref());
        let enrolled = record.enrolment.as_ref().map(|enrolment| &enrolment.client);
        let (Some(token), Some(client)) = (refresh, enrolled.or(entry.client.as_ref())) else {
            return;
        };
        if self.others_share(TokenMark::of(&self.mark_key, token), of) {
            return;
        }
        let request = Revocation {
            endpoint: &at.endpoint,
            client,
            method: AuthMethod::choose(client, &at.methods),
            token,
            kind: TokenKind::Refresh,
            on_behalf_of: &entry.server_url,
        }
        .request();
        let ticket = self.ticket(Pending::Revoke);
        self.effects.push_back(Effect::Fetch { ticket, request });
    }
}

/// The tokens in an answer that an earlier version could not read, if this one can.
fn readable_now(record: &Record) -> Option<NewTokens> {
    let Stage::Raw(body) = &record.stage else {
        return None;
    };
    let answer = Answer {
        status: 200,
        content_type: None,
        retry_after: None,
        challenges: Vec::new(),
        location: None,
        body: body.clone(),
    };
    let Reading::Granted(granted) = token::read(&answer, &Profile::default()) else {
        return None;
    };
    let expires_at = granted.expires_at(record.at);
    let before = record.replaced.first().and_then(|(_, pair)| pair.refresh.clone());
    let refresh = Some(granted.refresh.or(before)?);
    Some(NewTokens { access: granted.access, refresh, expires_at, scope: granted.scope })
}

/// Whether `later` took the place of what `earlier` brought.
fn follows(later: &Record, earlier: &Record) -> bool {
    let brought = earlier.stage.tokens().and_then(|tokens| tokens.refresh.as_ref());
    let replaces =
        |record: &Record| record.replaced.iter().any(|(_, pair)| pair.refresh.as_ref() == brought);
    // A server that does not rotate gives the same token again: it tells nothing.
    brought.is_some() && replaces(later) && !replaces(earlier)
}

/// Whether both came of presenting the same refresh token.
fn are_of_one_token(record: &Record, other: &Record) -> bool {
    record.mark == other.mark && record.enrolment.is_none() && other.enrolment.is_none()
}

/// Whether it is the same record, or the part of it that is about other entries.
fn is_part_of(part: &Record, record: &Record) -> bool {
    let tokens = record.stage.tokens();
    part.id == record.id
        || (are_of_one_token(part, record) && tokens.is_some() && part.stage.tokens() == tokens)
}
