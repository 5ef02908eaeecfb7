//! Disks that do not answer, files that are none, one folder under two names, and a system that does
//! not say what changes.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]
#![expect(clippy::print_stdout, reason = "who skips a test says so")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Fault, Mint, Rehearsal, Rotation};
use lamplighter_tests::{
    dead_disk::dead_at,
    home::run,
    keeper::Keeper,
    program::command,
    stage::Stage,
    store::{self, CREDENTIALS, VERDICTS},
};
use serde_json::{Value, json};

/// The command, for which `folder` never answers; says so where this machine allows no such thing.
fn unanswered(folder: &Path, command: &Command) -> Option<Command> {
    let dead = dead_at(folder, command);
    if dead.is_none() {
        println!("skipped: this machine lets nobody mount a file system of their own");
    }
    dead
}

fn stage() -> (Stage, lamplighter_rehearsal::Minted) {
    Stage::with_rig(Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict))
}

/// A new folder in the home.
fn folder(stage: &Stage, name: &str) -> PathBuf {
    let folder = stage.home.path().join(name);
    fs::create_dir_all(&folder).expect("a new folder");
    folder
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("written");
}

/// Claude Code's own file: it was used in this project, which the user trusts.
fn use_project(stage: &Stage, project: &Path) {
    let project = project.to_str().expect("text");
    let main = json!({"projects": {project: {
        "hasTrustDialogAccepted": true, "enabledMcpjsonServers": ["shared"]
    }}});
    write(&stage.home.path().join(".claude.json"), &main.to_string());
}

fn pipe_at(path: &Path) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

/// The refresh locks that stand in a folder of Claude Code's.
fn refresh_locks(folder: &Path) -> usize {
    let all = fs::read_dir(folder).expect("a folder").flatten();
    all.filter(|entry| entry.file_name().to_string_lossy().starts_with("mcp-refresh-")).count()
}

fn settings(stage: &Stage, folders: &[&Path]) {
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let text = format!("[stores.claude-code]\nfolders = {}\n", json!(folders));
    write(&stage.home.config("lamplighter/settings.toml"), &text);
}

/// `lamplighter doctor --json`: what it found, by code.
fn found(ran: &str) -> Vec<String> {
    let findings: Value = serde_json::from_str(ran).expect("JSON");
    let all = findings["findings"].as_array().expect("a list");
    all.iter().filter_map(|finding| Some(finding["code"].as_str()?.to_owned())).collect()
}

#[test]
fn a_project_that_does_not_answer_holds_up_no_renewal_and_no_end() {
    let (stage, _) = stage();
    let dead = folder(&stage, "dead");
    use_project(&stage, &dead);
    let keep = command(&stage.home, &["keep", "--json"]);
    let Some(keep) = unanswered(&dead, &keep) else { return };
    let keeper = Keeper::run(keep);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    assert!(stage.holds_live_pair("rig"));
    // And again, when everything has been looked at once.
    let theirs = stage.control.mint(Mint { access_life_seconds: -1, ..Mint::default() });
    let text = json!({"mcpOAuth": {stage.key("rig"): stage.entry_for("rig", &theirs)}});
    store::write(&stage.home, CREDENTIALS, &text.to_string());
    keeper.until("it is renewed again", |_| stage.holds_live_pair("rig"));
    keeper.until("the lock is let go", |_| refresh_locks(&stage.home.claude("")) == 0);
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
    let status = command(&stage.home, &["status", "--json"]);
    let told = run(dead_at(&dead, &status).expect("it could be mounted before")).succeeded();
    assert!(told.out.contains("claude-code/rig"), "{}", told.out);
    let doctor = command(&stage.home, &["doctor"]);
    let told = run(dead_at(&dead, &doctor).expect("it could be mounted before"));
    let words = format!("{}/.mcp.json does not answer", dead.display());
    assert!(told.out.contains(&words), "{}{}", told.out, told.err);
}

