//! The health table: one place that says what every state is called, how it looks, what a person can
//! do about it and which exit code it gives.
//!
//! Words: sentence case, no blame, the server and the client by name, what happens next. Times are
//! absolute; whoever shows a phrase turns them into "in 3 h" or "10:42".

use alloc::{format, string::String, vec, vec::Vec};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Wall;

/// A grant's health, for scripts and views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It works, and will be renewed.
    Healthy,
    /// A renewal is in the air.
    Refreshing,
    /// Renewals fail for now; the token is still good.
    Retrying,
    /// Renewals fail or are due, and the token has ended.
    RetryingEnded,
    /// There is no network.
    Offline,
    /// A sign-in waits for the browser.
    SigningIn,
    /// Only a new sign-in helps.
    SignInRequired,
    /// The token is fresh, and the server refuses it.
    Refused,
    /// The server signs in at another address now.
    ApprovalRequired,
    /// Nobody is signed in.
    NotSignedIn,
    /// It works and cannot be renewed.
    NoRefreshToken,
    /// The client renews this one by itself.
    StandingBy,
    /// The user left it to the client.
    Paused,
    /// The store needs to be unlocked.
    StoreLocked,
    /// The store cannot be read or written.
    StoreBroken,
    /// Not looked at yet.
    Unknown,
}

/// The lamp's shape, told apart in one colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Outline only.
    Hollow,
    /// Lit.
    Lit,
    /// Half lit.
    Half,
    /// Unlit, with an exclamation mark cut in.
    Alert,
}

/// What a row's buttons do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Button {
    /// Renew now.
    Renew,
    /// Ask the server whether it accepts the token.
    Check,
    /// Sign in again.
    Reconnect,
    /// Sign in for the first time.
    SignIn,
    /// Give the sign-in in progress up.
    Cancel,
    /// Look at both addresses.
    Review,
    /// Leave it to the client.
    Pause,
    /// Take it up again.
    Resume,
    /// Copy the command that updates the client.
    CopyUpdate,
    /// Unlock the store.
    Unlock,
    /// Show the store's file.
    ShowFile,
    /// Sign out, after one question.
    SignOut,
}

/// A phrase with its times still absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[cfg_attr(test, ts(type = "Array<Part>"))]
pub struct Phrase(pub Vec<Part>);

/// A piece of a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Text(String),
    /// A length of time from now: `in 3 h`.
    In(Wall),
    /// A time of day, with the day where it is not today: `10:42`.
    At(Wall),
}

impl Phrase {
    /// The phrase as text; `length` words a span in milliseconds (`3 h`), `time` a moment (`10:42`).
    pub fn render(
        &self,
        now: Wall,
        length: impl Fn(u64) -> String,
        time: impl Fn(Wall) -> String,
    ) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::In(at) => length(now.until(*at).0),
            Part::At(at) => time(*at),
        });
        parts.collect()
    }
}

/// A part on the wire: a text, `{"in": ms}` or `{"at": ms}`, milliseconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WirePart {
    In(Wall),
    At(Wall),
    #[serde(untagged)]
    Text(String),
}

impl Serialize for Phrase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|part| match part {
            Part::Text(text) => WirePart::Text(text.clone()),
            Part::In(at) => WirePart::In(*at),
            Part::At(at) => WirePart::At(*at),
        }))
    }
}

impl<'de> Deserialize<'de> for Phrase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Vec::<WirePart>::deserialize(deserializer)?;
        let parts = parts.into_iter().map(|part| match part {
            WirePart::Text(text) => Part::Text(text),
            WirePart::In(at) => Part::In(at),
            WirePart::At(at) => Part::At(at),
        });
        Ok(Self(parts.collect()))
    }
}

