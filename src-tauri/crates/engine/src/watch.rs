//! Notices when a store's files change, so that a client that renews by itself, a sign-out or a new
//! verdict is seen at once.
//!
//! It watches folders, because every writer replaces files by renaming. Where the system can't watch,
//! a look each half minute has to do; and since some systems say nothing of some changes (another
//! machine's on a shared disk, what lies behind a link), files are compared as often. It must not read
//! anything: it only says which store is worth a look.
//!
//! Each store has a thread of its own, so that a folder that does not answer makes no other one deaf.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use lamplighter_core::ids::StoreId;
use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{deadline, identity::Identity, stores::Store};

/// A writer makes several changes in a row: one look after the last of them is enough.
const SETTLE: Duration = Duration::from_millis(150);
/// And this long after the first of them at the latest.
const LONGEST_SETTLE: Duration = Duration::from_secs(2);
/// How often files are compared, and a store that can't be watched is looked at.
const COMPARE: Duration = Duration::from_secs(30);
/// How long `doctor` tries.
const TRIAL_PATIENCE: Duration = Duration::from_secs(2);

/// What a watcher is told to call.
type Handler = Box<dyn FnMut(Result<Event, notify::Error>) + Send>;
/// Makes a watcher; the system may refuse.
type Make = Arc<dyn Fn(Handler) -> Result<Box<dyn Watcher + Send>, notify::Error> + Send + Sync>;

/// Watches until dropped.
pub struct Watch {
    /// Which stores changed; several changes at once come as one.
    pub changed: UnboundedReceiver<StoreId>,
    posts: Vec<Post>,
    /// Keeps the channel open where there is nothing to watch.
    send: UnboundedSender<StoreId>,
}

/// One store's thread.
struct Post {
    store: StoreId,
    tell: mpsc::Sender<Heard>,
    /// Whether its files are watched at this moment.
    stands: Arc<AtomicBool>,
}

/// What a thread hears.
enum Heard {
    /// Something happened to a file.
    File,
    /// Something happened to this folder above a file: it may be another one by now.
    Folder(PathBuf),
    /// The system lost count.
    Anything,
    /// Nobody wants to know any more.
    Stop,
}

impl Watch {
    /// Watches the files of these stores; must be called on a runtime. Each store is said to have
    /// changed once, as soon as it is watched: nobody knows what happened before. One that the system
    /// can't watch is said to have changed each half minute, and one whose configuration answered too
    /// late when it has answered.
    pub fn over(stores: &[Arc<dyn Store>]) -> Self {
        let files = stores.iter().map(|store| (store.info().id, store.watched()));
        let watch = Self::begun(files.collect(), &system());
        for store in stores {
            let (send, id) = (watch.send.clone(), store.info().id);
            store.tell_when_late(Arc::new(move || {
                // Nobody listens any more once the watch is over.
                let _ = send.send(id.clone());
            }));
        }
        watch
    }

    /// Watches these files, whose changes all come by the same empty name.
    pub fn over_files(files: Vec<PathBuf>) -> Self {
        Self::begun(BTreeMap::from([(StoreId(String::new()), files)]), &system())
    }

    fn begun(stores: BTreeMap<StoreId, Vec<PathBuf>>, make: &Make) -> Self {
        let (send, changed) = unbounded_channel();
        let posts: Vec<Post> = stores
            .into_iter()
            .filter(|(_, files)| !files.is_empty())
            .map(|(store, files)| Post::begun(store, files, Arc::clone(make), send.clone()))
            .collect();
        let unwatched = posts.iter().map(|post| (post.store.clone(), Arc::clone(&post.stands)));
        tokio::spawn(look_at_unwatched(unwatched.collect(), send.clone()));
        Self { changed, posts, send }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for post in &self.posts {
            // One that has ended by itself needs not hear it.
            let _ = post.tell.send(Heard::Stop);
        }
    }
}

/// Why the system would not watch these stores' files; `None`: it would.
pub(crate) fn why_deaf(stores: &[Arc<dyn Store>]) -> Option<String> {
    let files: Vec<PathBuf> = stores.iter().flat_map(|store| store.watched()).collect();
    deaf(files, &system())
}

fn deaf(files: Vec<PathBuf>, make: &Make) -> Option<String> {
    let make = Arc::clone(make);
    let tried = deadline::within(TRIAL_PATIENCE, move || {
        let mut watcher = make(Box::new(|_| {})).map_err(|fault| fault.to_string())?;
        for folder in folders_of(&files) {
            watcher
                .watch(&folder, RecursiveMode::NonRecursive)
                .map_err(|fault| format!("{}: {fault}", folder.display()))?;
        }
        Ok(())
    });
    tried.unwrap_or_else(|| Err("a folder does not answer".into())).err()
}

