//! Several of the real Claude Code at once, and Lamplighter renewing in their midst.
//!
//! Three loops of `claude mcp list` over six servers, whose tokens are always within the client's own
//! margin, so that every list renews them; the server ends a sign-in whose token is used twice. First
//! without Lamplighter, then with it: what a client spoils by itself is not ours, and is counted apart.
//! It must not end a client in the middle: what that loses would be the test's own doing. Where to
//! read next: `beside`, for a session beside the keeper.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fmt,
    io::Write as _,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Outcome, Rehearsal, Rotation, Seen};
use lamplighter_tests::{claude::Claude, model_api::ModelApi, peers, stage::Stage};

const SERVERS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
/// How many lists run at once.
const LISTS: usize = 3;
/// Shorter than the client's margin of 300 s, so that it renews whenever it looks.
const LIFE_SECONDS: i64 = 40;
const EVERY: Duration = Duration::from_secs(3);
/// How long each of the two spans is; six times as long with `--long`.
const SPAN: Duration = Duration::from_secs(20);
/// The versions wait side by side, but take turns where they would take the machine from each other.
static TURN: Mutex<()> = Mutex::new(());

/// What happened in one span.
struct Span {
    lists: usize,
    by_client: Counts,
    by_lamplighter: Counts,
    /// The servers whose sign-in is dead.
    dead: Vec<&'static str>,
    /// How the first of them came to be.
    story: String,
}

/// Refreshes of one program.
struct Counts {
    issued: usize,
    refused: usize,
    /// Those that presented a spent token.
    reused: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issued, refused, reused } = self;
        write!(f, "{issued} ok, {refused} refused, {reused} with a spent token")
    }
}

fn counts(seen: &[Seen], of: impl Fn(&Seen) -> bool) -> Counts {
    let count = |what: fn(&Seen) -> bool| seen.iter().filter(|seen| of(seen) && what(seen)).count();
    Counts {
        issued: count(|seen| seen.outcome == Outcome::Issued),
        refused: count(|seen| matches!(seen.outcome, Outcome::Refused(_))),
        reused: count(|seen| seen.reuse),
    }
}

fn is_lamplighter(seen: &Seen) -> bool {
    seen.user_agent.starts_with("Lamplighter/")
}

/// Lists without pause until the time is over, and lets the last one end.
fn list_until(claude: &Claude<'_>, end: Instant) -> usize {
    let mut lists = 0;
    while Instant::now() < end {
        claude.list().succeeded();
        lists += 1;
    }
    lists
}

/// Renews every server again and again, needed or not.
fn renew_until(stage: &Stage, end: Instant) {
    let mut next = Instant::now();
    while next < end {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += EVERY;
        let mut args = vec!["renew"];
        args.extend(SERVERS);
        let ran = stage.run(&args);
        // Whether a sign-in died is told by the server's books, at the end.
        assert!(matches!(ran.code, Some(0 | 10 | 11)), "{}{}", ran.out, ran.err);
    }
}

/// Every refresh around the first one with a spent token, of the same sign-in: who spoilt it.
fn story(seen: &[Seen]) -> String {
    let Some(at) = seen.iter().position(|seen| seen.reuse) else { return String::new() };
    let same = seen[..=at].iter().filter(|other| other.client_id == seen[at].client_id);
    let lines = same.map(|seen| {
        let Seen { user_agent, refresh_token_short_id: token, outcome, reuse, .. } = seen;
        format!("\n  {user_agent} {token} {outcome:?}{}", if *reuse { ", spent" } else { "" })
    });
    let lines: Vec<String> = lines.collect();
    lines[lines.len().saturating_sub(12)..].concat()
}

/// A home that is signed in everywhere, at a server of its own.
fn signed_in(life_seconds: i64) -> Stage {
    let builder = Rehearsal::builder().life_seconds(life_seconds).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    for name in SERVERS {
        stage.sign_in(name, life_seconds);
    }
    stage
}

/// The same, where Lamplighter has written once and looked at it for as long as it does in a store
/// that is new to it; until then it renews no second server.
fn known_to_lamplighter() -> Stage {
    let stage = signed_in(3600);
    let args: Vec<&str> = ["renew"].into_iter().chain(SERVERS).collect();
    stage.run(&args).succeeded();
    stage
}

fn span(stage: &mut Stage, version: &str, with_lamplighter: bool) -> Span {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Signed in anew, now with tokens that everybody wants to renew.
    stage.control.set_life_seconds(LIFE_SECONDS);
    for name in SERVERS {
        stage.sign_in(name, LIFE_SECONDS);
    }
    let stage = &*stage;
    let model = ModelApi::start();
    let claude = &Claude::new(version, &stage.home, &model);
    for name in SERVERS {
        claude.add_server(name, &stage.town.mcp_url());
    }
    let before = stage.control.refreshes().len();
    let times = if std::env::var_os("LAMPLIGHTER_LONG").is_some() { 6 } else { 1 };
    let end = Instant::now() + SPAN * times;
    let lists = thread::scope(|scope| {
        let lists: Vec<_> = (0..LISTS).map(|_| scope.spawn(|| list_until(claude, end))).collect();
        if with_lamplighter {
            renew_until(stage, end);
        }
        lists.into_iter().map(|list| list.join().expect("a loop of lists")).sum()
    });
    let seen = &stage.control.refreshes()[before..];
    let alive = |name: &str| stage.control.is_refresh_live(&stage.pair(name).1);
    Span {
        lists,
        by_client: counts(seen, |seen| !is_lamplighter(seen)),
        by_lamplighter: counts(seen, is_lamplighter),
        dead: SERVERS.into_iter().filter(|name| !alive(name)).collect(),
        story: story(seen),
    }
}

fn say(version: &str, with: &str, span: &Span) {
    let Span { lists, by_client, by_lamplighter, dead, story } = span;
    let said = format!(
        "Claude Code {version}, {with} Lamplighter: {lists} lists; refreshes by the client \
         {by_client}, by Lamplighter {by_lamplighter}; dead sign-ins: {dead:?}{story}"
    );
    let _ = writeln!(std::io::stderr().lock(), "{said}");
}

fn soak(version: &str) {
    if !peers::may_run(version) {
        return;
    }
    let mut stage = thread::scope(|scope| {
        let known = scope.spawn(known_to_lamplighter);
        let alone = span(&mut signed_in(LIFE_SECONDS), version, false);
        say(version, "without", &alone);
        known.join().expect("the first write")
    });
    let beside = span(&mut stage, version, true);
    say(version, "with", &beside);
    assert!(beside.by_client.issued > 0 && beside.by_lamplighter.issued > 0, "they never met");
    assert_eq!(beside.by_lamplighter.reused, 0, "Lamplighter presented a spent token");
    assert_eq!(beside.by_client.reused, 0, "the client presented a spent token beside Lamplighter");
    assert_eq!(beside.dead, Vec::<&str>::new(), "a sign-in died beside Lamplighter");
    stage.nothing_was_broken();
}

#[test]
fn soak_2_1_220_nothing_spent_is_presented_and_no_sign_in_dies() {
    soak("2.1.220");
}

#[test]
fn soak_2_1_330_nothing_spent_is_presented_and_no_sign_in_dies() {
    soak("2.1.330");
}
