use super::*;
use crate::{
    health::{Situation, show},
    snapshot::StoreRow,
};

const MINUTE: i64 = 60_000;

pub(in crate::desk) fn snapshot(rows: impl IntoIterator<Item = Row>) -> Snapshot {
    let rows: Vec<Row> = rows.into_iter().collect();
    let exit = rows.iter().map(|row| row.exit).fold(0, crate::health::worse);
    Snapshot { rows, stores: Vec::new(), exit, unfinished: Vec::new() }
}

pub(in crate::desk) fn row(name: &str, health: Health, ends: Option<Wall>) -> Row {
    let situation = match health {
        Health::SignInRequired => Situation::SignInRequired,
        Health::RetryingEnded => Situation::RetryingEnded { since: Wall(0), next: None },
        Health::Refreshing => Situation::Refreshing,
        Health::StoreBroken => Situation::Saving { why: "the disk is full".into(), next: None },
        Health::Healthy
        | Health::Retrying
        | Health::Offline
        | Health::SigningIn
        | Health::Refused
        | Health::ApprovalRequired
        | Health::NotSignedIn
        | Health::NoRefreshToken
        | Health::StandingBy
        | Health::Paused
        | Health::StoreLocked
        | Health::Unknown => Situation::Healthy { ends, next: ends, due: None },
    };
    let shown = show(&situation, name, "Claude Code");
    Row {
        id: GrantId(format!("claude-code/{name}")),
        store: "claude-code".into(),
        client: "Claude Code".into(),
        profile: None,
        name: name.into(),
        title: name.into(),
        url: format!("https://{name}.example/mcp"),
        health: shown.health,
        shape: shown.shape,
        phrase: shown.phrase,
        buttons: shown.buttons,
        exit: shown.exit,
        expires_at: ends,
        next_renewal_at: None,
        last_renewal_at: None,
        renewed_by: None,
        sign_in_ends_at: None,
        has_refresh_token: true,
        issuer: None,
        scopes: Vec::new(),
        tools: None,
        reason: None,
        issued_at: None,
        account: None,
        approval: None,
        sign_in: None,
    }
}

fn titles(orders: &[Order]) -> Vec<String> {
    orders
        .iter()
        .map(|order| match order {
            Order::Show(shown) => shown.title.clone(),
            Order::Withdraw(number) => format!("-{number}"),
        })
        .collect()
}

/// Looks, and shows at once what is to be shown.
fn look(notices: &mut Notices, snapshot: &Snapshot, presence: Presence, now: Wall) -> Vec<Order> {
    let orders = notices.look(snapshot, presence, now);
    for order in &orders {
        if let Order::Show(shown) = order {
            notices.shown(shown.number, now);
        }
    }
    orders
}

fn well() -> Snapshot {
    snapshot([row("slack", Health::Healthy, Some(Wall(90 * MINUTE)))])
}

fn dead() -> Snapshot {
    snapshot([row("slack", Health::SignInRequired, Some(Wall(0)))])
}

#[test]
fn a_dead_sign_in_is_told_of_once_and_taken_back_when_it_is_healed() {
    let mut notices = Notices::default();
    let now = Wall(MINUTE);
    assert_eq!(titles(&look(&mut notices, &dead(), Presence::Here, now)), ["slack needs you"]);
    assert!(look(&mut notices, &dead(), Presence::Here, now).is_empty());
    let well = snapshot([row("slack", Health::Healthy, Some(Wall(90 * MINUTE)))]);
    assert_eq!(titles(&look(&mut notices, &well, Presence::Here, now)), ["-1"]);
}

#[test]
fn while_the_token_still_works_the_notice_waits_until_half_an_hour_before_its_end() {
    let mut notices = Notices::default();
    let ends = Wall(120 * MINUTE);
    let refused = snapshot([row("slack", Health::SignInRequired, Some(ends))]);
    assert!(look(&mut notices, &refused, Presence::Here, Wall(0)).is_empty());
    assert_eq!(notices.next(), Some(Wall(90 * MINUTE)));
    let shown = look(&mut notices, &refused, Presence::Here, Wall(90 * MINUTE));
    assert_eq!(titles(&shown), ["slack needs you"]);
}

