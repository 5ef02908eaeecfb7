//! One refresh in the air: Lock, Read, Intent, Send, Journal, Write, `ReadBack`, Unlock.
//!
//! Discovery comes before the lock, never inside. Every step is answered once; what comes out of
//! turn is a fault of the engine and ends the flight without losing anything. It must never send
//! without a durable intent, and never let go of new tokens that are nowhere else.
//!
//! Read next: `endpoint` for where a token may go, `answer` for what the server's answer means,
//! `saving` for what happens to new tokens, `apart` for stores that can't be read, `removing` for a sign-out's steps, `overtaken` for a
//! journal that opens meanwhile, `landing` for how a flight ends.

mod answer;
mod apart;
mod endpoint;
mod landing;
mod overtaken;
mod removing;
mod saving;

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use super::{
    Effect, Event, Failure, Keeper, Outcome, Pending, SendFault, grant::Standing,
    spare::GivenBackAt,
};
use crate::{
    http::{self, Request},
    ids::{FlightId, GrantId, RecordId, StoreId, Target, Ticket, TokenMark},
    journal::{Record, Stage},
    oauth::{
        auth_method::AuthMethod, discovery::Discovery, metadata::ServerMetadata, pin::Pin, scopes,
        token::Refresh, url::host,
    },
    store::{Entry, StoreFault, StoreView, TokenPair},
    time::{Boot, Millis},
};

pub(super) use removing::SigningOut;

/// A refresh token whose answer was lost is presented once more only this soon after the first time.
const AGAIN_WITHIN: Millis = Millis::seconds(8);

/// What one look at several stores found.
type Views = Vec<(StoreId, Result<StoreView, StoreFault>)>;

/// Where a flight stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Discovering(Discovery),
    Locking,
    Reading,
    Intending,
    Sending,
    /// An answer that could not be read is being kept; then the token is presented again or not.
    KeepingRaw(Failure),
    Journaling,
    /// That an entry is about to be made is being written down.
    Announcing(VecDeque<(Target, TokenPair)>),
    Writing {
        at: Target,
        left: VecDeque<(Target, TokenPair)>,
    },
    /// The entry is being removed, for a sign-out.
    Removing,
    ReadingBack,
    Marking,
    Forgetting,
    Unlocking,
}

/// How a flight ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// New tokens are in the store.
    Saved,
    /// The entry changed and is good: somebody else did it.
    Adopted,
    /// The user signed out meanwhile.
    SignedOut,
    /// The machine falls asleep or the process ends: nothing was sent, and it starts anew later.
    PutOff,
    /// A journal that opened meanwhile speaks against it: nothing was sent, and it is planned anew.
    Overtaken,
    /// Something of ours kept it from being sent; no blame on anyone.
    Failed(Failure),
}

/// One refresh in the air, or the saving of tokens that one brought.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub id: FlightId,
    /// Every entry that holds the token, in lock order. The first one's client and server are used.
    pub targets: Vec<Target>,
    pub step: Step,
    pub work: Work,
    pub ending: Option<Ending>,
    /// Which entries were written, for the telling.
    pub saved: Vec<Target>,
    /// Entries that could not be read or written, and why: the others go on without them.
    pub left_out: Vec<(Target, StoreFault)>,
    /// Entries that were emptied, or got older tokens back, while the answer was on its way: one for each time.
    pub overwritten: Vec<Target>,
    /// The journal could not take the new tokens, or the answer as it came: they exist only here.
    pub only_here: bool,
    /// The tokens stand in another entry already, and are copied to one that holds a spent token.
    pub for_copy: bool,
    /// The journal was opened since this began, and nothing was sent: what it says may speak against
    /// sending.
    pub journal_opened: bool,
    /// The first entry as it was when the token was presented: its answer is read, and its tokens are
    /// given back, though it may be gone by then.
    pub lead: Option<Entry>,
    /// Where they are given back.
    pub given_back_at: Option<GivenBackAt>,
}

