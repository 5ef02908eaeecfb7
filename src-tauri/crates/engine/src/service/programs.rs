//! The system's own commands: found on the path that is handed in, run to their end, quoted when they
//! fail.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::ServiceFault;
use crate::paths::Env;

/// The first program of this name on the environment's `PATH`.
fn find(env: &Env, name: &str) -> Option<PathBuf> {
    let path = env.get("PATH")?;
    let places = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    places.map(|folder| folder.join(name)).find(|place| place.is_file())
}

/// Runs `name ARGS…` to its end and returns what it printed; its failure is a fault with its words.
pub(super) fn run(env: &Env, name: &'static str, args: &[&str]) -> Result<String, ServiceFault> {
    let program = find(env, name).ok_or(ServiceFault::NoManager(name))?;
    let shown = || format!("{name} {}", args.join(" "));
    let mut command = Command::new(&program);
    command.args(args).stdin(Stdio::null());
    if let Env::Fixed(vars) = env {
        command.env_clear().envs(vars);
    }
    let output = command
        .output()
        .map_err(|error| ServiceFault::Refused { command: shown(), said: error.to_string() })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().replace('\n', "; ");
    let said = if said.is_empty() { output.status.to_string() } else { said };
    Err(ServiceFault::Refused { command: shown(), said })
}

/// Whether the file at `program` is another than the one that this process was started from. Where that
/// can't be told it is: a keeper lets nobody but root look into it, and to start it anew costs nothing.
#[cfg(target_os = "linux")]
pub(super) fn was_replaced(pid: u32, program: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |place: &Path| std::fs::metadata(place).map(|found| (found.dev(), found.ino()));
    let process = Path::new("/proc").join(pid.to_string());
    match (file(&process.join("exe")), file(program)) {
        (Ok(started_from), Ok(now)) => started_from != now,
        (Err(_), Ok(_)) => process.exists(),
        (_, Err(_)) => false,
    }
}

/// launchd starts an agent anew at each installation.
#[cfg(not(target_os = "linux"))]
pub(super) const fn was_replaced(_pid: u32, _program: &Path) -> bool {
    false
}

/// This user's number.
#[cfg(unix)]
pub(super) fn user() -> String {
    rustix::process::getuid().as_raw().to_string()
}

/// This user's number, where users have none.
#[cfg(not(unix))]
pub(super) fn user() -> String {
    String::from("0")
}
