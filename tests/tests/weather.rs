//! Bad input and bad weather: each a clear message, nothing lost, nothing spent twice.
//!
//! The server misbehaves in every way it knows, the store and the disk in every way they can. What a
//! store by itself must keep is in `contract`; what a killed process must keep is in `crash`.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Fault, Rehearsal, Rotation};
use lamplighter_tests::{
    stage::Stage,
    store::{self, CREDENTIALS, now_ms},
};

fn strict() -> lamplighter_rehearsal::Builder {
    Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict)
}

/// A server with one token that has ended, and one fault on its way.
fn stage_with(fault: Fault, times: u32) -> (Stage, lamplighter_rehearsal::Minted) {
    let (stage, minted) = Stage::with_rig(strict());
    stage.control.inject(fault, times);
    (stage, minted)
}

#[test]
fn an_answer_that_was_lost_before_the_server_acted_is_asked_for_once_more_at_once() {
    for fault in [
        Fault::CutBefore,
        Fault::Status { status: 500 },
        Fault::Status { status: 502 },
        Fault::Status { status: 504 },
        Fault::Html200Before,
        Fault::Huge200 { bytes: 20_000_000 },
    ] {
        let name = fault.name();
        let (stage, _) = stage_with(fault, 1);
        let ran = stage.run(&["renew"]);
        assert_eq!(ran.code, Some(0), "{name}: {}{}", ran.out, ran.err);
        assert!(stage.holds_live_pair("rig"), "{name}");
        assert_eq!(stage.refreshes().len(), 2, "{name}");
    }
}

#[test]
fn an_answer_that_was_lost_after_the_server_acted_is_recovered_where_the_server_gives_grace() {
    use lamplighter_rehearsal::GraceAnswer::{NewPair, SamePair};
    for fault in [
        Fault::CutAfter,
        Fault::Status500After,
        Fault::Html200After,
        Fault::Empty200After,
        Fault::Truncated200After,
        Fault::HalfJson200After,
    ] {
        for answer in [SamePair, NewPair] {
            let name = fault.name();
            let grace = Rotation::Grace { ms: 10_000, answer };
            let (stage, _) = Stage::with_rig(strict().rotation(grace));
            stage.control.inject(fault.clone(), 1);
            let ran = stage.run(&["renew"]);
            assert_eq!(ran.code, Some(0), "{name}: {}{}", ran.out, ran.err);
            assert!(stage.holds_live_pair("rig"), "{name}");
        }
    }
}

#[test]
fn an_answer_that_was_lost_for_good_ends_in_one_clear_sign_in_and_no_retry_storm() {
    let (stage, minted) = stage_with(Fault::CutAfter, 1);
    let ran = stage.run(&["renew"]);
    // The second presentation, within eight seconds, met a strict server: asked once more a minute
    // later, and then it is the end.
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("rig ended this sign-in"), "{}", ran.out);
    assert_eq!(stage.refreshes().len(), 3);
    assert_eq!(stage.pair("rig").1, minted.refresh_token, "nothing of ours deletes it");
}

