//! What happened, for the page; and what was told when, kept across restarts.
//!
//! The keeper's history file is read when the desktop begins to watch; what happens from then on is
//! added here. It must not write that file: the engine does.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::PathBuf,
};

use lamplighter_core::{
    desk::{
        notices::Told,
        view::{ACTIVITY_SHOWN, Line, PAST_SHOWN, Past, What},
    },
    facts::Renewer,
    ids::GrantId,
    keeper::Event,
    time::Wall,
};

use crate::{
    files,
    history::{self, Happening},
    open::Place,
};

/// How many lines of the history are read.
const READ: usize = 2_000;

/// See the [module](self).
pub(super) struct Memory {
    history: Option<PathBuf>,
    told: Option<PathBuf>,
    lines: VecDeque<history::Line>,
}

impl Memory {
    /// What is known of this place; nothing where there is none.
    pub(super) fn open(place: Option<&Place>) -> Self {
        let mut memory = Self {
            history: place.map(|place| place.paths.history_file()),
            told: place.map(|place| place.paths.state.join("desk.json")),
            lines: VecDeque::new(),
        };
        memory.read_history();
        memory
    }

    /// Reads what was kept.
    pub(super) fn read_history(&mut self) {
        let read = self.history.as_ref().map(|file| history::last(file, None, READ));
        // Without a history there is less to show, and nothing else.
        self.lines = read.and_then(Result::ok).unwrap_or_default().into();
    }

    /// Something happened.
    pub(super) fn happened(&mut self, event: &Event, now: Wall) {
        if let Some(what) = Happening::of(event) {
            self.lines.push_back(history::Line { at: now, what });
            if self.lines.len() > READ {
                self.lines.pop_front();
            }
        }
    }

    /// What happened to each grant, oldest first.
    pub(super) fn past(&self) -> BTreeMap<GrantId, Vec<Past>> {
        let mut past = BTreeMap::<GrantId, Vec<Past>>::new();
        for line in self.lines.iter().rev() {
            let (Some(grant), Some(was)) = (line.what.grant(), bygone(line)) else { continue };
            let all = past.entry(grant.clone()).or_default();
            if all.len() < PAST_SHOWN {
                all.push(was);
            }
        }
        for all in past.values_mut() {
            all.reverse();
        }
        past
    }

    /// What happened at all, newest first; `title` names a grant.
    pub(super) fn activity(&self, title: &dyn Fn(&GrantId) -> String) -> Vec<Line> {
        let shown = self.lines.iter().rev().take(ACTIVITY_SHOWN);
        shown
            .map(|line| Line {
                at: line.at,
                grant: line.what.grant().cloned(),
                words: match line.what.grant() {
                    Some(grant) => format!("{}: {}", title(grant), words(&line.what)),
                    None => words(&line.what),
                },
            })
            .collect()
    }

    /// What was told when.
    pub(super) fn told(&self) -> Told {
        let text = self.told.as_ref().and_then(|file| fs::read(file).ok());
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Keeps it. Where that fails a notice may come twice.
    pub(super) fn keep_told(&self, told: &Told) {
        let Some(file) = &self.told else { return };
        let Ok(text) = serde_json::to_vec(told) else { return };
        if file.parent().is_some_and(std::path::Path::is_dir)
            && let Err(fault) = files::replace(file, &text)
        {
            tracing::info!(%fault, "what was told can't be kept");
        }
    }
}

fn bygone(line: &history::Line) -> Option<Past> {
    let (what, by) = match &line.what {
        Happening::Renewed { by, .. } => (What::Renewed, Some(*by)),
        Happening::Failed { .. } => (What::Failed, Some(Renewer::Lamplighter)),
        Happening::Restored { .. } => (What::Restored, Some(Renewer::Lamplighter)),
        Happening::SignedIn { .. } => (What::SignedIn, None),
        Happening::SignInFailed { .. } => (What::SignInFailed, None),
        Happening::SignedOut { .. } => (What::SignedOut, None),
        Happening::VerdictWithdrawn { .. } => return None,
    };
    Some(Past { at: line.at, what, by, words: words(&line.what) })
}

/// A line in words, without the grant's name.
fn words(what: &Happening) -> String {
    match what {
        Happening::Renewed { by: Renewer::Lamplighter, .. } => "renewed".into(),
        Happening::Renewed { by: Renewer::Client, .. } => "renewed by the client itself".into(),
        Happening::Failed { why, .. } => format!("not renewed: {why}"),
        Happening::Restored { .. } => {
            "an old copy came back; the new tokens were put there again".into()
        }
        Happening::SignedIn { .. } => "signed in".into(),
        Happening::SignInFailed { why, .. } => format!("not signed in: {why}"),
        Happening::SignedOut { .. } => "signed out".into(),
        Happening::VerdictWithdrawn { server, .. } => {
            format!("{server}: the client's stale \"needs auth\" was withdrawn")
        }
    }
}
