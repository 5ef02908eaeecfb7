//! The tray's real window, by keys alone: every state that rehearsed servers and files can bring
//! about, each act in it, and nothing that axe, the console or the policy could complain of.
//!
//! The engine is real and so is the page in it; how the page looks in every theme and state is in
//! `tests/page`. Where to read next: `tests/src/desktop/window.rs`.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Builder, Fault, Mint, Rehearsal, Rotation};
use lamplighter_tests::{
    browser::{led_by, visit},
    cost::Cost,
    desktop::{
        Desktop,
        window::{Theme, Tray},
    },
    eyes::Eyes,
    home::Home,
    peers,
    process::until,
    stage::Stage,
    store::{self, CREDENTIALS},
};
use serde_json::json;

const ID: &str = "lamplighter";
const OPENINGS: usize = 20;
/// How much more memory it may have after so many openings: half a megabyte for each.
const GROWTH: u64 = 10 << 20;

fn strict() -> Builder {
    Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict)
}

fn built() -> PathBuf {
    std::env::var_os("LAMPLIGHTER_TRAY_BIN").expect("set by xtask").into()
}

fn settings(home: &Home) -> PathBuf {
    home.config("lamplighter").join("settings.toml")
}

/// The one question is answered already.
fn consented(home: &Home) {
    fs::create_dir_all(home.config("lamplighter")).expect("a folder");
    fs::write(settings(home), "consent = \"keep\"\n").expect("written");
}

/// Waits until the settings file has this line.
fn until_set(home: &Home, line: &str) {
    until(&format!("the settings say {line:?}"), || {
        let text = fs::read_to_string(settings(home)).ok()?;
        text.lines().any(|one| one == line).then_some(())
    });
}

/// Stands in for every program that a desktop opens things with, and writes down what it was given.
struct Opener(PathBuf);

impl Opener {
    fn install(desktop: &Desktop) -> Self {
        let program = desktop.home().run("opener");
        let list = desktop.home().run("opened");
        let text = format!("#!/bin/sh\necho \"$1\" >> '{}'\n", list.display());
        lamplighter_tests::home::write_program(&program, &text);
        let kinds = ["x-scheme-handler/http", "inode/directory", "text/plain", "application/toml"];
        let exec = format!("{} %u", program.display());
        desktop.application("opener-of-a-test", &exec, &kinds);
        Self(list)
    }

    /// Waits for the newest of so many things that were opened.
    fn until(&self, count: usize) -> String {
        until(&format!("{count} things are opened"), || {
            let text = fs::read_to_string(&self.0).ok()?;
            text.lines().nth(count - 1).map(str::to_owned)
        })
    }
}

/// Everything in a folder, by path, with its bytes.
fn whole(folder: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            into.push((path.clone(), Vec::new()));
            whole(&path, into);
        } else {
            into.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
}

fn row(server: &str) -> String {
    format!("server-row[data-grant='claude-code/{server}']")
}

#[test]
fn the_question_is_answered_and_everyday_acts_are_done_by_keys_alone() {
    if !peers::may_run("the window's everyday acts") {
        return;
    }
    let mut stage = Stage::new(strict());
    stage.sign_in("alpha", 3600);
    stage.sign_in("beta", 3600);
    let desktop = Desktop::start(&stage.home);
    let window = desktop.window(&built(), Theme::Light);
    assert_eq!(window.page().text(".first-run h2"), "Keep these signed in?");
    assert_eq!(window.focused(), "Keep these signed in?", "the question is read out first");
    window.is_clean("first run");
    assert!(stage.control.mcp_calls().is_empty() && !settings(&stage.home).exists());
    window.press("Keep them signed in");
    until_set(&stage.home, "consent = \"keep\"");
    window.until_sentence("All 2 servers are signed in");
    window.is_clean("all well");

    window.press("alpha");
    window.page().text(&format!("{}[data-open] server-details dl", row("alpha")));
    window.is_clean("an opened row");
    window.press("Renew now: alpha");
    until("alpha is renewed", || (stage.refreshes().len() == 1).then_some(()));
    window.until_health("alpha", "healthy");
    window.page().until_says(&format!("{} .facts", row("alpha")), "by Lamplighter");
    window.press("Check now: alpha");
    until("alpha is asked", || (!stage.control.mcp_calls().is_empty()).then_some(()));
    window.until_health("alpha", "healthy");
    window.press("Copy diagnostics");
    until("it says so", || (window.focused() == "Copied").then_some(()));
    window.press("Pause: alpha");
    window.until_health("alpha", "paused");
    window.is_clean("one is paused");
    window.press("Resume: alpha");
    window.until_health("alpha", "healthy");

    let asked = stage.control.mcp_calls().len();
    window.press("Check all");
    until("both are asked", || (stage.control.mcp_calls().len() >= asked + 2).then_some(()));
    window.press("Pause all");
    window.until_sentence("Everything is paused");
    window.is_clean("paused");
    window.press("Resume all");
    window.until_sentence("All 2 servers are signed in");

    window.press("Activity");
    window.page().until_says(".activity", "alpha");
    window.is_clean("activity");
    window.press("Servers");
    window.close();
    assert!(Path::new(&format!("/proc/{}", window.process())).exists(), "the tray stays");
    stage.nothing_was_broken();
}

