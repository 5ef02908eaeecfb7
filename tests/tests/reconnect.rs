//! A dead grant lives again after one click: the sign-in flow against rehearsal, with a browser that
//! consents at once.

use lamplighter_rehearsal::{Rehearsal, Rotation};
use lamplighter_tests::{
    browser::{led_by, visit},
    keeper::Keeper,
    program::command,
    reconnect::{Reconnect, free_port},
    stage::Stage,
    store::{self, CREDENTIALS},
};
use serde_json::json;

/// A server whose sign-in has ended, as Claude Code leaves its entry.
fn dead() -> Stage {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    stage.sign_in("rig", -1);
    stage.edit("rig", |entry| {
        entry["accessToken"] = "".into();
        entry["expiresAt"] = 0.into();
        entry.as_object_mut().map(|members| members.remove("refreshToken"));
        entry["discoveryState"]["tokenlessRejectedAt"] = store::now_ms().into();
        entry["discoveryState"]["kept"] = "as it is".into();
    });
    stage
}

#[test]
fn a_dead_grant_lives_again_with_nothing_pasted() {
    let stage = dead();
    let verdict = json!({"rig": {"timestamp": store::now_ms()}});
    store::write(&stage.home, store::VERDICTS, &verdict.to_string());
    let port = free_port();
    let mut flow = Reconnect::start(&stage.home, "rig", &["--port", &port]);
    let tab = flow.consent();
    assert_eq!(tab.status, 200, "{}", tab.body);
    assert!(
        tab.body.contains("Signed in to rig") && tab.body.contains("close this tab"),
        "{}",
        tab.body
    );
    let authorize = flow.heard[0].clone();
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), last["tools"].as_u64()), (Some("signed_in"), Some(2)));
    assert_eq!(code, Some(0));
    assert!(stage.holds_live_pair("rig"));
    assert!(store::verdicts(&stage.home).is_empty(), "the stale verdict is withdrawn");
    let entry = stage.entry("rig");
    assert_eq!(entry["redirectUri"], authorize["redirect_uri"]);
    assert!(entry["redirectUri"].as_str().is_some_and(|uri| uri.starts_with("http://localhost:")));
    assert_eq!(entry["issuer"], stage.town.issuer());
    assert_eq!(entry["discoveryState"]["authorizationServerUrl"], stage.town.issuer());
    assert_eq!(entry["discoveryState"]["kept"], "as it is");
    assert!(entry["discoveryState"].get("tokenlessRejectedAt").is_none());
    let text = store::read(&stage.home, CREDENTIALS);
    assert!(text.contains(r#""claudeAiOauth":{"accessToken":"own-login"}"#));
    // What was stored is what a renewal needs.
    stage.run(&["renew", "rig"]).succeeded();
    assert!(stage.holds_live_pair("rig"));
    // A second sign-in uses the same registration.
    let client = stage.entry("rig")["clientId"].clone();
    let mut again = Reconnect::start(&stage.home, "rig", &["--port", &port]);
    again.consent();
    assert_eq!(again.end().1, Some(0));
    assert_eq!(stage.entry("rig")["clientId"], client);
    stage.nothing_was_broken();
}

#[test]
fn beside_a_keeper_the_keeper_does_it_and_only_who_asked_sees_the_page() {
    let stage = dead();
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    let mut flow = Reconnect::start(&stage.home, "rig", &[]);
    let page = flow.page();
    assert_eq!(
        stage.server("rig")["health"].as_str(),
        Some("sign_in_required"),
        "nothing is saved"
    );
    let secret =
        page.split("state=").nth(1).unwrap_or_default().split('&').next().unwrap_or_default();
    let back = visit(&page).location.unwrap_or_default();
    visit(&back);
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), code), (Some("signed_in"), Some(0)));
    let told = format!("{:?}", keeper.events("signing_in"));
    assert!(
        !secret.is_empty() && !told.contains(secret) && told.contains("waiting for your browser")
    );
    assert_eq!(keeper.events("signed_in").len(), 1);
    assert_eq!(keeper.terminate(), Some(0));
}

#[test]
fn who_gives_up_leaves_all_as_it_was_and_the_port_closed() {
    let stage = dead();
    let before = store::read(&stage.home, CREDENTIALS);
    for by_keeper in [false, true] {
        let keeper = by_keeper.then(|| Keeper::start(&stage.home));
        if let Some(keeper) = &keeper {
            keeper.until_reachable(&stage.home);
        }
        let mut flow = Reconnect::start(&stage.home, "rig", &[]);
        let page = flow.page();
        let id = flow.id().to_string();
        // A run in the background has Ctrl-C ignored, and who only reads from the keeper leaves that so.
        let signal = if by_keeper { "-TERM" } else { "-INT" };
        let ended = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(ended.is_ok_and(|status| status.success()));
        flow.end();
        let back = visit(&page).location.unwrap_or_default();
        let port = back.split(':').nth(2).and_then(|rest| rest.split('/').next());
        let port: u16 = port.and_then(|port| port.parse().ok()).unwrap_or_default();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            assert!(std::time::Instant::now() < deadline, "the port stays open");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(store::read(&stage.home, CREDENTIALS), before);
        drop(keeper);
    }
}

