//! `lamplighter status`: reads, and does nothing else.

use lamplighter_engine::open::Place;

use crate::{args, json::Document, reader, words};

/// Prints the picture; the exit code is the worst row's.
pub(crate) fn run(place: &Place, args: &args::Status) -> anyhow::Result<u8> {
    let snapshot = place.watch()?;
    let reader = reader();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&Document::of(&snapshot, &reader))?);
    } else if args.line {
        let line = snapshot.line();
        if !line.is_empty() {
            println!("{line}");
        }
    } else {
        for line in words::picture(&snapshot, &reader) {
            println!("{line}");
        }
    }
    Ok(snapshot.exit)
}