#[test]
fn after_two_lost_answers_all_tell_the_same_moment_and_why_it_waits() {
    let mut stage = Stage::new(strict().rotation(Rotation::None));
    stage.sign_in("rig", 1200);
    stage.control.inject(Fault::CutBefore, 2);
    let told = |args: &[&str]| -> serde_json::Value {
        let ran = stage.run(args);
        let lines = ran.out.lines().filter_map(|line| serde_json::from_str(line).ok());
        let mut failed = lines.filter(|line: &serde_json::Value| line["event"] == "failed");
        failed.next().unwrap_or_else(|| panic!("{}{}", ran.out, ran.err))
    };
    let first = told(&["renew", "rig", "--json"]);
    let status = stage.server("rig");
    assert!(first["next"].is_string());
    assert_eq!(first["next"], status["next_renewal_at"]);
    // By name, a moment later: nothing is sent.
    let again = told(&["renew", "rig", "--json"]);
    assert_eq!(again["next"], first["next"]);
    let why = again["why"].as_str().unwrap_or_default();
    assert!(why.contains("refresh token may be spent"), "{why}");
    let ran = stage.run(&["renew", "rig"]);
    assert!(ran.err.contains("; next try ") && ran.out.contains("may be spent"), "{}", ran.out);
    assert_eq!(stage.refreshes().len(), 2);
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn what_certainly_was_not_acted_on_is_told_and_costs_nothing() {
    for (fault, word) in [
        (Fault::RetryAfter { status: 429, seconds: 600 }, "left alone"),
        (Fault::RetryAfter { status: 503, seconds: 600 }, "left alone"),
        (Fault::Status { status: 404 }, "refused the request"),
        (Fault::Error { status: 400, code: "invalid_request" }, "refused the request"),
        (
            Fault::Redirect { status: 307, location: "http://127.0.0.1:9/elsewhere".into() },
            "refused the request",
        ),
    ] {
        let name = fault.name();
        let (stage, minted) = stage_with(fault, 9);
        let ran = stage.run(&["renew"]);
        assert_eq!(ran.code, Some(11), "{name}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(word), "{name}: {}", ran.err);
        assert_eq!(stage.refreshes().len(), 1, "{name}");
        assert_eq!(stage.pair("rig").1, minted.refresh_token, "{name}");
        stage.control.clear_faults();
        stage.run(&["renew"]).succeeded();
        assert!(stage.holds_live_pair("rig"), "{name}");
        stage.nothing_was_broken();
    }
}

#[test]
fn a_right_answer_is_understood_though_slow_or_mislabelled() {
    for fault in [Fault::Slow { ms: 3_000 }, Fault::WrongContentType] {
        let name = fault.name();
        let (stage, _) = stage_with(fault, 1);
        stage.run(&["renew"]).succeeded();
        assert_eq!(stage.refreshes().len(), 1, "{name}");
        assert!(stage.holds_live_pair("rig"), "{name}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_and_asked_again_later() {
    let (stage, _) = Stage::with_rig(strict());
    stage.control.refuse_connections(true);
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(11), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("could not be asked"), "{}", ran.err);
    stage.control.refuse_connections(false);
    stage.run(&["renew"]).succeeded();
    stage.nothing_was_broken();
}

#[test]
fn a_tls_error_is_told_and_nothing_is_sent() {
    let (mut stage, minted) = Stage::with_rig(strict());
    // HTTPS spoken to a port that does not: the handshake fails before a byte of the request leaves.
    let https = stage.town.issuer().replace("http://", "https://");
    stage.edit("rig", |entry| entry["discoveryState"]["authorizationServerUrl"] = https.into());
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(11), "{}{}", ran.out, ran.err);
    assert!(stage.control.refreshes().is_empty());
    assert_eq!(stage.pair("rig").1, minted.refresh_token);
}

#[test]
fn metadata_that_cannot_be_had_is_no_reason_to_guess() {
    let (stage, _) = Stage::with_rig(strict());
    stage.control.inject_metadata(Fault::Status { status: 503 }, 9);
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(11), "{}{}", ran.out, ran.err);
    assert!(stage.control.refreshes().is_empty());
    stage.control.clear_faults();
    stage.run(&["renew"]).succeeded();
    // Known from now on: what was found still holds while it cannot be asked.
    stage.control.inject_metadata(Fault::Status { status: 503 }, 9);
    stage.run(&["renew", "rig"]).succeeded();
    stage.nothing_was_broken();
}

#[test]
fn a_truncated_store_is_said_and_left_to_the_byte() {
    for text in ["{\"mcpOAuth\":{\"rig|0\":{\"accessToken\":\"tok_1", "[]", "", "\u{0}\u{1}"] {
        let (stage, _) = Stage::with_rig(strict());
        store::write(&stage.home, CREDENTIALS, text);
        for args in [&["status"][..], &["renew"], &["doctor"]] {
            let ran = stage.run(args);
            assert_eq!(ran.code, Some(12), "{args:?}: {}{}", ran.out, ran.err);
            let told = ran.out + &ran.err;
            assert!(told.contains("can't be read"), "{args:?}: {told}");
            assert!(!told.contains("tok_1"), "{told}");
        }
        assert_eq!(store::read(&stage.home, CREDENTIALS), text);
        assert!(stage.control.refreshes().is_empty());
    }
}

#[test]
fn an_entry_without_a_client_id_is_never_renewed_with_another_one() {
    let (mut stage, minted) = Stage::with_rig(strict());
    stage.edit("rig", |entry| {
        entry.as_object_mut().expect("an object").remove("clientId");
    });
    let ran = stage.run(&["renew", "rig"]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("no OAuth client"), "{}", ran.out);
    assert!(stage.control.refreshes().is_empty());
    // With the id in the user's configuration it is used.
    let url = stage.town.mcp_url();
    let config = serde_json::json!({"mcpServers": {"rig": {
        "type": "http", "url": url, "oauth": {"clientId": minted.client_id}
    }}});
    fs::write(stage.home.path().join(".claude.json"), config.to_string()).expect("written");
    stage.run(&["renew", "rig"]).succeeded();
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn two_entries_with_one_token_are_renewed_once_and_both_written() {
    let (stage, minted) = Stage::with_rig(strict());
    let entry = stage.entry_for("rig", &minted);
    let mut copy = entry.clone();
    copy["serverName"] = "copy".into();
    let text = serde_json::json!({"mcpOAuth": {stage.key("rig"): entry, stage.key("copy"): copy}});
    store::write(&stage.home, CREDENTIALS, &text.to_string());
    stage.run(&["renew"]).succeeded();
    assert_eq!(stage.refreshes().len(), 1);
    assert_eq!(stage.pair("rig"), stage.pair("copy"));
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn two_folders_that_hold_the_same_token_are_renewed_once_and_both_written() {
    let (stage, _) = Stage::with_rig(strict());
    let other = stage.home.path().join("other");
    fs::create_dir(&other).expect("a folder");
    fs::copy(stage.home.claude(CREDENTIALS), other.join(CREDENTIALS)).expect("copied");
    let settings = stage.home.path().with_file_name("config").join("lamplighter/settings.toml");
    fs::create_dir_all(settings.parent().expect("a folder")).expect("a folder");
    fs::write(&settings, format!("[stores.claude-code]\nfolders = [{other:?}]\n"))
        .expect("written");
    let ran = stage.run(&["renew"]).succeeded();
    assert!(ran.out.contains("claude-code@~/other/rig"), "{}", ran.out);
    assert_eq!(stage.refreshes().len(), 1);
    let theirs = fs::read_to_string(other.join(CREDENTIALS)).expect("a file");
    assert!(theirs.contains(&stage.pair("rig").1));
}

#[test]
fn a_lock_of_a_dead_process_is_taken_over() {
    let (stage, _) = Stage::with_rig(strict());
    let lock = refresh_lock(&stage);
    fs::create_dir(&lock).expect("a lock");
    let touched = Command::new("touch").args(["-d", "5 minutes ago"]).arg(&lock).status();
    assert!(touched.expect("touch runs").success());
    let ran = stage.run(&["renew"]).succeeded();
    assert!(ran.took < Duration::from_secs(10), "{:?}", ran.took);
    assert!(!lock.exists());
}

#[test]
fn a_live_lock_is_waited_for_and_its_holders_tokens_adopted() {
    let (stage, minted) = Stage::with_rig(strict());
    let lock = refresh_lock(&stage);
    fs::create_dir(&lock).expect("a lock");
    let ran = std::thread::scope(|scope| {
        let run = scope.spawn(|| stage.run(&["renew"]));
        // The client renews under its lock, as it does, and lets go after a while.
        let fresh = stage.control.mint(lamplighter_rehearsal::Mint::default());
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            let status = Command::new("touch").arg(&lock).status().expect("touch runs");
            assert!(status.success());
            std::thread::sleep(Duration::from_millis(200));
        }
        let text =
            serde_json::json!({"mcpOAuth": {stage.key("rig"): stage.entry_for("rig", &fresh)}});
        store::write(&stage.home, CREDENTIALS, &text.to_string());
        fs::remove_dir(&lock).expect("let go");
        run.join().expect("ran")
    });
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(stage.refreshes().is_empty(), "the holder did the work");
    assert_ne!(stage.pair("rig").1, minted.refresh_token);
    assert_eq!(stage.server("rig")["renewed_by"], "client");
}

#[test]
fn a_lock_held_for_a_minute_is_told_and_nothing_is_spent() {
    let (stage, minted) = Stage::with_rig(strict());
    let lock = refresh_lock(&stage);
    fs::create_dir(&lock).expect("a lock");
    let ran = std::thread::scope(|scope| {
        let run = scope.spawn(|| stage.run(&["renew", "rig"]));
        while !run.is_finished() {
            let _ = Command::new("touch").arg(&lock).status();
            std::thread::sleep(Duration::from_millis(500));
        }
        run.join().expect("ran")
    });
    assert_eq!(ran.code, Some(11), "{}{}", ran.out, ran.err);
    assert!(ran.took > Duration::from_secs(55), "{:?}", ran.took);
    assert!(ran.err.contains("held by another program"), "{}", ran.err);
    assert!(stage.control.refreshes().is_empty());
    assert_eq!(stage.pair("rig").1, minted.refresh_token);
}

#[test]
fn a_symlinked_store_of_mode_0644_stays_a_symlink_and_becomes_0600() {
    let (stage, _) = Stage::with_rig(strict());
    let file = stage.home.claude(CREDENTIALS);
    let real = stage.home.path().join("dotfiles.json");
    fs::rename(&file, &real).expect("moved");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).expect("set");
    symlink(&real, &file).expect("linked");
    stage.run(&["renew"]).succeeded();
    assert!(fs::symlink_metadata(&file).expect("a link").is_symlink());
    assert_eq!(fs::metadata(&real).expect("a file").permissions().mode() & 0o777, 0o600);
    assert!(stage.holds_live_pair("rig"));
}

#[test]
fn what_was_emptied_or_signed_out_while_the_answer_came_is_respected() {
    // Emptied: the client met the spent token; ours is the newest and is put there.
    let (stage, _) = stage_with(Fault::Slow { ms: 2_000 }, 1);
    while_sending(&stage, |stage| {
        let mut entry = stage.entry("rig");
        entry["accessToken"] = "".into();
        entry["expiresAt"] = 0.into();
        entry.as_object_mut().expect("an object").remove("refreshToken");
        let text = serde_json::json!({"mcpOAuth": {stage.key("rig"): entry}});
        store::write(&stage.home, CREDENTIALS, &text.to_string());
    });
    assert!(stage.holds_live_pair("rig"));
    // Signed out: nothing comes back, and the new tokens are revoked at the server.
    let (stage, minted) = stage_with(Fault::Slow { ms: 2_000 }, 1);
    while_sending(&stage, |stage| {
        store::write(&stage.home, CREDENTIALS, r#"{"mcpOAuth":{}}"#);
    });
    assert_eq!(store::read(&stage.home, CREDENTIALS), r#"{"mcpOAuth":{}}"#);
    let (_, newest) = stage.control.newest_pair_of(&minted.refresh_token);
    assert!(!stage.control.is_refresh_live(&newest), "new tokens of a signed-out grant live on");
}

/// Runs `renew` and does something while its request is out.
fn while_sending(stage: &Stage, act: impl FnOnce(&Stage) + Send) {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| stage.run(&["renew"]));
        let deadline = Instant::now() + Duration::from_secs(20);
        while stage.control.refreshes().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        act(stage);
        run.join().expect("ran");
    });
}

