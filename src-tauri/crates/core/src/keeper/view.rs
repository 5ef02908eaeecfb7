//! Makes the snapshot: every row from facts, whole, each time it is asked for.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use url::Url;

use super::{
    Failure, Keeper, Mode,
    grant::{Asked, Grant, Standing},
    harmless::{self, Harmless},
    plan::{LOST, Next, OUT_OF_REACH},
};
use crate::{
    facts::{GrantFacts, Renewer},
    health::{self, EXIT_FINE, Situation},
    http::is_this_machine,
    ids::{GrantId, StoreId, Target},
    oauth::token::scopes,
    snapshot::{NewAddress, Row, Snapshot, StoreRow},
    store::{ConfiguredServer, StoreFault},
    time::{Millis, Wall},
};

/// A locked store is an alert when a token ends within this time.
pub(super) const NEAR_END: Millis = Millis::hours(1);

impl Keeper {
    /// The whole truth for every view.
    pub fn snapshot(&self) -> Snapshot {
        let grants = self.grants.iter().filter(|(target, _)| self.is_row_shown(target));
        let grants = grants.map(|(target, grant)| self.row(target, grant));
        let servers =
            self.stores.iter().filter_map(|(store, seen)| Some((store, seen.as_ref().ok()?)));
        let configured = servers.flat_map(|(store, view)| {
            let ids = self.configured_ids(store, view);
            let rows = ids.into_iter().zip(&view.servers);
            rows.map(move |(id, server)| self.configured_row(store, id, server))
        });
        let mut rows: Vec<Row> = grants.chain(configured).collect();
        rows.sort_by(|a, b| (b.shape, &a.id).cmp(&(a.shape, &b.id)));
        rows.sort_by_key(|row| row.shape != health::Shape::Alert);
        let exit = rows.iter().map(|row| row.exit).fold(self.stores_exit(), health::worse);
        let exit = health::worse(exit, self.unfinished_exit());
        Snapshot {
            exit,
            stores: self.infos.keys().filter_map(|store| self.store_row(store)).collect(),
            unfinished: self.unfinished(),
            rows,
        }
    }

    /// The row of one grant.
    pub fn row_of(&self, id: &GrantId) -> Option<Row> {
        let target = self.grants.named(id)?;
        Some(self.row(target, self.grants.get(target)?))
    }

    /// A store that cannot be read is told by its rows, or by itself where it never had any.
    fn stores_exit(&self) -> u8 {
        let broken = self.stores.iter().any(|(store, seen)| {
            let unreadable = seen.as_ref().err().is_some_and(|fault| {
                !matches!(fault, StoreFault::Absent { .. } | StoreFault::Unsupported { .. })
            });
            unreadable && self.is_shown(store) && self.grants.in_store(store).next().is_none()
        });
        if broken { health::EXIT_STORE } else { EXIT_FINE }
    }

    pub(super) fn row(&self, target: &Target, grant: &Grant) -> Row {
        let facts = self.facts_of(target);
        let profile = self.profiles.of(&grant.entry.server_url).0.map(Into::into);
        let (title, client, shown) = self.shown(target, grant, facts);
        let pair = &grant.entry.pair;
        Row {
            id: grant.id.clone(),
            store: target.store.clone(),
            client,
            profile,
            name: grant.entry.server_name.clone(),
            title,
            url: shown_url(&grant.entry.server_url),
            health: shown.health,
            shape: shown.shape,
            phrase: shown.phrase,
            buttons: shown.buttons,
            exit: shown.exit,
            expires_at: pair.expires_at.filter(|end| *end != Wall(0)),
            next_renewal_at: self.next_renewal(target, grant),
            last_renewal_at: facts.renewed_at,
            renewed_by: facts.renewed_by,
            sign_in_ends_at: facts.sign_in_ends,
            has_refresh_token: pair.refresh.is_some(),
            issuer: grant
                .entry
                .issuer
                .clone()
                .or_else(|| facts.pin.as_ref().map(|pin| pin.issuer.clone())),
            scopes: grant.entry.scope.as_deref().map(scopes).unwrap_or_default(),
            tools: facts.tools,
            reason: self.reason(target, grant),
            issued_at: facts.issued_at.filter(|at| *at != Wall(0)),
            account: facts.account.clone(),
            approval: match self.standing(target, grant) {
                Standing::Approval { known, now } => Some(NewAddress { known, now }),
                Standing::LeftAlone(_)
                | Standing::NotSignedIn
                | Standing::Paused
                | Standing::CannotRenew(_)
                | Standing::SignInRequired(_)
                | Standing::Yielding(_)
                | Standing::Superseded
                | Standing::Renewable => None,
            },
            sign_in: self.sign_in_shown(target),
        }
        .harmless()
    }

