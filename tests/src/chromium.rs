//! Debian's Chromium as the default browser of a test's desktop.
//!
//! It is opened as a person's browser is, by whoever asks the desktop to open a page, and hands
//! addresses of Lamplighter's scheme on without asking, as somebody has told it who ticked
//! "always". That is said in a policy, which Chromium reads from one place of the system only: the
//! browser sees a folder of the test's there, and nobody else does. It must not touch the
//! developer's profile, default browser or policies. Where to read next: `desktop`, `webdriver`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    desktop::Desktop,
    process::{Process, until},
    webdriver::WebDriver,
};

/// As the only one in its folder.
const POLICY: &str = r#"{"AutoLaunchProtocolsFromOrigins":
[{"protocol": "dev.lamplighter", "allowed_origins": ["http://127.0.0.1", "http://localhost"]}],
"PasswordManagerEnabled": false}"#;
/// In a network namespace everybody is root, and Chromium's own sandbox wants somebody else.
const PROGRAM: &str = r#"#!/bin/sh
here="${0%/*}"
env > "$here/new" && mv "$here/new" "$here/environment"
exec unshare --mount sh -c 'mount --bind "$0/etc" /etc/chromium && exec chromium "$@"' "$here" \
    --no-sandbox --user-data-dir="$here/profile" --remote-debugging-port=0 \
    --no-first-run --no-default-browser-check --password-store=basic --disable-gpu \
    --disable-background-networking --disable-component-update --window-size=1000,700 \
    "$@" >> "$here/said" 2>&1
"#;
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(5);

/// The browser; it runs once somebody has opened a page, and ends when dropped.
#[derive(Debug)]
pub struct Chromium<'a> {
    desktop: &'a Desktop<'a>,
    folder: PathBuf,
}

impl<'a> Chromium<'a> {
    /// Makes it the browser of this desktop.
    pub fn install(desktop: &'a Desktop<'a>) -> Self {
        let folder = desktop.home().path().join("chromium");
        let policies = folder.join("etc/policies/managed");
        fs::create_dir_all(&policies).expect("a new folder");
        fs::write(policies.join("lamplighter-tests.json"), POLICY).expect("written");
        let program = folder.join("browser");
        crate::home::write_program(&program, PROGRAM);
        let exec = format!("{} %U", program.display());
        let kinds = ["x-scheme-handler/http", "x-scheme-handler/https", "text/html"];
        desktop.application("browser-of-a-test", &exec, &kinds);
        Self { desktop, folder }
    }

    /// What it shows, once somebody has opened a page.
    pub fn page(&self) -> WebDriver {
        let place = self.folder.join("profile/DevToolsActivePort");
        let port: u16 = until("somebody opens the browser", || {
            let text = fs::read_to_string(&place).ok()?;
            text.lines().next()?.parse().ok()
        });
        let mut program = self.desktop.command(Path::new("chromedriver"));
        program.arg("--port=0").stdin(Stdio::null());
        let program = Process::start(program, &self.folder.join("chromedriver.log"));
        let program = program.expect("chromedriver starts");
        let own_port = until("chromedriver listens", || {
            let said = program.said();
            said.split("successfully on port ").nth(1)?.split('.').next()?.parse().ok()
        });
        let options = json!({"debuggerAddress": format!("127.0.0.1:{port}")});
        // A page that leads out of the browser never ends loading.
        let capabilities = json!({"pageLoadStrategy": "none", "goog:chromeOptions": options});
        let page = WebDriver::begin(program, own_port, &capabilities);
        page.turn_to("a page", |page| page.url().starts_with("http"));
        page
    }

    /// A variable of the environment that it was opened with.
    pub fn variable(&self, name: &str) -> Option<String> {
        let opened = || fs::read_to_string(self.folder.join("environment")).ok();
        let variables = until("somebody opens the browser", opened);
        let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        variables.lines().find_map(value)
    }

    /// Its process, if it runs.
    fn process(&self) -> Option<Pid> {
        let lock = fs::read_link(self.folder.join("profile/SingletonLock")).ok()?;
        let id: i32 = lock.to_str()?.rsplit('-').next()?.parse().ok()?;
        let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        // The number may be another's by now.
        let ours = String::from_utf8_lossy(&command).contains(self.folder.to_str()?);
        ours.then(|| Pid::from_raw(id))?
    }
}

impl Drop for Chromium<'_> {
    fn drop(&mut self) {
        self.desktop.picture_of_a_failure();
        let deadline = Instant::now() + PATIENCE_AT_THE_END;
        let mut signal = Signal::TERM;
        while let Some(process) = self.process() {
            let _ = kill_process(process, signal);
            if Instant::now() >= deadline {
                signal = Signal::KILL;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
