//! An engine of a command's own. While one runs, printing waits for no reader: a terminal that stands
//! still must not hold up an answer that is on its way.
//!
//! It must not end the process while one runs: a signal is the engine's to hear.

use std::sync::{Mutex, MutexGuard, Once, PoisonError, TryLockError};

use lamplighter_engine::{
    output::{NeverWait, err, out},
    runtime, stop,
};

use crate::EXIT_OTHER;

/// Held while an engine runs.
static RUNNING: Mutex<()> = Mutex::new(());

/// An engine runs for as long as this is held.
#[must_use = "only while it is held does nobody wait"]
pub(crate) struct Running {
    _haste: [NeverWait<'static>; 2],
    _running: MutexGuard<'static, ()>,
}

impl Running {
    /// An engine is about to run.
    pub(crate) fn begin() -> Self {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        Self { _haste: [out().never_wait(), err().never_wait()], _running: running }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end_when_asked();
    }
}

/// Does this in a runtime of its own, with an engine in it.
pub(crate) fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let running = Running::begin();
    // Its last writes are over before anybody is waited for again.
    let done = runtime::run(work);
    drop(running);
    done?
}

/// From the first engine on, signals are heard and no longer end the process by themselves. Between
/// engines this does: while an answer waits for its reader, or a question for its answer.
fn end_when_asked() {
    static HEARD: Once = Once::new();
    HEARD.call_once(|| {
        let hear = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Without one, only the reader or SIGKILL ends this process.
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let mut heard = Box::pin(stop::signalled());
                loop {
                    heard.await;
                    heard = Box::pin(stop::signalled());
                    // While one runs, it has heard the same.
                    if !matches!(RUNNING.try_lock(), Err(TryLockError::WouldBlock)) {
                        std::process::exit(i32::from(EXIT_OTHER));
                    }
                }
            });
        };
        let _ = std::thread::Builder::new().name("stop".into()).spawn(hear);
    });
}
