//! A notice is a value: what a person should know, once per cause.

use alloc::string::String;

use serde::Serialize;

use crate::ids::GrantId;

/// What a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It can wait.
    Info,
    /// A server does not work, or soon won't.
    Warning,
}
