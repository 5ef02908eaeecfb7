//! The user's own systemd: a unit of ours, and what is said to `systemctl --user`.

use std::path::PathBuf;

use super::{MARKER, ServiceFault, Status, programs};
use crate::paths::Env;

/// The unit's name.
pub const UNIT: &str = "lamplighter.service";

const SYSTEMCTL: &str = "systemctl";

/// `$XDG_CONFIG_HOME/systemd/user/lamplighter.service`, below `~/.config` where that is not set.
pub(super) fn file(env: &Env) -> Option<PathBuf> {
    let config = env.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = config.or_else(|| env.home().map(|home| home.join(".config")))?;
    Some(config.join("systemd/user").join(UNIT))
}

/// The unit that runs `PROGRAM keep` with these variables.
///
/// Each setting is there for a reason that stands beside it. Left out is whatever needs namespaces
/// (`ProtectSystem`, `PrivateTmp`), which a user's systemd cannot always make, and whatever would
/// hinder the user's own `on_change` command (`MemoryDenyWriteExecute`, system call filters).
pub fn render(program: &str, carried: &[(&str, String)]) -> String {
    let lines = carried.iter().map(|(name, value)| {
        [
            "Environment=",
            &quoted(&format!("{name}={value}")),
            "
",
        ]
        .concat()
    });
    let variables: String = lines.collect();
    format!(
        "\
# {MARKER}; `lamplighter service remove` takes it away.
[Unit]
Description=Lamplighter keeps MCP servers signed in

[Service]
Type=exec
ExecStart={} keep
{variables}\
# A fault that heals is tried again; being asked to end is not a fault.
Restart=on-failure
RestartSec=30
# Asked to end, it reads an answer that is on its way for up to 30 seconds: new tokens are in it.
KillSignal=SIGTERM
TimeoutStopSec=60
# Neither it nor what it starts can gain rights that the user does not have.
NoNewPrivileges=yes
RestrictSUIDSGID=yes
# It has no use for either; a program that was taken over might.
LockPersonality=yes
RestrictRealtime=yes
# What it writes is for the user alone.
UMask=0077

[Install]
WantedBy=default.target
",
        quoted(program)
    )
}

/// A word of a unit file: quoted, with what systemd would expand or unescape kept as it is.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '%' => quoted.push_str("%%"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The program that a unit of ours runs.
pub(super) fn program_in(text: &str) -> Option<PathBuf> {
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=\""))?;
    let mut characters = line.chars();
    let mut program = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(program.into()),
            '\\' => program.push(characters.next()?),
            '%' => program.push(characters.next()?),
            other => program.push(other),
        }
    }
}

/// Whether the user's systemd answers.
pub(super) fn reach(env: &Env) -> Result<(), ServiceFault> {
    match systemctl(env, &["show", "--property=Version", "--value"]) {
        Ok(_) => Ok(()),
        Err(ServiceFault::Refused { said, .. }) => Err(ServiceFault::Unreachable {
            said,
            advice: format!(
                "log in as this user itself, not by su or sudo; on a server, `loginctl enable-linger` \
                 and XDG_RUNTIME_DIR=/run/user/{} help. Where there is no systemd, start `lamplighter \
                 keep` from whatever starts programs there",
                programs::user()
            ),
        }),
        Err(other) => Err(other),
    }
}

/// Makes it known, starts it now and at each log in; `again`: its file is another than before.
pub(super) fn start(env: &Env, again: bool) -> Result<(), ServiceFault> {
    reload(env)?;
    systemctl(env, &["enable", "--now", UNIT])?;
    if again {
        systemctl(env, &["restart", UNIT])?;
    }
    Ok(())
}

pub(super) fn stop(env: &Env) -> Result<(), ServiceFault> {
    systemctl(env, &["stop", UNIT]).map(drop)
}

pub(super) fn disable(env: &Env) -> Result<(), ServiceFault> {
    systemctl(env, &["disable", "--now", UNIT]).map(drop)
}

pub(super) fn reload(env: &Env) -> Result<(), ServiceFault> {
    systemctl(env, &["daemon-reload"]).map(drop)
}

/// Fills in what systemd knows.
pub(super) fn ask(env: &Env, status: &mut Status) -> Result<(), ServiceFault> {
    let shown = systemctl(env, &["show", UNIT, "--property=ActiveState,MainPID,UnitFileState"])?;
    let of = |name: &str| {
        let lines = shown.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
    };
    status.running = of("ActiveState").map(|state| {
        ["active", "activating", "reloading", "deactivating", "refreshing"].contains(&state)
    });
    status.pid = of("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0);
    status.enabled = of("UnitFileState").map(|state| state == "enabled");
    status.lingering = lingering(env);
    Ok(())
}

/// Whether the user's services run while the user is not logged in; `None` where nobody can tell.
fn lingering(env: &Env) -> Option<bool> {
    let user = programs::user();
    let shown =
        programs::run(env, "loginctl", &["show-user", &user, "--property=Linger", "--value"]);
    match shown.ok()?.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn systemctl(env: &Env, args: &[&str]) -> Result<String, ServiceFault> {
    programs::run(env, SYSTEMCTL, &[&["--user"], args].concat())
}
