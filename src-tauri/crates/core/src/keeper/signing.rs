//! Sign-ins under way: what the person asked for, the attempt's wishes carried to the world, and what
//! becomes of the tokens it brings.
//!
//! New tokens go the way of all new tokens: written down, then into the store under the client's
//! locks, read back, looked at again. The old grant stays until then, and is not revoked. The sign-in
//! page's address goes only to who began; a callback is routed by its `state`.

mod stranded;

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Effect, Event, Failure, Keeper, Mode, NamedServer, Outcome, Pending, ProbeFinding, Reconnect,
    failure::plain_http_words,
    flight::{Ending, Flight, Work},
    grant::Grant,
    harmless::Harmless,
    naming,
    probing::Why,
};
use crate::{
    commands,
    facts::GrantFacts,
    health::Situation,
    http::{Answer, Fault},
    ids::{Door, GrantId, RecordId, SignInId, StoreId, Target, TokenMark},
    journal::{JournalFault, Record, Stage},
    oauth::{
        authorize::{Callback, Entropy, SCHEME_REDIRECT},
        fault::SignInFault,
        preflight::Redirect,
        url::{host, may_lead_to},
    },
    secret::Secret,
    signin::{
        EntryRegistration, Next, Page, PortFault, SignIn, SignInFailure, SignInRequest,
        SignInResult,
    },
    snapshot::SigningIn,
    store::{ConfiguredServer, Entry, LeftAlone, NewTokens, SignInConfig, StoreFault, StoreView},
    time::{Boot, Millis},
};

const LOOKING: &str = "looking for where to sign in";
const WAITING: &str = "waiting for your browser";
const FETCHING: &str = "fetching the tokens";
const SAVING: &str = "saving";
const PROVING: &str = "asking the server";

/// One sign-in under way.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Running {
    target: Target,
    grant: GrantId,
    server_name: String,
    phase: Phase,
    /// How long the browser is waited for.
    patience: Millis,
    deadline: Option<Boot>,
    /// Browser tabs that wait for a word.
    doors: Vec<Door>,
    /// Whose name the consent page shows, its host, and whether it comes back by the scheme.
    page: Option<(String, String, bool)>,
    account: Option<String>,
    other_account: bool,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Phase {
    /// Waiting for randomness.
    Drawing(Box<SignInRequest>),
    Asking(Box<SignIn>),
    /// The tokens are being written down.
    Journaling(Box<Record>),
    /// They wait for the store, by this record.
    Saving(RecordId),
    /// The server is asked whether it accepts the new token.
    Proving,
}

impl Keeper {
    /// A person asks for a sign-in.
    pub(super) fn reconnect(&mut self, wish: &Reconnect) {
        if self.mode == Mode::WatchOnly {
            return;
        }
        let grant = wish.grant.clone();
        let (target, name, subject) = match self.subject(wish) {
            Ok(found) => found,
            Err(why) => {
                let failure = SignInFailure::Impossible(why);
                return self.tell_failed(grant, &failure);
            }
        };
        if self.sign_outs.contains_key(&target) {
            let failure = SignInFailure::Impossible("it is being signed out".into());
            return self.tell_failed(grant, &failure);
        }
        // Tokens of an older one may be on their way, or received and not saved yet.
        if !self.sign_ins_that(&target, |older| !older.can_end()).is_empty() {
            let why = "a sign-in to it is just being completed";
            return self.tell_failed(grant, &SignInFailure::Impossible(why.into()));
        }
        for older in self.sign_ins_of(&target) {
            self.fail_sign_in(older, &SignInFailure::Cancelled);
        }
        self.last_sign_in += 1;
        let id = SignInId(self.last_sign_in);
        let running = Running {
            target,
            grant: grant.clone(),
            server_name: name,
            phase: Phase::Drawing(Box::new(subject)),
            patience: wish.patience,
            deadline: None,
            doors: Vec::new(),
            page: None,
            account: None,
            other_account: false,
        };
        self.sign_ins.insert(id, running);
        self.tell(Event::SigningIn { grant, step: LOOKING.into() });
        let ticket = self.ticket(Pending::SignIn(id));
        self.effects.push_back(Effect::Draw { ticket });
    }

