//! The macOS form: the same JSON as the file's, as the value of one generic password.
//!
//! It is read and written through `/usr/bin/security`, because Claude Code does: the item belongs to
//! that tool, so that it asks nobody. A value goes in by one line on the tool's standard input, never
//! as an argument. The tool cuts lines at 4,096 bytes; what does not fit is put in place by this
//! process itself, once that was seen to work with the value that stands there.
//!
//! It must never take a locked keychain, a failure or a time-out for an empty one, and never bring up
//! a dialog: before the tool is run the keychain is asked, with dialogs off, whether it is locked.
//! What can still bring one up is a keychain that locks itself in between, or one whose item belongs
//! to another program; the tool is ended after two seconds then, and its dialog with it.
//!
//! Proven against a stand-in (`tests/tests/keychain.rs`), unproven on a real Mac.

#[cfg(target_os = "macos")]
mod native;
mod tool;

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lamplighter_core::{hex::hex, store::StoreFault};
use zeroize::Zeroizing;

use crate::paths::Env;
use tool::{Ended, Unended};

/// Claude Code gives the tool as long to read.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest line, its end included, that goes through the tool: as Claude Code has it.
const LONGEST_LINE: usize = 4_032;
/// How much longer new tokens may make the value: those of one server are about as long as the last.
const GROWTH: usize = 256;
/// What the tool prints is at most twice what a store may be.
const LARGEST: u64 = 2 * super::LARGEST;
/// The list of this machine's programs is far below this.
const LONGEST_LIST: u64 = 4 * 1_024 * 1_024;

/// `errSecItemNotFound`, as the tool's exit code: its low byte.
const EXIT_NOT_FOUND: i32 = 44;
/// `errSecInteractionNotAllowed`: locked, and nobody could be asked.
const EXIT_LOCKED: i32 = 36;
/// `errSecAuthFailed` and `errSecUserCanceled`: somebody was asked, and did not unlock it.
const EXIT_NOT_UNLOCKED: [i32; 2] = [51, 128];
/// `errSecInteractionNotAllowed` itself.
const INTERACTION_NOT_ALLOWED: i32 = -25_308;
/// `errSecItemNotFound` itself.
#[cfg(target_os = "macos")]
const ITEM_NOT_FOUND: i32 = -25_300;

/// What `security` cannot do.
///
/// Contract: brings up no dialog, and blocks for no longer than the keychain does.
pub trait Native: Send + Sync {
    /// Whether the user's keychain is locked; `None`: that cannot be told.
    fn is_locked(&self) -> Option<bool>;

    /// Replaces the value of an item that is there; creates none. The error is the system's status.
    fn update(&self, service: &str, account: &str, value: &[u8]) -> Result<(), i32>;
}

/// What the keychain is reached with.
#[derive(Clone)]
pub struct Tools {
    /// `/usr/bin/security`.
    pub security: PathBuf,
    /// `/bin/ps`, which tells whether Claude Code runs.
    pub ps: PathBuf,
    /// What is done in this process.
    pub native: Arc<dyn Native>,
}

#[cfg(target_os = "macos")]
impl Tools {
    /// This Mac's own.
    pub(super) fn system() -> Self {
        Self {
            security: "/usr/bin/security".into(),
            ps: "/bin/ps".into(),
            native: Arc::new(native::System),
        }
    }
}

/// One item of the keychain, there or not.
pub(super) struct Keychain {
    tools: Tools,
    env: Env,
    service: String,
    account: String,
    /// A value too long for the tool was put in place by this process once.
    proven: AtomicBool,
    /// When the item was written last before and after that: its value stayed.
    proof: Mutex<Option<(String, String)>>,
}

impl Keychain {
    pub(super) fn new(tools: Tools, env: &Env, service: &str) -> Self {
        Self {
            account: account(env),
            service: service.into(),
            tools,
            env: env.clone(),
            proven: AtomicBool::new(false),
            proof: Mutex::default(),
        }
    }

