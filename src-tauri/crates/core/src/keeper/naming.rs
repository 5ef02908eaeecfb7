//! What people call a grant: `claude-code/slack`, with four hexadecimal digits of its key where two
//! would be called the same.

use alloc::{collections::BTreeMap, format};

use sha2::{Digest, Sha256};

use crate::ids::{EntryKey, GrantId, StoreId, hex};

/// Names for the entries of one store, given as key and server name.
pub(super) fn names<'a>(
    store: &StoreId,
    entries: impl Iterator<Item = (&'a EntryKey, &'a str)> + Clone,
) -> BTreeMap<EntryKey, GrantId> {
    let mut count = BTreeMap::<&str, usize>::new();
    for (_, name) in entries.clone() {
        *count.entry(name).or_default() += 1;
    }
    let named = entries.map(|(key, name)| {
        let unique = count.get(name).is_none_or(|n| *n == 1);
        let id = if unique { plain(store, name) } else { tied(store, name, key.as_str()) };
        (key.clone(), id)
    });
    named.collect()
}

/// The name of the only server that is called so.
pub(super) fn plain(store: &StoreId, name: &str) -> GrantId {
    GrantId(format!("{store}/{name}"))
}

/// The name of one of several; `mark` is its key, or whatever else tells it from the others.
pub(super) fn tied(store: &StoreId, name: &str, mark: &str) -> GrantId {
    GrantId(format!("{store}/{name}~{}", hex(&Sha256::digest(mark.as_bytes())[..2])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tie_gets_digits() {
        let keys = [EntryKey::from("a|1"), EntryKey::from("a|2"), EntryKey::from("b|3")];
        let entries = [(&keys[0], "a"), (&keys[1], "a"), (&keys[2], "b")];
        let names = names(&StoreId::from("claude-code"), entries.into_iter());
        assert_eq!(names[&keys[2]].as_str(), "claude-code/b");
        assert!(names[&keys[0]].as_str().starts_with("claude-code/a~"));
        assert_ne!(names[&keys[0]], names[&keys[1]]);
    }
}