    /// The person ends it.
    pub(super) fn cancel_sign_in(&mut self, grant: &GrantId) {
        if self.forget_asked_sign_in(grant) {
            let (code, why) =
                (SignInFailure::Cancelled.code(), SignInFailure::Cancelled.to_string());
            self.tell(Event::SignInFailed { grant: grant.clone(), code: code.into(), why });
        }
        let ids: Vec<SignInId> =
            self.sign_ins.iter().filter(|(_, r)| r.grant == *grant).map(|(id, _)| *id).collect();
        self.cancel_sign_ins(ids);
    }

    /// The page shows an error: the other way is begun, and the first stays open until one answers.
    pub(super) fn another_way(&mut self, grant: &GrantId) {
        let ids = self.sign_ins.iter().filter(|(_, running)| running.grant == *grant);
        let ids: Vec<SignInId> = ids.map(|(id, _)| *id).collect();
        for id in ids {
            let next = self.flow(id, SignIn::another_way);
            self.sign_in_goes_on(id, next);
        }
    }

    /// Ends those of them that wait for the browser.
    pub(super) fn cancel_sign_ins(&mut self, ids: Vec<SignInId>) {
        for id in ids {
            if self.sign_ins.get(&id).is_some_and(Running::can_end) {
                self.fail_sign_in(id, &SignInFailure::Cancelled);
            }
        }
    }

    /// What is known of the server that is meant.
    fn subject(&self, wish: &Reconnect) -> Result<(Target, String, SignInRequest), String> {
        let entry = if let Some(server) = &wish.server {
            self.entry_named(server)?
        } else {
            let target = self.target_of(&wish.grant);
            target.and_then(|target| {
                let entry = &self.grants.get(&target)?.entry;
                Some((Target::clone(&target), entry))
            })
        };
        let (target, name, url, config, entry) = match entry {
            Some((_, entry)) if entry.left_alone == Some(LeftAlone::EnterpriseManaged) => {
                return Err("this sign-in is managed by the organisation".into());
            }
            Some((_, entry)) if entry.left_alone.is_some() => {
                return Err("its entry has a shape this version does not know".into());
            }
            Some((target, entry)) => {
                let (name, url) = (entry.server_name.clone(), entry.server_url.clone());
                (target, name, url, entry.sign_in.clone(), Some(entry))
            }
            None => match &wish.server {
                Some(server) => self.named_subject(server)?,
                None => self.configured_subject(&wish.grant)?,
            },
        };
        if self.plain_http.refused(&url).is_some() {
            return Err(self.plain_words(&url));
        }
        if entry.is_none() && self.is_away(&target.store) {
            let place = self.infos.get(&target.store).map_or("", |info| &info.place);
            return Err(format!("{place} is not there now; sign in when it is back"));
        }
        let facts = self.facts_of(&target);
        let kept = facts.registration.clone();
        // A secret is in the entry alone: without the entry only a client that has none is left.
        let kept = kept.and_then(|mut kept| match entry {
            Some(entry) => {
                let client = entry.client.clone()?;
                kept.secret = client.secret;
                (kept.client_id == client.id).then_some(kept)
            }
            None => kept.is_public().then_some(kept),
        });
        let redirects = self.facts.of_all().filter_map(|facts| facts.redirect.clone());
        let subject = SignInRequest {
            profile: self.profiles.of(&url).1.clone(),
            server_url: url,
            server_name: name.clone(),
            configured: config.client,
            callback_port: config.callback_port,
            metadata_url: config.metadata_url,
            stored: entry.and_then(stored_registration),
            kept,
            more_scopes: wish.more_scopes.clone(),
            granted_scope: entry.and_then(|entry| entry.scope.clone()),
            recorded: self.recorded_server(&target),
            pin: facts.pin.clone(),
            trusted: facts.trusted.clone(),
            confirmed_issuer: facts.confirmed_issuer.clone(),
            wish: wish.redirect,
            port: wish.port,
            scheme_served: self.sign_in_means.scheme_served,
            redirects_known: redirects.collect(),
            metadata_document: self.sign_in_means.metadata_document.clone(),
            plain_http: self.plain_http.clone(),
        };
        Ok((target, name, subject))
    }

    fn plain_words(&self, url: &str) -> String {
        plain_http_words(&self.plain_http.refused(url).unwrap_or_else(|| host(url)))
    }

