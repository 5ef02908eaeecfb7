//! Runs a program of the system's for its answer, and gives it up when it takes too long.
//!
//! It must not wait for anything without a limit: a program that hangs is ended, with what it started.

use std::{
    io::{self, Read},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How soon a program that has said all is looked at again.
const SHORTLY: Duration = Duration::from_millis(5);

/// What a program said.
pub(crate) struct Told {
    /// Whether it succeeded.
    pub(crate) well: bool,
    /// Its standard output.
    pub(crate) out: Vec<u8>,
}

/// Runs it to its end, or for so long at most, which is an error.
pub(crate) fn output(mut command: Command, patience: Duration) -> io::Result<Told> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own, so that it can be ended with whatever it started.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let deadline = Instant::now() + patience;
    let mut child = command.spawn()?;
    let mut pipe = child.stdout.take();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut out = Vec::new();
        let read = pipe.as_mut().map_or(Ok(0), |pipe| pipe.read_to_end(&mut out));
        // Whoever waits no more needs it no more.
        let _ = tell.send(read.map(|_| out));
    });
    let mut read = told.recv_timeout(patience).ok();
    // One that has said all may go on all the same.
    loop {
        match (child.try_wait()?, &mut read) {
            (Some(status), Some(_)) => {
                let out = read.unwrap_or_else(|| Ok(Vec::new()))?;
                return Ok(Told { well: status.success(), out });
            }
            (None, Some(_)) if Instant::now() < deadline => thread::sleep(SHORTLY),
            _ => {
                end(&mut child);
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Ends it and what it started.
fn end(child: &mut std::process::Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_answer_is_read_whole() {
        let told = output(sh("printf lamp"), LONG).unwrap();
        assert!(told.well && told.out == b"lamp");
        assert!(!output(sh("exit 3"), LONG).unwrap().well);
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > '{}'; wait", pid.display());
        let error = output(sh(&script), Duration::from_secs(1)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let pid = std::fs::read_to_string(pid).unwrap();
        let deadline = Instant::now() + LONG;
        // What was ended is gone, or waits for whoever takes note of it.
        let runs = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            state.is_ok_and(|state| !state.contains(") Z"))
        };
        while runs() {
            assert!(Instant::now() < deadline, "{pid} still runs");
            thread::sleep(SHORTLY);
        }
    }

    #[test]
    fn a_program_that_has_said_all_and_goes_on_is_ended_too() {
        let error = output(sh("printf lamp; exec >&-; sleep 600"), Duration::from_secs(1)).err();
        assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
    }
}
