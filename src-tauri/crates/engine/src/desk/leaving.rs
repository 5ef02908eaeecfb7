//! Removing Lamplighter from within its own desktop: in a thread of its own, so that window and menu
//! go on while what is on its way is brought home, which may take two minutes.
//!
//! It must not leave half of anything: who quits meanwhile stops it before anything is removed, or
//! waits for the rest. Read next: [`crate::leave`].

use std::thread::{Builder, JoinHandle};

use lamplighter_core::keeper::{Event, Keeper};
use tokio::sync::watch;

use super::{Bell, Tick};
use crate::{leave, link::Ending, open::Place, paths::Env};

/// What is said meanwhile.
pub(super) const WORDS: &str = "Lamplighter brings home what is on its way, then removes itself. This may take \
                                two minutes.";

/// A removal under way.
pub(super) struct Leaving {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Leaving {
    /// Begins it; how it went is rung. The keeper ends first.
    pub(super) fn begin(env: Env, keeper: Ending, bell: Bell) -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let thread = Builder::new().name("leaving".into()).spawn(move || {
            keeper.wait();
            bell.ring(Tick::Left(remove(env, &stopped)));
        })?;
        Ok(Self { stop, thread })
    }

    /// The program ends: what is not under way any more is left as it is.
    pub(super) fn end(self) {
        let _ = self.stop.send(true);
        // A thread that panicked has ended too.
        let _ = self.thread.join();
    }
}

fn remove(env: Env, stopped: &watch::Receiver<bool>) -> Result<(), String> {
    let place = Place::find(env).map_err(|fault| fault.to_string())?;
    let stop = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    };
    let listener = Box::new(|_: &Event, _: &Keeper| {});
    leave::entirely(place, stop, listener, |_| {}).map_err(|fault| fault.to_string())?;
    Ok(())
}
