//! The journal: what must survive a crash between spending a refresh token and saving what came back.
//!
//! One file, replaced whole and durably for every change. Sealed under the keyring's key; where there
//! is none, in plain for the user alone. A file that can't be opened now is left exactly as it is,
//! and as long as it lies there nothing can be kept, so core starts no refresh.
//!
//! A full disk must not cost a sign-in: before an intent is written, a reserve is laid down that the
//! answer can be written into.

mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use lamplighter_core::{
    ids::{RecordId, StoreId},
    journal::{JournalFault, Record, Stage},
    time::Wall,
};
use zeroize::Zeroizing;

use crate::{
    files,
    seal::{Key, SealFault},
    stores::{Location, Waiting, elsewhere},
};

/// Room for several answers: one of a few kilobytes is already a large one.
const RESERVE: usize = 64 * 1024;

/// How the journal was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalState {
    /// Sealed under the keyring's key, or will be with its first record.
    Sealed,
    /// In plain, readable by the user alone.
    Unsealed,
    /// It could not be read and lies aside, untouched. A new one has begun.
    SetAside {
        /// Where the old one lies now.
        to: PathBuf,
        /// Whether the new one is sealed.
        sealed: bool,
    },
    /// It can't be opened and is left as it is. Nothing can be kept: no refresh may start.
    Closed(Closed),
}

/// Why the journal can't be opened now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// It is sealed, and the keyring gave no key.
    NoKey,
    /// It is sealed under a key that is not the one in the keyring.
    OtherKey,
    /// A newer version of Lamplighter wrote it.
    Newer,
    /// The system does not let us read it or move it aside.
    Denied(String),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => {
                "it is sealed, and the keyring that holds its key can't be asked now; unlock it, and \
                 the keeper goes on by itself"
            }
            Self::OtherKey => {
                "it is sealed under another key than the one in your keyring; if that keyring was \
                 reset, remove this file"
            }
            Self::Newer => "a newer version of Lamplighter wrote it",
            Self::Denied(what) => what,
        })
    }
}

/// What records still wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// New tokens that no store is known to hold.
    pub unsaved: usize,
    /// New tokens that a store holds, and that are looked at again until its client is known to live
    /// with them.
    pub watched: usize,
    /// Answers that could not be read and may hold the only tokens that are still good.
    pub unread: usize,
}

/// The one file of records.
#[derive(Debug)]
pub struct Journal {
    place: PathBuf,
    key: Option<Key>,
    records: Vec<Record>,
    /// Where the stores lie that records speak of.
    locations: BTreeMap<StoreId, Location>,
    closed: Option<Closed>,
}

impl Journal {
    /// Opens the journal at `place`, or begins one.
    ///
    /// With a key, a journal in plain is sealed at once. What does not parse is kept aside as
    /// `journal.broken-TIME`.
    pub fn open(place: &Path, key: Option<Key>, now: Wall) -> (Self, Vec<Record>, JournalState) {
        // What a crash left unfinished was never promised to anyone, and may be in plain.
        let _ = files::remove(&files::unfinished(place));
        let sealed = key.is_some();
        let mut journal = Self {
            place: place.into(),
            key,
            records: Vec::new(),
            locations: BTreeMap::new(),
            closed: None,
        };
        let state = match read(place, journal.key.as_ref()) {
            Ok(Found { records, locations, sealed: was_sealed }) => {
                (journal.records, journal.locations) = (records, locations);
                let as_it_should = was_sealed == sealed || journal.records.is_empty();
                if as_it_should || journal.write().is_ok() {
                    if sealed { JournalState::Sealed } else { JournalState::Unsealed }
                } else {
                    JournalState::Unsealed
                }
            }
            Err(Unread::Closed(why)) => JournalState::Closed(why),
            Err(Unread::Broken) => match files::set_aside(place, now) {
                Ok(to) => JournalState::SetAside { to, sealed },
                Err(error) => JournalState::Closed(Closed::Denied(format!(
                    "it can't be read, and not be moved aside either: {error}"
                ))),
            },
        };
        if let JournalState::Closed(why) = &state {
            journal.closed = Some(why.clone());
        }
        let records = journal.records.clone();
        (journal, records, state)
    }

