//! Hostile servers and configurations at a sign-in: each is refused with a sentence, no page is opened,
//! and no token or secret arrives where it does not belong.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Fault, Mint, Rehearsal, Rotation};
use lamplighter_tests::{
    browser::{led_by, visit},
    desk::Desk,
    hostile::{Answer, Hostile},
    keeper::Keeper,
    reconnect::{Reconnect, free_port},
    stage::Stage,
    store::{self, CREDENTIALS},
};
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// A well-behaved authorization server's metadata, with something changed.
fn metadata(origin: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut document = json!({
        "issuer": origin,
        "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"),
        "registration_endpoint": format!("{origin}/register"),
        "code_challenge_methods_supported": ["S256"],
    });
    change(&mut document);
    document.to_string()
}

/// A server whose two documents are these; everything else is refused.
fn documents(path: &str, resource: String, server: String) -> Answer {
    if path.contains("oauth-protected-resource") {
        ("200 OK", JSON, resource)
    } else if path.contains("oauth-authorization-server") || path.contains("openid-configuration") {
        ("200 OK", JSON, server)
    } else if path == "/register" {
        ("201 Created", JSON, json!({"client_id": "hostile"}).to_string())
    } else {
        ("401 Unauthorized", JSON, "{}".into())
    }
}

fn resource(origin: &str) -> String {
    json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin]}).to_string()
}

/// A stage whose one server, signed in, is the hostile one.
fn with(hostile: &Hostile) -> (Stage, Vec<String>) {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    let minted = stage.sign_in("rig", 3600);
    let url = format!("{}/mcp", hostile.origin);
    stage.edit("rig", |entry| {
        entry["serverUrl"] = url.into();
        entry["clientSecret"] = "a-configured-secret".into();
        entry["redirectUri"] = format!("http://localhost:{}/callback", free_port()).into();
    });
    let secrets = [minted.access_token, minted.refresh_token, "a-configured-secret".into()];
    (stage, secrets.into())
}

/// The sign-in fails with this code, opens nothing, changes nothing and gives nothing away.
fn refused(what: &str, hostile: &Hostile, codes: &[&str]) {
    let (stage, secrets) = with(hostile);
    let before = store::read(&stage.home, CREDENTIALS);
    let (last, code) = Reconnect::start(&stage.home, "rig", &["--timeout", "2"]).end();
    let told = last["code"].as_str().unwrap_or_default().to_owned();
    assert!(codes.contains(&told.as_str()), "{what}: {last}");
    assert!(last["message"].as_str().is_some_and(|words| words.len() > 10), "{what}: {last}");
    assert_eq!(code, Some(10), "{what}");
    assert_eq!(store::read(&stage.home, CREDENTIALS), before, "{what}");
    let sent = hostile.sent().join("\n");
    assert!(secrets.iter().all(|secret| !sent.contains(secret.as_str())), "{what}: {sent}");
    assert!(stage.refreshes().is_empty(), "{what}");
}

#[test]
fn metadata_that_leads_elsewhere_is_refused_with_a_sentence() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "script",
            |d| d["authorization_endpoint"] = "javascript:alert(1)".into(),
            &["bad_address"],
        ),
        ("file", |d| d["authorization_endpoint"] = "file:///etc/passwd".into(), &["bad_address"]),
        ("data", |d| d["token_endpoint"] = "data:text/plain,x".into(), &["bad_address"]),
        (
            "plain http elsewhere",
            |d| d["token_endpoint"] = "http://10.0.0.1/token".into(),
            &["bad_address"],
        ),
        ("another issuer", |d| d["issuer"] = "https://as.example".into(), &["issuer_mismatch"]),
        ("no S256", |d| d["code_challenge_methods_supported"] = json!(["plain"]), &["no_pkce"]),
        (
            "pushed requests",
            |d| d["require_pushed_authorization_requests"] = true.into(),
            &["pushed_requests"],
        ),
        (
            "a query of its own",
            |d| {
                let page = d["authorization_endpoint"].as_str().unwrap_or_default().to_owned();
                d["authorization_endpoint"] = format!("{page}?redirect_uri=x").into();
            },
            &["bad_address"],
        ),
        ("no endpoints", |d| d["token_endpoint"] = Value::Null, &["no_metadata"]),
        (
            "ten megabytes",
            |d| d["padding"] = "x".repeat(10 << 20).into(),
            // As if there were none: then only the fixed places of its own origin are left.
            &["timed_out"],
        ),
    ];
    for (what, change, codes) in cases {
        let change = *change;
        let hostile = Hostile::start(move |path, origin| {
            documents(path, resource(origin), metadata(origin, change))
        });
        refused(what, &hostile, codes);
    }
}

