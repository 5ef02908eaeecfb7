//! Journal records that are about some of the same entries: one gives way where the other is about the
//! entry too, and nowhere else.

use super::{waking::until_effect, *};
use crate::journal::Stage;

const CUT: &[u8] = br#"{"access_token":"at-1","refresh_token":"rt-1","expires_in":3600"#;

/// Two folders with the same sign-in, and no time at which it is due by itself.
fn with_a_copy() -> (World, Keeper) {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    world.copy_folder();
    let keeper = world.start();
    (world, keeper)
}

fn renew(world: &mut World, keeper: &mut Keeper) {
    world.act(keeper, Action::Renew("claude-code/slack".into()));
}

/// A person signs in anew in the usual folder.
fn sign_in(world: &mut World, keeper: &mut Keeper) {
    world.sign_in(keeper);
    world.come_back(keeper, "code=good");
}

fn empty_the_entry(world: &mut World) {
    let pair = TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) };
    world.entries.values_mut().for_each(|entry| entry.pair = pair.clone());
}

#[test]
fn a_new_sign_in_in_one_folder_leaves_the_copy_what_is_owed_to_it() {
    let (mut world, mut keeper) = with_a_copy();
    let full = StoreFault::DiskFull { place: "store".into() };
    world.write_faults = VecDeque::from(vec![full; 2]);
    renew(&mut world, &mut keeper);
    assert_eq!((world.pair().1, world.copied_pair().1), ("rt-0".into(), "rt-0".into()));
    sign_in(&mut world, &mut keeper);
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.pair().1, "rt-signed");
    assert_eq!(world.copied_pair().1, "rt-1");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
    assert!(world.journal.is_empty() && !keeper.is_busy());
}

#[test]
fn a_new_sign_in_in_one_folder_leaves_the_copy_the_answer_that_could_not_be_read() {
    let (mut world, mut keeper) = with_a_copy();
    world.bodies = VecDeque::from([CUT]);
    world.server.weather = VecDeque::from([Weather::Fine, Weather::CutBefore]);
    renew(&mut world, &mut keeper);
    sign_in(&mut world, &mut keeper);
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.pair().1, "rt-signed");
    let record = world.journal.values_mut().next().expect("a later version may read it");
    let Stage::Raw(bytes) = &mut record.stage else { panic!("{record:?}") };
    bytes.push(b'}');
    // Emptied since, the entry of the new sign-in is no place for tokens of the old one.
    empty_the_entry(&mut world);
    keeper = world.start();
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.copied_pair().1, "rt-1");
    assert_eq!(world.pair().1, "");
}

#[test]
fn a_sign_out_from_one_folder_is_known_to_the_journal_while_the_copy_waits_for_its_tokens() {
    let (mut world, mut keeper) = with_a_copy();
    let full = StoreFault::DiskFull { place: "store".into() };
    world.write_faults = VecDeque::from(vec![full.clone(); 2]);
    renew(&mut world, &mut keeper);
    let signed_out = std::mem::take(&mut world.entries);
    world.look(&mut keeper);
    // Its client makes the entry again, as it does where a server wants a sign-in.
    world.entries = signed_out;
    empty_the_entry(&mut world);
    keeper = world.start();
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!((world.pair().1, world.copied_pair().1), (String::new(), "rt-1".into()));
}

#[test]
fn a_renewal_of_the_old_grant_that_no_store_takes_costs_no_sign_in_its_tokens() {
    for ends in [true, false] {
        let mut world = World::new();
        world.mode = Mode::OnRequest;
        let mut keeper = world.start();
        world.sign_in(&mut keeper);
        keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
        let locks: fn(&Effect) -> bool = |effect| matches!(effect, Effect::Lock { .. });
        let lock = until_effect(&mut world, &mut keeper, locks);
        // The lock is waited for. The person is quicker.
        world.come_back(&mut keeper, "code=good");
        world.now = Now { wall: world.now.wall + Millis(9), boot: world.now.boot + Millis(9) };
        world.write_faults = VecDeque::from([StoreFault::DiskFull { place: "store".into() }]);
        let (ticket, locked) = world.perform(lock).unwrap();
        keeper.handle(Input::Done(ticket, locked), world.now);
        if ends {
            until_effect(&mut world, &mut keeper, locks);
            assert_eq!(world.journal.len(), 2);
            keeper = world.start();
        }
        world.settle(&mut keeper);
        world.pass(&mut keeper, 5_000);
        assert_eq!((world.presented(), world.pair().1), (vec!["rt-0"], "rt-signed".into()));
        assert_eq!(world.ended().len(), usize::from(!ends));
        empty_the_entry(&mut world);
        world.pass(&mut keeper, 10 * MINUTE);
        assert_eq!(world.pair().1, "rt-signed", "the old account does not come back");
        assert!(world.journal.is_empty() && !keeper.is_busy());
    }
}
