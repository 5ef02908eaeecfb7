//! The one sentence and the one lamp that stand for everything.

use alloc::{format, string::String, vec::Vec};

use crate::{
    health::{EXIT_STORE, Health, Shape},
    snapshot::{Row, Snapshot},
};

/// The worst row's lamp; outline only where nothing is signed in.
pub fn shape(snapshot: &Snapshot) -> Shape {
    if snapshot.exit == EXIT_STORE && !snapshot.rows.iter().any(|row| row.exit == EXIT_STORE) {
        // A store that cannot be read and never had a row.
        return Shape::Alert;
    }
    snapshot.rows.iter().map(|row| row.shape).max().unwrap_or(Shape::Hollow)
}

/// What matters most now, in one sentence.
pub fn sentence(snapshot: &Snapshot) -> String {
    let needs = snapshot.line();
    if !needs.is_empty() {
        return needs;
    }
    let with = |health: Health| snapshot.rows.iter().filter(move |row| row.health == health);
    if let Some(row) = with(Health::SigningIn).next() {
        return format!("Signing in to {}…", row.title);
    }
    if with(Health::Offline).next().is_some() {
        return String::from("No network · renews when it is back");
    }
    let waiting: Vec<&Row> = with(Health::RetryingEnded).collect();
    match waiting.as_slice() {
        [] => {}
        [one] => return format!("Waiting for {}", one.title),
        [one, rest @ ..] => return format!("Waiting for {} and {} more", one.title, rest.len()),
    }
    let lit = snapshot.rows.iter().filter(|row| row.shape == Shape::Lit).count();
    let paused = with(Health::Paused).count();
    let unknown = with(Health::Unknown).count();
    match (lit, snapshot.rows.len()) {
        (_, 0) => String::from("No sign-ins were found"),
        (0, all) if all == paused => String::from("Everything is paused"),
        (0, _) if unknown > 0 => String::from("Checking…"),
        (0, _) => String::from("Nothing is signed in"),
        (1, 1) => {
            let title = snapshot.rows.first().map(|row| row.title.as_str()).unwrap_or_default();
            format!("{title} is signed in")
        }
        (lit, all) if lit == all => format!("All {all} servers are signed in"),
        (lit, all) => format!("{lit} of {all} servers are signed in"),
    }
}
