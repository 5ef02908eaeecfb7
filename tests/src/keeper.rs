//! `lamplighter keep --json`, running in a home of a test's own, with every line it printed.
//!
//! It must not outlive its test. Where to read next: `program`, for commands that end by themselves.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{home::Home, program::command};

/// The keeper; ended when dropped.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Keeper {
    /// Starts it in this home.
    pub fn start(home: &Home) -> Self {
        Self::run(command(home, &["keep", "--json"]))
    }

    /// Starts it as it was made ready.
    pub fn run(command: Command) -> Self {
        Self::run_with(command, Stdio::null())
    }

    /// The same in this home; what it complains of goes into this file.
    pub fn start_with_log(home: &Home, log: &Path) -> Self {
        let log = File::create(log).expect("a new file");
        Self::run_with(command(home, &["keep", "--json"]), log.into())
    }

    fn run_with(mut command: Command, complaints: Stdio) -> Self {
        command.stdout(Stdio::piped()).stderr(complaints);
        let mut child = command.spawn().expect("started");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(value);
            }
        });
        Self { child, lines }
    }

    /// Every event of this name so far, in order.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line["event"] == name).cloned().collect()
    }

    /// All that it printed so far.
    pub fn said(&self) -> Vec<Value> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until something holds; the test ends with all that was printed if it never does.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !holds(self) {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
            assert!(Instant::now() < deadline, "waited in vain until {what}: {lines:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until commands reach it.
    pub fn until_reachable(&self, home: &Home) {
        let socket = home.path().with_file_name("run").join("lamplighter/keeper.sock");
        self.until("commands reach it", |_| {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a service manager does; its exit code, or `None` after a signal.
    pub fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.child.wait().expect("ended").code()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
