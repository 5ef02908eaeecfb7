//! Leaving: brings home what the journal still holds, then removes all that is ours.
//!
//! It must not remove anything while new tokens lie in the journal alone, nor a file that is not
//! ours, nor anything that carries another home's mark, and it leaves every client's store as it is.
//!
//! Command line and tray leave the same way, by [`entirely`]. Read next: [`journal`](crate::journal)
//! for what is brought home, [`service`](crate::service) and [`traces`](crate::traces) for what of ours
//! lies elsewhere.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lamplighter_core::{ids::StoreId, keeper::Mode, store::SignIns};

use crate::{
    driver::{Listener, Rest},
    home,
    journal::{Closed, Journal, Left},
    keyring::{self, Forgotten, Owner},
    lock::{EngineLock, LockFault},
    open::{OpenFault, Place},
    paths::Paths,
    seal::Key,
    service::{Installed, Service, ServiceFault},
    stores::{self, Store, elsewhere},
    traces::Traces,
};

/// How this process is named to others meanwhile.
const WHAT: &str = "lamplighter uninstall";
/// How long a command that is just ending is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a store that can't be written is tried: longer than a lock stands whose holder is dead.
const SAVE_PATIENCE: Duration = Duration::from_secs(90);
/// A little more than core takes for its last look at what was saved.
const LOOK_PATIENCE: Duration = Duration::from_secs(75);
/// After which time a store's file that is gone is looked for once more.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// How often the journal is looked at meanwhile.
const POLL: Duration = Duration::from_millis(200);

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum StayFault {
    /// The engine could not be opened.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// Another Lamplighter is at work.
    #[error(transparent)]
    Lock(#[from] LockFault),
    /// The journal can't be opened, so nobody knows what it holds.
    #[error("{}: {why}; it may hold new tokens that no client has yet", .place.display())]
    Closed {
        /// The journal.
        place: PathBuf,
        /// Why.
        why: Closed,
    },
    /// New tokens could not be saved.
    #[error(
        "the new tokens of {count} sign-in(s) could not be saved, and only {} holds them; \
         `lamplighter status` says what is in the way",
        .place.display()
    )]
    Unsaved {
        /// The journal.
        place: PathBuf,
        /// How many.
        count: usize,
    },
    /// Answers could not be read, and their sign-ins still hold the token that was spent for them.
    #[error(
        "what the server answered to the renewal of {count} sign-in(s) could not be read, and only {} \
         holds it; sign in to them again, or out of them, to go on (`lamplighter status` names them); \
         where their store is not there, bring it back, or give the answer up by removing that file",
        .place.display()
    )]
    Unread {
        /// The journal.
        place: PathBuf,
        /// How many.
        count: usize,
    },
    /// The service could not be asked, ended or removed.
    #[error(transparent)]
    Service(#[from] ServiceFault),
    /// The service was ended for this and could not be started again.
    #[error("{fault}; and the service was ended and can't be started again: {service}")]
    NotResumed {
        /// Why nothing was removed.
        fault: Box<StayFault>,
        /// What the service manager said.
        service: ServiceFault,
    },
    /// Nothing can run here.
    #[error("{0}")]
    Runtime(String),
    /// Told to end.
    #[error("ended before everything was brought home")]
    Stopped,
}

