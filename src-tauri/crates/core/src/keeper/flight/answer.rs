//! What the token endpoint's answer means for the grant.
//!
//! Only a definite refusal, repeated a minute later, ends one. What may have been acted on is
//! presented once more at once; then it waits until little is left to lose.

use alloc::{boxed::Box, string::String};

use super::{AGAIN_WITHIN, Ending, Flight, Presenting, Step, Work, send_failure};
use crate::{
    facts::{INVALID_CLIENT, Refusal, RefusedAccess},
    http::Answer,
    ids::{Target, TokenMark},
    journal::Stage,
    keeper::{
        Effect, Failure, Keeper, SendFault,
        grant::{CONFIRM_AFTER, Grant},
    },
    oauth::{
        auth_method::AuthMethod,
        profile::Profile,
        token::{self, ErrorCode, Granted, Reading},
    },
    store::NewTokens,
    time::Millis,
};

impl Keeper {
    /// An answer came, or none.
    pub(super) fn answered(&mut self, flight: Flight, answer: Result<Answer, SendFault>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(SendFault::Http(fault)) if fault.perhaps_processed() => {
                return self.again_or_lost(flight, Failure::NotSent(fault).lost());
            }
            Err(fault) => {
                let failure = send_failure(&flight, fault);
                return self.failed(flight, failure);
            }
        };
        let entry = flight.lead.as_ref();
        let old_scope = entry.and_then(|entry| entry.scope.clone());
        let profile = entry.map(|entry| self.profiles.of(&entry.server_url).1);
        match token::read(&answer, profile.unwrap_or(&Profile::default())) {
            Reading::Granted(granted) => self.granted(flight, granted, old_scope),
            _ if self.is_for_nobody(&flight) => self.unlock(flight, Ending::SignedOut),
            Reading::GrantRefused(code) => self.grant_refused(flight, code),
            Reading::ClientRefused(code) => self.client_refused(flight, code),
            Reading::TargetRefused => self.target_refused(flight),
            Reading::Refused(code) => {
                self.forget_metadata(&flight, &code);
                self.failed(flight, Failure::Refused(code));
            }
            Reading::NotProcessed(code, retry_after) => {
                let failure = Failure::NotProcessed(code, retry_after);
                self.failed(flight, failure);
            }
            Reading::Unclear(code) => self.unclear(flight, &answer, code),
        }
    }

    /// It was not acted on. After a first presentation whose answer was lost that says nothing of the
    /// first: the token may be spent all the same, and what is known of it stays in the journal.
    fn failed(&mut self, flight: Flight, failure: Failure) {
        if matches!(&flight.work, Work::Refresh(presenting) if presenting.sent_again) {
            return self.lost(flight, failure.lost());
        }
        self.unlock(flight, Ending::Failed(failure));
    }

    /// Whether the user removed every entry that holds the token while the request was out.
    fn is_for_nobody(&self, flight: &Flight) -> bool {
        let mark = flight.record().map(|record| record.mark);
        flight.targets.iter().all(|target| self.was_signed_out(target))
            && !mark.is_some_and(|mark| self.others_share(mark, &flight.targets))
    }

    /// Whether its entry is gone from a store that is there. Nothing is noted of it any more.
    fn was_signed_out(&self, target: &Target) -> bool {
        self.is_readable(&target.store) && !self.grants.contains(target)
    }

    /// New tokens: written down before anything else is done with them.
    fn granted(&mut self, mut flight: Flight, granted: Granted, old_scope: Option<String>) {
        let now = self.now.wall;
        let Work::Refresh(presenting) = &mut flight.work else {
            return self.let_go(flight);
        };
        let Some(record) = &mut presenting.record else {
            return self.let_go(flight);
        };
        let old = record.replaced.first().and_then(|(_, pair)| pair.refresh.clone());
        let Some(refresh) = granted.refresh.clone().or(old) else {
            return self.let_go(flight);
        };
        let tokens = NewTokens {
            access: granted.access.clone(),
            refresh: Some(refresh),
            expires_at: granted.expires_at(now),
            scope: granted.scope.clone().or(old_scope),
        };
        record.stage = Stage::Answered(tokens.clone());
        let record = record.clone();
        let refused = |target| self.facts_of(target).refused_access.is_some();
        let was_refused = flight.targets.iter().any(refused);
        let refresh = tokens.refresh.as_ref().map(|token| TokenMark::of(&self.mark_key, token));
        let rotated = refresh != Some(record.mark);
        self.is_lost_no_longer(record.mark);
        if rotated {
            self.spend(record.mark, refresh);
            self.ask_for_copies(record.mark, &flight.targets);
        }
        for target in &flight.targets {
            // The user may have signed out meanwhile, or signed in anew: this says nothing of that.
            let is_replaced = |grant: &Grant| grant.refresh_mark.is_none_or(|m| m == record.mark);
            if self.grants.get(target).is_some_and(is_replaced) {
                self.learn(target, &granted, &tokens, rotated);
                self.note_client(target, &record.client_id, refresh.unwrap_or(record.mark));
                let facts = self.facts_mut(target);
                facts.unproven_access = facts.access.filter(|_| was_refused);
                let same = |refused: &&mut RefusedAccess| Some(refused.access) == facts.access;
                if let Some(refused) = facts.refused_access.as_mut().filter(same) {
                    // The server gave the very token again that it refuses.
                    refused.after_renewal = true;
                }
            }
        }
        self.go(flight, Step::Journaling, |ticket, _| Effect::Journal { ticket, record });
    }

    /// What an answer teaches about a grant, whether or not its tokens reach the store.
    fn learn(&mut self, target: &Target, granted: &Granted, tokens: &NewTokens, rotated: bool) {
        let now = self.now.wall;
        let key = self.mark_key.clone();
        let server_url = self.grants.get(target).map(|g| g.entry.server_url.clone());
        let life_by_profile = server_url
            .and_then(|url| self.profiles.of(&url).1.sign_in_life_days)
            .map(|days| Millis::hours(days.saturating_mul(24)));
        let facts = self.facts_mut(target);
        facts.life = granted.life.or_else(|| tokens.expires_at.map(|end| now.until(end)));
        facts.issued_at = Some(now);
        facts.access = Some(TokenMark::of(&key, &tokens.access));
        facts.proof_at = Some(now);
        facts.refusal = None;
        if let Some(life) = granted.sign_in_life {
            facts.sign_in_ends = Some(now + life);
        } else if rotated && granted.refresh.is_some() {
            facts.sign_in_ends = life_by_profile.map(|life| now + life);
        }
    }

    /// The server refuses the refresh token.
    fn grant_refused(&mut self, flight: Flight, code: ErrorCode) {
        let refused = code.0.clone();
        self.refused(flight, refused, |confirmed| {
            if confirmed { Failure::GrantRefused(code) } else { Failure::GrantRefusedOnce(code) }
        });
    }

    /// A definite refusal: once is asked about again a minute later, twice is the end.
    fn refused(&mut self, flight: Flight, code: String, failure: impl FnOnce(bool) -> Failure) {
        let now = self.now.wall;
        let Work::Refresh(presenting) = &flight.work else {
            return self.let_go(flight);
        };
        let Some((mark, client_id)) = presented(presenting) else {
            return self.let_go(flight);
        };
        let client = flight.lead.as_ref().and_then(|lead| lead.client.as_ref());
        let secret = client.and_then(|client| client.secret.as_ref());
        let secret = secret.map(|secret| TokenMark::of(&self.mark_key, secret));
        let mut confirmed = false;
        for target in &flight.targets {
            let has_another_secret =
                self.grants.get(target).is_some_and(|grant| grant.client_secret_mark != secret);
            if self.was_signed_out(target) || (code == INVALID_CLIENT && has_another_secret) {
                continue;
            }
            let facts = self.facts_mut(target);
            // A refusal of the client says nothing of the grant's end, nor the other way round; and one
            // of the client says nothing of it with another secret.
            let kind = |code: &str, secret| (code == INVALID_CLIENT).then_some(secret);
            let same = |r: &Refusal| kind(&r.code, r.secret) == kind(&code, secret);
            let held = facts
                .refusal
                .take()
                .filter(|r| r.mark == mark && r.client_id.as_ref() == Some(&client_id));
            let (earlier, other) = match held {
                Some(held) if same(&held) => (Some(held.at), held.before),
                Some(mut held) => {
                    let earlier = held.before.take().filter(|before| same(before));
                    (earlier.map(|before| before.at), Some(Box::new(held)))
                }
                None => (None, None),
            };
            confirmed = earlier.is_some_and(|at| now >= at + CONFIRM_AFTER);
            let (at, before) = (earlier.unwrap_or(now), other.filter(|_| !confirmed));
            let (code, client_id) = (code.clone(), Some(client_id.clone()));
            let refusal = Refusal { mark, code, at, confirmed, client_id, secret, before };
            facts.refusal = Some(refusal);
        }
        self.unlock(flight, Ending::Failed(failure(confirmed)));
    }

    /// The server does not know the client, or not by this proof: the other form of it once.
    fn client_refused(&mut self, mut flight: Flight, code: ErrorCode) {
        let Work::Refresh(presenting) = &mut flight.work else {
            return self.let_go(flight);
        };
        if presenting.sent_again {
            return self.failed(flight, Failure::ClientRefusedOnce(code));
        }
        let other = presenting.method.and_then(AuthMethod::other);
        if let (Some(other), false) = (other, presenting.tried_other_method) {
            presenting.method = Some(other);
            presenting.tried_other_method = true;
            let presenting = presenting.clone();
            return self.present_or_adopt(flight, presenting);
        }
        self.refused(flight, INVALID_CLIENT.into(), |confirmed| {
            if confirmed { Failure::ClientRefused(code) } else { Failure::ClientRefusedOnce(code) }
        });
    }

    /// `invalid_target` (RFC 8707 §2): with or without `resource`, the other way once.
    fn target_refused(&mut self, mut flight: Flight) {
        let Work::Refresh(presenting) = &mut flight.work else {
            return self.let_go(flight);
        };
        if presenting.tried_other_resource || presenting.sent_again {
            let code = ErrorCode("invalid_target".into());
            return self.failed(flight, Failure::Refused(code));
        }
        presenting.tried_other_resource = true;
        let presenting = presenting.clone();
        self.present_or_adopt(flight, presenting);
    }

    /// An endpoint that is not there any more may have moved: search anew next time.
    fn forget_metadata(&mut self, flight: &Flight, code: &ErrorCode) {
        if !code.0.starts_with("http_3") && code.0 != "http_404" && code.0 != "http_405" {
            return;
        }
        for target in &flight.targets {
            if !self.was_signed_out(target) {
                self.facts_mut(target).metadata = None;
            }
        }
    }

    /// A success that cannot be read is kept as it came before the token is presented again.
    fn unclear(&mut self, mut flight: Flight, answer: &Answer, code: ErrorCode) {
        let retry_after = answer.retry_after;
        let failure = Failure::Lost { why: code.0, by_network: false, retry_after };
        let success = (200..300).contains(&answer.status) && !answer.body.is_empty();
        let Work::Refresh(presenting) = &mut flight.work else {
            return self.let_go(flight);
        };
        match (&mut presenting.record, success) {
            (Some(record), true) => {
                let another = self.record_id(record.mark);
                let before = record.clone();
                let answered = Stage::Raw(answer.body.clone());
                if before.stage == answered || self.is_kept(&before, &answered) {
                    return self.again_or_lost(flight, failure);
                }
                record.stage = answered;
                if matches!(before.stage, Stage::Raw(_)) {
                    // Either of the two may be the one that holds the tokens.
                    record.id = another;
                    record.at = self.now.wall;
                }
                let record = record.clone();
                if matches!(before.stage, Stage::Raw(_)) {
                    self.keep_lost(before, flight.only_here);
                }
                self.go(flight, Step::KeepingRaw(failure), |ticket, _| Effect::Journal {
                    ticket,
                    record,
                });
            }
            _ => self.again_or_lost(flight, failure),
        }
    }

    /// Perhaps processed: the same token once more, soon and under the same lock, or not at all.
    pub(super) fn again_or_lost(&mut self, mut flight: Flight, failure: Failure) {
        let now = self.now.boot;
        let Work::Refresh(presenting) = &mut flight.work else {
            return self.let_go(flight);
        };
        let soon = presenting.first_sent.is_some_and(|first| first.until(now) < AGAIN_WITHIN);
        if soon && !presenting.sent_again {
            presenting.sent_again = true;
            return self.send(flight);
        }
        self.lost(flight, failure);
    }
}

/// The token that was presented, and the client that presented it.
fn presented(presenting: &Presenting) -> Option<(TokenMark, String)> {
    presenting.record.as_ref().map(|record| (record.mark, record.client_id.clone()))
}
