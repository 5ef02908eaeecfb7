//! One grant as the keeper holds it, and where it stands: recomputed from facts each time it is asked,
//! never toggled.

use alloc::{format, string::String};

use super::{failure::Failure, harmless, schedule};
use crate::{
    facts::{GrantFacts, INVALID_CLIENT, Refusal},
    ids::{FlightId, GrantId, MarkKey, TokenMark},
    oauth::{fault::DiscoveryFault, profile::Profile},
    secret::Secret,
    store::{ClientFrom, Entry, LeftAlone, Wiper},
    time::{Boot, Millis, Now, Wall},
};

/// Why an entry without a client of its own is not renewed.
const CLIENTS_DIFFER: &str = "configurations name different OAuth clients for it and the entry names \
                              none, so none is guessed; a new sign-in records its own";

/// How long after a first refusal the same token is presented once more to be sure.
pub(super) const CONFIRM_AFTER: Millis = Millis::minutes(1);

/// What was asked for a grant and is not settled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing.
    No,
    /// Renew if due, withdraw a stale verdict.
    IfDue,
    /// Renew now.
    Now,
}

/// One grant.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub id: GrantId,
    pub entry: Entry,
    /// When this run first saw it.
    pub first_seen: Wall,
    /// The mark of the refresh token that the entry holds now.
    pub refresh_mark: Option<TokenMark>,
    /// The mark of the access token that the entry holds now.
    pub access_mark: Option<TokenMark>,
    /// The mark of its client's secret.
    pub client_secret_mark: Option<TokenMark>,
    /// The refresh in the air for it.
    pub flight: Option<FlightId>,
    pub asked: Asked,
    /// Somebody asked for it in this run, so its verdict may be withdrawn.
    pub was_asked: bool,
    /// Failures in a row.
    pub attempts: u32,
    pub failure: Option<Failure>,
    /// No attempt before this.
    pub wait_until: Option<Boot>,
    /// The newest verdict for which a probe was already made: it answers older ones too.
    pub probed_verdict: Option<Wall>,
    /// A reason came up to ask the server whether it accepts the token: not before this.
    pub probe_wanted: Option<Boot>,
    /// The reason for waiting that was last told, so that it is told once.
    pub told_waiting: Option<String>,
    /// How often it was given newer tokens for the spent one of this mark.
    pub given: Option<(TokenMark, u8)>,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeFinding {
    /// The server accepts the access token; with the number of tools it offers, where told.
    Accepted(Option<u32>),
    /// The server refuses it.
    Refused,
    /// Nothing could be proven.
    Unknown,
}

/// Where a grant stands, apart from what is in the air.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    LeftAlone(LeftAlone),
    NotSignedIn,
    Paused,
    /// It works until the access token ends, and cannot be renewed.
    CannotRenew(String),
    /// Only a new sign-in helps; with the reason in words.
    SignInRequired(String),
    /// It holds a spent token, and the tokens that took its place are known: they are written there.
    Superseded,
    /// A person must look at both addresses.
    Approval {
        known: String,
        now: String,
    },
    /// It could be renewed, and a client at work would wipe the new tokens: not while both last.
    Yielding(Wiper),
    /// It can be renewed.
    Renewable,
}

impl Grant {
    pub(super) fn new(id: GrantId, entry: Entry, key: &MarkKey, now: Now) -> Self {
        Self {
            id,
            refresh_mark: mark(entry.pair.refresh.as_ref(), key),
            access_mark: mark(entry.pair.access.as_ref(), key),
            client_secret_mark: secret_mark(&entry, key),
            entry,
            first_seen: now.wall,
            flight: None,
            asked: Asked::No,
            was_asked: false,
            attempts: 0,
            failure: None,
            wait_until: None,
            probed_verdict: None,
            probe_wanted: None,
            told_waiting: None,
            given: None,
        }
    }

    /// The store holds another entry now; returns the old one. For
    /// [`Grants::replace`](super::grants::Grants::replace), which finds grants by what they hold.
    pub(super) fn take_entry(&mut self, entry: Entry, key: &MarkKey) -> Entry {
        let old = core::mem::replace(&mut self.entry, entry);
        if old.pair.refresh != self.entry.pair.refresh {
            self.refresh_mark = mark(self.entry.pair.refresh.as_ref(), key);
        }
        if old.pair.access != self.entry.pair.access {
            self.access_mark = mark(self.entry.pair.access.as_ref(), key);
        }
        if old.client != self.entry.client {
            self.client_secret_mark = secret_mark(&self.entry, key);
        }
        old
    }

    /// Whether the server was asked about a verdict of this time in this run.
    pub(super) fn was_asked_about(&self, verdict: Wall) -> bool {
        self.probed_verdict.is_some_and(|asked| asked >= verdict)
    }

