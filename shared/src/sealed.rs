//! A value in a file without a name that nobody can change any more: what one process leaves for another.
//!
//! Shell. Who reads it checks nothing but the form: a version stands in the value where one is needed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes it; the name is shown in /proc/PID/fd.
pub fn seal(name: &str, what: &impl Serialize) -> io::Result<OwnedFd> {
    let bytes = postcard::to_stdvec(what).map_err(io::Error::other)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags)?);
    file.write_all(&bytes)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// What such a file holds; `None` where that is of another form.
pub fn unseal<T: DeserializeOwned>(file: impl AsFd) -> Option<T> {
    let size = usize::try_from(rustix::fs::fstat(&file).ok()?.st_size).ok()?;
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match rustix::io::pread(&file, &mut bytes[filled..], filled as u64) {
            Ok(0) | Err(_) => return None,
            Ok(length) => filled += length,
        }
    }
    postcard::from_bytes(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_by_everybody_and_changed_by_nobody() {
        let what = ("a name".to_owned(), vec![7_u8; 100_000]);
        let file = seal("portolan-test", &what).expect("a memfd");
        for _ in 0..2 {
            assert_eq!(unseal::<(String, Vec<u8>)>(&file), Some(what.clone()));
        }
        assert!(File::from(file).write_all(b"x").is_err());
        let empty = memfd_create("portolan-test", MemfdFlags::CLOEXEC).expect("a memfd");
        assert_eq!(unseal::<(String, Vec<u8>)>(empty), None);
    }
}
