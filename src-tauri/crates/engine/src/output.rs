//! Standard output and standard error, for every program that prints.
//!
//! Each has a thread that writes what was handed to it, so that whoever prints is held up by no reader
//! unless it wants to be, and nothing here panics. It must not decide what a program does without its
//! reader: [`Stream::reader_ended`] says when that happens, and [`stop`](crate::stop) makes it a
//! request to end. Read next: [`sink`](self) for which failures mean that the reader has ended.

mod sink;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use sink::{Gone, Sink};

/// How much text waits for a reader, in bytes.
const ROOM: usize = 1 << 20;

/// How long a program that keeps waits at its end for a reader that stands still.
pub const BRIEFLY: Duration = Duration::from_secs(2);

/// Standard output.
pub fn out() -> &'static Stream {
    static OUT: LazyLock<Stream> = LazyLock::new(|| Stream::over(Sink::stdout(), ROOM, Some(err)));
    &OUT
}

/// Standard error.
pub fn err() -> &'static Stream {
    static ERR: LazyLock<Stream> = LazyLock::new(|| Stream::over(Sink::stderr(), ROOM, Some(out)));
    &ERR
}

/// Where text goes.
pub struct Stream {
    shared: Arc<Shared>,
    is_terminal: bool,
    /// The stream that may be shown by the same terminal.
    beside: Option<fn() -> &'static Self>,
}

/// While this is held, nobody who prints waits: what finds no room is dropped and counted.
#[must_use = "only while it is held does nobody wait"]
pub struct NeverWait<'a>(&'a Stream);

struct Shared {
    state: Mutex<State>,
    /// Text came, was written, or was lost.
    changed: Condvar,
    /// Held by whoever writes.
    sink: Mutex<Sink>,
    ended: watch::Sender<bool>,
    room: usize,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// How many lines are missing in front of what waits.
    missing_before: u64,
    /// How many are missing after it: they found no room, or could not be written.
    missing_after: u64,
    /// Somebody writes what was taken from here.
    is_writing: bool,
    has_thread: bool,
    /// How many hold a [`NeverWait`].
    in_haste: usize,
    /// Whether missing lines are told of in JSON.
    json: bool,
    failure: Option<io::Error>,
}

