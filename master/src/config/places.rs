//! Where in the files stands what only a start shows to be wrong: an address that is taken, a limit that the system does
//! not give; core.

use std::collections::BTreeMap;

use super::diagnostic::Place;

/// By what they say.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The values of `[global]`, by their keys.
    pub(super) global: BTreeMap<String, Place>,
    /// Binds, by their ids.
    pub(super) binds: BTreeMap<u32, Place>,
}

impl Places {
    /// The value of the first of these keys of `[global]` that is given.
    pub fn global(&self, keys: &[&str]) -> Option<&Place> {
        keys.iter().find_map(|key| self.global.get(*key))
    }

    /// A bind's address.
    pub fn bind(&self, id: u32) -> Option<&Place> {
        self.binds.get(&id)
    }
}
