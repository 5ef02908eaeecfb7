//! A real server that a script of `tests/peers` runs on loopback, and the talk with it: one JSON
//! document a line, an answer for each.
//!
//! It must not outlive its test: it ends with its standard input, and is killed when dropped.
//! Where to read next: `tests/peers/control.mjs`, the other end.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peers;

/// Longer than the slowest start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(5);

/// The running script.
#[derive(Debug)]
pub struct Script {
    child: Child,
    talk: Mutex<Receiver<String>>,
    /// What it printed on standard error, for the message of a test that fails.
    said: Arc<Mutex<String>>,
    ready: Value,
    /// Its files beside its packages, which is how Node finds them.
    _folder: TempDir,
}

impl Script {
    /// Starts `tests/peers/NAME/server.mjs` with these packages and options.
    pub fn node(name: &str, packages: &str, options: &Value) -> Self {
        let folder = lay_out(name);
        let modules = folder.path().join("node_modules");
        symlink(peers::installed(packages), modules).expect("a link to its packages");
        let mut command = Command::new(peers::node());
        command.arg("server.mjs").arg(options.to_string());
        Self::start(command, folder)
    }

    /// The same for `server.py`.
    pub fn python(name: &str, packages: &str, options: &Value) -> Self {
        let folder = lay_out(name);
        let mut command = Command::new(peers::python(packages));
        command.arg("server.py").arg(options.to_string());
        Self::start(command, folder)
    }

    fn start(mut command: Command, folder: TempDir) -> Self {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = command.get_program().to_owned();
        let mut child =
            command.spawn().unwrap_or_else(|error| crate::home::not_started(&program, &error));
        let out = child.stdout.take().expect("piped");
        let mut err = child.stderr.take().expect("piped");
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(size @ 1..) = err.read(&mut some) {
                let text = String::from_utf8_lossy(&some[..size]);
                heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut script =
            Self { child, talk: Mutex::new(lines), said, ready: Value::Null, _folder: folder };
        script.ready = script.next("start");
        script
    }

    /// What it said of itself when it was ready.
    pub fn ready(&self, member: &str) -> &str {
        self.ready[member].as_str().unwrap_or_default()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        let port = self.ready["port"].as_u64().expect("a port");
        u16::try_from(port).expect("a port")
    }

    /// Asks it to do something, and waits until it is done.
    pub fn ask(&self, what: &str, mut with: Value) -> Value {
        with["do"] = what.into();
        let mut line = with.to_string();
        line.push('\n');
        let mut input = self.child.stdin.as_ref().expect("piped");
        if input.write_all(line.as_bytes()).and_then(|()| input.flush()).is_err() {
            self.fail(what, "it has ended");
        }
        let answer = self.next(what);
        match answer.get("ok") {
            Some(ok) => ok.clone(),
            None => self.fail(what, &answer.to_string()),
        }
    }

    /// Asks for something that needs no words.
    pub fn just(&self, what: &str) -> Value {
        self.ask(what, json!({}))
    }

    fn next(&self, what: &str) -> Value {
        let lines = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => serde_json::from_str(&line)
                .unwrap_or_else(|_| self.fail(what, &format!("it said {line:?}"))),
            Err(error) => self.fail(what, &error.to_string()),
        }
    }

    fn fail(&self, what: &str, why: &str) -> ! {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        panic!("the server could not {what}: {why}; it said:\n{said}")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Its input ends, and so does it, with all that it has started itself.
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE_AT_THE_END;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        // Only this child, by its own handle; one that is gone already is no fault.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The script's own files, and what all scripts share, in a folder of its own.
fn lay_out(name: &str) -> TempDir {
    let folder =
        tempfile::Builder::new().prefix("lamplighter-peer-").tempdir().expect("a temp folder");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    for from in [shared.join(name), shared] {
        let entries = fs::read_dir(&from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
            let file = path.file_name().expect("a file's name");
            fs::copy(&path, folder.path().join(file)).expect("copied");
        }
    }
    folder
}
