//! Providers that go their own way, played by rehearsal: Slack, GitHub, Google and Entra. Each is
//! signed in at from nothing but Claude Code's configuration, and renewed from twice.
//!
//! The user's settings lead their profiles to loopback; what the shipped profiles say besides is what
//! is examined. Where to read next: `lamplighter_rehearsal::Habits`.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::fs;

use lamplighter_rehearsal::{Builder, Mint, Rehearsal};
use lamplighter_tests::{
    browser::visit,
    keeper::Keeper,
    reconnect::{Reconnect, free_port},
    stage::Stage,
    store::{self, CREDENTIALS},
};
use serde_json::{Value, json};

const NAME: &str = "rig";
const SECRET: &str = "a-configured-secret";

/// A provider whose app was made by hand, and a configuration that names it; nobody is signed in.
struct Scene {
    stage: Stage,
    /// The app's client id.
    app: String,
    port: String,
}

impl Scene {
    fn new(profile: &str, builder: Builder, secret: Option<&str>) -> Self {
        let stage = Stage::new(builder);
        let port = free_port();
        let made = stage.control.mint(Mint {
            client_secret: secret.map(Into::into),
            redirect_uri: format!("http://localhost:{port}/callback"),
            ..Mint::default()
        });
        let scene = Self { stage, app: made.client_id, port };
        scene.settings(&format!("[profiles.{profile}]\nhosts = ['127.0.0.1']\n"));
        scene.configure(secret);
        scene
    }

    fn settings(&self, text: &str) {
        let place = self.stage.home.config("lamplighter/settings.toml");
        fs::create_dir_all(place.parent().expect("a folder")).expect("made");
        fs::write(place, text).expect("written");
    }

    /// As `claude mcp add --client-id … --callback-port … [--client-secret]` leaves it.
    fn configure(&self, secret: Option<&str>) {
        let port: u16 = self.port.parse().expect("a port");
        let server = json!({
            "type": "http",
            "url": self.stage.town.mcp_url(),
            "oauth": {"clientId": self.app, "callbackPort": port},
        });
        let config = json!({"mcpServers": {NAME: server}});
        fs::write(self.stage.home.path().join(".claude.json"), config.to_string())
            .expect("written");
        let kept = match secret {
            Some(secret) => json!({self.stage.key(NAME): {"clientSecret": secret}}),
            None => json!({}),
        };
        let text = json!({"mcpOAuth": {}, "mcpOAuthClientConfig": kept}).to_string();
        store::write(&self.stage.home, CREDENTIALS, &text);
    }

    /// Signs in as a person who says yes; the page that was opened, and the last line.
    fn sign_in(&self) -> (String, Value) {
        let mut flow = Reconnect::start(&self.stage.home, NAME, &[]);
        let page = flow.page();
        let asked = visit(&page);
        let back = asked.location.unwrap_or_else(|| panic!("{} {}", asked.status, asked.body));
        let expected = format!("http://localhost:{}/callback?", self.port);
        assert!(back.starts_with(&expected), "{back}");
        visit(&back);
        let name = flow.heard[0]["client_name"].as_str().unwrap_or_default().to_owned();
        assert!(name.contains("registered for the client program"), "{name}");
        let (last, code) = flow.end();
        assert_eq!((last["event"].as_str(), code), (Some("signed_in"), Some(0)), "{last}");
        assert_eq!(last["tools"], 2, "{last}");
        (page, last)
    }

    /// Renews twice, each time with new tokens that the server accepts.
    fn renew_twice(&self) {
        for _ in 0..2 {
            let before = self.stage.pair(NAME);
            self.stage.run(&["renew", NAME]).succeeded();
            assert_ne!(self.stage.pair(NAME).0, before.0, "nothing new");
            assert!(self.stage.holds_live_pair(NAME));
        }
        let ran = self.stage.run(&["check", NAME]).succeeded();
        assert!(ran.err.contains("2 tools"), "{}", ran.err);
        self.stage.nothing_was_broken();
        assert_eq!(self.stage.refreshes().len(), 2, "each was answered at once");
        assert_eq!(self.stage.control.registrations(), 0, "nobody may register there");
    }

