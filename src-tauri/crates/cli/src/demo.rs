//! `lamplighter demo`: the keeper at work on servers of its own, live in the terminal.
//!
//! Everything is real but the servers: the same engine, on a temporary home whose store holds four
//! sign-ins, against rehearsal servers on loopback. It must not read, write or ask anything of the
//! person who runs it, and leaves nothing behind.

use std::{
    collections::VecDeque,
    fs,
    io::{IsTerminal, Write},
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
use lamplighter_engine::{
    open::{OpenFault, Place},
    paths::Env,
    state::State,
};
use lamplighter_rehearsal::{Fault, Mint, Minted, Rehearsal};
use serde_json::{Map, Value, json};

use crate::{
    events::{line, print_json, stopped},
    reader, words,
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

/// How long the servers' access tokens live, in seconds.
const LIFE: i64 = 60;
/// What the first tokens have left, in seconds: enough to be renewed in peace.
const LEFT: i64 = 90;
/// How long the token that can't be renewed lives, in seconds.
const FILES_LIFE: i64 = 180;
/// When the server ends the sign-in of `notes`.
const NOTES_END: Duration = Duration::from_secs(120);
/// How long it goes on where nobody can press Ctrl-C.
const UNWATCHED: Duration = Duration::from_secs(240);
/// How many of the last events are shown.
const EVENTS: usize = 8;

/// Runs it until Ctrl-C, or for so many seconds.
pub(crate) fn run(seconds: Option<u64>, json: bool) -> anyhow::Result<u8> {
    let live = std::io::stdout().is_terminal() && !json;
    let until = seconds.map(Duration::from_secs).or((!live).then_some(UNWATCHED));
    let home = tempfile::Builder::new().prefix("lamplighter-demo-").tempdir()?;
    let town = Town::start()?;
    town.write_store(home.path())?;
    let place = place(home.path())?;
    if !json {
        println!("{BANNER}");
    }
    let screen = Arc::new(Mutex::new(Screen::new(live, json)));
    let for_listener = Arc::clone(&screen);
    let listener = Box::new(move |event: &Event, keeper: &Keeper| {
        lock(&for_listener).heard(event, keeper.snapshot());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let patience = Duration::from_secs(10);
        let mut driver = place.open(Mode::Keep, "lamplighter demo", patience, listener)?;
        driver.look().await;
        lock(&screen).show(driver.snapshot());
        let end = async {
            tokio::select! {
                () = stopped() => {}
                () = sleep_until_end(until) => {}
            }
        };
        tokio::select! {
            () = driver.keep(end) => {}
            () = redraw(&screen) => {}
            () = town.happen() => {}
        }
        lock(&screen).last_words(&driver.snapshot());
        Ok::<_, OpenFault>(())
    })?;
    if !json {
        println!("The demo is over; its servers and its home are gone.");
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
    let ours = home.join("lamplighter");
    let nobody = format!("unix:path={}", home.join("no-bus").display());
    let env = Env::fixed([
        ("HOME", home.as_os_str()),
        ("LAMPLIGHTER_HOME", ours.as_os_str()),
        ("DBUS_SYSTEM_BUS_ADDRESS", nobody.as_ref()),
    ]);
    let place = Place::find(env)?;
    place.paths.make()?;
    // This store is the demo's own: no need to look for a minute at what happens to the first write.
    let mut change = FactsChange::default();
    let proven = StoreFacts { proven: true, ..StoreFacts::default() };
    change.stores.insert("claude-code".into(), proven);
    let mut opened = State::open(&place.paths.state_file(), Wall(now_ms()))?;
    opened.state.remember(change)?;
    Ok(place)
}

/// The four servers.
struct Town {
    calendar: (Rehearsal, Minted),
    tickets: (Rehearsal, Minted),
    notes: (Rehearsal, Minted),
    files: (Rehearsal, Minted),
}

impl Town {
    fn start() -> anyhow::Result<Self> {
        let server = |left| -> anyhow::Result<(Rehearsal, Minted)> {
            let server = Rehearsal::builder().life_seconds(LIFE).start_blocking();
            let server = server.context("a demo server on loopback can't be started")?;
            let mint = Mint { access_life_seconds: left, ..Mint::default() };
            let minted = server.control().mint(mint);
            Ok((server, minted))
        };
        let town = Self {
            calendar: server(LEFT)?,
            tickets: server(LEFT)?,
            notes: server(LEFT)?,
            files: server(FILES_LIFE)?,
        };
        town.tickets.0.control().inject(Fault::RetryAfter { status: 503, seconds: 10 }, 4);
        Ok(town)
    }

    /// What happens to the servers meanwhile; never ends.
    async fn happen(&self) {
        tokio::time::sleep(NOTES_END).await;
        let (server, minted) = &self.notes;
        server.control().revoke_family_of(&minted.refresh_token);
        std::future::pending::<()>().await;
    }

    /// The store of a client that signed in to all four.
    fn write_store(&self, home: &Path) -> anyhow::Result<()> {
        let all = [
            ("calendar", &self.calendar),
            ("tickets", &self.tickets),
            ("notes", &self.notes),
            ("files", &self.files),
        ];
        let mut entries = Map::new();
        for (number, (name, (server, minted))) in all.into_iter().enumerate() {
            let mut entry = json!({
                "serverName": name,
                "serverUrl": server.mcp_url(),
                "accessToken": minted.access_token,
                "refreshToken": minted.refresh_token,
                "expiresAt": minted.expires_at_ms,
                "scope": minted.scope,
                "clientId": minted.client_id,
                "discoveryState": {"authorizationServerUrl": minted.issuer},
            });
            if let (Value::Object(members), "files") = (&mut entry, name) {
                members.remove("refreshToken");
            }
            entries.insert(format!("{name}|{number:016x}"), entry);
        }
        let folder = home.join(".claude");
        fs::create_dir(&folder)?;
        // A temporary file is for its user alone from the start.
        let file = tempfile::NamedTempFile::new_in(home)?;
        serde_json::to_writer(&file, &json!({ "mcpOAuth": entries }))?;
        file.persist(folder.join(".credentials.json"))?;
        Ok(())
    }
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
                println!("{line}");
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
            println!("{line}");
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
        self.drawn = lines.len();
        let mut out = std::io::stdout().lock();
        // A terminal that is gone ends the demo by its signal, not by this.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// How it all stands at the end.
    fn last_words(&mut self, snapshot: &Snapshot) {
        if self.json || self.live {
            return;
        }
        for line in words::picture(snapshot, &reader()) {
            println!("{line}");
        }
    }
}
