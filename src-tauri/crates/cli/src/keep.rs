//! `lamplighter keep`: the keeper in the foreground, one line per event.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lamplighter_core::keeper::{Event, Keeper, Mode};
use lamplighter_engine::{on_change::OnChange, open::Place, stop};

use crate::{
    changes::Changes,
    events::{line, print_json},
    reader, remote, words,
};

/// How long a command that is just ending is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);

/// Keeps until told to end.
pub(crate) fn run(place: Place, json: bool) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let command = place.settings.on_change.clone();
        let complain = Box::new(|what: &str| eprintln!("lamplighter: {what}"));
        let (on_change, runner) = OnChange::start(command, complain).unzip();
        let changes = match on_change {
            Some(on_change) => {
                let before = place.watch()?;
                Some(Arc::new(Mutex::new(Changes::since(&before, on_change))))
            }
            None => None,
        };
        let heard = changes.clone();
        let listener = Box::new(move |event: &Event, keeper: &Keeper| {
            tell(event, json);
            if let Some(changes) = &heard {
                changes.lock().unwrap_or_else(PoisonError::into_inner).event(event, keeper);
            }
        });
        let mut driver = place.open(Mode::Keep, "lamplighter keep", ENGINE_PATIENCE, listener)?;
        driver.welcome();
        driver.look().await;
        if let Some(changes) = changes {
            changes.lock().unwrap_or_else(PoisonError::into_inner).seen(&driver.snapshot());
            driver.watch_with(Box::new(move |snapshot| {
                changes.lock().unwrap_or_else(PoisonError::into_inner).seen(snapshot);
            }));
        }
        if !json {
            for line in words::picture(&driver.snapshot(), &reader()) {
                println!("{line}");
            }
        }
        driver.keep(stop::asked()).await;
        // Others may act while the user's command hears the last news.
        drop(driver);
        if let Some(runner) = runner {
            runner.finish().await;
        }
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
