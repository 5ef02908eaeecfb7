//! The listeners, the connections and the way from a request to its handler.
//!
//! What it is: one thread with its own small runtime, so that it also serves while the test that
//! started it blocks. hyper is driven directly: a service that fails makes it close the connection
//! without a byte, which is how a cut is real.
//!
//! What it must not do: bind anything but loopback, or hold the town's lock over an await.
//!
//! Where to read next: `town`, then the module of the path you care about.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::fault::Queue;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::perform::{Cut, perform};
use crate::secrets::Source;
use crate::town::{Shared, Town};
use crate::wire::{self, Call, Payload, Reply};
use crate::{mcp, metadata, sign_in, token};

const BODY_LIMIT: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) enum Order {
    /// Refuse connections or take them again; the answer comes when it is so.
    Refuse(bool, mpsc::Sender<()>),
    Stop,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) shared: Shared,
    pub(crate) orders: UnboundedSender<Order>,
}

type Report = Box<dyn FnOnce(io::Result<Running>) + Send>;

/// Starts the thread. `report` is called from it, once, when the ports are bound or can't be.
pub(crate) fn launch(options: Options, report: Report) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("rehearsal".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(e) => return report(Err(e)),
        };
        runtime.block_on(async move {
            match open(options) {
                Ok((shared, doors)) => {
                    let (orders, inbox) = unbounded_channel();
                    report(Ok(Running { shared: shared.clone(), orders }));
                    run(shared, doors, inbox).await;
                }
                Err(e) => report(Err(e)),
            }
        });
    })
}

/// A port that is listened on, or only held so that nobody else gets it meanwhile.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    listener: Option<TcpListener>,
    held: Option<TcpSocket>,
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // On Windows the option means something else: it lets others take the port.
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

impl Door {
    fn open(port: u16) -> io::Result<Self> {
        let listener = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?.listen(256)?;
        Ok(Self { address: listener.local_addr()?, listener: Some(listener), held: None })
    }

    async fn accept(&self) -> TcpStream {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                // Out of descriptors, most likely: try again, but not in a busy loop.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn shut(&mut self) {
        self.listener = None;
        if self.held.is_none() {
            // Bound and not listening, it is refused by the kernel and taken by nobody.
            self.held = socket(self.address).ok();
        }
    }

    async fn reopen(&mut self) -> bool {
        for _ in 0..200 {
            if self.listener.is_some() {
                return true;
            }
            let socket = self.held.take().map_or_else(|| socket(self.address), Ok);
            self.listener = socket.and_then(|s| s.listen(256)).ok();
            if self.listener.is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        false
    }
}

fn open(options: Options) -> io::Result<(Shared, [Option<Door>; 2])> {
    let main = Door::open(options.port)?;
    let second = options.token_endpoint_elsewhere.then(|| Door::open(0)).transpose()?;
    let town = Town {
        origin: format!("http://{}", main.address),
        token_origin: second.as_ref().map(|d| format!("http://{}", d.address)),
        ledger: Ledger::new(Source::new()?),
        account: "ada@lamp.example".to_owned(),
        registrations: 0,
        token_lie: None,
        codes_seen: Vec::new(),
        options,
        token_faults: Queue::default(),
        metadata_faults: Queue::default(),
        mcp_faults: Queue::default(),
        refreshes: Vec::new(),
        mcp_calls: Vec::new(),
        violations: Vec::new(),
    };
    Ok((Shared::new(town), [Some(main), second]))
}

async fn knock(door: Option<&Door>) -> TcpStream {
    match door {
        Some(door) => door.accept().await,
        None => std::future::pending().await,
    }
}

async fn run(shared: Shared, mut doors: [Option<Door>; 2], mut inbox: UnboundedReceiver<Order>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, elsewhere) = tokio::select! {
            order = inbox.recv() => match order {
                Some(Order::Refuse(refuse, done)) => {
                    if refuse {
                        doors.iter_mut().flatten().for_each(Door::shut);
                        // Those already open would serve on.
                        connections.shutdown().await;
                    } else {
                        for door in doors.iter_mut().flatten() {
                            if !door.reopen().await {
                                shared.lock().violation(format!("lost port of {}", door.address));
                            }
                        }
                    }
                    // Whoever asked may be gone.
                    let _ = done.send(());
                    continue;
                }
                Some(Order::Stop) | None => break,
            },
            stream = knock(doors[0].as_ref()) => (stream, false),
            stream = knock(doors[1].as_ref()) => (stream, true),
            Some(_) = connections.join_next() => continue,
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request, elsewhere));
            let io = TokioIo::new(stream);
            let connection = hyper::server::conn::http1::Builder::new();
            // An error here is a client that left, or a cut that was ordered.
            drop(connection.serve_connection(io, service).await);
        });
    }
    connections.shutdown().await;
}

