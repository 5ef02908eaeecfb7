//! A keyring that had no key at the start: asked again now and then, until it has.
//!
//! A keeper may start before anybody has logged in and unlocked anything. It must never hold the loop
//! up, and asks seldom: nothing tells when a keyring is unlocked.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::KeyringAnswer;
use crate::seal::Key;

/// How often it is asked at first.
const SOON: Duration = Duration::from_secs(60);
/// How many times that is.
const SOON_TIMES: u32 = 10;
/// How often it is asked from then on.
const SELDOM: Duration = Duration::from_secs(600);

/// Asks the keyring; may block for as long as the settings allow.
pub(crate) type Ask = Arc<dyn Fn() -> KeyringAnswer + Send + Sync>;

/// The asking.
pub struct Later {
    ask: Ask,
    asked: u32,
    due: Instant,
    asking: Option<JoinHandle<KeyringAnswer>>,
}

impl Later {
    /// Begins; the first question is due in a minute. Must be made on a runtime.
    pub(crate) fn new(ask: Ask) -> Self {
        Self { ask, asked: 0, due: Instant::now() + SOON, asking: None }
    }

    /// Asks at once: the machine woke, and somebody may have logged in.
    pub fn hurry(&mut self) {
        self.due = Instant::now();
    }

    /// Resolves when there is a key. May be dropped and called again at any time.
    pub async fn key(&mut self) -> Key {
        loop {
            if self.asking.is_none() {
                sleep_until(self.due).await;
            }
            let ask = Arc::clone(&self.ask);
            let asking =
                self.asking.get_or_insert_with(|| tokio::task::spawn_blocking(move || ask()));
            let answer = asking.await;
            self.asking = None;
            self.asked = self.asked.saturating_add(1);
            self.due = Instant::now() + if self.asked < SOON_TIMES { SOON } else { SELDOM };
            if let Some(key) = answer.ok().as_ref().and_then(KeyringAnswer::key) {
                return key.clone();
            }
            tracing::debug!("the keyring still gives no key");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::{FakeKeyring, Keyring};

    #[tokio::test(start_paused = true)]
    async fn a_keyring_is_asked_until_it_has_the_key_and_not_too_often() {
        let keyring = FakeKeyring::new();
        let (present, asked) = (keyring.clone(), Arc::new(std::sync::Mutex::new(0)));
        let count = Arc::clone(&asked);
        let ask: Ask = Arc::new(move || {
            let mut times = count.lock().unwrap();
            *times += 1;
            if *times < 14 { KeyringAnswer::Locked } else { present.fetch() }
        });
        let started = Instant::now();
        let mut later = Later::new(ask);
        // Whoever waits for it may go on and come back.
        let _ = tokio::time::timeout(Duration::from_secs(1), later.key()).await;
        let key = later.key().await;
        assert_eq!(keyring.fetch(), KeyringAnswer::Present(key));
        assert_eq!(*asked.lock().unwrap(), 14);
        let waited = started.elapsed();
        assert!(waited >= SOON * SOON_TIMES + SELDOM * 3, "{waited:?}");
    }
}
