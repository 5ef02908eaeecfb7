//! What starts when, and why.
//!
//! Planned from facts alone, anew after every input that touches a grant, and when its moment has
//! come. Moments are noted, never trusted: one that passes only asks for another look, and a clock
//! step or a sleep touches everything, so none can be stale.
//!
//! Read next: `touch` for what touches a grant.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Event, Failure, Keeper, Mode, Wake,
    copies::Newer,
    flight::Flight,
    grant::{Asked, CONFIRM_AFTER, Grant, Standing},
    grants::Call,
    schedule,
    spare::{LAST_LOOK, Spare},
};
use crate::{
    ids::{StoreId, Target},
    store::LeftAlone,
    time::{Boot, Millis, Wall},
};

/// Why a renewal is not tried at once after an answer was lost.
pub(super) const LOST: &str = "the answer to its last renewal was lost, so its refresh token may be \
                               spent: it is presented once more only shortly before the token ends";

/// Why a copy that holds a spent token is not given newer ones now.
pub(super) const OUT_OF_REACH: &str =
    "it is an older copy of the sign-in, and the newer one can't be copied to it now";

/// When a grant's next refresh starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Now.
    Now,
    /// Then, and why not before.
    At(Boot, Why),
    /// When something else has ended.
    After(Why),
    /// Not before a client that would wipe it has closed; looked at again then, if that is known.
    StandBy(Option<Boot>),
    /// Not before a person agrees, or the move is taken back: then its metadata is looked at again.
    Review(Boot),
    /// Never, for its token is spent; then the newest tokens of its sign-in are written there.
    Give(Boot),
    /// Not by itself.
    Never,
}

/// Why a refresh starts at its time and not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Due,
    Backoff,
    Confirm,
    LostAnswer,
    FirstWrite,
    OtherCopy,
}

impl Why {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Due => "a renewal is due",
            Self::Backoff => "a failed renewal is tried again",
            Self::Confirm => "a refused sign-in is asked about once more",
            Self::LostAnswer => "after a lost answer, little of the token is left to lose",
            Self::FirstWrite => "the first write to this store is being looked at",
            Self::OtherCopy => "the same sign-in is being renewed for another entry",
        }
    }

    /// The same for somebody who asked.
    const fn told(self) -> &'static str {
        match self {
            Self::LostAnswer => LOST,
            Self::Due | Self::Backoff | Self::Confirm | Self::FirstWrite | Self::OtherCopy => {
                self.words()
            }
        }
    }

    /// Whether somebody who asked waits for it, or is told when it will be.
    const fn is_short(self) -> bool {
        match self {
            Self::Confirm | Self::FirstWrite | Self::OtherCopy => true,
            Self::Due | Self::Backoff | Self::LostAnswer => false,
        }
    }
}

impl Keeper {
    /// Starts what is due.
    pub(super) fn plan(&mut self) {
        self.gather();
        self.batch = self.grants.take_touched();
        if self.mode == Mode::WatchOnly {
            return;
        }
        for target in &self.batch {
            self.spares.weigh_again(target);
        }
        if self.holds_back() {
            let asked: Vec<_> = self.grants.asked().filter(|_| self.stopping).cloned().collect();
            for target in asked {
                self.grants.set_asked(&target, Asked::No);
            }
            // Nothing new starts, but tokens that are nowhere else are still brought home.
            if self.spares.any_only_here() {
                self.plan_spares();
            }
            return;
        }
        self.plan_spares();
        let mut last = None;
        self.gather();
        while let Some(target) = self.next_touched(last.as_ref()) {
            self.plan_grant(&target);
            self.gather();
            last = Some(target);
        }
        self.plan_probes();
        self.plan_relooks();
    }