#[test]
fn without_a_writable_journal_nothing_is_sent_and_it_is_said() {
    let (stage, minted) = Stage::with_rig(strict());
    stage.run(&["renew", "no-such-server"]);
    let ours = stage.home.path().with_file_name("state").join("lamplighter");
    // A folder where the journal's new file would be written: refused also to root.
    let journal = fs::read_dir(&ours).expect("our folder").count();
    assert!(journal > 0, "the state folder is made by the first run");
    for name in ["journal", "journal.new", "journal.tmp"] {
        let _ = fs::create_dir_all(ours.join(name).join("in-the-way"));
    }
    let ran = stage.run(&["renew"]);
    assert_ne!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("journal"), "{}", ran.err);
    assert!(stage.control.refreshes().is_empty());
    assert_eq!(stage.pair("rig").1, minted.refresh_token);
}

#[test]
fn a_full_disk_costs_no_token_and_the_next_run_saves_what_it_could_not() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a small file system can only be mounted by root");
        return;
    };
    let (stage, _) = stage_with(Fault::Slow { ms: 2_000 }, 1);
    // The store lies on the small disk, our own journal elsewhere.
    let real = disk.0.path().join(CREDENTIALS);
    fs::copy(stage.home.claude(CREDENTIALS), &real).expect("copied");
    fs::remove_file(stage.home.claude(CREDENTIALS)).expect("removed");
    symlink(&real, stage.home.claude(CREDENTIALS)).expect("linked");
    let started = Instant::now();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| stage.run(&["renew"]));
        while stage.control.refreshes().is_empty() && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let filler = disk.0.path().join("filler");
        fs::write(&filler, vec![0; 2_000_000]).expect_err("full by now");
        while !run.is_finished() && started.elapsed() < Duration::from_secs(9) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let status = stage.server("rig");
        assert_eq!(status["has_refresh_token"], true);
        fs::remove_file(&filler).expect("removed");
        let ran = run.join().expect("ran");
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    });
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

