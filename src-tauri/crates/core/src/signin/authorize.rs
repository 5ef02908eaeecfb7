//! The way to the sign-in page and back: which redirect URI is used, and which page a callback answers.

use alloc::{borrow::ToOwned, boxed::Box, string::String, vec::Vec};
use core::mem;

use super::{
    Invitation, Next, RedirectWish, SignIn, SignInFailure, SignInRequest, Step,
    client::{Client, Whose},
};
use crate::{
    http::Answer,
    oauth::{
        authorize::{
            Authorization, Callback, CallbackRefused, Proof, SCHEME_REDIRECT, loopback_redirect,
        },
        discovery::Discovered,
        preflight::{self, NEVER_REGISTERED, PreflightResult, Redirect},
        registration::CLIENT_NAME,
        url::host,
    },
};

/// All that a sign-in page is made of.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) found: Discovered,
    pub(super) client: Client,
    /// The loopback port that is listened on.
    pub(super) port: u16,
}

/// A sign-in page that a person was led to.
#[derive(Debug, Clone)]
pub(super) struct OpenedPage {
    /// What its answer has to prove.
    proof: Proof,
    /// Where that comes back to.
    redirect: Redirect,
}

impl OpenedPage {
    pub(super) fn is_for(&self, callback: &Callback) -> bool {
        callback.is_for(&self.proof)
    }
}

impl Ready {
    pub(super) fn redirect_uri(&self, redirect: Redirect) -> String {
        match redirect {
            Redirect::Scheme => SCHEME_REDIRECT.into(),
            Redirect::Loopback => {
                self.client.own_redirect().unwrap_or_else(|| loopback_redirect(self.port))
            }
        }
    }

    fn with_authorization<T>(
        &self,
        request: &SignInRequest,
        redirect_uri: &str,
        make: impl FnOnce(Authorization<'_>) -> T,
    ) -> T {
        make(Authorization {
            server: &self.found.server,
            client_id: self.client.id(),
            redirect_uri,
            scopes: &request.scopes(&self.found),
            resource: &self.found.resource,
            profile: &request.profile,
        })
    }

    /// The redirect that the one opened page does not use, where the client has it too.
    fn other_redirect(&self, request: &SignInRequest, pages: &[OpenedPage]) -> Option<Redirect> {
        let [only] = pages else { return None };
        let takes = |uri: &str| self.client.takes(uri);
        match only.redirect {
            Redirect::Scheme => takes(&loopback_redirect(self.port)).then_some(Redirect::Loopback),
            Redirect::Loopback => {
                (request.scheme_served && takes(SCHEME_REDIRECT)).then_some(Redirect::Scheme)
            }
        }
    }
}

impl SignIn {
    /// Whether the browser can come back by another way than the one that is waited for.
    pub fn has_another_way(&self) -> bool {
        self.other_redirect().is_some()
    }

    fn other_redirect(&self) -> Option<Redirect> {
        let Step::Waiting(ready, pages) = &self.step else { return None };
        ready.other_redirect(&self.request, pages)
    }

    /// Takes what is waited with; `None`, and all stays as it is, where nothing is waited for.
    fn take_waiting(&mut self) -> Option<(Box<Ready>, Vec<OpenedPage>)> {
        if !self.is_waiting() {
            return None;
        }
        let Step::Waiting(ready, pages) = mem::replace(&mut self.step, Step::Over) else {
            return None;
        };
        Some((ready, pages))
    }

    /// The page shows an error: the other redirect, while the first page stays good until one of the
    /// two answers.
    pub fn another_way(&mut self) -> Next {
        let Some(redirect) = self.other_redirect() else { return Next::Wait };
        let Some((ready, pages)) = self.take_waiting() else { return Next::Wait };
        self.invite(ready, pages, redirect)
    }

