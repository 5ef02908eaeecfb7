//! The same sign-in in several entries, stores and folders: a spent token is presented from none.

use super::*;
use crate::facts::{GrantFacts, Spent};
use crate::{ids::TokenMark, store::SignIns};

pub(super) const COPY: &str = OTHER;

impl World {
    /// `cp -r ~/.claude ~/.claude-work`.
    pub(super) fn copy_folder(&mut self) {
        self.others.insert(COPY.into(), self.entries.clone());
    }

    /// What the copied folder holds of the one server: access and refresh token.
    pub(super) fn copied_pair(&self) -> (String, String) {
        let pair = &self.others[&StoreId::from(COPY)][&EntryKey::from("slack|0")].pair;
        let text = |secret: &Option<Secret>| secret.as_ref().map_or("", |s| s.expose()).to_owned();
        (text(&pair.access), text(&pair.refresh))
    }

    pub(super) fn copied_health(&self, keeper: &Keeper) -> Health {
        keeper.row_of(&format!("{COPY}/slack").as_str().into()).unwrap().health
    }

    pub(super) fn presented(&self) -> Vec<&str> {
        self.server.presented.iter().map(|(_, token)| token.as_str()).collect()
    }
}

pub(super) fn locked() -> StoreFault {
    StoreFault::Locked { place: "keychain".into() }
}

pub(super) fn act(world: &mut World, keeper: &mut Keeper, action: Action) {
    keeper.handle(Input::Act(action), world.now);
    world.settle(keeper);
}

/// The folder was copied, its original was renewed, and then the folder is looked at for the first
/// time.
fn added_after_a_renewal() -> World {
    let mut world = World::new();
    let copied = world.entries.clone();
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    world.others.insert(COPY.into(), copied);
    world
}

#[test]
fn a_folder_that_was_copied_before_a_renewal_is_given_the_newer_tokens() {
    let mut world = added_after_a_renewal();
    let mut keeper = world.start();
    assert_eq!(world.copied_pair(), ("at-1".into(), "rt-1".into()));
    world.pass(&mut keeper, 3 * 60 * MINUTE);
    assert_eq!(world.copied_pair(), world.pair());
    assert!(world.server.live.contains(&world.pair().1) && !world.server.dead);
    assert_eq!(world.copied_health(&keeper), Health::Healthy);
    assert!(world.notices().is_empty() && world.journal.len() <= 1);
}

#[test]
fn a_store_that_was_locked_while_its_copy_was_renewed_is_given_the_newer_tokens() {
    let mut world = World::new();
    world.copy_folder();
    world.faults.insert(COPY.into(), locked());
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * 60 * MINUTE);
    world.faults.clear();
    world.look(&mut keeper);
    assert_eq!(world.copied_pair(), world.pair());
    assert!(!world.presented()[1..].contains(&"rt-0"));
    assert!(!world.server.dead);
}

#[test]
fn a_paused_copy_that_is_resumed_is_given_the_newer_tokens_and_not_before() {
    let mut world = World::new();
    world.copy_folder();
    let id = GrantId(format!("{COPY}/slack"));
    let target = Target { store: COPY.into(), key: "slack|0".into() };
    world.facts.grants.insert(target, GrantFacts { paused: true, ..GrantFacts::default() });
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * 60 * MINUTE);
    assert_eq!(world.copied_pair().1, "rt-0", "it is left to its client");
    act(&mut world, &mut keeper, Action::Resume(id));
    assert_eq!(world.copied_pair(), world.pair());
    assert!(!world.server.dead);
}

#[test]
fn a_copy_whose_newer_tokens_nobody_holds_is_called_an_older_copy() {
    let mut world = added_after_a_renewal();
    world.entries.clear();
    let mut keeper = world.start();
    assert_eq!(world.copied_health(&keeper), Health::NoRefreshToken);
    let row = keeper.row_of(&format!("{COPY}/slack").as_str().into()).unwrap();
    assert_eq!(row.reason.as_deref(), Some("this is an older copy of the sign-in"));
    act(&mut world, &mut keeper, Action::Renew(GrantId(format!("{COPY}/slack"))));
    world.pass(&mut keeper, 30 * MINUTE);
    assert_eq!(world.presented(), ["rt-0"]);
    assert_eq!(world.copied_health(&keeper), Health::SignInRequired);
}

