//! A look at where a server signs in now, for a person who is to decide whether to trust that.
//!
//! It asks for metadata and sends nothing else, pins nothing, and decides nothing: what it finds is
//! told, with both hosts, and a move stands on the row until it is trusted or heals.

use alloc::string::{String, ToString};

use super::{Event, Failure, Keeper, Mode, Outcome, Pending, grant::Grant};
use crate::{
    facts::GrantFacts,
    ids::{GrantId, Target},
    keeper::Effect,
    oauth::{
        discovery::{Anchor, Discovery, Trust, is_pinned_elsewhere, trust},
        fault::DiscoveryFault,
        pin::Pin,
        recorded::AnchorMoved,
        url::host,
    },
    snapshot::NewAddress,
    store::Entry,
    time::{Boot, Millis},
};

/// How often a move that waits for a person is looked at again: it may have been taken back.
const AGAIN: Millis = Millis::hours(1);

/// A look under way.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Review {
    search: Discovery,
    /// Whether a person asked, who is told what was found.
    asked: bool,
}

impl Keeper {
    /// A person wants to see where this grant's server signs in now.
    pub(super) fn review(&mut self, id: &GrantId) {
        if self.mode == Mode::WatchOnly {
            return;
        }
        let target = self.target_of(id);
        let entry = target.as_ref().and_then(|target| Some(&self.grants.get(target)?.entry));
        let (Some(target), Some(entry)) = (target.clone(), entry) else {
            // Nothing was ever sent for it, so only a sign-in can have met another name.
            let target = self.configured_target(id);
            let facts = target.as_ref().map(|target| self.facts.of(target));
            let known = target.as_ref().zip(facts);
            let moved = known.and_then(|(target, facts)| met(&self.configured_url(target)?, facts));
            return self.tell(Event::Reviewed { grant: id.clone(), moved });
        };
        let moved = self.grants.get(&target).and_then(|grant| self.moved_record(&target, grant));
        if let Some(AnchorMoved { known, now }) = moved {
            let moved = Some(NewAddress { known, now });
            return self.tell(Event::Reviewed { grant: id.clone(), moved });
        }
        let search = self.review_of(&target, entry);
        self.look_for(target, Review { search, asked: true });
    }

    /// Nobody asked: a move that waits for a person heals by itself where it was taken back.
    pub(super) fn look_again(&mut self, target: &Target, at: Boot) {
        let Some(grant) = self.grants.get(target).filter(|_| at <= self.now.boot) else { return };
        let search = self.review_of(target, &grant.entry);
        if let Some(grant) = self.grants.get_mut(target) {
            grant.wait_until = Some(self.now.boot + AGAIN);
        }
        self.look_for(target.clone(), Review { search, asked: false });
    }

    fn review_of(&self, target: &Target, entry: &Entry) -> Discovery {
        let profile = self.profiles.of(&entry.server_url).1;
        Discovery::for_refresh(Anchor::of(entry), profile, &self.facts_of(target).trusted)
    }

    fn look_for(&mut self, target: Target, review: Review) {
        match review.search.request() {
            Some(request) => {
                self.reviews.insert(target.clone(), review);
                let ticket = self.ticket(Pending::Review(target));
                self.effects.push_back(Effect::Fetch { ticket, request });
            }
            None => self.not_found(&target, DiscoveryFault::Nothing, review.asked),
        }
    }

