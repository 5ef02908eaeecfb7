//! A certified authorization server, `oidc-provider`: its own rotation, reuse detection, revocation
//! and registrations, judged by its own log.
//!
//! A definite refusal is asked about once more a minute later, so most of these tests wait; they run
//! side by side, each with a server of its own. What a server can do wrong is in `weather`. Where to
//! read next: `tests/src/oidc.rs`.

use lamplighter_tests::{
    browser::visit,
    home::{Home, Ran},
    keeper::Keeper,
    oidc::{Asked, Choices, OidcProvider, Walk},
    peers,
    program::lamplighter,
    proxy::Proxy,
    reconnect::{Reconnect, free_port},
    sign_in::SignIn,
};
use serde_json::Value;

const NAME: &str = "rig";
const TOKEN_PATH: &str = "/token";

/// A home that is signed in at a server.
struct Rig {
    home: Home,
    provider: OidcProvider,
    sign_in: SignIn,
}

impl Rig {
    fn new(choices: Choices) -> Self {
        let provider = OidcProvider::start(choices);
        Self::at(provider)
    }

    fn at(provider: OidcProvider) -> Self {
        let home = Home::new();
        let sign_in = provider.sign_in();
        sign_in.write(&home, NAME);
        Self { home, provider, sign_in }
    }

    /// The same behind a proxy that can lose answers.
    fn behind_a_proxy(choices: Choices) -> (Self, Proxy) {
        let proxy = Proxy::start();
        let front = Some(proxy.origin());
        let provider = OidcProvider::start(Choices { front, ..choices });
        proxy.lead_to(provider.port());
        (Self::at(provider), proxy)
    }

    fn run(&self, args: &[&str]) -> Ran {
        lamplighter(&self.home, args)
    }

    fn renew(&self) -> Ran {
        self.run(&["renew", NAME])
    }

    fn stored(&self) -> (String, String) {
        self.sign_in.stored(&self.home, NAME)
    }

    fn holds_live_pair(&self) -> bool {
        self.provider.is_live(&self.stored())
    }

    /// What the refreshes came to, all of which must be Lamplighter's.
    fn outcomes(&self) -> Vec<String> {
        let asked = self.provider.asked();
        let ours = |asked: &Asked| asked.agent.starts_with("Lamplighter/");
        assert!(asked.iter().all(ours), "{asked:?}");
        asked.into_iter().map(|asked| asked.outcome).collect()
    }

    fn nothing_was_spent_twice(&self) {
        let asked = self.provider.asked();
        assert!(asked.iter().all(|asked| !asked.reuse), "{asked:?}");
    }

    fn server(&self) -> Value {
        let ran = self.run(&["status", "--json"]);
        let status: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        status["servers"][0].clone()
    }

    /// It needs a sign-in and says so; asked again it says the same and asks nobody.
    fn needs_a_sign_in(&self, ran: &Ran, words: &str) {
        assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(words), "{words:?} is not in {}{}", ran.out, ran.err);
        assert_eq!(self.server()["health"], "sign_in_required", "{}", self.server());
        let asked = self.provider.asked().len();
        assert_eq!(self.renew().code, Some(10));
        assert_eq!(self.provider.asked().len(), asked, "it was asked again");
    }
}

#[test]
fn a_grant_is_renewed_a_hundred_times_and_no_token_is_ever_spent_twice() {
    if !peers::may_run("a hundred renewals") {
        return;
    }
    let rig = Rig::new(Choices { life_seconds: 30, ..Choices::default() });
    let mut before = rig.stored();
    for round in 1..=100 {
        let ran = rig.renew();
        assert_eq!(ran.code, Some(0), "round {round}: {}{}", ran.out, ran.err);
        let after = rig.stored();
        assert!(before.0 != after.0 && before.1 != after.1, "round {round}: nothing new");
        before = after;
    }
    assert_eq!(rig.outcomes(), vec!["issued"; 100]);
    rig.nothing_was_spent_twice();
    assert!(rig.holds_live_pair());
    assert!(rig.run(&["check", NAME]).succeeded().err.contains("1 tool"));
}

