use std::{fs, time::Instant};

use lamplighter_core::store::{ClientCredentials, NewTokens, SignInConfig};

use super::*;

#[test]
fn the_credential_manager_is_in_use_where_the_program_is_told_so_or_its_gate_is_open() {
    let plain = Env::fixed([("HOME", "/home/ana")]);
    let told = Env::fixed([("CLAUDE_CODE_FORCE_WINDOWS_CREDMAN", "1")]);
    assert!(!credential_manager(&plain, None));
    assert!(credential_manager(&told, None));
    for (text, in_use) in [
        (r#"{"cachedGrowthBookFeatures":{"tengu_windows_credman":true}}"#, true),
        (r#"{"cachedFeatureFlags":{"tengu_windows_credman":true}}"#, true),
        (
            r#"{"cachedGrowthBookFeatures":{},"cachedFeatureFlags":{"tengu_windows_credman":true}}"#,
            false,
        ),
    ] {
        let main = serde_json::from_str(text).ok();
        assert_eq!(credential_manager(&plain, main.as_ref()), in_use, "{text}");
    }
}

#[test]
fn a_server_without_an_entry_is_listed_once_with_its_key_and_its_configured_client() {
    let (home, store) = store_of(0);
    let server = |oauth: Value| serde_json::json!({ "type": "http", "url": "https://a.example/mcp", "oauth": oauth });
    let key = key::entry_key("app", "http", "https://a.example/mcp", &serde_json::Map::new());
    let key = key.unwrap();
    let app = server(serde_json::json!({ "clientId": "id", "callbackPort": 3118 }));
    let unknown = serde_json::json!({ "type": "http", "url": "https://${NOT_SET_HERE}/mcp" });
    let main = serde_json::json!({
        "mcpServers": { "app": app, "org": server(serde_json::json!({ "xaa": true })), "what": unknown },
        "projects": { "/work": { "mcpServers": { "app": server(Value::Null) } } }
    });
    fs::write(home.path().join(".claude.json"), main.to_string()).unwrap();
    let secrets =
        serde_json::json!({ "mcpOAuthClientConfig": { key.as_str(): { "clientSecret": "s3" } } });
    fs::write(store.folder.credentials(), secrets.to_string()).unwrap();
    let listed = store.look().unwrap().servers;
    let keys: Vec<_> = listed.iter().map(|s| (s.name.as_str(), s.key.clone())).collect();
    assert_eq!(keys, [("app", Some(key)), ("org", None), ("what", None)]);
    let client = ClientCredentials { id: "id".into(), secret: Some(Secret::new("s3")) };
    let configured =
        SignInConfig { client: Some(client), callback_port: Some(3118), metadata_url: None };
    assert_eq!(listed[0].sign_in, configured);
    // Without a store the same is known, but for the secret.
    fs::remove_file(store.folder.credentials()).unwrap();
    let client = store.look().unwrap().servers.swap_remove(0).sign_in.client.unwrap();
    assert_eq!((client.id.as_str(), client.secret), ("id", None));
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_away_and_not_signed_out() {
    let (home, store) = store_of(1);
    let entry = store.look().unwrap().entries.swap_remove(0);
    let (folder, disk) = (store.folder.secure.clone(), home.path().join("disk"));
    fs::rename(&folder, &disk).unwrap();
    std::os::unix::fs::symlink(&disk, &folder).unwrap();
    assert_eq!(store.look().unwrap().entries.len(), 1);
    fs::rename(&disk, home.path().join("away")).unwrap();
    let away = |fault| matches!(fault, StoreFault::Denied { what, .. } if what.contains("a link"));
    assert!(away(store.look().unwrap_err()));
    assert!(away(store.remove(&entry.key, &entry.pair).unwrap_err()));
    fs::remove_file(&folder).unwrap();
    assert!(store.look().map_or_else(
        |fault| matches!(fault, StoreFault::Absent { .. }),
        |view| view.entries.is_empty()
    ));
    let absent = |fault| matches!(fault, StoreFault::Absent { .. });
    assert!(absent(store.remove(&entry.key, &entry.pair).unwrap_err()));
}

#[test]
fn a_store_says_whether_its_file_is_gone_or_its_folder() {
    let (home, store) = store_of(1);
    let sign_ins = || store.look().map(|view| (view.sign_ins, view.entries.len()));
    assert_eq!(sign_ins(), Ok((SignIns::Read, 1)));
    fs::rename(store.folder.credentials(), home.path().join("kept")).unwrap();
    // An empty folder, but for locks that stand in it, may be where a disk is mounted.
    fs::create_dir(store.folder.write_lock()).unwrap();
    assert!(matches!(store.look(), Err(StoreFault::Absent { .. })));
    fs::write(store.folder.secure.join("settings.json"), "{}").unwrap();
    assert_eq!(sign_ins(), Ok((SignIns::None, 0)));
    let configured = r#"{"mcpServers":{"s":{"type":"http","url":"https://s.example/mcp"}}}"#;
    fs::write(&store.folder.servers, configured).unwrap();
    assert_eq!(sign_ins(), Ok((SignIns::None, 0)));
    fs::remove_dir_all(&store.folder.secure).unwrap();
    assert_eq!(sign_ins(), Ok((SignIns::Away, 0)));
    assert_eq!(store.look().unwrap().servers.len(), 1);
}

#[test]
fn a_file_that_is_just_being_written_is_read_again_before_it_is_called_broken() {
    let (_home, store) = store_of(1);
    let file = store.folder.credentials();
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let writer = std::thread::spawn(move || {
        let started = Instant::now();
        // The second look is the one that finds it whole.
        while started.elapsed() < TORN / 4 {
            std::thread::yield_now();
        }
        fs::write(file, whole).unwrap();
    });
    assert_eq!(store.look().map(|view| view.entries.len()), Ok(1));
    writer.join().unwrap();
}

#[test]
fn inside_a_lock_nothing_but_the_store_is_read() {
    let (home, store) = store_of(1);
    let main = home.path().join(".claude.json");
    let server = |name: &str| serde_json::json!({"mcpServers": {name: {"type": "http", "url": "https://a.example/mcp"}}});
    fs::write(&main, server("first").to_string()).unwrap();
    fs::write(store.folder.verdicts(), r#"{"first":{"timestamp":1}}"#).unwrap();
    let told = |view: StoreView| {
        let servers = view.servers.into_iter().map(|server| server.name).collect::<Vec<_>>();
        (servers, view.verdicts.len(), view.entries.len())
    };
    assert_eq!(told(store.look().unwrap()), (vec!["first".into()], 1, 1));
    fs::write(&main, server("second").to_string()).unwrap();
    fs::write(store.folder.verdicts(), "{}").unwrap();
    fs::write(store.folder.credentials(), "{}").unwrap();
    assert_eq!(told(store.read_store().unwrap()), (vec!["first".into()], 1, 0));
    assert_eq!(told(store.look().unwrap()), (vec!["second".into()], 0, 0));
}

#[test]
fn a_verdict_that_was_withdrawn_is_gone_inside_a_lock_too() {
    let (_home, store) = store_of(1);
    fs::write(store.folder.verdicts(), r#"{"a":{"timestamp":1},"b":{"timestamp":1}}"#).unwrap();
    assert_eq!(store.look().unwrap().verdicts.len(), 2);
    assert_eq!(store.withdraw("a", Wall(1)), Ok(true));
    let left = store.read_store().unwrap().verdicts;
    assert_eq!(left.iter().map(|left| left.server_name.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_neither_read_nor_waited_for() {
    let (home, store) = store_of(1);
    let pipe = |path: &std::path::Path| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(path);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let project = home.path().join("project");
    let main = serde_json::json!({"projects": {project.to_str().unwrap(): {
        "hasTrustDialogAccepted": true, "enabledMcpjsonServers": ["odd"]
    }}});
    fs::write(home.path().join(".claude.json"), main.to_string()).unwrap();
    pipe(&project.join(".mcp.json"));
    pipe(&store.folder.verdicts());
    let settings = store.folder.config.join("settings.json");
    std::os::unix::fs::symlink("/dev/zero", &settings).unwrap();
    let view = store.look().unwrap();
    assert_eq!((view.entries.len(), view.servers.len(), view.verdicts.len()), (1, 0, 0));
    for odd in [project.join(".mcp.json"), settings] {
        let told = format!("{} can't be used: it is not a regular file", odd.display());
        assert!(view.advice.iter().any(|advice| advice.starts_with(&told)), "{:?}", view.advice);
    }
    assert!(store.withdraw("a", Wall(1)).is_err());
    pipe(&store.folder.credentials());
    assert!(matches!(store.look(), Err(StoreFault::Broken { .. })));
}

/// A store with this many entries of the usual size, in a home of its own.
fn store_of(count: usize) -> (tempfile::TempDir, ClaudeCode) {
    let home = tempfile::tempdir().unwrap();
    let entries: serde_json::Map<String, Value> = (0..count)
        .map(|n| {
            let entry = serde_json::json!({
                "serverName": format!("server-{n}"), "serverUrl": format!("https://s{n}.example/mcp"),
                "accessToken": "a".repeat(200), "refreshToken": "r".repeat(200),
                "expiresAt": 1_800_000_000_000_i64, "scope": "read write", "clientId": "client",
                "discoveryState": {"authorizationServerUrl": format!("https://s{n}.example")}
            });
            (format!("server-{n}|{n:016x}"), entry)
        })
        .collect();
    let env = Env::fixed([("HOME", home.path().to_str().unwrap())]);
    let folder = Folder::usual(&env).unwrap();
    fs::create_dir_all(&folder.secure).unwrap();
    let text = serde_json::json!({ "mcpOAuth": entries }).to_string();
    fs::write(folder.credentials(), text).unwrap();
    let store = ClaudeCode::new(folder, env).with_managed_file(home.path().join("managed.json"));
    (home, store.with_form(Form::File))
}

#[test]
#[ignore = "a measurement, printed by `cargo xtask bench store-write`"]
fn bench_store_write() {
    for count in [1, 50, 1_000] {
        let (_home, store) = store_of(count);
        let mut times = Vec::new();
        for turn in 0..41 {
            let entry = store.look().unwrap().entries.swap_remove(0);
            let change = Change {
                key: entry.key,
                expect: entry.pair,
                client_id: "client".into(),
                new: NewTokens {
                    access: Secret::new(format!("{turn:0200}")),
                    refresh: Some(Secret::new(format!("{turn:0200}"))),
                    expires_at: Some(Wall(1_900_000_000_000)),
                    scope: None,
                },
                enrolment: None,
            };
            let started = Instant::now();
            assert_eq!(store.write(&change), Ok(Written::Saved));
            times.push(started.elapsed());
        }
        times.sort();
        println!("{count} entries: median {:?}, longest {:?}", times[20], times[40]);
    }
}

#[test]
fn after_a_resume_a_write_lock_that_its_holder_has_not_touched_yet_is_not_taken_over() {
    let (_home, store) = store_of(1);
    let lock = store.folder.write_lock();
    fs::create_dir(&lock).unwrap();
    let slept =
        filetime::FileTime::from_unix_time(filetime::FileTime::now().unix_seconds() - 600, 0);
    filetime::set_file_mtime(&lock, slept).unwrap();
    store.just_woke(Duration::from_secs(60));
    let entry = store.look().unwrap().entries.swap_remove(0);
    let removed = std::thread::scope(|scope| {
        let removing = scope.spawn(|| store.remove(&entry.key, &entry.pair));
        // Its holder wakes a little later than we do; a lock that was taken over is not its own.
        for _ in 0..10 {
            std::thread::park_timeout(Duration::from_millis(50));
            if !lock.exists() {
                break;
            }
        }
        let _ = filetime::set_file_mtime(&lock, filetime::FileTime::now());
        removing.join().unwrap()
    });
    assert!(matches!(removed, Err(StoreFault::Busy { .. })), "{removed:?}");
    assert!(lock.exists());
}

#[test]
fn every_write_of_the_file_makes_another_version_and_a_look_makes_none() {
    let (_home, store) = store_of(1);
    let version = || store.look().unwrap().version.unwrap();
    let first = version();
    assert_eq!(version(), first);
    let entry = store.look().unwrap().entries.swap_remove(0);
    assert_eq!(store.remove(&entry.key, &entry.pair), Ok(Written::Saved));
    let second = version();
    assert_ne!(second, first);
    // The same bytes again, by anybody.
    let text = fs::read(store.folder.credentials()).unwrap();
    crate::files::replace(&store.folder.credentials(), &text).unwrap();
    assert_ne!(version(), second);
    fs::remove_file(store.folder.credentials()).unwrap();
    assert_eq!(store.file_version(), Some(NO_FILE));
}

#[test]
fn projects_that_hang_keep_none_of_the_clients_own_files_from_being_read() {
    let (home, store) = store_of(1);
    let main = serde_json::json!({
        "mcpServers": { "app": { "type": "http", "url": "https://a.example/mcp" } }
    });
    fs::write(home.path().join(".claude.json"), main.to_string()).unwrap();
    let (told, late) = std::sync::mpsc::channel();
    store.tell_when_late(Arc::new(move || {
        let _ = told.send(());
    }));
    // As many as are ever left behind.
    let reading = store.files.reading();
    let (let_go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    for _ in 0..64 {
        let gate = Arc::clone(&gate);
        let hangs = move || {
            // Over when the test lets go.
            let _ = gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        };
        reading.ask(&Arc::default(), hangs);
    }
    drop(reading);
    assert!(store.look().unwrap().servers.iter().any(|server| server.name == "app"));
    assert!(late.try_recv().is_err());
    drop(let_go);
    late.recv_timeout(Duration::from_secs(30)).unwrap();
}
