//! What is remembered between runs: core's facts, and two things of our own that are made once — the
//! key of this machine's token marks and the seed that spreads wake-ups.
//!
//! One JSON file, replaced whole. It holds no token; the mark key in it is why it is for the user
//! alone. What does not parse is kept aside; what a newer version wrote is left as it is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lamplighter_core::{
    facts::{Facts, FactsChange, SCHEMA},
    hex::{hex, unhex},
    ids::MarkKey,
    journal::JournalFault,
    time::Wall,
};
use serde::{Deserialize, Serialize};

use crate::files;

/// Why there is no state to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// A newer version wrote it.
    #[error(
        "{} was written by a newer version of Lamplighter; update this one, nothing was changed",
        .0.display()
    )]
    Newer(PathBuf),
    /// It does not parse. Only [`State::read`] says so: [`State::open`] keeps it aside.
    #[error("{} can't be understood", .0.display())]
    Broken(PathBuf),
    /// The system said no.
    #[error("{} {what}", .place.display())]
    Io {
        /// The file.
        place: PathBuf,
        /// What was being done and what the system said.
        what: String,
    },
}

/// What [`State::open`] found or made.
#[derive(Debug)]
pub struct OpenedState {
    /// The file, ready to be written.
    pub state: State,
    /// What was remembered.
    pub facts: Facts,
    /// Where an unreadable older file lies now, if there was one.
    pub set_aside: Option<PathBuf>,
}

/// The file of facts.
#[derive(Debug, Clone)]
pub struct State {
    place: PathBuf,
    mark_key: MarkKey,
    seed: u64,
    /// What the file holds, or will with the next write that succeeds.
    facts: Facts,
}

impl State {
    /// Reads the file, or makes it.
    ///
    /// A new mark key is on the disk before it is handed out: a mark that can't be recognised later
    /// would let a spent token be presented again.
    pub fn open(place: &Path, now: Wall) -> Result<OpenedState, StateFault> {
        let set_aside = match Self::read(place) {
            Ok(Some((state, facts))) => return Ok(OpenedState { state, facts, set_aside: None }),
            Ok(None) => None,
            Err(StateFault::Broken(_)) => {
                let aside = files::set_aside(place, now);
                Some(aside.map_err(|error| io_fault(place, "can't be moved aside", &error))?)
            }
            Err(other) => return Err(other),
        };
        let state = Self::fresh(place)?;
        let facts = state.facts.clone();
        state.write().map_err(|error| io_fault(place, "can't be written", &error))?;
        Ok(OpenedState { state, facts, set_aside })
    }

    /// Reads the file and touches nothing; `None` where there is none.
    pub fn read(place: &Path) -> Result<Option<(Self, Facts)>, StateFault> {
        let text = match fs::read(place) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_fault(place, "can't be read", &error)),
        };
        let broken = || StateFault::Broken(place.into());
        let Head { schema } = serde_json::from_slice(&text).map_err(|_| broken())?;
        if schema > SCHEMA {
            return Err(StateFault::Newer(place.into()));
        }
        let wire: Wire = serde_json::from_slice(&text).map_err(|_| broken())?;
        let mark_key = unhex(&wire.mark_key).and_then(|key| key.try_into().ok()).map(MarkKey);
        let state = Self {
            place: place.into(),
            mark_key: mark_key.ok_or_else(broken)?,
            seed: wire.seed,
            facts: wire.facts.clone(),
        };
        Ok(Some((state, wire.facts)))
    }

    /// The key of this machine's token marks.
    pub fn mark_key(&self) -> MarkKey {
        self.mark_key.clone()
    }

    /// What spreads wake-ups between machines. Not a secret.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Keeps what has changed in the facts. Durable when this returns; after a fault the file holds
    /// what it held, and the next change that can be kept brings this one with it.
    pub fn remember(&mut self, change: FactsChange) -> Result<(), JournalFault> {
        self.facts.apply(change);
        self.write().map_err(|error| JournalFault {
            place: self.place.display().to_string(),
            what: format!("can't be written: {error}"),
        })
    }

    fn fresh(place: &Path) -> Result<Self, StateFault> {
        let mut mark_key = [0; 32];
        let mut seed = [0; 8];
        getrandom::fill(&mut mark_key)
            .and_then(|()| getrandom::fill(&mut seed))
            .map_err(|error| io_fault(place, "can't be made", &error.into()))?;
        let seed = u64::from_le_bytes(seed);
        let facts = Facts::default();
        Ok(Self { place: place.into(), mark_key: MarkKey(mark_key), seed, facts })
    }

    fn write(&self) -> io::Result<()> {
        let mark_key = hex(&self.mark_key.0);
        let wire = WireRef { facts: &self.facts, mark_key: &mark_key, seed: self.seed };
        let mut text = serde_json::to_vec_pretty(&wire)?;
        text.push(b'\n');
        files::replace(&self.place, &text)
    }
}

