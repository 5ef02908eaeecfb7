//! launchd of macOS: an agent of ours, and what is said to `launchctl`.
//!
//! Written after launchd.plist(5) and launchctl(1), and unproven on a real macOS.

use std::path::{Path, PathBuf};

use super::{MARKER, ServiceFault, Status, programs};
use crate::paths::Env;

/// The agent's label.
pub const LABEL: &str = "dev.lamplighter.keeper";

const LAUNCHCTL: &str = "launchctl";

/// `~/Library/LaunchAgents/dev.lamplighter.keeper.plist`.
pub(super) fn file(env: &Env) -> Option<PathBuf> {
    Some(env.home()?.join("Library/LaunchAgents").join(format!("{LABEL}.plist")))
}

/// The agent that runs `PROGRAM keep` with these variables: at each log in, and again after a fault.
/// It has 60 seconds to end, because an answer on its way is read for up to 30; what it writes is for
/// the user alone (63 is octal 077).
pub fn render(program: &str, carried: &[(&str, String)]) -> String {
    let lines = carried.iter().map(|(name, value)| {
        [
            "    <key>",
            name,
            "</key>
    <string>",
            &escaped(value),
            "</string>
",
        ]
        .concat()
    });
    let variables: String = lines.collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- {MARKER}; `lamplighter service remove` takes it away. -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array>
    <string>{}</string>
    <string>keep</string>
  </array>
  <key>EnvironmentVariables</key>
  <dict>
{variables}  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>30</integer>
  <key>ExitTimeOut</key>
  <integer>60</integer>
  <key>ProcessType</key>
  <string>Background</string>
  <key>Umask</key>
  <integer>63</integer>
</dict>
</plist>
"#,
        escaped(program)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The program that an agent of ours runs.
pub(super) fn program_in(text: &str) -> Option<PathBuf> {
    let (_, rest) = text.split_once("<key>ProgramArguments</key>")?;
    let (_, rest) = rest.split_once("<string>")?;
    let (program, _) = rest.split_once("</string>")?;
    let program = program.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Some(program.into())
}

/// Whether the user's desktop session answers.
pub(super) fn reach(env: &Env) -> Result<(), ServiceFault> {
    match programs::run(env, LAUNCHCTL, &["print", &session()]) {
        Ok(_) => Ok(()),
        Err(ServiceFault::Refused { said, .. }) => Err(ServiceFault::Unreachable {
            said,
            advice: String::from("log in to this user's desktop and run the command there"),
        }),
        Err(other) => Err(other),
    }
}

/// Starts it now and at each log in, anew if it runs.
pub(super) fn start(env: &Env, file: &Path) -> Result<(), ServiceFault> {
    stop(env)?;
    let file = file.display().to_string();
    programs::run(env, LAUNCHCTL, &["bootstrap", &session(), &file]).map(drop)
}

/// Ends it; one that is not loaded is ended already.
pub(super) fn stop(env: &Env) -> Result<(), ServiceFault> {
    if programs::run(env, LAUNCHCTL, &["print", &agent()]).is_err() {
        return Ok(());
    }
    programs::run(env, LAUNCHCTL, &["bootout", &agent()]).map(drop)
}

/// Fills in what launchd knows.
pub(super) fn ask(env: &Env, status: &mut Status) -> Result<(), ServiceFault> {
    let shown = match programs::run(env, LAUNCHCTL, &["print", &agent()]) {
        Ok(shown) => shown,
        // Not loaded.
        Err(ServiceFault::Refused { .. }) => String::new(),
        Err(other) => return Err(other),
    };
    let pid = shown.lines().find_map(|line| line.trim().strip_prefix("pid = "));
    status.pid = pid.and_then(|pid| pid.trim().parse().ok());
    status.running = Some(status.pid.is_some());
    status.enabled = Some(!shown.is_empty());
    Ok(())
}

fn session() -> String {
    format!("gui/{}", programs::user())
}

fn agent() -> String {
    format!("{}/{LABEL}", session())
}
