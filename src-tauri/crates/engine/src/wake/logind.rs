//! What logind says about sleep and shutdown, over the system's bus, and the locks that make both wait
//! for us, briefly: as long as an answer is on its way, and no longer than logind allows.
//!
//! `PrepareForSleep`, `PrepareForShutdown` and the delay locks of `Inhibit` are logind's documented interface
//! (org.freedesktop.login1). Without logind, or without a bus, nothing comes: the two clocks tell of a
//! resume anyway.

use std::{os::fd::OwnedFd, time::Duration};

use futures_util::StreamExt;
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{sleep, timeout},
};
use zbus::{Connection, MatchRule, MessageStream, connection::Builder, message};

use super::{Leave, News};
use crate::paths::Env;

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// How long the bus and logind are waited for, each time that one of them is asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// When a bus that is not there, or is gone, is looked for again: soon at first, then more seldom.
const SOON: Duration = Duration::from_secs(15);
const SELDOM: Duration = Duration::from_secs(600);

/// Where the system's bus is.
pub(super) fn address(env: &Env) -> String {
    env.get("DBUS_SYSTEM_BUS_ADDRESS")
        .and_then(|address| address.into_string().ok())
        .filter(|address| !address.is_empty())
        .unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".into())
}

/// Tells of every sleep and wake, until nobody listens. A bus that goes away may come back.
pub(super) async fn listen(address: String, tell: UnboundedSender<News>) {
    let mut wait = SOON;
    while !tell.is_closed() {
        match try_listen(&address, &tell).await {
            // It was there.
            Ok(()) => wait = SOON,
            Err(error) => tracing::info!(%error, "nobody tells of sleep"),
        }
        tokio::select! {
            () = sleep(wait) => wait = (wait * 2).min(SELDOM),
            () = tell.closed() => {}
        }
    }
}

/// `Ok` once the bus is gone or nobody listens.
async fn try_listen(address: &str, tell: &UnboundedSender<News>) -> zbus::Result<()> {
    let (bus, mut signals, mut shutdowns) = in_time(async {
        let bus = Builder::address(address).build().await?;
        let signals = said(&bus, "PrepareForSleep").await?;
        let shutdowns = said(&bus, "PrepareForShutdown").await?;
        Ok((bus, signals, shutdowns))
    })
    .await?;
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
            News::Awake
        };
        if tell.send(news).is_err() {
            return Ok(());
        }
        // Told before, because logind may be slow to answer after a sleep.
        if !before {
            leave = Some(Leave::ask(&bus).await);
        }
    }
}

/// What is asked of the bus, within its time.
async fn in_time<T>(asked: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
    let silent = |_| zbus::Error::Failure("it does not answer".into());
    timeout(PATIENCE, asked).await.map_err(silent)?
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
    let call = bus.call_method(Some(NAME), PATH, Some(MANAGER), "Inhibit", &ask);
    let answer = in_time(call).await;
    let answer = answer.inspect_err(|error| tracing::info!(what, %error, "nobody waits")).ok()?;
    let fd: zbus::OwnedFd = answer.body().deserialize().ok()?;
    Some(fd.into())
}
