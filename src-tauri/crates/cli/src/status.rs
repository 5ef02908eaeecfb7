//! `lamplighter status`: reads, and does nothing else.

use lamplighter_engine::{document::Document, open::Place};

use crate::{args, print, reader, remote, words};

/// Prints the picture; the exit code is the worst row's.
pub(crate) fn run(place: &Place, args: &args::Status) -> anyhow::Result<u8> {
    if args.watch {
        return follow(place);
    }
    let snapshot = place.watch()?;
    let reader = reader();
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&Document::of(&snapshot, &reader))?);
    } else if args.line {
        let line = snapshot.line();
        if !line.is_empty() {
            outln!("{line}");
        }
    } else {
        for line in words::picture(&snapshot, &reader) {
            outln!("{line}");
        }
    }
    Ok(snapshot.exit)
}

/// Prints the picture again each time it changes, for as long as a keeper runs and
/// somebody reads.
fn follow(place: &Place) -> anyhow::Result<u8> {
    let Some(remote) = remote::join(place)? else {
        anyhow::bail!("nothing to watch: no keeper runs; start one with `lamplighter keep`");
    };
    let mut last = Vec::new();
    let mut exit = 0;
    remote.watch(|snapshot| {
        let reader = reader();
        let picture = words::picture(snapshot, &reader);
        exit = snapshot.exit;
        if picture != last {
            outln!("{}", reader.time(reader.now));
            for line in &picture {
                outln!("{line}");
            }
            last = picture;
        }
        print::is_read()
    })?;
    Ok(exit)
}
