//! Which scopes a sign-in asks for.
//!
//! The order is the MCP specification's: what the challenge names, else what the resource's metadata
//! lists, else nothing, so that the server gives what it gives. A profile speaks before "nothing",
//! for servers that refuse a request without scopes. No relation between these lists is assumed.

use alloc::{string::String, vec::Vec};

use super::{
    challenge::{MOST_SCOPES, each_once, scope_tokens},
    discovery::Discovered,
    wire,
};
use crate::oauth::profile::Profile;

/// The scope that asks for a refresh token (OIDC Core §11).
pub const OFFLINE_ACCESS: &str = "offline_access";

/// The scopes of a first sign-in, each once; empty: `scope` is not sent.
pub fn choose(found: &Discovered, profile: &Profile) -> Vec<String> {
    let sources = [&found.challenge_scopes, &found.resource_scopes, &profile.scopes];
    let named = sources.into_iter().find(|scopes| !scopes.is_empty());
    let named = named.map(|scopes| each_once(scopes.iter().map(String::as_str)));
    with_offline_access(named.unwrap_or_default(), found, profile)
}

/// The scopes of a sign-in that gets more: what was granted before and what the challenge of a 403
/// names, together, so that nothing that worked is lost. `granted` is the stored text.
///
/// Asking again is worth it only where this is more than what was asked for before.
pub fn step_up(granted: Option<&str>, found: &Discovered, profile: &Profile) -> Vec<String> {
    let granted = granted.map(wire::scopes).unwrap_or_default();
    if granted.is_empty() && found.challenge_scopes.is_empty() {
        return choose(found, profile);
    }
    let both = granted.iter().chain(&found.challenge_scopes);
    with_offline_access(each_once(both.map(String::as_str)), found, profile)
}

/// The scope of a refresh, where the provider wants it repeated. One that has to be asked for a
/// refresh token with a scope has to be asked again, although that scope is never among those granted.
pub fn at_refresh(granted: Option<&str>, profile: &Profile) -> Option<String> {
    let granted = granted.filter(|_| profile.send_scope == Some(true))?;
    let mut repeated = wire::scopes(granted);
    let asks = profile.offline_access == Some(true);
    if asks && !repeated.is_empty() && !repeated.iter().any(|scope| scope == OFFLINE_ACCESS) {
        repeated.push(OFFLINE_ACCESS.into());
    }
    Some(repeated.join(" "))
}

/// Whether `asked` holds a scope that `before`, the text of an earlier request or grant, does not.
pub fn is_more(asked: &[String], before: &str) -> bool {
    let before = scope_tokens(before);
    asked.iter().any(|scope| !before.contains(scope))
}

/// `offline_access` goes with other scopes where the server lists it or the profile knows better.
/// Alone it would turn "whatever you give" into "nothing but this".
fn with_offline_access(
    mut scopes: Vec<String>,
    found: &Discovered,
    profile: &Profile,
) -> Vec<String> {
    if profile.offline_access == Some(false) {
        scopes.retain(|scope| scope != OFFLINE_ACCESS);
        return scopes;
    }
    let listed = found.server.scopes.iter().any(|scope| scope == OFFLINE_ACCESS);
    let wanted = profile.offline_access == Some(true) || listed;
    let has_room = !scopes.is_empty() && scopes.len() < MOST_SCOPES;
    if wanted && has_room && !scopes.iter().any(|scope| scope == OFFLINE_ACCESS) {
        scopes.push(OFFLINE_ACCESS.into());
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::discovery::sign_in_tests::discovered;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|t| (*t).into()).collect()
    }

    fn found(challenge: &[&str], resource: &[&str], server: &[&str]) -> Discovered {
        let mut found = discovered("https://as.example");
        found.challenge_scopes = texts(challenge);
        found.resource_scopes = texts(resource);
        found.server.scopes = texts(server);
        found
    }

    fn with_scopes(scopes: &[&str]) -> Profile {
        Profile { scopes: texts(scopes), ..Profile::default() }
    }

    #[test]
    fn the_challenge_speaks_before_the_metadata_and_that_before_the_profile() {
        let profile = with_scopes(&["p"]);
        assert_eq!(choose(&found(&["c"], &["r"], &["s"]), &profile), ["c"]);
        assert_eq!(choose(&found(&[], &["r", "r"], &["s"]), &profile), ["r"]);
        assert_eq!(choose(&found(&[], &[], &["s"]), &profile), ["p"]);
        assert!(choose(&found(&[], &[], &["s"]), &Profile::default()).is_empty());
    }

    #[test]
    fn offline_access_is_asked_only_where_it_is_known() {
        let plain = Profile::default();
        let yes = Profile { offline_access: Some(true), ..Profile::default() };
        let no = Profile { offline_access: Some(false), ..Profile::default() };
        let listed = found(&[], &["r"], &["s", OFFLINE_ACCESS]);
        let unlisted = found(&[], &["r"], &["s"]);
        assert_eq!(choose(&listed, &plain), ["r", OFFLINE_ACCESS]);
        assert_eq!(choose(&unlisted, &plain), ["r"]);
        assert_eq!(choose(&unlisted, &yes), ["r", OFFLINE_ACCESS]);
        assert_eq!(choose(&listed, &no), ["r"]);
        assert_eq!(choose(&found(&[OFFLINE_ACCESS, "c"], &[], &[]), &no), ["c"]);
        assert_eq!(
            choose(&found(&[OFFLINE_ACCESS], &[], &[OFFLINE_ACCESS]), &plain),
            [OFFLINE_ACCESS]
        );
        assert!(choose(&found(&[], &[], &[OFFLINE_ACCESS]), &yes).is_empty());
    }

    #[test]
    fn a_refresh_repeats_scopes_only_where_that_is_wanted() {
        let mut profile = Profile::default();
        assert_eq!(at_refresh(Some("a b"), &profile), None);
        profile.send_scope = Some(true);
        assert_eq!(at_refresh(Some("a,b"), &profile).as_deref(), Some("a b"));
        assert_eq!(at_refresh(None, &profile), None);
        profile.offline_access = Some(true);
        assert_eq!(at_refresh(Some("a"), &profile).as_deref(), Some("a offline_access"));
        let has = Some("offline_access a");
        assert_eq!(at_refresh(has, &profile).as_deref(), has);
        assert_eq!(at_refresh(Some(""), &profile).as_deref(), Some(""));
    }

    #[test]
    fn a_step_up_loses_nothing_that_was_granted() {
        let more = step_up(Some("a,b"), &found(&["b", "c"], &["r"], &[]), &Profile::default());
        assert_eq!(more, ["a", "b", "c"]);
        assert!(is_more(&more, "a b"));
        assert!(!is_more(&more, "c b a"));
        assert_eq!(step_up(None, &found(&["c"], &["r"], &[]), &Profile::default()), ["c"]);
        assert_eq!(step_up(Some(""), &found(&[], &["r"], &[]), &Profile::default()), ["r"]);
    }
}
