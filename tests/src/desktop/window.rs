//! The tray's real window under control: what is on its page, keys, and whatever is wrong with it.
//!
//! It must not use the mouse: everything that is done here is done by keys. A page is heard from its
//! beginning, and what it complained about fails the test that looks. Where to read next:
//! `webdriver`; `tests/page`, where the same page is examined in another engine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Desktop;
use crate::{home::write_program, peers, process::until, webdriver::WebDriver};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
/// More stops than any page of ours has.
const STOPS: usize = 120;
/// How often a page that is on its way is asked; each takes a millisecond or more.
const ASKED: usize = 10_000;

/// Begins to hear what goes wrong; tells whether that was before any script of the page's own ran.
const HEAR: &str = r#"
if (window.old) {
  return "old";
}
if (window.heard === undefined) {
  window.heard = [];
  addEventListener("securitypolicyviolation", (event) => heard.push(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
  addEventListener("error", (event) => heard.push(`error: ${event.message || event.target.outerHTML}`), true);
  addEventListener("unhandledrejection", (event) => heard.push(`nobody took: ${event.reason}`));
  const tell = console.error;
  console.error = (...words) => {
    heard.push(`console: ${words.join(" ")}`);
    tell.apply(console, words);
  };
  window.heardAll = document.readyState !== "complete" && document.querySelector("lamp-page main") === null;
}
return window.heardAll;
"#;

/// Everything that is wrong with what is shown now, one line each.
const FAULTS: &str = r#"
const { violations } = await axe.run(document, { resultTypes: ["violations"] });
const told = violations.flatMap(({ id, nodes }) =>
  nodes.map((node) => `axe ${id}: ${node.target.join(" ")} ${node.any[0]?.message ?? ""}`),
);
const wide = [document.documentElement, document.querySelector("main")].filter((part) => part.scrollWidth > part.clientWidth);
return [
  ...told,
  ...wide.map((part) => `${part.localName} scrolls sideways: ${part.scrollWidth} > ${part.clientWidth}`),
  ...(document.styleSheets.length === document.querySelectorAll("link[rel=stylesheet]").length ? [] : ["a style sheet is missing"]),
  ...heard,
];
"#;

/// What has the focus, as it is read out.
const FOCUSED: &str = r#"
const element = document.activeElement;
if (!element || element === document.body) {
  return "";
}
const name = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
return name.trim().replace(/\s+/g, " ");
"#;

/// Whether the desktop prefers dark windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// It does not.
    Light,
    /// It does.
    Dark,
    /// It wants as much contrast as can be had.
    Contrast,
}

/// The window; letting it go ends the tray.
#[derive(Debug)]
pub struct Window<'a> {
    desktop: &'a Desktop<'a>,
    page: WebDriver,
    /// Where the tray's process wrote its number.
    number: PathBuf,
    axe: String,
}

impl Desktop<'_> {
    /// The tray as a person starts it, with its window open.
    pub fn window(&self, program: &Path, theme: Theme) -> Window<'_> {
        let place = self.home().run("tray");
        let number = self.home().run("tray.pid");
        let log = self.home().run("log/tray");
        let theme = match theme {
            Theme::Light => "",
            Theme::Dark => "export GTK_THEME=Adwaita:dark",
            Theme::Contrast => "export GTK_THEME=HighContrast",
        };
        // A driver throws away what is said by the program that it starts.
        write_program(
            &place,
            &format!(
                "#!/bin/sh\necho $$ > '{}'\n{theme}\nexport LAMPLIGHTER_LOG=info\n\
                 exec '{}' \"$@\" >> '{}' 2>&1\n",
                number.display(),
                program.display(),
                log.display(),
            ),
        );
        let page = self.app(&place, &[]);
        let axe = peers::installed("axe-core-4.14.1").join("axe-core/axe.min.js");
        let axe = fs::read_to_string(&axe).expect("axe");
        let window = Window { desktop: self, page, number, axe };
        window.listen();
        window
    }

    /// Whether the tray's window is on the screen.
    pub fn has_window(&self) -> bool {
        let args = ["search", "--onlyvisible", "--name", "^Lamplighter$"];
        until("the windows can be counted", || {
            let mut search = self.command(Path::new("xdotool"));
            let told = search.args(args).output().expect("xdotool starts");
            // It fails where another window goes while it counts, and says so.
            (told.status.success() || told.stderr.is_empty()).then_some(!told.stdout.is_empty())
        })
    }

    /// Where the tray's window is, and its size: from the left, from the top, width, height.
    pub fn window_place(&self) -> Option<(usize, usize, usize, usize)> {
        let args = ["search", "--onlyvisible", "--name", "^Lamplighter$", "getwindowgeometry"];
        let told = self.tool("xdotool", &[&args[..], &["--shell"]].concat())?;
        let number = |name: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix('=')?.parse().ok())
        };
        Some((number("X")?, number("Y")?, number("WIDTH")?, number("HEIGHT")?))
    }

    /// Waits until it is, or is not.
    pub fn until_window(&self, open: bool) {
        until(&format!("the window's being open is {open}"), || {
            (self.has_window() == open).then_some(())
        });
    }
}

