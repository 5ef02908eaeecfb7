//! A refresh whose answer was lost: whoever holds its token waits, in whatever entry, store or folder.

use super::{
    copies::{COPY, act, locked},
    *,
};
use crate::{facts::GrantFacts, ids::TokenMark};

const TWICE: [Weather; 2] = [Weather::CutAfter, Weather::CutAfter];

fn copied() -> Target {
    Target { store: COPY.into(), key: "slack|0".into() }
}

fn mark(token: &str) -> TokenMark {
    TokenMark::of(&MarkKey([1; 32]), &Secret::new(token))
}

/// The answer to the renewal of the usual folder was lost, twice; a copy of it had no part in that.
fn lost_beside(keep_apart: fn(&mut World)) -> (World, Keeper) {
    let mut world = World::new();
    world.server.grace = true;
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 14 * 60_000));
    world.copy_folder();
    keep_apart(&mut world);
    world.server.weather = VecDeque::from(TWICE);
    let keeper = world.start();
    assert_eq!(world.presented(), ["rt-0"; 2]);
    (world, keeper)
}

/// Seven minutes before the end, and no sooner, one of the two presents it, and both get what it brings.
fn waits_until_little_is_left(world: &mut World, keeper: &mut Keeper) {
    world.pass(keeper, 6 * MINUTE);
    assert_eq!(world.presented(), ["rt-0"; 2], "the token is still good for eight minutes");
    world.pass(keeper, 90_000);
    assert_eq!(world.presented(), ["rt-0"; 3]);
    world.pass(keeper, MINUTE);
    assert_eq!((world.pair().1, world.copied_pair().1), ("rt-3".into(), "rt-3".into()));
    assert_eq!(world.copied_health(keeper), Health::Healthy);
    assert!(world.facts.lost.is_empty() && !world.server.dead);
}

fn paused(world: &mut World) {
    world.facts.grants.insert(copied(), GrantFacts { paused: true, ..GrantFacts::default() });
}

fn unreadable(world: &mut World) {
    world.faults.insert(COPY.into(), locked());
}

fn of_another_sign_in(world: &mut World) {
    let other = entry("slack", "at-x", "rt-x", world.now.wall.0 + 60 * 60_000);
    world.others.insert(COPY.into(), BTreeMap::from([(other.key.clone(), other)]));
}

#[test]
fn a_paused_copy_that_is_resumed_waits_as_the_lost_one_does_and_says_so() {
    let (mut world, mut keeper) = lost_beside(paused);
    let id = GrantId(format!("{COPY}/slack"));
    act(&mut world, &mut keeper, Action::Resume(id.clone()));
    act(&mut world, &mut keeper, Action::Renew(id.clone()));
    assert_eq!(keeper.row_of(&id).unwrap().reason.as_deref(), Some(super::super::plan::LOST));
    waits_until_little_is_left(&mut world, &mut keeper);
}

#[test]
fn a_copy_that_could_not_be_read_when_the_answer_was_lost_waits_too() {
    let (mut world, mut keeper) = lost_beside(unreadable);
    world.faults.clear();
    world.look(&mut keeper);
    waits_until_little_is_left(&mut world, &mut keeper);
}

#[test]
fn a_copy_that_is_met_in_a_later_run_waits_by_the_facts_or_the_journal_alone() {
    for by_facts in [true, false] {
        let (mut world, keeper) = lost_beside(unreadable);
        drop(keeper);
        if by_facts {
            world.journal.clear();
        } else {
            world.facts = Facts::default();
        }
        world.faults.clear();
        // The copy is looked at first, before the folder that the record is about.
        let mut keeper = world.keeper();
        let (store, seen) = (StoreId::from(COPY), world.view_of(&COPY.into()));
        keeper.handle(Input::StoreSeen { store, seen }, world.now);
        world.settle(&mut keeper);
        world.look(&mut keeper);
        waits_until_little_is_left(&mut world, &mut keeper);
    }
}

