//! Sleep, wake and the lack of a network.

use super::*;
use crate::ids::TokenMark;

#[test]
fn no_refresh_starts_into_a_sleep() {
    let mut world = World::new();
    let mut keeper = world.keeper();
    keeper.handle(Input::FallingAsleep, world.now);
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    assert!(world.server.presented.is_empty());
    assert!(!keeper.is_in_the_air());
    // On the way down routes go and come.
    for why in [WokeWhy::RouteChanged, WokeWhy::ClockStepped] {
        keeper.handle(Input::Woke(why), world.now);
        world.pass(&mut keeper, 10_000);
        assert!(world.server.presented.is_empty(), "{why:?} is no resume");
    }
    keeper.handle(Input::Woke(WokeWhy::Resumed), world.now);
    world.pass(&mut keeper, 10_000);
    assert_eq!(world.server.presented.len(), 1);
}

#[test]
fn a_refresh_that_has_not_sent_yet_is_put_off_by_a_sleep_and_done_afterwards() {
    let mut world = World::new();
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    // It looks for the endpoint; then the signal comes.
    keeper.handle(Input::FallingAsleep, world.now);
    world.settle(&mut keeper);
    assert!(world.server.presented.is_empty());
    assert!(!keeper.is_in_the_air(), "nothing may hold the sleep up");
    world.now.boot.0 += 3_600_000;
    world.now.wall.0 += 3_600_000;
    keeper.handle(Input::Woke(WokeWhy::Resumed), world.now);
    world.pass(&mut keeper, 10_000);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert!(world.journal.values().all(|record| record.stage != crate::journal::Stage::Intent));
}

