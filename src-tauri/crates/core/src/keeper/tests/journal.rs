//! What stays in the journal, and who finishes it.

use super::{
    copies::{COPY, locked},
    *,
};
use crate::{facts::GrantFacts, ids::TokenMark, journal::Stage};

const CUT: &[u8] = br#"{"access_token":"at-1","refresh_token":"rt-1","expires_in":3600"#;
const WHOLE: &[u8] = br#"{"access_token":"at-1","refresh_token":"rt-1","expires_in":3600}"#;

fn raw(world: &World) -> Vec<Vec<u8>> {
    let raw = world.journal.values().filter_map(|record| match &record.stage {
        Stage::Raw(bytes) => Some(bytes.to_vec()),
        _ => None,
    });
    raw.collect()
}

/// The same record, whose bytes can be read by the version that starts next.
fn readable(world: &mut World) {
    for record in world.journal.values_mut() {
        if let Stage::Raw(bytes) = &mut record.stage {
            *bytes = Zeroizing::new(WHOLE.to_vec());
        }
    }
}

#[test]
fn an_answer_that_could_not_be_read_stays_though_the_token_is_refused_when_presented_again() {
    let mut world = World::new();
    world.bodies = VecDeque::from([CUT]);
    let mut keeper = world.start();
    assert!(world.server.dead, "reuse has ended the family");
    world.pass(&mut keeper, 30 * MINUTE);
    assert_eq!(world.health(&keeper), Health::SignInRequired);
    assert_eq!(raw(&world), [CUT]);
    drop(keeper);
    let mut keeper = world.start();
    world.pass(&mut keeper, 30 * MINUTE);
    assert_eq!(raw(&world), [CUT], "a later version may read it");
}

