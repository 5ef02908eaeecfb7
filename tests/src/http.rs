//! The least HTTP/1.1 a loopback stand-in needs: one request a connection, one answer, closed.
//!
//! It must not be used for anything that is being examined: an authorization server or an MCP
//! server is `lamplighter-rehearsal`. Where to read next: `model_api` and `hostile`, its users.

use std::{
    io::{self, BufRead as _, BufReader},
    net::TcpStream,
    time::Duration,
};

/// More than any conversation of a test.
const MOST: usize = 32 << 20;
/// Longer than anybody pauses in a request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path without its query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// Reads one request; `None` where the other side said nothing.
pub(crate) fn read(stream: &TcpStream) -> io::Result<Option<Request>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    read_from(stream)
}

/// The same from anything that carries bytes.
pub(crate) fn read_from(stream: impl io::Read + io::Write) -> io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other("not a request line"));
    };
    let path = target.split('?').next().unwrap_or_default();
    let mut request = Request { method: method.into(), path: path.into(), body: Vec::new() };
    let mut length = 0;
    let mut chunked = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "expect" => reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
            _ => {}
        }
    }
    if chunked {
        read_chunks(&mut reader, &mut request.body)?;
    } else {
        read_exactly(&mut reader, length, &mut request.body)?;
    }
    Ok(Some(request))
}

/// Answers and closes.
pub(crate) fn answer(
    mut stream: impl io::Write,
    status: &str,
    content_type: &str,
    body: &str,
) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

/// Sends whoever asked elsewhere, and closes.
pub(crate) fn redirect(mut stream: impl io::Write, status: &str, place: &str) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nLocation: {place}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )?;
    stream.flush()
}

fn read_chunks(reader: &mut impl io::BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        read_exactly(reader, size, body)?;
        let mut end = String::new();
        reader.read_line(&mut end)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_exactly(reader: &mut impl io::BufRead, size: usize, body: &mut Vec<u8>) -> io::Result<()> {
    let start = body.len();
    if start + size > MOST {
        return Err(io::Error::other("a request larger than any test sends"));
    }
    body.resize(start + size, 0);
    reader.read_exact(&mut body[start..])
}
