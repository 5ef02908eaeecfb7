//! What the user's `on_change` command is told: one line of JSON for each change that a person would
//! care about. Its members are part of the interface: see the README.
//!
//! It must not hold a secret, which neither events nor rows can. Whoever keeps tells it, at a terminal
//! or in a tray. Read next: [`on_change`](crate::on_change), which runs the command.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use lamplighter_core::{
    health::Health,
    ids::GrantId,
    keeper::{Event, Keeper},
    notice::{Notice, NoticeCode, Severity},
    snapshot::Snapshot,
};
use serde::Serialize;

use crate::{
    document::Server,
    driver::Driver,
    on_change::{Complain, OnChange, Runner},
    open::{OpenFault, Place},
    reader::{Reader, rfc3339},
};

/// The command and all that it is to hear, beside a keeper.
pub struct News {
    changes: Arc<Mutex<Changes>>,
    runner: Runner,
}

impl News {
    /// Takes in how things stand before the keeper does anything; `None` where there is no command.
    /// Must be called within a tokio runtime.
    pub fn start(place: &Place, complain: Complain) -> Result<Option<Self>, OpenFault> {
        let command = place.settings.on_change.clone();
        let Some((on_change, runner)) = OnChange::start(command, complain) else { return Ok(None) };
        let changes = Changes::since(&place.watch()?, on_change);
        Ok(Some(Self { changes: Arc::new(Mutex::new(changes)), runner }))
    }

    /// What tells it of each event.
    pub fn listener(&self) -> impl FnMut(&Event, &Keeper) + Send + use<> {
        let changes = Arc::clone(&self.changes);
        move |event, keeper| lock(&changes).event(event, keeper)
    }

    /// From now on it sees the truth after everything that happens, and what has changed so far.
    pub fn watch(&self, driver: &mut Driver) {
        lock(&self.changes).seen(&driver.snapshot());
        let changes = Arc::clone(&self.changes);
        driver.watch_with(Box::new(move |snapshot| lock(&changes).seen(snapshot)));
    }

    /// Lets the command hear the last of it, for a few seconds.
    pub async fn finish(self) {
        self.runner.finish().await;
    }
}

fn lock(changes: &Mutex<Changes>) -> std::sync::MutexGuard<'_, Changes> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells changes from what is merely going on.
struct Changes {
    on_change: OnChange,
    healths: BTreeMap<GrantId, Health>,
}

#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    at: Option<String>,
    event: &'static str,
    id: &'a GrantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<Health>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<NoticeLine<'a>>,
    server: Option<Server>,
}

#[derive(Serialize)]
struct NoticeLine<'a> {
    code: NoticeCode,
    severity: Severity,
    title: &'a str,
    sentence: &'a str,
}

impl Changes {
    /// `before` is how things stand before the keeper does anything.
    fn since(before: &Snapshot, on_change: OnChange) -> Self {
        let mut changes = Self { on_change, healths: BTreeMap::new() };
        drop(changes.take(before));
        changes
    }

    /// Something happened.
    fn event(&self, event: &Event, keeper: &Keeper) {
        let (name, id, notice) = match event {
            Event::Renewed { grant, .. } => ("renewed", grant, None),
            Event::SignedIn { grant, .. } => ("signed_in", grant, None),
            Event::SignedOut { grant } => ("signed_out", grant, None),
            Event::Notice(notice) => ("notice", &notice.grant, Some(notice)),
            Event::Waiting { .. }
            | Event::Renewing { .. }
            | Event::SigningIn { .. }
            | Event::SignInFailed { .. }
            | Event::Unchanged { .. }
            | Event::Failed { .. }
            | Event::Checked { .. }
            | Event::Reviewed { .. }
            | Event::VerdictWithdrawn { .. }
            | Event::Restored { .. }
            | Event::Revocation { .. }
            | Event::SignOutFailed { .. }
            | Event::NoticeWithdrawn { .. } => return,
        };
        self.tell(name, id, None, notice, &keeper.snapshot());
    }

    /// The truth after anything that happened.
    fn seen(&mut self, snapshot: &Snapshot) {
        for (id, was) in self.take(snapshot) {
            self.tell("health", &id, was, None, snapshot);
        }
    }

    /// Takes the healths in and returns the servers whose health is another, with what it was.
    fn take(&mut self, snapshot: &Snapshot) -> Vec<(GrantId, Option<Health>)> {
        let mut changed = Vec::new();
        for row in snapshot.rows.iter().filter(|row| lasts(row.health)) {
            let was = self.healths.insert(row.id.clone(), row.health);
            if was != Some(row.health) {
                changed.push((row.id.clone(), was));
            }
        }
        self.healths.retain(|id, _| snapshot.rows.iter().any(|row| row.id == *id));
        changed
    }

    fn tell(
        &self,
        event: &'static str,
        id: &GrantId,
        was: Option<Health>,
        notice: Option<&Notice>,
        snapshot: &Snapshot,
    ) {
        let reader = Reader::here();
        let row = snapshot.rows.iter().find(|row| row.id == *id);
        let line = Line {
            schema: 1,
            at: rfc3339(reader.now),
            event,
            id,
            was,
            notice: notice.map(|notice| NoticeLine {
                code: notice.code,
                severity: notice.severity,
                title: &notice.title,
                sentence: &notice.sentence,
            }),
            server: row.map(|row| Server::of(row, &reader)),
        };
        if let Ok(line) = serde_json::to_string(&line) {
            self.on_change.tell(line);
        }
    }
}

/// Whether it is a state, and not a step on the way to one.
const fn lasts(health: Health) -> bool {
    match health {
        Health::Refreshing | Health::SigningIn | Health::Unknown => false,
        Health::Healthy
        | Health::Retrying
        | Health::RetryingEnded
        | Health::Offline
        | Health::SignInRequired
        | Health::Refused
        | Health::ApprovalRequired
        | Health::NotSignedIn
        | Health::NoRefreshToken
        | Health::StandingBy
        | Health::Paused
        | Health::StoreLocked
        | Health::StoreBroken => true,
    }
}
