//! A server that says whatever a test tells it to, and remembers every byte it was sent.
//!
//! It is nobody's model of a server: for an honest one see `lamplighter-rehearsal`. Where to read next:
//! the part `hostile`.

use std::{
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

use crate::http;

/// What is answered: status line, content type, body. Of a redirect the body is where it leads.
pub type Answer = (&'static str, &'static str, String);

/// The server; it goes on until the test's process ends.
#[derive(Debug)]
pub struct Hostile {
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    /// Answers each path as told; the second argument is the server's own origin.
    pub fn start(answer: impl Fn(&str, &str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let port = listener.local_addr().expect("an address").port();
        let origin = format!("http://127.0.0.1:{port}");
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (heard, own) = (Arc::clone(&sent), origin.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever hangs up is not waited for.
                let _ = serve(&stream, &own, &answer, &heard);
            }
        });
        Self { origin, sent }
    }

    /// Everything it was sent: a line with method and path, and the body.
    pub fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    stream: &TcpStream,
    origin: &str,
    answer: &impl Fn(&str, &str) -> Answer,
    sent: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let Some(request) = http::read(stream)? else { return Ok(()) };
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let line = format!("{} {} {body}", request.method, request.path);
    sent.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    let (status, kind, body) = answer(&request.path, origin);
    if status.starts_with('3') {
        return http::redirect(stream, status, &body);
    }
    http::answer(stream, status, kind, &body)
}
