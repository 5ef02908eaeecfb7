//! The keeper in the foreground: it renews before the client would, sees what others do to the
//! store, and ends cleanly.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Fault, Mint, Minted, Rehearsal, Rotation};
use lamplighter_tests::{
    cost::Cost,
    home::Home,
    keeper::Keeper,
    program::command,
    stage::Stage,
    store::{self, CREDENTIALS},
};

#[test]
fn short_tokens_are_renewed_in_time_for_several_servers_and_none_is_forgotten() {
    let builder = Rehearsal::builder().life_seconds(40).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    for name in ["one", "two", "three"] {
        stage.sign_in(name, 3600);
    }
    // Ends soon, so all are due; the first write is looked at for 65 s before the others follow.
    for name in ["one", "two", "three"] {
        stage.edit(name, |entry| entry["expiresAt"] = (store::now_ms() + 100_000).into());
    }
    let keeper = Keeper::start(&stage.home);
    keeper.until("every server was renewed", |keeper| {
        let renewed = keeper.events("renewed");
        ["one", "two", "three"]
            .iter()
            .all(|name| renewed.iter().any(|e| e["grant"] == format!("claude-code/{name}")))
    });
    for name in ["one", "two", "three"] {
        assert!(stage.holds_live_pair(name), "{name}");
    }
    assert!(keeper.events("notice").is_empty());
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
}

#[test]
fn what_others_do_to_the_store_is_seen_at_once() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    // A verdict older than the renewal is stale, and goes.
    let verdict = serde_json::json!({"rig": {"timestamp": store::now_ms() - 600_000}});
    store::write(&stage.home, store::VERDICTS, &verdict.to_string());
    keeper.until("the verdict is withdrawn", |_| store::verdicts(&stage.home).is_empty());
    // The client renews by itself.
    let theirs = stage.control.mint(Mint::default());
    let text = serde_json::json!({"mcpOAuth": {stage.key("rig"): stage.entry_for("rig", &theirs)}});
    store::write(&stage.home, CREDENTIALS, &text.to_string());
    keeper.until("it is adopted", |keeper| {
        keeper.events("renewed").iter().any(|event| event["by"] == "client")
    });
    // The user signs out.
    store::write(&stage.home, CREDENTIALS, r#"{"mcpOAuth":{}}"#);
    keeper.until("the sign-out is respected", |keeper| !keeper.events("signed_out").is_empty());
    assert_eq!(store::read(&stage.home, CREDENTIALS), r#"{"mcpOAuth":{}}"#);
    assert_eq!(keeper.terminate(), Some(0));
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
    let log = stage.run(&["log"]).succeeded().out;
    for words in ["renewed by Lamplighter", "renewed by its client", "withdrawn", "signed out"] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn an_old_copy_that_a_client_writes_back_is_replaced_again() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let old = store::read(&stage.home, CREDENTIALS);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let new = stage.pair("rig");
    store::write(&stage.home, CREDENTIALS, &old);
    keeper.until("it is restored", |keeper| keeper.events("restored").len() == 1);
    assert_eq!(stage.pair("rig"), new);
    assert_eq!(stage.refreshes().len(), 1, "a spent token is never presented again");
}

#[test]
fn terminated_in_mid_refresh_the_answer_still_comes_home() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, minted) = Stage::with_rig(builder);
    stage.control.inject(Fault::Slow { ms: 2_000 }, 1);
    let keeper = Keeper::start(&stage.home);
    keeper.until("the token is presented", |_| {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    assert_eq!(keeper.terminate(), Some(0));
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn commands_beside_a_keeper_are_done_by_it() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, minted) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let ran = stage.run(&["renew", "rig"]).succeeded();
    assert!(ran.err.contains("claude-code/rig: renewed"), "{}", ran.err);
    assert!(ran.out.contains("renews in"), "{}", ran.out);
    assert!(ran.took.as_secs() < 5, "{:?}", ran.took);
    assert_eq!(keeper.events("renewed").len(), 2);
    let ran = stage.run(&["renew", "--json"]).succeeded();
    assert!(ran.out.contains(r#""event":"unchanged""#), "{}", ran.out);
    assert!(stage.run(&["check", "rig"]).succeeded().err.contains("2 tools"));
    stage.run(&["pause", "rig"]).succeeded();
    assert_eq!(stage.server("rig")["health"], "paused");
    assert_eq!(stage.run(&["renew", "no-such-server"]).code, Some(1));
    stage.run(&["resume", "rig"]).succeeded();
    assert_eq!(stage.refreshes().len(), 2);
    assert!(stage.holds_live_pair("rig"));
    // What travelled over the socket, and what was printed, holds no secret.
    let (access, refresh) = stage.pair("rig");
    for secret in [&minted.access_token, &minted.refresh_token, &access, &refresh] {
        assert!(!ran.out.contains(secret.as_str()) && !ran.err.contains(secret.as_str()));
    }
    stage.nothing_was_broken();
}

#[test]
fn the_socket_is_the_users_alone_and_takes_no_nonsense() {
    use std::{io::Read, io::Write, os::unix::fs::PermissionsExt, os::unix::net::UnixStream};
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let socket = stage.home.path().with_file_name("run").join("lamplighter/keeper.sock");
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().expect("a folder")), 0o700);
    let hello = "{\"lamplighter\":1}\n";
    let long = format!("{hello}{}", "x".repeat(200_000));
    let other_version = "{\"lamplighter\":2}\n".to_owned();
    let unknown = format!("{hello}{{\"act\":\"format_disk\"}}\n");
    for nonsense in [long, other_version, unknown, "GET / HTTP/1.1\r\n\r\n".to_owned()] {
        let mut stream = UnixStream::connect(&socket).expect("connected");
        let _ = stream.write_all(nonsense.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut heard = String::new();
        let _ = stream.read_to_string(&mut heard);
        assert!(heard.is_empty() || heard == hello, "{heard}");
    }
    stage.run(&["renew", "rig"]).succeeded();
    assert_eq!(keeper.terminate(), Some(0));
}

#[test]
fn a_second_keeper_is_told_who_runs() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    let ran = stage.run(&["keep"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("lamplighter keep is already running"), "{}", ran.err);
    assert!(ran.err.contains(&keeper.id().to_string()), "{}", ran.err);
    // A keeper that was killed leaves its socket behind, which keeps nobody from working.
    drop(keeper);
    stage.run(&["renew", "rig"]).succeeded();
}

#[test]
fn checking_asks_and_pausing_leaves_alone() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    stage.run(&["pause", "rig"]).succeeded();
    stage.run(&["renew"]).succeeded();
    assert!(stage.refreshes().is_empty());
    assert_eq!(stage.server("rig")["health"], "paused");
    stage.run(&["resume", "rig"]);
    stage.run(&["renew"]).succeeded();
    let ran = stage.run(&["check", "rig"]).succeeded();
    assert!(ran.err.contains("the server accepts its token, 2 tools"), "{}", ran.err);
    assert_eq!(stage.server("rig")["tools"], 2);
    assert_eq!(stage.refreshes().len(), 1, "a check renews nothing");
}

