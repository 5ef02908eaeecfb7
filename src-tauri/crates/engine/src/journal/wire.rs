//! The journal's form on disk.
//!
//! In plain: `{"journal":1,"stores":[…],"records":[…]}`. Sealed: `{"journal":1,"sealed":"xchacha20poly1305",
//! "key":…,"nonce":…,"box":…,"stores":[…]}`, where `key` is the key's name and `box` holds the plain form.
//! `stores` says where the stores of the records lie; outside the seal it is for who only reads. A change
//! of meaning needs a new number.
//!
//! What serde says about a text that does not parse may repeat it, so none of it leaves this module.

use std::{collections::BTreeMap, io};

use base64::{Engine, prelude::BASE64_STANDARD};
use lamplighter_core::{
    hex::{hex, unhex},
    ids::{EntryKey, RecordId, StoreId, Target, TokenMark},
    journal::{Record, Stage},
    secret::Secret,
    store::{ClientCredentials, Enrolment, NewTokens, TokenPair},
    time::Wall,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Closed, Found, Unread};
use crate::{
    gzip::unpacked,
    seal::{Key, SealFault},
    stores::{Location, Waiting},
};

const FORM: u32 = 1;
const SEAL: &str = "xchacha20poly1305";

/// The content of the file.
pub(super) fn write(
    records: &[Record],
    stores: &[Waiting],
    key: Option<&Key>,
) -> Result<Zeroizing<Vec<u8>>, SealFault> {
    let body = Body {
        journal: FORM,
        stores: stores.to_vec(),
        records: records.iter().map(WireRecord::from).collect(),
    };
    let mut text = to_json(&body)?;
    let Some(key) = key else { return Ok(text) };
    let nonce = key.seal(&mut text)?;
    to_json(&Sealed {
        journal: FORM,
        seal: SEAL.into(),
        key: key.name(),
        nonce: hex(&nonce),
        content: BASE64_STANDARD.encode(&*text),
        stores: stores.to_vec(),
    })
}

/// What the content of the file says.
pub(super) fn read(content: &[u8], key: Option<&Key>) -> Result<Found, Unread> {
    let head: Head = serde_json::from_slice(content).map_err(|_| Unread::Broken)?;
    if head.journal > FORM || head.sealed.as_deref().is_some_and(|seal| seal != SEAL) {
        return Err(Unread::Closed(Closed::Newer));
    }
    if head.sealed.is_none() {
        let (records, locations) = body(content)?;
        return Ok(Found { records, locations, sealed: false });
    }
    let sealed: Sealed = serde_json::from_slice(content).map_err(|_| Unread::Broken)?;
    let key = key.ok_or(Unread::Closed(Closed::NoKey))?;
    if sealed.key != key.name() {
        return Err(Unread::Closed(Closed::OtherKey));
    }
    let nonce = unhex(&sealed.nonce).and_then(|nonce| nonce.try_into().ok());
    let mut text =
        Zeroizing::new(BASE64_STANDARD.decode(&sealed.content).map_err(|_| Unread::Broken)?);
    key.open(nonce.ok_or(Unread::Broken)?, &mut text).map_err(|SealFault| Unread::Broken)?;
    // What stands outside the seal is for who only reads: nothing is opened by it.
    let (records, locations) = body(&text)?;
    Ok(Found { records, locations, sealed: true })
}

/// The name of the key that the content is sealed under; `None` where it is not sealed, or no journal.
pub(super) fn sealed_under(content: &[u8]) -> Option<String> {
    let sealed: Sealed = serde_json::from_slice(content).ok()?;
    (sealed.seal == SEAL).then_some(sealed.key)
}

/// The records, and where their stores lie.
type Read = (Vec<Record>, BTreeMap<StoreId, Location>);

fn body(text: &[u8]) -> Result<Read, Unread> {
    let body: Body = serde_json::from_slice(text).map_err(|_| Unread::Broken)?;
    let records = body.records.into_iter().map(Record::from).collect();
    let located = body.stores.into_iter().filter_map(|of| Some((of.store, of.location?)));
    Ok((records, located.collect()))
}

/// The stores that a journal speaks of, sealed or not; nothing where it can't be read.
pub(super) fn waiting(content: &[u8]) -> Vec<Waiting> {
    #[derive(Default, Deserialize)]
    struct Stores {
        #[serde(default)]
        stores: Vec<Waiting>,
    }
    serde_json::from_slice::<Stores>(content).unwrap_or_default().stores
}

/// JSON in memory that is measured first: a vector that grows leaves copies of secrets behind.
fn to_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, SealFault> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(|_| SealFault)?;
    // The seal's tag comes behind it.
    let mut text = Zeroizing::new(Vec::with_capacity(length.0 + 16));
    serde_json::to_writer(&mut *text, value).map_err(|_| SealFault)?;
    Ok(text)
}

struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0 += part.len();
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Deserialize)]
struct Head {
    journal: u32,
    sealed: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    journal: u32,
    #[serde(rename = "sealed")]
    seal: String,
    /// The key's name.
    key: String,
    nonce: String,
    #[serde(rename = "box")]
    content: String,
    /// The stores that the records speak of, for who has no key. No secret is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stores: Vec<Waiting>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    journal: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stores: Vec<Waiting>,
    records: Vec<WireRecord>,
}

