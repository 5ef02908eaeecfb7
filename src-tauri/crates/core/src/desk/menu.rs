//! The tray's menu as a value: complete without the page, since some panels only show menus.
//!
//! It must not hold a time that runs: a menu is set when it differs from the last one, and must not
//! differ every minute. An item without an act is there to be read.

use alloc::{format, string::String, vec::Vec};

use super::{Act, Answer, sentence, view};
use crate::{
    health::{Button, Health, Part, Phrase, Shape},
    snapshot::{Row, Snapshot},
    time::Wall,
};

/// One line of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A line to click, or to read where it has no act.
    Line {
        /// What it says.
        label: String,
        /// What a click does.
        act: Option<Act>,
    },
    /// A line with a tick.
    Tick {
        /// What it says.
        label: String,
        /// Whether it is ticked.
        on: bool,
        /// What a click does.
        act: Act,
    },
    /// A menu of its own.
    Sub {
        /// What it says.
        label: String,
        /// What is in it.
        items: Vec<Item>,
    },
    /// A line across.
    Separator,
}

/// What the menu needs to know besides the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Around {
    /// What was answered.
    pub consent: view::Consent,
    /// Whether these are the demo's own servers.
    pub demo: bool,
    /// Whether it starts with the desktop; `None` where that cannot be had.
    pub start_at_login: Option<bool>,
}

/// The whole menu. `time` words a moment: `10:42`, with the day where it is not today.
pub fn menu(snapshot: &Snapshot, around: Around, time: impl Fn(Wall) -> String) -> Vec<Item> {
    let mut items: Vec<Item> = snapshot.rows.iter().filter_map(urgent).collect();
    items.push(line(sentence(snapshot), None));
    if around.consent == view::Consent::Unasked && !around.demo {
        let answer = |answer| Some(Act::Consent { answer });
        items.push(line("Keep them signed in", answer(Answer::Keep)));
        items.push(line("Only watch", answer(Answer::Watch)));
    }
    items.push(Item::Separator);
    for row in &snapshot.rows {
        items.push(Item::Sub {
            label: format!("{} · {}", row.title, standing(&row.phrase, &time)),
            items: acts(row),
        });
    }
    if !snapshot.rows.is_empty() {
        items.push(Item::Separator);
        items.push(line("Check all", Some(Act::CheckAll)));
        let all_paused = snapshot.rows.iter().all(|row| row.health == Health::Paused);
        items.push(if all_paused {
            line("Resume all", Some(Act::ResumeAll))
        } else {
            line("Pause all", Some(Act::PauseAll))
        });
    }
    items.push(line("Open Lamplighter", Some(Act::Open)));
    if around.demo {
        items.push(line("Leave the demo", Some(Act::LeaveDemo)));
    }
    items.push(Item::Separator);
    if let Some(on) = around.start_at_login.filter(|_| !around.demo) {
        let act = Act::StartAtLogin { on: !on };
        items.push(Item::Tick { label: "Start at login".into(), on, act });
    }
    items.push(line("Settings…", Some(Act::OpenSettings)));
    items.push(line("Quit", Some(Act::Quit)));
    items
}

fn line(label: impl Into<String>, act: Option<Act>) -> Item {
    Item::Line { label: label.into(), act }
}

/// What needs a person, before everything else.
fn urgent(row: &Row) -> Option<Item> {
    let (grant, title) = (row.id.clone(), &row.title);
    if row.health == Health::SigningIn {
        return Some(line(format!("Signing in to {title}… Show"), Some(Act::Show { grant })));
    }
    if row.shape != Shape::Alert {
        return None;
    }
    let (words, act) = match row.buttons.first()? {
        Button::Reconnect => (format!("Reconnect {title}…"), Act::Reconnect { grant }),
        Button::Review => (format!("Review {title}…"), Act::Show { grant }),
        Button::Unlock => (format!("Unlock {title}…"), Act::Unlock { store: row.store.clone() }),
        Button::ShowFile
        | Button::Renew
        | Button::Check
        | Button::SignIn
        | Button::Cancel
        | Button::Pause
        | Button::Resume
        | Button::SignOut
        | Button::CopyUpdate => (format!("{title} needs you…"), Act::Show { grant }),
    };
    Some(line(words, Some(act)))
}

/// What can be done with a row.
fn acts(row: &Row) -> Vec<Item> {
    let offered = row.buttons.iter().map(|button| {
        let grant = row.id.clone();
        match button {
            Button::Renew => line("Renew now", Some(Act::Renew { grant })),
            Button::Check => line("Check now", Some(Act::Check { grant })),
            Button::Reconnect => line("Reconnect…", Some(Act::Reconnect { grant })),
            Button::SignIn => line("Sign in…", Some(Act::Reconnect { grant })),
            Button::Cancel => line("Cancel", Some(Act::CancelSignIn { grant })),
            // Both hosts are shown before anything is trusted.
            Button::Review => line("Review…", Some(Act::Show { grant })),
            Button::Pause => line("Pause", Some(Act::Pause { grant })),
            Button::Resume => line("Resume", Some(Act::Resume { grant })),
            Button::CopyUpdate => line("How to update…", Some(Act::Show { grant })),
            Button::Unlock => line("Unlock…", Some(Act::Unlock { store: row.store.clone() })),
            // What that means is said before anything is done.
            Button::SignOut => line("Sign out…", Some(Act::Show { grant })),
            Button::ShowFile => line("Show file", Some(Act::ShowFile { store: row.store.clone() })),
        }
    });
    let show = line("Show", Some(Act::Show { grant: row.id.clone() }));
    offered.chain([show]).collect()
}

