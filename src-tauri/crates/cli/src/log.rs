//! `lamplighter log`: what happened, from our own history.

use lamplighter_core::facts::Renewer;
use lamplighter_engine::{
    history::{self, Happening, Line},
    open::Place,
    reader::{Reader, rfc3339},
};

use crate::{args, events::choose, reader};

/// Prints the newest lines, oldest first.
pub(crate) fn run(place: &Place, args: &args::Log) -> anyhow::Result<u8> {
    let grant = match &args.name {
        None => None,
        Some(name) => choose(&place.watch()?, std::slice::from_ref(name))?.into_iter().next(),
    };
    let reader = reader();
    for line in history::last(&place.paths.history_file(), grant.as_ref(), args.last)? {
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
