//! `renew`, `check`, `pause`, `resume` and what else is asked for by name: asks the engine, shows its progress, ends with the picture.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use lamplighter_core::{
    health::{EXIT_FINE, EXIT_STORE, Shape, worse},
    ids::GrantId,
    keeper::{Action, Event, Keeper, Mode},
    snapshot::Snapshot,
};
use lamplighter_engine::{document::Document, driver::Rest, open::Place, output, stop};

use crate::{
    EXIT_OTHER,
    events::{choose, print_json, print_line},
    last_look, reader,
    remote::{self, Remote},
    words, work,
};

/// How long another Lamplighter is waited for.
pub(crate) const ENGINE_PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any wait core plans for somebody who asked: a refusal confirmed a minute later, and
/// the first write to a store looked at for as long, one after the other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// Asks `ask` for each server named; without names, for all that is due. The exit code is the worst
/// of what was asked for.
pub(crate) fn run(
    place: Place,
    ask: impl Fn(GrantId) -> Action,
    names: &[String],
    json: bool,
) -> anyhow::Result<u8> {
    if let Some(remote) = remote::join(&place)? {
        return beside(remote, ask, names, json);
    }
    let failed = Arc::new(AtomicU8::new(EXIT_FINE));
    let for_events = Arc::clone(&failed);
    let listener = Box::new(move |event: &Event, _: &Keeper| {
        for_events.fetch_max(code_of_event(event), Ordering::Relaxed);
        if json { print_json(event) } else { print_line(event) }
    });
    let (asked, rest, snapshot) = work::run(async {
        let mut driver =
            place.open(Mode::OnRequest, "a lamplighter command", ENGINE_PATIENCE, listener)?;
        driver.look().await;
        let asked = choose(&driver.snapshot(), names)?;
        if asked.is_empty() {
            driver.act(Action::RenewDue);
        }
        for id in &asked {
            driver.act(ask(id.clone()));
        }
        let rest = driver.settle(stop::asked(), PATIENCE).await;
        last_look::later(&driver);
        Ok((asked, rest, driver.snapshot()))
    })?;
    finish(&snapshot, &asked, json)?;
    let code = worse(failed.load(Ordering::Relaxed), code_of(&snapshot, &asked));
    // A reader that has ended has seen what it wanted to see.
    let cut_short = rest == Rest::Stopped && !output::out().has_ended();
    Ok(if cut_short && code == EXIT_FINE { EXIT_OTHER } else { code })
}

/// The same by the keeper that runs: one wish after the other, each waited for.
fn beside(
    mut remote: Remote,
    ask: impl Fn(GrantId) -> Action,
    names: &[String],
    json: bool,
) -> anyhow::Result<u8> {
    let asked = choose(&remote.fresh_snapshot()?, names)?;
    let actions: Vec<Action> = if asked.is_empty() {
        vec![Action::RenewDue]
    } else {
        asked.iter().cloned().map(ask).collect()
    };
    let mut failed = EXIT_FINE;
    for action in actions {
        remote.act(action, |event| {
            failed = failed.max(code_of_event(event));
            if json { print_json(event) } else { print_line(event) }
        })?;
    }
    let snapshot = remote.snapshot()?;
    finish(&snapshot, &asked, json)?;
    Ok(worse(failed, code_of(&snapshot, &asked)))
}

/// What no row tells afterwards: that a sign-out came to nothing.
fn code_of_event(event: &Event) -> u8 {
    match event {
        Event::SignOutFailed { code, .. } => match code.as_str() {
            "not_possible" | "cancelled" | "overtaken" => EXIT_OTHER,
            _ => EXIT_STORE,
        },
        Event::Waiting { .. }
        | Event::Renewing { .. }
        | Event::Renewed { .. }
        | Event::Unchanged { .. }
        | Event::Failed { .. }
        | Event::Checked { .. }
        | Event::Reviewed { .. }
        | Event::VerdictWithdrawn { .. }
        | Event::Restored { .. }
        | Event::SigningIn { .. }
        | Event::SignedIn { .. }
        | Event::SignInFailed { .. }
        | Event::SignedOut { .. }
        | Event::Revocation { .. }
        | Event::Notice(_)
        | Event::NoticeWithdrawn { .. } => EXIT_FINE,
    }
}

/// The worst of what was asked for; of everything, where all was.
fn code_of(snapshot: &Snapshot, asked: &BTreeSet<GrantId>) -> u8 {
    if asked.is_empty() {
        return snapshot.exit;
    }
    let rows = snapshot.rows.iter().filter(|row| asked.contains(&row.id));
    rows.fold(EXIT_FINE, |code, row| worse(code, row.exit))
}

/// Ends with the picture of what was asked for.
pub(crate) fn finish(
    snapshot: &Snapshot,
    asked: &BTreeSet<GrantId>,
    json: bool,
) -> anyhow::Result<()> {
    let reader = reader();
    if json {
        output::out().json(&serde_json::to_value(Document::of(snapshot, &reader))?);
        return Ok(());
    }
    if asked.is_empty() {
        for line in words::picture(snapshot, &reader) {
            outln!("{line}");
        }
        return Ok(());
    }
    for row in snapshot.rows.iter().filter(|row| asked.contains(&row.id)) {
        outln!("{} {}  {}", words::lamp(row.shape), row.id, reader.phrase(&row.phrase));
        if let Some(reason) = &row.reason {
            outln!("  {reason}");
        }
    }
    // Gone with its entry: no configuration names it.
    let here = |id: &&GrantId| snapshot.rows.iter().any(|row| row.id == **id);
    for id in asked.iter().filter(|id| !here(id)) {
        outln!("{} {id}  Not signed in", words::lamp(Shape::Hollow));
    }
    Ok(())
}
