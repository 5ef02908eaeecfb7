//! What a command or a thread runs its asynchronous work on.
//!
//! It must not wait at its end for a thread that a dead disk holds: whoever is told to stop, stops.

use std::{io, time::Duration};

/// What blocking work may still take when all that was waited for is done.
const AT_THE_END: Duration = Duration::from_secs(2);

/// Runs `work` to its end on this thread; what still blocks then is left behind.
pub fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(AT_THE_END);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_that_hangs_does_not_hold_up_the_end() {
        let (let_go, gate) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let done = run(async move {
                tokio::task::spawn_blocking(move || gate.recv());
                7
            });
            tell.send(done.ok())
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(Some(7)));
        drop(let_go);
    }
}
