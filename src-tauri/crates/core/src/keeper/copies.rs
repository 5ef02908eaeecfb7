//! Copies of a sign-in: entries whose refresh token was spent from another entry, store or folder.
//!
//! A spent token is never presented, whoever holds it. A copy of the same grant is given the newest
//! tokens, from another entry that can be read or from the journal, under its client's locks like any
//! other write. Where the newest tokens are not known, it is called an older copy.
//!
//! Read next: `spent` in [`Facts`](crate::facts::Facts), and `flight/saving`, which writes.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::{
    Effect, Event, Keeper, Mode,
    flight::{Flight, Step, Work},
    grant::{Asked, Grant, Standing},
    spare::Spare,
};
use crate::{
    facts::{GrantFacts, Spent},
    ids::{FlightId, StoreId, Target, TokenMark},
    journal::{Record, Stage},
    secret::Secret,
    store::{NewTokens, SignIns, TokenPair},
};

/// How often a copy is given newer tokens for the same spent one: a client that goes on writing its
/// old copy back keeps it.
const GIVEN_AT_MOST: u8 = 2;

/// The tokens that took the place of a spent one.
#[derive(Debug, Clone)]
pub(super) enum Newer {
    /// They can be read now, in this entry or in the journal.
    Known(Box<NewTokens>, Option<Target>),
    /// They are known to be somewhere that cannot be read now, also since the start, or are being
    /// replaced.
    OutOfReach,
}

/// Whether this record has these tokens for all these entries already.
fn is_for(spare: &Spare, record: &Record, heirs: &[(Target, TokenPair)]) -> bool {
    let tokens = record.stage.tokens();
    spare.record.id != record.id
        && tokens.is_some()
        && spare.record.stage.tokens() == tokens
        && heirs.iter().all(|(target, _)| spare.is_about(target))
}

impl Keeper {
    /// Whether the refresh token that this grant holds was answered with success.
    pub(super) fn holds_spent(&self, grant: &Grant) -> bool {
        grant.refresh_mark.is_some_and(|mark| self.facts.is_spent(mark))
    }

    /// A refresh token was answered with success, and the answer brought `next`.
    pub(super) fn spend(&mut self, mark: TokenMark, next: Option<TokenMark>) {
        let at = self.now.wall;
        if let Some(next) = next {
            self.receive(next);
        }
        self.facts.set_spent(mark, Some(Spent { next, at }));
        self.grants.set_older(mark, true);
    }

    /// What was received last is good, even where a server gives an old token again.
    pub(super) fn receive(&mut self, mark: TokenMark) {
        self.facts.set_spent(mark, None);
        self.grants.set_older(mark, false);
    }

    /// Where the tokens are that took the place of the spent one this grant holds.
    pub(super) fn newer(&self, target: &Target, grant: &Grant) -> Option<Newer> {
        let client = grant.entry.client.as_ref()?;
        let held = grant.refresh_mark?;
        if grant.given.is_some_and(|(given, times)| given == held && times >= GIVEN_AT_MOST) {
            return None;
        }
        self.newest(held, &client.id, &|other| other == target)
    }

    /// Where the tokens are that took the place of this spent one of this client, in entries but those
    /// that are `left_out`, and in records that are about none of those.
    pub(super) fn newest(
        &self,
        spent: TokenMark,
        client: &str,
        left_out: &dyn Fn(&Target) -> bool,
    ) -> Option<Newer> {
        let newest = self.facts.newest_after(spent)?;
        let mut out_of_reach = false;
        for other in self.grants.holding(newest).filter(|other| !left_out(other)) {
            let Some(Grant { entry, flight, .. }) = self.grants.get(other) else { continue };
            let same = entry.client.as_ref().is_some_and(|theirs| theirs.id == client);
            let Some(access) = entry.pair.access.clone().filter(|_| same && self.works(other))
            else {
                continue;
            };
            if flight.is_some() || !self.is_readable(&other.store) {
                out_of_reach = true;
                continue;
            }
            let tokens = NewTokens {
                access,
                refresh: entry.pair.refresh.clone(),
                expires_at: entry.pair.expires_at,
                scope: entry.scope.clone(),
            };
            return Some(Newer::Known(Box::new(tokens), Some(Target::clone(other))));
        }
        let brings = |record: &Record| {
            let refresh = record.stage.tokens().and_then(|tokens| tokens.refresh.as_ref());
            record.client_id == client
                && refresh.is_some_and(|token| TokenMark::of(&self.mark_key, token) == newest)
        };
        if out_of_reach || self.flights.values().filter_map(Flight::record).any(brings) {
            return Some(Newer::OutOfReach);
        }
        let is_about = |spare: &Spare| spare.record.replaced.iter().any(|(t, _)| left_out(t));
        let mut spares = self.spares.all().filter(|spare| !is_about(spare));
        if let Some(spare) = spares.find(|spare| brings(&spare.record)) {
            let tokens = spare.record.stage.tokens()?;
            return Some(Newer::Known(Box::new(tokens.clone()), None));
        }
        self.is_remembered_elsewhere(newest, client).then_some(Newer::OutOfReach)
    }

