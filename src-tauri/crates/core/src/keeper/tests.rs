//! The keeper against a simulated world: stores, a journal and a server that can misbehave, in
//! virtual time.

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "a test picks the one event it is about, and its helpers take the form of what they stand for"
)]

mod stand_by;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

mod asking;
mod client;
mod configured;
mod copies;
mod journal;
mod lost;
mod meanwhile;
mod overlapping;
mod plain_http;
mod private_address;
mod recorded;
mod refused_access;
mod reviewing;
mod signing;
mod signing_out;
mod thorough;
mod unreadable;
mod visiting;
mod waking;
mod written_back;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proptest::prelude::*;
pub(super) use thorough::thorough;
use zeroize::Zeroizing;

use super::*;
use crate::{
    facts::Facts,
    http::{Answer, Fault, PlainHttp},
    ids::EntryKey,
    journal::Record,
    notice::NoticeCode,
    secret::Secret,
    store::{
        AuthVerdict, ClientCredentials, ClientFrom, ConfiguredServer, Entry, NO_FILE, SignInConfig,
        TokenPair, Wiper, Written,
    },
    time::{Millis, Wall},
};

const MINUTE: u64 = 60_000;
const STORE: &str = "claude-code";
const OTHER: &str = "claude-code@~/.claude-work";

/// What the server does with one token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// Nothing reached it.
    Unreachable,
    /// It acted, and the answer was cut.
    CutAfter,
    /// It did not act, and the connection was cut.
    CutBefore,
    /// It acted, and something in between answered with a page.
    HtmlAfter,
    Busy,
    Broken,
    InvalidGrant,
    InvalidClient,
    InvalidRequest,
    InvalidTarget,
}

/// An authorization server with rotation, strict about reuse.
#[derive(Debug, Clone)]
struct Server {
    count: u32,
    life_seconds: Option<u64>,
    live: BTreeSet<String>,
    spent: BTreeSet<String>,
    /// Families that a reuse has killed.
    dead: bool,
    /// The previous token stays good for one more presentation.
    grace: bool,
    weather: VecDeque<Weather>,
    presented: Vec<(Boot, String)>,
    /// The clients that presented them.
    presented_as: Vec<String>,
    revoked: Vec<String>,
    /// The clients that gave them back.
    revoked_for: Vec<String>,
    revokes_at: &'static str,
    moved_to: Option<&'static str>,
    /// What a busy server asks for.
    retry_after: Option<Millis>,
    /// What its metadata is answered with in place of itself; 503 with `retry_after`.
    documents_status: Option<u16>,
    /// Which of its hosts lead to a private address.
    private: &'static [&'static str],
    /// A client secret that it does not take.
    wrong_secret: Option<&'static str>,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may be so in a world")]
struct World {
    now: Now,
    entries: BTreeMap<EntryKey, Entry>,
    /// What other config folders of the client hold.
    others: BTreeMap<StoreId, BTreeMap<EntryKey, Entry>>,
    /// Stores that can't be read or written now, and why.
    faults: BTreeMap<StoreId, StoreFault>,
    /// Stores whose refresh locks can't be taken now, and why.
    no_locks: BTreeMap<StoreId, StoreFault>,
    /// Whether the usual store's file is there.
    sign_ins: crate::store::SignIns,
    /// When stores were looked at outside a flight.
    looks: Vec<Boot>,
    verdicts: Vec<AuthVerdict>,
    server: Server,
    journal: BTreeMap<RecordId, Record>,
    facts: Facts,
    events: Vec<Event>,
    lock_faults: VecDeque<StoreFault>,
    write_faults: VecDeque<StoreFault>,
    journal_broken: bool,
    /// Facts can't be kept.
    state_broken: bool,
    /// How often the store was written.
    written: u64,
    /// Which version that was before a write that changed nothing.
    written_before: Option<u64>,
    accepts_probe: bool,
    /// Servers answer no probe.
    no_probe: bool,
    /// Access tokens that the server no longer takes.
    refused: BTreeSet<String>,
    /// Answers of the token endpoint that come in place of a success, as they are.
    bodies: VecDeque<&'static [u8]>,
    mode: Mode,
    probes: bool,
    scheme_served: bool,
    /// It registers no scopes of the servers it protects.
    knows_own_scopes_only: bool,
    /// Ports that somebody else has.
    taken: BTreeSet<u16>,
    /// The redirect URIs that codes were exchanged with.
    exchanged_with: Vec<String>,
    /// How many clients were registered.
    registrations: usize,
    invitations: Vec<crate::signin::Invitation>,
    pages: Vec<crate::signin::Page>,
    /// Performed before the process ends, if it does.
    steps_left: Option<usize>,
    /// The user or the client acts while a request is out.
    during_send: Option<fn(&mut World)>,
    /// The same while an entry is being removed.
    during_remove: Option<fn(&mut World)>,
    /// Flights that hold locks.
    locked: BTreeSet<FlightId>,
    revoked_under_a_lock: bool,
    /// Refresh tokens whose success was written down: never to be presented again.
    known_spent: BTreeSet<String>,
    /// The newest refresh token that reached the keeper, until somebody newer stands in the store.
    received: Option<String>,
    /// A client at work that wipes what it meets renewed.
    wiper: Option<Wiper>,
    /// A configuration names a document at a foreign host for every server.
    configured: bool,
    /// The issuer that this document claims to be.
    evil_claims: &'static str,
    /// Whom the user lets in without TLS.
    plain_http: PlainHttp,
    /// Laid over the shipped profiles.
    profiles: &'static str,
}

fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text))
}

fn entry(name: &str, access: &str, refresh: &str, expires_at: i64) -> Entry {
    Entry {
        key: EntryKey(format!("{name}|0")),
        server_name: name.into(),
        server_url: "https://mcp.example/mcp".into(),
        pair: TokenPair {
            access: secret(access),
            refresh: secret(refresh),
            expires_at: Some(Wall(expires_at)),
        },
        scope: Some("read".into()),
        client: Some(ClientCredentials { id: "cl".into(), secret: None }),
        client_from: ClientFrom::Entry,
        configured_secret: None,
        issuer: None,
        authorization_server: Some("https://as.example".into()),
        metadata_url: None,
        redirect_uri: None,
        sign_in: SignInConfig::default(),
        left_alone: None,
    }
}

impl World {
    fn new() -> Self {
        let now = Now { wall: Wall(1_800_000_000_000), boot: Boot(1_000_000) };
        let mut world = Self {
            now,
            entries: BTreeMap::new(),
            others: BTreeMap::new(),
            faults: BTreeMap::new(),
            no_locks: BTreeMap::new(),
            sign_ins: crate::store::SignIns::Read,
            looks: vec![],
            verdicts: vec![],
            server: Server {
                count: 0,
                life_seconds: Some(3_600),
                live: BTreeSet::from(["rt-0".into()]),
                spent: BTreeSet::new(),
                dead: false,
                grace: false,
                weather: VecDeque::new(),
                presented: vec![],
                presented_as: vec![],
                revoked: vec![],
                revoked_for: vec![],
                revokes_at: "https://as.example/revoke",
                moved_to: None,
                retry_after: None,
                documents_status: None,
                private: &[],
                wrong_secret: None,
            },
            journal: BTreeMap::new(),
            facts: Facts::default(),
            events: vec![],
            lock_faults: VecDeque::new(),
            write_faults: VecDeque::new(),
            journal_broken: false,
            state_broken: false,
            written: 1,
            written_before: None,
            accepts_probe: true,
            no_probe: false,
            refused: BTreeSet::new(),
            bodies: VecDeque::new(),
            mode: Mode::Keep,
            probes: true,
            scheme_served: false,
            knows_own_scopes_only: false,
            taken: BTreeSet::new(),
            exchanged_with: vec![],
            registrations: 0,
            invitations: vec![],
            pages: vec![],
            steps_left: None,
            during_send: None,
            during_remove: None,
            locked: BTreeSet::new(),
            revoked_under_a_lock: false,
            known_spent: BTreeSet::new(),
            received: None,
            wiper: None,
            configured: false,
            evil_claims: "https://evil.example",
            plain_http: PlainHttp::default(),
            profiles: "",
        };
        world.put(entry("slack", "at-0", "rt-0", now.wall.0 + 10 * 60_000));
        world
    }

