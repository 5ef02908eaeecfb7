//! Who holds what: clients, codes, and families of tokens with their rotation.
//!
//! What it is: the part whose honesty the rest relies on. A family is everything that came out of
//! one sign-in; each refresh adds a pair to it.
//!
//! What it must not do: know HTTP, JSON or a clock. The time is handed in.
//!
//! Where to read next: [`Rotation`], and `token`, which asks.

use std::collections::BTreeMap;

use crate::options::{ClientAuth, GraceAnswer, Options, Rotation};
use crate::secrets::Source;

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) secret: Option<String>,
    pub(crate) auth: ClientAuth,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) may_refresh: bool,
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) scope: String,
    pub(crate) resource: Option<String>,
    /// A refresh token goes with it, as far as the browser's request has a say in that.
    pub(crate) renewable: bool,
    pub(crate) expires_at_ms: i64,
    /// Set by the first use, so that a second one can end what the first began.
    pub(crate) family: Option<usize>,
    pub(crate) used: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Live,
    /// Superseded, yet still taken: until this time, or until its successor is used.
    Previous {
        until_ms: i64,
    },
    Spent,
}

#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) expires_at_ms: i64,
    refresh_expires_at_ms: Option<i64>,
    access_dead: bool,
    standing: Standing,
}

#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) client_id: String,
    pub(crate) scope: String,
    /// Oldest first; the last one is what an honest client holds.
    pairs: Vec<Pair>,
    dead: bool,
}

/// What a use of a refresh token came to.
#[derive(Debug)]
pub(crate) struct Used {
    /// `None` is `invalid_grant`.
    pub(crate) pair: Option<Pair>,
    pub(crate) scope: String,
    /// The token had been used before.
    pub(crate) reuse: bool,
    /// The token belongs to another client; nothing was changed.
    pub(crate) foreign: bool,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) clients: BTreeMap<String, Client>,
    pub(crate) codes: BTreeMap<String, Code>,
    families: Vec<Family>,
    pub(crate) source: Source,
}

impl Ledger {
    pub(crate) fn new(source: Source) -> Self {
        Self { clients: BTreeMap::new(), codes: BTreeMap::new(), families: Vec::new(), source }
    }

    /// Begins a family and gives its number and first pair.
    pub(crate) fn begin(
        &mut self,
        client_id: &str,
        scope: &str,
        life_seconds: i64,
        now_ms: i64,
        options: &Options,
    ) -> (usize, Pair) {
        let pair = self.pair(life_seconds, None, now_ms, options);
        self.families.push(Family {
            client_id: client_id.to_owned(),
            scope: scope.to_owned(),
            pairs: vec![pair.clone()],
            dead: false,
        });
        (self.families.len() - 1, pair)
    }

    fn pair(
        &mut self,
        life_seconds: i64,
        same_refresh: Option<&Pair>,
        now_ms: i64,
        options: &Options,
    ) -> Pair {
        let access = self.source.value("lamp_at_");
        let (refresh, refresh_expires_at_ms) = match same_refresh {
            Some(old) => (old.refresh.clone(), old.refresh_expires_at_ms),
            None => (
                self.source.value("lamp_rt_"),
                options.refresh_token_expires_in.map(|s| later(now_ms, s)),
            ),
        };
        Pair {
            access,
            refresh,
            expires_at_ms: later(now_ms, life_seconds),
            refresh_expires_at_ms,
            access_dead: false,
            standing: Standing::Live,
        }
    }

    fn find_refresh(&self, refresh: &str) -> Option<(usize, usize)> {
        // From the end: without rotation several pairs share one token and the last one counts.
        self.families.iter().enumerate().find_map(|(f, family)| {
            family.pairs.iter().rposition(|p| p.refresh == refresh).map(|p| (f, p))
        })
    }

    fn find_access(&self, access: &str) -> Option<(usize, usize)> {
        self.families.iter().enumerate().find_map(|(f, family)| {
            family.pairs.iter().position(|p| p.access == access).map(|p| (f, p))
        })
    }

    /// The family a refresh token belongs to, spent or not.
    pub(crate) fn family_of(&self, refresh: &str) -> Option<&Family> {
        self.find_refresh(refresh).map(|(f, _)| &self.families[f])
    }

