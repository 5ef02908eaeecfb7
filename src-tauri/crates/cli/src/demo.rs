//! `lamplighter demo`: the keeper at work on servers of its own, live in the terminal.
//!
//! Everything is real but the servers: the same engine, on a temporary home whose store holds four
//! sign-ins, against rehearsal servers on loopback. It must not read, write or ask anything of the
//! person who runs it, and leaves nothing behind.

use std::{
    collections::VecDeque,
    fs,
    io::IsTerminal,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use lamplighter_core::{
    facts::{FactsChange, StoreFacts},
    keeper::{Event, Keeper, Mode},
    snapshot::Snapshot,
    time::Wall,
};
use lamplighter_engine::{open::Place, output, state::State, stop};
use lamplighter_rehearsal::Demo;

use crate::{
    events::{line, print_json},
    reader, words, work,
};

const BANNER: &str = "\
┌─ DEMO ─────────────────────────────────────────────────────────────────────
│ Four servers of its own on loopback, and a temporary home with a sign-in to
│ each. Nothing of yours is read, written or asked; at the end all of it is gone.
│   calendar  well: its tokens live 60 seconds
│   tickets   answers 503 for a while, then heals
│   notes     its sign-in is ended by the server after two minutes
│   files     has no refresh token: it works until its token ends
└────────────────────────────────────────────────────────────────────────────";

/// How long it goes on where nobody can press Ctrl-C.
const UNWATCHED: Duration = Duration::from_secs(240);
/// How many of the last events are shown.
const EVENTS: usize = 8;

/// Runs it until Ctrl-C, or for so many seconds.
pub(crate) fn run(seconds: Option<u64>, json: bool) -> anyhow::Result<u8> {
    let live = std::io::stdout().is_terminal() && !json;
    let until = seconds.map(Duration::from_secs).or((!live).then_some(UNWATCHED));
    let home = tempfile::Builder::new().prefix("lamplighter-demo-").tempdir()?;
    let town = Demo::start().context("a demo server on loopback can't be started")?;
    write_store(&town, home.path())?;
    let place = place(home.path())?;
    if !json {
        outln!("{BANNER}");
    }
    let screen = Arc::new(Mutex::new(Screen::new(live, json)));
    let for_listener = Arc::clone(&screen);
    let listener = Box::new(move |event: &Event, keeper: &Keeper| {
        lock(&for_listener).heard(event, keeper.snapshot());
    });
    work::run(async {
        let patience = Duration::from_secs(10);
        let mut driver = place.open(Mode::Keep, "lamplighter demo", patience, listener)?;
        driver.look().await;
        lock(&screen).show(driver.snapshot());
        let end = async {
            tokio::select! {
                () = stop::asked() => {}
                () = sleep_until_end(until) => {}
            }
        };
        tokio::select! {
            () = driver.keep(end) => {}
            () = redraw(&screen) => {}
            () = happen(&town) => {}
        }
        lock(&screen).last_words(&driver.snapshot());
        Ok(())
    })?;
    if !json {
        outln!("The demo is over; its servers and its home are gone.");
    }
    Ok(0)
}

async fn sleep_until_end(until: Option<Duration>) {
    match until {
        Some(until) => tokio::time::sleep(until).await,
        None => std::future::pending().await,
    }
}

async fn redraw(screen: &Mutex<Screen>) {
    loop {
        lock(screen).draw();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn lock(screen: &Mutex<Screen>) -> std::sync::MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place that knows the temporary home and nothing else of this machine.
fn place(home: &Path) -> anyhow::Result<Place> {
    let place = Place::alone(home)?;
    place.paths.make()?;
    // This store is the demo's own: no need to look for a minute at what happens to the first write.
    let mut change = FactsChange::default();
    let proven = StoreFacts { proven: true, ..StoreFacts::default() };
    change.stores.insert("claude-code".into(), proven);
    let mut opened = State::open(&place.paths.state_file(), Wall(now_ms()))?;
    opened.state.remember(change)?;
    Ok(place)
}

/// What happens to the servers meanwhile; never ends.
async fn happen(town: &Demo) {
    tokio::time::sleep(Duration::from_secs(Demo::NOTES_END_SECONDS)).await;
    town.end_notes();
    std::future::pending::<()>().await;
}

fn write_store(town: &Demo, home: &Path) -> anyhow::Result<()> {
    let folder = home.join(".claude");
    fs::create_dir(&folder)?;
    // A temporary file is for its user alone from the start.
    let file = tempfile::NamedTempFile::new_in(home)?;
    serde_json::to_writer(&file, &town.store())?;
    file.persist(folder.join(".credentials.json"))?;
    Ok(())
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What is shown: the picture, drawn over itself on a terminal, and the last events below.
struct Screen {
    live: bool,
    json: bool,
    snapshot: Option<Snapshot>,
    events: VecDeque<String>,
    /// How many lines stand there now.
    drawn: usize,
}

impl Screen {
    const fn new(live: bool, json: bool) -> Self {
        Self { live, json, snapshot: None, events: VecDeque::new(), drawn: 0 }
    }

    fn show(&mut self, snapshot: Snapshot) {
        if !self.live && !self.json {
            for line in words::picture(&snapshot, &reader()) {
                outln!("{line}");
            }
        }
        self.snapshot = Some(snapshot);
        self.draw();
    }

    fn heard(&mut self, event: &Event, snapshot: Snapshot) {
        self.snapshot = Some(snapshot);
        if self.json {
            print_json(event);
            return;
        }
        let reader = reader();
        let Some(words) = line(event, &reader) else { return };
        let line = format!("{} {words}", reader.time(reader.now));
        if !self.live {
            outln!("{line}");
            return;
        }
        self.events.push_back(line);
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
        self.draw();
    }

    fn draw(&mut self) {
        let (true, Some(snapshot)) = (self.live, &self.snapshot) else { return };
        let mut lines = vec![String::new()];
        lines.extend(words::picture(snapshot, &reader()));
        lines.push(String::new());
        lines.extend(self.events.iter().cloned());
        lines.push(String::from("Ctrl-C ends the demo."));
        // Up to where it began, all below cleared; lines that are too long are cut, not wrapped.
        let up = match self.drawn {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A\x1b[J"),
        };
        let text = format!("\x1b[?7l{up}{}\n\x1b[?7h", lines.join("\n"));
        if output::out().offer(&text) {
            self.drawn = lines.len();
        }
    }

    /// How it all stands at the end.
    fn last_words(&mut self, snapshot: &Snapshot) {
        if self.json || self.live {
            return;
        }
        for line in words::picture(snapshot, &reader()) {
            outln!("{line}");
        }
    }
}
