//! Claude Code's keychain form, beyond the contract that every store keeps: hexadecimal output, long
//! values, locks and dialogs, the file beside the item, and every way in which the tool can fail.
//!
//! All of it against the stand-in (`src/bin/stand-in-security.rs`), which behaves as the real
//! `security` was described to; no test here proves anything about a real Mac.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use lamplighter_core::{
    keeper::{Action, Mode},
    secret::Secret,
    store::{Change, Entry, NewTokens, StoreFault, Wiper, Written},
    time::Wall,
};
use lamplighter_engine::{
    doctor,
    driver::Driver,
    open::Place,
    paths::{Env, HOME_OVERRIDE},
    stores::{Store as _, claude_code::ClaudeCode},
};
use lamplighter_rehearsal::{Builder, Mint, Minted, Rehearsal};
use lamplighter_tests::{keychain::Keychain, store};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest line that may go through the tool, its end included.
const LONGEST_LINE: usize = 4_032;

/// A home with this item in its keychain.
fn with_item(text: &str) -> (TempDir, Keychain, ClaudeCode) {
    let home = tempfile::tempdir().expect("a temporary home");
    fs::create_dir(home.path().join(".claude")).expect("a folder");
    let keychain = Keychain::new(home.path(), env!("CARGO_BIN_EXE_stand-in-security"));
    fs::write(keychain.item(), text).expect("written");
    let store = keychain.store();
    (home, keychain, store)
}

/// One sign-in, and `pad` characters that are not ours.
fn one_sign_in(pad: usize) -> String {
    json!({
        "claudeAiOauth": {"accessToken": "own-login"},
        "pad": "x".repeat(pad),
        "mcpOAuth": {"rig|c52143f84584caf9": {
            "serverName": "rig", "serverUrl": "https://rig.example/mcp", "clientId": "cl",
            "accessToken": "at-old-secret", "refreshToken": "rt-old-secret",
            "expiresAt": 1_800_000_000_000_i64
        }}
    })
    .to_string()
}

fn entry(store: &ClaudeCode) -> Entry {
    store.look().expect("a readable store").entries.remove(0)
}

