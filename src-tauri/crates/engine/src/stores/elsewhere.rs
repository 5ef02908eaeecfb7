//! Opens stores that this process does not look after, so that what the journal holds for them can be
//! finished: it says where each of its stores lies.
//!
//! It must not open anything but a store of a kind that this version knows, in folders that are there and
//! belong to this user. What cannot be opened is said, with what a person can do.
//!
//! Read next: `lamplighter_core::keeper` for what is done in such a store, and what is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use lamplighter_core::{
    ids::StoreId,
    journal::{Record, Stage},
    keeper::Keeper,
    snapshot::Unfinished,
    store::{SignIns, StoreFault, StoreView, TokenPair},
};
use serde::{Deserialize, Serialize};

use super::{
    Store,
    claude_code::{ClaudeCode, Folder, folder},
};
use crate::{deadline, paths::Env};

/// How long a folder may take to say whose it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a store lies, as the journal keeps it. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "client")]
pub enum Location {
    /// Claude Code's, in these folders.
    ClaudeCode {
        /// The config folder.
        config: String,
        /// The folder of the credentials and locks.
        secure: String,
        /// The file that names servers.
        servers: String,
        /// The keychain item's service, where there is a keychain.
        service: String,
    },
    /// A client that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Location {
    /// Whether both are where one store lies, whatever its folders are called.
    fn is_same_store(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::ClaudeCode { secure: one, service: item, .. },
                Self::ClaudeCode { secure: other, service: other_item, .. },
            ) => folder::is_same_store((one.as_ref(), item), (other.as_ref(), other_item)),
            (Self::Unknown, _) | (_, Self::Unknown) => false,
        }
    }
}

/// What stores are called here that the journal calls otherwise. A record belongs to the store that lies
/// where the journal says: to the one of that name only if that one lies there.
pub(crate) fn renamed<'a>(
    journalled: impl IntoIterator<Item = (&'a StoreId, &'a Location)>,
    known: &BTreeMap<StoreId, Location>,
) -> BTreeMap<StoreId, StoreId> {
    let mut renamed = BTreeMap::new();
    for (id, location) in journalled {
        let is_there = |lies: &Location| lies.is_same_store(location);
        if known.get(id).is_some_and(is_there) {
            continue;
        }
        let here = known.iter().find(|(_, lies)| is_there(lies)).map(|(id, _)| id.clone());
        let name = match location {
            Location::ClaudeCode { secure, service, .. } if known.contains_key(id) => {
                here.or_else(|| Some(folder::name_of_another(secure.as_ref(), service)))
            }
            Location::ClaudeCode { .. } | Location::Unknown => here,
        };
        renamed.extend(name.map(|name| (id.clone(), name)));
    }
    renamed
}

/// A store that the journal speaks of, with the new tokens of how many sign-ins wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The store.
    pub store: StoreId,
    /// New tokens that it is not known to hold.
    pub unsaved: usize,
    /// How many of those are first sign-ins, which make their entry, and the file that it is in.
    #[serde(default)]
    pub first: usize,
    /// Where it lies, where that was written down.
    #[serde(default)]
    pub location: Option<Location>,
}

/// The stores that these records speak of.
pub(crate) fn waiting(records: &[Record], locations: &BTreeMap<StoreId, Location>) -> Vec<Waiting> {
    let mut counts = BTreeMap::<&StoreId, (usize, usize)>::new();
    for record in records {
        let stores: BTreeSet<&StoreId> = record.replaced.iter().map(|(t, _)| &t.store).collect();
        let waits = matches!(record.stage, Stage::Answered(_));
        let is_first = record.enrolment.is_some()
            && record.replaced.iter().all(|(_, pair)| *pair == TokenPair::default());
        for store in stores {
            let (unsaved, first) = counts.entry(store).or_default();
            *unsaved += usize::from(waits);
            *first += usize::from(waits && is_first);
        }
    }
    let each = counts.into_iter().map(|(store, (unsaved, first))| Waiting {
        store: store.clone(),
        unsaved,
        first,
        location: locations.get(store).cloned(),
    });
    each.collect()
}

/// Opens those of these stores that are not known yet, and tells the keeper of the others.
pub(crate) fn open(
    waiting: Vec<Waiting>,
    known: &BTreeSet<StoreId>,
    env: &Env,
    journal: &Path,
    keeper: &mut Keeper,
) -> Vec<Arc<dyn Store>> {
    let mut opened: Vec<Arc<dyn Store>> = Vec::new();
    for waiting in waiting.into_iter().filter(|waiting| !known.contains(&waiting.store)) {
        match store(&waiting, env) {
            Ok(store) => {
                tracing::info!(store = %waiting.store, "visited for what the journal holds for it");
                keeper.visit(store.info());
                opened.push(store);
            }
            Err(why) => {
                tracing::warn!(store = %waiting.store, %why, "the journal's records can't be finished");
                keeper.cannot_visit(unfinished(&waiting, why, journal));
            }
        }
    }
    opened
}

