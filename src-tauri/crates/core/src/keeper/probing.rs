//! When a server is asked whether it accepts its access token, and what the answer means.
//!
//! Asked at any time by a person; unasked only by a keeper that stays: once a day, after a failure
//! that came with an answer, after a wake, and for a "needs auth" verdict, at most once in ten
//! minutes a server; and once more a minute after a refusal that would need a person. A probe spends
//! nothing. What follows from a refusal is decided in `refused`.

use alloc::{sync::Arc, vec::Vec};

use super::{
    Effect, Event, Failure, Keeper, Mode, Outcome, Pending, ProbeFinding,
    grant::{Asked, Grant},
    plan::Next,
    schedule,
};
use crate::{
    ids::{Target, TokenMark},
    time::{Boot, Millis, Wall},
};

/// Unasked, a server is not asked again within this time.
pub(super) const APART: Millis = Millis::minutes(10);
/// Without any other reason a server is asked once in this time.
const DAILY: Millis = Millis::hours(24);
/// How far daily probes are spread, earlier, so that they do not come all at once.
const DAILY_SPREAD: Millis = Millis::hours(2);
/// A server that was never asked is asked within this time.
const FIRST_SPREAD: Millis = Millis::minutes(1);
/// After a wake renewals go first.
const AFTER_WAKE: Millis = Millis::seconds(10);

/// Why a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A person wants to know.
    Asked,
    /// It is time, or something gave a reason.
    Due,
    /// The client's verdict of this time stands.
    Verdict(Wall),
}

/// One question that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    pub target: Target,
    why: Why,
    /// The access token it is about: an answer says nothing about a later one.
    access: TokenMark,
}

impl Keeper {
    /// Asks what is due to be asked.
    pub(super) fn plan_probes(&mut self) {
        let is_due = |target: &Arc<Target>| {
            let at = self.grants.get(target).and_then(|grant| self.probe_at(target, grant));
            at.is_some_and(|at| at <= self.now.boot)
        };
        let due: Vec<Arc<Target>> = self.all_touched().into_iter().filter(is_due).collect();
        for target in due {
            let verdict = self.grants.get(&target).and_then(|g| self.unasked_verdict(&target, g));
            self.probe(&target, verdict.map_or(Why::Due, Why::Verdict));
        }
    }

    /// The time of a verdict on this grant that is newer than our proof and was not asked about yet.
    pub(super) fn unasked_verdict(&self, target: &Target, grant: &Grant) -> Option<Wall> {
        let view = self.stores.get(&target.store)?.as_ref().ok()?;
        let proof = self.facts_of(target).proof_at;
        let verdict = view.verdicts.iter().find(|verdict| {
            verdict.server_name == grant.entry.server_name
                && !verdict.left_alone
                && !grant.was_asked_about(verdict.at)
                && proof.is_none_or(|proof| proof < verdict.at)
        })?;
        Some(verdict.at)
    }

    /// When a grant's server is asked unasked; `None`: not.
    pub(super) fn probe_at(&self, target: &Target, grant: &Grant) -> Option<Boot> {
        if self.mode != Mode::Keep || !self.probes || self.holds_back() {
            return None;
        }
        let readable = self.is_readable(&target.store);
        let facts = self.facts_of(target);
        let may_be_good = self.may_be_good(target, grant);
        let busy = grant.flight.is_some() || self.next(target, grant) == Next::Now;
        let asking = self.pending.probe(target);
        if !readable || !may_be_good || busy || asking {
            return None;
        }
        let spread = schedule::spread(self.seed, grant.id.as_str(), 2);
        let daily = match facts.probed_at {
            Some(last) if last <= self.now.wall => {
                self.now.boot_at(last + DAILY - schedule::scaled(DAILY_SPREAD, spread))
            }
            // Never, or by a clock that was wrong.
            Some(_) | None => {
                self.now.boot_at(grant.first_seen + schedule::scaled(FIRST_SPREAD, spread))
            }
        };
        let wanted = match (grant.probe_wanted, self.unasked_verdict(target, grant)) {
            (_, Some(_)) => self.now.boot,
            (Some(wanted), None) => wanted.min(daily),
            (None, None) => daily,
        };
        let at = wanted.max(self.may_probe_at(target, grant));
        let about_refusal = self.refusal_asked_at(target, grant);
        Some(about_refusal.map_or(at, |again| again.max(self.now.boot).min(at)))
    }