/// Writes the settings, and says where they lie.
fn set(home: &Home, text: &str) -> PathBuf {
    let file = home.config("lamplighter/settings.toml");
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(&file, text).expect("written");
    file
}

/// A command for news that writes each line into this file.
fn news_into(file: &std::path::Path) -> String {
    let script = r#"cat >> "$0""#;
    let command = serde_json::json!(["sh", "-c", script, file.to_str().expect("text")]);
    format!("keyring = 'off'\non_change = {command}\n")
}

#[test]
fn a_typo_in_the_settings_changes_nothing_and_a_fix_by_hand_is_heard() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let (one, other) = (stage.home.path().join("one"), stage.home.path().join("other"));
    let log = stage.home.run("keeper.log");
    set(&stage.home, &news_into(&one));
    let keeper = Keeper::start_with_log(&stage.home, &log);
    let text = |file: &PathBuf| fs::read_to_string(file).unwrap_or_default();
    keeper.until("the command hears of the renewal", |_| text(&one).contains("\"renewed\""));
    let typo = "keyring = 'off'\non_change = 'notify --token xoxb-hush'\n";
    let file = set(&stage.home, typo);
    keeper.until("it says what is wrong", |_| text(&log).contains("line 2, column 13"));
    assert_eq!(text(&file), typo);
    assert_eq!(fs::read_dir(file.parent().expect("a folder")).expect("a folder").count(), 1);
    // What was set before is what counts.
    let entries = store::read(&stage.home, CREDENTIALS);
    store::write(&stage.home, CREDENTIALS, r#"{"mcpOAuth":{}}"#);
    keeper.until("the old command still hears", |_| text(&one).contains("\"signed_out\""));
    set(&stage.home, &news_into(&other));
    keeper.until("it goes on with what is set now", |_| text(&log).contains("goes on with them"));
    // It answers when it has looked at everything once: what comes now is news.
    keeper.until("it answers again", |_| stage.run(&["renew"]).code == Some(0));
    store::write(&stage.home, CREDENTIALS, &entries);
    keeper.until("the new command hears", |_| text(&other).contains("\"health\""));
    assert!(!text(&one).contains(&text(&other)));
    // Commands reach it as before.
    stage.run(&["pause", "rig"]).succeeded();
    keeper.until("it was done by the keeper", |_| text(&other).contains("\"paused\""));
    assert!(!text(&log).contains("hush"), "{}", text(&log));
    assert_eq!(text(&log).matches("line 2").count(), 1, "{}", text(&log));
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
}

