//! Signing out: what leaves the store, what the server is asked, and what a person is asked before.

use lamplighter_rehearsal::{Rehearsal, Rotation};
use lamplighter_tests::{
    keeper::Keeper,
    reconnect::{Reconnect, free_port},
    stage::Stage,
    store::{self, CREDENTIALS},
};

/// A server with a good sign-in, and a neighbour at the same one.
fn stage() -> Stage {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    stage.sign_in("rig", 3600);
    stage.sign_in("neighbour", 3600);
    stage
}

fn configure(stage: &Stage, name: &str) {
    let servers = format!(
        r#"{{"mcpServers":{{"{name}":{{"type":"http","url":"{}"}}}}}}"#,
        stage.town.mcp_url()
    );
    let written = std::fs::write(stage.home.path().join(".claude.json"), servers);
    assert!(written.is_ok());
}

/// The text of the store without one entry.
fn without(stage: &Stage, name: &str) -> String {
    let mut text: serde_json::Value =
        serde_json::from_str(&store::read(&stage.home, CREDENTIALS)).unwrap_or_default();
    text["mcpOAuth"].as_object_mut().map(|entries| entries.remove(&stage.key(name)));
    text.to_string()
}

#[test]
fn the_entry_goes_and_the_server_ends_the_grant() {
    for by_keeper in [false, true] {
        let stage = stage();
        configure(&stage, "rig");
        let keeper = by_keeper.then(|| Keeper::start(&stage.home));
        if let Some(keeper) = &keeper {
            keeper.until_reachable(&stage.home);
        }
        let (access, refresh) = stage.pair("rig");
        let left = without(&stage, "rig");
        let ran = stage.run(&["sign-out", "rig", "--yes"]).succeeded();
        assert!(ran.out.contains("claude-code/rig  Not signed in"), "{}", ran.out);
        assert!(ran.err.contains("its server has ended the sign-in"), "{}", ran.err);
        assert_eq!(store::read(&stage.home, CREDENTIALS), left, "nothing else has changed");
        assert!(!stage.control.is_access_live(&access) && !stage.control.is_refresh_live(&refresh));
        assert!(stage.holds_live_pair("neighbour"));
        assert_eq!(stage.server("rig")["phrase"], "Not signed in");
        assert_eq!(stage.server("rig")["health"], "not_signed_in");
        // Once more is no fault.
        let ran = stage.run(&["sign-out", "rig", "--yes"]).succeeded();
        assert!(ran.err.contains("nobody is signed in"), "{}", ran.err);
        stage.nothing_was_broken();
        if let Some(keeper) = keeper {
            assert_eq!(keeper.events("signed_out").len(), 1);
            assert_eq!(keeper.terminate(), Some(0));
        }
    }
}

#[test]
fn a_grant_may_live_on_at_its_server() {
    let stage = stage();
    let (access, refresh) = stage.pair("rig");
    let ran = stage.run(&["sign-out", "rig", "--no-revoke", "--yes", "--json"]).succeeded();
    let lines: Vec<serde_json::Value> =
        ran.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!((lines[0]["event"].as_str(), lines.len()), (Some("signed_out"), 2), "{}", ran.out);
    assert!(lines[1]["servers"].as_array().is_some_and(|servers| servers.len() == 1));
    assert!(stage.entry("rig").is_null());
    assert!(stage.control.is_access_live(&access) && stage.control.is_refresh_live(&refresh));
}

#[test]
fn nobody_is_signed_out_unasked() {
    let stage = stage();
    let before = store::read(&stage.home, CREDENTIALS);
    for args in [&["sign-out", "rig"][..], &["sign-out", "rig", "--json"]] {
        let ran = stage.run(args);
        assert_eq!(ran.code, Some(2));
        assert!(ran.err.contains("say --yes"), "{}", ran.err);
    }
    assert_eq!(store::read(&stage.home, CREDENTIALS), before);
    assert!(stage.holds_live_pair("rig"));
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_it_says_what_will_happen_and_asks() {
    use lamplighter_tests::{program::command, terminal::Terminal};

    let stage = stage();
    let mut no = Terminal::start(command(&stage.home, &["sign-out", "rig"]));
    let shown = no.until("Sign out? [y/N]");
    assert!(shown.contains("will be removed from") && shown.contains(".claude"), "{shown}");
    assert!(shown.contains(&format!("{} is asked to end", "its sign-in server")), "{shown}");
    no.types("n\n");
    let (shown, code) = no.end();
    assert_eq!(code, Some(1));
    assert!(shown.contains("Nothing was changed"), "{shown}");
    assert!(stage.holds_live_pair("rig"));
    let mut yes = Terminal::start(command(&stage.home, &["sign-out", "rig"]));
    yes.until("[y/N]");
    yes.types("y\n");
    let (shown, code) = yes.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("○ claude-code/rig  Not signed in"), "{shown}");
    assert!(stage.entry("rig").is_null());
}

#[test]
fn a_store_that_cannot_be_written_keeps_its_grant() {
    let stage = stage();
    // A lock that somebody else holds, and touches.
    let lock = stage.home.claude(".storage-write.lock");
    assert!(std::fs::create_dir(&lock).is_ok());
    let ran = stage.run(&["sign-out", "rig", "--yes"]);
    assert_eq!(ran.code, Some(12), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("not signed out") && ran.err.contains("held by another program"));
    assert!(stage.holds_live_pair("rig"), "nothing is revoked");
    assert!(std::fs::remove_dir(&lock).is_ok());
    stage.run(&["sign-out", "rig", "--yes"]).succeeded();
    assert!(stage.entry("rig").is_null());
}

#[test]
fn our_registration_stays_and_is_used_again() {
    let stage = stage();
    configure(&stage, "rig");
    let port = free_port();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut flow = Reconnect::start(&stage.home, "rig", &["--port", &port]);
        flow.consent();
        assert_eq!(flow.end().1, Some(0));
        clients.push(stage.entry("rig")["clientId"].clone());
        stage.run(&["sign-out", "rig", "--yes"]).succeeded();
        assert!(stage.entry("rig").is_null());
    }
    assert_eq!(clients[0], clients[1]);
    stage.nothing_was_broken();
}