#[test]
fn a_sleep_that_never_comes_is_over_after_a_minute() {
    let mut world = World::new();
    let mut keeper = world.keeper();
    keeper.handle(Input::FallingAsleep, world.now);
    keeper.handle(world.seen(), world.now);
    world.pass(&mut keeper, MINUTE + 5_000);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn after_a_wake_all_is_renewed_within_seconds_and_not_all_at_once() {
    let mut world = World::new();
    world.entries.clear();
    for n in 0..20 {
        let (access, refresh) = (format!("at-{n}"), format!("rt-own-{n}"));
        world.server.live.insert(refresh.clone());
        world.put(entry(&format!("s{n}"), &access, &refresh, world.now.wall.0 + 60 * 60_000));
    }
    world.facts.stores.entry(STORE.into()).or_default().proven = true;
    let mut keeper = world.start();
    assert!(world.server.presented.is_empty());
    world.now.boot.0 += 3_600_000;
    world.now.wall.0 += 3_600_000;
    keeper.handle(Input::Woke(WokeWhy::Resumed), world.now);
    world.settle(&mut keeper);
    let at_once = world.server.presented.len();
    assert!(at_once < 10, "{at_once} at once");
    world.pass(&mut keeper, 4_000);
    assert_eq!(world.server.presented.len(), 20);
}

#[test]
fn without_a_network_the_row_says_so_and_nobody_is_told() {
    let mut world = World::new();
    world.server.weather = VecDeque::from(vec![Weather::Unreachable; 100_000]);
    let mut keeper = world.keeper();
    keeper.handle(Input::Network(false), world.now);
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.health(&keeper), Health::Offline);
    assert_eq!(keeper.snapshot().exit, 0);
    world.pass(&mut keeper, 8 * 60 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Offline);
    assert_eq!(keeper.snapshot().exit, crate::health::EXIT_WAITING);
    assert!(world.notices().is_empty());
    world.server.weather.clear();
    keeper.handle(Input::Network(true), world.now);
    keeper.handle(Input::Woke(WokeWhy::RouteChanged), world.now);
    world.pass(&mut keeper, 4_000);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_journal_that_opens_later_is_taken_up_as_at_a_start_and_renewals_go_on() {
    let mut world = World::new();
    world.journal_broken = true;
    let mut keeper = world.start();
    assert!(world.server.presented.is_empty(), "nothing leaves without an intent");
    // An earlier run wrote down new tokens that no store holds yet.
    let mut earlier = World::new();
    earlier.write_faults = VecDeque::from(vec![StoreFault::DiskFull { place: "x".into() }; 9]);
    earlier.start();
    let records: Vec<Record> = earlier.journal.values().cloned().collect();
    assert!(matches!(records[0].stage, crate::journal::Stage::Answered(_)));
    world.server = earlier.server.clone();
    world.known_spent.clone_from(&earlier.known_spent);
    world.journal_broken = false;
    world.journal.clone_from(&earlier.journal);
    keeper.handle(Input::JournalOpened(records), world.now);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
    assert_eq!(world.server.presented.len(), 1, "the spent one is never presented again");
}

/// What an earlier run wrote down: the answer to rt-0, which no store could take.
fn an_earlier_run() -> (World, Vec<Record>) {
    let mut earlier = World::new();
    earlier.write_faults = VecDeque::from(vec![StoreFault::DiskFull { place: "x".into() }; 9]);
    earlier.start();
    let records: Vec<Record> = earlier.journal.values().cloned().collect();
    assert!(matches!(records[0].stage, crate::journal::Stage::Answered(_)));
    (earlier, records)
}

/// Performs effects until the next one is this; that one is left to the test.
pub(super) fn until_effect(
    world: &mut World,
    keeper: &mut Keeper,
    wanted: fn(&Effect) -> bool,
) -> Effect {
    loop {
        let effect = keeper.poll_effect().expect("it comes to that");
        if wanted(&effect) {
            return effect;
        }
        if let Some((ticket, outcome)) = world.perform(effect) {
            keeper.handle(Input::Done(ticket, outcome), world.now);
        }
    }
}

#[test]
fn a_journal_that_opens_while_a_refresh_is_on_its_way_keeps_a_spent_token_from_being_presented() {
    let steps: [fn(&Effect) -> bool; 4] = [
        |effect| matches!(effect, Effect::Fetch { .. }),
        |effect| matches!(effect, Effect::Lock { .. }),
        |effect| matches!(effect, Effect::Read { .. }),
        |effect| matches!(effect, Effect::Intent { .. }),
    ];
    for step in steps {
        let (earlier, records) = an_earlier_run();
        let mut world = World::new();
        world.server = earlier.server.clone();
        world.known_spent.clone_from(&earlier.known_spent);
        let mut keeper = world.keeper();
        keeper.handle(world.seen(), world.now);
        let at = until_effect(&mut world, &mut keeper, step);
        // Opened in this very gap: the step itself still succeeds.
        world.journal.extend(earlier.journal.clone());
        keeper.handle(Input::JournalOpened(records), world.now);
        let (ticket, outcome) = world.perform(at.clone()).unwrap();
        keeper.handle(Input::Done(ticket, outcome), world.now);
        world.settle(&mut keeper);
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.server.presented.len(), 1, "presented again, opened at {at:?}");
        assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
        assert!(world.journal.is_empty(), "nothing is left behind: {:?}", world.journal);
    }
}

#[test]
fn an_answer_lost_by_an_earlier_run_is_waited_for_also_where_its_journal_opens_late() {
    let mut earlier = World::new();
    earlier.server.weather = VecDeque::from([Weather::CutAfter, Weather::CutAfter]);
    earlier.start();
    let records: Vec<Record> = earlier.journal.values().cloned().collect();
    assert_eq!(records[0].stage, crate::journal::Stage::Intent);
    let mut world = World::new();
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    let intent = |effect: &Effect| matches!(effect, Effect::Intent { .. });
    let at = until_effect(&mut world, &mut keeper, intent);
    world.journal.extend(earlier.journal.clone());
    keeper.handle(Input::JournalOpened(records), world.now);
    let (ticket, outcome) = world.perform(at).unwrap();
    keeper.handle(Input::Done(ticket, outcome), world.now);
    world.settle(&mut keeper);
    assert!(world.server.presented.is_empty(), "not before the token nears its end");
    // Ten minutes were left at the start; seven are the client's own and two more.
    world.pass(&mut keeper, 4 * MINUTE);
    assert_eq!(world.server.presented.len(), 1);
}