#[test]
fn a_keeper_renews_tokens_of_ten_seconds_and_the_server_accepts_each() {
    if !peers::may_run("short tokens") {
        return;
    }
    let rig = Rig::new(Choices { life_seconds: 10, ..Choices::default() });
    let keeper = Keeper::start(&rig.home);
    keeper.until("it was renewed five times", |keeper| keeper.events("renewed").len() >= 5);
    assert!(keeper.events("notice").is_empty());
    assert_eq!(keeper.terminate(), Some(0));
    assert!(rig.holds_live_pair());
    assert!(rig.outcomes().iter().all(|outcome| outcome == "issued"));
    rig.nothing_was_spent_twice();
}

#[test]
fn a_revoked_grant_ends_in_one_notice_and_one_sign_in() {
    if !peers::may_run("a revoked grant") {
        return;
    }
    let rig = Rig::new(Choices { life_seconds: 30, ..Choices::default() });
    rig.renew().succeeded();
    rig.provider.revoke(&rig.stored().1);
    let keeper = Keeper::start(&rig.home);
    keeper.until("a person is asked", |keeper| !keeper.events("notice").is_empty());
    rig.needs_a_sign_in(&rig.renew(), "rig ended this sign-in");
    assert_eq!(keeper.events("notice").len(), 1, "{:#?}", keeper.said());
    assert_eq!(keeper.terminate(), Some(0));
    let refused = "invalid_grant: refresh token not found";
    assert_eq!(rig.outcomes(), ["issued", refused, refused]);
    rig.nothing_was_spent_twice();
    // Signed in again by the client, all is well, and the notice is a thing of the past.
    rig.provider.sign_in().write(&rig.home, NAME);
    assert_eq!(rig.server()["health"], "healthy");
    rig.renew().succeeded();
}

#[test]
fn a_forgotten_client_is_named_as_such() {
    if !peers::may_run("a forgotten client") {
        return;
    }
    let rig = Rig::new(Choices::default());
    rig.provider.forget(&rig.sign_in.client_id);
    let ran = rig.renew();
    rig.needs_a_sign_in(&ran, "no longer knows the client");
    assert_eq!(rig.stored().1, rig.sign_in.refresh_token, "nothing of ours deletes it");
    assert!(rig.outcomes().iter().all(|outcome| outcome == "invalid_client: client not found"));
}

#[test]
fn a_server_that_restarts_with_its_store_is_renewed_from_as_before() {
    if !peers::may_run("a restart with its store") {
        return;
    }
    let mut rig = Rig::new(Choices { life_seconds: 30, ..Choices::default() });
    for _ in 0..3 {
        rig.renew().succeeded();
        rig.provider.restart(true);
    }
    rig.renew().succeeded();
    assert_eq!(rig.outcomes(), ["issued"; 4]);
    rig.nothing_was_spent_twice();
    assert!(rig.holds_live_pair());
}

#[test]
fn a_server_that_restarts_with_nothing_needs_a_sign_in() {
    if !peers::may_run("a restart without its store") {
        return;
    }
    let mut rig = Rig::new(Choices::default());
    rig.renew().succeeded();
    let held = rig.stored();
    rig.provider.restart(false);
    let ran = rig.renew();
    // It knows neither the grant nor the client, and says the latter.
    rig.needs_a_sign_in(&ran, "no longer knows the client");
    assert_eq!(rig.stored(), held, "nothing of ours deletes it");
    rig.nothing_was_spent_twice();
}

#[test]
fn a_lost_answer_is_recovered_where_the_server_gives_grace() {
    if !peers::may_run("a lost answer, with grace") {
        return;
    }
    let (rig, proxy) = Rig::behind_a_proxy(Choices { grace_ms: 30_000, ..Choices::default() });
    proxy.lose_answers(TOKEN_PATH, 1);
    let ran = rig.renew();
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!(proxy.lost(), 1);
    assert!(rig.holds_live_pair());
    let asked = rig.provider.asked();
    assert_eq!(rig.outcomes(), ["issued", "issued"]);
    // This one time the same token is presented once more: whether it was spent is not known.
    assert_eq!(asked.iter().map(|asked| asked.reuse).collect::<Vec<_>>(), [false, true]);
    assert_eq!(asked[0].token, asked[1].token);
    // From here on it is an ordinary grant.
    rig.renew().succeeded();
    assert_eq!(rig.provider.asked().iter().filter(|asked| asked.reuse).count(), 1);
}