    fn put(&mut self, entry: Entry) {
        self.entries.insert(entry.key.clone(), entry);
    }

    /// Every store that is looked at, the usual one first.
    fn stores(&self) -> Vec<StoreId> {
        core::iter::once(STORE.into()).chain(self.others.keys().cloned()).collect()
    }

    fn keeper(&self) -> Keeper {
        let info = |id: StoreId| StoreInfo {
            place: id.as_str().replace("claude-code", "~/.claude"),
            id,
            client: "Claude Code".into(),
            client_margin: Millis::minutes(5),
        };
        Keeper::new(
            Opening {
                stores: self.stores().into_iter().map(info).collect(),
                facts: self.facts.clone(),
                journal: self.journal.values().cloned().collect(),
                profiles: Profiles::with_overrides(self.profiles).unwrap(),
                mark_key: MarkKey([1; 32]),
                seed: 7,
                mode: self.mode,
                probes: self.probes,
                plain_http: self.plain_http.clone(),
                sign_in_means: SignInMeans {
                    scheme_served: self.scheme_served,
                    metadata_document: None,
                },
            },
            self.now,
        )
    }

    fn view(&self) -> StoreView {
        let is_there = self.sign_ins == crate::store::SignIns::Read;
        let entries = self.entries.values().filter(|_| is_there);
        StoreView {
            entries: entries.cloned().map(|entry| self.as_configured(entry)).collect(),
            sign_ins: self.sign_ins,
            verdicts: self.verdicts.clone(),
            wiper: self.wiper.clone(),
            version: Some(if is_there { self.written } else { NO_FILE }),
            version_before: self.written_before,
            ..StoreView::default()
        }
    }

    fn view_of(&self, store: &StoreId) -> Result<StoreView, StoreFault> {
        match (self.faults.get(store), self.others.get(store)) {
            (Some(fault), _) => Err(fault.clone()),
            (None, Some(other)) => {
                let entries = other.values().cloned().collect();
                Ok(StoreView { entries, ..StoreView::default() })
            }
            (None, None) => Ok(self.view()),
        }
    }

    fn seen(&self) -> Input {
        Input::StoreSeen { store: STORE.into(), seen: self.view_of(&STORE.into()) }
    }

    /// The keeper looks at every store, and acts as far as it can without time passing.
    fn look(&mut self, keeper: &mut Keeper) -> bool {
        for store in self.stores() {
            let seen = self.view_of(&store);
            keeper.handle(Input::StoreSeen { store, seen }, self.now);
        }
        self.settle(keeper)
    }

    /// A keeper that has looked at every store once.
    fn start(&mut self) -> Keeper {
        let mut keeper = self.keeper();
        self.look(&mut keeper);
        keeper
    }

    /// Performs effects until none is left; `false` if the process was ended on the way.
    fn settle(&mut self, keeper: &mut Keeper) -> bool {
        let mut guard = 0;
        while let Some(effect) = keeper.poll_effect() {
            guard += 1;
            assert!(guard < 500, "the keeper does not come to rest");
            if self.steps_left == Some(0) {
                return false;
            }
            self.steps_left = self.steps_left.map(|left| left - 1);
            if self.state_broken && matches!(effect, Effect::Remember { .. }) {
                keeper.handle(Input::RememberFailed(not_kept()), self.now);
                continue;
            }
            if let Some((ticket, outcome)) = self.perform(effect) {
                self.now.boot.0 += 5;
                self.now.wall.0 += 5;
                keeper.handle(Input::Done(ticket, outcome), self.now);
            }
        }
        true
    }

    /// Lets time pass, waking the keeper as it asks.
    fn pass(&mut self, keeper: &mut Keeper, span: u64) -> bool {
        let end = self.now.boot.0 + span;
        loop {
            let wake = keeper.poll_wake().filter(|wake| wake.at.0 <= end);
            let to = wake.map_or(end, |wake| {
                assert!(wake.at > self.now.boot, "a wake in the past: {wake:?}");
                wake.at.0
            });
            // Performing effects takes time of its own, so the end may have passed already.
            let step = to.saturating_sub(self.now.boot.0);
            self.now.boot.0 += step;
            self.now.wall = self.now.wall + Millis(step);
            keeper.handle(Input::Tick, self.now);
            if !self.settle(keeper) {
                return false;
            }
            if to >= end {
                return true;
            }
        }
    }

    /// How often the keeper asks to be woken within this time.
    fn wakes_in(&mut self, keeper: &mut Keeper, span: u64) -> usize {
        let end = self.now.boot.0 + span;
        let mut wakes = 0;
        while let Some(wake) = keeper.poll_wake().filter(|wake| wake.at.0 <= end && wakes < 1_000) {
            wakes += 1;
            let step = wake.at.0 - self.now.boot.0;
            self.now = Now { wall: self.now.wall + Millis(step), boot: wake.at };
            keeper.handle(Input::Tick, self.now);
            self.settle(keeper);
        }
        wakes
    }

    fn perform(&mut self, effect: Effect) -> Option<(Ticket, Outcome)> {
        Some(match effect {
            Effect::Lock { ticket, flight, targets, .. } => {
                let fault = self.lock_faults.pop_front().map(|fault| (STORE.into(), fault));
                let fault = fault.or_else(|| {
                    let mut stores = targets.iter().map(|target| &target.store);
                    stores.find_map(|s| Some((s.clone(), self.no_locks.get(s)?.clone())))
                });
                let locked = fault.map_or(Ok(()), Err);
                self.locked.extend(locked.is_ok().then_some(flight));
                (ticket, Outcome::Locked(locked))
            }
            Effect::Read { ticket, stores, .. } | Effect::ReadBack { ticket, stores, .. } => {
                self.looks.extend(self.locked.is_empty().then_some(self.now.boot));
                let views = stores.into_iter().map(|store| {
                    let seen = self.view_of(&store);
                    (store, seen)
                });
                (ticket, Outcome::Read(views.collect()))
            }
            Effect::Intent { ticket, record } | Effect::Journal { ticket, record } => {
                (ticket, Outcome::Kept(self.keep(record)))
            }
            Effect::Forget { ticket, records } => {
                for record in records {
                    self.journal.remove(&record);
                }
                (ticket, Outcome::Kept(Ok(())))
            }
            Effect::Send { ticket, request, .. } => {
                assert!(!request.url.contains("evil.example"), "a token went to {}", request.url);
                let reached = self.reach(&request.url);
                if self.server.wrong_secret.is_some_and(|wrong| is_sent_with(&request, wrong)) {
                    self.server.weather.push_front(Weather::InvalidClient);
                }
                let outcome = reached.and_then(|()| self.token_endpoint(&request.body));
                if let Some(act) = self.during_send.take() {
                    act(self);
                }
                (ticket, Outcome::Answered(outcome.map_err(SendFault::Http)))
            }
            Effect::Write { ticket, store, change, .. } => {
                self.make_store(&store, &change);
                let fault = self.write_fault(&store);
                (ticket, Outcome::Wrote(fault.map_or_else(|| Ok(self.write(&store, &change)), Err)))
            }
            Effect::Remove { ticket, store, key, expect, .. } => {
                let fault = self.write_fault(&store);
                let removed = fault.map_or_else(|| Ok(self.remove(&store, &key, &expect)), Err);
                (ticket, Outcome::Wrote(removed))
            }
            Effect::Unlock { ticket, flight } => {
                self.locked.remove(&flight);
                (ticket, Outcome::Unlocked)
            }
            Effect::Fetch { ticket, request } => {
                let answer = self.reach(&request.url).map(|()| self.metadata(&request));
                (ticket, Outcome::Fetched(answer))
            }
            Effect::Withdraw { ticket, server_name, at, .. } => {
                let before = self.verdicts.len();
                self.verdicts.retain(|v| v.server_name != server_name || v.at > at);
                (ticket, Outcome::Withdrawn(Ok(self.verdicts.len() < before)))
            }
            Effect::Probe { ticket, access, .. } => {
                let finding = if self.no_probe {
                    ProbeFinding::Unknown
                } else if self.accepts_probe && !self.refused.contains(access.expose()) {
                    ProbeFinding::Accepted(Some(3))
                } else {
                    ProbeFinding::Refused
                };
                (ticket, Outcome::Probed(finding))
            }
            Effect::Draw { ticket } => {
                let entropy = crate::oauth::authorize::Entropy::new(
                    [u8::try_from(self.invitations.len()).unwrap(); 64],
                );
                (ticket, Outcome::Drawn(entropy))
            }
            Effect::Listen { ticket, port, .. } => {
                let port = port.unwrap_or(50_000);
                let fault = |what: &str| crate::signin::PortFault { port, what: what.into() };
                let taken = self.taken.contains(&port);
                (ticket, Outcome::Listening(if taken { Err(fault("taken")) } else { Ok(port) }))
            }
            Effect::Invite { invitation, .. } => {
                assert!(
                    !invitation.url.expose().contains("//evil.example"),
                    "a page of a foreign host"
                );
                self.invitations.push(invitation);
                return None;
            }
            Effect::Show { page, .. } => {
                self.pages.push(page);
                return None;
            }
            Effect::Hush { .. } => return None,
            Effect::Remember { change } => {
                self.facts.apply(change);
                return None;
            }
            Effect::Tell { event } => {
                self.events.push(event);
                return None;
            }
        })
    }

