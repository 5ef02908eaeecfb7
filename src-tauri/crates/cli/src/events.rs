//! What all commands that act share: how events are told, how servers are named, how a run is ended.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use lamplighter_core::{commands, facts::Renewer, ids::GrantId, keeper::Event, snapshot::Snapshot};
use lamplighter_engine::{
    output,
    reader::{Reader, rfc3339},
};

use crate::reader;

/// The servers named, by id or by a name that only one server has.
pub(crate) fn choose(snapshot: &Snapshot, names: &[String]) -> anyhow::Result<BTreeSet<GrantId>> {
    let mut chosen = BTreeSet::new();
    for name in names {
        // An identifier means one server, even where another one is called like it.
        let exact = snapshot.rows.iter().find(|row| row.id.as_str() == name);
        let called = snapshot.rows.iter().filter(|row| exact.is_none() && row.name == *name);
        let matching: Vec<&GrantId> = exact.into_iter().chain(called).map(|row| &row.id).collect();
        match matching.as_slice() {
            [one] => {
                chosen.insert((*one).clone());
            }
            [] if snapshot.rows.is_empty() => {
                bail!(
                    "no server named {name}: none with a sign-in was found; see `lamplighter doctor`"
                )
            }
            [] => {
                let known = snapshot.rows.iter().map(|row| row.id.as_str());
                bail!("no server named {name}; known: {}", known.collect::<Vec<_>>().join(", "))
            }
            several => {
                let several = several.iter().map(|id| id.as_str()).collect::<Vec<_>>();
                bail!("{name} is the name of several servers; say which: {}", several.join(", "))
            }
        }
    }
    Ok(chosen)
}

/// Progress goes to standard error, so that standard output stays the picture.
pub(crate) fn print_line(event: &Event) {
    if let Some(line) = line(event, &reader()) {
        errln!("{line}");
    }
}

/// One event in words; `None` for what the picture says anyway.
pub(crate) fn line(event: &Event, reader: &Reader) -> Option<String> {
    Some(match event {
        Event::Renewing { grant } => format!("{grant}: renewing…"),
        Event::Waiting { grant, why, until } => {
            let until = until.map(|at| format!(", until {}", reader.time(at))).unwrap_or_default();
            format!("{grant}: waiting: {why}{until}")
        }
        Event::Renewed { grant, by: Renewer::Lamplighter, .. } => format!("{grant}: renewed"),
        Event::Renewed { grant, by: Renewer::Client, .. } => {
            format!("{grant}: its client renewed it")
        }
        Event::Unchanged { grant, why, .. } => format!("{grant}: nothing to do, {why}"),
        Event::Failed { grant, why, next, .. } => {
            let next = next.map(|at| format!("; next try {}", reader.time(at))).unwrap_or_default();
            format!("{grant}: {why}{next}")
        }
        Event::Checked { grant, accepted, tools } => {
            let found = match (accepted, tools) {
                (Some(true), Some(tools)) => format!("the server accepts its token, {tools} tools"),
                (Some(true), None) => String::from("the server accepts its token"),
                (Some(false), _) => String::from("the server refuses its token"),
                (None, _) => String::from("the server proves nothing"),
            };
            format!("{grant}: {found}")
        }
        Event::Reviewed { grant, moved: None } => format!("{grant}: it signs in where it did"),
        Event::Reviewed { grant, moved: Some(moved) } => format!(
            "{grant}: signed in at {} so far; it names {} now. Nothing was sent there",
            moved.known, moved.now
        ),
        Event::VerdictWithdrawn { server, .. } => format!(
            "{server}: stale \"needs auth\" withdrawn; open sessions: {}",
            commands::in_session(server)
        ),
        Event::Restored { grant } => format!("{grant}: an old copy came back and was replaced"),
        Event::SigningIn { grant, step } => format!("{grant}: {step}…"),
        Event::SignedIn { grant, tools, .. } => {
            let tools = tools.map(|tools| format!(", {tools} tools")).unwrap_or_default();
            format!("{grant}: signed in{tools}")
        }
        Event::SignInFailed { grant, why, .. } => format!("{grant}: not signed in: {why}"),
        Event::SignedOut { grant } => format!("{grant}: signed out"),
        Event::Revocation { grant, outcome } => format!("{grant}: {}", outcome.words()),
        Event::SignOutFailed { grant, why, .. } => format!("{grant}: not signed out: {why}"),
        Event::Notice(notice) => format!("{}: {}", notice.title, notice.sentence),
        Event::NoticeWithdrawn { .. } => return None,
    })
}

pub(crate) fn print_json(event: &Event) {
    let value = serde_json::to_value(event).context("an event");
    if let Ok(serde_json::Value::Object(mut members)) = value {
        // Scripts read times as RFC 3339, like everywhere else.
        for name in ["until", "next", "expires_at"] {
            if let Some(at) = members.get(name).and_then(serde_json::Value::as_i64) {
                let text = rfc3339(lamplighter_core::time::Wall(at));
                members.insert(name.into(), text.into());
            }
        }
        output::out().json(&serde_json::Value::Object(members));
    }
}
