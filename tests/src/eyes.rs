//! Who opens what in a folder: an eye on it and on every folder below.
//!
//! It must not open anything in there itself once it looks. Where to read next: inotify(7).

use std::{
    collections::BTreeMap,
    fs,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init},
    io::Errno,
};

/// The eye; closed when dropped.
#[derive(Debug)]
pub struct Eyes {
    events: OwnedFd,
    folders: BTreeMap<i32, PathBuf>,
}

impl Eyes {
    /// Looks at these folders, and at those that are below them now.
    pub fn on(folders: &[PathBuf]) -> Self {
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("inotify");
        let mut eyes = Self { events, folders: BTreeMap::new() };
        // All are listed before the first is looked at: listing a folder opens it.
        let mut all = Vec::new();
        for folder in folders {
            below(folder, &mut all);
        }
        for folder in all {
            let what = WatchFlags::OPEN
                | WatchFlags::MODIFY
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVE;
            let number = add_watch(&eyes.events, &folder, what).expect("a folder to look at");
            eyes.folders.insert(number, folder);
        }
        eyes
    }

    /// What was opened, made, changed or taken away since the last look.
    pub fn seen(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.events, &mut buffer);
        let mut seen = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    let folder = self.folders.get(&event.wd()).cloned().unwrap_or_default();
                    let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
                    let what = folder.join(name.unwrap_or_default());
                    seen.push(format!("{} {:?}", what.display(), event.events()));
                }
                Err(Errno::AGAIN) => return seen,
                Err(error) => panic!("inotify: {error}"),
            }
        }
    }
}

fn below(folder: &Path, all: &mut Vec<PathBuf>) {
    all.push(folder.to_owned());
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&entry.path(), all);
        }
    }
}
