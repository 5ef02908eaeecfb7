//! Signing in: what becomes of the tokens, and of everything that was there before.

use super::{waking::until_effect, *};
use crate::{
    ids::{Door, TokenMark},
    signin::{Page, RedirectWish},
    store::SignIns,
};

impl World {
    /// What the server says to a sign-in's requests, but for its metadata.
    pub(super) fn sign_in_page(
        &mut self,
        request: &crate::http::Request,
        tokens: &str,
    ) -> Option<Answer> {
        if request.url.ends_with("/register") {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let uris = body["redirect_uris"].to_string();
            assert!(uris.contains("http://localhost:"), "the client program needs it: {uris}");
            if self.knows_own_scopes_only && body.get("scope").is_some() {
                return Some(answer(400, r#"{"error":"invalid_client_metadata"}"#.into()));
            }
            self.registrations += 1;
            let made = format!(r#"{{"client_id":"cl-new","redirect_uris":{uris}}}"#);
            return Some(answer(201, made));
        }
        if request.url.ends_with("/mcp") {
            return Some(Answer {
                challenges: vec!["Bearer scope=\"read write\"".into()],
                ..answer(401, String::new())
            });
        }
        if request.url.contains("/authorize?") {
            let never = request.url.contains("never");
            return Some(answer(if never { 400 } else { 200 }, "page".into()));
        }
        if !request.url.ends_with("/token") {
            return None;
        }
        let form: BTreeMap<_, _> =
            url::form_urlencoded::parse(&request.body).into_owned().collect();
        assert_eq!(form["grant_type"], "authorization_code");
        assert!(form["code_verifier"].len() >= 43);
        self.exchanged_with.push(form["redirect_uri"].clone());
        if form["code"] != "good" {
            return Some(answer(400, r#"{"error":"invalid_grant"}"#.into()));
        }
        self.server.live.insert(format!("rt-{tokens}"));
        let body = format!(
            r#"{{"access_token":"at-{tokens}","refresh_token":"rt-{tokens}","expires_in":3600}}"#
        );
        Some(answer(200, body))
    }

    /// A person asks for a sign-in to the one server, as far as it goes without the browser.
    pub(super) fn sign_in(&mut self, keeper: &mut Keeper) {
        keeper.handle(Input::Act(Action::Reconnect(wish("claude-code/slack"))), self.now);
        self.settle(keeper);
    }

    /// The browser comes back to the newest invitation.
    pub(super) fn come_back(&mut self, keeper: &mut Keeper, what: &str) {
        self.bring(keeper, what);
        self.settle(keeper);
    }

    /// The same, with what follows still ahead.
    fn bring(&mut self, keeper: &mut Keeper, what: &str) {
        let url = url::Url::parse(self.invitations.last().unwrap().url.expose()).unwrap();
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let query = Secret::new(format!("{what}&state={state}"));
        keeper.handle(Input::CalledBack(Door(1), query), self.now);
    }

    pub(super) fn ended(&self) -> Vec<String> {
        let ends = self.events.iter().filter_map(|event| match event {
            Event::SignedIn { tools, .. } => Some(format!("signed in, {tools:?}")),
            Event::SignInFailed { code, .. } => Some(code.clone()),
            _ => None,
        });
        ends.collect()
    }
}

fn wish(grant: &str) -> Reconnect {
    Reconnect::of(grant.into())
}

fn dead() -> World {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut dead = entry("slack", "", "", 0);
    dead.pair = TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) };
    world.put(dead);
    world.server.live.clear();
    world
}

#[test]
fn a_dead_grant_lives_again_and_its_stale_verdict_goes() {
    let mut world = dead();
    let at = world.now.wall;
    world.verdicts = vec![AuthVerdict { server_name: "slack".into(), at, left_alone: false }];
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    assert_eq!(world.health(&keeper), Health::SigningIn);
    assert!(keeper.is_busy());
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
    assert_eq!(world.pair(), ("at-signed".into(), "rt-signed".into()));
    assert!(world.verdicts.is_empty());
    assert!(!keeper.is_busy());
    assert!(matches!(world.pages.as_slice(), [Page::SignedIn { tools: Some(3), .. }]));
    let entry = &world.entries[&EntryKey::from("slack|0")];
    assert_eq!(entry.client.as_ref().unwrap().id, "cl-new");
    assert_eq!(entry.redirect_uri.as_deref(), Some("http://localhost:50000/callback"));
    assert_eq!(entry.issuer.as_deref(), Some("https://as.example"));
}

#[test]
fn what_was_signed_in_is_renewed_afterwards() {
    let mut world = dead();
    world.mode = Mode::Keep;
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    world.come_back(&mut keeper, "code=good");
    world.pass(&mut keeper, 70 * MINUTE);
    assert_eq!(world.server.presented[0].1, "rt-signed");
    assert_eq!(world.health(&keeper), Health::Healthy);
}

#[test]
fn a_server_that_was_only_configured_gets_an_entry() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    world.entries.clear();
    let mut keeper = world.keeper();
    let server = ConfiguredServer {
        name: "notion".into(),
        url: "https://mcp.example/mcp".into(),
        key: Some(EntryKey("notion|1".into())),
        sign_in: SignInConfig::default(),
    };
    let view = StoreView { servers: vec![server], ..world.view() };
    keeper.handle(Input::StoreSeen { store: STORE.into(), seen: Ok(view) }, world.now);
    keeper.handle(Input::Act(Action::Reconnect(wish("claude-code/notion"))), world.now);
    world.settle(&mut keeper);
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
    assert_eq!(world.entries[&EntryKey::from("notion|1")].server_name, "notion");
}

/// What a person says who signs in to a server that nobody here knows.
fn named(name: &str, url: &str) -> Reconnect {
    let (store, key) = (STORE.into(), EntryKey(format!("{name}|new")));
    let server = NamedServer { store, key, name: name.into(), url: url.into() };
    let grant = format!("{STORE}/{name}");
    Reconnect { server: Some(server), ..wish(&grant) }
}

#[test]
fn a_server_that_nobody_knows_gets_an_entry_under_the_clients_own_key() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    let wish = named("notion", "https://mcp.example/mcp");
    keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
    world.settle(&mut keeper);
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
    let entry = &world.entries[&EntryKey::from("notion|new")];
    assert_eq!(
        (entry.server_name.as_str(), entry.pair.refresh.clone()),
        ("notion", secret("rt-signed"))
    );
    assert_eq!(world.pair().1, "rt-0", "the neighbour is as it was");
    assert_eq!(keeper.snapshot().rows.len(), 2);
}

#[test]
fn a_name_leads_to_what_is_known_by_it_and_never_to_another_server() {
    let mut world = dead();
    let mut keeper = world.start();
    // The same server: its own entry is signed in to.
    let wish = named("slack", "https://mcp.example/mcp");
    keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
    world.settle(&mut keeper);
    world.come_back(&mut keeper, "code=good");
    assert_eq!((world.ended(), world.entries.len()), (vec!["signed in, Some(3)".to_owned()], 1));
    // Another one by the same name, in the store and in the configuration.
    let notion = ConfiguredServer {
        name: "notion".into(),
        url: "https://mcp.notion.example/mcp".into(),
        key: Some(EntryKey::from("notion|1")),
        sign_in: SignInConfig::default(),
    };
    let view = StoreView { servers: vec![notion], ..world.view() };
    keeper.handle(Input::StoreSeen { store: STORE.into(), seen: Ok(view) }, world.now);
    for name in ["slack", "notion"] {
        let wish = named(name, "https://mcp.other.example/mcp");
        keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
        world.settle(&mut keeper);
        let last = world.events.last().cloned();
        let Some(Event::SignInFailed { code, why, .. }) = last else { panic!("{last:?}") };
        assert_eq!(code, "not_possible");
        assert!(why.contains("name of another server"), "{why}");
    }
    // The configuration's own key, where it has one.
    let wish = named("notion", "https://mcp.notion.example/mcp");
    keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
    world.settle(&mut keeper);
    world.come_back(&mut keeper, "code=good");
    assert!(world.entries.contains_key(&EntryKey::from("notion|1")));
}

#[test]
fn only_addresses_that_protect_a_sign_in_are_signed_in_to() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    let bad =
        ["http://mcp.example/mcp", "https://me:pw@mcp.example/", "file:///etc", "mcp.example", ""];
    for url in bad {
        keeper.handle(Input::Act(Action::Reconnect(named("new", url))), world.now);
        world.settle(&mut keeper);
    }
    assert_eq!(world.ended(), ["not_possible"; 5]);
    keeper.handle(Input::Act(Action::Reconnect(named("new", "http://127.0.0.1:1/mcp"))), world.now);
    assert!(!keeper.is_settled(&format!("{STORE}/new").as_str().into()));
}

