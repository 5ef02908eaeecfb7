//! Our own facts and the history, written by a thread of their own: the disk that they lie on may stop
//! answering, and then neither a signal nor an answer on its way may wait for it.
//!
//! What was handed over is written in its order, also where nobody waits for it any more. It must not say
//! that something is kept before it is.
//!
//! Read next: [`state`](crate::state), [`history`](crate::history).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use lamplighter_core::{facts::FactsChange, journal::JournalFault, keeper::Event, time::Wall};

use crate::{history::History, lock::EngineLock, state::State};

/// How long a write is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The files, in the hands of their thread.
pub(super) struct OwnFiles(Owner<Files>);

struct Files {
    state: State,
    history: Option<History>,
    /// Whoever reads the facts next reads them once all that was handed over is written.
    _lock: Option<EngineLock>,
}

impl OwnFiles {
    /// `lock`: a share of the engine's, held until all that was handed over is written.
    pub(super) fn new(state: State, history: Option<History>, lock: Option<EngineLock>) -> Self {
        Self(Owner::new(Files { state, history, _lock: lock }, PATIENCE))
    }

    /// Ends it; whether all that was handed over is written now.
    pub(super) fn end(mut self) -> bool {
        self.0.end()
    }

    /// Keeps what has changed in the facts. Durable where this is well; after a fault the next change
    /// that can be kept brings this one with it.
    pub(super) fn remember(&mut self, change: FactsChange) -> Result<(), JournalFault> {
        self.0.within(|files| files.state.remember(change)).unwrap_or_else(|| {
            Err(JournalFault {
                place: "the state folder".into(),
                what: "its disk does not answer".into(),
            })
        })
    }

    /// Adds a line to the history if the event is worth one.
    pub(super) fn record(&mut self, event: &Event, now: Wall) {
        let event = event.clone();
        let written = self.0.within(move |files| {
            files.history.as_ref().map_or(Ok(()), |history| history.record(&event, now))
        });
        match written {
            Some(Ok(())) => {}
            Some(Err(fault)) => tracing::warn!(%fault, "the history can't be kept"),
            None => tracing::warn!("the history's disk does not answer"),
        }
    }
}

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A thread that owns something which may hang, and does with it what it is asked, in turn.
struct Owner<T> {
    jobs: Option<Sender<Job<T>>>,
    ended: Receiver<()>,
    handed_over: usize,
    done: Arc<AtomicUsize>,
    patience: Duration,
}

impl<T: Send + 'static> Owner<T> {
    fn new(mut owned: T, patience: Duration) -> Self {
        let (jobs, inbox) = mpsc::channel::<Job<T>>();
        let (end, ended) = mpsc::channel();
        let works = move || {
            for job in inbox {
                job(&mut owned);
            }
            drop(owned);
            drop(end);
        };
        // Without a thread nothing is kept, and each call says so.
        let jobs = thread::Builder::new().name("own-files".into()).spawn(works).ok().map(|_| jobs);
        Self { jobs, ended, handed_over: 0, done: Arc::default(), patience }
    }

    /// Has this done. `None` where it is not done in time; it is done later then.
    fn within<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Option<R> {
        // One that hangs holds up whoever asks once, not each time.
        let hangs = self.done.load(Ordering::Acquire) < self.handed_over;
        let patience = if hangs { Duration::ZERO } else { self.patience };
        let (tell, told) = mpsc::channel();
        let done = Arc::clone(&self.done);
        let job = Box::new(move |owned: &mut T| {
            let answer = work(owned);
            done.fetch_add(1, Ordering::Release);
            // Nobody may wait for it any more.
            let _ = tell.send(answer);
        });
        self.jobs.as_ref()?.send(job).ok()?;
        self.handed_over += 1;
        told.recv_timeout(patience).ok()
    }
}

impl<T> Owner<T> {
    /// Takes nothing more, and waits for what was handed over; whether it was done in time.
    fn end(&mut self) -> bool {
        drop(self.jobs.take());
        // The thread says nothing: it lets go of its end.
        self.ended.recv_timeout(self.patience) == Err(RecvTimeoutError::Disconnected)
    }
}

impl<T> Drop for Owner<T> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A job that ends when it is let, and the means to let it.
    fn held() -> (impl FnOnce(&mut Vec<u32>) + Send + 'static, Sender<()>) {
        let (let_go, gate) = mpsc::channel();
        (move |_: &mut Vec<u32>| gate.recv().unwrap_or_default(), let_go)
    }

    #[test]
    fn what_hangs_is_waited_for_once_and_everything_is_done_in_its_order_all_the_same() {
        let mut owner = Owner::new(Vec::new(), Duration::from_millis(200));
        assert_eq!(owner.within(|all| all.push(1)), Some(()));
        let (hangs, let_go) = held();
        assert_eq!(owner.within(hangs), None);
        let started = Instant::now();
        for number in 2..50 {
            assert_eq!(owner.within(move |all| all.push(number)), None);
        }
        assert!(started.elapsed() < Duration::from_millis(200) * 10, "nobody waits again");
        let_go.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let all = loop {
            if let Some(all) = owner.within(|all| all.clone()) {
                break all;
            }
            assert!(Instant::now() < deadline, "it is over");
        };
        assert_eq!(all, (1..50).collect::<Vec<_>>());
    }

    #[test]
    fn who_ends_waits_for_what_was_handed_over_and_not_for_what_hangs() {
        let count = Arc::new(());
        let mut owner = Owner::new(Vec::<u32>::new(), Duration::from_millis(50));
        let kept = Arc::clone(&count);
        owner.within(move |_| drop(kept));
        assert!(owner.end());
        assert_eq!(Arc::strong_count(&count), 1);
        let mut owner = Owner::new(Vec::new(), Duration::from_millis(50));
        let (hangs, let_go) = held();
        owner.within(hangs);
        assert!(!owner.end(), "it hangs");
        drop(let_go);
    }
}