/// What a flight is for.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there are never many flights at once")]
pub(super) enum Work {
    /// Present a refresh token.
    Refresh(Box<Presenting>),
    /// Put tokens we hold where they belong.
    Save { record: Record, restoring: bool },
    /// Take an entry away, for a person who signs out.
    SignOut(Box<SigningOut>),
}

/// What is needed to present a refresh token.
#[derive(Debug, Clone)]
pub(super) struct Presenting {
    pub asked_at: Option<TokenPair>,
    pub metadata: Option<ServerMetadata>,
    pub pin: Option<Pin>,
    pub method: Option<AuthMethod>,
    pub tried_other_method: bool,
    pub tried_other_resource: bool,
    pub record: Option<Record>,
    pub request: Option<Request>,
    pub first_sent: Option<Boot>,
    pub sent_again: bool,
}

impl Flight {
    pub(super) fn holds_unsaved(&self) -> bool {
        self.only_here || (matches!(self.step, Step::Journaling) && !self.for_copy)
    }

    /// Whether `pair` is one that this flight replaces or brings.
    pub(super) fn knows(&self, target: &Target, pair: &TokenPair) -> bool {
        self.record().is_some_and(|record| {
            let replaced = record.replaced.iter().any(|(t, p)| t == target && p == pair);
            replaced || record.stage.tokens().is_some_and(|tokens| tokens.pair() == *pair)
        })
    }

    pub(super) fn record(&self) -> Option<&Record> {
        match &self.work {
            Work::Refresh(presenting) => presenting.record.as_ref(),
            Work::Save { record, .. } => Some(record),
            Work::SignOut(_) => None,
        }
    }

    /// Whether it presents the refresh token of this mark, or waits for the answer.
    pub(super) fn presents(&self, mark: TokenMark) -> bool {
        matches!(self.work, Work::Refresh(_)) && self.record().is_some_and(|r| r.mark == mark)
    }

    pub(super) fn stores(&self) -> Vec<StoreId> {
        let mut stores: Vec<StoreId> = self.targets.iter().map(|t| t.store.clone()).collect();
        stores.dedup();
        stores
    }
}

impl Keeper {
    /// Starts a refresh of this grant and of every other that holds the same token.
    pub(super) fn start_refresh(&mut self, target: &Target) {
        let targets = self.sharing(target);
        let asked_at = self.grants.get(target).map(|g| g.entry.pair.clone());
        let presenting = Presenting {
            asked_at,
            metadata: None,
            pin: None,
            method: None,
            tried_other_method: false,
            tried_other_resource: false,
            record: None,
            request: None,
            first_sent: None,
            sent_again: false,
        };
        let flight = self.new_flight(targets, Work::Refresh(Box::new(presenting)));
        for target in &flight.targets {
            self.set_flight(target, Some(flight.id));
        }
        for id in self.ids(&flight.targets) {
            self.tell(Event::Renewing { grant: id });
        }
        self.find_endpoint(flight);
    }

    /// The entries that hold the same refresh token of the same client with the same secret, and may be
    /// renewed. One whose client has another secret is asked by itself, and given what another brings.
    fn sharing(&self, target: &Target) -> Vec<Target> {
        let Some(first) = self.grants.get(target) else {
            return Vec::new();
        };
        let Some(mark) = first.refresh_mark else {
            return Vec::from([target.clone()]);
        };
        let client = first.entry.client.as_ref().map(|client| &client.id);
        let same = self.grants.holding(mark).filter(|other| {
            let shares = self.grants.get(other).is_some_and(|grant| {
                grant.flight.is_none()
                    && client == grant.entry.client.as_ref().map(|client| &client.id)
                    && first.client_secret_mark == grant.client_secret_mark
                    && self.standing(other, grant) == Standing::Renewable
                    && self.is_readable(&other.store)
                    && !self.waits_for_its_store(grant)
            });
            ***other == *target || shares
        });
        same.map(|other| Target::clone(other)).collect()
    }

