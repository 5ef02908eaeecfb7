//! What Lamplighter remembers between runs: its own facts, never a secret.
//!
//! Core owns the content and says when it changed ([`Effect::Remember`](crate::keeper::Effect));
//! the engine keeps it in one atomic file. Unknown members of a newer version are dropped on the
//! next write, so a change of meaning needs a new `schema`.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{StoreId, Target, TokenMark},
    oauth::{
        metadata::ServerMetadata, pin::Pin, preflight::Redirect, recorded::RecordedAnchor,
        registration::OwnRegistration,
    },
    time::{Millis, Wall},
};

/// The newest form of [`Facts`]. Form 1 kept spent tokens with each grant, form 2 lost answers.
pub const SCHEMA: u32 = 3;

/// How many spent tokens are remembered, and how many more for each grant.
const SPENT_KEPT: usize = 4096;
const SPENT_KEPT_PER_GRANT: usize = 64;

/// The code of a refusal that is about the OAuth client, and not about the grant (RFC 6749 §5.2).
pub const INVALID_CLIENT: &str = "invalid_client";

/// Everything remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "wire::Facts")]
pub struct Facts {
    /// The form of this file: [`SCHEMA`].
    pub schema: u32,
    /// Per grant.
    #[serde(serialize_with = "wire::grants")]
    pub grants: BTreeMap<Target, GrantFacts>,
    /// Per store.
    pub stores: BTreeMap<StoreId, StoreFacts>,
    /// The causes a person was told about and that have not healed since.
    pub told: BTreeSet<String>,
    /// Refresh tokens that were answered with success: never presented again, from any entry of any
    /// store.
    pub spent: BTreeMap<TokenMark, Spent>,
    /// Refresh tokens that were presented and whose answer never came or could not be read, each with
    /// when that was. They may be spent: whoever holds one waits, in any entry of any store.
    pub lost: BTreeMap<TokenMark, Wall>,
}

/// A refresh token that was answered with success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// The refresh token that the answer brought, where that is known.
    pub next: Option<TokenMark>,
    /// When it was spent.
    pub at: Wall,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            grants: BTreeMap::new(),
            stores: BTreeMap::new(),
            told: BTreeSet::new(),
            spent: BTreeMap::new(),
            lost: BTreeMap::new(),
        }
    }
}

impl Facts {
    /// Takes in what has changed.
    pub fn apply(&mut self, change: FactsChange) {
        if change.afresh {
            *self = Self::default();
        }
        for (target, facts) in change.grants {
            match facts {
                Some(facts) => self.grants.insert(target, facts),
                None => self.grants.remove(&target),
            };
        }
        self.stores.extend(change.stores);
        for (cause, holds) in change.told {
            if holds {
                self.told.insert(cause);
            } else {
                self.told.remove(&cause);
            }
        }
        for (mark, spent) in change.spent {
            match spent {
                Some(spent) => self.spent.insert(mark, spent),
                None => self.spent.remove(&mark),
            };
        }
        for (mark, at) in change.lost {
            match at {
                Some(at) => self.lost.insert(mark, at),
                None => self.lost.remove(&mark),
            };
        }
    }

    /// The newest refresh token that took the place of this spent one, as far as that is known.
    pub(crate) fn newest_after(&self, mark: TokenMark) -> Option<TokenMark> {
        let mut newest = self.spent.get(&mark)?.next?;
        // A server that gives an old token again could lead in a circle.
        for _ in 0..self.spent.len() {
            match self.spent.get(&newest) {
                Some(spent) => newest = spent.next?,
                None => return Some(newest),
            }
        }
        None
    }

    /// Whether the one refresh token came in the place of the other, through any number of renewals.
    pub(crate) fn are_of_one_sign_in(&self, one: TokenMark, other: TokenMark) -> bool {
        let leads_to = |mut from: TokenMark, to: TokenMark| {
            for _ in 0..=self.spent.len() {
                if from == to {
                    return true;
                }
                let Some(next) = self.spent.get(&from).and_then(|spent| spent.next) else { break };
                from = next;
            }
            false
        };
        leads_to(one, other) || leads_to(other, one)
    }

