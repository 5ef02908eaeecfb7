//! Notices time that passed unseen: a resume from sleep, or a wall clock that was set.
//!
//! Two clocks that drift apart tell both, on every system, whenever the loop looks. On Linux a timer
//! that the kernel cancels when the clock is set (which a resume does too) tells it at once.

use std::time::Duration;

use lamplighter_core::{keeper::WokeWhy, time::Now};
use tokio::time::Instant;

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

/// Resolves when the kernel says that the clock was set or the machine resumed. Where it cannot say,
/// it never does, and [`Drift`] has to.
pub async fn clock_set() {
    #[cfg(target_os = "linux")]
    if linux::clock_set().await.is_ok() {
        return;
    }
    loop {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{io, thread};

    use rustix::{
        io::Errno,
        time::{
            Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
            timerfd_settime,
        },
    };
    use tokio::sync::oneshot;

    /// A century from now: it is not for its end that this timer is set.
    const FAR: i64 = 4_000_000_000;

    /// A thread of its own waits in the kernel, which costs nothing until it happens.
    pub(super) async fn clock_set() -> io::Result<()> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
        let far = Timespec { tv_sec: FAR, tv_nsec: 0 };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET,
            &Itimerspec { it_interval: never, it_value: far },
        )?;
        let (tell, told) = oneshot::channel();
        thread::Builder::new().name("clock-set".into()).spawn(move || {
            let result = loop {
                match rustix::io::read(&timer, &mut [0_u8; 8]) {
                    Err(Errno::CANCELED) | Ok(_) => break Ok(()),
                    Err(Errno::INTR) => {}
                    Err(fault) => break Err(io::Error::from(fault)),
                }
            };
            // Nobody listens any more when the keeper has ended.
            let _ = tell.send(result);
        })?;
        told.await.map_err(io::Error::other)?
    }
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
}
