//! The real client: reqwest over rustls, told to do as little by itself as it can.
//!
//! No pool: a connection that died while the machine slept would look like an answer lost after the
//! token had left. No redirects of its own, no retries, no cookies, no compression; what is packed all the
//! same is unpacked.

use std::{error::Error, io, sync::Arc, time::Duration};

use hyper::body::Bytes;
use hyper_util::client::proxy::matcher::Matcher;
use lamplighter_core::{
    http::{Answer, Fault, Hosts, MAX_ANSWER, Method, PlainHttp, Request},
    time::{Millis, Wall},
};
use reqwest::{
    Response,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::{
    Answering, Http, Names, Network, NetworkFault,
    address::{Guard, Reach, TooNear},
    network::{built, tls},
};
use crate::{
    clock::Clock,
    gzip::{is_packed, unpacked},
    paths::Env,
};

const USER_AGENT: &str = concat!("Lamplighter/", env!("CARGO_PKG_VERSION"));

/// As many redirects as any sane metadata document needs.
const MAX_HOPS: usize = 5;

/// Headers that must not travel to another origin.
const FOR_ONE_ORIGIN: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Looking up, connecting and the TLS handshake.
    pub connect: Duration,
    /// All of it, to the last byte of the answer.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), whole: Duration::from_secs(30) }
    }
}

/// The one client.
pub struct Client {
    public: reqwest::Client,
    private: reqwest::Client,
    loopback: reqwest::Client,
    proxied: Option<(Matcher, reqwest::Client)>,
    names: Arc<dyn Names>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    advice: Option<String>,
    plain_http: PlainHttp,
    allow_private: Hosts,
}

impl Client {
    /// Sets the client up; connects to nothing.
    pub fn new(
        network: &Network,
        env: &Env,
        names: Arc<dyn Names>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Result<Self, NetworkFault> {
        let (tls, advice) = tls(&network.extra_ca)?;
        let plain = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .user_agent(USER_AGENT)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .http1_only()
                .pool_max_idle_per_host(0)
                .connect_timeout(limits.connect)
        };
        let direct = |innermost| {
            let guard = Guard { names: Arc::clone(&names), innermost };
            built(plain().no_proxy().dns_resolver(guard))
        };
        Ok(Self {
            public: direct(Reach::Public)?,
            private: direct(Reach::Private)?,
            loopback: direct(Reach::Loopback)?,
            proxied: network.proxy.client(env, plain)?,
            names,
            clock,
            limits,
            advice,
            plain_http: network.plain_http.clone(),
            allow_private: network.allow_private.clone(),
        })
    }

    /// What a person should know about this machine's network set-up, if anything.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The client for a conversation with the MCP server at `url`, guarded like any single request.
    /// `None` where nothing may be sent there.
    pub async fn for_server(&self, url: &str) -> Option<reqwest::Client> {
        let parsed = Url::parse(url).ok()?;
        let written = Reach::of_written(&parsed);
        if !self.may_speak_to(&parsed, written) {
            return None;
        }
        if let Some(proxied) = self.proxy_for(&parsed, written) {
            return Some(proxied.clone());
        }
        // Where its name can't be looked up now, a client that goes no further in than that is safe.
        let reach = self.reach_of_server(url).await.unwrap_or(Reach::Public).max(written);
        Some(self.direct(reach).clone())
    }

    /// How near to this machine the MCP server at `url` is. Nothing is sent on its behalf to a private
    /// address while its name can't be looked up.
    async fn reach_of_server(&self, url: &str) -> Result<Reach, Fault> {
        let looking_up = Reach::of_server(url, self.names.as_ref());
        let found = tokio::time::timeout(self.limits.connect, looking_up).await;
        found.ok().and_then(Result::ok).ok_or(Fault::Dns)
    }

    async fn carry(&self, request: &Request) -> Result<Answer, Fault> {
        let deadline = Instant::now() + self.limits.whole;
        let begun = tokio::time::timeout_at(deadline, self.beginning(request)).await;
        self.read(begun.unwrap_or(Err(Fault::Timeout))?, request, deadline).await
    }

