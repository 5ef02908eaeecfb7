//! What is written for systemd and launchd, and what is said to a stand-in `systemctl`.

use super::*;

/// A home with a stand-in `systemctl` and `loginctl` that note what they are told.
#[cfg(target_os = "linux")]
struct Desk {
    home: tempfile::TempDir,
}

#[cfg(target_os = "linux")]
impl Desk {
    fn new() -> Self {
        let desk = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir(desk.home.path().join("bin")).unwrap();
        desk.program("systemctl", "");
        desk.program("loginctl", "echo no");
        desk.program("lamplighter", "");
        desk
    }

    fn program(&self, name: &str, does: &str) {
        use std::{io::Write, process::Command, process::Stdio};
        let place = self.home.path().join("bin").join(name);
        let log = self.home.path().join("log");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> '{}'\n{does}\n", log.display());
        // Written by another process: a file that this one has open for writing can't be started,
        // and a child of another test may hold it for a moment longer.
        let mut writer = Command::new("/bin/sh");
        writer.args(["-c", r#"cat > "$0.new" && chmod 755 "$0.new" && mv "$0.new" "$0""#]);
        let mut writer = writer.arg(&place).stdin(Stdio::piped()).spawn().unwrap();
        writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
    }

    /// The service of the user's own home.
    fn service(&self) -> Service {
        self.service_with(&[])
    }

    /// The service where these variables are set.
    fn service_with(&self, variables: &[(&str, &str)]) -> Service {
        let bin = self.home.path().join("bin");
        let known = [("HOME", self.home.path().to_str().unwrap()), ("PATH", bin.to_str().unwrap())];
        let env = Env::fixed(known.into_iter().chain(variables.iter().copied()));
        Service::find(&env, &Paths::find(&env).unwrap().home).unwrap()
    }

    fn binary(&self) -> PathBuf {
        self.home.path().join("bin/lamplighter")
    }

    /// What was said since the last time, but for questions.
    fn told(&self) -> Vec<String> {
        self.said().into_iter().filter(|said| !said.contains(" show")).collect()
    }

    /// What was said since the last time.
    fn said(&self) -> Vec<String> {
        let log = self.home.path().join("log");
        let said = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(&log);
        said.lines().map(str::to_owned).collect()
    }
}

fn some_home() -> Home {
    Home::new(Path::new("/home/ada/.local/state/lamplighter"), true, false)
}

#[test]
fn a_unit_names_the_program_and_gives_an_answer_time_to_come_home() {
    let unit = systemd::render("/home/ada/a \"b\" 100%/lamplighter", &some_home(), &[]);
    assert!(
        unit.contains("\nExecStart=\"/home/ada/a \\\"b\\\" 100%%/lamplighter\" keep\n"),
        "{unit}"
    );
    assert!(unit.starts_with(&format!("# {MARKER}")), "{unit}");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(stop.parse::<u32>().unwrap() >= 45);
    for line in ["Restart=on-failure", "KillSignal=SIGTERM", "NoNewPrivileges=yes"] {
        assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
    }
    let program = systemd::program_in(&unit);
    assert_eq!(program.as_deref(), Some(Path::new("/home/ada/a \"b\" 100%/lamplighter")));
}

#[test]
fn an_agent_names_the_program_and_the_variables_that_move_folders() {
    let carried = [("LAMPLIGHTER_HOME", String::from("/a & b"))];
    let plist =
        launchd::render(launchd::LABEL, "/Users/ada/<bin>/lamplighter", &some_home(), &carried);
    for text in [
        "<string>/Users/ada/&lt;bin&gt;/lamplighter</string>\n    <string>keep</string>",
        "<key>LAMPLIGHTER_HOME</key>\n    <string>/a &amp; b</string>",
        "<key>ExitTimeOut</key>\n  <integer>60</integer>",
        MARKER,
        &format!("<!-- Home: {} -->", some_home().id()),
    ] {
        assert!(plist.contains(text), "{text}: {plist}");
    }
    assert_eq!(
        launchd::program_in(&plist).as_deref(),
        Some(Path::new("/Users/ada/<bin>/lamplighter"))
    );
    let env = Env::fixed([("HOME", "/Users/ada"), ("USERPROFILE", "/Users/ada")]);
    let home = launchd::variable_in(&plist, "LAMPLIGHTER_HOME");
    assert_eq!(home.as_deref(), Some("/a & b"));
    let file = launchd::file(&env, launchd::LABEL).unwrap();
    assert_eq!(file, Path::new("/Users/ada/Library/LaunchAgents/dev.lamplighter.keeper.plist"));
}

#[test]
fn a_program_that_the_next_build_replaces_is_no_service() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("build/debug");
    fs::create_dir_all(elsewhere.join(".fingerprint")).unwrap();
    assert!(is_build_output(&elsewhere.join("lamplighter")));
    assert!(is_build_output(&elsewhere.join("deps/lamplighter")));
    assert!(is_build_output(Path::new("/src/target/release/lamplighter")));
    assert!(!is_build_output(Path::new("/home/ada/.cargo/bin/lamplighter")));
}

#[test]
fn a_path_that_no_service_file_can_hold_is_refused() {
    assert!(fit(Path::new("lamplighter")).is_err());
    assert!(fit(Path::new("/a\nExecStartPre=rm/lamplighter")).is_err());
    assert_eq!(fit(Path::new("/usr/bin/lamplighter")), Ok("/usr/bin/lamplighter"));
}

#[test]
#[cfg(target_os = "linux")]
fn installing_twice_is_installing_once() {
    let desk = Desk::new();
    let service = desk.service();
    assert_eq!(service.install(&desk.binary()), Ok(Change::Installed));
    let file = desk.home.path().join(".config/systemd/user/lamplighter.service");
    let home = desk.home.path().canonicalize().unwrap().join(".local/state/lamplighter");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("\n# Home: {}\n", home.display())), "{text}");
    let said = desk.told();
    let expected =
        ["systemctl --user daemon-reload", "systemctl --user enable --now lamplighter.service"];
    assert_eq!(said, expected);
    assert_eq!(service.install(&desk.binary()), Ok(Change::Unchanged));
    assert_eq!(desk.told(), expected);
    desk.program("other", "");
    let other = desk.home.path().join("bin/other");
    assert_eq!(service.install(&other), Ok(Change::Replaced));
    let said = desk.said();
    assert_eq!(
        said.last().map(String::as_str),
        Some("systemctl --user restart lamplighter.service")
    );
    assert_eq!(service.installed(), Ok(Installed::Ours { program: Some(other) }));
}

