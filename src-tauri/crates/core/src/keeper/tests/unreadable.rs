//! Stores that are broken, locked, away or empty: each stands for itself, and none of it is a sign-out.

use super::*;
use crate::store::SignIns;

const COPY: &str = OTHER;

fn faults() -> [StoreFault; 4] {
    let place = || String::from("~/.claude-work/.credentials.json");
    [
        StoreFault::Locked { place: place() },
        StoreFault::Broken { place: place(), what: "not valid JSON".into() },
        StoreFault::Denied { place: place(), what: "reading it: permission denied".into() },
        StoreFault::Io { place: place(), what: "reading it: input/output error".into() },
    ]
}

fn act(world: &mut World, keeper: &mut Keeper, action: Action) {
    keeper.handle(Input::Act(action), world.now);
    world.settle(keeper);
}

fn renew() -> Action {
    Action::Renew("claude-code/slack".into())
}

/// How many looks outside a flight a keeper asks for within this time, and when.
fn looks(world: &mut World, keeper: &mut Keeper, span: u64) -> Vec<u64> {
    let began = world.now.boot.0;
    world.looks.clear();
    world.pass(keeper, span);
    world.looks.iter().map(|at| (at.0 - began) / 1_000).collect()
}

#[test]
fn a_copy_that_cannot_be_read_does_not_stop_the_good_one_and_its_row_names_the_file() {
    for fault in faults() {
        let mut world = World::new();
        world.others.insert(COPY.into(), world.entries.clone());
        world.mode = Mode::OnRequest;
        let mut keeper = world.start();
        world.faults.insert(COPY.into(), fault.clone());
        act(&mut world, &mut keeper, Action::RenewDue);
        assert_eq!(world.pair().1, "rt-1", "{fault:?}");
        let rows = keeper.snapshot().rows;
        let row = |store: &str| rows.iter().find(|row| row.store.as_str() == store).unwrap();
        assert_eq!((row(STORE).health, &row(STORE).reason), (Health::Healthy, &None));
        assert_eq!(row(COPY).reason, Some(fault.to_string()));
        assert!(!keeper.is_busy());
        world.faults.clear();
        act(&mut world, &mut keeper, Action::RenewDue);
        assert_eq!(world.others[&StoreId::from(COPY)], world.entries);
        assert_eq!(world.server.presented.len(), 1);
    }
}

#[test]
fn a_copy_whose_lock_cannot_be_taken_does_not_stop_the_good_one() {
    let mut world = World::new();
    world.others.insert(COPY.into(), world.entries.clone());
    let denied = StoreFault::Denied { place: "~/.claude-work".into(), what: "making it".into() };
    world.no_locks.insert(COPY.into(), denied);
    let mut keeper = world.start();
    assert_eq!(world.pair().1, "rt-1");
    world.pass(&mut keeper, 3 * 60 * MINUTE);
    assert!(world.server.presented.len() > 3 && !world.server.dead);
    world.no_locks.clear();
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.others[&StoreId::from(COPY)], world.entries);
}

#[test]
fn who_holds_the_lock_of_a_copy_may_be_presenting_the_token_so_all_wait() {
    let mut world = World::new();
    world.others.insert(COPY.into(), world.entries.clone());
    world.no_locks.insert(COPY.into(), StoreFault::Busy { lock: "mcp-refresh.lock".into() });
    let mut keeper = world.start();
    world.pass(&mut keeper, MINUTE);
    assert!(world.server.presented.is_empty());
}

#[test]
fn what_keeps_a_store_from_being_used_is_not_blamed_on_its_server() {
    let mut world = World::new();
    let denied = StoreFault::Denied { place: "~/.claude".into(), what: "making it".into() };
    world.no_locks.insert(STORE.into(), denied);
    let mut keeper = world.start();
    world.pass(&mut keeper, 20 * MINUTE);
    let phrase = format!("{:?}", keeper.snapshot().rows[0].phrase);
    assert!(phrase.contains("~/.claude: making it") && !phrase.contains("answered"), "{phrase}");
}

