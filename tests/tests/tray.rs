//! The tray on a real desktop: a panel that shows its icon, a daemon that shows its notices, a
//! browser that it opens, and its window.
//!
//! Each test has a home, a bus and a screen of its own. What the page does is in `tests/page`; the
//! desktop itself is examined in `desktop`. Where to read next: `tests/src/desktop.rs`.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

mod tray_homes;
mod tray_links;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Fault, Rehearsal, Rotation};
use lamplighter_tests::{
    browser::{led_by, visit},
    chromium::Chromium,
    claude::Claude,
    desktop::{Desktop, tray::Item},
    home::{Home, write_program},
    keeper::Keeper,
    logind::Logind,
    model_api::ModelApi,
    oidc::{Choices, OidcProvider},
    peers,
    process::until,
    program::lamplighter,
    sign_in::SignIn,
    stage::Stage,
    store,
    webdriver::WebDriver,
};
use serde_json::json;

const NAME: &str = "rig";
const ID: &str = "lamplighter";
/// The client whose sign-in it is, and how it names the one tool there is.
const CLAUDE_CODE: &str = "2.1.330";
const ECHO: &str = "mcp__rig__echo";
/// So short that a dead sign-in is told of at once: its end is near.
const LIFE: u32 = 1_200;

/// The tray as a login starts it; ended when dropped.
struct Tray(Child);

impl Tray {
    fn start(desktop: &Desktop, args: &[&str]) -> Self {
        Self::start_program(desktop, &built(), args)
    }

    /// The same for a copy that lies elsewhere. Links are only handed to one that does not run from where
    /// it was built.
    fn start_program(desktop: &Desktop, program: &Path, args: &[&str]) -> Self {
        let log = fs::File::create(desktop.home().run("log/tray")).expect("a new file");
        let mut command = desktop.command(program);
        command.args(args).env("LAMPLIGHTER_LOG", "info");
        Self(command.stdout(Stdio::null()).stderr(log).spawn().expect("started"))
    }

    /// Waits until it has ended by itself.
    fn until_ended(&mut self) -> bool {
        until("the tray has ended", || self.0.try_wait().expect("a child")).success()
    }
}

impl Drop for Tray {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn built() -> PathBuf {
    std::env::var_os("LAMPLIGHTER_TRAY_BIN").expect("set by xtask").into()
}

/// The program in a folder of this name, as an installer puts it there.
fn installed(home: &Home, folder: &str) -> PathBuf {
    let folder = home.path().join(folder);
    fs::create_dir_all(&folder).expect("a folder");
    let program = folder.join("lamplighter-tray");
    // On another disk it must be a copy.
    if !program.exists() && fs::hard_link(built(), &program).is_err() {
        fs::copy(built(), &program).expect("copied");
    }
    program
}

/// The one question is answered already.
fn consented(home: &Home) {
    let folder = home.config("lamplighter");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("settings.toml"), "consent = \"keep\"\n").expect("written");
}

/// Waits until the lamp has this shape, told by what its picture shows and by nothing else.
fn until_lamp(desktop: &Desktop, shape: &str) {
    let drawn = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../icons/tray/{shape}-any.png"))
        .display()
        .to_string();
    let file = desktop.home().run(&format!("{shape}.gray"));
    let to = format!("gray:{}", file.display());
    let args = [drawn.as_str(), "-alpha", "extract", "-depth", "8", to.as_str()];
    assert!(desktop.tool("convert", &args).is_some(), "{drawn} can't be read");
    let drawn = fs::read(&file).expect("a drawing");
    let item = desktop.until_item(ID);
    until(&format!("the lamp is {shape}"), || {
        let icon = item.icon()?;
        let seen: Vec<u8> = icon.pixels.iter().map(|[alpha, ..]| *alpha).collect();
        (seen == drawn).then_some(())
    });
}

