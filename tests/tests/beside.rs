//! The real Claude Code beside a running keeper: a session that calls a tool every second while both
//! renew tokens that live 40 seconds.
//!
//! Such tokens are always within the client's own margin, so client and keeper meet all the time,
//! under the client's own lock, at a server where a token used twice kills the sign-in. Where to read
//! next: `claude_code`, for one renewal at a time.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Rehearsal, Rotation};
use lamplighter_tests::{claude::Claude, keeper::Keeper, model_api::ModelApi, peers, stage::Stage};
use serde_json::json;

const ECHO: &str = "mcp__rig__lamp_echo";
/// As long as a token lives; longer with `--long`.
const SPAN: Duration = Duration::from_secs(40);

fn no_call_fails_and_no_sign_in_dies(version: &str) {
    let builder = Rehearsal::builder().life_seconds(40).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    let minted = stage.sign_in("rig", 40);
    let model = ModelApi::start();
    let claude = Claude::new(version, &stage.home, &model);
    claude.add_server("rig", &stage.town.mcp_url());
    let keeper = Keeper::start(&stage.home);
    let mut session = claude.session(ECHO);
    let long = std::env::var_os("LAMPLIGHTER_LONG").is_some();
    let end = Instant::now() + SPAN * if long { 3 } else { 1 };
    let mut calls = 0;
    while Instant::now() < end {
        let turn = session.call(ECHO, &json!({"text": "a light"}));
        assert_eq!(turn.answer, "The tool said: a light", "call {calls}: {turn:?}");
        calls += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
    session.end();
    assert_eq!(keeper.terminate(), Some(0));
    assert!(calls > 15, "only {calls} calls in {SPAN:?}");
    assert!(stage.holds_live_pair("rig"), "the sign-in is dead");
    let (_, newest) = stage.control.newest_pair_of(&minted.refresh_token);
    assert_eq!(stage.pair("rig").1, newest, "the store holds the newest token");
    stage.nothing_was_broken();
    let all = stage.control.refreshes();
    let reused = all.iter().filter(|seen| seen.reuse).count();
    assert_eq!(reused, 0, "somebody presented a spent token: {all:?}");
    let _ = writeln!(
        std::io::stderr().lock(),
        "Claude Code {version}: {calls} calls, {} refreshes by the keeper, {} by the session",
        stage.refreshes().len(),
        all.len() - stage.refreshes().len()
    );
}

fn check(version: &str) {
    if std::env::var_os(peers::ISOLATED).is_none_or(|value| value != "1") {
        let said = "SKIPPED: real programs run only where nothing but loopback exists";
        let _ = writeln!(std::io::stderr().lock(), "{said} ({version})");
        return;
    }
    peers::require_isolation();
    no_call_fails_and_no_sign_in_dies(version);
}

#[test]
fn beside_2_1_119_no_call_fails_and_no_sign_in_dies() {
    check("2.1.119");
}

#[test]
fn beside_2_1_220_no_call_fails_and_no_sign_in_dies() {
    check("2.1.220");
}

#[test]
fn beside_2_1_330_no_call_fails_and_no_sign_in_dies() {
    check("2.1.330");
}
