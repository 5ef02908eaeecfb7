//! One sign-in, from the click to new tokens: challenge, discovery, client, browser, code exchange.
//!
//! ```text
//!  challenge ─► discovery ─► client ─► listen ─► register ─► preflight ─► browser ─► exchange ─► gained
//! ```
//!
//! A pure machine: it says what it wants next ([`Next`]) and is told what came. It must not store
//! anything, never mix two attempts (a callback is routed by its `state` alone), and never show what
//! a callback says before its issuer was judged. The old grant stays as it is until the keeper has
//! saved what this brings.
//!
//! Read next: `client` for whose name the consent page shows, `oauth` for the messages, and
//! `keeper/signing` for what happens to the tokens.

mod client;
mod failure;

use alloc::{borrow::ToOwned, boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use client::Stored;
pub use failure::{PortFault, SignInFailure};

use crate::{
    http::{Answer, Fault, Method, PlainHttp, Request},
    oauth::{
        auth_method::AuthMethod,
        authorize::{
            Authorization, Callback, CallbackRefused, Entropy, Proof, SCHEME_REDIRECT,
            loopback_redirect,
        },
        challenge::Challenge,
        discovery::{Discovered, SignInDiscovery, Start},
        metadata::{AuthorizationServer, host},
        pin::Pin,
        preflight::{self, Glimpse, NEVER_REGISTERED, Redirect},
        profile::Profile,
        registration::{OwnRegistration, Registration},
        scopes,
        token::{self, Account, CodeExchange, Granted, Reading},
    },
    secret::Secret,
    store::{ClientCredentials, Enrolment},
    time::Wall,
};
use client::{Client, Whose};

/// The revision of MCP that a greeting speaks.
const WITH_SESSIONS: &str = "2025-11-25";
/// The first revision without sessions.
const WITHOUT_SESSIONS: &str = "2026-07-28";

/// Where the browser is to come back to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectWish {
    /// The scheme where it is served here and the server takes it, else loopback.
    #[default]
    Automatic,
    /// The scheme, whatever the server shows.
    Scheme,
    /// Loopback.
    Loopback,
}

/// What is known before the first request.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The MCP server.
    pub server_url: String,
    /// Its name in the client's store.
    pub server_name: String,
    /// The client that the user registered by hand, from the client program's configuration.
    pub configured: Option<ClientCredentials>,
    /// The loopback port that the user configured for it.
    pub callback_port: Option<u16>,
    /// The metadata document that the user configured.
    pub metadata_url: Option<String>,
    /// The registration that the store's entry has.
    pub stored: Option<Stored>,
    /// The registration of our own for this very entry.
    pub kept: Option<OwnRegistration>,
    /// Scopes that are asked for beyond those granted.
    pub more_scopes: Vec<String>,
    /// What was granted before.
    pub granted_scope: Option<String>,
    /// Where the last sign-in was.
    pub recorded: Option<String>,
    /// Where the last sign-in's tokens may go.
    pub pin: Option<Pin>,
    /// New hosts for them that a person was shown and trusts.
    pub trusted: Vec<String>,
    /// An issuer that a person has confirmed.
    pub confirmed_issuer: Option<String>,
    /// What this provider does differently.
    pub profile: Profile,
    /// Where the browser is to come back to.
    pub wish: RedirectWish,
    /// The port that was asked for, for this once.
    pub port: Option<u16>,
    /// Somebody on this machine hands callbacks of the scheme to us.
    pub scheme_served: bool,
    /// Which way the browser came back before, by issuer.
    pub redirects_known: BTreeMap<String, Redirect>,
    /// Our own Client ID Metadata Document, where one is configured.
    pub metadata_document: Option<String>,
    /// Whom the user lets in without TLS.
    pub plain_http: PlainHttp,
}

