//! The user's own systemd: a unit of ours, and what is said to `systemctl --user`.

use std::path::PathBuf;

use super::{HOME, MARKER, ServiceFault, Status, programs};
use crate::{home::Home, paths::Env};

/// The usual name of the unit.
pub const UNIT: &str = "lamplighter.service";

const SYSTEMCTL: &str = "systemctl";

/// The name that no other home's unit has.
pub(super) fn own_unit(home: &Home) -> String {
    format!("lamplighter-{}.service", home.id())
}

/// `$XDG_CONFIG_HOME/systemd/user/UNIT`, below `~/.config` where that is not set.
pub(super) fn file(env: &Env, unit: &str) -> Option<PathBuf> {
    let config = env.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = config.or_else(|| env.home().map(|home| home.join(".config")))?;
    Some(config.join("systemd/user").join(unit))
}

/// The unit that runs `PROGRAM keep` with these variables.
///
/// Each setting is there for a reason that stands beside it. Left out is whatever needs namespaces
/// (`ProtectSystem`, `PrivateTmp`), which a user's systemd cannot always make, and whatever would
/// hinder the user's own `on_change` command (`MemoryDenyWriteExecute`, system call filters).
pub fn render(program: &str, home: &Home, carried: &[(&str, String)]) -> String {
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
# {HOME}{}
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
        home.mark(),
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
    unquoted(line).map(PathBuf::from)
}

/// The value that a unit of ours gives a variable.
pub(super) fn variable_in(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let set = unquoted(line.strip_prefix("Environment=\"")?)?;
        Some(set.strip_prefix(name)?.strip_prefix('=')?.to_owned())
    })
}

/// The word that was [`quoted`], up to its closing quote.
fn unquoted(rest: &str) -> Option<String> {
    let mut characters = rest.chars();
    let mut word = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(word),
            '\\' | '%' => word.push(characters.next()?),
            other => word.push(other),
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

/// Makes it known, starts it now and at each log in; `again`: its file or its program
/// is another than before.
pub(super) fn start(env: &Env, unit: &str, again: bool) -> Result<(), ServiceFault> {
    reload(env)?;
    systemctl(env, &["enable", "--now", unit])?;
    if again {
        systemctl(env, &["restart", unit])?;
    }
    Ok(())
}

/// Starts it at each log in.
pub(super) fn enable(env: &Env, unit: &str) -> Result<(), ServiceFault> {
    systemctl(env, &["enable", unit]).map(drop)
}

pub(super) fn stop(env: &Env, unit: &str) -> Result<(), ServiceFault> {
    systemctl(env, &["stop", unit]).map(drop)
}

pub(super) fn disable(env: &Env, unit: &str) -> Result<(), ServiceFault> {
    systemctl(env, &["disable", "--now", unit]).map(drop)
}

pub(super) fn reload(env: &Env) -> Result<(), ServiceFault> {
    systemctl(env, &["daemon-reload"]).map(drop)
}

/// Fills in what systemd knows.
pub(super) fn ask(env: &Env, unit: &str, status: &mut Status) -> Result<(), ServiceFault> {
    let shown = systemctl(env, &["show", unit, "--property=ActiveState,MainPID,UnitFileState"])?;
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
