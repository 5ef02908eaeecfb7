//! The stores of other programs: one trait, one file a client, one contract suite for all.
//!
//! A store is synchronous; the driver calls it through one `spawn_blocking` seam and runs one job
//! per store at a time. Nothing here decides: it reads, compares as told, and writes only what was
//! just read. Unreadable is not empty: a store that does not parse is never written.

pub(crate) mod atomic;
pub mod claude_code;
mod dirlock;
pub(crate) mod elsewhere;
mod splice;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lamplighter_core::{
    ids::EntryKey,
    store::{Change, StoreFault, StoreInfo, StoreView, TokenPair, Written},
    time::Wall,
};

use crate::{deadline, identity::Identity};
pub use elsewhere::{Location, Waiting};

/// A client's store.
///
/// Contract, held by `tests/tests/contract.rs` for every implementation: a store that is not there is
/// [`StoreFault::Absent`], or a view that says so where its folder or its configuration is there;
/// locked
/// [`StoreFault::Locked`], unparsable or unknown [`StoreFault::Broken`], a held lock
/// [`StoreFault::Busy`]; unknown fields, key order, number texts, escapes, mode and symlink survive a
/// write; the file is at every moment whole.
pub trait Store: Send + Sync {
    /// What is fixed about it.
    fn info(&self) -> StoreInfo;

    /// Where it lies, for the journal: another process that does not look after it opens it there. `None`
    /// where that cannot be written down.
    fn location(&self) -> Option<Location>;

    /// Reads what lies around the store: configuration, verdicts, which client runs. Each file has a
    /// deadline; what does not answer is what it was. Never called inside a lock.
    fn read_surroundings(&self);

    /// From now on `tell` is called when an answer about the surroundings comes too late for the reading
    /// that asked for it: another reading finds it.
    fn tell_when_late(&self, tell: Arc<dyn Fn() + Send + Sync>) {
        drop(tell);
    }

    /// Reads the store itself and no other file, with what was last known of its surroundings. Takes
    /// no lock, writes nothing.
    fn read_store(&self) -> Result<StoreView, StoreFault>;

    /// Reads store, configuration and verdicts. Takes no lock, writes nothing.
    fn look(&self) -> Result<StoreView, StoreFault> {
        self.read_surroundings();
        self.read_store()
    }

    /// Makes the folder that locks and sign-ins belong in, if it is missing and somebody uses the client
    /// here: before a first sign-in.
    fn make_folder(&self) -> Result<(), StoreFault> {
        Ok(())
    }

    /// Takes the client's own refresh lock for one entry, waiting at most `patience`.
    ///
    /// `after_wake`: the machine has just resumed, so give live holders 10 s to touch their lock
    /// before calling it stale.
    fn lock(
        &self,
        key: &EntryKey,
        patience: Duration,
        after_wake: bool,
    ) -> Result<Box<dyn RefreshLock>, StoreFault>;

    /// What stands for that lock, whatever its path is called: two stores may share one.
    fn lock_identity(&self, key: &EntryKey) -> Identity;

    /// Takes the client's write lock for milliseconds, reads, compares with `change.expect` (access
    /// token, refresh token and expiry together) and the client id, replaces only our fields' bytes,
    /// reads back, lets go.
    ///
    /// With an enrolment the client is not compared, and where there is no entry and an empty pair is
    /// expected, the entry is made, with its file where the client is in use and has none yet.
    fn write(&self, change: &Change) -> Result<Written, StoreFault>;

    /// Signs out: in the same way removes one entry, if it still holds `expect`. What the user
    /// configured for its server stays.
    fn remove(&self, key: &EntryKey, expect: &TokenPair) -> Result<Written, StoreFault>;

    /// Removes the verdict on `server_name` if it is not newer than `at`. Says whether it did.
    fn withdraw(&self, server_name: &str, at: Wall) -> Result<bool, StoreFault>;

    /// The headers that the user configured for this entry's server, for a probe. `None`: they cannot
    /// be known here, or the server does not speak streamable HTTP.
    fn headers(&self, key: &EntryKey) -> Option<BTreeMap<String, String>>;

    /// Where the client would keep the entry of a server with this name and URL: as its configuration
    /// has it, else as it would after a plain `mcp add`. Absent where nobody uses the client here.
    fn spot(&self, name: &str, url: &str) -> Result<Spot, StoreFault>;

    /// The machine resumed a moment ago: for this long its write lock, too, is not called stale before its
    /// holder had time to touch it.
    fn just_woke(&self, grace: Duration);

    /// The files and folders whose change means that a look is due.
    fn watched(&self) -> Vec<PathBuf>;
}

/// Where a client would keep a server's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The key.
    pub key: EntryKey,
    /// Whether the client's configuration names the server.
    pub configured: bool,
}

/// A held refresh lock; let go when dropped.
pub trait RefreshLock: Send + Sync {
    /// Whether it is still ours: nobody took it over meanwhile.
    fn still_ours(&self) -> Result<(), StoreFault>;
}

/// How long somebody at a terminal waits for one store.
const LOOK_PATIENCE: Duration = Duration::from_secs(4);

/// Looks at a store, waiting no longer than a person would. Blocks this thread.
pub(crate) fn look_patiently(store: &Arc<dyn Store>) -> Result<StoreView, StoreFault> {
    let looked_at = Arc::clone(store);
    deadline::within(LOOK_PATIENCE, move || looked_at.look()).unwrap_or_else(|| {
        let what = format!("looking at it: no answer within {} s", LOOK_PATIENCE.as_secs());
        Err(StoreFault::Io { place: store.info().place, what })
    })
}

/// A system's refusal as what it means: no space, no permission, or anything else. The path and what
/// was being done, never content.
pub(crate) fn denied_or_io(path: &Path, doing: &str, error: &io::Error) -> StoreFault {
    let place = path.display().to_string();
    let what = format!("{doing}: {error}");
    let kind = error.kind();
    if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        StoreFault::DiskFull { place }
    } else if matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        StoreFault::Denied { place, what }
    } else {
        StoreFault::Io { place, what }
    }
}

/// The same where nothing there may mean that there is no store. A link that leads nowhere, the file's
/// own or one of its folders', is another matter: what it leads to is away, an unmounted disk perhaps,
/// and nobody has signed out.
pub(crate) fn absent_or(path: &Path, doing: &str, error: &io::Error) -> StoreFault {
    if error.kind() != io::ErrorKind::NotFound {
        return denied_or_io(path, doing, error);
    }
    let place = path.display().to_string();
    let nearest = path.ancestors().find_map(|way| Some((way, fs::symlink_metadata(way).ok()?)));
    match nearest {
        Some((way, found)) if found.is_symlink() && fs::metadata(way).is_err() => {
            let what = format!("{} is a link that leads nowhere now", way.display());
            StoreFault::Denied { place, what }
        }
        Some(_) | None => StoreFault::Absent { place },
    }
}
