//! A server that no longer takes an access token: a reason to renew it, and only afterwards to ask.

use super::*;

const SLACK: &str = "claude-code/slack";

/// A world in which the token was just renewed and lasts an hour.
fn renewed() -> (World, Keeper) {
    let mut world = World::new();
    let mut keeper = world.start();
    world.pass(&mut keeper, 70_000);
    assert_eq!(world.pair().0, "at-1");
    (world, keeper)
}

fn mark(world: &World) -> AuthVerdict {
    AuthVerdict { server_name: "slack".into(), at: world.now.wall, left_alone: false }
}

#[test]
fn a_refused_access_token_is_renewed_at_once_and_nobody_is_asked() {
    let (mut world, mut keeper) = renewed();
    world.refuse_access();
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!(world.pair(), ("at-2".into(), "rt-2".into()));
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert_eq!(world.notices(), []);
    let asked: Vec<_> =
        world.events.iter().filter(|e| matches!(e, Event::Checked { .. })).collect();
    assert!(matches!(asked.last(), Some(Event::Checked { accepted: Some(true), .. })), "{asked:?}");
    assert!(keeper.is_settled(&SLACK.into()));
}

#[test]
fn one_refusal_of_a_renewed_token_is_asked_about_again_a_minute_later_before_anybody_is_told() {
    let mut world = World::new();
    world.server.life_seconds = Some(12 * 3_600);
    let mut keeper = world.start();
    world.refuse_access();
    world.refused.insert("at-2".into());
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!(world.pair().0, "at-2");
    assert_eq!((world.health(&keeper), world.notices()), (Health::Retrying, vec![]));
    world.pass(&mut keeper, 59_000);
    assert_eq!(world.health(&keeper), Health::Retrying);
    // Its other half needed a moment to hear of the new token.
    world.refused.clear();
    world.pass(&mut keeper, 2_000);
    assert_eq!((world.health(&keeper), world.notices()), (Health::Healthy, vec![]));
}

#[test]
fn a_refusal_that_stands_is_asked_about_again_each_hour() {
    let mut world = World::new();
    world.server.life_seconds = Some(7 * 24 * 3_600);
    let mut keeper = world.start();
    world.accepts_probe = false;
    world.act(&mut keeper, Action::Check(SLACK.into()));
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Refused);
    assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
    let asked = |world: &World| {
        world.events.iter().filter(|event| matches!(event, Event::Checked { .. })).count()
    };
    let before = asked(&world);
    world.pass(&mut keeper, 5 * 60 * MINUTE + MINUTE);
    assert_eq!(asked(&world) - before, 5);
    world.accepts_probe = true;
    world.pass(&mut keeper, 61 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn what_was_told_is_told_once_though_the_server_says_nothing_of_the_next_token_for_a_while() {
    for mended in [false, true] {
        let mut world = World::new();
        let mut keeper = world.start();
        world.accepts_probe = false;
        world.act(&mut keeper, Action::Check(SLACK.into()));
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
        world.no_probe = true;
        let before = world.pair();
        world.act(&mut keeper, Action::Renew(SLACK.into()));
        assert_ne!(world.pair(), before);
        world.pass(&mut keeper, 5 * MINUTE);
        (world.no_probe, world.accepts_probe) = (false, mended);
        world.pass(&mut keeper, 20 * MINUTE);
        assert_eq!(world.health(&keeper) == Health::Healthy, mended);
        assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
        let is_over = |event: &Event| matches!(event, Event::NoticeWithdrawn { .. });
        assert_eq!(world.events.iter().any(is_over), mended, "{:?}", world.events);
    }
}

#[test]
fn a_fresh_needs_auth_mark_whose_probe_is_refused_makes_it_renew_and_is_withdrawn() {
    let (mut world, mut keeper) = renewed();
    world.pass(&mut keeper, 11 * MINUTE);
    world.refuse_access();
    world.verdicts = vec![mark(&world)];
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.pair().0, "at-2");
    assert!(world.verdicts.is_empty());
    assert_eq!(world.notices(), []);
}

#[test]
fn the_daily_probe_makes_it_renew_too() {
    let mut world = World::new();
    world.server.life_seconds = Some(7 * 24 * 3_600);
    let mut keeper = world.start();
    world.refuse_access();
    world.pass(&mut keeper, 25 * 60 * MINUTE);
    assert_eq!(world.pair().0, "at-2");
    assert_eq!(world.notices(), []);
}