#[test]
fn nobody_is_told_while_nobody_is_there() {
    let mut notices = Notices::default();
    assert!(look(&mut notices, &dead(), Presence::Away, Wall(MINUTE)).is_empty());
    let shown = look(&mut notices, &dead(), Presence::Here, Wall(2 * MINUTE));
    assert_eq!(titles(&shown), ["slack needs you"]);
}

#[test]
fn what_was_closed_unread_is_said_once_more_at_the_next_unlock_and_then_daily() {
    let mut notices = Notices::default();
    look(&mut notices, &dead(), Presence::Here, Wall(MINUTE));
    notices.left(1, Left::Unread);
    assert!(look(&mut notices, &dead(), Presence::Here, Wall(2 * MINUTE)).is_empty());
    look(&mut notices, &dead(), Presence::Away, Wall(3 * MINUTE));
    let shown = look(&mut notices, &dead(), Presence::Here, Wall(4 * MINUTE));
    assert_eq!(titles(&shown), ["slack needs you"]);
    notices.left(2, Left::Clicked);
    look(&mut notices, &dead(), Presence::Away, Wall(5 * MINUTE));
    assert!(look(&mut notices, &dead(), Presence::Here, Wall(6 * MINUTE)).is_empty());
    let tomorrow = Wall(4 * MINUTE) + DAILY;
    assert_eq!(titles(&look(&mut notices, &dead(), Presence::Here, tomorrow)), ["slack needs you"]);
}

#[test]
fn an_outcome_comes_once_and_only_where_notices_are_wanted_and_seen() {
    let mut notices = Notices::default();
    let grant = GrantId::from("claude-code/slack");
    let news =
        |notices: &mut Notices| notices.outcome("Signed in to Slack".into(), String::new(), &grant);
    look(&mut notices, &snapshot([]), Presence::Here, Wall(0));
    let shown = news(&mut notices).unwrap();
    assert_eq!(shown.click, Act::Show { grant: grant.clone() });
    notices.left(shown.number, Left::Unread);
    assert_eq!(look(&mut notices, &snapshot([]), Presence::Here, Wall(MINUTE)), []);
    look(&mut notices, &snapshot([]), Presence::Away, Wall(MINUTE));
    assert_eq!(news(&mut notices), None, "nobody is there");
    look(&mut notices, &snapshot([]), Presence::Here, Wall(MINUTE));
    assert!(news(&mut notices).is_some_and(|next| next.number > shown.number));
    notices.set_wanted(false);
    assert_eq!(news(&mut notices), None, "nobody wants any");
}

#[test]
fn several_at_once_become_one() {
    let mut notices = Notices::default();
    let all = ["slack", "notion", "linear"].map(|n| row(n, Health::SignInRequired, None));
    let orders = look(&mut notices, &snapshot(all), Presence::Here, Wall(0));
    let [Order::Show(one)] = orders.as_slice() else { panic!("{orders:?}") };
    assert_eq!(one.title, "3 servers need you");
    assert_eq!(one.body, "slack, notion and linear in Claude Code.");
}

#[test]
fn a_restart_does_not_say_it_again() {
    let mut notices = Notices::default();
    look(&mut notices, &dead(), Presence::Here, Wall(MINUTE));
    let mut again = Notices::new(notices.told().clone());
    assert!(look(&mut again, &dead(), Presence::Here, Wall(2 * MINUTE)).is_empty());
}