    /// The scheme where it is wished for and the client has it; else loopback.
    pub(super) fn choose_redirect(&mut self, ready: Ready) -> Next {
        let ready = Box::new(ready);
        let has_scheme = ready.client.takes(SCHEME_REDIRECT);
        let known = self.request.redirects_known.get(&ready.found.server.issuer).copied();
        let redirect = match self.request.wish {
            RedirectWish::Scheme if !has_scheme => {
                return Next::Failed(SignInFailure::NoScheme);
            }
            RedirectWish::Scheme => Some(Redirect::Scheme),
            RedirectWish::Loopback => Some(Redirect::Loopback),
            RedirectWish::Automatic if !has_scheme || !self.request.scheme_served => {
                Some(Redirect::Loopback)
            }
            RedirectWish::Automatic => known,
        };
        match redirect {
            Some(redirect) => self.invite(ready, Vec::new(), redirect),
            None => self.preflight(ready, Vec::new()),
        }
    }

    /// The next question of the preflight.
    fn preflight(&mut self, ready: Box<Ready>, answers: Vec<Option<PreflightResult>>) -> Next {
        let uris = preflight_uris(&ready);
        let question = u8::try_from(answers.len()).unwrap_or(u8::MAX);
        let proof = Proof::throw_away(&self.entropy, question);
        let on_behalf_of = &self.request.server_url;
        let request = uris.get(answers.len()).and_then(|redirect_uri| {
            ready.with_authorization(&self.request, redirect_uri, |page| {
                page.preflight(&proof, on_behalf_of).ok()
            })
        });
        let Some(request) = request else { return Next::Failed(SignInFailure::BadPage) };
        self.step = Step::Preflighting(ready, answers);
        Next::Fetch(request)
    }

    pub(super) fn preflighted(
        &mut self,
        answer: Option<&Answer>,
        ready: Box<Ready>,
        mut answers: Vec<Option<PreflightResult>>,
    ) -> Next {
        let uris = preflight_uris(&ready);
        let page = &ready.found.server.authorization_endpoint;
        let asked = answer.zip(uris.get(answers.len()));
        answers.push(asked.map(|(answer, uri)| PreflightResult::of(answer, page, uri)));
        let [scheme, loopback, never] = answers.as_slice() else {
            return self.preflight(ready, answers);
        };
        let redirect = preflight::choose(scheme.as_ref(), loopback.as_ref(), never.as_ref());
        self.invite(ready, Vec::new(), redirect)
    }

    fn invite(
        &mut self,
        ready: Box<Ready>,
        mut pages: Vec<OpenedPage>,
        redirect: Redirect,
    ) -> Next {
        let proof = if pages.is_empty() {
            Proof::new(&self.entropy)
        } else {
            Proof::another(&self.entropy)
        };
        let redirect_uri = ready.redirect_uri(redirect);
        let url =
            ready.with_authorization(&self.request, &redirect_uri, |page| page.url(&proof).ok());
        let Some(url) = url else { return Next::Failed(SignInFailure::BadPage) };
        pages.push(OpenedPage { proof, redirect });
        let invitation = Invitation {
            url,
            redirect_uri,
            client_name: match ready.client.whose() {
                Whose::Ours => CLIENT_NAME.to_owned(),
                Whose::Clients => String::from("the app that is registered for the client program"),
            },
            host: host(&ready.found.server.authorization_endpoint),
            other_way: ready.other_redirect(&self.request, &pages).is_some(),
        };
        self.step = Step::Waiting(ready, pages);
        Next::Invite(invitation)
    }

    /// The browser came back, and [`SignIn::awaits`] this.
    pub fn called_back(&mut self, callback: Callback) -> Next {
        let Some((ready, pages)) = self.take_waiting() else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let Some(page) = pages.iter().find(|page| page.is_for(&callback)).cloned() else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        match callback.open(&ready.found.server) {
            Ok(code) => self.exchange(ready, &code, &page.proof, page.redirect),
            // Somebody else's word about our attempt: the right answer may still come.
            Err(CallbackRefused::Issuer) => {
                self.step = Step::Waiting(ready, pages);
                Next::Wait
            }
            Err(refused) => Next::Failed(SignInFailure::Callback(refused)),
        }
    }
}

/// The redirect URIs that the sign-in page is asked about, in their order.
fn preflight_uris(ready: &Ready) -> [String; 3] {
    [SCHEME_REDIRECT.into(), loopback_redirect(ready.port), NEVER_REGISTERED.into()]
}
