//! Names and values of what is kept, apart from the descriptors: in a memfd, which lies in the socket as one
//! descriptor. Beside the descriptors they would take most of its room.
//!
//! Shell. Sealed when it is written: what was read once is what is read by everybody.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use portolan_shared::sealed;

use crate::store::Kept;

/// Of one thing that is kept.
pub type Text = (String, Vec<u8>);

/// Puts them into a file without a name.
pub fn seal(all: &[(&str, &Kept)]) -> io::Result<OwnedFd> {
    let texts: Vec<_> = all.iter().map(|(name, kept)| (name, &kept.value)).collect();
    sealed::seal("portolan-kept", &texts)
}

/// What such a file holds; nothing where it is none.
pub fn unseal(file: impl AsFd) -> Vec<Text> {
    sealed::unseal(file).unwrap_or_default()
}
