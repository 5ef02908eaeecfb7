//! Times as a person reads them, and as a script does.
//!
//! Phrases come from core with absolute times; here they meet the reader's clock and time zone.

use jiff::{Timestamp, tz::TimeZone};
use lamplighter_core::{health::Phrase, time::Wall};

use crate::clock::{Clock, SystemClock};

/// The reader's time and place.
pub struct Reader {
    /// Now.
    pub now: Wall,
    /// Where.
    pub zone: TimeZone,
}

impl Reader {
    /// The one at this machine: its clock and its time zone.
    pub fn here() -> Self {
        Self { now: SystemClock::new().now().wall, zone: TimeZone::system() }
    }

    /// A phrase as text.
    pub fn phrase(&self, phrase: &Phrase) -> String {
        phrase.render(self.now, length, |at| self.time(at))
    }

    /// A moment: the time of day, with the day where it is not today.
    pub fn time(&self, at: Wall) -> String {
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
pub fn length(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// RFC 3339 in UTC, to the second; `None` for what no calendar holds.
pub fn rfc3339(at: Wall) -> Option<String> {
    let whole = Timestamp::from_second(at.0.div_euclid(1_000)).ok()?;
    Some(whole.to_string())
}

fn timestamp(at: Wall) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.0).ok()
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
