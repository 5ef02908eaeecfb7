//! `lamplighter keep`: the keeper in the foreground, one line per event.

use std::time::Duration;

use lamplighter_core::keeper::{Event, Keeper, Mode};
use lamplighter_engine::{changes::News, open::Place, stop};

use crate::{
    events::{line, print_json},
    reader, remote, words,
};

/// How long a command that is just ending is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);

/// Keeps until told to end.
pub(crate) fn run(place: Place, json: bool) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let complain = Box::new(|what: &str| eprintln!("lamplighter: {what}"));
        let news = News::start(&place, complain)?;
        let mut hear = news.as_ref().map(News::listener);
        let listener = Box::new(move |event: &Event, keeper: &Keeper| {
            tell(event, json);
            if let Some(hear) = &mut hear {
                hear(event, keeper);
            }
        });
        let mut driver = place.open(Mode::Keep, "lamplighter keep", ENGINE_PATIENCE, listener)?;
        driver.welcome();
        driver.look().await;
        if let Some(news) = &news {
            news.watch(&mut driver);
        }
        if !json {
            for line in words::picture(&driver.snapshot(), &reader()) {
                println!("{line}");
            }
        }
        driver.keep(stop::asked()).await;
        // Others may act while the user's command hears the last news.
        drop(driver);
        if let Some(news) = news {
            news.finish().await;
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
