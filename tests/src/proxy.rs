//! A loopback proxy that loses answers: the request arrives at the server, its answer nowhere.
//!
//! It must not change a byte of what it passes on but `Connection`, which becomes `close`.
//! Where to read next: `tests/oidc.rs`.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The server's port.
    to: AtomicU16,
    /// How many answers from this path are still to be lost.
    lose: Mutex<(String, usize)>,
    lost: AtomicUsize,
    stopped: AtomicBool,
}

impl Proxy {
    /// Starts it on a free loopback port, with no server behind it yet.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::<Shared>::default();
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ours.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let ours = Arc::clone(&ours);
                // A side that hangs up in the middle ends this connection and nothing else.
                thread::spawn(move || drop(carry(&stream, &ours)));
            }
        });
        Self { address, shared }
    }

    /// What the server must call its own origin.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Passes everything on to the server on this port.
    pub fn lead_to(&self, port: u16) {
        self.shared.to.store(port, Ordering::Relaxed);
    }

    /// Loses the next `times` answers to what is sent to `path`.
    pub fn lose_answers(&self, path: &str, times: usize) {
        *self.shared.lose.lock().unwrap_or_else(PoisonError::into_inner) = (path.into(), times);
    }

    /// How many answers were lost.
    pub fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the flag.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// Whether the answer to what was sent to `path` is one to lose.
    fn loses(&self, path: &str) -> bool {
        let mut lose = self.lose.lock().unwrap_or_else(PoisonError::into_inner);
        let loses = lose.0 == path && lose.1 > 0;
        if loses {
            lose.1 -= 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        loses
    }
}

/// One request and its answer.
fn carry(mut client: &TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    if reader.read_line(&mut head)? == 0 {
        return Ok(());
    }
    let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let (name, value) = line.split_once(':').unwrap_or((line.trim_end(), ""));
        match name.to_ascii_lowercase().as_str() {
            "" => break,
            "connection" => continue,
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "transfer-encoding" => return Err(io::Error::other("a body of unknown length")),
            _ => {}
        }
        head.push_str(&line);
    }
    head.push_str("Connection: close\r\n\r\n");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;

    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.to.load(Ordering::Relaxed)))?;
    server.set_read_timeout(Some(PATIENCE))?;
    server.write_all(head.as_bytes())?;
    server.write_all(&body)?;
    // The whole answer is there before it is lost, so that the server has surely done its part.
    let answer = read_answer(&server)?;
    if !shared.loses(&path) {
        client.write_all(&answer)?;
    }
    client.shutdown(Shutdown::Both)
}

/// A whole answer: as long as it says, or until the server hangs up, which not every server does when
/// it is asked to.
fn read_answer(server: &TcpStream) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(server);
    let mut answer = Vec::new();
    let (mut length, mut chunked) = (None, false);
    loop {
        let line = read_line(&mut reader, &mut answer)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.trim().parse().map_err(io::Error::other)?),
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    if !chunked {
        reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut answer)?;
        return Ok(answer);
    }
    loop {
        let size = read_line(&mut reader, &mut answer)?;
        let size = u64::from_str_radix(&size, 16).map_err(io::Error::other)?;
        // Each chunk has a line's end of its own; the last is empty, and nobody sends trailers here.
        reader.by_ref().take(size + 2).read_to_end(&mut answer)?;
        if size == 0 {
            return Ok(answer);
        }
    }
}

/// The next line, which also goes to the end of `answer` as it is.
fn read_line(reader: &mut BufReader<&TcpStream>, answer: &mut Vec<u8>) -> io::Result<String> {
    let start = answer.len();
    reader.read_until(b'\n', answer)?;
    Ok(String::from_utf8_lossy(&answer[start..]).trim_end().to_owned())
}