    /// Which spent tokens to forget where there are too many: the oldest, and never one that a known
    /// entry held when it was last seen. What led to one of those leads past it from then on.
    pub(crate) fn crowded_out(&self) -> BTreeMap<TokenMark, Option<Spent>> {
        let most = SPENT_KEPT + SPENT_KEPT_PER_GRANT * self.grants.len();
        if self.spent.len() <= most {
            return BTreeMap::new();
        }
        let held: BTreeSet<TokenMark> =
            self.grants.values().filter_map(|facts| facts.refresh).collect();
        let mut oldest: Vec<_> =
            self.spent.iter().filter(|(mark, _)| !held.contains(mark)).collect();
        oldest.sort_unstable_by_key(|(mark, spent)| (spent.at, **mark));
        // Several at once, so that this is seldom done.
        let count = self.spent.len() - most / 8 * 7;
        let gone: BTreeSet<TokenMark> = oldest.iter().take(count).map(|(mark, _)| **mark).collect();
        let past = |mut next: Option<TokenMark>| {
            for _ in 0..gone.len() {
                let Some(through) = next.filter(|next| gone.contains(next)) else { break };
                next = self.spent.get(&through).and_then(|spent| spent.next);
            }
            next
        };
        let led = self.spent.iter().filter(|(mark, spent)| {
            !gone.contains(mark) && spent.next.is_some_and(|next| gone.contains(&next))
        });
        let led =
            led.map(|(mark, spent)| (*mark, Some(Spent { next: past(spent.next), ..*spent })));
        led.chain(gone.iter().map(|mark| (*mark, None))).collect()
    }
}

/// What has changed in the facts since they were last handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactsChange {
    /// It is everything there is: whatever was kept before is to be forgotten.
    pub afresh: bool,
    /// Grants of which something else is remembered now; `None`: nothing any more.
    pub grants: BTreeMap<Target, Option<GrantFacts>>,
    /// Stores of which something else is remembered now.
    pub stores: BTreeMap<StoreId, StoreFacts>,
    /// Causes a person has been told of since, and causes that have healed (`false`).
    pub told: BTreeMap<String, bool>,
    /// Refresh tokens that were spent since; `None`: forgotten, as nothing holds them any more.
    pub spent: BTreeMap<TokenMark, Option<Spent>>,
    /// Refresh tokens whose answer was lost since; `None`: that is over.
    pub lost: BTreeMap<TokenMark, Option<Wall>>,
}

impl FactsChange {
    /// Everything, whatever was kept before.
    pub fn afresh(facts: Facts) -> Self {
        Self {
            afresh: true,
            grants: facts.grants.into_iter().map(|(target, facts)| (target, Some(facts))).collect(),
            stores: facts.stores,
            told: facts.told.into_iter().map(|cause| (cause, true)).collect(),
            spent: facts.spent.into_iter().map(|(mark, spent)| (mark, Some(spent))).collect(),
            lost: facts.lost.into_iter().map(|(mark, at)| (mark, Some(at))).collect(),
        }
    }
}

/// What is remembered of one grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantFacts {
    /// The life of the access token whose mark is `access`: the last `expires_in`, in milliseconds.
    pub life: Option<Millis>,
    /// When that access token was received; zero: by a clock that was wrong, so long ago.
    pub issued_at: Option<Wall>,
    /// The mark of the access token these facts are about.
    pub access: Option<TokenMark>,
    /// When the server last accepted this grant: a refresh, or a probe with its access token.
    pub proof_at: Option<Wall>,
    /// When the access token was last renewed, by anyone.
    pub renewed_at: Option<Wall>,
    /// Who renewed it.
    pub renewed_by: Option<Renewer>,
    /// When the sign-in itself ends, where the server says (`refresh_token_expires_in`).
    pub sign_in_ends: Option<Wall>,
    /// The issuer and the token endpoint's origin, pinned at first use.
    pub pin: Option<Pin>,
    /// The authorization server's metadata with the time it was fetched.
    pub metadata: Option<(ServerMetadata, Wall)>,
    /// The mark of the refresh token that the entry held when it was last seen.
    pub refresh: Option<TokenMark>,
    /// When the server was last asked whether it accepts the access token.
    pub probed_at: Option<Wall>,
    /// How many tools the server offered when it was last asked.
    pub tools: Option<u32>,
    /// The `resource` (RFC 8707) that a sign-in of ours was made for.
    pub resource: Option<String>,
    /// A registration of our own for this entry.
    pub registration: Option<OwnRegistration>,
    /// Which way the browser came back at the last sign-in, and for which issuer.
    pub redirect: Option<(String, Redirect)>,
    /// Who is signed in, where the server said: for display.
    pub account: Option<String>,
    /// An issuer that differs from its address, as a sign-in met it.
    pub seen_issuer: Option<String>,
    /// That issuer, once a person has confirmed it.
    pub confirmed_issuer: Option<String>,
    /// The last access token that the server did not take although its end had not come; forgotten when
    /// it takes a later one.
    pub refused_access: Option<RefusedAccess>,
    /// An access token that took the place of a refused one, or came by a sign-in, until the server
    /// accepts it.
    pub unproven_access: Option<TokenMark>,
    /// A definite refusal, once or confirmed.
    pub refusal: Option<Refusal>,
    /// Since when renewals have been failing.
    pub failing_since: Option<Wall>,
    /// The user said: leave this one to the client.
    pub paused: bool,
    /// What the entry recorded of its server when the token was first seen that it holds.
    pub recorded: Option<RecordedAnchor>,
    /// The OAuth client that the last successful renewal of this sign-in was made as: used where the
    /// entry names none.
    pub client: Option<ProvenClient>,
    /// Where the search for the metadata began: it is good for an entry that begins there too.
    pub anchor: Option<String>,
    /// New names that a person was shown and trusts, until one of them is pinned: hosts, or an issuer
    /// where only that changed.
    pub trusted: Vec<String>,
}

