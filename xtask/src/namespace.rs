//! A network namespace that has loopback and nothing else: where real peers may run.
//!
//! It must not fall back to the machine's own network, ever. Where to read next: `peers`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cargo;

/// Loopback goes up, then the words after `sh` become the process.
const SCRIPT: &str = "ip link set lo up && exec \"$@\"";
/// Says to a test that it is in such a namespace.
const MARK: &str = "LAMPLIGHTER_IN_NAMESPACE";

/// A way to make one: as root, or as a user who is root only in there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Namespace {
    flags: &'static str,
}

impl Namespace {
    /// The way that works here; or why none does.
    pub(crate) fn find() -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err("network namespaces need Linux".to_owned());
        }
        let mut whys = Vec::new();
        for flags in ["-n", "-rn"] {
            let namespace = Self { flags };
            let output = namespace.command(Path::new("true")).stdin(Stdio::null()).output();
            match output {
                Ok(output) if output.status.success() => return Ok(namespace),
                Ok(output) => whys.push(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
                Err(error) => whys.push(format!("unshare: {error}")),
            }
        }
        Err(format!("no network namespace here: {}", whys.join("; ").replace('\n', "; ")))
    }

    /// A command that runs `program` in a namespace of its own; arguments can be appended.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = cargo::program("unshare", &[self.flags, "sh", "-c", SCRIPT, "sh"]);
        command.arg(program).env(MARK, "1");
        command
    }
}