    /// The item in words: its service and account, which are no secret.
    pub(super) fn shown(&self) -> String {
        format!("the keychain item \"{}\" of {}", self.service, self.account)
    }

    /// Whether it is known to be locked.
    pub(super) fn is_locked(&self) -> bool {
        self.tools.native.is_locked() == Some(true)
    }

    /// The value; `None`: there is no such item, and that is certain.
    pub(super) fn read(&self) -> Result<Option<Zeroizing<String>>, StoreFault> {
        if self.is_locked() {
            return Err(locked());
        }
        let find = ["find-generic-password", "-a", &self.account, "-w", "-s", &self.service];
        let ended = self.security(&find, &[], "reading it")?;
        match ended.code {
            Some(0) => self.decoded(ended.out).map(Some),
            Some(EXIT_NOT_FOUND) => Ok(None),
            code => Err(self.failed(code, "reading it")),
        }
    }

    /// When the item was written last, to the second and as the tool prints it, and where that was a proof
    /// of this process, when it was written before; `None`: that can't be told, or there is no item. The
    /// value is not asked for.
    pub(super) fn written_at(&self) -> Option<(String, Option<String>)> {
        if self.is_locked() {
            return None;
        }
        let find = ["find-generic-password", "-a", &self.account, "-s", &self.service];
        let ended = self.security(&find, &[], "reading it").ok()?;
        let printed = String::from_utf8_lossy(&ended.out);
        let line = printed.lines().find(|line| line.trim_start().starts_with("\"mdat\""))?;
        let now = line.trim().to_owned();
        let proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        let before = proof.as_ref().filter(|(_, after)| *after == now);
        let before = before.map(|(before, _)| before.clone());
        Some((now, before))
    }

    /// Replaces the value of the item, which must be there. `json` is in the form of
    /// [`compact`](super::ascii::compact). Whether it worked is for the caller to read back.
    pub(super) fn put(&self, json: &str) -> Result<(), StoreFault> {
        let line = self.line(json);
        if line.len() > LONGEST_LINE {
            let updated = self.tools.native.update(&self.service, &self.account, json.as_bytes());
            return updated.map_err(|status| self.refused(status));
        }
        let ended = self.security(&["-i"], line.as_bytes(), "writing it")?;
        if ended.code == Some(0) { Ok(()) } else { Err(self.failed(ended.code, "writing it")) }
    }

    /// Whether a renewal of this value may not fit through the tool, and it was never seen that it
    /// can be put in place otherwise.
    pub(super) fn needs_proof(&self, json: &str) -> bool {
        let grown = self.line(json).len() + 2 * GROWTH;
        grown > LONGEST_LINE && !self.proven.load(Ordering::Relaxed)
    }