#[test]
fn a_lost_token_that_is_copied_over_another_one_waits_also_where_a_renewal_had_begun() {
    for begun in [false, true] {
        let (mut world, mut keeper) = lost_beside(of_another_sign_in);
        if begun {
            let renew = Action::Renew(GrantId(format!("{COPY}/slack")));
            keeper.handle(Input::Act(renew), world.now);
        }
        // Where it had begun, this is between the plan and the look under the lock.
        world.copy_folder();
        if begun {
            world.settle(&mut keeper);
        } else {
            world.look(&mut keeper);
        }
        waits_until_little_is_left(&mut world, &mut keeper);
    }
}

#[test]
fn a_refusal_that_one_entry_met_lets_no_other_one_present_a_lost_token() {
    let (mut world, mut keeper) = lost_beside(paused);
    world.server.weather = VecDeque::from([Weather::InvalidGrant, Weather::Unreachable]);
    world.pass(&mut keeper, 7 * MINUTE + 5_000);
    let presented = world.server.presented.len();
    assert!(presented > 2 && world.facts.grants.values().any(|facts| facts.refusal.is_some()));
    assert!(world.facts.lost.contains_key(&mark("rt-0")));
}

#[test]
fn a_client_that_renews_in_place_without_rotation_shows_that_the_token_is_good() {
    let (mut world, mut keeper) = lost_beside(paused);
    world.put(entry("slack", "at-client", "rt-0", world.now.wall.0 + 60 * 60_000));
    world.look(&mut keeper);
    assert!(world.facts.lost.is_empty());
}

#[test]
fn what_was_lost_is_forgotten_when_no_known_entry_holds_its_token_any_more() {
    let noted = |world: &World| world.facts.lost.contains_key(&mark("rt-0"));
    let (mut world, mut keeper) = lost_beside(unreadable);
    world.entries.clear();
    world.look(&mut keeper);
    assert!(!noted(&world), "nobody ever saw the copy");
    for store_is_away in [true, false] {
        let (mut world, mut keeper) = lost_beside(paused);
        if store_is_away {
            unreadable(&mut world);
            world.look(&mut keeper);
        }
        world.put(entry("slack", "at-new", "rt-new", world.now.wall.0 + 60 * 60_000));
        world.look(&mut keeper);
        assert!(noted(&world), "the copy holds it");
        world.faults.clear();
        world.others.insert(COPY.into(), BTreeMap::new());
        world.look(&mut keeper);
        assert!(!noted(&world), "nobody holds it");
        assert!(world.journal.is_empty(), "{:?}", world.journal);
    }
}

#[test]
fn an_intent_that_outlived_its_facts_is_forgotten_with_its_record() {
    let (mut world, keeper) = lost_beside(unreadable);
    drop(keeper);
    world.facts = Facts::default();
    world.put(entry("slack", "at-new", "rt-new", world.now.wall.0 + 60 * 60_000));
    world.start();
    assert!(world.journal.is_empty() && world.facts.lost.is_empty());
}

#[test]
fn lost_answers_of_the_earlier_form_of_the_facts_are_lost_for_every_entry() {
    let mark = String::from(mark("rt-0"));
    for refresh in [format!(r#""refresh":"{mark}","#), String::new()] {
        let mut world = World::new();
        let at = world.now.wall.0;
        world.put(entry("slack", "at-0", "rt-0", at + 14 * 60_000));
        world.copy_folder();
        world.server.grace = true;
        let earlier = format!(
            r#"{{"schema":2,"grants":[{{"store":"claude-code","key":"slack|0",
                "facts":{{{refresh}"lost":{{"mark":"{mark}","at":{at}}}}}}}]}}"#
        );
        let facts: Facts = serde_json::from_str(&earlier).unwrap();
        let again = serde_json::to_string(&facts).unwrap();
        world.facts = serde_json::from_str(&again).unwrap();
        assert_eq!(world.facts, facts);
        let mut keeper = world.start();
        assert_eq!(world.presented(), [""; 0]);
        world.pass(&mut keeper, 8 * MINUTE);
        assert_eq!(world.presented(), ["rt-0"]);
        assert!(world.facts.lost.is_empty());
    }
}
