//! The two clocks, read together. This is the only place in the project that reads a clock; all
//! else is given a [`Now`].

use std::{
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use lamplighter_core::time::{Boot, Millis, Now, Wall};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Both clocks.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    started: std::time::Instant,
}

impl SystemClock {
    /// The machine's clocks.
    #[expect(clippy::new_without_default, reason = "a clock is made once, on purpose")]
    pub fn new() -> Self {
        Self {
            #[cfg(not(any(target_os = "linux", target_os = "macos")))]
            started: std::time::Instant::now(),
        }
    }

    /// `Instant` stops while a Linux or macOS machine sleeps, so the clock that does not is asked
    /// for by name. On macOS that is `CLOCK_MONOTONIC`.
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    #[expect(clippy::unused_self, reason = "the other systems need it")]
    fn boot(self) -> Boot {
        #[cfg(target_os = "linux")]
        const SUSPEND_COUNTING: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        #[cfg(target_os = "macos")]
        const SUSPEND_COUNTING: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
        let since = rustix::time::clock_gettime(SUSPEND_COUNTING);
        let seconds = u64::try_from(since.tv_sec).unwrap_or(0);
        let millis = u64::try_from(since.tv_nsec / 1_000_000).unwrap_or(0);
        Boot(seconds.saturating_mul(1_000).saturating_add(millis))
    }

    /// On Windows `Instant` is the performance counter, which goes on during sleep. A moment on this
    /// clock means something to this process only, so its start will do as zero.
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    fn boot(self) -> Boot {
        Boot(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        // The one clock read of the project; `boot` above is its other half.
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |early| -early)
            }
        };
        Now { wall: Wall(wall), boot: self.boot() }
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FakeClock(Mutex<Now>);

impl FakeClock {
    /// Stands at `now`.
    pub const fn at(now: Now) -> Self {
        Self(Mutex::new(now))
    }

    /// Time passes on both clocks.
    pub fn advance(&self, length: Millis) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Now { wall: now.wall + length, boot: now.boot + length };
    }

    /// Someone sets the wall clock.
    pub fn set_wall(&self, wall: Wall) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wall = wall;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Now {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_go_forward_and_the_wall_clock_is_in_this_century() {
        let clock = SystemClock::new();
        let (first, second) = (clock.now(), clock.now());
        assert!(second.boot >= first.boot);
        assert!(first.wall > Wall(1_700_000_000_000), "{first:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_boot_clock_counts_from_the_start_of_the_machine_suspended_time_included() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
        let boot = std::time::Duration::from_millis(SystemClock::new().now().boot.0);
        assert!((boot.as_secs_f64() - seconds).abs() < 5.0, "{boot:?} and {seconds}");
    }

    #[test]
    fn a_fake_clock_moves_only_when_told() {
        let clock = FakeClock::at(Now { wall: Wall(1_000), boot: Boot(5) });
        clock.advance(Millis(10));
        assert_eq!(clock.now(), Now { wall: Wall(1_010), boot: Boot(15) });
        clock.set_wall(Wall(0));
        assert_eq!(clock.now(), Now { wall: Wall(0), boot: Boot(15) });
    }
}
