//! What the system allows this process.

/// Systems that allow more descriptors than this do so by mistake, and programs that close all they may
/// have open would take minutes.
#[cfg(unix)]
const MOST: u64 = 524_288;

/// Lets this process have as many descriptors open as the system allows it: a window's engine ends the
/// process that has no more.
pub fn raise_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let now = getrlimit(Resource::Nofile);
        let wanted = now.maximum.map_or(MOST, |hard| hard.min(MOST));
        if now.current.is_some_and(|soft| soft < wanted) {
            let raised = Rlimit { current: Some(wanted), maximum: now.maximum };
            if let Err(error) = setrlimit(Resource::Nofile, raised) {
                tracing::info!(%error, "the limit of open files stays as it was");
            }
        }
    }
}