#[test]
fn what_does_not_belong_here_is_dropped_and_the_right_answer_still_counts() {
    let mut world = dead();
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    for query in ["code=good&state=forged", "code=good", "nonsense", "code=a&code=b&state=x"] {
        keeper.handle(Input::CalledBack(Door(7), Secret::new(query)), world.now);
        world.settle(&mut keeper);
    }
    world.come_back(&mut keeper, "code=good&iss=https%3A%2F%2Fevil.example");
    assert!(world.ended().is_empty());
    assert!(world.pages.iter().all(|page| *page == Page::NotWaiting));
    world.come_back(&mut keeper, "code=good&iss=https%3A%2F%2Fas.example");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
    // And once more, late.
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended().len(), 1);
    assert_eq!(world.pages.last(), Some(&Page::NotWaiting));
}

#[test]
fn every_way_it_fails_leaves_all_as_it_was() {
    for (what, code) in [("error=access_denied", "denied"), ("code=bad", "exchange_refused")] {
        let mut world = World::new();
        world.mode = Mode::OnRequest;
        let before = world.pair();
        let mut keeper = world.start();
        keeper.handle(Input::Act(Action::Reconnect(wish("claude-code/slack"))), world.now);
        world.settle(&mut keeper);
        world.come_back(&mut keeper, what);
        assert_eq!(world.ended(), [code]);
        assert_eq!(world.pair(), before);
        assert!(world.journal.is_empty() && !keeper.is_busy());
    }
}