    /// Whether a store that is looked at and can't be read now held this token when it was last seen,
    /// and nothing is known against it.
    fn is_remembered_elsewhere(&self, mark: TokenMark, client: &str) -> bool {
        self.facts.each().any(|(target, facts)| {
            let held = facts.refresh == Some(mark);
            let proven = facts.client.as_ref().filter(|proven| proven.mark == mark);
            let refused = facts.refusal.as_ref().is_some_and(|r| r.mark == mark && r.confirmed);
            held && !refused
                && proven.is_none_or(|proven| proven.id == client)
                && self.infos.contains_key(&target.store)
                && self.may_still_hold(&target.store)
        })
    }

    /// Whether an entry may hold the token that took the place of this spent one, be it one that nothing
    /// can be copied from now, or one of a store that is not looked at.
    pub(super) fn may_be_held(&self, spent: TokenMark) -> bool {
        let Some(newest) = self.facts.newest_after(spent) else { return false };
        self.grants.holding(newest).next().is_some()
            || self.facts.each().any(|(target, facts)| {
                facts.refresh == Some(newest)
                    && !self.is_readable(&target.store)
                    && self.may_still_hold(&target.store)
            })
    }

    /// Whether what this store held when it was last seen may be there still, although it can't be read:
    /// not where somebody signed out of everything.
    fn may_still_hold(&self, store: &StoreId) -> bool {
        match self.stores.get(store) {
            Some(Ok(view)) => view.sign_ins == SignIns::Away,
            Some(Err(_)) | None => true,
        }
    }

    /// Whether nothing is known against this sign-in.
    fn works(&self, target: &Target) -> bool {
        let standing = self.grants.get(target).map(|grant| self.standing(target, grant));
        match standing {
            Some(Standing::Renewable | Standing::Yielding(_) | Standing::Paused) => true,
            Some(
                Standing::LeftAlone(_)
                | Standing::NotSignedIn
                | Standing::CannotRenew(_)
                | Standing::SignInRequired(_)
                | Standing::Superseded
                | Standing::Approval { .. },
            )
            | None => false,
        }
    }

    /// Whether what stands in an entry is to give way to a record's tokens: the pair that they were got
    /// for, or another one that the same sign-in is known to have left behind, written back from a backup
    /// or by a client that read it before.
    pub(super) fn gives_way(
        &self,
        record: &Record,
        target: &Target,
        replaced: &TokenPair,
        pair: &TokenPair,
    ) -> bool {
        let mark = |token: &Secret| TokenMark::of(&self.mark_key, token);
        let left_behind = || {
            let (held, before) = (pair.refresh.as_ref()?, replaced.refresh.as_ref()?);
            Some(self.left_behind(record, mark(held), mark(before)))
        };
        pair == replaced || (self.is_of_client(record, target) && left_behind() == Some(true))
    }

    /// Whether an entry is of the client that a record's tokens are for. An old copy from before a sign-in
    /// has the old client.
    pub(super) fn is_of_client(&self, record: &Record, target: &Target) -> bool {
        let client = self.grants.get(target).and_then(|grant| grant.entry.client.as_ref());
        record.enrolment.is_some() || client.is_none_or(|client| client.id == record.client_id)
    }

