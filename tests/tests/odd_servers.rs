//! Servers that do one thing otherwise than most: each is signed in at and renewed from twice, or
//! refused with a sentence. One case a row.
//!
//! Providers that do many things otherwise are in `providers`. Where to read next:
//! `lamplighter_rehearsal::Habits`.

use lamplighter_rehearsal::{
    Builder, Dialect, ExpiresIn, Fault, Habits, Layout, NamesItself, Nothing, Prm, Registration,
    Rehearsal,
};
use lamplighter_tests::{
    browser::visit,
    desk::Desk,
    reconnect::{Reconnect, free_port},
    stage::Stage,
};

/// A server whose sign-in has ended, as Claude Code leaves its entry.
fn ended(builder: Builder) -> Stage {
    let mut stage = Stage::new(builder);
    stage.sign_in("rig", -1);
    stage.edit("rig", |entry| {
        entry["accessToken"] = "".into();
        entry["expiresAt"] = 0.into();
        entry.as_object_mut().map(|members| members.remove("refreshToken"));
    });
    stage
}

fn with(habits: Habits) -> Builder {
    Rehearsal::builder().habits(habits)
}

/// One click, and two renewals.
fn lives_again(what: &str, builder: Builder) -> Stage {
    let stage = ended(builder);
    let flow = Reconnect::start(&stage.home, "rig", &["--port", &free_port()]);
    is_led_home(what, &stage, flow);
    stage
}

fn is_led_home(what: &str, stage: &Stage, mut flow: Reconnect) {
    let tab = flow.consent();
    assert!(tab.body.contains("Signed in to rig"), "{what}: {}", tab.body);
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), code), (Some("signed_in"), Some(0)), "{what}: {last}");
    assert_eq!(last["tools"], 2, "{what}");
    for _ in 0..2 {
        let before = stage.pair("rig").0;
        let ran = stage.run(&["renew", "rig"]);
        assert_eq!(ran.code, Some(0), "{what}: {}{}", ran.out, ran.err);
        assert_ne!(stage.pair("rig").0, before, "{what}: nothing new");
        assert!(stage.holds_live_pair("rig"), "{what}");
    }
    stage.nothing_was_broken();
}

#[test]
fn what_a_server_does_otherwise_is_taken_as_it_comes() {
    let plain = Habits::default;
    let page = || Habits { nothing: Nothing::Page, ..plain() };
    let rows: Vec<(&str, Builder)> = vec![
        ("a registration answered with 200, its numbers texts", {
            let habits = Habits { registration: Registration::Loose, ..plain() };
            with(habits).expires_in(ExpiresIn::Text)
        }),
        ("tokens answered with 201", Rehearsal::builder().dialect(Dialect::Created201)),
        ("a life that is a fraction", Rehearsal::builder().expires_in(ExpiresIn::Float)),
        ("a life that is not said", Rehearsal::builder().expires_in(ExpiresIn::Missing)),
        ("no refresh token in a renewal", Rehearsal::builder().omit_refresh_token(true)),
        ("no scope in an answer", Rehearsal::builder().omit_scope(true)),
        ("an issuer with a path", Rehearsal::builder().issuer_path("/t/1")),
        ("an issuer with a path, OpenID's place", {
            Rehearsal::builder().issuer_path("/t/1").layout(Layout::OidcAppended)
        }),
        ("an issuer with a slash", with(Habits { issuer_slash: true, ..plain() })),
        ("an issuer with a path and a slash", {
            with(Habits { issuer_slash: true, ..plain() }).issuer_path("/t/1")
        }),
        ("a resource that is its origin", with(Habits { resource_is_origin: true, ..plain() })),
        ("pages of HTML before the metadata", {
            with(page()).layout(Layout::OidcInserted).prm(Prm::Root)
        }),
        ("pages of HTML at two places before it", {
            with(page()).layout(Layout::OidcAppended).issuer_path("/t/1")
        }),
        ("pages of HTML wherever metadata could be", {
            with(page()).layout(Layout::Nothing).prm(Prm::Nowhere)
        }),
        ("no metadata at all", { Rehearsal::builder().layout(Layout::Nothing).prm(Prm::Nowhere) }),
        ("an answer that names its issuer unasked", {
            with(Habits { names_itself: NamesItself::Unadvertised, ..plain() })
        }),
        ("an answer that names nobody", {
            with(Habits { names_itself: NamesItself::Never, ..plain() })
        }),
        ("a port that must be the registered one", {
            with(Habits { exact_redirects: true, ..plain() })
        }),
        ("tokens handed out at another address", {
            Rehearsal::builder().token_endpoint_elsewhere(true)
        }),
        ("a resource that must be named", Rehearsal::builder().require_resource(true)),
    ];
    for (what, builder) in rows {
        lives_again(what, builder);
    }
}

