//! What `security` cannot do, done in this process with Security.framework, with its dialogs off:
//! what would bring one up fails instead.

use std::sync::{Mutex, PoisonError};

use security_framework::{
    base::{Error, Result},
    item::{ItemClass, ItemSearchOptions, Reference, SearchResult},
    os::macos::keychain::SecKeychain,
};

use super::{INTERACTION_NOT_ALLOWED, ITEM_NOT_FOUND, Native};

/// Dialogs are turned off for the whole process, and on again by whoever ends first: one at a time.
static QUIET: Mutex<()> = Mutex::new(());

/// The login keychain of this user.
pub(super) struct System;

impl Native for System {
    fn is_locked(&self) -> Option<bool> {
        // Unlocking what is open does nothing; what is locked would need a dialog.
        match quietly(|| SecKeychain::default()?.unlock(None)) {
            Ok(()) => Some(false),
            Err(error) if error.code() == INTERACTION_NOT_ALLOWED => Some(true),
            Err(_) => None,
        }
    }

    fn update(&self, service: &str, account: &str, value: &[u8]) -> std::result::Result<(), i32> {
        let updated = quietly(|| {
            // By reference: the old value is not asked for, so nobody has to allow reading it.
            let found = ItemSearchOptions::new()
                .class(ItemClass::generic_password())
                .service(service)
                .account(account)
                .load_refs(true)
                .search()?;
            for result in found {
                if let SearchResult::Ref(Reference::KeychainItem(mut item)) = result {
                    return item.set_password(value);
                }
            }
            Err(Error::from_code(ITEM_NOT_FOUND))
        });
        updated.map_err(|error| error.code())
    }
}

fn quietly<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let _one_at_a_time = QUIET.lock().unwrap_or_else(PoisonError::into_inner);
    let _no_dialogs = SecKeychain::disable_user_interaction()?;
    work()
}
