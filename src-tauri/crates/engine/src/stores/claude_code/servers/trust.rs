//! Whose word a configured server is, and which projects are read at all.
//!
//! Measured with 2.1.330. Claude Code asks before it works in a folder, and keeps the answer in its own
//! file as `hasTrustDialogAccepted`: of the folder, or of one above it up to the repository's root. The
//! home folder's answer holds for one session only. Servers of `.mcp.json` are asked about one by one,
//! and that answer goes into the project's `.claude/settings.local.json`, which a repository may bring
//! as well: so what stands there lets a server be seen and decides nothing about a grant.

use std::{
    collections::BTreeSet,
    path::{Component, Path},
};

use serde_json::{Map, Value};

use super::names;
use crate::stores::claude_code::surroundings::Reading;

/// Whose word a configured server is, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Word {
    /// The user's own files, or an organisation's file.
    User,
    /// A plugin that the user enabled, which changes with each of its updates: it may name the client of
    /// an entry that names none, and how a first sign-in goes. It decides nothing about a grant.
    Plugin,
    /// A trusted repository's, approved in the user's own files: it may name the client of an entry that
    /// names none.
    Adopted,
    /// A trusted repository's, approved in a file of the repository's own folder: it is shown, and
    /// decides nothing about a grant.
    Shown,
}

/// What the user's own file says about folders.
#[derive(Clone, Copy)]
pub(super) struct Records<'a> {
    pub(super) projects: Option<&'a Map<String, Value>>,
    pub(super) home: &'a Path,
}

impl Records<'_> {
    /// Whether Claude Code works in this folder without asking.
    pub(super) fn is_trusted(self, path: &str, files: &Reading<'_>) -> bool {
        if self.accepts(path) {
            return true;
        }
        let path = Path::new(path);
        // What is written with a way back may lie anywhere.
        if path.components().any(|part| part == Component::ParentDir) {
            return false;
        }
        let accepts = |folder: &Path| folder.to_str().is_some_and(|f| self.accepts(f));
        // Looked for only where the answer depends on it. The answer about a folder holds for what lies
        // below it in the same repository, and for nothing else.
        path.ancestors().skip(1).any(accepts)
            && path
                .ancestors()
                // A folder that does not answer may be the root, and trust does not go beyond one.
                .find(|folder| files.has(&folder.join(".git")) != Some(false))
                .is_some_and(|root| {
                    let within = path.ancestors().take_while(|folder| folder.starts_with(root));
                    within.skip(1).any(accepts)
                })
    }

    fn accepts(self, path: &str) -> bool {
        let record = self.projects.and_then(|projects| projects.get(path));
        let accepted = record.and_then(|record| record.get("hasTrustDialogAccepted"));
        accepted == Some(&Value::Bool(true)) && Path::new(path) != self.home
    }
}

/// What was answered about the servers of one project.
pub(super) struct Approvals {
    by_user: Answers,
    in_folder: Answers,
    refused: BTreeSet<String>,
}

/// Which servers of a project somebody has approved.
struct Answers {
    all: bool,
    named: BTreeSet<String>,
}

impl Approvals {
    /// `own`: the user's own files. `local`: the project's file that is meant to stay on this machine.
    /// `brought`: the one that is meant to be shared, which can refuse and never approve.
    pub(super) fn of(own: &[&Value], local: &Value, brought: &Value) -> Self {
        let all = own.iter().copied().chain([local, brought]);
        let refused = all.flat_map(|said| names(said.get("disabledMcpjsonServers"))).collect();
        Self { by_user: Answers::of(own), in_folder: Answers::of(&[local]), refused }
    }

    /// Whose word a server of this name is; `None`: nobody has approved it.
    pub(super) fn word(&self, name: &str) -> Option<Word> {
        if self.refused.contains(name) {
            None
        } else if self.by_user.approve(name) {
            Some(Word::Adopted)
        } else {
            self.in_folder.approve(name).then_some(Word::Shown)
        }
    }
}

impl Answers {
    fn of(said: &[&Value]) -> Self {
        let all =
            said.iter().any(|s| s.get("enableAllProjectMcpServers") == Some(&Value::Bool(true)));
        let named = said.iter().flat_map(|s| names(s.get("enabledMcpjsonServers"))).collect();
        Self { all, named }
    }

    fn approve(&self, name: &str) -> bool {
        self.all || self.named.contains(name)
    }
}
