//! What an entry records of its server, and what becomes of its tokens where that changes.

use super::*;

const EVIL: &str = "https://evil.example/m";

fn slack() -> EntryKey {
    EntryKey::from("slack|0")
}

impl World {
    /// The client writes its entry anew and leaves the tokens, as it does after a look at the server's
    /// documents.
    fn rewrite(&mut self, edit: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(&slack()) {
            edit(entry);
        }
    }

    /// The same, seen by the keeper.
    fn rewritten(&mut self, keeper: &mut Keeper, edit: impl FnOnce(&mut Entry)) {
        self.rewrite(edit);
        keeper.handle(self.seen(), self.now);
        self.settle(keeper);
    }
}

/// What a client leaves behind that looked where a repository told it to look.
fn elsewhere(entry: &mut Entry) {
    entry.metadata_url = Some(EVIL.into());
    entry.authorization_server = Some("https://evil.example".into());
    entry.issuer = Some("https://evil.example".into());
}

fn as_it_was(entry: &mut Entry) {
    (entry.metadata_url, entry.issuer) = (None, None);
    entry.authorization_server = Some("https://as.example".into());
}

/// A grant that is known and not due.
fn known() -> (World, Keeper) {
    let mut world = World::new();
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 60 * 60_000));
    let mut keeper = world.start();
    world.pass(&mut keeper, MINUTE);
    assert_eq!(world.server.presented.len(), 0);
    (world, keeper)
}

#[test]
fn an_entry_whose_recorded_server_changes_under_the_same_token_is_not_followed() {
    for after_a_restart in [false, true] {
        let (mut world, mut keeper) = known();
        world.rewrite(elsewhere);
        if after_a_restart {
            keeper = world.start();
        }
        keeper.handle(world.seen(), world.now);
        world.pass(&mut keeper, 60 * MINUTE);
        assert_eq!(world.server.presented.len(), 0);
        assert_eq!(world.health(&keeper), Health::ApprovalRequired);
        let approval = keeper.snapshot().rows.remove(0).approval.unwrap();
        assert_eq!(
            (approval.known.as_str(), approval.now.as_str()),
            ("as.example", "evil.example")
        );
        // Taken back, it is as if it had never been there.
        world.rewritten(&mut keeper, as_it_was);
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.health(&keeper), Health::Healthy);
        assert_eq!(world.pair().1, "rt-1");
    }
}