/// What the machine wants.
#[derive(Debug)]
pub enum Next {
    /// Carry this request; answer with [`SignIn::answered`].
    Fetch(Request),
    /// Listen on loopback: on this port, or on any that the client program might use itself.
    Listen(Option<u16>),
    /// Show this to who began it, and wait for the browser.
    Invite(Invitation),
    /// New tokens.
    Gained(Box<Gained>),
    /// Go on waiting for the browser: what came was not ours to look at.
    Wait,
    /// It is over.
    Failed(SignInFailure),
}

/// What is shown to who began a sign-in, and to nobody else: the URL holds `state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// For the browser.
    pub url: Secret,
    /// Where it comes back to.
    pub redirect_uri: String,
    /// Whose name the consent page shows.
    pub client_name: String,
    /// The host of the page.
    pub host: String,
    /// Whether there is another way, should the page show an error.
    pub other_way: bool,
}

/// What a browser tab that came back is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// It worked.
    SignedIn {
        /// The server's name.
        server: String,
        /// How many tools it offers, where it said so.
        tools: Option<u32>,
    },
    /// The tokens are new and saved, and the server refuses them.
    Refused {
        /// The server's name.
        server: String,
    },
    /// It did not.
    Failed {
        /// The server's name.
        server: String,
        /// Why; nothing of what the server said.
        words: String,
    },
    /// Nobody waits for this.
    NotWaiting,
}

/// What a sign-in brought.
#[derive(Debug, Clone)]
pub struct Gained {
    /// The tokens.
    pub granted: Granted,
    /// Everything else that the store needs.
    pub enrolment: Enrolment,
    /// What it was made for: the search's `resource`, whether it was sent or not.
    pub resource: String,
    /// The authorization server, for the pin and for later refreshes.
    pub server: AuthorizationServer,
    /// Who signed in, where the answer says.
    pub account: Option<Account>,
    /// The registration, if it is our own.
    pub kept: Option<OwnRegistration>,
    /// Which way the browser came back.
    pub redirect: Redirect,
}

/// What is asked without a token, to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    Initialize,
    /// In the form of the revision without sessions (2026-07-28): its servers know no greeting, and
    /// others greet anybody and ask only then who it is.
    ListTools,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Step {
    Challenging(Opener),
    Discovering(Box<SignInDiscovery>),
    Listening,
    Registering(Wanted),
    Preflighting {
        answers: Vec<Option<Glimpse>>,
    },
    /// For whichever of the pages answers first; the second is there once another way was asked for.
    Waiting(Vec<Opened>),
    Exchanging {
        redirect: Redirect,
    },
}

/// A sign-in page that a person was led to.
#[derive(Debug, Clone)]
struct Opened {
    /// What its answer has to prove.
    proof: Proof,
    /// Where that comes back to.
    redirect: Redirect,
}

/// What a registration is to name; less of it after a refusal that may have been for that.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    scheme: bool,
    scopes: bool,
}

/// One attempt.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct SignIn {
    subject: Subject,
    entropy: Entropy,
    found: Option<Discovered>,
    client: Option<Client>,
    port: Option<u16>,
    step: Step,
}

impl SignIn {
    /// Begins; the first thing to do comes with it.
    pub fn begin(subject: Subject, entropy: Entropy) -> (Self, Next) {
        let opener = Opener::Initialize;
        let first = Next::Fetch(challenge_request(&subject.server_url, opener));
        let step = Step::Challenging(opener);
        (Self { subject, entropy, found: None, client: None, port: None, step }, first)
    }

    /// Whether this callback belongs to it, and it still waits for one.
    pub fn awaits(&self, callback: &Callback) -> bool {
        self.opened().iter().any(|page| callback.is_for(&page.proof))
    }

    /// Whether it waits for a person, so that nothing is lost if it ends now.
    pub const fn can_end(&self) -> bool {
        !matches!(self.step, Step::Exchanging { .. })
    }

    /// Whether the browser has been asked for.
    pub const fn is_waiting(&self) -> bool {
        matches!(self.step, Step::Waiting(_))
    }

    /// The pages that are waited for.
    fn opened(&self) -> &[Opened] {
        if let Step::Waiting(opened) = &self.step { opened } else { &[] }
    }

