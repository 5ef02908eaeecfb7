//! A running session of Claude Code: one turn at a time, with time between turns for the world to
//! change.
//!
//! It must not wait blindly: a turn ends with the client's own `result` line, and a client that
//! says nothing for too long fails the test with all that it had said.
//! Where to read next: `model_api`, which decides what the model does in a turn.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, Command},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Longer than three versions starting at once on a busy machine have ever taken.
const PATIENCE: Duration = Duration::from_secs(90);

/// The session; ended and waited for when dropped.
#[derive(Debug)]
pub struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    /// All it said so far, for the message of a test that fails.
    said: Vec<Line>,
}

/// What one turn came to.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// What the model said last, with the result of a tool in it.
    pub answer: String,
    /// The status of every MCP server as the session began, by name.
    pub servers: Vec<(String, String)>,
    /// From the turn's first byte to its result.
    pub took: Duration,
}

#[derive(Clone, Debug)]
enum Line {
    Out(String),
    Err(String),
}

impl Session {
    pub(crate) fn start(mut command: Command) -> Self {
        let name = command.get_program().to_owned();
        let mut child =
            command.spawn().unwrap_or_else(|error| crate::home::not_started(&name, &error));
        let (sender, lines) = channel();
        let stdin = child.stdin.take();
        if let Some(out) = child.stdout.take() {
            follow(BufReader::new(out), sender.clone(), Line::Out);
        }
        if let Some(err) = child.stderr.take() {
            follow(BufReader::new(err), sender, Line::Err);
        }
        Self { child, stdin, lines, said: Vec::new() }
    }

    /// Says `text` and waits for the end of the turn.
    pub fn turn(&mut self, text: &str) -> Turn {
        let start = Instant::now();
        let message = json!({
            "type": "user",
            "message": {"role": "user", "content": [{"type": "text", "text": text}]},
        });
        let stdin = self.stdin.as_mut().expect("a session that was not ended");
        if writeln!(stdin, "{message}").and_then(|()| stdin.flush()).is_err() {
            self.fail("the session ended before its turn");
        }
        let mut turn = Turn::default();
        loop {
            let value = self.next(start + PATIENCE);
            match value["type"].as_str() {
                Some("system") if value["subtype"] == "init" => turn.servers = servers(&value),
                Some("result") => {
                    value["result"].as_str().unwrap_or_default().clone_into(&mut turn.answer);
                    turn.took = start.elapsed();
                    return turn;
                }
                _ => {}
            }
        }
    }

    /// `call TOOL {json}`: the turn's answer holds what the tool said, or that it is not offered.
    pub fn call(&mut self, tool: &str, input: &Value) -> Turn {
        self.turn(&format!("call {tool} {input}"))
    }

    /// Ends the session as its user would, and waits until it is gone.
    pub fn end(mut self) {
        self.stdin.take();
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.fail("the session doesn't end"),
            }
        }
        drop(self.child.wait());
    }

    fn next(&mut self, deadline: Instant) -> Value {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => self.fail("the session says nothing more"),
                Err(RecvTimeoutError::Disconnected) => self.fail("the session ended in its turn"),
            };
            self.said.push(line.clone());
            if let Line::Out(text) = line
                && let Ok(value) = serde_json::from_str(&text)
            {
                return value;
            }
        }
    }

    fn fail(&self, what: &str) -> ! {
        let said: Vec<String> = self
            .said
            .iter()
            .map(|line| match line {
                Line::Out(text) => format!("  {text}"),
                Line::Err(text) => format!("! {text}"),
            })
            .collect();
        panic!("{what}; so far it said:\n{}", said.join("\n"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Only this child, by its own handle; a client that is gone already is no fault.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn servers(init: &Value) -> Vec<(String, String)> {
    let servers = init["mcp_servers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    servers.iter().map(|server| (word(&server["name"]), word(&server["status"]))).collect()
}

fn follow<R: std::io::Read + Send + 'static>(
    mut reader: BufReader<R>,
    sender: Sender<Line>,
    kind: fn(String) -> Line,
) {
    thread::spawn(move || {
        let mut line = String::new();
        // A line that is not text is still a line: the rest must be read, or the client blocks.
        while reader.read_line(&mut line).is_ok_and(|size| size > 0) {
            let text = std::mem::take(&mut line);
            if sender.send(kind(text.trim_end().to_owned())).is_err() {
                break;
            }
        }
        drop(reader.read_to_end(&mut Vec::new()));
    });
}
