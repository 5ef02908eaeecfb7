//! Signing out: what leaves the store, what is revoked, in which order, and what is left behind.

use super::*;
use crate::oauth::pin::Pin;

fn sign_out(world: &mut World, keeper: &mut Keeper, revoke: bool) {
    let wish = SignOut { grant: "claude-code/slack".into(), revoke };
    keeper.handle(Input::Act(Action::SignOut(wish)), world.now);
    world.settle(keeper);
}

fn one_shot() -> World {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    world
}

impl World {
    /// What was told of sign-outs, in order.
    fn told(&self) -> Vec<String> {
        let told = self.events.iter().filter_map(|event| match event {
            Event::SignedOut { .. } => Some("signed out".into()),
            Event::Revocation { outcome, .. } => Some(format!("{outcome:?}")),
            Event::SignOutFailed { code, .. } => Some(code.clone()),
            Event::Unchanged { why, .. } => Some(why.clone()),
            _ => None,
        });
        told.collect()
    }

    fn has_entry(&self) -> bool {
        self.entries.contains_key(&EntryKey::from("slack|0"))
    }
}

#[test]
fn the_entry_goes_and_then_the_server_is_asked_for_both_tokens() {
    let mut world = one_shot();
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    assert!(!world.has_entry());
    assert_eq!(world.server.revoked, ["rt-0", "at-0"]);
    assert!(!world.revoked_under_a_lock, "the server is asked with a lock in hand");
    assert_eq!(world.told(), ["signed out", "Revoked"]);
    assert!(keeper.snapshot().rows.is_empty() && !keeper.is_busy());
    assert!(keeper.is_settled(&"claude-code/slack".into()));
}

#[test]
fn a_configured_server_is_then_simply_not_signed_in() {
    let mut world = one_shot();
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    let server = ConfiguredServer {
        name: "slack".into(),
        url: "https://mcp.example/mcp".into(),
        key: Some(EntryKey::from("slack|0")),
        sign_in: SignInConfig::default(),
    };
    let view = StoreView { servers: vec![server], ..world.view() };
    keeper.handle(Input::StoreSeen { store: STORE.into(), seen: Ok(view) }, world.now);
    let phrase = &keeper.snapshot().rows[0].phrase;
    assert_eq!(phrase.0, [crate::health::Part::Text("Not signed in".into())]);
}

#[test]
fn who_wants_the_grant_to_live_on_at_the_server_sends_nothing() {
    let mut world = one_shot();
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, false);
    assert!(!world.has_entry() && world.server.revoked.is_empty());
    assert_eq!(world.told(), ["signed out"]);
}

#[test]
fn a_store_that_cannot_be_written_keeps_its_grant_and_nothing_is_revoked() {
    let mut world = one_shot();
    world.write_faults.push_back(StoreFault::DiskFull { place: "~/.claude".into() });
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    assert!(world.has_entry() && world.server.revoked.is_empty());
    assert_eq!(world.told(), ["disk_full"]);
    assert_eq!((world.health(&keeper), keeper.is_busy()), (Health::Healthy, false));
    // And the same for a lock that somebody else holds.
    world.lock_faults.push_back(StoreFault::Busy { lock: "mcp-refresh.lock".into() });
    sign_out(&mut world, &mut keeper, true);
    assert!(world.has_entry() && world.server.revoked.is_empty());
    // It was in the way for that moment only.
    sign_out(&mut world, &mut keeper, true);
    assert_eq!(world.told(), ["disk_full", "store_busy", "signed out", "Revoked"]);
}

#[test]
fn what_waits_in_the_journal_is_destroyed_and_the_newest_tokens_are_revoked() {
    let mut world = World::new();
    let full = StoreFault::DiskFull { place: "~/.claude".into() };
    world.write_faults = VecDeque::from([full]);
    let mut keeper = world.start();
    assert_eq!((world.pair().1.as_str(), world.journal.len()), ("rt-0", 1));
    sign_out(&mut world, &mut keeper, true);
    assert!(!world.has_entry() && world.journal.is_empty());
    // rt-0 is spent, so it goes nowhere any more.
    assert_eq!(world.server.revoked, ["rt-1", "at-1", "at-0"]);
    world.pass(&mut keeper, 10 * MINUTE);
    assert!(!world.has_entry(), "nothing comes back");
}

#[test]
fn a_saved_renewal_that_is_still_looked_at_is_not_put_back() {
    let mut world = World::new();
    let mut keeper = world.start();
    assert_eq!(world.journal.len(), 1);
    sign_out(&mut world, &mut keeper, true);
    assert!(world.journal.is_empty());
    world.pass(&mut keeper, 2 * MINUTE);
    assert!(!world.has_entry());
    assert_eq!(world.server.revoked, ["rt-1", "at-1"]);
}

#[test]
fn a_grant_that_another_entry_holds_too_lives_on() {
    let mut world = one_shot();
    world.put(entry("copy", "at-0", "rt-0", world.now.wall.0 + 10 * 60_000));
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    assert!(!world.has_entry() && world.server.revoked.is_empty());
    assert_eq!(world.told(), ["signed out", "Shared"]);
    assert!(world.entries.contains_key(&EntryKey::from("copy|0")));
}

