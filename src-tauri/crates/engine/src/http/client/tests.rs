use std::{collections::BTreeMap, slice};

use lamplighter_core::time::{Boot, Now};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    clock::FakeClock,
    http::{LookingUp, ProxyChoice},
};

/// Names as the test wants them.
#[derive(Default)]
struct Book(BTreeMap<&'static str, &'static str>);

impl Names for Book {
    fn look_up<'a>(&'a self, name: &'a str) -> LookingUp<'a> {
        let found = self.0.get(name).map(|address| vec![address.parse().unwrap()]);
        Box::pin(async { found.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

const NOW: Now = Now { wall: Wall(1_445_412_480_000), boot: Boot(0) };

fn client_with(network: &Network, env: &Env, book: Book) -> Client {
    client_within(Limits::default(), network, env, book)
}

fn client_within(limits: Limits, network: &Network, env: &Env, book: Book) -> Client {
    let clock = Arc::new(FakeClock::at(NOW));
    Client::new(network, env, Arc::new(book), clock, limits).unwrap()
}

fn client(book: Book) -> Client {
    client_with(&Network::default(), &Env::fixed::<&str, &str>([]), book)
}

fn post(url: &str) -> Request {
    Request {
        method: Method::Post,
        url: url.into(),
        headers: vec![("authorization".into(), Zeroizing::new("Basic aHVzaA==".into()))],
        body: Zeroizing::new(b"grant_type=refresh_token&refresh_token=hush".to_vec()),
        on_behalf_of: "http://localhost/mcp".into(),
        follow_redirects: false,
    }
}

fn get(url: &str) -> Request {
    Request { method: Method::Get, body: Zeroizing::default(), follow_redirects: true, ..post(url) }
}

/// A server that reads each request's head and says what `script` holds, then hangs up. What it was
/// sent is handed back.
async fn server(script: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut heard = Vec::new();
        for line in script {
            let (mut stream, _) = listener.accept().await.unwrap();
            heard.push(head(&mut stream).await);
            // The client may have had enough before all is said.
            let _ = stream.write_all(&line).await;
        }
        heard
    });
    (origin, task)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !heard.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            read => heard.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

fn said(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn an_answer_comes_back_whole() {
    let (origin, heard) = server(vec![said(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json; charset=utf-8\r\n\
         WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Bearer resource_metadata=\"y\"\r\n\
         Retry-After: 7\r\nContent-Length: 2\r\n\r\n{}",
    )])
    .await;
    let answer = client(Book::default()).fetch(&post(&origin)).await.unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.content_type.as_deref(), Some("application/json; charset=utf-8"));
    assert_eq!(answer.challenges, ["Basic realm=\"x\"", "Bearer resource_metadata=\"y\""]);
    assert_eq!(answer.retry_after, Some(Millis::seconds(7)));
    assert_eq!(*answer.body, b"{}");
    let heard = heard.await.unwrap().remove(0).to_ascii_lowercase();
    assert!(heard.contains("user-agent: lamplighter/"), "{heard}");
    assert!(heard.contains("authorization: basic"), "{heard}");
    assert!(!heard.contains("accept-encoding"), "{heard}");
}

#[tokio::test]
async fn nobody_at_the_port_means_nothing_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(client(Book::default()).fetch(&post(&url)).await, Err(Fault::Connect));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_means_nothing_left() {
    let outcome = client(Book::default()).fetch(&post("https://gone.example/token")).await;
    assert_eq!(outcome, Err(Fault::Dns));
}

#[tokio::test]
async fn a_connection_cut_before_the_answer_may_have_been_acted_on() {
    let (origin, _task) = server(vec![Vec::new()]).await;
    assert_eq!(client(Book::default()).fetch(&post(&origin)).await, Err(Fault::Cut));
}

#[tokio::test]
async fn a_connection_cut_within_the_answer_may_have_been_acted_on() {
    let cut = said("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<html>");
    let cut_chunk = said("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<htm");
    let garbage = said("\u{1}\u{2}\u{3} this is not HTTP\r\n\r\n");
    let (origin, _task) = server(vec![cut, cut_chunk, garbage]).await;
    let client = client(Book::default());
    for _ in 0..3 {
        assert_eq!(client.fetch(&post(&origin)).await, Err(Fault::Cut));
    }
}

#[tokio::test]
async fn json_that_came_before_its_connection_broke_or_stood_still_is_an_answer() {
    const TOKENS: &str = r#"{"access_token":"at-1","refresh_token":"rt-1","expires_in":3600}"#;
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{TOKENS}");
    let chunk = format!("{:x}\r\n{TOKENS}\r\n", TOKENS.len());
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    let half = long.replace(r#"","expires_in":3600}"#, "");
    for stays_open in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let script = [long.clone(), chunked.clone(), half.clone()];
        let limits = Limits { whole: Duration::from_millis(500), ..Limits::default() };
        let none = Env::fixed::<&str, &str>([]);
        let client = client_within(limits, &Network::default(), &none, Book::default());
        for said in script {
            let whole = said != half;
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                head(&mut stream).await;
                stream.write_all(said.as_bytes()).await.unwrap();
                if stays_open {
                    let _ = stream.read(&mut [0; 1024]).await;
                }
            };
            let request = post(&url);
            let (answer, ()) = tokio::join!(client.fetch(&request), server);
            let answer = answer.unwrap();
            assert_eq!((answer.status, *answer.body == TOKENS.as_bytes()), (200, whole), "{said}");
        }
    }
}

#[tokio::test]
async fn half_an_answer_that_could_be_taken_for_a_whole_one_is_none() {
    let form = said("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\naccess_token=a&refresh_token=r");
    let refusal =
        said("HTTP/1.1 400 No\r\nContent-Length: 99\r\n\r\n{\"error\":\"invalid_grant\"}");
    let document = said("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}");
    let (origin, _task) = server(vec![form, refusal, document]).await;
    let client = client(Book::default());
    for request in [post(&origin), post(&origin), get(&origin)] {
        assert_eq!(client.fetch(&request).await, Err(Fault::Cut));
    }
}

#[tokio::test]
async fn an_answer_of_twenty_megabytes_is_not_read() {
    let huge = vec![b'x'; 20 * 1024 * 1024];
    let announced = [said("HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n"), huge.clone()];
    let unannounced = [said("HTTP/1.1 200 OK\r\n\r\n"), huge];
    let (origin, _task) = server(vec![announced.concat(), unannounced.concat()]).await;
    let client = client(Book::default());
    assert_eq!(client.fetch(&post(&origin)).await, Err(Fault::TooLarge));
    assert_eq!(client.fetch(&post(&origin)).await, Err(Fault::TooLarge));
}

#[tokio::test]
async fn a_server_that_says_nothing_runs_out_of_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        // Only the client hanging up ends this.
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let limits = Limits { whole: Duration::from_millis(300), ..Limits::default() };
    let none = Env::fixed::<&str, &str>([]);
    let client = client_within(limits, &Network::default(), &none, Book::default());
    assert_eq!(client.fetch(&post(&url)).await, Err(Fault::Timeout));
    silent.await.unwrap();
}

#[tokio::test]
async fn https_to_a_port_that_speaks_plain_http_is_a_tls_fault() {
    let answer = said("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&answer).await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        // The second one hangs up in the middle of the handshake.
        drop(listener.accept().await.unwrap());
    });
    let client = client(Book::default());
    assert_eq!(client.fetch(&post(&url)).await, Err(Fault::Tls));
    assert_eq!(client.fetch(&post(&url)).await, Err(Fault::Tls));
}