    /// Puts the value that stands there in its place once more, the way that a longer one will take.
    pub(super) fn prove(&self, json: &str) -> Result<(), StoreFault> {
        let before = self.written_at();
        let updated = self.tools.native.update(&self.service, &self.account, json.as_bytes());
        updated.map_err(|status| self.refused(status))?;
        let after = self.written_at();
        *self.proof.lock().unwrap_or_else(PoisonError::into_inner) = before
            .zip(after)
            .map(|((before, earlier), (after, _))| (earlier.unwrap_or(before), after));
        if self.read()?.is_some_and(|back| *back == *json) {
            self.proven.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(StoreFault::Busy { lock: self.shown() })
    }

    /// The programs that run on this machine; `None` if that cannot be told.
    pub(super) fn programs(&self) -> Option<Vec<String>> {
        let mut ps = Command::new(&self.tools.ps);
        ps.args(["-axo", "comm="]);
        self.env.dress(&mut ps);
        let ended = tool::run(ps, &[], LONGEST_LIST, PATIENCE).ok()?;
        let text = String::from_utf8_lossy(&ended.out);
        (ended.code == Some(0)).then(|| text.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// The one line that replaces the value, or makes the item where it has gone a moment ago.
    fn line(&self, json: &str) -> Zeroizing<String> {
        let Self { account, service, .. } = self;
        let value = Zeroizing::new(hex(json.as_bytes()));
        Zeroizing::new(format!(
            "add-generic-password -U -a \"{account}\" -s \"{service}\" -X \"{}\"\n",
            *value
        ))
    }

    fn security(&self, args: &[&str], input: &[u8], doing: &str) -> Result<Ended, StoreFault> {
        let mut security = Command::new(&self.tools.security);
        security.args(args);
        self.env.dress(&mut security);
        tool::run(security, input, LARGEST, PATIENCE).map_err(|unended| match unended {
            // It waits for a person.
            Unended::TimedOut => locked(),
            Unended::Io(error) => StoreFault::Io {
                place: self.tools.security.display().to_string(),
                what: format!("{doing}: {error}"),
            },
        })
    }

    /// What the tool printed: the value and a line break, or its bytes in hexadecimal.
    fn decoded(&self, out: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, StoreFault> {
        let printed = out.strip_suffix(b"\n").unwrap_or(&out);
        let bytes = unhex(printed).unwrap_or_else(|| Zeroizing::new(printed.to_vec()));
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => {
                Err(StoreFault::Broken { place: self.shown(), what: "it is not text".into() })
            }
        }
    }

    fn failed(&self, code: Option<i32>, doing: &str) -> StoreFault {
        match code {
            Some(EXIT_LOCKED) => locked(),
            Some(code) if EXIT_NOT_UNLOCKED.contains(&code) => locked(),
            Some(code) => StoreFault::Io {
                place: self.shown(),
                what: format!("{doing}: `security` failed with exit code {code}"),
            },
            None => StoreFault::Io {
                place: self.shown(),
                what: format!("{doing}: `security` was ended by a signal"),
            },
        }
    }

    fn refused(&self, status: i32) -> StoreFault {
        let what = if status == INTERACTION_NOT_ALLOWED {
            "it is too long for `security`, and macOS would ask before another program may write it"
                .into()
        } else {
            format!("it is too long for `security`, and macOS refuses to write it ({status})")
        };
        StoreFault::Denied { place: self.shown(), what }
    }
}

/// The account of the item, as Claude Code 2.1.330 has it.
fn account(env: &Env) -> String {
    let named = env.get("USER").and_then(|user| user.into_string().ok()).or_else(|| {
        let mut id = Command::new("/usr/bin/id");
        id.arg("-un");
        let ended = tool::run(id, &[], 1_024, PATIENCE).ok()?;
        Some(String::from_utf8_lossy(&ended.out).trim().to_owned())
    });
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    named
        .filter(|name| !name.is_empty() && name.chars().all(plain))
        .unwrap_or_else(|| "claude-code-user".into())
}

fn locked() -> StoreFault {
    StoreFault::Locked { place: "Keychain".into() }
}

/// The bytes that a text of hexadecimal digits stands for; `None` if it is none. JSON never is one
/// by itself where an object is meant.
fn unhex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    (!bytes.is_empty()).then(|| Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_could_break_out_of_its_quotes_is_not_used() {
        let named = |user: &str| account(&Env::fixed([("USER", user)]));
        assert_eq!(named("ana.b-c_1"), "ana.b-c_1");
        for odd in ["a b", "a\"", "a\\", "an\u{e1}", "a\nb"] {
            assert_eq!(named(odd), "claude-code-user");
        }
    }

    #[test]
    fn hexadecimal_is_told_from_json() {
        assert_eq!(unhex(b"7b7D").as_deref().map(Vec::as_slice), Some(b"{}".as_slice()));
        for other in [b"".as_slice(), b"{}", b"7b7", b"{\"a\":1}"] {
            assert_eq!(unhex(other), None);
        }
    }
}
