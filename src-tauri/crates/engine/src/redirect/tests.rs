use std::net::TcpStream as StdStream;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc::Receiver,
};

use super::*;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn open() -> (Listener, Receiver<Knock>) {
    let (knocks, heard) = mpsc::channel(8);
    (Listener::open(None, knocks).unwrap(), heard)
}

fn good(title: &str) -> Page {
    Page { title: title.into(), lines: vec!["Slack is signed in.".into()], good: true }
}

/// Answers every knock and gives the queries back.
async fn answered(mut heard: Receiver<Knock>) -> Vec<String> {
    let mut queries = Vec::new();
    while let Some(knock) = heard.recv().await {
        queries.push(knock.query.expose().to_owned());
        knock.answer.send(good(&format!("Done {}", queries.len()))).unwrap();
    }
    queries
}

/// What comes back for these bytes until the other side closes.
async fn sent(to: impl Into<SocketAddr>, bytes: &str) -> String {
    let mut stream = TcpStream::connect(to.into()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut back = Vec::new();
    // A connection that is closed with bytes unread may end in a reset.
    let _ = stream.read_to_end(&mut back).await;
    String::from_utf8(back).unwrap()
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: x\r\n\r\n")
}

#[tokio::test]
async fn a_callback_is_handed_on_and_gets_the_page_that_answers_it() {
    let (listener, heard) = open();
    let port = listener.port();
    assert!(FREE.contains(&port));
    let heard = tokio::spawn(answered(heard));
    let query = "code=a%20b&state=x";
    let request = get(&format!("/callback?{query}"), &format!("localhost:{port}"));
    let back = sent((V4, port), &request).await;
    assert!(back.starts_with("HTTP/1.1 200 "), "{back}");
    for part in ["<h1>Done 1</h1>", "<p>Slack is signed in.</p>", "You can close this tab."] {
        assert!(back.contains(part), "{back}");
    }
    let (headers, body) = back.split_once("\r\n\r\n").unwrap();
    for header in [
        "content-security-policy: default-src 'none'; style-src 'unsafe-inline';",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "connection: close",
        "content-type: text/html; charset=utf-8",
    ] {
        assert!(headers.contains(header), "{header} is not in {headers}");
    }
    assert!(!body.contains("state"), "the page repeats nothing of the query");
    drop(listener);
    assert_eq!(heard.await.unwrap(), [query]);
}

#[tokio::test]
async fn both_loopback_addresses_lead_here_under_any_of_their_names() {
    let (listener, heard) = open();
    let port = listener.port();
    let heard = tokio::spawn(answered(heard));
    let mut doors = vec![SocketAddr::from((V4, port))];
    if StdListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        doors.push((Ipv6Addr::LOCALHOST, port).into());
    } else {
        println!("skipped in part: this machine has no IPv6 loopback");
    }
    for door in &doors {
        for name in ["localhost", "LocalHost", "127.0.0.1", "[::1]"] {
            let back = sent(*door, &get("/callback?a=1", &format!("{name}:{port}"))).await;
            assert!(back.starts_with("HTTP/1.1 200 "), "{door} {name}: {back}");
        }
    }
    drop(listener);
    assert_eq!(heard.await.unwrap().len(), doors.len() * 4);
}

#[tokio::test]
async fn whoever_comes_under_another_name_is_turned_away() {
    let (listener, heard) = open();
    let port = listener.port();
    let ours = format!("localhost:{port}");
    for request in [
        get("/callback?code=1", &format!("evil.example:{port}")),
        get("/callback?code=1", &format!("localhost.evil.example:{port}")),
        get("/callback?code=1", "localhost"),
        get("/callback?code=1", &format!("localhost:{}", port - 1)),
        get("/callback?code=1", ""),
        get(&format!("http://evil.example:{port}/callback?code=1"), &ours),
        format!("GET /callback?code=1 HTTP/1.1\r\nHost: {ours}\r\nHost: evil.example\r\n\r\n"),
        "GET /callback?code=1 HTTP/1.1\r\n\r\n".into(),
    ] {
        let back = sent((V4, port), &request).await;
        assert!(back.starts_with("HTTP/1.1 421 "), "{request}: {back}");
    }
    drop(listener);
    assert!(answered(heard).await.is_empty());
}

#[tokio::test]
async fn only_get_callback_is_answered() {
    let (listener, heard) = open();
    let port = listener.port();
    let ours = format!("localhost:{port}");
    for path in ["/", "/favicon.ico", "/callback/", "/CALLBACK?code=1", "/other?code=1", "*"] {
        let back = sent((V4, port), &get(path, &ours)).await;
        assert!(back.starts_with("HTTP/1.1 404 "), "{path}: {back}");
    }
    for method in ["POST", "HEAD", "OPTIONS"] {
        let request = get("/callback?code=1", &ours).replacen("GET", method, 1);
        let back = sent((V4, port), &request).await;
        assert!(back.starts_with("HTTP/1.1 405 "), "{method}: {back}");
    }
    drop(listener);
    assert!(answered(heard).await.is_empty());
}

