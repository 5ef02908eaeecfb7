//! The lock protocol of Node's `proper-lockfile`: a directory whose making is the taking.
//!
//! The holder touches it; whoever finds it untouched for too long may take it over. It must never
//! remove a lock that is alive, not empty, or no longer the one that was looked at.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use filetime::FileTime;
use lamplighter_core::store::StoreFault;

use super::{RefreshLock, denied_or_io};

/// How often a held lock is touched. Claude Code touches its own every 5 s and calls one stale after
/// 10 s at the earliest (2.1.119).
const TOUCH: Duration = Duration::from_secs(2);
/// How often a busy lock is tried again.
const POLL: Duration = Duration::from_millis(100);
/// After a suspend every holder gets this long to touch its lock before it is called stale.
const WAKE_GRACE: Duration = Duration::from_secs(10);
/// So long between two polls, by the system's clock: the machine slept, or its clock was set.
const UNSEEN: Duration = Duration::from_secs(2);

/// How a lock is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Untouched for longer than this, its holder is gone.
    pub stale: Duration,
    /// How long a live holder is waited for.
    pub patience: Duration,
    /// The machine has just resumed.
    pub after_wake: bool,
    /// It is let go after this long, whatever its holder does: one that hangs keeps nobody out.
    pub longest: Duration,
}

/// A held lock; let go when dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    path: PathBuf,
    /// The time we set last. Held while touching, so that a check never sees half of it.
    touched: Arc<Mutex<Option<FileTime>>>,
    stop: Option<mpsc::Sender<()>>,
    heartbeat: Option<thread::JoinHandle<()>>,
}

impl DirLock {
    /// Takes the lock, waiting for a live holder and taking over from a dead one.
    pub(crate) fn take(path: &Path, manner: Manner) -> Result<Self, StoreFault> {
        Self::take_by(SystemTime::now, path, manner)
    }

    fn take_by(
        now: impl Fn() -> SystemTime,
        path: &Path,
        mut manner: Manner,
    ) -> Result<Self, StoreFault> {
        let started = Instant::now();
        let mut polled = now();
        loop {
            let then = std::mem::replace(&mut polled, now());
            // A holder that was alive at the last poll could not touch its lock meanwhile.
            manner.after_wake |= polled.duration_since(then).is_ok_and(|gap| gap > UNSEEN);
            match fs::create_dir(path) {
                Ok(()) => return Ok(Self::held(path, manner.longest)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(denied_or_io(path, "making the lock", &error)),
            }
            if remove_if_stale(path, manner, polled)? {
                continue;
            }
            if started.elapsed() >= manner.patience {
                return Err(StoreFault::Busy { lock: path.display().to_string() });
            }
            thread::sleep(POLL.min(manner.patience));
        }
    }

    fn held(path: &Path, longest: Duration) -> Self {
        let touched = Arc::new(Mutex::new(time_of(path)));
        let (stop, stopped) = mpsc::channel();
        let heartbeat = {
            let (path, touched) = (path.to_owned(), Arc::clone(&touched));
            let started = Instant::now();
            thread::Builder::new().name("lock-toucher".into()).spawn(move || {
                loop {
                    let left = longest.saturating_sub(started.elapsed());
                    if left.is_zero() {
                        return let_go(&path, &touched);
                    }
                    let heard = stopped.recv_timeout(TOUCH.min(left));
                    if heard != Err(mpsc::RecvTimeoutError::Timeout) {
                        return;
                    }
                    touch(&path, &touched);
                }
            })
        };
        Self { path: path.to_owned(), touched, stop: Some(stop), heartbeat: heartbeat.ok() }
    }
}

impl RefreshLock for DirLock {
    fn still_ours(&self) -> Result<(), StoreFault> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if touched.is_some() && *touched == time_of(&self.path) {
            Ok(())
        } else {
            Err(StoreFault::LockLost { lock: self.path.display().to_string() })
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(heartbeat) = self.heartbeat.take() {
            // It ends at once: its channel is closed.
            let _ = heartbeat.join();
        }
        let_go(&self.path, &self.touched);
    }
}

/// Removes the lock if it is still ours; from now on it is not.
fn let_go(path: &Path, touched: &Mutex<Option<FileTime>>) {
    let mut last = touched.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_some() && *last == time_of(path) {
        // Gone already or not empty any more: somebody else's affair.
        let _ = fs::remove_dir(path);
    }
    *last = None;
}

/// Touches the lock if it is still as we left it.
fn touch(path: &Path, touched: &Mutex<Option<FileTime>>) {
    let mut last = touched.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none() || *last != time_of(path) {
        // Taken over: from now on it is not ours to touch.
        *last = None;
        return;
    }
    if filetime::set_file_mtime(path, FileTime::now()).is_ok() {
        *last = time_of(path);
    }
}

fn time_of(path: &Path) -> Option<FileTime> {
    fs::symlink_metadata(path).ok().map(|found| FileTime::from_last_modification_time(&found))
}

/// Removes a lock whose holder is gone; says whether it is worth trying to take it again.
fn remove_if_stale(path: &Path, manner: Manner, now: SystemTime) -> Result<bool, StoreFault> {
    let Some(seen) = time_of(path) else { return Ok(true) };
    if !is_stale(seen, manner.stale, now) {
        return Ok(false);
    }
    if manner.after_wake && manner.patience.is_zero() {
        // Whoever can't wait may hold another lock: a holder that woke is given its time elsewhere.
        return Ok(false);
    }
    if manner.after_wake {
        let waited = Instant::now();
        while waited.elapsed() < WAKE_GRACE {
            thread::sleep(POLL);
            if time_of(path) != Some(seen) {
                return Ok(false);
            }
        }
    }
    // Looked at once more: another waiter may have taken it over a moment ago.
    if time_of(path) != Some(seen) {
        return Ok(false);
    }
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        // One that is not empty too: nobody holds it, and nobody will let it go.
        Err(error) => Err(denied_or_io(path, "removing a stale lock", &error)),
    }
}

