//! A window of `WebKit`'s on this desktop, under control: a program of ours, or `WebKit`'s own small
//! browser.
//!
//! It must be one that lets itself be controlled: a variable says to ours that it may. Where to read
//! next: `webdriver`.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
};

use serde_json::{Value, json};

use super::Desktop;
use crate::{
    process::{Process, until},
    webdriver::WebDriver,
};

impl Desktop<'_> {
    /// Starts a program whose windows are made by Tauri; letting it go ends it. It has to open a
    /// window by itself: until then there is nothing to control.
    pub fn app(&self, program: &Path, args: &[&str]) -> WebDriver {
        let options = json!({"binary": program, "args": args});
        let wanted = json!({
            "browserName": "wry",
            "webkitgtk:browserOptions": options,
            // Who wants to hear a page from its beginning can't wait for its end.
            "pageLoadStrategy": "none",
        });
        self.control(&wanted)
    }

    /// `WebKit`'s own browser: the same engine without a program around it.
    pub fn small_browser(&self) -> WebDriver {
        self.control(&json!({"browserName": "MiniBrowser"}))
    }

    fn control(&self, wanted: &Value) -> WebDriver {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        let mut driver = self.command(Path::new("WebKitWebDriver"));
        driver.arg(format!("--port={port}")).arg("--host=127.0.0.1");
        // What it starts has the same variables.
        driver.env("TAURI_WEBVIEW_AUTOMATION", "true");
        let log = self.home().run("log/WebKitWebDriver");
        let driver = Process::start(driver, &log).expect("WebKitWebDriver starts");
        until("WebKitWebDriver listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        WebDriver::begin(driver, port, wanted)
    }
}