#[test]
fn a_renewal_in_the_air_comes_home_first() {
    let mut world = World::new();
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    let wish = SignOut { grant: "claude-code/slack".into(), revoke: true };
    keeper.handle(Input::Act(Action::SignOut(wish)), world.now);
    assert!(!keeper.is_settled(&"claude-code/slack".into()));
    world.settle(&mut keeper);
    assert_eq!(world.server.revoked, ["rt-1", "at-1"]);
    assert!(!world.has_entry() && world.journal.is_empty() && !keeper.is_in_the_air());
}

#[test]
fn what_the_client_wrote_meanwhile_is_what_goes() {
    let mut world = one_shot();
    world.during_remove = Some(|world| {
        world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
    });
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    assert!(!world.has_entry());
    assert_eq!(world.server.revoked, ["rt-c", "at-c"]);
}

#[test]
fn a_client_that_signs_out_at_the_same_time_is_no_fault() {
    let mut world = one_shot();
    world.during_remove = Some(|world| world.entries.clear());
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    assert_eq!(world.told(), ["signed out", "Revoked"]);
}

#[test]
fn a_server_that_moved_hears_nothing_and_the_entry_goes_all_the_same() {
    let mut world = one_shot();
    world.server.moved_to = Some("https://evil.example");
    let target = Target { store: STORE.into(), key: EntryKey::from("slack|0") };
    let pin =
        Pin { issuer: "https://as.example".into(), token_origin: "https://as.example".into() };
    world.facts.grants.entry(target).or_default().pin = Some(pin);
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    assert!(!world.has_entry() && world.server.revoked.is_empty());
    assert_eq!(world.told(), ["signed out", "Elsewhere"]);
}

#[test]
fn an_endpoint_that_lies_elsewhere_than_the_issuer_hears_nothing() {
    let mut world = one_shot();
    world.server.revokes_at = "https://evil.example/revoke";
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    assert!(!world.has_entry() && world.server.revoked.is_empty());
    assert_eq!(world.told(), ["signed out", "Elsewhere"]);
}

#[test]
fn nobody_can_be_signed_out_twice_and_a_client_of_the_organisations_is_left() {
    let mut world = one_shot();
    let mut keeper = world.start();
    sign_out(&mut world, &mut keeper, true);
    sign_out(&mut world, &mut keeper, true);
    assert_eq!(world.told(), ["signed out", "Revoked", "nobody is signed in"]);
    let managed = crate::store::LeftAlone::EnterpriseManaged;
    world.put(Entry { left_alone: Some(managed), ..entry("slack", "at-1", "rt-1", 0) });
    keeper.handle(world.seen(), world.now);
    sign_out(&mut world, &mut keeper, true);
    assert!(world.has_entry());
    assert_eq!(world.told().last().map(String::as_str), Some("not_possible"));
}

#[test]
fn ending_at_any_step_leaves_the_grant_whole_or_the_entry_gone() {
    for steps in 0.. {
        let mut world = World::new();
        let mut keeper = world.start();
        world.steps_left = Some(steps);
        let wish = SignOut { grant: "claude-code/slack".into(), revoke: true };
        keeper.handle(Input::Act(Action::SignOut(wish)), world.now);
        let came_home = world.settle(&mut keeper);
        if world.has_entry() {
            assert!(world.server.revoked.is_empty(), "{steps}: revoked, and still in the store");
        }
        // The next run brings nothing back, and loses nothing that is there.
        drop(keeper);
        let before = world.has_entry();
        world.steps_left = None;
        let mut keeper = world.start();
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.has_entry(), before, "{steps}");
        assert!(world.journal.is_empty(), "{steps}");
        if came_home {
            assert!(steps > 5 && !before);
            return;
        }
    }
}

#[test]
fn our_registration_stays_for_the_next_sign_in() {
    let mut world = one_shot();
    let mut keeper = world.start();
    let mut sign_in = |world: &mut World| {
        let wish = Reconnect::of("claude-code/slack".into());
        keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
        world.settle(&mut keeper);
        world.come_back(&mut keeper, "code=good");
        let wish = SignOut { grant: "claude-code/slack".into(), revoke: true };
        keeper.handle(Input::Act(Action::SignOut(wish)), world.now);
        world.settle(&mut keeper);
        assert!(!world.has_entry());
        let server = ConfiguredServer {
            name: "slack".into(),
            url: "https://mcp.example/mcp".into(),
            key: Some(EntryKey::from("slack|0")),
            sign_in: SignInConfig::default(),
        };
        let view = StoreView { servers: vec![server], ..world.view() };
        keeper.handle(Input::StoreSeen { store: STORE.into(), seen: Ok(view) }, world.now);
    };
    sign_in(&mut world);
    sign_in(&mut world);
    assert_eq!(world.registrations, 1);
    assert_eq!(world.server.revoked, ["rt-signed", "at-signed", "rt-signed", "at-signed"]);
}
