//! The keychain as tests have it: the stand-in's items, its faults, and what it saw.
//!
//! The stand-in (`bin/stand-in-security`) lives in a test's home; this module is the other side of
//! it. Where to read next: `tests/keychain.rs`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use lamplighter_engine::{
    paths::Env,
    stores::claude_code::{ClaudeCode, Folder, Form, Native, Tools},
};

/// The user of the tests' homes.
pub const USER: &str = "ana";
/// The service of the item of Claude Code's usual folder.
pub const SERVICE: &str = "Claude Code-credentials";

/// The keychain of one home.
#[derive(Debug, Clone)]
pub struct Keychain {
    home: PathBuf,
    program: PathBuf,
    tells_if_locked: bool,
}

impl Keychain {
    /// An open keychain without items in this home; `program` is the stand-in.
    pub fn new(home: &Path, program: &str) -> Self {
        fs::create_dir_all(home.join("keychain")).expect("a folder");
        Self { home: home.to_owned(), program: program.into(), tells_if_locked: true }
    }

    /// One that is locked without anything telling so but the tool itself.
    #[must_use]
    pub fn that_does_not_tell(mut self) -> Self {
        self.tells_if_locked = false;
        self
    }

    /// Claude Code's store in it.
    pub fn store(&self) -> ClaudeCode {
        let env = Env::fixed([("HOME", self.home.as_os_str()), ("USER", USER.as_ref())]);
        let folder = Folder::usual(&env).expect("a home");
        let store = ClaudeCode::new(folder, env).with_managed_file(self.home.join("managed.json"));
        store.with_form(Form::Keychain(self.tools()))
    }

    fn tools(&self) -> Tools {
        Tools {
            security: self.program.clone(),
            ps: self.program.clone(),
            native: Arc::new(self.clone()),
        }
    }

    /// The file that stands for the item of the usual folder; its bytes are the value.
    pub fn item(&self) -> PathBuf {
        self.item_of(SERVICE, USER)
    }

    fn item_of(&self, service: &str, account: &str) -> PathBuf {
        self.home.join("keychain").join(format!("{service}@{account}"))
    }

    /// Locks it.
    pub fn lock(&self) {
        fs::write(self.home.join("locked"), "").expect("a written mark");
        self.fault("read locked");
        self.fault("write locked");
    }

    /// From now on this goes wrong.
    pub fn fault(&self, fault: &str) {
        let place = self.home.join("faults");
        let faults = fs::read_to_string(&place).unwrap_or_default();
        fs::write(place, format!("{faults}\n{fault}")).expect("a written list");
    }

    /// Everything works again.
    pub fn mend(&self) {
        for name in ["faults", "locked", "refuses"] {
            let _ = fs::remove_file(self.home.join(name));
        }
    }

    /// From now on only the tool may write the item.
    pub fn refuse_other_programs(&self) {
        fs::write(self.home.join("refuses"), "").expect("a written mark");
    }

    /// These programs run.
    pub fn run(&self, programs: &[&str]) {
        fs::write(self.home.join("programs"), programs.join("\n")).expect("a written list");
    }

    /// The arguments and environment of every call of the tools so far, one a line.
    pub fn called(&self) -> String {
        fs::read_to_string(self.home.join("called")).unwrap_or_default()
    }

    /// How often this process put a value in place by itself.
    pub fn updates(&self) -> usize {
        fs::read_to_string(self.home.join("updates")).map_or(0, |marks| marks.len())
    }
}

/// As the system's own does, with the errors of Security.framework.
impl Native for Keychain {
    fn is_locked(&self) -> Option<bool> {
        self.tells_if_locked.then(|| self.home.join("locked").exists())
    }

    fn update(&self, service: &str, account: &str, value: &[u8]) -> Result<(), i32> {
        let place = self.item_of(service, account);
        if self.home.join("locked").exists() || self.home.join("refuses").exists() {
            return Err(-25_308);
        }
        if !place.exists() {
            return Err(-25_300);
        }
        let temp = place.with_extension("native");
        fs::write(&temp, value).expect("a written item");
        fs::rename(&temp, &place).expect("an item in its place");
        let marks = fs::read_to_string(self.home.join("updates")).unwrap_or_default();
        fs::write(self.home.join("updates"), format!("{marks}.")).expect("a written mark");
        Ok(())
    }
}
