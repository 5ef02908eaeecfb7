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
        let tries = |world: &World| {
            world.events.iter().filter(|event| matches!(event, Event::Renewing { .. })).count()
        };
        assert!((24..=25).contains(&tries(&world)), "{:?}", world.events);
        let row = keeper.snapshot().rows.remove(0);
        assert_eq!((row.health, row.exit), (Health::StandingBy, 0));
        let reason = row.reason.unwrap();
        assert!(reason.contains(hosts[0]) && reason.contains("allow_private"), "{reason}");
        assert!(world.journal.is_empty());
        assert!(!keeper.is_busy());
        // Who asks for it has it tried, and hears the same; who asks for what is due hears it at once.
        for (action, times) in
            [(Action::Renew("claude-code/slack".into()), 1), (Action::RenewDue, 0)]
        {
            world.events.clear();
            world.act(&mut keeper, action);
            let told = world.events.iter().find_map(|event| match event {
                Event::Failed { why, .. } | Event::Unchanged { why, .. } => Some(why.clone()),
                _ => None,
            });
            assert_eq!(told.as_ref(), Some(&reason));
            assert_eq!(tries(&world), times, "{:?}", world.events);
        }
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
fn a_server_without_documents_is_tried_again_each_hour_and_whenever_somebody_asks() {
    // Where the metadata would lie, and where the token endpoint lies that it named once.
    for (hosts, moved_to, status) in [
        (&["as.example"][..], None, Some(404)),
        (&["inside.example"][..], Some("https://inside.example"), None),
    ] {
        for asked in [true, false] {
            let mut world = private(hosts);
            world.server.moved_to = moved_to;
            world.server.documents_status = status;
            let mut keeper = world.start();
            assert_eq!(world.health(&keeper), Health::StandingBy, "{hosts:?}");
            world.server.documents_status = Some(404);
            world.server.private = &[];
            if asked {
                world.act(&mut keeper, Action::Renew("claude-code/slack".into()));
            } else {
                world.pass(&mut keeper, 61 * MINUTE);
            }
            assert_eq!(world.health(&keeper), Health::Healthy, "{hosts:?} {asked}");
            assert_eq!(world.pair().1, "rt-1", "{hosts:?} {asked}");
        }
    }
}

#[test]
fn who_is_signed_out_by_the_server_or_paused_it_is_shown_that() {
    let mut world = private(&["as.example"]);
    let mut keeper = world.start();
    let id = || GrantId::from("claude-code/slack");
    world.act(&mut keeper, Action::Pause(id()));
    assert_eq!(world.health(&keeper), Health::Paused);
    world.act(&mut keeper, Action::Resume(id()));
    assert_eq!(world.health(&keeper), Health::StandingBy);
    // The client was refused, and emptied its entry.
    let emptied = TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) };
    world.put(Entry { pair: emptied, ..entry("slack", "", "", 0) });
    world.look(&mut keeper);
    let row = keeper.snapshot().rows.remove(0);
    assert_eq!((row.health, row.exit), (Health::SignInRequired, 10));
    assert_eq!(world.notices(), [NoticeCode::SignInRequired]);
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
