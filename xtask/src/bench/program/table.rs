//! The figures of every size, side by side.
//!
//! It must not judge them. Where to read next: `program`.

use std::time::Duration;

use super::keeper::Io;
use super::written::{self, Count};
use super::{Column, Span};

/// An answer that a person would notice.
const LATE: Duration = Duration::from_millis(100);
const KIB: f64 = 1024.0;
const WIDTH: usize = 12;

/// Prints the table, and how it was made.
pub(super) fn print(columns: &[Column], span: Span) {
    let rows = rows(span);
    let longest = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or_default();
    outln!("");
    for (label, figure) in rows {
        let figures = columns.iter().map(|column| format!("{:>WIDTH$}", figure(column)));
        outln!("{label:<longest$}{}", figures.collect::<String>());
    }
    outln!(
        "\nstate.json, journal and store: replacements seen by inotify, each with the size it had \
         right then;\nhistory: its growth. Write calls: wchar of /proc/PID/io, which has pipes and \
         some HTTP in it too.\nDisk: its write_bytes, in whole pages, without what the file system \
         adds; 0 where the home lies in memory.\nA stall is the longest wait for an answer, so up \
         to 50 ms too short. \"-\": this system does not say."
    );
    for column in columns.iter().filter(|column| column.end.bytes.incomplete) {
        let sign_ins = column.sign_ins;
        outln!("note: inotify dropped events with {sign_ins} sign-ins: bytes are too low");
    }
}

type Row = (String, Box<dyn Fn(&Column) -> String>);

fn rows(span: Span) -> Vec<Row> {
    let life = span.life;
    let mut rows: Vec<Row> = Vec::new();
    let mut row = |label: String, figure: fn(&Column) -> String| {
        rows.push((label, Box::new(figure)));
    };
    row("sign-ins".into(), |it| count(it.sign_ins.into()));
    row("each renewed once after, s".into(), first);
    row(format!("renewals that are due in {life} s, about"), |it| {
        count(u64::from(it.sign_ins) * 2)
    });
    row(format!("renewals in {life} s, not asked"), |it| count(it.renewed()));
    row(format!("renewals in {life} s, asked"), |it| count(it.end.renewed - it.after.renewed));
    row("renewals that failed, whole run".into(), |it| count(it.end.failed));
    row("one sign-in's renewals at most apart, s".into(), |it| number(it.end.apart.as_secs_f64()));
    row("processor time a renewal, ms".into(), |it| it.milliseconds(|cpu| cpu.user + cpu.system));
    row("  of it in the system, ms".into(), |it| it.milliseconds(|cpu| cpu.system));
    row("peak memory (VmHWM), MiB".into(), |it| number(float(it.peak) / KIB / KIB));
    row("KiB a renewal: state.json".into(), |it| it.kib(written::STATE));
    row("               journal".into(), |it| it.kib(written::JOURNAL));
    row("               journal.reserve".into(), |it| it.kib(written::RESERVE));
    row("               history".into(), |it| it.kib(written::HISTORY));
    row("               the client's store".into(), |it| it.kib(written::STORE));
    row("               all write calls".into(), |it| it.io(|io| io.calls));
    row("               to the disk".into(), |it| it.io(|io| io.disk));
    row("writes a renewal: state.json".into(), |it| it.writes(written::STATE));
    row("                  journal".into(), |it| it.writes(written::JOURNAL));
    row("                  the client's store".into(), |it| it.writes(written::STORE));
    row("answer of the loop, median, ms".into(), |it| {
        let all = &it.answers.0;
        milliseconds(all.get(all.len() / 2))
    });
    row("longest stall of the loop, ms".into(), |it| milliseconds(it.answers.0.last()));
    row("answers after more than 100 ms, of".into(), late);
    row("end after SIGTERM, s".into(), |it| number(it.ending.as_secs_f64()));
    row("load average at the end".into(), |it| it.load.clone());
    rows
}

impl Column {
    /// Renewals while it was left alone.
    fn renewed(&self) -> u64 {
        self.after.renewed - self.before.renewed
    }

    /// So much for each of these renewals.
    fn per_renewal(&self, all: f64) -> String {
        match self.renewed() {
            0 => "-".into(),
            renewed => number(all / float(renewed)),
        }
    }

    fn milliseconds(&self, of: impl Fn(&super::keeper::Cpu) -> Duration) -> String {
        let used = of(&self.after.cpu).saturating_sub(of(&self.before.cpu));
        self.per_renewal(used.as_secs_f64() * 1000.0)
    }

    fn counted(&self, file: &str, of: impl Fn(Count) -> u64) -> f64 {
        float(of(self.after.bytes.of(file)).saturating_sub(of(self.before.bytes.of(file))))
    }

    fn kib(&self, file: &str) -> String {
        self.per_renewal(self.counted(file, |count| count.bytes) / KIB)
    }

    fn writes(&self, file: &str) -> String {
        self.per_renewal(self.counted(file, |count| count.times))
    }

    fn io(&self, of: impl Fn(&Io) -> u64) -> String {
        let both = self.before.io.as_ref().zip(self.after.io.as_ref());
        both.map_or("-".into(), |(before, after)| {
            self.per_renewal(float(of(after).saturating_sub(of(before))) / KIB)
        })
    }
}

fn first(column: &Column) -> String {
    let (renewed, after) = column.first;
    let after = number(after.as_secs_f64());
    if renewed == usize::try_from(column.sign_ins).unwrap_or_default() {
        after
    } else {
        format!("{renewed} in {after}")
    }
}

fn late(column: &Column) -> String {
    let all = &column.answers.0;
    let late = all.iter().filter(|answer| **answer > LATE).count();
    format!("{late}/{}", all.len())
}

fn milliseconds(duration: Option<&Duration>) -> String {
    duration.map_or("-".into(), |it| number(it.as_secs_f64() * 1000.0))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}

/// Three digits, or all before the point.
fn number(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else if value < 100.0 {
        format!("{value:.1}")
    } else {
        thousands(&format!("{value:.0}"))
    }
}

fn count(value: u64) -> String {
    thousands(&value.to_string())
}

fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_or_all_before_the_point() {
        let shown = [0.0, 1.234, 12.34, 123.4, 1_234.5, 1_234_567.0].map(number);
        assert_eq!(shown, ["0.00", "1.23", "12.3", "123", "1,234", "1,234,567"]);
        assert_eq!((count(0), count(1_000)), ("0".into(), "1,000".into()));
    }
}