    /// The first moment at which a server may be asked again; a person need not wait.
    pub(super) fn may_probe_at(&self, target: &Target, grant: &Grant) -> Boot {
        let last = self.facts_of(target).probed_at.filter(|last| *last <= self.now.wall);
        match last {
            Some(last) if self.mode == Mode::Keep && grant.asked == Asked::No => {
                self.now.boot_at(last + APART)
            }
            Some(_) | None => self.now.boot,
        }
    }

    /// A renewal failed: if an answer came, the token that is still there may be worth less too.
    pub(super) fn want_probe_after(&mut self, target: &Target, failure: &Failure) {
        let answered = match failure {
            Failure::Lost { .. }
            | Failure::Refused(_)
            | Failure::GrantRefusedOnce(_)
            | Failure::GrantRefused(_)
            | Failure::ClientRefusedOnce(_)
            | Failure::ClientRefused(_) => true,
            Failure::Store(_)
            | Failure::Journal(_)
            | Failure::Discovery(_)
            | Failure::BadEndpoint(_)
            | Failure::NotSent(_)
            | Failure::NotProcessed(..)
            | Failure::Approval { .. }
            | Failure::PlainHttp(_)
            | Failure::PrivateAddress(_) => false,
        };
        let now = self.now.boot;
        if let Some(grant) = self.grants.get_mut(target).filter(|_| answered) {
            grant.probe_wanted.get_or_insert(now);
        }
    }

    /// The machine slept or moved to another network: whether the tokens still work is news.
    pub(super) fn want_probes_after_wake(&mut self) {
        let at = self.now.boot + AFTER_WAKE;
        for grant in self.grants.values_mut() {
            grant.probe_wanted.get_or_insert(at);
        }
    }

    /// Asks the server whether it accepts the access token.
    pub(super) fn probe(&mut self, target: &Target, why: Why) {
        let mark_key = self.mark_key.clone();
        let Some(grant) = self.grants.get_mut(target) else {
            return;
        };
        let Some(access) = grant.entry.pair.access.clone() else {
            return;
        };
        if let Why::Verdict(at) = why {
            grant.probed_verdict = grant.probed_verdict.max(Some(at));
        }
        grant.probe_wanted = None;
        let url = grant.entry.server_url.clone();
        self.facts_mut(target).probed_at = Some(self.now.wall);
        let mark = TokenMark::of(&mark_key, &access);
        let ticket =
            self.ticket(Pending::Probe(Probe { target: target.clone(), why, access: mark }));
        self.effects.push_back(Effect::Probe { ticket, target: target.clone(), url, access });
    }

    pub(super) fn probed(&mut self, asked: &Probe, outcome: Outcome) {
        let Outcome::Probed(finding) = outcome else {
            return;
        };
        let Probe { target, why, access } = asked;
        let now = self.now.wall;
        let held = self.grants.get(target).and_then(|grant| grant.entry.pair.access.as_ref());
        if held.map(|held| TokenMark::of(&self.mark_key, held)) != Some(*access) {
            // Renewed meanwhile: the answer is about a token that nobody uses any more.
            if *why == Why::Asked || self.is_proving(target) {
                self.probe(target, Why::Asked);
            }
            return;
        }
        let Some(id) = self.grants.get(target).map(|grant| grant.id.clone()) else {
            return;
        };
        self.note_finding(target, *access, finding);
        let (accepted, tools) = match finding {
            ProbeFinding::Accepted(tools) => (Some(true), tools),
            ProbeFinding::Refused => (Some(false), None),
            ProbeFinding::Unknown => (None, None),
        };
        if accepted == Some(true) {
            let facts = self.facts_mut(target);
            // Asked after the verdict was seen, so newer than it whatever the clock says.
            facts.proof_at = Some(match why {
                Why::Verdict(at) => now.max(*at),
                Why::Asked | Why::Due => now,
            });
            facts.tools = tools.or(facts.tools);
        }
        self.tell(Event::Checked { grant: id, accepted, tools });
        if *why == Why::Asked {
            self.renew_for_who_asked(target);
        }
        self.sign_in_proved(target, finding);
    }
}