#[test]
fn nobody_is_waited_for_longer_than_was_said_and_a_cancel_is_at_once() {
    let mut world = dead();
    let mut keeper = world.start();
    let patience = Millis::seconds(20);
    let wish = Reconnect { patience, ..wish("claude-code/slack") };
    keeper.handle(Input::Act(Action::Reconnect(wish.clone())), world.now);
    world.settle(&mut keeper);
    world.pass(&mut keeper, 25_000);
    assert_eq!(world.ended(), ["timed_out"]);
    keeper.handle(Input::Act(Action::Reconnect(wish.clone())), world.now);
    world.settle(&mut keeper);
    keeper.handle(Input::Act(Action::CancelSignIn(wish.grant)), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.ended(), ["timed_out", "cancelled"]);
    assert!(!keeper.is_busy());
}

#[test]
fn a_sign_in_that_waits_for_a_look_at_its_store_can_be_cancelled() {
    let mut world = World::new();
    let mut keeper = world.start();
    let broken = StoreFault::Broken { place: "~/.claude".into(), what: "not valid JSON".into() };
    world.faults.insert(STORE.into(), broken);
    keeper.handle(world.seen(), world.now);
    world.settle(&mut keeper);
    let wish = wish("claude-code/slack");
    keeper.handle(Input::Act(Action::Reconnect(wish.clone())), world.now);
    assert!(!keeper.is_settled(&wish.grant), "the store is looked at first");
    keeper.handle(Input::Act(Action::CancelSignIn(wish.grant.clone())), world.now);
    assert!(keeper.is_settled(&wish.grant));
    world.faults.clear();
    world.settle(&mut keeper);
    assert_eq!((world.ended(), world.invitations.len()), (vec!["cancelled".into()], 0));
}

#[test]
fn a_server_that_is_asked_for_another_reason_meanwhile_ends_no_sign_in() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    keeper.handle(Input::Act(Action::Check("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.health(&keeper), Health::SigningIn);
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
}

#[test]
fn a_second_wish_while_tokens_are_on_their_way_loses_none_of_them() {
    let mut world = dead();
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    world.bring(&mut keeper, "code=good");
    world.sign_in(&mut keeper);
    assert_eq!(world.ended(), ["not_possible", "signed in, Some(3)"]);
    assert_eq!(world.pair(), ("at-signed".into(), "rt-signed".into()));
}

#[test]
fn a_renewal_that_comes_home_meanwhile_does_not_overtake_a_sign_in() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    let send =
        until_effect(&mut world, &mut keeper, |effect| matches!(effect, Effect::Send { .. }));
    // Its answer comes after the person's tokens and before these are in the store.
    world.come_back(&mut keeper, "code=good");
    assert_eq!((world.ended().len(), world.pair().1.as_str()), (0, "rt-0"));
    let (ticket, answered) = world.perform(send).unwrap();
    keeper.handle(Input::Done(ticket, answered), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.server.presented.len(), 1);
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
    assert_eq!(world.pair(), ("at-signed".into(), "rt-signed".into()));
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair().1, "rt-signed");
    assert!(world.journal.is_empty());
}

#[test]
fn tokens_of_an_earlier_run_that_come_home_end_no_sign_in_that_waits() {
    let mut world = dead();
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    let full = StoreFault::DiskFull { place: "~/.claude".into() };
    world.write_faults = VecDeque::from(vec![full; 3]);
    world.come_back(&mut keeper, "code=good");
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    assert_eq!(world.pair().0, "");
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair().0, "at-signed");
    assert_eq!(world.ended(), [""; 0], "its own page was not answered yet");
    assert_eq!(world.health(&keeper), Health::SigningIn);
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
}

