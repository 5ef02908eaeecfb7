//! When a renewal would make things worse: a client is at work that wipes tokens it meets renewed.
//!
//! Only where the older access token may have died with the renewal, so a provider known to keep it
//! alive is renewed as ever. Nothing starts while such a client runs and the token is good; verdicts
//! are still withdrawn. After the token's end there is nothing left to lose.

use alloc::{format, string::String};

use super::{
    Keeper, Mode,
    failure::plain_http_words,
    grant::{Asked, Grant, Standing},
};
use crate::{
    health,
    ids::Target,
    oauth::recorded::AnchorMoved,
    store::{LeftAlone, Wiper},
    time::{Boot, Millis},
};

/// That a client has closed is told by nothing, so it is looked for: only while a renewal is due.
const LOOK_AGAIN: Millis = Millis::minutes(1);

impl Keeper {
    /// Where a grant stands, with what its entry recorded earlier and who else is at work.
    pub(super) fn standing(&self, target: &Target, grant: &Grant) -> Standing {
        if self.is_visited(&target.store) {
            return Standing::Paused;
        }
        let is_spent = self.holds_spent(grant);
        let standing = grant.standing(self.facts_of(target), is_spent, self.now);
        let is_stuck = matches!(standing, Standing::CannotRenew(_) | Standing::SignInRequired(_));
        if is_stuck && is_spent && self.newer(target, grant).is_some() {
            return Standing::Superseded;
        }
        if matches!(standing, Standing::Renewable | Standing::Approval { .. }) {
            if self.plain_host(grant).is_some() {
                return Standing::LeftAlone(LeftAlone::PlainHttp);
            }
            if let Some(AnchorMoved { known, now }) = self.moved_record(target, grant) {
                return Standing::Approval { known, now };
            }
        }
        if standing != Standing::Renewable || grant.has_ended(self.now) {
            return standing;
        }
        self.wiper(target, grant).map_or(Standing::Renewable, Standing::Yielding)
    }

    /// The host, its own or that of its sign-in server, to which its tokens would travel without TLS
    /// although the user does not let it in.
    fn plain_host(&self, grant: &Grant) -> Option<String> {
        let entry = &grant.entry;
        let recorded = [entry.authorization_server.as_deref(), entry.issuer.as_deref()];
        let places = [Some(entry.server_url.as_str())].into_iter().chain(recorded);
        places.flatten().find_map(|url| self.plain_http.refused(url))
    }

    /// Why it is left to its client, whatever a renewal would meet.
    pub(super) fn left_alone_words(&self, grant: &Grant, why: LeftAlone) -> String {
        match why {
            LeftAlone::EnterpriseManaged => {
                "enterprise-managed sign-in belongs to the client".into()
            }
            LeftAlone::UnknownShape => "its entry has a shape this version does not know".into(),
            LeftAlone::PlainHttp => plain_http_words(&self.plain_host(grant).unwrap_or_default()),
        }
    }

    pub(super) fn is_standing_by(&self, target: &Target) -> bool {
        let standing = self.grants.get(target).map(|grant| self.standing(target, grant));
        matches!(standing, Some(Standing::Yielding(_)))
    }

    /// The client that would wipe this grant, in its own store or in one that holds a copy: all
    /// copies are renewed at once or not at all.
    fn wiper(&self, target: &Target, grant: &Grant) -> Option<Wiper> {
        let wiper = |of: &Target| self.stores.get(&of.store)?.as_ref().ok()?.wiper.clone();
        let wiper = match grant.refresh_mark {
            Some(mark) => self.grants.holding(mark).find_map(|copy| wiper(copy)),
            None => wiper(target),
        }?;
        let profile = self.profiles.of(&grant.entry.server_url).1;
        (profile.keeps_old_access != Some(true)).then_some(wiper)
    }

    /// When a grant that stands by is weighed again by the clock alone: when it is due, then at its
    /// end.
    pub(super) fn stands_until(&self, target: &Target, grant: &Grant) -> Option<Boot> {
        let due = self.due(target, grant);
        let at = if due > self.now.wall { Some(due) } else { grant.entry.pair.expires_at };
        at.map(|at| self.now.boot_at(at))
    }

    /// Due or asked for, and not now: whoever asked is told, and the store is looked at again.
    pub(super) fn stand_by(&mut self, target: &Target) {
        self.settle_never(target);
        let Some(grant) = self.grants.get(target) else {
            return;
        };
        let is_due = self.due(target, grant) <= self.now.wall;
        if self.mode == Mode::Keep && grant.asked == Asked::No && is_due {
            let at = self.now.boot + LOOK_AGAIN;
            self.relooks.add(&target.store, at);
        }
    }

    /// Why it stands by, and what helps.
    pub(super) fn standing_words(&self, target: &Target, wiper: &Wiper) -> String {
        let client = self.infos.get(&target.store).map_or("the client", |info| &info.client);
        format!(
            "{} is open and would lose the new sign-in; it is renewed when that is closed or updated, \
             or when the token has ended",
            health::versioned(client, wiper.version.as_deref())
        )
    }
}
