//! How commands reach the keeper that runs: one JSON value a line over a local socket.
//!
//! Three verbs: `{"act": …}`, `"snapshot"` and `"events"`. Each side checks that the other is the
//! same user; the socket lies in a folder of ours that nobody else may enter, never in `/tmp`. It
//! must not carry a secret: it only ever sends what any view may show.
//!
//! The first line of either side names the protocol's version, so that a newer command meets an older
//! keeper with a clear word. On systems without local sockets there is none, and commands wait for
//! the keeper to end.

mod outbox;

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use lamplighter_core::{
    ids::GrantId,
    keeper::{Action, Event},
    signin::Invitation,
    snapshot::Snapshot,
    text::{self, LONGEST_SENTENCE},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::AbortHandle,
};

pub(crate) use outbox::Answers;
use outbox::{Receiver, outbox};

/// The protocol's version. A change of meaning changes it.
pub const VERSION: u32 = 1;
/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 64 * 1024;
/// How long a keeper may take to say hello. It may be at work on a slow disk.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// The first line of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub lamplighter: u32,
}

/// What a command asks for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Do this; events follow until it is settled.
    Act(Action),
    /// Send the whole truth once.
    Snapshot,
    /// Send every event from now on.
    Events,
    /// Send the whole truth now, and again whenever it has changed.
    Watch,
    /// A callback's query, for whichever sign-in waits for it.
    Callback(String),
    /// This connection is a desktop's: it can show a page when somebody asks for one.
    ShowsPages,
    /// Bring the page up on whatever desktop is connected.
    OpenPage,
}

/// What the keeper sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Something happened.
    Event(Box<Event>),
    /// The whole truth.
    Snapshot(Box<Snapshot>),
    /// The address of a sign-in page: only on the connection that asked for the sign-in.
    Invited(Box<Invited>),
    /// What a browser tab that brought this callback would be shown.
    Page {
        /// In a few words.
        title: String,
        /// Whether it worked.
        good: bool,
        /// Whether a sign-in had waited for it. Keepers of before do not say.
        #[serde(default = "yes")]
        waited: bool,
    },
    /// All that was asked for on this connection is settled.
    Settled,
    /// Somebody asks for the page: only on connections that show pages.
    OpenPage,
    /// Whether a desktop was asked to bring its page up.
    PageAsked(bool),
}

impl Reply {
    /// What an older keeper sends may hold what others named as it came.
    fn harmless(self) -> Self {
        match self {
            Self::Event(event) => Self::Event(Box::new(event.harmless())),
            Self::Snapshot(snapshot) => Self::Snapshot(Box::new(snapshot.harmless())),
            Self::Page { title, good, waited } => {
                Self::Page { title: text::harmless(&title, LONGEST_SENTENCE), good, waited }
            }
            Self::Invited(invited) => {
                let name = |text: &str| text::harmless(text, LONGEST_SENTENCE);
                let grant = GrantId(name(invited.grant.as_str()));
                let (client_name, host) = (name(&invited.client_name), name(&invited.host));
                Self::Invited(Box::new(Invited { grant, client_name, host, ..*invited }))
            }
            Self::Settled | Self::OpenPage | Self::PageAsked(_) => self,
        }
    }
}

const fn yes() -> bool {
    true
}

/// A sign-in page, for who asked for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// Whose sign-in.
    pub grant: GrantId,
    /// For the browser. It holds `state`: never logged.
    pub url: String,
    /// Where it comes back to.
    pub redirect_uri: String,
    /// Whose name the consent page shows.
    pub client_name: String,
    /// The host of the page.
    pub host: String,
    /// Whether there is another way, should the page show an error.
    #[serde(default)]
    pub other_way: bool,
}

impl Invited {
    /// The same on the wire.
    pub fn of(grant: &GrantId, invitation: &Invitation) -> Self {
        Self {
            grant: grant.clone(),
            url: invitation.url.expose().into(),
            redirect_uri: invitation.redirect_uri.clone(),
            client_name: invitation.client_name.clone(),
            host: invitation.host.clone(),
            other_way: invitation.other_way,
        }
    }
}

impl std::fmt::Debug for Invited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invited").field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// One connection as the loop sees it.
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(crate) struct Guest {
    pub answer: Answers,
    /// Whether every event is wanted, or only those up to a settlement.
    pub listens: bool,
    /// Whether the whole truth is wanted whenever it changes.
    pub watches: bool,
    /// Whether it is a desktop that can show a page.
    pub shows_pages: bool,
    /// What was asked for on it and is not settled.
    pub open: BTreeSet<GrantId>,
    /// Something was asked for all, and stores are looked at before it is done.
    pub all: bool,
    /// Something was asked for, so a settlement is owed.
    pub owed: bool,
}

impl Guest {
    /// One that has just come.
    pub(crate) const fn new(answer: Answers) -> Self {
        Self {
            answer,
            listens: false,
            watches: false,
            shows_pages: false,
            open: BTreeSet::new(),
            all: false,
            owed: false,
        }
    }
}

