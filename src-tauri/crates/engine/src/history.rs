//! What happened to each grant and who did it: Lamplighter or the client.
//!
//! JSON lines, newest last, for the user alone; thirty days or eight megabytes of them. It holds no
//! secret, and losing it loses nothing but the story: its faults stop no renewal.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use lamplighter_core::{
    facts::Renewer,
    ids::{GrantId, StoreId},
    keeper::Event,
    text::{self, LONGEST_SENTENCE},
    time::{Millis, Wall},
};
use serde::{Deserialize, Serialize};

use crate::files;

/// How far back it goes.
const DAYS_KEPT: u64 = 30;

/// How large it may grow. When it has, the newer half stays, so that it is not rewritten every time.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When, in milliseconds since 1970.
    pub at: Wall,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What is worth a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Happening {
    /// New tokens are in the store.
    Renewed {
        /// The grant.
        grant: GrantId,
        /// Who renewed it.
        by: Renewer,
        /// When the access token ends, if known.
        expires_at: Option<Wall>,
    },
    /// A renewal did not succeed this time.
    Failed {
        /// The grant.
        grant: GrantId,
        /// A stable code.
        code: String,
        /// In words.
        why: String,
    },
    /// The client's stale "needs auth" was withdrawn.
    VerdictWithdrawn {
        /// The store.
        store: StoreId,
        /// The server's name there.
        server: String,
    },
    /// The client wrote an old copy back and the new tokens were put there again.
    Restored {
        /// The grant.
        grant: GrantId,
    },
    /// A person signed in through Lamplighter.
    SignedIn {
        /// The grant.
        grant: GrantId,
    },
    /// A sign-in through Lamplighter ended without tokens.
    SignInFailed {
        /// The grant.
        grant: GrantId,
        /// A stable code.
        code: String,
        /// In words.
        why: String,
    },
    /// The user signed out.
    SignedOut {
        /// The grant.
        grant: GrantId,
    },
}

impl Happening {
    /// What of an event is worth a line.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Renewed { grant, by, expires_at } => {
                Some(Self::Renewed { grant: grant.clone(), by: *by, expires_at: *expires_at })
            }
            Event::Failed { grant, code, why, next: _ } => {
                Some(Self::Failed { grant: grant.clone(), code: code.clone(), why: why.clone() })
            }
            Event::VerdictWithdrawn { store, server } => {
                Some(Self::VerdictWithdrawn { store: store.clone(), server: server.clone() })
            }
            Event::Restored { grant } => Some(Self::Restored { grant: grant.clone() }),
            Event::SignedOut { grant } => Some(Self::SignedOut { grant: grant.clone() }),
            Event::SignedIn { grant, .. } => Some(Self::SignedIn { grant: grant.clone() }),
            Event::SignInFailed { grant, code, why } => Some(Self::SignInFailed {
                grant: grant.clone(),
                code: code.clone(),
                why: why.clone(),
            }),
            Event::Waiting { .. }
            | Event::Renewing { .. }
            | Event::SigningIn { .. }
            | Event::Unchanged { .. }
            | Event::Checked { .. }
            | Event::Reviewed { .. }
            | Event::Revocation { .. }
            | Event::SignOutFailed { .. }
            | Event::Notice(_)
            | Event::NoticeWithdrawn { .. } => None,
        }
    }

    /// The same for people.
    fn harmless(mut self) -> Self {
        let sentence = |text: &mut String| *text = text::harmless(text, LONGEST_SENTENCE);
        match &mut self {
            Self::Failed { grant, code, why } | Self::SignInFailed { grant, code, why } => {
                [&mut grant.0, code, why].into_iter().for_each(sentence);
            }
            Self::VerdictWithdrawn { store, server } => {
                [&mut store.0, server].into_iter().for_each(sentence);
            }
            Self::Renewed { grant, .. }
            | Self::Restored { grant }
            | Self::SignedIn { grant }
            | Self::SignedOut { grant } => sentence(&mut grant.0),
        }
        self
    }

    /// The grant it is about; a verdict belongs to a server's name instead.
    pub const fn grant(&self) -> Option<&GrantId> {
        match self {
            Self::Renewed { grant, .. }
            | Self::Failed { grant, .. }
            | Self::Restored { grant }
            | Self::SignedIn { grant }
            | Self::SignInFailed { grant, .. }
            | Self::SignedOut { grant } => Some(grant),
            Self::VerdictWithdrawn { .. } => None,
        }
    }
}

