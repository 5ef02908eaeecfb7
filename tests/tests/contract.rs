//! The contract that every store keeps, whatever its client: found, absent, locked, broken, changed
//! and gone meanwhile, unknown fields kept, mode and symlink kept, two writers, disk full.
//!
//! A new client joins by one more `Subject` in [`subjects`]. Nothing outside a temporary folder is
//! touched.

#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

mod claude_code_subject;

use std::{fs, path::Path, time::Duration};

use claude_code_subject::{ClaudeCodeSubject, KeychainSubject};
use lamplighter_core::{
    ids::EntryKey,
    secret::Secret,
    store::{
        Change, ClientCredentials, Enrolment, Entry, NewTokens, SignIns, StoreFault, TokenPair,
        Written,
    },
    time::Wall,
};
use lamplighter_engine::stores::Store;

/// One client's store with what a test needs to know about it.
pub(crate) trait Subject: Sync {
    /// Lays the fixture `name` out in `home`.
    fn lay_out(&self, home: &Path, fixture: &str);
    /// The store that lies there.
    fn store(&self, home: &Path) -> Box<dyn Store>;
    /// The file that holds the grants, or that stands for what holds them.
    fn file(&self, home: &Path) -> std::path::PathBuf;
    /// The file that a first sign-in makes.
    fn first_file(&self, home: &Path) -> std::path::PathBuf;
    /// Whether it is a file for the store too, with a mode, an owner and a disk.
    fn is_file(&self) -> bool;
    /// The same text with our own fields' values blanked.
    fn blanked(&self, text: &str) -> String;
    /// The client signs out of everything but leaves its file.
    fn sign_out(&self, home: &Path);
    /// Locks it, if it can be locked; says whether it did.
    fn lock_up(&self, _home: &Path) -> bool {
        false
    }
    /// Something else that the client keeps in the same file, changed by it.
    fn client_writes_elsewhere(&self, home: &Path);
}

fn subjects() -> [&'static dyn Subject; 2] {
    [&ClaudeCodeSubject, &KeychainSubject]
}

/// Runs one rule against every store, each in a home of its own with the fixture `name`.
fn check(fixture: &str, rule: impl Fn(&dyn Subject, &Path, &dyn Store)) {
    for subject in subjects() {
        let home = tempfile::tempdir().expect("a temporary home");
        subject.lay_out(home.path(), fixture);
        let store = subject.store(home.path());
        rule(subject, home.path(), store.as_ref());
    }
}

/// The same for rules about files.
fn check_files(fixture: &str, rule: impl Fn(&dyn Subject, &Path, &dyn Store)) {
    check(fixture, |subject, home, store| {
        if subject.is_file() {
            rule(subject, home, store);
        }
    });
}

fn first(store: &dyn Store) -> Entry {
    let view = store.look().expect("a readable store");
    view.entries.into_iter().next().expect("an entry")
}

fn renewed(entry: &Entry) -> Change {
    Change {
        key: entry.key.clone(),
        expect: entry.pair.clone(),
        client_id: entry.client.as_ref().map(|c| c.id.clone()).unwrap_or_default(),
        new: NewTokens {
            access: Secret::new("new-access-\u{e9}"),
            refresh: Some(Secret::new("new-refresh")),
            expires_at: Some(Wall(1_900_000_000_000)),
            scope: entry.scope.clone(),
        },
        enrolment: None,
    }
}

/// What a sign-in writes: another client, and every field.
fn sign_in(key: &EntryKey, expect: &TokenPair) -> Change {
    let secret = Some(Secret::new("client-secret"));
    Change {
        key: key.clone(),
        expect: expect.clone(),
        client_id: "new-client".into(),
        new: NewTokens {
            access: Secret::new("new-access-\u{e9}"),
            refresh: Some(Secret::new("new-refresh")),
            expires_at: Some(Wall(1_900_000_000_000)),
            scope: Some("a b".into()),
        },
        enrolment: Some(Enrolment {
            server_name: "slack".into(),
            server_url: "https://new.example/mcp".into(),
            client: ClientCredentials { id: "new-client".into(), secret },
            redirect_uri: "http://localhost:50000/callback".into(),
            issuer: "https://as.example/".into(),
            authorization_server: "https://as.example".into(),
            resource_metadata_url: Some("https://new.example/.well-known/x".into()),
            metadata_found: true,
            metadata_url: None,
        }),
    }
}