#[test]
fn what_is_set_from_a_terminal_is_heard_by_the_keeper_and_leaves_the_rest_of_the_file() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let mine = "# mine\nkeyring = 'off'\n[stores.claude-code]\nenabled = false # for now\n";
    let file = set(&stage.home, mine);
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    assert_eq!(stage.run(&["settings", "path"]).out, format!("{}\n", file.display()));
    let get = || stage.run(&["settings", "get", "stores.claude-code.enabled"]).succeeded().out;
    assert_eq!(get(), "false\n");
    stage.run(&["settings", "set", "stores.claude-code.enabled", "true"]).succeeded();
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    assert_eq!(get(), "true\n");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), mine.replace("false", "true"));
    let refused = stage.run(&["settings", "set", "on_change", "7"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("on_change: this value is of another kind"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&file).expect("it is there"), mine.replace("false", "true"));
    assert_eq!(stage.run(&["settings", "get", "consent"]).code, Some(1));
    assert_eq!(stage.run(&["settings", "get", "no.such"]).code, Some(2));
    let all = stage.run(&["settings", "get", "--json"]).succeeded().out;
    let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
    assert_eq!((&all["keyring"], &all["network"]["proxy"]), (&"off".into(), &"auto".into()));
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
}

#[test]
fn with_settings_that_cannot_be_read_at_the_start_nothing_is_renewed_until_they_are_mended() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let log = stage.home.run("keeper.log");
    let broken = "[stores.claude-code]\nenabled = flase\n";
    let file = set(&stage.home, broken);
    let complaints = || fs::read_to_string(&log).unwrap_or_default();
    for mended in [false, true] {
        let keeper = Keeper::start_with_log(&stage.home, &log);
        keeper.until("it says what is wrong", |_| complaints().contains("nothing is renewed"));
        assert!(complaints().contains("line 2"), "{}", complaints());
        assert!(stage.refreshes().is_empty());
        assert!(!stage.home.path().with_file_name("state").join("lamplighter").exists());
        if mended {
            set(&stage.home, "keyring = 'off'\n[stores.claude-code]\nenabled = true\n");
            keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
        }
        assert_eq!(keeper.terminate(), Some(0));
        if !mended {
            assert_eq!(fs::read_to_string(&file).expect("it is there"), broken);
        }
    }
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn an_access_token_that_the_server_takes_no_more_is_renewed_and_nobody_is_asked() {
    let builder = Rehearsal::builder().life_seconds(43_200).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    stage.sign_in("rig", 43_200);
    // The server restarted: every access token is worth nothing, every refresh token is as good as ever.
    stage.control.kill_access_tokens();
    store::write_verdict(&stage.home, "rig");
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    keeper.until("the renewed one is proven", |keeper| {
        keeper.events("checked").last().is_some_and(|event| event["accepted"] == true)
    });
    keeper.until("the verdict is withdrawn", |_| store::verdicts(&stage.home).is_empty());
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.server("rig")["health"], "healthy");
    // Once more, while it keeps: who asks waits for the renewal.
    stage.control.kill_access_tokens();
    let ran = stage.run(&["check", "rig"]).succeeded();
    assert!(ran.err.contains("the server refuses its token"), "{}", ran.err);
    assert!(ran.err.contains("claude-code/rig: renewed"), "{}", ran.err);
    assert!(stage.holds_live_pair("rig"));
    assert!(keeper.events("notice").is_empty(), "{:?}", keeper.said());
    assert_eq!(keeper.terminate(), Some(0));
    // Without a keeper the command does it itself.
    stage.control.kill_access_tokens();
    let ran = stage.run(&["check", "rig"]).succeeded();
    assert!(ran.err.contains("claude-code/rig: renewed"), "{}", ran.err);
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), 3);
    stage.nothing_was_broken();
}