#[derive(Serialize, Deserialize)]
struct WireRecord {
    id: RecordId,
    at: Wall,
    replaced: Vec<WireEntry>,
    client_id: String,
    mark: TokenMark,
    stage: WireStage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enrolment: Option<WireEnrolment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written_over: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct WireEnrolment {
    server_name: String,
    server_url: String,
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<WireSecret>,
    redirect_uri: String,
    issuer: String,
    authorization_server: String,
    resource_metadata_url: Option<String>,
    metadata_found: bool,
    metadata_url: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WireEntry {
    store: StoreId,
    key: EntryKey,
    access: Option<WireSecret>,
    refresh: Option<WireSecret>,
    expires_at: Option<Wall>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireStage {
    Intent,
    Raw(WireBytes),
    Answered(WireTokens),
    Saved { tokens: WireTokens, at: Wall, looks: u8, restores: u8 },
}

#[derive(Serialize, Deserialize)]
struct WireTokens {
    access: WireSecret,
    refresh: Option<WireSecret>,
    expires_at: Option<Wall>,
    scope: Option<String>,
}

/// The only way a secret is ever serialized: into this file.
struct WireSecret(Secret);

impl Serialize for WireSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for WireSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

struct WireBytes(Zeroizing<Vec<u8>>);

impl Serialize for WireBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64_STANDARD.encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for WireBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = BASE64_STANDARD.decode(&*text);
        bytes
            // An earlier version kept as it came what it could not read.
            .map(|bytes| Self(unpacked(Zeroizing::new(bytes))))
            .map_err(|_| serde::de::Error::custom("base64"))
    }
}

impl From<&Record> for WireRecord {
    fn from(record: &Record) -> Self {
        let entry = |(target, pair): &(Target, TokenPair)| WireEntry {
            store: target.store.clone(),
            key: target.key.clone(),
            access: pair.access.clone().map(WireSecret),
            refresh: pair.refresh.clone().map(WireSecret),
            expires_at: pair.expires_at,
        };
        Self {
            id: record.id.clone(),
            at: record.at,
            replaced: record.replaced.iter().map(entry).collect(),
            client_id: record.client_id.clone(),
            mark: record.mark,
            stage: WireStage::from(&record.stage),
            enrolment: record.enrolment.as_ref().map(WireEnrolment::from),
            written_over: record.written_over,
        }
    }
}

impl From<WireRecord> for Record {
    fn from(wire: WireRecord) -> Self {
        let entry = |entry: WireEntry| {
            let pair = TokenPair {
                access: entry.access.map(|secret| secret.0),
                refresh: entry.refresh.map(|secret| secret.0),
                expires_at: entry.expires_at,
            };
            (Target { store: entry.store, key: entry.key }, pair)
        };
        Self {
            id: wire.id,
            at: wire.at,
            replaced: wire.replaced.into_iter().map(entry).collect(),
            client_id: wire.client_id,
            mark: wire.mark,
            stage: Stage::from(wire.stage),
            enrolment: wire.enrolment.map(Enrolment::from),
            written_over: wire.written_over,
        }
    }
}

impl From<&Enrolment> for WireEnrolment {
    fn from(enrolment: &Enrolment) -> Self {
        Self {
            server_name: enrolment.server_name.clone(),
            server_url: enrolment.server_url.clone(),
            client_id: enrolment.client.id.clone(),
            client_secret: enrolment.client.secret.clone().map(WireSecret),
            redirect_uri: enrolment.redirect_uri.clone(),
            issuer: enrolment.issuer.clone(),
            authorization_server: enrolment.authorization_server.clone(),
            resource_metadata_url: enrolment.resource_metadata_url.clone(),
            metadata_found: enrolment.metadata_found,
            metadata_url: enrolment.metadata_url.clone(),
        }
    }
}

impl From<WireEnrolment> for Enrolment {
    fn from(wire: WireEnrolment) -> Self {
        let secret = wire.client_secret.map(|secret| secret.0);
        Self {
            server_name: wire.server_name,
            server_url: wire.server_url,
            client: ClientCredentials { id: wire.client_id, secret },
            redirect_uri: wire.redirect_uri,
            issuer: wire.issuer,
            authorization_server: wire.authorization_server,
            resource_metadata_url: wire.resource_metadata_url,
            metadata_found: wire.metadata_found,
            metadata_url: wire.metadata_url,
        }
    }
}

impl From<&Stage> for WireStage {
    fn from(stage: &Stage) -> Self {
        match stage {
            Stage::Intent => Self::Intent,
            Stage::Raw(bytes) => Self::Raw(WireBytes(bytes.clone())),
            Stage::Answered(tokens) => Self::Answered(WireTokens::from(tokens)),
            Stage::Saved { tokens, at, looks, restores } => Self::Saved {
                tokens: WireTokens::from(tokens),
                at: *at,
                looks: *looks,
                restores: *restores,
            },
        }
    }
}

impl From<WireStage> for Stage {
    fn from(wire: WireStage) -> Self {
        match wire {
            WireStage::Intent => Self::Intent,
            WireStage::Raw(bytes) => Self::Raw(bytes.0),
            WireStage::Answered(tokens) => Self::Answered(NewTokens::from(tokens)),
            WireStage::Saved { tokens, at, looks, restores } => {
                Self::Saved { tokens: NewTokens::from(tokens), at, looks, restores }
            }
        }
    }
}

impl From<&NewTokens> for WireTokens {
    fn from(tokens: &NewTokens) -> Self {
        Self {
            access: WireSecret(tokens.access.clone()),
            refresh: tokens.refresh.clone().map(WireSecret),
            expires_at: tokens.expires_at,
            scope: tokens.scope.clone(),
        }
    }
}

impl From<WireTokens> for NewTokens {
    fn from(wire: WireTokens) -> Self {
        Self {
            access: wire.access.0,
            refresh: wire.refresh.map(|secret| secret.0),
            expires_at: wire.expires_at,
            scope: wire.scope,
        }
    }
}
