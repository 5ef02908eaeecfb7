//! `lamplighter trust`: shows where a server signs in now, asks, and accepts that.
//!
//! It looks first, which sends nothing but requests for metadata, and lets go of the engine while a
//! person reads.

use std::sync::{Arc, Mutex, PoisonError};

use lamplighter_core::{
    health::{EXIT_FINE, EXIT_WAITING},
    keeper::{Action, Event, Keeper, Mode, Trusted},
    snapshot::{NewAddress, Snapshot},
};
use lamplighter_engine::{open::Place, paths::Env, stop};

use crate::{
    EXIT_OTHER, EXIT_USAGE, args,
    ask::{self, ENGINE_PATIENCE, PATIENCE},
    events::{choose, print_json, print_line},
    last_look, question, remote, work,
};

/// Shows what would be trusted, asks, and trusts.
pub(crate) fn run(place: Place, args: &args::Trust) -> anyhow::Result<u8> {
    let names = [args.name.clone()];
    let (snapshot, found) = look(place, &names, args.json)?;
    let moved = match found {
        Some(Found::Moved(moved)) => moved,
        Some(Found::Stayed) => {
            let asked = choose(&snapshot, &names)?;
            ask::finish(&snapshot, &asked, args.json)?;
            return Ok(EXIT_FINE);
        }
        Some(Found::Nothing) | None => {
            errln!("lamplighter: nothing was changed: where it signs in could not be seen");
            return Ok(EXIT_WAITING);
        }
    };
    if !args.yes {
        if args.json || !question::is_possible() {
            errln!("lamplighter: nothing was changed: without a terminal to ask on, say --yes");
            return Ok(EXIT_USAGE);
        }
        errln!("Its refresh token goes to {} from now on, instead of {}.", moved.now, moved.known);
        if !question::agreed(&format!("Trust {}?", moved.now))? {
            errln!("Nothing was changed");
            return Ok(EXIT_OTHER);
        }
    }
    ask::run(
        Place::find(Env::Process)?,
        |grant| Action::Trust(Trusted::new(grant, &moved.now)),
        &names,
        args.json,
    )
}

/// What a look found.
enum Found {
    Moved(NewAddress),
    Stayed,
    Nothing,
}

impl Found {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Reviewed { moved: Some(moved), .. } => Some(Self::Moved(moved.clone())),
            Event::Reviewed { moved: None, .. } => Some(Self::Stayed),
            Event::Failed { .. } => Some(Self::Nothing),
            Event::Waiting { .. }
            | Event::Renewing { .. }
            | Event::Renewed { .. }
            | Event::Unchanged { .. }
            | Event::Checked { .. }
            | Event::VerdictWithdrawn { .. }
            | Event::Restored { .. }
            | Event::SigningIn { .. }
            | Event::SignedIn { .. }
            | Event::SignInFailed { .. }
            | Event::SignedOut { .. }
            | Event::Revocation { .. }
            | Event::SignOutFailed { .. }
            | Event::Notice(_)
            | Event::NoticeWithdrawn { .. } => None,
        }
    }
}

fn tell(event: &Event, json: bool) {
    if json { print_json(event) } else { print_line(event) }
}

/// Looks where the server signs in now, by the keeper that runs or by an engine of this command's own.
fn look(place: Place, names: &[String], json: bool) -> anyhow::Result<(Snapshot, Option<Found>)> {
    let mut found = None;
    if let Some(mut remote) = remote::join(&place)? {
        for grant in choose(&remote.fresh_snapshot()?, names)? {
            remote.act(Action::Review(grant), |event| {
                tell(event, json);
                found = Found::of(event).or(found.take());
            })?;
        }
        return Ok((remote.snapshot()?, found));
    }
    let found = Arc::new(Mutex::new(None));
    let for_events = Arc::clone(&found);
    let listener = Box::new(move |event: &Event, _: &Keeper| {
        tell(event, json);
        if let Some(new) = Found::of(event) {
            *for_events.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
        }
    });
    let snapshot = work::run(async {
        let what = "a lamplighter command";
        let mut driver = place.open(Mode::OnRequest, what, ENGINE_PATIENCE, listener)?;
        driver.look().await;
        for grant in choose(&driver.snapshot(), names)? {
            driver.act(Action::Review(grant));
        }
        driver.settle(stop::asked(), PATIENCE).await;
        last_look::later(&driver);
        anyhow::Ok(driver.snapshot())
    })?;
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok((snapshot, found))
}
