//! A file system that never answers, mounted where one program alone sees it: what a network share is
//! whose server has gone.
//!
//! It must not be seen by the test itself, which would hang with the rest. Where to read next: the part
//! `disks`.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::geteuid;

/// Mounts it on `$0` and becomes the program. Whoever asks a FUSE file system waits for the process
/// that serves it; nobody serves this one.
const SCRIPT: &str = "exec 9<>/dev/fuse && \
    mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 none \"$0\" && exec \"$@\"";

/// The same command, for which `folder` never answers. `None`: this machine lets nobody mount one.
pub fn dead_at(folder: &Path, command: &Command) -> Option<Command> {
    let tried = shell(folder).arg("true").stdin(Stdio::null()).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return None;
    }
    let mut wrapped = shell(folder);
    wrapped.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    if let Some(here) = command.get_current_dir() {
        wrapped.current_dir(here);
    }
    wrapped.stdin(Stdio::null());
    Some(wrapped)
}

fn shell(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", SCRIPT]).arg(folder);
    command
}