#[test]
fn a_store_that_cannot_be_read_is_looked_at_after_1_5_and_30_seconds_and_then_each_minute() {
    for fault in faults() {
        for at_start in [true, false] {
            let mut world = World::new();
            let mut keeper = if at_start { world.keeper() } else { world.start() };
            world.pass(&mut keeper, 2 * MINUTE);
            world.faults.insert(STORE.into(), fault.clone());
            world.look(&mut keeper);
            let looks = looks(&mut world, &mut keeper, 4 * MINUTE);
            assert_eq!(looks, [1, 5, 30, 90, 150, 210], "{fault:?}");
            world.faults.clear();
            world.pass(&mut keeper, MINUTE);
            assert_eq!(world.health(&keeper), Health::Healthy);
            assert!(world.notices().len() <= 1);
        }
    }
}

#[test]
fn a_fault_that_is_over_a_second_later_is_told_to_nobody() {
    for fault in faults() {
        let mut world = World::new();
        let mut keeper = world.start();
        world.faults.insert(STORE.into(), fault);
        world.look(&mut keeper);
        world.faults.clear();
        world.pass(&mut keeper, 2_000);
        assert_eq!(world.health(&keeper), Health::Healthy);
        assert!(world.notices().is_empty());
    }
}

#[test]
fn every_wake_looks_at_what_could_not_be_read() {
    for why in [WokeWhy::Resumed, WokeWhy::ClockStepped, WokeWhy::RouteChanged] {
        let mut world = World::new();
        world.faults.insert(STORE.into(), faults()[0].clone());
        let mut keeper = world.start();
        world.pass(&mut keeper, 10 * MINUTE + 40_000);
        world.faults.clear();
        keeper.handle(Input::Woke(why), world.now);
        world.settle(&mut keeper);
        assert_eq!(world.health(&keeper), Health::Healthy, "{why:?}");
    }
}

#[test]
fn who_asks_for_something_is_told_how_the_store_stands_then_and_not_before() {
    for (mode, action) in [
        (Mode::Keep, Action::RenewDue),
        (Mode::Keep, renew()),
        (Mode::OnRequest, Action::RenewDue),
        (Mode::OnRequest, renew()),
    ] {
        let mut world = World::new();
        world.mode = mode;
        world.faults.insert(STORE.into(), faults()[1].clone());
        let mut keeper = world.start();
        world.pass(&mut keeper, 40_000);
        world.faults.clear();
        keeper.handle(Input::Act(action.clone()), world.now);
        assert!(!keeper.is_settled(&"claude-code/slack".into()), "it is looked at first");
        world.settle(&mut keeper);
        assert_eq!(world.renewed_by(), [Renewer::Lamplighter], "{mode:?} {action:?}");
        let failed = world.events.iter().any(|event| matches!(event, Event::Failed { .. }));
        assert!(!failed, "{:?}", world.events);
        assert!(!keeper.is_looking_first());
    }
}

#[test]
fn a_folder_that_is_away_is_no_sign_out() {
    let away = |world: &mut World, how: u8| match how {
        // The folder is not there, and nothing is configured beside it; or it is; or it is empty.
        0 => {
            let gone = StoreFault::Absent { place: "~/.claude".into() };
            world.faults.insert(STORE.into(), gone);
        }
        _ => world.sign_ins = SignIns::Away,
    };
    for how in 0..2 {
        let mut world = World::new();
        let full = StoreFault::DiskFull { place: "store".into() };
        world.write_faults = VecDeque::from([full.clone(), full]);
        let mut keeper = world.start();
        assert_eq!(world.pair().1, "rt-0", "it is owed");
        let facts = world.facts.grants.clone();
        away(&mut world, how);
        world.look(&mut keeper);
        world.pass(&mut keeper, 36 * 60 * MINUTE);
        // Another run, which has never seen the store.
        keeper = world.start();
        world.pass(&mut keeper, 36 * 60 * MINUTE);
        assert_eq!(world.server.revoked, Vec::<String>::new());
        assert_eq!(world.journal.len(), 1);
        let signed_out = world.events.iter().any(|e| matches!(e, Event::SignedOut { .. }));
        assert!(!signed_out && world.notices().is_empty(), "{:?}", world.events);
        assert_eq!(world.facts.grants.keys().collect::<Vec<_>>(), facts.keys().collect::<Vec<_>>());
        assert!(!keeper.is_busy(), "nobody waits for it");
        world.faults.clear();
        world.sign_ins = SignIns::Read;
        world.pass(&mut keeper, 2 * MINUTE);
        assert!(
            world.journal.len() <= 1 && world.server.presented.iter().any(|(_, t)| t == "rt-1")
        );
        assert_eq!(world.health(&keeper), Health::Healthy);
        assert!(!world.server.dead);
    }
}

