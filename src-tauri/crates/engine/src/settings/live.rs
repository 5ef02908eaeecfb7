//! The settings file while somebody keeps: heard when it changes, and never trusted when it can't be
//! read.
//!
//! Settings that can't be read change nothing: the last good ones stay in effect, and where there were
//! none nothing is kept. It must not guess, move or replace the file. Each fault is told once, until
//! the file is mended.
//!
//! Read next: [`watch`](crate::watch), which tells of changes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{PATIENCE, Settings, SettingsFault, read_text, told};
use crate::{
    deadline::{Answer, Asker, Limits, Question},
    paths::Env,
    watch::Watch,
};

/// How often the file is looked at where no change of it can be heard.
const LOOK: Duration = Duration::from_secs(37);
/// After which time a file that is gone or empty is believed to be: some programs replace a file by
/// emptying or removing it first.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// How the file is asked for what stands in it. One that does not answer is not asked again before it
/// does: each question would leave a thread behind.
const ASKING: Limits =
    Limits { round: PATIENCE, least: PATIENCE, backoff: Duration::ZERO, left_behind: 1 };

/// What the file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is another than before, and good.
    Settings(Box<Settings>),
    /// It can't be read, which was not told yet.
    Fault(SettingsFault),
    /// It could not be read before, and is as the last good one was.
    Mended,
}

/// The file, looked at whenever it changes.
pub struct LiveSettings {
    place: PathBuf,
    env: Env,
    asker: Asker,
    text: Arc<Question<Result<Option<String>, String>>>,
    good: Option<Settings>,
    fault: Option<SettingsFault>,
    /// Since when nothing stands in the file, where something did.
    emptied: Option<Instant>,
    /// What is watched, and the watch over it.
    watch: Option<(Vec<PathBuf>, Watch)>,
}

impl LiveSettings {
    /// The file at `place`; nothing is read yet. `good`: what is in effect.
    pub fn new(place: &Path, env: &Env, good: Option<Settings>) -> Self {
        Self {
            place: place.into(),
            env: env.clone(),
            asker: Asker::new(ASKING),
            text: Arc::default(),
            good,
            fault: None,
            emptied: None,
            watch: None,
        }
    }

    /// Why the file can't be read now; `None` where it can.
    pub const fn fault(&self) -> Option<&SettingsFault> {
        self.fault.as_ref()
    }

    /// The last good settings.
    pub const fn good(&self) -> Option<&Settings> {
        self.good.as_ref()
    }

    /// Reads the file now; `None` where nothing is new.
    pub fn look(&mut self) -> Option<Change> {
        let text = self.text();
        if self.may_be_in_the_making(text.as_ref()) {
            return None;
        }
        let read = text.and_then(|text| Settings::of_text(text.as_deref(), &self.place, &self.env));
        match read.and_then(|read| self.usable(read)) {
            Ok(settings) => {
                let was_faulty = self.fault.take().is_some();
                if self.good.as_ref() == Some(&settings) {
                    return was_faulty.then_some(Change::Mended);
                }
                self.good = Some(settings.clone());
                Some(Change::Settings(Box::new(settings)))
            }
            Err(fault) if self.fault.as_ref() == Some(&fault) => None,
            Err(fault) => {
                self.fault = Some(fault.clone());
                Some(Change::Fault(fault))
            }
        }
    }

    /// What stands in the file now.
    fn text(&self) -> Result<Option<String>, SettingsFault> {
        let file = self.place.clone();
        match self.asker.round().ask(&self.text, move || read_text(&file)) {
            Answer::Now(read) => told(&self.place, Some(Result::clone(&read))),
            Answer::Silent(_) => told(&self.place, None),
        }
    }

    /// Whether nothing stands in the file where something did a moment ago.
    fn may_be_in_the_making(&mut self, text: Result<&Option<String>, &SettingsFault>) -> bool {
        let is_empty =
            text.is_ok_and(|text| text.as_ref().is_none_or(|text| text.trim().is_empty()));
        let said_something = self.good.as_ref().is_some_and(|good| *good != Settings::default());
        if !said_something || !is_empty {
            self.emptied = None;
            return false;
        }
        self.emptied.get_or_insert_with(Instant::now).elapsed() < SECOND_LOOK
    }

