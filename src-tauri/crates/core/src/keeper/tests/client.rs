//! Which OAuth client an entry is renewed as that names none: what a renewal proved, then what is
//! configured.

use super::{
    copies::{COPY, locked},
    *,
};

/// An entry that names no client itself; `id`: what configuration says.
fn unnamed(world: &World, id: Option<&str>) -> Entry {
    let at = world.now.wall.0 + 10 * 60_000;
    let held = world.entries.get(&EntryKey::from("slack|0")).map(|entry| entry.pair.clone());
    let mut entry = entry("slack", "at-0", "rt-0", at);
    entry.pair = held.unwrap_or_else(|| entry.pair.clone());
    configure(&mut entry, id);
    entry
}

fn configure(entry: &mut Entry, id: Option<&str>) {
    entry.client = id.map(|id| ClientCredentials { id: id.into(), secret: None });
    entry.client_from = match id {
        Some(_) => ClientFrom::Configuration,
        None => ClientFrom::Nobody { project: None },
    };
}

/// Renewed once as the client that an approved repository named.
fn renewed_once() -> (World, Keeper) {
    let mut world = World::new();
    world.put(unnamed(&world, Some("good")));
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.clients(), ["good"]);
    (world, keeper)
}

impl World {
    fn clients(&self) -> Vec<&str> {
        self.server.presented_as.iter().map(String::as_str).collect()
    }

    fn reconfigure(&mut self, id: Option<&str>) {
        self.put(unnamed(self, id));
    }
}

#[test]
fn a_repository_that_names_another_client_later_changes_nothing_about_a_sign_in_that_was_renewed() {
    for now in [Some("foreign"), None] {
        for restarted in [false, true] {
            let (mut world, mut keeper) = renewed_once();
            world.reconfigure(now);
            if restarted {
                keeper = world.keeper();
            }
            world.look(&mut keeper);
            world.pass(&mut keeper, 3 * 60 * MINUTE);
            assert!(world.clients().len() > 2, "{now:?} {:?}", world.clients());
            assert!(world.clients().iter().all(|id| *id == "good"), "{:?}", world.clients());
            assert_eq!(world.health(&keeper), Health::Healthy);
        }
    }
}

#[test]
fn configurations_that_differ_later_are_not_asked_about_a_sign_in_that_was_renewed() {
    let (mut world, mut keeper) = renewed_once();
    world.reconfigure(None);
    world.entries.values_mut().for_each(|entry| entry.client_from = ClientFrom::Disputed);
    world.look(&mut keeper);
    world.pass(&mut keeper, 60 * MINUTE);
    assert_eq!(world.clients(), ["good", "good"]);
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn what_an_entry_names_itself_comes_first() {
    let (mut world, mut keeper) = renewed_once();
    let mut named = unnamed(&world, Some("its own"));
    named.client_from = ClientFrom::Entry;
    world.put(named);
    world.look(&mut keeper);
    world.pass(&mut keeper, 60 * MINUTE);
    assert_eq!(world.clients(), ["good", "its own"]);
}

#[test]
fn a_new_sign_in_ends_what_was_known_of_the_client_of_the_old_one() {
    let (mut world, mut keeper) = renewed_once();
    world.server.live.insert("rt-new".into());
    let mut new = entry("slack", "at-new", "rt-new", world.now.wall.0 + 60_000);
    configure(&mut new, Some("new"));
    world.put(new);
    world.look(&mut keeper);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.clients(), ["good", "new"]);
    // Also where nobody names the new one.
    let mut other = entry("slack", "at-other", "rt-other", world.now.wall.0 + 60_000);
    configure(&mut other, None);
    world.put(other);
    world.look(&mut keeper);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.clients(), ["good", "new"]);
    let known = world.facts.grants.values().find_map(|facts| facts.client.clone());
    assert_eq!(known, None);
}

#[test]
fn an_old_pair_that_a_client_writes_back_is_still_of_the_same_sign_in() {
    let (mut world, mut keeper) = renewed_once();
    let old = world.entries.clone();
    world.pass(&mut keeper, 60 * MINUTE);
    world.reconfigure(Some("foreign"));
    let newest = world.entries.clone();
    for entries in [old, newest] {
        world.entries = entries;
        world.look(&mut keeper);
    }
    world.pass(&mut keeper, 60 * MINUTE);
    assert!(world.clients().iter().all(|id| *id == "good"), "{:?}", world.clients());
}