    /// Whether a refresh token is an older one of the sign-in that a record goes on with, or, for a
    /// person's new sign-in, one of the sign-in before, which held `replaced`.
    fn left_behind(&self, record: &Record, held: TokenMark, replaced: TokenMark) -> bool {
        let brought = record.stage.tokens().and_then(|tokens| tokens.refresh.as_ref());
        let brought = brought.map(|token| TokenMark::of(&self.mark_key, token));
        if record.enrolment.is_some() {
            return self.facts.are_of_one_sign_in(held, replaced)
                // A server may give the same refresh token to both.
                && brought.is_none_or(|new| !self.facts.are_of_one_sign_in(held, new));
        }
        self.facts.newest_after(held) == Some(brought.unwrap_or(record.mark))
    }

    /// Whether this refresh token is the other one, or a spent one whose place the other took in the end.
    pub(super) fn leads_to(&self, held: TokenMark, newest: TokenMark) -> bool {
        held == newest || self.facts.newest_after(held) == Some(newest)
    }

    /// Writes the newest tokens of its sign-in into a copy that holds a spent one.
    pub(super) fn give_newer(&mut self, target: &Target) {
        let Some(grant) = self.grants.get(target) else { return };
        let Some(Newer::Known(tokens, from)) = self.newer(target, grant) else { return };
        let (Some(mark), Some(client)) = (grant.refresh_mark, &grant.entry.client) else { return };
        let id = grant.id.clone();
        let record = Record {
            id: self.record_id(mark),
            at: self.now.wall,
            replaced: Vec::from([(target.clone(), grant.entry.pair.clone())]),
            client_id: client.id.clone(),
            mark,
            stage: Stage::Answered((*tokens).clone()),
            enrolment: None,
            written_over: None,
        };
        self.learn_from(target, from.as_ref(), &tokens);
        let work = Work::Save { record: record.clone(), restoring: false };
        let mut flight = self.new_flight(Vec::from([target.clone()]), work);
        flight.for_copy = true;
        self.set_flight(target, Some(flight.id));
        self.tell(Event::Renewing { grant: id });
        self.go(flight, Step::Journaling, |ticket, _| Effect::Journal { ticket, record });
    }

    /// Entries that had no part in a refresh hold the token that it spent. Whoever asked for the one asked
    /// for its copies too; a keeper gives them the newer tokens by itself. What they waited for was about
    /// the spent token.
    pub(super) fn ask_for_copies(&mut self, spent: TokenMark, had_part: &[Target]) {
        let others = self.grants.holding(spent).filter(|other| !had_part.contains(other));
        let copies = others.filter(|other| {
            let standing = self.grants.get(other).map(|grant| self.standing(other, grant));
            // Who brings the newer tokens is not seen yet while their answer is being read.
            standing.is_some_and(|standing| {
                matches!(
                    standing,
                    Standing::Superseded | Standing::CannotRenew(_) | Standing::SignInRequired(_)
                )
            })
        });
        for copy in copies.cloned().collect::<Vec<_>>() {
            let Some(grant) = self.grants.get_mut(&copy) else { continue };
            grant.wait_until = None;
            if self.mode == Mode::OnRequest && grant.asked == Asked::No {
                self.grants.set_asked(&copy, Asked::IfDue);
            }
        }
    }

    /// The copy has its newer tokens.
    pub(super) fn was_given(&mut self, target: &Target, spent: TokenMark) {
        if let Some(grant) = self.grants.get_mut(target) {
            let before = grant.given.filter(|(held, _)| *held == spent).map_or(0, |(_, n)| n);
            grant.given = Some((spent, before.saturating_add(1)));
        }
    }

    /// What is known of the newer tokens holds for them in the copy too.
    fn learn_from(&mut self, target: &Target, from: Option<&Target>, tokens: &NewTokens) {
        let access = Some(TokenMark::of(&self.mark_key, &tokens.access));
        let known = from.map(|from| self.facts_of(from).clone()).filter(|f| f.access == access);
        let GrantFacts { life, issued_at, proof_at, sign_in_ends, .. } = known.unwrap_or_default();
        let facts = self.facts_mut(target);
        (facts.access, facts.life, facts.issued_at) = (access, life, issued_at);
        facts.proof_at = facts.proof_at.max(proof_at);
        facts.sign_in_ends = sign_in_ends;
        facts.refusal = None;
    }