#[test]
fn a_dead_sign_in_is_mended_by_keys_alone() {
    if !peers::may_run("signing in from the window") {
        return;
    }
    let (stage, minted) = Stage::with_rig(strict());
    stage.control.forget_client(&minted.client_id);
    // Asked about twice, a minute apart, before the window is there.
    stage.run(&["renew"]);
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    let opener = Opener::install(&desktop);
    let window = desktop.window(&built(), Theme::Light);
    window.until_sentence("rig needs you");
    window.is_clean("needs you");
    window.press("Reconnect: rig");
    opener.until(1);
    window.until_health("rig", "signing_in");
    window.page().until_says("sign-in-progress", "Agree in your browser");
    window.is_clean("signing in");
    window.press("Cancel: rig");
    window.until_health("rig", "sign_in_required");
    window.is_clean("cancelled");

    window.press("Reconnect: rig");
    let page = led_by(&opener.until(2));
    window.until_health("rig", "signing_in");
    window.press("Copy link");
    until("it says so", || (window.focused() == "Copied").then_some(()));
    let asked = visit(&page);
    visit(&asked.location.expect("a way back"));
    window.until_sentence("rig is signed in");
    window.page().until_says(".hints", "/mcp reconnect rig");
    assert!(stage.holds_live_pair("rig"));
    window.is_clean("signed in again");
    // What was copied is what a person can paste.
    window.press("Settings");
    window.tab_to("Another config folder");
    window.page().press_together("\u{e009}v");
    let pasted = window.page().script("return document.activeElement.value", &[]);
    assert_eq!(pasted, json!(page));
}

#[test]
fn a_new_address_is_looked_at_left_and_trusted_by_keys_alone() {
    if !peers::may_run("a new address in the window") {
        return;
    }
    let (stage, minted) = Stage::with_rig(strict().metadata_issuer("https://elsewhere.example"));
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    let window = desktop.window(&built(), Theme::Light);
    window.until_health("rig", "approval_required");
    window.is_clean("approval required");
    window.press("Review: rig");
    let known = stage.town.issuer().replace("http://", "");
    window.page().until_says("new-address-review", &known);
    window.page().until_says("new-address-review", "elsewhere.example");
    assert_eq!(window.focused(), "Don't trust", "the safe answer comes first");
    window.is_clean("both hosts");
    window.enter();
    assert_eq!(window.focused(), "Review: rig");
    window.enter();
    window.escape();
    assert_eq!(window.focused(), "Review: rig", "Escape trusts nothing, and closes nothing else");
    assert!(stage.control.refreshes().is_empty(), "nothing was sent");
    assert_eq!(stage.pair("rig").1, minted.refresh_token);
    window.enter();
    window.press("Trust elsewhere.example");
    window.until_sentence("rig is signed in");
    until("it is renewed", || stage.holds_live_pair("rig").then_some(()));
    window.is_clean("trusted");
    stage.nothing_was_broken();
}

