//! Several folders, copies of one another, and folders that can't be read or are away: with the real
//! program, against a server where a token used twice ends the sign-in.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use lamplighter_rehearsal::{Builder, Rehearsal, Rotation};
use lamplighter_tests::{
    keeper::Keeper,
    stage::Stage,
    store::{self, CREDENTIALS},
};
use serde_json::Value;

fn strict() -> Builder {
    Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict)
}

/// `cp -r ~/.claude ~/.claude-work`
fn copy_folder(stage: &Stage) -> PathBuf {
    let copy = stage.home.path().join(".claude-work");
    fs::create_dir(&copy).expect("a new folder");
    for entry in fs::read_dir(stage.home.claude("")).expect("~/.claude") {
        let from = entry.expect("an entry").path();
        if from.is_file() {
            fs::copy(&from, copy.join(from.file_name().expect("a name"))).expect("copied");
        }
    }
    copy
}

/// The folder is looked at too from now on, as `doctor` offers.
fn add_folder(stage: &Stage, folder: &Path) {
    let file = stage.home.config("lamplighter/settings.toml");
    fs::create_dir_all(file.parent().expect("a folder")).expect("a new folder");
    let text = format!("[stores.claude-code]\nfolders = [{:?}]\n", folder.display().to_string());
    fs::write(file, text).expect("written");
}

/// The refresh token of `rig` in this folder.
fn refresh_token(stage: &Stage, folder: &Path) -> String {
    let text = fs::read_to_string(folder.join(CREDENTIALS)).expect("a file");
    let store: Value = serde_json::from_str(&text).expect("JSON");
    store["mcpOAuth"][stage.key("rig")]["refreshToken"].as_str().expect("a token").to_owned()
}

fn both_are_signed_in(stage: &Stage, copy: &Path) -> bool {
    let here = refresh_token(stage, &stage.home.claude(""));
    here == refresh_token(stage, copy) && stage.control.is_refresh_live(&here)
}

#[test]
fn a_folder_that_was_copied_before_a_renewal_never_presents_its_old_token() {
    let (stage, minted) = Stage::with_rig(strict());
    let copy = copy_folder(&stage);
    stage.run(&["renew"]).succeeded();
    let doctor = stage.run(&["doctor"]).out;
    assert!(doctor.contains(".claude-work"), "{doctor}");
    add_folder(&stage, &copy);
    assert_eq!(refresh_token(&stage, &copy), minted.refresh_token);
    let keeper = Keeper::start(&stage.home);
    keeper.until("both folders hold the newest tokens", |_| both_are_signed_in(&stage, &copy));
    // From then on both are renewed at once.
    stage.run(&["renew", "claude-code/rig"]).succeeded();
    assert!(both_are_signed_in(&stage, &copy));
    assert_eq!(keeper.terminate(), Some(0));
    assert_eq!(stage.refreshes().len(), 2);
    stage.nothing_was_broken();
}

#[test]
fn an_older_copy_is_given_the_newer_tokens_by_a_command_and_signed_out_of_alone() {
    let (stage, _) = Stage::with_rig(strict());
    let copy = copy_folder(&stage);
    stage.run(&["renew"]).succeeded();
    add_folder(&stage, &copy);
    stage.run(&["pause", "claude-code@~/.claude-work/rig"]).succeeded();
    stage.run(&["renew"]).succeeded();
    assert!(!both_are_signed_in(&stage, &copy), "a paused one is left to its client");
    // Its tokens belong to a sign-in that goes on elsewhere.
    let original = fs::read(copy.join(CREDENTIALS)).expect("a file");
    let out = stage.run(&["sign-out", "claude-code@~/.claude-work/rig", "--yes"]).succeeded();
    assert!(out.err.contains("another entry holds the same sign-in"), "{}", out.err);
    assert!(stage.holds_live_pair("rig"));
    fs::write(copy.join(CREDENTIALS), original).expect("written");
    stage.run(&["renew"]).succeeded();
    assert!(both_are_signed_in(&stage, &copy));
    assert_eq!(stage.refreshes().len(), 1);
    stage.nothing_was_broken();
}

#[test]
fn a_broken_copy_does_not_stop_the_good_one_and_its_file_is_named() {
    let (stage, _) = Stage::with_rig(strict());
    let copy = copy_folder(&stage);
    add_folder(&stage, &copy);
    let whole = fs::read_to_string(copy.join(CREDENTIALS)).expect("a file");
    fs::write(copy.join(CREDENTIALS), &whole[..whole.len() / 2]).expect("written");
    let ran = stage.run(&["renew"]);
    assert_eq!(ran.code, Some(12), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("claude-code/rig: renewed"), "{}", ran.err);
    assert!(stage.holds_live_pair("rig"));
    let broken = copy.join(CREDENTIALS).display().to_string();
    assert!(stage.run(&["doctor"]).out.contains(&broken));
    fs::write(copy.join(CREDENTIALS), whole).expect("written");
    stage.run(&["renew"]).succeeded();
    assert!(both_are_signed_in(&stage, &copy));
    stage.nothing_was_broken();
}

