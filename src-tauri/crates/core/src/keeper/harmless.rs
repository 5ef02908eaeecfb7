//! Where text of others leaves the keeper for people: rows, notices, events, pages. All of it is made
//! harmless here, so that no shell can forget it.
//!
//! Read next: [`text::harmless`], which says what that means.

use alloc::{string::String, vec::Vec};

use super::Event;
use crate::notice::Notice;
use crate::{
    health::{Part, Phrase},
    ids::{GrantId, StoreId},
    signin::{Invitation, Page},
    snapshot::{NewAddress, Row, SigningIn, Snapshot, StoreRow, Unfinished},
    text::{self, LONGEST_NAME, LONGEST_SENTENCE},
};

/// A URL without what should not be shown is still as long as its owner made it.
const LONGEST_ADDRESS: usize = 300;

pub(super) fn name(text: &str) -> String {
    text::harmless(text, LONGEST_NAME)
}

/// A folder's path inside a sentence: what follows it is still read.
pub(super) fn place(text: &str) -> String {
    text::harmless(text, LONGEST_ADDRESS)
}

/// A name that comes back as a person's answer, and is then compared: whole.
pub(super) fn answer(text: &str) -> String {
    text::harmless(text, usize::MAX)
}

fn sentence(text: &str) -> String {
    text::harmless(text, LONGEST_SENTENCE)
}

/// Ours are harmless already; what was asked for by a name that nobody has may be anything.
fn id(id: &GrantId) -> GrantId {
    GrantId(sentence(id.as_str()))
}

fn names(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| name(text)).collect()
}

pub(super) trait Harmless {
    /// The same, for people.
    fn harmless(self) -> Self;
}

impl Event {
    /// The same for people, whichever version of the keeper told it.
    #[must_use]
    pub fn harmless(self) -> Self {
        Harmless::harmless(self)
    }
}

impl Snapshot {
    /// The same for people, whichever version of the keeper made it.
    #[must_use]
    pub fn harmless(self) -> Self {
        let rows = self.rows.into_iter().map(|row| Row {
            id: id(&row.id),
            store: StoreId(sentence(row.store.as_str())),
            client: name(&row.client),
            ..Harmless::harmless(row)
        });
        let stores = self.stores.into_iter().map(Harmless::harmless);
        let unfinished = self.unfinished.into_iter().map(|unfinished| Unfinished {
            store: StoreId(sentence(unfinished.store.as_str())),
            client: name(&unfinished.client),
            place: sentence(&unfinished.place),
            why: sentence(&unfinished.why),
            advice: sentence(&unfinished.advice),
            ..unfinished
        });
        Self {
            rows: rows.collect(),
            stores: stores.collect(),
            unfinished: unfinished.collect(),
            exit: self.exit,
        }
    }
}

impl Harmless for NewAddress {
    fn harmless(self) -> Self {
        Self { known: answer(&self.known), now: answer(&self.now) }
    }
}

impl Harmless for Phrase {
    fn harmless(self) -> Self {
        let parts = self.0.into_iter().map(|part| match part {
            Part::Text(text) => Part::Text(sentence(&text)),
            Part::In(at) => Part::In(at),
            Part::At(at) => Part::At(at),
        });
        Self(parts.collect())
    }
}

impl Harmless for SigningIn {
    fn harmless(self) -> Self {
        Self {
            client_name: self.client_name.as_deref().map(name),
            host: self.host.as_deref().map(name),
            ..self
        }
    }
}

impl Harmless for Row {
    fn harmless(self) -> Self {
        Self {
            name: name(&self.name),
            title: name(&self.title),
            url: text::harmless(&self.url, LONGEST_ADDRESS),
            phrase: self.phrase.harmless(),
            issuer: self.issuer.map(|issuer| text::harmless(&issuer, LONGEST_ADDRESS)),
            scopes: names(&self.scopes),
            reason: self.reason.as_deref().map(sentence),
            account: self.account.as_deref().map(name),
            approval: self.approval.map(Harmless::harmless),
            sign_in: self.sign_in.map(Harmless::harmless),
            ..self
        }
    }
}

impl Harmless for StoreRow {
    fn harmless(self) -> Self {
        Self {
            place: sentence(&self.place),
            client_version: self.client_version.as_deref().map(name),
            fault: self.fault.as_deref().map(sentence),
            advice: self.advice.iter().map(|advice| sentence(advice)).collect(),
            ..self
        }
    }
}

impl Harmless for Notice {
    fn harmless(self) -> Self {
        Self { title: sentence(&self.title), sentence: sentence(&self.sentence), ..self }
    }
}

impl Harmless for Page {
    fn harmless(self) -> Self {
        match self {
            Self::SignedIn { server, tools } => Self::SignedIn { server: name(&server), tools },
            Self::Refused { server } => Self::Refused { server: name(&server) },
            Self::Failed { server, words } => {
                Self::Failed { server: name(&server), words: sentence(&words) }
            }
            Self::NotWaiting => Self::NotWaiting,
        }
    }
}

impl Harmless for Invitation {
    fn harmless(self) -> Self {
        Self { client_name: name(&self.client_name), host: name(&self.host), ..self }
    }
}

impl Harmless for Event {
    fn harmless(self) -> Self {
        match self {
            Self::Waiting { grant, why, until } => {
                Self::Waiting { grant: id(&grant), why: sentence(&why), until }
            }
            Self::Renewing { grant } => Self::Renewing { grant: id(&grant) },
            Self::Renewed { grant, by, expires_at } => {
                Self::Renewed { grant: id(&grant), by, expires_at }
            }
            Self::Unchanged { grant, why, next } => {
                Self::Unchanged { grant: id(&grant), why: sentence(&why), next }
            }
            Self::Failed { grant, code, why, next } => {
                Self::Failed { grant: id(&grant), code, why: sentence(&why), next }
            }
            Self::Checked { grant, accepted, tools } => {
                Self::Checked { grant: id(&grant), accepted, tools }
            }
            Self::VerdictWithdrawn { store, server } => {
                Self::VerdictWithdrawn { store, server: name(&server) }
            }
            Self::Restored { grant } => Self::Restored { grant: id(&grant) },
            Self::Reviewed { grant, moved } => {
                Self::Reviewed { grant: id(&grant), moved: moved.map(Harmless::harmless) }
            }
            Self::SigningIn { grant, step } => {
                Self::SigningIn { grant: id(&grant), step: sentence(&step) }
            }
            Self::SignedIn { grant, server, tools, refused, account, other_account } => {
                Self::SignedIn {
                    grant: id(&grant),
                    server: name(&server),
                    tools,
                    refused,
                    account: account.as_deref().map(name),
                    other_account,
                }
            }
            Self::SignInFailed { grant, code, why } => {
                Self::SignInFailed { grant: id(&grant), code, why: sentence(&why) }
            }
            Self::SignedOut { grant } => Self::SignedOut { grant: id(&grant) },
            Self::Revocation { grant, outcome } => Self::Revocation { grant: id(&grant), outcome },
            Self::SignOutFailed { grant, code, why } => {
                Self::SignOutFailed { grant: id(&grant), code, why: sentence(&why) }
            }
            Self::Notice(notice) => Self::Notice(notice.harmless()),
            Self::NoticeWithdrawn { cause } => Self::NoticeWithdrawn { cause },
        }
    }
}