    /// The last answer of all that redirects lead to; its body is not read yet.
    async fn beginning(&self, request: &Request) -> Result<Response, Fault> {
        let mut url = Url::parse(&request.url).map_err(|_| Fault::Forbidden)?;
        let mut headers = headers(request)?;
        for _ in 0..MAX_HOPS {
            let response = self.hop(&url, &headers, request).await?;
            let follow = request.follow_redirects && matches!(request.method, Method::Get);
            let Some(next) = follow.then(|| target(&response)).flatten() else {
                return Ok(response);
            };
            if next.origin() != url.origin() {
                for name in FOR_ONE_ORIGIN {
                    headers.remove(name);
                }
            }
            url = next;
        }
        self.hop(&url, &headers, request).await
    }

    /// One request to one address, redirects handed back as they are.
    async fn hop(
        &self,
        url: &Url,
        headers: &HeaderMap,
        request: &Request,
    ) -> Result<Response, Fault> {
        let written = Reach::of_written(url);
        if !self.may_speak_to(url, written) {
            return Err(Fault::Forbidden);
        }
        let send = async |client: &reqwest::Client| {
            let method = match request.method {
                Method::Get => reqwest::Method::GET,
                Method::Post => reqwest::Method::POST,
            };
            let mut carried = client.request(method, url.clone()).headers(headers.clone());
            if !request.body.is_empty() {
                // Wiped when the last part of it has left.
                carried = carried.body(Bytes::from_owner(request.body.clone()));
            }
            carried.send().await
        };
        let reach_of_server = || self.reach_of_server(&request.on_behalf_of);
        match written {
            Reach::Public => {}
            Reach::Private => {
                if !self.allow_private.have(url) && reach_of_server().await? < written {
                    return Err(Fault::PrivateAddress);
                }
            }
            // To this machine only from a server that is written as this machine: what a name leads to is
            // in its owner's hand, and may be another thing each time it is asked.
            Reach::Loopback => {
                let server = Url::parse(&request.on_behalf_of);
                if !server.is_ok_and(|server| Reach::of_written(&server) == Reach::Loopback) {
                    return Err(Fault::Forbidden);
                }
            }
        }
        let first = match self.proxy_for(url, written) {
            Some(proxied) => proxied,
            None => self.direct(self.nearest(url, written)),
        };
        match send(first).await {
            Ok(response) => Ok(response),
            Err(error) => match too_near(&error) {
                // Only now is it known where the name leads; nothing was connected to yet.
                Some(reach) if reach_of_server().await? >= reach => {
                    send(self.direct(reach)).await.map_err(|error| classify(&error))
                }
                Some(_) | None => Err(classify(&error)),
            },
        }
    }

    /// HTTPS, or plain HTTP that does not leave this machine or that the user lets in.
    fn may_speak_to(&self, url: &Url, written: Reach) -> bool {
        match url.scheme() {
            "https" => true,
            "http" => written == Reach::Loopback || self.plain_http.lets_in(url),
            _ => false,
        }
    }

    /// How near to this machine the address may be that a name leads to, before its server's is known.
    fn nearest(&self, url: &Url, written: Reach) -> Reach {
        if self.allow_private.have(url) { written.max(Reach::Private) } else { written }
    }

    const fn direct(&self, innermost: Reach) -> &reqwest::Client {
        match innermost {
            Reach::Public => &self.public,
            Reach::Private => &self.private,
            Reach::Loopback => &self.loopback,
        }
    }

    /// Through a proxy the address connected to can't be seen; what is written in the URL has been
    /// checked, and the rest is the proxy's business.
    fn proxy_for(&self, url: &Url, written: Reach) -> Option<&reqwest::Client> {
        let (matcher, client) = self.proxied.as_ref().filter(|_| written != Reach::Loopback)?;
        if url.scheme() != "https" {
            // A token without TLS takes no way that the user did not think of.
            return None;
        }
        let uri: http::Uri = url.as_str().parse().ok()?;
        matcher.intercept(&uri).map(|_| client)
    }

