//! When a renewal is due, and how long to wait after a failure.
//!
//! Pure arithmetic: no state, no clock. Jitter is a hash of seed, grant and attempt, so that a run
//! can be repeated.

use crate::time::{Millis, Wall};

/// How early a renewal happens where the token's whole life is not known, at least.
const UNKNOWN_LIFE_REST: Millis = Millis::minutes(15);
/// On top of the client's own margin, so that the client never has to renew.
const BEFORE_CLIENT: Millis = Millis::minutes(1);
/// On top of the client's own margin, where the life is not known or an answer was lost.
pub(super) const BEFORE_CLIENT_WIDE: Millis = Millis::minutes(2);
/// The life that is planned with where nothing at all tells: never written anywhere.
pub(super) const GUESSED_LIFE: Millis = Millis::hours(1);

/// What is known about an access token's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// When it was received, where known.
    pub issued_at: Option<Wall>,
    /// Its whole life, where known.
    pub life: Option<Millis>,
    /// When it ends, where known.
    pub expires_at: Option<Wall>,
    /// How early the client renews by itself.
    pub margin: Millis,
}

/// When a renewal is due. `spread` in 0..=1 moves it earlier by up to a twentieth of what remains.
pub(super) fn due(span: Span, first_seen: Wall, spread: f64) -> Wall {
    if let (Some(issued), Some(life)) = (span.issued_at, span.life) {
        let after = due_after(life, span.margin);
        return issued + after - jitter(after, spread);
    }
    let rest = UNKNOWN_LIFE_REST.max(Millis(span.margin.0 + BEFORE_CLIENT_WIDE.0));
    match span.expires_at {
        Some(end) => {
            let due = end - rest;
            due - jitter(first_seen.until(due), spread)
        }
        // Nothing tells when it ends: a renewal tells.
        None => first_seen,
    }
}

/// No token is renewed again earlier than this.
const LEAST_REST: Millis = Millis::seconds(5);

/// How long after it was received a token of this life is renewed: at four fifths, before the client
/// would, and at half where the client is met anyway.
fn due_after(life: Millis, margin: Millis) -> Millis {
    let before_client = life.0.saturating_sub(margin.0 + BEFORE_CLIENT.0);
    let due = (life.0 / 5 * 4).min(before_client);
    let due = if due < life.0 / 4 { life.0 / 2 } else { due };
    // A life that a wrong clock or a strange server makes out to be nothing must not spin.
    Millis(due.max(LEAST_REST.0))
}

fn jitter(span: Millis, spread: f64) -> Millis {
    scaled(Millis(span.0.min(Millis::minutes(30).0) / 20), spread)
}

/// The first wait after a failure.
const BACKOFF_FIRST: Millis = Millis::seconds(10);
/// The longest wait after failures, unless the server asks for more.
const BACKOFF_MOST: Millis = Millis::minutes(5);
/// A server that asks for more patience than this is asked again anyway.
const RETRY_AFTER_MOST: Millis = Millis::hours(6);

/// How long to wait after the `attempt`-th failure in a row (from 1), full jitter, never less than
/// the server asked for.
pub(super) fn backoff(attempt: u32, retry_after: Option<Millis>, spread: f64) -> Millis {
    let doublings = attempt.saturating_sub(1).min(16);
    let ceiling = BACKOFF_MOST.0.min(BACKOFF_FIRST.0 << doublings);
    let wait = scaled(Millis(ceiling), spread).max(Millis::seconds(1));
    wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MOST))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "waits are far below 2^52 milliseconds, and the factor lies between zero and one"
)]
pub(super) fn scaled(length: Millis, factor: f64) -> Millis {
    Millis((length.0 as f64 * factor) as u64)
}

/// A number between zero and one that depends on nothing but its arguments.
#[expect(clippy::cast_precision_loss, reason = "53 bits are all a spread needs")]
pub(super) fn spread(seed: u64, grant: &str, attempt: u32) -> f64 {
    // FNV-1a over the name, then one splitmix64 round to mix all bits.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    for byte in grant.bytes().chain(attempt.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((hash ^ (hash >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: Millis = Millis::minutes(5);

    fn after(life: Millis) -> Millis {
        let span =
            Span { issued_at: Some(Wall(0)), life: Some(life), expires_at: None, margin: MARGIN };
        Wall(0).until(due(span, Wall(0), 0.0))
    }

    #[test]
    fn a_known_life_is_renewed_at_four_fifths() {
        assert_eq!(after(Millis::hours(12)), Millis(Millis::hours(12).0 / 5 * 4));
    }

    #[test]
    fn the_client_never_has_to() {
        assert_eq!(after(Millis::minutes(20)), Millis::minutes(14));
    }

    #[test]
    fn a_short_life_is_renewed_at_half() {
        assert_eq!(after(Millis::minutes(7)), Millis::minutes(3) + Millis::seconds(30));
        assert_eq!(after(Millis::seconds(60)), Millis::seconds(30));
    }

    #[test]
    fn a_life_of_nothing_does_not_spin() {
        for life in [Millis(0), Millis(1), Millis::seconds(1)] {
            assert_eq!(after(life), LEAST_REST);
        }
        assert_eq!(after(Millis::seconds(10)), Millis::seconds(5));
    }

    #[test]
    fn an_unknown_life_is_renewed_a_quarter_of_an_hour_before_its_end() {
        let span = |end| Span { issued_at: None, life: None, expires_at: end, margin: MARGIN };
        let end = Wall(10_000_000);
        assert_eq!(due(span(Some(end)), Wall(0), 0.0), end - Millis::minutes(15));
        assert_eq!(due(span(None), Wall(5), 0.5), Wall(5));
    }

    #[test]
    fn jitter_only_makes_it_earlier() {
        let span = Span {
            issued_at: Some(Wall(0)),
            life: Some(Millis::hours(12)),
            expires_at: None,
            margin: MARGIN,
        };
        let plain = due(span, Wall(0), 0.0);
        for step in 0..=10 {
            let moved = due(span, Wall(0), f64::from(step) / 10.0);
            assert!(moved <= plain && moved >= plain - Millis::minutes(2));
        }
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_obey_the_server() {
        let waits: Vec<_> = (1..=7).map(|n| backoff(n, None, 1.0).0 / 1_000).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff(1, Some(Millis::minutes(9)), 0.1), Millis::minutes(9));
        assert_eq!(backoff(u32::MAX, None, 0.0), Millis::seconds(1));
        assert_eq!(backoff(1, Some(Millis(u64::MAX)), 0.1), Millis::hours(6));
    }

    #[test]
    fn a_spread_repeats_itself_and_lies_between_zero_and_one() {
        assert!((spread(1, "a", 0) - spread(1, "a", 0)).abs() < f64::EPSILON);
        assert!((spread(1, "a", 0) - spread(1, "b", 0)).abs() > f64::EPSILON);
        assert!((0..1_000).all(|n| (0.0..1.0).contains(&spread(7, "grant", n))));
    }
}
