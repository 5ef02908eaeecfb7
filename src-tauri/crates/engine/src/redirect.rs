//! Where the browser comes back to on this machine, for as long as a sign-in waits (RFC 8252 §7.3).
//!
//! It must not listen longer than that, answer to another name than this machine's (a page elsewhere
//! could make its own name lead here), look into what it is brought, or log it. The tab is held until
//! core says how it went.
//!
//! Read next: [`page`](self) for what a tab shows.

mod page;

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use lamplighter_core::{secret::Secret, signin::PortFault};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc::UnboundedSender, oneshot, watch},
    time::timeout,
};

pub use page::Page;

/// The longest query that is read, in bytes.
const LONGEST_QUERY: usize = 16 * 1024;
/// How long a request may take to come in.
const INCOMING: Duration = Duration::from_secs(10);
/// How long a tab is held for the outcome.
const HELD: Duration = Duration::from_secs(30);
/// How many connections at once are more than any browser makes.
const CONNECTIONS: usize = 32;
/// How many ports are tried before it is said that none is free.
const TRIES: usize = 64;
/// The client program's own range, where no port is fixed (measured).
const RANGE: std::ops::RangeInclusive<u16> =
    if cfg!(windows) { 39_152..=49_151 } else { 49_152..=65_535 };

/// A callback, and where its tab's answer goes.
pub struct Knock {
    /// The query, unread.
    pub query: Secret,
    /// For what the tab shows.
    pub answer: oneshot::Sender<Page>,
}

/// The open port; closed when dropped. A tab that is being answered still gets its page.
pub struct Listener {
    port: u16,
    guard: Arc<Guard>,
    _open: watch::Sender<()>,
}

impl Listener {
    /// Listens on this port, or on any free one of the client's range. Must be called on a runtime.
    pub fn open(port: Option<u16>, knock: UnboundedSender<Knock>) -> Result<Self, PortFault> {
        let (port, sockets) = match port {
            Some(port) => (port, bind(port).map_err(|error| taken(port, &error))?),
            None => any()?,
        };
        let (open, closed) = watch::channel(());
        let guard = Arc::new(Guard { port, knock, connections: Semaphore::new(CONNECTIONS) });
        for socket in sockets {
            let listener = TcpListener::from_std(socket).map_err(|error| taken(port, &error))?;
            tokio::spawn(serve(listener, Arc::clone(&guard), closed.clone()));
        }
        Ok(Self { port, guard, _open: open })
    }

    /// Closes the port. What is returned resolves when every tab has got its page.
    pub fn close(self) -> impl Future<Output = ()> + Send + 'static {
        let guard = Arc::clone(&self.guard);
        drop(self);
        async move {
            let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
            // It is never closed, so this can only succeed.
            let _ = guard.connections.acquire_many(all).await;
        }
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// Both loopback addresses: a browser takes `localhost` for either.
fn bind(port: u16) -> io::Result<Vec<StdListener>> {
    let v4 = StdListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let v6 = match StdListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))) {
        Ok(v6) => Some(v6),
        // Somebody else would get what is meant for us.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
        // A machine without IPv6.
        Err(_) => None,
    };
    let sockets: Vec<StdListener> = std::iter::once(v4).chain(v6).collect();
    for socket in &sockets {
        socket.set_nonblocking(true)?;
    }
    Ok(sockets)
}

fn any() -> Result<(u16, Vec<StdListener>), PortFault> {
    let mut last = io::Error::other("no port is free");
    for _ in 0..TRIES {
        let mut drawn = [0; 2];
        if getrandom::fill(&mut drawn).is_err() {
            break;
        }
        let span = RANGE.end() - RANGE.start();
        let port = RANGE.start() + u16::from_le_bytes(drawn) % span;
        match bind(port) {
            Ok(sockets) => return Ok((port, sockets)),
            Err(error) => last = error,
        }
    }
    Err(taken(0, &last))
}

fn taken(port: u16, error: &io::Error) -> PortFault {
    let in_use = error.kind() == io::ErrorKind::AddrInUse;
    let what = match holder(port).filter(|_| in_use) {
        Some(program) => format!("{program} has it"),
        None if in_use => "another program has it".into(),
        None => error.to_string(),
    };
    PortFault { port, what }
}

/// The program that listens there, where the system tells: one of the same user's.
#[cfg(target_os = "linux")]
fn holder(port: u16) -> Option<String> {
    let wanted = format!(":{port:04X}");
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| {
            let rows: Vec<String> = table
                .lines()
                .skip(1)
                .map(|row| row.split_whitespace().collect::<Vec<_>>())
                // Local address, state "listening", inode (proc(5)).
                .filter(|row| row.get(1).is_some_and(|local| local.ends_with(&wanted)))
                .filter(|row| row.get(3) == Some(&"0A"))
                .filter_map(|row| row.get(9).map(|inode| format!("socket:[{inode}]")))
                .collect();
            rows
        })
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    processes.filter(|p| p.file_name().to_string_lossy().parse::<u32>().is_ok()).find_map(|p| {
        let open = std::fs::read_dir(p.path().join("fd")).ok()?.filter_map(Result::ok);
        let mut links = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        links.find(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))?;
        let name = std::fs::read_to_string(p.path().join("comm")).ok()?;
        Some(format!("{} (process {})", name.trim(), p.file_name().to_string_lossy()))
    })
}

#[cfg(not(target_os = "linux"))]
fn holder(_: u16) -> Option<String> {
    None
}

struct Guard {
    port: u16,
    knock: UnboundedSender<Knock>,
    connections: Semaphore,
}

async fn serve(listener: TcpListener, guard: Arc<Guard>, mut closed: watch::Receiver<()>) {
    loop {
        let stream = tokio::select! {
            (stream, _) = crate::accept::next(|| listener.accept()) => stream,
            _ = closed.changed() => return,
        };
        let guard = Arc::clone(&guard);
        tokio::spawn(async move {
            let Ok(_permit) = guard.connections.try_acquire() else { return };
            let service = service_fn(|request| answer(request, &guard));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(INCOMING)
                .max_buf_size(2 * LONGEST_QUERY)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever hangs up wants no answer.
            let _ = timeout(INCOMING + HELD, connection).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    guard: &Guard,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !names_this_machine(&request, guard.port) {
        return Ok(plain(StatusCode::MISDIRECTED_REQUEST, "not here"));
    }
    if request.method() != Method::GET || request.uri().path() != "/callback" {
        return Ok(plain(StatusCode::NOT_FOUND, "nothing is here"));
    }
    let query = request.uri().query().unwrap_or_default();
    if query.len() > LONGEST_QUERY {
        return Ok(plain(StatusCode::URI_TOO_LONG, "too long"));
    }
    let (answer, told) = oneshot::channel();
    let knock = Knock { query: Secret::new(query), answer };
    let page = match guard.knock.send(knock) {
        Ok(()) => timeout(HELD, told).await.ok().and_then(Result::ok),
        Err(_) => None,
    };
    Ok(shown(&page.unwrap_or_else(Page::still_at_work)))
}

/// DNS rebinding: a browser that was led here by another name says that name.
fn names_this_machine(request: &Request<Incoming>, port: u16) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let here = ["localhost", "127.0.0.1", "[::1]"];
    host.is_some_and(|host| here.iter().any(|name| *host == format!("{name}:{port}")))
}

fn plain(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *response.status_mut() = status;
    response
}

fn shown(page: &Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.html())));
    if !page.good {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    for (name, value) in page::HEADERS {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