/// Who renewed a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Renewer {
    /// This program.
    Lamplighter,
    /// The client that owns the store.
    Client,
}

/// An OAuth client that a renewal succeeded as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenClient {
    /// The refresh token that the entry holds of this sign-in.
    pub mark: TokenMark,
    /// `client_id`, which is public.
    pub id: String,
}

/// The server refused the refresh token for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The refresh token that was refused.
    pub mark: TokenMark,
    /// The error code, from a closed list of known ones or `other`.
    pub code: String,
    /// The first refusal.
    pub at: Wall,
    /// Whether a second presentation, at least a minute later, was refused too.
    pub confirmed: bool,
    /// The OAuth client that presented it: a refusal holds for that one alone. `None`: noted before
    /// this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The mark of that client's secret: one that was corrected since may be known to the server.
    /// `None`: it had none, or the refusal was noted before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<TokenMark>,
    /// The one before it of the same token by the same client, where it was of another kind: neither
    /// confirms the other, and each is confirmed by the next of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Refusal>>,
}

/// The server did not take an access token although its end had not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAccess {
    /// The access token.
    pub access: TokenMark,
    /// When it was refused first.
    pub at: Wall,
    /// Whether it had just been renewed because the one before it was refused: then another renewal
    /// does not help.
    pub after_renewal: bool,
    /// Whether it was refused again, at least a minute later.
    #[serde(default)]
    pub confirmed: bool,
}

/// What is remembered of one store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreFacts {
    /// The first time we wrote there.
    pub first_write_at: Option<Wall>,
    /// The last look after that first write went well, so the rest may follow.
    pub proven: bool,
}

mod wire {
    //! JSON has no composite keys, so the map of grants is a list of members with their target in
    //! front. Form 1 kept the spent tokens of each grant with it, forms 1 and 2 its lost answer.

    use super::{
        BTreeMap, BTreeSet, GrantFacts, SCHEMA, Spent, StoreFacts, StoreId, String, Target,
        TokenMark, Vec, Wall,
    };
    use serde::{Deserialize, Serialize, Serializer};

    #[derive(Deserialize)]
    pub(super) struct Facts {
        #[serde(default)]
        grants: Vec<Row>,
        #[serde(default)]
        stores: BTreeMap<StoreId, StoreFacts>,
        #[serde(default)]
        told: BTreeSet<String>,
        #[serde(default)]
        spent: BTreeMap<TokenMark, Spent>,
        #[serde(default)]
        lost: BTreeMap<TokenMark, Wall>,
    }

    #[derive(Deserialize)]
    struct Row {
        #[serde(flatten)]
        target: Target,
        facts: GrantFactsOfAnyForm,
    }

    #[derive(Deserialize)]
    struct GrantFactsOfAnyForm {
        #[serde(flatten)]
        facts: GrantFacts,
        #[serde(default)]
        spent: Vec<TokenMark>,
        lost: Option<Lost>,
    }

    #[derive(Deserialize)]
    struct Lost {
        mark: TokenMark,
        at: Wall,
    }

    #[derive(Serialize)]
    struct RowRef<'a> {
        #[serde(flatten)]
        target: &'a Target,
        facts: &'a GrantFacts,
    }

    impl From<Facts> for super::Facts {
        fn from(wire: Facts) -> Self {
            let (mut spent, mut lost) = (wire.spent, wire.lost);
            let mut grants = BTreeMap::new();
            for Row { target, facts: earlier } in wire.grants {
                for mark in earlier.spent {
                    spent.entry(mark).or_default();
                }
                let mut facts = earlier.facts;
                if let Some(Lost { mark, at }) = earlier.lost {
                    // Forgotten when no entry holds it any more: so it is said who holds it.
                    if *facts.refresh.get_or_insert(mark) == mark {
                        lost.entry(mark).or_insert(at);
                    }
                }
                grants.insert(target, facts);
            }
            Self { schema: SCHEMA, grants, stores: wire.stores, told: wire.told, spent, lost }
        }
    }

    pub(super) fn grants<S: Serializer>(
        map: &BTreeMap<Target, GrantFacts>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter().map(|(target, facts)| RowRef { target, facts }))
    }
}
