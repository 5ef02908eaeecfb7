//! A process that is killed at the worst moment loses nothing: SIGKILL after the intent, after the
//! journal, and after the write; of a sign-in likewise. The in-process form, at every single step, is
//! in core's own tests.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Fault, GraceAnswer, Rehearsal, Rotation};
use lamplighter_tests::{
    browser::{ask, visit},
    program::command,
    reconnect::{Reconnect, free_port},
    stage::Stage,
    store::{self, CREDENTIALS},
    terminal::Terminal,
};

fn strict() -> lamplighter_rehearsal::Builder {
    Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict)
}

/// `lamplighter renew`, running.
fn start(stage: &Stage) -> Child {
    let program = PathBuf::from(std::env::var_os("LAMPLIGHTER_BIN").expect("set by xtask"));
    let mut command: Command = stage.home.command(&program);
    command.arg("renew").stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("started")
}

/// SIGKILL: no handler runs, nothing is flushed.
fn kill(mut child: Child) {
    child.kill().expect("killed");
    child.wait().expect("gone");
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The journal itself: what is written beside it becomes it only by a rename.
fn journal(stage: &Stage) -> PathBuf {
    stage.home.path().with_file_name("state").join("lamplighter/journal")
}

#[test]
fn killed_after_the_intent_before_the_server_acted() {
    let (stage, _) = Stage::with_rig(strict());
    stage.control.inject(Fault::Hang { after: false }, 1);
    let child = start(&stage);
    until("the token was presented", || !stage.control.refreshes().is_empty());
    assert!(journal(&stage).exists(), "the intent is durable before anything is sent");
    kill(child);
    // A lost answer as far as anybody knows; the token has ended, so little is left to lose.
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn killed_after_the_server_acted_before_the_answer_came() {
    // Longer than a killed process's lock keeps everybody else waiting.
    let grace = Rotation::Grace { ms: 600_000, answer: GraceAnswer::SamePair };
    let (stage, _) = Stage::with_rig(strict().rotation(grace));
    stage.control.inject(Fault::Hang { after: true }, 1);
    let child = start(&stage);
    until("the token was presented", || !stage.control.refreshes().is_empty());
    kill(child);
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn killed_after_the_journal_the_next_run_saves_the_tokens_and_spends_nothing() {
    let (stage, minted) = Stage::with_rig(strict());
    // The client's write lock is held, so the answer gets as far as the journal and no further.
    let lock = stage.home.claude(".storage-write.lock");
    fs::create_dir(&lock).expect("a lock");
    let child = start(&stage);
    until("the answer was given", || {
        let (_, newest) = stage.control.newest_pair_of(&minted.refresh_token);
        newest != minted.refresh_token
    });
    let (access, _) = stage.control.newest_pair_of(&minted.refresh_token);
    until("the answer is in the journal", || {
        fs::read_to_string(journal(&stage)).is_ok_and(|text| text.contains(&access))
    });
    assert_eq!(stage.pair("rig").1, minted.refresh_token, "nothing was written yet");
    kill(child);
    fs::remove_dir(&lock).expect("let go");
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!(stage.pair("rig").0, access, "the very tokens that were received");
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

#[test]
fn killed_after_the_write_the_next_run_finds_everything_in_place() {
    let (stage, minted) = Stage::with_rig(strict());
    let child = start(&stage);
    until("the store was written", || stage.pair("rig").1 != minted.refresh_token);
    kill(child);
    assert!(stage.holds_live_pair("rig"));
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

#[test]
fn killed_after_the_journal_and_signed_out_before_the_next_run_nothing_comes_back() {
    let (stage, minted) = Stage::with_rig(strict());
    let lock = stage.home.claude(".storage-write.lock");
    fs::create_dir(&lock).expect("a lock");
    let child = start(&stage);
    until("the answer was given", || {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    let (access, refresh) = stage.control.newest_pair_of(&minted.refresh_token);
    until("the answer is in the journal", || {
        fs::read_to_string(journal(&stage)).is_ok_and(|text| text.contains(&access))
    });
    kill(child);
    fs::remove_dir(&lock).expect("let go");
    store::write(&stage.home, CREDENTIALS, r#"{"mcpOAuth":{}}"#);
    stage.run(&["renew"]).succeeded();
    assert_eq!(store::read(&stage.home, CREDENTIALS), r#"{"mcpOAuth":{}}"#);
    assert!(!journal(&stage).exists(), "nothing of the grant is kept");
    // No entry is left that says which client it was, so its server hears nothing of it.
    let _ = refresh;
}

/// Sends a signal while an answer is on its way; whoever ends must end by itself, with that answer.
fn signal_in_mid_renewal(signals: &[&str], command: impl FnOnce(&Stage) -> Child) {
    let (stage, minted) = Stage::with_rig(strict());
    stage.control.inject(Fault::Slow { ms: 2_000 }, 1);
    let child = command(&stage);
    until("the token was presented", || {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    let id = child.id().to_string();
    for &signal in signals {
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.code().is_some(), "{signals:?}: it ends by itself");
    assert!(stage.holds_live_pair("rig"), "{signals:?}");
    stage.nothing_was_broken();
}

#[test]
fn a_polite_end_brings_the_answer_home_first() {
    signal_in_mid_renewal(&["-TERM"], start);
}

#[test]
fn a_session_that_ends_lets_the_answer_home_first_though_nothing_is_read_from_a_terminal() {
    for signals in [&["-HUP"][..], &["-TERM", "-HUP"]] {
        signal_in_mid_renewal(signals, start);
    }
}

#[test]
fn what_is_to_outlive_its_terminal_does() {
    let (stage, minted) = Stage::with_rig(strict());
    stage.control.inject(Fault::Slow { ms: 1_000 }, 1);
    let real = command(&stage.home, &["keep"]);
    let mut shell = stage.home.command(std::path::Path::new("sh"));
    shell.args(["-c", "trap '' HUP; exec \"$0\" keep"]).arg(real.get_program());
    let mut child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    until("the token was presented", || {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    let kill = |signal: &str| {
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    };
    kill("-HUP");
    until("it is renewed", || stage.holds_live_pair("rig"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    kill("-TERM");
    let ended = child.wait().expect("ended");
    assert_eq!(ended.code(), Some(0), "only the second signal ended it, politely");
}

#[test]
fn a_terminal_that_is_closed_lets_the_answer_home_first() {
    let (stage, minted) = Stage::with_rig(strict());
    stage.control.inject(Fault::Slow { ms: 2_000 }, 1);
    let terminal = Terminal::start(command(&stage.home, &["renew"]));
    until("the token was presented", || {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    assert_eq!(stage.pair("rig").1, minted.refresh_token, "the answer is still on its way");
    let id = terminal.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().expect("kill runs").success());
    let (shown, code) = terminal.end();
    assert!(code.is_some(), "it ends by itself: {shown}");
    assert!(stage.holds_live_pair("rig"), "{shown}");
    stage.nothing_was_broken();
}

/// A sign-in that is killed once its tokens are in the journal, while the client's lock keeps them out
/// of the store; the access token that was received.
fn killed_before_its_write(stage: &Stage) -> String {
    let lock = stage.home.claude(".storage-write.lock");
    let mut flow = Reconnect::start(&stage.home, "rig", &["--port", &free_port()]);
    let back = visit(&flow.page()).location.expect("a way back");
    fs::create_dir(&lock).expect("a lock");
    let read = || fs::read_to_string(stage.home.claude(CREDENTIALS)).unwrap_or_default();
    let stored = read();
    let is_new = |part: &&str| part.starts_with("lamp_at_") && !stored.contains(*part);
    let tab = ask(&back);
    let mut access = String::new();
    until("the tokens are in the journal", || {
        let text = fs::read_to_string(journal(stage)).unwrap_or_default();
        let found = text.split('"').find(is_new);
        found.unwrap_or_default().clone_into(&mut access);
        stage.control.is_access_live(&access)
    });
    assert_eq!(read(), stored, "nothing was written yet");
    // As it goes out of scope it is killed.
    drop(flow);
    drop(tab);
    fs::remove_dir(&lock).expect("let go");
    access
}

#[test]
fn a_sign_in_killed_after_the_journal_is_brought_home_by_the_next_run() {
    let (mut stage, _) = Stage::with_rig(strict());
    stage.edit("rig", |entry| {
        entry["accessToken"] = "".into();
        entry["expiresAt"] = 0.into();
        entry.as_object_mut().map(|members| members.remove("refreshToken"));
    });
    let access = killed_before_its_write(&stage);
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!(stage.pair("rig").0, access, "the very tokens that were received");
    assert!(stage.holds_live_pair("rig"));
    let entry = stage.entry("rig");
    assert!(entry["redirectUri"].as_str().is_some_and(|uri| uri.starts_with("http://localhost:")));
    // It is the sign-in's own client that renews them.
    stage.run(&["renew", "rig"]).succeeded();
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn a_sign_in_over_a_living_one_that_is_killed_after_the_journal_is_brought_home_too() {
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    let access = killed_before_its_write(&stage);
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!(stage.pair("rig").0, access, "{}{}", ran.out, ran.err);
    assert!(!ran.err.contains("needs you") && !ran.out.contains("needs you"), "{}", ran.err);
    stage.run(&["renew", "rig"]).succeeded();
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn a_first_sign_in_killed_after_the_journal_is_brought_home_although_there_was_no_entry() {
    for has_file in [true, false] {
        let stage = Stage::new(strict());
        if has_file {
            stage.write_store();
        }
        let server = serde_json::json!({"type": "http", "url": stage.town.mcp_url()});
        let config = serde_json::json!({"mcpServers": {"rig": server}});
        fs::write(stage.home.path().join(".claude.json"), config.to_string()).expect("written");
        fs::create_dir_all(stage.home.claude("")).expect("a folder");
        fs::write(stage.home.claude("settings.json"), "{}").expect("written");
        let access = killed_before_its_write(&stage);
        // The next run makes the file that it belongs in: nobody need bring anything back.
        let told = stage.run(&["status"]);
        assert!(!told.out.contains("bring it back"), "{}", told.out);
        let ran = stage.run(&["renew"]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        assert_eq!(stage.pair("rig").0, access, "{}{}", ran.out, ran.err);
        // After the first write to a store the next one waits a minute.
        if has_file {
            stage.run(&["renew", "rig"]).succeeded();
        }
        assert!(stage.holds_live_pair("rig"));
        stage.nothing_was_broken();
    }
}

#[test]
fn a_sign_in_killed_after_the_write_finds_everything_in_place() {
    let mut stage = Stage::new(strict());
    let minted = stage.sign_in("rig", 3600);
    let mut flow = Reconnect::start(&stage.home, "rig", &["--port", &free_port()]);
    let back = visit(&flow.page()).location.expect("a way back");
    let tab = ask(&back);
    until("the store was written", || stage.pair("rig").1 != minted.refresh_token);
    drop(flow);
    drop(tab);
    assert!(stage.holds_live_pair("rig"));
    let held = stage.pair("rig");
    stage.run(&["renew"]).succeeded();
    assert_eq!(stage.pair("rig"), held, "it is not due");
    stage.run(&["renew", "rig"]).succeeded();
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn what_a_command_saved_gets_its_last_look_a_minute_later_by_itself() {
    let (stage, _) = Stage::with_rig(strict());
    stage.run(&["renew", "rig"]).succeeded();
    let saved = store::read(&stage.home, CREDENTIALS);
    assert!(journal(&stage).exists());
    let deadline = Instant::now() + Duration::from_secs(120);
    while journal(&stage).exists() {
        assert!(Instant::now() < deadline, "{}", stage.run(&["doctor"]).out);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(store::read(&stage.home, CREDENTIALS), saved);
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

#[test]
#[cfg(target_os = "linux")]
fn who_waits_for_a_last_look_makes_nothing_where_lamplighters_folder_has_gone() {
    let (stage, _) = Stage::with_rig(strict());
    // A name of its own, by which its later run is known.
    let program = stage.home.path().join("lamplighter-of-this-test");
    let built = PathBuf::from(std::env::var_os("LAMPLIGHTER_BIN").expect("set by xtask"));
    fs::copy(built, &program).expect("copied");
    let mut renew = stage.home.command(&program);
    assert!(renew.args(["renew", "rig"]).output().expect("started").status.success());
    let waits = || {
        let processes = fs::read_dir("/proc").expect("listed").flatten();
        let words = processes.filter_map(|one| fs::read(one.path().join("cmdline")).ok());
        let own = format!("{}\0finish-journal\0", program.display());
        words.filter(|words| *words == own.as_bytes()).count()
    };
    until("one waits", || waits() == 1);
    let ours = journal(&stage).with_file_name("");
    fs::remove_dir_all(&ours).expect("it is ours");
    until("nobody waits any more", || waits() == 0);
    assert!(!ours.exists());
}
