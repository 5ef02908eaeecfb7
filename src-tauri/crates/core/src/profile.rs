//! Provider profiles: what real servers do differently, as data.

/// All profiles.
#[derive(Debug, Clone, Default)]
pub struct Profiles {}
