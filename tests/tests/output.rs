//! Output that goes wrong stops nothing that matters: a pipe whose reader has ended, a terminal that is
//! gone or stands still, a disk that is full. No program panics over it, and an answer that is in the
//! air is read and saved first.
//!
//! How the lines are queued and counted is tested in `engine/src/output.rs`.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::{
    fs::{File, OpenOptions},
    io::{PipeReader, PipeWriter, Read as _, pipe},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use lamplighter_rehearsal::{Fault, Minted, Rehearsal, Rotation};
use lamplighter_tests::{
    home::{Home, Ran, run},
    keeper::Keeper,
    program::command,
    stage::Stage,
    store::{self, CREDENTIALS},
    terminal,
};
use rustix::{
    pipe::fcntl_setpipe_size,
    process::{Pid, Signal, kill_process},
    termios::{Action, tcflow},
};

/// Long enough for everything that a test does while the answer is under way.
const SLOW: Fault = Fault::Slow { ms: 6_000 };

fn strict() -> lamplighter_rehearsal::Builder {
    Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two servers: `rig`, which is due and whose answer is slow, and `other`, which is good for an hour.
fn stage() -> (Stage, Minted) {
    let mut stage = Stage::new(strict());
    stage.sign_in("other", 3600);
    let minted = stage.sign_in("rig", -1);
    // Both are at one address, so each has an entry of its own name.
    stage.control.inject(SLOW, 1);
    (stage, minted)
}

/// The token was presented, and the answer is under way.
fn presented(stage: &Stage, minted: &Minted) {
    until("the token was presented", || {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    assert_eq!(stage.pair("rig").1, minted.refresh_token, "the answer is still on its way");
}

/// The user signs out of `other`, of which the keeper prints a line.
fn sign_out_of_other(stage: &Stage) {
    let rig = stage.entry("rig");
    let text = serde_json::json!({"mcpOAuth": {stage.key("rig"): rig}});
    store::write(&stage.home, CREDENTIALS, &text.to_string());
}

/// A pipe whose reader has ended.
fn ended() -> PipeWriter {
    pipe().expect("a pipe").1
}

/// A disk that is full.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("Linux has it")
}

/// A small pipe: it is full after a few lines.
fn small() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("a pipe");
    fcntl_setpipe_size(&writer, 4096).expect("a smaller pipe");
    (reader, writer)
}

/// A program that a test started; killed when dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.spawn().expect("started"))
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it runs");
    }

    fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Waits for its end; the exit code, or the signal as a test's failure.
    fn end(mut self) -> Option<i32> {
        let mut status: Option<ExitStatus> = None;
        until("it ends", || {
            status = self.0.try_wait().expect("a child of ours");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Nothing was lost, and no spent token was presented.
fn nothing_was_lost(stage: &Stage) {
    assert!(stage.holds_live_pair("rig"), "the new tokens are where the client reads them");
    stage.nothing_was_broken();
}

/// `keep` with these outputs, and the answer for `rig` in the air.
fn keep_in_the_air(
    args: &[&str],
    out: impl Into<Stdio>,
    err: impl Into<Stdio>,
) -> (Stage, Running, Minted) {
    let (stage, minted) = stage();
    let mut keep = command(&stage.home, args);
    keep.stdout(out).stderr(err);
    let keep = Running::start(keep);
    presented(&stage, &minted);
    (stage, keep, minted)
}

#[test]
fn a_reader_that_ends_is_a_polite_stop_and_the_answer_in_the_air_is_saved_first() {
    for args in [&["keep"][..], &["keep", "--json"], &["-vv", "keep"]] {
        let (mut reader, writer) = pipe().expect("a pipe");
        let (stage, keep, _) = keep_in_the_air(args, writer, Stdio::null());
        // As `head -n1` does.
        let mut byte = [0];
        while reader.read(&mut byte).expect("a line") == 1 && byte != *b"\n" {}
        drop(reader);
        sign_out_of_other(&stage);
        assert_eq!(keep.end(), Some(0), "{args:?}");
        nothing_was_lost(&stage);
    }
}

#[test]
fn a_terminal_that_is_gone_is_a_polite_stop_too() {
    let (ours, theirs) = terminal::ends();
    let again = theirs.try_clone().expect("one more handle");
    let (stage, keep, _) = keep_in_the_air(&["-v", "keep"], theirs, again);
    drop(ours);
    sign_out_of_other(&stage);
    assert_eq!(keep.end(), Some(0));
    nothing_was_lost(&stage);
}

#[test]
fn a_disk_that_is_full_stops_nothing() {
    for args in [&["keep"][..], &["-vv", "keep", "--json"]] {
        let (stage, mut keep, _) = keep_in_the_air(args, full(), full());
        sign_out_of_other(&stage);
        until("the answer is saved", || stage.holds_live_pair("rig"));
        // It goes on: a second renewal, asked for by a command, is its work.
        let ran = stage.run(&["renew", "rig"]).succeeded();
        assert!(ran.err.contains("claude-code/rig: renewed"), "{}", ran.err);
        assert!(keep.runs(), "{args:?}");
        keep.terminate();
        assert_eq!(keep.end(), Some(0), "{args:?}");
        nothing_was_lost(&stage);
    }
}

#[test]
fn a_log_that_nobody_reads_any_more_stops_nothing() {
    for err in [Stdio::from(ended()), Stdio::from(full())] {
        let (stage, mut keep, _) = keep_in_the_air(&["-vv", "keep"], Stdio::null(), err);
        sign_out_of_other(&stage);
        until("the answer is saved", || stage.holds_live_pair("rig"));
        stage.run(&["renew", "rig"]).succeeded();
        assert!(keep.runs());
        keep.terminate();
        assert_eq!(keep.end(), Some(0));
        nothing_was_lost(&stage);
    }
}

/// Asks the keeper for so much that its lines fill a small pipe several times over.
fn ask_for_much(stage: &Stage) {
    for _ in 0..25 {
        stage.run(&["renew", "rig"]).succeeded();
    }
}

#[test]
fn a_pipe_that_nobody_reads_does_not_hold_up_the_keeper() {
    let (stage, _) = Stage::with_rig(strict());
    let (mut reader, writer) = small();
    let mut keep = command(&stage.home, &["-vv", "keep", "--json"]);
    let (quiet, log) = small();
    keep.stdout(writer).stderr(log);
    let keep = Running::start(keep);
    until("it is renewed", || stage.holds_live_pair("rig"));
    ask_for_much(&stage);
    // What was queued comes as soon as somebody reads, and nothing of it is missing.
    drop(quiet);
    let mut said = Vec::new();
    let renewed = |said: &[u8]| String::from_utf8_lossy(said).matches(r#""renewed""#).count();
    let mut some = [0; 1024];
    // The first command may have met the keeper's own renewal, which is its answer then.
    while renewed(&said) < 25 {
        let size = reader.read(&mut some).expect("lines");
        assert!(size > 0, "it ended: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&some[..size]);
    }
    keep.terminate();
    assert_eq!(keep.end(), Some(0));
    nothing_was_lost(&stage);
}

#[test]
fn a_terminal_that_stands_still_does_not_hold_up_the_keeper_or_its_end() {
    let (stage, minted) = Stage::with_rig(strict());
    let (_ours, theirs) = terminal::ends();
    // As Ctrl-S does.
    tcflow(&theirs, Action::OOff).expect("a terminal that stands still");
    let mut keep = command(&stage.home, &["-vv", "keep"]);
    keep.stdout(theirs.try_clone().expect("one more handle")).stderr(theirs);
    let keep = Running::start(keep);
    until("it is renewed", || stage.holds_live_pair("rig"));
    assert_ne!(stage.pair("rig").1, minted.refresh_token);
    ask_for_much(&stage);
    // Asked to end with an answer in the air: it is saved, and nobody at the terminal is waited for.
    let before = stage.pair("rig").1;
    stage.control.inject(SLOW, 1);
    let mut renew = command(&stage.home, &["renew", "rig"]);
    renew.stdout(Stdio::null()).stderr(Stdio::null());
    let renew = Running::start(renew);
    until("the token was presented", || stage.control.newest_pair_of(&before).1 != before);
    keep.terminate();
    assert_eq!(keep.end(), Some(0));
    drop(renew);
    nothing_was_lost(&stage);
}

#[test]
fn an_answer_that_waits_for_its_reader_is_given_up_by_a_signal() {
    let (stage, minted) = Stage::with_rig(strict());
    let (_ours, theirs) = terminal::ends();
    tcflow(&theirs, Action::OOff).expect("a terminal that stands still");
    let mut renew = command(&stage.home, &["renew", "rig"]);
    renew.stdout(theirs).stderr(Stdio::null());
    let mut renew = Running::start(renew);
    until("it is renewed", || stage.pair("rig").1 != minted.refresh_token);
    // Until its engine has ended, the signal is the engine's.
    until("it ends", || {
        let runs = renew.runs();
        if runs {
            renew.terminate();
        }
        !runs
    });
    assert_eq!(renew.end(), Some(1));
    nothing_was_lost(&stage);
}

/// What a short command printed on standard error, and its exit code, while standard output went there.
fn short(home: &Home, args: &[&str], out: impl Into<Stdio>) -> Ran {
    let mut command = command(home, args);
    command.stdout(out).stderr(Stdio::piped());
    let child = command.spawn().expect("started");
    drop(command);
    let output = child.wait_with_output().expect("ended");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
        took: Duration::ZERO,
    }
}

/// Every command that prints its answer and ends.
const SHORT: &[&[&str]] = &[
    &["status"],
    &["status", "--json"],
    &["log"],
    &["log", "--json"],
    &["doctor"],
    &["doctor", "--json"],
    &["renew"],
    &["renew", "--json"],
    &["renew", "rig", "--json"],
    &["check", "rig"],
    &["pause", "rig"],
    &["resume", "rig"],
    &["--help"],
    &["help", "keep"],
    &["--version"],
    &["completions", "bash"],
    &["man"],
];

#[test]
fn a_short_command_whose_reader_has_ended_ends_as_it_would_have() {
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    stage.run(&["renew", "rig"]).succeeded();
    for args in SHORT {
        let ran = short(&stage.home, args, ended());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("lamplighter:"), "{args:?}: {}", ran.err);
    }
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn a_short_command_whose_answer_cannot_be_written_says_so() {
    let mut stage = Stage::new(strict());
    stage.sign_in("rig", 3600);
    stage.run(&["renew", "rig"]).succeeded();
    for args in SHORT {
        let ran = short(&stage.home, args, full());
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
        assert!(ran.err.contains("No space left"), "{args:?}: {}", ran.err);
        // With nothing to complain to, it ends all the same.
        let mut deaf = command(&stage.home, args);
        deaf.stdout(full()).stderr(ended());
        assert_eq!(deaf.status().expect("started").code(), Some(1), "{args:?}");
    }
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn a_renewal_whose_progress_nobody_reads_is_saved() {
    for (out, err) in [
        (Stdio::null(), Stdio::from(ended())),
        (Stdio::null(), Stdio::from(full())),
        (Stdio::from(full()), Stdio::from(ended())),
    ] {
        let (stage, minted) = Stage::with_rig(strict());
        stage.control.inject(SLOW, 1);
        let mut renew = command(&stage.home, &["-vv", "renew", "rig", "--json"]);
        renew.stdout(out).stderr(err);
        let renew = Running::start(renew);
        presented(&stage, &minted);
        assert!(matches!(renew.end(), Some(0 | 1)));
        nothing_was_lost(&stage);
    }
}

#[test]
fn a_renewal_whose_reader_ends_while_its_answer_is_in_the_air_is_saved() {
    let (stage, minted) = stage();
    let (mut reader, writer) = pipe().expect("a pipe");
    let mut renew = command(&stage.home, &["renew", "rig", "--json"]);
    renew.stdout(writer).stderr(Stdio::null());
    let renew = Running::start(renew);
    let mut byte = [0];
    while reader.read(&mut byte).expect("a line") == 1 && byte != *b"\n" {}
    presented(&stage, &minted);
    drop(reader);
    assert_eq!(renew.end(), Some(0));
    nothing_was_lost(&stage);
}

#[test]
fn whoever_listens_to_a_keeper_ends_with_its_reader() {
    let (stage, _) = Stage::with_rig(strict());
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() == 1);
    for args in [&["events"][..], &["events", "--json"], &["status", "--watch"]] {
        let mut listener = command(&stage.home, args);
        listener.stdout(ended()).stderr(Stdio::null());
        let mut listener = Running::start(listener);
        until("it ends", || {
            if listener.runs() {
                stage.run(&["renew", "rig"]).succeeded();
            }
            !listener.runs()
        });
        assert_eq!(listener.end(), Some(0), "{args:?}");
    }
    assert_eq!(keeper.terminate(), Some(0));
    nothing_was_lost(&stage);
}

#[test]
fn a_demo_whose_reader_has_ended_ends_and_leaves_nothing_behind() {
    let home = Home::new();
    for args in [&["demo"][..], &["demo", "--json"]] {
        let ran = short(&home, args, ended());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
    }
    let left = std::fs::read_dir(home.path().with_file_name("tmp")).expect("a folder").count();
    assert_eq!(left, 0);
}

#[test]
fn a_sign_in_whose_reader_ends_is_cancelled_and_leaves_all_as_it_was() {
    for by_keeper in [false, true] {
        let mut stage = Stage::new(strict());
        stage.sign_in("rig", 3600);
        let before = store::read(&stage.home, CREDENTIALS);
        let keeper = by_keeper.then(|| Keeper::start(&stage.home));
        if let Some(keeper) = &keeper {
            keeper.until_reachable(&stage.home);
        }
        let ran = short(&stage.home, &["reconnect", "rig", "--json"], ended());
        assert_eq!(ran.code, Some(10), "{}", ran.err);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        assert_eq!(store::read(&stage.home, CREDENTIALS), before);
        drop(keeper);
    }
}

#[test]
fn what_is_printed_is_whole_for_a_reader_that_takes_its_time() {
    let home = Home::new();
    let whole = run(command(&home, &["completions", "bash"])).succeeded().out;
    let (mut reader, writer) = small();
    let mut slow = command(&home, &["completions", "bash"]);
    slow.stdout(writer).stderr(Stdio::null());
    let slow = Running::start(slow);
    let mut read = String::new();
    reader.read_to_string(&mut read).expect("text");
    assert_eq!(read, whole);
    assert_eq!(slow.end(), Some(0));
}
