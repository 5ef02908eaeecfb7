//! How much is written to each file.
//!
//! inotify reports each file that is put in its place, and its size is looked up right then; a file
//! that is replaced again within that moment is counted with its new size. The history only grows, so
//! its growth is what was written. It must not touch a file: the keeper watches the same folders.
//! Where to read next: `engine/src/files.rs`, which replaces files, and inotify(7).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

pub(super) const STATE: &str = "state.json";
pub(super) const JOURNAL: &str = "journal";
/// Written where it lies, now and then.
pub(super) const RESERVE: &str = "journal.reserve";
pub(super) const HISTORY: &str = "history.jsonl";
pub(super) const STORE: &str = ".credentials.json";

/// Room for some hundred events.
const BUFFER: usize = 16 * 1024;

/// Counts until its folders are gone.
#[derive(Debug)]
pub(super) struct Written {
    counted: Arc<Mutex<Bytes>>,
    history: PathBuf,
}

/// What was written since the watch began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    files: BTreeMap<String, Count>,
    /// The system dropped events: the counts are too low.
    pub(super) incomplete: bool,
}

/// How often a file was written, and how much in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) times: u64,
    pub(super) bytes: u64,
    /// The size that was seen last.
    size: u64,
}

impl Bytes {
    /// What was written to a file.
    pub(super) fn of(&self, file: &str) -> Count {
        self.files.get(file).copied().unwrap_or_default()
    }

    /// A file was written whole. `None`: it is gone already, so its size was about the last one.
    fn add(&mut self, file: &str, size: Option<u64>) {
        let count = self.files.entry(file.to_owned()).or_default();
        count.size = size.unwrap_or(count.size);
        count.times += 1;
        count.bytes += count.size;
    }
}

impl Written {
    /// Watches the program's folder and the store's.
    pub(super) fn watch(state: &Path, store: &Path) -> Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC)?;
        let mut folders = BTreeMap::new();
        for folder in [state, store] {
            let wanted = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR;
            folders.insert(inotify::add_watch(&events, folder, wanted)?, folder.to_owned());
        }
        let counted = Arc::default();
        let written = Self { counted: Arc::clone(&counted), history: state.join(HISTORY) };
        thread::spawn(move || count(events, folders, &counted));
        Ok(written)
    }

    /// What was written so far.
    pub(super) fn so_far(&self) -> Result<Bytes> {
        let mut bytes = self.counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let size = match fs::metadata(&self.history) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        let times = bytes.of(HISTORY).times;
        bytes.files.insert(HISTORY.to_owned(), Count { times, bytes: size, size });
        Ok(bytes)
    }
}

/// Until both folders are gone.
fn count(events: OwnedFd, mut folders: BTreeMap<i32, PathBuf>, counted: &Mutex<Bytes>) {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    while !folders.is_empty() {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(_) => {
                counted.lock().unwrap_or_else(PoisonError::into_inner).incomplete = true;
                return;
            }
        };
        let what = event.events();
        if what.contains(ReadFlags::IGNORED) {
            folders.remove(&event.wd());
            continue;
        }
        let name = event.file_name().and_then(|name| name.to_str().ok());
        let place = folders.get(&event.wd()).zip(name).map(|(folder, name)| folder.join(name));
        let size = place.and_then(|place| fs::metadata(place).ok()).map(|found| found.len());
        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.incomplete |= what.contains(ReadFlags::QUEUE_OVERFLOW);
        match name {
            Some(STATE | JOURNAL | STORE) if what.contains(ReadFlags::MOVED_TO) => {
                counted.add(name.unwrap_or_default(), size);
            }
            Some(RESERVE | HISTORY) if what.contains(ReadFlags::CLOSE_WRITE) => {
                counted.add(name.unwrap_or_default(), size);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(file: &Path, content: &str) {
        let new = file.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(&new, file).unwrap();
    }

    /// Waits for the watch to have seen what was done.
    fn until(written: &Written, seen: impl Fn(&Bytes) -> bool) -> Bytes {
        loop {
            let bytes = written.so_far().unwrap();
            if seen(&bytes) {
                return bytes;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn each_replacement_is_counted_with_its_size_and_the_history_with_its_growth() {
        let (state, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let written = Written::watch(state.path(), store.path()).unwrap();
        replace(&state.path().join(STATE), "12345");
        until(&written, |bytes| bytes.of(STATE).times == 1);
        replace(&state.path().join(STATE), "1234567");
        replace(&store.path().join(STORE), "123");
        fs::write(state.path().join(HISTORY), "12").unwrap();
        fs::write(state.path().join("else"), "12").unwrap();
        fs::write(state.path().join(RESERVE), "1234").unwrap();
        let bytes = until(&written, |bytes| bytes.of(RESERVE).times == 1);
        let of = |file| (bytes.of(file).times, bytes.of(file).bytes);
        assert_eq!(of(STATE), (2, 12));
        assert_eq!(of(STORE), (1, 3));
        assert_eq!(of(HISTORY), (1, 2));
        assert_eq!((of(RESERVE), of("else"), bytes.incomplete), ((1, 4), (0, 0), false));
    }

    #[test]
    fn a_file_that_is_gone_when_it_is_looked_at_counts_with_its_last_size() {
        let mut bytes = Bytes::default();
        bytes.add(JOURNAL, Some(8));
        bytes.add(JOURNAL, None);
        assert_eq!((bytes.of(JOURNAL).times, bytes.of(JOURNAL).bytes), (2, 16));
    }
}
