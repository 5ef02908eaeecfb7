//! The Secret Service of Linux desktops, spoken to directly.
//!
//! Directly, because the libraries for it unlock what is locked, and that is a dialog. Here nothing
//! is unlocked, and a prompt that the service offers is dismissed unseen. Over the session bus the
//! secret travels in plain: whoever could listen there could as well ask the service for it.
//!
//! <https://specifications.freedesktop.org/secret-service-spec/latest/>

use std::{collections::HashMap, time::Duration};

use zbus::{
    Connection, DynamicType, Message, ObjectPath, OwnedObjectPath, OwnedVariant, Variant,
    connection::Builder,
};
use zeroize::Zeroizing;

use super::{Forgotten, Keyring, KeyringAnswer, SERVICE, SystemKeyring, USER};
use crate::seal::Key;

const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";
const NAME: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
/// What the service answers instead of a path where there is nothing.
const NOWHERE: &str = "/";

/// So that an abandoned thread ends some day.
const LONGEST: Duration = Duration::from_secs(60);

impl Keyring for SystemKeyring {
    fn fetch(&self) -> KeyringAnswer {
        self.ask(async |bus| fetch(bus).await).unwrap_or_else(|unheard| match unheard {
            Unheard::Locked => KeyringAnswer::Locked,
            Unheard::Absent(why) => KeyringAnswer::Absent(why),
        })
    }

    fn forget(&self) -> Forgotten {
        self.ask(async |bus| forget(bus).await).unwrap_or_else(|unheard| match unheard {
            Unheard::Locked => Forgotten::Locked,
            Unheard::Absent(why) => Forgotten::Absent(why),
        })
    }
}

/// Why the service gave no answer.
enum Unheard {
    Locked,
    Absent(String),
}

impl SystemKeyring {
    /// Puts a question to the session bus that the environment names.
    fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Connection) -> zbus::Result<T>,
    ) -> Result<T, Unheard> {
        let address = self.env.get(BUS).and_then(|address| address.into_string().ok());
        // Without an address a library would start a bus of its own, where no keyring is.
        let Some(address) = address.filter(|found| !found.starts_with("autolaunch")) else {
            return Err(Unheard::Absent(format!("no desktop session ({BUS} is not set)")));
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Unheard::Absent(format!("it can't be asked: {error}")))?;
        let answer = runtime.block_on(async {
            let bus = Builder::address(address.as_str()).method_timeout(LONGEST).build().await?;
            question(&bus).await
        });
        answer.map_err(|error| told(&error))
    }
}

async fn forget(bus: &Connection) -> zbus::Result<Forgotten> {
    let collection: OwnedObjectPath = service(bus, "ReadAlias", &("default",)).await?;
    if collection.as_str() == NOWHERE {
        return Ok(Forgotten::NotThere);
    }
    if is_locked(bus, &collection, "Collection").await? {
        return Ok(Forgotten::Locked);
    }
    let items = ours(bus, &collection).await?;
    for item in &items {
        let reply = call(bus, item.as_str(), "Item", "Delete", &()).await?;
        let prompt: OwnedObjectPath = reply.body().deserialize()?;
        if prompt.as_str() != NOWHERE {
            call(bus, prompt.as_str(), "Prompt", "Dismiss", &()).await?;
            return Ok(Forgotten::Locked);
        }
    }
    Ok(if items.is_empty() { Forgotten::NotThere } else { Forgotten::Gone })
}

/// What makes an entry ours.
fn attributes() -> HashMap<&'static str, &'static str> {
    HashMap::from([("service", SERVICE), ("username", USER)])
}

async fn ours(
    bus: &Connection,
    collection: &OwnedObjectPath,
) -> zbus::Result<Vec<OwnedObjectPath>> {
    collected(bus, collection, "SearchItems", &(&attributes(),)).await
}

async fn fetch(bus: &Connection) -> zbus::Result<KeyringAnswer> {
    let collection: OwnedObjectPath = service(bus, "ReadAlias", &("default",)).await?;
    if collection.as_str() == NOWHERE {
        // Making one would ask the user for a password.
        return Ok(KeyringAnswer::Absent("no default keyring has been set up yet".into()));
    }
    if is_locked(bus, &collection, "Collection").await? {
        return Ok(KeyringAnswer::Locked);
    }
    let (_, session): (OwnedVariant, OwnedObjectPath) =
        service(bus, "OpenSession", &("plain", Variant::from(""))).await?;
    match ours(bus, &collection).await?.first() {
        Some(item) if is_locked(bus, item, "Item").await? => Ok(KeyringAnswer::Locked),
        Some(item) => read(bus, item, &session).await,
        None => create(bus, &collection, &session).await,
    }
}

