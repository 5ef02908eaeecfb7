//! Against real sockets.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

fn listen() -> (Listener, UnboundedReceiver<Knock>) {
    let (knock, knocks) = unbounded_channel();
    (Listener::open(None, knock).unwrap(), knocks)
}

/// What the listener answers to these lines, asked from another thread.
async fn asked(address: SocketAddr, lines: String) -> String {
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(lines.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, io::Error>(answer)
    });
    asking.await.unwrap().unwrap_or_default()
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[tokio::test]
async fn a_callback_is_handed_on_unread_and_its_tab_is_told_how_it_went() {
    let (listener, mut knocks) = listen();
    let port = listener.port();
    let home = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let tab =
        tokio::spawn(asked(home, get("/callback?code=a&state=b", &format!("localhost:{port}"))));
    let knock = knocks.recv().await.unwrap();
    assert_eq!(knock.query.expose(), "code=a&state=b");
    let page =
        Page { title: "Signed in to <x>".into(), lines: vec!["12 tools".into()], good: true };
    // The port closes; the tab still gets its page.
    drop(listener);
    knock.answer.send(page).unwrap();
    let shown = tab.await.unwrap();
    assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("Signed in to &lt;x&gt;"));
    for header in ["no-store", "no-referrer", "default-src 'none'"] {
        assert!(shown.contains(header), "{header}: {shown}");
    }
    let closed = async {
        while TcpStream::connect(home).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(INCOMING, closed).await.unwrap();
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let (listener, mut knocks) = listen();
    let port = listener.port();
    let home = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let here = format!("127.0.0.1:{port}");
    for host in ["evil.example", "localhost", "localhost:1", &format!("evil.example:{port}")] {
        assert!(asked(home, get("/callback?code=a&state=b", host)).await.contains(" 421 "));
    }
    assert!(asked(home, get("/favicon.ico", &here)).await.contains(" 404 "));
    let other = get("/callback?code=a", &here).replace("GET", "POST");
    assert!(asked(home, other).await.contains(" 404 "));
    let long = get(&format!("/callback?code={}", "a".repeat(LONGEST_QUERY)), &here);
    assert!(asked(home, long).await.contains(" 414 "));
    assert!(!asked(home, "x".repeat(100_000)).await.contains("200"));
    assert!(knocks.try_recv().is_err());
}

#[tokio::test]
async fn both_loopback_addresses_are_listened_on() {
    let (listener, mut knocks) = listen();
    let port = listener.port();
    let Ok(_) = StdListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let tab = tokio::spawn(asked(six, get("/callback?state=s&code=c", &format!("[::1]:{port}"))));
    assert!(knocks.recv().await.is_some());
    drop(tab);
}

#[tokio::test]
async fn a_taken_port_is_told_with_who_has_it() {
    let taken = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let (knock, _knocks) = unbounded_channel();
    let fault = Listener::open(Some(port), knock).err().unwrap();
    assert_eq!(fault.port, port);
    if cfg!(target_os = "linux") {
        let own = format!("(process {}) has it", std::process::id());
        assert!(fault.what.ends_with(&own), "{fault}");
    }
}
