//! The loop with real files, and nobody at the other end of the wire.

use std::{fs, path::Path, sync::mpsc as std_mpsc};

use lamplighter_core::{
    facts::Renewer,
    health::Health,
    ids::{EntryKey, RecordId, Target, TokenMark},
    journal::{Record, Stage},
    keeper::Mode,
    secret::Secret,
    store::{Change, NewTokens, StoreFault, StoreInfo, StoreView, TokenPair, Written},
    time::Wall,
};

use super::*;
use crate::{
    identity::Identity,
    keyring::KeyringAnswer,
    open::Place,
    paths::HOME_OVERRIDE,
    stores::{Location, RefreshLock, Spot},
};

/// A home where Claude Code has one sign-in that has ended, at a port where nobody listens.
fn home() -> (tempfile::TempDir, Place) {
    let home = tempfile::tempdir().unwrap();
    let ours = home.path().join("ours");
    let claude = home.path().join(".claude");
    fs::create_dir(&ours).unwrap();
    fs::create_dir(&claude).unwrap();
    fs::write(ours.join("settings.toml"), "probe = false\n").unwrap();
    let entry = serde_json::json!({
        "serverName": "rig", "serverUrl": "http://127.0.0.1:9/mcp", "accessToken": "at-0",
        "discoveryState": {"authorizationServerUrl": "http://127.0.0.1:9"},
        "clientId": "client", "refreshToken": "rt-0", "expiresAt": 1_700_000_000_000_i64,
    });
    let text = serde_json::json!({"mcpOAuth": {"rig|0": entry}}).to_string();
    fs::write(claude.join(".credentials.json"), text).unwrap();
    let nowhere = format!("unix:path={}", home.path().join("no-bus").display());
    let env = Env::fixed([
        (HOME_OVERRIDE, ours.as_os_str()),
        ("HOME", home.path().as_os_str()),
        ("DBUS_SYSTEM_BUS_ADDRESS", nowhere.as_ref()),
    ]);
    let place = Place::find(env).unwrap();
    (home, place)
}

/// What an earlier run received for rt-0 and could not save, sealed under this key.
fn leave_an_answer_in_the_journal(place: &Place, key: &Key) {
    leave_an_answer(place, Some(key.clone()));
}

fn leave_an_answer_in_the_journal_unsealed(place: &Place) {
    leave_an_answer(place, None);
}

fn leave_an_answer(place: &Place, key: Option<Key>) {
    place.paths.make().unwrap();
    let now = Wall(1_700_000_000_000);
    let state = State::open(&place.paths.state_file(), now).unwrap().state;
    let entry = place.stores[0].look().unwrap().entries.swap_remove(0);
    let tokens = NewTokens {
        access: Secret::new("at-1"),
        refresh: Some(Secret::new("rt-1")),
        expires_at: Some(Wall(4_000_000_000_000)),
        scope: None,
    };
    let record = Record {
        id: RecordId::from("earlier"),
        at: now,
        mark: TokenMark::of(&state.mark_key(), entry.pair.refresh.as_ref().unwrap()),
        replaced: vec![(Target { store: place.stores[0].info().id, key: entry.key }, entry.pair)],
        client_id: "client".into(),
        stage: Stage::Answered(tokens),
        enrolment: None,
        written_over: None,
    };
    let (mut journal, _, _) = Journal::open(&place.paths.journal_file(), key, now);
    journal.keep(record).unwrap();
}