#[test]
fn tokens_that_nobody_wants_any_more_are_given_back_in_the_name_they_came_under() {
    let mut world = dead();
    let secret = Some(Secret::new("of-the-old-client"));
    let old = ClientCredentials { id: "cl-old".into(), secret };
    world.entries.get_mut(&EntryKey::from("slack|0")).unwrap().client = Some(old);
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    let full = StoreFault::DiskFull { place: "~/.claude".into() };
    world.write_faults = VecDeque::from(vec![full; 100]);
    world.come_back(&mut keeper, "code=good");
    // The person signs out by the client's own hand.
    world.entries.clear();
    keeper.handle(world.seen(), world.now);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.server.revoked, ["rt-signed"]);
    assert_eq!(world.server.revoked_for, ["cl-new"]);
    assert!(world.journal.is_empty());
}

#[test]
fn an_answer_about_a_token_that_was_renewed_meanwhile_says_nothing_about_the_new_one() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    keeper.handle(Input::Act(Action::Check("claude-code/slack".into())), world.now);
    let mut asked = None;
    while let Some(effect) = keeper.poll_effect() {
        let Effect::Probe { ticket, .. } = effect else { continue };
        asked = Some(ticket);
    }
    keeper.handle(Input::Act(Action::Renew("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.pair().0, "at-1");
    let refused = Outcome::Probed(ProbeFinding::Refused);
    keeper.handle(Input::Done(asked.unwrap(), refused), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.health(&keeper), Health::Healthy);
    assert_eq!(world.notices(), []);
    let checked = |event: &Event| matches!(event, Event::Checked { accepted: Some(true), .. });
    assert!(world.events.iter().any(checked), "who asked is told of the new one");
}

#[test]
fn two_at_once_never_mix() {
    let mut world = dead();
    let mut other = entry("other", "", "", 0);
    other.pair = TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) };
    world.put(other);
    let mut keeper = world.start();
    for grant in ["claude-code/slack", "claude-code/other"] {
        keeper.handle(Input::Act(Action::Reconnect(wish(grant))), world.now);
        world.settle(&mut keeper);
    }
    // The second one's page comes back: the first still waits.
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended().len(), 1);
    assert_eq!(world.pair().0, "");
    assert!(world.entries[&EntryKey::from("other|0")].pair.access.is_some());
    world.invitations.pop();
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended().len(), 2);
    assert_eq!(world.pair().0, "at-signed");
}

#[test]
fn the_scheme_is_used_where_it_is_served_and_the_server_shows_that_it_takes_it() {
    let mut world = dead();
    world.scheme_served = true;
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    assert_eq!(world.invitations[0].redirect_uri, "dev.lamplighter:/oauth/callback");
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
    let entry = &world.entries[&EntryKey::from("slack|0")];
    assert_eq!(entry.redirect_uri.as_deref(), Some("http://localhost:50000/callback"));
    // Without a handler here, and where loopback is wished for.
    let loopback = Reconnect { redirect: RedirectWish::Loopback, ..wish("claude-code/slack") };
    keeper.handle(Input::Act(Action::Reconnect(loopback)), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.invitations[1].redirect_uri, "http://localhost:50000/callback");
}

/// `state` of the invitation of this number.
fn state(world: &World, number: usize) -> String {
    let url = url::Url::parse(world.invitations[number].url.expose()).unwrap();
    url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned()
}

#[test]
fn another_way_is_opened_beside_the_first_and_whichever_answers_counts() {
    for answers in [0, 1] {
        let mut world = dead();
        world.scheme_served = true;
        let mut keeper = world.start();
        let grant = GrantId::from("claude-code/slack");
        keeper.handle(Input::Act(Action::Reconnect(wish("claude-code/slack"))), world.now);
        world.settle(&mut keeper);
        let shown = |keeper: &Keeper| keeper.snapshot().rows[0].sign_in.clone().unwrap();
        assert!(world.invitations[0].other_way && shown(&keeper).other_way);
        assert!(shown(&keeper).scheme && shown(&keeper).waiting);
        for _ in 0..2 {
            keeper.handle(Input::Act(Action::AnotherWay(grant.clone())), world.now);
            world.settle(&mut keeper);
        }
        let uris: Vec<String> = world.invitations.iter().map(|i| i.redirect_uri.clone()).collect();
        let loopback = "http://localhost:50000/callback";
        assert_eq!(uris, ["dev.lamplighter:/oauth/callback", loopback], "there are only two ways");
        assert!(!world.invitations[1].other_way && !shown(&keeper).other_way);
        assert!(!shown(&keeper).scheme && shown(&keeper).waiting);
        let states = [state(&world, 0), state(&world, 1)];
        assert_ne!(states[0], states[1]);
        let query = Secret::new(format!("code=good&state={}", states[answers]));
        keeper.handle(Input::CalledBack(Door(1), query), world.now);
        world.settle(&mut keeper);
        assert_eq!(world.ended(), ["signed in, Some(3)"]);
        assert_eq!(world.exchanged_with, uris[answers..=answers]);
        // The other page comes too late.
        let query = Secret::new(format!("code=good&state={}", states[1 - answers]));
        keeper.handle(Input::CalledBack(Door(2), query), world.now);
        world.settle(&mut keeper);
        assert_eq!((world.pages.last(), world.ended().len()), (Some(&Page::NotWaiting), 1));
        // What worked is begun with the next time, for every server of that issuer.
        let other = Entry { scope: None, ..entry("other", "", "", 0) };
        world.put(other);
        keeper.handle(world.seen(), world.now);
        keeper.handle(Input::Act(Action::Reconnect(wish("claude-code/other"))), world.now);
        world.settle(&mut keeper);
        assert_eq!(world.invitations[2].redirect_uri, world.invitations[answers].redirect_uri);
    }
}