    /// Whether the browser can come back by another way than the one that is waited for.
    pub fn has_another_way(&self) -> bool {
        self.other_redirect().is_some()
    }

    /// The page shows an error: the other redirect, while the first page stays good until one of the
    /// two answers.
    pub fn another_way(&mut self) -> Next {
        self.other_redirect().map_or(Next::Wait, |redirect| self.invite(redirect))
    }

    fn other_redirect(&self) -> Option<Redirect> {
        let [only] = self.opened() else { return None };
        let client = self.client.as_ref()?;
        let (other, takes) = match only.redirect {
            Redirect::Scheme => (Redirect::Loopback, client.takes(&loopback_redirect(self.port?))),
            Redirect::Loopback => {
                (Redirect::Scheme, self.subject.scheme_served && client.takes(SCHEME_REDIRECT))
            }
        };
        takes.then_some(other)
    }

    /// A request was answered.
    pub fn answered(&mut self, answer: Result<&Answer, Fault>, now: Wall) -> Next {
        match &mut self.step {
            Step::Challenging(opener) => {
                let opener = *opener;
                self.challenged(answer, opener)
            }
            Step::Discovering(search) => match search.answer(answer) {
                None => self.search_on(),
                Some(Err(fault)) => Next::Failed(SignInFailure::Discovery(fault)),
                Some(Ok(found)) => {
                    if let Some(moved) = self.moved(&found) {
                        return Next::Failed(moved);
                    }
                    self.found = Some(found);
                    self.choose_client(now)
                }
            },
            Step::Registering(wanted) => {
                let wanted = *wanted;
                self.registered(answer, wanted)
            }
            Step::Preflighting { .. } => self.glimpsed(answer.ok()),
            Step::Exchanging { redirect } => {
                let redirect = *redirect;
                self.exchanged(answer, redirect)
            }
            Step::Listening | Step::Waiting(_) => Next::Failed(SignInFailure::OutOfTurn),
        }
    }

    fn challenged(&mut self, answer: Result<&Answer, Fault>, opener: Opener) -> Next {
        let challenge = match answer {
            Ok(answer) if matches!(answer.status, 401 | 403) => {
                Challenge::bearer(&answer.challenges)
            }
            Ok(_) if opener == Opener::Initialize => {
                self.step = Step::Challenging(Opener::ListTools);
                let again = challenge_request(&self.subject.server_url, Opener::ListTools);
                return Next::Fetch(again);
            }
            Ok(_) => None,
            // It answered before: what it says about itself may still be had.
            Err(_) if opener == Opener::ListTools => None,
            Err(fault) => return Next::Failed(SignInFailure::Unreachable(fault)),
        };
        let start = Start {
            server_url: &self.subject.server_url,
            challenge: challenge.as_ref(),
            metadata_url: self.subject.metadata_url.as_deref(),
            recorded: self.subject.recorded.as_deref(),
            confirmed_issuer: self.subject.confirmed_issuer.as_deref(),
            plain_http: Some(&self.subject.plain_http),
        };
        let search = SignInDiscovery::new(start, &self.subject.profile);
        self.step = Step::Discovering(Box::new(search));
        self.search_on()
    }

    /// A token endpoint that is not where it was gets neither a code nor a client's secret before a
    /// person has seen both hosts.
    fn moved(&self, found: &Discovered) -> Option<SignInFailure> {
        if let Some(known) = client::configured_elsewhere(&self.subject, found) {
            return Some(SignInFailure::Moved {
                known: host(known),
                now: host(&found.server.issuer),
                issuer: Some(found.server.issuer.clone()),
                server_name: self.subject.server_name.clone(),
            });
        }
        if let Some((known, now, issuer)) = client::misfit(&self.subject, found) {
            let server_name = self.subject.server_name.clone();
            return Some(SignInFailure::Moved { known, now, issuer, server_name });
        }
        let pin = self.subject.pin.as_ref()?;
        let here = found.server.pin();
        let moved = pin.issuer == here.issuer && pin.token_origin != here.token_origin;
        let listed = self.subject.profile.token_origins.contains(&here.token_origin)
            || self.subject.trusted.contains(&host(&here.token_origin));
        (moved && !listed).then(|| SignInFailure::Moved {
            known: host(&pin.token_origin),
            now: host(&here.token_origin),
            issuer: None,
            server_name: self.subject.server_name.clone(),
        })
    }

