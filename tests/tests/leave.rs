//! What comes to stay and how it goes: the service, the user's own command for news, completions and
//! manual pages, and leaving without a trace.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Fault, Rehearsal, Rotation};
use lamplighter_tests::{
    desk::Desk,
    home::Home,
    keeper::Keeper,
    program::lamplighter,
    stage::Stage,
    store::{self, CREDENTIALS},
};
use serde_json::Value;

fn strict() -> lamplighter_rehearsal::Builder {
    Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Every file and folder of ours that there is.
fn ours(home: &Home) -> Vec<PathBuf> {
    let folders = ["state", "config", "run", "cache", "data"];
    let folders = folders.map(|name| home.path().with_file_name(name));
    let found = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let found = found.map(|entry| entry.expect("an entry").path());
    found.filter(|path| !path.ends_with("config/systemd")).collect()
}

fn set(home: &Home, settings: &str) {
    let folder = home.path().with_file_name("config").join("lamplighter");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("settings.toml"), settings).expect("written");
}

#[test]
fn the_service_keeps_servers_signed_in_until_it_is_removed() {
    let (stage, _) = Stage::with_rig(strict());
    let desk = Desk::new(&stage.home);
    assert_eq!(desk.run(&["service", "status"]).code, Some(1));
    let ran = desk.run(&["service", "install"]).succeeded();
    assert!(ran.out.contains("enable-linger"), "{}", ran.out);
    until("the service renews what is due", || stage.holds_live_pair("rig"));
    let status = json(&desk.run(&["service", "status", "--json"]).succeeded().out);
    let program = desk.bin.join("lamplighter").display().to_string();
    assert_eq!((&status["schema"], &status["installed"]), (&1.into(), &"yes".into()));
    assert_eq!((&status["running"], &status["lingering"]), (&true.into(), &false.into()));
    assert_eq!(status["program"].as_str(), Some(program.as_str()));
    assert!(status["pid"].is_u64());
    let again = json(&desk.run(&["service", "install", "--json"]).succeeded().out);
    assert_eq!((&again["changed"], &again["pid"]), (&false.into(), &status["pid"]));
    // Commands reach it like any other keeper.
    desk.run(&["renew", "rig"]).succeeded();
    assert_eq!(stage.refreshes().len(), 2);
    desk.run(&["service", "remove"]).succeeded();
    assert!(!desk.unit().exists());
    assert_eq!(desk.run(&["service", "status"]).code, Some(1));
    let ran = desk.run(&["service", "remove", "--json"]).succeeded();
    assert_eq!(json(&ran.out)["removed"], false);
    assert!(desk.told().contains(&"disable --now lamplighter.service".into()));
    stage.nothing_was_broken();
}

#[test]
fn installing_again_after_an_upgrade_starts_the_new_program() {
    let (stage, _) = Stage::with_rig(strict());
    let desk = Desk::new(&stage.home);
    desk.run(&["service", "install"]).succeeded();
    until("the service renews what is due", || stage.holds_live_pair("rig"));
    let status = || json(&desk.run(&["service", "status", "--json"]).succeeded().out);
    let before = status();
    // As an installer replaces a program that runs.
    let (program, new) = (desk.bin.join("lamplighter"), desk.bin.join("lamplighter.new"));
    let copied = Command::new("cp").arg(&program).arg(&new).status();
    assert!(copied.expect("cp runs").success());
    fs::rename(&new, &program).expect("replaced");
    let again = json(&desk.run(&["service", "install", "--json"]).succeeded().out);
    assert_eq!(again["changed"], true);
    assert_ne!((&again["pid"], &status()["pid"]), (&before["pid"], &before["pid"]));
    let ran = desk.run(&["service", "install"]).succeeded();
    assert!(ran.out.contains("installed already, and runs"), "{}", ran.out);
    assert_eq!(again["pid"], status()["pid"], "nothing has changed since");
    stage.nothing_was_broken();
}

