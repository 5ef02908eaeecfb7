//! Servers that speak HTTP without TLS: left to their client with the true reason, unless they are let in.

use super::*;

/// A world whose server has this address, and nothing else changed.
fn at(url: &str) -> World {
    let mut world = World::new();
    let mut plain = entry("slack", "at-0", "rt-0", world.now.wall.0 + 10 * 60_000);
    plain.server_url = url.into();
    world.put(plain);
    world
}

#[test]
fn a_server_without_tls_in_the_network_is_left_to_its_client_and_nobody_is_told() {
    let mut world = at("http://192.168.77.5:8080/mcp");
    let mut keeper = world.start();
    world.pass(&mut keeper, 12 * 60 * MINUTE);
    assert!(world.server.presented.is_empty() && world.events.is_empty(), "{:?}", world.events);
    assert!(world.notices().is_empty());
    let row = keeper.snapshot().rows.remove(0);
    assert_eq!((row.health, row.exit), (Health::StandingBy, 0));
    let reason = row.reason.unwrap();
    assert!(reason.contains("192.168.77.5") && reason.contains("allow_http"), "{reason}");
    // Who asks hears the same.
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    let told = world.events.iter().find_map(|event| match event {
        Event::Unchanged { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert_eq!(told, Some(reason));
    assert!(!keeper.is_busy());
}

#[test]
fn a_row_without_tls_says_that_it_is_paused_and_that_nobody_is_signed_in() {
    let mut world = at("http://192.168.77.5:8080/mcp");
    let mut keeper = world.start();
    world.act(&mut keeper, Action::Pause("claude-code/slack".into()));
    assert_eq!(world.health(&keeper), Health::Paused);
    world.act(&mut keeper, Action::Resume("claude-code/slack".into()));
    assert_eq!(world.health(&keeper), Health::StandingBy);
    let mut empty = world.entries[&EntryKey::from("slack|0")].clone();
    empty.pair = TokenPair::default();
    world.put(empty);
    world.look(&mut keeper);
    assert_eq!(world.health(&keeper), Health::NotSignedIn);
}

#[test]
fn a_server_that_is_let_in_is_renewed() {
    let mut world = at("http://192.168.77.5:8080/mcp");
    world.plain_http = PlainHttp::new(&["192.168.77.5".into()]).unwrap();
    let keeper = world.start();
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert_eq!(world.pair().1, "rt-1");
}

#[test]
fn a_sign_in_server_or_token_endpoint_without_tls_is_the_same() {
    let mut recorded = World::new();
    let mut plain = entry("slack", "at-0", "rt-0", recorded.now.wall.0 + 10 * 60_000);
    plain.authorization_server = Some("http://10.0.0.7".into());
    recorded.put(plain);
    let mut met = World::new();
    met.server.moved_to = Some("http://10.0.0.7");
    for (what, mut world) in [("recorded", recorded), ("met", met)] {
        if what == "met" {
            // A person has seen the other host, which is no word for going without TLS.
            let target = Target { store: STORE.into(), key: "slack|0".into() };
            let trusted = crate::facts::GrantFacts {
                trusted: vec!["10.0.0.7".into()],
                ..crate::facts::GrantFacts::default()
            };
            world.facts.grants.insert(target, trusted);
        }
        let mut keeper = world.start();
        world.pass(&mut keeper, 12 * 60 * MINUTE);
        assert!(world.server.presented.is_empty(), "{what}");
        assert!(world.notices().is_empty(), "{what}: {:?}", world.events);
        let row = keeper.snapshot().rows.remove(0);
        assert_eq!(row.health, Health::StandingBy, "{what}");
        assert!(row.reason.unwrap().contains("10.0.0.7"), "{what}");
    }
}

#[test]
fn a_token_endpoint_that_has_tls_again_is_found_within_an_hour() {
    let mut world = World::new();
    let target = Target { store: STORE.into(), key: "slack|0".into() };
    let trusted = crate::facts::GrantFacts {
        trusted: vec!["as.example".into()],
        ..crate::facts::GrantFacts::default()
    };
    world.facts.grants.insert(target, trusted);
    world.server.moved_to = Some("http://as.example");
    let mut keeper = world.start();
    assert_eq!(world.health(&keeper), Health::StandingBy);
    let mut asked = (world.clone(), keeper.clone());
    world.server.moved_to = None;
    world.pass(&mut keeper, 61 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    // Who asks need not wait for it.
    asked.0.server.moved_to = None;
    asked.0.act(&mut asked.1, Action::Renew("claude-code/slack".into()));
    assert_eq!(asked.0.health(&asked.1), Health::Healthy);
}

#[test]
fn nobody_is_led_to_a_sign_in_without_tls() {
    let mut world = at("http://192.168.77.5:8080/mcp");
    let mut keeper = world.start();
    let wish = Reconnect::of("claude-code/slack".into());
    keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
    world.settle(&mut keeper);
    assert!(world.invitations.is_empty());
    let why = world.events.iter().find_map(|event| match event {
        Event::SignInFailed { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(why.is_some_and(|why| why.contains("without TLS")), "{:?}", world.events);
}