    /// A key was had after all: opens what was closed, and seals what lies in plain. The records that
    /// were closed in, and how the journal stands now: [`JournalState::Unsealed`] where the seal
    /// could not be written this time.
    pub fn unlock(&mut self, key: Key, now: Wall) -> (Vec<Record>, JournalState) {
        if self.closed.is_some() {
            let (mut opened, _, state) = Self::open(&self.place, Some(key), now);
            let records = opened.learn(std::mem::take(&mut self.locations));
            *self = opened;
            return (records, state);
        }
        if self.key.is_none() {
            self.key = Some(key);
            if self.write().is_err() {
                // It stays as it lies.
                self.key = None;
                return (Vec::new(), JournalState::Unsealed);
            }
        }
        (Vec::new(), JournalState::Sealed)
    }

    /// The name of the key that the journal at `place` is sealed under, changing nothing; `None` where
    /// there is none, or it is not sealed.
    pub fn sealed_under(place: &Path) -> Option<String> {
        wire::sealed_under(&fs::read(place).ok()?)
    }

    /// Takes in where stores lie that this process looks after: it is written down with every record that
    /// speaks of one, so that any process can finish it. A record goes by where its own store lies: what
    /// another process calls otherwise, or what only shares a name, is called anew.
    ///
    /// The records, so called.
    pub fn learn(&mut self, known: BTreeMap<StoreId, Location>) -> Vec<Record> {
        let renamed = elsewhere::renamed(&self.locations, &known);
        for record in &mut self.records {
            for (target, _) in &mut record.replaced {
                if let Some(name) = renamed.get(&target.store) {
                    target.store = name.clone();
                }
            }
        }
        let locations = std::mem::take(&mut self.locations).into_iter();
        self.locations = locations
            .map(|(id, location)| (renamed.get(&id).cloned().unwrap_or(id), location))
            .chain(known)
            .collect();
        self.records.clone()
    }

    /// The stores that its records speak of.
    pub fn waiting(&self) -> Vec<Waiting> {
        elsewhere::waiting(&self.records, &self.locations)
    }

    /// The same of the journal at `place`, changing nothing and asking for no key; nothing where it can't
    /// be told.
    pub fn waiting_at(place: &Path) -> Vec<Waiting> {
        fs::read(place).map_or_else(|_| Vec::new(), |content| wire::waiting(&content))
    }

    /// How many records lie at `place` and how they lie there, changing nothing.
    pub fn peek(place: &Path, key: Option<Key>) -> (usize, JournalState) {
        match read(place, key.as_ref()) {
            Ok(found) if found.sealed => (found.records.len(), JournalState::Sealed),
            Ok(found) => (found.records.len(), JournalState::Unsealed),
            Err(Unread::Closed(why)) => (0, JournalState::Closed(why)),
            Err(Unread::Broken) => (0, JournalState::SetAside { to: place.into(), sealed: false }),
        }
    }

    /// What the records at `place` still wait for, changing nothing; or why that can't be told. A
    /// file that can't be parsed holds nothing that could be brought home.
    pub fn left(place: &Path, key: Option<Key>) -> Result<Left, Closed> {
        let records = match read(place, key.as_ref()) {
            Ok(found) => found.records,
            Err(Unread::Broken) => Vec::new(),
            Err(Unread::Closed(why)) => return Err(why),
        };
        let mut left = Left::default();
        for record in records {
            match record.stage {
                Stage::Intent => {}
                Stage::Raw(_) => left.unread += 1,
                Stage::Answered(_) => left.unsaved += 1,
                Stage::Saved { .. } => left.watched += 1,
            }
        }
        Ok(left)
    }

    /// The stores of each answer at `place` that could not be read, as they are called where these are known;
    /// or why that can't be told. Changes nothing.
    pub fn unread(
        place: &Path,
        key: Option<Key>,
        known: BTreeMap<StoreId, Location>,
    ) -> Result<Vec<BTreeSet<StoreId>>, Closed> {
        let (records, locations) = match read(place, key.as_ref()) {
            Ok(found) => (found.records, found.locations),
            Err(Unread::Broken) => return Ok(Vec::new()),
            Err(Unread::Closed(why)) => return Err(why),
        };
        let mut journal = Self { place: place.into(), key, records, locations, closed: None };
        let mut records = journal.learn(known);
        records.retain(|record| matches!(record.stage, Stage::Raw(_)));
        let stores = |record: Record| record.replaced.into_iter().map(|(t, _)| t.store).collect();
        Ok(records.into_iter().map(stores).collect())
    }

    /// Writes the record down, in place of an older one of the same name. Durable when this returns;
    /// after a fault the journal holds what it held before.
    pub fn keep(&mut self, record: Record) -> Result<(), JournalFault> {
        let intent = matches!(record.stage, Stage::Intent);
        let mut records = self.records.clone();
        match records.iter_mut().find(|known| known.id == record.id) {
            Some(known) => *known = record,
            None => records.push(record),
        }
        self.put(records, if intent { Room::Lay } else { Room::Use })
    }