#[test]
fn an_answer_that_a_later_version_can_read_is_saved_where_it_belongs() {
    let mut world = World::new();
    world.bodies = VecDeque::from([CUT]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    drop(keeper);
    readable(&mut world);
    let mut keeper = world.start();
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
    let end = world.entries.values().next().unwrap().pair.expires_at.unwrap();
    assert!(end < world.now.wall + Millis::minutes(59), "its life began when it came");
    assert_eq!(world.entries.values().next().unwrap().scope.as_deref(), Some("read"));
    world.pass(&mut keeper, 2 * MINUTE);
    assert!(world.journal.is_empty());
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn what_the_journal_holds_is_known_also_where_the_facts_and_the_key_of_the_marks_are_gone() {
    for spent in [false, true] {
        let mut world = World::new();
        world.server.grace = true;
        if spent {
            world.write_faults = VecDeque::from([StoreFault::DiskFull { place: "x".into() }]);
        } else {
            world.bodies = VecDeque::from([CUT, CUT]);
        }
        drop(world.start());
        let before = world.server.presented.len();
        assert_eq!(world.journal.len(), 1);
        world.facts = Facts::default();
        for record in world.journal.values_mut() {
            record.mark = TokenMark::of(&MarkKey([2; 32]), &Secret::new("rt-0"));
        }
        world.copy_folder();
        world.start();
        assert_eq!(world.server.presented.len(), before);
        if spent {
            assert_eq!((world.pair().1, world.copied_pair().1), ("rt-1".into(), "rt-1".into()));
        } else {
            assert_eq!(raw(&world), [CUT]);
        }
    }
}

#[test]
fn an_answer_that_can_be_read_now_replaces_nothing_that_came_since() {
    let mut world = World::new();
    world.bodies = VecDeque::from([CUT]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    drop(keeper);
    readable(&mut world);
    world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair().0, "at-c");
    assert!(world.journal.is_empty());
}

#[test]
fn two_answers_that_could_not_be_read_are_both_kept() {
    let mut world = World::new();
    world.server.grace = true;
    world.bodies = VecDeque::from([CUT, b"<html>".as_slice()]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 10_000);
    let mut kept = raw(&world);
    kept.sort();
    assert_eq!(kept, [b"<html>".to_vec(), CUT.to_vec()]);
}

/// A server that answers each presentation with a success that can't be read, for three hours.
fn answered_unreadably(bodies: impl Iterator<Item = Vec<u8>>) -> World {
    let mut world = World::new();
    world.server.grace = true;
    world.bodies = bodies.map(|body| &*body.leak()).collect();
    let mut keeper = world.start();
    world.pass(&mut keeper, 180 * MINUTE);
    assert!(world.server.presented.len() > 50, "{}", world.server.presented.len());
    world
}

#[test]
fn a_page_that_comes_in_place_of_each_answer_is_kept_once() {
    let world = answered_unreadably((0..200).map(|_| b"<html>".to_vec()));
    assert_eq!(raw(&world).len(), 1);
    assert!(world.journal.len() <= 2, "{}", world.journal.len());
}

#[test]
fn of_many_answers_that_could_not_be_read_the_first_and_the_last_two_stay_of_either_kind() {
    let page = |n: usize| format!("<html>{n:02}");
    let cut = |n: usize| format!(r#"{{"access_token":"at-{n:02}"#);
    let world = answered_unreadably(
        (0..200).map(|n| if (3..6).contains(&n) { cut(n) } else { page(n) }.into_bytes()),
    );
    let last = world.server.presented.len() - 1;
    let mut kept: Vec<_> = raw(&world).into_iter().map(|b| String::from_utf8(b).unwrap()).collect();
    kept.sort();
    assert_eq!(kept, [page(0), page(last - 1), page(last), cut(3), cut(4), cut(5)]);
    assert!(world.journal.len() <= 7, "{}", world.journal.len());
}

#[test]
fn an_answer_that_is_kept_once_is_about_every_entry_that_it_was_an_answer_for() {
    let mut world = World::new();
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
    world.copy_folder();
    world.faults.insert(COPY.into(), locked());
    world.bodies = VecDeque::from([CUT; 100]);
    world.server.grace = true;
    let mut keeper = world.start();
    world.pass(&mut keeper, 5 * MINUTE);
    assert_eq!(raw(&world), [CUT]);
    world.faults.clear();
    world.look(&mut keeper);
    let presented = world.server.presented.len();
    world.pass(&mut keeper, 60 * MINUTE);
    assert!(world.server.presented.len() > presented);
    // A new sign-in in one folder leaves the other one what may hold its only tokens.
    world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
    world.look(&mut keeper);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.copied_pair().1, "rt-0");
    assert_eq!(raw(&world), [CUT]);
}

/// A keeper that holds answers which neither it could read nor the journal could take.
fn holding_what_nobody_took(mode: Mode, refused: bool) -> (World, Keeper) {
    let mut world = World::new();
    world.mode = mode;
    world.server.grace = !refused;
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
    world.bodies = VecDeque::from([CUT, CUT]);
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    let is_raw = |effect: &Effect| matches!(effect, Effect::Journal { record, .. } if matches!(record.stage, Stage::Raw(_)));
    let keeping = waking::until_effect(&mut world, &mut keeper, is_raw);
    world.journal_broken = true;
    let (ticket, outcome) = world.perform(keeping).unwrap();
    keeper.handle(Input::Done(ticket, outcome), world.now);
    world.settle(&mut keeper);
    assert!(raw(&world).is_empty() && keeper.holds_unsaved());
    (world, keeper)
}

#[test]
fn a_command_waits_a_little_for_the_journal_to_take_an_answer_that_could_not_be_read() {
    for takes_it in [true, false] {
        let (mut world, mut keeper) = holding_what_nobody_took(Mode::OnRequest, false);
        assert!(keeper.is_busy());
        world.pass(&mut keeper, 4_000);
        assert!(keeper.is_busy());
        world.journal_broken = !takes_it;
        world.pass(&mut keeper, 12_000);
        assert_eq!(raw(&world).len(), usize::from(takes_it));
        assert!(!keeper.is_busy());
        assert_eq!(keeper.only_in_memory(), usize::from(!takes_it));
    }
}

#[test]
fn a_keeper_that_ends_tries_a_little_to_write_down_an_answer_that_could_not_be_read() {
    for takes_it in [true, false] {
        let (mut world, mut keeper) = holding_what_nobody_took(Mode::Keep, true);
        world.pass(&mut keeper, 20 * MINUTE);
        assert!(!keeper.is_in_the_air(), "the machine may sleep");
        world.journal_broken = !takes_it;
        keeper.handle(Input::Stopping, world.now);
        assert!(keeper.is_in_the_air());
        world.settle(&mut keeper);
        world.pass(&mut keeper, 12_000);
        assert!(!keeper.is_in_the_air());
        assert_eq!(raw(&world).len(), usize::from(takes_it));
        assert_eq!(keeper.only_in_memory(), usize::from(!takes_it));
    }
}

#[test]
fn an_answer_that_could_not_be_read_nor_kept_is_kept_once_the_journal_takes_it() {
    for refused in [false, true] {
        let (mut world, mut keeper) = holding_what_nobody_took(Mode::Keep, refused);
        let wakes = world.wakes_in(&mut keeper, 2 * MINUTE);
        assert!(wakes < 30, "{wakes} wakes in two minutes");
        world.journal_broken = false;
        world.pass(&mut keeper, 4 * MINUTE);
        assert_eq!(raw(&world), [CUT]);
        assert!(!keeper.holds_unsaved());
    }
}

#[test]
fn a_record_that_goes_on_to_a_copy_stays_until_the_journal_holds_it_for_that() {
    for ended in [true, false] {
        let mut world = World::new();
        world.copy_folder();
        world.mode = Mode::OnRequest;
        let mut keeper = world.start();
        world.faults.insert(COPY.into(), locked());
        world.look(&mut keeper);
        world.during_send = Some(|world| world.entries.clear());
        keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
        let is_write = |effect: &Effect| matches!(effect, Effect::Write { .. });
        let write = waking::until_effect(&mut world, &mut keeper, is_write);
        world.journal_broken = true;
        let (ticket, outcome) = world.perform(write).unwrap();
        keeper.handle(Input::Done(ticket, outcome), world.now);
        world.settle(&mut keeper);
        assert!(keeper.holds_unsaved());
        assert!(world.journal.values().any(|record| record.stage.tokens().is_some()));
        world.journal_broken = false;
        world.faults.clear();
        if ended {
            keeper = world.keeper();
        }
        world.look(&mut keeper);
        world.pass(&mut keeper, 10 * MINUTE);
        assert_eq!(world.copied_pair().1, "rt-1");
        assert!(world.journal.is_empty() && !keeper.holds_unsaved(), "{:?}", world.journal);
        assert_eq!((world.presented(), world.server.revoked.len()), (vec!["rt-0"], 0));
    }
}

#[test]
fn an_answer_that_could_not_be_read_goes_with_its_sign_in_and_with_the_next_one() {
    for signed_out in [true, false] {
        let mut world = World::new();
        world.bodies = VecDeque::from([CUT]);
        let mut keeper = world.start();
        world.pass(&mut keeper, 2 * MINUTE);
        if signed_out {
            world.entries.clear();
        } else {
            world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
        }
        keeper.handle(world.seen(), world.now);
        world.settle(&mut keeper);
        assert!(world.journal.is_empty());
    }
}

/// A record whose tokens belong to a store that this process does not look at.
fn of_another_store(world: &World) -> Record {
    let mut earlier = world.clone();
    earlier.write_faults = VecDeque::from(vec![StoreFault::DiskFull { place: "x".into() }; 9]);
    earlier.start();
    let mut record = earlier.journal.values().next().unwrap().clone();
    assert!(matches!(record.stage, Stage::Answered(_)));
    record.replaced[0].0.store = "claude-code@~/work".into();
    record
}

#[test]
fn a_record_of_a_store_that_nobody_looks_at_wakes_nobody_and_holds_nobody_up() {
    let mut world = World::new();
    let record = of_another_store(&world);
    world.journal.insert(record.id.clone(), record.clone());
    for mode in [Mode::Keep, Mode::OnRequest] {
        let mut world = world.clone();
        world.mode = mode;
        world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 3_600_000));
        let mut keeper = world.start();
        let wakes = world.wakes_in(&mut keeper, 10 * MINUTE);
        assert!(wakes < 20, "{wakes} wakes in ten minutes");
        world.act(&mut keeper, Action::RenewDue);
        assert!(!keeper.is_busy(), "a command ends");
        assert!(world.journal.contains_key(&record.id), "the tokens stay");
    }
}

