//! What becomes of refresh tokens that are used once, twice, late and by others.

use crate::tests::{minted, refresh, tokens};
use crate::{Dialect, ExpiresIn, GraceAnswer, Mint, Outcome, Rehearsal, Rotation, short_id};

#[test]
fn a_refresh_gives_a_new_pair_and_is_recorded() {
    let (town, control, grant) = minted(Rehearsal::builder());
    let answer = refresh(&town, &grant, &grant.refresh_token);
    assert_eq!(answer.status, 200);
    let (access, next) = tokens(&answer);
    assert_ne!(next, grant.refresh_token);
    assert!(control.is_access_live(&access) && control.is_access_live(&grant.access_token));
    assert!(control.is_refresh_live(&next) && !control.is_refresh_live(&grant.refresh_token));
    assert_eq!(control.newest_pair_of(&grant.refresh_token), (access, next));
    let seen = control.refreshes();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].outcome, Outcome::Issued);
    assert_eq!(seen[0].refresh_token_short_id, short_id(&grant.refresh_token));
    assert_eq!(seen[0].user_agent, "raw/1");
    assert_eq!(seen[0].resource, Some(town.mcp_url()));
    assert!(!seen[0].reuse);
    assert_eq!(control.violations(), [""; 0]);
}

#[test]
fn a_spent_token_ends_the_whole_family_under_strict_rotation() {
    let (town, control, grant) = minted(Rehearsal::builder());
    let (access, next) = tokens(&refresh(&town, &grant, &grant.refresh_token));
    let again = refresh(&town, &grant, &grant.refresh_token);
    assert_eq!((again.status, &again.json()["error"]), (400, &"invalid_grant".into()));
    assert!(!control.is_access_live(&access) && !control.is_refresh_live(&next));
    assert!(control.refreshes()[1].reuse);
    assert_eq!(refresh(&town, &grant, &next).json()["error"], "invalid_grant");
}

#[test]
fn within_grace_the_previous_token_gets_the_same_pair_and_later_ends_the_family() {
    let rotation = Rotation::Grace { ms: 300, answer: GraceAnswer::SamePair };
    let (town, control, grant) = minted(Rehearsal::builder().rotation(rotation));
    let first = tokens(&refresh(&town, &grant, &grant.refresh_token));
    let second = tokens(&refresh(&town, &grant, &grant.refresh_token));
    assert_eq!(first, second);
    assert!(control.refreshes()[1].reuse);
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(refresh(&town, &grant, &grant.refresh_token).json()["error"], "invalid_grant");
    assert!(!control.is_refresh_live(&first.1));
}

#[test]
fn within_grace_the_previous_token_can_get_one_more_pair() {
    let rotation = Rotation::Grace { ms: 60_000, answer: GraceAnswer::NewPair };
    let (town, control, grant) = minted(Rehearsal::builder().rotation(rotation));
    let first = tokens(&refresh(&town, &grant, &grant.refresh_token));
    let second = tokens(&refresh(&town, &grant, &grant.refresh_token));
    assert_ne!(first, second);
    assert!(control.is_refresh_live(&second.1) && !control.is_refresh_live(&first.1));
}

#[test]
fn the_previous_token_stays_good_until_the_new_one_is_used() {
    let (town, control, grant) = minted(Rehearsal::builder().rotation(Rotation::PreviousUntilUse));
    let lost = tokens(&refresh(&town, &grant, &grant.refresh_token));
    let kept = tokens(&refresh(&town, &grant, &grant.refresh_token));
    assert!(!control.is_refresh_live(&lost.1) && control.is_refresh_live(&grant.refresh_token));
    let newest = tokens(&refresh(&town, &grant, &kept.1));
    assert!(!control.is_refresh_live(&grant.refresh_token));
    assert_eq!(refresh(&town, &grant, &grant.refresh_token).json()["error"], "invalid_grant");
    assert!(control.is_refresh_live(&newest.1), "reuse ends nothing here");
}

#[test]
fn without_rotation_the_token_stays_the_same() {
    let builder = Rehearsal::builder().rotation(Rotation::None).revoke_old_access(true);
    let (town, control, grant) = minted(builder);
    let (access, same) = tokens(&refresh(&town, &grant, &grant.refresh_token));
    assert_eq!(same, grant.refresh_token);
    assert!(control.is_access_live(&access) && !control.is_access_live(&grant.access_token));
    assert!(!refresh(&town, &grant, &same).body.is_empty());
    assert!(control.refreshes().iter().all(|seen| !seen.reuse));
}

#[test]
fn a_token_shown_by_another_client_is_refused_and_harms_nobody() {
    let (town, control, grant) = minted(Rehearsal::builder());
    let other = control.mint(Mint::default());
    assert_eq!(refresh(&town, &other, &grant.refresh_token).json()["error"], "invalid_grant");
    assert!(control.is_refresh_live(&grant.refresh_token));
    assert_eq!(control.violations(), ["refresh token presented by another client"]);
}

#[test]
fn each_dialect_has_its_own_words() {
    let slack = Rehearsal::builder().dialect(Dialect::Slack).expires_in(ExpiresIn::Text);
    let (town, _, grant) = minted(slack);
    let right = refresh(&town, &grant, &grant.refresh_token).json();
    assert_eq!((&right["ok"], &right["token_type"]), (&true.into(), &"user".into()));
    assert_eq!((&right["scope"], &right["expires_in"]), (&"read,write".into(), &"3600".into()));
    let wrong = refresh(&town, &grant, "nonsense");
    assert_eq!((wrong.status, &wrong.json()["error"]), (200, &"invalid_refresh_token".into()));

    let (town, _, grant) = minted(Rehearsal::builder().dialect(Dialect::GitHub));
    let wrong = refresh(&town, &grant, "nonsense");
    assert_eq!((wrong.status, &wrong.json()["error"]), (200, &"bad_refresh_token".into()));

    let created = Rehearsal::builder().dialect(Dialect::Created201).omit_refresh_token(true);
    let (town, control, grant) = minted(created.omit_scope(true));
    let right = refresh(&town, &grant, &grant.refresh_token);
    assert_eq!(right.status, 201);
    assert!(right.json().get("refresh_token").is_none() && right.json().get("scope").is_none());
    assert!(control.is_refresh_live(&grant.refresh_token));
}

#[test]
fn a_secret_is_held_against_the_registration_and_sent_once() {
    let town = Rehearsal::builder().start_blocking().unwrap();
    let control = town.control();
    let secret = Some("s3cret".to_owned());
    let grant = control.mint(Mint { client_secret: secret, ..Mint::default() });
    let wrong = refresh(&town, &grant, &grant.refresh_token);
    assert_eq!((wrong.status, &wrong.json()["error"]), (401, &"invalid_client".into()));
    let body = super::refresh_body(&town, &grant, &grant.refresh_token) + "&client_secret=s3cret";
    // Basic for "x:s3cret": two secrets are refused before anyone asks whose they are.
    let twice = "POST /token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Authorization: Basic eDpzM2NyZXQ=";
    super::send(&town.origin(), twice, &body).unwrap();
    assert_eq!(control.violations(), ["secret sent twice"]);
    assert_eq!(super::form(&town.origin(), "/token", &body).unwrap().status, 200);
}
