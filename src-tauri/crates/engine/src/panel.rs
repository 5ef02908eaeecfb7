//! Whether a panel takes icons now. A panel that hangs is waited for by this thread alone: whoever puts
//! an icon there asks here first.
//!
//! It must not put anything into the panel. Read next:
//! <https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/>.

use std::{io, thread, time::Duration};

use futures_util::StreamExt;
use tokio::time;
use zbus::{Connection, MessageStream, OwnedVariant, connection::Builder};

use crate::paths::Env;

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const PATH: &str = "/StatusNotifierWatcher";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// A panel that has not answered by then hangs.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon a panel that was not there is looked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// What there is to tell of the panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Panel {
    /// None takes icons yet, and why.
    Missing(String),
    /// One takes icons now.
    Takes,
    /// The bus has ended, and every icon with it.
    Gone,
}

/// Tells of the panel from now on, from a thread of its own.
pub fn watch(env: Env, tell: impl Fn(Panel) + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("panel".into()).spawn(move || {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(look(&env, &tell)),
            Err(error) => tell(Panel::Missing(error.to_string())),
        }
    })?;
    Ok(())
}

async fn look(env: &Env, tell: &impl Fn(Panel)) {
    loop {
        match time::timeout(PATIENCE, ask(env)).await {
            Ok(Ok(bus)) => {
                tell(Panel::Takes);
                until_closed(bus).await;
                tell(Panel::Gone);
            }
            Ok(Err(error)) => tell(Panel::Missing(error.to_string())),
            Err(_) => tell(Panel::Missing("the panel does not answer".into())),
        }
        time::sleep(AGAIN).await;
    }
}

/// A bus on which a panel answers.
async fn ask(env: &Env) -> zbus::Result<Connection> {
    let address = crate::notifications::session_bus(env)
        .ok_or_else(|| zbus::Error::Address("no session bus".into()))?;
    let bus = Builder::address(address.as_str()).build().await?;
    let asked = (WATCHER, "IsStatusNotifierHostRegistered");
    let answer = bus.call_method(Some(WATCHER), PATH, Some(PROPERTIES), "Get", &asked).await?;
    let takes: OwnedVariant = answer.body().deserialize()?;
    match bool::try_from(takes) {
        Ok(true) => Ok(bus),
        Ok(false) | Err(_) => Err(zbus::Error::Failure("no panel shows icons".into())),
    }
}

async fn until_closed(bus: Connection) {
    let mut said = MessageStream::from(bus);
    while said.next().await.is_some() {}
}
