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
    /// Keeps the channel open where nothing can be watched.
    _quiet: UnboundedSender<StoreId>,
}

impl Watch {
    /// Watches the files of these stores; must be called on a runtime. Where the system cannot watch,
    /// nothing ever comes, and the looks before each renewal have to do.
    pub fn over(stores: &[Arc<dyn Store>]) -> Self {
        Self::posted(files_of(stores))
    }

    /// Watches these files, whose changes all come by the same empty name.
    pub fn over_files(files: Vec<PathBuf>) -> Self {
        let name = || BTreeSet::from([StoreId(String::new())]);
        Self::posted(files.into_iter().map(|file| (file, name())).collect())
    }

    fn posted(files: BTreeMap<PathBuf, BTreeSet<StoreId>>) -> Self {
        let (send, changed) = unbounded_channel();
        let (raw, heard) = unbounded_channel::<PathBuf>();
        let watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
            let Ok(event) = event else { return };
            // Our own reading is not a change.
            if !event.kind.is_access() {
                for path in event.paths {
                    let _ = raw.send(path);
                }
            }
        });
        match watcher {
            Ok(watcher) => {
                let mut posts = Posts { watcher, files, standing: BTreeSet::new() };
                posts.stand();
                tokio::spawn(listen(posts, heard, send.clone()));
            }
            Err(fault) => tracing::warn!(%fault, "changes of stores can't be watched"),
        }
        Self { changed, _quiet: send }
    }
}

/// The folders that are watched, for the files in them.
struct Posts {
    watcher: RecommendedWatcher,
    files: BTreeMap<PathBuf, BTreeSet<StoreId>>,
    standing: BTreeSet<PathBuf>,
}

impl Posts {
    /// Watches each file's folder; where that is not there yet, the nearest one above it that is, so
    /// that its coming is seen.
    fn stand(&mut self) {
        let wanted: BTreeSet<PathBuf> = self
            .files
            .keys()
            .filter_map(|file| file.ancestors().skip(1).find(|folder| folder.is_dir()))
            .map(Path::to_owned)
            .collect();
        for gone in self.standing.difference(&wanted) {
            // It may be gone from the disk as well.
            let _ = self.watcher.unwatch(gone);
        }
        for new in wanted.difference(&self.standing) {
            if let Err(fault) = self.watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::info!(folder = %new.display(), %fault, "not watched");
            }
        }
        self.standing = wanted;
    }

    /// The stores that a change at `path` concerns, and whether folders came or went.
    fn concerns(&self, path: &Path) -> (BTreeSet<StoreId>, bool) {
        let stores = self.files.get(path).cloned().unwrap_or_default();
        let above =
            self.files.iter().filter(|(file, _)| file.ancestors().skip(1).any(|f| f == path));
        let moved: BTreeSet<StoreId> = above.flat_map(|(_, stores)| stores.clone()).collect();
        let folders = !moved.is_empty();
        (stores.into_iter().chain(moved).collect(), folders)
    }
}

async fn listen(
    mut posts: Posts,
    mut heard: UnboundedReceiver<PathBuf>,
    send: UnboundedSender<StoreId>,
) {
    let mut stores = BTreeSet::new();
    loop {
        let path = tokio::select! {
            path = heard.recv() => path,
            () = send.closed() => return,
        };
        let Some(path) = path else { return };
        let mut next = Some(path);
        while let Some(path) = next.take() {
            let (concerned, folders) = posts.concerns(&path);
            stores.extend(concerned);
            if folders {
                // A folder that was made again is another one: it is watched anew.
                let _ = posts.watcher.unwatch(&path);
                posts.standing.remove(&path);
                posts.stand();
            }
            if !stores.is_empty() {
                next = tokio::time::timeout(SETTLE, heard.recv()).await.ok().flatten();
            }
        }
        for store in std::mem::take(&mut stores) {
            if send.send(store).is_err() {
                return;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        paths::Env,
        stores::claude_code::{ClaudeCode, Folder, Form},
    };

    fn over(home: &Path) -> (Watch, PathBuf) {
        let env = Env::fixed([("HOME", home.to_str().unwrap())]);
        let usual = Folder::usual(&env).unwrap();
        let stores: Vec<Arc<dyn Store>> =
            vec![Arc::new(ClaudeCode::new(usual, env).with_form(Form::File))];
        (Watch::over(&stores), home.join(".claude/.credentials.json"))
    }

    async fn changed(watch: &mut Watch) -> bool {
        let changed = tokio::time::timeout(Duration::from_secs(10), watch.changed.recv()).await;
        changed.is_ok_and(|store| store == Some(StoreId::from("claude-code")))
    }

    async fn quiet(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_millis(400), watch.changed.recv()).await.is_err()
    }

    fn replace(file: &Path) {
        let temp = file.with_extension("tmp.1");
        std::fs::write(&temp, "{ }").unwrap();
        std::fs::rename(&temp, file).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_is_a_change_and_a_reading_is_not() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".claude")).unwrap();
        std::fs::write(home.path().join(".claude/.credentials.json"), "{}").unwrap();
        let (mut watch, file) = over(home.path());
        std::fs::read(&file).unwrap();
        std::fs::write(file.with_file_name("unrelated"), "x").unwrap();
        assert!(quiet(&mut watch).await);
        replace(&file);
        assert!(changed(&mut watch).await);
    }

    #[tokio::test]
    async fn a_folder_that_comes_later_goes_and_comes_again_is_watched_each_time() {
        let home = tempfile::tempdir().unwrap();
        let (mut watch, file) = over(home.path());
        for _ in 0..2 {
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            assert!(changed(&mut watch).await);
            replace(&file);
            assert!(changed(&mut watch).await);
            std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
            assert!(changed(&mut watch).await);
            while !quiet(&mut watch).await {}
        }
    }
}
