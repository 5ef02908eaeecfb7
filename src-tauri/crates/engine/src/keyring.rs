//! The journal's key in the system's keyring, asked for when the engine starts; where there was none,
//! a keeper asks again later ([`Later`]).
//!
//! It must never bring up a dialog that nobody asked for and never hold anything up: the question is
//! asked on a thread of its own, a locked keyring is told from an open one before anything is read,
//! and whatever takes too long is left to itself. The keyring is never asked while a new token
//! exists in memory only.
//!
//! Each home has a key of its own ([`Owner`]), under service `dev.lamplighter`. A version that knew no
//! homes had one for all: the usual home takes it over, and another home copies it where its journal is
//! sealed under it. Nothing but a home's own key is ever removed with it.

mod later;
#[cfg(any(target_os = "macos", windows))]
mod native;
#[cfg(all(unix, not(target_os = "macos")))]
mod secret_service;

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

pub use later::Later;

use crate::{
    home::Home,
    journal::Journal,
    paths::{Env, Paths},
    seal::Key,
    settings::{KeyringUse, Settings},
};

const SERVICE: &str = "dev.lamplighter";
const USER: &str = "journal-key";

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    home: Home,
    /// The name of the key that the home's journal is sealed under, if it is.
    sealed_under: Option<String>,
}

impl Owner {
    /// The home with these paths, and what its journal needs now.
    pub fn of(paths: &Paths) -> Self {
        let sealed_under = Journal::sealed_under(&paths.journal_file());
        Self { home: paths.home.clone(), sealed_under }
    }

    /// The user name of the home's own key.
    fn user(&self) -> String {
        if self.home.is_usual() { USER.into() } else { format!("{USER} {}", self.home.id()) }
    }

    /// Whether the home's journal is sealed under this key.
    fn needs(&self, key: &Key) -> bool {
        self.sealed_under.as_ref().is_some_and(|name| *name == key.name())
    }
}

/// What the keyring said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyringAnswer {
    /// The key was there.
    Present(Key),
    /// There was none, and now there is.
    Created(Key),
    /// There is none, and none was to be made.
    NotThere,
    /// It needs a person to unlock it.
    Locked,
    /// There is none to ask, or it would not do; why, in words.
    Absent(String),
    /// It did not answer in time.
    TimedOut,
    /// The settings say not to ask.
    Off,
}

impl KeyringAnswer {
    /// The key, where there is one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Present(key) | Self::Created(key) => Some(key),
            Self::NotThere | Self::Locked | Self::Absent(_) | Self::TimedOut | Self::Off => None,
        }
    }
}

/// What became of the key when it was to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// It is gone.
    Gone,
    /// There was none.
    NotThere,
    /// It needs a person to unlock it; nothing was changed.
    Locked,
    /// There is no keyring to ask, or it would not do; why, in words.
    Absent(String),
    /// It did not answer in time.
    TimedOut,
    /// The settings say not to ask.
    Off,
}

/// A keyring.
///
/// Contract: each call may block as long as it likes, brings up no dialog, and changes no entry but
/// the home's own.
pub trait Keyring: Send {
    /// Reads the key, or makes it where there is none.
    fn fetch(&self) -> KeyringAnswer;

    /// Reads the key and changes nothing.
    fn look(&self) -> KeyringAnswer;

    /// Removes the key.
    fn forget(&self) -> Forgotten;
}

/// The key of this home's journal, as the settings want it. Blocks for at most the settings' wait.
pub fn journal_key(settings: &Settings, env: &Env, paths: &Paths) -> KeyringAnswer {
    match settings.keyring {
        KeyringUse::Off => KeyringAnswer::Off,
        KeyringUse::Auto => ask(SystemKeyring::new(env, Owner::of(paths)), settings.keyring_wait),
    }
}

/// The same where none may be made: for whoever only looks, or leaves.
pub fn find_journal_key(settings: &Settings, env: &Env, paths: &Paths) -> KeyringAnswer {
    match settings.keyring {
        KeyringUse::Off => KeyringAnswer::Off,
        KeyringUse::Auto => look(SystemKeyring::new(env, Owner::of(paths)), settings.keyring_wait),
    }
}

