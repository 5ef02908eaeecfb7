//! Everything the page shows, as one value that is sent whole after every change.
//!
//! Times are absolute, in milliseconds since 1970. The page has no rule of its own: it offers what
//! [`Row::buttons`] says and sends an [`Act`](super::Act) back.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{sentence, shape};
use crate::{
    commands,
    facts::Renewer,
    health::{Health, Shape},
    ids::GrantId,
    snapshot::{Row, Snapshot, StoreRow},
    time::Wall,
};

/// How many bygone renewals of a grant are shown.
pub const PAST_SHOWN: usize = 30;
/// How many lines of activity are shown.
pub const ACTIVITY_SHOWN: usize = 100;

/// The whole page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct View {
    /// Grows by one with each; an older one is dropped.
    #[cfg_attr(test, ts(type = "number"))]
    pub seq: u64,
    /// When it was made.
    pub now: Wall,
    /// The one sentence that matters.
    pub sentence: String,
    /// The lamp that stands for everything.
    pub shape: Shape,
    /// The question that is asked once.
    pub question: String,
    /// The servers, needing a person first.
    pub rows: Vec<Row>,
    /// The stores.
    pub stores: Vec<StoreRow>,
    /// Everything that the snapshot does not know.
    #[serde(flatten)]
    pub around: Around,
}

/// What stands around the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Around {
    /// What was answered.
    pub consent: Consent,
    /// Whether these are the demo's own servers.
    pub demo: bool,
    /// Where another process does the work: a sentence.
    pub elsewhere: Option<String>,
    /// Whether the page stays open.
    pub pinned: bool,
    /// What a person should know about Lamplighter itself.
    pub notes: Vec<String>,
    /// What happened to each grant, oldest first.
    pub past: BTreeMap<GrantId, Vec<Past>>,
    /// What open sessions need.
    pub hints: Vec<Hint>,
    /// What happened at all, newest first.
    pub activity: Vec<Line>,
    /// Other config folders that hold sign-ins.
    pub offered: Vec<String>,
    /// Where it looked.
    pub looked: Vec<String>,
    /// A row to open and bring forward, once: the next view asks for nothing, or anew.
    pub focus: Option<GrantId>,
    /// A row to open and bring forward because a link asked for it, likewise once. Any page of the web may
    /// send one: the focus stays where it is.
    pub linked: Option<GrantId>,
    /// Whether to turn to the settings, likewise once.
    pub turn_to_settings: bool,
    /// What can be set on the page.
    pub settings: Settings,
    /// What updates the client.
    pub update_command: String,
}

/// Whether the one question was answered, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Not yet: nothing is written or sent.
    Unasked,
    /// Keep them signed in.
    Keep,
    /// Only watch.
    Watch,
}

/// Something that happened to a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Past {
    /// When.
    pub at: Wall,
    /// What.
    pub what: What,
    /// Who did it, where that is known.
    pub by: Option<Renewer>,
    /// In words.
    pub words: String,
}

/// What can have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// New tokens.
    Renewed,
    /// No answer, or not a good one.
    Failed,
    /// A person signed in.
    SignedIn,
    /// A sign-in ended without tokens.
    SignInFailed,
    /// New tokens were put back where a client had overwritten them.
    Restored,
    /// A person signed out.
    SignedOut,
}

/// What open sessions need after a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Hint {
    /// Whose.
    pub grant: GrantId,
    /// In words.
    pub words: String,
    /// What to type there.
    pub command: String,
    /// It goes then.
    pub until: Wall,
}

/// A line of activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Line {
    /// When.
    pub at: Wall,
    /// About which grant, if about one.
    pub grant: Option<GrantId>,
    /// In words.
    pub words: String,
}

/// What can be set on the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Settings {
    /// The file with all of it.
    pub file: String,
    /// Whether it starts with the desktop; `None` where that cannot be had.
    pub start_at_login: Option<bool>,
    /// Whether notices are shown.
    pub notices: bool,
    /// Whether servers are asked unasked.
    pub probe: bool,
    /// Whether sign-ins are kept, not only watched.
    pub keep: bool,
    /// Config folders besides the usual one.
    pub folders: Vec<String>,
}

impl View {
    /// The page for this truth.
    pub fn of(seq: u64, now: Wall, snapshot: &Snapshot, around: Around) -> Self {
        let unfinished = &snapshot.unfinished;
        let unfinished =
            unfinished.iter().map(|left| format!("{}. To go on, {}.", left.words(), left.advice));
        let around = Around {
            notes: around.notes.into_iter().chain(unfinished).collect(),
            hints: around.hints.into_iter().filter(|hint| hint.until > now).collect(),
            ..around
        };
        Self {
            seq,
            now,
            sentence: sentence(snapshot),
            shape: shape(snapshot),
            question: question(snapshot),
            rows: snapshot.rows.clone(),
            stores: snapshot.stores.clone(),
            around,
        }
    }
}

/// `Found 3 servers that Claude Code is signed in to: Slack, Notion and Linear.`
fn question(snapshot: &Snapshot) -> String {
    let signed_in: Vec<&Row> =
        snapshot.rows.iter().filter(|row| row.health != Health::NotSignedIn).collect();
    let client = signed_in.first().map_or("Claude Code", |row| row.client.as_str());
    let titles: Vec<&str> = signed_in.iter().map(|row| row.title.as_str()).collect();
    match titles.as_slice() {
        [] => String::from("No sign-ins were found on this machine yet."),
        [one] => format!("Found a server that {client} is signed in to: {one}."),
        [most @ .., last] => {
            let count = titles.len();
            let most = most.join(", ");
            format!("Found {count} servers that {client} is signed in to: {most} and {last}.")
        }
    }
}

impl Hint {
    /// After a sign-in, or where a verdict was withdrawn.
    pub fn new(grant: GrantId, words: String, server: &str, until: Wall) -> Self {
        Self { grant, words, command: commands::in_session(server), until }
    }
}