fn refresh_token_in(home: &Path) -> String {
    let text = fs::read_to_string(home.join(".claude/.credentials.json")).unwrap();
    let store: serde_json::Value = serde_json::from_str(&text).unwrap();
    store["mcpOAuth"]["rig|0"]["refreshToken"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_keyring_that_hangs_then_is_locked_then_opens_lets_a_sealed_journal_come_home() {
    let (home, place) = home();
    let key = Key::generate().unwrap();
    leave_an_answer_in_the_journal(&place, &key);
    let (works, hears_it_work) = std_mpsc::channel();
    let (end, mut ended) = mpsc::unbounded_channel();
    let listener = Box::new(move |event: &Event, _: &Keeper| {
        if matches!(event, Event::Failed { .. }) {
            let _ = works.send(());
        }
        if matches!(event, Event::Renewed { by: Renewer::Lamplighter, .. }) {
            let _ = end.send(());
        }
    });
    let mut driver = place.open(Mode::Keep, "test", Duration::ZERO, listener).unwrap();
    assert!(driver.keyring.is_some(), "there is no keyring in this home: it is looked for later");
    let asked = Arc::new(Mutex::new((0, hears_it_work)));
    let times = Arc::clone(&asked);
    let mut keyring = Later::new(Arc::new(move || {
        let mut asked = times.lock().unwrap();
        asked.0 += 1;
        match asked.0 {
            1 => {
                // Hangs until the loop has worked on meanwhile.
                asked.1.recv_timeout(Duration::from_secs(30)).unwrap();
                KeyringAnswer::TimedOut
            }
            2 => KeyringAnswer::Locked,
            _ => KeyringAnswer::Present(key.clone()),
        }
    }));
    keyring.hurry();
    driver.keyring = Some(keyring);
    driver.look().await;
    assert_eq!(refresh_token_in(home.path()), "rt-0");
    let stop = async move {
        ended.recv().await;
    };
    let kept = tokio::time::timeout(Duration::from_secs(3600), driver.keep(stop)).await;
    assert_eq!(kept, Ok(()), "it never came home");
    assert_eq!(refresh_token_in(home.path()), "rt-1");
    assert!(driver.keyring.is_none(), "what was found is not looked for any more");
    assert_eq!(asked.lock().unwrap().0, 3);
}

/// A real store, whose readers wait while its gate is shut.
struct Gated {
    store: Arc<dyn Store>,
    gate: Arc<Mutex<()>>,
    reads: mpsc::UnboundedSender<()>,
}

impl Store for Gated {
    fn info(&self) -> StoreInfo {
        self.store.info()
    }

    fn location(&self) -> Option<Location> {
        self.store.location()
    }

    fn read_surroundings(&self) {
        self.store.read_surroundings();
    }

    fn read_store(&self) -> Result<StoreView, StoreFault> {
        let _ = self.reads.send(());
        drop(self.gate.lock().unwrap());
        self.store.read_store()
    }

    fn lock(
        &self,
        key: &EntryKey,
        patience: Duration,
        after_wake: bool,
    ) -> Result<Box<dyn RefreshLock>, StoreFault> {
        self.store.lock(key, patience, after_wake)
    }

    fn lock_identity(&self, key: &EntryKey) -> Identity {
        self.store.lock_identity(key)
    }

    fn write(&self, change: &Change) -> Result<Written, StoreFault> {
        self.store.write(change)
    }

    fn remove(&self, key: &EntryKey, expect: &TokenPair) -> Result<Written, StoreFault> {
        self.store.remove(key, expect)
    }

    fn withdraw(&self, server_name: &str, at: Wall) -> Result<bool, StoreFault> {
        self.store.withdraw(server_name, at)
    }

    fn headers(&self, key: &EntryKey) -> Option<BTreeMap<String, String>> {
        self.store.headers(key)
    }

    fn spot(&self, name: &str, url: &str) -> Result<Spot, StoreFault> {
        self.store.spot(name, url)
    }

    fn just_woke(&self, grace: Duration) {
        self.store.just_woke(grace);
    }

    fn watched(&self) -> Vec<PathBuf> {
        self.store.watched()
    }
}

#[tokio::test]
async fn a_store_that_hangs_holds_nobody_up() {
    let (home, mut place) = home();
    let gate = Arc::new(Mutex::new(()));
    let (reads, mut reading) = mpsc::unbounded_channel();
    let store = place.stores.remove(0);
    place.stores.push(Arc::new(Gated { store, gate: Arc::clone(&gate), reads }));
    let mut driver = place
        .open(Mode::Keep, "test", Duration::ZERO, Box::new(|_: &Event, _: &Keeper| {}))
        .unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    driver.watch_with(Box::new(move |snapshot: &Snapshot| {
        if snapshot.rows.iter().any(|row| row.health == Health::Paused) {
            let _ = tell.send(());
        }
    }));
    driver.look().await;
    while reading.try_recv().is_ok() {}
    let (shut, is_shut) = std_mpsc::channel();
    let (open, opens) = std_mpsc::channel::<()>();
    let gatekeeper = std::thread::spawn(move || {
        let _shut = gate.lock().unwrap();
        shut.send(()).unwrap();
        let _ = opens.recv();
    });
    is_shut.recv().unwrap();
    let wish = driver.wisher();
    let id = driver.snapshot().rows[0].id.clone();
    let stop = async move {
        let store = home.path().join(".claude/.credentials.json");
        let text = fs::read_to_string(&store).unwrap();
        fs::write(&store, format!("{text}\n")).unwrap();
        // The look that now hangs.
        reading.recv().await;
        wish.send(Action::Pause(id)).unwrap();
        told.recv().await;
        drop(open);
    };
    let kept = tokio::time::timeout(Duration::from_secs(60), driver.keep(stop)).await;
    assert_eq!(kept, Ok(()), "the loop waited for a store");
    gatekeeper.join().unwrap();
}

/// A store that says how its refresh lock was asked for, and is always busy.
struct Busy {
    store: Arc<dyn Store>,
    asked: std_mpsc::Sender<bool>,
    graces: Arc<Mutex<Vec<Duration>>>,
}

impl Store for Busy {
    fn info(&self) -> lamplighter_core::store::StoreInfo {
        self.store.info()
    }
    fn read_surroundings(&self) {
        self.store.read_surroundings();
    }
    fn read_store(&self) -> Result<StoreView, StoreFault> {
        self.store.read_store()
    }
    fn lock_identity(&self, key: &EntryKey) -> Identity {
        self.store.lock_identity(key)
    }
    fn location(&self) -> Option<crate::stores::Location> {
        self.store.location()
    }
    fn lock(
        &self,
        _: &EntryKey,
        _: Duration,
        after_wake: bool,
    ) -> Result<Box<dyn crate::stores::RefreshLock>, StoreFault> {
        self.asked.send(after_wake).unwrap();
        Err(StoreFault::Busy { lock: "its lock".into() })
    }
    fn write(&self, change: &Change) -> Result<Written, StoreFault> {
        self.store.write(change)
    }
    fn remove(&self, key: &EntryKey, expect: &TokenPair) -> Result<Written, StoreFault> {
        self.store.remove(key, expect)
    }
    fn withdraw(&self, server_name: &str, at: Wall) -> Result<bool, StoreFault> {
        self.store.withdraw(server_name, at)
    }
    fn headers(&self, key: &EntryKey) -> Option<BTreeMap<String, String>> {
        self.store.headers(key)
    }
    fn spot(&self, name: &str, url: &str) -> Result<crate::stores::Spot, StoreFault> {
        self.store.spot(name, url)
    }
    fn just_woke(&self, grace: Duration) {
        self.graces.lock().unwrap().push(grace);
    }
    fn watched(&self) -> Vec<PathBuf> {
        self.store.watched()
    }
}

#[tokio::test]
async fn after_a_sleep_that_only_a_timer_noticed_locks_are_given_time_before_one_is_taken() {
    let (_home, mut place) = home();
    leave_an_answer_in_the_journal_unsealed(&place);
    let (asked, hears) = std_mpsc::channel();
    let graces = Arc::new(Mutex::new(Vec::new()));
    let store = place.stores.remove(0);
    place.stores.push(Arc::new(Busy { store, asked, graces: Arc::clone(&graces) }));
    let mut driver = place
        .open(Mode::Keep, "test", Duration::ZERO, Box::new(|_: &Event, _: &Keeper| {}))
        .unwrap();
    let clock = Arc::new(crate::clock::FakeClock::at(driver.clock.now()));
    driver.clock = clock.clone();
    driver.look().await;
    let (ticket, outcome) = driver.answers.recv().await.unwrap();
    assert!(!hears.recv().unwrap(), "nobody slept");
    driver.handle(Input::Done(ticket, outcome));
    clock.advance(lamplighter_core::time::Millis::hours(1));
    driver.handle(Input::Tick);
    driver.handle(Input::Tick);
    while driver.answers.try_recv().is_err() {
        clock.advance(lamplighter_core::time::Millis(100));
        driver.handle(Input::Tick);
        tokio::task::yield_now().await;
    }
    assert!(hears.recv().unwrap(), "the refresh lock is given time");
    assert_eq!(graces.lock().unwrap().len(), 1, "and so is the store's own");
}
