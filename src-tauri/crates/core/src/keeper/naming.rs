//! What people call a grant: `claude-code/slack`, with hexadecimal digits of its key where two would be
//! called the same.
//!
//! An identifier must mean one grant, whatever a server or a folder is called: `~` and `/` stand for
//! nothing in a name (see [`text::encoded`](crate::text::encoded)), and a tie gets as many digits as it
//! takes. What is only configured never takes an identifier that a grant has.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use sha2::{Digest, Sha256};

use crate::{
    hex::hex,
    ids::{EntryKey, GrantId, StoreId},
    store::ConfiguredServer,
};

/// How many digits a tie is told apart by; more where fewer are not enough.
const DIGITS: [usize; 4] = [4, 8, 16, 64];

/// Names for the entries of one store, given as key and server name.
pub(super) fn names<'a>(
    store: &StoreId,
    entries: impl Iterator<Item = (&'a EntryKey, &'a str)>,
) -> BTreeMap<EntryKey, GrantId> {
    let mut alike = BTreeMap::<&str, Vec<&EntryKey>>::new();
    for (key, name) in entries {
        alike.entry(name).or_default().push(key);
    }
    let named = alike.into_iter().flat_map(|(name, keys)| {
        let ids = match keys.as_slice() {
            [_] => Vec::from([GrantId::of(store, name)]),
            several => {
                let marks: Vec<String> = several.iter().map(|key| digest(key.as_str())).collect();
                told_apart(store, name, &marks, &|_| false)
            }
        };
        keys.into_iter().cloned().zip(ids)
    });
    named.collect()
}

/// Names for the servers of one store that only configuration knows, in their order. `is_a_grants`: whether
/// a grant is called so.
pub(super) fn configured(
    store: &StoreId,
    servers: &[ConfiguredServer],
    is_a_grants: &dyn Fn(&GrantId) -> bool,
) -> Vec<GrantId> {
    let mut alike = BTreeMap::<&str, Vec<usize>>::new();
    for (place, server) in servers.iter().enumerate() {
        alike.entry(&server.name).or_default().push(place);
    }
    let mut ids = alloc::vec![GrantId(String::new()); servers.len()];
    for (name, places) in alike {
        let plain = GrantId::of(store, name);
        let named = if places.len() == 1 && !is_a_grants(&plain) {
            Vec::from([plain])
        } else {
            let marks = places.iter().filter_map(|place| servers.get(*place)).map(|server| {
                // A key and an address are different things, even where they read the same.
                server.key.as_ref().map_or_else(
                    || digest(&format!("address {}", server.url)),
                    |key| digest(key.as_str()),
                )
            });
            told_apart(store, name, &marks.collect::<Vec<_>>(), is_a_grants)
        };
        for (place, id) in places.into_iter().zip(named) {
            if let Some(slot) = ids.get_mut(place) {
                *slot = id;
            }
        }
    }
    ids
}

/// One name for several, each with as many digits of its mark as tell all of them apart.
fn told_apart(
    store: &StoreId,
    name: &str,
    marks: &[String],
    is_taken: &dyn Fn(&GrantId) -> bool,
) -> Vec<GrantId> {
    let plain = GrantId::of(store, name);
    let with = |digits: usize| {
        let ids = marks.iter().map(|mark| {
            let mark = mark.get(..digits).unwrap_or(mark);
            GrantId(format!("{plain}~{mark}"))
        });
        ids.collect::<Vec<_>>()
    };
    let apart = |ids: &Vec<GrantId>| {
        ids.iter().collect::<BTreeSet<_>>().len() == ids.len() && !ids.iter().any(is_taken)
    };
    DIGITS.into_iter().map(with).find(apart).unwrap_or_else(|| with(64))
}