    /// What a grant is called, who owns it, and how it stands.
    pub(super) fn shown(
        &self,
        target: &Target,
        grant: &Grant,
        facts: &GrantFacts,
    ) -> (String, String, health::Shown) {
        let title = self.title_of(grant);
        let client = self.infos.get(&target.store).map(|i| i.client.clone()).unwrap_or_default();
        let shown = health::show(&self.situation(target, grant, facts), &title, &client);
        (title, client, shown)
    }

    fn configured_row(&self, store: &StoreId, id: GrantId, server: &ConfiguredServer) -> Row {
        let (profile, title) = self.title(&server.url, &server.name);
        let client = self.infos.get(store).map(|i| i.client.clone()).unwrap_or_default();
        let signed_out = self.signed_out.contains(&(store.clone(), server.name.clone()));
        let target = server.key.clone().map(|key| Target { store: store.clone(), key });
        let signing_in = target.as_ref().and_then(|target| self.signing_in(target));
        let situation = signing_in.unwrap_or(Situation::NotSignedIn { signed_out });
        let shown = health::show(&situation, &title, &client);
        Row {
            id,
            store: store.clone(),
            client,
            profile,
            name: server.name.clone(),
            title,
            url: shown_url(&server.url),
            health: shown.health,
            shape: shown.shape,
            phrase: shown.phrase,
            buttons: shown.buttons,
            exit: shown.exit,
            expires_at: None,
            next_renewal_at: None,
            last_renewal_at: None,
            renewed_by: None,
            sign_in_ends_at: None,
            has_refresh_token: false,
            issuer: None,
            scopes: Vec::new(),
            tools: None,
            reason: None,
            issued_at: None,
            account: None,
            approval: None,
            sign_in: target.and_then(|target| self.sign_in_shown(&target)),
        }
        .harmless()
    }

    fn store_row(&self, store: &StoreId) -> Option<StoreRow> {
        let info = self.infos.get(store).filter(|_| self.is_shown(store))?;
        let seen = self.stores.get(store);
        let view = seen.and_then(|seen| seen.as_ref().ok());
        // Where nobody ever signed in there is no store, and nothing wrong with that.
        let fault = seen.and_then(|seen| seen.as_ref().err());
        let is_known = self.grants.in_store(store).next().is_some();
        let fault = fault.filter(|fault| is_known || !matches!(fault, StoreFault::Absent { .. }));
        let row = StoreRow {
            id: store.clone(),
            client: info.client.clone(),
            place: info.place.clone(),
            client_version: view.and_then(|view| view.client_version.clone()),
            fault: fault.map(ToString::to_string),
            advice: view.map(|view| view.advice.clone()).unwrap_or_default(),
        };
        Some(row.harmless())
    }

    /// The provider profile's short name, and what people call the server.
    pub(super) fn title(&self, url: &str, name: &str) -> (Option<String>, String) {
        match self.profiles.of(url) {
            (Some(short), profile) if !profile.name.is_empty() => {
                (Some(short.into()), profile.name.clone())
            }
            (short, _) => (short.map(Into::into), harmless::name(name)),
        }
    }