#[test]
fn a_store_that_could_not_be_read_at_start_is_renewed_once_it_can_be() {
    let (stage, _) = Stage::with_rig(strict());
    let whole = store::read(&stage.home, CREDENTIALS);
    store::write(&stage.home, CREDENTIALS, &whole[..whole.len() / 2]);
    // The file is reached by a link from elsewhere, whose folder nobody watches.
    let real = stage.home.path().join("elsewhere.json");
    fs::rename(stage.home.claude(CREDENTIALS), &real).expect("moved");
    std::os::unix::fs::symlink(&real, stage.home.claude(CREDENTIALS)).expect("linked");
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    assert_eq!(stage.run(&["renew"]).code, Some(12));
    fs::write(&real, whole).expect("written");
    keeper.until("it is renewed by itself", |keeper| keeper.events("renewed").len() == 1);
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn who_asks_a_keeper_is_told_how_the_store_stands_now() {
    let (stage, _) = Stage::with_rig(strict());
    let whole = store::read(&stage.home, CREDENTIALS);
    store::write(&stage.home, CREDENTIALS, "{");
    let real = stage.home.path().join("elsewhere.json");
    fs::rename(stage.home.claude(CREDENTIALS), &real).expect("moved");
    std::os::unix::fs::symlink(&real, stage.home.claude(CREDENTIALS)).expect("linked");
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    // Long enough for the next look of its own to be far away.
    keeper.until("it is told", |keeper| {
        keeper.said().iter().any(|line| line.to_string().contains("can't be read"))
            || stage.run(&["renew"]).code == Some(12)
    });
    fs::write(&real, whole).expect("written");
    let ran = stage.run(&["renew", "rig"]).succeeded();
    assert!(!ran.err.contains("can't be read"), "{}", ran.err);
    assert!(stage.holds_live_pair("rig"));
    assert_eq!(stage.refreshes().len(), keeper.events("renewed").len());
    stage.nothing_was_broken();
}

#[test]
fn a_folder_that_is_away_is_no_sign_out_and_its_pause_and_tokens_are_there_when_it_is_back() {
    let (stage, _) = Stage::with_rig(strict());
    let (folder, away) = (stage.home.claude(""), stage.home.path().join("away"));
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    stage.run(&["pause", "rig"]).succeeded();
    fs::rename(&folder, &away).expect("moved");
    keeper
        .until("it is noticed", |_| stage.run(&["renew", "rig"]).out.contains("is not there now"));
    fs::rename(&away, &folder).expect("moved back");
    keeper.until("it is paused as before", |_| stage.run(&["renew", "rig"]).out.contains("Paused"));
    assert!(keeper.events("signed_out").is_empty() && stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn a_first_sign_in_is_refused_where_the_store_is_away_and_the_sign_ins_there_stay() {
    let (stage, _) = Stage::with_rig(strict());
    let (folder, away) = (stage.home.claude(""), stage.home.path().join("away"));
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    stage.run(&["pause", "rig"]).succeeded();
    // What a disk was mounted on is an empty folder.
    fs::rename(&folder, &away).expect("moved");
    fs::create_dir(&folder).expect("an empty folder");
    keeper
        .until("it is noticed", |_| stage.run(&["renew", "rig"]).out.contains("is not there now"));
    let url = stage.town.mcp_url();
    let ran = stage.run(&["sign-in", &url, "--name", "new", "--no-browser", "--timeout", "5"]);
    assert_eq!(ran.code, Some(10), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("is not there now"), "{}", ran.out);
    assert!(fs::read_dir(&folder).expect("a folder").next().is_none());
    fs::remove_dir(&folder).expect("still empty");
    fs::rename(&away, &folder).expect("moved back");
    keeper.until("it is paused as before", |_| stage.run(&["renew", "rig"]).out.contains("Paused"));
    assert!(keeper.events("signed_out").is_empty() && stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn a_file_that_may_not_be_read_is_read_again_when_it_may_be() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may read everything");
        return;
    }
    let (stage, _) = Stage::with_rig(strict());
    let file = stage.home.claude(CREDENTIALS);
    let set = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
    set(0o000);
    let keeper = Keeper::start(&stage.home);
    keeper.until_reachable(&stage.home);
    set(0o600);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    stage.nothing_was_broken();
}