#[test]
fn a_clock_an_hour_wrong_either_way_spends_nothing_twice() {
    if Command::new("faketime").arg("--version").output().is_err() {
        // Without a way to bend a process's clock, bend what the store says about the end instead:
        // to the program both look the same.
        for hours in [-1_i64, 1] {
            let (mut stage, _) = Stage::with_rig(strict());
            let end = now_ms() + hours * 3_600_000;
            stage.edit("rig", |entry| entry["expiresAt"] = end.into());
            stage.run(&["renew"]);
            stage.run(&["renew"]).succeeded();
            assert!(stage.refreshes().len() <= 1);
            stage.nothing_was_broken();
        }
        return;
    }
    for shift in ["-1h", "+1h"] {
        let (stage, _) = Stage::with_rig(strict());
        let program = std::env::var_os("LAMPLIGHTER_BIN").expect("set by xtask");
        for _ in 0..2 {
            let mut command = stage.home.command(Path::new("faketime"));
            command.args(["-f", shift]).arg(&program).arg("renew");
            lamplighter_tests::home::run(command);
        }
        assert!(stage.refreshes().len() <= 1, "{shift}");
        stage.nothing_was_broken();
    }
}

#[test]
fn bad_settings_are_said_with_their_place_and_nothing_runs() {
    let (stage, _) = Stage::with_rig(strict());
    let settings = stage.home.path().with_file_name("config").join("lamplighter/settings.toml");
    fs::create_dir_all(settings.parent().expect("a folder")).expect("a folder");
    for text in ["keyrnig = \"off\"\n", "keyring = "] {
        fs::write(&settings, text).expect("written");
        let ran = stage.run(&["renew"]);
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("settings.toml, line 1"), "{}", ran.err);
        // What stands there may be a secret in the wrong place.
        assert!(!ran.err.contains("keyrnig"), "{}", ran.err);
    }
    assert!(stage.control.refreshes().is_empty());
}

fn refresh_lock(stage: &Stage) -> std::path::PathBuf {
    let safe: String =
        stage.key("rig").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    stage.home.claude(&format!("mcp-refresh-{safe}.lock.lock"))
}

/// A file system of one megabyte, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().ok()?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"])
            .arg(place.path())
            .stderr(std::process::Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
