//! `lamplighter renew`: asks the engine, shows its progress, ends with the picture.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, bail};
use lamplighter_core::{
    facts::Renewer,
    health::{EXIT_FINE, worse},
    ids::GrantId,
    keeper::{Action, Event, Mode},
    snapshot::Snapshot,
};
use lamplighter_engine::{driver::Rest, open::Place};

use crate::{
    EXIT_OTHER, args,
    json::Document,
    reader,
    words::{self, rfc3339},
};

/// How long another Lamplighter is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any wait core plans for somebody who asked: a refusal confirmed a minute later, and
/// the first write to a store looked at for as long, one after the other.
const PATIENCE: Duration = Duration::from_secs(240);

/// Renews; the exit code is the worst of what was asked for.
pub(crate) fn run(place: Place, args: args::Renew) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let json = args.json;
    let listener = Box::new(
        move |event: &Event, _: &Snapshot| {
            if json { print_json(event) } else { print_line(event) }
        },
    );
    runtime.block_on(async {
        let mut driver =
            place.open(Mode::OnRequest, "lamplighter renew", ENGINE_PATIENCE, listener)?;
        driver.look().await;
        let asked = choose(&driver.snapshot(), &args.names)?;
        if asked.is_empty() {
            driver.act(Action::RenewDue);
        }
        for id in &asked {
            driver.act(Action::Renew(id.clone()));
        }
        let rest = driver.settle(stopped(), PATIENCE).await;
        let snapshot = driver.snapshot();
        finish(&snapshot, &asked, json)?;
        let code = snapshot
            .rows
            .iter()
            .filter(|row| asked.is_empty() || asked.contains(&row.id))
            .fold(EXIT_FINE, |code, row| worse(code, row.exit));
        let code = if asked.is_empty() { worse(code, snapshot.exit) } else { code };
        Ok(if rest == Rest::Stopped && code == EXIT_FINE { EXIT_OTHER } else { code })
    })
}

/// The servers named, by id or by a name that only one server has.
fn choose(snapshot: &Snapshot, names: &[String]) -> anyhow::Result<BTreeSet<GrantId>> {
    let mut chosen = BTreeSet::new();
    for name in names {
        let matching: Vec<&GrantId> = snapshot
            .rows
            .iter()
            .filter(|row| row.id.as_str() == name || row.name == *name)
            .map(|row| &row.id)
            .collect();
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

fn finish(snapshot: &Snapshot, asked: &BTreeSet<GrantId>, json: bool) -> anyhow::Result<()> {
    let reader = reader();
    if json {
        println!("{}", serde_json::to_string(&Document::of(snapshot, &reader))?);
        return Ok(());
    }
    if asked.is_empty() {
        for line in words::picture(snapshot, &reader) {
            println!("{line}");
        }
        return Ok(());
    }
    for row in snapshot.rows.iter().filter(|row| asked.contains(&row.id)) {
        println!("{} {}  {}", words::lamp(row.shape), row.id, reader.phrase(&row.phrase));
        if let Some(reason) = &row.reason {
            println!("  {reason}");
        }
    }
    Ok(())
}

/// Ctrl-C, or a service manager's request to end.
async fn stopped() {
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Progress goes to standard error, so that standard output stays the picture.
fn print_line(event: &Event) {
    let reader = reader();
    match event {
        Event::Renewing { grant } => eprintln!("{grant}: renewing…"),
        Event::Waiting { grant, why, until } => {
            let until = until.map(|at| format!(", until {}", reader.time(at))).unwrap_or_default();
            eprintln!("{grant}: waiting: {why}{until}");
        }
        Event::Renewed { grant, by: Renewer::Lamplighter, .. } => eprintln!("{grant}: renewed"),
        Event::Renewed { grant, by: Renewer::Client, .. } => {
            eprintln!("{grant}: its client renewed it");
        }
        Event::Unchanged { grant, why, .. } => eprintln!("{grant}: nothing to do, {why}"),
        Event::Failed { grant, why, next, .. } => {
            let next = next.map(|at| format!("; next try {}", reader.time(at))).unwrap_or_default();
            eprintln!("{grant}: {why}{next}");
        }
        Event::Checked { grant, accepted, tools } => {
            let found = match (accepted, tools) {
                (Some(true), Some(tools)) => format!("the server accepts its token, {tools} tools"),
                (Some(true), None) => String::from("the server accepts its token"),
                (Some(false), _) => String::from("the server refuses its token"),
                (None, _) => String::from("the server proves nothing"),
            };
            eprintln!("{grant}: {found}");
        }
        Event::VerdictWithdrawn { server, .. } => {
            eprintln!(
                "{server}: stale \"needs auth\" withdrawn; open sessions: /mcp reconnect {server}"
            );
        }
        Event::Restored { grant } => eprintln!("{grant}: an old copy came back and was replaced"),
        Event::SignedOut { grant } => eprintln!("{grant}: signed out"),
        // The picture at the end says both.
        Event::Notice(_) | Event::NoticeWithdrawn { .. } => {}
    }
}

fn print_json(event: &Event) {
    let value = serde_json::to_value(event).context("an event");
    if let Ok(serde_json::Value::Object(mut members)) = value {
        // Scripts read times as RFC 3339, like everywhere else.
        for name in ["until", "next", "expires_at"] {
            if let Some(at) = members.get(name).and_then(serde_json::Value::as_i64) {
                let text = rfc3339(lamplighter_core::time::Wall(at));
                members.insert(name.into(), text.into());
            }
        }
        println!("{}", serde_json::Value::Object(members));
    }
}
