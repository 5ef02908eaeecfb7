//! When this process is asked to end: by Ctrl-C, a service manager, a terminal that is closed, or
//! because nobody reads any more what it prints.
//!
//! Whoever is asked brings home what is on its way first: it must never be the end itself. Read next:
//! [`driver`](crate::driver).

use crate::output;

/// Resolves when this process is asked to end, or the reader of its standard output has ended. Signals
/// are heard as in [`signalled`].
pub fn asked() -> impl Future<Output = ()> + Send {
    let signalled = signalled();
    async move {
        tokio::select! {
            () = signalled => {}
            () = output::out().reader_ended() => {}
        }
    }
}

/// Resolves when this process is asked to end by its system. On Unix heard from the call on, not from
/// the first poll: a request between the two would end nothing. Called inside a runtime.
pub fn signalled() -> impl Future<Output = ()> + Send {
    #[cfg(unix)]
    let mut heard = Heard::listen();
    async move {
        #[cfg(unix)]
        heard.any().await;
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(unix)]
struct Heard([Option<tokio::signal::unix::Signal>; 3]);

#[cfg(unix)]
impl Heard {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        // A program that was started to outlive its terminal (`nohup`) has this signal ignored: to listen
        // would undo that.
        let hangup = (!ignores_hangup()).then(SignalKind::hangup);
        let kinds = [Some(SignalKind::interrupt()), Some(SignalKind::terminate()), hangup];
        Self(kinds.map(|kind| signal(kind?).ok()))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            () = one(interrupt) => {}
            () = one(terminate) => {}
            () = one(hangup) => {}
        }
    }
}

/// Whether a terminal that is closed ends nothing here, by the wish of whoever started this process.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    use std::io::IsTerminal;

    // Signals are counted from 1, bits from 0 (proc(5), `SigIgn`).
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    match ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) {
        Some(mask) => mask & HANGUP != 0,
        // Where that can't be told, `nohup` is known by what it leaves: no terminal at all.
        None => {
            !(std::io::stdin().is_terminal()
                || std::io::stdout().is_terminal()
                || std::io::stderr().is_terminal())
        }
    }
}

/// The next of these; never, where it can't be heard.
#[cfg(unix)]
async fn one(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
