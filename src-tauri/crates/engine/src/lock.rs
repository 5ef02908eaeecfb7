//! One engine per user: whoever holds this lock acts, everyone else talks to its holder.
//!
//! The lock is the system's own advisory lock on an open file, so it ends with the process that
//! holds it, however that ends. Only `lamplighter uninstall` removes the file; whoever gets the lock
//! of a file that is no longer there takes the one that is, so that two never hold a lock each.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::paths::Paths;

/// How often a held lock is tried again.
const POLL: Duration = Duration::from_millis(50);

/// Why we are not the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockFault {
    /// Another process is.
    #[error("{what} is already running{}", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Held {
        /// Its process id, where it could be read.
        pid: Option<u32>,
        /// What it calls itself: `the tray`, `lamplighter renew`.
        what: String,
    },
    /// The lock file can't be used.
    #[error("{} can't be locked: {what}", .place.display())]
    Io {
        /// The file.
        place: PathBuf,
        /// What the system said.
        what: String,
    },
}

/// The right to act; let go when dropped. What stands in the file stays: its disk may not answer any
/// more.
#[derive(Debug)]
pub struct EngineLock {
    file: File,
}

impl EngineLock {
    /// Takes the lock, waiting at most `patience` for a holder to end. Blocks this thread.
    ///
    /// `what` is how this process is named to others meanwhile.
    pub fn acquire(paths: &Paths, what: &str, patience: Duration) -> Result<Self, LockFault> {
        let place = paths.lock_file();
        let failed =
            |error: io::Error| LockFault::Io { place: place.clone(), what: error.to_string() };
        let mut file = open(&place).map_err(failed)?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) if is_there(&file, &place) => break,
                Ok(()) => file = open(&place).map_err(failed)?,
                Err(TryLockError::WouldBlock) if waited < patience => {
                    std::thread::sleep(POLL.min(patience.saturating_sub(waited)));
                    waited += POLL;
                }
                Err(TryLockError::WouldBlock) => return Err(holder(&mut file)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        introduce(&mut file, what).map_err(failed)?;
        Ok(Self { file })
    }

    /// The same right, held until this one is dropped too: for work that may outlast whoever began it.
    pub(crate) fn share(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()? })
    }

    /// Who holds the lock; `None` where nobody does. Takes nothing and makes nothing.
    pub fn holder(paths: &Paths) -> Option<LockFault> {
        let mut file = File::open(paths.lock_file()).ok()?;
        match file.try_lock_shared() {
            Ok(()) | Err(TryLockError::Error(_)) => None,
            Err(TryLockError::WouldBlock) => Some(holder(&mut file)),
        }
    }
}

fn open(place: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(place)
}

/// Whether this very file still stands at its place.
#[cfg(unix)]
fn is_there(file: &File, place: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let one = file.metadata().map(|data| (data.dev(), data.ino()));
    let other = std::fs::metadata(place).map(|data| (data.dev(), data.ino()));
    one.is_ok_and(|one| other.is_ok_and(|other| one == other))
}

/// A file that is open can't be removed there.
#[cfg(not(unix))]
const fn is_there(_file: &File, _place: &Path) -> bool {
    true
}

fn introduce(file: &mut File, what: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{} {what}", std::process::id())
}

/// On Windows a locked file can't be read by others, so the holder stays unnamed there.
fn holder(file: &mut File) -> LockFault {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(1024).read_to_string(&mut text));
    let named = read.ok().and_then(|_| text.split_once(' '));
    match named.and_then(|(pid, what)| Some((pid.parse().ok()?, what))) {
        Some((pid, what)) => LockFault::Held { pid: Some(pid), what: what.into() },
        None => LockFault::Held { pid: None, what: "another Lamplighter".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::{Env, HOME_OVERRIDE};

    fn paths(home: &tempfile::TempDir) -> Paths {
        Paths::find(&Env::fixed([(HOME_OVERRIDE, home.path())])).unwrap()
    }

    #[test]
    fn the_second_to_come_is_told_who_was_first() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(&home);
        let first = EngineLock::acquire(&paths, "the tray", Duration::ZERO).unwrap();
        let held = LockFault::Held { pid: Some(std::process::id()), what: "the tray".into() };
        let second = EngineLock::acquire(&paths, "lamplighter renew", Duration::ZERO);
        assert_eq!(second.unwrap_err(), held);
        assert_eq!(EngineLock::holder(&paths), Some(held.clone()));
        assert!(held.to_string().starts_with("the tray is already running (process "));
        drop(first);
        assert_eq!(EngineLock::holder(&paths), None);
        EngineLock::acquire(&paths, "lamplighter renew", Duration::ZERO).unwrap();
    }

    #[test]
    fn a_share_holds_it_until_it_is_dropped_too() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(&home);
        let first = EngineLock::acquire(&paths, "the tray", Duration::ZERO).unwrap();
        let share = first.share().unwrap();
        drop(first);
        EngineLock::acquire(&paths, "a command", Duration::ZERO).unwrap_err();
        drop(share);
        EngineLock::acquire(&paths, "a command", Duration::ZERO).unwrap();
    }

    #[test]
    fn patience_outlasts_a_holder_that_ends() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(&home);
        let first = EngineLock::acquire(&paths, "the tray", Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let second =
                scope.spawn(|| EngineLock::acquire(&paths, "a command", Duration::from_secs(30)));
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    #[cfg(unix)]
    fn who_gets_the_lock_of_a_file_that_is_gone_waits_for_the_one_that_is_there() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(&home);
        let leaving = EngineLock::acquire(&paths, "lamplighter uninstall", Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| EngineLock::acquire(&paths, "a", Duration::from_secs(30)));
            // Long enough for it to have opened the file that goes now.
            std::thread::sleep(POLL * 4);
            std::fs::remove_file(paths.lock_file()).unwrap();
            let next = EngineLock::acquire(&paths, "b", Duration::ZERO).unwrap();
            drop(leaving);
            std::thread::sleep(POLL * 4);
            assert!(!waits.is_finished(), "two would hold a lock each");
            drop(next);
            waits.join().unwrap().unwrap();
        });
    }

    #[test]
    fn what_a_dead_holder_left_behind_hinders_nobody() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(&home);
        std::fs::write(paths.lock_file(), "4194304 a process that was killed").unwrap();
        assert_eq!(EngineLock::holder(&paths), None);
        EngineLock::acquire(&paths, "the tray", Duration::ZERO).unwrap();
    }

    #[test]
    fn a_holder_that_has_not_named_itself_is_still_a_holder() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(&home);
        let file = open(&paths.lock_file()).unwrap();
        file.try_lock().unwrap();
        let fault = EngineLock::acquire(&paths, "the tray", Duration::ZERO).unwrap_err();
        assert_eq!(fault.to_string(), "another Lamplighter is already running");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let home = tempfile::tempdir().unwrap();
        let below = home.path().join("gone");
        let paths = Paths::find(&Env::fixed([(HOME_OVERRIDE, &below)])).unwrap();
        let fault = EngineLock::acquire(&paths, "the tray", Duration::ZERO).unwrap_err();
        assert!(fault.to_string().contains("engine.lock"), "{fault}");
        assert_eq!(EngineLock::holder(&paths), None);
    }
}
