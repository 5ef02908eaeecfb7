//! Notices when a store's files change, so that a client that renews by itself, a sign-out or a new
//! verdict is seen at once.
//!
//! It watches folders, because every writer replaces files by renaming. It must not read anything:
//! it only says which store is worth a look.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lamplighter_core::ids::StoreId;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::stores::Store;

/// A writer makes several changes in a row: one look after the last of them is enough.
const SETTLE: Duration = Duration::from_millis(150);

/// Watches until dropped.
pub struct Watch {
    /// Which stores changed; several changes at once come as one.
    pub changed: UnboundedReceiver<StoreId>,
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches the files of these stores. Where the system cannot watch, nothing ever comes, and the
    /// looks before each renewal have to do.
    pub fn over(stores: &[Arc<dyn Store>]) -> Self {
        let (send, changed) = unbounded_channel();
        let files = files_of(stores);
        let (raw, mut heard) = unbounded_channel::<StoreId>();
        let folders = folders_of(files.keys());
        let watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
            hear(event, &files, &raw);
        });
        let watcher = watcher
            .map(|mut watcher| {
                for folder in &folders {
                    // A folder that is not there yet has nothing to say.
                    if let Err(fault) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                        tracing::info!(folder = %folder.display(), %fault, "not watched");
                    }
                }
                watcher
            })
            .inspect_err(|fault| tracing::warn!(%fault, "changes of stores can't be watched"))
            .ok();
        tokio::spawn(async move {
            while let Some(first) = heard.recv().await {
                let mut stores = BTreeSet::from([first]);
                while let Ok(Some(more)) = tokio::time::timeout(SETTLE, heard.recv()).await {
                    stores.insert(more);
                }
                for store in stores {
                    if send.send(store).is_err() {
                        return;
                    }
                }
            }
        });
        Self { changed, _watcher: watcher }
    }
}

fn files_of(stores: &[Arc<dyn Store>]) -> BTreeMap<PathBuf, BTreeSet<StoreId>> {
    let mut files = BTreeMap::<PathBuf, BTreeSet<StoreId>>::new();
    for store in stores {
        for file in store.watched() {
            files.entry(file).or_default().insert(store.info().id);
        }
    }
    files
}

fn folders_of<'a>(files: impl Iterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    files.filter_map(|file| file.parent()).map(Path::to_owned).collect()
}

fn hear(
    event: Result<Event, notify::Error>,
    files: &BTreeMap<PathBuf, BTreeSet<StoreId>>,
    heard: &UnboundedSender<StoreId>,
) {
    let Ok(event) = event else { return };
    // Our own reading is not a change.
    if event.kind.is_access() {
        return;
    }
    for store in event.paths.iter().filter_map(|path| files.get(path)).flatten() {
        let _ = heard.send(store.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        paths::Env,
        stores::claude_code::{ClaudeCode, Folder, Form},
    };

    #[tokio::test]
    async fn a_file_that_is_replaced_is_a_change_and_a_reading_is_not() {
        let home = tempfile::tempdir().unwrap();
        let env = Env::fixed([("HOME", home.path().to_str().unwrap())]);
        let folder = home.path().join(".claude");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join(".credentials.json");
        std::fs::write(&file, "{}").unwrap();
        let usual = Folder::usual(&env).unwrap();
        let stores: Vec<Arc<dyn Store>> =
            vec![Arc::new(ClaudeCode::new(usual, env).with_form(Form::File))];
        let mut watch = Watch::over(&stores);
        std::fs::read(&file).unwrap();
        std::fs::write(folder.join("unrelated"), "x").unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(400), watch.changed.recv()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        let temp = folder.join(".credentials.json.tmp.1");
        std::fs::write(&temp, "{ }").unwrap();
        std::fs::rename(&temp, &file).unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(10), watch.changed.recv()).await;
        assert_eq!(changed.unwrap(), Some(StoreId::from("claude-code")));
    }
}
