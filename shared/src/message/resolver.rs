//! Between whoever reads a configuration and the process that finds the addresses of the names in it.
//!
//! Core: no I/O. The resolver is started for one set of names and ends with it: `Become`, `Names` as
//! often as needed, `Done`; then one answer for each name, in any order, each as soon as it is known. It
//! leaves when its channel ends, and is killed when its time is over.
//!
//! Limits: [`NAMES_MAX`] names a message, [`ADDRESSES_MAX`] addresses a name.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::SandboxMode;

/// Most names in one [`ToResolver::Names`]: none is longer than 255 bytes.
pub const NAMES_MAX: usize = 200;
/// Most addresses of one name that are told.
pub const ADDRESSES_MAX: usize = 256;

/// To the resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToResolver {
    /// First: whose rights it is to have; `None`: the ones it has.
    Become {
        /// User number.
        user: Option<u32>,
        /// Group number.
        group: Option<u32>,
        /// How it is confined.
        sandbox: SandboxMode,
    },
    /// Find these.
    Names(Vec<String>),
    /// There are no more.
    Done,
}

/// From the resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromResolver {
    /// What came of a name.
    Answer {
        /// Which.
        name: String,
        /// Its addresses in the system's order, or why there are none, for people.
        addresses: Result<Vec<IpAddr>, String>,
    },
    /// It could not become what it is to be, and leaves.
    Failed {
        /// Why, for people.
        reason: String,
    },
}
