//! What logind says about sleep and shutdown, over the system's bus, and the locks that make both wait
//! for us, briefly: as long as an answer is on its way, and no longer than logind allows.
//!
//! `PrepareForSleep`, `PrepareForShutdown` and the delay locks of `Inhibit` are logind's documented interface
//! (org.freedesktop.login1). Without logind, or without a bus, nothing comes: the two clocks tell of a
//! resume anyway.

use std::os::fd::OwnedFd;

use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedSender;
use zbus::{Connection, MatchRule, MessageStream, connection::Builder, message};

use super::{Leave, News};
use crate::paths::Env;

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// Where the system's bus is.
pub(super) fn address(env: &Env) -> String {
    env.get("DBUS_SYSTEM_BUS_ADDRESS")
        .and_then(|address| address.into_string().ok())
        .filter(|address| !address.is_empty())
        .unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".into())
}

/// Tells of every sleep and wake, until nobody listens or the bus is gone.
pub(super) async fn listen(address: String, tell: UnboundedSender<News>) {
    if let Err(error) = try_listen(&address, &tell).await {
        tracing::info!(%error, "nobody tells of sleep");
    }
}

async fn try_listen(address: &str, tell: &UnboundedSender<News>) -> zbus::Result<()> {
    let bus = Builder::address(address).build().await?;
    let mut signals = said(&bus, "PrepareForSleep").await?;
    let mut shutdowns = said(&bus, "PrepareForShutdown").await?;
    let mut leave = Some(Leave::ask(&bus).await);
    loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            signal = shutdowns.next() => signal,
            () = tell.closed() => return Ok(()),
        };
        let Some(signal) = signal else { return Ok(()) };
        let before: bool = signal?.body().deserialize()?;
        let news = if before {
            News::FallingAsleep(leave.take().unwrap_or_default())
        } else {
            leave = Some(Leave::ask(&bus).await);
            News::Awake
        };
        if tell.send(news).is_err() {
            return Ok(());
        }
    }
}

/// Each time that logind says this.
async fn said(bus: &Connection, member: &'static str) -> zbus::Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender(NAME)
        .path(PATH)
        .interface(MANAGER)
        .member(member)
        .build()?;
    MessageStream::for_match_rule(rule, bus, None).await
}

impl Leave {
    /// Asks to be waited for before a sleep and before the machine is shut down. Without leave to do
    /// that, both just come sooner.
    async fn ask(bus: &Connection) -> Self {
        let mut inhibitors = Vec::new();
        for what in ["sleep", "shutdown"] {
            inhibitors.extend(inhibit(bus, what).await);
        }
        Self { _inhibitors: inhibitors }
    }
}

async fn inhibit(bus: &Connection, what: &str) -> Option<OwnedFd> {
    let ask = (what, "Lamplighter", "A renewal on its way comes home first", "delay");
    let answer = bus.call_method(Some(NAME), PATH, Some(MANAGER), "Inhibit", &ask).await;
    let answer = answer.inspect_err(|error| tracing::info!(what, %error, "nobody waits")).ok()?;
    let fd: zbus::OwnedFd = answer.body().deserialize().ok()?;
    Some(fd.into())
}