    /// The entry that a person means by name and URL. A name that another server has is refused: the
    /// client tells its servers apart by name.
    fn entry_named(&self, server: &NamedServer) -> Result<Option<(Target, &Entry)>, String> {
        let NamedServer { store, name, url, .. } = server;
        match self.stores.get(store) {
            Some(Ok(_) | Err(StoreFault::Absent { .. })) => {}
            Some(Err(fault)) => return Err(fault.to_string()),
            None => return Err(format!("no client by the name of {store} is looked after here")),
        }
        if self.plain_http.refused(url).is_some() {
            return Err(self.plain_words(url));
        }
        if !may_lead_to(url, url, &self.plain_http) {
            return Err(
                "only https addresses without a user can be signed in to, and http ones on \
                        this machine"
                    .into(),
            );
        }
        let mut other = None;
        for target in self.grants.of_server(store, name) {
            let Some(Grant { entry, .. }) = self.grants.get(&target) else { continue };
            if entry.server_url == *url {
                return Ok(Some((Target::clone(&target), entry)));
            }
            other.get_or_insert(entry);
        }
        other.map_or(Ok(None), |other| Err(name_taken(name, &other.server_url)))
    }

    /// A server that has no entry, by name and URL: the configuration's, where it names it.
    fn named_subject(&self, server: &NamedServer) -> Result<Known<'_>, String> {
        let NamedServer { store, key, name, url } = server;
        let views = self.stores.get(store).and_then(|seen| seen.as_ref().ok());
        let named = || {
            let all = views.into_iter().flat_map(|view| &view.servers);
            all.filter(|known| known.name == *name)
        };
        // Of several that are called so, the one that is meant.
        match named().find(|known| known.url == *url).or_else(|| named().next()) {
            Some(known) if known.url == *url => known_by_configuration(store, known),
            Some(known) => Err(name_taken(name, &known.url)),
            None => {
                let target = Target { store: store.clone(), key: key.clone() };
                Ok((target, name.clone(), url.clone(), SignInConfig::default(), None))
            }
        }
    }

    /// A server that only the configuration names.
    pub(super) fn configured_subject(&self, grant: &GrantId) -> Result<Known<'_>, String> {
        let views = self.stores.iter().filter_map(|(id, seen)| Some((id, seen.as_ref().ok()?)));
        let mut servers = views.flat_map(|(store, view)| {
            let ids = self.configured_ids(store, view);
            ids.into_iter().zip(&view.servers).map(move |(id, server)| (id, store, server))
        });
        let found = servers.find(|(id, ..)| id == grant);
        let Some((_, store, server)) = found else {
            return Err("no server by this name was found".into());
        };
        known_by_configuration(store, server)
    }

    /// What the servers of a store are called that only the configuration names, in its order.
    pub(super) fn configured_ids(&self, store: &StoreId, view: &StoreView) -> Vec<GrantId> {
        naming::configured(store, &view.servers, &|id| self.grants.named(id).is_some())
    }

    /// Answers a browser tab.
    fn show(&mut self, door: Door, page: Page) {
        self.effects.push_back(Effect::Show { door, page: page.harmless() });
    }

    pub(super) fn sign_ins_of(&self, target: &Target) -> Vec<SignInId> {
        self.sign_ins.iter().filter(|(_, r)| r.target == *target).map(|(id, _)| *id).collect()
    }

    /// Randomness came.
    pub(super) fn sign_in_drawn(&mut self, id: SignInId, entropy: Entropy) {
        let Some(running) = self.sign_ins.get_mut(&id) else { return };
        let Phase::Drawing(subject) = &running.phase else { return };
        let (flow, next) = SignIn::begin((**subject).clone(), entropy);
        running.phase = Phase::Asking(Box::new(flow));
        self.sign_in_goes_on(id, next);
    }

    /// A request of it was answered.
    pub(super) fn sign_in_answered(&mut self, id: SignInId, answer: Result<Answer, Fault>) {
        let now = self.now.wall;
        let next = self.flow(id, |flow| flow.answered(answer.as_ref().map_err(|f| *f), now));
        self.sign_in_goes_on(id, next);
    }

    /// Its listener is there, or not.
    pub(super) fn sign_in_listening(&mut self, id: SignInId, port: Result<u16, PortFault>) {
        let next = self.flow(id, |flow| flow.listening(port));
        self.sign_in_goes_on(id, next);
    }

    fn flow(&mut self, id: SignInId, step: impl FnOnce(&mut SignIn) -> Next) -> Next {
        match self.sign_ins.get_mut(&id).map(|running| &mut running.phase) {
            Some(Phase::Asking(flow)) => step(flow),
            Some(Phase::Drawing(_) | Phase::Journaling(_) | Phase::Saving(_) | Phase::Proving)
            | None => Next::Wait,
        }
    }

    fn sign_in_goes_on(&mut self, id: SignInId, next: Next) {
        match next {
            Next::Fetch(request) => {
                let ticket = self.ticket(Pending::SignIn(id));
                self.effects.push_back(Effect::Fetch { ticket, request });
            }
            Next::Listen(port) => {
                let ticket = self.ticket(Pending::SignIn(id));
                self.effects.push_back(Effect::Listen { ticket, sign_in: id, port });
            }
            Next::Invite(invitation) => {
                let Some(running) = self.sign_ins.get_mut(&id) else { return };
                running.deadline = Some(self.now.boot + running.patience);
                let scheme = invitation.redirect_uri == SCHEME_REDIRECT;
                let (name, host) = (invitation.client_name.clone(), invitation.host.clone());
                running.page = Some((name, host, scheme));
                let grant = running.grant.clone();
                let invitation = invitation.harmless();
                self.effects.push_back(Effect::Invite { grant: grant.clone(), invitation });
                self.tell(Event::SigningIn { grant, step: WAITING.into() });
            }
            Next::Wait => {}
            Next::Gained(gained) => self.sign_in_gained(id, *gained),
            Next::Failed(failure) => self.fail_sign_in(id, &failure),
        }
    }

    /// A browser, or a person, brings a callback.
    pub(super) fn called_back(&mut self, door: Door, query: &Secret) {
        let callback = Callback::read(query.expose()).ok();
        let awaiting = callback.as_ref().and_then(|callback| {
            self.sign_ins.iter().find_map(|(id, running)| match &running.phase {
                Phase::Asking(flow) if flow.awaits(callback) => Some(*id),
                Phase::Asking(_)
                | Phase::Drawing(_)
                | Phase::Journaling(_)
                | Phase::Saving(_)
                | Phase::Proving => None,
            })
        });
        let (Some(callback), Some(id)) = (callback, awaiting) else {
            self.show(door, Page::NotWaiting);
            return;
        };
        if let Some(running) = self.sign_ins.get_mut(&id) {
            running.doors.push(door);
        }
        let next = self.flow(id, |flow| flow.called_back(callback));
        if let (Next::Fetch(_), Some(running)) = (&next, self.sign_ins.get(&id)) {
            let grant = running.grant.clone();
            self.tell(Event::SigningIn { grant, step: FETCHING.into() });
        }
        if matches!(next, Next::Wait) {
            // Not this attempt's own server: nothing of it is shown, and the right one may come.
            if let Some(running) = self.sign_ins.get_mut(&id) {
                running.doors.retain(|d| *d != door);
            }
            self.show(door, Page::NotWaiting);
        }
        self.sign_in_goes_on(id, next);
    }

    /// New tokens: written down before anything else is done with them.
    fn sign_in_gained(&mut self, id: SignInId, gained: SignInResult) {
        let now = self.now.wall;
        let Some(running) = self.sign_ins.get_mut(&id) else { return };
        running.deadline = None;
        let target = running.target.clone();
        let grant = running.grant.clone();
        let tokens = NewTokens {
            access: gained.granted.access.clone(),
            refresh: gained.granted.refresh.clone(),
            expires_at: gained.granted.expires_at(now),
            scope: gained.granted.scope.clone(),
        };
        let access = TokenMark::of(&self.mark_key, &tokens.access);
        if let Some(refresh) = &tokens.refresh {
            self.receive(TokenMark::of(&self.mark_key, refresh));
        }
        let replaced = self.grants.get(&target).map(|g| g.entry.pair.clone()).unwrap_or_default();
        let sign_in_days = self.profiles.of(&gained.enrolment.server_url).1.sign_in_life_days;
        let by_profile = sign_in_days.map(|days| Millis::hours(days.saturating_mul(24)));
        let account = gained.account.map(|account| account.label);
        self.remember_redirect(&gained.server.issuer, gained.redirect);
        let facts = self.facts_mut(&target);
        facts.life = gained.granted.life.or_else(|| tokens.expires_at.map(|end| now.until(end)));
        facts.issued_at = Some(now);
        facts.access = Some(access);
        facts.proof_at = Some(now);
        facts.refused_access = None;
        facts.unproven_access = Some(access);
        facts.refusal = None;
        facts.failing_since = None;
        facts.trusted.clear();
        facts.seen_issuer = None;
        facts.pin = Some(gained.server.pin());
        facts.metadata = Some((gained.server.for_refresh(), now));
        facts.anchor = Some(gained.enrolment.authorization_server.clone());
        facts.sign_in_ends = gained.granted.sign_in_life.or(by_profile).map(|life| now + life);
        facts.redirect = Some((gained.server.issuer.clone(), gained.redirect));
        facts.registration = gained.kept;
        facts.resource = Some(gained.resource);
        let other = facts.account.as_ref().zip(account.as_ref()).is_some_and(|(a, b)| a != b);
        facts.account = account.clone().or_else(|| facts.account.take());
        let record = Record {
            id: self.record_id(access),
            at: now,
            replaced: Vec::from([(target, replaced)]),
            client_id: gained.enrolment.client.id.clone(),
            mark: access,
            stage: Stage::Answered(tokens),
            enrolment: Some(gained.enrolment),
            written_over: None,
        };
        if let Some(running) = self.sign_ins.get_mut(&id) {
            (running.account, running.other_account) = (account, other);
            running.phase = Phase::Journaling(Box::new(record.clone()));
        }
        self.tell(Event::SigningIn { grant, step: SAVING.into() });
        let ticket = self.ticket(Pending::SignIn(id));
        self.effects.push_back(Effect::Journal { ticket, record });
    }

    /// Which way the browser came back is known per issuer, whichever server it was for.
    fn remember_redirect(&mut self, issuer: &str, redirect: Redirect) {
        let same = |facts: &GrantFacts| facts.redirect.as_ref().is_some_and(|(of, _)| of == issuer);
        let others = self.facts.each().filter(|(_, facts)| same(facts));
        let others: Vec<Target> = others.map(|(target, _)| target.clone()).collect();
        for target in others {
            self.facts_mut(&target).redirect = Some((issuer.into(), redirect));
        }
    }

    /// The tokens are written down, or could not be: the store is next in any case.
    pub(super) fn sign_in_journaled(&mut self, id: SignInId, kept: &Result<(), JournalFault>) {
        let Some(running) = self.sign_ins.get_mut(&id) else { return };
        let Phase::Journaling(record) = &running.phase else { return };
        let record = (**record).clone();
        let name = record.id.clone();
        running.phase = Phase::Saving(name.clone());
        self.keep_spare(record, true);
        if kept.is_err() {
            self.spares.edit(&name, |spare| spare.only_here = true);
        }
    }

    /// A flight that saved a sign-in's tokens ended.
    pub(super) fn sign_in_landed(&mut self, target: &Target, flight: &Flight, ending: &Ending) {
        let Work::Save { record, restoring: false } = &flight.work else { return };
        if record.enrolment.is_none() {
            return;
        }
        // Another one may wait for the browser while tokens of an earlier run come home.
        let ids = self.sign_ins_that(target, Running::is_saving);
        match ending {
            Ending::Saved if flight.saved.contains(target) => {
                if let Some(grant) = self.grants.get_mut(target) {
                    grant.was_asked = true;
                    grant.failure = None;
                    grant.wait_until = None;
                }
                for id in ids {
                    if let Some(running) = self.sign_ins.get_mut(&id) {
                        running.phase = Phase::Proving;
                        let grant = running.grant.clone();
                        self.tell(Event::SigningIn { grant, step: PROVING.into() });
                    }
                }
                self.probe(target, Why::Asked);
            }
            Ending::Saved | Ending::Adopted | Ending::SignedOut => {
                for id in ids {
                    self.fail_sign_in(id, &SignInFailure::Overtaken);
                }
            }
            // It is owed, and tried again.
            Ending::PutOff | Ending::Overtaken | Ending::Failed(_) => {}
        }
    }

    /// Whether the new tokens of a sign-in are being proved.
    pub(super) fn is_proving(&self, target: &Target) -> bool {
        !self.sign_ins_that(target, Running::is_proving).is_empty()
    }

    fn sign_ins_that(&self, target: &Target, are: impl Fn(&Running) -> bool) -> Vec<SignInId> {
        let all = self.sign_ins_of(target).into_iter();
        all.filter(|id| self.sign_ins.get(id).is_some_and(&are)).collect()
    }

    /// The server said what it thinks of the new token.
    pub(super) fn sign_in_proved(&mut self, target: &Target, finding: ProbeFinding) {
        // A server may be asked for other reasons while its sign-in still waits for the browser.
        for id in self.sign_ins_that(target, Running::is_proving) {
            let Some(running) = self.take_sign_in(id) else { continue };
            let tools = match finding {
                ProbeFinding::Accepted(tools) => tools,
                ProbeFinding::Refused | ProbeFinding::Unknown => None,
            };
            let refused = finding == ProbeFinding::Refused;
            let page = if refused {
                Page::Refused { server: running.server_name.clone() }
            } else {
                Page::SignedIn { server: running.server_name.clone(), tools }
            };
            for door in running.doors {
                self.show(door, page.clone());
            }
            self.effects.push_back(Effect::Hush { sign_in: id });
            self.tell(Event::SignedIn {
                grant: running.grant,
                server: running.server_name,
                tools,
                refused,
                account: running.account,
                other_account: running.other_account,
            });
        }
    }

    fn fail_sign_in(&mut self, id: SignInId, failure: &SignInFailure) {
        let Some(running) = self.take_sign_in(id) else { return };
        if let SignInFailure::Discovery(SignInFault::IssuerMismatch { issuer, .. }) = failure {
            self.facts_mut(&running.target).seen_issuer = Some(issuer.clone());
        }
        if let SignInFailure::Moved { known, now, issuer, .. } = failure {
            if let Some(issuer) = issuer {
                self.facts_mut(&running.target).seen_issuer = Some(issuer.clone());
            } else if let Some(grant) = self.grants.get_mut(&running.target) {
                let (known, now) = (known.clone(), now.clone());
                grant.failure = Some(Failure::Approval { known, now });
            }
        }
        let words = failure.to_string();
        for door in running.doors {
            let page = Page::Failed { server: running.server_name.clone(), words: words.clone() };
            self.show(door, page);
        }
        self.effects.push_back(Effect::Hush { sign_in: id });
        self.tell_failed(running.grant, failure);
    }

    /// An attempt is over: its grant stands otherwise.
    fn take_sign_in(&mut self, id: SignInId) -> Option<Running> {
        self.touch_sign_in(id);
        self.sign_ins.remove(&id)
    }

    /// The grant of an attempt stands otherwise while it is under way.
    pub(super) fn touch_sign_in(&mut self, id: SignInId) {
        if let Some(running) = self.sign_ins.get(&id) {
            self.grants.touch(&running.target);
        }
    }

    fn tell_failed(&mut self, grant: GrantId, failure: &SignInFailure) {
        self.tell(Event::SignInFailed {
            grant,
            code: failure.code().into(),
            why: failure.to_string(),
        });
    }

    /// Nobody came back in time, the process is about to end, or nothing is left to be saved.
    pub(super) fn end_sign_ins(&mut self) {
        self.end_stranded_sign_ins();
        let now = self.now.boot;
        let over: Vec<(SignInId, SignInFailure)> = self
            .sign_ins
            .iter()
            .filter(|(_, running)| running.can_end())
            .filter_map(|(id, running)| {
                let late = running.deadline.is_some_and(|deadline| deadline <= now);
                let failure = if late { SignInFailure::TimedOut } else { SignInFailure::Cancelled };
                (late || self.stopping).then_some((*id, failure))
            })
            .collect();
        for (id, failure) in over {
            self.fail_sign_in(id, &failure);
        }
    }

    /// When the next attempt runs out of time.
    pub(super) fn next_sign_in_end(&self) -> Option<Boot> {
        self.sign_ins.values().filter_map(|running| running.deadline).min()
    }

    /// How an attempt for this entry is shown, if one is under way.
    pub(super) fn signing_in(&self, target: &Target) -> Option<Situation> {
        let mut all = self.sign_ins.values();
        let running = all.find(|running| running.target == *target)?;
        Some(Situation::SigningIn { waiting: running.is_waiting() })
    }

    /// How far an attempt for this entry is, as everybody may see it.
    pub(super) fn sign_in_shown(&self, target: &Target) -> Option<SigningIn> {
        let mut all = self.sign_ins.values();
        let running = all.find(|running| running.target == *target)?;
        let (client_name, host, scheme) = running.page.clone().map_or_else(
            || (None, None, false),
            |(client_name, host, scheme)| (Some(client_name), Some(host), scheme),
        );
        Some(SigningIn {
            step: running.step().into(),
            client_name,
            host,
            waiting: running.is_waiting(),
            scheme,
            other_way: matches!(&running.phase, Phase::Asking(flow) if flow.has_another_way()),
        })
    }

    /// An outcome for an attempt.
    pub(super) fn sign_in_done(&mut self, id: SignInId, outcome: Outcome) {
        match outcome {
            Outcome::Drawn(entropy) => self.sign_in_drawn(id, entropy),
            Outcome::Fetched(answer) => self.sign_in_answered(id, answer),
            Outcome::Listening(port) => self.sign_in_listening(id, port),
            Outcome::Kept(kept) => self.sign_in_journaled(id, &kept),
            Outcome::Locked(_)
            | Outcome::Read(_)
            | Outcome::Answered(_)
            | Outcome::Wrote(_)
            | Outcome::Unlocked
            | Outcome::Withdrawn(_)
            | Outcome::Probed(_) => self.fail_sign_in(id, &SignInFailure::OutOfTurn),
        }
    }
}

