//! `lamplighter keep`: the keeper in the foreground, one line per event.
//!
//! It hears when the settings change and begins anew with them, without letting anybody else act in
//! between. Settings that can't be read are told of once: what was set before stays in effect, and at
//! the start it waits until they are mended.

use std::{pin::Pin, time::Duration};

use lamplighter_core::keeper::{Event, Keeper, Mode};
use lamplighter_engine::{
    changes::News,
    lock::{EngineLock, LockFault},
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

/// How soon a keeper is begun again whose disk does not answer.
const AGAIN: Duration = Duration::from_secs(5);
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
        let mut begin = Begin { settings: first, lock: None, anew: false };
        loop {
            let (settings, anew) = (begin.settings.clone(), begin.anew);
            let place = Place::with(env.clone(), paths.clone(), settings.clone());
            match keep(place, begin, &mut live, stop.as_mut(), json).await {
                Ok(Some(next)) => begin = next,
                Ok(None) => return Ok(0),
                // What the one before knew is not written yet: it is waited for.
                Err(fault) if is_our_own_disk(&fault, anew) => {
                    complain(&format!("{fault:#}; trying again"));
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN) => {}
                        () = &mut stop => return Ok(0),
                    }
                    begin = Begin { settings, lock: None, anew };
                }
                Err(fault) => return Err(fault),
            }
        }
    })
}

/// What a keeper begins with.
struct Begin {
    settings: Settings,
    /// The engine's lock, where another keeper of this process had it before.
    lock: Option<EngineLock>,
    /// Other settings are to take effect.
    anew: bool,
}

/// Whether a keeper of this process can't begin because the disk of our own files does not answer. `anew`:
/// this process had the lock before, and on Windows its holder can't be told.
fn is_our_own_disk(fault: &anyhow::Error, anew: bool) -> bool {
    match fault.downcast_ref::<OpenFault>() {
        Some(OpenFault::Silent(_)) => true,
        Some(OpenFault::Lock(LockFault::Held { pid, .. })) => {
            pid.map_or(anew, |pid| pid == std::process::id())
        }
        Some(
            OpenFault::Paths(_)
            | OpenFault::Settings(_)
            | OpenFault::State(_)
            | OpenFault::Lock(LockFault::Io { .. })
            | OpenFault::Network(_),
        )
        | None => false,
    }
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
    begin: Begin,
    live: &mut LiveSettings,
    stop: Stop<'_>,
    json: bool,
) -> anyhow::Result<Option<Begin>> {
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
    let what = "lamplighter keep";
    let mut driver = match begin.lock {
        Some(lock) => place.open_with(Mode::Keep, lock, listener)?,
        None => place.open(Mode::Keep, what, ENGINE_PATIENCE, listener)?,
    };
    driver.welcome();
    driver.look().await;
    if let Some(news) = &news {
        news.watch(&mut driver);
    }
    if !json && !begin.anew {
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
    let Some(settings) = next else { return Ok(None) };
    complain("the settings were changed; it goes on with them");
    // Without the lock the next one waits until what this one knew is written.
    Ok(Some(Begin { settings, lock, anew: true }))
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
