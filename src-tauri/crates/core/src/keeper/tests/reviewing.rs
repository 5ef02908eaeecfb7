//! Looking where a server signs in, before a person trusts that.

use super::*;
use crate::{oauth::pin::Pin, snapshot::NewAddress};

fn reviewed(world: &mut World, keeper: &mut Keeper) -> Option<NewAddress> {
    world.events.clear();
    keeper.handle(Input::Act(Action::Review("claude-code/slack".into())), world.now);
    assert!(!keeper.is_settled(&"claude-code/slack".into()));
    world.settle(keeper);
    assert!(keeper.is_settled(&"claude-code/slack".into()) && !keeper.is_busy());
    let told = world.events.iter().find_map(|event| match event {
        Event::Reviewed { moved, .. } => Some(moved.clone()),
        _ => None,
    });
    told.expect("it is told what a look found")
}

fn pinned() -> World {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let target = Target { store: STORE.into(), key: EntryKey::from("slack|0") };
    let origin = String::from("https://as.example");
    let facts = world.facts.grants.entry(target).or_default();
    facts.pin = Some(Pin { issuer: origin.clone(), token_origin: origin });
    world
}

#[test]
fn a_look_sends_nothing_and_shows_both_hosts() {
    let mut world = pinned();
    world.server.moved_to = Some("https://new.example");
    let mut keeper = world.start();
    let facts = world.facts.clone();
    let moved = reviewed(&mut world, &mut keeper);
    let hosts = NewAddress { known: "as.example".into(), now: "new.example".into() };
    assert_eq!(moved, Some(hosts.clone()));
    assert_eq!(keeper.snapshot().rows[0].approval, Some(hosts));
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
    assert!(world.server.presented.is_empty());
    assert_eq!(world.facts.grants, facts.grants, "nothing is pinned by looking");
    // Trusted, it is renewed there.
    keeper.handle(
        Input::Act(Action::Trust(Trusted::new("claude-code/slack", "new.example"))),
        world.now,
    );
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.server.presented.len(), 1);
    assert_eq!(reviewed(&mut world, &mut keeper), None);
}

#[test]
fn only_the_host_that_was_shown_is_trusted() {
    let mut world = pinned();
    world.server.moved_to = Some("https://new.example");
    let mut keeper = world.start();
    reviewed(&mut world, &mut keeper);
    // While the person reads, another one answers.
    world.server.moved_to = Some("https://third.example");
    keeper.handle(
        Input::Act(Action::Trust(Trusted::new("claude-code/slack", "new.example"))),
        world.now,
    );
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    assert!(world.server.presented.is_empty());
    let hosts = NewAddress { known: "as.example".into(), now: "third.example".into() };
    assert_eq!(keeper.snapshot().rows[0].approval, Some(hosts.clone()));
    assert_eq!(reviewed(&mut world, &mut keeper), Some(hosts));
}

#[test]
fn a_move_that_was_taken_back_heals() {
    let mut world = pinned();
    world.server.moved_to = Some("https://new.example");
    let mut keeper = world.start();
    reviewed(&mut world, &mut keeper);
    world.server.moved_to = None;
    assert_eq!(reviewed(&mut world, &mut keeper), None);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert!(world.server.presented.is_empty());
}

#[test]
fn a_move_that_was_taken_back_heals_by_itself_within_an_hour() {
    let mut world = World::new();
    let mut keeper = world.start();
    world.server.moved_to = Some("https://new.example");
    world.pass(&mut keeper, 25 * 60 * MINUTE);
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
    let (before, told) = (world.server.presented.len(), world.events.len());
    world.pass(&mut keeper, 5 * 60 * MINUTE);
    assert_eq!(world.health(&keeper), Health::ApprovalRequired);
    assert_eq!(world.server.presented.len(), before);
    assert_eq!(world.events.len(), told, "nobody is told of a look that changed nothing");
    world.server.moved_to = None;
    world.pass(&mut keeper, 61 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert!(world.server.presented.len() > before);
}

#[test]
fn another_name_that_a_sign_in_met_is_shown_and_confirmed_also_before_the_first_sign_in() {
    let mut world = pinned();
    let key = EntryKey::from("notion|1");
    let target = Target { store: STORE.into(), key: key.clone() };
    let seen = String::from("https://other.example");
    world.facts.grants.entry(target.clone()).or_default().seen_issuer = Some(seen.clone());
    let server = ConfiguredServer {
        name: "notion".into(),
        url: "https://mcp.notion.example/mcp".into(),
        key: Some(key),
        sign_in: SignInConfig::default(),
    };
    let mut keeper = world.keeper();
    let view = StoreView { servers: vec![server], ..world.view() };
    keeper.handle(Input::StoreSeen { store: STORE.into(), seen: Ok(view) }, world.now);
    keeper.handle(Input::Act(Action::Review("claude-code/notion".into())), world.now);
    world.settle(&mut keeper);
    let hosts = NewAddress { known: "mcp.notion.example".into(), now: seen.clone() };
    let grant = GrantId::from("claude-code/notion");
    assert_eq!(world.events.last(), Some(&Event::Reviewed { grant, moved: Some(hosts) }));
    keeper.handle(Input::Act(Action::Trust(Trusted::new("claude-code/notion", &seen))), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.facts.grants[&target].confirmed_issuer, Some(seen));
}