/// Where these stores lie, as far as that can be written down.
pub(crate) fn locations(stores: &[Arc<dyn Store>]) -> BTreeMap<StoreId, Location> {
    stores.iter().filter_map(|store| Some((store.info().id, store.location()?))).collect()
}

/// What of these can't be opened from here, for who only reads.
pub(crate) fn unfinished_among(
    mut waiting: Vec<Waiting>,
    stores: &[Arc<dyn Store>],
    env: &Env,
    journal: &Path,
) -> Vec<Unfinished> {
    let lie = |waiting: &'_ Waiting| Some((waiting.store.clone(), waiting.location.clone()?));
    let journalled: BTreeMap<StoreId, Location> = waiting.iter().filter_map(lie).collect();
    let renamed = renamed(&journalled, &locations(stores));
    for waiting in &mut waiting {
        if let Some(name) = renamed.get(&waiting.store) {
            waiting.store = name.clone();
        }
    }
    let shut = waiting.into_iter().filter_map(|waiting| {
        let why = match stores.iter().find(|store| store.info().id == waiting.store) {
            Some(known) => away(known, &waiting)?,
            None => store(&waiting, env).err()?,
        };
        Some(unfinished(&waiting, why, journal))
    });
    shut.collect()
}

/// Why nothing can be finished in a store that is looked after: it is not there. Where only its file is
/// gone, an answer that could not be read waits for nothing.
fn away(store: &Arc<dyn Store>, waiting: &Waiting) -> Option<String> {
    match super::look_patiently(store) {
        Ok(StoreView { sign_ins: SignIns::Read, .. }) => None,
        // A first sign-in makes it.
        Ok(StoreView { sign_ins: SignIns::None, .. }) if waiting.unsaved == waiting.first => None,
        Ok(_) => Some(StoreFault::Absent { place: store.info().place }.to_string()),
        Err(fault) => matches!(fault, StoreFault::Absent { .. }).then(|| fault.to_string()),
    }
}

fn unfinished(waiting: &Waiting, why: String, journal: &Path) -> Unfinished {
    let id = waiting.store.as_str();
    let (client, place) = match &waiting.location {
        Some(Location::ClaudeCode { config, .. }) => ("Claude Code", config.as_str()),
        Some(Location::Unknown) | None => {
            id.split_once('@').map_or((id, id), |(client, place)| (client, place))
        }
    };
    let journal = journal.display();
    Unfinished {
        store: waiting.store.clone(),
        client: client.into(),
        place: place.into(),
        sign_ins: waiting.unsaved,
        why,
        advice: format!(
            "bring it back and run `lamplighter renew`; or give what is kept for it up by removing \
             {journal} while no keeper runs"
        ),
    }
}

/// The store, where it can be opened. Blocks for as long as its folders do not answer.
pub(crate) fn when_it_answers(waiting: &Waiting, env: &Env) -> Option<Arc<dyn Store>> {
    let folder = folder(waiting, env).ok()?;
    let places = [&folder.config, &folder.secure];
    let there = places.into_iter().all(|place| is_a_folder_of_ours(place).is_ok());
    there.then(|| Arc::new(ClaudeCode::new(folder, env.clone())) as Arc<dyn Store>)
}

/// The store, or why it is not opened.
fn store(waiting: &Waiting, env: &Env) -> Result<Arc<dyn Store>, String> {
    let folder = folder(waiting, env)?;
    for place in [folder.config.clone(), folder.secure.clone()] {
        let silent = format!("{} does not answer", place.display());
        let looked = deadline::within(PATIENCE, move || is_a_folder_of_ours(&place));
        looked.unwrap_or(Err(silent))?;
    }
    Ok(Arc::new(ClaudeCode::new(folder, env.clone())))
}

/// Where the store lies, or why nobody knows.
fn folder(waiting: &Waiting, env: &Env) -> Result<Folder, String> {
    let home = env.home().ok_or("there is no home folder")?;
    match &waiting.location {
        Some(Location::Unknown) => Err("this version does not know its client".into()),
        Some(Location::ClaudeCode { config, secure, servers, service }) => Ok(Folder {
            id: waiting.store.clone(),
            config: config.into(),
            secure: secure.into(),
            servers: servers.into(),
            home,
            service: service.clone(),
        }),
        // An older version wrote no more than its name.
        None => Folder::named_as(&waiting.store, env)
            .ok_or_else(|| "nobody wrote down where it lies".into()),
    }
}

