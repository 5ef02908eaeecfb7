//! Holds each crate to the dependencies it may have, and core to the promise that it does no IO.
//!
//! Direction: ui → src-tauri → engine → core; cli → engine → core. Nothing points up, and rehearsal
//! stands apart so that no mistake is shared by the program and its examiner.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Crates of this workspace, and which of the others each may depend on outside its own tests.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("lamplighter-core", &[]),
    ("lamplighter-engine", &["lamplighter-core"]),
    // The demo plays on rehearsal servers; nothing else of the command line knows them.
    ("lamplighter", &["lamplighter-core", "lamplighter-engine", "lamplighter-rehearsal"]),
    // As the command line: the demo, and nothing else.
    ("lamplighter-tray", &["lamplighter-core", "lamplighter-engine", "lamplighter-rehearsal"]),
    ("lamplighter-rehearsal", &[]),
    ("lamplighter-tests", &["lamplighter-core", "lamplighter-engine", "lamplighter-rehearsal"]),
    ("xtask", &[]),
];

/// What core may never name. `no_std` keeps most of it out already; this names the rest.
const NOT_IN_CORE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "std::time",
    "tokio",
    "async fn",
];

/// Parts of core, and which others of it each must not know. Who is named by several decides nothing about
/// them, so that each can be read alone.
const NOT_ABOVE: &[(&str, &[&str])] = &[
    ("oauth", &["desk", "facts", "health", "journal", "keeper", "notice", "signin", "snapshot"]),
    ("signin", &["desk", "facts", "health", "journal", "keeper", "notice", "snapshot"]),
    ("facts", &["desk", "health", "journal", "keeper", "notice", "signin", "snapshot"]),
    ("journal", &["desk", "facts", "health", "keeper", "notice", "signin", "snapshot"]),
    ("notice", &["desk", "facts", "health", "journal", "keeper", "oauth", "signin", "snapshot"]),
    ("snapshot", &["desk", "journal", "keeper", "notice", "oauth", "signin"]),
    ("health", &["desk", "journal", "keeper", "notice", "oauth", "signin", "snapshot"]),
];

/// What panics when nobody reads, or would let it back in. `print!` and `eprint!` end alike.
const NOT_IN_PROGRAMS: &[&str] =
    &["println!", "print!(", "dbg!", "print_stdout", "print_stderr", "with_writer(std::io"];

/// Where it stands for something else: core's example must not compile.
const EXCUSED: &[&str] = &["core/src/secret.rs"];

/// The sources of every program that a person or CI runs.
fn programs() -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let crates = fs::read_dir(root.join("src-tauri/crates")).expect("crates");
    let crates = crates.map(|entry| entry.expect("an entry").path().join("src"));
    let mut folders: Vec<_> = crates.collect();
    folders.extend([root.join("src-tauri/src"), root.join("xtask/src")]);
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.extension().and_then(|end| end.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("rs") => files.push(path),
                Some(_) | None => {}
            }
        }
    }
    files
}

#[test]
fn no_program_prints_in_a_way_that_panics_when_nobody_reads() {
    let files = programs();
    assert!(files.len() > 100, "{files:?}");
    for file in files {
        let name = file.display().to_string();
        let is_for_tests = name.contains("/tests/") || name.ends_with("tests.rs");
        if is_for_tests
            || name.ends_with("testing.rs")
            || EXCUSED.iter().any(|end| name.ends_with(end))
        {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            let found = NOT_IN_PROGRAMS.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{name}:{}: {line}", number + 1);
        }
    }
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

#[test]
fn each_crate_depends_only_on_what_it_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.iter().copied().collect();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    assert!(packages.len() >= allowed.len());
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let Some(may) = allowed.get(name) else { panic!("{name} is not in the table of layers") };
        let ours = package["dependencies"].as_array().expect("a list").iter().filter(|d| {
            d["kind"].is_null() && allowed.contains_key(d["name"].as_str().unwrap_or_default())
        });
        for dependency in ours {
            let on = dependency["name"].as_str().expect("a name");
            assert!(may.contains(&on), "{name} must not depend on {on}");
        }
    }
}

#[test]
fn core_has_no_runtime_and_no_http_client() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let core = packages.iter().find(|p| p["name"] == "lamplighter-core").expect("core");
    for dependency in core["dependencies"].as_array().expect("a list") {
        let name = dependency["name"].as_str().expect("a name");
        assert!(!["tokio", "reqwest", "hyper", "keyring-core"].contains(&name), "core uses {name}");
    }
}

#[test]
fn core_names_nothing_that_does_io() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src-tauri/crates/core/src");
    let mut read = 0;
    visit(&core, &mut |path, text| {
        read += 1;
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            for word in NOT_IN_CORE {
                assert!(!line.contains(word), "{}: {word} in {line:?}", path.display());
            }
        }
    });
    assert!(read > 15, "only {read} files were read");
    let top = fs::read_to_string(core.join("lib.rs")).expect("lib.rs");
    assert!(top.contains("#![cfg_attr(not(test), no_std)]"), "core must stay no_std");
}

#[test]
fn no_part_of_core_knows_one_above_it() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src-tauri/crates/core/src");
    let mut seen = 0;
    for (part, others) in NOT_ABOVE {
        let mut check = |path: &Path, text: &str| {
            // Its tests may set a stage with anything.
            let own = path.strip_prefix(&core).unwrap_or(path);
            if own.with_extension("").iter().any(|name| name == "tests") {
                return;
            }
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            seen += 1;
            for known in named(text) {
                assert!(
                    !others.contains(&known.as_str()),
                    "{}: {part} must not know {known}",
                    path.display()
                );
            }
        };
        let file = core.join(part).with_extension("rs");
        if let Ok(text) = fs::read_to_string(&file) {
            check(&file, &text);
        }
        if core.join(part).is_dir() {
            visit(&core.join(part), &mut check);
        }
    }
    assert!(seen > 20, "only {seen} files were read");
    assert_eq!(named("use crate::{a::{b, c}, d};\nlet x = crate::e::f;"), ["a", "d", "e"]);
}

/// The parts of this crate that a source file names outside its comments.
fn named(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join(" ");
    let first = |path: &str| {
        let path = path.trim_start();
        let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
        path[..end].to_owned()
    };
    let mut named = Vec::new();
    for (at, root) in code.match_indices("crate::") {
        let path = &code[at + root.len()..];
        let Some(group) = path.strip_prefix('{') else {
            named.push(first(path));
            continue;
        };
        let mut deep = 1;
        let end = group.find(|c| {
            deep += i32::from(c == '{') - i32::from(c == '}');
            deep == 0
        });
        let mut deep = 0;
        let each = group[..end.unwrap_or(group.len())].split(|c| {
            deep += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && deep == 0
        });
        named.extend(each.map(first).filter(|name| !name.is_empty()));
    }
    named
}

fn visit(folder: &Path, each: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, each);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            each(&path, &fs::read_to_string(&path).expect("a readable file"));
        }
    }
}
