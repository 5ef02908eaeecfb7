//! What lies around the store: configuration, verdicts, the installed version, programs that run.
//!
//! None of it is read inside a lock: a project may lie on a mount that does not answer, and whoever
//! waits for it there keeps Claude Code waiting. It is read before, each file with a deadline, and what
//! is known stays where one does not answer. It must not decide what a file means.
//!
//! Read next: `servers` for what configuration says, [`deadline`](crate::deadline) for how long it is
//! waited for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use lamplighter_core::store::AuthVerdict;
use serde_json::Value;

use super::servers::Configured;
use crate::{
    deadline::{Answer, Asker, Question, Round, WhenLate},
    regular_file::{self, ReadError},
};

/// What one file of configuration holds.
#[derive(Debug)]
pub(super) enum Content {
    /// This value.
    Json(Value),
    /// There is no file, or nothing that a person needs to hear of.
    Nothing,
    /// It says nothing that can be used, for this reason, told without its content.
    Unusable(String),
}

impl Content {
    pub(super) fn read(path: &Path, largest: u64) -> Self {
        let bytes = match regular_file::read(path, largest) {
            Ok(bytes) => bytes,
            Err(ReadError::Io(error)) if error.kind() != std::io::ErrorKind::PermissionDenied => {
                return Self::Nothing;
            }
            Err(ReadError::Io(_)) => return Self::Unusable("can't be read".into()),
            Err(refused) => return Self::Unusable(format!("can't be used: {refused}")),
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Self::Json(value),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Self::Unusable(format!("is not valid JSON at line {line}, column {column}"))
            }
        }
    }
}

/// Files of configuration, each read with a deadline.
#[derive(Debug, Default)]
pub(super) struct Files {
    asker: Asker,
    /// Whether one that can't be used is read again: its writer may be in the middle of it.
    second_look: bool,
    /// What each said last that could be used, where a second look is taken.
    good: Mutex<BTreeMap<PathBuf, Arc<Content>>>,
    known: Mutex<BTreeMap<PathBuf, Arc<Question<Content>>>>,
    /// Whether there is anything at a path.
    there: Mutex<BTreeMap<PathBuf, Arc<Question<bool>>>>,
}

/// Everything around the store, as it was read last.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    pub configured: Configured,
    pub verdicts: Vec<AuthVerdict>,
    pub client_version: Option<String>,
    /// The paths of all programs that run; `None` where that was not asked or cannot be told.
    pub programs: Option<Vec<String>>,
    /// Whether the program keeps its secrets where this version leaves them alone.
    pub unsupported: bool,
}

/// One reading of many files, which share a deadline.
pub(super) struct Reading<'a> {
    files: &'a Files,
    round: Round<'a>,
    asked: Mutex<BTreeSet<PathBuf>>,
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

/// Readings of the client's own files, and of what projects and plugins bring: those that hang among
/// the latter must not keep the former from being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readings<'a> {
    pub own: &'a Reading<'a>,
    pub brought: &'a Reading<'a>,
}

impl Files {
    /// The client's own files, which it may write in place.
    pub(super) fn own() -> Self {
        Self { second_look: true, ..Self::default() }
    }

    /// From now on this is told of every answer that comes too late.
    pub(super) fn tell_when_late(&self, tell: WhenLate) {
        self.asker.tell_when_late(tell);
    }

    /// Begins to read.
    pub(super) fn reading(&self) -> Reading<'_> {
        Reading { files: self, round: self.asker.round(), asked: Mutex::default() }
    }
}

impl Reading<'_> {
    /// One file, at most `largest` bytes of it.
    pub(super) fn file(&self, path: &Path, largest: u64) -> Answer<Content> {
        let question = {
            let mut known = self.files.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(path.to_owned()).or_default())
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(path.to_owned());
        drop(asked);
        let (read, second_look) = (path.to_owned(), self.files.second_look);
        let answer = self.round.ask(&question, move || match Content::read(&read, largest) {
            Content::Unusable(_) if second_look => {
                thread::sleep(super::TORN);
                Content::read(&read, largest)
            }
            content @ (Content::Json(_) | Content::Nothing | Content::Unusable(_)) => content,
        });
        if let Answer::Now(content) = &answer
            && second_look
            && !matches!(**content, Content::Unusable(_))
        {
            let mut good = self.files.good.lock().unwrap_or_else(PoisonError::into_inner);
            good.insert(path.to_owned(), Arc::clone(content));
        }
        answer
    }

    /// What a file that can't be used now said last.
    pub(super) fn last_good(&self, path: &Path) -> Option<Arc<Content>> {
        let good = self.files.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get(path).filter(|content| matches!(***content, Content::Json(_))).cloned()
    }

    /// Whether there is anything at this path, links not followed; `None`: that is not known.
    pub(super) fn has(&self, path: &Path) -> Option<bool> {
        let question = {
            let mut there = self.files.there.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(there.entry(path.to_owned()).or_default())
        };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        let path = path.to_owned();
        let answer = self.round.ask(&question, move || fs::symlink_metadata(path).is_ok());
        answer.last().map(|answer| *answer)
    }

    /// Anything else that may not answer.
    pub(super) fn ask<T: Clone + Default + Send + Sync + 'static>(
        &self,
        question: &Arc<Question<T>>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match self.round.ask(question, work) {
            Answer::Now(answer) | Answer::Silent(Some(answer)) => T::clone(&answer),
            Answer::Silent(None) => T::default(),
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // What nobody asks for any more is forgotten, but for what a thread still waits for.
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.files.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|path, question| asked.contains(path) || question.is_open());
        let mut good = self.files.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.retain(|path, _| asked.contains(path));
        let mut there = self.files.there.lock().unwrap_or_else(PoisonError::into_inner);
        there.retain(|path, question| asked.contains(path) || question.is_open());
    }
}