#[test]
fn a_resource_that_speaks_for_another_or_names_a_private_server_is_refused() {
    let other = Hostile::start(|path, origin| {
        let named = json!({"resource": "https://mcp.slack.com", "authorization_servers": [origin]});
        documents(path, named.to_string(), metadata(origin, |_| {}))
    });
    refused("another resource", &other, &["resource_mismatch"]);
    for server in ["http://10.0.0.1", "https://169.254.169.254", "file:///", "javascript:x"] {
        let hostile = Hostile::start(move |path, origin| {
            let named =
                json!({"resource": format!("{origin}/mcp"), "authorization_servers": [server]});
            documents(path, named.to_string(), metadata(origin, |_| {}))
        });
        refused(server, &hostile, &["bad_address", "server_unreachable", "no_metadata"]);
    }
}

#[test]
fn pages_instead_of_documents_and_redirects_without_end_lead_nowhere() {
    let pages = Hostile::start(|_, _| ("200 OK", "text/html", "<html>sign in</html>".into()));
    refused("pages", &pages, &["registration_refused"]);
    let broken = Hostile::start(|_, _| ("200 OK", JSON, "{\"issuer\":".into()));
    refused("half documents", &broken, &["registration_refused"]);
    let unwell = Hostile::start(|_, _| ("500 Internal Server Error", JSON, "{}".into()));
    refused("unwell", &unwell, &["server_unreachable", "no_metadata"]);
}

#[test]
fn a_registration_without_the_clients_own_redirect_is_never_stored() {
    let hostile = Hostile::start(|path, origin| {
        if path == "/register" {
            let uris = json!(["http://localhost:1/callback"]);
            let said = json!({"client_id": origin, "redirect_uris": uris});
            return ("201 Created", JSON, said.to_string());
        }
        documents(path, resource(origin), metadata(origin, |_| {}))
    });
    refused("another redirect", &hostile, &["redirect_refused"]);
}

#[test]
fn what_a_server_says_in_its_refusal_reaches_no_page_and_no_log() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let mut flow = Reconnect::start(&stage.home, "rig", &[]);
    let back = visit(&flow.page()).location.unwrap_or_default();
    let (place, query) = back.split_once('?').unwrap_or_default();
    let ours = query.split('&').find(|pair| pair.starts_with("state=")).unwrap_or_default();
    let issuer = query.split('&').find(|pair| pair.starts_with("iss=")).unwrap_or_default();
    let evil = "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let tab = visit(&format!("{place}?{evil}&{ours}&{issuer}"));
    assert!(
        tab.body.contains("Not signed in to rig") && !tab.body.contains("script"),
        "{}",
        tab.body
    );
    let heard = format!("{:?}", flow.heard);
    let (last, code) = flow.end();
    assert_eq!((last["code"].as_str(), code), (Some("denied"), Some(10)));
    assert!(!heard.contains("script") && !last.to_string().contains("script"));
    assert!(stage.holds_live_pair("rig") || stage.refreshes().is_empty());
}

/// A sign-in at a hostile server that has got as far as the page; its address.
fn led_to_a_page(hostile: &Hostile) -> (Stage, Vec<String>, Reconnect, String) {
    let (stage, secrets) = with(hostile);
    let mut flow = Reconnect::start(&stage.home, "rig", &["--timeout", "20"]);
    let page = flow.page();
    (stage, secrets, flow, page)
}

/// Where a page's request comes back to, with this and its `state`.
fn back_from(page: &str, said: &str) -> String {
    let value = |name: &str| {
        let start = format!("{name}=");
        let found = page.split(['?', '&']).find_map(|pair| pair.strip_prefix(&start));
        found.unwrap_or_default().replace("%3A", ":").replace("%2F", "/")
    };
    format!("{}?{said}&state={}", value("redirect_uri"), value("state"))
}