async fn read(
    bus: &Connection,
    item: &OwnedObjectPath,
    session: &OwnedObjectPath,
) -> zbus::Result<KeyringAnswer> {
    let reply = call(bus, item.as_str(), "Item", "GetSecret", &(session,)).await?;
    let body = reply.body();
    let (_, _, kept, _): (OwnedObjectPath, Vec<u8>, Vec<u8>, String) = body.deserialize()?;
    Ok(Key::from_bytes(&Zeroizing::new(kept)).map_or_else(
        || KeyringAnswer::Absent("what it keeps for Lamplighter is not a key".into()),
        KeyringAnswer::Present,
    ))
}

async fn create(
    bus: &Connection,
    collection: &OwnedObjectPath,
    session: &OwnedObjectPath,
) -> zbus::Result<KeyringAnswer> {
    let Ok(key) = Key::generate() else {
        return Ok(KeyringAnswer::Absent("no entropy for a new key".into()));
    };
    let properties = HashMap::from([
        ("org.freedesktop.Secret.Item.Label", Variant::from("Lamplighter: the journal's key")),
        ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes())),
    ]);
    let parameters: &[u8] = &[];
    let secret = (session, parameters, &key.expose()[..], "application/octet-stream");
    let (item, prompt): (OwnedObjectPath, OwnedObjectPath) =
        collected(bus, collection, "CreateItem", &(properties, secret, false)).await?;
    if item.as_str() == NOWHERE {
        call(bus, prompt.as_str(), "Prompt", "Dismiss", &()).await?;
        return Ok(KeyringAnswer::Absent("it wants to ask you before it keeps a key".into()));
    }
    Ok(KeyringAnswer::Created(key))
}

async fn is_locked(bus: &Connection, object: &ObjectPath<'_>, kind: &str) -> zbus::Result<bool> {
    let property = (format!("org.freedesktop.Secret.{kind}"), "Locked");
    let properties = Some("org.freedesktop.DBus.Properties");
    let reply = bus.call_method(Some(NAME), object, properties, "Get", &property).await?;
    let locked: OwnedVariant = reply.body().deserialize()?;
    bool::try_from(locked)
}

async fn service<B, R>(bus: &Connection, method: &str, body: &B) -> zbus::Result<R>
where
    B: serde::Serialize + DynamicType,
    R: serde::de::DeserializeOwned + zbus::Type,
{
    call(bus, ROOT, "Service", method, body).await?.body().deserialize()
}

async fn collected<B, R>(
    bus: &Connection,
    collection: &OwnedObjectPath,
    method: &str,
    body: &B,
) -> zbus::Result<R>
where
    B: serde::Serialize + DynamicType,
    R: serde::de::DeserializeOwned + zbus::Type,
{
    call(bus, collection.as_str(), "Collection", method, body).await?.body().deserialize()
}

async fn call<B>(
    bus: &Connection,
    object: &str,
    kind: &str,
    method: &str,
    body: &B,
) -> zbus::Result<Message>
where
    B: serde::Serialize + DynamicType,
{
    let interface = format!("org.freedesktop.Secret.{kind}");
    bus.call_method(Some(NAME), object, Some(interface.as_str()), method, body).await
}

/// What an error means. Its own words stay here: they may hold anything.
fn told(error: &zbus::Error) -> Unheard {
    use zbus::{Error, fdo};
    let is_locked = matches!(error, Error::MethodError(name, ..)
        if name.as_str() == "org.freedesktop.Secret.Error.IsLocked");
    let nobody = matches!(error, Error::FDO(fault)
        if matches!(**fault, fdo::Error::ServiceUnknown(_)));
    let no_bus = matches!(
        error,
        Error::InputOutput(_) | Error::Address(_) | Error::Handshake(_) | Error::Connection(..)
    );
    if is_locked {
        return Unheard::Locked;
    }
    Unheard::Absent(String::from(if nobody {
        "no keyring service is running"
    } else if no_bus {
        "the session bus can't be reached"
    } else {
        "the keyring service reports a failure"
    }))
}

#[cfg(test)]
mod tests;