#[test]
fn no_service_is_left_half_installed() {
    let home = Home::new();
    let ran = lamplighter(&home, &["service", "install"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("cargo install"), "{}", ran.err);
    let desk = Desk::new(&home);
    desk.program("systemctl", "echo 'Failed to connect to bus' >&2; exit 1");
    let ran = desk.run(&["service", "install"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("Failed to connect to bus"), "{}", ran.err);
    assert!(ran.err.contains("lamplighter keep"), "{}", ran.err);
    assert!(!desk.unit().exists());
    fs::create_dir_all(desk.unit().parent().expect("a folder")).expect("made");
    fs::write(desk.unit(), "[Service]\nExecStart=/usr/bin/mine\n").expect("written");
    for command in ["install", "remove"] {
        let ran = desk.run(&["service", command]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains("not written by Lamplighter"), "{}", ran.err);
    }
    assert_eq!(fs::read_to_string(desk.unit()).expect("there").lines().count(), 2);
}

#[test]
fn the_users_command_hears_of_each_change_and_of_no_secret() {
    let (stage, minted) = Stage::with_rig(strict());
    let heard = stage.home.path().join("heard");
    let script = r#"read -r line; printf '%s\n' "$line" >> "$0""#;
    let command = ["sh", "-c", script, heard.to_str().expect("text")];
    set(&stage.home, &format!("on_change = {}\n", Value::from(command.to_vec())));
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&heard).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(json).collect()
    };
    let of = |event: &str| lines().into_iter().filter(|line| line["event"] == event).count();
    let keeper = Keeper::start(&stage.home);
    until("the renewal was told", || of("renewed") == 1);
    let (access, refresh) = stage.pair("rig");
    until("the new health was told", || of("health") == 1);
    stage.run(&["pause", "rig"]).succeeded();
    until("the pause was told", || of("health") == 2);
    store::write(&stage.home, CREDENTIALS, r#"{"mcpOAuth":{}}"#);
    until("the sign-out was told", || of("signed_out") == 1);
    assert_eq!(keeper.terminate(), Some(0));
    let lines = lines();
    for line in &lines {
        assert_eq!(line["schema"], 1);
        assert_eq!(line["id"], "claude-code/rig");
        assert!(line["at"].as_str().expect("a time").ends_with('Z'));
    }
    let renewed = lines.iter().find(|line| line["event"] == "renewed").expect("told");
    assert_eq!(renewed["server"]["renewed_by"], "lamplighter");
    let members = renewed["server"].as_object().expect("an object");
    assert_eq!(members.len(), 19, "the object that `status --json` has: {members:?}");
    let healths: Vec<(&Value, &Value)> = lines
        .iter()
        .filter(|line| line["event"] == "health")
        .map(|line| (&line["was"], &line["server"]["health"]))
        .collect();
    let [due, good, paused] = ["retrying_ended", "healthy", "paused"].map(Value::from);
    assert_eq!(healths[..2], [(&due, &good), (&good, &paused)]);
    let told = fs::read_to_string(&heard).expect("told");
    for secret in [&minted.access_token, &minted.refresh_token, &access, &refresh] {
        assert!(!told.contains(secret.as_str()), "{told}");
    }
}

#[test]
fn a_command_that_hangs_delays_nothing() {
    let (stage, _) = Stage::with_rig(strict());
    set(&stage.home, "on_change = [\"sleep\", \"600\"]\n");
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let start = Instant::now();
    for _ in 0..3 {
        stage.run(&["renew", "rig"]).succeeded();
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(keeper.terminate(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn leaving_takes_all_that_is_ours_and_leaves_clients_signed_in() {
    let (stage, _) = Stage::with_rig(strict());
    set(&stage.home, "keyring = 'off'\n");
    stage.run(&["renew"]).succeeded();
    let saved = store::read(&stage.home, CREDENTIALS);
    let ran = stage.run(&["uninstall"]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    assert_eq!(ours(&stage.home).len(), 3);
    let ran = stage.run(&["uninstall", "--yes", "--json"]).succeeded();
    // What was renewed just now is watched for as long as a client may write an old copy back.
    assert!(ran.took > Duration::from_secs(50), "{:?}", ran.took);
    let document = json(ran.out.lines().last().expect("a document"));
    assert_eq!((&document["schema"], &document["keyring"]), (&1.into(), &"not_asked".into()));
    let removed: Vec<&str> =
        document["removed"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for name in ["state.json", "engine.lock", "history.jsonl", "settings.toml"] {
        assert!(removed.iter().any(|path| path.ends_with(name)), "{name}: {removed:?}");
    }
    assert!(removed.iter().all(|path| !Path::new(path).exists()), "{removed:?}");
    assert_eq!(ours(&stage.home), Vec::<PathBuf>::new());
    assert_eq!(store::read(&stage.home, CREDENTIALS), saved);
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), 1);
    let ran = stage.run(&["uninstall", "--yes"]).succeeded();
    assert!(!ran.out.contains("removed "), "{}", ran.out);
    assert_eq!(ours(&stage.home), Vec::<PathBuf>::new());
}

#[test]
fn an_old_copy_that_comes_back_while_leaving_is_replaced_once_more() {
    let (stage, _) = Stage::with_rig(strict());
    let old = store::read(&stage.home, CREDENTIALS);
    stage.run(&["renew"]).succeeded();
    let saved = stage.pair("rig");
    store::write(&stage.home, CREDENTIALS, &old);
    stage.run(&["uninstall", "--yes"]).succeeded();
    assert_eq!(stage.pair("rig"), saved);
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(ours(&stage.home), Vec::<PathBuf>::new());
    stage.nothing_was_broken();
}

#[test]
fn what_cannot_be_brought_home_keeps_everything_where_it_is() {
    let (stage, minted) = Stage::with_rig(strict());
    // The client's write lock is held, so the answer gets as far as the journal and no further.
    let lock = stage.home.claude(".storage-write.lock");
    fs::create_dir(&lock).expect("a lock");
    let program = PathBuf::from(std::env::var_os("LAMPLIGHTER_BIN").expect("set by xtask"));
    let mut renewing: Command = stage.home.command(&program);
    renewing.arg("renew").stdout(Stdio::null()).stderr(Stdio::null());
    let mut renewing = renewing.spawn().expect("started");
    let newest = || stage.control.newest_pair_of(&minted.refresh_token);
    until("the answer was given", || newest().1 != minted.refresh_token);
    let journal = stage.home.path().with_file_name("state").join("lamplighter/journal");
    until("the answer is in the journal", || {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains(&newest().0))
    });
    renewing.kill().expect("killed");
    renewing.wait().expect("gone");
    // A lock of a process that is gone is taken over; this one's holder is at work all the time.
    let held = std::sync::atomic::AtomicBool::new(true);
    let before = ours(&stage.home);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while held.load(std::sync::atomic::Ordering::Relaxed) {
                fs::create_dir_all(&lock).expect("held");
                let now = std::time::SystemTime::now();
                let folder = fs::File::open(&lock).expect("a folder");
                folder.set_modified(now).expect("touched");
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let ran = stage.run(&["uninstall", "--yes"]);
        held.store(false, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(ran.code, Some(12), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("nothing was removed"), "{}", ran.err);
        assert!(ran.err.contains("could not be saved"), "{}", ran.err);
    });
    assert_eq!(ours(&stage.home), before);
    assert!(fs::read_to_string(&journal).expect("there").contains(&newest().0));
    assert_eq!(stage.pair("rig").1, minted.refresh_token, "nothing was written");
    // Let go, the very tokens that were received come home.
    fs::remove_dir(&lock).expect("let go");
    stage.run(&["uninstall", "--yes"]).succeeded();
    assert_eq!(stage.pair("rig"), newest());
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(ours(&stage.home), Vec::<PathBuf>::new());
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

#[test]
fn an_answer_that_could_not_be_read_keeps_everything_while_its_token_is_in_the_store() {
    let (stage, _) = Stage::with_rig(strict());
    stage.control.inject(Fault::HalfJson200After, 2);
    stage.run(&["renew"]);
    let journal = stage.home.path().with_file_name("state").join("lamplighter/journal");
    let before = (ours(&stage.home), fs::read(&journal).expect("there"));
    let ran = stage.run(&["uninstall", "--yes"]);
    assert_eq!(ran.code, Some(12), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("nothing was removed"), "{}", ran.err);
    assert!(ran.err.contains("could not be read"), "{}", ran.err);
    assert_eq!((ours(&stage.home), fs::read(&journal).expect("there")), before);
    store::write(&stage.home, CREDENTIALS, r#"{"mcpOAuth":{}}"#);
    stage.run(&["uninstall", "--yes"]).succeeded();
    assert_eq!(ours(&stage.home), Vec::<PathBuf>::new());
}

#[test]
fn an_answer_that_could_not_be_read_keeps_nothing_once_nobody_is_signed_in_and_names_a_store_that_is_away()
 {
    let (stage, _) = Stage::with_rig(strict());
    stage.control.inject(Fault::HalfJson200After, 2);
    stage.run(&["renew"]);
    let journal = stage.home.path().with_file_name("state").join("lamplighter/journal");
    let (place, away) = (stage.home.path().join(".claude"), stage.home.path().join("away"));
    fs::rename(&place, &away).expect("moved");
    let ran = stage.run(&["uninstall", "--yes"]);
    assert_eq!(ran.code, Some(12), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("where their store is not there"), "{}", ran.err);
    let told = stage.run(&["status"]).out;
    assert!(told.contains("bring it back") && told.contains(&*journal.to_string_lossy()), "{told}");
    let doctor = stage.run(&["doctor", "--json"]).out;
    assert!(doctor.contains("journal_unfinished"), "{doctor}");
    fs::rename(&away, &place).expect("back");
    store::write(&stage.home, "settings.json", "{}");
    fs::remove_file(stage.home.claude(CREDENTIALS)).expect("removed");
    stage.run(&["uninstall", "--yes"]).succeeded();
    assert_eq!(ours(&stage.home), Vec::<PathBuf>::new());
}

#[test]
fn a_service_file_that_cannot_be_removed_leaves_the_service_running() {
    let (stage, _) = Stage::with_rig(strict());
    let desk = Desk::new(&stage.home);
    desk.run(&["service", "install"]).succeeded();
    until("the service renews what is due", || stage.holds_live_pair("rig"));
    // Root may remove every file, but no folder in its place.
    fs::rename(desk.bin.join("systemctl"), desk.bin.join("systemctl-itself")).expect("moved");
    let unit = desk.unit().display().to_string();
    desk.program(
        "systemctl",
        &format!(
            r#"
case "$*" in
    *"enable --now "*) [ -d '{unit}' ] && rmdir '{unit}' && mv '{unit}.aside' '{unit}' ;;
esac
"$0-itself" "$@"
case "$*" in "--user disable "*) mv '{unit}' '{unit}.aside' && mkdir '{unit}' ;; esac
"#
        ),
    );
    for command in [&["service", "remove"][..], &["uninstall", "--yes"]] {
        let ran = desk.run(command);
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("can't be removed"), "{}", ran.err);
        let status = json(&desk.run(&["service", "status", "--json"]).succeeded().out);
        assert_eq!(status["running"], true, "{status}");
        until("commands reach it", || stage.run(&["renew", "rig"]).code == Some(0));
    }
    stage.nothing_was_broken();
}

#[test]
fn a_keeper_that_runs_is_named_and_nothing_is_removed() {
    let (stage, _) = Stage::with_rig(strict());
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let before = ours(&stage.home);
    let ran = stage.run(&["uninstall", "--yes"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(&keeper.id().to_string()), "{}", ran.err);
    assert!(ran.err.contains("end it first"), "{}", ran.err);
    assert_eq!(ours(&stage.home), before);
    stage.run(&["renew", "rig"]).succeeded();
}

#[test]
fn the_service_goes_with_the_rest_and_a_file_of_the_users_stays() {
    let (stage, _) = Stage::with_rig(strict());
    let desk = Desk::new(&stage.home);
    desk.run(&["service", "install"]).succeeded();
    until("the service renews what is due", || stage.holds_live_pair("rig"));
    let notes = stage.home.path().with_file_name("state").join("lamplighter/notes.txt");
    fs::write(&notes, "mine").expect("written");
    let ran = desk.run(&["uninstall", "--yes"]).succeeded();
    assert!(!desk.unit().exists());
    assert_eq!(desk.run(&["service", "status"]).code, Some(1));
    assert!(ran.out.contains("not Lamplighter's"), "{}", ran.out);
    assert_eq!(fs::read_to_string(&notes).expect("there"), "mine");
    assert_eq!(ours(&stage.home).len(), 1, "{:?}", ours(&stage.home));
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn shells_and_readers_get_what_they_need() {
    let home = Home::new();
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c")] {
        let ran = lamplighter(&home, &["completions", shell]).succeeded();
        assert!(ran.out.contains(word), "{shell}: {}", ran.out);
        assert!(ran.out.contains("uninstall"), "{shell}: {}", ran.out);
        assert!(!ran.out.contains("finish-journal"), "{shell}: nobody is to type that");
    }
    assert_eq!(lamplighter(&home, &["completions", "tcl"]).code, Some(2));
    let page = lamplighter(&home, &["man"]).succeeded().out;
    assert!(page.contains(".SH EXAMPLES") && page.contains("Exit codes"), "{page}");
    let pages = home.path().join("man1");
    lamplighter(&home, &["man", "--out", pages.to_str().expect("text")]).succeeded();
    for name in ["lamplighter.1", "lamplighter-renew.1", "lamplighter-service-install.1"] {
        let page = fs::read_to_string(pages.join(name)).expect(name);
        assert!(page.contains(".SH EXAMPLES"), "{name}: {page}");
    }
    assert_eq!(ours(&home), Vec::<PathBuf>::new());
    for command in [
        &["service", "--help"][..],
        &["service", "install", "--help"],
        &["service", "remove", "--help"],
        &["service", "status", "--help"],
        &["uninstall", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
    ] {
        let ran = lamplighter(&home, command).succeeded();
        assert!(ran.out.contains("Examples:"), "{command:?}: {}", ran.out);
    }
}

#[test]
fn open_starts_the_tray_beside_the_command_and_says_so_where_there_is_none() {
    let home = Home::new();
    let desk = Desk::new(&home);
    let open = |display: &str| {
        let mut command = desk.command(&["open"]);
        // Only what lies beside the command counts.
        command.env("PATH", &desk.bin).env("DISPLAY", display);
        lamplighter_tests::home::run(command)
    };
    let none = open(":77");
    assert_eq!(none.code, Some(1), "{}{}", none.out, none.err);
    assert!(none.err.contains("no lamplighter-tray beside this command"), "{}", none.err);
    desk.program("lamplighter-tray", "echo started \"$#\" > \"$0.log\"");
    open(":77").succeeded();
    let log = fs::read_to_string(desk.bin.join("lamplighter-tray.log")).expect("it ran");
    assert_eq!(log, "started 0\n");
    let blind = open("");
    assert_eq!(blind.code, Some(1), "{}{}", blind.out, blind.err);
    assert!(blind.err.contains("no display"), "{}", blind.err);
    desk.program("lamplighter-tray", "exit 3");
    let failed = open(":77");
    assert_eq!(failed.code, Some(1), "{}{}", failed.out, failed.err);
    assert!(failed.err.contains("ended at once"), "{}", failed.err);
}