/// A phrase without what runs: `Signed in · renews in 3 h` is `Signed in`.
fn standing(phrase: &Phrase, time: &impl Fn(Wall) -> String) -> String {
    let runs = phrase.0.iter().position(|part| matches!(part, Part::In(_)));
    let stands = &phrase.0[..runs.unwrap_or(phrase.0.len())];
    let words: String = stands
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::At(at) | Part::In(at) => time(*at),
        })
        .collect();
    match (runs, words.rsplit_once(" · ")) {
        (Some(_), Some((before, _))) => before.into(),
        (Some(_) | None, _) => words,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::desk::notices::tests::{row, snapshot};

    fn lines(items: &[Item], depth: usize) -> Vec<String> {
        let indent = "  ".repeat(depth);
        let one = |item: &Item| match item {
            Item::Line { label, act: Some(act) } => {
                let act = serde_json::to_string(act).unwrap();
                vec![format!("{indent}{label}   {act}")]
            }
            Item::Line { label, act: None } => vec![format!("{indent}({label})")],
            Item::Tick { label, on, .. } => {
                vec![format!("{indent}[{}] {label}", if *on { 'x' } else { ' ' })]
            }
            Item::Sub { label, items } => {
                let below = lines(items, depth + 1);
                [format!("{indent}{label} >")].into_iter().chain(below).collect()
            }
            Item::Separator => vec![format!("{indent}---")],
        };
        items.iter().flat_map(one).collect()
    }

    fn shown(snapshot: &Snapshot, consent: view::Consent) -> String {
        let around = Around { consent, demo: false, start_at_login: Some(false) };
        let menu = menu(snapshot, around, |at| format!("@{}", at.0));
        lines(&menu, 0).into_iter().map(|line| line + "\n").collect()
    }

    #[test]
    fn in_the_demo_the_menu_has_nothing_that_reaches_out_of_it() {
        fn acts(items: &[Item], all: &mut Vec<Act>) {
            for item in items {
                match item {
                    Item::Line { act, .. } => all.extend(act.clone()),
                    Item::Tick { act, .. } => all.push(act.clone()),
                    Item::Sub { items, .. } => acts(items, all),
                    Item::Separator => {}
                }
            }
        }
        let snapshot = snapshot([row("slack", Health::SignInRequired, None)]);
        let around =
            Around { consent: view::Consent::Unasked, demo: true, start_at_login: Some(false) };
        let mut offered = Vec::new();
        acts(&menu(&snapshot, around, |at| format!("@{}", at.0)), &mut offered);
        assert!(offered.contains(&Act::LeaveDemo) && offered.contains(&Act::Quit));
        assert!(offered.iter().all(Act::is_for_the_demo), "{offered:?}");
    }

    #[test]
    fn what_needs_a_person_comes_first_and_nothing_in_it_runs() {
        let snapshot = snapshot([
            row("slack", Health::SignInRequired, None),
            row("notion", Health::Healthy, Some(Wall(3_600_000))),
        ]);
        expect![[r#"
            Reconnect slack…   {"act":"reconnect","grant":"claude-code/slack"}
            (slack needs you)
            ---
            slack · slack ended this sign-in >
              Reconnect…   {"act":"reconnect","grant":"claude-code/slack"}
              Sign out…   {"act":"show","grant":"claude-code/slack"}
              Show   {"act":"show","grant":"claude-code/slack"}
            notion · Signed in >
              Renew now   {"act":"renew","grant":"claude-code/notion"}
              Check now   {"act":"check","grant":"claude-code/notion"}
              Reconnect…   {"act":"reconnect","grant":"claude-code/notion"}
              Pause   {"act":"pause","grant":"claude-code/notion"}
              Sign out…   {"act":"show","grant":"claude-code/notion"}
              Show   {"act":"show","grant":"claude-code/notion"}
            ---
            Check all   {"act":"check_all"}
            Pause all   {"act":"pause_all"}
            Open Lamplighter   {"act":"open"}
            ---
            [ ] Start at login
            Settings…   {"act":"open_settings"}
            Quit   {"act":"quit"}
        "#]]
        .assert_eq(&shown(&snapshot, view::Consent::Keep));
    }

    #[test]
    fn before_the_answer_the_menu_asks_too() {
        let snapshot = snapshot([]);
        expect![[r#"
            (No sign-ins were found)
            Keep them signed in   {"act":"consent","answer":"keep"}
            Only watch   {"act":"consent","answer":"watch"}
            ---
            Open Lamplighter   {"act":"open"}
            ---
            [ ] Start at login
            Settings…   {"act":"open_settings"}
            Quit   {"act":"quit"}
        "#]]
        .assert_eq(&shown(&snapshot, view::Consent::Unasked));
    }
}