    async fn read(
        &self,
        mut response: Response,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let announced = response.content_length().unwrap_or(0);
        if announced > MAX_ANSWER as u64 {
            return Err(Fault::TooLarge);
        }
        let text = |name: &str| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let retry_after = text("retry-after")
            .and_then(|after| retry_after(&after, text("date").as_deref(), self.clock.now().wall));
        let challenges = response.headers().get_all("www-authenticate");
        let mut answer = Answer {
            status: response.status().as_u16(),
            content_type: text("content-type"),
            retry_after,
            challenges: challenges
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect(),
            location: text("location"),
            // Large enough for nearly every token answer, so that it is not moved about in memory.
            body: Zeroizing::new(Vec::with_capacity(16 * 1024)),
        };
        let broken = loop {
            match tokio::time::timeout_at(deadline, response.chunk()).await {
                Ok(Ok(None)) => break None,
                Ok(Ok(Some(chunk))) if answer.body.len() + chunk.len() > MAX_ANSWER => {
                    return Err(Fault::TooLarge);
                }
                Ok(Ok(Some(chunk))) => answer.body.extend_from_slice(&chunk),
                Ok(Err(error)) => break Some(classify(&error)),
                Err(_) => break Some(Fault::Timeout),
            }
        };
        answer.body = unpacked(answer.body);
        match broken.filter(|_| !may_hold_tokens(request, &answer)) {
            Some(fault) => Err(fault),
            None => Ok(answer),
        }
    }
}

impl Http for Client {
    fn fetch<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(async move {
            let outcome = self.carry(request).await;
            let url = Url::parse(&request.url).ok();
            let host = url.as_ref().and_then(Url::host_str).unwrap_or("?");
            match &outcome {
                Ok(answer) => tracing::debug!(host, status = answer.status, "answered"),
                Err(fault) => tracing::debug!(host, %fault, "no answer"),
            }
            outcome
        })
    }
}

fn headers(request: &Request) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name: HeaderName = name.parse().map_err(|_| Fault::Forbidden)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| Fault::Forbidden)?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Whether what came of an answer, before its connection broke, may be the only copy of new tokens: JSON,
/// or something packed. Half of it can be told from the whole; half a form can't, and would be read as
/// tokens that are cut short.
fn may_hold_tokens(request: &Request, answer: &Answer) -> bool {
    matches!(request.method, Method::Post)
        && (200..300).contains(&answer.status)
        && (is_packed(&answer.body) || answer.body.trim_ascii_start().starts_with(b"{"))
}

/// Where a redirect leads; `None` for anything else.
fn target(response: &Response) -> Option<Url> {
    let location = response.headers().get("location")?.to_str().ok()?;
    let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    moved.then(|| response.url().join(location).ok()).flatten()
}

/// RFC 9110 §10.2.3: seconds, or a date, which is measured against the server's own clock where it
/// tells the time.
fn retry_after(text: &str, date: Option<&str>, now: Wall) -> Option<Millis> {
    let moment = |text: &str| {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        parser.parse_timestamp(text.trim()).ok().map(|at| Wall(at.as_millisecond()))
    };
    let seconds = text.trim().parse().ok().map(Millis::seconds);
    let until = || Some(date.and_then(moment).unwrap_or(now).until(moment(text)?));
    seconds.or_else(until)
}

/// Every error below this one, itself included, with what `io::Error` wraps.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        // `io::Error` names the source of what it wraps and leaves out the wrapped error itself.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn too_near(error: &reqwest::Error) -> Option<Reach> {
    chain(error).find_map(|error| error.downcast_ref::<TooNear>()).map(|near| near.0)
}

/// What an error says about whether a byte of the request has left.
fn classify(error: &reqwest::Error) -> Fault {
    if error.is_builder() {
        return Fault::Forbidden;
    }
    if too_near(error).is_some() {
        return Fault::PrivateAddress;
    }
    if !error.is_connect() {
        return if error.is_timeout() { Fault::Timeout } else { Fault::Cut };
    }
    // The handshake's errors come wrapped once more than those of the connection below it.
    let in_handshake = chain(error).any(|error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.is_some_and(|inner| inner.is::<io::Error>() || inner.is::<rustls::Error>())
    });
    if error.is_dns() {
        Fault::Dns
    } else if in_handshake {
        Fault::Tls
    } else {
        Fault::Connect
    }
}

#[cfg(test)]
mod tests;
