//! A home where `lamplighter` is installed as a person installs it, beside stand-ins for `systemctl`
//! and `loginctl` that really start and end what a unit names.
//!
//! It must not reach the developer's own service manager: the path holds the stand-ins first, and the
//! home is a test's own. Where to read next: `home`, and `tests/leave.rs`, which uses it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::home::{Home, Ran, run, write_program};

/// Notes what it is told in `log`, and runs at most one program, whose number is in `pid`.
const SYSTEMCTL: &str = r#"
here="${0%/*}"
echo "$*" >> "$here/log"
unit="$XDG_CONFIG_HOME/systemd/user/lamplighter.service"
number() { cat "$here/pid" 2>/dev/null; }
# A process that has ended may stay listed until somebody takes note of it.
runs() {
    [ -n "$(number)" ] || return 1
    state=$(sed 's/^.*) //; s/ .*//' "/proc/$(number)/stat" 2>/dev/null)
    [ -n "$state" ] && [ "$state" != Z ]
}
start() {
    runs && return
    program=$(sed -n 's/^ExecStart="\(.*\)" keep$/\1/p' "$unit")
    "$program" keep > "$here/said" 2>&1 < /dev/null &
    echo $! > "$here/pid"
}
end() {
    runs || return 0
    kill -TERM "$(number)"
    while runs; do sleep 0.05; done
}
case "$*" in
    "--user enable --now "*) start ;;
    "--user stop "*|"--user disable --now "*) end ;;
    "--user restart "*) end; start ;;
    "--user show lamplighter.service "*)
        if runs; then echo ActiveState=active; echo "MainPID=$(number)"
        else echo ActiveState=inactive; echo MainPID=0; fi
        [ -f "$unit" ] && echo UnitFileState=enabled ;;
esac
exit 0
"#;

/// The desk.
#[derive(Debug)]
pub struct Desk<'a> {
    home: &'a Home,
    /// Where its programs lie.
    pub bin: PathBuf,
}

impl<'a> Desk<'a> {
    /// Installs `lamplighter` and the stand-ins.
    pub fn new(home: &'a Home) -> Self {
        let bin = home.path().join("bin");
        fs::create_dir(&bin).expect("a new folder");
        let built = std::env::var_os("LAMPLIGHTER_BIN").expect("set by xtask");
        // By another process: a file that this one has open for writing can't be started, and a child
        // of another test may hold it for a moment longer.
        let copied = Command::new("cp").arg(built).arg(bin.join("lamplighter")).status();
        assert!(copied.expect("cp runs").success());
        let desk = Self { home, bin };
        desk.program("systemctl", SYSTEMCTL);
        desk.program("loginctl", "echo no");
        desk
    }

    /// Writes a program of this name into the desk's folder.
    pub fn program(&self, name: &str, text: &str) {
        write_program(&self.bin.join(name), &format!("#!/bin/sh\n{text}\n"));
    }

    /// `lamplighter ARGS…` for a terminal that is to be its own: Ctrl-C there reaches it and its group.
    pub fn at_its_terminal(&self, args: &[&str]) -> Command {
        let command = self.command(&[]);
        let mut apart = self.home.command(Path::new("setsid"));
        apart.arg("--ctty").arg(command.get_program()).args(args);
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
        apart.env("PATH", path.unwrap_or_default());
        apart
    }

    /// Runs the installed `lamplighter ARGS…`.
    pub fn run(&self, args: &[&str]) -> Ran {
        run(self.command(args))
    }

    /// The same, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(&self.bin.join("lamplighter"));
        let usual = std::env::var_os("PATH").unwrap_or_default();
        let usual = std::env::split_paths(&usual);
        let path = std::env::join_paths(std::iter::once(self.bin.clone()).chain(usual));
        command.env("PATH", path.expect("a path")).args(args);
        command
    }

    /// What `systemctl` was told, without `--user`.
    pub fn told(&self) -> Vec<String> {
        let log = fs::read_to_string(self.bin.join("log")).unwrap_or_default();
        log.lines().map(|line| line.trim_start_matches("--user ").to_owned()).collect()
    }

    /// Where the unit belongs.
    pub fn unit(&self) -> PathBuf {
        self.home.path().with_file_name("config").join("systemd/user/lamplighter.service")
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        // Only the keeper that this desk started may still run.
        let mut end = self.home.command(&self.bin.join("systemctl"));
        end.stdout(Stdio::null()).stderr(Stdio::null());
        drop(end.args(["--user", "stop", "lamplighter.service"]).status());
    }
}
