//! What a person should know about Lamplighter itself: each note stays until it was seen, or until it is
//! no longer true.
//!
//! It must not decide what is worth a note. A note is seen once a page that holds it is on the screen;
//! the next thing that a person does then takes it away.

use lamplighter_core::ids::GrantId;

/// What a note is about. A newer one about the same takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    /// Something that a person did.
    Act,
    /// A sign-in or a sign-out.
    Grant(GrantId),
    /// The user's own command for news.
    Command,
    /// A callback that nobody waits for, which anybody may send.
    Stray,
}

#[derive(Debug)]
struct Note {
    about: About,
    words: String,
    seen: bool,
}

/// The notes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    /// Writes one.
    pub(super) fn write(&mut self, about: About, words: String) {
        self.drop_about(&about);
        self.0.push(Note { about, words, seen: false });
    }

    /// It is no longer true.
    pub(super) fn drop_about(&mut self, about: &About) {
        self.0.retain(|note| note.about != *about);
    }

    /// A page that holds all of them is on the screen.
    pub(super) fn seen(&mut self) {
        for note in &mut self.0 {
            note.seen = true;
        }
    }

    /// A person has done something: what was seen may go.
    pub(super) fn acted(&mut self) {
        self.0.retain(|note| !note.seen);
    }

    /// What they say.
    pub(super) fn words(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|note| note.words.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(notes: &Notes) -> Vec<String> {
        notes.words().collect()
    }

    #[test]
    fn a_note_that_nobody_has_seen_outlives_what_a_person_does() {
        let mut notes = Notes::default();
        notes.write(About::Act, "no browser".into());
        notes.acted();
        assert_eq!(words(&notes), ["no browser"]);
        notes.seen();
        notes.write(About::Command, "it failed".into());
        notes.acted();
        assert_eq!(words(&notes), ["it failed"]);
    }

    #[test]
    fn a_newer_note_about_the_same_takes_the_place_of_the_older() {
        let mut notes = Notes::default();
        let grant = |name: &str| About::Grant(GrantId::from(name));
        notes.write(grant("claude-code/a"), "a was refused".into());
        notes.write(grant("claude-code/b"), "b was refused".into());
        notes.write(grant("claude-code/a"), "a was not reached".into());
        assert_eq!(words(&notes), ["b was refused", "a was not reached"]);
        notes.drop_about(&grant("claude-code/b"));
        assert_eq!(words(&notes), ["a was not reached"]);
    }
}