#[test]
fn a_server_that_takes_only_clients_with_a_secret_gets_one_and_is_shown_it_each_time() {
    let habits = Habits { registration: Registration::WithSecret, ..Habits::default() };
    let stage = lives_again("with a secret", with(habits));
    let secret = stage.entry("rig")["clientSecret"].clone();
    assert!(secret.as_str().is_some_and(|secret| secret.starts_with("lamp_secret_")), "{secret}");
    // The registration is used again, its port with it.
    let before = stage.entry("rig");
    let flow = Reconnect::start(&stage.home, "rig", &[]);
    is_led_home("again", &stage, flow);
    let after = stage.entry("rig");
    for member in ["clientId", "clientSecret", "redirectUri"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert_eq!(stage.control.registrations(), 1);
}

#[test]
fn one_redirect_that_is_refused_does_not_sink_the_registration() {
    let habits = Habits { registration: Registration::WebOnly, ..Habits::default() };
    let stage = ended(with(habits));
    // Somebody here would take the scheme, so it is asked for first.
    let desk = Desk::new(&stage.home);
    desk.program("xdg-mime", "echo lamplighter.desktop");
    let port = free_port();
    let flow = Reconnect::of(desk.command(&["reconnect", "rig", "--json", "--port", &port]));
    is_led_home("web addresses only", &stage, flow);
    assert_eq!(stage.control.registrations(), 2, "with the scheme, and without");
    let redirect = format!("http://localhost:{port}/callback");
    assert_eq!(stage.entry("rig")["redirectUri"], redirect.as_str());
}

#[test]
fn a_refusal_is_told_by_its_word_and_not_by_its_status_and_costs_nothing() {
    let rows = [
        ("200 with an error", Fault::Error { status: 200, code: "invalid_grant" }),
        ("403 with an error", Fault::Error { status: 403, code: "invalid_grant" }),
        ("500 with a definite error", Fault::Error { status: 500, code: "invalid_client" }),
        ("an empty 400", Fault::Status { status: 400 }),
        ("an empty 401", Fault::Status { status: 401 }),
    ];
    for (what, fault) in rows {
        let stage = ended(Rehearsal::builder());
        let before = stage.pair("rig");
        stage.control.inject(fault, 1);
        let mut flow = Reconnect::start(&stage.home, "rig", &["--port", &free_port()]);
        let tab = flow.consent();
        assert!(tab.body.contains("Not signed in to rig"), "{what}: {}", tab.body);
        let (last, code) = flow.end();
        assert_eq!(
            (last["code"].as_str(), code),
            (Some("exchange_refused"), Some(10)),
            "{what}: {last}"
        );
        assert_eq!(stage.pair("rig"), before, "{what}");
        let flow = Reconnect::start(&stage.home, "rig", &["--port", &free_port()]);
        is_led_home(what, &stage, flow);
    }
}

#[test]
fn an_empty_400_at_a_renewal_ends_no_sign_in() {
    let stage = lives_again("before", Rehearsal::builder());
    let held = stage.pair("rig");
    for status in [400, 401, 403] {
        stage.control.inject(Fault::Status { status }, 1);
        let ran = stage.run(&["renew", "rig"]);
        assert_ne!(ran.code, Some(10), "{status}: {}{}", ran.out, ran.err);
        assert_eq!(stage.pair("rig"), held, "{status}");
    }
    stage.run(&["renew", "rig"]).succeeded();
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn an_issuer_that_writes_itself_in_another_way_is_not_taken_unseen() {
    let stage = ended(with(Habits { named_with_slash: true, ..Habits::default() }));
    let (last, code) = Reconnect::start(&stage.home, "rig", &[]).end();
    assert_eq!((last["code"].as_str(), code), (Some("issuer_mismatch"), Some(10)), "{last}");
    let said = last["message"].as_str().unwrap_or_default();
    assert!(said.contains("writes its own address in another way"), "{said}");
    stage.run(&["trust", "rig", "--yes"]);
    let flow = Reconnect::start(&stage.home, "rig", &["--port", &free_port()]);
    is_led_home("once it was seen", &stage, flow);
}

#[test]
fn a_server_that_registers_nobody_says_what_is_left_to_do() {
    for registration in [Registration::ByHand, Registration::Refused] {
        let mut stage = ended(with(Habits { registration, ..Habits::default() }));
        stage.edit("rig", |entry| {
            entry.as_object_mut().map(|members| members.remove("clientId"));
        });
        let (last, code) = Reconnect::start(&stage.home, "rig", &[]).end();
        assert_eq!((last["code"].as_str(), code), (Some("client_needed"), Some(10)), "{last}");
        let said = last["message"].as_str().unwrap_or_default();
        assert!(said.contains("claude mcp login rig"), "{said}");
    }
    // With a registration of the client program's own there is a way, on its exact port.
    for registration in [Registration::ByHand, Registration::Refused] {
        let habits = Habits { registration, exact_redirects: true, ..Habits::default() };
        let mut stage = Stage::new(with(habits));
        let redirect_uri = format!("http://localhost:{}/callback", free_port());
        let mint = lamplighter_rehearsal::Mint {
            redirect_uri: redirect_uri.clone(),
            ..Default::default()
        };
        stage.sign_in_as("rig", mint);
        stage.edit("rig", |entry| entry["redirectUri"] = redirect_uri.as_str().into());
        let mut flow = Reconnect::start(&stage.home, "rig", &[]);
        let page = flow.page();
        let back = visit(&page).location.unwrap_or_default();
        assert!(back.starts_with(&redirect_uri), "{back}");
        visit(&back);
        assert_eq!(flow.end().1, Some(0));
        assert!(stage.holds_live_pair("rig"));
    }
}
