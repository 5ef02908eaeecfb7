//! Opens a page in the person's browser, and tells whether anybody takes our scheme.
//!
//! It must never go through a shell, never open anything but a web page, and never repeat the URL in
//! words: it carries the state of a sign-in. Nothing is opened unasked; who calls this was asked.

use std::{process::Stdio, time::Duration};

use lamplighter_core::secret::Secret;
use tokio::process::Command;
use url::{Host, Url};

use crate::paths::Env;

/// How long an opener may take to say that it can't; one that runs on has a browser in front of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Our scheme, for which a desktop may know a handler.
const SCHEME: &str = "x-scheme-handler/dev.lamplighter";

/// Why no browser was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrowserFault {
    /// The address is not one of a web page that may be opened.
    #[error("only https pages are opened, and http pages of this machine")]
    Refused,
    /// Nobody sits in front of this session.
    #[error("there is no desktop here that a browser could open on")]
    NoDesktop,
    /// The system's way to open a page is not there.
    #[error("no browser can be opened here: {0} is not installed")]
    NoOpener(&'static str),
    /// The system's way to open a page failed.
    #[error("{opener} could not open a browser: {what}")]
    Failed {
        /// The program.
        opener: &'static str,
        /// What it ended with.
        what: String,
    },
}

/// Opens a page: https, or http on this machine. `env` is what the opener gets, and where it is found.
///
/// Returns once the opener has ended or has run for two seconds; the browser is not waited for.
/// Must be called within a tokio runtime.
pub async fn open(env: &Env, url: &Secret) -> Result<(), BrowserFault> {
    let page = page(url).ok_or(BrowserFault::Refused)?;
    launch(env, &page, PATIENCE).await
}

/// Whether a program on this desktop takes `dev.lamplighter:` addresses. Elsewhere than on Linux
/// that is not known and so denied.
pub async fn scheme_served(env: &Env) -> bool {
    if !cfg!(target_os = "linux") {
        return false;
    }
    let mut ask = program(env, "xdg-mime");
    ask.args(["query", "default", SCHEME]).stdout(Stdio::piped()).kill_on_drop(true);
    let answer = tokio::time::timeout(PATIENCE, ask.output()).await;
    answer.is_ok_and(|answer| {
        answer.is_ok_and(|said| said.status.success() && !said.stdout.trim_ascii().is_empty())
    })
}

/// The address in its normal form, which starts with its scheme and holds neither spaces nor control
/// characters; `None`: it is not one to open.
fn page(url: &Secret) -> Option<Url> {
    let url = Url::parse(url.expose()).ok()?;
    let is_here = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let opens = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    opens.then_some(url)
}

#[cfg(not(windows))]
async fn launch(env: &Env, page: &Url, patience: Duration) -> Result<(), BrowserFault> {
    const OPENER: &str = if cfg!(target_os = "macos") { "/usr/bin/open" } else { "xdg-open" };
    // Without one `xdg-open` starts a browser for terminals, which nobody would see.
    let seats = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"];
    if !cfg!(target_os = "macos") && seats.iter().all(|seat| env.get(seat).is_none()) {
        return Err(BrowserFault::NoDesktop);
    }
    let failed = |what: String| BrowserFault::Failed { opener: OPENER, what };
    let mut opener = program(env, OPENER);
    // A group of its own: Ctrl-C in our terminal is not meant for a browser that was started so.
    opener.arg(page.as_str()).stdout(Stdio::null()).process_group(0);
    let mut running = opener.spawn().map_err(|error| {
        let is_there = error.kind() != std::io::ErrorKind::NotFound;
        if is_there { failed(error.to_string()) } else { BrowserFault::NoOpener(OPENER) }
    })?;
    match tokio::time::timeout(patience, running.wait()).await {
        // It runs on; the runtime waits for its end.
        Err(_) => Ok(()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(words(status.code()))),
        Ok(Err(error)) => Err(failed(error.to_string())),
    }
}

#[cfg(windows)]
async fn launch(_: &Env, page: &Url, _: Duration) -> Result<(), BrowserFault> {
    const OPENER: &str = "Windows";
    // ShellExecute itself: command lines that lead there cut long addresses.
    let page = Secret::new(page.as_str());
    let opened = tokio::task::spawn_blocking(move || ::open::that_detached(page.expose())).await;
    let failed = |what: String| BrowserFault::Failed { opener: OPENER, what };
    opened
        .map_err(|_| failed("it broke off".into()))?
        // Its own words may hold the address.
        .map_err(|error| failed(error.kind().to_string()))
}