    /// Forgets these records. Durable when this returns.
    pub fn forget(&mut self, ids: &[RecordId]) -> Result<(), JournalFault> {
        let left = self.records.iter().filter(|known| !ids.contains(&known.id)).cloned().collect();
        self.put(left, Room::Use)
    }

    fn put(&mut self, records: Vec<Record>, room: Room) -> Result<(), JournalFault> {
        if let Some(why) = &self.closed {
            return Err(self.fault(why.to_string()));
        }
        let before = std::mem::replace(&mut self.records, records);
        let outcome = match room {
            Room::Lay => self.write_with_room(),
            Room::Use => self.write(),
        };
        if outcome.is_err() {
            self.records = before;
        }
        outcome
    }

    /// Writes all records, the reserve laid down first, and leaves it alone if the disk is full.
    fn write_with_room(&self) -> Result<(), JournalFault> {
        let content = self.content()?;
        self.lay_reserve(content.len() + RESERVE)
            .and_then(|()| files::replace(&self.place, &content))
            .map_err(|error| self.fault(format!("can't be written: {error}")))
    }

    /// Writes all records, into the reserve if need be.
    fn write(&self) -> Result<(), JournalFault> {
        // An empty journal is no file: nothing in it needs a key to be read again.
        let written = if self.records.is_empty() {
            files::remove(&self.place)
        } else {
            let content = self.content()?;
            match files::replace(&self.place, &content) {
                Err(error) if files::is_full(&error) => self.use_reserve(&content),
                other => other,
            }
        };
        written.map_err(|error| self.fault(format!("can't be written: {error}")))
    }

    fn content(&self) -> Result<Zeroizing<Vec<u8>>, JournalFault> {
        let entropy = |SealFault| self.fault("can't be sealed: no entropy".into());
        wire::write(&self.records, &self.waiting(), self.key.as_ref()).map_err(entropy)
    }

    fn reserve(&self) -> PathBuf {
        self.place.with_extension("reserve")
    }

    /// Makes sure that at least `bytes` lie in the reserve, really allocated.
    fn lay_reserve(&self, bytes: usize) -> io::Result<()> {
        let reserve = self.reserve();
        let there = fs::metadata(&reserve).map_or(0, |found| found.len());
        if there >= bytes as u64 {
            return Ok(());
        }
        // Random, so that no file system saves it in less room than it promises.
        let mut filling = vec![0; bytes.next_multiple_of(RESERVE)];
        getrandom::fill(&mut filling)?;
        let laid = files::write_new(&reserve, &filling);
        if laid.is_err() {
            let _ = files::remove(&reserve);
        }
        laid
    }

    /// The disk is full: the reserve becomes the journal. Its blocks are ours already, so nobody can
    /// take them meanwhile; a file system that copies on write gets them back first.
    fn use_reserve(&self, content: &[u8]) -> io::Result<()> {
        let reserve = self.reserve();
        let overwritten = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(&reserve)?;
            file.write_all(content)?;
            file.set_len(content.len() as u64)?;
            file.sync_all()?;
            fs::rename(&reserve, &self.place)?;
            files::sync_folder_of(&self.place)
        };
        overwritten().or_else(|_| {
            files::remove(&reserve)?;
            files::replace(&self.place, content)
        })
    }

    fn fault(&self, what: String) -> JournalFault {
        JournalFault { place: self.place.display().to_string(), what }
    }
}

/// What a write may do about a full disk.
#[derive(Clone, Copy)]
enum Room {
    /// Lay the reserve down first, and fail rather than touch it.
    Lay,
    /// Use it.
    Use,
}

struct Found {
    records: Vec<Record>,
    locations: BTreeMap<StoreId, Location>,
    sealed: bool,
}

enum Unread {
    Closed(Closed),
    Broken,
}

fn read(place: &Path, key: Option<&Key>) -> Result<Found, Unread> {
    let content = match fs::read(place) {
        Ok(content) => Zeroizing::new(content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Found {
                records: Vec::new(),
                locations: BTreeMap::new(),
                sealed: key.is_some(),
            });
        }
        Err(error) => {
            return Err(Unread::Closed(Closed::Denied(format!("can't be read: {error}"))));
        }
    };
    wire::read(&content, key)
}

#[cfg(test)]
mod tests;