impl Window<'_> {
    /// The page, for whatever else is to be seen on it.
    pub fn page(&self) -> &WebDriver {
        &self.page
    }

    /// The tray's process.
    pub fn process(&self) -> u32 {
        let number = fs::read_to_string(&self.number).expect("its number");
        number.trim().parse().expect("a number")
    }

    /// Loads the page again until it is heard from its very beginning, and waits for its first view.
    fn listen(&self) {
        self.page.turn_to("the window", |_| true);
        self.until_shown();
        self.page.until("the page is heard from its beginning", || {
            self.page.script("window.old = true; location.reload()", &[]);
            // Without a pause: a page's beginning is short.
            let told = (0..ASKED).find_map(|_| {
                let told = self.page.try_script(HEAR).ok()?;
                (told != "old").then_some(told)
            });
            self.until_shown();
            if told == Some(json!(true)) { Ok(()) } else { Err("it had begun".to_owned()) }
        });
        self.page.script(&format!("{}; return typeof window.axe", self.axe), &[]);
    }

    fn until_shown(&self) {
        self.page.text("[data-state=shown] header h1");
    }

    /// After it was closed and opened again, by whatever means.
    pub fn come_back(&self) {
        self.listen();
    }

    /// Ends the test if anything is wrong with what is shown.
    pub fn is_clean(&self, state: &str) {
        let faults = format!("return (async () => {{ {FAULTS} }})()");
        let told = self.page.script(&faults, &[]);
        assert_eq!(told, json!([]), "{state}: {}", self.words());
    }

    /// Everything to be read on the page.
    pub fn words(&self) -> String {
        self.page.text("lamp-page")
    }

    /// Waits until the one sentence is this.
    pub fn until_sentence(&self, words: &str) {
        self.page.until_says("header h1", words);
    }

    /// Waits until a server's row has this health.
    pub fn until_health(&self, server: &str, health: &str) {
        let row = format!("server-row[data-grant='claude-code/{server}']");
        self.page.text(&format!("{row}[data-health={health}]"));
    }

    /// What has the focus, as it is read out.
    pub fn focused(&self) -> String {
        self.page.script(FOCUSED, &[]).as_str().unwrap_or_default().to_owned()
    }

    /// Presses the tab key until what is called so has the focus.
    pub fn tab_to(&self, name: &str) {
        let mut met = Vec::new();
        for _ in 0..STOPS {
            let focused = self.focused();
            if focused == name {
                return;
            }
            met.push(focused);
            self.page.press(TAB);
        }
        met.dedup();
        panic!("no way to {name:?} by the tab key: {met:?}");
    }

    /// Goes there by the tab key, and presses Enter.
    pub fn press(&self, name: &str) {
        self.tab_to(name);
        self.page.press(ENTER);
    }

    /// Goes there by the tab key, and presses Enter, with which the program ends.
    pub fn press_last(&self, name: &str) {
        self.tab_to(name);
        self.page.press_away(ENTER);
    }

    /// Presses Enter where the focus is.
    pub fn enter(&self) {
        self.page.press(ENTER);
    }

    /// Presses Escape.
    pub fn escape(&self) {
        self.page.press(ESCAPE);
    }

    /// Presses Escape, with which the window goes.
    pub fn close(&self) {
        self.page.press_away(ESCAPE);
        self.desktop.until_window(false);
    }

    /// How often since the last call nothing had the focus, or something else than before.
    pub fn watch_focus(&self) -> Value {
        self.page.script(
            "const told = window.lost ?? 0; \
             if (window.lost === undefined) { addEventListener('focusout', () => (window.lost += 1)); } \
             window.lost = 0; return told",
            &[],
        )
    }
}

/// The tray as a login starts it, not under control; ended when dropped.
#[derive(Debug)]
pub struct Tray(Child);

impl Tray {
    /// Starts it with its icon alone.
    pub fn hidden(desktop: &Desktop, program: &Path) -> Self {
        Self::start(desktop, program, &["--hidden"])
    }

    /// Starts it with these arguments; what it says is in `log/tray`.
    pub fn start(desktop: &Desktop, program: &Path, args: &[&str]) -> Self {
        let log = fs::File::create(desktop.home().run("log/tray")).expect("a new file");
        let mut command = desktop.command(program);
        command.args(args).env("LAMPLIGHTER_LOG", "info").stdout(Stdio::null()).stderr(log);
        Self(command.spawn().expect("started"))
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end, as the system does.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it runs");
    }

    /// Waits until it has ended by itself; whether it did so in peace.
    pub fn until_ended(&mut self) -> bool {
        until("the tray has ended", || self.0.try_wait().expect("a child")).success()
    }
}

impl Drop for Tray {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