#[tokio::test]
async fn a_second_callback_is_handed_on_too_and_one_that_nobody_waits_for_is_told_so() {
    let (listener, mut heard) = open();
    let port = listener.port();
    let request = get("/callback?code=1", &format!("127.0.0.1:{port}"));
    let (first, second) = tokio::join!(sent((V4, port), &request), async {
        heard.recv().await.unwrap().answer.send(good("First")).unwrap();
        let (back, ()) = tokio::join!(sent((V4, port), &request), async {
            drop(heard.recv().await.unwrap().answer);
        });
        back
    });
    assert!(first.contains("<h1>First</h1>"), "{first}");
    assert!(second.contains("No sign-in is waiting for this page"), "{second}");
    drop(heard);
    let third = sent((V4, port), &request).await;
    assert!(third.contains("No sign-in is waiting for this page"), "{third}");
}

#[tokio::test]
async fn what_is_too_long_is_not_handed_on() {
    let (listener, heard) = open();
    let port = listener.port();
    let ours = format!("localhost:{port}");
    let heard = tokio::spawn(answered(heard));
    let query = |length: usize| get(&format!("/callback?{}", "x".repeat(length)), &ours);
    let back = sent((V4, port), &query(LONGEST_QUERY)).await;
    assert!(back.starts_with("HTTP/1.1 200 "), "{back}");
    for length in [LONGEST_QUERY + 1, 2 * LONGEST_HEAD] {
        let back = sent((V4, port), &query(length)).await;
        let refused = back.starts_with("HTTP/1.1 414 ") || back.starts_with("HTTP/1.1 431 ");
        assert!(refused || back.is_empty(), "{length}: {back}");
    }
    drop(listener);
    assert_eq!(heard.await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_is_not_waited_for() {
    let (listener, heard) = open();
    let started = tokio::time::Instant::now();
    assert_eq!(sent((V4, listener.port()), "GET /callback?code=1 HTTP/1.1\r\n").await, "");
    assert!(started.elapsed() >= SLOWEST && started.elapsed() < 2 * SLOWEST);
    drop(listener);
    assert!(answered(heard).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_takes_its_time_is_said_to_be_at_work() {
    let (listener, mut heard) = open();
    let port = listener.port();
    let request = get("/callback?code=1", &format!("localhost:{port}"));
    let (back, _knock) = tokio::join!(sent((V4, port), &request), heard.recv());
    assert!(back.contains("Lamplighter is still at work"), "{back}");
}

#[tokio::test]
async fn a_dropped_door_is_closed_at_once_and_the_page_still_goes_out() {
    let (listener, mut heard) = open();
    let port = listener.port();
    let mut stream = TcpStream::connect((V4, port)).await.unwrap();
    let request = get("/callback?code=1", &format!("localhost:{port}"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let knock = heard.recv().await.unwrap();
    drop(listener);
    StdStream::connect((V4, port)).expect_err("closed");
    StdStream::connect((Ipv6Addr::LOCALHOST, port)).expect_err("closed");
    knock.answer.send(good("In the end")).unwrap();
    assert!(rest(&mut stream).await.contains("<h1>In the end</h1>"));
    // The port is free again for the next one.
    let (knocks, _heard) = mpsc::channel(1);
    assert_eq!(Listener::open(Some(port), knocks).unwrap().port(), port);
}

#[tokio::test]
async fn a_taken_port_is_said_to_be_taken_on_either_address_and_by_whom() {
    let (first, _heard) = open();
    let (knocks, _other) = mpsc::channel(1);
    let fault = Listener::open(Some(first.port()), knocks.clone()).unwrap_err();
    assert_eq!(fault.port, first.port());
    if cfg!(target_os = "linux") {
        let own =
            format!("another sign-in of Lamplighter's uses it (process {})", std::process::id());
        assert_eq!(fault.what, own);
    }
    let Ok(only_v6) = StdListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        println!("skipped in part: this machine has no IPv6 loopback");
        return;
    };
    let port = only_v6.local_addr().unwrap().port();
    let fault = Listener::open(Some(port), knocks).unwrap_err();
    assert_eq!(fault.port, port);
    StdStream::connect((V4, port)).expect_err("no half of a door stays open");
}

#[cfg(target_os = "linux")]
#[test]
fn a_port_that_another_program_has_names_it() {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    let script = "import socket, sys\ns = socket.create_server(('127.0.0.1', 0))\n\
        print(s.getsockname()[1], flush=True)\nsys.stdin.read()";
    let program = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut program) = program else {
        println!("skipped: there is no other program to take a port here");
        return;
    };
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap();
    let (knocks, _heard) = mpsc::channel(1);
    let fault = Listener::open(Some(port), knocks).unwrap_err();
    assert_eq!(fault.what, format!("python3 uses it (process {})", program.id()));
    drop(program.stdin.take());
    program.wait().unwrap();
}
