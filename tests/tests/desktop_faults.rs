//! The tray on a desktop whose parts hang, end, or come late: notification daemon, panel, session bus
//! and the process that draws the window. What it keeps is kept all the same.
//!
//! Where to read next: `tray`, for a desktop that works.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{fs, path::PathBuf};

use lamplighter_rehearsal::{Builder, Fault, Rehearsal, Rotation};
use lamplighter_tests::{
    cost::Cost,
    desktop::{Desktop, tray::Item, window::Tray},
    home::{Home, write_program},
    peers,
    process::until,
    stage::Stage,
};
use rustix::process::{Pid, Signal, kill_process};

const ID: &str = "lamplighter";
const DAEMON: &str = "org.freedesktop.Notifications";
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
/// How often the window is opened: some sixty milliseconds of a screen each, and more with `--long`.
const OPENINGS: usize = 60;
const MANY_OPENINGS: usize = 500;
/// Descriptors that come and go by themselves, of the bus and of timers.
const SPARE_DESCRIPTORS: usize = 12;

fn built() -> PathBuf {
    std::env::var_os("LAMPLIGHTER_TRAY_BIN").expect("set by xtask").into()
}

fn strict() -> Builder {
    Rehearsal::builder().life_seconds(3_600).rotation(Rotation::Strict)
}

/// The one question is answered already, with these settings besides.
fn consented(home: &Home, more: &str) {
    fs::create_dir_all(home.config("lamplighter")).expect("a folder");
    let text = format!("consent = \"keep\"\n{more}");
    fs::write(home.config("lamplighter/settings.toml"), text).expect("written");
}

/// A sign-in that needs a person at once: its server names another address now.
fn needs_a_person() -> Stage {
    let (stage, _) = Stage::with_rig(strict().metadata_issuer("https://elsewhere.example"));
    consented(&stage.home, "");
    stage
}

fn send(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(process, signal).expect("it runs");
}

/// The icon, once its menu is filled.
fn until_icon<'a>(desktop: &'a Desktop<'_>) -> Item<'a> {
    let item = desktop.until_item(ID);
    until("the menu is filled", || {
        item.menu().iter().any(|entry| entry.label == "Open Lamplighter").then_some(())
    });
    item
}

/// Escape closes the window, which its page does.
fn until_escape_closes(desktop: &Desktop) {
    until("Escape closes it", || {
        drop(desktop.tool("xdotool", &["key", "Escape"]));
        (!desktop.has_window()).then_some(())
    });
}

fn log_of(home: &Home) -> String {
    fs::read_to_string(home.run("log/tray")).expect("a log")
}

#[test]
fn a_notification_daemon_that_hangs_delays_neither_the_window_nor_the_end() {
    if !peers::may_run("a daemon that hangs") {
        return;
    }
    for by_menu in [true, false] {
        let stage = needs_a_person();
        let desktop = Desktop::start(&stage.home);
        desktop.panel();
        let notices = desktop.listen_for_notices();
        let _silent = desktop.silent(DAEMON);
        let mut tray = Tray::hidden(&desktop, &built());
        let item = until_icon(&desktop);
        notices.until("the daemon is asked", |notice| notice.summary == "rig needs you");
        // What is taken back is still on its way.
        consented(&stage.home, "notices = false\n");
        until("the tray sees it", || {
            log_of(&stage.home).contains("the settings were changed").then_some(())
        });
        item.choose(&["Open Lamplighter"]);
        desktop.until_window(true);
        until_escape_closes(&desktop);
        if by_menu {
            item.choose(&["Quit"]);
        } else {
            tray.terminate();
        }
        assert!(tray.until_ended(), "it ends in peace; by the menu: {by_menu}");
    }
}

#[test]
fn a_panel_that_hangs_delays_neither_the_window_nor_the_end_and_gets_the_icon_when_it_answers() {
    if !peers::may_run("a panel that hangs") {
        return;
    }
    let home = Home::new();
    consented(&home, "");
    let desktop = Desktop::start(&home);
    let silent = desktop.silent(WATCHER);
    let mut tray = Tray::start(&desktop, &built(), &[]);
    desktop.until_window(true);
    until_escape_closes(&desktop);
    let mut second = Tray::start(&desktop, &built(), &[]);
    assert!(second.until_ended());
    desktop.until_window(true);
    tray.terminate();
    assert!(tray.until_ended());
    let _tray = Tray::hidden(&desktop, &built());
    until("it waits", || log_of(&home).contains("no panel takes the icon yet").then_some(()));
    drop(silent);
    desktop.panel();
    desktop.until_item(ID);
}