#[test]
fn a_browser_that_comes_twice_late_or_forged_changes_nothing() {
    let stage = dead();
    let mut flow = Reconnect::start(&stage.home, "rig", &[]);
    let back = visit(&flow.page()).location.unwrap_or_default();
    let forged = format!("{}x", back.split("&iss").next().unwrap_or_default());
    let tab = visit(&forged);
    assert!(tab.body.contains("no longer waiting"), "{}", tab.body);
    let foreign = back.replace("iss=http", "iss=https");
    assert!(visit(&foreign).body.contains("no longer waiting"));
    assert!(visit(&back).body.contains("Signed in to rig"));
    assert_eq!(flow.end().1, Some(0));
}

#[test]
fn nobody_waits_for_ever() {
    let stage = dead();
    let mut flow = Reconnect::start(&stage.home, "rig", &["--timeout", "1"]);
    flow.page();
    let (last, code) = flow.end();
    assert_eq!((last["code"].as_str(), code), (Some("timed_out"), Some(10)));
}

#[test]
fn a_callback_may_be_handed_in_by_the_command_line() {
    let stage = dead();
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    let mut flow = Reconnect::start(&stage.home, "rig", &["--redirect", "scheme"]);
    let page = visit(&flow.page());
    let back = page.location.unwrap_or_else(|| panic!("{} {}", page.status, page.body));
    assert!(back.starts_with("dev.lamplighter:/oauth/callback?"), "{back}");
    let ran = stage.run(&["callback", &back]).succeeded();
    assert!(ran.out.contains("Signed in to rig"), "{}", ran.out);
    assert_eq!(flow.end().1, Some(0));
    // The client program must stay able to sign in by itself.
    let redirect = stage.entry("rig")["redirectUri"].clone();
    assert!(
        redirect.as_str().is_some_and(|uri| uri.starts_with("http://localhost:")),
        "{redirect}"
    );
    let ran = stage.run(&["callback", &back]);
    assert_eq!(ran.code, Some(10));
    assert!(ran.out.contains("no longer waiting"), "{}", ran.out);
}

/// A home where Claude Code is used, and nobody is signed in to anything.
fn nobody() -> Stage {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let stage = Stage::new(builder);
    let used = std::fs::create_dir(stage.home.claude(""));
    assert!(used.is_ok());
    stage
}

#[test]
fn a_server_that_nobody_knows_is_signed_in_to_by_its_address() {
    for by_keeper in [false, true] {
        let stage = nobody();
        let keeper = by_keeper.then(|| Keeper::start(&stage.home));
        if let Some(keeper) = &keeper {
            keeper.until_reachable(&stage.home);
        }
        let url = stage.town.mcp_url();
        let mut flow = Reconnect::first(&stage.home, &url, "rig", &[]);
        let tab = flow.consent();
        assert!(tab.body.contains("Signed in to rig"), "{}", tab.body);
        let (last, code) = flow.end();
        assert_eq!((last["event"].as_str(), code), (Some("signed_in"), Some(0)));
        let command = format!("claude mcp add --transport http --scope user rig {url}");
        assert_eq!(last["then"].as_str(), Some(command.as_str()));
        // Under the key that Claude Code itself would use.
        assert!(stage.holds_live_pair("rig"));
        assert_eq!(stage.entry("rig")["serverName"], "rig");
        stage.run(&["renew", "rig"]).succeeded();
        stage.nothing_was_broken();
        drop(keeper);
    }
}