#[test]
fn an_ended_copy_whose_newer_tokens_lie_in_a_store_that_cannot_be_read_asks_for_no_sign_in() {
    for newer_is_good in [true, false] {
        let mut world = added_after_a_renewal();
        if !newer_is_good {
            let target = Target { store: STORE.into(), key: "slack|0".into() };
            let refusal = crate::facts::Refusal {
                mark: TokenMark::of(&MarkKey([1; 32]), &Secret::new("rt-1")),
                code: "invalid_grant".into(),
                at: world.now.wall,
                confirmed: true,
                client_id: Some("cl".into()),
                secret: None,
                before: None,
            };
            world.facts.grants.get_mut(&target).unwrap().refusal = Some(refusal);
        }
        world.journal.clear();
        world.events.clear();
        world.faults.insert(STORE.into(), locked());
        let mut keeper = world.start();
        world.pass(&mut keeper, 30 * MINUTE);
        let asks = world.notices().contains(&NoticeCode::SignInRequired);
        assert_eq!(asks, !newer_is_good, "{:?}", world.notices());
        assert_eq!(world.copied_health(&keeper) == Health::SignInRequired, !newer_is_good);
        assert_eq!(world.presented(), ["rt-0"]);
        if newer_is_good {
            world.faults.clear();
            world.look(&mut keeper);
            assert_eq!(world.copied_pair(), world.pair());
        }
    }
}

#[test]
fn an_ended_copy_whose_newer_tokens_were_signed_out_of_asks_for_a_sign_in() {
    for (sign_ins, asks) in [(SignIns::Away, false), (SignIns::None, true)] {
        let mut world = added_after_a_renewal();
        world.journal.clear();
        world.events.clear();
        world.sign_ins = sign_ins;
        let mut keeper = world.start();
        world.pass(&mut keeper, 30 * MINUTE);
        assert_eq!(world.notices().contains(&NoticeCode::SignInRequired), asks, "{sign_ins:?}");
        assert_eq!(world.copied_health(&keeper) == Health::SignInRequired, asks);
        assert_eq!(world.presented(), ["rt-0"]);
    }
}

#[test]
fn a_copy_of_another_client_is_never_given_tokens() {
    let mut world = added_after_a_renewal();
    let copied = world.others.get_mut(&StoreId::from(COPY)).unwrap();
    copied.get_mut(&EntryKey::from("slack|0")).unwrap().client =
        Some(ClientCredentials { id: "another".into(), secret: None });
    let mut keeper = world.start();
    world.pass(&mut keeper, MINUTE);
    assert_eq!(world.copied_pair().1, "rt-0");
    assert_eq!(world.presented(), ["rt-0"]);
    assert_eq!(world.copied_health(&keeper), Health::NoRefreshToken);
}

#[test]
fn a_one_shot_command_gives_a_copy_the_newer_tokens_too() {
    let mut world = added_after_a_renewal();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    assert_eq!(world.copied_pair().1, "rt-0", "nobody asked");
    act(&mut world, &mut keeper, Action::RenewDue);
    assert_eq!(world.copied_pair(), ("at-1".into(), "rt-1".into()));
    assert!(!keeper.is_busy());
}

#[test]
fn signing_an_older_copy_out_leaves_the_good_sign_in_alive() {
    for paused in [true, false] {
        let mut world = added_after_a_renewal();
        if paused {
            let target = Target { store: COPY.into(), key: "slack|0".into() };
            world.facts.grants.insert(target, GrantFacts { paused, ..GrantFacts::default() });
        }
        let mut keeper = world.start();
        let grant = GrantId(format!("{COPY}/slack"));
        act(&mut world, &mut keeper, Action::SignOut(SignOut { grant, revoke: true }));
        assert!(world.others[&StoreId::from(COPY)].is_empty());
        assert_eq!(world.server.revoked, Vec::<String>::new());
        let shared =
            |event: &Event| matches!(event, Event::Revocation { outcome: AtServer::Shared, .. });
        assert!(world.events.iter().any(shared), "{:?}", world.events);
    }
}

#[test]
fn tokens_on_their_way_go_to_the_copy_where_the_original_is_signed_out() {
    for seen_before in [true, false] {
        let mut world = World::new();
        world.copy_folder();
        world.mode = Mode::OnRequest;
        let mut keeper = world.start();
        world.faults.insert(COPY.into(), locked());
        if !seen_before {
            keeper = world.start();
        }
        world.look(&mut keeper);
        world.during_send = Some(|world| world.entries.clear());
        act(&mut world, &mut keeper, Action::Renew("claude-code/slack".into()));
        assert_eq!(world.presented(), ["rt-0"]);
        assert_eq!(world.server.revoked, Vec::<String>::new());
        world.faults.clear();
        world.look(&mut keeper);
        world.pass(&mut keeper, 10 * MINUTE);
        assert_eq!(world.copied_pair().1 == "rt-1", seen_before);
        assert!(!world.server.dead);
    }
}