#[tokio::test]
async fn a_redirect_is_never_followed_with_a_token() {
    let moved = "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (origin, _task) = server(vec![said(moved), said(moved)]).await;
    let client = client(Book::default());
    let answer = client.fetch(&post(&origin)).await.unwrap();
    assert_eq!((answer.status, answer.location.as_deref()), (307, Some("http://127.0.0.1:1/")));
    // Not even where the caller forgot to say so.
    let careless = Request { follow_redirects: true, ..post(&origin) };
    assert_eq!(client.fetch(&careless).await.unwrap().status, 307);
}

#[tokio::test]
async fn metadata_may_move_and_leaves_its_credentials_behind() {
    let (second, heard) =
        server(vec![said("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")]).await;
    let moved =
        format!("HTTP/1.1 302 Found\r\nLocation: {second}/there\r\nContent-Length: 0\r\n\r\n");
    let (first, _task) = server(vec![said(&moved)]).await;
    assert_eq!(client(Book::default()).fetch(&get(&first)).await.unwrap().status, 200);
    let heard = heard.await.unwrap().remove(0);
    assert!(heard.starts_with("GET /there"), "{heard}");
    assert!(!heard.to_ascii_lowercase().contains("authorization"), "{heard}");
}

#[tokio::test]
async fn a_circle_of_redirects_ends_as_an_answer() {
    let moved = said("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n");
    let (origin, heard) = server(vec![moved; MAX_HOPS + 1]).await;
    assert_eq!(client(Book::default()).fetch(&get(&origin)).await.unwrap().status, 302);
    assert_eq!(heard.await.unwrap().len(), MAX_HOPS + 1);
}

