//! The real Claude Code of one version, in a home of its own, with a cleared environment.
//!
//! It must not reach anything but loopback, which the namespace of `cargo xtask test` sees to;
//! the variables below only keep it from trying. Where to read next: `session`, a running
//! conversation with it; `model_api`, which answers it.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

#[cfg(target_os = "linux")]
use crate::terminal::Terminal;
use crate::{
    home::{Home, Ran, run},
    model_api::ModelApi,
    peers,
    session::Session,
};

/// What it is told besides where its home and its model are.
const QUIET: &[(&str, &str)] = &[
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_BUG_COMMAND", "1"),
    ("DISABLE_COST_WARNINGS", "1"),
    ("DISABLE_INSTALLATION_CHECKS", "1"),
    // Otherwise tools of MCP servers are named only when the model searches for them, and a list
    // without them would prove nothing.
    ("ENABLE_TOOL_SEARCH", "false"),
    // Otherwise the first turn doesn't wait for MCP servers, with the same effect.
    ("MCP_CONNECTION_NONBLOCKING", "false"),
    ("ANTHROPIC_API_KEY", "sk-rehearsed"),
];

/// One version of it, at home in one place.
#[derive(Debug)]
pub struct Claude<'a> {
    program: PathBuf,
    home: &'a Home,
    model: String,
}

impl<'a> Claude<'a> {
    /// The version that `cargo xtask` installed.
    pub fn new(version: &str, home: &'a Home, model: &ModelApi) -> Self {
        Self { program: peers::claude_code(version), home, model: model.url() }
    }

    /// `claude ARGS…`, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        command.args(args).envs(QUIET.iter().copied()).env("ANTHROPIC_BASE_URL", &self.model);
        command
    }

    /// `claude mcp add`: a server for all the user's projects.
    pub fn add_server(&self, name: &str, url: &str) {
        let args = ["mcp", "add", "--transport", "http", "--scope", "user", name, url];
        run(self.command(&args)).succeeded();
    }

    /// `claude mcp list`.
    pub fn list(&self) -> Ran {
        run(self.command(&["mcp", "list"]))
    }

    /// `claude mcp get NAME`.
    pub fn get(&self, name: &str) -> Ran {
        run(self.command(&["mcp", "get", name]))
    }

    /// `claude mcp login NAME`, which wants a terminal, and prints the page's address.
    #[cfg(target_os = "linux")]
    pub fn login(&self, name: &str) -> Terminal {
        Terminal::start(self.command(&["mcp", "login", name, "--no-browser"]))
    }

    /// A session that runs until it is dropped, and may use the tools named without asking.
    pub fn session(&self, allowed: &str) -> Session {
        let mut command = self.command(&["-p", "--verbose"]);
        command
            .args(["--input-format", "stream-json", "--output-format", "stream-json"])
            .args(["--allowedTools", allowed])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Session::start(command)
    }
}
