//! A journal that could not be read when a flight began, and was opened while it was on its way.
//!
//! What it says of this very token must be heard before the token is presented. Only what was learned
//! since the flight began may end it: the plan that began it weighed all the rest, and would begin it
//! again for ever.

use super::{Ending, Flight, Work};
use crate::{ids::Target, keeper::Keeper};

impl Keeper {
    /// The journal was opened: flights that have sent nothing yet look at what it said before they do.
    pub(in crate::keeper) fn flights_look_again(&mut self) {
        for flight in self.flights.values_mut() {
            flight.journal_opened = match &flight.work {
                Work::Refresh(presenting) => presenting.first_sent.is_none(),
                Work::Save { .. } | Work::SignOut(_) => false,
            };
        }
    }

    /// The intent is durable, and nothing that was learned meanwhile speaks against it: send.
    pub(super) fn send_unless_overtaken(&mut self, flight: Flight) {
        if self.is_overtaken(&flight) {
            return self.unlock(flight, Ending::Overtaken);
        }
        self.send(flight);
    }

    /// Whether a journal opened meanwhile says that the token was spent, or that its answer was lost
    /// and it is not yet time to present it again.
    pub(super) fn is_overtaken(&self, flight: &Flight) -> bool {
        flight.journal_opened && flight.targets.iter().any(|target| self.is_spent_or_lost(target))
    }

    fn is_spent_or_lost(&self, target: &Target) -> bool {
        let Some(grant) = self.grants.get(target) else {
            return false;
        };
        self.waits_after_lost(target, grant).is_some() || self.holds_spent(grant)
    }
}