    fn keep(&mut self, record: Record) -> Result<(), crate::journal::JournalFault> {
        if self.journal_broken {
            return Err(crate::journal::JournalFault {
                place: "journal".into(),
                what: "full".into(),
            });
        }
        if let Some(tokens) = record.stage.tokens() {
            let presented = record.replaced[0].1.refresh.as_ref();
            // A sign-in spends nothing: the old grant lives on at the server.
            if let Some(presented) = presented
                .filter(|p| record.enrolment.is_none() && Some(*p) != tokens.refresh.as_ref())
            {
                self.known_spent.insert(presented.expose().into());
            }
        }
        self.journal.insert(record.id.clone(), record);
        Ok(())
    }

    fn write_fault(&mut self, store: &StoreId) -> Option<StoreFault> {
        let place = || store.as_str().into();
        let is_away = store.as_str() == STORE && self.sign_ins != crate::store::SignIns::Read;
        let away = is_away.then(|| StoreFault::Absent { place: place() });
        self.faults.get(store).cloned().or(away).or_else(|| self.write_faults.pop_front())
    }

    /// A first sign-in makes the usual store where there is none, with nothing else in it.
    fn make_store(&mut self, store: &StoreId, change: &crate::store::Change) {
        let is_absent = matches!(self.faults.get(store), Some(StoreFault::Absent { .. }));
        let is_missing = self.sign_ins != crate::store::SignIns::Read;
        let is_first = change.enrolment.is_some() && change.expect == TokenPair::default();
        if is_first && store.as_str() == STORE && (is_absent || is_missing) {
            self.faults.remove(store);
            self.sign_ins = crate::store::SignIns::Read;
            self.entries.clear();
        }
    }

    fn held_in(&mut self, store: &StoreId) -> &mut BTreeMap<EntryKey, Entry> {
        self.others.get_mut(store).unwrap_or(&mut self.entries)
    }

    fn write(&mut self, store: &StoreId, change: &crate::store::Change) -> Written {
        let held = self.held_in(store);
        if let (Some(enrolment), None) = (&change.enrolment, held.get(&change.key)) {
            let mut made = entry(&enrolment.server_name, "", "", 0);
            (made.key, made.pair) = (change.key.clone(), TokenPair::default());
            held.insert(made.key.clone(), made);
        }
        let Some(entry) = held.get_mut(&change.key) else {
            return Written::Gone;
        };
        if entry.pair != change.expect {
            return Written::Conflict(entry.pair.clone());
        }
        entry.pair = change.new.pair();
        entry.scope.clone_from(&change.new.scope);
        if let Some(enrolment) = &change.enrolment {
            entry.client = Some(enrolment.client.clone());
            entry.client_from = ClientFrom::Entry;
            entry.redirect_uri = Some(enrolment.redirect_uri.clone());
            entry.issuer = Some(enrolment.issuer.clone());
        }
        self.written += 1;
        Written::Saved
    }

    fn remove(&mut self, store: &StoreId, key: &EntryKey, expect: &TokenPair) -> Written {
        if let Some(act) = self.during_remove.take() {
            act(self);
        }
        let held = self.held_in(store);
        match held.get(key) {
            None => return Written::Gone,
            Some(entry) if entry.pair != *expect => return Written::Conflict(entry.pair.clone()),
            Some(_) => {}
        }
        held.remove(key);
        Written::Saved
    }

