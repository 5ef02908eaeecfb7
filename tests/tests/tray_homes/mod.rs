//! Trays beside each other: the demo's, and that of a home that is set apart.
//!
//! Each is a program of its own, and what one leaves is nobody else's. Where to read next: `tray`, and
//! `homes`, which does the same with commands.

use std::{fs, path::PathBuf, process::Stdio};

use lamplighter_rehearsal::Rehearsal;
use lamplighter_tests::{
    desktop::{Desktop, tray::Item},
    home::{Home, run},
    peers,
    process::until,
    program::command,
    stage::Stage,
};

use super::{NAME, Tray, built, consented, labels, traces, until_lamp};

/// What the demo's temporary folders begin with.
const DEMO: &str = "lamplighter-demo-";

/// The demos that play in this home's folder for temporary files.
fn demos(home: &Home) -> Vec<PathBuf> {
    let found = fs::read_dir(home.path().with_file_name("tmp")).expect("a folder").flatten();
    let found = found.map(|entry| entry.path());
    found.filter(|path| path.display().to_string().contains(DEMO)).collect()
}

/// The icon of the tray whose menu has this line.
fn until_item_with<'a>(desktop: &'a Desktop, line: &str) -> Item<'a> {
    until(&format!("a menu offers {line}"), || {
        desktop.items().into_iter().find(|item| labels(item).contains(&line.to_owned()))
    })
}

#[test]
fn the_demo_beside_a_running_tray_is_its_own_and_touches_nothing() {
    if !peers::may_run("the demo beside a tray") {
        return;
    }
    let mut stage = Stage::new(Rehearsal::builder().life_seconds(3600));
    stage.sign_in(NAME, 3600);
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    let mut tray = Tray::start(&desktop, &["--hidden"]);
    until_lamp(&desktop, "lit");
    let own = until_item_with(&desktop, "Start at login");
    let settings = stage.home.config("lamplighter/settings.toml");
    let (before, set) = (traces(&stage.home), fs::read(&settings).expect("settings"));
    let page = desktop.app(&built(), &["--demo"]);
    page.until_says(".banner", "This is the demo");
    page.text("server-row[data-grant='claude-code/calendar']");
    assert!(!page.has(&format!("server-row[data-grant='claude-code/{NAME}']")));
    assert_eq!(demos(&stage.home).len(), 1);
    page.click(".way[data-page=settings]");
    let offered = page.script(
        "const all = [...document.querySelectorAll('.settings :is(button, input)')];
         const seen = all.filter((part) => part.offsetParent !== null);
         return seen.map((part) => part.textContent || part.labels[0].textContent);",
        &[],
    );
    assert_eq!(offered, serde_json::json!(["Keep this window open", "Show file", "Quit"]));
    let demo = until_item_with(&desktop, "Leave the demo");
    assert!(!labels(&demo).contains(&"Start at login".to_owned()), "{:?}", labels(&demo));
    demo.choose(&["Leave the demo"]);
    until("the demo has ended", || demos(&stage.home).is_empty().then_some(()));
    assert_eq!(traces(&stage.home), before);
    assert_eq!(fs::read(&settings).expect("settings"), set);
    assert!(tray.0.try_wait().expect("a child").is_none(), "the person's own tray still runs");
    own.choose(&["Quit"]);
    assert!(tray.until_ended());
    stage.nothing_was_broken();
}

#[test]
fn the_tray_of_a_home_that_is_set_apart_is_its_own_and_leaves_the_others_entries() {
    if !peers::may_run("a tray beside another home's") {
        return;
    }
    let home = Home::new();
    consented(&home);
    let desktop = Desktop::start(&home);
    desktop.panel();
    let _tray = Tray::start(&desktop, &["--hidden"]);
    let own = until_item_with(&desktop, "Start at login");
    own.choose(&["Start at login"]);
    let login = home.config("autostart/Lamplighter.desktop");
    until("it starts at login", || login.exists().then_some(()));
    let other = home.path().join("try");
    let mut start = desktop.command(&built());
    start.arg("--hidden").env("LAMPLIGHTER_HOME", &other);
    start.stdout(Stdio::null()).stderr(Stdio::null());
    let mut beside = Tray(start.spawn().expect("started"));
    // Its own settings are not there yet, so it asks; the other one does not.
    let item = until_item_with(&desktop, "Keep them signed in");
    assert!(beside.0.try_wait().expect("a child").is_none(), "it is not the other one's window");
    item.choose(&["Keep them signed in"]);
    until("it has a home", || other.join("lamplighter-home").exists().then_some(()));
    item.choose(&["Start at login"]);
    let entries = || -> Vec<PathBuf> {
        let found = fs::read_dir(login.parent().expect("a folder")).expect("a folder").flatten();
        found.map(|entry| entry.path()).collect()
    };
    until("it starts at login too", || (entries().len() == 2).then_some(()));
    let its = entries().into_iter().find(|entry| *entry != login).expect("its entry");
    let text = fs::read_to_string(&its).expect("readable");
    assert!(text.contains(&format!("LAMPLIGHTER_HOME={}", other.display())), "{text}");
    item.choose(&["Quit"]);
    assert!(beside.until_ended());
    let mut uninstall = command(&home, &["uninstall", "--yes"]);
    uninstall.env("LAMPLIGHTER_HOME", &other);
    run(uninstall).succeeded();
    assert!(!other.exists() && !its.exists());
    assert_eq!(entries(), [login]);
}
