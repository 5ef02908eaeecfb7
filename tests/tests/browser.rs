//! A real browser, which Lamplighter itself opens: Chromium walks a certified server's pages of login
//! and consent, and what it brings back by loopback or by the scheme ends the waiting `reconnect`.
//!
//! Nothing is pasted and nothing but the page is clicked. How a person's answers are judged is in
//! `oidc`. Where to read next: `tests/src/chromium.rs`.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Stdio},
};

use lamplighter_tests::{
    chromium::Chromium,
    desktop::Desktop,
    home::Home,
    oidc::{Choices, OidcProvider},
    peers,
    program::lamplighter,
    sign_in::SignIn,
    store,
    webdriver::WebDriver,
};

const NAME: &str = "rig";

/// A home whose sign-in has ended, at a server that asks.
struct Rig {
    home: Home,
    provider: OidcProvider,
    sign_in: SignIn,
}

impl Rig {
    fn new() -> Self {
        let provider = OidcProvider::start(Choices { asks: true, ..Choices::default() });
        let home = Home::new();
        let sign_in = provider.sign_in();
        sign_in.write(&home, NAME);
        provider.forget(&sign_in.client_id);
        let ran = lamplighter(&home, &["renew", NAME]);
        assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
        Self { home, provider, sign_in }
    }

    fn is_signed_in(&self) {
        assert!(self.provider.is_live(&self.sign_in.stored(&self.home, NAME)));
        let entry = store::entry(&self.home, &self.sign_in.key(NAME));
        let redirect = entry["redirectUri"].as_str().unwrap_or_default();
        assert!(redirect.starts_with("http://localhost:"), "{redirect}");
        lamplighter(&self.home, &["renew", NAME]).succeeded();
    }
}

/// `lamplighter reconnect`, as a person types it on a desktop; ended when dropped.
struct Typed(Option<Child>);

impl Typed {
    fn on(desktop: &Desktop) -> Self {
        let mut command = desktop.command(&built());
        command.args(["reconnect", NAME, "--timeout", "90"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().expect("started")))
    }

    /// What it printed, once it ended well.
    fn end(mut self) -> String {
        let output = self.0.take().expect("running").wait_with_output().expect("ended");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), output.stderr);
        assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&err));
        out.into_owned()
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn built() -> PathBuf {
    std::env::var_os("LAMPLIGHTER_BIN").expect("set by xtask").into()
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

#[test]
fn a_person_consents_in_chromium_and_comes_back_by_loopback() {
    if !peers::may_run("Chromium and loopback") {
        return;
    }
    let rig = Rig::new();
    let desktop = Desktop::start(&rig.home);
    let chromium = Chromium::install(&desktop);
    let typed = Typed::on(&desktop);
    let page = chromium.page();
    consent(&page);
    page.until_says("h1", "Signed in to rig");
    assert!(page.url().starts_with("http://localhost:"), "{}", page.url());
    let said = typed.end();
    assert!(said.contains("Signed in") && said.contains("1 tool"), "{said}");
    rig.is_signed_in();
}

#[test]
fn a_person_consents_in_chromium_and_comes_back_by_the_scheme() {
    if !peers::may_run("Chromium and the scheme") {
        return;
    }
    let rig = Rig::new();
    let desktop = Desktop::start(&rig.home);
    let chromium = Chromium::install(&desktop);
    // As installed: by a name that says nothing of where it was built.
    let folder = rig.home.path().join("bin");
    fs::create_dir(&folder).expect("a new folder");
    symlink(built(), folder.join("lamplighter")).expect("a link");
    let exec = format!("{} callback %u", folder.join("lamplighter").display());
    desktop.application("lamplighter-callback", &exec, &["x-scheme-handler/dev.lamplighter"]);
    let typed = Typed::on(&desktop);
    let page = chromium.page();
    consent(&page);
    let said = typed.end();
    assert!(said.contains("Signed in") && said.contains("1 tool"), "{said}");
    // What came back went out of the browser, and to no page of ours.
    assert!(page.url().starts_with(rig.provider.issuer()), "{}", page.url());
    rig.is_signed_in();
}
