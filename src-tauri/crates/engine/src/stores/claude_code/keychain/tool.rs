//! Runs one of the system's own programs: no shell, a secret only ever on its standard input or
//! output, and an end to waiting.

use std::{
    io::{Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

/// How often a program that has closed its output is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// How a program ended.
pub(super) struct Ended {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub out: Zeroizing<Vec<u8>>,
}

/// Why it did not.
#[derive(Debug)]
pub(super) enum Unended {
    /// It took too long, and was ended.
    TimedOut,
    /// It could not be run.
    Io(std::io::Error),
}

/// Runs it to its end, giving it `input`, which must fit into a pipe (16 KiB), and reading at most
/// `most` bytes.
pub(super) fn run(
    mut command: Command,
    input: &[u8],
    most: u64,
    patience: Duration,
) -> Result<Ended, Unended> {
    let deadline = Instant::now() + patience;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Ctrl-C at our terminal must not end a tool that writes new tokens.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(Unended::Io)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended without reading tells so by its exit code.
        let _ = stdin.write_all(input);
    }
    let (tell, told) = mpsc::sync_channel(1);
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut out = Zeroizing::new(Vec::new());
            let read = stdout.take(most).read_to_end(&mut out).map(|_| out);
            // Nobody listens any more after a time-out.
            let _ = tell.send(read);
        });
    }
    let out = match told.recv_timeout(patience) {
        Ok(Ok(out)) => out,
        Ok(Err(error)) => return Err(end(child, Unended::Io(error))),
        Err(_) => return Err(end(child, Unended::TimedOut)),
    };
    match wait(&mut child, deadline) {
        Ok(Some(status)) => Ok(Ended { code: status.code(), out }),
        Ok(None) => Err(end(child, Unended::TimedOut)),
        Err(error) => Err(end(child, Unended::Io(error))),
    }
}

fn wait(child: &mut Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
}

/// Ends our own child, and with it a dialog that it may have brought up.
fn end(mut child: Child, why: Unended) -> Unended {
    // Neither can fail but for a child that has ended already.
    let _ = child.kill();
    let _ = child.wait();
    why
}