    /// Whether the access token has ended, as far as the store tells.
    pub(super) fn has_ended(&self, now: Now) -> bool {
        self.entry.pair.access.is_none()
            || self.entry.pair.expires_at.is_some_and(|end| end <= now.wall)
    }

    /// Where it stands by itself. [`Keeper::standing`](super::Keeper::standing) also knows who else
    /// is at work.
    pub(super) fn standing(&self, facts: &GrantFacts, is_spent: bool, now: Now) -> Standing {
        let pair = &self.entry.pair;
        if let Some(why) = self.entry.left_alone {
            return Standing::LeftAlone(why);
        }
        if pair.is_wiped() && pair.refresh.is_none() {
            return Standing::SignInRequired("the sign-in was refused and emptied".into());
        }
        if pair.access.is_none() && pair.refresh.is_none() {
            return Standing::NotSignedIn;
        }
        if facts.paused {
            return Standing::Paused;
        }
        if self.refresh_mark.is_none() {
            return self.cannot_renew(now, "the server gave no refresh token");
        }
        if self.entry.client.is_none() {
            return self.cannot_renew(now, &no_client(&self.entry.client_from));
        }
        if is_spent {
            return self.cannot_renew(now, "this is an older copy of the sign-in");
        }
        if let Some(refusal) = self.refusal(facts).filter(|refusal| refusal.confirmed) {
            return Standing::SignInRequired(refusal_words(refusal));
        }
        match &self.failure {
            Some(Failure::Approval { known, now }) => {
                return Standing::Approval { known: known.clone(), now: now.clone() };
            }
            Some(Failure::Discovery(DiscoveryFault::Elsewhere { server, other })) => {
                return Standing::Approval { known: server.clone(), now: other.clone() };
            }
            Some(_) | None => {}
        }
        Standing::Renewable
    }

    /// The refusal of the token that it holds, as the client that it has. One that another client met,
    /// which a configuration named for a while, says nothing about the token. Nor does a refusal of the
    /// client with another secret.
    pub(super) fn refusal<'f>(&self, facts: &'f GrantFacts) -> Option<&'f Refusal> {
        let client = self.entry.client.as_ref().map(|client| client.id.as_str());
        let refusal = facts.refusal.as_ref().filter(|r| Some(r.mark) == self.refresh_mark)?;
        if refusal.code == INVALID_CLIENT && refusal.secret != self.client_secret_mark {
            return None;
        }
        // Earlier versions noted no client, and asked as whichever a configuration named.
        let of_any = refusal.code != INVALID_CLIENT;
        refusal.client_id.as_deref().map_or(of_any, |id| Some(id) == client).then_some(refusal)
    }

    fn cannot_renew(&self, now: Now, why: &str) -> Standing {
        if self.has_ended(now) {
            Standing::SignInRequired(format!("the token has ended and {why}"))
        } else {
            Standing::CannotRenew(why.into())
        }
    }

    /// What is known of the access token's time.
    pub(super) fn span<'a>(
        &self,
        facts: &GrantFacts,
        profile: impl FnOnce() -> &'a Profile,
        margin: Millis,
    ) -> schedule::Span {
        let known = facts.access.is_some() && facts.access == self.access_mark;
        let expires_at = self.entry.pair.expires_at;
        let life = if known { facts.life } else { None };
        // A guess plans only: it stands in where a token we received says nothing of its end.
        let guessed = known && expires_at.is_none();
        schedule::Span {
            issued_at: if known { facts.issued_at } else { None },
            life: life.or_else(|| {
                guessed.then(|| profile().access_life().unwrap_or(schedule::GUESSED_LIFE))
            }),
            expires_at,
            margin,
        }
    }
}

/// Why no client is known for an entry, and what a person does about it.
fn no_client(from: &ClientFrom) -> String {
    match from {
        ClientFrom::Disputed => CLIENTS_DIFFER.into(),
        ClientFrom::Nobody { project: Some(project) } => {
            let project = harmless::place(project);
            format!(
                "the store names no OAuth client for it; the project {project} would name one, and only \
                 that project's own files approve it: sign in again with /mcp in Claude Code there, or \
                 reconnect here"
            )
        }
        ClientFrom::Entry
        | ClientFrom::Renewal
        | ClientFrom::Configuration
        | ClientFrom::Nobody { project: None } => "the store names no OAuth client for it".into(),
    }
}

fn secret_mark(entry: &Entry, key: &MarkKey) -> Option<TokenMark> {
    mark(entry.client.as_ref().and_then(|client| client.secret.as_ref()), key)
}

fn mark(token: Option<&Secret>, key: &MarkKey) -> Option<TokenMark> {
    token.map(|token| TokenMark::of(key, token))
}

fn refusal_words(refusal: &Refusal) -> String {
    if refusal.code == INVALID_CLIENT {
        String::from("the server no longer knows the client that signed in")
    } else {
        format!("the server ended the sign-in ({})", refusal.code)
    }
}
