//! Opens one page in the user's browser.
//!
//! It must never open anything but a web address, never go through a shell, and never wait for the
//! browser. What it opens holds `state`: it is not logged, and stands on no command line where the
//! browser is on this machine. Read next: [`once`](self), [`children`].

mod once;

use std::{io, process::Command, time::Duration};

use lamplighter_core::secret::Secret;
use url::{Host, Url};

use crate::{
    bounded, children,
    paths::{Env, HOME_OVERRIDE},
};

/// How long a desktop may take to say who serves a scheme.
const PATIENCE: Duration = Duration::from_secs(3);
/// The scheme that callbacks may come back by.
const SCHEME: &str = "dev.lamplighter";

/// Why no page was opened.
#[derive(Debug, thiserror::Error)]
pub enum BrowserFault {
    /// Not HTTPS, nor HTTP on this machine.
    #[error("the sign-in page's address is not one that Lamplighter opens")]
    NotAPage,
    /// Nobody would see it.
    #[error("there is no desktop here to open a browser on")]
    NoDesktop,
    /// Nothing here opens pages.
    #[error("no browser could be opened ({0})")]
    NoOpener(io::Error),
}

/// A page that a browser was asked to open.
#[derive(Debug)]
pub struct Opened {
    way: Option<once::Way>,
}

impl Opened {
    /// Whether a browser has come for the page, as far as that can be told: `false` where it was given an
    /// address of ours and has not asked there.
    pub fn was_fetched(&self) -> bool {
        self.way.as_ref().is_none_or(once::Way::was_used)
    }
}

/// Opens this page, and does not wait for what becomes of it.
pub fn open(url: &Secret) -> Result<Opened, BrowserFault> {
    if !may_open(url.expose()) {
        return Err(BrowserFault::NotAPage);
    }
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !has_desktop(set) {
        return Err(BrowserFault::NoDesktop);
    }
    let way = is_browser_here(set).then(|| once::leading_to(url)).transpose();
    let way = way.unwrap_or_else(|fault| {
        tracing::info!(%fault, "a browser is given the page's own address");
        None
    });
    let address = way.as_ref().map_or(url.expose(), once::Way::address);
    children::start_and_leave(opener(address)).map_err(BrowserFault::NoOpener)?;
    Ok(Opened { way })
}

/// Opens the program that unlocks the keychain the client keeps its sign-ins in.
pub fn open_keychain() -> Result<(), BrowserFault> {
    if !cfg!(target_os = "macos") {
        return Err(BrowserFault::NoDesktop);
    }
    let mut opener = Command::new("/usr/bin/open");
    opener.args(["-b", "com.apple.keychainaccess"]);
    children::start_and_leave(opener).map_err(BrowserFault::NoOpener)
}

/// Without a desktop `xdg-open` starts a text browser that nobody sees, and reports success.
fn has_desktop(set: impl Fn(&str) -> bool) -> bool {
    let ways = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"];
    cfg!(any(target_os = "macos", windows)) || ways.into_iter().any(set)
}

/// Whether the browser surely reaches a port of this machine. `BROWSER` alone, or beside SSH, is how
/// an editor or a script opens it on another one, and Windows' is beside its Linux, not in it.
fn is_browser_here(set: impl Fn(&str) -> bool) -> bool {
    if cfg!(any(target_os = "macos", windows)) {
        return true;
    }
    let display = set("DISPLAY") || set("WAYLAND_DISPLAY");
    display && !set("WSL_DISTRO_NAME") && !(set("BROWSER") && set("SSH_CONNECTION"))
}

/// HTTPS anywhere, HTTP only on this machine; nothing that a parser would have to repair.
fn may_open(text: &str) -> bool {
    let odd = |c: char| c.is_ascii_control() || c.is_whitespace() || c == '\\' || c == '"';
    let Ok(url) = Url::parse(text) else { return false };
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    (url.scheme() == "https" || (url.scheme() == "http" && here)) && !text.contains(odd)
}

#[cfg(all(unix, not(target_os = "macos")))]
fn opener(url: &str) -> Command {
    let mut command = Command::new("xdg-open");
    command.arg(url);
    command
}

#[cfg(target_os = "macos")]
fn opener(url: &str) -> Command {
    let mut command = Command::new("/usr/bin/open");
    command.arg(url);
    command
}

#[cfg(windows)]
fn opener(url: &str) -> Command {
    // The handler itself, without the command interpreter and its quoting.
    let mut command = Command::new("rundll32.exe");
    command.arg("url.dll,FileProtocolHandler").arg(url);
    command
}

/// Whether callbacks of the custom scheme are handed to a program here. Only Linux tells. A desktop that
/// does not answer serves none, and links are the user's own home's: one that is set apart gets none.
pub fn scheme_served(env: &Env) -> bool {
    let apart = env.get(HOME_OVERRIDE).is_some();
    if cfg!(any(target_os = "macos", windows)) || env.get("HOME").is_none() || apart {
        return false;
    }
    let mut asked = Command::new("xdg-mime");
    asked.args(["query", "default", &format!("x-scheme-handler/{SCHEME}")]);
    // An environment of a test's own leads to no desktop but its own.
    if let Env::Fixed(variables) = env {
        asked.env_clear().envs(variables);
    }
    let told = bounded::output(asked, PATIENCE);
    told.is_ok_and(|told| told.well && !told.out.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn a_browser_is_here_where_there_is_a_display_and_no_sign_of_another_machine() {
        for (variables, here) in [
            (&["DISPLAY"][..], true),
            (&["WAYLAND_DISPLAY", "BROWSER"], true),
            (&["DISPLAY", "SSH_CONNECTION"], true),
            (&["BROWSER"], false),
            (&["DISPLAY", "BROWSER", "SSH_CONNECTION"], false),
            (&["DISPLAY", "WSL_DISTRO_NAME"], false),
        ] {
            assert_eq!(is_browser_here(|name| variables.contains(&name)), here, "{variables:?}");
        }
    }

    #[test]
    fn only_web_addresses_are_opened() {
        for page in ["https://as.example/authorize?a=$(touch%20x);%26", "http://localhost:1/a"] {
            assert!(may_open(page), "{page}");
        }
        for other in [
            "http://as.example/authorize",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://as.example/a b",
            "https://as.example/\"&calc",
            "dev.lamplighter:/oauth/callback",
            "as.example",
            "-help",
        ] {
            assert!(!may_open(other), "{other}");
            assert!(matches!(open(&Secret::new(other)), Err(BrowserFault::NotAPage)));
        }
    }
}
