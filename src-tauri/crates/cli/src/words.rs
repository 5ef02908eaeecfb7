//! Times and rows as a person reads them.
//!
//! Phrases come from core with absolute times; here they meet the reader's clock and time zone.

use jiff::{Timestamp, tz::TimeZone};
use lamplighter_core::{
    health::{Health, Phrase, Shape},
    snapshot::{Row, Snapshot},
    time::Wall,
};

/// The reader's time and place.
pub(crate) struct Reader {
    /// Now.
    pub now: Wall,
    /// Where.
    pub zone: TimeZone,
}

impl Reader {
    /// A phrase as text.
    pub(crate) fn phrase(&self, phrase: &Phrase) -> String {
        phrase.render(self.now, length, |at| self.time(at))
    }

    /// A moment: the time of day, with the day where it is not today.
    pub(crate) fn time(&self, at: Wall) -> String {
        let (Some(then), Some(now)) = (timestamp(at), timestamp(self.now)) else {
            return String::from("an unknown time");
        };
        let (then, now) =
            (then.to_zoned_datetime(self.zone.clone()), now.to_zoned_datetime(self.zone.clone()));
        let form = if then.date() == now.date() {
            "%-H:%M"
        } else if then.year() == now.year() {
            "%a %-d %b %-H:%M"
        } else {
            "%-d %b %Y"
        };
        then.strftime(form).to_string()
    }
}

/// A length of time in milliseconds, in its largest unit: `3 h`, `12 min`, `40 s`.
pub(crate) fn length(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// RFC 3339 in UTC, to the second; `None` for what no calendar holds.
pub(crate) fn rfc3339(at: Wall) -> Option<String> {
    let whole = Timestamp::from_second(at.0.div_euclid(1_000)).ok()?;
    Some(whole.to_string())
}

fn timestamp(at: Wall) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.0).ok()
}

/// A lamp in one character.
pub(crate) const fn lamp(shape: Shape) -> &'static str {
    match shape {
        Shape::Lit => "●",
        Shape::Half => "◐",
        Shape::Alert => "!",
        Shape::Hollow => "○",
    }
}

/// The whole picture in lines, the sentence that matters first.
pub(crate) fn picture(snapshot: &Snapshot, reader: &Reader) -> Vec<String> {
    let mut lines = vec![headline(snapshot)];
    let width = snapshot.rows.iter().map(|row| row.id.as_str().chars().count()).max();
    let width = width.unwrap_or_default();
    for row in &snapshot.rows {
        let phrase = reader.phrase(&row.phrase);
        lines.push(format!("  {} {:width$}  {phrase}", lamp(row.shape), row.id.as_str()));
        if let Some(reason) = row.reason.as_ref().filter(|_| explains(row)) {
            lines.push(format!("    {:width$}  {reason}", ""));
        }
    }
    for store in &snapshot.stores {
        if let Some(fault) = store.fault.as_ref().filter(|_| store_fault_matters(snapshot, store)) {
            lines.push(format!("  {}: {fault}", store.client));
        }
        lines.extend(store.advice.iter().map(|advice| format!("  {}: {advice}", store.client)));
    }
    lines
}

fn headline(snapshot: &Snapshot) -> String {
    let line = snapshot.line();
    let signed_in = snapshot.rows.iter().filter(|row| row.health != Health::NotSignedIn).count();
    match (line.is_empty(), snapshot.rows.is_empty(), signed_in) {
        (false, _, _) => line,
        (true, true, _) => String::from("No MCP server with a sign-in was found"),
        (true, false, 0) => String::from("No MCP server is signed in"),
        (true, false, 1) if snapshot.exit == 0 => String::from("The one server is signed in"),
        (true, false, n) if snapshot.exit == 0 => format!("All {n} servers are signed in"),
        (true, false, _) => String::from("Some tokens have ended and are due for renewal"),
    }
}

/// Whether the reason says more than the phrase does.
fn explains(row: &Row) -> bool {
    match row.health {
        Health::SignInRequired
        | Health::Refused
        | Health::RetryingEnded
        | Health::NoRefreshToken
        | Health::StoreLocked
        | Health::StoreBroken
        | Health::StandingBy => true,
        Health::Healthy
        | Health::Refreshing
        | Health::Retrying
        | Health::Offline
        | Health::SigningIn
        | Health::ApprovalRequired
        | Health::NotSignedIn
        | Health::Paused
        | Health::Unknown => false,
    }
}

/// A missing store is no fault worth a line; one that its rows already tell about needs none.
fn store_fault_matters(snapshot: &Snapshot, store: &lamplighter_core::snapshot::StoreRow) -> bool {
    let told = snapshot.rows.iter().any(|row| row.store == store.id && row.reason == store.fault);
    !told && snapshot.exit == lamplighter_core::health::EXIT_STORE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        // 2026-11-23T12:00:00Z
        Reader { now: Wall(1_795_435_200_000), zone: TimeZone::UTC }
    }

    #[test]
    fn a_time_names_its_day_only_where_it_is_another() {
        let reader = reader();
        assert_eq!(reader.time(Wall(1_795_435_200_000 + 3_600_000)), "13:00");
        assert_eq!(reader.time(Wall(1_795_435_200_000 + 86_400_000)), "Tue 24 Nov 12:00");
        assert_eq!(reader.time(Wall(1_795_435_200_000 + 90 * 86_400_000)), "21 Feb 2027");
    }

    #[test]
    fn a_length_is_told_in_its_largest_unit() {
        let told = [40_000, 600_000, 3 * 3_600_000, 4 * 86_400_000].map(length);
        assert_eq!(told, ["40 s", "10 min", "3 h", "4 days"]);
    }

    #[test]
    fn scripts_get_rfc_3339() {
        assert_eq!(rfc3339(Wall(1_795_435_200_999)).as_deref(), Some("2026-11-23T12:00:00Z"));
        assert_eq!(rfc3339(Wall(i64::MAX)), None);
    }
}