impl Running {
    /// Whether nothing is lost if it ends now.
    fn can_end(&self) -> bool {
        match &self.phase {
            Phase::Drawing(_) => true,
            Phase::Asking(flow) => flow.can_end(),
            Phase::Journaling(_) | Phase::Saving(_) | Phase::Proving => false,
        }
    }

    pub(super) fn is_for(&self, grant: &GrantId) -> bool {
        self.grant == *grant
    }

    const fn is_saving(&self) -> bool {
        matches!(self.phase, Phase::Saving(_))
    }

    fn is_proving(&self) -> bool {
        matches!(self.phase, Phase::Proving)
    }

    /// What happens, in words.
    const fn step(&self) -> &'static str {
        match &self.phase {
            Phase::Drawing(_) => LOOKING,
            Phase::Asking(flow) if flow.is_waiting() => WAITING,
            Phase::Asking(_) if self.page.is_some() => FETCHING,
            Phase::Asking(_) => LOOKING,
            Phase::Journaling(_) | Phase::Saving(_) => SAVING,
            Phase::Proving => PROVING,
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(&self.phase, Phase::Asking(flow) if flow.is_waiting())
    }
}

/// A server's entry to be, its name and URL, how a sign-in to it is configured, and what stands there.
pub(super) type Known<'a> = (Target, String, String, SignInConfig, Option<&'a Entry>);

fn known_by_configuration<'a>(
    store: &StoreId,
    server: &ConfiguredServer,
) -> Result<Known<'a>, String> {
    let Some(key) = server.key.clone() else {
        return Err(format!(
            "its address depends on variables that only the client knows; sign in with {}",
            commands::sign_in(&server.name)
        ));
    };
    let target = Target { store: store.clone(), key };
    Ok((target, server.name.clone(), server.url.clone(), server.sign_in.clone(), None))
}

fn name_taken(name: &str, url: &str) -> String {
    format!("{name} is the name of another server here, at {}; choose another name", host(url))
}

fn stored_registration(entry: &Entry) -> Option<EntryRegistration> {
    Some(EntryRegistration {
        client: entry.client.clone()?,
        redirect_uri: entry.redirect_uri.clone(),
        issuer: entry.issuer.clone(),
        authorization_server: entry.authorization_server.clone(),
    })
}