/// A connection from within this process: the same requests, the same answers.
pub struct Inside {
    asked: UnboundedSender<Asked>,
    /// What the keeper says.
    pub hear: UnboundedReceiver<Reply>,
}

/// The number of the guest from within.
pub(crate) const INSIDE: u64 = 0;

impl Inside {
    pub(crate) const fn new(asked: UnboundedSender<Asked>, hear: UnboundedReceiver<Reply>) -> Self {
        Self { asked, hear }
    }

    /// Asks for something; it is heard while the keeper works.
    pub fn ask(&self, request: Request) {
        // A keeper that has ended hears nothing, and needs not.
        let _ = self.asked.send(Asked { guest: INSIDE, what: Said::Asks(request) });
    }
}

/// A request with the connection it came by.
pub(crate) struct Asked {
    pub guest: u64,
    pub what: Said,
}

/// What happens on a connection.
pub(crate) enum Said {
    Came(Answers),
    Asks(Request),
    Left,
}

/// Where commands come in; closed when dropped, so that nobody waits at a door that is no longer
/// watched. The engine's lock must still be held then.
#[derive(Debug)]
pub(crate) struct Door {
    asked: mpsc::Receiver<Asked>,
    /// The socket, and what listens at it.
    open: Option<(PathBuf, AbortHandle)>,
}

impl Door {
    /// One through which nobody comes.
    pub(crate) fn shut() -> Self {
        Self { asked: mpsc::channel(1).1, open: None }
    }

    /// The next that somebody out there did; nothing ever where it is shut.
    pub(crate) async fn recv(&mut self) -> Option<Asked> {
        self.asked.recv().await
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some((place, listening)) = self.open.take() {
            listening.abort();
            // The listener is gone only when its task is looked at again. Whoever comes before that
            // must find nothing: this very thread may be the next to come.
            let _ = fs::remove_file(place);
        }
    }
}

#[cfg(unix)]
pub(crate) use unix::serve;
#[cfg(unix)]
pub use unix::{Ear, Remote, Voice};

