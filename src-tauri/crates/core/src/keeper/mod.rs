//! The keeper: the life of every grant, as one state machine.
//!
//! ```text
//!              seen                    due                       answer durable
//!  (absent) ────────► Fresh ──────────────────► Refreshing ─────────────────────► Saving ──read back──► Fresh
//!                      ▲  │ no refresh token      │  │ not processed: backoff        │ conflict: theirs stays
//!                      │  └─► can't be renewed    │  │ perhaps processed: once more  │ locked, disk full:
//!                      │                          │ refused twice                    │   keep, retry
//!                      └── signed in again ◄── sign-in required ──► one notice
//! ```
//!
//! Inputs come by [`Keeper::handle`]; what it asks of the world leaves by [`Keeper::poll_effect`]; when
//! it wants to be woken is said by [`Keeper::poll_wake`]; every view is made from
//! [`Keeper::snapshot`]. It must never present a spent token, never present a token before an intent
//! is durable, and never forget new tokens before a store was read back.
//!
//! Read next: `see` (what a look at a store means), `plan` (what starts when), `flight` (one
//! refresh), `spare` (what the journal holds afterwards), `verdict` (the client's own cache),
//! `stand_by` (when renewing would do harm), `signing`, `signing_out` and `reviewing`
//! (what a person asks for).

mod effect;
mod failure;
mod flight;
mod grant;
mod input;
mod naming;
mod notice;
mod plan;
mod probing;
mod reviewing;
mod schedule;
mod see;
mod signing;
mod signing_out;
mod spare;
mod stand_by;
#[cfg(test)]
mod tests;
mod verdict;
mod view;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
};

pub use effect::Effect;
pub use failure::Failure;
pub use grant::ProbeFinding;
pub use input::{
    Action, Event, Input, Mode, NamedServer, Opening, Outcome, Reconnect, SendFault, SignInMeans,
    SignOut, WokeWhy,
};
pub use notice::{Notice, NoticeAction, NoticeCode, Severity};
pub use signing_out::AtServer;

use crate::{
    facts::{Facts, GrantFacts},
    ids::{FlightId, GrantId, MarkKey, RecordId, SignInId, StoreId, Target, Ticket},
    oauth::discovery::Discovery,
    profile::Profiles,
    store::{StoreFault, StoreInfo, StoreView},
    time::{Boot, Millis, Now, Wall},
};
use flight::Flight;
use grant::Grant;
use signing::Running;
use signing_out::Leaving;
use spare::Spare;

/// A sleep that was announced and never ended is over after this.
const ASLEEP_AT_MOST: Millis = Millis::minutes(1);
/// After a wake, what is due starts within this time, spread out.
const SPREAD_AFTER_WAKE: Millis = Millis::seconds(3);

/// When to wake the keeper, for whom and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// When, on the boot clock.
    pub at: Boot,
    /// For which grant, if for one.
    pub grant: Option<GrantId>,
    /// Why, in words for the log.
    pub why: &'static str,
}

/// What a ticket in the air belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    /// A flight's step.
    Flight(FlightId),
    /// A look at stores, for these records.
    Look(BTreeSet<RecordId>),
    /// Records being forgotten.
    Forget,
    /// A record that the journal could not take before.
    Rewrite(RecordId),
    /// A revocation: its answer changes nothing.
    Revoke,
    /// A revocation that somebody waits for.
    SignOut(Target),
    /// A look at where a server signs in now.
    Review(Target),
    /// A verdict being withdrawn.
    Withdraw(StoreId, String),
    /// A step of a sign-in.
    SignIn(SignInId),
    /// A probe, for the verdict of this time where there is one.
    Probe(Target, Option<Wall>),
    /// A probe with the tokens of a spare, before they are put into an emptied entry.
    ProbeSpare(RecordId),
}

/// The state of all grants. See the [module](self).
#[derive(Debug)]
pub struct Keeper {
    infos: BTreeMap<StoreId, StoreInfo>,
    profiles: Profiles,
    mark_key: MarkKey,
    seed: u64,
    mode: Mode,
    probes: bool,
    stopping: bool,
    /// Nothing new starts before this: the machine is falling asleep.
    asleep_until: Option<Boot>,
    /// Whether there is a way out to any network, where that was told.
    network: Option<bool>,
    now: Now,
    facts: Facts,
    remembered: Facts,
    stores: BTreeMap<StoreId, Result<StoreView, StoreFault>>,
    grants: BTreeMap<Target, Grant>,
    signed_out: BTreeSet<(StoreId, String)>,
    flights: BTreeMap<FlightId, Flight>,
    spares: BTreeMap<RecordId, Spare>,
    sign_ins: BTreeMap<SignInId, Running>,
    sign_in_means: SignInMeans,
    sign_outs: BTreeMap<Target, Leaving>,
    reviews: BTreeMap<Target, Discovery>,
    relooks: BTreeMap<StoreId, Boot>,
    notices: BTreeMap<String, Notice>,
    pending: BTreeMap<Ticket, Pending>,
    effects: VecDeque<Effect>,
    last_ticket: u64,
    last_flight: u64,
    last_sign_in: u64,
}

