//! Work that may never end, waited for no longer than it is worth.
//!
//! A file on a mount whose server is gone blocks its reader, and nothing ends that wait but the end of
//! the process. So such work has a thread that can be left behind. It must not leave threads behind
//! without bound, nor ask again while the last question is still open.
//!
//! Read next: `stores::claude_code::surroundings`, which asks most of these questions.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How often a lock that somebody holds is tried again.
const POLL: Duration = Duration::from_millis(5);

/// Does `work` on a thread of its own; `None` where it takes longer than `time`, or no thread can be
/// had. Blocks this thread.
pub(crate) fn within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, told) = mpsc::sync_channel(1);
    let worker = move || {
        // Nobody listens any more after a time-out.
        let _ = tell.send(work());
    };
    thread::Builder::new().name("deadline".into()).spawn(worker).ok()?;
    told.recv_timeout(time).ok()
}

/// Takes a lock whose holder may never let go; `None` after `time`.
pub(crate) fn lock_within<T>(mutex: &Mutex<T>, time: Duration) -> Option<MutexGuard<'_, T>> {
    let started = Instant::now();
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if started.elapsed() >= time => return None,
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
        }
    }
}

/// How long questions are waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// All the questions of one round together.
    pub round: Duration,
    /// The least that a question gets once its round has used that up: enough for an answer that is
    /// at hand.
    pub least: Duration,
    /// How long a question that was not answered in time is not asked again.
    pub backoff: Duration,
    /// How many threads may be left behind at once.
    pub left_behind: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            round: Duration::from_secs(2),
            least: Duration::from_millis(50),
            backoff: Duration::from_secs(60),
            left_behind: 64,
        }
    }
}

/// One question and its last answer.
#[derive(Debug)]
pub(crate) struct Question<T> {
    last: Mutex<Option<Arc<T>>>,
    /// It was asked, and nobody has answered yet.
    open: AtomicBool,
    not_before: Mutex<Option<Instant>>,
}

impl<T> Default for Question<T> {
    fn default() -> Self {
        Self { last: Mutex::default(), open: AtomicBool::new(false), not_before: Mutex::default() }
    }
}

impl<T> Question<T> {
    /// Whether its last answer is still awaited.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn last(&self) -> Option<Arc<T>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answered(&self, answer: Arc<T>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.open.store(false, Ordering::Release);
    }

    fn may_be_asked(&self) -> bool {
        let not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        !self.is_open() && not_before.is_none_or(|at| Instant::now() >= at)
    }

    fn put_off(&self, backoff: Duration) {
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = Instant::now().checked_add(backoff);
    }
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// Answered in time.
    Now(Arc<T>),
    /// Not answered in time, or not asked for that reason: the last answer there was.
    Silent(Option<Arc<T>>),
}

