//! The keeper that runs, as commands see it: the same answers as from an engine of their own.

use anyhow::{Context, bail};
use lamplighter_core::{
    keeper::{Action, Event},
    snapshot::Snapshot,
};
use lamplighter_engine::{
    open::Place,
    socket::{self, Reply, Request},
};

/// A joined keeper.
pub(crate) struct Remote(socket::Remote);

/// Joins the keeper, if one runs.
pub(crate) fn join(place: &Place) -> anyhow::Result<Option<Remote>> {
    let file = place.paths.socket_file();
    let joined = socket::Remote::join(&file)
        .with_context(|| format!("joining the keeper at {}", file.display()))?;
    Ok(joined.map(Remote))
}

impl Remote {
    /// The whole truth now.
    pub(crate) fn snapshot(&mut self) -> anyhow::Result<Snapshot> {
        self.0.ask(&Request::Snapshot)?;
        loop {
            if let Reply::Snapshot(snapshot) = self.0.hear()? {
                return Ok(*snapshot);
            }
        }
    }

    /// Asks for something and waits until it is settled.
    pub(crate) fn act(
        &mut self,
        action: Action,
        mut each: impl FnMut(&Event),
    ) -> anyhow::Result<()> {
        self.0.ask(&Request::Act(action))?;
        loop {
            match self.0.hear()? {
                Reply::Event(event) => each(&event),
                Reply::Settled => return Ok(()),
                Reply::Snapshot(_) => bail!("the keeper answered another question"),
            }
        }
    }

    /// Every event from now on, until the keeper ends.
    pub(crate) fn events(mut self, mut each: impl FnMut(&Event)) -> anyhow::Result<()> {
        self.0.ask(&Request::Events)?;
        loop {
            match self.0.hear() {
                Ok(Reply::Event(event)) => each(&event),
                Ok(Reply::Settled | Reply::Snapshot(_)) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The whole truth now, and again after every event, until the keeper ends.
    pub(crate) fn watch(mut self, mut each: impl FnMut(&Snapshot)) -> anyhow::Result<()> {
        self.0.ask(&Request::Events)?;
        self.0.ask(&Request::Snapshot)?;
        loop {
            match self.0.hear() {
                Ok(Reply::Event(_)) => self.0.ask(&Request::Snapshot)?,
                Ok(Reply::Snapshot(snapshot)) => each(&snapshot),
                Ok(Reply::Settled) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
