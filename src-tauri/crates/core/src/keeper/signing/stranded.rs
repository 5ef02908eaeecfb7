//! Sign-ins whose tokens nothing is done about any more: the entry was signed out or emptied, or another
//! record took its place, before the tokens were saved and their server had been asked.
//!
//! A sign-in that is being saved has a journal record or a flight, and one that is being proved has a
//! question on its way or a record that may still be put back. Without any it ends.

use alloc::vec::Vec;

use super::{Phase, Running};
use crate::{
    ids::{RecordId, SignInId, Target},
    keeper::{Keeper, flight::Flight, probing::Why},
    signin::SignInFailure,
};

impl Keeper {
    /// Ends them.
    pub(super) fn end_stranded_sign_ins(&mut self) {
        let proving = self.sign_ins.values().filter(|running| running.is_proving());
        let unasked = proving.filter(|running| !self.pending.probe(&running.target));
        let unasked: Vec<Target> = unasked.map(|running| running.target.clone()).collect();
        for target in unasked {
            // Its tokens may stand there again.
            self.probe(&target, Why::Asked);
        }
        let all = self.sign_ins.iter().filter(|(_, running)| self.is_stranded(running));
        let stranded: Vec<SignInId> = all.map(|(id, _)| *id).collect();
        for id in stranded {
            self.fail_sign_in(id, &SignInFailure::Overtaken);
        }
    }

    fn is_stranded(&self, running: &Running) -> bool {
        match &running.phase {
            Phase::Saving(record) => !self.is_kept_or_in_flight(record),
            Phase::Proving => {
                let mut records = self.spares.about(&running.target).map(|spare| &spare.record);
                !self.pending.probe(&running.target)
                    && !records.any(|record| record.enrolment.is_some())
            }
            Phase::Drawing(_) | Phase::Asking(_) | Phase::Journaling(_) => false,
        }
    }

    /// Whether anything is still to be done about a journal record.
    pub(in crate::keeper) fn is_kept_or_in_flight(&self, id: &RecordId) -> bool {
        let mut flying = self.flights.values().filter_map(Flight::record);
        self.spares.get(id).is_some() || flying.any(|record| record.id == *id)
    }

    /// No sign-in waits for nothing.
    #[cfg(test)]
    pub(in crate::keeper) fn no_sign_in_is_stranded(&self) -> bool {
        !self.sign_ins.values().any(|running| self.is_stranded(running))
    }
}