/// Another config folder of Claude Code's with the stage's sign-in in it, whose new tokens a run that knew
/// the folder received and could not save before it was killed.
///
/// `variable`: how that run was told of the folder.
fn received_for_another_folder(stage: &Stage, minted: &Minted, variable: &str) -> PathBuf {
    let told = stage.home.path().join("work");
    let work = if variable == "HOME" { told.join(".claude") } else { told.clone() };
    fs::create_dir_all(&work).expect("a folder");
    fs::rename(stage.home.claude(CREDENTIALS), work.join(CREDENTIALS)).expect("moved");
    // Its write lock is held, so the answer gets as far as the journal and no further.
    let lock = work.join(".storage-write.lock");
    fs::create_dir(&lock).expect("a lock");
    let mut renewing = command(&stage.home, &["renew"]);
    renewing.env(variable, &told).stdout(Stdio::null()).stderr(Stdio::null());
    let mut renewing = renewing.spawn().expect("started");
    let newest = || stage.control.newest_pair_of(&minted.refresh_token);
    let deadline = Instant::now() + Duration::from_secs(60);
    let received = || {
        newest().1 != minted.refresh_token
            && fs::read_to_string(journal(stage)).is_ok_and(|text| text.contains(&newest().0))
    };
    while !received() {
        assert!(Instant::now() < deadline, "waited in vain until the answer is in the journal");
        std::thread::sleep(Duration::from_millis(10));
    }
    renewing.kill().expect("killed");
    renewing.wait().expect("gone");
    fs::remove_dir(&lock).expect("let go");
    work
}

fn journal(stage: &Stage) -> PathBuf {
    stage.home.path().with_file_name("state").join("lamplighter/journal")
}

/// Whether that folder's store holds these tokens.
fn holds(folder: &Path, pair: &(String, String)) -> bool {
    fs::read_to_string(folder.join(CREDENTIALS))
        .is_ok_and(|text| text.contains(&pair.0) && text.contains(&pair.1))
}

#[test]
fn what_the_journal_holds_for_a_folder_that_the_keeper_was_not_told_of_is_finished_there() {
    finishes_what_another_folder_waits_for("CLAUDE_CONFIG_DIR", None);
}

#[test]
fn what_the_journal_holds_for_secure_storage_elsewhere_is_finished_there_and_not_in_the_usual_folder()
 {
    let usual = r#"{"mcpOAuth":{}}"#;
    finishes_what_another_folder_waits_for("CLAUDE_SECURESTORAGE_CONFIG_DIR", Some(usual));
}

