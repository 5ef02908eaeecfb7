//! The keeper: the life of every grant, as one state machine.

mod effect;
mod input;
mod notice;

pub use effect::Effect;
pub use input::{Action, Event, Input, Mode, Opening, Outcome, Pair, SendFault, WokeWhy};
pub use notice::{Notice, NoticeAction, NoticeCode, Severity};