fn io_fault(place: &Path, doing: &str, error: &io::Error) -> StateFault {
    StateFault::Io { place: place.into(), what: format!("{doing}: {error}") }
}

#[derive(Deserialize)]
struct Head {
    schema: u32,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(flatten)]
    facts: Facts,
    mark_key: String,
    seed: u64,
}

#[derive(Serialize)]
struct WireRef<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    mark_key: &'a str,
    seed: u64,
}

#[cfg(test)]
mod tests {
    use lamplighter_core::{
        facts::GrantFacts,
        ids::{EntryKey, StoreId, Target},
        time::Millis,
    };

    use super::*;

    const NOW: Wall = Wall(1_767_323_045_678);

    fn place(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("state.json")
    }

    #[test]
    fn key_and_seed_are_made_once_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let first = State::open(&place(&folder), NOW).unwrap();
        let second = State::open(&place(&folder), NOW).unwrap();
        assert_eq!(first.state.mark_key(), second.state.mark_key());
        assert_eq!(first.state.seed(), second.state.seed());
        assert_eq!((second.facts, second.set_aside), (Facts::default(), None));
        let elsewhere = tempfile::tempdir().unwrap();
        let other = State::open(&place(&elsewhere), NOW).unwrap().state;
        assert_ne!(first.state.mark_key(), other.mark_key());
    }

    #[test]
    fn facts_come_back_as_they_were_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = State::open(&place(&folder), NOW).unwrap();
        let target = Target { store: StoreId::from("claude-code"), key: EntryKey::from("a|1") };
        let grant = GrantFacts {
            life: Some(Millis::hours(12)),
            issued_at: Some(NOW),
            paused: true,
            ..GrantFacts::default()
        };
        let facts = Facts { grants: [(target, grant)].into_iter().collect(), ..Facts::default() };
        opened.state.remember(FactsChange::afresh(facts.clone())).unwrap();
        assert_eq!(State::open(&place(&folder), NOW).unwrap().facts, facts);
        assert_eq!(State::read(&place(&folder)).unwrap().unwrap().1, facts);
    }

    #[test]
    fn a_change_is_added_to_what_is_kept_and_one_that_failed_comes_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = State::open(&place(&folder), NOW).unwrap();
        let told = |cause: &str, holds| FactsChange {
            told: [(cause.into(), holds)].into_iter().collect(),
            ..FactsChange::default()
        };
        let kept = || State::read(&place(&folder)).unwrap().unwrap().1.told;
        opened.state.remember(told("a", true)).unwrap();
        opened.state.remember(told("b", true)).unwrap();
        assert_eq!(kept().into_iter().collect::<Vec<_>>(), ["a", "b"]);
        let aside = folder.path().join("aside");
        fs::rename(place(&folder), &aside).unwrap();
        fs::create_dir(place(&folder)).unwrap();
        opened.state.remember(told("a", false)).unwrap_err();
        fs::remove_dir(place(&folder)).unwrap();
        opened.state.remember(told("c", true)).unwrap();
        assert_eq!(kept().into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn what_does_not_parse_is_kept_aside_and_reported() {
        for broken in ["{\"schema\":1,\"mark_", "[]", r#"{"schema":1,"mark_key":"00","seed":1}"#] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(place(&folder), broken).unwrap();
            let aside = folder.path().join("state.broken-20260102T030405Z");
            assert_eq!(
                State::read(&place(&folder)).unwrap_err(),
                StateFault::Broken(place(&folder))
            );
            let opened = State::open(&place(&folder), NOW).unwrap();
            assert_eq!(opened.set_aside, Some(aside.clone()));
            assert_eq!(fs::read_to_string(aside).unwrap(), broken);
            assert!(State::read(&place(&folder)).unwrap().is_some());
        }
    }

    #[test]
    fn the_spent_and_lost_tokens_of_an_earlier_form_are_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let mark = |n: u8| hex(&[n; 16]);
        let earlier = format!(
            r#"{{"schema":1,"grants":[
                {{"store":"claude-code","key":"a|1","facts":{{"paused":true,"spent":["{}","{}"]}}}},
                {{"store":"claude-code","key":"b|2","facts":{{"spent":["{}"],
                  "lost":{{"mark":"{}","at":5}}}}}}],
              "stores":{{}},"told":[],"mark_key":"{}","seed":1}}"#,
            mark(1),
            mark(2),
            mark(3),
            mark(4),
            hex(&[7; 32])
        );
        fs::write(place(&folder), earlier).unwrap();
        let mut opened = State::open(&place(&folder), NOW).unwrap();
        assert_eq!(opened.set_aside, None);
        let spent = |facts: &Facts| facts.spent.keys().map(|m| m.0[0]).collect::<Vec<_>>();
        assert_eq!(spent(&opened.facts), [1, 2, 3]);
        assert_eq!(
            opened.facts.lost.iter().map(|(m, at)| (m.0[0], at.0)).collect::<Vec<_>>(),
            [(4, 5)]
        );
        opened.state.remember(FactsChange::default()).unwrap();
        let text = fs::read_to_string(place(&folder)).unwrap();
        assert!(text.contains(&format!("\"schema\": {SCHEMA}")), "{text}");
        let again = State::open(&place(&folder), NOW).unwrap().facts;
        assert_eq!(spent(&again), [1, 2, 3]);
        assert_eq!(again, opened.facts);
    }

    #[test]
    fn what_a_newer_version_wrote_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let newer = format!(r#"{{"schema":{},"all":"different"}}"#, SCHEMA + 1);
        fs::write(place(&folder), &newer).unwrap();
        let fault = State::open(&place(&folder), NOW).unwrap_err();
        assert!(fault.to_string().contains("newer version"), "{fault}");
        assert_eq!(fs::read_to_string(place(&folder)).unwrap(), newer);
    }

    #[test]
    fn reading_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(State::read(&place(&folder)).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone/state.json");
        let fault = State::open(&gone, NOW).unwrap_err();
        assert!(fault.to_string().starts_with(&*gone.to_string_lossy()), "{fault}");
        let mut opened = State::open(&place(&folder), NOW).unwrap();
        drop(folder);
        let fault = opened.state.remember(FactsChange::default()).unwrap_err();
        assert!(fault.place.ends_with("state.json"), "{fault}");
    }

    #[test]
    fn debug_does_not_show_the_mark_key() {
        let folder = tempfile::tempdir().unwrap();
        let opened = State::open(&place(&folder), NOW).unwrap();
        let key = hex(&opened.state.mark_key().0);
        let shown = format!("{opened:?}");
        assert!(!shown.contains(&key) && shown.contains("[mark key]"), "{shown}");
    }
}
