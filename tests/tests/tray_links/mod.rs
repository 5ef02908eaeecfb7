//! Links of our scheme: who is handed them, and what one does that nobody waits for.
//!
//! Any page of the web can send one. Where to read next: `tray`.

use std::{fs, process::Stdio};

use lamplighter_rehearsal::{Rehearsal, Rotation};
use lamplighter_tests::{
    desktop::Desktop, home::write_program, peers, process::until, stage::Stage,
};

use super::{ID, NAME, Tray, consented, installed, is_open, labels, until_lamp, until_open};

const HANDLER: &str = "applications/lamplighter-tray-handler.desktop";

/// A server whose sign-in has ended and can't be renewed.
fn ended() -> Stage {
    let builder = Rehearsal::builder().life_seconds(3_600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    stage.sign_in(NAME, -60);
    stage.edit(NAME, |entry| {
        entry.as_object_mut().expect("an object").remove("refreshToken");
    });
    stage
}

/// Opens a link as most desktops do. What that starts goes on, and ends with the screen at the latest.
fn open_as_a_desktop(desktop: &Desktop, link: &str) {
    let mut gio = desktop.command("gio".as_ref());
    gio.args(["open", link]).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(gio.status().expect("started").success(), "nobody is handed {link}");
}

#[test]
fn a_link_that_nobody_waits_for_puts_no_sign_in_under_return() {
    if !peers::may_run("stray links") {
        return;
    }
    let stage = ended();
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    let opened = stage.home.run("opened");
    let browser = stage.home.run("browser");
    write_program(&browser, &format!("#!/bin/sh\necho \"$1\" >> '{}'\n", opened.display()));
    let exec = format!("{} %u", browser.display());
    desktop.application("browser-of-a-test", &exec, &["x-scheme-handler/http", "text/html"]);
    let _tray = Tray::start(&desktop, &["--hidden"]);
    let item = desktop.until_item(ID);
    until_lamp(&desktop, "alert");
    let stray = "dev.lamplighter:/oauth/callback?code=forged&state=forged";
    let row = format!("dev.lamplighter:/reconnect/claude-code/{NAME}");
    let mut ways = 0;
    for link in [stray, "dev.lamplighter:/reconnect/claude-code/nobody", &row] {
        // As a desktop hands it over.
        assert!(Tray::start(&desktop, &[link]).until_ended());
        ways += 1;
        if link == row {
            until_open(&desktop, true);
        } else {
            assert!(!is_open(&desktop), "{link} opens nothing");
        }
    }
    assert_eq!(ways, 3);
    until("the window has the focus", || {
        let name = desktop.tool("xdotool", &["getwindowfocus", "getwindowname"])?;
        (name.trim() == "Lamplighter" || name.trim() == "rig needs you").then_some(())
    });
    let keys = ["key", "--delay", "50", "Return", "Return", "space", "Return"];
    assert!(desktop.tool("xdotool", &keys).is_some());
    until("Escape closes it", || {
        drop(desktop.tool("xdotool", &["key", "Escape"]));
        (!is_open(&desktop)).then_some(())
    });
    // Opened by the person, Return is the way to the sign-in page.
    item.choose(&["Reconnect rig…"]);
    let all = until("the browser is opened", || {
        fs::read_to_string(&opened).ok().filter(|all| all.contains('\n'))
    });
    assert_eq!(all.lines().count(), 1, "by the person's own click alone: {all}");
}

#[test]
fn a_link_that_starts_the_tray_opens_nothing_unless_it_asks_for_a_row() {
    if !peers::may_run("links that start the tray") {
        return;
    }
    let stage = ended();
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    let mut tray = Tray::start(&desktop, &["dev.lamplighter:/x"]);
    until_lamp(&desktop, "alert");
    assert!(!is_open(&desktop), "a stray link opens the window");
    desktop.until_item(ID).choose(&["Quit"]);
    assert!(tray.until_ended());
    let row = format!("dev.lamplighter:/reconnect/claude-code/{NAME}");
    let _tray = Tray::start(&desktop, &[&row]);
    until_open(&desktop, true);
}

#[test]
fn links_and_the_start_at_login_are_written_after_a_yes_and_where_settings_are() {
    if !peers::may_run("entries with the desktop") {
        return;
    }
    let mut stage = Stage::new(Rehearsal::builder().life_seconds(3_600));
    stage.sign_in(NAME, 3_600);
    let home = &stage.home;
    let desktop = Desktop::start(home);
    desktop.panel();
    let (handler, list) = (home.data(HANDLER), home.config("mimeapps.list"));
    let login = home.config("autostart/Lamplighter.desktop");
    let program = installed(home, "my lamps, 50% \"off\" $now");
    let mut tray = Tray::start_program(&desktop, &program, &["--hidden"]);
    let item = desktop.until_item(ID);
    until("the menu asks", || {
        labels(&item).contains(&"Keep them signed in".to_owned()).then_some(())
    });
    assert!(!handler.exists() && !list.exists(), "nothing before the answer");
    item.choose(&["Keep them signed in"]);
    until("links come here", || {
        fs::read_to_string(&list).ok()?.contains("lamplighter-tray-handler.desktop").then_some(())
    });
    item.choose(&["Start at login"]);
    until("it starts at login", || login.exists().then_some(()));
    for entry in [&handler, &login] {
        let entry = entry.display().to_string();
        let told = desktop.command("desktop-file-validate".as_ref()).arg(&entry).output();
        let told = told.expect("started");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    }
    for elsewhere in [".config", ".local"] {
        assert!(!home.path().join(elsewhere).exists(), "{elsewhere} is not where settings are");
    }
    let row = format!("dev.lamplighter:/reconnect/claude-code/{NAME}");
    open_as_a_desktop(&desktop, &row);
    until_open(&desktop, true);
    until_lamp(&desktop, "lit");
    item.choose(&["Quit"]);
    assert!(tray.until_ended());
    // With nobody there a link starts the program, by the same entry.
    open_as_a_desktop(&desktop, &row);
    until_open(&desktop, true);
    desktop.until_item(ID).choose(&["Quit"]);
    until_open(&desktop, false);
}

#[test]
fn a_program_that_runs_from_where_it_was_built_leaves_no_entry_for_links() {
    if !peers::may_run("a program from where it was built") {
        return;
    }
    let mut stage = Stage::new(Rehearsal::builder().life_seconds(3_600));
    stage.sign_in(NAME, 3_600);
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    let mut tray = Tray::start(&desktop, &["--hidden"]);
    until_lamp(&desktop, "lit");
    desktop.until_item(ID).choose(&["Quit"]);
    assert!(tray.until_ended());
    assert!(!stage.home.data(HANDLER).exists() && !stage.home.config("mimeapps.list").exists());
}
