//! A notice is a value: what a person should know, once per cause.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use super::grant::Grant;
use crate::{
    health::{Health, Shape},
    ids::{GrantId, Target},
    time::Millis,
};

/// A definite error of another kind than a refused sign-in is told this long after the token's end.
const DEFINITE_AFTER: Millis = Millis::minutes(30);
/// Any failure is told this long after the token's end.
const GIVE_UP_AFTER: Millis = Millis::hours(6);

/// What a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Names the cause, so that it is raised once and can be withdrawn: code and grant.
    pub cause: String,
    /// A stable code.
    pub code: NoticeCode,
    /// A few words: `Slack needs you`.
    pub title: String,
    /// One sentence: what happened and what happens next.
    pub sentence: String,
    /// What the one button does.
    pub action: NoticeAction,
    /// How much it matters.
    pub severity: Severity,
    /// The grant it is about.
    pub grant: GrantId,
}

/// The causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCode {
    /// Only a new sign-in helps.
    SignInRequired,
    /// The server signs in at another address now.
    ApprovalRequired,
    /// New tokens cannot be saved.
    CannotSave,
    /// The token has ended and renewals keep failing.
    RenewalsFailing,
    /// The store is locked and an end is near.
    StoreLocked,
    /// The store cannot be read.
    StoreBroken,
}

/// What a notice's button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeAction {
    /// Sign in again.
    Reconnect,
    /// Look at both addresses.
    Review,
    /// Show the row.
    Show,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It can wait.
    Info,
    /// A server does not work, or soon won't.
    Warning,
}

impl super::Keeper {
    /// Raises what is new and withdraws what has healed: once per cause, never while it works.
    pub(super) fn tell_notices(&mut self) {
        let all_seen = self.infos.keys().all(|store| self.stores.contains_key(store));
        if self.mode == super::Mode::WatchOnly || !all_seen {
            return;
        }
        let now: BTreeMap<String, Notice> = self
            .grants
            .iter()
            .filter_map(|(target, grant)| self.notice_for(target, grant))
            .map(|notice| (notice.cause.clone(), notice))
            .collect();
        let healed: Vec<String> =
            self.facts.told.iter().filter(|cause| !now.contains_key(*cause)).cloned().collect();
        let raised: Vec<Notice> = now
            .iter()
            .filter(|(cause, _)| !self.facts.told.contains(*cause))
            .map(|(_, notice)| notice.clone())
            .collect();
        self.facts.told = now.keys().cloned().collect();
        self.notices = now;
        for cause in healed {
            self.tell(super::Event::NoticeWithdrawn { cause });
        }
        for notice in raised {
            self.tell(super::Event::Notice(notice));
        }
    }

    fn notice_for(&self, target: &Target, grant: &Grant) -> Option<Notice> {
        let row = self.row(target, grant);
        let facts = self.facts_of(target);
        let now = self.now.wall;
        let ended = grant.entry.pair.expires_at.filter(|end| *end <= now);
        let failing = |span: Millis| {
            let since = facts.failing_since.zip(ended).map(|(since, end)| since.max(end));
            since.is_some_and(|since| now >= since + span)
        };
        let definite = grant.failure.as_ref().is_some_and(super::Failure::is_definite);
        let (title, client) = (&row.title, &row.client);
        let (code, words, action, severity) = match row.health {
            Health::SignInRequired | Health::Refused => (
                NoticeCode::SignInRequired,
                format!("{title} ended its sign-in in {client}. Sign in again to go on."),
                NoticeAction::Reconnect,
                Severity::Warning,
            ),
            Health::ApprovalRequired => (
                NoticeCode::ApprovalRequired,
                format!("{title} now signs in at another address. Nothing was sent."),
                NoticeAction::Review,
                Severity::Warning,
            ),
            Health::RetryingEnded
                if failing(GIVE_UP_AFTER) || (definite && failing(DEFINITE_AFTER)) =>
            {
                (
                    NoticeCode::RenewalsFailing,
                    format!("{title} can't be renewed for {client}; Lamplighter goes on trying."),
                    NoticeAction::Show,
                    Severity::Warning,
                )
            }
            Health::StoreLocked if row.shape == Shape::Alert => (
                NoticeCode::StoreLocked,
                format!("{client}'s store is locked, and {title} is about to end."),
                NoticeAction::Show,
                Severity::Warning,
            ),
            Health::StoreBroken => (
                NoticeCode::StoreBroken,
                format!("{client}'s sign-ins can't be read or saved; nothing was changed."),
                NoticeAction::Show,
                Severity::Warning,
            ),
            Health::Healthy
            | Health::Refreshing
            | Health::Retrying
            | Health::RetryingEnded
            | Health::Offline
            | Health::SigningIn
            | Health::NotSignedIn
            | Health::NoRefreshToken
            | Health::StandingBy
            | Health::Paused
            | Health::StoreLocked
            | Health::Unknown => {
                // Neither a renewal in the air nor a refusal that is asked about once more heals what
                // it has not mended yet.
                let mark = grant.refresh_mark(&self.mark_key);
                let refused = facts.refusal.as_ref().is_some_and(|r| Some(r.mark) == mark);
                let retrying = matches!(row.health, Health::Retrying | Health::RetryingEnded);
                let in_the_air = row.health == Health::Refreshing || (retrying && refused);
                let open = self.notices.values().find(|notice| notice.grant == grant.id);
                return open.filter(|_| in_the_air).cloned();
            }
        };
        Some(Notice {
            cause: format!("{code:?} {}", grant.id),
            code,
            title: format!("{title} needs you"),
            sentence: words,
            action,
            severity,
            grant: grant.id.clone(),
        })
    }
}