/// Whether the tray's window is on the screen.
fn is_open(desktop: &Desktop) -> bool {
    desktop.has_window()
}

fn until_open(desktop: &Desktop, open: bool) {
    until(&format!("the window's being open is {open}"), || {
        (is_open(desktop) == open).then_some(())
    });
}

fn labels(item: &Item) -> Vec<String> {
    item.menu().into_iter().map(|entry| entry.label).collect()
}

/// As a person: a name and any password, then yes.
fn consent(page: &WebDriver) {
    page.until_says("h1", "Sign-in");
    page.fill("input[name=login]", "lamp");
    page.fill("input[name=password]", "anything");
    page.click("button[type=submit]");
    page.until_says("h1", "Authorize");
    page.click("button[type=submit]");
}

/// A home whose sign-in the server has ended, and a tray that may act.
struct Dead {
    home: Home,
    provider: OidcProvider,
    sign_in: SignIn,
}

impl Dead {
    fn new() -> Self {
        let provider =
            OidcProvider::start(Choices { asks: true, life_seconds: LIFE, ..Choices::default() });
        let home = Home::new();
        let sign_in = provider.sign_in();
        sign_in.write(&home, NAME);
        provider.forget(&sign_in.client_id);
        consented(&home);
        let ran = lamplighter(&home, &["renew", NAME]);
        assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
        Self { home, provider, sign_in }
    }

    fn until_signed_in(&self) {
        until("the store holds new tokens", || {
            self.provider.is_live(&self.sign_in.stored(&self.home, NAME)).then_some(())
        });
        let entry = store::entry(&self.home, &self.sign_in.key(NAME));
        let redirect = entry["redirectUri"].as_str().unwrap_or_default();
        assert!(redirect.starts_with("http://localhost:"), "{redirect}");
    }

    /// What it is all for: a session of the real Claude Code that starts now calls the tool.
    fn a_new_session_calls_the_tool(&self) {
        let model = ModelApi::start();
        let claude = Claude::new(CLAUDE_CODE, &self.home, &model);
        claude.add_server(NAME, &self.sign_in.server_url);
        let held = self.sign_in.stored(&self.home, NAME);
        let mut session = claude.session(ECHO);
        let turn = session.call(ECHO, &json!({"text": "a light"}));
        assert_eq!(turn.answer, "The tool said: a light", "{turn:?}");
        session.end();
        assert_eq!(self.sign_in.stored(&self.home, NAME), held, "with the tray's tokens");
        assert_eq!(model.strange(), Vec::<String>::new());
    }
}

#[test]
fn nothing_is_written_or_sent_before_the_one_question_is_answered() {
    if !peers::may_run("the tray's first run") {
        return;
    }
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    let minted = stage.sign_in(NAME, -60);
    let before = fs::read(stage.home.claude(".credentials.json")).expect("a store");
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    let _tray = Tray::start(&desktop, &["--hidden"]);
    let item = desktop.until_item(ID);
    until("the menu asks", || {
        labels(&item).contains(&"Keep them signed in".to_owned()).then_some(())
    });
    item.activate((40, 10));
    until_open(&desktop, true);
    assert_eq!(fs::read(stage.home.claude(".credentials.json")).expect("a store"), before);
    assert!(stage.refreshes().is_empty(), "nothing was sent");
    assert!(!stage.home.config("lamplighter").exists(), "nothing was written");
    item.choose(&["Keep them signed in"]);
    until("it is renewed", || {
        (stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token)
            .then_some(())
    });
    until_lamp(&desktop, "lit");
    stage.nothing_was_broken();
}