fn system() -> Make {
    Arc::new(|handler| Ok(Box::new(notify::recommended_watcher(handler)?)))
}

/// Each half minute, names the stores that are not watched.
async fn look_at_unwatched(posts: Vec<(StoreId, Arc<AtomicBool>)>, send: UnboundedSender<StoreId>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(COMPARE) => {}
            () = send.closed() => return,
        }
        for (store, stands) in &posts {
            if !stands.load(Ordering::Acquire) && send.send(store.clone()).is_err() {
                return;
            }
        }
    }
}

impl Post {
    fn begun(
        store: StoreId,
        files: Vec<PathBuf>,
        make: Make,
        send: UnboundedSender<StoreId>,
    ) -> Self {
        let (tell, hear) = mpsc::channel();
        let stands = Arc::new(AtomicBool::new(false));
        let sentry = Sentry {
            store: store.clone(),
            files: Arc::new(files),
            make,
            tell: tell.clone(),
            stands: Arc::clone(&stands),
            send,
            watcher: None,
            watched: BTreeMap::new(),
            stamps: Vec::new(),
            is_told: false,
        };
        let named = thread::Builder::new().name("store-watcher".into());
        if let Err(fault) = named.spawn(move || sentry.work(&hear)) {
            tracing::warn!(%fault, "changes of stores can't be watched");
        }
        Self { store, tell, stands }
    }
}

/// What tells one file from what stood there before.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    identity: Identity,
    written: Option<SystemTime>,
    length: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let written = found.modified().ok();
        Some(Self { identity: Identity::of(path), written, length: found.len() })
    }
}

/// Watches the folders of one store's files.
struct Sentry {
    store: StoreId,
    files: Arc<Vec<PathBuf>>,
    make: Make,
    tell: mpsc::Sender<Heard>,
    stands: Arc<AtomicBool>,
    send: UnboundedSender<StoreId>,
    watcher: Option<Box<dyn Watcher + Send>>,
    /// The folders that are watched, and which ones they were.
    watched: BTreeMap<PathBuf, Identity>,
    stamps: Vec<Option<Stamp>>,
    /// Whether it was logged that nothing is watched.
    is_told: bool,
}