    fn plan_grant(&mut self, target: &Target) {
        let Some(grant) = self.grants.get(target) else {
            return;
        };
        let wanted = self.mode == Mode::Keep || grant.asked != Asked::No;
        if grant.flight.is_some() || !wanted {
            return;
        }
        match self.next(target, grant) {
            Next::Now => self.start_refresh(target),
            Next::At(at, why) => self.settle_waiting(target, Some(at), why),
            Next::After(why) => self.settle_waiting(target, None, why),
            Next::StandBy(_) => self.stand_by(target),
            Next::Review(at) if grant.asked == Asked::No => self.look_again(target, at),
            Next::Review(_) => self.settle_never(target),
            Next::Give(at) if at <= self.now.boot => self.give_newer(target),
            Next::Give(at) => self.settle_waiting(target, Some(at), Why::Backoff),
            Next::Never => self.settle_never(target),
        }
    }

    /// When the next refresh of a grant starts.
    pub(super) fn next(&self, target: &Target, grant: &Grant) -> Next {
        let facts = self.facts_of(target);
        let readable = self.is_readable(&target.store);
        let standing = self.standing(target, grant);
        let owed = self.spares.about(target).any(Spare::is_owed);
        if !readable || owed || grant.flight.is_some() {
            return Next::Never;
        }
        match standing {
            Standing::Renewable => {}
            Standing::Yielding(_) => return Next::StandBy(self.stands_until(target, grant)),
            Standing::Superseded => return self.next_gift(target, grant),
            Standing::LeftAlone(_)
            | Standing::NotSignedIn
            | Standing::Paused
            | Standing::CannotRenew(_)
            | Standing::SignInRequired(_) => return Next::Never,
            Standing::Approval { .. } => {
                return self.reviewed_next(target, grant);
            }
        }
        let mark = grant.refresh_mark;
        let due = if grant.asked == Asked::Now {
            self.now.boot
        } else {
            self.now.boot_at(self.due(target, grant))
        };
        let (mut at, mut why) = (due, Why::Due);
        if let Some(refusal) = grant.refusal(facts) {
            (at, why) = (self.now.boot_at(refusal.at + CONFIRM_AFTER), Why::Confirm);
        } else if let Some(until) = self.waits_after_lost(target, grant).filter(|until| *until > at)
        {
            (at, why) = (until, Why::LostAnswer);
        }
        if let Some(wait) = grant.wait_until.filter(|wait| *wait > at) {
            (at, why) = (wait, Why::Backoff);
        }
        if at > self.now.boot {
            return Next::At(at, why);
        }
        if mark.is_some_and(|mark| self.is_in_the_air_for_another(mark, None)) {
            return Next::After(Why::OtherCopy);
        }
        match self.probation(target) {
            Probation::Over => Next::Now,
            Probation::Until(at) => Next::At(at, Why::FirstWrite),
            Probation::Running => Next::After(Why::FirstWrite),
        }
    }

    /// When a copy that holds a spent token is given newer ones.
    fn next_gift(&self, target: &Target, grant: &Grant) -> Next {
        let is_known = matches!(self.newer(target, grant), Some(Newer::Known(..)));
        let is_being_replaced = |mark| {
            self.flights.values().filter_map(Flight::record).any(|record| record.mark == mark)
        };
        if !is_known && grant.refresh_mark.is_some_and(is_being_replaced) {
            return Next::After(Why::OtherCopy);
        }
        // A client at work that would wipe what it meets renewed.
        let wiper =
            self.stores.get(&target.store).and_then(|seen| seen.as_ref().ok()?.wiper.as_ref());
        if !is_known || (wiper.is_some() && !grant.has_ended(self.now)) {
            return Next::Never;
        }
        let at = grant.wait_until.unwrap_or(self.now.boot).max(self.now.boot);
        match self.probation(target) {
            Probation::Over => Next::Give(at),
            Probation::Until(first) => Next::Give(at.max(first)),
            Probation::Running => Next::After(Why::FirstWrite),
        }
    }

    /// When its metadata is looked at again.
    fn reviewed_next(&self, target: &Target, grant: &Grant) -> Next {
        // What the entry says is in the store: nobody else needs to be asked.
        let is_looked_at =
            self.reviews.contains_key(target) || self.moved_record(target, grant).is_some();
        let at = grant.wait_until.unwrap_or(self.now.boot).max(self.now.boot);
        if is_looked_at { Next::Never } else { Next::Review(at) }
    }