    pub(super) fn new_flight(&mut self, targets: Vec<Target>, work: Work) -> Flight {
        self.last_flight += 1;
        let id = FlightId(self.last_flight);
        let lead = targets.first().cloned();
        let given_back_at = lead.as_ref().and_then(|t| GivenBackAt::by(self.facts_of(t)));
        Flight {
            id,
            step: Step::Locking,
            work,
            ending: None,
            saved: Vec::new(),
            left_out: Vec::new(),
            overwritten: Vec::new(),
            only_here: false,
            for_copy: false,
            journal_opened: false,
            lead: lead.and_then(|target| Some(self.grants.get(&target)?.entry.clone())),
            given_back_at,
            targets,
        }
    }

    /// Puts a flight on its next step and asks the world for it.
    pub(super) fn go(
        &mut self,
        mut flight: Flight,
        step: Step,
        effect: impl FnOnce(Ticket, &Flight) -> Effect,
    ) {
        flight.step = step;
        let ticket = self.ticket(Pending::Flight(flight.id));
        self.effects.push_back(effect(ticket, &flight));
        for store in flight.stores() {
            self.touch_if_on_probation(&store);
        }
        self.flights.insert(flight);
    }

    /// A step was answered.
    pub(super) fn advance(&mut self, id: FlightId, outcome: Outcome) {
        let Some(mut flight) = self.flights.remove(id) else {
            return;
        };
        for store in flight.stores() {
            self.touch_if_on_probation(&store);
        }
        let step = core::mem::replace(&mut flight.step, Step::Unlocking);
        match (step, outcome) {
            (Step::Discovering(search), Outcome::Fetched(answer)) => {
                self.found_endpoint(flight, search, answer);
            }
            (Step::Locking, Outcome::Locked(Ok(()))) => self.read_under_lock(flight),
            (Step::Locking, Outcome::Locked(Err((store, fault)))) => {
                self.not_locked(flight, &store, fault);
            }
            (Step::Reading, Outcome::Read(views)) => self.read(flight, views),
            (Step::Intending, Outcome::Kept(Ok(()))) => self.send_unless_overtaken(flight),
            (Step::Intending, Outcome::Kept(Err(fault))) => {
                self.unlock(flight, Ending::Failed(Failure::Journal(fault)));
            }
            (Step::Sending, Outcome::Answered(answer)) => self.answered(flight, answer),
            (Step::KeepingRaw(failure), Outcome::Kept(kept)) => {
                flight.only_here = kept.is_err();
                self.again_or_lost(flight, failure);
            }
            (Step::Journaling, Outcome::Kept(kept)) => self.journaled(flight, kept),
            (Step::Announcing(left), Outcome::Kept(_)) => self.write_next(flight, left),
            (Step::Writing { at, left }, Outcome::Wrote(wrote)) => {
                self.wrote(flight, &at, left, wrote);
            }
            (Step::Removing, Outcome::Wrote(wrote)) => self.removed(flight, wrote),
            (Step::ReadingBack, Outcome::Read(views)) => self.read_back(flight, views),
            (Step::Marking, Outcome::Kept(kept)) => self.marked(flight, kept),
            (Step::Forgetting, Outcome::Kept(_)) => self.let_go(flight),
            (Step::Unlocking, _) => self.landed(flight),
            // The engine answered another question than was asked: nothing can be concluded.
            (_, _) => {
                let fault = StoreFault::Io {
                    place: "lamplighter".into(),
                    what: "an answer came out of turn".into(),
                };
                self.unlock(flight, Ending::Failed(Failure::Store(fault)));
            }
        }
    }

    pub(super) fn take_lock(&mut self, flight: Flight) {
        let makes = flight.targets.iter().any(|target| self.makes(&flight, &target.store));
        self.go(flight, Step::Locking, |ticket, flight| Effect::Lock {
            ticket,
            flight: flight.id,
            targets: flight.targets.clone(),
            makes,
        });
    }

    fn read_under_lock(&mut self, flight: Flight) {
        self.go(flight, Step::Reading, |ticket, flight| Effect::Read {
            ticket,
            flight: Some(flight.id),
            stores: flight.stores(),
        });
    }

