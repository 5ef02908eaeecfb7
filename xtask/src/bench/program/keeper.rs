//! A `lamplighter keep` that runs: what it reports, what it uses, and how soon it answers.
//!
//! It must not outlive its value, nor ask the keeper for anything that has an effect.
//! Where to read next: `/proc/PID/stat` and its neighbours in proc(5); `engine/src/socket.rs`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::written::{Bytes, Written};
use crate::town::Home;

/// How often the keeper is asked something.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// An answer that takes longer ends the bench: the keeper hangs.
const LONGEST_ANSWER: Duration = Duration::from_secs(600);
/// What is asked: bring up a window. No desktop is connected in this home, so the loop says no at
/// once. Every other question makes it look at all sign-ins.
const QUESTION: &[u8] = b"\"open_page\"\n";
const HELLO: &[u8] = b"{\"lamplighter\":1}\n";
/// How often it is looked whether all sign-ins have been renewed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The process, which ends with this value.
#[derive(Debug)]
pub(super) struct Keeper {
    child: Child,
    reported: Arc<Mutex<Reported>>,
    socket: PathBuf,
    /// Its standard error.
    log: PathBuf,
}

/// What its lines of events said.
#[derive(Debug, Default)]
struct Reported {
    renewed: u64,
    failed: u64,
    /// When each sign-in was renewed last.
    last: BTreeMap<String, Instant>,
    /// The longest time between two renewals of one sign-in.
    apart: Duration,
}

impl Reported {
    fn add(&mut self, event: &Value, at: Instant) {
        match event["event"].as_str() {
            Some("renewed") if event["by"] == "lamplighter" => {
                self.renewed += 1;
                let grant = event["grant"].as_str().unwrap_or_default().to_owned();
                if let Some(before) = self.last.insert(grant, at) {
                    self.apart = self.apart.max(at.duration_since(before));
                }
            }
            Some("failed") => self.failed += 1,
            _ => {}
        }
    }
}

/// How far every counter was at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) renewed: u64,
    pub(super) failed: u64,
    pub(super) apart: Duration,
    pub(super) cpu: Cpu,
    /// `None` where the system does not let this user see it.
    pub(super) io: Option<Io>,
    pub(super) bytes: Bytes,
}

/// Processor time since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) user: Duration,
    pub(super) system: Duration,
}

/// What the process wrote since it began, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Io {
    /// Handed to write calls, pipes included.
    pub(super) calls: u64,
    /// Sent towards the disk, in whole pages.
    pub(super) disk: u64,
}

/// How long the loop took to answer, shortest first.
#[derive(Debug)]
pub(super) struct Answers(pub(super) Vec<Duration>);

impl Keeper {
    /// Starts it in this home.
    pub(super) fn start(lamplighter: &Path, home: &Home, socket: PathBuf) -> Result<Self> {
        let log = home.path().join("keeper.log");
        let mut command = home.command(lamplighter, &["keep", "--json"]);
        command.stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child = command.spawn()?;
        let events = child.stdout.take();
        let reported = Arc::default();
        let keeper = Self { child, reported: Arc::clone(&reported), socket, log };
        let events = events.context("the keeper has no output")?;
        thread::spawn(move || read_events(events, &reported));
        Ok(keeper)
    }

