use super::*;

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn put(&self, path: &str, value: &Value) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value.to_string()).unwrap();
        self
    }

    fn read(&self) -> Configured {
        let env = Env::fixed([("HOME", self.dir.path().to_str().unwrap())]);
        let folder = Folder::usual(&env).unwrap();
        Configured::read(&folder, &self.dir.path().join("managed.json"), &env)
    }

    fn names(&self) -> Vec<String> {
        self.read().servers.into_iter().map(|server| server.name).collect()
    }
}

fn http(url: &str) -> Value {
    serde_json::json!({ "type": "http", "url": url })
}

#[test]
fn every_scope_is_read_and_what_is_disabled_or_unapproved_is_not() {
    let home = Home::new();
    let project = home.dir.path().join("work");
    let path = project.to_str().unwrap();
    home.put(
        ".claude.json",
        &serde_json::json!({
            "mcpServers": {"user": http("https://u.example/mcp"), "files": {"command": "x"}},
            "projects": {path: {
                "mcpServers": {"local": http("https://l.example/mcp"), "off": http("https://o.example")},
                "disabledMcpServers": ["off"],
                "enabledMcpjsonServers": ["approved", "both"],
                "disabledMcpjsonServers": ["both"]
            }}
        }),
    )
    .put(
        "work/.mcp.json",
        &serde_json::json!({"mcpServers": {
            "approved": http("https://a.example"), "both": http("https://b.example"),
            "pending": http("https://p.example")
        }}),
    )
    .put(".claude/settings.json", &serde_json::json!({"enabledPlugins": {"slack@m": true, "x@m": false}}))
    .put(
        ".claude/plugins/installed_plugins.json",
        &serde_json::json!({"version": 2, "plugins": {
            "slack@m": [{"installPath": home.dir.path().join("p/slack")}],
            "x@m": [{"installPath": home.dir.path().join("p/x")}]
        }}),
    )
    .put("p/slack/.mcp.json", &serde_json::json!({"slack": http("https://mcp.slack.com/mcp")}))
    .put("p/x/.mcp.json", &serde_json::json!({"x": http("https://x.example")}));
    assert_eq!(home.names(), ["plugin:slack:slack", "user", "local", "approved"]);
}

#[test]
fn a_managed_file_is_the_only_one_that_counts() {
    let home = Home::new();
    home.put(
        ".claude.json",
        &serde_json::json!({"mcpServers": {"user": http("https://u.example")}}),
    )
    .put("managed.json", &serde_json::json!({"mcpServers": {"org": http("https://o.example")}}));
    assert_eq!(home.names(), ["org"]);
}

#[test]
fn a_broken_file_hides_only_itself_and_is_said_without_its_content() {
    let home = Home::new();
    fs::write(home.dir.path().join(".claude.json"), "{\"secret\": tok").unwrap();
    let read = home.read();
    assert!(read.servers.is_empty());
    assert!(read.advice[0].contains("line 1, column 13"), "{:?}", read.advice);
    assert!(!read.advice[0].contains("tok"));
}

#[test]
fn a_server_with_its_own_authorization_header_does_not_sign_in() {
    let home = Home::new();
    let mut server = http("https://u.example");
    server["headers"] = serde_json::json!({"authorization": "Bearer x"});
    home.put(".claude.json", &serde_json::json!({"mcpServers": {"user": server}}));
    assert!(home.names().is_empty());
}

#[test]
fn what_is_configured_for_a_sign_in_is_read_and_what_cannot_be_used_is_not() {
    let home = Home::new();
    let with = |oauth: Value| serde_json::json!({ "type": "http", "url": "https://u.example", "oauth": oauth });
    home.put(
        ".claude.json",
        &serde_json::json!({"mcpServers": {
            "all": with(serde_json::json!({
                "clientId": "app", "callbackPort": 3118, "authServerMetadataUrl": "https://as.example/m"
            })),
            "odd": with(serde_json::json!({
                "clientId": "", "callbackPort": 70000, "authServerMetadataUrl": "http://as.example/m"
            })),
        }}),
    );
    let servers = home.read().servers;
    let secret = Some(Secret::new("s"));
    let all = SignInConfig {
        client: Some(ClientCredentials { id: "app".into(), secret: secret.clone() }),
        callback_port: Some(3118),
        metadata_url: Some("https://as.example/m".into()),
    };
    assert_eq!(servers[0].sign_in(secret.clone()), all);
    assert_eq!(servers[1].sign_in(secret), SignInConfig::default());
}

#[test]
fn a_key_is_never_made_up_where_a_variable_is_not_known() {
    let home = Home::new();
    home.put(
        ".claude.json",
        &serde_json::json!({"mcpServers": {"user": http("https://${NOT_SET_HERE}/mcp")}}),
    );
    let read = home.read();
    assert_eq!(read.servers[0].key, None);
    let found = read.of_entry("user|0123456789abcdef", "user", "https://real.example/mcp");
    assert_eq!(found.map(|server| server.name.as_str()), Some("user"));
}

#[test]
fn a_server_that_moved_lends_nothing_to_the_entry_of_the_old_one() {
    let home = Home::new();
    home.put(
        ".claude.json",
        &serde_json::json!({"mcpServers": {"user": http("https://new.example/mcp")}}),
    );
    let read = home.read();
    assert_eq!(read.of_entry("user|0123456789abcdef", "user", "https://old.example/mcp"), None);
    let same = read.of_entry("user|0123456789abcdef", "user", "https://new.example/mcp");
    assert!(same.is_some(), "other headers make another key of the same server");
}