/// File times come from the system's clock, so this is compared with it; one in the future is alive.
fn is_stale(touched: FileTime, stale: Duration, now: SystemTime) -> bool {
    let touched = SystemTime::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(touched.unix_seconds()).unwrap_or(0));
    now.duration_since(touched).is_ok_and(|age| age > stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Manner = Manner {
        stale: Duration::from_secs(60),
        patience: Duration::from_millis(1),
        after_wake: false,
        longest: Duration::from_secs(3600),
    };

    fn aged(path: &Path, seconds: i64) {
        let then = FileTime::from_unix_time(FileTime::now().unix_seconds() - seconds, 0);
        filetime::set_file_mtime(path, then).unwrap();
    }

    #[test]
    fn a_held_lock_is_busy_and_free_again_when_dropped() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        let lock = DirLock::take(&path, QUICK).unwrap();
        assert!(lock.still_ours().is_ok());
        assert!(matches!(DirLock::take(&path, QUICK), Err(StoreFault::Busy { .. })));
        drop(lock);
        assert!(!path.exists());
        DirLock::take(&path, QUICK).unwrap();
    }

    #[test]
    fn a_dead_holders_lock_is_taken_over_and_a_live_ones_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        fs::create_dir(&path).unwrap();
        aged(&path, 15);
        assert!(matches!(DirLock::take(&path, QUICK), Err(StoreFault::Busy { .. })));
        aged(&path, 70);
        DirLock::take(&path, QUICK).unwrap();
    }

    #[test]
    fn a_lock_from_the_future_is_alive() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        fs::create_dir(&path).unwrap();
        aged(&path, -3_600);
        assert!(matches!(DirLock::take(&path, QUICK), Err(StoreFault::Busy { .. })));
    }

    #[test]
    fn a_dead_lock_that_is_not_empty_is_never_removed_and_is_held_by_nobody() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("mine"), "").unwrap();
        aged(&path, 700);
        let fault = DirLock::take(&path, QUICK).unwrap_err();
        let says_why = |what: &str| what.contains("removing a stale lock");
        assert!(matches!(&fault, StoreFault::Io { what, .. } if says_why(what)), "{fault:?}");
        assert!(path.join("mine").exists());
    }

    #[test]
    fn a_lock_whose_holder_hangs_is_let_go_all_the_same() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        let manner = Manner { longest: Duration::from_millis(10), ..QUICK };
        let held = DirLock::take(&path, manner).unwrap();
        let patient = Manner { patience: Duration::from_secs(30), ..QUICK };
        let next = DirLock::take(&path, patient).unwrap();
        assert!(matches!(held.still_ours(), Err(StoreFault::LockLost { .. })));
        drop(held);
        assert!(next.still_ours().is_ok(), "it belongs to somebody else by now");
    }

    #[test]
    fn who_can_not_wait_gives_a_holder_that_woke_its_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        fs::create_dir(&path).unwrap();
        aged(&path, 700);
        let waking = Manner { patience: Duration::ZERO, after_wake: true, ..QUICK };
        assert!(matches!(DirLock::take(&path, waking), Err(StoreFault::Busy { .. })));
        assert!(path.exists());
    }

    #[test]
    fn a_holder_that_was_alive_before_a_sleep_is_given_its_time_after_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        fs::create_dir(&path).unwrap();
        let asked = std::cell::Cell::new(0);
        // The machine sleeps between the second poll and the third.
        let now = || {
            asked.set(asked.get() + 1);
            let slept = if asked.get() > 3 { 700 } else { 0 };
            SystemTime::now() + Duration::from_secs(slept)
        };
        let holder = path.clone();
        let touching = thread::spawn(move || {
            thread::sleep(Duration::from_secs(1));
            aged(&holder, -700);
        });
        let patient = Manner { patience: Duration::from_millis(300), ..QUICK };
        let taken = DirLock::take_by(now, &path, patient);
        assert!(matches!(taken, Err(StoreFault::Busy { .. })), "{taken:?}");
        touching.join().unwrap();
        assert!(path.exists());
    }

    #[test]
    fn a_lock_that_was_taken_over_is_known_and_left_to_its_new_holder() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        let lock = DirLock::take(&path, QUICK).unwrap();
        aged(&path, 5);
        assert!(matches!(lock.still_ours(), Err(StoreFault::LockLost { .. })));
        drop(lock);
        assert!(path.exists());
    }
}
