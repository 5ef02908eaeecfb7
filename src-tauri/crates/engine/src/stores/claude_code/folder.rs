//! Where Claude Code keeps its things, worked out as the program itself does.
//!
//! Measured with 2.1.119, 2.1.220 and 2.1.330: `CFG` holds settings and the verdict cache, `SEC` the
//! credentials and the locks. They differ only where `CLAUDE_SECURESTORAGE_CONFIG_DIR` is set.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use lamplighter_core::{hex::hex, ids::StoreId, text};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::{
    deadline,
    identity::{Identity, is_same},
    paths::Env,
    stores::Location,
};

/// The file that names servers and projects.
const SERVERS: &str = ".claude.json";
/// How long a folder may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// Whether tokens lie in a keychain on this system.
const IN_KEYCHAIN: bool = cfg!(target_os = "macos");

/// The folders of one Claude Code installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The store's name: of `SEC`, where its tokens lie.
    pub id: StoreId,
    /// `CFG`: settings, plugins and the verdict cache.
    pub config: PathBuf,
    /// `SEC`: the credentials file and the locks.
    pub secure: PathBuf,
    /// The file that names servers and projects.
    pub servers: PathBuf,
    /// The user's home.
    pub home: PathBuf,
    /// The service of the keychain item that stands for the credentials file on macOS.
    pub service: String,
}

impl Folder {
    /// The folder that a Claude Code started from this environment uses. `None` without a home.
    pub fn usual(env: &Env) -> Option<Self> {
        let home = env.home()?;
        let set = env.get("CLAUDE_CONFIG_DIR").map(|dir| normalised(&PathBuf::from(dir)));
        let config = set.as_deref().map_or_else(|| home.join(".claude"), from_here);
        let secure = match env.raw("CLAUDE_SECURESTORAGE_CONFIG_DIR") {
            Some(dir) if dir.is_empty() => home.join(".claude"),
            Some(dir) => from_here(&normalised(&PathBuf::from(dir))),
            None => config.clone(),
        };
        // With the variable set, even to the usual place, the file lies in the folder.
        let beside = if set.is_some() { &config } else { &home };
        let asked = (config.clone(), beside.clone(), secure.clone(), home.join(".claude"));
        let found = deadline::within(PATIENCE, move || {
            let (config, beside, secure, usual) = asked;
            (servers_file(&config, &beside), is_same(&secure, &usual))
        });
        // What does not answer is taken at its word.
        let (servers, is_usual) =
            found.unwrap_or_else(|| (beside.join(SERVERS), secure == home.join(".claude")));
        // What the variables say is hashed, and no path that follows from it; the usual one too.
        let named = match env.raw("CLAUDE_SECURESTORAGE_CONFIG_DIR") {
            Some(dir) => Some(PathBuf::from(dir)).filter(|dir| !dir.as_os_str().is_empty()),
            None => set,
        };
        let custom = env.get("CLAUDE_CODE_CUSTOM_OAUTH_URL").is_some();
        let service = service(named.as_deref(), custom);
        // The store is where the tokens lie, whatever else the variables move: what is known and what the
        // journal holds under one name is never of two stores.
        let is_usual = is_usual && (!IN_KEYCHAIN || service == self::service(None, false));
        let id = if is_usual {
            StoreId::from("claude-code")
        } else {
            self::named(&secure, Some(&home), &service, IN_KEYCHAIN)
        };
        Some(Self { id, config, secure, servers, home, service })
    }

    /// Another config folder, as a Claude Code started with `CLAUDE_CONFIG_DIR` set to it has it.
    pub fn other(config: &Path, home: &Path) -> Self {
        let config = normalised(config);
        let asked = config.clone();
        let found = deadline::within(PATIENCE, move || servers_file(&asked, &asked));
        let servers = found.unwrap_or_else(|| config.join(SERVERS));
        let service = service(Some(&config), false);
        Self {
            id: named(&config, Some(home), &service, IN_KEYCHAIN),
            secure: config.clone(),
            servers,
            home: home.to_owned(),
            service,
            config,
        }
    }

    /// The folder that a store of this name has, for who knows no more of it. `None` where the name says
    /// nothing of it.
    pub(crate) fn named_as(id: &StoreId, env: &Env) -> Option<Self> {
        let home = env.home()?;
        let Some(shown) = id.as_str().strip_prefix("claude-code@") else {
            return Self::usual(&Env::fixed([("HOME", &home)])).filter(|usual| usual.id == *id);
        };
        let config = shown.strip_prefix("~/").map_or_else(|| shown.into(), |rest| home.join(rest));
        Some(Self::other(&config, &home)).filter(|folder| folder.id == *id)
    }