impl Keeper {
    /// A keeper that knows what was remembered and has not seen any store yet.
    pub fn new(opening: Opening, now: Now) -> Self {
        let mut keeper = Self {
            infos: opening.stores.into_iter().map(|info| (info.id.clone(), info)).collect(),
            profiles: opening.profiles,
            mark_key: opening.mark_key,
            seed: opening.seed,
            mode: opening.mode,
            probes: opening.probes,
            stopping: false,
            asleep_until: None,
            network: None,
            now,
            remembered: opening.facts.clone(),
            facts: opening.facts,
            stores: BTreeMap::new(),
            grants: BTreeMap::new(),
            signed_out: BTreeSet::new(),
            flights: BTreeMap::new(),
            spares: BTreeMap::new(),
            sign_ins: BTreeMap::new(),
            sign_in_means: opening.sign_in_means,
            sign_outs: BTreeMap::new(),
            reviews: BTreeMap::new(),
            relooks: BTreeMap::new(),
            notices: BTreeMap::new(),
            pending: BTreeMap::new(),
            effects: VecDeque::new(),
            last_ticket: 0,
            last_flight: 0,
            last_sign_in: 0,
        };
        keeper.take_up_journal(opening.journal);
        keeper
    }

    /// Takes in what happened. Effects, wake and snapshot may all have changed afterwards.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.now = now;
        match input {
            Input::StoreSeen { store, seen } => self.see(&store, seen),
            Input::Act(action) => self.act(action),
            Input::Tick => {}
            Input::Woke(why) => self.woke(why),
            Input::FallingAsleep => self.asleep_until = Some(now.boot + ASLEEP_AT_MOST),
            Input::Network(up) => self.network = Some(up),
            Input::Stopping => self.stopping = true,
            Input::JournalOpened(records) => self.journal_opened(records),
            Input::CalledBack(door, query) => self.called_back(door, &query),
            Input::Done(ticket, outcome) => self.done(ticket, outcome),
            // The next change of facts asks again; nothing that matters hangs on them alone.
            Input::RememberFailed(_) => self.remembered = Facts::default(),
        }
        self.end_sign_ins();
        self.plan_sign_outs();
        self.plan();
        self.plan_verdicts();
        self.tell_notices();
        self.remember();
    }

    /// The next thing asked of the world.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether anything is in the air or was asked for and is not settled. Later looks at what was
    /// saved do not count: the journal holds them for the next run.
    pub fn is_busy(&self) -> bool {
        !self.flights.is_empty()
            || !self.pending.is_empty()
            || !self.effects.is_empty()
            || self.grants.values().any(|grant| grant.asked != grant::Asked::No)
            || self.spares.values().any(Spare::is_owed)
            || !self.sign_ins.is_empty()
            || !self.sign_outs.is_empty()
    }

    /// Whether nothing that was asked for this grant is still open.
    pub fn is_settled(&self, id: &GrantId) -> bool {
        let signing_in = self.sign_ins.values().any(|running| running.is_for(id));
        let signing_out = self.sign_outs.values().any(|leaving| leaving.is_for(id));
        !signing_in
            && !signing_out
            && self.target_of(id).is_none_or(|target| {
                let asked = self.grants.get(&target).is_some_and(|g| g.asked != grant::Asked::No);
                let reviewed = self.reviews.contains_key(&target);
                !asked && !reviewed && !self.is_weighing(&target)
            })
    }

    /// Whether a step is under way whose answer must still come home. What is owed to a store does
    /// not count once the journal holds it.
    pub fn is_in_the_air(&self) -> bool {
        !self.flights.is_empty()
            || !self.pending.is_empty()
            || !self.effects.is_empty()
            || self.holds_unsaved()
    }

    /// Whether new tokens exist only in this process's memory.
    pub fn holds_unsaved(&self) -> bool {
        self.flights.values().any(Flight::holds_unsaved)
            || self.spares.values().any(|spare| spare.only_here)
    }

    /// Whether nothing new may start: the process ends, or the machine falls asleep.
    fn holds_back(&self) -> bool {
        self.stopping || self.asleep_until.is_some_and(|until| self.now.boot < until)
    }

    fn done(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(pending) = self.pending.remove(&ticket) else {
            return;
        };
        match pending {
            Pending::Flight(flight) => self.advance(flight, outcome),
            Pending::Look(records) => self.looked(&records, outcome),
            Pending::Forget | Pending::Revoke => {}
            Pending::Rewrite(record) => self.rewritten(&record, &outcome),
            Pending::ProbeSpare(record) => self.spare_probed(&record, &outcome),
            Pending::Withdraw(store, server) => self.withdrawn(store, server, outcome),
            Pending::SignIn(id) => self.sign_in_done(id, outcome),
            Pending::SignOut(target) => self.revoked(&target, &outcome),
            Pending::Review(target) => self.reviewed(target, &outcome),
            Pending::Probe(target, verdict) => self.probed(&target, verdict, outcome),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Renew(id) => self.ask(&id, grant::Asked::Now),
            Action::RenewDue => {
                let all: alloc::vec::Vec<_> = self.grants.values().map(|g| g.id.clone()).collect();
                for id in all {
                    self.ask(&id, grant::Asked::IfDue);
                }
            }
            Action::Check(id) => {
                if let Some(target) = self.target_of(&id) {
                    self.probe(&target, None);
                }
            }
            Action::Pause(id) => self.set_paused(&id, true),
            Action::Resume(id) => self.set_paused(&id, false),
            Action::Review(id) => self.review(&id),
            Action::Trust(id) => self.approve(&id),
            Action::Reconnect(wish) => self.reconnect(&wish),
            Action::AnotherWay(id) => self.another_way(&id),
            Action::CancelSignIn(id) => self.cancel_sign_in(&id),
            Action::SignOut(wish) => self.sign_out(&wish),
        }
    }

    fn ask(&mut self, id: &GrantId, asked: grant::Asked) {
        let Some(target) = self.target_of(id) else {
            return;
        };
        if let Some(grant) = self.grants.get_mut(&target) {
            grant.asked = asked;
            grant.was_asked = true;
            grant.told_waiting = None;
            if asked == grant::Asked::Now {
                grant.wait_until = None;
            }
        }
    }

    fn set_paused(&mut self, id: &GrantId, paused: bool) {
        if let Some(target) = self.target_of(id) {
            self.facts_mut(&target).paused = paused;
        }
    }

    /// Forgets the pin, so that the next search pins what it finds: the person has seen both hosts.
    fn approve(&mut self, id: &GrantId) {
        let Some(target) = self.target_of(id).or_else(|| self.configured_target(id)) else {
            return;
        };
        let facts = self.facts_mut(&target);
        facts.pin = None;
        facts.metadata = None;
        facts.approved = true;
        facts.confirmed_issuer = facts.seen_issuer.take().or_else(|| facts.confirmed_issuer.take());
        if let Some(grant) = self.grants.get_mut(&target) {
            grant.failure = None;
            grant.wait_until = None;
        }
    }

    /// Every backoff is over. What is due starts spread over a few seconds: after a sleep that is
    /// everything at once.
    fn woke(&mut self, why: WokeWhy) {
        // Routes go and clocks are set on the way into a sleep too.
        if why == WokeWhy::Resumed {
            self.asleep_until = None;
        }
        let spread_out = match why {
            WokeWhy::Resumed | WokeWhy::RouteChanged => self.mode == Mode::Keep,
            WokeWhy::ClockStepped => false,
        };
        for grant in self.grants.values_mut() {
            grant.attempts = 0;
            let spread = schedule::spread(self.seed, grant.id.as_str(), 1);
            let wait = schedule::scaled(SPREAD_AFTER_WAKE, spread);
            grant.wait_until = spread_out.then(|| self.now.boot + wait);
        }
        for spare in self.spares.values_mut() {
            spare.wait_until = None;
        }
        if why != WokeWhy::ClockStepped {
            self.want_probes_after_wake();
        }
    }

    fn target_of(&self, id: &GrantId) -> Option<Target> {
        self.grants.iter().find(|(_, grant)| grant.id == *id).map(|(target, _)| target.clone())
    }

    fn facts_of(&self, target: &Target) -> GrantFacts {
        self.facts.grants.get(target).cloned().unwrap_or_default()
    }

    fn facts_mut(&mut self, target: &Target) -> &mut GrantFacts {
        self.facts.grants.entry(target.clone()).or_default()
    }

    fn remember(&mut self) {
        if self.mode != Mode::WatchOnly && self.facts != self.remembered {
            self.remembered = self.facts.clone();
            self.effects.push_back(Effect::Remember { facts: self.facts.clone() });
        }
    }

    fn tell(&mut self, event: Event) {
        self.effects.push_back(Effect::Tell { event });
    }

    fn ticket(&mut self, pending: Pending) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.pending.insert(ticket, pending);
        ticket
    }
}