    fn metadata(&mut self, request: &crate::http::Request) -> Answer {
        if request.url.contains("://evil.example/") {
            // Its document may be looked at, and nothing is ever sent there.
            assert!(request.url.ends_with("/m") && request.body.is_empty(), "{request:?}");
            let claims = self.evil_claims;
            return answer(
                200,
                format!(
                    r#"{{"issuer":"{claims}","token_endpoint":"https://evil.example/token",
                        "revocation_endpoint":"https://evil.example/revoke",
                        "registration_endpoint":"https://evil.example/register",
                        "authorization_endpoint":"https://evil.example/authorize",
                        "code_challenge_methods_supported":["S256"]}}"#
                ),
            );
        }
        if request.url.ends_with("/revoke") {
            self.revoked_under_a_lock |= !self.locked.is_empty();
            let form: BTreeMap<_, _> =
                url::form_urlencoded::parse(&request.body).into_owned().collect();
            self.server.revoked.push(form["token"].clone());
            self.server.revoked_for.push(form.get("client_id").cloned().unwrap_or_default());
            return answer(200, String::new());
        }
        if let Some(status) = self.server.documents_status
            && request.url.contains("/.well-known/")
        {
            let retry_after = self.server.retry_after.filter(|_| status == 503);
            return Answer { retry_after, ..answer(status, String::new()) };
        }
        if request.url.contains("oauth-protected-resource") {
            let named = r#"{"authorization_servers":["https://as.example"]}"#;
            return answer(200, named.into());
        }
        if let Some(answer) = self.sign_in_page(request, "signed") {
            return answer;
        }
        let origin = self.server.moved_to.unwrap_or("https://as.example");
        answer(
            200,
            format!(
                r#"{{"issuer":"https://as.example","token_endpoint":"{origin}/token",
                    "revocation_endpoint":"{}",
                    "registration_endpoint":"https://as.example/register",
                    "authorization_endpoint":"https://as.example/authorize",
                    "code_challenge_methods_supported":["S256"]}}"#,
                self.server.revokes_at
            ),
        )
    }

    fn reach(&self, url: &str) -> Result<(), Fault> {
        let is_private = self.server.private.iter().any(|host| url.contains(&format!("//{host}/")));
        if is_private { Err(Fault::PrivateAddress) } else { Ok(()) }
    }

    fn token_endpoint(&mut self, body: &[u8]) -> Result<Answer, Fault> {
        let form: BTreeMap<_, _> = url::form_urlencoded::parse(body).into_owned().collect();
        let token = form["refresh_token"].clone();
        let weather = self.server.weather.pop_front().unwrap_or(Weather::Fine);
        if weather == Weather::Unreachable {
            return Err(Fault::Connect);
        }
        assert!(!self.known_spent.contains(&token), "{token} is spent and presented again");
        self.server.presented.push((self.now.boot, token.clone()));
        let client = form.get("client_id").cloned().unwrap_or_default();
        self.server.presented_as.push(client);
        let error = |status, code: &str| Ok(answer(status, format!(r#"{{"error":"{code}"}}"#)));
        match weather {
            Weather::CutBefore => return Err(Fault::Cut),
            Weather::Busy => {
                let busy = error(429, "too_many_requests");
                let retry_after = self.server.retry_after;
                return busy.map(|answer| Answer { retry_after, ..answer });
            }
            Weather::Broken => return Ok(answer(500, String::new())),
            Weather::InvalidGrant => return error(400, "invalid_grant"),
            Weather::InvalidClient => return error(401, "invalid_client"),
            Weather::InvalidRequest => return error(400, "invalid_request"),
            Weather::InvalidTarget => return error(400, "invalid_target"),
            Weather::Fine | Weather::Unreachable | Weather::CutAfter | Weather::HtmlAfter => {}
        }
        let issued = self.server.issue(&token);
        match weather {
            Weather::CutAfter => Err(Fault::Cut),
            Weather::HtmlAfter => Ok(answer(200, "<html>".into())),
            _ => issued.map_or_else(
                || error(400, "invalid_grant"),
                |body| {
                    if let Some(unreadable) = self.bodies.pop_front() {
                        return Ok(answer(200, String::from_utf8_lossy(unreadable).into()));
                    }
                    self.received = Some(format!("rt-{}", self.server.count));
                    Ok(answer(200, body))
                },
            ),
        }
    }

    fn pair(&self) -> (String, String) {
        let pair = &self.entries[&EntryKey::from("slack|0")].pair;
        let text = |secret: &Option<Secret>| secret.as_ref().map_or("", |s| s.expose()).to_owned();
        (text(&pair.access), text(&pair.refresh))
    }

    /// From now on the server refuses the access token that the store holds.
    fn refuse_access(&mut self) {
        let (access, _) = self.pair();
        self.refused.insert(access);
    }

    fn act(&mut self, keeper: &mut Keeper, action: Action) {
        keeper.handle(Input::Act(action), self.now);
        self.settle(keeper);
    }

    fn health(&self, keeper: &Keeper) -> crate::health::Health {
        keeper.snapshot().rows[0].health
    }

    fn notices(&self) -> Vec<NoticeCode> {
        let codes = self.events.iter().filter_map(|event| match event {
            Event::Notice(notice) => Some(notice.code),
            _ => None,
        });
        codes.collect()
    }

    fn renewed_by(&self) -> Vec<crate::facts::Renewer> {
        let by = self.events.iter().filter_map(|event| match event {
            Event::Renewed { by, .. } => Some(*by),
            _ => None,
        });
        by.collect()
    }
}

impl Server {
    fn issue(&mut self, token: &str) -> Option<String> {
        if self.dead || !self.live.contains(token) {
            // Reuse of a spent token kills the family (RFC 9700 §4.14.2), unless grace is given.
            if self.spent.contains(token) && !self.dead {
                if !self.grace {
                    self.dead = true;
                    return None;
                }
            } else {
                return None;
            }
        }
        self.live.remove(token);
        self.spent.insert(token.into());
        self.count += 1;
        let n = self.count;
        if self.grace {
            self.live.clear();
        }
        self.live.insert(format!("rt-{n}"));
        let life = self.life_seconds.map(|s| format!(r#","expires_in":{s}"#)).unwrap_or_default();
        Some(format!(r#"{{"access_token":"at-{n}","refresh_token":"rt-{n}"{life}}}"#))
    }
}

/// Whether the client `cl` proves itself with this secret, by either method (RFC 6749 §2.3.1).
fn is_sent_with(request: &crate::http::Request, secret: &str) -> bool {
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("cl:{secret}")));
    let mut form = url::form_urlencoded::parse(&request.body);
    request.headers.iter().any(|(_, value)| value.as_str() == basic)
        || form.any(|(name, value)| name == "client_secret" && value == secret)
}

fn not_kept() -> crate::journal::JournalFault {
    crate::journal::JournalFault { place: "state".into(), what: "full".into() }
}

fn answer(status: u16, body: String) -> Answer {
    Answer {
        status,
        content_type: None,
        retry_after: None,
        challenges: vec![],
        location: None,
        body: Zeroizing::new(body.into_bytes()),
    }
}

use crate::{facts::Renewer, health::Health};

#[test]
fn what_is_due_is_renewed_and_the_store_holds_the_new_pair() {
    let mut world = World::new();
    let keeper = world.start();
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
    assert_eq!(world.renewed_by(), [Renewer::Lamplighter]);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert_eq!(world.entries.values().next().unwrap().scope.as_deref(), Some("read"));
}

#[test]
fn a_day_of_hourly_tokens_is_one_renewal_at_a_time_and_never_met_by_the_client() {
    let mut world = World::new();
    let mut keeper = world.start();
    for _ in 0..24 * 60 {
        assert!(world.pass(&mut keeper, MINUTE));
        let end = world.entries.values().next().unwrap().pair.expires_at.unwrap();
        assert!(end.0 - world.now.wall.0 > 5 * 60_000, "the client would have renewed");
    }
    let presented: BTreeSet<_> = world.server.presented.iter().map(|(_, t)| t).collect();
    assert_eq!(presented.len(), world.server.presented.len());
    assert!((30..=34).contains(&presented.len()), "{}", presented.len());
    assert!(world.notices().is_empty());
}

#[test]
fn the_journal_is_empty_after_the_last_look() {
    let mut world = World::new();
    let mut keeper = world.start();
    assert_eq!(world.journal.len(), 1);
    world.pass(&mut keeper, 70_000);
    assert!(world.journal.is_empty());
    assert!(world.facts.stores[&StoreId::from(STORE)].proven);
}

#[test]
fn in_a_store_never_written_the_rest_wait_for_the_first_ones_last_look() {
    let mut world = World::new();
    world.server.live.insert("rt-b".into());
    world.put(entry("notion", "at-b", "rt-b", world.now.wall.0 + 60_000));
    let mut keeper = world.start();
    assert_eq!(world.server.presented.len(), 1);
    world.pass(&mut keeper, 60_000);
    assert_eq!(world.server.presented.len(), 1);
    world.pass(&mut keeper, 10_000);
    assert_eq!(world.server.presented.len(), 2);
}

#[test]
fn a_first_one_that_is_renewed_all_the_time_does_not_keep_the_rest_waiting() {
    let mut world = World::new();
    world.server.life_seconds = Some(40);
    world.server.live.insert("rt-b".into());
    world.put(entry("notion", "at-b", "rt-b", world.now.wall.0 + 60_000));
    let mut keeper = world.start();
    world.pass(&mut keeper, 70_000);
    assert!(world.server.presented.iter().any(|(_, token)| token == "rt-b"));
}

#[test]
fn the_first_one_itself_is_not_one_of_the_rest() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    for _ in 0..2 {
        keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
        world.settle(&mut keeper);
        assert!(!keeper.is_busy());
    }
    assert_eq!(world.server.presented.len(), 2);
    assert_eq!(world.journal.len(), 1, "the older record is moot");
}

#[test]
fn two_entries_with_one_token_are_one_flight_and_both_are_written() {
    let mut world = World::new();
    world.put(entry("copy", "at-0", "rt-0", world.now.wall.0 + 10 * 60_000));
    world.start();
    assert_eq!(world.server.presented.len(), 1);
    for entry in world.entries.values() {
        assert_eq!(entry.pair.access, secret("at-1"));
    }
}

#[test]
fn a_client_that_renewed_meanwhile_is_adopted() {
    let mut world = World::new();
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    // The look under the lock finds a good token.
    world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
    world.settle(&mut keeper);
    assert!(world.server.presented.is_empty());
    assert_eq!(world.renewed_by(), [Renewer::Client]);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn one_refusal_is_asked_about_again_a_minute_later_and_two_are_the_end() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidGrant, Weather::InvalidGrant]);
    let mut keeper = world.start();
    assert_eq!(world.health(&keeper), Health::Retrying);
    world.pass(&mut keeper, 59_000);
    assert_eq!(world.server.presented.len(), 1);
    world.pass(&mut keeper, 2_000);
    assert_eq!(world.health(&keeper), Health::SignInRequired);
    world.pass(&mut keeper, 48 * 60 * MINUTE);
    assert_eq!(world.server.presented.len(), 2);
    assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
    assert_eq!(world.pair().1, "rt-0", "nothing of ours deletes a refresh token");
}

#[test]
fn a_refusal_that_was_a_mistake_does_no_harm() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidGrant]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 61_000);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert!(world.notices().is_empty());
}