#[test]
#[cfg(target_os = "linux")]
fn each_home_has_a_service_of_its_own() {
    let desk = Desk::new();
    let (usual, apart) = (desk.service(), [("LAMPLIGHTER_HOME", "/lamp \"home\"")]);
    usual.install(&desk.binary()).unwrap();
    let other = desk.service_with(&apart);
    assert_eq!(other.installed(), Ok(Installed::No), "the other one is not its own");
    assert_eq!(other.remove(), Ok(false));
    assert_eq!(other.install(&desk.binary()), Ok(Change::Installed));
    assert_ne!(other.file(), usual.file());
    let text = fs::read_to_string(other.file()).unwrap();
    assert!(text.contains("Environment=\"LAMPLIGHTER_HOME=/lamp \\\"home\\\"\"\n"), "{text}");
    assert!(text.contains("\n# Home: /lamp \"home\"\n"), "{text}");
    desk.said();
    assert_eq!(desk.service_with(&apart).remove(), Ok(true));
    let said = desk.said();
    assert!(said.contains(&format!("systemctl --user disable --now {}", other.name())), "{said:?}");
    assert!(matches!(desk.service().installed(), Ok(Installed::Ours { .. })));
    // A home that other variables lead to, while the usual name is taken.
    let moved = desk.service_with(&[("XDG_STATE_HOME", "/moved")]);
    assert_eq!(moved.installed(), Ok(Installed::No));
    assert_ne!(moved.file(), usual.file());
}

#[test]
#[cfg(target_os = "linux")]
fn a_unit_from_before_the_mark_belongs_to_the_home_that_its_variables_lead_to() {
    let desk = Desk::new();
    let apart = [("LAMPLIGHTER_HOME", "/lamp")];
    let older = |carried: &[(&str, String)]| {
        let unit = systemd::render(desk.binary().to_str().unwrap(), &some_home(), carried);
        let without: Vec<&str> = unit.lines().filter(|line| !line.contains(HOME)).collect();
        let place = desk.home.path().join(".config/systemd/user/lamplighter.service");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, without.join("\n")).unwrap();
    };
    older(&[("LAMPLIGHTER_HOME", String::from("/lamp"))]);
    assert_eq!(desk.service().installed(), Ok(Installed::No), "another's stands under that name");
    assert!(matches!(desk.service_with(&apart).installed(), Ok(Installed::Ours { .. })));
    older(&[]);
    assert!(matches!(desk.service().installed(), Ok(Installed::Ours { .. })));
    assert_eq!(desk.service_with(&apart).installed(), Ok(Installed::No));
    assert_eq!(desk.service().install(&desk.binary()), Ok(Change::Replaced), "it is marked");
}

