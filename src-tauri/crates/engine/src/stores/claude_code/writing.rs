//! How the store is changed: under Claude Code's write lock, one entry's own bytes, and only what was
//! read a moment before.
//!
//! It must never write a text that does not parse, an entry that somebody changed meanwhile, or one
//! that is left alone; and never bring back what the user signed out of. Read next: `entry` (which
//! bytes), [`atomic`] (how a file is replaced).

use std::{
    fs,
    sync::PoisonError,
    time::{Duration, Instant},
};

use lamplighter_core::store::{Change, StoreFault, TokenPair, Written};
use zeroize::Zeroizing;

use super::{Blob, ClaudeCode, GRANTS, Keychain, READING, ascii, entry, servers};
use crate::stores::{
    RefreshLock, absent_or, atomic, denied_or_io,
    dirlock::{DirLock, Manner},
    splice::{Edits, Object},
};

/// The write lock: stale after 15 s, waited for 7.5 s, as the program does.
const WRITE_LOCK: Manner = Manner {
    stale: Duration::from_secs(15),
    patience: Duration::from_millis(7_500),
    after_wake: false,
    longest: Duration::from_secs(5),
};
/// How often a store that changes between reading and renaming is tried again: 2.1.119 takes no lock.
const TRIES: usize = 5;
/// No try begins later than this: who waits for the write lock gives up after 7.5 s, and then loses
/// what it wanted to save.
const LONGEST_HOLD: Duration = Duration::from_secs(1);

impl ClaudeCode {
    pub(super) fn write_change(&self, change: &Change) -> Result<Written, StoreFault> {
        if let Some(fault) = self.unsupported() {
            return Err(fault);
        }
        if change.enrolment.is_some() && change.expect == TokenPair::default() {
            self.make_lock_folder(true)?;
        }
        self.locked(|lock| self.try_write(change, lock))
    }

    pub(super) fn remove_entry(
        &self,
        key: &str,
        expect: &TokenPair,
    ) -> Result<Written, StoreFault> {
        self.locked(|lock| self.try_remove(key, expect, lock))
    }

    /// Tries under the write lock, until an attempt says that nobody came in between.
    fn locked(
        &self,
        attempt: impl Fn(&DirLock) -> Result<Option<Written>, StoreFault>,
    ) -> Result<Written, StoreFault> {
        let lock = self.write_lock()?;
        let started = Instant::now();
        for _ in 0..TRIES {
            if let Some(written) = attempt(&lock)? {
                return Ok(written);
            }
            if started.elapsed() > LONGEST_HOLD {
                break;
            }
        }
        Err(StoreFault::Busy { lock: self.folder.write_lock().display().to_string() })
    }

    /// One attempt to remove an entry; `None`: somebody else wrote in between, try again.
    fn try_remove(
        &self,
        key: &str,
        expect: &TokenPair,
        lock: &DirLock,
    ) -> Result<Option<Written>, StoreFault> {
        let blob = self.blob()?;
        let text = blob.text.as_str();
        let whole = self.whole(&blob)?;
        let Some(grants) = self.grants(&blob, &whole)? else { return Ok(Some(Written::Gone)) };
        let Some(value) = grants.value(text, key) else { return Ok(Some(Written::Gone)) };
        let stands = entry::read(key, value, &servers::Said::default(), None);
        if stands.left_alone.is_some() || stands.pair != *expect {
            return Ok(Some(Written::Conflict(stands.pair)));
        }
        let mut edits = Edits::default();
        grants.change(text, &mut edits, [(key, None)]);
        let content = Zeroizing::new(edits.apply(text));
        Ok(self.replace(&blob, content, lock)?.then_some(Written::Saved))
    }

    /// One attempt to write; `None`: somebody else wrote in between, try again.
    fn try_write(&self, change: &Change, lock: &DirLock) -> Result<Option<Written>, StoreFault> {
        let first = change.enrolment.as_ref().filter(|_| change.expect == TokenPair::default());
        let blob = match self.blob() {
            Ok(blob) => blob,
            Err(fault @ StoreFault::Absent { .. }) => {
                // Whether somebody signed out of everything, or a disk is away, is not told here.
                let Some(enrolment) = first.filter(|_| self.is_in_use()) else { return Err(fault) };
                let entry = entry::made(change, enrolment);
                let grants = entry::object([(change.key.as_str(), Some(entry))]);
                let content = Zeroizing::new(entry::object([(GRANTS, Some(grants))]));
                return Ok(self.create(content, lock)?.then_some(Written::Saved));
            }
            Err(fault) => return Err(fault),
        };
        let text = blob.text.as_str();
        let key = change.key.as_str();
        let whole = self.whole(&blob)?;
        let grants = self.grants(&blob, &whole)?;
        let mut edits = Edits::default();
        if let Some(grants) = grants.as_ref().filter(|grants| grants.value(text, key).is_some()) {
            if let Some(ended) = splice_into(text, grants, change, &mut edits) {
                return Ok(Some(ended));
            }
        } else {
            let Some(enrolment) = first else { return Ok(Some(Written::Gone)) };
            let entry = entry::made(change, enrolment);
            if let Some(grants) = grants {
                grants.change(text, &mut edits, [(key, Some(entry))]);
            } else {
                let made = entry::object([(key, Some(entry))]);
                whole.change(text, &mut edits, [(GRANTS, Some(made))]);
            }
        }
        let content = Zeroizing::new(edits.apply(text));
        Ok(self.replace(&blob, content, lock)?.then_some(Written::Saved))
    }

