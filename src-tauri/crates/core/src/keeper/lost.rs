//! Answers that were lost: a refresh token that was presented may be spent although nobody knows.
//!
//! One set for all entries, stores and folders, by the mark of the token: a copy that had no part in the
//! refresh waits like the entry that had. Noted until the token is known to be good or spent, and for as
//! long as a known entry or a record of the journal holds it.
//!
//! Read next: `plan` for when such a token is presented again, `flight/answer` for when an answer counts
//! as lost.

use alloc::vec::Vec;

use super::{Keeper, grant::Grant, schedule, touch::CLOCK_STEP};
use crate::{
    ids::{Target, TokenMark},
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
