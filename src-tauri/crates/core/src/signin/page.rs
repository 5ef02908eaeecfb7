//! What people are shown of a sign-in: the way to its page, and the page that they come back to.

use alloc::string::String;

use crate::secret::Secret;

/// What is shown to who began a sign-in, and to nobody else: the URL holds `state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// For the browser.
    pub url: Secret,
    /// Where it comes back to.
    pub redirect_uri: String,
    /// Whose name the consent page shows.
    pub client_name: String,
    /// The host of the page.
    pub host: String,
    /// Whether there is another way, should the page show an error.
    pub other_way: bool,
}

/// What a browser tab that came back is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// It worked.
    SignedIn {
        /// The server's name.
        server: String,
        /// How many tools it offers, where it said so.
        tools: Option<u32>,
    },
    /// The tokens are new and saved, and the server refuses them.
    Refused {
        /// The server's name.
        server: String,
    },
    /// It did not.
    Failed {
        /// The server's name.
        server: String,
        /// Why; nothing of what the server said.
        words: String,
    },
    /// Nobody waits for this.
    NotWaiting,
}