#[tokio::test]
async fn plain_http_goes_to_loopback_only() {
    let book = Book(BTreeMap::from([("plain.example", "127.0.0.1")]));
    let client = client(book);
    for url in ["http://plain.example/token", "http://93.184.216.34/token", "ftp://127.0.0.1/"] {
        assert_eq!(client.fetch(&post(url)).await, Err(Fault::Forbidden), "{url}");
    }
}

#[tokio::test]
async fn a_conversation_is_held_to_the_same_addresses() {
    let book = BTreeMap::from([("plain.example", "127.0.0.1"), ("mcp.corp", "10.0.0.1")]);
    let client = client(Book(book));
    for (url, allowed) in [
        ("http://plain.example/mcp", false),
        ("ftp://localhost/mcp", false),
        ("no url", false),
        ("http://localhost:3000/mcp", true),
        ("https://mcp.corp/mcp", true),
        ("https://gone.example/mcp", true),
    ] {
        assert_eq!(client.for_server(url).await.is_some(), allowed, "{url}");
    }
}

#[tokio::test]
async fn a_public_server_can_not_send_us_to_a_private_address() {
    let book = BTreeMap::from([
        ("mcp.example", "93.184.216.34"),
        ("rebound.example", "127.0.0.1"),
        ("intranet.example", "10.0.0.1"),
    ]);
    let (origin, _task) = server(Vec::new()).await;
    let client = client(Book(book));
    for url in [
        "https://10.0.0.1/token",
        "https://[fd00::1]/token",
        "https://rebound.example/token",
        "https://intranet.example/token",
    ] {
        let request = Request { on_behalf_of: "https://mcp.example/mcp".into(), ..post(url) };
        assert_eq!(client.fetch(&request).await, Err(Fault::PrivateAddress), "{url}");
    }
    for url in ["https://localhost/token", &origin] {
        let request = Request { on_behalf_of: "https://mcp.example/mcp".into(), ..post(url) };
        assert_eq!(client.fetch(&request).await, Err(Fault::Forbidden), "{url}");
    }
}

#[tokio::test]
async fn a_private_host_that_the_user_lets_in_is_asked_and_no_other_one_and_never_this_machine() {
    let book = || {
        Book(BTreeMap::from([
            ("mcp.example", "93.184.216.34"),
            ("sso.corp.example", "10.255.255.1"),
            ("other.corp.example", "10.255.255.1"),
            ("here.corp.example", "127.0.0.1"),
        ]))
    };
    let hosts = ["sso.corp.example", "here.corp.example", "10.255.255.2"].map(String::from);
    let network = Network { allow_private: Hosts::new(&hosts).unwrap(), ..Network::default() };
    let client = client_with(&network, &Env::fixed::<&str, &str>([]), book());
    let ask = async |url: &str| {
        let request = Request { on_behalf_of: "https://mcp.example/mcp".into(), ..post(url) };
        client.fetch(&request).await.err()
    };
    for url in [
        "https://other.corp.example/token",
        "https://here.corp.example/token",
        "https://10.255.255.3/",
    ] {
        assert_eq!(ask(url).await, Some(Fault::PrivateAddress), "{url}");
    }
    // What would be connected to; nothing is, from a test.
    let nearest = |url: &str| {
        let url = Url::parse(url).unwrap();
        client.nearest(&url, Reach::of_written(&url))
    };
    assert_eq!(nearest("https://sso.corp.example/token"), Reach::Private);
    assert_eq!(nearest("https://10.255.255.2/token"), Reach::Private);
    assert_eq!(nearest("https://mcp.example/token"), Reach::Public);
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused_too() {
    // A server on loopback may send us anywhere; one on the local network not to loopback.
    let book = BTreeMap::from([("mcp.example", "10.0.0.1")]);
    let client = client(Book(book));
    let request = Request {
        on_behalf_of: "https://mcp.example/mcp".into(),
        ..get("http://127.0.0.1:1/.well-known/oauth-authorization-server")
    };
    assert_eq!(client.fetch(&request).await, Err(Fault::Forbidden));
}

#[tokio::test]
async fn a_name_that_leads_here_does_not_make_a_server_this_machine() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let book = BTreeMap::from([("mcp.example", "127.0.0.1")]);
    let request = Request {
        on_behalf_of: "https://mcp.example/mcp".into(),
        ..get(&format!("http://127.0.0.1:{port}/"))
    };
    assert_eq!(client(Book(book)).fetch(&request).await, Err(Fault::Forbidden));
    let came = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
    assert!(came.is_err(), "nobody was asked");
}