    /// Where it lies, as text; `None` where a path is none.
    pub(crate) fn location(&self) -> Option<Location> {
        let text = |path: &Path| path.to_str().map(String::from);
        Some(Location::ClaudeCode {
            config: text(&self.config)?,
            secure: text(&self.secure)?,
            servers: text(&self.servers)?,
            service: self.service.clone(),
        })
    }

    /// What `SEC` is, whatever it is called.
    fn identity(&self) -> Identity {
        identity(&self.secure)
    }

    /// Whether both are one store.
    pub fn is_same_store(&self, other: &Self) -> bool {
        is_same_store((&self.secure, &self.service), (&other.secure, &other.service))
    }

    /// Other folders beside this one that hold a store, each once, whatever it is called: offered,
    /// never taken unasked. None of these, which are looked at already.
    pub fn others(&self, known: &[Self]) -> Vec<PathBuf> {
        let home = self.home.clone();
        let all = known.iter().chain([self]);
        let names: BTreeSet<PathBuf> =
            all.clone().flat_map(|one| [one.config.clone(), one.secure.clone()]).collect();
        let mut seen: BTreeSet<Identity> = all.map(Self::identity).collect();
        let look = move || {
            seen.extend(names.iter().map(|path| Identity::of(path)));
            let mut found: Vec<PathBuf> = stores_in(&home);
            found.retain(|path| !names.contains(path) && seen.insert(Identity::of(path)));
            found
        };
        // A folder that does not answer is not offered, and neither is any other until it does.
        deadline::within(PATIENCE, look).unwrap_or_default()
    }

    pub(super) fn credentials(&self) -> PathBuf {
        self.secure.join(".credentials.json")
    }

    pub(super) fn verdicts(&self) -> PathBuf {
        self.config.join("mcp-needs-auth-cache.json")
    }

    pub(super) fn write_lock(&self) -> PathBuf {
        self.secure.join(".storage-write.lock")
    }

    /// The refresh lock of one entry: yes, `.lock` twice.
    pub(super) fn refresh_lock(&self, key: &str) -> PathBuf {
        // As JavaScript's `replace` without the flag `u` sees it: a letter beyond the basic plane is two.
        let safe: String = key
            .encode_utf16()
            .map(|unit| u8::try_from(unit).map_or('_', char::from))
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        self.secure.join(format!("mcp-refresh-{safe}.lock.lock"))
    }

    /// How a person reads it: `~/.claude`.
    pub(super) fn shown(&self) -> String {
        shown(&self.config, &self.home)
    }
}

/// The folders of this home that are called as Claude Code's and hold a store. A real folder comes before
/// a link to it.
fn stores_in(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let named = path.file_name().and_then(|name| name.to_str());
            named.is_some_and(|name| name.starts_with(".claude"))
                && path.join(".credentials.json").is_file()
        })
        .collect();
    found.sort_by_cached_key(|path| (path.is_symlink(), path.clone()));
    found
}

/// `Claude Code-credentials`, and the first eight hexadecimal digits of the SHA-256 of the folder that
/// was named, if one was.
fn service(named: Option<&Path>, custom_oauth: bool) -> String {
    let custom = if custom_oauth { "-custom-oauth" } else { "" };
    let of_folder = named.map_or_else(String::new, |folder| {
        let digest = Sha256::digest(normalised(folder).as_os_str().as_encoded_bytes());
        format!("-{}", &hex(&digest)[..8])
    });
    format!("Claude Code{custom}-credentials{of_folder}")
}

/// The name of the store whose tokens lie in `secure`, told from this home. In a keychain one folder may
/// have several items: one that is not the folder's own has its service before the path.
fn named(secure: &Path, home: Option<&Path>, item: &str, in_keychain: bool) -> StoreId {
    let path = |path: &Path| text::encoded_path(path.as_os_str().as_encoded_bytes());
    let inside = home.and_then(|home| secure.strip_prefix(home).ok());
    let place = inside.map_or_else(|| path(secure), |rest| format!("~/{}", path(rest)));
    // Without the separator at its end: a folder's name hides it.
    let plain: PathBuf = secure.components().collect();
    if in_keychain && item != service(Some(&plain), false) {
        return StoreId(format!("claude-code@{item}:{place}"));
    }
    StoreId(format!("claude-code@{place}"))
}

