//! Stores that are visited to finish what the journal holds for them.

use super::*;
use crate::{ids::TokenMark, journal::Stage};

const WORK: &str = "claude-code@~/team";

fn work() -> StoreInfo {
    StoreInfo {
        id: WORK.into(),
        client: "Claude Code".into(),
        place: "~/team".into(),
        client_margin: Millis::minutes(5),
    }
}

/// A keeper whose journal holds what another process received for that store and did not save.
fn with_a_record(mode: Mode) -> (World, Keeper) {
    let mut world = World::new();
    let mut earlier = world.clone();
    earlier.write_faults = VecDeque::from(vec![StoreFault::DiskFull { place: "x".into() }; 9]);
    earlier.start();
    let mut record = earlier.journal.values().next().unwrap().clone();
    assert!(matches!(record.stage, Stage::Answered(_)));
    record.replaced[0].0.store = WORK.into();
    world.journal.insert(record.id.clone(), record);
    world.known_spent.clone_from(&earlier.known_spent);
    world.server = earlier.server.clone();
    world.mode = mode;
    // A sign-in that was not part of it, and is due.
    world.server.live.insert("rt-other".into());
    world.put(entry("other", "at-other", "rt-other", world.now.wall.0 + 60_000));
    world.verdicts =
        vec![AuthVerdict { server_name: "other".into(), at: world.now.wall, left_alone: false }];
    let keeper = world.keeper();
    (world, keeper)
}

/// The world's one store stands for the visited one.
fn seen(world: &World) -> Input {
    Input::StoreSeen { store: WORK.into(), seen: Ok(world.view()) }
}

#[test]
fn a_visited_store_gets_what_the_journal_holds_for_it_and_nothing_else_is_done_there() {
    for mode in [Mode::Keep, Mode::OnRequest] {
        let (mut world, mut keeper) = with_a_record(mode);
        let presented = world.server.presented.len();
        keeper.visit(work());
        keeper.handle(
            Input::StoreSeen { store: STORE.into(), seen: Ok(StoreView::default()) },
            world.now,
        );
        keeper.handle(seen(&world), world.now);
        world.settle(&mut keeper);
        assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()), "{mode:?}");
        assert!(!keeper.is_busy());
        world.act(&mut keeper, Action::RenewDue);
        let asked = |event: &Event| {
            matches!(event, Event::Unchanged { .. } | Event::Failed { .. } | Event::Checked { .. })
        };
        let asked = world.events.iter().any(asked);
        assert!(!asked, "{:?}", world.events);
        keeper.handle(seen(&world), world.now);
        world.settle(&mut keeper);
        assert_eq!(world.server.presented.len(), presented, "nothing is renewed there");
        assert_eq!(world.verdicts.len(), 1, "no verdict is withdrawn there");
        let snapshot = keeper.snapshot();
        assert!(snapshot.rows.is_empty() && snapshot.stores.iter().all(|s| s.id != WORK.into()));
        let signed_out = world.events.iter().any(|e| matches!(e, Event::SignedOut { .. }));
        assert!(!signed_out);
    }
}

#[test]
fn a_visited_store_is_looked_at_until_its_client_is_known_to_live_with_what_was_saved() {
    let (mut world, mut keeper) = with_a_record(Mode::Keep);
    keeper.visit(work());
    let none = Input::StoreSeen { store: STORE.into(), seen: Ok(StoreView::default()) };
    keeper.handle(none, world.now);
    keeper.handle(seen(&world), world.now);
    world.settle(&mut keeper);
    let wakes = world.wakes_in(&mut keeper, 2 * MINUTE);
    assert!(wakes < 12, "{wakes}");
    assert!(world.journal.is_empty());
}

#[test]
fn new_tokens_that_a_visited_store_does_not_take_are_shown() {
    let (mut world, mut keeper) = with_a_record(Mode::Keep);
    world.write_faults = VecDeque::from(vec![StoreFault::DiskFull { place: "x".into() }; 99]);
    keeper.visit(work());
    keeper.handle(seen(&world), world.now);
    world.settle(&mut keeper);
    let snapshot = keeper.snapshot();
    let rows: Vec<_> = snapshot.rows.iter().map(|row| (row.id.as_str(), row.health)).collect();
    assert_eq!(rows, [("claude-code@~/team/slack", Health::StoreBroken)]);
    assert_eq!(snapshot.exit, crate::health::EXIT_STORE);
}