#[test]
fn a_lost_answer_ends_in_one_sign_in_where_the_server_gives_none() {
    if !peers::may_run("a lost answer, without grace") {
        return;
    }
    let (rig, proxy) = Rig::behind_a_proxy(Choices::default());
    proxy.lose_answers(TOKEN_PATH, 1);
    let ran = rig.renew();
    rig.needs_a_sign_in(&ran, "rig ended this sign-in");
    assert_eq!(proxy.lost(), 1);
    // Once more within seconds, which the server punishes, and a minute later to be sure.
    let (used, gone) =
        ("invalid_grant: refresh token already used", "invalid_grant: refresh token not found");
    assert_eq!(rig.outcomes(), ["issued", used, gone]);
    assert_eq!(rig.stored().1, rig.sign_in.refresh_token, "nothing of ours deletes it");
}

#[test]
fn two_lost_answers_wait_for_another_moment_and_lose_nothing() {
    if !peers::may_run("two lost answers") {
        return;
    }
    let (rig, proxy) = Rig::behind_a_proxy(Choices { grace_ms: 60_000, ..Choices::default() });
    proxy.lose_answers(TOKEN_PATH, 2);
    let ran = rig.renew();
    assert_eq!(ran.code, Some(0), "the token is still good: {}{}", ran.out, ran.err);
    assert!(ran.out.contains("answer was lost"), "{}{}", ran.out, ran.err);
    assert_eq!(proxy.lost(), 2);
    assert_eq!(rig.stored().1, rig.sign_in.refresh_token);
    // The third time may be one too many for the server, and the access token is good: it waits
    // until shortly before the client would ask, whoever would like it sooner.
    assert_eq!(rig.run(&["renew"]).code, Some(0));
    assert_eq!(rig.renew().code, Some(0));
    assert_eq!(rig.outcomes(), ["issued"; 2]);
    assert!(rig.run(&["check", NAME]).succeeded().err.contains("1 tool"));
}

/// A click, and a person who goes through the server's own pages of login and consent.
struct Click {
    flow: Reconnect,
    walk: Walk,
}

impl Rig {
    fn that_asks() -> Self {
        Self::new(Choices { asks: true, ..Choices::default() })
    }

    fn click(&self, cancels: bool, more: &[&str]) -> Click {
        let mut flow = Reconnect::start(&self.home, NAME, more);
        let page = flow.page();
        let redirect = flow.heard[0]["redirect_uri"].as_str().unwrap_or_default().to_owned();
        let walk = self.provider.walk(&page, cancels, &redirect);
        Click { flow, walk }
    }
}

#[test]
fn a_person_who_goes_through_login_and_consent_is_signed_in_again() {
    if !peers::may_run("the pages of login and consent") {
        return;
    }
    let rig = Rig::that_asks();
    rig.provider.forget(&rig.sign_in.client_id);
    rig.needs_a_sign_in(&rig.renew(), "no longer knows the client");
    let before = rig.provider.asked().len();
    let Click { flow, walk } = rig.click(false, &["--port", &free_port()]);
    assert_eq!(walk.pages, ["Sign-in", "Authorize"]);
    let tab = visit(&walk.callback);
    assert!(tab.body.contains("Signed in to rig"), "{} {}", tab.status, tab.body);
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), last["tools"].as_u64()), (Some("signed_in"), Some(1)));
    assert_eq!(code, Some(0));
    assert!(rig.holds_live_pair());
    for _ in 0..3 {
        rig.renew().succeeded();
    }
    assert_eq!(rig.outcomes()[before..], ["issued"; 3]);
    rig.nothing_was_spent_twice();
    assert!(rig.holds_live_pair());
}

#[test]
fn a_person_who_cancels_at_the_consent_keeps_the_sign_in_there_was() {
    if !peers::may_run("a consent that is cancelled") {
        return;
    }
    let rig = Rig::that_asks();
    let before = rig.stored();
    let Click { flow, walk } = rig.click(true, &[]);
    assert_eq!(walk.pages, ["Sign-in", "Authorize"]);
    assert!(walk.callback.contains("error=access_denied"), "{}", walk.callback);
    visit(&walk.callback);
    let (last, code) = flow.end();
    assert_eq!((last["code"].as_str(), code), (Some("denied"), Some(10)), "{last}");
    assert_eq!(rig.stored(), before);
    assert!(rig.holds_live_pair());
    rig.renew().succeeded();
    assert_eq!(rig.outcomes(), ["issued"]);
}
