//! The keeper that runs, as commands see it: the same answers as from an engine of their own.

use std::path::Path;

use anyhow::{Context, bail};
use lamplighter_core::{
    keeper::{Action, Event},
    snapshot::Snapshot,
};
use lamplighter_engine::{
    open::Place,
    socket::{self, Invited, Reply, Request},
};

/// A joined keeper.
pub(crate) struct Remote(socket::Remote);

/// Joins the keeper, if one runs.
pub(crate) fn join(place: &Place) -> anyhow::Result<Option<Remote>> {
    join_at(&place.paths.socket_file())
}

/// The same where it would listen.
pub(crate) fn join_at(file: &Path) -> anyhow::Result<Option<Remote>> {
    let joined = socket::Remote::join(file)
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

    /// The same, after another look at whatever could not be read when it was last looked at.
    pub(crate) fn fresh_snapshot(&mut self) -> anyhow::Result<Snapshot> {
        let snapshot = self.snapshot()?;
        if snapshot.stores.iter().all(|store| store.fault.is_none()) {
            return Ok(snapshot);
        }
        self.act(Action::Look, |_| {})?;
        self.snapshot()
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
                Reply::Snapshot(_)
                | Reply::Invited(_)
                | Reply::Page { .. }
                | Reply::OpenPage
                | Reply::PageAsked(_) => {
                    bail!("the keeper answered another question")
                }
            }
        }
    }

    /// The same for a sign-in, whose page's address comes to nobody else. Where one of them says no, the
    /// connection ends, and with it a sign-in that is still waiting.
    pub(crate) fn sign_in(
        &mut self,
        action: Action,
        mut each: impl FnMut(&Event) -> bool,
        mut invited: impl FnMut(&Invited) -> bool,
    ) -> anyhow::Result<()> {
        self.0.ask(&Request::Act(action))?;
        loop {
            let goes_on = match self.0.hear()? {
                Reply::Event(event) => each(&event),
                Reply::Invited(page) => invited(&page),
                Reply::Settled => return Ok(()),
                Reply::Snapshot(_) | Reply::Page { .. } | Reply::OpenPage | Reply::PageAsked(_) => {
                    bail!("the keeper answered another question")
                }
            };
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Asks for something and waits for nothing: what comes of it is told elsewhere.
    pub(crate) fn ask_for(mut self, action: Action) -> anyhow::Result<()> {
        Ok(self.0.ask(&Request::Act(action))?)
    }

    /// Hands a callback in; what a browser tab would show, and whether it worked.
    pub(crate) fn callback(mut self, query: String) -> anyhow::Result<(String, bool)> {
        self.0.ask(&Request::Callback(query))?;
        loop {
            if let Reply::Page { title, good, .. } = self.0.hear()? {
                return Ok((title, good));
            }
        }
    }

    /// Asks for the page on whatever desktop is connected; whether there is one.
    pub(crate) fn open_page(mut self) -> anyhow::Result<bool> {
        self.0.ask(&Request::OpenPage)?;
        loop {
            if let Reply::PageAsked(asked) = self.0.hear()? {
                return Ok(asked);
            }
        }
    }

    /// Every event from now on, until the keeper ends or `each` says no.
    pub(crate) fn events(mut self, mut each: impl FnMut(&Event) -> bool) -> anyhow::Result<()> {
        self.0.ask(&Request::Events)?;
        loop {
            match self.0.hear() {
                Ok(Reply::Event(event)) if !each(&event) => return Ok(()),
                Ok(Reply::Event(_)) => {}
                Ok(
                    Reply::Settled
                    | Reply::Snapshot(_)
                    | Reply::Invited(_)
                    | Reply::Page { .. }
                    | Reply::OpenPage
                    | Reply::PageAsked(_),
                ) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The whole truth now, and again after every event, until the keeper ends or `each` says no.
    pub(crate) fn watch(mut self, mut each: impl FnMut(&Snapshot) -> bool) -> anyhow::Result<()> {
        self.0.ask(&Request::Events)?;
        self.0.ask(&Request::Snapshot)?;
        loop {
            match self.0.hear() {
                Ok(Reply::Event(_)) => self.0.ask(&Request::Snapshot)?,
                Ok(Reply::Snapshot(snapshot)) if !each(&snapshot) => return Ok(()),
                Ok(Reply::Snapshot(_)) => {}
                Ok(
                    Reply::Settled
                    | Reply::Invited(_)
                    | Reply::Page { .. }
                    | Reply::OpenPage
                    | Reply::PageAsked(_),
                ) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
