//! `lamplighter keep`: the keeper in the foreground, one line per event.
//!
//! It hears when the settings change and begins anew with them, without letting anybody else act in
//! between. Settings that can't be read are told of once: what was set before stays in effect, and at
//! the start it waits until they are mended.

use std::{pin::Pin, time::Duration};

use anyhow::Context as _;
use lamplighter_core::keeper::{Event, Keeper, Mode};
use lamplighter_engine::{
    changes::News,
    lock::EngineLock,
    open::{OpenFault, Place},
    paths::{Env, Paths},
    settings::{
        Settings,
        live::{Change, LiveSettings},
    },
    stop,
};
use tokio::sync::watch;

use crate::{
    events::{line, print_json},
    print, reader, remote, words, work,
};

/// How long a command that is just ending is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);

/// Resolves when it is told to end.
type Stop<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// Keeps until told to end.
pub(crate) fn run(env: Env, json: bool) -> anyhow::Result<u8> {
    let paths = Paths::find(&env).map_err(OpenFault::from)?;
    paths.check(&env).map_err(OpenFault::from)?;
    work::run(async {
        let mut live = LiveSettings::new(&paths.settings, &env, None);
        let mut stop = std::pin::pin!(stop::asked());
        let first = tokio::select! {
            settings = first(&mut live) => settings,
            () = &mut stop => return Ok(0),
        };
        let mut place = Place::with(env.clone(), paths.clone(), first);
        let mut lock = None;
        loop {
            let next = keep(place, lock, &mut live, stop.as_mut(), json).await?;
            let Some((settings, held)) = next else { return Ok(0) };
            complain("the settings were changed; it goes on with them");
            place = Place::with(env.clone(), paths.clone(), settings);
            lock = Some(held);
        }
    })
}

/// The settings to begin with. Nothing is renewed on guesses: a file that can't be read is waited for.
async fn first(live: &mut LiveSettings) -> Settings {
    loop {
        match live.changed().await {
            Change::Settings(settings) => return *settings,
            Change::Fault(fault) => {
                complain(&format!("{fault}; nothing is renewed until that is mended"));
            }
            Change::Mended => {}
        }
    }
}

/// Keeps until it is told to end, or until other settings are to take effect: which, and the lock.
async fn keep(
    place: Place,
    lock: Option<EngineLock>,
    live: &mut LiveSettings,
    stop: Stop<'_>,
    json: bool,
) -> anyhow::Result<Option<(Settings, EngineLock)>> {
    let used = place.settings.clone();
    let news = News::start(&place, Box::new(complain))?;
    let mut hear = news.as_ref().map(News::listener);
    // A sign-in that waits for the browser would end with the keeper that began it.
    let (tell_free, mut free) = watch::channel(true);
    let listener = Box::new(move |event: &Event, keeper: &Keeper| {
        tell(event, json);
        if is_about_a_sign_in(event) {
            let waits = keeper.snapshot().rows.iter().any(|row| row.sign_in.is_some());
            let _ = tell_free.send(!waits);
        }
        if let Some(hear) = &mut hear {
            hear(event, keeper);
        }
    });
    let begun_anew = lock.is_some();
    let what = "lamplighter keep";
    let mut driver = match lock {
        Some(lock) => place.open_with(Mode::Keep, lock, listener)?,
        None => place.open(Mode::Keep, what, ENGINE_PATIENCE, listener)?,
    };
    driver.welcome();
    driver.look().await;
    if let Some(news) = &news {
        news.watch(&mut driver);
    }
    if !json && !begun_anew {
        for line in words::picture(&driver.snapshot(), &reader()) {
            outln!("{line}");
        }
    }
    let mut next = None;
    let end = async {
        tokio::select! {
            () = stop => {}
            settings = other_settings(live, &used, &mut free) => next = Some(settings),
        }
    };
    driver.keep(end).await;
    // Where it ends, others may act while the user's command hears the last news.
    let lock = driver.into_lock().filter(|_| next.is_some());
    if let Some(news) = news {
        news.finish().await;
    }
    let Some(next) = next else { return Ok(None) };
    // Another keeper would read facts that are older than what this one knew.
    let lock = lock.context("the state folder's disk does not answer")?;
    Ok(Some((next, lock)))
}

/// Waits until other settings are to take effect, which is not while a sign-in waits for the browser.
async fn other_settings(
    live: &mut LiveSettings,
    used: &Settings,
    free: &mut watch::Receiver<bool>,
) -> Settings {
    let mut next = None;
    loop {
        tokio::select! {
            change = live.changed() => match change {
                Change::Settings(settings) => {
                    next = used.differs_for_a_keeper(&settings).then_some(*settings);
                }
                Change::Fault(fault) => {
                    complain(&format!("{fault}; what was set before stays in effect"));
                }
                Change::Mended => complain("the settings can be read again"),
            },
            () = until_free(free), if next.is_some() => {
                if let Some(next) = next {
                    return next;
                }
            }
        }
    }
}

async fn until_free(free: &mut watch::Receiver<bool>) {
    // Where nobody tells any more, no sign-in waits.
    drop(free.wait_for(|free| *free).await);
}

const fn is_about_a_sign_in(event: &Event) -> bool {
    matches!(event, Event::SigningIn { .. } | Event::SignedIn { .. } | Event::SignInFailed { .. })
}

fn complain(what: &str) {
    errln!("lamplighter: {what}");
}

/// Prints every event of the keeper that runs, until it ends or nobody reads any more.
pub(crate) fn events(place: &Place, json: bool) -> anyhow::Result<u8> {
    let Some(remote) = remote::join(place)? else {
        anyhow::bail!("no keeper runs; start one with `lamplighter keep`");
    };
    remote.events(|event| {
        tell(event, json);
        print::is_read()
    })?;
    Ok(0)
}

fn tell(event: &Event, json: bool) {
    let reader = reader();
    if json {
        print_json(event);
    } else if let Some(line) = line(event, &reader) {
        outln!("{} {line}", reader.time(reader.now));
    }
}
