//! What is written down before and after a refresh token is presented, so that nothing received is
//! ever lost. The engine keeps these records in one sealed file; core decides what they mean.

use alloc::vec::Vec;

use alloc::string::String;
use zeroize::Zeroizing;

use crate::{
    ids::{RecordId, Target, TokenMark},
    store::{Enrolment, NewTokens, TokenPair},
    time::Wall,
};

/// One refresh, from the intent to the last look; or a sign-in, from its tokens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: RecordId,
    /// When the intent was written.
    pub at: Wall,
    /// The entries that hold the token presented, with what stood in each.
    pub replaced: Vec<(Target, TokenPair)>,
    /// The OAuth client the grant belongs to.
    pub client_id: String,
    /// The mark of the refresh token presented.
    pub mark: TokenMark,
    /// How far it came.
    pub stage: Stage,
    /// What a sign-in has to write beside the tokens; `None` for a refresh.
    pub enrolment: Option<Enrolment>,
    /// A first sign-in is about to be written over this version of its store. An entry that is not there
    /// in a later version was there, and its user signed out.
    pub written_over: Option<u64>,
}

/// How far a refresh came.
#[derive(Clone, PartialEq, Eq)]
pub enum Stage {
    /// About to send, or sent and not answered: found at start, this is a lost answer.
    Intent,
    /// Success that could not be read: kept as it came, until a later success replaces it.
    Raw(Zeroizing<Vec<u8>>),
    /// New tokens, not yet known to be in the store.
    Answered(NewTokens),
    /// New tokens, read back from the store; looked at again a few times before they are forgotten.
    Saved {
        /// The tokens.
        tokens: NewTokens,
        /// When the store was read back.
        at: Wall,
        /// How many looks have been taken since.
        looks: u8,
        /// How many times they were put back.
        restores: u8,
    },
}

impl core::fmt::Debug for Stage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Intent => f.write_str("Intent"),
            Self::Raw(bytes) => f.debug_tuple("Raw").field(&bytes.len()).finish(),
            Self::Answered(_) => f.write_str("Answered"),
            Self::Saved { at, looks, restores, .. } => f
                .debug_struct("Saved")
                .field("at", at)
                .field("looks", looks)
                .field("restores", restores)
                .finish_non_exhaustive(),
        }
    }
}

impl Stage {
    /// The tokens it holds, if it does.
    pub const fn tokens(&self) -> Option<&NewTokens> {
        match self {
            Self::Intent | Self::Raw(_) => None,
            Self::Answered(tokens) | Self::Saved { tokens, .. } => Some(tokens),
        }
    }
}

/// Why the journal could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct JournalFault {
    /// The file.
    pub place: String,
    /// What was being done and what the system said.
    pub what: String,
}