    fn search_on(&self) -> Next {
        let Step::Discovering(search) = &self.step else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let nothing = SignInFailure::BadAddress;
        search.request().map_or(Next::Failed(nothing), Next::Fetch)
    }

    fn choose_client(&mut self, now: Wall) -> Next {
        let Some(found) = &self.found else { return Next::Failed(SignInFailure::OutOfTurn) };
        match client::choose(&self.subject, found, now) {
            Some(client) if client.lacks_secret(&self.subject.profile) => {
                let provider = self.subject.profile.name.clone();
                let server_name = self.subject.server_name.clone();
                Next::Failed(SignInFailure::NeedsSecret { provider, server_name })
            }
            Some(client) => self.listen_for(client),
            None => Next::Failed(self.needs_client()),
        }
    }

    fn needs_client(&self) -> SignInFailure {
        SignInFailure::NeedsClient { server_name: self.subject.server_name.clone() }
    }

    /// The port comes before the registration, which has to name it.
    fn listen_for(&mut self, client: Client) -> Next {
        let wanted = client.port(&self.subject);
        self.client = Some(client);
        self.step = Step::Listening;
        Next::Listen(wanted)
    }

    /// The listener is there, or its port is taken.
    pub fn listening(&mut self, port: Result<u16, PortFault>) -> Next {
        let Some(client) = self.client.clone() else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        match port {
            Ok(port) => {
                self.port = Some(port);
                match client {
                    Client::Register { method } => {
                        let wanted = Wanted { scheme: self.may_use_scheme(), scopes: true };
                        self.register(method, wanted)
                    }
                    Client::Given { .. } | Client::Document { .. } | Client::OwnRegistration(_) => {
                        self.choose_redirect()
                    }
                }
            }
            // Another port will do where nothing fixes it: a new registration names it.
            Err(_) if !client.is_fixed(&self.subject) && client.port(&self.subject).is_some() => {
                let Some(found) = &self.found else {
                    return Next::Failed(SignInFailure::OutOfTurn);
                };
                match client::to_register(&self.subject, found) {
                    Some(client) => {
                        self.client = Some(client);
                        Next::Listen(None)
                    }
                    None => Next::Failed(self.needs_client()),
                }
            }
            Err(fault) => Next::Failed(SignInFailure::Port(fault)),
        }
    }

    /// Whether the scheme may be among a registration's redirect URIs.
    fn may_use_scheme(&self) -> bool {
        match self.subject.wish {
            RedirectWish::Automatic => self.subject.scheme_served,
            RedirectWish::Scheme => true,
            RedirectWish::Loopback => false,
        }
    }

    fn redirect_uris(&self, with_scheme: bool) -> Vec<String> {
        let scheme = with_scheme.then(|| String::from(SCHEME_REDIRECT));
        scheme.into_iter().chain(self.port.map(loopback_redirect)).collect()
    }

    fn register(&mut self, method: AuthMethod, wanted: Wanted) -> Next {
        let Some((found, redirect_uris, scopes)) = self.registration(wanted) else {
            return Next::Failed(self.needs_client());
        };
        let Some(endpoint) = found.server.registration_endpoint.as_deref() else {
            return Next::Failed(self.needs_client());
        };
        let registration = Registration {
            endpoint,
            redirect_uris: &redirect_uris,
            scopes: &scopes,
            method,
            on_behalf_of: &self.subject.server_url,
        };
        let request = registration.request();
        self.step = Step::Registering(wanted);
        Next::Fetch(request)
    }

