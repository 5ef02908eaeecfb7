//! What it means that a server does not take an access token although its end has not come.
//!
//! Servers restart, change their keys, or keep only the newest tokens of a grant: the access token is
//! worth nothing then, and the refresh token is as good as ever. A renewal is due at once, once for
//! each access token. Only if the server refuses the token that this renewal brought, and refuses it
//! again a minute later, a person is needed. While that stands the server is asked again each hour.
//!
//! Read next: `probing` for how servers are asked, `plan` for what is due.

use super::{
    Keeper, Mode, ProbeFinding,
    grant::{Asked, CONFIRM_AFTER, Grant, Standing},
    probing::APART,
};
use crate::{
    facts::{GrantFacts, RefusedAccess},
    ids::{Target, TokenMark},
    time::{Boot, Millis, Wall},
};

/// For this long after a renewal that followed a refusal, another refusal speaks against the sign-in.
/// Later it is again a reason to renew.
pub(super) const JUST_RENEWED: Millis = Millis::hours(1);
/// While a confirmed refusal stands, the server is asked again after this long.
const STILL_REFUSED: Millis = Millis::hours(1);

impl Grant {
    /// The refusal of the access token that the entry holds now.
    pub(super) fn refused_access<'a>(&self, facts: &'a GrantFacts) -> Option<&'a RefusedAccess> {
        facts.refused_access.as_ref().filter(|refused| Some(refused.access) == self.access_mark)
    }

    /// Since when a renewal is due because the server refuses the access token.
    pub(super) fn renewal_due_since(&self, facts: &GrantFacts) -> Option<Wall> {
        let refused = self.refused_access(facts)?;
        (!refused.after_renewal).then_some(refused.at)
    }

    /// Whether the server refuses even what a renewal has just brought.
    pub(super) fn is_refused_after_renewal(&self, facts: &GrantFacts) -> bool {
        self.refused_access(facts).is_some_and(|refused| refused.after_renewal)
    }

    /// Until when the access token works, or worked, as far as anybody knows.
    pub(super) fn works_until(&self, facts: &GrantFacts) -> Option<Wall> {
        let refused = self.refused_access(facts).map(|refused| refused.at);
        self.entry.pair.expires_at.into_iter().chain(refused).min()
    }
}

impl Keeper {
    /// Whether the server refuses the access token and no renewal helps.
    fn is_refused_beyond_renewal(&self, target: &Target, grant: &Grant) -> bool {
        let facts = self.facts_of(target);
        let bare = || matches!(self.standing(target, grant), Standing::CannotRenew(_));
        grant.refused_access(facts).is_some_and(|refused| refused.after_renewal || bare())
    }

    /// Whether such a refusal is final. One alone is, where nobody asks again.
    pub(super) fn is_refused_for_good(&self, target: &Target, grant: &Grant) -> bool {
        let asks_again = self.mode == Mode::Keep && self.probes;
        let refused = grant.refused_access(self.facts_of(target));
        let confirmed = refused.is_some_and(|refused| refused.confirmed || !asks_again);
        confirmed && self.is_refused_beyond_renewal(target, grant)
    }

    /// When the server is asked again about such a refusal. The one question that confirms it comes a
    /// minute later, also where unasked questions are further apart.
    pub(super) fn refusal_asked_at(&self, target: &Target, grant: &Grant) -> Option<Boot> {
        let facts = self.facts_of(target);
        let refused = grant.refused_access(facts)?;
        if !self.is_refused_beyond_renewal(target, grant) {
            return None;
        }
        let confirm = refused.at + CONFIRM_AFTER;
        let last = facts.probed_at.unwrap_or_default().min(self.now.wall);
        let at = if refused.confirmed {
            last + STILL_REFUSED
        } else if last < confirm {
            confirm
        } else {
            last + APART
        };
        Some(self.now.boot_at(at))
    }

    /// The server said what it thinks of the access token that the entry holds.
    pub(super) fn note_finding(
        &mut self,
        target: &Target,
        access: TokenMark,
        finding: ProbeFinding,
    ) {
        let now = self.now.wall;
        match finding {
            ProbeFinding::Accepted(_) => {
                let facts = self.facts_mut(target);
                facts.refused_access = None;
                facts.unproven_access = None;
            }
            ProbeFinding::Refused => {
                let after_renewal = self.is_just_renewed(target, access);
                let facts = self.facts_mut(target);
                let before = facts.refused_access.take();
                // None was accepted since that was confirmed, so it goes on.
                let goes_on = after_renewal
                    && before
                        .as_ref()
                        .is_some_and(|before| before.after_renewal && before.confirmed);
                let before = before.filter(|before| before.access == access);
                let again =
                    |before: &RefusedAccess| before.confirmed || now >= before.at + CONFIRM_AFTER;
                facts.refused_access = Some(RefusedAccess {
                    access,
                    at: before.as_ref().map_or(now, |before| before.at),
                    confirmed: goes_on || before.as_ref().is_some_and(again),
                    after_renewal: after_renewal || before.is_some_and(|b| b.after_renewal),
                });
            }
            ProbeFinding::Unknown => {
                let was_refused = self.facts_of(target).refused_access.is_some();
                if was_refused && self.is_just_renewed(target, access) {
                    self.want_probe(target);
                }
            }
        }
    }

    /// Whether this access token took the place of a refused one, or came by a sign-in, a short time
    /// ago, and the server has accepted it at no time since.
    fn is_just_renewed(&self, target: &Target, access: TokenMark) -> bool {
        let facts = self.facts_of(target);
        let recent = facts.issued_at.is_some_and(|at| self.now.wall < at + JUST_RENEWED);
        facts.unproven_access == Some(access) && recent
    }

    /// Whether a renewal that followed a refusal still waits for the server's word on what it brought.
    pub(super) fn is_unproven(&self, target: &Target) -> bool {
        let held = self.grants.get(target).and_then(|grant| grant.access_mark);
        held.is_some_and(|access| self.is_just_renewed(target, access))
    }

    /// New tokens took the place of refused ones: whether that helped is asked at once.
    pub(super) fn prove_renewal(&mut self, target: &Target) {
        if !self.is_unproven(target) || !self.probes {
            return;
        }
        if self.holds_back() {
            self.want_probe(target);
        } else {
            self.probe(target, super::probing::Why::Due);
        }
    }

    /// A person asked, and a renewal would help: it is theirs too, and they wait for it.
    pub(super) fn renew_for_who_asked(&mut self, target: &Target) {
        let Some(grant) = self.grants.get(target).filter(|grant| grant.asked == Asked::No) else {
            return;
        };
        let due = grant.renewal_due_since(self.facts_of(target)).is_some();
        if due && self.standing(target, grant) == Standing::Renewable {
            self.ask(target, Asked::IfDue);
        }
    }

    /// As soon as the server may be asked again.
    fn want_probe(&mut self, target: &Target) {
        if let Some(grant) = self.grants.get_mut(target) {
            grant.probe_wanted = Some(Boot(0));
        }
    }
}