#[test]
fn a_visited_store_that_takes_nothing_is_not_waited_for_by_who_asked_for_something_else() {
    let (mut world, mut keeper) = with_a_record(Mode::OnRequest);
    world.write_faults = VecDeque::from(vec![StoreFault::DiskFull { place: "x".into() }; 99]);
    keeper.visit(work());
    let none = Input::StoreSeen { store: STORE.into(), seen: Ok(StoreView::default()) };
    keeper.handle(none, world.now);
    keeper.handle(seen(&world), world.now);
    world.settle(&mut keeper);
    world.wakes_in(&mut keeper, MINUTE);
    assert!(world.write_faults.len() <= 99 - 2, "it was tried twice");
    assert!(!keeper.is_busy());
    assert_eq!(world.journal.len(), 1, "the journal keeps it");
}

#[test]
fn a_visited_store_whose_lock_another_program_holds_is_waited_for_until_that_is_found_dead() {
    let (mut world, mut keeper) = with_a_record(Mode::OnRequest);
    let busy = StoreFault::Busy { lock: "x".into() };
    world.write_faults = VecDeque::from(vec![busy; 20]);
    keeper.visit(work());
    let none = Input::StoreSeen { store: STORE.into(), seen: Ok(StoreView::default()) };
    keeper.handle(none, world.now);
    keeper.handle(seen(&world), world.now);
    world.settle(&mut keeper);
    assert!(keeper.is_busy());
    world.wakes_in(&mut keeper, 70_000);
    assert!(world.write_faults.is_empty(), "{} tries are left", world.write_faults.len());
    assert!(!keeper.is_busy());
}

#[test]
fn a_record_that_nothing_here_can_finish_is_shown_with_what_to_do() {
    let (mut world, mut keeper) = with_a_record(Mode::Keep);
    let unfinished = crate::snapshot::Unfinished {
        store: WORK.into(),
        client: "Claude Code".into(),
        place: "~/team".into(),
        sign_ins: 1,
        why: "~/team is not there".into(),
        advice: "bring it back".into(),
    };
    keeper.cannot_visit(unfinished.clone());
    keeper.handle(
        Input::StoreSeen { store: STORE.into(), seen: Ok(StoreView::default()) },
        world.now,
    );
    world.settle(&mut keeper);
    let snapshot = keeper.snapshot();
    assert_eq!(snapshot.unfinished, [unfinished]);
    assert_eq!(snapshot.exit, crate::health::EXIT_STORE);
    assert!(!keeper.is_busy());
    // It comes back while the keeper runs.
    assert!(keeper.out_of_reach().eq([&WORK.into()]));
    keeper.visit(work());
    keeper.handle(seen(&world), world.now);
    world.settle(&mut keeper);
    assert_eq!(keeper.snapshot().unfinished, []);
    assert!(keeper.out_of_reach().next().is_none());
}

#[test]
fn nothing_is_told_of_a_visited_store_once_its_records_are_finished() {
    let (mut world, mut keeper) = with_a_record(Mode::Keep);
    keeper.visit(work());
    let none = Input::StoreSeen { store: STORE.into(), seen: Ok(StoreView::default()) };
    keeper.handle(none, world.now);
    keeper.handle(seen(&world), world.now);
    world.settle(&mut keeper);
    world.wakes_in(&mut keeper, 2 * MINUTE);
    assert!(world.journal.is_empty());
    let told = world.events.len();
    let broken = || StoreFault::Broken { place: "~/team".into(), what: "not JSON".into() };
    for _ in 0..3 {
        let broken = Input::StoreSeen { store: WORK.into(), seen: Err(broken()) };
        keeper.handle(broken, world.now);
        world.settle(&mut keeper);
        world.now.wall = world.now.wall + Millis::minutes(1);
        world.now.boot = world.now.boot + Millis::minutes(1);
    }
    // Its client renews there by itself, and a person signs out.
    world.put(entry("slack", "at-9", "rt-9", world.now.wall.0 + 3_600_000));
    keeper.handle(seen(&world), world.now);
    world.settle(&mut keeper);
    world.entries.clear();
    keeper.handle(seen(&world), world.now);
    world.settle(&mut keeper);
    let about = |event: &&Event| format!("{event:?}").contains(WORK);
    let told: Vec<&Event> = world.events[told..].iter().filter(about).collect();
    assert!(told.is_empty(), "{told:?}");
    assert!(keeper.notices.is_empty());
}