    /// A document came, or not.
    pub(super) fn reviewed(&mut self, target: Target, outcome: &Outcome) {
        let Some(mut review) = self.reviews.remove(&target) else { return };
        self.grants.touch(&target);
        let Outcome::Fetched(answer) = outcome else { return };
        let asked = review.asked;
        let found = match review.search.answer(answer.as_ref().map_err(|fault| *fault)) {
            None => return self.look_for(target, review),
            Some(Err(fault)) => return self.not_found(&target, fault, asked),
            Some(Ok(found)) => found,
        };
        let Some(Grant { entry, .. }) = self.grants.get(&target) else { return };
        let facts = self.facts_of(&target);
        let profile = self.profiles.of(&entry.server_url).1;
        let recorded = entry.issuer.as_deref();
        let elsewhere = |pin: &&Pin| is_pinned_elsewhere(&found, Anchor::of(entry), recorded, pin);
        let pin = facts.pin.as_ref().filter(|pin| !elsewhere(pin));
        match trust(&found, recorded, pin, profile, &facts.trusted) {
            Trust::Approval { known, now } => self.moved(&target, known, now, asked),
            Trust::Fine(_) if found.guessed && !asked => {}
            Trust::Fine(_) if self.plain_http.refused(&found.metadata.token_endpoint).is_some() => {
                let host = self.plain_http.refused(&found.metadata.token_endpoint);
                let failure = Failure::PlainHttp(host.unwrap_or_default());
                self.travels_plainly(&target, failure, asked);
            }
            Trust::Fine(_) => {
                let url = entry.authorization_server.as_ref().unwrap_or(&entry.server_url).clone();
                let met = met(&url, facts);
                self.stayed(&target, met, asked);
            }
        }
    }

    fn not_found(&mut self, target: &Target, fault: DiscoveryFault, asked: bool) {
        if let DiscoveryFault::Elsewhere { server, other } = fault {
            return self.moved(target, server, other, asked);
        }
        let Some(grant) = self.grants.get(target).filter(|_| asked) else { return };
        let (id, failure) = (grant.id.clone(), Failure::Discovery(fault));
        let why = failure.told(&grant.entry.server_name);
        self.tell(Event::Failed { grant: id, code: failure.code().into(), why, next: None });
    }

    /// It stands on the row from now on, as when a renewal meets it.
    fn moved(&mut self, target: &Target, known: String, now: String, asked: bool) {
        let Some(grant) = self.grants.get_mut(target) else { return };
        let id = grant.id.clone();
        grant.failure = Some(Failure::Approval { known: known.clone(), now: now.clone() });
        grant.wait_until = Some(self.now.boot + AGAIN);
        if asked {
            let moved = Some(NewAddress { known, now });
            self.tell(Event::Reviewed { grant: id, moved });
        }
    }

    fn travels_plainly(&mut self, target: &Target, failure: Failure, asked: bool) {
        let Some(grant) = self.grants.get_mut(target) else { return };
        let (id, why) = (grant.id.clone(), failure.to_string());
        let code = failure.code().into();
        grant.failure = Some(failure);
        grant.wait_until = Some(self.now.boot + AGAIN);
        if asked {
            self.tell(Event::Failed { grant: id, code, why, next: None });
        }
    }

    fn stayed(&mut self, target: &Target, met: Option<NewAddress>, asked: bool) {
        let Some(grant) = self.grants.get_mut(target) else { return };
        let id = grant.id.clone();
        let stood = matches!(
            grant.failure,
            Some(
                Failure::Approval { .. }
                    | Failure::PlainHttp(_)
                    | Failure::PrivateAddress(_)
                    | Failure::Discovery(
                        DiscoveryFault::Elsewhere { .. } | DiscoveryFault::PrivateAddress { .. }
                    )
            )
        );
        if stood {
            grant.failure = None;
            grant.wait_until = None;
        }
        if asked {
            self.tell(Event::Reviewed { grant: id, moved: met });
        }
    }

    /// The entry to be of a server that only the configuration names.
    pub(super) fn configured_target(&self, id: &GrantId) -> Option<Target> {
        self.configured_subject(id).ok().map(|(target, ..)| target)
    }

    fn configured_url(&self, target: &Target) -> Option<String> {
        let view = self.stores.get(&target.store)?.as_ref().ok()?;
        let server = view.servers.iter().find(|server| server.key.as_ref() == Some(&target.key))?;
        Some(server.url.clone())
    }
}

/// Another name that a sign-in met and nobody has confirmed.
fn met(url: &str, facts: &GrantFacts) -> Option<NewAddress> {
    let seen =
        facts.seen_issuer.as_ref().filter(|seen| Some(*seen) != facts.confirmed_issuer.as_ref());
    seen.map(|seen| NewAddress { known: host(url), now: seen.clone() })
}