/// Removes the key of this home's journal, if the settings allow to ask. Blocks for at most the
/// settings' wait.
pub fn forget_journal_key(settings: &Settings, env: &Env, owner: Owner) -> Forgotten {
    match settings.keyring {
        KeyringUse::Off => Forgotten::Off,
        KeyringUse::Auto => forget(SystemKeyring::new(env, owner), settings.keyring_wait),
    }
}

/// Asks on a thread of its own and waits at most `patience`.
pub fn ask(keyring: impl Keyring + 'static, patience: Duration) -> KeyringAnswer {
    told(aside(patience, move || keyring.fetch()))
}

/// Looks on a thread of its own and waits at most `patience`.
pub fn look(keyring: impl Keyring + 'static, patience: Duration) -> KeyringAnswer {
    told(aside(patience, move || keyring.look()))
}

fn told(answer: Result<KeyringAnswer, Silence>) -> KeyringAnswer {
    match answer {
        Ok(answer) => answer,
        Err(Silence::TooLong) => KeyringAnswer::TimedOut,
        Err(Silence::Failed(why)) => KeyringAnswer::Absent(why),
    }
}

/// Has the key removed on a thread of its own and waits at most `patience`.
pub fn forget(keyring: impl Keyring + 'static, patience: Duration) -> Forgotten {
    match aside(patience, move || keyring.forget()) {
        Ok(answer) => answer,
        Err(Silence::TooLong) => Forgotten::TimedOut,
        Err(Silence::Failed(why)) => Forgotten::Absent(why),
    }
}

/// Why a question was not answered.
enum Silence {
    TooLong,
    Failed(String),
}

fn aside<T: Send + 'static>(
    patience: Duration,
    question: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Silence> {
    let (tell, told) = mpsc::sync_channel(1);
    let asking = thread::Builder::new().name("keyring".into()).spawn(move || {
        // Nobody may be listening any more.
        let _ = tell.send(question());
    });
    match asking.map(|_| told.recv_timeout(patience)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(mpsc::RecvTimeoutError::Timeout)) => Err(Silence::TooLong),
        Ok(Err(mpsc::RecvTimeoutError::Disconnected)) => {
            Err(Silence::Failed("it failed while it was asked".into()))
        }
        Err(error) => Err(Silence::Failed(format!("it can't be asked: {error}"))),
    }
}

/// The keyring of this desktop.
#[derive(Debug, Clone)]
pub struct SystemKeyring {
    #[cfg_attr(
        any(target_os = "macos", windows),
        expect(dead_code, reason = "one per user there")
    )]
    env: Env,
    owner: Owner,
}

impl SystemKeyring {
    /// The one that `env` leads to, for this home's key.
    pub fn new(env: &Env, owner: Owner) -> Self {
        Self { env: env.clone(), owner }
    }
}

/// A keyring in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FakeKeyring(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    key: Option<Key>,
    once: Option<KeyringAnswer>,
}

impl FakeKeyring {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next question is answered like this; what is kept is not touched.
    pub fn once(&self, answer: KeyringAnswer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).once = Some(answer);
    }
}

impl Keyring for FakeKeyring {
    fn fetch(&self) -> KeyringAnswer {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = memory.once.take() {
            return answer;
        }
        match (memory.key.clone(), Key::generate()) {
            (Some(key), _) => KeyringAnswer::Present(key),
            (None, Ok(key)) => {
                memory.key = Some(key.clone());
                KeyringAnswer::Created(key)
            }
            (None, Err(error)) => KeyringAnswer::Absent(error.to_string()),
        }
    }

    fn look(&self) -> KeyringAnswer {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.key.clone().map_or(KeyringAnswer::NotThere, KeyringAnswer::Present)
    }