    fn registration(&self, wanted: Wanted) -> Option<(&Discovered, Vec<String>, Vec<String>)> {
        let found = self.found.as_ref()?;
        let scopes = if wanted.scopes { self.scopes(found) } else { Vec::new() };
        Some((found, self.redirect_uris(wanted.scheme), scopes))
    }

    fn registered(&mut self, answer: Result<&Answer, Fault>, wanted: Wanted) -> Next {
        let Some(Client::Register { method }) = self.client.clone() else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let Some((found, redirect_uris, scopes)) = self.registration(wanted) else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let registration = Registration {
            endpoint: found.server.registration_endpoint.as_deref().unwrap_or_default(),
            redirect_uris: &redirect_uris,
            scopes: &scopes,
            method,
            on_behalf_of: &self.subject.server_url,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => return Next::Failed(SignInFailure::Unreachable(fault)),
        };
        match registration.read(answer, &found.server, &self.subject.profile) {
            Ok(registered) => {
                // A client that could not sign in by itself with this must never get it.
                let loopback = self.port.map(loopback_redirect).unwrap_or_default();
                if !registered.takes(&loopback) {
                    return Next::Failed(SignInFailure::NoLoopback);
                }
                let issuer = found.server.issuer.clone();
                self.client =
                    Some(Client::OwnRegistration(OwnRegistration::of(registered, issuer)));
                self.choose_redirect()
            }
            // Some servers register their own scopes only, not those of the servers they protect.
            Err(fault) if fault.may_be_the_scopes() && is_foreign(&scopes, found) => {
                self.register(method, Wanted { scopes: false, ..wanted })
            }
            Err(fault) if wanted.scheme && fault.may_be_the_redirect() => {
                if self.subject.wish == RedirectWish::Scheme {
                    return Next::Failed(SignInFailure::Registration(fault));
                }
                self.register(method, Wanted { scheme: false, ..wanted })
            }
            Err(fault) => match client::stored(&self.subject, found) {
                Some(client) if fault.is_final() => self.listen_for(client),
                _ if fault.is_final() => Next::Failed(self.needs_client()),
                _ => Next::Failed(SignInFailure::Registration(fault)),
            },
        }
    }

    /// The scheme where it is wished for and the registration has it; else loopback.
    fn choose_redirect(&mut self) -> Next {
        let has_scheme = self.client.as_ref().is_some_and(|c| c.takes(SCHEME_REDIRECT));
        let issuer = self.found.as_ref().map(|found| found.server.issuer.as_str());
        let known = issuer.and_then(|issuer| self.subject.redirects_known.get(issuer).copied());
        match self.subject.wish {
            RedirectWish::Scheme if !has_scheme => Next::Failed(SignInFailure::NoScheme),
            RedirectWish::Scheme => self.invite(Redirect::Scheme),
            RedirectWish::Loopback => self.invite(Redirect::Loopback),
            RedirectWish::Automatic if !has_scheme || !self.subject.scheme_served => {
                self.invite(Redirect::Loopback)
            }
            RedirectWish::Automatic => {
                if let Some(redirect) = known {
                    return self.invite(redirect);
                }
                self.step = Step::Preflighting { answers: Vec::new() };
                self.glimpse()
            }
        }
    }

    fn preflight_uris(&self) -> [String; 3] {
        let loopback = self.port.map(loopback_redirect).unwrap_or_default();
        [SCHEME_REDIRECT.into(), loopback, NEVER_REGISTERED.into()]
    }

    /// The next question of the preflight.
    fn glimpse(&self) -> Next {
        let Step::Preflighting { answers } = &self.step else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let uris = self.preflight_uris();
        let question = u8::try_from(answers.len()).unwrap_or(u8::MAX);
        let proof = Proof::throw_away(&self.entropy, question);
        let request = uris.get(answers.len()).and_then(|redirect_uri| {
            let on_behalf_of = &self.subject.server_url;
            self.with_authorization(redirect_uri, |a| a.preflight(&proof, on_behalf_of).ok())?
        });
        request.map_or(Next::Failed(SignInFailure::BadPage), Next::Fetch)
    }