#[test]
fn a_panel_that_takes_the_icon_and_hangs_then_does_not_keep_the_program_from_ending() {
    if !peers::may_run("a panel that hangs later") {
        return;
    }
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3_600);
    consented(&stage.home, "");
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    let mut tray = Tray::hidden(&desktop, &built());
    let item = until_icon(&desktop);
    until("it keeps", || {
        item.menu().iter().any(|entry| entry.label.starts_with("rig ·")).then_some(())
    });
    desktop.end("xfce4-panel");
    until("the panel has gone", || (!desktop.bus().is_owned(WATCHER)).then_some(()));
    let _silent = desktop.silent(WATCHER);
    // The menu changes, and whoever sets it waits for the panel.
    stage.run(&["pause", "rig"]).succeeded();
    stage.run(&["resume", "rig"]).succeeded();
    let holder = || {
        let lock = stage.home.run("../state/lamplighter/engine.lock");
        fs::read_to_string(lock).unwrap_or_default()
    };
    assert!(holder().starts_with(&format!("{} ", tray.process())), "{}", holder());
    tray.terminate();
    assert!(tray.until_ended(), "it ends in peace");
}

#[test]
fn a_daemon_that_comes_late_or_ends_is_given_what_still_stands() {
    if !peers::may_run("a daemon that comes late") {
        return;
    }
    let stage = needs_a_person();
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    let notices = desktop.listen_for_notices();
    let _tray = Tray::hidden(&desktop, &built());
    // At login the keeper is often the first.
    let item = until_icon(&desktop);
    until("the menu asks for a person", || {
        item.menu().iter().any(|entry| entry.label.starts_with("Review rig")).then_some(())
    });
    desktop.notices();
    let first = notices.until("the late daemon shows it", |notice| notice.id.is_some());
    assert_eq!(first.summary, "rig needs you");
    let shown = notices.all().iter().filter(|notice| notice.id.is_some()).count();
    assert_eq!(shown, 1, "once: {:?}", notices.all());
    desktop.end("dunst");
    desktop.notices();
    until("the next daemon shows it too", || {
        (notices.all().iter().filter(|notice| notice.id.is_some()).count() == 2).then_some(())
    });
    // Whoever has closed it is not asked again.
    let second = notices.all().pop().and_then(|notice| notice.id).expect("taken in");
    desktop.close_notice(second);
    until("it is closed", || notices.all().last().is_some_and(|n| n.closed).then_some(()));
    desktop.end("dunst");
    desktop.notices();
    item.choose(&["Open Lamplighter"]);
    desktop.until_window(true);
    let shown = notices.all().iter().filter(|notice| notice.id.is_some()).count();
    assert_eq!(shown, 2, "{:?}", notices.all());
}

#[test]
fn notices_and_the_icon_come_back_with_the_session_bus() {
    if !peers::may_run("a session bus that comes back") {
        return;
    }
    let stage = needs_a_person();
    let mut desktop = Desktop::start(&stage.home);
    desktop.panel();
    desktop.notices();
    let before = desktop.listen_for_notices();
    let _tray = Tray::hidden(&desktop, &built());
    desktop.until_item(ID);
    before.until("it is shown", |notice| notice.id.is_some());
    desktop.restart_bus(&["dunst", "xfce4-panel"]);
    let after = desktop.listen_for_notices();
    desktop.notices();
    let again = after.until("it is shown on the new bus", |notice| notice.id.is_some());
    assert_eq!(again.summary, "rig needs you");
    desktop.panel_again();
    let item = until_icon(&desktop);
    item.choose(&["Open Lamplighter"]);
    desktop.until_window(true);
}