#[test]
fn a_store_that_breaks_is_shown_left_alone_and_taken_up_when_it_is_whole() {
    if !peers::may_run("a broken store in the window") {
        return;
    }
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    let good = store::read(&stage.home, CREDENTIALS);
    store::write(&stage.home, CREDENTIALS, "{\"mcpOAuth\": {");
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    let opener = Opener::install(&desktop);
    let window = desktop.window(&built(), Theme::Light);
    window.page().until_says(".faults", "Claude Code");
    window.is_clean("a store that was never read");
    let broken = window
        .page()
        .script("return document.querySelector('.faults button').getAttribute('aria-label')", &[]);
    window.press(broken.as_str().expect("a button"));
    assert_eq!(opener.until(1), stage.home.claude("").display().to_string().trim_end_matches('/'));
    store::write(&stage.home, CREDENTIALS, &good);
    window.until_sentence("rig is signed in");
    window.is_clean("whole again");
    store::write(&stage.home, CREDENTIALS, "{\"mcpOAuth\": {");
    window.until_health("rig", "store_broken");
    window.is_clean("a row whose store broke");
    window.press("Show file: rig");
    opener.until(2);
    assert_eq!(store::read(&stage.home, CREDENTIALS), "{\"mcpOAuth\": {");
}

#[test]
fn settings_are_set_by_keys_alone_and_the_last_of_them_removes_lamplighter() {
    if !peers::may_run("the window's settings") {
        return;
    }
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    let before = store::read(&stage.home, CREDENTIALS);
    consented(&stage.home);
    let more = stage.home.path().join("another");
    fs::create_dir(&more).expect("a folder");
    let desktop = Desktop::start(&stage.home);
    let opener = Opener::install(&desktop);
    let window = desktop.window(&built(), Theme::Light);
    window.until_sentence("rig is signed in");
    window.press("Settings");
    window.is_clean("settings");
    for (name, line) in [("Notices", "notices = false"), ("Ask servers by itself", "probe = false")]
    {
        window.tab_to(name);
        window.page().press(" ");
        until_set(&stage.home, line);
        window.is_clean(line);
    }
    window.tab_to("Keep them signed in");
    window.page().press("\u{e015}");
    until_set(&stage.home, "consent = \"watch\"");
    window.press("Servers");
    window.page().until_says(".notes", "Only watching");
    window.is_clean("only watching");
    window.press("Settings");
    window.tab_to("Only watch");
    window.page().press("\u{e013}");
    until_set(&stage.home, "consent = \"keep\"");

    window.tab_to("Another config folder");
    window.page().press(&format!("{}\u{e007}", more.display()));
    window.tab_to(&format!("Remove {}", more.display()));
    window.is_clean("one more folder");
    window.enter();
    window.page().until("the folder has gone", || {
        let shown = window.words();
        if shown.contains(&format!("{}", more.display())) { Err(shown) } else { Ok(()) }
    });
    window.press("Open settings file");
    assert_eq!(opener.until(1), settings(&stage.home).display().to_string());
    window.tab_to("Keep this window open");
    window.page().press(" ");
    window.page().text("button.pin[aria-pressed=true]");

    window.press("Remove Lamplighter…");
    assert_eq!(window.focused(), "Keep Lamplighter", "the safe answer comes first");
    window.is_clean("the question before removing");
    window.escape();
    assert_eq!(window.focused(), "Remove Lamplighter…");
    assert!(desktop.has_window(), "Escape answers the question, and closes nothing else");
    window.enter();
    let process = window.process();
    window.press_last("Remove");
    until("the tray has ended", || {
        (!Path::new(&format!("/proc/{process}/exe")).exists()).then_some(())
    });
    assert!(!settings(&stage.home).exists(), "nothing of ours is left");
    assert_eq!(store::read(&stage.home, CREDENTIALS), before);
}