    fn situation(&self, target: &Target, grant: &Grant, facts: &GrantFacts) -> Situation {
        let ends = grant.entry.pair.expires_at;
        match self.stores.get(&target.store) {
            None => return Situation::Unknown,
            Some(Err(StoreFault::Locked { place })) => {
                let near_end = ends.is_some_and(|end| end <= self.now.wall + NEAR_END);
                return Situation::StoreLocked { place: place.clone(), near_end };
            }
            Some(Err(StoreFault::Absent { place })) => {
                return Situation::StoreAway { place: place.clone() };
            }
            Some(Err(_)) => return Situation::StoreBroken,
            Some(Ok(_)) => {}
        }
        if let Some(signing_in) = self.signing_in(target) {
            return signing_in;
        }
        let next = self.next_renewal(target, grant);
        if let Some(spare) = self.spares.about(target).find(|spare| spare.is_owed()) {
            // An earlier run left them behind, and they are on their way: nothing is wrong yet.
            if !spare.was_tried() && grant.failure.is_none() && self.mode != Mode::WatchOnly {
                return Situation::Refreshing;
            }
            let why = spare
                .unsaved
                .as_ref()
                .map_or_else(|| String::from("kept in Lamplighter's journal"), ToString::to_string);
            let next = spare.next_at().map(|at| self.now.wall + self.now.boot.until(at));
            return Situation::Saving { why, next };
        }
        if grant.flight.is_some() && !self.sign_outs.contains_key(target) {
            return Situation::Refreshing;
        }
        let ended = grant.has_ended(self.now);
        let refused = grant.refused_access(facts).is_some();
        match self.standing(target, grant) {
            Standing::LeftAlone(_) => Situation::LeftAlone,
            Standing::NotSignedIn => Situation::NotSignedIn { signed_out: false },
            Standing::Paused => Situation::Paused,
            Standing::CannotRenew(_) if self.is_refused_for_good(target, grant) => {
                Situation::Refused { renewed: false }
            }
            Standing::CannotRenew(_) if refused => self.refused_once(target, grant),
            Standing::CannotRenew(_) => Situation::CannotRenew { ends },
            Standing::SignInRequired(_) => Situation::SignInRequired,
            Standing::Superseded => {
                let why = grant.failure.as_ref().map(|failure| failure.told(&self.title_of(grant)));
                let next = grant.wait_until.map(|at| self.now.wall + self.now.boot.until(at));
                match (why, ended) {
                    (_, true) => Situation::Due { ended: ends.filter(|end| *end != Wall(0)) },
                    (Some(why), false) => Situation::Retrying { why, next },
                    (None, false) => Situation::Retrying { why: OUT_OF_REACH.into(), next: None },
                }
            }
            Standing::Approval { known, now } => Situation::Approval { known, now },
            Standing::Yielding(_) if self.is_refused_for_good(target, grant) => {
                Situation::Refused { renewed: facts.renewed_by == Some(Renewer::Lamplighter) }
            }
            Standing::Yielding(wiper) => Situation::StandingBy { version: wiper.version },
            Standing::Renewable if is_left_alone(grant) => Situation::LeftAlone,
            Standing::Renewable => match (&grant.failure, ended, facts.failing_since) {
                (Some(failure), ended, _)
                    if self.network == Some(false)
                        && failure.never_left()
                        && !is_here(&grant.entry.server_url) =>
                {
                    Situation::Offline { ended: ended || refused }
                }
                (Some(failure), false, _) if !refused => {
                    Situation::Retrying { why: failure.told(&self.title_of(grant)), next }
                }
                // No server is to blame for what keeps a store or the journal from being used.
                (Some(failure @ (Failure::Store(_) | Failure::Journal(_))), _, _) => {
                    Situation::Hindered { why: failure.told(&self.title_of(grant)), next }
                }
                (Some(_), _, since) => {
                    Situation::RetryingEnded { since: since.unwrap_or(self.now.wall), next }
                }
                (None, true, _) => Situation::Due { ended: ends.filter(|end| *end != Wall(0)) },
                (None, false, _) if self.is_refused_for_good(target, grant) => {
                    Situation::Refused { renewed: facts.renewed_by == Some(Renewer::Lamplighter) }
                }
                (None, false, _) if grant.is_refused_after_renewal(facts) => {
                    self.refused_once(target, grant)
                }
                (None, false, _) if refused => Situation::DueRefused,
                (None, false, _) => {
                    let kept = self.mode == Mode::Keep;
                    Situation::Healthy {
                        ends,
                        next: next.filter(|_| kept),
                        due: next.filter(|at| !kept && *at > self.now.wall),
                    }
                }
            },
        }
    }