#[test]
fn what_may_heal_is_given_its_time() {
    let mut notices = Notices::default();
    let failing = snapshot([row("slack", Health::RetryingEnded, Some(Wall(0)))]);
    assert!(look(&mut notices, &failing, Presence::Here, Wall(14 * MINUTE)).is_empty());
    assert_eq!(look(&mut notices, &failing, Presence::Here, Wall(15 * MINUTE)).len(), 1);
    let well = row("slack", Health::Healthy, Some(Wall(90 * MINUTE)));
    let unsaved = snapshot([well, row("notion", Health::StoreBroken, None)]);
    assert!(
        look(&mut notices, &unsaved, Presence::Here, Wall(20 * MINUTE)).len() == 1,
        "one leaves"
    );
    assert!(look(&mut notices, &unsaved, Presence::Here, Wall(24 * MINUTE)).is_empty());
    assert_eq!(look(&mut notices, &unsaved, Presence::Here, Wall(25 * MINUTE)).len(), 1);
}

#[test]
fn the_end_of_a_sign_in_is_told_of_two_days_before() {
    let mut notices = Notices::default();
    let mut ending = row("slack", Health::Healthy, Some(Wall(60 * MINUTE)));
    ending.sign_in_ends_at = Some(Wall(0) + Millis::hours(72));
    let ending = snapshot([ending]);
    assert!(look(&mut notices, &ending, Presence::Here, Wall(0)).is_empty());
    let shown = look(&mut notices, &ending, Presence::Here, Wall(0) + Millis::hours(24));
    assert_eq!(titles(&shown), ["slack's sign-in ends soon"]);
}

#[test]
fn switched_off_it_says_nothing_and_takes_back_what_stands_there() {
    let mut notices = Notices::default();
    look(&mut notices, &dead(), Presence::Here, Wall(MINUTE));
    notices.set_wanted(false);
    assert_eq!(titles(&look(&mut notices, &dead(), Presence::Here, Wall(2 * MINUTE))), ["-1"]);
}

#[test]
fn what_could_not_be_shown_was_told_to_nobody_and_is_shown_when_somebody_can() {
    let mut notices = Notices::default();
    let one = |orders: &[Order]| match orders {
        [Order::Show(shown)] => shown.number,
        other => panic!("{other:?}"),
    };
    let first = one(&notices.look(&dead(), Presence::Here, Wall(MINUTE)));
    notices.not_shown(first, Wall(MINUTE));
    assert_eq!(notices.told(), &Told::default());
    assert!(notices.look(&dead(), Presence::Here, Wall(MINUTE + 1)).is_empty(), "not at once");
    assert_eq!(notices.next(), Some(Wall(2 * MINUTE)));
    let second = one(&notices.look(&dead(), Presence::Here, Wall(2 * MINUTE)));
    notices.not_shown(second, Wall(2 * MINUTE));
    // A daemon comes.
    notices.can_be_shown();
    let third = one(&notices.look(&dead(), Presence::Here, Wall(2 * MINUTE + 1)));
    notices.shown(third, Wall(2 * MINUTE + 2));
    assert_eq!(notices.told().0.len(), 1);
    assert!(notices.look(&dead(), Presence::Here, Wall(60 * MINUTE)).is_empty());
}

#[test]
fn what_was_handed_over_and_never_shown_is_told_after_a_restart() {
    let mut notices = Notices::default();
    assert_eq!(notices.look(&dead(), Presence::Here, Wall(MINUTE)).len(), 1);
    assert!(notices.look(&dead(), Presence::Here, Wall(2 * MINUTE)).is_empty(), "it is on its way");
    let mut again = Notices::new(notices.told().clone());
    assert_eq!(again.look(&dead(), Presence::Here, Wall(3 * MINUTE)).len(), 1);
}

#[test]
fn what_was_told_in_the_future_silences_nothing() {
    let told =
        Told(BTreeMap::from([("sign_in_required claude-code/slack".into(), Wall(0) + DAILY)]));
    let mut notices = Notices::new(told);
    assert_eq!(
        titles(&look(&mut notices, &dead(), Presence::Here, Wall(MINUTE))),
        ["slack needs you"]
    );
}