/// Whether a folder is there and belongs to this user.
fn is_a_folder_of_ours(place: &Path) -> Result<(), String> {
    let shown = place.display();
    if !place.is_absolute() {
        return Err(format!("{shown} is no whole path"));
    }
    let found = fs::metadata(place).map_err(|error| format!("{shown}: {error}"))?;
    if !found.is_dir() {
        return Err(format!("{shown} is no folder"));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::uid(&found) != rustix::process::geteuid().as_raw() {
        return Err(format!("{shown} belongs to another user"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(home: &Path) -> Env {
        Env::fixed([("HOME", home)])
    }

    fn at(store: &dyn Store) -> Waiting {
        Waiting { store: store.info().id, unsaved: 1, first: 0, location: store.location() }
    }

    #[test]
    fn a_store_is_opened_where_it_lies_whatever_this_process_was_told() {
        let home = tempfile::tempdir().unwrap();
        let (config, secure) = (home.path().join("work"), home.path().join("safe"));
        fs::create_dir(&config).unwrap();
        fs::create_dir(&secure).unwrap();
        let told = Env::fixed([
            ("HOME", home.path()),
            ("CLAUDE_CONFIG_DIR", &config),
            ("CLAUDE_SECURESTORAGE_CONFIG_DIR", &secure),
        ]);
        let there = ClaudeCode::new(Folder::usual(&told).unwrap(), told.clone());
        let opened = store(&at(&there), &env(home.path())).unwrap();
        assert_eq!(opened.info(), there.info());
        assert_eq!(opened.watched(), there.watched());
        // The name alone leads there too, where nothing more was kept.
        let bare = Waiting { location: None, ..at(&there) };
        assert_eq!(store(&bare, &env(home.path())).unwrap().info().id, there.info().id);
        let usual = Waiting { store: "claude-code".into(), unsaved: 0, first: 0, location: None };
        fs::create_dir(home.path().join(".claude")).unwrap();
        assert_eq!(store(&usual, &told).unwrap().info().id.as_str(), "claude-code");
    }

    #[test]
    fn a_record_is_of_the_store_that_lies_where_it_says_whatever_that_is_called() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let usual = |home: &Path| -> Arc<dyn Store> {
            fs::create_dir_all(home.join(".claude")).unwrap();
            Arc::new(ClaudeCode::new(Folder::usual(&env(home)).unwrap(), env(home)))
        };
        let (here, there) = (usual(one.path()), usual(other.path()));
        let waiting = at(&*there);
        assert_eq!(waiting.store, here.info().id, "two stores under one name");
        let known = locations(std::slice::from_ref(&here));
        let names = |id: &StoreId, location| renamed([(id, location)], &known);
        let location = waiting.location.as_ref().unwrap();
        let name = names(&waiting.store, location).remove(&waiting.store).unwrap();
        let shown = other.path().join(".claude");
        assert_eq!(name.as_str(), format!("claude-code@{}", shown.display()));
        // Once it is known there, that is its name again.
        let known = locations(&[there]);
        assert_eq!(renamed([(&name, location)], &known), [(name, "claude-code".into())].into());
        // By another name of the folder it is the same store.
        #[cfg(unix)]
        {
            let link = one.path().join("link");
            std::os::unix::fs::symlink(one.path().join(".claude"), &link).unwrap();
            let link = Folder::other(&link, one.path()).location().unwrap();
            assert_eq!(names(&here.info().id, &link), BTreeMap::new());
        }
        // Who only reads sees it too.
        fs::remove_dir_all(other.path().join(".claude")).unwrap();
        let told = unfinished_among(vec![waiting], &[here], &env(one.path()), Path::new("journal"));
        assert_eq!(told.first().map(|unfinished| Path::new(&unfinished.place)), Some(&*shown));
    }

    #[test]
    fn nothing_is_opened_that_is_not_a_folder_of_this_users_or_of_a_client_that_is_known() {
        let home = tempfile::tempdir().unwrap();
        let gone = Folder::other(&home.path().join("gone"), home.path());
        let gone = ClaudeCode::new(gone, env(home.path()));
        let why = |waiting: &Waiting| store(waiting, &env(home.path())).err().unwrap();
        assert!(why(&at(&gone)).contains("gone"), "{}", why(&at(&gone)));
        let somewhere = |config: &str| Waiting {
            location: Some(Location::ClaudeCode {
                config: config.into(),
                secure: config.into(),
                servers: config.into(),
                service: String::new(),
            }),
            ..at(&gone)
        };
        assert!(why(&somewhere("work")).contains("no whole path"));
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(why(&somewhere(file.to_str().unwrap())).contains("no folder"));
        #[cfg(unix)]
        if rustix::process::geteuid().as_raw() != 0 {
            assert!(why(&somewhere("/")).contains("another user"));
        }
        let newer: Location = serde_json::from_str(r#"{"client":"another","where":"x"}"#).unwrap();
        assert!(why(&Waiting { location: Some(newer), ..at(&gone) }).contains("does not know"));
        for odd in ["another@~/x", "claude-code@", "claude-code@relative"] {
            let odd = Waiting { store: odd.into(), unsaved: 0, first: 0, location: None };
            assert!(store(&odd, &env(home.path())).is_err(), "{}", odd.store);
        }
    }
}