async fn answer(
    shared: Shared,
    request: Request<Incoming>,
    elsewhere: bool,
) -> Result<Response<Payload>, io::Error> {
    let (head, body) = request.into_parts();
    let Some(body) = whole(body).await? else {
        return Ok(Reply::empty(StatusCode::PAYLOAD_TOO_LARGE).into_response());
    };
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: wire::pairs(head.uri.query().unwrap_or_default().as_bytes()),
        headers: head.headers,
        body,
        elsewhere,
    };
    let (fault, right, options) = {
        let mut town = shared.lock();
        let town = &mut *town;
        mcp::check_query(town, &call);
        let fault = match place(town, &call) {
            Place::Token => town.token_faults.take(),
            Place::Metadata => town.metadata_faults.take(),
            Place::Mcp => town.mcp_faults.take(),
            Place::Register | Place::Authorize | Place::Revoke | Place::Nowhere => None,
        };
        let process = fault.as_ref().is_none_or(crate::Fault::processes);
        // A slow answer is right in the end.
        let spoilt = fault.as_ref().map(crate::Fault::name).filter(|name| *name != "Slow");
        let right = match place(town, &call) {
            Place::Token => token::token(town, &call, spoilt, process),
            Place::Mcp => mcp::mcp(town, &call, process),
            Place::Metadata => process.then(|| metadata::metadata(town, &call)),
            Place::Register => Some(sign_in::register(town, &call)),
            Place::Authorize => Some(sign_in::authorize(town, &call)),
            Place::Revoke => Some(token::revoke(town, &call)),
            Place::Nowhere => Some(metadata::nothing_there(town, &call.path)),
        };
        (fault, right, town.options.clone())
    };
    let reply = match (fault, right) {
        (Some(fault), right) => match perform(fault, right, &options, &call).await {
            Ok(reply) => reply,
            Err(Cut) => return Err(io::Error::other("cut on purpose")),
        },
        (None, Some(reply)) => reply,
        (None, None) => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
    };
    Ok(reply.into_response())
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Token,
    Metadata,
    Mcp,
    Register,
    Authorize,
    Revoke,
    Nowhere,
}

fn place(town: &Town, call: &Call) -> Place {
    match call.path.as_str() {
        "/token" if call.elsewhere == town.token_origin.is_some() => Place::Token,
        // The second listener serves nothing else.
        _ if call.elsewhere => Place::Nowhere,
        "/mcp" => Place::Mcp,
        "/register" => Place::Register,
        "/authorize" => Place::Authorize,
        "/revoke" => Place::Revoke,
        path if metadata::is_metadata(path) => Place::Metadata,
        _ => Place::Nowhere,
    }
}

/// The body, or `None` if it is larger than any honest client's.
async fn whole(mut body: Incoming) -> Result<Option<Bytes>, io::Error> {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > BODY_LIMIT {
            return Ok(None);
        }
    }
    Ok(Some(all.into()))
}
