//! Runs the user's own command for news: one start a line, the line on its standard input.
//!
//! It must not hold anything up: the command runs in a task of its own, at most one at a time, and
//! whatever takes too long is killed with all that it started. No shell is involved, and what is
//! handed over is made by the caller, who must not put a secret into it.
//!
//! Read next: `Listener` and `Watcher` in [`driver`](crate::driver), where news come from.

use std::{
    collections::VecDeque,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    sync::Notify,
    task::JoinHandle,
};

use crate::children;

/// How long one run may take, and all that is left to tell when the keeper ends.
pub const LONGEST_RUN: Duration = Duration::from_secs(10);
/// How many lines wait at most; beyond that the oldest go, because the newest are the truth.
pub const LONGEST_QUEUE: usize = 32;

/// Where a complaint about the command goes, in words.
pub type Complain = Box<dyn FnMut(&str) + Send>;

/// The command, and the lines that wait for it. Clones share both.
#[derive(Debug, Clone)]
pub struct OnChange {
    queue: Arc<Queue>,
}

/// The task that runs the command; hands back what is left when the keeper ends.
#[derive(Debug)]
pub struct Runner {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<String>,
    closed: bool,
}

impl OnChange {
    /// Starts the task for `command`, program and arguments; `None` where there is no command.
    ///
    /// A command that fails is complained of once, and again only after it has worked. Must be
    /// called within a tokio runtime.
    pub fn start(command: Vec<String>, complain: Complain) -> Option<(Self, Runner)> {
        if command.is_empty() {
            return None;
        }
        let queue = Arc::new(Queue::default());
        let task = tokio::spawn(work(Arc::clone(&queue), command, complain));
        Some((Self { queue: Arc::clone(&queue) }, Runner { queue, task }))
    }

    /// Queues one line, without its end. Never waits.
    pub fn tell(&self, line: String) {
        let mut waiting = self.queue.lock();
        if waiting.lines.len() >= LONGEST_QUEUE {
            waiting.lines.pop_front();
            tracing::warn!("on_change can't keep up; the oldest news were dropped");
        }
        waiting.lines.push_back(line);
        drop(waiting);
        self.queue.changed.notify_one();
    }
}

impl Runner {
    /// Lets the command hear what is still waiting, for at most [`LONGEST_RUN`].
    pub async fn finish(mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_one();
        if tokio::time::timeout(LONGEST_RUN, &mut self.task).await.is_err() {
            // The command dies with its task.
            self.task.abort();
            let _ = self.task.await;
        }
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line; `None` when it is closed and empty.
    async fn next(&self) -> Option<String> {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(line) = waiting.lines.pop_front() {
                    return Some(line);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

async fn work(queue: Arc<Queue>, command: Vec<String>, mut complain: Complain) {
    let mut complained = false;
    while let Some(line) = queue.next().await {
        match run(&command, line).await {
            Ok(()) => complained = false,
            Err(why) if complained => tracing::warn!(%why, "on_change failed again"),
            Err(why) => {
                complained = true;
                complain(&why);
            }
        }
    }
}

/// One run, killed after [`LONGEST_RUN`]. The error says what went wrong, and neither what was told nor
/// a word of the settings, where a token may stand in the command. What the command prints may hold one
/// too, and our standard error is often a log: it is not kept.
async fn run(command: &[String], line: String) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let failed = |what: String| format!("on_change: the command {what}");
    let unstarted = |error: std::io::Error| failed(format!("can't be started: {error}"));
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    children::set_apart(&mut command).map_err(unstarted)?;
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    let child = command.spawn().map_err(unstarted)?;
    let mut started = Started { child };
    let ended = tokio::time::timeout(LONGEST_RUN, started.hear(line)).await;
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(format!("failed ({status})"))),
        Ok(Err(error)) => Err(failed(format!("can't be waited for: {error}"))),
        Err(_) => {
            started.kill();
            let _ = started.child.wait().await;
            let seconds = LONGEST_RUN.as_secs();
            Err(failed(format!("took longer than {seconds} s and was killed")))
        }
    }
}

/// A command that runs; killed with all that it started where it has not ended when dropped.
struct Started {
    child: Child,
}

impl Started {
    async fn hear(&mut self, mut line: String) -> std::io::Result<std::process::ExitStatus> {
        line.push('\n');
        if let Some(mut stdin) = self.child.stdin.take() {
            // A command that does not read is free not to.
            let _ = stdin.write_all(line.as_bytes()).await;
        }
        self.child.wait().await
    }

