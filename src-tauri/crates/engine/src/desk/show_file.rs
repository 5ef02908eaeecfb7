//! Opens a file for editing, or the folder it lies in. No shell is involved.

use std::{io, path::Path, process::Command};

use crate::children;

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
    let folder = if file.is_dir() { file } else { file.parent().unwrap_or(file) };
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
