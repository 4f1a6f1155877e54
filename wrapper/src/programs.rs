//! Where our programs lie: beside the wrapper's own, whatever it was started as.
//!
//! Shell. A program is opened once and then known by descriptor; what a package upgrade puts in its
//! place later is another one.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use portolan_shared::sandbox::supervisors::with_all;
use rustix::fs::{Mode, OFlags};

/// The master's file name.
pub const MASTER: &str = "portolan";

/// What the kernel appends to the path of a program whose file was replaced or removed.
const DELETED: &[u8] = b" (deleted)";

/// The path under which the wrapper's own program was found, whether or not it is still that file.
pub fn own_path() -> io::Result<PathBuf> {
    Ok(without_deleted(std::fs::read_link("/proc/self/exe")?))
}

/// Opens the master's program beside our own.
pub fn open_master() -> io::Result<OwnedFd> {
    let path = own_path()?.with_file_name(MASTER);
    open(&path).map_err(|error| named(&error, &path))
}

/// Opens the wrapper's program as it lies on the disk now.
pub fn open_own() -> io::Result<OwnedFd> {
    let path = own_path()?;
    open(&path).map_err(|error| named(&error, &path))
}

/// Opens the program that a process of ours runs; the kernel knows it even when its file is gone. It shows it
/// to nobody who can do less than that process.
pub fn open_running(pid: i32) -> io::Result<OwnedFd> {
    with_all(|| open(Path::new(&format!("/proc/{pid}/exe"))))
}

/// Arguments as exec wants them; those with a zero byte in them cannot have come from one.
pub fn strings<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> Vec<CString> {
    words.into_iter().filter_map(|word| CString::new(word.as_bytes()).ok()).collect()
}

/// Opened for reading, to be sure that it is there and permitted; executable or not, exec will tell.
fn open(path: &Path) -> io::Result<OwnedFd> {
    match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(descriptor) if File::from(descriptor.try_clone()?).metadata()?.is_file() => {
            Ok(descriptor)
        }
        Ok(_) => Err(io::Error::other("not a file")),
        Err(error) => Err(error.into()),
    }
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn without_deleted(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(bytes) => PathBuf::from(OsString::from_vec(bytes.to_vec())),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_program_is_looked_for_where_it_was() {
        for path in ["/usr/sbin/portolan-wrapper", "/usr/sbin/portolan-wrapper (deleted)"] {
            assert_eq!(without_deleted(path.into()), Path::new("/usr/sbin/portolan-wrapper"));
        }
    }

    #[test]
    fn a_running_program_is_opened_and_a_directory_is_not_one() {
        assert!(open_running(std::process::id() as i32).is_ok());
        assert!(open(Path::new("/")).is_err());
        assert!(open(Path::new("/nonexistent")).is_err());
    }
}
