//! Opens one page in the user's browser.
//!
//! It must never open anything but a web address, never go through a shell, and never wait for the
//! browser. What it opens holds `state`: it is not logged.

use std::{
    io,
    process::{Command, Stdio},
    time::Duration,
};

use lamplighter_core::secret::Secret;
use url::{Host, Url};

use crate::{
    bounded,
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

/// Opens this page, and does not wait for what becomes of it.
pub fn open(url: &Secret) -> Result<(), BrowserFault> {
    if !may_open(url.expose()) {
        return Err(BrowserFault::NotAPage);
    }
    if !has_desktop() {
        return Err(BrowserFault::NoDesktop);
    }
    let mut opener = opener(url.expose());
    opener.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = opener.spawn().map_err(BrowserFault::NoOpener)?;
    // It ends by itself; somebody has to take note of that.
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// Opens the program that unlocks the keychain the client keeps its sign-ins in.
pub fn open_keychain() -> Result<(), BrowserFault> {
    if !cfg!(target_os = "macos") {
        return Err(BrowserFault::NoDesktop);
    }
    let mut opener = Command::new("/usr/bin/open");
    let mut child = opener
        .args(["-b", "com.apple.keychainaccess"])
        .stdin(Stdio::null())
        .spawn()
        .map_err(BrowserFault::NoOpener)?;
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// Without a desktop `xdg-open` starts a text browser that nobody sees, and reports success.
fn has_desktop() -> bool {
    let ways = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"];
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(target_os = "macos", windows)) || ways.iter().any(set)
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
