//! Claude Code's store, in the file and in the keychain, as subjects of the contract.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lamplighter_engine::{
    paths::Env,
    stores::{
        Store,
        claude_code::{ClaudeCode, Folder, Form},
    },
};

use lamplighter_tests::keychain::Keychain;

use super::Subject;

/// File form.
pub(crate) struct ClaudeCodeSubject;

impl Subject for ClaudeCodeSubject {
    fn lay_out(&self, home: &Path, fixture: &str) {
        let folder = home.join(".claude");
        fs::create_dir_all(&folder).expect("a folder");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/claude-code").join(fixture);
        if let Ok(text) = fs::read(from.join("credentials.json")) {
            fs::write(self.file(home), text).expect("written");
        }
    }

    fn store(&self, home: &Path) -> Box<dyn Store> {
        let env = Env::fixed([("HOME", home)]);
        let folder = Folder::usual(&env).expect("a home");
        let store = ClaudeCode::new(folder, env).with_managed_file(home.join("managed.json"));
        Box::new(store.with_form(Form::File))
    }

    fn file(&self, home: &Path) -> PathBuf {
        home.join(".claude/.credentials.json")
    }

    fn first_file(&self, home: &Path) -> PathBuf {
        self.file(home)
    }

    fn is_file(&self) -> bool {
        true
    }

    fn blanked(&self, text: &str) -> String {
        blanked(text)
    }

    fn sign_out(&self, home: &Path) {
        sign_out(&self.file(home));
    }

    fn client_writes_elsewhere(&self, home: &Path) {
        write_elsewhere(home, &self.file(home));
    }
}

/// Keychain form, with the stand-in's items for the keychain's.
pub(crate) struct KeychainSubject;

impl KeychainSubject {
    fn keychain(home: &Path) -> Keychain {
        Keychain::new(home, env!("CARGO_BIN_EXE_stand-in-security"))
    }
}

impl Subject for KeychainSubject {
    fn lay_out(&self, home: &Path, fixture: &str) {
        fs::create_dir_all(home.join(".claude")).expect("a folder");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/claude-code-keychain");
        if let Ok(text) = fs::read(from.join(fixture).join("item.json")) {
            fs::write(Self::keychain(home).item(), text).expect("written");
        }
    }

    fn store(&self, home: &Path) -> Box<dyn Store> {
        Box::new(Self::keychain(home).store())
    }

    fn file(&self, home: &Path) -> PathBuf {
        Self::keychain(home).item()
    }

    fn first_file(&self, home: &Path) -> PathBuf {
        // An item is never made.
        ClaudeCodeSubject.file(home)
    }

    fn is_file(&self) -> bool {
        false
    }

    fn blanked(&self, text: &str) -> String {
        blanked(text)
    }

    fn sign_out(&self, home: &Path) {
        sign_out(&self.file(home));
    }

    fn lock_up(&self, home: &Path) -> bool {
        Self::keychain(home).lock();
        true
    }

    fn client_writes_elsewhere(&self, home: &Path) {
        write_elsewhere(home, &self.file(home));
    }
}

fn blanked(text: &str) -> String {
    let mut out = text.to_owned();
    for name in ["accessToken", "refreshToken", "expiresAt"] {
        out = blank(&out, &format!("\"{name}\""));
    }
    // Removed by a renewal: it belongs to the refusal that the renewal mended.
    out.replace(",\"tokenlessRejectedAt\":1790000000000", "")
}

fn sign_out(file: &Path) {
    fs::write(file, r#"{"claudeAiOauth":{"accessToken":"x"},"mcpOAuth":{}}"#).expect("written");
}

/// As the program itself writes: under its write lock, whole.
fn write_elsewhere(home: &Path, file: &Path) {
    let lock = home.join(".claude/.storage-write.lock");
    while fs::create_dir(&lock).is_err() {
        std::thread::yield_now();
    }
    let text = fs::read_to_string(file).expect("a file");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let turns = value["turns"].as_u64().unwrap_or_default();
    value["turns"] = (turns + 1).into();
    let temp = home.join(".claude/.credentials.json.tmp.0a1b2c3d");
    fs::write(&temp, value.to_string()).expect("written");
    fs::rename(&temp, file).expect("renamed");
    fs::remove_dir(&lock).expect("let go");
}

/// Blanks the value of every member `name` inside the grants (the client's own login keeps its own).
fn blank(text: &str, name: &str) -> String {
    let start = text.find("\"mcpOAuth\"").unwrap_or_default();
    let (head, mut rest) = text.split_at(start);
    let mut out = head.to_owned();
    while let Some(at) = rest.find(name) {
        let value = at + name.len();
        let from = value + rest[value..].find(':').expect("a value") + 1;
        let length = rest[from..].find([',', '}']).expect("an end");
        out.push_str(&rest[..from]);
        rest = &rest[from + length..];
    }
    out.push_str(rest);
    out
}
