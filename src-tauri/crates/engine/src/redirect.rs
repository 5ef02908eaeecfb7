//! The loopback door that a browser comes back through with the answer of a sign-in (RFC 8252 §7.3).
//!
//! It listens on this machine alone, on IPv4 and IPv6 under one port, because `localhost` may mean
//! either. Anything that runs here, a web page too, may knock: only `GET /callback` under one of our
//! own names is taken in, and what it carries is handed on unread. It must never log or show a query,
//! and never decide: whether a callback belongs to a sign-in is core's.
//!
//! Where to read next: `page` (what the person sees), `holder` (who has a taken port).

mod holder;
mod page;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{self, HeaderValue},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use lamplighter_core::{secret::Secret, signin::PortFault};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

pub use page::Page;

/// The path of every loopback redirect URI, as Claude Code has it too.
const CALLBACK: &str = "/callback";
/// The longest query that is taken in, in bytes; core reads no longer one.
const LONGEST_QUERY: usize = 16 * 1024;
/// The longest request head, in bytes: a query and what browsers send with it.
const LONGEST_HEAD: usize = 64 * 1024;
/// How long a request may take to arrive, and a page to leave.
const SLOWEST: Duration = Duration::from_secs(10);
/// How long a browser waits for its page.
const PAGE_PATIENCE: Duration = Duration::from_secs(30);
/// How many connections are served at once; a browser needs two or three.
const MOST: usize = 32;
/// Where a free port is looked for: what the IANA leaves to everybody, or on Windows the range below
/// it, because that system hands out the upper one itself. Claude Code looks in the same.
const FREE: RangeInclusive<u16> = if cfg!(windows) { 39_152..=49_151 } else { 49_152..=65_535 };
/// How many of them are tried.
const TRIES: usize = 64;

/// A browser came back.
#[derive(Debug)]
pub struct Knock {
    /// The query of its URL, as it stood there; empty where there was none.
    pub query: Secret,
    /// Takes the page that it shows. Dropped: nobody is waiting for this callback.
    pub answer: oneshot::Sender<Page>,
}

/// An open door. Dropping it closes the port at once; a page that is waited for still goes out.
#[derive(Debug)]
pub struct Listener {
    port: u16,
    doors: Vec<Door>,
}

/// One socket, and the task that accepts on it.
#[derive(Debug)]
struct Door {
    socket: Arc<Mutex<Option<TcpListener>>>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens on this port, or on any free one; whoever comes back is handed to `knocks`.
    ///
    /// Must be called within a tokio runtime. The fault says who has the port, where the system tells.
    pub fn open(port: Option<u16>, knocks: mpsc::Sender<Knock>) -> Result<Self, PortFault> {
        let has_v6 = StdListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let (port, sockets) = match port {
            Some(port) => {
                let sockets = bind(port, has_v6).map_err(|error| fault(port, &error))?;
                (port, sockets)
            }
            None => free(has_v6)?,
        };
        let room = Arc::new(Semaphore::new(MOST));
        let doors = sockets.into_iter().map(|socket| Door::open(socket, port, &room, &knocks));
        let doors = doors.collect::<io::Result<_>>().map_err(|error| fault(port, &error))?;
        Ok(Self { port, doors })
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for door in &self.doors {
            // Closed here and now: an aborted task ends only when its turn comes.
            drop(door.socket.lock().unwrap_or_else(PoisonError::into_inner).take());
            door.task.abort();
        }
    }
}

impl Door {
    fn open(
        socket: StdListener,
        port: u16,
        room: &Arc<Semaphore>,
        knocks: &mpsc::Sender<Knock>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(Mutex::new(Some(TcpListener::from_std(socket)?)));
        let (accepting, room, knocks) = (Arc::clone(&socket), Arc::clone(room), knocks.clone());
        let task = tokio::spawn(async move {
            while let Some(stream) = accept(&accepting).await {
                // Where there is no room the connection is closed.
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
                let knocks = knocks.clone();
                tokio::spawn(async move {
                    serve(stream, port, knocks).await;
                    drop(place);
                });
            }
        });
        Ok(Self { socket, task })
    }
}

