//! What configuration says about an entry, against what the entry records.

use super::*;

/// Where a document of somebody else's lies, which claims to be the recorded server's.
const EVIL: &str = "https://evil.example/m";

impl World {
    /// An entry with what somebody's configuration says about it.
    pub(super) fn as_configured(&self, mut entry: Entry) -> Entry {
        entry.sign_in.metadata_url = self.configured.then(|| EVIL.into());
        entry
    }
}

#[test]
fn a_configured_document_of_another_server_gets_no_token_and_shows_both_hosts() {
    for claims in ["https://evil.example", "https://as.example"] {
        for pinned in [false, true] {
            let mut world = World::new();
            world.evil_claims = claims;
            if pinned {
                let mut keeper = world.start();
                world.pass(&mut keeper, 70_000);
            }
            let presented = world.server.presented.len();
            world.configured = true;
            let mut keeper = world.start();
            world.pass(&mut keeper, 60 * MINUTE);
            assert_eq!(world.server.presented.len(), presented, "{claims} {pinned}");
            let row = keeper.snapshot().rows.remove(0);
            let approval = row.approval.unwrap();
            assert_eq!(
                (approval.known.as_str(), approval.now.as_str()),
                ("as.example", "evil.example")
            );
            // Taken back, it is as if it had never been there.
            world.configured = false;
            keeper.handle(world.seen(), world.now);
            world.settle(&mut keeper);
            assert_eq!(world.health(&keeper), Health::Healthy, "{claims} {pinned}");
        }
    }
}

#[test]
fn a_sign_out_asks_nobody_whom_only_a_configuration_names() {
    let mut world = World::new();
    world.configured = true;
    world.evil_claims = "https://as.example";
    let mut keeper = world.start();
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
fn an_entry_whose_configurations_name_different_clients_is_not_renewed_by_a_guess_and_says_so() {
    let mut world = World::new();
    let mut torn = entry("slack", "at-0", "rt-0", world.now.wall.0 + 10 * 60_000);
    (torn.client, torn.client_from) = (None, ClientFrom::Disputed);
    world.put(torn);
    let mut keeper = world.start();
    world.pass(&mut keeper, 5 * MINUTE);
    assert!(world.server.presented.is_empty());
    let row = keeper.snapshot().rows.remove(0);
    assert_eq!(row.health, Health::NoRefreshToken);
    assert!(row.reason.unwrap().contains("different OAuth clients"));
}

#[test]
fn a_refusal_that_another_client_met_ends_nothing() {
    let mut world = World::new();
    let mut foreign = entry("slack", "at-0", "rt-0", world.now.wall.0 + 10 * 60_000);
    foreign.client = Some(ClientCredentials { id: "foreign".into(), secret: None });
    world.put(foreign);
    world.server.weather = VecDeque::from([Weather::InvalidClient, Weather::InvalidClient]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.health(&keeper), Health::SignInRequired);
    world.server.weather.clear();
    // The configuration that named it is gone.
    world.put(entry("slack", "at-0", "rt-0", world.now.wall.0 + 8 * 60_000));
    keeper.handle(world.seen(), world.now);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert_eq!(world.pair().1, "rt-1");
}

#[test]
fn a_recorded_document_has_to_fit_the_recorded_server_too() {
    // As Claude Code 2.1.330 leaves an entry of 2.1.119 behind after `claude mcp list` in a repository whose
    // `.mcp.json` names this document.
    for claims in ["https://as.example", "https://evil.example"] {
        let mut world = World::new();
        world.evil_claims = claims;
        let mut poisoned = entry("slack", "at-0", "rt-0", world.now.wall.0 + 10 * 60_000);
        poisoned.metadata_url = Some(EVIL.into());
        poisoned.issuer = Some("https://as.example".into());
        world.put(poisoned);
        let mut keeper = world.start();
        world.pass(&mut keeper, 30 * MINUTE);
        assert_eq!(world.server.presented.len(), 0, "{claims}");
    }
}

#[test]
fn a_client_refusal_noted_without_its_client_does_not_end_a_grant() {
    let mut world = World::new();
    let target = Target { store: STORE.into(), key: EntryKey::from("slack|0") };
    let mark = crate::ids::TokenMark::of(&MarkKey([1; 32]), &Secret::new("rt-0"));
    world.facts.grants.entry(target).or_default().refusal = Some(crate::facts::Refusal {
        mark,
        code: crate::facts::INVALID_CLIENT.into(),
        at: world.now.wall,
        confirmed: true,
        client_id: None,
        secret: None,
        before: None,
    });
    let mut keeper = world.start();
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.health(&keeper), Health::Healthy, "{:?}", world.notices());
}

#[test]
fn a_stale_verdict_is_withdrawn_whatever_its_server_is_called() {
    let long = "long".repeat(30);
    for name in ["slack", "team/slack", "slack~2", "100%", " slack ", "sl\u{200b}ack", &long] {
        let mut world = World::new();
        world.entries.clear();
        world.put(entry(name, "at-0", "rt-0", world.now.wall.0 + 10 * 60_000));
        world.verdicts =
            vec![AuthVerdict { server_name: name.into(), at: world.now.wall, left_alone: false }];
        let mut keeper = world.start();
        world.pass(&mut keeper, 10 * MINUTE);
        assert!(world.verdicts.is_empty(), "{name}");
    }
}

#[test]
fn a_new_address_that_is_long_can_be_trusted() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let key = EntryKey::from("slack|0");
    let target = Target { store: STORE.into(), key };
    let long = format!("https://login.example/{}/v2.0", "tenant-".repeat(14));
    let facts = world.facts.grants.entry(target.clone()).or_default();
    facts.seen_issuer = Some(long.clone());
    let mut keeper = world.start();
    keeper.handle(Input::Act(Action::Review("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    let moved = world.events.iter().find_map(|event| match event {
        Event::Reviewed { moved, .. } => moved.clone(),
        _ => None,
    });
    let moved = moved.unwrap();
    keeper.handle(
        Input::Act(Action::Trust(Trusted::new("claude-code/slack", &moved.now))),
        world.now,
    );
    world.settle(&mut keeper);
    assert_eq!(world.facts.grants[&target].confirmed_issuer.as_deref(), Some(long.as_str()));
}
