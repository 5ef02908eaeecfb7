//! Programs that are started for a person: a browser, the user's own command. Neither Ctrl-C nor the
//! end of the terminal reaches them, their command lines and our log hold no secret, and none stays
//! listed once it has ended.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Rehearsal, Rotation};
use lamplighter_tests::{
    browser::visit,
    desk::Desk,
    keeper::Keeper,
    stage::Stage,
    store::{self, CREDENTIALS},
    terminal::{self, Terminal},
};

/// A browser that lives until it is told to end, and answers as long as it lives.
const BROWSER: &str = r#"
here="${0%/*}"
mkfifo "$here/ask"
exec 3<> "$here/ask"
printf '%s\n' "$@" > "$here/opened"
env > "$here/environment"
# Process, state, parent, group, session, terminal (proc(5)).
sed 's/^\([0-9]*\) .*) /\1 /' "/proc/$$/stat" > "$here/new"
mv "$here/new" "$here/stat"
while read -r word <&3; do
    [ "$word" = end ] && exit
    printf '%s' "$word" > "$here/answer"
done
"#;

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signed_in() -> Stage {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    stage.sign_in("rig", 3600);
    stage
}

fn text(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok().filter(|text| !text.is_empty())
}

/// What stands in `stat`, split: process, state, parent, group, session, terminal.
fn stat(folder: &Path) -> Vec<String> {
    let stat = until("it has started", || text(folder, "stat"));
    stat.split(' ').map(str::to_owned).collect()
}

/// The browser still lives: it answers.
fn answers(folder: &Path, word: &str) {
    let ask = OpenOptions::new().read(true).write(true).open(folder.join("ask"));
    writeln!(ask.expect("its pipe"), "{word}").expect("asked");
    until("the browser answers", || text(folder, "answer").filter(|answer| answer == word));
}

/// Tells the browser to end.
fn answers_no_more(folder: &Path) {
    let ask = OpenOptions::new().read(true).write(true).open(folder.join("ask"));
    writeln!(ask.expect("its pipe"), "end").expect("told");
    let id = &stat(folder)[0];
    until("the browser has ended", || (!Path::new("/proc").join(id).exists()).then_some(()));
}

/// A program that a test started; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn neither_ctrl_c_nor_the_end_of_the_terminal_reaches_the_browser() {
    let stage = signed_in();
    let desk = Desk::new(&stage.home);
    desk.program("xdg-open", BROWSER);
    let mut command = desk.at_its_terminal(&["reconnect", "rig"]);
    command.env("DISPLAY", ":9");
    let mut terminal = Terminal::start(command);
    terminal.until("Waiting for your browser");
    let stat = stat(&desk.bin);
    assert_ne!(stat[4], terminal.id().to_string(), "the session is another one");
    assert_eq!((&stat[0], &stat[0]), (&stat[3], &stat[4]), "it is its own: {stat:?}");
    assert_eq!(stat[5], "0", "it has no terminal");
    terminal.types("\x03");
    let (shown, code) = terminal.end();
    assert_eq!(code, Some(10), "{shown}");
    answers(&desk.bin, "after Ctrl-C and the end of the terminal");
    answers_no_more(&desk.bin);
}

