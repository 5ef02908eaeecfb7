//! The Secret Service of Linux desktops, spoken to directly.
//!
//! Directly, because the libraries for it unlock what is locked, and that is a dialog. Here nothing
//! is unlocked, and a prompt that the service offers is dismissed unseen. Over the session bus the
//! secret travels in plain: whoever could listen there could as well ask the service for it.
//!
//! An entry of ours has the attribute `home`, whose value is its home's mark. One without it was made
//! by a version that knew no homes.
//!
//! <https://specifications.freedesktop.org/secret-service-spec/latest/>

use std::{collections::HashMap, time::Duration};

use zbus::{
    Connection, DynamicType, Message, ObjectPath, OwnedObjectPath, OwnedVariant, Variant,
    connection::Builder,
};
use zeroize::Zeroizing;

use super::{Forgotten, Keyring, KeyringAnswer, Owner, SERVICE, SystemKeyring, USER};
use crate::seal::Key;

const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";
const NAME: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
/// What the service answers instead of a path where there is nothing.
const NOWHERE: &str = "/";
/// The attribute that names an entry's home.
const HOME: &str = "home";

/// So that an abandoned thread ends some day.
const LONGEST: Duration = Duration::from_secs(60);

impl Keyring for SystemKeyring {
    fn fetch(&self) -> KeyringAnswer {
        self.ask(async |bus| fetch(bus, &self.owner).await).unwrap_or_else(KeyringAnswer::from)
    }

    fn look(&self) -> KeyringAnswer {
        self.ask(async |bus| look(bus, &self.owner).await).unwrap_or_else(KeyringAnswer::from)
    }

