//! A server that says whatever a test tells it to, and remembers every byte it was sent.
//!
//! It is nobody's model of a server: for an honest one see `lamplighter-rehearsal`. Where to read next:
//! the part `hostile`.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{home::Home, http, tls};

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
        Self::listen("http://127.0.0.1", None, answer)
    }

    /// The same over HTTPS, as `localhost`, with a certificate that programs in this home believe: so
    /// nothing but their own care keeps a token from it.
    pub fn start_with_tls(
        home: &Home,
        answer: impl Fn(&str, &str) -> Answer + Send + 'static,
    ) -> Self {
        let (config, certificate) = tls::for_localhost();
        let place = home.path().join("hostile.pem");
        fs::write(&place, certificate).expect("a written file");
        fs::create_dir_all(home.config("lamplighter")).expect("a folder for settings");
        let settings = format!("[network]\nextra_ca = ['{}']\n", place.display());
        fs::write(home.config("lamplighter/settings.toml"), settings).expect("written settings");
        Self::listen("https://localhost", Some(config), answer)
    }

    fn listen(
        host: &str,
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&str, &str) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let port = listener.local_addr().expect("an address").port();
        let origin = format!("{host}:{port}");
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (heard, own) = (Arc::clone(&sent), origin.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever hangs up is not waited for.
                let _ = match &tls {
                    Some(config) => serve_with_tls(stream, config, &own, &answer, &heard),
                    None => serve(&stream, &own, &answer, &heard),
                };
            }
        });
        Self { origin, sent }
    }

    /// Its host and port, as people are told them.
    pub fn host(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, host)| host)
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
    stream.set_read_timeout(Some(http::PATIENCE))?;
    converse(&mut &*stream, origin, answer, sent)
}

fn serve_with_tls(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    origin: &str,
    answer: &impl Fn(&str, &str) -> Answer,
    sent: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(http::PATIENCE))?;
    let session = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(session, stream);
    converse(&mut stream, origin, answer, sent)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn converse(
    stream: &mut (impl Read + Write),
    origin: &str,
    answer: &impl Fn(&str, &str) -> Answer,
    sent: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let Some(request) = http::read_from(&mut *stream)? else { return Ok(()) };
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let line = format!("{} {} {body}", request.method, request.path);
    sent.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    let (status, kind, body) = answer(&request.path, origin);
    if status.starts_with('3') {
        return http::redirect(stream, status, &body);
    }
    http::answer(stream, status, kind, &body)
}
