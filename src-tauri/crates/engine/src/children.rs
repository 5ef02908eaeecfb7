//! Programs that are started for a person: what opens a page or a file, the user's own command, the
//! tray.
//!
//! Each is in a session of its own, so that neither Ctrl-C nor the end of this terminal reaches it, and
//! has the environment that we were given, without what we set in it for ourselves. It must not get a
//! secret: its arguments can be read by others.

use std::{
    ffi::OsString,
    io,
    process::{Child, Command, Stdio},
    thread,
};

/// Names the variables that a program of ours has set for itself, separated by commas.
pub const SET_FOR_OURSELVES: &str = "LAMPLIGHTER_SET_FOR_ITSELF";

/// Makes a program independent of this one. Its input and output are up to the caller.
pub fn set_apart(command: &mut Command) -> io::Result<()> {
    for name in ours(std::env::var_os(SET_FOR_OURSELVES)) {
        command.env_remove(name);
    }
    own_session(command)
}

/// Starts a program that tells us nothing and outlives us.
pub fn start(mut command: Command) -> io::Result<Child> {
    set_apart(&mut command)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// The same, and whoever started it need not care for it any more.
pub fn start_and_leave(command: Command) -> io::Result<()> {
    let mut child = start(command)?;
    // A program whose end nobody takes note of stays listed. Without a thread it is until we end.
    let _ = thread::Builder::new().name("child".into()).spawn(move || child.wait());
    Ok(())
}

/// What no program that we start is to see.
fn ours(named: Option<OsString>) -> Vec<String> {
    let Some(list) = named else { return Vec::new() };
    let list = list.to_string_lossy();
    let each = list.split(',').filter(|name| !name.is_empty()).map(str::to_owned);
    each.chain([SET_FOR_OURSELVES.to_owned()]).collect()
}

/// A process group alone would be enough against Ctrl-C, but leave the program our terminal.
#[cfg(unix)]
fn own_session(command: &mut Command) -> io::Result<()> {
    use process_wrap::std::{CommandWrap, CommandWrapper, ProcessSession};
    // Only the step between fork and exec is wanted; a child of the standard library is.
    let unused = CommandWrap::with_new("", |_| {});
    ProcessSession.pre_spawn(command, &unused)
}

/// `CREATE_NEW_PROCESS_GROUP`, which Ctrl-C does not reach, and `CREATE_NO_WINDOW`.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn own_session(command: &mut Command) -> io::Result<()> {
    use std::os::windows::process::CommandExt;
    command.creation_flags(0x0000_0200 | 0x0800_0000);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_for_ourselves_is_taken_out_and_nothing_else() {
        assert_eq!(ours(None), Vec::<String>::new());
        assert_eq!(ours(Some("A,B".into())), ["A", "B", SET_FOR_OURSELVES]);
        assert_eq!(ours(Some("".into())), [SET_FOR_OURSELVES]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_has_a_session_of_its_own_without_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let mut command = Command::new("sh");
        // Process, parent, group, session, terminal (proc(5)).
        let script = r#"sed 's/^\([0-9]*\) .*) . /\1 /' /proc/$$/stat > "$1""#;
        command.args(["-c", script, "sh"]).arg(&out);
        let mut child = start(command).unwrap();
        let id = child.id().to_string();
        assert!(child.wait().unwrap().success());
        let stat = std::fs::read_to_string(out).unwrap();
        let fields: Vec<&str> = stat.split(' ').collect();
        assert_eq!((fields[0], fields[2], fields[3], fields[4]), (&*id, &*id, &*id, "0"), "{stat}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_that_has_ended_does_not_stay_listed() {
        let mut command = Command::new("sh");
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        command.args(["-c", r#"echo $$ > "$1.new"; mv "$1.new" "$1""#, "sh"]).arg(&out);
        start_and_leave(command).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let ended = || {
            let id = std::fs::read_to_string(&out).ok()?;
            (!std::path::Path::new("/proc").join(id.trim()).exists()).then_some(())
        };
        while ended().is_none() {
            assert!(std::time::Instant::now() < deadline, "it stays listed");
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failure() {
        let failure = start(Command::new("/no/such/program")).unwrap_err();
        assert_eq!(failure.kind(), io::ErrorKind::NotFound);
    }
}