#[test]
fn a_client_that_goes_on_writing_its_old_copy_back_keeps_it() {
    let mut world = added_after_a_renewal();
    let old = world.others[&StoreId::from(COPY)].clone();
    let mut keeper = world.start();
    for _ in 0..20 {
        world.others.insert(COPY.into(), old.clone());
        world.look(&mut keeper);
        world.pass(&mut keeper, 2 * MINUTE);
    }
    assert_eq!(world.copied_pair().1, "rt-0");
    assert!(!world.server.dead);
}

#[test]
fn one_token_is_never_on_its_way_twice_at_once() {
    let mut world = World::new();
    world.copy_folder();
    let copied = world.others.get_mut(&StoreId::from(COPY)).unwrap();
    // Another client: it has no part in the other's renewal.
    copied.get_mut(&EntryKey::from("slack|0")).unwrap().client =
        Some(ClientCredentials { id: "another".into(), secret: None });
    let mut keeper = world.start();
    world.pass(&mut keeper, 10 * MINUTE);
    assert_eq!(world.presented(), ["rt-0"]);
}

#[test]
fn spent_tokens_of_the_earlier_form_of_the_facts_are_spent_for_every_entry() {
    let key = MarkKey([1; 32]);
    let mark = String::from(TokenMark::of(&key, &Secret::new("rt-0")));
    let earlier = format!(
        r#"{{"schema":1,"grants":[{{"store":"claude-code","key":"gone|0",
            "facts":{{"paused":true,"spent":["{mark}"]}}}}],"told":["x"]}}"#
    );
    let facts: Facts = serde_json::from_str(&earlier).unwrap();
    assert_eq!(facts.schema, crate::facts::SCHEMA);
    assert!(facts.grants.values().all(|facts| facts.paused) && facts.told.contains("x"));
    let mut world = World::new();
    world.facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
    assert_eq!(world.facts, facts);
    let mut keeper = world.start();
    world.pass(&mut keeper, 20 * MINUTE);
    assert_eq!(world.presented(), [""; 0]);
}

#[test]
fn a_spent_token_that_a_known_entry_holds_is_never_forgotten() {
    let mark = |n: u32| TokenMark::of(&MarkKey([1; 32]), &Secret::new(format!("other-{n}")));
    let mut world = added_after_a_renewal();
    // The copied folder was seen once, and is not looked at now.
    let folder = world.others.remove(&StoreId::from(COPY)).unwrap();
    let held = TokenMark::of(&MarkKey([1; 32]), &Secret::new("rt-0"));
    let target = Target { store: COPY.into(), key: "slack|0".into() };
    let known = GrantFacts { refresh: Some(held), ..GrantFacts::default() };
    world.facts.grants.insert(target, known);
    let later = world.now.wall;
    for n in 0..6_000 {
        world.facts.spent.insert(mark(n), Spent { next: Some(mark(n + 1)), at: later + Millis(1) });
    }
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * 60 * MINUTE);
    assert!(world.facts.spent.len() < 6_000, "{}", world.facts.spent.len());
    assert!(world.facts.spent.contains_key(&held));
    world.others.insert(COPY.into(), folder);
    world.start();
    assert_eq!(world.copied_pair(), world.pair());
    assert!(!world.server.dead);
}

#[test]
fn a_copy_whose_lock_cannot_be_taken_leaves_no_tokens_in_the_journal() {
    for fault in [
        StoreFault::Denied { place: "~/.claude-work".into(), what: "making it".into() },
        StoreFault::Busy { lock: "mcp-refresh.lock".into() },
    ] {
        let mut world = added_after_a_renewal();
        let before: Vec<_> = world.journal.keys().cloned().collect();
        world.no_locks.insert(COPY.into(), fault.clone());
        let mut keeper = world.start();
        world.pass(&mut keeper, MINUTE);
        assert_eq!(world.copied_pair().1, "rt-0");
        let left: Vec<_> = world.journal.keys().cloned().collect();
        assert_eq!(left, before, "{fault}");
        world.no_locks.clear();
        world.pass(&mut keeper, 10 * MINUTE);
        assert_eq!(world.copied_pair(), world.pair());
    }
}