#[test]
fn a_refused_token_that_cannot_be_renewed_either_is_one_notice() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.now.wall.0 += 1_000;
    world.now.boot.0 += 1_000;
    world.accepts_probe = false;
    let at = world.now.wall;
    world.verdicts = vec![AuthVerdict { server_name: "slack".into(), at, left_alone: false }];
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    world.pass(&mut keeper, MINUTE);
    assert_eq!(world.health(&keeper), Health::Refused);
    world.server.weather = VecDeque::from([Weather::InvalidGrant, Weather::InvalidGrant]);
    let renew = Action::Renew("claude-code/slack".into());
    keeper.handle(Input::Act(renew), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.health(&keeper), Health::RetryingEnded);
    world.pass(&mut keeper, 61_000);
    assert_eq!(world.health(&keeper), Health::SignInRequired);
    assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
    let withdrawn = world.events.iter().any(|e| matches!(e, Event::NoticeWithdrawn { .. }));
    assert!(!withdrawn, "nothing has healed");
}

#[test]
fn a_new_sign_in_after_a_refusal_is_taken_up() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidGrant, Weather::InvalidGrant]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 61_000);
    world.put(entry("slack", "at-n", "rt-n", world.now.wall.0 + 3_600_000));
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.health(&keeper), Health::Healthy);
    let withdrawn = world.events.iter().any(|e| matches!(e, Event::NoticeWithdrawn { .. }));
    assert!(withdrawn);
}

#[test]
fn a_lost_answer_is_asked_for_once_more_at_once() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::CutBefore]);
    world.start();
    assert_eq!(world.server.presented.len(), 2);
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
}

#[test]
fn an_answer_lost_twice_waits_until_little_is_left_to_lose() {
    let mut world = World::new();
    world.server.grace = true;
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
    world.server.weather = VecDeque::from([Weather::CutAfter, Weather::HtmlAfter]);
    let mut keeper = world.start();
    assert_eq!(world.server.presented.len(), 2);
    world.pass(&mut keeper, 6 * MINUTE);
    assert_eq!(world.server.presented.len(), 2, "the token is still good for eight minutes");
    assert!(!world.journal.is_empty());
    world.pass(&mut keeper, 90_000);
    assert_eq!(world.server.presented.len(), 3);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert!(world.notices().is_empty());
}

#[test]
fn when_it_is_tried_again_is_the_same_moment_wherever_it_is_told() {
    let faults = [Weather::CutAfter, Weather::CutAfter];
    for (mode, weather, code) in [
        (Mode::Keep, faults, "answer_lost"),
        (Mode::OnRequest, faults, "answer_lost"),
        (Mode::Keep, [Weather::Busy, Weather::Busy], "server_busy"),
        (Mode::Keep, [Weather::Unreachable, Weather::Unreachable], "server_unreachable"),
    ] {
        let mut world = World::new();
        world.mode = mode;
        world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
        world.server.weather = VecDeque::from(weather);
        let mut keeper = world.start();
        if mode == Mode::OnRequest {
            keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
            world.settle(&mut keeper);
        }
        let told = world.events.iter().find_map(|event| match event {
            Event::Failed { code, next, .. } => Some((code.clone(), next.unwrap())),
            _ => None,
        });
        let shown = keeper.snapshot().rows[0].next_renewal_at.unwrap();
        assert_eq!(told, Some((code.into(), shown)), "{mode:?}");
        if code == "answer_lost" {
            let end = world.entries.values().next().unwrap().pair.expires_at.unwrap();
            assert_eq!(shown, end - Millis::minutes(7), "shortly before the client would renew");
        }
    }
}

#[test]
fn who_asks_by_name_after_a_lost_answer_is_told_why_it_waits_and_until_when() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
    world.server.weather = VecDeque::from([Weather::CutAfter, Weather::CutAfter]);
    let renew = || Input::Act(Action::Renew("claude-code/slack".into()));
    let mut keeper = world.start();
    keeper.handle(renew(), world.now);
    world.settle(&mut keeper);
    // Another run, which knows nothing but facts.
    drop(keeper);
    world.events.clear();
    let mut keeper = world.start();
    keeper.handle(renew(), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.server.presented.len(), 2, "nothing was presented again");
    let row = keeper.snapshot().rows[0].clone();
    let Some(Event::Failed { code, why, next, .. }) = world.events.last() else {
        panic!("{:?}", world.events)
    };
    assert_eq!((code.as_str(), *next), ("answer_lost", row.next_renewal_at));
    assert!(why.contains("may be spent") && why.contains("shortly before the token ends"), "{why}");
    assert_eq!(row.reason.as_ref(), Some(why));
    assert!(!keeper.is_busy());
}

#[test]
fn a_server_that_is_busy_is_left_alone_and_then_asked_again() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::Busy, Weather::Unreachable, Weather::Busy]);
    let mut keeper = world.start();
    assert_eq!(world.health(&keeper), Health::Retrying);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert!(world.notices().is_empty());
}

#[test]
fn waking_up_clears_every_backoff() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::Unreachable; 6]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    world.server.weather.clear();
    world.now.boot.0 += 3_600_000;
    world.now.wall.0 += 3_600_000;
    keeper.handle(Input::Woke(WokeWhy::Resumed), world.now);
    world.pass(&mut keeper, 4_000);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_definite_error_is_told_half_an_hour_after_the_end_and_any_failure_after_six_hours() {
    for (weather, hours) in [(Weather::InvalidRequest, 1), (Weather::Unreachable, 7)] {
        let mut world = World::new();
        world.server.weather = VecDeque::from(vec![weather; 100_000]);
        let mut keeper = world.start();
        world.pass(&mut keeper, 30 * MINUTE);
        assert!(world.notices().is_empty(), "{weather:?}");
        world.pass(&mut keeper, hours * 60 * MINUTE);
        assert_eq!(world.notices(), [NoticeCode::RenewalsFailing], "{weather:?}");
        assert_eq!(world.health(&keeper), Health::RetryingEnded);
    }
}

#[test]
fn a_forgotten_client_needs_a_person() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidClient, Weather::InvalidClient]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 61_000);
    assert_eq!(world.health(&keeper), Health::SignInRequired);
    assert!(keeper.snapshot().rows[0].reason.as_ref().unwrap().contains("no longer knows"));
}

#[test]
fn a_refusal_of_the_client_and_one_of_the_grant_do_not_confirm_each_other() {
    use Weather::{InvalidClient, InvalidGrant};
    for (first, second) in [(InvalidClient, InvalidGrant), (InvalidGrant, InvalidClient)] {
        let mut world = World::new();
        world.server.weather = VecDeque::from([first, second]);
        let mut keeper = world.start();
        world.pass(&mut keeper, 61_000);
        assert_eq!(world.server.presented.len(), 2);
        assert_eq!(world.health(&keeper), Health::Retrying, "{first:?} {second:?}");
        world.pass(&mut keeper, 61_000);
        assert_eq!(world.health(&keeper), Health::Healthy, "{first:?} {second:?}");
        assert!(world.notices().is_empty());

        world.server.weather = VecDeque::from([first, second, second]);
        copies::act(&mut world, &mut keeper, Action::Renew("claude-code/slack".into()));
        world.pass(&mut keeper, 3 * MINUTE);
        assert_eq!(world.health(&keeper), Health::SignInRequired, "{first:?} {second:?}");
    }
}

#[test]
fn refusals_of_both_kinds_in_turn_end_it_when_one_of_them_comes_again() {
    use Weather::{InvalidClient, InvalidGrant};
    for (first, second) in [(InvalidClient, InvalidGrant), (InvalidGrant, InvalidClient)] {
        let mut world = World::new();
        world.server.weather = [first, second].into_iter().cycle().take(100).collect();
        let mut keeper = world.start();
        world.pass(&mut keeper, 10 * MINUTE);
        assert_eq!(world.health(&keeper), Health::SignInRequired, "{first:?} {second:?}");
        assert_eq!(world.server.presented.len(), 3);
        assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
    }
}

#[test]
fn a_client_with_a_secret_tries_the_other_method_once() {
    let mut world = World::new();
    let mut with_secret = entry("slack", "at-0", "rt-0", world.now.wall.0 + 60_000);
    with_secret.client = Some(ClientCredentials { id: "cl".into(), secret: secret("s") });
    world.put(with_secret);
    world.server.weather = VecDeque::from([Weather::InvalidClient]);
    let keeper = world.start();
    assert_eq!(world.server.presented.len(), 2);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_refused_target_is_asked_without_and_never_ends_a_grant() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidTarget]);
    let keeper = world.start();
    assert_eq!(world.health(&keeper), Health::Healthy);
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidTarget, Weather::InvalidTarget]);
    let keeper = world.start();
    assert_eq!(world.health(&keeper), Health::Retrying);
}

