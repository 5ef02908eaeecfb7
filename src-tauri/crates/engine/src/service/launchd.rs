//! launchd of macOS: an agent of ours, and what is said to `launchctl`.
//!
//! Written after launchd.plist(5) and launchctl(1), and unproven on a real macOS.

use std::path::{Path, PathBuf};

use super::{HOME, MARKER, ServiceFault, Status, programs};
use crate::{home::Home, paths::Env};

/// The usual label of the agent.
pub const LABEL: &str = "dev.lamplighter.keeper";

const LAUNCHCTL: &str = "launchctl";

/// The label that no other home's agent has.
pub(super) fn own_label(home: &Home) -> String {
    format!("{LABEL}.{}", home.id())
}

/// `~/Library/LaunchAgents/LABEL.plist`.
pub(super) fn file(env: &Env, label: &str) -> Option<PathBuf> {
    Some(env.home()?.join("Library/LaunchAgents").join(format!("{label}.plist")))
}

/// The agent that runs `PROGRAM keep` with these variables: at each log in, and again after a fault.
/// It has 60 seconds to end, because an answer on its way is read for up to 30; what it writes is for
/// the user alone (63 is octal 077). A comment names the home by its id: two hyphens of a path would end
/// it.
pub fn render(label: &str, program: &str, home: &Home, carried: &[(&str, String)]) -> String {
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
<!-- {HOME}{} -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{label}</string>
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
        home.id(),
        escaped(program)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The program that an agent of ours runs.
pub(super) fn program_in(text: &str) -> Option<PathBuf> {
    first_text_after(text, "ProgramArguments").map(PathBuf::from)
}

/// The value that an agent of ours gives a variable.
pub(super) fn variable_in(text: &str, name: &str) -> Option<String> {
    first_text_after(text, name)
}

fn first_text_after(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<key>{key}</key>"))?;
    let (_, rest) = rest.split_once("<string>")?;
    let (value, _) = rest.split_once("</string>")?;
    Some(value.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
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
pub(super) fn start(env: &Env, label: &str, file: &Path) -> Result<(), ServiceFault> {
    stop(env, label)?;
    let file = file.display().to_string();
    programs::run(env, LAUNCHCTL, &["bootstrap", &session(), &file]).map(drop)
}

/// Ends it; one that is not loaded is ended already.
pub(super) fn stop(env: &Env, label: &str) -> Result<(), ServiceFault> {
    if programs::run(env, LAUNCHCTL, &["print", &agent(label)]).is_err() {
        return Ok(());
    }
    programs::run(env, LAUNCHCTL, &["bootout", &agent(label)]).map(drop)
}

/// Fills in what launchd knows.
pub(super) fn ask(env: &Env, label: &str, status: &mut Status) -> Result<(), ServiceFault> {
    let shown = match programs::run(env, LAUNCHCTL, &["print", &agent(label)]) {
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

fn agent(label: &str) -> String {
    format!("{}/{label}", session())
}
