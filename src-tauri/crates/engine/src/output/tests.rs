use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};

use super::{
    sink::{End, Sink},
    *,
};

/// A reader that takes one write for each permission that it is given, and remembers what came.
struct Reader {
    read: Arc<Mutex<Vec<u8>>>,
    began: Sender<()>,
    may: Receiver<io::Result<usize>>,
}

impl io::Write for Reader {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _ = self.began.send(());
        let most = self.may.recv().unwrap_or(Ok(usize::MAX))?;
        let taken = text.len().min(most);
        self.read.lock().unwrap().extend_from_slice(&text[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream with so much room, and the other end of it.
struct Pair {
    stream: Stream,
    read: Arc<Mutex<Vec<u8>>>,
    began: Receiver<()>,
    /// Dropped, everything is taken.
    allow: Option<Sender<io::Result<usize>>>,
}

impl Pair {
    fn new(end: End, room: usize) -> Self {
        let read = Arc::new(Mutex::new(Vec::new()));
        let ((began, has_begun), (allow, may)) = (channel(), channel());
        let reader = Reader { read: Arc::clone(&read), began, may };
        let stream = Stream::over(Sink::new(Box::new(reader), end), room, None);
        Self { stream, read, began: has_begun, allow: Some(allow) }
    }

    fn allow(&self, what: io::Result<usize>) {
        self.allow.as_ref().unwrap().send(what).unwrap();
    }

    fn open(&mut self) {
        self.allow = None;
    }

    fn read(&self) -> String {
        self.stream.flush(None);
        String::from_utf8(self.read.lock().unwrap().clone()).unwrap()
    }
}

fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

#[cfg(unix)]
fn hung_up() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

#[test]
fn lines_come_in_order_however_little_the_reader_takes_at_once() {
    let mut pair = Pair::new(End::Reader, 1 << 10);
    for number in 0..10 {
        pair.stream.line(number);
    }
    for _ in 0..3 {
        pair.allow(Ok(1));
    }
    pair.open();
    assert_eq!(pair.read(), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

#[test]
fn who_never_waits_is_not_held_up_and_what_found_no_room_is_counted_in_its_place() {
    let mut pair = Pair::new(End::Reader, 6);
    let hurry = pair.stream.never_wait();
    pair.stream.line("first");
    pair.began.recv().unwrap();
    // "first" is being written, and six bytes may wait; after the gap nothing is taken for now.
    for line in ["2", "3", "4", "five", "6", "7"] {
        pair.stream.line(line);
    }
    drop(hurry);
    pair.open();
    pair.stream.flush(None);
    pair.stream.line("last");
    let read = pair.read();
    assert_eq!(
        read,
        "first\n2\n3\n4\n(3 lines are missing here: they could not be printed in time)\nlast\n",
        "{read}"
    );
}

#[test]
fn scripts_are_told_of_missing_lines_in_json() {
    let mut pair = Pair::new(End::Reader, 4);
    let hurry = pair.stream.never_wait();
    pair.stream.json(&serde_json::json!({"a": 1}));
    pair.began.recv().unwrap();
    pair.stream.json(&serde_json::json!({"b": 2}));
    drop(hurry);
    pair.open();
    assert_eq!(pair.read(), "{\"a\":1}\n{\"event\":\"lines_missing\",\"count\":1}\n");
}

#[test]
fn who_may_wait_loses_nothing() {
    let mut pair = Pair::new(End::Reader, 4);
    pair.stream.line("first");
    pair.began.recv().unwrap();
    std::thread::scope(|scope| {
        let printer = scope.spawn(|| {
            for number in 0..100 {
                pair.stream.line(number);
            }
        });
        for _ in 0..6 {
            pair.allow.as_ref().unwrap().send(Ok(1)).unwrap();
        }
        // All that follows is taken as it comes.
        for _ in 0..1000 {
            pair.allow.as_ref().unwrap().send(Ok(usize::MAX)).unwrap();
        }
        printer.join().unwrap();
    });
    pair.open();
    assert_eq!(pair.read().lines().count(), 101);
}

#[test]
fn a_reader_that_ended_is_seen_by_whoever_waits_for_that() {
    let pair = Pair::new(End::Reader, 1 << 10);
    pair.allow(Err(broken()));
    pair.stream.line("nobody reads this");
    pair.stream.flush(None);
    assert!(pair.stream.has_ended());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(pair.stream.reader_ended());
    pair.stream.line("nor this");
    pair.stream.flush(None);
    assert!(pair.stream.take_failure().is_none(), "that is no failure");
}

#[test]
#[cfg(unix)]
fn a_terminal_that_is_gone_is_a_reader_that_ended_and_a_broken_disk_is_not() {
    for (end, ended) in [(End::Terminal, true), (End::Reader, false)] {
        let pair = Pair::new(end, 1 << 10);
        pair.allow(Err(hung_up()));
        pair.stream.line("gone");
        pair.stream.flush(None);
        assert_eq!(pair.stream.has_ended(), ended, "{end:?}");
    }
}

#[test]
fn the_systems_log_that_is_started_anew_ends_nobody() {
    let mut pair = Pair::new(End::SystemLog, 1 << 10);
    pair.allow(Err(broken()));
    pair.stream.line("lost");
    pair.stream.flush(None);
    assert!(!pair.stream.has_ended());
    pair.open();
    pair.stream.line("kept");
    assert_eq!(pair.read(), "(1 line is missing here: it could not be printed in time)\nkept\n");
}

#[test]
fn a_full_disk_loses_lines_and_cuts_none_in_two_for_the_next() {
    let mut pair = Pair::new(End::Reader, 1 << 10);
    pair.allow(Ok(3));
    pair.allow(Err(io::ErrorKind::StorageFull.into()));
    pair.stream.line("half of it");
    pair.stream.flush(None);
    assert!(!pair.stream.has_ended());
    let failure = pair.stream.take_failure().unwrap();
    assert_eq!(failure.kind(), io::ErrorKind::StorageFull);
    pair.open();
    pair.stream.line("whole");
    assert_eq!(
        pair.read(),
        "hal\n(1 line is missing here: it could not be printed in time)\nwhole\n"
    );
}

#[test]
fn a_descriptor_that_somebody_made_non_blocking_is_waited_for() {
    let mut pair = Pair::new(End::Terminal, 1 << 10);
    pair.allow(Err(io::ErrorKind::WouldBlock.into()));
    pair.allow(Err(io::ErrorKind::Interrupted.into()));
    pair.open();
    pair.stream.line("there");
    assert_eq!(pair.read(), "there\n");
}

#[test]
fn a_reader_that_stands_still_is_waited_for_only_so_long() {
    let mut pair = Pair::new(End::Reader, 1 << 10);
    pair.stream.line("stuck");
    pair.began.recv().unwrap();
    pair.stream.flush(Some(Duration::from_millis(1)));
    assert_eq!(*pair.read.lock().unwrap(), b"");
    // A picture that will be outdated is not queued behind it.
    assert!(!pair.stream.offer("outdated\n"));
    pair.open();
    assert_eq!(pair.read(), "stuck\n");
}
