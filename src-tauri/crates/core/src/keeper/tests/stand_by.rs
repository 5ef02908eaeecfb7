//! Standing by while a client is at work that wipes what it meets renewed.

use super::*;
use crate::health::{Button, Shape};

/// The world with such a client in it; the token lasts ten minutes more, and is due.
fn with_wiper() -> World {
    World { wiper: Some(Wiper { version: Some("2.1.119".into()) }), ..World::new() }
}

fn phrase(keeper: &Keeper) -> String {
    let row = &keeper.snapshot().rows[0];
    row.phrase.render(Wall(0), |_| String::new(), |_| String::new())
}

#[test]
fn nothing_is_renewed_while_such_a_client_runs_and_the_row_says_who_and_what_helps() {
    let mut world = with_wiper();
    let mut keeper = world.start();
    world.pass(&mut keeper, 9 * MINUTE);
    assert!(world.server.presented.is_empty());
    let row = keeper.snapshot().rows.remove(0);
    assert_eq!((row.health, row.shape, row.exit), (Health::StandingBy, Shape::Lit, 0));
    assert_eq!(row.buttons, [Button::CopyUpdate]);
    assert_eq!(row.next_renewal_at, None);
    assert_eq!(phrase(&keeper), "Claude Code 2.1.119 renews this while open");
    assert!(world.notices().is_empty());
}

#[test]
fn it_is_renewed_within_a_minute_of_the_clients_end() {
    let mut world = with_wiper();
    let mut keeper = world.start();
    world.pass(&mut keeper, 3 * MINUTE);
    world.wiper = None;
    world.pass(&mut keeper, MINUTE + 1_000);
    assert_eq!(world.renewed_by(), [Renewer::Lamplighter]);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn it_is_renewed_at_the_tokens_end_though_the_client_runs_on() {
    let mut world = with_wiper();
    let mut keeper = world.start();
    world.pass(&mut keeper, 10 * MINUTE - 1_000);
    assert!(world.server.presented.is_empty());
    world.pass(&mut keeper, 2_000);
    assert_eq!(world.server.presented.len(), 1);
    assert_eq!(world.pair(), ("at-1".into(), "rt-1".into()));
}

#[test]
fn what_the_client_renews_meanwhile_is_adopted() {
    let mut world = with_wiper();
    let mut keeper = world.start();
    world.put(entry("slack", "at-c", "rt-c", world.now.wall.0 + 3_600_000));
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.renewed_by(), [Renewer::Client]);
    assert_eq!(world.health(&keeper), Health::StandingBy);
}

#[test]
fn a_client_that_opens_between_the_plan_and_the_lock_is_seen_in_time() {
    let mut world = World::new();
    let mut keeper = world.keeper();
    keeper.handle(world.seen(), world.now);
    world.wiper = Some(Wiper { version: None });
    world.settle(&mut keeper);
    assert!(world.server.presented.is_empty());
    assert_eq!(phrase(&keeper), "Claude Code renews this while open");
}

#[test]
fn a_provider_known_to_keep_the_older_access_token_alive_is_renewed_as_ever() {
    let mut world = with_wiper();
    world.profiles = "[mine]\nhosts = [\"mcp.example\"]\nkeeps_old_access = true\n";
    world.start();
    assert_eq!(world.server.presented.len(), 1);
    let mut world = with_wiper();
    world.profiles = "[mine]\nhosts = [\"mcp.example\"]\nkeeps_old_access = false\n";
    world.start();
    assert!(world.server.presented.is_empty());
}

#[test]
fn a_stale_verdict_is_still_withdrawn() {
    let mut world = with_wiper();
    world.verdicts = vec![AuthVerdict {
        server_name: "slack".into(),
        at: world.now.wall - Millis(1),
        left_alone: false,
    }];
    world.start();
    assert!(world.verdicts.is_empty(), "the server accepts the token, so the verdict is wrong");
    assert!(world.server.presented.is_empty());
}

#[test]
fn who_asks_is_told_why_and_nothing_is_left_open() {
    for action in [Action::RenewDue, Action::Renew("claude-code/slack".into())] {
        let mut world = with_wiper();
        world.mode = Mode::OnRequest;
        let mut keeper = world.start();
        keeper.handle(Input::Act(action.clone()), world.now);
        world.settle(&mut keeper);
        assert!(!keeper.is_busy());
        assert!(world.server.presented.is_empty());
        let told = world.events.iter().find_map(|event| match event {
            Event::Failed { code, why, .. } => Some((Some(code.as_str()), why.clone())),
            Event::Unchanged { why, .. } => Some((None, why.clone())),
            _ => None,
        });
        let (code, why) = told.unwrap();
        let asked_for_this_one = action.grant().is_some();
        assert_eq!(code, asked_for_this_one.then_some("standing_by"));
        assert!(why.starts_with("Claude Code 2.1.119 is open"), "{why}");
    }
}

#[test]
fn all_copies_of_a_sign_in_wait_for_the_one_that_would_be_wiped() {
    let world = World::new();
    let other = StoreInfo {
        id: "other".into(),
        client: "Claude Code".into(),
        place: "~/other".into(),
        client_margin: Millis::minutes(5),
    };
    let mut opening = Opening {
        stores: vec![other],
        facts: Facts::default(),
        journal: vec![],
        profiles: Profiles::default(),
        mark_key: MarkKey([1; 32]),
        seed: 7,
        probes: true,
        plain_http: PlainHttp::default(),
        sign_in_means: SignInMeans::default(),
        mode: Mode::Keep,
    };
    opening.stores.push(StoreInfo { id: STORE.into(), ..opening.stores[0].clone() });
    let mut keeper = Keeper::new(opening, world.now);
    let open = StoreView { wiper: Some(Wiper { version: None }), ..world.view() };
    keeper.handle(Input::StoreSeen { store: "other".into(), seen: Ok(open) }, world.now);
    keeper.handle(world.seen(), world.now);
    let stirs = core::iter::from_fn(|| keeper.poll_effect())
        .any(|effect| matches!(effect, Effect::Lock { .. } | Effect::Fetch { .. }));
    assert!(!stirs);
}
