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
//! refresh), `spare` (what the journal holds afterwards), `copies` (the same sign-in in several
//! places), `lost` (tokens whose answer never came), `client` (entries that name no client),
//! `verdict` (the client's own cache), `refused` (an access token that its server does not take),
//! `stand_by` (when renewing would do harm), `unreadable` (stores that can't be read), `signing`,
//! `signing_out` and `reviewing` (what a person asks for), `touch` (why an input costs what it
//! changes and no more).

mod air;
mod client;
mod copies;
mod effect;
mod failure;
mod flight;
mod grant;
mod grants;
mod harmless;
mod input;
mod lost;
mod memory;
mod naming;
mod notice;
mod plan;
mod probing;
mod recorded;
mod refused;
mod reviewing;
mod schedule;
mod see;
mod signing;
mod signing_out;
mod spare;
mod spares;
mod stand_by;
#[cfg(test)]
mod tests;
mod touch;
mod unreadable;
mod verdict;
mod view;
mod visiting;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    sync::Arc,
    vec::Vec,
};

pub use effect::Effect;
pub use failure::Failure;
pub use grant::ProbeFinding;
pub use input::{
    Action, Event, Input, Mode, NamedServer, Opening, Outcome, Reconnect, SendFault, SignInMeans,
    SignOut, Trusted, WokeWhy,
};
pub use signing_out::AtServer;
pub use spare::LAST_LOOK;

use crate::{
    facts::{GrantFacts, StoreFacts},
    http::PlainHttp,
    ids::{FlightId, GrantId, MarkKey, RecordId, SignInId, StoreId, Target, Ticket},
    notice::Notice,
    oauth::profile::Profiles,
    snapshot::Unfinished,
    store::{StoreFault, StoreInfo, StoreView},
    time::{Boot, Millis, Now},
};
use air::{Flights, Tickets};
use flight::Flight;
use grants::Grants;
use memory::Memory;
use signing::Running;
use signing_out::Leaving;
use spare::Spare;
use spares::Spares;
use touch::Offset;
use unreadable::Unreadable;
use verdict::Relooks;

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
    /// A look at stores before something that a person asked for.
    LookFirst,
    /// Records being forgotten.
    Forget,
    /// A record that the journal could not take before.
    Rewrite(RecordId),
    /// The same of one for which nothing else is done before the journal answers.
    Keep(RecordId),
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
    Probe(probing::Probe),
    /// A probe with the tokens of a spare, before they are put into an emptied entry.
    ProbeSpare(RecordId),
}

/// The state of all grants. See the [module](self).
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Keeper {
    infos: BTreeMap<StoreId, StoreInfo>,
    /// Stores that are visited to finish what the journal holds for them.
    visited: BTreeSet<StoreId>,
    /// Stores that the journal holds something for and that cannot be visited.
    unreachable: BTreeMap<StoreId, Unfinished>,
    profiles: Profiles,
    mark_key: MarkKey,
    seed: u64,
    mode: Mode,
    probes: bool,
    plain_http: PlainHttp,
    stopping: bool,
    /// Nothing new starts before this: the machine is falling asleep.
    asleep_until: Option<Boot>,
    /// Whether there is a way out to any network, where that was told.
    network: Option<bool>,
    now: Now,
    /// How the two clocks stood to each other when everything was last planned.
    offset: Offset,
    /// Whether nothing new could start when everything was last planned.
    held: bool,
    facts: Memory,
    /// What was found, apart from the entries: those are grants.
    stores: BTreeMap<StoreId, Result<StoreView, StoreFault>>,
    /// Stores at which nobody has looked yet; `None` once all was looked at for what a person should
    /// know.
    unseen: Option<BTreeSet<StoreId>>,
    grants: Grants,
    /// What was touched before the plan that is being made.
    batch: BTreeSet<Arc<Target>>,
    signed_out: BTreeSet<(StoreId, String)>,
    flights: Flights,
    spares: Spares,
    sign_ins: BTreeMap<SignInId, Running>,
    sign_in_means: SignInMeans,
    sign_outs: BTreeMap<Target, Leaving>,
    reviews: BTreeMap<Target, reviewing::Review>,
    relooks: Relooks,
    unreadable: Unreadable,
    /// What a person should know, by grant.
    notices: BTreeMap<Target, Notice>,
    pending: Tickets,
    effects: VecDeque<Effect>,
    last_ticket: u64,
    last_flight: u64,
    last_sign_in: u64,
}