#[test]
fn another_folder_that_does_not_answer_keeps_the_first_ones_sign_ins_from_nothing() {
    let (stage, _) = stage();
    let dead = folder(&stage, ".claude-dead");
    settings(&stage, &[&dead]);
    let keep = command(&stage.home, &["keep", "--json"]);
    let Some(keep) = unanswered(&dead, &keep) else { return };
    let keeper = Keeper::run(keep);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    assert_eq!(keeper.terminate(), Some(0));
    assert!(stage.holds_live_pair("rig"));
}

/// A keeper that has presented its token and waits for the answer, while its store begins to hang.
fn hang_in_mid_renewal() -> Option<(Stage, Keeper, PathBuf)> {
    let (stage, minted) = stage();
    let dead = folder(&stage, "dead");
    stage.control.inject(Fault::Slow { ms: 3_000 }, 1);
    let keep = unanswered(&dead, &command(&stage.home, &["keep", "--json"]))?;
    let keeper = Keeper::run(keep);
    keeper.until("the token is presented", |_| {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    let (real, link) = (stage.home.claude("real"), stage.home.claude("link"));
    symlink(dead.join("store"), &link).expect("a link");
    fs::copy(stage.home.claude(CREDENTIALS), &real).expect("a copy");
    fs::rename(link, stage.home.claude(CREDENTIALS)).expect("put in its place");
    Some((stage, keeper, real))
}

#[test]
fn a_store_that_hangs_in_mid_renewal_costs_neither_the_clients_lock_nor_the_new_tokens() {
    let Some((stage, keeper, real)) = hang_in_mid_renewal() else { return };
    let claude = stage.home.claude("");
    keeper.until("the locks are let go", |_| {
        refresh_locks(&claude) == 0 && !claude.join(".storage-write.lock").exists()
    });
    fs::rename(real, stage.home.claude(CREDENTIALS)).expect("put back");
    keeper.until("the new tokens are saved", |_| stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), 1);
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
}

#[test]
fn a_copy_whose_disk_dies_in_mid_renewal_is_left_out_and_the_other_folder_is_served_at_once() {
    let (stage, minted) = stage();
    let (dead, copy) = (folder(&stage, "dead"), folder(&stage, ".claude-copy"));
    fs::copy(stage.home.claude(CREDENTIALS), copy.join(CREDENTIALS)).expect("a copy");
    settings(&stage, &[&copy]);
    stage.control.inject(Fault::Slow { ms: 3_000 }, 1);
    let keep = command(&stage.home, &["keep", "--json"]);
    let Some(keep) = unanswered(&dead, &keep) else { return };
    let keeper = Keeper::run(keep);
    keeper.until("the token is presented", |_| {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    let real = stage.home.path().join("real");
    fs::rename(&copy, &real).expect("put away");
    symlink(dead.join("store"), &copy).expect("a link");
    let presented = Instant::now();
    keeper.until("the new tokens are saved", |_| stage.holds_live_pair("rig"));
    assert!(presented.elapsed() < Duration::from_secs(9), "{:?}", presented.elapsed());
    keeper.until("the lock is let go", |_| refresh_locks(&stage.home.claude("")) == 0);
    assert!(presented.elapsed() < Duration::from_secs(60), "{:?}", presented.elapsed());
    assert!(keeper.events("failed").iter().all(|event| event["grant"] != "claude-code/rig"));
    fs::remove_file(&copy).expect("removed");
    fs::rename(real, &copy).expect("put back");
    let same = || {
        let stored = |folder: &Path| fs::read(folder.join(CREDENTIALS)).expect("a file");
        let tokens = |text: Vec<u8>| serde_json::from_slice::<Value>(&text).expect("JSON");
        let mine = tokens(stored(&stage.home.claude("")));
        tokens(stored(&copy))["mcpOAuth"] == mine["mcpOAuth"]
    };
    keeper.until("the copy has them too", |_| same());
    assert_eq!(stage.refreshes().len(), 1);
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
}

#[test]
fn told_to_end_while_a_store_hangs_it_ends_and_the_next_run_saves_the_new_tokens() {
    let Some((stage, keeper, real)) = hang_in_mid_renewal() else { return };
    assert_eq!(keeper.terminate(), Some(0));
    assert_eq!(refresh_locks(&stage.home.claude("")), 0);
    fs::rename(real, stage.home.claude(CREDENTIALS)).expect("put back");
    stage.run(&["renew"]);
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

#[test]
fn files_that_are_none_are_neither_read_nor_waited_for() {
    let (stage, _) = stage();
    let project = folder(&stage, "project");
    use_project(&stage, &project);
    pipe_at(&project.join(".mcp.json"));
    pipe_at(&stage.home.claude(VERDICTS));
    symlink("/dev/zero", stage.home.claude("settings.json")).expect("a link");
    stage.run(&["renew"]).succeeded();
    assert!(stage.holds_live_pair("rig"));
    let told = stage.run(&["doctor"]).out;
    for odd in [project.join(".mcp.json"), stage.home.claude("settings.json")] {
        let words = format!("{} can't be used: it is not a regular file", odd.display());
        assert!(told.contains(&words), "{told}");
    }
    // The same where the endless file is the project's, or the store itself.
    fs::remove_file(project.join(".mcp.json")).expect("removed");
    symlink("/dev/zero", project.join(".mcp.json")).expect("a link");
    stage.run(&["status"]).succeeded();
    let settings = stage.home.config("lamplighter/settings.toml");
    pipe_at(&settings);
    let ran = stage.run(&["status"]);
    assert!(ran.err.contains("not a regular file"), "{}", ran.err);
    fs::remove_file(settings).expect("removed");
    for make in [pipe_at, |path: &Path| {
        fs::remove_file(path).expect("removed");
        symlink("/dev/zero", path).expect("a link");
    }] {
        make(&stage.home.claude(CREDENTIALS));
        let ran = stage.run(&["status"]);
        assert_eq!(ran.code, Some(12), "{}{}", ran.out, ran.err);
    }
}

#[test]
fn one_folder_under_two_names_is_offered_to_nobody_and_is_one_store_when_it_is_added() {
    let (stage, _) = stage();
    let link = stage.home.path().join(".claude-link");
    symlink(".claude", &link).expect("a link");
    let doctor = || found(&stage.run(&["doctor", "--json"]).out);
    assert!(!doctor().contains(&"store_offered".to_owned()));
    let twice = stage.home.path().join(".claude-other/../.claude");
    folder(&stage, ".claude-other");
    settings(&stage, &[&link, &twice, &stage.home.claude("")]);
    assert!(!doctor().contains(&"store_offered".to_owned()));
    assert_eq!(stage.status()["servers"].as_array().map(Vec::len), Some(1));
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    assert!(stage.holds_live_pair("rig"));
    assert!(keeper.events("failed").is_empty());
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
    // The variable may name the usual folder by the link as well.
    let mut status = command(&stage.home, &["status", "--json"]);
    status.env("CLAUDE_CONFIG_DIR", &link);
    let told: Value = serde_json::from_str(&run(status).succeeded().out).expect("JSON");
    assert_eq!(told["servers"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["servers"][0]["id"], "claude-code/rig");
    let mut doctor = command(&stage.home, &["doctor", "--json"]);
    doctor.env("CLAUDE_CONFIG_DIR", &link);
    assert!(!found(&run(doctor).out).contains(&"store_offered".to_owned()));
}

#[test]
fn a_folder_that_becomes_another_name_of_the_first_one_meanwhile_is_waited_for_by_nobody() {
    let stage = at_rest();
    let copy = folder(&stage, ".claude-copy");
    fs::copy(stage.home.claude(CREDENTIALS), copy.join(CREDENTIALS)).expect("a copy");
    settings(&stage, &[&copy]);
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    assert_eq!(stage.status()["servers"].as_array().map(Vec::len), Some(2));
    fs::remove_dir_all(&copy).expect("removed");
    symlink(".claude", &copy).expect("a link");
    // Not due for long, so that both stores are seen to hold it before somebody asks.
    let theirs = Mint { access_life_seconds: 36_000, ..Mint::default() };
    let theirs = stage.control.mint(theirs);
    let text = json!({"mcpOAuth": {stage.key("rig"): stage.entry_for("rig", &theirs)}});
    store::write(&stage.home, CREDENTIALS, &text.to_string());
    keeper.until("both are seen to hold it", |keeper| {
        let adopted = keeper.events("renewed").into_iter().filter(|e| e["by"] == "client");
        adopted.count() == 2
    });
    stage.run(&["renew", "claude-code/rig"]).succeeded();
    assert_ne!(stage.pair("rig").1, theirs.refresh_token);
    let busy = |event: &Value| event["why"].as_str().is_some_and(|why| why.contains("is held by"));
    assert!(!keeper.events("failed").iter().any(busy), "{:?}", keeper.events("failed"));
    keeper.until("the lock is let go", |_| refresh_locks(&stage.home.claude("")) == 0);
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
}

/// A home where nothing is due for long, so that no look is taken but for a change.
fn at_rest() -> Stage {
    let mut stage =
        Stage::new(Rehearsal::builder().life_seconds(36_000).rotation(Rotation::Strict));
    stage.sign_in("rig", 36_000);
    stage
}

/// The client renews by itself, and the keeper sees it.
fn is_adopted(stage: &Stage, keeper: &Keeper) {
    keeper.until("it was looked at", |keeper| !keeper.events("checked").is_empty());
    let theirs = Mint { access_life_seconds: 36_000, ..Mint::default() };
    let theirs = stage.control.mint(theirs);
    let text = json!({"mcpOAuth": {stage.key("rig"): stage.entry_for("rig", &theirs)}});
    store::write(&stage.home, CREDENTIALS, &text.to_string());
    keeper.until("it is adopted", |keeper| {
        keeper.events("renewed").iter().any(|event| event["by"] == "client")
    });
}

#[test]
fn a_log_in_the_home_that_is_written_all_the_time_hides_no_change() {
    let stage = at_rest();
    let keeper = Keeper::start(&stage.home);
    let busy = Arc::new(AtomicBool::new(true));
    let (goes_on, log) = (Arc::clone(&busy), stage.home.path().join("a.log"));
    let writer = std::thread::spawn(move || {
        while goes_on.load(Ordering::Acquire) {
            fs::write(&log, "a line\n").expect("written");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    is_adopted(&stage, &keeper);
    busy.store(false, Ordering::Release);
    writer.join().expect("ended");
    assert_eq!(keeper.terminate(), Some(0));
}

/// The same command, to which the system gives no watcher.
fn without_watchers(command: &Command) -> Option<Command> {
    let deny = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let shell = || {
        let mut shell = Command::new("unshare");
        shell.args(["--user", "--map-root-user", "sh", "-c", deny, "sh"]);
        shell
    };
    if !shell().arg("true").output().is_ok_and(|tried| tried.status.success()) {
        println!("skipped: this machine lets nobody set limits of their own");
        return None;
    }
    let mut wrapped = shell();
    wrapped.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    Some(wrapped)
}

#[test]
fn where_the_system_can_not_watch_stores_are_looked_at_and_doctor_says_so() {
    let stage = at_rest();
    let Some(keep) = without_watchers(&command(&stage.home, &["keep", "--json"])) else { return };
    let keeper = Keeper::run(keep);
    is_adopted(&stage, &keeper);
    assert_eq!(keeper.terminate(), Some(0));
    let doctor = command(&stage.home, &["doctor", "--json"]);
    let told = run(without_watchers(&doctor).expect("it could be denied before"));
    assert!(found(&told.out).contains(&"not_watched".to_owned()), "{}{}", told.out, told.err);
    assert!(!found(&stage.run(&["doctor", "--json"]).out).contains(&"not_watched".to_owned()));
}