fn digest(mark: &str) -> String {
    hex(&Sha256::digest(mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::SignInConfig;

    fn server(name: &str, url: &str, key: Option<&str>) -> ConfiguredServer {
        ConfiguredServer {
            name: name.into(),
            url: url.into(),
            key: key.map(EntryKey::from),
            sign_in: SignInConfig::default(),
        }
    }

    #[test]
    fn only_a_tie_gets_digits() {
        let keys = [EntryKey::from("a|1"), EntryKey::from("a|2"), EntryKey::from("b|3")];
        let entries = [(&keys[0], "a"), (&keys[1], "a"), (&keys[2], "b")];
        let names = names(&StoreId::from("claude-code"), entries.into_iter());
        assert_eq!(names[&keys[2]].as_str(), "claude-code/b");
        assert!(names[&keys[0]].as_str().starts_with("claude-code/a~"));
        assert_ne!(names[&keys[0]], names[&keys[1]]);
    }

    #[test]
    fn a_server_that_is_called_like_a_tie_is_not_that_tie() {
        let store = StoreId::from("claude-code");
        let keys = [EntryKey::from("slack|1"), EntryKey::from("slack|2")];
        let tied = names(&store, keys.iter().map(|key| (key, "slack")));
        for id in tied.values() {
            let name = id.as_str().strip_prefix("claude-code/").unwrap();
            let other = EntryKey(format!("{name}|3"));
            let entries = keys.iter().map(|key| (key, "slack")).chain([(&other, name)]);
            let all = names(&store, entries);
            assert_eq!(all.values().collect::<BTreeSet<_>>().len(), 3, "{all:?}");
            let only_configured = configured(&store, &[server(name, "https://x", None)], &|id| {
                tied.values().any(|taken| taken == id)
            });
            assert_ne!(only_configured[0], *id);
        }
    }

    #[test]
    fn ties_whose_first_digits_are_the_same_get_more_of_them() {
        // Found by trying: their digests begin with the same four digits.
        let mut seen = BTreeMap::<String, EntryKey>::new();
        let pair = (0..100_000_u32).find_map(|n| {
            let key = EntryKey(format!("slack|{n}"));
            let other = seen.insert(digest(key.as_str())[..4].into(), key.clone());
            other.map(|other| [other, key])
        });
        let keys = pair.unwrap();
        let named = names(&StoreId::from("s"), keys.iter().map(|key| (key, "slack")));
        assert_ne!(named[&keys[0]], named[&keys[1]]);
        assert_eq!(named[&keys[0]].as_str().len(), "s/slack~".len() + 8);
    }

    /// Names and folders that could be taken for one another, and for ties.
    fn word() -> impl Strategy<Value = String> {
        prop_oneof!["[a~/%@ ]{0,4}", "slack(~[0-9a-f]{4})?", "[ab/~]{0,3}\u{1b}?", any::<String>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn one_identifier_means_one_server_of_one_folder(
            folders in prop::collection::btree_set(word(), 1..4),
            entries in prop::collection::vec((0..4_usize, word(), word()), 1..20),
            servers in prop::collection::vec((0..4_usize, word(), word(), any::<bool>()), 0..12),
        ) {
            let mut all = BTreeSet::new();
            let mut count = 0;
            for (place, folder) in folders.iter().enumerate() {
                let store = StoreId(format!("claude-code@{folder}"));
                let own: BTreeMap<EntryKey, String> = entries
                    .iter()
                    .filter(|(of, ..)| *of == place)
                    .map(|(_, name, key)| (EntryKey(key.clone()), name.clone()))
                    .collect();
                let named = names(&store, own.iter().map(|(key, name)| (key, name.as_str())));
                let mut known = BTreeSet::new();
                // As a store lists them: each name and address once, each key that has no entry.
                let configured_here: Vec<ConfiguredServer> = servers
                    .iter()
                    .filter(|(of, ..)| *of == place)
                    .filter(|(_, name, url, _)| known.insert((name, url)))
                    .map(|(_, name, url, keyed)| {
                        let key = keyed.then(|| format!("{name}|{url}"));
                        server(name, url, key.as_deref())
                    })
                    .filter(|s| s.key.as_ref().is_none_or(|key| !own.contains_key(key)))
                    .collect();
                let taken: BTreeSet<GrantId> = named.values().cloned().collect();
                count += named.len() + configured_here.len();
                all.extend(configured(&store, &configured_here, &|id| taken.contains(id)));
                all.extend(taken);
            }
            prop_assert_eq!(all.len(), count, "{:?}", all);
        }
    }
}