#[test]
fn there_is_no_other_way_where_the_client_has_one_redirect_or_nobody_serves_the_scheme() {
    let mut world = dead();
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    assert!(!world.invitations[0].other_way);
    keeper.handle(Input::Act(Action::AnotherWay("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.invitations.len(), 1);
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
    // Nobody signs in: nothing happens.
    keeper.handle(Input::Act(Action::AnotherWay("claude-code/slack".into())), world.now);
    world.settle(&mut keeper);
    assert_eq!(world.invitations.len(), 1);
    let mut world = dead();
    world.scheme_served = true;
    let mut fixed = world.entries.values().next().cloned().unwrap();
    fixed.sign_in.callback_port = Some(3118);
    fixed.sign_in.client = Some(ClientCredentials { id: "by-hand".into(), secret: None });
    world.put(fixed);
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    assert!(!world.invitations[0].other_way);
}

#[test]
fn a_server_that_registers_its_own_scopes_only_is_asked_without_and_keeps_the_scheme() {
    let mut world = dead();
    world.scheme_served = true;
    world.knows_own_scopes_only = true;
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    assert_eq!(world.invitations[0].redirect_uri, "dev.lamplighter:/oauth/callback");
    let page = world.invitations[0].url.expose();
    assert!(page.contains("client_id=cl-new") && page.contains("scope=read+write"), "{page}");
    world.come_back(&mut keeper, "code=good");
    assert_eq!(world.ended(), ["signed in, Some(3)"]);
}

#[test]
fn a_taken_port_is_named_where_it_is_fixed_and_another_is_registered_where_it_is_not() {
    let mut world = dead();
    world.taken.insert(3118);
    let mut fixed = entry("slack", "", "", 0);
    fixed.pair = TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) };
    fixed.redirect_uri = Some("http://localhost:3118/callback".into());
    world.put(fixed.clone());
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    assert_eq!(world.invitations[0].redirect_uri, "http://localhost:50000/callback");
    fixed.sign_in.callback_port = Some(3118);
    fixed.sign_in.client = Some(ClientCredentials { id: "by-hand".into(), secret: None });
    world.put(fixed);
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    assert_eq!(world.ended(), ["port_taken"]);
}

#[test]
fn tokens_that_no_store_takes_yet_are_kept_and_saved_later() {
    let mut world = dead();
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    let full = StoreFault::DiskFull { place: "~/.claude".into() };
    world.write_faults = VecDeque::from([full.clone(), full]);
    world.come_back(&mut keeper, "code=good");
    assert!(world.ended().is_empty());
    assert_eq!(world.journal.len(), 1);
    // Even the end of the process loses nothing.
    let mut keeper = world.start();
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(world.pair(), ("at-signed".into(), "rt-signed".into()));
    drop(keeper);
}

/// A world with a server that nobody is signed in to, and a sign-in to it whose browser has come back.
fn first_sign_in() -> (World, Keeper) {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    world.entries.clear();
    let mut keeper = world.start();
    let wish = named("notion", "https://mcp.example/mcp");
    keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
    world.settle(&mut keeper);
    world.bring(&mut keeper, "code=good");
    (world, keeper)
}

/// The same where the client has an entry for the server already, and nobody ever signed in to it.
fn sign_in_to_a_stub() -> (World, Keeper) {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let pair = TokenPair::default();
    let stub = Entry { key: "notion|new".into(), pair, ..entry("notion", "", "", 0) };
    world.entries = BTreeMap::from([(stub.key.clone(), stub)]);
    let mut keeper = world.start();
    world.act(&mut keeper, Action::Reconnect(wish("claude-code/notion")));
    world.bring(&mut keeper, "code=good");
    (world, keeper)
}

fn held(world: &World) -> Option<Secret> {
    world.entries.get(&EntryKey::from("notion|new"))?.pair.refresh.clone()
}

#[test]
fn a_first_sign_in_that_ends_at_any_step_after_its_answer_is_finished_by_the_next_run() {
    let (mut whole, mut keeper) = first_sign_in();
    whole.steps_left = Some(usize::MAX);
    whole.settle(&mut keeper);
    let steps = usize::MAX - whole.steps_left.unwrap();
    for performed in 0..steps {
        let (mut world, mut keeper) = first_sign_in();
        world.steps_left = Some(performed);
        world.settle(&mut keeper);
        world.steps_left = None;
        let received = !world.journal.is_empty() || held(&world).is_some();
        drop(keeper);
        let mut keeper = world.start();
        world.pass(&mut keeper, MINUTE);
        assert_eq!(held(&world).is_some(), received, "after {performed} steps");
    }
}

#[test]
fn a_first_sign_in_that_was_written_and_signed_out_of_is_not_brought_back_by_the_next_run() {
    for (has_stub, is_deleted) in [(false, false), (true, false), (false, true), (true, true)] {
        let (mut world, mut keeper) = if has_stub { sign_in_to_a_stub() } else { first_sign_in() };
        // The process ends when the store holds the tokens and the journal does not say so yet.
        until_effect(&mut world, &mut keeper, |effect| {
            let saved =
                |record: &Record| matches!(record.stage, crate::journal::Stage::Saved { .. });
            matches!(effect, Effect::Journal { record, .. } if saved(record))
        });
        assert!(held(&world).is_some());
        drop(keeper);
        world.entries.clear();
        world.written += 1;
        if is_deleted {
            // A file that is gone says less: nothing is made, and nothing destroyed.
            world.sign_ins = SignIns::None;
            let mut keeper = world.start();
            world.pass(&mut keeper, 2 * MINUTE);
            assert_eq!((held(&world), world.sign_ins), (None, SignIns::None), "{has_stub}");
            assert_eq!(world.journal.len(), 1);
            world.sign_ins = SignIns::Read;
        }
        let mut keeper = world.start();
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(held(&world), None, "the person signed out; it had a stub: {has_stub}");
        assert!(world.journal.is_empty());
    }
}

#[test]
fn a_first_sign_in_is_finished_when_the_file_that_it_was_to_be_written_over_is_back() {
    let (mut world, mut keeper) = first_sign_in();
    until_effect(&mut world, &mut keeper, |effect| matches!(effect, Effect::Write { .. }));
    drop(keeper);
    world.sign_ins = SignIns::None;
    let mut keeper = world.start();
    world.pass(&mut keeper, MINUTE);
    assert_eq!(held(&world), None);
    world.sign_ins = SignIns::Read;
    world.look(&mut keeper);
    world.pass(&mut keeper, MINUTE);
    assert_eq!(held(&world), secret("rt-signed"));
}

#[test]
fn a_first_sign_in_that_no_store_took_is_saved_though_its_client_writes_there_meanwhile() {
    for ends in [true, false] {
        let (mut world, mut keeper) = first_sign_in();
        world.write_faults = VecDeque::from([StoreFault::Busy { lock: "x".into() }]);
        world.settle(&mut keeper);
        assert_eq!(held(&world), None);
        world.written += 1;
        if ends {
            drop(keeper);
            keeper = world.start();
        } else {
            keeper.handle(world.seen(), world.now);
        }
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(held(&world), secret("rt-signed"), "ends: {ends}");
    }
}

#[test]
fn a_sign_in_that_brings_a_token_which_was_spent_before_is_a_sign_in() {
    for ends in [true, false] {
        let mut world = World::new();
        world.mode = Mode::OnRequest;
        world.entries.clear();
        let mark = |token| TokenMark::of(&MarkKey([1; 32]), &Secret::new(token));
        let spent = crate::facts::Spent { next: Some(mark("rt-gone")), at: world.now.wall };
        world.facts.spent.insert(mark("rt-signed"), spent);
        let mut keeper = world.start();
        let wish = named("notion", "https://mcp.example/mcp");
        keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
        world.settle(&mut keeper);
        world.bring(&mut keeper, "code=good");
        if ends {
            until_effect(&mut world, &mut keeper, |effect| matches!(effect, Effect::Write { .. }));
            world.facts.spent.insert(mark("rt-signed"), spent);
            keeper = world.start();
        }
        world.settle(&mut keeper);
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(held(&world), secret("rt-signed"), "ends: {ends}");
        assert_eq!(keeper.snapshot().rows[0].health, Health::Healthy, "ends: {ends}");
    }
}

#[test]
fn a_first_sign_in_is_not_brought_back_because_its_store_was_away_at_one_look() {
    let mut world = World::new();
    world.mode = Mode::OnRequest;
    let mut keeper = world.start();
    // Its file has gone from a folder that is there, so that the store is known to have been one.
    world.sign_ins = SignIns::None;
    world.look(&mut keeper);
    world.pass(&mut keeper, 2_000);
    world.look(&mut keeper);
    let wish = named("notion", "https://mcp.example/mcp");
    keeper.handle(Input::Act(Action::Reconnect(wish)), world.now);
    world.settle(&mut keeper);
    world.bring(&mut keeper, "code=good");
    let is_write = |effect: &Effect| matches!(effect, Effect::Write { .. });
    let write = until_effect(&mut world, &mut keeper, is_write);
    world.perform(write);
    drop(keeper);
    // The person signed out of it, and then its disk is away: as when it was announced, there is no file.
    world.entries.clear();
    world.sign_ins = SignIns::Away;
    let mut keeper = world.start();
    world.pass(&mut keeper, MINUTE);
    world.sign_ins = SignIns::Read;
    world.look(&mut keeper);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(held(&world), None);
}

#[test]
fn a_first_sign_in_that_was_announced_in_vain_is_saved_though_the_store_is_written_before_that() {
    for ends in [true, false] {
        let (mut world, mut keeper) = first_sign_in();
        until_effect(&mut world, &mut keeper, |effect| matches!(effect, Effect::Write { .. }));
        drop(keeper);
        // The next run finds the store as it was, and the entry's lock taken for a while.
        world.lock_faults = VecDeque::from([StoreFault::Busy { lock: "x".into() }]);
        let mut keeper = world.start();
        assert_eq!(held(&world), None);
        // It writes another entry of that store meanwhile.
        world.written += 1;
        if ends {
            drop(keeper);
            keeper = world.start();
        }
        world.look(&mut keeper);
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(held(&world), secret("rt-signed"), "ends: {ends}");
    }
}

#[test]
fn a_first_sign_in_over_a_store_that_was_only_written_as_it_was_is_finished() {
    for keeps_proof in [true, false] {
        let (mut world, mut keeper) = first_sign_in();
        until_effect(&mut world, &mut keeper, |effect| matches!(effect, Effect::Write { .. }));
        drop(keeper);
        // The next process proves that it can write the store, and this one knows nothing of that.
        world.written += 1;
        world.written_before = keeps_proof.then_some(world.written - 1);
        let mut keeper = world.start();
        world.pass(&mut keeper, MINUTE);
        assert_eq!(held(&world).is_some(), keeps_proof);
    }
}

#[test]
fn a_first_sign_in_whose_saving_could_not_be_read_back_is_not_brought_back_either() {
    let (mut world, mut keeper) = first_sign_in();
    let back = until_effect(&mut world, &mut keeper, |e| matches!(e, Effect::ReadBack { .. }));
    let Effect::ReadBack { ticket, .. } = back else { panic!("{back:?}") };
    let fault = StoreFault::LockLost { lock: "x".into() };
    keeper.handle(Input::Done(ticket, Outcome::Read(vec![(STORE.into(), Err(fault))])), world.now);
    world.entries.clear();
    world.written += 1;
    world.settle(&mut keeper);
    keeper.handle(world.seen(), world.now);
    world.pass(&mut keeper, 2 * MINUTE);
    assert_eq!(held(&world), None);
    assert!(world.journal.is_empty());
}

/// The usual store is away: its folder is not there, or is empty.
fn away(world: &mut World, is_empty: bool) {
    if is_empty {
        world.sign_ins = SignIns::Away;
    } else {
        let gone = StoreFault::Absent { place: "~/.claude".into() };
        world.faults.insert(STORE.into(), gone);
    }
}

/// It is there again as it was.
fn back(world: &mut World, entries: BTreeMap<EntryKey, Entry>) {
    world.faults.clear();
    world.sign_ins = SignIns::Read;
    world.entries = entries;
    world.written += 1;
}

#[test]
fn a_first_sign_in_makes_no_store_where_one_is_away_and_is_saved_when_it_is_back() {
    for (is_empty, ends) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut world = World::new();
        world.put(entry("other", "at-o", "rt-o", world.now.wall.0 + 3_600_000));
        let mut keeper = world.start();
        world.act(&mut keeper, Action::Pause("claude-code/other".into()));
        let wish = named("notion", "https://mcp.example/mcp");
        world.act(&mut keeper, Action::Reconnect(wish.clone()));
        let entries = world.entries.clone();
        away(&mut world, is_empty);
        if !ends {
            world.look(&mut keeper);
        }
        world.come_back(&mut keeper, "code=good");
        if ends {
            // A run that has never seen the store.
            drop(keeper);
            keeper = world.start();
        }
        world.pass(&mut keeper, 10 * MINUTE);
        assert_eq!(held(&world), None, "is_empty: {is_empty}, ends: {ends}");
        world.act(&mut keeper, Action::Reconnect(wish));
        let last = world.events.iter().rev().find_map(|event| match event {
            Event::SignInFailed { why, .. } => Some(why.clone()),
            _ => None,
        });
        assert!(last.is_some_and(|why| why.contains("not there now")), "{:?}", world.events);
        back(&mut world, entries);
        world.pass(&mut keeper, 2 * MINUTE);
        assert_eq!(held(&world), secret("rt-signed"));
        let signed_out = world.events.iter().any(|e| matches!(e, Event::SignedOut { .. }));
        assert!(!signed_out && world.server.revoked.is_empty(), "{:?}", world.events);
        let rows = keeper.snapshot().rows;
        let other = rows.iter().find(|row| row.name == "other").map(|row| row.health);
        assert_eq!((other, rows.len()), (Some(Health::Paused), 3));
    }
}

