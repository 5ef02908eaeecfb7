use lamplighter_core::{
    ids::{EntryKey, MarkKey, StoreId, Target, TokenMark},
    secret::Secret,
    store::{ClientCredentials, Enrolment, NewTokens, TokenPair},
};

use super::*;

const NOW: Wall = Wall(1_767_323_045_678);

/// In every secret of these tests, so that one search finds a leak.
const CANARY: &str = "xoxe-canary";

fn secret(name: &str) -> Secret {
    Secret::new(format!("{CANARY}-{name}-\"\\\u{1f511}"))
}

fn tokens() -> NewTokens {
    NewTokens {
        access: secret("new-access"),
        refresh: Some(secret("new-refresh")),
        expires_at: Some(Wall(5)),
        scope: Some("a b".into()),
    }
}

fn record(id: &str, stage: Stage) -> Record {
    let target = Target { store: StoreId::from("claude-code"), key: EntryKey::from("slack|1f") };
    let pair = TokenPair {
        access: Some(secret("old-access")),
        refresh: Some(secret("old-refresh")),
        expires_at: Some(Wall(4)),
    };
    let bare = Target { store: StoreId::from("claude-code@b"), key: EntryKey::from("slack|1f") };
    Record {
        id: RecordId::from(id),
        at: NOW,
        replaced: vec![(target, pair), (bare, TokenPair::default())],
        client_id: "client".into(),
        mark: TokenMark::of(&MarkKey([1; 32]), &secret("old-refresh")),
        stage,
        enrolment: None,
        written_over: None,
    }
}

/// A first sign-in that brought no refresh token.
fn sign_in() -> Record {
    let enrolment = Enrolment {
        server_name: "slack".into(),
        server_url: "https://mcp.example/mcp".into(),
        client: ClientCredentials { id: "client".into(), secret: Some(secret("client-secret")) },
        redirect_uri: "http://localhost:50000/callback".into(),
        issuer: "https://as.example/".into(),
        authorization_server: "https://as.example".into(),
        resource_metadata_url: Some("https://mcp.example/.well-known/x".into()),
        metadata_found: true,
        metadata_url: None,
    };
    let answered = Stage::Answered(NewTokens { refresh: None, ..tokens() });
    Record { enrolment: Some(enrolment), written_over: Some(u64::MAX), ..record("5", answered) }
}

fn every_stage() -> Vec<Record> {
    let raw = format!("{{\"access_token\":\"{CANARY}\"").into_bytes();
    vec![
        record("1", Stage::Intent),
        record("2", Stage::Raw(Zeroizing::new(raw))),
        record("3", Stage::Answered(tokens())),
        record("4", Stage::Saved { tokens: tokens(), at: Wall(6), looks: 2, restores: 1 }),
    ]
}

fn key(n: u8) -> Key {
    Key::from_bytes(&[n; 32]).unwrap()
}

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn open(&self, key: Option<Key>) -> (Journal, Vec<Record>, JournalState) {
        Journal::open(&self.place(), key, NOW)
    }

    fn content(&self) -> Vec<u8> {
        fs::read(self.place()).unwrap()
    }

    fn filled(key: Option<Key>) -> Self {
        let home = Self::new();
        let (mut journal, _, _) = home.open(key);
        for record in every_stage() {
            journal.keep(record).unwrap();
        }
        home
    }
}

fn holds(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn every_record_comes_back_sealed_or_not() {
    for (key, state) in [(Some(key(1)), JournalState::Sealed), (None, JournalState::Unsealed)] {
        let home = Home::filled(key.clone());
        let (_, records, found) = home.open(key);
        assert_eq!((records, found), (every_stage(), state));
    }
}

#[test]
fn what_a_sign_in_has_to_write_comes_back() {
    for key in [Some(key(1)), None] {
        let home = Home::new();
        home.open(key.clone()).0.keep(sign_in()).unwrap();
        assert_eq!(holds(&home.content(), "client-secret"), key.is_none());
        assert_eq!(home.open(key).1, [sign_in()]);
    }
}

#[test]
fn a_journal_from_before_there_were_sign_ins_is_still_read() {
    let home = Home::new();
    let text = r#"{"journal":1,"records":[{"id":"1","at":7,"replaced":[],"client_id":"c",
        "mark":MARK,"stage":{"answered":{"access":"a","refresh":"r","expires_at":null,
        "scope":null}}}]}"#;
    let mark = serde_json::to_string(&record("1", Stage::Intent).mark).unwrap();
    fs::write(home.place(), text.replace("MARK", &mark)).unwrap();
    let (_, records, _) = home.open(None);
    let pair = records[0].stage.tokens().unwrap().pair();
    assert_eq!((records.len(), pair.refresh), (1, Some(Secret::new("r"))));
    assert_eq!(records[0].enrolment, None);
}