#[test]
fn a_left_click_opens_the_window_and_a_second_start_brings_it_back() {
    if !peers::may_run("the tray's window") {
        return;
    }
    let home = Home::new();
    consented(&home);
    let desktop = Desktop::start(&home);
    desktop.panel();
    let mut tray = Tray::start(&desktop, &["--hidden"]);
    until_lamp(&desktop, "hollow");
    let item = desktop.until_item(ID);
    assert!(!is_open(&desktop), "hidden means hidden");
    item.activate((40, 10));
    until_open(&desktop, true);
    until("Esc closes it", || {
        // It takes the focus a moment after it is seen.
        drop(desktop.tool("xdotool", &["key", "Escape"]));
        (!is_open(&desktop)).then_some(())
    });
    let mut second = Tray::start(&desktop, &[]);
    assert!(second.until_ended());
    until_open(&desktop, true);
    // A panel that was ended and comes back gets the icon again.
    desktop.restart_panel();
    desktop.until_item(ID).choose(&["Quit"]);
    assert!(tray.until_ended());
}

#[test]
fn without_a_panel_it_waits_and_without_a_display_it_says_what_helps() {
    if !peers::may_run("the tray without a panel") {
        return;
    }
    let home = Home::new();
    consented(&home);
    let desktop = Desktop::start(&home);
    let _tray = Tray::start(&desktop, &["--hidden"]);
    let log = home.run("log/tray");
    until("it says that it waits", || {
        fs::read_to_string(&log).ok()?.contains("waiting for one").then_some(())
    });
    desktop.panel();
    desktop.until_item(ID);
    let mut blind = home.command(&built());
    let told = blind.env_remove("DISPLAY").output().expect("started");
    assert_eq!(told.status.code(), Some(1));
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(said.contains("lamplighter keep"), "{said}");
}

#[test]
fn a_dead_sign_in_is_one_notice_one_click_and_a_consent_that_comes_back_by_the_scheme() {
    if !peers::may_run("the whole story by the scheme") {
        return;
    }
    let dead = Dead::new();
    let desktop = Desktop::start(&dead.home);
    desktop.panel();
    desktop.notices();
    let notices = desktop.listen_for_notices();
    let chromium = Chromium::install(&desktop);
    let _tray = Tray::start_program(&desktop, &installed(&dead.home, "bin"), &["--hidden"]);
    let notice = notices.until("a notice comes", |notice| notice.summary == "rig needs you");
    assert!(notice.body.contains("Claude Code"), "{}", notice.body);
    until_lamp(&desktop, "alert");
    desktop.press_on_a_notice("Sign in");
    let page = chromium.page();
    // The tray has set something for its own window, which is nobody else's.
    assert!(chromium.variable("HOME").is_some());
    for ours in ["WEBKIT_DISABLE_DMABUF_RENDERER", "LAMPLIGHTER_SET_FOR_ITSELF"] {
        assert_eq!(chromium.variable(ours), None, "{ours}");
    }
    until_lamp(&desktop, "half");
    consent(&page);
    dead.until_signed_in();
    until_lamp(&desktop, "lit");
    until_open(&desktop, true);
    dead.a_new_session_calls_the_tool();
    // It went out of the browser, and to no page of ours.
    assert!(page.url().starts_with(dead.provider.issuer()), "{}", page.url());
    assert_eq!(notices.all().len(), 1, "{:?}", notices.all());
}

#[test]
fn where_nobody_serves_the_scheme_the_menus_reconnect_comes_back_by_loopback() {
    if !peers::may_run("the whole story by loopback") {
        return;
    }
    let dead = Dead::new();
    let desktop = Desktop::start(&dead.home);
    desktop.panel();
    desktop.notices();
    let notices = desktop.listen_for_notices();
    let chromium = Chromium::install(&desktop);
    let _tray = Tray::start(&desktop, &["--hidden"]);
    until_lamp(&desktop, "alert");
    desktop.until_item(ID).choose(&["Reconnect rig…"]);
    let page = chromium.page();
    consent(&page);
    page.until_says("h1", "Signed in to rig");
    dead.until_signed_in();
    until_lamp(&desktop, "lit");
    // Whoever looks at the browser is told once, and the window stays away.
    let told = notices.until("success is told", |notice| notice.summary.starts_with("Signed in"));
    assert!(told.body.ends_with("/mcp reconnect rig"), "{}", told.body);
    assert!(!is_open(&desktop));
    dead.a_new_session_calls_the_tool();
    let log = fs::read_to_string(dead.home.run("log/tray")).expect("a log");
    let (access, refresh) = dead.sign_in.stored(&dead.home, NAME);
    for secret in [access, refresh, "state=".to_owned(), "code=".to_owned()] {
        assert!(!log.contains(&secret), "the log holds a secret");
    }
}