    /// What is set about the network has to work before a keeper begins anew with it, also where it was
    /// set before: a file of certificates may have gone.
    fn usable(&self, settings: Settings) -> Result<Settings, SettingsFault> {
        if self.good.as_ref().is_none_or(|good| good.differs_for_a_keeper(&settings)) {
            settings.check_network(&self.place, &self.env)?;
        }
        Ok(settings)
    }

    /// Waits until the file came to something new. Must be called within a tokio runtime; may be
    /// dropped and called again at any time.
    pub async fn changed(&mut self) -> Change {
        loop {
            self.watch_what_is_there();
            // What changed before the watch began is seen by this look.
            if let Some(change) = self.look() {
                return change;
            }
            let Some((_, watch)) = &mut self.watch else { continue };
            tokio::select! {
                _ = watch.changed.recv() => {}
                () = tokio::time::sleep(if self.emptied.is_some() { SECOND_LOOK } else { LOOK }) => {}
            }
        }
    }

    /// Watches the file, and where it is a link also what that leads to.
    fn watch_what_is_there(&mut self) {
        let mut files = vec![self.place.clone()];
        if let Ok(real) = self.place.canonicalize()
            && real != self.place
        {
            files.push(real);
        }
        if self.watch.as_ref().is_none_or(|(watched, _)| *watched != files) {
            self.watch = Some((files.clone(), Watch::over_files(files)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn settings(change: Change) -> Settings {
        let Change::Settings(settings) = change else { panic!("{change:?}") };
        *settings
    }

    #[tokio::test]
    async fn a_fault_is_told_once_and_what_was_set_before_stays_until_it_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("settings.toml");
        let env = Env::fixed([("HOME", folder.path())]);
        fs::write(&place, "probe = false\n").unwrap();
        let mut live = LiveSettings::new(&place, &env, None);
        let first = settings(live.changed().await);
        assert!(!first.probe);
        fs::write(&place, "probe = false\nnotices = maybe\n").unwrap();
        let Change::Fault(fault) = live.changed().await else { panic!("it was not told") };
        assert_eq!(fault.at.map(|(line, _)| line), Some(2));
        assert_eq!(live.look(), None, "told once");
        assert_eq!(live.good(), Some(&first));
        fs::write(&place, "probe = false\n# mended\n").unwrap();
        assert_eq!(live.changed().await, Change::Mended);
        assert_eq!(live.fault(), None);
        fs::remove_file(&place).unwrap();
        assert_eq!(settings(live.changed().await), Settings::default());
    }

    #[tokio::test]
    async fn a_file_that_is_emptied_or_gone_for_a_moment_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("settings.toml");
        let env = Env::fixed([("HOME", folder.path())]);
        let text = "[stores.claude-code]\nenabled = false\n";
        fs::write(&place, text).unwrap();
        let mut live = LiveSettings::new(&place, &env, None);
        let first = settings(live.look().unwrap());
        for empty in [true, false] {
            if empty {
                fs::write(&place, "").unwrap();
            } else {
                fs::remove_file(&place).unwrap();
            }
            assert_eq!(live.look(), None);
            fs::write(&place, text).unwrap();
            assert_eq!(live.look(), None);
            assert_eq!(live.good(), Some(&first));
        }
        // What stays gone is gone.
        fs::remove_file(&place).unwrap();
        assert_eq!(settings(live.changed().await), Settings::default());
    }

    #[tokio::test]
    #[cfg(unix)]
    async fn a_link_that_leads_nowhere_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dotfiles = folder.path().join("dotfiles");
        fs::create_dir(&dotfiles).unwrap();
        fs::write(dotfiles.join("lamp.toml"), "consent = \"watch\"\n").unwrap();
        let place = folder.path().join("settings.toml");
        std::os::unix::fs::symlink(dotfiles.join("lamp.toml"), &place).unwrap();
        let env = Env::fixed([("HOME", folder.path())]);
        let mut live = LiveSettings::new(&place, &env, None);
        let first = settings(live.changed().await);
        fs::rename(&dotfiles, folder.path().join("away")).unwrap();
        let Change::Fault(fault) = live.changed().await else { panic!("it was not told") };
        assert!(fault.what.contains("leads to no file"), "{fault}");
        assert_eq!(live.good(), Some(&first));
        fs::rename(folder.path().join("away"), &dotfiles).unwrap();
        assert_eq!(live.look(), Some(Change::Mended));
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_is_a_link_to_nowhere_changes_nothing_either() {
        let folder = tempfile::tempdir().unwrap();
        let dotfiles = folder.path().join("dotfiles");
        let inner = dotfiles.join("lamplighter");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("settings.toml"), "consent = \"watch\"\n").unwrap();
        // Of the folder itself, or of one further up.
        for (link, to) in [("lamplighter", &inner), ("config", &dotfiles)] {
            let link = folder.path().join(link);
            std::os::unix::fs::symlink(to, &link).unwrap();
            let below = if *to == inner { link.clone() } else { link.join("lamplighter") };
            let place = below.join("settings.toml");
            let env = Env::fixed([("HOME", folder.path())]);
            let mut live = LiveSettings::new(&place, &env, None);
            let first = settings(live.look().unwrap());
            fs::rename(&dotfiles, folder.path().join("away")).unwrap();
            let Some(Change::Fault(fault)) = live.look() else { panic!("it was not told") };
            assert!(fault.what.contains("leads nowhere"), "{fault}");
            assert_eq!(live.good(), Some(&first));
            // Nobody who starts meanwhile takes the defaults for what the user wants.
            Settings::read(&place, &env).unwrap_err();
            fs::rename(folder.path().join("away"), &dotfiles).unwrap();
            assert_eq!(live.look(), Some(Change::Mended));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_does_not_answer_leaves_one_thread_however_often_it_is_looked_at() {
        let name = "settings::live::tests::a_file_that_does_not_answer_leaves_one_thread_however_often_it_is_looked_at";
        let Some(dead) = crate::testing::with_a_dead_folder(name) else { return };
        let env = Env::fixed([("HOME", &dead)]);
        let threads = || fs::read_dir("/proc/self/task").unwrap().count();
        let mut live = LiveSettings::new(&dead.join("settings.toml"), &env, None);
        let Some(Change::Fault(fault)) = live.look() else { panic!("it was not told") };
        assert!(fault.what.contains("does not answer"), "{fault}");
        let after_one = threads();
        for _ in 0..5 {
            assert_eq!(live.look(), None, "told once");
        }
        assert_eq!(threads(), after_one);
    }

    #[test]
    fn certificates_that_have_gone_are_missed_before_a_keeper_begins_anew_without_them() {
        let folder = tempfile::tempdir().unwrap();
        let (place, pem) = (folder.path().join("settings.toml"), folder.path().join("corp.pem"));
        let env = Env::fixed([("HOME", folder.path())]);
        let text = format!("[network]\nextra_ca = ['{}']\n", pem.display());
        let certificate = rcgen::generate_simple_self_signed(vec!["corp".into()]).unwrap();
        fs::write(&pem, certificate.cert.pem()).unwrap();
        fs::write(&place, &text).unwrap();
        let mut live = LiveSettings::new(&place, &env, None);
        let first = settings(live.look().unwrap());
        fs::remove_file(&pem).unwrap();
        assert_eq!(live.look(), None, "nothing begins anew");
        fs::write(&place, format!("probe = false\n{text}")).unwrap();
        let Some(Change::Fault(fault)) = live.look() else { panic!("it was not told") };
        assert!(fault.what.contains("corp.pem"), "{fault}");
        assert_eq!(live.good(), Some(&first));
    }

    #[tokio::test]
    #[cfg(unix)]
    async fn a_change_behind_a_link_is_heard_too() {
        let folder = tempfile::tempdir().unwrap();
        let dotfiles = folder.path().join("dotfiles");
        fs::create_dir(&dotfiles).unwrap();
        let (place, real) = (folder.path().join("settings.toml"), dotfiles.join("lamp.toml"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &place).unwrap();
        let env = Env::fixed([("HOME", folder.path())]);
        let mut live = LiveSettings::new(&place, &env, Some(Settings::default()));
        let mut changed = std::pin::pin!(live.changed());
        tokio::select! {
            biased;
            change = &mut changed => panic!("{change:?}"),
            () = std::future::ready(()) => {}
        }
        fs::write(&real, "probe = false\n").unwrap();
        assert!(!settings(changed.await).probe);
    }
}
