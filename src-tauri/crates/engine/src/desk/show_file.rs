//! Opens a file for editing, or the folder it lies in. No shell is involved.

use std::{io, path::Path, process::Command, time::Duration};

use crate::{children, deadline};

/// How long the disk that a file lies on is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens a file of ours with whatever edits such files.
pub(super) fn open(file: &Path) -> io::Result<()> {
    run(opener(), file)
}

/// Shows a folder of another program, or the folder of its file: nothing of it is run.
pub(super) fn show(file: &Path) -> io::Result<()> {
    if !file.is_absolute() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it is no file"));
    }
    if cfg!(target_os = "macos") {
        let mut finder = opener();
        finder.arg("-R");
        return run(finder, file);
    }
    let asked = file.to_owned();
    let is_folder = deadline::within(PATIENCE, move || asked.is_dir())
        .ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))?;
    let folder = if is_folder { file } else { file.parent().unwrap_or(file) };
    run(opener(), folder)
}

fn opener() -> Command {
    Command::new(if cfg!(target_os = "macos") {
        "/usr/bin/open"
    } else if cfg!(windows) {
        "explorer.exe"
    } else {
        "xdg-open"
    })
}

fn run(mut opener: Command, what: &Path) -> io::Result<()> {
    opener.arg(what);
    children::start_and_leave(opener)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_on_a_disk_that_does_not_answer_is_not_waited_for() {
        let name =
            "desk::show_file::tests::a_file_on_a_disk_that_does_not_answer_is_not_waited_for";
        let Some(dead) = crate::testing::with_a_dead_folder(name) else { return };
        let fault = show(&dead.join(".credentials.json")).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
    }
}
