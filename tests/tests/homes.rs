//! Several Lamplighters beside each other on one machine, each in a home of its own: what one leaves
//! outside its home carries the home's mark, and nothing else goes with it.
//!
//! The keyring is a real one, on a bus of the test's own. Where to read next: `leave.rs`.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lamplighter_rehearsal::{Rehearsal, Rotation};
use lamplighter_tests::{
    desk::Desk,
    home::{Home, Ran, run},
    keyring::Keyring,
    program::command,
    stage::Stage,
};

fn strict() -> lamplighter_rehearsal::Builder {
    Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict)
}

/// A command that can ask the keyring.
fn with_keyring(home: &Home, mut command: Command) -> Command {
    command.env("DBUS_SESSION_BUS_ADDRESS", home.session_bus());
    command
}

/// `lamplighter ARGS…` in the home that this folder is.
fn in_home(home: &Home, folder: &Path, args: &[&str]) -> Ran {
    let mut command = with_keyring(home, command(home, args));
    command.env("LAMPLIGHTER_HOME", folder);
    run(command)
}

/// Every file below this folder, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.clone(), fs::read(&path).expect("readable")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn removing_one_home_leaves_another_its_service_its_entries_and_its_key() {
    let (stage, _) = Stage::with_rig(strict());
    let (home, keyring) = (&stage.home, Keyring::start(&stage.home));
    let desk = Desk::new(home);
    run(with_keyring(home, desk.command(&["service", "install"]))).succeeded();
    lamplighter_tests::process::until("the service renews what is due", || {
        stage.holds_live_pair("rig").then_some(())
    });
    let own = home.path().with_file_name("state").join("lamplighter");
    let mark = own.canonicalize().expect("it is there").display().to_string();
    // As the tray of that home leaves them.
    let entries = [
        (home.config("autostart/Lamplighter.desktop"), "Exec=/opt/lamplighter-tray --hidden"),
        (
            home.data("applications/lamplighter-tray-handler.desktop"),
            "MimeType=x-scheme-handler/dev.lamplighter;",
        ),
    ];
    for (file, line) in &entries {
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        let text = format!("[Desktop Entry]\nX-Lamplighter-Home={mark}\n{line}\n");
        fs::write(file, text).expect("written");
    }
    let list = home.config("mimeapps.list");
    let line = "x-scheme-handler/dev.lamplighter=lamplighter-tray-handler.desktop";
    fs::write(&list, format!("[Default Applications]\n{line}\n")).expect("written");

    let other = home.path().join("try");
    in_home(home, &other, &["renew"]).succeeded();
    assert_eq!(keyring.entries().len(), 2, "{:?}", keyring.entries());
    let ran = in_home(home, &other, &["uninstall", "--yes"]).succeeded();
    assert!(!other.exists(), "{}", ran.out);
    let status = run(with_keyring(home, desk.command(&["service", "status"])));
    assert_eq!(status.code, Some(0), "it still runs: {}{}", status.out, status.err);
    assert!(desk.unit().exists() && list.exists());
    assert!(entries.iter().all(|(file, _)| file.exists()), "{}", ran.out);
    let left = keyring.entries();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].get("home").and_then(|home| home.as_str()), Some(mark.as_str()));
    // Its commands still reach it.
    run(with_keyring(home, desk.command(&["renew", "rig"]))).succeeded();

    run(with_keyring(home, desk.command(&["uninstall", "--yes"]))).succeeded();
    assert!(!desk.unit().exists() && !list.exists() && !own.exists());
    assert!(entries.iter().all(|(file, _)| !file.exists()));
    assert!(keyring.entries().is_empty());
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn a_folder_that_holds_something_else_is_no_home_and_nothing_in_it_is_touched() {
    let home = Home::new();
    let notes = home.path().join("notes");
    fs::create_dir(&notes).expect("a new folder");
    let theirs = [("journal", "dear diary"), ("state.json", "{}"), ("history.jsonl", "1066\n")];
    for folder in [home.path(), notes.clone()] {
        for (name, text) in theirs {
            fs::write(folder.join(name), text).expect("written");
        }
    }
    let before = files(&home.path());
    for folder in [home.path(), notes] {
        for args in [
            &["status"][..],
            &["doctor"],
            &["renew"],
            &["keep"],
            &["service", "install"],
            &["uninstall", "--yes"],
        ] {
            let ran = in_home(&home, &folder, args);
            assert_eq!(ran.code, Some(2), "{args:?}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains("LAMPLIGHTER_HOME"), "{args:?}: {}", ran.err);
            assert!(ran.err.contains("Set it to"), "{args:?}: {}", ran.err);
            assert!(files(&home.path()) == before, "{args:?} made or changed a file");
        }
    }
    // An empty home folder is a person's own as well.
    let empty = Home::new();
    let ran = in_home(&empty, &empty.path(), &["renew"]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert_eq!(files(&empty.path()), []);
}

#[test]
fn settings_alone_make_no_home_and_nothing_is_removed_or_made_beside_them() {
    let home = Home::new();
    let (own, other) = (home.config("lamplighter"), home.path().join("try"));
    for folder in [&own, &other] {
        fs::create_dir(folder).expect("a new folder");
        fs::write(folder.join("settings.toml"), "notices = true\n").expect("written");
    }
    let all = || (files(&own), files(&other));
    let before = all();
    let ran = in_home(&home, &other, &["uninstall", "--yes"]).succeeded();
    assert!(all() == before, "{}", ran.out);
    // The settings there are those of the home without the variable.
    for args in [&["renew"][..], &["uninstall", "--yes"]] {
        let ran = in_home(&home, &own, args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains("Set it to"), "{}", ran.err);
        assert!(all() == before, "{args:?}");
    }
}

#[test]
fn a_home_from_before_the_mark_is_taken_over() {
    let (stage, _) = Stage::with_rig(strict());
    let home = stage.home.path().join("lamp");
    in_home(&stage.home, &home, &["renew"]).succeeded();
    let marker = home.join("lamplighter-home");
    fs::remove_file(&marker).expect("it was marked");
    in_home(&stage.home, &home, &["status"]).succeeded();
    assert!(!marker.exists(), "who only looks makes nothing");
    in_home(&stage.home, &home, &["renew", "rig"]).succeeded();
    assert!(marker.exists());
    assert_eq!(stage.refreshes().len(), 2);
    fs::remove_file(&marker).expect("it was marked again");
    in_home(&stage.home, &home, &["uninstall", "--yes"]).succeeded();
    assert!(!home.exists());
    stage.nothing_was_broken();
}

#[test]
fn who_only_looks_makes_nothing() {
    let (stage, _) = Stage::with_rig(strict());
    let keyring = Keyring::start(&stage.home);
    let root = stage.home.path().with_file_name("");
    let folders = ["home", "state", "config", "data", "cache"];
    let all = || folders.map(|folder| files(&root.join(folder)));
    let count = || fs::read_dir(stage.home.run("")).expect("a folder").count();
    let (before, in_runtime) = (all(), count());
    let apart = stage.home.path().join("try");
    for args in [&["status"][..], &["status", "--json"], &["doctor"], &["doctor", "--json"]] {
        run(with_keyring(&stage.home, command(&stage.home, args)));
        in_home(&stage.home, &apart, args);
        assert!(all() == before, "{args:?} made or changed a file");
        assert!(!apart.exists(), "{args:?}");
        assert_eq!(count(), in_runtime, "{args:?}");
        assert!(keyring.entries().is_empty(), "{args:?}: {:?}", keyring.entries());
    }
}
