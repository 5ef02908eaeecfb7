//! The desktop on which the tray is examined, examined itself: a panel with a tray, notices that are
//! shown, a keyring that is open.
//!
//! Nothing of Lamplighter runs here. Where to read next: `tests/src/desktop.rs`.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use lamplighter_tests::{desktop::Desktop, home::Home, peers, process::until};

/// The colours in a part of the screen, `WIDTHxHEIGHT+X+Y`.
fn colours(desktop: &Desktop, part: &str) -> usize {
    let file = desktop.home().run("screen.png");
    desktop.screenshot(&file);
    let file = file.display().to_string();
    let told = desktop.tool("convert", &[&file, "-crop", part, "-format", "%k", "info:"]);
    told.and_then(|told| told.trim().parse().ok()).expect("a number of colours")
}

#[test]
fn a_notice_is_seen_on_the_screen() {
    if !peers::may_run("notices on a desktop") {
        return;
    }
    let home = Home::new();
    let desktop = Desktop::start(&home);
    desktop.notices();
    assert_eq!(colours(&desktop, "1280x800+0+0"), 1, "an empty screen");
    assert!(desktop.tool("notify-send", &["Slack needs you", "Sign in again"]).is_some());
    until("a notice is seen", || (colours(&desktop, "1280x800+0+0") > 1).then_some(()));
}

#[test]
fn a_keyring_is_open_and_lies_in_the_tests_own_home() {
    if !peers::may_run("a keyring on a desktop") {
        return;
    }
    let home = Home::new();
    let desktop = Desktop::start(&home);
    desktop.keyring();
    let kept = home.data("keyrings/login.keyring");
    assert!(kept.exists(), "{}", kept.display());
}

#[test]
fn a_panel_is_there_again_after_it_was_ended() {
    if !peers::may_run("a panel on a desktop") {
        return;
    }
    let home = Home::new();
    let desktop = Desktop::start(&home);
    desktop.panel();
    until("the panel is seen", || (colours(&desktop, "1280x40+0+0") > 1).then_some(()));
    assert_eq!(colours(&desktop, "1280x700+0+100"), 1, "nothing but the panel");
    desktop.restart_panel();
}