#[test]
#[cfg(target_os = "linux")]
fn a_service_that_runs_a_replaced_program_is_started_again() {
    let desk = Desk::new();
    let service = desk.service();
    service.install(&desk.binary()).unwrap();
    // The process that the manager names runs the tests' own program, not the one installed here.
    let pid = std::process::id();
    desk.program("systemctl", &format!("echo MainPID={pid}; echo ActiveState=active"));
    desk.said();
    assert_eq!(service.install(&desk.binary()), Ok(Change::Restarted));
    let last = desk.said().pop();
    assert_eq!(last.as_deref(), Some("systemctl --user restart lamplighter.service"));
    let own = std::env::current_exe().unwrap();
    assert!(!programs::was_replaced(pid, &own), "its own program is what it runs");
    // The kernel shows nobody but root what a keeper runs: its process forbids core dumps.
    let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
    child.kill().unwrap();
    // It has ended and was not waited for: its program can't be told, as if it were forbidden.
    let unknown = std::path::Path::new("/proc").join(child.id().to_string());
    while fs::metadata(unknown.join("exe")).is_ok() {
        std::thread::yield_now();
    }
    assert!(programs::was_replaced(child.id(), &own), "it may have been");
    child.wait().unwrap();
    assert!(!programs::was_replaced(child.id(), &own), "there is none");
}

#[test]
#[cfg(target_os = "linux")]
fn where_systemd_does_not_answer_no_file_is_left() {
    let desk = Desk::new();
    desk.program("systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    let fault = desk.service().install(&desk.binary()).unwrap_err();
    assert!(matches!(fault, ServiceFault::Unreachable { .. }), "{fault}");
    let words = fault.to_string();
    assert!(words.contains("No medium found") && words.contains("enable-linger"), "{words}");
    assert_eq!(desk.service().installed(), Ok(Installed::No));
    assert!(!desk.home.path().join(".config").exists());
    fs::remove_file(desk.home.path().join("bin/systemctl")).unwrap();
    let fault = desk.service().install(&desk.binary()).unwrap_err();
    assert_eq!(fault, ServiceFault::NoManager("systemctl"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_start_that_fails_leaves_everything_as_it_was() {
    let desk = Desk::new();
    let service = desk.service();
    let refuse = r#"case "$*" in *enable*) echo 'Unit is masked.' >&2; exit 1;; esac"#;
    desk.program("systemctl", refuse);
    let fault = service.install(&desk.binary()).unwrap_err();
    assert!(fault.to_string().contains("Unit is masked."), "{fault}");
    assert_eq!(service.installed(), Ok(Installed::No));
    assert_eq!(fs::read_dir(service.file().parent().unwrap()).unwrap().count(), 0);
    desk.program("systemctl", "");
    service.install(&desk.binary()).unwrap();
    let before = fs::read(service.file()).unwrap();
    desk.program("systemctl", refuse);
    desk.program("other", "");
    service.install(&desk.home.path().join("bin/other")).unwrap_err();
    assert_eq!(fs::read(service.file()).unwrap(), before);
}

#[test]
#[cfg(target_os = "linux")]
fn a_unit_that_is_not_ours_is_neither_replaced_nor_removed() {
    let desk = Desk::new();
    let service = desk.service();
    fs::create_dir_all(service.file().parent().unwrap()).unwrap();
    fs::write(service.file(), "[Service]\nExecStart=/usr/bin/lamplighter keep\n").unwrap();
    let foreign = ServiceFault::Foreign(service.file().into());
    assert_eq!(service.install(&desk.binary()), Err(foreign.clone()));
    assert_eq!(service.remove(), Err(foreign));
    assert_eq!(service.status().unwrap().installed, Installed::Foreign);
    assert!(desk.said().iter().all(|said| said.contains(" show")), "nothing was changed");
}

#[test]
#[cfg(target_os = "linux")]
fn removing_ends_it_and_removing_again_is_no_fault() {
    let desk = Desk::new();
    let service = desk.service();
    service.install(&desk.binary()).unwrap();
    desk.said();
    assert_eq!(service.remove(), Ok(true));
    assert_eq!(
        desk.told(),
        ["systemctl --user disable --now lamplighter.service", "systemctl --user daemon-reload"]
    );
    assert!(!service.file().exists());
    assert_eq!(service.remove(), Ok(false));
    assert_eq!(desk.said(), Vec::<String>::new());
}

#[test]
#[cfg(target_os = "linux")]
fn a_status_tells_what_systemd_knows_and_what_nobody_knows() {
    let desk = Desk::new();
    let service = desk.service();
    service.install(&desk.binary()).unwrap();
    desk.program(
        "systemctl",
        "printf 'MainPID=42\\nActiveState=active\\nUnitFileState=enabled\\n'",
    );
    let status = service.status().unwrap();
    assert_eq!((status.running, status.enabled), (Some(true), Some(true)));
    assert_eq!((status.pid, status.lingering), (Some(42), Some(false)));
    assert_eq!(status.installed, Installed::Ours { program: Some(desk.binary()) });
    desk.program("loginctl", "exit 1");
    assert_eq!(service.status().unwrap().lingering, None);
    desk.program("systemctl", "echo 'no bus' >&2; exit 1");
    let status = service.status().unwrap();
    assert_eq!((status.running, status.pid), (None, None));
    assert!(status.unknown.unwrap().contains("no bus"));
}