#[test]
fn a_record_whose_entry_is_busy_wakes_nobody_until_that_is_over() {
    let mut world = World::new();
    let mut keeper = world.start();
    // Saved a moment ago, to be looked at again soon; meanwhile another renewal waits for its lock.
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    let lock = waking::until_effect(&mut world, &mut keeper, |e| matches!(e, Effect::Lock { .. }));
    let wakes = world.wakes_in(&mut keeper, 20_000);
    assert!(wakes < 20, "{wakes} wakes in twenty seconds");
    let (ticket, outcome) = world.perform(lock).unwrap();
    keeper.handle(Input::Done(ticket, outcome), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.pair().0, "at-2");
    world.pass(&mut keeper, 2 * MINUTE);
    assert!(world.journal.is_empty());
}

#[test]
fn what_a_server_asked_for_is_kept_to_though_routes_change_all_the_time() {
    let mut world = World::new();
    world.server.weather = VecDeque::from(vec![Weather::Busy; 1_000]);
    let mut keeper = world.start();
    for _ in 0..60 {
        keeper.handle(Input::Woke(WokeWhy::RouteChanged), world.now);
        world.pass(&mut keeper, 10_000);
    }
    let presented = world.server.presented.len();
    assert!(presented < 15, "{presented} presentations in ten minutes to a server that is busy");
}