#[cfg(unix)]
mod unix {
    use std::{
        fs, io,
        io::{BufRead, BufReader, Read, Write},
        os::unix::{fs::PermissionsExt, net::UnixStream as StdStream},
        path::Path,
        time::Duration,
    };

    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncReader},
        net::{
            UnixListener, UnixStream,
            unix::{OwnedReadHalf, OwnedWriteHalf},
        },
        sync::mpsc::{Sender, channel},
        time::timeout,
    };

    use super::{
        Asked, Door, HELLO_PATIENCE, Hello, LONGEST_LINE, Receiver, Reply, Request, Said, VERSION,
        outbox,
    };

    /// How many requests may wait for the loop; whoever has more to ask waits.
    const MOST_WAITING: usize = 256;
    /// How long a client may take to read one thing that is said to it.
    const READ_PATIENCE: Duration = Duration::from_secs(30);

    /// Listens at `place` until the returned door is dropped. The engine's lock is held, so a
    /// socket that lies there already was left by a process that is gone.
    pub(crate) fn serve(place: &Path) -> io::Result<Door> {
        match fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(place)?;
        fs::set_permissions(place, fs::Permissions::from_mode(0o600))?;
        let (send, asked) = channel(MOST_WAITING);
        let listening = tokio::spawn(async move {
            let mut guest = 0;
            while !send.is_closed() {
                let (stream, _) = crate::accept::next(|| listener.accept()).await;
                let ours = rustix::process::geteuid().as_raw();
                if !stream.peer_cred().is_ok_and(|peer| peer.uid() == ours) {
                    continue;
                }
                guest += 1;
                tokio::spawn(welcome(guest, stream, send.clone()));
            }
        });
        Ok(Door { asked, open: Some((place.to_owned(), listening.abort_handle())) })
    }

    /// One connection, from its first line to its last.
    async fn welcome(guest: u64, stream: UnixStream, send: Sender<Asked>) {
        let (read, write) = stream.into_split();
        let (answers, receiver) = outbox();
        if send.send(Asked { guest, what: Said::Came(answers) }).await.is_err() {
            return;
        }
        let mut writer = tokio::spawn(say(write, receiver));
        let hung_up = tokio::select! {
            () = hear(guest, read, &send) => false,
            // It does not read what it asked for.
            _ = &mut writer => true,
        };
        let _ = send.send(Asked { guest, what: Said::Left }).await;
        if !hung_up {
            // What was still to be said is said; then the outbox is ended by the loop.
            let _ = writer.await;
        }
    }

    /// Says everything, until there is nothing more to say or nobody reads it.
    async fn say(mut write: OwnedWriteHalf, receiver: Receiver) {
        let hello = line(&Hello { lamplighter: VERSION });
        if !timeout(READ_PATIENCE, write.write_all(&hello)).await.is_ok_and(|taken| taken.is_ok()) {
            return;
        }
        while let Some(reply) = receiver.next().await {
            let line = line::<Reply>(&reply);
            let taken = timeout(READ_PATIENCE, write.write_all(&line)).await;
            if !taken.is_ok_and(|taken| taken.is_ok()) {
                return;
            }
        }
    }

    /// Hears every request, until the client leaves or says nonsense.
    async fn hear(guest: u64, read: OwnedReadHalf, send: &Sender<Asked>) {
        let mut lines = AsyncReader::new(read);
        let mut first = true;
        loop {
            let mut text = Vec::new();
            let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
            let got = (&mut lines).take(limit).read_until(b'\n', &mut text).await;
            if !got.is_ok_and(|count| count > 0) || text.last() != Some(&b'\n') {
                return;
            }
            let understood = if std::mem::take(&mut first) {
                serde_json::from_slice::<Hello>(&text).is_ok_and(|h| h.lamplighter == VERSION)
            } else if let Ok(request) = serde_json::from_slice::<Request>(&text) {
                send.send(Asked { guest, what: Said::Asks(request) }).await.is_ok()
            } else {
                false
            };
            if !understood {
                return;
            }
        }
    }

    fn line<T: serde::Serialize>(value: &T) -> Vec<u8> {
        let mut line = serde_json::to_vec(value).unwrap_or_default();
        line.push(b'\n');
        line
    }

    fn has_left(error: &io::Error) -> bool {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        )
    }

    /// A command's side: blocking, one request after another.
    #[derive(Debug)]
    pub struct Remote {
        write: StdStream,
        lines: BufReader<StdStream>,
    }

    impl Remote {
        /// Joins the keeper that listens at `place`. `Ok(None)`: none does.
        pub fn join(place: &Path) -> io::Result<Option<Self>> {
            let stream = match StdStream::connect(place) {
                Ok(stream) => stream,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let owner = rustix::net::sockopt::socket_peercred(&stream)?;
            if owner.uid != rustix::process::geteuid() {
                let what = "the socket belongs to another user";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
            }
            let mut remote = Self { write: stream.try_clone()?, lines: BufReader::new(stream) };
            // One that hangs must not hang whoever asks, too.
            remote.write.set_read_timeout(Some(HELLO_PATIENCE))?;
            let greeted = remote.write.write_all(&line(&Hello { lamplighter: VERSION }));
            let hello: Hello = match greeted.and_then(|()| remote.read()) {
                Ok(hello) => hello,
                // It ended while it was being joined.
                Err(error) if has_left(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            remote.write.set_read_timeout(None)?;
            if hello.lamplighter == VERSION {
                return Ok(Some(remote));
            }
            let what = format!(
                "the keeper that runs speaks version {} of the protocol and this command {VERSION}; \
                 end it and start it again",
                hello.lamplighter
            );
            Err(io::Error::new(io::ErrorKind::Unsupported, what))
        }

        /// Two halves, for a thread that listens and one that asks.
        pub fn split(self) -> (Voice, Ear) {
            let Self { write, lines } = self;
            (Voice { write }, Ear { lines })
        }

        /// Asks for something.
        pub fn ask(&mut self, request: &Request) -> io::Result<()> {
            self.write.write_all(&line(request))
        }

        /// The next thing that the keeper says; an error of kind `UnexpectedEof` when it has ended.
        pub fn hear(&mut self) -> io::Result<Reply> {
            self.read().map(Reply::harmless)
        }

        fn read<T: serde::de::DeserializeOwned>(&mut self) -> io::Result<T> {
            read(&mut self.lines)
        }
    }

    /// The half of a connection that asks. When it is dropped, the connection ends.
    #[derive(Debug)]
    pub struct Voice {
        write: StdStream,
    }

    impl Voice {
        /// Asks for something.
        pub fn ask(&mut self, request: &Request) -> io::Result<()> {
            self.write.write_all(&line(request))
        }
    }

    impl Drop for Voice {
        fn drop(&mut self) {
            // The other half may be waiting in a read.
            let _ = self.write.shutdown(std::net::Shutdown::Both);
        }
    }

    /// The half of a connection that hears.
    #[derive(Debug)]
    pub struct Ear {
        lines: BufReader<StdStream>,
    }

    impl Ear {
        /// The next thing that the keeper says; an error of kind `UnexpectedEof` when it has ended.
        pub fn hear(&mut self) -> io::Result<Reply> {
            read(&mut self.lines).map(Reply::harmless)
        }
    }

    fn read<T: serde::de::DeserializeOwned>(lines: &mut BufReader<StdStream>) -> io::Result<T> {
        let mut text = Vec::new();
        // A snapshot of many servers is longer than any request may be.
        let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX).saturating_mul(256);
        lines.take(limit).read_until(b'\n', &mut text)?;
        if text.is_empty() {
            let what = "the keeper has ended";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        let broken =
            |_| io::Error::new(io::ErrorKind::InvalidData, "the keeper was not understood");
        serde_json::from_slice(&text).map_err(broken)
    }
}
