//! What is to be said on one connection and was not taken yet.
//!
//! A client that stops reading must not make the keeper hold ever more for it: of the whole truth only
//! the newest is kept, and one that leaves too much unread is hung up on. It must not lose anything that
//! a client that reads would get.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, mpsc::UnboundedSender};

use super::Reply;

/// So much may be unread: more than all that one act of a person can set off.
const MOST_UNREAD: usize = 20_000;
/// And so many bytes, as they will leave. A single reply may be larger.
const MOST_UNREAD_BYTES: usize = 4 * 1024 * 1024;

/// The connection is gone, or was hung up on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HungUp;

/// Where replies to one connection go.
#[derive(Clone)]
pub(crate) enum Answers {
    /// To this very process, which reads.
    Inside(UnboundedSender<Reply>),
    /// To a client.
    Client(Arc<Sender>),
}

impl Answers {
    /// Says something, after everything that was said before.
    pub(crate) fn send(&self, reply: Reply) -> Result<(), HungUp> {
        match self {
            Self::Inside(inside) => inside.send(reply).map_err(|_| HungUp),
            Self::Client(client) => client.0.push(reply),
        }
    }

    /// Shows the whole truth; what was to be shown before is not worth saying any more.
    pub(crate) fn show(&self, reply: Reply) -> Result<(), HungUp> {
        if let Self::Client(client) = self {
            client.0.state().forget_snapshots();
        }
        self.send(reply)
    }
}

/// Says no more when it is dropped; what was said before still leaves.
pub(crate) struct Sender(Arc<Outbox>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.changed.notify_one();
    }
}

/// What leaves.
pub(crate) struct Receiver(Arc<Outbox>);

#[derive(Default)]
struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// With the bytes of each.
    queue: VecDeque<(Reply, usize)>,
    /// Of all that is in the queue.
    bytes: usize,
    /// Nothing more is said.
    ended: bool,
    /// Too much was unread, or the client is gone.
    hung_up: bool,
}

impl State {
    fn forget_snapshots(&mut self) {
        self.queue.retain(|(unread, _)| !matches!(unread, Reply::Snapshot(_)));
        self.bytes = self.queue.iter().map(|(_, size)| size).sum();
    }
}

/// How many bytes a reply has on the wire.
fn bytes_of(reply: &Reply) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0 += part.len();
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // What can't be written takes no room; who writes it says why.
    let _ = serde_json::to_writer(&mut count, reply);
    count.0
}

/// Both ends of a connection's outbox.
pub(crate) fn outbox() -> (Answers, Receiver) {
    let outbox = Arc::<Outbox>::default();
    (Answers::Client(Arc::new(Sender(Arc::clone(&outbox)))), Receiver(outbox))
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, reply: Reply) -> Result<(), HungUp> {
        let size = bytes_of(&reply);
        let mut state = self.state();
        let unread = state.queue.len();
        let too_large = unread > 0 && state.bytes.saturating_add(size) > MOST_UNREAD_BYTES;
        if unread >= MOST_UNREAD || too_large {
            state.hung_up = true;
            state.queue = VecDeque::new();
        }
        if state.hung_up {
            drop(state);
            self.changed.notify_one();
            return Err(HungUp);
        }
        state.bytes += size;
        state.queue.push_back((reply, size));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }
}

impl Receiver {
    /// The next thing to say; `None`: nothing more is said, or nobody is to hear it.
    pub(crate) async fn next(&self) -> Option<Reply> {
        loop {
            {
                let mut state = self.0.state();
                if state.hung_up {
                    return None;
                }
                if let Some((reply, size)) = state.queue.pop_front() {
                    state.bytes -= size;
                    return Some(reply);
                }
                if state.ended {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.hung_up = true;
        state.queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_core::snapshot::Snapshot;

    use super::*;

    fn truth(exit: u8) -> Reply {
        let nothing = (Vec::new(), Vec::new(), Vec::new());
        let (rows, stores, unfinished) = nothing;
        Reply::Snapshot(Box::new(Snapshot { rows, stores, exit, unfinished }))
    }

    #[tokio::test]
    async fn what_was_said_before_the_end_still_leaves() {
        let (answers, receiver) = outbox();
        answers.send(Reply::Settled).unwrap();
        answers.send(Reply::OpenPage).unwrap();
        drop(answers);
        assert_eq!(receiver.next().await, Some(Reply::Settled));
        assert_eq!(receiver.next().await, Some(Reply::OpenPage));
        assert_eq!(receiver.next().await, None);
    }

    #[tokio::test]
    async fn of_the_whole_truth_only_the_newest_is_kept() {
        let (answers, receiver) = outbox();
        answers.show(truth(1)).unwrap();
        answers.send(Reply::Settled).unwrap();
        for exit in 0..100 {
            answers.show(truth(exit)).unwrap();
        }
        assert_eq!(receiver.next().await, Some(Reply::Settled));
        assert_eq!(receiver.next().await, Some(truth(99)));
        drop(answers);
        assert_eq!(receiver.next().await, None);
    }

    #[tokio::test]
    async fn who_leaves_too_much_unread_is_hung_up_on_and_nothing_is_kept_for_it() {
        let (answers, receiver) = outbox();
        for _ in 0..MOST_UNREAD {
            answers.send(Reply::Settled).unwrap();
        }
        assert_eq!(answers.send(Reply::Settled), Err(HungUp));
        assert_eq!(receiver.next().await, None);
        assert_eq!(receiver.0.state().queue.capacity(), 0);
        assert_eq!(answers.send(Reply::Settled), Err(HungUp));
    }

    #[tokio::test]
    async fn few_replies_that_are_large_together_are_too_much_too_and_a_large_one_alone_is_not() {
        let (answers, receiver) = outbox();
        let long = |bytes| Reply::Page { title: "x".repeat(bytes), good: true, waited: true };
        answers.send(long(MOST_UNREAD_BYTES)).unwrap();
        assert_eq!(receiver.next().await, Some(long(MOST_UNREAD_BYTES)));
        for _ in 0..3 {
            answers.send(long(MOST_UNREAD_BYTES / 4)).unwrap();
        }
        assert_eq!(answers.send(long(MOST_UNREAD_BYTES / 4)), Err(HungUp));
        assert_eq!(receiver.next().await, None);
    }

    #[tokio::test]
    async fn who_waits_hears_what_is_said_later() {
        let (answers, receiver) = outbox();
        let said = async {
            tokio::task::yield_now().await;
            answers.send(Reply::Settled)
        };
        let (heard, said) = tokio::join!(receiver.next(), said);
        assert_eq!((heard, said), (Some(Reply::Settled), Ok(())));
    }
}
