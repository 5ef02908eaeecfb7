//! When a notice is raised and when it is withdrawn: once per cause.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
};

use super::grant::Grant;
use crate::{
    health::{Health, Shape},
    ids::Target,
    notice::{Notice, NoticeAction, NoticeCode, Severity},
    time::Millis,
};

/// A definite error of another kind than a refused sign-in is told this long after the token's end.
pub(super) const DEFINITE_AFTER: Millis = Millis::minutes(30);
/// Any failure is told this long after the token's end.
pub(super) const GIVE_UP_AFTER: Millis = Millis::hours(6);

/// New tokens that no store takes are told this long after they came: what keeps them out is a lock
/// most of the time, and over in a moment.
pub(super) const UNSAVED_AFTER: Millis = Millis::minutes(5);

/// What a refusal of the access token is called where no renewal helps.
fn refused_words(title: &str, client: &str, renewed: bool) -> String {
    let why = if renewed {
        format!("{title} refuses the token for {client} even after a renewal.")
    } else {
        format!("{title} no longer takes the token that {client} has, and it can't be renewed.")
    };
    format!("{why} Sign in again to go on.")
}

impl super::Keeper {
    /// Raises what is new and withdraws what has healed: once per cause, never while it works.
    pub(super) fn tell_notices(&mut self) {
        let wait_for_more = self.unseen.as_ref().is_some_and(|unseen| !unseen.is_empty());
        if self.mode == super::Mode::WatchOnly || wait_for_more {
            return;
        }
        let first_time = self.unseen.take().is_some();
        if first_time {
            self.grants.touch_all();
        }
        let mut over = BTreeSet::new();
        let mut holding = BTreeMap::new();
        for target in self.all_touched() {
            let grant = self.grants.get(&target);
            let notice = grant.and_then(|grant| self.notice_for(&target, grant));
            let before = match notice {
                Some(notice) => {
                    holding.insert(notice.cause.clone(), notice.clone());
                    self.notices.insert(Target::clone(&target), notice)
                }
                None => self.notices.remove(&*target),
            };
            over.extend(before.map(|notice| notice.cause));
        }
        if first_time {
            // Told by an earlier run: what does not hold any more has healed meanwhile.
            over.extend(self.facts.told().iter().cloned());
        }
        for cause in over.into_iter().filter(|cause| !holding.contains_key(cause)) {
            if self.facts.tell(&cause, false) {
                self.tell(super::Event::NoticeWithdrawn { cause });
            }
        }
        for (cause, notice) in holding {
            if self.facts.tell(&cause, true) {
                self.tell(super::Event::Notice(notice));
            }
        }
    }

    fn notice_for(&self, target: &Target, grant: &Grant) -> Option<Notice> {
        if !self.is_row_shown(target) {
            return None;
        }
        let facts = self.facts_of(target);
        let (title, client, shown) = self.shown(target, grant, facts);
        let now = self.now.wall;
        let ended = grant.works_until(facts).filter(|end| *end <= now);
        let failing = |span: Millis| {
            let since = facts.failing_since.zip(ended).map(|(since, end)| since.max(end));
            since.is_some_and(|since| now >= since + span)
        };
        let definite = grant.failure.as_ref().is_some_and(super::Failure::is_definite);
        let (code, words, action, severity) = match shown.health {
            Health::Refused => (
                NoticeCode::SignInRequired,
                refused_words(&title, &client, grant.is_refused_after_renewal(facts)),
                NoticeAction::Reconnect,
                Severity::Warning,
            ),
            Health::SignInRequired => (
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
            Health::StoreLocked
                if shown.shape == Shape::Alert && self.failed_twice(&target.store) =>
            {
                (
                    NoticeCode::StoreLocked,
                    format!("{client}'s store is locked, and {title} is about to end."),
                    NoticeAction::Show,
                    Severity::Warning,
                )
            }
            Health::StoreBroken
                if self.owed_for(target).is_some_and(|span| span >= UNSAVED_AFTER) =>
            {
                (
                    NoticeCode::CannotSave,
                    format!(
                        "{title}'s new tokens can't be saved for {client}; Lamplighter keeps them and \
                         goes on trying."
                    ),
                    NoticeAction::Show,
                    Severity::Warning,
                )
            }
            Health::StoreBroken
                if shown.shape == Shape::Alert
                    && self.owed_for(target).is_none()
                    && self.failed_twice(&target.store) =>
            {
                (
                    NoticeCode::StoreBroken,
                    format!("{client}'s sign-ins can't be read or saved; nothing was changed."),
                    NoticeAction::Show,
                    Severity::Warning,
                )
            }
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
            | Health::StoreBroken
            | Health::Unknown => {
                // Neither a renewal in the air nor a refusal that is asked about once more heals what
                // it has not mended yet.
                let mark = grant.refresh_mark;
                let refused = facts.refusal.as_ref().is_some_and(|r| Some(r.mark) == mark);
                let refused = refused || grant.is_refused_after_renewal(facts);
                let retrying = matches!(shown.health, Health::Retrying | Health::RetryingEnded);
                // Nor does a new token of which the server has said nothing, after it refused the others.
                let refused_all =
                    facts.refused_access.as_ref().is_some_and(|r| r.after_renewal && r.confirmed);
                let is_asked = self.pending.probe(target) || refused_all;
                let in_the_air = shown.health == Health::Refreshing
                    || (retrying && refused)
                    || (is_asked && self.is_unproven(target));
                let open = self.notices.get(target).filter(|notice| notice.grant == grant.id);
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

    /// For how long new tokens have been waiting for their store, while it can be read.
    fn owed_for(&self, target: &Target) -> Option<Millis> {
        let readable = self.is_readable(&target.store);
        let owed = self.spares.about(target).find(|spare| spare.is_owed() && readable)?;
        Some(owed.record.at.until(self.now.wall))
    }
}
