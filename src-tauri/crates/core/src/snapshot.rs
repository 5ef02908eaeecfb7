//! The whole truth for every view.
