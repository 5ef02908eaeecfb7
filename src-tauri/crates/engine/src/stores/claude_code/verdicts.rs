//! The cache of "needs auth" verdicts: while one is fresh, new sessions hide the server even though
//! its token is good (measured with 2.1.119, 2.1.220 and 2.1.330).
//!
//! No lock exists for this file, so it is compared once more just before it is replaced. A file that
//! does not parse is left: the program treats it as empty.

use std::path::Path;

use lamplighter_core::{
    store::{AuthVerdict, StoreFault},
    time::Wall,
};
use serde::Deserialize;
use serde_json::{Number, value::RawValue};

use crate::{
    regular_file::{LARGEST, read_text},
    stores::{
        atomic, denied_or_io,
        splice::{Edits, Object},
    },
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    timestamp: Option<Number>,
    #[serde(borrow)]
    lapsed_ccr_sign_in_key: Option<&'a RawValue>,
}

/// How often a file that changes under our hands is tried again.
const TRIES: usize = 5;

/// Every verdict in the file; none if there is no file or it does not parse.
pub(super) fn read(path: &Path) -> Vec<AuthVerdict> {
    let Ok(text) = read_text(path, LARGEST) else { return Vec::new() };
    let Ok(whole) = Object::whole(&text) else { return Vec::new() };
    let verdicts = whole.members(&text).filter_map(|(name, value)| verdict(name, value));
    verdicts.collect()
}

fn verdict(name: &str, value: &str) -> Option<AuthVerdict> {
    let wire: Wire<'_> = serde_json::from_str(value).ok()?;
    Some(AuthVerdict {
        server_name: name.into(),
        at: wire.timestamp.as_ref().and_then(Number::as_i64).map(Wall)?,
        left_alone: wire.lapsed_ccr_sign_in_key.is_some(),
    })
}

/// Removes the verdict on one server, if it is not newer than `at`; other names keep their bytes.
pub(super) fn withdraw(path: &Path, name: &str, at: Wall) -> Result<bool, StoreFault> {
    for _ in 0..TRIES {
        let text = match read_text(path, LARGEST) {
            Ok(text) => text,
            Err(refused) if refused.is_absent() => return Ok(false),
            Err(refused) => return Err(denied_or_io(path, "reading it", &refused.into_io())),
        };
        let Ok(whole) = Object::whole(&text) else { return Ok(false) };
        let found = whole.value(&text, name).and_then(|value| verdict(name, value));
        if !found.is_some_and(|verdict| verdict.at <= at && !verdict.left_alone) {
            return Ok(false);
        }
        let mut edits = Edits::default();
        whole.change(&text, &mut edits, [(name, None)]);
        let ready = atomic::prepare(path, edits.apply(&text).as_bytes())?;
        if read_text(path, LARGEST).is_ok_and(|now| now == text) {
            ready.commit()?;
            return Ok(true);
        }
    }
    Err(StoreFault::Busy { lock: path.display().to_string() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CACHE: &str = r#"{"slack":{"timestamp":100,"id":"x"}, "n\u006ftion":{"timestamp":5e2},"ours":{"timestamp":1,"lapsedCcrSignInKey":"k"}}"#;

    #[test]
    fn one_name_goes_and_the_others_keep_their_bytes() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("cache.json");
        fs::write(&path, CACHE).unwrap();
        assert_eq!(read(&path).len(), 2, "a time that is not whole is not a verdict");
        assert_eq!(withdraw(&path, "slack", Wall(99)), Ok(false));
        assert_eq!(withdraw(&path, "slack", Wall(100)), Ok(true));
        let left = fs::read_to_string(&path).unwrap();
        assert_eq!(left, CACHE.replace(r#""slack":{"timestamp":100,"id":"x"},"#, ""));
        assert_eq!(withdraw(&path, "ours", Wall(9_999)), Ok(false));
    }

    #[test]
    fn a_file_that_does_not_parse_is_left() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("cache.json");
        assert_eq!(withdraw(&path, "slack", Wall(100)), Ok(false));
        fs::write(&path, "{\"slack\":").unwrap();
        assert_eq!(withdraw(&path, "slack", Wall(100)), Ok(false));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"slack\":");
    }
}