#[test]
fn a_browser_that_does_not_reach_this_machine_leaves_the_person_the_pages_own_address() {
    let stage = signed_in();
    let desk = Desk::new(&stage.home);
    // It opens on another machine, where the short address leads nowhere.
    desk.program("xdg-open", r#"echo "$1" > "${0%/*}/opened""#);
    let mut command = desk.at_its_terminal(&["reconnect", "rig"]);
    command.env("DISPLAY", ":9");
    let mut terminal = Terminal::start(command);
    terminal.until("Waiting for your browser");
    let short = until("it was asked to", || text(&desk.bin, "opened"));
    assert!(short.starts_with("http://127.0.0.1:"), "{short}");
    terminal.until("open this page yourself");
    terminal.until("/authorize?");
    terminal.types("\x03");
    let (shown, code) = terminal.end();
    assert_eq!(code, Some(10), "{shown}");
}

#[test]
fn a_terminal_that_is_closed_while_the_browser_is_open_leaves_it_alone() {
    let stage = signed_in();
    let desk = Desk::new(&stage.home);
    desk.program("xdg-open", BROWSER);
    let (ours, theirs) = terminal::ends();
    let another = || theirs.try_clone().expect("one more handle");
    let mut command = desk.at_its_terminal(&["reconnect", "rig"]);
    command.env("DISPLAY", ":9").stdin(another()).stdout(another()).stderr(another());
    let mut command_line = Running(command.spawn().expect("started"));
    drop((command, theirs));
    stat(&desk.bin);
    // As a person closes its window.
    drop(ours);
    until("the command ends", || command_line.0.try_wait().expect("a child of ours"));
    answers(&desk.bin, "after the end of the terminal");
    answers_no_more(&desk.bin);
}

#[test]
fn the_browsers_command_line_holds_no_secret_and_leads_to_the_page_once() {
    for by_keeper in [false, true] {
        let stage = signed_in();
        let desk = Desk::new(&stage.home);
        desk.program("xdg-open", BROWSER);
        let keeper = by_keeper.then(|| Keeper::start(&stage.home));
        if let Some(keeper) = &keeper {
            keeper.until_reachable(&stage.home);
        }
        let mut command = desk.command(&["reconnect", "rig"]);
        command.env("DISPLAY", ":9").stdout(Stdio::null()).stderr(Stdio::null());
        let mut command = Running(command.spawn().expect("started"));
        stat(&desk.bin);
        let opened = text(&desk.bin, "opened").unwrap_or_default();
        let address = opened.trim_end();
        assert!(address.len() < 80 && address.starts_with("http://127.0.0.1:"), "{address}");
        assert!(!address.contains("state") && !address.contains('?'), "{address}");
        let lead = visit(address);
        assert_eq!(lead.status, 302, "{lead:?}");
        let headers = lead.headers.to_lowercase();
        assert!(headers.contains("referrer-policy: no-referrer"), "{headers}");
        assert!(headers.contains("cache-control: no-store"), "{headers}");
        // Nobody is led there twice: the port closes.
        let port = address.trim_start_matches("http://").split('/').next().expect("a port");
        until("the port is closed", || std::net::TcpStream::connect(port).is_err().then_some(()));
        let back = visit(&lead.location.expect("the page")).location.expect("a way back");
        assert!(visit(&back).body.contains("Signed in to rig"));
        assert!(command.0.wait().expect("ended").success());
        answers_no_more(&desk.bin);
        drop(keeper);
        assert!(stage.holds_live_pair("rig"));
        stage.nothing_was_broken();
    }
}

#[test]
fn an_opener_that_has_ended_does_not_stay_listed() {
    let stage = signed_in();
    let desk = Desk::new(&stage.home);
    desk.program("xdg-open", r#"echo $$ > "${0%/*}/new"; mv "${0%/*}/new" "${0%/*}/stat""#);
    let mut command = desk.command(&["reconnect", "rig"]);
    command.env("DISPLAY", ":9").stdout(Stdio::null()).stderr(Stdio::null());
    let mut command = Running(command.spawn().expect("started"));
    let id = stat(&desk.bin)[0].trim().to_owned();
    until("it is gone", || (!Path::new("/proc").join(&id).exists()).then_some(()));
    assert!(matches!(command.0.try_wait(), Ok(None)), "the sign-in still waits");
}

#[test]
fn the_users_command_is_apart_from_the_keeper_and_what_it_prints_is_in_no_log() {
    let (stage, _) = Stage::with_rig(Rehearsal::builder().life_seconds(3600));
    let folder = stage.home.path();
    let script = r#"
sed 's/^\([0-9]*\) .*) /\1 /' "/proc/$$/stat" > "$0/new"
mv "$0/new" "$0/stat"
echo a-token-on-output; echo a-token-on-error >&2
exit 3"#;
    let command = ["sh", "-c", script, folder.to_str().expect("text"), "a-token-as-argument"];
    let config = stage.home.config("lamplighter");
    fs::create_dir_all(&config).expect("a folder");
    let settings = format!("on_change = {}\n", serde_json::Value::from(command.to_vec()));
    fs::write(config.join("settings.toml"), settings).expect("written");
    let log = folder.join("log");
    let file = fs::File::create(&log).expect("a file");
    let mut keep = lamplighter_tests::program::command(&stage.home, &["-vv", "keep"]);
    keep.stdout(file.try_clone().expect("one more handle")).stderr(file);
    let keep = Running(keep.spawn().expect("started"));
    let stat = stat(&folder);
    assert_eq!((&stat[0], &stat[0]), (&stat[3], &stat[4]), "a session of its own: {stat:?}");
    let said = until("it is complained of", || {
        text(&folder, "log").filter(|log| log.contains("the command failed"))
    });
    store::write(&stage.home, CREDENTIALS, r#"{"mcpOAuth":{}}"#);
    let said = until("the sign-out is told", || {
        text(&folder, "log").filter(|log| log.len() > said.len() && log.contains("signed out"))
    });
    assert!(!said.contains("a-token"), "{said}");
    drop(keep);
}
