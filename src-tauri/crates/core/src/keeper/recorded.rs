//! Notes what an entry records of its server with the token that it holds, and says where that changed
//! while the token stayed.
//!
//! Computed from the entry and the note each time, so that it heals as soon as the entry says again what
//! it said. Read next: [`RecordedAnchor`].

use alloc::string::String;

use super::{Keeper, grant::Grant};
use crate::{
    ids::{Target, TokenMark},
    oauth::recorded::{AnchorMoved, RecordedAnchor},
};

impl Keeper {
    /// Where the entry leads now, if it led elsewhere when its token was first seen.
    pub(super) fn moved_record(&self, target: &Target, grant: &Grant) -> Option<AnchorMoved> {
        let noted = self.facts_of(target).recorded.as_ref()?;
        let is_its_own = token_mark(grant) == Some(noted.mark);
        let profile = self.profiles.of(&grant.entry.server_url).1;
        noted.moved(&grant.entry, profile).filter(|_| is_its_own)
    }

    /// Notes what the entry records. Tokens of another sign-in bring their own server; those that took
    /// the place of the noted ones belong to the server of the noted ones.
    pub(super) fn note_recorded(&mut self, target: &Target) {
        let Some(grant) = self.grants.get(target) else { return };
        let Some(mark) = token_mark(grant) else { return };
        let noted = self.facts_of(target).recorded.as_ref();
        let noted = noted.filter(|noted| self.facts.are_of_one_sign_in(noted.mark, mark));
        let noted = noted.or_else(|| self.noted_for_a_copy(grant));
        let profile = self.profiles.of(&grant.entry.server_url).1;
        let now = match noted {
            Some(noted) if noted.moved(&grant.entry, profile).is_some() => {
                RecordedAnchor { mark, ..noted.clone() }
            }
            Some(noted) => noted.completed(&grant.entry, mark),
            None => RecordedAnchor::of(&grant.entry, mark),
        };
        if self.facts_of(target).recorded.as_ref() != Some(&now) {
            self.facts_mut(target).recorded = Some(now);
        }
    }

    /// A person signed in here, or agreed to what the entry records.
    pub(super) fn note_recorded_anew(&mut self, target: &Target) {
        let Some(grant) = self.grants.get(target) else { return };
        let Some(mark) = token_mark(grant) else { return };
        let now = RecordedAnchor::of(&grant.entry, mark);
        self.facts_mut(target).recorded = Some(now);
    }

    /// The authorization server that gave the tokens, as far as it is recorded.
    pub(super) fn recorded_server(&self, target: &Target) -> Option<String> {
        let grant = self.grants.get(target)?;
        let noted = self.facts_of(target).recorded.as_ref();
        let noted = noted.filter(|_| self.moved_record(target, grant).is_some());
        let server = noted.and_then(|noted| noted.authorization_server.clone());
        server.or_else(|| grant.entry.authorization_server.clone())
    }

    /// What another entry noted for the same token of the same server.
    fn noted_for_a_copy(&self, grant: &Grant) -> Option<&RecordedAnchor> {
        let mark = grant.refresh_mark?;
        self.grants.holding(mark).find_map(|copy| {
            let same = self.grants.get(copy)?.entry.server_url == grant.entry.server_url;
            self.facts_of(copy).recorded.as_ref().filter(|noted| same && noted.mark == mark)
        })
    }
}

fn token_mark(grant: &Grant) -> Option<TokenMark> {
    grant.refresh_mark.or(grant.access_mark)
}