#[test]
fn a_sealed_journal_shows_no_secret() {
    let home = Home::filled(Some(key(1)));
    assert!(!holds(&home.content(), "canary"));
    assert!(!holds(&home.content(), "slack"));
    // The search finds one where there is one.
    assert!(holds(&Home::filled(None).content(), "canary"));
}

#[test]
fn debug_shows_no_secret() {
    let (journal, records, state) = Home::filled(None).open(Some(key(1)));
    let shown = format!("{journal:?} {records:?} {state:?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(!shown.contains("[1, 1, "), "{shown}");
}

#[test]
#[cfg(unix)]
fn the_journal_and_its_reserve_are_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::filled(None);
    for name in ["journal", "journal.reserve"] {
        let found = fs::metadata(home.folder.path().join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_record_replaces_the_one_of_the_same_name() {
    let home = Home::new();
    let (mut journal, _, _) = home.open(None);
    journal.keep(record("1", Stage::Intent)).unwrap();
    journal.keep(record("2", Stage::Intent)).unwrap();
    journal.keep(record("1", Stage::Answered(tokens()))).unwrap();
    let (_, records, _) = home.open(None);
    assert_eq!(records, [record("1", Stage::Answered(tokens())), record("2", Stage::Intent)]);
}

#[test]
fn a_journal_whose_last_record_is_forgotten_needs_no_key_to_go_on() {
    let home = Home::filled(Some(key(1)));
    let (mut journal, records, _) = home.open(Some(key(1)));
    let ids: Vec<RecordId> = records.into_iter().map(|record| record.id).collect();
    journal.forget(&ids[..1]).unwrap();
    assert_eq!(home.open(Some(key(1))).1.len(), 3);
    journal.forget(&ids).unwrap();
    assert_eq!(home.open(None).2, JournalState::Unsealed);
}

#[test]
fn a_journal_in_plain_is_sealed_once_there_is_a_key() {
    let home = Home::filled(None);
    let (_, records, state) = home.open(Some(key(1)));
    assert_eq!((records.len(), state), (4, JournalState::Sealed));
    assert!(!holds(&home.content(), "canary"));
    assert_eq!(home.open(Some(key(1))).1, every_stage());
}

#[test]
fn a_journal_under_a_key_that_is_not_here_is_left_as_it_is_and_nothing_can_be_kept() {
    let home = Home::filled(Some(key(1)));
    let before = home.content();
    for (key, why) in [(None, Closed::NoKey), (Some(key(2)), Closed::OtherKey)] {
        let (mut journal, records, state) = home.open(key);
        assert_eq!((records, state), (Vec::new(), JournalState::Closed(why)));
        let fault = journal.keep(record("5", Stage::Intent)).unwrap_err();
        assert!(fault.to_string().contains("sealed"), "{fault}");
        journal.forget(&[RecordId::from("1")]).unwrap_err();
        assert_eq!(home.content(), before);
    }
    assert_eq!(home.open(Some(key(1))).1, every_stage());
}

#[test]
fn a_newer_journal_is_left_as_it_is() {
    for newer in [r#"{"journal":2,"records":7}"#, r#"{"journal":1,"sealed":"rot13"}"#] {
        let home = Home::new();
        fs::write(home.place(), newer).unwrap();
        let (_, _, state) = home.open(Some(key(1)));
        assert_eq!(state, JournalState::Closed(Closed::Newer));
        assert_eq!(home.content(), newer.as_bytes());
    }
}

#[test]
fn a_journal_that_does_not_parse_is_kept_aside_and_a_new_one_begun() {
    for seal in [None, Some(key(1))] {
        let home = Home::filled(seal.clone());
        let mut cut = home.content();
        cut.truncate(cut.len() / 2);
        fs::write(home.place(), &cut).unwrap();
        let (mut journal, records, state) = home.open(seal.clone());
        let to = home.folder.path().join("journal.broken-20260102T030405Z");
        let sealed = seal.is_some();
        assert_eq!(
            (records, state),
            (Vec::new(), JournalState::SetAside { to: to.clone(), sealed })
        );
        assert_eq!(fs::read(to).unwrap(), cut);
        journal.keep(record("9", Stage::Intent)).unwrap();
        assert_eq!(home.open(seal).1, [record("9", Stage::Intent)]);
    }
}

#[test]
fn a_sealed_journal_that_was_tampered_with_is_kept_aside() {
    let home = Home::filled(Some(key(1)));
    let content = String::from_utf8(home.content()).unwrap();
    let at = content.find("\"box\":\"").unwrap() + 20;
    let other = if content.as_bytes()[at] == b'A' { "B" } else { "A" };
    fs::write(home.place(), format!("{}{other}{}", &content[..at], &content[at + 1..])).unwrap();
    assert!(matches!(home.open(Some(key(1))).2, JournalState::SetAside { sealed: true, .. }));
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let home = Home::filled(None);
    let unfinished = files::unfinished(&home.place());
    fs::write(&unfinished, CANARY).unwrap();
    assert_eq!(home.open(None).1.len(), 4);
    assert!(!unfinished.exists());
}

#[test]
fn a_fault_leaves_the_journal_as_it_was_and_names_the_file_only() {
    let home = Home::filled(None);
    let (mut journal, before, _) = home.open(None);
    // A folder stands where the new content would go.
    fs::create_dir(files::unfinished(&home.place())).unwrap();
    let fault = journal.keep(record("5", Stage::Answered(tokens()))).unwrap_err();
    assert!(fault.place.ends_with("journal"), "{fault}");
    assert!(!fault.to_string().contains("canary"), "{fault}");
    fs::remove_dir(files::unfinished(&home.place())).unwrap();
    assert_eq!(home.open(None).1, before);
    // Nor does the journal itself think that it kept it.
    journal.forget(&[RecordId::from("1")]).unwrap();
    assert_eq!(home.open(None).1.len(), 3);
}

#[test]
fn a_journal_that_can_not_be_read_is_closed() {
    let home = Home::new();
    fs::create_dir(home.place()).unwrap();
    let (mut journal, _, state) = home.open(None);
    assert!(matches!(state, JournalState::Closed(Closed::Denied(_))), "{state:?}");
    journal.keep(record("1", Stage::Intent)).unwrap_err();
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_is_kept_on_a_full_disk_and_no_new_intent_is() {
    let name = "journal::tests::an_answer_is_kept_on_a_full_disk_and_no_new_intent_is";
    let Some(disk) = crate::testing::on_a_disk(name, "size=512k") else { return };
    let place = disk.join("journal");
    let (mut journal, _, _) = Journal::open(&place, Some(key(1)), NOW);
    journal.keep(record("1", Stage::Intent)).unwrap();
    let filled = crate::testing::fill(&disk);
    // Larger than what the old journal's blocks could take.
    let long = NewTokens { access: Secret::new("x".repeat(30_000)), ..tokens() };
    journal.keep(record("1", Stage::Answered(long.clone()))).unwrap();
    let kept = Journal::open(&place, Some(key(1)), NOW).1;
    assert_eq!(kept, [record("1", Stage::Answered(long.clone()))]);
    // The reserve is spent; without one nothing is begun.
    let fault = journal.keep(record("2", Stage::Intent)).unwrap_err();
    assert!(fault.to_string().contains("can't be written"), "{fault}");
    assert_eq!(Journal::open(&place, Some(key(1)), NOW).1.len(), 1);
    fs::remove_file(filled).unwrap();
    journal.keep(record("2", Stage::Intent)).unwrap();
    assert_eq!(Journal::open(&place, Some(key(1)), NOW).1.len(), 2);
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_full_disk_no_intent_touches_the_reserve_of_another() {
    let name = "journal::tests::on_a_full_disk_no_intent_touches_the_reserve_of_another";
    let Some(disk) = crate::testing::on_a_disk(name, "size=512k") else { return };
    let (mut journal, _, _) = Journal::open(&disk.join("journal"), None, NOW);
    journal.keep(record("1", Stage::Intent)).unwrap();
    crate::testing::fill(&disk);
    journal.keep(record("2", Stage::Intent)).unwrap_err();
    assert!(disk.join("journal.reserve").exists());
    journal.keep(record("1", Stage::Answered(tokens()))).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_read_only_disk_nothing_is_kept_and_that_is_said() {
    let name = "journal::tests::on_a_read_only_disk_nothing_is_kept_and_that_is_said";
    let Some(disk) = crate::testing::on_a_disk(name, "size=512k,ro") else { return };
    let (mut journal, _, state) = Journal::open(&disk.join("journal"), None, NOW);
    assert_eq!(state, JournalState::Unsealed);
    let fault = journal.keep(record("1", Stage::Intent)).unwrap_err();
    assert!(fault.to_string().contains("Read-only"), "{fault}");
}

#[test]
fn what_still_waits_is_counted_without_a_change() {
    let home = Home::new();
    assert_eq!(Journal::left(&home.place(), None), Ok(Left::default()));
    let (mut journal, ..) = home.open(Some(key(1)));
    for record in every_stage() {
        journal.keep(record).unwrap();
    }
    let before = fs::read(home.place()).unwrap();
    let left = Journal::left(&home.place(), Some(key(1)));
    assert_eq!(left, Ok(Left { unsaved: 1, watched: 1, unread: 1 }));
    assert_eq!(Journal::left(&home.place(), None), Err(Closed::NoKey));
    assert_eq!(Journal::left(&home.place(), Some(key(2))), Err(Closed::OtherKey));
    assert_eq!(fs::read(home.place()).unwrap(), before);
}

#[test]
fn a_key_that_comes_later_opens_what_was_closed_and_seals_what_lies_in_plain() {
    let home = Home::new();
    let (mut plain, _, _) = Journal::open(&home.place(), None, NOW);
    plain.keep(record("a", Stage::Intent)).unwrap();
    assert_eq!(plain.unlock(key(1), NOW), (vec![], JournalState::Sealed));
    drop(plain);
    let (mut closed, records, state) = Journal::open(&home.place(), None, NOW);
    assert_eq!((records.len(), state), (0, JournalState::Closed(Closed::NoKey)));
    assert!(closed.keep(record("b", Stage::Intent)).is_err());
    let (records, state) = closed.unlock(key(1), NOW);
    assert_eq!((records.len(), state), (1, JournalState::Sealed));
    closed.keep(record("b", Stage::Intent)).unwrap();
    assert_eq!(Journal::peek(&home.place(), Some(key(1))), (2, JournalState::Sealed));
}

#[test]
fn a_key_that_comes_later_and_does_not_fit_is_named_as_what_keeps_it_closed() {
    let home = Home::new();
    let (mut sealed, _, _) = Journal::open(&home.place(), Some(key(1)), NOW);
    sealed.keep(record("a", Stage::Intent)).unwrap();
    let before = fs::read(home.place()).unwrap();
    let (mut closed, _, _) = Journal::open(&home.place(), None, NOW);
    assert_eq!(closed.unlock(key(2), NOW), (vec![], JournalState::Closed(Closed::OtherKey)));
    let fault = closed.keep(record("b", Stage::Intent)).unwrap_err();
    assert!(fault.what.contains("another key"), "{fault}");
    assert_eq!(fs::read(home.place()).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn a_seal_that_can_not_be_written_leaves_the_journal_as_it_lies_until_it_can() {
    let home = Home::new();
    let (mut plain, _, _) = Journal::open(&home.place(), None, NOW);
    plain.keep(record("a", Stage::Intent)).unwrap();
    let before = fs::read(home.place()).unwrap();
    // Where the new file would be written lies a folder.
    fs::create_dir(files::unfinished(&home.place())).unwrap();
    assert_eq!(plain.unlock(key(1), NOW), (vec![], JournalState::Unsealed));
    assert_eq!(fs::read(home.place()).unwrap(), before);
    fs::remove_dir(files::unfinished(&home.place())).unwrap();
    assert_eq!(plain.unlock(key(1), NOW), (vec![], JournalState::Sealed));
    assert_eq!(Journal::peek(&home.place(), Some(key(1))), (1, JournalState::Sealed));
}

#[test]
fn a_packed_answer_that_an_earlier_version_could_not_read_is_unpacked() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("journal");
    let (mut journal, _, _) = Journal::open(&place, None, NOW);
    let packed = crate::gzip::packed(b"{}");
    journal.keep(record("1", Stage::Raw(Zeroizing::new(packed)))).unwrap();
    let (_, records, _) = Journal::open(&place, None, NOW);
    assert_eq!(records[0].stage, Stage::Raw(Zeroizing::new(b"{}".to_vec())));
}