    /// Whether somebody uses Claude Code in this folder, signed in or not.
    pub(super) fn is_in_use(&self) -> bool {
        self.folder.config.is_dir() || self.folder.servers.is_file()
    }

    /// Writes the first file; `false`: somebody else did in between. An item is never made: Claude
    /// Code takes what is in the file over into its own.
    fn create(&self, content: Zeroizing<String>, lock: &DirLock) -> Result<bool, StoreFault> {
        let ready = atomic::prepare_first(&self.folder.credentials(), content.as_bytes())?;
        match self.blob() {
            Err(StoreFault::Absent { .. }) => {}
            Ok(_) => return Ok(false),
            Err(fault) => return Err(fault),
        }
        let new = Blob { text: content, in_keychain: false };
        lock.still_ours()?;
        Ok(ready.commit_first()? && self.blob()? == new)
    }

    /// Puts `content` where `blob` was read from; `false`: somebody else wrote in between.
    /// Whoever hung on the way here has lost the lock, and writes nothing.
    fn replace(
        &self,
        blob: &Blob,
        content: Zeroizing<String>,
        lock: &DirLock,
    ) -> Result<bool, StoreFault> {
        let new = match &self.keychain {
            // No second look before: running the tool takes longer than all that lies between.
            Some(keychain) if blob.in_keychain => {
                let text = Zeroizing::new(ascii::compact(&content));
                lock.still_ours()?;
                keychain.put(&text)?;
                Blob { text, in_keychain: true }
            }
            Some(_) | None => {
                let ready = atomic::prepare(&self.folder.credentials(), content.as_bytes())?;
                // Compared with what was read, byte for byte, at the last moment before it is
                // replaced.
                match self.blob() {
                    Ok(now) if now == *blob => {
                        lock.still_ours()?;
                        ready.commit()?;
                    }
                    Ok(_) | Err(StoreFault::Absent { .. }) => return Ok(false),
                    Err(fault) => return Err(fault),
                }
                Blob { text: content, in_keychain: false }
            }
        };
        // Read back: a writer without locks may have put its own there a moment later.
        Ok(self.blob()? == new)
    }

    /// Whether the machine resumed a moment ago.
    fn is_waking(&self) -> bool {
        let until = self.waking_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// The store's write lock.
    fn write_lock(&self) -> Result<DirLock, StoreFault> {
        self.make_lock_folder(false)?;
        let manner = Manner { after_wake: self.is_waking(), ..WRITE_LOCK };
        DirLock::take(&self.folder.write_lock(), manner).map_err(|fault| self.or_away(fault))
    }

    /// A lock that can't be made because its folder is not there says that the store is away.
    pub(super) fn or_away(&self, fault: StoreFault) -> StoreFault {
        match fs::metadata(&self.folder.secure) {
            Err(error) if matches!(fault, StoreFault::Io { .. }) => {
                absent_or(&self.folder.secure, READING, &error)
            }
            Ok(_) | Err(_) => fault,
        }
    }

    /// With its secrets in the keychain, nothing but its locks may have to lie in the folder; and
    /// before anybody has signed in it may not be there yet.
    pub(super) fn make_lock_folder(&self, is_first: bool) -> Result<(), StoreFault> {
        let folder = &self.folder.secure;
        if folder.is_dir() {
            return Ok(());
        }
        let has_item = || self.keychain.as_ref().map_or(Ok(None), Keychain::read);
        if !(is_first && self.is_in_use()) && has_item()?.is_none() {
            return Ok(());
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|error| denied_or_io(folder, "making it", &error))
    }

    /// Before a token is spent: whether what comes back can be saved at all. Most can; an item that
    /// is too long for the tool is rewritten with what stands there, once.
    pub(super) fn prove_keychain(&self) -> Result<(), StoreFault> {
        let Some(keychain) = &self.keychain else { return Ok(()) };
        let long = |blob: Blob| {
            let text = Zeroizing::new(ascii::compact(&blob.text));
            (blob.in_keychain && keychain.needs_proof(&text)).then_some(text)
        };
        // What is wrong with the store is told by the look that follows.
        let Some(_) = self.blob().ok().and_then(long) else { return Ok(()) };
        let _lock = self.write_lock()?;
        let blob = self.blob()?;
        self.whole(&blob)?;
        long(blob).map_or(Ok(()), |text| keychain.prove(&text))
    }
}

/// Splices the change into an entry that is there; `Some`: it must not be, or need not.
fn splice_into(text: &str, grants: &Object, change: &Change, edits: &mut Edits) -> Option<Written> {
    let key = change.key.as_str();
    let stands = entry::read(key, grants.value(text, key)?, &servers::Said::default(), None);
    if stands.pair == change.new.pair() {
        return Some(Written::Saved);
    }
    // A sign-in may bring another client; who renews presents a client's own tokens only.
    let other_client = change.enrolment.is_none()
        && stands.client.as_ref().is_some_and(|client| client.id != change.client_id);
    match grants.object(text, key).filter(|_| stands.left_alone.is_none()) {
        Some(object) if !other_client && stands.pair == change.expect => {
            entry::put(text, &object, change, edits);
            None
        }
        Some(_) | None => Some(Written::Conflict(stands.pair)),
    }
}