/// The name of a store that lies there and that no process here looks after: told from no home, so that
/// it is never the name of one that is looked after.
pub(crate) fn name_of_another(secure: &Path, item: &str) -> StoreId {
    named(secure, None, item, IN_KEYCHAIN)
}

/// Whether both are one store, each given as `SEC` and the keychain item's service: one folder, whatever
/// it is called. In a keychain each name has an item of its own.
pub(crate) fn is_same_store(one: (&Path, &str), other: (&Path, &str)) -> bool {
    (!IN_KEYCHAIN || one.1 == other.1) && (one.0 == other.0 || identity(one.0) == identity(other.0))
}

/// What a folder is, whatever it is called. One that does not answer is what its path says.
fn identity(secure: &Path) -> Identity {
    let asked = secure.to_owned();
    let found = deadline::within(PATIENCE, move || Identity::of(&asked));
    found.unwrap_or_else(|| Identity::of_text(secure))
}

/// A path for people: below the home folder as they write it.
pub(super) fn shown(path: &Path, home: &Path) -> String {
    path.strip_prefix(home)
        .map_or_else(|_| path.display().to_string(), |rest| format!("~/{}", rest.display()))
}

/// The path as it is from everywhere: the program takes a relative one from the folder it was started in.
fn from_here(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A legacy `.config.json` in the folder wins if it holds anything.
fn servers_file(config: &Path, beside: &Path) -> PathBuf {
    let legacy = config.join(".config.json");
    if fs::metadata(&legacy).is_ok_and(|found| found.len() > 0) {
        legacy
    } else {
        beside.join(SERVERS)
    }
}

/// Unicode NFC, as the program has it.
fn normalised(path: &Path) -> PathBuf {
    path.to_str()
        .map_or_else(|| path.to_owned(), |text| PathBuf::from(text.nfc().collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(vars: &[(&str, &str)]) -> Folder {
        let vars = vars.iter().copied().chain([("HOME", "/home/ana")]);
        Folder::usual(&Env::fixed(vars)).unwrap()
    }

    #[test]
    fn without_variables_everything_lies_in_the_usual_folder() {
        let folder = usual(&[]);
        assert_eq!(folder.id.as_str(), "claude-code");
        assert_eq!(folder.credentials(), Path::new("/home/ana/.claude/.credentials.json"));
        assert_eq!(folder.servers, Path::new("/home/ana/.claude.json"));
    }

    #[test]
    fn a_config_folder_takes_its_servers_file_along() {
        let folder = usual(&[("CLAUDE_CONFIG_DIR", "/home/ana/work-e\u{301}")]);
        assert_eq!(folder.id.as_str(), "claude-code@~/work-\u{e9}");
        assert_eq!(folder.secure, Path::new("/home/ana/work-\u{e9}"));
        assert_eq!(folder.servers, Path::new("/home/ana/work-\u{e9}/.claude.json"));
    }

    #[test]
    fn secure_storage_may_lie_elsewhere_and_empty_means_the_usual_folder() {
        let folder = usual(&[("CLAUDE_SECURESTORAGE_CONFIG_DIR", "/safe")]);
        assert_eq!(folder.credentials(), Path::new("/safe/.credentials.json"));
        assert_eq!(folder.config, Path::new("/home/ana/.claude"));
        assert_eq!(folder.id.as_str(), "claude-code@/safe");
        let folder = usual(&[("CLAUDE_CONFIG_DIR", "/w"), ("CLAUDE_SECURESTORAGE_CONFIG_DIR", "")]);
        assert_eq!(folder.secure, Path::new("/home/ana/.claude"));
        assert_eq!(folder.id.as_str(), "claude-code");
    }

    #[test]
    fn two_stores_never_have_one_name() {
        let mut stores = Vec::<Folder>::new();
        let folders = ["", "/home/ana/.claude", "/w", "/safe", "w", "./w"];
        for config in folders {
            for secure in [None].into_iter().chain(folders.map(Some)) {
                let mut vars = vec![("CLAUDE_CONFIG_DIR", config)];
                vars.extend(secure.map(|secure| ("CLAUDE_SECURESTORAGE_CONFIG_DIR", secure)));
                stores.push(usual(&vars));
            }
        }
        for one in &stores {
            for other in &stores {
                assert_eq!(one.id == other.id, one.is_same_store(other), "{one:?} {other:?}");
            }
            assert!(one.secure.is_absolute(), "{one:?}");
        }
    }

    #[test]
    fn an_item_that_is_not_its_folders_own_is_in_the_stores_name() {
        let home = Path::new("/home/ana");
        let secure = home.join("work");
        let name = |item: &str, in_keychain| named(&secure, Some(home), item, in_keychain).0;
        let own = service(Some(&secure), false);
        assert_eq!(name(&own, true), "claude-code@~/work");
        let with_separator = named(&home.join("work/"), Some(home), &own, true);
        assert_eq!(with_separator.0, "claude-code@~/work");
        let mut others = vec![service(Some(&secure), true), service(None, false)];
        others
            .extend(["work", "~/work", "/h/work/"].map(|said| service(Some(said.as_ref()), false)));
        for other in &others {
            assert_eq!(name(other, true), format!("claude-code@{other}:~/work"));
            assert_eq!(name(other, false), "claude-code@~/work", "a file is one store");
        }
    }

    #[test]
    fn the_keychains_service_names_the_folder_that_was_set_even_to_the_usual_one() {
        let service = |vars: &[(&str, &str)]| usual(vars).service;
        // `printf %s … | sha256sum | cut -c1-8`
        assert_eq!(service(&[]), "Claude Code-credentials");
        let set = ("CLAUDE_CONFIG_DIR", "/home/ana/.claude");
        assert_eq!(service(&[set]), "Claude Code-credentials-c9cd9ffe");
        let secure = |dir| ("CLAUDE_SECURESTORAGE_CONFIG_DIR", dir);
        assert_eq!(service(&[set, secure("")]), "Claude Code-credentials");
        assert_eq!(service(&[set, secure("/safe")]), "Claude Code-credentials-2e3f0b31");
        let (composed, apart) = (service(&[secure("/\u{e9}")]), service(&[secure("/e\u{301}")]));
        assert_eq!(composed, apart);
        let custom = service(&[("CLAUDE_CODE_CUSTOM_OAUTH_URL", "https://x.example")]);
        assert_eq!(custom, "Claude Code-custom-oauth-credentials");
        let other = Folder::other(Path::new("/safe"), Path::new("/home/ana"));
        assert_eq!(other.service, "Claude Code-credentials-2e3f0b31");
    }

    #[test]
    fn a_locks_name_is_the_key_made_harmless() {
        let folder = usual(&[]);
        assert!(
            folder
                .refresh_lock("plugin:a:b|c52143f84584caf9")
                .ends_with("mcp-refresh-plugin_a_b_c52143f84584caf9.lock.lock")
        );
    }

    #[test]
    fn a_locks_name_counts_letters_as_javascript_does() {
        // node -e 'console.log("\u{1f511}é|1".replace(/[^a-zA-Z0-9]/g, "_"))'
        let lock = usual(&[]).refresh_lock("\u{1f511}\u{e9}|1");
        assert!(lock.ends_with("mcp-refresh-____1.lock.lock"), "{}", lock.display());
    }

    #[cfg(unix)]
    #[test]
    fn one_folder_under_two_names_is_one_store() {
        use std::os::unix::fs::symlink;

        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name);
        for name in [".claude", ".claude-work"] {
            fs::create_dir(place(name)).unwrap();
            fs::write(place(name).join(".credentials.json"), "{}").unwrap();
        }
        symlink(".claude", place(".claude-link")).unwrap();
        symlink(".claude-work", place(".claude-a-link-to-work")).unwrap();
        let env = |vars: &[(&str, &Path)]| {
            Env::fixed(vars.iter().copied().chain([("HOME", home.path())]))
        };
        let usual = Folder::usual(&env(&[])).unwrap();
        let other = |name: &str| Folder::other(&place(name), home.path());
        for same in [".claude-link", ".claude/", ".claude-work/../.claude"] {
            assert_eq!(usual.identity(), other(same).identity(), "{same}");
        }
        assert!(!usual.is_same_store(&other(".claude-work")));
        assert_eq!(usual.others(&[]), [place(".claude-work")]);
        assert_eq!(usual.others(&[other(".claude-a-link-to-work")]), [] as [PathBuf; 0]);
        // The variable may lead to the usual folder by another name.
        let link = place(".claude-link");
        let by_link = Folder::usual(&env(&[("CLAUDE_CONFIG_DIR", link.as_path())])).unwrap();
        assert_eq!(by_link.id, usual.id);
        assert_eq!(by_link.others(&[]), [place(".claude-work")]);
    }
}
