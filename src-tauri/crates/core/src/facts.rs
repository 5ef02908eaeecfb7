//! What Lamplighter remembers between runs: its own facts, never a secret.
//!
//! Core owns the content and says when it changed ([`Effect::Remember`](crate::keeper::Effect));
//! the engine keeps it in one atomic file. Unknown members of a newer version are dropped on the
//! next write, so a change of meaning needs a new `schema`.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{StoreId, Target, TokenMark},
    oauth::{discovery::ServerMetadata, preflight::Redirect},
    signin::Kept,
    time::{Millis, Wall},
};

/// How many spent tokens a grant remembers: enough for any copy that a client may write back.
pub const SPENT_KEPT: usize = 32;

/// The code of a refusal that is about the OAuth client, and not about the grant (RFC 6749 §5.2).
pub const INVALID_CLIENT: &str = "invalid_client";

/// Everything remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The form of this file: 1.
    pub schema: u32,
    /// Per grant.
    #[serde(default, with = "as_list")]
    pub grants: BTreeMap<Target, GrantFacts>,
    /// Per store.
    #[serde(default)]
    pub stores: BTreeMap<StoreId, StoreFacts>,
    /// The causes a person was told about and that have not healed since.
    #[serde(default)]
    pub told: BTreeSet<String>,
}

impl Default for Facts {
    fn default() -> Self {
        Self { schema: 1, grants: BTreeMap::new(), stores: BTreeMap::new(), told: BTreeSet::new() }
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
}

impl FactsChange {
    /// Everything, whatever was kept before.
    pub fn afresh(facts: Facts) -> Self {
        Self {
            afresh: true,
            grants: facts.grants.into_iter().map(|(target, facts)| (target, Some(facts))).collect(),
            stores: facts.stores,
            told: facts.told.into_iter().map(|cause| (cause, true)).collect(),
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
    /// Refresh tokens answered with success: never presented again. Oldest first.
    pub spent: Vec<TokenMark>,
    /// When the server was last asked whether it accepts the access token.
    pub probed_at: Option<Wall>,
    /// How many tools the server offered when it was last asked.
    pub tools: Option<u32>,
    /// The `resource` (RFC 8707) that a sign-in of ours was made for.
    pub resource: Option<String>,
    /// A registration of our own for this entry.
    pub registration: Option<Kept>,
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
    /// A refresh whose answer was lost.
    pub lost: Option<Lost>,
    /// Since when renewals have been failing.
    pub failing_since: Option<Wall>,
    /// The user said: leave this one to the client.
    pub paused: bool,
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

/// Where a grant's refresh token may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// The origin of its token endpoint.
    pub token_origin: String,
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
}

/// A refresh whose answer never came or could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The refresh token that was presented.
    pub mark: TokenMark,
    /// When it was first sent.
    pub at: Wall,
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

mod as_list {
    //! JSON has no composite keys, so the map is a list of members with their target in front.

    use super::{BTreeMap, GrantFacts, Target, Vec};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Row {
        #[serde(flatten)]
        target: Target,
        facts: GrantFacts,
    }

    #[derive(Serialize)]
    struct RowRef<'a> {
        #[serde(flatten)]
        target: &'a Target,
        facts: &'a GrantFacts,
    }

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Target, GrantFacts>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter().map(|(target, facts)| RowRef { target, facts }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Target, GrantFacts>, D::Error> {
        let rows = Vec::<Row>::deserialize(deserializer)?;
        Ok(rows.into_iter().map(|row| (row.target, row.facts)).collect())
    }
}