#[test]
fn a_token_endpoint_that_answers_nonsense_gets_one_code_and_leads_nowhere_else() {
    let other = Hostile::start(|_, _| ("200 OK", JSON, "{}".into()));
    let elsewhere = format!("{}/token", other.origin);
    let answers: [(&str, Answer, &str); 5] = [
        ("a redirect", ("307 Temporary Redirect", JSON, elsewhere), "exchange_refused"),
        ("ten megabytes", ("200 OK", JSON, "x".repeat(10 << 20)), "answer_lost"),
        ("a page", ("200 OK", "text/html", "<html>".into()), "answer_lost"),
        ("nothing", ("400 Bad Request", JSON, String::new()), "exchange_refused"),
        (
            "words",
            (
                "400 Bad Request",
                JSON,
                json!({"error": "<b>\u{1b}[2J", "error_description": "<script>\u{1b}]0;x"})
                    .to_string(),
            ),
            "exchange_refused",
        ),
    ];
    for (what, answer, expected) in answers {
        let hostile = Hostile::start(move |path, origin| {
            if path == "/token" {
                return answer.clone();
            }
            documents(path, resource(origin), metadata(origin, |_| {}))
        });
        let (stage, secrets, flow, page) = led_to_a_page(&hostile);
        let before = store::read(&stage.home, CREDENTIALS);
        let tab = visit(&back_from(&page, "code=the-code"));
        assert!(tab.body.contains("Not signed in to rig"), "{what}: {}", tab.body);
        assert!(!tab.body.contains("script") && !tab.body.contains('\u{1b}'), "{what}");
        let (last, code) = flow.end();
        assert_eq!((last["code"].as_str(), code), (Some(expected), Some(10)), "{what}: {last}");
        let said = last["message"].as_str().unwrap_or_default();
        assert!(!said.contains(['<', '\u{1b}']) && said.len() > 10, "{what}: {said}");
        assert_eq!(store::read(&stage.home, CREDENTIALS), before, "{what}");
        let sent = hostile.sent();
        let presented = sent.iter().filter(|line| line.contains("the-code")).count();
        assert_eq!(presented, 1, "{what}: {sent:?}");
        let sent = sent.join("\n");
        assert!(secrets.iter().all(|secret| !sent.contains(secret.as_str())), "{what}: {sent}");
    }
    assert_eq!(other.sent(), Vec::<String>::new(), "a token request is never led on");
}

#[test]
fn a_registration_that_answers_nonsense_opens_no_page_and_its_words_stay_there() {
    let said = json!({"error": "x\u{1b}[2J", "error_description": "<script>alert(1)</script>"});
    let answers: [(&str, Answer, &str); 3] = [
        ("words", ("403 Forbidden", JSON, said.to_string()), "client_needed"),
        ("ten megabytes", ("201 Created", JSON, "x".repeat(10 << 20)), "server_unreachable"),
        ("a redirect", ("302 Found", JSON, "/register".into()), "client_needed"),
    ];
    for (what, answer, expected) in answers {
        let hostile = Hostile::start(move |path, origin| {
            if path == "/register" {
                return answer.clone();
            }
            documents(path, resource(origin), metadata(origin, |_| {}))
        });
        // The entry's own registration is another server's, so that nothing is left to sign in with.
        let (mut stage, secrets) = with(&hostile);
        stage.edit("rig", |entry| entry["issuer"] = "https://as.example".into());
        let (last, _) = Reconnect::start(&stage.home, "rig", &[]).end();
        assert_eq!(last["code"], expected, "{what}: {last}");
        assert!(!last.to_string().contains(['<', '\u{1b}']) && !last.to_string().contains("u001b"));
        let sent = hostile.sent().join("\n");
        assert!(secrets.iter().all(|secret| !sent.contains(secret.as_str())), "{what}: {sent}");
    }
}

#[test]
fn redirects_without_end_are_not_followed_for_ever() {
    let hostile = Hostile::start(|path, _| {
        let next = format!("{path}x");
        if path == "/mcp" {
            ("401 Unauthorized", JSON, "{}".into())
        } else {
            ("302 Found", JSON, next)
        }
    });
    refused("redirects", &hostile, &["client_needed", "server_unreachable"]);
    assert!(hostile.sent().len() < 60, "{}", hostile.sent().len());
}

#[test]
fn a_huge_word_of_a_resource_for_itself_is_as_good_as_none() {
    let hostile = Hostile::start(|path, origin| {
        let huge = format!("{{\"resource\":\"{}\"}}", "x".repeat(10 << 20));
        let server = metadata(origin, |d| d["issuer"] = "https://as.example".into());
        documents(path, huge, server)
    });
    refused("a huge resource", &hostile, &["issuer_mismatch"]);
}

