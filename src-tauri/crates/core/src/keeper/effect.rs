//! What core asks of the world: small steps, each named by a ticket and answered by one input.
//!
//! One refresh is Lock, Read, Intent, Send, Journal, Write, `ReadBack`, Unlock. A crash point is the
//! gap between two.

use alloc::{string::String, vec::Vec};

use crate::{
    facts::FactsChange,
    http::Request,
    ids::{Door, EntryKey, FlightId, GrantId, RecordId, SignInId, StoreId, Target, Ticket},
    journal::Record,
    keeper::Event,
    secret::Secret,
    signin::{Invitation, Page},
    store::{Change, TokenPair},
    time::Wall,
};

/// One step asked of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Take the client's refresh lock for every target, in this order, and hold it for the flight.
    Lock {
        /// Answered by [`Outcome::Locked`](super::Outcome::Locked).
        ticket: Ticket,
        /// Whose lock it is.
        flight: FlightId,
        /// The entries.
        targets: Vec<Target>,
        /// A first sign-in is to be saved there: the folder of the lock is made where it is missing.
        makes: bool,
    },
    /// Check that the flight's locks are still ours, then read these stores.
    Read {
        /// Answered by [`Outcome::Read`](super::Outcome::Read).
        ticket: Ticket,
        /// Whose locks must still stand; `None` for a look outside any flight.
        flight: Option<FlightId>,
        /// The stores.
        stores: Vec<StoreId>,
    },
    /// Write the record down, fsynced, before its token is presented.
    Intent {
        /// Answered by [`Outcome::Kept`](super::Outcome::Kept).
        ticket: Ticket,
        /// The record.
        record: Record,
    },
    /// Check the locks once more, then present the refresh token. Never cancelled once started.
    Send {
        /// Answered by [`Outcome::Answered`](super::Outcome::Answered).
        ticket: Ticket,
        /// Whose locks must still stand.
        flight: FlightId,
        /// The request.
        request: Request,
    },
    /// Write down what came back, fsynced, before anything else is done with it.
    Journal {
        /// Answered by [`Outcome::Kept`](super::Outcome::Kept).
        ticket: Ticket,
        /// The record with its new stage.
        record: Record,
    },
    /// Take the store's write lock, read, compare, write, read back, let go.
    Write {
        /// Answered by [`Outcome::Wrote`](super::Outcome::Wrote).
        ticket: Ticket,
        /// Whose refresh locks must still stand.
        flight: FlightId,
        /// The store.
        store: StoreId,
        /// The change.
        change: Change,
    },
    /// Sign out: take the store's write lock, read, compare, remove the entry, read back, let go.
    Remove {
        /// Answered by [`Outcome::Wrote`](super::Outcome::Wrote).
        ticket: Ticket,
        /// Whose refresh locks must still stand.
        flight: FlightId,
        /// The store.
        store: StoreId,
        /// The entry.
        key: EntryKey,
        /// What must still stand there.
        expect: TokenPair,
    },
    /// Read the stores once more, still under the refresh locks.
    ReadBack {
        /// Answered by [`Outcome::Read`](super::Outcome::Read).
        ticket: Ticket,
        /// Whose locks must still stand.
        flight: FlightId,
        /// The stores.
        stores: Vec<StoreId>,
    },
    /// Let go of the flight's locks, in reverse order.
    Unlock {
        /// Answered by [`Outcome::Unlocked`](super::Outcome::Unlocked).
        ticket: Ticket,
        /// Whose.
        flight: FlightId,
    },
    /// Fetch metadata or revoke a token: a request that spends nothing.
    Fetch {
        /// Answered by [`Outcome::Fetched`](super::Outcome::Fetched).
        ticket: Ticket,
        /// The request.
        request: Request,
    },
    /// Remove these records from the journal, fsynced.
    Forget {
        /// Answered by [`Outcome::Kept`](super::Outcome::Kept).
        ticket: Ticket,
        /// The records.
        records: Vec<RecordId>,
    },
    /// Withdraw a stale "needs auth" verdict, if it still is the one that core saw.
    Withdraw {
        /// Answered by [`Outcome::Withdrawn`](super::Outcome::Withdrawn).
        ticket: Ticket,
        /// The store.
        store: StoreId,
        /// The server's name in the verdict cache.
        server_name: String,
        /// The verdict's time: a newer one stays.
        at: Wall,
    },
    /// Ask the MCP server whether it accepts this access token, and how many tools it offers.
    Probe {
        /// Answered by [`Outcome::Probed`](super::Outcome::Probed).
        ticket: Ticket,
        /// The entry, for its configured headers.
        target: Target,
        /// The MCP server's URL.
        url: String,
        /// The access token.
        access: Secret,
    },
    /// Draw 64 bytes from the operating system's random source.
    Draw {
        /// Answered by [`Outcome::Drawn`](super::Outcome::Drawn).
        ticket: Ticket,
    },
    /// Listen for the browser on loopback, until [`Effect::Hush`].
    Listen {
        /// Answered by [`Outcome::Listening`](super::Outcome::Listening).
        ticket: Ticket,
        /// For which sign-in.
        sign_in: SignInId,
        /// The port; `None`: any in the client's own range.
        port: Option<u16>,
    },
    /// Show the sign-in page's address to who began, and to nobody else. Not answered.
    Invite {
        /// Whose sign-in.
        grant: GrantId,
        /// What to show.
        invitation: Invitation,
    },
    /// Answer a browser tab. Not answered.
    Show {
        /// The tab.
        door: Door,
        /// What it is shown.
        page: Page,
    },
    /// Stop listening for this sign-in. Not answered.
    Hush {
        /// Which.
        sign_in: SignInId,
    },
    /// Keep these facts. Not answered: a failure is told as
    /// [`Input::RememberFailed`](super::Input::RememberFailed), and all of them come again with
    /// the next change, a minute later and at the end.
    Remember {
        /// What has changed in them.
        change: FactsChange,
    },
    /// Tell whoever listens. Not answered.
    Tell {
        /// What happened.
        event: Event,
    },
}
