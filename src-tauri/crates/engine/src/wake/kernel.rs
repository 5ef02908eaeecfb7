//! What the Linux kernel says at once: the wall clock was set (which a resume does too), a route came or
//! went.
//!
//! One thread waits for both without costing anything until something happens.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, netlink, socket_with},
    pipe::{PipeFlags, pipe_with},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use tokio::sync::mpsc::UnboundedSender;

use super::News;

/// Far from now: it is not for its end that this timer is set.
const FAR: i64 = 4_000_000_000;
/// `RTMGRP_IPV4_ROUTE` and `RTMGRP_IPV6_ROUTE` of rtnetlink(7).
const ROUTE_GROUPS: u32 = 0x40 | 0x400;

/// The thread; ends when this is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    /// Closing it is the word to end.
    _end: OwnedFd,
}

impl Listener {
    /// Starts to listen.
    pub(super) fn start(tell: UnboundedSender<News>) -> io::Result<Self> {
        let (ended, end) = pipe_with(PipeFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Realtime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        set(&timer)?;
        let routes = routes().inspect_err(|error| tracing::info!(%error, "no news of routes")).ok();
        thread::Builder::new().name("wake".into()).spawn(move || {
            let why = wait(&ended, &timer, routes.as_ref(), &tell);
            if let Err(error) = why {
                tracing::warn!(%error, "the kernel is no longer listened to");
            }
        })?;
        Ok(Self { _end: end })
    }
}

fn wait(
    ended: &OwnedFd,
    timer: &OwnedFd,
    routes: Option<&OwnedFd>,
    tell: &UnboundedSender<News>,
) -> io::Result<()> {
    loop {
        let mut watched =
            vec![PollFd::new(ended, PollFlags::IN), PollFd::new(timer, PollFlags::IN)];
        watched.extend(routes.map(|routes| PollFd::new(routes, PollFlags::IN)));
        match poll(&mut watched, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let happened: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
        if happened.first() == Some(&true) {
            return Ok(());
        }
        if happened.get(1) == Some(&true) {
            // Cancelled is what it says when the clock was set.
            let _ = rustix::io::read(timer, &mut [0_u8; 8]);
            set(timer)?;
            if tell.send(News::ClockSet).is_err() {
                return Ok(());
            }
        }
        if let (Some(routes), Some(true)) = (routes, happened.get(2)) {
            drain(routes);
            if tell.send(News::Routes).is_err() {
                return Ok(());
            }
        }
    }
}

/// A timer that the kernel cancels when the clock is set.
fn set(timer: &OwnedFd) -> io::Result<()> {
    let spec = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: FAR, tv_nsec: 0 },
    };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &spec)?;
    Ok(())
}

/// A socket on which the kernel tells of every route that comes or goes.
fn routes() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &netlink::SocketAddrNetlink::new(0, ROUTE_GROUPS))?;
    Ok(socket)
}

/// What exactly changed does not matter: whether there is a way out is asked anew.
fn drain(routes: &OwnedFd) {
    let mut message = [0_u8; 8 * 1_024];
    while matches!(rustix::io::read(routes.as_fd(), &mut message), Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_listens_until_it_is_dropped() {
        let (tell, mut news) = tokio::sync::mpsc::unbounded_channel();
        let listener = Listener::start(tell).unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(50), news.recv()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        drop(listener);
        // Its thread drops the only sender.
        let ended = tokio::time::timeout(Duration::from_secs(10), news.recv()).await;
        assert!(matches!(ended, Ok(None)));
    }
}
