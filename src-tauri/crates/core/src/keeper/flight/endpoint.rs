//! The step before the lock: where does this token go, and may it?
//!
//! Metadata is kept for a day with its pin. Where it cannot be had now, what was found before still
//! holds; what was never found is never guessed.

use super::{Ending, Flight, Step, Work};
use crate::{
    http::{Answer, Fault},
    keeper::{Effect, Failure, Keeper, spare::GivenBackAt},
    oauth::{
        discovery::{self, Anchor, Discovery, Found, Trust},
        fault::DiscoveryFault,
        metadata::ServerMetadata,
        pin::Pin,
        recorded::AnchorMoved,
    },
    time::Millis,
};

/// How long metadata is trusted without asking again.
const METADATA_KEPT: Millis = Millis::hours(24);

impl Keeper {
    /// Step before the lock: where does this token go?
    pub(in crate::keeper) fn find_endpoint(&mut self, flight: Flight) {
        let Some((facts, entry)) = self.lead(&flight) else {
            return self.land_quietly(flight);
        };
        if let Some(AnchorMoved { known, now }) = self.lead_moved(&flight) {
            return self.leads_nowhere(flight, Failure::Approval { known, now });
        }
        let anchor = Anchor::of(&entry);
        let same = facts.anchor.as_deref() == Some(anchor.beginning());
        let known = facts.metadata.filter(|(metadata, _)| same && self.may_reach(metadata));
        let fresh = known.filter(|(_, at)| self.now.wall < *at + METADATA_KEPT);
        if let (Some((metadata, _)), Some(pin)) = (fresh, facts.pin) {
            return self.take_lock(with_endpoint(flight, metadata, pin));
        }
        let profile = self.profiles.of(&entry.server_url).1;
        let search = Discovery::for_refresh(anchor, profile, &facts.trusted);
        self.search(flight, search);
    }

    fn lead_moved(&self, flight: &Flight) -> Option<AnchorMoved> {
        let target = flight.targets.first()?;
        self.moved_record(target, self.grants.get(target)?)
    }

    fn search(&mut self, flight: Flight, search: Discovery) {
        match search.request() {
            Some(request) => self.go(flight, Step::Discovering(search), |ticket, _| {
                Effect::Fetch { ticket, request }
            }),
            None => self.endpoint_unknown(flight, DiscoveryFault::Nothing),
        }
    }

    pub(super) fn found_endpoint(
        &mut self,
        flight: Flight,
        mut search: Discovery,
        answer: Result<Answer, Fault>,
    ) {
        match search.answer(answer.as_ref().map_err(|fault| *fault)) {
            None => self.search(flight, search),
            Some(Err(fault)) => self.endpoint_unknown(flight, fault),
            // A server whose documents are gone for now has not moved to the fixed places.
            Some(Ok(found))
                if found.guessed
                    && self
                        .known_endpoint(&flight)
                        .is_some_and(|(known, _)| known != found.metadata) =>
            {
                self.endpoint_unknown(flight, DiscoveryFault::Nothing);
            }
            Some(Ok(found)) => self.judge_endpoint(flight, &found),
        }
    }

    /// No metadata now: what was found before still holds, pinned as it is.
    fn endpoint_unknown(&mut self, flight: Flight, fault: DiscoveryFault) {
        match self.known_endpoint(&flight) {
            Some((metadata, pin)) => self.take_lock(with_endpoint(flight, metadata, pin)),
            None => self.leads_nowhere(flight, Failure::Discovery(fault)),
        }
    }

    /// What was found before from the same beginning, however long ago.
    fn known_endpoint(&self, flight: &Flight) -> Option<(ServerMetadata, Pin)> {
        let (facts, entry) = self.lead(flight)?;
        let same = facts.anchor.as_deref() == Some(Anchor::of(&entry).beginning());
        let ((metadata, _), pin) = facts.metadata.zip(facts.pin).filter(|_| same)?;
        self.may_reach(&metadata).then_some((metadata, pin))
    }

    /// Whether a token may travel there: with TLS, or where the user does without.
    fn may_reach(&self, metadata: &ServerMetadata) -> bool {
        self.plain_http.refused(&metadata.token_endpoint).is_none()
    }

    /// No token may be sent anywhere. Who signs out does so all the same; only the server does not
    /// hear of it.
    fn leads_nowhere(&mut self, mut flight: Flight, failure: Failure) {
        if let Work::SignOut(leaving) = &mut flight.work {
            leaving.cannot_ask(&failure);
            return self.take_lock(flight);
        }
        self.land(flight, Ending::Failed(failure));
    }

    fn judge_endpoint(&mut self, flight: Flight, found: &Found) {
        let Some((facts, entry)) = self.lead(&flight) else {
            return self.land_quietly(flight);
        };
        let profile = self.profiles.of(&entry.server_url).1;
        let recorded = entry.issuer.as_deref();
        let elsewhere =
            |pin: &&Pin| discovery::is_pinned_elsewhere(found, Anchor::of(&entry), recorded, pin);
        let pin = facts.pin.as_ref().filter(|pin| !elsewhere(pin));
        match discovery::trust(found, recorded, pin, profile, &facts.trusted) {
            Trust::Approval { known, now } => {
                self.leads_nowhere(flight, Failure::Approval { known, now });
            }
            Trust::Fine(_) if !self.may_reach(&found.metadata) => {
                let host = self.plain_http.refused(&found.metadata.token_endpoint);
                self.leads_nowhere(flight, Failure::PlainHttp(host.unwrap_or_default()));
            }
            Trust::Fine(pin) => {
                let (now, anchor) = (self.now.wall, Anchor::of(&entry).beginning());
                for target in &flight.targets {
                    let facts = self.facts_mut(target);
                    facts.anchor = Some(anchor.into());
                    facts.metadata = Some((found.metadata.clone(), now));
                    facts.pin = Some(pin.clone());
                    facts.trusted.clear();
                }
                self.take_lock(with_endpoint(flight, found.metadata.clone(), pin));
            }
        }
    }
}

fn with_endpoint(mut flight: Flight, metadata: ServerMetadata, pin: Pin) -> Flight {
    flight.given_back_at = GivenBackAt::of(&metadata, &pin);
    match &mut flight.work {
        Work::Refresh(presenting) => {
            presenting.metadata = Some(metadata);
            presenting.pin = Some(pin);
        }
        Work::SignOut(leaving) => leaving.may_ask(&metadata, &pin),
        Work::Save { .. } => {}
    }
    flight
}