    /// When a renewal is due by the schedule alone, on the wall clock.
    pub(super) fn due(&self, target: &Target, grant: &Grant) -> Wall {
        let facts = self.facts_of(target);
        if let Some(since) = grant.renewal_due_since(facts) {
            return since.min(self.now.wall);
        }
        let profile = || self.profiles.of(&grant.entry.server_url).1;
        let span = grant.span(facts, profile, self.margin(&target.store));
        schedule::due(span, grant.first_seen, schedule::spread(self.seed, grant.id.as_str(), 0))
    }

    pub(super) fn margin(&self, store: &StoreId) -> Millis {
        self.infos.get(store).map(|info| info.client_margin).unwrap_or_default()
    }

    /// In a store never written before, one server is renewed first and the rest wait for its last
    /// look.
    fn probation(&self, target: &Target) -> Probation {
        let store = &target.store;
        let facts = self.facts.store(store);
        if facts.is_some_and(|facts| facts.proven) {
            return Probation::Over;
        }
        let flying = self.flights.touch(store);
        let Some(first) = facts.and_then(|facts| facts.first_write_at) else {
            return if flying { Probation::Running } else { Probation::Over };
        };
        // The one that was written first is not one of the rest.
        let spares = self.spares.in_store(store).map(|(_, spare)| spare);
        let mut looked_at = spares.filter(|spare| spare.touches(store)).peekable();
        let is_first = looked_at.peek().is_some() && looked_at.all(|spare| spare.is_about(target));
        if self.now.wall >= first + LAST_LOOK || (is_first && !flying) {
            return Probation::Over;
        }
        Probation::Until(self.now.boot_at(first + LAST_LOOK))
    }

    /// Somebody asked and it is not time: they wait for what is short, and are told what is not.
    fn settle_waiting(&mut self, target: &Target, at: Option<Boot>, why: Why) {
        let Some(grant) = self.grants.get(target) else {
            return;
        };
        if grant.asked == Asked::No {
            return;
        }
        let until = at.map(|at| self.now.wall + self.now.boot.until(at));
        let id = grant.id.clone();
        let busy = matches!(&grant.failure, Some(Failure::Store(fault)) if is_passing(fault));
        if why.is_short() || (why == Why::Backoff && busy) {
            let words = String::from(why.words());
            if grant.told_waiting.as_ref() != Some(&words) {
                self.tell(Event::Waiting { grant: id, why: words.clone(), until });
                if let Some(grant) = self.grants.get_mut(target) {
                    grant.told_waiting = Some(words);
                }
            }
            return;
        }
        if self.is_weighing(target) {
            return;
        }
        let left_alone = grant.failure.as_ref().filter(|failure| failure.leaves_alone());
        let event = if why == Why::Due {
            Event::Unchanged { grant: id, why: "it is not due yet".into(), next: until }
        } else if let Some(failure) = left_alone {
            Event::Unchanged { grant: id, why: failure.to_string(), next: until }
        } else {
            let why = String::from(why.told());
            let code = grant.failure.as_ref().map_or("answer_lost", Failure::code).into();
            Event::Failed { grant: id, code, why, next: until }
        };
        self.settle(target, event);
    }

