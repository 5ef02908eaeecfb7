//! Holds every keeper of every test, after every input, to one that looks at everything.

use super::*;

/// A copy of a keeper that takes the same input in and looks at all there is.
pub(in crate::keeper) struct Thorough(Keeper);

/// The copy, after the input.
pub(in crate::keeper) fn thorough(keeper: &Keeper, input: &Input, now: Now) -> Thorough {
    let mut copy = keeper.clone();
    copy.grants.touch_all();
    for id in copy.spares.ids() {
        copy.spares.edit(&id, |_| ());
    }
    copy.take_in(input.clone(), now);
    Thorough(copy)
}

impl Thorough {
    /// The keeper that looked at what was touched came to the same.
    pub(in crate::keeper) fn is_matched_by(&self, keeper: &Keeper) {
        assert_eq!(self.0.effects, keeper.effects, "other effects");
        assert_eq!(self.0.facts.facts(), keeper.facts.facts(), "other facts");
        assert_eq!(self.0.notices, keeper.notices, "other notices");
        assert_eq!(self.0.poll_wake(), keeper.poll_wake(), "another wake");
        assert_eq!(self.0.grants.check(), keeper.grants.check(), "other moments");
        assert_eq!(self.0.relooks, keeper.relooks, "other looks");
        keeper.spares.check();
    }
}
