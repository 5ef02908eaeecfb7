//! Choosing a server, starting it, and stopping it when it goes out of scope.
//!
//! What it must not do: carry behaviour. It fills `Options` and owns the thread.
//!
//! Where to read next: `serve` for what the thread does.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::control::Control;
use crate::habits::Habits;
use crate::options::{Dialect, ExpiresIn, Layout, Options, Prm, Rotation};
use crate::serve::{Order, Running, launch};

/// The choices before the start. What isn't chosen is as the RFCs recommend.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder(Options);

impl Builder {
    /// The port of the main listener; 0, the default, lets the system choose.
    pub fn port(mut self, port: u16) -> Self {
        self.0.port = port;
        self
    }

    /// How long access tokens live that are issued on a sign-in or a refresh.
    pub fn life_seconds(mut self, seconds: i64) -> Self {
        self.0.life_seconds = seconds;
        self
    }

    /// Ask the person in the browser, instead of saying yes at once.
    pub fn asks(mut self) -> Self {
        self.0.asks = true;
        self
    }

    /// What happens to a refresh token that is used.
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.0.rotation = rotation;
        self
    }

    /// Whether a refresh ends the older access tokens of its family.
    pub fn revoke_old_access(mut self, yes: bool) -> Self {
        self.0.revoke_old_access = yes;
        self
    }

    /// How the token endpoint words its answers.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.0.dialect = dialect;
        self
    }

    /// The shape of `expires_in`.
    pub fn expires_in(mut self, shape: ExpiresIn) -> Self {
        self.0.expires_in = shape;
        self
    }

    /// Leaves `scope` out of token answers.
    pub fn omit_scope(mut self, yes: bool) -> Self {
        self.0.omit_scope = yes;
        self
    }

    /// Leaves `refresh_token` out of the answer to a refresh. The old one then stays good, whatever
    /// the rotation (RFC 6749 §6).
    pub fn omit_refresh_token(mut self, yes: bool) -> Self {
        self.0.omit_refresh_token = yes;
        self
    }

    /// Makes refresh tokens expire this many seconds after they were issued, and says so.
    pub fn refresh_token_expires_in(mut self, seconds: i64) -> Self {
        self.0.refresh_token_expires_in = Some(seconds);
        self
    }

    /// Refuses with `invalid_target` what doesn't name the MCP server as `resource` (RFC 8707).
    pub fn require_resource(mut self, yes: bool) -> Self {
        self.0.require_resource = yes;
        self
    }

    /// Where the authorization server publishes its metadata.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.0.layout = layout;
        self
    }

    /// Where the protected resource publishes its metadata.
    pub fn prm(mut self, prm: Prm) -> Self {
        self.0.prm = prm;
        self
    }

    /// A path after the origin of the issuer, such as `/t/1`.
    pub fn issuer_path(mut self, path: impl Into<String>) -> Self {
        self.0.issuer_path = path.into();
        self
    }

    /// Publishes another issuer than the true one, which a client must refuse (RFC 8414 §3.3).
    pub fn metadata_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.0.metadata_issuer = Some(issuer.into());
        self
    }

    /// Serves the token endpoint from a second origin only.
    pub fn token_endpoint_elsewhere(mut self, yes: bool) -> Self {
        self.0.token_endpoint_elsewhere = yes;
        self
    }

    /// What it does that the RFCs don't ask for.
    pub fn habits(mut self, habits: Habits) -> Self {
        self.0.habits = habits;
        self
    }

    /// Binds loopback and serves from a thread of its own.
    pub async fn start(self) -> io::Result<Rehearsal> {
        let (report, started) = oneshot::channel();
        let thread = launch(self.0, Box::new(move |running| drop(report.send(running))))?;
        let running = started.await.map_err(io::Error::other)??;
        Ok(Rehearsal { running, thread: Some(thread) })
    }

    /// As [`start`](Self::start), without a runtime.
    pub fn start_blocking(self) -> io::Result<Rehearsal> {
        let (report, started) = mpsc::channel();
        let thread = launch(self.0, Box::new(move |running| drop(report.send(running))))?;
        let running = started.recv().map_err(io::Error::other)??;
        Ok(Rehearsal { running, thread: Some(thread) })
    }
}

/// A running server. Dropping it closes its ports and connections.
#[derive(Debug)]
pub struct Rehearsal {
    running: Running,
    thread: Option<JoinHandle<()>>,
}

impl Rehearsal {
    /// Begins to choose.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        self.running.shared.lock().origin.clone()
    }

    /// Where the MCP server is.
    pub fn mcp_url(&self) -> String {
        self.running.shared.lock().mcp_url()
    }

    /// The true issuer.
    pub fn issuer(&self) -> String {
        self.running.shared.lock().issuer()
    }

    /// Where the token endpoint is.
    pub fn token_endpoint(&self) -> String {
        self.running.shared.lock().token_endpoint()
    }

    /// A handle for tests.
    pub fn control(&self) -> Control {
        Control { shared: self.running.shared.clone(), orders: self.running.orders.clone() }
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        // Either fails only if the thread is gone already.
        drop(self.running.orders.send(Order::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