#[test]
fn a_token_endpoint_that_moved_gets_nothing_before_a_person_agrees() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.server.moved_to = Some("https://elsewhere.example");
    world.pass(&mut keeper, 25 * 60 * MINUTE);
    let before = world.server.presented.len();
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
    assert_eq!(world.notices(), [NoticeCode::ApprovalRequired]);
    world.pass(&mut keeper, 60 * MINUTE);
    assert_eq!(world.server.presented.len(), before);
    keeper.handle(
        Input::Act(Action::Trust(Trusted::new("claude-code/slack", "elsewhere.example"))),
        world.now,
    );
    world.settle(&mut keeper);
    assert_eq!(world.server.presented.len(), before + 1);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_server_that_names_another_one_without_a_record_waits_for_a_person_too() {
    let mut world = World::new();
    let mut bare = entry("slack", "at-0", "rt-0", world.now.wall.0 + 60_000);
    bare.authorization_server = None;
    world.put(bare);
    let mut keeper = world.start();
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
    assert!(world.server.presented.is_empty());
    keeper.handle(
        Input::Act(Action::Trust(Trusted::new("claude-code/slack", "as.example"))),
        world.now,
    );
    world.settle(&mut keeper);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn signed_out_is_respected_also_while_the_answer_is_on_its_way() {
    let mut world = World::new();
    world.during_send = Some(|world| world.entries.clear());
    let mut keeper = world.start();
    assert!(world.entries.is_empty());
    assert!(world.journal.is_empty());
    assert_eq!(world.server.revoked, ["rt-1"]);
    world.pass(&mut keeper, 60 * MINUTE);
    assert!(world.entries.is_empty());
    assert!(world.notices().is_empty());
    assert!(world.facts.grants.values().all(|f| f.renewed_at.is_none()));
}

#[test]
fn signed_out_after_saving_is_not_undone() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.entries.clear();
    world.pass(&mut keeper, 10 * MINUTE);
    assert!(world.entries.is_empty());
    assert!(world.journal.is_empty());
    assert!(world.events.iter().any(|e| matches!(e, Event::SignedOut { .. })));
}

#[test]
fn an_old_copy_written_back_is_replaced_again_at_most_twice() {
    let mut world = World::new();
    let old = entry("slack", "at-0", "rt-0", world.now.wall.0 + 10 * 60_000);
    let mut keeper = world.start();
    for _ in 0..2 {
        world.put(old.clone());
        world.pass(&mut keeper, 36_000);
        assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
    }
    world.put(old);
    world.pass(&mut keeper, 5 * MINUTE);
    assert_eq!(world.pair().1, "rt-0");
    assert_eq!(world.server.presented.len(), 1, "a spent token is never presented again");
    assert_eq!(world.health(&keeper), Health::NoRefreshToken);
}

#[test]
fn an_emptied_entry_is_filled_again_only_if_the_server_accepts_ours() {
    for accepts in [true, false] {
        let mut world = World::new();
        world.accepts_probe = accepts;
        let mut keeper = world.start();
        let mut wiped = entry("slack", "", "", 0);
        wiped.pair = TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) };
        world.put(wiped);
        world.pass(&mut keeper, 70_000);
        assert_eq!(world.pair().0 == "at-1", accepts);
        let expected = if accepts { Health::Healthy } else { Health::SignInRequired };
        assert_eq!(world.health(&keeper), expected);
    }
}

#[test]
fn a_client_that_empties_the_entry_while_the_answer_comes_gets_the_new_tokens() {
    let mut world = World::new();
    world.during_send = Some(|world| {
        let mut wiped = entry("slack", "", "", 0);
        wiped.pair = TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) };
        world.put(wiped);
    });
    world.start();
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
}

#[test]
fn a_client_that_signed_in_anew_while_the_answer_came_keeps_its_own() {
    let mut world = World::new();
    world.during_send = Some(|world| {
        world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
    });
    let mut keeper = world.start();
    world.pass(&mut keeper, 5 * MINUTE);
    assert_eq!(world.pair(), ("at-c".into(), "rt-c".into()));
    assert!(world.journal.is_empty());
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_store_that_cannot_be_written_is_owed_and_never_forgotten() {
    let mut world = World::new();
    let full = StoreFault::DiskFull { place: "store".into() };
    world.write_faults = VecDeque::from([full.clone(), full.clone(), full]);
    let mut keeper = world.start();
    assert_eq!(world.server.presented.len(), 1);
    assert_eq!(world.pair().1, "rt-0");
    assert_eq!(keeper.snapshot().exit, crate::health::EXIT_STORE);
    assert!(keeper.is_busy());
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
    assert_eq!(world.server.presented.len(), 1);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_copy_that_cannot_be_written_keeps_the_new_tokens_from_no_other() {
    let mut world = World::new();
    let mut copy = world.entries.values().next().unwrap().clone();
    copy.key = EntryKey("slack-too|0".into());
    copy.server_name = "slack-too".into();
    world.put(copy);
    let full = StoreFault::DiskFull { place: "store".into() };
    world.write_faults = VecDeque::from([full]);
    let mut keeper = world.start();
    let held = |world: &World| {
        let pairs = world.entries.values().map(|entry| entry.pair.refresh.clone().unwrap());
        pairs.map(|token| token.expose().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(held(&world), ["rt-0", "rt-1"]);
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(held(&world), ["rt-1", "rt-1"]);
    assert_eq!(world.server.presented.len(), 1);
}

#[test]
fn a_lost_answer_is_not_forgotten_because_the_second_try_never_left() {
    for second in [Weather::Unreachable, Weather::Busy] {
        let mut world = World::new();
        world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
        world.server.weather = VecDeque::from([Weather::CutAfter, second]);
        let mut keeper = world.start();
        let presented = world.server.presented.len();
        assert_eq!(world.journal.len(), 1, "what is known of it stays");
        world.pass(&mut keeper, 5 * MINUTE);
        assert_eq!(world.server.presented.len(), presented, "it may be spent: it waits");
    }
}

#[test]
fn a_sign_in_elsewhere_under_the_same_name_is_never_brought_to_the_old_server() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.pass(&mut keeper, 10 * MINUTE);
    let before = world.server.presented.len();
    // The client signed in at another server meanwhile, whose metadata names another endpoint.
    let mut other = entry("slack", "at-x", "rt-x", world.now.wall.0 - 1);
    other.authorization_server = Some("https://elsewhere.example".into());
    world.put(other);
    world.server.moved_to = Some("https://elsewhere.example");
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.server.presented.len(), before, "nothing was presented anywhere");
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
}

#[test]
fn new_tokens_that_no_store_takes_are_told_after_five_minutes_and_once() {
    let mut world = World::new();
    let full = StoreFault::DiskFull { place: "store".into() };
    world.write_faults = VecDeque::from(vec![full; 1_000]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 4 * MINUTE);
    assert_eq!(world.health(&keeper), Health::StoreBroken);
    assert_eq!(world.notices(), [], "most such things are over in a moment");
    world.pass(&mut keeper, 60 * MINUTE);
    assert_eq!(world.notices(), [NoticeCode::CannotSave]);
    world.write_faults.clear();
    world.pass(&mut keeper, 60 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    let withdrawn = |event: &Event| matches!(event, Event::NoticeWithdrawn { .. });
    assert!(world.events.iter().any(withdrawn));
    assert_eq!(world.notices(), [NoticeCode::CannotSave]);
}

#[test]
fn a_lock_that_another_program_holds_is_waited_for_and_then_told() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let busy = StoreFault::Busy { lock: "mcp-refresh".into() };
    world.lock_faults = VecDeque::from(vec![busy; 10]);
    let mut keeper = world.start();
    keeper.handle(Input::Act(Action::RenewDue), world.now);
    world.settle(&mut keeper);
    assert!(keeper.is_busy());
    world.pass(&mut keeper, 30_000);
    assert!(!keeper.is_busy());
    assert!(world.server.presented.is_empty());
    assert!(
        world
            .events
            .iter()
            .any(|e| matches!(e, Event::Failed { code, .. } if code == "store_busy"))
    );
}

#[test]
fn without_a_journal_nothing_is_sent() {
    let mut world = World::new();
    world.journal_broken = true;
    let mut keeper = world.start();
    world.pass(&mut keeper, 60 * MINUTE);
    assert!(world.server.presented.is_empty());
    assert_eq!(world.pair().1, "rt-0");
    world.journal_broken = false;
    world.pass(&mut keeper, 6 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_journal_that_breaks_after_the_intent_costs_nothing_while_the_store_takes_it() {
    let mut world = World::new();
    world.during_send = Some(|world| world.journal_broken = true);
    let keeper = world.start();
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
    assert!(!keeper.holds_unsaved());
}

#[test]
fn a_stale_verdict_is_withdrawn_and_a_newer_one_is_proven_first() {
    let mut world = World::new();
    let verdict = |at| AuthVerdict { server_name: "slack".into(), at, left_alone: false };
    world.verdicts = vec![verdict(world.now.wall)];
    let mut keeper = world.start();
    assert!(world.verdicts.is_empty(), "a renewal is proof");
    world.now.wall.0 += 1_000;
    world.now.boot.0 += 1_000;
    world.accepts_probe = false;
    world.verdicts = vec![verdict(world.now.wall)];
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    assert!(world.verdicts.is_empty(), "what it was about has been renewed");
    assert_eq!(world.health(&keeper), Health::Retrying, "refused once");
    world.accepts_probe = true;
    world.verdicts = vec![verdict(world.now.wall + Millis(1))];
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.verdicts.len(), 1, "it was asked a moment ago");
    world.pass(&mut keeper, 10 * MINUTE);
    assert!(world.verdicts.is_empty());
    assert_eq!(world.server.presented.len(), 2, "once, because the token was refused");
}

#[test]
fn a_verdict_that_is_the_clients_own_affair_is_left() {
    let mut world = World::new();
    world.verdicts =
        vec![AuthVerdict { server_name: "slack".into(), at: world.now.wall, left_alone: true }];
    world.start();
    assert_eq!(world.verdicts.len(), 1);
}

#[test]
fn one_shot_commands_act_on_what_was_asked_and_come_to_rest() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    assert!(world.server.presented.is_empty());
    assert!(!keeper.is_busy());
    keeper.handle(Input::Act(Action::RenewDue), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.server.presented.len(), 1);
    assert!(!keeper.is_busy(), "later looks are left to the next run");
    keeper.handle(Input::Act(Action::RenewDue), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.server.presented.len(), 1);
    assert!(world.events.iter().any(|e| matches!(e, Event::Unchanged { .. })));
}

#[test]
fn a_one_shot_that_was_asked_by_name_renews_at_once_and_waits_to_be_sure_of_a_refusal() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 3_600_000));
    world.server.weather = VecDeque::from([Weather::InvalidGrant, Weather::InvalidGrant]);
    let mut keeper = world.start();
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    assert!(keeper.is_busy());
    world.pass(&mut keeper, 61_000);
    assert!(!keeper.is_busy());
    let failed = world
        .events
        .iter()
        .any(|e| matches!(e, Event::Failed { code, next: None, .. } if code == "sign_in_ended"));
    assert!(failed, "{:?}", world.events);
}