#[test]
fn a_server_that_is_configured_is_signed_in_to_as_it_is_configured() {
    let stage = nobody();
    let url = stage.town.mcp_url();
    let servers = json!({"mcpServers": {"rig": {"type": "http", "url": url}}});
    let written = std::fs::write(stage.home.path().join(".claude.json"), servers.to_string());
    assert!(written.is_ok());
    let mut flow = Reconnect::first(&stage.home, &url, "rig", &[]);
    flow.consent();
    let (last, code) = flow.end();
    assert_eq!((last["event"].as_str(), code), (Some("signed_in"), Some(0)));
    assert!(last["then"].is_null(), "{last}");
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn a_first_sign_in_makes_the_folder_that_its_client_has_not_made_yet() {
    for elsewhere in [false, true] {
        let stage = Stage::new(Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict));
        let secure = if elsewhere { "secure" } else { ".claude" };
        let secure = stage.home.path().join(secure);
        let written = std::fs::write(stage.home.path().join(".claude.json"), "{}");
        assert!(written.is_ok());
        let url = stage.town.mcp_url();
        let mut command = command(&stage.home, &["sign-in", &url, "--name", "rig", "--json"]);
        if elsewhere {
            command.env("CLAUDE_SECURESTORAGE_CONFIG_DIR", &secure);
        }
        let mut flow = Reconnect::of(command);
        let tab = flow.consent();
        assert!(tab.body.contains("Signed in to rig"), "{}", tab.body);
        assert_eq!(flow.end().1, Some(0));
        let text = std::fs::read_to_string(secure.join(CREDENTIALS)).unwrap_or_default();
        assert!(text.contains(r#""serverName":"rig""#));
        stage.nothing_was_broken();
    }
}

#[test]
fn an_address_that_protects_nothing_or_a_name_that_is_taken_is_refused() {
    let mut stage = nobody();
    stage.sign_in("rig", 3600);
    let before = store::read(&stage.home, CREDENTIALS);
    let other = format!("{}/other", stage.town.origin());
    for (url, name, why) in [
        ("http://mcp.example/mcp", "new", "without TLS"),
        ("https://me@mcp.example/mcp", "new", "only https addresses"),
        (other.as_str(), "rig", "name of another server"),
    ] {
        let ran = stage.run(&["sign-in", url, "--name", name, "--no-browser"]);
        assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(why), "{}", ran.out);
    }
    let ran = stage.run(&["sign-in", "https://mcp.example/", "--name", "a b"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let ran = stage.run(&["sign-in", "https://mcp.example/", "--name", "a", "--client", "other"]);
    assert!(ran.code == Some(1) && ran.err.contains("known: claude-code"), "{}", ran.err);
    assert_eq!(store::read(&stage.home, CREDENTIALS), before);
}

#[test]
fn where_nobody_uses_the_client_no_store_is_made() {
    let builder = Rehearsal::builder().life_seconds(3600);
    let stage = Stage::new(builder);
    let ran = stage.run(&["sign-in", &stage.town.mcp_url(), "--name", "rig", "--no-browser"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("does not exist"), "{}", ran.err);
    assert!(!stage.home.claude("").exists());
}

/// A person at a terminal, with a browser whose every address is noted, and a program that serves the
/// scheme.
#[cfg(target_os = "linux")]
fn at_a_terminal(
    stage: &Stage,
    keeper: bool,
) -> (lamplighter_tests::terminal::Terminal, Option<Keeper>, std::path::PathBuf) {
    use lamplighter_tests::{desk::Desk, terminal::Terminal};

    let desk = Desk::new(&stage.home);
    desk.program("xdg-mime", "echo dev.lamplighter.desktop");
    desk.program("xdg-open", r#"echo "$1" >> "${0%/*}/opened""#);
    let opened = desk.bin.join("opened");
    let keeper = keeper.then(|| {
        let keeper = Keeper::run(desk.command(&["keep", "--json"]));
        keeper.until_reachable(&stage.home);
        keeper
    });
    let mut command = desk.command(&["reconnect", "rig"]);
    command.env("DISPLAY", ":0");
    (Terminal::start(command), keeper, opened)
}

#[cfg(target_os = "linux")]
#[test]
fn a_page_that_shows_an_error_is_opened_another_way_by_enter() {
    let pages = |opened: &std::path::Path| -> Vec<String> {
        let text = std::fs::read_to_string(opened).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    for (by_keeper, first_answers) in [(false, false), (false, true), (true, false)] {
        let stage = dead();
        let (mut terminal, keeper, opened) = at_a_terminal(&stage, by_keeper);
        terminal.until("Press Enter for another way");
        terminal.types("\n");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while pages(&opened).len() < 2 {
            assert!(std::time::Instant::now() < deadline, "{}", terminal.shown());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // There is no third.
        terminal.types("\n");
        // Each address leads to its page, once.
        let pages: Vec<String> = pages(&opened).iter().map(|address| led_by(address)).collect();
        assert!(pages[0].contains("redirect_uri=dev.lamplighter%3A"), "{}", pages[0]);
        assert!(pages[1].contains("redirect_uri=http%3A%2F%2Flocalhost%3A"), "{}", pages[1]);
        if first_answers {
            let back = visit(&pages[0]).location.unwrap_or_default();
            let ran = stage.run(&["callback", &back]).succeeded();
            assert!(ran.out.contains("Signed in to rig"), "{}", ran.out);
        } else {
            let back = visit(&pages[1]).location.unwrap_or_default();
            assert!(visit(&back).body.contains("Signed in to rig"));
        }
        let (shown, code) = terminal.end();
        assert_eq!(code, Some(0), "{shown}");
        assert_eq!(shown.matches("Press Enter").count(), 1, "{shown}");
        assert!(shown.contains("Signed in, 2 tools"), "{shown}");
        assert!(stage.holds_live_pair("rig"));
        let redirect = stage.entry("rig")["redirectUri"].clone();
        assert!(redirect.as_str().is_some_and(|uri| uri.starts_with("http://localhost:")));
        stage.nothing_was_broken();
        drop(keeper);
    }
}
