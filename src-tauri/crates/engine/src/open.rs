//! Puts everything together: folders, settings, stores, journal, facts, HTTP, and the loop.
//!
//! [`Place::find`] only works out where things lie; [`Place::watch`] only reads; [`Place::open`]
//! takes the engine's lock and may act. It must not read a store before the lock is held, and must
//! not let a keyring that hangs hold anything up.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lamplighter_core::{
    ids::MarkKey,
    journal::Record,
    keeper::{Input, Keeper, Mode, Opening, SignInMeans},
    snapshot::{Snapshot, Unfinished},
    store::StoreInfo,
    time::Wall,
};

use crate::{
    browser,
    clock::{Clock, SystemClock},
    deadline,
    driver::{Driver, Limbs, Listener},
    history::History,
    http::{Client, Limits, NetworkFault, SystemNames},
    journal::{Journal, JournalState},
    keyring::{self, Later},
    lock::{EngineLock, LockFault},
    paths::{Env, Paths, PathsFault},
    probe::{McpProbe, NoProbe, Probe},
    seal::Key,
    settings::{KeyringUse, Settings, SettingsFault},
    state::{OpenedState, State, StateFault},
    stores::{
        self, Store,
        claude_code::{ClaudeCode, Folder},
        elsewhere,
    },
};

/// Where things lie, and what the user has set.
pub struct Place {
    /// The environment everything was worked out from.
    pub env: Env,
    /// Our own folders.
    pub paths: Paths,
    /// The user's settings.
    pub settings: Settings,
    /// The stores that are looked at.
    pub stores: Vec<Arc<dyn Store>>,
    /// Config folders of Claude Code that hold a store and are not looked at: offered.
    pub offered: Vec<std::path::PathBuf>,
}

