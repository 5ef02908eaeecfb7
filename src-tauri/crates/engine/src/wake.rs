//! Notices what makes every plan stale: a sleep about to begin, a resume, a wall clock that was set, a
//! way to the network that came or went.
//!
//! [`Drift`] and [`has_route`] tell all but the first on every system, whenever the loop looks. On
//! Linux the kernel and logind say it at once ([`Alarms`]). Nothing here decides what follows, and
//! nothing here sends a packet.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod logind;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use lamplighter_core::{keeper::WokeWhy, time::Now};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

use crate::paths::Env;

/// Clocks differ by a little without anything having happened.
const TOLERATED_MS: u64 = 2_000;

/// Compares the clocks each time it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Drift {
    now: Now,
    awake: Instant,
}

impl Drift {
    /// From this moment on.
    pub fn since(now: Now) -> Self {
        Self { now, awake: Instant::now() }
    }

    /// What happened since the last time it was asked.
    pub fn passed(&mut self, now: Now) -> Option<WokeWhy> {
        let awake = Instant::now();
        let counted = now.boot.0.saturating_sub(self.now.boot.0);
        let lived = u64::try_from(awake.duration_since(self.awake).as_millis()).unwrap_or(u64::MAX);
        let walled = now.wall.0.saturating_sub(self.now.wall.0);
        let stepped = walled.abs_diff(i64::try_from(counted).unwrap_or(i64::MAX)) > TOLERATED_MS;
        *self = Self { now, awake };
        if counted > lived.saturating_add(TOLERATED_MS) {
            Some(WokeWhy::Resumed)
        } else if stepped {
            Some(WokeWhy::ClockStepped)
        } else {
            None
        }
    }
}

/// How often a move to another network counts at most.
const MOVES_APART: Duration = Duration::from_secs(10);

/// Moves from network to network, and ways out that come back: the first counts at once, and what follows
/// it soon counts as one more, once its time has come. A route that comes and goes plans nothing anew each
/// time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moves {
    counted: Option<Instant>,
    due: Option<Instant>,
}

impl Moves {
    /// The machine has moved; whether that counts now.
    pub fn moved(&mut self, now: Instant) -> bool {
        match self.counted.map(|at| at + MOVES_APART).filter(|next| now < *next) {
            Some(next) => self.due = Some(next),
            None => *self = Self { counted: Some(now), due: None },
        }
        self.due.is_none()
    }

    /// When a move counts that came too soon; `None`: none did.
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// What the system says unasked.
#[derive(Debug)]
pub enum News {
    /// The machine is about to sleep or to be shut down, and waits a few seconds for [`Leave`] to be
    /// dropped.
    FallingAsleep(Leave),
    /// It did, and is back; or it did not after all.
    Awake,
    /// The wall clock was set.
    ClockSet,
    /// A route to some network came or went.
    Routes,
}

/// Holds a sleep or a shutdown up while it exists, for as long as the system allows.
#[derive(Debug, Default)]
pub struct Leave {
    #[cfg(target_os = "linux")]
    _inhibitors: Vec<std::os::fd::OwnedFd>,
}

/// Listens to what the system says, until dropped. Where it says nothing, nothing ever comes.
#[derive(Debug)]
pub struct Alarms {
    /// What it says.
    pub news: UnboundedReceiver<News>,
    /// Keeps the channel open where nobody speaks.
    _quiet: UnboundedSender<News>,
    #[cfg(target_os = "linux")]
    _kernel: Option<kernel::Listener>,
}

impl Alarms {
    /// Starts listening; must be called on a runtime. `env` leads to the system's bus.
    pub fn listen(env: &Env) -> Self {
        let (tell, news) = unbounded_channel();
        #[cfg(target_os = "linux")]
        {
            tokio::spawn(logind::listen(system_bus(env), tell.clone()));
            let kernel = kernel::Listener::start(tell.clone())
                .inspect_err(|error| tracing::info!(%error, "the kernel does not tell of changes"));
            Self { news, _quiet: tell, _kernel: kernel.ok() }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _: &Env = env;
            Self { news, _quiet: tell }
        }
    }
}

/// Whether this machine has a way out to any network. It asks the routing table, through a socket
/// that never sends, for the way to addresses that belong to nobody (RFC 5737, RFC 3849).
pub fn has_route() -> bool {
    let nobody = [
        (SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from(([192, 0, 2, 1], 9))),
        (
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
        ),
    ];
    nobody
        .iter()
        .any(|(here, there)| UdpSocket::bind(here).and_then(|socket| socket.connect(there)).is_ok())
}

/// Where the system's bus is.
#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) fn system_bus(env: &Env) -> String {
    logind::address(env)
}

#[cfg(test)]
mod tests {
    use lamplighter_core::time::{Boot, Wall};

    use super::*;

    fn at(wall: i64, boot: u64) -> Now {
        Now { wall: Wall(wall), boot: Boot(boot) }
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_was_not_lived_through_is_a_resume_and_a_clock_apart_is_a_step() {
        let mut drift = Drift::since(at(0, 0));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(drift.passed(at(10_000, 10_000)), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(drift.passed(at(3_611_000, 3_611_000)), Some(WokeWhy::Resumed));
        assert_eq!(drift.passed(at(3_611_000 - 60_000, 3_611_000)), Some(WokeWhy::ClockStepped));
        assert_eq!(drift.passed(at(3_551_500, 3_611_000)), None);
    }

    #[test]
    fn a_route_that_comes_and_goes_counts_at_once_and_then_each_ten_seconds() {
        let mut moves = Moves::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(moves.moved(start));
        assert_eq!(moves.due(), None);
        for second in 1..10 {
            assert!(!moves.moved(after(second)));
            assert_eq!(moves.due(), Some(after(10)), "what came since is not forgotten");
        }
        assert!(moves.moved(after(10)));
        assert_eq!(moves.due(), None);
        assert!(moves.moved(after(100)));
    }
}