/// The next connection; `None`: the door is closed.
async fn accept(socket: &Mutex<Option<TcpListener>>) -> Option<TcpStream> {
    loop {
        let next = std::future::poll_fn(|cx| {
            let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
            match &*socket {
                Some(socket) => socket.poll_accept(cx).map(Some),
                None => Poll::Ready(None),
            }
        });
        match next.await? {
            Ok((stream, _)) => return Some(stream),
            // That connection is gone, or there are no more descriptors just now.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, port: u16, knocks: mpsc::Sender<Knock>) {
    let service = service_fn(|request: Request<Incoming>| answer(request, port, &knocks));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(SLOWEST)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let longest = SLOWEST + PAGE_PATIENCE + SLOWEST;
    // What goes wrong on the way is the browser's to show; hyper's words might repeat the request.
    let _ = tokio::time::timeout(longest, connection).await;
}

async fn answer(
    request: Request<Incoming>,
    port: u16,
    knocks: &mpsc::Sender<Knock>,
) -> Result<Response<String>, std::convert::Infallible> {
    let query = match judged(request.method(), request.uri(), request.headers(), port) {
        Ok(query) => Secret::new(query),
        Err((status, words)) => return Ok(plain(status, words)),
    };
    drop(request);
    let (answer, page) = oneshot::channel();
    let page = match knocks.try_send(Knock { query, answer }) {
        Ok(()) => match tokio::time::timeout(PAGE_PATIENCE, page).await {
            Ok(Ok(page)) => page,
            Ok(Err(_)) => Page::nobody_waits(),
            Err(_) => Page::still_at_work(),
        },
        Err(_) => Page::nobody_waits(),
    };
    Ok(page.response())
}

/// The query of a callback that may be handed on, or how everything else is turned away.
fn judged<'r>(
    method: &Method,
    uri: &'r Uri,
    headers: &HeaderMap,
    port: u16,
) -> Result<&'r str, (StatusCode, &'static str)> {
    // A page elsewhere whose name leads here (DNS rebinding) comes under that name.
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let named = host.is_some_and(|host| is_ours(host, port)) && hosts.next().is_none();
    if !named || uri.authority().is_some_and(|name| !is_ours(name.as_str(), port)) {
        return Err((StatusCode::MISDIRECTED_REQUEST, "Nothing is served under this name."));
    }
    if uri.path() != CALLBACK {
        return Err((StatusCode::NOT_FOUND, "Nothing is here."));
    }
    if method != Method::GET {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered here."));
    }
    let query = uri.query().unwrap_or_default();
    if query.len() > LONGEST_QUERY {
        return Err((StatusCode::URI_TOO_LONG, "This is too long to be the answer to a sign-in."));
    }
    Ok(query)
}

fn is_ours(host: &str, port: u16) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((name, digits)) if digits == port.to_string() => name,
        // Browsers leave the usual port out.
        _ if port == 80 => host,
        _ => return false,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| bare.eq_ignore_ascii_case(name))
}

fn plain(status: StatusCode, words: &'static str) -> Response<String> {
    let mut response = Response::new(format!("{words}\n"));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    page::guard(response.headers_mut());
    response
}

/// Both loopback addresses, or the one that there is.
fn bind(port: u16, has_v6: bool) -> io::Result<Vec<StdListener>> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = has_v6.then(|| SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    [v4].into_iter().chain(v6).map(StdListener::bind).collect()
}

/// A port that is free on both, by chance: nobody can take it first who does not know it.
fn free(has_v6: bool) -> Result<(u16, Vec<StdListener>), PortFault> {
    let mut last = "no free port was found".to_owned();
    for _ in 0..TRIES {
        let mut bytes = [0; 2];
        if let Err(error) = getrandom::fill(&mut bytes) {
            last = format!("asking the system for a random number: {error}");
            break;
        }
        // Both ranges have a length that 2^16 is not far from a multiple of; evenness is not needed.
        let size = FREE.end() - FREE.start() + 1;
        let port = FREE.start() + u16::from_le_bytes(bytes) % size;
        match bind(port, has_v6) {
            Ok(sockets) => return Ok((port, sockets)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => last = error.to_string(),
        }
    }
    Err(PortFault { port: 0, what: last })
}

fn fault(port: u16, error: &io::Error) -> PortFault {
    let what = if error.kind() == io::ErrorKind::AddrInUse {
        holder::of(port)
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "this system keeps it for an administrator".into()
    } else {
        error.to_string()
    };
    PortFault { port, what }
}

#[cfg(test)]
mod tests;
