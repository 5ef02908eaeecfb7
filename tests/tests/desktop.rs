//! The desktop on which the tray is examined, examined itself: a panel with a tray, notices that are
//! shown, a keyring that is open.
//!
//! Nothing of Lamplighter runs here. Where to read next: `tests/src/desktop.rs`.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

mod desktop_lamp;

use lamplighter_tests::{
    desktop::{
        Desktop,
        notices::Notice,
        screen::{Part, SIZE},
    },
    home::Home,
    peers,
    process::until,
};
use serde_json::json;

/// The panel and the line below it.
const TOP: Part = Part { at: (0, 0), size: (SIZE.0, 40) };

#[test]
fn an_icon_is_seen_in_the_panel_read_clicked_and_chosen_from() {
    if !peers::may_run("an icon in a tray") {
        return;
    }
    let home = Home::new();
    let desktop = Desktop::start(&home);
    desktop.panel();
    assert!(desktop.items().is_empty());
    let seen = desktop_lamp::hang(&desktop);
    let item = desktop.until_item("lamp");
    assert_eq!((item.title(), item.status()), ("A lamp".to_owned(), "Active".to_owned()));
    assert_eq!(item.tooltip(), ("Lamp".to_owned(), "It is lit".to_owned()));
    let icon = item.icon().expect("a picture");
    assert_eq!((icon.width, icon.height), (32, 32));
    assert_eq!(icon.pixels, vec![[255, 255, 0, 0]; 1024]);
    let menu = item.menu();
    let labels: Vec<&str> = menu.iter().map(|entry| entry.label.as_str()).collect();
    assert_eq!(labels, ["my_server", "", "Start at login", "Pause"]);
    let (ticked, enabled) = (menu[2].ticked, menu[3].enabled);
    assert_eq!((ticked, enabled, menu[0].ticked), (Some(true), false, None));
    item.choose(&["my_server", "Reconnect…"]);
    assert!(desktop_lamp::was(&seen, "11 clicked").is_some());
    item.activate((5, 6));
    item.secondary_activate((7, 8));
    assert!(desktop_lamp::was(&seen, "activated at 5, 6").is_some());
    assert!(desktop_lamp::was(&seen, "activated otherwise at 7, 8").is_some());
    // What a person does: a click on what is red.
    let place = until("the lamp is red in the panel", || desktop.look(TOP).find([255, 0, 0]));
    desktop.click(place, 1);
    until("the click arrives", || desktop_lamp::was(&seen, &format!("activated at {}", place.0)));
}

#[test]
fn a_notice_is_heard_seen_clicked_and_closed() {
    if !peers::may_run("notices on a desktop") {
        return;
    }
    let home = Home::new();
    let desktop = Desktop::start(&home);
    desktop.notices();
    let heard = desktop.listen_for_notices();
    assert_eq!(desktop.look(Part::ALL).colours(), 1, "an empty screen");
    desktop.run(
        "notify-send",
        &["-a", "lamp", "-A", "default=Open", "-A", "reconnect=Reconnect", "Slack", "needs you"],
    );
    let notice = heard.until("the notice is taken in", |notice| notice.id.is_some());
    let words = (notice.application.as_str(), notice.summary.as_str(), notice.body.as_str());
    assert_eq!(words, ("lamp", "Slack", "needs you"));
    let actions: Vec<&str> = notice.actions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(actions, ["default", "reconnect"]);
    until("a notice is seen", || (desktop.look(Part::ALL).colours() > 1).then_some(()));
    desktop.press_on_a_notice("Reconnect");
    heard.until("the button is pressed", |notice| notice.pressed == ["reconnect"]);
    desktop.end("notify-send");
    desktop.run("notify-send", &["-a", "lamp", "-A", "default=Open", "Notion", "needs you"]);
    let notion = |notice: &Notice| notice.summary == "Notion";
    heard.until("the notice is taken in", |notice| notion(notice) && notice.id.is_some());
    until("only the second is left", || {
        (heard.all().iter().filter(|notice| !notice.closed).count() == 1).then_some(())
    });
    desktop.click_on_the_notice();
    heard.until("the click arrives", |notice| notion(notice) && notice.pressed == ["default"]);
    heard.until("it is closed", |notice| notion(notice) && notice.closed);
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
    until("the panel is seen", || (desktop.look(TOP).colours() > 1).then_some(()));
    let rest = Part { at: (0, 40), size: (SIZE.0, SIZE.1 - 40) };
    assert_eq!(desktop.look(rest).colours(), 1, "nothing but the panel");
    desktop.restart_panel();
}

/// A button that says what was typed, once it is pressed.
const FORM: &str = "data:text/html,<input id=what><button onclick=\"document.title='pressed';\
    said.textContent='it says '+what.value\">Say</button><p id=said>nothing</p>";

#[test]
fn a_window_of_webkits_is_read_typed_into_and_clicked() {
    if !peers::may_run("a window of WebKit's") {
        return;
    }
    let home = Home::new();
    let desktop = Desktop::start(&home);
    let page = desktop.small_browser();
    page.open(FORM);
    assert_eq!(page.text("#said"), "nothing");
    page.fill("#what", "lamp");
    page.click("button");
    page.until_says("#said", "it says lamp");
    assert_eq!(page.script("return document.title + arguments[0]", &[json!("!")]), "pressed!");
    // By the keyboard alone: a letter more, the tab key, and Enter on the button.
    page.script("what.focus()", &[]);
    page.press("s\u{e004}\u{e006}");
    page.until_says("#said", "it says lamps");
    assert!(page.has("#what") && !page.has("#else"));
    let file = home.run("page.png");
    page.screenshot(&file);
    assert!(std::fs::read(&file).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG")));
}