impl Keeper {
    /// A keeper that knows what was remembered and has not seen any store yet.
    pub fn new(opening: Opening, now: Now) -> Self {
        let mut keeper = Self {
            unseen: Some(opening.stores.iter().map(|info| info.id.clone()).collect()),
            infos: opening.stores.into_iter().map(|info| (info.id.clone(), info)).collect(),
            visited: BTreeSet::new(),
            unreachable: BTreeMap::new(),
            profiles: opening.profiles,
            mark_key: opening.mark_key,
            seed: opening.seed,
            mode: opening.mode,
            probes: opening.probes,
            plain_http: opening.plain_http,
            stopping: false,
            asleep_until: None,
            network: None,
            now,
            offset: touch::offset(now),
            held: false,
            facts: Memory::new(opening.facts),
            stores: BTreeMap::new(),
            grants: Grants::default(),
            batch: BTreeSet::new(),
            signed_out: BTreeSet::new(),
            flights: Flights::default(),
            spares: Spares::default(),
            sign_ins: BTreeMap::new(),
            sign_in_means: opening.sign_in_means,
            sign_outs: BTreeMap::new(),
            reviews: BTreeMap::new(),
            relooks: Relooks::default(),
            unreadable: Unreadable::default(),
            notices: BTreeMap::new(),
            pending: Tickets::default(),
            effects: VecDeque::new(),
            last_ticket: 0,
            last_flight: 0,
            last_sign_in: 0,
        };
        keeper.rename_stores();
        keeper.take_up_journal(opening.journal);
        keeper.forget_tomorrows_writes();
        keeper.forget_tomorrows_losses();
        keeper
    }

    /// Earlier versions called some stores otherwise: what they remembered is about the same ones.
    fn rename_stores(&mut self) {
        for store in self.infos.keys() {
            let earlier = store.before_encoding();
            if let Some(earlier) = earlier.filter(|earlier| !self.infos.contains_key(earlier)) {
                self.facts.rename_store(&earlier, store);
            }
        }
    }

    /// Takes in what happened. Effects, wake and snapshot may all have changed afterwards.
    pub fn handle(&mut self, input: Input, now: Now) {
        #[cfg(test)]
        let thorough = tests::thorough(self, &input, now);
        self.take_in(input, now);
        #[cfg(test)]
        thorough.is_matched_by(self);
    }

    fn take_in(&mut self, input: Input, now: Now) {
        self.tell_time(now, matches!(input, Input::Woke(_)));
        match input {
            Input::StoreSeen { store, seen } => self.see(&store, seen),
            Input::Act(action) => self.act(action),
            Input::Tick => {}
            Input::Woke(why) => self.woke(why),
            Input::FallingAsleep => self.asleep_until = Some(now.boot + ASLEEP_AT_MOST),
            Input::Network(up) => {
                if self.network.replace(up) != Some(up) {
                    self.grants.touch_all();
                }
            }
            Input::Stopping => {
                self.stopping = true;
                self.facts.offer_at_once(now.boot);
                self.try_the_journal_again();
            }
            Input::JournalOpened(records) => self.journal_opened(records),
            Input::CalledBack(door, query) => self.called_back(door, &query),
            Input::Done(ticket, outcome) => self.done(ticket, outcome),
            // Offered again later; until then the journal keeps what says the same.
            Input::RememberFailed(_) => self.facts.not_kept(now.boot),
        }
        self.end_sign_ins();
        self.plan_sign_outs();
        self.touch_by_clock();
        self.plan();
        self.plan_verdicts();
        self.tell_notices();
        self.note_moments();
        self.remember();
    }