#[test]
fn a_refusal_that_was_met_before_the_end_of_the_process_is_due_at_the_next_start() {
    let (mut world, mut keeper) = renewed();
    world.refuse_access();
    world.server.weather = VecDeque::from(vec![Weather::Unreachable; 3]);
    world.act(&mut keeper, Action::Check(SLACK.into()));
    drop(keeper);
    world.server.weather.clear();
    let keeper = world.start();
    assert_eq!(world.pair().0, "at-2");
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_mark_that_stands_at_the_start_is_asked_about_and_the_refused_token_renewed() {
    let (mut world, keeper) = renewed();
    drop(keeper);
    world.now.wall = world.now.wall + Millis::minutes(11);
    world.now.boot = world.now.boot + Millis::minutes(11);
    world.refuse_access();
    world.verdicts = vec![mark(&world)];
    world.start();
    assert_eq!(world.pair().0, "at-2");
    assert_eq!(world.notices(), []);
}

#[test]
fn a_server_that_refuses_the_renewed_token_too_is_told_once_and_asked_for_no_third() {
    let (mut world, mut keeper) = renewed();
    world.accepts_probe = false;
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!(world.pair().0, "at-2");
    world.pass(&mut keeper, MINUTE);
    assert_eq!(world.health(&keeper), Health::Refused);
    assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
    for _ in 0..5 {
        world.act(&mut keeper, Action::Check(SLACK.into()));
        world.verdicts = vec![mark(&world)];
        keeper.handle(world.seen(), world.now);
        world.pass(&mut keeper, 5 * MINUTE);
    }
    assert_eq!(world.server.presented.len(), 2, "never a loop");
    // Renewals by the schedule go on, each is proven, and the person is told no second time.
    world.pass(&mut keeper, 6 * 60 * MINUTE);
    assert!((6..=12).contains(&world.server.presented.len()), "{}", world.server.presented.len());
    assert_eq!(world.health(&keeper), Health::Refused);
    assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
    world.accepts_probe = true;
    world.pass(&mut keeper, 2 * 60 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert!(world.events.iter().any(|e| matches!(e, Event::NoticeWithdrawn { .. })));
}

#[test]
fn a_server_that_gives_the_same_access_token_again_is_not_asked_for_it_for_ever() {
    let (mut world, mut keeper) = renewed();
    world.refuse_access();
    world.bodies = VecDeque::from([
        br#"{"access_token":"at-1","refresh_token":"rt-2","expires_in":3600}"#.as_slice(),
    ]);
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!(world.pair(), ("at-1".into(), "rt-2".into()));
    world.pass(&mut keeper, 20 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Refused);
    assert_eq!(world.server.presented.len(), 2);
}

#[test]
fn tokens_that_a_server_refuses_again_and_again_are_each_renewed_once() {
    let (mut world, mut keeper) = renewed();
    for n in 2..6 {
        world.refuse_access();
        world.act(&mut keeper, Action::Check(SLACK.into()));
        assert_eq!(world.pair().0, format!("at-{n}"), "each was accepted in between");
        assert_eq!(world.health(&keeper), Health::Healthy);
    }
    assert_eq!(world.notices(), []);
}

#[test]
fn while_the_renewal_of_a_refused_token_fails_nobody_hears_that_the_sign_in_ended() {
    let (mut world, mut keeper) = renewed();
    world.refuse_access();
    world.server.weather = VecDeque::from(vec![Weather::Unreachable; 10_000]);
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!(world.health(&keeper), Health::RetryingEnded, "it does not work now");
    world.pass(&mut keeper, 5 * 60 * MINUTE);
    assert_eq!(world.notices(), []);
    world.pass(&mut keeper, 2 * 60 * MINUTE);
    assert_eq!(world.notices(), [NoticeCode::RenewalsFailing]);
    world.server.weather.clear();
    world.pass(&mut keeper, 6 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_refused_token_that_cannot_be_renewed_needs_a_sign_in_and_is_called_what_it_is() {
    let mut world = World::new();
    let mut bare = entry("slack", "at-0", "", world.now.wall.0 + 3_600_000);
    bare.pair.refresh = None;
    world.put(bare);
    world.refuse_access();
    let mut keeper = world.start();
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!((world.health(&keeper), world.notices()), (Health::Retrying, vec![]));
    world.pass(&mut keeper, 61_000);
    assert_eq!(world.health(&keeper), Health::Refused);
    assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
    let told = world.events.iter().find_map(|event| match event {
        Event::Notice(notice) => Some(notice.sentence.clone()),
        _ => None,
    });
    let told = told.unwrap();
    assert!(!told.contains("ended its sign-in"), "{told}");
    assert!(told.contains("no longer takes"), "{told}");
    // The server takes it again.
    world.refused.clear();
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!(world.health(&keeper), Health::NoRefreshToken);
}

#[test]
fn what_the_client_renewed_meanwhile_is_adopted_and_not_renewed_again() {
    let (mut world, mut keeper) = renewed();
    world.refuse_access();
    keeper.handle(Input::Act(Action::Check(SLACK.into())), world.now);
    world.server.live = BTreeSet::from(["rt-c".into()]);
    world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
    world.settle(&mut keeper);
    assert_eq!(world.pair().0, "at-c");
    assert_eq!(world.server.presented.len(), 1);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_one_shot_check_renews_what_the_server_refuses_and_comes_to_rest() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 3_600_000));
    world.refuse_access();
    let mut keeper = world.start();
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!(world.pair().0, "at-1");
    assert!(!keeper.is_busy());
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_paused_grant_is_not_renewed_because_its_token_is_refused() {
    let (mut world, mut keeper) = renewed();
    world.act(&mut keeper, Action::Pause(SLACK.into()));
    world.refuse_access();
    world.act(&mut keeper, Action::Check(SLACK.into()));
    world.pass(&mut keeper, 20 * MINUTE);
    assert_eq!(world.server.presented.len(), 1);
    assert_eq!(world.health(&keeper), Health::Paused);
}

#[test]
fn while_a_client_runs_that_would_wipe_it_a_refused_token_stands_by_without_a_notice() {
    let (mut world, mut keeper) = renewed();
    world.wiper = Some(Wiper { version: None });
    world.refuse_access();
    keeper.handle(world.seen(), world.now);
    world.act(&mut keeper, Action::Check(SLACK.into()));
    assert_eq!(world.health(&keeper), Health::StandingBy);
    assert_eq!((world.server.presented.len(), world.notices()), (1, vec![]));
    world.wiper = None;
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair().0, "at-2");
}

#[test]
fn a_copy_whose_access_token_is_refused_is_renewed_with_all_others_and_not_once_more() {
    let (mut world, mut keeper) = renewed();
    let mut copy = world.entries.values().next().unwrap().clone();
    copy.key = EntryKey("copy|0".into());
    copy.server_name = "copy".into();
    world.put(copy);
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    world.accepts_probe = false;
    world.act(&mut keeper, Action::Check(SLACK.into()));
    world.act(&mut keeper, Action::Check("claude-code/copy".into()));
    assert_eq!(world.server.presented.len(), 2);
}

#[test]
fn a_client_that_is_not_known_is_asked_about_again_a_minute_later_before_that_is_final() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidClient]);
    let mut keeper = world.start();
    assert_eq!(world.health(&keeper), Health::Retrying);
    assert_eq!(world.server.presented.len(), 1);
    world.pass(&mut keeper, 61_000);
    assert_eq!(world.pair().0, "at-1", "it was a mistake");
    assert_eq!(world.notices(), []);
}