impl<T> Answer<T> {
    /// The newest answer there is.
    pub(crate) fn last(self) -> Option<Arc<T>> {
        match self {
            Self::Now(answer) => Some(answer),
            Self::Silent(last) => last,
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Called, on a thread that was left behind, when an answer has come too late for its round.
pub(crate) type WhenLate = Arc<dyn Fn() + Send + Sync>;

/// Asks questions one after the other, on a thread that is left behind where it does not come back.
pub(crate) struct Asker {
    limits: Limits,
    worker: Mutex<Option<mpsc::Sender<Job>>>,
    left_behind: Arc<AtomicUsize>,
    when_late: Arc<Mutex<Option<WhenLate>>>,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Default for Asker {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Asker {
    pub(crate) fn new(limits: Limits) -> Self {
        let (worker, left_behind, when_late) = Default::default();
        Self { limits, worker, left_behind, when_late }
    }

    /// From now on this is told of every answer that comes too late.
    pub(crate) fn tell_when_late(&self, tell: WhenLate) {
        *self.when_late.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
    }

    /// Begins a round of questions.
    pub(crate) fn round(&self) -> Round<'_> {
        Round { asker: self, used: Mutex::default() }
    }

    /// How many threads are left behind now.
    #[cfg(test)]
    pub(crate) fn left_behind(&self) -> usize {
        self.left_behind.load(Ordering::Acquire)
    }

    fn hand_over(&self, job: Job) -> bool {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match worker.as_ref() {
            Some(there) => there.send(job),
            None => Err(mpsc::SendError(job)),
        };
        let Err(mpsc::SendError(job)) = sent else { return true };
        let (jobs, inbox) = mpsc::channel::<Job>();
        let works = move || inbox.into_iter().for_each(|job| job());
        if thread::Builder::new().name("reader".into()).spawn(works).is_err() {
            *worker = None;
            return false;
        }
        let handed = jobs.send(job).is_ok();
        *worker = Some(jobs);
        handed
    }

    /// The worker does not come back: the next question gets another one.
    fn leave_behind(&self) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Questions that share one deadline.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    asker: &'a Asker,
    used: Mutex<Duration>,
}

impl Round<'_> {
    /// Asks, unless the last time it was asked is still open or not long ago.
    pub(crate) fn ask<T: Send + Sync + 'static>(
        &self,
        question: &Arc<Question<T>>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let asker = self.asker;
        let crowded = asker.left_behind.load(Ordering::Acquire) >= asker.limits.left_behind;
        if crowded || !question.may_be_asked() {
            return Answer::Silent(question.last());
        }
        question.open.store(true, Ordering::Release);
        let (tell, told) = mpsc::sync_channel(1);
        let late = Arc::new(Mutex::new(None::<Arc<AtomicUsize>>));
        let (answers, was_late) = (Arc::clone(question), Arc::clone(&late));
        let when_late = Arc::clone(&asker.when_late);
        let job = Box::new(move || {
            let answer = Arc::new(work());
            // Kept also where it comes too late: the next round finds it.
            answers.answered(Arc::clone(&answer));
            let late = was_late.lock().unwrap_or_else(PoisonError::into_inner).take();
            let _ = tell.send(answer);
            let Some(left_behind) = late else { return };
            left_behind.fetch_sub(1, Ordering::AcqRel);
            let tell = when_late.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(tell) = tell {
                tell();
            }
        });
        if !asker.hand_over(job) {
            question.open.store(false, Ordering::Release);
            return Answer::Silent(question.last());
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let time = asker.limits.round.saturating_sub(*used).max(asker.limits.least);
        let started = Instant::now();
        let answered = told.recv_timeout(time);
        *used += started.elapsed();
        drop(used);
        if let Ok(answer) = answered {
            return Answer::Now(answer);
        }
        let mut late = late.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have come at the very last moment.
        if let Ok(answer) = told.try_recv() {
            return Answer::Now(answer);
        }
        if question.is_open() {
            asker.left_behind.fetch_add(1, Ordering::AcqRel);
            *late = Some(Arc::clone(&asker.left_behind));
        }
        drop(late);
        question.put_off(asker.limits.backoff);
        asker.leave_behind();
        Answer::Silent(question.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Limits = Limits {
        round: Duration::from_millis(50),
        least: Duration::from_millis(5),
        backoff: Duration::ZERO,
        left_behind: 2,
    };

    /// A question whose answer comes when it is let, and the means to let it.
    fn held() -> (impl FnOnce() -> u32 + Send + 'static, mpsc::Sender<u32>) {
        let (let_go, gate) = mpsc::channel();
        (move || gate.recv().unwrap_or(0), let_go)
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_hangs_is_left_behind_and_what_was_known_stays() {
        let asker = Asker::new(QUICK);
        let question = Arc::new(Question::default());
        assert_eq!(asker.round().ask(&question, || 7), Answer::Now(Arc::new(7)));
        let (hangs, let_go) = held();
        assert_eq!(asker.round().ask(&question, hangs), Answer::Silent(Some(Arc::new(7))));
        assert_eq!(asker.left_behind(), 1);
        // Others are answered meanwhile, and this one is not asked again while it is open.
        let other = Arc::new(Question::default());
        assert_eq!(asker.round().ask(&other, || 1), Answer::Now(Arc::new(1)));
        let again = asker.round().ask(&question, || unreachable!("it is still open"));
        assert_eq!(again, Answer::Silent(Some(Arc::new(7))));
        let_go.send(8).unwrap();
        until("the thread is back", || asker.left_behind() == 0);
        assert_eq!(question.last(), Some(Arc::new(8)), "an answer that is late is an answer");
        assert_eq!(asker.round().ask(&question, || 9), Answer::Now(Arc::new(9)));
    }

    #[test]
    fn a_round_with_many_that_hang_ends_all_the_same_and_no_crowd_is_left_behind() {
        let asker = Asker::new(QUICK);
        let round = asker.round();
        let mut gates = Vec::new();
        for _ in 0..10 {
            let (hangs, let_go) = held();
            gates.push(let_go);
            assert_eq!(round.ask(&Arc::new(Question::default()), hangs), Answer::Silent(None));
        }
        assert_eq!(asker.left_behind(), 2);
        drop(gates);
        until("both are back", || asker.left_behind() == 0);
        assert_eq!(round.ask(&Arc::new(Question::default()), || 3), Answer::Now(Arc::new(3)));
    }

    #[test]
    fn what_hung_is_not_asked_again_at_once() {
        let asker = Asker::new(Limits { backoff: Duration::from_secs(3600), ..QUICK });
        let question = Arc::new(Question::default());
        let (hangs, let_go) = held();
        assert_eq!(asker.round().ask(&question, hangs), Answer::Silent(None));
        let_go.send(8).unwrap();
        until("it is answered", || !question.is_open());
        let again = asker.round().ask(&question, || unreachable!("it hung a moment ago"));
        assert_eq!(again, Answer::Silent(Some(Arc::new(8))));
    }

    #[test]
    fn an_answer_that_comes_too_late_is_told_and_one_in_time_is_not() {
        let asker = Asker::new(QUICK);
        let (tell, told) = mpsc::channel();
        asker.tell_when_late(Arc::new(move || tell.send(()).unwrap()));
        let question = Arc::new(Question::default());
        assert_eq!(asker.round().ask(&question, || 7), Answer::Now(Arc::new(7)));
        let (hangs, let_go) = held();
        assert_eq!(asker.round().ask(&question, hangs), Answer::Silent(Some(Arc::new(7))));
        assert!(told.try_recv().is_err());
        let_go.send(8).unwrap();
        told.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(question.last(), Some(Arc::new(8)), "who looks now finds it");
    }

    #[test]
    fn a_lock_whose_holder_hangs_is_given_up() {
        let mutex = Mutex::new(());
        let held = mutex.lock().unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| lock_within(&mutex, Duration::from_millis(10)).is_none());
            assert!(waits.join().unwrap());
        });
        drop(held);
        assert!(lock_within(&mutex, Duration::ZERO).is_some());
    }

    #[test]
    fn work_that_hangs_is_waited_for_no_longer_than_its_time() {
        let (hangs, let_go) = held();
        assert_eq!(within(Duration::from_millis(10), hangs), None);
        drop(let_go);
        assert_eq!(within(Duration::from_secs(30), || 4), Some(4));
    }
}