/// Brings home what the journal still holds: new tokens go into their store, and stay in the journal
/// until their client is known to live with them, about a minute after they were saved. Afterwards
/// nobody else may act until the lock that is returned is dropped; `None` where nothing was ever kept.
///
/// `waiting` is told once that this may take a while. `stop` is asked for a new future at each wait.
pub async fn bring_home<F: Future<Output = ()> + Send>(
    place: Place,
    stop: impl Fn() -> F,
    listener: Listener,
    mut waiting: impl FnMut(Left),
) -> Result<Option<EngineLock>, StayFault> {
    let paths = place.paths.clone();
    if !paths.state.exists() || holds_nothing_of_ours(&paths) {
        return Ok(None);
    }
    let file = paths.journal_file();
    if file.exists() {
        let key = keyring::find_journal_key(&place.settings, &place.env, &paths);
        let key = key.key().cloned();
        let left = left(&file, key.as_ref())?;
        let stores = place.stores.clone();
        if left != Left::default() {
            waiting(left);
            settle(place, key.as_ref(), stop, listener).await?;
        }
        let lock = EngineLock::acquire(&paths, WHAT, ENGINE_PATIENCE)?;
        // Looked at under the lock: nothing can come to it any more.
        return match self::left(&file, key.as_ref())? {
            Left { unsaved: 0, unread: 0, .. } => Ok(Some(lock)),
            Left { unsaved: 0, .. } => match still_unread(&file, key.as_ref(), &stores).await? {
                0 => Ok(Some(lock)),
                count => Err(StayFault::Unread { place: file, count }),
            },
            Left { unsaved: count, .. } => Err(StayFault::Unsaved { place: file, count }),
        };
    }
    Ok(Some(EngineLock::acquire(&paths, WHAT, ENGINE_PATIENCE)?))
}

async fn settle<F: Future<Output = ()> + Send>(
    place: Place,
    key: Option<&Key>,
    stop: impl Fn() -> F,
    listener: Listener,
) -> Result<(), StayFault> {
    let file = place.paths.journal_file();
    let mut driver = place.open(Mode::OnRequest, WHAT, ENGINE_PATIENCE, listener)?;
    driver.look().await;
    let stopped = AtomicBool::new(false);
    let asked = stop();
    let told = async {
        asked.await;
        stopped.store(true, Ordering::Relaxed);
    };
    let rest = driver.settle(told, SAVE_PATIENCE).await;
    if stopped.load(Ordering::Relaxed) {
        return Err(StayFault::Stopped);
    }
    if rest == Rest::Stopped || left(&file, key)?.watched == 0 {
        return Ok(());
    }
    let seen = async {
        while left(&file, key).is_ok_and(|left| left.watched > 0) {
            tokio::time::sleep(POLL).await;
        }
    };
    let asked = stop();
    let enough = async {
        tokio::select! {
            () = seen => {}
            () = tokio::time::sleep(LOOK_PATIENCE) => {}
            () = asked => stopped.store(true, Ordering::Relaxed),
        }
    };
    driver.keep(enough).await;
    if stopped.load(Ordering::Relaxed) { Err(StayFault::Stopped) } else { Ok(()) }
}

/// What there is to remove.
#[derive(Debug)]
pub struct Belongings {
    /// Files of ours, and the tray's entries with the desktop.
    pub files: Vec<PathBuf>,
    /// Files of the desktop's that name the tray: they lose that line.
    pub shared: Vec<PathBuf>,
    /// The service, where it is installed and ours.
    pub service: Option<Service>,
    /// Whether the keeper that runs is the service's.
    pub served: bool,
}

/// Looks what there is. Changes nothing.
pub fn look(place: &Place) -> Result<Belongings, ServiceFault> {
    let traces = Traces::of(&place.env, &place.paths.home);
    let mut files = belongings(&place.paths);
    files.extend(traces.files().into_iter().chain(traces.folders()));
    // Where there are no services, none is ours.
    let service = match Service::find(&place.env, &place.paths.home) {
        Ok(service) => Some((service.installed()?, service)),
        Err(_) => None,
    };
    let service = match service {
        Some((Installed::Ours { .. }, service)) => Some(service),
        Some((Installed::No | Installed::Foreign | Installed::OtherHome { .. }, _)) | None => None,
    };
    let status = service.as_ref().map(Service::status).transpose()?;
    let served = status.is_some_and(|status| status.running == Some(true));
    Ok(Belongings { files, shared: traces.shared(), service, served })
}

/// What is worth a word meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The service is being ended.
    EndingService,
    /// What the journal holds is brought home, which may take up to two minutes.
    BringingHome(Left),
}

