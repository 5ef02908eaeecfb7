//! `lamplighter log`: what happened, from our own history.

use lamplighter_core::{facts::Renewer, ids::GrantId, snapshot::Snapshot};
use lamplighter_engine::{
    history::{self, Happening, Line},
    open::Place,
    reader::{Reader, rfc3339},
};

use crate::{args, events::choose, reader};

/// Prints the newest lines, oldest first.
pub(crate) fn run(place: &Place, args: &args::Log) -> anyhow::Result<u8> {
    let about = match &args.name {
        None => None,
        Some(name) => {
            let snapshot = place.watch()?;
            let chosen = choose(&snapshot, std::slice::from_ref(name))?;
            let earlier: Vec<_> = chosen.iter().filter_map(|id| earlier(&snapshot, id)).collect();
            Some(chosen.into_iter().chain(earlier).collect())
        }
    };
    let reader = reader();
    for line in history::last(&place.paths.history_file(), about.as_ref(), args.last)? {
        if args.json {
            let mut value = serde_json::to_value(&line)?;
            value["at"] = rfc3339(line.at).into();
            outln!("{value}");
        } else {
            outln!("{}", told(&line, &reader));
        }
    }
    Ok(0)
}

/// What the grant was called before identifiers were encoded, unless another one is called so now.
fn earlier(snapshot: &Snapshot, id: &GrantId) -> Option<GrantId> {
    let row = snapshot.rows.iter().find(|row| row.id == *id)?;
    let plain = GrantId::of(&row.store, &row.name);
    let tie = id.as_str().strip_prefix(plain.as_str())?;
    let earlier = GrantId(format!("{}/{}{tie}", row.store, row.name));
    snapshot.rows.iter().all(|row| row.id != earlier).then_some(earlier)
}

fn told(line: &Line, reader: &Reader) -> String {
    let at = reader.time(line.at);
    match &line.what {
        Happening::Renewed { grant, by, .. } => {
            let by = match by {
                Renewer::Lamplighter => "Lamplighter",
                Renewer::Client => "its client",
            };
            format!("{at}  {grant}: renewed by {by}")
        }
        Happening::Failed { grant, code, why } => format!("{at}  {grant}: {why} [{code}]"),
        Happening::VerdictWithdrawn { server, .. } => {
            format!("{at}  {server}: stale \"needs auth\" withdrawn")
        }
        Happening::Restored { grant } => format!("{at}  {grant}: an old copy was replaced"),
        Happening::SignedIn { grant } => format!("{at}  {grant}: signed in"),
        Happening::SignInFailed { grant, code, why } => {
            format!("{at}  {grant}: not signed in: {why} [{code}]")
        }
        Happening::SignedOut { grant } => format!("{at}  {grant}: signed out"),
    }
}
