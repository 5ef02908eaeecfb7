//! Everything a person can click on a desktop, the same for page, menu and notice.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{GrantId, StoreId},
    keeper::{Action, Reconnect, SignOut, Trusted},
    snapshot::Snapshot,
};

/// What the one question was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Keep them signed in.
    Keep,
    /// Only watch.
    Watch,
}

/// A click.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum Act {
    /// Renew this grant now.
    Renew {
        /// Which.
        grant: GrantId,
    },
    /// Ask its server whether it accepts the token.
    Check {
        /// Which.
        grant: GrantId,
    },
    /// Sign in, again or for the first time.
    Reconnect {
        /// Which.
        grant: GrantId,
    },
    /// The consent page shows an error: try the other redirect, and go on waiting for the first.
    AnotherWay {
        /// Which.
        grant: GrantId,
    },
    /// Give a sign-in in progress up.
    CancelSignIn {
        /// Which.
        grant: GrantId,
    },
    /// Accept the new address that was shown.
    Trust {
        /// Which.
        grant: GrantId,
        /// What was shown, word for word.
        now: String,
    },
    /// Sign out: the entry leaves its store, and the server is asked to end the sign-in.
    SignOut {
        /// Which.
        grant: GrantId,
    },
    /// Leave it to the client.
    Pause {
        /// Which.
        grant: GrantId,
    },
    /// Take it up again.
    Resume {
        /// Which.
        grant: GrantId,
    },
    /// The address of the sign-in page, for another browser.
    CopyLink {
        /// Which.
        grant: GrantId,
    },
    /// What helps who is asked for help; no secret in it.
    CopyDiagnostics {
        /// Which.
        grant: GrantId,
    },
    /// Open the page on this row.
    Show {
        /// Which.
        grant: GrantId,
    },
    /// Show the store's file where files are shown.
    ShowFile {
        /// Which.
        store: StoreId,
    },
    /// Let the system ask for the password that unlocks the store.
    Unlock {
        /// Which.
        store: StoreId,
    },
    /// Ask every server, and renew what is due or failing.
    CheckAll,
    /// Leave everything to the clients.
    PauseAll,
    /// Take everything up again.
    ResumeAll,
    /// Open the page.
    Open,
    /// Open the page on its settings.
    OpenSettings,
    /// Open the settings file.
    OpenSettingsFile,
    /// Try it on servers of its own.
    Demo,
    /// Back from them.
    LeaveDemo,
    /// Close the page.
    Close,
    /// The page's first frame is filled: it may be shown.
    Ready,
    /// Remove everything that is ours, and end.
    RemoveLamplighter,
    /// End.
    Quit,
    /// Answer the one question.
    Consent {
        /// With this.
        answer: Answer,
    },
    /// Whether it starts with the desktop.
    StartAtLogin {
        /// Whether.
        on: bool,
    },
    /// Whether notices are shown.
    Notices {
        /// Whether.
        on: bool,
    },
    /// Whether servers are asked unasked.
    Probe {
        /// Whether.
        on: bool,
    },
    /// Whether the page stays open as an ordinary window.
    Pin {
        /// Whether.
        on: bool,
    },
    /// Look at one more config folder.
    AddFolder {
        /// Its path.
        folder: String,
    },
    /// Look at it no more; nothing in it changes.
    RemoveFolder {
        /// Its path.
        folder: String,
    },
}

impl Act {
    /// Whether it can be had while the demo plays: nothing that reaches out of the demo's own home.
    pub const fn is_for_the_demo(&self) -> bool {
        match self {
            Self::Renew { .. }
            | Self::Check { .. }
            | Self::Reconnect { .. }
            | Self::AnotherWay { .. }
            | Self::CancelSignIn { .. }
            | Self::Trust { .. }
            | Self::SignOut { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::CopyLink { .. }
            | Self::CopyDiagnostics { .. }
            | Self::Show { .. }
            | Self::ShowFile { .. }
            | Self::CheckAll
            | Self::PauseAll
            | Self::ResumeAll
            | Self::Open
            | Self::OpenSettings
            | Self::Demo
            | Self::LeaveDemo
            | Self::Close
            | Self::Ready
            | Self::Quit
            | Self::Pin { .. } => true,
            Self::Unlock { .. }
            | Self::OpenSettingsFile
            | Self::RemoveLamplighter
            | Self::Consent { .. }
            | Self::StartAtLogin { .. }
            | Self::Notices { .. }
            | Self::Probe { .. }
            | Self::AddFolder { .. }
            | Self::RemoveFolder { .. } => false,
        }
    }

    /// What the keeper is asked to do for it; nothing where it is the shell's own affair.
    pub fn actions(&self, snapshot: &Snapshot) -> Vec<Action> {
        let all = || snapshot.rows.iter().map(|row| row.id.clone());
        match self {
            Self::Renew { grant } => Vec::from([Action::Renew(grant.clone())]),
            Self::Check { grant } => Vec::from([Action::Check(grant.clone())]),
            Self::Reconnect { grant } => {
                Vec::from([Action::Reconnect(Reconnect::of(grant.clone()))])
            }
            Self::AnotherWay { grant } => Vec::from([Action::AnotherWay(grant.clone())]),
            Self::CancelSignIn { grant } => Vec::from([Action::CancelSignIn(grant.clone())]),
            Self::Trust { grant, now } => {
                Vec::from([Action::Trust(Trusted::new(grant.clone(), now))])
            }
            Self::SignOut { grant } => {
                let wish = SignOut { grant: grant.clone(), revoke: true };
                Vec::from([Action::SignOut(wish)])
            }
            Self::Pause { grant } => Vec::from([Action::Pause(grant.clone())]),
            Self::Resume { grant } => Vec::from([Action::Resume(grant.clone())]),
            Self::CheckAll => all().map(Action::Check).chain([Action::RenewDue]).collect(),
            Self::PauseAll => all().map(Action::Pause).collect(),
            Self::ResumeAll => all().map(Action::Resume).collect(),
            Self::CopyLink { .. }
            | Self::CopyDiagnostics { .. }
            | Self::Show { .. }
            | Self::ShowFile { .. }
            | Self::Unlock { .. }
            | Self::Open
            | Self::OpenSettings
            | Self::OpenSettingsFile
            | Self::Demo
            | Self::LeaveDemo
            | Self::Close
            | Self::Ready
            | Self::RemoveLamplighter
            | Self::Quit
            | Self::Consent { .. }
            | Self::StartAtLogin { .. }
            | Self::Notices { .. }
            | Self::Probe { .. }
            | Self::Pin { .. }
            | Self::AddFolder { .. }
            | Self::RemoveFolder { .. } => Vec::new(),
        }
    }
}
