//! A program that a test keeps running beside it, and what it has to say if something goes wrong.
//!
//! It must not outlive its test: it is asked to end when dropped, then made to, by its own handle.
//! Where to read next: `desktop`, which is made of these.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than the slowest step on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(5);

/// Looks again and again until there is something; the test ends if there never is.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The running program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; whatever it prints goes into this file. What it is fed is up to the command.
    pub(crate) fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let file = File::create(log)?;
        command.stdout(file.try_clone()?).stderr(file);
        Ok(Self { child: command.spawn()?, log: log.to_owned() })
    }

    /// The same for one that says on standard output, in one line, where it is to be found.
    pub(crate) fn told(mut command: Command, log: &Path) -> io::Result<(Self, String)> {
        command.stdout(Stdio::piped()).stderr(File::create(log)?);
        let mut process = Self { child: command.spawn()?, log: log.to_owned() };
        let mut line = String::new();
        if let Some(out) = process.child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        assert!(!line.is_empty(), "{command:?} did not start: {}", process.said());
        Ok((process, line.trim().to_owned()))
    }

    /// All that it printed so far into its file.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What stands on its standard input's other end, if that was piped.
    pub(crate) fn input(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A screen has a lock file to take away, a browser a profile to close.
        if self.runs() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE_AT_THE_END;
        while self.runs() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