/// The file, open for more.
#[derive(Debug)]
pub struct History {
    place: PathBuf,
    max_bytes: u64,
}

impl History {
    /// Takes the file up and drops what is too old or too much.
    pub fn open(place: &Path, now: Wall) -> io::Result<Self> {
        let history = Self { place: place.into(), max_bytes: MAX_BYTES };
        history.prune(now)?;
        Ok(history)
    }

    /// Adds a line if the event is worth one.
    pub fn record(&self, event: &Event, now: Wall) -> io::Result<()> {
        let Some(what) = Happening::of(event) else { return Ok(()) };
        let mut line = serde_json::to_vec(&Line { at: now, what })?;
        line.push(b'\n');
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.place)?;
        if is_cut_off(&mut file)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        if file.metadata()?.len() > self.max_bytes {
            self.prune(now)?;
        }
        Ok(())
    }

    fn prune(&self, now: Wall) -> io::Result<()> {
        let size = match fs::metadata(&self.place) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let oldest = now - Millis::hours(24 * DAYS_KEPT);
        let room = if size > self.max_bytes { self.max_bytes / 2 } else { u64::MAX };
        let lines = lines(&self.place)?;
        let mut kept = Vec::new();
        let mut bytes = 0;
        for (line, text) in lines.iter().rev().filter(|(line, _)| line.at >= oldest) {
            bytes += text.len() as u64 + 1;
            if bytes > room {
                break;
            }
            kept.push((line, text));
        }
        if bytes == size {
            return Ok(());
        }
        let mut content = Vec::new();
        for (_, text) in kept.into_iter().rev() {
            content.extend_from_slice(text.as_bytes());
            content.push(b'\n');
        }
        files::replace(&self.place, &content)
    }
}

/// The newest `count` lines, oldest first; about the grants of these names, or about all. Earlier versions
/// wrote what others named as it came: it is made harmless here.
pub fn last(
    place: &Path,
    about: Option<&BTreeSet<GrantId>>,
    count: usize,
) -> io::Result<Vec<Line>> {
    let is_about = |line: &Line, names: &BTreeSet<_>| {
        line.what.grant().is_some_and(|grant| names.contains(grant))
    };
    let wanted = |line: &Line| about.is_none_or(|names| is_about(line, names));
    let lines = lines(place)?.into_iter().rev().map(|(line, _)| line).filter(wanted).take(count);
    let mut found: Vec<Line> =
        lines.map(|line| Line { what: line.what.harmless(), ..line }).collect();
    found.reverse();
    Ok(found)
}

/// Every line that can be read, with its text. A line that a crash cut off is passed over.
fn lines(place: &Path) -> io::Result<Vec<(Line, String)>> {
    let file = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for text in BufReader::new(file).split(b'\n') {
        if let Ok(text) = String::from_utf8(text?)
            && let Ok(line) = serde_json::from_str(&text)
        {
            found.push((line, text));
        }
    }
    Ok(found)
}