    /// The next thing asked of the world.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether anything is in the air or was asked for and is not settled. Later looks at what was
    /// saved do not count, nor what belongs to a store that this process does not look at: the journal
    /// holds them for another run.
    pub fn is_busy(&self) -> bool {
        !self.flights.is_empty()
            || !self.pending.is_empty()
            || !self.effects.is_empty()
            || self.grants.asked().next().is_some()
            || self.owes_within_reach()
            || self.holds_unsaved()
            || !self.sign_ins.is_empty()
            || !self.sign_outs.is_empty()
    }

    /// Whether nothing that was asked for this grant is still open.
    pub fn is_settled(&self, id: &GrantId) -> bool {
        let signing_in = self.sign_ins.values().any(|running| running.is_for(id));
        let signing_out = self.sign_outs.values().any(|leaving| leaving.is_for(id));
        !signing_in
            && !signing_out
            && !self.is_looking_first_for(id)
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

    /// Whether the journal holds new tokens that are still to be saved, or to be looked at once more.
    pub fn leaves_records(&self) -> bool {
        self.spares.all().any(|spare| spare.record.stage.tokens().is_some())
    }

    /// Whether new tokens exist only in this process's memory and are worth waiting for. An answer that
    /// can't be read has no way out but the journal, and is waited for while that was tried a few times only.
    pub fn holds_unsaved(&self) -> bool {
        self.flights.values().any(Flight::holds_unsaved)
            || self.spares.only_here().any(Spare::is_hopeful)
    }

    /// How many answers, and new tokens, exist only in this process's memory.
    pub fn only_in_memory(&self) -> usize {
        self.spares.only_here().count()
    }

    /// Whether nothing new may start: the process ends, or the machine falls asleep.
    fn holds_back(&self) -> bool {
        self.stopping || self.asleep_until.is_some_and(|until| self.now.boot < until)
    }

    fn done(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(pending) = self.pending.remove(ticket) else {
            return;
        };
        self.touch_asked(&pending);
        match pending {
            Pending::Flight(flight) => self.advance(flight, outcome),
            Pending::Look(records) => self.looked(&records, outcome),
            Pending::LookFirst => self.looked_first(ticket, outcome),
            Pending::Forget | Pending::Revoke => {}
            Pending::Rewrite(record) => self.rewritten(&record, &outcome),
            Pending::Keep(record) => self.kept(&record, &outcome),
            Pending::ProbeSpare(record) => self.spare_probed(&record, &outcome),
            Pending::Withdraw(store, server) => self.withdrawn(store, server, outcome),
            Pending::SignIn(id) => self.sign_in_done(id, outcome),
            Pending::SignOut(target) => self.revoked(&target, &outcome),
            Pending::Review(target) => self.reviewed(target, &outcome),
            Pending::Probe(asked) => self.probed(&asked, outcome),
        }
    }

    fn act(&mut self, action: Action) {
        if !self.looks_first(&action) {
            self.act_now(action);
        }
    }

    fn act_now(&mut self, action: Action) {
        match action {
            Action::Renew(id) => {
                if let Some(target) = self.target_of(&id) {
                    self.ask(&target, grant::Asked::Now);
                }
            }
            Action::RenewDue => {
                let all = self.grants.iter().map(|(target, _)| target.clone());
                let all: Vec<_> = all.filter(|target| !self.is_visited(&target.store)).collect();
                for target in all {
                    self.ask(&target, grant::Asked::IfDue);
                }
            }
            // That was done, where there was a reason to.
            Action::Look => {}
            Action::Check(id) => {
                if let Some(target) = self.target_of(&id) {
                    self.probe(&target, probing::Why::Asked);
                }
            }
            Action::Pause(id) => self.set_paused(&id, true),
            Action::Resume(id) => self.set_paused(&id, false),
            Action::Review(id) => self.review(&id),
            Action::Trust(wish) => self.trust(&wish),
            Action::Reconnect(wish) => self.reconnect(&wish),
            Action::AnotherWay(id) => self.another_way(&id),
            Action::CancelSignIn(id) => self.cancel_sign_in(&id),
            Action::SignOut(wish) => self.sign_out(&wish),
        }
    }

    fn ask(&mut self, target: &Target, asked: grant::Asked) {
        self.grants.set_asked(target, asked);
        if let Some(grant) = self.grants.get_mut(target) {
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

    /// The next search may pin what the person was shown, and nothing else: another host that answers
    /// by then is shown again.
    fn trust(&mut self, wish: &Trusted) {
        let id = &wish.grant;
        let Some(target) = self.target_of(id).or_else(|| self.configured_target(id)) else {
            return;
        };
        let moved = self.grants.get(&target).and_then(|grant| self.moved_record(&target, grant));
        if moved.is_some_and(|moved| harmless::answer(&moved.now) == wish.now) {
            self.note_recorded_anew(&target);
        }
        let facts = self.facts_mut(&target);
        facts.metadata = None;
        if !facts.trusted.contains(&wish.now) {
            facts.trusted.push(wish.now.clone());
        }
        if let Some(seen) = facts.seen_issuer.take_if(|seen| *seen == wish.now) {
            facts.confirmed_issuer = Some(seen);
        }
        if let Some(grant) = self.grants.get_mut(&target) {
            grant.failure = None;
            grant.wait_until = None;
        }
    }

    /// Backoffs are over, but for those that this says nothing about. What is due starts spread over a
    /// few seconds: after a sleep that is everything at once.
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
            if grant.failure.as_ref().is_some_and(|failure| failure.outlasts(why)) {
                continue;
            }
            grant.attempts = 0;
            let spread = schedule::spread(self.seed, grant.id.as_str(), 1);
            let wait = schedule::scaled(SPREAD_AFTER_WAKE, spread);
            grant.wait_until = spread_out.then(|| self.now.boot + wait);
        }
        for id in self.spares.ids() {
            self.spares.edit(&id, |spare| spare.wait_until = None);
        }
        self.look_at_unreadable();
        if why != WokeWhy::ClockStepped {
            self.want_probes_after_wake();
        }
    }

    fn target_of(&self, id: &GrantId) -> Option<Target> {
        self.grants.named(id).map(|target| Target::clone(target))
    }

    fn facts_of(&self, target: &Target) -> &GrantFacts {
        self.facts.of(target)
    }

    fn facts_mut(&mut self, target: &Target) -> &mut GrantFacts {
        self.grants.touch(target);
        self.facts.of_mut(target)
    }

    /// Whether the last look at this store went well.
    fn is_readable(&self, store: &StoreId) -> bool {
        matches!(self.stores.get(store), Some(Ok(view)) if view.is_there())
    }

    fn edit_store_facts(&mut self, store: &StoreId, edit: impl FnOnce(&mut StoreFacts)) {
        if self.facts.edit_store(store, edit) {
            self.touch_store(store);
        }
    }

    fn remember(&mut self) {
        let change = self.facts.take_change(self.now.boot);
        if let Some(change) = change.filter(|_| self.mode != Mode::WatchOnly) {
            self.effects.push_back(Effect::Remember { change });
        }
    }

    /// Whose server is asked about, by this ticket.
    fn touch_asked(&mut self, pending: &Pending) {
        match pending {
            Pending::Probe(probing::Probe { target, .. })
            | Pending::SignOut(target)
            | Pending::Review(target) => {
                self.grants.touch(target);
            }
            Pending::Withdraw(store, server) => self.touch_server(store, server),
            Pending::SignIn(id) => self.touch_sign_in(*id),
            Pending::Flight(_)
            | Pending::Look(_)
            | Pending::LookFirst
            | Pending::Forget
            | Pending::Rewrite(_)
            | Pending::Keep(_)
            | Pending::Revoke
            | Pending::ProbeSpare(_) => {}
        }
    }

    fn tell(&mut self, event: Event) {
        self.effects.push_back(Effect::Tell { event: event.harmless() });
    }

    fn ticket(&mut self, pending: Pending) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.touch_asked(&pending);
        self.pending.insert(ticket, pending);
        ticket
    }
}