#[test]
fn a_journal_that_is_told_twice_doubles_nothing() {
    let (earlier, records) = an_earlier_run();
    let mut world = World::new();
    world.journal_broken = true;
    let mut keeper = world.start();
    world.server = earlier.server.clone();
    world.journal_broken = false;
    world.journal.clone_from(&earlier.journal);
    keeper.handle(Input::JournalOpened(records.clone()), world.now);
    world.settle(&mut keeper);
    let (facts, kept) = (world.facts.clone(), world.journal.clone());
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
    // What it says now is older than what is known: saved already, and being looked at.
    keeper.handle(Input::JournalOpened(records), world.now);
    world.settle(&mut keeper);
    assert_eq!((&world.facts, &world.journal), (&facts, &kept));
    world.pass(&mut keeper, 2 * MINUTE);
    let renewed = world.events.iter().filter(|event| matches!(event, Event::Renewed { .. }));
    assert_eq!(renewed.count(), 1);
    assert!(world.journal.is_empty());
}

#[test]
fn an_answer_lost_after_a_refusal_makes_no_refresh_start_and_stop_for_ever() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.server.weather =
        VecDeque::from([Weather::InvalidGrant, Weather::CutAfter, Weather::CutAfter]);
    // Ended in the middle again and again: facts and journal say both, refused and lost.
    for steps in [2, 3, 4] {
        world.steps_left = Some(steps);
        keeper.handle(Input::Tick, world.now);
        let _ = world.settle(&mut keeper) && world.pass(&mut keeper, 50 * MINUTE);
        world.steps_left = None;
        keeper = world.start();
        // Asserts that it comes to rest.
        world.pass(&mut keeper, MINUTE);
    }
}

#[test]
fn after_a_clock_was_set_back_the_newest_tokens_are_kept_and_not_those_that_they_replaced() {
    for back in [0, 10_000, 3_600_000] {
        let mut world = World::new();
        let mut keeper = world.start();
        assert_eq!(world.pair().1, "rt-1");
        world.now.wall.0 -= back;
        keeper.handle(Input::Woke(WokeWhy::ClockStepped), world.now);
        keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
        // The process ends while the new tokens are in the journal and nowhere else.
        until_effect(&mut world, &mut keeper, |effect| matches!(effect, Effect::Write { .. }));
        assert!(world.keeps("rt-2") && world.pair().1 == "rt-1");
        assert_eq!(world.journal.len(), 2, "what was saved is still looked at");
        let mut keeper = world.start();
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.pair().1, "rt-2", "{back} ms back");
        assert!(world.journal.is_empty());
    }
}

#[test]
fn a_token_that_the_client_wrote_between_two_forms_of_a_request_gets_its_own_intent() {
    let sends: fn(&Effect) -> bool = |effect| matches!(effect, Effect::Send { .. });
    let mut world = World::new();
    world.server.weather = VecDeque::from([Weather::InvalidTarget]);
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    let first = until_effect(&mut world, &mut keeper, sends);
    let (ticket, refused) = world.perform(first).unwrap();
    world.server.live = BTreeSet::from(["rt-c".into()]);
    world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 1_000));
    keeper.handle(world.seen(), world.now);
    keeper.handle(Input::Done(ticket, refused), world.now);
    let second = until_effect(&mut world, &mut keeper, sends);
    let mark = TokenMark::of(&keeper.mark_key, &Secret::new("rt-c"));
    assert!(world.journal.values().any(|record| record.mark == mark));
    let (ticket, answered) = world.perform(second).unwrap();
    keeper.handle(Input::Done(ticket, answered), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.health(&keeper), Health::Healthy);
    world.pass(&mut keeper, 2 * MINUTE);
    assert!(world.journal.is_empty());
}

#[test]
fn new_tokens_are_not_given_up_for_older_ones_that_a_clock_makes_look_newer() {
    let mut world = World::new();
    let mut keeper = world.start();
    assert_eq!(world.pair().1, "rt-1");
    // A sign-in by the client: what is renewed next does not follow from what was saved.
    world.server.live = BTreeSet::from(["rt-s".into()]);
    world.put(entry("slack", "at-s", "rt-s", world.now.wall.0 + 3_600_000));
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    world.now.wall.0 -= 70_000;
    keeper.handle(Input::Woke(WokeWhy::ClockStepped), world.now);
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    until_effect(&mut world, &mut keeper, |effect| matches!(effect, Effect::Write { .. }));
    assert!(world.keeps("rt-2") && world.pair().1 == "rt-s");
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair().1, "rt-2");
}