#[test]
fn a_refused_client_is_not_remembered() {
    let mut world = World::new();
    world.put(unnamed(&world, Some("foreign")));
    world.server.weather = VecDeque::from([Weather::InvalidClient, Weather::InvalidClient]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    world.reconfigure(Some("good"));
    world.look(&mut keeper);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.clients(), ["foreign", "foreign", "good"]);
}

#[test]
fn a_client_whose_secret_was_corrected_after_it_was_refused_is_asked_as_again() {
    for (restarted, corrected) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = World::new();
        let with = |world: &World, text| {
            let mut entry = world.entries[&EntryKey::from("slack|0")].clone();
            entry.client = Some(ClientCredentials { id: "cl".into(), secret: secret(text) });
            entry
        };
        world.put(with(&world, "wrong"));
        // Each presentation tries both methods.
        world.server.weather = VecDeque::from([Weather::InvalidClient; 4]);
        let mut keeper = world.start();
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.health(&keeper), Health::SignInRequired);
        world.put(with(&world, if corrected { "right" } else { "wrong" }));
        if restarted {
            keeper = world.keeper();
        }
        world.look(&mut keeper);
        world.pass(&mut keeper, 2 * MINUTE);
        let health = if corrected { Health::Healthy } else { Health::SignInRequired };
        assert_eq!(world.health(&keeper), health, "{restarted}");
        assert_eq!(world.server.presented.len(), 4 + usize::from(corrected), "{restarted}");
    }
}

/// Two copies of one sign-in that differ in the secret of their client.
fn with_secrets(mine: &str, theirs: &str) -> World {
    let mut world = World::new();
    world.copy_folder();
    let with = |text| Some(ClientCredentials { id: "cl".into(), secret: secret(text) });
    let slack = EntryKey::from("slack|0");
    world.entries.get_mut(&slack).unwrap().client = with(mine);
    world.held_in(&COPY.into()).get_mut(&slack).unwrap().client = with(theirs);
    world
}

#[test]
fn a_copy_with_another_secret_is_asked_as_soon_as_the_first_ones_is_refused() {
    for (mine, theirs) in [("wrong", "right"), ("right", "wrong"), ("wrong", "wrong")] {
        let mut world = with_secrets(mine, theirs);
        world.server.wrong_secret = Some("wrong");
        let mut keeper = world.start();
        world.pass(&mut keeper, 10_000);
        let good = [mine, theirs].contains(&"right");
        let health = if good { Health::Healthy } else { Health::Retrying };
        assert_eq!([world.health(&keeper), world.copied_health(&keeper)], [health; 2], "{mine}");
        // Each presentation with the wrong one tries both methods.
        let times = 2 * usize::from(mine == "wrong") + usize::from(good);
        assert_eq!(world.server.presented.len(), times, "{mine} {theirs}");
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.notices().is_empty(), good, "{mine} {theirs}");
        assert_eq!(world.copied_pair(), world.pair());
    }
}

#[test]
fn whoever_asks_for_a_copy_hears_how_its_own_secret_does() {
    let copy = GrantId(format!("{COPY}/slack"));
    for wish in [Action::RenewDue, Action::Renew(copy.clone())] {
        let mut world = with_secrets("wrong", "right");
        world.server.wrong_secret = Some("wrong");
        world.mode = Mode::OnRequest;
        let mut keeper = world.start();
        world.act(&mut keeper, wish.clone());
        world.pass(&mut keeper, 10_000);
        assert_eq!(world.copied_health(&keeper), Health::Healthy, "{wish:?}");
        let failed = |event: &Event| matches!(event, Event::Failed { grant, .. } if *grant == copy);
        assert!(!world.events.iter().any(failed), "{:?}", world.events);
        assert!(!keeper.is_busy() || wish == Action::RenewDue, "the other one waits its minute");
        assert_eq!(world.copied_pair(), world.pair());
    }
}

#[test]
fn two_secrets_that_are_both_refused_are_each_confirmed_a_minute_later() {
    let mut world = with_secrets("one", "other");
    world.server.weather = VecDeque::from([Weather::InvalidClient; 100]);
    let mut keeper = world.start();
    world.pass(&mut keeper, 50_000);
    assert_eq!(world.server.presented.len(), 4);
    assert!(world.notices().is_empty());
    world.pass(&mut keeper, 48 * 60 * MINUTE);
    assert_eq!(world.server.presented.len(), 8);
    assert_eq!(world.notices(), [NoticeCode::SignInRequired; 2]);
}

