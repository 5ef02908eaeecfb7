//! Several of the real Claude Code at once, and Lamplighter renewing in their midst.
//!
//! Three loops of `claude mcp list` over six servers, whose tokens are always within the client's own
//! margin, so that every list renews them; the server ends a sign-in whose token is used twice. First
//! without Lamplighter, then with it: what a client spoils by itself is not ours, and is counted apart.
//! So are tokens that a client was given and never wrote down: whoever comes next finds the spent one,
//! as 2.1.220 and 2.1.330 do to themselves when a list ends while its answer is on the way. It must not end a client in the middle: what that loses would be the test's own doing. Where to
//! read next: `beside`, for a session beside the keeper.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Outcome, Rehearsal, Rotation, Seen, short_id};
use lamplighter_tests::{
    claude::Claude,
    model_api::ModelApi,
    peers,
    stage::Stage,
    store::{self, CREDENTIALS},
};
use serde_json::Value;

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

/// How often the store is looked at: far more often than a round trip and a write take.
const LOOK: Duration = Duration::from_millis(5);

/// What happened in one span.
struct Span {
    lists: usize,
    by_client: Counts,
    by_lamplighter: Counts,
    /// The servers whose new tokens a client was given and never wrote down.
    lost: Vec<&'static str>,
    /// The servers whose sign-in is dead otherwise.
    dead: Vec<&'static str>,
    /// How the first of them came to be.
    story: String,
}

/// Refreshes of one program.
struct Counts {
    issued: usize,
    refused: usize,
    /// Those that presented a spent token, when the store held its successor or should have.
    reused: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issued, refused, reused } = self;
        write!(f, "{issued} ok, {refused} refused, {reused} with a spent token")
    }
}

/// `lost`: the tokens whose successors a client was given and never wrote down.
fn counts(seen: &[Seen], lost: &BTreeSet<String>, of: impl Fn(&Seen) -> bool) -> Counts {
    let count =
        |what: &dyn Fn(&Seen) -> bool| seen.iter().filter(|seen| of(seen) && what(seen)).count();
    Counts {
        issued: count(&|seen| seen.outcome == Outcome::Issued),
        refused: count(&|seen| matches!(seen.outcome, Outcome::Refused(_))),
        reused: count(&|seen| seen.reuse && !lost.contains(&seen.refresh_token_short_id)),
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

/// Looks at the store until told to stop: the refresh token that each server had last.
fn watch(stage: &Stage, stop: &AtomicBool) -> BTreeMap<&'static str, String> {
    let mut last = BTreeMap::new();
    loop {
        // Also once more after the end.
        let stopped = stop.load(Ordering::Relaxed);
        let text = store::read(&stage.home, CREDENTIALS);
        // A client may be writing it.
        let all: Value = serde_json::from_str(&text).unwrap_or_default();
        for name in SERVERS {
            let token = all["mcpOAuth"][stage.key(name)]["refreshToken"].as_str();
            if let Some(token) = token.filter(|token| !token.is_empty()) {
                last.insert(name, short_id(token));
            }
        }
        if stopped {
            return last;
        }
        thread::sleep(LOOK);
    }
}

/// The tokens that a client redeemed and that the store never saw followed by another.
fn lost_by_client(seen: &[Seen], last: &BTreeMap<&str, String>) -> BTreeSet<String> {
    let redeemed = |token: &str| {
        let mut redeemers = seen
            .iter()
            .filter(|seen| seen.refresh_token_short_id == token && seen.outcome == Outcome::Issued);
        redeemers.next().is_some_and(|first| !is_lamplighter(first))
    };
    last.values().filter(|token| redeemed(token)).cloned().collect()
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
    let stop = &AtomicBool::new(false);
    let (lists, kept) = thread::scope(|scope| {
        let watch = scope.spawn(|| watch(stage, stop));
        let lists: Vec<_> = (0..LISTS).map(|_| scope.spawn(|| list_until(claude, end))).collect();
        if with_lamplighter {
            renew_until(stage, end);
        }
        let lists = lists.into_iter().map(|list| list.join().expect("a loop of lists")).sum();
        stop.store(true, Ordering::Relaxed);
        (lists, watch.join().expect("the watch"))
    });
    let seen = &stage.control.refreshes()[before..];
    let spent = lost_by_client(seen, &kept);
    let dead = |name: &&str| !stage.control.is_refresh_live(&stage.pair(name).1);
    let was_lost = |name: &&str| kept.get(name).is_some_and(|token| spent.contains(token));
    let (lost, dead) = SERVERS.into_iter().filter(dead).partition(was_lost);
    Span {
        lists,
        by_client: counts(seen, &spent, |seen| !is_lamplighter(seen)),
        by_lamplighter: counts(seen, &spent, is_lamplighter),
        lost,
        dead,
        story: story(seen),
    }
}

fn say(version: &str, with: &str, span: &Span) {
    let Span { lists, by_client, by_lamplighter, lost, dead, story } = span;
    let said = format!(
        "Claude Code {version}, {with} Lamplighter: {lists} lists; refreshes by the client \
         {by_client}, by Lamplighter {by_lamplighter}; lost by the client: {lost:?}; dead sign-ins: {dead:?}{story}"
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