    /// Whether another entry than these holds this grant too, with this token or an older one of it.
    pub(super) fn others_share(&self, token: TokenMark, but: &[Target]) -> bool {
        let newest = |mark| self.facts.newest_after(mark).unwrap_or(mark);
        let wanted = newest(token);
        let shares = |(target, grant): (&Arc<Target>, &Grant)| {
            !but.contains(target) && grant.refresh_mark.map(newest) == Some(wanted)
        };
        // Also one in a store that can't be read now, or is not looked at.
        let is_remembered = |(target, facts): (&Target, &GrantFacts)| {
            !but.contains(target)
                && !self.is_readable(&target.store)
                && facts.refresh.map(newest) == Some(wanted)
        };
        self.grants.iter().any(shares) || self.facts.each().any(is_remembered)
    }

    /// A record whose own entries were signed out: those entries that still hold the token that it is
    /// about, or an older one of its sign-in, of the same client. The sign-in goes on there.
    pub(super) fn heirs(&self, record: &Record, gone: &[Target]) -> Vec<(Target, TokenPair)> {
        let is_older = |target: &&Arc<Target>| {
            let held = self.grants.get(target).and_then(|grant| grant.refresh_mark);
            held.is_some_and(|held| held != record.mark && self.left_behind(record, held, held))
        };
        let older = self.grants.older().filter(is_older);
        let heirs = self.grants.holding(record.mark).chain(older).filter_map(|target| {
            let entry = &self.grants.get(target)?.entry;
            let same = entry.client.as_ref().is_some_and(|client| client.id == record.client_id);
            let stays = same && !gone.contains(target);
            stays.then(|| (Target::clone(target), entry.pair.clone()))
        });
        heirs.filter(|_| record.enrolment.is_none()).collect()
    }

    /// A record goes on to other entries than those it was made for.
    pub(super) fn readdress(&mut self, mut record: Record, heirs: Vec<(Target, TokenPair)>) {
        // The look that saw its entry gone may have done that already.
        if self.spares.all().any(|spare| is_for(spare, &record, &heirs)) {
            return;
        }
        let old = record.id;
        (record.id, record.replaced) = (self.record_id(record.mark), heirs);
        let owed = record.stage.tokens().is_some();
        // The journal may hold it only as it was: it loses that once it has this.
        let mut instead_of = self.spares.remove(&old).map_or_else(Vec::new, |s| s.instead_of);
        instead_of.push(old);
        let id = record.id.clone();
        self.keep_spare(record, owed);
        self.spares.edit(&id, |spare| spare.instead_of = instead_of);
        self.keep_in_journal(&id);
    }

    /// Whether this token is on its way for another entry: two presentations would be one too many.
    pub(super) fn is_in_the_air_for_another(
        &self,
        mark: TokenMark,
        flight: Option<FlightId>,
    ) -> bool {
        // Its entry may be gone, or hold another token by now.
        let mut others = self.flights.values().filter(|other| Some(other.id) != flight);
        others.any(|other| other.presents(mark))
            || self.grants.holding(mark).any(|other| {
                let theirs = self.grants.get(other).and_then(|grant| grant.flight);
                theirs.is_some() && theirs != flight
            })
    }

    /// A flight for this entry begins or ends: whoever holds the same token waits for it.
    pub(super) fn set_flight(&mut self, target: &Target, flight: Option<FlightId>) {
        let Some(grant) = self.grants.get_mut(target) else { return };
        grant.flight = flight;
        let mark = grant.refresh_mark;
        self.grants.touch_holders(mark);
    }

    /// An older copy depends on every other entry: it is looked at whenever anything is.
    pub(super) fn touch_older(&mut self) {
        if !self.grants.touched().is_empty() || !self.batch.is_empty() {
            self.grants.touch_older();
        }
    }
}