/// Everything the table needs to know about one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Situation {
    /// It works. `next`: when it is renewed, if a keeper runs; `due`: when it should be, if none does.
    Healthy {
        ends: Option<Wall>,
        next: Option<Wall>,
        due: Option<Wall>,
    },
    Refreshing,
    /// Renewals fail; with what happens next.
    Retrying {
        why: String,
        next: Option<Wall>,
    },
    /// The token has ended and renewals fail since then.
    RetryingEnded {
        since: Wall,
        next: Option<Wall>,
    },
    /// The token has ended, and something here keeps it from being renewed.
    Hindered {
        why: String,
        next: Option<Wall>,
    },
    /// The token has ended and nothing was tried yet.
    Due {
        ended: Option<Wall>,
    },
    /// The server does not take the token, and nothing was tried yet.
    DueRefused,
    /// A sign-in is under way; whether it waits for the browser.
    SigningIn {
        waiting: bool,
    },
    /// There is no network, and that is why renewals fail.
    Offline {
        ended: bool,
    },
    SignInRequired,
    /// The server refuses a token that should be good; whether this program renewed it.
    Refused {
        renewed: bool,
    },
    Approval {
        known: String,
        now: String,
    },
    NotSignedIn {
        signed_out: bool,
    },
    CannotRenew {
        ends: Option<Wall>,
    },
    LeftAlone,
    /// A client at work would wipe what it meets renewed; with its version, where known.
    StandingBy {
        version: Option<String>,
    },
    Paused,
    StoreLocked {
        place: String,
        near_end: bool,
    },
    StoreBroken,
    /// The store was there and is not there now.
    StoreAway {
        place: String,
    },
    /// The store cannot be written or is busy for long.
    Saving {
        why: String,
        next: Option<Wall>,
    },
    Unknown,
}

/// How one situation is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub health: Health,
    pub shape: Shape,
    pub phrase: Phrase,
    pub buttons: Vec<Button>,
    pub exit: u8,
}

/// The exit code for nothing wrong.
pub const EXIT_FINE: u8 = 0;
/// The exit code for a person being needed.
pub const EXIT_PERSON: u8 = 10;
/// The exit code for a token that has ended and may heal by itself.
pub const EXIT_WAITING: u8 = 11;
/// The exit code for a store that cannot be read or written.
pub const EXIT_STORE: u8 = 12;