#[test]
fn the_demo_is_tried_and_left_and_nothing_of_the_persons_is_read_or_written() {
    if !peers::may_run("the demo in the window") {
        return;
    }
    let stage = Stage::new(strict());
    fs::create_dir(stage.home.claude("")).expect("a folder");
    let minted = stage.control.mint(Mint::default());
    let entry = stage.entry_for("rig", &minted);
    let sign_in = json!({"mcpOAuth": {stage.key("rig"): entry}}).to_string();
    let desktop = Desktop::start(&stage.home);
    let window = desktop.window(&built(), Theme::Light);
    window.until_sentence("No sign-ins were found");
    window.page().until_says(".nothing", "Where it looked");
    window.is_clean("nothing found");
    window.press("Try the demo");
    window.page().until_says(".banner", "This is the demo");
    window.page().text("server-row[data-grant='claude-code/calendar']");
    // Whoever still looks here finds a sign-in that waits for a word.
    store::write(&stage.home, CREDENTIALS, &sign_in);
    let own = [stage.home.path(), stage.home.config(""), stage.home.run("../state")];
    let mut before = Vec::new();
    for folder in &own {
        whole(folder, &mut before);
    }
    let eyes = Eyes::on(&own);
    let renewed = || {
        let all = window.page().script(
            "return [...document.querySelectorAll('server-row')].map((row) => row.dataset.health)",
            &[],
        );
        let healths = all.as_array().cloned().unwrap_or_default();
        (healths.len() == 4 && healths.iter().any(|health| health == "healthy")).then_some(())
    };
    until("the demo's servers are shown", renewed);
    window.is_clean("the demo");
    window.press("calendar");
    window.press("Check now: calendar");
    window.until_health("calendar", "healthy");
    let played = fs::read_dir(stage.home.run("../tmp")).expect("a folder").flatten();
    let played: Vec<PathBuf> = played
        .map(|entry| entry.path())
        .filter(|path| path.display().to_string().contains("lamplighter-demo-"))
        .collect();
    assert_eq!(played.len(), 1, "the demo has a home of its own");
    assert_eq!(eyes.seen(), Vec::<String>::new());
    let mut after = Vec::new();
    for folder in &own {
        whole(folder, &mut after);
    }
    assert_eq!(before, after);
    window.press("Leave the demo");
    window.page().until_says(".first-run", "rig");
    window.is_clean("back from the demo");
    until("the demo's home has gone", || played.iter().all(|path| !path.exists()).then_some(()));
    assert!(stage.control.mcp_calls().is_empty() && stage.refreshes().is_empty());
    assert!(!settings(&stage.home).exists(), "and the question is still to be answered");
}

#[test]
fn the_focus_and_what_was_typed_survive_what_the_engine_pushes() {
    if !peers::may_run("the window's focus") {
        return;
    }
    let mut stage = Stage::new(strict());
    let alpha = stage.sign_in("alpha", 3600);
    stage.sign_in("beta", 3600);
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    let window = desktop.window(&built(), Theme::Light);
    window.until_sentence("All 2 servers are signed in");
    window.tab_to("Renew now: beta");
    window.watch_focus();
    // alpha rises above beta, and the focus must not move with the rows.
    stage.control.forget_client(&alpha.client_id);
    stage.run(&["renew", "alpha"]);
    window.until_health("alpha", "sign_in_required");
    window.until_sentence("alpha needs you");
    assert_eq!(window.focused(), "Renew now: beta");
    assert_eq!(window.watch_focus(), json!(0), "not for a moment");
    window.is_clean("one needs a person");

    window.press("Settings");
    window.tab_to("Another config folder");
    window.page().press("~/.claude-new");
    window.watch_focus();
    store::write(&stage.home, CREDENTIALS, "{");
    window.page().until("the broken store is told of", || {
        let health =
            window.page().script("return document.querySelector('server-row').dataset.health", &[]);
        if health == "store_broken" { Ok(()) } else { Err(health.to_string()) }
    });
    let typed = window.page().script("return document.activeElement.value", &[]);
    assert_eq!(typed, json!("~/.claude-new"));
    assert_eq!(window.watch_focus(), json!(0));
}

