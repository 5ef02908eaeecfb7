//! Sees to it that no core dump holds a token.
//!
//! It must be called before the first secret is read. It changes nothing for the programs that this one
//! starts, but for the soft limit of a core file's size, which they inherit and may raise.

/// Asks that this process leaves no core file.
pub fn forbid() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let none = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
        if let Err(error) = setrlimit(Resource::Core, none) {
            tracing::info!(%error, "a crash may leave a core file");
        }
    }
}

/// The same for a process that no other program of its user has to look into: on Linux its memory is
/// not handed to a program that collects dumps either, whatever limit that one heeds, and no debugger of
/// the user's attaches to it.
///
/// Not for the tray: a desktop's portals look into who asks them, and refuse whom they can't look into.
pub fn forbid_entirely() {
    forbid();
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::info!(%error, "a crash may be dumped");
        }
    }
}