#[test]
fn a_token_endpoint_that_moved_gets_nothing_before_a_person_has_seen_it() {
    let hostile = Hostile::start(|_, _| ("200 OK", JSON, "{}".into()));
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    stage.run(&["renew", "rig"]).succeeded();
    let held = stage.pair("rig");
    stage.control.lead_tokens_to(format!("{}/token", hostile.origin));
    // A sign-in looks anew each time.
    let (last, code) = Reconnect::start(&stage.home, "rig", &[]).end();
    assert_eq!((last["code"].as_str(), code), (Some("approval_required"), Some(10)), "{last}");
    let host = hostile.origin.trim_start_matches("http://");
    let known = stage.town.origin().trim_start_matches("http://").to_owned();
    let said = last["message"].as_str().unwrap_or_default();
    assert!(said.contains(host) && said.contains(&known), "{said}");
    // A renewal does once the old place is gone.
    stage.control.inject(Fault::Status { status: 404 }, 1);
    stage.run(&["renew", "rig"]);
    let ran = stage.run(&["renew", "rig"]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(host) && ran.out.contains(&known), "{}{}", ran.out, ran.err);
    assert_eq!(hostile.sent(), Vec::<String>::new());
    assert_eq!(stage.pair("rig"), held);
    // Who has seen both and agrees is led there.
    stage.run(&["trust", "rig", "--yes"]);
    let mut flow = Reconnect::start(&stage.home, "rig", &["--timeout", "20"]);
    assert!(flow.page().starts_with(&stage.town.origin()));
}

/// Two servers of two issuers in one store: `rig`, whose stage it is, and `other`.
fn two_servers() -> (Stage, Rehearsal) {
    let strict = || Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    let other = strict().start_blocking().expect("a server on loopback");
    let minted = other.control().mint(Mint::default());
    let mut entry = stage.entry_for("other", &minted);
    entry["serverUrl"] = other.mcp_url().into();
    let key = store::key("other", &other.mcp_url());
    let all = json!({"mcpOAuth": {stage.key("rig"): stage.entry("rig"), key: entry}});
    store::write(&stage.home, CREDENTIALS, &all.to_string());
    (stage, other)
}

/// One parameter of an address.
fn part(url: &str, name: &str) -> String {
    let start = format!("{name}=");
    let found = url.split(['?', '&']).find(|pair| pair.starts_with(&start));
    found.unwrap_or_else(|| panic!("no {name} in {url}")).to_owned()
}

#[test]
fn two_flows_never_mix_whichever_parts_of_their_answers_are_swapped() {
    let (stage, other) = two_servers();
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    let mut flow = Reconnect::start(&stage.home, "rig", &[]);
    let mut second = Reconnect::start(&stage.home, "other", &[]);
    let back = visit(&flow.page()).location.unwrap_or_default();
    let ours = visit(&second.page()).location.unwrap_or_default();
    let place = back.split('?').next().unwrap_or_default();
    let theirs = ours.split('?').next().unwrap_or_default();
    let mixed = |at: &str, code: &str, state: &str, iss: &str| {
        let parts = [part(code, "code"), part(state, "state"), part(iss, "iss")];
        visit(&format!("{at}?{}", parts.join("&")))
    };
    for tab in [
        // The other's answer with this one's state, at either door.
        mixed(place, &ours, &back, &ours),
        mixed(theirs, &ours, &back, &ours),
        // This one's answer with the other's state.
        mixed(theirs, &back, &ours, &back),
        // Only the issuer swapped.
        mixed(place, &back, &back, &ours),
        mixed(theirs, &ours, &ours, &back),
    ] {
        assert!(tab.body.contains("no longer waiting"), "{}", tab.body);
    }
    // Without an issuer, where the server promised to name itself.
    let bare = format!("{place}?{}&{}", part(&ours, "code"), part(&back, "state"));
    assert!(visit(&bare).body.contains("no longer waiting"));
    for (town, what) in [(&stage.control, "rig"), (&other.control(), "other")] {
        assert_eq!(town.codes_seen(), Vec::<String>::new(), "{what}");
        assert_eq!(town.refreshes().len(), 0, "{what}");
    }
    // Both still wait, and each gets its own.
    assert!(visit(&ours).body.contains("Signed in to other"));
    assert!(visit(&back).body.contains("Signed in to rig"));
    assert_eq!((flow.end().1, second.end().1), (Some(0), Some(0)));
    assert!(stage.holds_live_pair("rig"));
    for town in [&stage.control, &other.control()] {
        assert_eq!(town.codes_seen().len(), 1);
        assert_eq!(town.violations(), Vec::<String>::new());
    }
    assert_eq!(keeper.terminate(), Some(0));
}