    pub(crate) fn refresh(
        &mut self,
        refresh: &str,
        client_id: &str,
        now_ms: i64,
        options: &Options,
    ) -> Used {
        let mut used = Used { pair: None, scope: String::new(), reuse: false, foreign: false };
        let Some((f, p)) = self.find_refresh(refresh) else { return used };
        let presented = self.families[f].pairs[p].clone();
        if self.families[f].client_id != client_id {
            used.foreign = true;
            return used;
        }
        used.scope.clone_from(&self.families[f].scope);
        used.reuse = presented.standing != Standing::Live;
        let expired = presented.refresh_expires_at_ms.is_some_and(|at| at <= now_ms);
        if self.families[f].dead || expired {
            return used;
        }
        // A server that sends no new refresh token can't expect one next time.
        let rotation = if options.omit_refresh_token { Rotation::None } else { options.rotation };
        let good = match presented.standing {
            Standing::Live => true,
            Standing::Previous { until_ms } => now_ms <= until_ms,
            Standing::Spent => false,
        };
        if !good {
            // RFC 9700 §4.14.2: nobody can tell which of the two holders is the thief.
            if matches!(rotation, Rotation::Strict | Rotation::Grace { .. }) {
                self.families[f].dead = true;
            }
            return used;
        }
        let same_again =
            matches!(rotation, Rotation::Grace { answer: GraceAnswer::SamePair, .. }) && used.reuse;
        if same_again {
            used.pair = self.families[f].pairs.last().cloned();
            return used;
        }
        let same = matches!(rotation, Rotation::None).then_some(&presented);
        let fresh = self.pair(options.life_seconds, same, now_ms, options);
        let family = &mut self.families[f];
        for (i, old) in family.pairs.iter_mut().enumerate() {
            old.access_dead |= options.revoke_old_access;
            if i != p && old.standing != Standing::Spent && old.refresh != fresh.refresh {
                old.standing = Standing::Spent;
            }
        }
        let old = &mut family.pairs[p].standing;
        *old = match (rotation, *old) {
            (Rotation::None, now) => now,
            (Rotation::Strict, _) => Standing::Spent,
            // The time runs from the first use.
            (Rotation::Grace { .. }, now @ Standing::Previous { .. }) => now,
            (Rotation::Grace { ms, .. }, _) => Standing::Previous {
                until_ms: now_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)),
            },
            (Rotation::PreviousUntilUse, _) => Standing::Previous { until_ms: i64::MAX },
        };
        family.pairs.push(fresh.clone());
        used.pair = Some(fresh);
        used
    }

    /// Whose live access token this is.
    pub(crate) fn access_live(&self, access: &str, now_ms: i64) -> bool {
        self.find_access(access).is_some_and(|(f, p)| {
            let family = &self.families[f];
            let pair = &family.pairs[p];
            !family.dead && !pair.access_dead && pair.expires_at_ms > now_ms
        })
    }

    /// Whether presenting it now would get new tokens.
    pub(crate) fn refresh_live(&self, refresh: &str, now_ms: i64) -> bool {
        self.find_refresh(refresh).is_some_and(|(f, p)| {
            let family = &self.families[f];
            let pair = &family.pairs[p];
            let standing = match pair.standing {
                Standing::Live => true,
                Standing::Previous { until_ms } => now_ms <= until_ms,
                Standing::Spent => false,
            };
            !family.dead && standing && pair.refresh_expires_at_ms.is_none_or(|at| at > now_ms)
        })
    }

    pub(crate) fn newest_pair(&self, refresh: &str) -> Option<(String, String)> {
        let pair = self.family_of(refresh)?.pairs.last()?;
        Some((pair.access.clone(), pair.refresh.clone()))
    }

    pub(crate) fn kill_family(&mut self, number: usize) {
        if let Some(family) = self.families.get_mut(number) {
            family.dead = true;
        }
    }

    pub(crate) fn kill_family_of(&mut self, refresh: &str) {
        if let Some((f, _)) = self.find_refresh(refresh) {
            self.families[f].dead = true;
        }
    }

    pub(crate) fn kill_access_tokens(&mut self) {
        for pair in self.families.iter_mut().flat_map(|f| &mut f.pairs) {
            pair.access_dead = true;
        }
    }

    /// RFC 7009 §2.1: only the client it was issued to may revoke a token.
    pub(crate) fn revoke(&mut self, token: &str, client_id: &str) {
        if let Some((f, _)) = self.find_refresh(token) {
            self.families[f].dead |= self.families[f].client_id == client_id;
        } else if let Some((f, p)) = self.find_access(token)
            && self.families[f].client_id == client_id
        {
            self.families[f].pairs[p].access_dead = true;
        }
    }
}

fn later(now_ms: i64, seconds: i64) -> i64 {
    now_ms.saturating_add(seconds.saturating_mul(1000))
}
