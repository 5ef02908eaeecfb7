//! The login keychain of macOS and the credential manager of Windows.

use keyring_core::{Error, api::CredentialStoreApi};

use super::{Forgotten, Keyring, KeyringAnswer, SERVICE, SystemKeyring, USER};
use crate::seal::Key;

impl Keyring for SystemKeyring {
    fn fetch(&self) -> KeyringAnswer {
        with_store(fetch_from).unwrap_or_else(|error| told(&error))
    }

    fn forget(&self) -> Forgotten {
        with_store(forget_in).unwrap_or_else(|error| match told(&error) {
            KeyringAnswer::Locked => Forgotten::Locked,
            KeyringAnswer::Absent(why) => Forgotten::Absent(why),
            KeyringAnswer::TimedOut => Forgotten::TimedOut,
            KeyringAnswer::Off => Forgotten::Off,
            // An error never says so.
            KeyringAnswer::Present(_) | KeyringAnswer::Created(_) => Forgotten::NotThere,
        })
    }
}

type Question<T> = fn(&dyn CredentialStoreApi) -> Result<T, Error>;

#[cfg(target_os = "macos")]
fn with_store<T>(question: Question<T>) -> Result<T, Error> {
    use security_framework::os::macos::keychain::SecKeychain;
    // As long as this lives, what would bring up a dialog fails instead.
    let _quiet = SecKeychain::disable_user_interaction()
        .map_err(|error| Error::PlatformFailure(Box::new(error)))?;
    question(&*apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn with_store<T>(question: Question<T>) -> Result<T, Error> {
    question(&*windows_native_keyring_store::Store::new()?)
}

fn forget_in(store: &dyn CredentialStoreApi) -> Result<Forgotten, Error> {
    match store.build(SERVICE, USER, None)?.delete_credential() {
        Ok(()) => Ok(Forgotten::Gone),
        Err(Error::NoEntry) => Ok(Forgotten::NotThere),
        Err(other) => Err(other),
    }
}

fn fetch_from(store: &dyn CredentialStoreApi) -> Result<KeyringAnswer, Error> {
    let entry = store.build(SERVICE, USER, None)?;
    match entry.get_secret() {
        Ok(kept) => {
            let kept = zeroize::Zeroizing::new(kept);
            Ok(Key::from_bytes(&kept).map_or_else(
                || KeyringAnswer::Absent("what it keeps for Lamplighter is not a key".into()),
                KeyringAnswer::Present,
            ))
        }
        Err(Error::NoEntry) => {
            let Ok(key) = Key::generate() else {
                return Ok(KeyringAnswer::Absent("no entropy for a new key".into()));
            };
            entry.set_secret(key.expose())?;
            Ok(KeyringAnswer::Created(key))
        }
        Err(other) => Err(other),
    }
}

/// Errors may hold what was kept, so only their kind is told.
fn told(error: &Error) -> KeyringAnswer {
    #[cfg(target_os = "macos")]
    if let Error::PlatformFailure(inner) = error {
        // errSecInteractionNotAllowed, errSecAuthFailed: a dialog would have followed.
        let code = inner.downcast_ref::<security_framework::base::Error>().map(|e| e.code());
        if matches!(code, Some(-25308 | -25293)) {
            return KeyringAnswer::Locked;
        }
    }
    if matches!(error, Error::NoStorageAccess(_)) {
        return KeyringAnswer::Locked;
    }
    KeyringAnswer::Absent("the system's keyring reports a failure".into())
}
