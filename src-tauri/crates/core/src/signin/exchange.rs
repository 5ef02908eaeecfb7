//! The code exchange (RFC 6749 §4.1.3), and what a sign-in brings.

use alloc::{boxed::Box, string::String};

use super::{Next, SignIn, SignInFailure, Step, authorize::Ready};
use crate::{
    http::{Answer, Fault},
    oauth::{
        authorize::Proof,
        metadata::AuthorizationServer,
        preflight::Redirect,
        registration::OwnRegistration,
        token::{self, Account, CodeExchange, ErrorCode, Granted, Reading},
    },
    secret::Secret,
    store::Enrolment,
};

/// What a sign-in brought.
#[derive(Debug, Clone)]
pub struct SignInResult {
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

impl SignIn {
    /// Sends the code, which the server accepts once.
    pub(super) fn exchange(
        &mut self,
        ready: Box<Ready>,
        code: &Secret,
        proof: &Proof,
        redirect: Redirect,
    ) -> Next {
        let (server, profile) = (&ready.found.server, &self.request.profile);
        let (credentials, method) = ready.client.proves(server, profile);
        let exchange = CodeExchange {
            endpoint: &server.token_endpoint,
            client: &credentials,
            method,
            code,
            redirect_uri: &ready.redirect_uri(redirect),
            verifier: proof.verifier(),
            resource: (profile.send_resource != Some(false)).then_some(&*ready.found.resource),
            on_behalf_of: &self.request.server_url,
        };
        let Ok(request) = exchange.request() else {
            return Next::Failed(SignInFailure::BadPage);
        };
        self.step = Step::Exchanging(ready, redirect);
        Next::Fetch(request)
    }

    pub(super) fn exchanged(
        &self,
        answer: Result<&Answer, Fault>,
        ready: &Ready,
        redirect: Redirect,
    ) -> Next {
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) if fault.perhaps_processed() => {
                return Next::Failed(SignInFailure::AnswerLost);
            }
            Err(fault) => return Next::Failed(SignInFailure::Unreachable(fault)),
        };
        let refused = |code| Next::Failed(SignInFailure::Exchange(code));
        let granted = match token::read(answer, &self.request.profile) {
            Reading::Granted(granted) => granted,
            Reading::GrantRefused(code)
            | Reading::ClientRefused(code)
            | Reading::Refused(code)
            | Reading::NotProcessed(code, _) => return refused(code),
            Reading::TargetRefused => return refused(ErrorCode("invalid_target".into())),
            Reading::Unclear(_) => return Next::Failed(SignInFailure::AnswerLost),
        };
        let Ready { found, client, .. } = ready;
        let (credentials, _) = client.proves(&found.server, &self.request.profile);
        let source = &found.source;
        let enrolment = Enrolment {
            server_name: self.request.server_name.clone(),
            server_url: self.request.server_url.clone(),
            client: client.to_store(credentials),
            // The client program must stay able to sign in by itself.
            redirect_uri: ready.redirect_uri(Redirect::Loopback),
            issuer: found.server.issuer.clone(),
            authorization_server: source.authorization_server.clone(),
            resource_metadata_url: source.resource_metadata_url.clone(),
            metadata_found: source.metadata_found,
            metadata_url: source.configured_metadata_url.clone(),
        };
        let scope = granted.scope.clone().or_else(|| {
            // RFC 6749 §5.1: left out where it is what was asked for.
            let asked = self.request.scopes(found);
            (!asked.is_empty()).then(|| asked.join(" "))
        });
        Next::Gained(Box::new(SignInResult {
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