#[test]
fn a_server_that_said_when_to_come_back_is_not_asked_before_that_after_a_sleep_either() {
    let mut world = World::new();
    world.server.retry_after = Some(Millis::minutes(30));
    world.server.weather = VecDeque::from([Weather::Busy]);
    let mut keeper = world.start();
    for why in [WokeWhy::RouteChanged, WokeWhy::Resumed, WokeWhy::ClockStepped] {
        world.pass(&mut keeper, MINUTE);
        keeper.handle(Input::Woke(why), world.now);
        world.pass(&mut keeper, 10_000);
        assert_eq!(world.server.presented.len(), 1, "{why:?}");
    }
    world.pass(&mut keeper, 27 * MINUTE);
    assert_eq!(world.server.presented.len(), 2);
}

#[test]
fn what_a_server_caused_is_waited_for_though_routes_change_all_the_time() {
    let mut world = World::new();
    world.server.weather = VecDeque::from(vec![Weather::Broken; 1_000]);
    let mut keeper = world.start();
    for _ in 0..120 {
        keeper.handle(Input::Woke(WokeWhy::RouteChanged), world.now);
        world.pass(&mut keeper, 10_000);
    }
    let presented = world.server.presented.len();
    assert!(presented < 20, "{presented} presentations of a token that may be spent");
}