/// Why nothing could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// Our own folders.
    #[error(transparent)]
    Paths(#[from] PathsFault),
    /// The settings file.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// Our own facts.
    #[error(transparent)]
    State(#[from] StateFault),
    /// Another Lamplighter is at work.
    #[error(transparent)]
    Lock(#[from] LockFault),
    /// The disk that our own files lie on hangs.
    #[error("{} does not answer", .0.display())]
    Silent(PathBuf),
    /// The network could not be set up.
    #[error(transparent)]
    Network(#[from] NetworkFault),
}

/// How long the disk that our own files lie on may take to open them.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Our own files, opened.
struct OpenedFiles {
    state: OpenedState,
    journal: (Journal, Vec<Record>, JournalState),
    history: Option<History>,
}

impl OpenedFiles {
    /// Opens them all. `None` where their disk does not answer: the lock is held until it does.
    fn open(
        paths: &Paths,
        key: Option<Key>,
        lock: &EngineLock,
        now: Wall,
    ) -> Option<Result<Self, StateFault>> {
        let (paths, share) = (paths.clone(), lock.share().ok());
        deadline::within(ANSWER_TIME, move || {
            let state = State::open(&paths.state_file(), now)?;
            let journal = Journal::open(&paths.journal_file(), key, now);
            // Without a history nothing is lost but the history.
            let history = History::open(&paths.history_file(), now)
                .inspect_err(|fault| tracing::warn!(%fault, "the history can't be kept"))
                .ok();
            drop(share);
            Ok(Self { state, journal, history })
        })
    }
}

impl Place {
    /// Works out where things lie; reads the settings, and makes nothing.
    pub fn find(env: Env) -> Result<Self, OpenFault> {
        let paths = Paths::find(&env)?;
        paths.check(&env)?;
        let settings = Settings::read(&paths.settings, &env)?;
        Ok(Self::with(env, paths, settings))
    }

    /// The same with settings that are known already, whatever their file says now.
    pub fn with(env: Env, paths: Paths, settings: Settings) -> Self {
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        let mut offered = Vec::new();
        if let Some(usual) = Folder::usual(&env).filter(|_| settings.claude_code.enabled) {
            let home = usual.home.clone();
            let mut folders = vec![usual];
            for folder in &settings.claude_code.folders {
                let other = Folder::other(folder, &home);
                // By another name it may be one that is looked at already.
                if !folders.iter().any(|known| known.is_same_store(&other)) {
                    folders.push(other);
                }
            }
            offered = folders.first().map(|usual| usual.others(&folders)).unwrap_or_default();
            for folder in folders {
                stores.push(Arc::new(ClaudeCode::new(folder, env.clone())));
            }
        }
        Self { env, paths, settings, stores, offered }
    }

    /// A place that knows this home and nothing else of this machine: the demo's.
    pub fn alone(home: &std::path::Path) -> Result<Self, OpenFault> {
        let ours = home.join("lamplighter");
        let nobody = format!("unix:path={}", home.join("no-bus").display());
        Self::find(Env::fixed([
            ("HOME", home.as_os_str()),
            ("LAMPLIGHTER_HOME", ours.as_os_str()),
            ("DBUS_SYSTEM_BUS_ADDRESS", nobody.as_ref()),
        ]))
    }

    /// The whole truth as far as reading tells: no lock, no network, no keyring, no recovery.
    pub fn watch(&self) -> Result<Snapshot, OpenFault> {
        let known = State::read(&self.paths.state_file())?;
        let (mark_key, seed, facts) = match known {
            Some((remembered, facts)) => (remembered.mark_key(), remembered.seed(), facts),
            // Nothing was ever remembered here, so no mark will be compared with one.
            None => (MarkKey([0; 32]), 0, lamplighter_core::facts::Facts::default()),
        };
        let opening = Opening {
            stores: self.infos(),
            facts,
            journal: Vec::new(),
            profiles: self.settings.profiles.clone(),
            mark_key,
            seed,
            mode: Mode::WatchOnly,
            probes: false,
            plain_http: self.settings.network.plain_http.clone(),
            sign_in_means: SignInMeans::default(),
        };
        let clock = SystemClock::new();
        let mut keeper = Keeper::new(opening, clock.now());
        for unfinished in self.unfinished() {
            keeper.cannot_visit(unfinished);
        }
        for store in &self.stores {
            let look =
                Input::StoreSeen { store: store.info().id, seen: stores::look_patiently(store) };
            keeper.handle(look, clock.now());
        }
        Ok(keeper.snapshot())
    }

    /// Takes the engine's lock, as `what`, waiting at most `patience` for another Lamplighter, and
    /// joins core to the world. Nothing is looked at before [`Driver::look`].
    pub fn open(
        self,
        mode: Mode,
        what: &str,
        patience: Duration,
        listener: Listener,
    ) -> Result<Driver, OpenFault> {
        let (paths, what) = (self.paths.clone(), what.to_owned());
        let took = deadline::within(patience + ANSWER_TIME, move || {
            paths.make()?;
            Ok::<_, OpenFault>(EngineLock::acquire(&paths, &what, patience)?)
        });
        let lock = took.ok_or_else(|| self.silent())??;
        self.open_with(mode, lock, listener)
    }

    /// The same for whoever holds the engine's lock already.
    pub fn open_with(
        self,
        mode: Mode,
        lock: EngineLock,
        listener: Listener,
    ) -> Result<Driver, OpenFault> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let answer = keyring::journal_key(&self.settings, &self.env, &self.paths);
        let own = OpenedFiles::open(&self.paths, answer.key().cloned(), &lock, clock.now().wall);
        let OpenedFiles { state: opened, journal: (mut journal, _, found), history } =
            own.ok_or_else(|| self.silent())??;
        if let Some(aside) = &opened.set_aside {
            tracing::warn!(to = %aside.display(), "facts could not be read and were set aside");
        }
        let records = journal.learn(elsewhere::locations(&self.stores));
        let waiting = journal.waiting();
        let keyring =
            (answer.key().is_none() && self.settings.keyring == KeyringUse::Auto).then(|| {
                let (settings, env) = (self.settings.clone(), self.env.clone());
                let paths = self.paths.clone();
                Later::new(Arc::new(move || keyring::journal_key(&settings, &env, &paths)))
            });
        if keyring.is_some() {
            tracing::info!(?answer, "the keyring gives no key; a keeper asks again now and then");
        }
        tracing::info!(journal = ?found, records = records.len(), "opened");
        let opening = Opening {
            stores: self.infos(),
            facts: opened.facts,
            journal: records,
            profiles: self.settings.profiles.clone(),
            mark_key: opened.state.mark_key(),
            seed: opened.state.seed(),
            mode,
            probes: self.settings.probe,
            plain_http: self.settings.network.plain_http.clone(),
            sign_in_means: SignInMeans {
                // Links go to the tray of the user's own home.
                scheme_served: !self.paths.home.is_apart() && browser::scheme_served(&self.env),
                metadata_document: self.settings.client_metadata_url.clone(),
            },
        };
        let client = Arc::new(Client::new(
            &self.settings.network,
            &self.env,
            Arc::new(SystemNames),
            Arc::clone(&clock),
            Limits::default(),
        )?);
        let for_probe = Arc::clone(&client);
        let probe: Arc<dyn Probe> = if self.settings.probe {
            Arc::new(McpProbe::new(Box::new(move |url| {
                let (client, url) = (Arc::clone(&for_probe), url.to_owned());
                Box::pin(async move { client.for_server(&url).await })
            })))
        } else {
            Arc::new(NoProbe)
        };
        let mut keeper = Keeper::new(opening, clock.now());
        let mut stores = self.stores;
        let known = stores.iter().map(|store| store.info().id).collect();
        let journal_file = self.paths.journal_file();
        stores.extend(elsewhere::open(waiting, &known, &self.env, &journal_file, &mut keeper));
        let limbs = Limbs {
            clock,
            http: client,
            probe,
            stores,
            journal,
            journal_file,
            state: opened.state,
            history,
            socket: self.paths.socket_file(),
            env: self.env,
            keyring,
            lock,
        };
        Ok(Driver::new(keeper, limbs, listener))
    }

    /// What the journal holds for stores that can't be opened from here.
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let journal = self.paths.journal_file();
        let waiting = Journal::waiting_at(&journal);
        elsewhere::unfinished_among(waiting, &self.stores, &self.env, &journal)
    }

    fn silent(&self) -> OpenFault {
        OpenFault::Silent(self.paths.home.folder().into())
    }

    fn infos(&self) -> Vec<StoreInfo> {
        self.stores.iter().map(|store| store.info()).collect()
    }
}
