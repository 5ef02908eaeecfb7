//! A short address on this machine that leads a browser to a page, once.
//!
//! Everybody on a machine can read the command lines of its programs. What opens a browser is given
//! this address, and the page's own, which holds `state`, goes from us to the browser. It must not
//! answer another name than this machine's or, where the system tells, another user; nor lead anybody
//! anywhere a second time.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use lamplighter_core::secret::Secret;
use tokio::{net::TcpListener, sync::watch, time::timeout};

/// How long a browser may take to come: as long as a sign-in waits for it, as a rule.
const LASTS: Duration = Duration::from_secs(300);
/// How long a request may take to come in.
const INCOMING: Duration = Duration::from_secs(10);

/// The way to a page.
#[derive(Debug)]
pub(super) struct Way {
    address: String,
    lead: Arc<Lead>,
}

impl Way {
    /// The short address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether somebody was led to the page.
    pub(super) fn was_used(&self) -> bool {
        self.lead.is_used()
    }
}

/// Listens at a short address that leads to `page`.
pub(super) fn leading_to(page: &Secret) -> io::Result<Way> {
    let location = HeaderValue::from_str(page.expose()).map_err(io::Error::other)?;
    let listener = StdListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let mut drawn = [0; 16];
    getrandom::fill(&mut drawn).map_err(io::Error::other)?;
    let path: String = drawn.iter().fold("/".into(), |path, byte| format!("{path}{byte:02x}"));
    let address = format!("http://127.0.0.1:{port}{path}");
    let lead = Arc::new(Lead { port, path, location: Mutex::new(Some(location)) });
    let (tell, told) = std::sync::mpsc::channel();
    let serving = Arc::clone(&lead);
    std::thread::Builder::new().name("page".into()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let _ = tell.send(Ok(()));
        // Whoever comes later than that comes in vain.
        let _ = runtime.block_on(async { timeout(LASTS, serve(listener, serving)).await });
    })?;
    told.recv().map_err(io::Error::other)??;
    Ok(Way { address, lead })
}

struct Lead {
    port: u16,
    path: String,
    /// Taken by the one who is led there.
    location: Mutex<Option<HeaderValue>>,
}

impl std::fmt::Debug for Lead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lead").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Lead {
    fn is_used(&self) -> bool {
        self.location.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn answer(&self, request: &Request<Incoming>, from: SocketAddr) -> Response<Empty<Bytes>> {
        if !names_this_machine(request.headers(), self.port) {
            return status(StatusCode::MISDIRECTED_REQUEST);
        }
        if request.method() != Method::GET
            || request.uri().path() != self.path
            || is_another_user(from, self.port)
        {
            return status(StatusCode::NOT_FOUND);
        }
        if is_a_guess(request.headers()) {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let location = self.location.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(location) = location else { return status(StatusCode::GONE) };
        let mut response = status(StatusCode::FOUND);
        response.headers_mut().insert(header::LOCATION, location);
        response
    }
}

async fn serve(listener: StdListener, lead: Arc<Lead>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let (tell, mut used) = watch::channel(());
    loop {
        let (stream, from) = tokio::select! {
            accepted = crate::accept::next(|| listener.accept()) => accepted,
            _ = used.changed() => return Ok(()),
        };
        let (lead, tell) = (Arc::clone(&lead), tell.clone());
        tokio::spawn(async move {
            let answered = |request| {
                let response = lead.answer(&request, from);
                async { Ok::<_, Infallible>(response) }
            };
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(INCOMING)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service_fn(answered));
            // Whoever hangs up wants no answer.
            let _ = connection.await;
            if lead.is_used() {
                let _ = tell.send(());
            }
        });
    }
}

/// Nothing is kept of it, and the page does not learn where it was opened from.
fn status(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A browser that was led here by another name says that name.
fn names_this_machine(headers: &HeaderMap, port: u16) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| host == format!("127.0.0.1:{port}"))
}

/// Browsers ask for pages that a person may want next, and show none of them.
fn is_a_guess(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].iter().any(|name| headers.contains_key(*name))
}

/// Whether somebody else on this machine asks, who has read the address off a command line. Where the
/// system does not tell, nobody is.
#[cfg(target_os = "linux")]
fn is_another_user(from: SocketAddr, port: u16) -> bool {
    let us = rustix::process::geteuid().as_raw();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        owner(&text, from.port(), port)
    });
    tables.into_iter().next().is_some_and(|owner| owner != us)
}

#[cfg(not(target_os = "linux"))]
const fn is_another_user(_: SocketAddr, _: u16) -> bool {
    false
}

/// Whose the connection from one port to another is (proc(5): local and remote address, user).
#[cfg(target_os = "linux")]
fn owner(table: &str, from: u16, to: u16) -> Option<u32> {
    let (from, to) = (format!(":{from:04X}"), format!(":{to:04X}"));
    table.lines().skip(1).find_map(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let ends = fields.get(1)?.ends_with(&from) && fields.get(2)?.ends_with(&to);
        fields.get(7).filter(|_| ends)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::*;

    const PAGE: &str = "https://as.example/authorize?state=hush&a=%26";

    /// Asks for a path there under this name; the whole answer, empty where nobody listens.
    fn ask(address: &str, path: Option<&str>, host: Option<&str>, more: &str) -> String {
        let (authority, own) = address["http://".len()..].split_once('/').unwrap();
        let path = path.unwrap_or(own);
        let Ok(mut stream) = TcpStream::connect(authority) else { return String::new() };
        let host = host.unwrap_or(authority);
        let asked = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        let _ = stream.write_all(asked.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn the_first_who_knows_the_way_is_led_there_and_nobody_else() {
        let way = leading_to(&Secret::new(PAGE)).unwrap();
        let address = way.address().to_owned();
        assert!(!address.contains("hush") && address.len() < 70, "{address}");
        for (path, host, more) in [
            (Some("0123456789abcdef0123456789abcdef"), None, ""),
            (Some(""), None, ""),
            (None, Some("evil.example"), ""),
            (None, None, "Sec-Purpose: prefetch\r\n"),
        ] {
            let answer = ask(&address, path, host, more);
            assert!(!answer.is_empty() && !answer.contains("hush"), "{answer}");
        }
        let answer = ask(&address, None, None, "");
        assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
        let lower = answer.to_lowercase();
        assert!(lower.contains(&format!("location: {}\r\n", PAGE.to_lowercase())), "{answer}");
        assert!(lower.contains("referrer-policy: no-referrer\r\n"), "{answer}");
        assert!(lower.contains("cache-control: no-store\r\n"), "{answer}");
        assert!(!ask(&address, None, None, "").contains("hush"));
    }

    #[test]
    fn one_who_says_nothing_holds_nobody_up() {
        let way = leading_to(&Secret::new(PAGE)).unwrap();
        let address = way.address().to_owned();
        let authority = address["http://".len()..].split_once('/').unwrap().0;
        let silent = TcpStream::connect(authority).unwrap();
        assert!(ask(&address, None, None, "").starts_with("HTTP/1.1 302"));
        drop(silent);
    }

    #[test]
    fn a_page_that_is_no_header_is_not_led_to() {
        assert!(leading_to(&Secret::new("https://as.example/\r\nX: y")).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_owner_of_a_connection_is_found_by_its_two_ports() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
            0: 0100007F:9C40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 1\n\
            1: 0100007F:9C40 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000 0 2\n\
            2: 0100007F:D431 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1001 0 3\n";
        assert_eq!(owner(table, 0xD431, 0x9C40), Some(1001));
        assert_eq!(owner(table, 0xD432, 0x9C40), None);
    }
}
