//! The keeper in the foreground: it renews before the client would, sees what others do to the
//! store, and ends cleanly.

use lamplighter_rehearsal::{Fault, Mint, Rehearsal, Rotation};
use lamplighter_tests::{
    keeper::Keeper,
    stage::Stage,
    store::{self, CREDENTIALS},
};

#[test]
fn short_tokens_are_renewed_in_time_for_several_servers_and_none_is_forgotten() {
    let builder = Rehearsal::builder().life_seconds(40).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    for name in ["one", "two", "three"] {
        stage.sign_in(name, 3600);
    }
    // Ends soon, so all are due; the first write is looked at for 65 s before the others follow.
    for name in ["one", "two", "three"] {
        stage.edit(name, |entry| entry["expiresAt"] = (store::now_ms() + 100_000).into());
    }
    let keeper = Keeper::start(&stage.home);
    keeper.until("every server was renewed", |keeper| {
        let renewed = keeper.events("renewed");
        ["one", "two", "three"]
            .iter()
            .all(|name| renewed.iter().any(|e| e["grant"] == format!("claude-code/{name}")))
    });
    for name in ["one", "two", "three"] {
        assert!(stage.holds_live_pair(name), "{name}");
    }
    assert!(keeper.events("notice").is_empty());
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
}

#[test]
fn what_others_do_to_the_store_is_seen_at_once() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    // A verdict older than the renewal is stale; it goes without asking anybody.
    let verdict = serde_json::json!({"rig": {"timestamp": store::now_ms() - 600_000}});
    store::write(&stage.home, store::VERDICTS, &verdict.to_string());
    keeper.until("the verdict is withdrawn", |_| store::verdicts(&stage.home).is_empty());
    assert!(stage.control.mcp_calls().is_empty(), "a stale one needs no probe");
    // The client renews by itself.
    let theirs = stage.control.mint(Mint::default());
    let text = serde_json::json!({"mcpOAuth": {stage.key("rig"): stage.entry_for("rig", &theirs)}});
    store::write(&stage.home, CREDENTIALS, &text.to_string());
    keeper.until("it is adopted", |keeper| {
        keeper.events("renewed").iter().any(|event| event["by"] == "client")
    });
    // The user signs out.
    store::write(&stage.home, CREDENTIALS, r#"{"mcpOAuth":{}}"#);
    keeper.until("the sign-out is respected", |keeper| !keeper.events("signed_out").is_empty());
    assert_eq!(store::read(&stage.home, CREDENTIALS), r#"{"mcpOAuth":{}}"#);
    assert_eq!(keeper.terminate(), Some(0));
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
    let log = stage.run(&["log"]).succeeded().out;
    for words in ["renewed by Lamplighter", "renewed by its client", "withdrawn", "signed out"] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn an_old_copy_that_a_client_writes_back_is_replaced_again() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let old = store::read(&stage.home, CREDENTIALS);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let new = stage.pair("rig");
    store::write(&stage.home, CREDENTIALS, &old);
    keeper.until("it is restored", |keeper| keeper.events("restored").len() == 1);
    assert_eq!(stage.pair("rig"), new);
    assert_eq!(stage.refreshes().len(), 1, "a spent token is never presented again");
}

#[test]
fn terminated_in_mid_refresh_the_answer_still_comes_home() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, minted) = Stage::with_rig(builder);
    stage.control.inject(Fault::Slow { ms: 2_000 }, 1);
    let keeper = Keeper::start(&stage.home);
    keeper.until("the token is presented", |_| {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    assert_eq!(keeper.terminate(), Some(0));
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn commands_beside_a_keeper_are_done_by_it() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, minted) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let ran = stage.run(&["renew", "rig"]).succeeded();
    assert!(ran.err.contains("claude-code/rig: renewed"), "{}", ran.err);
    assert!(ran.out.contains("renews in"), "{}", ran.out);
    assert!(ran.took.as_secs() < 5, "{:?}", ran.took);
    assert_eq!(keeper.events("renewed").len(), 2);
    let ran = stage.run(&["renew", "--json"]).succeeded();
    assert!(ran.out.contains(r#""event":"unchanged""#), "{}", ran.out);
    assert!(stage.run(&["check", "rig"]).succeeded().err.contains("2 tools"));
    stage.run(&["pause", "rig"]).succeeded();
    assert_eq!(stage.server("rig")["health"], "paused");
    assert_eq!(stage.run(&["renew", "no-such-server"]).code, Some(1));
    stage.run(&["resume", "rig"]).succeeded();
    assert_eq!(stage.refreshes().len(), 2);
    assert!(stage.holds_live_pair("rig"));
    // What travelled over the socket, and what was printed, holds no secret.
    let (access, refresh) = stage.pair("rig");
    for secret in [&minted.access_token, &minted.refresh_token, &access, &refresh] {
        assert!(!ran.out.contains(secret.as_str()) && !ran.err.contains(secret.as_str()));
    }
    stage.nothing_was_broken();
}

#[test]
fn the_socket_is_the_users_alone_and_takes_no_nonsense() {
    use std::{io::Read, io::Write, os::unix::fs::PermissionsExt, os::unix::net::UnixStream};
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let socket = stage.home.path().with_file_name("run").join("lamplighter/keeper.sock");
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().expect("a folder")), 0o700);
    let hello = "{\"lamplighter\":1}\n";
    let long = format!("{hello}{}", "x".repeat(200_000));
    let other_version = "{\"lamplighter\":2}\n".to_owned();
    let unknown = format!("{hello}{{\"act\":\"format_disk\"}}\n");
    for nonsense in [long, other_version, unknown, "GET / HTTP/1.1\r\n\r\n".to_owned()] {
        let mut stream = UnixStream::connect(&socket).expect("connected");
        let _ = stream.write_all(nonsense.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut heard = String::new();
        let _ = stream.read_to_string(&mut heard);
        assert!(heard.is_empty() || heard == hello, "{heard}");
    }
    stage.run(&["renew", "rig"]).succeeded();
    assert_eq!(keeper.terminate(), Some(0));
}

#[test]
fn a_second_keeper_is_told_who_runs() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let ran = stage.run(&["keep"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("lamplighter keep is already running"), "{}", ran.err);
    assert!(ran.err.contains(&keeper.id().to_string()), "{}", ran.err);
    // A keeper that was killed leaves its socket behind, which keeps nobody from working.
    drop(keeper);
    stage.run(&["renew", "rig"]).succeeded();
}

#[test]
fn checking_asks_and_pausing_leaves_alone() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    stage.run(&["pause", "rig"]).succeeded();
    stage.run(&["renew"]).succeeded();
    assert!(stage.refreshes().is_empty());
    assert_eq!(stage.server("rig")["health"], "paused");
    stage.run(&["resume", "rig"]);
    stage.run(&["renew"]).succeeded();
    let ran = stage.run(&["check", "rig"]).succeeded();
    assert!(ran.err.contains("the server accepts its token, 2 tools"), "{}", ran.err);
    assert_eq!(stage.server("rig")["tools"], 2);
    assert_eq!(stage.refreshes().len(), 1, "a check renews nothing");
}
