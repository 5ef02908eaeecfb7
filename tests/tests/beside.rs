//! The real Claude Code beside a running keeper: a session that calls a tool every second.
//!
//! With tokens of ten minutes the session never has to renew, however often the keeper does. Tokens of
//! 40 seconds are always within the client's own margin, so client and keeper meet all the time, under
//! the client's own lock. Both at a server where a token used twice kills the sign-in. Where to read
//! next: `claude_code`, for one renewal at a time.

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

/// What happened in one span.
struct Beside {
    stage: Stage,
    by_session: usize,
}

/// A session calls the tool every second beside a keeper; with `asked_every`, the keeper is asked to
/// renew that often, whether or not it is due.
fn run_beside(version: &str, life_seconds: i64, asked_every: Option<Duration>) -> Beside {
    let builder = Rehearsal::builder().life_seconds(life_seconds).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    let minted = stage.sign_in("rig", life_seconds);
    let model = ModelApi::start();
    let claude = Claude::new(version, &stage.home, &model);
    claude.add_server("rig", &stage.town.mcp_url());
    let keeper = Keeper::start(&stage.home);
    let mut session = claude.session(ECHO);
    let long = std::env::var_os("LAMPLIGHTER_LONG").is_some();
    let end = Instant::now() + SPAN * if long { 3 } else { 1 };
    let mut next_asked = asked_every.map(|every| Instant::now() + every);
    let mut calls = 0;
    while Instant::now() < end {
        let turn = session.call(ECHO, &json!({"text": "a light"}));
        assert_eq!(turn.answer, "The tool said: a light", "call {calls}: {turn:?}");
        calls += 1;
        if let (Some(at), Some(every)) = (next_asked, asked_every)
            && Instant::now() >= at
        {
            stage.run(&["renew", "rig"]).succeeded();
            next_asked = Some(Instant::now() + every);
        }
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
    let by_session = all.len() - stage.refreshes().len();
    let _ = writeln!(
        std::io::stderr().lock(),
        "Claude Code {version}, tokens of {life_seconds} s: {calls} calls, {} refreshes by the \
         keeper, {by_session} by the session",
        stage.refreshes().len(),
    );
    Beside { stage, by_session }
}

/// Tokens of ten minutes, renewed every seven seconds: the session never has to.
fn the_session_never_renews(version: &str) {
    let every = Duration::from_secs(7);
    let beside = run_beside(version, 600, Some(every));
    assert_eq!(beside.by_session, 0, "the session renewed by itself");
    assert!(beside.stage.refreshes().len() >= 4);
}

/// Tokens of 40 seconds: both renew all the time.
fn both_renew_all_the_time(version: &str) {
    let beside = run_beside(version, 40, None);
    assert!(beside.by_session > 0, "they never met");
}

fn check(version: &str, test: fn(&str)) {
    if peers::may_run(version) {
        test(version);
    }
}

#[test]
fn beside_2_1_119_no_call_fails_and_the_session_never_renews() {
    check("2.1.119", the_session_never_renews);
}

#[test]
fn beside_2_1_119_no_call_fails_and_no_sign_in_dies() {
    check("2.1.119", both_renew_all_the_time);
}

#[test]
fn beside_2_1_220_no_call_fails_and_the_session_never_renews() {
    check("2.1.220", the_session_never_renews);
}

#[test]
fn beside_2_1_220_no_call_fails_and_no_sign_in_dies() {
    check("2.1.220", both_renew_all_the_time);
}

#[test]
fn beside_2_1_330_no_call_fails_and_the_session_never_renews() {
    check("2.1.330", the_session_never_renews);
}

#[test]
fn beside_2_1_330_no_call_fails_and_no_sign_in_dies() {
    check("2.1.330", both_renew_all_the_time);
}
