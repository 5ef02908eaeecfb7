//! Where the workspace lies, and how cargo and other programs are called.
//!
//! It must not decide whether a failure matters: it says whether the program succeeded.
//! Where to read next: `parts`.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The folder with the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
}

/// Where cargo builds, and where tools and peers are kept.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A program, started in the workspace's root.
pub(crate) fn program(name: impl AsRef<OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(args).current_dir(root());
    // What cargo told this crate about itself would confuse the build of another.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// `cargo ARGS…` in the workspace's root: the cargo that runs this.
pub(crate) fn cargo(args: &[&str]) -> Command {
    program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args)
}

/// Runs it with its output shown, and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let shown = shown(command);
    Ok(command.status().with_context(|| format!("cannot start {shown}"))?.success())
}

/// Runs it with its output shown; its failure is an error.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    if succeeds(command)? {
        return Ok(());
    }
    bail!("{} failed", shown(command))
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![Path::new(command.get_program()).file_name().unwrap_or_default()];
    words.extend(command.get_args());
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Builds something and says which programs came out: the target's name and the absolute path.
pub(crate) fn build(args: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let mut command = cargo(args);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built = messages.filter_map(|message| {
        let name = message.get("target")?.get("name")?.as_str()?.to_owned();
        Some((name, PathBuf::from(message.get("executable")?.as_str()?)))
    });
    Ok(built.collect())
}

/// The one that is called `name` among what was built.
pub(crate) fn pick(built: &[(String, PathBuf)], name: &str) -> Result<PathBuf> {
    let found = built.iter().find(|(built, _)| built == name);
    found.map(|(_, path)| path.clone()).with_context(|| format!("cargo built no {name}"))
}

/// Makes cargo choose the features of dependencies as it does for tests, so that what programs and
/// tests share is built once: with any test in the selection it does.
pub(crate) const AS_FOR_TESTS: [&str; 2] = ["--test", "layering"];

/// The command line and the rehearsal server.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) lamplighter: PathBuf,
    pub(crate) rehearsal: PathBuf,
}

impl Programs {
    /// Builds both, so that nothing stale is ever run; `more` is `--release`, [`AS_FOR_TESTS`] or
    /// nothing.
    pub(crate) fn build(more: &[&str]) -> Result<Self> {
        let mut args =
            vec!["build", "--workspace", "--bin", "lamplighter", "--bin", "lamplighter-rehearsal"];
        args.extend(more);
        let built = build(&args)?;
        Ok(Self {
            lamplighter: pick(&built, "lamplighter")?,
            rehearsal: pick(&built, "lamplighter-rehearsal")?,
        })
    }
}
