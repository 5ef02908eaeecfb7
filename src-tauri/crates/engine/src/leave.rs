//! Leaving: brings home what the journal still holds, then removes all that is ours.
//!
//! It must not remove anything while new tokens lie in the journal alone, nor a file that is not
//! ours, and it leaves every client's store as it is.
//!
//! Read next: [`journal`](crate::journal) for what is brought home, [`service`](crate::service) and
//! [`traces`] for what of ours lies elsewhere.

mod traces;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lamplighter_core::keeper::Mode;

use crate::{
    driver::{Listener, Rest},
    journal::{Closed, Journal, Left},
    keyring,
    lock::{EngineLock, LockFault},
    open::{OpenFault, Place},
    paths::{Env, Paths},
    seal::Key,
    service::{Installed, Service},
};

/// How this process is named to others meanwhile.
const WHAT: &str = "lamplighter uninstall";
/// How long a command that is just ending is waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a store that can't be written is tried.
const SAVE_PATIENCE: Duration = Duration::from_secs(60);
/// A little more than core takes for its last look at what was saved.
const LOOK_PATIENCE: Duration = Duration::from_secs(75);
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
    /// The service is in the way.
    #[error("the service: {0}")]
    Service(String),
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
    if !paths.state.exists() {
        return Ok(None);
    }
    let file = paths.journal_file();
    if file.exists() {
        let key = keyring::journal_key(&place.settings, &place.env).key().cloned();
        let left = left(&file, key.as_ref())?;
        if left != Left::default() {
            waiting(left);
            settle(place, key.as_ref(), stop, listener).await?;
        }
        let lock = EngineLock::acquire(&paths, WHAT, ENGINE_PATIENCE)?;
        // Looked at under the lock: nothing can come to it any more.
        let count = self::left(&file, key.as_ref())?.unsaved;
        return match count {
            0 => Ok(Some(lock)),
            count => Err(StayFault::Unsaved { place: file, count }),
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

/// All of it at once, for a shell that has asked already: ends the service, brings home, then removes.
/// Takes up to two minutes where new tokens were saved just now. Where it fails, all is as it was.
pub fn now(place: Place) -> Result<Removal, StayFault> {
    let in_the_way = |fault: crate::service::ServiceFault| StayFault::Service(fault.to_string());
    // Where there are no services, none is ours.
    let service = Service::find(&place.env).ok();
    let service = service.filter(|s| matches!(s.installed(), Ok(Installed::Ours { .. })));
    let status = service.as_ref().and_then(|service| service.status().ok());
    let serving = service.as_ref().filter(|_| status.is_some_and(|s| s.running == Some(true)));
    if let Some(service) = serving {
        service.stop().map_err(in_the_way)?;
    }
    let (paths, settings, env) = (place.paths.clone(), place.settings.clone(), place.env.clone());
    let at_work = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StayFault::Runtime(error.to_string()))?;
        let listener: Listener = Box::new(|_, _| {});
        runtime.block_on(bring_home(place, std::future::pending::<()>, listener, |_| {}))
    });
    let ended = at_work.join().map_err(|_| StayFault::Runtime("it failed midway".into()));
    let lock = match ended.flatten() {
        Ok(lock) => lock,
        Err(fault) => {
            if let Some(service) = serving {
                service.resume().map_err(in_the_way)?;
            }
            return Err(fault);
        }
    };
    if let Some(service) = &service {
        service.remove().map_err(in_the_way)?;
    }
    let removal = remove(&paths, &env, lock);
    // Without a keyring there is no key.
    let _: keyring::Forgotten = keyring::forget_journal_key(&settings, &env);
    Ok(removal)
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

/// Every file of ours that is there, the ones that may hold a secret first.
pub fn belongings(paths: &Paths, env: &Env) -> Vec<PathBuf> {
    let mut found = inside(&paths.state, is_of_state);
    found.extend(inside(&paths.runtime, |name| name == "keeper.sock"));
    found.extend(Some(paths.settings.clone()).filter(|file| is_there(file)));
    found.extend(traces::files(env));
    found
}

/// Removes the files of ours and then the folders that held them, where nothing else is in them.
pub fn remove(paths: &Paths, env: &Env, lock: Option<EngineLock>) -> Removal {
    let mut removal = Removal::default();
    let lock_file = paths.lock_file();
    for file in belongings(paths, env).into_iter().filter(|file| *file != lock_file) {
        removal.note(&file, fs::remove_file(&file));
    }
    for (list, error) in traces::forget_scheme(env) {
        removal.kept.push(Kept { place: list, why: error.to_string() });
    }
    // While it is held, so that nobody takes it in between; but for Windows, where a file that is open
    // can't be removed.
    let lock = lock.filter(|_| cfg!(unix));
    if is_there(&lock_file) {
        removal.note(&lock_file, fs::remove_file(&lock_file));
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
    let whole =
        ["state.json", "journal", "journal.reserve", "history.jsonl", "engine.lock", "desk.json"];
    let aside = ["state.broken-", "journal.broken-"];
    whole.contains(&finished) || aside.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::HOME_OVERRIDE;

    /// No desktop is here.
    fn nowhere() -> Env {
        Env::fixed::<&str, &str>([])
    }

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
            "state.broken-20260102T030405Z-2",
            "state.json",
            "state.json.new",
            "run/keeper.sock",
            "settings.toml",
        ];
        for name in ours {
            fs::write(place.join(name), "").unwrap();
        }
        fs::write(place.join("notes.txt"), "mine").unwrap();
        fs::create_dir(place.join("journal.broken-folder")).unwrap();
        assert_eq!(belongings(&paths, &nowhere()), ours.map(|name| place.join(name)));
        let removal = remove(&paths, &nowhere(), None);
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
    fn where_nothing_was_ever_kept_nothing_is_removed_or_made() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("lamp");
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, &place)])).unwrap();
        assert_eq!(belongings(&paths, &nowhere()), Vec::<PathBuf>::new());
        assert_eq!(remove(&paths, &nowhere(), None), Removal::default());
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
        let removal = remove(&paths, &nowhere(), None);
        assert_eq!(removal.kept, []);
        assert!(real.exists() && !place.exists());
    }
}