impl Stream {
    fn over(sink: Sink, room: usize, beside: Option<fn() -> &'static Self>) -> Self {
        let is_terminal = sink.is_terminal();
        let shared = Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            sink: Mutex::new(sink),
            ended: watch::Sender::new(false),
            room,
        };
        Self { shared: Arc::new(shared), is_terminal, beside }
    }

    /// Prints a line.
    pub fn line(&self, line: impl fmt::Display) {
        self.text(&format!("{line}\n"));
    }

    /// Prints a line of JSON. From then on missing lines are told of in JSON too.
    pub fn json(&self, line: &serde_json::Value) {
        self.shared.lock().json = true;
        self.line(line);
    }

    /// Prints text as it is.
    pub fn text(&self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Prints bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) {
        self.let_the_other_speak_first();
        let mut state = self.shared.lock();
        while !state.fits(bytes.len(), self.shared.room) && state.in_haste == 0 && !self.has_ended()
        {
            state = self.shared.wait(state);
        }
        if self.has_ended() {
            return;
        }
        if !state.fits(bytes.len(), self.shared.room) {
            state.missing_after += lines(bytes);
            return;
        }
        state.missing_before += std::mem::take(&mut state.missing_after);
        state.waiting.extend_from_slice(bytes);
        self.shared.changed.notify_all();
        self.shared.make_thread(state);
    }

    /// Prints this where nothing waits to be printed, else nothing: it will be outdated by then. Whether
    /// it was.
    pub fn offer(&self, text: &str) -> bool {
        let idle = self.shared.lock().is_idle();
        if idle {
            self.text(text);
        }
        idle
    }

    /// From now on nobody who prints waits.
    pub fn never_wait(&self) -> NeverWait<'_> {
        self.shared.lock().in_haste += 1;
        // Whoever waits for room goes on.
        self.shared.changed.notify_all();
        NeverWait(self)
    }

    /// Waits until all is written or the reader has ended; at most for so long.
    pub fn flush(&self, patience: Option<Duration>) {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut state = self.shared.lock();
        while !state.is_idle() && !self.has_ended() {
            let Some(deadline) = deadline else {
                state = self.shared.wait(state);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether nobody reads any more what is printed here: a pipe or a terminal is gone.
    pub fn has_ended(&self) -> bool {
        *self.shared.ended.borrow()
    }

    /// Resolves when nobody reads any more. That is seen when something is printed, not before.
    pub async fn reader_ended(&self) {
        let mut ended = self.shared.ended.subscribe();
        // The sender lives as long as this stream.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// The first failure that was not the reader's end: a disk that is full, say.
    pub fn take_failure(&self) -> Option<io::Error> {
        self.shared.lock().failure.take()
    }

    /// On a terminal that shows both streams, lines stand in the order in which they were printed.
    fn let_the_other_speak_first(&self) {
        let Some(beside) = self.beside.filter(|_| self.is_terminal) else { return };
        if beside().is_terminal && self.shared.lock().in_haste == 0 {
            beside().flush(None);
        }
    }
}

impl Drop for NeverWait<'_> {
    fn drop(&mut self) {
        self.0.shared.lock().in_haste -= 1;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread that writes is made with the first text. Where there can be none, this one writes.
    fn make_thread(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.has_thread {
            return;
        }
        let shared = Arc::clone(self);
        let made = thread::Builder::new().name("output".into()).spawn(move || {
            loop {
                let mut state = shared.lock();
                while state.waiting.is_empty() && state.missing_before == 0 {
                    state = shared.wait(state);
                }
                shared.write(state);
            }
        });
        state.has_thread = made.is_ok();
        if made.is_err() {
            self.write(state);
        }
    }

    /// Writes what waits, and notes what came of it.
    fn write(&self, mut state: MutexGuard<'_, State>) {
        let missing = std::mem::take(&mut state.missing_before);
        let text = std::mem::take(&mut state.waiting);
        let notice = notice(missing, state.json);
        state.is_writing = true;
        drop(state);
        let written = {
            let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
            match sink.write(notice.as_bytes()) {
                Ok(()) => sink.write(&text).map_err(|gone| (0, gone)),
                Err(Gone::Text { error, .. }) => Err((missing, Gone::Text { from: 0, error })),
                Err(Gone::Reader) => Err((missing, Gone::Reader)),
            }
        };
        let mut state = self.lock();
        state.is_writing = false;
        match written {
            Ok(()) if state.waiting.is_empty() => {
                state.missing_before = std::mem::take(&mut state.missing_after);
            }
            Ok(()) => {}
            Err((_, Gone::Reader)) => {
                state.waiting.clear();
                self.ended.send_replace(true);
            }
            Err((unsaid, Gone::Text { from, error })) => {
                // They stand in front of whatever was printed meanwhile.
                let lost = unsaid + lines(text.get(from..).unwrap_or_default());
                if state.waiting.is_empty() {
                    state.missing_after += lost;
                } else {
                    state.missing_before += lost;
                }
                state.failure.get_or_insert(error);
            }
        }
        self.changed.notify_all();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.missing_before == 0 && !self.is_writing
    }

    /// A text that is longer than all the room is taken where nothing else waits. After a gap nothing is
    /// taken until all before it is written, so that there is one gap and not many.
    fn fits(&self, length: usize, room: usize) -> bool {
        let gap = self.missing_after > 0;
        self.is_idle() || (!gap && self.waiting.len() + length <= room)
    }
}

/// What stands in place of missing lines.
fn notice(missing: u64, json: bool) -> String {
    match (missing, json) {
        (0, _) => String::new(),
        (_, true) => {
            format!("{}\n", serde_json::json!({"event": "lines_missing", "count": missing}))
        }
        (1, false) => String::from("(1 line is missing here: it could not be printed in time)\n"),
        (_, false) => {
            format!("({missing} lines are missing here: they could not be printed in time)\n")
        }
    }
}

/// How many lines these are; the last need not be whole.
fn lines(text: &[u8]) -> u64 {
    u64::try_from(text.split_inclusive(|byte| *byte == b'\n').count()).unwrap_or(u64::MAX)
}

/// Standard error as a log's writer. It never fails.
#[derive(Debug, Clone, Copy)]
pub struct Log;

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        err().bytes(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