#[test]
fn a_second_death_the_same_day_is_told_and_one_death_only_once() {
    let mut notices = Notices::default();
    assert_eq!(look(&mut notices, &dead(), Presence::Here, Wall(MINUTE)).len(), 1);
    // A sign-in that comes to nothing, and a renewal that does not help, are the same death.
    for between in [Health::Refreshing, Health::RetryingEnded, Health::Offline] {
        let mut row = row("slack", between, Some(Wall(0)));
        row.health = between;
        let between = snapshot([row]);
        look(&mut notices, &between, Presence::Here, Wall(2 * MINUTE));
        look(&mut notices, &snapshot([]), Presence::Here, Wall(2 * MINUTE));
        assert_eq!(titles(&look(&mut notices, &dead(), Presence::Here, Wall(3 * MINUTE))), [""; 0]);
    }
    look(&mut notices, &well(), Presence::Here, Wall(4 * MINUTE));
    let again = look(&mut notices, &dead(), Presence::Here, Wall(5 * MINUTE));
    assert_eq!(titles(&again), ["slack needs you"]);
}

#[test]
fn a_refused_token_whose_renewal_fails_is_told_of_after_a_quarter_of_an_hour() {
    let mut notices = Notices::default();
    let failing = snapshot([row("slack", Health::RetryingEnded, Some(Wall(600 * MINUTE)))]);
    assert!(look(&mut notices, &failing, Presence::Here, Wall(MINUTE)).is_empty());
    let shown = look(&mut notices, &failing, Presence::Here, Wall(16 * MINUTE));
    assert_eq!(titles(&shown), ["slack can't be renewed"]);
}

/// One row, as it stands.
fn one(health: Health, ends: i64) -> Snapshot {
    let mut row = row("slack", health, Some(Wall(ends * MINUTE)));
    row.health = health;
    snapshot([row])
}

const FAILING_AFTER: i64 = 16;

#[test]
fn a_renewal_in_the_air_takes_no_notice_away_and_begins_no_wait_anew() {
    let mut notices = Notices::default();
    let here = Presence::Here;
    for minute in 1..=FAILING_AFTER {
        let health = if minute % 5 == 0 { Health::Refreshing } else { Health::RetryingEnded };
        let orders = look(&mut notices, &one(health, 600), here, Wall(minute * MINUTE));
        let expected: &[&str] =
            if minute == FAILING_AFTER { &["slack can't be renewed"] } else { &[] };
        assert_eq!(titles(&orders), expected, "after {minute} min");
    }
    for health in [
        Health::Refreshing,
        Health::Offline,
        Health::SigningIn,
        Health::StoreLocked,
        Health::StoreBroken,
        Health::Unknown,
        Health::RetryingEnded,
    ] {
        let orders = look(&mut notices, &one(health, 600), here, Wall(17 * MINUTE));
        assert_eq!(titles(&orders), [""; 0], "{health:?}");
    }
    let well = one(Health::Healthy, 600);
    assert_eq!(titles(&look(&mut notices, &well, here, Wall(18 * MINUTE))), ["-1"]);
}

#[test]
fn what_was_closed_unread_is_said_once_more_where_a_renewal_is_in_the_air_at_the_unlock() {
    let mut notices = Notices::default();
    let failing = one(Health::RetryingEnded, 0);
    look(&mut notices, &failing, Presence::Here, Wall(0));
    let shown = look(&mut notices, &failing, Presence::Here, Wall(15 * MINUTE));
    assert_eq!(titles(&shown), ["slack can't be renewed"]);
    notices.left(1, Left::Unread);
    look(&mut notices, &failing, Presence::Away, Wall(20 * MINUTE));
    let at_work = one(Health::Refreshing, 0);
    look(&mut notices, &at_work, Presence::Here, Wall(30 * MINUTE));
    let shown = look(&mut notices, &failing, Presence::Here, Wall(31 * MINUTE));
    assert_eq!(titles(&shown), ["slack can't be renewed"]);
}

/// A store that this is wrong with.
fn store(fault: Option<&str>) -> StoreRow {
    StoreRow {
        id: "claude-code".into(),
        client: "Claude Code".into(),
        place: "~/.claude".into(),
        client_version: None,
        fault: fault.map(Into::into),
        advice: Vec::new(),
    }
}