impl Sentry {
    fn work(mut self, hear: &mpsc::Receiver<Heard>) {
        self.stamps = self.stamped();
        self.stand(&[]);
        // Whatever changed since somebody looked last: from now on it is heard.
        if self.stands.load(Ordering::Acquire) && self.send.send(self.store.clone()).is_err() {
            return;
        }
        loop {
            let first = match hear.recv_timeout(COMPARE) {
                Ok(first) => Some(first),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            let worth_a_look = match first {
                Some(heard) => match self.settled(heard, hear) {
                    Some(()) => true,
                    None => return,
                },
                None => self.compare(),
            };
            if worth_a_look && self.send.send(self.store.clone()).is_err() {
                return;
            }
        }
    }

    /// Waits until nothing that concerns the store has happened for a moment; `None`: told to stop.
    fn settled(&mut self, first: Heard, hear: &mpsc::Receiver<Heard>) -> Option<()> {
        let latest = Instant::now() + LONGEST_SETTLE;
        let mut next = Some(first);
        let mut folders = Vec::new();
        let mut anything = false;
        while let Some(heard) = next.take() {
            match heard {
                Heard::File => {}
                Heard::Folder(folder) => folders.push(folder),
                Heard::Anything => anything = true,
                Heard::Stop => return None,
            }
            let wait = SETTLE.min(latest.saturating_duration_since(Instant::now()));
            next = hear.recv_timeout(wait).ok();
        }
        // What changes while this looks is heard afterwards. Whoever does not answer is not watched.
        let stood = self.stands.swap(false, Ordering::AcqRel);
        self.stamps = self.stamped();
        self.stands.store(stood, Ordering::Release);
        if anything || !folders.is_empty() {
            self.stand(&folders);
        }
        Some(())
    }

    /// Looks whether something changed that nobody told of, and whether what could not be watched can
    /// be by now.
    fn compare(&mut self) -> bool {
        // Whoever does not answer here is not watched.
        let stood = self.stands.swap(false, Ordering::AcqRel);
        let moved = self.watched.iter().any(|(folder, was)| Identity::of(folder) != *was);
        let stamps = self.stamped();
        let changed = stamps != self.stamps;
        self.stamps = stamps;
        if !stood || moved {
            self.stand(&[]);
        } else {
            self.stands.store(true, Ordering::Release);
        }
        changed || moved || (!stood && self.stands.load(Ordering::Acquire))
    }

    fn stamped(&self) -> Vec<Option<Stamp>> {
        self.files.iter().map(|file| Stamp::of(file)).collect()
    }

    /// Watches each file's folder; where that is not there yet, the nearest one above it that is, so
    /// that its coming is seen. What lies in `replaced` is watched anew: a folder that was made again
    /// is another one, even where the system gives it the same number.
    fn stand(&mut self, replaced: &[PathBuf]) {
        self.stands.store(false, Ordering::Release);
        match self.try_stand(replaced) {
            Ok(()) => {
                self.is_told = false;
                self.stands.store(true, Ordering::Release);
            }
            Err(fault) => {
                if !self.is_told {
                    tracing::warn!(store = %self.store, %fault, "changes can't be watched");
                }
                self.is_told = true;
            }
        }
    }

    fn try_stand(&mut self, replaced: &[PathBuf]) -> Result<(), notify::Error> {
        let wanted = folders_of(&self.files);
        if self.watcher.is_none() {
            self.watched.clear();
            self.watcher = Some((self.make)(self.handler())?);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        let stays = |folder: &Path, was: &Identity| {
            wanted.contains(folder)
                && !replaced.iter().any(|replaced| folder.starts_with(replaced))
                && Identity::of(folder) == *was
        };
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(folder, was)| !stays(folder, was))
            .map(|(folder, _)| folder.clone())
            .collect();
        for folder in gone {
            // It may be gone from the disk as well.
            let _ = watcher.unwatch(&folder);
            self.watched.remove(&folder);
        }
        for folder in wanted {
            if !self.watched.contains_key(&folder) {
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
                self.watched.insert(folder.clone(), Identity::of(&folder));
            }
        }
        Ok(())
    }

    /// Passes on what concerns the store, and nothing else: a log beside it may be written all day.
    fn handler(&self) -> Handler {
        let (files, tell) = (Arc::clone(&self.files), self.tell.clone());
        Box::new(move |event| {
            let Ok(event) = event else {
                let _ = tell.send(Heard::Anything);
                return;
            };
            if event.need_rescan() {
                let _ = tell.send(Heard::Anything);
            }
            // Our own reading is not a change.
            if event.kind.is_access() {
                return;
            }
            for path in &event.paths {
                if let Some(heard) = concerns(&files, path) {
                    let _ = tell.send(heard);
                }
            }
        })
    }
}

/// What a change at `path` means for these files; `None`: nothing.
fn concerns(files: &[PathBuf], path: &Path) -> Option<Heard> {
    if files.iter().any(|file| file.ancestors().skip(1).any(|folder| folder == path)) {
        return Some(Heard::Folder(path.to_owned()));
    }
    files.iter().any(|file| file == path).then_some(Heard::File)
}

fn folders_of(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let nearest = |file: &PathBuf| {
        file.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned)
    };
    files.iter().filter_map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        paths::Env,
        stores::claude_code::{ClaudeCode, Folder, Form},
    };

    fn over(home: &Path) -> (Watch, PathBuf) {
        let env = Env::fixed([("HOME", home.to_str().unwrap())]);
        let usual = Folder::usual(&env).unwrap();
        let stores: Vec<Arc<dyn Store>> =
            vec![Arc::new(ClaudeCode::new(usual, env).with_form(Form::File))];
        (Watch::over(&stores), home.join(".claude/.credentials.json"))
    }

    async fn changed(watch: &mut Watch) -> bool {
        let changed = tokio::time::timeout(Duration::from_secs(10), watch.changed.recv()).await;
        changed.is_ok_and(|store| store == Some(StoreId::from("claude-code")))
    }

    async fn quiet(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_millis(400), watch.changed.recv()).await.is_err()
    }

    fn replace(file: &Path) {
        let temp = file.with_extension("tmp.1");
        std::fs::write(&temp, "{ }").unwrap();
        std::fs::rename(&temp, file).unwrap();
    }

    /// A system that can't watch, or can't from some moment on.
    fn refusing(refuses: &Arc<AtomicBool>) -> Make {
        let refuses = Arc::clone(refuses);
        Arc::new(move |handler| {
            if refuses.load(Ordering::Acquire) {
                return Err(notify::Error::generic("too many open files"));
            }
            (system())(handler)
        })
    }

    fn one(files: &[&Path], make: &Make) -> Watch {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        Watch::begun(BTreeMap::from([(StoreId::from("claude-code"), files)]), make)
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_watched_is_looked_at_again_and_again() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a");
        let make = refusing(&Arc::new(AtomicBool::new(true)));
        let mut watch = one(&[&file], &make);
        let began = tokio::time::Instant::now();
        for _ in 0..3 {
            assert_eq!(watch.changed.recv().await, Some(StoreId::from("claude-code")));
        }
        assert_eq!(began.elapsed().as_secs(), 3 * COMPARE.as_secs());
        assert!(deaf(vec![file.clone()], &make).is_some_and(|why| why.contains("too many")));
        assert_eq!(deaf(vec![file], &system()), None);
    }

    #[tokio::test]
    async fn a_file_beside_a_store_that_never_rests_hides_no_change() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".claude.json");
        let log = home.path().join("log");
        let mut watch = one(&[&file], &system());
        assert!(changed(&mut watch).await, "it is watched");
        let busy = Arc::new(AtomicBool::new(true));
        let goes_on = Arc::clone(&busy);
        let writer = thread::spawn(move || {
            while goes_on.load(Ordering::Acquire) {
                fs::write(&log, "a line").unwrap();
                thread::sleep(SETTLE / 10);
            }
        });
        replace(&file);
        assert!(changed(&mut watch).await);
        busy.store(false, Ordering::Release);
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn a_store_that_never_rests_is_looked_at_all_the_same() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a");
        let mut watch = one(&[&file], &system());
        assert!(changed(&mut watch).await, "it is watched");
        let busy = Arc::new(AtomicBool::new(true));
        let (goes_on, path) = (Arc::clone(&busy), file.clone());
        let writer = thread::spawn(move || {
            while goes_on.load(Ordering::Acquire) {
                fs::write(&path, "a line").unwrap();
                thread::sleep(SETTLE / 10);
            }
        });
        for _ in 0..2 {
            assert!(changed(&mut watch).await);
        }
        busy.store(false, Ordering::Release);
        writer.join().unwrap();
    }

    /// A store's thread as a test drives it, without one.
    fn sentry(files: &[&Path], make: Make) -> (Sentry, UnboundedReceiver<StoreId>) {
        let (send, changed) = unbounded_channel();
        let sentry = Sentry {
            store: StoreId::from("claude-code"),
            files: Arc::new(files.iter().map(|file| (*file).to_owned()).collect()),
            make,
            tell: mpsc::channel().0,
            stands: Arc::default(),
            send,
            watcher: None,
            watched: BTreeMap::new(),
            stamps: Vec::new(),
            is_told: false,
        };
        (sentry, changed)
    }

    #[test]
    fn a_watch_that_was_lost_falls_back_and_stands_again() {
        let home = tempfile::tempdir().unwrap();
        let (folder, away) = (home.path().join("a"), home.path().join("b"));
        let file = folder.join("file");
        fs::create_dir(&folder).unwrap();
        let refuses = Arc::new(AtomicBool::new(false));
        let (mut sentry, _changed) = sentry(&[&file], refusing(&refuses));
        let stands = |sentry: &Sentry| sentry.stands.load(Ordering::Acquire);
        sentry.stamps = sentry.stamped();
        sentry.stand(&[]);
        assert!(stands(&sentry) && !sentry.compare());
        // Another folder takes its place, and nobody tells.
        fs::rename(&folder, &away).unwrap();
        fs::create_dir(&folder).unwrap();
        assert!(sentry.compare() && stands(&sentry) && !sentry.compare());
        // The system gives no watcher any more.
        refuses.store(true, Ordering::Release);
        sentry.watcher = None;
        sentry.stand(&[]);
        assert!(!stands(&sentry) && !sentry.compare());
        refuses.store(false, Ordering::Release);
        assert!(sentry.compare() && stands(&sentry), "a look is due when it stands again");
    }

    #[cfg(unix)]
    #[test]
    fn what_changes_behind_a_link_is_found_by_comparing() {
        let home = tempfile::tempdir().unwrap();
        let (file, real) = (home.path().join("a"), home.path().join("elsewhere/real"));
        fs::create_dir(real.parent().unwrap()).unwrap();
        fs::write(&real, "one").unwrap();
        std::os::unix::fs::symlink(&real, &file).unwrap();
        let (mut sentry, _changed) = sentry(&[&file], system());
        sentry.stamps = sentry.stamped();
        sentry.stand(&[]);
        assert!(!sentry.compare());
        fs::write(&real, "other").unwrap();
        assert!(sentry.compare() && !sentry.compare());
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_is_a_change_and_a_reading_is_not() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".claude")).unwrap();
        std::fs::write(home.path().join(".claude/.credentials.json"), "{}").unwrap();
        let (mut watch, file) = over(home.path());
        assert!(changed(&mut watch).await, "it is watched");
        std::fs::read(&file).unwrap();
        std::fs::write(file.with_file_name("unrelated"), "x").unwrap();
        assert!(quiet(&mut watch).await);
        replace(&file);
        assert!(changed(&mut watch).await);
    }

    #[tokio::test]
    async fn a_folder_that_comes_later_goes_and_comes_again_is_watched_each_time() {
        let home = tempfile::tempdir().unwrap();
        let (mut watch, file) = over(home.path());
        assert!(changed(&mut watch).await, "it is watched");
        for _ in 0..2 {
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            assert!(changed(&mut watch).await);
            replace(&file);
            assert!(changed(&mut watch).await);
            std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
            assert!(changed(&mut watch).await);
            while !quiet(&mut watch).await {}
        }
    }
}