#[test]
fn a_server_that_borrows_anothers_sign_in_page_never_learns_the_code() {
    let honest = Rehearsal::builder().start_blocking().expect("a server on loopback");
    // What it registers at the honest one it hands out as its own registration.
    let known = honest.control().mint(Mint::default()).client_id;
    let page = format!("{}/authorize", honest.origin());
    let hostile = Hostile::start(move |path, origin| {
        if path == "/register" {
            return ("201 Created", JSON, json!({"client_id": known}).to_string());
        }
        let server = metadata(origin, |d| d["authorization_endpoint"] = page.clone().into());
        documents(path, resource(origin), server)
    });
    let (stage, _, flow, page) = led_to_a_page(&hostile);
    let before = store::read(&stage.home, CREDENTIALS);
    let back = visit(&page).location.unwrap_or_else(|| panic!("no way back from {page}"));
    let code = part(&back, "code").trim_start_matches("code=").to_owned();
    assert!(visit(&back).body.contains("no longer waiting"), "the issuer is another");
    drop(flow);
    let sent = hostile.sent().join("\n");
    assert!(!sent.contains(&code) && !sent.contains("code_verifier"), "{sent}");
    assert_eq!(store::read(&stage.home, CREDENTIALS), before);
    assert_eq!(honest.control().codes_seen(), Vec::<String>::new());
}

#[test]
fn a_callback_that_is_replayed_is_presented_to_nobody() {
    let (stage, _) = two_servers();
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    let mut flow = Reconnect::start(&stage.home, "rig", &[]);
    let back = visit(&flow.page()).location.unwrap_or_default();
    // Twice at once: one of the two tabs is the answer, whichever comes first.
    let again = back.clone();
    let twin = std::thread::spawn(move || visit(&again).body);
    let tabs = [visit(&back).body, twin.join().expect("a tab")];
    let good = tabs.iter().filter(|tab| tab.contains("Signed in to rig")).count();
    assert_eq!(good, 1, "{tabs:?}");
    assert_eq!(flow.end().1, Some(0));
    // And once more into the next flow of the same server.
    let mut next = Reconnect::start(&stage.home, "rig", &[]);
    let fresh = visit(&next.page()).location.unwrap_or_default();
    let ran = stage.run(&["callback", &back]);
    assert!(ran.code == Some(10) && ran.out.contains("no longer waiting"), "{}", ran.out);
    // Its code with the new state reaches the server, which knows that it was used.
    assert_eq!(stage.control.codes_seen().len(), 1);
    assert!(visit(&fresh).body.contains("Signed in to rig"));
    assert_eq!(next.end().1, Some(0));
    assert_eq!(stage.control.codes_seen().len(), 2);
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
    assert_eq!(keeper.terminate(), Some(0));
}

#[test]
fn a_page_with_the_signs_of_a_shell_is_opened_as_it_is_and_by_no_shell() {
    const SIGNS: &str = "a=$(touch${IFS}owned);touch${IFS}owned&b=`id`|id&c=*~!#";
    let hostile = Hostile::start(|path, origin| {
        let page = format!("{origin}/authorize?{}", SIGNS.trim_end_matches('#'));
        let server = metadata(origin, |d| d["authorization_endpoint"] = page.into());
        documents(path, resource(origin), server)
    });
    let (stage, secrets) = with(&hostile);
    let desk = Desk::new(&stage.home);
    let expected = format!("{}/authorize?{}&", hostile.origin, SIGNS.trim_end_matches('#'));
    desk.program(
        "xdg-open",
        r#"printf '%s\n' "$#" "$@" > "${0%/*}/new"; mv "${0%/*}/new" "${0%/*}/opened""#,
    );
    let at = desk.bin.join("opened");
    // A browser here is led to it; one that may be elsewhere is given it.
    for (variable, led) in [("DISPLAY", true), ("BROWSER", false)] {
        let mut command = desk.command(&["reconnect", "rig", "--timeout", "60"]);
        command.env(variable, ":9").stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("started");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !at.exists() {
            assert!(Instant::now() < deadline, "no page was opened");
            thread::sleep(Duration::from_millis(5));
        }
        let opened = fs::read_to_string(&at).expect("a page was opened");
        let lines: Vec<&str> = opened.lines().collect();
        assert_eq!((lines[0], lines.len()), ("1", 2), "{opened}");
        let page = if led { led_by(lines[1]) } else { lines[1].into() };
        assert!(page.starts_with(&expected), "{page} {expected}");
        child.kill().expect("killed");
        child.wait().expect("ended");
        fs::remove_file(&at).expect("removed");
    }
    for place in [stage.home.project(), stage.home.path(), desk.bin.clone()] {
        assert!(!place.join("owned").exists());
    }
    let sent = hostile.sent().join("\n");
    assert!(secrets.iter().all(|secret| !sent.contains(secret.as_str())), "{sent}");
}

