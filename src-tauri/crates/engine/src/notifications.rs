//! Shows notices as desktop notifications, over the session bus.
//!
//! It works in a thread of its own and nobody waits for it: a notification daemon that hangs, that
//! starts after us, or that has ended keeps nothing else from going on. A notice waits until a daemon
//! takes it, or until it is withdrawn. It must not decide what is shown, nor when.
//!
//! Read next: `lamplighter_core::desk::notices` for what is shown;
//! <https://specifications.freedesktop.org/notification-spec/latest/>.

mod delivery;

use std::{io, thread};

use lamplighter_core::desk::notices::Shown;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{desk::Bell, paths::Env};
pub(crate) use delivery::session_bus;

use delivery::Delivery;

/// What is asked of the thread.
enum Request {
    Show(Shown),
    Withdraw(u32),
}

/// The way to the notification daemon. Its thread ends when this is dropped.
pub struct Notifications(UnboundedSender<Request>);

impl Notifications {
    /// Starts the thread. It rings the bell when a notice is on the screen, was clicked, or has gone.
    pub fn start(env: Env, bell: Bell) -> io::Result<Self> {
        let (ask, asked) = unbounded_channel();
        thread::Builder::new().name("notifications".into()).spawn(move || run(env, bell, asked))?;
        Ok(Self(ask))
    }

    /// Shows a notice, now or when a daemon comes.
    pub fn show(&self, notice: Shown) {
        // The thread ends with the program alone.
        let _ = self.0.send(Request::Show(notice));
    }

    /// Takes a notice from the screen, or from those that wait.
    pub fn withdraw(&self, number: u32) {
        let _ = self.0.send(Request::Withdraw(number));
    }
}

fn run(env: Env, bell: Bell, asked: UnboundedReceiver<Request>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(Delivery::new(env, bell, asked).run()),
        Err(error) => tracing::error!(%error, "no notice can be shown"),
    }
}