    /// The account is shown where the row is, and another one is said to be another.
    fn names_its_account(&self, first: &Value, other: &str) {
        let known = first["account"].as_str().expect("an account").to_owned();
        assert_eq!(first["other_account"], false, "{first}");
        assert_eq!(self.stage.server(NAME)["account"], known.as_str());
        let again = self.sign_in().1;
        assert_eq!(
            (again["account"].as_str(), &again["other_account"]),
            (Some(&*known), &false.into())
        );
        self.stage.control.set_account(other);
        let keeper = Keeper::start(&self.stage.home);
        keeper.until_reachable(&self.stage.home);
        let (_, last) = self.sign_in();
        assert_eq!((last["account"].as_str(), &last["other_account"]), (Some(other), &true.into()));
        assert_eq!(self.stage.server(NAME)["account"], other);
        assert_eq!(keeper.terminate(), Some(0));
    }
}

/// One value of a page's query.
fn asked(page: &str, name: &str) -> Option<String> {
    let (_, query) = page.split_once('?')?;
    let start = format!("{name}=");
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&start))?;
    Some(value.replace("%3A", ":").replace("%2F", "/").replace('+', " "))
}

#[test]
fn slack_works_from_the_configuration_alone_with_nothing_typed() {
    let scene = Scene::new("slack", Rehearsal::builder().slack(), None);
    let (page, last) = scene.sign_in();
    let redirect = format!("http://localhost:{}/callback", scene.port);
    assert_eq!(asked(&page, "redirect_uri").as_deref(), Some(&*redirect));
    assert_eq!(asked(&page, "client_id"), Some(scene.app.clone()));
    assert_eq!(asked(&page, "resource"), Some(scene.stage.town.origin()));
    let scopes = asked(&page, "scope").unwrap_or_default();
    assert!(scopes.starts_with("search:read.public ") && scopes.contains("chat:write"), "{scopes}");
    let entry = scene.stage.entry(NAME);
    assert_eq!(
        (&entry["issuer"], &entry["redirectUri"]),
        (&"https://slack.com".into(), &redirect.into())
    );
    scene.renew_twice();
    let named = scene.stage.refreshes().into_iter().map(|seen| seen.resource);
    assert!(named.eq([Some(scene.stage.town.origin()), Some(scene.stage.town.origin())]));
    scene.names_its_account(&last, "Harbour");
}

#[test]
fn slacks_redirect_is_known_where_no_port_is_configured() {
    let scene = Scene::new("slack", Rehearsal::builder().slack(), None);
    let redirect = format!("http://localhost:{}/callback", scene.port);
    scene.settings(&format!(
        "[profiles.slack]\nhosts = ['127.0.0.1']\nredirect_uri = '{redirect}'\n"
    ));
    let config = scene.stage.home.path().join(".claude.json");
    let text = fs::read_to_string(&config).expect("a configuration");
    let port = format!("\"callbackPort\":{}", scene.port);
    assert!(text.contains(&port), "{text}");
    fs::write(&config, text.replace(&port, "\"x\":0")).expect("written");
    let (page, _) = scene.sign_in();
    assert_eq!(asked(&page, "redirect_uri"), Some(redirect));
}

#[test]
fn slacks_end_of_a_sign_in_is_understood_although_it_says_200() {
    let scene = Scene::new("slack", Rehearsal::builder().slack(), None);
    scene.sign_in();
    let held = scene.stage.pair(NAME);
    scene.stage.control.revoke_family_of(&held.1);
    let ran = scene.stage.run(&["renew", NAME]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("Slack ended this sign-in"), "{}{}", ran.out, ran.err);
    assert_eq!(scene.stage.pair(NAME), held, "nothing of ours deletes it");
    scene.sign_in();
    scene.stage.run(&["renew", NAME]).succeeded();
}