#[tokio::test]
async fn a_server_whose_name_can_not_be_looked_up_now_is_not_taken_for_a_public_one() {
    struct Silent;
    impl Names for Silent {
        fn look_up<'a>(&'a self, name: &'a str) -> LookingUp<'a> {
            Box::pin(async move {
                if name == "mcp.corp" {
                    return std::future::pending().await;
                }
                Ok(vec!["10.0.0.1".parse().unwrap()])
            })
        }
    }
    let soon = std::time::Duration::from_millis(50);
    let limits = Limits { connect: soon, ..Limits::default() };
    let (network, env) = (Network::default(), Env::fixed::<&str, &str>([]));
    let clock = Arc::new(FakeClock::at(NOW));
    let silent = Client::new(&network, &env, Arc::new(Silent), clock, limits).unwrap();
    let failing = client(Book(BTreeMap::from([("sso.corp", "10.0.0.1")])));
    for client in [failing, silent] {
        for url in ["https://sso.corp/token", "https://10.0.0.1/token"] {
            let request = Request { on_behalf_of: "https://mcp.corp/mcp".into(), ..post(url) };
            assert_eq!(client.fetch(&request).await, Err(Fault::Dns), "{url}");
        }
    }
}

#[tokio::test]
async fn a_private_server_may_use_its_own_network() {
    // The name leads to loopback, where something listens that does not speak TLS: that it was
    // reached at all is the point.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    let book = BTreeMap::from([("mcp.corp", "127.0.0.1"), ("sso.corp", "127.0.0.1")]);
    let request = Request {
        on_behalf_of: "https://mcp.corp/mcp".into(),
        ..post(&format!("https://sso.corp:{port}/token"))
    };
    assert_eq!(client(Book(book)).fetch(&request).await, Err(Fault::Tls));
}

#[tokio::test]
async fn an_extra_certificate_authority_is_trusted_and_a_strange_one_is_not() {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/token", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("corp.pem");
    std::fs::write(&pem, made.cert.pem()).unwrap();
    let network = Network { extra_ca: vec![pem], ..Network::default() };
    let env = Env::fixed::<&str, &str>([]);
    assert_eq!(client(Book::default()).fetch(&post(&url)).await, Err(Fault::Tls));
    let trusting = client_with(&network, &env, Book::default());
    assert_eq!(trusting.fetch(&post(&url)).await.unwrap().status, 200);
}