#[test]
fn a_copy_has_the_client_that_its_sign_in_was_renewed_as_elsewhere() {
    for seen_before in [true, false] {
        let mut world = World::new();
        world.put(unnamed(&world, Some("good")));
        world.copy_folder();
        // Another configuration lies beside the copy.
        let copy = world.others.get_mut(&StoreId::from(COPY)).unwrap();
        for entry in copy.values_mut() {
            configure(entry, Some("foreign"));
        }
        let mut keeper = world.keeper();
        if seen_before {
            // Seen, and out of reach when the other one was renewed.
            world.mode = Mode::OnRequest;
            keeper = world.start();
            world.faults.insert(COPY.into(), locked());
            world.look(&mut keeper);
            world.act(&mut keeper, Action::Renew("claude-code/slack".into()));
            world.faults.clear();
            world.look(&mut keeper);
            world.act(&mut keeper, Action::RenewDue);
        } else {
            world.look(&mut keeper);
        }
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(world.copied_pair(), world.pair(), "{seen_before}");
        assert_eq!(world.clients(), ["good"], "{seen_before}");
    }
}

#[test]
fn an_answer_that_only_the_journal_holds_says_as_which_client_it_came() {
    for late in [false, true] {
        let mut world = World::new();
        world.put(unnamed(&world, Some("good")));
        // Ended before the facts and the store had it.
        let mut keeper = world.keeper();
        keeper.handle(world.seen(), world.now);
        while !world.journal.values().any(|record| record.stage.tokens().is_some()) {
            let effect = keeper.poll_effect().unwrap();
            if let Some((ticket, outcome)) = world.perform(effect) {
                keeper.handle(Input::Done(ticket, outcome), world.now);
            }
        }
        world.facts = Facts::default();
        world.reconfigure(Some("foreign"));
        let journal = world.journal.clone();
        if late {
            world.journal.clear();
        }
        let mut keeper = world.keeper();
        if late {
            world.mode = Mode::OnRequest;
            keeper = world.start();
            world.journal.clone_from(&journal);
            keeper.handle(Input::JournalOpened(journal.into_values().collect()), world.now);
            world.settle(&mut keeper);
            world.act(&mut keeper, Action::Renew("claude-code/slack".into()));
        }
        world.look(&mut keeper);
        world.pass(&mut keeper, 60 * MINUTE);
        assert!(world.clients().len() >= 2, "{late}");
        assert!(world.clients().iter().all(|id| *id == "good"), "{late} {:?}", world.clients());
    }
}

#[test]
fn the_configured_secret_goes_with_the_client_that_it_may_belong_to() {
    let (mut world, mut keeper) = renewed_once();
    let target = Target { store: STORE.into(), key: "slack|0".into() };
    let mut client = |entry: Entry| {
        world.put(entry);
        world.look(&mut keeper);
        keeper.grants.get(&target).unwrap().entry.client.clone()
    };
    let good = |secret| Some(ClientCredentials { id: "good".into(), secret });
    let of = |id: Option<&str>| {
        let mut entry = entry("slack", "at-1", "rt-1", 1_800_003_600_000);
        configure(&mut entry, id);
        entry
    };
    // Their own file names another client: the secret is that one's.
    let mut theirs = of(Some("another"));
    theirs.client.as_mut().unwrap().secret = secret("theirs");
    assert_eq!(client(theirs), good(None));
    let mut same = of(Some("good"));
    same.client.as_mut().unwrap().secret = secret("its own");
    assert_eq!(client(same), good(secret("its own")));
    // Nobody is named whose it could be.
    let lone = Entry { configured_secret: secret("lone"), ..of(None) };
    assert_eq!(client(lone), good(secret("lone")));
}

#[test]
fn where_nobody_who_counts_names_a_client_the_row_says_which_project_would_and_what_to_do() {
    let mut world = World::new();
    let mut entry = unnamed(&world, None);
    let project = Some("~/src/\u{202e}app\u{1b}[2J".into());
    entry.client_from = ClientFrom::Nobody { project };
    world.put(entry);
    let mut keeper = world.start();
    world.pass(&mut keeper, MINUTE);
    let reason = |keeper: &Keeper| keeper.snapshot().rows[0].reason.clone().unwrap();
    let said = reason(&keeper);
    assert!(said.contains(r"the project ~/src/\u{202e}app\u{1b}[2J would name one"), "{said}");
    assert!(said.contains("/mcp in Claude Code") && said.contains("reconnect here"), "{said}");
    assert_eq!(world.health(&keeper), Health::NoRefreshToken);
    world.pass(&mut keeper, 20 * MINUTE);
    assert!(reason(&keeper).contains("has ended and the store names no OAuth client"));
    assert_eq!(world.health(&keeper), Health::SignInRequired);
    assert!(world.server.presented.is_empty());
}