fn program(env: &Env, name: &str) -> Command {
    let mut command = std::process::Command::new(name);
    env.dress(&mut command);
    let mut command = Command::from(command);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// What `xdg-open` means by its exit code (its manual page).
#[cfg(not(windows))]
fn words(code: Option<i32>) -> String {
    match code {
        Some(3) => "no browser was found".into(),
        Some(code) => format!("it ended with exit code {code}"),
        None => "it was ended by a signal".into(),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A folder that is the whole `PATH`, with this script under this name.
    fn desktop(name: &str, script: &str) -> (tempfile::TempDir, Env) {
        let home = tempfile::tempdir().unwrap();
        let source = home.path().join("script");
        fs::write(&source, format!("#!/bin/sh\n{script}\n")).unwrap();
        // Put there by another program: one that is open for writing here could not be run.
        let installed = std::process::Command::new("install")
            .args(["-m", "755"])
            .args([&source, &home.path().join(name)])
            .status();
        assert!(installed.unwrap().success());
        let env = env(home.path(), &[("DISPLAY", ":9")]);
        (home, env)
    }

    fn env(home: &Path, more: &[(&str, &str)]) -> Env {
        let home = home.to_str().unwrap();
        Env::fixed(
            [("PATH", home), ("SEEN", &format!("{home}/seen"))]
                .into_iter()
                .chain(more.iter().copied()),
        )
    }

    async fn tried(env: &Env, url: &str) -> Result<(), BrowserFault> {
        open(env, &Secret::new(url)).await
    }

    const NOTE: &str = r#"printf '%s\n%s' "$#" "$1" > "$SEEN""#;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_arrives_as_one_word_whatever_it_holds() {
        let (home, env) = desktop("xdg-open", NOTE);
        let marks = "$(touch%20x);&|`touch+y`\\'*?#~";
        let url = format!("https://as.example/authorize?client_id=a&state={marks}");
        assert_eq!(tried(&env, &url).await, Ok(()));
        let seen = fs::read_to_string(home.path().join("seen")).unwrap();
        let (count, seen) = seen.split_once('\n').unwrap();
        assert_eq!(count, "1");
        // Nothing but an apostrophe is written otherwise, and means the same.
        assert_eq!(seen.replace("%27", "'"), url);
        let mut left: Vec<_> =
            fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["script", "seen", "xdg-open"]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn pages_on_this_machine_may_do_without_tls() {
        for url in ["http://localhost:3118/a", "http://127.0.0.1:1/", "http://[::1]:1/"] {
            let (home, env) = desktop("xdg-open", NOTE);
            assert_eq!(tried(&env, url).await, Ok(()));
            assert_eq!(fs::read_to_string(home.path().join("seen")).unwrap(), format!("1\n{url}"));
        }
    }

    #[tokio::test]
    async fn nothing_but_a_web_page_is_opened() {
        let (home, env) = desktop("xdg-open", NOTE);
        for url in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "dev.lamplighter:/oauth/callback",
            "ftp://as.example/",
            "http://as.example/",
            "http://localhost.as.example/",
            "//as.example/",
            "--help",
            "",
        ] {
            assert_eq!(tried(&env, url).await, Err(BrowserFault::Refused), "{url}");
        }
        assert!(!home.path().join("seen").exists());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn where_no_browser_can_be_opened_that_is_said_without_the_address() {
        let url = "https://as.example/authorize?state=canary";
        let empty = tempfile::tempdir().unwrap();
        let at_a_desk = env(empty.path(), &[("WAYLAND_DISPLAY", "wayland-0")]);
        assert_eq!(tried(&at_a_desk, url).await, Err(BrowserFault::NoOpener("xdg-open")));
        let (home, seated) = desktop("xdg-open", "exit 3");
        assert_eq!(tried(&env(home.path(), &[]), url).await, Err(BrowserFault::NoDesktop));
        let fault = tried(&seated, url).await.unwrap_err();
        assert_eq!(fault.to_string(), "xdg-open could not open a browser: no browser was found");
        assert!(!format!("{fault:?}").contains("canary"));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_browser_that_stays_in_front_is_not_waited_for() {
        let (_home, env) = desktop("xdg-open", "exec /bin/sleep 1");
        let started = std::time::Instant::now();
        let page = Url::parse("https://as.example/").unwrap();
        assert_eq!(launch(&env, &page, Duration::from_millis(50)).await, Ok(()));
        assert!(started.elapsed() < Duration::from_millis(900));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn our_scheme_is_served_where_a_program_is_named_for_it() {
        let named =
            r#"[ "$*" = "query default x-scheme-handler/dev.lamplighter" ] && echo a.desktop"#;
        for (script, served) in [(named, true), ("echo", false), ("echo a.desktop; exit 2", false)]
        {
            let (_home, env) = desktop("xdg-mime", script);
            assert_eq!(scheme_served(&env).await, served, "{script}");
        }
        let (_home, env) = desktop("other", "");
        assert!(!scheme_served(&env).await);
    }
}
