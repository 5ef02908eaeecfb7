//! The whole truth for every view, made whole after every change and holding no secret.
//!
//! Times are absolute. A view shows it and sends [`Action`](crate::keeper::Action)s back; it has no
//! rule of its own.

use alloc::{format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    facts::Renewer,
    health::{Button, Health, Phrase, Shape},
    ids::{GrantId, StoreId},
    time::Wall,
};

/// Everything there is to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// One row a server, needing a person first, then by name.
    pub rows: Vec<Row>,
    /// One row a store.
    pub stores: Vec<StoreRow>,
    /// The exit code of the worst row.
    pub exit: u8,
    /// What the journal holds for stores that cannot be reached.
    #[serde(default)]
    pub unfinished: Vec<Unfinished>,
}

/// Something in the journal for a store that cannot be reached from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The store.
    pub store: StoreId,
    /// The client program.
    pub client: String,
    /// Where the store lies.
    pub place: String,
    /// The new tokens of how many sign-ins no store holds yet.
    pub sign_ins: usize,
    /// Why it cannot be reached, in words.
    pub why: String,
    /// What a person can do, in words.
    pub advice: String,
}

impl Unfinished {
    /// `Claude Code in ~/team: the new tokens of one sign-in can't be saved (~/team is not there)`
    pub fn words(&self) -> String {
        let what = match self.sign_ins {
            0 => String::from("what is kept of a renewal can't be finished"),
            1 => String::from("the new tokens of one sign-in can't be saved"),
            n => format!("the new tokens of {n} sign-ins can't be saved"),
        };
        format!("{} in {}: {what} ({})", self.client, self.place, self.why)
    }
}

/// One server in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Row {
    /// What people call it.
    pub id: GrantId,
    /// The store.
    pub store: StoreId,
    /// The client program.
    pub client: String,
    /// The provider profile, if one is known.
    pub profile: Option<String>,
    /// The server's name as configured.
    pub name: String,
    /// The server's name for people: the provider's where known.
    pub title: String,
    /// The server's URL without user info and query.
    pub url: String,
    /// Its health.
    pub health: Health,
    /// Its lamp.
    pub shape: Shape,
    /// Its one phrase.
    pub phrase: Phrase,
    /// What can be done, the likeliest first.
    pub buttons: Vec<Button>,
    /// The exit code it gives by itself.
    pub exit: u8,
    /// When the access token ends.
    pub expires_at: Option<Wall>,
    /// When it is renewed, or should be.
    pub next_renewal_at: Option<Wall>,
    /// When it was last renewed, by anyone.
    pub last_renewal_at: Option<Wall>,
    /// By whom.
    pub renewed_by: Option<Renewer>,
    /// When the sign-in itself ends, where known.
    pub sign_in_ends_at: Option<Wall>,
    /// Whether there is a refresh token.
    pub has_refresh_token: bool,
    /// The issuer, where known.
    pub issuer: Option<String>,
    /// The granted scopes.
    pub scopes: Vec<String>,
    /// How many tools the server offered when it was last asked.
    pub tools: Option<u32>,
    /// What is wrong, in words.
    pub reason: Option<String>,
    /// When the access token was received, where that is known.
    #[serde(default)]
    pub issued_at: Option<Wall>,
    /// Who is signed in, where the server said.
    #[serde(default)]
    pub account: Option<String>,
    /// Both hosts, where the server signs in at another address now.
    #[serde(default)]
    pub approval: Option<NewAddress>,
    /// How far a sign-in under way is.
    #[serde(default)]
    pub sign_in: Option<SigningIn>,
}

/// A server that signs in at another address than it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct NewAddress {
    /// The host that was trusted.
    pub known: String,
    /// The host that is named now. Nothing was sent there.
    pub now: String,
}

/// A sign-in under way, as everybody may see it: its page's address is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SigningIn {
    /// What happens, in words.
    pub step: String,
    /// Whose name the consent page shows, once that is known.
    pub client_name: Option<String>,
    /// The host of the consent page, once that is known.
    pub host: Option<String>,
    /// Whether it waits for the browser.
    pub waiting: bool,
    /// Whether the browser comes back by our scheme, and will ask to open Lamplighter.
    pub scheme: bool,
    /// Whether there is another way, should the page show an error.
    #[serde(default)]
    pub other_way: bool,
}

/// One store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct StoreRow {
    /// Its name.
    pub id: StoreId,
    /// The client program.
    pub client: String,
    /// Where it lies.
    pub place: String,
    /// The client's installed version, where it could be told.
    pub client_version: Option<String>,
    /// What is wrong with it, in words.
    pub fault: Option<String>,
    /// What a person should know about it.
    pub advice: Vec<String>,
}

impl Snapshot {
    /// `""`, or the one sentence that matters: `Slack needs you`.
    pub fn line(&self) -> String {
        let person: Vec<&str> = self
            .rows
            .iter()
            .filter(|row| row.exit == crate::health::EXIT_PERSON)
            .map(|row| row.title.as_str())
            .collect();
        let stores = self.rows.iter().filter(|row| row.exit == crate::health::EXIT_STORE);
        match (person.as_slice(), stores.count()) {
            ([], 0) => String::new(),
            ([], _) => String::from("A sign-in store needs you"),
            ([one], _) => alloc::format!("{one} needs you"),
            ([one, two], _) => alloc::format!("{one} and {two} need you"),
            ([one, rest @ ..], _) => alloc::format!("{one} and {} others need you", rest.len()),
        }
    }
}
