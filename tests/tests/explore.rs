use lamplighter_tests::{claude::Claude, home::Home, model_api::ModelApi, peers, store};
use serde_json::json;
use std::io::{Read, Write};
fn get(path: &str) -> String {
    let mut s = std::net::TcpStream::connect("127.0.0.1:8765").unwrap();
    write!(s, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let mut t = String::new();
    s.read_to_string(&mut t).unwrap();
    t.split("\r\n\r\n").nth(1).unwrap().to_string()
}
#[test]
fn explore() {
    peers::require_isolation();
    let version = std::env::var("V").unwrap();
    let mut rig = std::process::Command::new("node")
        .arg("/tmp/explore/rig.mjs")
        .arg("8765")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut b = [0; 5];
    rig.stdout.as_mut().unwrap().read_exact(&mut b).unwrap();
    let home = Home::new();
    let model = ModelApi::start();
    let claude = Claude::new(&version, &home, &model);
    let url = "http://127.0.0.1:8765/mcp";
    claude.add_server("rig", url);
    let put = |life: i64, off: i64| {
        let m: serde_json::Value =
            serde_json::from_str(&get(&format!("/_mint?life={life}"))).unwrap();
        store::write(&home, store::CREDENTIALS, &json!({"mcpOAuth": { store::key("rig", url): {"serverName":"rig","serverUrl":url,"accessToken":m["a"],"refreshToken":m["r"],"expiresAt":store::now_ms()+off*1000,"scope":"read write","clientId":"c1","discoveryState":{"authorizationServerUrl":"http://127.0.0.1:8765","oauthMetadataFound":true}}}}).to_string());
        m["a"].as_str().unwrap().to_string()
    };
    let show = |model: &ModelApi, what: &str| {
        for a in model.asked() {
            let t: Vec<_> =
                a.tools.iter().filter(|t| t.starts_with("mcp__") || t.contains("Search")).collect();
            println!(
                "  {what}: n={} mcp={t:?} said={:?}",
                a.tools.len(),
                a.said.chars().take(90).collect::<String>()
            );
        }
        println!("  strange {:?}", model.strange());
        model.forget();
        println!("  rig log {}", get("/_log"));
        println!("  cache {:?}", store::verdicts(&home));
    };
    // 1. good token
    put(3600, 3600);
    let l = claude.list();
    println!("LIST {:?} {}", l.took, l.out);
    let l = claude.get("rig");
    println!("GET {:?} {}", l.took, l.out);
    get("/_log");
    let mut s = claude.session("mcp__rig__whoami");
    println!("T1 {:?}", s.turn("hello"));
    show(&model, "1");
    println!("T2 {:?}", s.call("mcp__rig__whoami", &json!({"say":"x"})));
    show(&model, "2");
    let old =
        store::entry(&home, &store::key("rig", url))["accessToken"].as_str().unwrap().to_string();
    let new = put(3600, 3600);
    get(&format!("/_kill?t={old}"));
    println!("T3 (new {new}) {:?}", s.call("mcp__rig__whoami", &json!({"say":"y"})));
    show(&model, "3");
    let t = std::time::Instant::now();
    s.end();
    println!("END {:?}", t.elapsed());
    // verdict
    for off in [-60, 3600] {
        put(3600, off);
        store::write_verdict(&home, "rig");
        let mut s = claude.session("mcp__rig__whoami");
        println!("V{off} {:?}", s.call("mcp__rig__whoami", &json!({})));
        show(&model, "v");
        s.end();
    }
    // withdraw
    let new = put(3600, 3600);
    store::write(&home, store::VERDICTS, "{}");
    let mut s = claude.session("mcp__rig__whoami");
    println!("W {new} {:?}", s.call("mcp__rig__whoami", &json!({})));
    show(&model, "w");
    drop(s);
    rig.kill().unwrap();
    rig.wait().unwrap();
}