/// All of it, for whoever has asked already: ends the service, brings home, then removes. Where it
/// fails nothing was removed, and a service that ran runs again.
pub fn entirely<F: Future<Output = ()> + Send>(
    place: Place,
    stop: impl Fn() -> F + Send,
    listener: Listener,
    mut tell: impl FnMut(Step) + Send,
) -> Result<(Removal, Forgotten), StayFault> {
    let (paths, settings, env) = (place.paths.clone(), place.settings.clone(), place.env.clone());
    let owner = Owner::of(&paths);
    let Belongings { service, served, .. } = look(&place)?;
    if !served && let Some(holder) = EngineLock::holder(&paths) {
        return Err(StayFault::Lock(holder));
    }
    let running = service.as_ref().filter(|_| served);
    if let Some(service) = running {
        tell(Step::EndingService);
        service.stop()?;
    }
    // In a thread of its own: whoever calls may be within a runtime.
    let home = std::thread::scope(|scope| {
        let at_work = scope.spawn(move || {
            let waiting = |left| tell(Step::BringingHome(left));
            crate::runtime::run(bring_home(place, stop, listener, waiting))
                .map_err(|error| StayFault::Runtime(error.to_string()))?
        });
        at_work.join().unwrap_or_else(|_| Err(StayFault::Runtime("it failed midway".into())))
    });
    let lock = match home {
        Ok(lock) => lock,
        Err(fault) => return Err(stays(running, fault)),
    };
    let mut removal = Removal::default();
    if let Some(service) = &service {
        if let Err(fault) = service.remove() {
            // The service takes this lock itself.
            drop(lock);
            return Err(stays(running, fault.into()));
        }
        removal.removed.push(service.file().to_owned());
    }
    removal.traces(&Traces::of(&env, &paths.home));
    let rest = remove(&paths, lock);
    removal.removed.extend(rest.removed);
    removal.kept.extend(rest.kept);
    Ok((removal, keyring::forget_journal_key(&settings, &env, owner)))
}

/// Nothing is removed: a service that was ended for this runs again.
fn stays(ended: Option<&Service>, fault: StayFault) -> StayFault {
    match ended.map(Service::resume) {
        Some(Err(service)) => StayFault::NotResumed { fault: Box::new(fault), service },
        Some(Ok(())) | None => fault,
    }
}

/// How many answers that could not be read a person may still miss: not those of stores where nobody is
/// signed in any more, because the file is gone from a folder that is there. That is believed after a
/// second look.
async fn still_unread(
    journal: &Path,
    key: Option<&Key>,
    stores: &[Arc<dyn Store>],
) -> Result<usize, StayFault> {
    let unread = Journal::unread(journal, key.cloned(), elsewhere::locations(stores))
        .map_err(|why| StayFault::Closed { place: journal.into(), why })?;
    let mut empty: Vec<&Arc<dyn Store>> = stores.iter().collect();
    for look in 0..2 {
        if look > 0 && !empty.is_empty() && !unread.is_empty() {
            tokio::time::sleep(SECOND_LOOK).await;
        }
        empty.retain(|store| {
            stores::look_patiently(store).is_ok_and(|view| view.sign_ins == SignIns::None)
        });
    }
    let empty: BTreeSet<StoreId> = empty.into_iter().map(|store| store.info().id).collect();
    Ok(unread.iter().filter(|of| !of.is_subset(&empty)).count())
}

fn left(journal: &Path, key: Option<&Key>) -> Result<Left, StayFault> {
    Journal::left(journal, key.cloned())
        .map_err(|why| StayFault::Closed { place: journal.into(), why })
}

/// What could not be removed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The file or folder.
    pub place: PathBuf,
    /// Why.
    pub why: String,
}

/// What was removed and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// Gone.
    pub removed: Vec<PathBuf>,
    /// Still there.
    pub kept: Vec<Kept>,
}

