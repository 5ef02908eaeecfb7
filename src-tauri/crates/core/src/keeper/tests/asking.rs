//! When servers are asked whether they accept their tokens.

use super::*;

/// How often the server was asked so far.
fn asked(world: &World) -> usize {
    world.events.iter().filter(|event| matches!(event, Event::Checked { .. })).count()
}

fn healthy() -> World {
    let mut world = World::new();
    world.server.life_seconds = Some(12 * 3_600);
    world
}

#[test]
fn a_keeper_asks_each_server_about_once_a_day() {
    let mut world = healthy();
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(asked(&world), 1);
    assert_eq!(keeper.snapshot().rows[0].tools, Some(3));
    world.pass(&mut keeper, 20 * 60 * MINUTE);
    assert_eq!(asked(&world), 1);
    world.pass(&mut keeper, 5 * 60 * MINUTE);
    assert_eq!(asked(&world), 2);
}

#[test]
fn the_day_is_remembered_across_restarts() {
    let mut world = healthy();
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    for _ in 0..5 {
        let mut keeper = world.start();
        world.pass(&mut keeper, 2 * MINUTE);
    }
    assert_eq!(asked(&world), 1);
}

#[test]
fn a_wake_asks_once_more_but_never_twice_in_ten_minutes() {
    let mut world = healthy();
    let mut keeper = world.start();
    world.pass(&mut keeper, 30 * MINUTE);
    assert_eq!(asked(&world), 1);
    for _ in 0..8 {
        keeper.handle(Input::Woke(WokeWhy::Resumed), world.now);
        world.pass(&mut keeper, MINUTE);
    }
    assert_eq!(asked(&world), 2);
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(asked(&world), 3);
}

#[test]
fn a_refused_renewal_with_time_left_asks_whether_the_token_still_works() {
    let mut world = healthy();
    let mut keeper = world.start();
    world.pass(&mut keeper, 30 * MINUTE);
    world.server.weather = VecDeque::from([Weather::InvalidRequest]);
    let id = keeper.snapshot().rows[0].id.clone();
    keeper.handle(Input::Act(Action::Renew(id)), world.now);
    world.settle(&mut keeper);
    assert_eq!(asked(&world), 2);
}

#[test]
fn a_person_may_ask_as_often_as_they_like() {
    let mut world = healthy();
    let mut keeper = world.start();
    let id = keeper.snapshot().rows[0].id.clone();
    for _ in 0..3 {
        keeper.handle(Input::Act(Action::Check(id.clone())), world.now);
        world.settle(&mut keeper);
    }
    assert_eq!(asked(&world), 3);
}

#[test]
fn a_refusal_is_a_reason_to_renew_once_and_shows_when_that_does_not_help() {
    let mut world = healthy();
    world.accepts_probe = false;
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Refused);
    assert_eq!(world.server.presented.len(), 2);
}

#[test]
fn nobody_is_asked_where_that_is_turned_off_or_where_no_keeper_stays() {
    for (mode, probes) in [(Mode::Keep, false), (Mode::OnRequest, true)] {
        let mut world = healthy();
        (world.mode, world.probes) = (mode, probes);
        let mut keeper = world.start();
        world.pass(&mut keeper, 60 * MINUTE);
        keeper.handle(Input::Woke(WokeWhy::Resumed), world.now);
        world.pass(&mut keeper, 60 * MINUTE);
        assert_eq!(asked(&world), 0, "{mode:?}");
    }
}

#[test]
fn facts_that_could_not_be_kept_are_offered_each_minute_and_at_the_end_and_the_journal_waits_for_them()
 {
    for ends in [false, true] {
        let mut world = World::new();
        world.state_broken = true;
        let mut keeper = world.start();
        let wakes = world.wakes_in(&mut keeper, 20 * MINUTE);
        assert!((20..60).contains(&wakes), "{wakes}");
        assert_eq!(world.journal.len(), 1, "what says that the old token is spent");
        assert_eq!(world.facts, Facts::default());
        world.state_broken = false;
        if ends {
            keeper.handle(Input::Stopping, world.now);
            world.settle(&mut keeper);
        } else {
            world.pass(&mut keeper, MINUTE);
        }
        assert_eq!(world.facts.spent, keeper.facts.facts().spent);
        assert_eq!(world.facts.spent.len(), 1);
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.journal.is_empty(), !ends);
    }
}

#[test]
fn facts_that_could_not_be_kept_come_again_with_the_next_change_and_not_at_once() {
    let mut world = World::new();
    let mut keeper = world.start();
    keeper.handle(Input::RememberFailed(not_kept()), world.now);
    let mut changes = core::iter::from_fn(|| keeper.poll_effect());
    assert!(changes.next().is_none(), "a disk that is full is not asked again at once");
    world.facts = Facts::default();
    keeper.handle(Input::Act(Action::Pause("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.facts, *keeper.facts.facts());
    keeper.handle(Input::Act(Action::Resume("claude-code/slack".into())), world.now);
    let change = core::iter::from_fn(|| keeper.poll_effect()).find_map(|effect| match effect {
        Effect::Remember { change } => Some(change),
        _ => None,
    });
    let change = change.unwrap();
    assert!(!change.afresh && change.grants.len() == 1 && change.stores.is_empty(), "{change:?}");
}
