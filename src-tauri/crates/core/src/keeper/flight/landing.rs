//! How a flight ends: records that are no longer needed go, then the locks, then the grants learn of it.

use alloc::vec::Vec;

use super::{Ending, Flight, Step, Work};
use crate::{
    ids::Target,
    journal::{Record, Stage},
    keeper::{
        Effect, Event, Failure, Keeper, failure::Verdict, grant::Asked, plan::is_passing, schedule,
    },
    time::Millis,
};

/// How often a lock that another program holds is waited for before it is called a failure.
const BUSY_TRIES: u32 = 4;
/// How soon, at the earliest, a copy presents a refresh token that was just refused for another one's
/// client secret.
const AFTER_A_REFUSAL: Millis = Millis::seconds(5);

impl Keeper {
    /// Ends a flight that holds locks: first the record that is no longer needed, then the locks.
    pub(super) fn unlock(&mut self, mut flight: Flight, ending: Ending) {
        let over = match (&flight.work, &ending) {
            (Work::Refresh(presenting), Ending::Failed(failure)) if !keeps_intent(failure) => {
                presenting.record.clone()
            }
            (
                Work::Refresh(presenting),
                Ending::Adopted | Ending::SignedOut | Ending::Overtaken,
            ) => presenting.record.clone(),
            // The tokens stand elsewhere, and are copied anew another time.
            (
                Work::Save { record, .. },
                Ending::Adopted | Ending::SignedOut | Ending::PutOff | Ending::Failed(_),
            ) if flight.for_copy => Some(record.clone()),
            _ => None,
        };
        let signed_out = ending == Ending::SignedOut;
        flight.ending = Some(ending);
        match over {
            // An answer that could not be read may hold the only tokens that are still good: a later
            // version may read it. It goes when the store holds another token, or nobody is signed in.
            Some(record) if matches!(record.stage, Stage::Raw(_)) && !signed_out => {
                self.keep_lost(record, flight.only_here);
                self.let_go(flight);
            }
            Some(Record { id, .. }) => {
                self.spares.remove(&id);
                self.go(flight, Step::Forgetting, |ticket, _| Effect::Forget {
                    ticket,
                    records: Vec::from([id]),
                });
            }
            None => self.let_go(flight),
        }
    }

    pub(super) fn let_go(&mut self, flight: Flight) {
        self.go(flight, Step::Unlocking, |ticket, flight| Effect::Unlock {
            ticket,
            flight: flight.id,
        });
    }

    /// Ends a flight that holds no locks.
    pub(super) fn land(&mut self, mut flight: Flight, ending: Ending) {
        if let Some(record) = flight.record().filter(|_| flight.for_copy) {
            // The tokens stand elsewhere, and are copied anew another time with a record of their own.
            self.forget(Vec::from([record.id.clone()]));
        }
        flight.ending = Some(ending);
        self.landed(flight);
    }

    pub(super) fn land_quietly(&mut self, flight: Flight) {
        self.land(flight, Ending::SignedOut);
    }

    /// The flight is over; its grants learn how it ended.
    pub(super) fn landed(&mut self, flight: Flight) {
        for target in &flight.targets {
            self.set_flight(target, None);
        }
        self.grants.touch_holders(flight.record().map(|record| record.mark));
        let Some(ending) = flight.ending.clone() else {
            return;
        };
        if let Work::SignOut(_) = &flight.work {
            return self.sign_out_landed(flight, &ending);
        }
        for target in &flight.targets {
            match &ending {
                Ending::Saved => self.landed_saved(target, &flight),
                // Its copy elsewhere is owed.
                Ending::Failed(_) if flight.saved.contains(target) => {
                    self.landed_saved(target, &flight);
                }
                Ending::Adopted => self.landed_adopted(target),
                // The plan that follows tells what it waits for.
                Ending::SignedOut | Ending::Overtaken => {}
                Ending::PutOff => self.landed_put_off(target),
                Ending::Failed(failure) => self.landed_failed(target, failure),
            }
            self.sign_in_landed(target, &flight, &ending);
        }
        if let Work::Save { record, .. } = &flight.work {
            self.spare_landed(&record.id, &ending);
        }
    }

    pub(super) fn landed_adopted(&mut self, target: &Target) {
        let Some(grant) = self.grants.get_mut(target) else {
            return;
        };
        grant.attempts = 0;
        grant.failure = None;
        grant.wait_until = None;
        let settled = grant.asked != Asked::No && !grant.has_ended(self.now);
        let id = grant.id.clone();
        // A client that has just opened renewed nothing: the next plan tells what stands in the way.
        if settled && !self.is_standing_by(target) {
            let why = "somebody else renewed it meanwhile".into();
            self.settle(target, Event::Unchanged { grant: id, why, next: None });
        }
    }

    fn landed_put_off(&mut self, target: &Target) {
        if let Some(grant) = self.grants.get(target) {
            let why = if self.stopping { "Lamplighter ends" } else { "the machine falls asleep" };
            let event = Event::Unchanged { grant: grant.id.clone(), why: why.into(), next: None };
            self.settle(target, event);
        }
    }

    pub(super) fn landed_failed(&mut self, target: &Target, failure: &Failure) {
        let Some(grant) = self.grants.get_mut(target) else {
            return;
        };
        grant.attempts = grant.attempts.saturating_add(1);
        grant.failure = Some(failure.clone());
        let attempts = grant.attempts;
        let spread = schedule::spread(self.seed, grant.id.as_str(), attempts);
        let (id, server) = (grant.id.clone(), grant.entry.server_name.clone());
        let busy = matches!(failure, Failure::Store(fault) if is_passing(fault));
        let wait = match failure.verdict() {
            Verdict::Retry(_) if busy => Millis::seconds(3),
            Verdict::Retry(at_least) => schedule::backoff(attempts, at_least, spread),
            // A rule of its own in `plan` holds it back, where the refusal is one of this entry.
            Verdict::Confirm => AFTER_A_REFUSAL,
            // Its own rule in `plan` holds it back; the wait keeps it from spinning.
            Verdict::AwaitEnd(at_least) => schedule::backoff(attempts.max(3), at_least, 1.0),
            Verdict::Person => Millis::hours(1),
        };
        grant.wait_until = Some(self.now.boot + wait);
        let now = self.now.wall;
        self.facts_mut(target).failing_since.get_or_insert(now);
        self.want_probe_after(target, failure);
        if failure.verdict() == Verdict::Confirm || (busy && attempts < BUSY_TRIES) {
            return;
        }
        let next = self.planned(target);
        let event = Event::Failed {
            grant: id,
            code: failure.code().into(),
            why: failure.told(&server),
            next,
        };
        self.settle(target, event);
    }
}

/// Whether the intent must stay in the journal: the token may have been spent.
const fn keeps_intent(failure: &Failure) -> bool {
    matches!(failure, Failure::Lost { .. })
}