#[test]
fn a_person_who_agrees_to_the_newly_recorded_server_is_followed() {
    let (mut world, mut keeper) = known();
    world.rewritten(&mut keeper, |entry| {
        entry.authorization_server = Some("https://as.example/".into());
        entry.issuer = Some("https://as.example".into());
        entry.metadata_url = Some("https://docs.example/m".into());
    });
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
    keeper.handle(Input::Act(Action::Review("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    let moved = world.events.iter().find_map(|event| match event {
        Event::Reviewed { moved, .. } => moved.clone(),
        _ => None,
    });
    let now = moved.unwrap().now;
    assert_eq!(now, "docs.example");
    keeper.handle(Input::Act(Action::Trust(Trusted::new("claude-code/slack", &now))), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_record_that_changes_while_its_token_is_renewed_is_not_followed_afterwards() {
    let mut world = World::new();
    world.during_send = Some(|world| world.rewrite(elsewhere));
    let mut keeper = world.start();
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!((world.server.presented.len(), world.pair().1.as_str()), (1, "rt-1"));
    world.facts.grants.values_mut().for_each(|facts| facts.pin = None);
    let mut keeper = world.start();
    world.pass(&mut keeper, 60 * MINUTE);
    assert_eq!(world.server.presented.len(), 1);
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
}

#[test]
fn what_a_client_adds_to_its_records_of_the_same_server_asks_nobody() {
    let edits: [fn(&mut Entry); 4] = [
        |entry| entry.issuer = Some("https://as.example".into()),
        |entry| entry.authorization_server = Some("https://as.example/".into()),
        |entry| entry.metadata_url = Some("https://as.example/.well-known/m".into()),
        |entry| entry.metadata_url = None,
    ];
    for edit in edits {
        let (mut world, mut keeper) = known();
        world.rewritten(&mut keeper, edit);
        assert_eq!(world.health(&keeper), Health::Healthy);
    }
}

#[test]
fn a_new_sign_in_by_the_client_brings_its_own_server() {
    let (mut world, mut keeper) = known();
    world.rewritten(&mut keeper, |entry| {
        elsewhere(entry);
        entry.pair.access = secret("at-new");
        entry.pair.refresh = secret("rt-new");
    });
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn what_an_earlier_version_kept_has_no_record_and_takes_the_present_one() {
    let (mut world, _) = known();
    world.facts.grants.values_mut().for_each(|facts| facts.recorded = None);
    world.rewrite(|entry| entry.authorization_server = Some("https://as.example/".into()));
    let mut keeper = world.start();
    world.pass(&mut keeper, MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    let noted = world.facts.grants.values().next().and_then(|facts| facts.recorded.clone());
    assert_eq!(noted.unwrap().authorization_server.as_deref(), Some("https://as.example/"));
    world.rewritten(&mut keeper, elsewhere);
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
}

#[test]
fn a_sign_out_asks_nobody_whom_only_a_changed_record_names() {
    let (mut world, mut keeper) = known();
    world.rewritten(&mut keeper, elsewhere);
    let wish = SignOut { grant: "claude-code/slack".into(), revoke: true };
    keeper.handle(Input::Act(Action::SignOut(wish)), world.now);
    world.settle(&mut keeper);
    assert!(world.entries.is_empty() && world.server.revoked.is_empty());
    let told = world
        .events
        .iter()
        .any(|event| matches!(event, Event::Revocation { outcome: AtServer::Elsewhere, .. }));
    assert!(told, "{:?}", world.events);
}

#[test]
fn a_copy_of_a_known_sign_in_that_records_another_server_is_not_followed() {
    let (mut world, _) = known();
    let mut copy = world.entries[&slack()].clone();
    elsewhere(&mut copy);
    world.others.insert("claude-code@copy".into(), BTreeMap::from([(slack(), copy)]));
    let mut keeper = world.start();
    world.pass(&mut keeper, 60 * MINUTE);
    assert_eq!(world.pair().1, "rt-1");
    let rows = keeper.snapshot().rows;
    let health = |store: &str| rows.iter().find(|row| row.store.as_str() == store).unwrap().health;
    assert_eq!(health(STORE), Health::Healthy);
    assert_eq!(health("claude-code@copy"), Health::ApprovalRequired);
}

#[test]
fn a_sign_out_trusts_no_recorded_document_of_another_host() {
    let mut world = World::new();
    world.evil_claims = "https://as.example";
    let mut poisoned = entry("slack", "at-0", "rt-0", world.now.wall.0 + 60 * 60_000);
    poisoned.metadata_url = Some(EVIL.into());
    world.put(poisoned);
    let mut keeper = world.start();
    let wish = SignOut { grant: "claude-code/slack".into(), revoke: true };
    keeper.handle(Input::Act(Action::SignOut(wish)), world.now);
    world.settle(&mut keeper);
    assert!(world.entries.is_empty() && world.server.revoked.is_empty());
}

#[test]
fn a_pin_of_another_server_than_the_recorded_one_holds_no_token_back_from_the_recorded_one() {
    for reviewed in [false, true] {
        let (mut world, _) = known();
        for facts in world.facts.grants.values_mut() {
            facts.pin = Some(crate::oauth::pin::Pin {
                issuer: "https://evil.example".into(),
                token_origin: "https://evil.example".into(),
            });
        }
        let mut keeper = world.start();
        if reviewed {
            keeper.handle(Input::Act(Action::Review("claude-code/slack".into())), world.now);
            world.settle(&mut keeper);
            let moved = world
                .events
                .iter()
                .any(|event| matches!(event, Event::Reviewed { moved: Some(_), .. }));
            assert!(!moved);
        }
        world.pass(&mut keeper, 60 * MINUTE);
        assert_eq!(world.health(&keeper), Health::Healthy);
        assert_eq!(world.pair().1, "rt-1");
        let pin = world.facts.grants.values().next().and_then(|facts| facts.pin.clone());
        assert_eq!(pin.unwrap().issuer, "https://as.example");
    }
}

#[test]
fn what_an_earlier_version_remembered_of_a_folder_is_found_under_the_name_that_it_has_now() {
    let mut world = World::new();
    let now = StoreId::from("claude-code@~/100%25 %E2%80%8B%FF");
    let before = StoreId::from("claude-code@~/100% \u{200b}\u{fffd}");
    assert_eq!(now.before_encoding().as_ref(), Some(&before));
    assert_eq!(StoreId::from("claude-code@~/work").before_encoding(), None);
    let copy = entry("slack", "at-9", "rt-9", world.now.wall.0 + 60 * 60_000);
    world.others.insert(now.clone(), BTreeMap::from([(slack(), copy)]));
    let at = |store: &StoreId| Target { store: store.clone(), key: slack() };
    world.facts.grants.entry(at(&before)).or_default().paused = true;
    world.facts.stores.entry(before.clone()).or_default().proven = true;
    let mut keeper = world.start();
    world.settle(&mut keeper);
    let rows = keeper.snapshot().rows;
    assert_eq!(rows.iter().find(|row| row.store == now).unwrap().health, Health::Paused);
    world.pass(&mut keeper, 10 * MINUTE);
    assert!(world.facts.grants[&at(&now)].paused && world.facts.stores[&now].proven);
    assert!(!world.facts.grants.contains_key(&at(&before)));
}