#[test]
fn watching_only_does_nothing_at_all() {
    let mut world = World::new();
    world.mode = Mode::WatchOnly;
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    assert_eq!(keeper.poll_effect(), None);
    assert_eq!(keeper.poll_wake(), None);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_paused_grant_is_left_alone() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    keeper.handle(Input::Act(Action::Pause("claude-code/slack".into())), world.now);
    keeper.handle(Input::Act(Action::RenewDue), world.now);
    world.settle(&mut keeper);
    assert!(world.server.presented.is_empty());
    assert_eq!(world.health(&keeper), Health::Paused);
}

#[test]
fn a_clock_that_is_an_hour_wrong_either_way_spends_no_token_twice() {
    for step in [-3_600_000_i64, 3_600_000] {
        let mut world = World::new();
        let mut keeper = world.start();
        world.now.wall.0 += step;
        keeper.handle(Input::Woke(WokeWhy::ClockStepped), world.now);
        world.settle(&mut keeper);
        world.pass(&mut keeper, 6 * 60 * MINUTE);
        let presented: BTreeSet<_> = world.server.presented.iter().map(|(_, t)| t).collect();
        assert_eq!(presented.len(), world.server.presented.len());
        assert!(presented.len() < 20, "{}", presented.len());
        assert_eq!(world.health(&keeper), Health::Healthy);
    }
}

#[test]
fn a_token_received_while_the_clock_was_ahead_is_renewed_once_when_it_is_set_right() {
    let mut world = World::new();
    let mut keeper = world.start();
    let before = world.server.presented.len();
    world.now.wall.0 -= 10 * 3_600_000;
    keeper.handle(Input::Woke(WokeWhy::ClockStepped), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.server.presented.len(), before + 1);
    let end = world.entries.values().next().unwrap().pair.expires_at;
    assert!(end.is_some_and(|end| end <= world.now.wall + Millis::hours(1)), "{end:?}");
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.server.presented.len(), before + 1);
}

#[test]
fn documents_that_are_gone_for_a_while_do_not_move_a_server() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.server.documents_status = Some(404);
    world.pass(&mut keeper, 26 * 60 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    let known = world.facts.grants.values().next().unwrap().metadata.clone().unwrap().0;
    assert_eq!(known.revocation_endpoint.as_deref(), Some(world.server.revokes_at));
}

#[test]
fn an_end_that_nobody_tells_is_never_written() {
    let mut world = World::new();
    world.server.life_seconds = None;
    let mut keeper = world.start();
    assert_eq!(world.entries.values().next().unwrap().pair.expires_at, None);
    world.pass(&mut keeper, 5 * 60 * MINUTE);
    assert!((6..=9).contains(&world.server.presented.len()), "{}", world.server.presented.len());
}

/// Every boundary between two steps: the process ends there, another one starts and goes on.
#[test]
fn ending_at_any_step_loses_nothing_and_spends_nothing_twice() {
    let mut whole = World::new();
    whole.steps_left = Some(usize::MAX);
    let mut keeper = whole.start();
    whole.pass(&mut keeper, 70_000);
    let steps = usize::MAX - whole.steps_left.unwrap();
    assert!(steps > 12, "{steps}");
    for performed in 0..steps {
        for grace in [true, false] {
            let mut world = World::new();
            world.server.grace = grace;
            world.steps_left = Some(performed);
            let mut keeper = world.keeper();
            keeper.handle(world.seen(), world.now);
            let _ = world.settle(&mut keeper) && world.pass(&mut keeper, 70_000);
            let answer_lost = world.server.count > 0
                && world.journal.values().all(|record| record.stage.tokens().is_none())
                && world.pair().1 == "rt-0";
            drop(keeper);
            world.steps_left = None;
            world.now.boot.0 += 30_000;
            world.now.wall.0 += 30_000;
            let mut keeper = world.start();
            world.pass(&mut keeper, 30 * MINUTE);
            let at = format!("after {performed} steps, grace {grace}");
            if answer_lost && !grace {
                assert_eq!(world.health(&keeper), Health::SignInRequired, "{at}");
                assert_eq!(world.notices(), [NoticeCode::SignInRequired], "{at}");
                continue;
            }
            assert_eq!(world.health(&keeper), Health::Healthy, "{at}");
            let (_, refresh) = world.pair();
            assert!(world.server.live.contains(&refresh), "{at}: {refresh} is not live");
            assert!(!world.server.dead, "{at}");
        }
    }
}