/// Whether the last line has no end.
fn is_cut_off(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut end = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut end)?;
    Ok(end != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_767_323_045_678);

    fn restored(grant: &str) -> Event {
        Event::Restored { grant: GrantId::from(grant) }
    }

    fn place(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("history.jsonl")
    }

    fn grants(lines: &[Line]) -> Vec<&str> {
        lines.iter().filter_map(|line| line.what.grant()).map(GrantId::as_str).collect()
    }

    #[test]
    fn what_happened_is_read_back_per_grant() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&place(&folder), NOW).unwrap();
        let slack = GrantId::from("claude-code/slack");
        let renewed = Event::Renewed {
            grant: slack.clone(),
            by: Renewer::Client,
            expires_at: Some(NOW + Millis::hours(12)),
        };
        let failed = Event::Failed {
            grant: slack.clone(),
            code: "server_unreachable".into(),
            why: "Slack could not be reached".into(),
            next: None,
        };
        let withdrawn =
            Event::VerdictWithdrawn { store: StoreId::from("claude-code"), server: "slack".into() };
        for event in [&failed, &restored("claude-code/notion"), &renewed, &withdrawn] {
            history.record(event, NOW).unwrap();
        }
        let about = BTreeSet::from([slack]);
        let found = last(&place(&folder), Some(&about), 5).unwrap();
        let expected: Vec<Line> = [failed, renewed]
            .iter()
            .map(|event| Line { at: NOW, what: Happening::of(event).unwrap() })
            .collect();
        assert_eq!(found, expected);
        assert_eq!(last(&place(&folder), None, 10).unwrap().len(), 4);
        assert_eq!(last(&place(&folder), Some(&about), 1).unwrap(), expected[1..]);
    }

    #[test]
    fn what_an_earlier_version_wrote_as_it_came_is_read_harmlessly() {
        let folder = tempfile::tempdir().unwrap();
        let line = serde_json::json!({
            "at": NOW, "event": "failed", "grant": "claude-code/a\u{1b}[2J", "code": "x",
            "why": "b\u{202e}c"
        });
        fs::write(place(&folder), format!("{line}\n")).unwrap();
        let named = BTreeSet::from([GrantId::from("claude-code/a\u{1b}[2J")]);
        let read = last(&place(&folder), Some(&named), 1).unwrap().remove(0).what;
        let shown = Happening::Failed {
            grant: "claude-code/a\\u{1b}[2J".into(),
            code: "x".into(),
            why: "b\\u{202e}c".into(),
        };
        assert_eq!(read, shown);
    }

    #[test]
    fn what_changed_nothing_is_not_worth_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&place(&folder), NOW).unwrap();
        let grant = GrantId::from("claude-code/slack");
        history.record(&Event::Renewing { grant }, NOW).unwrap();
        assert!(!place(&folder).exists());
        assert_eq!(last(&place(&folder), None, 10).unwrap(), []);
    }

    #[test]
    fn what_is_older_than_thirty_days_is_dropped_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&place(&folder), NOW).unwrap();
        history.record(&restored("old"), NOW - Millis::hours(24 * 30 + 1)).unwrap();
        history.record(&restored("young"), NOW - Millis::hours(24 * 30)).unwrap();
        History::open(&place(&folder), NOW).unwrap();
        assert_eq!(grants(&last(&place(&folder), None, 10).unwrap()), ["young"]);
    }

    #[test]
    fn a_file_that_grows_too_large_keeps_its_newer_half() {
        let folder = tempfile::tempdir().unwrap();
        let history = History { place: place(&folder), max_bytes: 1_000 };
        for n in 0..100 {
            history.record(&restored(&format!("grant-{n}")), NOW).unwrap();
            assert!(fs::metadata(place(&folder)).unwrap().len() <= 1_000);
        }
        let left = last(&place(&folder), None, 100).unwrap();
        assert!(left.len() > 5 && grants(&left).last() == Some(&"grant-99"), "{left:?}");
    }

    #[test]
    fn a_line_that_a_crash_cut_off_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&place(&folder), NOW).unwrap();
        history.record(&restored("first"), NOW).unwrap();
        let mut file = OpenOptions::new().append(true).open(place(&folder)).unwrap();
        file.write_all(b"{\"at\":17673230456").unwrap();
        history.record(&restored("second"), NOW).unwrap();
        assert_eq!(grants(&last(&place(&folder), None, 10).unwrap()), ["first", "second"]);
        History::open(&place(&folder), NOW).unwrap();
        assert_eq!(fs::read_to_string(place(&folder)).unwrap().lines().count(), 2);
    }

    #[test]
    #[cfg(unix)]
    fn the_file_is_the_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&place(&folder), NOW).unwrap();
        history.record(&restored("first"), NOW).unwrap();
        assert_eq!(fs::metadata(place(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