    /// Look again before spending.
    fn read(&mut self, mut flight: Flight, views: Views) {
        let lead = flight.targets.first().cloned();
        if let Some(fault) = self.leave_unreadable_out(&mut flight, views) {
            return self.unlock(flight, Ending::Failed(Failure::Store(fault)));
        }
        if matches!(flight.work, Work::Refresh(_)) && flight.targets.first() != lead.as_ref() {
            // It was the one whose client and metadata were to be used: the rest begins anew.
            return self.unlock(flight, Ending::Overtaken);
        }
        match flight.work.clone() {
            Work::Save { record, .. } => self.save_where_it_belongs(flight, &record),
            Work::SignOut(_) => self.remove_entry(flight),
            Work::Refresh(presenting) => {
                flight.targets.retain(|target| self.grants.contains(target));
                self.present_or_adopt(flight, presenting);
            }
        }
    }

    fn present_or_adopt(&mut self, mut flight: Flight, mut presenting: Box<Presenting>) {
        let known = |t: &Target| Some((t.clone(), self.grants.get(t)?));
        let Some((target, grant)) = flight.targets.iter().find_map(known) else {
            return self.unlock(flight, Ending::SignedOut);
        };
        let standing = self.standing(&target, grant);
        let changed = presenting.asked_at.as_ref() != Some(&grant.entry.pair);
        let due = self.due(&target, grant) <= self.now.wall;
        if standing != Standing::Renewable || (changed && !due) {
            return self.unlock(flight, Ending::Adopted);
        }
        if self.holds_back() && presenting.record.is_none() {
            return self.unlock(flight, Ending::PutOff);
        }
        let for_another = grant
            .refresh_mark
            .is_some_and(|mark| self.is_in_the_air_for_another(mark, Some(flight.id)));
        // A copy that was seen since the flight began has a part in it, with its own lock.
        let copies = if presenting.record.is_none() { self.sharing(&target) } else { Vec::new() };
        let has_copies = copies.iter().any(|copy| !flight.targets.contains(copy));
        // The client may have written another token meanwhile, whose own answer was lost elsewhere.
        let holders = flight.targets.iter().filter_map(|t| Some((t, self.grants.get(t)?)));
        let mut holders = holders.filter(|(_, g)| g.refresh_mark == grant.refresh_mark);
        let waits = presenting.record.is_none()
            && holders.all(|(holder, grant)| self.waits_after_lost(holder, grant).is_some());
        if for_another || has_copies || waits || self.is_overtaken(&flight) {
            return self.unlock(flight, Ending::Overtaken);
        }
        let entry = grant.entry.clone();
        let (Some(token), Some(client), Some(metadata)) =
            (entry.pair.refresh.clone(), entry.client.clone(), presenting.metadata.clone())
        else {
            return self.unlock(flight, Ending::Adopted);
        };
        // Entries that meanwhile hold another token have a life of their own.
        let (kept, parted): (Vec<Target>, Vec<Target>) =
            flight.targets.iter().cloned().partition(|t| {
                let other = self.grants.get(t).and_then(|g| g.entry.pair.refresh.as_ref());
                other == Some(&token)
            });
        for target in &parted {
            self.set_flight(target, None);
        }
        flight.targets = kept;
        flight.lead = Some(entry.clone());
        let profile = self.profiles.of(&entry.server_url).1;
        let facts = self.facts_of(&target);
        let method = presenting.method.unwrap_or_else(|| {
            let own = facts.registration.as_ref().filter(|kept| kept.client_id == client.id);
            own.and_then(|kept| AuthMethod::named(&kept.method)).unwrap_or_else(|| {
                AuthMethod::of_given(&client, &metadata.token_auth_methods, profile)
            })
        });
        let by_default = profile.send_resource != Some(false);
        let named = facts.resource.clone().unwrap_or_else(|| entry.server_url.clone());
        let resource = (by_default != presenting.tried_other_resource).then_some(named.as_str());
        let scope = scopes::at_refresh(entry.scope.as_deref(), profile);
        let request = Refresh {
            endpoint: &metadata.token_endpoint,
            client: &client,
            method,
            token: &token,
            resource,
            scope: scope.as_deref(),
            on_behalf_of: &entry.server_url,
        }
        .request();
        let request = match request {
            Ok(request) => request,
            Err(fault) => return self.unlock(flight, Ending::Failed(Failure::BadEndpoint(fault))),
        };
        presenting.method = Some(method);
        presenting.request = Some(request);
        let mark = TokenMark::of(&self.mark_key, &token);
        if let Some(record) = &presenting.record {
            if record.mark != mark {
                // The client wrote another one meanwhile: nothing is presented without its own intent.
                return self.unlock(flight, Ending::Adopted);
            }
            // The intent of this very token is durable already: another form of the same request.
            flight.work = Work::Refresh(presenting);
            return self.send(flight);
        }
        let record = Record {
            id: self.record_id(mark),
            at: self.now.wall,
            replaced: self.replaced(&flight.targets),
            client_id: client.id,
            mark,
            stage: Stage::Intent,
            enrolment: None,
            written_over: None,
        };
        presenting.record = Some(record.clone());
        flight.work = Work::Refresh(presenting);
        self.go(flight, Step::Intending, |ticket, _| Effect::Intent { ticket, record });
    }

