//! What a desktop shows, as plain values made from the snapshot: the page, the menu, the notices.
//!
//! It must not ask the world for anything and holds no secret. A shell sets these values where they
//! differ from the last ones, and hands an [`Act`] back for each click.
//!
//! Read next: [`view`] for the page, [`menu`] for the tray's menu, [`notices`] for what is said when.

mod act;
#[cfg(test)]
mod bindings;
mod diagnostics;
pub mod menu;
pub mod notices;
mod sentence;
pub mod view;

pub use act::{Act, Answer};
pub use diagnostics::diagnostics;
pub use sentence::{sentence, shape};
pub use view::View;