/// Rows in as many states as one store can hold.
fn many(theme: Theme) {
    let mut stage = Stage::new(strict());
    stage.sign_in("well", 3600);
    stage.sign_in("stuck", 3600);
    stage.sign_in("short", 3600);
    stage.edit("short", |entry| {
        entry.as_object_mut().expect("an object").remove("refreshToken");
    });
    stage.sign_in("apart", 3600);
    let dead = stage.sign_in("dead", -1);
    stage.control.forget_client(&dead.client_id);
    // Asked about twice, a minute apart, before the window is there.
    stage.run(&["renew", "dead"]);
    stage.sign_in("work", 3600);
    stage.edit("work", |entry| entry["discoveryState"]["xaaPinned"] = true.into());
    // There is no way out of here, only this machine.
    stage.sign_in("far", -1);
    stage.edit("far", |entry| {
        entry["serverUrl"] = "https://mcp.example/mcp".into();
        entry["discoveryState"]["authorizationServerUrl"] = "https://mcp.example".into();
    });
    let servers = json!({"mcpServers": {"new": {"type": "http", "url": stage.town.mcp_url()}}});
    fs::write(stage.home.path().join(".claude.json"), servers.to_string()).expect("written");
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    let window = desktop.window(&built(), theme);
    let dark =
        window.page().script("return matchMedia('(prefers-color-scheme: dark)').matches", &[]);
    assert_eq!(dark, json!(theme == Theme::Dark));
    let contrast =
        window.page().script("return matchMedia('(prefers-contrast: more)').matches", &[]);
    assert_eq!(contrast, json!(theme == Theme::Contrast));
    window.until_health("dead", "sign_in_required");
    window.until_health("work", "standing_by");
    window.until_health("far", "offline");
    window.until_health("short", "no_refresh_token");
    window.until_health("new", "not_signed_in");
    window.press("apart");
    window.press("Pause: apart");
    window.until_health("apart", "paused");
    stage.control.inject(Fault::RetryAfter { status: 503, seconds: 600 }, 50);
    window.press("Renew now: stuck");
    window.until_health("stuck", "retrying");
    for server in ["dead", "stuck", "short", "well", "new", "work", "far"] {
        window.press(server);
    }
    window.page().until("all rows are open", || {
        let open = window
            .page()
            .script("return document.querySelectorAll('server-row[data-open]').length", &[]);
        if open == 8 { Ok(()) } else { Err(open.to_string()) }
    });
    window.is_clean("rows in many states");
    for page in ["Activity", "Settings"] {
        window.press(page);
        window.is_clean(page);
    }
}

#[test]
fn rows_in_many_states_stand_side_by_side_in_light() {
    if peers::may_run("many states in light") {
        many(Theme::Light);
    }
}

#[test]
fn rows_in_many_states_stand_side_by_side_in_dark() {
    if peers::may_run("many states in dark") {
        many(Theme::Dark);
    }
}

#[test]
fn rows_in_many_states_stand_side_by_side_in_high_contrast() {
    if peers::may_run("many states in high contrast") {
        many(Theme::Contrast);
    }
}

/// A home with five sign-ins, a panel, and the tray's icon in it.
struct Idle {
    stage: Stage,
}

impl Idle {
    fn new() -> Self {
        let mut stage = Stage::new(strict());
        for name in ["one", "two", "three", "four", "five"] {
            stage.sign_in(name, 3600);
        }
        consented(&stage.home);
        Self { stage }
    }
}

fn open(desktop: &Desktop) {
    desktop.until_item(ID).choose(&["Open Lamplighter"]);
    desktop.until_window(true);
}

/// Presses Escape as a person does, until the window has gone and nothing draws any more.
fn close(desktop: &Desktop, tray: &Tray) {
    until("Esc closes it", || {
        // It takes the focus a moment after it is seen.
        drop(desktop.tool("xdotool", &["key", "Escape"]));
        (!desktop.has_window()).then_some(())
    });
    until("nothing draws any more", || (!Cost::of(tray.process()).draws()).then_some(()));
}

/// What it costs once its helpers are the network's alone: a program that it asks for its version, or
/// a drawing process that is on its way out, may be there for a moment.
fn rested(tray: &Tray) -> Cost {
    until("no process is left but the network's", || {
        let cost = Cost::of(tray.process());
        (cost.processes == ["WebKitNetworkPr", "lamplighter-tra"]).then_some(cost)
    })
}

#[test]
fn twenty_openings_leave_no_process_and_no_growth_worth_the_name() {
    if !peers::may_run("twenty openings") {
        return;
    }
    let idle = Idle::new();
    let desktop = Desktop::start(&idle.stage.home);
    desktop.panel();
    let tray = Tray::hidden(&desktop, &built());
    desktop.until_item(ID);
    // At the start it asks a program or two for their versions.
    until("without a page there is no other process", || {
        (Cost::of(tray.process()).processes.len() == 1).then_some(())
    });
    // What is loaded once stays loaded.
    open(&desktop);
    assert!(Cost::of(tray.process()).draws(), "an open page is drawn by a process of its own");
    close(&desktop, &tray);
    let before = rested(&tray);
    for _ in 0..OPENINGS {
        open(&desktop);
        close(&desktop, &tray);
    }
    let after = rested(&tray);
    assert!(
        after.own <= before.own + GROWTH,
        "{} KiB before, {} KiB after",
        before.own >> 10,
        after.own >> 10
    );
}

