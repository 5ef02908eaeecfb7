//! What several tests need and only tests may have.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

const DISK: &str = "LAMPLIGHTER_TEST_DISK";

/// Runs the calling test once more, alone, with a small file system of its own mounted, and gives the
/// folder to that second run. The first run gets `None` and is done.
#[cfg(target_os = "linux")]
pub(crate) fn on_a_disk(test: &str, options: &str) -> Option<PathBuf> {
    with_mounted(test, &format!("mount -t tmpfs -o {options} none \"${DISK}\""))
}

/// The same with a folder that never answers: a file system that nobody serves.
#[cfg(target_os = "linux")]
pub(crate) fn with_a_dead_folder(test: &str) -> Option<PathBuf> {
    let options = "fd=9,rootmode=40000,user_id=0,group_id=0";
    let mount = format!("exec 9<>/dev/fuse && mount -i -t fuse -o {options} none \"${DISK}\"");
    with_mounted(test, &mount)
}

/// The mount is seen by the second run only. Where this machine allows no such thing, the test says
/// so and ends.
#[cfg(target_os = "linux")]
fn with_mounted(test: &str, mount: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(PathBuf::from(disk));
    }
    let folder = tempfile::tempdir().unwrap();
    let root = rustix::process::geteuid().is_root();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(if root { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
        command.args(["sh", "-c", script]).arg(std::env::current_exe().unwrap());
        command.arg(test).env(DISK, folder.path());
        command
    };
    if !unshare(mount).output().is_ok_and(|tried| tried.status.success()) {
        println!("skipped: this machine lets nobody mount a disk of their own");
        return None;
    }
    let run = format!("{mount} && exec timeout 60 \"$0\" --exact \"$1\" --nocapture");
    let done = unshare(&run).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("1 passed"), "the second run ran no test: {said}");
    None
}

/// Writes until nothing more fits; the file that took it all is returned.
pub(crate) fn fill(folder: &Path) -> PathBuf {
    let place = folder.join("filling");
    let mut file = std::fs::File::create(&place).unwrap();
    for size in [4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
    place
}