#[test]
fn who_ends_the_tray_while_a_renewal_is_on_its_way_gets_its_tokens_home_first() {
    for by_menu in [false, true] {
        let builder = Rehearsal::builder().life_seconds(3_600).rotation(Rotation::Strict);
        let (stage, minted) = Stage::with_rig(builder);
        consented(&stage.home);
        stage.control.inject(Fault::Slow { ms: 8_000 }, 1);
        let desktop = Desktop::start(&stage.home);
        if by_menu {
            desktop.panel();
        }
        let mut tray = Tray::start(&desktop, &["--hidden"]);
        let item = by_menu.then(|| desktop.until_item(ID));
        until("the token was presented", || {
            let newest = stage.control.newest_pair_of(&minted.refresh_token).1;
            (newest != minted.refresh_token).then_some(())
        });
        assert_eq!(stage.pair(NAME).1, minted.refresh_token, "the answer is still on its way");
        if let Some(item) = item {
            item.choose(&["Quit"]);
        } else {
            let id = tray.0.id().to_string();
            let killed = Command::new("kill").args(["-TERM", &id]).status();
            assert!(killed.is_ok_and(|status| status.success()));
        }
        assert!(tray.until_ended(), "it ends by itself");
        assert!(stage.holds_live_pair(NAME), "by the menu: {by_menu}");
        stage.nothing_was_broken();
    }
}