fn renewed(entry: &Entry) -> Change {
    Change {
        key: entry.key.clone(),
        expect: entry.pair.clone(),
        client_id: "cl".into(),
        new: NewTokens {
            access: Secret::new("at-new-secret"),
            refresh: Some(Secret::new("rt-new-secret")),
            expires_at: Some(Wall(1_900_000_000_000)),
            scope: None,
        },
        enrolment: None,
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn item(keychain: &Keychain) -> String {
    fs::read_to_string(keychain.item()).expect("an item")
}

fn calls(keychain: &Keychain, which: &str) -> usize {
    keychain.called().lines().filter(|line| line.starts_with(&format!("[\"{which}\""))).count()
}

#[test]
fn a_secret_is_never_an_argument_and_never_in_the_environment() {
    for pad in [0, 5_000] {
        let (_home, keychain, store) = with_item(&one_sign_in(pad));
        let change = renewed(&entry(&store));
        store.lock(&change.key, Duration::ZERO, false).expect("free");
        assert_eq!(store.write(&change), Ok(Written::Saved));
        assert!(item(&keychain).contains("rt-new-secret"));
        let seen = keychain.called();
        assert!(seen.contains("find-generic-password") && seen.contains("HOME"), "{seen}");
        for secret in ["secret", "own-login"] {
            assert!(!seen.contains(secret) && !seen.contains(&hex(secret)), "{seen}");
        }
    }
}

#[test]
fn up_to_the_longest_line_goes_through_the_tool_and_one_more_by_this_process_uncut() {
    // How long the value is without padding, after a renewal.
    let (_home, keychain, store) = with_item(&one_sign_in(0));
    store.write(&renewed(&entry(&store))).expect("written");
    let bare = item(&keychain).len();
    let frame = "add-generic-password -U -a \"ana\" -s \"Claude Code-credentials\" -X \"\"\n".len();
    let fits = (LONGEST_LINE - frame) / 2 - bare;
    for (pad, through_the_tool, by_this_process) in [(fits, 1, 0), (fits + 1, 0, 1)] {
        let (_home, keychain, store) = with_item(&one_sign_in(pad));
        assert_eq!(store.write(&renewed(&entry(&store))), Ok(Written::Saved));
        assert_eq!(calls(&keychain, "-i"), through_the_tool, "{pad}");
        assert_eq!(keychain.updates(), by_this_process, "{pad}");
        let value: Value = serde_json::from_str(&item(&keychain)).expect("uncut JSON");
        assert_eq!(value["pad"].as_str().map(str::len), Some(pad));
        assert_eq!(value["claudeAiOauth"]["accessToken"], "own-login");
    }
}

#[test]
fn a_value_that_the_tool_prints_in_hexadecimal_is_read_and_leaves_it_printable() {
    let odd = one_sign_in(0).replace("own-login", "Jos\u{e9} \u{1F600}").replace(',', ",\n\t");
    let (_home, keychain, store) = with_item(&odd);
    let change = renewed(&entry(&store));
    assert_eq!(store.write(&change), Ok(Written::Saved));
    let after = item(&keychain);
    assert!(after.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{after}");
    let mut expected: Value = serde_json::from_str(&odd).expect("JSON");
    let entry = &mut expected["mcpOAuth"]["rig|c52143f84584caf9"];
    entry["accessToken"] = "at-new-secret".into();
    entry["refreshToken"] = "rt-new-secret".into();
    entry["expiresAt"] = 1_900_000_000_000_i64.into();
    assert_eq!(serde_json::from_str::<Value>(&after).expect("JSON"), expected);
}

#[test]
fn hexadecimal_that_is_not_text_is_broken_and_not_written() {
    let (_home, keychain, store) = with_item(&one_sign_in(0));
    let change = renewed(&entry(&store));
    fs::write(keychain.item(), [b'{', 0xff, 0xfe, b'}']).expect("written");
    assert!(matches!(store.look(), Err(StoreFault::Broken { .. })));
    assert!(matches!(store.write(&change), Err(StoreFault::Broken { .. })));
    assert_eq!(fs::read(keychain.item()).expect("an item"), [b'{', 0xff, 0xfe, b'}']);
}

#[test]
fn a_keychain_known_to_be_locked_is_not_asked_for_anything_that_could_bring_up_a_dialog() {
    let (_home, keychain, store) = with_item(&one_sign_in(0));
    let change = renewed(&entry(&store));
    let before = keychain.called();
    keychain.lock();
    assert_eq!(store.look(), Err(StoreFault::Locked { place: "Keychain".into() }));
    assert_eq!(store.write(&change), Err(StoreFault::Locked { place: "Keychain".into() }));
    assert_eq!(keychain.called(), before);
    keychain.mend();
    assert_eq!(store.write(&change), Ok(Written::Saved));
}

#[test]
fn locked_while_read_or_written_is_locked_and_never_empty_nor_the_file() {
    let (home, keychain, _) = with_item(&one_sign_in(0));
    let keychain = keychain.that_does_not_tell();
    let store = keychain.store();
    let file = home.path().join(".claude/.credentials.json");
    fs::write(&file, r#"{"mcpOAuth":{}}"#).expect("written");
    let change = renewed(&entry(&store));
    for fault in ["read locked", "read exit 51", "read exit 128", "write locked"] {
        keychain.fault(fault);
        if fault.starts_with("read") {
            assert!(matches!(store.look(), Err(StoreFault::Locked { .. })), "{fault}");
        }
        assert!(matches!(store.write(&change), Err(StoreFault::Locked { .. })), "{fault}");
        keychain.mend();
        assert_eq!(item(&keychain), one_sign_in(0));
        assert_eq!(fs::read_to_string(&file).expect("a file"), r#"{"mcpOAuth":{}}"#);
    }
    assert_eq!(store.write(&change), Ok(Written::Saved));
}

#[test]
fn a_tool_that_waits_for_a_person_is_ended_and_the_keychain_called_locked() {
    let (_home, keychain, store) = with_item(&one_sign_in(0));
    let change = renewed(&entry(&store));
    for fault in ["read hang", "write hang"] {
        keychain.fault(fault);
        let started = Instant::now();
        assert!(matches!(store.write(&change), Err(StoreFault::Locked { .. })), "{fault}");
        let took = started.elapsed();
        assert!(took >= Duration::from_secs(2), "{took:?}");
        // Whoever waits for the write lock gives up after 7.5 s.
        assert!(took < Duration::from_secs(7), "{took:?}");
        keychain.mend();
        assert_eq!(item(&keychain), one_sign_in(0));
    }
}

#[test]
fn what_was_written_although_the_tool_never_said_so_is_found_and_not_written_again() {
    let (_home, keychain, store) = with_item(&one_sign_in(0));
    let change = renewed(&entry(&store));
    keychain.fault("once write late");
    assert!(matches!(store.write(&change), Err(StoreFault::Locked { .. })));
    assert_eq!(store.write(&change), Ok(Written::Saved));
    assert_eq!(calls(&keychain, "-i"), 1);
}

#[test]
fn a_tool_that_says_it_wrote_and_did_not_is_not_believed() {
    let (_home, keychain, store) = with_item(&one_sign_in(0));
    keychain.fault("write nothing");
    let wrote = store.write(&renewed(&entry(&store)));
    assert!(matches!(wrote, Err(StoreFault::Busy { .. })), "{wrote:?}");
    assert_eq!(item(&keychain), one_sign_in(0));
}

#[test]
fn a_tool_that_fails_is_named_with_its_exit_code_and_works_the_next_time() {
    let (home, keychain, store) = with_item(&one_sign_in(0));
    fs::write(home.path().join(".claude/.credentials.json"), one_sign_in(1)).expect("written");
    let change = renewed(&entry(&store));
    for fault in ["once read exit 1", "once write exit 1"] {
        keychain.fault(fault);
        let said = store.write(&change).expect_err("a failure").to_string();
        assert!(said.contains("exit code 1") && said.contains("Claude Code-credentials"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    assert_eq!(store.write(&change), Ok(Written::Saved));
}

#[test]
fn the_file_is_never_written_while_the_item_exists() {
    let (home, keychain, store) = with_item(&one_sign_in(0));
    let file = home.path().join(".claude/.credentials.json");
    fs::write(&file, one_sign_in(1)).expect("written");
    assert_eq!(store.write(&renewed(&entry(&store))), Ok(Written::Saved));
    assert_eq!(fs::read_to_string(&file).expect("a file"), one_sign_in(1));
    assert!(item(&keychain).contains("rt-new-secret"));
}

#[test]
fn without_an_item_the_file_is_the_store_and_no_item_is_made() {
    let (home, keychain, store) = with_item("");
    fs::remove_file(keychain.item()).expect("removed");
    let file = home.path().join(".claude/.credentials.json");
    fs::write(&file, one_sign_in(0)).expect("written");
    let advice = store.look().expect("a readable store").advice;
    assert!(advice.iter().any(|words| words.contains("nothing is in the keychain")), "{advice:?}");
    assert_eq!(store.write(&renewed(&entry(&store))), Ok(Written::Saved));
    assert!(fs::read_to_string(&file).expect("a file").contains("rt-new-secret"));
    assert!(!keychain.item().exists());
}

#[test]
fn the_folder_that_holds_only_locks_is_made_where_there_is_an_item() {
    let (home, keychain, store) = with_item(&one_sign_in(0));
    fs::remove_dir(home.path().join(".claude")).expect("removed");
    let change = renewed(&entry(&store));
    store.lock(&change.key, Duration::ZERO, false).expect("free");
    assert_eq!(store.write(&change), Ok(Written::Saved));
    fs::remove_dir_all(home.path().join(".claude")).expect("removed");
    fs::remove_file(keychain.item()).expect("removed");
    let fault = store.write(&change).expect_err("nothing to write to");
    assert!(matches!(fault, StoreFault::Absent { .. }), "{fault:?}");
    assert!(!home.path().join(".claude").exists());
}

#[test]
fn a_long_value_that_this_process_may_not_write_is_known_before_a_token_is_spent() {
    let (_home, keychain, store) = with_item(&one_sign_in(5_000));
    let key = entry(&store).key;
    keychain.refuse_other_programs();
    let fault = store.lock(&key, Duration::ZERO, false).err().expect("refused");
    assert!(matches!(fault, StoreFault::Denied { .. }), "{fault:?}");
    assert_eq!(item(&keychain), one_sign_in(5_000));
    keychain.mend();
    // Proven once, with the very value that stands there.
    for _ in 0..2 {
        store.lock(&key, Duration::ZERO, false).expect("free");
    }
    assert_eq!(keychain.updates(), 1);
    assert_eq!(item(&keychain), one_sign_in(5_000));
}

#[test]
fn a_short_value_needs_no_such_proof() {
    let (_home, keychain, store) = with_item(&one_sign_in(0));
    keychain.refuse_other_programs();
    store.lock(&entry(&store).key, Duration::ZERO, false).expect("free");
    assert_eq!(store.write(&renewed(&entry(&store))), Ok(Written::Saved));
    assert_eq!(keychain.updates(), 0);
}

#[test]
fn an_old_client_that_runs_is_told_of_and_a_new_one_is_not() {
    let (_home, keychain, store) = with_item(&one_sign_in(0));
    let wiper = || store.look().expect("a readable store").wiper;
    assert_eq!(wiper(), None);
    keychain.run(&["/sbin/launchd", "/h/.local/share/claude/versions/2.1.330"]);
    assert_eq!(wiper(), None);
    keychain.run(&["/sbin/launchd", "/h/.local/share/claude/versions/2.1.119"]);
    assert_eq!(wiper(), Some(Wiper { version: Some("2.1.119".into()) }));
}

/// What is fixed around a keychain's store: our own folders in `home`, no keyring.
fn place(home: &TempDir, keychain: &Keychain) -> Place {
    let ours = home.path().join("ours");
    fs::create_dir(&ours).expect("a folder");
    fs::write(ours.join("settings.toml"), "keyring = \"off\"\n").expect("written");
    let env = Env::fixed([(HOME_OVERRIDE, ours.as_os_str()), ("HOME", home.path().as_os_str())]);
    let mut place = Place::find(env).expect("a place");
    place.stores = vec![Arc::new(keychain.store())];
    place
}

#[test]
fn doctor_names_the_item_and_its_account_says_if_it_is_locked_and_nothing_secret() {
    let (home, keychain, _) = with_item(&one_sign_in(0));
    let place = place(&home, &keychain);
    let told = || {
        let findings = doctor::examine(&place).into_iter();
        findings.map(|finding| finding.found).collect::<Vec<_>>().join("\n")
    };
    keychain.run(&["/h/.local/share/claude/versions/2.1.119"]);
    let open = told();
    assert!(open.contains("Claude Code 2.1.119 is open"), "{open}");
    assert!(
        open.contains("the keychain item \"Claude Code-credentials\" of ana: 1 sign-ins"),
        "{open}"
    );
    keychain.lock();
    let locked = told();
    assert!(locked.contains("Keychain is locked"), "{locked}");
    assert!(!open.contains("secret") && !locked.contains("secret"));
}

/// A server, and a home whose keychain holds a sign-in there that has ended.
fn with_town() -> (Rehearsal, Minted, TempDir, Keychain) {
    let town = Builder::default().start_blocking().expect("a server on loopback");
    let minted = town.control().mint(Mint { access_life_seconds: -1, ..Mint::default() });
    let entry = json!({
        "serverName": "rig", "serverUrl": town.mcp_url(), "accessToken": minted.access_token,
        "discoveryState": {"authorizationServerUrl": minted.issuer, "oauthMetadataFound": true},
        "clientId": minted.client_id, "refreshToken": minted.refresh_token,
        "expiresAt": minted.expires_at_ms, "scope": minted.scope,
    });
    let key = store::key("rig", &town.mcp_url());
    let text = json!({"claudeAiOauth": {"accessToken": "own"}, "mcpOAuth": {key: entry}});
    let (home, keychain, _) = with_item(&text.to_string());
    (town, minted, home, keychain)
}

/// Works with what lies there; `work` is given the opened engine.
fn with_engine(place: Place, mode: Mode, work: impl AsyncFnOnce(&mut Driver)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let quiet = Box::new(|_: &_, _: &_| {});
        let driver = place.open(mode, "test", Duration::from_secs(1), quiet);
        let mut driver = driver.expect("nobody else at work");
        driver.look().await;
        work(&mut driver).await;
    });
}

#[test]
fn a_due_sign_in_is_renewed_and_stays_where_it_was() {
    let (town, minted, home, keychain) = with_town();
    with_engine(place(&home, &keychain), Mode::OnRequest, async |driver| {
        driver.act(Action::RenewDue);
        driver.settle(std::future::pending(), Duration::from_secs(30)).await;
        assert_eq!(driver.snapshot().exit, 0, "{:?}", driver.snapshot());
    });
    let value: Value = serde_json::from_str(&item(&keychain)).expect("JSON");
    let entry = &value["mcpOAuth"][store::key("rig", &town.mcp_url())];
    let held = |member: &str| entry[member].as_str().expect("a token").to_owned();
    assert_ne!(held("refreshToken"), minted.refresh_token);
    assert!(town.control().is_access_live(&held("accessToken")));
    assert!(town.control().is_refresh_live(&held("refreshToken")));
    assert_eq!(town.control().violations(), Vec::<String>::new());
    assert!(!home.path().join(".claude/.credentials.json").exists());
    assert!(!keychain.called().contains(&hex(&held("refreshToken"))));
}

#[test]
fn an_old_copy_that_a_running_client_writes_back_is_replaced_again() {
    let (town, minted, home, keychain) = with_town();
    let old = item(&keychain);
    let stop = {
        let (keychain, old) = (keychain.clone(), old.clone());
        async move {
            until(|| item(&keychain) != old).await;
            // From its cache, as 2.1.119 does up to 30 seconds later.
            fs::write(keychain.item(), &old).expect("written");
            until(|| item(&keychain) != old).await;
        }
    };
    with_engine(place(&home, &keychain), Mode::Keep, async |driver| driver.keep(stop).await);
    assert!(!item(&keychain).contains(&minted.refresh_token));
    let presented = town.control().refreshes();
    assert_eq!(presented.iter().filter(|seen| seen.reuse).count(), 0);
    assert_eq!(presented.len(), 1);
}

/// Resolves when this holds; ends the test if it never does.
async fn until(holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never came to be");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The item was written last so many seconds after 2026 began.
fn written_at(keychain: &Keychain, seconds: u64) {
    let item = fs::File::options().append(true).open(keychain.item()).expect("an item");
    let year = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    item.set_modified(year + Duration::from_secs(seconds)).expect("set");
}

#[test]
fn a_write_of_the_item_makes_another_version_for_every_process_and_a_look_makes_none() {
    let (_home, keychain, store) = with_item(&one_sign_in(LONGEST_LINE));
    let versions = |store: &ClaudeCode| {
        let view = store.look().expect("readable");
        (view.version, view.version_before)
    };
    written_at(&keychain, 1);
    let first = versions(&store);
    assert!(first.0.is_some() && versions(&store) == first);
    // The value stays when it is proven that it can be put in place: who proved it knows both versions.
    let key = entry(&store).key;
    drop(store.lock(&key, Duration::from_secs(1), false).expect("free"));
    assert_eq!(keychain.updates(), 1);
    let proven = versions(&store);
    assert_eq!(proven.1, first.0);
    // What this process announces, another one finds.
    assert_eq!(versions(&keychain.store()), (proven.0, None));
    // The same value, by anybody.
    written_at(&keychain, 2);
    let other = versions(&store);
    assert!(other.0 != proven.0 && other.1.is_none());
}