#[test]
fn a_cloned_repository_that_names_a_server_like_a_known_one_gets_neither_a_word_nor_its_entry() {
    let hostile =
        Hostile::start(|path, origin| documents(path, resource(origin), metadata(origin, |_| {})));
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    for approved in [json!([]), json!(["rig"])] {
        let (stage, _) = Stage::with_rig(builder.clone());
        let url = format!("{}/mcp", hostile.origin);
        let servers = json!({"mcpServers": {"rig": {"type": "http", "url": url}}});
        fs::write(stage.home.project().join(".mcp.json"), servers.to_string()).expect("written");
        let project = json!({"enabledMcpjsonServers": approved, "hasTrustDialogAccepted": true});
        let known = json!({"type": "http", "url": stage.town.mcp_url()});
        let config = json!({
            "mcpServers": {"rig": known},
            "projects": {stage.home.project().display().to_string(): project},
        });
        fs::write(stage.home.path().join(".claude.json"), config.to_string()).expect("written");
        stage.run(&["status"]);
        let id = "claude-code/rig";
        stage.run(&["renew"]).succeeded();
        stage.run(&["check", id]).succeeded();
        let mut flow = Reconnect::start(&stage.home, id, &[]);
        assert!(flow.consent().body.contains("Signed in to rig"));
        assert_eq!(flow.end().1, Some(0));
        assert!(stage.holds_live_pair("rig"));
        assert_eq!(stage.entry("rig")["serverUrl"], stage.town.mcp_url());
        assert_eq!(store::entry(&stage.home, &store::key("rig", &url)), Value::Null);
        stage.nothing_was_broken();
    }
    assert_eq!(hostile.sent(), Vec::<String>::new());
}

/// Whose configuration names an app of `rig`'s own, with a secret, and whose server then says that it
/// signs in elsewhere.
#[test]
fn the_secret_of_a_configured_app_goes_to_no_other_sign_in_server() {
    let elsewhere =
        Hostile::start(|path, origin| documents(path, resource(origin), metadata(origin, |_| {})));
    let issuer = elsewhere.origin.clone();
    let hostile = Hostile::start(move |path, origin| {
        let named = json!({"resource": format!("{origin}/mcp"), "authorization_servers": [issuer]});
        documents(path, named.to_string(), String::new())
    });
    let (stage, secrets) = with(&hostile);
    let url = format!("{}/mcp", hostile.origin);
    let key = stage.key("rig");
    let app = store::entry(&stage.home, &key)["clientId"].clone();
    let entry = store::entry(&stage.home, &key);
    let key = store::key("rig", &url);
    let all = json!({
        "mcpOAuth": {&key: entry},
        "mcpOAuthClientConfig": {&key: {"clientSecret": "a-configured-secret"}},
    });
    store::write(&stage.home, CREDENTIALS, &all.to_string());
    let server = json!({"type": "http", "url": url, "oauth": {"clientId": app}});
    let config = json!({"mcpServers": {"rig": server}});
    fs::write(stage.home.path().join(".claude.json"), config.to_string()).expect("written");
    let (last, code) = Reconnect::start(&stage.home, "rig", &["--timeout", "2"]).end();
    assert_eq!((last["code"].as_str(), code), (Some("approval_required"), Some(10)), "{last}");
    let (known, now) = (stage.town.origin(), elsewhere.origin.clone());
    let said = last["message"].as_str().unwrap_or_default();
    for place in [known, now] {
        assert!(said.contains(place.trim_start_matches("http://")), "{said}");
    }
    for server in [&hostile, &elsewhere] {
        let sent = server.sent().join("\n");
        assert!(secrets.iter().all(|secret| !sent.contains(secret.as_str())), "{sent}");
    }
    // A person who has seen both may agree; the page is opened, and still no secret has left.
    stage.run(&["trust", "rig", "--yes"]);
    let mut flow = Reconnect::start(&stage.home, "rig", &["--timeout", "20"]);
    assert!(flow.page().starts_with(&elsewhere.origin));
    assert!(!elsewhere.sent().join("\n").contains("a-configured-secret"));
}