/// Every file of ours that is there, the ones that may hold a secret first. In a folder that is not
/// marked as a home none is ours, whatever its name.
pub fn belongings(paths: &Paths) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if holds_nothing_of_ours(paths) {
        return found;
    }
    if home::is_home(&paths.state) {
        found.extend(inside(&paths.state, is_of_state));
    }
    // One that is answered belongs to a keeper of another home: ours has ended.
    if !is_answered(&paths.socket_file()) {
        found.extend(inside(&paths.runtime, |name| name == "keeper.sock"));
    }
    found.extend(Some(paths.settings.clone()).filter(|file| is_there(file)));
    // Settings that could not be read were kept beside them.
    let aside = |name: &str| {
        let number = name.strip_prefix("settings.damaged").and_then(|n| n.strip_suffix(".toml"));
        number.is_some()
    };
    found.extend(paths.settings.parent().map(|folder| inside(folder, aside)).unwrap_or_default());
    found
}

/// Whether a folder that `LAMPLIGHTER_HOME` names is not marked as a home: settings in it may be meant for
/// one, and nothing there is ours yet.
fn holds_nothing_of_ours(paths: &Paths) -> bool {
    paths.home.is_apart() && !home::is_home(&paths.state)
}

/// Removes the files of ours and then the folders that held them, where nothing else is in them.
pub fn remove(paths: &Paths, lock: Option<EngineLock>) -> Removal {
    let mut removal = Removal::default();
    if holds_nothing_of_ours(paths) {
        return removal;
    }
    let (lock_file, marker) = (paths.lock_file(), paths.state.join(home::MARKER_FILE));
    let last = [&lock_file, &marker];
    let (is_ours, files) = (home::is_home(&paths.state), belongings(paths));
    for file in files.iter().filter(|file| !last.contains(file)) {
        removal.note(file, fs::remove_file(file));
    }
    // While it is held, so that nobody takes it in between; but for Windows, where a file that is open
    // can't be removed.
    let lock = lock.filter(|_| cfg!(unix));
    // The marker goes last: whoever is interrupted can go on.
    for file in last.into_iter().filter(|file| is_ours && is_there(file)) {
        removal.note(file, fs::remove_file(file));
    }
    drop(lock);
    let folders = [Some(paths.runtime.as_path()), Some(&paths.state), paths.settings.parent()];
    let mut folders: Vec<&Path> = folders.into_iter().flatten().collect();
    folders.dedup();
    for folder in folders {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                let why = String::from("there is something in it that is not Lamplighter's");
                removal.kept.push(Kept { place: folder.into(), why });
            }
            other => removal.note(folder, other),
        }
    }
    removal
}

impl Removal {
    /// What the tray left with the desktop.
    fn traces(&mut self, traces: &Traces) {
        for file in traces.files() {
            let removed = fs::remove_file(&file);
            self.note(&file, removed);
        }
        for folder in traces.folders() {
            let removed = fs::remove_dir_all(&folder);
            self.note(&folder, removed);
        }
        for file in traces.shared() {
            match traces.clean(&file) {
                Ok(true) => self.removed.push(file),
                Ok(false) => {}
                Err(error) => self.note(&file, Err(error)),
            }
        }
        traces.refresh();
    }

    fn note(&mut self, place: &Path, done: io::Result<()>) {
        match done {
            Ok(()) => self.removed.push(place.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.kept
                    .push(Kept { place: place.into(), why: format!("can't be removed: {error}") });
            }
        }
    }
}

/// Whether a keeper listens there.
#[cfg(unix)]
fn is_answered(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

#[cfg(not(unix))]
const fn is_answered(_socket: &Path) -> bool {
    false
}

/// Also a link that leads nowhere is there.
fn is_there(place: &Path) -> bool {
    fs::symlink_metadata(place).is_ok()
}

fn inside(folder: &Path, is_ours: fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let files =
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
    let ours = files.filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
    let mut found: Vec<PathBuf> = ours.map(|entry| entry.path()).collect();
    let holds_tokens = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("journal"))
    };
    found.sort_by_key(|path| (!holds_tokens(path), path.clone()));
    found
}

