//! A notice: what a person is told, why, and what its one button does.
//!
//! Read next: `keeper/notice.rs`, which decides when one is raised and when it is withdrawn;
//! [`desk`](crate::desk) for what becomes of it on a desktop.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::GrantId;

/// What a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Names the cause, so that it is raised once and can be withdrawn: code and grant.
    pub cause: String,
    /// A stable code.
    pub code: NoticeCode,
    /// A few words: `Slack needs you`.
    pub title: String,
    /// One sentence: what happened and what happens next.
    pub sentence: String,
    /// What the one button does.
    pub action: NoticeAction,
    /// How much it matters.
    pub severity: Severity,
    /// The grant it is about.
    pub grant: GrantId,
}

/// The causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCode {
    /// Only a new sign-in helps.
    SignInRequired,
    /// The server signs in at another address now.
    ApprovalRequired,
    /// New tokens cannot be saved.
    CannotSave,
    /// The token has ended and renewals keep failing.
    RenewalsFailing,
    /// The store is locked and an end is near.
    StoreLocked,
    /// The store cannot be read.
    StoreBroken,
}

/// What a notice's button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeAction {
    /// Sign in again.
    Reconnect,
    /// Look at both addresses.
    Review,
    /// Show the row.
    Show,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It can wait.
    Info,
    /// A server does not work, or soon won't.
    Warning,
}