/// Something that happens to a running keeper.
#[derive(Debug, Clone)]
enum Chance {
    Pass(u64),
    Weather(Weather),
    Crash(usize),
    ClientRenews,
    OldCopy,
    SignOut,
    SignIn,
    StoreFault,
    Journal(bool),
    Woke(i64),
    Verdict,
    RefuseAccess,
    /// `cp -r` of the usual folder to the other one, or back.
    CopyFolder(bool),
    /// The usual store, or the other one, can't be read or is not there; or can be again.
    Away(bool, u8),
    Act(u8),
    /// A configuration names a document of a foreign host, or does no longer.
    Configured(Option<&'static str>),
}

fn chance() -> impl Strategy<Value = Chance> {
    use Weather::{
        Broken, Busy, CutAfter, CutBefore, Fine, HtmlAfter, InvalidClient, InvalidGrant,
        InvalidRequest, InvalidTarget, Unreachable,
    };
    prop_oneof![
        4 => (1..4_000_000_u64).prop_map(Chance::Pass),
        6 => proptest::sample::select(vec![
            Fine, Unreachable, CutAfter, CutBefore, HtmlAfter, Busy, Broken, InvalidGrant,
            InvalidClient, InvalidRequest, InvalidTarget,
        ]).prop_map(Chance::Weather),
        2 => (0..20_usize).prop_map(Chance::Crash),
        1 => Just(Chance::ClientRenews),
        1 => Just(Chance::OldCopy),
        1 => Just(Chance::SignOut),
        1 => Just(Chance::SignIn),
        1 => Just(Chance::StoreFault),
        1 => any::<bool>().prop_map(Chance::Journal),
        1 => (-4_000_000..4_000_000_i64).prop_map(Chance::Woke),
        1 => Just(Chance::Verdict),
        2 => Just(Chance::RefuseAccess),
        1 => (0..7_u8).prop_map(Chance::Act),
        1 => proptest::sample::select(vec![
            None, Some("https://evil.example"), Some("https://as.example"),
        ]).prop_map(Chance::Configured),
        3 => any::<bool>().prop_map(Chance::CopyFolder),
        3 => (any::<bool>(), 0..6_u8).prop_map(|(other, how)| Chance::Away(other, how)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: a token whose success was written down is never presented again (asserted
    /// by the token endpoint), one refresh is in the air at a time, wakes lie in the future (asserted
    /// by `pass`), a person is told at most once per descent, and tokens that reached the keeper are
    /// in the store, in the journal or in memory until somebody newer stands in the store; nobody is
    /// asked for a sign-in while a renewal would do. To a host that only a configuration names nothing
    /// is ever sent (asserted by `perform` and `metadata`). There are two folders, copied
    /// from one to the other, and away or unreadable at times.
    #[test]
    fn whatever_happens_nothing_received_is_lost(chances in prop::collection::vec(chance(), 1..40)) {
        let mut world = World::new();
        world.others.insert(OTHER.into(), BTreeMap::new());
        let mut keeper = world.start();
        let mut clients = 0;
        let mut crashes = 0;
        let mut refusals = false;
        let mut previous = world.entries.clone();
        for chance in chances {
            match chance {
                Chance::Pass(span) => { world.pass(&mut keeper, span); }
                Chance::Weather(weather) => {
                    refusals |= matches!(weather, Weather::InvalidGrant | Weather::InvalidClient);
                    world.server.weather.push_back(weather);
                }
                Chance::RefuseAccess => {
                    let (access, _) = world.pair_or_none();
                    world.refused.insert(access);
                }
                Chance::Crash(steps) => {
                    world.steps_left = Some(steps);
                    keeper.handle(Input::Tick, world.now);
                    let alive = world.settle(&mut keeper) && world.pass(&mut keeper, 3_000_000);
                    world.steps_left = None;
                    if !alive || !keeper.holds_unsaved() {
                        crashes += 1;
                        world.received = world.received.take().filter(|token| world.keeps(token));
                        keeper = world.start();
                    }
                }
                Chance::ClientRenews => {
                    let (_, refresh) = world.pair_or_none();
                    if !refresh.is_empty() && world.server.live.contains(&refresh) {
                        clients += 1;
                        world.received = None;
                        world.server.issue(&refresh);
                        let n = world.server.count;
                        let end = world.now.wall.0 + 3_600_000;
                        world.put(entry("slack", &format!("at-{n}"), &format!("rt-{n}"), end));
                    }
                }
                Chance::OldCopy => {
                    world.received = None;
                    world.entries = previous.clone();
                }
                Chance::SignOut => {
                    world.received = None;
                    world.entries.clear();
                }
                Chance::SignIn => {
                    clients += 1;
                    world.received = None;
                    world.server.dead = false;
                    world.server.live = BTreeSet::from([format!("rt-s{clients}")]);
                    let end = world.now.wall.0 + 3_600_000;
                    world.put(entry("slack", &format!("at-s{clients}"), &format!("rt-s{clients}"), end));
                }
                Chance::CopyFolder(back) => {
                    world.received = None;
                    if back {
                        world.entries = world.others[&StoreId::from(OTHER)].clone();
                    } else {
                        world.others.insert(OTHER.into(), world.entries.clone());
                    }
                }
                Chance::Away(other, how) => {
                    let store = StoreId::from(if other { OTHER } else { STORE });
                    let place = || String::from("store");
                    let fault = match how {
                        0 => StoreFault::Absent { place: place() },
                        1 => StoreFault::Locked { place: place() },
                        2 => StoreFault::Broken { place: place(), what: "not JSON".into() },
                        _ => { world.faults.remove(&store); continue },
                    };
                    world.faults.insert(store, fault);
                }
                Chance::StoreFault => {
                    world.write_faults.push_back(StoreFault::DiskFull { place: "store".into() });
                }
                Chance::Journal(broken) => world.journal_broken = broken,
                Chance::Woke(step) => {
                    world.now.wall.0 += step;
                    keeper.handle(Input::Woke(WokeWhy::ClockStepped), world.now);
                }
                Chance::Configured(claims) => {
                    world.configured = claims.is_some();
                    world.evil_claims = claims.unwrap_or(world.evil_claims);
                }
                Chance::Verdict => world.verdicts.push(AuthVerdict {
                    server_name: "slack".into(), at: world.now.wall, left_alone: false,
                }),
                Chance::Act(n) => {
                    let id = GrantId::from("claude-code/slack");
                    keeper.handle(Input::Act(match n {
                        0 => Action::Renew(id),
                        1 => Action::RenewDue,
                        2 => Action::Pause(id),
                        3 => Action::Resume(id),
                        4 => Action::Review(id),
                        5 => Action::RenewDue,
                        _ => Action::Check(id),
                    }), world.now);
                }
            }
            prop_assert!(world.look(&mut keeper));
            if let Some(token) = &world.received {
                let kept = world.keeps(token) || keeper.holds_unsaved();
                prop_assert!(kept || world.entries.is_empty(), "{} was received and is lost", token);
            }
            if world.now.wall.0 % 3 == 0 {
                previous.clone_from(&world.entries);
            }
            let flights = keeper.flights.len();
            prop_assert!(flights <= 2, "{} flights for two entries", flights);
            let notices = &keeper.notices;
            prop_assert!(notices.len() <= 2);
            // No notice while a renewal would do.
            let (_, refresh) = world.pair_or_none();
            if world.server.live.contains(&refresh) && !world.server.dead && !refusals && crashes == 0 {
                let slack = GrantId::from("claude-code/slack");
                let in_vain = notices.values().any(|n| {
                    n.code == NoticeCode::SignInRequired && n.grant == slack
                });
                prop_assert!(!in_vain, "asked in vain for a sign-in");
            }
        }
        // An end between telling and remembering tells again: better twice than never.
        let mut raised = BTreeMap::new();
        for event in &world.events {
            match event {
                Event::Notice(notice) => {
                    let count: &mut u32 = raised.entry(notice.cause.clone()).or_default();
                    *count += 1;
                    prop_assert!(*count <= 1 + crashes, "raised twice without healing: {}", notice.cause);
                }
                Event::NoticeWithdrawn { cause } => { raised.remove(cause); }
                _ => {}
            }
        }
    }
}

impl World {
    /// Whether this refresh token stands in the store or in the journal.
    fn keeps(&self, token: &str) -> bool {
        let token = Secret::new(token);
        let mut all = self.entries.values().chain(self.others.values().flat_map(BTreeMap::values));
        let stored = all.any(|e| e.pair.refresh.as_ref() == Some(&token));
        let noted = self.journal.values().filter_map(|record| record.stage.tokens());
        stored || noted.into_iter().any(|tokens| tokens.refresh.as_ref() == Some(&token))
    }

    fn pair_or_none(&self) -> (String, String) {
        if self.entries.is_empty() { (String::new(), String::new()) } else { self.pair() }
    }
}
