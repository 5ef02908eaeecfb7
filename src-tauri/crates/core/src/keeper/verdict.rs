//! The client's cached "needs auth" verdicts: withdrawn when they are stale, proven first when they
//! are newer than what we know, and looked for again a minute later.
//!
//! A verdict hides a server from new sessions even though its token is good: this cache, and not the
//! token, is what asks people to sign in again and again.

use alloc::{string::String, vec::Vec};

use super::{
    Effect, Event, Keeper, Mode, Outcome, Pending,
    grant::{Asked, Grant, Standing},
    plan::Next,
};
use crate::{
    ids::{StoreId, Target},
    time::{Millis, Wall},
};

/// A running client may write an old verdict back, with its old time.
const LOOK_AGAIN: Millis = Millis::minutes(1);

impl Keeper {
    /// Withdraws what is proven wrong, asks about what is not.
    pub(super) fn plan_verdicts(&mut self) {
        if self.mode == Mode::WatchOnly || self.holds_back() {
            return;
        }
        let verdicts: Vec<(StoreId, String, Wall)> = self
            .stores
            .iter()
            .filter_map(|(store, seen)| Some((store, seen.as_ref().ok()?)))
            .flat_map(|(store, view)| {
                let ours = view.verdicts.iter().filter(|v| !v.left_alone);
                ours.map(|v| (store.clone(), v.server_name.clone(), v.at))
            })
            .collect();
        for (store, server, at) in verdicts {
            self.weigh(&store, &server, at);
        }
    }

    fn weigh(&mut self, store: &StoreId, server: &str, at: Wall) {
        let withdrawing = Pending::Withdraw(store.clone(), server.into());
        if self.pending.values().any(|pending| *pending == withdrawing) {
            return;
        }
        let targets: Vec<Target> = self
            .targets_in(store)
            .into_iter()
            .filter(|target| {
                self.grants.get(target).is_some_and(|grant| {
                    grant.entry.server_name == server
                        && (self.mode == Mode::Keep || grant.was_asked)
                        && !self.facts_of(target).paused
                })
            })
            .collect();
        if targets.iter().any(|t| self.facts_of(t).proof_at.is_some_and(|proof| proof >= at)) {
            let ticket = self.ticket(withdrawing);
            let (store, server_name) = (store.clone(), server.into());
            self.effects.push_back(Effect::Withdraw { ticket, store, server_name, at });
            return;
        }
        for target in targets {
            self.prove(&target, at);
        }
    }

    /// A verdict newer than our last proof: one probe, if the token should be good and no renewal is
    /// about to prove it anyway.
    fn prove(&mut self, target: &Target, at: Wall) {
        let Some(grant) = self.grants.get(target) else {
            return;
        };
        let may_be_good = self.may_be_good(target, grant);
        let renews_now = grant.flight.is_some() || self.next(target, grant) == Next::Now;
        let may_ask = self.may_probe_at(target, grant) <= self.now.boot;
        if may_be_good && !renews_now && grant.probed_verdict != Some(at) && may_ask {
            self.probe(target, Some(at));
        }
    }

    /// Whether nothing speaks against the access token.
    pub(super) fn may_be_good(&self, target: &Target, grant: &Grant) -> bool {
        let good = match self.standing(target, grant) {
            Standing::Renewable | Standing::Yielding(_) | Standing::CannotRenew(_) => true,
            Standing::LeftAlone(_)
            | Standing::NotSignedIn
            | Standing::Paused
            | Standing::SignInRequired(_)
            | Standing::Approval { .. } => false,
        };
        good && !grant.has_ended(self.now)
    }

    pub(super) fn withdrawn(&mut self, store: StoreId, server: String, outcome: Outcome) {
        let Outcome::Withdrawn(result) = outcome else {
            return;
        };
        if let Some(Ok(view)) = self.stores.get_mut(&store) {
            // Seen again only if a new look finds it.
            view.verdicts.retain(|verdict| verdict.server_name != server);
        }
        if let Ok(true) = result {
            self.relooks.insert(store.clone(), self.now.boot + LOOK_AGAIN);
            self.tell(Event::VerdictWithdrawn { store, server });
        }
    }

    /// Whether something about this grant's verdict is in the air.
    pub(super) fn is_weighing(&self, target: &Target) -> bool {
        let Some(grant) = self.grants.get(target) else {
            return false;
        };
        let server = &grant.entry.server_name;
        let in_air = self.pending.values().any(|pending| match pending {
            Pending::Probe(t, _) => t == target,
            Pending::Withdraw(store, name) => *store == target.store && name == server,
            Pending::Flight(_)
            | Pending::Look(_)
            | Pending::Forget
            | Pending::Rewrite(_)
            | Pending::SignIn(_)
            | Pending::SignOut(_)
            | Pending::Review(_)
            | Pending::Revoke
            | Pending::ProbeSpare(_) => false,
        });
        in_air || self.will_weigh(target)
    }

    /// Whether a verdict stands that has not been asked about yet in this run.
    fn will_weigh(&self, target: &Target) -> bool {
        let Some(grant) = self.grants.get(target) else {
            return false;
        };
        let Some(Ok(view)) = self.stores.get(&target.store) else {
            return false;
        };
        let facts = self.facts_of(target);
        let may_be_good = self.may_be_good(target, grant);
        view.verdicts.iter().any(|verdict| {
            let stale = facts.proof_at.is_some_and(|proof| proof >= verdict.at);
            let unasked = grant.probed_verdict != Some(verdict.at) && may_be_good;
            verdict.server_name == grant.entry.server_name
                && !verdict.left_alone
                && grant.asked != Asked::No
                && (stale || unasked)
        })
    }

    /// Looks again where a verdict was withdrawn.
    pub(super) fn plan_relooks(&mut self) {
        let now = self.now.boot;
        let due: Vec<StoreId> =
            self.relooks.iter().filter(|(_, at)| **at <= now).map(|(s, _)| s.clone()).collect();
        if due.is_empty() {
            return;
        }
        for store in &due {
            self.relooks.remove(store);
        }
        let ticket = self.ticket(Pending::Look(alloc::collections::BTreeSet::new()));
        self.effects.push_back(Effect::Read { ticket, flight: None, stores: due });
    }
}