/// The entry that [`sign_in`] makes.
const MADE: &str = r#"{"serverName":"slack","serverUrl":"https://new.example/mcp","discoveryState":{"authorizationServerUrl":"https://as.example","resourceMetadataUrl":"https://new.example/.well-known/x","oauthMetadataFound":true,"authServerMetadataUrl":null},"clientId":"new-client","clientSecret":"client-secret","issuer":"https://as.example/","redirectUri":"http://localhost:50000/callback","accessToken":"new-access-\u00e9","refreshToken":"new-refresh","expiresAt":1900000000000,"scope":"a b"}"#;

fn fresh() -> EntryKey {
    EntryKey::from("fresh|0123456789abcdef")
}

fn text_of(subject: &dyn Subject, home: &Path) -> String {
    fs::read_to_string(subject.file(home)).expect("a file")
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

fn holds_new(store: &dyn Store, key: &EntryKey) -> bool {
    let view = store.look().expect("a readable store");
    let entry = view.entries.iter().find(|entry| entry.key == *key).expect("the entry");
    entry.pair.refresh == Some(Secret::new("new-refresh"))
}

#[test]
fn what_is_there_is_found_and_what_is_not_ours_is_not() {
    check("full", |_, _, store| {
        let view = store.look().expect("a readable store");
        let names: Vec<_> = view.entries.iter().map(|e| e.server_name.as_str()).collect();
        assert_eq!(names, ["slack", "notion", "copy"]);
        assert_eq!(view.entries[0].pair.refresh, view.entries[2].pair.refresh);
        assert!(view.entries[0].client.is_some());
    });
}

#[test]
fn no_store_is_absent_and_not_empty() {
    check("absent", |_, _, store| match store.look() {
        Ok(view) => assert_eq!((view.sign_ins, view.entries.len()), (SignIns::None, 0)),
        Err(fault) => assert!(matches!(fault, StoreFault::Absent { .. }), "{fault:?}"),
    });
}

#[test]
fn new_tokens_change_our_fields_and_not_one_byte_more() {
    check("full", |subject, home, store| {
        let before = fs::read_to_string(subject.file(home)).expect("a file");
        let change = renewed(&first(store));
        assert_eq!(store.write(&change), Ok(Written::Saved));
        let after = fs::read_to_string(subject.file(home)).expect("a file");
        assert_ne!(before, after);
        assert_eq!(subject.blanked(&before), subject.blanked(&after));
        assert_eq!(first(store).pair, change.new.pair());
        assert!(after.is_ascii() || !before.is_ascii());
    });
}

#[test]
fn writing_the_same_twice_writes_once() {
    check("full", |subject, home, store| {
        let change = renewed(&first(store));
        store.write(&change).expect("written");
        let before = fs::metadata(subject.file(home)).and_then(|m| m.modified()).expect("a time");
        assert_eq!(store.write(&change), Ok(Written::Saved));
        let after = fs::metadata(subject.file(home)).and_then(|m| m.modified()).expect("a time");
        assert_eq!(before, after);
    });
}

#[test]
fn what_changed_meanwhile_is_left_and_told() {
    check("full", |_, _, store| {
        let entry = first(store);
        store.write(&renewed(&entry)).expect("written");
        // Our knowledge is old now, in any one of the three fields.
        for (access, refresh, expires) in
            [(true, false, false), (false, true, false), (false, false, true)]
        {
            let now = first(store);
            let mut change = renewed(&now);
            change.new.access = Secret::new("other");
            if access {
                change.expect.access = entry.pair.access.clone();
            }
            if refresh {
                change.expect.refresh = entry.pair.refresh.clone();
            }
            if expires {
                change.expect.expires_at = entry.pair.expires_at;
            }
            assert_eq!(store.write(&change), Ok(Written::Conflict(now.pair.clone())));
            assert_eq!(first(store), now);
        }
    });
}

#[test]
fn another_oauth_clients_entry_is_a_conflict() {
    check("full", |_, _, store| {
        let mut change = renewed(&first(store));
        change.client_id = "somebody else's".into();
        assert!(matches!(store.write(&change), Ok(Written::Conflict(_))));
    });
}

#[test]
fn what_is_gone_meanwhile_is_not_brought_back() {
    check("full", |subject, home, store| {
        let change = renewed(&first(store));
        subject.sign_out(home);
        let before = fs::read_to_string(subject.file(home)).expect("a file");
        assert_eq!(store.write(&change), Ok(Written::Gone));
        assert_eq!(fs::read_to_string(subject.file(home)).expect("a file"), before);
        fs::remove_file(subject.file(home)).expect("removed");
        let absent = |fault| matches!(fault, StoreFault::Absent { .. });
        assert!(absent(store.write(&change).expect_err("nothing to write to")));
        assert!(!subject.file(home).exists());
    });
}

#[test]
fn an_unreadable_store_is_broken_said_without_content_and_never_written() {
    for text in [
        r#"{"mcpOAuth":{"slack|0":{"accessToken":"tok_secret_1"#,
        r#"["tok_secret_1"]"#,
        r#"{"mcpOAuth":"tok_secret_1"}"#,
        "\u{feff}tok_secret_1",
        "",
    ] {
        check("full", |subject, home, store| {
            let change = renewed(&first(store));
            fs::write(subject.file(home), text).expect("written");
            for fault in [
                store.look().expect_err("broken"),
                store.write(&change).expect_err("broken"),
                store.write(&sign_in(&change.key, &change.expect)).expect_err("broken"),
                store.write(&sign_in(&change.key, &TokenPair::default())).expect_err("broken"),
                store.remove(&change.key, &change.expect).expect_err("broken"),
            ] {
                assert!(matches!(fault, StoreFault::Broken { .. }), "{fault:?}");
                assert!(!format!("{fault} {fault:?}").contains("tok_secret"), "{fault}");
            }
            assert_eq!(fs::read_to_string(subject.file(home)).expect("a file"), text);
        });
    }
}

#[test]
fn what_is_locked_is_said_to_be_and_neither_empty_nor_written() {
    check("full", |subject, home, store| {
        let change = renewed(&first(store));
        let before = fs::read(subject.file(home)).expect("a file");
        if !subject.lock_up(home) {
            return;
        }
        for fault in [
            store.look().expect_err("locked"),
            store.write(&change).expect_err("locked"),
            store.write(&sign_in(&change.key, &TokenPair::default())).expect_err("locked"),
            store.remove(&change.key, &change.expect).expect_err("locked"),
        ] {
            assert!(matches!(fault, StoreFault::Locked { .. }), "{fault:?}");
        }
        assert_eq!(fs::read(subject.file(home)).expect("a file"), before);
    });
}

#[test]
fn a_sign_in_replaces_what_is_its_own_and_keeps_the_rest_of_the_entry() {
    check("full", |subject, home, store| {
        let before = text_of(subject, home);
        let entry = first(store);
        assert_eq!(store.write(&sign_in(&entry.key, &entry.pair)), Ok(Written::Saved));
        let after = text_of(subject, home);
        let mut expected = json(&before);
        let own = &mut expected["mcpOAuth"][entry.key.as_str()];
        let made = json(MADE);
        for (field, value) in made.as_object().expect("an object") {
            if !["serverUrl", "discoveryState"].contains(&field.as_str()) {
                own[field] = value.clone();
            }
        }
        for (field, value) in made["discoveryState"].as_object().expect("an object") {
            own["discoveryState"][field] = value.clone();
        }
        let discovery = own["discoveryState"].as_object_mut().expect("an object");
        assert!(discovery.remove("tokenlessRejectedAt").is_some());
        assert!(discovery.contains_key("futureFlag"));
        assert_eq!(json(&after), expected);
        // Not one byte of anything else.
        let (start, end) = (r#""slack|38801a7d845718b3":{"serverName""#, r#""notion|"#);
        let around = |text: &str| {
            let (head, rest) = text.split_once(start).expect("the entry");
            let (_, tail) = rest.split_once(end).expect("the next one");
            (head.to_owned(), tail.to_owned())
        };
        assert_eq!(around(&before), around(&after));
        // The same once more is known to stand there.
        assert_eq!(store.write(&sign_in(&entry.key, &entry.pair)), Ok(Written::Saved));
        assert_eq!(text_of(subject, home), after);
    });
}

#[test]
fn what_a_sign_in_did_not_bring_does_not_stay_from_the_last_one() {
    check("full", |subject, home, store| {
        let entry = first(store);
        store.write(&sign_in(&entry.key, &entry.pair)).expect("written");
        let mut change = sign_in(&entry.key, &first(store).pair);
        change.new.access = Secret::new("third");
        change.new.refresh = None;
        change.new.expires_at = None;
        let enrolment = change.enrolment.as_mut().expect("a sign-in");
        enrolment.client.secret = None;
        enrolment.resource_metadata_url = None;
        enrolment.metadata_url = Some("https://as.example/metadata".into());
        assert_eq!(store.write(&change), Ok(Written::Saved));
        let own = &json(&text_of(subject, home))["mcpOAuth"][entry.key.as_str()];
        for field in ["refreshToken", "expiresAt", "clientSecret"] {
            assert!(own.get(field).is_none(), "{field}");
        }
        let discovery = &own["discoveryState"];
        assert!(discovery.get("resourceMetadataUrl").is_none());
        assert_eq!(discovery["authServerMetadataUrl"], "https://as.example/metadata");
        assert_eq!(first(store).pair, change.new.pair());
    });
}

#[test]
fn a_first_sign_in_to_a_server_adds_its_entry_and_not_one_byte_more() {
    let key = fresh();
    let (name, none) = (key.as_str(), TokenPair::default());
    check("full", |subject, home, store| {
        let before = text_of(subject, home);
        assert_eq!(store.write(&sign_in(&key, &none)), Ok(Written::Saved));
        let after = text_of(subject, home);
        let added = format!(",\"{name}\":{MADE}");
        assert_eq!(after.replacen(&added, "", 1), before);
        assert_ne!(after, before);
        let view = store.look().expect("a readable store");
        assert!(view.entries.iter().any(|entry| entry.key == key));
    });
    for (before, after) in [
        ("{}", r#"{"mcpOAuth":{"KEY":MADE}}"#),
        (r#"{"mcpOAuth":null,"x":1.0}"#, r#"{"mcpOAuth":{"KEY":MADE},"x":1.0}"#),
        (r#"{"x":[1e3],"mcpOAuth":{}}"#, r#"{"x":[1e3],"mcpOAuth":{"KEY":MADE}}"#),
        (
            r#"{"claudeAiOauth":{"a":"\/"}}"#,
            r#"{"claudeAiOauth":{"a":"\/"},"mcpOAuth":{"KEY":MADE}}"#,
        ),
    ] {
        check("full", |subject, home, store| {
            fs::write(subject.file(home), before).expect("written");
            assert_eq!(store.write(&sign_in(&key, &none)), Ok(Written::Saved));
            let after = after.replace("KEY", name).replace("MADE", MADE);
            assert_eq!(text_of(subject, home), after);
        });
    }
}

#[test]
fn entries_of_every_version_are_signed_in_again() {
    // As 2.1.119, 2.1.220 and 2.1.330 wrote them; wiped, and never signed in.
    let stub = r#"{"serverName":"rig","serverUrl":"http://127.0.0.1:8765/mcp","accessToken":"","#;
    for entry in [
        r#"{"serverName":"rig","serverUrl":"http://127.0.0.1:8765/mcp","accessToken":"at-4-17245446","discoveryState":{"authorizationServerUrl":"http://127.0.0.1:8765","resourceMetadataUrl":"http://127.0.0.1:8765/.well-known/oauth-protected-resource/mcp","oauthMetadataFound":true},"clientId":"client-2-f3fea751","refreshToken":"rt-5-a321c313","expiresAt":1795419886910,"scope":"read write"}"#,
        r#"{"serverName":"rig","serverUrl":"http://127.0.0.1:8765/mcp","accessToken":"at-3-cdb7e429","discoveryState":{"authorizationServerUrl":"http://127.0.0.1:8765","oauthMetadataFound":true},"clientId":"client-1-6cddb27a","redirectUri":"http://localhost:61420/callback","refreshToken":"rt-4-5eaea763","expiresAt":1795422044284,"scope":"read write"}"#,
        r#"{"serverName":"rig","serverUrl":"http://127.0.0.1:8765/mcp","accessToken":"at-3-652e763c","discoveryState":{"authorizationServerUrl":"http://127.0.0.1:8765","oauthMetadataFound":true,"authServerMetadataUrl":null},"clientId":"client-1-a0ed2e68","issuer":"http://127.0.0.1:8765","redirectUri":"http://localhost:61998/callback","refreshToken":"rt-4-436055e4","expiresAt":1795419743868,"scope":"read write"}"#,
        &format!(
            r#"{stub}"expiresAt":0,"discoveryState":{{"tokenlessRejectedAt":1,"registrationNotOfferedAt":2}}}}"#
        ),
        &format!(
            r#"{stub}"discoveryState":{{"resourceMetadata":{{}},"authorizationServerMetadata":{{"issuer":"old"}}}}}}"#
        ),
        &format!(r#"{stub}"discoveryState":null}}"#),
        &format!(r#"{stub}"clientId":"c"}}"#),
    ] {
        check("full", |subject, home, store| {
            let text = format!(r#"{{"mcpOAuth":{{"rig|c52143f84584caf9":{entry}}}}}"#);
            fs::write(subject.file(home), text).expect("written");
            let old = first(store);
            assert_eq!(store.write(&sign_in(&old.key, &old.pair)), Ok(Written::Saved), "{entry}");
            let mut expected = json(MADE);
            expected["serverUrl"] = "http://127.0.0.1:8765/mcp".into();
            let after = json(&text_of(subject, home));
            assert_eq!(after["mcpOAuth"][old.key.as_str()], expected, "{entry}");
        });
    }
}

#[test]
fn a_sign_in_overtaken_by_another_is_a_conflict() {
    check("full", |subject, home, store| {
        let entry = first(store);
        let before = text_of(subject, home);
        let conflict = Ok(Written::Conflict(entry.pair.clone()));
        assert_eq!(store.write(&sign_in(&entry.key, &TokenPair::default())), conflict);
        for expect in [
            TokenPair { access: None, ..entry.pair.clone() },
            TokenPair { refresh: None, ..entry.pair.clone() },
            TokenPair { expires_at: None, ..entry.pair.clone() },
        ] {
            assert_eq!(store.write(&sign_in(&entry.key, &expect)), conflict);
        }
        // Signed out meanwhile: nothing is made that was there before.
        assert_eq!(store.write(&sign_in(&fresh(), &entry.pair)), Ok(Written::Gone));
        assert_eq!(text_of(subject, home), before);
    });
}

#[test]
fn what_is_left_alone_is_neither_signed_in_to_nor_out_of() {
    for entry in [
        r#"{"serverName":"s","serverUrl":"https://s","discoveryState":{"xaaPinned":true}}"#,
        r#"{"serverName":"s","serverUrl":"https://s","accessToken":7}"#,
        r#""of another shape""#,
    ] {
        check("full", |subject, home, store| {
            let text = format!(r#"{{"mcpOAuth":{{"s|0123456789abcdef":{entry}}}}}"#);
            fs::write(subject.file(home), &text).expect("written");
            let (key, none) = (first(store).key, TokenPair::default());
            let conflict = Ok(Written::Conflict(none.clone()));
            assert_eq!(store.write(&sign_in(&key, &none)), conflict, "{entry}");
            assert_eq!(store.remove(&key, &none), conflict, "{entry}");
            assert_eq!(text_of(subject, home), text);
        });
    }
}

#[test]
fn the_first_sign_in_of_all_makes_the_file_where_the_client_is_in_use() {
    let (key, none) = (fresh(), TokenPair::default());
    check("absent", |subject, home, store| {
        let file = subject.first_file(home);
        let folder = file.parent().expect("a folder");
        // Somebody else's expectation: this is no first sign-in.
        let once = TokenPair { access: Some(Secret::new("a")), ..none.clone() };
        let absent = |fault| matches!(fault, StoreFault::Absent { .. });
        assert!(absent(store.write(&sign_in(&key, &once)).expect_err("nothing to write to")));
        assert!(!file.exists());
        assert_eq!(store.write(&sign_in(&key, &none)), Ok(Written::Saved));
        let made = format!("{{\"mcpOAuth\":{{\"{}\":{MADE}}}}}", key.as_str());
        assert_eq!(fs::read_to_string(&file).expect("a file"), made);
        assert_eq!(first(store).pair, sign_in(&key, &none).new.pair());
        let left = fs::read_dir(folder).expect("a folder");
        assert_eq!(left.count(), 1, "no lock and nothing unfinished stays");
        #[cfg(unix)]
        assert_eq!(unix::mode(&file), 0o600);
    });
    check("absent", |subject, home, store| {
        let file = subject.first_file(home);
        let folder = file.parent().expect("a folder");
        fs::remove_dir_all(folder).expect("removed");
        let absent = |fault| matches!(fault, StoreFault::Absent { .. });
        assert!(absent(store.write(&sign_in(&key, &none)).expect_err("nobody uses it")));
        assert!(!folder.exists());
        fs::write(home.join(".claude.json"), "{}").expect("written");
        assert_eq!(store.write(&sign_in(&key, &none)), Ok(Written::Saved));
        assert!(file.exists());
        #[cfg(unix)]
        assert_eq!(unix::mode(folder), 0o700);
    });
}

#[test]
fn signing_out_removes_one_entry_and_not_one_byte_more() {
    for index in 0..3 {
        check("full", |subject, home, store| {
            let before = text_of(subject, home);
            let entry = store.look().expect("readable").entries.swap_remove(index);
            let other = TokenPair { access: Some(Secret::new("other")), ..entry.pair.clone() };
            let conflict = Ok(Written::Conflict(entry.pair.clone()));
            assert_eq!(store.remove(&entry.key, &other), conflict);
            assert_eq!(text_of(subject, home), before);
            assert_eq!(store.remove(&entry.key, &entry.pair), Ok(Written::Saved));
            let after = text_of(subject, home);
            let mut expected = json(&before);
            let grants = expected["mcpOAuth"].as_object_mut().expect("an object");
            assert!(grants.remove(entry.key.as_str()).is_some());
            assert_eq!(json(&after), expected);
            // What goes is one piece.
            let same = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
            let gone = before.len() - after.len();
            let as_one = |start: usize| {
                start + gone <= before.len()
                    && format!("{}{}", &before[..start], &before[start + gone..]) == after
            };
            assert!((0..=same).rev().any(as_one));
            assert_eq!(store.remove(&entry.key, &entry.pair), Ok(Written::Gone));
        });
    }
    check("absent", |_, _, store| {
        let fault = store.remove(&fresh(), &TokenPair::default()).expect_err("nothing is there");
        assert!(matches!(fault, StoreFault::Absent { .. }), "{fault:?}");
    });
}

#[test]
fn ten_megabytes_are_read_and_kept() {
    check("full", |subject, home, store| {
        let file = subject.file(home);
        let text = fs::read_to_string(&file).expect("a file");
        let big = format!("{}\"pad\":\"{}\",{}", &text[..1], "x".repeat(10_000_000), &text[1..]);
        fs::write(&file, &big).expect("written");
        assert_eq!(store.write(&renewed(&first(store))), Ok(Written::Saved));
        let after = fs::read_to_string(&file).expect("a file");
        assert_eq!(subject.blanked(&after), subject.blanked(&big));
    });
}

#[test]
fn an_end_that_is_not_known_is_removed_and_an_old_scope_stays() {
    check("full", |_, _, store| {
        let entry = first(store);
        let mut change = renewed(&entry);
        change.new.expires_at = None;
        change.new.scope = None;
        assert_eq!(store.write(&change), Ok(Written::Saved));
        let after = first(store);
        assert_eq!(after.pair.expires_at, None);
        assert_eq!(after.scope, entry.scope);
    });
}

#[test]
fn two_writers_lose_nothing() {
    check("full", |subject, home, _| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..60 {
                    subject.client_writes_elsewhere(home);
                }
            });
            for index in 0..3 {
                scope.spawn(move || {
                    let store = subject.store(home);
                    let entry = store.look().expect("readable").entries.swap_remove(index);
                    for turn in 0..20 {
                        let now = store.look().expect("readable");
                        let now = now.entries.into_iter().find(|e| e.key == entry.key).expect("it");
                        let mut change = renewed(&now);
                        change.new.access = Secret::new(format!("a-{index}-{turn}"));
                        assert_eq!(store.write(&change), Ok(Written::Saved));
                    }
                });
            }
        });
        let view = subject.store(home).look().expect("readable");
        for (index, entry) in view.entries.iter().enumerate() {
            assert_eq!(entry.pair.access, Some(Secret::new(format!("a-{index}-19"))));
        }
    });
}

#[test]
fn a_refresh_lock_keeps_others_out_and_says_who() {
    check("full", |_, _, store| {
        let key = first(store).key;
        let held = store.lock(&key, Duration::from_millis(10), false).expect("free");
        held.still_ours().expect("ours");
        let busy = store.lock(&key, Duration::from_millis(10), false).err().expect("busy");
        assert!(matches!(busy, StoreFault::Busy { .. }), "{busy:?}");
        drop(held);
        store.lock(&key, Duration::from_millis(10), false).expect("free again");
    });
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    pub(super) fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_file_that_others_could_read_is_the_users_alone_afterwards() {
        check_files("full", |subject, home, store| {
            fs::set_permissions(subject.file(home), fs::Permissions::from_mode(0o644))
                .expect("set");
            store.write(&renewed(&first(store))).expect("written");
            assert_eq!(mode(&subject.file(home)), 0o600);
        });
    }

    #[test]
    fn a_symlink_stays_one_and_the_real_file_is_written() {
        check_files("full", |subject, home, store| {
            let (file, real) = (subject.file(home), home.join("elsewhere.json"));
            fs::rename(&file, &real).expect("moved");
            symlink(&real, &file).expect("linked");
            let key = first(store).key;
            store.write(&renewed(&first(store))).expect("written");
            assert!(fs::symlink_metadata(&file).expect("a link").is_symlink());
            assert!(fs::read_to_string(&real).expect("a file").contains("new-refresh"));
            assert!(holds_new(store, &key));
        });
    }

    #[test]
    fn another_users_file_is_not_written() {
        if !is_root() {
            println!("skipped: only root can give a file away");
            return;
        }
        check_files("full", |subject, home, store| {
            let change = renewed(&first(store));
            chown(subject.file(home), Some(12_345), None).expect("given away");
            let fault = store.write(&change).expect_err("refused");
            assert!(matches!(fault, StoreFault::Denied { .. }), "{fault:?}");
            assert!(!holds_new(store, &change.key));
        });
    }

    #[test]
    fn on_a_full_disk_the_old_file_stays_whole_and_nothing_is_left_behind() {
        let Some(disk) = TinyDisk::mount() else {
            println!("skipped: a small file system can only be mounted by root");
            return;
        };
        for subject in subjects().into_iter().filter(|subject| subject.is_file()) {
            subject.lay_out(disk.path(), "full");
            let store = subject.store(disk.path());
            let change = renewed(&first(store.as_ref()));
            let before = fs::read_to_string(subject.file(disk.path())).expect("a file");
            fs::write(disk.path().join("filler"), vec![0; 1_100_000]).expect_err("full by now");
            let fault = store.write(&change).expect_err("no room");
            assert!(matches!(fault, StoreFault::DiskFull { .. }), "{fault:?}");
            assert_eq!(fs::read_to_string(subject.file(disk.path())).expect("a file"), before);
            fs::remove_file(disk.path().join("filler")).expect("removed");
            assert_eq!(store.write(&change), Ok(Written::Saved));
            let folder = subject.file(disk.path());
            let left = fs::read_dir(folder.parent().expect("a folder")).expect("a folder");
            let left = left.filter_map(|e| e.ok()?.file_name().into_string().ok());
            assert!(left.into_iter().all(|name| !name.contains(".lamplighter-")));
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said_and_nothing_changes() {
        let Some(disk) = TinyDisk::mount() else {
            println!("skipped: a file system can only be mounted read-only by root");
            return;
        };
        for subject in subjects().into_iter().filter(|subject| subject.is_file()) {
            subject.lay_out(disk.path(), "full");
            let store = subject.store(disk.path());
            let change = renewed(&first(store.as_ref()));
            disk.read_only();
            let fault = store.write(&change).expect_err("read-only");
            assert!(matches!(fault, StoreFault::Denied { .. }), "{fault:?}");
            assert!(store.look().is_ok());
        }
    }

    /// A file system of one megabyte, unmounted when dropped.
    struct TinyDisk(tempfile::TempDir);

    impl TinyDisk {
        fn mount() -> Option<Self> {
            let place = tempfile::tempdir().ok()?;
            let mounted = is_root()
                && std::process::Command::new("mount")
                    .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
                    .arg(place.path())
                    .status()
                    .is_ok_and(|status| status.success());
            mounted.then_some(Self(place))
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn read_only(&self) {
            let status = std::process::Command::new("mount")
                .args(["-o", "remount,ro"])
                .arg(self.path())
                .status()
                .expect("mount runs");
            assert!(status.success());
        }
    }

    impl Drop for TinyDisk {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(self.path()).status();
        }
    }
}

#[test]
fn an_emptied_entry_is_seen_as_one() {
    check("wiped", |_, _, store| {
        let entry = first(store);
        assert!(entry.pair.is_wiped());
        assert_eq!(
            entry.pair,
            TokenPair { access: None, refresh: None, expires_at: Some(Wall(0)) }
        );
    });
}
