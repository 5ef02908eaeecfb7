use std::time::Instant;

use lamplighter_core::store::NewTokens;

use super::*;

#[test]
fn the_credential_manager_is_in_use_where_the_program_is_told_so_or_its_gate_is_open() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".claude.json");
    let plain = Env::fixed([("HOME", "/home/ana")]);
    let told = Env::fixed([("CLAUDE_CODE_FORCE_WINDOWS_CREDMAN", "1")]);
    assert!(!credential_manager(&plain, &file));
    assert!(credential_manager(&told, &file));
    for (text, in_use) in [
        (r#"{"cachedGrowthBookFeatures":{"tengu_windows_credman":true}}"#, true),
        (r#"{"cachedFeatureFlags":{"tengu_windows_credman":true}}"#, true),
        (
            r#"{"cachedGrowthBookFeatures":{},"cachedFeatureFlags":{"tengu_windows_credman":true}}"#,
            false,
        ),
        ("{", false),
    ] {
        fs::write(&file, text).unwrap();
        assert_eq!(credential_manager(&plain, &file), in_use, "{text}");
    }
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