    /// Waits until `all` sign-ins have been renewed, or for `limit`: how many were, after how long.
    pub(super) fn first_renewals(
        &mut self,
        all: usize,
        limit: Duration,
    ) -> Result<(usize, Duration)> {
        let started = Instant::now();
        loop {
            self.must_run()?;
            let renewed = self.reported.lock().unwrap_or_else(PoisonError::into_inner).last.len();
            // The one that proved the store is renewed again with the others.
            if renewed >= all || started.elapsed() >= limit {
                return Ok((renewed, started.elapsed()));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Every counter now.
    pub(super) fn sample(&mut self, written: &Written) -> Result<Sample> {
        self.must_run()?;
        let bytes = written.so_far()?;
        let io = fs::read_to_string(self.proc("io")).ok().as_deref().and_then(Io::parse);
        let stat = fs::read_to_string(self.proc("stat"))?;
        let cpu = Cpu::parse(&stat, rustix::param::clock_ticks_per_second())
            .context("/proc/PID/stat is not understood")?;
        let reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let Reported { renewed, failed, apart, .. } = *reported;
        Ok(Sample { renewed, failed, apart, cpu, io, bytes })
    }

    /// Asks every 50 ms on one connection, and says how long each answer took.
    pub(super) fn ask_for(&mut self, span: Duration) -> Result<Answers> {
        self.must_run()?;
        let mut ask = UnixStream::connect(&self.socket).context("no keeper at its socket")?;
        ask.set_read_timeout(Some(LONGEST_ANSWER))?;
        let mut answers = BufReader::new(ask.try_clone()?);
        let mut answer = String::new();
        ask.write_all(HELLO)?;
        answers.read_line(&mut answer)?;
        let (started, mut took) = (Instant::now(), Vec::new());
        while started.elapsed() < span {
            let asked = Instant::now();
            ask.write_all(QUESTION)?;
            answer.clear();
            if answers.read_line(&mut answer)? == 0 {
                bail!("the keeper did not understand the question");
            }
            took.push(asked.elapsed());
            thread::sleep(ASK_EVERY.saturating_sub(asked.elapsed()));
        }
        took.sort_unstable();
        Ok(Answers(took))
    }

    /// The most memory that was resident at any time, in bytes.
    pub(super) fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        peak(&status).context("/proc/PID/status has no VmHWM")
    }

    /// Ends it as a person would, shows what it said on standard error, and says how long it took.
    pub(super) fn end(mut self) -> Result<Duration> {
        let asked = Instant::now();
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let status = self.child.wait()?;
        let took = asked.elapsed();
        let said = fs::read_to_string(&self.log)?;
        let lines: Vec<&str> = said.lines().collect();
        if !status.success() || !lines.is_empty() {
            outln!("note: the keeper ended with {status} and said {} lines:", lines.len());
            lines.iter().take(3).for_each(|line| outln!("note:   {line}"));
        }
        Ok(took)
    }

    fn must_run(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("the keeper ended: {status}: {}", fs::read_to_string(&self.log)?.trim());
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It has ended already where all went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Until the process closes its output.
fn read_events(events: ChildStdout, reported: &Mutex<Reported>) {
    for line in BufReader::new(events).lines().map_while(Result::ok) {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        reported.lock().unwrap_or_else(PoisonError::into_inner).add(&event, Instant::now());
    }
}

impl Cpu {
    /// From `/proc/PID/stat`, whose second field is a name that may hold spaces and brackets.
    fn parse(stat: &str, ticks_per_second: u64) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
        let mut next = || {
            let ticks = ticks.next()?.ok()?;
            Some(Duration::from_millis(ticks.checked_mul(1000)?.checked_div(ticks_per_second)?))
        };
        Some(Self { user: next()?, system: next()? })
    }
}

impl Io {
    /// From `/proc/PID/io`.
    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name))?;
            found.trim().parse().ok()
        };
        Some(Self { calls: value("wchar:")?, disk: value("write_bytes:")? })
    }
}

/// From `/proc/PID/status`, which counts in kibibytes.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_that_looks_like_fields() {
        let stat = "7 (a) 1 (b) S 1 7 7 0 -1 4194560 900 0 0 0 12 345 0 0 20 0 1 0 5 6 7";
        let cpu = Cpu::parse(stat, 100).unwrap();
        assert_eq!(cpu.user, Duration::from_millis(120));
        assert_eq!(cpu.system, Duration::from_millis(3_450));
        assert_eq!(Cpu::parse("7 (a) S 1", 100), None);
    }

    #[test]
    fn bytes_that_were_taken_back_are_not_those_that_were_written() {
        let text = "rchar: 1\nwchar: 20\nread_bytes: 3\nwrite_bytes: 40\n\
                    cancelled_write_bytes: 5\n";
        assert_eq!(Io::parse(text), Some(Io { calls: 20, disk: 40 }));
        assert_eq!(Io::parse(""), None);
    }

    #[test]
    fn the_peak_of_memory_is_told_in_bytes() {
        assert_eq!(peak("VmPeak:\t 9 kB\nVmHWM:\t    12 kB\nVmRSS:\t 3 kB\n"), Some(12 * 1024));
        assert_eq!(peak("VmRSS:\t 3 kB\n"), None);
    }

    #[test]
    fn the_longest_time_between_two_renewals_is_of_one_sign_in() {
        let start = Instant::now();
        let mut reported = Reported::default();
        for (grant, second) in [("a", 0), ("b", 9), ("a", 20), ("b", 40), ("a", 41)] {
            let event = json!({"event": "renewed", "grant": grant, "by": "lamplighter"});
            reported.add(&event, start + Duration::from_secs(second));
        }
        reported.add(&json!({"event": "failed", "grant": "a"}), start);
        reported.add(&json!({"event": "renewing", "grant": "a"}), start);
        reported.add(&json!({"event": "renewed", "grant": "a", "by": "client"}), start);
        assert_eq!((reported.renewed, reported.failed), (5, 1));
        assert_eq!(reported.apart, Duration::from_secs(31));
    }
}