#[test]
fn a_client_that_is_not_known_twice_a_minute_apart_needs_a_person_and_is_asked_about_no_more() {
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidClient, Weather::InvalidClient]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 59_000);
    assert_eq!(world.server.presented.len(), 1);
    world.pass(&mut keeper, 48 * 60 * MINUTE);
    assert_eq!(world.server.presented.len(), 2);
    assert_eq!(world.health(&keeper), Health::SignInRequired);
    assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
}

#[test]
fn a_secret_refused_by_both_methods_is_confirmed_by_both_once_more() {
    let mut world = World::new();
    let mut with_secret = entry("slack", "at-0", "rt-0", world.now.wall.0 + 60_000);
    with_secret.client = Some(ClientCredentials { id: "cl".into(), secret: secret("s") });
    world.put(with_secret);
    world.server.weather = VecDeque::from(vec![Weather::InvalidClient; 4]);
    let mut keeper = world.start();
    assert_eq!(world.server.presented.len(), 2);
    world.pass(&mut keeper, 61_000);
    assert_eq!(world.server.presented.len(), 4);
    assert_eq!(world.health(&keeper), Health::SignInRequired);
}

#[test]
fn two_marks_on_one_server_are_one_question() {
    let (mut world, mut keeper) = renewed();
    world.act(&mut keeper, Action::Pause(SLACK.into()));
    world.act(&mut keeper, Action::Resume(SLACK.into()));
    world.accepts_probe = false;
    world.server.weather = VecDeque::from(vec![Weather::Unreachable; 100]);
    world.verdicts = vec![mark(&world)];
    world.now.boot.0 += 10;
    world.now.wall.0 += 10;
    world.verdicts.push(mark(&world));
    keeper.handle(world.seen(), world.now);
    // Asserts that it comes to rest.
    world.act(&mut keeper, Action::RenewDue);
    let asked = world.events.iter().filter(|e| matches!(e, Event::Checked { .. })).count();
    assert!(asked <= 3, "{asked}");
}