    fn kill(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.child.id().and_then(|id| i32::try_from(id).ok())
            && let Some(group) = rustix::process::Pid::from_raw(group)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // `None` once it was waited for: its number may be another's by then.
        if self.child.id().is_some() {
            self.kill();
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    type Said = Arc<Mutex<Vec<String>>>;

    fn start(script: &str, out: &Path) -> (OnChange, Runner, Said) {
        let said = Said::default();
        let heard = Arc::clone(&said);
        let command = ["sh", "-c", script, "sh", out.to_str().unwrap()].map(str::to_owned);
        let complain = Box::new(move |what: &str| heard.lock().unwrap().push(what.to_owned()));
        let (on_change, runner) = OnChange::start(command.into(), complain).unwrap();
        (on_change, runner, said)
    }

    fn said(said: &Said) -> Vec<String> {
        said.lock().unwrap().clone()
    }

    #[test]
    fn without_a_command_nothing_is_started() {
        assert!(OnChange::start(Vec::new(), Box::new(|_| {})).is_none());
    }

    #[tokio::test]
    async fn each_line_is_one_run_in_order_and_the_last_ones_are_told_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let script = r#"echo begin >> "$1"; cat >> "$1"; echo end >> "$1""#;
        let (on_change, runner, complaints) = start(script, &out);
        on_change.tell("one".into());
        on_change.tell("$(two) `two`".into());
        runner.finish().await;
        let told = fs::read_to_string(&out).unwrap();
        assert_eq!(told, "begin\none\nend\nbegin\n$(two) `two`\nend\n");
        assert_eq!(said(&complaints), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_command_that_does_not_read_has_not_failed() {
        let folder = tempfile::tempdir().unwrap();
        let (on_change, runner, complaints) = start("exec true", folder.path());
        on_change.tell("x".repeat(1 << 20));
        runner.finish().await;
        assert_eq!(said(&complaints), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_failure_is_complained_of_once_until_it_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let (on_change, runner, complaints) = start("read line; exit $line", folder.path());
        for line in ["3", "4", "0", "5"] {
            on_change.tell(line.into());
        }
        runner.finish().await;
        let complaints = said(&complaints);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert_eq!(complaints[0], "on_change: the command failed (exit status: 3)");
        assert!(complaints[1].contains("exit status: 5"), "{complaints:?}");
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_told_without_a_word_of_the_settings() {
        let said = Said::default();
        let heard = Arc::clone(&said);
        let complain = Box::new(move |what: &str| heard.lock().unwrap().push(what.to_owned()));
        let command = vec![String::from("/no/such/program --token xoxb-hush")];
        let (on_change, runner) = OnChange::start(command, complain).unwrap();
        on_change.tell("line".into());
        runner.finish().await;
        let complaints = said.lock().unwrap().clone();
        assert!(complaints[0].contains("the command can't be started"), "{complaints:?}");
        assert!(!complaints[0].contains("hush"), "{complaints:?}");
    }

    #[tokio::test]
    async fn only_the_newest_lines_wait() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let (on_change, runner, _) = start(r#"cat >> "$1""#, &out);
        // The task has had no turn yet, so all of them wait.
        for number in 0..=LONGEST_QUEUE {
            on_change.tell(number.to_string());
        }
        runner.finish().await;
        let told = fs::read_to_string(&out).unwrap();
        assert_eq!(told.lines().count(), LONGEST_QUEUE);
        assert_eq!((told.lines().next(), told.lines().last()), (Some("1"), Some("32")));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let script = r#"sleep 600 & echo $! > "$1.new"; mv "$1.new" "$1"; wait"#;
        let (on_change, runner, complaints) = start(script, &out);
        on_change.tell("line".into());
        while !out.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let child: i32 = fs::read_to_string(&out).unwrap().trim().parse().unwrap();
        // From here on time passes as fast as nothing else is to do.
        tokio::time::pause();
        tokio::time::sleep(LONGEST_RUN).await;
        tokio::time::resume();
        runner.finish().await;
        let complaints = said(&complaints);
        assert!(complaints[0].ends_with("took longer than 10 s and was killed"), "{complaints:?}");
        let child = rustix::process::Pid::from_raw(child).unwrap();
        // An orphan that was killed is there until somebody has taken note of its end.
        let stat = || fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
        let runs = || {
            rustix::process::test_kill_process(child).is_ok()
                && !stat().is_ok_and(|stat| stat.contains(") Z "))
        };
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while runs() {
            assert!(std::time::Instant::now() < deadline, "process {child:?} still runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
