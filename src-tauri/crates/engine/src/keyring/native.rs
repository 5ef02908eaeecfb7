//! The login keychain of macOS and the credential manager of Windows.

use keyring_core::{Error, api::CredentialStoreApi};

use super::{Forgotten, Keyring, KeyringAnswer, Owner, SERVICE, SystemKeyring, USER};
use crate::seal::Key;

impl Keyring for SystemKeyring {
    fn fetch(&self) -> KeyringAnswer {
        with_store(|store| fetch_from(store, &self.owner)).unwrap_or_else(|error| told(&error))
    }

    fn look(&self) -> KeyringAnswer {
        let found = with_store(|store| found_in(store, &self.owner));
        found.map_or_else(|error| told(&error), |(answer, _)| answer)
    }

    fn forget(&self) -> Forgotten {
        let user = self.owner.user();
        with_store(|store| forget_in(store, &user)).unwrap_or_else(|error| match told(&error) {
            KeyringAnswer::Locked => Forgotten::Locked,
            KeyringAnswer::Absent(why) => Forgotten::Absent(why),
            KeyringAnswer::TimedOut => Forgotten::TimedOut,
            KeyringAnswer::Off => Forgotten::Off,
            // An error never says so.
            KeyringAnswer::Present(_) | KeyringAnswer::Created(_) | KeyringAnswer::NotThere => {
                Forgotten::NotThere
            }
        })
    }
}

#[cfg(target_os = "macos")]
fn with_store<T>(
    question: impl FnOnce(&dyn CredentialStoreApi) -> Result<T, Error>,
) -> Result<T, Error> {
    use security_framework::os::macos::keychain::SecKeychain;
    // As long as this lives, what would bring up a dialog fails instead.
    let _quiet = SecKeychain::disable_user_interaction()
        .map_err(|error| Error::PlatformFailure(Box::new(error)))?;
    question(&*apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn with_store<T>(
    question: impl FnOnce(&dyn CredentialStoreApi) -> Result<T, Error>,
) -> Result<T, Error> {
    question(&*windows_native_keyring_store::Store::new()?)
}

fn forget_in(store: &dyn CredentialStoreApi, user: &str) -> Result<Forgotten, Error> {
    match store.build(SERVICE, user, None)?.delete_credential() {
        Ok(()) => Ok(Forgotten::Gone),
        Err(Error::NoEntry) => Ok(Forgotten::NotThere),
        Err(other) => Err(other),
    }
}

/// The key under this name, and whether it is the owner's own; changes nothing.
fn found_in(store: &dyn CredentialStoreApi, owner: &Owner) -> Result<(KeyringAnswer, bool), Error> {
    let own = read(store, &owner.user())?;
    if own != KeyringAnswer::NotThere || owner.home.is_usual() {
        return Ok((own, true));
    }
    // The one that an older version had for all homes, where this home's journal is sealed under it.
    let old = read(store, USER)?;
    let needed = old.key().is_some_and(|key| owner.needs(key));
    Ok((if needed { old } else { KeyringAnswer::NotThere }, false))
}

fn read(store: &dyn CredentialStoreApi, user: &str) -> Result<KeyringAnswer, Error> {
    match store.build(SERVICE, user, None)?.get_secret() {
        Ok(kept) => {
            let kept = zeroize::Zeroizing::new(kept);
            Ok(Key::from_bytes(&kept).map_or_else(
                || KeyringAnswer::Absent("what it keeps for Lamplighter is not a key".into()),
                KeyringAnswer::Present,
            ))
        }
        Err(Error::NoEntry) => Ok(KeyringAnswer::NotThere),
        Err(other) => Err(other),
    }
}

fn fetch_from(store: &dyn CredentialStoreApi, owner: &Owner) -> Result<KeyringAnswer, Error> {
    let entry = store.build(SERVICE, &owner.user(), None)?;
    match found_in(store, owner)? {
        (KeyringAnswer::Present(key), false) => {
            // Where it can't be copied it is found again as long as it is needed.
            drop(entry.set_secret(key.expose()));
            Ok(KeyringAnswer::Present(key))
        }
        (KeyringAnswer::NotThere, _) => {
            let Ok(key) = Key::generate() else {
                return Ok(KeyringAnswer::Absent("no entropy for a new key".into()));
            };
            entry.set_secret(key.expose())?;
            Ok(KeyringAnswer::Created(key))
        }
        (found, _) => Ok(found),
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