/// A journal record about the usual folder and one that is not there now, which cannot be visited.
fn shared_with_one_that_is_away(is_saved: bool) -> (World, Keeper) {
    let mut world = World::new();
    let mut earlier = world.clone();
    if !is_saved {
        earlier.write_faults = VecDeque::from(vec![StoreFault::DiskFull { place: "x".into() }; 9]);
    }
    earlier.start();
    let mut record = earlier.journal.values().next().unwrap().clone();
    let (target, replaced) = record.replaced[0].clone();
    record.replaced.push((Target { store: WORK.into(), ..target }, replaced));
    world.journal.insert(record.id.clone(), record);
    (world.server, world.known_spent) = (earlier.server, earlier.known_spent);
    world.entries = earlier.entries;
    let away = || StoreFault::Absent { place: "~/team".into() };
    world.no_locks.insert(WORK.into(), away());
    let mut keeper = world.keeper();
    keeper.cannot_visit(crate::snapshot::Unfinished {
        store: WORK.into(),
        client: "Claude Code".into(),
        place: "~/team".into(),
        sign_ins: 1,
        why: "~/team is not there".into(),
        advice: "bring it back".into(),
    });
    world.look(&mut keeper);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair().1, "rt-1");
    (world, keeper)
}

/// It is there again, with what it held when it went.
fn comes_back(world: &mut World, keeper: &mut Keeper) {
    world.no_locks.clear();
    let old = entry("slack", "at-0", "rt-0", world.now.wall.0);
    world.others.insert(WORK.into(), BTreeMap::from([(old.key.clone(), old)]));
    keeper.visit(work());
    world.look(keeper);
    world.pass(keeper, 4 * MINUTE);
}

/// The refresh token that it holds.
fn held(world: &World) -> Option<Secret> {
    world.others[&StoreId::from(WORK)][&EntryKey::from("slack|0")].pair.refresh.clone()
}

#[test]
fn what_is_saved_in_one_folder_stays_owed_to_one_that_cannot_be_visited() {
    let (mut world, mut keeper) = shared_with_one_that_is_away(false);
    assert_eq!(keeper.snapshot().unfinished.len(), 1);
    let kept: Vec<_> = world.journal.values().collect();
    assert!(matches!(kept.as_slice(), [record] if matches!(record.stage, Stage::Answered(_))));
    assert!(!keeper.is_busy());
    comes_back(&mut world, &mut keeper);
    assert_eq!(held(&world), secret("rt-1"));
    assert!(world.journal.is_empty());
}

#[test]
fn what_waits_for_a_store_that_is_away_is_renewed_with_the_rest() {
    for signed_out in [false, true] {
        let (mut world, mut keeper) = shared_with_one_that_is_away(false);
        // The others go on meanwhile.
        world.act(&mut keeper, Action::Renew("claude-code/slack".into()));
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.pair().1, "rt-2");
        if signed_out {
            world.entries.clear();
            world.look(&mut keeper);
        }
        comes_back(&mut world, &mut keeper);
        let expected = if signed_out { "rt-0" } else { "rt-2" };
        assert_eq!(held(&world), secret(expected), "never a spent one of ours");
        assert!(world.journal.is_empty(), "{:?}", world.journal);
    }
}

#[test]
fn what_waits_for_a_store_goes_on_waiting_while_nothing_can_be_copied_from_who_holds_the_newest() {
    let (mut world, mut keeper) = shared_with_one_that_is_away(false);
    world.act(&mut keeper, Action::Renew("claude-code/slack".into()));
    world.pass(&mut keeper, 2 * MINUTE);
    let target = Target { store: STORE.into(), key: "slack|0".into() };
    let refusal = crate::facts::Refusal {
        mark: TokenMark::of(&MarkKey([1; 32]), &Secret::new("rt-2")),
        code: crate::facts::INVALID_CLIENT.into(),
        at: world.now.wall,
        confirmed: true,
        client_id: Some("cl".into()),
        secret: None,
        before: None,
    };
    keeper.facts_mut(&target).refusal = Some(refusal);
    comes_back(&mut world, &mut keeper);
    assert_eq!((held(&world), world.journal.len()), (secret("rt-0"), 1));
    keeper.facts_mut(&target).refusal = None;
    world.pass(&mut keeper, 4 * MINUTE);
    assert_eq!((held(&world), world.journal.len()), (secret("rt-2"), 0));
}

#[test]
fn a_store_that_cannot_be_visited_is_no_longer_unfinished_once_its_last_record_goes() {
    let (world, keeper) = shared_with_one_that_is_away(true);
    assert!(world.journal.is_empty());
    assert_eq!(keeper.snapshot().unfinished, []);
    assert!(keeper.out_of_reach().next().is_none());
}