    fn forget(&self) -> Forgotten {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.key.take() {
            Some(_) => Forgotten::Gone,
            None => Forgotten::NotThere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_key_is_made_once_and_found_from_then_on() {
        let keyring = FakeKeyring::new();
        let KeyringAnswer::Created(key) = ask(keyring.clone(), LONG) else {
            panic!("there was one already")
        };
        assert_eq!(ask(keyring.clone(), LONG), KeyringAnswer::Present(key.clone()));
        keyring.once(KeyringAnswer::Locked);
        assert_eq!(ask(keyring.clone(), LONG), KeyringAnswer::Locked);
        assert_eq!(ask(keyring, LONG), KeyringAnswer::Present(key));
    }

    #[test]
    fn a_keyring_that_hangs_holds_nobody_up() {
        struct Hanging(Mutex<mpsc::Receiver<()>>);
        impl Keyring for Hanging {
            fn fetch(&self) -> KeyringAnswer {
                let _ = self.0.lock().unwrap().recv();
                KeyringAnswer::Locked
            }
            fn look(&self) -> KeyringAnswer {
                self.fetch()
            }
            fn forget(&self) -> Forgotten {
                let _ = self.0.lock().unwrap().recv();
                Forgotten::Locked
            }
        }
        let (let_go, held) = mpsc::channel();
        let answer = ask(Hanging(Mutex::new(held)), Duration::from_millis(20));
        assert_eq!(answer, KeyringAnswer::TimedOut);
        drop(let_go);
        let (let_go, held) = mpsc::channel();
        let answer = forget(Hanging(Mutex::new(held)), Duration::from_millis(20));
        assert_eq!(answer, Forgotten::TimedOut);
        drop(let_go);
    }

    #[test]
    fn a_keyring_that_fails_is_no_keyring() {
        struct Failing;
        impl Keyring for Failing {
            fn fetch(&self) -> KeyringAnswer {
                std::panic::resume_unwind(Box::new("on purpose"))
            }
            fn look(&self) -> KeyringAnswer {
                self.fetch()
            }
            fn forget(&self) -> Forgotten {
                std::panic::resume_unwind(Box::new("on purpose"))
            }
        }
        assert!(matches!(ask(Failing, LONG), KeyringAnswer::Absent(_)));
        assert!(matches!(forget(Failing, LONG), Forgotten::Absent(_)));
    }

    #[test]
    fn a_keyring_that_is_switched_off_is_not_asked() {
        let settings = Settings { keyring: KeyringUse::Off, ..Settings::default() };
        let env = Env::fixed([("HOME", "/nowhere"), ("USERPROFILE", "/nowhere")]);
        let paths = Paths::find(&env).unwrap();
        assert_eq!(journal_key(&settings, &env, &paths), KeyringAnswer::Off);
        assert_eq!(find_journal_key(&settings, &env, &paths), KeyringAnswer::Off);
        assert_eq!(forget_journal_key(&settings, &env, Owner::of(&paths)), Forgotten::Off);
    }

    #[test]
    fn a_key_that_is_forgotten_is_gone_and_the_next_is_another() {
        let keyring = FakeKeyring::new();
        assert_eq!(forget(keyring.clone(), LONG), Forgotten::NotThere);
        let first = ask(keyring.clone(), LONG);
        assert_eq!(look(keyring.clone(), LONG).key(), first.key());
        assert_eq!(forget(keyring.clone(), LONG), Forgotten::Gone);
        assert_eq!(look(keyring.clone(), LONG), KeyringAnswer::NotThere);
        let KeyringAnswer::Created(second) = ask(keyring, LONG) else { panic!("it was kept") };
        assert_ne!(first.key(), Some(&second));
    }

    #[test]
    fn no_answer_shows_a_key() {
        let key = Key::from_bytes(&[7; 32]).unwrap();
        let shown = format!("{:?} {:?}", KeyringAnswer::Present(key.clone()), FakeKeyring::new());
        assert!(!shown.contains("7, 7"), "{shown}");
        assert_eq!(KeyringAnswer::Created(key.clone()).key(), Some(&key));
    }
}
