//! What changes in the stores while a request is out, and is seen before its answer comes.

use super::*;
use crate::{facts::GrantFacts, journal::Stage, store::SignIns};

const COPY: &str = OTHER;

/// The request of a refresh is sent, `act` happens, and then the answer is taken in.
fn during_the_request(
    world: &mut World,
    keeper: &mut Keeper,
    act: impl FnOnce(&mut World, &mut Keeper),
) {
    let send = waking::until_effect(world, keeper, |e| matches!(e, Effect::Send { .. }));
    let (ticket, outcome) = world.perform(send).unwrap();
    act(world, keeper);
    keeper.handle(Input::Done(ticket, outcome), world.now);
    world.settle(keeper);
}

/// The same sign-in in two folders; the copy is paused, so that it has no part in the refresh.
fn with_a_paused_copy() -> World {
    let mut world = World::new();
    world.others.insert(COPY.into(), world.entries.clone());
    let target = Target { store: COPY.into(), key: "slack|0".into() };
    world.facts.grants.insert(target, GrantFacts { paused: true, ..GrantFacts::default() });
    world
}

fn resume(world: &mut World, keeper: &mut Keeper) {
    world.act(keeper, Action::Resume(GrantId(format!("{COPY}/slack"))));
}

fn see(world: &mut World, keeper: &mut Keeper) {
    keeper.handle(world.seen(), world.now);
    world.settle(keeper);
}

/// Every store is looked at, and nothing that comes of it is done yet.
fn see_all(world: &World, keeper: &mut Keeper) {
    for store in world.stores() {
        let seen = world.view_of(&store);
        keeper.handle(Input::StoreSeen { store, seen }, world.now);
    }
}

fn refresh_in(entries: &BTreeMap<EntryKey, Entry>) -> String {
    entries[&EntryKey::from("slack|0")]
        .pair
        .refresh
        .as_ref()
        .map_or("", |token| token.expose())
        .into()
}

fn raw(world: &World) -> usize {
    world.journal.values().filter(|record| matches!(record.stage, Stage::Raw(_))).count()
}

fn sign_out(world: &mut World) {
    world.entries.clear();
}

fn sign_in_anew(world: &mut World) {
    world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
}

#[test]
fn a_token_whose_entry_goes_or_changes_during_the_request_is_in_the_air_and_then_spent() {
    for change in [sign_out as fn(&mut World), sign_in_anew] {
        for resumed_early in [true, false] {
            let mut world = with_a_paused_copy();
            let mut keeper = world.keeper();
            see_all(&world, &mut keeper);
            during_the_request(&mut world, &mut keeper, |world, keeper| {
                change(world);
                see(world, keeper);
                if resumed_early {
                    resume(world, keeper);
                }
            });
            resume(&mut world, &mut keeper);
            world.pass(&mut keeper, 2 * MINUTE);
            assert_eq!(world.server.presented.len(), 1, "{:?}", world.server.presented);
            assert_eq!(refresh_in(&world.others[&StoreId::from(COPY)]), "rt-1");
            assert_eq!(world.server.revoked, [""; 0]);
        }
    }
}

#[test]
fn new_tokens_go_on_to_a_paused_copy_where_the_person_signed_in_anew_meanwhile() {
    let mut world = with_a_paused_copy();
    let mut keeper = world.keeper();
    see_all(&world, &mut keeper);
    during_the_request(&mut world, &mut keeper, |world, _| sign_in_anew(world));
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(refresh_in(&world.entries), "rt-c");
    assert_eq!(refresh_in(&world.others[&StoreId::from(COPY)]), "rt-1");
}

#[test]
fn new_tokens_of_a_signed_out_entry_are_not_given_back_while_a_locked_copy_holds_the_old_ones() {
    let mut world = World::new();
    world.others.insert(COPY.into(), world.entries.clone());
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    let locked = StoreFault::Locked { place: "keychain".into() };
    world.faults.insert(COPY.into(), locked);
    world.look(&mut keeper);
    // Another run knows the copy by its facts alone.
    keeper = world.start();
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    during_the_request(&mut world, &mut keeper, |world, keeper| {
        sign_out(world);
        see(world, keeper);
    });
    assert_eq!(world.server.revoked, [""; 0]);
}

