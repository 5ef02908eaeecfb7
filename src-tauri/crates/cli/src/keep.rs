//! `lamplighter keep`: the keeper in the foreground, one line per event.

use std::time::Duration;

use lamplighter_core::{
    keeper::{Event, Mode},
    snapshot::Snapshot,
};
use lamplighter_engine::open::Place;

use crate::{
    events::{line, print_json, stopped},
    reader, remote, words,
};

/// How long a command that is just ending is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);

/// Keeps until told to end.
pub(crate) fn run(place: Place, json: bool) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = Box::new(move |event: &Event, _: &Snapshot| tell(event, json));
    runtime.block_on(async {
        let mut driver = place.open(Mode::Keep, "lamplighter keep", ENGINE_PATIENCE, listener)?;
        driver.look().await;
        if !json {
            for line in words::picture(&driver.snapshot(), &reader()) {
                println!("{line}");
            }
        }
        driver.keep(stopped()).await;
        Ok(0)
    })
}

/// Prints every event of the keeper that runs, until it ends.
pub(crate) fn events(place: &Place, json: bool) -> anyhow::Result<u8> {
    let Some(remote) = remote::join(place)? else {
        anyhow::bail!("no keeper runs; start one with `lamplighter keep`");
    };
    remote.events(|event| tell(event, json))?;
    Ok(0)
}

fn tell(event: &Event, json: bool) {
    let reader = reader();
    if json {
        print_json(event);
    } else if let Some(line) = line(event, &reader) {
        println!("{} {line}", reader.time(reader.now));
    }
}