#[test]
fn a_server_that_is_busy_after_a_lost_answer_is_not_asked_before_it_said() {
    let mut world = World::new();
    world.server.retry_after = Some(Millis::hours(1));
    world.server.weather = VecDeque::from([Weather::CutBefore, Weather::Busy]);
    let mut keeper = world.start();
    assert_eq!(world.server.presented.len(), 2);
    // The token ends meanwhile.
    for why in [WokeWhy::RouteChanged, WokeWhy::Resumed, WokeWhy::ClockStepped] {
        world.pass(&mut keeper, 15 * MINUTE);
        keeper.handle(Input::Woke(why), world.now);
        world.pass(&mut keeper, 10_000);
        assert_eq!(world.server.presented.len(), 2, "{why:?}");
    }
    world.pass(&mut keeper, 16 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_server_whose_metadata_is_busy_is_not_asked_for_it_before_it_said() {
    let mut world = World::new();
    world.server.retry_after = Some(Millis::minutes(30));
    world.server.documents_status = Some(503);
    let mut keeper = world.start();
    world.server.documents_status = None;
    for why in [WokeWhy::RouteChanged, WokeWhy::Resumed, WokeWhy::ClockStepped] {
        world.pass(&mut keeper, MINUTE);
        keeper.handle(Input::Woke(why), world.now);
        world.pass(&mut keeper, 10_000);
        assert_eq!(world.server.presented.len(), 0, "{why:?}");
    }
    world.pass(&mut keeper, 27 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_route_change_clears_what_the_network_caused() {
    let mut world = World::new();
    world.server.weather = VecDeque::from(vec![Weather::Unreachable; 8]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 6 * MINUTE);
    world.server.weather.clear();
    keeper.handle(Input::Woke(WokeWhy::RouteChanged), world.now);
    world.pass(&mut keeper, 4_000);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn what_was_noted_while_the_clock_was_ahead_holds_nothing_up_when_it_is_set_right() {
    let day = 24 * 3_600_000;
    for weather in [
        vec![Weather::InvalidGrant],
        vec![Weather::InvalidClient],
        vec![Weather::CutAfter, Weather::CutAfter],
    ] {
        let mut world = World::new();
        world.server.grace = true;
        // A store that tells no end: what was lost waits for an hour from then on.
        world.entries.values_mut().for_each(|entry| entry.pair.expires_at = None);
        world.server.weather = VecDeque::from(weather.clone());
        let mut keeper = world.start();
        let before = world.server.presented.len();
        world.now.wall.0 -= day;
        keeper.handle(Input::Woke(WokeWhy::ClockStepped), world.now);
        world.settle(&mut keeper);
        world.pass(&mut keeper, 62 * MINUTE);
        assert!(world.server.presented.len() > before, "{weather:?}");
        assert_eq!(world.health(&keeper), Health::Healthy, "{weather:?}");
    }
}

#[test]
fn metadata_noted_while_the_clock_was_ahead_is_asked_for_again() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.now.wall.0 -= 10 * 24 * 3_600_000;
    keeper.handle(Input::Woke(WokeWhy::ClockStepped), world.now);
    world.settle(&mut keeper);
    let at = world.facts.grants.values().next().unwrap().metadata.as_ref().unwrap().1;
    assert!(at <= world.now.wall, "{at:?}");
}

#[test]
fn a_first_write_noted_while_the_clock_was_ahead_keeps_the_rest_waiting_a_minute_at_most() {
    let mut world = World::new();
    world.server.live.insert("rt-b".into());
    world.put(entry("notion", "at-b", "rt-b", world.now.wall.0 + 60_000));
    let mut keeper = world.start();
    assert_eq!(world.server.presented.len(), 1);
    world.now.wall.0 -= 10 * 24 * 3_600_000;
    keeper.handle(Input::Woke(WokeWhy::ClockStepped), world.now);
    world.settle(&mut keeper);
    world.entries.get_mut(&"notion|0".into()).unwrap().pair.expires_at = Some(world.now.wall);
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    world.pass(&mut keeper, 70_000);
    assert!(world.server.presented.iter().any(|(_, token)| token == "rt-b"));
}

#[test]
fn new_tokens_that_are_not_saved_yet_say_what_keeps_them_out() {
    let mut world = World::new();
    let full = StoreFault::DiskFull { place: "store".into() };
    world.write_faults = VecDeque::from(vec![full; 3]);
    let keeper = world.start();
    let row = keeper.snapshot().rows.remove(0);
    let phrase = row.phrase.render(Wall(0), |_| String::new(), |_| String::new());
    assert!(phrase.contains("no space left to write store"), "{phrase}");
    drop(keeper);
    // Another run finds them in the journal, and its only failure so far is another one.
    let busy = StoreFault::Busy { lock: "mcp-refresh".into() };
    world.lock_faults = VecDeque::from([busy]);
    let keeper = world.start();
    let row = keeper.snapshot().rows.remove(0);
    let phrase = row.phrase.render(Wall(0), |_| String::new(), |_| String::new());
    assert!(phrase.contains("mcp-refresh is held"), "{phrase}");
}

#[test]
fn tokens_whose_entry_goes_while_they_are_saved_from_the_journal_are_in_it_at_every_step() {
    let mut steps = 0;
    loop {
        let mut world = World::new();
        world.copy_folder();
        let target = Target { store: COPY.into(), key: "slack|0".into() };
        world.facts.grants.insert(target, GrantFacts { paused: true, ..GrantFacts::default() });
        let full = StoreFault::Io { place: "store".into(), what: "full".into() };
        world.write_faults = VecDeque::from([full]);
        let mut keeper = world.start();
        assert!(world.journal.values().any(|record| record.stage.tokens().is_some()));
        while !keeper.is_in_the_air() {
            world.now.boot.0 += 1_000;
            world.now.wall.0 += 1_000;
            keeper.handle(Input::Tick, world.now);
        }
        let is_read = |effect: &Effect| matches!(effect, Effect::Read { .. });
        let read = waking::until_effect(&mut world, &mut keeper, is_read);
        world.entries.clear();
        let (ticket, outcome) = world.perform(read).unwrap();
        keeper.handle(Input::Done(ticket, outcome), world.now);
        world.steps_left = Some(steps);
        let is_over = world.settle(&mut keeper);
        assert!(world.keeps("rt-1"), "after {steps} steps: {:?}", world.journal);
        if is_over {
            break;
        }
        steps += 1;
    }
    assert!(steps > 3, "{steps}");
}

#[test]
fn new_tokens_that_neither_journal_nor_store_took_are_written_down_although_the_store_is_locked_since()
 {
    for stopping in [false, true] {
        let mut world = World::new();
        let mut keeper = world.keeper();
        keeper.handle(world.seen(), world.now);
        let sent =
            waking::until_effect(&mut world, &mut keeper, |e| matches!(e, Effect::Send { .. }));
        let (ticket, outcome) = world.perform(sent).unwrap();
        world.journal_broken = true;
        let full = StoreFault::Io { place: "store".into(), what: "full".into() };
        world.write_faults = VecDeque::from([full]);
        keeper.handle(Input::Done(ticket, outcome), world.now);
        world.settle(&mut keeper);
        assert!(keeper.holds_unsaved() && !world.keeps("rt-1"));
        world.faults.insert(STORE.into(), locked());
        world.look(&mut keeper);
        let wakes = world.wakes_in(&mut keeper, 2 * MINUTE);
        assert!(keeper.holds_unsaved() && wakes < 80, "{wakes} wakes in two minutes");
        world.journal_broken = false;
        if stopping {
            keeper.handle(Input::Stopping, world.now);
            world.settle(&mut keeper);
        }
        world.pass(&mut keeper, 2 * MINUTE);
        assert!(!keeper.holds_unsaved() && world.keeps("rt-1"));
        world.faults.clear();
        let mut next = world.start();
        world.pass(&mut next, 2 * MINUTE);
        assert_eq!((world.pair().1, world.presented()), ("rt-1".into(), vec!["rt-0"]));
    }
}
