//! The client's cached "needs auth" verdicts: withdrawn when they are stale, proven first when they
//! are newer than what we know, and looked for again a minute later.
//!
//! A verdict hides a server from new sessions even though its token is good: this cache, and not the
//! token, is what asks people to sign in again and again.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use super::{
    Effect, Event, Keeper, Mode, Outcome, Pending,
    grant::{Asked, Grant, Standing},
    plan::Next,
    probing::Why,
};
use crate::{
    ids::{StoreId, Target},
    time::{Boot, Millis, Wall},
};

/// A running client may write an old verdict back, with its old time.
const LOOK_AGAIN: Millis = Millis::minutes(1);

/// When which store is looked at again.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, PartialEq))]
pub(super) struct Relooks {
    by_store: BTreeMap<StoreId, Boot>,
    by_time: BTreeSet<(Boot, StoreId)>,
}

impl Relooks {
    /// At this time, whatever was planned.
    fn set(&mut self, store: &StoreId, at: Boot) {
        if let Some(before) = self.by_store.insert(store.clone(), at) {
            self.by_time.remove(&(before, store.clone()));
        }
        self.by_time.insert((at, store.clone()));
    }

    /// At this time, if nothing is planned.
    pub(super) fn add(&mut self, store: &StoreId, at: Boot) {
        if !self.by_store.contains_key(store) {
            self.set(store, at);
        }
    }

    /// At this time, unless it is planned for an earlier one.
    pub(super) fn sooner(&mut self, store: &StoreId, at: Boot) {
        if self.by_store.get(store).is_none_or(|planned| *planned > at) {
            self.set(store, at);
        }
    }

    /// When the first is due.
    pub(super) fn first_at(&self) -> Option<Boot> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The stores that are due, in order.
    fn take_due(&mut self, now: Boot) -> Vec<StoreId> {
        let mut due = Vec::new();
        while let Some((at, store)) = self.by_time.pop_first() {
            if at > now {
                self.by_time.insert((at, store));
                break;
            }
            self.by_store.remove(&store);
            due.push(store);
        }
        due.sort_unstable();
        due
    }
}

impl Keeper {
    /// Withdraws what is proven wrong, asks about what is not.
    pub(super) fn plan_verdicts(&mut self) {
        if self.mode == Mode::WatchOnly || self.holds_back() {
            return;
        }
        let mut servers = BTreeMap::<StoreId, BTreeSet<String>>::new();
        for target in self.all_touched() {
            let Some(Ok(view)) = self.stores.get(&target.store) else { continue };
            if let (false, Some(grant)) = (view.verdicts.is_empty(), self.grants.get(&target)) {
                let of_store = servers.entry(target.store.clone()).or_default();
                of_store.insert(grant.entry.server_name.clone());
            }
        }
        let stores = servers.iter().filter_map(|(store, servers)| {
            let view = self.stores.get(store)?.as_ref().ok()?;
            let ours = view.verdicts.iter().filter(|v| !v.left_alone);
            let ours = ours.filter(|v| servers.contains(&v.server_name));
            Some(ours.map(|v| (store.clone(), v.server_name.clone(), v.at)))
        });
        let verdicts: Vec<(StoreId, String, Wall)> = stores.flatten().collect();
        for (store, server, at) in verdicts {
            self.weigh(&store, &server, at);
        }
    }

    fn weigh(&mut self, store: &StoreId, server: &str, at: Wall) {
        if self.pending.withdraw(store, server) {
            return;
        }
        let mut targets = self.grants.of_server(store, server);
        targets.retain(|target| {
            let asked = self.grants.get(target).is_some_and(|grant| grant.was_asked);
            (self.mode == Mode::Keep || asked) && !self.facts_of(target).paused
        });
        if targets.iter().any(|t| self.facts_of(t).proof_at.is_some_and(|proof| proof >= at)) {
            let ticket = self.ticket(Pending::Withdraw(store.clone(), server.into()));
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
        if may_be_good && !renews_now && !grant.was_asked_about(at) && may_ask {
            self.probe(target, Why::Verdict(at));
        }
    }

    /// Whether nothing speaks against the access token.
    pub(super) fn may_be_good(&self, target: &Target, grant: &Grant) -> bool {
        let good = match self.standing(target, grant) {
            Standing::Renewable
            | Standing::Yielding(_)
            | Standing::Superseded
            | Standing::CannotRenew(_) => true,
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
        self.touch_server(&store, &server);
        if let Ok(true) = result {
            self.relooks.set(&store, self.now.boot + LOOK_AGAIN);
            self.tell(Event::VerdictWithdrawn { store, server });
        }
    }

    /// Whether something about this grant's verdict is in the air.
    pub(super) fn is_weighing(&self, target: &Target) -> bool {
        let Some(grant) = self.grants.get(target) else {
            return false;
        };
        let server = &grant.entry.server_name;
        self.pending.probe(target)
            || self.pending.withdraw(&target.store, server)
            || self.will_weigh(target)
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
            let unasked = !grant.was_asked_about(verdict.at) && may_be_good;
            verdict.server_name == grant.entry.server_name
                && !verdict.left_alone
                && grant.asked != Asked::No
                && (stale || unasked)
        })
    }

    /// Looks again where a verdict was withdrawn.
    pub(super) fn plan_relooks(&mut self) {
        let due = self.relooks.take_due(self.now.boot);
        if due.is_empty() {
            return;
        }
        for store in &due {
            // Whoever stands by there asks for the next look.
            self.touch_store(store);
        }
        // One that hangs keeps no other waiting.
        for store in due {
            let ticket = self.ticket(Pending::Look(BTreeSet::new()));
            self.effects.push_back(Effect::Read {
                ticket,
                flight: None,
                stores: Vec::from([store]),
            });
        }
    }
}