#[test]
fn github_answers_with_forms_and_errors_with_200() {
    let scene = Scene::new("github", Rehearsal::builder().github(), Some(SECRET));
    let (_, last) = scene.sign_in();
    assert_eq!(last["account"], Value::Null, "it does not say who signed in");
    let entry = scene.stage.entry(NAME);
    assert_eq!(entry["issuer"], scene.stage.town.issuer());
    assert!(entry.get("clientSecret").is_none(), "what is configured stays there alone");
    assert!(scene.stage.server(NAME)["sign_in_ends_at"].is_string(), "half a year from now");
    scene.renew_twice();
    // The app was deleted: 200, and a word of its own.
    scene.stage.control.forget_client(&scene.app);
    let ran = scene.stage.run(&["renew", NAME]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("no longer knows the client"), "{}{}", ran.out, ran.err);
}

#[test]
fn github_without_its_secret_is_refused_before_any_page() {
    let scene = Scene::new("github", Rehearsal::builder().github(), Some(SECRET));
    scene.configure(None);
    let (last, code) = Reconnect::start(&scene.stage.home, NAME, &[]).end();
    assert_eq!((last["code"].as_str(), code), (Some("secret_needed"), Some(10)), "{last}");
    let said = last["message"].as_str().unwrap_or_default();
    assert!(said.starts_with("GitHub lets an app in only with its secret"), "{said}");
}

#[test]
fn google_gives_a_refresh_token_once_and_never_another() {
    let builder = Rehearsal::builder().google();
    let scene = Scene::new("google", builder, Some(SECRET));
    // The resource names the issuer with a slash, the issuer itself without.
    let origin = scene.stage.town.origin();
    scene.settings(&format!(
        "[profiles.google]\nhosts = ['127.0.0.1']\nissuers = ['{origin}', '{origin}/']\n"
    ));
    let (page, last) = scene.sign_in();
    assert_eq!(asked(&page, "access_type").as_deref(), Some("offline"));
    assert_eq!(asked(&page, "prompt").as_deref(), Some("consent"));
    assert_eq!(asked(&page, "scope").as_deref(), Some("openid email drive"));
    assert_eq!(last["account"], "ada@lamp.example");
    let first = scene.stage.pair(NAME).1;
    scene.renew_twice();
    assert_eq!(scene.stage.pair(NAME).1, first, "the old one stays");
    scene.names_its_account(&last, "grace@lamp.example");
}

#[test]
fn entra_is_asked_for_offline_access_and_never_for_a_resource() {
    let scene = Scene::new("entra", Rehearsal::builder().entra(), None);
    let (page, last) = scene.sign_in();
    assert_eq!(asked(&page, "resource"), None);
    assert_eq!(asked(&page, "prompt"), None);
    let scopes = asked(&page, "scope").unwrap_or_default();
    assert_eq!(scopes, "openid email api://lamp/tools offline_access");
    let entry = scene.stage.entry(NAME);
    assert_eq!(entry["issuer"], scene.stage.town.issuer());
    assert!(scene.stage.town.issuer().ends_with("/v2.0"));
    let first = scene.stage.pair(NAME).1;
    scene.renew_twice();
    assert_ne!(scene.stage.pair(NAME).1, first, "each refresh asks for the next refresh token");
    scene.names_its_account(&last, "grace@lamp.example");
}

#[test]
fn entras_error_numbers_are_not_repeated() {
    let scene = Scene::new("entra", Rehearsal::builder().entra(), None);
    scene.sign_in();
    scene.stage.control.forget_client(&scene.app);
    let ran = scene.stage.run(&["renew", NAME]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("no longer knows the client"), "{}{}", ran.out, ran.err);
    assert!(!format!("{}{}", ran.out, ran.err).contains("AADSTS"));
}