    fn replaced(&self, targets: &[Target]) -> Vec<(Target, TokenPair)> {
        let pairs = targets.iter().filter_map(|target| {
            Some((target.clone(), self.grants.get(target)?.entry.pair.clone()))
        });
        pairs.collect()
    }

    pub(in crate::keeper) fn record_id(&self, mark: TokenMark) -> RecordId {
        let mark = crate::hex::hex(&mark.0[..4]);
        RecordId(alloc::format!("{}-{mark}-{}", self.now.wall.0, self.last_ticket))
    }

    /// Presents the token. The engine checks the lock once more, and never cancels what it started.
    fn send(&mut self, mut flight: Flight) {
        let now = self.now.boot;
        let Work::Refresh(presenting) = &mut flight.work else {
            return self.let_go(flight);
        };
        presenting.first_sent.get_or_insert(now);
        let Some(request) = presenting.request.clone() else {
            return self.let_go(flight);
        };
        self.go(flight, Step::Sending, |ticket, flight| Effect::Send {
            ticket,
            flight: flight.id,
            request,
        });
    }

    /// The entry whose client, server and metadata are used.
    fn lead(&self, flight: &Flight) -> Option<(crate::facts::GrantFacts, Entry)> {
        let target = flight.targets.first()?;
        Some((self.facts_of(target).clone(), self.grants.get(target)?.entry.clone()))
    }

    pub(super) fn ids(&self, targets: &[Target]) -> Vec<GrantId> {
        targets.iter().filter_map(|t| Some(self.grants.get(t)?.id.clone())).collect()
    }

    /// The answer never came, or could not be read twice: the token may be spent.
    fn lost(&mut self, flight: Flight, failure: Failure) {
        let Work::Refresh(presenting) = &flight.work else {
            return self.let_go(flight);
        };
        if let Some(record) = presenting.record.clone() {
            self.note_lost(record.mark, self.now.wall);
            let heirs = self.heirs(&record, &flight.targets);
            if heirs.is_empty() || flight.targets.iter().any(|t| self.grants.contains(t)) {
                self.keep_lost(record, flight.only_here);
            } else {
                self.readdress(record, heirs);
            }
        }
        self.unlock(flight, Ending::Failed(failure));
    }
}

fn send_failure(flight: &Flight, fault: SendFault) -> Failure {
    match (fault, &flight.work) {
        (SendFault::LockLost(fault), _) => Failure::Store(fault),
        (SendFault::Http(http::Fault::PrivateAddress), Work::Refresh(presenting)) => {
            let endpoint = presenting.metadata.as_ref().map(|found| host(&found.token_endpoint));
            Failure::PrivateAddress(endpoint.unwrap_or_default())
        }
        (SendFault::Http(fault), _) => Failure::NotSent(fault),
    }
}