    fn glimpsed(&mut self, answer: Option<&Answer>) -> Next {
        let uris = self.preflight_uris();
        let page = self.found.as_ref().map(|f| f.server.authorization_endpoint.clone());
        let Step::Preflighting { answers } = &mut self.step else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let glimpse = answer.zip(uris.get(answers.len()));
        let page = page.unwrap_or_default();
        answers.push(glimpse.map(|(answer, uri)| Glimpse::of(answer, &page, uri)));
        let [scheme, loopback, never] = answers.as_slice() else { return self.glimpse() };
        let redirect = preflight::choose(scheme.as_ref(), loopback.as_ref(), never.as_ref());
        self.invite(redirect)
    }

    fn scopes(&self, found: &Discovered) -> Vec<String> {
        // More was asked for: what was granted before stays granted.
        if !self.subject.more_scopes.is_empty() {
            let challenge_scopes = self.subject.more_scopes.clone();
            let found = Discovered { challenge_scopes, ..found.clone() };
            let granted = self.subject.granted_scope.as_deref();
            return scopes::step_up(granted, &found, &self.subject.profile);
        }
        scopes::choose(found, &self.subject.profile)
    }

    fn with_authorization<T>(
        &self,
        redirect_uri: &str,
        make: impl FnOnce(Authorization<'_>) -> T,
    ) -> Option<T> {
        let found = self.found.as_ref()?;
        let client_id = self.client.as_ref()?.id()?;
        let scopes = self.scopes(found);
        Some(make(Authorization {
            server: &found.server,
            client_id,
            redirect_uri,
            scopes: &scopes,
            resource: &found.resource,
            profile: &self.subject.profile,
        }))
    }

    fn invite(&mut self, redirect: Redirect) -> Next {
        let mut opened = self.opened().to_vec();
        let first = opened.is_empty();
        let proof = if first { Proof::new(&self.entropy) } else { Proof::another(&self.entropy) };
        let redirect_uri = self.redirect_uri(redirect);
        let url = self.with_authorization(&redirect_uri, |a| a.url(&proof).ok()).flatten();
        let (Some(url), Some(client), Some(found)) = (url, &self.client, &self.found) else {
            return Next::Failed(SignInFailure::BadPage);
        };
        let mut invitation = Invitation {
            url,
            redirect_uri,
            client_name: match client.whose() {
                Whose::Ours => crate::oauth::registration::CLIENT_NAME.to_owned(),
                Whose::Clients => String::from("the app that is registered for the client program"),
            },
            host: host(&found.server.authorization_endpoint),
            other_way: false,
        };
        opened.push(Opened { proof, redirect });
        self.step = Step::Waiting(opened);
        invitation.other_way = self.has_another_way();
        Next::Invite(invitation)
    }

    fn redirect_uri(&self, redirect: Redirect) -> String {
        match redirect {
            Redirect::Scheme => SCHEME_REDIRECT.into(),
            Redirect::Loopback => {
                let own = self.client.as_ref().and_then(Client::own_redirect);
                own.unwrap_or_else(|| self.port.map(loopback_redirect).unwrap_or_default())
            }
        }
    }

    /// The browser came back, and [`SignIn::awaits`] this.
    pub fn called_back(&mut self, callback: Callback) -> Next {
        let answered = self.opened().iter().find(|page| callback.is_for(&page.proof));
        let Some(Opened { proof, redirect }) = answered.cloned() else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let (Some(found), Some(client)) = (&self.found, &self.client) else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let code = match callback.open(&found.server) {
            Ok(code) => code,
            // Somebody else's word about our attempt: the right answer may still come.
            Err(CallbackRefused::Issuer) => return Next::Wait,
            Err(refused) => return Next::Failed(SignInFailure::Callback(refused)),
        };
        let Some((credentials, method)) = client.proves(&found.server, &self.subject.profile)
        else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let sends_resource = self.subject.profile.send_resource != Some(false);
        let exchange = CodeExchange {
            endpoint: &found.server.token_endpoint,
            client: &credentials,
            method,
            code: &code,
            redirect_uri: &self.redirect_uri(redirect),
            verifier: proof.verifier(),
            resource: sends_resource.then_some(found.resource.as_str()),
            on_behalf_of: &self.subject.server_url,
        };
        match exchange.request() {
            Ok(request) => {
                self.step = Step::Exchanging { redirect };
                Next::Fetch(request)
            }
            Err(_) => Next::Failed(SignInFailure::BadPage),
        }
    }

    fn exchanged(&self, answer: Result<&Answer, Fault>, redirect: Redirect) -> Next {
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) if fault.perhaps_processed() => {
                return Next::Failed(SignInFailure::AnswerLost);
            }
            Err(fault) => return Next::Failed(SignInFailure::Unreachable(fault)),
        };
        let granted = match token::read(answer, &self.subject.profile) {
            Reading::Granted(granted) => granted,
            Reading::GrantRefused(code)
            | Reading::ClientRefused(code)
            | Reading::Refused(code)
            | Reading::NotProcessed(code, _) => {
                return Next::Failed(SignInFailure::Exchange(code));
            }
            Reading::TargetRefused => {
                return Next::Failed(SignInFailure::Exchange(token::ErrorCode(
                    "invalid_target".into(),
                )));
            }
            Reading::Unclear(_) => return Next::Failed(SignInFailure::AnswerLost),
        };
        let (Some(found), Some(client)) = (&self.found, &self.client) else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let Some((credentials, _)) = client.proves(&found.server, &self.subject.profile) else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let trail = &found.trail;
        let enrolment = Enrolment {
            server_name: self.subject.server_name.clone(),
            server_url: self.subject.server_url.clone(),
            client: client.to_store(credentials),
            // The client program must stay able to sign in by itself.
            redirect_uri: self.redirect_uri(Redirect::Loopback),
            issuer: found.server.issuer.clone(),
            authorization_server: trail.authorization_server.clone(),
            resource_metadata_url: trail.resource_metadata_url.clone(),
            metadata_found: trail.metadata_found,
            metadata_url: trail.configured_metadata_url.clone(),
        };
        let scope = granted.scope.clone().or_else(|| {
            // RFC 6749 §5.1: left out where it is what was asked for.
            let asked = self.scopes(found);
            (!asked.is_empty()).then(|| asked.join(" "))
        });
        Next::Gained(Box::new(Gained {
            granted: Granted { scope, ..granted },
            enrolment,
            resource: found.resource.clone(),
            server: found.server.clone(),
            account: token::account(answer),
            kept: client.kept(),
            redirect,
        }))
    }
}

