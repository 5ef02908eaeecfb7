//! Whether somebody sees the screen: from logind's hints about this session.
//!
//! Without logind, and on other systems, somebody is always there. It must not decide what is shown.

use lamplighter_core::desk::notices::Presence;
use tokio::sync::mpsc::UnboundedSender;

use crate::paths::Env;

/// Tells whenever somebody comes or goes; must be called on a runtime.
pub fn watch(env: &Env, tell: UnboundedSender<Presence>) {
    #[cfg(all(unix, not(target_os = "macos")))]
    tokio::spawn(logind::watch(crate::wake::system_bus(env), tell));
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    let _ = (env, tell);
}

#[cfg(all(unix, not(target_os = "macos")))]
mod logind {
    use std::time::Duration;

    use futures_util::StreamExt;
    use lamplighter_core::desk::notices::Presence;
    use tokio::sync::mpsc::UnboundedSender;
    use zbus::{
        Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, connection::Builder,
        message,
    };

    /// How soon a bus that went away, or never was there, is asked again.
    const AGAIN: Duration = Duration::from_secs(300);
    const NAME: &str = "org.freedesktop.login1";
    const MANAGER: &str = "org.freedesktop.login1.Manager";
    const SESSION: &str = "org.freedesktop.login1.Session";
    const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

    pub(super) async fn watch(address: String, tell: UnboundedSender<Presence>) {
        loop {
            if let Err(error) = try_watch(&address, &tell).await {
                tracing::info!(%error, "nobody tells whether the screen is seen");
            }
            // Whoever can't tell must not keep notices back.
            if tell.send(Presence::Here).is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = tell.closed() => return,
            }
        }
    }

    async fn try_watch(address: &str, tell: &UnboundedSender<Presence>) -> zbus::Result<()> {
        let bus = Builder::address(address).build().await?;
        let path = "/org/freedesktop/login1";
        let found = bus.call_method(Some(NAME), path, Some(MANAGER), "GetSession", &"auto").await?;
        let session: OwnedObjectPath = found.body().deserialize()?;
        let rule = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .sender(NAME)
            .path(session.as_str())
            .interface(PROPERTIES)
            .member("PropertiesChanged")
            .build()?;
        let mut changes = MessageStream::for_match_rule(rule, &bus, None).await?;
        loop {
            let away = hint(&bus, &session, "LockedHint").await?
                || hint(&bus, &session, "IdleHint").await?;
            if tell.send(if away { Presence::Away } else { Presence::Here }).is_err() {
                return Ok(());
            }
            let change = tokio::select! {
                change = changes.next() => change,
                () = tell.closed() => return Ok(()),
            };
            if change.is_none() {
                return Ok(());
            }
        }
    }

    async fn hint(bus: &Connection, session: &OwnedObjectPath, name: &str) -> zbus::Result<bool> {
        let ask = (SESSION, name);
        let path = session.as_str();
        let answer = bus.call_method(Some(NAME), path, Some(PROPERTIES), "Get", &ask).await?;
        let value: OwnedVariant = answer.body().deserialize()?;
        Ok(bool::try_from(value).unwrap_or(false))
    }
}
