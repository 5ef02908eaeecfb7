//! The client of a sign-in, the port that it comes back to, and its registration (RFC 7591).

use alloc::{boxed::Box, string::String, vec::Vec};
use core::mem;

use super::{
    Next, PortFault, RedirectWish, SignIn, SignInFailure, Step,
    authorize::Ready,
    client::{self, Choice, Client},
};
use crate::{
    http::{Answer, Fault},
    oauth::{
        auth_method::AuthMethod,
        authorize::{SCHEME_REDIRECT, loopback_redirect},
        discovery::Discovered,
        registration::{OwnRegistration, Registration},
    },
    time::Wall,
};

/// An authorization server and the client to sign in there with.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    found: Discovered,
    choice: Choice,
    /// Any port was asked for.
    any_port: bool,
}

/// A registration that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Registering {
    found: Discovered,
    port: u16,
    method: AuthMethod,
    wanted: Wanted,
}

/// What a registration is to name; less of it after a refusal that may have been for that.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    scheme: bool,
    scopes: bool,
}

impl SignIn {
    pub(super) fn choose_client(&mut self, found: Discovered, now: Wall) -> Next {
        match client::choose(&self.request, &found, now) {
            Some(choice) if choice.lacks_secret(&self.request.profile) => {
                let provider = self.request.profile.name.clone();
                let server_name = self.request.server_name.clone();
                Next::Failed(SignInFailure::NeedsSecret { provider, server_name })
            }
            Some(choice) => self.listen_for(found, choice),
            None => self.needs_client(),
        }
    }

    /// The port comes before the registration, which has to name it.
    fn listen_for(&mut self, found: Discovered, choice: Choice) -> Next {
        let wanted = choice.port(&self.request);
        let any_port = wanted.is_none();
        self.step = Step::Listening(Box::new(Chosen { found, choice, any_port }));
        Next::Listen(wanted)
    }

    /// The listener is there, or its port is taken.
    pub fn listening(&mut self, port: Result<u16, PortFault>) -> Next {
        let Step::Listening(chosen) = mem::replace(&mut self.step, Step::Over) else {
            return Next::Failed(SignInFailure::OutOfTurn);
        };
        let Chosen { found, choice, any_port } = *chosen;
        match (port, choice) {
            (Ok(port), Choice::Register(method)) => {
                let wanted = Wanted { scheme: self.request.may_use_scheme(), scopes: true };
                self.register(Registering { found, port, method, wanted })
            }
            (Ok(port), Choice::Known(client)) => {
                self.choose_redirect(Ready { found, client, port })
            }
            // Another port will do where nothing fixes it: a new registration names it.
            (Err(_), choice) if !any_port && !choice.is_fixed(&self.request) => {
                let Some(choice) = client::to_register(&self.request, &found) else {
                    return self.needs_client();
                };
                self.step = Step::Listening(Box::new(Chosen { found, choice, any_port: true }));
                Next::Listen(None)
            }
            (Err(fault), _) => Next::Failed(SignInFailure::Port(fault)),
        }
    }

    fn register(&mut self, asked: Registering) -> Next {
        let (redirect_uris, scopes) = self.to_name(&asked);
        let Some(registration) = self.registration(&asked, &redirect_uris, &scopes) else {
            return self.needs_client();
        };
        let request = registration.request();
        self.step = Step::Registering(Box::new(asked));
        Next::Fetch(request)
    }

    /// The redirect URIs and the scopes that a registration names.
    fn to_name(&self, asked: &Registering) -> (Vec<String>, Vec<String>) {
        let scheme = asked.wanted.scheme.then(|| String::from(SCHEME_REDIRECT));
        let redirect_uris = scheme.into_iter().chain([loopback_redirect(asked.port)]).collect();
        let scopes = asked.wanted.scopes.then(|| self.request.scopes(&asked.found));
        (redirect_uris, scopes.unwrap_or_default())
    }

    fn registration<'a>(
        &'a self,
        asked: &'a Registering,
        redirect_uris: &'a [String],
        scopes: &'a [String],
    ) -> Option<Registration<'a>> {
        Some(Registration {
            endpoint: asked.found.server.registration_endpoint.as_deref()?,
            redirect_uris,
            scopes,
            method: asked.method,
            on_behalf_of: &self.request.server_url,
        })
    }

    pub(super) fn registered(
        &mut self,
        answer: Result<&Answer, Fault>,
        asked: Registering,
    ) -> Next {
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => return Next::Failed(SignInFailure::Unreachable(fault)),
        };
        let (redirect_uris, scopes) = self.to_name(&asked);
        let Some(registration) = self.registration(&asked, &redirect_uris, &scopes) else {
            return self.needs_client();
        };
        let read = registration.read(answer, &asked.found.server, &self.request.profile);
        let Registering { found, port, wanted, .. } = asked;
        match read {
            Ok(registered) => {
                // A client that could not sign in by itself with this must never get it.
                if !registered.takes(&loopback_redirect(port)) {
                    return Next::Failed(SignInFailure::NoLoopback);
                }
                let issuer = found.server.issuer.clone();
                let client = Client::OwnRegistration(OwnRegistration::of(registered, issuer));
                self.choose_redirect(Ready { found, client, port })
            }
            // Some servers register their own scopes only, not those of the servers they protect.
            Err(fault) if fault.may_be_the_scopes() && is_foreign(&scopes, &found) => {
                let wanted = Wanted { scopes: false, ..wanted };
                self.register(Registering { found, wanted, ..asked })
            }
            Err(fault) if wanted.scheme && fault.may_be_the_redirect() => {
                if self.request.wish == RedirectWish::Scheme {
                    return Next::Failed(SignInFailure::Registration(fault));
                }
                let wanted = Wanted { scheme: false, ..wanted };
                self.register(Registering { found, wanted, ..asked })
            }
            Err(fault) => match client::stored(&self.request, &found) {
                Some(client) if fault.is_final() => self.listen_for(found, Choice::Known(client)),
                _ if fault.is_final() => self.needs_client(),
                _ => Next::Failed(SignInFailure::Registration(fault)),
            },
        }
    }
}

/// Whether any of these scopes is not one that the sign-in server names as its own.
fn is_foreign(scopes: &[String], found: &Discovered) -> bool {
    scopes.iter().any(|scope| !found.server.scopes.contains(scope))
}