    fn forget(&self) -> Forgotten {
        self.ask(async |bus| forget(bus, &self.owner).await).unwrap_or_else(|unheard| match unheard
        {
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

impl From<Unheard> for KeyringAnswer {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::Locked => Self::Locked,
            Unheard::Absent(why) => Self::Absent(why),
        }
    }
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

async fn forget(bus: &Connection, owner: &Owner) -> zbus::Result<Forgotten> {
    let collection: OwnedObjectPath = service(bus, "ReadAlias", &("default",)).await?;
    if collection.as_str() == NOWHERE {
        return Ok(Forgotten::NotThere);
    }
    if is_locked(bus, &collection, "Collection").await? {
        return Ok(Forgotten::Locked);
    }
    let mut forgotten = Forgotten::NotThere;
    for item in ours(bus, &collection).await? {
        if !(item.is_of(owner) || (item.is_older() && owner.home.is_usual())) {
            continue;
        }
        let reply = call(bus, item.place.as_str(), "Item", "Delete", &()).await?;
        let prompt: OwnedObjectPath = reply.body().deserialize()?;
        if prompt.as_str() != NOWHERE {
            call(bus, prompt.as_str(), "Prompt", "Dismiss", &()).await?;
            return Ok(Forgotten::Locked);
        }
        forgotten = Forgotten::Gone;
    }
    Ok(forgotten)
}

/// An entry of ours, whichever home's.
struct Item {
    place: OwnedObjectPath,
    attributes: HashMap<String, String>,
}

impl Item {
    fn is_of(&self, owner: &Owner) -> bool {
        self.attributes.get(HOME) == Some(&owner.home.mark())
    }

    /// Made by a version that knew no homes.
    fn is_older(&self) -> bool {
        !self.attributes.contains_key(HOME)
            && self.attributes.get("username").is_some_and(|user| user == USER)
    }
}

/// What makes an entry this home's.
fn attributes(owner: &Owner) -> HashMap<&'static str, String> {
    let service = ("service", SERVICE.to_owned());
    HashMap::from([service, ("username", owner.user()), (HOME, owner.home.mark())])
}

async fn ours(bus: &Connection, collection: &OwnedObjectPath) -> zbus::Result<Vec<Item>> {
    let ours = HashMap::from([("service", SERVICE)]);
    let places: Vec<OwnedObjectPath> = collected(bus, collection, "SearchItems", &(&ours,)).await?;
    let mut items = Vec::with_capacity(places.len());
    for place in places {
        let found = property(bus, &place, "Item", "Attributes").await?;
        items.push(Item { place, attributes: HashMap::try_from(found)? });
    }
    Ok(items)
}

/// Where the key is.
enum Found {
    /// There is no key for this home, in this collection.
    None(OwnedObjectPath),
    /// The answer is this, and nothing is to be done.
    Answer(KeyringAnswer),
    /// An older version's entry, which becomes the usual home's by this mark.
    Unmarked(OwnedObjectPath, Key),
    /// Another entry holds the key that this home's journal is sealed under.
    Elsewhere(OwnedObjectPath, Key),
}

/// Looks for the key; `session` carries it.
async fn find(bus: &Connection, owner: &Owner, session: &OwnedObjectPath) -> zbus::Result<Found> {
    let collection: OwnedObjectPath = service(bus, "ReadAlias", &("default",)).await?;
    if collection.as_str() == NOWHERE {
        // Making one would ask the user for a password.
        let why = String::from("no default keyring has been set up yet");
        return Ok(Found::Answer(KeyringAnswer::Absent(why)));
    }
    if is_locked(bus, &collection, "Collection").await? {
        return Ok(Found::Answer(KeyringAnswer::Locked));
    }
    let items = ours(bus, &collection).await?;
    if let Some(own) = items.iter().find(|item| item.is_of(owner)) {
        return read(bus, &own.place, session).await.map(Found::Answer);
    }
    for item in items {
        let takes_over = item.is_older() && owner.home.is_usual();
        if !takes_over && owner.sealed_under.is_none() {
            continue;
        }
        let answer = read(bus, &item.place, session).await?;
        let Some(key) = answer.key().cloned() else {
            // Whether it is the one that is needed can't be told now.
            return Ok(Found::Answer(answer));
        };
        if takes_over {
            return Ok(Found::Unmarked(item.place, key));
        }
        if owner.needs(&key) {
            return Ok(Found::Elsewhere(collection, key));
        }
    }
    Ok(Found::None(collection))
}

async fn session(bus: &Connection) -> zbus::Result<OwnedObjectPath> {
    let plain = ("plain", Variant::from(""));
    let (_, session): (OwnedVariant, OwnedObjectPath) = service(bus, "OpenSession", &plain).await?;
    Ok(session)
}

async fn look(bus: &Connection, owner: &Owner) -> zbus::Result<KeyringAnswer> {
    let session = session(bus).await?;
    Ok(match find(bus, owner, &session).await? {
        Found::None(_) => KeyringAnswer::NotThere,
        Found::Answer(answer) => answer,
        Found::Unmarked(_, key) | Found::Elsewhere(_, key) => KeyringAnswer::Present(key),
    })
}

async fn fetch(bus: &Connection, owner: &Owner) -> zbus::Result<KeyringAnswer> {
    let session = session(bus).await?;
    match find(bus, owner, &session).await? {
        Found::None(collection) => {
            let Ok(key) = Key::generate() else {
                return Ok(KeyringAnswer::Absent("no entropy for a new key".into()));
            };
            create(bus, &collection, &session, owner, key).await
        }
        Found::Answer(answer) => Ok(answer),
        Found::Unmarked(item, key) => {
            // Where it can't be marked it is found again as it is.
            if mark(bus, &item, owner).await.is_err() {
                tracing::info!("the key in the keyring could not be marked");
            }
            Ok(KeyringAnswer::Present(key))
        }
        Found::Elsewhere(collection, key) => {
            // Where it can't be copied it is found again as long as it is needed.
            let copied = create(bus, &collection, &session, owner, key.clone()).await;
            if !matches!(copied, Ok(KeyringAnswer::Created(_))) {
                tracing::info!("the key in the keyring could not be copied");
            }
            Ok(KeyringAnswer::Present(key))
        }
    }
}

/// Gives an entry this home's mark; its secret stays.
async fn mark(bus: &Connection, item: &OwnedObjectPath, owner: &Owner) -> zbus::Result<()> {
    let attributes = Variant::from(attributes(owner));
    let change = ("org.freedesktop.Secret.Item", "Attributes", attributes);
    let properties = Some("org.freedesktop.DBus.Properties");
    bus.call_method(Some(NAME), item, properties, "Set", &change).await.map(drop)
}

async fn read(
    bus: &Connection,
    item: &OwnedObjectPath,
    session: &OwnedObjectPath,
) -> zbus::Result<KeyringAnswer> {
    if is_locked(bus, item, "Item").await? {
        return Ok(KeyringAnswer::Locked);
    }
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
    owner: &Owner,
    key: Key,
) -> zbus::Result<KeyringAnswer> {
    let label = format!("Lamplighter: the journal's key of {}", owner.home.mark());
    let properties = HashMap::from([
        ("org.freedesktop.Secret.Item.Label", Variant::from(label)),
        ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes(owner))),
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
    bool::try_from(property(bus, object, kind, "Locked").await?)
}

async fn property(
    bus: &Connection,
    object: &ObjectPath<'_>,
    kind: &str,
    name: &str,
) -> zbus::Result<OwnedVariant> {
    let property = (format!("org.freedesktop.Secret.{kind}"), name);
    let properties = Some("org.freedesktop.DBus.Properties");
    let reply = bus.call_method(Some(NAME), object, properties, "Get", &property).await?;
    reply.body().deserialize()
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