#[test]
fn a_file_without_certificates_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate here").unwrap();
    for place in [empty, folder.path().join("gone.pem")] {
        let fault = tls(slice::from_ref(&place)).unwrap_err();
        assert!(fault.to_string().contains(place.to_str().unwrap()), "{fault}");
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_internet_and_not_for_loopback() {
    let refusal = said("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let (proxy, heard) = server(vec![refusal.clone(), refusal]).await;
    let (origin, _task) = server(vec![said("HTTP/1.1 204 No Content\r\n\r\n"); 2]).await;
    let from_env = Env::fixed([("HTTPS_PROXY", proxy.as_str()), ("NO_PROXY", "spared.example")]);
    let from_settings = Network { proxy: ProxyChoice::Url(proxy.clone()), ..Network::default() };
    let none = Env::fixed::<&str, &str>([]);
    for (network, env) in [(&Network::default(), &from_env), (&from_settings, &none)] {
        let client = client_with(network, env, Book::default());
        let outside = client.fetch(&post("https://as.example/token")).await;
        assert_eq!(outside, Err(Fault::Connect));
        assert_eq!(client.fetch(&post(&origin)).await.unwrap().status, 204);
    }
    for heard in heard.await.unwrap() {
        assert!(heard.starts_with("CONNECT as.example:443"), "{heard}");
        assert!(!heard.contains("hush"), "{heard}");
    }
    let client = client_with(&Network::default(), &from_env, Book::default());
    assert_eq!(client.fetch(&post("https://spared.example/token")).await, Err(Fault::Dns));
}

#[test]
fn a_proxy_that_is_no_url_is_refused_without_repeating_it() {
    let network =
        Network { proxy: ProxyChoice::Url("http://u:hush@:bad".into()), ..Network::default() };
    let clock = Arc::new(FakeClock::at(NOW));
    let env = Env::fixed::<&str, &str>([]);
    let outcome = Client::new(&network, &env, Arc::new(Book::default()), clock, Limits::default());
    assert_eq!(outcome.err(), Some(NetworkFault::Proxy));
    assert!(!format!("{network:?}").contains("hush"));
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date() {
    let check = |text: &str, date: Option<&str>, expected: Option<Millis>| {
        assert_eq!(retry_after(text, date, NOW.wall), expected, "{text}");
    };
    check("120", None, Some(Millis::seconds(120)));
    check(" 0 ", None, Some(Millis(0)));
    check("Wed, 21 Oct 2015 07:29:00 GMT", None, Some(Millis::minutes(1)));
    check("Wed, 21 Oct 2015 07:00:00 GMT", None, Some(Millis(0)));
    // A server whose clock is a day ahead means what it says by its own clock.
    let ahead = Some("Thu, 22 Oct 2015 07:28:00 GMT");
    check("Thu, 22 Oct 2015 07:28:30 GMT", ahead, Some(Millis::seconds(30)));
    check("soon", None, None);
    check("-5", None, None);
}

#[tokio::test]
async fn an_answer_that_was_packed_unasked_comes_back_unpacked() {
    let packed = crate::gzip::packed(br#"{"access_token":"at-1"}"#);
    for announced in ["Content-Encoding: gzip\r\n", ""] {
        let answered =
            format!("HTTP/1.1 200 OK\r\n{announced}Content-Length: {}\r\n\r\n", packed.len());
        let (origin, heard) = server(vec![[answered.into_bytes(), packed.clone()].concat()]).await;
        let answer = client(Book::default()).fetch(&post(&origin)).await.unwrap();
        assert_eq!(answer.body.as_slice(), br#"{"access_token":"at-1"}"#);
        let asked = heard.await.unwrap().concat().to_lowercase();
        assert!(!asked.contains("accept-encoding"), "{asked}");
    }
}

#[tokio::test]
async fn plain_http_to_another_machine_needs_the_users_word() {
    // A name that leads here: what is written decides, and not where it leads.
    let (origin, heard) = server(vec![said("HTTP/1.1 204 No Content\r\n\r\n")]).await;
    let port = origin.rsplit(':').next().unwrap().to_owned();
    let request = |host: &str| Request {
        on_behalf_of: format!("http://{host}:{port}/mcp"),
        ..post(&format!("http://{host}:{port}/token"))
    };
    let network = |hosts: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.into()).collect();
        Network { plain_http: PlainHttp::new(&hosts).unwrap(), ..Network::default() }
    };
    let env = Env::fixed::<&str, &str>([]);
    let nobody = client_with(&network(&[]), &env, Book::default());
    assert_eq!(nobody.fetch(&request("nas.lan")).await, Err(Fault::Forbidden));
    assert!(nobody.for_server("http://nas.lan/mcp").await.is_none());
    let book = || Book(BTreeMap::from([("nas.lan", "127.0.0.1"), ("other.lan", "127.0.0.1")]));
    let one = client_with(&network(&["nas.lan"]), &env, book());
    assert_eq!(one.fetch(&request("other.lan")).await, Err(Fault::Forbidden));
    assert_eq!(one.fetch(&request("nas.lan")).await.unwrap().status, 204);
    assert!(one.for_server("http://nas.lan/mcp").await.is_some());
    assert_eq!(heard.await.unwrap().len(), 1);
}

#[tokio::test]
async fn plain_http_that_is_let_in_goes_through_no_proxy() {
    let (proxy, _heard) = server(vec![]).await;
    let network = Network {
        proxy: ProxyChoice::Url(proxy),
        plain_http: PlainHttp::new(&["nas.lan".into()]).unwrap(),
        ..Network::default()
    };
    let (origin, _task) = server(vec![said("HTTP/1.1 204 No Content\r\n\r\n")]).await;
    let port = origin.rsplit(':').next().unwrap();
    let book = Book(BTreeMap::from([("nas.lan", "127.0.0.1")]));
    let client = client_with(&network, &Env::fixed::<&str, &str>([]), book);
    let request = Request {
        on_behalf_of: format!("http://nas.lan:{port}/mcp"),
        ..post(&format!("http://nas.lan:{port}/token"))
    };
    assert_eq!(client.fetch(&request).await.unwrap().status, 204);
}