fn is_of_state(name: &str) -> bool {
    let finished = name.strip_suffix(".new").unwrap_or(name);
    let whole = [
        "state.json",
        "journal",
        "journal.reserve",
        "history.jsonl",
        "engine.lock",
        "desk.json",
        home::MARKER_FILE,
    ];
    let aside = ["state.broken-", "journal.broken-"];
    whole.contains(&finished) || aside.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::{Env, HOME_OVERRIDE};

    fn names(places: &[PathBuf]) -> Vec<String> {
        let name = |place: &PathBuf| place.file_name().unwrap().to_string_lossy().into_owned();
        places.iter().map(name).collect()
    }

    #[test]
    fn all_that_is_ours_goes_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("lamp");
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, &place)])).unwrap();
        paths.make().unwrap();
        let ours = [
            "journal",
            "journal.broken-20260102T030405Z",
            "journal.new",
            "journal.reserve",
            "desk.json",
            "engine.lock",
            "history.jsonl",
            "history.jsonl.new",
            "lamplighter-home",
            "state.broken-20260102T030405Z-2",
            "state.json",
            "state.json.new",
            "run/keeper.sock",
            "settings.toml",
            "settings.damaged-2.toml",
            "settings.damaged.toml",
        ];
        for name in ours {
            fs::write(place.join(name), "").unwrap();
        }
        fs::write(place.join("notes.txt"), "mine").unwrap();
        fs::create_dir(place.join("journal.broken-folder")).unwrap();
        assert_eq!(belongings(&paths), ours.map(|name| place.join(name)));
        let removal = remove(&paths, None);
        assert_eq!(removal.removed.len(), ours.len() + 1, "{:?}", removal.removed);
        assert_eq!(names(&removal.removed).last().map(String::as_str), Some("run"));
        let [kept] = removal.kept.as_slice() else { panic!("{:?}", removal.kept) };
        assert_eq!(kept.place, place);
        let mut left: Vec<_> =
            fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["journal.broken-folder", "notes.txt"]);
    }

    #[test]
    fn in_a_folder_that_is_no_home_nothing_is_ours() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("notes");
        fs::create_dir(&place).unwrap();
        let theirs = ["journal", "state.json", "history.jsonl", "engine.lock"];
        for name in theirs {
            fs::write(place.join(name), "mine").unwrap();
        }
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, &place)])).unwrap();
        assert_eq!(belongings(&paths), Vec::<PathBuf>::new());
        assert_eq!(remove(&paths, None).removed, Vec::<PathBuf>::new());
        assert!(theirs.iter().all(|name| place.join(name).exists()));
    }

    #[test]
    #[cfg(unix)]
    fn a_socket_that_is_answered_is_another_homes() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, home.path().join("lamp"))])).unwrap();
        paths.make().unwrap();
        let keeper = std::os::unix::net::UnixListener::bind(paths.socket_file()).unwrap();
        assert!(!belongings(&paths).contains(&paths.socket_file()));
        drop(keeper);
        assert!(belongings(&paths).contains(&paths.socket_file()));
    }

    #[test]
    fn where_nothing_was_ever_kept_nothing_is_removed_or_made() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("lamp");
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, &place)])).unwrap();
        assert_eq!(belongings(&paths), Vec::<PathBuf>::new());
        assert_eq!(remove(&paths, None), Removal::default());
        assert!(!place.exists());
    }

    #[test]
    fn settings_that_are_a_link_lose_the_link_alone() {
        let home = tempfile::tempdir().unwrap();
        let (place, real) = (home.path().join("lamp"), home.path().join("dotfiles.toml"));
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, &place)])).unwrap();
        paths.make().unwrap();
        fs::write(&real, "notices = true").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&real, &paths.settings).unwrap();
        let removal = remove(&paths, None);
        assert_eq!(removal.kept, []);
        assert!(real.exists() && !place.exists());
    }
}