#[test]
fn an_answer_that_is_no_success_means_the_same_where_only_the_first_entry_was_signed_out() {
    for (body, weather) in [(Some(b"<html>".as_slice()), None), (None, Some(Weather::Broken))] {
        let mut world = World::new();
        world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
        world.others.insert(COPY.into(), world.entries.clone());
        world.server.grace = true;
        world.bodies.extend(body);
        let first = weather.unwrap_or(Weather::Fine);
        world.server.weather = VecDeque::from([first, Weather::CutAfter]);
        let mut keeper = world.keeper();
        see_all(&world, &mut keeper);
        during_the_request(&mut world, &mut keeper, |world, keeper| {
            sign_out(world);
            see(world, keeper);
        });
        world.pass(&mut keeper, 5 * MINUTE);
        assert_eq!(world.server.presented.len(), 2, "once more at once, and then it waits");
        assert_eq!(world.journal.len(), 1, "what is known of it stays");
        assert_eq!(raw(&world), usize::from(body.is_some()));
        world.pass(&mut keeper, 5 * MINUTE);
        assert_eq!(world.server.presented.len(), 3);
    }
}

#[test]
fn a_server_that_is_busy_is_left_alone_where_only_the_first_entry_was_signed_out() {
    let mut world = World::new();
    world.others.insert(COPY.into(), world.entries.clone());
    world.server.weather = VecDeque::from([Weather::Busy]);
    world.server.retry_after = Some(Millis::minutes(30));
    let mut keeper = world.keeper();
    see_all(&world, &mut keeper);
    during_the_request(&mut world, &mut keeper, |world, keeper| {
        sign_out(world);
        see(world, keeper);
    });
    world.pass(&mut keeper, 25 * MINUTE);
    assert_eq!(world.server.presented.len(), 1);
}

#[test]
fn an_answer_that_cannot_be_read_stays_where_the_stores_file_vanished_during_the_request() {
    let mut world = World::new();
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
    world.server.grace = true;
    world.bodies = VecDeque::from([b"<html>".as_slice()]);
    world.server.weather = VecDeque::from([Weather::Fine, Weather::CutAfter]);
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    during_the_request(&mut world, &mut keeper, |world, keeper| {
        world.sign_ins = SignIns::None;
        see(world, keeper);
        world.pass(keeper, 2_000);
        assert!(keeper.snapshot().rows.is_empty());
    });
    assert_eq!(raw(&world), 1);
    let presented = world.server.presented.len();
    world.sign_ins = SignIns::Read;
    see(&mut world, &mut keeper);
    world.pass(&mut keeper, MINUTE);
    assert_eq!((raw(&world), world.server.presented.len()), (1, presented));
}

#[test]
fn a_lost_answer_is_not_forgotten_because_the_second_try_met_a_refused_client_or_target() {
    for second in [Weather::InvalidClient, Weather::InvalidTarget] {
        for with_secret in [false, true] {
            let mut world = World::new();
            let mut held = entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000);
            let secret = secret("s").filter(|_| with_secret);
            held.client = Some(ClientCredentials { id: "cl".into(), secret });
            world.put(held);
            world.server.weather = VecDeque::from([Weather::CutAfter, second]);
            let mut keeper = world.start();
            assert_eq!(world.journal.len(), 1, "what is known of it stays");
            world.pass(&mut keeper, 5 * MINUTE);
            assert_eq!(world.server.presented.len(), 2, "it may be spent: it waits");
        }
    }
}

#[test]
fn an_answer_that_cannot_be_read_outlives_the_clients_emptying_of_its_entry() {
    let mut world = World::new();
    let whole = br#"{"access_token":"at-1","refresh_token":"rt-1","expires_in":3600}"#;
    world.bodies = VecDeque::from([whole[..60].as_ref()]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(raw(&world), 1);
    let mut emptied = entry("slack", "", "", 0);
    emptied.pair = TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) };
    world.put(emptied);
    see(&mut world, &mut keeper);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(raw(&world), 1, "a later version may read it");
    sign_in_anew(&mut world);
    see(&mut world, &mut keeper);
    assert_eq!(raw(&world), 0);
}