/// Whether any of these scopes is not one that the sign-in server names as its own.
fn is_foreign(scopes: &[String], found: &Discovered) -> bool {
    scopes.iter().any(|scope| !found.server.scopes.contains(scope))
}

/// What MCP clients send first, without a token: its refusal says where to sign in.
fn challenge_request(server_url: &str, opener: Opener) -> Request {
    let header = |name: &str, value: &str| (name.into(), Zeroizing::new(value.into()));
    let info = concat!(r#"{"name":"lamplighter","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    let (method, revision, params) = match opener {
        Opener::Initialize => (
            "initialize",
            WITH_SESSIONS,
            format!(
                r#"{{"protocolVersion":"{WITH_SESSIONS}","capabilities":{{}},"clientInfo":{info}}}"#
            ),
        ),
        Opener::ListTools => (
            "tools/list",
            WITHOUT_SESSIONS,
            format!(
                r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{WITHOUT_SESSIONS}","io.modelcontextprotocol/clientInfo":{info},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}"#
            ),
        ),
    };
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    Request {
        method: Method::Post,
        url: server_url.into(),
        headers: Vec::from([
            header("accept", "application/json, text/event-stream"),
            header("content-type", "application/json"),
            header("mcp-protocol-version", revision),
            header("mcp-method", method),
        ]),
        body: Zeroizing::new(body.into_bytes()),
        on_behalf_of: server_url.into(),
        follow_redirects: false,
    }
}