#[test]
fn what_the_journal_holds_for_the_usual_folder_of_another_home_is_finished_there() {
    finishes_what_another_folder_waits_for("HOME", Some(r#"{"mcpOAuth":{}}"#));
}

fn finishes_what_another_folder_waits_for(variable: &str, usual: Option<&str>) {
    let builder = Rehearsal::builder().life_seconds(43_200).rotation(Rotation::Strict);
    let (stage, minted) = Stage::with_rig(builder);
    let work = received_for_another_folder(&stage, &minted, variable);
    if let Some(usual) = usual {
        store::write(&stage.home, CREDENTIALS, usual);
    }
    let newest = stage.control.newest_pair_of(&minted.refresh_token);
    let keeper = Keeper::start(&stage.home);
    keeper.until("the tokens are where they belong", |_| holds(&work, &newest));
    let before = Cost::of(keeper.id());
    keeper.until("they were looked at for the last time", |_| !journal(&stage).exists());
    let wakes = Cost::of(keeper.id()).wakes_since(&before);
    assert!(wakes < 3_000, "{wakes} wake-ups in about a minute");
    assert_eq!(stage.status()["servers"], serde_json::json!([]), "the folder was not taken in");
    assert_eq!(keeper.terminate(), Some(0));
    assert!(holds(&work, &newest));
    assert_eq!(stage.refreshes().len(), 1, "and nothing was renewed there");
    stage.nothing_was_broken();
}

/// A folder that the journal holds new tokens for, and that was moved since.
struct MovedFolder {
    stage: Stage,
    work: PathBuf,
    away: PathBuf,
    newest: (String, String),
}

fn received_for_a_folder_that_went_away() -> MovedFolder {
    let builder = Rehearsal::builder().life_seconds(43_200).rotation(Rotation::Strict);
    let (stage, minted) = Stage::with_rig(builder);
    let work = received_for_another_folder(&stage, &minted, "CLAUDE_CONFIG_DIR");
    let newest = stage.control.newest_pair_of(&minted.refresh_token);
    let away = work.with_file_name("away");
    fs::rename(&work, &away).expect("moved");
    MovedFolder { stage, work, away, newest }
}

#[test]
fn what_nothing_can_finish_is_shown_with_what_to_do_and_every_command_ends() {
    let MovedFolder { stage, work, away, newest } = received_for_a_folder_that_went_away();
    let ran = stage.run(&["renew"]);
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
    assert_eq!(ran.code, Some(12), "{}{}", ran.out, ran.err);
    let status = stage.status();
    let unfinished = &status["unfinished"][0];
    assert_eq!(unfinished["sign_ins"], 1, "{status}");
    assert!(unfinished["place"].as_str().is_some_and(|place| place.ends_with("work")), "{status}");
    let told = stage.run(&["status"]);
    assert_eq!(told.code, Some(12));
    assert!(told.out.contains("the new tokens of one sign-in can't be saved"), "{}", told.out);
    assert!(told.out.contains("bring it back"), "{}", told.out);
    let doctor = stage.run(&["doctor", "--json"]);
    assert!(doctor.out.contains("journal_unfinished"), "{}", doctor.out);
    let ran = stage.run(&["uninstall", "--yes"]);
    assert_eq!(ran.code, Some(12), "{}{}", ran.out, ran.err);
    assert!(journal(&stage).exists(), "nothing is given up");
    fs::rename(&away, &work).expect("back");
    stage.run(&["uninstall", "--yes"]).succeeded();
    assert!(holds(&work, &newest));
    assert!(!journal(&stage).exists());
    stage.nothing_was_broken();
}

#[test]
fn a_folder_that_comes_back_while_the_keeper_runs_gets_its_tokens() {
    let MovedFolder { stage, work, away, newest } = received_for_a_folder_that_went_away();
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    assert!(stage.status()["unfinished"][0].is_object(), "{}", stage.status());
    fs::rename(&away, &work).expect("back");
    // What the advice says.
    stage.run(&["renew"]);
    assert!(stage.status()["unfinished"][0].is_null(), "{}", stage.status());
    keeper.until("the tokens are where they belong", |_| holds(&work, &newest));
    assert_eq!(keeper.terminate(), Some(0));
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

/// Whether a program that is ended so leaves a core dump here, with no limit to its size.
#[cfg(target_os = "linux")]
fn dumps_core(stage: &Stage, program: &[&str], is_at_work: impl Fn() -> bool) -> bool {
    use std::os::unix::process::ExitStatusExt as _;

    let mut command = stage.home.command(Path::new("sh"));
    command.args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""]).args(program);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_at_work() {
        assert!(Instant::now() < deadline, "it never was at work");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    // A shell lets what it starts in the background ignore SIGQUIT.
    assert!(Command::new("kill").args(["-ABRT", &pid]).status().expect("kill runs").success());
    child.wait().expect("ended").core_dumped()
}

#[test]
#[cfg(target_os = "linux")]
fn a_keeper_that_is_killed_leaves_no_core_dump() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let started = stage.home.run("started");
    let marked = format!("touch {}; exec sleep 1000", started.display());
    if !dumps_core(&stage, &["sh", "-c", &marked], || started.exists()) {
        println!("skipped: this machine dumps no core");
        return;
    }
    let program = command(&stage.home, &[]);
    let program = program.get_program().to_str().expect("text").to_owned();
    assert!(!dumps_core(&stage, &[&program, "keep"], || stage.holds_live_pair("rig")));
}