/// The worse of two exit codes: a store, then a person, then waiting.
pub fn worse(a: u8, b: u8) -> u8 {
    let rank = |code| match code {
        EXIT_STORE => 3,
        EXIT_PERSON => 2,
        EXIT_WAITING => 1,
        _ => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// The table. `server` is the provider's name where known, else the server's; `client` the program
/// that owns the store.
pub(crate) fn show(situation: &Situation, server: &str, client: &str) -> Shown {
    use Button::{
        Cancel, Check, CopyUpdate, Pause, Reconnect, Renew, Resume, Review, ShowFile, SignIn,
        SignOut, Unlock,
    };
    let everyday = || vec![Renew, Check, Reconnect, Pause, SignOut];
    let shown = |health, shape, parts: Vec<Part>, buttons, exit| Shown {
        health,
        shape,
        phrase: Phrase(parts),
        buttons,
        exit,
    };
    match situation {
        Situation::Healthy { ends, next, due } => {
            let mut parts = vec![text("Signed in")];
            match (next, due, ends) {
                (Some(next), _, _) => parts.extend([text(" · renews in "), Part::In(*next)]),
                (None, Some(due), Some(ends)) => parts.extend([
                    text(" until "),
                    Part::At(*ends),
                    text(" · renewal due in "),
                    Part::In(*due),
                ]),
                (None, None, Some(ends)) => {
                    parts.extend([text(" until "), Part::At(*ends), text(" · renewal is due")]);
                }
                (None, _, None) => parts.push(text(" · renewal is due")),
            }
            shown(Health::Healthy, Shape::Lit, parts, everyday(), EXIT_FINE)
        }
        Situation::Refreshing => {
            shown(Health::Refreshing, Shape::Lit, vec![text("Renewing…")], vec![], EXIT_FINE)
        }
        Situation::Retrying { why, next } => {
            let mut parts = vec![text(&format!("Signed in · {why}"))];
            parts.extend(next_try(*next));
            shown(Health::Retrying, Shape::Lit, parts, everyday(), EXIT_FINE)
        }
        Situation::RetryingEnded { since, next } => {
            let mut parts =
                vec![text(&format!("{server} hasn't answered since ")), Part::At(*since)];
            parts.extend(next_try(*next));
            shown(Health::RetryingEnded, Shape::Half, parts, everyday(), EXIT_WAITING)
        }
        Situation::Hindered { why, next } => {
            let mut parts = vec![text(&format!("Token ended · {why}"))];
            parts.extend(next_try(*next));
            shown(Health::RetryingEnded, Shape::Half, parts, everyday(), EXIT_WAITING)
        }
        Situation::Due { ended } => {
            let parts = match ended {
                Some(ended) => {
                    vec![text("Token ended at "), Part::At(*ended), text(" · renewal is due")]
                }
                None => vec![text("Token ended · renewal is due")],
            };
            shown(Health::RetryingEnded, Shape::Half, parts, everyday(), EXIT_WAITING)
        }
        Situation::DueRefused => shown(
            Health::RetryingEnded,
            Shape::Half,
            vec![text(&format!("{server} no longer takes this token · renewal is due"))],
            everyday(),
            EXIT_WAITING,
        ),
        Situation::SigningIn { waiting } => shown(
            Health::SigningIn,
            Shape::Half,
            vec![text(if *waiting { "Waiting for your browser" } else { "Signing in…" })],
            vec![Cancel],
            EXIT_WAITING,
        ),
        Situation::Offline { ended } => shown(
            Health::Offline,
            if *ended { Shape::Half } else { Shape::Lit },
            vec![text("No network · renews when it is back")],
            vec![],
            if *ended { EXIT_WAITING } else { EXIT_FINE },
        ),
        Situation::SignInRequired => shown(
            Health::SignInRequired,
            Shape::Alert,
            vec![text(&format!("{server} ended this sign-in"))],
            vec![Reconnect, SignOut],
            EXIT_PERSON,
        ),
        Situation::Refused { renewed } => {
            let words = if *renewed {
                format!("Renewed, but {server} still refuses it")
            } else {
                format!("{server} refuses this token")
            };
            shown(
                Health::Refused,
                Shape::Alert,
                vec![text(&words)],
                vec![Reconnect, Renew, Check, SignOut],
                EXIT_PERSON,
            )
        }
        Situation::Approval { known, now } => shown(
            Health::ApprovalRequired,
            Shape::Alert,
            vec![text(&format!(
                "{server} now signs in at another address: {known} → {now}. Nothing was sent"
            ))],
            vec![Review],
            EXIT_PERSON,
        ),
        Situation::NotSignedIn { signed_out } => {
            let words = if *signed_out {
                format!("Signed out in {client}")
            } else {
                String::from("Not signed in")
            };
            shown(Health::NotSignedIn, Shape::Hollow, vec![text(&words)], vec![SignIn], EXIT_FINE)
        }
        Situation::CannotRenew { ends } => {
            let parts = match ends {
                Some(ends) => {
                    vec![text("Signed in until "), Part::At(*ends), text(" · can't be renewed")]
                }
                None => vec![text("Signed in · can't be renewed")],
            };
            shown(
                Health::NoRefreshToken,
                Shape::Lit,
                parts,
                vec![Reconnect, Check, SignOut],
                EXIT_FINE,
            )
        }
        Situation::LeftAlone => shown(
            Health::StandingBy,
            Shape::Lit,
            vec![text(&format!("Left to {client}"))],
            vec![],
            EXIT_FINE,
        ),
        Situation::StandingBy { version } => shown(
            Health::StandingBy,
            Shape::Lit,
            vec![text(&format!(
                "{} renews this while open",
                versioned(client, version.as_deref())
            ))],
            vec![CopyUpdate],
            EXIT_FINE,
        ),
        Situation::Paused => shown(
            Health::Paused,
            Shape::Hollow,
            vec![text(&format!("Paused · left to {client}"))],
            vec![Resume, SignOut],
            EXIT_FINE,
        ),
        Situation::StoreLocked { place, near_end } => shown(
            Health::StoreLocked,
            if *near_end { Shape::Alert } else { Shape::Half },
            vec![text(&format!("{place} is locked"))],
            vec![Unlock],
            EXIT_STORE,
        ),
        Situation::StoreBroken => shown(
            Health::StoreBroken,
            Shape::Alert,
            vec![text(&format!("{client}'s file can't be read; nothing was changed"))],
            vec![ShowFile],
            EXIT_STORE,
        ),
        Situation::StoreAway { place } => shown(
            Health::StoreBroken,
            Shape::Half,
            vec![text(&format!("{place} is not there now; nothing was changed"))],
            vec![],
            EXIT_STORE,
        ),
        Situation::Saving { why, next } => {
            let mut parts = vec![text(&format!("Renewed, not saved yet: {why}"))];
            parts.extend(next_try(*next));
            shown(Health::StoreBroken, Shape::Half, parts, vec![ShowFile], EXIT_STORE)
        }
        Situation::Unknown => {
            shown(Health::Unknown, Shape::Hollow, vec![text("Checking…")], vec![], EXIT_FINE)
        }
    }
}

/// A program with its version, where that is known: `Claude Code 2.1.119`.
pub(crate) fn versioned(client: &str, version: Option<&str>) -> String {
    version.map_or_else(|| client.into(), |version| format!("{client} {version}"))
}

fn text(words: &str) -> Part {
    Part::Text(words.into())
}

fn next_try(next: Option<Wall>) -> Vec<Part> {
    next.map_or_else(Vec::new, |next| vec![text(", next try "), Part::At(next)])
}