#[test]
fn open_brings_up_the_window_of_a_tray_that_runs_and_starts_one_where_none_does() {
    if !peers::may_run("lamplighter open") {
        return;
    }
    let home = Home::new();
    consented(&home);
    let desktop = Desktop::start(&home);
    desktop.panel();
    let mut tray = Tray::start(&desktop, &["--hidden"]);
    let item = desktop.until_item(ID);
    until("it can be reached", || home.run("lamplighter/keeper.sock").exists().then_some(()));
    // From a terminal that knows no display.
    until("the tray has joined its keeper", || {
        (lamplighter(&home, &["open"]).code == Some(0)).then_some(())
    });
    until_open(&desktop, true);
    item.choose(&["Quit"]);
    assert!(tray.until_ended());
    until_open(&desktop, false);
    let program = std::env::var_os("LAMPLIGHTER_BIN").expect("set by xtask");
    let mut open = desktop.command(Path::new(&program));
    let path = std::env::join_paths(
        built()
            .parent()
            .map(Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    open.arg("open").env("PATH", path.expect("a path"));
    assert!(open.status().expect("started").success());
    until_open(&desktop, true);
    desktop.until_item(ID).choose(&["Quit"]);
    until_open(&desktop, false);
}

#[test]
fn what_a_button_copies_can_be_pasted_elsewhere_also_when_the_window_is_gone() {
    if !peers::may_run("the clipboard") {
        return;
    }
    let mut stage = Stage::new(Rehearsal::builder().life_seconds(3600));
    stage.sign_in(NAME, 3600);
    consented(&stage.home);
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    // Not under control, which may do more than a person's window may: by keys alone.
    let _tray = Tray::start(&desktop, &["--hidden"]);
    until_lamp(&desktop, "lit");
    let item = desktop.until_item(ID);
    let row = labels(&item).into_iter().find(|label| label.starts_with("rig ·"));
    item.choose(&[&row.expect("its row"), "Show"]);
    until_open(&desktop, true);
    until("the window has the focus", || {
        let id = desktop.tool("xdotool", &["getwindowfocus", "getwindowname"])?;
        (id.trim() == "rig is signed in" || id.trim() == "Lamplighter").then_some(())
    });
    // From the row to the last of its buttons: renew, check, reconnect, pause, sign out, copy.
    let keys = ["key", "--delay", "50", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Return"];
    assert!(desktop.tool("xdotool", &keys).is_some());
    until("Esc closes it", || {
        drop(desktop.tool("xdotool", &["key", "Escape"]));
        (!is_open(&desktop)).then_some(())
    });
    let elsewhere = desktop.small_browser();
    elsewhere.open("data:text/html,<title>paste</title><textarea id=there></textarea>");
    elsewhere.click("#there");
    until("it is pasted", || {
        drop(desktop.tool("xdotool", &["key", "ctrl+v"]));
        let pasted = elsewhere.script("return there.value", &[]);
        let pasted = pasted.as_str().unwrap_or_default();
        pasted.contains("server: rig at 127.0.0.1").then_some(())
    });
}

#[test]
fn beside_a_keeper_the_tray_is_its_window_and_takes_over_when_it_ends() {
    if !peers::may_run("the tray beside a keeper") {
        return;
    }
    let mut stage = Stage::new(Rehearsal::builder().life_seconds(24).rotation(Rotation::Strict));
    stage.sign_in(NAME, 24);
    consented(&stage.home);
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    let mut tray = Tray::start(&desktop, &["--hidden"]);
    until_lamp(&desktop, "lit");
    let lock = stage.home.path().with_file_name("state").join("lamplighter/engine.lock");
    let holder = || fs::read_to_string(&lock).unwrap_or_default();
    assert!(holder().starts_with(&format!("{} ", keeper.id())), "{}", holder());
    let item = desktop.until_item(ID);
    let before = keeper.events("renewed").len();
    let row = until("its row is there", || {
        labels(&item).into_iter().find(|label| label.starts_with("rig ·"))
    });
    item.choose(&[&row, "Renew now"]);
    keeper.until("the keeper does it", |keeper| keeper.events("renewed").len() > before);
    assert_eq!(keeper.terminate(), Some(0));
    let (_, last) = stage.pair(NAME);
    until("the tray renews by itself", || (stage.pair(NAME).1 != last).then_some(()));
    assert!(holder().starts_with(&format!("{} ", tray.0.id())), "{}", holder());
    until_lamp(&desktop, "lit");
    // Without a session bus there is no icon; what it keeps is kept all the same.
    desktop.bus().end();
    let (_, last) = stage.pair(NAME);
    until("it renews without a bus", || (stage.pair(NAME).1 != last).then_some(()));
    assert!(tray.0.try_wait().expect("a child").is_none(), "it still runs");
    let log = fs::read_to_string(stage.home.run("log/tray")).expect("a log");
    assert!(!log.contains("panicked"), "{log}");
    stage.nothing_was_broken();
}

#[test]
fn neither_a_stray_callback_nor_a_changed_setting_ends_a_sign_in_that_waits() {
    if !peers::may_run("a sign-in that waits") {
        return;
    }
    for consent in ["keep", "watch"] {
        let builder = Rehearsal::builder().life_seconds(3_600).rotation(Rotation::Strict);
        let mut stage = Stage::new(builder);
        stage.sign_in(NAME, 3_600);
        let held = stage.pair(NAME);
        let folder = stage.home.config("lamplighter");
        let settings = folder.join("settings.toml");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(&settings, format!("consent = \"{consent}\"\n")).expect("written");
        let desktop = Desktop::start(&stage.home);
        desktop.panel();
        let page = stage.home.run("page");
        let browser = stage.home.run("browser");
        write_program(&browser, &format!("#!/bin/sh\nprintf %s \"$1\" > '{}'\n", page.display()));
        desktop.application(
            "browser-of-a-test",
            &format!("{} %U", browser.display()),
            &["x-scheme-handler/http", "text/html"],
        );
        let _tray = Tray::start(&desktop, &["--hidden"]);
        until_lamp(&desktop, "lit");
        let item = desktop.until_item(ID);
        let row =
            labels(&item).into_iter().find(|label| label.starts_with("rig ·")).expect("a row");
        item.choose(&[&row, "Reconnect…"]);
        let url = until("the browser is opened", || {
            fs::read_to_string(&page).ok().filter(|url| url.starts_with("http"))
        });
        until_lamp(&desktop, "half");
        let back = visit(&led_by(&url)).location.expect("a way back");
        let (place, _) = back.split_once('?').expect("a query");
        assert_ne!(visit(&format!("{place}?code=forged&state=forged")).status, 0);
        fs::write(&settings, format!("consent = \"{consent}\"\nkeyring = \"off\"\n"))
            .expect("written");
        let log = stage.home.run("log/tray");
        until("the tray sees it", || {
            fs::read_to_string(&log).ok()?.contains("the settings were changed").then_some(())
        });
        visit(&back);
        until("the store holds new tokens", || (stage.pair(NAME) != held).then_some(()));
        until_lamp(&desktop, "lit");
        assert!(stage.holds_live_pair(NAME), "{consent}");
        // Where nobody keeps, the tray has the last look itself.
        let journal = stage.home.path().with_file_name("state").join("lamplighter/journal");
        assert!(journal.exists(), "{consent}");
        let deadline = Instant::now() + Duration::from_secs(120);
        while consent == "watch" && journal.exists() {
            assert!(Instant::now() < deadline, "the journal still holds the tokens");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

#[test]
fn a_notice_waits_for_the_unlock_and_comes_once_more_at_the_next_if_it_was_closed_unread() {
    if !peers::may_run("notices and locks") {
        return;
    }
    let dead = Dead::new();
    let logind = Logind::start(&dead.home).expect("a system bus");
    logind.lock(true);
    let desktop = Desktop::start(&dead.home);
    desktop.panel();
    desktop.notices();
    let notices = desktop.listen_for_notices();
    let _tray = Tray::start(&desktop, &["--hidden"]);
    logind.until_seen();
    until_lamp(&desktop, "alert");
    // A change that is told of at once where somebody is there.
    logind.idle(true);
    logind.until_seen();
    assert_eq!(notices.all(), [], "nobody is there");
    logind.lock(false);
    logind.until_seen();
    assert_eq!(notices.all(), [], "nobody touches anything");
    logind.idle(false);
    let first = notices.until("it comes", |notice| notice.id.is_some());
    assert_eq!(first.summary, "rig needs you");
    desktop.close_notice(first.id.expect("taken in"));
    notices.until("it is closed", |notice| notice.closed);
    logind.lock(true);
    logind.until_seen();
    assert_eq!(notices.all().len(), 1);
    logind.lock(false);
    let second = until("it comes again", || notices.all().into_iter().nth(1));
    assert_eq!(second.summary, "rig needs you");
    // Left standing it is not said a third time.
    logind.lock(true);
    logind.until_seen();
    logind.lock(false);
    logind.until_seen();
    assert_eq!(notices.all().len(), 2);
}

#[test]
fn settings_that_cannot_be_read_are_told_of_once_left_alone_and_heard_when_they_are_mended() {
    if !peers::may_run("damaged settings") {
        return;
    }
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, minted) = Stage::with_rig(builder);
    let home = &stage.home;
    consented(home);
    let file = home.config("lamplighter/settings.toml");
    let typo = "consent = \"keep\"\non_change = \"notify xoxb-hush\"\n";
    fs::write(&file, typo).expect("written");
    let desktop = Desktop::start(home);
    desktop.panel();
    desktop.notices();
    let notices = desktop.listen_for_notices();
    let _tray = Tray::start(&desktop, &["--hidden"]);
    let told = notices.until("it is told", |notice| notice.id.is_some());
    assert_eq!(told.summary, "Lamplighter's settings can't be read");
    assert!(told.body.contains("line 2"), "{}", told.body);
    let item = desktop.until_item(ID);
    until("its row is there", || {
        labels(&item).iter().any(|label| label.starts_with("rig ·")).then_some(())
    });
    assert!(!labels(&item).contains(&"Only watch".to_owned()), "it does not ask again");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), typo);
    assert!(stage.refreshes().is_empty(), "nothing is done on guesses");
    assert_eq!(stage.pair(NAME).1, minted.refresh_token);
    consented(home);
    until("it is renewed", || stage.holds_live_pair(NAME).then_some(()));
    until_lamp(&desktop, "lit");
    assert_eq!(notices.all().len(), 1);
    let log = fs::read_to_string(home.run("log/tray")).expect("a log");
    assert!(log.contains("line 2") && !log.contains("hush"), "{log}");
    stage.nothing_was_broken();
}

/// A tray that serves links and starts at login has run here, and has ended.
fn settle_in(desktop: &Desktop) {
    let home = desktop.home();
    consented(home);
    let mut tray = Tray::start_program(desktop, &installed(home, "bin"), &["--hidden"]);
    // From here on the menu stays as it is.
    until_lamp(desktop, "lit");
    let item = desktop.until_item(ID);
    item.choose(&["Start at login"]);
    let login = home.config("autostart/Lamplighter.desktop");
    until("it starts at login", || login.exists().then_some(()));
    let handler = home.data("applications/lamplighter-tray-handler.desktop");
    let handler = fs::read_to_string(handler).expect("an entry for links");
    // A browser shows this name when it asks.
    assert!(handler.lines().any(|line| line == "Name=Lamplighter"), "{handler}");
    let list = fs::read_to_string(home.config("mimeapps.list")).expect("a list");
    assert!(list.contains("x-scheme-handler/dev.lamplighter=lamplighter-tray-handler"), "{list}");
    item.choose(&["Quit"]);
    assert!(tray.until_ended());
}

/// Everything below these folders that has our name or holds it.
fn traces(home: &Home) -> Vec<PathBuf> {
    // What was installed is the installer's.
    drop(fs::remove_dir_all(home.path().join("bin")));
    let mut found = Vec::new();
    let mut folders = ["home", "config", "data", "state", "cache"]
        .map(|f| home.path().with_file_name(f))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let named = entry.file_name().to_string_lossy().to_lowercase().contains("lamplighter");
            let holds = fs::read_to_string(entry.path()).is_ok_and(|t| t.contains("lamplighter"));
            if named || holds {
                found.push(entry.path());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn command_and_page_both_remove_all_that_the_tray_left() {
    if !peers::may_run("removing Lamplighter") {
        return;
    }
    let mut stage = Stage::new(Rehearsal::builder().life_seconds(3600));
    let minted = stage.sign_in(NAME, 3600);
    let desktop = Desktop::start(&stage.home);
    desktop.panel();
    settle_in(&desktop);
    stage.run(&["uninstall", "--yes"]).succeeded();
    assert_eq!(traces(&stage.home), Vec::<PathBuf>::new());
    settle_in(&desktop);
    let page = desktop.app(&built(), &[]);
    page.click(".way[data-page=settings]");
    page.click(".settings .buttons button.quiet");
    page.click(".settings .sure button:last-child");
    until("all of it is gone", || {
        let left = traces(&stage.home);
        // Shown if this is in vain.
        drop(fs::write(stage.home.run("log/left"), format!("{left:#?}")));
        left.is_empty().then_some(())
    });
    assert_eq!(stage.pair(NAME), (minted.access_token, minted.refresh_token));
    assert!(stage.holds_live_pair(NAME), "the client is still signed in");
}