    /// A refusal that would need a person, and is asked about once more.
    fn refused_once(&self, target: &Target, grant: &Grant) -> Situation {
        let why = format!("{} refused this token once", self.title_of(grant));
        let next = self.refusal_asked_at(target, grant);
        let next = next.map(|at| self.now.wall + self.now.boot.until(at));
        Situation::Retrying { why, next }
    }

    fn title_of(&self, grant: &Grant) -> String {
        self.title(&grant.entry.server_url, &grant.entry.server_name).1
    }

    /// When it is renewed, or should be; `None` where it cannot be.
    fn next_renewal(&self, target: &Target, grant: &Grant) -> Option<Wall> {
        if self.standing(target, grant) != Standing::Renewable || is_left_alone(grant) {
            return None;
        }
        Some(match self.next(target, grant) {
            Next::At(at, _) => self.now.wall + self.now.boot.until(at),
            Next::Now
            | Next::After(_)
            | Next::StandBy(_)
            | Next::Review(_)
            | Next::Give(_)
            | Next::Never => self.due(target, grant).max(self.now.wall),
        })
    }

    /// When it is tried again by itself, once nobody asks any more.
    pub(super) fn planned(&self, target: &Target) -> Option<Wall> {
        let unasked = Grant { asked: Asked::No, ..self.grants.get(target)?.clone() };
        self.next_renewal(target, &unasked)
    }

    fn reason(&self, target: &Target, grant: &Grant) -> Option<String> {
        if let Some(Err(fault)) = self.stores.get(&target.store) {
            return Some(fault.to_string());
        }
        match self.standing(target, grant) {
            Standing::SignInRequired(why) | Standing::CannotRenew(why) => Some(why),
            Standing::LeftAlone(why) => Some(self.left_alone_words(grant, why)),
            Standing::Yielding(wiper) => Some(self.standing_words(target, &wiper)),
            Standing::Renewable if grant.failure.is_none() => {
                self.waits_after_lost(target, grant).map(|_| LOST.into())
            }
            Standing::Superseded if grant.failure.is_none() => Some(OUT_OF_REACH.into()),
            Standing::NotSignedIn
            | Standing::Paused
            | Standing::Approval { .. }
            | Standing::Superseded
            | Standing::Renewable => {
                grant.failure.as_ref().map(|failure: &Failure| failure.told(&self.title_of(grant)))
            }
        }
    }
}

/// Whether the last renewal met that its tokens may not travel where they would have to.
fn is_left_alone(grant: &Grant) -> bool {
    grant.failure.as_ref().is_some_and(Failure::leaves_alone)
}

/// Whether a server is on this very machine, and therefore needs no network.
fn is_here(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.host().is_some_and(|host| is_this_machine(&host)))
}

/// A URL as it may be shown: without user info, query and fragment.
fn shown_url(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return String::from("an unreadable address");
    };
    url.set_query(None);
    url.set_fragment(None);
    // Neither can fail on a URL with a host; on one without, there is nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}