#[test]
fn two_first_sign_ins_make_a_store_that_never_was_there() {
    for is_empty in [true, false] {
        let mut world = World::new();
        world.entries.clear();
        away(&mut world, is_empty);
        let mut keeper = world.start();
        for name in ["notion", "linear"] {
            let wish = named(name, "https://mcp.example/mcp");
            world.act(&mut keeper, Action::Reconnect(wish));
            world.come_back(&mut keeper, "code=good");
        }
        assert_eq!(world.ended(), ["signed in, Some(3)"; 2]);
        assert_eq!(world.entries.len(), 2);
    }
}

/// A sign-in to the one server whose tokens wait for a lock that another program holds.
fn waiting_for_the_lock() -> (World, Keeper) {
    let mut world = dead();
    let mut keeper = world.start();
    world.sign_in(&mut keeper);
    world.lock_faults = VecDeque::from(vec![StoreFault::Busy { lock: "mcp-refresh".into() }; 2]);
    world.come_back(&mut keeper, "code=good");
    assert_eq!((world.ended().len(), world.lock_faults.len()), (0, 1));
    (world, keeper)
}

#[test]
fn a_sign_in_ends_where_its_entry_is_signed_out_before_or_while_the_lock_is_waited_for() {
    for while_waiting in [true, false] {
        let (mut world, mut keeper) = waiting_for_the_lock();
        let mut lock = None;
        if while_waiting {
            world.now =
                Now { wall: world.now.wall + Millis(4_000), boot: world.now.boot + Millis(4_000) };
            keeper.handle(Input::Tick, world.now);
            let locks = |effect: &Effect| matches!(effect, Effect::Lock { .. });
            lock = Some(until_effect(&mut world, &mut keeper, locks));
        }
        let entries = std::mem::take(&mut world.entries);
        world.look(&mut keeper);
        if let Some(lock) = lock {
            let (ticket, busy) = world.perform(lock).unwrap();
            keeper.handle(Input::Done(ticket, busy), world.now);
            world.settle(&mut keeper);
        }
        assert_eq!(world.ended(), ["overtaken"], "while waiting: {while_waiting}");
        assert!(!keeper.is_busy() && keeper.is_settled(&"claude-code/slack".into()));
        assert_eq!(world.server.revoked, ["rt-signed"]);
        world.lock_faults.clear();
        world.entries = entries;
        world.look(&mut keeper);
        world.sign_in(&mut keeper);
        world.come_back(&mut keeper, "code=good");
        assert_eq!(world.ended(), ["overtaken", "signed in, Some(3)"]);
    }
}

#[test]
fn a_sign_in_ends_where_its_entry_goes_or_is_emptied_while_the_server_is_asked() {
    for (emptied, accepts) in [(false, true), (true, true), (true, false)] {
        let mut world = World::new();
        world.mode = Mode::OnRequest;
        let mut keeper = world.start();
        world.sign_in(&mut keeper);
        world.bring(&mut keeper, "code=good");
        let probes = |effect: &Effect| matches!(effect, Effect::Probe { .. });
        let probe = until_effect(&mut world, &mut keeper, probes);
        world.entries = if emptied { dead().entries } else { BTreeMap::new() };
        world.look(&mut keeper);
        let (ticket, accepted) = world.perform(probe).unwrap();
        world.accepts_probe = accepts;
        keeper.handle(Input::Done(ticket, accepted), world.now);
        world.settle(&mut keeper);
        world.pass(&mut keeper, 2 * MINUTE);
        // What an emptying client is given back counts like what it was given.
        let expected = if emptied && accepts { "signed in, Some(3)" } else { "overtaken" };
        assert_eq!(world.ended(), [expected], "emptied: {emptied}");
        assert!(!keeper.is_busy());
    }
}