#[test]
fn a_window_whose_process_dies_or_hangs_comes_back() {
    if !peers::may_run("a dead process") {
        return;
    }
    let home = Home::new();
    consented(&home, "");
    let desktop = Desktop::start(&home);
    desktop.panel();
    let tray = Tray::hidden(&desktop, &built());
    let item = until_icon(&desktop);
    for signal in [Signal::KILL, Signal::STOP] {
        item.choose(&["Open Lamplighter"]);
        desktop.until_window(true);
        let drawn = Cost::drawing(tray.process());
        assert!(!drawn.is_empty(), "a page is drawn by a process of its own");
        for process in drawn {
            send(process, signal);
        }
        // A page that is dead hears no key.
        until_escape_closes(&desktop);
        until("nothing draws any more", || {
            let left = Cost::drawing(tray.process());
            let states = left.iter().map(|process| {
                fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default()
            });
            // Shown if this is in vain.
            drop(fs::write(home.run("log/drawing"), states.collect::<String>()));
            left.is_empty().then_some(())
        });
    }
    item.choose(&["Open Lamplighter"]);
    desktop.until_window(true);
}

#[test]
fn many_openings_leave_no_descriptor_open() {
    if !peers::may_run("many openings") {
        return;
    }
    let long = std::env::var_os("LAMPLIGHTER_LONG").is_some();
    let openings = if long { MANY_OPENINGS } else { OPENINGS };
    let home = Home::new();
    consented(&home, "");
    let desktop = Desktop::start(&home);
    desktop.panel();
    let tray = Tray::hidden(&desktop, &built());
    let item = until_icon(&desktop);
    let open_and_close = || {
        item.choose(&["Open Lamplighter"]);
        desktop.until_window(true);
        until_escape_closes(&desktop);
    };
    // What is opened once stays open.
    for _ in 0..3 {
        open_and_close();
    }
    let count = || Cost::descriptors(tray.process()).into_values().sum::<usize>();
    let before = Cost::descriptors(tray.process());
    for _ in 0..openings {
        open_and_close();
    }
    let allowed = before.values().sum::<usize>() + SPARE_DESCRIPTORS;
    until(&format!("no more than {allowed} descriptors are open; before: {before:?}"), || {
        (count() <= allowed).then_some(())
    });
}

#[test]
fn as_many_descriptors_may_be_open_as_the_system_allows() {
    if !peers::may_run("the limit of descriptors") {
        return;
    }
    let home = Home::new();
    consented(&home, "");
    let desktop = Desktop::start(&home);
    desktop.panel();
    // As many systems start programs.
    let few = home.run("few");
    let text = format!("#!/bin/sh\nulimit -S -n 256\nexec '{}' \"$@\"\n", built().display());
    write_program(&few, &text);
    let tray = Tray::hidden(&desktop, &few);
    desktop.until_item(ID);
    let limits = fs::read_to_string(format!("/proc/{}/limits", tray.process())).expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [soft, hard] = numbers.as_slice() else { panic!("{line}") };
    assert_eq!(*soft, (*hard).min(524_288), "{line}");
}

#[test]
fn the_window_fits_a_small_screen() {
    if !peers::may_run("a small screen") {
        return;
    }
    for size in [(640, 400), (300, 320)] {
        let home = Home::new();
        consented(&home, "");
        let desktop = Desktop::start_on(&home, size);
        let mut tray = Tray::start(&desktop, &built(), &[]);
        desktop.until_window(true);
        let (x, y, width, height) = until("it has its size", || desktop.window_place());
        assert!(
            x + width <= size.0 && y + height <= size.1,
            "{x},{y} {width}x{height} on {size:?}"
        );
        tray.terminate();
        assert!(tray.until_ended());
    }
}

#[test]
fn a_screen_that_goes_away_ends_the_tray_once_the_answer_in_the_air_is_home() {
    if !peers::may_run("a screen that goes away") {
        return;
    }
    let (stage, minted) = Stage::with_rig(strict());
    consented(&stage.home, "");
    stage.control.inject(Fault::Slow { ms: 3_000 }, 1);
    let mut desktop = Desktop::start(&stage.home);
    let mut tray = Tray::hidden(&desktop, &built());
    until("the token was presented", || {
        let (_, newest) = stage.control.newest_pair_of(&minted.refresh_token);
        (newest != minted.refresh_token).then_some(())
    });
    desktop.end_screen();
    tray.until_ended();
    assert!(stage.holds_live_pair("rig"), "{}", log_of(&stage.home));
    stage.nothing_was_broken();
}
