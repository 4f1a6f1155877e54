//! Names and values of what is kept, apart from the descriptors: in a memfd, which lies in the socket as one
//! descriptor. Beside the descriptors they would take most of its room.
//!
//! Shell. Sealed when it is written: what was read once is what is read by everybody.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::store::Kept;

/// Of one thing that is kept.
pub type Text = (String, Vec<u8>);

/// Puts them into a file without a name.
pub fn seal(all: &[(&str, &Kept)]) -> io::Result<OwnedFd> {
    let texts: Vec<_> = all.iter().map(|(name, kept)| (name, &kept.value)).collect();
    let bytes = postcard::to_stdvec(&texts).map_err(io::Error::other)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("portolan-kept", flags)?);
    file.write_all(&bytes)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// What such a file holds; nothing where it is none.
pub fn unseal(file: impl AsFd) -> Vec<Text> {
    let read = || -> Option<Vec<Text>> {
        let file = file.as_fd();
        let size = usize::try_from(rustix::fs::fstat(file).ok()?.st_size).ok()?;
        let mut bytes = vec![0; size];
        let mut filled = 0;
        while filled < size {
            match rustix::io::pread(file, &mut bytes[filled..], filled as u64) {
                Ok(0) | Err(_) => return None,
                Ok(length) => filled += length,
            }
        }
        postcard::from_bytes(&bytes).ok()
    };
    read().unwrap_or_default()
}