#[test]
fn a_row_that_is_away_with_its_store_keeps_its_notice_and_one_that_was_removed_does_not() {
    let mut notices = Notices::default();
    assert_eq!(look(&mut notices, &dead(), Presence::Here, Wall(MINUTE)).len(), 1);
    let mut rowless = |fault, minute: i64| {
        let known = Snapshot { stores: Vec::from([store(fault)]), ..snapshot([]) };
        titles(&look(&mut notices, &known, Presence::Here, Wall(minute * MINUTE)))
    };
    assert_eq!(rowless(Some("it can't be read"), 2), [""; 0]);
    assert_eq!(rowless(None, 3), ["-1"]);
    let again = look(&mut notices, &dead(), Presence::Here, Wall(4 * MINUTE));
    assert_eq!(titles(&again), ["slack needs you"]);
    let elsewhere = StoreRow { id: "claude-code@work".into(), ..store(None) };
    let elsewhere = Snapshot { stores: Vec::from([elsewhere]), ..snapshot([]) };
    let gone = look(&mut notices, &elsewhere, Presence::Here, Wall(5 * MINUTE));
    assert_eq!(titles(&gone), ["-2"], "its store is looked at no more");
}

#[test]
fn a_pause_takes_a_notice_away_and_what_needs_a_person_takes_the_place_of_what_did_not() {
    let mut notices = Notices::default();
    let failing = one(Health::RetryingEnded, 0);
    look(&mut notices, &failing, Presence::Here, Wall(0));
    look(&mut notices, &failing, Presence::Here, Wall(15 * MINUTE));
    let orders = look(&mut notices, &dead(), Presence::Here, Wall(16 * MINUTE));
    assert_eq!(titles(&orders), ["-1", "slack needs you"]);
    let paused = one(Health::Paused, 0);
    let orders = look(&mut notices, &paused, Presence::Here, Wall(17 * MINUTE));
    assert_eq!(titles(&orders), ["-2"]);
}

#[test]
fn one_of_several_that_heals_and_dies_again_is_told_of_by_itself() {
    let mut notices = Notices::default();
    let both = |slack| {
        let notion = row("notion", Health::SignInRequired, Some(Wall(0)));
        snapshot([row("slack", slack, Some(Wall(0))), notion])
    };
    let dead = both(Health::SignInRequired);
    assert_eq!(
        titles(&look(&mut notices, &dead, Presence::Here, Wall(MINUTE))),
        ["2 servers need you"]
    );
    let one_well = both(Health::Healthy);
    assert!(look(&mut notices, &one_well, Presence::Here, Wall(2 * MINUTE)).is_empty());
    let again = look(&mut notices, &dead, Presence::Here, Wall(3 * MINUTE));
    assert_eq!(titles(&again), ["slack needs you"]);
}

#[test]
fn a_wait_that_began_in_the_future_begins_anew() {
    let mut notices = Notices::default();
    let failing = one(Health::RetryingEnded, 6_000);
    let ahead = Wall(0) + DAILY;
    look(&mut notices, &failing, Presence::Here, ahead);
    look(&mut notices, &failing, Presence::Here, Wall(0));
    let shown = look(&mut notices, &failing, Presence::Here, Wall(15 * MINUTE));
    assert_eq!(titles(&shown), ["slack can't be renewed"]);
}

#[test]
fn what_was_put_aside_is_told_again_and_numbers_go_on() {
    let mut notices = Notices::default();
    look(&mut notices, &dead(), Presence::Here, Wall(MINUTE));
    assert_eq!(notices.put_aside(), [1]);
    let own = notices.told().clone();
    notices.turn_to(Told::default());
    look(&mut notices, &dead(), Presence::Here, Wall(2 * MINUTE));
    assert_eq!(notices.put_aside(), [2]);
    notices.turn_to(own);
    let shown = look(&mut notices, &dead(), Presence::Here, Wall(3 * MINUTE));
    assert_eq!(titles(&shown), ["slack needs you"]);
    assert_eq!(notices.put_aside(), [3]);
}
