//! The demo: four servers on loopback and a home of its own, both gone when it ends.
//!
//! It must not touch anything of the person's.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use lamplighter_rehearsal::Demo as Servers;

/// See the [module](self).
pub(crate) struct Demo {
    home: tempfile::TempDir,
    /// Dropped, it ends the thread that plays the servers' part.
    _end: mpsc::Sender<()>,
}

impl Demo {
    pub(crate) fn start() -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("lamplighter-demo-").tempdir()?;
        let servers = Arc::new(Servers::start()?);
        let folder = home.path().join(".claude");
        fs::create_dir(&folder)?;
        // A temporary file is for its user alone from the start.
        let file = tempfile::NamedTempFile::new_in(home.path())?;
        serde_json::to_writer(&file, &servers.store())?;
        file.persist(folder.join(".credentials.json"))?;
        let (end, ended) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let notes = Duration::from_secs(Servers::NOTES_END_SECONDS);
            if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(notes) {
                servers.end_notes();
                // Nothing is ever sent: this waits until the demo is dropped.
                let _ = ended.recv();
            }
        });
        Ok(Self { home, _end: end })
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }
}
