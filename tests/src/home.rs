//! A home folder of a test's own, and the only environment that a program under test may see.
//!
//! It must not leak: every command starts from an empty environment, so neither the developer's
//! home nor a proxy, a token or a desktop of theirs can be reached.
//! Where to read next: `claude` and `program`, which run programs in it.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The folder; removed when dropped.
#[derive(Debug)]
pub struct Home {
    root: TempDir,
}

impl Home {
    /// An empty home with a project folder in it.
    pub fn new() -> Self {
        let root =
            tempfile::Builder::new().prefix("lamplighter-").tempdir().expect("a temp folder");
        for name in ["home", "project", "tmp", "run", "state", "config", "cache", "data"] {
            let path = root.path().join(name);
            fs::create_dir(&path).expect("a new folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("mode 0700");
        }
        Self { root }
    }

    /// `$HOME`.
    pub fn path(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Where commands are run.
    pub fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// A file in `~/.claude`.
    pub fn claude(&self, name: &str) -> PathBuf {
        self.path().join(".claude").join(name)
    }

    /// Where the system's bus is for programs in this home: nobody listens there unless a test does.
    pub fn system_bus(&self) -> String {
        format!("unix:path={}", self.run("system_bus").display())
    }

    /// Where the session's bus is, likewise.
    pub fn session_bus(&self) -> String {
        format!("unix:path={}", self.run("bus").display())
    }

    /// A file in `$XDG_RUNTIME_DIR`.
    pub fn run(&self, name: &str) -> PathBuf {
        self.root.path().join("run").join(name)
    }

    /// A file in `$XDG_CONFIG_HOME`.
    pub fn config(&self, name: &str) -> PathBuf {
        self.root.path().join("config").join(name)
    }

    /// A file in `$XDG_DATA_HOME`.
    pub fn data(&self, name: &str) -> PathBuf {
        self.root.path().join("data").join(name)
    }

    /// A command that knows this home and nothing else of the machine but where programs are.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let root = self.root.path();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("USER", "lamp")
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", root.join("tmp"))
            .env("XDG_RUNTIME_DIR", root.join("run"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.system_bus())
            .env("XDG_STATE_HOME", root.join("state"))
            .env("XDG_CONFIG_HOME", root.join("config"))
            .env("XDG_CACHE_HOME", root.join("cache"))
            .env("XDG_DATA_HOME", root.join("data"))
            .current_dir(self.project())
            .stdin(Stdio::null());
        command
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// From start to end.
    pub took: Duration,
}

impl Ran {
    /// Itself, if the command succeeded; otherwise the test ends with all that was printed.
    #[expect(clippy::return_self_not_must_use, reason = "often only the judgement is wanted")]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Ran {
    let name = command.get_program().to_owned();
    let start = Instant::now();
    let output = command.output();
    let took = start.elapsed();
    let output = output.unwrap_or_else(|error| not_started(&name, &error));
    let Output { status, stdout, stderr } = output;
    Ran { code: status.code(), out: text(stdout), err: text(stderr), took }
}

/// Writes a program's text. By another process: a file that this one has open for writing can't be
/// started, and a child of another test may hold it for a moment longer.
pub fn write_program(place: &Path, text: &str) {
    let mut writer = Command::new("/bin/sh");
    writer.args(["-c", r#"cat > "$0.new" && chmod 755 "$0.new" && mv "$0.new" "$0""#]);
    let mut writer = writer.arg(place).stdin(Stdio::piped()).spawn().expect("started");
    let mut stdin = writer.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("taken");
    drop(stdin);
    assert!(writer.wait().expect("ended").success());
}

/// Ends the test: this program is not there.
pub(crate) fn not_started(name: &OsStr, error: &std::io::Error) -> ! {
    panic!("{} could not be started: {error}", name.display())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
