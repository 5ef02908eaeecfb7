//! Older tokens of the same sign-in that somebody writes over newer ones: a backup that is restored, a
//! client that writes back what it read before.

use super::{copies::COPY, waking::until_effect, *};
use crate::facts::GrantFacts;

const RENEW: &str = "claude-code/slack";

fn put_oldest(world: &mut World) {
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 10 * 60_000));
}

fn renew(world: &mut World, keeper: &mut Keeper) {
    world.act(keeper, Action::Renew(RENEW.into()));
}

/// A keeper that has renewed once, after which nothing is looked at any more.
fn renewed_once() -> (World, Keeper) {
    let mut world = World::new();
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert!(world.journal.is_empty());
    (world, keeper)
}

#[test]
fn an_older_pair_that_is_written_before_the_answer_comes_is_replaced() {
    let (mut world, mut keeper) = renewed_once();
    world.during_send = Some(put_oldest);
    renew(&mut world, &mut keeper);
    assert_eq!(world.pair(), ("at-2".into(), "rt-2".into()));
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn an_older_pair_that_is_written_while_nobody_runs_is_replaced_by_what_the_journal_holds() {
    let (mut world, mut keeper) = renewed_once();
    keeper.handle(Input::Act(Action::Renew(RENEW.into())), world.now);
    until_effect(&mut world, &mut keeper, |effect| matches!(effect, Effect::Write { .. }));
    put_oldest(&mut world);
    let mut keeper = world.start();
    assert_eq!(world.pair(), ("at-2".into(), "rt-2".into()));
    world.pass(&mut keeper, 2 * MINUTE);
    assert!(world.journal.is_empty());
}

#[test]
fn an_older_pair_that_is_written_after_the_save_is_replaced_at_most_twice() {
    let (mut world, mut keeper) = renewed_once();
    renew(&mut world, &mut keeper);
    for _ in 0..2 {
        put_oldest(&mut world);
        world.pass(&mut keeper, 36_000);
        assert_eq!(world.pair(), ("at-2".into(), "rt-2".into()));
    }
    put_oldest(&mut world);
    world.pass(&mut keeper, 5 * MINUTE);
    assert_eq!(world.pair().1, "rt-0", "its client goes on writing it: it keeps it");
    assert_eq!(world.presented(), ["rt-0", "rt-1"]);
}

#[test]
fn an_older_pair_of_another_client_is_not_replaced() {
    let (mut world, mut keeper) = renewed_once();
    renew(&mut world, &mut keeper);
    put_oldest(&mut world);
    let client = ClientCredentials { id: "another".into(), secret: None };
    world.entries.values_mut().for_each(|entry| entry.client = Some(client.clone()));
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair().1, "rt-0");
}

#[test]
fn an_older_pair_of_what_a_sign_in_replaces_does_not_overtake_it_before_or_after_the_save() {
    for after in [true, false] {
        let (mut world, mut keeper) = renewed_once();
        world.act(&mut keeper, Action::Reconnect(Reconnect::of(RENEW.into())));
        if after {
            world.come_back(&mut keeper, "code=good");
            assert_eq!(world.pair().1, "rt-signed");
            put_oldest(&mut world);
        } else {
            let busy = StoreFault::Busy { lock: "mcp-refresh".into() };
            world.lock_faults = VecDeque::from([busy]);
            world.come_back(&mut keeper, "code=good");
            put_oldest(&mut world);
        }
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.pair(), ("at-signed".into(), "rt-signed".into()), "after: {after}");
        let signed_in = world.events.iter().any(|e| matches!(e, Event::SignedIn { .. }));
        assert!(signed_in, "after: {after}");
    }
}

#[test]
fn tokens_on_their_way_go_to_a_copy_that_holds_an_older_token_where_the_entry_is_signed_out() {
    let mut world = World::new();
    world.copy_folder();
    let target = Target { store: COPY.into(), key: "slack|0".into() };
    world.facts.grants.insert(target, GrantFacts { paused: true, ..GrantFacts::default() });
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    world.during_send = Some(|world| world.entries.clear());
    renew(&mut world, &mut keeper);
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.copied_pair(), ("at-2".into(), "rt-2".into()));
    assert_eq!(world.server.revoked, [""; 0]);
}

#[test]
fn an_answer_that_could_not_be_read_outlives_an_older_pair_that_is_written_back() {
    let (mut world, mut keeper) = renewed_once();
    world.bodies = VecDeque::from([b"<html>".as_slice()]);
    world.server.weather = VecDeque::from([Weather::Fine, Weather::CutBefore]);
    renew(&mut world, &mut keeper);
    put_oldest(&mut world);
    world.look(&mut keeper);
    world.pass(&mut keeper, 2 * MINUTE);
    let raw = |record: &Record| matches!(record.stage, crate::journal::Stage::Raw(_));
    assert!(world.journal.values().any(raw), "a later version may read it");
    let mark = crate::ids::TokenMark::of(&MarkKey([1; 32]), &Secret::new("rt-1"));
    assert!(world.facts.lost.contains_key(&mark), "and its token may be spent");
}