#[test]
fn a_pause_outlives_a_folder_that_is_away() {
    let mut world = World::new();
    let mut keeper = world.start();
    act(&mut world, &mut keeper, Action::Pause("claude-code/slack".into()));
    world.sign_ins = SignIns::Away;
    world.look(&mut keeper);
    world.pass(&mut keeper, 26 * 60 * MINUTE);
    world.sign_ins = SignIns::Read;
    world.look(&mut keeper);
    assert_eq!(world.health(&keeper), Health::Paused);
}

#[test]
fn a_folder_that_goes_away_while_the_answer_is_on_its_way_gets_its_tokens_when_it_is_back() {
    let mut world = World::new();
    world.during_send = Some(|world| {
        let gone = StoreFault::Absent { place: "~/.claude".into() };
        world.faults.insert(STORE.into(), gone);
    });
    let mut keeper = world.start();
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.server.revoked, Vec::<String>::new());
    world.faults.clear();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
    assert_eq!(world.server.presented.len(), 1);
}

#[test]
fn a_file_that_is_gone_for_a_moment_is_no_sign_out() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.sign_ins = SignIns::None;
    world.look(&mut keeper);
    world.sign_ins = SignIns::Read;
    world.pass(&mut keeper, 2_000);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert!(!world.events.iter().any(|event| matches!(event, Event::SignedOut { .. })));
}

#[test]
fn a_file_that_stays_gone_from_its_folder_is_a_sign_out_that_destroys_nothing_and_is_not_undone() {
    for comes_back in [true, false] {
        let mut world = World::new();
        let full = StoreFault::DiskFull { place: "store".into() };
        world.write_faults = VecDeque::from([full]);
        let mut keeper = world.start();
        world.sign_ins = SignIns::None;
        world.look(&mut keeper);
        world.pass(&mut keeper, 10 * MINUTE);
        assert!(world.events.iter().any(|event| matches!(event, Event::SignedOut { .. })));
        assert!(keeper.snapshot().rows.is_empty() && keeper.snapshot().exit == 0);
        assert_eq!(world.server.revoked, Vec::<String>::new());
        assert!(!keeper.is_busy());
        world.sign_ins = SignIns::Read;
        if comes_back {
            world.look(&mut keeper);
            world.pass(&mut keeper, 2 * MINUTE);
            assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
            continue;
        }
        // Signed in anew: what was owed for the old sign-in is not put over it.
        world.put(entry("slack", "at-n", "rt-n", world.now.wall.0 + 3_600_000));
        world.look(&mut keeper);
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.pair(), ("at-n".into(), "rt-n".into()));
        assert!(world.journal.is_empty());
    }
}

#[test]
fn entries_gone_from_a_store_that_is_there_were_signed_out_at_once() {
    let mut world = World::new();
    let full = StoreFault::DiskFull { place: "store".into() };
    world.write_faults = VecDeque::from([full]);
    let mut keeper = world.start();
    world.entries.clear();
    world.look(&mut keeper);
    assert_eq!(world.server.revoked, ["rt-1"]);
    assert!(world.journal.is_empty());
}

#[test]
fn a_store_that_never_was_there_is_not_looked_for() {
    let mut world = World::new();
    world.entries.clear();
    for sign_ins in [SignIns::None, SignIns::Away] {
        world.sign_ins = sign_ins;
        let mut keeper = world.start();
        assert_eq!(looks(&mut world, &mut keeper, 60 * MINUTE), [0; 0]);
    }
}