    /// Somebody asked and it cannot be done.
    pub(super) fn settle_never(&mut self, target: &Target) {
        let Some(grant) = self.grants.get(target) else {
            return;
        };
        let asked = grant.asked;
        let owed = self.spares.about(target).any(Spare::is_owed);
        if asked == Asked::No || grant.flight.is_some() || owed || self.is_weighing(target) {
            return;
        }
        let id = grant.id.clone();
        let failed = |code: &str, why| {
            let code = code.into();
            Event::Failed { grant: id.clone(), code, why, next: None }
        };
        let unchanged =
            |why: &str| Event::Unchanged { grant: id.clone(), why: why.into(), next: None };
        let event = if let Some(Err(fault)) = self.stores.get(&target.store) {
            failed(Failure::Store(fault.clone()).code(), format!("{fault}"))
        } else {
            match self.standing(target, grant) {
                Standing::SignInRequired(why) => failed("sign_in_required", why),
                Standing::Approval { known, now } => failed(
                    "approval_required",
                    format!(
                        "it now signs in at another address: {known} → {now}; nothing was sent"
                    ),
                ),
                Standing::CannotRenew(why) if asked == Asked::Now => failed("cannot_renew", why),
                Standing::Paused if asked == Asked::Now => {
                    failed("paused", "it is paused and left to the client".into())
                }
                Standing::NotSignedIn if asked == Asked::Now => {
                    failed("not_signed_in", "nobody is signed in".into())
                }
                Standing::CannotRenew(why) => unchanged(&why),
                Standing::Paused => unchanged("it is paused and left to the client"),
                Standing::NotSignedIn => unchanged("nobody is signed in"),
                Standing::LeftAlone(why @ LeftAlone::PlainHttp) => {
                    unchanged(&self.left_alone_words(grant, why))
                }
                Standing::LeftAlone(_) => unchanged("it is left to the client"),
                Standing::Superseded => failed("newer_out_of_reach", String::from(OUT_OF_REACH)),
                Standing::Yielding(wiper) if asked == Asked::Now => {
                    failed("standing_by", self.standing_words(target, &wiper))
                }
                Standing::Yielding(wiper) => unchanged(&self.standing_words(target, &wiper)),
                Standing::Renewable => unchanged("nothing is planned"),
            }
        };
        self.settle(target, event);
    }

    /// What was asked for has been answered.
    pub(super) fn settle(&mut self, target: &Target, event: Event) {
        self.tell(event);
        self.grants.set_asked(target, Asked::No);
        if let Some(grant) = self.grants.get_mut(target) {
            grant.told_waiting = None;
        }
    }

    /// When the keeper wants to be woken, for whom and why. `None`: only something new can matter.
    ///
    /// Never in the past: what is due now is started by the next input, or waits for an answer that is
    /// an input itself.
    pub fn poll_wake(&self) -> Option<Wake> {
        let first = self.first_wake()?;
        let at = first.at.max(Boot(self.now.boot.0.saturating_add(1)));
        Some(Wake { at, ..first })
    }

    /// The first moment at which something is to be done. It lies in the past for one input at most.
    pub(super) fn first_wake(&self) -> Option<Wake> {
        if self.mode == Mode::WatchOnly {
            return None;
        }
        if self.holds_back() {
            let saved = self.spares.only_here().filter_map(Spare::next_at).min();
            let saved = saved.map(|at| (at, "what is nowhere else is saved"));
            let awake = self.asleep_until.filter(|_| !self.stopping);
            let awake = awake.map(|at| (at, "the machine did not fall asleep"));
            let (at, why) = saved.into_iter().chain(awake).min_by_key(|(at, _)| *at)?;
            return Some(Wake { at, grant: None, why });
        }
        let of_grant = self.grants.first_call().map(|(at, call, grant)| {
            let why = match call {
                Call::Renewal(why) => why,
                Call::Probe => "a server is asked",
            };
            Wake { at, grant: Some(grant.id.clone()), why }
        });
        let of_all = |at, why| Wake { at, grant: None, why };
        let sign_ins = self.next_sign_in_end();
        let sign_ins = sign_ins.map(|at| of_all(at, "a sign-in has waited long enough"));
        let spares = self.spares.first_at().map(|at| of_all(at, "what was saved is looked at"));
        let relooks = self.relooks.first_at().map(|at| of_all(at, "a store is looked at again"));
        let facts = self.facts.offered_at().map(|at| of_all(at, "facts are kept after all"));
        let of_all = sign_ins.into_iter().chain(spares).chain(relooks).chain(facts);
        of_grant.into_iter().chain(of_all).min_by_key(|wake| wake.at)
    }
}

enum Probation {
    Over,
    Until(Boot),
    Running,
}

/// Another program holds the store and will let go.
pub(super) const fn is_passing(fault: &crate::store::StoreFault) -> bool {
    matches!(
        fault,
        crate::store::StoreFault::Busy { .. } | crate::store::StoreFault::LockLost { .. }
    )
}
