//! `lamplighter reconnect NAME --json` and `sign-in URL --json`, line by line, with a browser that consents at once.
//!
//! It must not outlive its test. Where to read next: `browser`.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use serde_json::Value;

use crate::{
    browser::{Visit, visit},
    home::Home,
    program::command,
};

/// A port for the browser to come back to: another one at each call, and outside the range from which
/// the system takes those of outgoing connections, so that none of these keeps it busy.
pub fn free_port() -> String {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    loop {
        let port = first + TAKEN.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port.to_string();
        }
    }
}

/// A sign-in under way; ended when dropped.
#[derive(Debug)]
pub struct Reconnect {
    child: Child,
    lines: BufReader<ChildStdout>,
    errors: Option<ChildStderr>,
    /// Everything it printed so far.
    pub heard: Vec<Value>,
}

impl Reconnect {
    /// Starts it with these arguments besides.
    pub fn start(home: &Home, name: &str, more: &[&str]) -> Self {
        Self::run(home, &[&["reconnect", name, "--json"], more].concat())
    }

    /// The same for a server that was never signed in to.
    pub fn first(home: &Home, url: &str, name: &str, more: &[&str]) -> Self {
        let args = ["sign-in", url, "--client", "claude-code", "--name", name, "--json"];
        Self::run(home, &[&args, more].concat())
    }

    fn run(home: &Home, args: &[&str]) -> Self {
        Self::of(command(home, args))
    }

    /// The sign-in that this command is, whose output is JSON.
    pub fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let errors = child.stderr.take();
        Self { child, lines, errors, heard: Vec::new() }
    }

    /// The next line; `None` at the end.
    pub fn next_line(&mut self) -> Option<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).expect("read") == 0 {
            return None;
        }
        let value: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
        self.heard.push(value.clone());
        Some(value)
    }

    /// The sign-in page's address; the test ends if there is none.
    pub fn page(&mut self) -> String {
        let first = self.next_line();
        let url = first.as_ref().and_then(|line| line["url"].as_str()).map(str::to_owned);
        url.unwrap_or_else(|| panic!("no page: {:?} {}", first, self.errors()))
    }

    /// Consents on the page, and goes back to where that leads.
    pub fn consent(&mut self) -> Visit {
        let page = visit(&self.page());
        visit(
            &page.location.unwrap_or_else(|| panic!("no way back: {} {}", page.status, page.body)),
        )
    }

    /// Reads to the end; the last line, and the exit code.
    pub fn end(mut self) -> (Value, Option<i32>) {
        while self.next_line().is_some() {}
        let code = self.child.wait().expect("ended").code();
        let last = self.heard.last().cloned();
        (last.unwrap_or_else(|| panic!("nothing was said: {}", self.errors())), code)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn errors(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut errors) = self.errors.take() {
            let _ = self.child.kill();
            let _ = errors.read_to_string(&mut said);
        }
        said
    }
}

impl Drop for Reconnect {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
