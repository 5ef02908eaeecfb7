//! Answers that were lost: a refresh token that was presented may be spent although nobody knows.
//!
//! One set for all entries, stores and folders, by the mark of the token: a copy that had no part in the
//! refresh waits like the entry that had. Noted until the token is known to be good or spent, and for as
//! long as a known entry or a record of the journal holds it.
//!
//! Read next: `plan` for when such a token is presented again, `flight/answer` for when an answer counts
//! as lost.

use alloc::vec::Vec;

use super::{Keeper, grant::Grant, schedule, spare::Spare, touch::CLOCK_STEP};
use crate::{
    ids::{Target, TokenMark},
    journal::{Record, Stage},
    time::{Boot, Millis, Wall},
};

impl Keeper {
    /// The answer to a presentation of this token was lost.
    pub(super) fn note_lost(&mut self, mark: TokenMark, at: Wall) {
        self.set_lost(mark, Some(at));
    }

    /// The token is known to be good, or spent.
    pub(super) fn is_lost_no_longer(&mut self, mark: TokenMark) {
        self.set_lost(mark, None);
    }

    fn set_lost(&mut self, mark: TokenMark, lost: Option<Wall>) {
        if self.facts.set_lost(mark, lost) {
            self.grants.touch_holders(Some(mark));
        }
    }

    /// Until when its token is not presented because an answer was lost, if that is still to come. One
    /// that its server refused since is asked about once more, as after any refusal.
    pub(super) fn waits_after_lost(&self, target: &Target, grant: &Grant) -> Option<Boot> {
        let lost_at = *self.facts.lost().get(&grant.refresh_mark?)?;
        if grant.refusal(self.facts_of(target)).is_some() {
            return None;
        }
        let until = self.now.boot_at(self.little_left(target, grant, lost_at));
        (until > self.now.boot).then_some(until)
    }

    /// When so little of the token is left that presenting the same refresh token again risks nothing
    /// worth keeping.
    fn little_left(&self, target: &Target, grant: &Grant, lost_at: Wall) -> Wall {
        let rest = Millis(self.margin(&target.store).0 + schedule::BEFORE_CLIENT_WIDE.0);
        if let Some(refused) = grant.refused_access(self.facts_of(target)) {
            return refused.at.max(lost_at);
        }
        grant.entry.pair.expires_at.map_or(lost_at + schedule::GUESSED_LIFE, |end| end - rest)
    }

    /// A server may answer each presentation of a token in a way that can't be read: of its records in the
    /// journal those stay that may be of use. One that holds no answer tells no more than the next one.
    /// Answers that are the same are one; of others the first stays, which may hold what a server gives
    /// once, and the last two. Those with tokens in them are not crowded out by pages without.
    pub(super) fn thin_out_lost(&mut self, mark: TokenMark) {
        let lost = self.spares.all().filter(|spare| spare.record.mark == mark && spare.is_lost());
        let mut lost: Vec<&Record> =
            lost.filter(|spare| !spare.only_here && !spare.flying).map(|s| &s.record).collect();
        lost.sort_by_key(|record| (record.at, &record.id));
        let mut kinds: [Vec<&Record>; 2] = Default::default();
        let mut without = Vec::new();
        let mut too_many = Vec::new();
        for record in lost {
            let Stage::Raw(body) = &record.stage else {
                without.push(record);
                continue;
            };
            let kind = &mut kinds[usize::from(may_hold_tokens(body))];
            if kind.iter().any(|known| known.stage == record.stage) {
                too_many.push(record);
            } else {
                kind.push(record);
            }
        }
        without.pop();
        too_many.append(&mut without);
        for kind in kinds {
            let surplus = kind.len().saturating_sub(3);
            too_many.extend(kind.into_iter().skip(1).take(surplus));
        }
        let too_many = too_many.into_iter().map(|record| record.id.clone()).collect();
        self.forget(too_many);
    }

    /// Whether the journal holds this answer to a presentation of the record's token already. Then what it
    /// holds is from now on about the record's entries too.
    pub(super) fn is_kept(&mut self, record: &Record, answer: &Stage) -> bool {
        let is_it = |spare: &&Spare| {
            let known = &spare.record;
            known.mark == record.mark && known.stage == *answer && !spare.only_here
        };
        let Some(known) = self.spares.all().find(is_it) else { return false };
        let id = known.record.id.clone();
        let missing = record.replaced.iter().filter(|(target, _)| !known.is_about(target));
        let missing: Vec<_> = missing.cloned().collect();
        if !missing.is_empty() {
            self.spares.edit(&id, |spare| spare.record.replaced.extend(missing));
            self.spares.was_edited(&id);
        }
        true
    }

    /// An entry or a record that held this token is gone, or holds another one.
    pub(super) fn forget_lost_unless_held(&mut self, mark: TokenMark) {
        if !self.facts.lost().contains_key(&mark) {
            return;
        }
        // Also in a store that can't be read now, or is not looked at.
        let held = self.facts.of_all().any(|facts| facts.refresh == Some(mark));
        let noted = self.spares.all().any(|spare| spare.is_lost() && spare.record.mark == mark);
        if !held && !noted {
            self.set_lost(mark, None);
        }
    }

    /// What was lost while the clock was ahead counts as lost now.
    pub(super) fn forget_tomorrows_losses(&mut self) {
        let now = self.now.wall;
        let ahead = self.facts.lost().iter().filter(|(_, at)| **at > now + CLOCK_STEP);
        let ahead: Vec<TokenMark> = ahead.map(|(mark, _)| *mark).collect();
        for mark in ahead {
            self.set_lost(mark, Some(now));
        }
    }
}

/// Whether an answer that can't be read names an access token, or is packed in a way that hides it.
fn may_hold_tokens(body: &[u8]) -> bool {
    const NAME: &[u8] = b"access_token";
    core::str::from_utf8(body).is_err() || body.windows(NAME.len()).any(|part| part == NAME)
}
