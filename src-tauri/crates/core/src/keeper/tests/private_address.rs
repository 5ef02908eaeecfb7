//! Sign-in servers that have a private address although the MCP server has none: nothing is sent there,
//! the true reason is shown, and nobody is told.

use super::*;

fn private(hosts: &'static [&'static str]) -> World {
    let mut world = World::new();
    let soon = world.now.wall.0 + 10 * 60_000;
    world.put(entry("slack", "at-0", "rt-0", soon));
    world.server.private = hosts;
    world
}

#[test]
fn a_private_sign_in_server_gets_nothing_and_nobody_is_told_of_a_server_that_does_not_answer() {
    // Where the metadata lies, and where only the token endpoint does.
    for (hosts, moved_to) in
        [(&["as.example"][..], None), (&["inside.example"][..], Some("https://inside.example"))]
    {
        let mut world = private(hosts);
        world.server.moved_to = moved_to;
        let mut keeper = world.start();
        world.pass(&mut keeper, 24 * 60 * MINUTE);
        assert!(world.server.presented.is_empty());
        assert!(world.notices().is_empty(), "{:?}", world.events);
        // Where only the token endpoint is private, each hourly look at the documents leads to one try.
        let tries = world.events.iter().filter(|event| matches!(event, Event::Renewing { .. }));
        assert!(tries.count() <= 25, "{:?}", world.events);
        let row = keeper.snapshot().rows.remove(0);
        assert_eq!((row.health, row.exit), (Health::StandingBy, 0));
        let reason = row.reason.unwrap();
        assert!(reason.contains(hosts[0]) && reason.contains("allow_private"), "{reason}");
        assert!(world.journal.is_empty());
        assert!(!keeper.is_busy());
        // Who asks hears the same.
        keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
        world.settle(&mut keeper);
        let told = world.events.iter().find_map(|event| match event {
            Event::Unchanged { why, .. } => Some(why.clone()),
            _ => None,
        });
        assert_eq!(told, Some(reason));
    }
}

#[test]
fn a_name_that_leads_elsewhere_in_another_network_is_tried_again_there() {
    let mut world = private(&["as.example"]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 5 * MINUTE);
    assert_eq!(world.health(&keeper), Health::StandingBy);
    world.server.private = &[];
    keeper.handle(Input::Woke(WokeWhy::RouteChanged), world.now);
    world.pass(&mut keeper, MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert_eq!(world.pair().1, "rt-1");
}

#[test]
fn a_name_that_no_longer_leads_there_is_found_within_an_hour() {
    let mut world = private(&["as.example"]);
    let mut keeper = world.start();
    world.server.private = &[];
    world.pass(&mut keeper, 61 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert_eq!(world.pair().1, "rt-1");
}

#[test]
fn a_sign_in_says_what_lets_a_private_sign_in_server_in() {
    let mut world = private(&["as.example"]);
    let mut keeper = world.start();
    let wish = Reconnect::of("claude-code/slack".into());
    keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
    world.settle(&mut keeper);
    assert!(world.invitations.is_empty());
    let why = world.events.iter().find_map(|event| match event {
        Event::SignInFailed { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(why.is_some_and(|why| why.contains("allow_private")), "{:?}", world.events);
}
