//! A program on a terminal: what it shows, and what is typed.
//!
//! It must not outlive its test. Where to read next: `tests/reconnect.rs`, where a person answers.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// Longer than anything that is waited for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The program, and the other end of its terminal; ended when dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts this command on a terminal of its own.
    pub fn start(mut command: Command) -> Self {
        let name = command.get_program().to_owned();
        let (ours, theirs) = ends();
        let another = || theirs.try_clone().expect("one more handle");
        command.stdin(another()).stdout(another()).stderr(another());
        let child = command.spawn().unwrap_or_else(|error| crate::home::not_started(&name, &error));
        // Otherwise the end of the program would not be the end of what is shown.
        drop((command, theirs));
        let keys = ours;
        let mut screen = keys.try_clone().expect("one more handle");
        let shown = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&shown);
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(size @ 1..) = screen.read(&mut some) {
                let text = String::from_utf8_lossy(&some[..size]);
                seen.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Self { child, keys, shown }
    }

    /// All that was shown so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until this was shown; the test ends with all that was if it never is.
    pub fn until(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            if shown.contains(text) {
                return shown;
            }
            assert!(Instant::now() < deadline, "waited in vain for {text:?}:\n{shown}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types this.
    pub fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal that takes keys");
    }

    /// The program's process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end: all that was shown, and the exit code.
    pub fn end(mut self) -> (String, Option<i32>) {
        let deadline = Instant::now() + PATIENCE;
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status.code();
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.shown());
            thread::sleep(Duration::from_millis(20));
        };
        // What was written last may still be on its way to the reader.
        let mut shown = self.shown();
        loop {
            thread::sleep(Duration::from_millis(50));
            let now = self.shown();
            if now == shown {
                return (shown, code);
            }
            shown = now;
        }
    }
}

/// A terminal's two ends: the one that a person sits at, and the one that a program has. It is gone for
/// the program when the first is dropped.
pub fn ends() -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).expect("a terminal");
    // Wide enough for a sign-in page's address on one line.
    let size = Winsize { ws_row: 50, ws_col: 4000, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("a size");
    grantpt(&ours).expect("a terminal of ours");
    unlockpt(&ours).expect("an open terminal");
    let theirs = File::from(ioctl_tiocgptpeer(&ours, flags).expect("its other end"));
    (File::from(ours), theirs)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only this child, by its own handle; one that is gone already is no fault.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
