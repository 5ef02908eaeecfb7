//! Rows as a person at a terminal reads them. Read next: `lamplighter_engine::reader` for times.

use lamplighter_core::{
    health::{Health, Shape},
    snapshot::{Row, Snapshot},
};
use lamplighter_engine::reader::Reader;

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
    for left in &snapshot.unfinished {
        lines.push(format!("  {}", left.words()));
        lines.push(format!("    {}", left.advice));
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
