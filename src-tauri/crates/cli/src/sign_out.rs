//! `lamplighter sign-out`: says what will happen, asks, and signs out.

use lamplighter_core::{
    health::Health,
    keeper::{Action, SignOut},
    snapshot::{Row, Snapshot},
};
use lamplighter_engine::open::Place;

use crate::{EXIT_OTHER, EXIT_USAGE, args, ask, events::choose, question, remote};

/// Signs out, after asking. The exit code says whether that worked.
pub(crate) fn run(place: Place, args: &args::SignOut) -> anyhow::Result<u8> {
    let snapshot = match remote::join(&place)? {
        Some(mut remote) => remote.snapshot()?,
        None => place.watch()?,
    };
    let names = [args.name.clone()];
    let chosen = choose(&snapshot, &names)?;
    let row = snapshot.rows.iter().find(|row| chosen.contains(&row.id));
    let signed_in = row.filter(|row| row.health != Health::NotSignedIn);
    if let Some(row) = signed_in.filter(|_| !args.yes) {
        if args.json || !question::is_possible() {
            errln!("lamplighter: nothing was changed: without a terminal to ask on, say --yes");
            return Ok(EXIT_USAGE);
        }
        explain(row, &snapshot, !args.no_revoke);
        if !question::agreed("Sign out?")? {
            errln!("Nothing was changed");
            return Ok(EXIT_OTHER);
        }
    }
    let revoke = !args.no_revoke;
    let ask = |grant| Action::SignOut(SignOut { grant, revoke });
    ask::run(place, ask, &names, args.json)
}

fn explain(row: &Row, snapshot: &Snapshot, revoke: bool) {
    let store = snapshot.stores.iter().find(|store| store.id == row.store);
    let place = store.map_or("its store", |store| store.place.as_str());
    errln!("{} is signed in to {}.", row.id, row.url);
    errln!("Its entry will be removed from {place}, where {} keeps it.", row.client);
    if revoke {
        let server = row.issuer.as_deref().unwrap_or("its sign-in server");
        errln!("Then {server} is asked to end the sign-in, where it has a way to.");
    } else {
        errln!("The sign-in itself is not ended: it stays valid at its server.");
    }
}