#[test]
#[ignore = "a measurement, printed by `cargo xtask bench tray`"]
fn bench_tray() {
    if !peers::may_run("the tray's figures") {
        return;
    }
    let size = fs::metadata(built()).expect("a program").len();
    say("the program", &format!("{:.1} MB", mb(size)));
    let idle = Idle::new();
    let desktop = Desktop::start(&idle.stage.home);
    desktop.panel();
    let mut starts = Vec::new();
    let mut opens = Vec::new();
    let mut again = Vec::new();
    let mut costs = [const { Vec::new() }; 4];
    for run in 0..RUNS {
        let started = Instant::now();
        let tray = Tray::hidden(&desktop, &built());
        until("its icon is there", || (!desktop.items().is_empty()).then_some(()));
        starts.push(started.elapsed());
        let item = desktop.until_item(ID);
        if run == 0 {
            say("wake-ups with the icon alone", &wakes(&tray));
        }
        costs[0].push(Cost::of(tray.process()).memory);
        for (place, took) in [(1, &mut opens), (2, &mut again)] {
            let clicked = Instant::now();
            item.activate((40, 10));
            while !desktop.has_window() {
                assert!(clicked.elapsed() < Duration::from_secs(60), "no window");
            }
            took.push(clicked.elapsed());
            std::thread::sleep(SETTLED);
            costs[place].push(Cost::of(tray.process()).memory);
            close(&desktop, &tray);
            // What comes at once counts as the click that closed it.
            std::thread::sleep(SETTLED);
        }
        costs[3].push(Cost::of(tray.process()).memory);
        if run == 0 {
            say("wake-ups after the page was closed", &wakes(&tray));
            let before = Cost::of(tray.process()).memory;
            for _ in 0..OPENINGS {
                open(&desktop);
                close(&desktop, &tray);
            }
            let after = Cost::of(tray.process()).memory;
            let grown = format!("{:.1} MB, then {:.1} MB", mb(before), mb(after));
            say(&format!("memory before and after {OPENINGS} more openings"), &grown);
        }
        drop(tray);
        until("its icon has gone", || desktop.items().is_empty().then_some(()));
    }
    say("start to icon", &times(starts));
    say("click to filled page, the first of a run", &times(opens));
    say("click to filled page, again", &times(again));
    let [alone, open, second, closed] = costs;
    say("memory, icon alone", &memory(alone));
    say("memory, page open", &memory(open));
    say("memory, page open again", &memory(second));
    say("memory, page closed", &memory(closed));
}

const RUNS: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);
/// What a page still does after it is seen, or after it was closed, is done by then.
const SETTLED: Duration = Duration::from_secs(2);
/// Nothing of a start is left by then: an engine looks at what it found for about a minute.
const REST: Duration = Duration::from_secs(75);

#[expect(clippy::print_stdout, reason = "printing is what a bench is for")]
fn say(what: &str, figure: &str) {
    println!("{what}: {figure}");
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn times(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let ms = |place: usize| all[place].as_millis();
    let last = all.len() - 1;
    format!(
        "min {} ms, median {} ms, max {} ms ({} runs)",
        ms(0),
        ms(last / 2),
        ms(last),
        all.len()
    )
}

fn memory(mut all: Vec<u64>) -> String {
    all.sort_unstable();
    format!("{:.0} MB (proportional, over all its processes)", mb(all[all.len() / 2]))
}

/// How often threads of its own are woken in a minute in which nobody does anything.
fn wakes(tray: &Tray) -> String {
    std::thread::sleep(REST);
    let before = Cost::of(tray.process());
    std::thread::sleep(MINUTE);
    let after = Cost::of(tray.process());
    format!("{} a minute ({})", after.wakes_since(&before), after.processes.join(", "))
}
